//! Signals while the TPM works: its command cannot be called back, and what it has loaded for us must
//! be removed from a TPM without a resource manager before the process goes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use tss::{tpm2, tpm12};

use crate::error::Error;
use crate::output;

const HELD: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

/// What a signal finds.
enum Stage {
    /// The TPM works.
    Tpm,
    /// Somebody is asked at the terminal, who is told nothing of the TPM.
    Asking,
    /// The TPM does not work any more, or not yet, and there may be files that are not complete.
    Files(Vec<PathBuf>),
    /// An agent serves, at a socket of its own or at one of systemd's.
    Serving(Option<PathBuf>),
    /// The manager has the terminal, which is given back so.
    Managing(fn()),
}

impl Stage {
    /// Whether it lasts until the end of the process, whatever commands do meanwhile.
    fn lasts(&self) -> bool {
        matches!(self, Self::Serving(_) | Self::Managing(_))
    }
}

/// The signal that came, 0 for none; there once signals are held back.
static RECEIVED: OnceLock<Arc<AtomicUsize>> = OnceLock::new();
static STAGE: Mutex<Stage> = Mutex::new(Stage::Tpm);
/// Whether somebody has cancelled what is going on, where that is not the end of the process.
static CANCELLED: AtomicBool = AtomicBool::new(false);
/// Held while the manager works.
static WORKING: Mutex<()> = Mutex::new(());

fn stage() -> MutexGuard<'static, Stage> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on the first signal waits until [`check`], [`tpm_is_done`] or the end of the command; the second ends the
/// process at once.
pub(crate) fn hold() -> Result<(), Error> {
    let mut now = stage();
    if !now.lasts() {
        *now = Stage::Tpm;
    }
    drop(now);
    if RECEIVED.get().is_some() {
        return Ok(());
    }
    register(RECEIVED.get_or_init(Arc::default)).map_err(|error| {
        Error::new(format!(
            "signals cannot be held back while the TPM works: {error}"
        ))
    })
}

fn register(received: &Arc<AtomicUsize>) -> io::Result<()> {
    let again = Arc::new(AtomicBool::new(false));
    for signal in HELD {
        // The flag that a second signal looks at is set by the first.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
        flag::register(signal, Arc::clone(&again))?;
        let number = usize::try_from(signal).unwrap_or_default();
        flag::register_usize(signal, Arc::clone(received), number)?;
    }
    let mut signals = Signals::new(HELD)?;
    thread::Builder::new().spawn(move || {
        for signal in signals.forever() {
            answer(signal);
        }
    })?;
    Ok(())
}

/// Says that a signal has come, where the TPM works: what follows may take a minute. Elsewhere it ends the process, which
/// may wait for a pipe.
fn answer(signal: i32) {
    let managing = match *stage() {
        Stage::Managing(give_back) => Some(give_back),
        _ => None,
    };
    if let Some(give_back) = managing {
        give_back();
        finish();
        tpm2::release_all_at_exit();
        tpm12::release_all_at_exit();
        std::process::exit(128 + signal);
    }
    // Held until the end: what is complete by now must not be taken for a draft.
    match &*stage() {
        // Behind the ^C that the terminal shows.
        Stage::Tpm => output::note(
            "\nThe TPM cannot be stopped in the middle of a command: this ends when it is done. Once more ends at once, \
             and may leave something loaded in the TPM (`tpmctl flush`).",
        ),
        Stage::Asking => {}
        Stage::Files(drafts) => {
            for draft in drafts {
                let _ = fs::remove_file(draft);
            }
            output::note("\ntpmctl: interrupted; no file was written");
            std::process::exit(128 + signal);
        }
        Stage::Serving(socket) => {
            if let Some(socket) = socket {
                let _ = fs::remove_file(socket);
            }
            // Waits for the command that the TPM has.
            tpm2::release_all_at_exit();
            tpm12::release_all_at_exit();
            std::process::exit(0);
        }
        Stage::Managing(_) => {}
    }
}

/// From now on a signal ends the process at once, since nothing of ours is in the TPM, and removes `drafts`, files that
/// are not complete. One that has come before still waits for [`check`].
pub(crate) fn tpm_is_done<'a>(drafts: impl IntoIterator<Item = &'a Path>) {
    let mut now = stage();
    if !matches!(*now, Stage::Managing(_)) {
        *now = Stage::Files(drafts.into_iter().map(Path::to_owned).collect());
    }
}

/// From now on a signal is the end of an agent: what it has in the TPM goes, and its socket.
pub(crate) fn serve(socket: Option<&Path>) {
    *stage() = Stage::Serving(socket.map(Path::to_owned));
}

/// From now on a signal is the end of the manager: the terminal is given back, and what there is in the TPM goes.
pub(crate) fn manage(give_back: fn()) -> Result<(), Error> {
    *stage() = Stage::Managing(give_back);
    hold()
}

/// What goes on ends at its next [`check`].
pub(crate) fn cancel() {
    CANCELLED.store(true, Ordering::Relaxed);
}

/// Something begins that nobody has cancelled yet; it has ended when what is given is dropped.
pub(crate) fn begin() -> MutexGuard<'static, ()> {
    let working = WORKING.lock().unwrap_or_else(PoisonError::into_inner);
    CANCELLED.store(false, Ordering::Relaxed);
    working
}

/// Cancels what goes on and waits for its end: the TPM cannot be stopped in the middle of a command. Nothing begins
/// behind it.
pub(crate) fn finish() {
    cancel();
    std::mem::forget(WORKING.lock().unwrap_or_else(PoisonError::into_inner));
}

/// The signal that came since [`hold`].
pub(crate) fn received() -> Option<u8> {
    let signal = RECEIVED.get()?.load(Ordering::Relaxed);
    u8::try_from(signal).ok().filter(|&signal| signal != 0)
}

/// An error if a signal came since [`hold`], or it was cancelled.
pub(crate) fn check() -> Result<(), Error> {
    if CANCELLED.load(Ordering::Relaxed) {
        return Err(Error::new("cancelled; nothing was written"));
    }
    match received() {
        None => Ok(()),
        Some(signal) => Err(Error::interrupted(signal)),
    }
}

/// What to say where the work ended since a signal had come.
pub(crate) fn interrupted() -> Error {
    match check() {
        Err(error) => error,
        Ok(()) => Error::new("interrupted; nothing was written"),
    }
}

/// Somebody is asked while this lives: a signal is no reason to explain what the TPM does.
pub(crate) struct Asking(());

impl Asking {
    pub(crate) fn begin() -> Self {
        let mut now = stage();
        // Who is asked by an agent is no reason for it to stay.
        if !now.lasts() {
            *now = Stage::Asking;
        }
        Self(())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // Who explains may come late.
        let mut now = stage();
        if received().is_none() && matches!(*now, Stage::Asking) {
            *now = Stage::Tpm;
        }
    }
}
