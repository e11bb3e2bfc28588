//! The data types of SSH (RFC 4251, 5).

pub(crate) use keys::format::ssh::{mpint, string};

/// Reads from the front; `None` where what there is ends too early.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn octet(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A boolean: anything but 0 is true.
    pub(crate) fn boolean(&mut self) -> Option<bool> {
        Some(self.octet()? != 0)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }

    /// A string that is text.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.string()?).ok()
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let bytes = [string(b"ssh-rsa"), mpint(&[0, 0, 0x80]), mpint(&[0])].concat();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.text(), Some("ssh-rsa"));
        assert_eq!(reader.string(), Some(&[0, 0x80][..]));
        assert!(!reader.is_at_end());
        assert_eq!(reader.string(), Some(&[][..]));
        assert!(reader.is_at_end());
        assert_eq!(reader.octet(), None);
    }

    #[test]
    fn what_is_cut_is_nothing() {
        let whole = [string(b"abc"), string(b"de")].concat();
        for length in 0..whole.len() {
            let mut reader = Reader::new(&whole[..length]);
            assert!(reader.string().and_then(|_| reader.string()).is_none());
        }
        assert_eq!(Reader::new(&[0xff; 8]).string(), None);
    }
}
