//! Keys of TPM 1.2 through OpenSSL: raw and through tcsd, with key files of other tools and our own. An OpenSSL
//! without us judges the results.

use serde_json::Value;
use std::fs;
use std::net::UdpSocket;
use testkit::client::Client;
use testkit::jail::Jail;
use testkit::key::{self, SIGN};
use testkit::openssl::{Config, ORDERS, Openssl, clean};
use testkit::process::{Done, Run};
use testkit::proxy::Proxy;
use testkit::scratch::Scratch;
use testkit::swtpm::Swtpm;
use testkit::swtpm12::{Swtpm12, data};
use testkit::tcsd::{Relay, Tcsd};
use testkit::tools;

const GENERATE: &str = "genpkey -propquery provider=tpm -algorithm RSA -pkeyopt tpm:1.2";

/// An openssl whose keys of TPM 1.2 are in the TPM at `address`, with `key.pem` and `key.pub` of
/// openssl_tpm_engine.
fn openssl(config: Config, address: &str) -> Openssl {
    let openssl = Openssl::without_tpm(config).env("TPM12_TCTI", address);
    take(&openssl, "tss.pem", "key");
    key::digest(&openssl, "sha256");
    openssl
}

/// Takes a key file of another tool as `NAME.pem`, and writes its public half.
fn take(openssl: &Openssl, file: &str, name: &str) {
    let content = fs::read(data(file)).expect("a key file of tests/data/tpm12");
    openssl.dir().write(&format!("{name}.pem"), content);
    if file != "tss-auth.pem" {
        openssl.ok(&format!("pkey -in {name}.pem -pubout -out {name}.pub"));
    }
}

/// The same test with the TPM alone and behind tcsd, with either order of the providers.
fn each_way(test: impl Fn(&Openssl)) {
    for order in ORDERS {
        let tpm = Swtpm12::owned();
        test(&openssl(Config::new().order(order), &tpm.address()));
        tpm.assert_clean();
        let tpm = Swtpm12::owned_tcp();
        let tcsd = Tcsd::start(&tpm);
        test(&openssl(Config::new().order(order), &tcsd.address()));
    }
}

/// Signs with `NAME.pem`; an openssl without us verifies.
#[track_caller]
fn signs(openssl: &Openssl, name: &str, options: &str) {
    openssl.ok(&format!(
        "pkeyutl -sign -inkey {name}.pem -in sha256.bin -out sig -pkeyopt digest:sha256 {options}"
    ));
    verifies(openssl, name);
}

/// On standard output.
#[track_caller]
fn prints(done: Done, text: &str) {
    let out = done.out();
    assert!(out.contains(text), "{text} in {out}");
}

#[track_caller]
fn verifies(openssl: &Openssl, name: &str) {
    openssl.plain().ok(&format!(
        "pkeyutl -verify -pubin -inkey {name}.pub -in sha256.bin -sigfile sig -pkeyopt digest:sha256"
    ));
}

#[test]
fn keys_of_other_tools_sign() {
    each_way(|openssl| {
        signs(openssl, "key", "");
        // simple-tpm-pk11's text files are read as any key file is.
        take(openssl, "my.key", "stpm");
        signs(openssl, "stpm", "");
        take(openssl, "tss-auth.pem", "auth");
        openssl.ok("pkey -in auth.pem -passin pass:keypass -pubout -out auth.pub");
        signs(openssl, "auth", "-passin pass:keypass");
    });
}

#[test]
fn every_digest_and_none() {
    let tpm = Swtpm12::owned();
    let openssl = openssl(Config::new(), &tpm.address());
    for hash in ["sha1", "sha224", "sha384", "sha512", "sha3-256", "sha3-512"] {
        let input = key::digest(&openssl, hash);
        openssl.ok(&format!(
            "pkeyutl -sign -inkey key.pem -in {input} -out sig -pkeyopt digest:{hash}"
        ));
        openssl.plain().ok(&format!(
            "pkeyutl -verify -pubin -inkey key.pub -in {input} -sigfile sig -pkeyopt digest:{hash}"
        ));
    }
    // As it is: a DigestInfo of the caller's, or MD5 and SHA-1 side by side as in TLS 1.1.
    for length in [1, 36, 64] {
        openssl.dir().write("raw", vec![7; length]);
        openssl.ok("pkeyutl -sign -inkey key.pem -in raw -out sig");
        openssl
            .plain()
            .ok("pkeyutl -verifyrecover -pubin -inkey key.pub -in sig -out back");
        assert_eq!(openssl.dir().read("back"), vec![7; length]);
    }
    openssl.dir().write("long", [1; 246]);
    openssl
        .fails("rsautl -sign -inkey key.pem -in long -out sig")
        .says("at most 245");
    tpm.assert_clean();
}

