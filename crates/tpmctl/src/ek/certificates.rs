//! `tpmctl ek certificates`.

use std::fs;
use std::path::Path;

use keys::printable;

use crate::action::ek::{self, Certificate};
use crate::cli::Global;
use crate::ek::args::Certificates;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::key::file::Target;
use crate::output::{self, Report};
use crate::settings;

pub(super) fn run(global: &Global, args: &Certificates) -> Result<u8, Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let AnyTpm::Tpm2(client, _) = AnyTpm::of(&chosen.tpm)? else {
        return Err(crate::family::none_in_12(
            &chosen,
            "its manufacturer's certificate, where there is one, is a file on the machine's disk or on the manufacturer's \
             server, and not in the TPM",
            "tpmctl ek show",
        ));
    };
    drop(client);
    let trusted = ek::authorities(&args.verify)?;
    let mut found = ek::certificates(&chosen, trusted.as_ref())?;
    if let Some(dir) = &args.out {
        write(dir, args.force, &mut found.certificates)?;
    }
    match global.json {
        true => output::print_json(&found)?,
        false => output::print(&text(&found))?,
    }
    Ok(match found.verified {
        Some(false) => 1,
        _ => 0,
    })
}

fn write(dir: &Path, force: bool, certificates: &mut [Certificate]) -> Result<(), Error> {
    fs::create_dir_all(dir)
        .map_err(|error| Error::new(format!("{} cannot be made: {error}", printable::path(dir))))?;
    let mut targets = Vec::new();
    let mut of_chain = 0;
    for certificate in &*certificates {
        let index = certificate.index.trim_start_matches("0x");
        let name = match certificate.of_chain {
            true => {
                of_chain += 1;
                format!("chain-{of_chain}.pem")
            }
            false => format!("ek-{index}.pem"),
        };
        let path = dir.join(name);
        targets.push((Target::new(&path, force)?, path));
    }
    for (certificate, (target, path)) in certificates.iter_mut().zip(targets) {
        if let Some(pem) = &certificate.pem {
            target.write_shared(pem)?;
            certificate.file = Some(path);
        }
    }
    Ok(())
}

fn text(found: &ek::Certificates) -> String {
    if found.certificates.is_empty() {
        return format!(
            "There are no certificates of endorsement keys in the NV memory of {}.\n",
            found.address
        );
    }
    let mut report = Report::new();
    for one in &found.certificates {
        report.heading(&match one.of_chain {
            true => format!("Authority, of the chain from NV index {} on", one.index),
            false => format!(
                "NV index {}: {}",
                one.index,
                crate::action::nv::parse_index(&one.index).map_or("", crate::action::nv::purpose)
            ),
        });
        for (name, value) in [
            ("cannot be read", &one.problem),
            ("subject", &one.subject),
            ("issuer", &one.issuer),
            ("valid from", &one.not_before),
            ("valid until", &one.not_after),
            ("serial", &one.serial),
            ("SHA-256", &one.sha256),
        ] {
            if let Some(value) = value {
                report.fact(name, value);
            }
        }
        match (one.verified, &one.why) {
            (Some(true), _) => {
                report.fact("verified", "yes");
            }
            (Some(false), why) => {
                report.fact("NOT VERIFIED", why.as_deref().unwrap_or_default());
            }
            (None, _) => {}
        }
        if let Some(file) = &one.file {
            report.fact("written to", printable::path(file));
        }
    }
    report.finish()
}
