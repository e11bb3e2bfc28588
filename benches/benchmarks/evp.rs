//! Keys in OpenSSL library contexts of their own, used as TLS uses them: a fresh context for each operation.

use openssl::encrypt::Encrypter;
use openssl::hash::MessageDigest;
use openssl::md::Md;
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa;
use openssl::sign::{RsaPssSaltlen, Verifier};
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

use foreign_types::ForeignType;

// libcrypto is linked for the `openssl` crate; these are the functions that openssl-sys leaves out.
unsafe extern "C" {
    fn OSSL_LIB_CTX_load_config(ctx: *mut openssl_sys::OSSL_LIB_CTX, file: *const c_char) -> c_int;
    fn PEM_read_bio_PrivateKey_ex(
        bio: *mut openssl_sys::BIO,
        key: *mut *mut openssl_sys::EVP_PKEY,
        callback: *mut c_void,
        argument: *mut c_void,
        ctx: *mut openssl_sys::OSSL_LIB_CTX,
        properties: *const c_char,
    ) -> *mut openssl_sys::EVP_PKEY;
    fn OSSL_STORE_open_ex(
        uri: *const c_char,
        ctx: *mut openssl_sys::OSSL_LIB_CTX,
        properties: *const c_char,
        ui: *const c_void,
        ui_data: *mut c_void,
        params: *const c_void,
        post_process: *mut c_void,
        post_process_data: *mut c_void,
    ) -> *mut c_void;
    fn OSSL_STORE_eof(store: *mut c_void) -> c_int;
    fn OSSL_STORE_load(store: *mut c_void) -> *mut c_void;
    fn OSSL_STORE_close(store: *mut c_void) -> c_int;
    fn OSSL_STORE_INFO_get1_PKEY(info: *const c_void) -> *mut openssl_sys::EVP_PKEY;
    fn OSSL_STORE_INFO_free(info: *mut c_void);
    fn EVP_PKEY_CTX_new_from_pkey(
        ctx: *mut openssl_sys::OSSL_LIB_CTX,
        key: *mut openssl_sys::EVP_PKEY,
        properties: *const c_char,
    ) -> *mut openssl_sys::EVP_PKEY_CTX;
}

/// What is asked of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// RSA, PKCS#1 v1.5, SHA-256.
    Pkcs1,
    /// RSA, PSS with a salt of 32 bytes, SHA-256: TLS 1.3's.
    Pss,
    /// ECDSA, SHA-256.
    Ecdsa,
    /// RSA, OAEP with SHA-256.
    Decrypt,
}

impl Operation {
    /// For the command line of a worker.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pkcs1 => "pkcs1",
            Self::Pss => "pss",
            Self::Ecdsa => "ecdsa",
            Self::Decrypt => "decrypt",
        }
    }

    pub fn named(name: &str) -> Self {
        let all = [Self::Pkcs1, Self::Pss, Self::Ecdsa, Self::Decrypt];
        all.into_iter()
            .find(|operation| operation.name() == name)
            .unwrap_or_else(|| panic!("no operation {name:?}"))
    }
}

/// An `OSSL_LIB_CTX`. It is never freed: a benchmark makes a few of them, and keys refer to theirs.
#[derive(Clone, Copy)]
pub struct Context(*mut openssl_sys::OSSL_LIB_CTX);

impl Default for Context {
    /// The default providers alone.
    fn default() -> Self {
        // SAFETY: has no preconditions.
        let ctx = unsafe { openssl_sys::OSSL_LIB_CTX_new() };
        assert!(!ctx.is_null(), "OSSL_LIB_CTX_new");
        Self(ctx)
    }
}

impl Context {
    /// With a configuration file.
    pub fn new(file: &Path) -> Self {
        let this = Self::default();
        let path = CString::new(file.to_str().expect("a plain path")).expect("no NUL");
        // SAFETY: the context is live and the path is a C string.
        let ok = unsafe { OSSL_LIB_CTX_load_config(this.0, path.as_ptr()) };
        assert_eq!(
            ok,
            1,
            "{}: {}",
            file.display(),
            openssl::error::ErrorStack::get()
        );
        this
    }

    /// A private key from PEM.
    pub fn load(self, pem: &[u8]) -> Key {
        let length = c_int::try_from(pem.len()).expect("a small file");
        // SAFETY: the BIO reads `pem`, which outlives it, and is freed here; the context is live.
        let key = unsafe {
            let bio = openssl_sys::BIO_new_mem_buf(pem.as_ptr().cast(), length);
            let null = ptr::null_mut();
            let key =
                PEM_read_bio_PrivateKey_ex(bio, ptr::null_mut(), null, null, self.0, ptr::null());
            openssl_sys::BIO_free_all(bio);
            key
        };
        assert!(!key.is_null(), "{}", openssl::error::ErrorStack::get());
        self.own(key)
    }

