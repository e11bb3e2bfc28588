//! Pairs of tpm2-tools: whatever parent they were made below, it is found.

use testkit::bench::Bench;

use super::{fails, ok, parent_of, signs, theirs};

const STANDARD: &str =
    "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";

#[test]
fn below_the_storage_root_key() {
    let bench = Bench::new();
    for (name, kind) in [("ec", "ecc"), ("rsa", "rsa"), ("p384", "ecc384")] {
        theirs(
            &bench,
            &format!("tpm2_create -Q -C 0x81000001 -G {kind} -u {name}.pub -r {name}.priv"),
        );
        // In either order.
        for line in [
            format!("key convert {name}.pub {name}.priv -o {name}.key"),
            format!("key convert {name}.priv {name}.pub -f -o {name}.key"),
        ] {
            let ((), counts) = bench.tap.cost(|| drop(ok(&bench, &line)));
            counts.are(&[
                ("GetCapability", 1),
                ("ReadPublic", 3),
                ("StartAuthSession", 1),
                ("Load", 1),
                ("Sign", 1),
                ("FlushContext", 1),
            ]);
        }
        signs(&bench, &format!("{name}.key"), "");
        assert_eq!(parent_of(&bench, &format!("{name}.key")), "0x81000001");
    }
    bench.tpm.assert_clean();
}

/// Templates that key files have words for, in each hierarchy; and those that they have none for.
#[test]
fn below_primaries() {
    let bench = Bench::without_srk();
    for (hierarchy, options, parent) in [
        ("o", format!("-G ecc -a {STANDARD}"), Some("0x40000001")),
        ("o", format!("-G rsa -a {STANDARD}"), Some("0x40000001")),
        ("e", format!("-G ecc -a {STANDARD}"), Some("0x4000000b")),
        ("n", format!("-G ecc -a {STANDARD}"), Some("0x40000007")),
        ("p", format!("-G ecc -a {STANDARD}"), Some("0x4000000c")),
        ("o", String::new(), None),
        ("o", "-G ecc".to_owned(), None),
        ("e", String::new(), None),
    ] {
        theirs(
            &bench,
            &format!(
                "tpm2_createprimary -Q -C {hierarchy} {options} -c p.ctx
                 tpm2_create -Q -C p.ctx -G ecc -u k.pub -r k.priv"
            )
            .replace('|', "\\|"),
        );
        let convert = "key convert k.pub k.priv -f -o k.key";
        match parent {
            Some(parent) => {
                ok(&bench, convert);
                assert_eq!(parent_of(&bench, "k.key"), parent, "{options}");
            }
            None => {
                let before = bench.openssl.dir().read("k.key");
                fails(&bench, convert, &["--persist-parent", "tpm2_createprimary"]);
                assert_eq!(bench.openssl.dir().read("k.key"), before);
                bench
                    .tpmctl(&format!("{convert} --persist-parent"))
                    .ok()
                    .says("is persistent at 0x8100000");
                let parent = parent_of(&bench, "k.key");
                assert!(parent.starts_with("0x8100000"), "{parent}");
                // It is found the next time.
                ok(&bench, convert);
                assert_eq!(parent_of(&bench, "k.key"), parent);
            }
        }
        signs(&bench, "k.key", "");
        bench.tpm.flush();
    }
    // A key file of another reader's form has the same key.
    ok(&bench, "key convert k.pub k.priv --to pkcs8 -o k.p8");
    signs(&bench, "k.p8", "");
    bench.tpm.assert_clean();
}

