//! What an image is made from, as far as its Dockerfile tells: text → names and paths. Pure.

use serde_json::from_str;

/// What the last stage of a Dockerfile says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// The image that it begins with.
    pub base: String,
    /// What it copies out of the build's folder: where from, and where to. Patterns stay as they are; what has variables that the
    /// file does not set is left out.
    pub copies: Vec<(String, String)>,
    /// What it runs, each with its line.
    pub runs: Vec<(usize, String)>,
    /// What its containers run: `ENTRYPOINT` and `CMD`, as written.
    pub starts: Vec<String>,
}

/// Reads a Dockerfile up to a stage, by default the last one. What is not understood says nothing.
pub fn parse(text: &str, target: Option<&str>) -> Dockerfile {
    let mut arguments: Vec<(String, String)> = Vec::new();
    let mut stages: Vec<(String, Dockerfile)> = Vec::new();
    let mut folder = "/".to_owned();
    for (at, line) in lines(text) {
        let (instruction, rest) = line.split_once(char::is_whitespace).unwrap_or((line.as_str(), ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        let words = &words[words.iter().take_while(|word| word.starts_with("--")).count()..];
        let instruction = instruction.to_ascii_uppercase();
        if let ("FROM", Some(wanted), Some((stage, _))) = (instruction.as_str(), target, stages.last())
            && stage == wanted
        {
            break;
        }
        match instruction.as_str() {
            "ARG" | "ENV" => arguments.extend(words.iter().filter_map(|word| {
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
                let stage =
                    earlier.map_or_else(|| Dockerfile { base, ..Dockerfile::default() }, |(_, stage)| stage.clone());
                stages.push((name, stage));
                folder = "/".to_owned();
            }
            "WORKDIR" => {
                if let Some(to) = words.first().map(|to| filled(to, &arguments)) {
                    folder = if to.starts_with('/') { to } else { format!("{}/{to}", folder.trim_end_matches('/')) };
                }
            }
            "COPY" | "ADD" if !rest.contains("--from") => {
                if let Some((_, stage)) = stages.last_mut() {
                    stage.copies.extend(copies(&filled(rest.trim_start(), &arguments), &folder));
                }
            }
            "RUN" => {
                if let Some((_, stage)) = stages.last_mut() {
                    stage.runs.push((at, rest.trim().to_owned()));
                }
            }
            "CMD" | "ENTRYPOINT" => {
                if let Some((_, stage)) = stages.last_mut() {
                    stage.starts.push(rest.trim().to_owned());
                }
            }
            _ => {}
        }
    }
    stages.pop().map(|(_, stage)| stage).unwrap_or_default()
}

/// Returns the instructions, each on one line and with the line that it begins on, without comments.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut begun = (1, String::new());
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
        if begun.1.is_empty() {
            begun.0 = at + 1;
        }
        match line.trim_end().strip_suffix('\\') {
            Some(part) => begun.1 += &format!("{part} "),
            None => {
                begun.1 += line;
                lines.push(std::mem::take(&mut begun));
            }
        }
    }
    lines.push(begun);
    let trimmed = lines.into_iter().map(|(at, line)| (at, line.trim().to_owned()));
    trimmed.filter(|(_, line)| !line.is_empty()).collect()
}

/// Returns the pairs of one `COPY`.
fn copies(rest: &str, folder: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = rest.split_whitespace().skip_while(|word| word.starts_with("--")).collect();
    let listed: Option<Vec<String>> = rest.starts_with('[').then(|| from_str(rest).ok()).flatten();
    let words = listed.unwrap_or_else(|| words.iter().map(|word| (*word).to_owned()).collect());
    let Some((to, sources)) = words.split_last() else { return Vec::new() };
    let plain = |path: &&String| !path.contains(['$', '<']) && !path.contains("://");
    if !plain(&to) {
        return Vec::new();
    }
    let to = if to.starts_with('/') {
        to.clone()
    } else {
        format!("{}/{}", folder.trim_end_matches('/'), to.trim_start_matches("./"))
    };
    let several = sources.len() > 1 || sources.iter().any(|source| source.contains(['*', '?', '[']));
    let to = if several && !to.ends_with('/') { format!("{to}/") } else { to };
    sources.iter().filter(plain).map(|source| (source.trim_start_matches('/').to_owned(), to.clone())).collect()
}

/// Puts the values of `ARG` and `ENV` for variables.
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
        let owned: Vec<_> = copies.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        let Dockerfile { base: found, copies, .. } = parse(text, None);
        assert_eq!((found.as_str(), copies), (base, owned));
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
    fn lists_long_lines_patterns_and_folders_are_read() {
        check(
            "FROM nginx\n# ours\nCOPY [\"./my conf\", \"/etc/nginx/conf.d\"]\nCOPY a.conf \\\n  # and\n  b.conf \\\n  /etc/nginx\n\
             COPY *.conf /etc/nginx\nWORKDIR /etc\nENV WHERE=nginx\nCOPY c.conf $WHERE/\nCOPY $FILE /etc/nginx/\nADD https://x/y /etc/nginx/\n",
            "nginx",
            &[
                ("./my conf", "/etc/nginx/conf.d"),
                ("a.conf", "/etc/nginx/"),
                ("b.conf", "/etc/nginx/"),
                ("*.conf", "/etc/nginx/"),
                ("c.conf", "/etc/nginx/"),
            ],
        );
        check("", "", &[]);
    }

    #[test]
    fn what_is_run_at_building_and_at_start_is_told_of_the_stage_that_is_asked_for() {
        let text = "FROM nginx AS dev\nRUN echo 'a;' \\\n  > /etc/nginx/a.conf\nCMD [\"sh\", \"-c\", \"x\"]\n\nFROM dev\nRUN b\n";
        let Dockerfile { runs, starts, .. } = parse(text, Some("dev"));
        assert_eq!(runs, [(2, "echo 'a;'    > /etc/nginx/a.conf".to_owned())]);
        assert_eq!(starts, ["[\"sh\", \"-c\", \"x\"]"]);
        assert_eq!(parse(text, None).runs.len(), 2);
    }
}
