//! Ownership of what crosses the boundary as a `void *`.

use std::ffi::c_void;
use std::sync::Arc;

use crate::openssl::Instance;
use crate::openssl::abi::{OSSL_CALLBACK, OSSL_PARAM};
use crate::openssl::core::{Error, Reason};

/// A value that OpenSSL holds for us, with the provider instance that it belongs to.
///
/// Made by [`Held::into_raw`], freed by [`Held::free`], lent by the rest. OpenSSL serialises calls
/// on one context, so a context may be lent mutably; key data is shared and is lent immutably.
pub(crate) struct Held<T> {
    /// Who made it.
    pub(crate) instance: Arc<Instance>,
    /// What it is.
    pub(crate) value: T,
}

impl<T> Held<T> {
    pub(crate) fn new(instance: Arc<Instance>, value: T) -> Self {
        Self { instance, value }
    }

    /// Hands ownership to OpenSSL.
    pub(crate) fn into_raw(self) -> *mut c_void {
        Box::into_raw(Box::new(self)).cast()
    }

    /// # Safety
    ///
    /// Unless NULL, `raw` must come from [`Held::into_raw`] of the same type, not be freed, and not
    /// be lent mutably while the result lives.
    pub(crate) unsafe fn borrow<'a>(raw: *const c_void) -> Option<&'a Self> {
        // SAFETY: the caller vouches for it.
        unsafe { raw.cast::<Self>().as_ref() }
    }

    /// # Safety
    ///
    /// Unless NULL, `raw` must come from [`Held::into_raw`] of the same type, not be freed, and not
    /// be lent otherwise while the result lives.
    pub(crate) unsafe fn borrow_mut<'a>(raw: *mut c_void) -> Option<&'a mut Self> {
        // SAFETY: the caller vouches for it.
        unsafe { raw.cast::<Self>().as_mut() }
    }

    /// Takes ownership back and drops the value; NULL is fine, as C's `free` allows it.
    ///
    /// # Safety
    ///
    /// Unless NULL, `raw` must come from [`Held::into_raw`] of the same type and not be used again.
    pub(crate) unsafe fn free(raw: *mut c_void) {
        if !raw.is_null() {
            // SAFETY: the caller vouches for origin and uniqueness.
            drop(unsafe { Box::from_raw(raw.cast::<Self>()) });
        }
    }
}

/// A new reference to the instance behind a `provctx`; `None` for NULL.
///
/// # Safety
///
/// Unless NULL, `provctx` must be what `OSSL_provider_init` handed out, not yet torn down.
pub(crate) unsafe fn borrow_instance(provctx: *mut c_void) -> Option<Arc<Instance>> {
    let instance = provctx.cast_const().cast::<Instance>();
    if instance.is_null() {
        return None;
    }
    // SAFETY: init made the pointer with `Arc::into_raw` and keeps that reference until teardown;
    // the count is raised before a second owner is made of it.
    unsafe {
        Arc::increment_strong_count(instance);
        Some(Arc::from_raw(instance))
    }
}

/// An `OSSL_CALLBACK` with its argument, lent for the time of one call.
#[derive(Clone, Copy)]
pub(crate) struct Callback {
    function: Option<OSSL_CALLBACK>,
    argument: *mut c_void,
}

impl Callback {
    /// # Safety
    ///
    /// `function`, if any, must be callable with `argument` while the value lives.
    pub(crate) unsafe fn new(function: Option<OSSL_CALLBACK>, argument: *mut c_void) -> Self {
        Self { function, argument }
    }

    /// Calls it with an ended parameter array; whether it returned success.
    pub(crate) fn call(&self, params: *const OSSL_PARAM) -> bool {
        let Some(function) = self.function else {
            return false;
        };
        // SAFETY: the constructor's caller vouches for function and argument; `params` comes from
        // `ParamList::with`, which ends its arrays.
        unsafe { function(params, self.argument) == 1 }
    }
}

/// What OpenSSL passes between our decoders or store and our keymgmt: a pointer to a key, marked
/// so that a reference that is not ours is noticed.
#[repr(C)]
pub(crate) struct Reference {
    magic: u64,
    key: *mut c_void,
}

impl Reference {
    const MAGIC: u64 = 0x7470_6d2d_7072_6f76;

    /// Lends `key` to the core; what nobody took is given back.
    pub(crate) fn lend<T>(key: Held<T>, lend: impl FnOnce(*mut c_void, usize) -> bool) -> bool {
        let mut reference = Self {
            magic: Self::MAGIC,
            key: key.into_raw(),
        };
        let ok = lend((&raw mut reference).cast(), size_of::<Self>());
        // SAFETY: the pointer came from `into_raw` just above; `take` clears it when somebody
        // else has become the owner, and `free` accepts NULL.
        unsafe { Held::<T>::free(reference.key) };
        ok
    }

    /// Takes the key out of a reference.
    ///
    /// # Safety
    ///
    /// Unless NULL, `reference` must be writable for `size` bytes, and if it is ours, the key in
    /// it must be a `Held<T>`.
    pub(crate) unsafe fn take(reference: *mut c_void, size: usize) -> Result<*mut c_void, Error> {
        let wrong = || {
            Error::new(
                Reason::InvalidArgument,
                "a key reference of another provider",
            )
        };
        if reference.is_null() || size != size_of::<Self>() {
            return Err(wrong());
        }
        let reference = reference.cast::<Self>();
        // SAFETY: the caller vouches for `size` bytes, which is the structure's size; it may be
        // unaligned when it is not ours.
        let content = unsafe { reference.read_unaligned() };
        if content.magic != Self::MAGIC || content.key.is_null() {
            return Err(wrong());
        }
        let emptied = Self {
            magic: Self::MAGIC,
            key: std::ptr::null_mut(),
        };
        // SAFETY: as above; the giver sees that the key has an owner now.
        unsafe { reference.write_unaligned(emptied) };
        Ok(content.key)
    }
}
