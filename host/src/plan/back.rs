//! The way back: which versions of a service were replaced, as the engine's own names of their images tell.
//!
//! Each swap leaves a name of swap's own on the image that it replaced, `swap-keep/PROJECT/SERVICE:RUN-IMAGE`: the run that
//! replaced it, and the first digits of the image that has served since. So all machines that share the engine see one
//! history, it sorts by time, and an image that has a name is not pruned as dangling.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::model::{Failure, RunId, ServiceName};
use crate::text::short;

/// A version that a run has replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The run that replaced it.
    pub run: RunId,
    /// The first digits of the image that the run brought.
    pub by: String,
    /// The id of the image that it replaced.
    pub image: String,
}

impl Replaced {
    /// Returns the tag that stands for it.
    pub fn tag(&self) -> String {
        format!("{}-{}", self.run, self.by)
    }

    /// Reads a tag that an image has; `None` where swap did not make it.
    pub fn of_tag(tag: &str, image: &str) -> Option<Self> {
        let (run, by) = tag.rsplit_once('-')?;
        let is_run = run.len() >= 17 && run.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let is_image = !by.is_empty() && by.bytes().all(|b| b.is_ascii_hexdigit());
        (is_run && is_image).then(|| Self { run: RunId(run.to_owned()), by: by.to_owned(), image: image.to_owned() })
    }

    /// Tells whether the run changed the configuration alone: its image is the one that it replaced.
    pub fn is_same_image(&self) -> bool {
        short(&self.image) == self.by
    }
}

/// What stays of the version that a run replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// The repository of the name, as `swap-keep/demo/app`.
    pub repository: String,
    /// What is kept.
    pub replaced: Replaced,
    /// How many versions keep such a name, this one included.
    pub count: u32,
}

/// Returns the repository of the names that swap gives to the images of a service.
///
/// What the engine takes in a repository's name is less than what compose takes in a service's: other names are written
/// byte by byte, and never the same for two services.
pub fn repository(project: &str, service: &ServiceName) -> String {
    format!("swap-keep/{}/{}", part(project), part(service.as_str()))
}

fn part(name: &str) -> String {
    let is_plain =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if name.split(['-', '_']).all(is_plain) {
        return name.to_owned();
    }
    name.bytes().fold("s".to_owned(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => text.push(char::from(byte)),
            other => _ = write!(text, ".{other:02x}"),
        }
        text
    })
}

/// Sorts what was replaced, newest first.
pub fn newest_first(mut history: Vec<Replaced>) -> Vec<Replaced> {
    history.sort_by(|a, b| b.run.cmp(&a.run));
    history
}

/// Returns those whose names can go where so many versions are kept beside the one that serves. `history` is newest first.
///
/// Of each version the newest name is enough: who goes back and forth between two pushes no other out. A change of the
/// configuration alone takes no version's place.
pub fn superfluous(history: &[Replaced], keep: u32) -> Vec<&Replaced> {
    let live = history.first().map(|newest| newest.by.as_str());
    let mut versions: Vec<&str> = Vec::new();
    let mut needless = Vec::new();
    for (index, replaced) in history.iter().enumerate() {
        let image = short(&replaced.image);
        let is_live = Some(image) == live;
        let is_known = (is_live && index > 0) || versions.contains(&image);
        if !is_live && !is_known {
            versions.push(image);
        }
        if keep == 0 || is_known || versions.len() > keep as usize {
            needless.push(replaced);
        }
    }
    needless
}

/// Returns the version that was replaced by the one that serves now. `history` is newest first, `live` the image that
/// serves.
///
/// # Errors
/// It is unknown, or the last swap did not change the image; the hint names what can be named.
pub fn former<'a>(service: &ServiceName, history: &'a [Replaced], live: &str) -> Result<&'a Replaced, Failure> {
    let Some(last) = history.first() else {
        return Err(Failure::new(format!(
            "the engine knows of no swap of `{service}`, so nobody knows which version was there before"
        ))
        .hint(format!("`swap rollback {service} --to IMAGE` names one")));
    };
    if last.by != short(live) {
        return Err(Failure::new(format!(
            "what serves now ({}) was not brought by the last swap of `{service}` that the engine knows, run {} ({}), so \
             nobody knows what it replaced",
            short(live),
            last.run,
            last.by
        ))
        .hint(choices(service, history, live)));
    }
    if last.is_same_image() {
        return Err(Failure::new(format!(
            "run {} changed the configuration of `{service}` alone: the image before is {}, which serves now, and the \
             configuration is always that of the compose file as it is",
            last.run, last.by
        ))
        .hint(format!(
            "put the compose file back as it was, then `swap {service}`; {}",
            choices(service, history, live)
        )));
    }
    Ok(last)
}

