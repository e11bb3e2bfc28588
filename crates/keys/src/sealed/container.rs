//! Sealed files, whatever is in them; and the form of those whose contents do not fit into a TPM:
//!
//! ```text
//! -----BEGIN TSS2 PRIVATE KEY-----
//! sealed data: a ContentsKey
//! -----END TSS2 PRIVATE KEY-----
//! -----BEGIN TPM SEALED DATA-----
//! SealedData ::= SEQUENCE {
//!   version    INTEGER (1),
//!   algorithm  OBJECT IDENTIFIER (2.16.840.1.101.3.4.1.46, aes256-GCM),
//!   chunk      INTEGER (65536),
//!   prefix     OCTET STRING (SIZE (7)) }
//! -----END TPM SEALED DATA-----
//! chunks
//! ```
//!
//! What a TPM 1.2 seals is in a block of its own in the place of the first ([`tpm12`]).
//!
//! The chunks are as they are, not in Base64: they may be gigabytes, of which a third more would be read, written and
//! kept, and nobody looks at them in an editor. What is before them is text, so that it can be looked at and changed:
//! another authorization value, or signed policies, make the first block anew and leave the rest.
//!
//! The second block is authenticated with every chunk, byte for byte. The first one is the TPM's to authenticate, and
//! what it seals begins with a mark: whoever has lost the rest of the file does not take the key for the data.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, Read};

use crypto::aead::PREFIX;
use crypto::der::{Reader as DerReader, element, oid, sequence, tag, unsigned};

use super::contents::CHUNK;
use super::reader::from_hex;
use super::tpm12::{self, Sealed12};
use crate::Error;
use crate::format::pem;
use crate::tss2::{self, FileError, KeyFile};

/// The PEM label of the second block.
pub const LABEL: &str = "TPM SEALED DATA";
const VERSION: u32 = 1;
/// 2.16.840.1.101.3.4.1.46.
const AES256_GCM: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e];

/// No file has more before its chunks, nor more at all if it has none.
const LONGEST: u64 = 1 << 20;

/// How the chunks of a file are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    prefix: [u8; PREFIX],
}

impl Header {
    /// For new contents.
    pub fn new() -> Result<Self, Error> {
        let mut prefix = [0; PREFIX];
        crypto::random(&mut prefix)?;
        Ok(Self { prefix })
    }

    /// What all nonces begin with.
    pub(super) fn prefix(&self) -> [u8; PREFIX] {
        self.prefix
    }

    /// What is authenticated.
    pub(super) fn to_der(&self) -> Vec<u8> {
        let chunk = u32::try_from(CHUNK).unwrap_or_default();
        sequence(&[
            &unsigned(&VERSION.to_be_bytes()),
            &oid(AES256_GCM),
            &unsigned(&chunk.to_be_bytes()),
            &element(tag::OCTET_STRING, &[&self.prefix]),
        ])
    }

    fn from_der(der: &[u8]) -> Result<Self, Error> {
        let mut outer = DerReader::new(der);
        let mut prefix = None;
        if let Ok(fields) = outer.element()
            && fields.tag == tag::SEQUENCE
        {
            let mut fields = fields.reader();
            let version = fields.element().ok();
            if version.is_some_and(|it| it.tag == tag::INTEGER && it.content != [VERSION as u8]) {
                return Err(Error::Unsupported(
                    "the contents are in a form that is newer than this version: unseal them with the version that sealed \
                     them"
                        .into(),
                ));
            }
            while let Ok(field) = fields.element() {
                prefix = field.content.try_into().ok();
            }
        }
        // Whatever is not as this version writes it, is none of its.
        prefix
            .map(|prefix| Self { prefix })
            .filter(|header| header.to_der() == der)
            .ok_or_else(|| damaged("the block that says how the contents are encrypted"))
    }

    /// The block in PEM.
    pub fn to_pem(&self) -> String {
        pem::write(LABEL, &self.to_der())
    }
}

/// What a TPM has sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InTpm {
    /// A TPM 2.0: data, or a key of contents.
    Two(Box<KeyFile>),
    /// A TPM 1.2: a key of contents.
    One(Box<Sealed12>),
}

