//! Finds nginx's master among the processes. Pure, but for the script's text.

use super::workers::Process;
use crate::model::Failure;
use crate::text::{is_control, printable};

/// Lists nginx's processes.
pub(super) const SCRIPT: &str = include_str!("find.sh");

/// A master as the processes show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Master {
    pub process: Process,
    /// The program to ask about versions and configurations.
    pub binary: String,
    /// `-c`, `-p`, `-e` and `-g` with their values, in pairs.
    pub arguments: Vec<String>,
}

/// Reads what [`SCRIPT`] printed. More than one master is possible: two nginxes, or one that is being upgraded.
pub(super) fn masters(text: &str) -> Result<Vec<Master>, Failure> {
    let mut masters = Vec::new();
    let mut others = Vec::new();
    let mut foreign = 0;
    let mut lines = text.lines();
    while let (Some(line), Some(title)) = (lines.next(), lines.next()) {
        let mut words = line.splitn(5, ' ');
        let (Some(kind), Some(pid), Some(start), Some(space)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let (Ok(pid), Ok(start)) = (pid.parse(), start.parse()) else { continue };
        match (kind, space) {
            (_, "other") => foreign += 1,
            ("master", _) => {
                let title = title.trim_end().trim_start_matches("nginx: master process ");
                let (called, arguments) = command(title);
                let binary = binary(called, words.next().unwrap_or_default());
                if binary.chars().any(is_control) {
                    others.push(format!("{pid} {}", printable(&binary)));
                    continue;
                }
                masters.push((space == "same", Master { process: Process { pid, start }, binary, arguments }));
            }
            _ => others.push(format!("{pid} {}", printable(title.trim_end()))),
        }
    }
    // Without the right to look at namespaces all are unknown, and all are taken.
    if masters.iter().any(|(same, _)| *same) {
        masters.retain(|(same, _)| *same);
    }
    if !masters.is_empty() {
        return Ok(masters.into_iter().map(|(_, master)| master).collect());
    }
    Err(match others.as_slice() {
        [] if foreign > 0 => Failure::new("no nginx runs here: those that run belong to containers")
            .hint("say where nginx runs: `x-swap: { proxy: SERVICE }`, `PROJECT/SERVICE` or `{ container: NAME }`"),
        [] => Failure::new("no nginx master process runs there").hint("start nginx first"),
        _ => Failure::new("nginx runs without a master process, so it has no worker that could finish old requests")
            .hint("remove `master_process off;` from its configuration")
            .tail(others),
    })
}

/// Splits a title into the program and its options. nginx has joined them by spaces, so a value ends at the next option.
fn command(title: &str) -> (&str, Vec<String>) {
    let (called, rest) = title.split_once(' ').unwrap_or((title, ""));
    let mut arguments: Vec<String> = Vec::new();
    let mut open = false;
    for word in rest.split(' ') {
        let option = ["-c", "-p", "-e", "-g"].into_iter().find(|option| word.starts_with(option));
        match option {
            Some(option) => {
                arguments.extend([option.to_owned(), word[2..].to_owned()]);
                open = true;
            }
            // `-q`, `-t` and the like mean nothing for a running master.
            None if word.starts_with('-') && word.len() == 2 => open = false,
            None if open => {
                if let Some(value) = arguments.last_mut() {
                    if !value.is_empty() {
                        value.push(' ');
                    }
                    value.push_str(word);
                }
            }
            None => {}
        }
    }
    (called, arguments)
}

/// Chooses how to call nginx: by the path that started it, by what runs, or by its name.
fn binary(called: &str, exe: &str) -> String {
    // After an upgrade of the package the link reads `… (deleted)`; the path then holds the new program.
    let exe = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    match (called.starts_with('/'), exe.is_empty()) {
        (true, _) => called.to_owned(),
        (false, false) => exe.to_owned(),
        (false, true) => called.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match masters(text) {
            Ok(masters) => masters
                .iter()
                .map(|Master { process, binary, arguments }| {
                    format!("{} {} {binary} {arguments:?}\n", process.pid, process.start)
                })
                .collect::<String>(),
            Err(failure) => {
                format!("{failure}\nhint: {}\n{:?}", failure.hint.as_deref().unwrap_or_default(), failure.tail)
            }
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn whatever_processes_call_themselves_gives_harmless_programs() {
        let corpus = [
            "master 1 4711 same /usr/sbin/nginx\nnginx: master process nginx -g daemon off;  \n",
            "master 7 1 unknown \nnginx: master process /opt/x/nginx -q -p /srv/a b -c conf/n.conf -e/x/e.log\n",
            "other 9 1 same /usr/sbin/nginx\nnginx -g daemon off;\n",
        ];
        crate::mutated::texts(&corpus, |text| {
            for master in masters(text).unwrap_or_default() {
                crate::mutated::harmless("the program", &master.binary);
            }
        });
    }

    #[test]
    fn the_title_gives_the_program_and_its_options() {
        check(
            "master 1 4711 same /usr/sbin/nginx\nnginx: master process nginx -g daemon off;  \n",
            "1 4711 /usr/sbin/nginx [\"-g\", \"daemon off;\"]\n",
        );
        check(
            "master 7 1 unknown \nnginx: master process /opt/x/nginx -q -p /srv/a b -c conf/n.conf -g worker_processes 2; daemon off; -e/x/e.log\n",
            "7 1 /opt/x/nginx [\"-p\", \"/srv/a b\", \"-c\", \"conf/n.conf\", \"-g\", \"worker_processes 2; daemon off;\", \"-e\", \"/x/e.log\"]\n",
        );
        check("master 7 1 same /usr/sbin/nginx (deleted)\nnginx: master process nginx\n", "7 1 /usr/sbin/nginx []\n");
    }

    #[test]
    fn masters_of_other_containers_are_left_out() {
        check(
            "master 9 1 other /usr/sbin/nginx\nnginx: master process nginx\nmaster 7 1 same /usr/sbin/nginx\nnginx: master process nginx\n",
            "7 1 /usr/sbin/nginx []\n",
        );
    }

    #[test]
    fn what_runs_instead_of_a_master_is_told() {
        check("", "no nginx master process runs there\nhint: start nginx first\n[]");
        check(
            "master 9 1 other /usr/sbin/nginx\nnginx: master process nginx\n",
            "no nginx runs here: those that run belong to containers\nhint: say where nginx runs: `x-swap: { proxy: SERVICE }`, `PROJECT/SERVICE` or `{ container: NAME }`\n[]",
        );
        check(
            "other 9 1 same /usr/sbin/nginx\nnginx -g daemon off;\n",
            "nginx runs without a master process, so it has no worker that could finish old requests\nhint: remove `master_process off;` from its configuration\n[\"9 nginx -g daemon off;\"]",
        );
        check("x\u{1b}\ny\nmaster a b\n\n\n", "no nginx master process runs there\nhint: start nginx first\n[]");
    }
}
