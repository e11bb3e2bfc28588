//! `key test`, `key public`, `key csr`: whether a key works, and what goes out of it.

use serde_json::Value;
use std::fs;
use testkit::machine::Machine;
use testkit::openssl::{Config, Openssl};
use testkit::process::Run;
use testkit::proxy::{Action, Fault, Proxy};
use testkit::scratch::Scratch;
use testkit::swtpm::Swtpm;
use testkit::swtpm12::{Swtpm12, data};
use testkit::tools::{find, root};
use testkit::tpm::cc;

/// The verdict in JSON; the exit status agrees with it.
#[track_caller]
fn verdict(run: Run) -> Value {
    let done = run.arg("--json").done();
    let verdict: Value =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{e}\n{done}"));
    assert_eq!(
        done.status.code(),
        Some(i32::from(verdict["works"] != true)),
        "{done}"
    );
    verdict
}

#[test]
fn a_key_is_tried_and_the_layer_that_fails_is_named() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    let dir = openssl.dir();
    dir.write("pin", "1234\n");
    dir.write("wrong", "4321\n");
    let at = |line: &str| openssl.tpmctl(&tap.address(), line);
    for (name, options) in [
        ("ec", ""),
        ("rsa", "--type rsa"),
        ("pin", "--auth file:pin"),
        ("pss", "--type rsa-pss"),
    ] {
        at(&format!("key new -o {name}.key {options}")).ok();
        let passin = if name == "pin" {
            "-passin file:pin"
        } else {
            ""
        };
        openssl.ok(&format!(
            "req -x509 -key {name}.key {passin} -subj /CN=x -days 2 -out {name}.crt"
        ));
    }
    openssl
        .plain()
        .ok("req -x509 -newkey rsa:2048 -nodes -keyout soft.key -subj /CN=x -out soft.crt -days 2");
    dir.write("garbage.crt", "nothing\n");
    fs::copy(
        root().join("tests/data/tpm2/j_ec_pcr.pem"),
        dir.join("pcr.key"),
    )
    .expect("copied");
    fs::copy(
        root().join("tests/data/tpm2/e_ec.pem"),
        dir.join("foreign.key"),
    )
    .expect("copied");
    for (line, failed) in [
        ("ec.key", ""),
        ("ec.key --cert ec.crt", ""),
        ("rsa.key --cert rsa.crt", ""),
        ("pss.key --cert pss.crt", ""),
        ("pin.key --cert pin.crt --auth file:pin", ""),
        ("missing.key", "file"),
        ("soft.key", "file"),
        // Of another TPM.
        ("pcr.key", "use"),
        ("ec.key --cert rsa.crt", "certificate"),
        ("rsa.key --cert soft.crt", "certificate"),
        ("ec.key --cert garbage.crt", "certificate"),
        ("ec.key --cert missing.crt", "certificate"),
        ("foreign.key", "use"),
    ] {
        let verdict = verdict(at(&format!("key test {line}")));
        let shown = verdict["failed"].as_str().unwrap_or_default();
        assert_eq!(shown, failed, "{line}: {verdict}");
        let text = at(&format!("key test {line}")).done().out();
        let head = if failed.is_empty() {
            "works"
        } else {
            "does not work"
        };
        assert!(
            text.lines().next().expect("a verdict").contains(head),
            "{text}"
        );
    }
    // A try is spent only where a value was given.
    let (_, counts) = tap.cost(|| assert_eq!(verdict(at("key test pin.key"))["failed"], "use"));
    assert_eq!(counts.of("Sign"), 0, "{counts:?}");
    assert_eq!(
        verdict(at("key test pin.key --auth file:wrong"))["failed"],
        "use"
    );
    assert_eq!(
        verdict(at("key test pin.key --auth -").stdin("1234\n"))["works"],
        true
    );
    // Key and value both from standard input.
    let both = [b"1234\n".as_slice(), &dir.read("pin.key")].concat();
    assert_eq!(
        verdict(at("key test - --auth -").stdin(both))["works"],
        true
    );
    // Whose name is not known, and what is not ours to become.
    at("key test ec.key --user no-such-user")
        .fails()
        .says("no user");
    // A TPM that is not there, and one that does not do it.
    let gone = openssl.tpmctl("swtpm:path=/nonexistent/tpm", "key test ec.key");
    assert_eq!(verdict(gone)["failed"], "tpm");
    tap.inject(Fault::on(cc::SIGN, Action::Answer(0x101)));
    assert_eq!(verdict(at("key test ec.key"))["failed"], "use");
    tap.heal();
    tpm.assert_clean();
}

