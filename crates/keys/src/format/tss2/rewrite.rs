//! A key file anew, in the form that it has: what surrounds the key in a PEM file stays.
#![forbid(unsafe_code)]

use super::{FileError, KeyFile, LABEL, LEGACY_LABEL, pem, pkcs8};

impl KeyFile {
    /// What becomes of `original`, which holds an earlier version of this key, when this one takes its place: DER or PEM,
    /// by itself or inside PKCS#8, with all other blocks and texts, and the line ends, that there are.
    ///
    /// # Errors
    /// As [`Self::from_bytes`] for an `original` that is no key file.
    pub fn in_place_of(&self, original: &[u8]) -> Result<Vec<u8>, FileError> {
        if Self::is_in_der(original) {
            return Ok(match pkcs8::unwrap(original) {
                Some(_) => pkcs8::wrap(&self.to_der()),
                None => self.to_der(),
            });
        }
        let (line, text) = match pem::find(original, &[LABEL, LEGACY_LABEL]) {
            Ok(block) => (block.line, self.to_pem()),
            Err(error @ FileError::NoBlock { .. }) => {
                let block = pem::find(original, &[pkcs8::LABEL]).map_err(|_| error)?;
                (block.line, self.to_pkcs8_pem())
            }
            Err(error) => return Err(error),
        };
        Ok(replace_block(original, line, &text))
    }
}

/// `original` with `block`, whose line ends become those of the file, in place of the one whose first line has the number
/// `first`.
fn replace_block(original: &[u8], first: usize, block: &str) -> Vec<u8> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let mut written = Vec::with_capacity(original.len() + block.len());
    let mut inside = false;
    for (number, line) in (1..).zip(original.split_inclusive(|&octet| octet == b'\n')) {
        if number == first {
            if line.starts_with(MARK) {
                written.extend_from_slice(MARK);
            }
            match line.ends_with(b"\r\n") {
                true => written.extend_from_slice(block.replace('\n', "\r\n").as_bytes()),
                false => written.extend_from_slice(block.as_bytes()),
            }
            inside = true;
        }
        if !inside {
            written.extend_from_slice(line);
        }
        inside &= !line.starts_with(b"-----END ");
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> [KeyFile; 2] {
        [b"old", b"new"].map(|private| {
            let mut public = vec![0, 0x10, 0, 0x23, 0, 0x0b];
            public.resize(18, 0);
            let whole = [&[0, 3][..], private].concat();
            KeyFile::loadable(crate::tss2::OWNER, public, whole)
        })
    }

    #[test]
    fn every_form_is_kept() {
        let [old, new] = two();
        let pem = old.to_pem();
        let crlf = pem.replace('\n', "\r\n");
        let surrounded = format!(
            "\u{feff}{pem}# a note\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        );
        let behind =
            format!("-----BEGIN X-----\nAAAA\n-----END X-----\r\n{crlf}tail without an end");
        let pkcs8 = format!("text\n{}", old.to_pkcs8_pem());
        for (original, expected) in [
            (pem.clone(), new.to_pem()),
            (crlf.clone(), new.to_pem().replace('\n', "\r\n")),
            (surrounded.clone(), surrounded.replace(&pem, &new.to_pem())),
            (
                behind.clone(),
                behind.replace(&crlf, &new.to_pem().replace('\n', "\r\n")),
            ),
            (pkcs8, format!("text\n{}", new.to_pkcs8_pem())),
        ] {
            let written = new.in_place_of(original.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(written.clone()).unwrap(), expected);
            assert_eq!(KeyFile::from_bytes(&written).unwrap(), new);
        }
        let der = new.in_place_of(&old.to_der()).unwrap();
        assert_eq!(der, new.to_der());
        let wrapped = new.in_place_of(&pkcs8::wrap(&old.to_der())).unwrap();
        assert_eq!(wrapped, pkcs8::wrap(&new.to_der()));
    }

    #[test]
    fn what_is_no_key_file_is_left_alone() {
        let [_, new] = two();
        for text in ["", "text\n", "-----BEGIN TSS2 PRIVATE KEY-----\nAAAA\n"] {
            assert!(new.in_place_of(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
