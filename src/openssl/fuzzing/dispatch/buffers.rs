//! Strings and buffers as C passes them.

use std::ffi::{CString, c_int, c_uchar};
use std::ptr;

use crypto::fuzzing::input::Input;

/// NULL, a digest's name, or any string.
pub(super) fn text(input: &mut Input<'_>) -> Option<CString> {
    match input.u8() & 7 {
        0 => None,
        1 => Some(c"SHA256".to_owned()),
        2 => Some(c"SHA1".to_owned()),
        3 => Some(c"SHA3-512".to_owned()),
        _ => {
            let bytes: Vec<u8> = input.bytes().iter().copied().filter(|&b| b != 0).collect();
            CString::new(bytes).ok()
        }
    }
}

/// Bytes in a buffer of exactly their size; or NULL, with or without a length that says so.
pub(super) struct Exact(Option<Box<[u8]>>, usize);

impl Exact {
    pub(super) fn any(input: &mut Input<'_>) -> Self {
        match input.u8() & 7 {
            0 => Self(None, usize::from(input.u8())),
            1 => Self(Some([7; 32].into()), 32),
            2 => Self(Some([7; 256].into()), 256),
            _ => {
                let bytes: Box<[u8]> = input.bytes().into();
                let size = bytes.len();
                Self(Some(bytes), size)
            }
        }
    }

    pub(super) fn data(&self) -> *const c_uchar {
        self.0.as_ref().map_or(ptr::null(), |bytes| bytes.as_ptr())
    }

    pub(super) fn size(&self) -> usize {
        self.1
    }
}

/// Room for a result.
pub(super) struct Out {
    room: Option<Box<[u8]>>,
    pub(super) len: usize,
}

impl Out {
    pub(super) fn any(input: &mut Input<'_>) -> Self {
        let room = match input.u8() & 3 {
            0 => None,
            1 | 2 => Some(512),
            _ => Some(usize::from(input.u8())),
        };
        Self {
            room: room.map(|size| vec![0; size].into()),
            len: 0,
        }
    }

    pub(super) fn data(&mut self) -> *mut c_uchar {
        self.room
            .as_mut()
            .map_or(ptr::null_mut(), |room| room.as_mut_ptr())
    }

    pub(super) fn size(&self) -> usize {
        self.room.as_ref().map_or(0, |room| room.len())
    }

    /// A result is within its room.
    pub(super) fn check(&self, done: Option<c_int>) {
        if done == Some(1) && self.room.is_some() {
            assert!(self.len <= self.size());
        }
    }
}
