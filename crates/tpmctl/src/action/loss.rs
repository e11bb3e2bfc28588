//! What is lost when a TPM 2.0 is cleared: key files and sealed files on this machine, persistent keys, NV indices.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use keys::attested::AttestedKey;
use keys::key_dirs;
use keys::printable;
use keys::sealed::from_hex;
use keys::sealed::tpm12::Sealed12;
use keys::tss2::{KeyFile, Kind};
use keys::{srk_value, tss12};
use serde::Serialize;
use tss::ErrorKind;
use tss::tpm2::constants::handle;
use tss::tpm2::{ResponseCode, nv_attribute};
use tss::tpm12;

use super::{nv, persistent};
use crate::display::{self, hex};
use crate::error::Error;
use crate::key::file::read_beginning;
use crate::settings::{self, Chosen};

/// Files that are looked at, at most: each costs a command or two.
const MOST_FILES: usize = 1000;
/// Where servers say which keys they use.
const SERVERS: [&str; 3] = ["/etc/nginx", "/etc/apache2", "/etc/httpd"];
/// Files of theirs that are read, at most.
const MOST_SETTINGS: usize = 2000;

/// What is lost.
#[derive(Serialize)]
pub(crate) struct Loss {
    pub(crate) address: String,
    /// Directories and files that were looked at.
    pub(crate) looked_at: Vec<String>,
    pub(crate) files: Vec<LostFile>,
    pub(crate) persistent: Vec<LostKey>,
    pub(crate) nv: Vec<LostIndex>,
    /// Whether it is lost: the TPM was cleared.
    pub(crate) cleared: bool,
}

/// A file.
#[derive(Serialize)]
pub(crate) struct LostFile {
    pub(crate) file: String,
    pub(crate) sealed: bool,
    pub(crate) fate: Fate,
    /// The file of a server's configuration that names it.
    pub(crate) used_by: Option<String>,
}

/// What becomes of a file's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// The TPM loads it now, and never again.
    Lost,
    /// Whether it is this TPM's cannot be told.
    Unknown,
    /// It is below a hierarchy that is not cleared.
    Survives,
    /// It is not this TPM's.
    OfAnotherTpm,
}

/// A persistent key.
#[derive(Serialize)]
pub(crate) struct LostKey {
    pub(crate) handle: String,
    pub(crate) what: String,
    pub(crate) lost: bool,
}

/// An NV index.
#[derive(Serialize)]
pub(crate) struct LostIndex {
    pub(crate) index: String,
    pub(crate) what: String,
    pub(crate) lost: bool,
}

/// Looks at the usual directories, those of the settings, what servers name and `more`. Each key file of a TPM 2.0 is
/// loaded once, which costs Load and FlushContext: whether it is this TPM's, nothing else tells.
pub(crate) fn of_clearing(chosen: &Chosen, more: &[PathBuf]) -> Result<Loss, Error> {
    let client = chosen.client()?;
    let mut loss = Loss {
        address: client.endpoint().address().to_string(),
        looked_at: Vec::new(),
        files: Vec::new(),
        persistent: Vec::new(),
        nv: Vec::new(),
        cleared: false,
    };
    loss.look(more, &|bytes| fate(chosen, bytes))?;
    for at in client.handles(handle::PERSISTENT_FIRST)? {
        let object = persistent::there(client, at)?;
        loss.persistent.push(LostKey {
            handle: hex(at),
            what: format!(
                "{}, {}",
                display::kind(&object.public),
                display::purpose(&object.public)
            ),
            // The owner's and the endorsement hierarchy's share a range.
            lost: handle::guardian(at) != handle::PLATFORM,
        });
    }
    for index in client.handles(handle::NV_FIRST)? {
        let public = client.nv_read_public(index)?;
        loss.nv.push(LostIndex {
            index: hex(index),
            what: nv::purpose(index).to_owned(),
            lost: public.attributes & nv_attribute::PLATFORMCREATE == 0,
        });
    }
    Ok(loss)
}

