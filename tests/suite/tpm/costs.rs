//! The table of design decisions as assertions: what each operation costs in TPM commands.

use testkit::bench::Bench;
use testkit::key::{self, SIGN};

fn bench(persistent: bool, options: &str) -> Bench {
    let bench = if persistent {
        Bench::new()
    } else {
        Bench::without_srk()
    };
    key::rsa(&bench.openssl, "key", 2048, options);
    key::digest(&bench.openssl, "sha256");
    bench
}

#[test]
fn what_needs_no_private_key_costs_nothing() {
    let Bench { openssl, tap, tpm } = bench(true, "");
    key::certificate(&openssl, "key");
    let (_, counts) = tap.cost(|| {
        openssl.ok("pkey -in key.pem -pubout");
        openssl.ok("pkey -in key.pem -text -noout");
        openssl.ok("storeutl key.pem");
        openssl.ok("list -providers");
        openssl.ok("x509 -in key.crt -noout -text");
    });
    counts.are(&[]);
    tpm.assert_clean();
}

/// Every exit leaves a bare TPM as it was, so what was loaded is flushed: two commands for each object, since another
/// program may have taken its handle over.
#[test]
fn a_signature_under_a_persistent_parent() {
    let Bench { openssl, tap, tpm } = bench(true, "-pkeyopt parent:0x81000001");
    let (_, counts) = tap.cost(|| openssl.ok(SIGN));
    counts.are(&[
        ("ReadPublic", 2),
        ("StartAuthSession", 1),
        ("Load", 1),
        ("Sign", 1),
        ("FlushContext", 1),
    ]);
    tpm.assert_clean();
}

#[test]
fn a_signature_under_a_hierarchy() {
    let Bench { openssl, tap, tpm } = bench(false, "");
    let (_, counts) = tap.cost(|| openssl.ok(SIGN));
    assert_eq!(
        (
            counts.of("CreatePrimary"),
            counts.of("StartAuthSession"),
            counts.of("Load"),
            counts.of("Sign")
        ),
        (1, 1, 1, 1)
    );
    assert_eq!(
        counts.of("FlushContext"),
        2,
        "the primary, then the key: {counts:?}"
    );
    tpm.assert_clean();
}

#[test]
fn the_srk_takes_the_primary_s_place() {
    let Bench { openssl, tap, tpm } = bench(false, "");
    tpm.provision_srk();
    let (_, counts) = tap.cost(|| openssl.ok(SIGN));
    counts.are(&[
        ("ReadPublic", 2),
        ("StartAuthSession", 1),
        ("Load", 1),
        ("Sign", 1),
        ("FlushContext", 1),
    ]);
    tpm.assert_clean();
}

#[test]
fn a_key_is_made_with_four_commands() {
    let Bench { openssl, tap, tpm } = bench(false, "");
    let (_, counts) = tap.cost(|| {
        openssl.ok("genpkey -propquery provider=tpm -algorithm RSA -pkeyopt bits:2048 -out k2.pem");
    });
    counts.are(&[
        ("CreatePrimary", 1),
        ("StartAuthSession", 1),
        ("Create", 1),
        ("FlushContext", 1),
    ]);
    tpm.assert_clean();
}

#[test]
fn a_hundred_calls_leave_nothing() {
    let Bench {
        openssl,
        tpm,
        tap: _tap,
    } = bench(true, "");
    for _ in 0..100 {
        openssl.ok(SIGN);
    }
    tpm.assert_clean();
}
