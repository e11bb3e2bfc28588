//! The module as PKCS#11's, called without anybody between: each [`Module`] is a copy of its own, with its own state, so
//! that tests in one process do not meet in it. And directories of keys for it.

#![allow(
    clippy::macro_metavars_in_unsafe,
    reason = "the arguments of `p11!` are a test's, and mostly addresses"
)]

use std::ffi::{CString, c_void};
use std::fs;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::ptr;

use cryptoki_sys::*;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::openssl::Openssl;
use crate::process::Run;
use crate::proxy::Proxy;
use crate::scratch::{Scratch, give_to};
use crate::site::open_to_all;
use crate::swtpm::Swtpm;
use crate::tools::{self, need};

/// Calls a function of the list.
#[macro_export]
macro_rules! p11 {
    ($module:expr, $name:ident $(, $argument:expr)* $(,)?) => {{
        let function = $module.list().$name.expect("every pointer is filled");
        // SAFETY: the test hands in what the standard wants, or what it says is looked at.
        unsafe { function($($argument),*) }
    }};
}

/// A loaded copy of the module.
pub struct Module {
    // Modules are not unloaded (-z nodelete).
    library: ManuallyDrop<Library>,
    list: *const CK_FUNCTION_LIST_3_2,
    dir: Scratch,
}

// SAFETY: the list is the module's, which never changes it; its functions may be called by all threads.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

impl Module {
    /// Loads a copy; nobody has called C_Initialize.
    pub fn load() -> Self {
        let dir = Scratch::new();
        let path = dir.join("tpm.so");
        fs::copy(tools::module(), &path).expect("the module can be copied");
        // SAFETY: the module's initialisers are Rust's and libc's.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
        let library = library.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut found: *mut CK_INTERFACE = ptr::null_mut();
        // SAFETY: the function has this type by the standard.
        unsafe {
            let get = library
                .get::<unsafe extern "C" fn(
                    *mut CK_UTF8CHAR,
                    *mut CK_VERSION,
                    *mut *mut CK_INTERFACE,
                    CK_FLAGS,
                ) -> CK_RV>(b"C_GetInterface")
                .expect("C_GetInterface");
            assert_eq!(get(ptr::null_mut(), ptr::null_mut(), &mut found, 0), CKR_OK);
        }
        // SAFETY: the module gave it.
        let list = unsafe { (*found).pFunctionList }.cast();
        Self {
            library: ManuallyDrop::new(library),
            list,
            dir,
        }
    }

    /// Loads a copy and starts it with these settings.
    #[track_caller]
    pub fn start(settings: &str) -> Self {
        let module = Self::load();
        assert_eq!(module.initialize(settings), CKR_OK, "{settings}");
        module
    }

    /// Leaves it as a program does that never calls C_Finalize; the copy of the file goes.
    pub fn abandon(self) {
        let this = ManuallyDrop::new(self);
        fs::remove_dir_all(this.dir.path()).expect("the copy can be removed");
    }

    pub fn list(&self) -> &CK_FUNCTION_LIST_3_2 {
        // SAFETY: the list lives as long as the module, which stays.
        unsafe { &*self.list }
    }

    /// A function that the module exports.
    pub fn symbol(&self, name: &str) -> *const c_void {
        // SAFETY: the symbol is only looked up.
        let symbol = unsafe { self.library.get::<*const c_void>(name.as_bytes()) };
        symbol.map_or(ptr::null(), |symbol| symbol.into_raw().cast_const())
    }

    /// C_Initialize with settings behind `pReserved`.
    pub fn initialize(&self, settings: &str) -> CK_RV {
        let text = CString::new(settings).expect("no NUL");
        let mut arguments = CK_C_INITIALIZE_ARGS {
            flags: CKF_OS_LOCKING_OK,
            pReserved: text.as_ptr().cast_mut().cast(),
            ..CK_C_INITIALIZE_ARGS::default()
        };
        p11!(self, C_Initialize, ptr::from_mut(&mut arguments).cast())
    }

    /// The slots, and whether each wants a PIN.
    #[track_caller]
    pub fn slots(&self) -> Vec<CK_SLOT_ID> {
        let mut count = 0;
        assert_eq!(
            p11!(self, C_GetSlotList, CK_TRUE, ptr::null_mut(), &mut count),
            CKR_OK
        );
        let mut slots = vec![0; usize::try_from(count).expect("few")];
        assert_eq!(
            p11!(self, C_GetSlotList, CK_TRUE, slots.as_mut_ptr(), &mut count),
            CKR_OK
        );
        slots.truncate(usize::try_from(count).expect("few"));
        slots
    }

