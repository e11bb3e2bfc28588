//! EC keys on curves beyond P-256, P-384 and P-521: those that the simulator has in earnest, Brainpool as
//! far as it goes without a TPM, and the refusals.

use crypto::Curve;
use keys::{Config as TpmConfig, GenerateOptions, KeyType, Tpm, generate};
use openssl::ec::PointConversionForm;
use openssl::pkey::PKey;
use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::orders::each_order_with;
use testkit::process::Run;
use testkit::proxy::{Action, Fault, Proxy};
use testkit::scratch::Scratch;
use testkit::swtpm::Swtpm;
use testkit::tools::tpmctl;
use testkit::tpm::cc;
use tss::transport::Origin;

use crate::tpm::costs;

/// Signatures over digests shorter and longer than the order, judged by an OpenSSL without us.
#[test]
fn short_curves_of_the_tpm() {
    each_order_with(&Config::new(), |openssl| {
        let plain = openssl.plain();
        openssl.dir().write("message", "a message\n");
        for (curve, name) in [("P-192", "prime192v1"), ("P-224", "secp224r1")] {
            key::generate(openssl, curve, &format!("EC -pkeyopt group:{curve}"));
            for hash in ["sha1", "sha224", "sha256", "sha384", "sha512", "sha3-256"] {
                let input = key::digest(openssl, hash);
                let options = format!("-pkeyopt digest:{hash}");
                openssl.ok(&format!(
                    "pkeyutl -sign -inkey {curve}.pem -in {input} -out sig {options}"
                ));
                let verify = format!("pkeyutl -verify -in {input} -sigfile sig {options}");
                plain.ok(&format!("{verify} -pubin -inkey {curve}.pub"));
                openssl.ok(&format!("{verify} -inkey {curve}.pem"));
                let mut wrong = openssl.dir().read("sig");
                wrong[12] ^= 1;
                openssl.dir().write("sig", wrong);
                plain.fails(&format!("{verify} -pubin -inkey {curve}.pub"));
                openssl.fails(&format!("{verify} -inkey {curve}.pem"));
                openssl.ok(&format!("dgst -{hash} -sign {curve}.pem -out sig message"));
                plain.ok(&format!(
                    "dgst -{hash} -verify {curve}.pub -signature sig message"
                ));
            }
            // The same description as OpenSSL's of the same key.
            assert_eq!(
                openssl
                    .ok(&format!("pkey -in {curve}.pem -pubout -text -noout"))
                    .out(),
                plain
                    .ok(&format!("pkey -pubin -in {curve}.pub -text -noout"))
                    .out()
            );
            openssl.ok(&format!("pkey -in {curve}.pem -noout -check"));
            let text = openssl
                .ok(&format!("ec -in {curve}.pem -noout -text"))
                .out();
            assert!(
                text.contains(&format!("ASN1 OID: {name}\nNIST CURVE: {curve}\n")),
                "{text}"
            );
            // A certificate, a request, and a certificate that is made of it.
            key::certificate(openssl, curve);
            plain.ok(&format!(
                "verify -check_ss_sig -CAfile {curve}.crt {curve}.crt"
            ));
            openssl.ok(&format!("req -new -key {curve}.pem -subj /CN=r -out r.csr"));
            plain.ok("req -verify -noout -in r.csr");
            openssl.ok(&format!(
                "x509 -req -in r.csr -CA {curve}.crt -CAkey {curve}.pem -CAcreateserial -out r.crt"
            ));
            plain.ok(&format!("verify -CAfile {curve}.crt r.crt"));
            // The secret is OpenSSL's.
            key::software_ec(openssl, "soft", curve);
            openssl.ok(&format!(
                "pkeyutl -derive -inkey {curve}.pem -peerkey soft.pub -out ours"
            ));
            plain.ok(&format!(
                "pkeyutl -derive -inkey soft.pem -peerkey {curve}.pub -out theirs"
            ));
            assert!(openssl.dir().read("ours") == openssl.dir().read("theirs"));
            key::software_ec(openssl, "other", "P-256");
            openssl.fails(&format!(
                "pkeyutl -derive -inkey {curve}.pem -peerkey other.pub -out x"
            ));
        }
    });
}

/// With an authorization value: the session that carries it is salted to the parent, since no private
/// scalar is ever made in software on such a curve.
#[test]
fn a_secret_on_a_short_curve() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    openssl.ok(
        "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-224 \
         -pkeyopt user-auth:correct-horse -out key.pem",
    );
    openssl.ok("pkey -in key.pem -passin pass:correct-horse -pubout -out key.pub");
    let input = key::digest(&openssl, "sha256");
    let sign = |pin: &str| {
        openssl.run(&format!(
            "pkeyutl -sign -inkey key.pem -passin pass:{pin} -in {input} -out sig"
        ))
    };
    let (_, counts) = tap.cost(|| sign("correct-horse").ok());
    assert_eq!((counts.of("StartAuthSession"), counts.of("Sign")), (1, 1));
    assert!(!tap.saw(b"correct-horse"));
    openssl.plain().ok(&format!(
        "pkeyutl -verify -pubin -inkey key.pub -in {input} -sigfile sig"
    ));
    key::software_ec(&openssl, "soft", "P-224");
    let derive =
        "pkeyutl -derive -inkey key.pem -passin pass:correct-horse -peerkey soft.pub -out ours";
    openssl.ok(derive);
    openssl
        .plain()
        .ok("pkeyutl -derive -inkey soft.pem -peerkey key.pub -out theirs");
    let secret = openssl.dir().read("ours");
    assert!(secret == openssl.dir().read("theirs"));
    assert!(!tap.saw(&secret));
    sign("wrong").fails().says("authorization");
    tpm.assert_clean();
}

