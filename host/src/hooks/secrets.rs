//! Takes secrets out of what is shown or kept. Pure.
//!
//! A secret is also found line by line, where it has several, percent-encoded, as in a URL, and with the escapes of JSON and of
//! messages, in any mixture; and, at the end of a text that was cut off, by its beginning.

/// Stands for a secret.
const HIDDEN: &str = "***";
/// Shorter ones would turn the log into stars and hide nothing.
const SHORTEST: usize = 4;

/// What must not be shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets(Vec<Vec<u8>>);

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
            let part = part.as_bytes();
            if part.len() >= SHORTEST && !self.0.iter().any(|known| known == part) {
                self.0.push(part.to_vec());
            }
        }
        // The longest first, so that the whole is found before its lines.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// Returns no less than the bytes that an encoded secret can have.
    pub(super) fn longest(&self) -> usize {
        // `\u{ff}` stands for one byte.
        self.0.first().map_or(0, |secret| secret.len().saturating_mul(6))
    }

    /// Tells whether the bytes hold a secret.
    pub(super) fn are_in(&self, bytes: &[u8]) -> bool {
        (0..bytes.len()).any(|at| self.at(bytes, at, Edge::Whole).is_some())
    }

    /// Returns the text without secrets.
    pub(super) fn hide(&self, text: &str, edge: Edge) -> String {
        if self.0.is_empty() {
            text.to_owned()
        } else {
            String::from_utf8_lossy(&self.hide_bytes(text.as_bytes(), edge)).into_owned()
        }
    }

    /// Returns the bytes without secrets.
    pub(super) fn hide_bytes(&self, bytes: &[u8], edge: Edge) -> Vec<u8> {
        let mut clean = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            match self.at(bytes, at, edge) {
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

    /// Returns where the secret ends that begins here.
    fn at(&self, bytes: &[u8], at: usize, edge: Edge) -> Option<usize> {
        self.0.iter().find_map(|secret| matches(secret, bytes, at, edge))
    }
}

/// Returns where the secret ends in the bytes, if it begins there.
fn matches(secret: &[u8], bytes: &[u8], begin: usize, edge: Edge) -> Option<usize> {
    // A byte may stand for itself or begin an escape, so there may be more than one way on.
    let mut ways = vec![begin];
    for (index, byte) in secret.iter().enumerate() {
        let mut next = Vec::new();
        for at in ways {
            if at >= bytes.len() && edge == Edge::Cut && index >= SHORTEST {
                return Some(bytes.len());
            }
            for end in steps(*byte, bytes, at) {
                if !next.contains(&end) {
                    next.push(end);
                }
            }
        }
        if next.is_empty() {
            return None;
        }
        ways = next;
    }
    ways.into_iter().max()
}

/// Returns where a byte of a secret may end that is written here in some way.
fn steps(byte: u8, bytes: &[u8], at: usize) -> impl Iterator<Item = usize> {
    let rest = bytes.get(at..).unwrap_or_default();
    let literal = (rest.first() == Some(&byte)).then_some(1);
    let plus = (byte == b' ' && rest.first() == Some(&b'+')).then_some(1);
    let percent = match rest {
        [b'%', high, low, ..] => (hex(&[*high, *low]) == Some(byte.into())).then_some(3),
        _ => None,
    };
    let escape = match rest {
        [b'\\', b'u', b'{', digits @ ..] => digits
            .iter()
            .take(6)
            .position(|digit| *digit == b'}')
            .filter(|length| hex(&digits[..*length]) == Some(byte.into()))
            .map(|length| length + 4),
        [b'\\', b'u', a, b, c, d, ..] => (hex(&[*a, *b, *c, *d]) == Some(byte.into())).then_some(6),
        [b'\\', escaped, ..] => {
            let meant = match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                other => *other,
            };
            (meant == byte).then_some(2)
        }
        _ => None,
    };
    [literal, plus, percent, escape].into_iter().flatten().map(move |length| at + length)
}

fn hex(digits: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
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
    fn what_is_too_short_hides_nothing() {
        assert_eq!(secrets(&["", "abc"]).hide("abc", Edge::Whole), "abc");
    }
}
