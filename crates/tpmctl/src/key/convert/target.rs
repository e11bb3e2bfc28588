//! What a key is converted to, and where it goes.

use std::io::Write;
use std::path::Path;

use keys::tss2::{KeyFile, Kind, OWNER};
use keys::{PublicKey, serialized, tss12};
use tss::tpm2::{Attributes, Name, Public};
use tss::tpm12::KeyBlob;

use super::args::{Convert, Form};
use crate::display::hex;
use crate::error::Error;
use crate::interrupt;
use crate::key::file::{Draft, Target};
use crate::output;

/// The place of the result, looked at before anything is asked of the TPM.
pub(super) enum Place {
    Stdout,
    File(Target),
    /// Of the public half and of the private one.
    Two(Target, Target),
}

/// The result.
pub(super) enum Content {
    One(Vec<u8>),
    /// The public half and the private one.
    Two(Vec<u8>, Vec<u8>),
}

impl Place {
    pub(super) fn new(args: &Convert, form: Form) -> Result<Self, Error> {
        let two = |public: &Path, private: &Path| -> Result<Self, Error> {
            Ok(Self::Two(
                Target::new(public, args.force)?,
                Target::new(private, args.force)?,
            ))
        };
        let is_stdout = args.output == Path::new("-");
        match form {
            Form::Pair | Form::Blobs if is_stdout => Err(Error::usage(
                "two files are written, which standard output has no room for: name them with -o OUT",
            )),
            Form::Pair => {
                let mut stem = args.output.clone();
                if stem
                    .extension()
                    .is_some_and(|it| it == "pub" || it == "priv")
                {
                    stem.set_extension("");
                }
                let with = |end: &str| {
                    let mut name = stem.clone().into_os_string();
                    name.push(end);
                    name
                };
                two(with(".pub").as_ref(), with(".priv").as_ref())
            }
            Form::Blobs => two(
                &args.output.join("devid.pub"),
                &args.output.join("devid.priv"),
            ),
            _ => Ok(match Target::unless_stdout(&args.output, args.force)? {
                Some(target) => Self::File(target),
                None => Self::Stdout,
            }),
        }
    }

    /// Writes the result: all of it, or nothing.
    pub(super) fn write(&self, content: &Content) -> Result<(), Error> {
        match (self, content) {
            (Self::Stdout, Content::One(bytes)) => match str::from_utf8(bytes) {
                Ok(text) => output::print_as_is(text),
                Err(_) => output::write_bytes(bytes),
            },
            (Self::File(target), Content::One(bytes)) => target.write_bytes(bytes),
            (Self::Two(public, private), Content::Two(one, other)) => {
                let drafts = [draft(public, one)?, draft(private, other)?];
                interrupt::check()?;
                drafts.into_iter().try_for_each(Draft::finish)
            }
            _ => Err(Error::new(
                "the result has another number of files than its place",
            )),
        }
    }
}

fn draft(target: &Target, bytes: &[u8]) -> Result<Draft, Error> {
    let mut draft = target.begin()?;
    let written = draft.file().write_all(bytes);
    written.map_err(|error| Error::new(format!("the result cannot be written: {error}")))?;
    Ok(draft)
}

/// A key file in a form.
pub(super) fn of_file(file: &KeyFile, form: Form) -> Result<Content, String> {
    let halves = |what| match file.kind {
        Kind::Importable => Err(format!(
            "{what} holds what a TPM loads, and this key is imported first: `tpmctl key finish FILE` does that for ever"
        )),
        Kind::Loadable | Kind::Sealed => {
            if !(file.policy.is_empty() && file.auth_policies.is_empty()) {
                output::note(
                    "The key's policy is in its key file, and for it there is no room in the two that are written.",
                );
            }
            Ok((file.public.clone(), file.private.clone()))
        }
    };
    match form {
        Form::Tss2 => Ok(Content::One(file.to_pem().into_bytes())),
        Form::Pkcs8 => {
            file.require_key().map_err(|error| error.to_string())?;
            Ok(Content::One(file.to_pkcs8_pem().into_bytes()))
        }
        Form::Pair => halves("a pair").map(|(public, private)| Content::Two(public, private)),
        Form::Blobs => {
            check_for_spire(file)?;
            let (public, private) = halves("SPIRE's pair")?;
            // go-tpm puts the sizes before them itself.
            Ok(Content::Two(public[2..].to_vec(), private[2..].to_vec()))
        }
        Form::Object | Form::Uri => Err(
            "the key is in this file and not in the TPM: make it persistent with `tpmctl key persist FILE`, and convert \
             handle:HANDLE"
                .into(),
        ),
        Form::Stpm => Err(OF_TPM12.into()),
    }
}

