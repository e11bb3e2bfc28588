//! The TPMs of the machine.

use super::note;
use crate::ui::model::Model;
use crate::ui::model::facts::{LockoutFacts, TpmFacts};
use crate::ui::model::table::{Row, Table};

pub(super) fn table(model: &Model) -> Table {
    let mut table = Table::new(
        &[
            ("address", 18, 44),
            ("TPM", 4, 5),
            ("state", 8, 30),
            ("lockout", 7, 9),
            ("vendor", 4, 24),
            ("firmware", 8, 20),
        ],
        "No TPM is known: 'tpmctl doctor' says what is missing.",
    );
    note(&mut table, &model.facts.overview);
    let all = model.facts.overview.value.as_deref().unwrap_or_default();
    let current = model.tpm().map(|tpm| tpm.address.clone());
    table.rows = all
        .iter()
        .map(|tpm| row(tpm, current.as_ref() == Some(&tpm.address)))
        .collect();
    table
}

fn row(tpm: &TpmFacts, is_current: bool) -> Row {
    let lockout = tpm.lockout.as_ref();
    let cells = vec![
        tpm.address.clone(),
        tpm.family.clone(),
        tpm.state.clone(),
        lockout.map(LockoutFacts::tries).unwrap_or_default(),
        tpm.vendor.clone(),
        tpm.firmware.clone(),
    ];
    let mut row = Row::new(&tpm.address, tpm.mark, cells);
    row.fact("named by", &tpm.origin);
    if is_current {
        row.fact("here", "the other panels are about this TPM");
    }
    if let Some(problem) = &tpm.problem {
        row.text(problem);
    }
    row.fact("state", &tpm.state).fact("sharing", &tpm.sharing);
    if let Some(lockout) = lockout {
        row.fact("lockout", sentence(lockout));
    }
    let holders = match tpm.holders.is_empty() {
        true => "no process that can be seen".to_owned(),
        false => tpm.holders.join(", "),
    };
    row.fact("held by", holders)
        .fact("", &tpm.holders_note)
        .fact("vendor", &tpm.vendor)
        .fact("firmware", &tpm.firmware);
    row
}

/// The lockout in words.
pub(crate) fn sentence(lockout: &LockoutFacts) -> String {
    let mut text = match lockout.locked {
        true => "LOCKED after too many wrong authorization values".to_owned(),
        false => "not locked".to_owned(),
    };
    if let (Some(counter), Some(most)) = (lockout.counter, lockout.max_tries) {
        text.push_str(&format!("; {counter} of {most} wrong tries"));
    }
    match lockout.interval {
        Some(0) => text.push_str("; tries are not counted"),
        Some(seconds) => text.push_str(&format!("; one is forgotten after {}", time(seconds))),
        None => {}
    }
    match lockout.recovery {
        Some(0) => text.push_str("; a wrong lockout value shuts that one until the next restart"),
        Some(seconds) => text.push_str(&format!(
            "; a wrong lockout value shuts that one for {}",
            time(seconds)
        )),
        None => {}
    }
    text
}

/// Seconds as people say them.
fn time(seconds: u32) -> String {
    match seconds {
        0..=299 => format!("{seconds} s"),
        300..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
