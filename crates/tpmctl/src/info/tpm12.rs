//! The same of a TPM 1.2.

use serde::Serialize;
use tss::tpm12::Client;
use tss::transport::Sharing;

use super::collect::Address;
use super::text;
use crate::display::hex;
use crate::error::Error;
use crate::family::Version12;
use crate::output::Report;
use crate::settings::Chosen;

/// Everything about it. Absent values it does not tell.
#[derive(Serialize)]
pub(super) struct Info {
    address: Address,
    tpm: Version12,
    /// Whether it has an owner, and with one a storage root key.
    owned: bool,
    /// Whether it is switched on.
    enabled: bool,
    lockout: Option<Lockout>,
    key_slots: Option<u32>,
    key_slots_free: Option<u32>,
    sessions: Option<u32>,
    sessions_free: Option<u32>,
    /// Handles of keys and sessions in it now; absent behind tcsd, which brings them in when they are needed.
    loaded: Option<Loaded>,
}

#[derive(Serialize)]
struct Lockout {
    in_lockout: bool,
    counter: Option<u16>,
    max_tries: Option<u16>,
}

#[derive(Serialize)]
struct Loaded {
    keys: Vec<String>,
    sessions: Vec<String>,
}

impl Info {
    /// Asks; the commands that are sent change nothing.
    pub(super) fn collect(chosen: &Chosen, client: &Client) -> Result<Self, Error> {
        let properties = client.properties()?;
        let lockout = client.lockout()?;
        let hex = |handles: Vec<u32>| handles.into_iter().map(hex).collect();
        Ok(Self {
            address: Address::of(chosen, client.endpoint()),
            tpm: Version12::read(client)?,
            owned: properties.owned,
            enabled: !properties
                .permanent
                .is_some_and(|flags| flags.disable || flags.deactivated)
                && !properties.volatile.is_some_and(|flags| flags.deactivated),
            lockout: lockout.map(|state| Lockout {
                in_lockout: state.active,
                counter: state.count,
                max_tries: state.threshold,
            }),
            key_slots: properties.key_slots,
            key_slots_free: properties.free_key_slots,
            sessions: properties.sessions,
            sessions_free: properties.free_sessions,
            loaded: match client.endpoint().sharing() {
                Sharing::Daemon => None,
                _ => Some(Loaded {
                    keys: hex(client.loaded_keys()?),
                    sessions: hex(client.open_sessions()?),
                }),
            },
        })
    }

    /// In the order of a TPM 2.0's.
    pub(super) fn text(&self, all: bool) -> String {
        let mut report = Report::new();
        report.heading("State");
        text::address(&mut report, &self.address);
        report.fact(
            "switched on",
            match self.enabled {
                true => "yes",
                false => "NO: enable and activate it in the firmware setup",
            },
        );
        self.lockout(&mut report);
        report.heading("Storage root key").fact(
            "SRK",
            match self.owned {
                true => "there is one, since the TPM has an owner",
                false => "absent: the TPM has no owner; `tpmctl doctor` says how it gets one",
            },
        );
        self.contents(&mut report);
        self.identity(&mut report, all);
        if !all {
            text::more(&mut report);
        }
        report.finish()
    }

    fn lockout(&self, report: &mut Report) {
        report.heading("Lockout");
        let Some(lockout) = &self.lockout else {
            report.fact("state", "not told");
            return;
        };
        report.fact(
            "state",
            match lockout.in_lockout {
                true => "LOCKED after too many wrong secrets; wait, or let the owner type `tpmctl lockout reset`",
                false => "not locked",
            },
        );
        if let (Some(counter), Some(most)) = (lockout.counter, lockout.max_tries) {
            report.fact("wrong tries", format!("{counter} of {most}"));
        }
    }

    fn contents(&self, report: &mut Report) {
        report.heading("Contents");
        for (name, free, slots) in [
            ("key slots", self.key_slots_free, self.key_slots),
            ("sessions", self.sessions_free, self.sessions),
        ] {
            match (free, slots) {
                (Some(free), Some(slots)) => report.fact(name, format!("{free} of {slots} free")),
                (Some(free), None) => report.fact(name, format!("{free} free")),
                (None, _) => report.fact(name, "not told"),
            };
        }
        if let Some(loaded) = &self.loaded {
            report
                .words("loaded keys", &loaded.keys)
                .words("open sessions", &loaded.sessions);
        }
    }

    fn identity(&self, report: &mut Report, all: bool) {
        let tpm = &self.tpm;
        let optional =
            |value: &Option<String>| value.clone().unwrap_or_else(|| "not told".to_owned());
        report
            .heading("TPM")
            .fact("family", &tpm.family)
            .fact("vendor", optional(&tpm.vendor_id))
            .fact("chip version", optional(&tpm.chip_version));
        if !all {
            return;
        }
        report
            .fact("vendor specific", optional(&tpm.vendor_specific))
            .fact("structures", &tpm.tpm_version)
            .fact("manufacturer", &tpm.manufacturer_info);
    }
}
