//! Authorization values: where they come from and what happens after a wrong one.
#![forbid(unsafe_code)]

use std::path::Path;

use super::Error;
use crate::Secret;
use crate::secret;
use crate::tss;
use crate::tss::transport::AppendOnly;

/// How a door asks for a secret: takes what it is for, gives `None` when nobody answers.
pub type Ask<'a> = &'a mut dyn FnMut(&str) -> Option<Secret>;

/// A key's authorization value, and whether it may still be tried.
pub(super) struct Authorization {
    /// `None`: the key needs one and nobody gave it when the key was loaded.
    value: Option<Secret>,
    /// Whether it was wrong; what the TPM said. Not behind a lock: a fork in another thread would leave
    /// that locked.
    shut: AppendOnly<String>,
}

impl Authorization {
    /// A value that is known; empty for keys without one.
    pub(super) fn known(secret: Secret) -> Self {
        Self::of(Some(secret))
    }

    /// Asks for the value of `what` if `needed`.
    pub(super) fn obtain(needed: bool, what: &str, ask: Ask<'_>) -> Self {
        if !needed {
            return Self::known(Secret::empty());
        }
        Self::of(ask(what))
    }

    fn of(value: Option<Secret>) -> Self {
        Self {
            value,
            shut: AppendOnly::new(),
        }
    }

    /// The value, for one operation.
    pub(super) fn secret(&self) -> Result<Secret, Error> {
        if let Some(reason) = self.shut.iter().next() {
            return Err(Error::Authorization(format!(
                "the key's authorization value was wrong ({reason}); it is not tried again until \
                 the key is loaded anew, since every try counts towards the TPM's lockout"
            )));
        }
        self.value.clone().ok_or_else(|| {
            Error::Authorization(
                "the key needs an authorization value and none was given when it was loaded: use \
                 -passin, nginx's ssl_password_file, or whatever the program has for passphrases"
                    .into(),
            )
        })
    }

    /// Notes that the value was wrong.
    pub(super) fn shut(&self, error: &tss::Error) {
        self.shut.find_or_add(|_| true, || error.to_string());
    }
}

/// A secret as settings and options spell it: the text itself, or `file:PATH` for the first line of
/// a file, so that `ps` need not show it.
pub fn read_secret(value: &str) -> Result<Secret, Error> {
    let Some(path) = value.strip_prefix("file:") else {
        return Ok(Secret::from(value.as_bytes()));
    };
    let content = secret::read_file(Path::new(path)).map_err(|error| {
        Error::Setting(format!("the secret's file {path} cannot be read: {error}"))
    })?;
    let line = content.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
    Ok(Secret::from(line.strip_suffix(b"\r").unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_can_stand_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        fs::write(&path, "1234\r\nsecond line\n").unwrap();
        assert_eq!(
            &*read_secret(&format!("file:{}", path.display())).unwrap(),
            b"1234"
        );
        assert_eq!(&*read_secret("1234").unwrap(), b"1234");
        let missing = read_secret("file:/nonexistent/pin")
            .unwrap_err()
            .to_string();
        assert!(missing.contains("/nonexistent/pin"), "{missing}");
    }

    #[test]
    fn nobody_is_asked_for_an_empty_value() {
        let state = Authorization::obtain(false, "key", &mut |_| panic!("asked"));
        assert!(state.secret().unwrap().is_empty());
    }

    #[test]
    fn a_value_that_nobody_gave_is_an_error_with_a_way_out() {
        let state = Authorization::obtain(true, "key", &mut |_| None);
        assert!(state.secret().unwrap_err().to_string().contains("-passin"));
    }
}
