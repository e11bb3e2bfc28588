//! `tpmctl nv` of a TPM 1.2.

use std::path::Path;

use crypto::Secret;
use serde::Serialize;
use tss::tpm12::{AuthValue, Client};

use super::args::{Define, Lock, Read, Release, Write};
use crate::action::tpm12::nv::{self, Index, Secrets};
use crate::action::tpm12::secret;
use crate::cli::Global;
use crate::display::hex_bytes;
use crate::error::Error;
use crate::family::none_in_12;
use crate::key::file::Target;
use crate::output::{self, Report};
use crate::settings::Chosen;

/// An index, and what became of it.
#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    index: Index,
    changed: bool,
}

/// What was done to one.
#[derive(Serialize)]
struct Done {
    index: String,
    what: String,
    changed: bool,
}

/// What was read.
#[derive(Serialize)]
struct Content {
    index: String,
    #[serde(rename = "type")]
    kind: &'static str,
    hex: String,
}

/// Secrets that the command line or the settings name: the owner's and the index's own.
struct Named {
    owner: Option<AuthValue>,
    own: Option<AuthValue>,
}

impl Named {
    fn read(chosen: &Chosen, own: Option<&Path>) -> Result<Self, Error> {
        let owner: &Secret = &chosen.tpm.config().parent_auth;
        Ok(Self {
            owner: (!owner.is_empty()).then(|| secret::value(owner)),
            own: own.map(secret::in_file).transpose()?,
        })
    }

    fn secrets(&self) -> Secrets<'_> {
        Secrets {
            owner: self.owner.as_ref(),
            own: self.own.as_ref(),
        }
    }
}

const NOT_ENFORCED: &str = "this TPM does not enforce the rules of its NV memory (nvLocked is not set): everybody who reaches it reads, writes, defines \
     and releases every index, whatever is said of it here; `tpmctl nv lock --rules` has it enforce them, for ever";

pub(super) fn list(global: &Global, client: &Client) -> Result<(), Error> {
    let listed = nv::list(client)?;
    if global.json {
        return output::print_json(&listed);
    }
    let mut text = match listed.indices.is_empty() {
        true => "There are no NV indices.\n".to_owned(),
        false => {
            let mut report = Report::new();
            report.heading(&format!("NV indices of {}", listed.address));
            for index in &listed.indices {
                report.fact(&index.index, line(index));
            }
            report.finish()
        }
    };
    if !listed.enforced {
        text += &format!("WARNING: {NOT_ENFORCED}.\n");
    }
    output::print(&text)
}

pub(super) fn show(global: &Global, client: &Client, index: u32) -> Result<(), Error> {
    let index = nv::show(client, index)?;
    match global.json {
        true => output::print_json(&index),
        false => {
            let mut shown = text(&index, &format!("NV index {}", index.index));
            if !nv::is_enforced(client)? {
                shown += &format!("WARNING: {NOT_ENFORCED}.\n");
            }
            output::print(&shown)
        }
    }
}

