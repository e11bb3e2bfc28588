//! The function list as a program would use it: calls in any order, with handles, lengths, templates and mechanisms that
//! the input chooses, on keys in files and a TPM that says what the input wants. All of it goes through the list that
//! C_GetFunctionList hands out, so that under AddressSanitizer the whole boundary is checked.
//!
//! What a caller is bound to by the standard, this one keeps: pointers are valid for the lengths beside them. Everything
//! else is the input's choice. Nothing is written to the directory of keys.

use std::ffi::CString;
use std::fs;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use crypto::fuzzing::input::Input;
use keys::tss2::KeyFile;
use tss::tpm2::Attributes;
use tss::tpm2::fuzzing::{ADDRESS, deceive};

use super::abi::*;
use super::entry::C_GetFunctionList;

const EC: &[u8] = include_bytes!("../../crates/tss/src/tpm2/tests/data/o_ec.pem");
const RSA: &[u8] = include_bytes!("../../crates/tss/src/tpm2/tests/data/j_rsa.pem");
const TPM12: &[u8] = include_bytes!("../../tests/data/tpm12/tss.pem");

/// More calls than this say nothing new.
const MOST_CALLS: usize = 48;
/// The room that a caller has for results.
const ROOM: usize = 600;

const KINDS: [CK_ATTRIBUTE_TYPE; 24] = [
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_LABEL,
    CKA_ID,
    CKA_KEY_TYPE,
    CKA_SIGN,
    CKA_DECRYPT,
    CKA_DERIVE,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_PUBLIC_EXPONENT,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKA_SENSITIVE,
    CKA_EXTRACTABLE,
    CKA_SUBJECT,
    CKA_ALLOWED_MECHANISMS,
    CKA_PUBLIC_KEY_INFO,
    CKA_UNIQUE_ID,
    CKA_CERTIFICATE_TYPE,
    0x8000_0001,
];

const MECHANISMS: [CK_MECHANISM_TYPE; 16] = [
    CKM_RSA_PKCS,
    CKM_RSA_X_509,
    CKM_RSA_PKCS_OAEP,
    CKM_RSA_PKCS_PSS,
    CKM_SHA256_RSA_PKCS,
    CKM_SHA1_RSA_PKCS,
    CKM_SHA256_RSA_PKCS_PSS,
    CKM_SHA512_RSA_PKCS_PSS,
    CKM_ECDSA,
    CKM_ECDSA_SHA256,
    CKM_ECDSA_SHA512,
    CKM_ECDH1_DERIVE,
    CKM_SHA256,
    CKM_SHA3_512,
    CKM_RSA_PKCS_KEY_PAIR_GEN,
    0xffff,
];

/// A directory with keys with and without PIN, for one input.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tpm-fuzz-{}-{number}", std::process::id());
        let directory = Self(std::env::temp_dir().join(name));
        fs::create_dir(&directory.0).unwrap();
        for (name, pem, pin) in [
            ("ec", EC, false),
            ("rsa", RSA, false),
            ("ec-pin", EC, true),
            ("rsa-pin", RSA, true),
        ] {
            let mut file = KeyFile::from_pem(pem).unwrap();
            // Behind size, type and name algorithm (Part 2, 12.2.4): everything is allowed.
            let attributes = file.public[6..].first_chunk_mut().unwrap();
            let all = Attributes::SIGN.0 | Attributes::DECRYPT.0;
            *attributes = (u32::from_be_bytes(*attributes) | all).to_be_bytes();
            file.empty_auth = !pin;
            if pin {
                let last = file.private.len() - 1;
                file.private[last] ^= 1;
            }
            fs::write(directory.0.join(format!("{name}.tpm")), file.to_pem()).unwrap();
        }
        fs::write(directory.0.join("old.tpm"), TPM12).unwrap();
        directory
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The input's calls.
pub(crate) fn pkcs11(data: &[u8]) {
    let mut input = Input::new(data);
    deceive(input.bytes());
    let mut list: *mut CK_FUNCTION_LIST = ptr::null_mut();
    // SAFETY: the place is writable, and the list lives as long as the module.
    let list = unsafe {
        assert_eq!(C_GetFunctionList(&mut list), CKR_OK);
        &*list
    };
    let directory = Directory::new();
    let settings = format!(
        "tcti={ADDRESS} sessions=never key-dirs={}",
        directory.0.display()
    );
    let settings = CString::new(settings).unwrap();
    let mut calls = Calls {
        list,
        sessions: vec![0],
        objects: vec![0],
        slots: vec![0, 1],
    };
    calls.start(&settings);
    for _ in 0..MOST_CALLS {
        if input.is_empty() {
            break;
        }
        calls.call(&mut input);
    }
    calls.end();
}

