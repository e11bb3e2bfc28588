//! `tpmctl key convert`: the same key in another form of key file, without a TPM.

use keys::printable;
use keys::sealed::container::Head;
use keys::tss2::{KeyFile, Kind};
use keys::tss12;

use super::file;
use super::file::Target;
use crate::cli::{Convert, FileForm, Global, Pin};
use crate::error::Error;
use crate::output;

/// Converts the file.
pub(crate) fn run(global: &Global, args: &Convert) -> Result<(), Error> {
    if global.json {
        return Err(Error::new(
            "key convert has no result but the key file: leave --json out",
        ));
    }
    let target = Target::unless_stdout(&args.output, args.force)?;
    let bytes = file::read(&args.file)?;
    let in_file = |text: String| Error::new(format!("{}: {text}", printable::path(&args.file)));
    let text = match tss12::is_ours(&bytes) {
        true => of_tpm12(args, &bytes),
        false => of_tpm2(args, &bytes),
    };
    let text = text.map_err(in_file)?;
    match &target {
        Some(target) => target.write(&text),
        None => output::print_as_is(&text),
    }
}

fn of_tpm2(args: &Convert, bytes: &[u8]) -> Result<String, String> {
    let mut file = KeyFile::from_bytes(bytes).map_err(|error| error.to_string())?;
    // What is behind the key would be left out.
    if file.kind == Kind::Sealed
        && Head::read(&mut &*bytes).is_ok_and(|head| head.contents.is_some())
    {
        return Err(
            "the file holds sealed contents, which have one form: unseal them with `tpmctl unseal`"
                .into(),
        );
    }
    if let Some(pin) = args.pin {
        file.empty_auth = pin == Pin::No;
    }
    match args.form {
        FileForm::Tss2 => Ok(file.to_pem()),
        FileForm::Pkcs8 => {
            file.require_key().map_err(|error| error.to_string())?;
            Ok(file.to_pkcs8_pem())
        }
    }
}

fn of_tpm12(args: &Convert, bytes: &[u8]) -> Result<String, String> {
    let blob = tss12::from_bytes(bytes).map_err(|error| error.to_string())?;
    if args.form == FileForm::Pkcs8 {
        return Err(
            "this is a key of a TPM 1.2: only keys of a TPM 2.0 have an object identifier, by which they are known in \
             PKCS#8"
                .into(),
        );
    }
    if args.pin.is_some() {
        return Err(
            "this is a key of a TPM 1.2, whose file has no flag that --pin could set: the key itself says whether it \
             needs an authorization value"
                .into(),
        );
    }
    Ok(tss12::to_pem(&blob))
}
