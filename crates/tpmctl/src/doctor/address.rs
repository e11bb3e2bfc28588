//! Layer 6: which address is used, who said so, and whether something is there.

use std::path::Path;
use std::time::Duration;

use keys::{Config, Tpm};
use tss::transport::{Address, AddressKind, Limits, LockTrouble, Origin};

use super::Scene;
use super::verdict::{Finding, Verdict};
use crate::family::AnyTpm;
use crate::interrupt;
use crate::settings;

/// A TPM that could be asked, or what became of the attempt.
pub(super) enum Answer {
    /// It answered.
    Of(AnyTpm),
    /// It answered with an error.
    Refused(String),
    /// It was not asked, or did not answer.
    None,
}

/// Finding 6, and the TPM if it answered; what an earlier layer explains is not repeated.
pub(super) fn finding(scene: &Scene, earlier: &[Finding]) -> (Finding, Answer) {
    if let Some(error) = &scene.problem {
        let finding =
            Finding::problem(sentence(error)).why("No program finds the TPM with this setting.");
        return (finding, Answer::None);
    }
    let failed = earlier
        .iter()
        .position(|finding| finding.verdict == Verdict::Problem);
    let (address, origin) = match scene.config.place(scene.machine.root()) {
        Ok(place) => place,
        Err(error) => {
            let finding = match failed {
                Some(layer) => Finding::not_checked(format!(
                    "Nothing names a TPM, and there is none to be detected (layer {}).",
                    layer + 1
                )),
                // A list of nodes does not make devices.
                None if !scene.machine.is_this() => Finding::not_checked(
                    "The device is on another machine: its TPM cannot be asked here.",
                ),
                None => Finding::problem(sentence(&error.to_string())),
            };
            return (finding, Answer::None);
        }
    };
    let by = match &origin {
        Origin::Detected => "which was detected: nothing names another".to_owned(),
        _ => said_by(scene, &origin),
    };
    let mut is = format!("The TPM is {}, {by}", scene.shown(&address.to_string()));
    if let Some((other, origin)) = &scene.config.address12
        && *other != address
    {
        let by = said_by(scene, origin);
        is.push_str(&format!("; keys of a TPM 1.2 use {other}, {by}"));
    }
    if let Some(layer) = failed {
        let finding = Finding::not_checked(format!(
            "{is}; whether it answers depends on layer {}.",
            layer + 1
        ));
        return (finding, Answer::None);
    }
    let Some(address) = here(scene, &address, &origin) else {
        let finding = Finding::not_checked(format!(
            "{is}. The device is on another machine: its TPM cannot be asked here."
        ));
        return (finding, Answer::None);
    };
    let config = Config {
        address: Some((address, origin)),
        limits: Limits {
            // A TPM that is busy for longer is a finding.
            lock_wait: Duration::from_secs(5),
            command_wait: Duration::from_secs(30),
        },
        ..Config::default()
    };
    if let Err(error) = interrupt::hold() {
        return (Finding::problem(sentence(&error.to_string())), Answer::None);
    }
    // Before the TPM is used: root replaces what it may.
    let mut trouble = None;
    let opened = Tpm::new(config).and_then(|tpm| {
        trouble = tpm.endpoint()?.lock_trouble();
        AnyTpm::of(&tpm)
    });
    match opened {
        Ok(asked) => {
            let finding = match trouble {
                Some(trouble) => locks(&is, trouble),
                None => Finding::ok(format!("{is}.")),
            };
            (finding, Answer::Of(asked))
        }
        Err(error) => {
            let text = sentence(&scene.shown(&error.to_string()));
            if is_transport(&error) {
                let finding = Finding::problem(format!("{is}, and it does not answer.")).why(text);
                (finding, Answer::None)
            } else {
                (Finding::ok(format!("{is}.")), Answer::Refused(text))
            }
        }
    }
}

/// A TPM whose users may not wait for each other.
fn locks(is: &str, trouble: LockTrouble) -> Finding {
    let finding = Finding::warning(format!("{is}. {}", trouble.what)).why(trouble.why);
    match trouble.command {
        Some(command) => finding.command(command),
        None => finding,
    }
}

/// Which setting, and in which file.
fn said_by(scene: &Scene, origin: &Origin) -> String {
    match settings::source(origin, &scene.found) {
        Some(file) => format!("{origin} ({})", file.display()),
        None => origin.to_string(),
    }
}

/// The address as it leads there from here: a device of a copied tree is below its root.
fn here(scene: &Scene, address: &Address, origin: &Origin) -> Option<Address> {
    let detected = *origin == Origin::Detected;
    let path = match address.kind() {
        AddressKind::Device(path) if !scene.machine.is_this() && !detected => path,
        // The port of the copy's tcsd is another program's here, or nobody's.
        AddressKind::Tcsd { .. } if !scene.machine.is_this() && detected => return None,
        _ => return Some(address.clone()),
    };
    let path = scene.machine.at(path);
    Path::new(&path).exists().then_some(())?;
    format!("device:{}", path.display()).parse().ok()
}

fn is_transport(error: &keys::Error) -> bool {
    match error {
        keys::Error::Tss(error) => matches!(error.kind(), tss::ErrorKind::Transport(_)),
        _ => false,
    }
}

/// A capital at the start and a full stop at the end.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    let stop = if text.ends_with(['.', '?', '!']) {
        ""
    } else {
        "."
    };
    format!("{}{}{stop}", first.unwrap_or_default(), letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_begin_and_end() {
        assert_eq!(sentence("it is busy"), "It is busy.");
        assert_eq!(sentence("is it running?"), "Is it running?");
        assert_eq!(sentence(""), ".");
    }
}