/// The same of a TPM 1.2, all of whose keys go with its storage root key. Each key file costs TPM_OIAP, TPM_LoadKey2 and
/// TPM_FlushSpecific; where the storage root key's secret is not the one of the settings, one wrong try for all.
pub(crate) fn of_clearing12(
    chosen: &Chosen,
    client: &tpm12::Client,
    more: &[PathBuf],
) -> Result<Loss, Error> {
    let mut loss = Loss {
        address: client.endpoint().address().to_string(),
        looked_at: Vec::new(),
        files: Vec::new(),
        persistent: Vec::new(),
        nv: Vec::new(),
        cleared: false,
    };
    let named = chosen.tpm.config().srk_auth.as_ref();
    let srk = named.map_or_else(tpm12::AuthValue::well_known, |secret| srk_value(secret));
    loss.look(more, &|bytes| fate12(client, &srk, bytes))?;
    for index in super::tpm12::nv::list(client)?.indices {
        loss.nv.push(LostIndex {
            index: index.index,
            what: index.purpose.to_owned(),
            lost: !index.survives_clear,
        });
    }
    Ok(loss)
}

/// What becomes of a file, by what is in it.
type Judge<'a> = &'a dyn Fn(&[u8]) -> Option<(bool, Fate)>;

impl Loss {
    /// Looks at files.
    fn look(&mut self, more: &[PathBuf], fate: Judge<'_>) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for path in more {
            if let Err(error) = fs::metadata(path) {
                return Err(Error::new(format!(
                    "{} cannot be looked at: {error}",
                    printable::path(path)
                )));
            }
        }
        for path in directories().into_iter().chain(more.iter().cloned()) {
            let Ok(files) = files_in(&path) else { continue };
            self.looked_at.push(printable::path(&path));
            for file in files {
                self.add(fate, &file, None, &mut seen);
            }
        }
        for (file, by) in named_by_servers() {
            self.add(fate, &file, Some(&by), &mut seen);
        }
        Ok(())
    }

    fn add(
        &mut self,
        fate: Judge<'_>,
        path: &Path,
        used_by: Option<&Path>,
        seen: &mut BTreeSet<PathBuf>,
    ) {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !seen.insert(real) {
            let known = printable::path(path);
            let known = self.files.iter_mut().find(|file| file.file == known);
            if let (Some(file), Some(by)) = (known, used_by) {
                file.used_by.get_or_insert_with(|| printable::path(by));
            }
            return;
        }
        if self.files.len() >= MOST_FILES {
            return;
        }
        let Ok(bytes) = read_beginning(path) else {
            return;
        };
        if let Some((sealed, fate)) = fate(&bytes) {
            self.files.push(LostFile {
                file: printable::path(path),
                sealed,
                fate,
                used_by: used_by.map(printable::path),
            });
        }
    }
}

/// What would become of a file; `None` for one that is no key file.
pub(crate) fn fate_of(chosen: &Chosen, path: &Path) -> Option<Fate> {
    fate(chosen, &read_beginning(path).ok()?).map(|(_, fate)| fate)
}

/// Whether a file holds data, and what becomes of it; `None` for one that is no key file.
fn fate(chosen: &Chosen, bytes: &[u8]) -> Option<(bool, Fate)> {
    if AttestedKey::is_ours(bytes) {
        return Some((false, Fate::Unknown));
    }
    let bytes = from_hex(bytes).unwrap_or_else(|| bytes.to_vec());
    if tss12::is_ours(&bytes) {
        return Some((false, Fate::OfAnotherTpm));
    }
    let file = KeyFile::from_bytes(&bytes).ok()?;
    let sealed = file.kind == Kind::Sealed;
    let parent = file.parent;
    let stays = match handle::is_persistent(parent) {
        true => handle::guardian(parent) == handle::PLATFORM,
        // What proves that an object is the endorsement hierarchy's is made anew, too.
        false => ![handle::OWNER, handle::ENDORSEMENT].contains(&parent),
    };
    if stays {
        return Some((sealed, Fate::Survives));
    }
    let Ok(object) = chosen.tpm.object_in(&file) else {
        return Some((sealed, Fate::Unknown));
    };
    if file.kind == Kind::Importable {
        return Some((sealed, Fate::Unknown));
    }
    let tried = chosen.client().ok()?.try_load(&object);
    let fate = match tried {
        Ok(()) => Fate::Lost,
        // The second: its parent is not in this TPM.
        Err(error)
            if matches!(error.kind(), ErrorKind::ForeignKey { .. })
                || error.code().is_some_and(ResponseCode::is_bad_handle) =>
        {
            Fate::OfAnotherTpm
        }
        Err(_) => Fate::Unknown,
    };
    Some((sealed, fate))
}