impl InTpm {
    fn two(file: KeyFile) -> Self {
        Self::Two(Box::new(file))
    }

    /// The block.
    pub fn to_pem(&self) -> String {
        match self {
            Self::Two(file) => file.to_pem(),
            Self::One(sealed) => sealed.to_pem(),
        }
    }
}

/// A sealed file without its chunks.
#[derive(Clone, Debug)]
pub struct Head {
    /// What is in the TPM.
    pub sealed: InTpm,
    /// How the chunks are encrypted that come next, if there are any.
    pub contents: Option<Header>,
}

impl Head {
    /// Reads a file, whatever its form, up to its chunks if it has some.
    ///
    /// # Errors
    ///
    /// [`HeadError`] for a file that cannot be read, or is none.
    pub fn read(input: &mut impl BufRead) -> Result<Self, HeadError> {
        let mut text = Vec::new();
        let mut lines = Lines {
            input,
            left: LONGEST,
        };
        // Only text has lines, but a file in DER is soon over, too.
        while let Some(line) = lines.next(&mut text)? {
            if is_end(line, tss2::LABEL) {
                let sealed = InTpm::two(KeyFile::from_pem(&text)?);
                let contents = lines.header()?;
                return Ok(Self { sealed, contents });
            }
            if is_end(line, tpm12::LABEL) {
                let sealed = InTpm::One(Box::new(Sealed12::from_pem(&text)?));
                let contents = lines.header()?;
                return Ok(Self { sealed, contents });
            }
        }
        let file = match from_hex(&text) {
            Some(der) => KeyFile::from_der(&der)?,
            None => KeyFile::from_bytes(&text)?,
        };
        Ok(Self {
            sealed: InTpm::two(file),
            contents: None,
        })
    }
}

/// Why a file's head cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Reading failed.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is no sealed file.
    #[error(transparent)]
    Key(#[from] Error),
}

impl From<FileError> for HeadError {
    fn from(error: FileError) -> Self {
        Self::Key(error.into())
    }
}

/// The lines at the beginning of a file.
struct Lines<'a, R> {
    input: &'a mut R,
    left: u64,
}

impl<R: BufRead> Lines<'_, R> {
    /// Puts the next line behind `text`, and gives it without its end; `None` at the end of the file.
    fn next<'t>(&mut self, text: &'t mut Vec<u8>) -> Result<Option<&'t [u8]>, HeadError> {
        let start = text.len();
        let count = self
            .input
            .by_ref()
            .take(self.left)
            .read_until(b'\n', text)?;
        if count == 0 && self.left == 0 {
            return Err(HeadError::Key(Error::Data(format!(
                "there is no sealed file: it has more than {LONGEST} bytes without a TSS2 PRIVATE KEY block"
            ))));
        }
        self.left -= count as u64;
        let line = text.get(start..).unwrap_or_default();
        Ok((count > 0).then_some(line.trim_ascii_end()))
    }

    /// The second block, if there is one: it comes right behind the first.
    fn header(&mut self) -> Result<Option<Header>, HeadError> {
        let mut text = Vec::new();
        let begin = format!("-----BEGIN {LABEL}-----");
        loop {
            match self.next(&mut text)? {
                Some([]) => {}
                Some(line) if line == begin.as_bytes() => break,
                _ => return Ok(None),
            }
        }
        while let Some(line) = self.next(&mut text)? {
            if is_end(line, LABEL) {
                let der = pem::find_der(&text, LABEL);
                let der = der
                    .ok_or_else(|| damaged("the block that says how the contents are encrypted"))?;
                return Ok(Some(Header::from_der(&der)?));
            }
        }
        Err(damaged("the file ends before its contents: it").into())
    }
}

fn is_end(line: &[u8], label: &str) -> bool {
    line == format!("-----END {label}-----").as_bytes()
}

pub(super) fn damaged(what: &str) -> Error {
    Error::Data(format!(
        "{what} is damaged or incomplete: copy the file again from where it was made"
    ))
}
