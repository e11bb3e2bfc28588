//! Key files and persistent keys, with what else is known of them. Files cost no TPM command but one list of registers.

use std::fs;
use std::path::{Path, PathBuf};

use ::keys::policy::{self, words};
use ::keys::printable;
use ::keys::tss2::KeyFile;
use tss::tpm2::policy::{Registers, Verdict};
use tss::tpm2::{AlgId, PcrSelection, Policy, Public};

use crate::action::certificate::Certificate;
use crate::action::usage::Processes;
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::interrupt;
use crate::key::file;
use crate::key::list::{self, FileLine};
use crate::settings;
use crate::ui::model::facts::{KeyFacts, KeysFacts, Mark, Place};

/// A policy that is to be judged, of the key at this place in the list.
struct Judged {
    key: usize,
    policy: Policy,
    algorithm: AlgId,
    made_for: Vec<u8>,
}

pub(super) fn all(global: &Global) -> Result<KeysFacts, Error> {
    let processes = Processes::look(Path::new("/proc"));
    let mut facts = KeysFacts {
        usage_note: processes.note(),
        ..KeysFacts::default()
    };
    let mut judged = Vec::new();
    for line in list::key_files() {
        interrupt::check()?;
        let mut key = of_file(&line);
        key.used_by = processes.using(&line.file);
        if let Some(found) = policy_in(&line.file, facts.keys.len()) {
            key.policy = match &found {
                Ok(found) => words::display(&found.policy.commands),
                Err(why) => why.clone(),
            };
            if let Ok(found) = found {
                key.registers = registers(&found.policy);
                judged.push(found);
            }
        }
        facts.keys.push(key);
    }
    if let Err(error) = in_tpm(global, &mut facts, &judged) {
        interrupt::check()?;
        facts.problem = Some(error.to_string());
    }
    Ok(facts)
}

fn of_file(line: &FileLine) -> KeyFacts {
    KeyFacts {
        place: Place::File(line.file.clone()),
        algorithm: line.key_type.clone().unwrap_or_default(),
        purpose: line.purpose.unwrap_or_default().to_owned(),
        kind: line.kind.unwrap_or_default().to_owned(),
        has_pin: line.authorization == Some(true),
        policy: String::new(),
        registers: Vec::new(),
        holds: None,
        certificate: certificate(&line.file),
        used_by: Vec::new(),
        name: line.name.clone().unwrap_or_default(),
        parent: line.parent.clone().unwrap_or_default(),
        problem: line.problem.clone(),
    }
}

/// The policy of a key file, if it has one; or why it cannot be read.
fn policy_in(path: &Path, key: usize) -> Option<Result<Judged, String>> {
    let bytes = file::read_beginning(path).ok()?;
    let file = KeyFile::from_bytes(&bytes).ok()?;
    if file.policy.is_empty() && file.auth_policies.is_empty() {
        return None;
    }
    let public = Public::from_tpm2b(&file.public).ok()?;
    Some(match policy::of_file(&file) {
        Ok(policy) => Ok(Judged {
            key,
            policy,
            algorithm: public.name_alg(),
            made_for: public.auth_policy().to_vec(),
        }),
        Err(error) => Err(error.to_string()),
    })
}

/// `sha256:0`, for each register that a policy asks for.
fn registers(policy: &Policy) -> Vec<String> {
    let selections = policy.registers();
    let names = selections.iter().flat_map(|selection| {
        let bank = selection.bank().to_string().to_ascii_lowercase();
        selection
            .registers()
            .map(move |number| format!("{bank}:{number}"))
    });
    let mut names: Vec<String> = names.collect();
    names.dedup();
    names
}

/// What only the TPM knows: whether policies would hold, and its persistent keys.
fn in_tpm(global: &Global, facts: &mut KeysFacts, judged: &[Judged]) -> Result<(), Error> {
    // Asked for at once, for all of them.
    let wanted: Vec<PcrSelection> = judged.iter().flat_map(|it| it.policy.registers()).collect();
    let chosen = settings::tpm(global);
    let values = match (&chosen, wanted.is_empty()) {
        (_, true) => Ok(Registers::default()),
        (Ok(chosen), false) => chosen
            .client()
            .and_then(|client| Ok(client.registers(&wanted)?)),
        (Err(_), false) => Err(Error::new("no TPM")),
    };
    if let Ok(values) = values {
        for it in judged {
            facts.keys[it.key].holds = holds(it, &values);
        }
    }
    let chosen = chosen?;
    let persistent = match list::persistent_keys(&chosen) {
        Ok(persistent) => persistent,
        // Of a TPM 2.0 this is not asked: it costs a command.
        Err(error) => {
            interrupt::check()?;
            if !matches!(AnyTpm::of(&chosen.tpm), Ok(AnyTpm::Tpm12(_))) {
                return Err(error);
            }
            facts.only_files = true;
            Vec::new()
        }
    };
    for (at, line) in persistent {
        facts.keys.push(KeyFacts {
            place: Place::Handle(at),
            algorithm: line.key_type,
            purpose: line.purpose.to_owned(),
            kind: "persistent".to_owned(),
            has_pin: false,
            policy: String::new(),
            registers: Vec::new(),
            holds: None,
            certificate: None,
            used_by: Vec::new(),
            name: line.name,
            parent: String::new(),
            problem: None,
        });
    }
    Ok(())
}

/// Whether one way to satisfy a policy would hold now; or the best that can be said.
fn holds(it: &Judged, values: &Registers) -> Option<(Mark, String)> {
    let ways = it.policy.judge(it.algorithm, Some(&it.made_for), values);
    let said = ways.iter().map(|way| match &way.verdict {
        Verdict::Holds => (Mark::Good, way.way.clone()),
        Verdict::DoesNot(why) => (Mark::Bad, format!("{}: {why}", way.way)),
        Verdict::Unknown(commands) => (Mark::Plain, format!("only the TPM can tell of {commands}")),
    });
    let rank = |mark: Mark| match mark {
        Mark::Good => 0,
        Mark::Bad => 2,
        _ => 1,
    };
    said.min_by_key(|(mark, _)| rank(*mark))
}

/// The certificate beside a key file, `NAME.crt`.
fn certificate(key: &Path) -> Option<(Mark, String)> {
    let path: PathBuf = key.with_extension("crt");
    fs::metadata(&path).ok().filter(|it| it.is_file())?;
    Some(match Certificate::read(&path) {
        Err(error) => (Mark::Warning, error.to_string()),
        Ok(certificate) => match certificate.out_of_date() {
            Some(why) => (Mark::Bad, format!("{why}: {}", printable::path(&path))),
            None => (Mark::Good, format!("until {}", certificate.until())),
        },
    })
}
