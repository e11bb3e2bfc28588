//! `tpmctl owner` and `tpmctl state`: from nobody's TPM to one's own, and back.

use std::fs;
use std::os::unix::fs::MetadataExt;

use testkit::bench::Bench;
use testkit::nginx::{Block, Config, Nginx};
use testkit::process::unbroken;
use testkit::proxy::{Action, Fault};
use testkit::scratch::set_mode;
use testkit::terminal::Typist;
use testkit::tls::Load;

use super::super::{fails, json, ok};
use super::usage;

/// TPM2_Clear, TPM2_ClearControl.
const CLEAR: u32 = 0x126;
const CLEAR_CONTROL: u32 = 0x127;

fn set(bench: &Bench) -> Vec<(String, bool)> {
    let shown = json(bench, "owner show");
    let states = shown["hierarchies"].as_array().expect("a list");
    states
        .iter()
        .filter_map(|state| {
            Some((
                state["hierarchy"].as_str()?.to_owned(),
                state["auth_set"].as_bool()?,
            ))
        })
        .collect()
}

#[test]
fn ownership_is_taken_shown_and_given_up() {
    let bench = Bench::without_srk();
    let shown = json(&bench, "owner show");
    assert_eq!(shown["owned"], false, "{shown}");
    assert_eq!(shown["clear_enabled"], true, "{shown}");
    let text = unbroken(&ok(&bench, "owner show"));
    assert!(text.contains("by everybody who reaches the TPM"), "{text}");
    // Looking changes nothing.
    ok(&bench, "owner take --random secret --dry-run");
    assert!(!bench.openssl.dir().join("secret").exists());
    fails(
        &bench,
        "owner take --random secret",
        &["there is no terminal"],
    );
    assert!(set(&bench).iter().all(|(_, set)| !set));
    let (said, counts) = bench
        .tap
        .cost(|| ok(&bench, "owner take --random secret --yes"));
    assert_eq!(counts.of("HierarchyChangeAuth"), 3);
    assert_eq!(counts.of("EvictControl"), 1, "the storage root key");
    assert!(said.contains("Set: lockout, endorsement, owner."), "{said}");
    let file = bench.openssl.dir().join("secret");
    assert_eq!(fs::metadata(&file).expect("made").mode() & 0o777, 0o600);
    let secret = bench.openssl.dir().read_text("secret");
    assert!(!bench.tap.saw(secret.trim_end().as_bytes()));
    assert!(!said.contains(secret.trim_end()));
    assert!(set(&bench).iter().all(|(_, set)| *set), "{:?}", set(&bench));
    assert_eq!(json(&bench, "owner show")["owned"], true);
    // It is somebody's now.
    fails(
        &bench,
        "owner take --random other --yes",
        &[
            "somebody's",
            "lockout, endorsement, owner",
            "`tpmctl owner clear`",
        ],
    );
    assert!(!bench.openssl.dir().join("other").exists());
    // Other programs know the value.
    bench.tool(&format!(
        "tpm2_changeauth -c owner -p {} {0}",
        secret.trim_end()
    ));
    ok(&bench, "owner clear --auth file:secret --yes");
    assert!(set(&bench).iter().all(|(_, set)| !set));
    assert!(bench.tpm.raw().handles(0x8100_0000).is_empty());
    bench.tpm.assert_clean();
}

/// What a stranger who answers in the TPM's place says is not believed.
#[test]
fn a_forged_answer_is_no_success() {
    let bench = Bench::new();
    for (code, line) in [
        (CLEAR, "owner clear --yes"),
        (CLEAR_CONTROL, "owner clear-lock on --yes"),
        (0x121, "state set endorsement off --yes"),
    ] {
        bench.tap.inject(Fault::on(code, Action::Answer(0)));
        bench.tpmctl(line).fails().never_says("panicked");
        bench.tap.heal();
    }
    let shown = json(&bench, "owner show");
    assert_eq!(shown["clear_enabled"], true, "{shown}");
    assert_eq!(shown["srk_present"], true, "{shown}");
}

