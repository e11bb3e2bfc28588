//! Identifiers of OpenSSL's provider ABI, as `<openssl/core_dispatch.h>` numbers them.
//!
//! Checked in, so that one module serves every OpenSSL from 3.0 on: no identifier was ever renumbered
//! or removed. `tests/suite/abi/headers.rs` compares them with the installed headers. Identifiers that 3.0 does not
//! have carry the version that brought them.
#![allow(missing_docs, reason = "the names are OpenSSL's own")]

use std::ffi::c_int;

pub const OSSL_FUNC_CORE_GETTABLE_PARAMS: c_int = 1;
pub const OSSL_FUNC_CORE_GET_PARAMS: c_int = 2;
pub const OSSL_FUNC_CORE_THREAD_START: c_int = 3;
pub const OSSL_FUNC_CORE_GET_LIBCTX: c_int = 4;
pub const OSSL_FUNC_CORE_NEW_ERROR: c_int = 5;
pub const OSSL_FUNC_CORE_SET_ERROR_DEBUG: c_int = 6;
pub const OSSL_FUNC_CORE_VSET_ERROR: c_int = 7;
pub const OSSL_FUNC_CORE_SET_ERROR_MARK: c_int = 8;
pub const OSSL_FUNC_CORE_CLEAR_LAST_ERROR_MARK: c_int = 9;
pub const OSSL_FUNC_CORE_POP_ERROR_TO_MARK: c_int = 10;
pub const OSSL_FUNC_CORE_OBJ_ADD_SIGID: c_int = 11;
pub const OSSL_FUNC_CORE_OBJ_CREATE: c_int = 12;

pub const OSSL_FUNC_BIO_NEW_FILE: c_int = 40;
pub const OSSL_FUNC_BIO_NEW_MEMBUF: c_int = 41;
pub const OSSL_FUNC_BIO_READ_EX: c_int = 42;
pub const OSSL_FUNC_BIO_WRITE_EX: c_int = 43;
pub const OSSL_FUNC_BIO_UP_REF: c_int = 44;
pub const OSSL_FUNC_BIO_FREE: c_int = 45;
pub const OSSL_FUNC_BIO_VPRINTF: c_int = 46;
pub const OSSL_FUNC_BIO_VSNPRINTF: c_int = 47;
pub const OSSL_FUNC_BIO_PUTS: c_int = 48;
pub const OSSL_FUNC_BIO_GETS: c_int = 49;
pub const OSSL_FUNC_BIO_CTRL: c_int = 50;

pub const OSSL_FUNC_PROVIDER_REGISTER_CHILD_CB: c_int = 105;
pub const OSSL_FUNC_PROVIDER_DEREGISTER_CHILD_CB: c_int = 106;
pub const OSSL_FUNC_PROVIDER_NAME: c_int = 107;
pub const OSSL_FUNC_PROVIDER_GET0_PROVIDER_CTX: c_int = 108;
pub const OSSL_FUNC_PROVIDER_GET0_DISPATCH: c_int = 109;
pub const OSSL_FUNC_PROVIDER_UP_REF: c_int = 110;
pub const OSSL_FUNC_PROVIDER_FREE: c_int = 111;
pub const OSSL_FUNC_PROVIDER_TEARDOWN: c_int = 1024;
pub const OSSL_FUNC_PROVIDER_GETTABLE_PARAMS: c_int = 1025;
pub const OSSL_FUNC_PROVIDER_GET_PARAMS: c_int = 1026;
pub const OSSL_FUNC_PROVIDER_QUERY_OPERATION: c_int = 1027;
pub const OSSL_FUNC_PROVIDER_UNQUERY_OPERATION: c_int = 1028;
pub const OSSL_FUNC_PROVIDER_GET_REASON_STRINGS: c_int = 1029;
pub const OSSL_FUNC_PROVIDER_GET_CAPABILITIES: c_int = 1030;
pub const OSSL_FUNC_PROVIDER_SELF_TEST: c_int = 1031;

pub const OSSL_OP_DIGEST: c_int = 1;
pub const OSSL_OP_CIPHER: c_int = 2;
pub const OSSL_OP_MAC: c_int = 3;
pub const OSSL_OP_KDF: c_int = 4;
pub const OSSL_OP_RAND: c_int = 5;
pub const OSSL_OP_KEYMGMT: c_int = 10;
pub const OSSL_OP_KEYEXCH: c_int = 11;
pub const OSSL_OP_SIGNATURE: c_int = 12;
pub const OSSL_OP_ASYM_CIPHER: c_int = 13;
pub const OSSL_OP_KEM: c_int = 14;
pub const OSSL_OP_ENCODER: c_int = 20;
pub const OSSL_OP_DECODER: c_int = 21;
pub const OSSL_OP_STORE: c_int = 22;
pub const OSSL_OP__HIGHEST: c_int = 22;

