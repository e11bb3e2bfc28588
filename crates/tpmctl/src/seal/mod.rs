//! `tpmctl seal` and `tpmctl unseal`: data that only this TPM gives back.

pub(crate) mod args;
mod machines;
pub(crate) mod make;
mod make12;
mod sealdata;
mod source;
pub(crate) mod unseal;

use keys::printable;
use std::path::Path;

use crate::error::Error;

/// A failure with the file that it is about.
fn in_file(path: &Path, error: impl std::fmt::Display) -> Error {
    let shown = match path == Path::new("-") {
        true => "standard input".to_owned(),
        false => printable::path(path),
    };
    Error::new(format!("{shown}: {error}"))
}
