//! Events in words.

use super::{Event, NO_ACTION};

/// Characters of a description, at most: what is in a log need not be for people.
pub(super) const LONGEST: usize = 200;

/// What an event is called in the specification (PC Client Platform Firmware Profile, 10.4.1).
pub fn name_of(kind: u32) -> Option<&'static str> {
    Some(match kind {
        0 => "EV_PREBOOT_CERT",
        1 => "EV_POST_CODE",
        3 => "EV_NO_ACTION",
        4 => "EV_SEPARATOR",
        5 => "EV_ACTION",
        6 => "EV_EVENT_TAG",
        7 => "EV_S_CRTM_CONTENTS",
        8 => "EV_S_CRTM_VERSION",
        9 => "EV_CPU_MICROCODE",
        0xa => "EV_PLATFORM_CONFIG_FLAGS",
        0xb => "EV_TABLE_OF_DEVICES",
        0xc => "EV_COMPACT_HASH",
        0xd => "EV_IPL",
        0xe => "EV_IPL_PARTITION_DATA",
        0xf => "EV_NONHOST_CODE",
        0x10 => "EV_NONHOST_CONFIG",
        0x11 => "EV_NONHOST_INFO",
        0x12 => "EV_OMIT_BOOT_DEVICE_EVENTS",
        0x13 => "EV_POST_CODE2",
        0x8000_0001 => "EV_EFI_VARIABLE_DRIVER_CONFIG",
        0x8000_0002 => "EV_EFI_VARIABLE_BOOT",
        0x8000_0003 => "EV_EFI_BOOT_SERVICES_APPLICATION",
        0x8000_0004 => "EV_EFI_BOOT_SERVICES_DRIVER",
        0x8000_0005 => "EV_EFI_RUNTIME_SERVICES_DRIVER",
        0x8000_0006 => "EV_EFI_GPT_EVENT",
        0x8000_0007 => "EV_EFI_ACTION",
        0x8000_0008 => "EV_EFI_PLATFORM_FIRMWARE_BLOB",
        0x8000_0009 => "EV_EFI_HANDOFF_TABLES",
        0x8000_000a => "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
        0x8000_000b => "EV_EFI_HANDOFF_TABLES2",
        0x8000_000c => "EV_EFI_VARIABLE_BOOT2",
        0x8000_000d => "EV_EFI_GPT_EVENT2",
        0x8000_0010 => "EV_EFI_HCRTM_EVENT",
        0x8000_00e0 => "EV_EFI_VARIABLE_AUTHORITY",
        0x8000_00e1 => "EV_EFI_SPDM_FIRMWARE_BLOB",
        0x8000_00e2 => "EV_EFI_SPDM_FIRMWARE_CONFIG",
        _ => return None,
    })
}

/// What an event is about, as far as its data say: text, in one line of printable characters at most.
pub fn describe(event: &Event<'_>) -> String {
    let data = event.data;
    let said = match event.kind {
        NO_ACTION => no_action(data),
        4 => separator(data),
        1 => text(data).or_else(|| blob(data)),
        8 => version(data),
        6 => tagged(data),
        0x8000_0001 | 0x8000_0002 | 0x8000_000c | 0x8000_00e0 => variable(data),
        0x8000_0003..=0x8000_0005 => image(data),
        0x8000_0006 | 0x8000_000d => partitions(data),
        0x8000_0008 => blob(data),
        0x8000_000a | 0x8000_000b => {
            let (size, rest) = data.split_first().unzip();
            size.zip(rest)
                .and_then(|(size, rest)| text(rest.get(..usize::from(*size))?))
        }
        // Not in UTF-16, which nearly everything is.
        _ => text(data),
    };
    let said = said.unwrap_or_else(|| match data.len() {
        0 => "no data".to_owned(),
        length => format!("{length} bytes"),
    });
    said.chars().take(LONGEST).collect()
}

fn no_action(data: &[u8]) -> Option<String> {
    if data.starts_with(super::SPEC_ID) {
        return Some("the log is written in the crypto-agile form".to_owned());
    }
    match data.strip_prefix(super::STARTUP_LOCALITY) {
        Some([locality, ..]) => Some(format!("the TPM was started from locality {locality}")),
        _ => text(data),
    }
}

