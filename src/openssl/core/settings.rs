//! Where the provider's settings come from: the environment as it was at init, and the provider's section of
//! openssl.cnf, to which `-provparam` of OpenSSL 3.5 and `OSSL_PROVIDER_add_conf_parameter` may add after init.

use std::ffi::CStr;

use zeroize::Zeroizing;

use super::{Core, Error, Reason};
use crate::ffi;
use crypto::{Digest, Hash};
use keys::config::{ADDRESS_OF_ANOTHER, Fault, MISTAKES, SETTINGS, Settings, Source};
use keys::log_setup;
use keys::trust::Root;

/// Our variables and the root directory as they are at init: a worker of nginx has lost them when it first needs a key.
pub(crate) struct Environment {
    variables: Vec<(&'static CStr, Variable)>,
    root: Root,
}

/// A variable's value, or why it does not count.
type Variable = Result<Option<Zeroizing<String>>, String>;

impl Environment {
    /// Reads the variables.
    pub(crate) fn read() -> Self {
        let names = SETTINGS.iter().filter_map(|setting| setting.variable);
        let variables = names.chain([c"TSS_TCSD_HOSTNAME", c"TSS_TCSD_PORT", ADDRESS_OF_ANOTHER]);
        Self {
            variables: variables.map(|name| (name, environment(name))).collect(),
            root: Root::now(),
        }
    }
}

/// What a section said at one time, to notice later that it has changed.
#[derive(PartialEq, Eq)]
pub(crate) struct Section(Vec<u8>);

impl Section {
    /// Reads everything that [`read`] looks at.
    pub(crate) fn read(core: &Core) -> Self {
        let mut digest = Digest::new(Hash::Sha256);
        let settings = SETTINGS.iter().map(|setting| setting.key);
        for key in settings.chain(MISTAKES.map(|(key, _)| key)) {
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

/// The two together.
struct Here<'a> {
    core: &'a Core,
    environment: &'a Environment,
}

impl Source for Here<'_> {
    fn setting(&self, key: &CStr) -> Option<Zeroizing<String>> {
        self.core.setting(key).map(Zeroizing::new)
    }

    fn variable(&self, name: &CStr) -> Variable {
        let mut variables = self.environment.variables.iter();
        let found = variables.find(|(known, _)| *known == name);
        found.map_or(Ok(None), |(_, value)| value.clone())
    }
}

/// Reads the settings into `settings`, those before the first fault whatever comes after, and turns the log on.
pub(crate) fn read(
    settings: &mut Settings,
    core: &Core,
    environment: &Environment,
) -> Result<(), Error> {
    let result = settings.read(&Here { core, environment });
    settings.config.root = environment.root;
    settings.config.on_open = ffi::release_at_exit;
    if let Some(level) = settings.level() {
        log_setup::enable(level, settings.log_to.as_ref());
    }
    result.map_err(Error::from)
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::new(Reason::BadSetting, fault.to_string())
    }
}

/// A variable of ours. That one is there and does not count is said, since another TPM would be used than was meant.
fn environment(name: &CStr) -> Variable {
    match ffi::variable(name) {
        ffi::Variable::Absent => Ok(None),
        ffi::Variable::Is(value) => Ok(Some(value)),
        ffi::Variable::Untrusted => Err(format!(
            "{} is set in the environment of a privileged program and is not trusted there: unset it, and use the \
             provider's section in openssl.cnf",
            name.to_string_lossy()
        )),
    }
}
