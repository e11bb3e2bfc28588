//! The key files of simple-tpm-pk11: lines `exp`, `mod` and `blob` with a number in hexadecimal each, and
//! comments. The blob alone is the key; the two others must agree with it.
#![forbid(unsafe_code)]

use tss::tpm12::KeyBlob;

use crate::printable;
use crate::tss2::FileError;

const WORDS: [&str; 3] = ["exp", "mod", "blob"];

/// Whether it is such a file as far as a glance tells: a text with a line of each of two of the words.
pub(super) fn is_ours(bytes: &[u8]) -> bool {
    let Some(text) = std::str::from_utf8(bytes).ok() else {
        return false;
    };
    let has = |word| lines(text).any(|(_, first, _)| first == word);
    has("blob") && (has("mod") || has("exp"))
}

/// Reads a file, in which an unknown word is an error as it is for simple-tpm-pk11.
pub(super) fn read(bytes: &[u8]) -> Result<KeyBlob, FileError> {
    let wrong = |line, problem: String| Err(FileError::Text { line, problem });
    let Ok(text) = std::str::from_utf8(bytes) else {
        return wrong(1, "this is no text".into());
    };
    let mut values: [Option<(usize, Vec<u8>)>; 3] = Default::default();
    let mut last = 0;
    for (line, word, value) in lines(text) {
        last = line;
        let Some(place) = WORDS.iter().position(|known| *known == word) else {
            return wrong(line, format!("unknown word {}", printable::quoted(word)));
        };
        let Some(number) = hexadecimal(value) else {
            return wrong(line, format!("{word} has no number in hexadecimal"));
        };
        if values[place].replace((line, number)).is_some() {
            return wrong(line, format!("a second {word}"));
        }
    }
    let [Some(exponent), Some(modulus), Some(blob)] = values else {
        let missing = WORDS.iter().zip(values).find(|(_, value)| value.is_none());
        let word = missing.map_or("", |(word, _)| word);
        return wrong(last, format!("there is no line with {word}"));
    };
    let Ok(key) = KeyBlob::parse(&blob.1) else {
        return wrong(
            blob.0,
            "the blob is not exactly one TPM_KEY with an RSA key".into(),
        );
    };
    if significant(&modulus.1) != significant(key.modulus()) {
        return wrong(modulus.0, "the modulus is not the blob's".into());
    }
    if significant(&exponent.1) != significant(&key.exponent().to_be_bytes()) {
        return wrong(exponent.0, "the exponent is not the blob's".into());
    }
    Ok(key)
}

/// Writes a file.
pub(super) fn write(key: &KeyBlob) -> String {
    let exponent = key.exponent().to_be_bytes();
    // As OpenSSL writes numbers: whole octets, the first of which is not 0.
    format!(
        "# A key of a TPM 1.2.\nexp {}\nmod {}\nblob {}\n",
        hex::encode(significant(&exponent)),
        hex::encode(significant(key.modulus())),
        hex::encode(key.as_bytes())
    )
}

/// The lines that say something: their number from 1, their first word and the rest.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    (1..)
        .zip(text.lines())
        .map(|(number, line)| (number, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            (number, word, rest)
        })
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    hex::decode(text).ok().filter(|octets| !octets.is_empty())
}

fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const STPM: &str = include_str!("../../../../../tests/data/tpm12/my.key");

    #[test]
    fn order_comments_and_line_ends_do_not_matter() {
        let key = read(STPM.as_bytes()).unwrap();
        let mut lines: Vec<&str> = STPM.lines().collect();
        lines.reverse();
        let text = format!("\n{}\r\n# end\n", lines.join("\r\n"));
        assert_eq!(read(text.as_bytes()).unwrap(), key);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let without = |word: &str| {
            let lines: Vec<&str> = STPM
                .lines()
                .filter(|line| !line.starts_with(word))
                .collect();
            lines.join("\n")
        };
        for (text, part) in [
            (without("exp"), "there is no line with exp"),
            (without("mod"), "there is no line with mod"),
            (STPM.replace("exp 010001", "exp 03"), "line 3: the exponent"),
            (STPM.replace("exp 010001", "exp 0"), "line 3: exp has no"),
            (STPM.replace("mod cd", "mod ce"), "line 4: the modulus"),
            (STPM.replace("blob 0101", "blob 0201"), "line 5: the blob"),
            (
                STPM.replace("blob 0101", "blob 01x1"),
                "line 5: blob has no",
            ),
            (format!("{STPM}pin 1234\n"), "line 6: unknown word \"pin\""),
            (format!("{STPM}exp 010001\n"), "line 6: a second exp"),
        ] {
            assert!(is_ours(text.as_bytes()), "{part}");
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!is_ours(without("blob").as_bytes()));
    }
}
