//! One rule for secrets, wherever they come from: options, settings, variables, files, prompts.
//!
//! A secret is one line. What editors and programs add to it without being asked is taken away: the
//! line's end (LF, or CR LF) and a UTF-8 byte order mark at the start, so that the same file gives the same secret
//! to us, to `-passin file:` and to a server's password file. Everything else belongs to it, blanks at the end
//! included. Refused, before the TPM is asked:
//!
//! - nothing: a key made with it has no protection, and looks as if it had. Who means it says [`NONE`];
//! - NUL bytes: a TPM strips them from the end (Part 1, 17.6.4.2), and passphrases end at one in most programs;
//! - what is longer than the TPM takes.
#![forbid(unsafe_code)]

use std::io::BufRead;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crypto::Secret;
use crypto::secret;
use tss::tpm2::AlgId;
use zeroize::Zeroizing;

use crate::Error;

/// How "no secret" is said where one is expected.
pub const NONE: &str = "none:";

/// The longest secret, in bytes: far more than any TPM takes, and what passwords of a TPM 1.2 may have, which are
/// digested.
const LONGEST: usize = 1024;

/// The largest file, in bytes.
const LARGEST_FILE: usize = 4096;

/// The longest authorization value in any TPM 2.0: the largest digest it may have (SHA-512).
pub(crate) const LONGEST_IN_TPM2: usize = 64;

/// Why something is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Empty,
    Nul,
    LineBreak,
    TooLong(usize),
}

impl Fault {
    /// In words, after "the secret".
    fn text(self) -> String {
        match self {
            Self::Empty => "is empty".into(),
            Self::Nul => {
                "has a NUL byte, which a TPM does not keep (is the file in UTF-16?)".into()
            }
            Self::LineBreak => "has more than one line".into(),
            Self::TooLong(limit) => format!("is longer than the {limit} bytes that can be taken"),
        }
    }
}

/// The secret in `bytes`, which hold a line or all there is.
pub(crate) fn secret_in(bytes: &[u8]) -> Result<Secret, Fault> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    if bytes.contains(&0) {
        return Err(Fault::Nul);
    }
    if bytes.contains(&b'\n') {
        return Err(Fault::LineBreak);
    }
    if bytes.len() > LONGEST {
        return Err(Fault::TooLong(LONGEST));
    }
    Ok(Secret::from(bytes))
}

/// A secret as settings and options spell it: the text itself; `file:PATH` for the first line of a file, so that
/// `ps` need not show it; or [`NONE`], which gives the empty one.
pub fn read_secret(value: &str) -> Result<Secret, Error> {
    if value == NONE {
        return Ok(Secret::empty());
    }
    if let Some(path) = value.strip_prefix("file:") {
        return read_file(path);
    }
    secret_in(value.as_bytes()).map_err(|fault| {
        Error::Setting(format!(
            "the secret {}: leave the option or setting out where there is none, or say {NONE}",
            fault.text()
        ))
    })
}

/// What a `pin-source` may be: where an authorization value is, never the value.
pub(crate) const PIN_SOURCES: &str = "file:PATH, credential:NAME or none:";

/// Whether a `pin-source` is one of [`PIN_SOURCES`].
pub(crate) fn is_pin_source(source: &str) -> bool {
    let named = |prefix| {
        source
            .strip_prefix(prefix)
            .is_some_and(|rest: &str| !rest.is_empty())
    };
    let credential = source.strip_prefix(CREDENTIAL).unwrap_or_default();
    source == NONE || named("file:") || (named(CREDENTIAL) && !credential.contains('/'))
}

/// What systemd hands to a service: a file of this name in `$CREDENTIALS_DIRECTORY` (systemd.exec(5)).
const CREDENTIAL: &str = "credential:";