/// What generation costs, and what it says where the TPM lacks the curve.
#[test]
fn the_tpm_is_asked_for_its_curves_only_after_a_refusal() {
    let tpm = Swtpm::start();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    let generate = |group: &str| {
        openssl.run(&format!(
            "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:{group} -out new.pem"
        ))
    };
    let made = costs::GENERATION.commands;
    for group in ["P-256", "P-384", "P-192"] {
        let (_, counts) = tap.cost(|| generate(group).ok());
        counts.are(made);
    }
    for group in ["brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"] {
        let (_, counts) = tap.cost(|| {
            generate(group)
                .fails()
                .says(&format!(
                    "has no keys on the curve {group}: it offers P-192, P-224, P-256"
                ))
                .says("BN_P256")
                .says("SM2_P256")
        });
        // The primary, and the session of a command that was refused.
        counts.are(&[
            made[0],
            made[1],
            made[2],
            ("FlushContext", 2),
            ("GetCapability", 1),
        ]);
    }
    // The companion command says the same.
    let dir = Scratch::new();
    Run::new(tpmctl())
        .words("key new --type ec --curve brainpoolP384r1 -o key.pem")
        .env("TPM_TCTI", tap.address())
        .dir(dir.path())
        .fails()
        .says("has no keys on the curve brainpoolP384r1")
        .says("P-384");
    // A TPM that refuses a curve which it says it has is quoted.
    tap.inject(Fault::on(cc::CREATE, Action::Answer(0x2e6)));
    generate("P-224").fails().says("TPM_RC_CURVE").says("P-224");
    // An answer about something else is not a reason to ask.
    tap.inject(Fault::on(cc::CREATE, Action::Answer(0x101)));
    let (_, counts) = tap.cost(|| generate("P-384").fails().says("TPM_RC_FAILURE"));
    assert_eq!(counts.of("GetCapability"), 0);
    tpm.assert_clean();
}

/// Within a process: a curve that is known to be missing costs no command at all.
#[test]
fn the_answer_is_remembered() {
    let swtpm = Swtpm::start();
    let tap = Proxy::start(&swtpm);
    let address = tap.address().parse().expect("an address");
    let tpm = Tpm::new(TpmConfig {
        address: Some((address, Origin::Environment("TPM_TCTI"))),
        ..TpmConfig::default()
    })
    .expect("a TPM");
    let make = |curve: Curve| {
        let options = GenerateOptions {
            curve,
            ..GenerateOptions::new(KeyType::Ec)
        };
        generate(&tpm, &options).map(drop)
    };
    let made = costs::GENERATION.commands;
    let refused = |curve: Curve| {
        let error = make(curve).expect_err("no such curve").to_string();
        assert!(
            error.contains(&format!("no keys on the curve {curve}: it offers")),
            "{error}"
        );
    };
    let (_, counts) = tap.cost(|| refused(Curve::BrainpoolP256));
    // The primary, and the session of a command that was refused.
    counts.are(&[
        made[0],
        made[1],
        made[2],
        ("FlushContext", 2),
        ("GetCapability", 1),
    ]);
    let (_, counts) = tap.cost(|| {
        refused(Curve::BrainpoolP256);
        refused(Curve::BrainpoolP512);
    });
    counts.are(&[]);
    for curve in [Curve::P224, Curve::P256] {
        let (_, counts) = tap.cost(|| make(curve).expect("a key"));
        counts.are(made);
    }
    swtpm.assert_clean();
}

/// Makes of a P-256 key's file one with another curve and point; the private half stays what it is.
fn forge(openssl: &Openssl, from: &str, to: &str, curve: u16, point: &[u8]) {
    let pem = openssl.dir().read_text(from);
    let (label, der) = pem_rfc7468::decode_vec(pem.as_bytes()).expect("a PEM file");
    // scheme NULL, curve, key derivation NULL, then two coordinates of 32 octets.
    let pattern = [0, 0x10, 0, 3, 0, 0x10, 0, 32];
    let at = der
        .windows(pattern.len())
        .position(|window| window == pattern)
        .expect("a public area on P-256");
    let mut forged = der.clone();
    forged[at + 2..at + 4].copy_from_slice(&curve.to_be_bytes());
    forged[at + 8..at + 40].copy_from_slice(&point[..32]);
    assert_eq!(forged[at + 40..at + 42], [0, 32]);
    forged[at + 42..at + 74].copy_from_slice(&point[32..]);
    let text =
        pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, &forged).expect("PEM");
    openssl.dir().write(to, text);
}

