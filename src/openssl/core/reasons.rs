//! The texts of our reason codes, given to the host's libcrypto.
//!
//! A provider may hand them in by `OSSL_FUNC_PROVIDER_GET_REASON_STRINGS`. OpenSSL takes those back with the provider's last
//! reference, under a lock that is gone once `OPENSSL_cleanup` has run: a key that outlives it (a C++ static, a library's
//! destructor) ended the program with SIGSEGV. So they are registered past the provider, once for each copy of
//! libcrypto, and never taken back; the module stays mapped. A host that keeps its functions to itself has the reason
//! in the sentence instead.

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};

use tss::os::AppendOnly;

use super::Core;
use super::error::{REASONS, Reason};

/// Where OpenSSL packs the library's number into a code (`ERR_LIB_OFFSET`).
const LIBRARY_OFFSET: u32 = 23;
/// Its width (`ERR_LIB_MASK`).
const LIBRARY_MASK: u32 = 0xff;
/// What errors of ours are called between their code and their reason.
const LIBRARY_NAME: &CStr = c"tpm";

/// `ERR_STRING_DATA`.
#[repr(C)]
struct Entry {
    error: c_ulong,
    string: *const c_char,
}

/// `ERR_get_next_error_library`.
type NextLibrary = unsafe extern "C" fn() -> c_int;
/// `ERR_load_strings_const`.
type LoadStrings = unsafe extern "C" fn(*const Entry) -> c_int;

/// A copy of libcrypto that has our texts.
struct Registered {
    /// Its `ERR_load_strings_const`, by which it is known.
    copy: *const c_void,
    /// The number that it gave us.
    library: u32,
    /// What its table points at for as long as the process lives; kept where it can be found.
    _texts: &'static [Entry],
}

// SAFETY: the pointers are compared, or read by libcrypto; nothing writes behind them.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

static REGISTERED: AppendOnly<Registered> = AppendOnly::new();

/// The number under which the host's libcrypto knows our reasons, with their texts; `None` if it keeps its functions to itself.
pub(super) fn library_in(core: &Core) -> Option<u32> {
    let (next, load) = (
        core.symbol(c"ERR_get_next_error_library")?,
        core.symbol(c"ERR_load_strings_const")?,
    );
    let copy: *const c_void = load.as_ptr();
    // SAFETY: the symbols are libcrypto's public functions of these names, whose types have been the same since 3.0.
    let (next, load) = unsafe {
        (
            std::mem::transmute::<*mut c_void, NextLibrary>(next.as_ptr()),
            std::mem::transmute::<*mut c_void, LoadStrings>(load.as_ptr()),
        )
    };
    // Two threads that come first at once may both register: one number counts, and the other has texts as well.
    let known = REGISTERED.find_or_add(
        |known| known.copy == copy,
        || {
            // SAFETY: it counts, and takes nothing.
            let library = unsafe { next() };
            let library = u32::try_from(library).unwrap_or(0) & LIBRARY_MASK;
            let code = |reason: u32| c_ulong::from(pack(library, reason));
            let name = Entry {
                error: code(0),
                string: LIBRARY_NAME.as_ptr(),
            };
            let texts = REASONS.iter().map(|(reason, text)| Entry {
                error: code(*reason as u32),
                string: text.as_ptr(),
            });
            let end = Entry {
                error: 0,
                string: std::ptr::null(),
            };
            let texts: &[Entry] =
                Vec::leak(std::iter::once(name).chain(texts).chain([end]).collect());
            // SAFETY: the array ends with an entry of zeros and lives for ever, as do its texts.
            unsafe { load(texts.as_ptr()) };
            Registered {
                copy,
                library,
                _texts: texts,
            }
        },
    );
    Some(known.library).filter(|library| *library != 0)
}

/// `ERR_PACK`.
pub(super) fn code(library: Option<u32>, reason: Reason) -> u32 {
    library.map_or(reason as u32, |library| pack(library, reason as u32))
}

fn pack(library: u32, reason: u32) -> u32 {
    library << LIBRARY_OFFSET | reason
}
