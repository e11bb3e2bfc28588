//! Key files in the encodings of the field, written by nothing of ours; what their keys are made for is tpm2-tools'
//! word.

use testkit::bench::Bench;
use testkit::key;
use testkit::openssl::{Config, ORDERS, Openssl};
use testkit::proxy::Proxy;
use testkit::swtpm::Swtpm;
use testkit::tools::root;

use super::writer::{self, Command, File, SHA256, auth_value, pcr, selection, tpm2b};
use super::{extend, refuses, signs};

/// Makes `NAME.u`, `NAME.r` and `NAME.pub`: a P-256 key for the policy that these tools assert, one for each line,
/// without its session.
fn key_for(bench: &Bench, name: &str, policy: &[&str], pin: Option<&str>) {
    bench.tool("tpm2_startauthsession -S session");
    for line in policy {
        let (tool, arguments) = line.split_once(' ').unwrap_or((line, ""));
        bench.tool(&format!("{tool} -Q -S session -L policy {arguments}"));
    }
    bench.tool("tpm2_flushcontext session");
    bench.tpm.flush();
    let pin = pin.map(|pin| format!("-p {pin}")).unwrap_or_default();
    bench.tool(&format!(
        "tpm2_create -Q -C 0x81000001 -G ecc256:ecdsa-sha256 -u {name}.u -r {name}.r -L policy {pin} \
         -a fixedtpm|fixedparent|sensitivedataorigin|sign"
    ));
    bench.tool(&format!(
        "tpm2_load -Q -C 0x81000001 -u {name}.u -r {name}.r -c key.ctx"
    ));
    bench.tool(&format!(
        "tpm2_readpublic -Q -c key.ctx -f pem -o {name}.pub"
    ));
    bench.tpm.flush();
}

/// SHA-256 of this many registers that are zero.
fn zeros(registers: usize) -> Vec<u8> {
    openssl::sha::sha256(&vec![0; 32 * registers]).to_vec()
}

/// The other tool's own file, with its TPM.
#[test]
fn a_file_of_openssl_tpm2_engine() {
    let data = root().join("tests/data/tpm2");
    for order in ORDERS {
        let tpm = Swtpm::with_state(&data);
        let tap = Proxy::start(&tpm);
        let openssl = Openssl::with(Config::new().order(order), &tap.address());
        for file in ["j_ec_pcr.pem", "j_ec_pcr.pub"] {
            openssl
                .dir()
                .write(file, std::fs::read(data.join(file)).expect("test data"));
        }
        let bench = Bench { openssl, tap, tpm };
        let ((), counts) = bench
            .tap
            .cost(|| signs(&bench, "j_ec_pcr.pem", "j_ec_pcr.pub", ""));
        counts.are(&[
            ("ReadPublic", 2),
            ("StartAuthSession", 2),
            ("Load", 1),
            ("PolicyPCR", 1),
            ("Sign", 1),
            ("FlushContext", 1),
        ]);
        bench
            .openssl
            .ok("req -x509 -key j_ec_pcr.pem -subj /CN=pcr -days 2 -out x.crt");
        bench
            .openssl
            .plain()
            .ok("verify -check_ss_sig -CAfile x.crt x.crt");
        extend(&bench, 16);
        refuses(
            &bench,
            "j_ec_pcr.pem",
            "",
            &["the register sha256:16 does not have the value that the key was made for"],
        );
        // Loading it and its public half are nobody's policy.
        bench
            .openssl
            .ok("pkey -in j_ec_pcr.pem -pubout -out again.pub");
        bench.tpm.assert_clean();
    }
}

