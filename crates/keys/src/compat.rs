//! Which other programs refuse a key file, and why: one table of the readers that there are.
#![forbid(unsafe_code)]

use crypto::der::{Reader as DerReader, tag};
use tss::tpm2::{Attributes, Public};

use crate::policy::{self, compat};
use crate::tss2::{ENDORSEMENT, KeyFile, Kind, NULL, OWNER, PLATFORM};

/// A program that does not take a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The program.
    pub reader: &'static str,
    /// What it does not know, or does wrongly.
    pub why: String,
}

/// A file as its readers see it.
struct Seen {
    file: KeyFile,
    /// The numbers of the optional fields that are there, a bit each.
    fields: u8,
    /// Whether it is a PKCS#8 container.
    pkcs8: bool,
    /// Whether it is in PEM.
    pem: bool,
}

/// The optional fields by their numbers (draft-bottomley-tpm-keys-00, 3.1; \[6\] is ours).
const FIELDS: [&str; 7] = [
    "emptyAuth",
    "policy",
    "secret",
    "authPolicy",
    "description",
    "rsaParent",
    "branches",
];
const EMPTY_AUTH: u8 = 0;
const DESCRIPTION: u8 = 4;
const RSA_PARENT: u8 = 5;
const BRANCHES: u8 = 6;

/// A row of the table.
struct Reader {
    name: &'static str,
    /// What it reads.
    kinds: &'static [Kind],
    /// The first and the last optional field that it does not know.
    unknown: std::ops::RangeInclusive<u8>,
    /// Whether it reads PEM, and not DER alone.
    pem: bool,
    /// Whether it reads the predecessor's form.
    legacy: bool,
    /// What else is in its way.
    besides: fn(&Seen) -> Option<String>,
}

/// No field is unknown.
const KNOWS_ALL: std::ops::RangeInclusive<u8> = BRANCHES..=BRANCHES;
const KEYS: &[Kind] = &[Kind::Loadable, Kind::Importable];

/// The readers, and the version that was looked at.
const READERS: &[Reader] = &[
    Reader {
        name: "openssl_tpm2_engine 4.3",
        kinds: &[Kind::Loadable, Kind::Importable, Kind::Sealed],
        unknown: DESCRIPTION..=BRANCHES,
        pem: true,
        legacy: true,
        besides: |seen| policy_beyond(seen, "openssl_tpm2_engine"),
    },
    Reader {
        name: "tpm2-openssl",
        kinds: &[Kind::Loadable],
        unknown: 1..=BRANCHES,
        pem: true,
        legacy: false,
        besides: |_| None,
    },
    Reader {
        name: "tpm2-pytss",
        kinds: &[Kind::Loadable],
        unknown: 1..=BRANCHES,
        pem: true,
        legacy: false,
        besides: |seen| {
            let absent = !seen.has(EMPTY_AUTH);
            absent.then(|| "it needs the field emptyAuth, which is optional and not there".into())
        },
    },
    Reader {
        name: "go-tpm-keyfiles (ssh-tpm-agent, age-plugin-tpm)",
        kinds: KEYS,
        unknown: KNOWS_ALL,
        pem: true,
        legacy: false,
        besides: go,
    },
    Reader {
        name: "GnuTLS and OpenConnect",
        kinds: &[Kind::Loadable],
        unknown: 1..=BRANCHES,
        pem: true,
        legacy: false,
        besides: |_| None,
    },
    Reader {
        name: "smallstep's tss2",
        kinds: KEYS,
        unknown: DESCRIPTION..=BRANCHES,
        pem: true,
        legacy: false,
        besides: |seen| {
            let policy = !seen.file.policy.is_empty();
            policy.then(|| "it does not execute policies".into())
        },
    },
    Reader {
        name: "GRUB 2.14",
        kinds: &[Kind::Sealed],
        unknown: KNOWS_ALL,
        pem: false,
        legacy: false,
        besides: |seen| policy_beyond(seen, "GRUB"),
    },
    Reader {
        name: "Linux trusted keys",
        kinds: &[Kind::Sealed],
        unknown: 1..=BRANCHES,
        pem: false,
        legacy: false,
        besides: |_| None,
    },
];

