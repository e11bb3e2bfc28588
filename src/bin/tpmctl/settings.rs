//! Which TPM and how: the command line, then the environment, then the provider's section of
//! openssl.cnf, as the provider itself reads them.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tpm_provider::key::{Config, ParentRule, Tpm, read_secret};
use tpm_provider::log_setup;
use tpm_provider::tss::tpm2::{Client, Sessions};
use tpm_provider::tss::transport::{Address, Origin};

use crate::cli::Global;
use crate::cnf::{self, Found};
use crate::error::Error;

/// A TPM that was named or found, and the file that named it.
pub(crate) struct Chosen {
    /// The TPM.
    pub(crate) tpm: Arc<Tpm>,
    /// The configuration file, if the address is from one.
    pub(crate) file: Option<PathBuf>,
}

impl Chosen {
    /// The client, for a TPM that is a TPM 2.0 as far as that is known without a command.
    pub(crate) fn client(&self) -> Result<&Arc<Client>, Error> {
        if self.tpm.is_tpm12() {
            return Err(tpm12(self));
        }
        Ok(self.tpm.client()?)
    }
}

/// What a command that is for TPM 2.0 alone says of a TPM 1.2.
pub(crate) fn tpm12(chosen: &Chosen) -> Error {
    let place = chosen.tpm.meant().map_or_else(
        |_| String::new(),
        |endpoint| format!("TPM {} ({}): ", endpoint.address(), endpoint.origin()),
    );
    Error::new(format!(
        "{place}this is a TPM 1.2, which this command does not support"
    ))
}

/// Turns on logging: TPM_LOG, or more with each `-v`.
pub(crate) fn log(verbose: u8) -> Result<(), Error> {
    if let Some(level) = variable("TPM_LOG")? {
        log_setup::enable(&level).map_err(|levels| {
            Error::new(format!(
                "TPM_LOG is {level:?} in the environment; it is one of {levels}"
            ))
        })?;
    }
    let level = match verbose {
        0 => return Ok(()),
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    log_setup::enable(level).map_err(Error::new)
}

/// The TPM of a command that needs no secret. The parent's secret is left alone: its file may be one
/// that only the service can read.
pub(crate) fn tpm(global: &Global) -> Result<Chosen, Error> {
    choose(global, Parent::Unused)
}

/// The TPM of a command that uses a parent.
pub(crate) fn tpm_with_parent(global: &Global) -> Result<Chosen, Error> {
    choose(global, Parent::Named)
}

/// The TPM of a command that asks for the names of parents: any name is an answer.
pub(crate) fn tpm_with_any_parent(global: &Global) -> Result<Chosen, Error> {
    choose(global, Parent::Any)
}

/// Which TPM the command line, the environment or the file that was `found` names for all keys; nothing if
/// nobody does.
pub(crate) fn named(global: &Global, found: &Found) -> Result<Option<(Address, Origin)>, Error> {
    if let Some(address) = &global.tcti {
        return Ok(Some((address.clone(), Origin::CommandLine)));
    }
    if let Some(named) = either(found, "TPM_TCTI", "tcti")? {
        return Ok(Some(named));
    }
    // A file that is named and cannot be read might have named another TPM than detection finds.
    match &found.problem {
        Some(problem) => Err(Error::new(format!(
            "{problem}; say with --tcti which TPM is meant"
        ))),
        None => Ok(None),
    }
}

/// Which TPM is named for the keys of TPM 1.2.
pub(crate) fn named12(found: &Found) -> Result<Option<(Address, Origin)>, Error> {
    either(found, "TPM12_TCTI", "tcti12")
}

/// The configuration file, if it is where an address comes from.
pub(crate) fn source<'a>(origin: &Origin, found: &'a Found) -> Option<&'a Path> {
    match origin {
        Origin::Setting(_) => found.file.as_deref(),
        _ => None,
    }
}

/// The address in a variable of the environment, else in a setting.
fn either(
    found: &Found,
    name: &'static str,
    key: &'static str,
) -> Result<Option<(Address, Origin)>, Error> {
    let (text, origin) = if let Some(text) = variable(name)? {
        (text, Origin::Environment(name))
    } else if let Some(text) = setting(found, key) {
        (text.clone(), Origin::Setting(key))
    } else {
        return Ok(None);
    };
    Ok(Some((address(&text, &origin)?, origin)))
}

