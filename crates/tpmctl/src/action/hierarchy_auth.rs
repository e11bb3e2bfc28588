//! The authorization values of hierarchies: which are set, and how others are.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crypto::Secret;
use keys::read_secret;
use serde::Serialize;
use tss::tpm2::constants::{handle, property};
use tss::tpm2::{Client, ResponseCode};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::owner::args::Hierarchy;
use crate::settings::Chosen;

/// Random bytes of a value that is made up; as hexadecimal digits they fit what every TPM 2.0 takes.
const RANDOM: usize = 16;

/// What there was and what became of it.
#[derive(Serialize)]
pub(crate) struct Values {
    pub(crate) address: String,
    pub(crate) hierarchies: Vec<Line>,
    /// Where the value is that was made up.
    pub(crate) file: Option<String>,
    /// Whether a storage root key is where keys look for one.
    pub(crate) srk_present: bool,
}

/// A hierarchy.
#[derive(Serialize)]
pub(crate) struct Line {
    pub(crate) hierarchy: &'static str,
    /// Whether it had a value before.
    pub(crate) was_set: bool,
    pub(crate) changed: bool,
}

impl Values {
    /// Asks which are set.
    pub(crate) fn read(
        chosen: &Chosen,
        client: &Client,
        hierarchies: &[Hierarchy],
    ) -> Result<Self, Error> {
        let first = property::PERMANENT;
        let permanent = client
            .capability_properties(first, first + 1)?
            .into_iter()
            .find_map(|(property, value)| (property == first).then_some(value))
            .ok_or_else(|| {
                Error::new("the TPM does not tell which authorization values are set")
            })?;
        let srk_present = match client.read_public(handle::SRK) {
            Ok(_) => true,
            Err(error) if error.code().is_some_and(ResponseCode::is_bad_handle) => false,
            Err(error) => return Err(error.into()),
        };
        let line = |hierarchy: &Hierarchy| Line {
            hierarchy: hierarchy.name(),
            was_set: permanent & hierarchy.bit() != 0,
            changed: false,
        };
        Ok(Self {
            address: chosen.tpm.endpoint()?.address().to_string(),
            hierarchies: hierarchies.iter().map(line).collect(),
            file: None,
            srk_present,
        })
    }

    /// Sets them to `new`, where they are `old` now or not set.
    ///
    /// # Errors
    ///
    /// The first refusal; what was set before it is marked.
    pub(crate) fn change(
        &mut self,
        chosen: &Chosen,
        client: &Client,
        hierarchies: &[Hierarchy],
        old: &Secret,
        new: &Secret,
    ) -> Result<(), Failure> {
        let none = Secret::empty();
        // Where the owner's value is not the one that is changed, it is the settings' or that of --parent-auth.
        let owner = match self.line(Hierarchy::Owner) {
            Some(line) if line.was_set => old,
            _ => &chosen.tpm.config().parent_auth,
        };
        for (&hierarchy, line) in hierarchies.iter().zip(&mut self.hierarchies) {
            let before = if line.was_set { old } else { &none };
            client
                .change_hierarchy_auth(hierarchy.handle(), before, new, owner)
                .map_err(|error| Failure { hierarchy, error })?;
            line.changed = true;
        }
        Ok(())
    }

    fn line(&self, hierarchy: Hierarchy) -> Option<&Line> {
        self.hierarchies
            .iter()
            .find(|line| line.hierarchy == hierarchy.name())
    }

    /// Those that were set.
    pub(crate) fn changed(&self) -> Vec<&'static str> {
        let changed = self.hierarchies.iter().filter(|line| line.changed);
        changed.map(|line| line.hierarchy).collect()
    }
}