/// The known readers that do not take a file, with the first reason for each. A file that cannot be read at all is
/// refused by nobody: there is nothing to be said about it.
pub fn refused_by(bytes: &[u8]) -> Vec<Refusal> {
    let Some(seen) = Seen::new(bytes) else {
        return Vec::new();
    };
    READERS
        .iter()
        // Who opens disks is not asked about keys, nor who signs about data.
        .filter(|reader| {
            let sealed = |kind: &Kind| *kind == Kind::Sealed;
            reader
                .kinds
                .iter()
                .any(|kind| sealed(kind) == sealed(&seen.file.kind))
        })
        .filter_map(|reader| {
            reader.refuses(&seen).map(|why| Refusal {
                reader: reader.name,
                why,
            })
        })
        .collect()
}

impl Reader {
    fn refuses(&self, seen: &Seen) -> Option<String> {
        let file = &seen.file;
        if seen.pkcs8 {
            return Some("it does not look for a TPM's key in PKCS#8".into());
        }
        if file.legacy && !self.legacy {
            return Some("it does not know the older form TSS2 KEY BLOB".into());
        }
        if !self.kinds.contains(&file.kind) {
            return Some(match file.kind {
                Kind::Loadable => "it reads no keys".into(),
                Kind::Importable => {
                    "it reads no importable keys: `tpmctl key finish` makes a loadable one".into()
                }
                Kind::Sealed => "it reads no sealed data".into(),
            });
        }
        if seen.pem && !self.pem {
            return Some("it reads DER and no PEM".into());
        }
        let unknown = (0..=BRANCHES)
            .find(|field| seen.has(*field) && (self.unknown.contains(field) || *field == BRANCHES));
        if let Some(field) = unknown {
            let name = FIELDS[usize::from(field)];
            return Some(format!("it does not know the field {name} [{field}]"));
        }
        (self.besides)(seen)
    }
}

impl Seen {
    fn new(bytes: &[u8]) -> Option<Self> {
        let file = KeyFile::from_bytes(bytes).ok()?;
        let in_pem = KeyFile::der_in_pem(bytes).ok().flatten();
        let is_der = bytes.first() == Some(&0x30) && DerReader::new(bytes).element().is_ok();
        let (der, pem) = match in_pem {
            Some(der) => (der, true),
            None if is_der => (bytes.to_vec(), false),
            None => (file.to_der(), true),
        };
        let mut outer = DerReader::new(&der);
        let mut fields = outer.element().ok()?.reader();
        let first = fields.element().ok()?.tag;
        // A key file begins with its type, the container with its version.
        let pkcs8 = first == tag::INTEGER || (pem && KeyFile::der_in_pem(bytes) == Ok(None));
        let mut seen = 0;
        while let Ok(field) = fields.element() {
            for number in 0..=BRANCHES {
                if field.tag == tag::explicit(number) {
                    seen |= 1 << number;
                }
            }
        }
        Some(Self {
            file,
            fields: seen,
            pkcs8,
            pem,
        })
    }

    fn has(&self, field: u8) -> bool {
        self.fields & 1 << field != 0
    }
}

/// A policy with commands that a reader does not execute.
fn policy_beyond(seen: &Seen, reader: &str) -> Option<String> {
    let policy = policy::of_file(&seen.file).ok()?;
    let refused = compat::refused_by(&policy);
    refused
        .contains(&reader)
        .then(|| "it does not execute all commands of the policy".into())
}

