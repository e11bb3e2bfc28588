//! Settings: the environment as it was at init, and the provider's section of openssl.cnf, to which
//! `-provparam` of OpenSSL 3.5 and `OSSL_PROVIDER_add_conf_parameter` may add after init.

use std::ffi::{CStr, c_char};
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Core, Error, Reason, exit};
use crate::crypto::{Digest, Hash};
use crate::key::trust::{self, Root};
use crate::key::{self, Config, ParentRule};
use crate::tss::tpm2::Sessions;
use crate::tss::transport::{Address, Hold, Limits, Origin};
use crate::{Secret, log_setup};

/// When a key is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Load {
    /// At the first private operation: loading works without a TPM.
    #[default]
    Lazy,
    /// When it is loaded: opened, loaded, one verified signature, and released again.
    Eager,
}

/// Our variables and the root directory as they are at init: a worker of nginx has lost them when it first needs a key.
pub(crate) struct Environment {
    tcti: Variable,
    tcti12: Variable,
    tcsd_hostname: Variable,
    tcsd_port: Variable,
    parent_auth: Variable<Zeroizing<String>>,
    log: Variable,
    root: Root,
}

/// A variable's value, or why it does not count.
type Variable<T = String> = Result<Option<T>, Error>;

impl Environment {
    /// Reads the variables.
    pub(crate) fn read() -> Self {
        Self {
            tcti: environment(c"TPM_TCTI"),
            tcti12: environment(c"TPM12_TCTI"),
            tcsd_hostname: environment(c"TSS_TCSD_HOSTNAME"),
            tcsd_port: environment(c"TSS_TCSD_PORT"),
            parent_auth: environment(c"TPM_PARENT_AUTH").map(|value| value.map(Zeroizing::new)),
            log: environment(c"TPM_LOG"),
            root: Root::now(),
        }
    }
}

/// What the door itself needs to know.
#[derive(Default)]
pub(crate) struct Settings {
    /// When keys are checked.
    pub(crate) load: Load,
    /// Whether anything is said of a log, `off` included.
    pub(crate) has_log: bool,
}

/// The settings there are.
const KEYS: [&CStr; 14] = [
    c"log",
    c"load",
    c"verify",
    c"sessions",
    c"tcti",
    c"tcti12",
    c"srk-auth",
    c"parent-name",
    c"trust-dir",
    c"parent-auth",
    c"pin-source",
    c"timeout",
    c"lock-timeout",
    c"chroot",
];

/// What a section said at one time, to notice later that it has changed.
#[derive(PartialEq, Eq)]
pub(crate) struct Section(Vec<u8>);

impl Section {
    /// Reads everything that [`Settings::read`] looks at.
    pub(crate) fn read(core: &Core) -> Self {
        let mut digest = Digest::new(Hash::Sha256);
        for key in KEYS.into_iter().chain(MISTAKES.map(|(key, _)| key)) {
            // The two ends tell a missing value from an empty one, and one value from its neighbour.
            match core.setting(key).map(Zeroizing::new) {
                Some(value) => {
                    digest.update(value.as_bytes());
                    digest.update(b"\0+");
                }
                None => digest.update(b"\0-"),
            }
        }
        Self(digest.finish())
    }
}

/// Names that are not settings and look like one; OpenSSL gives no list of what a section holds,
/// so these are the mistakes that can be noticed.
const MISTAKES: [(&CStr, &str); 17] = [
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
    (c"srk_auth", "srk-auth"),
    (c"log_level", "log"),
    (c"session", "sessions"),
    (c"pin", "pin-source"),
    (c"pin_source", "pin-source"),
    (c"pinsource", "pin-source"),
];

impl Settings {
    /// Reads the section; a variable goes before its setting.
    pub(crate) fn read(&mut self, core: &Core, environment: &Environment) -> Result<Config, Error> {
        let level = environment.log.clone()?.or_else(|| core.setting(c"log"));
        self.has_log = level.is_some();
        if let Some(level) = level {
            log_setup::enable(&level)
                .map_err(|levels| bad("log", &level, &format!("one of {levels}")))?;
        }
        for (mistake, meant) in MISTAKES {
            if core.setting(mistake).is_some() {
                return Err(Error::new(
                    Reason::BadSetting,
                    format!(
                        "the provider's section in openssl.cnf has {}, which is not a setting: say {meant}",
                        mistake.to_string_lossy()
                    ),
                ));
            }
        }
        self.load = choice(
            core,
            c"load",
            &[("lazy", Load::Lazy), ("eager", Load::Eager)],
        )?
        .unwrap_or_default();
        let verify = choice(core, c"verify", &[("on", true), ("off", false)])?.unwrap_or(true);
        let sessions = choice(
            core,
            c"sessions",
            &[
                ("auto", Sessions::Auto),
                ("always", Sessions::Always),
                ("never", Sessions::Never),
            ],
        )?
        .unwrap_or(Sessions::Auto);
        Ok(Config {
            address: address(
                core,
                environment,
                &environment.tcti,
                "TPM_TCTI",
                c"tcti",
                "tcti",
            )?,
            address12: address(
                core,
                environment,
                &environment.tcti12,
                "TPM12_TCTI",
                c"tcti12",
                "tcti12",
            )?,
            sessions,
            parent_name: parent_name(core)?,
            trust_dir: trust_dir(core)?,
            root: environment.root,
            parent_auth: parent_auth(core, environment)?,
            srk_auth: srk_auth(core)?,
            pin_source: pin_source(core)?,
            verify,
            limits: limits(core)?,
            hold: choice(
                core,
                c"chroot",
                &[
                    ("private", Hold::Private),
                    ("directory", Hold::Directory),
                    ("nothing", Hold::Nothing),
                ],
            )?
            .unwrap_or_default(),
            on_open: exit::register,
        })
    }
}

