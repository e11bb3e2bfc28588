//! The one rule for long lines: as wide as the terminal, 80 columns where there is none; broken between words only, so that
//! a name, a path or an address stays in one piece.

use console::Term;

/// Where there is no terminal.
const PIPED: usize = 80;
/// A terminal that says less than this tells no truth.
const LEAST: usize = 40;

/// Where lines end.
pub(crate) fn width(out: &Term) -> usize {
    let columns = out.is_term().then(|| out.size_checked()).flatten();
    columns.map_or(PIPED, |(_, columns)| usize::from(columns).max(LEAST))
}

/// `text` behind a head of `column` columns; further lines begin there, too.
pub(crate) fn hanging(text: &str, column: usize, width: usize) -> String {
    let mut wrapped = String::new();
    let mut at = column;
    for (index, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && at + 1 + length > width && at > column {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(column));
            at = column;
        } else if index > 0 {
            wrapped.push(' ');
            at += 1;
        }
        wrapped.push_str(word);
        at += length;
    }
    wrapped
}

/// Every line that begins at the margin; what is indented is a table, or a command to be copied.
pub(crate) fn paragraphs(text: &str, width: usize) -> String {
    let lines = text.split('\n').map(|line| match line.starts_with(' ') {
        true => line.to_owned(),
        false => hanging(line, 0, width),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words() {
        let word = "x".repeat(25);
        let long = "y".repeat(200);
        let text = hanging(&format!("{word} {word} {word} {long} z"), 25, 80);
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        assert_eq!(lines, [&format!("{word} {word}"), &word, &long, "z"]);
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.starts_with(&" ".repeat(25)))
        );
        // A first word that does not fit stays behind its head.
        assert_eq!(hanging(&long, 25, 80), long);
        assert_eq!(hanging("", 25, 80), "");
        // Blanks of what is shown are what is shown.
        assert_eq!(hanging("a  b", 0, 80), "a  b");
    }

    #[test]
    fn commands_are_left_in_one_piece() {
        let command = format!("  openssl {}", "word ".repeat(40));
        let text = format!("{}\n{command}\n", "word ".repeat(20).trim_end());
        let wrapped = paragraphs(&text, 80);
        assert!(wrapped.contains(&command), "{wrapped}");
        assert_eq!(wrapped.lines().count(), 3, "{wrapped}");
    }
}
