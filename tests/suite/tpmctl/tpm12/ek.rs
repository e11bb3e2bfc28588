//! The endorsement key of a TPM 1.2.

use super::Machine;

#[test]
fn it_is_made_shown_and_restricted() {
    for machine in Machine::both_unowned() {
        assert!(machine.ok("ek show").contains("none: `tpmctl ek create`"));
        machine.ok("ek create --dry-run");
        machine.fails("ek create --type ecc --yes", &["RSA"]);
        let made = machine.json("ek create --yes");
        assert_eq!(made["ek"]["bits"], 2048);
        machine.fails("ek create --yes", &["there is an endorsement key already"]);
        machine.ok("ek show -o ek.pem");
        assert_eq!(
            machine.read("ek.pem"),
            made["ek"]["pem"].as_str().expect("PEM")
        );
        machine.openssl.ok("pkey -pubin -in ek.pem -noout");
        machine.fails(
            "ek restrict --auth file:well-known --yes",
            &["tpmctl owner take"],
        );
        machine.ok("owner take --new file:well-known --yes");
        machine.fails("ek show", &["--endorsement-auth file:PATH"]);
        let shown = machine.json("ek show --endorsement-auth file:well-known");
        assert_eq!(shown["ek"], made["ek"]);
        machine.ok("ek restrict --auth file:well-known --yes");
        machine.fails(
            "ek revoke --auth file:well-known --yes",
            &["not made to be revoked"],
        );
        machine.tpm.assert_clean();
    }
}

/// tpm_getpubek shows the same modulus.
#[test]
fn tpm_getpubek_shows_the_same() {
    let machine = Machine::unowned_behind_tcsd();
    machine.tpm_tool("tpm_createek").ok();
    let ours = machine.json("ek show");
    let theirs = machine.tpm_tool("tpm_getpubek").ok().out();
    let digits: String = theirs
        .lines()
        .filter(|line| line.starts_with('\t') && !line.contains(':'))
        .flat_map(|line| line.chars().filter(char::is_ascii_hexdigit))
        .collect();
    machine.write("ek.pem", ours["ek"]["pem"].as_str().expect("PEM"));
    let modulus = machine
        .openssl
        .ok("rsa -pubin -in ek.pem -noout -modulus")
        .out();
    let modulus = modulus.trim().trim_start_matches("Modulus=").to_lowercase();
    assert!(
        digits.to_lowercase().contains(&modulus),
        "{modulus} in {theirs}"
    );
    machine.tpm.assert_clean();
}

#[test]
fn a_revocable_one_is_revoked_with_its_value() {
    let mut machine = Machine::unowned();
    machine.ok("ek create --revocable reset --yes");
    assert_eq!(machine.mode("reset"), 0o600);
    machine.ok("owner take --new file:well-known --yes");
    machine.fails("ek revoke --yes", &["--auth file:PATH"]);
    machine.fails(
        "ek revoke --auth file:reset --yes",
        &["nobody at the machine"],
    );
    machine.ok("state set presence command-on --yes");
    machine.ok("state set presence on --yes");
    machine.fails(
        "ek revoke --auth file:well-known --yes",
        &["the value that the endorsement key is revoked with is wrong"],
    );
    machine.ok("ek revoke --auth file:reset --yes");
    assert_eq!(machine.json("owner show")["owned"], false);
    machine.switch_on();
    assert!(machine.ok("ek show").contains("none"));
    machine.tpm.assert_clean();
}
