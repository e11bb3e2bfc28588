//! Which algorithms the provider has. The tables are static: what is offered does not depend on
//! settings, on the TPM, or on who asks.
#![forbid(unsafe_code)]

use std::ffi::{CStr, c_int};

use super::asym_cipher::RsaCipher;
use super::decoder::{Der, Pem, Tss2, Tss12};
use super::ec_keymgmt::Ec;
use super::ecdh::Ecdh;
use super::ecdsa::Ecdsa;
use super::encoder::{Bare, PrivateDer, PrivatePem, SpkiDer, SpkiPem, Text};
use super::fixed_digest::{self, FixedDigest};
use super::rand::{System, TpmRandom};
use super::rsa_keymgmt::{Rsa, RsaPss};
use super::rsa_signature::RsaSignature;
use super::store::HandleStore;
use crate::openssl::abi::{
    OSSL_ALGORITHM, OSSL_DISPATCH, OSSL_OP_ASYM_CIPHER, OSSL_OP_DECODER, OSSL_OP_DIGEST,
    OSSL_OP_ENCODER, OSSL_OP_KEYEXCH, OSSL_OP_KEYMGMT, OSSL_OP_RAND, OSSL_OP_SIGNATURE,
    OSSL_OP_STORE,
};
use crate::openssl::entry::{
    Algorithms, END_OF_ALGORITHMS as END, Table, algorithm, asym_cipher, decoder, digest, encoder,
    keyexch, keymgmt, message_signature, rand, signature, store,
};

/// Every alias counts: libssl picks a certificate slot by asking whether a key "is a" type.
const RSA: &CStr = c"RSA:rsaEncryption:1.2.840.113549.1.1.1";
const RSA_PSS: &CStr = c"RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10";
const EC: &CStr = c"EC:id-ecPublicKey:1.2.840.10045.2.1";
const PROPERTIES: &CStr = c"provider=tpm";

static RSA_KEYMGMT: Table<OSSL_DISPATCH, 25> = keymgmt::table::<Rsa>();
static RSA_PSS_KEYMGMT: Table<OSSL_DISPATCH, 25> = keymgmt::table::<RsaPss>();
static EC_KEYMGMT: Table<OSSL_DISPATCH, 25> = keymgmt::table::<Ec>();
static ECDSA: Table<OSSL_DISPATCH, 22> = signature::table::<Ecdsa>();
static ECDH: Table<OSSL_DISPATCH, 11> = keyexch::table::<Ecdh>();
static RSA_SIGNATURE: Table<OSSL_DISPATCH, 22> = signature::table::<RsaSignature>();
static RSA_CIPHER: Table<OSSL_DISPATCH, 12> = asym_cipher::table::<RsaCipher>();
static PEM_DECODER: Table<OSSL_DISPATCH, 5> = decoder::table::<Pem>();
static RSA_DECODER: Table<OSSL_DISPATCH, 5> = decoder::table::<Der<Tss2<Rsa>>>();
static RSA_PSS_DECODER: Table<OSSL_DISPATCH, 5> = decoder::table::<Der<Tss2<RsaPss>>>();
static TPM12_DECODER: Table<OSSL_DISPATCH, 5> = decoder::table::<Der<Tss12>>();
static EC_DECODER: Table<OSSL_DISPATCH, 5> = decoder::table::<Der<Tss2<Ec>>>();
static SPKI_DER: Table<OSSL_DISPATCH, 7> = encoder::table::<SpkiDer>();
static SPKI_PEM: Table<OSSL_DISPATCH, 7> = encoder::table::<SpkiPem>();
static PRIVATE_DER: Table<OSSL_DISPATCH, 7> = encoder::table::<PrivateDer>();
static PRIVATE_PEM: Table<OSSL_DISPATCH, 7> = encoder::table::<PrivatePem>();
static BARE: Table<OSSL_DISPATCH, 7> = encoder::table::<Bare>();
static TEXT: Table<OSSL_DISPATCH, 7> = encoder::table::<Text>();
static HANDLE_STORE: Table<OSSL_DISPATCH, 7> = store::table::<HandleStore>();

