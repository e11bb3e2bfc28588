//! Ownership of a TPM 1.2.

use testkit::key;
use testkit::nginx::{Block, Config, Nginx};
use testkit::openssl::{Config as Conf, Openssl};
use testkit::process::unbroken;
use testkit::proxy::{Action, Fault, Proxy};
use testkit::terminal::Typist;
use testkit::tls::Load;

use super::{Machine, sha1};

const TAKE: u32 = 0x0d;
const CHANGE_OWNER: u32 = 0x10;
const OWNER_CLEAR: u32 = 0x5b;

/// The whole life of an ownership, by `tpmctl` alone: taken, a key made, the secret changed, nginx served, cleared, and
/// what doctor says then.
#[test]
fn from_nobodys_tpm_to_nobodys() {
    for mut machine in Machine::both_unowned() {
        assert!(
            machine
                .ok("owner show")
                .contains("none: `tpmctl owner take`")
        );
        machine.fails("key new --tpm 1.2 -o no.key", &["tpmctl owner take"]);
        machine.fails(
            "owner take --random secret --yes",
            &["no endorsement key", "tpmctl ek create"],
        );
        assert!(!machine.openssl.dir().join("secret").exists());
        machine.ok("ek create --yes");
        let text = machine.ok("owner take --random secret --yes");
        assert!(text.contains("The owner's secret is in secret."), "{text}");
        assert_eq!(machine.mode("secret"), 0o600);
        let shown = machine.json("owner show");
        assert_eq!(
            (&shown["owned"], &shown["family"]),
            (&true.into(), &"1.2".into())
        );
        machine.fails("owner take --random other --yes", &["has an owner already"]);
        assert!(!machine.openssl.dir().join("other").exists());

        machine.ok("key new --tpm 1.2 -o www.pem");
        machine.ok("owner passwd --hierarchy owner --old file:secret --random second --yes");
        machine.fails(
            "owner passwd --hierarchy owner --old file:secret --random third --yes",
            &["the owner's secret is wrong", "wrong secrets counted: 1"],
        );
        assert!(!machine.openssl.dir().join("third").exists());
        serve(&machine);

        let text = machine.ok("owner clear --dry-run www.pem");
        assert!(text.contains("www.pem is lost"), "{text}");
        machine.fails("owner clear www.pem", &["--auth file:PATH"]);
        machine.fails("owner clear --auth file:second www.pem", &["say --yes"]);
        let told = machine.json("owner clear --auth file:second --yes www.pem");
        assert_eq!(told["cleared"], true);
        assert_eq!(told["files"][0]["fate"], "lost");
        assert_eq!(machine.json("owner show")["owned"], false);
        // A TPM 1.2 that was cleared is switched off.
        let text = machine.ok("state show");
        assert!(text.contains("NO: no key works"), "{text}");
        machine.fails(
            "owner take --random again --yes",
            &["disabled or deactivated"],
        );
        machine.switch_on();
        let text = machine.tpmctl("doctor").done().out();
        assert!(text.contains("has no owner"), "{text}");
        assert!(
            text.contains("tpmctl owner take --random /root/tpm-owner"),
            "{text}"
        );
        let tested = machine.tpmctl("key test www.pem").fails();
        assert!(tested.out().contains("`tpmctl owner take`"), "{tested}");
        // The next owner is not the one of the key.
        machine.ok("owner take --random third --yes");
        let tested = machine.tpmctl("key test www.pem").fails();
        let out = unbroken(&tested.out());
        assert!(
            out.contains("was not made under this TPM's SRK"),
            "{tested}"
        );
        machine.tpm.assert_clean();
    }
}

