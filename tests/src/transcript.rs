//! What runs of the usual stack say, each written once, and what another run says otherwise.

/// What the first swap of the usual stack says: what went to standard error, then what went to standard output, marked by `>`.
pub const SWAPPED: &str = "\
swap app (project [project], run [run])
  adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
  create      app: [project]-app-2 from [project]-app ([id])  [time]
  start       app: [project]-app-2 runs  [time]
  healthy     app: [project]-app-2 is healthy  [time]
  switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
  drain       app: nothing uses [project]-app-1 any more  [time]
  retire      app: [project]-app-1 stopped and removed  [time]
> swapped app: [project]-app-1 → [project]-app-2 in [time] ([steps])
";

/// What is said of it when the candidate is not live yet and the run is unwound, without a word of why.
pub const UNWOUND: &str = "\
swap app (project [project], run [run])
  adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
  create      app: [project]-app-2 from [project]-app ([id])  [time]
  start       app: [project]-app-2 runs  [time]
  stop        app: what was started is stopped  [time]
  remove      app: what was created is removed  [time]
  release     app: /etc/nginx/swap/app.conf is removed again  [time]
> rolled back; app: [project]-app-1 serves, nothing of this run is left
";

/// What is said of it when the candidate is live and the run is unwound, without a word of why.
pub const SWITCHED_BACK: &str = "\
swap app (project [project], run [run])
  adopt       app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)  [time]
  create      app: [project]-app-2 from [project]-app ([id])  [time]
  start       app: [project]-app-2 runs  [time]
  healthy     app: [project]-app-2 is healthy  [time]
  switch      app: nginx sends new requests to [project]-app-2 ([ip]:80)  [time]
  switch-back app: nginx sends new requests to [project]-app-1 ([ip]:80) again  [time]
  stop        app: what was started is stopped  [time]
  remove      app: what was created is removed  [time]
  release     app: /etc/nginx/swap/app.conf is removed again  [time]
> rolled back; app: [project]-app-1 serves, nothing of this run is left
";

/// Returns what stands only in the transcript, marked by `-`, and what was only said, marked by `+`, below the last line before
/// it that is the same in both. Nothing else differs.
pub fn differences(transcript: &str, said: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (transcript.lines().collect(), said.lines().collect());
    // How many lines what begins there has in common.
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for (at, line) in old.iter().enumerate().rev() {
        for (to, other) in new.iter().enumerate().rev() {
            let longer = common[at + 1][to].max(common[at][to + 1]);
            common[at][to] = if line == other { common[at + 1][to + 1] + 1 } else { longer };
        }
    }
    let (mut at, mut to, mut same, mut text) = (0, 0, None, String::new());
    while at < old.len() || to < new.len() {
        if old.get(at) == new.get(to) {
            same = Some(old[at]);
            (at, to) = (at + 1, to + 1);
            continue;
        }
        text.extend(same.take().map(|line| format!("  {line}\n")));
        if to == new.len() || (at < old.len() && common[at + 1][to] >= common[at][to + 1]) {
            text += &format!("- {}\n", old[at]);
            at += 1;
        } else {
            text += &format!("+ {}\n", new[to]);
            to += 1;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told_and_where() {
        let check = |said: &str, expected: &str| assert_eq!(differences("a\nb\nc\nd\n", said), expected);
        check("a\nb\nc\nd\n", "");
        check("a\nb\nx\nc\nd\n", "  b\n+ x\n");
        check("x\na\nb\nd\n", "+ x\n  b\n- c\n");
        check("a\nb\nc\ny\n", "  c\n- d\n+ y\n");
        check("", "- a\n- b\n- c\n- d\n");
    }
}