#[test]
fn registers_in_both_encodings_and_with_a_pin() {
    let bench = Bench::new();
    key_for(&bench, "plain", &["tpm2_policypcr -l sha256:0,16"], None);
    key_for(
        &bench,
        "pin",
        &["tpm2_policypcr -l sha256:0,16", "tpm2_policyauthvalue"],
        Some("4711"),
    );
    let digest = zeros(2);
    let grub = |digest: &[u8]| (0x17f, [tpm2b(digest), selection(SHA256, &[0, 16])].concat());
    for (form, body) in [
        ("the draft's", pcr(&[0, 16], &digest)),
        ("GRUB's", grub(&[])),
        ("GRUB's with the digest", grub(&digest)),
    ] {
        File::of(vec![body.clone()]).write(&bench, "plain");
        signs(&bench, "plain.pem", "plain.pub", "");
        File::with_pin(vec![body, auth_value()]).write(&bench, "pin");
        bench.tap.reset();
        signs(&bench, "pin.pem", "pin.pub", "-passin pass:4711");
        assert!(!bench.tap.saw(b"4711"), "{form}");
        refuses(
            &bench,
            "pin.pem",
            "-passin pass:4712",
            &["authorization value is wrong"],
        );
        bench
            .openssl
            .fails("pkeyutl -sign -inkey pin.pem -in sha256.bin -out sig -passin pass:");
    }
    extend(&bench, 16);
    for form in [pcr(&[0, 16], &digest), grub(&[])] {
        File::of(vec![form]).write(&bench, "plain");
        refuses(&bench, "plain.pem", "", &["registers sha256:0,16"]);
    }
    bench.tpm.assert_clean();
}

#[test]
fn localities_commands_and_counters() {
    let bench = Bench::new();
    std::fs::write(bench.openssl.dir().join("resets"), [0, 0, 0, 99]).expect("a file");
    for (name, tool, command, holds) in [
        ("here", "tpm2_policylocality zero", (0x16f, vec![1]), true),
        ("away", "tpm2_policylocality three", (0x16f, vec![8]), false),
        (
            "sign",
            "tpm2_policycommandcode TPM2_CC_Sign",
            (0x16c, vec![0, 0, 1, 0x5d]),
            true,
        ),
        (
            "decrypt",
            "tpm2_policycommandcode TPM2_CC_RSA_Decrypt",
            (0x16c, vec![0, 0, 1, 0x59]),
            false,
        ),
        // Unsigned comparisons of a counter, in which libtpms of all versions agree.
        (
            "early",
            "tpm2_policycountertimer --ult resets=99",
            (0x16d, vec![0, 0, 0, 99, 0, 16, 0, 5]),
            true,
        ),
    ] {
        key_for(&bench, name, &[tool], None);
        File::of(vec![command]).write(&bench, name);
        match holds {
            true => signs(&bench, &format!("{name}.pem"), &format!("{name}.pub"), ""),
            false => refuses(
                &bench,
                &format!("{name}.pem"),
                "",
                &["policy does not hold now"][..usize::from(name == "away")],
            ),
        }
    }
    bench.tpm.assert_clean();
}

