//! The verdict on a key, for people.

use std::path::Path;

use keys::printable;

use crate::action::key_test::{Layer, State, Verdict};
use crate::output::Report;

pub(crate) fn text(verdict: &Verdict) -> String {
    let user = verdict.user.as_ref();
    let whom = user.map_or_else(String::new, |user| format!(" for {user}"));
    let file = printable::path(Path::new(&verdict.file));
    let mut report = Report::new();
    report.heading(&match verdict.failed {
        None => format!("{file} works{whom}"),
        Some(layer) => format!("{file} does not work{whom}: layer {}", name(layer)),
    });
    for checked in &verdict.layers {
        let text = match checked.state {
            State::Ok => format!("ok: {}", checked.text),
            State::Warning => format!("warning: {}", checked.text),
            State::Failed => format!("FAILED: {}", checked.text),
        };
        report.fact(name(checked.layer), text);
    }
    report.finish()
}

/// What a layer is called.
pub(crate) fn name(layer: Layer) -> &'static str {
    match layer {
        Layer::File => "file",
        Layer::Key => "key",
        Layer::Certificate => "certificate",
        Layer::User => "user",
        Layer::Tpm => "TPM",
        Layer::Use => "use",
    }
}