    #[track_caller]
    pub fn token(&self, slot: CK_SLOT_ID) -> CK_TOKEN_INFO {
        let mut info = CK_TOKEN_INFO::default();
        assert_eq!(p11!(self, C_GetTokenInfo, slot, &mut info), CKR_OK);
        info
    }

    /// A token's label, without the blanks behind it.
    #[track_caller]
    pub fn label(&self, slot: CK_SLOT_ID) -> String {
        text(&self.token(slot).label)
    }

    /// Opens a session that may write.
    #[track_caller]
    pub fn open(&self, slot: CK_SLOT_ID) -> CK_SESSION_HANDLE {
        self.open_with(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION)
    }

    /// Opens one that may not.
    #[track_caller]
    pub fn open_to_read(&self, slot: CK_SLOT_ID) -> CK_SESSION_HANDLE {
        self.open_with(slot, CKF_SERIAL_SESSION)
    }

    #[track_caller]
    fn open_with(&self, slot: CK_SLOT_ID, flags: CK_FLAGS) -> CK_SESSION_HANDLE {
        let mut session = 0;
        assert_eq!(
            p11!(
                self,
                C_OpenSession,
                slot,
                flags,
                ptr::null_mut(),
                None,
                &mut session
            ),
            CKR_OK
        );
        session
    }

    pub fn log_in(&self, session: CK_SESSION_HANDLE, pin: &str) -> CK_RV {
        let mut pin = pin.as_bytes().to_vec();
        let length = pin.len() as CK_ULONG;
        p11!(self, C_Login, session, CKU_USER, pin.as_mut_ptr(), length)
    }

    /// Gives up whatever is under way.
    pub fn cancel(&self, session: CK_SESSION_HANDLE) -> CK_RV {
        p11!(self, C_SessionCancel, session, CK_FLAGS::MAX)
    }

    /// The objects with these attributes.
    #[track_caller]
    pub fn find(
        &self,
        session: CK_SESSION_HANDLE,
        wanted: &[(CK_ATTRIBUTE_TYPE, &[u8])],
    ) -> Vec<CK_OBJECT_HANDLE> {
        let mut template = template(wanted);
        let count = template.len() as CK_ULONG;
        assert_eq!(
            p11!(
                self,
                C_FindObjectsInit,
                session,
                template.as_mut_ptr(),
                count
            ),
            CKR_OK
        );
        let mut all = Vec::new();
        loop {
            let (mut some, mut count) = ([0; 3], 0);
            assert_eq!(
                p11!(
                    self,
                    C_FindObjects,
                    session,
                    some.as_mut_ptr(),
                    3,
                    &mut count
                ),
                CKR_OK
            );
            if count == 0 {
                break;
            }
            all.extend_from_slice(&some[..usize::try_from(count).expect("three at most")]);
        }
        assert_eq!(p11!(self, C_FindObjectsFinal, session), CKR_OK);
        all
    }

    /// The objects of a class.
    #[track_caller]
    pub fn of_class(
        &self,
        session: CK_SESSION_HANDLE,
        class: CK_OBJECT_CLASS,
    ) -> Vec<CK_OBJECT_HANDLE> {
        self.find(session, &[(CKA_CLASS, &class.to_ne_bytes())])
    }

