//! `tpmctl key import`: takes a software RSA key into a TPM 1.2.

use std::fs;
use std::path::Path;

use crypto::Secret;
use crypto::der::{Reader, tag};
use keys::printable;
use keys::{GenerateOptions, KeyType, import12, read_secret};
use zeroize::Zeroizing;

use super::file::Target;
use super::secret;
use super::show12::TLS12;
use crate::cli::{Cli, Global, Import};
use crate::error::Error;
use crate::{output, settings};

/// `rsaEncryption`, 1.2.840.113549.1.1.1.
const RSA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

/// The parts of a software key that matter.
struct Software {
    modulus: Vec<u8>,
    prime: Secret,
}

/// Imports the key.
pub(crate) fn run(global: &Global, args: &Import) -> Result<(), Error> {
    if global.json {
        Cli::conflict("key import has no result but the key file: leave --json out");
    }
    let target = match args.output == Path::new("-") {
        true => None,
        false => Some(Target::new(&args.output, args.force)?),
    };
    let software = read(&args.file)?;
    let options = GenerateOptions {
        sign_only: args.sign_only,
        user_auth: match &args.auth {
            Some(value) => secret::read(value)?,
            None => Secret::empty(),
        },
        ..GenerateOptions::new(KeyType::Rsa)
    };
    let owner = args.owner_auth.as_ref();
    let owner = owner.map(|value| read_secret(value)).transpose()?;
    let chosen = settings::tpm_with_parent(global)?;
    let key = import12(
        &chosen.tpm,
        &software.modulus,
        &software.prime,
        &options,
        owner.as_ref(),
    )?;
    let pem = key
        .to_pem()
        .ok_or_else(|| Error::new("the key came without a key file"))?;
    match &target {
        Some(target) => target.write(&pem)?,
        None => output::print_as_is(&pem)?,
    }
    output::note(&format!(
        "Wrapped the key of {} bits for this TPM, which has made a signature or decrypted with it. It was outside: \
         only if every copy of {} is destroyed is it in the TPM alone.\nTLS {TLS12}.",
        key.public().bits(),
        printable::path(&args.file)
    ));
    Ok(())
}

fn read(path: &Path) -> Result<Software, Error> {
    let in_file = |text: &str| Error::new(format!("{}: {text}", printable::path(path)));
    let text = fs::read(path)
        .map(Zeroizing::new)
        .map_err(|error| in_file(&format!("cannot be read: {error}")))?;
    let (label, der) = pem_rfc7468::decode_vec(&text)
        .map_err(|error| in_file(&format!("this is no private key in PEM: {error}")))?;
    let der = Zeroizing::new(der);
    match label {
        "PRIVATE KEY" | "RSA PRIVATE KEY" => parse(label, &der).ok_or_else(|| {
            in_file("this is no RSA key of two primes with the exponent 65537, or it is damaged")
        }),
        "ENCRYPTED PRIVATE KEY" => Err(in_file(
            "the key is encrypted: decrypt it first with `openssl pkey -in FILE`",
        )),
        other => Err(in_file(&format!(
            "this is {}, not a software private key",
            printable::quoted(other)
        ))),
    }
}

/// PrivateKeyInfo (RFC 5208, 5) or RSAPrivateKey (RFC 8017, A.1.2).
fn parse(label: &str, der: &[u8]) -> Option<Software> {
    let mut outer = sequence(der)?;
    if label == "RSA PRIVATE KEY" {
        return rsa(outer);
    }
    integer(&mut outer)?;
    let mut algorithm = content(&mut outer, tag::SEQUENCE)?.1;
    if content(&mut algorithm, tag::OID)?.0 != RSA {
        return None;
    }
    let key = content(&mut outer, tag::OCTET_STRING)?.0;
    rsa(sequence(key)?)
}

fn rsa(mut reader: Reader<'_>) -> Option<Software> {
    // Version 0: two primes.
    if !integer(&mut reader)?.is_empty() {
        return None;
    }
    let modulus = integer(&mut reader)?.to_vec();
    if integer(&mut reader)? != [1, 0, 1] {
        return None;
    }
    let _private_exponent = integer(&mut reader)?;
    let prime = Secret::from(integer(&mut reader)?);
    Some(Software { modulus, prime })
}

fn sequence(der: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(der);
    let inner = content(&mut reader, tag::SEQUENCE)?.1;
    reader.is_empty().then_some(inner)
}

fn content<'a>(reader: &mut Reader<'a>, tag: u8) -> Option<(&'a [u8], Reader<'a>)> {
    let element = reader.element().ok().filter(|element| element.tag == tag)?;
    Some((element.content, element.reader()))
}

/// A number without leading zeros: 0 has no bytes.
fn integer<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let bytes = content(reader, tag::INTEGER)?.0;
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    bytes.get(zeros..)
}
