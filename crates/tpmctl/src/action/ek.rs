//! Endorsement keys of this TPM, and their certificates.

use std::path::{Path, PathBuf};

use crypto::Secret;
use keys::{PublicKey, printable};
use openssl::hash::MessageDigest;
use openssl::x509::{X509, X509NameRef};
use serde::Serialize;
use tss::tpm2::constants::handle;
use tss::tpm2::{Endorsement, ResponseCode};

use super::endorsement::{self, Trusted};
use crate::display::{self, hex, hex_bytes};
use crate::ek::args::EkType;
use crate::error::Error;
use crate::key::public::pem;
use crate::settings::Chosen;

/// The NV indices of certificates besides the chain's: the low range, and the high one (TCG EK Credential Profile, 2.2.1.4
/// and 2.2.1.5).
const CERTIFICATES: [u32; 9] = [
    0x01c0_0002,
    0x01c0_000a,
    0x01c0_0012,
    0x01c0_0014,
    0x01c0_0016,
    0x01c0_0018,
    0x01c0_001a,
    0x01c0_001c,
    0x01c0_001e,
];

/// The endorsement keys.
#[derive(Serialize)]
pub(crate) struct EndorsementKeys {
    pub(crate) address: String,
    pub(crate) keys: Vec<EndorsementKey>,
}

/// An endorsement key of a standard template.
#[derive(Serialize)]
pub(crate) struct EndorsementKey {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Where it is persistent.
    pub(crate) handle: Option<String>,
    /// The NV index of its certificate.
    pub(crate) certificate: Option<String>,
    pub(crate) name: Option<String>,
    /// The public half in PEM.
    pub(crate) public: Option<String>,
    /// Why there is none.
    pub(crate) problem: Option<String>,
    /// Whether it was made persistent now.
    pub(crate) created: bool,
}

/// The certificates in NV memory.
#[derive(Serialize)]
pub(crate) struct Certificates {
    pub(crate) address: String,
    pub(crate) certificates: Vec<Certificate>,
    /// Whether all that are of keys verify, where authorities were named.
    pub(crate) verified: Option<bool>,
}

/// A certificate.
#[derive(Serialize)]
pub(crate) struct Certificate {
    /// The NV index; of the chain the first.
    pub(crate) index: String,
    /// Whether it is an authority's, of the chain.
    pub(crate) of_chain: bool,
    pub(crate) subject: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) not_before: Option<String>,
    pub(crate) not_after: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) sha256: Option<String>,
    /// Why it cannot be read.
    pub(crate) problem: Option<String>,
    pub(crate) verified: Option<bool>,
    /// Why it does not verify.
    pub(crate) why: Option<String>,
    /// Where it was written.
    pub(crate) file: Option<PathBuf>,
    #[serde(skip)]
    pub(crate) pem: Option<String>,
}

/// A kind of endorsement keys as the command line has it.
pub(crate) fn kind(named: EkType) -> Endorsement {
    match named {
        EkType::Ecc => Endorsement::Ecc,
        EkType::Rsa => Endorsement::Rsa,
    }
}

/// Reads the endorsement keys, or has the TPM make them where they are not persistent.
///
/// # Errors
///
/// A refusal where one kind was named; without, what a TPM does not have is a problem of that key.
pub(crate) fn show(
    chosen: &Chosen,
    named: Option<Endorsement>,
    auth: &Secret,
) -> Result<EndorsementKeys, Error> {
    let client = chosen.client()?;
    let indices = client.handles(handle::NV_FIRST)?;
    let mut keys = Vec::new();
    for kind in Endorsement::ALL {
        if named.is_some_and(|named| named != kind) {
            continue;
        }
        match key(chosen, kind, auth, &indices) {
            Ok(key) => keys.push(key),
            Err(error) if named.is_some() => return Err(error),
            Err(error) => keys.push(EndorsementKey {
                problem: Some(error.to_string()),
                ..EndorsementKey::of(kind, &indices)
            }),
        }
    }
    Ok(EndorsementKeys {
        address: client.endpoint().address().to_string(),
        keys,
    })
}

fn key(
    chosen: &Chosen,
    kind: Endorsement,
    auth: &Secret,
    indices: &[u32],
) -> Result<EndorsementKey, Error> {
    let client = chosen.client()?;
    let public = client.endorsement_key(kind, auth, &chosen.tpm.config().parent_auth)?;
    // One that is there and is another's was not taken.
    let persistent = match client.read_public(kind.handle()) {
        Ok(found) => found.public == public,
        Err(error) if error.code().is_some_and(ResponseCode::is_bad_handle) => false,
        Err(error) => return Err(error.into()),
    };
    Ok(EndorsementKey {
        kind: display::kind(&public),
        handle: persistent.then(|| hex(kind.handle())),
        name: public.name().ok().map(|name| name.to_string()),
        public: Some(pem("PUBLIC KEY", &PublicKey::of(&public)?.to_spki())?),
        ..EndorsementKey::of(kind, indices)
    })
}