pub(super) fn define(
    global: &Global,
    args: &Define,
    chosen: &Chosen,
    client: &Client,
) -> Result<(), Error> {
    let area = nv::definition(args)?;
    nv::is_free(client, area.index)?;
    let mut outcome = Outcome {
        index: Index::of(area.clone()),
        changed: false,
    };
    let mut planned = text(
        &outcome.index,
        &format!("NV index {} becomes", outcome.index.index),
    );
    if !nv::is_enforced(client)? {
        planned += &format!("WARNING: {NOT_ENFORCED}.\n");
    }
    if !global.json {
        output::print(&planned)?;
    }
    if !args.dry_run {
        let named = Named::read(chosen, args.auth.as_deref())?;
        let owner = secret::of_owner_in(&chosen.tpm.config().parent_auth)?;
        if args.yes
            || output::agreed(
                "an NV index would be defined",
                "NV memory is small, and wears out where it is written often. Define it?",
            )?
        {
            let own = named.own.unwrap_or_else(AuthValue::well_known);
            outcome.index = nv::define(client, &area, Some(&owner), &own)?;
            outcome.changed = true;
            if !global.json {
                output::print(&format!("Defined NV index {}.\n", outcome.index.index))?;
            }
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

pub(super) fn release(
    global: &Global,
    args: &Release,
    chosen: &Chosen,
    client: &Client,
) -> Result<(), Error> {
    let index = nv::show(client, args.index)?;
    if !global.json {
        output::print(&text(&index, &format!("NV index {}", index.index)))?;
    }
    let mut outcome = Outcome {
        index,
        changed: false,
    };
    if !args.dry_run {
        let owner = secret::of_owner_in(&chosen.tpm.config().parent_auth)?;
        if args.yes
            || output::agreed(
                &format!("NV index {} would be released", outcome.index.index),
                "What is in it is lost for ever. Release it?",
            )?
        {
            nv::release(client, &outcome.index, Some(&owner))?;
            outcome.changed = true;
            if !global.json {
                output::print(&format!("Released NV index {}.\n", outcome.index.index))?;
            }
        }
    }
    match global.json {
        true => output::print_json(&outcome),
        false => Ok(()),
    }
}

pub(super) fn read(
    global: &Global,
    args: &Read,
    target: Option<Target>,
    chosen: &Chosen,
    client: &Client,
) -> Result<(), Error> {
    let named = Named::read(chosen, args.auth.as_deref())?;
    let index = nv::show(client, args.index)?;
    let data = nv::read(client, &index, 0, None, &named.secrets())?;
    let content = Content {
        index: index.index,
        kind: index.kind,
        hex: hex_bytes(&data),
    };
    let text = format!("{}\n", content.hex);
    if let Some(target) = target {
        target.write_bytes(if args.hex { text.as_bytes() } else { &data })?;
        return match global.json {
            true => output::print_json(&content),
            false => Ok(()),
        };
    }
    match (global.json, args.hex) {
        (true, _) => output::print_json(&content),
        (false, true) => output::print_as_is(&text),
        (false, false) => output::write_bytes(&data),
    }
}

pub(super) fn write(
    global: &Global,
    args: &Write,
    chosen: &Chosen,
    client: &Client,
) -> Result<(), Error> {
    if !args.bit.is_empty() {
        return Err(Error::usage("an index of a TPM 1.2 has no bits to set"));
    }
    let index = nv::show(client, args.index)?;
    let named = Named::read(chosen, args.auth.as_deref())?;
    let room = index.bytes.saturating_sub(args.offset.into());
    let data = super::change::data(&args.input, room as usize, args.offset)?;
    let mut done = Done {
        index: index.index.clone(),
        what: format!("write {} bytes at {}", data.len(), args.offset),
        changed: false,
    };
    if !args.dry_run {
        nv::write(client, &index, args.offset.into(), &data, &named.secrets())?;
        done.changed = true;
    }
    finish(global, &done)
}

pub(super) fn lock(
    global: &Global,
    args: &Lock,
    index: u32,
    chosen: &Chosen,
    client: &Client,
) -> Result<(), Error> {
    let index = nv::show(client, index)?;
    let named = Named::read(chosen, args.auth.as_deref())?;
    nv::can_lock(&index, args.read)?;
    let forever = !args.read && index.lockable.contains(&"forever");
    let (what, question) = super::locking(args.read, forever);
    let mut done = Done {
        index: index.index.clone(),
        what,
        changed: false,
    };
    let agreed = || {
        output::agreed(
            &format!("NV index {} would be locked", index.index),
            &question,
        )
    };
    if !args.consent.dry_run && (args.consent.yes || agreed()?) {
        nv::lock(client, &index, args.read, &named.secrets())?;
        done.changed = true;
    }
    finish(global, &done)
}

/// Has the TPM enforce the rules of its NV memory.
pub(super) fn enforce(global: &Global, args: &Lock, client: &Client) -> Result<(), Error> {
    let mut done = Done {
        index: "all".to_owned(),
        what: "have the TPM enforce the rules of its NV memory, for ever".to_owned(),
        changed: false,
    };
    if nv::is_enforced(client)? {
        done.what = "the TPM enforces the rules of its NV memory already".to_owned();
        return finish(global, &done);
    }
    let agreed = || {
        output::agreed(
            "the rules of the NV memory would be enforced",
            "Indices of which nobody has the secrets stay for ever then. Enforce the rules?",
        )
    };
    if !args.consent.dry_run && (args.consent.yes || agreed()?) {
        nv::enforce(client)?;
        done.changed = true;
    }
    finish(global, &done)
}

/// Why an index cannot be incremented.
pub(super) fn no_counter(chosen: &Chosen) -> Error {
    none_in_12(
        chosen,
        "its counters are no NV indices",
        "tpmctl counter increment",
    )
}

/// Why an index cannot be extended.
pub(super) fn no_digest(chosen: &Chosen) -> Error {
    none_in_12(
        chosen,
        "its NV indices hold bytes; what is extended are registers",
        "tpmctl pcr extend",
    )
}

fn finish(global: &Global, done: &Done) -> Result<(), Error> {
    if global.json {
        return output::print_json(done);
    }
    output::print(&format!(
        "NV index {}: {}: {}.\n",
        done.index,
        done.what,
        if done.changed { "done" } else { "not done" }
    ))
}

fn line(index: &Index) -> String {
    let mut words = vec![
        format!("{} bytes", index.bytes),
        index.purpose.to_owned(),
        format!("read by {}", index.read_by[0]),
        format!("written by {}", index.write_by[0]),
    ];
    words.extend(locks(index).map(str::to_owned));
    words.join(", ")
}

fn locks(index: &Index) -> Option<&'static str> {
    match (index.read_locked, index.write_locked, index.locked_forever) {
        (_, _, true) => Some("locked against writing for ever"),
        (true, true, _) => Some("locked until the restart"),
        (true, false, _) => Some("locked against reading until the restart"),
        (false, true, _) => Some("locked against writing until the restart"),
        (false, false, false) => None,
    }
}

fn text(index: &Index, heading: &str) -> String {
    let whose = |word: &str| match word {
        "owner" => "whoever has the owner's secret",
        "value" => "whoever has the index's own value",
        "presence" => "somebody at the machine",
        "anyone" => "everybody who reaches the TPM",
        _ => "nobody",
    };
    let registers = |numbers: &[u8]| {
        let numbers: Vec<String> = numbers.iter().map(u8::to_string).collect();
        format!(
            "while the registers {} are as they were",
            numbers.join(", ")
        )
    };
    let mut report = Report::new();
    report.heading(heading);
    report
        .fact("purpose", index.purpose)
        .fact("type", format!("{}, {} bytes", index.kind, index.bytes))
        .fact("read by", whose(index.read_by[0]));
    if !index.read_registers.is_empty() {
        report.fact("read", registers(&index.read_registers));
    }
    report.fact("written by", whose(index.write_by[0]));
    if !index.write_registers.is_empty() {
        report.fact("written", registers(&index.write_registers));
    }
    report.words("lockable", &index.lockable);
    if let Some(locks) = locks(index) {
        report.fact("lock", locks);
    }
    report.fact(
        "when cleared",
        match index.survives_clear {
            true => "it stays",
            false => "it goes",
        },
    );
    report.words("attributes", &index.attributes);
    report.finish()
}
