//! libtpms.so.0: its functions, and the callbacks through which it reads and writes its state.
#![allow(clippy::disallowed_types, reason = "in a PerProcess")]

use std::ffi::{CStr, c_char, c_int, c_uchar};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libloading::os::unix as dl;
use zeroize::{Zeroize, Zeroizing};

use super::fork_safe::PerProcess;
use crate::transport::endpoint::Family;
use crate::transport::error::{ErrorKind, Fault};
use crate::transport::frame;
use crate::transport::libtpms::state::Store;

const NAME: &str = "libtpms.so.0";

const TPM_SUCCESS: u32 = 0;
const TPM_FAIL: u32 = 9;
/// "There is no such state", which makes libtpms start with a new TPM.
const TPM_RETRY: u32 = 0x800;

type Result32 = u32;

/// `struct libtpms_callbacks`, as of libtpms 0.6 and later.
#[repr(C)]
struct Callbacks {
    size_of_struct: c_int,
    nvram_init: Option<unsafe extern "C" fn() -> Result32>,
    nvram_load:
        Option<unsafe extern "C" fn(*mut *mut c_uchar, *mut u32, u32, *const c_char) -> Result32>,
    nvram_store: Option<unsafe extern "C" fn(*const c_uchar, u32, u32, *const c_char) -> Result32>,
    nvram_delete: Option<unsafe extern "C" fn(u32, *const c_char, c_uchar) -> Result32>,
    io_init: Option<unsafe extern "C" fn() -> Result32>,
    io_locality: Option<unsafe extern "C" fn(*mut u32, u32) -> Result32>,
    io_presence: Option<unsafe extern "C" fn(*mut c_uchar, u32) -> Result32>,
}

/// The library's entry points. It has one TPM in global variables, so all calls but `open` are for one
/// thread at a time; `transport::libtpms::Instance` sees to that.
#[derive(Debug)]
pub(crate) struct Library {
    choose_version: unsafe extern "C" fn(c_int) -> Result32,
    register_callbacks: unsafe extern "C" fn(*mut Callbacks) -> Result32,
    main_init: unsafe extern "C" fn() -> Result32,
    terminate: unsafe extern "C" fn(),
    process:
        unsafe extern "C" fn(*mut *mut c_uchar, *mut u32, *mut u32, *mut c_uchar, u32) -> Result32,
}

