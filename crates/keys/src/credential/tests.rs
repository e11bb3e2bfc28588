//! Values that are given, found again, wrong, or come later.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::sync::Arc;

use super::*;
use crate::Config;

fn tpm(pin_source: Option<&str>) -> Arc<Tpm> {
    Tpm::new(Config {
        pin_source: pin_source.map(str::to_owned),
        ..Config::default()
    })
    .unwrap()
}

fn obtain(tpm: &Tpm, key: &[u8], answer: Option<&[u8]>) -> Result<Given, Error> {
    Given::obtain(tpm, &subject(key), &mut |_| answer.map(Secret::from))
}

fn subject(key: &[u8]) -> Subject {
    Subject {
        identity: Identity::of_file(b"public", key),
        what: "TPM key".into(),
        longest: 32,
        advice: None,
        pin_source: None,
    }
}

fn says(result: Result<Given, Error>, parts: &[&str]) {
    let error = result.err().expect("an error").to_string();
    for part in parts {
        assert!(error.contains(part), "{part} in {error}");
    }
}

fn value(given: &Given) -> Vec<u8> {
    given
        .used_for(
            Duration::from_secs(1),
            |offered| Ok(offered.value.unwrap().to_vec()),
            |_| false,
        )
        .unwrap()
}

fn refuse(given: &Given) {
    let refusal = tss::Error::unsupported("a refusal");
    let result: Result<(), _> = given.used_for(Duration::from_secs(1), |_| Err(refusal), |_| true);
    assert!(result.is_err());
}

#[test]
fn a_value_that_nobody_gave_is_an_error_with_a_way_out() {
    let tpm = tpm(None);
    for nothing in [None, Some(&b""[..]), Some(b"\n")] {
        says(
            obtain(&tpm, b"nothing", nothing),
            &["needs an authorization value", "-passin", "pin-source"],
        );
    }
}

#[test]
fn a_value_that_no_tpm_takes_is_not_tried() {
    let tpm = tpm(None);
    says(obtain(&tpm, b"long", Some(&[b'1'; 33])), &["32 bytes"]);
    says(obtain(&tpm, b"nul", Some(b"1\x002")), &["NUL"]);
    assert_eq!(
        value(&obtain(&tpm, b"long", Some(&[b'1'; 32])).unwrap()).len(),
        32
    );
}

#[test]
fn a_value_is_found_again_while_the_same_key_is_loaded() {
    let tpm = tpm(None);
    let first = obtain(&tpm, b"again", Some(b"pin")).unwrap();
    let second = obtain(&tpm, b"again", None).unwrap();
    assert_eq!(value(&second), b"pin");
    // Not for another key, and not for the same one with another private part.
    says(
        obtain(&tpm, b"again2", None),
        &["needs an authorization value"],
    );
    // The second keeps it as well; then it is gone.
    drop(first);
    let third = obtain(&tpm, b"again", Some(b"")).unwrap();
    drop((second, third));
    says(
        obtain(&tpm, b"again", None),
        &["needs an authorization value"],
    );
}

#[test]
fn a_wrong_value_is_not_found_again_and_not_taken_again() {
    let tpm = tpm(None);
    let wrong = obtain(&tpm, b"wrong", Some(b"wrong")).unwrap();
    let twin = obtain(&tpm, b"wrong", Some(b"wrong")).unwrap();
    refuse(&wrong);
    let calls = Cell::new(0);
    let again: Result<(), _> = twin.used_for(
        Duration::from_secs(1),
        |_| {
            calls.set(calls.get() + 1);
            Ok(())
        },
        |_| false,
    );
    assert!(again.unwrap_err().to_string().contains("not tried again"));
    assert_eq!(calls.get(), 0);
    says(obtain(&tpm, b"wrong", None), &["not tried again"]);
    says(obtain(&tpm, b"wrong", Some(b"wrong")), &["not tried again"]);
    // Another one is another matter, and goes before the wrong one from then on.
    let right = obtain(&tpm, b"wrong", Some(b"right")).unwrap();
    assert_eq!(value(&right), b"right");
    assert_eq!(value(&obtain(&tpm, b"wrong", None).unwrap()), b"right");
}

#[test]
fn a_persistent_keys_value_may_have_changed() {
    let tpm = tpm(None);
    let subject = Subject {
        identity: Identity::of_handle(&tpm, 0x8100_0f0f),
        what: "TPM key at handle 0x81000f0f".into(),
        longest: 32,
        advice: None,
        pin_source: None,
    };
    let give = || Given::obtain(&tpm, &subject, &mut |_| Some(Secret::from(&b"pin"[..])));
    let early = |answer: Option<&[u8]>| {
        let mut answer = |_: &str| answer.map(Secret::from);
        let ask = Ask::Now(&mut answer);
        match Credential::ask_early(&tpm, &subject, ask)? {
            Early::Now(given) => Ok::<_, Error>(given),
            Early::Later => panic!("it was asked for now"),
        }
    };
    assert!(early(None).is_err() && early(Some(b"")).is_err());
    assert_eq!(
        early(Some(b"pin")).unwrap(),
        Some(Secret::from(&b"pin"[..]))
    );
    let first = give().unwrap();
    assert_eq!(early(None).unwrap(), None);
    refuse(&first);
    assert_eq!(value(&give().unwrap()), b"pin");
}

