//! `tpmctl flush`: removes what programs left in a TPM without a resource manager.

use std::sync::Arc;

use serde::Serialize;
use tss::ErrorKind;
use tss::tpm2::constants::handle;
use tss::tpm2::{Client, ResponseCode};
use tss::tpm12::{self, Code};
use tss::transport::Sharing;

use crate::cli::{Flush, Global};
use crate::display::{ObjectLine, hex, session_kind};
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output::{self, Report};
use crate::settings::{self, Chosen};

/// What there was and what became of it.
#[derive(Serialize)]
struct Outcome {
    address: String,
    objects: Vec<ObjectLine>,
    sessions: Vec<SessionLine>,
    flushed: Vec<String>,
}

#[derive(Serialize)]
struct SessionLine {
    handle: String,
    kind: &'static str,
    /// Whether it is in the TPM's memory or saved outside.
    loaded: bool,
}

/// Lists, asks, flushes.
pub(crate) fn run(global: &Global, args: &Flush) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    let endpoint = chosen.tpm.meant()?;
    let address = endpoint.address().to_string();
    if let Some(reason) = nothing_to_do(endpoint.sharing()) {
        if global.json {
            output::print_json(&Outcome {
                address: address.clone(),
                objects: Vec::new(),
                sessions: Vec::new(),
                flushed: Vec::new(),
            })?;
        }
        output::note(&format!("Nothing to flush: {address} {reason}"));
        return Ok(());
    }
    let holder = Holder::of(&chosen)?;
    // Neither or both: both.
    let everything = args.objects == args.sessions;
    let objects = match everything || args.objects {
        true => holder.objects()?,
        false => Vec::new(),
    };
    let sessions = match everything || args.sessions {
        true => holder.sessions()?,
        false => Vec::new(),
    };
    let handles: Vec<(u32, bool)> = objects
        .iter()
        .map(|(handle, _)| (*handle, false))
        .chain(sessions.iter().map(|(handle, _)| (*handle, true)))
        .collect();
    let mut outcome = Outcome {
        address,
        objects: objects.into_iter().map(|(_, line)| line).collect(),
        sessions: sessions.into_iter().map(|(_, line)| line).collect(),
        flushed: Vec::new(),
    };
    if !global.json {
        output::print(&outcome.text())?;
    }
    if !handles.is_empty() && !args.dry_run && (args.yes || confirmed(handles.len())?) {
        outcome.flushed = holder.flush_all(handles)?;
        if !global.json {
            output::print(&format!("Flushed {}.\n", count(outcome.flushed.len())))?;
        }
    }
    if global.json {
        output::print_json(&outcome)?;
    }
    Ok(())
}

/// Flushes everything, and gives the handles of what was still there.
pub(crate) fn everything(chosen: &Chosen) -> Result<Vec<String>, Error> {
    let endpoint = chosen.tpm.meant()?;
    if let Some(reason) = nothing_to_do(endpoint.sharing()) {
        let address = endpoint.address();
        return Err(Error::new(format!("nothing to flush: {address} {reason}")));
    }
    let holder = Holder::of(chosen)?;
    let objects = holder
        .objects()?
        .into_iter()
        .map(|(handle, _)| (handle, false));
    let sessions = holder
        .sessions()?
        .into_iter()
        .map(|(handle, _)| (handle, true));
    holder.flush_all(objects.chain(sessions))
}

fn nothing_to_do(sharing: Sharing) -> Option<&'static str> {
    match sharing {
        Sharing::Bare => None,
        Sharing::Managed => Some(
            "is behind the kernel's resource manager, where every connection has objects and \
             sessions of its own, which go with it. What is in the bare TPM: --tcti device:/dev/tpm0",
        ),
        Sharing::InProcess => {
            Some("is a TPM inside the process that uses it, and starts anew for every use.")
        }
        Sharing::Daemon => Some("is behind tcsd, which forgets what belonged to a connection."),
    }
}

/// A TPM without a resource manager, of either generation.
enum Holder {
    Two(Arc<Client>),
    One(Arc<tpm12::Client>),
}

