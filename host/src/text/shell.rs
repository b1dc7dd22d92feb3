//! Words as a POSIX shell reads them.

/// Quotes a text as one word of the shell: nothing in it is seen by the shell.
pub fn quote(text: &str) -> String {
    // A NUL can't be part of a word, nor of any path or file that swap writes.
    format!("'{}'", text.replace('\0', "").replace('\'', r"'\''"))
}

/// Quotes several words.
pub fn quote_all<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    words.into_iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// As [`quote`], for people to read and copy: a word that needs no quotes has none.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { quote(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_need_quotes_have_them() {
        let words = ["/etc/nginx/nginx.conf", "", "a b", "it's", "~", "--x=1"];
        assert_eq!(words.map(shell_word), ["/etc/nginx/nginx.conf", "''", "'a b'", r"'it'\''s'", "'~'", "--x=1"]);
    }
}