/// Sets a hierarchy's authorization value. `old` is the one that it has, if somebody has said which.
///
/// # Errors
///
/// There is one, and nobody has; what [`Values::change`] says.
pub(crate) fn set(
    chosen: &Chosen,
    hierarchy: Hierarchy,
    old: Option<Secret>,
    new: &Secret,
) -> Result<(), Error> {
    let client = chosen.client()?;
    let mut values = Values::read(chosen, client, &[hierarchy])?;
    let was_set = values.hierarchies.iter().any(|line| line.was_set);
    // Where there is none, one that is tried would be a wrong one.
    let old = old.filter(|_| was_set);
    if was_set && old.is_none() {
        return Err(Error::new(format!(
            "the {} hierarchy has an authorization value already, and it was not given",
            hierarchy.name()
        )));
    }
    let old = old.unwrap_or_else(Secret::empty);
    let result = values.change(chosen, client, &[hierarchy], &old, new);
    result.map_err(|failure| failure.describe(&values, None))
}

/// A hierarchy whose value was not set, and why.
pub(crate) struct Failure {
    hierarchy: Hierarchy,
    error: tss::Error,
}

impl Failure {
    /// What to say. A file that was made for nothing goes.
    pub(crate) fn describe(self, outcome: &Values, made: Option<&Path>) -> Error {
        let name = self.hierarchy.name();
        let wrong = matches!(
            self.error.kind(),
            tss::ErrorKind::WrongAuth {
                of_parent: false,
                ..
            }
        );
        let mut text = match (wrong, self.hierarchy) {
            (true, Hierarchy::Lockout) => format!(
                "the old authorization value of the {name} hierarchy is wrong; until its recovery time has passed \
                 (`tpmctl info`) the TPM takes no other for it: {}",
                self.error
            ),
            (true, _) => format!(
                "the old authorization value of the {name} hierarchy is wrong: {}",
                self.error
            ),
            (false, _) => format!("the {name} hierarchy: {}", self.error),
        };
        let changed = outcome.changed();
        if !changed.is_empty() {
            text += &format!("; set before that: {}", changed.join(", "));
        }
        if let Some(path) = made {
            // Only who refuses has certainly not taken the value.
            if changed.is_empty() && self.error.code().is_some() {
                let _ = fs::remove_file(path);
            } else {
                text += &format!("; keep {}, whose value may count now", path.display());
            }
        }
        Error::new(text)
    }
}

impl Hierarchy {
    /// Its handle.
    pub(crate) fn handle(self) -> u32 {
        match self {
            Self::Lockout => handle::LOCKOUT,
            Self::Endorsement => handle::ENDORSEMENT,
            Self::Owner => handle::OWNER,
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lockout => "lockout",
            Self::Endorsement => "endorsement",
            Self::Owner => "owner",
        }
    }

    /// Of `TPM_PT_PERMANENT`.
    pub(crate) fn bit(self) -> u32 {
        match self {
            Self::Lockout => property::PERMANENT_LOCKOUT_AUTH_SET,
            Self::Endorsement => property::PERMANENT_ENDORSEMENT_AUTH_SET,
            Self::Owner => property::PERMANENT_OWNER_AUTH_SET,
        }
    }
}

/// The value in a file's first line.
pub(crate) fn secret_in(path: &Path) -> Result<Secret, Error> {
    let secret = read_secret(&format!("file:{}", path.display()))?;
    match secret.is_empty() {
        false => Ok(secret),
        true => Err(Error::new(format!(
            "the first line of {} is empty, and no authorization value",
            path.display()
        ))),
    }
}

/// Makes up a value and has it on the disk before anybody uses it.
pub(crate) fn make_up(path: &Path) -> Result<Secret, Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let failed = |error: io::Error| {
        Error::new(format!(
            "{} cannot be written: {error}; nothing was changed",
            path.display()
        ))
    };
    let mut bytes = Zeroizing::new([0; RANDOM]);
    crypto::random(&mut *bytes).map_err(|error| Error::new(error.to_string()))?;
    let mut line = Zeroizing::new(Vec::with_capacity(2 * RANDOM + 1));
    for byte in *bytes {
        line.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
    }
    let secret = Secret::from(line.as_slice());
    line.push(b'\n');
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    file.write_all(&line)
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(|error| {
            let _ = fs::remove_file(path);
            failed(error)
        })?;
    Ok(secret)
}