impl Holder {
    fn of(chosen: &Chosen) -> Result<Self, Error> {
        Ok(match AnyTpm::of(&chosen.tpm)? {
            AnyTpm::Tpm2(client, _) => Self::Two(client),
            AnyTpm::Tpm12(client) => Self::One(client),
        })
    }

    fn objects(&self) -> Result<Vec<(u32, ObjectLine)>, Error> {
        match self {
            Self::Two(client) => list(client, &client.loaded_objects()?),
            Self::One(client) => {
                let keys = client.loaded_keys()?;
                Ok(keys
                    .into_iter()
                    .map(|key| (key, ObjectLine::tpm12(key)))
                    .collect())
            }
        }
    }

    /// Those in the TPM's memory, then those that are saved outside.
    fn sessions(&self) -> Result<Vec<(u32, SessionLine)>, Error> {
        let line = |handle: u32, kind, loaded| {
            let shown = SessionLine {
                handle: hex(handle),
                kind,
                loaded,
            };
            (handle, shown)
        };
        let client = match self {
            Self::Two(client) => client,
            Self::One(client) => {
                let sessions = client.open_sessions()?.into_iter();
                return Ok(sessions
                    .map(|it| line(it, "authorization session", true))
                    .collect());
            }
        };
        let loaded = client.handles(handle::HMAC_SESSION_FIRST)?;
        let mut saved = client.handles(handle::POLICY_SESSION_FIRST)?;
        saved.retain(|session| !loaded.contains(session));
        let loaded = loaded
            .into_iter()
            .map(|it| line(it, session_kind(it), true));
        // A saved session is listed under one range, whatever its kind.
        Ok(loaded
            .chain(saved.into_iter().map(|it| line(it, "session", false)))
            .collect())
    }

    /// The handles of those that were still there, unless their owners were faster.
    fn flush_all(
        &self,
        handles: impl IntoIterator<Item = (u32, bool)>,
    ) -> Result<Vec<String>, Error> {
        let mut flushed = Vec::new();
        for (handle, is_session) in handles {
            if self.flush(handle, is_session)? {
                flushed.push(hex(handle));
            }
        }
        Ok(flushed)
    }

    /// Whether it was still there.
    fn flush(&self, handle: u32, is_session: bool) -> Result<bool, Error> {
        let done = match self {
            Self::Two(client) => client.flush(handle),
            Self::One(client) if is_session => client.flush_session(handle),
            Self::One(client) => client.flush_key(handle),
        };
        match done {
            Ok(()) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the handle is nobody's any more.
fn is_gone(error: &tss::Error) -> bool {
    match error.kind() {
        ErrorKind::Tpm12(failure) => {
            [Code::INVALID_KEYHANDLE, Code::INVALID_AUTHHANDLE].contains(&failure.code())
        }
        _ => error.code().is_some_and(ResponseCode::is_bad_handle),
    }
}

fn list(client: &Client, objects: &[u32]) -> Result<Vec<(u32, ObjectLine)>, Error> {
    objects
        .iter()
        .map(|&handle| match client.read_public(handle) {
            Ok(read) => Ok((handle, ObjectLine::new(handle, Some(&read)))),
            Err(error) if error.code().is_some() => Ok((handle, ObjectLine::new(handle, None))),
            Err(error) => Err(error.into()),
        })
        .collect()
}

impl Outcome {
    fn text(&self) -> String {
        if self.objects.is_empty() && self.sessions.is_empty() {
            return format!("Nothing to flush in {}.\n", self.address);
        }
        let mut report = Report::new();
        report.heading(&self.address);
        for object in &self.objects {
            report.fact(&object.handle, object.text());
        }
        for session in &self.sessions {
            let place = if session.loaded { "loaded" } else { "saved" };
            report.fact(&session.handle, format!("{}, {place}", session.kind));
        }
        report.finish()
    }
}

fn confirmed(handles: usize) -> Result<bool, Error> {
    let handles = count(handles);
    output::agreed(
        &format!("{handles} would be flushed"),
        &format!(
            "Programs that use one of these now fail, unless they load it again. Flush {handles}?"
        ),
    )
}

fn count(handles: usize) -> String {
    match handles {
        1 => "1 object or session".to_owned(),
        number => format!("{number} objects and sessions"),
    }
}
