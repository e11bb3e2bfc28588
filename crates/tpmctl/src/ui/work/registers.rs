//! Registers of all banks.

use crate::action::registers;
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::pcr;
use crate::settings;
use crate::ui::model::facts::RegisterFacts;

pub(super) fn all(global: &Global) -> Result<Vec<RegisterFacts>, Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let read = match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => {
            let all = registers::selected(&client, None)?;
            registers::read(&chosen, &all)?
        }
        AnyTpm::Tpm12(client) => pcr::of_tpm12(&client, None)?,
    };
    let facts = read.registers.into_iter().map(|register| RegisterFacts {
        bank: register.bank,
        number: register.register,
        value: register.value,
        purpose: register.purpose.to_owned(),
    });
    Ok(facts.collect())
}