/// A server with `www.pem`, and a client.
fn serve(machine: &Machine) {
    let openssl = Openssl::without_tpm(Conf::new()).env("TPM12_TCTI", &machine.address());
    openssl.dir().write("www.pem", machine.read("www.pem"));
    key::certificate(&openssl, "www");
    let at = |end: &str| openssl.dir().join(&format!("www.{end}"));
    let block = Block::new(at("crt"), at("pem"))
        .extra("ssl_protocols TLSv1.2;")
        .extra("ssl_conf_command SignatureAlgorithms RSA+SHA256;");
    let mut server = Nginx::start(&openssl, &Config::new(vec![block]));
    Load::new(server.port(0), 4)
        .clients(2)
        .trusting(at("crt"))
        .run()
        .all(4);
    server.quit();
}

/// What ours makes tpm-tools use, and the other way round.
#[test]
fn tpm_tools_and_tpmctl_agree() {
    let mut machine = Machine::unowned_behind_tcsd();
    machine.ok("ek create --yes");
    machine.ok("owner take --new file:well-known --yes");
    let shown = machine.tpm_tool("tpm_getpubek -z").ok().out();
    assert!(shown.contains("RSA"), "{shown}");
    machine.tpm_tool("tpm_restrictsrk -z -a").ok();
    assert_eq!(machine.json("owner show")["srk_readable"], true);
    machine.ok("srk restrict on --auth file:well-known --yes");
    let shown = machine.tpm_tool("tpm_restrictsrk -z -s").ok().out();
    assert!(shown.contains("readable with: owner auth"), "{shown}");
    machine.write("owner", "a password\n");
    machine.ok("owner passwd --hierarchy owner --old file:well-known --new file:owner --yes");
    let mut typist = Typist::start(machine.tpm_tool("tpm_setclearable -s"));
    typist.sees("owner password");
    typist.types("a password\n");
    let (status, shown) = typist.end();
    assert!(status.success(), "{shown}");
    machine.fails(
        "owner clear --auth file:well-known --yes",
        &["the owner's secret is wrong"],
    );
    machine.ok("lockout reset --auth file:owner --yes");
    machine.ok("owner clear --auth file:owner --yes");
    machine.switch_on();
    // Taken by them.
    machine.tpm_tool("tpm_takeownership -y -z").ok();
    machine.ok("key new --tpm 1.2 -o theirs.pem");
    machine.ok("owner passwd --hierarchy owner --old file:well-known --new file:owner --yes");
    machine.write("srk", "srk password\n");
    machine.ok("srk passwd --auth file:owner --new file:srk --yes");
    let tested = machine.tpmctl("key test theirs.pem").fails();
    assert!(tested.out().contains("SRK's secret"), "{tested}");
    machine.ok("key test theirs.pem --parent-auth file:srk");
    machine.ok("srk passwd --auth file:owner --well-known --yes");
    machine.ok("key test theirs.pem");
    machine.tpm.assert_clean();
}

/// The commands that each costs, no secret seen on the way, and nobody believed who does not know it.
#[test]
fn what_goes_to_the_tpm() {
    let machine = Machine::unowned();
    machine.ok("ek create --yes");
    machine.write("first", "0123456789abcdefghij\n");
    machine.write("second", "klmnopqrstuvwxyz0123\n");
    let proxy = Proxy::start12(&machine.tpm);
    let run = |line: &str| machine.openssl.tpmctl(&proxy.address(), line);
    let sent = |wanted: u32| {
        proxy
            .exchanges()
            .iter()
            .filter(|it| it.code == wanted)
            .count()
    };
    run("owner take --new file:first --dry-run").ok();
    assert_eq!(sent(TAKE), 0);
    // Who says in the TPM's place that it is done.
    proxy.inject(Fault::on(TAKE, Action::Answer(0)));
    run("owner take --new file:first --yes").fails();
    proxy.heal();
    proxy.reset();
    run("owner take --new file:first --yes").ok();
    assert_eq!(sent(TAKE), 1);
    proxy.reset();
    proxy.inject(Fault::on(CHANGE_OWNER, Action::CutAfter));
    run("owner passwd --hierarchy owner --old file:first --random made-up --yes")
        .fails()
        .says("keep made-up, whose secret may count now");
    assert_eq!(sent(CHANGE_OWNER), 1);
    proxy.heal();
    run("owner passwd --hierarchy owner --old file:made-up --new file:second --yes").ok();
    proxy.reset();
    run("owner clear --auth file:first --yes")
        .fails()
        .says("wrong secrets counted: 1");
    assert_eq!(sent(OWNER_CLEAR), 1);
    for secret in [&b"0123456789abcdefghij"[..], b"klmnopqrstuvwxyz0123"] {
        assert!(!proxy.saw(secret));
        let value = sha1(secret);
        assert!(!proxy.saw(&value));
    }
    machine.tpm.assert_clean();
}