/// The owner's value, another key's, and an NV index': the passphrase of the file is that value.
#[test]
fn a_secret_of_something_else() {
    let bench = Bench::new();
    bench.tool("tpm2_nvdefine -Q 0x01500001 -s 8 -a authread|authwrite|no_da -p opensesame");
    bench.tool("tpm2_nvreadpublic 0x01500001");
    bench.tool("tpm2_changeauth -Q -c o opensesame");
    key_for(
        &bench,
        "owner",
        &["tpm2_policysecret -c o opensesame"],
        None,
    );
    let secret = |hint: u32, name: &[u8]| -> Command {
        (
            0x151,
            [&hint.to_be_bytes()[..], &tpm2b(name), &tpm2b(b"")].concat(),
        )
    };
    let owner = 0x4000_0001u32.to_be_bytes();
    for hint in [0x4000_0001, 0] {
        File::with_pin(vec![secret(hint, &owner)]).write(&bench, "owner");
        bench.tap.reset();
        signs(&bench, "owner.pem", "owner.pub", "-passin pass:opensesame");
        assert!(!bench.tap.saw(b"opensesame"));
    }
    refuses(
        &bench,
        "owner.pem",
        "-passin pass:wrong",
        &["the key's policy asks for the authorization value of the owner hierarchy"],
    );
    key_for(
        &bench,
        "index",
        &["tpm2_policysecret -c 0x01500001 opensesame"],
        None,
    );
    let shown = bench.tpm.tool("tpm2_nvreadpublic 0x01500001").ok().out();
    let name = shown
        .split("name: ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let name = hex::decode(name.expect("the index's name").trim()).expect("hexadecimal");
    for hint in [0x0150_0001, 0x0150_0002, 0] {
        File::with_pin(vec![secret(hint, &name)]).write(&bench, "index");
        signs(&bench, "index.pem", "index.pub", "-passin pass:opensesame");
    }
    bench.tpm.assert_clean();
}

#[test]
fn what_an_nv_index_has() {
    let bench = Bench::new();
    bench.tool("tpm2_nvdefine -Q 0x01500002 -s 2 -a authread|ownerread|ownerwrite");
    let write = |value: [u8; 2]| {
        std::fs::write(bench.openssl.dir().join("value"), value).expect("a file");
        bench.tool("tpm2_nvwrite -Q 0x01500002 -C o -i value");
    };
    write([1, 5]);
    std::fs::write(bench.openssl.dir().join("five"), [5]).expect("a file");
    key_for(
        &bench,
        "nv",
        &["tpm2_policynv 0x01500002 uge -i five --offset 1 -C o"],
        None,
    );
    let shown = bench.tpm.tool("tpm2_nvreadpublic 0x01500002").ok().out();
    let name = shown
        .split("name: ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let name = hex::decode(name.expect("the index's name").trim()).expect("hexadecimal");
    let index = [&0x0150_0002u32.to_be_bytes()[..], &tpm2b(&name)].concat();
    let owner = [&0x4000_0001u32.to_be_bytes()[..], &tpm2b(&[0x40, 0, 0, 1])].concat();
    let operand = [&tpm2b(&[5])[..], &[0, 1, 0, 7]].concat();
    for body in [
        [&index[..], &operand].concat(),
        [&owner[..], &index, &operand].concat(),
    ] {
        File::of(vec![(0x149, body)]).write(&bench, "nv");
        write([1, 5]);
        signs(&bench, "nv.pem", "nv.pub", "");
        write([1, 4]);
        refuses(&bench, "nv.pem", "", &["PolicyNV (0x01500002) is refused"]);
    }
    bench.tpm.assert_clean();
}

/// Somebody's key pair: `author.pem`, and what a TPM loads of it.
fn author(bench: &Bench, name: &str, rsa: bool) -> Vec<u8> {
    let plain = bench.openssl.plain();
    match rsa {
        true => key::software_rsa(&bench.openssl, name, 2048),
        false => key::software_ec(&bench.openssl, name, "P-256"),
    }
    plain.ok(&format!("pkey -in {name}.pem -pubout -out {name}.pub"));
    let algorithm = if rsa { "rsa" } else { "ecc" };
    bench.tool(&format!(
        "tpm2_loadexternal -Q -C o -G {algorithm} -u {name}.pub -c {name}.ctx -n {name}.name"
    ));
    bench.tool(&format!("tpm2_readpublic -Q -c {name}.ctx -o {name}.tpm2b"));
    bench.tpm.flush();
    bench.openssl.dir().read(&format!("{name}.tpm2b"))
}

/// A `TPMT_SIGNATURE` over a message with SHA-256.
fn signature(bench: &Bench, author: &str, rsa: bool, message: &[u8]) -> Vec<u8> {
    bench.openssl.dir().write("message", message);
    bench.openssl.plain().ok(&format!(
        "dgst -sha256 -sign {author}.pem -out signature message"
    ));
    let signature = bench.openssl.dir().read("signature");
    match rsa {
        true => [&[0, 0x14, 0, 0x0b][..], &tpm2b(&signature)].concat(),
        false => {
            let signature = openssl::ecdsa::EcdsaSig::from_der(&signature).expect("a signature");
            let number = |number: &openssl::bn::BigNumRef| {
                tpm2b(&number.to_vec_padded(32).expect("32 bytes"))
            };
            [
                &[0, 0x18, 0, 0x0b][..],
                &number(signature.r()),
                &number(signature.s()),
            ]
            .concat()
        }
    }
}

/// Signed policies, tried in their order: the first does not hold, the second does; forged ones are passed over.
#[test]
fn policies_that_somebody_signed() {
    for rsa in [false, true] {
        let bench = Bench::new();
        let public = author(&bench, "author", rsa);
        let stranger = author(&bench, "stranger", rsa);
        let reference = b"reference".to_vec();
        bench.openssl.dir().write("ref", &reference);
        let empty = [0; 32];
        bench.openssl.dir().write("empty", empty);
        key_for(
            &bench,
            "key",
            &["tpm2_policyauthorize -i empty -q 7265666572656e6365 -n author.name"],
            None,
        );
        let authorize = |public: &[u8], reference: &[u8], signature: &[u8]| -> Command {
            (0x16a, [public, &tpm2b(reference), signature].concat())
        };
        let approved = |registers: &[u8], digest: &[u8]| {
            let body = [
                &0x17fu32.to_be_bytes()[..],
                &selection(SHA256, registers),
                digest,
            ]
            .concat();
            openssl::sha::sha256(&[&[0; 32][..], &body].concat()).to_vec()
        };
        let entry = |name: &str, by: &str, public: &[u8], reference: &[u8], digest: &[u8]| {
            let message = [&approved(&[16], digest)[..], reference].concat();
            let signature = signature(&bench, by, rsa, &message);
            let commands = vec![pcr(&[16], digest), authorize(public, reference, &signature)];
            (Some(name.to_owned()), commands)
        };
        let (old, new) = (zeros(1), openssl::sha::sha256(&after_extension()).to_vec());
        // Two ways to write that there is no signature yet.
        for null in [&[0, 0x10][..], &[]] {
            let mut file = File::of(vec![authorize(&public, &reference, null)]);
            file.write(&bench, "key");
            refuses(&bench, "key.pem", "", &["none is in its file"]);
            file.signed = vec![
                entry("another key", "stranger", &stranger, &reference, &old),
                entry("not by it", "stranger", &public, &reference, &old),
                entry("another reference", "author", &public, b"other", &old),
                entry("not yet", "author", &public, &reference, &new),
            ];
            file.write(&bench, "key");
            refuses(&bench, "key.pem", "", &["sha256:16"]);
            file.signed
                .push(entry("now", "author", &public, &reference, &old));
            file.write(&bench, "key");
            signs(&bench, "key.pem", "key.pub", "");
        }
        extend(&bench, 16);
        signs(&bench, "key.pem", "key.pub", "");
        bench.tpm.assert_clean();
    }
}

/// What a register has after [`extend`].
fn after_extension() -> Vec<u8> {
    openssl::sha::sha256(&[[0; 32], [0xab; 32]].concat()).to_vec()
}

/// One signature for every use: with the key in the file, or by the name of one in the TPM.
#[test]
fn a_signature_in_the_file() {
    let bench = Bench::new();
    let public = author(&bench, "author", false);
    let message = [0u8; 4];
    let signed = signature(&bench, "author", false, &message);
    bench.openssl.dir().write("message", message);
    bench.tool("tpm2_loadexternal -Q -C o -G ecc -u author.pub -c author.ctx");
    bench.tpm.flush();
    key_for_signed(&bench);
    let tail = [&tpm2b(b"")[..], &tpm2b(b""), &tpm2b(b""), &[0; 4], &signed].concat();
    File::of(vec![(0x160, [&public[..], &tail].concat())]).write(&bench, "key");
    signs(&bench, "key.pem", "key.pub", "");
    let mut forged = tail.clone();
    *forged.last_mut().expect("a signature") ^= 1;
    File::of(vec![(0x160, [&public[..], &forged].concat())]).write(&bench, "key");
    refuses(&bench, "key.pem", "", &["PolicySigned is refused"]);
    // A nonce is of a session that is over.
    let stale = [
        &public[..],
        &tpm2b(&[7; 16]),
        &tpm2b(b""),
        &tpm2b(b""),
        &[0; 4],
        &signed,
    ]
    .concat();
    File::of(vec![(0x160, stale)]).write(&bench, "key");
    refuses(&bench, "key.pem", "", &["policy[0]", "one session only"]);
    bench.tpm.assert_clean();
}

fn key_for_signed(bench: &Bench) {
    bench
        .openssl
        .plain()
        .ok("dgst -sha256 -sign author.pem -out signature message");
    key_for(
        bench,
        "key",
        &["tpm2_policysigned -g sha256 -s signature -f ecdsa -c author.ctx"],
        None,
    );
}

/// Alternatives: the field is ours, the digests are tpm2-tools'.
#[test]
fn alternatives() {
    let bench = Bench::new();
    let digest = |name: &str, tool: &str| {
        bench.tool("tpm2_startauthsession -S session");
        let (tool, arguments) = tool.split_once(' ').unwrap_or((tool, ""));
        bench.tool(&format!("{tool} -Q -S session -L {name} {arguments}"));
        bench.tool("tpm2_flushcontext session");
        bench.openssl.dir().read(name)
    };
    let state = digest("state", "tpm2_policypcr -l sha256:16");
    let pin = digest("pin", "tpm2_policyauthvalue");
    key_for(
        &bench,
        "key",
        &["tpm2_policyauthvalue", "tpm2_policyor sha256:state,pin"],
        Some("4711"),
    );
    let body = [&[0, 0, 0, 2][..], &tpm2b(&state), &tpm2b(&pin)].concat();
    let mut file = File::with_pin(vec![(0x171, body)]);
    file.branches = vec![vec![vec![pcr(&[16], &zeros(1))], vec![auth_value()]]];
    file.write(&bench, "key");
    // In the right state nobody needs to know the PIN, and one that is given is not tried.
    signs(&bench, "key.pem", "key.pub", "-passin pass:");
    signs(&bench, "key.pem", "key.pub", "-passin pass:wrong");
    extend(&bench, 16);
    signs(&bench, "key.pem", "key.pub", "-passin pass:4711");
    assert!(!bench.tap.saw(b"4711"));
    refuses(
        &bench,
        "key.pem",
        "-passin pass:wrong",
        &["authorization value is wrong"],
    );
    bench.tpm.assert_clean();
}

/// What cannot be executed is refused when the file is loaded, by its place, without a TPM command.
#[test]
fn files_that_are_wrong() {
    let bench = Bench::new();
    key_for(&bench, "key", &["tpm2_policypcr -l sha256:16"], None);
    let good = pcr(&[16], &zeros(1));
    let public = author(&bench, "author", false);
    let null = (0x16a, [&public[..], &tpm2b(b""), &[0, 0x10]].concat());
    let many: Vec<_> = (0..100).map(|_| (None, vec![null.clone()])).collect();
    let long = vec![good.clone(); 600];
    let cases: Vec<(File, &str)> = vec![
        (File::of(Vec::new()), "can be used with a policy only"),
        (
            File::of(vec![pcr(&[16], &[1; 32])]),
            "is not the one that the key was made with",
        ),
        (
            File::of(vec![good.clone(), auth_value()]),
            "is not the one that the key was made with",
        ),
        (File::of(vec![pcr(&[16], &[1; 31])]), "policy[0]"),
        (File::of(vec![(0x17f, vec![0, 0, 0, 1])]), "policy[0]"),
        (File::of(vec![good.clone(), (0x16b, vec![0])]), "policy[1]"),
        (
            File::of(vec![(0x188, vec![0; 4])]),
            "PolicyDuplicationSelect (0x188)",
        ),
        (
            File::of(vec![(0x7777, Vec::new())]),
            "unknown policy command (0x7777)",
        ),
        (File::of(vec![(0x16f, Vec::new())]), "PolicyLocality"),
        (File::of(vec![(0x16d, vec![0, 0, 0])]), "PolicyCounterTimer"),
        (
            File::of(vec![(0x16d, vec![1, 0, 0, 0, 99])]),
            "PolicyCounterTimer",
        ),
        (File::of(vec![(0x151, vec![0; 6])]), "PolicySecret"),
        (File::of(vec![(0x171, vec![0xff; 8])]), "PolicyOR"),
        (File::of(vec![good.clone(), null.clone()]), "policy"),
        (
            File {
                signed: many.clone(),
                ..File::of(vec![good.clone()])
            },
            "authPolicy[0]",
        ),
        (
            File {
                signed: many,
                ..File::of(vec![null.clone()])
            },
            "authPolicy[0]",
        ),
        (
            File {
                signed: vec![(None, vec![good.clone()])],
                ..File::of(vec![null])
            },
            "ends with PolicyAuthorize",
        ),
        (
            File {
                branches: vec![vec![vec![auth_value()]]],
                ..File::of(vec![good.clone()])
            },
            "branches",
        ),
        // [7], which no text defines.
        (
            File {
                more: vec![0xa7, 2, 5, 0],
                ..File::of(vec![good])
            },
            "field [7]",
        ),
        (File::of(long), "is not the one"),
    ];
    for (file, reason) in cases {
        file.write(&bench, "key");
        bench.tap.reset();
        refuses(&bench, "key.pem", "", &[reason]);
        assert_eq!(bench.tap.names(), Vec::<String>::new(), "{reason}");
    }
    writer::File::of(vec![pcr(&[16], &zeros(1))]).write(&bench, "key");
    signs(&bench, "key.pem", "key.pub", "");
    bench.tpm.assert_clean();
}