/// The address in a variable, else in a setting. What one of tcsd leaves out is in the variables that TrouSerS'
/// clients read.
fn address(
    core: &Core,
    environment: &Environment,
    value: &Variable,
    variable: &'static str,
    key: &CStr,
    setting: &'static str,
) -> Result<Option<(Address, Origin)>, Error> {
    let (text, origin) = match value.clone()? {
        Some(text) => (text, Origin::Environment(variable)),
        None => match core.setting(key) {
            Some(text) => (text, Origin::Setting(setting)),
            None => return Ok(None),
        },
    };
    let (hostname, port) = match text.starts_with("tcsd") {
        true => (
            environment.tcsd_hostname.clone()?,
            environment.tcsd_port.clone()?,
        ),
        false => (None, None),
    };
    let parsed = Address::with_tcsd_variables(&text, hostname.as_deref(), port.as_deref());
    let address = parsed.map_err(|error| {
        Error::new(
            Reason::BadSetting,
            format!("the TPM address {text:?} {origin}: {error}"),
        )
    })?;
    Ok(Some((address, origin)))
}

fn parent_auth(core: &Core, environment: &Environment) -> Result<Secret, Error> {
    match environment
        .parent_auth
        .clone()?
        .or_else(|| core.setting(c"parent-auth").map(Zeroizing::new))
    {
        Some(value) => Ok(key::read_secret(&value)?),
        None => Ok(Secret::empty()),
    }
}

fn srk_auth(core: &Core) -> Result<Option<Secret>, Error> {
    let value = core.setting(c"srk-auth").map(Zeroizing::new);
    Ok(value.map(|value| key::read_secret(&value)).transpose()?)
}

/// Not a value, which would stand in a file that everybody may read, and not read before a key needs it.
fn pin_source(core: &Core) -> Result<Option<String>, Error> {
    let Some(text) = core.setting(c"pin-source") else {
        return Ok(None);
    };
    let path = text.strip_prefix("file:").unwrap_or_default();
    if path.is_empty() && text != key::NONE {
        // The text may be a PIN: it is not repeated.
        return Err(Error::new(
            Reason::BadSetting,
            format!(
                "pin-source in the provider's section of openssl.cnf is neither file:PATH nor {}",
                key::NONE
            ),
        ));
    }
    Ok(Some(text))
}

fn parent_name(core: &Core) -> Result<ParentRule, Error> {
    let Some(text) = core.setting(c"parent-name") else {
        return Ok(ParentRule::Any);
    };
    ParentRule::parse(&text).ok_or_else(|| bad("parent-name", &text, ParentRule::EXPECTED))
}

fn trust_dir(core: &Core) -> Result<PathBuf, Error> {
    let Some(text) = core.setting(c"trust-dir") else {
        return Ok(trust::DEFAULT_DIR.into());
    };
    let path = PathBuf::from(&text);
    match path.is_absolute() {
        true => Ok(path),
        // The host's directory is anywhere.
        false => Err(bad("trust-dir", &text, "the absolute path of a directory")),
    }
}

fn limits(core: &Core) -> Result<Limits, Error> {
    let mut limits = Limits::default();
    for (key, field) in [
        (c"timeout", &mut limits.command_wait),
        (c"lock-timeout", &mut limits.lock_wait),
    ] {
        let Some(text) = core.setting(key) else {
            continue;
        };
        let seconds = text
            .trim()
            .parse::<u64>()
            .ok()
            .filter(|seconds| (1..=3600).contains(seconds));
        *field = Duration::from_secs(seconds.ok_or_else(|| {
            bad(
                &key.to_string_lossy(),
                &text,
                "a number of seconds from 1 to 3600",
            )
        })?);
    }
    Ok(limits)
}

fn choice<T: Copy>(core: &Core, key: &CStr, choices: &[(&str, T)]) -> Result<Option<T>, Error> {
    let Some(text) = core.setting(key) else {
        return Ok(None);
    };
    match choices.iter().find(|(name, _)| *name == text.trim()) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            Err(bad(&key.to_string_lossy(), &text, &names.join(" or ")))
        }
    }
}

fn bad(key: &str, value: &str, expected: &str) -> Error {
    Error::new(
        Reason::BadSetting,
        format!(
            "{key} = {value:?} in the provider's section of openssl.cnf or in the environment: expected {expected}"
        ),
    )
}

// glibc has it and the libc crate does not.
unsafe extern "C" {
    fn secure_getenv(name: *const c_char) -> *mut c_char;
}

/// A variable of ours. Privileged programs must not be steered by their caller's environment; that
/// a variable is there and does not count is said, since another TPM would be used than was meant.
fn environment(name: &CStr) -> Result<Option<String>, Error> {
    // SAFETY: the name is a C string; the answer, if not NULL, is one too and is copied at once,
    // as OpenSSL's own reading of its variables does.
    let (trusted, present) = unsafe { (secure_getenv(name.as_ptr()), libc::getenv(name.as_ptr())) };
    if trusted.is_null() {
        if present.is_null() {
            return Ok(None);
        }
        return Err(Error::new(
            Reason::BadSetting,
            format!(
                "{} is set in the environment of a privileged program and is not trusted there: \
                 unset it, and use the provider's section in openssl.cnf",
                name.to_string_lossy()
            ),
        ));
    }
    // SAFETY: not NULL, as just checked; see above.
    let value = unsafe { CStr::from_ptr(trusted) };
    Ok(Some(value.to_string_lossy().into_owned()).filter(|value| !value.is_empty()))
}