/// At a handle that is named, with an owner's value, and where nothing may be made persistent.
#[test]
fn the_parent_is_made_persistent_where_it_shall_be() {
    let bench = Bench::new();
    theirs(
        &bench,
        "tpm2_createprimary -Q -c p.ctx
         tpm2_create -Q -C p.ctx -G ecc -u k.pub -r k.priv
         tpm2_createprimary -Q -C n -c n.ctx
         tpm2_create -Q -C n.ctx -G ecc -u n.pub -r n.priv
         tpm2_changeauth -Q -c o owner-secret",
    );
    fails(
        &bench,
        "key convert n.pub n.priv --parent null --persist-parent -o n.key",
        &["null hierarchy", "restart"],
    );
    fails(
        &bench,
        "key convert k.pub k.priv --persist-parent=0x81000001 --parent-auth owner-secret -o k.key",
        &["there is a key at 0x81000001 already"],
    );
    // Without the owner's value no primary is made.
    fails(
        &bench,
        "key convert k.pub k.priv --persist-parent -o k.key",
        &["no parent was found", "authorization value"],
    );
    bench.tap.reset();
    ok(
        &bench,
        "key convert k.pub k.priv --persist-parent=0x81000123 --parent-auth owner-secret -o k.key",
    );
    assert!(!bench.tap.saw(b"owner-secret"));
    assert_eq!(parent_of(&bench, "k.key"), "0x81000123");
    signs(&bench, "k.key", "");
    bench.tpm.assert_clean();
}

/// The file says rightly whether the key has an authorization value.
#[test]
fn a_value_is_noticed() {
    let bench = Bench::new();
    theirs(
        &bench,
        "tpm2_create -Q -C 0x81000001 -G ecc -p 4711 -u pin.pub -r pin.priv
         tpm2_create -Q -C 0x81000001 -G ecc -u open.pub -r open.priv",
    );
    bench
        .tpmctl("key convert pin.pub pin.priv -o pin.key")
        .ok()
        .says("has an authorization value");
    signs(&bench, "pin.key", "-passin pass:4711");
    bench.tap.reset();
    ok(
        &bench,
        "key convert pin.pub pin.priv --auth 4711 -f -o pin.key",
    );
    assert!(!bench.tap.saw(b"4711"));
    signs(&bench, "pin.key", "-passin pass:4711");
    let before = bench.openssl.dir().read("pin.key");
    fails(
        &bench,
        "key convert pin.pub pin.priv --auth 4712 -f -o pin.key",
        &["authorization value is wrong"],
    );
    assert_eq!(bench.openssl.dir().read("pin.key"), before);
    // What is said counts, and costs no try.
    let (done, counts) = bench.tap.cost(|| {
        ok(
            &bench,
            "key convert pin.pub pin.priv --pin yes -f -o pin.key",
        )
    });
    assert!(done.is_empty());
    assert_eq!((counts.of("Load"), counts.of("Sign")), (1, 0), "{counts:?}");
    assert_eq!(bench.openssl.dir().read("pin.key"), before);
    // Without a TPM.
    let line = "key convert open.pub open.priv --parent 0x81000001 --no-check -o blind.key";
    let ((), counts) = bench.tap.cost(|| drop(ok(&bench, line)));
    assert_eq!(counts.total(), 0, "{counts:?}");
    signs(&bench, "blind.key", "");
    fails(
        &bench,
        "key convert open.pub open.priv --no-check -o b.key",
        &["--parent"],
    );
    bench.tpm.assert_clean();
}

/// tpm2_readpublic writes the public half without its size, SPIRE's files have neither size.
#[test]
fn sizes_may_be_left_out() {
    let bench = Bench::new();
    theirs(
        &bench,
        "tpm2_create -Q -C 0x81000001 -G ecc -u k.pub -r k.priv
         tpm2_load -Q -C 0x81000001 -u k.pub -r k.priv -c k.ctx
         tpm2_readpublic -Q -c k.ctx -f tpmt -o k.tpmt",
    );
    let private = bench.openssl.dir().read("k.priv");
    bench.openssl.dir().write("k.raw", &private[2..]);
    ok(&bench, "key convert k.tpmt k.raw -o k.key");
    signs(&bench, "k.key", "");
    ok(&bench, "key convert k.key --to pair -o again");
    ok(&bench, "key convert k.tpmt k.raw --to pair -o other.pub");
    for name in ["again", "other"] {
        for (end, theirs) in [("pub", "k.pub"), ("priv", "k.priv")] {
            assert_eq!(
                bench.openssl.dir().read(&format!("{name}.{end}")),
                bench.openssl.dir().read(theirs)
            );
        }
    }
    bench.tpm.assert_clean();
}