/// The same for a TPM 1.2.
fn fate12(client: &tpm12::Client, srk: &tpm12::AuthValue, bytes: &[u8]) -> Option<(bool, Fate)> {
    if Sealed12::from_pem(bytes).is_ok() {
        return Some((true, Fate::Unknown));
    }
    let bytes = from_hex(bytes).unwrap_or_else(|| bytes.to_vec());
    if !tss12::is_ours(&bytes) {
        let of_tpm2 = AttestedKey::is_ours(&bytes) || KeyFile::from_bytes(&bytes).is_ok();
        return of_tpm2.then_some((false, Fate::OfAnotherTpm));
    }
    let Ok(blob) = tss12::from_bytes(&bytes) else {
        return Some((false, Fate::Unknown));
    };
    let tried = client.try_load(&tpm12::Key::new(blob, srk.clone()));
    let fate = match tried.as_ref().map_err(tss::Error::kind) {
        Ok(()) => Fate::Lost,
        Err(ErrorKind::Tpm12(tpm12::Failure::ForeignKey { .. })) => Fate::OfAnotherTpm,
        Err(_) => Fate::Unknown,
    };
    Some((false, fate))
}

/// A user's and the machine's directories of key files, and those that the settings name.
pub(crate) fn directories() -> Vec<PathBuf> {
    let path = |name| settings::environment(name).map(PathBuf::from);
    let mut all = key_dirs::usual(path("HOME").as_deref(), path("XDG_DATA_HOME").as_deref());
    for named in settings::key_dirs() {
        if !all.contains(&named) {
            all.push(named);
        }
    }
    all
}

/// The regular files in a directory, by name; or the file itself.
pub(crate) fn files_in(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found: Vec<PathBuf> = fs::read_dir(path)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        // Whoever opens a pipe waits.
        .filter(|path| fs::metadata(path).is_ok_and(|metadata| metadata.is_file()))
        .collect();
    found.sort();
    Ok(found)
}

/// Files that servers' configurations name as keys, each with the file that does. Only what is written plainly is found: a
/// path behind the name of the setting.
fn named_by_servers() -> Vec<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    let mut left = MOST_SETTINGS;
    let mut places: Vec<(PathBuf, u8)> = SERVERS.iter().map(|dir| ((*dir).into(), 0)).collect();
    while let Some((place, depth)) = places.pop() {
        let Ok(entries) = fs::read_dir(&place) else {
            continue;
        };
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            let Ok(about) = fs::metadata(&path) else {
                continue;
            };
            if about.is_dir() && depth < 3 {
                places.push((path, depth + 1));
            } else if about.is_file() && about.len() < 1 << 20 && left > 0 {
                left -= 1;
                if let Ok(text) = fs::read_to_string(&path) {
                    found.extend(keys_in(&text).map(|key| (key, path.clone())));
                }
            }
        }
    }
    found.sort();
    found
}

/// The files behind `ssl_certificate_key` and `SSLCertificateKeyFile`.
fn keys_in(text: &str) -> impl Iterator<Item = PathBuf> + '_ {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let is_key = ["ssl_certificate_key", "SSLCertificateKeyFile"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known));
        let value = words.next()?.trim_end_matches(';').trim_matches('"');
        (is_key && value.starts_with('/')).then(|| PathBuf::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_servers_name() {
        let text = "server {\n  ssl_certificate /a.crt;\n  ssl_certificate_key /etc/k.pem;\n # ssl_certificate_key /no;\n\
                    ssl_certificate_key $variable;\n}\nSSLCertificateKeyFile \"/etc/a.key\"\n";
        let found: Vec<PathBuf> = keys_in(text).collect();
        assert_eq!(found, [Path::new("/etc/k.pem"), Path::new("/etc/a.key")]);
    }
}
