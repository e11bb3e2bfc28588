//! The host's copy of libcrypto, found without linking to one.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

use super::Core;
use crate::openssl::abi::{
    OSSL_OP_ASYM_CIPHER, OSSL_OP_DECODER, OSSL_OP_DIGEST, OSSL_OP_ENCODER, OSSL_OP_KEYEXCH,
    OSSL_OP_KEYMGMT, OSSL_OP_RAND, OSSL_OP_SIGNATURE, OSSL_PARAM,
};
use crate::openssl::entry::param::Params;

/// `EVP_KEYMGMT_fetch` and its likes.
type Fetch = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> *mut c_void;
/// `EVP_KEYMGMT_free` and its likes.
type Free = unsafe extern "C" fn(*mut c_void);
/// `EVP_ASYM_CIPHER_settable_ctx_params`.
type Settable = unsafe extern "C" fn(*const c_void) -> *const OSSL_PARAM;

/// OpenSSL's own where it is loaded, else another provider's: a property query.
const NOT_OURS: &CStr = c"provider!=tpm,?provider=default";

/// Whoever has it but us, whatever the host's own default query demands of algorithms otherwise: what that leaves out,
/// a query of the caller's may let in.
const BY_ANYBODY_ELSE: &CStr = c"provider!=tpm,-fips";

/// libcrypto's functions that find an algorithm of one operation and give it back, with the library context of the
/// provider, from the same copy of libcrypto.
struct Fetcher {
    fetch: Fetch,
    free: Free,
    context: *mut c_void,
}

impl Fetcher {
    /// Whether the host finds that algorithm. Its errors are left in the queue.
    fn finds(&self, name: &CStr, query: Option<&CStr>) -> bool {
        let query = query.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: the context is the provider's own, from the same copy of libcrypto as the functions
        // (see `symbol`); both texts are C strings, and a null query means none; `free` takes NULL.
        unsafe {
            let found = (self.fetch)(self.context, name.as_ptr(), query);
            (self.free)(found);
            !found.is_null()
        }
    }
}

impl Core {
    /// Has the host fetch some algorithm of `operation`, so that it registers what every other
    /// provider has of it. Whether that could be done: a host whose libcrypto is linked in with
    /// hidden symbols keeps its functions to itself.
    pub(crate) fn fetch_elsewhere(&self, operation: c_int) -> bool {
        let name = match operation {
            OSSL_OP_KEYEXCH => c"ECDH",
            _ => c"RSA",
        };
        let Some(fetcher) = self.fetcher(operation) else {
            return false;
        };
        self.unnoticed(|| {
            fetcher.finds(name, None);
        });
        true
    }

    /// Whether another provider has one of these algorithms, by what the host finds when it is made to fetch them.
    /// `None` if it keeps its functions to itself.
    pub(crate) fn others_have(&self, operation: c_int, names: &[&CStr]) -> Option<bool> {
        let fetcher = self.fetcher(operation)?;
        let mut found = false;
        self.unnoticed(|| {
            found = names
                .iter()
                .any(|name| fetcher.finds(name, Some(BY_ANYBODY_ELSE)));
        });
        Some(found)
    }

    fn fetcher(&self, operation: c_int) -> Option<Fetcher> {
        let (fetch, free) = match operation {
            OSSL_OP_DIGEST => (c"EVP_MD_fetch", c"EVP_MD_free"),
            OSSL_OP_RAND => (c"EVP_RAND_fetch", c"EVP_RAND_free"),
            OSSL_OP_KEYMGMT => (c"EVP_KEYMGMT_fetch", c"EVP_KEYMGMT_free"),
            OSSL_OP_SIGNATURE => (c"EVP_SIGNATURE_fetch", c"EVP_SIGNATURE_free"),
            OSSL_OP_ASYM_CIPHER => (c"EVP_ASYM_CIPHER_fetch", c"EVP_ASYM_CIPHER_free"),
            OSSL_OP_KEYEXCH => (c"EVP_KEYEXCH_fetch", c"EVP_KEYEXCH_free"),
            OSSL_OP_DECODER => (c"OSSL_DECODER_fetch", c"OSSL_DECODER_free"),
            OSSL_OP_ENCODER => (c"OSSL_ENCODER_fetch", c"OSSL_ENCODER_free"),
            _ => return None,
        };
        let (fetch, free) = (self.symbol(fetch)?, self.symbol(free)?);
        // SAFETY: the symbols are libcrypto's public functions of these names, whose types have
        // been the same since 3.0.
        unsafe {
            Some(Fetcher {
                fetch: std::mem::transmute::<*mut c_void, Fetch>(fetch.as_ptr()),
                free: std::mem::transmute::<*mut c_void, Free>(free.as_ptr()),
                context: self.library_context()?,
            })
        }
    }

