//! The table of costs: what each operation takes in TPM commands. Each row stands here once; the scenarios compare
//! with it what they measure, and so does the documentation.

use std::collections::BTreeMap;
use std::fs;

use testkit::bench::Bench;
use testkit::client::Client;
use testkit::key::{self, SIGN};
use testkit::tools::root;

/// A row of the table in docs/architecture.md: the operation in the document's words, and its commands in their order.
pub struct Row {
    operation: &'static str,
    pub commands: &'static [(&'static str, usize)],
}

const fn row(operation: &'static str, commands: &'static [(&'static str, usize)]) -> Row {
    Row {
        operation,
        commands,
    }
}

pub const PUBLIC: Row = row(
    "load a key file, its public half, comparison with a certificate, `nginx -t`, store listing",
    &[],
);
pub const FIRST: Row = row(
    "first signature, persistent parent, or an SRK at 0x81000001 in a primary's place",
    &[
        ("ReadPublic", 1),
        ("StartAuthSession", 1),
        ("Load", 1),
        ("Sign", 1),
    ],
);
/// The ReadPublic looks for an SRK, once for a process.
pub const FIRST_UNDER_HIERARCHY: Row = row(
    "first signature, parent a hierarchy, no SRK",
    &[
        ("ReadPublic", 1),
        ("CreatePrimary", 1),
        ("StartAuthSession", 1),
        ("Load", 1),
        ("FlushContext", 1),
        ("Sign", 1),
    ],
);
pub const FURTHER: Row = row("every further signature, TLS handshake", &[("Sign", 1)]);
pub const FURTHER_WITH_PIN: Row = row(
    "every further signature with a PIN, bare",
    &[("StartAuthSession", 1), ("Sign", 1)],
);
pub const FURTHER_DECRYPTION: Row = row(
    "every further decryption, bare",
    &[("StartAuthSession", 1), ("RSA_Decrypt", 1)],
);
pub const FIRST_REJECTION: Row = row(
    "first PKCS#1 v1.5 decryption with implicit rejection, for each key and process, persistent parent, bare",
    &[
        ("ReadPublic", 1),
        ("StartAuthSession", 3),
        ("Load", 1),
        ("RSA_Decrypt", 2),
    ],
);
pub const HANDLE: Row = row(
    "`handle:` key, with `?name=` or without",
    &[("ReadPublic", 1), ("Sign", 1)],
);
pub const HANDLE_OF_PARENT: Row = row(
    "`handle:` key for which `parent-name` vouches",
    &[("ReadPublic", 3), ("StartAuthSession", 1), ("Sign", 1)],
);
pub const GENERATION: Row = row(
    "key generation under a hierarchy",
    &[
        ("CreatePrimary", 1),
        ("StartAuthSession", 1),
        ("Create", 1),
        ("FlushContext", 1),
    ],
);
pub const SEALING: Row = row(
    "sealing under a hierarchy, however much",
    &[
        ("CreatePrimary", 1),
        ("StartAuthSession", 1),
        ("Create", 1),
        ("FlushContext", 1),
    ],
);
pub const UNSEALING: Row = row(
    "unsealing, persistent parent, or an SRK at 0x81000001 in a primary's place",
    &[
        ("ReadPublic", 1),
        ("StartAuthSession", 1),
        ("Load", 1),
        ("Unseal", 1),
    ],
);
pub const UNSEALING_IMPORTED: Row = row(
    "unsealing what was sealed elsewhere, likewise",
    &[
        ("ReadPublic", 1),
        ("StartAuthSession", 2),
        ("Import", 1),
        ("Load", 1),
        ("Unseal", 1),
    ],
);
pub const FINISHING: Row = row(
    "`key finish`, persistent parent, or an SRK at 0x81000001 in a primary's place",
    &[("ReadPublic", 1), ("StartAuthSession", 1), ("Import", 1)],
);
pub const ATTESTING: Row = row(
    "`srk export --attest`, a persistent endorsement key with a certificate of up to 1024 bytes",
    &[
        ("ReadPublic", 3),
        ("GetCapability", 2),
        ("NV_ReadPublic", 1),
        ("NV_Read", 1),
        ("StartAuthSession", 1),
    ],
);
pub const ATTESTED: Row = row(
    "`key finish` of a key for a persistent endorsement key",
    &[
        ("ReadPublic", 2),
        ("StartAuthSession", 3),
        ("PolicySecret", 1),
        ("ActivateCredential", 1),
        ("Import", 1),
    ],
);
pub const LISTING: Row = row("`key wrap`, `key list` of files, `key show --compat`", &[]);
pub const SEALING12: Row = row(
    "sealing on a TPM 1.2, however much",
    &[("OSAP", 1), ("Seal", 1)],
);
pub const REGISTER12: Row = row("each register that it is for", &[("PCRRead", 1)]);
pub const UNSEALING12: Row = row("unsealing on a TPM 1.2", &[("OIAP", 2), ("Unseal", 1)]);
pub const STAND_INS: Row = row("digests; random numbers under the name `CTR-DRBG`", &[]);
pub const RANDOM: Row = row(
    "up to 32 random bytes under the name `TPM-RNG`",
    &[("ReadPublic", 1), ("StartAuthSession", 1), ("GetRandom", 1)],
);
pub const RANDOM_WITHOUT_SESSIONS: Row =
    row("the same with `sessions = never`", &[("GetRandom", 1)]);
pub const EXIT: Row = row(
    "exit, for each loaded object, bare",
    &[("ReadPublic", 1), ("FlushContext", 1)],
);
pub const MANAGED_EXIT: Row = row("exit, managed", &[]);

const TABLE: [&Row; 25] = [
    &PUBLIC,
    &FIRST,
    &FIRST_UNDER_HIERARCHY,
    &FURTHER,
    &FURTHER_WITH_PIN,
    &FURTHER_DECRYPTION,
    &FIRST_REJECTION,
    &HANDLE,
    &HANDLE_OF_PARENT,
    &GENERATION,
    &SEALING,
    &UNSEALING,
    &UNSEALING_IMPORTED,
    &FINISHING,
    &ATTESTING,
    &ATTESTED,
    &LISTING,
    &SEALING12,
    &REGISTER12,
    &UNSEALING12,
    &STAND_INS,
    &RANDOM,
    &RANDOM_WITHOUT_SESSIONS,
    &EXIT,
    &MANAGED_EXIT,
];

/// What these cost together.
pub fn sum(rows: &[&Row]) -> Vec<(&'static str, usize)> {
    let mut sum = BTreeMap::new();
    for &(name, count) in rows.iter().flat_map(|row| row.commands) {
        *sum.entry(name).or_default() += count;
    }
    sum.into_iter().collect()
}

/// As the document writes it: `none`, or `3 ReadPublic, Sign`.
fn text(row: &Row) -> String {
    let command = |&(name, count): &(&str, usize)| match count {
        1 => name.to_owned(),
        _ => format!("{count} {name}"),
    };
    match row.commands {
        [] => "none".to_owned(),
        commands => commands.iter().map(command).collect::<Vec<_>>().join(", "),
    }
}

#[test]
fn the_documentation_has_the_same_table() {
    let document = fs::read_to_string(root().join("docs/architecture.md")).expect("the document");
    let (_, rest) = document
        .split_once("| operation | TPM commands | test |\n|---|---|---|\n")
        .expect("the table");
    let documented: Vec<(String, String)> = rest
        .lines()
        .map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| {
            let cells: Vec<&str> = line.split(" | ").collect();
            let [operation, commands, tests] = cells[..] else {
                panic!("not three cells: {line}");
            };
            assert!(
                tests.contains("`suite: ") || tests.contains("`vm: "),
                "{line}"
            );
            (operation.to_owned(), commands.to_owned())
        })
        .collect();
    let measured = TABLE.map(|row| (row.operation.to_owned(), text(row)));
    assert_eq!(documented, measured);
}

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
    counts.are(PUBLIC.commands);
    tpm.assert_clean();
}