struct Calls {
    list: &'static CK_FUNCTION_LIST,
    sessions: Vec<CK_SESSION_HANDLE>,
    objects: Vec<CK_OBJECT_HANDLE>,
    slots: Vec<CK_SLOT_ID>,
}

/// Calls a function; a panic behind it is a finding.
macro_rules! call {
    ($self:ident, $name:ident, $($argument:expr),*) => {{
        let function = $self.list.$name.unwrap();
        // SAFETY: what pointers point to lives across the call and is as long as is said beside it.
        let result = unsafe { function($($argument),*) };
        assert_ne!(result, CKR_GENERAL_ERROR, stringify!($name));
        result
    }};
}

impl Calls {
    fn start(&mut self, settings: &CString) {
        let mut arguments = CK_C_INITIALIZE_ARGS {
            flags: CKF_OS_LOCKING_OK,
            pReserved: settings.as_ptr().cast_mut().cast(),
            ..CK_C_INITIALIZE_ARGS::default()
        };
        assert_eq!(
            call!(self, C_Initialize, ptr::from_mut(&mut arguments).cast()),
            CKR_OK
        );
        let (mut slots, mut count) = ([0; 16], 16);
        assert_eq!(
            call!(self, C_GetSlotList, CK_TRUE, slots.as_mut_ptr(), &mut count),
            CKR_OK
        );
        self.slots.extend(&slots[..count as usize]);
        assert_eq!(count, 3, "a slot for the open keys and each with a PIN");
    }

    fn end(&mut self) {
        assert_eq!(call!(self, C_Finalize, ptr::null_mut()), CKR_OK);
    }

    fn one_of<T: Copy>(input: &mut Input<'_>, all: &[T]) -> T {
        all[usize::from(input.u8()) % all.len()]
    }

