//! Borrowed core BIOs.

use std::ptr::NonNull;

use foreign_types::{ForeignTypeRef, Opaque};

use crate::openssl::abi::OSSL_CORE_BIO;

/// A core BIO lent for the time of one call. Never owned here: the core frees it.
pub(crate) struct CoreBioRef(#[allow(dead_code, reason = "address only")] Opaque);

impl ForeignTypeRef for CoreBioRef {
    type CType = OSSL_CORE_BIO;
}

impl CoreBioRef {
    /// # Safety
    ///
    /// `bio` must be a live core BIO that nobody else uses while the value lives.
    pub(super) unsafe fn from_core<'a>(bio: NonNull<OSSL_CORE_BIO>) -> &'a mut Self {
        // SAFETY: the caller vouches for it; the wrapper has no fields that are ever read.
        unsafe { Self::from_ptr_mut(bio.as_ptr()) }
    }

    /// The pointer for an upcall.
    pub(super) fn as_core(&mut self) -> *mut OSSL_CORE_BIO {
        self.as_ptr()
    }
}
