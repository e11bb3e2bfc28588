//! The provider in its core: how it is made, what it hands out, how it ends.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic;
use std::ptr;
use std::sync::Once;

use tss::tpm2::fuzzing::ADDRESS;

use super::NOTHING;
use super::fake::{Bio, Core, lent};
use crate::openssl::OSSL_provider_init;
use crate::openssl::abi::*;
use crate::openssl::ops;

/// A provider in its core.
pub(super) struct Provider {
    core: Box<Core>,
    dispatch: Table,
    /// What `OSSL_provider_init` handed out.
    pub(super) context: *mut c_void,
}

thread_local!(static PANICKED: Cell<bool> = const { Cell::new(false) });

/// Has panics noticed although the boundary stops them: initialisation silences them, since descriptor 2
/// may be a client's. Here they are findings.
fn watch_panics(init: impl FnOnce() -> c_int) -> c_int {
    static ONCE: Once = Once::new();
    let mut init = Some(init);
    let mut first = None;
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        first = init.take().map(|init| init());
        panic::set_hook(Box::new(move |info| {
            PANICKED.set(true);
            loud(info);
        }));
    });
    first.or_else(|| init.map(|init| init())).unwrap_or(0)
}

impl Provider {
    /// With this section in openssl.cnf.
    pub(super) fn new(section: Vec<(CString, CString)>) -> Self {
        let core = Box::new(Core {
            section,
            raised: Cell::new(0),
            marks: Cell::new(0),
        });
        let mut out: *const OSSL_DISPATCH = ptr::null();
        let mut context = NOTHING;
        let handle: *const OSSL_CORE_HANDLE = ptr::from_ref(&*core).cast();
        let lent = lent();
        // SAFETY: the handle and the functions that take it live in the value that is returned, or are
        // static; the provider is torn down before.
        let answer = watch_panics(|| unsafe {
            OSSL_provider_init(handle, lent.as_ptr(), &mut out, &mut context)
        });
        assert_eq!(answer, 1, "initialisation never fails");
        Self {
            core,
            dispatch: Table(out),
            context,
        }
    }

    /// With the scripted TPM.
    pub(super) fn usual(verify: bool, eager: bool) -> Self {
        let setting =
            |name: &str, value: &str| (CString::new(name).unwrap(), CString::new(value).unwrap());
        Self::new(vec![
            setting("tcti", ADDRESS),
            setting("sessions", "never"),
            setting("verify", if verify { "on" } else { "off" }),
            setting("load", if eager { "eager" } else { "lazy" }),
            setting("openssl-version", "3.5.0"),
        ])
    }

    /// The algorithms of an operation.
    pub(super) fn algorithms(&self, operation: c_int) -> Vec<Algorithm> {
        let query = entry_point!(
            self.dispatch,
            OSSL_FUNC_PROVIDER_QUERY_OPERATION,
            fn(*mut c_void, c_int, *mut c_int) -> *const OSSL_ALGORITHM
        );
        let mut no_cache = 0;
        // SAFETY: the context is the provider's, and what it answers is a table with an end.
        unsafe { listed(query.unwrap()(self.context, operation, &mut no_cache)) }
    }

    /// The same of an operation in which it stands in for others: this core does not let itself be asked for them.
    pub(super) fn stand_ins(&self, operation: c_int) -> Vec<Algorithm> {
        assert!(self.algorithms(operation).is_empty());
        // SAFETY: a table with an end.
        unsafe { listed(ops::algorithms(operation, None).map_or(ptr::null(), ptr::from_ref)) }
    }

    /// How many errors were raised.
    pub(super) fn raised(&self) -> usize {
        self.core.raised.get()
    }

    /// Whether no error was raised, and no mark is left in the queue.
    pub(super) fn is_quiet(&self) -> bool {
        self.raised() == 0 && self.core.marks.get() == 0
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let teardown = entry_point!(
            self.dispatch,
            OSSL_FUNC_PROVIDER_TEARDOWN,
            fn(*mut c_void) -> ()
        );
        // SAFETY: once, and with everything freed that came from it.
        unsafe { teardown.unwrap()(self.context) };
        assert_eq!(self.core.marks.get(), 0, "an error mark is left");
        assert!(
            !PANICKED.replace(false),
            "a panic was stopped at the boundary"
        );
    }
}

