//! Contents of any length, encrypted under a key that a TPM seals: read and written in chunks, so that a file of
//! gigabytes needs no more memory than a small one.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};

use crypto::aead::{KEY, Stream, TAG};
use crypto::{CryptoError, Secret};
use thiserror::Error as ThisError;
use zeroize::Zeroizing;

use super::container::Header;
use crate::Error;

/// Bytes of contents in every chunk but the last.
pub const CHUNK: usize = 64 * 1024;

/// What the data begin with that are a key.
const MARK: &[u8; 16] = b"TPM SEALED DATA\0";

/// The key of one file's contents, to be sealed: a mark that says so, and 32 random bytes.
pub struct ContentsKey(Secret);

impl ContentsKey {
    /// A new one.
    pub fn new() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new(MARK.to_vec());
        bytes.resize(MARK.len() + KEY, 0);
        crypto::random(bytes.get_mut(MARK.len()..).unwrap_or_default())?;
        Ok(Self(bytes.into()))
    }

    /// Whether unsealed data are such a key.
    pub fn is_in(data: &[u8]) -> bool {
        data.starts_with(MARK)
    }

    /// Of unsealed data, if they are one.
    pub fn from_sealed(data: Secret) -> Option<Self> {
        (Self::is_in(&data) && data.len() == MARK.len() + KEY).then_some(Self(data))
    }

    /// What is sealed.
    pub fn sealed(&self) -> &Secret {
        &self.0
    }

    fn stream(&self, header: &Header) -> Result<Stream, CryptoError> {
        let key = self.0.get(MARK.len()..).unwrap_or_default();
        Stream::new(key, header.prefix(), &header.to_der())
    }
}

/// Why contents could not be encrypted or decrypted.
#[derive(Debug, ThisError)]
pub enum Failure {
    /// Reading failed.
    #[error("reading failed: {0}")]
    Read(io::Error),
    /// Writing failed.
    #[error("writing failed: {0}")]
    Write(io::Error),
    /// A chunk is not as it was written.
    #[error(
        "the contents are damaged or incomplete in the {CHUNK} bytes from byte {from} on: something was changed, moved or \
         cut off there; copy the file again from where it was made"
    )]
    Damaged {
        /// Where in the contents.
        from: u64,
    },
    /// Whoever looks on wants it to end.
    #[error("interrupted")]
    Interrupted,
    /// The cryptographic library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Is told how many bytes of the contents are done; false ends it.
pub type Progress<'a> = &'a mut dyn FnMut(u64) -> bool;

/// Encrypts all of `input` to `output`, and says how much there was.
///
/// # Errors
///
/// [`Failure`]; what is in `output` then is of no use.
pub fn encrypt(
    key: &ContentsKey,
    header: &Header,
    input: &mut dyn Read,
    output: &mut dyn Write,
    progress: Progress<'_>,
) -> Result<u64, Failure> {
    let mut stream = key.stream(header)?;
    let mut chunks = Chunks::begin(input, CHUNK).map_err(Failure::Read)?;
    let mut done = 0;
    while let Some((mut chunk, last)) = chunks.next().map_err(Failure::Read)? {
        done += chunk.len() as u64;
        stream.seal(&mut chunk, last)?;
        output.write_all(&chunk).map_err(Failure::Write)?;
        chunks.give_back(chunk);
        if !progress(done) {
            return Err(Failure::Interrupted);
        }
    }
    Ok(done)
}

/// Decrypts all of `input` to `output`, each chunk once it is known to be the one that was written, and says how much
/// there was.
///
/// # Errors
///
/// [`Failure`]; what is in `output` then is the beginning of the contents, as they were, and not all of them.
pub fn decrypt(
    key: &ContentsKey,
    header: &Header,
    input: &mut dyn Read,
    output: &mut dyn Write,
    progress: Progress<'_>,
) -> Result<u64, Failure> {
    let mut stream = key.stream(header)?;
    let mut chunks = Chunks::begin(input, CHUNK + TAG).map_err(Failure::Read)?;
    let mut done = 0;
    while let Some((mut chunk, last)) = chunks.next().map_err(Failure::Read)? {
        // One file for the same contents: an empty chunk is the only one.
        let superfluous = last && done > 0 && chunk.len() == TAG;
        if superfluous || stream.open(&mut chunk, last).is_err() {
            return Err(Failure::Damaged { from: done });
        }
        output.write_all(&chunk).map_err(Failure::Write)?;
        done += chunk.len() as u64;
        chunks.give_back(chunk);
        if !progress(done) {
            return Err(Failure::Interrupted);
        }
    }
    Ok(done)
}

/// Pieces of a stream: all of the same size but the last, which may be shorter, and is empty only if it is the first.
/// Two of them are in memory, since whether one is the last is known when there is no next.
struct Chunks<'a> {
    input: &'a mut dyn Read,
    size: usize,
    /// Read, and not given out.
    ahead: Option<Zeroizing<Vec<u8>>>,
    /// To be filled again.
    spare: Option<Zeroizing<Vec<u8>>>,
}

impl<'a> Chunks<'a> {
    fn begin(input: &'a mut dyn Read, size: usize) -> io::Result<Self> {
        let mut this = Self {
            input,
            size,
            ahead: None,
            spare: None,
        };
        this.ahead = Some(this.read()?);
        Ok(this)
    }

    /// The next one, and whether it is the last.
    fn next(&mut self) -> io::Result<Option<(Zeroizing<Vec<u8>>, bool)>> {
        let Some(chunk) = self.ahead.take() else {
            return Ok(None);
        };
        if chunk.len() < self.size {
            return Ok(Some((chunk, true)));
        }
        let next = self.read()?;
        let last = next.is_empty();
        match last {
            true => self.spare = Some(next),
            false => self.ahead = Some(next),
        }
        Ok(Some((chunk, last)))
    }

    fn give_back(&mut self, chunk: Zeroizing<Vec<u8>>) {
        self.spare = Some(chunk);
    }

    fn read(&mut self) -> io::Result<Zeroizing<Vec<u8>>> {
        // As much as it will hold with its tag: a buffer that grows leaves a copy behind that nobody wipes.
        let mut chunk = self
            .spare
            .take()
            .unwrap_or_else(|| Zeroizing::new(Vec::with_capacity(self.size + TAG)));
        chunk.resize(self.size, 0);
        let mut length = 0;
        while let Some(rest) = chunk.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        chunk.truncate(length);
        Ok(chunk)
    }
}
