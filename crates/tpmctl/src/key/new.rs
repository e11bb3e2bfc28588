//! `tpmctl key new`: makes a key in the TPM and writes its key file.

use std::path::Path;

use crypto::Secret;
use keys::printable;
use keys::tss2::{KeyFile, NULL};
use keys::{Family, GenerateOptions, Key, KeyType, ParentChoice, Tpm, Usage, generate};
use serde::Serialize;
use tss::tpm2::constants::handle;
use tss::tpm2::rc::Subject;
use tss::tpm2::{Parms, Public};
use tss::tpm12::KeyBlob;

use super::file::{Target, pem_of};
use super::secret;
use super::show12::TLS12;
use crate::cli::{Cli, FileForm, Global, New, Type};
use crate::display::{RSA_SIZES, curve_name, hex, hex_bytes, key_kind, shell_word};
use crate::error::Error;
use crate::interrupt;
use crate::print::progress;
use crate::{output, settings};

/// What was made.
#[derive(Serialize)]
struct Made {
    file: String,
    #[serde(rename = "type")]
    key_type: String,
    bits: usize,
    curve: Option<String>,
    parent: String,
    name: Option<String>,
    authorization: bool,
    tpm: String,
}

/// Makes the key.
pub(crate) fn run(global: &Global, args: &New) -> Result<(), Error> {
    check(global, args);
    let target = Target::unless_stdout(&args.output, args.force)?;
    let chosen = settings::tpm_with_parent(global)?;
    let options = options(args, &chosen.tpm)?;
    let made = with_spinner(&options, || generate(&chosen.tpm, &options));
    interrupt::check()?;
    let key = made.map_err(|error| explain(&chosen.tpm, &options, error))?;
    let pem = match (args.form, key.file()) {
        (FileForm::Pkcs8, Some(file)) => file.to_pkcs8_pem(),
        _ => pem_of(&key)?,
    };
    match &target {
        Some(target) => target.write(&pem)?,
        None => output::print_as_is(&pem)?,
    }
    if global.json {
        output::print_json(&Made {
            file: args.output.display().to_string(),
            key_type: key_kind(key.public()),
            bits: key.public().bits(),
            curve: key.file().and_then(curve),
            parent: key
                .file()
                .map_or_else(|| SRK.to_owned(), |file| hex(file.parent)),
            name: key.name().map(|name| hex_bytes(name.as_bytes())),
            authorization: has_secret(&key),
            tpm: chosen.tpm.endpoint_of(key.family())?.address().to_string(),
        })?;
    }
    tell(args, &key, target.is_some());
    if args.form == FileForm::Pkcs8 && key.file().is_none() {
        output::note(
            "note: keys of a TPM 1.2 have no form in PKCS#8; this one is written as TSS KEY BLOB",
        );
    }
    if let Some(note) = key.unanchored() {
        output::note(&format!("note: {note}"));
    }
    Ok(())
}

/// The one parent that keys of a TPM 1.2 have.
const SRK: &str = "SRK";

fn has_secret(key: &Key) -> bool {
    match (key.file(), key.blob()) {
        (Some(file), _) => !file.empty_auth,
        (None, blob) => blob.is_some_and(KeyBlob::needs_auth),
    }
}

/// The curve of an EC key, named as in `key show`.
fn curve(file: &KeyFile) -> Option<String> {
    match Public::from_tpm2b(&file.public).ok()?.parms() {
        Parms::Ecc { curve, .. } => Some(curve_name(*curve)),
        _ => None,
    }
}

/// Ends with status 2 where options do not go together, whatever the TPM.
fn check(global: &Global, args: &New) {
    let ec = args
        .key_type
        .map_or(args.curve.is_some(), |it| it == Type::Ec);
    let rsa = args
        .key_type
        .map_or(args.bits.is_some(), |it| it != Type::Ec);
    let tpm12 = args.tpm == Some(Family::Tpm12) || args.sign_only;
    let wrong = if args.output == Path::new("-") && global.json {
        "the key file and --json cannot both go to standard output; name a file with --output"
    } else if ec && args.bits.is_some() {
        "--bits is for RSA keys; an EC key has a --curve"
    } else if rsa && args.curve.is_some() {
        "--curve is for EC keys: add --type ec"
    } else if args.sign_only && args.tpm == Some(Family::Tpm2) {
        "--sign-only is for keys of a TPM 1.2; a key of a TPM 2.0 that only signs has a --digest"
    } else if tpm12 && (ec || args.key_type == Some(Type::RsaPss)) {
        "keys of a TPM 1.2 are of type rsa"
    } else if tpm12 && args.digest.is_some() {
        "--digest is for keys of a TPM 2.0; a key of a TPM 1.2 that only signs is made with --sign-only"
    } else if tpm12 && args.parent != ParentChoice::OWNER {
        "--parent is for keys of a TPM 2.0; those of a TPM 1.2 have its storage root key"
    } else if tpm12 && !(args.pcr.is_empty() && args.policy.is_empty()) {
        "a TPM 1.2 knows no policies"
    } else {
        return;
    };
    Cli::conflict(wrong)
}