/// The algorithms of a table.
///
/// # Safety
///
/// Unless NULL, `next` must start a table that ends with NULL names.
unsafe fn listed(mut next: *const OSSL_ALGORITHM) -> Vec<Algorithm> {
    let mut algorithms = Vec::new();
    // SAFETY: the caller vouches for the end.
    unsafe {
        while !next.is_null() && !(*next).algorithm_names.is_null() {
            algorithms.push(Algorithm {
                names: CStr::from_ptr((*next).algorithm_names).to_str().unwrap(),
                table: Table((*next).implementation),
            });
            next = next.add(1);
        }
    }
    algorithms
}

/// An algorithm's names and functions.
#[derive(Clone, Copy)]
pub(super) struct Algorithm {
    pub(super) names: &'static str,
    pub(super) table: Table,
}

impl Algorithm {
    /// Whether this is one of its names.
    pub(super) fn is(&self, name: &str) -> bool {
        self.names.split(':').any(|known| known == name)
    }

    /// Runs it as a decoder; `found` gets the parameters of what was decoded.
    pub(super) fn decode(
        &self,
        provider: &Provider,
        bio: &mut Bio<'_>,
        selection: c_int,
        found: &mut dyn FnMut(*const OSSL_PARAM, &mut Vec<u8>) -> c_int,
    ) -> Vec<u8> {
        let new = entry_point!(
            self.table,
            OSSL_FUNC_DECODER_NEWCTX,
            fn(*mut c_void) -> *mut c_void
        );
        let free = entry_point!(self.table, OSSL_FUNC_DECODER_FREECTX, fn(*mut c_void) -> ());
        let decode = entry_point!(
            self.table,
            OSSL_FUNC_DECODER_DECODE,
            fn(
                *mut c_void,
                *mut OSSL_CORE_BIO,
                c_int,
                Option<OSSL_CALLBACK>,
                *mut c_void,
                Option<OSSL_PASSPHRASE_CALLBACK>,
                *mut c_void,
            ) -> c_int
        );
        let mut result = Vec::new();
        let mut callback = |params: *const OSSL_PARAM| found(params, &mut result);
        let mut callback: &mut dyn FnMut(*const OSSL_PARAM) -> c_int = &mut callback;
        // SAFETY: context and BIO are live, the callback's argument is what `called` expects.
        unsafe {
            let context = new.unwrap()(provider.context);
            decode.unwrap()(
                context,
                bio.as_core(),
                selection,
                Some(called),
                (&raw mut callback).cast(),
                Some(passphrase),
                NOTHING,
            );
            free.unwrap()(context);
        }
        result
    }
}

/// A dispatch table.
#[derive(Clone, Copy)]
pub(super) struct Table(*const OSSL_DISPATCH);

impl Table {
    pub(super) fn find(&self, id: c_int) -> Option<Function> {
        let mut next = self.0;
        // SAFETY: a table of the provider's, which ends with 0.
        unsafe {
            while (*next).function_id != 0 {
                if (*next).function_id == id {
                    return (*next).function;
                }
                next = next.add(1);
            }
        }
        None
    }
}

/// The function of an identifier, with the type that it stands for.
macro_rules! entry_point {
    ($table:expr, $id:expr, fn($($arg:ty),* $(,)?) -> $ret:ty) => {
        $table.find($id).map(|function| {
            // SAFETY: the type is the one that OpenSSL documents for the identifier.
            unsafe {
                std::mem::transmute::<
                    $crate::openssl::abi::Function,
                    unsafe extern "C" fn($($arg),*) -> $ret,
                >(function)
            }
        })
    };
}
pub(super) use entry_point;

/// `OSSL_CALLBACK` whose argument is a closure.
///
/// # Safety
///
/// `argument` must point at a `&mut dyn FnMut(*const OSSL_PARAM) -> c_int`.
pub(super) unsafe extern "C" fn called(params: *const OSSL_PARAM, argument: *mut c_void) -> c_int {
    // SAFETY: the caller vouches for the type.
    let callback = unsafe { &mut *argument.cast::<&mut dyn FnMut(*const OSSL_PARAM) -> c_int>() };
    callback(params)
}

/// A passphrase that is always the same.
pub(super) unsafe extern "C" fn passphrase(
    pass: *mut c_char,
    size: usize,
    len: *mut usize,
    _params: *const OSSL_PARAM,
    _argument: *mut c_void,
) -> c_int {
    assert!(size >= 3);
    // SAFETY: the buffer has `size` bytes, and `len` is writable.
    unsafe {
        ptr::copy_nonoverlapping(c"pin".as_ptr(), pass, 3);
        *len = 3;
    }
    1
}