const OF_TPM12: &str = "simple-tpm-pk11 has keys of a TPM 1.2, and this is one of a TPM 2.0";

/// SPIRE's agent (1.x) makes the standard primary of the owner hierarchy that is of the key's own type, and takes the
/// digest out of the key's scheme.
fn check_for_spire(file: &KeyFile) -> Result<(), String> {
    let public = Public::from_tpm2b(&file.public).map_err(|error| error.to_string())?;
    let key = PublicKey::of(&public).map_err(|error| error.to_string())?;
    let is_rsa = !matches!(key, PublicKey::Ec(_));
    if file.parent != OWNER || file.legacy || file.rsa_parent != is_rsa {
        return Err(format!(
            "SPIRE loads a key below the standard primary of the owner hierarchy that is of the key's type, and this one is \
             below {}: make an EC key with `tpmctl key new --digest sha256`",
            match (file.parent, file.rsa_parent) {
                (OWNER, true) => "the RSA primary".to_owned(),
                (OWNER, false) => "the ECC primary".to_owned(),
                (handle, _) => hex(handle),
            }
        ));
    }
    if !public.attributes().contains(Attributes::SIGN) || public.scheme().hash().is_none() {
        return Err(
            "SPIRE takes the digest that it signs out of the key, and this one is bound to none: make the key with `tpmctl \
             key new --digest sha256`"
                .into(),
        );
    }
    match file.policy.is_empty() && file.auth_policies.is_empty() {
        true => Ok(()),
        false => Err("SPIRE satisfies no policies, and this key has one".into()),
    }
}

/// A key of a TPM 1.2 in a form.
pub(super) fn of_blob(blob: &KeyBlob, form: Form) -> Result<Content, String> {
    let text = match form {
        Form::Tss2 => tss12::to_pem(blob),
        Form::Stpm => tss12::to_text(blob),
        Form::Pkcs8 => {
            return Err(
                "this is a key of a TPM 1.2: only keys of a TPM 2.0 have an object identifier, by which they are known in \
                 PKCS#8"
                    .into(),
            );
        }
        Form::Pair | Form::Blobs | Form::Object | Form::Uri => {
            return Err(
                "this is a key of a TPM 1.2, which has no such form: `tss2`, the default, writes TSS KEY BLOB, and `stpm` \
                 simple-tpm-pk11's file"
                    .into(),
            );
        }
    };
    Ok(Content::One(text.into_bytes()))
}

/// A persistent key in a form.
pub(super) fn of_persistent(
    handle: u32,
    pass: bool,
    name: &Name,
    public: &Public,
    form: Form,
) -> Result<Content, String> {
    match form {
        Form::Object => serialized::write(handle, public)
            .map(Content::One)
            .map_err(|error| error.to_string()),
        Form::Uri => {
            let pass = if pass { "&pass" } else { "" };
            let uri = format!("handle:0x{handle:08x}?name={name}{pass}\n");
            Ok(Content::One(uri.into_bytes()))
        }
        Form::Stpm => Err(OF_TPM12.into()),
        Form::Tss2 | Form::Pkcs8 | Form::Pair | Form::Blobs => Err(
            "a persistent key's private half does not leave the TPM, so that there is nothing for a key file: the form \
             `uri` is what stands where a key file would, and `object` is for tpm2-tools"
                .into(),
        ),
    }
}
