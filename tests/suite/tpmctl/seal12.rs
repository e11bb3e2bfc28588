//! `tpmctl seal` and `unseal` on a TPM 1.2, by itself and through tcsd; and the files of tpm_sealdata.

use std::fs;

use openssl::base64;
use openssl::symm::{Cipher, encrypt};
use serde_json::Value;
use testkit::openssl::{Config, Openssl};
use testkit::process::{Done, Run};
use testkit::proxy::Proxy;
use testkit::swtpm::Swtpm;
use testkit::swtpm12::Swtpm12;
use testkit::tcsd::Tcsd;
use testkit::terminal::Typist;

use super::seal::bytes;
use crate::tpm::costs;

/// `tpmctl` in a directory of its own, with the TPM at an address.
struct There {
    openssl: Openssl,
    address: String,
}

impl There {
    fn new(address: String) -> Self {
        Self {
            openssl: Openssl::without_tpm(Config::new()),
            address,
        }
    }

    fn tpmctl(&self, line: &str) -> Run {
        self.openssl.tpmctl(&self.address, line)
    }

    #[track_caller]
    fn ok(&self, line: &str) -> Done {
        self.tpmctl(line).ok()
    }

    #[track_caller]
    fn fails(&self, line: &str, reasons: &[&str]) -> Done {
        let mut failure = self.tpmctl(line).fails().never_says("panicked");
        for reason in reasons {
            failure = failure.says(reason);
        }
        failure
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        self.openssl.dir().write(name, content);
    }

    fn read(&self, name: &str) -> Vec<u8> {
        self.openssl.dir().read(name)
    }
}

/// The same with the TPM alone and behind tcsd.
fn each_way(test: impl Fn(&There, &Swtpm12)) {
    let tpm = Swtpm12::owned();
    test(&There::new(tpm.address()), &tpm);
    tpm.assert_clean();
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    test(&There::new(tcsd.address()), &tpm);
}

/// TPM_Extend, through nobody.
fn extend(tpm: &Swtpm12, register: u32) {
    let body = [&register.to_be_bytes()[..], &[0xab; 20]].concat();
    tpm.ask(0x14, &body);
}

#[test]
fn what_goes_in_comes_out() {
    each_way(|there, tpm| {
        for length in [0, 1, 128, 129, 65_536, 200_000] {
            let data = bytes(length);
            there.write("data", &data);
            let told = there.ok("seal --tpm 1.2 -i data -o sealed -f --json");
            let told: Value = serde_json::from_str(&told.out()).expect("JSON");
            assert_eq!(told["bytes"], length, "{told}");
            assert_eq!(told["in_tpm"], false, "{told}");
            let whole = there.read("sealed");
            assert!(whole.starts_with(b"-----BEGIN TPM 1.2 SEALED DATA-----\n"));
            if length > 16 {
                let first = &data[..16];
                assert!(!whole.windows(16).any(|window| window == first));
            }
            there.ok("unseal -i sealed -o back -f");
            assert_eq!(there.read("back"), data, "{length}");
        }
        // From and to pipes, with a PIN, for registers.
        let data = bytes(1000);
        let with_pin = [b"4711\n", &data[..]].concat();
        let line = "seal --tpm 1.2 --auth - --pcr sha1:0,16 --pcr 7";
        let sealed = there.tpmctl(line).stdin(with_pin).ok().stdout;
        let with_pin = [b"4711\n", &sealed[..]].concat();
        let out = there.tpmctl("unseal --auth -").stdin(with_pin).ok().stdout;
        assert_eq!(out, data);
        extend(tpm, 16);
        there.write("sealed", sealed);
        there.fails(
            "unseal -i sealed --auth 4711",
            &["TPM_WRONGPCRVAL", "registers"],
        );
    });
}

