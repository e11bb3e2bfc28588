//! What is wrong with a key file, a setting or an input is said, with the way out, and the host lives on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use testkit::cc;
use testkit::client::Client;
use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::process::Done;
use testkit::swtpm::Swtpm;
use testkit::tools::{module, root};

/// A TPM address at which nothing is, for what must not need a TPM.
const NOWHERE: &str = "swtpm:path=/nonexistent/tpm";

/// The keys that other tools made.
fn foreign(name: &str) -> PathBuf {
    root().join("tests/data/tpm2").join(name)
}

/// An openssl with `key.pem`, and its TPM.
fn with_key() -> (Swtpm, Openssl) {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    key::rsa(&openssl, "key", 2048, "");
    (tpm, openssl)
}

/// `openssl pkey` refuses the file and says each of `texts`.
#[track_caller]
fn refuses(openssl: &Openssl, file: &str, texts: &[&str]) {
    let mut done = openssl.fails(&format!("pkey -noout -in {file}"));
    for text in texts {
        done = done.says(text);
    }
    assert_eq!(done.status.code(), Some(1), "{done}");
}

fn pem(label: &str, base64: &str) -> String {
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

/// Every truncation, every flipped bit, and garbage; all in one process, which must survive it.
#[test]
fn damaged_key_files() {
    let (tpm, openssl) = with_key();
    let mutate = cc::compile(openssl.dir(), "mutate", "-lcrypto");
    // Decoding needs no TPM; were one asked, this would show.
    let done = openssl
        .client(&mutate)
        .arg("key.pem")
        .env("TPM_TCTI", NOWHERE)
        .ok();
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let out = done.out();
    for line in out.lines() {
        let mut words = line.splitn(4, ' ');
        let (Some(kind), Some(number), Some(end)) = (words.next(), words.next(), words.next())
        else {
            panic!("{line}");
        };
        let text = words.next().unwrap_or_default();
        *seen.entry((kind, end)).or_default() += 1;
        let number: usize = number.parse().expect("a number");
        match (kind, end) {
            // Once the first line is there the file is known to be ours.
            ("pem-cut", "refused") if number > 40 => {
                assert!(text.contains("TSS2 PRIVATE KEY block at line"), "{line}");
                assert!(
                    text.contains("damaged or incomplete, copy it again"),
                    "{line}"
                );
            }
            // Ours by its type, from byte 4 on; what is refused then is told apart from what nobody knows.
            ("der-flip", "refused") if number / 8 > 12 => {
                assert!(text.contains("key"), "{line}");
                assert!(!text.contains("No supported data"), "{line}");
            }
            _ => {}
        }
    }
    let count = |kind, end| seen.get(&(kind, end)).copied().unwrap_or(0);
    let length = openssl.dir().read("key.pem").len();
    // Without its last line feed the file is still whole.
    assert_eq!(count("pem-cut", "loaded"), 1, "{seen:?}");
    assert_eq!(count("pem-cut", "refused"), length - 1, "{seen:?}");
    assert_eq!(count("der-cut", "loaded"), 0, "{seen:?}");
    assert_eq!(count("garbage", "loaded"), 0, "{seen:?}");
    assert_eq!(count("whole", "loaded"), 2, "{seen:?}");
    // In the wrapped private half and the modulus no bit shows before the TPM looks at them; elsewhere many do.
    assert!(count("der-flip", "refused") > 300, "{seen:?}");
    tpm.assert_clean();
}

/// Bits that no reader can check are found by the TPM, and the message says so; the real key still works.
#[test]
fn a_damaged_private_half() {
    let (tpm, openssl) = with_key();
    let mut client = Client::start(&openssl);
    openssl
        .plain()
        .ok("asn1parse -in key.pem -out key.der -noout");
    let der = openssl.dir().read("key.der");
    for (name, at) in [("inside", der.len() - 20), ("modulus", der.len() - 300)] {
        let mut damaged = der.clone();
        damaged[at] ^= 4;
        openssl.dir().write("damaged.der", damaged);
        openssl
            .plain()
            .run("base64 -in damaged.der -out damaged.b64")
            .ok();
        let text = openssl.dir().read_text("damaged.b64");
        let file = format!("{name}.pem");
        openssl
            .dir()
            .write(&file, pem("TSS2 PRIVATE KEY", text.trim()));
        client.ok(&format!("load 1 {file}"));
        client.fails(
            "sign 1",
            &["another TPM", "0x1df", "TPM_RC_INTEGRITY", "0x40000001"],
        );
    }
    client.ok("load 2 key.pem");
    client.ok("sign 2");
    client.end();
    tpm.assert_clean();
}

#[test]
fn key_files_of_others() {
    let (tpm, openssl) = with_key();
    let dir = openssl.dir();
    // A TSS2 block with the type of another tool's file: 2.23.133.10.1.99.
    openssl
        .plain()
        .ok("asn1parse -in key.pem -out key.der -noout");
    let mut der = dir.read("key.der");
    let at = der
        .windows(6)
        .position(|w| w == [0x67, 0x81, 5, 0x0a, 1, 3])
        .expect("the type");
    der[at + 5] = 99;
    dir.write("other.der", der);
    openssl.plain().ok("base64 -in other.der -out other.b64");
    dir.write(
        "other.pem",
        pem("TSS2 PRIVATE KEY", dir.read_text("other.b64").trim()),
    );
    refuses(
        &openssl,
        "other.pem",
        &["2.23.133.10.1.99", "2.23.133.10.1.3", "another program"],
    );
    // The block of somebody else is not ours to comment on.
    dir.write(
        "alien.pem",
        pem("ALIEN PRIVATE KEY", dir.read_text("other.b64").trim()),
    );
    openssl
        .fails("pkey -noout -in alien.pem")
        .never_says("key file:");
    dir.write("tpm12.pem", pem("TSS KEY BLOB", "BBMBAQAA"));
    refuses(&openssl, "tpm12.pem", &["TSS KEY BLOB", "TPM 1.2"]);
    dir.write("empty.pem", pem("TSS2 PRIVATE KEY", ""));
    refuses(
        &openssl,
        "empty.pem",
        &["TSS2 PRIVATE KEY", "damaged or incomplete"],
    );
    tpm.assert_clean();
}

/// Each is refused by name, by `openssl pkey` as well as by a program that reads PEM, and without a TPM.
#[test]
fn key_files_that_this_version_does_not_do() {
    let openssl = Openssl::new(NOWHERE);
    let mut client = Client::start(&openssl);
    let texts = &["sealed data", "2.23.133.10.1.5"];
    let path = foreign("j_seal.pem").display().to_string();
    refuses(&openssl, &path, texts);
    client.fails(&format!("load 1 {path}"), texts);
    // Those that it does.
    for file in [
        "j_rsa.pem",
        "j_ec.pem",
        "j_ec_pcr.pem",
        "j_imp_ec.pem",
        "o_ec.pem",
        "e_ec.pem",
        "py_ec.pem",
    ] {
        client.ok(&format!("load 1 {}", foreign(file).display()));
    }
}

#[test]
fn a_key_of_another_tpm() {
    let (_other, openssl) = with_key();
    for srk in [true, false] {
        let tpm = Swtpm::start();
        if srk {
            tpm.provision_srk();
        }
        let input = key::digest(&openssl, "sha256");
        let done = openssl
            .run(&format!(
                "pkeyutl -sign -inkey key.pem -in {input} -out sig"
            ))
            .env("TPM_TCTI", tpm.address())
            .fails()
            .says("made on another TPM or under another parent")
            .says("0x40000001")
            .says("TPM_RC_INTEGRITY");
        // Which TPM, and who said so.
        done.says(&tpm.address()).says("TPM_TCTI");
        tpm.assert_clean();
    }
}

#[test]
fn parents_that_are_wrong_or_missing() {
    let tpm = Swtpm::start();
    tpm.provision_srk_at(0x8100_0001);
    tpm.provision_srk_at(0x8100_0005);
    let openssl = Openssl::new(&tpm.address());
    key::rsa(&openssl, "key", 2048, "-pkeyopt parent:0x81000005");
    let mut client = Client::start(&openssl);
    client.ok("load 1 key.pem");
    client.ok("sign 1");
    tpm.tool("tpm2_evictcontrol -C o -c 0x81000005").ok();
    client.ok("load 2 key.pem");
    // Loaded already, the key needs no parent; another process does.
    let mut other = Client::start(&openssl);
    client.ok("free 1");
    client.ok("free 2");
    client.end();
    other.ok("load 1 key.pem");
    other.fails("sign 1", &["0x81000005", "TPM_RC_HANDLE", "another one"]);
    // Something else lives there now.
    let mut raw = tpm.raw();
    let mut template = testkit::tpm::STANDARD_PRIMARY.to_vec();
    template[6] ^= 0x04; // without noDA: another key
    let primary = raw.create_primary(testkit::tpm::OWNER, &template);
    raw.persist(primary, 0x8100_0005);
    raw.flush(primary);
    drop(raw);
    other.fails("sign 1", &["another TPM", "0x81000005"]);
    other.end();
    // A parent that keys cannot have.
    let done = openssl
        .fails("genpkey -propquery provider=tpm -algorithm RSA -pkeyopt parent:0x80000001 -out k");
    done.says("0x80000001").says("0x81000001");
    openssl
        .fails("genpkey -propquery provider=tpm -algorithm RSA -pkeyopt parent:0x81000044 -out k")
        .says("0x81000044");
    tpm.assert_clean();
}

#[test]
fn ciphertexts_of_the_wrong_size_or_value() {
    let (tpm, openssl) = with_key();
    for length in [0, 1, 255, 257, 5000] {
        openssl.dir().write("sealed", vec![1; length]);
        let done = openssl.fails("pkeyutl -decrypt -inkey key.pem -in sealed -out clear");
        if length > 0 {
            done.says("256").says(&length.to_string());
        }
    }
    // As long as the modulus, and larger than it.
    openssl.dir().write("sealed", [0xff; 256]);
    openssl
        .fails("pkeyutl -decrypt -inkey key.pem -in sealed -out clear")
        .says("not smaller than the key's modulus");
    // OAEP that is none.
    openssl.dir().write("sealed", [1; 256]);
    openssl
        .fails(
            "pkeyutl -decrypt -inkey key.pem -in sealed -out clear -pkeyopt rsa_padding_mode:oaep",
        )
        .says("bad data:")
        .says("padding check failed");
    let mut client = Client::start(&openssl);
    client.ok("load 1 key.pem");
    client.ok("decrypt 1");
    client.end();
    tpm.assert_clean();
}

#[test]
fn salts_and_digests_that_a_key_cannot_do() {
    let (tpm, openssl) = with_key();
    key::generate(
        &openssl,
        "pss",
        "RSA-PSS -pkeyopt bits:2048 -pkeyopt digest:sha256",
    );
    let input = key::digest(&openssl, "sha256");
    let long = key::digest(&openssl, "sha384");
    let sign = |key: &str, input: &str, options: &str| -> Done {
        openssl.fails(&format!(
            "pkeyutl -sign -inkey {key}.pem -in {input} -out sig {options}"
        ))
    };
    let pss = "-pkeyopt rsa_padding_mode:pss -pkeyopt digest:sha256";
    sign(
        "key",
        &input,
        &format!("{pss} -pkeyopt rsa_pss_saltlen:223"),
    )
    .says("223")
    .says("at most 222");
    sign(
        "key",
        &input,
        "-pkeyopt rsa_padding_mode:x931 -pkeyopt digest:sha256",
    )
    .says("X9.31");
    sign("key", &long, "-pkeyopt digest:sha256").says("expected 32");
    sign("key", &input, "-pkeyopt digest:ripemd160").says("supported");
    // A key that is for PSS with SHA-256 only says so.
    sign("pss", &long, "-pkeyopt digest:sha384").says("SHA2-256");
    sign(
        "pss",
        &input,
        "-pkeyopt digest:sha256 -pkeyopt rsa_pss_saltlen:20",
    )
    .says("20");
    sign(
        "pss",
        &input,
        "-pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pkcs1",
    )
    .says("PSS");
    openssl.ok(&format!(
        "pkeyutl -sign -inkey pss.pem -in {input} -out sig -pkeyopt digest:sha256"
    ));
    tpm.assert_clean();
}

/// Every function of every table, by hand, with NULL for whatever may be NULL.
#[test]
fn null_arguments() {
    let openssl = Openssl::new(NOWHERE);
    let program = cc::compile(openssl.dir(), "nulls", "-lcrypto -ldl");
    openssl
        .client(program)
        .arg(module())
        .env("TPM_LOG", "error")
        .ok()
        .never_says("panic");
}

/// A wrong setting is silent until one of our keys is met, and then says what it is; software keys do not care.
#[test]
fn settings_that_are_wrong() {
    let tpm = Swtpm::start();
    let maker = Openssl::new(&tpm.address());
    key::rsa(&maker, "key", 2048, "");
    let key_pem = maker.dir().read("key.pem");
    for (name, value, texts) in [
        (
            "tcti",
            "nosuchtcti:",
            &["nosuchtcti", "device:PATH", "openssl.cnf"][..],
        ),
        ("tcti", "swtpm:port=99999,host=x", &["99999"]),
        ("device", "/dev/tpm0", &["device", "tcti = device:"]),
        ("TCTI", "device:/dev/tpm0", &["TCTI", "say tcti"]),
        ("parent_auth", "x", &["parent_auth", "say parent-auth"]),
        ("load", "sometimes", &["load", "sometimes", "lazy or eager"]),
        ("verify", "yes", &["verify", "on or off"]),
        ("sessions", "maybe", &["sessions", "auto, always or never"]),
        ("log", "loud", &["log", "loud", "trace"]),
        ("timeout", "0", &["timeout", "seconds"]),
        ("lock-timeout", "soon", &["lock-timeout", "soon"]),
        ("parent-name", "xyz", &["parent-name", "tpmctl info"]),
        (
            "parent-auth",
            "file:/nonexistent/pin",
            &["/nonexistent/pin"],
        ),
    ] {
        let openssl = Openssl::without_tpm(Config::new().setting(name, value));
        openssl.dir().write("key.pem", &key_pem);
        println!("{name} = {value}");
        // The provider is there ...
        let list = openssl.ok("list -providers").out();
        assert!(list.contains("TPM provider"), "{name} = {value}: {list}");
        // ... and software keys are not disturbed ...
        openssl.ok("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out soft.pem");
        openssl.ok("pkey -in soft.pem -noout");
        // ... and the fault comes with the first key of ours, whoever loads it.
        refuses(&openssl, "key.pem", texts);
        let mut client = Client::start(&openssl);
        client.ok("load 1 soft.pem");
        client.fails("load 2 key.pem", texts);
    }
    let openssl = Openssl::new("mssim:host=localhost,port=abc");
    openssl.dir().write("key.pem", &key_pem);
    refuses(&openssl, "key.pem", &["mssim", "abc", "TPM_TCTI"]);
}

/// What was asked for in the URI is what is complained about.
#[test]
fn uris_that_are_wrong() {
    let (tpm, openssl) = with_key();
    for (uri, texts) in [
        ("handle:xyz", &["handle:xyz", "hex", "0x81"][..]),
        ("handle:0x80000000", &["0x80000000"]),
        (
            "handle:0x81000099",
            &["0x81000099", "nothing at this handle"],
        ),
        ("handle:0x81000001?word", &["unknown query"]),
        ("handle:0x01c00002", &["0x01c00002"]),
    ] {
        let command = if uri.contains("0x01") { "x509" } else { "pkey" };
        let mut done = openssl.fails(&format!("{command} -noout -in {uri}"));
        for text in texts {
            done = done.says(text);
        }
    }
    // The storage root key is there, and has a public half; what it is for is said.
    openssl.ok("pkey -noout -in handle:0x81000001");
    openssl.ok("pkey -pubout -in handle:0x81000001 -out srk.pub");
    let input = key::digest(&openssl, "sha256");
    openssl
        .fails(&format!(
            "pkeyutl -sign -inkey handle:0x81000001 -in {input} -out sig"
        ))
        .says("this key cannot sign")
        .says("restricted");
    openssl
        .fails("pkeyutl -derive -inkey handle:0x81000001 -peerkey srk.pub -out secret")
        .says("a parent for other keys");
    tpm.assert_clean();
}
