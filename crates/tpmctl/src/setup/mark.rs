//! What says that a text is ours, and whether somebody has changed it since.

use crypto::{Hash, hash};

const WHOLE: &str =
    "# Written by `tpmctl setup`, which takes it away with --remove. As it was written: sha256:";
const BEGIN: &str = "# Written by `tpmctl setup`, which takes it away with --remove:";
const END: &str = "# End of what `tpmctl setup` has written: sha256:";

/// Whose a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Ours, as it was written.
    Ours,
    /// Ours, and changed since.
    Edited,
    /// Somebody else's.
    Theirs,
}

fn digest(text: &str) -> String {
    hex::encode(&hash(Hash::Sha256, &[text.as_bytes()])[..8])
}

/// A whole file: the text and the mark behind it.
pub(super) fn whole(text: &str) -> String {
    format!("{text}\n{WHOLE}{}\n", digest(text))
}

pub(super) fn of_whole(text: &str) -> Whose {
    let Some((body, mark)) = text.split_once(WHOLE) else {
        return Whose::Theirs;
    };
    let body = body.strip_suffix('\n').unwrap_or(body);
    match mark.strip_suffix('\n') == Some(&digest(body)) {
        true => Whose::Ours,
        false => Whose::Edited,
    }
}

/// A part of somebody's file.
pub(super) fn block(text: &str) -> String {
    format!("{BEGIN}\n{text}{END}{}\n", digest(text))
}

/// A file without our parts, and whose they are (`Theirs`: there are none); nothing where a part has no end.
pub(super) fn without(text: &str) -> Option<(String, Whose)> {
    let mut rest = String::new();
    let mut whose = Whose::Theirs;
    let mut inside: Option<String> = None;
    for line in text.split_inclusive('\n') {
        match &mut inside {
            None if line.trim_end() == BEGIN => inside = Some(String::new()),
            None => rest.push_str(line),
            Some(body) => match line.trim_end().strip_prefix(END) {
                None => body.push_str(line),
                Some(mark) => {
                    if mark != digest(body) {
                        whose = Whose::Edited;
                    } else if whose == Whose::Theirs {
                        whose = Whose::Ours;
                    }
                    inside = None;
                }
            },
        }
    }
    inside.is_none().then_some((rest, whose))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_know_whose_they_are() {
        for text in ["", "a\n", "#!/bin/sh\nx\n", "no end"] {
            let file = whole(text);
            assert_eq!(of_whole(&file), Whose::Ours, "{file}");
            assert_eq!(of_whole(&format!("x{file}")), Whose::Edited);
            assert_eq!(of_whole(&format!("{file}x\n")), Whose::Edited);
            assert_eq!(of_whole(text), Whose::Theirs);
        }
    }

    #[test]
    fn parts_go_and_the_rest_stays() {
        let file = format!("a\n{}b\n{}", block("x = 1\n"), block("y\n"));
        assert_eq!(without(&file), Some(("a\nb\n".to_owned(), Whose::Ours)));
        let edited = file.replace("x = 1", "x = 2");
        assert_eq!(without(&edited), Some(("a\nb\n".to_owned(), Whose::Edited)));
        assert_eq!(without("a\n"), Some(("a\n".to_owned(), Whose::Theirs)));
        assert_eq!(without(&format!("{BEGIN}\nx\n")), None);
    }
}
