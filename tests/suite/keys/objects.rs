//! Objects in the TPM by URI, as documentation for other providers has them: files that name an object, certificates and
//! public keys in NV memory, peers at handles.

use std::fs;

use testkit::bench::Bench;
use testkit::client::Client;
use testkit::key;
use testkit::openssl::{Config, ORDERS, Openssl};
use testkit::tpm::cc;

use crate::tpm::costs;

const HANDLE: &str = "0x81000010";

/// A key at [`HANDLE`] and `object`, the file that names it.
fn persistent(config: Config, options: &str) -> Bench {
    let bench = Bench::with(config);
    bench.tool(&format!(
        "tpm2_create -Q -C 0x81000001 {options} -u p.pub -r p.priv"
    ));
    bench.tool("tpm2_load -Q -C 0x81000001 -u p.pub -r p.priv -c p.ctx");
    bench.tool(&format!(
        "tpm2_evictcontrol -Q -C o -c p.ctx -o object {HANDLE}"
    ));
    bench.tool("tpm2_flushcontext -t");
    key::digest(&bench.openssl, "sha256");
    bench
}

fn sign(uri: &str) -> String {
    format!("pkeyutl -sign -inkey {uri} -in sha256.bin -out sig -pkeyopt digest:sha256")
}

#[test]
fn a_file_names_a_persistent_key() {
    for order in ORDERS {
        for kind in ["-G rsa2048", "-G ecc"] {
            let bench = persistent(Config::new().order(order), kind);
            let Bench { openssl, tap, tpm } = &bench;
            bench.tool(&format!(
                "tpm2_readpublic -Q -c {HANDLE} -t again -f pem -o true.pub"
            ));
            // With the name in the file as with one in the URI: no command more.
            for uri in ["object:object", "object:again"] {
                let (_, counts) = tap.cost(|| openssl.ok(&sign(uri)));
                counts.are(costs::HANDLE.commands);
                openssl.plain().ok(
                    "pkeyutl -verify -pubin -inkey true.pub -in sha256.bin -sigfile sig -pkeyopt digest:sha256",
                );
                openssl.ok(&format!("pkey -in {uri} -pubout -out own.pub"));
                assert_eq!(
                    openssl.dir().read("own.pub"),
                    openssl.dir().read("true.pub")
                );
            }
            let absolute = openssl.dir().join("object");
            openssl.ok(&sign(&format!("object:{}", absolute.display())));
            fs::copy(absolute, openssl.dir().join("odd?name")).expect("a copy");
            openssl.ok(&sign("object:odd?name"));
            openssl.ok("req -new -key object:object -subj /CN=own -out own.csr");
            openssl.plain().ok("req -in own.csr -verify -noout");
            tpm.assert_clean();
        }
    }
}

#[test]
fn a_file_names_a_key_with_a_value() {
    let bench = persistent(Config::new(), "-G rsa2048 -p object-secret");
    let Bench { openssl, tap, tpm } = &bench;
    let mut client = Client::start(openssl);
    client.ok("pin object-secret");
    assert_eq!(client.ok("store 1 object:object?pass"), "prompts=1");
    client.ok("sign 1");
    client.end();
    assert!(!tap.saw(b"object-secret"));
    tpm.assert_clean();
}

/// What is at the handle by now, or was loaded by somebody else, is used only if it is that very key.
#[test]
fn another_key_in_its_place_is_refused() {
    let bench = persistent(Config::new(), "-G ecc");
    let Bench { openssl, tpm, .. } = &bench;
    bench.tool(&format!("tpm2_evictcontrol -Q -C o -c {HANDLE}"));
    openssl
        .fails(&sign("object:object"))
        .says("is there a key at 0x81000010?");
    bench.tool("tpm2_create -Q -C 0x81000001 -G ecc -u o.pub -r o.priv");
    bench.tool("tpm2_load -Q -C 0x81000001 -u o.pub -r o.priv -c o.ctx");
    bench.tool(&format!(
        "tpm2_evictcontrol -Q -C o -c o.ctx -o other {HANDLE}"
    ));
    bench.tool("tpm2_flushcontext -t");
    openssl.fails(&sign("object:object")).says("0x81000010");
    openssl.ok(&sign("object:other"));
    tpm.assert_clean();
}

/// A loaded object of somebody else's, on a TPM that everybody sees the same of; it is used and left alone.
#[test]
fn a_file_names_a_loaded_object() {
    let bench = persistent(Config::new(), "-G ecc");
    let Bench { openssl, tpm, .. } = &bench;
    let parts = [openssl.dir().read("p.priv"), openssl.dir().read("p.pub")].concat();
    let (code, answer) = tpm.raw().authorized(cc::LOAD, &[0x8100_0001], &parts);
    assert_eq!(code, 0);
    let mut object = openssl.dir().read("object");
    object[..4].copy_from_slice(&answer[..4]);
    openssl.dir().write("loaded", object);
    openssl.ok(&sign("object:loaded"));
    assert!(!tpm.objects().none());
    bench.tool("tpm2_flushcontext -t");
    openssl
        .fails(&sign("object:loaded"))
        .says("is there a key at 0x8000000");
}

