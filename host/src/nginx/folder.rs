//! swap's folder as the machine of nginx sees it. Pure: text of /proc/self/mountinfo to facts.

use crate::model::{Failure, ServiceName};

use super::upstream::file_name;

/// What is known about swap's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its path as nginx's configuration names it.
    pub path: String,
    /// Whether it is there, as a directory.
    pub exists: bool,
    /// Whether the shell may write into it.
    pub writable: bool,
    /// What it is mounted from.
    pub mount: Mount,
    /// The present text of `<service>.conf`.
    pub upstream: Option<String>,
    /// The present text of [`TUNING_FILE`](super::TUNING_FILE).
    pub tuning: Option<String>,
}

/// How a folder got where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// It is, or is inside of, a mount: it outlives the container.
    Directory,
    /// A mount in memory: it outlives no restart.
    Memory,
    /// A mount that can't be written.
    ReadOnly,
    /// The service's file alone is mounted, which never shows an atomic rename.
    SingleFile,
    /// It belongs to the root file system: on a host that is as it should be, in a container it is lost when compose
    /// recreates it.
    Root,
}

impl Folder {
    /// Returns why swap can't write there, with the cure. `compose` tells whether nginx runs in a compose service.
    pub fn problem(&self, compose: bool) -> Option<Failure> {
        let path = &self.path;
        let name = path.rsplit('/').next().unwrap_or("swap");
        let volume = format!("mount a directory of the host there: `volumes: [ \"./{name}:{path}\" ]`");
        let cure = if compose { volume } else { format!("`mkdir {path}`") };
        match self.mount {
            // Looked at first: where a single file is mounted, the engine has made the folder around it.
            Mount::SingleFile => Some(
                Failure::new(format!("a single file is mounted into `{path}`, which hides every rename")).hint(cure),
            ),
            _ if !self.exists => Some(Failure::new(format!("the upstream folder `{path}` is not there")).hint(cure)),
            Mount::Root if compose => Some(
                Failure::new(format!(
                    "the upstream folder `{path}` is not mounted, so its files are lost with the container"
                ))
                .hint(cure),
            ),
            Mount::Memory if compose => Some(
                Failure::new(format!(
                    "the upstream folder `{path}` is in memory, so its files are lost when nginx restarts"
                ))
                .hint(cure),
            ),
            Mount::ReadOnly => Some(
                Failure::new(format!("the upstream folder `{path}` is mounted read-only"))
                    .hint("leave `:ro` out of that volume"),
            ),
            _ if !self.writable => Some(
                Failure::new(format!(
                    "the upstream folder `{path}` can't be written by the user that nginx's shell runs as"
                ))
                .hint("give that user the right to write into it"),
            ),
            _ => None,
        }
    }
}

/// Finds how a folder is mounted. `path` is the real path, links resolved; `mountinfo` as in proc(5).
pub(super) fn mount(path: &str, service: &ServiceName, mountinfo: &str) -> Mount {
    let file = format!("{path}/{}", file_name(service));
    let mut best: Option<MountPoint> = None;
    for line in mountinfo.lines() {
        let Some(point) = MountPoint::read(line) else { continue };
        if point.at == file {
            return Mount::SingleFile;
        }
        let covers = point.at == "/" || path == point.at || path.starts_with(&format!("{}/", point.at));
        // Of two mounts at one place the later covers the earlier.
        if covers && best.as_ref().is_none_or(|best| best.at.len() <= point.at.len()) {
            best = Some(point);
        }
    }
    match best {
        None | Some(MountPoint { in_root: true, .. }) => Mount::Root,
        Some(MountPoint { read_only: true, .. }) => Mount::ReadOnly,
        Some(MountPoint { in_memory: true, .. }) => Mount::Memory,
        Some(_) => Mount::Directory,
    }
}

struct MountPoint {
    at: String,
    in_root: bool,
    in_memory: bool,
    read_only: bool,
}