/// The coordinates of `NAME.pub`.
fn coordinates(openssl: &Openssl, name: &str) -> Vec<u8> {
    let pem = openssl.dir().read(&format!("{name}.pub"));
    let key = PKey::public_key_from_pem(&pem)
        .and_then(|key| key.ec_key())
        .expect("an EC key");
    let mut context = openssl::bn::BigNumContext::new().expect("memory");
    let form = PointConversionForm::UNCOMPRESSED;
    key.public_key()
        .to_bytes(key.group(), form, &mut context)
        .expect("a point")[1..]
        .to_vec()
}

/// A key file on a curve that this TPM lacks is a key for everything that a public half suffices for.
#[test]
fn brainpool_key_files() {
    let tpm = Swtpm::start();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    let plain = openssl.plain();
    key::generate(&openssl, "p256", "EC -pkeyopt group:P-256");
    key::software_ec(&openssl, "soft", "brainpoolP256r1");
    plain.ok("req -x509 -key soft.pem -subj /CN=bp -out soft.crt");
    let point = coordinates(&openssl, "soft");
    forge(&openssl, "p256.pem", "bp.pem", 0x30, &point);
    let (_, counts) = tap.cost(|| {
        openssl.ok("pkey -in bp.pem -pubout -out bp.pub");
        assert_eq!(
            openssl.ok("pkey -in bp.pem -pubout -text -noout").out(),
            plain.ok("pkey -pubin -in soft.pub -text -noout").out()
        );
        // Server and certificate go together; with another certificate they do not.
        drop(openssl.s_server("-cert soft.crt -key bp.pem"));
        plain.ok("genpkey -algorithm EC -pkeyopt group:brainpoolP256r1 -out other.pem");
        plain.ok("req -x509 -key other.pem -subj /CN=bp -out other.crt");
        openssl
            .fails("s_server -accept 127.0.0.1:0 -cert other.crt -key bp.pem")
            .says("mismatch");
        // Verification is software's.
        let input = key::digest(&openssl, "sha512");
        plain.ok(&format!(
            "pkeyutl -sign -inkey soft.pem -in {input} -out sig"
        ));
        openssl.ok(&format!(
            "pkeyutl -verify -inkey bp.pem -in {input} -sigfile sig"
        ));
        plain.ok(&format!(
            "pkeyutl -sign -inkey other.pem -in {input} -out sig"
        ));
        openssl.fails(&format!(
            "pkeyutl -verify -inkey bp.pem -in {input} -sigfile sig"
        ));
    });
    counts.are(&[]);
    assert_eq!(
        openssl.dir().read_text("bp.pub"),
        openssl.dir().read_text("soft.pub")
    );
    // This TPM does not load it.
    openssl
        .fails("dgst -sha256 -sign bp.pem -out sig soft.crt")
        .says("TPM_RC_");
    // A point of another curve.
    let mut off = point.clone();
    off[63] ^= 1;
    forge(&openssl, "p256.pem", "off.pem", 0x30, &off);
    openssl
        .fails("pkey -noout -in off.pem")
        .says("the point is not on the curve");
    forge(&openssl, "p256.pem", "off.pem", 0x31, &point);
    openssl
        .fails("pkey -noout -in off.pem")
        .says("the point is not on the curve");
    tpm.assert_clean();
}

/// Curves that cannot be keys of type EC in OpenSSL say why, before the TPM is asked.
#[test]
fn other_curves_are_named() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    key::generate(&openssl, "p256", "EC -pkeyopt group:P-256");
    let point = coordinates(&openssl, "p256");
    for (number, name, why) in [
        (0x10, "BN_P256", "it has no object identifier"),
        (0x11, "BN_P638", "it has no object identifier"),
        (
            0x20,
            "SM2_P256",
            "signs with the scheme SM2 and the digest SM3",
        ),
        (0x40, "CURVE_25519", "supported are P-192, P-224, P-256"),
        (0x4711, "curve 0x4711", "supported are P-192, P-224, P-256"),
    ] {
        forge(&openssl, "p256.pem", "odd.pem", number, &point);
        openssl
            .fails("pkey -noout -in odd.pem")
            .says(&format!("the key is on the curve {name}"))
            .says(why);
    }
}

/// What the refusal of SM2 says is so: OpenSSL reads a key on that curve as one of another type, which
/// makes no ECDSA signatures and agrees on nothing.
#[test]
fn openssl_has_no_ec_keys_on_the_sm2_curve() {
    let openssl = Openssl::without_provider();
    let plain = openssl.plain();
    key::software_ec(&openssl, "sm2", "SM2");
    key::software_ec(&openssl, "peer", "SM2");
    openssl.dir().write("message", "a message\n");
    let sign =
        |hash: &str| -> Run { plain.run(&format!("dgst -{hash} -sign sm2.pem -out sig message")) };
    sign("sm3").ok();
    sign("sha256").fails();
    plain.fails("pkeyutl -derive -inkey sm2.pem -peerkey peer.pub -out x");
}
