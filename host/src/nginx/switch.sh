# Changes files of swap's folder and, for a switch, makes nginx obey them. Follows processes.sh.
#
# The parameters are how many files there are; for each its name, `write` or `remove`, and its text; and then the command by which
# nginx is called. What else it needs to know:
#
#   TASK              `write`: only the files. `switch`: nginx is tested, told, and watched until new workers obey them
#   FOLDER            swap's folder
#   OWN               the files that are this run's alone, its upstreams, with blanks between them
#   TUNING            the file that is everybody's
#   FIRST_LINE        how each upstream of swap's begins
#   SYNC              not empty if `sync` takes a file
#   MASTER BEGUN      nginx's master: its pid, and when it began
#   PATIENCE UNDOING  how long new workers may take to show, and how long nginx may take to obey the former files again: in
#                     hundredths of a second
#   RESTARTED         1 if nginx has restarted since the files were changed
#   LOG               its error log, if that is a file
#
# A `write` that fails exits 1. A `switch` answers a line `RESULT restored|changed`, then `boot ID`, `old PID START` for each
# worker that obeys the former files, and after a line `message` what nginx said.
#
# A worker proves the new files only if its master read them after the rename. That is certain when the master waits for signals
# after the rename and the worker is none of those that ran by then: somebody else's reload that is under way shows as a master
# that does not wait.

# shellcheck disable=SC2317 # `each` calls what shellcheck takes for unreachable
OLD=' ' BOOT='' NEW='' MESSAGE='' SAME=''
umask 022

# each FUNCTION "$@": calls it with the name, `write` or `remove`, and the text of each file, until it fails.
each() {
  CALL=$1 LEFT=$2
  shift 2
  while [ "$LEFT" -gt 0 ]; do
    # What stands beside a file matches no `*.conf`. Two runs at once never write one upstream; beside the tuning file each has
    # names of its own.
    FILE=$FOLDER/$1 BESIDE=$FOLDER/.$1
    if [ "$1" = "$TUNING" ]; then BESIDE=$BESIDE.${OWN%% *}; fi
    "$CALL" "$1" "$2" "$3" || return 1
    shift 3
    LEFT=$((LEFT - 1))
  done
}
same() { case $SAME in *"/$1/"*) return 0;; esac; return 1; }
prepare() {
  # What is there already is not written again: also where nothing can be written any more, nginx can be made to obey it.
  if [ "$2" = write ] && [ "$(cat "$FILE" 2>/dev/null && printf .)" = "$3." ]; then SAME=$SAME/$1/; fi
  if [ -d "$FILE" ]; then
    echo "$FILE is a directory" >&2
    return 1
  fi
  if same "$1"; then
    if [ -n "$SYNC" ]; then sync "$FILE" 2>/dev/null; fi
    return 0
  fi
  # The old bytes stay as they are, whatever they are: a second name, or where that can't be, a copy.
  if [ -e "$BESIDE.swap-old" ]; then rm -f "$BESIDE.swap-old" || return 1; fi
  if [ -e "$FILE" ]; then ln "$FILE" "$BESIDE.swap-old" 2>/dev/null || cp -p "$FILE" "$BESIDE.swap-old" || return 1; fi
  [ "$2" = write ] || return 0
  # By `cat`, which says why it can't write; some shells only know of an error.
  printf '%s' "$3" | cat > "$BESIDE.swap-new" || return 1
  if [ -n "$SYNC" ]; then sync "$BESIDE.swap-new" || return 1; fi
}
# Tells whether no other upstream of swap's is in the folder: their reloads rely on the tuning file.
alone() {
  for F in "$FOLDER"/*.conf; do
    case " $TUNING $OWN " in *" ${F##*/} "*) continue;; esac
    LINE=
    { IFS= read -r LINE < "$F"; } 2>/dev/null
    case $LINE in "$FIRST_LINE"*) return 1;; esac
  done
  return 0
}
apply() {
  if same "$1"; then return 0; fi
  if [ "$2" = write ]; then mv -f "$BESIDE.swap-new" "$FILE" || return 1; return 0; fi
  if [ "$1" != "$TUNING" ] || alone; then rm -f "$FILE"; fi
}
put_back() {
  if same "$1"; then return 0; fi
  if [ -e "$BESIDE.swap-old" ]; then mv -f "$BESIDE.swap-old" "$FILE"; else rm -f "$FILE"; fi || BROKEN=1
}
restore() {
  BROKEN=
  each put_back "$@"
  [ -z "$BROKEN" ]
}
tidy() { rm -f "$BESIDE.swap-old" "$BESIDE.swap-new" || :; }
sync_folder() { if [ -n "$SYNC" ]; then sync "$FOLDER" 2>/dev/null; fi; return 0; }