/// Every exit leaves a bare TPM as it was, so what was loaded is flushed: two commands for each object, since another
/// program may have taken its handle over.
#[test]
fn a_signature_under_a_persistent_parent() {
    let Bench { openssl, tap, tpm } = bench(true, "-pkeyopt parent:0x81000001");
    let (_, counts) = tap.cost(|| openssl.ok(SIGN));
    counts.are(&sum(&[&FIRST, &EXIT]));
    tpm.assert_clean();
}

#[test]
fn a_signature_under_a_hierarchy() {
    let Bench { openssl, tap, tpm } = bench(false, "");
    let (_, counts) = tap.cost(|| openssl.ok(SIGN));
    counts.are(&sum(&[&FIRST_UNDER_HIERARCHY, &EXIT]));
    tpm.assert_clean();
}

#[test]
fn the_srk_takes_the_primary_s_place() {
    let Bench { openssl, tap, tpm } = bench(false, "");
    tpm.provision_srk();
    let (_, counts) = tap.cost(|| openssl.ok(SIGN));
    counts.are(&sum(&[&FIRST, &EXIT]));
    tpm.assert_clean();
}

#[test]
fn every_further_operation() {
    let Bench { openssl, tap, tpm } = bench(true, "-pkeyopt parent:0x81000001");
    key::rsa(&openssl, "pin", 2048, "-pkeyopt user-auth:1234");
    let mut client = Client::start(&openssl);
    client.ok("pin 1234");
    for (number, file, signature) in [(1, "key.pem", &FURTHER), (2, "pin.pem", &FURTHER_WITH_PIN)] {
        client.ok(&format!("load {number} {file}"));
        client.ok(&format!("sign {number}"));
        for (operation, row) in [("sign", signature), ("decrypt", &FURTHER_DECRYPTION)] {
            for _ in 0..3 {
                let (_, counts) = tap.cost(|| client.ok(&format!("{operation} {number}")));
                counts.are(row.commands);
            }
        }
    }
    client.end();
    tpm.assert_clean();
}

#[test]
fn a_key_is_made_with_four_commands() {
    let Bench { openssl, tap, tpm } = bench(false, "");
    let (_, counts) = tap.cost(|| {
        openssl.ok("genpkey -propquery provider=tpm -algorithm RSA -pkeyopt bits:2048 -out k2.pem");
    });
    counts.are(GENERATION.commands);
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
