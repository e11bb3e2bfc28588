//! The table: what settings there are, what each may be, and what is made of it.

use std::ffi::CStr;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use super::super::credential::{PIN_SOURCES, is_pin_source};
use super::super::log_setup::Target;
use super::super::read_secret;
use super::super::trust::ParentRule;
use super::super::uri::{Handle, HandleKind};
use super::{Fault, Load, Said, Settings};
use crypto::Secret;
use tss::os::Hold;
use tss::tpm2::Sessions;
use tss::transport::{Address, Origin};

/// A setting. A new one gets a line in [`SETTINGS`] and a section in tpm-provider(7), which a test compares.
pub struct Setting {
    /// Its name in the provider's section of openssl.cnf.
    pub key: &'static CStr,
    /// The variable of the environment that comes before it.
    pub variable: Option<&'static CStr>,
    /// What it may be, in the words of the manual's heading.
    pub values: &'static str,
    /// Whether the value is a secret or may be mistaken for one: it is not shown then.
    pub is_secret: bool,
    /// Whether the value leads to a secret that is read with the settings.
    pub reads_secret: bool,
    /// Whether it is the PKCS#11 front end's alone, and stands in no section of openssl.cnf.
    pub of_pkcs11: bool,
    pub(super) apply: fn(&Said<'_>, &mut Settings) -> Result<(), Fault>,
}

impl Setting {
    const fn new(
        key: &'static CStr,
        values: &'static str,
        apply: fn(&Said<'_>, &mut Settings) -> Result<(), Fault>,
    ) -> Self {
        Self {
            key,
            variable: None,
            values,
            is_secret: false,
            reads_secret: false,
            of_pkcs11: false,
            apply,
        }
    }

    const fn after(mut self, variable: &'static CStr) -> Self {
        self.variable = Some(variable);
        self
    }

    const fn unshown(mut self) -> Self {
        self.is_secret = true;
        self
    }

    const fn of_pkcs11(mut self) -> Self {
        self.of_pkcs11 = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.reads_secret = true;
        self.unshown()
    }
}

/// All settings. The log comes first, so that what is wrong with another one is logged.
pub const SETTINGS: [Setting; 18] = [
    Setting::new(c"log", "off | error | warn | info | debug | trace", log).after(c"TPM_LOG"),
    Setting::new(c"log-to", "stderr | syslog | journal | file:PATH", log_to),
    Setting::new(c"load", "lazy | eager", load),
    Setting::new(c"verify", "on | off", verify),
    Setting::new(c"sessions", "auto | always | never", sessions),
    Setting::new(c"tcti", "ADDRESS", tcti).after(c"TPM_TCTI"),
    Setting::new(c"tcti12", "ADDRESS", tcti12).after(c"TPM12_TCTI"),
    Setting::new(c"parent-name", "NAME | first-use", parent_name),
    Setting::new(c"trust-dir", "DIRECTORY", trust_dir),
    Setting::new(c"parent-auth", "VALUE", parent_auth)
        .after(c"TPM_PARENT_AUTH")
        .secret(),
    Setting::new(c"srk-auth", "VALUE", srk_auth).secret(),
    Setting::new(c"pin-source", "file:PATH | credential:NAME", pin_source).unshown(),
    Setting::new(c"policy-dir", "DIRECTORY", policy_dir),
    Setting::new(c"timeout", "SECONDS", timeout),
    Setting::new(c"lock-timeout", "SECONDS", lock_timeout),
    Setting::new(c"chroot", "private | directory | nothing", chroot),
    Setting::new(c"key-dirs", "DIRECTORY[:DIRECTORY...]", key_dirs)
        .after(c"TPM_KEY_DIRS")
        .of_pkcs11(),
    Setting::new(c"key-handles", "URI [URI...]", key_handles).of_pkcs11(),
];

/// Names that are not settings and look like one, and what is meant. OpenSSL gives a provider no list of what its
/// section holds, so these are the mistakes that the provider notices.
pub const MISTAKES: [(&CStr, &str); 20] = [
    (c"TCTI", "tcti"),
    (c"tpm_tcti", "tcti"),
    (c"TPM_TCTI", "tcti"),
    (c"TPM12_TCTI", "tcti12"),
    (c"tpm12_tcti", "tcti12"),
    (c"srkauth", "srk-auth"),
    (c"device", "tcti = device:/dev/tpmrm0"),
    (c"parent_auth", "parent-auth"),
    (c"parentauth", "parent-auth"),
    (c"parent_name", "parent-name"),
    (c"trust_dir", "trust-dir"),
    (c"policy_dir", "policy-dir"),
    (c"srk_auth", "srk-auth"),
    (c"log_level", "log"),
    (c"log_to", "log-to"),
    (c"logfile", "log-to = file:PATH"),
    (c"session", "sessions"),
    (c"pin", "pin-source"),
    (c"pin_source", "pin-source"),
    (c"pinsource", "pin-source"),
];

/// One of some words, blanks around it aside.
fn choice<T: Copy>(said: &Said<'_>, choices: &[(&str, T)]) -> Result<T, Fault> {
    let text = said.text.trim();
    let chosen = choices.iter().find(|(name, _)| *name == text);
    chosen.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let (last, others) = names.split_last().unwrap_or((&"", &[]));
        said.expected(&format!("{} or {last}", others.join(", ")))
    })
}

