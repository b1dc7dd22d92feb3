//! Random changes of recorded texts, for what is parsed from outside: whatever comes, nothing panics.
//!
//! Each test takes about a second; `SWAP_FUZZ_SECONDS=600` gives each of them longer. A failure prints the input and the
//! seed; `SWAP_FUZZ_SEED=N` begins with that seed again.

use std::time::{Duration, Instant};

use fastrand::Rng;

/// What breaks parsers, shells, terminals and paths.
const NASTY: [&[u8]; 26] = [
    b"\x1b[2J",
    b"\x1b]0;x\x07",
    b"\n",
    b"\r\n",
    b"\0",
    b"\t",
    b"../",
    b"/../../etc/passwd",
    b"'",
    b"\"",
    b"`id`",
    b"$(id)",
    b"${HOME}",
    b";",
    b"#",
    b"{",
    b"}",
    b"\\",
    b"-1",
    b"18446744073709551616",
    b"0",
    b"null",
    b"[]",
    "\u{202e}".as_bytes(),
    "\u{9b}31m".as_bytes(),
    b"\xff\xfe",
];

/// Gives `check` random changes of the corpus, and the corpus itself first.
#[track_caller]
pub(crate) fn bytes(corpus: &[&[u8]], mut check: impl FnMut(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let limit = number("SWAP_FUZZ_SECONDS").map_or(Duration::from_millis(800), Duration::from_secs);
    let began = Instant::now();
    for input in corpus {
        check(input);
    }
    let mut seed = number("SWAP_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    while began.elapsed() < limit {
        let mut rng = Rng::with_seed(seed);
        let mut input = rng.choice(corpus).map(|input| input.to_vec()).unwrap_or_default();
        for _ in 0..rng.usize(1..6) {
            mutate(&mut input, corpus, &mut rng);
        }
        // Told only if the check panics.
        let told = Told { seed, input: &input };
        check(&input);
        drop(told);
        seed = seed.wrapping_add(1);
    }
}

/// As [`bytes`], for parsers of text.
#[track_caller]
pub(crate) fn texts(corpus: &[&str], mut check: impl FnMut(&str)) {
    let corpus: Vec<&[u8]> = corpus.iter().map(|text| text.as_bytes()).collect();
    bytes(&corpus, |input| check(&String::from_utf8_lossy(input)));
}

/// Fails if a name or path could move a terminal's cursor, fake a line or end a comment.
#[track_caller]
pub(crate) fn harmless(what: &str, text: &str) {
    assert!(!text.chars().any(crate::text::is_control), "{what} has a control character: {text:?}");
}

/// As [`harmless`], for lines that are shown: a tab is what it is.
#[track_caller]
pub(crate) fn harmless_line(what: &str, line: &str) {
    harmless(what, &line.replace('\t', " "));
}

struct Told<'a> {
    seed: u64,
    input: &'a [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SWAP_FUZZ_SEED={}\n{}", self.seed, self.input.escape_ascii());
        }
    }
}

fn mutate(input: &mut Vec<u8>, corpus: &[&[u8]], rng: &mut Rng) {
    let at = rng.usize(..=input.len());
    let end = (at + rng.usize(..16)).min(input.len());
    match rng.u8(..8) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..end)),
        2 => {
            let part = input[at..end].to_vec();
            input.splice(at..at, part);
        }
        3 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = rng.u8(..);
            }
        }
        4 | 5 => {
            let nasty = NASTY[rng.usize(..NASTY.len())];
            let until = if rng.bool() { at } else { end };
            input.splice(at..until, nasty.iter().copied());
        }
        6 => {
            // A line of this text or another one at another place.
            let other = rng.choice(corpus).copied().unwrap_or_default();
            let line = rng.choice(other.split(|byte| *byte == b'\n').collect::<Vec<_>>()).unwrap_or_default();
            input.splice(at..at, line.iter().copied().chain([b'\n']));
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
    }
}
