//! Keys of other tools in ours, and ours in theirs. An OpenSSL without us judges every signature.

use std::fs;
use testkit::key;
use testkit::nginx::{self, Block, Nginx};
use testkit::openssl::{Config, Openssl};
use testkit::peer::peer;
use testkit::process::Run;
use testkit::swtpm::Swtpm;
use testkit::tools::{need, need_file, root};
use testkit::tpm::OWNER;

/// Every signature there is: a digest's name and OpenSSL's padding options.
const SCHEMES: [(&str, &str); 5] = [
    ("sha256", ""),
    ("sha512", ""),
    (
        "sha256",
        "-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest",
    ),
    (
        "sha384",
        "-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:max",
    ),
    (
        "sha256",
        "-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:20",
    ),
];

/// Signs with `KEY.pem` through us and verifies with `KEY.pub` without.
#[track_caller]
fn signs(openssl: &Openssl, key: &str, hash: &str, options: &str) {
    let input = key::digest(openssl, hash);
    openssl.ok(&format!(
        "pkeyutl -sign -inkey {key}.pem -in {input} -out sig -pkeyopt digest:{hash} {options}"
    ));
    verified(openssl, key, hash, options);
}

/// `sig` is `KEY.pub`'s signature of the digest `HASH.bin`.
#[track_caller]
fn verified(openssl: &Openssl, key: &str, hash: &str, options: &str) {
    let options = options.replace("saltlen:max", "saltlen:auto");
    openssl.plain().ok(&format!(
        "pkeyutl -verify -pubin -inkey {key}.pub -in {hash}.bin -sigfile sig -pkeyopt digest:{hash} {options}"
    ));
}

/// Decrypts with `KEY.pem` through us what was encrypted without.
#[track_caller]
fn decrypts(openssl: &Openssl, key: &str, options: &str) {
    seal(openssl, key, options);
    openssl.ok(&format!(
        "pkeyutl -decrypt -inkey {key}.pem -in sealed -out clear {options}"
    ));
    assert_eq!(openssl.dir().read_text("clear"), "fourteen bytes");
}

#[track_caller]
fn seal(openssl: &Openssl, key: &str, options: &str) {
    openssl.dir().write("secret", "fourteen bytes");
    openssl.plain().ok(&format!(
        "pkeyutl -encrypt -pubin -inkey {key}.pub -in secret -out sealed {options}"
    ));
}

/// A key file of another tool reads as the key that the tool's own public file says it is.
#[track_caller]
fn has_the_public_half(openssl: &Openssl, key: &str) {
    openssl.ok(&format!("pkey -in {key}.pem -pubout -out ours.pub"));
    openssl
        .plain()
        .ok(&format!("pkey -pubin -in {key}.pub -out theirs.pub"));
    assert_eq!(
        openssl.dir().read_text("ours.pub"),
        openssl.dir().read_text("theirs.pub")
    );
}

// ---- openssl_tpm2_engine

/// The engine's RSA keys may decrypt only, and sign by the raw operation.
#[test]
fn the_engine_s_rsa_key() {
    let data = root().join("tests/data/tpm2");
    let tpm = Swtpm::with_state(&data);
    let openssl = Openssl::new(&tpm.address());
    for file in ["j_rsa.pem", "j_rsa.pub"] {
        openssl
            .dir()
            .write(file, fs::read(data.join(file)).expect("test data"));
    }
    has_the_public_half(&openssl, "j_rsa");
    for (hash, options) in SCHEMES {
        signs(&openssl, "j_rsa", hash, options);
    }
    for options in [
        "",
        "-pkeyopt rsa_padding_mode:oaep",
        "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256",
    ] {
        decrypts(&openssl, "j_rsa", options);
    }
    openssl.ok("req -x509 -key j_rsa.pem -subj /CN=engine -days 2 -out j_rsa.crt");
    openssl.plain().ok("verify -CAfile j_rsa.crt j_rsa.crt");
    tpm.assert_clean();
}

