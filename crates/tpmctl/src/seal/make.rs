//! `tpmctl seal`: small data in the TPM itself, everything else encrypted under a key that it seals.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crypto::Secret;
use keys::sealed::{self, ContentsKey, MOST, Options, Reader};
use keys::tss2::{KeyFile, NULL};
use keys::{Family, Tpm, printable};
use serde::Serialize;
use tss::tpm2::{self, ResponseCode};
use zeroize::Zeroizing;

use super::args::{Seal, Whom};
use super::source::Source;
use super::{in_file, machines, make12};
use crate::cli::{Cli, Global};
use crate::display::{hex, shell_word};
use crate::error::Error;
use crate::interrupt;
use crate::key::file::{Draft, Target};
use crate::key::new::policy_words;
use crate::key::secret;
use crate::print::progress;
use crate::{output, settings};

/// What was made.
#[derive(Serialize)]
struct Made {
    file: String,
    /// Bytes that were sealed.
    bytes: u64,
    /// Whether they are in the TPM's object, or encrypted under a key that is.
    in_tpm: bool,
    parent: String,
    authorization: bool,
    policy: bool,
    tpm: String,
}

/// Seals.
pub(crate) fn run(global: &Global, args: &Seal) -> Result<(), Error> {
    let to_stdout = args.output == Path::new("-");
    if to_stdout && global.json {
        Cli::conflict(
            "the sealed file and --json cannot both go to standard output; name a file with --output",
        );
    }
    let reader = match for_whom(args) {
        Ok(reader) => reader,
        Err(storage_keys) => return machines::run(global, args, &storage_keys),
    };
    let target = Target::unless_stdout(&args.output, args.force)?;
    let chosen = settings::tpm_with_parent(global)?;
    let here = || reader == Reader::Any && chosen.tpm.family() == Some(Family::Tpm12);
    if args.tpm.map_or_else(here, |asked| asked == Family::Tpm12) {
        return make12::run(global, args, target.as_ref(), &chosen);
    }
    // Before the data, where both come from standard input.
    let options = options(args, reader)?;
    // Who sends the data may take long.
    interrupt::tpm_is_done(None);
    let (source, beginning) = begin(args)?;
    options
        .reader
        .check_size(beginning.len())
        .map_err(|error| in_file(&args.input, error))?;
    let in_tpm = options.reader != Reader::Any || sealed::fits(&beginning);
    interrupt::hold()?;
    let (bytes, file) = if in_tpm {
        let data = Secret::from(beginning);
        let file = in_the_tpm(&chosen.tpm, &data, &options)?;
        interrupt::check()?;
        write_small(args, target.as_ref(), &options.reader.write(&file))?;
        (data.len() as u64, file)
    } else {
        let key = ContentsKey::new()?;
        let file = in_the_tpm(&chosen.tpm, key.sealed(), &options)?;
        interrupt::check()?;
        // What follows may take long, and needs no TPM.
        tpm2::release_all_at_exit();
        let heads = [file.to_pem()];
        let targets = target.as_ref().into_iter();
        let bytes = encrypt(args, targets, &heads, &key, beginning, source)?;
        (bytes, file)
    };
    let made = Made {
        file: args.output.display().to_string(),
        bytes,
        in_tpm,
        parent: hex(file.parent),
        authorization: !file.empty_auth,
        policy: !file.policy.is_empty(),
        tpm: chosen.tpm.endpoint()?.address().to_string(),
    };
    if global.json {
        output::print_json(&made)?;
    }
    tell(args, reader, &made, &file, target.is_some());
    if let Some(note) = chosen.tpm.unanchored_data() {
        output::note(&format!("note: {note}"));
    }
    Ok(())
}

/// The reader that is named, or our own; or the storage keys of other machines.
fn for_whom(args: &Seal) -> Result<Reader, Vec<PathBuf>> {
    let (mut readers, mut storage_keys) = (Vec::new(), Vec::new());
    for one in &args.whom {
        match one {
            Whom::Reader(reader) => readers.push(*reader),
            Whom::Machine(path) => storage_keys.push(path.clone()),
        }
    }
    match (&readers[..], storage_keys.is_empty()) {
        ([], true) => Ok(Reader::Any),
        ([], false) => Err(storage_keys),
        ([reader], true) => Ok(*reader),
        _ => Cli::conflict(
            "--for grub and --for kernel stand alone: neither reads what was sealed for another machine",
        ),
    }
}

/// What is sealed, and so much of it as decides how.
pub(super) fn begin(args: &Seal) -> Result<(Source, Zeroizing<Vec<u8>>), Error> {
    let mut source = Source::open(&args.input)?;
    let unreadable = |error: io::Error| in_file(&args.input, format!("it cannot be read: {error}"));
    let beginning = source.beginning(MOST + 1).map_err(unreadable)?;
    Ok((source, beginning))
}

pub(super) fn options(args: &Seal, reader: Reader) -> Result<Options, Error> {
    Ok(Options {
        parent: args.parent,
        parent_auth: None,
        auth: match &args.auth {
            Some(value) => secret::read(value)?,
            None => Secret::empty(),
        },
        policy: policy_words(&args.policy, &args.pcr).unwrap_or_default(),
        reader,
    })
}

