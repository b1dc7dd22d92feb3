//! nginx's configuration language: words, quotes, comments, blocks. Pure.
//!
//! It reads what `nginx -T` prints of files that nginx itself has accepted; it judges nothing beyond the shape.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// A directive with its arguments, and its block if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    /// Its first word.
    pub name: String,
    /// The other words, quotes and escapes resolved.
    pub arguments: Vec<String>,
    /// What stands between its braces.
    pub block: Option<Vec<Directive>>,
    /// The line of its first word, counted from 1.
    pub line: usize,
    /// Where its name and its arguments stand, in bytes, quotes included.
    pub words: Vec<Range<usize>>,
    /// Where all of it stands, in bytes, from its first word to its `;` or its `}`.
    pub span: Range<usize>,
    /// The byte after its `{`, if it has a block.
    pub opened: Option<usize>,
}

/// Why a text is not configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError {
    line: usize,
    what: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Blocks deeper than this are refused, so that dropping the tree can't exhaust the stack. nginx's own users reach five.
const DEEPEST: usize = 64;

/// Reads a file's text.
pub(super) fn parse(text: &str) -> Result<Vec<Directive>, SyntaxError> {
    let mut tokens = Tokens { text, line: 1, at: 0, begun: 0 };
    // Each open block is the directives read so far and the directive that will own them; the file itself has none.
    let mut open: Vec<(Vec<Directive>, Directive)> = Vec::new();
    let mut directives = Vec::new();
    let mut words: Vec<(String, Range<usize>)> = Vec::new();
    let mut begun = 1;
    while let Some(token) = tokens.next()? {
        let line = tokens.line;
        match token {
            Token::Word(word) => {
                if words.is_empty() {
                    begun = line;
                }
                words.push((word.into_owned(), tokens.begun..tokens.at));
            }
            Token::End => directives.push(directive(&mut words, begun, line, ";", tokens.at)?),
            Token::Open => {
                if open.len() == DEEPEST {
                    return Err(SyntaxError { line, what: "blocks are nested too deeply".to_owned() });
                }
                let owner = directive(&mut words, begun, line, "{", tokens.at)?;
                let owner = Directive { opened: Some(tokens.at), ..owner };
                if is_script(&owner.name) {
                    tokens.skip_script()?;
                    let span = owner.span.start..tokens.at;
                    directives.push(Directive { block: Some(Vec::new()), span, ..owner });
                } else {
                    open.push((std::mem::take(&mut directives), owner));
                }
            }
            Token::Close => {
                if !words.is_empty() {
                    return Err(SyntaxError {
                        line,
                        what: format!("`{}` is not ended by `;`", words[0].0.escape_debug()),
                    });
                }
                let Some((outer, owner)) = open.pop() else {
                    return Err(SyntaxError { line, what: "`}` closes nothing".to_owned() });
                };
                let block = std::mem::replace(&mut directives, outer);
                let span = owner.span.start..tokens.at;
                directives.push(Directive { block: Some(block), span, ..owner });
            }
        }
    }
    if let Some((_, owner)) = open.pop() {
        let what = format!("the block of `{}` is not closed", owner.name.escape_debug());
        return Err(SyntaxError { line: owner.line, what });
    }
    match words.first() {
        Some((word, _)) => {
            Err(SyntaxError { line: begun, what: format!("`{}` is not ended by `;`", word.escape_debug()) })
        }
        None => Ok(directives),
    }
}

fn directive(
    words: &mut Vec<(String, Range<usize>)>,
    begun: usize,
    line: usize,
    sign: &str,
    end: usize,
) -> Result<Directive, SyntaxError> {
    let (texts, words): (Vec<String>, Vec<Range<usize>>) = std::mem::take(words).into_iter().unzip();
    let mut texts = texts.into_iter();
    let name = texts.next().ok_or_else(|| SyntaxError { line, what: format!("`{sign}` follows no directive") })?;
    let span = words[0].start..end;
    Ok(Directive { name, arguments: texts.collect(), block: None, line: begun, words, span, opened: None })
}

/// OpenResty's blocks hold Lua, in which braces and quotes mean something else.
fn is_script(name: &str) -> bool {
    name.ends_with("_by_lua_block")
}

/// How a statement ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// `;`: a directive without a block.
    Semicolon,
    /// `{`: its block follows. The blocks of scripts are passed over, and end as if they were `;`.
    Open,
    /// `}`: the innermost open block ends; no word stands before it.
    Close,
}

/// The statements of a text one after the other, without a tree: for texts of any length. Blocks are not balanced here.
pub(super) struct Statements<'a> {
    tokens: Tokens<'a>,
}