/// Tells whether a word looks like a run's id or the begin of one, as `20260131-154502`.
pub fn is_run(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 9
        && bytes.iter().take(8).all(u8::is_ascii_digit)
        && bytes[8] == b'-'
        && bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
}

/// Returns the first digits of the image that a run brought, by the run's id or the begin of it. `history` is newest first.
pub fn brought<'a>(history: &'a [Replaced], word: &str) -> Option<&'a str> {
    let run = history.iter().find(|replaced| is_run(word) && replaced.run.0.starts_with(word))?;
    Some(run.by.as_str())
}

/// Tells whether the name by which the compose file names a service's image can be given to another image.
///
/// `named` is the image that it stands for now, `target` the one that is to get it, `names` what that one is called.
///
/// # Errors
/// The name is an id or a digest, which stands for one image for ever; or versions have names of their own, and one version's
/// would become another's. The hint says what to write into the compose file.
pub fn movable(
    service: &ServiceName,
    name: &str,
    named: Option<&str>,
    target: &str,
    names: &[String],
) -> Result<(), Failure> {
    let is_id = name.contains('@')
        || name.starts_with("sha256:")
        || (name.len() >= 12 && named.is_some_and(|id| id.trim_start_matches("sha256:").starts_with(name)));
    if is_id {
        return Err(Failure::new(format!(
            "the compose file names the image of `{service}` by its id ({name}), so only there can it go back to {}",
            short(target)
        ))
        .hint(format!(
            "write `image: {target}` under `services: {service}:`, then `swap rollback {service}` once more"
        )));
    }
    let version = |name: &str| {
        let (repository, tag) = name.rsplit_once(':')?;
        (!tag.contains('/') && tag != "latest").then(|| repository.to_owned())
    };
    let repository = version(name);
    let own = names.iter().find(|other| repository.is_some() && version(other) == repository && *other != name);
    match own {
        Some(own) => Err(Failure::new(format!(
            "the versions of `{service}` have names of their own: the compose file says `{name}`, and what is to come back is \
             `{own}`"
        ))
        .hint(format!(
            "say `{own}` there, in the file or in the variable that it takes, then `swap rollback {service}` once more"
        ))),
        None => Ok(()),
    }
}