    /// An attribute, or why there is none.
    pub fn attribute(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> Result<Vec<u8>, CK_RV> {
        let mut attribute = CK_ATTRIBUTE {
            type_: kind,
            pValue: ptr::null_mut(),
            ulValueLen: 0,
        };
        let get = |attribute: &mut CK_ATTRIBUTE| match p11!(
            self,
            C_GetAttributeValue,
            session,
            object,
            attribute,
            1
        ) {
            CKR_OK => Ok(()),
            why => Err(why),
        };
        get(&mut attribute)?;
        let mut value = vec![0u8; usize::try_from(attribute.ulValueLen).expect("short")];
        attribute.pValue = value.as_mut_ptr().cast();
        get(&mut attribute)?;
        Ok(value)
    }

    /// A number.
    #[track_caller]
    pub fn number(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> CK_ULONG {
        let value = self.attribute(session, object, kind).expect("a value");
        CK_ULONG::from_ne_bytes(value.try_into().expect("a number"))
    }

    /// Signs data in one call.
    pub fn sign(
        &self,
        session: CK_SESSION_HANDLE,
        key: CK_OBJECT_HANDLE,
        mechanism: &mut CK_MECHANISM,
        data: &[u8],
    ) -> Result<Vec<u8>, CK_RV> {
        ok(p11!(self, C_SignInit, session, mechanism, key))?;
        let mut signature = vec![0; 1024];
        let mut length = signature.len() as CK_ULONG;
        let mut data = data.to_vec();
        ok(p11!(
            self,
            C_Sign,
            session,
            data.as_mut_ptr(),
            data.len() as CK_ULONG,
            signature.as_mut_ptr(),
            &mut length
        ))?;
        signature.truncate(usize::try_from(length).expect("short"));
        Ok(signature)
    }

    /// Has the TPM make a key: its public half and its private one.
    pub fn generate(
        &self,
        session: CK_SESSION_HANDLE,
        kind: CK_MECHANISM_TYPE,
        public: &[(CK_ATTRIBUTE_TYPE, &[u8])],
        private: &[(CK_ATTRIBUTE_TYPE, &[u8])],
    ) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE), CK_RV> {
        let (mut public, mut private) = (template(public), template(private));
        let (mut one, mut other) = (0, 0);
        ok(p11!(
            self,
            C_GenerateKeyPair,
            session,
            &mut plain(kind),
            public.as_mut_ptr(),
            public.len() as CK_ULONG,
            private.as_mut_ptr(),
            private.len() as CK_ULONG,
            &mut one,
            &mut other
        ))?;
        Ok((one, other))
    }

    /// Copies an object, which differs in these attributes.
    pub fn copy(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        differing: &[(CK_ATTRIBUTE_TYPE, &[u8])],
    ) -> Result<CK_OBJECT_HANDLE, CK_RV> {
        let mut template = template(differing);
        let mut copied = 0;
        ok(p11!(
            self,
            C_CopyObject,
            session,
            object,
            template.as_mut_ptr(),
            template.len() as CK_ULONG,
            &mut copied
        ))?;
        Ok(copied)
    }

    /// Whether the module says that a signature is right.
    pub fn verify(
        &self,
        session: CK_SESSION_HANDLE,
        key: CK_OBJECT_HANDLE,
        mechanism: &mut CK_MECHANISM,
        data: &[u8],
        signature: &[u8],
    ) -> CK_RV {
        let started = p11!(self, C_VerifyInit, session, mechanism, key);
        if started != CKR_OK {
            return started;
        }
        let (mut data, mut signature) = (data.to_vec(), signature.to_vec());
        p11!(
            self,
            C_Verify,
            session,
            data.as_mut_ptr(),
            data.len() as CK_ULONG,
            signature.as_mut_ptr(),
            signature.len() as CK_ULONG
        )
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        p11!(self, C_Finalize, ptr::null_mut());
    }
}

pub fn ok(value: CK_RV) -> Result<(), CK_RV> {
    match value {
        CKR_OK => Ok(()),
        why => Err(why),
    }
}

/// A text without the blanks that fill its field.
pub fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).trim_end().to_owned()
}

/// A template that points to these values.
pub fn template(values: &[(CK_ATTRIBUTE_TYPE, &[u8])]) -> Vec<CK_ATTRIBUTE> {
    values
        .iter()
        .map(|(kind, value)| CK_ATTRIBUTE {
            type_: *kind,
            pValue: value.as_ptr().cast_mut().cast(),
            ulValueLen: value.len() as CK_ULONG,
        })
        .collect()
}

/// A mechanism without a parameter.
pub fn plain(kind: CK_MECHANISM_TYPE) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: kind,
        pParameter: ptr::null_mut(),
        ulParameterLen: 0,
    }
}

/// A mechanism with a parameter, which must outlive it.
pub fn with<T>(kind: CK_MECHANISM_TYPE, parameter: &mut T) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: kind,
        pParameter: ptr::from_mut(parameter).cast(),
        ulParameterLen: size_of::<T>() as CK_ULONG,
    }
}

/// A TPM with a storage root key, a tap on its wire, and a directory for keys.
pub struct Keys {
    /// For `tpmctl` and `openssl`, in the directory of keys.
    pub openssl: Openssl,
    pub tap: Proxy,
    pub tpm: Swtpm,
}

