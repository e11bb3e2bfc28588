//! Taking PKCS#1 v1.5 encryption padding off, without telling by time whether it was right.
//!
//! Whoever can tell a right padding from a wrong one can decrypt any ciphertext (Bleichenbacher's
//! attack), so everything up to the final choice is free of branches and of addresses that depend on
//! the block.
#![forbid(unsafe_code)]

use ctutils::{Choice, CtAssign, CtEq, CtLt, CtSelect};
use zeroize::Zeroizing;

use super::super::CryptoError;
use super::super::hash::{Hash, hmac};
use super::PKCS1_OVERHEAD;

/// The message in a decrypted block (RFC 8017, 7.2.2).
///
/// `block` is the whole decrypted block, as long as the modulus. The check is constant in time; its
/// outcome, being the result, is not hidden. Prefer [`pkcs1_decrypt_implicit`].
///
/// # Errors
/// [`CryptoError::Padding`].
pub fn pkcs1_decrypt(block: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let (good, start) = locate(block);
    if !good.to_bool() {
        return Err(CryptoError::Padding);
    }
    Ok(Zeroizing::new(
        block.get(start..).ok_or(CryptoError::Padding)?.to_vec(),
    ))
}

/// The message in a decrypted block or, if the padding is wrong, a message made up from the
/// ciphertext: implicit rejection as OpenSSL does it since 3.2 (draft-irtf-cfrg-rsa-guidance, 7).
///
/// The made-up message looks random, differs between keys and is the same whenever the same
/// ciphertext comes again, so an attacker learns nothing from its content or length. `secret` is some
/// secret value of the key that stays the same (OpenSSL hashes the private exponent, which we do not
/// have); `ciphertext` is what was decrypted, as long as the modulus.
///
/// # Errors
/// [`CryptoError::Length`] when `block` is too short to hold any padding or longer than 64 KiB, which
/// no RSA key makes.
pub fn pkcs1_decrypt_implicit(
    block: &[u8],
    secret: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let size = block.len();
    let max_message = match size.checked_sub(PKCS1_OVERHEAD - 1) {
        Some(max @ 1..=0x1fff) => max,
        _ => {
            let expected = "the length of the modulus";
            return Err(CryptoError::Length {
                what: "the decrypted block",
                actual: size,
                expected,
            });
        }
    };
    // The ciphertext counts as a number of the modulus's width.
    let ciphertext = super::super::fixed_width(ciphertext, size).ok_or(CryptoError::OutOfRange)?;
    let kdk = hmac(Hash::Sha256, secret, &[&ciphertext]);

    let synthetic = expand(&kdk, b"message", size);
    // 128 candidates of two octets; the last one below the maximum is the length. That none is has a
    // chance of 2^-128 at most, and then the message is empty.
    let candidates = expand(&kdk, b"length", 256);
    // All ones up to the maximum's top bit.
    let mask = (max_message + 1).next_power_of_two() - 1;
    let mut length = 0;
    for candidate in candidates.chunks_exact(2) {
        let candidate = candidate
            .iter()
            .fold(0, |n, &octet| n << 8 | usize::from(octet))
            & mask;
        length.ct_assign(&candidate, candidate.ct_lt(&max_message));
    }

    let (good, start) = locate(block);
    let start = (size - length).ct_select(&start, good);
    // From here on the place is as secret as the message's length, which the result tells anyway. The
    // choice of content stays hidden.
    let tail = block.iter().zip(synthetic.iter()).skip(start);
    let mut message = Zeroizing::new(Vec::with_capacity(size));
    message.extend(tail.map(|(real, made_up)| made_up.ct_select(real, good)));
    Ok(message)
}

/// OpenSSL's expansion: HMAC-SHA256 of a two-octet counter, the label, and the length in bits.
fn expand(kdk: &[u8], label: &[u8], size: usize) -> Zeroizing<Vec<u8>> {
    let bits = ((size * 8) as u16).to_be_bytes();
    let mut out = Zeroizing::new(Vec::with_capacity(size + Hash::Sha256.size()));
    for counter in 0u16.. {
        if out.len() >= size {
            break;
        }
        out.extend_from_slice(&hmac(
            Hash::Sha256,
            kdk,
            &[&counter.to_be_bytes(), label, &bits],
        ));
    }
    out.truncate(size);
    out
}

/// Whether the block is well padded, and where its message would start.
fn locate(block: &[u8]) -> (Choice, usize) {
    let &[first, second, ref rest @ ..] = block else {
        return (Choice::FALSE, 0);
    };
    let mut zero_at = 0;
    let mut found = Choice::FALSE;
    for (index, &octet) in (2..).zip(rest) {
        let is_zero = octet.ct_eq(&0);
        zero_at.ct_assign(&index, !found & is_zero);
        found |= is_zero;
    }
    let good = first.ct_eq(&0) & second.ct_eq(&2) & found & !zero_at.ct_lt(&(PKCS1_OVERHEAD - 1));
    (good, zero_at + 1)
}

/// The premaster secret in a decrypted block of a TLS RSA key exchange, or `fallback` if anything
/// about it is wrong (RFC 5246, 7.4.7.1), chosen in constant time.
///
/// `fallback` is random, drawn before the decryption. `client_version` is the version that the client
/// offered, which the premaster repeats; `negotiated`, if given, is tolerated in its place (old
/// clients' mistake, OpenSSL's `SSL_OP_TLS_ROLLBACK_BUG`).
pub fn tls_premaster(
    block: &[u8],
    client_version: u16,
    negotiated: Option<u16>,
    fallback: &[u8; PREMASTER],
) -> Zeroizing<[u8; PREMASTER]> {
    let mut out = Zeroizing::new(*fallback);
    let Some((padding, secret)) = block
        .len()
        .checked_sub(PREMASTER)
        .and_then(|start| block.split_at_checked(start))
        .filter(|(padding, _)| padding.len() >= PKCS1_OVERHEAD)
    else {
        return out;
    };
    let (Some((&[first, second], filler)), Some(&[major, minor])) =
        (padding.split_first_chunk(), secret.first_chunk())
    else {
        return out;
    };
    let Some((&separator, filler)) = filler.split_last() else {
        return out;
    };

    let mut good = first.ct_eq(&0) & second.ct_eq(&2) & separator.ct_eq(&0);
    for &octet in filler {
        good &= !octet.ct_eq(&0);
    }
    let version = u16::from_be_bytes([major, minor]);
    let mut version_good = version.ct_eq(&client_version);
    if let Some(negotiated) = negotiated {
        version_good |= version.ct_eq(&negotiated);
    }
    good &= version_good;
    for (out, octet) in out.iter_mut().zip(secret) {
        out.ct_assign(octet, good);
    }
    out
}

/// The length of a TLS premaster secret, in bytes.
const PREMASTER: usize = 48;

#[cfg(test)]
mod tests;
