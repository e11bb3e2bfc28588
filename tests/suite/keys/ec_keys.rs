//! EC keys of every make: attributes and schemes, other tools' keys, PINs, costs, faults and damage.

use std::fs;
use testkit::cc;
use testkit::client::Client;
use testkit::key::{self, SIGN};
use testkit::openssl::{Config, Openssl};
use testkit::orders::each_order_with;
use testkit::peer::peer;
use testkit::process::Run;
use testkit::proxy::{Action, Fault, Proxy};
use testkit::swtpm::Swtpm;
use testkit::tools::{need_file, root};
use testkit::tpm::cc as code;

use crate::tpm::costs;

#[track_caller]
fn signs(openssl: &Openssl, key: &str, hash: &str) {
    let input = key::digest(openssl, hash);
    openssl.ok(&format!(
        "pkeyutl -sign -inkey {key}.pem -in {input} -out sig -pkeyopt digest:{hash}"
    ));
    verified(openssl, key, hash);
}

#[track_caller]
fn verified(openssl: &Openssl, key: &str, hash: &str) {
    openssl.plain().ok(&format!(
        "pkeyutl -verify -pubin -inkey {key}.pub -in {hash}.bin -sigfile sig"
    ));
}

/// The secret with a new software key, on `curve`, is OpenSSL's.
#[track_caller]
fn agrees(openssl: &Openssl, key: &str, curve: &str) {
    soft(openssl, curve);
    openssl.ok(&format!(
        "pkeyutl -derive -inkey {key}.pem -peerkey soft.pub -out ours"
    ));
    openssl.plain().ok(&format!(
        "pkeyutl -derive -inkey soft.pem -peerkey {key}.pub -out theirs"
    ));
    assert!(openssl.dir().read("ours") == openssl.dir().read("theirs"));
}

fn soft(openssl: &Openssl, curve: &str) {
    let plain = openssl.plain();
    plain.ok(&format!(
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve} -out soft.pem"
    ));
    plain.ok("pkey -in soft.pem -pubout -out soft.pub");
}

/// Makes (or imports) a key with tpm2-tools under 0x81000001: `NAME.pem`, `NAME.pub`.
fn tools_key(openssl: &Openssl, tpm: &Swtpm, name: &str, command: &str) {
    let dir = openssl.dir().path();
    let run = |line: &str| tpm.tool(line).dir(dir).ok();
    run(&format!(
        "{command} -Q -C 0x81000001 -u {name}.tpm -r {name}.priv"
    ));
    // Versions differ in what -p means: the file that says "no authorization value" is the one.
    for flag in ["", "-p"] {
        run(&format!(
            "tpm2_encodeobject -C 0x81000001 -u {name}.tpm -r {name}.priv -o {name}.pem {flag}"
        ));
        tpm.flush();
        let shown = openssl.plain().ok(&format!("asn1parse -in {name}.pem"));
        if shown.out().contains("BOOLEAN           :1") {
            break;
        }
    }
    openssl
        .run(&format!("pkey -in {name}.pem -pubout -out {name}.pub"))
        .done();
}

const COMMON: &str = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda";