/// Without a word about it the TPM that is known to be one is used, and one that is not known says what to do.
#[test]
fn the_tpm_that_there_is() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let there = There::new(tcsd.address());
    there.write("data", "x");
    there.ok("seal -i data -o sealed");
    assert_eq!(there.ok("unseal -i sealed").stdout, b"x");
    let tpm = Swtpm12::owned();
    let there = There::new(tpm.address());
    there.write("data", "x");
    there.fails("seal -i data -o sealed", &["TPM 1.2", "say --tpm 1.2"]);
    tpm.assert_clean();
    // Beside a TPM 2.0, in which everything else is sealed.
    let two = Swtpm::start();
    let both = There::new(two.address());
    both.write("data", "x");
    let run = both.tpmctl("seal --tpm 1.2 -i data -o sealed");
    run.env("TPM12_TCTI", tpm.address()).ok();
    let run = both.tpmctl("unseal -i sealed");
    assert_eq!(run.env("TPM12_TCTI", tpm.address()).ok().stdout, b"x");
    both.fails("unseal -i sealed", &["TPM 2.0", "TPM12_TCTI"]);
    both.ok("seal --tpm 2.0 -i data -o two");
    tpm.assert_clean();
    two.assert_clean();
}

#[test]
fn what_it_costs() {
    let tpm = Swtpm12::owned();
    let tap = Proxy::start12(&tpm);
    let there = There::new(tap.address());
    there.write("data", bytes(1000));
    let ((), counts) = tap.cost(|| drop(there.ok("seal --tpm 1.2 -i data -o sealed")));
    counts.are(costs::SEALING12.commands);
    let ((), counts) = tap.cost(|| drop(there.ok("unseal -i sealed -o back")));
    counts.are(costs::UNSEALING12.commands);
    let line = "seal --tpm 1.2 -i data -o pcr --pcr 0,16";
    let ((), counts) = tap.cost(|| drop(there.ok(line)));
    counts.are(&costs::sum(&[
        &costs::SEALING12,
        &costs::REGISTER12,
        &costs::REGISTER12,
    ]));
    let shown = there.ok("key show pcr --json").out();
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["registers"], serde_json::json!([0, 16]), "{shown}");
    assert_eq!(shown["authorization"], false, "{shown}");
    assert_eq!(shown["usable"], true, "{shown}");
    let text = there.ok("key show pcr").out();
    assert!(text.contains("sha1:0,16"), "{text}");
    // The data themselves never go there.
    assert!(!tap.saw(&bytes(1000)[..16]));
    tpm.assert_clean();
    // What the file says does not reach the TPM if it is none.
    let ((), counts) = tap.cost(|| {
        there.write("cut", &there.read("sealed")[..500]);
        there.fails("unseal -i cut", &["cut:"]);
        for line in [
            "seal --tpm 1.2 -i data -o x --policy pin --auth 1",
            "seal --tpm 1.2 -i data -o x --for grub",
            "seal --tpm 1.2 -i data -o x --parent 0x81000001",
            "seal --tpm 1.2 -i data -o x --pcr sha256:0",
            "seal --tpm 1.2 -i data -o x --pcr 24",
            "seal --tpm 1.2 -i data -o x --pcr sha1:",
            "seal --tpm 1.2 -i data -o sealed",
        ] {
            there.fails(line, &[]);
            assert!(!there.openssl.dir().join("x").exists(), "{line}");
        }
    });
    assert_eq!(counts.total(), 0, "{counts:?}");
}

