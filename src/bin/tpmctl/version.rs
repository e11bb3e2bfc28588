//! `tpmctl version`: what tpm_version told, for both generations.

use std::fmt::Display;

use crate::cli::Global;
use crate::error::Error;
use crate::generation::{Generation, Version};
use crate::{output, settings};

/// Asks the TPM and prints what it is.
pub(crate) fn run(global: &Global) -> Result<(), Error> {
    let chosen = settings::tpm(global)?;
    match Generation::of(&chosen.tpm)? {
        Generation::Two(_, properties) => {
            let version = Version::new(&properties);
            if global.json {
                output::print_json(&version)
            } else {
                output::print(&text(&version))
            }
        }
        Generation::One => Err(settings::tpm12(&chosen)),
    }
}

/// In the form of tpm_version: two blanks, a name, the value in one column.
fn text(version: &Version) -> String {
    let mut text = format!("  TPM {} Version Info:\n", version.family);
    let mut line = |name: &str, value: &dyn Display| {
        text.push_str(&format!("  {:<20} {value}\n", format!("{name}:")));
    };
    line("Firmware Version", &version.firmware_version);
    let told = [
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
    for (name, value) in told {
        line(name, &value.as_deref().unwrap_or("not told"));
    }
    text
}