/// A key that the engine has wrapped for its TPM: imported once in a process, or for ever.
#[test]
fn the_engine_s_importable_key() {
    let data = root().join("tests/data/tpm2");
    let tpm = Swtpm::with_state(&data);
    let openssl = Openssl::new(&tpm.address());
    for file in ["j_imp_ec.pem", "j_imp_ec.pub"] {
        openssl
            .dir()
            .write(file, fs::read(data.join(file)).expect("test data"));
    }
    has_the_public_half(&openssl, "j_imp_ec");
    signs(&openssl, "j_imp_ec", "sha256", "");
    openssl.ok("req -x509 -key j_imp_ec.pem -subj /CN=engine -days 2 -out x.crt");
    openssl
        .plain()
        .ok("verify -check_ss_sig -CAfile x.crt x.crt");
    openssl
        .tpmctl(&tpm.address(), "key finish j_imp_ec.pem")
        .ok();
    let finished = openssl.dir().read_text("j_imp_ec.pem");
    let before = fs::read_to_string(data.join("j_imp_ec.pem")).expect("test data");
    assert_ne!(finished, before);
    signs(&openssl, "j_imp_ec", "sha256", "");
    tpm.assert_clean();
    // Another TPM takes neither.
    let other = Swtpm::start();
    let openssl = Openssl::new(&other.address());
    openssl.dir().write("j_imp_ec.pem", before);
    openssl
        .tpmctl(&other.address(), "key finish j_imp_ec.pem")
        .fails()
        .says("another TPM");
    other.assert_clean();
}

/// What is no key is refused by name. nginx shows the error; the openssl command loads keys through a
/// store, which keeps such errors to itself.
#[test]
fn what_is_no_key_is_named() {
    let data = root().join("tests/data/tpm2");
    let tpm = Swtpm::with_state(&data);
    let openssl = Openssl::new(&tpm.address());
    key::software_rsa(&openssl, "software", 2048);
    key::certificate(&openssl, "software");
    let pem = fs::read(data.join("j_seal.pem")).expect("test data");
    let path = openssl.dir().write("j_seal.pem", pem);
    openssl.fails("pkey -in j_seal.pem -pubout");
    let block = Block::new(openssl.dir().join("software.crt"), path);
    Nginx::test(&openssl, &nginx::Config::new(vec![block]))
        .fails()
        .says("sealed");
    tpm.assert_clean();
}

// ---- tpm2-openssl (Debian's, provider tpm2)

#[test]
fn a_key_of_ours_signs_in_tpm2_openssl() {
    for options in ["", "-pkeyopt parent:0x81000001"] {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        let openssl = Openssl::new(&tpm.address());
        key::rsa(&openssl, "key", 2048, options);
        tpm.assert_clean();
        for (hash, options) in [
            ("sha256", ""),
            (
                "sha256",
                "-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest",
            ),
        ] {
            let input = key::digest(&openssl, hash);
            peer(
                &openssl,
                &tpm,
                "pkeyutl",
                &format!(
                    "-sign -inkey key.pem -in {input} -out sig -pkeyopt digest:{hash} {options}"
                ),
            )
            .ok();
            tpm.flush();
            verified(&openssl, "key", hash, options);
        }
        seal(&openssl, "key", "");
        peer(
            &openssl,
            &tpm,
            "pkeyutl",
            "-decrypt -inkey key.pem -in sealed -out clear",
        )
        .ok();
        tpm.flush();
        assert_eq!(openssl.dir().read_text("clear"), "fourteen bytes");
    }
}

/// With an authorization value, too: the same file, the same passphrase.
#[test]
fn a_key_of_ours_with_a_pin_signs_in_tpm2_openssl() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    key::generate(
        &openssl,
        "key",
        "RSA -pkeyopt bits:2048 -pkeyopt user-auth:secret",
    );
    let input = key::digest(&openssl, "sha256");
    let sign = format!("-sign -inkey key.pem -in {input} -out sig -pkeyopt digest:sha256");
    openssl.ok(&format!("pkeyutl {sign} -passin pass:secret"));
    verified(&openssl, "key", "sha256", "");
    peer(
        &openssl,
        &tpm,
        "pkeyutl",
        &format!("{sign} -passin pass:secret"),
    )
    .ok();
    tpm.flush();
    verified(&openssl, "key", "sha256", "");
}

