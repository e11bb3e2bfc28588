//! Signals while the TPM works: its command cannot be called back, and what it has loaded for us must
//! be removed from a TPM without a resource manager before the process goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::error::Error;
use crate::output;

const HELD: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

/// From its making on, the first signal waits until [`Hold::check`]; the second ends the process at once.
pub(crate) struct Hold(Arc<AtomicUsize>);

impl Hold {
    /// Begins to hold signals back; to be called when nothing waits for the user any more.
    pub(crate) fn begin() -> Result<Self, Error> {
        let failed = |error| {
            Error::new(format!(
                "signals cannot be held back while the TPM works: {error}"
            ))
        };
        let again = Arc::new(AtomicBool::new(false));
        let received = Arc::new(AtomicUsize::new(0));
        for signal in HELD {
            // The flag that a second signal looks at is set by the first.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))
                .map_err(failed)?;
            flag::register(signal, Arc::clone(&again)).map_err(failed)?;
            let number = usize::try_from(signal).unwrap_or_default();
            flag::register_usize(signal, Arc::clone(&received), number).map_err(failed)?;
        }
        acknowledge().map_err(failed)?;
        Ok(Self(received))
    }

    /// An error if a signal came meanwhile.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match u8::try_from(self.0.load(Ordering::Relaxed)) {
            Ok(0) | Err(_) => Ok(()),
            Ok(signal) => Err(Error::interrupted(signal)),
        }
    }
}

/// Says once that a signal has come: what follows may take a minute.
fn acknowledge() -> std::io::Result<()> {
    let mut signals = Signals::new(HELD)?;
    thread::Builder::new().spawn(move || {
        if signals.forever().next().is_some() {
            // Behind the ^C that the terminal shows.
            output::note(
                "\nThe TPM cannot be stopped in the middle of a command: this ends when it is done. Once more ends at once, \
                 and may leave something loaded in the TPM (`tpmctl flush`).",
            );
        }
    })?;
    Ok(())
}
