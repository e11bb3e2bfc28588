//! The TPMs of the machine: the one that the settings name, and those that the kernel has besides.

use std::path::Path;

use tss::discovery;
use tss::tpm2::constants::property;
use tss::transport::{AddressKind, Endpoint, Sharing};

use super::copy;
use crate::action::tpm12::state::State;
use crate::action::usage::Processes;
use crate::cli::Global;
use crate::doctor::Machine;
use crate::error::Error;
use crate::family::{AnyTpm, Version, Version12};
use crate::selftest::Outcome;
use crate::settings::{self, Chosen};
use crate::ui::model::facts::{LockoutFacts, Mark, TpmFacts};
use crate::{interrupt, lockout};

/// Asks each of them.
pub(super) fn tpms(global: &Global) -> Result<Vec<TpmFacts>, Error> {
    let processes = Processes::look(Path::new("/proc"));
    let mut tpms = vec![asked(global, true, &processes)];
    if let Some((address, origin)) = other12(global)
        && address != tpms[0].address
    {
        interrupt::check()?;
        let mut tpm = asked(&copy(global, Some(&address))?, false, &processes);
        tpm.origin = format!("{origin}, for keys of TPM 1.2");
        tpms.push(tpm);
    }
    for address in devices() {
        interrupt::check()?;
        if tpms.iter().any(|tpm| same_device(&tpm.address, &address)) {
            continue;
        }
        let other = copy(global, Some(&address))?;
        let mut tpm = asked(&other, false, &processes);
        tpm.origin = "the kernel has it".to_owned();
        tpms.push(tpm);
    }
    Ok(tpms)
}

/// The TPM that the settings name for keys of TPM 1.2 besides the one for all keys.
fn other12(global: &Global) -> Option<(String, String)> {
    let chosen = settings::tpm(global).ok()?;
    let (address, origin) = chosen.tpm.config().address12.as_ref()?;
    let endpoint = Endpoint::new(address.clone(), origin.clone()).ok()?;
    Some((endpoint.address().to_string(), origin.to_string()))
}

/// The kernel's TPMs, by the device that is meant for everybody.
fn devices() -> Vec<String> {
    let chips = discovery::chips(Path::new("/")).into_iter();
    let path = |chip: discovery::Chip| {
        let managed = format!("/dev/tpmrm{}", chip.number);
        match Path::new(&managed).exists() {
            true => managed,
            false => format!("/dev/tpm{}", chip.number),
        }
    };
    chips.map(|chip| format!("device:{}", path(chip))).collect()
}

/// Whether two addresses lead to one TPM of the kernel's.
fn same_device(one: &str, other: &str) -> bool {
    let number = |address: &str| {
        let name = Path::new(address.strip_prefix("device:")?)
            .file_name()?
            .to_owned();
        discovery::kernel_device(&name)
    };
    one == other || (number(one).is_some() && number(one) == number(other))
}

fn asked(global: &Global, is_chosen: bool, processes: &Processes) -> TpmFacts {
    let mut facts = TpmFacts {
        is_chosen,
        ..TpmFacts::default()
    };
    let failed = |facts: &mut TpmFacts, error: Error| {
        facts.mark = Mark::Bad;
        facts.state = "no answer".to_owned();
        facts.problem = Some(error.to_string());
    };
    let chosen = match settings::tpm(global) {
        Ok(chosen) => chosen,
        Err(error) => {
            failed(&mut facts, error);
            return facts;
        }
    };
    match chosen.tpm.meant() {
        Ok(endpoint) => named(&mut facts, &endpoint, &chosen),
        Err(error) => {
            facts.address = global.tcti.as_ref().map_or_else(
                || {
                    facts.origin = error.to_string();
                    "none".to_owned()
                },
                ToString::to_string,
            )
        }
    }
    held(&mut facts, processes);
    if let Err(error) = ask(&mut facts, &chosen) {
        failed(&mut facts, error);
    }
    facts
}

fn named(facts: &mut TpmFacts, endpoint: &Endpoint, chosen: &Chosen) {
    facts.address = endpoint.address().to_string();
    facts.origin = match &chosen.file {
        Some(file) => format!("{} ({})", endpoint.origin(), file.display()),
        None => endpoint.origin().to_string(),
    };
    facts.sharing = match endpoint.sharing() {
        Sharing::Managed => "resource-managed: every connection has its own objects",
        Sharing::Bare => "bare: one client at a time, objects are everybody's",
        Sharing::Daemon => "tcsd: it makes room for everybody",
        Sharing::InProcess => "in this process: it starts anew for every use",
    }
    .to_owned();
    facts.holders_note = match endpoint.address().kind() {
        AddressKind::Device(_) => "",
        _ => "who is connected to a TPM that is no device cannot be seen; these have the module loaded",
    }
    .to_owned();
}

