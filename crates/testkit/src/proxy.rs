//! A wire tap between a client and its TPM: counts commands, keeps them, and makes trouble on request.
//!
//! For each client connection the proxy opens one of its own and closes it afterwards, so it behaves
//! as swtpm itself does: a second client connects and waits.

use crate::net::{Endpoint, Listener, Stream};
use crate::ports::free_ports;
use crate::scratch::Scratch;
use crate::swtpm::Swtpm;
use crate::swtpm12::Swtpm12;
use crate::tpm::{code, name, rc, read_frame, response};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// The proxy; stops on drop.
pub struct Proxy {
    shared: Arc<Shared>,
    listeners: Vec<Endpoint>,
    kind: &'static str,
    _dir: Option<Scratch>,
}

/// One command that passed, with its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub code: u32,
    pub command: Vec<u8>,
    /// Empty when the connection was cut before an answer.
    pub response: Vec<u8>,
    /// The number of the client's connection, from 1.
    pub connection: usize,
    pub took: Duration,
}

impl Exchange {
    pub fn name(&self) -> String {
        name(self.code)
    }

    /// The answer's code, `None` when there was no answer.
    pub fn rc(&self) -> Option<u32> {
        (self.response.len() >= 10).then(|| code(&self.response))
    }

    /// Did the TPM ask to be asked again? Such a command does not count.
    fn again(&self) -> bool {
        self.rc()
            .is_some_and(|rc| matches!(rc, rc::RETRY | rc::TESTING | rc::YIELDED))
    }
}

/// What is done to a command or its answer.
#[derive(Clone, Debug)]
pub enum Action {
    /// The TPM never sees the command; the client gets this code.
    Answer(u32),
    /// The TPM executes the command; the client gets this code instead of the answer.
    Replace(u32),
    /// The TPM executes the command; the client gets these bytes instead of the answer.
    Garbage(Vec<u8>),
    /// The connection ends before the TPM sees the command.
    CutBefore,
    /// The TPM executes the command; the connection ends before the answer.
    CutAfter,
    /// The answer comes later.
    Delay(Duration),
    /// Only so many bytes of the answer come, then the connection ends.
    Truncate(usize),
    /// A bit of the answer, counted from the first byte's lowest and round from the end, is flipped.
    FlipBit(usize),
    /// The answer's size field is off by so much.
    WrongSize(i32),
    /// The answer waits for [`Proxy::release`].
    Hold,
}

/// An action, for which commands, and how often.
#[derive(Clone, Debug)]
pub struct Fault {
    code: Option<u32>,
    skip: usize,
    times: usize,
    action: Action,
}

impl Fault {
    /// Strikes the next command with this code, once.
    pub fn on(code: u32, action: Action) -> Self {
        Self {
            code: Some(code),
            skip: 0,
            times: 1,
            action,
        }
    }

    /// Strikes the next command, once.
    pub fn any(action: Action) -> Self {
        Self {
            code: None,
            skip: 0,
            times: 1,
            action,
        }
    }

    /// Lets `skip` matching commands pass first.
    pub fn after(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }

    /// Strikes `times` in a row.
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Strikes until [`Proxy::heal`].
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Default)]
struct State {
    upstream: Option<Endpoint>,
    exchanges: Vec<Exchange>,
    connections: usize,
    faults: Vec<Fault>,
    holding: usize,
    /// Streams to be shut when the proxy goes.
    open: BTreeMap<usize, [Stream; 2]>,
    stop: bool,
}

/// Commands by name. Compares with `[("Load", 1), ("Sign", 1)]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<String, usize>);

impl Counts {
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }

    pub fn of(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Asserts that exactly these commands passed.
    #[track_caller]
    pub fn are(&self, wanted: &[(&str, usize)]) {
        let wanted = Self(
            wanted
                .iter()
                .map(|&(name, n)| (name.to_owned(), n))
                .collect(),
        );
        assert!(*self == wanted, "TPM commands: {self:?}, wanted {wanted:?}");
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.0).finish()
    }
}

/// How clients speak to the proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// Bare commands, as swtpm takes them.
    Swtpm,
    /// Commands in the envelopes of Microsoft's simulator.
    Mssim,
}

impl Proxy {
    /// In front of `swtpm`, on a unix socket.
    pub fn start(swtpm: &Swtpm) -> Self {
        let dir = Scratch::new();
        let endpoint = Endpoint::Unix(dir.join("tap"));
        Self::launch(swtpm, endpoint, Framing::Swtpm, Some(dir))
    }

    /// In front of `swtpm`, on a TCP port.
    pub fn start_tcp(swtpm: &Swtpm) -> Self {
        Self::launch(swtpm, Endpoint::Tcp(free_ports(2)), Framing::Swtpm, None)
    }

    /// In front of `swtpm`, on a TCP port, with the protocol of Microsoft's simulator.
    pub fn start_mssim(swtpm: &Swtpm) -> Self {
        Self::launch(swtpm, Endpoint::Tcp(free_ports(2)), Framing::Mssim, None)
    }

