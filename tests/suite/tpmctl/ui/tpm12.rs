//! The manager with a TPM 1.2, alone and through tcsd; and with a TPM of either generation.

use std::time::Duration;

use testkit::bench::Bench;
use testkit::process::{Run, wait_for};
use testkit::proxy::{Action, Fault, Proxy};
use testkit::swtpm12::{Swtpm12, data};
use testkit::tmux::Tmux;

use super::super::tpm12::Machine;
use super::{KEYS, at_home, back, command, key, quiet, unlock};

const SIGN: u32 = 0x3c;
const ZEROS: &str = "0000000000000000000000000000000000000000";

fn line(machine: &Machine, line: &str) -> Run {
    at_home(machine.tpmctl(line), machine.openssl.dir())
}

fn manager(machine: &Machine, panel: &str) -> Tmux {
    Tmux::start(&line(machine, &format!("ui {panel}")), 110, 34)
}

/// Puts the key files that belong to the TPM with an owner where the manager looks for them.
fn keys_of(machine: &Machine) {
    line(machine, "version").done();
    for (file, name) in [("tss.pem", "www.pem"), ("tss-auth.pem", "pin.pem")] {
        let content = std::fs::read(data(file)).expect("a key file of tests/data/tpm12");
        machine
            .openssl
            .dir()
            .write(&format!("{KEYS}/{name}"), content);
    }
}

