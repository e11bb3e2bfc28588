//! NV indices, and the certificates of endorsement keys in them.

use crate::action::ek::{self, Certificate};
use crate::action::nv::{self, Index};
use crate::cli::Global;
use crate::error::Error;
use crate::interrupt;
use crate::settings;
use crate::ui::model::facts::{CertificateFacts, Mark, NvFacts};

pub(super) fn indices(global: &Global) -> Result<Vec<NvFacts>, Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let indices = nv::list(chosen.client()?)?.indices;
    interrupt::check()?;
    let certificates = match indices.is_empty() {
        true => Vec::new(),
        false => ek::certificates(&chosen, None)?.certificates,
    };
    let facts = indices.into_iter().map(|index| {
        let is_it = |it: &&Certificate| it.index == index.index && !it.of_chain;
        let certificate = certificates.iter().find(is_it).map(certificate);
        fact(index, certificate)
    });
    Ok(facts.collect())
}

fn fact(index: Index, certificate: Option<CertificateFacts>) -> NvFacts {
    let mut more = vec![
        ("read by".to_owned(), index.read_by.join(", ")),
        ("written by".to_owned(), index.write_by.join(", ")),
        ("policy".to_owned(), index.policy.unwrap_or_default()),
    ];
    for (is_so, what) in [
        (index.read_locked, "is locked against reading"),
        (index.write_locked, "is locked against writing"),
        (index.survives_clear, "stays when the TPM is cleared"),
    ] {
        if is_so {
            more.push(("it".to_owned(), what.to_owned()));
        }
    }
    more.extend(
        index
            .notes
            .iter()
            .map(|note| ("it".to_owned(), (*note).to_owned())),
    );
    more.push(("attributes".to_owned(), index.attributes));
    more.push(("name".to_owned(), index.name));
    NvFacts {
        index: index.index,
        purpose: index.purpose.to_owned(),
        kind: index.kind,
        bytes: index.bytes,
        more,
        is_written: index.written,
        certificate,
    }
}

fn certificate(read: &Certificate) -> CertificateFacts {
    let (mark, validity) = match (&read.problem, &read.not_after) {
        (Some(problem), _) => (Mark::Warning, problem.clone()),
        (None, Some(until)) => (Mark::Good, format!("until {until}")),
        (None, None) => (Mark::Plain, String::new()),
    };
    CertificateFacts {
        mark,
        subject: read.subject.clone().unwrap_or_default(),
        issuer: read.issuer.clone().unwrap_or_default(),
        validity,
    }
}
