//! `tpmctl key finish`: a loadable file in an importable one's place.

use keys::attested::AttestedKey;
use keys::import;
use keys::tss2::Kind;
use keys::{Family, printable};

use super::file::{self, Target};
use super::replace::Replacement;
use super::secret;
use crate::action::key_file::Parsed;
use crate::cli::{Finish, Global};
use crate::error::Error;
use crate::{output, settings};

/// Has the TPM import the key, and writes what it gives.
pub(crate) fn run(global: &Global, args: &Finish) -> Result<(), Error> {
    let shown = printable::path(&args.file);
    let bytes = file::read(&args.file)?;
    let attested = match AttestedKey::is_ours(&bytes) {
        true => {
            let read = AttestedKey::from_pem(&bytes);
            Some(read.map_err(|error| Error::new(format!("{shown}: {error}")))?)
        }
        false => None,
    };
    let importable = match &attested {
        Some(_) => None,
        None => match Parsed::new(&bytes, &args.file)? {
            Parsed::Two(key) => Some(*key),
            Parsed::One(_) => {
                return Err(Error::new(format!(
                    "{shown}: this is a key of a TPM 1.2, which can be used as it is"
                )));
            }
        },
    };
    let auth = secret::of_endorsement(args.endorsement_auth.as_ref())?;
    let chosen = settings::tpm_with_parent(global)?;
    let in_file = |error: keys::Error| Error::new(format!("{shown}: {error}"));
    chosen.tpm.endpoint_of(Family::Tpm2)?;
    // Everything that can fail is looked at before the TPM is asked.
    let (replacement, target) = match &args.output {
        None => (Some(Replacement::of(&args.file)?), None),
        Some(path) => (None, Some(Target::new(path, args.force)?)),
    };
    let opened = match (&attested, importable) {
        (Some(attested), _) => Some(attested.open(&chosen.tpm, &auth).map_err(in_file)?),
        (None, importable) => importable,
    };
    let Some(key) = opened else { return Ok(()) };
    let finished = import::finish(&chosen.tpm, &key).map_err(in_file)?;
    let content = match attested {
        Some(_) => finished.to_pem().into_bytes(),
        None => finished
            .in_place_of(&bytes)
            .map_err(|error| Error::new(error.to_string()))?,
    };
    match (replacement, target) {
        (Some(replacement), _) => replacement.write(&content)?,
        (None, Some(target)) => target.write_bytes(&content)?,
        (None, None) => {}
    }
    let written = printable::path(args.output.as_ref().unwrap_or(&args.file));
    let what = match finished.kind {
        Kind::Sealed => "the data",
        Kind::Loadable | Kind::Importable => "the key",
    };
    output::note(&format!(
        "{written}: this TPM loads {what} from now on without importing first; no other TPM does."
    ));
    Ok(())
}
