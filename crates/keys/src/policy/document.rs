//! Policy files: a policy without a key, in PEM with the label `TSS2 POLICY`.
//!
//! Read are also key files, whose policy is taken, and the hexadecimal lines of openssl_tpm2_engine: a command code of
//! eight digits, followed by the body.
#![forbid(unsafe_code)]

use std::path::Path;

use tss::tpm2::{CommandCode, Policy};

use super::file::{fields_of, of_fields, of_file};
use crate::Error;
use crate::tss2::{KeyFile, PolicyCommand, PolicyFields};

/// The largest policy file, in bytes.
const LARGEST: usize = 256 << 10;

/// Reads a policy file.
///
/// # Errors
///
/// What is none, or cannot be executed; see [`of_file`].
pub fn read(content: &[u8]) -> Result<Policy, Error> {
    if content.len() > LARGEST {
        return Err(Error::Data(format!(
            "it has more than {LARGEST} bytes, and is no policy file"
        )));
    }
    if PolicyFields::is_in(content) {
        return of_fields(&PolicyFields::from_pem(content)?);
    }
    if let Some(lines) = lines(content) {
        return of_fields(&PolicyFields {
            policy: lines?,
            ..PolicyFields::default()
        });
    }
    of_file(&KeyFile::from_bytes(content)?)
}

/// Reads the policy file at a path.
///
/// # Errors
///
/// As [`read`], with the path.
pub fn read_at(path: &Path) -> Result<Policy, Error> {
    let shown = path.display();
    let content = std::fs::read(path).map_err(|error| {
        Error::Setting(format!("the policy file {shown} cannot be read: {error}"))
    })?;
    read(&content).map_err(|error| Error::Data(format!("policy file {shown}: {error}")))
}

/// Writes a policy file.
///
/// # Errors
///
/// A part that is too long for its size field.
pub fn write(policy: &Policy) -> Result<String, Error> {
    Ok(fields_of(policy)?.to_pem())
}

/// The commands in hexadecimal lines; none if it is something else.
fn lines(content: &[u8]) -> Option<Result<Vec<PolicyCommand>, Error>> {
    let text = std::str::from_utf8(content).ok()?;
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let hexadecimal =
        |line: &&str| line.len() >= 8 && line.bytes().all(|digit| digit.is_ascii_hexdigit());
    if lines.is_empty() || !lines.iter().all(hexadecimal) {
        return None;
    }
    Some(lines.into_iter().map(line).collect())
}

fn line(line: &str) -> Result<PolicyCommand, Error> {
    let wrong = || {
        Error::Data(format!(
            "policy file: the line {line} is no command and its body"
        ))
    };
    let octets = hex::decode(line).map_err(|_| wrong())?;
    let (code, body) = octets.split_first_chunk().ok_or_else(wrong)?;
    let code = u32::from_be_bytes(*code);
    if CommandCode(code) == CommandCode::POLICY_COUNTER_TIMER {
        return Err(Error::Unsupported(
            "policy file: a line with PolicyCounterTimer (0000016d) has a hash in the place of what is compared, and \
             cannot be executed: write the policy with `tpmctl policy new counter:...`"
                .into(),
        ));
    }
    Ok(PolicyCommand {
        code,
        body: body.to_vec(),
    })
}