/// The authorization value at a `pin-source`.
pub(crate) fn read_pin(source: &str) -> Result<Secret, Error> {
    let Some(name) = source.strip_prefix(CREDENTIAL) else {
        if let Some(path) = source.strip_prefix("file:") {
            warn_of_readers(Path::new(path));
        }
        return read_secret(source);
    };
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        Error::Setting(format!(
            "there is no {source}: the variable CREDENTIALS_DIRECTORY is not set, as systemd does for a service with \
             LoadCredential= or LoadCredentialEncrypted= in its unit"
        ))
    })?;
    let path = Path::new(&directory).join(name);
    read_file(&path.to_string_lossy())
}

/// A file that everybody on the machine reads keeps no secret.
fn warn_of_readers(path: &Path) {
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o004 != 0) {
        log::warn!(
            "everybody on this machine can read the secret in {}: `chmod o-r` is for it",
            path.display()
        );
    }
}

/// The secret that is the first line of what `from` gives, which is not read further; `place` is how errors call it.
pub fn read_line(from: impl BufRead, place: &str) -> Result<Secret, Error> {
    let mut line = Zeroizing::new(Vec::with_capacity(LARGEST_FILE + 1));
    from.take(LARGEST_FILE as u64 + 1)
        .read_until(b'\n', &mut line)
        .map_err(|error| {
            Error::Setting(format!("the secret in {place} cannot be read: {error}"))
        })?;
    first_line(&line, place)
}

fn read_file(path: &str) -> Result<Secret, Error> {
    let content = secret::read_file(Path::new(path)).map_err(|error| {
        Error::Setting(format!("the secret's file {path} cannot be read: {error}"))
    })?;
    first_line(&content, path)
}

fn first_line(content: &[u8], place: &str) -> Result<Secret, Error> {
    if content.len() > LARGEST_FILE {
        return Err(Error::Setting(format!(
            "{place} has more than {LARGEST_FILE} bytes: it is no file with a secret in its first line"
        )));
    }
    let line = content.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
    secret_in(line).map_err(|fault| {
        let advice = match fault {
            Fault::Empty => format!(
                ": write it there; where there is none, leave the option or setting out, or say {NONE}"
            ),
            _ => String::new(),
        };
        Error::Setting(format!(
            "the secret in the first line of {place} {}{advice}",
            fault.text()
        ))
    })
}

/// A passphrase as a program gave it; `None` when it gave nothing. `what` is what it is for.
pub(crate) fn passphrase(given: Option<Secret>, what: &str) -> Result<Option<Secret>, Error> {
    match given.map(|given| secret_in(&given)) {
        None | Some(Err(Fault::Empty)) => Ok(None),
        Some(Ok(secret)) => Ok(Some(secret)),
        Some(Err(fault)) => Err(Error::Authorization(format!(
            "the passphrase given for the {what} {}; it was not tried",
            fault.text()
        ))),
    }
}

/// Refuses a value that is longer than `limit` bytes, which is what the TPM takes for `what`.
pub(crate) fn check_length(secret: &Secret, limit: usize, what: &str) -> Result<(), Error> {
    if secret.len() <= limit {
        return Ok(());
    }
    Err(Error::Authorization(format!(
        "the authorization value of {what} has more than {limit} bytes, which is the most that the TPM takes for it; \
         it was not tried"
    )))
}