    fn call(&mut self, input: &mut Input<'_>) {
        let what = input.u8() % 44;
        let session = Self::one_of(input, &self.sessions);
        let object = Self::one_of(input, &self.objects);
        let slot = Self::one_of(input, &self.slots);
        let mut data = input.bytes().to_vec();
        data.truncate(ROOM);
        let (bytes, size) = match data.is_empty() && what & 1 == 1 {
            true => (ptr::null_mut(), 0),
            false => (data.as_mut_ptr(), data.len() as CK_ULONG),
        };
        let mut room = vec![0u8; ROOM];
        let mut length = CK_ULONG::from(input.u16()).min(ROOM as CK_ULONG);
        let out = match input.u8() & 3 {
            0 => ptr::null_mut(),
            _ => room.as_mut_ptr(),
        };
        let (mut count, mut handle) = (0, 0);
        match what {
            0..=3 => {
                let flags = if input.flag() { 6 } else { 4 };
                let none = ptr::null_mut();
                if call!(self, C_OpenSession, slot, flags, none, None, &mut handle) == CKR_OK {
                    self.sessions.push(handle);
                }
            }
            4 => drop(call!(self, C_CloseSession, session)),
            5 => drop(call!(self, C_CloseAllSessions, slot)),
            6 => {
                let mut info = CK_SESSION_INFO::default();
                call!(self, C_GetSessionInfo, session, &mut info);
            }
            7 => {
                let mut info = CK_TOKEN_INFO::default();
                call!(self, C_GetTokenInfo, slot, &mut info);
            }
            8 => {
                let mut info = CK_MECHANISM_INFO::default();
                let kind = Self::one_of(input, &MECHANISMS);
                call!(self, C_GetMechanismInfo, slot, kind, &mut info);
            }
            9 | 10 => drop(call!(
                self,
                C_Login,
                session,
                CK_ULONG::from(what - 9),
                bytes,
                size
            )),
            11 => drop(call!(self, C_Logout, session)),
            12..=15 => self.find(input, session),
            16..=18 => self.attributes(input, session, object),
            19 => {
                let mut values = Values::of(input);
                // A certificate for the token would be written.
                let (template, count) = values.template();
                let of_token = template_has_token(template, count);
                if !of_token
                    && call!(self, C_CreateObject, session, template, count, &mut handle) == CKR_OK
                {
                    self.objects.push(handle);
                }
            }
            20..=23 => {
                let mut mechanism = Mechanism::of(input);
                let mechanism = mechanism.pointer();
                match what {
                    20 => call!(self, C_SignInit, session, mechanism, object),
                    21 => call!(self, C_VerifyInit, session, mechanism, object),
                    22 => call!(self, C_DecryptInit, session, mechanism, object),
                    _ => call!(self, C_EncryptInit, session, mechanism, object),
                };
            }
            24 => drop(call!(self, C_Sign, session, bytes, size, out, &mut length)),
            25 => drop(call!(self, C_SignUpdate, session, bytes, size)),
            26 => drop(call!(self, C_SignFinal, session, out, &mut length)),
            27 => drop(call!(
                self,
                C_Verify,
                session,
                bytes,
                size,
                room.as_mut_ptr(),
                length
            )),
            28 => drop(call!(self, C_VerifyUpdate, session, bytes, size)),
            29 => drop(call!(self, C_VerifyFinal, session, bytes, size)),
            30 => drop(call!(
                self,
                C_Decrypt,
                session,
                bytes,
                size,
                out,
                &mut length
            )),
            31 => drop(call!(
                self,
                C_DecryptUpdate,
                session,
                bytes,
                size,
                out,
                &mut length
            )),
            32 => drop(call!(self, C_DecryptFinal, session, out, &mut length)),
            33 => drop(call!(
                self,
                C_Encrypt,
                session,
                bytes,
                size,
                out,
                &mut length
            )),
            34 => drop(call!(
                self,
                C_EncryptUpdate,
                session,
                bytes,
                size,
                out,
                &mut length
            )),
            35 => drop(call!(self, C_EncryptFinal, session, out, &mut length)),
            36 => {
                let mut mechanism = Mechanism::of(input);
                call!(self, C_DigestInit, session, mechanism.pointer());
            }
            37 => drop(call!(
                self,
                C_Digest,
                session,
                bytes,
                size,
                out,
                &mut length
            )),
            38 => drop(call!(self, C_DigestUpdate, session, bytes, size)),
            39 => drop(call!(self, C_DigestFinal, session, out, &mut length)),
            40 => {
                let (mut mechanism, mut values) = (Mechanism::of(input), Values::of(input));
                let (template, count) = values.template();
                let mechanism = mechanism.pointer();
                let result = call!(
                    self,
                    C_DeriveKey,
                    session,
                    mechanism,
                    object,
                    template,
                    count,
                    &mut handle
                );
                if result == CKR_OK {
                    self.objects.push(handle);
                }
            }
            41 => drop(call!(
                self,
                C_GenerateRandom,
                session,
                room.as_mut_ptr(),
                length.min(64)
            )),
            42 => drop(call!(self, C_GetObjectSize, session, object, &mut count)),
            _ => drop(call!(self, C_FindObjectsFinal, session)),
        }
    }

    fn find(&mut self, input: &mut Input<'_>, session: CK_SESSION_HANDLE) {
        let mut values = Values::of(input);
        let (template, count) = values.template();
        if call!(self, C_FindObjectsInit, session, template, count) != CKR_OK {
            return;
        }
        let (mut found, mut count) = ([0; 8], 0);
        let result = call!(
            self,
            C_FindObjects,
            session,
            found.as_mut_ptr(),
            8,
            &mut count
        );
        assert_eq!(result, CKR_OK);
        self.objects.extend(&found[..count as usize]);
        if input.flag() {
            assert_eq!(call!(self, C_FindObjectsFinal, session), CKR_OK);
        }
    }

    /// Asks for attributes, with the room that the input says.
    fn attributes(
        &mut self,
        input: &mut Input<'_>,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
    ) {
        let mut rooms: Vec<Vec<u8>> = (0..input.u8() % 6)
            .map(|_| vec![0; usize::from(input.u16()) % ROOM])
            .collect();
        let mut template: Vec<CK_ATTRIBUTE> = rooms
            .iter_mut()
            .map(|room| CK_ATTRIBUTE {
                type_: Self::one_of(input, &KINDS),
                pValue: match input.u8() & 3 {
                    0 => ptr::null_mut(),
                    _ => room.as_mut_ptr().cast(),
                },
                ulValueLen: room.len() as CK_ULONG,
            })
            .collect();
        let (data, count) = (template.as_mut_ptr(), template.len() as CK_ULONG);
        call!(self, C_GetAttributeValue, session, object, data, count);
    }
}

/// Whether a template says CKA_TOKEN.
fn template_has_token(template: *mut CK_ATTRIBUTE, count: CK_ULONG) -> bool {
    // SAFETY: it is ours, and as long as that.
    (0..count as usize).any(|place| unsafe { (*template.add(place)).type_ } == CKA_TOKEN)
}

