//! Digests by OpenSSL's names.
#![forbid(unsafe_code)]

use crypto::Hash;

use crate::openssl::core::{Error, Reason};

/// The digest of that name, or an error that lists what there is.
pub(super) fn digest_named(name: &str) -> Result<Hash, Error> {
    Hash::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Hash::ALL.iter().map(|hash| hash.name()).collect();
        Error::new(
            Reason::UnsupportedScheme,
            format!(
                "the digest {name:?} is not supported with TPM keys; supported: {}",
                known.join(", ")
            ),
        )
    })
}

/// The digest of that name, if one is given.
pub(super) fn digest_or_none(name: Option<&str>) -> Result<Option<Hash>, Error> {
    let name = name.filter(|name| !name.is_empty());
    name.map(digest_named).transpose()
}