fn log(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.log = Some(choice(
        said,
        &[
            ("off", LevelFilter::Off),
            ("error", LevelFilter::Error),
            ("warn", LevelFilter::Warn),
            ("info", LevelFilter::Info),
            ("debug", LevelFilter::Debug),
            ("trace", LevelFilter::Trace),
        ],
    )?);
    Ok(())
}

fn log_to(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    let target = Target::parse(said.text.trim());
    settings.log_to = Some(target.ok_or_else(|| {
        said.expected("stderr, syslog, journal or file: and the absolute path of a file")
    })?);
    Ok(())
}

fn load(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.load = choice(said, &[("lazy", Load::Lazy), ("eager", Load::Eager)])?;
    Ok(())
}

fn verify(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.config.verify = choice(said, &[("on", true), ("off", false)])?;
    Ok(())
}

fn sessions(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.config.sessions = choice(
        said,
        &[
            ("auto", Sessions::Auto),
            ("always", Sessions::Always),
            ("never", Sessions::Never),
        ],
    )?;
    Ok(())
}

fn chroot(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.config.hold = choice(
        said,
        &[
            ("private", Hold::Private),
            ("directory", Hold::Directory),
            ("nothing", Hold::Nothing),
        ],
    )?;
    Ok(())
}

fn tcti(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.config.address = Some(address(said)?);
    Ok(())
}

fn tcti12(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.config.address12 = Some(address(said)?);
    Ok(())
}

/// What an address of tcsd leaves out is in the variables that TrouSerS' clients read.
fn address(said: &Said<'_>) -> Result<(Address, Origin), Fault> {
    let variable = |name: &CStr| match said.text.starts_with("tcsd") {
        true => said
            .source
            .variable(name)
            .map_err(|text| Fault::new(said.setting.name(), text)),
        false => Ok(None),
    };
    let (hostname, port) = (variable(c"TSS_TCSD_HOSTNAME")?, variable(c"TSS_TCSD_PORT")?);
    let (hostname, port) = (
        hostname.as_deref().map(String::as_str),
        port.as_deref().map(String::as_str),
    );
    Address::with_tcsd_variables(said.text, hostname, port)
        .map(|address| (address, said.origin.clone()))
        .map_err(|error| {
            Fault::new(
                said.setting.name(),
                error.with_origin(said.origin.clone()).to_string(),
            )
        })
}

fn parent_name(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.config.parent_name =
        ParentRule::parse(said.text).ok_or_else(|| said.expected(ParentRule::EXPECTED))?;
    Ok(())
}

fn trust_dir(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.config.trust_dir = absolute(said)?;
    Ok(())
}

fn policy_dir(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.config.policy_dir = Some(absolute(said)?);
    Ok(())
}

/// The host's own directory is anywhere.
fn absolute(said: &Said<'_>) -> Result<PathBuf, Fault> {
    let path = PathBuf::from(said.text);
    match path.is_absolute() {
        true => Ok(path),
        false => Err(said.expected("the absolute path of a directory")),
    }
}

/// Several, a colon between.
fn key_dirs(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    let mut dirs = Vec::new();
    for part in said.text.split(':').map(str::trim) {
        let path = match part.strip_prefix("~/") {
            Some(rest) => match said.source.home() {
                Some(home) => home.join(rest),
                // Nobody's, as in a privileged program.
                None => continue,
            },
            None => PathBuf::from(part),
        };
        if !path.is_absolute() {
            return Err(said.expected(
                "the absolute paths of directories, or such as begin with ~/, a colon between two of them",
            ));
        }
        dirs.push(path);
    }
    settings.key_dirs = Some(dirs);
    Ok(())
}

/// Several, blanks between.
fn key_handles(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    let uris = said.text.split_whitespace().map(|uri| {
        let handle = Handle::parse(uri).map_err(|error| said.fault(&error.to_string()))?;
        match handle.kind {
            HandleKind::Persistent => Ok(handle),
            _ => Err(said.expected("URIs of persistent keys, handle:0x81xxxxxx")),
        }
    });
    settings.key_handles = uris.collect::<Result<_, _>>()?;
    Ok(())
}

fn parent_auth(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.config.parent_auth = secret(said)?;
    Ok(())
}

fn srk_auth(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.config.srk_auth = Some(secret(said)?);
    Ok(())
}

fn secret(said: &Said<'_>) -> Result<Secret, Fault> {
    read_secret(said.text).map_err(|error| said.fault(&error.to_string()))
}

/// Not a value, which would stand in a file that everybody may read, and not read before a key needs it.
fn pin_source(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    if !is_pin_source(said.text) {
        return Err(said.expected(PIN_SOURCES));
    }
    settings.config.pin_source = Some(said.text.to_owned());
    Ok(())
}

fn timeout(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.config.limits.command_wait = seconds(said)?;
    Ok(())
}

fn lock_timeout(said: &Said<'_>, settings: &mut Settings) -> Result<(), Fault> {
    settings.config.limits.lock_wait = seconds(said)?;
    Ok(())
}

fn seconds(said: &Said<'_>) -> Result<Duration, Fault> {
    match said.text.trim().parse() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err(said.expected("a number of seconds from 1 to 3600")),
    }
}
