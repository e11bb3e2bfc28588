//! Every panel, and what is done in it.

use std::fs;
use std::time::Duration;

use testkit::bench::Bench;
use testkit::process::{Run, wait_for};
use testkit::proxy::{Action, Fault};
use testkit::tmux::Tmux;
use testkit::tpm::cc;

use super::{back, command, key, manager, quiet, unlock};

#[test]
fn each_panel_shows_what_there_is() {
    let bench = Bench::new();
    key(&bench, "www.tpm", "");
    key(&bench, "boot.tpm", "--pcr sha256:16 --auth 4711");
    let disk = "home/.local/share/tpm-provider/keys/disk.tpm";
    command(&bench, &format!("seal -o {disk}"))
        .stdin("the key of a disk")
        .ok();
    bench.tool("tpm2_nvdefine -Q -C o -s 16 0x01800001");
    let at = manager(&bench, "ui");
    at.sees(&["swtpm:path=", "works", "lockout 0/", "read-only"]);
    at.keys(&["2"]);
    let screen = at.sees(&["www.tpm", "boot.tpm", "0x81000001", "EC P-256", "sha256:16"]);
    assert!(screen.contains("yes"), "{screen}");
    // Another state of the machine: read anew, it is told.
    super::super::extend(&bench);
    at.keys(&["r"]);
    at.until(
        |screen| {
            screen
                .lines()
                .any(|line| line.contains("boot.tpm") && line.contains(" no "))
        },
        "no",
    );
    // What depends on it, and that it was read once.
    at.keys(&["3"]);
    at.sees(&["sha1:0"]);
    at.keys(&["/", "sha256:16", "Enter"]);
    let screen = at.sees(&["sha256:16", "depend on it"]);
    assert!(screen.contains("boot.tpm"), "{screen}");
    super::super::extend(&bench);
    at.keys(&["r"]);
    at.sees(&["CHANGED", "it was"]);
    at.keys(&["4"]);
    at.sees(&["disk.tpm", "tpmctl unseal -i"]);
    at.keys(&["5"]);
    at.sees(&["0x01800001", "16 bytes"]);
    at.keys(&["6"]);
    at.sees(&["lockout", "endorsement", "wrong tries", "storage root key"]);
    at.keys(&["7"]);
    at.sees(&["firmware", "root key", "verdict"]);
    at.keys(&["8"]);
    at.sees(&["tpmctl key list", "tpmctl doctor", "tpmctl info"]);
    at.keys(&["q"]);
    assert_eq!(at.end(), 0);
    assert!(at.is_as_usual());
    bench.tpm.assert_clean();
}

#[test]
fn a_key_is_tried_and_the_log_has_the_command() {
    let bench = Bench::new();
    key(&bench, "pin.tpm", "--auth 4711");
    let at = manager(&bench, "ui keys");
    at.sees(&["pin.tpm"]);
    // A wrong value is counted once, and shown.
    at.keys(&["Enter"]);
    at.sees(&["authorization value (what is typed is not shown)"]);
    at.keys(&["0815", "Enter"]);
    at.sees(&["does not work", "FAILED", "lockout 1/"]);
    back(&at);
    at.keys(&["Enter", "4711"]);
    let screen = at.screen();
    assert!(!screen.contains("4711"), "{screen}");
    at.keys(&["Enter"]);
    at.sees(&["pin.tpm works", "the result is right"]);
    back(&at);
    at.keys(&["8"]);
    at.sees(&["tpmctl key test", "--auth -"]);
    bench.tpm.assert_clean();
    assert!(!bench.tap.saw(b"4711"));
}

/// From unlocking to a key that is persistent, and gone again; with an owner's value that is wrong first.
#[test]
fn a_key_is_made_persistent_and_removed() {
    let bench = Bench::new();
    key(&bench, "www.tpm", "--parent 0x81000001");
    bench.tool("tpm2_changeauth -Q -c o owner");
    let at = manager(&bench, "ui keys");
    at.sees(&["www.tpm"]);
    at.keys(&["p"]);
    at.sees(&["persist: this is read-only: u unlocks it"]);
    unlock(&at, &["p"]);
    at.sees(&["Enter goes on"]);
    at.keys(&["Enter"]);
    at.sees(&["The owner's authorization value"]);
    at.keys(&["wrong", "Enter"]);
    at.sees(&["It failed"]);
    back(&at);
    at.keys(&["p", "Enter", "owner", "Enter"]);
    at.sees(&["is at 0x81020000 now"]);
    at.sees(&["0x81020000  "]);
    at.keys(&["G", "e"]);
    at.sees(&["Remove 0x81020000"]);
    at.keys(&["yes", "Enter"]);
    at.sees(&["another word was typed; nothing was done"]);
    at.keys(&["e", "remove", "Enter", "owner", "Enter"]);
    at.sees(&["removed the key at 0x81020000"]);
    bench.tpm.assert_clean();
}

