//! `tpmctl key list`: the key files of directories, without a TPM, and the keys that are persistent in it.

use std::fs;
use std::path::{Path, PathBuf};

use keys::attested::AttestedKey;
use keys::printable;
use keys::sealed::from_hex;
use keys::tss2::{KeyFile, Kind};
use keys::{compat, key_dirs, tss12};
use serde::Serialize;
use tss::tpm2::Public;
use tss::tpm2::constants::handle;

use super::file;
use super::persist::Line;
use crate::action::key_file::Parsed;
use crate::action::persistent;
use crate::cli::{Global, List};
use crate::display;
use crate::error::Error;
use crate::settings::{self, Chosen};
use crate::{interrupt, output};

/// A key, wherever it is.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    Persistent(Line),
    File(Box<FileLine>),
}

/// A key file, or one that shall be.
#[derive(Serialize)]
pub(crate) struct FileLine {
    pub(crate) file: PathBuf,
    #[serde(rename = "type")]
    pub(crate) key_type: Option<String>,
    pub(crate) purpose: Option<&'static str>,
    pub(crate) kind: Option<&'static str>,
    pub(crate) name: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) authorization: Option<bool>,
    /// Other programs that do not take the file.
    refused_by: Vec<&'static str>,
    /// Why it cannot be read, or used.
    pub(crate) problem: Option<String>,
}

/// Lists what there is.
pub(crate) fn run(global: &Global, args: &List) -> Result<(), Error> {
    let mut entries = Vec::new();
    let mut missing = Vec::new();
    if !args.persistent {
        let named = !args.paths.is_empty();
        let paths = match named {
            true => args.paths.clone(),
            false => directories(),
        };
        for path in paths {
            match in_path(&path) {
                Ok(found) => entries.extend(found.into_iter().map(|line| Entry::File(line.into()))),
                Err(error) if named => missing.push(error),
                // Nobody has to have the usual directories.
                Err(_) => {}
            }
        }
    }
    // What the files say does not wait for a TPM, nor hang on one.
    let failure = match args.persistent || (args.paths.is_empty() && !args.files) {
        true => held(global, &mut entries).err(),
        false => None,
    };
    show(global, args, &entries, failure.is_none())?;
    match (failure, missing.is_empty()) {
        (Some(error), _) => Err(error),
        (None, true) => Ok(()),
        (None, false) => Err(Error::new(missing.join("; "))),
    }
}

fn show(global: &Global, args: &List, entries: &[Entry], complete: bool) -> Result<(), Error> {
    if global.json {
        return output::print_json(&entries);
    }
    let text: Vec<String> = entries.iter().map(Entry::text).collect();
    match (text.is_empty(), args.persistent || !complete) {
        (false, _) => output::print_as_is(&text.concat()),
        (true, false) if args.files || !args.paths.is_empty() => {
            output::print("There are no key files.\n")
        }
        (true, false) => output::print("There are neither key files nor persistent keys.\n"),
        (true, true) if complete => output::print("There are no persistent keys.\n"),
        (true, true) => Ok(()),
    }
}

/// The persistent keys of the TPM.
fn held(global: &Global, entries: &mut Vec<Entry>) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    let lines = persistent_keys(&chosen)?.into_iter();
    entries.extend(lines.map(|(_, line)| Entry::Persistent(line)));
    Ok(())
}

/// The same with their handles.
pub(crate) fn persistent_keys(chosen: &Chosen) -> Result<Vec<(u32, Line)>, Error> {
    let client = chosen.client()?;
    let mut lines = Vec::new();
    for at in client.handles(handle::PERSISTENT_FIRST)? {
        interrupt::check()?;
        lines.push((at, Line::new(at, &persistent::there(client, at)?)));
    }
    Ok(lines)
}

/// What is in the directories where key files usually are. No TPM command.
pub(crate) fn key_files() -> Vec<FileLine> {
    let found = directories().into_iter().map(|path| in_path(&path));
    // Nobody has to have them.
    found.flatten().flatten().collect()
}

/// Where a user's and the machine's key files are.
fn directories() -> Vec<PathBuf> {
    let path = |name| settings::environment(name).map(PathBuf::from);
    key_dirs::usual(path("HOME").as_deref(), path("XDG_DATA_HOME").as_deref())
}

/// The key files in a directory, by name; or the one that a file is.
fn in_path(path: &Path) -> Result<Vec<FileLine>, String> {
    let refuse = |error| format!("{} cannot be read: {error}", printable::path(path));
    if !fs::metadata(path).map_err(refuse)?.is_dir() {
        return Ok(vec![FileLine::of(path)]);
    }
    let mut found: Vec<PathBuf> = fs::read_dir(path)
        .map_err(refuse)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        // Whoever opens a pipe waits.
        .filter(|path| fs::metadata(path).is_ok_and(|metadata| metadata.is_file()))
        .collect();
    found.sort();
    Ok(found
        .iter()
        .filter_map(|path| FileLine::in_directory(path))
        .collect())
}

