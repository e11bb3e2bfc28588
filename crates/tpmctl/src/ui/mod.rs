//! `tpmctl ui`: TPMs and keys in a terminal, panel by panel.
//!
//! [`model`] is the state and does no input or output; [`view`] draws it; [`work`] does what it asks for, in a thread of
//! its own, by the functions that the commands call. What is here connects the three: keys and reports become events.

mod input;
mod model;
mod panels;
mod plain;
mod screen;
#[cfg(test)]
mod tests;
mod view;
mod work;

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use signal_hook::consts::{SIGCONT, SIGTSTP, SIGWINCH};
use signal_hook::{flag, low_level};
use zeroize::Zeroizing;

use crate::cli::{Global, Ui};
use crate::error::Error;
use crate::{interrupt, output, settings};
use input::Decoder;
use model::{Effect, Event, Model};
use screen::Screen;
use view::look::Look;
use work::Worker;

/// Between two movements of the sign that the TPM works.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 120_000_000,
};
/// How long more is waited for behind an escape character.
const SEQUENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// Runs the manager, or writes what its panels show.
pub(crate) fn run(global: &Global, args: &Ui) -> Result<(), Error> {
    if global.json {
        return Err(Error::usage(
            "the manager writes no JSON: the commands that its log names do, and `tpmctl ui --plain` writes text",
        ));
    }
    let look = Look::of(args);
    if args.plain {
        return plain::run(global, args, look);
    }
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(Error::usage(
            "standard input and output are no terminal: `tpmctl ui --plain` writes the same as text",
        ));
    }
    if io::stderr().is_terminal() && log::max_level() > log::LevelFilter::Off {
        return Err(Error::usage(
            "the log would be written over the screen: send it elsewhere, `tpmctl ui -v 2>ui.log`",
        ));
    }
    // Before anything is drawn: what names the TPM may be wrong.
    settings::tpm(global)?;
    Manager::new(global, args, look)?.run()
}

/// The manager at a terminal.
struct Manager {
    model: Model,
    look: Look,
    worker: Worker,
    screen: Screen,
    decoder: Decoder,
    /// Read where something has happened that is no key.
    wake: UnixStream,
    is_continued: Arc<AtomicBool>,
}

impl Manager {
    fn new(global: &Global, args: &Ui, look: Look) -> Result<Self, Error> {
        let failed =
            |error: io::Error| Error::new(format!("signals cannot be waited for: {error}"));
        let (wake, sender) = UnixStream::pair().map_err(failed)?;
        wake.set_nonblocking(true).map_err(failed)?;
        let is_continued = Arc::new(AtomicBool::new(false));
        flag::register(SIGCONT, Arc::clone(&is_continued)).map_err(failed)?;
        for signal in [SIGWINCH, SIGCONT] {
            let sender = sender.try_clone().map_err(failed)?;
            low_level::pipe::register(signal, sender).map_err(failed)?;
        }
        let worker = Worker::start(global, sender)?;
        interrupt::manage(screen::leave)?;
        Ok(Self {
            model: Model::new(args.panel.unwrap_or_default().into()),
            look,
            worker,
            screen: Screen::enter()?,
            decoder: Decoder::new(),
            wake,
            is_continued,
        })
    }

    fn run(mut self) -> Result<(), Error> {
        let result = self.go_on();
        if result.is_err() {
            // The terminal has gone: what is in the TPM is not to stay.
            screen::leave();
            interrupt::finish();
            self.model.busy = None;
        }
        result
    }

    fn go_on(&mut self) -> Result<(), Error> {
        output::keep_notes(true);
        let height = self.screen.height();
        self.model.update(Event::Resize { height });
        let effects = self.model.start();
        if self.perform(effects)? {
            return Ok(());
        }
        loop {
            let (model, look) = (&self.model, &self.look);
            self.screen.draw(|frame| view::draw(model, look, frame))?;
            let effects = self.wait()?;
            if self.perform(effects)? {
                return Ok(());
            }
        }
    }

    /// Waits for something to happen. While nothing runs that takes as long as it takes, and costs nothing.
    fn wait(&mut self) -> Result<Vec<Effect>, Error> {
        let timeout = match (self.decoder.is_open(), self.model.busy.is_some()) {
            (true, _) => Some(&SEQUENCE),
            (false, true) => Some(&TICK),
            (false, false) => None,
        };
        let input = io::stdin();
        let mut waited = [
            PollFd::new(&input, PollFlags::IN),
            PollFd::new(&self.wake, PollFlags::IN),
        ];
        match poll(&mut waited, timeout) {
            Ok(0) if self.decoder.is_open() => {
                let key = self.decoder.flush();
                return Ok(key.map_or_else(Vec::new, |key| self.model.update(Event::Key(key))));
            }
            Ok(0) => return Ok(self.model.update(Event::Tick)),
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(terminal_gone(&error.into())),
            Ok(_) => {}
        }
        let (typed, woken) = (
            !waited[0].revents().is_empty(),
            !waited[1].revents().is_empty(),
        );
        let mut effects = Vec::new();
        if woken {
            effects.extend(self.woken()?);
        }
        if typed {
            effects.extend(self.typed()?);
        }
        Ok(effects)
    }

    fn typed(&mut self) -> Result<Vec<Effect>, Error> {
        let mut octets = Zeroizing::new([0u8; 64]);
        let count = match read(io::stdin().as_fd(), &mut *octets) {
            Ok(0) => return Err(terminal_gone(&io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => 0,
            Err(error) => return Err(terminal_gone(&error.into())),
        };
        let mut effects = Vec::new();
        for octet in &octets[..count] {
            if let Some(key) = self.decoder.push(*octet) {
                effects.extend(self.model.update(Event::Key(key)));
            }
        }
        Ok(effects)
    }

    /// A report, another size, or that the process goes on after it was stopped.
    fn woken(&mut self) -> Result<Vec<Effect>, Error> {
        let mut octets = [0u8; 64];
        while matches!(read(&self.wake, &mut octets), Ok(1..)) {}
        let mut effects = Vec::new();
        if self.is_continued.swap(false, Ordering::Relaxed) {
            self.screen.again()?;
        }
        let height = self.screen.height();
        effects.extend(self.model.update(Event::Resize { height }));
        while let Some(report) = self.worker.report() {
            effects.extend(self.model.update(Event::Report(Box::new(report))));
        }
        Ok(effects)
    }

    /// Whether it is the end.
    fn perform(&mut self, effects: Vec<Effect>) -> Result<bool, Error> {
        for effect in effects {
            match effect {
                Effect::Run { job, address } => self.worker.begin(job, address)?,
                Effect::Cancel => interrupt::cancel(),
                Effect::Redraw => self.screen.again()?,
                Effect::Suspend => {
                    screen::leave();
                    // Comes back with SIGCONT.
                    low_level::emulate_default_handler(SIGTSTP)
                        .map_err(|error| terminal_gone(&error))?;
                    self.screen.again()?;
                }
                Effect::Quit => return Ok(true),
            }
        }
        Ok(false)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        screen::leave();
        output::keep_notes(false);
        let busy = self.model.busy.is_some();
        if busy {
            output::note(
                "tpmctl: the TPM was at work; `tpmctl flush` shows whether something is left in it",
            );
        }
    }
}

fn terminal_gone(error: &io::Error) -> Error {
    Error::new(format!("the terminal cannot be read: {error}"))
}
