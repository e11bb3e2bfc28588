//! Settings: one table of them ([`SETTINGS`]), read from wherever a front end has them ([`Source`]).
//!
//! Whoever reads settings gets the same values, the same faults and the same words for them: the provider, which asks
//! OpenSSL's core, and `tpmctl`, which reads openssl.cnf. A variable of the environment comes before its setting.
#![forbid(unsafe_code)]

mod choice;
mod table;

use std::ffi::CStr;
use std::path::PathBuf;

use log::LevelFilter;
use thiserror::Error as ThisError;
use zeroize::Zeroizing;

use super::log_setup::Target;
use super::trust::{self, ParentRule, Root};
use super::uri::Handle;
use crypto::Secret;
use tss::os::Hold;
use tss::tpm2::Sessions;
use tss::transport::{Address, Limits, Origin};

pub use table::{MISTAKES, SETTINGS, Setting};

/// Where tpm2-openssl is told its TPM.
pub const ADDRESS_OF_ANOTHER: &CStr = c"TPM2OPENSSL_TCTI";

/// How a TPM is used: by a provider instance, or by the command.
#[derive(Clone)]
pub struct Config {
    /// The address and where it came from; `None` means detection.
    pub address: Option<(Address, Origin)>,
    /// The same for keys of TPM 1.2; `None` means the other address, and detection without one.
    pub address12: Option<(Address, Origin)>,
    /// Whether the environment names a TPM for tpm2-openssl, which is not read: said where no TPM is found.
    pub address_of_another: bool,
    /// When secrets go through encrypted sessions.
    pub sessions: Sessions,
    /// Which parents are accepted.
    pub parent_name: ParentRule,
    /// Where the names of those are that were there first.
    pub trust_dir: PathBuf,
    /// Where signed policies are looked for when those of a key do not hold.
    pub policy_dir: Option<PathBuf>,
    /// The root directory in which that is meant: the host may have another one when the TPM is prepared.
    pub root: Root,
    /// The authorization value of parents.
    pub parent_auth: Secret,
    /// The secret of a TPM 1.2's storage root key, see [`srk_value`](super::srk_value); `None` for the well-known one.
    pub srk_auth: Option<Secret>,
    /// Where the value of a key is that needs one, when the program that loads it gives none: as [`super::read_secret`]
    /// reads it, at that moment.
    pub pin_source: Option<String>,
    /// Whether signatures are checked in software before they are handed out.
    pub verify: bool,
    /// How long to wait for the TPM.
    pub limits: Limits,
    /// What is kept of the way to the TPM once a key is loaded.
    pub hold: Hold,
    /// Called once, when the TPM is opened for the first time.
    pub on_open: fn(),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: None,
            address12: None,
            address_of_another: false,
            sessions: Sessions::Auto,
            parent_name: ParentRule::Any,
            trust_dir: trust::DEFAULT_DIR.into(),
            policy_dir: None,
            root: Root::now(),
            parent_auth: Secret::empty(),
            srk_auth: None,
            pin_source: None,
            verify: true,
            limits: Limits::default(),
            hold: Hold::default(),
            on_open: || {},
        }
    }
}

/// When a key is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Load {
    /// At the first private operation: loading works without a TPM.
    #[default]
    Lazy,
    /// When it is loaded: opened, loaded, one verified signature, and released again.
    Eager,
}

/// All settings.
#[derive(Default)]
pub struct Settings {
    /// How the TPM is used.
    pub config: Config,
    /// When keys are checked.
    pub load: Load,
    /// What is logged; `None` where nothing is said of it.
    pub log: Option<LevelFilter>,
    /// Where the log goes; `None` where nothing is said of it.
    pub log_to: Option<Target>,
    /// Where PKCS#11's keys are; `None` where nothing is said of it.
    pub key_dirs: Option<Vec<PathBuf>>,
    /// Persistent keys that are PKCS#11's, too.
    pub key_handles: Vec<Handle>,
}

/// Where settings come from.
pub trait Source {
    /// The value of a name in the provider's section of openssl.cnf.
    fn setting(&self, key: &CStr) -> Option<Zeroizing<String>>;

    /// What the program itself says of a setting when it starts us, which comes before the environment; and where.
    fn argument(&self, _: &CStr) -> Option<(Zeroizing<String>, String)> {
        None
    }

