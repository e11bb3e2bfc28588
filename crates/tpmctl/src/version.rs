//! `tpmctl version`: our own version, and what tpm_version told, for both families.

use serde::Serialize;

use crate::cli::Global;
use crate::error::Error;
use crate::family::{AnyTpm, Version, Version12};
use crate::{output, settings};

/// The command's own version.
const OWN: &str = env!("TPM_PROVIDER_BUILD");

/// A version of a TPM, and ours.
#[derive(Serialize)]
struct Told<'a, T> {
    tpmctl: &'static str,
    #[serde(flatten)]
    tpm: &'a T,
}

impl<'a, T> Told<'a, T> {
    fn new(tpm: &'a T) -> Self {
        Self { tpmctl: OWN, tpm }
    }
}

/// Asks the TPM and prints what it is.
pub(crate) fn run(global: &Global) -> Result<(), Error> {
    if !global.json {
        // Also where there is no TPM to be asked.
        output::print(&format!("tpmctl {OWN}\n"))?;
    }
    let chosen = settings::tpm(global)?;
    match AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(_, properties) => {
            let version = Version::new(&properties);
            if global.json {
                output::print_json(&Told::new(&version))
            } else {
                output::print(&text(&version))
            }
        }
        AnyTpm::Tpm12(client) => {
            let version = Version12::read(&client)?;
            if global.json {
                output::print_json(&Told::new(&version))
            } else {
                output::print(&text12(&version))
            }
        }
    }
}

/// A line of tpm_version: two blanks, a name, the value in one column.
fn line(name: &str, value: &str) -> String {
    format!("  {:<20} {value}\n", format!("{name}:"))
}

fn text(version: &Version) -> String {
    let mut text = format!("  TPM {} Version Info:\n", version.family);
    let optional = [
        ("Firmware Version", Some(version.firmware_version.clone())),
        ("Spec Level", version.spec_level.map(|n| n.to_string())),
        ("Spec Revision", version.spec_revision.clone()),
        ("Spec Date", version.spec_date.clone()),
        ("TPM Vendor ID", version.vendor_id.clone()),
        ("Vendor String", Some(version.vendor_string.clone())),
        (
            "Vendor TPM Type",
            version.vendor_type.map(|n| n.to_string()),
        ),
        ("Manufacturer Info", version.manufacturer_info.clone()),
    ];
    for (name, value) in optional {
        text.push_str(&line(name, value.as_deref().unwrap_or("not told")));
    }
    text
}

/// As tpm_version prints it, which leaves out what a TPM does not tell.
fn text12(version: &Version12) -> String {
    let mut text = format!("  TPM {} Version Info:\n", version.family);
    let optional = [
        ("Chip Version", version.chip_version.clone()),
        ("Spec Level", version.spec_level.map(|n| n.to_string())),
        (
            "Errata Revision",
            version.errata_revision.map(|n| n.to_string()),
        ),
        ("TPM Vendor ID", version.vendor_id.clone()),
        ("Vendor Specific data", version.vendor_specific.clone()),
        ("TPM Version", Some(version.tpm_version.clone())),
        ("Manufacturer Info", Some(version.manufacturer_info.clone())),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            text.push_str(&line(name, &value));
        }
    }
    text
}