/// Who has its devices open.
fn held(facts: &mut TpmFacts, processes: &Processes) {
    let device = facts.address.strip_prefix("device:").map(Path::new);
    let Some(device) = device else {
        facts.holders = processes.with_module();
        return;
    };
    let Ok(machine) = Machine::new(Path::new("/")) else {
        return;
    };
    let number = device.file_name().and_then(discovery::kernel_device);
    let paths = match number {
        Some(number) => vec![format!("/dev/tpm{number}"), format!("/dev/tpmrm{number}")],
        None => vec![device.display().to_string()],
    };
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let found = machine.holders(&paths);
    let text = |holder: &crate::doctor::Holder| format!("{} ({})", holder.name, holder.pid);
    facts.holders = found.holders.iter().map(text).collect();
    if found.hidden > 0 {
        facts.holders_note = format!(
            "{} processes of others are seen by root alone",
            found.hidden
        );
    }
}

/// What it says itself; the commands that are sent change nothing.
fn ask(facts: &mut TpmFacts, chosen: &Chosen) -> Result<(), Error> {
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, properties) => {
            let version = Version::new(&properties);
            facts.family = version.family;
            facts.vendor = match (version.vendor_id, version.vendor_string.as_str()) {
                (Some(id), "") => id,
                (Some(id), name) => format!("{id} {name}"),
                (None, name) => name.to_owned(),
            };
            facts.firmware = version.firmware_version;
            let outcome = Outcome::of(client.test_result()?.code);
            (facts.mark, facts.state) = match outcome {
                Outcome::Passed | Outcome::Incomplete | Outcome::Untold => {
                    (Mark::Good, "works".to_owned())
                }
                Outcome::Testing => (Mark::Warning, "tests itself".to_owned()),
                Outcome::Failed => (Mark::Bad, "failure mode".to_owned()),
            };
            let permanent =
                client.capability_properties(property::PERMANENT, property::PERMANENT + 1)?;
            facts.owner_set = permanent
                .first()
                .filter(|(number, _)| *number == property::PERMANENT)
                .map(|(_, bits)| bits & property::PERMANENT_OWNER_AUTH_SET != 0);
        }
        AnyTpm::Tpm12(client) => {
            let version = Version12::read(&client)?;
            facts.family = version.family;
            facts.vendor = version.vendor_id.unwrap_or_default();
            facts.firmware = version.chip_version.unwrap_or_default();
            let (mark, state, why) = state12(&State::read(&client)?);
            (facts.mark, facts.state) = (mark, state.to_owned());
            facts.problem = why.map(str::to_owned);
        }
    }
    facts.lockout = lockout::state(chosen).ok().map(lockout);
    if facts.lockout.as_ref().is_some_and(|lockout| lockout.locked) {
        (facts.mark, facts.state) = (Mark::Bad, "LOCKED".to_owned());
    }
    Ok(())
}

/// What the flags of a TPM 1.2 come to, and what changes that.
pub(super) fn state12(state: &State) -> (Mark, &'static str, Option<&'static str>) {
    match (state.enabled, state.active, state.owned) {
        (false, ..) => (
            Mark::Bad,
            "disabled",
            Some(
                "No key works: its owner enables it with `tpmctl state set enabled on`, or somebody at the machine in its \
                 firmware setup.",
            ),
        ),
        (true, false, _) => (
            Mark::Bad,
            "deactivated",
            Some(match state.active_after_start {
                true => "No key works until the machine is restarted.",
                false => {
                    "No key works: somebody at the machine activates it with `tpmctl state set active on` or in its firmware \
                     setup; it counts from the next start on."
                }
            }),
        ),
        (true, true, false) => (
            Mark::Warning,
            "has no owner",
            Some(
                "Without an owner there is no storage root key and no key: `tpmctl owner take` takes ownership.",
            ),
        ),
        (true, true, true) => (Mark::Good, "works, has an owner", None),
    }
}

pub(super) fn lockout(state: lockout::State) -> LockoutFacts {
    LockoutFacts {
        locked: state.in_lockout,
        counter: state.counter,
        max_tries: state.max_tries,
        interval: state.interval_seconds,
        recovery: state.recovery_seconds,
        auth_set: state.auth_set,
    }
}
