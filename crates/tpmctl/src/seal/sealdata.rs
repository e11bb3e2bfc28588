//! Files of tpm-tools' `tpm_sealdata`, which only are read: a storage key made for the file, an AES key that a TPM 1.2
//! has sealed under it, and contents that nothing authenticates.
//!
//! ```text
//! -----BEGIN TSS-----
//! -----TSS KEY-----
//! Base64: a TPM_KEY below the storage root key
//! -----ENC KEY-----
//! Symmetric Key: AES-256-CBC
//! Base64: a TPM_STORED_DATA, of 32 bytes
//! -----ENC DAT-----
//! Base64: AES-256-CBC with PKCS#7 padding
//! -----END TSS-----
//! ```

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;

use crypto::Secret;
use keys::Tpm;
use keys::sealed::tpm12::unseal_under;
use openssl::base64;
use openssl::error::ErrorStack;
use openssl::symm::{Cipher, Crypter, Mode};
use tss::tpm12::{KeyBlob, StoredData, Usage};
use zeroize::Zeroizing;

const BEGIN: &[u8] = b"-----BEGIN TSS-----";
const KEY: &[u8] = b"-----TSS KEY-----";
const ENCRYPTED_KEY: &[u8] = b"-----ENC KEY-----";
const CIPHER: &[u8] = b"Symmetric Key: AES-256-CBC";
const CONTENTS: &[u8] = b"-----ENC DAT-----";
const END: &[u8] = b"-----END TSS-----";

/// The secret of the storage key and of what is sealed under it, in every file.
const PASSWORD: &[u8] = b"password";
/// The same in every file, in which each key is new.
const IV: &[u8; 16] = b"IBM SEALIBM SEAL";
const KEY_SIZE: usize = 32;
/// Far more than either structure has in Base64, and than any line has.
const LONGEST: usize = 8192;

/// What comes before the contents.
pub(super) struct SealData {
    key: KeyBlob,
    data: StoredData,
}

/// Why a file cannot be unsealed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Reading failed.
    Read(io::Error),
    /// Writing failed.
    Write(io::Error),
    /// It is not as tpm_sealdata writes it.
    Damaged(&'static str),
    /// Somebody wants it to end.
    Interrupted,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "it cannot be read: {error}"),
            Self::Write(error) => write!(f, "writing failed: {error}"),
            Self::Damaged(how) => write!(
                f,
                "this file of tpm_sealdata is damaged or incomplete ({how}): copy it again from where it was made"
            ),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl From<ErrorStack> for Failure {
    fn from(_: ErrorStack) -> Self {
        Self::Damaged("its contents do not end as they should")
    }
}

/// Whether this is such a file, by its first line.
pub(super) fn is_ours(input: &mut impl BufRead) -> io::Result<bool> {
    Ok(input.fill_buf()?.trim_ascii_start().starts_with(BEGIN))
}

impl SealData {
    /// Reads a file up to its contents.
    pub(super) fn read(input: &mut impl BufRead) -> Result<Self, Failure> {
        let mut lines = Lines(input);
        while lines.next()?.is_empty() {}
        lines.expect(KEY, "its first key is missing")?;
        let key = lines.base64_until(ENCRYPTED_KEY)?;
        lines.expect(CIPHER, "its cipher is none that tpm_sealdata has")?;
        let data = lines.base64_until(CONTENTS)?;
        let key = KeyBlob::parse(&key)
            .ok()
            .filter(|key| key.usage() == Usage::STORAGE && key.needs_auth());
        Ok(Self {
            key: key.ok_or(Failure::Damaged("its TSS KEY is no storage key"))?,
            data: StoredData::parse(&data)
                .map_err(|_| Failure::Damaged("its ENC KEY is nothing that a TPM has sealed"))?,
        })
    }

    /// Has the TPM unseal the key of the contents.
    pub(super) fn unseal(&self, tpm: &Arc<Tpm>) -> Result<Secret, keys::Error> {
        let key = unseal_under(tpm, self.key.clone(), PASSWORD, &self.data)?;
        match key.len() {
            KEY_SIZE => Ok(key),
            length => Err(keys::Error::Data(format!(
                "what the TPM has sealed has {length} bytes, and is no AES-256 key"
            ))),
        }
    }
}

/// Decrypts the contents to `out`, and says how much there was. Nothing tells whether they were changed.
pub(super) fn decrypt(
    key: &Secret,
    input: &mut impl BufRead,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<u64, Failure> {
    let mut cipher = Crypter::new(Cipher::aes_256_cbc(), Mode::Decrypt, key, Some(IV))?;
    let mut lines = Lines(input);
    let mut quads = Quads::default();
    let mut done = 0;
    let mut write = |clear: &[u8]| {
        done += clear.len() as u64;
        out.write_all(clear).map_err(Failure::Write)
    };
    let mut clear = Zeroizing::new(vec![0; LONGEST + 2 * IV.len()]);
    let mut count = 0u64;
    loop {
        let line = lines.next()?;
        if line == END {
            break;
        }
        let length = cipher.update(&quads.bytes(&line)?, &mut clear)?;
        write(clear.get(..length).unwrap_or_default())?;
        count += length as u64;
        if !progress(count) {
            return Err(Failure::Interrupted);
        }
    }
    quads.finish()?;
    let length = cipher.finalize(&mut clear)?;
    write(clear.get(..length).unwrap_or_default())?;
    Ok(done)
}

/// The lines of a file.
struct Lines<'a, R>(&'a mut R);

