//! Implicit rejection: whoever sends a ciphertext learns nothing from what comes back, whichever process answers.

use crypto::padding::pkcs1_decrypt_implicit;
use crypto::{Hash, hmac};
use keys::PublicKey;
use keys::operation::rejection_block;
use keys::tss2::KeyFile;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use testkit::bench::Bench;
use testkit::client::Client;
use testkit::key;
use testkit::openssl::{Config, Openssl, program};
use testkit::process::Run;
use testkit::proxy::{Action, Fault, Proxy};
use testkit::swtpm::{SRK, Swtpm};
use testkit::swtpm12::{Swtpm12, data};
use testkit::tools::need;
use testkit::tpm::cc;
use tss::tpm2::Public;

use crate::tpm::costs;

/// Ciphertexts for `key.pub`: `good`, which holds a text, and `bad`, whose padding is wrong.
fn ciphertexts(openssl: &Openssl) {
    let size = modulus_size(openssl);
    openssl.dir().write("text", "attack at dawn");
    // Block type 1 in place of 2: no other padding than PKCS#1's own is looked at.
    let mut block = vec![0xff; size];
    block[..2].copy_from_slice(&[0, 1]);
    block[size - 9] = 0;
    openssl.dir().write("block", block);
    let plain = openssl.plain();
    plain.ok("pkeyutl -encrypt -pubin -inkey key.pub -in text -out good");
    plain.ok(
        "pkeyutl -encrypt -pubin -inkey key.pub -in block -out bad -pkeyopt rsa_padding_mode:none",
    );
}

fn modulus_size(openssl: &Openssl) -> usize {
    let text = openssl
        .plain()
        .ok("pkey -pubin -in key.pub -noout -text")
        .out();
    let bits: usize = text
        .split_once("Public-Key: (")
        .and_then(|(_, rest)| rest.split_once(" bit"))
        .and_then(|(bits, _)| bits.parse().ok())
        .expect("the key's size");
    bits.div_ceil(8)
}

const TEXT: &str = "61747461636b206174206461776e";

/// What a new process makes of the ciphertext in `file`.
#[track_caller]
fn opened(openssl: &Openssl, file: &str) -> String {
    let mut client = Client::start(openssl);
    client.ok("load 1 key.pem");
    let message = client.ok(&format!("open 1 {file}"));
    client.end();
    message
}

/// Three processes, each by itself, make one message of a ciphertext that is badly padded, as they make one of a
/// good one: asking them in turn tells nobody which it is.
#[track_caller]
fn one_message(openssl: &Openssl) -> String {
    ciphertexts(openssl);
    let messages: BTreeSet<String> = (0..3).map(|_| opened(openssl, "bad")).collect();
    assert_eq!(messages.len(), 1, "three processes say {messages:?}");
    assert_eq!(opened(openssl, "good"), TEXT);
    messages.into_iter().next().expect("one")
}

#[test]
fn every_process_makes_up_the_same_message() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    key::rsa(&openssl, "key", 2048, "");
    let message = one_message(&openssl);
    // Workers that inherit the loaded key from a master which has decrypted nothing, or something.
    let mut master = Client::start(&openssl);
    master.ok("load 1 key.pem");
    for round in 0..2 {
        for _ in 0..3 {
            master.tell("child open 1 bad;open 1 good");
            assert_eq!(master.answer(), format!("[child] ok {message}"));
            assert_eq!(master.answer(), format!("[child] ok {TEXT}"));
            assert_eq!(master.answer(), "ok child=0");
        }
        if round == 0 {
            assert_eq!(master.ok("open 1 good"), TEXT);
        }
    }
    master.end();
    // Another key makes up another one of the same ciphertext, which must be a number below its modulus: now and
    // then a key has a smaller one.
    let other = (0..50)
        .map(|_| {
            key::rsa(&openssl, "key", 2048, "");
            let mut client = Client::start(&openssl);
            client.ok("load 1 key.pem");
            let other = client.ask("open 1 bad");
            client.end();
            other
        })
        .find(|other| !other.contains("not smaller than the key's modulus"))
        .expect("a key with a larger modulus");
    // As a whole: a made-up message may be short, and then stands in many others.
    assert!(
        other.starts_with("ok ") && other != format!("ok {message}"),
        "{other}"
    );
    tpm.assert_clean();
}

