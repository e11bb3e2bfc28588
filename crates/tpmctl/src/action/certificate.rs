//! As much of a certificate as says whose it is and until when (RFC 5280, 4.1).

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crypto::der::{Reader, tag};
use keys::printable;

use crate::error::Error;

const UTC_TIME: u8 = 0x17;
/// `[0]`, constructed: the version.
const VERSION: u8 = 0xa0;

/// A certificate.
pub(crate) struct Certificate {
    key: Vec<u8>,
    not_before: String,
    not_after: String,
}

impl Certificate {
    /// The first one in a file, PEM or DER.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let in_file = |text: &str| Error::new(format!("{}: {text}", printable::path(path)));
        let bytes = fs::read(path).map_err(|error| in_file(&format!("cannot be read: {error}")))?;
        let der = block(&bytes).unwrap_or(bytes);
        Self::parse(&der).ok_or_else(|| in_file("this is no certificate, or it is damaged"))
    }

    fn parse(der: &[u8]) -> Option<Self> {
        let mut outer = inside(&mut Reader::new(der))?;
        let mut fields = inside(&mut outer)?;
        if fields.peek() == Some(VERSION) {
            fields.element().ok()?;
        }
        // Serial number, algorithm, issuer.
        for _ in 0..3 {
            fields.element().ok()?;
        }
        let mut validity = inside(&mut fields)?;
        let not_before = moment(&mut validity)?;
        let not_after = moment(&mut validity)?;
        // Subject.
        fields.element().ok()?;
        let key = fields.element().ok().filter(|it| it.tag == tag::SEQUENCE)?;
        Some(Self {
            key: bits(key.content)?.to_vec(),
            not_before,
            not_after,
        })
    }

    /// Whether its key is the one with this SubjectPublicKeyInfo; an RSA key may stand in either as one for PSS alone.
    pub(crate) fn belongs_to(&self, spki: &[u8]) -> bool {
        let own = Reader::new(spki).element().ok();
        own.and_then(|own| bits(own.content)) == Some(&self.key)
    }

    /// Its last day.
    pub(crate) fn until(&self) -> String {
        shown(&self.not_after).chars().take(10).collect()
    }

    /// Why it is not valid now.
    pub(crate) fn out_of_date(&self) -> Option<String> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let now = utc(seconds);
        if now > self.not_after {
            return Some(format!("has expired ({} UTC)", shown(&self.not_after)));
        }
        (now < self.not_before)
            .then(|| format!("is not valid before {} UTC", shown(&self.not_before)))
    }
}

/// The first CERTIFICATE block; a chain, or a key, may stand in the same file.
fn block(bytes: &[u8]) -> Option<Vec<u8>> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(bytes);
    let start = text.find(BEGIN)?;
    let end = text[start..].find(END)? + start + END.len();
    let (_, der) = pem_rfc7468::decode_vec(text[start..end].as_bytes()).ok()?;
    Some(der)
}

/// What a sequence holds.
fn inside<'a>(reader: &mut Reader<'a>) -> Option<Reader<'a>> {
    let element = reader.element().ok().filter(|it| it.tag == tag::SEQUENCE)?;
    Some(element.reader())
}

/// The bits of the key behind its algorithm.
fn bits(spki: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader::new(spki);
    fields.element().ok()?;
    Some(fields.element().ok()?.content)
}

/// UTCTime or GeneralizedTime as `YYYYMMDDhhmmss`, which sorts by time.
fn moment(reader: &mut Reader<'_>) -> Option<String> {
    let element = reader.element().ok()?;
    let text = std::str::from_utf8(element.content)
        .ok()?
        .strip_suffix('Z')?;
    if element.tag != UTC_TIME {
        return Some(text.to_owned());
    }
    let century = if text.get(..2)?.parse::<u8>().ok()? < 50 {
        "20"
    } else {
        "19"
    };
    Some(format!("{century}{text}"))
}

/// Seconds since 1970 in the same form.
fn utc(seconds: u64) -> String {
    let (days, time) = (seconds / 86400, seconds % 86400);
    let leap = |year: u64| {
        u64::from(year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)))
    };
    let (mut year, mut day) = (1970, days);
    while day >= 365 + leap(year) {
        day -= 365 + leap(year);
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    format!(
        "{year:04}{month:02}{:02}{:02}{:02}{:02}",
        day + 1,
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

/// `2026-11-28 15:00`.
fn shown(moment: &str) -> String {
    let part = |from: usize, to: usize| moment.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{} {}:{}",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_dates() {
        for (seconds, text) in [
            (0, "19700101000000"),
            (951_782_399, "20000228235959"),
            (951_782_400, "20000229000000"),
            (1_735_689_600, "20250101000000"),
            (4_107_542_400, "21000301000000"),
        ] {
            assert_eq!(utc(seconds), text);
        }
        assert_eq!(shown("20261128150000"), "2026-11-28 15:00");
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        for der in [&[][..], &[0x30, 0], &[0x30, 2, 0x30, 0], &[0xff; 40]] {
            assert!(Certificate::parse(der).is_none());
        }
    }
}