impl<'a> Statements<'a> {
    /// Begins with a text.
    pub(super) fn of(text: &'a str) -> Self {
        Self { tokens: Tokens { text, line: 1, at: 0, begun: 0 } }
    }

    /// Reads the next statement: fills `words`, and returns the line of its first word and how it ends; `None` at the end.
    ///
    /// # Errors
    /// The text is not configuration.
    pub(super) fn next(&mut self, words: &mut Vec<Cow<'a, str>>) -> Result<Option<(usize, Ending)>, SyntaxError> {
        words.clear();
        let mut begun = 0;
        while let Some(token) = self.tokens.next()? {
            let line = self.tokens.line;
            let shapeless = |what: String| Err(SyntaxError { line, what });
            match token {
                Token::Word(word) => {
                    if words.is_empty() {
                        begun = line;
                    }
                    words.push(word);
                }
                Token::Close if words.is_empty() => return Ok(Some((line, Ending::Close))),
                Token::Close => return shapeless(format!("`{}` is not ended by `;`", words[0].escape_debug())),
                Token::End | Token::Open if words.is_empty() => {
                    let sign = if matches!(token, Token::End) { ";" } else { "{" };
                    return shapeless(format!("`{sign}` follows no directive"));
                }
                Token::End => return Ok(Some((begun, Ending::Semicolon))),
                Token::Open if is_script(&words[0]) => {
                    self.tokens.skip_script()?;
                    return Ok(Some((begun, Ending::Semicolon)));
                }
                Token::Open => return Ok(Some((begun, Ending::Open))),
            }
        }
        match words.first() {
            Some(word) => {
                Err(SyntaxError { line: begun, what: format!("`{}` is not ended by `;`", word.escape_debug()) })
            }
            None => Ok(None),
        }
    }
}

enum Token<'a> {
    Word(Cow<'a, str>),
    End,
    Open,
    Close,
}

/// All that means something is ASCII, so bytes are looked at and none within a character is taken for one of them.
struct Tokens<'a> {
    text: &'a str,
    line: usize,
    /// How many bytes were read.
    at: usize,
    /// Where the last token begins.
    begun: usize,
}

impl<'a> Tokens<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        Some(byte)
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, SyntaxError> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some(b' ' | b'\t' | b'\r' | b'\n') => _ = self.bump(),
                Some(b'#') => while self.bump().is_some_and(|byte| byte != b'\n') {},
                Some(_) => break,
            }
        }
        self.begun = self.at;
        let token = match self.peek() {
            Some(b';') => Token::End,
            Some(b'{') => Token::Open,
            Some(b'}') => Token::Close,
            Some(b'"' | b'\'') => return self.quoted().map(|word| Some(Token::Word(word))),
            _ => return Ok(Some(Token::Word(self.bare()))),
        };
        self.bump();
        Ok(Some(token))
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        let line = self.line;
        let quote = self.bump();
        let begun = self.at;
        let mut escapes = false;
        loop {
            match self.bump() {
                None => return Err(SyntaxError { line, what: "a quote is not closed".to_owned() }),
                Some(b'\\') => {
                    escapes = true;
                    self.bump();
                }
                byte if byte == quote => return Ok(unescaped(&self.text[begun..self.at - 1], escapes)),
                Some(_) => {}
            }
        }
    }

    fn bare(&mut self) -> Cow<'a, str> {
        let begun = self.at;
        let mut escapes = false;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' => break,
                // `${name}` is part of the word; any other brace is not.
                b'{' if self.text[begun..self.at].ends_with('$') => {
                    while self.bump().is_some_and(|byte| byte != b'}') {}
                }
                b'{' => break,
                b'\\' => {
                    escapes = true;
                    self.bump();
                    self.bump();
                }
                _ => _ = self.bump(),
            }
        }
        unescaped(&self.text[begun..self.at], escapes)
    }

    fn skip_script(&mut self) -> Result<(), SyntaxError> {
        let begun = self.line;
        let mut depth = 1;
        let mut quote = None;
        let mut last = b' ';
        while let Some(byte) = self.bump() {
            match (quote, byte) {
                (Some(_), b'\\') => _ = self.bump(),
                (Some(open), _) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'-') if last == b'-' => {
                    if !self.skip_long_bracket(true) {
                        while self.bump().is_some_and(|byte| byte != b'\n') {}
                    }
                }
                (None, b'[') if self.skip_long_bracket(false) => {}
                (None, b'{') => depth += 1,
                (None, b'}') => depth -= 1,
                (None, _) => {}
            }
            if depth == 0 {
                return Ok(());
            }
            last = byte;
        }
        Err(SyntaxError { line: begun, what: "a block of Lua is not closed".to_owned() })
    }

    /// Skips a text between Lua's long brackets, as `[==[ … ]==]`; tells whether there was one. `whole`: its first bracket is
    /// still to come.
    fn skip_long_bracket(&mut self, whole: bool) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let Some(rest) = (if whole { rest.strip_prefix(b"[") } else { Some(rest) }) else { return false };
        let level = rest.iter().take_while(|byte| **byte == b'=').count();
        if rest.get(level) != Some(&b'[') {
            return false;
        }
        let closing = format!("]{}]", "=".repeat(level));
        let end = self.text[self.at..].find(&closing).map_or(self.text.len(), |at| self.at + at + closing.len());
        while self.at < end {
            self.bump();
        }
        true
    }
}

