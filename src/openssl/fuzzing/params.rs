//! Parameter arrays out of an input.

use std::ffi::{CStr, CString};
use std::ptr;

use crypto::fuzzing::input::Input;

use crate::openssl::abi::OSSL_PARAM;

/// What OpenSSL says of an answer that was not given.
const UNMODIFIED: usize = usize::MAX;
const INTEGER: u32 = 1;
const UNSIGNED_INTEGER: u32 = 2;
const UTF8_STRING: u32 = 4;
const OCTET_STRING: u32 = 5;
const UTF8_PTR: u32 = 6;
const OCTET_PTR: u32 = 7;

const END: OSSL_PARAM = OSSL_PARAM {
    key: ptr::null(),
    data_type: 0,
    data: ptr::null_mut(),
    data_size: 0,
    return_size: 0,
};

/// Every name that an entry knows, and some that none does.
const NAMES: [&CStr; 56] = [
    c"algorithm-id",
    c"bits",
    c"default-digest",
    c"digest",
    c"digest-props",
    c"digest-size",
    c"e",
    c"ecdh-cofactor-mode",
    c"encoded-pub-key",
    c"encoding",
    c"expect",
    c"group",
    c"implicit-rejection",
    c"kdf-digest",
    c"kdf-digest-props",
    c"kdf-outlen",
    c"kdf-type",
    c"kdf-ukm",
    c"mandatory-digest",
    c"max-size",
    c"mgf1-digest",
    c"mgf1-properties",
    c"n",
    c"nonce-type",
    c"oaep-label",
    c"pad-mode",
    c"parent",
    c"parent-auth",
    c"point-format",
    c"primes",
    c"priv",
    c"properties",
    c"pub",
    c"qx",
    c"qy",
    c"saltlen",
    c"security-bits",
    c"signature",
    c"tls-client-version",
    c"tls-negotiated-version",
    c"user-auth",
    c"cipher",
    c"context-string",
    c"instance",
    c"message-encoding",
    c"name",
    c"version",
    c"buildinfo",
    c"status",
    c"rsa-factor1",
    c"p",
    c"q",
    c"include-public",
    c"point",
    c"",
    c"x",
];

/// Texts that mean something somewhere.
const WORDS: [&CStr; 36] = [
    c"SHA1",
    c"SHA2-256",
    c"SHA384",
    c"SHA512",
    c"SHA3-256",
    c"MD5",
    c"UNDEF",
    c"P-256",
    c"prime256v1",
    c"secp384r1",
    c"P-521",
    c"brainpoolP256r1",
    c"pkcs1",
    c"pss",
    c"oaep",
    c"none",
    c"x931",
    c"digest",
    c"max",
    c"auto",
    c"auto-digestmax",
    c"-1",
    c"-2",
    c"65537",
    c"2048",
    c"3072",
    c"uncompressed",
    c"compressed",
    c"named_curve",
    c"explicit",
    c"X963KDF",
    c"owner",
    c"0x81000001",
    c"provider=tpm",
    c"fips=yes",
    c"",
];

/// An array with its names and buffers, each of its exact size, so that a byte beyond is noticed.
pub(super) struct Array {
    entries: Vec<OSSL_PARAM>,
    _names: Vec<CString>,
    buffers: Vec<Box<[u8]>>,
    #[expect(clippy::vec_box, reason = "entries point at them")]
    pointers: Vec<Box<*const u8>>,
}

impl Array {
    /// Up to seven parameters.
    pub(super) fn any(input: &mut Input<'_>) -> Self {
        let count = input.u8() & 7;
        let mut array = Self {
            entries: Vec::new(),
            _names: Vec::new(),
            buffers: Vec::new(),
            pointers: Vec::new(),
        };
        for _ in 0..count {
            array.add(input);
        }
        array.entries.push(END);
        array
    }

    /// Every name, asked for as one type.
    pub(super) fn of_all(data_type: u32) -> Self {
        let mut buffers: Vec<Box<[u8]>> = NAMES.iter().map(|_| vec![0; 600].into()).collect();
        let mut entries: Vec<OSSL_PARAM> = NAMES
            .iter()
            .zip(&mut buffers)
            .map(|(name, buffer)| OSSL_PARAM {
                key: name.as_ptr(),
                data_type,
                data: buffer.as_mut_ptr().cast(),
                data_size: buffer.len(),
                return_size: UNMODIFIED,
            })
            .collect();
        entries.push(END);
        Self {
            entries,
            _names: Vec::new(),
            buffers,
            pointers: Vec::new(),
        }
    }

    fn add(&mut self, input: &mut Input<'_>) {
        let key = match input.u8() {
            255 => {
                let name: Vec<u8> = input.bytes().iter().copied().filter(|&b| b != 0).collect();
                let name = CString::new(name).unwrap_or_default();
                let key = name.as_ptr();
                self._names.push(name);
                key
            }
            known => NAMES[usize::from(known) % NAMES.len()].as_ptr(),
        };
        let data_type = match input.u8() {
            0 => input.u32(),
            choice => [
                INTEGER,
                UNSIGNED_INTEGER,
                UTF8_STRING,
                OCTET_STRING,
                UTF8_PTR,
                OCTET_PTR,
                3,
            ][usize::from(choice) % 7],
        };
        let content: Option<Box<[u8]>> = match input.u8() & 7 {
            0 => None,
            1 | 2 => Some(input.choose(&WORDS).to_bytes().into()),
            3 => Some(u64::from(input.u16()).to_ne_bytes().into()),
            4 => Some(i32::from(input.u16() as i16).to_ne_bytes().into()),
            5 => Some(vec![0; usize::from(input.u16() & 0x3ff)].into()),
            _ => Some(input.bytes().into()),
        };
        let is_pointer = matches!(data_type, UTF8_PTR | OCTET_PTR);
        let (data, data_size) = match content {
            // Somebody asks for the size only, or means an absent value.
            None => (ptr::null_mut(), usize::from(input.u8())),
            Some(mut content) => {
                let (data, size) = (content.as_mut_ptr(), content.len());
                self.buffers.push(content);
                if is_pointer {
                    let mut pointer = Box::new(data.cast_const());
                    let place = ptr::from_mut(&mut *pointer);
                    self.pointers.push(pointer);
                    (place.cast(), size)
                } else {
                    (data, size)
                }
            }
        };
        self.entries.push(OSSL_PARAM {
            key,
            data_type,
            data: data.cast(),
            data_size,
            return_size: UNMODIFIED,
        });
    }

    pub(super) fn as_ptr(&self) -> *const OSSL_PARAM {
        self.entries.as_ptr()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut OSSL_PARAM {
        self.entries.as_mut_ptr()
    }

    /// No answer may be longer than its place.
    pub(super) fn check(&self) {
        for entry in &self.entries {
            let is_pointer = matches!(entry.data_type, UTF8_PTR | OCTET_PTR);
            let answered = entry.return_size != UNMODIFIED && !entry.key.is_null();
            if answered && !entry.data.is_null() && !is_pointer {
                assert!(entry.return_size <= entry.data_size);
            }
        }
    }
}
