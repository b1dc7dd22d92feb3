# Lists nginx's processes: `master PID START NAMESPACE EXE` with its title in the next line, or `other PID` likewise. Follows
# processes.sh.
#
# Only processes whose command is called `nginx…` are looked at closely: with `pid: host` there are hundreds. One that lives in
# another file system is another container's nginx. A worker that was forked this very moment still has its master's title; it has
# no children, which a new master beside an old one has.
# shellcheck disable=SC2034,SC3013 # not all that is read is needed; dash, ash and bash all know `-ef`
for P in /proc/[0-9]*; do
  P=${P#/proc/}
  NAME=
  { read -r NAME < "/proc/$P/comm"; } 2>/dev/null || continue
  case $NAME in nginx*) ;; *) continue;; esac
  title "$P"
  case $TITLE in *"nginx: worker process"*|*"nginx: cache "*|'') continue;; esac
  process "$P" || continue
  BEGUN=$START ABOVE=$PARENT KIND=other
  case $TITLE in "nginx: master process "*)
    KIND=master
    children "$P"
    if [ -z "$CHILDREN" ]; then
      title "$ABOVE"
      case $TITLE in "nginx: master process "*) continue;; esac
    fi
  esac
  SPACE=unknown
  if [ -e "/proc/$P/ns/mnt" ]; then
    if [ "/proc/$P/ns/mnt" -ef /proc/self/ns/mnt ]; then SPACE=same; else SPACE=other; fi
  fi
  if [ "$SPACE" = unknown ]; then
    # Who may not look there sees at least that it has a pid of its own in a container.
    { while read -r KEY VALUE MORE; do
        case $KEY in NSpid:) [ -z "$MORE" ] || SPACE=other; break;; esac
      done < "/proc/$P/status"; } 2>/dev/null
  fi
  EXE=$(readlink "/proc/$P/exe" 2>/dev/null)
  printf '%s %s %s %s %s\n' "$KIND" "$P" "$BEGUN" "$SPACE" "$EXE"
  tr '\000\n' '  ' < "/proc/$P/cmdline"
  echo
done
exit 0