#[test]
fn certificates_and_messages() {
    each_way(|openssl| {
        key::certificate(openssl, "key");
        openssl.plain().ok("verify -CAfile key.crt key.crt");
        openssl.ok("req -new -key key.pem -subj /CN=x -out key.csr");
        openssl.plain().ok("req -in key.csr -noout -verify");
        openssl.dir().write("message", "some text\n");
        openssl.ok("dgst -sha384 -sign key.pem -out sig message");
        openssl
            .plain()
            .ok("dgst -sha384 -verify key.pub -signature sig message");
        openssl.ok("cms -sign -signer key.crt -inkey key.pem -in message -text -out signed");
        openssl
            .plain()
            .ok("cms -verify -CAfile key.crt -in signed -text -out back");
        openssl
            .plain()
            .ok("cms -encrypt -in message -aes128 -out secret key.crt");
        openssl.ok("cms -decrypt -in secret -recip key.crt -inkey key.pem -out back");
        assert_eq!(openssl.dir().read_text("back").trim(), "some text");
    });
}

#[test]
fn decryption_is_pkcs1_alone() {
    each_way(|openssl| {
        openssl.dir().write("message", "secret");
        openssl
            .plain()
            .ok("pkeyutl -encrypt -pubin -inkey key.pub -in message -out ciphertext");
        openssl.ok("pkeyutl -decrypt -inkey key.pem -in ciphertext -out back");
        assert_eq!(openssl.dir().read_text("back"), "secret");
        let decrypt = "pkeyutl -decrypt -inkey key.pem -in ciphertext -out back -pkeyopt";
        openssl
            .fails(&format!("{decrypt} rsa_padding_mode:oaep"))
            .says("TPM 1.2 cannot take off ordinary OAEP");
        openssl
            .fails(&format!("{decrypt} rsa_padding_mode:none"))
            .says("TPM 1.2 cannot do raw RSA");
        // A key that was made for signatures alone.
        take(openssl, "my.key", "stpm");
        openssl
            .fails("pkeyutl -decrypt -inkey stpm.pem -in ciphertext -out back")
            .says("this key cannot decrypt: it is a signing key");
    });
}

/// Wrong padding is told as the host's own keys tell it: by an error before OpenSSL 3.2, by a made-up message
/// from then on.
#[test]
fn wrong_padding_is_no_oracle() {
    let tpm = Swtpm12::owned();
    let tap = Proxy::start12(&tpm);
    let openssl = openssl(Config::new(), &tap.address());
    // PKCS#1 type 1 instead of 2: a signature is a ciphertext of one such.
    openssl
        .dir()
        .write("block", [&[0, 1][..], &[0xff; 253], &[0]].concat());
    openssl
        .plain()
        .ok("pkeyutl -encrypt -pubin -inkey key.pub -in block -out ciphertext -pkeyopt rsa_padding_mode:none");
    let decrypt = openssl.run("pkeyutl -decrypt -inkey key.pem -in ciphertext -out back");
    let made_up = openssl.version() >= (3, 2);
    if made_up {
        decrypt.ok();
    } else {
        decrypt.fails().says("padding is wrong");
    }
    let counts = tap.counts();
    for name in ["LoadKey2", "UnBind", "FlushSpecific"] {
        assert_eq!(counts.of(name), 1, "{counts:?}");
    }
    // What the message is made up from comes from a signature.
    assert_eq!(counts.of("Sign"), usize::from(made_up), "{counts:?}");
    tpm.assert_clean();
}