    /// In front of a TPM 1.2, on a unix socket.
    pub fn start12(swtpm: &Swtpm12) -> Self {
        let dir = Scratch::new();
        let endpoint = Endpoint::Unix(dir.join("tap"));
        Self::launch_at(swtpm.endpoint(), endpoint, Framing::Swtpm, Some(dir))
    }

    fn launch(swtpm: &Swtpm, at: Endpoint, framing: Framing, dir: Option<Scratch>) -> Self {
        Self::launch_at(swtpm.endpoint(), at, framing, dir)
    }

    fn launch_at(
        upstream: &Endpoint,
        at: Endpoint,
        framing: Framing,
        dir: Option<Scratch>,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        shared.lock().upstream = Some(upstream.clone());
        let data = Listener::bind(&at).expect("the proxy's socket");
        let control = Listener::bind(&at.control()).expect("the proxy's control socket");
        data.serve(
            &shared,
            Shared::has_stopped,
            move |shared, stream, number| {
                // Errors end the connection, which is what the client would see without a proxy.
                let _ = match framing {
                    Framing::Swtpm => serve(&shared, stream, number),
                    Framing::Mssim => serve_mssim(&shared, stream, number),
                };
            },
        );
        let upstream_control = upstream.control();
        control.serve(&shared, Shared::has_stopped, move |_, stream, _| {
            let _ = match framing {
                Framing::Swtpm => relay(stream, &upstream_control),
                Framing::Mssim => platform(stream),
            };
        });
        let kind = if framing == Framing::Mssim {
            "mssim"
        } else {
            "swtpm"
        };
        Self {
            shared,
            listeners: vec![at.clone(), at.control()],
            kind,
            _dir: dir,
        }
    }

    /// For `TPM_TCTI`.
    pub fn address(&self) -> String {
        self.listeners[0].tcti(self.kind)
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.listeners[0]
    }

    /// The commands since the start or the last `reset`, without those that the TPM asked to repeat.
    pub fn counts(&self) -> Counts {
        let mut counts = BTreeMap::new();
        for exchange in self.exchanges().iter().filter(|e| !e.again()) {
            *counts.entry(exchange.name()).or_insert(0) += 1;
        }
        Counts(counts)
    }

    /// What `act` costs in commands, and what it returns.
    pub fn cost<T>(&self, act: impl FnOnce() -> T) -> (T, Counts) {
        self.reset();
        let result = act();
        (result, self.counts())
    }

    /// Every command with its answer, in order, repeats included.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.lock().exchanges.clone()
    }

    /// The names of the commands, in order, without repeats.
    pub fn names(&self) -> Vec<String> {
        self.exchanges()
            .iter()
            .filter(|e| !e.again())
            .map(Exchange::name)
            .collect()
    }

    /// Did `bytes` pass in clear, in either direction?
    pub fn saw(&self, bytes: &[u8]) -> bool {
        let contains = |frame: &[u8]| frame.windows(bytes.len()).any(|w| w == bytes);
        self.exchanges()
            .iter()
            .any(|e| contains(&e.command) || contains(&e.response))
    }

    /// Client connections since the start.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Forgets what has passed; faults stay.
    pub fn reset(&self) {
        self.shared.lock().exchanges.clear();
    }

    /// Adds a fault. The first that matches a command strikes it, and delays add to what else strikes.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().faults.push(fault);
    }

    /// Makes every answer late: a slow chip.
    pub fn slow(&self, delay: Duration) {
        self.inject(Fault::any(Action::Delay(delay)).always());
    }

    /// Removes all faults and releases what is held.
    pub fn heal(&self) {
        self.shared.lock().faults.clear();
        self.release();
    }

    /// Lets the held answers go.
    pub fn release(&self) {
        self.shared.lock().holding = 0;
        self.shared.released.notify_all();
    }

    /// How many answers are held right now.
    pub fn holding(&self) -> usize {
        self.shared.lock().holding
    }

    /// Ends every client connection now, as a TPM that goes away does.
    pub fn cut_all(&self) {
        for pair in self.shared.lock().open.values() {
            pair.iter().for_each(Stream::shutdown);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.cut_all();
        self.release();
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
        // A test that panicked elsewhere must not turn its clean-up into a second panic.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The faults that strike this command, delays first.
    fn strikes(&self, code: u32) -> (Duration, Option<Action>) {
        let mut delay = Duration::ZERO;
        let mut action = None;
        for fault in &mut self.lock().faults {
            if fault.times == 0 || fault.code.is_some_and(|c| c != code) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            match fault.action {
                Action::Delay(d) => delay += d,
                _ if action.is_some() => continue,
                _ => action = Some(fault.action.clone()),
            }
            if fault.times != usize::MAX {
                fault.times -= 1;
            }
        }
        (delay, action)
    }

    /// Waits for `release`.
    fn hold(&self) {
        let mut state = self.lock();
        state.holding += 1;
        let _state = self
            .released
            .wait_while(state, |s| s.holding > 0 && !s.stop)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
    }
}

/// One client connection with its own connection to the TPM.
struct Connection<'a> {
    shared: &'a Shared,
    number: usize,
    upstream: Stream,
}

