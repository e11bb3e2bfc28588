//! Digests of files, however long they are.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use crypto::{Digest, Hash};
use keys::printable;

use crate::error::Error;

/// How much is read at once.
const PIECE: usize = 1 << 16;

/// The digests of a file by these algorithms; `-` is standard input.
pub(crate) fn of_file(path: &Path, hashes: &[Hash]) -> Result<Vec<Vec<u8>>, Error> {
    let failed =
        |error: io::Error| Error::new(format!("{} cannot be read: {error}", printable::path(path)));
    let opened = match path == Path::new("-") {
        true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(path),
    };
    let mut file = opened.map_err(failed)?;
    let mut digests: Vec<Digest> = hashes.iter().map(|hash| Digest::new(*hash)).collect();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => {
                let read = piece.get(..length).unwrap_or_default();
                digests.iter_mut().for_each(|digest| digest.update(read));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(digests.into_iter().map(Digest::finish).collect())
}