/// Resolves what follows backslashes: quotes, backslashes and the usual letters; the rest keeps its backslash.
fn unescaped(text: &str, escapes: bool) -> Cow<'_, str> {
    if !escapes {
        return Cow::Borrowed(text);
    }
    let mut word = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            word.push(c);
            continue;
        }
        match rest.next() {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
    }
    Cow::Owned(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(directives: &[Directive], indent: usize, text: &mut String) {
        for Directive { name, arguments, block, line, .. } in directives {
            *text += &format!("{}{line} {name} {arguments:?}\n", "  ".repeat(indent));
            show(block.as_deref().unwrap_or_default(), indent + 1, text);
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match parse(text) {
            Ok(directives) => {
                let mut text = String::new();
                show(&directives, 0, &mut text);
                text
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn words_quotes_comments_and_blocks_are_read() {
        check(
            "# a { comment ;\nuser nginx; http{server {\n\tproxy_pass \"http://a b\\\"\";# x\nset $v ${a}b;\r\n}}\nmap $a $b { ~^x\\.y 'z;{'; }",
            concat!(
                "2 user [\"nginx\"]\n",
                "2 http []\n",
                "  2 server []\n",
                "    3 proxy_pass [\"http://a b\\\"\"]\n",
                "    4 set [\"$v\", \"${a}b\"]\n",
                "6 map [\"$a\", \"$b\"]\n",
                "  6 ~^x\\.y [\"z;{\"]\n",
            ),
        );
    }

    #[test]
    fn words_and_blocks_know_where_they_stand() {
        let text = "ü 'a b';\nhttp {\n  x_by_lua_block { } server { c; }\n}\n";
        fn show(text: &str, directives: &[Directive]) -> String {
            let one = |directive: &Directive| {
                let words: Vec<&str> = directive.words.iter().map(|word| &text[word.clone()]).collect();
                let inner = directive.opened.map_or("", |opened| &text[opened..directive.span.end]);
                let block = show(text, directive.block.as_deref().unwrap_or_default());
                format!("{words:?} {:?} {inner:?}\n{block}", &text[directive.span.clone()])
            };
            directives.iter().map(one).collect()
        }
        assert_eq!(
            show(text, &parse(text).unwrap()),
            "\
[\"ü\", \"'a b'\"] \"ü 'a b';\" \"\"
[\"http\"] \"http {\\n  x_by_lua_block { } server { c; }\\n}\" \"\\n  x_by_lua_block { } server { c; }\\n}\"
[\"x_by_lua_block\"] \"x_by_lua_block { }\" \" }\"
[\"server\"] \"server { c; }\" \" c; }\"
[\"c\"] \"c;\" \"\"
"
        );
    }

    #[test]
    fn lua_blocks_are_skipped() {
        check(
            "access_by_lua_block { if x then y = { '}' } end -- }\n} a b;",
            "1 access_by_lua_block []\n2 a [\"b\"]\n",
        );
    }

    #[test]
    fn the_long_brackets_of_lua_hide_what_is_in_them() {
        check(
            "content_by_lua_block { s = [[ it's } ]] t = [==[ ]] } ]==] --[[ { ' ]] u[v[1]] = 2 }\na b;",
            "1 content_by_lua_block []\n2 a [\"b\"]\n",
        );
    }

    #[test]
    fn broken_shapes_are_named() {
        check("a {", "line 1: the block of `a` is not closed");
        check("}", "line 1: `}` closes nothing");
        check("a { b }", "line 1: `b` is not ended by `;`");
        check("\na", "line 2: `a` is not ended by `;`");
        check("a 'b", "line 1: a quote is not closed");
        check(";", "line 1: `;` follows no directive");
        check(&"a {".repeat(100_000), "line 1: blocks are nested too deeply");
    }
}
