//! Whether the name of a service's image depends on the shell that types the command: what the next shell does not say, the
//! next `up` does not know.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use super::Compose;
use super::place::{ProjectPlace, dotenv};
use super::read::yaml;
use crate::model::{Notice, ServiceName};

impl Compose {
    /// Returns what is to be known of a service whose image is named by variables that only this process has; `None` where
    /// the files tell all of it. What the files hide (`include`, `extends`) is passed over.
    pub fn image_of_this_shell(&self, service: &ServiceName) -> Option<Notice> {
        let here = self.working_directory();
        let place = ProjectPlace::find(&self.options, &here, self.tool.is_v1());
        let image = place.files.iter().rev().find_map(|file| {
            let content = yaml(&std::fs::read_to_string(here.join(file)).ok()?).ok()?;
            Some(content.get("services")?.get(service.as_str())?.get("image")?.as_str()?.to_owned())
        })?;
        let files: Vec<PathBuf> = match &self.options.env_files[..] {
            [] => vec![place.env_directory.join(".env")],
            files => files.iter().map(|file| here.join(file)).collect(),
        };
        let mut written = BTreeMap::new();
        for file in files {
            written.extend(dotenv(&std::fs::read_to_string(file).unwrap_or_default()));
        }
        notice(service, &image, &written, |name| env::var(name).ok())
    }
}

/// Returns the notice; `written` is what the files of variables say.
fn notice(
    service: &ServiceName,
    image: &str,
    written: &BTreeMap<String, String>,
    process: impl Fn(&str) -> Option<String>,
) -> Option<Notice> {
    let foreign = |name: &String| process(name).is_some_and(|value| written.get(name) != Some(&value));
    let names: Vec<String> = variables(image).into_iter().filter(foreign).collect();
    (!names.is_empty()).then(|| {
        Notice::new(format!(
            "`{image}`, the image of `{service}`, has {} from this shell: the next `docker compose up -d` without it goes back to \
             another version",
            names.join(", ")
        ))
        .cure("write it into `.env`")
    })
}

/// Returns the names of the variables in a text, as compose reads it: `$NAME`, `${NAME}`, `${NAME:-default}`; not `$$`.
fn variables(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        rest = match after.strip_prefix('$') {
            Some(literal) => literal,
            None => {
                let inner = after.strip_prefix('{').unwrap_or(after);
                let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
                if end > 0 {
                    names.push(inner[..end].to_owned());
                }
                &inner[end..]
            }
        };
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_in_each_of_their_forms() {
        for (text, expected) in [
            ("app:v1", &[][..]),
            ("app:$TAG", &["TAG"]),
            ("${REGISTRY:-docker.io}/app:${TAG?no tag}", &["REGISTRY", "TAG"]),
            ("app:${A:-${B}}", &["A", "B"]),
            ("app:$$TAG", &[]),
            ("app:$", &[]),
        ] {
            assert_eq!(variables(text), expected, "{text}");
        }
    }

    #[test]
    fn what_only_this_shell_says_is_told() {
        let service: ServiceName = "app".parse().unwrap();
        let check = |written: &[(&str, &str)], process: Option<&str>, expected: bool| {
            let written = written.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let told =
                notice(&service, "shop:${TAG}", &written, |name| process.filter(|_| name == "TAG").map(str::to_owned));
            let text = "`shop:${TAG}`, the image of `app`, has TAG from this shell: the next `docker compose up -d` without it \
                        goes back to another version (write it into `.env`)";
            assert_eq!(told.map(String::from).as_deref(), expected.then_some(text), "{process:?}");
        };
        check(&[], None, false);
        check(&[("TAG", "v1")], None, false);
        check(&[("TAG", "v1")], Some("v1"), false);
        check(&[("TAG", "v1")], Some("v2"), true);
        check(&[], Some("v2"), true);
    }
}