impl<R: BufRead> Lines<'_, R> {
    /// The next one, without the blanks around it.
    fn next(&mut self) -> Result<Vec<u8>, Failure> {
        let mut line = Vec::new();
        let most = LONGEST as u64;
        self.0
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut line)
            .map_err(Failure::Read)?;
        match line.len() {
            0 => Err(Failure::Damaged("it ends before its last line")),
            LONGEST.. => Err(Failure::Damaged("a line is too long")),
            _ => Ok(line.trim_ascii().to_vec()),
        }
    }

    fn expect(&mut self, line: &[u8], what: &'static str) -> Result<(), Failure> {
        match self.next()? == line {
            true => Ok(()),
            false => Err(Failure::Damaged(what)),
        }
    }

    /// What is before this line.
    fn base64_until(&mut self, end: &[u8]) -> Result<Vec<u8>, Failure> {
        let (mut bytes, mut quads) = (Vec::new(), Quads::default());
        loop {
            let line = self.next()?;
            if line == end {
                quads.finish()?;
                return Ok(bytes);
            }
            bytes.extend(quads.bytes(&line)?);
            if bytes.len() > LONGEST {
                return Err(Failure::Damaged("a key is too long"));
            }
        }
    }
}

/// Base64 in lines of any length.
#[derive(Default)]
struct Quads {
    /// Signs that are not yet four.
    rest: Vec<u8>,
    /// Behind = comes nothing.
    over: bool,
}

impl Quads {
    fn bytes(&mut self, line: &[u8]) -> Result<Vec<u8>, Failure> {
        const WRONG: Failure = Failure::Damaged("there is something that is no Base64");
        let is_sign = |sign: &u8| sign.is_ascii_alphanumeric() || b"+/=".contains(sign);
        if !line.iter().all(is_sign) || (self.over && !line.is_empty()) {
            return Err(WRONG);
        }
        self.rest.extend_from_slice(line);
        let whole = self.rest.len() / 4 * 4;
        let quads: Vec<u8> = self.rest.drain(..whole).collect();
        self.over = quads.ends_with(b"=");
        let text = std::str::from_utf8(&quads).map_err(|_| WRONG)?;
        base64::decode_block(text).map_err(|_| WRONG)
    }

    fn finish(&self) -> Result<(), Failure> {
        match self.rest.is_empty() {
            true => Ok(()),
            false => Err(Failure::Damaged("its Base64 ends in the middle")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(clear: &[u8]) -> String {
        let cipher = Cipher::aes_256_cbc();
        let encrypted = openssl::symm::encrypt(cipher, &[7; KEY_SIZE], Some(IV), clear).unwrap();
        let text = base64::encode_block(&encrypted);
        let lines: Vec<&str> = (0..text.len())
            .step_by(64)
            .map(|at| &text[at..text.len().min(at + 64)])
            .collect();
        format!("{}\n-----END TSS-----\n", lines.join("\n"))
    }

    fn opened(text: &[u8]) -> Result<Vec<u8>, Failure> {
        let key = Secret::from(&[7u8; KEY_SIZE][..]);
        let mut out = Vec::new();
        let done = decrypt(&key, &mut &*text, &mut out, &mut |_| true)?;
        assert_eq!(done, out.len() as u64);
        Ok(out)
    }

    #[test]
    fn contents_of_every_length_come_back() {
        for length in [0, 1, 15, 16, 17, 47, 48, 5000] {
            let clear: Vec<u8> = (0..length).map(|place| place as u8).collect();
            let text = contents(&clear);
            assert_eq!(opened(text.as_bytes()).unwrap(), clear, "{length}");
            let other = text.replace('\n', "\r\n");
            assert_eq!(opened(other.as_bytes()).unwrap(), clear, "{length}");
        }
    }

    #[test]
    fn what_was_cut_off_is_noticed() {
        let text = contents(&[3; 1000]);
        for end in 0..text.len() - 2 {
            assert!(opened(&text.as_bytes()[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_head_that_is_none_is_refused_wherever_it_ends() {
        let sound = "-----BEGIN TSS-----\n-----TSS KEY-----\nAAAA\n-----ENC KEY-----\nSymmetric Key: AES-256-CBC\n\
                     AAAA\n-----ENC DAT-----\n";
        assert!(is_ours(&mut sound.as_bytes()).unwrap());
        for text in [
            sound,
            &sound.replace("-----TSS KEY-----\n", ""),
            &sound.replace("AES-256-CBC", "DES"),
            &sound.replace("AAAA", "A?AA"),
            &sound.replace("AAAA", "AAA"),
            &sound.replace("AAAA", "AA==\nAAAA"),
            &sound.replace("AAAA", &"A".repeat(LONGEST)),
            &sound.replace("AAAA", &format!("{}\n", "A".repeat(64)).repeat(200)),
        ] {
            for end in [text.len(), text.len() / 2, 20] {
                let read = SealData::read(&mut &text.as_bytes()[..end]);
                assert!(matches!(read, Err(Failure::Damaged(_))), "{text}");
            }
        }
    }
}