#[test]
fn keys_of_tpm2_openssl_work_in_ours() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    for (name, options) in [
        ("owner", "-pkeyopt bits:2048"),
        (
            "persistent",
            "-pkeyopt bits:2048 -pkeyopt parent:0x81000001",
        ),
        ("small", "-pkeyopt bits:1024"),
        ("pin", "-pkeyopt bits:2048 -pkeyopt user-auth:secret"),
    ] {
        peer(
            &openssl,
            &tpm,
            "genpkey",
            &format!("-algorithm RSA {options} -out {name}.pem"),
        )
        .ok();
        tpm.flush();
        assert!(
            openssl
                .dir()
                .read_text(&format!("{name}.pem"))
                .contains("TSS2 PRIVATE KEY")
        );
        if name == "pin" {
            continue;
        }
        // The tool's own word on what the public half is.
        peer(
            &openssl,
            &tpm,
            "pkey",
            &format!("-in {name}.pem -pubout -out {name}.pub"),
        )
        .ok();
        tpm.flush();
        has_the_public_half(&openssl, name);
        for (hash, options) in &SCHEMES[..3] {
            // 1024 bits have no room for PSS's longest salts, but for these.
            if name != "small" || *hash == "sha256" {
                signs(&openssl, name, hash, options);
            }
        }
        decrypts(&openssl, name, "-pkeyopt rsa_padding_mode:oaep");
        tpm.assert_clean();
    }
    openssl.ok("pkey -in pin.pem -passin pass:secret -pubout -out pin.pub");
    key::digest(&openssl, "sha256");
    let sign = "pkeyutl -sign -inkey pin.pem -in sha256.bin -out sig -pkeyopt digest:sha256";
    openssl.ok(&format!("{sign} -passin pass:secret"));
    verified(&openssl, "pin", "sha256", "");
    openssl.fails(&format!("{sign} -passin pass:other"));
    tpm.assert_clean();
}

// ---- tpm2-tools

/// Makes a key with tpm2_create under `parent` (a context file or handle), `NAME.pem` and `NAME.pub`.
fn tools_key(openssl: &Openssl, tpm: &Swtpm, name: &str, parent: &str, options: &str) {
    let dir = openssl.dir().path();
    let run = |line: &str| tpm.tool(line).dir(dir).ok();
    run(&format!(
        "tpm2_create -Q -C {parent} -u {name}.tpm -r {name}.priv {options}"
    ));
    tpm.tool("tpm2_flushcontext -t").ok();
    // Versions differ in what -p means, so the file that says "no authorization value" is the one.
    for flag in ["", "-p"] {
        run(&format!(
            "tpm2_encodeobject -C {parent} -u {name}.tpm -r {name}.priv -o {name}.pem {flag}"
        ));
        tpm.flush();
        if fields(openssl, name).contains("BOOLEAN           :1") {
            break;
        }
    }
    run(&format!(
        "tpm2_load -Q -C {parent} -u {name}.tpm -r {name}.priv -c {name}.ctx"
    ));
    tpm.tool("tpm2_flushcontext -t").ok();
    run(&format!(
        "tpm2_readpublic -Q -c {name}.ctx -f pem -o {name}.pub"
    ));
    tpm.flush();
}

/// A signing key with a scheme of its own does that scheme; anything else is refused with a reason.
#[test]
fn sign_only_keys_of_tpm2_tools() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    let pss = "-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest";
    let attributes = "-a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign";
    for (name, algorithm, works, refused) in [
        (
            "ssa",
            "rsa2048:rsassa-sha256:null",
            vec![("sha256", "")],
            vec![("sha512", ""), ("sha256", pss)],
        ),
        (
            "pss",
            "rsa2048:rsapss-sha384:null",
            vec![("sha384", pss)],
            vec![
                ("sha384", "-pkeyopt rsa_padding_mode:pkcs1"),
                ("sha256", pss),
            ],
        ),
        (
            "free",
            "rsa2048:null:null",
            vec![("sha256", ""), ("sha512", ""), ("sha256", pss)],
            vec![],
        ),
    ] {
        let options = format!("-G {algorithm} {attributes}");
        tools_key(&openssl, &tpm, name, "0x81000001", &options);
        if name == "pss" {
            // The tool writes an ordinary RSA key; ours says what it is for.
            openssl.ok("pkey -in pss.pem -pubout -out pss.spki");
            let text = openssl.plain().ok("pkey -pubin -in pss.spki -noout -text");
            assert!(text.out().contains("PSS parameter restrictions"), "{text}");
        } else {
            has_the_public_half(&openssl, name);
        }
        for (hash, options) in works {
            signs(&openssl, name, hash, options);
        }
        for (hash, options) in refused {
            let input = key::digest(&openssl, hash);
            openssl
                .fails(&format!(
                    "pkeyutl -sign -inkey {name}.pem -in {input} -out sig -pkeyopt digest:{hash} {options}"
                ))
                .says("unsupported scheme");
        }
        seal(&openssl, name, "");
        openssl.fails(&format!(
            "pkeyutl -decrypt -inkey {name}.pem -in sealed -out clear"
        ));
        tpm.assert_clean();
    }
}

