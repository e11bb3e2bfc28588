//! The core: what OpenSSL lends a provider.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::transmute;
use std::ptr;

use crate::openssl::abi::*;

/// What stands behind a core handle.
pub(super) struct Core {
    pub(super) section: Vec<(CString, CString)>,
    pub(super) raised: Cell<usize>,
    pub(super) marks: Cell<usize>,
}

/// A core BIO: bytes to read, and what was written.
pub(super) struct Bio<'a> {
    input: &'a [u8],
    output: Vec<u8>,
}

impl<'a> Bio<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            output: Vec::new(),
        }
    }

    pub(super) fn as_core(&mut self) -> *mut OSSL_CORE_BIO {
        ptr::from_mut(self).cast()
    }

    pub(super) fn into_output(self) -> Vec<u8> {
        self.output
    }
}

/// The functions of a core whose handle is a [`Core`].
pub(super) fn lent() -> &'static [OSSL_DISPATCH] {
    /// Pointers to functions, which any thread may read.
    struct Lent([OSSL_DISPATCH; 11]);
    // SAFETY: immutable.
    unsafe impl Sync for Lent {}
    macro_rules! entry {
        ($id:ident, $function:ident, $type:ty) => {
            OSSL_DISPATCH {
                function_id: $id,
                // SAFETY: function pointers have one size, and the type is the identifier's.
                function: Some(unsafe { transmute::<$type, Function>($function) }),
            }
        };
    }
    static LENT: Lent = Lent([
        entry!(OSSL_FUNC_CORE_GET_PARAMS, get_params, CoreGetParams),
        entry!(OSSL_FUNC_CORE_NEW_ERROR, new_error, CoreNewError),
        entry!(
            OSSL_FUNC_CORE_SET_ERROR_DEBUG,
            set_error_debug,
            CoreSetErrorDebug
        ),
        entry!(OSSL_FUNC_CORE_VSET_ERROR, vset_error, CoreVsetError),
        entry!(OSSL_FUNC_CORE_SET_ERROR_MARK, set_mark, CoreErrorMark),
        entry!(
            OSSL_FUNC_CORE_CLEAR_LAST_ERROR_MARK,
            clear_mark,
            CoreErrorMark
        ),
        entry!(OSSL_FUNC_CORE_POP_ERROR_TO_MARK, clear_mark, CoreErrorMark),
        entry!(OSSL_FUNC_BIO_READ_EX, read_ex, BioReadEx),
        entry!(OSSL_FUNC_BIO_WRITE_EX, write_ex, BioWriteEx),
        entry!(OSSL_FUNC_BIO_GETS, gets, BioGets),
        OSSL_DISPATCH {
            function_id: 0,
            function: None,
        },
    ]);
    &LENT.0
}

// What the provider calls. The handle is the `Core` that initialisation got, a BIO a `Bio`.

unsafe fn core<'a>(handle: *const OSSL_CORE_HANDLE) -> &'a Core {
    // SAFETY: the provider passes what it was given.
    unsafe { &*handle.cast::<Core>() }
}

unsafe extern "C" fn get_params(handle: *const OSSL_CORE_HANDLE, params: *mut OSSL_PARAM) -> c_int {
    // SAFETY: the array is the provider's and ends.
    unsafe {
        let mut next = params;
        while !(*next).key.is_null() {
            let key = CStr::from_ptr((*next).key);
            let section = &core(handle).section;
            if let Some((_, value)) = section.iter().find(|(name, _)| name.as_c_str() == key) {
                *(*next).data.cast::<*const c_char>() = value.as_ptr();
                (*next).return_size = value.count_bytes();
            }
            next = next.add(1);
        }
    }
    1
}

unsafe extern "C" fn new_error(handle: *const OSSL_CORE_HANDLE) {
    // SAFETY: ours.
    let core = unsafe { core(handle) };
    core.raised.set(core.raised.get() + 1);
}

unsafe extern "C" fn set_error_debug(
    _handle: *const OSSL_CORE_HANDLE,
    file: *const c_char,
    _line: c_int,
    function: *const c_char,
) {
    // SAFETY: both are strings.
    unsafe { assert!(!CStr::from_ptr(file).is_empty() && !CStr::from_ptr(function).is_empty()) };
}

unsafe extern "C" fn vset_error(
    _handle: *const OSSL_CORE_HANDLE,
    reason: u32,
    format: *const c_char,
    _arguments: VaList,
) {
    assert_ne!(reason, 0);
    // SAFETY: a string.
    let format = unsafe { CStr::from_ptr(format) }.to_str().expect("UTF-8");
    assert!(!format.is_empty());
    // No conversion may be left: there are no arguments.
    assert!(!format.replace("%%", "").contains('%'), "{format}");
}

unsafe extern "C" fn set_mark(handle: *const OSSL_CORE_HANDLE) -> c_int {
    // SAFETY: ours.
    let core = unsafe { core(handle) };
    core.marks.set(core.marks.get() + 1);
    1
}

unsafe extern "C" fn clear_mark(handle: *const OSSL_CORE_HANDLE) -> c_int {
    // SAFETY: ours.
    let core = unsafe { core(handle) };
    core.marks
        .set(core.marks.get().checked_sub(1).expect("a mark"));
    1
}

unsafe extern "C" fn read_ex(
    bio: *mut OSSL_CORE_BIO,
    data: *mut c_void,
    size: usize,
    read: *mut usize,
) -> c_int {
    // SAFETY: a `Bio`, and a buffer of `size` bytes.
    unsafe {
        let bio = &mut *bio.cast::<Bio<'_>>();
        let count = size.min(bio.input.len());
        ptr::copy_nonoverlapping(bio.input.as_ptr(), data.cast(), count);
        bio.input = &bio.input[count..];
        *read = count;
        (count > 0).into()
    }
}

unsafe extern "C" fn write_ex(
    bio: *mut OSSL_CORE_BIO,
    data: *const c_void,
    size: usize,
    written: *mut usize,
) -> c_int {
    // SAFETY: a `Bio`, and `size` bytes.
    unsafe {
        let bio = &mut *bio.cast::<Bio<'_>>();
        let data = std::slice::from_raw_parts(data.cast::<u8>(), size);
        bio.output.extend_from_slice(data);
        *written = size;
    }
    1
}

/// As `BIO_gets` of a memory BIO: up to and with the line feed, then a NUL.
unsafe extern "C" fn gets(bio: *mut OSSL_CORE_BIO, data: *mut c_char, size: c_int) -> c_int {
    let room = usize::try_from(size - 1).unwrap();
    // SAFETY: a `Bio`, and a buffer of `size` bytes.
    unsafe {
        let bio = &mut *bio.cast::<Bio<'_>>();
        let line = bio.input.iter().position(|&byte| byte == b'\n');
        let count = line.map_or(bio.input.len(), |end| end + 1).min(room);
        ptr::copy_nonoverlapping(bio.input.as_ptr().cast(), data, count);
        *data.add(count) = 0;
        bio.input = &bio.input[count..];
        c_int::try_from(count).unwrap()
    }
}