fn separator(data: &[u8]) -> Option<String> {
    match <[u8; 4]>::try_from(data).map(u32::from_le_bytes) {
        Ok(0 | 0xffff_ffff) => Some("here the firmware hands over".to_owned()),
        Ok(1) => Some("an error of the firmware's".to_owned()),
        _ => text(data),
    }
}

/// A version of the firmware's beginning: text, or a GUID, whose octets nearly always are characters of some script, too.
fn version(data: &[u8]) -> Option<String> {
    let ascii = |said: &String| said.is_ascii();
    if let Ok(guid) = <[u8; 16]>::try_from(data)
        && wide(data).filter(ascii).is_none()
        && text(data).is_none()
    {
        let [a, b] = [u32_at(data, 0)?, u32_at(data, 4)?];
        let tail: String = guid[10..]
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        return Some(format!(
            "GUID {a:08x}-{:04x}-{:04x}-{:02x}{:02x}-{tail}",
            b & 0xffff,
            b >> 16,
            guid[8],
            guid[9]
        ));
    }
    wide(data).or_else(|| text(data))
}

/// Whether a variable is `Boot####`.
fn is_boot_option(name: &str) -> bool {
    name.strip_prefix("Boot").is_some_and(|number| {
        number.len() == 4 && number.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

/// `TCG_PCClientTaggedEvent`.
fn tagged(data: &[u8]) -> Option<String> {
    let tag = u32_at(data, 0)?;
    let said = data
        .get(8..)
        .and_then(|rest| text(rest).or_else(|| wide(rest)));
    Some(match said {
        Some(said) => format!("tag 0x{tag:08x}: {said}"),
        None => format!("tag 0x{tag:08x}"),
    })
}

/// `UEFI_VARIABLE_DATA`.
fn variable(data: &[u8]) -> Option<String> {
    let (name_length, length) = (u64_at(data, 16)?, u64_at(data, 24)?);
    let name_size = usize::try_from(name_length).ok()?.checked_mul(2)?;
    let name_end = 32usize.checked_add(name_size)?;
    let name = wide(data.get(32..name_end)?)?;
    let value_end = name_end.checked_add(usize::try_from(length).ok()?)?;
    let value = data.get(name_end..value_end);
    let said = match (name.as_str(), value) {
        ("SecureBoot", Some([1])) => "on".to_owned(),
        ("SecureBoot", Some([0] | [])) => "off".to_owned(),
        ("BootOrder", Some(value)) => value
            .chunks_exact(2)
            .map(|two| format!("{:04X}", u16::from_le_bytes([two[0], two[1]])))
            .collect::<Vec<_>>()
            .join(" "),
        // EFI_LOAD_OPTION: attributes, the size of the paths, then the description.
        (name, Some(value)) if is_boot_option(name) && value.len() > 6 => {
            value.get(6..).and_then(wide).unwrap_or_default()
        }
        _ => format!("{length} bytes"),
    };
    Some(format!("{name}: {said}"))
}

/// `UEFI_IMAGE_LOAD_EVENT`: the file, where the path has one.
fn image(data: &[u8]) -> Option<String> {
    let length = usize::try_from(u64_at(data, 24)?).ok()?;
    let mut path = data.get(32..32usize.checked_add(length)?)?;
    let mut found = String::new();
    while let [kind, subtype, low, high, ..] = *path {
        let size = usize::from(u16::from_le_bytes([low, high]));
        let Some(node) = path.get(4..size) else { break };
        // A file path of a medium.
        if (kind, subtype) == (4, 4) {
            found.push_str(&wide(node).unwrap_or_default());
        }
        path = path.get(size..)?;
    }
    match found.is_empty() {
        true => Some(format!("a program of {} bytes", u64_at(data, 8)?)),
        false => Some(found),
    }
}

/// `UEFI_GPT_DATA`: how many partitions.
fn partitions(data: &[u8]) -> Option<String> {
    Some(format!("{} partitions", u64_at(data, 92)?))
}

/// `UEFI_PLATFORM_FIRMWARE_BLOB`.
fn blob(data: &[u8]) -> Option<String> {
    if data.len() != 16 {
        return None;
    }
    Some(format!(
        "{} bytes at 0x{:x}",
        u64_at(data, 8)?,
        u64_at(data, 0)?
    ))
}

/// Printable text in UTF-8, without the NULs at its end.
fn text(data: &[u8]) -> Option<String> {
    let end = data.iter().rposition(|byte| *byte != 0).map(|at| at + 1)?;
    let text = std::str::from_utf8(data.get(..end)?).ok()?;
    printable(text.chars().take(LONGEST).collect())
}

/// The same in UTF-16, up to a NUL.
fn wide(data: &[u8]) -> Option<String> {
    let units = data
        .chunks_exact(2)
        .map(|two| u16::from_le_bytes([two[0], two[1]]))
        .take_while(|unit| *unit != 0)
        .take(LONGEST);
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    printable(text)
}

fn printable(text: String) -> Option<String> {
    let fits = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    (!text.trim().is_empty() && text.chars().all(fits)).then(|| text.replace(['\n', '\t'], " "))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    let bytes = data.get(at..at.checked_add(8)?)?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: u32, data: &[u8]) -> String {
        describe(&Event {
            offset: 0,
            register: 0,
            kind,
            digests: Vec::new(),
            data,
        })
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn events_speak() {
        assert_eq!(
            said(0xd, b"grub_cmd: linux /vmlinuz\0"),
            "grub_cmd: linux /vmlinuz"
        );
        assert_eq!(said(4, &[0; 4]), "here the firmware hands over");
        assert_eq!(said(8, &utf16("1.2.3\0")), "1.2.3");
        // Of real firmware: a GUID whose octets are characters, where code is, and an option that is not among the first.
        let guid = [
            0x1e, 0xfb, 0x6b, 0x54, 0x0c, 0x1d, 0x55, 0x40, 0xa4, 0xad, 0x4e, 0xf4, 0xbf, 0x17,
            0xb8, 0x3a,
        ];
        assert_eq!(said(8, &guid), "GUID 546bfb1e-1d0c-4055-a4ad-4ef4bf17b83a");
        let code: Vec<u8> = [0xff00_0000_u64, 0x20_0000]
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect();
        assert_eq!(said(1, &code), "2097152 bytes at 0xff000000");
        assert_eq!(said(1, b"ACPI DATA"), "ACPI DATA");
        let mut option = vec![7; 16];
        option.extend(8u64.to_le_bytes());
        let value = [&[0; 6][..], &utf16("Setup\0")].concat();
        option.extend((value.len() as u64).to_le_bytes());
        option.extend(utf16("Boot2001"));
        option.extend(value);
        assert_eq!(said(0x8000_0002, &option), "Boot2001: Setup");
        let mut variable = vec![7; 16];
        variable.extend(10u64.to_le_bytes());
        variable.extend(1u64.to_le_bytes());
        variable.extend(utf16("SecureBoot"));
        variable.push(1);
        assert_eq!(said(0x8000_0001, &variable), "SecureBoot: on");
        let mut image = vec![0; 24];
        let file = utf16("\\EFI\\debian\\grubx64.efi\0");
        image.extend((file.len() as u64 + 4).to_le_bytes());
        image.extend([4, 4]);
        image.extend((file.len() as u16 + 4).to_le_bytes());
        image.extend(file);
        assert_eq!(said(0x8000_0003, &image), "\\EFI\\debian\\grubx64.efi");
        // What is no text is not shown, nor what steers a terminal.
        assert_eq!(said(0xd, b"\x1b[2J"), "4 bytes");
        assert_eq!(said(0x8000_0001, &[0xff; 64]), "64 bytes");
        // A node that is empty ends the path.
        image.truncate(24);
        image.extend(8u64.to_le_bytes());
        image.extend([4, 4, 0, 0, 4, 4, 0, 0]);
        assert!(said(0x8000_0003, &image).starts_with("a program of"));
        assert_eq!(said(0xd, &b"x".repeat(10_000)).len(), LONGEST);
    }
}