    /// Where [`Self::setting`] has a value from, in words, if that is not the provider's section of openssl.cnf.
    fn place(&self, _: &CStr) -> Option<String> {
        None
    }

    /// The value of a variable of the environment, or why it does not count. An empty one is as good as none.
    fn variable(&self, name: &CStr) -> Result<Option<Zeroizing<String>>, String>;

    /// The home directory of the user whose settings these are, if anybody's.
    fn home(&self) -> Option<PathBuf> {
        None
    }

    /// Whether this reader has a use for a setting. The file of a secret may be one that only a service can read.
    fn wants(&self, setting: &Setting) -> bool {
        !setting.of_pkcs11
    }
}

/// A setting that cannot be used: a sentence that says which, where it stands, and what it may be.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[error("{text}")]
pub struct Fault {
    setting: &'static str,
    text: String,
}

impl Fault {
    fn new(setting: &'static str, text: impl Into<String>) -> Self {
        Self {
            setting,
            text: text.into(),
        }
    }

    /// Whether it is about the value of the setting `key`.
    pub fn is_of(&self, key: &CStr) -> bool {
        self.setting.as_bytes() == key.to_bytes()
    }
}

/// A value, and where it stands.
pub(super) struct Said<'a> {
    setting: &'a Setting,
    text: &'a str,
    origin: Origin,
    source: &'a dyn Source,
}

impl Said<'_> {
    /// `tcti = "x" in the provider's openssl.cnf section`; a secret is not repeated.
    fn place(&self) -> String {
        let (name, at) = match &self.origin {
            Origin::Environment(name) => (*name, "in the environment".to_owned()),
            Origin::At(name, place) => (*name, format!("in {place}")),
            _ => (
                self.setting.name(),
                "in the provider's openssl.cnf section".to_owned(),
            ),
        };
        match self.setting.is_secret {
            true => format!("{name} {at}"),
            false => format!("{name} = {:?} {at}", self.text),
        }
    }

    fn fault(&self, what: &str) -> Fault {
        Fault::new(self.setting.name(), format!("{}: {what}", self.place()))
    }

    fn expected(&self, what: &str) -> Fault {
        self.fault(&format!("expected {what}"))
    }
}

impl Settings {
    /// What is logged: errors, where it is said only where to.
    pub fn level(&self) -> Option<LevelFilter> {
        let errors = self.log_to.as_ref().map(|_| LevelFilter::Error);
        self.log.or(errors)
    }

    /// Reads everything that `source` has, up to the first fault; what comes before it in [`SETTINGS`] counts.
    ///
    /// # Errors
    ///
    /// The first fault.
    pub fn read(&mut self, source: &dyn Source) -> Result<(), Fault> {
        for setting in &SETTINGS {
            setting.read(source, self)?;
        }
        self.look_for_another(source);
        misspelled(source).into_iter().next().map_or(Ok(()), Err)
    }

    /// Reads what can be read, and says everything that is wrong.
    pub fn read_all(&mut self, source: &dyn Source) -> Vec<Fault> {
        let mut faults: Vec<Fault> = SETTINGS
            .iter()
            .filter_map(|setting| setting.read(source, self).err())
            .collect();
        self.look_for_another(source);
        faults.extend(misspelled(source));
        faults
    }

    /// The variable may be there for the other provider, beside ours, so that it alone is no fault.
    fn look_for_another(&mut self, source: &dyn Source) {
        self.config.address_of_another = matches!(source.variable(ADDRESS_OF_ANOTHER), Ok(Some(_)));
    }
}

/// Names that are not settings and look like one.
fn misspelled(source: &dyn Source) -> Vec<Fault> {
    MISTAKES
        .iter()
        .filter(|(mistake, _)| source.setting(mistake).is_some())
        .map(|(mistake, meant)| Fault::new("", not_a_setting(&mistake.to_string_lossy(), meant)))
        .collect()
}

/// What is said of a name that is none of the settings, and of the one that seems to be meant.
pub fn not_a_setting(name: &str, meant: &str) -> String {
    format!("the provider's openssl.cnf section has {name:?}, which is not a setting: say {meant}")
}

