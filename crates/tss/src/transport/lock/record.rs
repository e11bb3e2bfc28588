//! A few bytes that the users of one bare TPM share through its lock file.
#![forbid(unsafe_code)]

use std::fs::File;
use std::os::unix::fs::FileExt;

/// What records begin with, whatever the generation of the TPM: the first bytes of each table's number.
const MARK: [u8; 3] = *b"tpm";

/// The shared bytes, read when the lock was taken.
///
/// Anybody who may use the TPM may have written them, and a crash may have torn them: they are a
/// hint, never a fact.
#[derive(Debug, Default)]
pub struct Record {
    bytes: Vec<u8>,
    changed: bool,
}

impl Record {
    /// The most a record holds, in bytes.
    pub const CAPACITY: usize = 4096;

    pub(crate) fn read(file: &File) -> Self {
        let mut bytes = vec![0; Self::CAPACITY];
        // One read is enough: of a file that nobody else writes to now, a short one is the rest.
        let length = loop {
            match file.read_at(&mut bytes, 0) {
                Ok(length) => break length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break 0,
            }
        };
        bytes.truncate(length);
        Self {
            bytes,
            changed: false,
        }
    }

    /// Whether a file is empty or begins as every record does; anything else in the place of a lock file is none.
    pub(super) fn fits(file: &File) -> bool {
        Self::read(file)
            .bytes
            .iter()
            .zip(MARK)
            .all(|(byte, mark)| *byte == mark)
    }

    /// The content: at most [`CAPACITY`](Self::CAPACITY) bytes, empty for a TPM used for the first
    /// time, possibly garbage.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Replaces the content. What exceeds [`CAPACITY`](Self::CAPACITY) is not kept.
    pub fn set(&mut self, bytes: &[u8]) {
        let kept = &bytes[..bytes.len().min(Self::CAPACITY)];
        if kept != self.bytes {
            self.bytes = kept.to_vec();
            self.changed = true;
        }
    }

    /// The content if it is not in the file yet; the caller writes it.
    pub(crate) fn take_changed(&mut self) -> Option<&[u8]> {
        std::mem::take(&mut self.changed).then_some(&self.bytes[..])
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn an_oversized_file_is_read_in_part_and_an_oversized_value_cut() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        let mut record = Record::read(&file);
        assert_eq!(record.bytes(), [7; 4096]);
        record.set(&[7; 9_000]);
        assert_eq!(record.take_changed(), None, "the same content is no change");
        record.set(&[8; 9_000]);
        assert_eq!(record.take_changed(), Some(&[8; 4096][..]));
        assert_eq!(record.take_changed(), None, "written once");
    }
}