#[test]
fn clearing_says_before_what_is_lost() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    fs::create_dir(dir.join("keys")).expect("a directory");
    ok(&bench, "key new -o keys/www.tpm");
    ok(&bench, "key new --parent platform -o keys/stays.tpm");
    dir.write("secret", "a secret");
    ok(&bench, "seal -i secret -o keys/disk.sealed");
    let other = Bench::new();
    ok(&other, "key new -o foreign.tpm");
    dir.write("keys/foreign.tpm", other.openssl.dir().read("foreign.tpm"));
    dir.write("keys/readme.txt", "no key");
    ok(&bench, "key persist keys/www.tpm 0x81020000");
    ok(&bench, "nv define 0x01800001 --size 4 --yes");
    bench.tool("tpm2_nvdefine -C p -s 4 -a ppwrite|ppread|platformcreate 0x01400001");
    let loss = json(&bench, "owner clear --dry-run keys");
    let fate = |name: &str| {
        let files = loss["files"].as_array().expect("a list");
        let file = files.iter().find(|file| {
            file["file"]
                .as_str()
                .is_some_and(|file| file.ends_with(name))
        });
        file.map(|file| file["fate"].as_str().expect("a word").to_owned())
    };
    assert_eq!(fate("www.tpm").as_deref(), Some("lost"), "{loss}");
    assert_eq!(fate("stays.tpm").as_deref(), Some("survives"), "{loss}");
    assert_eq!(fate("disk.sealed").as_deref(), Some("lost"), "{loss}");
    assert_eq!(
        fate("foreign.tpm").as_deref(),
        Some("of-another-tpm"),
        "{loss}"
    );
    assert_eq!(fate("readme.txt"), None);
    let gone = |list: &str, name: &str, of: &str| {
        let list = loss[list].as_array().expect("a list");
        let one = list.iter().find(|one| one[name] == of).expect(of);
        one["lost"].as_bool().expect("told")
    };
    assert!(gone("persistent", "handle", "0x81020000"));
    assert!(gone("nv", "index", "0x01800001"));
    assert!(!gone("nv", "index", "0x01400001"));
    let endorsement = ok(&bench, "ek show --type ecc");
    // The word, and no other.
    let mut at = Typist::start(bench.tpmctl("owner clear keys"));
    at.sees("www.tpm is lost");
    at.sees("Type clear to do it");
    at.types("yes\r");
    assert!(at.end().0.success());
    assert_eq!(json(&bench, "owner show")["srk_present"], true);
    let mut at = Typist::start(bench.tpmctl("owner clear keys"));
    at.sees("Type clear to do it");
    at.types("clear\r");
    assert!(at.end().0.success());
    // What was said has come true.
    ok(&bench, "key test keys/stays.tpm");
    assert_eq!(ok(&bench, "ek show --type ecc"), endorsement);
    fails(&bench, "key test keys/www.tpm", &[]);
    fails(&bench, "unseal -i keys/disk.sealed -o out", &[]);
    assert_eq!(bench.tpm.raw().handles(0x0100_0000), [0x0140_0001]);
    assert!(bench.tpm.raw().handles(0x8100_0000).is_empty());
    bench.tpm.assert_clean();
}

#[test]
fn a_wrong_lockout_value_is_counted_and_a_lock_says_so() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("right", "right\n");
    dir.write("wrong", "wrong\n");
    ok(
        &bench,
        "owner passwd --hierarchy lockout --new file:right --yes",
    );
    // One that is needed and not named is no try.
    fails(
        &bench,
        "owner clear --yes",
        &["has an authorization value", "--auth file:PATH"],
    );
    fails(
        &bench,
        "owner clear --auth file:missing --yes",
        &["missing"],
    );
    fails(
        &bench,
        "owner clear --auth file:wrong --yes",
        &[
            "the lockout authorization is wrong",
            "one wrong try is enough",
        ],
    );
    fails(
        &bench,
        "owner clear --auth file:right --yes",
        &["was not looked at, since a wrong one was tried before"],
    );
    assert_eq!(json(&bench, "owner show")["srk_present"], true);
    // Without a value to be tried: the platform hierarchy's is empty in a software TPM.
    ok(&bench, "owner clear --by platform --yes");
    assert_eq!(json(&bench, "owner show")["srk_present"], false);
    bench.tpm.assert_clean();
}

#[test]
fn a_tpm_that_is_locked_against_clearing_is_not_cleared() {
    let bench = Bench::new();
    assert_eq!(json(&bench, "owner clear-lock show")["locked"], false);
    assert_eq!(
        json(&bench, "owner clear-lock on --dry-run")["locked"],
        false
    );
    let done = json(&bench, "owner clear-lock on --yes");
    assert_eq!(
        (&done["locked"], &done["changed"]),
        (&true.into(), &true.into())
    );
    assert!(ok(&bench, "owner clear-lock on --yes").contains("Nothing to change."));
    fails(
        &bench,
        "owner clear --yes",
        &["clearing is disabled", "firmware setup"],
    );
    usage(&bench, "owner clear-lock off --yes", &["platform"]);
    usage(
        &bench,
        "owner clear --by owner --yes",
        &["this is a TPM 2.0", "--by lockout"],
    );
    usage(
        &bench,
        "owner clear --by presence --yes",
        &["firmware setup"],
    );
    ok(&bench, "owner clear-lock off --by platform --yes");
    ok(&bench, "owner clear --yes");
    bench.tpm.assert_clean();
}

