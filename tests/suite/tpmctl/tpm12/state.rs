//! Whether a TPM 1.2 works.

use testkit::proxy::{Action, Fault, Proxy};
use testkit::tpm::command;

use super::Machine;

#[test]
fn its_owner_disables_and_enables_it() {
    for machine in Machine::both() {
        let told = machine.json("state set enabled off --auth file:well-known --yes");
        assert_eq!(
            (&told["after"]["enabled"], &told["changed"]),
            (&false.into(), &true.into())
        );
        machine.fails("random 8 --hex", &["disabled", "tpmctl state"]);
        assert!(machine.ok("state show").contains("NO: no key works"));
        machine.ok("state set enabled on --auth file:well-known --dry-run");
        assert_eq!(machine.json("state show")["enabled"], false);
        machine.ok("state set enabled on --auth file:well-known --yes");
        assert_eq!(machine.ok("random 8 --hex").trim().len(), 16);
        for (line, reason) in [
            ("state set owner off --yes", "no hierarchies"),
            ("state set enabled lock --yes", "on or off"),
            (
                "state set enabled off --by operator --auth file:well-known --yes",
                "word of its owner",
            ),
            (
                "state set active on --by owner --auth file:well-known --yes",
                "somebody at the machine alone",
            ),
            ("state set operator off --yes", "cleared"),
        ] {
            machine.fails(line, &[reason]);
        }
        machine.tpm.assert_clean();
    }
}

/// What somebody at the machine says, and that tcsd does not pass on.
#[test]
fn presence_is_said_to_the_tpm_alone() {
    let mut machine = Machine::unowned();
    machine.fails("state set presence on --yes", &["no command may say this"]);
    machine.ok("state set presence command-on --yes");
    machine.fails(
        "state set ownable off --yes",
        &["knows of nobody at the machine"],
    );
    let told = machine.json("state set presence on --yes");
    assert_eq!(told["after"]["present"], true);
    let told = machine.json("state set ownable off --yes");
    assert_eq!(told["after"]["ownable"], false);
    machine.ok("ek create --yes");
    machine.fails(
        "owner take --random x --yes",
        &["tpmctl state set ownable on"],
    );
    machine.ok("state set ownable on --yes");
    machine.write("operator", "the operator's\n");
    machine.fails("state set operator on --yes", &["--new file:PATH"]);
    machine.ok("state set operator on --new file:operator --yes");
    let told = machine.json("state set active until-restart --auth file:operator --yes");
    assert_eq!(
        (
            &told["after"]["active"],
            &told["after"]["active_after_start"]
        ),
        (&false.into(), &true.into())
    );
    machine.fails("owner take --random x --yes", &["disabled or deactivated"]);
    machine.tpm.restart();
    assert_eq!(machine.json("state show")["active"], true);
    machine.ok("state set presence on --yes");
    machine.ok("state set active off --yes");
    machine.ok("state set presence lock --yes");
    machine.fails("state set presence on --yes", &["no command may say this"]);
    machine.tpm.restart();
    assert!(
        machine.ok("state show").contains("deactivated")
            || machine.json("state show")["active"] == false
    );

    let machine = Machine::unowned_behind_tcsd();
    machine.fails(
        "state set presence on --yes",
        &["single-user mode", "--tcti device:/dev/tpm0"],
    );
    machine.tpm.assert_clean();
}

/// A TPM that fails at everything says so, and what is not known of it is not made up.
#[test]
fn a_tpm_in_failure_mode() {
    let machine = Machine::unowned();
    let proxy = Proxy::start12(&machine.tpm);
    // TPM_FAIL.
    let failed = command(0x00c4, 9, &[]);
    proxy.inject(Fault::any(Action::Garbage(failed)).always());
    for line in [
        "owner show",
        "state show",
        "ek show",
        "nv list",
        "pcr read",
        "counter list",
        "random 8 --hex",
        "owner take --random never --yes",
    ] {
        let done = machine.openssl.tpmctl(&proxy.address(), line).fails();
        done.says("failure mode").never_says("panicked");
    }
    assert!(!machine.openssl.dir().join("never").exists());
}
