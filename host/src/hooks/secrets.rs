//! Takes secrets out of what is shown or kept. Pure.
//!
//! A secret is also found line by line, where it has several, percent-encoded, as in a URL, and with the escapes of JSON and of
//! messages, in any mixture; and, at the end of a text that was cut off, by its beginning.

/// Stands for a secret.
const HIDDEN: &str = "***";
/// Shorter ones would turn the log into stars and hide nothing.
const SHORTEST: usize = 4;

/// What must not be shown: a tree of bytes, so that many secrets take no longer than one.
#[derive(Debug, Clone)]
pub(super) struct Secrets {
    /// The first is the root.
    nodes: Vec<Node>,
    /// How long the longest is.
    longest: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    next: Vec<(u8, usize)>,
    /// Whether a secret ends here.
    ends: bool,
}

impl Default for Secrets {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], longest: 0 }
    }
}

/// Whether a text ends where it ended, or was cut off there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    Whole,
    Cut,
}

impl Secrets {
    /// Hides a secret from here on, and each of its lines.
    pub(super) fn add(&mut self, secret: &str) {
        for part in std::iter::once(secret).chain(secret.lines().map(str::trim)) {
            spellings(part)
                .iter()
                .filter(|spelling| spelling.len() >= SHORTEST)
                .for_each(|spelling| self.grow(spelling));
        }
    }

    fn grow(&mut self, secret: &[u8]) {
        let mut node = 0;
        for byte in secret {
            node = match self.next(node, *byte) {
                Some(next) => next,
                None => {
                    let next = self.nodes.len();
                    self.nodes[node].next.push((*byte, next));
                    self.nodes.push(Node::default());
                    next
                }
            };
        }
        self.nodes[node].ends = true;
        self.longest = self.longest.max(secret.len());
    }

    fn next(&self, node: usize, byte: u8) -> Option<usize> {
        self.nodes[node].next.iter().find(|(next, _)| *next == byte).map(|(_, next)| *next)
    }

    /// Returns no less than the bytes that an encoded secret can have.
    pub(super) fn longest(&self) -> usize {
        // `\u{ff}` stands for one byte.
        self.longest.saturating_mul(6)
    }

    /// Tells whether the bytes hold a secret.
    pub(super) fn are_in(&self, bytes: &[u8]) -> bool {
        let mut ways = Ways::default();
        (0..bytes.len()).any(|at| self.at(bytes, at, Edge::Whole, &mut ways).is_some())
    }

    /// Returns the text without secrets.
    pub(super) fn hide(&self, text: &str, edge: Edge) -> String {
        if self.longest == 0 {
            text.to_owned()
        } else {
            String::from_utf8_lossy(&self.hide_bytes(text.as_bytes(), edge)).into_owned()
        }
    }

    /// Returns the bytes without secrets.
    pub(super) fn hide_bytes(&self, bytes: &[u8], edge: Edge) -> Vec<u8> {
        let mut clean = Vec::with_capacity(bytes.len());
        let mut ways = Ways::default();
        let mut at = 0;
        while at < bytes.len() {
            match self.at(bytes, at, edge, &mut ways) {
                Some(end) => {
                    clean.extend_from_slice(HIDDEN.as_bytes());
                    at = end;
                }
                None => {
                    clean.push(bytes[at]);
                    at += 1;
                }
            }
        }
        clean
    }

    /// Returns where the longest secret ends that begins here.
    fn at(&self, bytes: &[u8], at: usize, edge: Edge, ways: &mut Ways) -> Option<usize> {
        // Hooks can say much, and what they say is looked through while nothing else goes on: nearly always this is all.
        if !meant(bytes, at).any(|(byte, _)| self.next(0, byte).is_some()) {
            return None;
        }
        let mut found = None;
        let mut length = 0;
        ways.now.clear();
        ways.now.push((0, at));
        while !ways.now.is_empty() {
            ways.next.clear();
            for (node, at) in &ways.now {
                if *at >= bytes.len() && edge == Edge::Cut && length >= SHORTEST {
                    return Some(bytes.len());
                }
                // A byte may stand for itself or begin an escape, so there may be more than one way on.
                for (byte, written) in meant(bytes, *at) {
                    let Some(next) = self.next(*node, byte) else { continue };
                    let way = (next, at + written);
                    if self.nodes[next].ends {
                        found = found.max(Some(at + written));
                    }
                    if !ways.next.contains(&way) {
                        ways.next.push(way);
                    }
                }
            }
            std::mem::swap(&mut ways.now, &mut ways.next);
            length += 1;
        }
        found
    }
}

