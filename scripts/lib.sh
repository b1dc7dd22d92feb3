# shellcheck shell=bash
# What the scripts share. To be sourced, after `set -euo pipefail`.

SWAP_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SWAP_CACHE=${SWAP_CACHE:-$SWAP_ROOT/target}

say() { printf '%s\n' "$*" >&2; }

# fail MESSAGE [CURE]
fail() {
    printf 'error: %s\n' "$1" >&2
    if [ $# -gt 1 ]; then printf 'hint: %s\n' "$2" >&2; fi
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Prints a text as a word of the shell.
quoted() { printf '%q' "$1"; }

# Runs a command quietly and shows what it said only when it failed.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then tail -n 30 "$log" >&2; fi
    rm -f "$log"
    return "$status"
}

# Only one script at a time fills a cache folder; the others wait for it.
# locked NAME: holds the lock until the shell ends in which it is called.
locked() {
    mkdir -p "$SWAP_CACHE"
    if have flock; then
        exec 9>"$SWAP_CACHE/.$1.lock"
        flock 9
    fi
}

# Where rustup's Rust keeps wasm-component-ld, with wasm-ld in gcc-ld below it.
sysroot_bin() { echo "$(rustc --print sysroot)/lib/rustlib/$(rustc --print host-tuple)/bin"; }

# Prints the compose tool of this machine: the v2 plugin, or `docker-compose` (v1, or v2 standing alone).
compose_tool() {
    if docker compose version >/dev/null 2>&1; then
        echo "docker compose"
    elif have docker-compose; then
        echo "docker-compose"
    else
        fail "neither \`docker compose\` nor \`docker-compose\` is here" \
            "install the compose plugin, or run scripts/compose-v2 DIR and set DOCKER_CONFIG=DIR"
    fi
}

# compose ARGS...: runs the compose tool of this machine.
compose() {
    local tool
    tool=$(compose_tool)
    # shellcheck disable=SC2086 # `docker compose` is two words
    $tool "$@"
}

need_docker() {
    have docker || fail "docker is not installed" "install Docker Engine 20.10 or newer and its command line"
    quietly timeout 20 docker version || fail "no Docker engine answers" \
        "start it, or point DOCKER_HOST or \`docker context use\` at one that runs"
}

# Runs a command as root: directly, or by sudo where that asks nothing.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        fail "\`$1\` needs root" "run this once as root, or allow sudo without a password"
    fi
}

# need_package COMMAND PACKAGE: installs a Debian package when its command is missing.
need_package() {
    local install
    if have "$1" || [ -x "/usr/sbin/$1" ]; then return; fi
    have apt-get || fail "\`$1\` is missing" "install the package $2"
    say "installing $2"
    export DEBIAN_FRONTEND=noninteractive
    install=(as_root apt-get install -y --no-install-recommends "$2")
    quietly "${install[@]}" && return
    say "trying again with fresh package lists"
    if quietly as_root apt-get update && quietly "${install[@]}"; then return; fi
    fail "\`$1\` is missing and apt-get could not install $2" "install the package $2"
}

# Prints the Debian mirror that apt is set up with, or $SWAP_DEBIAN_MIRROR.
debian_mirror() {
    local mirror=${SWAP_DEBIAN_MIRROR:-}
    if [ -z "$mirror" ] && have apt-get; then
        # shellcheck disable=SC2016 # apt fills these in, not the shell
        mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(SITE)' |
            awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
    fi
    [ -n "$mirror" ] || fail "no Debian mirror is known here" "set SWAP_DEBIAN_MIRROR to the URL of one"
    echo "$mirror"
}

# The mirror of Debian's security suites stands beside the mirror of the others.
debian_security_mirror() {
    local mirror
    mirror=$(debian_mirror)
    echo "${SWAP_DEBIAN_SECURITY_MIRROR:-${mirror%/}-security}"
}

