//! Key management of EC keys.
#![forbid(unsafe_code)]

use std::ffi::{CStr, c_int};
use std::sync::Arc;

use crypto::Curve;
use crypto::ecdsa::EcPublic;
use keys::{GenerateOptions, KeyType, SM2, Usage};

use super::digest::digest_named;
use super::generation;
use super::kind::Kind;
use super::selection;
use crate::openssl::Instance;
use crate::openssl::abi::{
    OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS, OSSL_OP_KEYEXCH, OSSL_OP_SIGNATURE, OSSL_PARAM,
};
use crate::openssl::core::{Error, Reason};
use crate::openssl::entry::Table;
use crate::openssl::entry::keymgmt::{KeyData, Keymgmt, Progress};
use crate::openssl::entry::param::{
    Descriptors, END, INTEGER, OCTET_STRING, ParamList, Params, ParamsOut, UNSIGNED_INTEGER,
    UTF8_STRING, describe,
};

/// EC keys.
pub(super) struct Ec;

impl Kind for Ec {
    const TYPE: KeyType = KeyType::Ec;
}

/// What a generation shall make, as far as it is known.
pub(crate) struct Generation {
    options: GenerateOptions,
    /// Only the curve is wanted: a first step on the way to a key.
    curve_only: bool,
}

static PUBLIC_TYPES: Descriptors<3> = Table([
    describe(c"group", UTF8_STRING),
    describe(c"pub", OCTET_STRING),
    END,
]);

static CURVE_TYPES: Descriptors<2> = Table([describe(c"group", UTF8_STRING), END]);

static GETTABLE: Descriptors<12> = Table([
    describe(c"bits", INTEGER),
    describe(c"security-bits", INTEGER),
    describe(c"max-size", INTEGER),
    describe(c"default-digest", UTF8_STRING),
    describe(c"mandatory-digest", UTF8_STRING),
    describe(c"group", UTF8_STRING),
    describe(c"point-format", UTF8_STRING),
    describe(c"encoding", UTF8_STRING),
    describe(c"encoded-pub-key", OCTET_STRING),
    describe(c"pub", OCTET_STRING),
    describe(c"qx", UNSIGNED_INTEGER),
    END,
]);

static SETTABLE: Descriptors<5> = Table([
    describe(c"encoded-pub-key", OCTET_STRING),
    describe(c"include-public", INTEGER),
    describe(c"point-format", UTF8_STRING),
    describe(c"encoding", UTF8_STRING),
    END,
]);

static GENERATION_SETTABLE: Descriptors<9> = Table([
    describe(c"group", UTF8_STRING),
    describe(c"encoding", UTF8_STRING),
    describe(c"point-format", UTF8_STRING),
    describe(c"digest", UTF8_STRING),
    describe(c"parent", UTF8_STRING),
    describe(c"parent-auth", UTF8_STRING),
    describe(c"user-auth", UTF8_STRING),
    describe(c"policy", UTF8_STRING),
    END,
]);

static GENERATION_GETTABLE: Descriptors<5> = Table([
    describe(c"group", UTF8_STRING),
    describe(c"encoding", UTF8_STRING),
    describe(c"point-format", UTF8_STRING),
    describe(c"digest", UTF8_STRING),
    END,
]);

fn curve_of(data: &KeyData) -> Option<Curve> {
    match data {
        KeyData::Curve(curve) => Some(*curve),
        other => other.ec_public().map(EcPublic::curve),
    }
}

fn wants_curve(selected: c_int) -> bool {
    selected & OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS != 0
}

fn curve_named(name: &str) -> Result<Curve, Error> {
    Curve::from_name(name).ok_or_else(|| {
        let why = if name.eq_ignore_ascii_case("SM2") {
            SM2.to_owned()
        } else {
            format!("supported are {}", Curve::names())
        };
        Error::new(
            Reason::UnsupportedScheme,
            format!("the curve {name:?} is not supported: {why}"),
        )
    })
}

impl Keymgmt for Ec {
    type Generation = Generation;

