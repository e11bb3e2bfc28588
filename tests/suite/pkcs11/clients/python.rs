//! Python's PyKCS11: what a script does with a token.

use testkit::process::Done;
use testkit::table::Kind;
use testkit::tools::{module, need_file, root};

use super::table::find;
use super::{Case, Seen, each_cell};

fn run(case: &Case, operations: &str) -> Done {
    need_file("/usr/lib/python3/dist-packages/PyKCS11", "python3-pykcs11");
    case.keys
        .program("/usr/bin/python3", "python3")
        .arg("-I")
        .arg(root().join("tests/python/pykcs11.py"))
        .arg(module())
        .arg(case.token())
        .arg(if case.pin.is_some() { "given" } else { "-" })
        .words(operations)
        .done()
}

#[test]
pub fn pykcs11_uses_keys() {
    each_cell(find(pykcs11_uses_keys), |case| {
        let (dir, plain) = (case.keys.openssl.dir(), case.keys.openssl.plain());
        let done = run(case, "list");
        if !done.status.success() {
            assert!(done.err().contains("CKR_PIN_INCORRECT"), "{done}");
            return Seen::Failure;
        }
        let lines = done.out();
        let ids: Vec<&str> = lines
            .lines()
            .filter_map(|line| line.rsplit(' ').next())
            .collect();
        assert!(
            ids.len() == 3 && ids.iter().all(|id| *id == ids[0]),
            "{lines}"
        );
        plain.ok("x509 -in keys/tpm.crt -noout -pubkey -out tpm.pub");
        dir.write("message", "a message");
        let does = |operation: &str| {
            let done = run(case, operation);
            assert!(done.status.success(), "{done}");
        };
        match case.kind {
            Kind::Rsa => {
                does("sign SHA512");
                plain.ok("dgst -sha512 -verify tpm.pub -signature sig message");
                does("pss SHA256");
                plain.ok(
                    "dgst -sha256 -verify tpm.pub -signature sig -sigopt rsa_padding_mode:pss \
                     -sigopt rsa_pss_saltlen:32 message",
                );
                plain.ok(
                    "pkeyutl -encrypt -in message -pubin -inkey tpm.pub -out secret \
                     -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256",
                );
                does("decrypt");
                assert_eq!(dir.read_text("opened"), "a message");
                Seen::Operations(3)
            }
            Kind::Ec => {
                does("sign SHA256");
                // Both numbers one behind the other, where OpenSSL has a SEQUENCE.
                let signature = dir.read("sig");
                let (r, s) = signature.split_at(32);
                let number = |bytes| openssl::bn::BigNum::from_slice(bytes).expect("a number");
                let der = openssl::ecdsa::EcdsaSig::from_private_components(number(r), number(s))
                    .and_then(|signature| signature.to_der())
                    .expect("a signature");
                dir.write("sig", der);
                plain.ok("dgst -sha256 -verify tpm.pub -signature sig message");
                plain.ok("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out peer.key");
                plain.ok("pkey -in peer.key -pubout -outform DER -out peer.der");
                let spki = dir.read("peer.der");
                dir.write("peer", &spki[spki.len() - 65..]);
                does("derive");
                plain.ok("pkeyutl -derive -inkey peer.key -peerkey tpm.pub -out theirs");
                assert_eq!(dir.read("agreed"), dir.read("theirs"));
                // An agreement is no signature and no decryption.
                let counts = case.keys.tap.counts();
                assert_eq!(counts.of("ECDH_ZGen"), 1, "{counts:?}");
                Seen::Operations(1)
            }
        }
    });
}
