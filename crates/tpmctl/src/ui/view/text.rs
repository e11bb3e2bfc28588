//! Lines of a width: cutting, filling and wrapping by what characters take on a screen.

use ratatui::text::{Line, Span};

use super::look::Look;
use crate::ui::model::table::Detail;

/// The columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// A text in so many columns: filled with blanks, or cut with a sign for it.
pub(crate) fn fitted(text: &str, columns: usize, look: Look) -> String {
    let cut = cut(text, columns, look);
    let missing = columns.saturating_sub(width(&cut));
    cut + &" ".repeat(missing)
}

/// A text in so many columns at most.
pub(crate) fn cut(text: &str, columns: usize, look: Look) -> String {
    let text = look.shown(text).replace(['\n', '\t'], " ");
    if width(&text) <= columns {
        return text;
    }
    let mut cut = head(&text, columns.saturating_sub(1)).to_owned();
    if columns > 0 {
        cut.push_str(look.ellipsis());
    }
    cut
}

/// As much of a text's beginning as fits.
fn head(text: &str, columns: usize) -> &str {
    let mut end = 0;
    for (at, character) in text.char_indices() {
        let next = at + character.len_utf8();
        if width(&text[..next]) > columns {
            break;
        }
        end = next;
    }
    &text[..end]
}

/// The lines of a text, broken between words, and within those that are too long.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let mut word = word;
            let gap = usize::from(!line.is_empty());
            if width(&line) + gap + width(word) > columns && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            } else if gap == 1 {
                line.push(' ');
            }
            while width(word) > columns {
                let first = match head(word, columns) {
                    "" => word,
                    first => first,
                };
                lines.push(first.to_owned());
                word = &word[first.len()..];
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// The column behind the names of facts.
const NAMES: usize = 14;

/// What there is to say of something, as lines.
pub(crate) fn details(details: &[Detail], columns: usize, look: Look) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for detail in details {
        match detail {
            Detail::Fact(name, value) if columns < 2 * NAMES => {
                lines.push(Line::styled(look.shown(name), look.aside()));
                let value = look.shown(value);
                lines.extend(wrapped(&value, columns).into_iter().map(Line::raw));
            }
            Detail::Fact(name, value) => {
                let mut name = fitted(name, NAMES, look);
                name.push(' ');
                let value = look.shown(value);
                for line in wrapped(&value, columns.saturating_sub(NAMES + 1)) {
                    lines.push(Line::from(vec![
                        Span::styled(name, look.aside()),
                        Span::raw(line),
                    ]));
                    name = " ".repeat(NAMES + 1);
                }
            }
            Detail::Text(text) => {
                let text = look.shown(text);
                lines.extend(wrapped(&text, columns).into_iter().map(Line::raw));
            }
            Detail::Command(command) => {
                let command = look.shown(&format!("$ {command}"));
                let wrapped = wrapped(&command, columns).into_iter();
                lines.extend(wrapped.map(|line| Line::styled(line, look.key())));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look {
        colour: false,
        ascii: false,
    };

    #[test]
    fn texts_fit_their_columns() {
        assert_eq!(fitted("ab", 4, LOOK), "ab  ");
        assert_eq!(fitted("abcdef", 4, LOOK), "abc…");
        assert_eq!(fitted("日本語", 4, LOOK), "日… ");
        assert_eq!(fitted("abc", 0, LOOK), "");
        let ascii = Look {
            ascii: true,
            ..LOOK
        };
        assert_eq!(fitted("é: abcdef", 6, ascii), "?: ab~");
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(
            wrapped("a verylongword b", 6),
            ["a", "verylo", "ngword", "b"]
        );
        assert_eq!(wrapped("", 5), Vec::<String>::new());
        assert_eq!(wrapped("a\n\nb", 5), ["a", "", "b"]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_wider_than_its_place(text in "[ -~é日]{0,200}", columns in 2usize..40) {
            let shown = keys::printable::line(&text).into_owned();
            for line in wrapped(&shown, columns) {
                assert!(width(&line) <= columns, "{line:?}");
            }
            assert_eq!(width(&fitted(&shown, columns, LOOK)), columns);
        }
    }
}
