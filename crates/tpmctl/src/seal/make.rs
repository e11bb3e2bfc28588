//! `tpmctl seal`: small data in the TPM itself, everything else encrypted under a key that it seals.

use std::io::{self, Read, Write};
use std::path::Path;

use crypto::Secret;
use keys::sealed::{self, ContentsKey, MOST, Options, Reader};
use keys::tss2::{KeyFile, NULL};
use keys::{Tpm, printable};
use serde::Serialize;
use tss::tpm2;
use zeroize::Zeroizing;

use super::args::Seal;
use super::in_file;
use super::source::Source;
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
    let target = Target::unless_stdout(&args.output, args.force)?;
    let chosen = settings::tpm_with_parent(global)?;
    // Before the data, where both come from standard input.
    let options = options(args)?;
    // Who sends the data may take long.
    interrupt::tpm_is_done(None);
    let mut source = Source::open(&args.input)?;
    let unreadable = |error: io::Error| in_file(&args.input, format!("it cannot be read: {error}"));
    let beginning = source.beginning(MOST + 1).map_err(unreadable)?;
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
        let mut draft = target.as_ref().map(Target::begin).transpose()?;
        interrupt::tpm_is_done(draft.as_ref().map(Draft::beside));
        let bytes = encrypt(args, &file, &key, beginning, source, draft.as_mut())?;
        if let Some(draft) = draft {
            draft.finish()?;
        }
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
    tell(args, &made, &file, target.is_some());
    if let Some(note) = chosen.tpm.unanchored_data() {
        output::note(&format!("note: {note}"));
    }
    Ok(())
}

fn options(args: &Seal) -> Result<Options, Error> {
    Ok(Options {
        parent: args.parent,
        parent_auth: None,
        auth: match &args.auth {
            Some(value) => secret::read(value)?,
            None => Secret::empty(),
        },
        policy: policy_words(&args.policy, &args.pcr).unwrap_or_default(),
        reader: args.reader.map_or(Reader::Any, Reader::from),
    })
}

fn in_the_tpm(
    tpm: &std::sync::Arc<Tpm>,
    data: &Secret,
    options: &Options,
) -> Result<KeyFile, Error> {
    let message = "The TPM is sealing ...".to_owned();
    Ok(progress::spinner(message, || {
        sealed::seal(tpm, data, options)
    })?)
}

fn write_small(args: &Seal, target: Option<&Target>, content: &[u8]) -> Result<(), Error> {
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

/// Writes the file with its contents behind what was read of them already.
fn encrypt(
    args: &Seal,
    file: &KeyFile,
    key: &ContentsKey,
    beginning: Zeroizing<Vec<u8>>,
    source: Source,
    draft: Option<&mut Draft>,
) -> Result<u64, Error> {
    let header = sealed::container::Header::new()?;
    let bar = progress::Bytes::new(source.size);
    let mut progress = |done| {
        bar.done(done);
        interrupt::check().is_ok()
    };
    let mut input = (&**beginning).chain(source);
    let mut stdout;
    let out: &mut dyn Write = match draft {
        Some(draft) => draft.file(),
        None => {
            stdout = output::raw_stdout()?;
            &mut stdout
        }
    };
    let head = [file.to_pem(), header.to_pem()].concat();
    out.write_all(head.as_bytes())
        .map_err(sealed::contents::Failure::Write)
        .and_then(|()| sealed::contents::encrypt(key, &header, &mut input, out, &mut progress))
        .map_err(|failure| match failure {
            sealed::contents::Failure::Interrupted => interrupt::interrupted(),
            sealed::contents::Failure::Write(error) => in_output(&args.output, &error),
            failure => in_file(&args.input, failure),
        })
}

fn in_output(path: &Path, error: &io::Error) -> Error {
    let shown = match path == Path::new("-") {
        true => "standard output".to_owned(),
        false => printable::path(path),
    };
    Error::new(format!("{shown} cannot be written: {error}"))
}

/// What was made and what comes next, for people.
fn tell(args: &Seal, made: &Made, file: &KeyFile, in_file: bool) {
    let place = match in_file {
        true => args.output.display().to_string(),
        false => "FILE".to_owned(),
    };
    let mut text = format!(
        "Sealed {} {}, {} and {}, under the {}{}.",
        match made.bytes {
            1 => "1 byte".to_owned(),
            bytes => format!("{bytes} bytes"),
        },
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
    text.push_str(&match args.reader.map(Reader::from) {
        Some(Reader::Kernel) => format!(
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
        Some(Reader::Grub) => format!(
            "\nNext, in GRUB, with the file where it can read it:\n  tpm2_key_protector_init --tpm2key={file}\n  cryptomount \
             -u UUID --protector tpm2"
        ),
        _ => format!("\nThis TPM gives it back:\n  tpmctl unseal -i {file}"),
    });
    output::note(&text);
}