impl Setting {
    /// Its name.
    pub fn name(&self) -> &'static str {
        // The table's names are ASCII.
        self.key.to_str().unwrap_or_default()
    }

    /// What `source` says of it, and where.
    pub fn said(&self, source: &dyn Source) -> Result<Option<(Zeroizing<String>, Origin)>, Fault> {
        if !source.wants(self) {
            return Ok(None);
        }
        if let Some((value, place)) = source.argument(self.key) {
            return Ok(Some((value, Origin::At(self.name(), place))));
        }
        if let Some(name) = self.variable {
            let value = source
                .variable(name)
                .map_err(|text| Fault::new(self.name(), text))?;
            if let Some(value) = value {
                let name = name.to_str().unwrap_or_default();
                return Ok(Some((value, Origin::Environment(name))));
            }
        }
        let value = source.setting(self.key);
        let origin = match source.place(self.key) {
            Some(place) => Origin::At(self.name(), place),
            None => Origin::Setting(self.name()),
        };
        Ok(value.map(|value| (value, origin)))
    }

    fn read(&self, source: &dyn Source, settings: &mut Settings) -> Result<(), Fault> {
        let Some((text, origin)) = self.said(source)? else {
            return Ok(());
        };
        let said = Said {
            setting: self,
            text: &text,
            origin,
            source,
        };
        (self.apply)(&said, settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A section and an environment.
    #[derive(Default)]
    struct Texts {
        section: BTreeMap<&'static str, &'static str>,
        environment: BTreeMap<&'static str, &'static str>,
    }

    fn value(map: &BTreeMap<&str, &str>, name: &CStr) -> Option<Zeroizing<String>> {
        let value = map.get(name.to_str().expect("ASCII"))?;
        Some(Zeroizing::new((*value).to_owned()))
    }

    impl Source for Texts {
        fn setting(&self, key: &CStr) -> Option<Zeroizing<String>> {
            value(&self.section, key)
        }

        fn variable(&self, name: &CStr) -> Result<Option<Zeroizing<String>>, String> {
            Ok(value(&self.environment, name))
        }
    }

    fn section<const N: usize>(lines: [(&'static str, &'static str); N]) -> Texts {
        Texts {
            section: lines.into(),
            ..Texts::default()
        }
    }

    fn fault(name: &'static str, value: &'static str) -> String {
        let source = section([(name, value)]);
        let all = Settings::default().read_all(&source);
        assert_eq!(all.len(), 1, "{name} = {value}: {all:?}");
        assert_eq!(Settings::default().read(&source).as_ref(), Err(&all[0]));
        all[0].to_string()
    }

    #[test]
    fn what_cannot_be_used_is_named_with_what_can() {
        for (name, value, expected) in [
            ("verify", "maybe", "expected on or off"),
            ("load", "now", "expected lazy or eager"),
            ("sessions", "Auto", "expected auto, always or never"),
            (
                "log",
                "loud",
                "expected off, error, warn, info, debug or trace",
            ),
            ("chroot", "", "expected private, directory or nothing"),
            ("parent-name", "000b", "first-use"),
            (
                "timeout",
                "90s",
                "expected a number of seconds from 1 to 3600",
            ),
            (
                "lock-timeout",
                "0",
                "expected a number of seconds from 1 to 3600",
            ),
            ("trust-dir", "trust", "absolute path"),
            (
                "log-to",
                "file:log",
                "expected stderr, syslog, journal or file: and the absolute path",
            ),
        ] {
            let text = fault(name, value);
            let start = format!("{name} = {value:?} in the provider's openssl.cnf section: ");
            assert!(text.starts_with(&start), "{text}");
            assert!(text.contains(expected), "{text}");
        }
        // Those of the other front end are not looked at here.
        let source = section([("key-dirs", "keys"), ("key-handles", "81000001")]);
        assert_eq!(Settings::default().read(&source), Ok(()));
        for (name, value, expected) in [
            ("tcti", "nosuchtcti", "device:PATH"),
            ("tcti12", "/dev/tpm0", "device:/dev/tpm0"),
        ] {
            let text = fault(name, value);
            let start = format!(
                "TPM address from {name} in the provider's openssl.cnf section: {value:?}: "
            );
            assert!(text.starts_with(&start), "{text}");
            assert!(text.contains(expected), "{text}");
        }
        // What may be a secret is not repeated.
        for (name, value) in [
            ("pin-source", "4711"),
            ("parent-auth", "47\n11"),
            ("srk-auth", "file:/nonexistent/4711"),
        ] {
            let text = fault(name, value);
            let start = format!("{name} in the provider's openssl.cnf section: ");
            assert!(text.starts_with(&start), "{text}");
            assert!(
                value.starts_with("file:") || !text.contains("4711"),
                "{text}"
            );
        }
        for (name, meant) in [("tpm_tcti", "say tcti"), ("session", "say sessions")] {
            let text = fault(name, "x");
            assert!(text.contains(name) && text.ends_with(meant), "{text}");
        }
    }

    /// It is no fault, since the other provider may be there too.
    #[test]
    fn the_address_for_another_provider_is_noticed() {
        for (value, noticed) in [(None, false), (Some("device:/dev/tpm9"), true)] {
            let source = Texts {
                environment: value
                    .map(|value| ("TPM2OPENSSL_TCTI", value))
                    .into_iter()
                    .collect(),
                ..Texts::default()
            };
            let mut settings = Settings::default();
            assert_eq!(settings.read(&source), Ok(()));
            assert_eq!(settings.config.address_of_another, noticed);
            assert!(settings.config.address.is_none());
        }
    }

    #[test]
    fn the_environment_comes_first() {
        let mut source = section([("tcti", "device:/dev/tpm0"), ("log", "off")]);
        source.environment = [
            ("TPM_TCTI", "tcsd"),
            ("TSS_TCSD_PORT", "30004"),
            ("TPM_LOG", "debug"),
        ]
        .into();
        let mut settings = Settings::default();
        settings.read(&source).unwrap();
        let (address, origin) = settings.config.address.unwrap();
        assert_eq!(address.to_string(), "tcsd:host=localhost,port=30004");
        assert_eq!(origin, Origin::Environment("TPM_TCTI"));
        assert_eq!(settings.log, Some(LevelFilter::Debug));
        source.environment = [("TPM_LOG", "loud")].into();
        let text = Settings::default().read(&source).unwrap_err().to_string();
        assert!(text.starts_with("TPM_LOG = \"loud\" in the environment: "));
    }

    #[test]
    fn values_are_taken_and_blanks_around_them_are_not() {
        let source = section([
            ("load", " eager "),
            ("verify", "off"),
            ("sessions", "never"),
            ("chroot", "directory"),
            ("timeout", "7 "),
            ("lock-timeout", "3600"),
            ("parent-name", "first-use"),
            ("trust-dir", "/run/trust"),
            ("pin-source", "file:/run/pin"),
            ("parent-auth", "none:"),
            ("activate", "1"),
        ]);
        let mut settings = Settings::default();
        settings.read(&source).unwrap();
        let config = settings.config;
        assert_eq!(settings.load, Load::Eager);
        assert_eq!((config.verify, config.sessions), (false, Sessions::Never));
        assert_eq!(config.hold, Hold::Directory);
        assert_eq!(config.limits.command_wait.as_secs(), 7);
        assert_eq!(config.limits.lock_wait.as_secs(), 3600);
        assert_eq!(config.parent_name, ParentRule::FirstUse);
        assert_eq!(config.trust_dir, PathBuf::from("/run/trust"));
        assert_eq!(config.pin_source.as_deref(), Some("file:/run/pin"));
        assert_eq!(settings.log, None);
    }

    /// tpm-provider(7) has a section for each setting, in the table's words, and none more; and what comes before it.
    #[test]
    fn the_manual_has_the_same_settings() {
        const PAGE: &str = include_str!("../../../../docs/tpm-provider.7.md");
        let configuration = PAGE
            .split("\n# ")
            .find(|part| part.starts_with("CONFIGURATION"));
        let mut sections = configuration.expect("the chapter").split("\n## ").skip(1);
        let mut documented = BTreeMap::new();
        for section in sections.by_ref() {
            let (heading, text) = section.split_once('\n').expect("a heading");
            if let Some((name, values)) = heading.split_once(" = ") {
                documented.insert(name, (values, text));
            }
        }
        for setting in &SETTINGS {
            let (values, text) = documented
                .remove(setting.name())
                .unwrap_or_else(|| panic!("the manual lacks {}", setting.name()));
            assert_eq!(values, setting.values, "{}", setting.name());
            if let Some(variable) = setting.variable {
                let variable = variable.to_string_lossy();
                assert!(text.contains(&*variable), "{}: {variable}", setting.name());
            }
        }
        assert!(documented.is_empty(), "no settings: {documented:?}");
        for (_, meant) in MISTAKES {
            let name = meant.split(' ').next();
            assert!(SETTINGS.iter().any(|it| Some(it.name()) == name), "{meant}");
        }
    }
}