impl MountPoint {
    fn read(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(4);
        let at = unescaped(left.next()?);
        let own = left.next()?;
        let mut right = right.split(' ');
        let kind = right.next()?;
        let whole = right.nth(1).unwrap_or_default();
        let read_only = [own, whole].iter().any(|options| options.split(',').any(|option| option == "ro"));
        Some(MountPoint { in_root: at == "/", in_memory: matches!(kind, "tmpfs" | "ramfs"), read_only, at })
    }
}

/// Spaces and the like are written as `\040`.
fn unescaped(path: &str) -> String {
    let mut text = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                text.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str =
        "600 500 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/x\n601 600 0:51 / /proc rw - proc proc rw\n";

    #[track_caller]
    fn check(mounts: &str, expected: &str) {
        let path = "/etc/nginx/swap".to_owned();
        let mount = mount(&path, &"app".parse().unwrap(), &format!("{ROOT}{mounts}"));
        let folder = Folder { path, exists: true, writable: true, mount, upstream: None, tuning: None };
        let shown = match folder.problem(true) {
            None => "good".to_owned(),
            Some(Failure { what, hint, .. }) => format!("{what} | {}", hint.unwrap_or_default()),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn only_a_directory_that_outlives_the_container_will_do() {
        check("700 600 8:1 /srv/swap /etc/nginx/swap rw,relatime - ext4 /dev/sda1 rw\n", "good");
        check("700 600 8:1 /srv/nginx /etc/nginx rw,relatime shared:1 - ext4 /dev/sda1 rw\n", "good");
        check(
            "700 600 8:1 /srv/nginx /etc/nginx rw - ext4 /dev/sda1 rw\n701 700 8:1 /srv/x /etc/nginx/swap ro - ext4 /dev/sda1 rw\n",
            "the upstream folder `/etc/nginx/swap` is mounted read-only | leave `:ro` out of that volume",
        );
        let cure = "mount a directory of the host there: `volumes: [ \"./swap:/etc/nginx/swap\" ]`";
        check(
            "700 600 8:1 /srv/x /etc/nginx/swapped rw - ext4 /dev/sda1 rw\n",
            &format!(
                "the upstream folder `/etc/nginx/swap` is not mounted, so its files are lost with the container | {cure}"
            ),
        );
        check(
            "700 600 8:1 /srv/app.conf /etc/nginx/swap/app.conf rw - ext4 /dev/sda1 rw\n",
            &format!("a single file is mounted into `/etc/nginx/swap`, which hides every rename | {cure}"),
        );
        check(
            "700 600 0:9 / /etc/nginx/swap rw - tmpfs tmpfs rw\n",
            &format!(
                "the upstream folder `/etc/nginx/swap` is in memory, so its files are lost when nginx restarts | {cure}"
            ),
        );
    }

    #[test]
    fn odd_lines_and_escaped_paths_are_read() {
        assert_eq!(unescaped("/a\\040b\\134\\9"), "/a b\\\\9");
        for line in ["", " - ", "1 2 3 4 /x", "1 2 3 4 /x rw -", "1 2 3 4 /\\04ü rw - ext4"] {
            MountPoint::read(line);
        }
    }

    #[test]
    fn whatever_is_mounted_is_read() {
        let corpus =
            [ROOT, "700 600 8:1 /srv/nginx /etc/nginx rw,relatime shared:1 - ext4 /dev/sda1 rw\n", "1 2 3 4 /\\040"];
        crate::mutated::texts(&corpus, |text| {
            mount("/etc/nginx/swap", &"app".parse().unwrap(), text);
        });
    }

    #[test]
    fn a_host_needs_no_mount() {
        let folder = |exists, writable| Folder {
            path: "/etc/nginx/swap".into(),
            exists,
            writable,
            mount: Mount::Root,
            upstream: None,
            tuning: None,
        };
        let problem = |folder: Folder| folder.problem(false).map(|failure| failure.what);
        assert_eq!(problem(folder(true, true)), None);
        assert_eq!(problem(folder(false, false)).unwrap(), "the upstream folder `/etc/nginx/swap` is not there");
        assert_eq!(
            problem(folder(true, false)).unwrap(),
            "the upstream folder `/etc/nginx/swap` can't be written by the user that nginx's shell runs as"
        );
    }
}
