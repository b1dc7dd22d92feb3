//! What is done with text in many places: made harmless, shortened, quoted, compared, bounded.
//!
//! # Layout
//!
//! ```text
//! bounded     of a stream the first or the last bytes
//! shell       words as a shell reads them
//! ```
//!
//! **Invariant:** nothing here knows what a text is about.

mod bounded;
mod shell;

pub use bounded::{Beginning, End, Lines};
pub use shell::{quote, quote_all, shell_word};

/// Returns the text without what could move a terminal's cursor, fake a line or turn one around: control characters are
/// escaped, and those that change the direction of writing too.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        match is_control(c) && c != '\t' {
            true => printable.extend(c.escape_default()),
            false => printable.push(c),
        }
    }
    printable
}

/// Tells whether a character is obeyed instead of shown: one of the control characters, a line's or paragraph's end, or one
/// that changes the direction of writing.
pub fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns at most so many bytes of the text; where that is not all of it, `…` follows.
pub fn shortened(text: &str, limit: usize) -> String {
    match text.len() > limit {
        true => format!("{}…", &text[..text.floor_char_boundary(limit)]),
        false => text.to_owned(),
    }
}

/// Returns the first twelve digits of an image's or a container's id, as the docker command shows them.
pub fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

/// As [`short`], where it may be a name instead of an id: names stay whole.
pub fn short_or_name(id: &str) -> &str {
    if is_id(id) { short(id) } else { id }
}

/// Tells whether the text is an id as the engine makes them: 64 digits in hexadecimal.
pub fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the known word that a mistyped one may have meant: the nearest, where at most one of its letters is wrong, and one
/// more of each four.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known.into_iter().map(|known| (strsim::damerau_levenshtein(word, known), known));
    let (distance, near) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + near.len() / 4).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_moves_no_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\tc\r\n"), "a\\u{1b}[2Jb\tc\\r\\n");
        assert_eq!(printable("exit \u{202e}0\u{9b}2J"), "exit \\u{202e}0\\u{9b}2J");
    }

    #[test]
    fn what_is_shortened_ends_between_letters_and_says_so() {
        assert_eq!(shortened("straße", 6), "straß…");
        assert_eq!(shortened("straße", 5), "stra…");
        assert_eq!(shortened("straße", 7), "straße");
    }

    #[test]
    fn ids_are_short_and_names_whole() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(short(&format!("sha256:{id}")), "0123456789ab");
        assert_eq!([short(&id), short("app"), short("")], ["0123456789ab", "app", ""]);
        assert_eq!([short_or_name(&id), short_or_name("project-service-1")], ["0123456789ab", "project-service-1"]);
    }

    #[test]
    fn the_nearest_word_is_meant_if_it_is_near() {
        let known = ["app", "worker", "order"];
        for (word, meant) in [("ap", Some("app")), ("wroker", Some("worker")), ("oder", Some("order")), ("db", None)] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        assert_eq!(nearest("app", []), None);
    }
}
