//! Which TPM and how: the command line, then the environment, then the provider's section of
//! openssl.cnf, as the provider itself reads them.

use std::env;
use std::ffi::{CStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crypto::Secret;
use keys::config::{Fault, SETTINGS, Setting, Settings, Source};
use keys::{Family, ParentRule, Tpm, log_setup, read_secret};
use log::LevelFilter;
use tss::tpm2::{Client, Sessions};
use tss::transport::Origin;
use zeroize::Zeroizing;

use crate::cli::Global;
use crate::cnf::{self, Found};
use crate::error::Error;
use crate::interrupt;

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
        if self.tpm.family() == Some(Family::Tpm12) {
            return Err(tpm12(self));
        }
        Ok(self.tpm.client()?)
    }
}

/// Where who has a TPM 1.2 goes on.
pub(crate) const ELSEWHERE: &str = "which this command does not support; `tpmctl info`, version, selftest, doctor, flush, owner, \
     state, ek, nv, counter, pcr, lockout, random, seal and key do";

/// What a command that is for TPM 2.0 alone says of a TPM 1.2.
pub(crate) fn tpm12(chosen: &Chosen) -> Error {
    let place = chosen.tpm.meant().map_or_else(
        |_| String::new(),
        |endpoint| format!("TPM {} ({}): ", endpoint.address(), endpoint.origin()),
    );
    Error::new(format!("{place}this is a TPM 1.2, {ELSEWHERE}"))
}

/// Turns on logging: TPM_LOG, or more with each `-v`. What a section says of a log is for what uses the provider.
pub(crate) fn log(verbose: u8) -> Result<(), Error> {
    struct Variables;
    impl Source for Variables {
        fn setting(&self, _: &CStr) -> Option<Zeroizing<String>> {
            None
        }

        fn variable(&self, name: &CStr) -> Result<Option<Zeroizing<String>>, String> {
            variable(name)
        }

        fn wants(&self, setting: &Setting) -> bool {
            setting.key == c"log"
        }
    }
    let mut settings = Settings::default();
    settings.read(&Variables)?;
    log_setup::enable(settings.log.unwrap_or(LevelFilter::Off), None);
    let level = match verbose {
        0 => LevelFilter::Off,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    log_setup::enable(level, None);
    Ok(())
}

/// The TPM of a command that needs no secret. The parent's secret is left alone: its file may be one
/// that only the service can read.
pub(crate) fn tpm(global: &Global) -> Result<Chosen, Error> {
    choose(global, Parent::Unused, None)
}

/// The TPM of a command that uses a parent.
pub(crate) fn tpm_with_parent(global: &Global) -> Result<Chosen, Error> {
    choose(global, Parent::Named, None)
}

/// The same where somebody has said what the owner's authorization value is; it takes the place of the settings'.
pub(crate) fn tpm_with_owner(global: &Global, owner: Option<&Secret>) -> Result<Chosen, Error> {
    choose(global, Parent::Named, owner)
}

/// The TPM of a command that asks for the names of parents: any name is an answer.
pub(crate) fn tpm_with_any_parent(global: &Global) -> Result<Chosen, Error> {
    choose(global, Parent::Any, None)
}

/// The configuration file, if it is where an address comes from.
pub(crate) fn source<'a>(origin: &Origin, found: &'a Found) -> Option<&'a Path> {
    match origin {
        Origin::Setting(_) => found.file.as_deref(),
        _ => None,
    }
}

/// The settings that were `found` and everything that is wrong with them, for [`doctor`](crate::doctor). Of secrets
/// what can be read: a service's files are not everybody's.
pub(crate) fn examine(global: &Global, found: &Found) -> (Settings, Vec<Fault>) {
    let said = Said {
        found,
        global,
        secrets: Secrets::Readable,
    };
    let mut settings = Settings::default();
    let faults = settings.read_all(&said);
    (with_command_line(settings, global), faults)
}