/// The longest authorization value of an object with this name algorithm (Part 1, 27.2: no longer than its digest).
pub(crate) fn longest_value(name_alg: AlgId) -> usize {
    match name_alg {
        AlgId::SHA1 => 20,
        AlgId::SHA256 => 32,
        AlgId::SHA384 => 48,
        // Others, if there are any, know themselves what they take.
        _ => LONGEST_IN_TPM2,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn of_file(content: &[u8]) -> Result<Secret, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pin");
        fs::write(&path, content).unwrap();
        read_secret(&format!("file:{}", path.display()))
    }

    #[test]
    fn a_secret_is_one_line_without_what_others_put_around_it() {
        for content in [
            "1234",
            "1234\n",
            "1234\r\nsecond line\n",
            "\u{feff}1234\n",
            "\u{feff}1234\r\n",
        ] {
            assert_eq!(
                &*of_file(content.as_bytes()).unwrap(),
                b"1234",
                "{content:?}"
            );
        }
        assert_eq!(&*secret_in(b"1234\r\n").unwrap(), b"1234");
        assert_eq!(&*read_secret("1234").unwrap(), b"1234");
        assert_eq!(&*read_secret("\u{feff}1234").unwrap(), b"1234");
    }

    #[test]
    fn blanks_and_all_other_bytes_belong_to_it() {
        for secret in [
            &b" 12 34 \t"[..],
            b"\r1234",
            b"1\r2",
            "\u{fc}\u{feff}".as_bytes(),
            b"\xff\xfe",
        ] {
            assert_eq!(&*secret_in(secret).unwrap(), secret);
        }
        // One end of a line, not two.
        assert_eq!(&*secret_in(b"1234\r\r\n").unwrap(), b"1234\r");
    }

    #[test]
    fn nothing_is_no_secret_unless_that_is_said() {
        for content in ["", "\n", "\r\n", "\nsecond", "\u{feff}", "\u{feff}\r\n1234"] {
            let error = of_file(content.as_bytes()).unwrap_err().to_string();
            assert!(
                error.contains("is empty") && error.contains(NONE),
                "{error}"
            );
        }
        let error = read_secret("").unwrap_err().to_string();
        assert!(
            error.contains("is empty") && error.contains(NONE),
            "{error}"
        );
        assert!(read_secret(NONE).unwrap().is_empty());
    }

    #[test]
    fn what_a_tpm_would_not_keep_is_refused() {
        for secret in [&b"12\x0034"[..], b"1234\0", b"\0"] {
            assert_eq!(secret_in(secret), Err(Fault::Nul));
        }
        assert_eq!(secret_in(b"12\n34"), Err(Fault::LineBreak));
        assert_eq!(
            secret_in(&[b'1'; LONGEST + 1]),
            Err(Fault::TooLong(LONGEST))
        );
        assert!(secret_in(&[b'1'; LONGEST]).is_ok());
        let utf16 = of_file(b"\xff\xfe1\x002\0\n\0").unwrap_err().to_string();
        assert!(utf16.contains("UTF-16"), "{utf16}");
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        for (value, part) in [
            (format!("file:{path}/none"), "cannot be read"),
            (format!("file:{path}"), "directory"),
            ("file:/dev/zero".into(), "more than 4096 bytes"),
            ("file:/dev/null".into(), "is empty"),
            ("file:".into(), "cannot be read"),
        ] {
            let error = read_secret(&value).unwrap_err().to_string();
            assert!(error.contains(part), "{value}: {error}");
            assert!(error.contains(&value["file:".len()..]), "{value}: {error}");
        }
    }

    #[test]
    fn a_passphrase_of_nothing_was_not_given() {
        assert_eq!(passphrase(None, "key").unwrap(), None);
        for nothing in [&b""[..], b"\n", b"\r\n"] {
            assert_eq!(
                passphrase(Some(Secret::from(nothing)), "key").unwrap(),
                None
            );
        }
        assert!(passphrase(Some(Secret::from(&b"a\0b"[..])), "key").is_err());
        let given = passphrase(Some(Secret::from(&b"pin\n"[..])), "key").unwrap();
        assert_eq!(given, Some(Secret::from(&b"pin"[..])));
    }

    #[test]
    fn a_value_is_no_longer_than_the_digest_of_its_name() {
        let value = Secret::new(vec![b'1'; 33]);
        let error = check_length(&value, longest_value(AlgId::SHA256), "the key")
            .unwrap_err()
            .to_string();
        assert!(error.contains("32 bytes"), "{error}");
        assert!(check_length(&value, longest_value(AlgId::SHA384), "the key").is_ok());
    }
}
