//! Directories of key files: what is in them, without a TPM.
//!
//! A file is looked at by its content, whatever its name; only names that begin with a dot are passed over, so that
//! there is a place for what is being written and for what was given up. What is not a key file, is too large or cannot
//! be read is no fault: the directory is the user's, and so is what else is in it. Looking again costs a stat(2) for
//! each file that has not changed.
#![forbid(unsafe_code)]

mod certificate;
mod content;
mod entry;
mod id;
mod replace;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crypto::Hash;
use tss::tpm12::KeyBlob;
use zeroize::Zeroizing;

use crate::format::tss2::KeyFile;
use crate::{PublicKey, printable};

pub use certificate::{Certificate, certificates_of};
pub use entry::Entry;
pub use id::{LONGEST_ID, id_text};
pub use replace::Replacement;
pub use write::{TRASH, place_for_new, set_comment, to_trash, write_new};

/// The largest file that is looked at, in bytes: real key files have a few hundred, and a chain of certificates may be
/// in them.
const LARGEST: usize = 256 << 10;

/// More directories' entries than this are not looked at.
const MOST_FILES: usize = 100_000;

/// Looks at bytes as at a file: for the fuzzer.
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(crate) fn look(bytes: &[u8]) {
    for certificate in certificate::all_in(bytes) {
        assert!(!certificate.short_id().is_empty());
        assert_eq!(
            Certificate::from_der(&certificate.der).as_ref(),
            Some(&certificate)
        );
        let _ = certificate.subject_name();
    }
    for entry in entries_in(Path::new("/nonexistent/fuzz.tpm"), bytes) {
        assert_eq!(entry.public.short_id().len(), 20);
        let _ = entry.public.to_ssh();
    }
    let _ = content::comment_in(bytes);
}

/// The machine's directory of keys.
const MACHINE: &str = "/etc/tpm-provider/keys";

/// Where keys are if nobody says so: the user's, who has this home directory and this place for data (XDG_DATA_HOME), and
/// the machine's.
pub fn usual(home: Option<&Path>, data: Option<&Path>) -> Vec<PathBuf> {
    let data = data
        .map(Path::to_owned)
        .or_else(|| home.map(|home| home.join(".local/share")));
    home.map(|home| home.join(".ssh"))
        .into_iter()
        .chain(data.map(|data| data.join("tpm-provider/keys")))
        .chain([PathBuf::from(MACHINE)])
        .collect()
}

/// A key as a file has it.
#[derive(Clone)]
pub enum Content {
    /// Of a TPM 2.0.
    Tss2(Box<KeyFile>),
    /// Of a TPM 1.2.
    Tss12(Box<KeyBlob>),
}

/// What a key's attributes and scheme let it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Sign.
    pub sign: bool,
    /// Decrypt.
    pub decrypt: bool,
    /// Agree on secrets.
    pub agree: bool,
    /// Whether the TPM made its private half.
    pub made_in_tpm: bool,
    /// Whether it can never be in another TPM.
    pub stays: bool,
}

/// What some directories hold.
#[derive(Clone, Default)]
pub struct Listing {
    files: BTreeMap<PathBuf, Seen>,
    entries: Vec<Arc<Entry>>,
}

/// A file as it was when it was looked at.
#[derive(Clone)]
struct Seen {
    stamps: Vec<Option<Stamp>>,
    entries: Vec<Arc<Entry>>,
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp([i128; 6]);

impl Stamp {
    fn of(data: &Metadata) -> Self {
        Self([
            data.dev().into(),
            data.ino().into(),
            data.size().into(),
            i128::from(data.mtime()) << 32 | i128::from(data.mtime_nsec()),
            i128::from(data.ctime()) << 32 | i128::from(data.ctime_nsec()),
            data.mode().into(),
        ])
    }

    fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|data| Self::of(&data))
    }
}

impl Listing {
    /// The keys, those of the first directory first, by the names of their files.
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// Looks at the directories again; whether anything is different. No TPM command.
    pub fn refresh(&mut self, dirs: &[PathBuf]) -> bool {
        let mut files = BTreeMap::new();
        let mut entries = Vec::new();
        let mut ids = BTreeSet::new();
        for path in dirs.iter().flat_map(|dir| names_in(dir)) {
            if files.contains_key(&path) || files.len() >= MOST_FILES {
                continue;
            }
            let seen = self.look(&path);
            for entry in &seen.entries {
                // A copy is the same key.
                if ids.insert(entry.fingerprint) {
                    entries.push(Arc::clone(entry));
                }
            }
            files.insert(path, seen);
        }
        let same = entries.len() == self.entries.len()
            && entries
                .iter()
                .zip(&self.entries)
                .all(|(one, other)| Arc::ptr_eq(one, other));
        *self = Self { files, entries };
        !same
    }

