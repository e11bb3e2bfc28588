//! `tpmctl unseal`: what was sealed, to a file, a pipe, or the kernel's keyring.

use std::ffi::CStr;
use std::fmt::Display;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::sync::Arc;

use crypto::Secret;
use keys::sealed::container::{Head, Header, InTpm};
use keys::sealed::contents::{CHUNK, Failure, decrypt};
use keys::sealed::{ContentsKey, Sealed};
use keys::{Ask, Tpm, printable};
use serde::Serialize;
use tss::os::keyring;
use tss::{tpm2, tpm12};
use zeroize::Zeroizing;

use super::args::Unseal;
use super::in_file;
use super::sealdata::{self, SealData};
use super::source::Source;
use crate::cli::{Cli, Global};
use crate::error::Error;
use crate::interrupt;
use crate::key::file::Target;
use crate::key::secret;
use crate::print::progress;
use crate::{output, settings};

/// What became of the data.
#[derive(Serialize)]
struct Outcome {
    /// Where they are.
    file: Option<String>,
    /// The serial number of the key in the kernel.
    key: Option<i32>,
    bytes: u64,
}

/// Where the data go.
enum Place<'a> {
    Stdout,
    File(Target),
    Keyring(&'a CStr),
}

/// Unseals.
pub(crate) fn run(global: &Global, args: &Unseal) -> Result<(), Error> {
    let place = match &args.keyring {
        Some(name) => Place::Keyring(name),
        None if args.output == Path::new("-") => Place::Stdout,
        None => Place::File(Target::new(&args.output, args.force)?),
    };
    if global.json && matches!(place, Place::Stdout) {
        Cli::conflict(
            "the data and --json cannot both go to standard output; name a file with --output",
        );
    }
    let chosen = settings::tpm_with_parent(global)?;
    // Before the file, where both come from standard input.
    let value = args.auth.as_ref().map(|value| secret::of_key(value));
    let value = value.transpose()?;
    // Who sends the file may take long.
    interrupt::tpm_is_done(None);
    let source = Source::open(&args.input)?;
    let size = source.size;
    let mut input = BufReader::with_capacity(CHUNK, source);
    let unreadable = |error: &dyn Display| in_file(&args.input, error);
    let foreign = sealdata::is_ours(&mut input);
    let contents = if foreign.map_err(|error| unreadable(&error))? {
        let head = SealData::read(&mut input).map_err(|error| unreadable(&error))?;
        let key = by_the_tpm(args, &chosen.tpm, || head.unseal(&chosen.tpm))?;
        Contents::Foreign(Box::new(Foreign { key, input, size }))
    } else {
        let head = Head::read(&mut input).map_err(|error| unreadable(&error))?;
        if head.contents.is_none() && matches!(head.sealed, InTpm::One(_)) {
            return Err(in_file(&args.input, CUT_OFF));
        }
        let data = unsealed(args, &chosen.tpm, &head.sealed, value)?;
        match head.contents {
            None => Contents::Small(of_the_tpm(args, data)?),
            Some(header) => Contents::Large(Box::new(Large {
                key: contents_key(args, data)?,
                header,
                input,
                size,
            })),
        }
    };
    // What follows may take long, and needs no TPM.
    tpm2::release_all_at_exit();
    tpm12::release_all_at_exit();
    let outcome = match place {
        Place::Stdout => {
            interrupt::tpm_is_done(None);
            let mut out = output::raw_stdout()?;
            Outcome::of(contents.write(args, &mut out)?)
        }
        Place::File(target) => {
            let mut draft = target.begin()?;
            interrupt::tpm_is_done(Some(draft.beside()));
            let bytes = contents.write(args, draft.file())?;
            draft.finish()?;
            Outcome {
                file: Some(args.output.display().to_string()),
                ..Outcome::of(bytes)
            }
        }
        Place::Keyring(name) => {
            interrupt::tpm_is_done(None);
            let mut payload = Payload::new();
            let bytes = contents.write(args, &mut payload)?;
            let serial = keyring::add_user_key(name, &payload.0);
            let serial = serial.map_err(|error| not_in_keyring(name, &error))?;
            Outcome {
                key: Some(serial),
                ..Outcome::of(bytes)
            }
        }
    };
    match (global.json, outcome.key) {
        (true, _) => output::print_json(&outcome),
        // As keyctl(1) does.
        (false, Some(serial)) => output::print_as_is(&format!("{serial}\n")),
        (false, None) => Ok(()),
    }
}

impl Outcome {
    fn of(bytes: u64) -> Self {
        Self {
            file: None,
            key: None,
            bytes,
        }
    }
}