/// What the doctor names is done on Enter.
#[test]
fn a_cure_is_done() {
    let bench = Bench::without_srk();
    let at = manager(&bench, "ui doctor");
    at.sees(&["root key"]);
    at.keys(&["/", "root key", "Enter", "Enter"]);
    at.sees(&["What mends layer 11", "$ tpmctl srk create"]);
    back(&at);
    unlock(&at, &["Enter"]);
    at.sees(&["Make the storage root key"]);
    at.keys(&["Enter"]);
    at.sees(&["made the storage root key at 0x81000001"]);
    bench.tool("tpm2_readpublic -Q -c 0x81000001");
    bench.tpm.assert_clean();
}

#[test]
fn any_size_of_the_terminal() {
    let bench = Bench::new();
    key(&bench, "www.tpm", "");
    let at = manager(&bench, "ui keys");
    at.sees(&["www.tpm"]);
    at.resize(40, 10);
    at.until(
        |screen| screen.contains("Keys 2/") && screen.lines().count() <= 10,
        "small screen",
    );
    at.sees(&["www.tpm", "? keys"]);
    at.resize(200, 60);
    at.sees(&["www.tpm", "read at", "certificate"]);
    at.resize(3, 2);
    at.resize(80, 24);
    at.sees(&["www.tpm", "1 Overview"]);
}

/// Whole screens without colours, and with ASCII characters alone.
#[test]
fn no_colours_and_no_signs() {
    let bench = Bench::new();
    let coloured = |run: &Run| {
        let at = Tmux::start(run, 80, 24);
        at.sees(&["works"]);
        at.coloured()
    };
    // Of sixteen, as tmux writes them; 39 is the terminal's own.
    let is_coloured = |screen: &str| screen.contains("\x1b[38;5;") || screen.contains("\x1b[32m");
    let usual = coloured(&command(&bench, "ui"));
    assert!(is_coloured(&usual) && !usual.is_ascii(), "{usual:?}");
    for run in [
        command(&bench, "ui --no-color"),
        command(&bench, "ui").env("NO_COLOR", "1"),
    ] {
        let plain = coloured(&run);
        assert!(!is_coloured(&plain) && !plain.is_ascii(), "{plain:?}");
    }
    for run in [
        command(&bench, "ui --ascii"),
        command(&bench, "ui").env("LANG", "C"),
    ] {
        let ascii = coloured(&run);
        assert!(ascii.is_ascii(), "{ascii:?}");
    }
}

/// The same as text.
#[test]
fn without_a_terminal() {
    let bench = Bench::new();
    key(&bench, "www.tpm", "");
    let text = command(&bench, "ui --plain").ok().out();
    for said in [
        "Overview: ",
        "Keys: ",
        "Doctor: ",
        "www.tpm",
        "0x81000001",
        "state works",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains('\x1b'));
    let one = command(&bench, "ui doctor --plain").ok().out();
    assert!(
        one.starts_with("Doctor: ") && !one.contains("Keys: "),
        "{one}"
    );
    command(&bench, "ui").fails().says("tpmctl ui --plain");
    bench.tpm.assert_clean();
}

/// Five hundred key files cost no more of the TPM than one.
#[test]
fn five_hundred_keys() {
    let bench = Bench::new();
    key(&bench, "key000.tpm", "--pcr sha256:16");
    let keys = bench
        .openssl
        .dir()
        .join("home/.local/share/tpm-provider/keys");
    for number in 1..500 {
        fs::copy(
            keys.join("key000.tpm"),
            keys.join(format!("key{number:03}.tpm")),
        )
        .expect("a copy");
    }
    let at = manager(&bench, "ui");
    at.sees(&["works"]);
    quiet(&at);
    bench.tap.reset();
    at.keys(&["2"]);
    at.sees(&["key000.tpm"]);
    bench
        .tap
        .counts()
        .are(&[("PCR_Read", 1), ("GetCapability", 1), ("ReadPublic", 1)]);
    at.keys(&["End"]);
    at.sees(&["0x81000001", "key499.tpm"]);
    at.keys(&["/", "key2", "Enter", "End"]);
    at.sees(&["key299.tpm"]);
}

