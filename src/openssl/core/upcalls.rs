//! The functions that the core hands to `OSSL_provider_init`.

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::ptr::{self, NonNull};

use keys::printable;
use tss::os::AppendOnly;

use super::async_job::Functions;
use super::{CoreBioRef, Error, reasons};
use crate::openssl::abi::{self, OSSL_CORE_HANDLE, OSSL_DISPATCH, OSSL_PARAM};
use crate::openssl::entry::param;

// What `BIO_seek` and `BIO_tell` ask of a BIO (openssl/bio.h).
const BIO_C_FILE_SEEK: c_int = 128;
const BIO_C_FILE_TELL: c_int = 133;

/// One instance's view of the core: its handle and the upcalls that came with it.
///
/// Kept per provider instance, not per process: several library contexts, and several copies of
/// libcrypto, can load the module side by side.
pub(crate) struct Core {
    handle: *const OSSL_CORE_HANDLE,
    get_params: Option<abi::CoreGetParams>,
    get_libctx: Option<abi::CoreGetLibctx>,
    new_error: Option<abi::CoreNewError>,
    set_error_debug: Option<abi::CoreSetErrorDebug>,
    vset_error: Option<abi::CoreVsetError>,
    set_error_mark: Option<abi::CoreErrorMark>,
    clear_last_error_mark: Option<abi::CoreErrorMark>,
    pop_error_to_mark: Option<abi::CoreErrorMark>,
    bio_read_ex: Option<abi::BioReadEx>,
    bio_write_ex: Option<abi::BioWriteEx>,
    bio_gets: Option<abi::BioGets>,
    bio_ctrl: Option<abi::BioCtrl>,
    /// Looked for when first needed; at most one.
    pub(super) async_functions: AppendOnly<Option<Functions>>,
    /// The number under which the host's libcrypto knows our reasons, if it knows them.
    error_library: Option<u32>,
}

// SAFETY: the handle is a token that only upcalls look into, and OpenSSL documents both as usable
// from any thread for as long as the provider is loaded.
unsafe impl Send for Core {}
// SAFETY: as above; nothing here is changed after construction.
unsafe impl Sync for Core {}

impl Core {
    /// Takes what `OSSL_provider_init` was given.
    ///
    /// # Safety
    ///
    /// `handle` and `dispatch` must be the arguments of `OSSL_provider_init`, valid until the
    /// provider is torn down.
    pub(crate) unsafe fn new(
        handle: *const OSSL_CORE_HANDLE,
        dispatch: *const OSSL_DISPATCH,
    ) -> Self {
        let mut core = Self {
            handle,
            get_params: None,
            get_libctx: None,
            new_error: None,
            set_error_debug: None,
            vset_error: None,
            set_error_mark: None,
            clear_last_error_mark: None,
            pop_error_to_mark: None,
            bio_read_ex: None,
            bio_write_ex: None,
            bio_gets: None,
            bio_ctrl: None,
            async_functions: AppendOnly::new(),
            error_library: None,
        };
        let mut next = dispatch;
        while !next.is_null() {
            // SAFETY: the caller vouches for a dispatch table, which ends with identifier 0; the
            // loop stops there.
            let entry = unsafe { *next };
            if entry.function_id == 0 {
                break;
            }
            // SAFETY: every identifier stands for one function type, the one of the field that it
            // is stored in; OpenSSL built the table so.
            unsafe { core.adopt(entry) };
            // SAFETY: this entry was not the last one.
            next = unsafe { next.add(1) };
        }
        // Now and not with the first error: a forked child might wait for a lock of the dynamic linker.
        core.error_library = reasons::library_in(&core);
        core
    }