#[test]
fn each_panel_shows_what_a_tpm12_has() {
    for machine in Machine::both() {
        keys_of(&machine);
        machine.ok("nv define 0x00011000 --size 16 --yes --parent-auth file:well-known");
        let at = manager(&machine, "");
        at.sees(&["1.2", "works, has an owner", "read-only"]);
        at.keys(&["m"]);
        at.sees(&["make SRK: a TPM 1.2 has its storage root key from its owner"]);
        at.keys(&["2"]);
        at.sees(&[
            "www.pem",
            "pin.pem",
            "RSA 2048",
            "A TPM 1.2 has no persistent keys",
        ]);
        at.keys(&["p"]);
        at.sees(&["persist: a TPM 1.2 has no persistent keys"]);
        at.keys(&["G", "Enter"]);
        at.sees(&["www.pem works", "the result is right"]);
        back(&at);
        at.keys(&["3"]);
        let screen = at.sees(&["sha1:0", "what is in it"]);
        assert!(!screen.contains("sha256"), "{screen}");
        at.keys(&["5"]);
        at.sees(&[
            "0x00011000",
            "of who has defined it",
            "does not enforce the rules",
        ]);
        at.keys(&["6"]);
        at.sees(&[
            "there is one",
            "enabled, active",
            "by its owner, and by somebody at the machine",
        ]);
        at.keys(&["7"]);
        at.sees(&["layer", "verdict", "root key"]);
        at.keys(&["8"]);
        at.sees(&["tpmctl owner show", "tpmctl nv list", "tpmctl pcr read"]);
        at.keys(&["q"]);
        assert_eq!(at.end(), 0);
        assert!(at.is_as_usual());
        // The same as text, for who has no screen.
        let text = line(&machine, "ui --plain").ok().out();
        for said in [
            "works, has an owner",
            "www.pem",
            "sha1:23",
            "0x00011000",
            "enabled, active",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
        machine.tpm.assert_clean();
    }
}

/// A wrong secret of the owner's is counted and shown; the right one changes the secret, and clears.
#[test]
fn its_owner_changes_the_secret_and_clears_it() {
    for machine in Machine::both() {
        keys_of(&machine);
        let at = manager(&machine, "owner");
        at.sees(&["there is one"]);
        unlock(&at, &["p"]);
        at.sees(&["The owner's secret"]);
        at.keys(&[
            "wrong", "Enter", "change", "Enter", "second", "Enter", "second", "Enter",
        ]);
        at.sees(&["It failed", "the owner's secret is wrong", "wrong tries"]);
        back(&at);
        quiet(&at);
        at.keys(&["p"]);
        at.keys(&[
            ZEROS, "Enter", "change", "Enter", "second", "Enter", "second", "Enter",
        ]);
        let screen = at.sees(&["the owner has the new secret"]);
        assert!(!screen.contains("second"), "{screen}");
        quiet(&at);
        // Without a secret nothing is tried.
        at.keys(&["x"]);
        at.sees(&["www.pem", "Type the word clear"]);
        at.keys(&["clear", "Enter", "Enter"]);
        at.sees(&["whose secret was not typed"]);
        back(&at);
        quiet(&at);
        machine.tpm.assert_clean();
        at.keys(&["x"]);
        at.sees(&["Type the word clear"]);
        at.keys(&["clear", "Enter", "second", "Enter"]);
        at.sees(&["cleared: the TPM is nobody's"]);
        at.sees(&["none", "absent: it comes with an owner"]);
        at.keys(&["x"]);
        at.sees(&["clear: it has no owner"]);
        at.keys(&["8"]);
        at.sees(&["tpmctl owner clear --yes --auth file:VALUE"]);
    }
}

/// Its lockout is ended by the owner.
#[test]
fn its_owner_resets_the_lockout() {
    for machine in Machine::both() {
        let at = manager(&machine, "owner");
        at.sees(&["there is one"]);
        unlock(&at, &["l"]);
        at.sees(&["There is one try", "for a day, or until it is restarted"]);
        at.keys(&[ZEROS, "Enter"]);
        at.sees(&["no wrong try counts any more"]);
        machine.tpm.assert_clean();
    }
}

#[test]
fn nobodys() {
    for machine in Machine::both_unowned() {
        let at = manager(&machine, "");
        at.sees(&["has no owner", "tpmctl owner take"]);
        at.keys(&["6"]);
        at.sees(&[
            "none",
            "absent: it comes with an owner",
            "$ tpmctl owner take --random FILE",
        ]);
        unlock(&at, &["p"]);
        at.sees(&["set value: the TPM has no owner"]);
        at.keys(&["l"]);
        at.sees(&["reset lockout: the TPM has no owner"]);
        at.keys(&["x"]);
        at.sees(&["clear: it has no owner"]);
        at.keys(&["2"]);
        at.sees(&["There are neither key files nor persistent keys"]);
        at.keys(&["q"]);
        assert_eq!(at.end(), 0);
        machine.tpm.assert_clean();
    }
}

#[test]
fn disabled_and_deactivated() {
    let [machine, _] = Machine::both();
    keys_of(&machine);
    machine.ok("state set enabled off --auth file:well-known --yes");
    let at = manager(&machine, "");
    at.sees(&["disabled", "tpmctl state set enabled on"]);
    at.keys(&["6"]);
    at.sees(&["DISABLED, active"]);
    at.keys(&["Down"]);
    at.sees(&["$ tpmctl state show"]);
    at.keys(&["2"]);
    at.sees(&["www.pem"]);
    at.keys(&["G", "Enter"]);
    at.sees(&["does not work", "disabled"]);
    back(&at);
    machine.ok("state set enabled on --auth file:well-known --yes");
    at.keys(&["1", "r"]);
    at.sees(&["works, has an owner"]);

    let mut machine = Machine::unowned();
    for line in ["presence command-on", "presence on", "active off"] {
        machine.ok(&format!("state set {line} --yes"));
    }
    machine.tpm.restart();
    let at = manager(&machine, "");
    at.sees(&["deactivated", "tpmctl state set active on"]);
    at.keys(&["6"]);
    at.sees(&["enabled, DEACTIVATED"]);
}

/// The settings name a TPM of either generation: both are in the overview, and the panels are about the one that is chosen.
#[test]
fn two_tpms() {
    let bench = Bench::new();
    key(&bench, "two.tpm", "");
    let one = Swtpm12::owned();
    let content = std::fs::read(data("tss.pem")).expect("a key file of tests/data/tpm12");
    let dir = bench.openssl.dir();
    dir.write(&format!("{KEYS}/one.pem"), content);
    let run = command(&bench, "ui").env("TPM12_TCTI", one.address());
    let at = Tmux::start(&run, 200, 40);
    at.sees(&["2.0", "1.2", "works, has an owner", "lockout 0/"]);
    at.keys(&["2"]);
    at.sees(&["one.pem", "two.tpm", "0x81000001"]);
    // Each key is tried with the TPM that it is for.
    at.keys(&["/", "one.pem", "Enter", "Enter"]);
    at.sees(&["one.pem works"]);
    back(&at);
    back(&at);
    at.keys(&["/", "two.tpm", "Enter", "Enter"]);
    at.sees(&["two.tpm works"]);
    back(&at);
    at.keys(&["1", "j", "Enter"]);
    at.sees(&["the panels are about"]);
    at.keys(&["6"]);
    at.sees(&["enabled, active"]);
    at.keys(&["3"]);
    let screen = at.sees(&["sha1:0"]);
    assert!(!screen.contains("sha256"), "{screen}");
    at.keys(&["8"]);
    at.sees(&["tpmctl --tcti swtpm:path="]);
    at.keys(&["q"]);
    assert_eq!(at.end(), 0);
    bench.tpm.assert_clean();
    one.assert_clean();
}

/// What a killed one leaves in the TPM, the next user removes.
#[test]
fn it_is_killed() {
    let [machine, _] = Machine::both();
    keys_of(&machine);
    let proxy = Proxy::start12(&machine.tpm);
    let run = |line: &str| {
        let run = machine.openssl.tpmctl(&proxy.address(), line);
        at_home(run, machine.openssl.dir())
    };
    let at = Tmux::start(&run("ui keys"), 110, 34);
    at.sees(&["www.pem"]);
    quiet(&at);
    proxy.inject(Fault::on(SIGN, Action::Hold));
    at.keys(&["G", "Enter"]);
    wait_for("the signature", Duration::from_secs(30), || {
        proxy.holding() == 1
    });
    at.signal(libc::SIGKILL);
    assert_eq!(at.end(), 128 + libc::SIGKILL);
    proxy.heal();
    run(&format!("key test {KEYS}/www.pem")).ok();
    machine.tpm.assert_clean();
}
