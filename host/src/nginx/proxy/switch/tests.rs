//! `switch.sh` in every shell of this machine, beside something that behaves as nginx does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};

use tempfile::TempDir;

use super::super::Home;
use super::*;
use crate::model::ServiceName;
use crate::nginx::LocalShell;

/// A master with one worker. On SIGHUP it starts another one and ends the former, or where a file `deaf` is, says why not.
const MASTER: &str = r#"
FOLDER=$1
worker() { (exec -a 'nginx: worker process' cat <>"$FOLDER/pipe") & WORKERS="$WORKERS $!"; }
reload() {
  if [ -e "$FOLDER/deaf" ]; then echo '[emerg] 1#1: it is deaf' >>"$FOLDER/error.log"; return; fi
  FORMER=$WORKERS WORKERS=
  worker
  kill $FORMER
}
trap reload HUP
trap 'kill $WORKERS; exit' TERM
worker
# Not by `wait`: that blocks a signal, as nginx does while it reloads.
exec 3<>"$FOLDER/pipe"
while :; do read -r _ <&3; done
"#;

/// `nginx -t`: finds fault with what a file `refuses` says.
const PROGRAM: &str = r#"#!/bin/sh
[ "$*" = '-p /it'\''s $HOME -t' ] || { echo "[emerg] called with $*"; exit 1; }
if [ -e "${0%/*}/refuses" ]; then cat "${0%/*}/refuses"; exit 1; fi
"#;

struct Stage {
    folder: TempDir,
    master: Child,
    nginx: Nginx,
    proxy: Proxy<LocalShell>,
}

impl Stage {
    fn set(shell: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("swap")).unwrap();
        fs::write(path("error.log"), "[emerg] 1#1: long ago\n").unwrap();
        fs::write(path("nginx"), PROGRAM).unwrap();
        fs::set_permissions(path("nginx"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        let master = Command::new("bash").args(["--posix", "-c", MASTER, "master"]).arg(folder.path()).spawn().unwrap();
        let begun = fs::read_to_string(format!("/proc/{}/stat", master.id())).unwrap();
        let start = begun.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().parse().unwrap();
        let nginx = Nginx {
            master: Process { pid: master.id(), start },
            binary: path("nginx").display().to_string(),
            arguments: vec!["-p".into(), "/it's $HOME".into()],
            folder: path("swap").display().to_string(),
            error_log: ErrorLog::File(path("error.log").display().to_string()),
            syncs_files: true,
            load: Duration::ZERO,
            patience: Duration::from_secs(20),
        };
        let proxy = Proxy::new(LocalShell::of(shell.iter().copied()), Home::Host);
        let stage = Self { folder, master, nginx, proxy };
        let began = Instant::now();
        while stage.workers().len() != 1 {
            assert!(began.elapsed() < Duration::from_secs(20), "the master has no worker");
            std::thread::sleep(Duration::from_millis(5));
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the pids of the workers that run.
    fn workers(&self) -> Vec<u32> {
        let pid = self.master.id();
        let pids = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let title = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let pids = pids.split_whitespace().map(|pid| pid.parse().unwrap());
        pids.filter(|pid| title(pid) == "nginx: worker process\0").collect()
    }

    /// Returns swap's files with their texts, as `app.conf=old`.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("swap")).unwrap().map(|entry| entry.unwrap());
        let mut files: Vec<String> = entries
            .map(|entry| {
                let text = fs::read(entry.path()).unwrap_or_default();
                format!("{}={}", entry.file_name().display(), String::from_utf8_lossy(&text))
            })
            .collect();
        files.sort();
        files
    }

    fn put(&self, name: &str, text: &[u8]) {
        fs::write(self.path("swap").join(name), text).unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.master.id().to_string()).status();
        let _ = self.master.wait();
    }
}

/// The shells of this machine, each with its first words.
fn shells() -> Vec<Vec<&'static str>> {
    let all = [vec!["dash"], vec!["bash", "--posix"], vec!["busybox", "ash"]];
    let there = |words: &Vec<&str>| Command::new(words[0]).args(&words[1..]).args(["-c", ":"]).output().is_ok();
    let found: Vec<_> = all.into_iter().filter(there).collect();
    assert!(!found.is_empty());
    found
}

fn app(text: Option<&str>) -> FileChange {
    let service: ServiceName = "app".parse().unwrap();
    FileChange::upstream(&service, text.map(str::to_owned))
}

fn tuning(text: Option<&str>) -> FileChange {
    FileChange { name: TUNING_FILE.into(), text: text.map(str::to_owned) }
}

const ODD: &str = "it's $(no) `end` \\n \"x\"\n\n";

#[tokio::test]
async fn files_change_and_new_workers_obey_them() {
    for shell in shells() {
        let stage = Stage::set(&shell);
        stage.put("app.conf", b"old");
        let former = stage.workers();
        let generation = stage.proxy.switch(&stage.nginx, &[app(Some(ODD)), tuning(Some("t"))]).await.unwrap();
        assert_eq!(generation.workers.iter().map(|worker| worker.pid).collect::<Vec<_>>(), former, "{shell:?}");
        assert_eq!(stage.files(), [format!("app.conf={ODD}"), format!("{TUNING_FILE}=t")], "{shell:?}");
        // The same once more: nothing is written, and nginx reloads.
        let before = fs::metadata(stage.path("swap/app.conf")).unwrap().modified().unwrap();
        let again = stage.proxy.switch(&stage.nginx, &[app(Some(ODD)), tuning(Some("t"))]).await.unwrap();
        assert_ne!(again.workers, generation.workers);
        assert_eq!(fs::metadata(stage.path("swap/app.conf")).unwrap().modified().unwrap(), before);
        stage.proxy.switch(&stage.nginx, &[app(None), tuning(None)]).await.unwrap();
        assert_eq!(stage.files(), [""; 0], "{shell:?}");
    }
}

#[tokio::test]
async fn what_nginx_refuses_or_does_not_apply_is_undone() {
    for shell in shells() {
        let stage = Stage::set(&shell);
        let odd = b"it's \xff\xfe";
        stage.put("app.conf", odd);
        fs::write(stage.path("refuses"), "nginx: [emerg] unknown directive \"it's\"\n").unwrap();
        let refused = stage.proxy.switch(&stage.nginx, &[app(Some("new")), tuning(Some("t"))]).await.unwrap_err();
        let what = "nginx refused its configuration with the new upstream: unknown directive \"it's\"";
        assert_eq!((refused.failure.what.as_str(), refused.restored), (what, true), "{shell:?}");
        fs::remove_file(stage.path("refuses")).unwrap();
        fs::write(stage.path("deaf"), "").unwrap();
        let refused = stage.proxy.switch(&stage.nginx, &[app(Some("new")), tuning(Some("t"))]).await.unwrap_err();
        let what = "nginx did not apply the reload: it is deaf";
        assert_eq!((refused.failure.what.as_str(), refused.restored), (what, true), "{shell:?}");
        assert_eq!(fs::read(stage.path("swap/app.conf")).unwrap(), odd);
        assert_eq!(stage.files().len(), 1, "{shell:?}");
    }
}

#[tokio::test]
async fn settings_that_others_rely_on_stay() {
    for shell in shells() {
        let stage = Stage::set(&shell);
        stage.put("blog.conf", format!("{TITLE}\n# more\n").as_bytes());
        stage.put(TUNING_FILE, b"t");
        stage.proxy.switch(&stage.nginx, &[app(None), tuning(None)]).await.unwrap();
        assert_eq!(stage.files().len(), 2, "{shell:?}");
        stage.put("blog.conf", b"# theirs\n");
        stage.proxy.switch(&stage.nginx, &[app(None), tuning(None)]).await.unwrap();
        assert_eq!(stage.files(), ["blog.conf=# theirs\n"], "{shell:?}");
    }
}

#[tokio::test]
async fn a_file_is_written_without_a_word_to_nginx() {
    for shell in shells() {
        let stage = Stage::set(&shell);
        let workers = stage.workers();
        stage.proxy.write(&stage.nginx, &app(Some(ODD))).await.unwrap();
        assert_eq!((stage.files(), stage.workers()), (vec![format!("app.conf={ODD}")], workers), "{shell:?}");
        stage.proxy.write(&stage.nginx, &app(None)).await.unwrap();
        fs::create_dir(stage.path("swap/app.conf")).unwrap();
        let refused = stage.proxy.write(&stage.nginx, &app(Some("new"))).await.unwrap_err();
        assert!(refused.what.ends_with("swap/app.conf is a directory"), "{shell:?}: {refused}");
        // Of another start of nginx nothing is changed.
        let nginx = Nginx {
            master: Process { start: stage.nginx.master.start + 1, ..stage.nginx.master },
            patience: Duration::from_millis(10),
            ..stage.nginx.clone()
        };
        let gone = stage.proxy.switch(&nginx, &[app(Some("new"))]).await.unwrap_err();
        assert!(gone.restored, "{shell:?}: {gone}");
    }
}

#[test]
fn whatever_the_script_answers_is_read() {
    let corpus = [
        "switched changed\nboot 5f2d\nold 7 123456\nold 8 123457\nmessage\n",
        "refused restored\nboot 5f2d\nmessage\n2026/01/31 [emerg] 7#7: bind() to 0.0.0.0:80 failed\n",
    ];
    crate::mutated::texts(&corpus, |text| {
        let output = Output { code: 0, stdout: text.to_owned(), stderr: String::new() };
        let answer = Answer::read(&output);
        reasons(&answer.message).iter().for_each(|reason| crate::mutated::harmless_line("a reason", reason));
    });
}
