//! The terminal while the manager has it, and that it is as it was whatever ends that: the end, an error, a panic, a
//! signal.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use crate::error::Error;
use crate::output;

/// The other screen, empty, without a cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[0m\x1b[2J";
const LEAVE: &[u8] = b"\x1b[0m\x1b[?25h\x1b[?1049l";

/// How the terminal was; there while it is ours. Whoever draws holds it, so that nothing is drawn on a terminal that is
/// somebody else's again.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The terminal.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<File>>>,
}

impl Screen {
    /// Takes the terminal that standard input and output are.
    pub(crate) fn enter() -> Result<Self, Error> {
        let terminal = terminal()?;
        take().map_err(|error| failed(&error))?;
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                // The worker's panics are caught, and told on the screen.
                if std::thread::current().name() != Some(super::work::THREAD) {
                    leave();
                    next(panic);
                }
            }));
        });
        Ok(Self { terminal })
    }

    /// Takes it again: somebody else had it meanwhile.
    pub(crate) fn again(&mut self) -> Result<(), Error> {
        take().map_err(|error| failed(&error))?;
        // Not cleared by the old one, which would ask the terminal for its cursor and read the keys for that.
        self.terminal = terminal()?;
        Ok(())
    }

    /// Draws, unless the terminal is given back already.
    pub(crate) fn draw(&mut self, view: impl FnOnce(&mut ratatui::Frame<'_>)) -> Result<(), Error> {
        let before = before();
        if before.is_none() {
            return Ok(());
        }
        let drawn = self.terminal.draw(view).map(|_| ());
        drop(before);
        drawn.map_err(|error| failed(&error))
    }

    /// Its lines.
    pub(crate) fn height(&self) -> u16 {
        self.terminal.size().map_or(24, |size| size.height)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// One that has drawn nothing yet.
fn terminal() -> Result<Terminal<CrosstermBackend<BufWriter<File>>>, Error> {
    let backend = CrosstermBackend::new(BufWriter::new(output::raw_stdout()?));
    Terminal::new(backend).map_err(|error| failed(&error))
}

fn take() -> io::Result<()> {
    let mut before = before();
    let input = io::stdin();
    let now = tcgetattr(&input)?;
    let mut raw = now.clone();
    raw.local_modes
        .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN);
    raw.input_modes
        .remove(InputModes::IXON | InputModes::ICRNL | InputModes::INLCR | InputModes::ISTRIP);
    raw.special_codes[SpecialCodeIndex::VMIN] = 1;
    raw.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(&input, OptionalActions::Now, &raw)?;
    // Whoever has stopped us may not have given it back.
    before.get_or_insert(now);
    write(ENTER)
}

/// Gives the terminal back; does nothing where it is not ours.
pub(crate) fn leave() {
    if let Some(was) = before().take() {
        // A terminal that is gone needs nothing.
        let _ = write(LEAVE);
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &was);
    }
}

fn write(octets: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(octets).and_then(|()| out.flush())
}

fn failed(error: &io::Error) -> Error {
    Error::new(format!(
        "the terminal cannot be used: {error}; `tpmctl ui --plain` writes the same as text"
    ))
}