impl<'a> Connection<'a> {
    fn open(shared: &'a Shared, client: &Stream, number: usize) -> io::Result<Self> {
        let endpoint = shared.lock().upstream.clone().expect("set at launch");
        let upstream = endpoint.connect()?;
        let mut state = shared.lock();
        state.connections = state.connections.max(number);
        state
            .open
            .insert(number, [client.try_clone()?, upstream.try_clone()?]);
        Ok(Self {
            shared,
            number,
            upstream,
        })
    }

    /// The answer to `command` as the client is to see it; an error ends the connection.
    fn exchange(&mut self, command: Vec<u8>) -> io::Result<(Vec<u8>, bool)> {
        let start = Instant::now();
        let code = code(&command);
        let (delay, action) = self.shared.strikes(code);
        let result = self.act(&command, action.as_ref());
        let seen = result
            .as_ref()
            .map(|(bytes, _)| bytes.clone())
            .unwrap_or_default();
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        // Recorded before the client gets its answer, so that a test that has it sees the record.
        self.shared.lock().exchanges.push(Exchange {
            code,
            command,
            response: seen,
            connection: self.number,
            took: start.elapsed(),
        });
        if matches!(action, Some(Action::Hold)) {
            self.shared.hold();
        }
        result
    }

    /// The bytes for the client, and whether the connection ends after them.
    fn act(&mut self, command: &[u8], action: Option<&Action>) -> io::Result<(Vec<u8>, bool)> {
        let cut = || io::Error::from(io::ErrorKind::ConnectionAborted);
        match action {
            Some(Action::CutBefore) => return Err(cut()),
            Some(Action::Answer(rc)) => return Ok((response(*rc), false)),
            _ => {}
        }
        self.upstream.write_all(command)?;
        let mut answer = read_frame(&mut self.upstream)?.ok_or_else(cut)?;
        match action {
            Some(Action::CutAfter) => return Err(cut()),
            Some(Action::Replace(rc)) => answer = response(*rc),
            Some(Action::Garbage(bytes)) => return Ok((bytes.clone(), true)),
            Some(Action::Truncate(n)) => {
                answer.truncate(*n);
                return Ok((answer, true));
            }
            Some(Action::FlipBit(bit)) => {
                let bit = bit % (8 * answer.len());
                answer[bit / 8] ^= 1 << (bit % 8);
            }
            Some(Action::WrongSize(by)) => {
                let size = u32::try_from(answer.len())
                    .expect("short")
                    .wrapping_add_signed(*by);
                answer[2..6].copy_from_slice(&size.to_be_bytes());
            }
            _ => {}
        }
        Ok((answer, false))
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if let Some(pair) = self.shared.lock().open.remove(&self.number) {
            pair.iter().for_each(Stream::shutdown);
        }
    }
}

fn serve(shared: &Shared, mut client: Stream, number: usize) -> io::Result<()> {
    let mut connection = Connection::open(shared, &client, number)?;
    while let Some(command) = read_frame(&mut client)? {
        let (answer, last) = connection.exchange(command)?;
        client.write_all(&answer)?;
        if last {
            break;
        }
    }
    Ok(())
}

/// TPM_SEND_COMMAND (8), locality, size, command; the answer: size, response, a zero. 20 ends.
fn serve_mssim(shared: &Shared, mut client: Stream, number: usize) -> io::Result<()> {
    let mut connection = Connection::open(shared, &client, number)?;
    let mut word = [0; 4];
    while client.read_exact(&mut word).is_ok() {
        if u32::from_be_bytes(word) != 8 {
            break;
        }
        let mut head = [0; 5];
        client.read_exact(&mut head)?;
        let mut command =
            vec![0; u32::from_be_bytes(head[1..].try_into().expect("four bytes")) as usize];
        client.read_exact(&mut command)?;
        let (answer, last) = connection.exchange(command)?;
        let size = u32::try_from(answer.len()).expect("short").to_be_bytes();
        client.write_all(&[&size, &answer[..], &[0; 4]].concat())?;
        if last {
            break;
        }
    }
    Ok(())
}

/// The simulator's platform port: every signal (power on, NV on ...) is answered with a zero.
fn platform(mut client: Stream) -> io::Result<()> {
    let mut word = [0; 4];
    while client.read_exact(&mut word).is_ok() && u32::from_be_bytes(word) != 20 {
        client.write_all(&[0; 4])?;
    }
    Ok(())
}

/// swtpm's control channel, passed through as it is.
fn relay(client: Stream, upstream: &Endpoint) -> io::Result<()> {
    let upstream = upstream.connect()?;
    let pump = |mut from: Stream, mut to: Stream| {
        let _ = io::copy(&mut from, &mut to);
        match &to {
            Stream::Tcp(s) => s.shutdown(Shutdown::Write),
            Stream::Unix(s) => s.shutdown(Shutdown::Write),
        }
    };
    let (from, to) = (client.try_clone()?, upstream.try_clone()?);
    thread::spawn(move || pump(from, to));
    let _ = pump(upstream, client);
    Ok(())
}