if [ "$TASK" = write ]; then
  each prepare "$@" || exit 1
  each apply "$@" || { restore "$@"; exit 1; }
  each tidy "$@"
  sync_folder
  exit 0
fi

check() {
  shift $((1 + 3 * $1))
  "$@" -t 2>&1
}
same_master() { process "$MASTER" && [ "$START" = "$BEGUN" ]; }
nap() { sleep 0.004 2>/dev/null || sleep 1; }
note() {
  children "$MASTER"
  for P in $CHILDREN; do
    process "$P" || continue
    title "$P"
    case $TITLE in 'nginx: worker process'*) ;; *) continue;; esac
    case $OLD in *" $P:$START "*) ;; *) OLD="$OLD$P:$START ";; esac
  done
}
answer() {
  printf '%s %s\n' "$1" "$2"
  { read -r BOOT < /proc/sys/kernel/random/boot_id; } 2>/dev/null
  printf 'boot %s\n' "$BOOT"
  for P in $OLD; do printf 'old %s %s\n' "${P%:*}" "${P#*:}"; done
  printf 'message\n%s\n' "$MESSAGE"
  exit 0
}
undo() {
  if restore "$@"; then
    each tidy "$@"
    BACK=restored
  else
    BACK=changed
  fi
}
# Begin to count the naps, and the hundredths of a second where the kernel tells them.
begin() { N=0; now; END=$((NOW + $1)); MOST=$(($1 * 5)); }
over() { N=$((N + 1)); now; [ "$NOW" -ge "$END" ] || [ "$N" -ge "$MOST" ]; }
settle() {
  begin "$1"
  while settled "$MASTER"; [ $? -eq 1 ]; do
    if over; then return 1; fi
    nap
  done
  return 0
}
# Look whether nginx changed: sets RESULT to switched, unchanged, slow or lost.
confirm() {
  QUIET=0
  begin "$PATIENCE"
  while :; do
    NEW=
    children "$MASTER"
    for P in $CHILDREN; do
      process "$P" || continue
      case $OLD in *" $P:$START "*) continue;; esac
      title "$P"
      case $TITLE in
        'nginx: worker process'*) RESULT=switched; return;;
        'nginx: cache '*) ;;
        *) NEW=1;;
      esac
    done
    same_master || { RESULT=lost; return; }
    if settled "$MASTER" && [ -z "$NEW" ]; then QUIET=$((QUIET + 1)); else QUIET=0; fi
    [ "$QUIET" -ge 3 ] && { RESULT=unchanged; return; }
    if over; then RESULT=slow; return; fi
    nap
  done
}

same_master || answer gone restored
SIZE=
[ -n "$LOG" ] && [ -f "$LOG" ] && SIZE=$(wc -c < "$LOG" 2>/dev/null)
each prepare "$@" || { each tidy "$@"; answer unwritten restored; }
kill -0 "$MASTER" || { each tidy "$@"; answer forbidden restored; }
each apply "$@" || { undo "$@"; answer unwritten "$BACK"; }
MESSAGE=$(check "$@") || { undo "$@"; answer refused "$BACK"; }
MESSAGE=
settle "$PATIENCE"
note
note
if ! kill -HUP "$MASTER"; then undo "$@"; answer lost "$BACK"; fi
sync_folder &
confirm
wait
case $RESULT in
  switched) each tidy "$@"; answer switched changed;;
  lost) undo "$@"; answer lost "$BACK";;
esac
undo "$@"
SERVING=
for P in $OLD; do
  title "${P%:*}"
  case $TITLE in 'nginx: worker process') SERVING=1;; esac
done
# It may still obey the new files, or do so later: let it read the former ones.
if [ "$RESULT" = slow ] || [ -z "$SERVING" ] || [ "$RESTARTED" = 1 ]; then
  kill -HUP "$MASTER"
  nap
  settle "$UNDOING" || BACK=changed
fi
if [ -n "$SIZE" ]; then MESSAGE=$(tail -c "+$((SIZE + 1))" "$LOG" 2>/dev/null | tail -n 200); fi
answer "$RESULT" "$BACK"