#[test]
fn keys_do_what_their_attributes_allow() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    let make = |name: &str, algorithm: &str, attributes: &str| {
        tools_key(
            &openssl,
            &tpm,
            name,
            &format!("tpm2_create -G {algorithm} -a {COMMON}|{attributes}"),
        );
    };
    soft(&openssl, "P-256");
    for hash in ["sha1", "sha256", "sha384", "sha512"] {
        key::digest(&openssl, hash);
    }
    let sign = |name: &str, hash: &str| {
        openssl.run(&format!(
            "pkeyutl -sign -inkey {name}.pem -in {hash}.bin -out sig -pkeyopt digest:{hash}"
        ))
    };
    let derive = |name: &str| {
        openssl.run(&format!(
            "pkeyutl -derive -inkey {name}.pem -peerkey soft.pub -out secret"
        ))
    };
    make("both", "ecc256:null:null", "sign|decrypt");
    signs(&openssl, "both", "sha1");
    signs(&openssl, "both", "sha512");
    agrees(&openssl, "both", "P-256");

    make("sign", "ecc256:null:null", "sign");
    signs(&openssl, "sign", "sha256");
    signs(&openssl, "sign", "sha384");
    derive("sign")
        .fails()
        .says("ECDH needs a key with the attribute decrypt")
        .says("userWithAuth|noDA|sign");

    for hash in ["sha256", "sha384"] {
        let name = format!("fixed-{hash}");
        make(&name, &format!("ecc256:ecdsa-{hash}:null"), "sign");
        for one in ["sha1", "sha256", "sha384", "sha512"] {
            if one == hash {
                signs(&openssl, &name, one);
            } else {
                let scheme = format!("its scheme is ECDSA with {}", hash.to_uppercase());
                let _ = sign(&name, one).fails().says(&scheme);
            }
        }
        // Without a name of the digest its length decides.
        openssl.ok(&format!(
            "pkeyutl -sign -inkey {name}.pem -in {hash}.bin -out sig"
        ));
        verified(&openssl, &name, hash);
        openssl
            .fails(&format!(
                "pkeyutl -sign -inkey {name}.pem -in sha1.bin -out sig"
            ))
            .says("a digest of 20 bytes is not what this key was made for");
        derive(&name).fails().says("the attribute decrypt");
        openssl.ok(&format!("req -x509 -key {name}.pem -subj /CN=x -out x.crt"));
        openssl
            .plain()
            .ok("verify -check_ss_sig -CAfile x.crt x.crt");
    }

    make("ecdh", "ecc256:null:null", "decrypt");
    agrees(&openssl, "ecdh", "P-256");
    sign("ecdh", "sha256").fails().says("this key cannot sign");
    make("ecdh384", "ecc384:ecdh-sha256:null", "decrypt");
    agrees(&openssl, "ecdh384", "P-384");
    sign("ecdh384", "sha256")
        .fails()
        .says("this key cannot sign");
    soft(&openssl, "P-256");

    make("restricted", "ecc256:ecdsa-sha256:null", "restricted|sign");
    openssl.dir().write("message", vec![b'x'; 5000]);
    openssl.ok("dgst -sha256 -sign restricted.pem -out sig message");
    openssl
        .plain()
        .ok("dgst -sha256 -verify restricted.pub -signature sig message");
    openssl.ok("req -x509 -key restricted.pem -subj /CN=x -out x.crt");
    openssl
        .plain()
        .ok("verify -check_ss_sig -CAfile x.crt x.crt");
    sign("restricted", "sha256")
        .fails()
        .says("a restricted key signs only messages that the TPM hashes itself");
    openssl
        .fails("dgst -sha384 -sign restricted.pem -out sig message")
        .says("its scheme is ECDSA with SHA256");
    derive("restricted").fails().says("the attribute decrypt");

    make("schnorr", "ecc256:ecschnorr-sha256:null", "sign");
    sign("schnorr", "sha256")
        .fails()
        .says("is not what this key was made for")
        .says("ECSCHNORR");
    tpm.assert_clean();
}

/// A known key, imported into the TPM: the same secret as plain OpenSSL's with the same private key and
/// the same peer; its signatures verify with the public half that OpenSSL knows.
#[test]
fn an_imported_known_key() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    let plain = openssl.plain();
    for curve in ["P-224", "P-256", "P-384"] {
        plain.ok(&format!(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve} -out known.pem"
        ));
        plain.ok("pkey -in known.pem -pubout -out known.pub");
        plain.ok("ec -in known.pem -out trad.pem");
        tools_key(&openssl, &tpm, "tpm", "tpm2_import -G ecc -i trad.pem");
        assert_eq!(
            openssl.dir().read_text("tpm.pub"),
            openssl.dir().read_text("known.pub")
        );
        soft(&openssl, curve);
        openssl.ok("pkeyutl -derive -inkey tpm.pem -peerkey soft.pub -out ours");
        plain.ok("pkeyutl -derive -inkey known.pem -peerkey soft.pub -out theirs");
        assert!(openssl.dir().read("ours") == openssl.dir().read("theirs"));
        signs(&openssl, "tpm", "sha256");
        verified(&openssl, "known", "sha256");
    }
    tpm.assert_clean();
}