    fn look(&self, path: &Path) -> Seen {
        let own = Stamp::at(path);
        let known = self.files.get(path);
        let is_key = known.is_some_and(|seen| !seen.entries.is_empty());
        if let Some(seen) = known
            && seen.stamps.first() == Some(&own)
            && (!is_key || seen.stamps == stamps(path, own))
        {
            return seen.clone();
        }
        let entries = match read(path) {
            Ok(Some(bytes)) => entries_in(path, &bytes),
            Ok(None) => Vec::new(),
            Err(error) => {
                log::info!("{} is passed over: {error}", path.display());
                Vec::new()
            }
        };
        let stamps = match entries.is_empty() {
            true => vec![own],
            false => stamps(path, own),
        };
        Seen { stamps, entries }
    }
}

/// The files beside a key's that say something of it.
fn beside(path: &Path) -> [PathBuf; 3] {
    [
        path.with_extension("pub"),
        path.with_extension("crt"),
        path.with_extension("cert.pem"),
    ]
}

fn stamps(path: &Path, own: Option<Stamp>) -> Vec<Option<Stamp>> {
    let others = beside(path);
    let others = others.iter().map(|path| Stamp::at(path));
    std::iter::once(own).chain(others).collect()
}

/// The files in a directory, by name.
fn names_in(dir: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            log::info!("{} is passed over: {error}", dir.display());
            return Vec::new();
        }
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()))
        .map(|entry| entry.path())
        .take(MOST_FILES)
        .collect();
    paths.sort();
    paths
}

/// A file's content, unless it is no plain file, or too large. There may be somebody's software key in it.
fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let data = file.metadata()?;
    let size = usize::try_from(data.size()).unwrap_or(usize::MAX);
    if !data.is_file() || size > LARGEST {
        return Ok(None);
    }
    // With room for what comes meanwhile, so that nothing is moved and left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST.min(size + 4096) + 1));
    let most = u64::try_from(bytes.capacity()).unwrap_or_default();
    file.take(most).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= LARGEST).then_some(bytes))
}

/// Whether a file holds this certificate and nothing else.
pub fn holds_only(path: &Path, one: &Certificate) -> bool {
    let Ok(Some(bytes)) = read(path) else {
        return false;
    };
    certificate::all_in(&bytes) == [one.clone()] && content::keys_in(&bytes).is_empty()
}

fn entries_in(path: &Path, bytes: &[u8]) -> Vec<Arc<Entry>> {
    let mut found = content::keys_in(bytes);
    found.retain(|found| match found {
        Ok(_) => true,
        Err(error) => {
            log::warn!("{} is passed over: {error}", path.display());
            false
        }
    });
    if found.is_empty() {
        return Vec::new();
    }
    let [public, certificate, other] = beside(path);
    let mut certificates = certificate::all_in(bytes);
    for path in [certificate, other] {
        if let Ok(Some(bytes)) = read(&path) {
            certificates.extend(certificate::all_in(&bytes));
        }
    }
    let comment = match read(&public) {
        Ok(Some(bytes)) => content::comment_in(&bytes),
        _ => None,
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let stem = printable::line(&stem);
    let mut entries: Vec<Entry> = Vec::new();
    for (number, (content, id)) in found.into_iter().flatten().enumerate() {
        let name = match number {
            0 => stem.to_string(),
            _ => format!("{stem}-{}", number + 1),
        };
        let comment = comment.clone().filter(|_| number == 0);
        match Entry::new(path, name, content, comment) {
            Ok(entry) => entries.push(Entry { id, ..entry }),
            Err(error) => log::warn!("{} is passed over: {error}", path.display()),
        }
    }
    share(&mut entries, certificates);
    entries.into_iter().map(Arc::new).collect()
}

/// Gives each key its certificates, and the first one those of others, which are a chain.
fn share(entries: &mut [Entry], certificates: Vec<Certificate>) {
    let mut others = Vec::new();
    let mut known = BTreeSet::new();
    for certificate in certificates {
        if !known.insert(certificate.der.clone()) {
            continue;
        }
        let own = entries
            .iter_mut()
            .find(|entry| certificate.is_of(&entry.public));
        match own {
            Some(entry) => entry.certificates.push(certificate),
            None => others.push(certificate),
        }
    }
    if let Some(first) = entries.first_mut() {
        first.certificates.extend(others);
    }
}

/// What a look at a key's file tells.
pub(crate) struct Looked {
    pub(crate) public: PublicKey,
    pub(crate) abilities: Abilities,
    pub(crate) needs_value: bool,
}

impl PublicKey {
    /// SHA-1 of the modulus or the point: what PKCS#11 knows a key by, whatever its file is called.
    pub fn short_id(&self) -> Vec<u8> {
        let number = match self {
            Self::Rsa { key, .. } => key.modulus(),
            Self::Ec(key) => key.point(),
        };
        crypto::hash(Hash::Sha1, &[number])
    }
}
