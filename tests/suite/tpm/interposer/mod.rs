//! Somebody who answers in the TPM's place: what each operation of the product lets them do.
//!
//! `the_table` goes through every operation, every attack and every setting, and compares with docs/interposer.md.

mod front_ends;
mod judge;
mod open;
mod operations;
mod table;
mod world;

use judge::Outcome;
use operations::{Operation, Wanted, operations};
use std::collections::BTreeSet;
use std::fs;
use std::thread;
use table::{Bench, SETTINGS, Setting, faults, fill, markdown};
use testkit::interposer::attack::{Attack, posing};
use testkit::interposer::impostor::{Manner, Parents};
use testkit::interposer::replies::Refuse;
use testkit::interposer::session::Forgery;
use testkit::tools::root;
use testkit::tpm::cc;
use world::World;

#[test]
fn the_table() {
    let world = World::shared();
    let operations = operations();
    let workers = thread::available_parallelism().map_or(2, usize::from) * 2;
    let table = fill(&world, &operations, workers);
    let text = markdown(&table, &operations, &open::OPEN);
    println!("{text}");
    let path = root().join("docs/interposer.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &text).expect("written");
    }
    let faults = faults(&table, &operations, &open::OPEN);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differences = differences(&written, &text);
    assert!(
        differences.is_empty(),
        "docs/interposer.md is not what was seen: UPDATE=1 writes it anew\n{differences}"
    );
}

/// The lines that only one of two texts has, with the heading that each stands under.
fn differences(written: &str, seen: &str) -> String {
    let lines = |text: &str| -> BTreeSet<String> {
        let mut heading = "";
        let mut lines = BTreeSet::new();
        for line in text.lines() {
            if line.starts_with("## ") {
                heading = line;
            }
            lines.insert(format!("{heading}: {line}"));
        }
        lines
    };
    let (written, seen) = (lines(written), lines(seen));
    let gone = written.difference(&seen).map(|line| format!("- {line}"));
    let new = seen.difference(&written).map(|line| format!("+ {line}"));
    gone.chain(new).collect::<Vec<_>>().join("\n")
}

fn find(name: &str) -> Operation {
    let all = operations().into_iter();
    let mut found = all.filter(|operation| operation.name == name);
    found
        .next()
        .unwrap_or_else(|| panic!("no operation {name}"))
}

/// Whoever does not have a session's key can make the HMAC of an answer in no way that is believed: not with an empty
/// key, not empty as behind a password, not by sending the command's own back.
#[test]
fn no_forged_hmac_is_believed() {
    let world = World::shared();
    let bench = Bench::new(&world);
    for name in [
        "genpkey EC, under the owner hierarchy",
        "genpkey EC with a PIN, under the owner hierarchy",
        "sign, RSA with a PIN",
        "decrypt, RSA",
        "ECDH, under 0x81000001",
        "handle:?name&pass, decrypt",
        "tpmctl seal, under the owner hierarchy",
        "tpmctl unseal",
    ] {
        let operation = find(name);
        for forgery in [Forgery::EmptyKey, Forgery::Nothing, Forgery::Mirrored] {
            let manner = Manner {
                parents: Parents::True,
                true_names: false,
                loads: false,
                forgery,
                alone: false,
                decrypting: operation.aim().decrypting,
            };
            let strategy = posing(&world.known, manner);
            let (outcome, done) = bench.strike(&operation, Setting::Default, strategy);
            assert_eq!(outcome, Outcome::Refused, "{name}, {forgery:?}\n{done}");
        }
    }
}

/// Whatever the TPM says when a session is to be started: nothing secret goes out without one then, and nothing is
/// made or believed.
#[test]
fn no_error_leads_to_a_secret_in_clear() {
    const CODES: [u32; 10] = [
        0x143, // TPM_RC_COMMAND_CODE
        0x101, // TPM_RC_FAILURE
        0x120, // TPM_RC_DISABLED
        0x08E, // TPM_RC_AUTH_FAIL
        0x2C4, // TPM_RC_VALUE, parameter 2
        0x2D6, // TPM_RC_SYMMETRIC, parameter 2
        0x18B, // TPM_RC_HANDLE, handle 1
        0x903, // TPM_RC_SESSION_MEMORY
        0x905, // TPM_RC_SESSION_HANDLES
        0x01E, // TPM_BADTAG, a TPM 1.2's
    ];
    let world = World::shared();
    let bench = Bench::new(&world);
    for name in [
        "genpkey EC, under the owner hierarchy",
        "genpkey EC with a PIN, under the owner hierarchy",
        "sign, RSA for signatures only, with a PIN",
        "decrypt, RSA with a PIN",
        "ECDH, under 0x81000001",
        "handle:?name&pass, decrypt",
        "tpmctl seal, under the owner hierarchy",
        "tpmctl unseal with a PIN",
    ] {
        let operation = find(name);
        for rc in CODES {
            let strategy = Box::new(Refuse {
                code: cc::START_AUTH_SESSION,
                rc,
            });
            let (outcome, done) = bench.strike(&operation, Setting::Default, strategy);
            assert!(
                matches!(outcome, Outcome::Denied | Outcome::Refused),
                "{name}, {rc:#x}: {outcome:?}\n{done}"
            );
        }
    }
}

/// Whoever loads a key of their own into the TPM has the TPM itself vouch for it; `parent-name` believes none that may
/// have come from outside, and `?name=` only the one that it names.
#[test]
fn a_key_from_outside_is_not_taken_for_the_one_at_the_handle() {
    let world = World::shared();
    let bench = Bench::new(&world);
    for (name, words) in [
        ("handle:, public half", "lacks the attribute fixedTPM"),
        ("handle:?pass, sign", "?name=HEX"),
        ("handle:?pass, decrypt", "?name=HEX"),
        ("handle:?name&pass, decrypt", "the URI demands"),
    ] {
        let operation = find(name);
        let strategy = Attack::LoadedKey.strategy(&world.known, operation.aim());
        let (outcome, done) = bench.strike(&operation, Setting::Anchored, strategy);
        assert_eq!(outcome, Outcome::Refused, "{name}\n{done}");
        done.says(words);
    }
}

/// What the table's columns mean depends on it: with nobody in between every operation works with every setting, and
/// what needs no TPM asks it nothing.
#[test]
fn reading_a_key_file_asks_nobody() {
    let world = World::shared();
    let bench = Bench::new(&world);
    for name in ["key file, public half and listing", "tpmctl key show"] {
        let operation = find(name);
        assert!(!matches!(operation.wanted, Wanted::Key));
        for setting in SETTINGS {
            let control = bench.control(&operation, setting);
            assert_eq!(control.codes, [0u32; 0], "{name}, {}", setting.title());
        }
    }
}