/// A context is refused with the way on, and that way works until the TPM is reset.
#[test]
fn a_context_is_made_persistent_and_not_converted() {
    let mut bench = Bench::new();
    theirs(
        &bench,
        "tpm2_create -Q -C 0x81000001 -G ecc -u k.pub -r k.priv
         tpm2_load -Q -C 0x81000001 -u k.pub -r k.priv -c k.ctx",
    );
    fails(
        &bench,
        "key convert k.ctx -o k.key",
        &["key.pub", "key.priv", "tpmctl key persist k.ctx"],
    );
    fails(
        &bench,
        "key convert k.pub k.ctx -o k.key",
        &["a saved context", "TPM2B_PRIVATE"],
    );
    let ((), counts) = bench
        .tap
        .cost(|| drop(ok(&bench, "key persist k.ctx 0x81020000")));
    assert_eq!(
        (counts.of("ContextLoad"), counts.of("EvictControl")),
        (1, 1),
        "{counts:?}"
    );
    signs(&bench, "handle:0x81020000", "");
    let damaged = {
        let mut context = bench.openssl.dir().read("k.ctx");
        context[60] ^= 1;
        context
    };
    bench.openssl.dir().write("bad.ctx", damaged);
    fails(
        &bench,
        "key persist bad.ctx",
        &["bad.ctx", "until that is reset"],
    );
    bench.tpm.restart();
    fails(
        &bench,
        "key persist k.ctx",
        &["k.ctx", "until that is reset"],
    );
    bench.tpm.assert_clean();
}

/// Data that tpm2-tools sealed are unsealed here.
#[test]
fn sealed_data_in_two_files() {
    let bench = Bench::new();
    bench.openssl.dir().write("secret", "the secret");
    theirs(
        &bench,
        "tpm2_create -Q -C 0x81000001 -i secret -u s.pub -r s.priv",
    );
    ok(&bench, "key convert s.pub s.priv -o s.sealed");
    assert_eq!(ok(&bench, "unseal -i s.sealed"), "the secret");
    bench.tpm.assert_clean();
}

/// The other tool uses ours.
#[test]
fn tpm2_tools_use_our_keys() {
    let bench = Bench::new();
    bench.openssl.dir().write("data", "some text");
    ok(&bench, "key new -o ours.key");
    ok(&bench, "key convert ours.key --to pair -o ours");
    bench.openssl.ok("pkey -in ours.key -pubout -out ours.pem");
    ok(&bench, "key persist ours.key 0x81020000");
    ok(
        &bench,
        "key convert handle:0x81020000 --to object -o ours.obj",
    );
    theirs(
        &bench,
        "tpm2_load -Q -C 0x81000001 -u ours.pub -r ours.priv -c ours.ctx
         tpm2_sign -c ours.ctx -g sha256 -f plain -o one.sig data
         tpm2_sign -c ours.obj -g sha256 -f plain -o two.sig data
         tpm2_evictcontrol -Q -c 0x81020000 0x81020000",
    );
    for signature in ["one.sig", "two.sig"] {
        bench.openssl.plain().ok(&format!(
            "dgst -sha256 -verify ours.pem -signature {signature} data"
        ));
    }
    // What tpm2_evictcontrol writes is what we write.
    theirs(
        &bench,
        "tpm2_evictcontrol -Q -c ours.ctx -o theirs.obj 0x81020000",
    );
    assert_eq!(
        bench.openssl.dir().read("ours.obj"),
        bench.openssl.dir().read("theirs.obj")
    );
    let uri = ok(&bench, "key convert theirs.obj");
    assert!(uri.starts_with("handle:0x81020000?name=000b"), "{uri}");
    signs(&bench, uri.trim(), "");
    assert_eq!(ok(&bench, "key convert object:theirs.obj --to uri"), uri);
    bench.tpm.assert_clean();
}
