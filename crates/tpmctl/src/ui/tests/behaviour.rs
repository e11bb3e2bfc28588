//! What keys do.

use clap::Parser;
use crypto::Secret;

use super::{PLAIN, press, sample, screen, text};
use crate::cli::Cli;
use crate::owner::args::Hierarchy;
use crate::ui::input::Key;
use crate::ui::model::dialog::Dialog;
use crate::ui::model::facts::{Mark, TpmFacts};
use crate::ui::model::job::{Job, Value};
use crate::ui::model::{Effect, Event, Model, Panel};

fn jobs(effects: &[Effect]) -> Vec<String> {
    let run = effects.iter().filter_map(|effect| match effect {
        Effect::Run { job, address } => Some(job.line(address.as_deref())),
        _ => None,
    });
    run.collect()
}

/// Every line of the log is one that `tpmctl` takes.
#[test]
fn the_command_that_does_the_same() {
    let value = || Secret::from(&b"4711"[..]);
    let path = || "/etc/keys/www's key.tpm".into();
    let mut all = vec![
        Job::SelfTest,
        Job::TestKey {
            path: path(),
            secret: None,
        },
        Job::TestKey {
            path: path(),
            secret: Some(value()),
        },
        Job::Persist {
            path: path(),
            owner: Some(value()),
        },
        Job::Evict {
            handle: 0x8102_0000,
            owner: Some(value()),
        },
        Job::CreateSrk { owner: None },
        Job::CreateSrk {
            owner: Some(value()),
        },
        Job::ResetLockout { auth: None },
        Job::ResetLockout {
            auth: Some(value()),
        },
        Job::Flush,
        Job::Loss,
        Job::Clear { auth: None },
        Job::Clear {
            auth: Some(value()),
        },
    ];
    for hierarchy in [Hierarchy::Owner, Hierarchy::Endorsement, Hierarchy::Lockout] {
        all.push(Job::SetAuth {
            hierarchy,
            old: None,
            new: value(),
        });
        all.push(Job::SetAuth {
            hierarchy,
            old: Some(value()),
            new: value(),
        });
    }
    all.extend(Panel::ALL.map(Job::Read));
    for job in all {
        for address in [None, Some("swtpm:host=127.0.0.1,port=2321")] {
            let line = job.line(address);
            assert!(!line.contains("4711"), "{line}");
            let words = shell(&line);
            let parsed = Cli::try_parse_from(&words);
            assert!(parsed.is_ok(), "{line}: {}", parsed.err().unwrap());
        }
    }
}

/// The words of a line as a shell takes them, as far as the lines need it.
fn shell(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for character in line.chars() {
        match character {
            character if escaped => {
                words.last_mut().unwrap().push(character);
                escaped = false;
            }
            '\'' => quoted = !quoted,
            '\\' if !quoted => escaped = true,
            ' ' if !quoted => words.push(String::new()),
            character => words.last_mut().unwrap().push(character),
        }
    }
    words
}

/// Nothing is sent to a TPM but at the beginning, for a panel that is new, and on a key.
#[test]
fn nothing_is_asked_while_nobody_types() {
    let mut model = Model::new(Panel::Overview);
    assert_eq!(jobs(&model.start()), ["tpmctl info"]);
    assert!(jobs(&model.update(Event::Tick)).is_empty());
    let read = sample::report(
        Job::Read(Panel::Overview),
        Ok(Value::Overview(Vec::new())),
        "",
        1,
    );
    assert!(jobs(&model.update(Event::Report(Box::new(read)))).is_empty());
    for _ in 0..100 {
        assert!(model.update(Event::Tick).is_empty());
        assert!(model.update(Event::Resize { height: 30 }).is_empty());
    }
    assert_eq!(jobs(&press(&mut model, "2")), ["tpmctl key list"]);
    let read = sample::report(
        Job::Read(Panel::Keys),
        Ok(Value::Keys(sample::keys())),
        "",
        1,
    );
    assert!(jobs(&model.update(Event::Report(Box::new(read)))).is_empty());
    // What was read is shown again without asking.
    assert!(jobs(&press(&mut model, "12")).is_empty());
    assert_eq!(jobs(&press(&mut model, "r")), ["tpmctl key list"]);
}

#[test]
fn it_is_read_only_until_it_is_unlocked() {
    let mut model = sample::model();
    // Make an SRK, flush; evict and persist.
    for keys in ["1m", "1f", "2p", "2Ge"] {
        assert!(jobs(&press(&mut model, keys)).is_empty());
        assert!(model.dialog.is_none(), "{keys}");
        assert!(model.message.is_some(), "{keys}");
    }
    press(&mut model, "ue");
    assert!(matches!(model.dialog, Some(Dialog::Questions(_))));
    let shown = text(&screen(&model, PLAIN, (80, 24)));
    assert!(shown.contains("UNLOCKED"), "{shown}");
    // Another word than that one does nothing.
    assert!(jobs(&press(&mut model, "yes\n")).is_empty());
    assert!(model.dialog.is_none());
    press(&mut model, "eremove\n");
    // The owner's value, which is not shown.
    press(&mut model, "4711");
    let shown = text(&screen(&model, PLAIN, (80, 24)));
    assert!(!shown.contains("4711"), "{shown}");
    let begun = jobs(&press(&mut model, "\n"));
    assert_eq!(
        begun,
        ["tpmctl key evict 0x81000001 --yes --parent-auth file:OWNER"]
    );
}

