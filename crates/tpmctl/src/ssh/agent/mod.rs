//! `tpmctl ssh-agent`: the agent protocol (draft-ietf-sshm-ssh-agent) on a socket, for keys in TPMs.
//!
//! A thread for each client, which waits for its client and for nobody else: keys are used one after the other in the order
//! in which the TPM is asked, and questions to the user come one at a time.

mod ask;
mod binding;
mod loaded;
mod lock;
mod message;
mod session;
mod socket;
mod units;
mod upstream;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use keys::{Tpm, printable};

pub(super) use loaded::lifetime;
pub(super) use units::{own_path, service as service_unit, socket as socket_unit, write};

use super::args::SshAgent;
use super::home;
use super::sign::sign;
use super::store::{Found, Store};
use crate::cli::{Cli, Global};
use crate::error::Error;
use crate::{interrupt, output, settings};
use ask::Questions;
use loaded::Loaded;
use lock::Lock;

/// As many clients as one user may have at a time; more are turned away.
const MOST_CLIENTS: usize = 1024;
/// How often somebody is asked for one signature.
const TRIES: usize = 3;

/// What the clients of the agent share.
struct Agent {
    tpm: Arc<Tpm>,
    store: Mutex<Store>,
    loaded: Loaded,
    lock: Lock,
    questions: Questions,
    confirm: bool,
    proxies: Vec<PathBuf>,
}

/// Serves until a signal comes.
pub(crate) fn run(global: &Global, args: &SshAgent) -> Result<(), Error> {
    if global.json {
        Cli::conflict("ssh-agent has no result: leave --json out");
    }
    if args.install {
        return units::install(args);
    }
    let path = match &args.socket {
        Some(path) => path.clone(),
        None => home::socket()?,
    };
    if args.print_socket {
        return output::print(&format!("{}\n", printable::path(&path)));
    }
    let dirs = match args.key_dir.is_empty() {
        true => vec![home::dir()?],
        false => args.key_dir.clone(),
    };
    let chosen = settings::tpm_with_parent(global)?;
    let listening = socket::listen(&path, args.socket.is_some())?;
    interrupt::serve(listening.path.as_deref());
    let agent = Arc::new(Agent {
        tpm: chosen.tpm,
        store: Mutex::new(Store::new(dirs)),
        loaded: Loaded::new(args.pin_lifetime),
        lock: Lock::default(),
        questions: Questions::default(),
        confirm: args.confirm,
        proxies: args.proxy.clone(),
    });
    match &listening.path {
        Some(path) => output::note(&format!(
            "Serving the keys at SSH_AUTH_SOCK={}",
            printable::path(path)
        )),
        None => output::note("Serving the keys at the socket that systemd has opened"),
    }
    serve(&agent, &listening)
}

fn serve(agent: &Arc<Agent>, listening: &socket::Listening) -> Result<(), Error> {
    let forgetting = Arc::clone(agent);
    let forgets = thread::Builder::new().spawn(move || forgetting.loaded.keep_time());
    forgets.map_err(|error| Error::new(format!("no thread to forget PINs: {error}")))?;
    let clients = Arc::new(AtomicUsize::new(0));
    loop {
        let client = listening.accept()?;
        let Some(place) = Place::take(&clients) else {
            log::warn!("a client was turned away: there are {MOST_CLIENTS}");
            continue;
        };
        let agent = Arc::clone(agent);
        // One that cannot be served is one that goes away.
        let _ = thread::Builder::new().spawn(move || {
            let _place = place;
            session::serve(&agent, client);
        });
    }
}

/// A client's place among those that there may be.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(clients: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(clients));
        (clients.fetch_add(1, Ordering::Relaxed) < MOST_CLIENTS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Agent {
    /// The keys that there are now.
    fn keys(&self) -> Vec<Found> {
        locked(&self.store).look()
    }

    /// Signs with the key, whose PIN is asked for if nobody has given it yet.
    fn sign(&self, found: &Found, data: &[u8], flags: u32) -> Result<Vec<u8>, Error> {
        let key = self.loaded.load(found, &self.tpm)?;
        let mut refused: Option<Error> = None;
        if !key.needs_login() {
            match sign(&key, data, flags) {
                Err(error) if key.needs_login() => refused = Some(error),
                other => return other,
            }
        }
        // Who comes second finds the PIN that the first has given.
        let _one = self.questions.begin();
        for _ in 0..TRIES {
            if key.needs_login() {
                let pin = ask::pin(found, refused.as_ref())?;
                // Before the key has it: whoever forgets it then finds it.
                self.loaded.note_given(found);
                if self.lock.is_locked() {
                    return Err(Error::new("the agent was locked before the PIN was given"));
                }
                // One that is known to be wrong.
                if let Err(error) = key.log_in(pin) {
                    refused = Some(error.into());
                    continue;
                }
            }
            match sign(&key, data, flags) {
                Err(error) if key.needs_login() => refused = Some(error),
                other => return other,
            }
        }
        Err(refused.unwrap_or_else(|| Error::new("the PIN was not given")))
    }
}

/// What is behind a lock of ours is whole whenever the lock is free.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
