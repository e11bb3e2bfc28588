//! `tpmctl flush`: removes what programs left in a TPM without a resource manager.

use std::io::{self, IsTerminal};

use serde::Serialize;
use tss::tpm2::Client;
use tss::tpm2::constants::handle;
use tss::transport::Sharing;

use crate::cli::{Flush, Global};
use crate::display::{ObjectLine, hex, session_kind};
use crate::error::Error;
use crate::output::{self, Report};
use crate::settings;

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
    let client = chosen.client()?;
    // Neither or both: both.
    let everything = args.objects == args.sessions;
    let objects = match everything || args.objects {
        true => client.loaded_objects()?,
        false => Vec::new(),
    };
    let sessions = match everything || args.sessions {
        true => Sessions::read(client)?,
        false => Sessions::default(),
    };
    let mut outcome = Outcome {
        address,
        objects: list(client, &objects)?,
        sessions: sessions.lines(),
        flushed: Vec::new(),
    };
    if !global.json {
        output::print(&outcome.text())?;
    }
    let handles: Vec<u32> = objects.into_iter().chain(sessions.all()).collect();
    if !handles.is_empty() && !args.dry_run && (args.yes || confirmed(handles.len())?) {
        for handle in handles {
            match client.flush(handle) {
                Ok(()) => outcome.flushed.push(hex(handle)),
                // Its owner was faster.
                Err(error) if error.code().is_some_and(|code| code.is_bad_handle()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !global.json {
            output::print(&format!("Flushed {}.\n", count(outcome.flushed.len())))?;
        }
    }
    if global.json {
        output::print_json(&outcome)?;
    }
    Ok(())
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

/// Sessions by where they are.
#[derive(Default)]
struct Sessions {
    loaded: Vec<u32>,
    saved: Vec<u32>,
}

impl Sessions {
    fn read(client: &Client) -> Result<Self, Error> {
        let loaded = client.handles(handle::HMAC_SESSION_FIRST)?;
        let mut saved = client.handles(handle::POLICY_SESSION_FIRST)?;
        saved.retain(|session| !loaded.contains(session));
        Ok(Self { loaded, saved })
    }

    fn lines(&self) -> Vec<SessionLine> {
        let line = |loaded| {
            move |&session: &u32| SessionLine {
                handle: hex(session),
                // A saved session is listed under one range, whatever its kind.
                kind: if loaded {
                    session_kind(session)
                } else {
                    "session"
                },
                loaded,
            }
        };
        let loaded = self.loaded.iter().map(line(true));
        loaded.chain(self.saved.iter().map(line(false))).collect()
    }

    fn all(&self) -> impl Iterator<Item = u32> {
        self.loaded.iter().chain(&self.saved).copied()
    }
}

fn list(client: &Client, objects: &[u32]) -> Result<Vec<ObjectLine>, Error> {
    objects
        .iter()
        .map(|&handle| match client.read_public(handle) {
            Ok(read) => Ok(ObjectLine::new(handle, Some(&read))),
            Err(error) if error.code().is_some() => Ok(ObjectLine::new(handle, None)),
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
    if !io::stdin().is_terminal() {
        return Err(Error::new(format!(
            "{} would be flushed, and there is no terminal to ask at: say --yes, or --dry-run to \
             list only",
            count(handles)
        )));
    }
    output::note(&format!(
        "Programs that use one of these now fail, unless they load it again. Flush {}? [y/N]",
        count(handles)
    ));
    output::says_yes()
}

fn count(handles: usize) -> String {
    match handles {
        1 => "1 object or session".to_owned(),
        number => format!("{number} objects and sessions"),
    }
}