/// The keys that other tools made, with the TPM that they were made in.
#[test]
fn keys_of_other_tools() {
    let data = root().join("tests/data/tpm2");
    let tpm = Swtpm::with_state(&data);
    let openssl = Openssl::new(&tpm.address());
    for (name, both) in [
        ("e_ec", false),
        ("py_ec", false),
        ("o_ec", true),
        ("j_ec", true),
    ] {
        for end in ["pem", "pub"] {
            let file = format!("{name}.{end}");
            let text = fs::read(data.join(&file)).expect("test data");
            openssl.dir().write(&file, text);
        }
        openssl.ok(&format!("pkey -in {name}.pem -pubout -out ours.pub"));
        openssl
            .plain()
            .ok(&format!("pkey -pubin -in {name}.pub -out theirs.pub"));
        assert_eq!(
            openssl.dir().read_text("ours.pub"),
            openssl.dir().read_text("theirs.pub")
        );
        signs(&openssl, name, "sha256");
        openssl.ok(&format!(
            "req -x509 -key {name}.pem -subj /CN={name} -days 2 -out x.crt"
        ));
        openssl
            .plain()
            .ok("verify -check_ss_sig -CAfile x.crt x.crt");
        if both {
            signs(&openssl, name, "sha512");
            agrees(&openssl, name, "P-256");
        } else {
            soft(&openssl, "P-256");
            openssl
                .fails(&format!(
                    "pkeyutl -derive -inkey {name}.pem -peerkey soft.pub -out x"
                ))
                .says("the attribute decrypt");
        }
    }
    tpm.assert_clean();
}

#[test]
fn our_keys_in_tpm2_openssl_and_theirs_in_ours() {
    for options in ["", "-pkeyopt parent:0x81000001"] {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        let openssl = Openssl::new(&tpm.address());
        key::digest(&openssl, "sha256");
        for curve in ["P-256", "P-384"] {
            key::generate(
                &openssl,
                "key",
                &format!("EC -pkeyopt group:{curve} {options}"),
            );
            let sign = "-sign -inkey key.pem -in sha256.bin -out sig -pkeyopt digest:sha256";
            peer(&openssl, &tpm, "pkeyutl", sign).ok();
            tpm.flush();
            verified(&openssl, "key", "sha256");

            let line = format!("-algorithm EC -pkeyopt group:{curve} {options} -out own.pem");
            peer(&openssl, &tpm, "genpkey", &line).ok();
            tpm.flush();
            peer(&openssl, &tpm, "pkey", "-in own.pem -pubout -out own.pub").ok();
            tpm.flush();
            let line = "pkey -in own.pem -pubout";
            assert_eq!(openssl.ok(line).out(), openssl.dir().read_text("own.pub"));
            for hash in ["sha256", "sha384"] {
                signs(&openssl, "own", hash);
            }
            agrees(&openssl, "own", curve);
            tpm.assert_clean();
        }
    }
}

#[test]
fn our_keys_in_tpm2_pytss_and_theirs_in_ours() {
    need_file(
        "/usr/lib/python3/dist-packages/tpm2_pytss",
        "python3-tpm2-pytss",
    );
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    key::generate(&openssl, "key", "EC -pkeyopt group:P-256");
    key::digest(&openssl, "sha256");
    let python = |script: &str| {
        let script = format!(
            "import os\nfrom tpm2_pytss import *\nfrom tpm2_pytss.tsskey import TSSPrivKey\n\
             ectx = ESAPI(os.environ[\"TPM2TOOLS_TCTI\"])\n{script}"
        );
        Run::new("/usr/bin/python3")
            .args(["-c", &script])
            .env("TPM2TOOLS_TCTI", tpm.address())
            .dir(openssl.dir().path())
            .ok();
        tpm.flush();
    };
    python(
        r#"
key = TSSPrivKey.from_pem(open("key.pem", "rb").read())
handle = key.load(ectx, None)
scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.ECDSA)
scheme.details.any.hashAlg = TPM2_ALG.SHA256
ticket = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)
whole = ectx.sign(handle, open("sha256.bin", "rb").read(), scheme, ticket)
signature = whole.signature.ecdsa
def integer(b):
    b = bytes(b).lstrip(b"\0")
    b = (b"\0" if b[0] & 0x80 else b"") + b
    return bytes([2, len(b)]) + b