/// Returns a secret as it is, and where one escape may stand for several of its bytes, with those escapes.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let mut all = vec![secret.as_bytes().to_vec()];
    if !secret.is_ascii() {
        let escaped = |escape: &dyn Fn(char) -> String| {
            let char = |c: char| if c.is_ascii() { c.to_string() } else { escape(c) };
            secret.chars().map(char).collect::<String>().into_bytes()
        };
        let units = |c: char| c.encode_utf16(&mut [0; 2]).to_vec();
        all.push(escaped(&|c| c.escape_unicode().to_string()));
        all.push(escaped(&|c| units(c).iter().map(|unit| format!("\\u{unit:04x}")).collect()));
        all.push(escaped(&|c| units(c).iter().map(|unit| format!("\\u{unit:04X}")).collect()));
    }
    all
}

/// Where secrets that may go on were followed to: each a node, and a place in the text. Kept, so that they are allocated once.
#[derive(Default)]
struct Ways {
    now: Vec<(usize, usize)>,
    next: Vec<(usize, usize)>,
}

/// Returns which bytes of a secret may be written here, each with the length of what is written.
fn meant(bytes: &[u8], at: usize) -> impl Iterator<Item = (u8, usize)> {
    let rest = bytes.get(at..).unwrap_or_default();
    let literal = rest.first().map(|byte| (*byte, 1));
    let special = match rest {
        [b'+', ..] => Some((b' ', 1)),
        [b'%', high, low, ..] => hex(&[*high, *low]).map(|byte| (byte, 3)),
        [b'\\', b'u', b'{', digits @ ..] => {
            let length = digits.iter().take(6).position(|digit| *digit == b'}');
            length.and_then(|length| Some((hex(&digits[..length])?, length + 4)))
        }
        [b'\\', b'u', a, b, c, d, ..] => hex(&[*a, *b, *c, *d]).map(|byte| (byte, 6)),
        [b'\\', escaped, ..] => {
            let byte = match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                other => *other,
            };
            Some((byte, 2))
        }
        _ => None,
    };
    [literal, special].into_iter().flatten()
}

/// Reads a byte in hexadecimal, with zeros before it or without.
fn hex(digits: &[u8]) -> Option<u8> {
    let number = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    u8::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(all: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        all.iter().for_each(|secret| secrets.add(secret));
        secrets
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_written() {
        let secrets = secrets(&["p@ss word/%41\"ü"]);
        for text in [
            "p@ss word/%41\"ü",
            "p%40ss%20word%2F%2541%22%C3%BC",
            "p%40ss+word%2f%2541%22%c3%bc",
            "p@ss%20word/%2541\\\"ü",
            "p@ss word\\/%41\\\"\\u00fc",
            "p@ss word/%41\\u0022\\u00FC",
            "p@ss word/%41\\\"\\u{fc}",
        ] {
            assert_eq!(secrets.hide(&format!("a={text}&b"), Edge::Whole), "a=***&b", "{text}");
            assert!(secrets.are_in(format!("a={text}").as_bytes()), "{text}");
        }
        assert_eq!(secrets.hide("p@ss words/", Edge::Whole), "p@ss words/");
        assert_eq!(secrets.hide("p@ss wor", Edge::Whole), "p@ss wor");
        assert_eq!(secrets.hide("so p@ss wor", Edge::Cut), "so ***");
    }

    #[test]
    fn a_secret_of_several_lines_is_hidden_line_by_line() {
        let pem = "-----BEGIN KEY-----\r\nMIIBfirst\r\nsecond==\r\n-----END KEY-----\r\n";
        let secrets = secrets(&[pem]);
        assert_eq!(secrets.hide(&format!("x{pem}y"), Edge::Whole), "x***y");
        assert_eq!(secrets.hide("got MIIBfirst and second==", Edge::Whole), "got *** and ***");
        assert_eq!(secrets.hide(&format!("{pem:?}"), Edge::Whole), "\"***\"");
    }

    #[test]
    fn many_secrets_take_about_as_long_as_one() {
        let lines: String = (0..50).map(|line| format!("-----{line:0>60}\n")).collect();
        let time = |secrets: &Secrets, text: &str| {
            let one = |_| {
                let begin = std::time::Instant::now();
                assert_eq!(secrets.hide(text, Edge::Whole).len(), text.len());
                begin.elapsed()
            };
            (0..5).map(one).min().unwrap()
        };
        // What begins as all of them, what begins no secret, and what might be an escape.
        for text in ["-", "x", "%", "\\"].map(|byte| byte.repeat(50_000)) {
            let (one, all) = (time(&secrets(&["-----secret"]), &text), time(&secrets(&[&lines]), &text));
            assert!(all < one * 5, "{}: {all:?} with 50 lines, {one:?} with one", &text[..1]);
        }
    }

    #[test]
    fn what_is_too_short_hides_nothing() {
        assert_eq!(secrets(&["", "abc"]).hide("abc", Edge::Whole), "abc");
    }
}