#[test]
fn what_a_tpm_1_2_cannot_is_refused_at_once() {
    let tpm = Swtpm12::owned();
    let tap = Proxy::start12(&tpm);
    let openssl = openssl(Config::new(), &tap.address());
    openssl
        .fails(&format!("{SIGN} -pkeyopt rsa_padding_mode:pss"))
        .says("SignatureAlgorithms = RSA+SHA256:RSA+SHA384:RSA+SHA512")
        .says("MaxProtocol = TLSv1.2");
    openssl.dir().write("block", [1; 256]);
    openssl
        .fails("pkeyutl -sign -inkey key.pem -in block -out sig -pkeyopt rsa_padding_mode:none")
        .says("cannot sign without padding");
    tap.counts().are(&[]);
}

#[test]
fn what_needs_no_private_key_costs_nothing() {
    let tpm = Swtpm12::owned();
    let tap = Proxy::start12(&tpm);
    let openssl = openssl(Config::new(), &tap.address());
    key::certificate(&openssl, "key");
    let (_, counts) = tap.cost(|| {
        openssl.ok("pkey -in key.pem -pubout");
        prints(
            openssl.ok("pkey -in key.pem -text -noout"),
            "TPM 1.2 RSA private key: (2048 bit)",
        );
        openssl.ok("storeutl key.pem");
        openssl.ok("x509 -in key.crt -noout -text");
        // The key and its certificate are compared.
        openssl.ok("pkcs12 -export -inkey key.pem -in key.crt -out x -passout pass:x -nokeys");
    });
    counts.are(&[]);
}

#[test]
fn the_costs_of_a_signature() {
    let tpm = Swtpm12::owned();
    let tap = Proxy::start12(&tpm);
    let openssl = openssl(Config::new(), &tap.address());
    let (_, counts) = tap.cost(|| openssl.ok(SIGN));
    counts.are(&[
        ("OIAP", 1),
        ("LoadKey2", 1),
        ("Sign", 1),
        // At exit: that the handle is still this key's.
        ("GetPubKey", 1),
        ("FlushSpecific", 1),
    ]);
    take(&openssl, "tss-auth.pem", "auth");
    let sign = SIGN.replace("key.pem", "auth.pem");
    let (_, counts) = tap.cost(|| openssl.ok(&format!("{sign} -passin pass:keypass")));
    counts.are(&[
        ("OIAP", 2),
        ("LoadKey2", 1),
        ("Sign", 1),
        ("FlushSpecific", 1),
    ]);
    // Nobody gives one: said when the key is loaded.
    let (_, counts) = tap.cost(|| {
        openssl
            .fails(&format!("{sign} -passin pass:"))
            .says("needs an authorization value")
    });
    assert_eq!(counts.total(), 0, "{counts:?}");
    // A wrong password is tried once.
    let (_, counts) = tap.cost(|| {
        openssl
            .fails(&format!("{sign} -passin pass:wrong"))
            .says("the key's password is wrong")
    });
    assert_eq!(counts.of("Sign"), 1, "{counts:?}");
    assert!(!tap.saw(b"keypass"));
    tpm.assert_clean();
}

/// 20 bytes in the well-known value's place: the TPM is asked once and says no.
#[test]
fn a_wrong_secret_of_the_srk_is_told_as_such() {
    let tpm = Swtpm12::owned();
    let tap = Proxy::start12(&tpm);
    let zeros = "0".repeat(40);
    let openssl_with =
        |value: &str| openssl(Config::new().setting("srk-auth", value), &tap.address());
    openssl_with(&zeros).ok(SIGN);
    let at_wrong = openssl_with("wrong");
    let (_, counts) = tap.cost(|| {
        at_wrong
            .fails(SIGN)
            .says("the SRK's secret (srk-auth")
            .says("is wrong")
    });
    assert_eq!(counts.of("LoadKey2"), 1, "{counts:?}");
    // In a file, as other secrets.
    let dir = Scratch::new();
    let file = dir.write("srk", format!("{zeros}\n"));
    let openssl = openssl_with(&format!("file:{}", file.display()));
    openssl.ok(SIGN);
    dir.write("srk", "wrong\n");
    openssl.fails(SIGN).says("the SRK's secret");
    tpm.assert_clean();
}

