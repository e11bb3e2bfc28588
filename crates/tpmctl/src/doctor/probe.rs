//! Layers 7 to 11: what the TPM itself says. The commands that are sent change nothing.

use tss::tpm2::Client;
use tss::tpm2::constants::{handle, property};
use tss::transport::Sharing;

use super::Scene;
use super::address::{Answer, sentence};
use super::probe12;
use super::verdict::{Finding, Verdict};
use crate::family::{AnyTpm, Properties, Version};
use crate::info::collect::describe_srk;
use crate::selftest::{Outcome, results};

/// How many layers these are.
pub(super) const COUNT: usize = 5;

/// Findings 7 to 11.
pub(super) fn findings(scene: &Scene, answer: &Answer) -> Vec<Finding> {
    let shown = &|text: &str| scene.shown(text);
    match answer {
        Answer::None => vec![Finding::not_checked("The TPM was not asked."); COUNT],
        Answer::Refused(text) => {
            let refused = Finding::problem("The TPM answers with an error.").why(text);
            after(refused, "layer 7")
        }
        Answer::Of(AnyTpm::Tpm12(client)) => probe12::findings(client, shown),
        Answer::Of(AnyTpm::Tpm2(client, fixed)) => {
            two(client, fixed, has_parent_auth(scene), shown)
        }
    }
}

pub(super) fn after(finding: Finding, place: &str) -> Vec<Finding> {
    let mut findings = vec![finding];
    findings.resize(
        COUNT,
        Finding::not_checked(format!("The TPM does not work ({place}).")),
    );
    findings
}

fn two(
    client: &Client,
    fixed: &Properties,
    has_parent_auth: bool,
    shown: &dyn Fn(&str) -> String,
) -> Vec<Finding> {
    let identity = identity(&Version::new(fixed));
    let test = optional(self_test(client), shown);
    let mut findings = vec![identity];
    if test.verdict == Verdict::Problem {
        findings.push(test);
        findings.resize(
            COUNT,
            Finding::not_checked("The TPM does not work (layer 8)."),
        );
        return findings;
    }
    findings.push(test);
    findings.push(optional(lockout(client), shown));
    let room = optional(room(client, fixed), shown);
    // Some TPMs need a free slot even to look at a persistent key.
    findings.push(if room.verdict == Verdict::Problem {
        Finding::not_checked("A full TPM cannot look at its keys (layer 10).")
    } else {
        optional(root_key(client, has_parent_auth), shown)
    });
    findings.insert(COUNT - 2, room);
    findings
}

/// A finding, or the error that stood in its way.
pub(super) fn optional(finding: tss::Result<Finding>, shown: &dyn Fn(&str) -> String) -> Finding {
    finding.unwrap_or_else(|error| {
        Finding::problem("The TPM does not tell.").why(sentence(&shown(&error.to_string())))
    })
}

fn identity(version: &Version) -> Finding {
    let maker = match (&version.vendor_id, version.vendor_string.as_str()) {
        (Some(id), "") => id.clone(),
        (Some(id), name) => format!("{id} ({name})"),
        (None, name) => name.to_owned(),
    };
    let revision = version.spec_revision.as_deref().unwrap_or("not told");
    Finding::ok(format!(
        "A TPM {} of {maker}, firmware {}, specification revision {revision}.",
        version.family, version.firmware_version
    ))
}

fn self_test(client: &Client) -> tss::Result<Finding> {
    let mut result = client.test_result()?;
    if Outcome::of(result.code) == Outcome::Incomplete {
        // Only what has not been tested yet: with some TPMs that takes a second.
        result = results(client, false)?;
    }
    Ok(match Outcome::of(result.code) {
        Outcome::Passed => Finding::ok("The TPM has tested itself and works."),
        Outcome::Incomplete => Finding::ok(
            "What the TPM has tested of itself works; it tests the rest before first use.",
        ),
        Outcome::Testing | Outcome::Untold => Finding::warning("The TPM is still testing itself.")
            .why("That takes seconds, never minutes.")
            .command("tpmctl selftest"),
        Outcome::Failed => Finding::problem(format!(
            "The TPM is in failure mode: its self-test says {}.",
            result.code
        ))
        .why(
            "It does no cryptography until it is restarted. Switch the machine off and on; if that does not \
             help, the TPM is broken or needs new firmware.",
        )
        .command("systemctl poweroff"),
    })
}

fn lockout(client: &Client) -> tss::Result<Finding> {
    const RESET: &str = "tpmctl lockout reset";
    let state = client.lockout()?;
    let tries = format!("{} of {}", state.counter, state.max_tries);
    if state.in_lockout {
        let wait = match state.interval {
            0 => String::new(),
            interval => format!(" It forgets one try every {interval} seconds;"),
        };
        return Ok(Finding::problem(format!(
            "The TPM is locked: {tries} wrong authorization values."
        ))
        .why(format!(
            "Until it is not, it refuses all keys that have an authorization value, with the right value, too.{wait} \
             whoever knows the lockout authorization can reset it. First find out which program has the wrong \
             value: it will lock the TPM again."
        ))
        .command(RESET));
    }
    let nearly = state.interval > 0 && state.tries_left().saturating_mul(2) <= state.max_tries;
    if !nearly && !state.auth_set {
        return Ok(Finding::warning(
            "Not locked, and the lockout hierarchy has no authorization value.",
        )
        .why(
            "Whoever may use the TPM, as members of group tss do, can clear it (TPM2_Clear), which destroys every \
             key. Set a value, and keep its file where only root reads it, and a copy elsewhere.",
        )
        .command("sudo tpmctl owner passwd --hierarchy lockout --random /root/tpm-lockout"));
    }
    if state.interval == 0 {
        return Ok(Finding::ok(
            "Not locked; wrong authorization values are not counted.",
        ));
    }
    if nearly {
        return Ok(Finding::warning(format!(
            "Not locked yet: {tries} wrong authorization values."
        ))
        .why(format!(
            "Some program has the wrong value, and {} more will lock the TPM for everybody. It forgets one \
             every {} seconds.",
            state.tries_left(),
            state.interval
        ))
        .command(RESET));
    }
    Ok(Finding::ok(format!(
        "Not locked: {tries} wrong authorization values."
    )))
}

