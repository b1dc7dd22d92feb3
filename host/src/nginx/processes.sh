# Functions that read /proc with nothing but builtins, for the scripts that are run beside nginx.
# shellcheck disable=SC2034 # who calls them reads what they set

# process PID: sets STATE, PARENT and START (the time of its start in ticks since boot, which with the pid names a process for
# good), or fails when there is none.
process() {
  STATE='' PARENT='' START='' LINE=''
  { read -r LINE < "/proc/$1/stat"; } 2>/dev/null || return 1
  # shellcheck disable=SC2086 # its words
  set -- ${LINE##*) }
  STATE=$1 PARENT=$2
  [ $# -ge 20 ] || return 1
  START=${20}
  case $STATE in Z|X) return 1;; esac
}

# title PID: sets TITLE: what the process calls itself.
title() {
  TITLE=
  { IFS= read -r TITLE < "/proc/$1/cmdline"; } 2>/dev/null
  return 0
}

# children PID: sets CHILDREN: the pids of its children.
children() {
  CHILDREN='' NAME=''
  if [ -r "/proc/$1/task/$1/children" ]; then
    { read -r CHILDREN < "/proc/$1/task/$1/children"; } 2>/dev/null
  else
    for C in /proc/[0-9]*; do
      C=${C#/proc/}
      { read -r NAME < "/proc/$C/comm"; } 2>/dev/null || continue
      case $NAME in nginx*) process "$C" && [ "$PARENT" = "$1" ] && CHILDREN="$CHILDREN $C";; esac
    done
  fi
  return 0
}

# now: sets NOW, in hundredths of a second; it stays 0 where the kernel does not tell the time.
now() {
  SECONDS_UP=0.0
  { read -r SECONDS_UP IDLE < /proc/uptime; } 2>/dev/null
  PART=${SECONDS_UP#*.}
  NOW=$((${SECONDS_UP%.*} * 100 + ${PART#0}))
}

# settled PID: succeeds when that nginx master waits for signals and has none to obey; 2 when the kernel won't say. A master
# blocks all signals except while it waits for them, so a reload that is under way shows in `SigBlk`, and one that was asked for
# in `ShdPnd`.
settled() {
  BLOCKED='' PENDING=''
  { while read -r KEY VALUE; do
      case $KEY in ShdPnd:) PENDING=$VALUE;; SigBlk:) BLOCKED=$VALUE; break;; esac
    done < "/proc/$1/status"; } 2>/dev/null
  case $BLOCKED in '') return 2;; *[!0]*) return 1;; esac
  case $PENDING in *[13579bdf]) return 1;; esac
  return 0
}

# workers PID: tells of a master's present workers. A line `boot ID`, `settled` unless a reload is under way or was asked for,
# `master PID START` if it runs, and `worker PID START` for each of its workers, those that shut down included.
workers() {
  MASTER=$1 BOOT=''
  { read -r BOOT < /proc/sys/kernel/random/boot_id; } 2>/dev/null
  printf 'boot %s\n' "$BOOT"
  settled "$MASTER"
  [ $? -eq 1 ] || echo settled
  process "$MASTER" || return 0
  printf 'master %s %s\n' "$MASTER" "$START"
  children "$MASTER"
  for P in $CHILDREN; do
    process "$P" || continue
    title "$P"
    case $TITLE in 'nginx: worker process'*) printf 'worker %s %s\n' "$P" "$START";; esac
  done
}

# running PID...: tells a line `boot ID`, then `PID START leaving|serving` for each of these workers that runs, then `end`.
running() {
  BOOT=
  read -r BOOT < /proc/sys/kernel/random/boot_id
  printf 'boot %s\n' "$BOOT"
  for P; do
    process "$P" || continue
    title "$P"
    case $TITLE in *'is shutting down'*) L=leaving;; *) L=serving;; esac
    printf '%s %s %s\n' "$P" "$START" "$L"
  done
  echo end
}