static KEYMGMT: Algorithms<4> = Table([
    algorithm(RSA, PROPERTIES, RSA_KEYMGMT.as_ptr(), c"RSA keys in a TPM"),
    algorithm(
        RSA_PSS,
        PROPERTIES,
        RSA_PSS_KEYMGMT.as_ptr(),
        c"RSA-PSS keys in a TPM",
    ),
    algorithm(EC, PROPERTIES, EC_KEYMGMT.as_ptr(), c"EC keys in a TPM"),
    END,
]);

/// Signature algorithms with the digest in their names, which are those of OpenSSL's own providers.
macro_rules! with_digest {
    ($($table:ident: $inner:ty, $digest:ty, $names:expr;)*) => {
        $(static $table: Table<OSSL_DISPATCH, 21> =
            message_signature::table::<FixedDigest<$inner, $digest>>();)*

        static SIGNATURE: Algorithms<20> = Table([
            algorithm(
                RSA,
                PROPERTIES,
                RSA_SIGNATURE.as_ptr(),
                c"RSA signatures by a TPM",
            ),
            algorithm(
                c"ECDSA",
                PROPERTIES,
                ECDSA.as_ptr(),
                c"ECDSA signatures by a TPM",
            ),
            $(algorithm(
                $names,
                PROPERTIES,
                $table.as_ptr(),
                c"signatures of messages by a TPM",
            ),)*
            END,
        ]);
    };
}

with_digest! {
    RSA_SHA1: RsaSignature, fixed_digest::Sha1,
        c"RSA-SHA1:RSA-SHA-1:sha1WithRSAEncryption:1.2.840.113549.1.1.5";
    RSA_SHA224: RsaSignature, fixed_digest::Sha224,
        c"RSA-SHA2-224:RSA-SHA224:sha224WithRSAEncryption:1.2.840.113549.1.1.14";
    RSA_SHA256: RsaSignature, fixed_digest::Sha256,
        c"RSA-SHA2-256:RSA-SHA256:sha256WithRSAEncryption:1.2.840.113549.1.1.11";
    RSA_SHA384: RsaSignature, fixed_digest::Sha384,
        c"RSA-SHA2-384:RSA-SHA384:sha384WithRSAEncryption:1.2.840.113549.1.1.12";
    RSA_SHA512: RsaSignature, fixed_digest::Sha512,
        c"RSA-SHA2-512:RSA-SHA512:sha512WithRSAEncryption:1.2.840.113549.1.1.13";
    RSA_SHA512_256: RsaSignature, fixed_digest::Sha512_256,
        c"RSA-SHA2-512/256:RSA-SHA512-256:sha512-256WithRSAEncryption:1.2.840.113549.1.1.16";
    RSA_SHA3_256: RsaSignature, fixed_digest::Sha3_256,
        c"RSA-SHA3-256:id-rsassa-pkcs1-v1_5-with-sha3-256:2.16.840.1.101.3.4.3.14";
    RSA_SHA3_384: RsaSignature, fixed_digest::Sha3_384,
        c"RSA-SHA3-384:id-rsassa-pkcs1-v1_5-with-sha3-384:2.16.840.1.101.3.4.3.15";
    RSA_SHA3_512: RsaSignature, fixed_digest::Sha3_512,
        c"RSA-SHA3-512:id-rsassa-pkcs1-v1_5-with-sha3-512:2.16.840.1.101.3.4.3.16";
    ECDSA_SHA1: Ecdsa, fixed_digest::Sha1,
        c"ECDSA-SHA1:ECDSA-SHA-1:ecdsa-with-SHA1:1.2.840.10045.4.1";
    ECDSA_SHA224: Ecdsa, fixed_digest::Sha224,
        c"ECDSA-SHA2-224:ECDSA-SHA224:ecdsa-with-SHA224:1.2.840.10045.4.3.1";
    ECDSA_SHA256: Ecdsa, fixed_digest::Sha256,
        c"ECDSA-SHA2-256:ECDSA-SHA256:ecdsa-with-SHA256:1.2.840.10045.4.3.2";
    ECDSA_SHA384: Ecdsa, fixed_digest::Sha384,
        c"ECDSA-SHA2-384:ECDSA-SHA384:ecdsa-with-SHA384:1.2.840.10045.4.3.3";
    ECDSA_SHA512: Ecdsa, fixed_digest::Sha512,
        c"ECDSA-SHA2-512:ECDSA-SHA512:ecdsa-with-SHA512:1.2.840.10045.4.3.4";
    ECDSA_SHA3_256: Ecdsa, fixed_digest::Sha3_256,
        c"ECDSA-SHA3-256:ecdsa_with_SHA3-256:id-ecdsa-with-sha3-256:2.16.840.1.101.3.4.3.10";
    ECDSA_SHA3_384: Ecdsa, fixed_digest::Sha3_384,
        c"ECDSA-SHA3-384:ecdsa_with_SHA3-384:id-ecdsa-with-sha3-384:2.16.840.1.101.3.4.3.11";
    ECDSA_SHA3_512: Ecdsa, fixed_digest::Sha3_512,
        c"ECDSA-SHA3-512:ecdsa_with_SHA3-512:id-ecdsa-with-sha3-512:2.16.840.1.101.3.4.3.12";
}