/// A key that may only decrypt, with and without a scheme.
#[test]
fn decrypt_only_keys_of_tpm2_tools() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    let attributes = "-a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|decrypt";
    let oaep = "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256";
    tools_key(
        &openssl,
        &tpm,
        "raw",
        "0x81000001",
        &format!("-G rsa2048:null:null {attributes}"),
    );
    tools_key(
        &openssl,
        &tpm,
        "oaep",
        "0x81000001",
        &format!("-G rsa2048:oaep-sha256:null {attributes}"),
    );
    has_the_public_half(&openssl, "raw");
    decrypts(&openssl, "raw", "");
    decrypts(&openssl, "raw", oaep);
    for (hash, options) in SCHEMES {
        signs(&openssl, "raw", hash, options);
    }
    decrypts(&openssl, "oaep", oaep);
    // The scheme leaves no room for anything else.
    seal(&openssl, "oaep", "");
    openssl.fails("pkeyutl -decrypt -inkey oaep.pem -in sealed -out clear");
    let input = key::digest(&openssl, "sha256");
    openssl.fails(&format!(
        "pkeyutl -sign -inkey oaep.pem -in {input} -out sig -pkeyopt digest:sha256"
    ));
    tpm.assert_clean();
}

/// tpm2-tools' own kind of parent: an RSA primary, made persistent. It is also the key that encrypted
/// sessions are salted to.
#[test]
fn a_key_under_a_persistent_rsa_parent() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    let dir = openssl.dir().path();
    let run = |line: &str| tpm.tool(line).dir(dir).ok();
    run("tpm2_createprimary -Q -C o -G rsa2048 -c primary.ctx");
    run("tpm2_evictcontrol -Q -C o -c primary.ctx 0x81000010");
    tpm.flush();
    tools_key(&openssl, &tpm, "key", "0x81000010", "-G rsa2048");
    for (hash, options) in SCHEMES {
        signs(&openssl, "key", hash, options);
    }
    decrypts(&openssl, "key", "");
    // Ours under the same parent, with a secret on the wire.
    key::generate(
        &openssl,
        "own",
        "RSA -pkeyopt bits:2048 -pkeyopt parent:0x81000010 -pkeyopt user-auth:secret",
    );
    let input = key::digest(&openssl, "sha256");
    openssl.ok(&format!(
        "pkeyutl -sign -inkey own.pem -passin pass:secret -in {input} -out sig -pkeyopt digest:sha256"
    ));
    verified(&openssl, "own", "sha256", "");
    tpm.assert_clean();
}

/// tpm2_encodeobject writes "owner" for whatever parent was not persistent. Under the standard primary such
/// a file works; under another one nobody can load it, and the error says which parent was tried.
#[test]
fn files_without_their_parent() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    let dir = openssl.dir().path();
    let run = |line: &str| tpm.tool(line).dir(dir).ok();
    let standard = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
    run(&format!(
        "tpm2_createprimary -Q -C o -G ecc256:aes128cfb -a {standard} -c standard.ctx"
    ));
    tpm.flush();
    tools_key(&openssl, &tpm, "key", "standard.ctx", "-G rsa2048");
    for (hash, options) in SCHEMES {
        signs(&openssl, "key", hash, options);
    }
    tpm.assert_clean();

    run("tpm2_createprimary -Q -C o -G rsa2048 -c other.ctx");
    tpm.flush();
    tools_key(&openssl, &tpm, "lost", "other.ctx", "-G rsa2048");
    has_the_public_half(&openssl, "lost");
    let input = key::digest(&openssl, "sha256");
    let said = openssl
        .fails(&format!(
            "pkeyutl -sign -inkey lost.pem -in {input} -out sig -pkeyopt digest:sha256"
        ))
        .err();
    assert!(said.contains("parent"), "{said}");
    tpm.assert_clean();
}