#[test]
fn a_key_that_does_nothing_says_why() {
    let mut model = sample::model();
    // The first is a file, which is not evicted.
    press(&mut model, "2e");
    let said = model.message.as_ref().unwrap();
    assert_eq!(
        (said.mark, said.text.as_str()),
        (Mark::Warning, "evict: it is a file: rm(1) removes it")
    );
    press(&mut model, "?");
    let shown = text(&screen(&model, PLAIN, (80, 24)));
    assert!(shown.contains("(not now: it is a file"), "{shown}");
}

#[test]
fn escape_always_goes_back() {
    let mut model = sample::model();
    press(&mut model, "2/www");
    assert_eq!(model.table().rows.len(), 1);
    press(&mut model, "\nd");
    assert!(model.full.is_some());
    press(&mut model, "?");
    for step in 0..4 {
        assert!(model.panel == Panel::Keys, "{step}");
        press(&mut model, "\u{1b}");
    }
    assert!(model.panel == Panel::Overview && model.filter.is_empty() && model.full.is_none());
    press(&mut model, "\u{1b}");
    assert_eq!(model.message.as_ref().unwrap().text, "q ends the manager");
}

/// What runs ends when the TPM is done; who cannot wait leaves.
#[test]
fn what_runs_is_cancelled() {
    let mut model = sample::model();
    assert_eq!(jobs(&press(&mut model, "t")), ["tpmctl selftest"]);
    // One thing after the other.
    assert!(jobs(&press(&mut model, "t")).is_empty());
    assert!(model.message.as_ref().unwrap().text.starts_with("wait: "));
    assert!(matches!(
        press(&mut model, "c").as_slice(),
        [Effect::Cancel]
    ));
    assert!(matches!(
        model.update(Event::Key(Key::Ctrl('c'))).as_slice(),
        [Effect::Quit]
    ));
    let ended = sample::report(Job::SelfTest, Err("cancelled".into()), "", 1);
    model.update(Event::Report(Box::new(ended)));
    assert!(model.busy.is_none());
    // Quitting waits for it once, too.
    press(&mut model, "\u{1b}t");
    assert!(matches!(
        press(&mut model, "q").as_slice(),
        [Effect::Cancel]
    ));
    let ended = sample::report(Job::SelfTest, Err("cancelled".into()), "", 1);
    assert!(matches!(
        model.update(Event::Report(Box::new(ended))).as_slice(),
        [Effect::Quit]
    ));
}

/// A wrong value is counted, and what is counted is shown.
#[test]
fn a_wrong_value_is_shown_with_the_tries() {
    let mut model = sample::model();
    press(&mut model, "2/www\n");
    let job = Job::TestKey {
        path: "www.tpm".into(),
        secret: None,
    };
    let mut failed = sample::report(job, Err("the authorization value is wrong".into()), "", 1);
    failed.lockout = Some(sample::lockout());
    model.update(Event::Report(Box::new(failed)));
    let shown = text(&screen(&model, PLAIN, (80, 24)));
    for said in ["the authorization value is wrong", "2/32", "lockout 2/32"] {
        assert!(shown.contains(said), "{shown}");
    }
}

#[test]
fn a_cure_is_begun_or_shown() {
    let mut model = sample::model();
    model.panel = Panel::Doctor;
    model.chosen[Panel::Doctor.index()] = Some("root key".into());
    press(&mut model, "\n");
    let shown = text(&screen(&model, PLAIN, (80, 24)));
    assert!(shown.contains("$ tpmctl srk create"), "{shown}");
    press(&mut model, "\u{1b}u\n");
    let shown = text(&screen(&model, PLAIN, (80, 24)));
    assert!(shown.contains("Make the storage root key"), "{shown}");
}

#[test]
fn another_tpm_is_chosen() {
    let mut model = sample::model();
    press(&mut model, "j\n");
    assert_eq!(model.address.as_deref(), Some("device:/dev/tpm1"));
    assert_eq!(
        jobs(&press(&mut model, "2")),
        ["tpmctl --tcti device:/dev/tpm1 key list"]
    );
}

/// The row stays chosen, wherever it is after it was read anew.
#[test]
fn a_row_stays_chosen() {
    let mut model = sample::model();
    press(&mut model, "2jj");
    let chosen = model.chosen_key();
    let mut keys = sample::keys();
    keys.keys.remove(0);
    let read = sample::report(Job::Read(Panel::Keys), Ok(Value::Keys(keys)), "", 1);
    model.update(Event::Report(Box::new(read)));
    assert_eq!(model.chosen_key(), chosen);
}

/// What others have written steers no terminal.
#[test]
fn foreign_text_is_harmless() {
    let mut model = sample::model();
    let tpm = TpmFacts {
        address: "a\u{1b}[2J\u{202e}b\nc".into(),
        state: "\u{7}".into(),
        problem: Some("\u{1b}]0;x\u{7}".into()),
        ..TpmFacts::default()
    };
    model.facts.overview.value = Some(vec![tpm]);
    let shown = text(&screen(&model, PLAIN, (80, 24)));
    assert!(
        !shown.contains(['\u{1b}', '\u{202e}', '\u{7}']),
        "{shown:?}"
    );
}

proptest::proptest! {
    /// Whatever is typed at whatever size, something is drawn.
    #[test]
    fn any_keys_at_any_size(
        keys in "[a-zA-Z0-9/?!\n\u{1b} ]{0,40}",
        width in 1u16..220,
        height in 1u16..70,
    ) {
        let mut model = sample::model();
        for key in keys.chars() {
            press(&mut model, &key.to_string());
            let _ = screen(&model, PLAIN, (width, height));
        }
    }
}