# debian_apt SUITE: from here on apt speaks of a Debian suite, whatever this machine runs, with lists and a cache in a
# folder of its own. Call it in a subshell, with `trap debian_apt_end EXIT`: nothing of the machine's apt is touched.
debian_apt() {
    local suite=$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror
    have apt-get || fail "apt-get is needed to fetch Debian packages" "use a machine with apt"
    [ -r "$keyring" ] || fail "the keys of Debian's archive are missing" "install the package debian-archive-keyring"
    mirror=$(debian_mirror)
    DEBIAN_APT=$(mktemp -d)
    mkdir -p "$DEBIAN_APT"/{lists/partial,cache/archives/partial,deb}
    touch "$DEBIAN_APT/status"
    echo "deb [signed-by=$keyring] $mirror $suite main" >"$DEBIAN_APT/sources.list"
    case $suite in
    sid | forky | unstable | testing) ;; # they get their fixes directly
    *) echo "deb [signed-by=$keyring] $(debian_security_mirror) $suite-security main" >>"$DEBIAN_APT/sources.list" ;;
    esac
    cat >"$DEBIAN_APT/apt.conf" <<CONF
Dir::State "$DEBIAN_APT";
Dir::State::lists "$DEBIAN_APT/lists";
Dir::State::status "$DEBIAN_APT/status";
Dir::Cache "$DEBIAN_APT/cache";
Dir::Etc::sourcelist "$DEBIAN_APT/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
APT::Sandbox::User "$(id -un)";
APT::Default-Release "";
CONF
    export APT_CONFIG=$DEBIAN_APT/apt.conf
    quietly apt-get update || fail "the package lists of Debian $suite could not be read from $mirror" \
        "check the network, or set SWAP_DEBIAN_MIRROR"
}

debian_apt_end() { rm -rf "${DEBIAN_APT:-}"; }

# debian_unpack INTO PACKAGE...: downloads packages and unpacks them into a folder. Nothing is installed.
debian_unpack() {
    local into=$1 package
    shift
    (cd "$DEBIAN_APT/deb" && quietly apt-get download "$@") ||
        fail "could not download $*" "check the network, or set SWAP_DEBIAN_MIRROR"
    mkdir -p "$into"
    for package in "$DEBIAN_APT"/deb/*.deb; do dpkg -x "$package" "$into"; done
}

# debian_depends PACKAGE PATTERN: the name of the first package that PACKAGE depends on and that matches.
debian_depends() {
    apt-cache depends --important "$1" | awk -v pattern="$2" '$1 == "Depends:" && $2 ~ pattern { print $2; exit }'
}

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# pulled PUBLIC: pulls an image, if it is not here.
# A registry that has not begun to answer after 10 s counts as none; one that has may take its time.
pulled() {
    local log pull tenths=0 status=0
    if has_image "$1"; then return; fi
    log=$(mktemp)
    docker pull "$1" >"$log" 2>&1 &
    pull=$!
    while kill -0 "$pull" 2>/dev/null; do
        if grep -q 'Pulling from' "$log"; then
            say "pulling $1"
            break
        fi
        if [ "$tenths" -ge 100 ]; then
            kill "$pull" 2>/dev/null || true
            break
        fi
        sleep 0.1
        tenths=$((tenths + 1))
    done
    wait "$pull" || status=$?
    rm -f "$log"
    return "$status"
}

# debootstrapped SUITE PACKAGES IMAGE: makes an image of a Debian suite and some packages, separated by commas.
debootstrapped() (
    need_package debootstrap debootstrap
    mirror=$(debian_mirror)
    root=$(as_root mktemp -d "${TMPDIR:-/tmp}/swap-base.XXXXXX")
    trap 'as_root rm -rf --one-file-system "$root"' EXIT
    # All suites are made as sid is; an older debootstrap only does not know the newer names.
    quietly as_root env PATH="$PATH:/usr/sbin:/sbin" DEBIAN_FRONTEND=noninteractive \
        debootstrap --variant=minbase --include="$2" "$1" "$root" "$mirror" /usr/share/debootstrap/scripts/sid ||
        fail "debootstrap could not make $3" "check the network, or set SWAP_DEBIAN_MIRROR"
    as_root tar -C "$root" --one-file-system \
        --exclude=./var/cache/apt/* --exclude=./var/lib/apt/lists/* --exclude=./var/log/*.log \
        --exclude=./usr/share/doc/* --exclude=./usr/share/locale/* --exclude=./usr/share/man/* \
        --exclude=./proc/* --exclude=./sys/* --exclude=./dev/* -c . |
        quietly docker import \
            --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
            --change 'LABEL swap-example.made-from=debian' - "$3"
)
