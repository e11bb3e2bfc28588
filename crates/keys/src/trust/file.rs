//! The file of pinned names: a line for each parent, with the TPM's address, the parent, its name and the date.
//! Text that a person can read; `tpmctl srk trust` writes it.
#![forbid(unsafe_code)]

use std::time::{SystemTime, UNIX_EPOCH};

use tss::tpm2::Name;

/// A name that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Which parent had it: a handle, or a hierarchy, perhaps with the primary's kind. For people: it is the name that
    /// counts.
    pub parent: String,
    /// The name.
    pub name: Name,
    /// When it was pinned, in UTC (RFC 3339).
    pub since: String,
}

impl Pin {
    /// Pinned now.
    pub fn now(parent: &str, name: Name) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            parent: parent.into(),
            name,
            since: date(now.map_or(0, |since| since.as_secs())),
        }
    }
}

const HEAD: &str = "# Parent keys that tpm-provider trusts (parent-name = first-use). To look: tpmctl srk show.\n\
     # To accept others, after a TPM was cleared: tpmctl srk trust.\n";

/// The file's text.
pub(crate) fn format(tpm: &str, pins: &[Pin]) -> String {
    let mut text = HEAD.to_owned();
    for pin in pins {
        text.push_str(&format!(
            "{} {} {} {}\n",
            escaped(tpm),
            pin.parent,
            pin.name,
            pin.since
        ));
    }
    text
}

/// Reads the file of the TPM at the address `tpm`. It has one line at least: a file that is empty or cut off must not
/// make the next use a first one.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn parse(bytes: &[u8], tpm: &str) -> Result<Vec<Pin>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text in UTF-8".to_owned())?;
    if !text.ends_with('\n') {
        return Err("it is empty or cut off".into());
    }
    let mut pins = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let pin = pin(line, tpm).map_err(|problem| format!("line {}: {problem}", number + 1))?;
        pins.push(pin);
    }
    if pins.is_empty() {
        return Err("it names no parent".into());
    }
    Ok(pins)
}

fn pin(line: &str, tpm: &str) -> Result<Pin, &'static str> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [address, parent, name_text, since] = fields[..] else {
        return Err("it has not four words: TPM, parent, name, date");
    };
    if address != escaped(tpm) {
        return Err("it is of another TPM");
    }
    // They are shown on terminals.
    let plain = |text: &str, more: &[u8]| {
        (1..=40).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    if !plain(parent, b"/-") {
        return Err("the parent is not a handle or a hierarchy");
    }
    if !plain(since, b":-") {
        return Err("the date is none");
    }
    Ok(Pin {
        parent: parent.into(),
        name: name(name_text).ok_or("the name is not a TPM name in hexadecimal")?,
        since: since.into(),
    })
}

/// A TPM's name from its digits.
fn name(digits: &str) -> Option<Name> {
    hex::decode(digits)
        .ok()
        .filter(|bytes| is_name(bytes))
        .map(|bytes| Name::from_bytes(&bytes))
}

/// Whether these can be an algorithm and a digest: from SHA-1 to SHA-512.
pub(super) fn is_name(bytes: &[u8]) -> bool {
    (22..=66).contains(&bytes.len())
}

/// An address as one word.
fn escaped(address: &str) -> String {
    let mut word = String::new();
    for byte in address.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b':'
            | b'='
            | b','
            | b'.'
            | b'/'
            | b'-'
            | b'_' => word.push(char::from(byte)),
            _ => word.push_str(&format!("%{byte:02X}")),
        }
    }
    word
}

/// A file's name for an address: no slash in it, no dot at its beginning, and different for different addresses as
/// far as they are short.
pub(super) fn file_name(address: &str) -> String {
    const LONGEST: usize = 150;
    let mut name = escaped(address).replace('_', "%5F").replace('/', "_");
    if name.starts_with('.') {
        name.replace_range(..1, "%2E");
    }
    if name.len() > LONGEST {
        let digest = crypto::hash(crypto::Hash::Sha256, &[address.as_bytes()]);
        name.truncate(LONGEST / 2);
        name.push('-');
        name.push_str(&hex::encode(digest.get(..16).unwrap_or_default()));
    }
    name
}

