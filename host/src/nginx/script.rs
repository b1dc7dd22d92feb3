//! The pieces of shell that scripts are made of.

use std::hash::{BuildHasher, RandomState};

/// Quotes a text as one word of the shell: nothing in it is seen by the shell.
pub fn quote(text: &str) -> String {
    // A NUL can't be part of a word, nor of any path or file that swap writes.
    format!("'{}'", text.replace('\0', "").replace('\'', r"'\''"))
}

/// Quotes several words.
pub fn quote_all<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    words.into_iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// A word that no file and no configuration holds by accident or by malice.
pub fn marker() -> String {
    format!("swap-{:016x}{:016x}", RandomState::new().hash_one(1), RandomState::new().hash_one(2))
}

/// A script in a subshell of its own, so that it may `exit`, and leaves nothing behind; without input.
pub fn subshell(body: &str) -> String {
    format!("(\n{PROCESSES}{body}\n) </dev/null\n")
}

/// Functions that read /proc with nothing but builtins.
///
/// - `process PID` sets `STATE`, `PARENT` and `START` (the time of its start in ticks since boot, which with the pid names
///   a process for good), or fails when there is none.
/// - `title PID` sets `TITLE`: what the process calls itself.
/// - `children PID` sets `CHILDREN`: the pids of its children.
/// - `settled PID` succeeds when that nginx master waits for signals and has none to obey; 2 when the kernel won't say.
///   A master blocks all signals except while it waits for them, so a reload that is under way shows in `SigBlk`, and one
///   that was asked for in `ShdPnd`.
const PROCESSES: &str = r#"
process() {
  STATE= PARENT= START= LINE=
  { read -r LINE < "/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${LINE##*) }
  STATE=$1 PARENT=$2
  [ $# -ge 20 ] || return 1
  START=${20}
  case $STATE in Z|X) return 1;; esac
}
title() {
  TITLE=
  { IFS= read -r TITLE < "/proc/$1/cmdline"; } 2>/dev/null
  return 0
}
children() {
  CHILDREN= NAME=
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
settled() {
  BLOCKED= PENDING=
  { while read -r KEY VALUE; do
      case $KEY in ShdPnd:) PENDING=$VALUE;; SigBlk:) BLOCKED=$VALUE; break;; esac
    done < "/proc/$1/status"; } 2>/dev/null
  case $BLOCKED in '') return 2;; *[!0]*) return 1;; esac
  case $PENDING in *[13579bdf]) return 1;; esac
  return 0
}
"#;