#[test]
fn the_source_is_asked_when_the_program_gives_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pin");
    let source = format!("file:{}", path.display());
    let tpm = tpm(Some(&source));
    says(
        obtain(&tpm, b"source", None),
        &["pin-source", "cannot be read", &path.display().to_string()],
    );
    std::fs::write(&path, "\n").unwrap();
    says(obtain(&tpm, b"source", None), &["pin-source", "is empty"]);
    std::fs::write(&path, "4711\n").unwrap();
    let from_file = obtain(&tpm, b"source", Some(b"")).unwrap();
    assert_eq!(value(&from_file), b"4711");
    // What the program gives goes before it.
    let given = obtain(&tpm, b"source", Some(b"0815")).unwrap();
    assert_eq!(value(&given), b"0815");
    drop(given);
    // Unreadable later: the key is loaded, so its value is known.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(value(&obtain(&tpm, b"source", None).unwrap()), b"4711");
}

#[test]
fn other_errors_do_not_shut_a_key() {
    let tpm = tpm(None);
    let key = obtain(&tpm, b"lockout", Some(b"pin")).unwrap();
    let lockout = tss::Error::unsupported("in lockout");
    let result: Result<(), _> = key.used_for(Duration::from_secs(1), |_| Err(lockout), |_| false);
    assert!(result.is_err());
    assert_eq!(value(&key), b"pin");
}

#[test]
fn a_key_without_a_value_needs_nobody() {
    let key = Credential::none(&tpm(None), None, None).unwrap();
    assert!(!key.needs_login());
    assert!(used(&key).unwrap().is_empty());
    let error = key.log_in(Secret::from(&b"pin"[..])).unwrap_err();
    assert!(error.to_string().contains("takes no authorization value"));
}

fn used(credential: &Credential) -> Result<Vec<u8>, Error> {
    credential.used_for(Duration::from_secs(1), |offered| {
        Ok(offered.value.unwrap().to_vec())
    })
}

#[test]
fn a_value_may_come_after_loading() {
    let tpm = tpm(None);
    let key = Credential::obtain(&tpm, subject(b"later"), Ask::Later).unwrap();
    let log_in = |value: &[u8]| key.log_in(Secret::from(value));
    assert!(key.needs_login());
    let error = used(&key).unwrap_err().to_string();
    assert!(error.contains("nobody has logged in"), "{error}");
    for (value, part) in [
        (&b""[..], "is empty"),
        (&[b'1'; 33], "32 bytes"),
        (b"1\x002", "NUL"),
    ] {
        let error = log_in(value).unwrap_err().to_string();
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(key.needs_login());
    log_in(b"wrong").unwrap();
    assert!(!key.needs_login());
    let Credential::Login { given, .. } = &key else {
        panic!("it needs no value");
    };
    refuse(given.iter().next().unwrap());
    // As after loading with a wrong one: shut until there is another one.
    assert!(key.needs_login());
    assert!(
        used(&key)
            .unwrap_err()
            .to_string()
            .contains("not tried again")
    );
    assert!(
        log_in(b"wrong")
            .unwrap_err()
            .to_string()
            .contains("not tried again")
    );
    log_in(b"right").unwrap();
    assert!(!key.needs_login());
    assert_eq!(used(&key).unwrap(), b"right");
}

#[test]
fn a_question_that_waits_for_the_tpm_is_asked_once() {
    let tpm = tpm(None);
    let subject = Subject {
        identity: Identity::of_handle(&tpm, 0x8100_0f1f),
        ..subject(b"")
    };
    let early = Credential::ask_early(&tpm, &subject, Ask::Later).unwrap();
    assert!(early.answer(|ask| matches!(ask, Ask::Later)));
    let mut times = 0;
    let mut asked = |_: &str| {
        times += 1;
        Some(Secret::from(&b"pin"[..]))
    };
    let early = Credential::ask_early(&tpm, &subject, Ask::Now(&mut asked)).unwrap();
    let given = early.answer(|ask| match ask {
        Ask::Now(ask) => ask("TPM key"),
        Ask::Later => None,
    });
    assert_eq!(given, Some(Secret::from(&b"pin"[..])));
    assert_eq!(times, 1);
}

#[test]
fn parts_do_not_run_into_each_other() {
    assert_ne!(
        Identity::of_file(b"ab", b"c"),
        Identity::of_file(b"a", b"bc")
    );
}
