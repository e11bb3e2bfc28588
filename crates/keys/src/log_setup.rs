//! Logging: off unless asked for, to standard error.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{LevelFilter, Log, Metadata, Record};

use crate::printable;

struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // One write, so that lines of several processes do not mix; a closed descriptor is
            // nobody's problem.
            let line = format!(
                "tpm-provider[{}] {}: {}\n",
                std::process::id(),
                record.level().as_str().to_ascii_lowercase(),
                printable::line(&record.args().to_string())
            );
            // Past the standard library's lock, which a child forked meanwhile would find taken.
            let copy = std::io::stderr().as_fd().try_clone_to_owned();
            let _ = copy.and_then(|copy| File::from(copy).write_all(line.as_bytes()));
        }
    }

    fn flush(&self) {}
}

/// Turns logging on at `level`; off leaves it as it is.
///
/// The level is the process's: of several provider instances the most talkative wins.
pub fn enable(level: LevelFilter) {
    // Not a `Once`, in which a child forked by another thread would wait for ever.
    static SET: AtomicBool = AtomicBool::new(false);
    if !SET.swap(true, Ordering::Relaxed) {
        // Fails only where a host that is written in Rust has a logger of its own, which then
        // serves us too.
        let _ = log::set_logger(&StandardError);
    }
    log::set_max_level(level.max(log::max_level()));
}
