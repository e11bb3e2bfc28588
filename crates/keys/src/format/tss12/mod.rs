//! Key files of TPM 1.2: `TSS KEY BLOB`, as openssl_tpm_engine, GnuTLS' tpmtool and OpenConnect have it, and the
//! text files of simple-tpm-pk11.
//!
//! A `TSS KEY BLOB` is a DER OCTET STRING around a `TPM_KEY` or `TPM_KEY12` (TPM Main, part 2, 10.2 and
//! 10.3), and nothing else: its parent is the storage root key by convention, and everything that is known
//! about the key is in the structure. In PEM it has no headers.
#![forbid(unsafe_code)]

mod text;

use crypto::der::{self, Reader, tag};
use tss::tpm12::KeyBlob;

use super::pem;
use super::tss2::FileError;

/// PEM label of the format.
pub const LABEL: &str = "TSS KEY BLOB";

/// The first bytes of the two structures: the version 1.1, and the tag of `TPM_KEY12`.
const STARTS: [&[u8]; 2] = [&[1, 1], &[0, 0x28, 0, 0]];

/// Reads a file in DER.
///
/// # Errors
/// [`FileError`] for anything that is not exactly one OCTET STRING around exactly one key.
pub fn from_der(bytes: &[u8]) -> Result<KeyBlob, FileError> {
    let mut reader = Reader::new(bytes);
    let malformed = |offset, expected, found: String| {
        Err(FileError::Malformed {
            field: "TSS KEY BLOB (TPM 1.2)",
            offset,
            expected,
            found,
        })
    };
    let element = match reader.element() {
        Ok(element) if element.tag == tag::OCTET_STRING => element,
        Ok(element) => {
            return malformed(0, "an OCTET STRING", format!("tag {:#04x}", element.tag));
        }
        Err(_) => {
            let found = format!("something else in {} bytes", bytes.len());
            return malformed(0, "a whole OCTET STRING", found);
        }
    };
    let rest = reader.rest().len();
    if rest > 0 {
        let found = format!("{rest} bytes");
        return malformed(bytes.len() - rest, "the end of the file", found);
    }
    let content = element.content_start;
    KeyBlob::parse(element.content).or_else(|_| {
        let found = format!("{} bytes that are no such structure", element.content.len());
        malformed(content, "a TPM_KEY or TPM_KEY12 with an RSA key", found)
    })
}

/// Whether `bytes` begin as a file in DER does. Cheap, since it is asked about every foreign key.
pub fn is_der(bytes: &[u8]) -> bool {
    let content = match bytes {
        // The length in the short form, in one byte and in two.
        [tag::OCTET_STRING, 0..=0x7f, content @ ..]
        | [tag::OCTET_STRING, 0x81, _, content @ ..]
        | [tag::OCTET_STRING, 0x82, _, _, content @ ..] => content,
        _ => return false,
    };
    // Behind the version or tag, in both at the same place, is a usage: 0x10 to 0x16.
    STARTS.iter().any(|start| content.starts_with(start))
        && matches!(content.get(4..6), Some([0, 0x10..=0x16]))
}

/// Whether `bytes` are a text file of simple-tpm-pk11, as far as a glance tells.
pub fn is_text(bytes: &[u8]) -> bool {
    text::is_ours(bytes)
}

/// Whether the file is one of TPM 1.2, in any form.
pub fn is_ours(bytes: &[u8]) -> bool {
    is_der(bytes) || is_text(bytes) || matches!(der_in_pem(bytes), Ok(Some(_)) | Err(_))
}

