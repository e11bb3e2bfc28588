//! `tpmctl key persist` and `key evict`: keys that stay in the TPM.

use std::path::Path;

use keys::foreign::{Context, Piece};
use keys::import;
use keys::tss2::{KeyFile, Kind};
use keys::{Error as KeysError, printable};
use serde::Serialize;
use tss::tpm2::constants::handle;
use tss::tpm2::{Attributes, Client, Object};

use super::file;
use crate::action::key_file::Parsed;
use crate::action::persistent;
use crate::cli::{Evict, Global, Persist};
use crate::display::{self, hex};
use crate::error::Error;
use crate::{output, settings};

/// A persistent key.
#[derive(Serialize)]
pub(crate) struct Line {
    pub(crate) handle: String,
    #[serde(rename = "type")]
    pub(crate) key_type: String,
    pub(crate) purpose: &'static str,
    pub(crate) name: String,
}

/// Makes the key in a file persistent, and prints its handle.
pub(crate) fn persist(global: &Global, args: &Persist) -> Result<(), Error> {
    let shown = printable::path(&args.file);
    let bytes = file::read(&args.file)?;
    if let Some(Piece::Context(context)) = Piece::of(&bytes) {
        return persist_context(global, args, &context);
    }
    let key = key_in(&bytes, &args.file)?;
    let chosen = settings::tpm_with_parent(global)?;
    let (at, object, loadable) = make_persistent(&chosen, key, &args.file, args.handle)?;
    let uri = format!(
        "handle:{}{}",
        hex(at),
        match loadable.empty_auth {
            true => "",
            false => "?pass",
        }
    );
    if global.json {
        return output::print_json(&Line::new(at, &object));
    }
    output::print(&format!("{}\n", hex(at)))?;
    output::note(&match object.public.auth_policy().is_empty() {
        true => format!("{shown} is at {uri} now, which is written where a key file would be."),
        false => format!(
            "{shown} is at {uri} now. Its policy is in the file and not in the TPM: it is said behind the handle, \
             ?policy=WORDS or ?policy-file=PATH (tpm-provider(7))."
        ),
    });
    Ok(())
}

/// Makes the key in a file persistent at the next free handle, which it gives.
pub(crate) fn persist_file(chosen: &settings::Chosen, path: &Path) -> Result<u32, Error> {
    let key = key_in(&file::read(path)?, path)?;
    let (at, ..) = make_persistent(chosen, key, path, None)?;
    Ok(at)
}

fn key_in(bytes: &[u8], path: &Path) -> Result<Box<KeyFile>, Error> {
    let shown = printable::path(path);
    let Parsed::Two(key) = Parsed::new(bytes, path)? else {
        return Err(Error::new(format!(
            "{shown}: this is a key of a TPM 1.2, which has no persistent keys but its storage root key"
        )));
    };
    key.require_key()
        .map_err(|error| Error::new(format!("{shown}: {error}")))?;
    Ok(key)
}

fn make_persistent(
    chosen: &settings::Chosen,
    key: Box<KeyFile>,
    path: &Path,
    handle: Option<u32>,
) -> Result<(u32, Object, KeyFile), Error> {
    let client = chosen.client()?;
    let at = persistent::place(client, handle)?;
    let in_file = |error: KeysError| Error::new(format!("{}: {error}", printable::path(path)));
    let loadable = match key.kind {
        Kind::Importable => import::finish(&chosen.tpm, &key).map_err(in_file)?,
        Kind::Loadable | Kind::Sealed => *key,
    };
    let object = chosen.tpm.object_in(&loadable).map_err(in_file)?;
    evict_control(chosen, client, &object, at)?;
    Ok((at, object, loadable))
}

/// Removes what is at a handle.
pub(crate) fn remove_at(chosen: &settings::Chosen, at: u32) -> Result<(), Error> {
    let client = chosen.client()?;
    let object = persistent::there(client, at)?;
    evict_control(chosen, client, &object, at)
}

/// The same of what tpm2-tools saved of a loaded key.
fn persist_context(global: &Global, args: &Persist, context: &Context) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let client = chosen.client()?;
    let at = persistent::place(client, args.handle)?;
    let owner = &chosen.tpm.config().parent_auth;
    client
        .persist_context(&context.saved, &context.name, at, owner)
        .map_err(|error| match error.is_authorization_failure() {
            true => Error::of_the_owner(error),
            false => Error::new(format!(
                "{}: {error}. A context is for the TPM that saved it, until that is reset",
                printable::path(&args.file)
            )),
        })?;
    match global.json {
        true => output::print_json(&Line::new(at, &persistent::there(client, at)?)),
        false => output::print(&format!("{}\n", hex(at))),
    }
}

/// Removes a persistent key.
pub(crate) fn evict(global: &Global, args: &Evict) -> Result<(), Error> {
    if args.handle == handle::SRK {
        return Err(Error::usage(
            "this is the storage root key: `tpmctl srk remove` says what depends on it",
        ));
    }
    remove(
        global,
        args.handle,
        args.yes,
        "Unless there is a key file of it, it is lost for ever",
    )
}

/// Removes what is at a handle, after saying what that means.
pub(crate) fn remove(global: &Global, at: u32, yes: bool, meaning: &str) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let client = chosen.client()?;
    let object = persistent::there(client, at)?;
    let line = Line::new(at, &object);
    let agreed = yes
        || output::agreed(
            &format!("the key at {} would be removed", line.handle),
            &format!(
                "{} is {}, {}. {meaning}. Remove it?",
                line.handle, line.key_type, line.name
            ),
        )?;
    if !agreed {
        return Ok(());
    }
    evict_control(&chosen, client, &object, at)?;
    match global.json {
        true => output::print_json(&line),
        false => output::print(&format!("Removed the key at {}.\n", line.handle)),
    }
}

fn evict_control(
    chosen: &settings::Chosen,
    client: &Client,
    object: &Object,
    at: u32,
) -> Result<(), Error> {
    let owner = &chosen.tpm.config().parent_auth;
    let moved = client.evict_control(object, at, owner);
    moved.map_err(Error::of_the_owner)
}

impl Line {
    pub(super) fn new(at: u32, object: &Object) -> Self {
        Self {
            handle: hex(at),
            key_type: display::kind(&object.public),
            purpose: match object
                .public
                .attributes()
                .contains(Attributes::RESTRICTED.with(Attributes::DECRYPT))
            {
                true => "storage key, the parent of others",
                false => display::purpose(&object.public),
            },
            name: object.name.to_string(),
        }
    }
}
