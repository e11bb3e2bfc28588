//! Key management of RSA and RSA-PSS keys.
#![forbid(unsafe_code)]

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::sync::Arc;

use keys::{GenerateOptions, KeyType, Usage};

use super::digest::digest_named;
use super::generation;
use super::kind::Kind;
use super::selection;
use crate::openssl::Instance;
use crate::openssl::abi::OSSL_PARAM;
use crate::openssl::core::{Error, Reason};
use crate::openssl::entry::Table;
use crate::openssl::entry::keymgmt::{KeyData, Keymgmt, Progress};
use crate::openssl::entry::param::{
    Descriptors, END, INTEGER, ParamList, Params, ParamsOut, UNSIGNED_INTEGER, UTF8_STRING,
    describe,
};

/// An RSA key type.
pub(super) trait RsaKind: Kind {}

/// RSA keys for any padding.
pub(super) struct Rsa;
/// RSA keys for PSS only.
pub(super) struct RsaPss;

impl Kind for Rsa {
    const TYPE: KeyType = KeyType::Rsa;
}

impl RsaKind for Rsa {}

impl Kind for RsaPss {
    const TYPE: KeyType = KeyType::RsaPss;
}

impl RsaKind for RsaPss {}

/// What a generation shall make, as far as it is known.
pub(crate) struct Generation<K> {
    options: GenerateOptions,
    kind: PhantomData<K>,
}

static PUBLIC_TYPES: Descriptors<6> = Table([
    describe(c"n", UNSIGNED_INTEGER),
    describe(c"e", UNSIGNED_INTEGER),
    describe(c"digest", UTF8_STRING),
    describe(c"mgf1-digest", UTF8_STRING),
    describe(c"saltlen", INTEGER),
    END,
]);

static GETTABLE: Descriptors<9> = Table([
    describe(c"bits", INTEGER),
    describe(c"security-bits", INTEGER),
    describe(c"max-size", INTEGER),
    describe(c"default-digest", UTF8_STRING),
    describe(c"mandatory-digest", UTF8_STRING),
    describe(c"n", UNSIGNED_INTEGER),
    describe(c"e", UNSIGNED_INTEGER),
    describe(c"saltlen", INTEGER),
    END,
]);

static GENERATION_SETTABLE: Descriptors<13> = Table([
    describe(c"bits", UNSIGNED_INTEGER),
    describe(c"primes", UNSIGNED_INTEGER),
    describe(c"e", UNSIGNED_INTEGER),
    describe(c"digest", UTF8_STRING),
    describe(c"mgf1-digest", UTF8_STRING),
    describe(c"saltlen", INTEGER),
    describe(c"parent", UTF8_STRING),
    describe(c"parent-auth", UTF8_STRING),
    describe(c"user-auth", UTF8_STRING),
    describe(c"policy", UTF8_STRING),
    describe(c"tpm", UTF8_STRING),
    describe(c"usage", UTF8_STRING),
    END,
]);

static GENERATION_GETTABLE: Descriptors<5> = Table([
    describe(c"bits", UNSIGNED_INTEGER),
    describe(c"primes", UNSIGNED_INTEGER),
    describe(c"e", UNSIGNED_INTEGER),
    describe(c"digest", UTF8_STRING),
    END,
]);

impl<K: RsaKind> Keymgmt for K {
    type Generation = Generation<K>;

