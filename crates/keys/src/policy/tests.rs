//! Tests of policies in files: octets by hand from the draft's table and the specification's, what is wrong in them,
//! and what is written is read again.
#![forbid(unsafe_code)]

use tss::tpm2::policy::{AuthorizedPolicy, Comparison, Operand, PcrSelection, Signer};
use tss::tpm2::{AlgId, CommandCode, Entity, Name, Policy, PolicyCommand, Public, Signature};

use super::words::octets;
use super::{document, file};
use crate::tss2::{self, KeyFile};

mod bodies;
mod documents;
mod files;
mod properties;
mod signers;

/// A P-256 key that signs (`TPMT_PUBLIC`, Part 2, 12.2.4), but for its point.
const SIGNER: &str = "0023 000b 00060040 0000 0010 0010 0003 0010";
/// Registers 0 and 7 by SHA-256 (`TPML_PCR_SELECTION`).
const REGISTERS: &str = "00000001 000b 03 810000";

/// Octets in hexadecimal, between which spaces do not count.
fn hex(digits: &str) -> Vec<u8> {
    match digits.replace(' ', "") {
        none if none.is_empty() => Vec::new(),
        digits => octets(&digits).unwrap(),
    }
}

/// The digits of 32 equal octets.
fn thirty_two(octet: &str) -> String {
    octet.repeat(32)
}

/// The name of an object by SHA-256, as a `TPM2B_NAME`.
fn name() -> String {
    format!("0022 000b {}", thirty_two("07"))
}

/// What [`name`] is the name of, at a handle.
fn entity(handle: u32) -> Entity {
    Entity::object(handle, Name::from_bytes(&hex(&name())[2..]))
}

/// A key as a `TPM2B_PUBLIC`.
fn signer() -> String {
    format!(
        "0056 {SIGNER} 0020 {} 0020 {}",
        thirty_two("0a"),
        thirty_two("0b")
    )
}

/// What [`signer`] is.
fn public() -> Public {
    Public::from_tpm2b(&hex(&signer())).unwrap()
}

/// An ECDSA signature by SHA-256 (`TPMT_SIGNATURE`).
fn signature() -> String {
    format!(
        "0018 000b 0020 {} 0020 {}",
        thirty_two("0c"),
        thirty_two("0d")
    )
}

/// What [`signature`] is.
fn ecdsa() -> Signature {
    Signature::Ecc {
        scheme: AlgId::ECDSA,
        hash: AlgId::SHA256,
        r: vec![0x0c; 32],
        s: vec![0x0d; 32],
    }
}

fn registers() -> Vec<PcrSelection> {
    vec![PcrSelection::new(AlgId::SHA256, &[0, 7]).unwrap()]
}

fn raw(code: u32, body: &str) -> tss2::PolicyCommand {
    tss2::PolicyCommand {
        code,
        body: hex(body),
    }
}

/// PolicyAuthorize, which a policy begins with that has signed ones.
fn authorize(signature: &str) -> tss2::PolicyCommand {
    raw(0x16a, &format!("{} 0000 {signature}", signer()))
}

/// A key file with this policy; its blobs are not looked at.
fn with(policy: Vec<tss2::PolicyCommand>) -> KeyFile {
    KeyFile {
        policy,
        ..KeyFile::loadable(tss2::OWNER, hex("0002 aabb"), hex("0001 cc"))
    }
}
