//! An interposer: somebody on the wire between the module and its TPM who answers any command that they like in the
//! TPM's place.
//!
//! It has keys of its own, in software ([`keys`]), and knows everything that is public ([`loot::Known`]): the parent's
//! true public area, key files, certificates. It has no private half of a key in the TPM. What it does is a value
//! ([`Attack`]), and what it has come by is there to be looked at afterwards ([`loot::Loot`]).
//!
//! Its TPM is its own as well: [`wire`], [`area`], [`crypto`] and [`session`] share no line with the module, so that
//! both would have to be wrong in the same way.

pub mod alteration;
pub mod area;
pub mod attack;
pub mod crypto;
pub mod impostor;
pub mod impostor12;
pub mod keys;
pub mod loot;
pub mod replies;
pub mod session;
pub mod strategy;
pub mod wire;

pub use attack::{ATTACKS, Aim, Attack};
pub use loot::{Known, Learned, Loot};

use super::net::{Endpoint, Listener, Stream};
use super::ports::free_ports;
use super::scratch::Scratch;
use super::tpm::{code, read_frame};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use strategy::{PassOn, Strategy, Tpm};

/// The interposer; stops on drop.
pub struct Interposer {
    shared: Arc<Shared>,
    listeners: Vec<Endpoint>,
    _dir: Option<Scratch>,
}

struct Shared {
    known: Arc<Known>,
    state: Mutex<State>,
}

struct State {
    upstream: Option<Endpoint>,
    strategy: Box<dyn Strategy>,
    loot: Loot,
    stop: bool,
}

impl Interposer {
    /// On a unix socket; `upstream` is the TPM.
    pub fn start(upstream: &Endpoint, known: &Arc<Known>) -> Self {
        let dir = Scratch::new();
        let at = Endpoint::Unix(dir.join("between"));
        Self::launch(Some(upstream.clone()), at, known, Some(dir))
    }

    /// On a TCP port, with no TPM behind it.
    pub fn alone(known: &Arc<Known>) -> Self {
        Self::launch(None, Endpoint::Tcp(free_ports(2)), known, None)
    }

    fn launch(
        upstream: Option<Endpoint>,
        at: Endpoint,
        known: &Arc<Known>,
        dir: Option<Scratch>,
    ) -> Self {
        let shared = Arc::new(Shared {
            known: Arc::clone(known),
            state: Mutex::new(State {
                upstream,
                strategy: Box::new(PassOn),
                loot: Loot::default(),
                stop: false,
            }),
        });
        let listeners = vec![at.clone(), at.control()];
        let data = Listener::bind(&at).expect("the interposer's socket");
        let control = Listener::bind(&at.control()).expect("the interposer's control socket");
        data.serve(&shared, Shared::has_stopped, |shared, client, _| {
            // Errors end the connection, as they would without an interposer.
            let _ = converse(&shared, client);
        });
        // Nobody needs the control channel; it is there because swtpm has one.
        control.serve(&shared, Shared::has_stopped, |_, mut client, _| {
            let _ = io::copy(&mut client, &mut io::sink());
        });
        Self {
            shared,
            listeners,
            _dir: dir,
        }
    }

    /// For `TPM_TCTI`.
    pub fn address(&self) -> String {
        self.listeners[0].tcti("swtpm")
    }

    /// Begins an attack; what it has learned before is forgotten.
    pub fn begin(&self, attack: Attack, aim: Aim) {
        self.use_strategy(attack.strategy(&self.shared.known, aim));
    }

    /// The same with a strategy that is none of the table's.
    pub fn use_strategy(&self, strategy: Box<dyn Strategy>) {
        let mut state = self.shared.lock();
        state.strategy = strategy;
        state.loot = Loot::default();
    }

    /// Ends the warm-up of an attack that learns from an earlier run. What passed until now does not count.
    pub fn strike_now(&self) {
        let mut state = self.shared.lock();
        state.strategy.strike_now();
        state.loot = Loot::default();
    }

    /// What has happened since the attack began.
    pub fn loot(&self) -> Loot {
        self.shared.lock().loot.clone()
    }
}

impl Drop for Interposer {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        // Wakes the accepting threads, which see that it is over.
        for endpoint in &self.listeners {
            let _ = endpoint.connect();
        }
    }
}

impl Shared {
    fn has_stopped(&self) -> bool {
        self.lock().stop
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The connection to the TPM, made with the first command that goes there.
struct Upstream {
    at: Option<Endpoint>,
    stream: Option<Stream>,
}

impl Tpm for Upstream {
    fn ask(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.at.as_ref().ok_or_else(gone)?.connect()?),
        };
        stream.write_all(command)?;
        read_frame(stream)?.ok_or_else(gone)
    }
}

/// One client's connection.
fn converse(shared: &Shared, mut client: Stream) -> io::Result<()> {
    let mut tpm = Upstream {
        at: shared.lock().upstream.clone(),
        stream: None,
    };
    let mut next = read_frame(&mut client)?;
    while let Some(frame) = next.take() {
        let (answer, withhold) = {
            // Locked for the whole turn: an attack deals with one command after the other.
            let mut state = shared.lock();
            let State { strategy, loot, .. } = &mut *state;
            loot.codes.push(code(&frame));
            shared.known.notice(&frame, loot);
            let answer = strategy.turn(&frame, &mut tpm, loot)?;
            shared.known.notice(&answer, loot);
            (answer, std::mem::take(&mut loot.withhold))
        };
        if withhold {
            // Until the client ends the connection or sends something else. Nobody's clock decides.
            next = read_frame(&mut client)?;
        }
        client.write_all(&answer)?;
        if !withhold {
            next = read_frame(&mut client)?;
        }
    }
    Ok(())
}
