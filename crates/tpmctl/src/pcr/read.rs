//! `tpmctl pcr read`.

use crate::action::registers::{self, Read};
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output::{self, Report};
use crate::pcr::{args, tpm12};
use crate::settings;

pub(super) fn run(global: &Global, args: &args::Read) -> Result<(), Error> {
    let chosen = settings::tpm_with_parent(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => {
            let selected = registers::selected(&client, args.registers.as_deref())?;
            let read = registers::read(&chosen, &selected)?;
            match global.json {
                true => output::print_json(&read),
                false => output::print(&text(&read)),
            }
        }
        AnyTpm::Tpm12(client) => tpm12::read(global, args, &client),
    }
}

/// The registers, bank by bank.
pub(super) fn text(read: &Read) -> String {
    let mut report = Report::new();
    let mut bank = "";
    for register in &read.registers {
        if register.bank != bank {
            bank = &register.bank;
            report.heading(&format!("Registers {bank} of {}", read.address));
        }
        report.fact(
            &format!("{bank}:{}", register.register),
            format!("{} {}", register.value, register.purpose),
        );
    }
    let mut text = report.finish();
    if !read.authenticated {
        text += "Nobody vouches for these: there is no session without a storage root key or the owner's value (`tpmctl srk \
                 create`, --parent-auth).\n";
    }
    text
}