fn go(seen: &Seen) -> Option<String> {
    let file = &seen.file;
    if file.rsa_parent && seen.has(RSA_PARENT) {
        return Some("it ignores the field rsaParent [5], and makes another parent".into());
    }
    if !file.policy.is_empty() {
        return Some("it does not execute policies".into());
    }
    let hierarchies = [OWNER, NULL, ENDORSEMENT, PLATFORM];
    if file.kind == Kind::Importable && !hierarchies.contains(&file.parent) {
        return Some("it imports below parents of hierarchies only".into());
    }
    let public = Public::from_tpm2b(&file.public).ok()?;
    let no_auth = !public.attributes().contains(Attributes::USER_WITH_AUTH);
    no_auth.then(|| "it uses keys by their authorization value, which this one has not".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tss2::PolicyCommand;

    const SAMPLE: &[u8] = include_bytes!("../../../tests/data/tpm2/o_ec.pem");

    fn sample() -> KeyFile {
        KeyFile::from_bytes(SAMPLE).unwrap()
    }

    fn refused(file: &KeyFile) -> Vec<Refusal> {
        refused_by(file.to_pem().as_bytes())
    }

    fn names(refused: &[Refusal]) -> Vec<&'static str> {
        refused.iter().map(|refusal| refusal.reader).collect()
    }

    fn why<'a>(refused: &'a [Refusal], reader: &str) -> &'a str {
        let found = refused
            .iter()
            .find(|refusal| refusal.reader.starts_with(reader));
        found.map_or("", |refusal| &refusal.why)
    }

    #[test]
    fn everybody_reads_what_we_write() {
        assert_eq!(refused(&sample()), []);
        assert_eq!(refused_by(b"nothing"), []);
    }

    #[test]
    fn each_field_has_its_readers() {
        let described = KeyFile {
            description: Some("www".into()),
            ..sample()
        };
        let found = refused(&described);
        assert_eq!(
            names(&found),
            [
                "openssl_tpm2_engine 4.3",
                "tpm2-openssl",
                "tpm2-pytss",
                "GnuTLS and OpenConnect",
                "smallstep's tss2"
            ]
        );
        assert_eq!(
            why(&found, "tpm2-openssl"),
            "it does not know the field description [4]"
        );
        let rsa = KeyFile {
            rsa_parent: true,
            ..sample()
        };
        assert!(why(&refused(&rsa), "go-tpm").contains("rsaParent"));
        let policy = KeyFile {
            policy: vec![PolicyCommand {
                code: 0x16b,
                body: Vec::new(),
            }],
            ..sample()
        };
        let found = refused(&policy);
        assert_eq!(why(&found, "openssl_tpm2_engine"), "");
        assert!(why(&found, "GnuTLS").contains("policy [1]"));
        assert!(why(&found, "go-tpm").contains("policies"));
        let legacy = KeyFile {
            legacy: true,
            ..sample()
        };
        assert!(!names(&refused(&legacy)).contains(&"openssl_tpm2_engine 4.3"));
        assert!(why(&refused(&legacy), "tpm2-openssl").contains("TSS2 KEY BLOB"));
    }

    #[test]
    fn an_importable_file_is_not_for_all() {
        let importable = include_bytes!("../../../tests/data/tpm2/j_imp_ec.pem");
        let found = refused_by(importable);
        assert!(why(&found, "tpm2-openssl").contains("key finish"));
        assert_eq!(why(&found, "smallstep"), "");
    }

    #[test]
    fn pytss_wants_the_optional_field() {
        // Its TLV is taken out.
        let der = sample().to_der();
        let at = der.windows(5).position(|part| part[..4] == [0xa0, 3, 1, 1]);
        let at = at.unwrap();
        let mut without = [&der[..at], &der[at + 5..]].concat();
        without[2] = u8::try_from(without.len() - 3).unwrap();
        let found = refused_by(&without);
        assert!(why(&found, "tpm2-pytss").contains("emptyAuth"), "{found:?}");
    }

    #[test]
    fn pkcs8_is_ours_alone() {
        let found = refused_by(sample().to_pkcs8_pem().as_bytes());
        assert!(why(&found, "tpm2-openssl").contains("PKCS#8"), "{found:?}");
    }

    #[test]
    fn sealed_data_are_for_grub_and_the_kernel() {
        let sealed = include_bytes!("../../../tests/data/tpm2/j_seal.pem");
        let found = refused_by(sealed);
        assert!(why(&found, "Linux").contains("no PEM"), "{found:?}");
        assert!(!names(&found).contains(&"tpm2-openssl"));
        let der = KeyFile::from_bytes(sealed).unwrap().to_der();
        assert_eq!(why(&refused_by(&der), "GRUB"), "");
    }
}