/// An expired certificate is told; a key of a TPM 1.2 is tried like others.
#[test]
fn certificates_out_of_date_and_keys_of_a_tpm_1_2() {
    let tpm = Swtpm12::owned();
    let openssl = Openssl::with(
        Config::new().setting("tcti12", &tpm.address()),
        &tpm.address(),
    );
    let at = |line: &str| openssl.tpmctl(&tpm.address(), line);
    at("key new -o old.key").ok();
    at("key csr old.key --san old.example.org -o old.csr").ok();
    openssl.plain().ok("req -in old.csr -verify -noout");
    openssl.dir().write(
        "ca.cnf",
        "[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\nnew_certs_dir = .\ndefault_md = sha256\npolicy = p\n\
         rand_serial = yes\n[p]\ncommonName = supplied\n",
    );
    openssl.dir().write("index.txt", "");
    openssl.ok(
        "ca -config ca.cnf -batch -selfsign -keyfile old.key -in old.csr -out old.crt -startdate 20200101000000Z \
         -enddate 20210101000000Z",
    );
    let said = verdict(at("key test old.key --cert old.crt"));
    assert_eq!(said["works"], true, "{said}");
    assert_eq!(said["type"], "RSA 2048");
    let certificate = &said["layers"][2];
    assert_eq!(certificate["state"], "warning", "{said}");
    assert!(
        certificate["text"]
            .as_str()
            .expect("a text")
            .contains("has expired"),
        "{said}"
    );
    // Of another TPM.
    fs::copy(data("my.key"), openssl.dir().join("foreign.key")).expect("copied");
    let other = Swtpm12::unowned();
    assert_eq!(
        verdict(openssl.tpmctl(&other.address(), "key test old.key"))["failed"],
        "use"
    );
    tpm.assert_clean();
}

/// The file is read by root, as a server's master does it, and the TPM used by the user: the groups that count are his.
#[test]
fn a_key_is_tried_as_a_user() {
    let machine = Machine::new();
    let done = machine.run(
        r#"
export TPM_TCTI=$TPM
socket=${TPM#swtpm:path=}
groupadd --system --force tss
mkdir /run/keys && cd /run/keys
echo 1234 >pin
tpmctl key new --auth file:pin -o www.key
chgrp tss "$socket"; chmod 660 "$socket"
try() { tpmctl key test www.key --auth file:pin --user www-data && echo "status 0" || echo "status $?"; }
try
usermod -aG tss www-data
try
chmod 644 www.key
try
tpmctl key test www.key --auth file:pin --user root
setpriv --reuid www-data --regid www-data --clear-groups tpmctl key test www.key --user root 2>&1 || echo "refused $?"
"#,
    );
    assert!(done.status.success(), "{done}");
    let out = done.out();
    let verdicts: Vec<&str> = out.lines().filter(|l| l.contains("work")).collect();
    assert!(
        verdicts[0].contains("does not work for www-data: layer TPM"),
        "{done}"
    );
    assert_eq!(
        out.matches("www.key works for www-data").count(),
        2,
        "{done}"
    );
    assert!(out.contains("www.key works for root"), "{done}");
    assert!(out.contains("www-data cannot read the file"), "{done}");
    assert!(out.contains("www-data can read the file"), "{done}");
    assert!(out.contains("only root can try it"), "{done}");
}

#[test]
fn the_public_half_is_what_others_read() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    let at = |line: &str| openssl.tpmctl(&tpm.address(), line);
    // Without a TPM: the address would be an error.
    let alone = |line: &str| openssl.tpmctl("nonsense", line);
    for (name, options) in [
        ("p256", ""),
        ("p384", "--curve P-384"),
        ("rsa", "--type rsa"),
        ("pss", "--type rsa-pss"),
    ] {
        at(&format!("key new -o {name}.key {options}")).ok();
        let pem = alone(&format!("key public {name}.key")).ok().out();
        openssl.ok(&format!("pkey -in {name}.key -pubout -out {name}.pub"));
        assert_eq!(
            pem,
            openssl.dir().read_text(&format!("{name}.pub")),
            "{name}"
        );
        alone(&format!("key public {name}.key -o {name}.pem")).ok();
        assert_eq!(
            pem,
            openssl.dir().read_text(&format!("{name}.pem")),
            "{name}"
        );
        alone(&format!("key public {name}.key -o {name}.pem"))
            .fails()
            .says("--force");
        let line = alone(&format!(
            "key public --form ssh --comment me@here {name}.key"
        ))
        .ok()
        .out();
        assert!(line.ends_with(" me@here\n"), "{line}");
        openssl.dir().write("line", &line);
        if let Some(keygen) = find("ssh-keygen") {
            // And back again.
            let back = Run::new(keygen)
                .words("-e -m PKCS8 -f line")
                .dir(openssl.dir().path())
                .ok()
                .out();
            if name != "pss" {
                assert_eq!(back, pem, "{name}");
            }
        }
    }
    let other = alone("key public p256.key --comment x").done();
    assert_eq!(other.status.code(), Some(2), "{other}");
    alone("key public missing.key").fails().says("missing.key");
    tpm.assert_clean();
}

