//! What an image is made from, as far as its Dockerfile tells: text → names and paths. Pure.

use serde_json::from_str;

/// What the last stage of a Dockerfile says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// The image that it begins with.
    pub base: String,
    /// What it copies out of the build's folder: where from, and where to. Patterns and variables are left out.
    pub copies: Vec<(String, String)>,
}

/// Reads a Dockerfile. What is not understood says nothing.
pub fn parse(text: &str) -> Dockerfile {
    let mut arguments: Vec<(String, String)> = Vec::new();
    let mut stages: Vec<(String, Dockerfile)> = Vec::new();
    for line in lines(text) {
        let (instruction, rest) = line.split_once(char::is_whitespace).unwrap_or((line.as_str(), ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        let words = &words[words.iter().take_while(|word| word.starts_with("--")).count()..];
        match instruction.to_ascii_uppercase().as_str() {
            "ARG" => arguments.extend(words.iter().filter_map(|word| {
                let (name, value) = word.split_once('=')?;
                Some((name.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
            })),
            "FROM" => {
                let base = words.first().map_or_else(String::new, |base| filled(base, &arguments));
                let name = match words {
                    [_, word, name] if word.eq_ignore_ascii_case("as") => (*name).to_owned(),
                    _ => String::new(),
                };
                let earlier = stages.iter().find(|(stage, _)| !stage.is_empty() && *stage == base);
                let stage = earlier.map_or_else(|| Dockerfile { base, copies: Vec::new() }, |(_, stage)| stage.clone());
                stages.push((name, stage));
            }
            "COPY" | "ADD" if !rest.contains("--from") => {
                if let Some((_, stage)) = stages.last_mut() {
                    stage.copies.extend(copies(rest.trim_start(), words));
                }
            }
            _ => {}
        }
    }
    stages.pop().map(|(_, stage)| stage).unwrap_or_default()
}

/// Returns the instructions, each on one line, without comments.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut begun = String::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match line.trim_end().strip_suffix('\\') {
            Some(part) => begun += &format!("{part} "),
            None => lines.push(std::mem::take(&mut begun) + line),
        }
    }
    lines.push(begun);
    lines.into_iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Returns the pairs of one `COPY`.
fn copies(rest: &str, words: &[&str]) -> Vec<(String, String)> {
    let listed: Option<Vec<String>> = rest.starts_with('[').then(|| from_str(rest).ok()).flatten();
    let words = listed.unwrap_or_else(|| words.iter().map(|word| (*word).to_owned()).collect());
    let Some((to, sources)) = words.split_last() else { return Vec::new() };
    let plain = |path: &&String| !path.contains(['*', '?', '[', '$', '<']) && !path.contains("://");
    if !plain(&to) || !to.starts_with('/') {
        return Vec::new();
    }
    let to = if sources.len() > 1 && !to.ends_with('/') { format!("{to}/") } else { to.clone() };
    sources.iter().filter(plain).map(|source| (source.trim_start_matches('/').to_owned(), to.clone())).collect()
}

/// Puts the defaults of `ARG` for variables.
fn filled(text: &str, arguments: &[(String, String)]) -> String {
    arguments.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, base: &str, copies: &[(&str, &str)]) {
        let owned = copies.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        assert_eq!(parse(text), Dockerfile { base: base.into(), copies: owned });
    }

    #[test]
    fn the_last_stage_counts_with_what_it_builds_on() {
        check(
            "ARG BASE=nginx:1.27\nFROM node AS assets\nCOPY . /src\n\nFROM ${BASE} as web\ncopy a.conf /etc/nginx/conf.d/\n\
             FROM web\nCOPY --from=assets /src/dist /usr/share/nginx/html\nADD --chown=1:1 b.conf /etc/nginx/b.conf\n",
            "nginx:1.27",
            &[("a.conf", "/etc/nginx/conf.d/"), ("b.conf", "/etc/nginx/b.conf")],
        );
    }

    #[test]
    fn lists_and_long_lines_are_read_and_patterns_are_left() {
        check(
            "FROM nginx\n# ours\nCOPY [\"./my conf\", \"/etc/nginx/conf.d\"]\nCOPY a.conf \\\n  # and\n  b.conf \\\n  /etc/nginx\n\
             COPY *.conf /etc/nginx/\nCOPY c.conf relative\nCOPY $FILE /etc/nginx/\nADD https://x/y /etc/nginx/\n",
            "nginx",
            &[("./my conf", "/etc/nginx/conf.d"), ("a.conf", "/etc/nginx/"), ("b.conf", "/etc/nginx/")],
        );
        check("", "", &[]);
    }
}
