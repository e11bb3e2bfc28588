//! What the TPM said, for people.

use super::collect::{Address, Hierarchy, Info, Srk};
use crate::output::Report;

/// The report: what changes first, then what the TPM is; with `all` what it can do, too.
pub(super) fn text(info: &Info, all: bool) -> String {
    let mut report = Report::new();
    report.heading("State");
    address(&mut report, &info.address);
    state(&mut report, info);
    holdings(&mut report, info);
    hierarchies(&mut report, info);
    identity(&mut report, info);
    if all {
        abilities(&mut report, info);
    } else {
        more(&mut report);
    }
    report.finish()
}

/// Where the rest is.
pub(super) fn more(report: &mut Report) {
    report
        .heading("More")
        .fact("tpmctl info -a", "everything that the TPM tells");
}

pub(super) fn address(report: &mut Report, address: &Address) {
    let from = match &address.file {
        Some(file) => format!("{} ({file})", address.origin),
        None => address.origin.clone(),
    };
    report
        .fact("address", &address.tcti)
        .fact("origin", from)
        .fact(
            "sharing",
            match address.sharing {
                "resource-managed" => "resource-managed: every connection has its own objects",
                "bare" => "bare: one client at a time, objects are everybody's",
                "tcsd" => "tcsd: it makes room for everybody",
                _ => "in this process: it starts anew for every use",
            },
        );
}

fn identity(report: &mut Report, info: &Info) {
    let tpm = &info.tpm;
    let unknown = || "not told".to_owned();
    report
        .heading("TPM")
        .fact(
            "family",
            format!(
                "{}, specification revision {}",
                tpm.family,
                tpm.revision.clone().unwrap_or_else(unknown)
            ),
        )
        .fact(
            "vendor",
            format!(
                "{} ({})",
                tpm.manufacturer.clone().unwrap_or_else(unknown),
                tpm.vendor
            ),
        )
        .fact("firmware", &tpm.firmware);
}

fn abilities(report: &mut Report, info: &Info) {
    let rsa = match &info.rsa_bits {
        Some(sizes) => sizes.iter().map(ToString::to_string).collect(),
        None => vec!["not told".to_owned()],
    };
    report
        .heading("Algorithms")
        .words("RSA key sizes", &rsa)
        .words("curves", &info.curves);
    for (class, title) in [
        ("asymmetric", "asymmetric"),
        ("symmetric", "symmetric"),
        ("hash", "hashes"),
        ("scheme", "schemes"),
        ("mode", "modes"),
        ("method", "methods"),
        ("object", "other objects"),
    ] {
        let names: Vec<&str> = info
            .algorithms
            .iter()
            .filter(|algorithm| algorithm.class == class)
            .map(|algorithm| algorithm.name.as_str())
            .collect();
        report.words(title, &names);
    }
    let limits = &info.limits;
    report.heading("Limits");
    for (name, value, unit) in [
        (
            "transient objects",
            limits.transient_objects_min,
            "at least",
        ),
        ("... free now", limits.transient_objects_free, ""),
        ("persistent, free", limits.persistent_objects_free, ""),
        ("loaded sessions", limits.loaded_sessions_min, "at least"),
        ("active sessions", limits.active_sessions_max, "at most"),
        ("largest NV index", limits.nv_index_bytes, "bytes"),
        ("NV buffer", limits.nv_buffer_bytes, "bytes"),
        ("input buffer", limits.input_buffer_bytes, "bytes"),
        ("largest command", limits.command_bytes, "bytes"),
        ("largest response", limits.response_bytes, "bytes"),
    ] {
        if let Some(value) = value {
            let value = match unit {
                "bytes" => format!("{value} bytes"),
                "" => value.to_string(),
                bound => format!("{bound} {value}"),
            };
            report.fact(name, value);
        }
    }
}

fn hierarchies(report: &mut Report, info: &Info) {
    let hierarchies = &info.hierarchies;
    report
        .heading("Hierarchies")
        .fact("owner", hierarchy(&hierarchies.owner))
        .fact("endorsement", hierarchy(&hierarchies.endorsement))
        .fact("platform", hierarchy(&hierarchies.platform));
}

fn state(report: &mut Report, info: &Info) {
    let lockout = &info.lockout;
    let seconds = |seconds: u32, zero: &str| match seconds {
        0 => zero.to_owned(),
        seconds => format!("{seconds} s"),
    };
    report
        .heading("Lockout")
        .fact(
            "state",
            if lockout.in_lockout {
                "LOCKED after too many wrong authorization values; \
                 `tpmctl lockout reset` ends it"
            } else {
                "not locked"
            },
        )
        .fact(
            "wrong tries",
            format!(
                "{} of {}, {} left",
                lockout.counter, lockout.max_tries, lockout.tries_left
            ),
        )
        .fact(
            "one forgotten after",
            seconds(lockout.interval_seconds, "never: tries are not counted"),
        )
        .fact(
            "recovery",
            seconds(lockout.recovery_seconds, "at the next restart"),
        )
        .fact(
            "authorization",
            match lockout.auth_set {
                true => "set",
                false => {
                    "empty: whoever may use the TPM can clear it, which destroys every key; \
                     `tpmctl owner passwd --hierarchy lockout --random FILE` sets it"
                }
            },
        );
}

fn hierarchy(hierarchy: &Hierarchy) -> &'static str {
    match (hierarchy.enabled, hierarchy.auth_set) {
        (false, _) => "disabled",
        (true, Some(true)) => "enabled, authorization value set",
        (true, Some(false)) => "enabled, authorization value empty",
        (true, None) => "enabled",
    }
}

fn holdings(report: &mut Report, info: &Info) {
    report.heading("Storage root key");
    srk(report, &info.srk);
    report.heading("Contents");
    if info.persistent.is_empty() {
        report.fact("persistent", "none");
    }
    for object in &info.persistent {
        report.fact(&object.handle, format!("persistent: {}", object.text()));
    }
    report.words("NV indices", &info.nv_indices);
    let Some(loaded) = &info.loaded else {
        report.fact("transient", "whatever each connection loads; none stays");
        return;
    };
    if loaded.objects.is_empty() {
        report.fact("transient", "none");
    }
    for object in &loaded.objects {
        report.fact(&object.handle, format!("transient: {}", object.text()));
    }
    report.words("sessions", &loaded.sessions);
}

fn srk(report: &mut Report, srk: &Srk) {
    let Some(name) = &srk.name else {
        report.fact(
            &srk.handle,
            "absent: keys under the owner hierarchy need its primary made each time they are loaded; \
             `tpmctl srk create` makes it",
        );
        return;
    };
    let place = match srk.of_owner {
        Some(true) => "a primary of the owner hierarchy",
        _ => "not a primary of the owner hierarchy",
    };
    let template = match srk.template {
        Some("ecc") => "standard EC P-256 template",
        Some(_) => "standard RSA 2048 template",
        None => "another template than the standard one",
    };
    report
        .fact(&srk.handle, format!("{template}, {place}"))
        .fact("parent-name =", name);
}