impl Entry {
    fn text(&self) -> String {
        match self {
            Self::Persistent(line) => format!(
                "{}  {:<12}  {}\n            {}\n",
                line.handle, line.key_type, line.purpose, line.name
            ),
            Self::File(line) => line.text(),
        }
    }
}

impl FileLine {
    /// A file that was named: whatever it is, something is said.
    fn of(path: &Path) -> Self {
        let mut line = Self::empty(path);
        let described = file::read_beginning(path)
            .map_err(|error| error.to_string())
            .and_then(|bytes| line.describe(&bytes));
        line.problem = described.err();
        line
    }

    /// A file that somebody has put into a directory; `None` for one that is no key file, and has none of its marks.
    fn in_directory(path: &Path) -> Option<Self> {
        let mut line = Self::empty(path);
        match file::read_beginning(path) {
            Ok(bytes) if is_ours(&bytes) => line.problem = line.describe(&bytes).err(),
            Ok(_) => return None,
            Err(error) => line.problem = Some(error.to_string()),
        }
        Some(line)
    }

    fn empty(path: &Path) -> Self {
        Self {
            file: path.to_owned(),
            key_type: None,
            purpose: None,
            kind: None,
            name: None,
            parent: None,
            authorization: None,
            refused_by: Vec::new(),
            problem: None,
        }
    }

    /// Fills in what the file says; an error is what is wrong with it.
    fn describe(&mut self, bytes: &[u8]) -> Result<(), String> {
        if AttestedKey::is_ours(bytes) {
            self.kind = Some("attested");
            let attested = AttestedKey::from_pem(bytes).map_err(|error| error.to_string())?;
            self.parent = Some(display::hex(attested.parent));
            return Ok(());
        }
        let bytes = from_hex(bytes).unwrap_or_else(|| bytes.to_vec());
        if tss12::is_ours(&bytes) {
            self.kind = Some("tpm-1.2");
            let blob = tss12::from_bytes(&bytes).map_err(|error| error.to_string())?;
            let parsed = Parsed::One(blob);
            self.authorization = Some(parsed.has_secret());
            let public = parsed.public().map_err(|error| error.to_string())?;
            self.key_type = Some(display::key_kind(&public));
            return parsed.check().map_err(|error| error.to_string());
        }
        let file = KeyFile::from_bytes(&bytes).map_err(|error| error.to_string())?;
        let public = Public::from_tpm2b(&file.public)
            .map_err(|error| format!("the key's public area is damaged: {error}"))?;
        let sealed = file.kind == Kind::Sealed;
        self.key_type = Some(display::kind(&public));
        self.purpose = Some(match sealed {
            true => "holds data",
            false => display::purpose(&public),
        });
        self.kind = Some(match file.kind {
            Kind::Loadable => "loadable",
            Kind::Importable => "importable",
            Kind::Sealed => "sealed",
        });
        self.name = public.name().ok().map(|name| name.to_string());
        self.parent = Some(display::hex(file.parent));
        self.authorization = Some(!file.empty_auth);
        let refused = compat::refused_by(&bytes);
        self.refused_by = refused.iter().map(|refusal| refusal.reader).collect();
        let checked = match sealed {
            true => keys::sealed::Sealed::check_file(&file),
            false => Parsed::Two(Box::new(file)).check(),
        };
        checked.map_err(|error| error.to_string())
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", printable::path(&self.file));
        let mut add = |line: String| {
            text.push_str(&format!("            {}\n", printable::line(&line)));
        };
        let type_of = self.key_type.as_deref().unwrap_or_default();
        match (self.kind, self.purpose) {
            (Some("attested"), _) => {
                add("only its TPM opens it: `tpmctl key finish` makes a key file of it".into());
            }
            (Some("tpm-1.2"), _) => add(format!("{type_of:<12}  of a TPM 1.2")),
            (Some(kind), Some(purpose)) => {
                let pin = match self.authorization {
                    Some(true) => ", with an authorization value",
                    _ => "",
                };
                add(format!("{type_of:<12}  {kind}, {purpose}{pin}"));
            }
            _ => {}
        }
        if let Some(name) = &self.name {
            add(name.clone());
        }
        if !self.refused_by.is_empty() {
            add(format!("not read by {}", self.refused_by.join(", ")));
        }
        if let Some(problem) = &self.problem {
            add(format!("cannot be used: {problem}"));
        }
        text
    }
}

/// Whether a file has a mark of key files: a label of theirs, or the beginning of one in DER.
fn is_ours(bytes: &[u8]) -> bool {
    let labels = [
        "TSS2 PRIVATE KEY",
        "TSS2 KEY BLOB",
        "TSS KEY BLOB",
        keys::attested::LABEL,
    ];
    let has = |label: &&str| {
        let begin = format!("-----BEGIN {label}-----");
        bytes
            .windows(begin.len())
            .any(|part| part == begin.as_bytes())
    };
    KeyFile::is_ours(bytes)
        || tss12::is_ours(bytes)
        || labels.iter().any(has)
        || KeyFile::from_bytes(bytes).is_ok()
}