body = integer(signature.signatureR) + integer(signature.signatureS)
open("sig", "wb").write(bytes([0x30, len(body)]) + body)
"#,
    );
    verified(&openssl, "key", "sha256");
    python(
        r#"
key = TSSPrivKey.create_ecc(ectx, curveID=TPM2_ECC.NIST_P384)
open("own.pem", "wb").write(key.to_pem())
open("own.pub", "wb").write(key.public.to_pem())
"#,
    );
    for hash in ["sha256", "sha384"] {
        signs(&openssl, "own", hash);
    }
    tpm.assert_clean();
}

/// A PIN for signatures and for agreement; neither it nor the secret is on the wire.
#[test]
fn keys_with_an_authorization_value() {
    each_order_with(&Config::new(), |openssl| {
        key::generate(
            openssl,
            "key",
            "EC -pkeyopt group:P-256 -pkeyopt user-auth:correct-horse",
        );
        key::digest(openssl, "sha256");
        soft(openssl, "P-256");
        let derive = "pkeyutl -derive -inkey key.pem -peerkey soft.pub -out ours";
        for line in [SIGN, derive] {
            openssl.run(line).words("-passin pass:correct-horse").ok();
            if line == SIGN {
                verified(openssl, "key", "sha256");
            }
        }
        openssl
            .plain()
            .ok("pkeyutl -derive -inkey soft.pem -peerkey key.pub -out theirs");
        assert!(openssl.dir().read("ours") == openssl.dir().read("theirs"));
        for line in [SIGN, derive] {
            openssl
                .fails(line)
                .says("the key needs an authorization value");
        }
        openssl
            .run(derive)
            .words("-passin pass:wrong")
            .fails()
            .says("authorization value is wrong")
            .says("TPM2_ECDH_ZGen");
    });
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    for options in ["", "-pkeyopt user-auth:correct-horse"] {
        key::generate(
            &openssl,
            "key",
            &format!("EC -pkeyopt group:P-384 {options}"),
        );
        soft(&openssl, "P-384");
        openssl
            .run("pkeyutl -derive -inkey key.pem -peerkey soft.pub -out ours")
            .words("-passin pass:correct-horse")
            .ok();
        let secret = openssl.dir().read("ours");
        assert_eq!(secret.len(), 48);
        assert_eq!(tap.counts().of("ECDH_ZGen"), 1);
        assert!(!tap.saw(&secret) && !tap.saw(b"correct-horse"));
        tap.reset();
    }
    tpm.assert_clean();
}

/// What a public key suffices for costs nothing; the rest what design says.
#[test]
fn costs() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    let make = "EC -pkeyopt group:P-256 -pkeyopt parent:0x81000001";
    let ((), counts) = tap.cost(|| {
        openssl.ok(&format!(
            "genpkey -propquery provider=tpm -out key.pem -algorithm {make}"
        ));
    });
    assert_eq!(counts.of("Create"), 1, "{counts:?}");
    assert_eq!(counts.of("Load"), 0, "{counts:?}");
    key::digest(&openssl, "sha256");
    soft(&openssl, "P-256");
    let (_, counts) = tap.cost(|| openssl.ok(SIGN));
    counts.are(&costs::sum(&[&costs::FIRST, &costs::EXIT]));
    key::certificate(&openssl, "key");
    openssl.dir().write("message", "hello\n");
    let ((), counts) = tap.cost(|| {
        openssl.ok("pkey -in key.pem -pubout -out key.pub");
        openssl.ok("pkey -in key.pem -text -check -noout");
        openssl.ok("storeutl key.pem");
        openssl.ok("x509 -in key.crt -noout -text");
        openssl.ok("verify -check_ss_sig -CAfile key.crt key.crt");
        openssl.ok("pkeyutl -verify -inkey key.pem -in sha256.bin -sigfile sig");
        openssl.ok("pkeyutl -derive -inkey soft.pem -peerkey key.pub -out secret");
        openssl.ok("cms -encrypt -in message -aes256 -out sealed -recip key.crt");
        openssl.ok("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out x.pem");
    });
    counts.are(&[]);
    let (_, counts) =
        tap.cost(|| openssl.ok("cms -decrypt -in sealed -inkey key.pem -recip key.crt -out clear"));
    assert_eq!(
        (counts.of("ECDH_ZGen"), counts.of("Sign")),
        (1, 0),
        "{counts:?}"
    );
    tpm.assert_clean();
}

