//! What `nginx -T` prints → the statements of all its files in nginx's own order, with the place of each. Pure.
//!
//! A dump may have many megabytes: it is read once, statement by statement, and nothing of it is kept here.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use glob::{MatchOptions, Pattern};

use super::syntax::{Ending, Statements};
use crate::text::printable;

/// More statements than this, counted through all includes, are not read on: far beyond what nginx is used with.
const MOST_STATEMENTS: usize = 8_000_000;
/// Includes within includes beyond this are not followed.
const DEEPEST_INCLUDE: usize = 12;
/// Blocks within blocks beyond this are not read.
const DEEPEST_BLOCK: usize = 64;

/// What of a configuration was not read: anything may stand there. Paths are as nginx prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// What comes after the most statements that are read.
    TooMuch,
    /// A file that nginx reads by a way that was not understood.
    NotIncluded(String),
    /// A file below too many includes.
    TooDeep(String),
    /// What follows a mistake, or what looks like one.
    NotUnderstood {
        /// The file.
        path: String,
        /// The line and what is wrong there.
        why: String,
    },
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::TooMuch => write!(f, "nginx's configuration has more than {MOST_STATEMENTS} directives"),
            Unread::NotIncluded(path) => {
                write!(f, "`nginx -T` printed `{}`, which no `include` here names", printable(path))
            }
            Unread::TooDeep(path) => write!(f, "`{}` is included too deeply", printable(path)),
            Unread::NotUnderstood { path, why } => {
                write!(f, "swap does not understand nginx's configuration `{}`: {why}", printable(path))
            }
        }
    }
}

/// A statement and where it stands.
pub(super) struct Statement<'s, 'a> {
    /// Its first word.
    pub name: &'s str,
    /// The other words, quotes and escapes resolved.
    pub arguments: &'s [Cow<'a, str>],
    /// Whether its block follows.
    pub opens: bool,
    /// The file's path as nginx prints it.
    pub file: &'a str,
    /// The line of its first word, counted from 1.
    pub line: usize,
    /// The blocks around it, outermost first; an `include` is none.
    pub blocks: &'s [String],
}

impl Statement<'_, '_> {
    /// Returns file and line, as `/etc/nginx/nginx.conf:12`.
    pub(super) fn place(&self) -> String {
        printable(&format!("{}:{}", self.file, self.line))
    }

    /// Returns the arguments as one text, as people wrote them but for quotes.
    pub(super) fn text(&self) -> String {
        self.arguments.join(" ")
    }
}

/// What listens to the statements of a dump.
pub(super) trait Listener {
    /// Hears a statement. If it opens a block, those in it follow, and then [`close`](Self::close).
    fn statement(&mut self, statement: &Statement<'_, '_>);

    /// Hears that the innermost open block has ended.
    fn close(&mut self);
}

/// The files that `nginx -T` printed, in its order: the main file is first.
pub(super) struct Dump<'a> {
    /// The folder of the main file: relative includes start there.
    base: String,
    files: Vec<(&'a str, &'a str)>,
    index: HashMap<&'a str, usize>,
}

impl<'a> Dump<'a> {
    /// Splits what was printed at the lines that name the files.
    pub(super) fn of(dump: &'a str, base: &str) -> Self {
        const SIGN: &str = "# configuration file ";
        let mut files: Vec<(&str, &str)> = Vec::new();
        let (mut at, mut begun) = (0, None);
        for line in dump.split_inclusive('\n') {
            let path = line.trim_end_matches(['\n', '\r']).strip_prefix(SIGN).and_then(|rest| rest.strip_suffix(':'));
            if let Some(path) = path
                && let Some((before, from)) = begun.replace((path, at + line.len()))
            {
                files.push((before, &dump[from..at]));
            }
            at += line.len();
        }
        if let Some((last, from)) = begun {
            files.push((last, &dump[from..]));
        }
        let mut index = HashMap::new();
        for (at, (path, _)) in files.iter().enumerate() {
            index.entry(*path).or_insert(at);
        }
        Dump { base: base.to_owned(), files, index }
    }

    /// Returns the path of the main file; `None` if nothing was printed.
    pub(super) fn main(&self) -> Option<&'a str> {
        self.files.first().map(|(path, _)| *path)
    }

    /// Returns the paths and texts of all files.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files.iter().copied()
    }

    /// Returns a pattern or path as nginx understands it.
    pub(super) fn absolute(&self, path: &str) -> String {
        absolute(&self.base, path)
    }

    /// Tells all statements from the main file on; returns what was not read.
    pub(super) fn walk(&self, listener: &mut dyn Listener) -> Vec<Unread> {
        let mut walk = Walk {
            dump: self,
            listener,
            blocks: Vec::new(),
            read: vec![false; self.files.len()],
            depth: 0,
            seen: 0,
            unread: Vec::new(),
        };
        if !self.files.is_empty() {
            walk.file(0);
        }
        if walk.seen > MOST_STATEMENTS {
            walk.unread.push(Unread::TooMuch);
        } else {
            // nginx prints only what it has read, so there is a way to each of them that was not understood.
            for ((path, _), _) in self.files.iter().zip(&walk.read).filter(|(_, read)| !**read) {
                walk.unread.push(Unread::NotIncluded((*path).to_owned()));
            }
        }
        walk.unread
    }

    /// The files that an include reads.
    fn included(&self, pattern: &str) -> Vec<usize> {
        let pattern = self.absolute(pattern);
        if let Some(at) = self.index.get(pattern.as_str()) {
            return vec![*at];
        }
        if !pattern.contains(['*', '?', '[']) {
            return Vec::new();
        }
        let Some(pattern) = shell_pattern(&pattern) else { return Vec::new() };
        (0..self.files.len()).filter(|at| pattern.matches_with(self.files[*at].0, AS_A_SHELL)).collect()
    }
}