static ASYM_CIPHER: Algorithms<2> = Table([
    algorithm(
        RSA,
        PROPERTIES,
        RSA_CIPHER.as_ptr(),
        c"RSA decryption by a TPM",
    ),
    END,
]);

static KEYEXCH: Algorithms<2> = Table([
    algorithm(c"ECDH", PROPERTIES, ECDH.as_ptr(), c"ECDH in a TPM"),
    END,
]);

static STORE: Algorithms<3> = Table([
    algorithm(
        c"handle",
        PROPERTIES,
        HANDLE_STORE.as_ptr(),
        c"objects stored in a TPM",
    ),
    algorithm(
        c"object",
        PROPERTIES,
        HANDLE_STORE.as_ptr(),
        c"objects stored in a TPM, named by a file",
    ),
    END,
]);

static DECODER: Algorithms<9> = Table([
    algorithm(
        c"DER",
        c"provider=tpm,input=pem",
        PEM_DECODER.as_ptr(),
        c"PEM of TPM keys (TSS2 PRIVATE KEY, TSS KEY BLOB)",
    ),
    algorithm(
        RSA,
        c"provider=tpm,input=der,structure=TSS2",
        RSA_DECODER.as_ptr(),
        c"DER of TPM keys",
    ),
    algorithm(
        RSA_PSS,
        c"provider=tpm,input=der,structure=TSS2",
        RSA_PSS_DECODER.as_ptr(),
        c"DER of TPM keys",
    ),
    algorithm(
        EC,
        c"provider=tpm,input=der,structure=TSS2",
        EC_DECODER.as_ptr(),
        c"DER of TPM keys",
    ),
    // A key file inside PKCS#8, known by its object identifier. Not one decoder from DER to DER: OpenSSL's store would
    // have it between every software key and itself.
    algorithm(
        RSA,
        c"provider=tpm,input=der,structure=PrivateKeyInfo",
        RSA_DECODER.as_ptr(),
        c"TPM keys in PKCS#8",
    ),
    algorithm(
        RSA_PSS,
        c"provider=tpm,input=der,structure=PrivateKeyInfo",
        RSA_PSS_DECODER.as_ptr(),
        c"TPM keys in PKCS#8",
    ),
    algorithm(
        EC,
        c"provider=tpm,input=der,structure=PrivateKeyInfo",
        EC_DECODER.as_ptr(),
        c"TPM keys in PKCS#8",
    ),
    algorithm(
        RSA,
        c"provider=tpm,input=der,structure=TSS12",
        TPM12_DECODER.as_ptr(),
        c"key files of TPM 1.2",
    ),
    END,
]);

