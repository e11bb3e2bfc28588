//! Signals while the TPM works: its command cannot be called back, and what it has loaded for us must
//! be removed from a TPM without a resource manager before the process goes.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::error::Error;
use crate::output;

const HELD: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

/// The signal that came, 0 for none; there once signals are held back.
static RECEIVED: OnceLock<Arc<AtomicUsize>> = OnceLock::new();
/// Somebody is asked at the terminal: the TPM does nothing meanwhile.
static ASKING: AtomicBool = AtomicBool::new(false);

/// From now on the first signal waits until [`check`] or the end of the command; the second ends the process at once.
pub(crate) fn hold() -> Result<(), Error> {
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
        for _ in signals.forever() {
            if !ASKING.load(Ordering::Relaxed) {
                // Behind the ^C that the terminal shows.
                output::note(
                    "\nThe TPM cannot be stopped in the middle of a command: this ends when it is done. Once more ends at \
                     once, and may leave something loaded in the TPM (`tpmctl flush`).",
                );
            }
        }
    })?;
    Ok(())
}

/// The signal that came since [`hold`].
pub(crate) fn received() -> Option<u8> {
    let signal = RECEIVED.get()?.load(Ordering::Relaxed);
    u8::try_from(signal).ok().filter(|&signal| signal != 0)
}

/// An error if a signal came since [`hold`].
pub(crate) fn check() -> Result<(), Error> {
    match received() {
        None => Ok(()),
        Some(signal) => Err(Error::interrupted(signal)),
    }
}

/// Somebody is asked while this lives: a signal is no reason to explain what the TPM does.
pub(crate) struct Asking(());

impl Asking {
    pub(crate) fn begin() -> Self {
        ASKING.store(true, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // Who explains may come late.
        if received().is_none() {
            ASKING.store(false, Ordering::Relaxed);
        }
    }
}