#[test]
fn a_wrong_pin_is_tried_once_and_named() {
    let tpm = Swtpm12::owned();
    let tap = Proxy::start12(&tpm);
    let there = There::new(tap.address());
    there.write("data", bytes(100));
    there.ok("seal --tpm 1.2 -i data -o sealed --auth 4711");
    there.write("back", "old");
    let ((), counts) = tap.cost(|| {
        there.fails(
            "unseal -i sealed -o back -f --auth 4712",
            &["sealed:", "authorization value of the sealed data is wrong"],
        );
    });
    assert_eq!(counts.of("Unseal"), 1, "{counts:?}");
    let ((), counts) = tap.cost(|| {
        there.fails("unseal -i sealed -o back -f", &["--auth file:PATH"]);
    });
    assert_eq!(counts.of("Unseal"), 0, "{counts:?}");
    assert_eq!(there.read("back"), b"old");
    there.ok("unseal -i sealed -o back -f --auth 4711");
    assert_eq!(there.read("back"), bytes(100));
    tpm.assert_clean();
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let other = There::new(tcsd.address());
    other.write("sealed", there.read("sealed"));
    other.fails(
        "unseal -i sealed --auth 4712",
        &["authorization value of the sealed data is wrong"],
    );
    assert_eq!(other.ok("unseal -i sealed --auth 4711").stdout, bytes(100));
    // Without an owner there is nothing to seal under.
    let unowned = Swtpm12::unowned();
    other.write("data", "x");
    let run = |line: &str| other.openssl.tpmctl(&unowned.address(), line);
    run("seal --tpm 1.2 -i data -o x").fails().says("no owner");
    run("unseal -i sealed --auth 4711").fails().says("no owner");
    unowned.assert_clean();
}

#[test]
fn damaged_at_each_byte() {
    let tpm = Swtpm12::owned();
    let there = There::new(tpm.address());
    let data = bytes(100);
    there.write("data", &data);
    there.ok("seal --tpm 1.2 -i data -o sealed --pcr 0");
    let whole = there.read("sealed");
    let mut noticed = 0;
    for place in (0..whole.len()).step_by(9) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x04;
        there.write("damaged", &damaged);
        there.write("back", "old");
        let done = there.tpmctl("unseal -i damaged -o back -f").done();
        match done.status.success() {
            true => assert_eq!(there.read("back"), data, "{place}"),
            false => {
                noticed += 1;
                assert_eq!(done.status.code(), Some(1), "{place}\n{done}");
                assert_eq!(there.read("back"), b"old", "{place}");
                assert!(done.err().contains("damaged:"), "{place}\n{done}");
            }
        }
    }
    assert!(noticed > whole.len() / 9 - 12, "{noticed}");
    for end in (0..whole.len()).step_by(31) {
        there.write("damaged", &whole[..end]);
        there.fails("unseal -i damaged", &["damaged:"]);
    }
    tpm.assert_clean();
}

/// A TPM whose storage root key has a password, and tcsd.
fn with_srk_password(password: &str) -> (Swtpm12, Tcsd) {
    let tpm = Swtpm12::unowned_tcp();
    let tcsd = Tcsd::without_storage(&tpm);
    tcsd.client("tpm_createek", "tpm-tools").ok();
    let mut typist = Typist::start(tcsd.client("tpm_takeownership", "tpm-tools").arg("-y"));
    typist.sees("SRK password");
    typist.types(&format!("{password}\n"));
    typist.sees("Confirm");
    typist.types(&format!("{password}\n"));
    let (status, shown) = typist.end();
    assert!(status.success(), "{shown}");
    (tpm, tcsd)
}

/// With a storage root key that has a password; and what another TPM has sealed, which is not this one's.
#[test]
fn the_storage_root_keys_secret() {
    let (_tpm, tcsd) = with_srk_password("root secret");
    let there = There::new(tcsd.address());
    let data = bytes(700);
    there.write("data", &data);
    let line = "--parent-auth file:srk seal -i data -o sealed";
    there.write("srk", "root secret\n");
    there.ok(line);
    let out = there.ok("--parent-auth file:srk unseal -i sealed").stdout;
    assert_eq!(out, data);
    there.fails("unseal -i sealed", &["the SRK's secret"]);
    // What tpm_sealdata asks for.
    let mut typist = Typist::start(
        tcsd.client("tpm_sealdata", "tpm-tools")
            .words("-i data -o theirs")
            .dir(there.openssl.dir().path()),
    );
    typist.sees("SRK password");
    typist.types("root secret\n");
    let (status, shown) = typist.end();
    assert!(status.success(), "{shown}");
    let out = there.ok("--parent-auth file:srk unseal -i theirs").stdout;
    assert_eq!(out, data);
    there.fails("unseal -i theirs", &["the SRK's secret"]);
    // On another TPM.
    let other = Swtpm12::owned();
    for name in ["sealed", "theirs"] {
        let run = there.openssl.tpmctl(&other.address(), "unseal -o back -i");
        run.arg(name).fails().says("under this TPM's SRK");
        assert!(!there.openssl.dir().join("back").exists());
    }
    other.assert_clean();
}