fn room(client: &Client, fixed: &Properties) -> tss::Result<Finding> {
    match client.endpoint().sharing() {
        Sharing::Managed => {
            return Ok(Finding::ok(
                "The kernel's resource manager makes room for everybody.",
            ));
        }
        Sharing::InProcess => {
            return Ok(Finding::ok("The TPM starts empty in every process."));
        }
        // tcsd serves TPM 1.2 only.
        Sharing::Bare | Sharing::Daemon => {}
    }
    let objects = client.loaded_objects()?.len();
    let sessions = client.handles(handle::HMAC_SESSION_FIRST)?.len();
    let number = |property: u32| {
        fixed
            .get(&property)
            .map(|&n| usize::try_from(n).unwrap_or(0))
    };
    let fits = number(property::TRANSIENT_MIN).unwrap_or(3);
    let sessions_fit = number(property::LOADED_SESSIONS_MIN).unwrap_or(3);
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    };
    let is = format!(
        "Loaded: {}, {}; there is room for at least {fits} and {sessions_fit}.",
        count(objects, "object"),
        count(sessions, "session")
    );
    let flush = |finding: Finding| finding.command("tpmctl flush");
    if objects >= fits || sessions >= sessions_fit {
        return Ok(flush(Finding::problem(is).why(
            "The TPM is full of what programs have left behind: TPM_RC_OBJECT_MEMORY or \
             TPM_RC_SESSION_MEMORY is all that others hear.",
        )));
    }
    if objects + sessions > 0 {
        return Ok(flush(Finding::warning(is).why(
            "A TPM without a resource manager keeps what a program leaves until somebody removes it. Programs \
             that run now may have loaded these.",
        )));
    }
    Ok(Finding::ok(format!(
        "Nothing is loaded; there is room for at least {fits} objects and {sessions_fit} sessions."
    )))
}

/// Whether a value is given for parents. It is not read: it may be one that only a service can read.
fn has_parent_auth(scene: &Scene) -> bool {
    let section = scene.found.section.as_ref();
    let set = section.is_some_and(|section| section.get("parent-auth").is_some());
    set || std::env::var_os("TPM_PARENT_AUTH").is_some_and(|value| !value.is_empty())
}

fn root_key(client: &Client, has_parent_auth: bool) -> tss::Result<Finding> {
    let permanent =
        client.capability_properties(property::STARTUP_CLEAR, property::STARTUP_CLEAR + 1)?;
    let owner_enabled = permanent.first().is_none_or(|(_, bits)| bits >> 1 & 1 == 1);
    if !owner_enabled {
        return Ok(Finding::problem("The owner hierarchy is disabled.")
            .why("Keys below it cannot be loaded. The firmware enables it at the next restart, unless its setup says otherwise.")
            .command("systemctl reboot --firmware-setup"));
    }
    if !client
        .handles(handle::PERSISTENT_FIRST)?
        .contains(&handle::SRK)
    {
        // The owner's value, without which no primary is made: TPM_PT_PERMANENT's bit ownerAuthSet.
        let permanent =
            client.capability_properties(property::PERMANENT, property::PERMANENT + 1)?;
        if permanent.first().is_some_and(|(_, bits)| bits & 1 != 0) && !has_parent_auth {
            return Ok(Finding::problem(
                "There is no storage root key at 0x81000001, and the owner hierarchy has an authorization value.",
            )
            .why(
                "No key below the owner hierarchy, as the usual ones are, can be made or loaded: their parent is made \
                 anew each time, for which the TPM wants that value. Have the root key made once, by whoever has it in \
                 a file; or say it in the provider's section (parent-auth).",
            )
            .command("tpmctl srk create --parent-auth file:/root/tpm-owner"));
        }
        let finding = Finding::warning("There is no storage root key at 0x81000001.").why(
            "Keys work without it; but each time one is loaded its parent is made anew, which takes a \
             chip from a tenth of a second to a minute.",
        );
        return Ok(finding.command("tpmctl srk create"));
    }
    let read = client.read_public(handle::SRK)?;
    let srk = describe_srk(Some(&read));
    Ok(match (srk.template, srk.of_owner) {
        (Some(template), Some(true)) => {
            let template = if template == "ecc" {
                "EC P-256"
            } else {
                "RSA 2048"
            };
            Finding::ok(format!(
                "The storage root key at 0x81000001 is the standard {template} primary of the owner."
            ))
        }
        _ => Finding::warning(
            "The key at 0x81000001 is not a standard primary of the owner hierarchy.",
        )
        .why(
            "Keys made below it work. Those made below the owner hierarchy, the usual ones, do not \
                 use it: their parent is made anew each time.",
        )
        .command("tpmctl info"),
    })
}
