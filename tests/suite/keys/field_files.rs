//! Key files as others write them, made here for the purpose by code that shares nothing with ours: coordinates that lost their
//! leading zeros, TRUE as 1, parents as negative and as long numbers.

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::Private;
use testkit::bench::Bench;
use testkit::key;
use testkit::swtpm::Swtpm;

const SRK: u32 = 0x8100_0001;
const IMPORT: u32 = 0x156;
/// userWithAuth, noDA, sign.
const ATTRIBUTES: u32 = 1 << 6 | 1 << 10 | 1 << 18;

fn tpm2b(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).expect("short").to_be_bytes();
    [&size, bytes].concat()
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(content);
    out
}

/// A key with as few bytes in a coordinate as one in 256 has: X or Y begins with a zero byte.
fn short(in_x: bool) -> (EcKey<Private>, Vec<u8>, Vec<u8>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
    let mut context = BigNumContext::new().expect("memory");
    loop {
        let key = EcKey::generate(&group).expect("a key");
        let (mut x, mut y) = (
            BigNum::new().expect("memory"),
            BigNum::new().expect("memory"),
        );
        key.public_key()
            .affine_coordinates(&group, &mut x, &mut y, &mut context)
            .expect("a point");
        let wanted = if in_x { &x } else { &y };
        if wanted.num_bytes() < 32 {
            return (key, x.to_vec(), y.to_vec());
        }
    }
}

/// Has the TPM take a software key under the key at 0x81000001 (TPM2_Import, Part 3, 13.3, without wrapping); its public
/// and private area.
fn imported(tpm: &Swtpm, key: &EcKey<Private>, x: &[u8], y: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut public = [0x0023u16, 0x000b].map(u16::to_be_bytes).concat();
    public.extend(ATTRIBUTES.to_be_bytes());
    // No policy, no symmetric algorithm, no scheme, P-256, no KDF.
    public.extend(tpm2b(&[]));
    public.extend(
        [0x0010u16, 0x0010, 0x0003, 0x0010]
            .map(u16::to_be_bytes)
            .concat(),
    );
    public.extend([tpm2b(x), tpm2b(y)].concat());
    let mut sensitive = 0x0023u16.to_be_bytes().to_vec();
    sensitive.extend([tpm2b(&[]), tpm2b(&[])].concat());
    let secret = key.private_key().to_vec_padded(32).expect("32 bytes");
    sensitive.extend(tpm2b(&secret));
    let parameters = [
        tpm2b(&[]),
        tpm2b(&public),
        tpm2b(&tpm2b(&sensitive)),
        tpm2b(&[]),
        0x0010u16.to_be_bytes().to_vec(),
    ]
    .concat();
    let (rc, answer) = tpm.raw().authorized(IMPORT, &[SRK], &parameters);
    assert_eq!(rc, 0, "Import");
    // The size of the parameters, a TPM2B_PRIVATE, and the session's area.
    let size = usize::from(u16::from_be_bytes([answer[4], answer[5]]));
    (tpm2b(&public), answer[4..6 + size].to_vec())
}

/// A key file: `yes` is how its writer spells TRUE, `parent` the INTEGER's content.
fn file(yes: u8, parent: &[u8], public: &[u8], private: &[u8]) -> String {
    let content = [
        element(6, &[0x67, 0x81, 0x05, 0x0a, 0x01, 0x03]),
        element(0xa0, &element(1, &[yes])),
        element(2, parent),
        element(4, public),
        element(4, private),
    ]
    .concat();
    let text = openssl::base64::encode_block(&element(0x30, &content));
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    format!(
        "-----BEGIN TSS2 PRIVATE KEY-----\n{}\n-----END TSS2 PRIVATE KEY-----\n",
        lines.join("\n")
    )
}

#[test]
fn coordinates_without_leading_zeros() {
    let bench = Bench::new();
    let Bench { openssl, tpm, .. } = &bench;
    for in_x in [true, false] {
        let (software, x, y) = short(in_x);
        let (public, private) = imported(tpm, &software, &x, &y);
        let dir = openssl.dir();
        dir.write(
            "key.pem",
            file(0xff, &[0, 0x81, 0, 0, 1], &public, &private),
        );
        dir.write("soft.pem", software.private_key_to_pem().expect("PEM"));
        openssl
            .plain()
            .ok("pkey -in soft.pem -pubout -out soft.pub");
        // The public half is the very same one, byte for byte.
        openssl.ok("pkey -in key.pem -pubout -out key.pub");
        assert_eq!(dir.read_text("key.pub"), dir.read_text("soft.pub"));
        key::digest(openssl, "sha256");
        openssl.ok("pkeyutl -sign -inkey key.pem -in sha256.bin -out sig -pkeyopt digest:sha256");
        openssl.plain().ok(
            "pkeyutl -verify -pubin -inkey soft.pub -in sha256.bin -sigfile sig -pkeyopt digest:sha256",
        );
        // A certificate of the software key belongs to it.
        openssl
            .plain()
            .ok("req -x509 -key soft.pem -subj /CN=short -out soft.crt");
        openssl.ok("x509 -in soft.crt -force_pubkey key.pub -signkey key.pem -out again.crt");
        // What we write is what we read: the name is a digest of the area as it is.
        openssl.ok("pkey -in key.pem -out copy.pem");
        assert_eq!(dir.read("copy.pem"), dir.read("key.pem"));
    }
    tpm.assert_clean();
}

/// The standard primary is what is at 0x81000001, so that a key under it is one under the owner hierarchy, too.
#[test]
fn parents_and_flags_as_others_spell_them() {
    let bench = Bench::new();
    let Bench { openssl, tpm, .. } = &bench;
    let (software, x, y) = short(true);
    let (public, private) = imported(tpm, &software, &x, &y);
    key::digest(openssl, "sha256");
    let parents: [&[u8]; 9] = [
        // 0x81000001: as it should be; negative in 32 and 64 bits; in 64 bits with zeros in front.
        &[0, 0x81, 0, 0, 1],
        &[0x81, 0, 0, 1],
        &[0xff, 0xff, 0xff, 0xff, 0x81, 0, 0, 1],
        &[0, 0, 0, 0, 0x81, 0, 0, 1],
        &[0, 0, 0, 0, 0, 0x81, 0, 0, 1],
        // The owner hierarchy: as it should be, in 64 bits, as 0 in one and in four bytes.
        &[0x40, 0, 0, 1],
        &[0, 0, 0, 0, 0x40, 0, 0, 1],
        &[0],
        &[0, 0, 0, 0],
    ];
    for parent in parents {
        for yes in [0x01, 0xff, 0x7f] {
            openssl
                .dir()
                .write("key.pem", file(yes, parent, &public, &private));
            openssl
                .ok("pkeyutl -sign -inkey key.pem -in sha256.bin -out sig -pkeyopt digest:sha256");
        }
    }
    for (parent, text) in [
        (&[0x80, 0, 0, 1][..], "names an object that is gone"),
        (&[0x7f, 0, 0, 1], "parent"),
        (&[1, 0, 0, 0, 0x81, 0, 0, 1], "a handle of 32 bits"),
        (
            &[0xfe, 0xff, 0xff, 0xff, 0x81, 0, 0, 1],
            "a handle of 32 bits",
        ),
    ] {
        openssl
            .dir()
            .write("key.pem", file(0xff, parent, &public, &private));
        openssl
            .fails("pkeyutl -sign -inkey key.pem -in sha256.bin -out sig -pkeyopt digest:sha256")
            .says(text);
    }
    tpm.assert_clean();
}
