//! The pieces of shell that scripts are made of.

use crate::os::token;

/// A word that no file and no configuration holds by accident or by malice.
pub fn marker() -> String {
    format!("swap-{}", token())
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
/// - `now` sets `NOW`, in hundredths of a second; it stays 0 where the kernel does not tell the time.
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
now() {
  SECONDS_UP=0.0
  { read -r SECONDS_UP IDLE < /proc/uptime; } 2>/dev/null
  PART=${SECONDS_UP#*.}
  NOW=$((${SECONDS_UP%.*} * 100 + ${PART#0}))
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use crate::text::{quote, shell_word};

    #[test]
    fn a_shell_sees_nothing_in_what_is_quoted() {
        let mut words: Vec<String> = Vec::new();
        crate::mutated::texts(&["/etc/nginx/swap", "it's", "-n $(id)", "a\nb", "`reboot`; '"], |text| {
            if words.len() < 20_000 {
                words.push(text.replace('\0', ""));
            }
        });
        let mut shell = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        let script: String =
            words.iter().map(|word| format!("printf '%s\\0' {} {}\n", quote(word), shell_word(word))).collect();
        let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
        let output = shell.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        let said: Vec<String> =
            output.stdout.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let expected: Vec<String> = words.into_iter().flat_map(|word| [word.clone(), word]).collect();
        assert_eq!(said[..said.len() - 1], expected);
    }
}