/// What the TPM gives. All that can be looked at before it is asked, is.
fn unsealed(
    args: &Unseal,
    tpm: &Arc<Tpm>,
    sealed: &InTpm,
    value: Option<Secret>,
) -> Result<Secret, Error> {
    let asks = match sealed {
        InTpm::Two(file) => {
            Sealed::check_file(file).map_err(|error| in_file(&args.input, error))?;
            Sealed::asks(file)
        }
        InTpm::One(sealed) => sealed.needs_auth,
    };
    let mut value = match value {
        None if asks => secret::of_key_if_asked(None)?,
        given => given,
    };
    let mut take = |_: &str| value.take();
    let ask = Ask::Now(&mut take);
    match sealed {
        InTpm::Two(file) => {
            let sealed =
                Sealed::from_file(tpm, file, ask).map_err(|error| failed(args, tpm, error))?;
            by_the_tpm(args, tpm, || sealed.unseal())
        }
        InTpm::One(sealed) => by_the_tpm(args, tpm, || sealed.unseal(tpm, ask)),
    }
}

fn by_the_tpm(
    args: &Unseal,
    tpm: &Tpm,
    unseal: impl FnOnce() -> Result<Secret, keys::Error>,
) -> Result<Secret, Error> {
    interrupt::hold()?;
    let data = progress::spinner("The TPM is unsealing ...".to_owned(), unseal);
    interrupt::check()?;
    data.map_err(|error| failed(args, tpm, error))
}

fn failed(args: &Unseal, tpm: &Tpm, error: keys::Error) -> Error {
    match error {
        keys::Error::NoPin(_) if tpm.config().pin_source.is_none() => in_file(
            &args.input,
            "there is an authorization value, and nobody gave it: say --auth file:PATH, or --auth - to be asked",
        ),
        error => in_file(&args.input, Error::from(error)),
    }
}

const CUT_OFF: &str = "the contents are not there, only the key that they are encrypted under: the file was cut off, or what \
                       comes behind its first block is damaged; copy it again from where it was made";

fn of_the_tpm(args: &Unseal, data: Secret) -> Result<Secret, Error> {
    match ContentsKey::is_in(&data) {
        true => Err(in_file(&args.input, CUT_OFF)),
        false => Ok(data),
    }
}

fn contents_key(args: &Unseal, data: Secret) -> Result<ContentsKey, Error> {
    ContentsKey::from_sealed(data).ok_or_else(|| {
        in_file(
            &args.input,
            "what the TPM has sealed is no key for contents, and there are some: the two parts of the file do not belong \
             together",
        )
    })
}

/// What is written, once the TPM has done its part.
enum Contents {
    Small(Secret),
    Large(Box<Large>),
    /// Of tpm_sealdata.
    Foreign(Box<Foreign>),
}

struct Foreign {
    key: Secret,
    input: BufReader<Source>,
    size: Option<u64>,
}

struct Large {
    key: ContentsKey,
    header: Header,
    input: BufReader<Source>,
    size: Option<u64>,
}

impl Contents {
    /// Writes everything that is known to be as it was sealed, and says how much there was.
    fn write(mut self, args: &Unseal, out: &mut dyn Write) -> Result<u64, Error> {
        let written = match &mut self {
            Self::Small(data) => {
                let written = out.write_all(data).map(|()| data.len() as u64);
                written.map_err(Failure::Write)
            }
            Self::Foreign(foreign) => {
                let bar = progress::Bytes::new(foreign.size);
                let mut progress = |done| {
                    bar.done(done);
                    interrupt::check().is_ok()
                };
                return sealdata::decrypt(&foreign.key, &mut foreign.input, out, &mut progress)
                    .map_err(|failure| match failure {
                        sealdata::Failure::Interrupted => interrupt::interrupted(),
                        sealdata::Failure::Write(error) => not_written(args, &error),
                        failure => in_file(&args.input, failure),
                    });
            }
            Self::Large(large) => {
                let bar = progress::Bytes::new(large.size);
                let mut progress = |done| {
                    bar.done(done);
                    interrupt::check().is_ok()
                };
                decrypt(
                    &large.key,
                    &large.header,
                    &mut large.input,
                    out,
                    &mut progress,
                )
            }
        };
        written.map_err(|failure| match failure {
            Failure::Interrupted => interrupt::interrupted(),
            Failure::Write(error) => not_written(args, &error),
            failure => in_file(&args.input, failure),
        })
    }
}

fn not_written(args: &Unseal, error: &io::Error) -> Error {
    let place = match (&args.keyring, args.output == Path::new("-")) {
        (Some(name), _) => return not_in_keyring(name, error),
        (None, true) => "standard output".to_owned(),
        (None, false) => printable::path(&args.output),
    };
    Error::new(format!("{place} cannot be written: {error}"))
}

fn not_in_keyring(name: &CStr, error: &io::Error) -> Error {
    let name = printable::quoted(name.to_bytes());
    Error::new(format!(
        "the kernel does not take the key {name} into the user's keyring: {error}; `keyctl show @u` shows what is in it, \
         and a container may forbid the system call add_key"
    ))
}

/// What becomes a key in the kernel, which takes so much and no more.
struct Payload(Zeroizing<Vec<u8>>);

impl Payload {
    fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(keyring::LONGEST)))
    }
}

impl Write for Payload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > keyring::LONGEST {
            return Err(io::Error::other(format!(
                "a key of the type user has at most {} bytes",
                keyring::LONGEST
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