#[test]
fn keys_are_made() {
    each_way(|openssl| {
        openssl.ok(&format!("{GENERATE} -out new.pem"));
        assert!(
            openssl
                .dir()
                .read_text("new.pem")
                .starts_with("-----BEGIN TSS KEY BLOB-----\n")
        );
        openssl.ok("pkey -in new.pem -pubout -out new.pub");
        signs(openssl, "new", "");
        prints(openssl.ok("pkey -in new.pem -text -noout"), "Usage: legacy");
        openssl.ok(&format!(
            "{GENERATE} -pkeyopt usage:sign -pkeyopt user-auth:pin -pkeyopt bits:1024 -out pin.pem"
        ));
        let done = openssl.ok("pkey -in pin.pem -passin pass:pin -text -noout");
        prints(
            done,
            "1.2 RSA private key: (1024 bit)\nParent: storage root key (SRK)\nStructure: TPM_KEY\nUsage: signing\n",
        );
        openssl.ok("pkey -in pin.pem -passin pass:pin -pubout -out pin.pub");
        signs(openssl, "pin", "-passin pass:pin");
        openssl
            .fails(&SIGN.replace("key.pem", "pin.pem -passin pass:no"))
            .says("password is wrong");
    });
}

#[test]
fn where_the_only_tpm_is_a_1_2_it_makes_the_keys() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    // Not even the address for TPM 1.2 is needed: behind tcsd is nothing else.
    let openssl = Openssl::new(&tcsd.address());
    openssl.ok("genpkey -propquery provider=tpm -algorithm RSA -out new.pem");
    prints(
        openssl.ok("pkey -in new.pem -text -noout"),
        "TPM 1.2 RSA private key",
    );
    openssl
        .fails("genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -out new.pem")
        .says("a TPM 1.2 has RSA keys");
}

/// On a machine whose only TPM is a 1.2, tcsd has the device that detection would find.
#[test]
fn an_address_for_tpm_1_2_alone_is_enough() {
    const VERSION: &str = "sys/class/tpm/tpm0/tpm_version_major";
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let machine = Jail::new(&Config::new().setting("tcti12", &tcsd.address()));
    let genpkey = "openssl genpkey -propquery provider=tpm -algorithm RSA -out new.pem";
    // tcsd's user.
    machine.file(
        "etc/passwd",
        &fs::read_to_string("/etc/passwd").expect("read"),
    );
    // Neither of these is a device: whoever opened it would fail.
    machine.file("dev/tpm0", "");
    // Before and after kernels tell the version.
    for file in ["sys/class/tpm/tpm0/device/caps", VERSION] {
        machine.file(file, "1\n");
        machine.run(genpkey).ok();
        prints(
            machine.run("openssl pkey -in new.pem -text -noout").ok(),
            "TPM 1.2 RSA private key",
        );
        machine
            .run("tpmctl key new --force -o new.pem")
            .ok()
            .says("under the storage root key of the TPM 1.2");
        prints(machine.run("tpmctl version").ok(), "TPM 1.2 Version Info");
    }
    machine
        .run("openssl genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256")
        .fails()
        .says("a TPM 1.2 has RSA keys");
    prints(machine.run("tpmctl info").ok(), &tcsd.address());
    machine.run("tpmctl flush").ok().says(&tcsd.address());
    // With a TPM 2.0 besides, keys are made there unless somebody says otherwise.
    machine.file(VERSION, "2\n");
    machine.run(genpkey).fails().says("device:/dev/tpm0");
    machine.file("dev/tpmrm0", "");
    machine.remove(VERSION);
    machine.run(genpkey).fails().says("device:/dev/tpmrm0");
    machine
        .run("tpmctl key new --force -o new.pem")
        .fails()
        .says("device:/dev/tpmrm0");
    machine.run(&format!("{genpkey} -pkeyopt tpm:1.2")).ok();
    // So they are where an address for all keys is named.
    machine.remove("dev/tpmrm0");
    machine.file(VERSION, "1\n");
    machine
        .run(genpkey)
        .env("TPM_TCTI", "swtpm:path=/nowhere")
        .fails()
        .says("swtpm:path=/nowhere");
}

