//! What is read: a file or standard input, without a buffer that nobody wipes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use zeroize::Zeroizing;

use super::in_file;
use crate::error::Error;

/// A file to be read.
pub(super) struct Source {
    file: File,
    /// How long it is, if that is known.
    pub(super) size: Option<u64>,
}

impl Source {
    /// The file at `path`; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = match path == Path::new("-") {
            true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
            false => File::open(path),
        };
        let unreadable = |error: io::Error| in_file(path, format!("it cannot be read: {error}"));
        let file = file.map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        if about.is_dir() {
            return Err(in_file(path, "it is a directory, not a file"));
        }
        Ok(Self {
            file,
            size: about.is_file().then_some(about.len()),
        })
    }

    /// The first `count` bytes, or all that there is.
    pub(super) fn beginning(&mut self, count: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(vec![0; count]);
        let mut length = 0;
        while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match self.file.read(rest) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}