pub const OSSL_FUNC_DIGEST_NEWCTX: c_int = 1;
pub const OSSL_FUNC_DIGEST_INIT: c_int = 2;
pub const OSSL_FUNC_DIGEST_UPDATE: c_int = 3;
pub const OSSL_FUNC_DIGEST_FINAL: c_int = 4;
pub const OSSL_FUNC_DIGEST_DIGEST: c_int = 5;
pub const OSSL_FUNC_DIGEST_FREECTX: c_int = 6;
pub const OSSL_FUNC_DIGEST_DUPCTX: c_int = 7;
pub const OSSL_FUNC_DIGEST_GET_PARAMS: c_int = 8;
pub const OSSL_FUNC_DIGEST_GETTABLE_PARAMS: c_int = 11;

// since 3.5
pub const OSSL_FUNC_DIGEST_COPYCTX: c_int = 15;

pub const OSSL_FUNC_RAND_NEWCTX: c_int = 1;
pub const OSSL_FUNC_RAND_FREECTX: c_int = 2;
pub const OSSL_FUNC_RAND_INSTANTIATE: c_int = 3;
pub const OSSL_FUNC_RAND_UNINSTANTIATE: c_int = 4;
pub const OSSL_FUNC_RAND_GENERATE: c_int = 5;
pub const OSSL_FUNC_RAND_ENABLE_LOCKING: c_int = 8;
pub const OSSL_FUNC_RAND_LOCK: c_int = 9;
pub const OSSL_FUNC_RAND_UNLOCK: c_int = 10;
pub const OSSL_FUNC_RAND_GETTABLE_CTX_PARAMS: c_int = 12;
pub const OSSL_FUNC_RAND_GET_CTX_PARAMS: c_int = 15;
pub const OSSL_FUNC_RAND_GET_SEED: c_int = 18;
pub const OSSL_FUNC_RAND_CLEAR_SEED: c_int = 19;

pub const OSSL_FUNC_KEYMGMT_NEW: c_int = 1;
pub const OSSL_FUNC_KEYMGMT_GEN_INIT: c_int = 2;
pub const OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE: c_int = 3;
pub const OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS: c_int = 4;
pub const OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS: c_int = 5;
pub const OSSL_FUNC_KEYMGMT_GEN: c_int = 6;
pub const OSSL_FUNC_KEYMGMT_GEN_CLEANUP: c_int = 7;
pub const OSSL_FUNC_KEYMGMT_LOAD: c_int = 8;
pub const OSSL_FUNC_KEYMGMT_FREE: c_int = 10;
pub const OSSL_FUNC_KEYMGMT_GET_PARAMS: c_int = 11;
pub const OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS: c_int = 12;
pub const OSSL_FUNC_KEYMGMT_SET_PARAMS: c_int = 13;
pub const OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS: c_int = 14;
pub const OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME: c_int = 20;
pub const OSSL_FUNC_KEYMGMT_HAS: c_int = 21;
pub const OSSL_FUNC_KEYMGMT_VALIDATE: c_int = 22;
pub const OSSL_FUNC_KEYMGMT_MATCH: c_int = 23;
pub const OSSL_FUNC_KEYMGMT_IMPORT: c_int = 40;
pub const OSSL_FUNC_KEYMGMT_IMPORT_TYPES: c_int = 41;
pub const OSSL_FUNC_KEYMGMT_EXPORT: c_int = 42;
pub const OSSL_FUNC_KEYMGMT_EXPORT_TYPES: c_int = 43;
pub const OSSL_FUNC_KEYMGMT_DUP: c_int = 44;

// since 3.4
pub const OSSL_FUNC_KEYMGMT_GEN_GET_PARAMS: c_int = 15;
pub const OSSL_FUNC_KEYMGMT_GEN_GETTABLE_PARAMS: c_int = 16;

pub const OSSL_FUNC_KEYEXCH_NEWCTX: c_int = 1;
pub const OSSL_FUNC_KEYEXCH_INIT: c_int = 2;
pub const OSSL_FUNC_KEYEXCH_DERIVE: c_int = 3;
pub const OSSL_FUNC_KEYEXCH_SET_PEER: c_int = 4;
pub const OSSL_FUNC_KEYEXCH_FREECTX: c_int = 5;
pub const OSSL_FUNC_KEYEXCH_DUPCTX: c_int = 6;
pub const OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS: c_int = 7;
pub const OSSL_FUNC_KEYEXCH_SETTABLE_CTX_PARAMS: c_int = 8;
pub const OSSL_FUNC_KEYEXCH_GET_CTX_PARAMS: c_int = 9;
pub const OSSL_FUNC_KEYEXCH_GETTABLE_CTX_PARAMS: c_int = 10;

