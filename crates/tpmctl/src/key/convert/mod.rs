//! `tpmctl key convert`: the same key in another form, ours or another tool's.
//!
//! From one form of key file to another no TPM is needed. A key that another tool keeps in two files, or in a store, comes
//! without the name of its parent: the TPM says which that is, and the key is tried before its file is written.

pub(crate) mod args;
mod pkcs11;
mod source;
mod store;
mod target;
mod yaml;

use crypto::Secret;
use keys::parent::{self, Hint};
use keys::tss2::{KeyFile, Kind};
use keys::{Ask, Config, Error as KeysError, Key, Tpm, printable};
use tss::ErrorKind;
use tss::tpm2::constants::handle;
use tss::tpm2::{Attributes, Parent, Parms, PrimaryTemplate, Public};

use self::args::{Convert, Form, Pin};
use self::source::Source;
use self::target::{Content, Place};
use super::secret;
use crate::action::persistent;
use crate::cli::Global;
use crate::display::hex;
use crate::error::Error;
use crate::output;
use crate::settings::{self, Chosen};

/// Converts the key.
pub(crate) fn run(global: &Global, args: &Convert) -> Result<(), Error> {
    if global.json {
        return Err(Error::new(
            "key convert has no result but the key: leave --json out",
        ));
    }
    let source = Source::read(&args.files)?;
    let form = args.form.unwrap_or_else(|| source.usual_form());
    let place = Place::new(args, form)?;
    let content = match source {
        Source::File(file) => target::of_file(&of_file(global, args, *file)?, form),
        Source::Blob(blob) => match args.pin {
            None => target::of_blob(&blob, form),
            Some(_) => Err(
                "this is a key of a TPM 1.2, whose file has no flag that --pin could set: the key itself says whether it \
                 needs an authorization value"
                    .into(),
            ),
        },
        Source::Pair { public, private } => {
            target::of_file(&of_pair(global, args, &public, private)?, form)
        }
        Source::Persistent(uri) => {
            let chosen = settings::tpm_with_parent(global)?;
            let read = chosen.client()?.read_key(uri.handle, uri.name.as_ref())?;
            target::of_persistent(uri.handle, uri.pass, &read.name, &read.public, form)
        }
        Source::Store(path) => target::of_file(&pkcs11::take(global, args, &path)?, form),
    };
    let content: Content = content.map_err(|text| in_source(args, text))?;
    place.write(&content)
}

fn in_source(args: &Convert, error: impl ToString) -> Error {
    let shown: Vec<String> = args
        .files
        .iter()
        .map(|path| printable::path(path))
        .collect();
    Error::new(format!("{}: {}", shown.join(", "), error.to_string()))
}

/// A key file, below the parent that it names, or the one that is looked for.
fn of_file(global: &Global, args: &Convert, mut file: KeyFile) -> Result<KeyFile, Error> {
    if let Some(pin) = args.pin {
        file.empty_auth = pin == Pin::No;
    }
    file.description = file.description.filter(|_| !args.no_description);
    // Below a persistent parent the old form says the same as the new one.
    file.legacy &= file.parent_is_hierarchy();
    if args.parent.is_none() && args.persist_parent.is_none() && args.auth.is_none() {
        return Ok(file);
    }
    if file.kind == Kind::Importable {
        return Err(in_source(
            args,
            "the key is importable, and has the parent that it was wrapped for: --parent, --persist-parent and --auth are \
             for what a TPM loads",
        ));
    }
    let chosen = settings::tpm_with_parent(global)?;
    let public = public_of(args, &file)?;
    // tpm2_encodeobject names the owner hierarchy whatever primary the key is below.
    let hint = Hint {
        place: args.parent.or(keys::ParentChoice::at(file.parent).ok()),
        template: file.legacy.then_some(PrimaryTemplate::Legacy),
        auth: None,
    };
    let found = find(args, &chosen, &public, &file.private, &hint)?;
    let named = named_in(args, &chosen, &mut file, found)?;
    match &args.auth {
        Some(_) => tried(args, &chosen, file, &named),
        None => Ok(file),
    }
}

/// The two halves, in a file that names their parent.
fn of_pair(
    global: &Global,
    args: &Convert,
    public: &Public,
    private: Vec<u8>,
) -> Result<KeyFile, Error> {
    let place = args.parent.map_or(handle::OWNER, u32::from);
    let mut file = KeyFile::loadable(place, public.to_tpm2b(), private);
    if is_data(public) {
        file.kind = Kind::Sealed;
    }
    if args.no_check {
        if args.parent.is_none() {
            return Err(Error::usage(
                "the two files do not say which parent the key has: say it with --parent, or leave --no-check out",
            ));
        }
        file.empty_auth = args.pin != Some(Pin::Yes);
        return Ok(file);
    }
    // A pair for a pair, to take sizes away, needs nobody's word.
    if args.form == Some(Form::Pair) {
        return Ok(file);
    }
    let chosen = settings::tpm_with_parent(global)?;
    let hint = Hint {
        place: args.parent,
        ..Hint::default()
    };
    let found = find(args, &chosen, public, &file.private, &hint)?;
    let named = named_in(args, &chosen, &mut file, found)?;
    tried(args, &chosen, file, &named)
}