    /// The first private key behind a URI.
    pub fn store(self, uri: &str) -> Key {
        let name = CString::new(uri).expect("no NUL");
        let mut key: *mut openssl_sys::EVP_PKEY = ptr::null_mut();
        // SAFETY: the store is checked, used while it is open, and closed once; what it hands out is freed or
        // passed on.
        unsafe {
            let null = ptr::null_mut();
            let store = OSSL_STORE_open_ex(
                name.as_ptr(),
                self.0,
                ptr::null(),
                ptr::null(),
                null,
                ptr::null(),
                null,
                null,
            );
            assert!(
                !store.is_null(),
                "{uri}: {}",
                openssl::error::ErrorStack::get()
            );
            while key.is_null() && OSSL_STORE_eof(store) == 0 {
                let info = OSSL_STORE_load(store);
                if !info.is_null() {
                    key = OSSL_STORE_INFO_get1_PKEY(info);
                    OSSL_STORE_INFO_free(info);
                }
            }
            OSSL_STORE_close(store);
        }
        assert!(
            !key.is_null(),
            "{uri}: {}",
            openssl::error::ErrorStack::get()
        );
        self.own(key)
    }

    fn own(self, key: *mut openssl_sys::EVP_PKEY) -> Key {
        // SAFETY: a live key that nobody else owns.
        let key = unsafe { PKey::from_ptr(key) };
        Key { context: self, key }
    }
}

/// A private key in its context.
pub struct Key {
    context: Context,
    key: PKey<Private>,
}

// SAFETY: OpenSSL's library contexts and keys may be used from several threads at a time.
unsafe impl Sync for Key {}

impl Key {
    fn operation(&self) -> PkeyCtx<Private> {
        // SAFETY: context and key are live; the result is checked and owned by the wrapper.
        unsafe {
            let ctx = EVP_PKEY_CTX_new_from_pkey(self.context.0, self.key.as_ptr(), ptr::null());
            assert!(!ctx.is_null(), "{}", openssl::error::ErrorStack::get());
            PkeyCtx::from_ptr(ctx)
        }
    }

    /// Signs the digest of [`MESSAGE`].
    pub fn sign(&self, operation: Operation) -> Vec<u8> {
        let mut ctx = self.operation();
        let mut signature = Vec::new();
        let mut sign = || {
            ctx.sign_init()?;
            if operation == Operation::Pss {
                ctx.set_rsa_padding(rsa::Padding::PKCS1_PSS)?;
                ctx.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
            }
            ctx.set_signature_md(Md::sha256())?;
            ctx.sign_to_vec(&digest(), &mut signature)
        };
        sign().unwrap_or_else(|e| panic!("signing: {e}"));
        signature
    }

    /// One operation; its result is of no interest.
    pub fn run(&self, operation: Operation, sealed: &[u8]) {
        match operation {
            Operation::Decrypt => drop(self.decrypt(sealed)),
            _ => drop(self.sign(operation)),
        }
    }

    /// Decrypts what [`encrypt`] made.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Vec<u8> {
        let mut ctx = self.operation();
        let mut plaintext = Vec::new();
        let mut decrypt = || {
            ctx.decrypt_init()?;
            ctx.set_rsa_padding(rsa::Padding::PKCS1_OAEP)?;
            ctx.set_rsa_oaep_md(Md::sha256())?;
            ctx.decrypt_to_vec(ciphertext, &mut plaintext)
        };
        decrypt().unwrap_or_else(|e| panic!("decrypting: {e}"));
        plaintext
    }
}

const MESSAGE: &[u8] = b"what is signed";

fn digest() -> [u8; 32] {
    openssl::sha::sha256(MESSAGE)
}

/// Asserts, without the provider, that a signature of ours is one.
pub fn verify(public: &[u8], operation: Operation, signature: &[u8]) {
    let key = PKey::public_key_from_pem(public).expect("a public key");
    let mut verifier = Verifier::new(MessageDigest::sha256(), &key).expect("a verifier");
    if operation == Operation::Pss {
        verifier
            .set_rsa_padding(rsa::Padding::PKCS1_PSS)
            .expect("PSS");
    }
    let good = verifier
        .verify_oneshot(signature, MESSAGE)
        .expect("verification");
    assert!(good, "a wrong signature");
}

/// Encrypts with OAEP and SHA-256, without the provider.
pub fn encrypt(public: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let key = PKey::public_key_from_pem(public).expect("a public key");
    let encrypt = || {
        let mut encrypter = Encrypter::new(&key)?;
        encrypter.set_rsa_padding(rsa::Padding::PKCS1_OAEP)?;
        encrypter.set_rsa_oaep_md(MessageDigest::sha256())?;
        let mut ciphertext = vec![0; encrypter.encrypt_len(plaintext)?];
        let length = encrypter.encrypt(plaintext, &mut ciphertext)?;
        ciphertext.truncate(length);
        Ok::<_, openssl::error::ErrorStack>(ciphertext)
    };
    encrypt().expect("encryption")
}
