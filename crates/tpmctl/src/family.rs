//! TPM 2.0 or TPM 1.2: which one answers at an address, and how each says what it is.
//!
//! Commands that serve both families match on [`AnyTpm`]; what only one has is in its variant.

use std::collections::HashMap;
use std::sync::Arc;

use keys::{Family, Tpm};
use serde::Serialize;
use tss::tpm2::constants::property;
use tss::tpm2::{Client, ResponseCode};
use tss::tpm12;

use crate::display::hex_bytes;
use crate::error::Error;
use crate::settings::Chosen;

/// A TPM that has answered.
pub(crate) enum AnyTpm {
    /// A TPM 2.0, with its fixed properties.
    Tpm2(Arc<Client>, Properties),
    /// A TPM 1.2.
    Tpm12(Arc<tpm12::Client>),
}

/// Properties of a TPM 2.0 by number.
pub(crate) type Properties = HashMap<u32, u32>;

impl AnyTpm {
    /// Asks the TPM. One command, which changes nothing.
    pub(crate) fn of(tpm: &Tpm) -> Result<Self, keys::Error> {
        let endpoint = tpm.meant()?;
        let one = || {
            let limits = tpm.config().limits;
            tpm12::Client::shared(Arc::clone(&endpoint), tpm12::Options { limits })
        };
        if tpm.family() == Some(Family::Tpm12) {
            let client = one();
            // Every TPM answers this one, in whatever state.
            client.structure_version()?;
            return Ok(Self::Tpm12(client));
        }
        let client = tpm.client()?;
        match fixed(client) {
            Ok(properties) => Ok(Self::Tpm2(Arc::clone(client), properties)),
            Err(error) if error.code().is_some_and(ResponseCode::is_tpm12) => {
                Ok(Self::Tpm12(one()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What a command says of a TPM 2.0 that has no such thing: `why`, and what does its work.
pub(crate) fn none_in(client: &Client, why: &str, instead: &str) -> Error {
    Error::new(format!(
        "TPM {}: a TPM 2.0 has no such thing: {why}. `{instead}` does its work",
        client.endpoint().address()
    ))
}

/// The same of a TPM 1.2.
pub(crate) fn none_in_12(chosen: &Chosen, why: &str, instead: &str) -> Error {
    let place = chosen.tpm.meant().map_or_else(
        |_| String::new(),
        |endpoint| format!("TPM {}: ", endpoint.address()),
    );
    Error::new(format!(
        "{place}a TPM 1.2 has no such thing: {why}. `{instead}` does its work"
    ))
}

/// The fixed properties of a TPM 2.0.
pub(crate) fn fixed(client: &Client) -> tss::Result<Properties> {
    let list = client.capability_properties(property::FIXED, property::FIXED + 0x100)?;
    Ok(list.into_iter().collect())
}

/// What a TPM 2.0 is (Part 2, 6.13). Absent values it does not tell.
#[derive(Debug, Serialize)]
pub(crate) struct Version {
    /// `2.0`.
    pub(crate) family: String,
    /// Four numbers.
    pub(crate) firmware_version: String,
    /// Level of the specification.
    pub(crate) spec_level: Option<u32>,
    /// Its revision, such as 1.59.
    pub(crate) spec_revision: Option<String>,
    /// Its date.
    pub(crate) spec_date: Option<String>,
    /// The manufacturer's letters.
    pub(crate) vendor_id: Option<String>,
    /// What the vendor calls the TPM.
    pub(crate) vendor_string: String,
    /// The vendor's number of the type.
    pub(crate) vendor_type: Option<u32>,
    /// The manufacturer's four octets in hexadecimal.
    pub(crate) manufacturer_info: Option<String>,
}

impl Version {
    /// From the fixed properties.
    pub(crate) fn new(properties: &Properties) -> Self {
        const LEVEL: u32 = property::FIXED + 1;
        const DAY: u32 = property::FIXED + 3;
        const YEAR: u32 = property::FIXED + 4;
        const VENDOR_TYPE: u32 = property::FIXED + 10;
        let get = |number: u32| properties.get(&number).copied();
        let half = |number| {
            let value = get(number).unwrap_or(0);
            format!("{}.{}", value >> 16, value & 0xffff)
        };
        let text = |number| letters(get(number).unwrap_or(0));
        let vendor: String = (0..4)
            .map(|index| text(property::VENDOR_STRING_1 + index))
            .collect();
        Self {
            family: Some(text(property::FIXED))
                .filter(|family| !family.is_empty())
                .unwrap_or_else(|| "2.0".to_owned()),
            firmware_version: format!(
                "{}.{}",
                half(property::FIRMWARE_VERSION_1),
                half(property::FIRMWARE_VERSION_2)
            ),
            spec_level: get(LEVEL),
            spec_revision: get(property::REVISION)
                .map(|revision| format!("{}.{:02}", revision / 100, revision % 100)),
            spec_date: get(YEAR).and_then(|year| date(year, get(DAY)?)),
            vendor_id: Some(text(property::MANUFACTURER).trim().to_owned())
                .filter(|name| !name.is_empty()),
            // Vendors pad with blanks.
            vendor_string: vendor.split_whitespace().collect::<Vec<_>>().join(" "),
            vendor_type: get(VENDOR_TYPE),
            manufacturer_info: get(property::MANUFACTURER)
                .map(|number| hex_bytes(&number.to_be_bytes())),
        }
    }
}

/// What a TPM 1.2 is (TPM_CAP_VERSION_INFO; part 2, 21.6): the lines of tpm_version.
#[derive(Debug, Serialize)]
pub(crate) struct Version12 {
    /// `1.2`, or `1.1` for a TPM that does not tell.
    pub(crate) family: String,
    /// Version of the specification and the manufacturer's revision; this and the next three are absent on a
    /// TPM 1.1.
    pub(crate) chip_version: Option<String>,
    /// Level of the specification.
    pub(crate) spec_level: Option<u16>,
    /// Its errata.
    pub(crate) errata_revision: Option<u8>,
    /// The manufacturer's letters.
    pub(crate) vendor_id: Option<String>,
    /// What else the manufacturer says, in hexadecimal.
    pub(crate) vendor_specific: Option<String>,
    /// The version of the structures, in hexadecimal.
    pub(crate) tpm_version: String,
    /// The manufacturer's four octets, in hexadecimal.
    pub(crate) manufacturer_info: String,
}

impl Version12 {
    /// Asks the TPM.
    pub(crate) fn read(client: &tpm12::Client) -> tss::Result<Self> {
        let info = client.version()?;
        let structures = client.structure_version()?;
        let manufacturer = client.properties()?.manufacturer;
        let info = info.as_ref();
        Ok(Self {
            family: info.map_or_else(
                || "1.1".to_owned(),
                |info| format!("{}.{}", info.version[0], info.version[1]),
            ),
            chip_version: info.map(|info| info.version.map(|n| n.to_string()).join(".")),
            spec_level: info.map(|info| info.spec_level),
            errata_revision: info.map(|info| info.errata),
            vendor_id: info.map(|info| letters(u32::from_be_bytes(info.vendor)).trim().to_owned()),
            vendor_specific: info
                .filter(|info| !info.vendor_specific.is_empty())
                .map(|info| hex_bytes(&info.vendor_specific)),
            tpm_version: hex_bytes(&structures),
            manufacturer_info: hex_bytes(&manufacturer),
        })
    }
}

/// Four octets as text, as far as they are printable.
fn letters(number: u32) -> String {
    let bytes = number.to_be_bytes();
    let printable = bytes.iter().filter(|byte| (0x20..0x7f).contains(*byte));
    printable.map(|byte| char::from(*byte)).collect()
}

/// The date of the `day`th day, from 1, of a year.
fn date(year: u32, day: u32) -> Option<String> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if leap { 29 } else { 28 };
    let mut rest = day.checked_sub(1)?;
    for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        if rest < length {
            return Some(format!("{year:04}-{month:02}-{:02}", rest + 1));
        }
        rest -= length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_year_are_dates() {
        for (year, day, text) in [
            (2023, 1, "2023-01-01"),
            (2023, 59, "2023-02-28"),
            (2023, 60, "2023-03-01"),
            (2024, 60, "2024-02-29"),
            (2024, 366, "2024-12-31"),
            (2000, 60, "2000-02-29"),
            (1900, 60, "1900-03-01"),
        ] {
            assert_eq!(date(year, day).as_deref(), Some(text));
        }
        for (year, day) in [(2023, 0), (2023, 366), (2024, 367), (0, u32::MAX)] {
            assert_eq!(date(year, day), None, "{year} {day}");
        }
    }

    #[test]
    fn a_version_is_read_from_properties() {
        let properties = HashMap::from([
            (0x100, 0x322e_3000),
            (0x101, 0),
            (0x102, 138),
            (0x103, 8),
            (0x104, 2018),
            (0x105, 0x4946_5800),
            (0x106, 0x534c_4239),
            (0x107, 0x3637_3020),
            (0x10b, 0x0007_0055),
            (0x10c, 0x0011_cb00),
        ]);
        let version = Version::new(&properties);
        assert_eq!(version.family, "2.0");
        assert_eq!(version.firmware_version, "7.85.17.51968");
        assert_eq!(version.spec_revision.as_deref(), Some("1.38"));
        assert_eq!(version.spec_date.as_deref(), Some("2018-01-08"));
        assert_eq!(version.vendor_id.as_deref(), Some("IFX"));
        assert_eq!(version.vendor_string, "SLB9670");
        assert_eq!(version.manufacturer_info.as_deref(), Some("49465800"));
        assert_eq!(version.vendor_type, None);
        // A TPM that tells nothing is no reason to fail.
        let version = Version::new(&HashMap::new());
        assert_eq!(version.family, "2.0");
        assert_eq!(version.spec_date, None);
    }
}