/// As `create_tpm_key -q der` of openssl_tpm_engine makes them.
#[test]
fn keys_for_sha1_sign_sha1_only() {
    each_way(|openssl| {
        openssl.ok(&format!("{GENERATE} -pkeyopt digest:sha1 -out old.pem"));
        openssl.ok("pkey -in old.pem -pubout -out old.pub");
        openssl.dir().write("message", "some text");
        // The key's digest is its default.
        openssl.ok("dgst -sign old.pem -out sig message");
        openssl
            .plain()
            .ok("dgst -sha1 -verify old.pub -signature sig message");
        openssl
            .fails(&SIGN.replace("key.pem", "old.pem"))
            .says("signs SHA-1 digests only");
        // A DigestInfo of SHA-1, and no other data.
        let input = key::digest(openssl, "sha1");
        openssl.ok(&format!(
            "pkeyutl -sign -inkey old.pem -in {input} -out sig -pkeyopt digest:sha1"
        ));
        openssl
            .plain()
            .ok("pkeyutl -verifyrecover -pubin -inkey old.pub -in sig -out info");
        openssl.ok("pkeyutl -sign -inkey old.pem -in info -out sig2");
        assert_eq!(openssl.dir().read("sig"), openssl.dir().read("sig2"));
        openssl
            .fails(&format!(
                "pkeyutl -sign -inkey old.pem -in {input} -out sig"
            ))
            .says("signs SHA-1 digests only");
    });
}

#[test]
fn every_form_of_a_file_is_the_same_key() {
    let tpm = Swtpm12::owned();
    let openssl = openssl(Config::new(), &tpm.address());
    // Written as they were read.
    let pem = openssl.dir().read("key.pem");
    openssl.ok("pkey -in key.pem -out same.pem");
    assert_eq!(openssl.dir().read("same.pem"), pem);
    openssl.ok("pkey -in key.pem -outform DER -out key.der");
    openssl.ok("pkey -in key.der -inform DER -out same.pem");
    assert_eq!(openssl.dir().read("same.pem"), pem);
    openssl.ok("pkey -in key.der -out same.pem");
    assert_eq!(openssl.dir().read("same.pem"), pem);
    // A text becomes a TSS KEY BLOB.
    take(&openssl, "my.key", "stpm");
    openssl.ok("pkey -in stpm.pem -out blob.pem");
    openssl.ok("pkey -in blob.pem -pubout -out blob.pub");
    assert_eq!(
        openssl.dir().read("blob.pub"),
        openssl.dir().read("stpm.pub")
    );
    signs(&openssl, "blob", "");
    // Damaged ones are told as ours.
    let der = openssl.dir().read("key.der");
    openssl.dir().write("long.der", [&der[..], &[0]].concat());
    let base64 = openssl.plain().ok("base64 -in long.der").out();
    openssl.dir().write(
        "long.pem",
        format!("-----BEGIN TSS KEY BLOB-----\n{base64}-----END TSS KEY BLOB-----\n"),
    );
    openssl
        .fails("pkey -in long.pem -noout")
        .says("TSS KEY BLOB (TPM 1.2) at byte 563: expected the end of the file");
    let text = openssl.dir().read_text("stpm.pem");
    openssl
        .dir()
        .write("other.pem", text.replace("exp 010001", "exp 03"));
    openssl
        .fails("pkey -in other.pem -noout")
        .says("key file of simple-tpm-pk11: line 3: the exponent is not the blob's");
}

#[test]
fn both_generations_in_one_process() {
    let two = Swtpm::start();
    two.provision_srk();
    let one = Swtpm12::owned();
    let config = Config::new().setting("tcti12", &one.address());
    let openssl = Openssl::with(config, &two.address());
    take(&openssl, "tss.pem", "key");
    key::digest(&openssl, "sha256");
    signs(&openssl, "key", "");
    key::rsa(&openssl, "new", 2048, "");
    signs(&openssl, "new", "");
    openssl.ok(&format!("{GENERATE} -out old.pem"));
    openssl.ok("pkey -in old.pem -pubout -out old.pub");
    signs(&openssl, "old", "");
    one.assert_clean();
    two.assert_clean();
}