/// What tpm_sealdata seals, by itself and through tcsd.
#[test]
fn the_files_of_tpm_sealdata() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let there = There::new(tcsd.address());
    let alone = |line: &str| there.openssl.tpmctl(&tpm.address(), line);
    for (length, registers) in [
        (0, ""),
        (1, ""),
        (16, "-p 0"),
        (100, "-p 3 -p 7"),
        (300_000, ""),
        (1000, "-p 16"),
    ] {
        let data = bytes(length);
        there.write("data", &data);
        tcsd.client("tpm_sealdata", "tpm-tools")
            .words(&format!("-z -i data -o sealed {registers}"))
            .dir(there.openssl.dir().path())
            .ok();
        let out = there.ok("unseal -i sealed").stdout;
        assert_eq!(out, data, "{length} {registers}");
        there.ok("unseal -i sealed -o back -f");
        assert_eq!(there.read("back"), data, "{length} {registers}");
    }
    extend(&tpm, 16);
    there.fails("unseal -i sealed", &["TPM_WRONGPCRVAL"]);
    drop(tcsd);
    there.write("data", "x");
    assert!(
        alone("unseal -i sealed")
            .fails()
            .err()
            .contains("TPM_WRONGPCRVAL")
    );
    tpm.assert_clean();
}

/// The head of such a file is the TPM's to check; of its contents nothing is.
#[test]
fn damaged_files_of_tpm_sealdata() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let there = There::new(tcsd.address());
    let data = bytes(100);
    there.write("data", &data);
    tcsd.client("tpm_sealdata", "tpm-tools")
        .words("-z -i data -o sealed -p 0")
        .dir(there.openssl.dir().path())
        .ok();
    drop(tcsd);
    let whole = there.read("sealed");
    let text = String::from_utf8(whole.clone()).expect("text");
    let contents = text.find("-----ENC DAT-----").expect("contents");
    let run = |line: &str| there.openssl.tpmctl(&tpm.address(), line);
    for place in (0..contents).step_by(11) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x04;
        there.write("damaged", &damaged);
        there.write("back", "old");
        let done = run("unseal -i damaged -o back -f").done();
        match done.status.success() {
            // Octets that TPM_Seal's structures have and nobody reads.
            true => assert_eq!(there.read("back"), data, "{place}"),
            false => {
                assert_eq!(done.status.code(), Some(1), "{place}\n{done}");
                assert_eq!(there.read("back"), b"old", "{place}");
                assert!(done.err().contains("damaged:"), "{place}\n{done}");
            }
        }
    }
    for end in (0..whole.len() - 1).step_by(37) {
        there.write("damaged", &whole[..end]);
        run("unseal -i damaged -o back -f").fails().says("damaged:");
        assert_eq!(there.read("back"), b"old", "{end}");
    }
    // Contents of another key end wrongly, nearly always; the manual says that they may not.
    let theirs = encrypt(Cipher::aes_256_cbc(), &[1; 32], Some(&[2; 16]), &data).expect("AES");
    let foreign = format!(
        "{}-----ENC DAT-----\n{}\n-----END TSS-----\n",
        &text[..contents],
        base64::encode_block(&theirs)
    );
    there.write("damaged", foreign);
    let done = run("unseal -i damaged").done();
    assert!(!done.status.success() || done.stdout != data);
    tpm.assert_clean();
    assert!(fs::metadata(there.openssl.dir().join("sealed")).is_ok());
}
