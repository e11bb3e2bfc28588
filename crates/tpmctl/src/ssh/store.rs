//! Keys of TPMs in directories, as SSH has them. No TPM command.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keys::key_dirs::{Entry, Listing};
use rustix::fs::OFlags;

use super::public::{fingerprint, of_line};
use super::wire::Reader;

/// What certificates have at most.
const LONGEST: u64 = 64 << 10;

/// A key that is in a file.
pub(super) struct Found {
    pub(super) entry: Arc<Entry>,
    /// Its type, as SSH calls it.
    pub(super) kind: String,
    /// The public half in SSH's form.
    pub(super) blob: Vec<u8>,
    /// Of the file beside it, or the key's description, or the file's name.
    pub(super) comment: String,
}

impl Found {
    /// `None` for a key on a curve that SSH does not have.
    fn of(entry: &Arc<Entry>) -> Option<Self> {
        let (kind, blob) = entry.public.ssh_blob()?;
        Some(Self {
            comment: entry.comment.as_ref().unwrap_or(&entry.name).clone(),
            entry: Arc::clone(entry),
            kind,
            blob,
        })
    }

    /// The certificate for the key that is beside it (NAME-cert.pub), as it is now.
    pub(super) fn certificate(&self) -> Option<Vec<u8>> {
        let certificate = read_line(&certificate_of(&self.entry.path))?;
        is_for(&certificate, &self.blob).then_some(certificate)
    }

    pub(super) fn path(&self) -> &Path {
        &self.entry.path
    }

    pub(super) fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }
}

/// Directories, and what was in their files when they were read last.
pub(super) struct Store {
    dirs: Vec<PathBuf>,
    listing: Listing,
}

impl Store {
    pub(super) fn new(dirs: Vec<PathBuf>) -> Self {
        Self {
            dirs,
            listing: Listing::default(),
        }
    }

    /// The keys that are there now, in the order of their names; what is no key of a TPM that SSH has is left out.
    pub(super) fn look(&mut self) -> Vec<Found> {
        self.listing.refresh(&self.dirs);
        self.listing
            .entries()
            .iter()
            .filter_map(Found::of)
            .collect()
    }
}

/// `NAME-cert.pub` of `NAME.tpm`, as OpenSSH looks for it.
fn certificate_of(path: &Path) -> PathBuf {
    let mut name = path.with_extension("").into_os_string();
    name.push("-cert.pub");
    name.into()
}

/// Whether a certificate (PROTOCOL.certkeys) is for the key in `blob`: behind its type and a nonce it has what the key has
/// behind its type.
fn is_for(certificate: &[u8], blob: &[u8]) -> bool {
    const ENDING: &str = "-cert-v01@openssh.com";
    let (mut certificate, mut key) = (Reader::new(certificate), Reader::new(blob));
    let kinds = (certificate.text(), key.text());
    let fits = matches!(kinds, (Some(one), Some(other)) if one.strip_suffix(ENDING) == Some(other));
    if !fits || certificate.string().is_none() {
        return false;
    }
    while !key.is_at_end() {
        let part = key.string();
        if part.is_none() || part != certificate.string() {
            return false;
        }
    }
    true
}

fn read_line(path: &Path) -> Option<Vec<u8>> {
    // A pipe by that name does not keep anybody waiting.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).ok()?;
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .ok()?;
    file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    of_line(&text)
}

#[cfg(test)]
mod tests {
    use super::super::wire::string;
    use super::*;

    #[test]
    fn certificates_are_beside_their_keys() {
        for (path, certificate) in [("a/id.tpm", "a/id-cert.pub"), ("a/id", "a/id-cert.pub")] {
            assert_eq!(certificate_of(Path::new(path)), Path::new(certificate));
        }
    }

    #[test]
    fn a_certificate_is_for_one_key() {
        let key = |point: &[u8]| [string(b"x"), string(b"curve"), string(point)].concat();
        let of = |kind: &[u8], point: &[u8]| {
            [
                string(kind),
                string(b"nonce"),
                string(b"curve"),
                string(point),
                string(b"what is certified"),
            ]
            .concat()
        };
        let certificate = of(b"x-cert-v01@openssh.com", b"P");
        assert!(is_for(&certificate, &key(b"P")));
        assert!(!is_for(&certificate, &key(b"Q")));
        assert!(!is_for(&of(b"y-cert-v01@openssh.com", b"P"), &key(b"P")));
        assert!(!is_for(&key(b"P"), &key(b"P")));
        let whole = certificate.len() - string(b"what is certified").len();
        for length in 0..whole {
            assert!(!is_for(&certificate[..length], &key(b"P")), "{length}");
        }
    }
}
