//! Keys of a TPM 1.2 in words.
#![forbid(unsafe_code)]

use std::fmt::Write;

use tss::tpm12::{EncScheme, Format, KeyBlob, SigScheme};

/// How error messages call the key's abilities.
pub(super) fn abilities(blob: &KeyBlob) -> String {
    format!(
        "it is a {} key of a TPM 1.2, its signature scheme is {}, its encryption scheme {}",
        blob.usage().name(),
        sig_scheme_name(blob.sig_scheme()),
        enc_scheme_name(blob.enc_scheme())
    )
}

/// The specification's meaning of a signature scheme (part 2, 5.8).
pub fn sig_scheme_name(scheme: SigScheme) -> &'static str {
    match scheme {
        SigScheme::NONE => "none",
        SigScheme::SHA1 => "PKCS#1 v1.5 with SHA-1 only",
        SigScheme::DER => "PKCS#1 v1.5 with any digest",
        SigScheme::INFO => "PKCS#1 v1.5 of the TPM's own structures",
        _ => "unknown",
    }
}

/// The specification's meaning of an encryption scheme (part 2, 5.8).
pub fn enc_scheme_name(scheme: EncScheme) -> &'static str {
    match scheme {
        EncScheme::NONE => "none",
        EncScheme::PKCS1 => "PKCS#1 v1.5",
        EncScheme::OAEP => "OAEP with the label \"TCPA\"",
        _ => "unknown",
    }
}

/// What concerns the private half, in lines; none of it is secret.
pub(super) fn describe_blob(blob: &KeyBlob) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "Parent: storage root key (SRK)\nStructure: {}\nUsage: {}\nSignature scheme: {}\nEncryption scheme: {}\n\
         Migratable: {}\nAuthorization value: {}\nBound to PCRs: {}",
        match blob.format() {
            Format::Key => "TPM_KEY",
            Format::Key12 => "TPM_KEY12",
        },
        blob.usage().name(),
        sig_scheme_name(blob.sig_scheme()),
        enc_scheme_name(blob.enc_scheme()),
        yes(blob.flags() & KeyBlob::MIGRATABLE != 0),
        if blob.needs_auth() {
            "asked for when the key is loaded"
        } else {
            "none"
        },
        yes(blob.is_bound_to_pcrs()),
    );
    text
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
