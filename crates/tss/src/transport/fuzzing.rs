//! What comes to a transport from outside: addresses, frames, state files.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "not a public interface")]

use super::libtpms::state::{blob_in, header};
use super::{Address, frame};

pub fn address(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match text.parse::<Address>() {
        Ok(address) => {
            let canonical = address.to_string();
            assert_eq!(canonical.parse::<Address>().unwrap(), address);
        }
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            assert!(shown.len() < 4096, "{shown}");
        }
    }
}

/// The checks that every transport makes of what it has read.
pub fn frame(data: &[u8]) {
    let whole = frame::check_response(data);
    let size = frame::response_size(data);
    if whole.is_ok() {
        assert_eq!(size.unwrap(), Some(data.len()));
    }
    if frame::check_command(data).is_ok() {
        assert!((frame::HEADER..=frame::MAX_COMMAND).contains(&data.len()));
    }
}

pub fn state_file(data: &[u8]) {
    if let Ok(blob) = blob_in(data) {
        assert!(blob.len() <= data.len());
    }
    let written = [&header(data.len()).unwrap()[..], data].concat();
    assert_eq!(blob_in(&written), Ok(data));
}