fn options(args: &New, tpm: &Tpm) -> Result<GenerateOptions, Error> {
    let mut options = GenerateOptions::new(KeyType::Rsa);
    options.family = args.tpm;
    options.sign_only = args.sign_only;
    // What the other options say, and the one type that a TPM 1.2 has; else what is quickest and everywhere.
    let rsa = args.bits.is_some()
        || options.family_in(tpm) == Some(Family::Tpm12) && args.curve.is_none();
    let key_type = match args.key_type {
        Some(key_type) => key_type.into(),
        None if rsa => KeyType::Rsa,
        None => KeyType::Ec,
    };
    options.key_type = key_type;
    options.any_type = args.key_type.is_none() && args.curve.is_none();
    options.usage = GenerateOptions::new(key_type).usage;
    options.bits = args.bits.unwrap_or(options.bits);
    options.curve = args.curve.unwrap_or(options.curve);
    options.parent = args.parent;
    if let Some(digest) = args.digest {
        options.usage = Usage::Sign(digest);
    }
    options.user_auth = match &args.auth {
        Some(value) => secret::read(value)?,
        None => Secret::empty(),
    };
    options.policy_words = policy_words(&args.policy, &args.pcr);
    Ok(options)
}

/// The policy of --policy and --pcr in words: what is the name of a file is one, but for the word that is likeliest to be
/// one, too.
pub(crate) fn policy_words(policy: &[String], pcr: &[String]) -> Option<String> {
    let named = policy
        .iter()
        .map(|one| match one != "pin" && Path::new(one).exists() {
            true => format!("file:{one}"),
            false => one.clone(),
        });
    // What begins with signed policies comes first.
    let terms: Vec<String> = named.chain(pcr.iter().cloned()).collect();
    (!terms.is_empty()).then(|| terms.join("+"))
}

/// Says in words what the TPM put in a number, where the options are to blame.
fn explain(tpm: &Tpm, options: &GenerateOptions, error: keys::Error) -> Error {
    let Ok(client) = tpm.client() else {
        return error.into();
    };
    let code = match &error {
        keys::Error::Tss(error) => error.code(),
        _ => None,
    };
    let parent = u32::from(options.parent);
    let place = client.endpoint().address();
    match code {
        Some(code) if code.is_bad_handle() && handle::is_persistent(parent) => Error::new(format!(
            "there is no key at {} in the TPM {place} to be the parent ({code}); `tpmctl info` \
                 lists what there is",
            hex(parent)
        )),
        // The template: parameter 2 of TPM2_Create. The library's text says which curve was asked for.
        Some(code)
            if code.subject() == Subject::Parameter(2) && options.key_type == KeyType::Ec =>
        {
            error.into()
        }
        Some(code) if code.subject() == Subject::Parameter(2) => {
            let sizes = client.rsa_sizes(&RSA_SIZES).ok().flatten();
            match sizes.filter(|sizes| !sizes.iter().any(|&bits| u32::from(bits) == options.bits)) {
                Some(sizes) => {
                    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
                    Error::new(format!(
                        "the TPM {place} makes no RSA keys of {} bits ({code}); its sizes are {}",
                        options.bits,
                        sizes.join(", ")
                    ))
                }
                None => error.into(),
            }
        }
        _ => error.into(),
    }
}

/// Runs `work` with a sign of life on a terminal: a chip searches primes for up to a minute.
fn with_spinner<T, E>(
    options: &GenerateOptions,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let message = format!(
        "The TPM is making an {} key {} ...",
        options.key_type.name(),
        match options.key_type {
            KeyType::Ec => format!("on {}", options.curve),
            KeyType::Rsa | KeyType::RsaPss => format!("of {} bits", options.bits),
        }
    );
    progress::spinner(message, work)
}

/// What was made and what comes next, for people.
fn tell(args: &New, key: &Key, in_file: bool) {
    let place = if in_file {
        args.output.display().to_string()
    } else {
        "KEYFILE".to_owned()
    };
    let secret = if has_secret(key) {
        "with an authorization value"
    } else {
        "without an authorization value"
    };
    let mut text = format!(
        "Made a key of type {}, {secret}, under the {}{}.",
        key_kind(key.public()),
        key.file().map_or_else(
            || "storage root key of the TPM 1.2".to_owned(),
            KeyFile::parent_text
        ),
        if in_file {
            format!(": {} (mode 0600)", printable::path(&args.output))
        } else {
            String::new()
        }
    );
    if key.file().is_some_and(|file| file.parent == NULL) {
        text.push_str("\nKeys of the null hierarchy are lost when the TPM restarts.");
    }
    if key.blob().is_some() {
        text.push_str(&format!("\nTLS {TLS12}."));
    }
    let pin = args.auth.as_ref().filter(|_| has_secret(key));
    text.push_str(&format!(
        "\nNext, with the provider active in openssl.cnf (see tpm-provider(7)), a certificate \
         request{}:\n  openssl req -new -key {}{} -subj /CN=www.example.org -out {}",
        match pin {
            Some(value) if !value.starts_with("file:") =>
                ", for which the authorization value is asked",
            _ => "",
        },
        shell_word(&place),
        pin.map_or_else(String::new, |value| passin(value)),
        shell_word(&request_name(&place))
    ));
    output::note(&text);
}

/// OpenSSL's option for the value that was given to us. One that is not in a file OpenSSL asks for by itself: it is not
/// shown again.
fn passin(value: &str) -> String {
    match value.strip_prefix("file:") {
        Some(path) => format!(" -passin {}", shell_word(&format!("file:{path}"))),
        None => String::new(),
    }
}

fn request_name(place: &str) -> String {
    let stem = place.strip_suffix(".pem").or(place.strip_suffix(".key"));
    format!("{}.csr", stem.unwrap_or(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_can_be_pasted() {
        assert_eq!(request_name("a/b.pem"), "a/b.csr");
        assert_eq!(request_name("key"), "key.csr");
    }
}
