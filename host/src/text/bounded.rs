//! What is kept of a stream that may be longer than anybody reads.

use std::borrow::Cow;

/// The first bytes of something that may be long.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beginning {
    bytes: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl Beginning {
    /// Keeps no more than so many bytes.
    pub fn of(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, cut: false }
    }

    /// Takes what comes next.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.bytes.len());
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Tells whether more came than was kept.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Returns what was kept.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns what was kept.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The last bytes of something that may be long.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct End {
    bytes: Vec<u8>,
    limit: usize,
    dropped: usize,
}

impl End {
    /// Keeps no more than so many bytes.
    pub fn of(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, dropped: 0 }
    }

    /// Takes what comes next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Cut seldom, so that each byte is moved about once.
        if self.bytes.len() > 2 * self.limit + 4096 {
            self.cut();
        }
    }

    /// Tells whether more came than is kept.
    pub fn is_cut(&self) -> bool {
        self.dropped > 0 || self.bytes.len() > self.limit
    }

    /// Returns the text, and in its first line how much is missing before it, if anything is.
    pub fn text(mut self) -> String {
        self.cut();
        match self.dropped {
            0 => self.bare_text(),
            count => format!("[{count} bytes before this were dropped]\n{}", self.bare_text()),
        }
    }

    /// Returns the text, without a word of what is missing before it.
    pub fn bare_text(mut self) -> String {
        self.cut();
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn cut(&mut self) {
        let over = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..over);
        self.dropped += over;
    }
}

/// Puts the pieces of a stream together to lines.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    begun: Vec<u8>,
    longest: usize,
}

impl Lines {
    /// Keeps of each line no more than so many bytes.
    pub fn of(longest: usize) -> Self {
        Self { begun: Vec::new(), longest }
    }

    /// Takes what comes next, and tells each line that is whole now, without its end.
    pub fn push(&mut self, bytes: &[u8], mut on_line: impl FnMut(&str)) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    on_line(&self.begun());
                    self.begun.clear();
                }
                _ if self.begun.len() < self.longest => self.begun.push(*byte),
                _ => {}
            }
        }
    }

    /// Returns the line that has no end yet, if one has begun.
    pub fn rest(&self) -> Option<String> {
        (!self.begun.is_empty()).then(|| self.begun().into_owned())
    }

    fn begun(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.begun.strip_suffix(b"\r").unwrap_or(&self.begun))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_kept_to_the_byte_and_says_when_it_was_cut() {
        let mut kept = Beginning::of(4);
        kept.push(b"ab");
        kept.push(b"c\xff");
        assert_eq!((kept.bytes(), kept.is_cut()), (&b"abc\xff"[..], false));
        kept.push(b"");
        assert!(!kept.is_cut());
        kept.push(b"x");
        assert_eq!((kept.bytes(), kept.is_cut()), (&b"abc\xff"[..], true));
    }

    #[test]
    fn an_end_is_the_last_bytes_and_tells_how_many_are_missing() {
        for size in [1, 7, 5000] {
            let all = "0123456789\n".repeat(1000);
            let mut kept = End::of(8);
            all.as_bytes().chunks(size).for_each(|bytes| kept.push(bytes));
            assert!(kept.is_cut());
            assert_eq!(kept.clone().bare_text(), "3456789\n");
            assert_eq!(kept.text(), "[10992 bytes before this were dropped]\n3456789\n");
        }
        let mut kept = End::of(8);
        kept.push(b"12345678");
        assert!(!kept.is_cut());
        assert_eq!(kept.text(), "12345678");
    }

    #[test]
    fn lines_are_told_when_they_are_whole_and_no_longer_than_they_may_be() {
        for size in 1..20 {
            let (mut lines, mut told) = (Lines::of(4), Vec::new());
            b"a\r\n\nlonger\nend\r".chunks(size).for_each(|bytes| lines.push(bytes, |line| told.push(line.to_owned())));
            assert_eq!((told, lines.rest()), (vec!["a".into(), "".into(), "long".into()], Some("end".into())));
        }
        assert_eq!(Lines::of(4).rest(), None);
    }
}
