//! The doctor's findings.

use std::path::PathBuf;

use crate::cli::{Doctor, Global};
use crate::doctor::{self, Verdict};
use crate::error::Error;
use crate::ui::model::facts::{FindingFacts, Mark};

pub(super) fn findings(global: &Global) -> Result<Vec<FindingFacts>, Error> {
    let args = Doctor {
        root: PathBuf::from("/"),
        user: None,
    };
    let diagnosis = doctor::examine(global, &args)?;
    let facts = diagnosis.layers.into_iter().map(|layer| FindingFacts {
        number: layer.number,
        layer: layer.name.to_owned(),
        mark: match layer.finding.verdict {
            Verdict::Ok => Mark::Good,
            Verdict::Warning => Mark::Warning,
            Verdict::Problem => Mark::Bad,
            Verdict::NotChecked | Verdict::NotApplicable => Mark::Plain,
        },
        verdict: layer.finding.verdict.word().to_owned(),
        what: layer.finding.what,
        why: layer.finding.why,
        commands: layer.finding.commands,
    });
    Ok(facts.collect())
}