/// A key with a PIN and one below a hierarchy, on a TPM that has restarted in between.
#[test]
fn a_restart_of_the_tpm_changes_nothing() {
    let mut tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    key::rsa(&openssl, "key", 2048, "");
    let before = one_message(&openssl);
    tpm.restart();
    assert_eq!(opened(&openssl, "bad"), before);
    tpm.assert_clean();
}

/// What the first decryption costs is the same whatever the ciphertext is, and every further one costs as much as ever.
#[test]
fn the_cost_tells_nothing() {
    let Bench { openssl, tap, tpm } = Bench::new();
    key::rsa(&openssl, "key", 2048, "-pkeyopt parent:0x81000001");
    ciphertexts(&openssl);
    for (first, second) in [("bad", "good"), ("good", "bad")] {
        let mut client = Client::start(&openssl);
        client.ok("load 1 key.pem");
        let (_, counts) = tap.cost(|| client.ok(&format!("open 1 {first}")));
        counts.are(costs::FIRST_REJECTION.commands);
        for file in [second, first, second] {
            let (_, counts) = tap.cost(|| client.ok(&format!("open 1 {file}")));
            counts.are(costs::FURTHER_DECRYPTION.commands);
        }
        client.end();
    }
    tpm.assert_clean();
}

/// The block that the key decrypts for itself, sent by somebody: the outcome stays inside, as wrong padding in every
/// mode that tells it from right. Only who is given the raw operation has it, and could decrypt without it.
#[test]
fn the_key_s_own_block_as_a_ciphertext() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    key::rsa(&openssl, "key", 2048, "");
    let message = one_message(&openssl);
    let file = KeyFile::from_pem(&openssl.dir().read("key.pem")).expect("a key file");
    let public = Public::from_tpm2b(&file.public).expect("a public area");
    let public = PublicKey::of(&public).expect("an RSA key");
    let rsa = public.rsa().expect("an RSA key");
    let block = rejection_block(rsa, 0);
    openssl.dir().write("own", &block);
    openssl
        .ok("pkeyutl -decrypt -inkey key.pem -in own -out outcome -pkeyopt rsa_padding_mode:none");
    let outcome = openssl.dir().read("outcome");
    // One key in 65536 takes the next block.
    assert!(
        !outcome.starts_with(&[0, 2]),
        "an unlucky key: run it again"
    );
    // The whole derivation, done by hand.
    let label = b"tpm-provider: implicit rejection, 1";
    let secret = hmac(Hash::Sha256, &outcome, &[label, rsa.modulus()]);
    let made_up = |ciphertext: &[u8]| {
        let message = pkcs1_decrypt_implicit(&[0; 256], &secret, ciphertext).expect("a message");
        message
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    assert_eq!(made_up(&openssl.dir().read("bad")), message);
    assert_eq!(opened(&openssl, "own"), made_up(&block));
    openssl
        .fails("pkeyutl -decrypt -inkey key.pem -in own -out x -pkeyopt rsa_padding_mode:oaep")
        .says("padding");
    tpm.assert_clean();
}

/// Whoever answers in the TPM's place cannot choose the secret: the outcome is checked with the public half, and a
/// wrong one asked for once more, like a signature.
#[test]
fn a_wrong_outcome_is_refused() {
    let Bench { openssl, tap, tpm } = Bench::with(Config::new().setting("sessions", "never"));
    key::rsa(&openssl, "key", 2048, "-pkeyopt parent:0x81000001");
    let message = one_message(&openssl);
    let flip = || Fault::on(cc::RSA_DECRYPT, Action::FlipBit(8 * 100));
    let mut client = Client::start(&openssl);
    client.ok("load 1 key.pem");
    tap.inject(flip().times(2));
    client.fails("open 1 good", &["does not agree", "twice"]);
    tap.inject(flip());
    assert_eq!(client.ok("open 1 bad"), message);
    assert_eq!(client.ok("open 1 good"), TEXT);
    client.end();
    tpm.assert_clean();
}

