//! What is in a file: keys of ours in any form, and the comment of an SSH public key.
#![forbid(unsafe_code)]

use super::{Content, id};
use crate::format::{pem, tss2, tss12};
use crate::tss2::{FileError, KeyFile, Kind};

/// More keys than this in one file are not looked at.
const MOST_KEYS: usize = 16;

/// The label of a PKCS#8 container, which may hold a key of ours.
const PKCS8: &[u8] = b"PRIVATE KEY";

/// A key, and the identifier that the text before it gives it.
pub(super) type Found = (Content, Option<Vec<u8>>);

/// The keys in a file, or what is wrong with them; none in a file that is not ours.
pub(super) fn keys_in(bytes: &[u8]) -> Vec<Result<Found, FileError>> {
    let bare = |content| (content, None);
    if KeyFile::is_ours(bytes) {
        let found = key_file(KeyFile::from_der(bytes));
        return found.into_iter().map(|found| found.map(bare)).collect();
    }
    if tss12::is_der(bytes) || tss12::is_text(bytes) {
        return vec![blob(bytes).map(bare)];
    }
    pem::blocks_in_text(bytes)
        .filter_map(|(label, before, block)| {
            let found = in_block(label, block)?;
            Some(found.map(|content| (content, id::read(before))))
        })
        .take(MOST_KEYS)
        .collect()
}

fn in_block(label: &[u8], block: &[u8]) -> Option<Result<Content, FileError>> {
    match label {
        PKCS8 => key_file(Ok(KeyFile::from_pem(block).ok()?)),
        label if [tss2::LABEL, tss2::LEGACY_LABEL].iter().any(is(label)) => {
            key_file(KeyFile::from_pem(block))
        }
        label if is(label)(&tss12::LABEL) => Some(blob(block)),
        _ => None,
    }
}

/// `bytes` with another identifier for the key in it; `None` where that has no place: a file in DER, or with several keys.
pub(super) fn with_id(bytes: &[u8], id: &[u8]) -> Option<Vec<u8>> {
    if keys_in(bytes).len() != 1 {
        return None;
    }
    let (_, before, block) =
        pem::blocks_in_text(bytes).find(|(label, _, block)| in_block(label, block).is_some())?;
    // Both are parts of it.
    let at = bytes.windows(block.len()).position(|some| some == block)?;
    let start = at - before.len();
    let text = id::replaced(before, id);
    Some([&bytes[..start], &text, &bytes[at..]].concat())
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
