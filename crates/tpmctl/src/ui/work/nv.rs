//! NV indices, and the certificates of endorsement keys in them.

use crate::action::ek::{self, Certificate};
use crate::action::nv::{self, Index};
use crate::action::tpm12;
use crate::cli::Global;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::interrupt;
use crate::settings;
use crate::ui::model::facts::{CertificateFacts, Mark, NvFacts, NvMemory};

pub(super) fn memory(global: &Global) -> Result<NvMemory, Error> {
    let chosen = settings::tpm_with_parent(global)?;
    let client = match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => client,
        AnyTpm::Tpm12(client) => return of_tpm12(&client),
    };
    let indices = nv::list(&client)?.indices;
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
    Ok(NvMemory {
        indices: facts.collect(),
        warning: None,
    })
}

/// Of a TPM 1.2, which tells neither whether something was written nor a policy.
fn of_tpm12(client: &tss::tpm12::Client) -> Result<NvMemory, Error> {
    let listed = tpm12::nv::list(client)?;
    let warning = (!listed.enforced).then(|| {
        "WARNING: this TPM does not enforce the rules of its NV memory (nvLocked is not set): everybody who reaches it reads, \
         writes, defines and releases every index. `tpmctl nv lock --rules` has it enforce them, for ever."
            .to_owned()
    });
    let facts = listed.indices.into_iter().map(|index| {
        let registers = |numbers: &[u8]| {
            let names: Vec<String> = numbers
                .iter()
                .map(|number| format!("sha1:{number}"))
                .collect();
            names.join(" ")
        };
        let mut more = vec![
            ("read by".to_owned(), index.read_by.concat()),
            ("written by".to_owned(), index.write_by.concat()),
            ("reading asks".to_owned(), registers(&index.read_registers)),
            ("writing asks".to_owned(), registers(&index.write_registers)),
        ];
        for (is_so, what) in [
            (index.read_locked, "is locked against reading"),
            (index.write_locked, "is locked against writing"),
            (index.locked_forever, "is locked against writing for ever"),
            (index.survives_clear, "stays when the TPM is cleared"),
        ] {
            if is_so {
                more.push(("it".to_owned(), what.to_owned()));
            }
        }
        more.push(("attributes".to_owned(), index.attributes.join(" ")));
        NvFacts {
            index: index.index,
            purpose: index.purpose.to_owned(),
            kind: index.kind.to_owned(),
            bytes: index.bytes,
            more,
            is_written: None,
            certificate: None,
        }
    });
    Ok(NvMemory {
        indices: facts.collect(),
        warning,
    })
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
        bytes: index.bytes.into(),
        more,
        is_written: Some(index.written),
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