impl Keys {
    pub fn new() -> Self {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        let tap = Proxy::start(&tpm);
        // Programs that are not root's, or give it up.
        open_to_all(&tap);
        let openssl = Openssl::new(&tap.address());
        fs::create_dir(openssl.dir().join("keys")).expect("a new directory");
        Self { openssl, tap, tpm }
    }

    /// The directory of keys.
    pub fn dir(&self) -> PathBuf {
        self.openssl.dir().join("keys")
    }

    /// What is in it.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir()).expect("the directory of keys");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Makes the key file `NAME.tpm` with `tpmctl key new` and these options.
    pub fn add(&self, name: &str, options: &str) -> PathBuf {
        self.tpmctl(&format!("key new -o keys/{name}.tpm {options}"))
            .ok();
        self.path(&format!("{name}.tpm"))
    }

    /// Makes a key with a PIN.
    pub fn add_with_pin(&self, name: &str, pin: &str, options: &str) -> PathBuf {
        self.openssl.dir().write("pin", format!("{pin}\n"));
        self.add(name, &format!("--auth file:pin {options}"))
    }

    /// A self-signed certificate beside a key: `NAME.crt`. One with a PIN has that of [`Keys::add_with_pin`].
    pub fn certify(&self, name: &str) {
        let pin = match self.openssl.dir().join("pin").exists() {
            true => "-passin file:pin",
            false => "",
        };
        self.openssl.ok(&format!(
            "req -x509 -key keys/{name}.tpm {pin} -out keys/{name}.crt -subj /CN={name} -days 2 \
             -addext basicConstraints=CA:TRUE -addext subjectAltName=DNS:localhost"
        ));
    }

    pub fn tpmctl(&self, line: &str) -> Run {
        self.openssl.tpmctl(&self.tap.address(), line)
    }

    /// What the module is told.
    pub fn settings(&self) -> String {
        format!(
            "tcti={} key-dirs={}",
            self.tap.address(),
            self.dir().display()
        )
    }

    /// The module with these keys.
    #[track_caller]
    pub fn module(&self) -> Module {
        Module::start(&self.settings())
    }

    /// A program that loads the module, with these keys by the environment.
    pub fn program(&self, program: &str, package: &str) -> Run {
        Run::new(need(program, package))
            .dir(self.openssl.dir().path())
            .env("TPM_TCTI", self.tap.address())
            .env("TPM_KEY_DIRS", self.dir())
            .env("HOME", self.openssl.dir().path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("SSH_AUTH_SOCK")
    }

    /// `pkcs11-tool` with the module and these words.
    pub fn pkcs11_tool(&self, words: &str) -> Run {
        self.program("pkcs11-tool", "opensc")
            .arg("--module")
            .arg(tools::module())
            .words(words)
    }

    /// A program that finds the module by p11-kit, which has conf/p11-kit/tpm-provider.module and no other. As somebody else
    /// than root, of whom p11-kit reads no files.
    pub fn by_p11_kit(&self, program: &str, package: &str) -> Run {
        let dir = self.openssl.dir();
        let config = dir.join(".config/pkcs11");
        fs::create_dir_all(config.join("modules")).expect("a directory");
        let line = format!("module: {}", tools::module().display());
        let text = tools::substitute(
            &tools::sample("p11-kit/tpm-provider.module"),
            "module: tpm.so",
            &line,
        );
        dir.write(".config/pkcs11/modules/tpm-provider.module", text);
        dir.write(".config/pkcs11/pkcs11.conf", "user-config: only\n");
        if !tools::is_root() {
            return self.program(program, package);
        }
        need(program, package);
        give_to("nobody", dir.path());
        self.program("setpriv", "util-linux")
            .words("--reuid=65534 --regid=65534 --clear-groups")
            .arg(program)
    }

    /// How many wrong tries the TPM has counted.
    pub fn wrong_tries(&self) -> u32 {
        let out = self
            .tpm
            .tool("tpm2_getcap properties-variable")
            .dir(self.openssl.dir().path())
            .ok()
            .out();
        let line = out
            .lines()
            .find(|line| line.contains("TPM2_PT_LOCKOUT_COUNTER"));
        let number = line.and_then(|line| line.split("0x").nth(1));
        u32::from_str_radix(number.expect("the counter").trim(), 16).expect("a number")
    }
}

/// A path as OpenSSH's agents accept it: below /usr/lib, or what `-P` says.
pub fn module_path() -> PathBuf {
    let path = tools::module();
    fs::canonicalize(Path::new(&path)).expect("the module")
}
