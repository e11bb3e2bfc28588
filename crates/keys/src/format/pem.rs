//! The PEM armour (RFC 7468), read the way OpenSSL does: any text may surround a block.
#![forbid(unsafe_code)]

use pem_rfc7468::LineEnding;

use super::tss2::FileError;
use super::tss12;
use crate::printable;

/// A block of ours, decoded.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) label: &'static str,
    /// The number of its first line in the file, from 1.
    pub(super) line: usize,
    pub(super) der: Vec<u8>,
}

/// How many foreign labels an error names.
const MAX_LABELS: usize = 4;

/// The first block with one of the labels `ours`.
pub(super) fn find(text: &[u8], ours: &[&'static str]) -> Result<Block, FileError> {
    let mut lines = lines(text);
    let mut labels: Vec<String> = Vec::new();
    let mut tpm12 = false;
    while let Some((line, content)) = lines.next() {
        let Some(label) = begin(content) else {
            continue;
        };
        let found = ours.iter().find(|ours| ours.as_bytes() == label);
        if let Some(label) = found {
            return decode(label, line, lines);
        }
        tpm12 |= label == tss12::LABEL.as_bytes();
        let label = printable::quoted(label);
        if labels.len() < MAX_LABELS && !labels.contains(&label) {
            labels.push(label);
        }
    }
    Err(if tpm12 {
        FileError::Tpm12
    } else {
        FileError::NoBlock { labels }
    })
}

/// The content of the first block with a label, if there is a sound one.
pub(crate) fn find_der(text: &[u8], label: &'static str) -> Option<Vec<u8>> {
    find(text, &[label]).ok().map(|block| block.der)
}

/// The blocks of a text, each with its label and its armour; one without an end reaches to the next one.
pub(crate) fn blocks(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    blocks_in_text(text).map(|(label, _, block)| (label, block))
}

/// The same with the text before each, behind the end of the one before it.
pub(crate) fn blocks_in_text(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8], &[u8])> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut at = 0;
    let mut starts = Vec::new();
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        if let Some(label) = begin(line.trim_ascii_end()) {
            starts.push((at, label));
        }
        at += line.len();
    }
    let ends: Vec<usize> = starts.iter().skip(1).map(|(start, _)| *start).collect();
    let ends = ends.into_iter().chain([text.len()]);
    let mut before = 0;
    starts
        .into_iter()
        .zip(ends)
        .map(move |((start, label), end)| {
            let text_before = behind_end(&text[before..start]);
            before = start;
            (label, text_before, &text[start..end])
        })
}

/// What is behind the last END line.
fn behind_end(text: &[u8]) -> &[u8] {
    let mut rest = text;
    let mut at = 0;
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        at += line.len();
        if line.starts_with(b"-----END ") {
            rest = &text[at..];
        }
    }
    rest
}

/// Whether there is any block at all.
pub(super) fn has_block(text: &[u8]) -> bool {
    lines(text).any(|(_, line)| begin(line).is_some())
}

pub(crate) fn write(label: &'static str, der: &[u8]) -> String {
    // The library refuses an impossible label or length only; neither occurs.
    pem_rfc7468::encode_string(label, LineEnding::LF, der).unwrap_or_default()
}

/// The content of the block whose first line has just been read.
fn decode<'a>(
    label: &'static str,
    first: usize,
    lines: impl Iterator<Item = (usize, &'a [u8])>,
) -> Result<Block, FileError> {
    let mut body = Vec::new();
    for (line, content) in lines {
        let broken = |problem| {
            Err(FileError::Armour {
                label,
                line,
                problem,
            })
        };
        if let Some(end) = content.strip_prefix(b"-----END ") {
            if end.strip_suffix(b"-----") != Some(label.as_bytes()) {
                return broken("the END line names another label");
            }
            return match base64(&body) {
                Some(der) => Ok(Block {
                    label,
                    line: first,
                    der,
                }),
                None => broken("the base64 before it is not valid"),
            };
        }
        if content.starts_with(b"-----") {
            return broken("expected base64 or the END line");
        }
        if content.contains(&b':') {
            return broken("there are header lines, as in a file encrypted with a pass phrase");
        }
        body.extend(content.iter().filter(|octet| !octet.is_ascii_whitespace()));
    }
    Err(FileError::Armour {
        label,
        line: first,
        problem: "there is no END line",
    })
}

/// Decodes base64 without white space. The library reads base64 in PEM of its own line width only, so
/// it gets exactly that.
fn base64(body: &[u8]) -> Option<Vec<u8>> {
    const WIDTH: usize = 64;
    let mut text = b"-----BEGIN X-----\n".to_vec();
    for line in body.chunks(WIDTH) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend_from_slice(b"-----END X-----\n");
    pem_rfc7468::decode_vec(&text).ok().map(|(_, der)| der)
}

/// Base64 in one line.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    let text = write("X", bytes);
    text.lines()
        .filter(|line| !line.starts_with("-----"))
        .collect()
}

/// The label, if this is a block's first line.
fn begin(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----")
}

/// The lines with their numbers, without line ends, white space at the end, or a byte order mark.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    (1..).zip(
        text.split(|&octet| octet == b'\n')
            .map(<[u8]>::trim_ascii_end),
    )
}
