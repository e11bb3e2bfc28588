//! `tpmctl key test`: whether a key works here, for a user and with a certificate, and if not, which layer fails.
//!
//! The file and the certificate are read by whoever runs the command, as a server's master does that starts as root. The
//! TPM is used by the user that was named, in a process of his: what is tried is what will happen, groups and all.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crypto::Secret;
use keys::{Family, printable};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::key_file::Parsed;
use crate::cli::Global;
use crate::display::key_kind;
use crate::error::Error;
use crate::settings;

/// What is looked at, from the file to the TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Layer {
    /// It can be read, and is a key file.
    File,
    /// The provider can use such a key.
    Key,
    /// The certificate is this key's.
    Certificate,
    /// The user's process can be started, and reads the file itself.
    User,
    /// The TPM answers the user.
    Tpm,
    /// The TPM loads the key, and what it signs verifies.
    Use,
}

/// How a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Ok,
    Warning,
    Failed,
}

/// A layer that was looked at.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) layer: Layer,
    pub(crate) state: State,
    pub(crate) text: String,
}

/// The verdict; it is also the command's JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) file: String,
    pub(crate) user: Option<String>,
    #[serde(rename = "type")]
    pub(crate) key_type: Option<String>,
    pub(crate) works: bool,
    /// The first layer that fails.
    pub(crate) failed: Option<Layer>,
    pub(crate) layers: Vec<Checked>,
}

impl Verdict {
    fn of(path: &Path, user: Option<&str>) -> Self {
        Self {
            file: path.display().to_string(),
            user: user.map(str::to_owned),
            key_type: None,
            works: true,
            failed: None,
            layers: Vec::new(),
        }
    }

    fn say(&mut self, layer: Layer, state: State, text: impl Into<String>) {
        self.note(Checked {
            layer,
            state,
            text: text.into(),
        });
    }

    fn note(&mut self, checked: Checked) {
        if checked.state == State::Failed {
            self.works = false;
            self.failed.get_or_insert(checked.layer);
        }
        self.layers.push(checked);
    }
}

/// What is to be tried.
pub(crate) struct Plan<'a> {
    pub(crate) path: &'a Path,
    /// The key file's bytes, or why there are none.
    pub(crate) bytes: Result<Vec<u8>, Error>,
    pub(crate) certificate: Option<&'a Path>,
    pub(crate) user: Option<&'a str>,
}

/// Looks at each layer until one fails. `secret` is called when the key has an authorization value.
pub(crate) fn run(
    global: &Global,
    plan: Plan<'_>,
    secret: impl FnOnce() -> Result<Option<Secret>, Error>,
) -> Result<Verdict, Error> {
    let mut verdict = Verdict::of(plan.path, plan.user);
    let read = plan.bytes.and_then(|bytes| {
        let parsed = Parsed::new(&bytes, plan.path)?;
        Ok((bytes, parsed))
    });
    let (bytes, parsed) = match read {
        Ok(read) => read,
        Err(error) => {
            verdict.say(Layer::File, State::Failed, error.to_string());
            return Ok(verdict);
        }
    };
    verdict.say(Layer::File, State::Ok, parsed.format());
    let usable = parsed.check().map_err(Error::from);
    let public = match usable.and_then(|()| parsed.public()) {
        Ok(public) => public,
        Err(error) => {
            verdict.say(Layer::Key, State::Failed, error.to_string());
            return Ok(verdict);
        }
    };
    let kind = key_kind(&public);
    verdict.say(Layer::Key, State::Ok, &kind);
    verdict.key_type = Some(kind);
    if let Some(path) = plan.certificate {
        verdict.note(certificate(path, &public.to_spki()));
        if !verdict.works {
            return Ok(verdict);
        }
    }
    let secret = match parsed.has_secret() {
        true => secret()?,
        false => None,
    };
    match plan.user.filter(|user| !is_oneself(user)) {
        None => here(global, parsed, secret, &mut verdict),
        Some(user) => as_user(
            global,
            user,
            plan.path,
            &bytes,
            secret.as_ref(),
            &mut verdict,
        )?,
    }
    Ok(verdict)
}

fn certificate(path: &Path, spki: &[u8]) -> Checked {
    let shown = printable::path(path);
    let (state, text) = match Certificate::read(path) {
        Err(error) => (State::Failed, error.to_string()),
        Ok(it) if !it.belongs_to(spki) => (
            State::Failed,
            format!(
                "{shown} belongs to another key: make a request with this one, `tpmctl key csr`"
            ),
        ),
        Ok(it) => match it.out_of_date() {
            Some(why) => (
                State::Warning,
                format!("{shown} belongs to the key, and {why}"),
            ),
            None => (State::Ok, format!("{shown} belongs to the key")),
        },
    };
    Checked {
        layer: Layer::Certificate,
        state,
        text,
    }
}