#[test]
fn a_key_says_which_tpm_it_needs() {
    let two = Swtpm::start();
    two.provision_srk();
    let at_two = Openssl::new(&two.address());
    take(&at_two, "tss.pem", "key");
    key::digest(&at_two, "sha256");
    at_two
        .fails(SIGN)
        .says("this is a TPM 2.0")
        .says("the key needs a TPM 1.2")
        .says("TPM12_TCTI");
    key::rsa(&at_two, "new", 2048, "");
    let new = at_two.dir().read("new.pem");
    let one = Swtpm12::owned();
    let tcp = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tcp);
    for address in [one.address(), tcsd.address()] {
        let at_one = Openssl::new(&address);
        at_one.dir().write("key.pem", &new);
        key::digest(&at_one, "sha256");
        at_one.fails(SIGN).says("TPM 1.2").says("TPM 2.0");
    }
}

#[test]
fn a_tpm_without_an_owner_is_told_as_such() {
    let tpm = Swtpm12::unowned();
    let openssl_raw = openssl(Config::new(), &tpm.address());
    openssl_raw
        .fails(SIGN)
        .says("the TPM has no owner")
        .says("tpmctl owner take");
    tpm.assert_clean();
    let tpm = Swtpm12::unowned_tcp();
    let tcsd = Tcsd::without_storage(&tpm);
    openssl(Config::new(), &tcsd.address())
        .fails(SIGN)
        .says("tcsd knows no SRK");
}

#[test]
fn a_tcsd_that_does_not_run_is_named() {
    let tpm = Swtpm12::owned_tcp();
    let mut tcsd = Tcsd::start(&tpm);
    let openssl = openssl(Config::new(), &tcsd.address());
    openssl.ok(SIGN);
    tcsd.kill();
    openssl
        .fails(SIGN)
        .says(&tcsd.address())
        .says("TPM12_TCTI")
        .says("is tcsd running");
    tcsd.restart();
    openssl.ok(SIGN);
}

/// Any user may listen at its port, and could answer in the TPM's place: what counts is who does, not how the address
/// was written.
#[test]
fn somebody_else_in_tcsds_place_is_refused_however_the_address_is_written() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let openssl = openssl(Config::new(), "tcsd:");
    for (user, trusted) in [("nobody", false), ("tss", true), ("root", true)] {
        let relay = Relay::start(user, &tcsd);
        let port = relay.port();
        let mut places: Vec<String> = [
            "localhost",
            "127.0.0.1",
            "127.0.0.2",
            "[::1]",
            "::ffff:127.0.0.1",
        ]
        .map(|host| format!("tcsd:host={host},port={port}"))
        .into();
        places.push(format!("tcsd:port={port}"));
        places.extend(own_address().map(|own| format!("tcsd:host={own},port={port}")));
        for place in places {
            judge(openssl.run(SIGN).env("TPM12_TCTI", &place), trusted, &place);
        }
        for host in ["localhost", "127.0.0.1"] {
            let run = openssl.run(SIGN).env("TSS_TCSD_HOSTNAME", host);
            judge(run.env("TSS_TCSD_PORT", port.to_string()), trusted, host);
        }
        // Keys are made by others, too.
        let run = openssl
            .run(GENERATE)
            .env("TPM12_TCTI", format!("tcsd:port={port}"));
        judge(run, trusted, "genpkey");
    }
}

#[track_caller]
fn judge(run: Run, trusted: bool, place: &str) {
    let done = run.done();
    assert_eq!(done.status.success(), trusted, "{place}: {done}");
    if !trusted {
        done.says("the user with number 65534 answers at")
            .says("neither root nor tss")
            .says("systemctl start tcsd");
    }
}

/// An address of this machine that other machines see; none where it has no network.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // No packet is sent.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

/// Servers change their root directory and their user after the settings were read: there is neither /proc nor
/// /etc/passwd then.
#[test]
fn who_answers_is_seen_from_a_jail_too() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    for (user, trusted) in [("nobody", false), ("tss", true)] {
        let relay = Relay::start(user, &tcsd);
        let openssl = openssl(Config::new(), &format!("tcsd:port={}", relay.port()));
        let jail = Scratch::new();
        let mut client = Client::start(&openssl);
        for step in ["ctx 1 openssl.cnf", "load 1 key.pem 1"] {
            client.tell(step);
            assert!(client.answer().starts_with("ok"), "{step}");
        }
        client.tell(&format!("jail {}", jail.path().display()));
        assert!(client.answer().starts_with("ok"), "jail");
        client.tell("sign 1");
        let answer = client.answer();
        assert_eq!(answer.starts_with("ok"), trusted, "{answer}");
        assert!(trusted || answer.contains("that is not tcsd"), "{answer}");
    }
}