/// An endorsement key that is known is compared before anything is sent.
#[test]
fn a_known_endorsement_key_is_insisted_on() {
    let machine = Machine::unowned();
    machine.ok("ek create --yes");
    machine.ok("ek show -o ek.pem");
    key::software_rsa(&machine.openssl, "other", 2048);
    machine
        .openssl
        .ok("pkey -in other.pem -pubout -out other.pub");
    machine.fails(
        "owner take --random secret --ek other.pub --yes",
        &["another endorsement key", "nothing was sent"],
    );
    assert!(!machine.openssl.dir().join("secret").exists());
    machine.ok("owner take --random secret --ek ek.pem --yes");
    machine.tpm.assert_clean();
}

#[test]
fn clearing_is_given_up_and_comes_back() {
    let mut machine = Machine::unowned();
    machine.ok("ek create --yes");
    machine.ok("owner take --new file:well-known --yes");
    let text = machine.ok("owner clear-lock show");
    assert!(
        text.contains("by its owner and by somebody at the machine"),
        "{text}"
    );
    machine.fails("owner clear-lock on --yes", &["--auth file:PATH"]);
    machine.ok("owner clear-lock on --auth file:well-known --dry-run");
    let told = machine.json("owner clear-lock on --auth file:well-known --yes");
    assert_eq!(
        (&told["clear_by_owner"], &told["changed"]),
        (&false.into(), &true.into())
    );
    machine.fails(
        "owner clear --auth file:well-known --yes",
        &["given that up", "--by presence"],
    );
    machine.fails("owner clear-lock off --yes", &["nobody can say"]);
    machine.fails(
        "owner clear --by presence --yes",
        &["tpmctl state set presence on"],
    );
    machine.fails("owner clear --by lockout --yes", &["TPM 1.2"]);
    machine.ok("state set presence command-on --yes");
    machine.ok("state set presence on --yes");
    machine.ok("owner clear-lock on --by presence --yes");
    machine.fails(
        "owner clear --by presence --yes",
        &["until the machine is restarted"],
    );
    machine.tpm.restart();
    machine.ok("state set presence on --yes");
    machine.ok("owner clear --by presence --yes");
    machine.switch_on();
    assert_eq!(
        machine.json("owner clear-lock show")["clear_by_owner"],
        true
    );
    machine.tpm.assert_clean();
}

/// Six wrong secrets lock the TPM, and each is told.
#[test]
fn wrong_secrets_are_counted_and_lock() {
    for machine in Machine::both() {
        machine.write("wrong", "nobody's\n");
        for count in 1..=5 {
            machine.fails(
                "srk restrict on --auth file:wrong --yes",
                &[
                    "the owner's secret is wrong",
                    &format!("wrong secrets counted: {count}"),
                ],
            );
        }
        machine.fails("srk restrict on --auth file:wrong --yes", &["locked"]);
        machine.fails("srk restrict on --auth file:well-known --yes", &["locked"]);
        machine.ok("lockout reset --auth file:well-known --yes");
        machine.ok("srk restrict on --auth file:well-known --yes");
        machine.tpm.assert_clean();
    }
}
