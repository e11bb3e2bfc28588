//! The thread that does what the manager wants done, one thing after the other: the functions of the commands give their
//! values, which become what the panels show. Between two jobs nothing of ours is in a TPM, and no connection is open.

mod doctor;
mod keys;
mod nv;
mod overview;
mod owner;
mod registers;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ::keys::printable;
use tss::tpm2;
use tss::tpm12::AuthValue;
use tss::transport::Address;

use super::model::facts::{LockoutFacts, Mark};
use super::model::job::{Job, Of, Report, Value};
use super::model::table::Detail;
use super::model::{self, Panel};
use crate::action::key_test::{self, Plan, State};
use crate::action::tpm12::{self, secret};
use crate::action::{hierarchy_auth, ownership, root_key};
use crate::cli::Global;
use crate::display::hex;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::key::{file, persist};
use crate::selftest::Outcome;
use crate::settings;
use crate::{flush, interrupt, lockout, output, selftest};

/// What the thread is called: its panics are told on the screen.
pub(super) const THREAD: &str = "tpmctl-work";

/// The thread.
pub(super) struct Worker {
    jobs: Sender<(Job, Option<String>)>,
    reports: Receiver<Report>,
}

impl Worker {
    /// Starts it. An octet comes to `wake` with each report.
    pub(super) fn start(global: &Global, mut wake: UnixStream) -> Result<Self, Error> {
        let (jobs, asked) = mpsc::channel::<(Job, Option<String>)>();
        let (done, reports) = mpsc::channel();
        let global = copy(global, None)?;
        let work = move || {
            for (job, address) in asked {
                if done.send(report(&global, job, address.as_deref())).is_err() {
                    break;
                }
                let _ = wake.write_all(&[0]);
            }
        };
        thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(work)
            .map_err(|error| Error::new(format!("no thread can be started: {error}")))?;
        Ok(Self { jobs, reports })
    }

    pub(super) fn begin(&self, job: Job, address: Option<String>) -> Result<(), Error> {
        self.jobs
            .send((job, address))
            .map_err(|_| Error::new("the thread that works for the manager has ended"))
    }

    /// A report, if one has come.
    pub(super) fn report(&self) -> Option<Report> {
        self.reports.try_recv().ok()
    }
}

/// The common options, of another TPM if one was chosen.
fn copy(global: &Global, address: Option<&str>) -> Result<Global, Error> {
    let tcti = match address {
        Some(address) => {
            let parsed: Address = address
                .parse()
                .map_err(|error| Error::new(format!("{error}")))?;
            Some(parsed)
        }
        None => global.tcti.clone(),
    };
    Ok(Global {
        tcti,
        parent_auth: global.parent_auth.clone(),
        json: false,
        verbose: global.verbose,
    })
}

/// Does a job, whatever comes of it.
pub(super) fn report(global: &Global, job: Job, address: Option<&str>) -> Report {
    let _working = interrupt::begin();
    let named = address
        .map(str::to_owned)
        .or_else(|| global.tcti.as_ref().map(Address::to_string));
    let of = Of::new(&job, named.as_deref());
    let tries_a_value = tries_a_value(&job);
    let at = time_of_day();
    let started = Instant::now();
    let global = copy(global, address);
    let done = panic::catch_unwind(AssertUnwindSafe(|| {
        let global = global?;
        let result = run(&global, job);
        let lockout = match tries_a_value {
            true => lockout_now(&global),
            false => None,
        };
        Ok::<_, Error>((result, lockout))
    }));
    let (result, lockout) = match done {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => (Err(error), None),
        Err(_) => (
            Err(Error::new(
                "this is a fault of tpmctl's own (a panic); please report it",
            )),
            None,
        ),
    };
    // Others wait for a TPM that is theirs, too.
    tpm2::release_all();
    tss::tpm12::release_all_at_exit();
    Report {
        of,
        result: result.map_err(|error| printable::lines(&error.to_string()).into_owned()),
        lockout,
        at,
        took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        notes: output::kept_notes(),
    }
}

/// Whether a wrong value may have been counted.
fn tries_a_value(job: &Job) -> bool {
    match job {
        Job::TestKey { secret, .. } => secret.is_some(),
        Job::Persist { owner, .. } | Job::Evict { owner, .. } | Job::CreateSrk { owner } => {
            owner.is_some()
        }
        Job::ResetLockout { .. } | Job::SetAuth { .. } | Job::Clear { .. } => true,
        Job::Read(_) | Job::SelfTest | Job::Flush | Job::Loss => false,
    }
}

fn lockout_now(global: &Global) -> Option<LockoutFacts> {
    let chosen = settings::tpm(global).ok()?;
    lockout::state(&chosen).ok().map(overview::lockout)
}