#[test]
fn the_variables_of_trousers_name_tcsd() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let openssl = Openssl::without_tpm(Config::new().setting("tcti12", "tcsd:"))
        .env("TSS_TCSD_HOSTNAME", "127.0.0.1")
        .env("TSS_TCSD_PORT", &tcsd.port().to_string());
    take(&openssl, "tss.pem", "key");
    key::digest(&openssl, "sha256");
    signs(&openssl, "key", "");
    openssl
        .run(SIGN)
        .env("TSS_TCSD_PORT", "none")
        .fails()
        .says("TSS_TCSD_PORT");
}

#[test]
fn a_locked_tpm_says_how_to_open_it() {
    let tpm = Swtpm12::owned();
    let openssl = openssl(Config::new(), &tpm.address());
    take(&openssl, "tss-auth.pem", "auth");
    let sign = SIGN.replace("key.pem", "auth.pem");
    let mut locked = None;
    for _ in 0..20 {
        let done = openssl.fails(&format!("{sign} -passin pass:wrong"));
        if done.err().contains("locked after too many") {
            locked = Some(done);
            break;
        }
    }
    locked
        .expect("a TPM that locks")
        .says("tpmctl lockout reset")
        .says("TPM in lockout");
    tpm.assert_clean();
}

fn tpmctl(line: &str) -> Run {
    clean(Run::new(tools::tpmctl()))
        .env("OPENSSL_CONF", "/dev/null")
        .words(line)
}

#[test]
fn tpmctl_makes_and_shows_keys() {
    let tpm = Swtpm12::owned();
    let openssl = openssl(Config::new(), &tpm.address());
    let dir = openssl.dir();
    let file = dir.join("new.pem");
    // The TPM that there is, whatever it is.
    tpmctl("key new -o")
        .arg(&file)
        .env("TPM_TCTI", tpm.address())
        .ok()
        .says("under the storage root key of the TPM 1.2")
        // What a server must be told.
        .says("TLS 1.2 only")
        .says("SignatureAlgorithms = RSA+SHA256:RSA+SHA384:RSA+SHA512");
    openssl.ok("pkey -in new.pem -pubout -out new.pub");
    signs(&openssl, "new", "");
    let done = tpmctl("key new --sign-only --auth pin --json -o")
        .arg(dir.join("pin.pem"))
        .env("TPM12_TCTI", tpm.address())
        .env("TPM_TCTI", "")
        .arg("--tpm=1.2")
        .ok();
    let made: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(made["parent"], "SRK");
    assert_eq!(made["authorization"], true);
    assert_eq!(made["tpm"], tpm.address());
    let done = tpmctl("key show").arg(dir.join("pin.pem")).ok();
    for part in [
        "TSS KEY BLOB (TPM_KEY), for a TPM 1.2",
        "RSA 2048",
        "signing",
        "ssl_conf_command SignatureAlgorithms",
        "asked for when the key is loaded",
        "can use it",
    ] {
        assert!(done.out().contains(part), "{part} in {done}");
    }
    let done = tpmctl("key show --json").arg(data("my.key")).ok();
    let shown: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(shown["signature_scheme"], "PKCS#1 v1.5 with any digest");
    assert_eq!(shown["usable"], true);
    // A wrong secret of the SRK is asked of the TPM once.
    tpmctl("key new --parent-auth wrong -o")
        .arg(dir.join("none.pem"))
        .env("TPM_TCTI", tpm.address())
        .fails()
        .says("the SRK's secret")
        .says("is wrong");
    assert!(!dir.join("none.pem").exists());
    tpmctl("key new --type ec -o")
        .arg(dir.join("none.pem"))
        .env("TPM_TCTI", tpm.address())
        .fails()
        .says("a TPM 1.2 has RSA keys");
    tpm.assert_clean();
}