#[test]
fn a_hierarchy_is_switched_off_until_a_restart() {
    let mut bench = Bench::new();
    assert_eq!(json(&bench, "state show")["endorsement"], true);
    assert_eq!(
        json(&bench, "state set endorsement off -n")["endorsement"],
        true
    );
    assert_eq!(
        json(&bench, "state set endorsement off --yes")["endorsement"],
        false
    );
    fails(&bench, "ek show --type ecc", &[]);
    assert!(ok(&bench, "owner show").contains("switched off"));
    // A hierarchy switches itself off only.
    usage(
        &bench,
        "state set endorsement on --by endorsement",
        &["platform"],
    );
    usage(
        &bench,
        "state set owner off --by endorsement",
        &["platform"],
    );
    ok(&bench, "state set endorsement on --yes");
    assert_eq!(json(&bench, "state show")["endorsement"], true);
    for part in ["enabled", "active", "ownable", "presence", "operator"] {
        usage(
            &bench,
            &format!("state set {part} on"),
            &["part of a TPM 1.2"],
        );
    }
    usage(&bench, "state set owner lock", &["on or off"]);
    ok(&bench, "state set owner off --yes");
    bench.tpm.restart();
    assert_eq!(json(&bench, "state show")["owner"], true);
}

#[test]
fn a_hierarchy_has_a_policy_and_loses_it() {
    let bench = Bench::new();
    ok(&bench, "policy new locality:0 -o local.policy");
    let digest = |bench: &Bench| {
        let shown = json(bench, "owner show");
        let states = shown["hierarchies"].as_array().expect("a list");
        let owner = states.iter().find(|state| state["hierarchy"] == "owner");
        owner.expect("owner")["policy"].clone()
    };
    assert!(digest(&bench).is_null());
    let dry = json(&bench, "owner policy owner local.policy -n");
    assert!(digest(&bench).is_null());
    ok(&bench, "owner policy owner local.policy --yes");
    assert_eq!(digest(&bench), dry["after"]);
    // What another program makes of the same policy.
    bench.tool("tpm2_startauthsession -S s.ctx");
    bench.tool("tpm2_policylocality -S s.ctx -L policy.bin zero");
    bench.tool("tpm2_flushcontext s.ctx");
    let theirs: String = bench
        .openssl
        .dir()
        .read("policy.bin")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(digest(&bench), format!("sha256:{theirs}"));
    assert!(ok(&bench, "owner policy owner local.policy --yes").contains("Nothing to change."));
    ok(&bench, "owner policy owner --none --yes");
    assert!(digest(&bench).is_null());
    usage(&bench, "owner policy owner", &[]);
}

#[test]
fn a_tpm_that_goes_away_meanwhile_is_not_told_twice() {
    let bench = Bench::new();
    bench.tap.inject(Fault::on(CLEAR, Action::CutAfter));
    fails(
        &bench,
        "owner clear --yes",
        &["it may have been done, or not"],
    );
    assert_eq!(bench.tap.counts().of("Clear"), 1);
    assert_eq!(json(&bench, "owner show")["srk_present"], false);
}

#[test]
fn a_file_that_nobody_may_read_is_named() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    dir.write("mine", "secret\n");
    set_mode(&dir.join("mine"), 0o600);
    ok(
        &bench,
        "owner passwd --hierarchy lockout --new file:mine --yes",
    );
    dir.write("empty", "");
    fails(&bench, "owner clear --auth file:empty --yes", &["empty"]);
    fails(
        &bench,
        "owner clear --auth file:mine --yes nowhere",
        &["nowhere"],
    );
}

/// Ownership is taken, a key is made, the secret changed, nginx serves; then the TPM is cleared, and doctor says what is lost.
#[test]
fn from_taking_ownership_to_losing_it() {
    let bench = Bench::without_srk();
    let dir = bench.openssl.dir();
    ok(&bench, "owner take --random secret --yes");
    let home = dir.join("home");
    let keys = home.join(".local/share/tpm-provider/keys");
    fs::create_dir_all(&keys).expect("directories");
    let key = keys.join("www.tpm");
    ok(
        &bench,
        &format!("key new --parent 0x81000001 -o {}", key.display()),
    );
    dir.write("new", "another secret\n");
    ok(
        &bench,
        "owner passwd --hierarchy owner --hierarchy lockout --hierarchy endorsement --old file:secret --new file:new --yes",
    );
    bench.openssl.ok(&format!(
        "req -x509 -key {} -out www.crt -subj /CN=www -days 2",
        key.display()
    ));
    let block = Block::new(dir.join("www.crt"), &key);
    let mut server = Nginx::start(&bench.openssl, &Config::new(vec![block]));
    Load::new(server.port(0), 4).run().all(4);
    server.assert_content();
    server.quit();
    let lost = bench
        .tpmctl("owner clear --auth file:new --yes")
        .env("HOME", &home)
        .ok()
        .out();
    assert!(unbroken(&lost).contains("www.tpm is lost"), "{lost}");
    ok(&bench, "srk create");
    let told = bench.tpmctl("doctor").env("HOME", &home).done().out();
    let told = unbroken(&told);
    for part in ["does not load", "www.tpm", "before it was cleared"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}