/// The five encoders of every key type, and those that single types have besides.
macro_rules! encoders {
    ($($names:expr),*; $($more:expr),*) => {
        Table([
            $(
                algorithm(
                    $names,
                    c"provider=tpm,output=der,structure=SubjectPublicKeyInfo",
                    SPKI_DER.as_ptr(),
                    c"public key",
                ),
                algorithm(
                    $names,
                    c"provider=tpm,output=pem,structure=SubjectPublicKeyInfo",
                    SPKI_PEM.as_ptr(),
                    c"public key",
                ),
                algorithm(
                    $names,
                    c"provider=tpm,output=der,structure=type-specific",
                    PRIVATE_DER.as_ptr(),
                    c"TPM key file",
                ),
                algorithm(
                    $names,
                    c"provider=tpm,output=pem,structure=PrivateKeyInfo",
                    PRIVATE_PEM.as_ptr(),
                    c"TPM key file",
                ),
                algorithm($names, c"provider=tpm,output=text", TEXT.as_ptr(), c"text"),
            )*
            $($more,)*
            END,
        ])
    };
}

/// What every version of OpenSSL gets.
macro_rules! all_encoders {
    ($($more:expr),*) => {
        encoders![RSA, RSA_PSS, EC;
            // `openssl ec` asks for no other structure; `openssl rsa` asks for PrivateKeyInfo.
            algorithm(
                EC,
                c"provider=tpm,output=pem,structure=type-specific",
                PRIVATE_PEM.as_ptr(),
                c"TPM key file",
            ),
            // `openssl rsa -traditional`.
            algorithm(
                RSA,
                c"provider=tpm,output=pem,structure=pkcs1",
                BARE.as_ptr(),
                c"refusal with a reason",
            ),
            algorithm(
                RSA,
                c"provider=tpm,output=der,structure=pkcs1",
                BARE.as_ptr(),
                c"refusal with a reason",
            )
            $(, $more)*
        ]
    };
}

/// What becomes PKCS#8 and PKCS#12.
const fn bare(names: &'static CStr) -> OSSL_ALGORITHM {
    algorithm(
        names,
        c"provider=tpm,output=der,structure=PrivateKeyInfo",
        BARE.as_ptr(),
        c"refusal with a reason",
    )
}

static ENCODER: Algorithms<22> = all_encoders![bare(RSA), bare(RSA_PSS), bare(EC)];
/// From 3.6 on `openssl pkey -outform DER` asks for nothing but PrivateKeyInfo. What becomes PKCS#8 and PKCS#12 of a key file
/// is refused by OpenSSL then, which finds that it is none.
static ENCODER_FROM_3_6: Algorithms<22> = all_encoders![whole(RSA), whole(RSA_PSS), whole(EC)];

const fn whole(names: &'static CStr) -> OSSL_ALGORITHM {
    algorithm(
        names,
        c"provider=tpm,output=der,structure=PrivateKeyInfo",
        PRIVATE_DER.as_ptr(),
        c"TPM key file",
    )
}

/// Digests in software. Their names are those of OpenSSL's own, every one: a list that joins two that OpenSSL keeps apart
/// is refused.
macro_rules! digests {
    ($($table:ident: $digest:ty, $names:expr;)*) => {
        $(static $table: Table<OSSL_DISPATCH, 11> = digest::table::<$digest>();)*

        #[cfg(test)]
        static DIGEST_NAMES: [&CStr; 9] = [$($names),*];
        static DIGEST: Algorithms<10> = Table([
            $(algorithm($names, PROPERTIES, $table.as_ptr(), c"a digest in software"),)*
            END,
        ]);
    };
}