    /// Whether RSA decryption of the host's own makes up a message for wrong PKCS#1 v1.5 padding: it has since 3.2,
    /// and in builds of 3.0 and 3.1 to which vendors have brought that. It says so by the parameter with which a
    /// caller asks for errors. `None` if there is none beside ours, or if the host keeps its functions to itself.
    pub(crate) fn rejects_implicitly(&self) -> Option<bool> {
        let (fetch, free, settable, context) = (
            self.symbol(c"EVP_ASYM_CIPHER_fetch")?,
            self.symbol(c"EVP_ASYM_CIPHER_free")?,
            self.symbol(c"EVP_ASYM_CIPHER_settable_ctx_params")?,
            self.library_context()?,
        );
        // SAFETY: the symbols are libcrypto's public functions of these names, whose types have
        // been the same since 3.0.
        let (fetch, free, settable) = unsafe {
            (
                std::mem::transmute::<*mut c_void, Fetch>(fetch.as_ptr()),
                std::mem::transmute::<*mut c_void, Free>(free.as_ptr()),
                std::mem::transmute::<*mut c_void, Settable>(settable.as_ptr()),
            )
        };
        let mut answer = None;
        self.unnoticed(|| {
            // SAFETY: the context is this provider's own, from the same copy of libcrypto as the
            // functions (see `symbol`), and both texts are C strings.
            let cipher = unsafe { fetch(context, c"RSA".as_ptr(), NOT_OURS.as_ptr()) };
            if cipher.is_null() {
                return;
            }
            // SAFETY: the algorithm was fetched just now; its table, or NULL, is an ended array that lives as long as
            // the provider that has it, which the reference keeps loaded.
            answer = Some(unsafe {
                Params::new(settable(cipher))
                    .get(c"implicit-rejection")
                    .is_some()
            });
            // SAFETY: the reference that fetching gave is given back, once.
            unsafe { free(cipher) };
        });
        answer
    }

    /// A public function of the very libcrypto that loaded this provider.
    ///
    /// A process may hold several copies, one of them linked into the program: the function counts
    /// only if it lies in the same object as the upcalls that this instance was given.
    pub(super) fn symbol(&self, name: &CStr) -> Option<NonNull<c_void>> {
        let anchor = self.some_function()?;
        let home = object_of(anchor)?;
        // SAFETY: the path comes from the dynamic linker; RTLD_NOLOAD loads nothing, so no code
        // runs; a null path is the program itself, whose own path cannot be opened.
        let handles = unsafe {
            let flags = libc::RTLD_NOLOAD | libc::RTLD_LAZY;
            [
                libc::dlopen(home.dli_fname, flags),
                libc::dlopen(ptr::null(), flags),
            ]
        };
        let mut found = None;
        for handle in handles {
            if handle.is_null() {
                continue;
            }
            // SAFETY: the handle is open, the name is a C string; closing gives back only the
            // reference that opening took.
            unsafe {
                let symbol = NonNull::new(libc::dlsym(handle, name.as_ptr()));
                libc::dlclose(handle);
                found = found.or(symbol.filter(|symbol| {
                    object_of(symbol.as_ptr())
                        .is_some_and(|object| object.dli_fbase == home.dli_fbase)
                }));
            }
        }
        found
    }
}

/// The loaded object that `address` lies in.
fn object_of(address: *const c_void) -> Option<libc::Dl_info> {
    let mut object = libc::Dl_info {
        dli_fname: ptr::null(),
        dli_fbase: ptr::null_mut(),
        dli_sname: ptr::null(),
        dli_saddr: ptr::null_mut(),
    };
    // SAFETY: the structure is ours; any address may be asked about.
    (unsafe { libc::dladdr(address, &mut object) } != 0 && !object.dli_fname.is_null())
        .then_some(object)
}