/// A template with its values.
struct Values {
    values: Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>,
    attributes: Vec<CK_ATTRIBUTE>,
}

impl Values {
    fn of(input: &mut Input<'_>) -> Self {
        let count = input.u8() % 6;
        let values = (0..count).map(|_| {
            let kind = Calls::one_of(input, &KINDS);
            let value = match input.u8() % 4 {
                0 => CK_ULONG::from(input.u8()).to_ne_bytes().to_vec(),
                1 => vec![input.u8() & 1],
                _ => input.bytes().to_vec(),
            };
            (kind, value)
        });
        Self {
            values: values.collect(),
            attributes: Vec::new(),
        }
    }

    fn template(&mut self) -> (*mut CK_ATTRIBUTE, CK_ULONG) {
        self.attributes = self
            .values
            .iter_mut()
            .map(|(kind, value)| CK_ATTRIBUTE {
                type_: *kind,
                pValue: value.as_mut_ptr().cast(),
                ulValueLen: value.len() as CK_ULONG,
            })
            .collect();
        (
            self.attributes.as_mut_ptr(),
            self.attributes.len() as CK_ULONG,
        )
    }
}

/// A mechanism with its parameter, which is what its type wants or something else.
struct Mechanism {
    kind: CK_MECHANISM_TYPE,
    bytes: Vec<u8>,
    pss: CK_RSA_PKCS_PSS_PARAMS,
    oaep: CK_RSA_PKCS_OAEP_PARAMS,
    ecdh: CK_ECDH1_DERIVE_PARAMS,
    is_null: bool,
    is_other: bool,
    mechanism: CK_MECHANISM,
}

impl Mechanism {
    fn of(input: &mut Input<'_>) -> Self {
        const HASHES: [CK_ULONG; 4] = [CKM_SHA256, CKM_SHA_1, CKM_SHA512, 7];
        let kind = Calls::one_of(input, &MECHANISMS);
        let (hash, mgf) = (
            Calls::one_of(input, &HASHES),
            CK_ULONG::from(input.u8() % 6),
        );
        let (salt, how) = (CK_ULONG::from(input.u8()), input.u8());
        Self {
            kind,
            bytes: input.bytes().to_vec(),
            pss: CK_RSA_PKCS_PSS_PARAMS {
                hashAlg: hash,
                mgf,
                sLen: salt,
            },
            oaep: CK_RSA_PKCS_OAEP_PARAMS {
                hashAlg: hash,
                mgf,
                source: CK_ULONG::from(how & 1),
                ..CK_RSA_PKCS_OAEP_PARAMS::default()
            },
            ecdh: CK_ECDH1_DERIVE_PARAMS {
                kdf: CK_ULONG::from(how >> 1 & 7),
                ..CK_ECDH1_DERIVE_PARAMS::default()
            },
            is_null: how == 255,
            is_other: how & 0x70 == 0x70,
            mechanism: CK_MECHANISM::default(),
        }
    }

    fn pointer(&mut self) -> *mut CK_MECHANISM {
        if self.is_null {
            return ptr::null_mut();
        }
        let (bytes, size) = (self.bytes.as_mut_ptr(), self.bytes.len() as CK_ULONG);
        let (parameter, length) = match self.kind {
            _ if self.is_other => (bytes.cast(), 0),
            CKM_RSA_PKCS_PSS | CKM_SHA256_RSA_PKCS_PSS | CKM_SHA512_RSA_PKCS_PSS => (
                ptr::from_mut(&mut self.pss).cast(),
                size_of::<CK_RSA_PKCS_PSS_PARAMS>(),
            ),
            CKM_RSA_PKCS_OAEP => {
                self.oaep.pSourceData = bytes.cast();
                self.oaep.ulSourceDataLen = size;
                (
                    ptr::from_mut(&mut self.oaep).cast(),
                    size_of::<CK_RSA_PKCS_OAEP_PARAMS>(),
                )
            }
            CKM_ECDH1_DERIVE => {
                self.ecdh.pPublicData = bytes;
                self.ecdh.ulPublicDataLen = size;
                (
                    ptr::from_mut(&mut self.ecdh).cast(),
                    size_of::<CK_ECDH1_DERIVE_PARAMS>(),
                )
            }
            _ => (ptr::null_mut(), 0),
        };
        self.mechanism = CK_MECHANISM {
            mechanism: self.kind,
            pParameter: parameter,
            ulParameterLen: length as CK_ULONG,
        };
        &mut self.mechanism
    }
}