#[test]
fn files_that_name_no_object() {
    let bench = persistent(Config::new(), "-G ecc");
    let Bench { openssl, tap, .. } = &bench;
    key::rsa(openssl, "key", 2048, "");
    let dir = openssl.dir();
    let whole = dir.read("object");
    dir.write("cut", &whole[..40]);
    dir.write("shorter", &whole[..60]);
    let mut changed = whole;
    changed[20] ^= 1;
    dir.write("changed", changed);
    dir.write("empty", "");
    let ((), counts) = tap.cost(|| {
        for (file, says) in [
            ("nowhere", "the file cannot be read"),
            ("cut", "no serialized object"),
            ("shorter", "damaged"),
            ("changed", "damaged"),
            ("empty", "is empty"),
            ("key.pem", "is PEM"),
            ("p.ctx", "tpm2_load -c"),
            (".", "the file cannot be read"),
        ] {
            openssl
                .fails(&sign(&format!("object:{file}")))
                .says(&format!("object:{file}: "))
                .says(says);
        }
    });
    assert_eq!(counts.total(), 0, "{counts:?}");
}

/// Certificates and public keys in NV memory, in DER and in PEM.
#[test]
fn certificates_and_public_keys_in_nv_memory() {
    for order in ORDERS {
        let bench = Bench::with(Config::new().order(order));
        let Bench { openssl, tpm, .. } = &bench;
        let plain = openssl.plain();
        for (kind, curve) in [("rsa", None), ("ec", Some("P-256"))] {
            match curve {
                None => key::software_rsa(openssl, kind, 2048),
                Some(curve) => key::software_ec(openssl, kind, curve),
            }
            plain.ok(&format!(
                "req -x509 -key {kind}.pem -subj /CN=nv -out {kind}.crt -days 2"
            ));
            plain.ok(&format!(
                "x509 -in {kind}.crt -outform DER -out {kind}.crt.der"
            ));
            plain.ok(&format!("pkey -in {kind}.pem -pubout -out {kind}.pub"));
            plain.ok(&format!(
                "pkey -in {kind}.pem -pubout -outform DER -out {kind}.pub.der"
            ));
            let index = "0x01500010";
            let hold = |file: &str, more: usize| {
                let size = openssl.dir().read(file).len() + more;
                bench.tool(&format!(
                    "tpm2_nvdefine -Q {index} -C o -s {size} -a ownerread|authread|ownerwrite|authwrite"
                ));
                bench.tool(&format!("tpm2_nvwrite -Q {index} -C o -i {file}"));
            };
            let drop = || bench.tool(&format!("tpm2_nvundefine -Q {index} -C o"));
            for more in [0, 20] {
                for file in [format!("{kind}.crt"), format!("{kind}.crt.der")] {
                    hold(&file, more);
                    openssl.ok(&format!("x509 -in handle:{index} -out own.crt"));
                    plain.ok("x509 -in own.crt -noout -subject");
                    assert_eq!(
                        openssl.dir().read("own.crt"),
                        openssl.dir().read(&format!("{kind}.crt"))
                    );
                    openssl
                        .fails(&format!("pkey -pubin -in handle:{index} -noout"))
                        .says("holds a certificate")
                        .says("openssl x509");
                    drop();
                }
                for file in [format!("{kind}.pub"), format!("{kind}.pub.der")] {
                    hold(&file, more);
                    openssl.ok(&format!(
                        "pkey -pubin -in handle:{index} -pubout -out own.pub"
                    ));
                    assert_eq!(
                        openssl.dir().read("own.pub"),
                        openssl.dir().read(&format!("{kind}.pub"))
                    );
                    openssl
                        .fails(&format!("x509 -in handle:{index} -noout"))
                        .says("a public key and no certificate");
                    drop();
                }
            }
            hold(&format!("{kind}.pub"), 0);
            let input = key::digest(openssl, "sha256");
            plain.ok(&format!(
                "pkeyutl -sign -inkey {kind}.pem -in {input} -out sig -pkeyopt digest:sha256"
            ));
            openssl.ok(&format!(
                "pkeyutl -verify -pubin -inkey handle:{index} -in {input} -sigfile sig -pkeyopt digest:sha256"
            ));
            drop();
        }
        tpm.assert_clean();
    }
}

