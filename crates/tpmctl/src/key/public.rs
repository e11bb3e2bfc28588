//! `tpmctl key public`: the public half of a key file, without a TPM.

use std::path::Path;

use keys::{PublicKey, printable};
use pem_rfc7468::LineEnding;
use serde::Serialize;

use super::file::{self, Target};
use crate::action::key_file::Parsed;
use crate::cli::{Cli, Global, Public, PublicForm};
use crate::display::key_kind;
use crate::error::Error;
use crate::output;

#[derive(Serialize)]
struct Shown {
    #[serde(rename = "type")]
    key_type: String,
    form: &'static str,
    public: String,
}

/// Prints or writes it.
pub(crate) fn run(global: &Global, args: &Public) -> Result<(), Error> {
    if args.comment.is_some() && args.form != PublicForm::Ssh {
        Cli::conflict("--comment is for --form ssh");
    }
    let to_stdout = args.output == Path::new("-");
    if global.json && !to_stdout {
        Cli::conflict("--json goes to standard output: leave --output out");
    }
    let target = Target::unless_stdout(&args.output, args.force)?;
    let public = Parsed::new(&file::read(&args.file)?, &args.file)?.public()?;
    let comment = args.comment.as_deref().unwrap_or_default();
    let (form, text) = match args.form {
        PublicForm::Pem => ("pem", pem("PUBLIC KEY", &public.to_spki())?),
        PublicForm::Ssh => ("ssh", ssh(&public, comment)?),
    };
    if global.json {
        return output::print_json(&Shown {
            key_type: key_kind(&public),
            form,
            public: text,
        });
    }
    match target {
        Some(target) => target.write_shared(&text),
        None => output::print_as_is(&text),
    }
}

/// PEM of DER.
pub(crate) fn pem(label: &str, der: &[u8]) -> Result<String, Error> {
    pem_rfc7468::encode_string(label, LineEnding::LF, der)
        .map_err(|error| Error::new(format!("this does not fit PEM: {error}")))
}

/// A line of authorized_keys (RFC 4253, 6.6; RFC 5656, 3.1).
fn ssh(public: &PublicKey, comment: &str) -> Result<String, Error> {
    let (name, blob) = if let Ok(point) = public.ec() {
        let curve = match point.curve() {
            crypto::Curve::P256 => "nistp256",
            crypto::Curve::P384 => "nistp384",
            crypto::Curve::P521 => "nistp521",
            other => {
                return Err(Error::new(format!("SSH has no keys on {other}")));
            }
        };
        let name = format!("ecdsa-sha2-{curve}");
        let parts = [name.as_bytes(), curve.as_bytes(), point.point()];
        let blob = parts.map(string).concat();
        (name, blob)
    } else {
        let rsa = public.rsa()?;
        let name = "ssh-rsa";
        let blob = [
            string(name.as_bytes()),
            mpint(rsa.exponent()),
            mpint(rsa.modulus()),
        ]
        .concat();
        (name.to_owned(), blob)
    };
    let comment = printable::line(comment);
    let line = format!("{name} {} {comment}", openssl::base64::encode_block(&blob));
    Ok(format!("{}\n", line.trim_end()))
}

/// RFC 4251, 5.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

fn mpint(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    let number = number.get(zeros..).unwrap_or_default();
    match number.first() {
        Some(&first) if first >= 0x80 => string(&[&[0], number].concat()),
        _ => string(number),
    }
}