    /// # Safety
    ///
    /// `entry.function` must have the type that `entry.function_id` stands for.
    unsafe fn adopt(&mut self, entry: OSSL_DISPATCH) {
        use std::mem::transmute as cast;
        let Some(function) = entry.function else {
            return;
        };
        // SAFETY: the caller vouches for the type behind each identifier; all are function
        // pointers of one size.
        unsafe {
            match entry.function_id {
                abi::OSSL_FUNC_CORE_GET_PARAMS => {
                    self.get_params = Some(cast::<abi::Function, abi::CoreGetParams>(function));
                }
                abi::OSSL_FUNC_CORE_GET_LIBCTX => {
                    self.get_libctx = Some(cast::<abi::Function, abi::CoreGetLibctx>(function));
                }
                abi::OSSL_FUNC_CORE_NEW_ERROR => {
                    self.new_error = Some(cast::<abi::Function, abi::CoreNewError>(function));
                }
                abi::OSSL_FUNC_CORE_SET_ERROR_DEBUG => {
                    self.set_error_debug =
                        Some(cast::<abi::Function, abi::CoreSetErrorDebug>(function));
                }
                abi::OSSL_FUNC_CORE_VSET_ERROR => {
                    self.vset_error = Some(cast::<abi::Function, abi::CoreVsetError>(function));
                }
                abi::OSSL_FUNC_CORE_SET_ERROR_MARK => {
                    self.set_error_mark = Some(cast::<abi::Function, abi::CoreErrorMark>(function));
                }
                abi::OSSL_FUNC_CORE_CLEAR_LAST_ERROR_MARK => {
                    self.clear_last_error_mark =
                        Some(cast::<abi::Function, abi::CoreErrorMark>(function));
                }
                abi::OSSL_FUNC_CORE_POP_ERROR_TO_MARK => {
                    self.pop_error_to_mark =
                        Some(cast::<abi::Function, abi::CoreErrorMark>(function));
                }
                abi::OSSL_FUNC_BIO_READ_EX => {
                    self.bio_read_ex = Some(cast::<abi::Function, abi::BioReadEx>(function));
                }
                abi::OSSL_FUNC_BIO_WRITE_EX => {
                    self.bio_write_ex = Some(cast::<abi::Function, abi::BioWriteEx>(function));
                }
                abi::OSSL_FUNC_BIO_GETS => {
                    self.bio_gets = Some(cast::<abi::Function, abi::BioGets>(function));
                }
                abi::OSSL_FUNC_BIO_CTRL => {
                    self.bio_ctrl = Some(cast::<abi::Function, abi::BioCtrl>(function));
                }
                _ => {}
            }
        }
    }

    /// The value of `key` in the provider's section of openssl.cnf.
    pub(crate) fn setting(&self, key: &CStr) -> Option<String> {
        let get_params = self.get_params?;
        let mut value: *const c_char = ptr::null();
        let mut question = [
            OSSL_PARAM {
                key: key.as_ptr(),
                data_type: param::UTF8_PTR,
                data: (&raw mut value).cast(),
                data_size: 0,
                return_size: param::UNMODIFIED,
            },
            param::END,
        ];
        // SAFETY: the array is well-formed, ended, and outlives the call; the handle is the one
        // that came with the function.
        let ok = unsafe { get_params(self.handle, question.as_mut_ptr()) };
        if ok != 1 || question[0].return_size == param::UNMODIFIED || value.is_null() {
            return None;
        }
        // SAFETY: a UTF8_PTR answer points at a NUL-terminated string which the core keeps for as
        // long as the provider's configuration; it is copied at once.
        Some(
            unsafe { CStr::from_ptr(value) }
                .to_string_lossy()
                .into_owned(),
        )
    }

    /// The host's OpenSSL version: major and minor.
    pub(crate) fn version(&self) -> Option<(u32, u32)> {
        let text = self.setting(c"openssl-version")?;
        let mut numbers = text.split(['.', '-']).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }

    /// The address of one of the core's functions, by which its copy of libcrypto can be found.
    pub(super) fn some_function(&self) -> Option<*const c_void> {
        self.new_error.map(|function| function as *const c_void)
    }

    /// The library context that this instance belongs to, as an opaque pointer.
    pub(super) fn library_context(&self) -> Option<*mut c_void> {
        // SAFETY: the handle is the one that came with the function.
        self.get_libctx
            .map(|get| unsafe { get(self.handle) }.cast())
    }

    /// Puts `error` on the calling thread's error queue.
    pub(crate) fn raise(&self, error: &Error, function: &CStr) {
        let (Some(new_error), Some(vset_error)) = (self.new_error, self.vset_error) else {
            return;
        };
        let text = match self.error_library {
            Some(_) => error.to_string(),
            None => error.with_reason(),
        };
        // The text goes through printf: what could be a conversion is doubled, so that the list
        // of arguments below is never looked at.
        let text = printable::line(&text).replace('%', "%%");
        let text = CString::new(text).unwrap_or_default();
        let mut no_arguments = [0u64; 8];
        // SAFETY: the handle is the one that came with the functions, all strings are
        // NUL-terminated and live across the calls, and the format has no conversion left, so the
        // zeroed storage that stands for the argument list (see `VaList`) is never read.
        unsafe {
            new_error(self.handle);
            if let Some(set_error_debug) = self.set_error_debug {
                set_error_debug(self.handle, c"tpm-provider".as_ptr(), 0, function.as_ptr());
            }
            vset_error(
                self.handle,
                reasons::code(self.error_library, error.reason()),
                text.as_ptr(),
                no_arguments.as_mut_ptr().cast(),
            );
        }
    }

