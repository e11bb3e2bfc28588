//! Keys as text, for `openssl pkey -text` and `tpmctl key show`.
#![forbid(unsafe_code)]

use std::fmt::Write;

use crypto::Curve;
use crypto::rsa::RsaPublic;
use crypto::spki::PssParams;
use tss::transport::Family;

use super::tss2::KeyFile;
use super::{Key, PublicKey};

impl Key {
    /// What can be said about the key: type, size, parent, attributes, policy, then its numbers.
    /// `private` adds what concerns the private half; none of it is secret.
    pub fn describe(&self, private: bool) -> String {
        let mut text = String::new();
        let (kind, bits) = (self.key_type().name(), self.public().bits());
        // Writing to a String cannot fail.
        let _ = if private {
            let family = match self.family() {
                Family::Tpm2 => "2.0",
                Family::Tpm12 => "1.2",
            };
            writeln!(text, "TPM {family} {kind} private key: ({bits} bit)")
        } else {
            // OpenSSL's heading, which scripts look for.
            writeln!(text, "Public-Key: ({bits} bit)")
        };
        if private {
            text.push_str(&self.backend.describe());
        }
        match self.public() {
            PublicKey::Rsa { key, pss } => describe_rsa(&mut text, key, pss.as_ref()),
            PublicKey::Ec(key) => {
                hex_block(&mut text, "pub", key.point());
                describe_curve(&mut text, key.curve());
            }
        }
        text
    }
}

fn describe_rsa(text: &mut String, key: &RsaPublic, pss: Option<&PssParams>) {
    // OpenSSL shows the sign octet of the DER integer.
    let sign = key
        .modulus()
        .first()
        .is_some_and(|byte| byte & 0x80 != 0)
        .then_some(0);
    let modulus: Vec<u8> = sign
        .into_iter()
        .chain(key.modulus().iter().copied())
        .collect();
    hex_block(text, "Modulus", &modulus);
    let exponent = key
        .exponent()
        .iter()
        .fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
    let _ = writeln!(text, "Exponent: {exponent} (0x{exponent:x})");
    if let Some(pss) = pss {
        let _ = writeln!(
            text,
            "PSS parameter restrictions:\n  Hash Algorithm: {}\n  Mask Algorithm: MGF1 with {}\n  \
             Salt Length: {}",
            pss.hash, pss.mgf_hash, pss.salt_length
        );
    }
}

/// The curve as `openssl pkey -text` names it.
pub(crate) fn describe_curve(text: &mut String, curve: Curve) {
    let _ = writeln!(text, "ASN1 OID: {}", curve.name());
    if let Some(name) = curve.nist_name() {
        let _ = writeln!(text, "NIST CURVE: {name}");
    }
}

/// Bytes in OpenSSL's layout: fifteen to a line, indented by four, colons between.
fn hex_block(text: &mut String, title: &str, bytes: &[u8]) {
    let _ = writeln!(text, "{title}:");
    let all: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<String> = all
        .chunks(15)
        .map(|line| format!("    {}", line.join(":")))
        .collect();
    let _ = writeln!(text, "{}", lines.join(":\n"));
}

impl KeyFile {
    /// The parent in words.
    pub fn parent_text(&self) -> String {
        let name = match self.parent {
            0x4000_0001 => "owner hierarchy",
            0x4000_0007 => "null hierarchy",
            0x4000_000b => "endorsement hierarchy",
            0x4000_000c => "platform hierarchy",
            handle => return format!("persistent key 0x{handle:08x}"),
        };
        let primary = match (self.legacy, self.rsa_parent) {
            (true, _) => "legacy ECC primary",
            (false, true) => "RSA-2048 primary",
            (false, false) => "standard ECC P-256 primary",
        };
        format!("{primary} of the {name} (0x{:08x})", self.parent)
    }

    /// The policy in words.
    pub fn policy_text(&self) -> String {
        if self.policy.is_empty() && self.auth_policies.is_empty() {
            return "none".into();
        }
        let mut parts: Vec<String> = self
            .policy
            .iter()
            .map(|command| command.name().to_string())
            .collect();
        parts.extend(self.auth_policies.iter().map(|policy| {
            let commands: Vec<String> = policy
                .policy
                .iter()
                .map(|command| command.name().to_string())
                .collect();
            format!("signed [{}]", commands.join(", "))
        }));
        parts.join(", ")
    }
}
