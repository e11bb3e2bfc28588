//! What a key is converted from.

use std::path::{Path, PathBuf};

use keys::foreign::{Context, Piece};
use keys::printable;
use keys::sealed::container::Head;
use keys::tss2::{KeyFile, Kind};
use keys::tss12;
use keys::uri::{Handle, HandleKind};
use tss::tpm2::Public;
use tss::tpm12::KeyBlob;

use super::args::Form;
use crate::error::Error;
use crate::key::file;

/// A key, as it was found.
pub(super) enum Source {
    /// In a key file.
    File(Box<KeyFile>),
    /// Of a TPM 1.2.
    Blob(KeyBlob),
    /// In two files.
    Pair {
        public: Box<Public>,
        private: Vec<u8>,
    },
    /// Persistent in the TPM.
    Persistent(Handle),
    /// In a store of tpm2-pkcs11.
    Store(PathBuf),
}

/// What a database of SQLite begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// The store's name in its directory.
const STORE: &str = "tpm2_pkcs11.sqlite3";

impl Source {
    /// Reads what the command line names.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        match paths {
            [path] => Self::of_one(path),
            [one, other] => Self::of_two(one, other),
            _ => Err(Error::usage("expected one file, or the two of a pair")),
        }
    }

    fn of_one(path: &Path) -> Result<Self, Error> {
        if let Some(uri) = path.to_str() {
            let handle = match uri {
                uri if uri.starts_with("handle:") => Some(Handle::parse(uri)?),
                uri if uri.starts_with("object:") => Some(Handle::of_object(uri)?),
                _ => None,
            };
            if let Some(handle) = handle {
                return Self::of_handle(handle, path);
            }
        }
        let store = path.join(STORE);
        if path.is_dir() {
            return match store.exists() {
                true => Ok(Self::Store(store)),
                false => Err(in_file(
                    path,
                    &format!("this is a directory without {STORE}, the store of tpm2-pkcs11"),
                )),
            };
        }
        let bytes = match path == Path::new("-") {
            true => file::read(path)?,
            false => {
                // A store may be longer than any key file.
                if file::read_beginning(path)?.starts_with(SQLITE) {
                    return Ok(Self::Store(path.to_owned()));
                }
                file::read(path)?
            }
        };
        if tss12::is_ours(&bytes) {
            let blob = tss12::from_bytes(&bytes);
            return blob
                .map(Self::Blob)
                .map_err(|error| in_file(path, &error.to_string()));
        }
        if let Some(piece) = Piece::of(&bytes) {
            return Err(alone(path, &piece));
        }
        if Context::is_one(&bytes) {
            return Err(in_file(
                path,
                "the file is a context that tpm2-tools saved, and damaged, or one of a session",
            ));
        }
        if let Ok(handle) = Handle::from_serialized(&bytes) {
            return Self::of_handle(handle, path);
        }
        let key = KeyFile::from_bytes(&bytes).map_err(|error| in_file(path, &error.to_string()))?;
        // What is behind the key would be left out.
        if key.kind == Kind::Sealed
            && Head::read(&mut &*bytes).is_ok_and(|head| head.contents.is_some())
        {
            return Err(in_file(
                path,
                "the file holds sealed contents, which have one form: unseal them with `tpmctl unseal`",
            ));
        }
        Ok(Self::File(Box::new(key)))
    }

    fn of_handle(handle: Handle, path: &Path) -> Result<Self, Error> {
        match handle.kind {
            HandleKind::Persistent => Ok(Self::Persistent(handle)),
            HandleKind::Transient => Err(in_file(
                path,
                "it names an object that lives in the TPM only until that restarts, and none of its two halves: convert the \
                 files that `tpm2_create -u key.pub -r key.priv` wrote",
            )),
            HandleKind::NvIndex => Err(in_file(path, "it names an NV index, which is no key")),
        }
    }

    fn of_two(one: &Path, other: &Path) -> Result<Self, Error> {
        let piece = |path: &Path| {
            let bytes = file::read(path)?;
            Piece::of(&bytes).ok_or_else(|| {
                in_file(
                    path,
                    "of two files one is the public half of a key (TPM2B_PUBLIC) and the other its private half \
                     (TPM2B_PRIVATE), as tpm2_create writes them; this is neither, or damaged",
                )
            })
        };
        match (piece(one)?, piece(other)?) {
            (Piece::Public(public), Piece::Private(private))
            | (Piece::Private(private), Piece::Public(public)) => Ok(Self::Pair {
                public: Box::new(public),
                private: private.0,
            }),
            (first, second) => Err(Error::new(format!(
                "{} is {} and {} {}: expected are both halves of one key, TPM2B_PUBLIC and TPM2B_PRIVATE",
                printable::path(one),
                first.what(),
                printable::path(other),
                second.what()
            ))),
        }
    }

    /// The form that the result has if none is named.
    pub(super) fn usual_form(&self) -> Form {
        match self {
            Self::Persistent(_) => Form::Uri,
            _ => Form::Tss2,
        }
    }
}

/// One file of a pair, or a context, is not a key.
fn alone(path: &Path, piece: &Piece) -> Error {
    let shown = printable::path(path);
    match piece {
        Piece::Context(_) => Error::new(format!(
            "{shown} is a context: the key as this TPM saved it, which takes it back until it is reset, and nothing that could go \
             into a key file. Convert the two files that `tpm2_create -u key.pub -r key.priv` wrote: `tpmctl key convert \
             key.pub key.priv`. Where they are lost, `tpmctl key persist {shown}` makes the key persistent"
        )),
        _ => Error::new(format!(
            "{shown} is {}: name the file of the other half as well, `tpmctl key convert key.pub key.priv -o FILE`",
            piece.what()
        )),
    }
}

pub(super) fn in_file(path: &Path, text: &str) -> Error {
    Error::new(format!("{}: {text}", printable::path(path)))
}