    /// Runs `work` and takes back every error that it left in the queue although it went well: a
    /// stray entry makes servers fail the handshake that came out right.
    pub(crate) fn with_error_mark<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let call = |function: Option<abi::CoreErrorMark>| {
            if let Some(function) = function {
                // SAFETY: the handle is the one that came with the function.
                let _: c_int = unsafe { function(self.handle) };
            }
        };
        call(self.set_error_mark);
        let result = work();
        call(if result.is_ok() {
            self.pop_error_to_mark
        } else {
            self.clear_last_error_mark
        });
        result
    }

    /// Runs `work` and takes back every error that it left in the queue.
    pub(crate) fn unnoticed<T>(&self, work: impl FnOnce() -> T) -> T {
        let Ok(value) = self.with_error_mark(|| Ok::<T, Infallible>(work()));
        value
    }

    /// Reads what is left in `bio`, up to `limit` bytes; more is an error.
    pub(crate) fn read_to_end(&self, bio: &mut CoreBioRef, limit: usize) -> Option<Vec<u8>> {
        let read = self.bio_read_ex?;
        let mut content = Vec::new();
        let mut chunk = [0u8; 4096];
        while content.len() <= limit {
            let mut count = 0usize;
            // SAFETY: `bio` is a live core BIO, the buffer is ours and as large as said.
            let ok = unsafe {
                read(
                    bio.as_core(),
                    chunk.as_mut_ptr().cast(),
                    chunk.len(),
                    &mut count,
                )
            };
            if ok != 1 || count == 0 {
                return Some(content);
            }
            content.extend_from_slice(&chunk[..count.min(chunk.len())]);
        }
        None
    }

    /// The next line with its end, or as much of it as fits; `None` at the end of the input.
    pub(crate) fn read_line(&self, bio: &mut CoreBioRef) -> Option<Vec<u8>> {
        const SIZE: c_int = 1024;
        let gets = self.bio_gets?;
        let mut line = vec![0u8; SIZE as usize];
        // SAFETY: `bio` is a live core BIO, the buffer is ours and as large as said.
        let count = unsafe { gets(bio.as_core(), line.as_mut_ptr().cast(), SIZE) };
        let count = usize::try_from(count).ok().filter(|count| *count > 0)?;
        line.truncate(count);
        Some(line)
    }

    /// Where `bio` is read next, in bytes from its start; `None` where it cannot go back.
    pub(crate) fn position(&self, bio: &mut CoreBioRef) -> Option<c_long> {
        let ctrl = self.bio_ctrl?;
        // SAFETY: `bio` is a live core BIO; this command takes no argument.
        let position = unsafe { ctrl(bio.as_core(), BIO_C_FILE_TELL, 0, ptr::null_mut()) };
        (position >= 0).then_some(position.into())
    }

    /// Goes back to where [`Self::position`] was.
    pub(crate) fn go_back(&self, bio: &mut CoreBioRef, position: c_long) {
        if let Some(ctrl) = self.bio_ctrl {
            // SAFETY: as above. What it answers is no sign of success: a file answers 0, memory the position.
            unsafe { ctrl(bio.as_core(), BIO_C_FILE_SEEK, position, ptr::null_mut()) };
        }
    }

    /// Writes all of `data` to `bio`.
    pub(crate) fn write_all(&self, bio: &mut CoreBioRef, mut data: &[u8]) -> Result<(), Error> {
        let write = self
            .bio_write_ex
            .ok_or_else(|| Error::output("this OpenSSL lends no BIO"))?;
        while !data.is_empty() {
            let mut count = 0usize;
            // SAFETY: `bio` is a live core BIO, the buffer is as large as said.
            let ok = unsafe { write(bio.as_core(), data.as_ptr().cast(), data.len(), &mut count) };
            if ok != 1 || count == 0 {
                return Err(Error::output("the output could not be written"));
            }
            data = &data[count.min(data.len())..];
        }
        Ok(())
    }

    /// A core BIO pointer as a borrowed wrapper; `None` for NULL.
    ///
    /// # Safety
    ///
    /// Unless NULL, `bio` must be a live core BIO that nobody else uses while the value lives.
    pub(crate) unsafe fn bio<'a>(bio: *mut abi::OSSL_CORE_BIO) -> Option<&'a mut CoreBioRef> {
        NonNull::new(bio).map(|bio| {
            // SAFETY: not NULL, and the caller vouches for the rest.
            unsafe { CoreBioRef::from_core(bio) }
        })
    }
}
