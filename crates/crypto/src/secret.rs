//! Secret bytes: authorization values and plaintexts.
#![forbid(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

/// Bytes that are wiped when dropped and never shown.
///
/// Used for authorization values, session keys and plaintexts. `Debug` prints the presence of a
/// value, never its content or length.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A secret that holds `bytes`, which it takes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The empty secret: TPM objects without an authorization value have it.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Wipes the content now and leaves the empty secret.
    pub fn clear(&mut self) {
        self.0.zeroize();
    }
}

/// How much of a secret's file is read, in bytes: the secret is in its first line.
const LONGEST_FILE: usize = 64 * 1024;

/// The beginning of a file that holds a secret. Unlike `std::fs::read` this leaves no copies behind where the size is
/// not known before: the file may be a pipe.
///
/// # Errors
///
/// Those of opening and reading.
pub fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut file = File::open(path)?;
    let mut content = Zeroizing::new(vec![0; LONGEST_FILE]);
    let mut length = 0;
    while let Some(rest) = content.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    content.truncate(length);
    Ok(content)
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }
}

impl From<Zeroizing<Vec<u8>>> for Secret {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "Secret(empty)"
        } else {
            "Secret(***)"
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::thread;

    use super::*;

    #[test]
    fn a_file_is_read_in_whatever_pieces_it_comes() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let sent = thread::spawn(move || {
            for piece in [&b"first"[..], b" line\n", &[7; 5000]] {
                writer.write_all(piece).unwrap();
            }
        });
        let content = read_file(Path::new(&path)).unwrap();
        sent.join().unwrap();
        assert!(content.starts_with(b"first line\n\x07"));
        assert_eq!(content.len(), 5011);
        assert_eq!(
            read_file(Path::new("/dev/zero")).unwrap().len(),
            LONGEST_FILE
        );
        assert!(read_file(Path::new("/nonexistent/pin")).is_err());
    }

    #[test]
    fn debug_shows_neither_content_nor_length() {
        assert_eq!(format!("{:?}", Secret::new(b"pin".to_vec())), "Secret(***)");
        assert_eq!(
            format!("{:?}", Secret::new(b"a longer pin".to_vec())),
            "Secret(***)"
        );
        assert_eq!(format!("{:?}", Secret::empty()), "Secret(empty)");
    }
}