/// A key made in software and wrapped here works here, and in tcsd's other clients.
#[test]
fn software_keys_are_imported() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let openssl = openssl(Config::new(), &tcsd.address());
    let dir = openssl.dir();
    key::software_rsa(&openssl, "soft", 2048);
    let import = |file: &str, options: &str| {
        tpmctl("key import")
            .arg(dir.join(file))
            .words(options)
            .env("TPM12_TCTI", tcsd.address())
            .env("TPM_TCTI", tcsd.address())
    };
    let owner = format!("--owner-auth {}", "0".repeat(40));
    import("soft.pem", &format!("--sign-only {owner} -o"))
        .arg(dir.join("hard.pem"))
        .ok()
        .says("Wrapped the key of 2048 bits");
    // The same key, which signs in the TPM now.
    openssl.ok("pkey -in hard.pem -pubout -out hard.pub");
    assert_eq!(dir.read("hard.pub"), dir.read("soft.pub"));
    signs(&openssl, "hard", "");
    let file = dir.write("hard.key", stpm_file(&openssl, "hard"));
    dir.write("data", "some text");
    tcsd.client("stpm-sign", "simple-tpm-pk11")
        .arg("-k")
        .arg(&file)
        .arg("-f")
        .arg(dir.join("data"))
        .arg("-r")
        .ok();
    // Refusals.
    let none = dir.join("none.pem");
    import("soft.pem", "--owner-auth wrong -o")
        .arg(&none)
        .fails()
        .says("the owner's secret is wrong");
    // The owner of this TPM lets everybody read the SRK's public half, and then the owner does not.
    import("soft.pem", "-o").arg(dir.join("open.pem")).ok();
    tcsd.client("tpm_restrictsrk", "tpm-tools")
        .words("-r -z")
        .ok();
    import("soft.pem", "-o")
        .arg(&none)
        .fails()
        .says("tpmctl srk restrict off");
    import("hard.pem", &format!("{owner} -o"))
        .arg(&none)
        .fails()
        .says("this is a key of a TPM, which has it already");
    assert!(!none.exists());
}

/// What simple-tpm-pk11 calls a key file.
fn stpm_file(openssl: &Openssl, name: &str) -> String {
    openssl.ok(&format!("pkey -in {name}.pem -outform DER -out {name}.der"));
    let der = openssl.dir().read(&format!("{name}.der"));
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let blob = &der[4..];
    // Behind parameters of 12 bytes without a PCR structure (TPM Main, part 2, 10.2).
    let modulus = &blob[43..43 + 256];
    format!("exp 010001\nmod {}\nblob {}\n", hex(modulus), hex(blob))
}

#[test]
fn simple_tpm_pk11_uses_our_keys() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let openssl = openssl(Config::new(), &tcsd.address());
    openssl.ok(&format!("{GENERATE} -pkeyopt usage:sign -out new.pem"));
    openssl.ok("pkey -in new.pem -pubout -out new.pub");
    let file = openssl.dir().write("new.key", stpm_file(&openssl, "new"));
    let prefix = [
        0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20,
    ];
    let info = [&prefix[..], &openssl.dir().read("sha256.bin")].concat();
    let info = openssl.dir().write("info", info);
    let stpm = |program: &str| -> Run {
        tcsd.client(program, "simple-tpm-pk11")
            .arg("-k")
            .arg(&file)
            .arg("-f")
            .arg(&info)
    };
    let signature = stpm("stpm-sign").arg("-r").ok().stdout;
    let path = openssl.dir().write("sig", signature);
    verifies(&openssl, "new");
    stpm("stpm-verify").arg("-s").arg(&path).ok();
    // Ours, too, in the file that we wrote for it.
    signs(&openssl, "new", "");
}

#[test]
fn tls_1_2_with_and_without_a_key_exchange_by_rsa() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let openssl = openssl(Config::new(), &tcsd.address());
    key::certificate(&openssl, "key");
    let server = openssl.s_server(
        "-cert key.crt -key key.pem -tls1_2 -sigalgs RSA+SHA256:RSA+SHA384:RSA+SHA512 -www",
    );
    for cipher in ["ECDHE-RSA-AES128-GCM-SHA256", "AES128-GCM-SHA256"] {
        let options = format!("-CAfile key.crt -verify_return_error -cipher {cipher}");
        let client = openssl.plain().s_client(server.port, &options).ok();
        prints(client, &format!("Cipher is {cipher}"));
    }
}