/// Each hierarchy's primary, made for the key's sake; the owner's with and without an SRK that could take
/// its place. A key of the null hierarchy dies with the TPM's reset.
#[test]
fn keys_under_each_hierarchy() {
    let mut tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    for parent in ["owner", "null", "endorsement", "platform"] {
        key::rsa(&openssl, parent, 2048, &format!("-pkeyopt parent:{parent}"));
        signs(&openssl, parent, "sha256", "");
        tpm.assert_clean();
    }
    tpm.provision_srk();
    for parent in ["owner", "endorsement"] {
        signs(&openssl, parent, "sha384", "");
    }
    tpm.restart();
    signs(&openssl, "owner", "sha256", "");
    openssl.fails("pkeyutl -sign -inkey null.pem -in sha256.bin -out sig -pkeyopt digest:sha256");
    tpm.assert_clean();
}

/// Under an RSA primary that is not persistent: `rsaParent` in the file says so.
#[test]
fn a_key_under_the_standard_rsa_primary() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    let dir = openssl.dir().path();
    let run = |line: &str| tpm.tool(line).dir(dir).ok();
    let standard = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
    // tpm2_createprimary fills `unique` with zeros; empty is what the standard says.
    openssl.dir().write("empty", "");
    run(&format!(
        "tpm2_createprimary -Q -C o -G rsa2048:aes128cfb -a {standard} -c rsa.ctx -u empty"
    ));
    tpm.flush();
    tools_key(&openssl, &tpm, "key", "rsa.ctx", "-G rsa2048");
    // The tool knows nothing of the field, so it is added: [5] EXPLICIT BOOLEAN TRUE before the parent.
    let pem = openssl.dir().read_text("key.pem");
    openssl.dir().write("key.pem", with_rsa_parent(&pem));
    has_the_public_half(&openssl, "key");
    for (hash, options) in SCHEMES {
        signs(&openssl, "key", hash, options);
    }
    tpm.assert_clean();
}

/// The key file with `rsaParent` TRUE.
fn with_rsa_parent(pem: &str) -> String {
    let (_, der) = pem_rfc7468::decode_vec(pem.as_bytes()).expect("a PEM file");
    // A SEQUENCE with a length of two octets.
    assert_eq!(der[..2], [0x30, 0x82]);
    let parent = OWNER.to_be_bytes();
    let at = der
        .windows(6)
        .position(|w| w[..2] == [2, 4] && w[2..] == parent)
        .expect("the parent");
    let mut body = der[4..].to_vec();
    body.splice(at - 4..at - 4, [0xa5, 3, 1, 1, 0xff]);
    let length = u16::try_from(body.len())
        .expect("a short file")
        .to_be_bytes();
    to_pem(&[&[0x30, 0x82][..], &length, &body].concat())
}

fn to_pem(der: &[u8]) -> String {
    pem_rfc7468::encode_string("TSS2 PRIVATE KEY", pem_rfc7468::LineEnding::LF, der)
        .expect("a PEM file")
}

/// A persistent key of tpm2-tools, by its handle, and its file whose key it is.
#[test]
fn a_persistent_key_of_tpm2_tools() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    tools_key(&openssl, &tpm, "key", "0x81000001", "-G rsa2048");
    let dir = openssl.dir().path();
    tpm.tool("tpm2_evictcontrol -Q -C o -c key.ctx 0x81000020")
        .dir(dir)
        .ok();
    tpm.flush();
    key::digest(&openssl, "sha256");
    openssl.ok(
        "pkeyutl -sign -inkey handle:0x81000020 -in sha256.bin -out sig -pkeyopt digest:sha256",
    );
    verified(&openssl, "key", "sha256", "");
    tpm.assert_clean();
    assert!(
        openssl.ok("pkey -in handle:0x81000020 -pubout").out()
            == openssl.dir().read_text("key.pub")
    );
}

// ---- tpm2-pytss

/// A program for Debian's Python: others do not see its packages.
fn python(openssl: &Openssl, tpm: &Swtpm, script: &str) -> Run {
    need_file(
        "/usr/lib/python3/dist-packages/tpm2_pytss",
        "python3-tpm2-pytss",
    );
    let _ = need("python3", "python3");
    Run::new("/usr/bin/python3")
        .args(["-c", script])
        .env("TPM2TOOLS_TCTI", tpm.address())
        .dir(openssl.dir().path())
}

const LOAD: &str = r#"
import os
from tpm2_pytss import *
from tpm2_pytss.tsskey import TSSPrivKey
ectx = ESAPI(os.environ["TPM2TOOLS_TCTI"])
"#;