/// The TPM, and the key in it, in this process.
fn here(global: &Global, parsed: Parsed, secret: Option<Secret>, verdict: &mut Verdict) {
    let is_tpm12 = matches!(parsed, Parsed::One(_));
    let chosen = settings::tpm_with_parent(global);
    let answers = chosen.and_then(|chosen| {
        let endpoint = if is_tpm12 {
            chosen.tpm.client12()?.structure_version()?;
            chosen.tpm.endpoint_of(Family::Tpm12)?
        } else {
            chosen.client()?.lockout()?;
            chosen.tpm.endpoint()?
        };
        let text = format!("{} ({}) answers", endpoint.address(), endpoint.origin());
        Ok((chosen, text))
    });
    let chosen = match answers {
        Ok((chosen, text)) => {
            verdict.say(Layer::Tpm, State::Ok, text);
            chosen
        }
        Err(error) => return verdict.say(Layer::Tpm, State::Failed, error.to_string()),
    };
    let used = parsed.load(&chosen.tpm, secret).and_then(|key| key.check());
    match used {
        Ok(()) => verdict.say(
            Layer::Use,
            State::Ok,
            "the TPM has used it, and the result is right",
        ),
        Err(error) => verdict.say(Layer::Use, State::Failed, Error::from(error).to_string()),
    }
}

/// The same in a process of the user's, which gets the file and the value on its standard input.
fn as_user(
    global: &Global,
    user: &str,
    path: &Path,
    bytes: &[u8],
    secret: Option<&Secret>,
    verdict: &mut Verdict,
) -> Result<(), Error> {
    let Some(group) = id("-g", user) else {
        return Err(Error::new(format!(
            "there is no user {}",
            printable::quoted(user)
        )));
    };
    if effective_user() != Some(0) {
        return Err(Error::new(format!(
            "only root can try it as {user}: type the command behind sudo"
        )));
    }
    let become_user = |program: &Path| {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={group}"))
            .args(["--init-groups", "--"])
            .arg(program);
        command
    };
    if path != Path::new("-") {
        let readable = become_user(Path::new("test")).arg("-r").arg(path).status();
        match readable {
            Ok(status) if status.success() => {
                verdict.say(Layer::User, State::Ok, format!("{user} can read the file"));
            }
            Ok(_) => verdict.say(
                Layer::User,
                State::Warning,
                format!(
                    "{user} cannot read the file: right for servers that read it as root (nginx, Apache, HAProxy), not for \
                     others"
                ),
            ),
            Err(error) => {
                let text = format!("setpriv (package util-linux) cannot be run: {error}");
                verdict.say(Layer::User, State::Failed, text);
                return Ok(());
            }
        }
    }
    let own = std::env::current_exe()
        .map_err(|error| Error::new(format!("this program does not find itself: {error}")))?;
    let mut command = become_user(&own);
    command.args(["key", "test", "-", "--json"]);
    if let Some(address) = &global.tcti {
        command.arg("--tcti").arg(address.to_string());
    }
    if let Some(value) = &global.parent_auth {
        // Its environment is the user's and root's to see.
        command.env("TPM_PARENT_AUTH", value.as_str());
    }
    let mut input = Zeroizing::new(Vec::new());
    if let Some(secret) = secret {
        command.args(["--auth", "-"]);
        input.extend_from_slice(secret);
        input.push(b'\n');
    }
    input.extend_from_slice(bytes);
    let inner = feed(&mut command, &input);
    match inner {
        Ok(inner) => {
            for checked in inner.layers {
                if matches!(checked.layer, Layer::Tpm | Layer::Use) {
                    verdict.note(checked);
                }
            }
            // Whatever it was, it was not the end.
            if verdict.works && !inner.works {
                verdict.say(Layer::User, State::Failed, "the key was not tried");
            }
        }
        Err(text) => verdict.say(Layer::User, State::Failed, text),
    }
    Ok(())
}

/// Runs the user's process and reads its verdict.
fn feed(command: &mut Command, input: &[u8]) -> Result<Verdict, String> {
    let failed = |error| format!("trying it as this user failed: {error}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // It reads to the end unless it cannot be started at all, which it says.
    let written = child.stdin.take().map(|mut pipe| pipe.write_all(input));
    let done = child.wait_with_output().map_err(failed)?;
    serde_json::from_slice(&done.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&done.stderr);
        let why = match written {
            Some(Err(error)) if said.trim().is_empty() => error.to_string(),
            _ => said.trim().to_owned(),
        };
        format!("trying it as this user failed ({}): {why}", done.status)
    })
}

fn is_oneself(user: &str) -> bool {
    id("-u", user).and_then(|uid| uid.parse().ok()) == effective_user()
}

fn effective_user() -> Option<u32> {
    std::fs::metadata("/proc/self").ok().map(|own| own.uid())
}

/// What id(1) says of a user, wherever the system keeps its users.
fn id(what: &str, user: &str) -> Option<String> {
    let done = Command::new("id").args([what, "--", user]).output().ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    done.status.success().then(|| text.trim().to_owned())
}
