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

/// A line of authorized_keys.
fn ssh(public: &PublicKey, comment: &str) -> Result<String, Error> {
    let key = public.to_ssh().ok_or_else(|| {
        let curve = public.ec().map(|key| key.curve().to_string());
        let curve = curve.unwrap_or_default();
        Error::new(format!("SSH has no keys on {curve}"))
    })?;
    let line = format!("{key} {}", printable::line(comment));
    Ok(format!("{}\n", line.trim_end()))
}