#[test]
fn a_key_of_ours_signs_in_tpm2_pytss() {
    for (options, password) in [("", "None"), ("-pkeyopt user-auth:secret", "b'secret'")] {
        let tpm = Swtpm::start();
        let openssl = Openssl::new(&tpm.address());
        key::generate(
            &openssl,
            "key",
            &format!("RSA -pkeyopt bits:2048 {options}"),
        );
        key::digest(&openssl, "sha256");
        let script = format!(
            r#"{LOAD}
key = TSSPrivKey.from_pem(open("key.pem", "rb").read())
handle = key.load(ectx, {password})
scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.RSASSA)
scheme.details.any.hashAlg = TPM2_ALG.SHA256
ticket = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)
signature = ectx.sign(handle, open("sha256.bin", "rb").read(), scheme, ticket)
open("sig", "wb").write(bytes(signature.signature.rsassa.sig))
"#
        );
        python(&openssl, &tpm, &script).ok();
        verified(&openssl, "key", "sha256", "");
    }
}

#[test]
fn keys_of_tpm2_pytss_work_in_ours() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    // A process for each: it leaves the parent in the TPM.
    for arguments in [
        "'plain', 2048, None",
        "'small', 1024, None",
        "'pin', 2048, b'secret'",
    ] {
        let script = format!(
            r#"{LOAD}
name, bits, password = {arguments}
key = TSSPrivKey.create_rsa(ectx, keyBits=bits, password=password)
open(name + ".pem", "wb").write(key.to_pem())
open(name + ".pub", "wb").write(key.public.to_pem())
"#
        );
        python(&openssl, &tpm, &script).ok();
        tpm.flush();
    }
    for name in ["plain", "small"] {
        has_the_public_half(&openssl, name);
        for (hash, options) in &SCHEMES[..1] {
            signs(&openssl, name, hash, options);
        }
    }
    let sign = "pkeyutl -sign -inkey pin.pem -in sha256.bin -out sig -pkeyopt digest:sha256";
    openssl.ok(&format!("{sign} -passin pass:secret"));
    verified(&openssl, "pin", "sha256", "");
    openssl.fails(&format!("{sign} -passin pass:other"));
    tpm.assert_clean();
}

// ---- files

/// The DER of `KEY.pem`, as asn1parse shows it.
fn fields(openssl: &Openssl, key: &str) -> String {
    openssl
        .plain()
        .ok(&format!("asn1parse -in {key}.pem"))
        .out()
}

/// tpm2_encodeobject without -p says of a key without an authorization value that it has one: the setting says that
/// there is none.
#[test]
fn a_file_may_be_wrong_about_its_value() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    tools_key(&openssl, &tpm, "key", "0x81000001", "-G rsa2048");
    let pem = openssl.dir().read_text("key.pem");
    let (_, mut der) = pem_rfc7468::decode_vec(pem.as_bytes()).expect("a PEM file");
    let at = der
        .windows(4)
        .position(|w| w == [0xa0, 3, 1, 1])
        .expect("emptyAuth");
    assert_ne!(der[at + 4], 0);
    der[at + 4] = 0;
    openssl.dir().write("key.pem", to_pem(&der));
    let input = key::digest(&openssl, "sha256");
    let sign = format!("pkeyutl -sign -inkey key.pem -in {input} -out sig -pkeyopt digest:sha256");
    openssl.run(&sign).args(["-passin", "pass:"]).fails();
    let none = Config::new().setting("pin-source", "none:").text();
    let none = openssl.dir().write("none.cnf", none);
    openssl
        .run(&sign)
        .args(["-passin", "pass:"])
        .env("OPENSSL_CONF", none)
        .ok();
    verified(&openssl, "key", "sha256", "");
    tpm.assert_clean();
}

/// What we write holds what every reader knows and nothing else: type, emptyAuth, parent, public, private.
#[test]
fn our_files_hold_what_every_reader_knows() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    key::rsa(&openssl, "key", 2048, "");
    let der = fields(&openssl, "key");
    let found: Vec<&str> = der
        .lines()
        .filter(|l| l.contains("d=1 "))
        .map(|l| {
            let text = l.split(": ").nth(1).expect("asn1parse's form");
            text.split_once("  ").map_or(text, |(t, _)| t).trim()
        })
        .collect();
    assert_eq!(
        found,
        [
            "OBJECT",
            "cont [ 0 ]",
            "INTEGER",
            "OCTET STRING",
            "OCTET STRING"
        ],
        "{der}"
    );
}
