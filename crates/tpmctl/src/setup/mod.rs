//! `tpmctl setup`: tells OpenSSL of the provider, for one service or the whole machine, and takes it back.

pub(crate) mod args;
mod machine;
mod mark;
mod place;
mod service;
mod step;

use serde::Serialize;

use crate::cli::Global;
use crate::cnf;
use crate::error::Error;
use crate::output;
use args::Setup;
use place::Root;
use service::Service;
use step::Step;

/// What was found to do, and whether it was done.
#[derive(Serialize)]
struct Outcome {
    /// Null for the whole machine.
    service: Option<String>,
    /// The configuration of OpenSSL that names the provider.
    openssl_conf: String,
    changes: Vec<Step>,
    done: bool,
    /// What to type next.
    next: Vec<String>,
}

/// Shows, asks, and does it.
pub(crate) fn run(global: &Global, args: &Setup) -> Result<(), Error> {
    let root = Root::new(&args.root)?;
    let mut outcome = match &args.service {
        Some(name) => {
            let service = Service::find(&root, name, args.remove)?;
            let changes = match args.remove {
                true => service.back()?,
                false => service.steps(global, args)?,
            };
            Outcome {
                service: Some(name.clone()),
                openssl_conf: service.openssl_cnf.clone(),
                changes,
                done: false,
                next: service.next(args.remove),
            }
        }
        None => whole_machine(&root, global, args)?,
    };
    if outcome.changes.is_empty() {
        outcome.done = true;
        outcome.next.clear();
        if !global.json {
            output::note("Everything is as it shall be.");
        }
    } else {
        if !global.json {
            let text: String = outcome.changes.iter().map(Step::shown).collect();
            output::print_as_is(&keys::printable::lines(&text))?;
        }
        let would = "files of the machine would be changed as shown";
        if !args.consent.dry_run
            && (args.consent.yes || output::agreed(would, "Make these changes?")?)
        {
            for step in &outcome.changes {
                step.run(&root)?;
            }
            outcome.done = true;
        }
        if !global.json && outcome.done && !outcome.next.is_empty() {
            output::note(&format!(
                "Done. What comes next:\n\n    {}\n",
                outcome.next.join("\n    ")
            ));
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

fn whole_machine(root: &Root, global: &Global, args: &Setup) -> Result<Outcome, Error> {
    if args.user.is_some() {
        return Err(Error::usage(
            "--user goes with --service; for anybody else: usermod -aG tss NAME",
        ));
    }
    let file = cnf::default_file().ok_or_else(|| {
        Error::new(
            "OpenSSL does not say where its openssl.cnf is: name one with OPENSSL_CONF instead",
        )
    })?;
    let file = file.to_string_lossy().into_owned();
    let change = match args.remove {
        true => machine::back(root, &file)?,
        false => machine::steps(root, global, &file)?,
    };
    let next = match args.remove {
        true => vec![],
        false => vec![
            "openssl list -providers".to_owned(),
            "tpmctl doctor".to_owned(),
        ],
    };
    Ok(Outcome {
        service: None,
        openssl_conf: file,
        changes: change.into_iter().collect(),
        done: false,
        next,
    })
}