fn in_the_tpm(
    tpm: &std::sync::Arc<Tpm>,
    data: &Secret,
    options: &Options,
) -> Result<KeyFile, Error> {
    let message = "The TPM is sealing ...".to_owned();
    let sealed = progress::spinner(message, || sealed::seal(tpm, data, options));
    sealed.map_err(|error| match &error {
        keys::Error::Tss(failure) if failure.code().is_some_and(ResponseCode::is_tpm12) => {
            Error::new(format!("{error}; say --tpm 1.2 to have it seal"))
        }
        _ => error.into(),
    })
}

pub(super) fn write_small(
    args: &Seal,
    target: Option<&Target>,
    content: &[u8],
) -> Result<(), Error> {
    match target {
        Some(target) => {
            let mut draft = target.begin()?;
            let written = draft.file().write_all(content);
            written.map_err(|error| in_output(&args.output, &error))?;
            draft.finish()
        }
        None => output::write_bytes(content),
    }
}

/// Writes files of the same contents behind what was read of them already, each with its own head; to standard output where
/// there are none. The TPM is no longer needed.
pub(super) fn encrypt<'a>(
    args: &Seal,
    targets: impl Iterator<Item = &'a Target>,
    heads: &[String],
    key: &ContentsKey,
    beginning: Zeroizing<Vec<u8>>,
    source: Source,
) -> Result<u64, Error> {
    let mut drafts = targets
        .map(Target::begin)
        .collect::<Result<Vec<Draft>, Error>>()?;
    interrupt::tpm_is_done(drafts.iter().map(Draft::beside));
    let mut stdout = match drafts.is_empty() {
        true => Some(output::raw_stdout()?),
        false => None,
    };
    let mut outputs: Vec<&mut dyn Write> = Vec::new();
    outputs.extend(
        drafts
            .iter_mut()
            .map(|draft| draft.file() as &mut dyn Write),
    );
    outputs.extend(stdout.iter_mut().map(|out| out as &mut dyn Write));
    let bytes = encrypt_to(args, heads, key, beginning, source, &mut outputs)?;
    drafts.into_iter().try_for_each(Draft::finish)?;
    Ok(bytes)
}

fn encrypt_to(
    args: &Seal,
    heads: &[String],
    key: &ContentsKey,
    beginning: Zeroizing<Vec<u8>>,
    source: Source,
    outputs: &mut [&mut dyn Write],
) -> Result<u64, Error> {
    let header = sealed::container::Header::new()?;
    let bar = progress::Bytes::new(source.size);
    let mut progress = |done| {
        bar.done(done);
        interrupt::check().is_ok()
    };
    let mut input = (&**beginning).chain(source);
    let in_output = |error: &io::Error| in_output(&args.output, error);
    for (head, out) in heads.iter().zip(&mut *outputs) {
        let text = [head.as_str(), &header.to_pem()].concat();
        out.write_all(text.as_bytes())
            .map_err(|error| in_output(&error))?;
    }
    let mut out = Every(outputs);
    sealed::contents::encrypt(key, &header, &mut input, &mut out, &mut progress).map_err(
        |failure| match failure {
            sealed::contents::Failure::Interrupted => interrupt::interrupted(),
            sealed::contents::Failure::Write(error) => in_output(&error),
            failure => in_file(&args.input, failure),
        },
    )
}

/// Files that are written at once.
struct Every<'a, 'b>(&'a mut [&'b mut dyn Write]);

impl Write for Every<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for out in &mut *self.0 {
            out.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.iter_mut().try_for_each(|out| out.flush())
    }
}

fn in_output(path: &Path, error: &io::Error) -> Error {
    let shown = match path == Path::new("-") {
        true => "standard output".to_owned(),
        false => printable::path(path),
    };
    Error::new(format!("{shown} cannot be written: {error}"))
}

pub(super) fn how_many(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        bytes => format!("{bytes} bytes"),
    }
}

/// What was made and what comes next, for people.
fn tell(args: &Seal, reader: Reader, made: &Made, file: &KeyFile, in_file: bool) {
    let place = match in_file {
        true => args.output.display().to_string(),
        false => "FILE".to_owned(),
    };
    let mut text = format!(
        "Sealed {} {}, {} and {}, under the {}{}.",
        how_many(made.bytes),
        match made.in_tpm {
            true => "in the TPM",
            false => "under a key in the TPM",
        },
        match args.auth.is_some() && made.authorization {
            true => "with an authorization value",
            false => "without an authorization value",
        },
        match made.policy {
            true => "with a policy",
            false => "without a policy",
        },
        file.parent_text(),
        match in_file {
            true => format!(": {} (mode 0600)", printable::path(&args.output)),
            false => String::new(),
        }
    );
    if file.parent == NULL {
        text.push_str("\nWhat is sealed in the null hierarchy is lost when the TPM restarts.");
    }
    let file = shell_word(&place);
    text.push_str(&match reader {
        Reader::Kernel => format!(
            "\nNext, the kernel loads it{}:\n  keyctl add trusted NAME \"load $(cat {file}){}\" @u",
            match made.authorization {
                true => ", with the authorization value in the place of VALUE",
                false => "",
            },
            match made.authorization {
                true => " blobauth=VALUE",
                false => "",
            },
        ),
        Reader::Grub => format!(
            "\nNext, in GRUB, with the file where it can read it:\n  tpm2_key_protector_init --tpm2key={file}\n  cryptomount \
             -u UUID --protector tpm2"
        ),
        Reader::Any => format!("\nThis TPM gives it back:\n  tpmctl unseal -i {file}"),
    });
    output::note(&text);
}