    fn operation_name(_operation: c_int) -> Option<&'static CStr> {
        Some(c"RSA")
    }

    /// Both halves are there, or nothing is.
    fn has(data: &KeyData, selection: c_int) -> bool {
        data.key().is_ok() || !(selection::private(selection) || selection::public(selection))
    }

    /// A private key matches where its public half does.
    fn matches(one: &KeyData, other: &KeyData, selection: c_int) -> bool {
        if !(selection::private(selection) || selection::public(selection)) {
            return true;
        }
        match (one.key(), other.key()) {
            (Ok(one), Ok(other)) => one.public() == other.public(),
            _ => false,
        }
    }

    /// The public half was checked when it was read, the private half is the TPM's.
    fn validate(data: &KeyData, _selection: c_int) -> Result<(), Error> {
        data.key().map(drop)
    }

    /// Everything but the private half. OpenSSL asks for it before each private operation, and comes
    /// back to us after the refusal.
    fn export(data: &KeyData, selection: c_int) -> Result<ParamList, Error> {
        if selection::private(selection) {
            return Err(Error::new(
                Reason::NotExportable,
                "the private key stays in the TPM",
            ));
        }
        let public = data.key()?.public();
        let mut list = ParamList::new();
        if selection::public(selection) {
            let rsa = public.rsa()?;
            list = list
                .big_number(c"n", rsa.modulus())
                .big_number(c"e", rsa.exponent());
        }
        if let Some(pss) = public.pss() {
            list = list
                .text(c"digest", pss.hash.name())
                .text(c"mgf1-digest", pss.mgf_hash.name())
                .int(
                    c"saltlen",
                    i32::try_from(pss.salt_length).unwrap_or(i32::MAX),
                );
        }
        Ok(list)
    }

    fn export_types(selection: c_int) -> Option<&'static OSSL_PARAM> {
        (!selection::private(selection)).then(|| PUBLIC_TYPES.first())
    }

    fn get_params(data: &KeyData, params: &mut ParamsOut) -> Result<(), Error> {
        let key = data.key()?;
        let (public, rsa) = (key.public(), key.public().rsa()?);
        params.set_number(c"bits", public.bits() as u64)?;
        params.set_number(c"security-bits", public.security_bits() as u64)?;
        params.set_number(c"max-size", public.max_size() as u64)?;
        match public.pss() {
            // A PSS key knows one digest; said as mandatory, and enforced in digest_sign_init.
            Some(pss) => {
                params.set_owned_text(c"mandatory-digest", pss.hash.name())?;
                params.set_owned_text(c"default-digest", pss.hash.name())?;
                params.set_number(c"saltlen", pss.salt_length as u64)?;
            }
            None => {
                if let Some(only) = key.only_digest() {
                    params.set_owned_text(c"mandatory-digest", only.name())?;
                }
                params.set_owned_text(c"default-digest", key.default_digest().name())?;
            }
        }
        params.set_big_number(c"n", rsa.modulus())?;
        params.set_big_number(c"e", rsa.exponent())
    }

    fn gettable() -> &'static OSSL_PARAM {
        GETTABLE.first()
    }

    fn duplicate(data: &KeyData, selection: c_int) -> Result<KeyData, Error> {
        // Public and private halves are one object here: a copy is another reference to it. Only
        // parameters of an RSA key are nothing at all.
        let whole = selection::private(selection) || selection::public(selection);
        match data {
            KeyData::Key(key) if whole => Ok(KeyData::Key(Arc::clone(key))),
            _ => Ok(KeyData::Empty),
        }
    }

    fn generation(
        instance: &Arc<Instance>,
        selection: c_int,
        params: Params<'_>,
    ) -> Result<Generation<K>, Error> {
        if !selection::private(selection) {
            return Err(Error::new(
                Reason::InvalidArgument,
                "RSA keys have no parameters that could be generated alone",
            ));
        }
        instance.tpm()?;
        let mut generation = Generation {
            options: GenerateOptions::new(K::TYPE),
            kind: PhantomData,
        };
        Self::set_generation(&mut generation, params)?;
        Ok(generation)
    }

    fn set_generation(generation: &mut Generation<K>, params: Params<'_>) -> Result<(), Error> {
        let options = &mut generation.options;
        if let Some(bits) = params.get(c"bits") {
            options.bits = u32::try_from(bits.number()?).unwrap_or(u32::MAX);
        }
        if let Some(exponent) = params.get(c"e") {
            options.set_exponent(&exponent.big_number()?)?;
        }
        if let Some(primes) = params.get(c"primes")
            && primes.number()? != 2
        {
            return Err(refused("TPMs make RSA keys of two primes"));
        }
        if let Some(digest) = params.get(c"digest") {
            options.usage = Usage::Sign(digest_named(digest.text()?)?);
        }
        if let (Some(digest), Usage::Sign(hash)) = (params.get(c"mgf1-digest"), options.usage)
            && digest_named(digest.text()?)? != hash
        {
            return Err(refused("a TPM uses one digest for PSS and its MGF1"));
        }
        if let (Some(length), Usage::Sign(hash)) = (params.get(c"saltlen"), options.usage)
            && length.number()? != hash.size() as i64
        {
            return Err(refused("a TPM's PSS salt is as long as the digest"));
        }
        if let Some(usage) = params.get(c"usage") {
            options.sign_only = match usage.text()? {
                "any" => false,
                "sign" => true,
                _ => return Err(refused("usage is any or sign")),
            };
        }
        generation::set_common(options, params)
    }

    fn generation_settable() -> &'static OSSL_PARAM {
        GENERATION_SETTABLE.first()
    }

    fn get_generation(generation: &Generation<K>, params: &mut ParamsOut) -> Result<(), Error> {
        let options = &generation.options;
        params.set_number(c"bits", options.bits.into())?;
        params.set_number(c"primes", 2)?;
        params.set_number(c"e", options.exponent.into())?;
        generation::get_common(options, params)
    }

    fn generation_gettable() -> &'static OSSL_PARAM {
        GENERATION_GETTABLE.first()
    }

    fn generate(
        instance: &Arc<Instance>,
        generation: &mut Generation<K>,
        progress: Progress<'_>,
    ) -> Result<KeyData, Error> {
        generation::run(instance, &generation.options, progress)
    }
}

fn refused(text: &str) -> Error {
    Error::new(Reason::InvalidArgument, text)
}
