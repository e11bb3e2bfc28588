//! `tpmctl key show`: what is in a key file, without a TPM.

use std::path::Path;

use keys::compat::{self, Refusal};
use keys::printable;
use keys::sealed::container::{Head, InTpm};
use keys::sealed::{Sealed, from_hex};
use keys::tss2::{KeyFile, Kind};
use keys::{Key, PublicKey, tss12};
use serde::Serialize;
use tss::tpm2::{Attributes, Parms, Public};

use super::file;
use super::policy::Step;
use super::show12;
use crate::action::key_file::not_attested;
use crate::cli::{Global, Show};
use crate::display::{self, hex, hex_bytes};
use crate::error::Error;
use crate::output::{self, Report};

/// The kind of files that hold data.
const SEALED: &str = "sealed";
/// The same where they were sealed on another machine.
const SEALED_ELSEWHERE: &str = "sealed-importable";

/// Everything in a key file.
#[derive(Serialize)]
struct Shown {
    format: &'static str,
    kind: &'static str,
    #[serde(rename = "type")]
    key_type: String,
    bits: Option<u16>,
    exponent: Option<u32>,
    curve: Option<String>,
    purpose: &'static str,
    scheme: String,
    attributes: Vec<String>,
    /// Absent for data, which always comes from outside.
    origin: Option<Origin>,
    name: Option<String>,
    parent: String,
    parent_text: String,
    rsa_parent: bool,
    authorization: bool,
    policy: Vec<Step>,
    signed_policies: Vec<Signed>,
    policy_digest: Option<String>,
    description: Option<String>,
    /// What is encrypted under a sealed key, and comes behind it.
    contents: Option<&'static str>,
    usable: bool,
    problem: Option<String>,
    /// Other programs that do not take the file; absent unless asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_by: Option<Vec<Refused>>,
}

/// A program that does not take the file.
#[derive(Serialize)]
struct Refused {
    reader: &'static str,
    why: String,
}

#[derive(Serialize)]
struct Signed {
    name: Option<String>,
    policy: Vec<Step>,
}

/// Shows the file.
pub(crate) fn run(global: &Global, args: &Show) -> Result<(), Error> {
    let path = &args.file;
    let bytes = file::read_beginning(path)?;
    let in_file = |text: String| Error::new(format!("{}: {text}", printable::path(path)));
    if tss12::is_ours(&bytes) {
        let blob = tss12::from_bytes(&bytes).map_err(|error| in_file(error.to_string()))?;
        return show12::run(global, path, blob);
    }
    not_attested(&bytes, path)?;
    if let Ok(Head {
        sealed: InTpm::One(sealed),
        contents,
    }) = Head::read(&mut &*bytes)
    {
        return show12::sealed(global, path, &sealed, contents.is_some());
    }
    let bytes = from_hex(&bytes).unwrap_or(bytes);
    let file = KeyFile::from_bytes(&bytes).map_err(|error| in_file(error.to_string()))?;
    let public = Public::from_tpm2b(&file.public)
        .map_err(|error| in_file(format!("the key's public area is damaged: {error}")))?;
    let mut shown = Shown::new(&file, &public)?;
    shown.contents = contents(&bytes);
    shown.refused_by = args.compat.then(|| {
        let refused = compat::refused_by(&bytes).into_iter();
        refused
            .map(|Refusal { reader, why }| Refused { reader, why })
            .collect()
    });
    if global.json {
        output::print_json(&shown)
    } else {
        output::print_as_is(&shown.text(path))
    }
}

/// Where a private key has been.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Origin {
    /// Made in this TPM, and in no other.
    Tpm,
    /// Made in a TPM; every TPM that has the parent can load it.
    Fleet,
    /// It was made outside of any TPM.
    Outside,
}

impl Origin {
    fn of(attributes: Attributes) -> Self {
        if !attributes.contains(Attributes::SENSITIVE_DATA_ORIGIN) {
            return Self::Outside;
        }
        match attributes.contains(Attributes::FIXED_TPM) {
            true => Self::Tpm,
            false => Self::Fleet,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Tpm => "made in its TPM, and never outside",
            Self::Fleet => {
                "made in a TPM, its file says; it can be loaded in every TPM that has its parent"
            }
            Self::Outside => "it was outside of a TPM: there may be copies of it",
        }
    }
}