/// The TPM has gone, and comes back.
#[test]
fn a_tpm_that_goes_away() {
    let mut bench = Bench::new();
    let at = manager(&bench, "ui");
    at.sees(&["works"]);
    bench.tpm.stop();
    at.keys(&["r"]);
    at.sees(&["no answer"]);
    bench.tpm.start_again();
    at.keys(&["r"]);
    at.until(
        |screen| !screen.contains("no answer") && screen.contains("works"),
        "a TPM",
    );
    bench.tpm.assert_clean();
}

/// A command that the TPM does not answer is waited for, and what follows it is cancelled.
#[test]
fn a_long_command_is_cancelled() {
    let bench = Bench::new();
    key(&bench, "www.tpm", "");
    let at = manager(&bench, "ui keys");
    at.sees(&["www.tpm"]);
    quiet(&at);
    bench.tap.inject(Fault::on(cc::SELF_TEST, Action::Hold));
    at.keys(&["1", "t"]);
    at.sees(&["the TPM tests itself", "c cancels"]);
    wait_for("a held answer", Duration::from_secs(30), || {
        bench.tap.holding() == 1
    });
    // One can look around meanwhile.
    at.keys(&["2"]);
    at.sees(&["www.tpm", "the TPM tests itself"]);
    at.keys(&["c"]);
    at.sees(&["cancelled"]);
    bench.tap.heal();
    at.until(
        |screen| screen.contains("self-test has ended") || screen.contains("It failed"),
        "an end",
    );
    bench.tpm.assert_clean();
}

/// The owner's panel: values are set, with the one that is there; a wrong one is counted as the TPM counts it.
#[test]
fn values_of_hierarchies() {
    let bench = Bench::new();
    let at = manager(&bench, "ui owner");
    at.sees(&["authorization value empty", "storage root key"]);
    unlock(&at, &["/", "lockout", "Enter", "p"]);
    at.sees(&["Set the authorization value of", "Type the word change"]);
    at.keys(&["change", "Enter", "hunter77", "Enter"]);
    at.sees(&["once more"]);
    at.keys(&["hunter77", "Enter"]);
    at.sees(&["has the new authorization value"]);
    at.sees(&["authorization value set"]);
    assert!(!bench.tap.saw(b"hunter77"));
    // One try, and it is the wrong one.
    at.keys(&["l"]);
    at.sees(&["There is one try"]);
    at.keys(&["wrong", "Enter"]);
    at.sees(&["It failed"]);
    let screen = at.screen();
    assert!(!screen.contains("hunter77"), "{screen}");
    bench.tpm.assert_clean();
}

/// Wrong tries are forgotten.
#[test]
fn a_lockout_is_reset() {
    let bench = Bench::new();
    key(&bench, "pin.tpm", "--auth 4711");
    command(
        &bench,
        "key test home/.local/share/tpm-provider/keys/pin.tpm --auth 0815",
    )
    .fails();
    let at = manager(&bench, "ui owner");
    at.sees(&["lockout 1/"]);
    unlock(&at, &["l"]);
    at.sees(&["Enter goes on"]);
    at.keys(&["Enter"]);
    at.sees(&["no wrong try counts any more", "lockout 0/"]);
    bench.tpm.assert_clean();
}

/// What is lost is shown, then a word is asked for.
#[test]
fn the_tpm_is_cleared() {
    let bench = Bench::new();
    let at = manager(&bench, "ui owner");
    at.sees(&["storage root key"]);
    at.keys(&["x"]);
    at.sees(&["clear: this is read-only"]);
    unlock(&at, &["x"]);
    at.sees(&["What clearing", "Type the word clear"]);
    at.keys(&["clear", "Enter"]);
    at.sees(&["cleared: the TPM is nobody's"]);
    bench.tpm.tool("tpm2_readpublic -Q -c 0x81000001").fails();
    bench.tpm.assert_clean();
}
