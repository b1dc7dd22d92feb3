//! What a Dockerfile puts into an image, as far as files and start are concerned. Nothing of it is run.

use std::path::{Path, PathBuf};

/// What the last stage says.
#[derive(Debug, Clone, Default)]
pub(super) struct Dockerfile {
    /// Patterns of the context, each with its place in the image.
    pub copies: Vec<(String, String)>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    pub entrypoint: Option<Vec<String>>,
    pub command: Option<Vec<String>>,
}

impl Dockerfile {
    /// Reads the stage `target`, or the last one.
    pub(super) fn of(text: &str, target: Option<&str>) -> Self {
        let mut file = Self::default();
        let mut folder = "/".to_owned();
        let mut is_over = false;
        for line in joined(text) {
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
            let rest = rest.trim();
            let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            match word.to_ascii_uppercase().as_str() {
                "FROM" => {
                    if is_over {
                        return file;
                    }
                    (file, folder) = (Self::default(), "/".to_owned());
                    is_over = target.is_some_and(|target| rest.to_lowercase().ends_with(&format!(" as {target}")));
                }
                "WORKDIR" => folder = absolute(&folder, rest),
                "COPY" | "ADD" if !rest.contains("--from") => {
                    let words = list_of(rest).unwrap_or_else(|| words.iter().map(|word| (*word).to_owned()).collect());
                    let Some((to, from)) = words.split_last() else { continue };
                    let into = to.ends_with('/') || from.len() > 1 || to == ".";
                    let to = absolute(&folder, to) + if into { "/" } else { "" };
                    file.copies.extend(from.iter().map(|from| (from.clone(), to.clone())));
                }
                "ENV" => match rest.split_once(['=', ' ']) {
                    Some(_) if rest.contains('=') => {
                        file.environment.extend(words.iter().map(|word| word.replace('"', "")));
                    }
                    Some((name, value)) => file.environment.push(format!("{name}={value}")),
                    None => {}
                },
                "ENTRYPOINT" => file.entrypoint = Some(list_of(rest).unwrap_or_else(|| shell(rest))),
                "CMD" => file.command = Some(list_of(rest).unwrap_or_else(|| shell(rest))),
                _ => {}
            }
        }
        file
    }

    /// Returns the files that are copied: where they are, and where they get to.
    pub(super) fn files(&self, context: &Path) -> Vec<(PathBuf, String)> {
        let mut files = Vec::new();
        for (from, to) in &self.copies {
            for path in matching(context, from.trim_start_matches('/')) {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let into = to.ends_with('/') || to.ends_with(".d") || to == "/etc/nginx";
                match path.is_dir() {
                    true => files.extend(below(&path).into_iter().map(|file| {
                        let rest = file.strip_prefix(&path).unwrap_or(&file).display().to_string();
                        (file, format!("{}/{rest}", to.trim_end_matches('/')))
                    })),
                    false if into => files.push((path, format!("{}/{name}", to.trim_end_matches('/')))),
                    false => files.push((path, to.clone())),
                }
            }
        }
        files
    }
}

/// Returns the lines, continued ones as one, without comments.
fn joined(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let line = line.trim();
        let last = lines.last_mut().expect("there is one");
        match line.strip_suffix('\\') {
            Some(part) => *last += &format!("{part} "),
            None => {
                *last += line;
                lines.push(String::new());
            }
        }
    }
    lines.retain(|line| !line.trim().is_empty());
    lines
}

fn list_of(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok())?
}

fn shell(line: &str) -> Vec<String> {
    ["/bin/sh", "-c", line].map(str::to_owned).to_vec()
}

fn absolute(folder: &str, path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let path = if path == "." { "" } else { path };
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", folder.trim_end_matches('/')) }
}

/// Returns what is below the context at a pattern whose last part may have a `*`.
fn matching(context: &Path, pattern: &str) -> Vec<PathBuf> {
    let (folder, last) = pattern.trim_end_matches('/').rsplit_once('/').unwrap_or(("", pattern));
    let Some((begin, end)) = last.split_once('*') else {
        let path = context.join(pattern);
        return if path.exists() { vec![path] } else { Vec::new() };
    };
    let entries = std::fs::read_dir(context.join(folder)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(begin) && name.ends_with(end)
    });
    paths.sort();
    paths
}

/// Returns the files below a folder.
pub(super) fn below(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true if !path.is_symlink() => open.push(path),
                _ => files.push(path),
            }
        }
    }
    files.sort();
    files
}