/// An index with a value of its own, one that the owner reads who has one, and one that says who answers.
#[test]
fn nv_memory_that_wants_a_value() {
    let bench = Bench::with(Config::new().setting("parent-auth", "owner-secret"));
    let Bench { openssl, tap, tpm } = &bench;
    key::software_ec(openssl, "ec", "P-256");
    openssl
        .plain()
        .ok("req -x509 -key ec.pem -subj /CN=nv -out ec.crt -days 2");
    let size = openssl.dir().read("ec.crt").len();
    openssl.dir().write("value", "opensesame\n");
    for (index, attributes) in [
        ("0x01500011", "authread|authwrite|no_da -p opensesame"),
        ("0x01500012", "ownerread|ownerwrite"),
        ("0x01500013", "authread|authwrite|no_da"),
        ("0x01500014", "authwrite|policyread -p opensesame"),
    ] {
        bench.tool(&format!(
            "tpm2_nvdefine -Q {index} -C o -s {size} -a {attributes}"
        ));
        let write = match attributes.contains("opensesame") {
            true => format!("-C {index} -P opensesame"),
            false if attributes.contains("owner") => "-C o".to_owned(),
            false => format!("-C {index}"),
        };
        bench.tool(&format!("tpm2_nvwrite -Q {index} {write} -i ec.crt"));
    }
    bench.tool("tpm2_changeauth -Q -c o owner-secret");
    let reads = |uri: &str, options: &str| {
        openssl.ok(&format!("x509 -in {uri} {options} -out own.crt"));
        assert_eq!(openssl.dir().read("own.crt"), openssl.dir().read("ec.crt"));
    };
    tap.reset();
    reads("handle:0x01500011?pass", "-passin pass:opensesame");
    let source = openssl.dir().join("value");
    reads(
        &format!("handle:0x01500011?pin-source=file:{}", source.display()),
        "",
    );
    reads("handle:0x01500012", "");
    for secret in [&b"opensesame"[..], b"owner-secret"] {
        assert!(!tap.saw(secret));
    }
    let (_, counts) = tap.cost(|| reads("handle:0x01500013", ""));
    assert_eq!(counts.of("StartAuthSession"), 0, "{counts:?}");
    for (uri, options, words) in [
        ("handle:0x01500011", "", "handle:0x01500011?pass"),
        ("handle:0x01500011?pass", "-passin pass:wrong", "0x01500011"),
        (
            "handle:0x01500014?pass",
            "-passin pass:opensesame",
            "policy",
        ),
        ("handle:0x01500099", "", "0x01500099"),
    ] {
        openssl
            .fails(&format!("x509 -in {uri} {options} -noout"))
            .says(words);
        tpm.assert_clean();
    }
}

/// With `parent-name` what is read comes in a session, and so does everything with `sessions = always`.
#[test]
fn nv_memory_is_read_in_a_session_where_somebody_vouches() {
    let bench = Bench::new();
    key::software_ec(&bench.openssl, "ec", "P-256");
    bench
        .openssl
        .plain()
        .ok("req -x509 -key ec.pem -subj /CN=nv -out ec.crt -days 2");
    let size = bench.openssl.dir().read("ec.crt").len();
    bench.tool(&format!(
        "tpm2_nvdefine -Q 0x01500011 -C o -s {size} -a authread|ownerread|ownerwrite"
    ));
    bench.tool("tpm2_nvwrite -Q 0x01500011 -C o -i ec.crt");
    let info = bench.tpmctl("info --json").ok().out();
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    let name = info["srk"]["name"].as_str().expect("a name");
    for config in [
        Config::new().setting("parent-name", name),
        Config::new().setting("sessions", "always"),
    ] {
        let openssl = Openssl::with(config, &bench.tap.address());
        let (read, counts) = bench
            .tap
            .cost(|| openssl.ok("x509 -in handle:0x01500011").out());
        assert_eq!(read, bench.openssl.dir().read_text("ec.crt"));
        counts.are(&[
            ("NV_ReadPublic", 1),
            ("GetCapability", 1),
            ("ReadPublic", 1),
            ("StartAuthSession", 1),
            ("NV_Read", 1),
        ]);
        bench.tpm.assert_clean();
    }
}

/// A key at a handle where a public key is wanted: a peer, and whose signature it is; whoever has the own key.
#[test]
fn public_halves_at_handles() {
    for order in ORDERS {
        let bench = persistent(Config::new().order(order), "-G ecc -p secret");
        let Bench { openssl, tpm, .. } = &bench;
        let uris = [format!("handle:{HANDLE}"), "object:object".to_owned()];
        key::generate(openssl, "own", "EC");
        key::software_ec(openssl, "soft", "P-256");
        for uri in &uris {
            // No value is asked for: the public half has none.
            openssl.ok(&format!("pkey -pubin -in {uri} -pubout -out peer.pub"));
            for own in ["own.pem", "soft.pem"] {
                openssl.ok(&format!(
                    "pkeyutl -derive -inkey {own} -peerkey {uri} -out one"
                ));
                openssl.ok(&format!(
                    "pkeyutl -derive -inkey {own} -peerkey peer.pub -out other"
                ));
                assert_eq!(openssl.dir().read("one"), openssl.dir().read("other"));
                assert_eq!(openssl.dir().read("one").len(), 32);
            }
        }
        openssl.dir().write("pin", "secret\n");
        openssl.ok(&format!(
            "{} -passin file:pin",
            sign(&format!("handle:{HANDLE}?pass"))
        ));
        for uri in &uris {
            openssl.ok(&format!(
                "pkeyutl -verify -pubin -inkey {uri} -in sha256.bin -sigfile sig -pkeyopt digest:sha256"
            ));
        }
        tpm.assert_clean();
    }
}
