//! The identifier that somebody has chosen for a key (CKA_ID of PKCS#11): a line in the text before its block, as
//! `openssl pkcs12` writes that of PKCS#12 there. Whatever reads PEM passes over such text.
#![forbid(unsafe_code)]

const NAME: &[u8] = b"localKeyID:";

/// The longest one, in bytes.
pub const LONGEST_ID: usize = 255;

/// The text that gives a key this identifier.
pub fn id_text(id: &[u8]) -> String {
    format!("Bag Attributes\n{}", line(id))
}

fn line(id: &[u8]) -> String {
    let octets: Vec<String> = id.iter().map(|octet| format!("{octet:02X}")).collect();
    format!("    localKeyID: {}\n", octets.join(" "))
}

/// The one in a text.
pub(super) fn read(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = text.split(|&octet| octet == b'\n');
    let digits = lines.find_map(|line| line.trim_ascii().strip_prefix(NAME))?;
    let digits: Vec<u8> = digits
        .iter()
        .copied()
        .filter(|digit| !matches!(digit, b' ' | b':' | b'\t'))
        .collect();
    let id = hex::decode(digits).ok()?;
    (1..=LONGEST_ID).contains(&id.len()).then_some(id)
}

/// A text with another one.
pub(super) fn replaced(text: &[u8], id: &[u8]) -> Vec<u8> {
    let is_one = |line: &&[u8]| line.trim_ascii_start().starts_with(NAME);
    let lines: Vec<&[u8]> = text.split_inclusive(|&octet| octet == b'\n').collect();
    if !lines.iter().any(is_one) {
        return [text, id_text(id).as_bytes()].concat();
    }
    let line = line(id);
    let lines = lines.into_iter().map(|old| match is_one(&old) {
        true => line.as_bytes(),
        false => old,
    });
    lines.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_as_openssl_writes_them() {
        for (text, id) in [
            (
                "Bag Attributes\n    localKeyID: 00 01 FF \nKey Attributes: <No Attributes>\n",
                Some(&[0, 1, 255][..]),
            ),
            ("localKeyID:0a:0B\r\n", Some(&[10, 11])),
            ("localKeyID: \n", None),
            ("localKeyID: 1\n", None),
            ("localKeyID: xy\n", None),
            ("nothing\n", None),
            ("", None),
        ] {
            assert_eq!(read(text.as_bytes()).as_deref(), id, "{text:?}");
            let other = replaced(text.as_bytes(), b"mine");
            assert_eq!(read(&other).as_deref(), Some(&b"mine"[..]), "{text:?}");
        }
        let long = hex::encode([7; 256]);
        assert_eq!(read(format!("localKeyID: {long}\n").as_bytes()), None);
        let kept = replaced(b"before\n  localKeyID: 01\nbehind\n", &[2]);
        assert_eq!(kept, b"before\n    localKeyID: 02\nbehind\n");
    }
}
