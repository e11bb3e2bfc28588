//! `tpmctl key show` of a key of a TPM 1.2.

use std::path::Path;

use keys::printable;
use keys::{Key, enc_scheme_name, sig_scheme_name};
use serde::Serialize;
use tss::tpm12::{Format, KeyBlob};

use super::show::verdict;
use crate::cli::Global;
use crate::error::Error;
use crate::output::{self, Report};

/// What servers must be told about such a key.
pub(super) const TLS12: &str = "1.2 only, since a TPM 1.2 has no PSS, which TLS 1.3 signs with; and a line for the server: \
     SignatureAlgorithms = RSA+SHA256:RSA+SHA384:RSA+SHA512 (nginx: `ssl_protocols TLSv1.2;` and \
     `ssl_conf_command SignatureAlgorithms RSA+SHA256:RSA+SHA384:RSA+SHA512;`)";

/// Everything in the file.
#[derive(Serialize)]
struct Shown {
    format: &'static str,
    structure: &'static str,
    #[serde(rename = "type")]
    key_type: String,
    bits: u32,
    exponent: u32,
    usage: &'static str,
    signature_scheme: &'static str,
    encryption_scheme: &'static str,
    parent: &'static str,
    authorization: bool,
    migratable: bool,
    bound_to_pcrs: bool,
    usable: bool,
    problem: Option<String>,
}

/// Shows the key.
pub(super) fn run(global: &Global, path: &Path, blob: KeyBlob) -> Result<(), Error> {
    let mut shown = Shown {
        format: "TSS KEY BLOB",
        structure: match blob.format() {
            Format::Key => "TPM_KEY",
            Format::Key12 => "TPM_KEY12",
        },
        key_type: format!("RSA {}", blob.bits()),
        bits: blob.bits(),
        exponent: blob.exponent(),
        usage: blob.usage().name(),
        signature_scheme: sig_scheme_name(blob.sig_scheme()),
        encryption_scheme: enc_scheme_name(blob.enc_scheme()),
        parent: "SRK",
        authorization: blob.needs_auth(),
        migratable: blob.flags() & KeyBlob::MIGRATABLE != 0,
        bound_to_pcrs: blob.is_bound_to_pcrs(),
        usable: true,
        problem: None,
    };
    // The judgement is the provider's own. Nothing of this opens a TPM.
    if let Err(error) = Key::check_blob(&blob) {
        shown.usable = false;
        shown.problem = Some(error.to_string());
    }
    if global.json {
        output::print_json(&shown)
    } else {
        output::print_as_is(&shown.text(path))
    }
}

impl Shown {
    fn text(&self, path: &Path) -> String {
        let yes = |is| if is { "yes" } else { "no" };
        let mut report = Report::new();
        report
            .heading(&printable::path(path))
            .fact(
                "format",
                format!("{} ({}), for a TPM 1.2", self.format, self.structure),
            )
            .fact("type", &self.key_type);
        if self.exponent != 65537 {
            report.fact("public exponent", self.exponent);
        }
        report
            .fact("usage", self.usage)
            .fact("signatures", self.signature_scheme)
            .fact("decryption", self.encryption_scheme)
            .fact("parent", "storage root key (SRK)")
            .fact(
                "authorization",
                if self.authorization {
                    "asked for when the key is loaded"
                } else {
                    "none"
                },
            )
            .fact("migratable", yes(self.migratable))
            .fact("bound to PCRs", yes(self.bound_to_pcrs))
            .fact("this version", verdict(self.problem.as_deref()));
        if self.usable {
            report.fact("TLS", TLS12);
        }
        report.finish()
    }
}