struct Walk<'w, 'a> {
    dump: &'w Dump<'a>,
    listener: &'w mut dyn Listener,
    blocks: Vec<String>,
    read: Vec<bool>,
    depth: usize,
    seen: usize,
    unread: Vec<Unread>,
}

impl Walk<'_, '_> {
    fn file(&mut self, at: usize) {
        let (path, text) = self.dump.files[at];
        if self.depth > DEEPEST_INCLUDE {
            return self.not_read(Unread::TooDeep(path.to_owned()));
        }
        self.read[at] = true;
        self.depth += 1;
        let outer = self.blocks.len();
        if let Err(why) = self.statements(path, text, outer) {
            // nginx has accepted it. One that swap can't read may be of a module with a language of its own.
            self.not_read(Unread::NotUnderstood { path: path.to_owned(), why });
        }
        while self.blocks.len() > outer {
            self.blocks.pop();
            self.listener.close();
        }
        self.depth -= 1;
    }

    /// Says it once, however often the file is included.
    fn not_read(&mut self, what: Unread) {
        if !self.unread.contains(&what) {
            self.unread.push(what);
        }
    }

    fn statements(&mut self, file: &str, text: &str, outer: usize) -> Result<(), String> {
        let mut statements = Statements::of(text);
        let mut words = Vec::new();
        while let Some((line, ending)) = statements.next(&mut words).map_err(|error| error.to_string())? {
            self.seen += 1;
            if self.seen > MOST_STATEMENTS {
                return Ok(());
            }
            let [name, arguments @ ..] = words.as_slice() else {
                if self.blocks.len() == outer {
                    return Err(format!("line {line}: `}}` closes nothing"));
                }
                self.blocks.pop();
                self.listener.close();
                continue;
            };
            let opens = ending == Ending::Open;
            if opens && self.blocks.len() == DEEPEST_BLOCK {
                return Err(format!("line {line}: blocks are nested too deeply"));
            }
            self.listener.statement(&Statement { name, arguments, opens, file, line, blocks: &self.blocks });
            match arguments {
                [pattern] if name == "include" && !opens => {
                    for at in self.dump.included(pattern) {
                        self.file(at);
                    }
                }
                _ if opens => self.blocks.push(name.clone().into_owned()),
                _ => {}
            }
        }
        match self.blocks.get(outer) {
            Some(block) => Err(format!("the block of `{}` is not closed", block.escape_debug())),
            None => Ok(()),
        }
    }
}

/// Returns the path as nginx understands it.
pub(super) fn absolute(prefix: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", prefix.trim_end_matches('/')) }
}

/// Reads a shell pattern as nginx does, by glob(3); `None` where it covers nothing.
fn shell_pattern(pattern: &str) -> Option<Pattern> {
    // There `^` negates as `!` does, and two stars are one.
    let mut pattern = pattern.replace("[^", "[!");
    while pattern.contains("**") {
        pattern = pattern.replace("**", "*");
    }
    Pattern::new(&pattern).ok()
}

/// `*` and `?` cross no `/` and start at no dot.
const AS_A_SHELL: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Tells whether a shell pattern covers a path.
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    shell_pattern(pattern).is_some_and(|pattern| pattern.matches_with(path, AS_A_SHELL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_as_a_shell_would() {
        for (pattern, path, expected) in [
            ("/a/*.conf", "/a/app.conf", true),
            ("/a/*.conf", "/a/.app.conf", false),
            ("/a/*.conf", "/a/b/app.conf", false),
            ("/a/*.conf", "/a/.app.conf.swap-new", false),
            ("/*/a?p.conf", "/a/app.conf", true),
            ("/a/[a-c]pp.*", "/a/app.conf", true),
            ("/a/[!a-c]pp.*", "/a/app.conf", false),
            ("/a/[^a-c]pp.*", "/a/app.conf", false),
            ("/a/[^b-c]pp.*", "/a/app.conf", true),
            ("/a/[]a]pp.*", "/a/app.conf", true),
            ("/a/[!a]app", "/a/.app", false),
            ("/a/**pp.conf", "/a/app.conf", true),
            ("/**/app.conf", "/a/b/app.conf", false),
            ("/a/?", "/a/ß", true),
            ("/a/[", "/a/[", false),
            ("/a/*a*a*a*a*a*a*b", "/a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(covers(pattern, path), expected, "{pattern} {path}");
        }
    }
}