pub const OSSL_FUNC_SIGNATURE_NEWCTX: c_int = 1;
pub const OSSL_FUNC_SIGNATURE_SIGN_INIT: c_int = 2;
pub const OSSL_FUNC_SIGNATURE_SIGN: c_int = 3;
pub const OSSL_FUNC_SIGNATURE_VERIFY_INIT: c_int = 4;
pub const OSSL_FUNC_SIGNATURE_VERIFY: c_int = 5;
pub const OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT: c_int = 6;
pub const OSSL_FUNC_SIGNATURE_VERIFY_RECOVER: c_int = 7;
pub const OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT: c_int = 8;
pub const OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE: c_int = 9;
pub const OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL: c_int = 10;
pub const OSSL_FUNC_SIGNATURE_DIGEST_SIGN: c_int = 11;
pub const OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT: c_int = 12;
pub const OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE: c_int = 13;
pub const OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL: c_int = 14;
pub const OSSL_FUNC_SIGNATURE_DIGEST_VERIFY: c_int = 15;
pub const OSSL_FUNC_SIGNATURE_FREECTX: c_int = 16;
pub const OSSL_FUNC_SIGNATURE_DUPCTX: c_int = 17;
pub const OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS: c_int = 18;
pub const OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS: c_int = 19;
pub const OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS: c_int = 20;
pub const OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS: c_int = 21;
pub const OSSL_FUNC_SIGNATURE_GET_CTX_MD_PARAMS: c_int = 22;
pub const OSSL_FUNC_SIGNATURE_GETTABLE_CTX_MD_PARAMS: c_int = 23;
pub const OSSL_FUNC_SIGNATURE_SET_CTX_MD_PARAMS: c_int = 24;
pub const OSSL_FUNC_SIGNATURE_SETTABLE_CTX_MD_PARAMS: c_int = 25;

// since 3.4
pub const OSSL_FUNC_SIGNATURE_QUERY_KEY_TYPES: c_int = 26;
pub const OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT: c_int = 27;
pub const OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_UPDATE: c_int = 28;
pub const OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_FINAL: c_int = 29;
pub const OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT: c_int = 30;
pub const OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_UPDATE: c_int = 31;
pub const OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_FINAL: c_int = 32;

pub const OSSL_FUNC_ASYM_CIPHER_NEWCTX: c_int = 1;
pub const OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT: c_int = 2;
pub const OSSL_FUNC_ASYM_CIPHER_ENCRYPT: c_int = 3;
pub const OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT: c_int = 4;
pub const OSSL_FUNC_ASYM_CIPHER_DECRYPT: c_int = 5;
pub const OSSL_FUNC_ASYM_CIPHER_FREECTX: c_int = 6;
pub const OSSL_FUNC_ASYM_CIPHER_DUPCTX: c_int = 7;
pub const OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS: c_int = 8;
pub const OSSL_FUNC_ASYM_CIPHER_GETTABLE_CTX_PARAMS: c_int = 9;
pub const OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS: c_int = 10;
pub const OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS: c_int = 11;

pub const OSSL_FUNC_ENCODER_NEWCTX: c_int = 1;
pub const OSSL_FUNC_ENCODER_FREECTX: c_int = 2;
pub const OSSL_FUNC_ENCODER_GET_PARAMS: c_int = 3;
pub const OSSL_FUNC_ENCODER_GETTABLE_PARAMS: c_int = 4;
pub const OSSL_FUNC_ENCODER_SET_CTX_PARAMS: c_int = 5;
pub const OSSL_FUNC_ENCODER_SETTABLE_CTX_PARAMS: c_int = 6;
pub const OSSL_FUNC_ENCODER_DOES_SELECTION: c_int = 10;
pub const OSSL_FUNC_ENCODER_ENCODE: c_int = 11;
pub const OSSL_FUNC_ENCODER_IMPORT_OBJECT: c_int = 20;
pub const OSSL_FUNC_ENCODER_FREE_OBJECT: c_int = 21;

pub const OSSL_FUNC_DECODER_NEWCTX: c_int = 1;
pub const OSSL_FUNC_DECODER_FREECTX: c_int = 2;
pub const OSSL_FUNC_DECODER_GET_PARAMS: c_int = 3;
pub const OSSL_FUNC_DECODER_GETTABLE_PARAMS: c_int = 4;
pub const OSSL_FUNC_DECODER_SET_CTX_PARAMS: c_int = 5;
pub const OSSL_FUNC_DECODER_SETTABLE_CTX_PARAMS: c_int = 6;
pub const OSSL_FUNC_DECODER_DOES_SELECTION: c_int = 10;
pub const OSSL_FUNC_DECODER_DECODE: c_int = 11;
pub const OSSL_FUNC_DECODER_EXPORT_OBJECT: c_int = 20;

pub const OSSL_FUNC_STORE_OPEN: c_int = 1;
pub const OSSL_FUNC_STORE_ATTACH: c_int = 2;
pub const OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS: c_int = 3;
pub const OSSL_FUNC_STORE_SET_CTX_PARAMS: c_int = 4;
pub const OSSL_FUNC_STORE_LOAD: c_int = 5;
pub const OSSL_FUNC_STORE_EOF: c_int = 6;
pub const OSSL_FUNC_STORE_CLOSE: c_int = 7;
pub const OSSL_FUNC_STORE_EXPORT_OBJECT: c_int = 8;
