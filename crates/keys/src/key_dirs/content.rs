//! What is in a file: keys of ours in any form, and the comment of an SSH public key.
#![forbid(unsafe_code)]

use super::Content;
use crate::format::{pem, tss2, tss12};
use crate::tss2::{FileError, KeyFile, Kind};

/// More keys than this in one file are not looked at.
const MOST_KEYS: usize = 16;

/// The label of a PKCS#8 container, which may hold a key of ours.
const PKCS8: &[u8] = b"PRIVATE KEY";

/// The keys in a file, or what is wrong with them; none in a file that is not ours.
pub(super) fn keys_in(bytes: &[u8]) -> Vec<Result<Content, FileError>> {
    if KeyFile::is_ours(bytes) {
        return key_file(KeyFile::from_der(bytes)).into_iter().collect();
    }
    if tss12::is_der(bytes) || tss12::is_text(bytes) {
        return vec![blob(bytes)];
    }
    pem::blocks(bytes)
        .filter_map(|(label, block)| match label {
            PKCS8 => key_file(Ok(KeyFile::from_pem(block).ok()?)),
            label if [tss2::LABEL, tss2::LEGACY_LABEL].iter().any(is(label)) => {
                key_file(KeyFile::from_pem(block))
            }
            label if is(label)(&tss12::LABEL) => Some(blob(block)),
            _ => None,
        })
        .take(MOST_KEYS)
        .collect()
}

fn is(label: &[u8]) -> impl Fn(&&str) -> bool {
    move |known| known.as_bytes() == label
}

/// Sealed data is no key.
fn key_file(file: Result<KeyFile, FileError>) -> Option<Result<Content, FileError>> {
    match file {
        Ok(file) if file.kind == Kind::Sealed => None,
        Ok(file) => Some(Ok(Content::Tss2(Box::new(file)))),
        Err(error) => Some(Err(error)),
    }
}

fn blob(bytes: &[u8]) -> Result<Content, FileError> {
    tss12::from_bytes(bytes).map(|blob| Content::Tss12(Box::new(blob)))
}

/// The comment behind the first SSH public key in a file (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
pub(super) fn comment_in(bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim();
    let mut words = line.splitn(3, ' ');
    let (kind, _, comment) = (words.next()?, words.next()?, words.next()?.trim());
    let is_key = kind.starts_with("ssh-") || kind.starts_with("ecdsa-");
    (is_key && !comment.is_empty()).then(|| crate::printable::line(comment).to_string())
}