/// The DER in the first `TSS KEY BLOB` of a PEM text; `None` when there is none.
///
/// # Errors
/// [`FileError`] for a block with broken armour.
pub fn der_in_pem(text: &[u8]) -> Result<Option<Vec<u8>>, FileError> {
    match pem::find(text, &[LABEL]) {
        Ok(block) => Ok(Some(block.der)),
        Err(FileError::NoBlock { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a file in any form.
///
/// # Errors
/// As [`from_der`], and for broken armour or text.
pub fn from_bytes(bytes: &[u8]) -> Result<KeyBlob, FileError> {
    if is_der(bytes) {
        return from_der(bytes);
    }
    if is_text(bytes) {
        return text::read(bytes);
    }
    match der_in_pem(bytes)? {
        Some(der) => from_der(&der),
        None => from_der(bytes),
    }
}

/// The file as simple-tpm-pk11 has it. Nobody is told by it whether the key was made in the TPM.
pub fn to_text(blob: &KeyBlob) -> String {
    text::write(blob)
}

/// The file in DER.
pub fn to_der(blob: &KeyBlob) -> Vec<u8> {
    der::element(tag::OCTET_STRING, &[blob.as_bytes()])
}

/// The file in PEM, with line feeds.
pub fn to_pem(blob: &KeyBlob) -> String {
    pem::write(LABEL, &to_der(blob))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TSS: &[u8] = include_bytes!("../../../../../tests/data/tpm12/tss.pem");
    const STPM: &[u8] = include_bytes!("../../../../../tests/data/tpm12/my.key");

    fn der() -> Vec<u8> {
        der_in_pem(TSS).unwrap().unwrap()
    }

    #[test]
    fn a_file_of_another_tool_is_read_and_written_byte_for_byte() {
        let blob = from_bytes(TSS).unwrap();
        assert_eq!((blob.bits(), blob.needs_auth()), (2048, false));
        assert_eq!(to_der(&blob), der());
        assert_eq!(to_pem(&blob).as_bytes(), TSS);
        assert_eq!(from_bytes(&der()), Ok(blob));
        assert!(is_ours(TSS) && is_ours(&der()));
    }

    #[test]
    fn a_text_file_is_read() {
        assert!(is_text(STPM) && is_ours(STPM));
        let blob = from_bytes(STPM).unwrap();
        assert_eq!(blob.bits(), 2048);
        // But for what it says of where the key was made.
        let lines: Vec<&str> = str::from_utf8(STPM).unwrap().lines().collect();
        let said = to_text(&blob);
        assert_eq!(said.lines().skip(1).collect::<Vec<_>>(), lines[2..]);
        assert_eq!(from_bytes(said.as_bytes()), Ok(blob));
    }

    #[test]
    fn no_byte_too_few_or_too_many() {
        let whole = der();
        for length in 0..whole.len() {
            assert!(from_der(&whole[..length]).is_err(), "{length}");
        }
        let error = from_der(&[&whole[..], &[0]].concat())
            .unwrap_err()
            .to_string();
        assert!(error.contains("at byte 563: expected the end"), "{error}");
        // Behind the structure, inside of the OCTET STRING.
        let longer = der::element(tag::OCTET_STRING, &[&whole[4..], &[0]]);
        assert!(from_der(&longer).is_err());
        // In another type.
        let other = der::element(tag::BIT_STRING, &[&whole[4..]]);
        let error = from_der(&other).unwrap_err().to_string();
        assert!(error.contains("tag 0x03"), "{error}");
    }

    #[test]
    fn a_changed_length_is_noticed() {
        let whole = der();
        // parmSize, keyLength, numPrimes, exponentSize, PCRInfoSize, the modulus' and encDataSize.
        for offset in [19, 23, 27, 31, 35, 39, 299] {
            for byte in 0..4 {
                let mut changed = whole.clone();
                changed[4 + offset + byte] ^= 1;
                assert!(from_der(&changed).is_err(), "{offset} + {byte}");
            }
        }
    }

    #[test]
    fn foreign_files_are_not_ours() {
        for foreign in [
            &b"-----BEGIN TSS2 PRIVATE KEY-----\nAAAA\n-----END TSS2 PRIVATE KEY-----\n"[..],
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            &[0x30, 0x82, 1, 1, 0, 0x10],
            &[0x04, 0x03, 1, 1, 0],
            &[],
        ] {
            assert!(!is_ours(foreign), "{foreign:?}");
        }
    }
}