impl EndorsementKey {
    fn of(kind: Endorsement, indices: &[u32]) -> Self {
        let index = kind.certificate();
        Self {
            kind: match kind {
                Endorsement::Ecc => "EC P-256".to_owned(),
                Endorsement::Rsa => "RSA 2048".to_owned(),
            },
            handle: None,
            certificate: indices.contains(&index).then(|| hex(index)),
            name: None,
            public: None,
            problem: None,
            created: false,
        }
    }
}

/// Whether the key is persistent already; an error where another key is in its place.
pub(crate) fn is_persistent(chosen: &Chosen, kind: Endorsement) -> Result<bool, Error> {
    match chosen.client()?.read_public(kind.handle()) {
        Ok(found) if Endorsement::of(&found.public) == Some(kind) => Ok(true),
        Ok(_) => Err(Error::new(format!(
            "another key is at {} already, which is no endorsement key of the standard template; whoever made it may need it. \
             `tpmctl key list` shows it",
            hex(kind.handle())
        ))),
        Err(error) if error.code().is_some_and(ResponseCode::is_bad_handle) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes it persistent, if it is not.
pub(crate) fn create(
    chosen: &Chosen,
    kind: Endorsement,
    auth: &Secret,
) -> Result<EndorsementKey, Error> {
    let client = chosen.client()?;
    let was_there = is_persistent(chosen, kind)?;
    if !was_there {
        let owner = &chosen.tpm.config().parent_auth;
        client
            .make_endorsement_key(kind, auth, owner)
            .map_err(Error::of_the_owner)?;
    }
    let indices = client.handles(handle::NV_FIRST)?;
    Ok(EndorsementKey {
        created: !was_there,
        ..key(chosen, kind, auth, &indices)?
    })
}

/// Reads the certificates; those of keys are checked with the authorities in files, with the chain's help.
pub(crate) fn certificates(
    chosen: &Chosen,
    trusted: Option<&Trusted>,
) -> Result<Certificates, Error> {
    let client = chosen.client()?;
    let owner = &chosen.tpm.config().parent_auth;
    let indices = client.handles(handle::NV_FIRST)?;
    let chain = endorsement::chain(client, owner, &indices)?;
    let mut certificates = Vec::new();
    for index in CERTIFICATES
        .into_iter()
        .filter(|index| indices.contains(index))
    {
        let read = client.nv_read_with(index, &Secret::empty(), owner)?;
        let Ok(certificate) = X509::from_der(&read) else {
            certificates.push(Certificate {
                problem: Some("it is damaged, or no certificate".to_owned()),
                verified: trusted.map(|_| false),
                ..Certificate::empty(index)
            });
            continue;
        };
        let verdict = trusted.map(|trusted| trusted.verify(&certificate, &chain));
        certificates.push(Certificate {
            verified: verdict.as_ref().map(Result::is_ok),
            why: verdict.and_then(Result::err),
            ..Certificate::new(index, &certificate)?
        });
    }
    let verified = trusted.map(|_| {
        let of_keys = &certificates;
        !of_keys.is_empty() && of_keys.iter().all(|one| one.verified == Some(true))
    });
    for certificate in &chain {
        certificates.push(Certificate {
            of_chain: true,
            ..Certificate::new(*endorsement::CHAIN.start(), certificate)?
        });
    }
    Ok(Certificates {
        address: client.endpoint().address().to_string(),
        certificates,
        verified,
    })
}

/// The authorities in files.
pub(crate) fn authorities(paths: &[PathBuf]) -> Result<Option<Trusted>, Error> {
    if paths.is_empty() {
        return Ok(None);
    }
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| {
            Error::new(format!("{} cannot be read: {error}", printable::path(path)))
        })
    };
    let contents = paths.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let files = paths.iter().map(|path| -> &Path { path }).zip(contents);
    Trusted::new(files).map(Some)
}

impl Certificate {
    fn empty(index: u32) -> Self {
        Self {
            index: hex(index),
            of_chain: false,
            subject: None,
            issuer: None,
            not_before: None,
            not_after: None,
            serial: None,
            sha256: None,
            problem: None,
            verified: None,
            why: None,
            file: None,
            pem: None,
        }
    }

    fn new(index: u32, certificate: &X509) -> Result<Self, Error> {
        let serial = certificate.serial_number().to_bn();
        let digest = certificate.digest(MessageDigest::sha256());
        Ok(Self {
            // Many have none, and the manufacturer's names in an extension.
            subject: Some(name(certificate.subject_name())).filter(|name| !name.is_empty()),
            issuer: Some(name(certificate.issuer_name())),
            not_before: Some(certificate.not_before().to_string()),
            not_after: Some(certificate.not_after().to_string()),
            serial: serial
                .and_then(|number| number.to_hex_str().map(|text| text.to_string()))
                .ok(),
            sha256: digest.ok().map(|digest| hex_bytes(&digest)),
            pem: Some(endorsement::pem_of(certificate)?),
            ..Self::empty(index)
        })
    }
}

/// A distinguished name, as `O=..., CN=...`.
fn name(name: &X509NameRef) -> String {
    let entries = name.entries().map(|entry| {
        let value = entry
            .data()
            .to_string()
            .unwrap_or_else(|_| hex_bytes(entry.data().as_slice()));
        let kind = entry.object().nid().short_name().unwrap_or("?");
        format!("{kind}={value}")
    });
    entries.collect::<Vec<_>>().join(", ")
}