/// No wrong signature leaves, whichever bit of the reply is wrong.
#[test]
fn flipped_bits_in_signatures_are_caught() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    key::generate(&openssl, "key", "EC -pkeyopt parent:0x81000001");
    let mut client = Client::start(&openssl);
    client.ok("load 1 key.pem");
    client.ok("sign 1");
    let reply = tap
        .exchanges()
        .iter()
        .rev()
        .find(|e| e.name() == "Sign")
        .expect("a signature")
        .response
        .len();
    for bit in (0..reply * 8).step_by(11) {
        tap.inject(Fault::on(testkit::tpm::cc::SIGN, Action::FlipBit(bit)));
        // `ok` is a signature that OpenSSL has verified: the second try's.
        let answer = client.ask("sign 1");
        tap.heal();
        assert!(
            answer.starts_with("ok") || answer.starts_with("error sign"),
            "bit {bit}: {answer}"
        );
        client.ok("sign 1");
    }
    // R's and S's last bytes, always wrong.
    for byte in [reply / 2, reply - 10] {
        let fault = Fault::on(testkit::tpm::cc::SIGN, Action::FlipBit(8 * byte));
        tap.inject(fault.always());
        let answer = client.ask("sign 1");
        tap.heal();
        assert!(answer.starts_with("error"), "byte {byte}: {answer}");
        client.ok("sign 1");
    }
    client.end();
    tpm.assert_clean();
}

/// The point in a key file is checked when the file is loaded, without a TPM.
#[test]
fn flipped_bits_in_the_public_point() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    for (curve, size) in [("P-256", 32), ("P-384", 48), ("P-521", 66)] {
        key::generate(&openssl, "key", &format!("EC -pkeyopt group:{curve}"));
        let (_, der) = pem_rfc7468::decode_vec(openssl.dir().read_text("key.pem").as_bytes())
            .expect("a PEM file");
        let public = openssl.dir().read_text("key.pub");
        let (_, spki) = pem_rfc7468::decode_vec(public.as_bytes()).expect("a PEM file");
        let y = &spki[spki.len() - size..];
        let at = der.windows(size).position(|w| w == y).expect("y");
        let bits = [0, 1, 7, 8, 8 * size / 2, 8 * size - 1];
        for (start, bit) in [at, at - 2 - size]
            .iter()
            .flat_map(|&s| bits.map(|b| (s, b)))
        {
            let mut damaged = der.clone();
            damaged[start + bit / 8] ^= 1 << (bit % 8);
            let text = pem_rfc7468::encode_string(
                "TSS2 PRIVATE KEY",
                pem_rfc7468::LineEnding::LF,
                &damaged,
            );
            openssl.dir().write("damaged.pem", text.expect("PEM"));
            openssl
                .run("pkey -noout -in damaged.pem")
                .env("TPM_TCTI", "swtpm:path=/nowhere")
                .fails()
                .says("the key's public half: ")
                .says("the point is not on the curve");
        }
    }
    tpm.assert_clean();
}

