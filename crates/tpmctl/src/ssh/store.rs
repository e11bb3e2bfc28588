//! Keys of TPMs in directories, by their public halves. No TPM command.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::public::{fingerprint, named_blob, of_line};
use super::wire::Reader;
use crate::action::key_file::Parsed;

/// No key file is longer.
const LONGEST: u64 = 1 << 20;
/// How much of a file is looked at before the rest: a key's block may stand behind a certificate.
const BEGINNING: u64 = 16 << 10;
/// What public halves and certificates have at most.
const LONGEST_LINE: u64 = 64 << 10;

/// A key that is in a file.
pub(super) struct Found {
    /// The file.
    pub(super) path: PathBuf,
    /// Which content of it.
    pub(super) stamp: Stamp,
    /// Its type, as SSH calls it.
    pub(super) kind: String,
    /// The public half in SSH's form.
    pub(super) blob: Vec<u8>,
    /// Of the file beside it, or the key's description, or the file's name.
    pub(super) comment: String,
    /// The certificate for the key that is beside it (NAME-cert.pub).
    pub(super) certificate: Option<Vec<u8>>,
    /// Whether it needs an authorization value.
    pub(super) needs_pin: bool,
}

impl Found {
    pub(super) fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }

    /// The file's key; somebody may have replaced it since.
    pub(super) fn parsed(&self) -> Option<Parsed> {
        let parsed =
            read(&self.path, LONGEST).and_then(|bytes| Parsed::new(&bytes, &self.path).ok())?;
        let same = parsed
            .public()
            .ok()
            .and_then(|public| named_blob(&public).ok());
        same.is_some_and(|(_, blob)| blob == self.blob)
            .then_some(parsed)
    }
}

/// Tells contents of a file from each other without reading them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What a file says, as long as it is the same.
struct KeyInFile {
    kind: String,
    blob: Vec<u8>,
    description: Option<String>,
    needs_pin: bool,
}

/// The directories, and what was in their files when they were read last.
pub(super) struct Store {
    dirs: Vec<PathBuf>,
    seen: HashMap<PathBuf, (Stamp, Option<Arc<KeyInFile>>)>,
}

impl Store {
    pub(super) fn new(dirs: Vec<PathBuf>) -> Self {
        Self {
            dirs,
            seen: HashMap::new(),
        }
    }

    /// The keys that are there now, in the order of their names. Files that are as they were are not read again; what cannot be
    /// read, or is no key of a TPM that SSH has, is left out.
    pub(super) fn look(&mut self) -> Vec<Arc<Found>> {
        let mut found = Vec::new();
        let mut seen = HashMap::new();
        for dir in &self.dirs {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            paths.sort();
            for path in paths {
                let Some(metadata) = fs::metadata(&path).ok().filter(Metadata::is_file) else {
                    continue;
                };
                let stamp = Stamp::of(&metadata);
                let read = match self.seen.remove(&path) {
                    Some((before, read)) if before == stamp => read,
                    _ => key_in(&path).map(Arc::new),
                };
                if let Some(read) = &read {
                    found.push(Arc::new(with_neighbours(&path, stamp, read)));
                }
                seen.insert(path, (stamp, read));
            }
        }
        self.seen = seen;
        found
    }
}

fn key_in(path: &Path) -> Option<KeyInFile> {
    let beginning = read_some(path, BEGINNING)?;
    if !beginning
        .windows(14)
        .any(|place| place == b"-----BEGIN TSS")
    {
        return None;
    }
    let parsed = Parsed::new(&read(path, LONGEST)?, path).ok()?;
    parsed.check().ok()?;
    let (kind, blob) = named_blob(&parsed.public().ok()?).ok()?;
    let description = match &parsed {
        Parsed::Two(file) => file.description.clone(),
        Parsed::One(_) => None,
    };
    Some(KeyInFile {
        kind,
        blob,
        description: description.filter(|text| !text.is_empty()),
        needs_pin: parsed.has_secret(),
    })
}

fn with_neighbours(path: &Path, stamp: Stamp, read: &KeyInFile) -> Found {
    let beside = |ending: &str| read_line(&beside(path, ending));
    // Of another key is nobody's.
    let comment = beside(".pub").filter(|(blob, _)| *blob == read.blob);
    let name = || {
        let stem = path.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    };
    Found {
        path: path.to_owned(),
        stamp,
        kind: read.kind.clone(),
        blob: read.blob.clone(),
        comment: comment
            .map(|(_, comment)| comment)
            .filter(|comment| !comment.is_empty())
            .or_else(|| read.description.clone())
            .unwrap_or_else(name),
        certificate: beside("-cert.pub")
            .map(|(blob, _)| blob)
            .filter(|certificate| is_for(certificate, &read.blob)),
        needs_pin: read.needs_pin,
    }
}

/// `NAME.pub` of `NAME.tpm`, `NAME.key`, `NAME.pem` and of `NAME`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let has_ending = path
        .extension()
        .is_some_and(|own| own == "tpm" || own == "key" || own == "pem");
    let stem = match has_ending {
        true => path.with_extension(""),
        false => path.to_owned(),
    };
    let mut name = stem.into_os_string();
    name.push(ending);
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

fn read_line(path: &Path) -> Option<(Vec<u8>, String)> {
    let bytes = read(path, LONGEST_LINE)?;
    of_line(str::from_utf8(&bytes).ok()?)
}

/// The file, unless it is longer.
fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let bytes = read_some(path, most + 1)?;
    (bytes.len() as u64 <= most).then_some(bytes)
}

fn read_some(path: &Path, most: u64) -> Option<Vec<u8>> {
    // A pipe by that name does not keep anybody waiting.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).ok()?;
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .ok()?;
    file.metadata().ok().filter(Metadata::is_file)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::wire::string;
    use super::*;

    #[test]
    fn names_beside_a_key() {
        for (path, public) in [
            ("a/id.tpm", "a/id.pub"),
            ("a/id", "a/id.pub"),
            ("a/id.old", "a/id.old.pub"),
            ("a/www.pem", "a/www.pub"),
        ] {
            assert_eq!(beside(Path::new(path), ".pub"), Path::new(public));
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
        for length in 0..certificate.len() {
            // Cut behind the key it is not looked at: whoever verifies it will.
            let _ = is_for(&certificate[..length], &key(b"P"));
        }
    }

    #[test]
    fn what_is_no_key_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "no key").unwrap();
        fs::write(
            dir.path().join("b"),
            "-----BEGIN TSS2 PRIVATE KEY-----\nMA==\n",
        )
        .unwrap();
        fs::create_dir(dir.path().join("c")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("d")).unwrap();
        let missing = dir.path().join("none");
        let mut store = Store::new(vec![dir.path().to_owned(), missing]);
        assert!(store.look().is_empty());
        assert!(store.look().is_empty());
    }
}
