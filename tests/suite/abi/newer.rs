//! What OpenSSL has learnt since 3.0: in older versions it is not there, and nothing of ours is in the way.

use std::collections::BTreeSet;
use testkit::cc;
use testkit::openssl::{Config, Openssl};
use testkit::orders::each_order_with;
use testkit::swtpm::Swtpm;

/// A TPM address at which nothing is.
const NOWHERE: &str = "swtpm:path=/nowhere";

/// What `default` has and we have not: digests that no TPM and nothing of ours knows.
const NOT_OURS: [&str; 5] = [
    "ECDSA-SHA3-224",
    "RSA-RIPEMD160",
    "RSA-SHA2-512/224",
    "RSA-SHA3-224",
    "RSA-SM3",
];

/// The algorithms with RSA or ECDSA and a digest in their names that a provider has, each as the set of its names.
fn composites(list: &str, provider: &str) -> BTreeSet<BTreeSet<String>> {
    list.lines()
        .filter_map(|line| line.trim().strip_suffix(&format!(" @ {provider}")))
        .map(|names| {
            let names = names.trim_matches(['{', '}', ' ']).split(", ");
            names.map(str::to_owned).collect::<BTreeSet<_>>()
        })
        .filter(|names| {
            let composite = |name: &String| name.starts_with("RSA-") || name.starts_with("ECDSA-");
            names.iter().any(composite) && !names.contains("RSA-PSS")
        })
        .collect()
}

/// Of the algorithms that include their digest we have OpenSSL's, under all of their names.
#[test]
fn algorithms_with_a_digest_are_those_of_openssl() {
    let openssl = Openssl::new(NOWHERE);
    let list = openssl.ok("list -signature-algorithms").out();
    let (mut theirs, ours) = (composites(&list, "default"), composites(&list, "tpm"));
    assert_eq!(ours.len(), 17, "{list}");
    if openssl.version() < (3, 4) {
        assert!(theirs.is_empty(), "{list}");
        return;
    }
    for name in NOT_OURS {
        let before = theirs.len();
        theirs.retain(|names| !names.contains(name));
        assert_eq!(theirs.len(), before - 1, "{name} is not in {list}");
    }
    assert_eq!(ours, theirs);
}

/// What will be made can be asked for since 3.4, except for secrets; before, OpenSSL does not see that.
#[test]
fn parameters_of_a_generation() {
    let openssl = Openssl::new(NOWHERE);
    let program = cc::compile_with_program(openssl.dir(), "generation");
    let answers = openssl.client(program).ok().out();
    if openssl.version() < (3, 4) {
        assert_eq!(answers, "RSA: none\nRSA-PSS: none\nEC: none\n");
        return;
    }
    let common = "encoding=named_curve point-format=uncompressed";
    assert_eq!(
        answers,
        format!(
            "RSA: bits=2048 primes=2 e=65537 digest=\n\
             RSA: bits=3072 primes=2 e=17 digest=SHA2-384\n\
             RSA-PSS: bits=2048 primes=2 e=65537 digest=SHA2-256\n\
             RSA-PSS: bits=3072 primes=2 e=17 digest=SHA2-384\n\
             EC: group=prime256v1 {common} digest=\n\
             EC: group=secp384r1 {common} digest=SHA2-384\n"
        )
    );
}

/// `-provparam` sets what the section could say, after init and before the first key; it is an option since 3.5.
#[test]
fn settings_on_the_command_line() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let address = tpm.address();
    let nowhere = Openssl::without_tpm(Config::new().setting("tcti", NOWHERE));
    let given = format!("-provparam tpm:tcti={address}");
    let generate = "-propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -out key.pem";
    let done = nowhere.run(&format!("genpkey {given} {generate}"));
    if nowhere.version() < (3, 5) {
        // The option is what is wrong with that line: without it the section's address is tried.
        assert_eq!(done.fails().err(), "genpkey: Use -help for summary.\n");
        nowhere
            .fails(&format!("genpkey {generate}"))
            .says("/nowhere");
        return;
    }
    done.ok();
    let key = nowhere.dir().read("key.pem");
    nowhere.dir().write("input", [7; 32]);
    let sign = "-sign -inkey key.pem -in input -out sig";
    nowhere.ok(&format!("pkeyutl {given} {sign}"));
    nowhere.ok("pkey -in key.pem -pubout -out key.pub");
    nowhere
        .plain()
        .ok("pkeyutl -verify -pubin -inkey key.pub -in input -sigfile sig");
    // The section's address is what counts without it, and with a parameter of another provider.
    for options in ["", "-provparam default:tcti=nonsense"] {
        nowhere
            .fails(&format!("pkeyutl {options} {sign}"))
            .says("/nowhere");
    }
    nowhere
        .fails(&format!("pkeyutl -provparam tpm:sessions=perhaps {sign}"))
        .says("sessions = \"perhaps\"");
    nowhere
        .fails(&format!("pkeyutl -provparam tpm:tpm_tcti=x {sign}"))
        .says("\"tpm_tcti\", which is not a setting");
    // The last one counts; the environment counts more than either.
    nowhere.ok(&format!(
        "pkeyutl -provparam tpm:tcti=nonsense {given} {sign}"
    ));
    nowhere
        .run(&format!("pkeyutl {given} {sign}"))
        .env("TPM_TCTI", "swtpm:path=/elsewhere")
        .fails()
        .says("/elsewhere");

    // Without an openssl.cnf that knows us: everything on the command line, with the provider before its parameter.
    let bare = Openssl::without_tpm(Config::new());
    bare.dir().write("openssl.cnf", "");
    bare.dir().write("key.pem", key);
    bare.dir().write("input", [7; 32]);
    bare.ok(&format!(
        "pkeyutl -provider default -provider tpm {given} {sign}"
    ));
    bare.fails(&format!(
        "pkeyutl -provider default {given} -provider tpm {sign}"
    ))
    .says("No provider named 'tpm' is loaded");
    tpm.assert_clean();
}

/// A whole key pair as the peer: OpenSSL hands it over with its private half, of which nothing is taken.
#[test]
fn a_key_pair_as_the_peer() {
    each_order_with(&Config::new(), |openssl| {
        testkit::key::generate(openssl, "key", "EC -pkeyopt group:P-256");
        let plain = openssl.plain();
        plain.ok("genpkey -algorithm EC -pkeyopt group:P-256 -out pair.pem");
        plain.ok("pkey -in pair.pem -pubout -out pair.pub");
        plain.ok("pkeyutl -derive -inkey pair.pem -peerkey key.pub -out wanted");
        let line = "pkeyutl -derive -inkey key.pem -peerkey pair.pem -out secret";
        if openssl.version() < (3, 5) {
            // The command of these versions reads a peer from a file of a public key only.
            let refusal = openssl.fails(line).err();
            assert!(refusal.contains("Could not read peer key"), "{refusal}");
            openssl.ok("pkeyutl -derive -inkey key.pem -peerkey pair.pub -out secret");
        } else {
            openssl.ok(line);
        }
        assert_eq!(openssl.dir().read("secret"), openssl.dir().read("wanted"));
        plain.ok("genpkey -algorithm EC -pkeyopt group:P-384 -out pair.pem");
        openssl.fails(line);
    });
}
