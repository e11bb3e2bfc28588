//! The little DER that keys and signatures need (X.690): a reader that knows where it is, and writers.
#![forbid(unsafe_code)]

/// Tag numbers as they appear on the wire.
pub mod tag {
    /// BOOLEAN
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER
    pub const OID: u8 = 0x06;
    /// UTF8String
    pub const UTF8_STRING: u8 = 0x0c;
    /// SEQUENCE
    pub const SEQUENCE: u8 = 0x30;

    /// The context-specific, constructed tag `[n]`, for n up to 30.
    pub const fn explicit(n: u8) -> u8 {
        0xa0 | n
    }
}

/// One element: its tag, its content, and where in the whole input the two begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// The identifier octet.
    pub tag: u8,
    /// The content octets.
    pub content: &'a [u8],
    /// Offset of the identifier octet.
    pub start: usize,
    /// Offset of the first content octet.
    pub content_start: usize,
}

impl<'a> Element<'a> {
    /// Reads the elements inside this one.
    pub fn reader(&self) -> Reader<'a> {
        Reader {
            rest: self.content,
            offset: self.content_start,
        }
    }
}

/// Why an element could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The input ends inside the element.
    Truncated,
    /// A length in a form that DER forbids (indefinite, or longer than needed), or beyond 4 GiB.
    Length,
    /// A tag number above 30, which nothing here uses.
    Tag,
}

/// Reads elements one after another. Offsets count from the start of the outermost input.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self {
            rest: input,
            offset: 0,
        }
    }

    /// The next octet's offset.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element's tag, without reading it.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads one element.
    ///
    /// # Errors
    /// A [`Fault`]; the reader then stays where it was.
    pub fn element(&mut self) -> Result<Element<'a>, Fault> {
        let (&tag, rest) = self.rest.split_first().ok_or(Fault::Truncated)?;
        if tag & 0x1f == 0x1f {
            return Err(Fault::Tag);
        }
        let (&first, rest) = rest.split_first().ok_or(Fault::Truncated)?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (octets, rest) = rest
                    .split_at_checked(usize::from(first & 0x7f))
                    .ok_or(Fault::Truncated)?;
                let length = octets
                    .iter()
                    .fold(0u32, |length, &octet| length << 8 | u32::from(octet));
                if octets.first() == Some(&0) || length < 0x80 {
                    return Err(Fault::Length);
                }
                (usize::try_from(length).map_err(|_| Fault::Length)?, rest)
            }
            _ => return Err(Fault::Length),
        };
        let (content, after) = rest.split_at_checked(length).ok_or(Fault::Truncated)?;
        let start = self.offset;
        let content_start = start + (self.rest.len() - rest.len());
        self.rest = after;
        self.offset = content_start + content.len();
        Ok(Element {
            tag,
            content,
            start,
            content_start,
        })
    }
}

/// One element with `parts` joined as its content.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let octets = length.to_be_bytes();
        let octets = super::strip_zeros(&octets);
        out.push(0x80 | octets.len() as u8);
        out.extend_from_slice(octets);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A SEQUENCE of `parts`, which are whole elements.
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(tag::SEQUENCE, parts)
}

/// An INTEGER from an unsigned big-endian number, minimal.
pub fn unsigned(number: &[u8]) -> Vec<u8> {
    let digits = super::strip_zeros(number);
    match digits.first() {
        // Zero is one octet; a set top bit would read as negative.
        None | Some(0x80..) => element(tag::INTEGER, &[&[0], digits]),
        Some(_) => element(tag::INTEGER, &[digits]),
    }
}

/// An OBJECT IDENTIFIER from its value octets.
pub fn oid(value: &[u8]) -> Vec<u8> {
    element(tag::OID, &[value])
}

/// A BIT STRING of whole octets.
pub fn bit_string(octets: &[u8]) -> Vec<u8> {
    element(tag::BIT_STRING, &[&[0], octets])
}

/// A NULL.
pub const NULL: [u8; 2] = [tag::NULL, 0];

/// An object identifier's value octets in dotted form, or `None` if they are malformed
/// (X.690, 8.19).
pub fn dotted(oid: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut arc = 0u64;
    let mut inside = false;
    for &octet in oid {
        if !inside && octet == 0x80 {
            return None;
        }
        inside = octet & 0x80 != 0;
        arc = arc.checked_mul(128)? | u64::from(octet & 0x7f);
        if inside {
            continue;
        }
        if text.is_empty() {
            // The first two arcs share one number.
            let top = (arc / 40).min(2);
            text = format!("{top}.{}", arc - 40 * top);
        } else {
            text.push_str(&format!(".{arc}"));
        }
        arc = 0;
    }
    (!inside && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_minimal() {
        assert_eq!(unsigned(&[]), [2, 1, 0]);
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
        assert_eq!(unsigned(&[0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[1, 0]), [2, 2, 1, 0]);
    }

    #[test]
    fn lengths() {
        for length in [0usize, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000] {
            let content = vec![7; length];
            let whole = element(tag::OCTET_STRING, &[&content]);
            let mut reader = Reader::new(&whole);
            let read = reader.element().unwrap();
            assert_eq!((read.tag, read.content), (tag::OCTET_STRING, &content[..]));
            assert_eq!(read.content_start, whole.len() - length);
            assert!(reader.is_empty());
            assert_eq!(reader.offset(), whole.len());
        }
    }

    #[test]
    fn faults() {
        let cases: [(&[u8], Fault); 9] = [
            (&[], Fault::Truncated),
            (&[4], Fault::Truncated),
            (&[4, 1], Fault::Truncated),
            (&[4, 0x81], Fault::Truncated),
            (&[4, 0x80, 0, 0], Fault::Length),
            (&[4, 0x81, 1, 0], Fault::Length),
            (&[4, 0x82, 0, 0x80], Fault::Length),
            (&[4, 0x85, 1, 0, 0, 0, 0], Fault::Length),
            (&[0x1f, 0x20, 0], Fault::Tag),
        ];
        for (input, fault) in cases {
            assert_eq!(Reader::new(input).element(), Err(fault), "{input:02x?}");
        }
    }

    #[test]
    fn dotted_identifiers() {
        assert_eq!(
            dotted(&[0x67, 0x81, 0x05, 0x0a, 1, 3]).as_deref(),
            Some("2.23.133.10.1.3")
        );
        assert_eq!(
            dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]).as_deref(),
            Some("1.2.840.113549")
        );
        assert_eq!(dotted(&[0x88, 0x37]).as_deref(), Some("2.999"));
        for bad in [&[][..], &[0x81], &[0x80, 1], &[0x2a, 0x80, 1], &[0xff; 12]] {
            assert_eq!(dotted(bad), None);
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(input in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&input);
            while let Ok(element) = reader.element() {
                prop_assert_eq!(
                    &input[element.content_start..element.content_start + element.content.len()],
                    element.content
                );
            }
            let _ = dotted(&input);
        }
    }
}
