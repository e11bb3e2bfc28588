//! Registers of all banks.

use crate::action::registers;
use crate::cli::Global;
use crate::error::Error;
use crate::settings;
use crate::ui::model::facts::RegisterFacts;

pub(super) fn all(global: &Global) -> Result<Vec<RegisterFacts>, Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let all = registers::selected(chosen.client()?, None)?;
    let read = registers::read(&chosen, &all)?;
    let facts = read.registers.into_iter().map(|register| RegisterFacts {
        bank: register.bank,
        number: register.register,
        value: register.value,
        purpose: register.purpose.to_owned(),
    });
    Ok(facts.collect())
}
