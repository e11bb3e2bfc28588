//! Public keys as SSH writes them.

use keys::{PublicKey, printable};
use openssl::base64::{decode_block, encode_block};
use openssl::sha::sha256;

use crate::error::Error;

/// The name of its type, and the key in SSH's form.
pub(crate) fn named_blob(public: &PublicKey) -> Result<(String, Vec<u8>), Error> {
    public.ssh_blob().ok_or_else(|| {
        let curve = public.ec().map(|key| key.curve().to_string());
        Error::new(format!("SSH has no keys on {}", curve.unwrap_or_default()))
    })
}

/// A line of authorized_keys.
pub(crate) fn line(public: &PublicKey, comment: &str) -> Result<String, Error> {
    let (name, blob) = named_blob(public)?;
    let comment = printable::line(comment);
    let line = format!("{name} {} {comment}", encode_block(&blob));
    Ok(format!("{}\n", line.trim_end()))
}

/// The key or certificate in such a line.
pub(crate) fn of_line(text: &str) -> Option<Vec<u8>> {
    let mut words = text.lines().next()?.split([' ', '\t']);
    decode_block(words.nth(1)?.trim()).ok()
}

/// As `ssh-keygen -l` shows it.
pub(crate) fn fingerprint(blob: &[u8]) -> String {
    let digest = encode_block(&sha256(blob));
    format!("SHA256:{}", digest.trim_end_matches('='))
}