/// The directories of key files that `key-dirs` names, which are PKCS#11's.
pub(crate) fn key_dirs() -> Vec<PathBuf> {
    let found = cnf::provider_section();
    let section = found.section.as_ref();
    let value = section.and_then(|section| section.get("key-dirs"));
    let dirs = value.into_iter().flat_map(|value| value.split(':'));
    dirs.filter(|dir| dir.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// The names that are set, each with where; for a reader who asks what counts.
pub(crate) fn set(found: &Found) -> Vec<(&'static Setting, Zeroizing<String>, Origin)> {
    let said = Said {
        found,
        global: &Global::default(),
        // Which are named, not what is in their files.
        secrets: Secrets::Wanted,
    };
    let value = |setting: &'static Setting| {
        let (value, origin) = setting.said(&said).ok()??;
        Some((setting, value, origin))
    };
    SETTINGS.iter().filter_map(value).collect()
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

fn choose(global: &Global, parent: Parent, owner: Option<&Secret>) -> Result<Chosen, Error> {
    // What comes next may leave something in the TPM if it is cut short.
    interrupt::hold()?;
    let found = cnf::provider_section();
    let mut settings = Settings::default();
    settings.read(&Said {
        found: &found,
        global,
        secrets: match parent {
            Parent::Unused => Secrets::Unread,
            _ => Secrets::Wanted,
        },
    })?;
    let mut config = with_command_line(settings, global).config;
    // A file that is there and cannot be read might have named another TPM than detection finds.
    if let (None, Some(problem)) = (&config.address, &found.problem) {
        return Err(Error::new(format!(
            "{problem}; say with --tcti which TPM is meant"
        )));
    }
    if parent != Parent::Named {
        config.parent_name = ParentRule::Any;
    }
    if parent == Parent::Unused {
        config.sessions = Sessions::Auto;
    } else if let Some(owner) = owner {
        config.parent_auth = owner.clone();
    } else if let Some(value) = &global.parent_auth {
        config.parent_auth = read_secret(value)?;
        // A storage root key is a parent.
        config.srk_auth = Some(config.parent_auth.clone());
    }
    let file = config
        .address
        .as_ref()
        .and_then(|(_, origin)| source(origin, &found))
        .map(PathBuf::from);
    Ok(Chosen {
        tpm: Tpm::new(config)?,
        file,
    })
}

/// What the command line names is meant for every key.
fn with_command_line(mut settings: Settings, global: &Global) -> Settings {
    if let Some(address) = &global.tcti {
        settings.config.address = Some((address.clone(), Origin::CommandLine));
    }
    settings
}

/// What is done about secrets in settings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    /// Nothing.
    Unread,
    /// They are read.
    Wanted,
    /// They are read unless this user may not.
    Readable,
}

/// The environment and the section that was found, where the command line does not say otherwise.
struct Said<'a> {
    found: &'a Found,
    global: &'a Global,
    secrets: Secrets,
}

impl Source for Said<'_> {
    fn setting(&self, key: &CStr) -> Option<Zeroizing<String>> {
        let value = self.found.section.as_ref()?.get(key.to_str().ok()?)?;
        Some(Zeroizing::new(value.to_owned()))
    }

    fn variable(&self, name: &CStr) -> Result<Option<Zeroizing<String>>, String> {
        variable(name)
    }

    fn wants(&self, setting: &Setting) -> bool {
        if setting.reads_secret {
            return match self.secrets {
                Secrets::Unread => false,
                Secrets::Wanted => self.global.parent_auth.is_none(),
                Secrets::Readable => !self.is_out_of_reach(setting),
            };
        }
        let names_a_tpm = [c"tcti", c"tcti12"].contains(&setting.key);
        let is_given = names_a_tpm && self.global.tcti.is_some();
        !(setting.of_pkcs11 || is_given)
    }
}

impl Said<'_> {
    /// Whether a secret is in a file that this user may not read.
    fn is_out_of_reach(&self, setting: &Setting) -> bool {
        let variable = setting.variable.map_or(Ok(None), variable);
        let value = variable
            .ok()
            .flatten()
            .or_else(|| self.setting(setting.key));
        let path = value.as_ref().and_then(|value| value.strip_prefix("file:"));
        path.is_some_and(|path| {
            let opened = std::fs::File::open(path);
            opened.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
        })
    }
}

/// A variable that others set for every program; set and empty is as good as unset.
pub(crate) fn environment(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// A variable of ours; set and empty is as good as unset.
fn variable(name: &CStr) -> Result<Option<Zeroizing<String>>, String> {
    let name = name.to_string_lossy();
    match env::var(&*name) {
        Ok(value) => Ok(Some(Zeroizing::new(value)).filter(|value| !value.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(format!("{name} in the environment is not text in UTF-8"))
        }
    }
}