impl Library {
    /// Loads libtpms for the rest of the process' life: it keeps our callbacks, and state of its
    /// own, in global variables.
    pub(crate) fn open() -> Result<&'static Self, Fault> {
        let missing = |error: libloading::Error| {
            Fault::new(
                ErrorKind::Library,
                format!("{NAME} cannot be loaded: {error}"),
            )
            .hint("apt-get install libtpms0 (Fedora: dnf install libtpms)")
        };
        // SAFETY: libtpms and the libcrypto it depends on have no initialiser that expects more
        // than a loaded C library.
        let library = unsafe { dl::Library::open(Some(NAME), dl::RTLD_NOW | dl::RTLD_LOCAL) }
            .map_err(missing)?;
        // SAFETY: each name is a function of libtpms/tpm_library.h, and the type it is assigned to
        // is that function's. The pointers stay valid because the library is never unloaded.
        let loaded = unsafe {
            Self {
                choose_version: *library.get("TPMLIB_ChooseTPMVersion").map_err(missing)?,
                register_callbacks: *library.get("TPMLIB_RegisterCallbacks").map_err(missing)?,
                main_init: *library.get("TPMLIB_MainInit").map_err(missing)?,
                terminate: *library.get("TPMLIB_Terminate").map_err(missing)?,
                process: *library.get("TPMLIB_Process").map_err(missing)?,
            }
        };
        silence(&library);
        std::mem::forget(library);
        Ok(Box::leak(Box::new(loaded)))
    }

    /// Switches the TPM on, with the state in `store`.
    pub(crate) fn start(&self, store: Arc<Store>, family: Family) -> Result<(), Fault> {
        set_store(Some(store));
        // One inherited by fork, or left by the last shutdown, explains nothing here.
        let _ = take_cause();
        let version = match family {
            Family::Tpm12 => 0,
            Family::Tpm2 => 1,
        };
        // SAFETY: takes a number; the caller has libtpms alone and no TPM runs.
        succeeded("choosing the TPM's family", unsafe {
            (self.choose_version)(version)
        })?;
        let mut callbacks = CALLBACKS;
        // SAFETY: libtpms copies as many bytes as the structure says it has, and the functions in
        // it live as long as this module, which is never unloaded (-z nodelete).
        succeeded("registering with libtpms", unsafe {
            (self.register_callbacks)(&mut callbacks)
        })?;
        // SAFETY: takes nothing; the caller has libtpms alone and no TPM runs.
        succeeded("starting the TPM", unsafe { (self.main_init)() })
    }

    /// Switches the TPM off.
    pub(crate) fn stop(&self) {
        // SAFETY: takes nothing; the caller has libtpms alone, and a TPM was started before.
        unsafe { (self.terminate)() };
        set_store(None);
    }

    /// Switches off a TPM that a fork has copied into this process, without saving anything.
    pub(crate) fn discard(&self, store: Store) {
        set_store(Some(Arc::new(store)));
        self.stop();
    }

    /// Has the TPM work one command, which the caller has checked.
    pub(crate) fn process(&self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        // The parameter is not const: the TPM gets a copy of its own.
        let mut command = Zeroizing::new(command.to_vec());
        let length = u32::try_from(command.len())
            .map_err(|_| Fault::new(ErrorKind::Limit, "the command is too long"))?;
        let mut buffer: *mut c_uchar = ptr::null_mut();
        let (mut size, mut capacity) = (0, 0);
        // SAFETY: the command's pointer and length belong together; the three result pointers lead
        // to live locals that say there is no buffer yet, and libtpms allocates one with malloc.
        let code = unsafe {
            let start = command.as_mut_ptr();
            (self.process)(&mut buffer, &mut size, &mut capacity, start, length)
        };
        let given = (size as usize).min(capacity as usize);
        let fits = !buffer.is_null() && given <= frame::MAX_RESPONSE;
        let response = fits.then(|| {
            // SAFETY: libtpms has allocated `capacity` bytes and filled the first `size`.
            Zeroizing::new(unsafe { slice::from_raw_parts(buffer, given) }.to_vec())
        });
        if !buffer.is_null() {
            // SAFETY: as above, and nothing else refers to the buffer. What lies behind the
            // response may never have been written, so only the response is wiped.
            unsafe {
                slice::from_raw_parts_mut(buffer, given).zeroize();
                libc::free(buffer.cast());
            }
        }
        succeeded("the command inside libtpms", code)?;
        let response =
            response.ok_or_else(|| Fault::new(ErrorKind::Protocol, "libtpms gave no response"))?;
        frame::check_response(&response)?;
        Ok(response)
    }
}

/// Keeps libtpms from writing to descriptor 2: entering failure mode it prints the whole command,
/// secrets included, and a host's descriptor 2 may be a client's socket.
fn silence(library: &dl::Library) {
    // A number no descriptor has: for a negative one it falls back to descriptor 2.
    const NOWHERE: c_int = c_int::MAX;
    // SAFETY: this is the function's type in libtpms/tpm_library.h.
    let set = unsafe { library.get::<unsafe extern "C" fn(c_int)>("TPMLIB_SetDebugFD") };
    match set {
        // SAFETY: takes a number, which libtpms only ever writes to.
        Ok(set) => unsafe { set(NOWHERE) },
        Err(error) => log::warn!("libtpms cannot be silenced: {error}"),
    }
}

/// Translates a result of libtpms. A state that could not be read or written explains it better, and
/// counts even if libtpms went on, since its next answer would be that it has failed.
fn succeeded(doing: &str, code: Result32) -> Result<(), Fault> {
    take_cause()?;
    match code {
        TPM_SUCCESS => Ok(()),
        code => Err(Fault::new(
            ErrorKind::Library,
            format!("{doing} failed with code {code:#x}"),
        )),
    }
}

/// Where the callbacks find the state; set while a TPM runs.
static STORE: PerProcess<Mutex<Option<Arc<Store>>>> = PerProcess::new();

fn set_store(store: Option<Arc<Store>>) {
    *locked(&STORE) = store;
}

/// The store, with the mutex free again before any file is touched.
fn store() -> Option<Arc<Store>> {
    locked(&STORE).clone()
}

const CALLBACKS: Callbacks = Callbacks {
    size_of_struct: size_of::<Callbacks>() as c_int,
    nvram_init: Some(nvram_init),
    nvram_load: Some(nvram_load),
    nvram_store: Some(nvram_store),
    nvram_delete: Some(nvram_delete),
    io_init: Some(nvram_init),
    io_locality: Some(io_locality),
    io_presence: Some(io_presence),
};