/// Returns what `--to` can name, as a hint.
pub fn choices(service: &ServiceName, history: &[Replaced], live: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for replaced in history.iter().filter(|replaced| short(&replaced.image) != short(live)) {
        let image = short(&replaced.image);
        if !lines.iter().any(|line| line.trim_start().starts_with(image)) {
            lines.push(format!("  {image}  until run {}", replaced.run));
        }
    }
    match lines[..] {
        [] => format!("`swap rollback {service} --to IMAGE` names one; no other is kept"),
        _ => {
            format!("`swap rollback {service} --to IMAGE` names one, as of those that are kept:\n{}", lines.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> ServiceName {
        "app".parse().expect("a name")
    }

    fn id(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    /// Reads `1>2 2>3`: runs at the first, second … second of a day, oldest first, and the images before and after.
    fn history(text: &str) -> Vec<Replaced> {
        let of = |(index, word): (usize, &str)| {
            let (from, to) = word.split_once('>').expect("two images");
            let [from, to] = [from, to].map(|word| id(word.chars().next().expect("a digit")));
            let run = RunId(format!("20260131-1545{index:02}-9f3a"));
            Replaced { run, by: short(&to).to_owned(), image: from }
        };
        newest_first(text.split_whitespace().enumerate().map(of).collect())
    }

    #[track_caller]
    fn check(text: &str, live: char, expected: &str) {
        let told = match former(&app(), &history(text), &id(live)) {
            Ok(replaced) => format!("{} until run {}\n", short(&replaced.image), replaced.run),
            Err(failure) => format!("{failure}\nhint: {}\n", failure.hint.as_deref().unwrap_or_default()),
        };
        assert_eq!(told, expected, "\n{told}");
    }

    #[test]
    fn it_goes_to_what_was_replaced_by_what_serves_now() {
        check(
            "1>2 2>3",
            '3',
            "\
222222222222 until run 20260131-154501-9f3a
",
        );
        // A rollback is a swap: the next one goes forward again.
        check(
            "1>2 2>3 3>2",
            '2',
            "\
333333333333 until run 20260131-154502-9f3a
",
        );
    }

    #[test]
    fn what_nobody_knows_is_refused_with_what_can_be_named() {
        check(
            "",
            '1',
            "\
the engine knows of no swap of `app`, so nobody knows which version was there before
hint: `swap rollback app --to IMAGE` names one
",
        );
        check("1>2 2>3 3>2", '4', "\
what serves now (444444444444) was not brought by the last swap of `app` that the engine knows, run 20260131-154502-9f3a (222222222222), so nobody knows what it replaced
hint: `swap rollback app --to IMAGE` names one, as of those that are kept:
  333333333333  until run 20260131-154502-9f3a
  222222222222  until run 20260131-154501-9f3a
  111111111111  until run 20260131-154500-9f3a
");
        check("1>2 2>2", '2', "\
run 20260131-154501-9f3a changed the configuration of `app` alone: the image before is 222222222222, which serves now, and the configuration is always that of the compose file as it is
hint: put the compose file back as it was, then `swap app`; `swap rollback app --to IMAGE` names one, as of those that are kept:
  111111111111  until run 20260131-154500-9f3a
");
    }

    #[test]
    fn so_many_versions_are_kept_as_are_settled() {
        let gone = |text: &str, keep: u32| -> Vec<String> {
            superfluous(&history(text), keep)
                .into_iter()
                .map(|replaced| short(&replaced.image)[..1].to_owned())
                .collect()
        };
        assert_eq!(gone("1>2 2>3 3>4 4>5", 3), ["1"]);
        assert_eq!(gone("1>2 2>3 3>4", 3), [""; 0]);
        assert_eq!(gone("1>2 2>3 3>4 4>5", 0), ["4", "3", "2", "1"]);
        // Changes of the configuration push no version out, and are known until the next version comes.
        assert_eq!(gone("1>2 2>3 3>3 3>3", 2), ["3"]);
        assert_eq!(gone("1>2 2>3 3>3 3>4", 2), ["3", "1"]);
        // Nor does who goes back and forth.
        assert_eq!(gone("1>2 2>3 3>2 2>3 3>2", 2), ["2", "3", "2"]);
    }

    #[test]
    fn a_run_names_what_it_brought() {
        let history = history("1>2 2>3");
        assert_eq!(brought(&history, "20260131-154500-9f3a"), Some(&id('2')[7..19]));
        assert_eq!(brought(&history, "20260131-154501"), Some(&id('3')[7..19]));
        assert_eq!(brought(&history, "20260130"), None);
        assert_eq!(brought(&history, "222222222222"), None);
    }

    #[test]
    fn a_name_moves_unless_it_means_one_version() {
        let check = |name: &str, names: &[&str], expected: &str| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let told = match movable(&app(), name, Some(&id('2')), &id('1'), &names) {
                Ok(()) => "moves".to_owned(),
                Err(failure) => format!("{failure}\n{}", failure.hint.as_deref().unwrap_or_default()),
            };
            assert_eq!(told, expected, "{name}");
        };
        check("demo-app", &["swap-keep/demo/app:20260131-154501-9f3a-222222222222"], "moves");
        check("demo-app", &["demo-app:v1", "demo-app:before"], "moves");
        check("shop:latest", &["shop:v1"], "moves");
        check("registry:5000/shop", &["registry:5000/shop:v1"], "moves");
        // A name that moves by itself, as one that is pulled.
        check("shop:prod", &["swap-keep/demo/app:20260131-154501-9f3a-222222222222", "other:v1"], "moves");
        check(
            "shop:v2",
            &["swap-keep/demo/app:x", "shop:v1"],
            "\
the versions of `app` have names of their own: the compose file says `shop:v2`, and what is to come back is `shop:v1`
say `shop:v1` there, in the file or in the variable that it takes, then `swap rollback app` once more",
        );
        let by_id = |name: &str| {
            format!(
                "the compose file names the image of `app` by its id ({name}), so only there can it go back to \
                 111111111111\nwrite `image: {}` under `services: app:`, then `swap rollback app` once more",
                id('1')
            )
        };
        for name in [&id('2'), "222222222222", "shop@sha256:2222"] {
            check(name, &["shop:v1"], &by_id(name));
        }
    }

    #[test]
    fn tags_are_read_back_and_those_of_others_are_not() {
        let replaced = &history("1>2")[0];
        assert_eq!(Replaced::of_tag(&replaced.tag(), &replaced.image).as_ref(), Some(replaced));
        for other in ["latest", "v1", "20260131-154500-9f3a", "20260131-154500-9f3a-", "20260131-154500-9f3a-xyz"] {
            assert_eq!(Replaced::of_tag(other, "sha256:1"), None, "{other}");
        }
    }

    #[test]
    fn every_service_has_a_repository_that_the_engine_takes() {
        let of = |name: &str| repository("demo", &name.parse().expect("a name"));
        assert_eq!(of("app"), "swap-keep/demo/app");
        assert_eq!(of("my-web_2"), "swap-keep/demo/my-web_2");
        assert_eq!(of("App"), "swap-keep/demo/s.41pp");
        assert_eq!(of("a.b"), "swap-keep/demo/sa.2eb");
        assert_eq!(of("web-"), "swap-keep/demo/sweb.2d");
        assert_eq!(of("_x"), "swap-keep/demo/s.5fx");
    }
}
