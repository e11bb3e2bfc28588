//! Signed policies of unified kernel images: `tpm2-pcr-signature.json`, as systemd-measure writes it and systemd-stub
//! leaves it in /run/systemd.

use std::collections::BTreeMap;
use std::path::Path;

use crypto::Hash;
use keys::policy::{signer, words};
use keys::printable;
use serde::Deserialize;
use tss::tpm2::policy::{AuthorizedPolicy, approval};
use tss::tpm2::{AlgId, PcrSelection, PolicyCommand, Public, Signature, Unique};

use crate::error::Error;
use crate::key::file;

/// An entry: a policy over registers of one bank, its digest, and the signature over that.
#[derive(Deserialize)]
struct Entry {
    pcrs: Vec<u8>,
    /// SHA-256 of the public key's SubjectPublicKeyInfo.
    pkfp: String,
    /// The policy digest.
    pol: String,
    sig: String,
}

/// The entries of a public key: registers with the values of the moment, and the signature. Entries of other keys are
/// passed over.
pub(super) fn read(signatures: &Path, public_key: &Path) -> Result<Vec<AuthorizedPolicy>, Error> {
    let shown = printable::path(signatures);
    let wrong = |what: &str| Error::new(format!("{shown}: {what}"));
    let der = spki(&file::read(public_key)?).ok_or_else(|| {
        Error::new(format!(
            "{} is no public key in PEM",
            printable::path(public_key)
        ))
    })?;
    let key = signer::of_spki(&der)?;
    let fingerprint = crypto::hash(Hash::Sha256, &[&der]);
    let banks: BTreeMap<String, Vec<Entry>> = serde_json::from_slice(&file::read(signatures)?)
        .map_err(|error| wrong(&format!("it is not as systemd-measure writes it: {error}")))?;
    let mut found = Vec::new();
    for (bank, entries) in &banks {
        for entry in entries {
            if words::octets(&entry.pkfp)? != fingerprint {
                continue;
            }
            let registers: Vec<String> = entry.pcrs.iter().map(u8::to_string).collect();
            let selection = words::selection(&format!("{bank}:{}", registers.join(",")))
                .ok_or_else(|| wrong(&format!("it has registers that are none: {bank}")))?;
            let approved = words::octets(&entry.pol)?;
            let bytes = openssl::base64::decode_block(&entry.sig)
                .map_err(|_| wrong("a signature is not in base64"))?;
            found.push(signed(&key, selection, &approved, bytes).ok_or_else(|| {
                wrong("a signature is not that key's over its policy, or not RSASSA with SHA-256")
            })?);
        }
    }
    match found.is_empty() {
        true => Err(wrong("it has no policy that this public key has signed")),
        false => Ok(found),
    }
}

fn signed(
    key: &Public,
    selection: PcrSelection,
    approved: &[u8],
    bytes: Vec<u8>,
) -> Option<AuthorizedPolicy> {
    let Unique::Rsa(modulus) = key.unique() else {
        return None;
    };
    let digest = approval(key, approved, &[]).ok()?;
    let rsa = crypto::rsa::RsaPublic::with_exponent(modulus, 65537).ok()?;
    if !rsa.verify_pkcs1(Hash::Sha256, &digest, &bytes) {
        return None;
    }
    let name = format!("systemd {selection}");
    let registers = PolicyCommand::Pcr {
        registers: vec![selection],
        digest: None,
    };
    let authorize = PolicyCommand::Authorize {
        key: key.clone(),
        policy_ref: Vec::new(),
        signature: Some(Signature::Rsa {
            scheme: AlgId::RSASSA,
            hash: AlgId::SHA256,
            bytes,
        }),
    };
    Some(AuthorizedPolicy {
        name: Some(name),
        commands: vec![registers, authorize],
    })
}

fn spki(pem: &[u8]) -> Option<Vec<u8>> {
    let key = openssl::pkey::PKey::public_key_from_pem(pem).ok()?;
    key.public_key_to_der().ok()
}