    fn operation_name(operation: c_int) -> Option<&'static CStr> {
        match operation {
            OSSL_OP_SIGNATURE => Some(c"ECDSA"),
            OSSL_OP_KEYEXCH => Some(c"ECDH"),
            _ => None,
        }
    }

    fn has(data: &KeyData, selected: c_int) -> bool {
        (!selection::private(selected) || data.key().is_ok())
            && (!selection::public(selected) || data.ec_public().is_some())
            && (!wants_curve(selected) || curve_of(data).is_some())
    }

    fn matches(one: &KeyData, other: &KeyData, selected: c_int) -> bool {
        if selection::private(selected) || selection::public(selected) {
            return match (one.ec_public(), other.ec_public()) {
                (Some(one), Some(other)) => one == other,
                _ => false,
            };
        }
        !wants_curve(selected) || (curve_of(one).is_some() && curve_of(one) == curve_of(other))
    }

    /// Points were checked when they were read, the private half is the TPM's.
    fn validate(data: &KeyData, selected: c_int) -> Result<(), Error> {
        if Self::has(data, selected) {
            return Ok(());
        }
        Err(Error::new(
            Reason::NullArgument,
            "a part that is to be checked is not there",
        ))
    }

    fn export(data: &KeyData, selected: c_int) -> Result<ParamList, Error> {
        if selection::private(selected) {
            return Err(Error::new(
                Reason::NotExportable,
                "the private key stays in the TPM",
            ));
        }
        let curve =
            curve_of(data).ok_or_else(|| Error::new(Reason::NullArgument, "there is no key"))?;
        let list = ParamList::new().text(c"group", curve.name());
        match data.ec_public() {
            Some(public) if selection::public(selected) => Ok(list.octets(c"pub", public.point())),
            None if selection::public(selected) => {
                Err(Error::new(Reason::NullArgument, "there is no public key"))
            }
            _ => Ok(list),
        }
    }

    fn export_types(selected: c_int) -> Option<&'static OSSL_PARAM> {
        match (selection::private(selected), selection::public(selected)) {
            (true, _) => None,
            (false, true) => Some(PUBLIC_TYPES.first()),
            (false, false) => Some(CURVE_TYPES.first()),
        }
    }

    fn get_params(data: &KeyData, params: &mut ParamsOut) -> Result<(), Error> {
        let curve =
            curve_of(data).ok_or_else(|| Error::new(Reason::NullArgument, "there is no key"))?;
        params.set_number(c"bits", curve.bits() as u64)?;
        params.set_number(c"security-bits", curve.security_bits() as u64)?;
        params.set_number(c"max-size", crypto::ecdsa::max_signature(curve) as u64)?;
        params.set_owned_text(c"group", curve.name())?;
        params.set_owned_text(c"encoding", "named_curve")?;
        params.set_owned_text(c"point-format", "uncompressed")?;
        if let Ok(key) = data.key() {
            params.set_owned_text(c"default-digest", key.default_digest().name())?;
        } else {
            params.set_owned_text(c"default-digest", "SHA256")?;
        }
        if let Some(public) = data.ec_public() {
            params.set_octets(c"encoded-pub-key", public.point())?;
            params.set_octets(c"pub", public.point())?;
            params.set_big_number(c"qx", public.x())?;
            params.set_big_number(c"qy", public.y())?;
        }
        Ok(())
    }

    fn import(
        instance: &Instance,
        data: &mut KeyData,
        selected: c_int,
        params: Params<'_>,
    ) -> Result<(), Error> {
        let private = selection::private(selected) && params.get(c"priv").is_some();
        if private && !instance.waits_for_peer() {
            return Err(Error::new(
                Reason::KeyCannot,
                "a private key is not imported into the TPM in passing",
            ));
        }
        let group = params
            .get(c"group")
            .ok_or_else(|| Error::new(Reason::NullArgument, "no curve"))?;
        let curve = curve_named(group.text()?)?;
        *data = match params.get(c"pub").filter(|_| selection::public(selected)) {
            Some(point) => KeyData::Peer(peer_at(curve, point.octets()?)?),
            None => KeyData::Curve(curve),
        };
        Ok(())
    }

    fn import_types(selected: c_int) -> Option<&'static OSSL_PARAM> {
        Self::export_types(selected)
    }

    fn gettable() -> &'static OSSL_PARAM {
        GETTABLE.first()
    }

    /// A copy of a key is another reference to it; a copy of the parameters, from which CMS and TLS
    /// make a peer's key, is the curve.
    fn duplicate(data: &KeyData, selected: c_int) -> Result<KeyData, Error> {
        Ok(match data {
            KeyData::Key(key) if selection::private(selected) => KeyData::Key(Arc::clone(key)),
            _ => match (data.ec_public(), curve_of(data)) {
                (Some(public), _) if selection::public(selected) => KeyData::Peer(public.clone()),
                (_, Some(curve)) if wants_curve(selected) => KeyData::Curve(curve),
                _ => KeyData::Empty,
            },
        })
    }

    /// Makes a peer of a curve: what CMS does with the originator's point.
    fn set_params(data: &mut KeyData, params: Params<'_>) -> Result<(), Error> {
        if let Some(include) = params.get(c"include-public")
            && include.number()? == 0
        {
            return Err(Error::new(
                Reason::UnsupportedScheme,
                "a TPM key file always holds the public half: the TPM wants both to load a key",
            ));
        }
        // What is written is what every reader knows; another wish is refused rather than ignored.
        for (name, only) in [
            (c"point-format", "uncompressed"),
            (c"encoding", "named_curve"),
        ] {
            if let Some(wish) = params.get(name)
                && wish.text()? != only
            {
                return Err(Error::new(
                    Reason::UnsupportedScheme,
                    format!("the public halves of TPM keys are written as {only} only"),
                ));
            }
        }
        let Some(point) = params.get(c"encoded-pub-key") else {
            return Ok(());
        };
        let curve = match &*data {
            KeyData::Key(_) => {
                return Err(Error::new(
                    Reason::KeyCannot,
                    "the public half of a key in a TPM cannot be changed",
                ));
            }
            other => curve_of(other),
        };
        let curve = curve
            .ok_or_else(|| Error::new(Reason::NullArgument, "a point without a curve to be on"))?;
        *data = KeyData::Peer(peer_at(curve, point.octets()?)?);
        Ok(())
    }

    fn settable() -> &'static OSSL_PARAM {
        SETTABLE.first()
    }

    fn generation(
        instance: &Arc<Instance>,
        selected: c_int,
        params: Params<'_>,
    ) -> Result<Generation, Error> {
        instance.tpm()?;
        let mut generation = Generation {
            options: GenerateOptions::new(KeyType::Ec),
            curve_only: !selection::private(selected),
        };
        Self::set_generation(&mut generation, params)?;
        Ok(generation)
    }

    fn set_template(generation: &mut Generation, template: &KeyData) -> Result<(), Error> {
        if let Some(curve) = curve_of(template) {
            generation.options.curve = curve;
        }
        Ok(())
    }

    fn set_generation(generation: &mut Generation, params: Params<'_>) -> Result<(), Error> {
        let options = &mut generation.options;
        if let Some(group) = params.get(c"group") {
            options.curve = curve_named(group.text()?)?;
        }
        if let Some(encoding) = params.get(c"encoding")
            && encoding.text()? != "named_curve"
        {
            return Err(Error::new(
                Reason::UnsupportedScheme,
                "TPMs know curves by name only: ec_param_enc:named_curve",
            ));
        }
        if let Some(digest) = params.get(c"digest") {
            options.usage = Usage::Sign(digest_named(digest.text()?)?);
        }
        generation::set_common(options, params)
    }

    fn generation_settable() -> &'static OSSL_PARAM {
        GENERATION_SETTABLE.first()
    }

    fn get_generation(generation: &Generation, params: &mut ParamsOut) -> Result<(), Error> {
        params.set_owned_text(c"group", generation.options.curve.name())?;
        params.set_owned_text(c"encoding", "named_curve")?;
        params.set_owned_text(c"point-format", "uncompressed")?;
        generation::get_common(&generation.options, params)
    }

    fn generation_gettable() -> &'static OSSL_PARAM {
        GENERATION_GETTABLE.first()
    }

    fn generate(
        instance: &Arc<Instance>,
        generation: &mut Generation,
        progress: Progress<'_>,
    ) -> Result<KeyData, Error> {
        if generation.curve_only {
            return Ok(KeyData::Curve(generation.options.curve));
        }
        generation::run(instance, &generation.options, progress)
    }
}

/// A peer's point; one that is not on the curve is refused here.
fn peer_at(curve: Curve, point: &[u8]) -> Result<EcPublic, Error> {
    EcPublic::from_point(curve, point)
        .map_err(|error| Error::new(Reason::BadData, format!("the peer's public key: {error}")))
}