digests! {
    SHA1: fixed_digest::Sha1, c"SHA1:SHA-1:SSL3-SHA1:1.3.14.3.2.26";
    SHA224: fixed_digest::Sha224, c"SHA2-224:SHA-224:SHA224:2.16.840.1.101.3.4.2.4";
    SHA256: fixed_digest::Sha256, c"SHA2-256:SHA-256:SHA256:2.16.840.1.101.3.4.2.1";
    SHA384: fixed_digest::Sha384, c"SHA2-384:SHA-384:SHA384:2.16.840.1.101.3.4.2.2";
    SHA512: fixed_digest::Sha512, c"SHA2-512:SHA-512:SHA512:2.16.840.1.101.3.4.2.3";
    SHA512_256: fixed_digest::Sha512_256,
        c"SHA2-512/256:SHA-512/256:SHA512-256:2.16.840.1.101.3.4.2.6";
    SHA3_256: fixed_digest::Sha3_256, c"SHA3-256:2.16.840.1.101.3.4.2.8";
    SHA3_384: fixed_digest::Sha3_384, c"SHA3-384:2.16.840.1.101.3.4.2.9";
    SHA3_512: fixed_digest::Sha3_512, c"SHA3-512:2.16.840.1.101.3.4.2.10";
}

static SYSTEM_RANDOM: Table<OSSL_DISPATCH, 13> = rand::table::<System>();
static TPM_RANDOM: Table<OSSL_DISPATCH, 13> = rand::table::<TpmRandom>();

static RAND: Algorithms<3> = Table([
    // What OpenSSL asks for where openssl.cnf names no other.
    algorithm(
        c"CTR-DRBG",
        PROPERTIES,
        SYSTEM_RANDOM.as_ptr(),
        c"random numbers of the operating system",
    ),
    algorithm(
        c"TPM-RNG",
        PROPERTIES,
        TPM_RANDOM.as_ptr(),
        c"random numbers of a TPM, combined with the system's",
    ),
    END,
]);

/// Where we only stand in for other providers: the algorithms of an operation that others may have as well, by a name
/// that every provider has for them.
pub(crate) fn stand_ins(operation: c_int) -> Option<&'static [&'static CStr]> {
    match operation {
        OSSL_OP_DIGEST => Some(&[
            c"SHA2-256",
            c"SHA1",
            c"SHA2-224",
            c"SHA2-384",
            c"SHA2-512",
            c"SHA2-512/256",
            c"SHA3-256",
            c"SHA3-384",
            c"SHA3-512",
        ]),
        OSSL_OP_RAND => Some(&[c"CTR-DRBG"]),
        _ => None,
    }
}

/// The algorithms of an operation, for a version of OpenSSL: major and minor, where they are known.
pub(crate) fn algorithms(
    operation: c_int,
    version: Option<(u32, u32)>,
) -> Option<&'static OSSL_ALGORITHM> {
    match operation {
        OSSL_OP_ENCODER if version >= Some((3, 6)) => Some(ENCODER_FROM_3_6.first()),
        OSSL_OP_DIGEST => Some(DIGEST.first()),
        OSSL_OP_RAND => Some(RAND.first()),
        OSSL_OP_KEYMGMT => Some(KEYMGMT.first()),
        OSSL_OP_SIGNATURE => Some(SIGNATURE.first()),
        OSSL_OP_ASYM_CIPHER => Some(ASYM_CIPHER.first()),
        OSSL_OP_KEYEXCH => Some(KEYEXCH.first()),
        OSSL_OP_STORE => Some(STORE.first()),
        OSSL_OP_DECODER => Some(DECODER.first()),
        OSSL_OP_ENCODER => Some(ENCODER.first()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crypto::Hash;

    use super::*;

    #[test]
    fn every_digest_has_its_names_and_is_looked_for_elsewhere() {
        assert_eq!(DIGEST_NAMES.len(), Hash::ALL.len());
        for (names, hash) in DIGEST_NAMES.iter().zip(Hash::ALL) {
            let mut names = names.to_str().unwrap().split(':');
            assert!(names.all(|name| Hash::from_name(name) == Some(hash)));
            let own = |known: &&CStr| known.to_str() == Ok(hash.name());
            assert!(stand_ins(OSSL_OP_DIGEST).unwrap().iter().any(own), "{hash}");
        }
    }
}
