# Functions that tell of nginx and of swap's folder, in parts that each begin with a line of $MARK and the part's name. Follows
# processes.sh.

part() { printf '\n%s %s\n' "$MARK" "$1"; }

# ask NUMBER PID PROGRAM OPTION...: what a master says of its version and its configuration, how long that took in hundredths of
# a second, and its workers.
ask() {
  AT=$1 PID=$2
  shift 2
  part "version $AT"
  "$1" -V 2>&1
  part "dump $AT"
  now
  THEN=$NOW
  "$@" -T 2>&1
  CODE=$?
  now
  part "code $AT"
  echo "$CODE"
  part "took $AT"
  echo "$((NOW - THEN))"
  part "workers $AT"
  workers "$PID"
}

# show PART FILE: a file, if it is there.
show() {
  if [ -f "$2" ]; then
    part "$1"
    cat "$2"
  fi
}

# look FOLDER TUNING UPSTREAM...: whether and where the folder is, these files in it, and what else is there beside nginx.
look() {
  FOLDER=$1 TUNING=$2
  shift 2
  case $(sync --help 2>&1) in *FILE*) part syncs;; esac
  part folder
  [ -d "$FOLDER" ] && echo exists
  [ -w "$FOLDER" ] && echo writable
  part path
  (cd -P "$FOLDER" 2>/dev/null && pwd -P)
  part mounts
  cat /proc/self/mountinfo
  part resolver
  cat /etc/resolv.conf 2>/dev/null
  part hosts
  cat /etc/hosts 2>/dev/null
  part connects
  for TOOL in bash perl nc python3 php curl; do
    if command -v "$TOOL" >/dev/null 2>&1; then
      echo tool
      break
    fi
  done
  show tuning "$FOLDER/$TUNING"
  for FILE; do
    show "upstream/$FILE" "$FOLDER/$FILE"
  done
  part end
}
