//! Files that ssh-tpm-keygen has made, `tests/data/ssh-tpm-agent`. Each has the public half that its tool wrote beside it.

use testkit::bench::Bench;
use testkit::openssl::Config;
use testkit::process::Run;
use testkit::swtpm::Swtpm;
use testkit::terminal::Typist;
use testkit::tools::{need, root};

use super::ok;

/// All of them, and how many TPM2_Import each needs.
const SAMPLES: [(&str, usize); 8] = [
    ("ec", 0),
    ("ec384", 0),
    ("rsa", 0),
    ("ec_pin", 0),
    ("rsa_pin", 0),
    ("short_x", 0),
    ("short_y", 0),
    ("wrapped", 1),
];

/// The TPM that they belong to.
pub(super) fn bench() -> Bench {
    let tpm = Swtpm::with_state(&root().join("tests/data/tpm2"));
    Bench::of(tpm, Config::new())
}

pub(super) fn sample(name: &str) -> Vec<u8> {
    let path = root().join("tests/data/ssh-tpm-agent").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Puts a sample where commands run, as NAME.tpm; its public half, for an OpenSSL without the provider, is NAME.pem.
fn place(bench: &Bench, name: &str) {
    let dir = bench.openssl.dir();
    dir.write(&format!("{name}.tpm"), sample(&format!("{name}.tpm")));
    dir.write(&format!("{name}.pub"), sample(&format!("{name}.pub")));
    dir.write("digest", [7; 32]);
    let converted = Run::new(need("ssh-keygen", "openssh-client"))
        .dir(dir.path())
        .words(&format!("-e -m PKCS8 -f {name}.pub"))
        .ok();
    dir.write(&format!("{name}.pem"), converted.out());
}

/// The signature in `sig` is of the sample's key.
#[track_caller]
fn verified(bench: &Bench, name: &str) {
    bench.openssl.plain().ok(&format!(
        "pkeyutl -verify -pubin -inkey {name}.pem -in digest -sigfile sig -pkeyopt digest:sha256"
    ));
}

#[test]
fn they_sign_as_they_are_and_without_their_description() {
    let bench = bench();
    for (name, imports) in SAMPLES {
        place(&bench, name);
        let shown = ok(&bench, &format!("key show {name}.tpm"));
        assert!(shown.contains("alice@example"), "{shown}");
        ok(
            &bench,
            &format!("key convert {name}.tpm --no-description -o {name}.key"),
        );
        let shown = ok(&bench, &format!("key show {name}.key"));
        assert!(!shown.contains("alice@example"), "{shown}");
        let pin = match name.ends_with("_pin") {
            true => "-passin pass:4711",
            false => "",
        };
        for file in [format!("{name}.tpm"), format!("{name}.key")] {
            let (_, counts) = bench.tap.cost(|| {
                bench.openssl.ok(&format!(
                    "pkeyutl -sign -inkey {file} -in digest -out sig -pkeyopt digest:sha256 {pin}"
                ))
            });
            assert_eq!(
                (counts.of("Import"), counts.of("Sign")),
                (imports, 1),
                "{file}: {counts:?}"
            );
            verified(&bench, name);
        }
    }
    bench.tpm.assert_clean();
}

/// The question shows the description; another PIN needs no tool of theirs.
#[test]
fn their_pin_is_asked_for() {
    let bench = bench();
    let line = "pkeyutl -sign -inkey ec_pin.tpm -in digest -out sig -pkeyopt digest:sha256";
    place(&bench, "ec_pin");
    let mut at = Typist::start(bench.openssl.run(line));
    at.sees("Enter pass phrase for TPM key (\"alice@example\"):");
    at.types("4711\r");
    let (status, shown) = at.end();
    assert!(status.success() && !shown.contains("4711"), "{shown}");
    verified(&bench, "ec_pin");
    bench
        .openssl
        .fails(&format!("{line} -passin pass:0815"))
        .says("wrong PIN");
    ok(
        &bench,
        "key passwd ec_pin.tpm --old 4711 --new 0815 -o other.tpm",
    );
    let line = line.replace("ec_pin.tpm", "other.tpm");
    bench.openssl.ok(&format!("{line} -passin pass:0815"));
    verified(&bench, "ec_pin");
    bench.tpm.assert_clean();
}

/// What was wrapped for this TPM is imported once and for all.
#[test]
fn a_wrapped_key_is_finished() {
    let bench = bench();
    place(&bench, "wrapped");
    ok(&bench, "key finish wrapped.tpm");
    let (_, counts) = bench.tap.cost(|| {
        bench
            .openssl
            .ok("pkeyutl -sign -inkey wrapped.tpm -in digest -out sig -pkeyopt digest:sha256")
    });
    assert_eq!(
        (counts.of("Import"), counts.of("Sign")),
        (0, 1),
        "{counts:?}"
    );
    verified(&bench, "wrapped");
    bench.tpm.assert_clean();
}