#[test]
fn requests_are_those_of_openssl() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    openssl.dir().write("pin", "1234\n");
    let at = |line: &str| openssl.tpmctl(&tpm.address(), line);
    for (name, options, algorithm) in [
        ("p256", "", "ecdsa-with-SHA256"),
        ("p384", "--curve P-384", "ecdsa-with-SHA384"),
        ("p521", "--curve P-521", "ecdsa-with-SHA512"),
        ("rsa", "--type rsa", "sha256WithRSAEncryption"),
        (
            "bound",
            "--digest sha384 --curve P-256",
            "ecdsa-with-SHA384",
        ),
        ("pss", "--type rsa-pss", "rsassaPss"),
        ("pin", "--auth file:pin", "ecdsa-with-SHA256"),
    ] {
        at(&format!("key new -o {name}.key {options}")).ok();
        let auth = if name == "pin" { "--auth file:pin" } else { "" };
        at(&format!(
            "key csr {name}.key {auth} --subject /C=DE/O=Example/CN=www.example.org --san www.example.org --san 192.0.2.1 \
             --san IP:2001:db8::1 -o {name}.csr"
        ))
        .ok();
        let text = openssl
            .plain()
            .ok(&format!("req -in {name}.csr -verify -text"))
            .out();
        for part in [
            algorithm,
            "C = DE, O = Example, CN = www.example.org",
            "DNS:www.example.org, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1",
        ] {
            assert!(text.contains(part), "{name}: {part} in\n{text}");
        }
    }
    let first = at("key csr p256.key --san a.example.org").ok().out();
    openssl.dir().write("first.csr", first);
    let text = openssl.plain().ok("req -in first.csr -verify -text").out();
    assert!(text.contains("CN = a.example.org"), "{text}");
    for line in [
        "",
        "--subject CN=x",
        "--subject /X=y",
        "--san ü.example",
        "--json --san a",
    ] {
        let done = at(&format!("key csr p256.key {line}")).done();
        assert_eq!(done.status.code(), Some(2), "{line}: {done}");
    }
    at("key csr pin.key --san a.example.org")
        .fails()
        .says("authorization value");
    tpm.assert_clean();
}

/// The purpose is what the algorithm makes of the attributes.
#[test]
fn purposes_are_told_in_the_terms_of_the_algorithm() {
    let tpm = Swtpm::start();
    let dir = Scratch::new();
    let run = |line: &str| {
        tpm.tool(line).dir(dir.path()).ok();
        for what in ["-t", "-l", "-s"] {
            tpm.tool("tpm2_flushcontext").arg(what).ok();
        }
    };
    run("tpm2_createprimary -C o -c p.ctx");
    for (handle, alg, attributes, purpose) in [
        ("0x81000010", "ecc256", "decrypt", "does key agreement"),
        (
            "0x81000011",
            "ecc256",
            "sign|decrypt",
            "signs and does key agreement",
        ),
        ("0x81000012", "ecc256", "sign", "signs"),
        ("0x81000013", "rsa2048", "decrypt", "decrypts"),
        (
            "0x81000014",
            "aes128cfb",
            "sign|decrypt",
            "encrypts and decrypts",
        ),
        ("0x81000015", "hmac", "sign", "computes HMACs"),
    ] {
        let attributes =
            format!("fixedtpm|fixedparent|sensitivedataorigin|userwithauth|{attributes}");
        run(&format!(
            "tpm2_create -C p.ctx -G {alg} -a {attributes} -u k.pub -r k.priv"
        ));
        run("tpm2_load -C p.ctx -u k.pub -r k.priv -c k.ctx");
        run(&format!("tpm2_evictcontrol -C o -c k.ctx {handle}"));
        let openssl = Openssl::new(&tpm.address());
        let done = openssl.tpmctl(&tpm.address(), "info --json").ok();
        let info: Value = serde_json::from_slice(&done.stdout).expect("JSON");
        let found = info["persistent"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|it| it["handle"] == handle);
        assert_eq!(
            found.expect("it is there")["purpose"],
            purpose,
            "{alg} {attributes}"
        );
        if alg == "hmac" || alg == "aes128cfb" {
            continue;
        }
        // The same in a key file.
        run("tpm2_encodeobject -C p.ctx -u k.pub -r k.priv -o k.pem");
        let shown = openssl
            .tpmctl("nonsense", "key show --json")
            .arg(dir.join("k.pem"))
            .ok();
        let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        assert_eq!(shown["purpose"], purpose, "{alg} {attributes}");
    }
}