impl Shown {
    fn new(file: &KeyFile, public: &Public) -> Result<Self, Error> {
        let steps = |policy: &[_]| policy.iter().map(Step::new).collect::<Vec<_>>();
        let (bits, exponent, curve) = match public.parms() {
            Parms::Rsa { bits, exponent, .. } => {
                let exponent = if *exponent == 0 { 65537 } else { *exponent };
                (Some(*bits), Some(exponent), None)
            }
            Parms::Ecc { curve, .. } => {
                let bits = PublicKey::of(public).ok().map(|key| key.bits());
                let bits = bits.and_then(|bits| u16::try_from(bits).ok());
                (bits, None, Some(display::curve_name(*curve)))
            }
            _ => (None, None, None),
        };
        // The judgement is the provider's own, and that of `tpmctl unseal`. Nothing of this opens a TPM.
        let judged = match file.kind {
            Kind::Sealed => Sealed::check_file(file),
            Kind::Loadable | Kind::Importable => Key::check_file(file),
        };
        let problem = judged.err().map(|error| error.to_string());
        Ok(Self {
            format: if file.legacy {
                "TSS2 KEY BLOB"
            } else {
                "TSS2 PRIVATE KEY"
            },
            kind: match file.kind {
                Kind::Loadable => "loadable",
                Kind::Importable => "importable",
                Kind::Sealed if file.secret.is_some() => SEALED_ELSEWHERE,
                Kind::Sealed => SEALED,
            },
            key_type: display::kind(public),
            bits,
            exponent,
            curve,
            purpose: match file.kind {
                Kind::Sealed => "holds data",
                _ => display::purpose(public),
            },
            scheme: display::scheme(public.scheme()),
            attributes: display::attributes(public.attributes()),
            origin: (file.kind != Kind::Sealed).then(|| Origin::of(public.attributes())),
            name: public.name().ok().map(|name| name.to_string()),
            parent: hex(file.parent),
            parent_text: file.parent_text(),
            rsa_parent: file.rsa_parent,
            authorization: !file.empty_auth,
            policy: steps(&file.policy),
            signed_policies: file
                .auth_policies
                .iter()
                .map(|signed| Signed {
                    name: signed.name.clone(),
                    policy: steps(&signed.policy),
                })
                .collect(),
            policy_digest: Some(hex_bytes(public.auth_policy())).filter(|hex| !hex.is_empty()),
            description: file.description.clone(),
            contents: None,
            usable: problem.is_none(),
            problem,
            refused_by: None,
        })
    }

    fn text(&self, path: &Path) -> String {
        let mut report = Report::new();
        report
            .heading(&printable::path(path))
            .fact("format", format!("{}, {}", self.format, self.kind_text()))
            .fact("type", &self.key_type);
        if let Some(origin) = self.origin {
            report.fact("origin", origin.text());
        }
        if let Some(exponent) = self.exponent.filter(|exponent| *exponent != 65537) {
            report.fact("public exponent", exponent);
        }
        report
            .fact("purpose", self.purpose)
            .fact("scheme", &self.scheme)
            .fact("attributes", self.attributes.join(" "))
            .fact("parent", &self.parent_text)
            .fact(
                "authorization",
                match (self.authorization, self.kind) {
                    (false, _) => "none",
                    (true, SEALED | SEALED_ELSEWHERE) => "asked for when it is unsealed",
                    (true, _) => "asked for when the key is loaded",
                },
            );
        self.policy_text(&mut report);
        if let Some(description) = &self.description {
            report.fact("description", printable::quoted(description));
        }
        if let Some(contents) = self.contents {
            report.fact(
                "contents",
                format!("{contents}, under the key that is sealed"),
            );
        }
        let verdict = match (&self.problem, self.kind) {
            (None, SEALED | SEALED_ELSEWHERE) => {
                "can use it: `tpmctl unseal` gives the data".to_owned()
            }
            (problem, _) => verdict(problem.as_deref()),
        };
        report
            .fact("name", self.name.as_deref().unwrap_or("not known"))
            .fact("this version", verdict);
        match self.refused_by.as_deref() {
            None => {}
            Some([]) => {
                report.fact("other programs", "no known reader of its kind refuses it");
            }
            Some(refused) => {
                for Refused { reader, why } in refused {
                    report.fact("refused by", format!("{reader}: {why}"));
                }
            }
        }
        report.finish()
    }

    fn kind_text(&self) -> &'static str {
        match self.kind {
            "loadable" => "loaded by its parent",
            "importable" => "wrapped for its parent, to be imported",
            SEALED_ELSEWHERE => "data sealed on another machine, to be imported",
            _ => "sealed data",
        }
    }

    fn policy_text(&self, report: &mut Report) {
        let nothing = self.policy.is_empty() && self.signed_policies.is_empty();
        match (&self.policy_digest, nothing) {
            (None, true) => {
                report.fact("policy", "none");
            }
            (Some(_), true) => {
                report.fact("policy", "the key has one and the file does not say which");
            }
            (_, false) => {}
        }
        for step in &self.policy {
            report.fact("policy", step.text());
        }
        for signed in &self.signed_policies {
            let name = signed.name.as_ref();
            let name = name.map_or_else(|| "without a name".to_owned(), printable::quoted);
            let steps: Vec<String> = signed.policy.iter().map(Step::text).collect();
            report.fact("signed policy", format!("{name}: {}", steps.join(", ")));
        }
        if let Some(digest) = &self.policy_digest {
            report.fact("policy digest", digest);
        }
    }
}

/// What is behind a sealed key. Neither the key nor its file are to blame for what cannot be read there.
fn contents(bytes: &[u8]) -> Option<&'static str> {
    let head = Head::read(&mut &*bytes).ok()?;
    head.contents.map(|_| ENCRYPTED)
}

/// How contents are encrypted.
pub(super) const ENCRYPTED: &str = "encrypted with AES-256-GCM";

/// Whether this version can use the key, and why not.
pub(super) fn verdict(problem: Option<&str>) -> String {
    match problem {
        None => "can use it".to_owned(),
        Some(problem) => format!("cannot use it: {problem}"),
    }
}
