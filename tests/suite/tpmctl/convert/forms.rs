//! Key files of older and of other forms.

use testkit::bench::Bench;
use testkit::openssl::{Config, Openssl};
use testkit::process::Run;
use testkit::swtpm::Swtpm;
use testkit::tools::root;

use super::{fails, ok, parent_of, signs, theirs};

/// An element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short one");
    let length = match length {
        0..=0x7f => vec![length as u8],
        0x80..=0xff => vec![0x81, length as u8],
        _ => [&[0x82][..], &length.to_be_bytes()].concat(),
    };
    [&[tag][..], &length, content].concat()
}

/// The file that openssl_tpm2_engine once wrote, of a key below the primary that it made then.
pub(super) fn old(bench: &Bench) -> Vec<u8> {
    theirs(
        bench,
        "tpm2_createprimary -Q -G ecc -a sensitivedataorigin\\|userwithauth\\|noda\\|restricted\\|decrypt -c old.ctx
         tpm2_create -Q -C old.ctx -G ecc -a sensitivedataorigin\\|userwithauth\\|sign\\|decrypt -u old.pub -r old.priv",
    );
    let dir = bench.openssl.dir();
    let (public, private) = (dir.read("old.pub"), dir.read("old.priv"));
    let fields = [
        element(6, &[0x67, 0x81, 0x05, 0x0a, 0x02]),
        element(0xa0, &element(1, &[0xff])),
        element(0xa1, &element(2, &[0x40, 0, 0, 1])),
        element(0xa2, &element(4, &public)),
        element(4, &private),
    ];
    element(0x30, &fields.concat())
}

/// A key file with a description, as ssh-tpm-agent writes them, in DER.
fn with_description(bench: &Bench, key: &str, description: &str) -> Vec<u8> {
    let dir = bench.openssl.dir();
    bench
        .openssl
        .ok(&format!("pkey -in {key} -outform DER -out plain.der"));
    let der = dir.read("plain.der");
    // Behind the outer header: the type, and emptyAuth.
    let header = match der[1] {
        0x81 => 3,
        0x82 => 4,
        _ => 2,
    };
    let (head, tail) = der[header..].split_at(8 + 5);
    let text = element(0xa4, &element(0x0c, description.as_bytes()));
    element(0x30, &[head, &text, tail].concat())
}

#[test]
fn an_old_file_becomes_one_of_today() {
    let bench = Bench::new();
    let file = old(&bench);
    bench.openssl.dir().write("old.der", file);
    // It is read as it is, and stays what it is where nothing else is asked for.
    let text = ok(&bench, "key convert old.der");
    assert!(
        text.starts_with("-----BEGIN TSS2 KEY BLOB-----\n"),
        "{text}"
    );
    bench.openssl.dir().write("old.pem", text);
    signs(&bench, "old.pem", "");
    let (done, counts) = bench
        .tap
        .cost(|| ok(&bench, "key convert old.pem --persist-parent -o new.pem"));
    assert!(done.is_empty());
    assert_eq!(
        (counts.of("CreatePrimary"), counts.of("EvictControl")),
        (2, 1),
        "{counts:?}"
    );
    assert_eq!(parent_of(&bench, "new.pem"), "0x81000002");
    let text = bench.openssl.dir().read_text("new.pem");
    assert!(
        text.starts_with("-----BEGIN TSS2 PRIVATE KEY-----\n"),
        "{text}"
    );
    signs(&bench, "new.pem", "");
    bench.tpm.assert_clean();
}

#[test]
fn a_description_is_kept_or_left_out() {
    let bench = Bench::new();
    ok(&bench, "key new -o plain.tpm");
    let file = with_description(&bench, "plain.tpm", "me@host");
    bench.openssl.dir().write("id.tpm", file);
    signs(&bench, "id.tpm", "");
    ok(&bench, "key convert id.tpm -o same.tpm");
    let shown = ok(&bench, "key show same.tpm");
    assert!(shown.contains("me@host"), "{shown}");
    ok(&bench, "key convert id.tpm --no-description -o less.tpm");
    assert_eq!(
        bench.openssl.dir().read("less.tpm"),
        bench.openssl.dir().read("plain.tpm")
    );
    bench.tpm.assert_clean();
}

