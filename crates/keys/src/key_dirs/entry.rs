//! A key that is in a file, as its directory is listed.
#![forbid(unsafe_code)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crypto::Hash;

use super::{Abilities, Certificate, Content, Replacement, content, entries_in, read};
use crate::{Ask, Error, Key, PublicKey, Tpm, printable};

/// A key that is in a file.
pub struct Entry {
    /// The file.
    pub path: PathBuf,
    /// The key as it is in there.
    pub content: Content,
    /// Its public half.
    pub public: Arc<PublicKey>,
    /// The identifier that somebody has chosen for it.
    pub id: Option<Vec<u8>>,
    /// What it may do.
    pub abilities: Abilities,
    /// Whether an authorization value must be given before it can be used.
    pub needs_value: bool,
    /// What the file says of it, or else the file's name without its ending.
    pub name: String,
    /// The comment in `NAME.pub`, if there is one.
    pub comment: Option<String>,
    /// The certificates beside it or in its own file, its own first.
    pub certificates: Vec<Certificate>,
    /// What tells it from every other key, and from the same one with another authorization value.
    pub fingerprint: [u8; 32],
}

impl Entry {
    pub(super) fn new(
        path: &Path,
        name: String,
        content: Content,
        comment: Option<String>,
    ) -> Result<Self, Error> {
        let looked = match &content {
            Content::Tss2(file) => Key::look_at_file(file)?,
            Content::Tss12(blob) => Key::look_at_blob(blob)?,
        };
        let (name, fingerprint) = match &content {
            Content::Tss2(file) => {
                let described = file.description.as_deref().map(str::trim);
                let described = described.filter(|text| !text.is_empty());
                let name = described.map_or(name, |text| printable::line(text).into());
                (name, fingerprint(&[&file.public, &file.private]))
            }
            Content::Tss12(blob) => (name, fingerprint(&[blob.as_bytes()])),
        };
        Ok(Self {
            path: path.to_owned(),
            content,
            public: Arc::new(looked.public),
            id: None,
            abilities: looked.abilities,
            needs_value: looked.needs_value,
            name,
            comment,
            certificates: Vec::new(),
            fingerprint,
        })
    }

    /// A key that was just made, in no file.
    ///
    /// # Errors
    ///
    /// For what no file of ours could have.
    pub fn of_new_key(
        key: &Key,
        name: String,
        comment: Option<String>,
        id: Option<Vec<u8>>,
    ) -> Result<Self, Error> {
        let pem = key.to_pem().unwrap_or_default();
        let found = content::keys_in(pem.as_bytes()).pop();
        let Some(Ok((content, _))) = found else {
            return Err(Error::Missing("a key that has no file".into()));
        };
        let entry = Self::new(Path::new(""), name, content, comment)?;
        Ok(Self { id, ..entry })
    }

    /// What PKCS#11 knows it by.
    pub fn id(&self) -> Vec<u8> {
        self.id.clone().unwrap_or_else(|| self.public.short_id())
    }

    /// Gives it another identifier: a line in its file, which is written anew.
    ///
    /// # Errors
    ///
    /// Those of the file system, and where the file has no place for it.
    pub fn set_id(&self, id: &[u8]) -> io::Result<()> {
        let refused = |why| io::Error::new(io::ErrorKind::PermissionDenied, why);
        let replacement = Replacement::of(&self.path)?;
        let bytes = read(&self.path)?.ok_or_else(|| refused("it is no key file any more"))?;
        let same = entries_in(&self.path, &bytes)
            .iter()
            .any(|entry| entry.fingerprint == self.fingerprint);
        let changed = content::with_id(&bytes, id).filter(|_| same);
        let changed = changed.ok_or_else(|| {
            refused("only a key that is alone in its file, in PEM, can be given an identifier")
        })?;
        replacement.write(&changed)
    }

    /// The key, whose value, if it needs one, comes when somebody logs in. No TPM command.
    pub fn key(&self, tpm: &Arc<Tpm>, ask: Ask<'_>) -> Result<Key, Error> {
        match &self.content {
            Content::Tss2(file) => Key::from_file(tpm, (**file).clone(), ask),
            Content::Tss12(blob) => Key::from_blob(tpm, (**blob).clone(), ask),
        }
    }
}

fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = [0; 32];
    let digests: Vec<Vec<u8>> = parts
        .iter()
        .map(|part| crypto::hash(Hash::Sha256, &[part]))
        .collect();
    let digests: Vec<&[u8]> = digests.iter().map(Vec::as_slice).collect();
    digest.copy_from_slice(&crypto::hash(Hash::Sha256, &digests));
    digest
}