/// Where the names of trusted parents are, if the settings say `parent-name = first-use`.
pub(crate) fn first_use(found: &Found) -> Option<PathBuf> {
    let rule = setting(found, "parent-name").and_then(|text| ParentRule::parse(text));
    if rule != Some(ParentRule::FirstUse) {
        return None;
    }
    match setting(found, "trust-dir") {
        Some(text) => trust_dir(text).ok(),
        None => Some(Config::default().trust_dir),
    }
}

fn setting<'a>(found: &'a Found, name: &str) -> Option<&'a String> {
    let section = found.section.as_ref()?;
    section.get(name).filter(|value| !value.is_empty())
}

/// What a command has to do with parents.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parent {
    /// Nothing.
    Unused,
    /// Uses one, which has the name that the settings demand.
    Named,
    /// Uses any.
    Any,
}

fn choose(global: &Global, parent: Parent) -> Result<Chosen, Error> {
    let found = cnf::provider_section();
    let setting = |name: &str| setting(&found, name);
    let address = named(global, &found)?;
    let file = address
        .as_ref()
        .and_then(|(_, origin)| source(origin, &found))
        .map(PathBuf::from);
    // What the command line names is meant for every key.
    let address12 = match &address {
        Some((_, Origin::CommandLine)) => None,
        _ => named12(&found)?,
    };
    let mut config = Config {
        address,
        address12,
        ..Config::default()
    };
    for (name, limit) in [
        ("timeout", &mut config.limits.command_wait),
        ("lock-timeout", &mut config.limits.lock_wait),
    ] {
        if let Some(text) = setting(name) {
            *limit = seconds(name, text)?;
        }
    }
    if let Some(text) = setting("trust-dir") {
        config.trust_dir = trust_dir(text)?;
    }
    if parent == Parent::Named
        && let Some(text) = setting("parent-name")
    {
        config.parent_name = parent_name(text)?;
    }
    if parent != Parent::Unused {
        config.sessions = sessions(setting("sessions"))?;
        let value = match &global.parent_auth {
            Some(value) => Some(value.clone()),
            None => variable("TPM_PARENT_AUTH")?.or_else(|| setting("parent-auth").cloned()),
        };
        if let Some(value) = value {
            config.parent_auth = read_secret(&value)?;
        }
        config.srk_auth = match &global.parent_auth {
            // A storage root key is a parent.
            Some(_) => Some(config.parent_auth.clone()),
            None => setting("srk-auth")
                .map(|value| read_secret(value))
                .transpose()?,
        };
    }
    Ok(Chosen {
        tpm: Tpm::new(config)?,
        file,
    })
}

/// A variable of ours; set and empty is as good as unset.
fn variable(name: &str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Error::new(format!(
            "{name} in the environment is not text in UTF-8"
        ))),
    }
}

fn address(text: &str, origin: &Origin) -> Result<Address, Error> {
    let (hostname, port) = match text.starts_with("tcsd") {
        true => (variable("TSS_TCSD_HOSTNAME")?, variable("TSS_TCSD_PORT")?),
        false => (None, None),
    };
    Address::with_tcsd_variables(text, hostname.as_deref(), port.as_deref())
        .map_err(|error| Error::new(error.with_origin(origin.clone()).to_string()))
}

fn sessions(text: Option<&String>) -> Result<Sessions, Error> {
    match text.map(|text| text.trim()) {
        None | Some("auto") => Ok(Sessions::Auto),
        Some("always") => Ok(Sessions::Always),
        Some("never") => Ok(Sessions::Never),
        Some(other) => Err(Error::new(format!(
            "sessions = {other:?} in the provider's openssl.cnf section: it is auto, always or never"
        ))),
    }
}

fn seconds(name: &str, text: &str) -> Result<Duration, Error> {
    match text.trim().parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err(Error::new(format!(
            "{name} = {text:?} in the provider's openssl.cnf section: it is a number of seconds from 1 to 3600"
        ))),
    }
}

fn parent_name(text: &str) -> Result<ParentRule, Error> {
    ParentRule::parse(text).ok_or_else(|| {
        Error::new(format!(
            "parent-name = {text:?} in the provider's openssl.cnf section: it is {}",
            ParentRule::EXPECTED
        ))
    })
}

fn trust_dir(text: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(text);
    match path.is_absolute() {
        true => Ok(path),
        false => Err(Error::new(format!(
            "trust-dir = {text:?} in the provider's openssl.cnf section: it is the absolute path of a directory"
        ))),
    }
}
