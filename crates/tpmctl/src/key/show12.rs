//! `tpmctl key show` of a key of a TPM 1.2, and of what one has sealed.

use std::path::Path;

use keys::printable;
use keys::sealed::tpm12::{LABEL, Sealed12};
use keys::{Key, enc_scheme_name, sig_scheme_name};
use serde::Serialize;
use tss::tpm12::{Format, KeyBlob};

use super::show::{ENCRYPTED, verdict};
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

/// Everything in a sealed file.
#[derive(Serialize)]
struct Data {
    format: &'static str,
    kind: &'static str,
    parent: &'static str,
    authorization: bool,
    registers: Vec<u8>,
    contents: Option<&'static str>,
    usable: bool,
}

/// Shows what a TPM 1.2 has sealed.
pub(super) fn sealed(
    global: &Global,
    path: &Path,
    sealed: &Sealed12,
    contents: bool,
) -> Result<(), Error> {
    let binding = sealed.data.binding();
    let data = Data {
        format: LABEL,
        kind: "sealed",
        parent: "SRK",
        authorization: sealed.needs_auth,
        registers: binding.map_or_else(Vec::new, |it| it.registers.numbers().to_vec()),
        contents: contents.then_some(ENCRYPTED),
        usable: contents,
    };
    if global.json {
        return output::print_json(&data);
    }
    let registers: Vec<String> = data.registers.iter().map(ToString::to_string).collect();
    let mut report = Report::new();
    report
        .heading(&printable::path(path))
        .fact("format", format!("{LABEL}, sealed data"))
        .fact("parent", "storage root key (SRK)")
        .fact(
            "authorization",
            match data.authorization {
                true => "asked for when it is unsealed",
                false => "none",
            },
        )
        .fact(
            "registers",
            match registers.is_empty() {
                true => "any".to_owned(),
                false => format!(
                    "sha1:{} as they were when it was sealed",
                    registers.join(",")
                ),
            },
        )
        .fact(
            "contents",
            match data.contents {
                Some(how) => format!("{how}, under the key that is sealed"),
                None => "none: the file was cut off".to_owned(),
            },
        )
        .fact(
            "this version",
            match data.usable {
                true => "can use it: `tpmctl unseal` gives the data",
                false => "cannot use it: copy it again from where it was made",
            },
        );
    output::print_as_is(&report.finish())
}
