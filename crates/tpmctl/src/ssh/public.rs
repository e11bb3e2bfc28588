//! Public keys as SSH writes them (RFC 4253, 6.6; RFC 5656, 3.1).

use crypto::Curve;
use keys::{PublicKey, printable};
use openssl::base64::{decode_block, encode_block};
use openssl::sha::sha256;

use super::wire::{mpint, string};
use crate::error::Error;

/// What SSH calls a curve.
pub(crate) fn curve_name(curve: Curve) -> Option<&'static str> {
    match curve {
        Curve::P256 => Some("nistp256"),
        Curve::P384 => Some("nistp384"),
        Curve::P521 => Some("nistp521"),
        _ => None,
    }
}

/// The name of its type, and the key in SSH's form.
pub(crate) fn named_blob(public: &PublicKey) -> Result<(String, Vec<u8>), Error> {
    if let Ok(point) = public.ec() {
        let curve = curve_name(point.curve())
            .ok_or_else(|| Error::new(format!("SSH has no keys on {}", point.curve())))?;
        let name = format!("ecdsa-sha2-{curve}");
        let parts = [name.as_bytes(), curve.as_bytes(), point.point()];
        let blob = parts.map(string).concat();
        return Ok((name, blob));
    }
    let rsa = public.rsa()?;
    let name = "ssh-rsa";
    let blob = [
        string(name.as_bytes()),
        mpint(rsa.exponent()),
        mpint(rsa.modulus()),
    ]
    .concat();
    Ok((name.to_owned(), blob))
}

/// A line of authorized_keys.
pub(crate) fn line(public: &PublicKey, comment: &str) -> Result<String, Error> {
    let (name, blob) = named_blob(public)?;
    let comment = printable::line(comment);
    let line = format!("{name} {} {comment}", encode_block(&blob));
    Ok(format!("{}\n", line.trim_end()))
}

/// The key or certificate in such a line, and its comment.
pub(crate) fn of_line(text: &str) -> Option<(Vec<u8>, String)> {
    let mut words = text.lines().next()?.splitn(3, [' ', '\t']);
    let (_, blob) = (words.next()?, words.next()?);
    let comment = words.next().unwrap_or_default().trim().to_owned();
    Some((decode_block(blob.trim()).ok()?, comment))
}

/// As `ssh-keygen -l` shows it.
pub(crate) fn fingerprint(blob: &[u8]) -> String {
    let digest = encode_block(&sha256(blob));
    format!("SHA256:{}", digest.trim_end_matches('='))
}
