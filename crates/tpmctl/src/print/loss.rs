//! What clearing a TPM loses, for people.

use crate::action::loss::{Fate, Loss};
use crate::output::Report;

const VALUES: &str = "those of the owner, endorsement and lockout hierarchies, and their policies";
const ELSEWHERE: &str = "whatever else was made below the owner's keys: disks that systemd or clevis unlock, keys that other programs keep";
/// Of a TPM 1.2 (part 3, 6.2).
const VALUES12: &str =
    "those of the owner, the storage root key and the operator, and the counters";
const ELSEWHERE12: &str = "whatever else was made below the storage root key: tcsd's registered keys, disks, data that other programs keep. The TPM \
     switches itself off with it: it is switched on in the firmware setup";

/// Of a TPM 2.0.
pub(crate) fn text(loss: &Loss) -> String {
    shown(loss, VALUES, ELSEWHERE)
}

/// Of a TPM 1.2.
pub(crate) fn text12(loss: &Loss) -> String {
    shown(loss, VALUES12, ELSEWHERE12)
}

fn shown(loss: &Loss, values: &str, elsewhere: &str) -> String {
    let mut report = Report::new();
    report.heading(&format!("What clearing {} loses", loss.address));
    report.fact(
        "looked at",
        match loss.looked_at.is_empty() {
            true => "no directory of key files: name them".to_owned(),
            false => loss.looked_at.join(", "),
        },
    );
    for file in &loss.files {
        let what = match file.sealed {
            true => "sealed data",
            false => "key file",
        };
        let fate = match file.fate {
            Fate::Lost => "is lost",
            Fate::Unknown => "is lost if it is of this TPM",
            Fate::Survives => "goes on working",
            Fate::OfAnotherTpm => "is another TPM's, and not concerned",
        };
        let used = match &file.used_by {
            Some(by) => format!(", used in {by}"),
            None => String::new(),
        };
        report.fact(what, format!("{} {fate}{used}", file.file));
    }
    for at in &loss.persistent {
        let fate = if at.lost { "is removed" } else { "stays" };
        report.fact(
            "persistent key",
            format!("{} {fate}: {}", at.handle, at.what),
        );
    }
    for index in &loss.nv {
        let fate = if index.lost { "goes" } else { "stays" };
        report.fact(
            "NV index",
            format!("{} {fate}: {}", index.index, index.what),
        );
    }
    report.fact("values", values);
    report.fact("elsewhere", elsewhere);
    report.finish()
}