/// A made-up message has any length: a buffer that is too short for some is too short for all, before the TPM is asked.
#[test]
fn a_short_buffer_tells_nothing() {
    let Bench { openssl, tap, tpm } = Bench::new();
    key::rsa(&openssl, "key", 2048, "");
    ciphertexts(&openssl);
    let mut client = Client::start(&openssl);
    client.ok("load 1 key.pem");
    for size in [0, 14, 48, 245, 255] {
        let (answers, counts) = tap.cost(|| {
            ["good", "bad"].map(|file| client.fails(&format!("open 1 {file} {size}"), &["256"]))
        });
        assert_eq!(answers[0], answers[1]);
        assert_eq!(counts.total(), 0, "{counts:?}");
    }
    assert_eq!(client.ok("open 1 good 256"), TEXT);
    client.end();
    tpm.assert_clean();
}

/// The first of the two commands takes the try that a wrong value costs, and there is no second.
#[test]
fn a_wrong_pin_costs_one_try() {
    let Bench { openssl, tap, tpm } = Bench::new();
    openssl
        .ok("genpkey -propquery provider=tpm -algorithm RSA -pkeyopt user-auth:pin -out key.pem");
    openssl.ok("pkey -in key.pem -passin pass:pin -pubout -out key.pub");
    ciphertexts(&openssl);
    let mut client = Client::start(&openssl);
    client.ok("pin wrong");
    client.ok("load 1 key.pem");
    let (_, counts) = tap.cost(|| {
        client.fails("open 1 good", &["authorization value is wrong"]);
        client.fails("open 1 bad", &["not tried again"]);
    });
    assert_eq!(counts.of("RSA_Decrypt"), 1, "{counts:?}");
    client.ok("pin pin");
    client.ok("load 1 key.pem");
    assert_eq!(client.ok("open 1 good"), TEXT);
    client.end();
    tpm.assert_clean();
}

/// A premaster secret with wrong padding is drawn anew for each handshake, as RFC 5246 has it: it never leaves the
/// server, and what is derived from it is different in every handshake anyway. It costs nothing more.
#[test]
fn a_premaster_secret_is_random_each_time() {
    let Bench { openssl, tap, tpm } = Bench::new();
    key::rsa(&openssl, "key", 2048, "-pkeyopt parent:0x81000001");
    ciphertexts(&openssl);
    let mut client = Client::start(&openssl);
    client.ok("load 1 key.pem");
    client.ok("open 1 bad tls");
    // `good` holds a text, which is no premaster secret either.
    let mut seen = BTreeSet::new();
    for file in ["bad", "bad", "good", "good"] {
        let (secret, counts) = tap.cost(|| client.ok(&format!("open 1 {file} tls")));
        assert_eq!(secret.len(), 96, "{secret}");
        assert!(seen.insert(secret));
        counts.are(costs::FURTHER_DECRYPTION.commands);
    }
    client.end();
    tpm.assert_clean();
}

/// A key that the TPM unpads for cannot do the raw operation. Its file's wrapped part, which no client sees, takes its
/// place; at a handle there is no file, and nothing is made up.
#[test]
fn a_key_bound_to_rsaes() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    let dir = openssl.dir().path();
    let run = |line: &str| tpm.tool(line).dir(dir).ok();
    run(
        "tpm2_create -Q -C 0x81000001 -G rsa2048:rsaes:null -u key.tpm -r key.priv \
         -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|decrypt",
    );
    tpm.flush();
    let file = KeyFile::loadable(
        SRK,
        openssl.dir().read("key.tpm"),
        openssl.dir().read("key.priv"),
    );
    openssl.dir().write("key.pem", file.to_pem());
    openssl.ok("pkey -in key.pem -pubout -out key.pub");
    one_message(&openssl);
    run("tpm2_load -Q -C 0x81000001 -u key.tpm -r key.priv -c key.ctx");
    run("tpm2_evictcontrol -Q -C o -c key.ctx 0x81000002");
    tpm.flush();
    let mut client = Client::start(&openssl);
    client.ok("store 1 handle:0x81000002");
    for file in ["good", "bad"] {
        client.fails(
            &format!("open 1 {file}"),
            &["RSAES", "handle", "implicit-rejection"],
        );
    }
    assert_eq!(client.ok("open 1 good tls").len(), 96);
    client.end();
    openssl.ok("pkeyutl -decrypt -inkey key.pem -in good -out back");
    tpm.assert_clean();
}

