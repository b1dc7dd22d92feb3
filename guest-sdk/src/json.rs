//! JSON, as much as hooks need: read an answer, find a value in it, write a text.
//!
//! Slices are taken by `get`: an index that could panic drags several kilobytes of formatting into every hook. Numbers stay the text that they were. The usual crates turn them into floating point and back, which takes 70 KB, more
//! than all the rest of a hook.

use std::fmt;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// `[…]`
    List(Vec<Value>),
    /// `{…}`, in the order in which it was written.
    Object(Vec<(String, Value)>),
}

/// Arrays and objects may be nested this deep.
const DEPTH: u32 = 64;

impl Value {
    /// Reads JSON. None if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { rest: text };
        let value = reader.value(DEPTH)?;
        reader.space();
        reader.rest.is_empty().then_some(value)
    }

    /// Finds a value by a JSON pointer, as `/services/0/name`; the empty pointer is the value itself.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        let mut value = self;
        for step in pointer.split('/').skip(1) {
            let step = unescaped(step);
            value = match value {
                Value::Object(members) => members.iter().find(|(name, _)| *name == step).map(|(_, value)| value)?,
                Value::List(values) => values.get(step.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// Returns the text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => f.write_str(if *value { "true" } else { "false" }),
            Value::Number(text) => f.write_str(text),
            Value::Text(text) => f.write_str(&quoted(text)),
            Value::List(values) => {
                f.write_str("[")?;
                for (position, value) in values.iter().enumerate() {
                    f.write_str(if position > 0 { "," } else { "" })?;
                    value.fmt(f)?;
                }
                f.write_str("]")
            }
            Value::Object(members) => {
                f.write_str("{")?;
                for (position, (name, value)) in members.iter().enumerate() {
                    f.write_str(if position > 0 { "," } else { "" })?;
                    f.write_str(&quoted(name))?;
                    f.write_str(":")?;
                    value.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Reads a step of a pointer, in which `~1` is a slash and `~0` a tilde.
fn unescaped(step: &str) -> String {
    let mut text = String::new();
    let mut rest = step.chars().peekable();
    while let Some(c) = rest.next() {
        let meant = match (c, rest.peek()) {
            ('~', Some('0')) => '~',
            ('~', Some('1')) => '/',
            _ => {
                text.push(c);
                continue;
            }
        };
        rest.next();
        text.push(meant);
    }
    text
}

/// Writes a text as JSON, with its quotes.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if (c as u32) < 0x20 => {
                out.push_str("\\u00");
                out.push(if c as u32 >= 0x10 { '1' } else { '0' });
                out.push(char::from_digit(c as u32 & 15, 16).unwrap_or('0'));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Takes this text if it comes next, after white space.
    fn take(&mut self, text: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: u32) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        if self.take("null") {
            Some(Value::Null)
        } else if self.take("true") {
            Some(Value::Bool(true))
        } else if self.take("false") {
            Some(Value::Bool(false))
        } else if self.take("\"") {
            self.text().map(Value::Text)
        } else if self.take("[") {
            self.list(depth)
        } else if self.take("{") {
            self.object(depth)
        } else {
            self.number()
        }
    }

    fn list(&mut self, depth: u32) -> Option<Value> {
        let mut values = Vec::new();
        if self.take("]") {
            return Some(Value::List(values));
        }
        loop {
            values.push(self.value(depth)?);
            if self.take("]") {
                return Some(Value::List(values));
            }
            self.take(",").then_some(())?;
        }
    }

    fn object(&mut self, depth: u32) -> Option<Value> {
        let mut members = Vec::new();
        if self.take("}") {
            return Some(Value::Object(members));
        }
        loop {
            self.take("\"").then_some(())?;
            let name = self.text()?;
            self.take(":").then_some(())?;
            members.push((name, self.value(depth)?));
            if self.take("}") {
                return Some(Value::Object(members));
            }
            self.take(",").then_some(())?;
        }
    }

    fn number(&mut self) -> Option<Value> {
        let end =
            self.rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(self.rest.len());
        let number = self.rest.get(..end)?;
        self.rest = self.rest.get(end..)?;
        number.bytes().any(|byte| byte.is_ascii_digit()).then(|| Value::Number(number.to_owned()))
    }

    /// Reads a text up to its closing quote.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let end = self.rest.find(['"', '\\'])?;
            text.push_str(self.rest.get(..end)?);
            let closed = self.rest.as_bytes().get(end) == Some(&b'"');
            self.rest = self.rest.get(end + 1..)?;
            if closed {
                return Some(text);
            }
            text.push(self.escaped()?);
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let kind = self.rest.chars().next()?;
        self.rest = self.rest.get(kind.len_utf8()..)?;
        Some(match kind {
            '"' | '\\' | '/' => kind,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let first = self.unit()?;
                let paired = (0xd800..0xdc00).contains(&first) && self.rest.starts_with("\\u");
                if !paired {
                    return Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                self.rest = self.rest.get(2..)?;
                let second = self.unit()?.wrapping_sub(0xdc00);
                char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second & 0x3ff))
                    .unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        self.rest = self.rest.get(4..)?;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_alike() {
        for text in [
            "null",
            "true",
            "-12.5e+3",
            r#""a\"b\\c\nd""#,
            "[]",
            r#"[1,[2,{"a":3}],false]"#,
            r#"{"a":{},"b":[null,"x"],"ü":"€"}"#,
        ] {
            assert_eq!(Value::parse(text).map(|value| value.to_string()).as_deref(), Some(text));
        }
        assert_eq!(Value::parse(" { \"a\" : [ 1 , 2 ] } \n").unwrap().to_string(), r#"{"a":[1,2]}"#);
        assert_eq!(Value::parse(r#""\u00e9\ud83d\ude00\t""#), Some(Value::Text("é😀\t".into())));
        assert_eq!(quoted("\u{1b}"), r#""\u001b""#);
    }

    #[test]
    fn what_is_no_json_is_none() {
        for text in ["", "{", "[1,]", "{\"a\"}", "nul", "1 2", "\"a", "\"\\x\"", "\"\\u12\"", "<html>", "{a:1}", "-"] {
            assert_eq!(Value::parse(text), None, "{text}");
        }
        assert_eq!(Value::parse(&"[".repeat(100_000)), None);
    }

    #[test]
    fn pointers_find_values() {
        let value = Value::parse(r#"{"a":[{"b/c":1},2],"~":3}"#).unwrap();
        let at = |pointer| value.pointer(pointer).map(Value::to_string);
        assert_eq!(at("/a/0/b~1c").as_deref(), Some("1"));
        assert_eq!(at("/a/1").as_deref(), Some("2"));
        assert_eq!(at("/~0").as_deref(), Some("3"));
        assert_eq!(at("/a/2"), None);
        assert_eq!(at("/a/0/b~1c/d"), None);
    }
}
