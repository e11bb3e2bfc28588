//! Signs of life on a terminal; nothing is drawn where standard error is none.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Between two movements of a spinner.
const TICK: Duration = Duration::from_millis(120);

/// Runs `work` while the TPM is busy with what `message` says: that may take it up to a minute.
pub(crate) fn spinner<T>(message: String, work: impl FnOnce() -> T) -> T {
    let spinner = styled(ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}");
    spinner.set_message(message);
    spinner.enable_steady_tick(TICK);
    let result = work();
    spinner.finish_and_clear();
    result
}

/// How much is done of so many bytes, if it is known of how many; gone when it is dropped.
pub(crate) struct Bytes(ProgressBar);

impl Bytes {
    /// Nothing is done yet.
    pub(crate) fn new(total: Option<u64>) -> Self {
        Self(match total {
            Some(total) => styled(
                ProgressBar::new(total),
                "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            ),
            None => styled(
                ProgressBar::new_spinner(),
                "{spinner} {bytes}, {bytes_per_sec}",
            ),
        })
    }

    /// So much is done.
    pub(crate) fn done(&self, bytes: u64) {
        self.0.set_position(bytes);
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