/// Runs a callback's body: a panic must not unwind into C, and any failure is the TPM's.
fn guarded(body: impl FnOnce() -> Option<Result32>) -> Result32 {
    catch_unwind(AssertUnwindSafe(body))
        .ok()
        .flatten()
        .unwrap_or(TPM_FAIL)
}

/// Why the TPM's state could not be read or written, when that is what made a command fail.
static CAUSE: PerProcess<Mutex<Option<Fault>>> = PerProcess::new();

fn locked<T>(value: &'static PerProcess<Mutex<Option<T>>>) -> MutexGuard<'static, Option<T>> {
    let value = value.get(|| Mutex::new(None));
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn noted<T>(result: Result<T, Fault>) -> Option<T> {
    let note = |fault: Fault| {
        log::error!("the TPM's state: {}", fault.what);
        *locked(&CAUSE) = Some(fault);
    };
    result.map_err(note).ok()
}

fn take_cause() -> Result<(), Fault> {
    let cause = locked(&CAUSE).take();
    cause.map_or(Ok(()), Err)
}

/// The name of a state, if it is one.
///
/// # Safety
///
/// `name` is null or a NUL-terminated string that outlives the result.
unsafe fn name_of<'a>(name: *const c_char) -> Option<&'a str> {
    if name.is_null() {
        return None;
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(name) }.to_str().ok()
}

unsafe extern "C" fn nvram_init() -> Result32 {
    TPM_SUCCESS
}

unsafe extern "C" fn nvram_load(
    data: *mut *mut c_uchar,
    length: *mut u32,
    _tpm: u32,
    name: *const c_char,
) -> Result32 {
    guarded(|| {
        // SAFETY: libtpms passes a string constant.
        let name = unsafe { name_of(name) }?;
        let Some(blob) = noted(store()?.load(name))? else {
            return Some(TPM_RETRY);
        };
        let size = u32::try_from(blob.len()).ok()?;
        // SAFETY: malloc takes a size. libtpms frees the buffer with free.
        let buffer = unsafe { libc::malloc(blob.len().max(1)) }.cast::<c_uchar>();
        if buffer.is_null() || data.is_null() || length.is_null() {
            // SAFETY: null, or just allocated and not given to anybody.
            unsafe { libc::free(buffer.cast()) };
            return None;
        }
        // SAFETY: the buffer has at least as many bytes as the blob and cannot overlap it; `data`
        // and `length` are libtpms' variables for the result, checked above.
        unsafe {
            ptr::copy_nonoverlapping(blob.as_ptr(), buffer, blob.len());
            *data = buffer;
            *length = size;
        }
        Some(TPM_SUCCESS)
    })
}

unsafe extern "C" fn nvram_store(
    data: *const c_uchar,
    length: u32,
    _tpm: u32,
    name: *const c_char,
) -> Result32 {
    guarded(|| {
        // SAFETY: libtpms passes a string constant.
        let name = unsafe { name_of(name) }?;
        if data.is_null() {
            return None;
        }
        // SAFETY: libtpms passes its state and the state's length, unchanged during the call.
        let blob = unsafe { slice::from_raw_parts(data, length as usize) };
        noted(store()?.store(name, blob)).map(|()| TPM_SUCCESS)
    })
}

unsafe extern "C" fn nvram_delete(_tpm: u32, name: *const c_char, must_exist: c_uchar) -> Result32 {
    guarded(|| {
        // SAFETY: libtpms passes a string constant.
        let name = unsafe { name_of(name) }?;
        let existed = noted(store()?.delete(name))?;
        Some(if existed || must_exist == 0 {
            TPM_SUCCESS
        } else {
            TPM_FAIL
        })
    })
}

unsafe extern "C" fn io_locality(locality: *mut u32, _tpm: u32) -> Result32 {
    if locality.is_null() {
        return TPM_FAIL;
    }
    // SAFETY: libtpms' variable for the result.
    unsafe { *locality = 0 };
    TPM_SUCCESS
}

unsafe extern "C" fn io_presence(present: *mut c_uchar, _tpm: u32) -> Result32 {
    if present.is_null() {
        return TPM_FAIL;
    }
    // SAFETY: libtpms' variable for the result.
    unsafe { *present = 0 };
    TPM_SUCCESS
}