/// Keys that other tools made, with the TPM that they belong to: all become pairs, and pairs become key files again.
#[test]
fn samples_go_there_and_back() {
    let samples = root().join("tests/data/tpm2");
    let tpm = Swtpm::with_state(&samples);
    let openssl = Openssl::with(Config::new(), &tpm.address());
    let dir = openssl.dir();
    let run = |line: &str| -> Run { openssl.tpmctl(&tpm.address(), line) };
    dir.write("digest", [7; 32]);
    for name in ["j_ec", "j_rsa", "o_ec", "e_ec", "py_ec"] {
        let sample = std::fs::read(samples.join(format!("{name}.pem"))).expect("a sample");
        dir.write(&format!("{name}.pem"), sample);
        run(&format!("key convert {name}.pem --to pair -o {name}")).ok();
        run(&format!(
            "key convert {name}.pub {name}.priv -o {name}.back"
        ))
        .ok();
        openssl.ok(&format!(
            "pkeyutl -sign -inkey {name}.back -in digest -out sig -pkeyopt digest:sha256"
        ));
        openssl
            .plain()
            .run("pkeyutl -verify -pubin -in digest -sigfile sig -pkeyopt digest:sha256 -inkey")
            .arg(samples.join(format!("{name}.pub")))
            .ok();
    }
    // What is imported first, and a policy that two files have no room for.
    for name in ["j_imp_ec", "j_ec_pcr"] {
        let sample = std::fs::read(samples.join(format!("{name}.pem"))).expect("a sample");
        dir.write(&format!("{name}.pem"), sample);
    }
    run("key convert j_imp_ec.pem --to pair -o imp")
        .fails()
        .says("tpmctl key finish");
    assert!(!dir.join("imp.pub").exists());
    run("key convert j_ec_pcr.pem --to pair -o pcr")
        .ok()
        .says("The key's policy is in its key file");
    tpm.assert_clean();
}

/// tpm2_encodeobject names the owner hierarchy, whatever primary the key is below; docs/troubleshooting.md says what to do.
#[test]
fn a_parent_that_the_file_names_wrongly() {
    let bench = Bench::new();
    // With -p, it says that the key has no authorization value.
    theirs(
        &bench,
        "tpm2_createprimary -Q -c p.ctx
         tpm2_create -Q -C p.ctx -G ecc -u k.pub -r k.priv
         tpm2_encodeobject -C p.ctx -u k.pub -r k.priv -p -o www.key",
    );
    bench.tpm.flush();
    bench.openssl.dir().write("digest", [7; 32]);
    bench
        .openssl
        .fails("pkeyutl -sign -inkey www.key -in digest -out sig -pkeyopt digest:sha256")
        .says("this key was made on another TPM or under another parent");
    let page = std::fs::read_to_string(root().join("docs/troubleshooting.md")).expect("the page");
    let (_, section) = page
        .split_once("\n## key does not belong to this TPM\n")
        .expect("the section");
    let section = section.split("\n#").next().expect("its text");
    let command = section
        .lines()
        .find_map(|line| line.strip_prefix("    tpmctl "))
        .expect("a command");
    ok(&bench, command);
    signs(&bench, "new.key", "");
    bench.tpm.assert_clean();
}

/// The flag that an old tpm2_encodeobject wrote inverted.
#[test]
fn a_flag_is_mended() {
    let bench = Bench::new();
    ok(&bench, "key new -o key.pem");
    for (pin, asked) in [("yes", true), ("no", false)] {
        ok(
            &bench,
            &format!("key convert key.pem --pin {pin} -f -o mended.pem"),
        );
        let shown = super::super::json(&bench, "key show mended.pem");
        assert_eq!(shown["authorization"], asked, "{shown}");
    }
    fails(
        &bench,
        "key convert key.pem --pin yes --auth 4711 -o x.pem",
        &["--auth"],
    );
    bench.tpm.assert_clean();
}