fn find(
    args: &Convert,
    chosen: &Chosen,
    public: &Public,
    private: &[u8],
    hint: &Hint,
) -> Result<Parent, Error> {
    chosen.client()?;
    parent::find(&chosen.tpm, public, private, hint).map_err(|error| in_source(args, error))
}

/// Has the file name the parent; one for which it has no words once that is persistent, if it may be made so. Gives the
/// parent as it is named.
fn named_in(
    args: &Convert,
    chosen: &Chosen,
    file: &mut KeyFile,
    found: Parent,
) -> Result<Parent, Error> {
    if parent::name_in(file, &found) {
        return Ok(found);
    }
    let persistent = persisted(args, chosen, found)?;
    parent::name_in(file, &persistent);
    Ok(persistent)
}

/// The parent as a persistent one.
fn persisted(args: &Convert, chosen: &Chosen, found: Parent) -> Result<Parent, Error> {
    if handle::is_persistent(found.handle) {
        return Ok(found);
    }
    check_may_be_named(args, &found)?;
    let named = args.persist_parent.flatten();
    let client = chosen.client()?;
    let at = persistent::place_of_parent(client, named)?;
    let owner = &chosen.tpm.config().parent_auth;
    let made = parent::make_persistent(client, &found, at, owner).map_err(Error::of_the_owner)?;
    output::note(&format!(
        "{found} is persistent at {} now, where the key file finds it (`tpmctl key evict {}` removes it).",
        hex(at),
        hex(at)
    ));
    Ok(made)
}

/// Refuses a parent for which a key file has no words, unless it may be made persistent.
fn check_may_be_named(args: &Convert, found: &Parent) -> Result<(), Error> {
    if parent::has_a_name(found) {
        return Ok(());
    }
    if args.persist_parent.is_none() {
        return Err(in_source(
            args,
            format!(
                "the key's parent is {found}, which is made anew for each use and for which a key file has no words: \
                 --persist-parent makes it persistent, and names it in the file (--parent-auth is the owner's \
                 authorization value, where there is one)"
            ),
        ));
    }
    if found.handle == handle::NULL {
        return Err(in_source(
            args,
            "the key's parent is in the null hierarchy, and gone with the TPM's next restart: nothing there is persistent, \
             and the key ends with it",
        ));
    }
    Ok(())
}

/// The key was loaded; now it is used once, so that its file says rightly whether it has an authorization value.
fn tried(
    args: &Convert,
    chosen: &Chosen,
    mut file: KeyFile,
    named: &Parent,
) -> Result<KeyFile, Error> {
    if let Some(pin) = args.pin {
        file.empty_auth = pin == Pin::No;
        return Ok(file);
    }
    let public = public_of(args, &file)?;
    let secret = args.auth.as_ref().map(|value| secret::of_key(value));
    let secret = secret.transpose()?;
    file.empty_auth = secret.as_ref().is_none_or(|secret| secret.is_empty());
    // Data are not unsealed to see whether that works, and nothing is below a parent yet.
    if file.kind == Kind::Sealed || is_parent(&public) {
        return Ok(file);
    }
    let given = secret.is_some();
    match used(chosen, &file, named, secret) {
        Ok(()) => Ok(file),
        Err(KeysError::Tss(error)) if is_of_the_key(&error) && !given => {
            output::note(
                "The key has an authorization value, and the file says so: it is asked for when the key is used.",
            );
            file.empty_auth = false;
            Ok(file)
        }
        Err(error) => Err(in_source(args, error)),
    }
}

/// With the parent's value, which need not be the one of the settings.
fn used(
    chosen: &Chosen,
    file: &KeyFile,
    named: &Parent,
    mut secret: Option<Secret>,
) -> Result<(), KeysError> {
    let tpm = Tpm::new(Config {
        parent_auth: named.auth.clone(),
        ..chosen.tpm.config().clone()
    })?;
    let mut ask = |_: &str| secret.take();
    Key::from_file(&tpm, file.clone(), Ask::Now(&mut ask))?.check()
}

/// Whether it is the key that refuses a value, and not its parent.
fn is_of_the_key(error: &tss::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WrongAuth {
            of_parent: false,
            ..
        }
    )
}

fn public_of(args: &Convert, file: &KeyFile) -> Result<Public, Error> {
    Public::from_tpm2b(&file.public)
        .map_err(|error| in_source(args, format!("the key's public area is damaged: {error}")))
}

/// Whether it is sealed data and no key.
fn is_data(public: &Public) -> bool {
    let usage = Attributes::SIGN.with(Attributes::DECRYPT);
    matches!(public.parms(), Parms::KeyedHash { .. })
        && public.attributes().without(usage) == public.attributes()
}

/// Whether it is a storage key, which the TPM alone uses.
fn is_parent(public: &Public) -> bool {
    public
        .attributes()
        .contains(Attributes::RESTRICTED.with(Attributes::DECRYPT))
}
