//! `tpmctl pcr log`.

use std::path::Path;

use crate::action::event_log::{self, OF_THE_KERNEL};
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output::{self, Report};
use crate::pcr::args::Log;
use crate::settings;

/// The status is 1 where log and registers disagree.
pub(super) fn run(global: &Global, args: &Log) -> Result<u8, Error> {
    let path = args.file.as_deref().unwrap_or(Path::new(OF_THE_KERNEL));
    let chosen = match args.no_tpm {
        true => None,
        false => Some(settings::tpm_with_parent(global)?),
    };
    if let Some(chosen) = &chosen
        && let AnyTpm::Tpm12(_) = AnyTpm::of(&chosen.tpm)?
    {
        return Err(settings::tpm12(chosen));
    }
    let log = event_log::read(path, chosen.as_ref())?;
    match global.json {
        true => output::print_json(&log)?,
        false => output::print(&text(&log))?,
    }
    Ok(match log.agrees {
        Some(false) => 1,
        _ => 0,
    })
}

fn text(log: &event_log::Log) -> String {
    let mut report = Report::new();
    report.heading(&format!(
        "{}: {} events, {} ({})",
        log.file,
        log.events.len(),
        log.form,
        log.banks.join(", ")
    ));
    for event in &log.events {
        let head = match event.extends {
            true => format!("register {}", event.register),
            false => "no register".to_owned(),
        };
        report.fact(&head, format!("{}: {}", event.kind, event.what));
    }
    let mut bank = "";
    for register in &log.registers {
        if register.bank != bank {
            bank = &register.bank;
            report.heading(&format!("Registers {bank}"));
        }
        let verdict = match register.agrees {
            Some(true) => "agrees with the log".to_owned(),
            Some(false) => format!(
                "DIFFERS: it is {}, after the log it would be {}",
                register.tpm.as_deref().unwrap_or_default(),
                register.log
            ),
            None => format!("{} after the log", register.log),
        };
        report.fact(&format!("{bank}:{}", register.register), verdict);
    }
    let mut text = report.finish();
    if log.agrees == Some(false) {
        text += "A register that differs was extended by something that the log does not tell of: by a program since the start, or \
                 the log is not that of this start, or not the truth.\n";
    }
    if log.authenticated == Some(false) {
        text += "Nobody vouches for these registers: there is no session without a storage root key or the owner's value (`tpmctl \
                 srk create`, --parent-auth).\n";
    }
    text
}