/// Coordinates of a wrong length, each in a key file that is otherwise well-formed.
#[test]
fn wrong_lengths_in_the_public_point() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    key::generate(&openssl, "key", "EC -pkeyopt group:P-256");
    let (_, der) =
        pem_rfc7468::decode_vec(openssl.dir().read_text("key.pem").as_bytes()).expect("a PEM file");
    let public = openssl.dir().read_text("key.pub");
    let (_, spki) = pem_rfc7468::decode_vec(public.as_bytes()).expect("a PEM file");
    let (x, y) = spki[spki.len() - 64..].split_at(32);
    let longer = |coordinate: &[u8]| [&[1], coordinate].concat();
    for (what, x, y) in [
        ("x is short", &x[1..], y.to_vec()),
        ("y is short", x, y[1..].to_vec()),
        ("y is empty", x, Vec::new()),
        ("both are empty", &[], Vec::new()),
        ("x is long", &longer(x), y.to_vec()),
        ("y is long", x, longer(y)),
        ("y is as long as two", x, [y, y].concat()),
    ] {
        openssl.dir().write("odd.pem", with_point(&der, x, &y));
        openssl
            .run("pkey -noout -in odd.pem")
            .env("TPM_TCTI", "swtpm:path=/nowhere")
            .fails()
            .says("the key's public half: ");
        println!("{what}");
    }
    // Zeros before a coordinate are no other number, and TPMs may write them or leave them out.
    openssl
        .dir()
        .write("same.pem", with_point(&der, x, &[&[0], y].concat()));
    assert_eq!(openssl.ok("pkey -in same.pem -pubout").out(), public);
    tpm.assert_clean();
}

/// The key file with another point at the end of its TPM2B_PUBLIC, all lengths right, as PEM.
fn with_point(der: &[u8], x: &[u8], y: &[u8]) -> String {
    let number = |at: usize| usize::from(u16::from_be_bytes([der[at], der[at + 1]]));
    let public = (0..der.len())
        .find(|&at| der[at] == 4 && usize::from(der[at + 1]) == number(at + 2) + 2)
        .expect("an OCTET STRING with a TPM2B in it");
    let end = public + 2 + usize::from(der[public + 1]);
    // A P-256 point: two coordinates of 32 bytes, each with its length before it.
    let before = &der[public + 4..end - 68];
    let sized = |bytes: &[u8]| {
        let size = u16::try_from(bytes.len()).expect("a short one");
        [&size.to_be_bytes(), bytes].concat()
    };
    let area = sized(&[before, &sized(x), &sized(y)].concat());
    let field = |tag: u8, content: &[u8]| {
        let size = u16::try_from(content.len()).expect("a short one");
        let length = match size {
            0..0x80 => vec![size.to_be_bytes()[1]],
            0x80..0x100 => vec![0x81, size.to_be_bytes()[1]],
            _ => [&[0x82], &size.to_be_bytes()[..]].concat(),
        };
        [&[tag], &length[..], content].concat()
    };
    let head = match der[1] {
        0x81 => 3,
        0x82 => 4,
        _ => 2,
    };
    let content = [&der[head..public], &field(4, &area), &der[end..]].concat();
    let label = "TSS2 PRIVATE KEY";
    pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, &field(0x30, &content))
        .expect("PEM")
}