fn run(global: &Global, job: Job) -> Result<Value, Error> {
    Ok(match job {
        Job::Read(Panel::Overview) => Value::Overview(overview::tpms(global)?),
        Job::Read(Panel::Keys | Panel::Sealed) => Value::Keys(keys::all(global)?),
        Job::Read(Panel::Registers) => Value::Registers(registers::all(global)?),
        Job::Read(Panel::Nv) => Value::Nv(nv::memory(global)?),
        Job::Read(Panel::Owner) => Value::Owner(owner::facts(global)?),
        Job::Read(Panel::Doctor) => Value::Doctor(doctor::findings(global)?),
        Job::Read(Panel::Log) => Value::Done(String::new()),
        Job::SelfTest => self_test(global)?,
        Job::TestKey { path, secret } => test_key(global, &path, secret)?,
        Job::Persist { path, owner } => {
            let chosen = settings::tpm_with_owner(global, owner.as_ref())?;
            let at = persist::persist_file(&chosen, &path)?;
            Value::Done(format!("{} is at {} now", printable::path(&path), hex(at)))
        }
        Job::Evict { handle, owner } => {
            let chosen = settings::tpm_with_owner(global, owner.as_ref())?;
            persist::remove_at(&chosen, handle)?;
            Value::Done(format!("removed the key at {}", hex(handle)))
        }
        Job::CreateSrk { owner } => {
            let chosen = settings::tpm_with_owner(global, owner.as_ref())?;
            let made = root_key::create(&chosen)?;
            Value::Done(match made.created {
                true => format!("made the storage root key at {}", made.srk.handle),
                false => format!("there is a storage root key at {} already", made.srk.handle),
            })
        }
        Job::ResetLockout { auth } => {
            let chosen = settings::tpm_with_parent(global)?;
            lockout::forget(&chosen, auth)?;
            Value::Done("no wrong try counts any more".to_owned())
        }
        Job::SetAuth {
            hierarchy,
            old,
            new,
        } => {
            let chosen = settings::tpm_with_parent(global)?;
            match AnyTpm::of(&chosen.tpm)? {
                AnyTpm::Tpm2(..) => {
                    hierarchy_auth::set(&chosen, hierarchy, old, &new)?;
                    Value::Done(format!(
                        "the {} hierarchy has the new authorization value",
                        hierarchy.name()
                    ))
                }
                AnyTpm::Tpm12(client) => {
                    let (old, new) = (owners(old)?, secret::value(&new));
                    tpm12::owner::passwd(&client, &old, &new).map_err(|failure| failure.error)?;
                    Value::Done("the owner has the new secret".to_owned())
                }
            }
        }
        Job::Loss => Value::Loss(owner::loss(global)?),
        Job::Clear { auth } => {
            let chosen = settings::tpm_with_parent(global)?;
            match AnyTpm::of(&chosen.tpm)? {
                AnyTpm::Tpm2(..) => {
                    let auth = auth.unwrap_or_else(crypto::Secret::empty);
                    ownership::clear(&chosen, None, &auth)?;
                }
                AnyTpm::Tpm12(client) => tpm12::owner::clear(&client, Some(&owners(auth)?))?,
            }
            Value::Done("cleared: the TPM is nobody's".to_owned())
        }
        Job::Flush => {
            let flushed = flush::everything(&settings::tpm(global)?)?;
            Value::Done(match flushed.is_empty() {
                true => "there was nothing to flush".to_owned(),
                false => format!("flushed {}", flushed.join(" ")),
            })
        }
    })
}

/// The secret of a TPM 1.2's owner, without which nothing is tried.
fn owners(typed: Option<crypto::Secret>) -> Result<AuthValue, Error> {
    match typed {
        Some(typed) => Ok(secret::value(&typed)),
        None => Err(Error::new(
            "a TPM 1.2 does this for its owner, whose secret was not typed (40 zeros are the well-known one); nothing was done",
        )),
    }
}

fn self_test(global: &Global) -> Result<Value, Error> {
    let report = selftest::report(&settings::tpm(global)?, true)?;
    let mut details = vec![Detail::Text(report.outcome.sentence().to_owned())];
    if let Some(result) = report.result {
        details.push(Detail::Fact("result".to_owned(), result));
    }
    if !report.data.is_empty() {
        details.push(Detail::Fact("data".to_owned(), report.data));
    }
    let mark = match report.outcome {
        Outcome::Passed => Mark::Good,
        Outcome::Failed => Mark::Bad,
        _ => Mark::Warning,
    };
    Ok(Value::Said {
        mark,
        title: match mark {
            Mark::Bad => "the self-test failed",
            _ => "the self-test has ended",
        }
        .to_owned(),
        details,
    })
}

fn test_key(global: &Global, path: &Path, secret: Option<crypto::Secret>) -> Result<Value, Error> {
    let plan = Plan {
        path,
        bytes: file::read(path),
        certificate: None,
        user: None,
    };
    let verdict = key_test::run(global, plan, || Ok(secret))?;
    let details = verdict.layers.iter().map(|checked| {
        let state = match checked.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "FAILED",
        };
        let layer = crate::print::key_test::name(checked.layer);
        Detail::Fact(layer.to_owned(), format!("{state}: {}", checked.text))
    });
    let file = printable::path(path);
    Ok(Value::Said {
        mark: if verdict.works { Mark::Good } else { Mark::Bad },
        title: match verdict.works {
            true => format!("{file} works"),
            false => format!("{file} does not work"),
        },
        details: details.collect(),
    })
}

/// Now, in UTC.
fn time_of_day() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let seconds = seconds % 86400;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// A job for the panels' text, without a thread.
pub(super) fn read(global: &Global, panel: Panel) -> model::Event {
    model::Event::Report(Box::new(report(global, Job::Read(panel), None)))
}
