//! Text that others wrote, made fit to be shown: descriptions and labels in key files, names of files, processes and
//! users, settings, what a TPM or a daemon says of itself.
//!
//! Such a text can hold what steers a terminal, turns the reading direction, cannot be seen, or begins a line that
//! looks like ours; or it is so long that nothing else is seen. Two things keep that in check:
//!
//! - Where a foreign text is put into a sentence it is [`quoted`], or given to [`path`] or [`name`]: its reader sees
//!   where it begins and ends.
//! - Where text leaves, into an error queue, a log, a prompt or a terminal, all of it goes through [`line()`] or
//!   [`lines`], so that nothing depends on remembering the first.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many characters of a quotation are shown.
const QUOTED: usize = 80;
/// How many of a path.
const PATH: usize = 300;
/// How many of a line, which is more than any of ours has.
const LINE: usize = 1500;

/// A foreign text between quotation marks: escaped, bytes that are not UTF-8 as `\xff`, and shortened.
pub fn quoted(text: impl AsRef<[u8]>) -> String {
    quoted_within(text.as_ref(), QUOTED)
}

/// The name of a file: as it is where every program would show it so, else quoted.
pub fn path(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().count() <= PATH && !text.contains(|c| steers(c) || c == '"') => {
            text.to_owned()
        }
        _ => quoted_within(bytes, PATH),
    }
}

/// A name that another has given, in a sentence: as it is where it has nothing strange in it, else quoted.
pub fn name(name: &str) -> String {
    let strange = |c: char| steers(c) || c == '"';
    if name.chars().count() <= QUOTED && !name.contains(strange) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// One line of text, our own with others' in it: nothing in there steers, hides or begins another line.
pub fn line(text: &str) -> Cow<'_, str> {
    cleaned(text, |_| false)
}

/// The same for text of several lines.
pub fn lines(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) && text.lines().all(|line| line.len() <= LINE) {
        return Cow::Borrowed(text);
    }
    let parts: Vec<Cow<'_, str>> = text
        .split('\n')
        .map(|line| cleaned(line, |c| c == '\t'))
        .collect();
    Cow::Owned(parts.join("\n"))
}

/// JSON in which no such character stands for itself. Between strings there is none, and in them they have this form.
pub fn json(text: &str) -> Cow<'_, str> {
    let plain = |c: char| !steers(c) || c == '\n';
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        if plain(char) {
            safe.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(safe, "\\u{unit:04x}");
        }
    }
    Cow::Owned(safe)
}

fn quoted_within(bytes: &[u8], limit: usize) -> String {
    let mut text = String::from("\"");
    let mut left = limit;
    'all: for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if left == 0 {
                break 'all;
            }
            left -= 1;
            match char {
                '"' | '\\' => text.extend(['\\', char]),
                char => push(&mut text, char),
            }
        }
        for byte in chunk.invalid() {
            if left == 0 {
                break 'all;
            }
            left -= 1;
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('"');
    if left == 0 && bytes.len() > limit {
        let _ = write!(text, "... ({} bytes)", bytes.len());
    }
    text
}

fn cleaned(text: &str, allowed: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.len() <= LINE && !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len().min(2 * LINE));
    for (count, char) in text.chars().enumerate() {
        if count == LINE {
            let _ = write!(safe, "... ({} bytes)", text.len());
            break;
        }
        if allowed(char) {
            safe.push(char);
        } else {
            push(&mut safe, char);
        }
    }
    Cow::Owned(safe)
}

fn push(text: &mut String, char: char) {
    if steers(char) {
        text.extend(char.escape_default());
    } else {
        text.push(char);
    }
}

/// Whether a character does something else than being seen: control characters of both sets, line separators, and
/// what Unicode calls format characters (Cf), those that turn the direction and those without width among them.
fn steers(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{115f}'..='\u{1160}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1345f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quotation_has_an_end_and_hides_nothing() {
        assert_eq!(quoted("key of web1"), "\"key of web1\"");
        assert_eq!(quoted("Schlüssel für 🔑"), "\"Schlüssel für 🔑\"");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(
            quoted("\u{1b}[2J\r\n\u{202e}x\u{9b}"),
            r#""\u{1b}[2J\r\n\u{202e}x\u{9b}""#
        );
        assert_eq!(quoted(b"\xff\xfeab\xc3"), r#""\xff\xfeab\xc3""#);
        let long = quoted("x".repeat(10_000));
        assert_eq!(long, format!("\"{}\"... (10000 bytes)", "x".repeat(QUOTED)));
        assert_eq!(quoted("y".repeat(QUOTED)).len(), QUOTED + 2);
    }

    #[test]
    fn a_usual_path_is_shown_as_it_is() {
        for usual in ["/etc/tpm/key.pem", "./a b.pem", "Schlüssel.pem"] {
            assert_eq!(path(Path::new(usual)), usual);
        }
        assert_eq!(path(Path::new("a\nb")), r#""a\nb""#);
        let invalid = Path::new(OsStr::from_bytes(b"a\xffb"));
        assert_eq!(path(invalid), r#""a\xffb""#);
    }

    #[test]
    fn lines_keep_their_ends_and_a_line_has_none() {
        assert_eq!(lines("a\n\tb\n"), "a\n\tb\n");
        assert_eq!(lines("a\u{1b}b\n\tc\rd\n"), "a\\u{1b}b\n\tc\\rd\n");
        assert_eq!(line("a\nb"), "a\\nb");
        assert!(line(&"x".repeat(9_999)).ends_with("x... (9999 bytes)"));
    }

    #[test]
    fn json_stays_what_it_was() {
        let value = serde_json::json!({"a\u{1b}\u{202e}": "\u{9b}\u{e0041}\u{7f}\nü🔑"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let safe = json(&text);
        assert!(!safe.chars().any(|c| steers(c) && c != '\n'), "{safe}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            value
        );
    }

    proptest! {
        #[test]
        fn whatever_it_is(bytes in proptest::collection::vec(any::<u8>(), 0..400),
                          text in "\\PC*|[\\x00-\\xff\u{2000}-\u{2070}]*") {
            let path = path(Path::new(OsStr::from_bytes(&bytes)));
            for safe in [quoted(&bytes), path, line(&text).into_owned(), quoted(&text)] {
                prop_assert!(!safe.contains(steers));
                prop_assert!(safe.len() < 12 * LINE);
            }
            prop_assert!(!lines(&text).contains(|c| steers(c) && c != '\n' && c != '\t'));
        }
    }
}
