//! Layers 7 to 11 of a TPM 1.2. The commands that are sent need no authorization and change nothing.

use tss::ErrorKind;
use tss::tpm12::{Client, Code, Properties};
use tss::transport::Sharing;

use super::probe::{COUNT, after, optional};
use super::verdict::{Finding, Verdict};
use crate::family::Version12;

/// Findings 7 to 11.
pub(super) fn findings(client: &Client, shown: &dyn Fn(&str) -> String) -> Vec<Finding> {
    let properties = match client.properties() {
        Ok(properties) => properties,
        Err(error) => return after(optional(Err(error), shown), "layer 7"),
    };
    let identity = optional(identity(client, &properties), shown);
    if identity.verdict == Verdict::Problem {
        return after(identity, "layer 7");
    }
    let test = optional(self_test(client), shown);
    let failed = test.verdict == Verdict::Problem;
    let mut findings = vec![identity, test];
    if failed {
        findings.resize(
            COUNT,
            Finding::not_checked("The TPM does not work (layer 8)."),
        );
        return findings;
    }
    findings.push(optional(lockout(client), shown));
    findings.push(room(client, &properties));
    findings.push(root_key(&properties));
    findings
}

fn identity(client: &Client, properties: &Properties) -> tss::Result<Finding> {
    let version = Version12::read(client)?;
    let mut is = format!("A TPM {}", version.family);
    if let Some(vendor) = &version.vendor_id {
        is.push_str(&format!(" of {vendor}"));
    }
    if let Some(chip) = &version.chip_version {
        is.push_str(&format!(", chip version {chip}"));
    }
    if let (Some(level), Some(errata)) = (version.spec_level, version.errata_revision) {
        is.push_str(&format!(", specification level {level}, errata {errata}"));
    }
    let off = |state: &str| {
        Finding::problem(format!("{is}. It is {state}."))
            .why(
                "It does nothing for keys. Switch it on in the firmware setup (BIOS): enable and \
                 activate it.",
            )
            .command("systemctl reboot --firmware-setup")
    };
    let permanent = properties.permanent;
    Ok(if permanent.is_some_and(|flags| flags.disable) {
        off("disabled")
    } else if permanent.is_some_and(|flags| flags.deactivated)
        || properties.volatile.is_some_and(|flags| flags.deactivated)
    {
        off("deactivated")
    } else {
        Finding::ok(format!("{is}."))
    })
}

fn self_test(client: &Client) -> tss::Result<Finding> {
    match client.self_test() {
        Ok(()) => Ok(Finding::ok("The TPM has tested itself and works.")),
        Err(error) => match error.kind() {
            ErrorKind::Tpm12(failure) if failure.code() == Code::FAILEDSELFTEST => Ok(
                Finding::problem("The TPM has tested itself and found a fault.")
                    .why("Switch the machine off and on; if that does not help, the TPM is broken.")
                    .command("tpmctl selftest"),
            ),
            _ => Err(error),
        },
    }
}

fn lockout(client: &Client) -> tss::Result<Finding> {
    const RESET: &str = "tpmctl lockout reset --auth file:/root/tpm-owner";
    let Some(state) = client.lockout()? else {
        return Ok(Finding::not_checked("This TPM does not tell its lockout."));
    };
    let tries = match (state.count, state.threshold) {
        (Some(count), Some(threshold)) => format!("{count} of {threshold} wrong secrets"),
        _ => "how many wrong secrets it does not tell".to_owned(),
    };
    if state.active {
        return Ok(Finding::problem(format!("The TPM is locked: {tries}."))
            .why(
                "It refuses every secret, the right one, too (TPM_DEFEND_LOCK_RUNNING). Wait: seconds at \
                 first, longer each time; or let the owner reset it. First find out which program has the \
                 wrong secret.",
            )
            .command(RESET));
    }
    let near = matches!((state.count, state.threshold), (Some(count), Some(threshold))
        if count > 0 && u32::from(count) * 2 >= u32::from(threshold));
    if near {
        return Ok(Finding::warning(format!("Not locked yet: {tries}."))
            .why("Some program has the wrong secret, and will lock the TPM for everybody.")
            .command(RESET));
    }
    Ok(Finding::ok(format!("Not locked: {tries}.")))
}

fn room(client: &Client, properties: &Properties) -> Finding {
    let count = |free: Option<u32>, all: Option<u32>| match (free, all) {
        (Some(free), Some(all)) => format!("{free} of {all}"),
        (Some(free), None) => free.to_string(),
        (None, _) => "an unknown number".to_owned(),
    };
    let is = format!(
        "Free: {} slots for keys, {} sessions.",
        count(properties.free_key_slots, properties.key_slots),
        count(properties.free_sessions, properties.sessions)
    );
    if client.endpoint().sharing() == Sharing::Daemon {
        return Finding::ok(format!("{is} tcsd makes room when it has to."));
    }
    if properties.free_key_slots == Some(0) || properties.free_sessions == Some(0) {
        return Finding::problem(is)
            .why(
                "The TPM is full of what programs have left behind: they hear TPM_RESOURCES. tcsd would make room; \
                 without it only a restart does.",
            )
            .command("systemctl enable --now tcsd")
            .command("systemctl reboot");
    }
    Finding::ok(is)
}

fn root_key(properties: &Properties) -> Finding {
    if properties.owned {
        return Finding::ok("The TPM has an owner, and with it a storage root key.");
    }
    Finding::problem("The TPM has no owner, and so no storage root key.")
        .why(
            "There is nothing to make keys below, and key files from before are lost: their keys went with the last owner. Take \
             ownership, which makes a root key with the well-known secret, as the provider uses it unless told otherwise; \
             where programs use the TPM through tcsd, through it, since it must know of the root key. A TPM without an \
             endorsement key needs one first.",
        )
        .command("tpmctl ek create")
        .command("tpmctl owner take --random /root/tpm-owner")
}