/// A TPM that answers with points that are none: of a key that it holds, and of an agreement.
#[test]
fn points_of_a_lying_tpm() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let tap = Proxy::start(&tpm);
    // Without sessions, or an HMAC would notice before we do.
    let openssl = Openssl::with(Config::new().setting("sessions", "never"), &tap.address());
    key::generate(&openssl, "key", "EC -pkeyopt parent:0x81000001");
    soft(&openssl, "P-256");
    let derive = "pkeyutl -derive -inkey key.pem -peerkey soft.pub -out secret";
    openssl.ok(derive);
    let genuine = last(&tap, "ECDH_ZGen");
    let size = usize::from(u16::from_be_bytes([genuine[14], genuine[15]]));
    let (x, y) = (&genuine[18..50], &genuine[52..84]);
    assert_eq!(size, 68);
    let answer = |x: &[u8], y: &[u8]| {
        let sized = |bytes: &[u8]| {
            let size = u16::try_from(bytes.len()).expect("a short one");
            [&size.to_be_bytes(), bytes].concat()
        };
        let point = sized(&[sized(x), sized(y)].concat());
        let parameters = u32::try_from(point.len()).expect("a short one");
        let body = [&parameters.to_be_bytes()[..], &point, &genuine[84..]].concat();
        let size = u32::try_from(10 + body.len()).expect("a short one");
        [
            &genuine[..2],
            &size.to_be_bytes()[..],
            &genuine[6..10],
            &body,
        ]
        .concat()
    };
    assert_eq!(answer(x, y), genuine);
    let mut broken = answer(x, y);
    broken[17] += 1;
    for (what, answer) in [
        ("x is long", answer(&[&[1], x].concat(), y)),
        ("x is as long as two", answer(&[x, x].concat(), y)),
        ("the lengths disagree", broken),
        ("not on the curve", answer(y, x)),
        ("a field element too large", answer(&[0xff; 32], y)),
        ("at infinity", answer(&[], &[])),
        ("at infinity in zeros", answer(&[0; 32], &[0; 32])),
        ("half of it", genuine[..50].to_vec()),
    ] {
        openssl.dir().write("secret", "");
        let fault = Fault::on(code::ECDH_ZGEN, Action::Garbage(answer));
        tap.inject(fault.always());
        openssl.fails(derive);
        tap.heal();
        assert_eq!(openssl.dir().read("secret"), b"", "{what}");
    }
    openssl.ok(derive);

    // A key that the TPM holds: its point comes with ReadPublic.
    for line in [
        &format!("tpm2_createprimary -Q -C o -G ecc256:null:null -a {COMMON}|sign -c held.ctx"),
        "tpm2_evictcontrol -Q -C o -c held.ctx 0x81000005",
    ] {
        tpm.tool(line).dir(openssl.dir().path()).ok();
    }
    tpm.flush();
    let line = "pkey -in handle:0x81000005 -pubout";
    openssl.ok(line);
    let public = last(&tap, "ReadPublic");
    let area = usize::from(u16::from_be_bytes([public[10], public[11]]));
    for bit in [0, 7, 8 * 31, 8 * 34, 8 * 65] {
        // The last 66 bytes of the area: x, the length of y, y.
        let at = 8 * (12 + area - 66) + bit;
        tap.inject(Fault::on(code::READ_PUBLIC, Action::FlipBit(at)).always());
        openssl.fails(line);
        tap.heal();
    }
    openssl.ok(line);
}

/// The TPM's last answer to that command.
fn last(tap: &Proxy, name: &str) -> Vec<u8> {
    let exchanges = tap.exchanges();
    let found = exchanges.iter().rev().find(|e| e.name() == name);
    found
        .unwrap_or_else(|| panic!("no {name}"))
        .response
        .clone()
}

/// A C program takes the ways that no openssl command takes: points as bytes, keys from numbers, copies.
#[test]
fn peers_and_copies_in_c() {
    each_order_with(&Config::new(), |openssl| {
        let program = cc::compile(openssl.dir(), "ec", "-lcrypto");
        for curve in ["P-256", "P-384", "P-521"] {
            key::generate(openssl, "key", &format!("EC -pkeyopt group:{curve}"));
            openssl.client(&program).words("key.pem 3").arg(curve).ok();
        }
    });
}

/// Nothing invalid and nothing lost in it, either.
#[test]
fn valgrind_has_nothing_to_say() {
    each_order_with(&Config::new(), |openssl| {
        let program = cc::compile(openssl.dir(), "ec", "-lcrypto");
        key::generate(openssl, "key", "EC -pkeyopt group:P-256");
        openssl
            .client(testkit::tools::need("valgrind", "valgrind"))
            .words("--quiet --error-exitcode=99 --leak-check=full")
            .words("--show-leak-kinds=definite,indirect")
            .words("--errors-for-leak-kinds=definite,indirect --num-callers=40")
            .arg(&program)
            .words("key.pem 2 P-256")
            .ok();
    });
}