/// A TPM 1.2 takes the padding off itself; a key that signs, too, makes the secret by a signature.
#[test]
fn keys_of_a_tpm_1_2() {
    let tpm = Swtpm12::owned();
    let tap = Proxy::start12(&tpm);
    let openssl = Openssl::without_tpm(Config::new()).env("TPM12_TCTI", &tap.address());
    let content = fs::read(data("tss.pem")).expect("a key file of tests/data/tpm12");
    openssl.dir().write("key.pem", content);
    openssl.ok("pkey -in key.pem -pubout -out key.pub");
    let message = one_message(&openssl);
    for first in ["bad", "good"] {
        let mut client = Client::start(&openssl);
        client.ok("load 1 key.pem");
        let (_, counts) = tap.cost(|| client.ok(&format!("open 1 {first}")));
        assert_eq!(
            (counts.of("Sign"), counts.of("UnBind")),
            (1, 1),
            "{counts:?}"
        );
        let (said, counts) = tap.cost(|| client.ok("open 1 bad"));
        assert_eq!(said, message);
        assert_eq!(
            (counts.of("Sign"), counts.of("UnBind")),
            (0, 1),
            "{counts:?}"
        );
        client.end();
    }
    tpm.assert_clean();
}

/// Vendors have brought implicit rejection to their 3.0: it is there where the host's own RSA decryption says so.
/// Here a copy of the system's libcrypto says it, by a parameter that is not needed and has as many letters.
#[test]
fn a_vendor_s_build_with_implicit_rejection() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    key::rsa(&openssl, "key", 2048, "");
    ciphertexts(&openssl);
    const DECRYPT: &str = "pkeyutl -decrypt -inkey key.pem -in bad -out made-up";
    let message = |run: Run| {
        run.ok();
        openssl.dir().read("made-up")
    };
    let messages: BTreeSet<Vec<u8>> = if openssl.version() < (3, 2) {
        // The system's own has none, and its CMS code relies on errors.
        openssl.fails(DECRYPT).says("padding check failed");
        let libraries = vendor_s_libraries(&openssl);
        (0..3)
            .map(|_| message(openssl.run(DECRYPT).env("LD_LIBRARY_PATH", &libraries)))
            .collect()
    } else {
        (0..3).map(|_| message(openssl.run(DECRYPT))).collect()
    };
    assert_eq!(messages.len(), 1, "three processes say {messages:?}");
    tpm.assert_clean();
}

/// A directory with the altered libcrypto.
fn vendor_s_libraries(openssl: &Openssl) -> PathBuf {
    const ONE: &[u8] = b"tls-client-version\0";
    const OTHER: &[u8] = b"implicit-rejection\0";
    let list = Run::new(need("ldd", "libc-bin")).arg(program()).ok().out();
    let path = list
        .lines()
        .find_map(|line| line.trim().strip_prefix("libcrypto.so.3 => "))
        .and_then(|rest| rest.split(' ').next())
        .expect("openssl is linked with libcrypto.so.3");
    let mut library = fs::read(path).expect("libcrypto can be read");
    let places: Vec<usize> = library
        .windows(ONE.len())
        .enumerate()
        .filter(|(_, window)| *window == ONE)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "{path} has no such parameter");
    for at in places {
        library[at..at + OTHER.len()].copy_from_slice(OTHER);
    }
    let directory = openssl.dir().join("vendor");
    fs::create_dir(&directory).expect("a new directory");
    fs::write(directory.join("libcrypto.so.3"), library).expect("written");
    directory
}
