//! Reading and writing the TPM's canonical form: big-endian, every size checked.
//!
//! TPM 2.0 Library, Part 2, 4.5 (canonicalization) and 10.4 (TPM2B structures).
#![forbid(unsafe_code)]

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// Bytes that do not have the form the specification gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What was being read or written, in words for a message.
    pub what: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {}", self.what)
    }
}

impl std::error::Error for Malformed {}

/// Reads big-endian fields from a byte string and never past its end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; `what` names them in errors.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// The error of this reader, for values that are wrong in themselves.
    pub fn malformed(&self) -> Malformed {
        Malformed { what: self.what }
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(self.malformed())?;
        self.rest = tail;
        Ok(head)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The number of bytes not yet read.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// One octet.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A `UINT16`.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// A `UINT32`.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// A `UINT64`.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A `TPM2B`: a 16-bit size and as many bytes.
    pub fn tpm2b(&mut self) -> Result<&'a [u8], Malformed> {
        let size = self.u16()?;
        self.bytes(usize::from(size))
    }

    /// Ends the reading; bytes that are left over are an error.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let what = self.malformed();
        self.bytes(N)?.try_into().map_err(|_| what)
    }
}

/// Writes big-endian fields. What was written is wiped when the writer goes, since commands carry secrets.
///
/// A value too long for its size field is remembered and reported by [`Writer::finish`], so that
/// writing reads as a plain list of fields.
#[derive(Default)]
pub struct Writer {
    bytes: Zeroizing<Vec<u8>>,
    too_long: bool,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.reserve(bytes.len());
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// One octet.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    /// A `UINT16`.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A `UINT32`.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A `UINT64`.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A `TPM2B` of `bytes`.
    pub fn tpm2b(&mut self, bytes: &[u8]) -> &mut Self {
        match u16::try_from(bytes.len()) {
            Ok(size) => self.u16(size).bytes(bytes),
            Err(_) => {
                self.too_long = true;
                self
            }
        }
    }

    /// A `TPM2B` whose content `fill` writes.
    pub fn sized(&mut self, fill: impl FnOnce(&mut Writer)) -> &mut Self {
        let mut inner = Writer::new();
        fill(&mut inner);
        self.too_long |= inner.too_long;
        self.tpm2b(&inner.bytes)
    }

    /// What was written; fails when a value did not fit its size field. `what` names it in the error.
    pub fn finish(self, what: &'static str) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        if self.too_long {
            Err(Malformed { what })
        } else {
            Ok(self.bytes)
        }
    }

    /// Grows by copying and wiping: a plain reallocation would leave secrets behind.
    fn reserve(&mut self, more: usize) {
        let needed = self.bytes.len().saturating_add(more);
        if needed > self.bytes.capacity() {
            let mut larger = Vec::with_capacity(needed.next_power_of_two().max(256));
            larger.extend_from_slice(&self.bytes);
            self.bytes.zeroize();
            self.bytes = Zeroizing::new(larger);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_big_endian_and_read_back() {
        let mut writer = Writer::new();
        writer
            .u8(1)
            .u16(0x0203)
            .u32(0x0405_0607)
            .u64(8)
            .tpm2b(b"ab")
            .sized(|w| {
                w.tpm2b(b"");
            });
        let bytes = writer.finish("test").unwrap();
        assert_eq!(
            hex::encode(&*bytes),
            "01020304050607000000000000000800026162".to_owned() + "00020000"
        );
        let mut reader = Reader::new(&bytes, "test");
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(0x0203));
        assert_eq!(reader.u32(), Ok(0x0405_0607));
        assert_eq!(reader.u64(), Ok(8));
        assert_eq!(reader.tpm2b(), Ok(&b"ab"[..]));
        assert_eq!(reader.tpm2b(), Ok(&[0, 0][..]));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn short_input_and_trailing_bytes_are_errors() {
        assert!(Reader::new(&[0, 3, 1, 2], "test").tpm2b().is_err());
        assert!(Reader::new(&[0], "test").u16().is_err());
        let mut reader = Reader::new(&[0, 0, 9], "test");
        reader.tpm2b().unwrap();
        assert_eq!(reader.finish(), Err(Malformed { what: "test" }));
    }

    #[test]
    fn a_value_too_long_for_its_size_field_is_an_error() {
        let mut writer = Writer::new();
        writer.tpm2b(&vec![0; 0x1_0000]);
        assert!(writer.finish("test").is_err());
        let mut writer = Writer::new();
        writer.sized(|w| {
            w.tpm2b(&vec![0; 0x1_0000]);
        });
        assert!(writer.finish("test").is_err());
    }
}