/// Seconds since 1970 as a date and a time in UTC.
fn date(seconds: u64) -> String {
    let (mut day, second) = (seconds / 86400, seconds % 86400);
    let mut year = 1970;
    let length = |year: u64| {
        let every = |years| year.is_multiple_of(years);
        365 + u64::from((every(4) && !every(100)) || every(400))
    };
    while day >= length(year) && year < 9999 {
        day -= length(year);
        year += 1;
    }
    let february = length(year) - 337;
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    format!(
        "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}Z",
        day + 1,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TPM: &str = "swtpm:path=/run/a b#\n.sock";

    fn pins() -> Vec<Pin> {
        let name = |length: usize| Name::from_bytes(&vec![0x5a; length]);
        ["owner/ecc", "owner/rsa", "0x81000001"]
            .iter()
            .zip([22, 34, 66])
            .map(|(parent, length)| Pin {
                parent: (*parent).into(),
                name: name(length),
                since: "2026-02-28T23:59:59Z".into(),
            })
            .collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let text = format(TPM, &pins());
        assert_eq!(parse(text.as_bytes(), TPM), Ok(pins()));
        assert_eq!(
            text.lines().nth(2).unwrap(),
            format!(
                "swtpm:path=/run/a%20b%23%0A.sock owner/ecc {} 2026-02-28T23:59:59Z",
                "5a".repeat(22)
            )
        );
        // Another TPM's file is not ours.
        assert!(parse(text.as_bytes(), "device:/dev/tpm0").is_err());
    }

    #[test]
    fn a_file_that_is_cut_off_is_never_a_first_use() {
        let text = format(TPM, &pins());
        for length in 0..text.len() {
            match parse(&text.as_bytes()[..length], TPM) {
                Err(_) => {}
                // At the end of a line: fewer are trusted, never none, and none that was not there.
                Ok(some) => assert!(!some.is_empty() && pins().starts_with(&some)),
            }
        }
    }

    #[test]
    fn a_file_that_was_changed_names_no_others_by_accident() {
        let text = format(TPM, &pins()).into_bytes();
        for position in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[position] ^= 1 << bit;
                if let Ok(read) = parse(&changed, TPM) {
                    assert!(!read.is_empty());
                    let again = format(TPM, &read);
                    assert_eq!(parse(again.as_bytes(), TPM), Ok(read));
                }
            }
        }
    }

    #[test]
    fn what_is_not_such_a_file_is_refused() {
        let line = |address: &str, parent: &str, name: &str, since: &str| {
            format!("{address} {parent} {name} {since}\n")
        };
        let name = "00".repeat(34);
        for text in [
            String::new(),
            "\n".into(),
            HEAD.into(),
            line("x", "owner", &name, "2026"),
            line("d", "ow\u{1b}ner", &name, "2026"),
            line("d", "owner", &name[1..], "2026"),
            line("d", "owner", &"00".repeat(21), "2026"),
            line("d", "owner", &"00".repeat(67), "2026"),
            line("d", "owner", &name, "20\u{7}26"),
            line("d", "owner", &name, ""),
            format!("d owner {name} 2026 more\n"),
            format!("d owner {name} 2026"),
        ] {
            assert!(parse(text.as_bytes(), "d").is_err(), "{text:?}");
        }
        assert!(parse(b"\xff\n", "d").is_err());
        assert!(parse(line("d", "owner", &name, "2026").as_bytes(), "d").is_ok());
    }

    #[test]
    fn names_of_files_are_of_one_tpm() {
        assert_eq!(file_name("device:/dev/tpmrm0"), "device:_dev_tpmrm0");
        assert_ne!(file_name("device:/a/b"), file_name("device:/a_b"));
        let long = format!("libtpms:/{}", "x/".repeat(2000));
        assert!(file_name(&long).len() < 200);
        assert_ne!(file_name(&long), file_name(&format!("{long}y")));
        for odd in [".", "..", "a/../..", "\0", ""] {
            let name = file_name(odd);
            assert!(!name.contains('/') && !name.starts_with('.'), "{name}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_795_854_263, "2026-11-28T08:24:23Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }
}
