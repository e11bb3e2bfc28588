//! Signals while the TPM works: its command cannot be called back, and what it has loaded for us must
//! be removed from a TPM without a resource manager before the process goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::error::Error;
use crate::output;

const HELD: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

/// What a signal finds.
#[derive(Default)]
enum Stage {
    /// The TPM works.
    #[default]
    Tpm,
    /// It does not any more, and there may be a file that is not complete.
    Files(Option<PathBuf>),
}

/// From its making on, the first signal waits until [`Hold::check`], or until [`Hold::tpm_is_done`]; the second ends the
/// process at once.
pub(crate) struct Hold {
    received: Arc<AtomicUsize>,
    stage: Arc<Mutex<Stage>>,
}

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
        let stage = Arc::default();
        acknowledge(Arc::clone(&stage)).map_err(failed)?;
        Ok(Self { received, stage })
    }

    /// From now on a signal ends the process at once, since nothing of ours is in the TPM, and removes `draft`, a file that
    /// is not complete. One that has come before still waits for [`Hold::check`].
    pub(crate) fn tpm_is_done(&self, draft: Option<&Path>) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        *stage = Stage::Files(draft.map(Path::to_owned));
    }

    /// What to say where the work ended since a signal had come.
    pub(crate) fn interrupted(&self) -> Error {
        match self.check() {
            Err(error) => error,
            Ok(()) => Error::new("interrupted; nothing was written"),
        }
    }

    /// An error if a signal came meanwhile.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match u8::try_from(self.received.load(Ordering::Relaxed)) {
            Ok(0) | Err(_) => Ok(()),
            Ok(signal) => Err(Error::interrupted(signal)),
        }
    }
}

/// Says once that a signal has come, where the TPM works: what follows may take a minute. Elsewhere it ends the process,
/// which may wait for a pipe.
fn acknowledge(stage: Arc<Mutex<Stage>>) -> std::io::Result<()> {
    let mut signals = Signals::new(HELD)?;
    thread::Builder::new().spawn(move || {
        let Some(signal) = signals.forever().next() else {
            return;
        };
        // Held until the end: what is complete by now must not be taken for a draft.
        match &*stage.lock().unwrap_or_else(PoisonError::into_inner) {
            // Behind the ^C that the terminal shows.
            Stage::Tpm => output::note(
                "\nThe TPM cannot be stopped in the middle of a command: this ends when it is done. Once more ends at once, \
                 and may leave something loaded in the TPM (`tpmctl flush`).",
            ),
            Stage::Files(draft) => {
                if let Some(draft) = draft {
                    let _ = fs::remove_file(draft);
                }
                output::note("\ntpmctl: interrupted; no file was written");
                std::process::exit(128 + signal);
            }
        }
    })?;
    Ok(())
}
