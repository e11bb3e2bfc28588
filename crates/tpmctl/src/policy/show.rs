//! `tpmctl policy show`: a policy in words, and whether it would hold now.

use keys::policy::{compat, words};
use keys::printable;
use serde::Serialize;
use tss::tpm2::policy::{Judged, Registers, Verdict};

use super::args::Show;
use super::holder::Holder;
use crate::cli::Global;
use crate::error::Error;
use crate::output::{self, Report};
use crate::settings;

#[derive(Serialize)]
struct Shown {
    policy: String,
    signed_policies: Vec<Signed>,
    /// Each way to satisfy it; none where no TPM was asked.
    ways: Option<Vec<Way>>,
    /// Why no TPM was asked.
    no_tpm: Option<String>,
    /// Other programs that refuse such a file.
    refused_by: Vec<&'static str>,
}

#[derive(Serialize)]
struct Signed {
    name: Option<String>,
    policy: String,
    /// Whether its signature is good; unknown where that depends on registers.
    signature: Option<bool>,
}

#[derive(Serialize)]
struct Way {
    way: String,
    takes_value: bool,
    /// yes, no, or unknown.
    holds: &'static str,
    why: Option<String>,
}

/// Shows the policy.
pub(super) fn run(global: &Global, args: &Show) -> Result<(), Error> {
    let holder = Holder::read(&args.file)?;
    let public = holder.public()?;
    let algorithm = holder.algorithm()?;
    let policy = &holder.policy;
    let (values, no_tpm) = match registers(global, &holder) {
        Ok(values) => (Some(values), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let made_for = public.as_ref().map(|public| public.auth_policy());
    let ways = values.map(|values| policy.judge(algorithm, made_for, &values));
    let signed = policy.authorized.iter().map(|entry| {
        Ok(Signed {
            name: entry.name.clone(),
            policy: words::display(&entry.commands),
            signature: entry.is_signed(algorithm)?,
        })
    });
    let shown = Shown {
        policy: words::display(&policy.commands),
        signed_policies: signed.collect::<Result<_, Error>>()?,
        ways: ways.map(|ways| ways.into_iter().map(way).collect()),
        no_tpm,
        refused_by: compat::refused_by(policy),
    };
    match global.json {
        true => output::print_json(&shown),
        false => output::print_as_is(&shown.text()),
    }
}

fn registers(global: &Global, holder: &Holder) -> Result<Registers, Error> {
    let registers = holder.policy.registers();
    if registers.is_empty() {
        return Ok(Registers::default());
    }
    let chosen = settings::tpm(global)?;
    Ok(chosen
        .client()?
        .registers(&registers)
        .map_err(keys::Error::from)?)
}

fn way(judged: Judged) -> Way {
    let (holds, why) = match judged.verdict {
        Verdict::Holds => ("yes", None),
        Verdict::DoesNot(why) => ("no", Some(why)),
        Verdict::Unknown(commands) => (
            "unknown",
            Some(format!("only the TPM can tell of {commands}")),
        ),
    };
    Way {
        way: judged.way,
        takes_value: judged.takes_value,
        holds,
        why,
    }
}

impl Shown {
    fn text(&self) -> String {
        let mut report = Report::new();
        report.heading("Policy");
        match self.policy.is_empty() {
            true => report.fact("policy", "none"),
            false => report.fact("policy", &self.policy),
        };
        for (number, signed) in self.signed_policies.iter().enumerate() {
            report.fact(&format!("signed policy {}", number + 1), signed.text());
        }
        report.heading("Would it hold now?");
        if let Some(no_tpm) = &self.no_tpm {
            report.fact("not known", no_tpm);
        }
        for way in self.ways.iter().flatten() {
            let value = match way.takes_value {
                true => ", with its authorization value",
                false => "",
            };
            let why = way.why.as_ref().map(|why| format!(": {why}"));
            report.fact(
                way.holds,
                format!("{}{value}{}", way.way, why.unwrap_or_default()),
            );
        }
        if self.ways.as_ref().is_some_and(Vec::is_empty) {
            report.fact("no", "no signed policy is in the file");
        }
        report.heading("Other programs");
        match self.refused_by.is_empty() {
            true => report.fact("refused by", "none that is known"),
            false => report.fact("refused by", self.refused_by.join(", ")),
        };
        report.finish()
    }
}

impl Signed {
    /// In a line, for [`super::signed::list`], too.
    fn text(&self) -> String {
        let name = self.name.as_ref();
        let name = name.map_or_else(|| "without a name".to_owned(), printable::quoted);
        let signature = match self.signature {
            Some(true) => "",
            Some(false) => " (the signature is wrong)",
            None => " (its signature is over the registers' values)",
        };
        format!("{name}: {}{signature}", self.policy)
    }
}
