//! tcsd's packets: a header of 28 bytes, a list of types, and the values back to back.
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use crate::tpm2::wire::{Malformed, Reader, Writer};

/// Packet size, ordinal or result, number of values, size and offset of the types, size and offset of
/// the values: seven words.
pub(super) const HEADER: usize = 28;
/// No packet of ours or to us is longer; what claims more is not tcsd.
pub(super) const MOST: usize = 32 * 1024;

/// What a value is (trousers, `tcsd_wrap.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Type {
    Bool = 1,
    U16 = 2,
    U32 = 3,
    /// Bytes, as many as the `U32` before says.
    Bytes = 4,
    Nonce = 6,
    /// An authorization: 45 bytes in a request, 41 in a reply.
    Auth = 7,
    Digest = 8,
    Uuid = 9,
    EncAuth = 10,
    LoadKeyInfo = 14,
    Secret = 18,
}

/// A request being written.
#[derive(Default)]
pub(super) struct Request {
    types: Vec<u8>,
    values: Writer,
}

impl Request {
    pub(super) fn value(&mut self, kind: Type, bytes: &[u8]) -> &mut Self {
        self.types.push(kind as u8);
        self.values.bytes(bytes);
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.value(Type::U32, &value.to_be_bytes())
    }

    /// The packet for this call.
    pub(super) fn finish(self, call: u32) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        const WHAT: &str = "tcsd request";
        let values = self.values.finish(WHAT)?;
        let word = |size: usize| u32::try_from(size).map_err(|_| Malformed { what: WHAT });
        let values_at = HEADER + self.types.len();
        let mut packet = Writer::new();
        packet
            .u32(word(values_at + values.len())?)
            .u32(call)
            .u32(word(self.types.len())?)
            .u32(word(self.types.len())?)
            .u32(word(HEADER)?)
            .u32(word(values.len())?)
            .u32(word(values_at)?)
            .bytes(&self.types)
            .bytes(&values);
        packet.finish(WHAT)
    }
}

/// The size of the packet that begins so, once its first word is there; `None` for one that no packet has.
pub(super) fn claimed_size(start: [u8; 4]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(start))
        .ok()
        .filter(|size| (HEADER..=MOST).contains(size))
}

/// A reply, whole. Its values are taken in order, each with the type it must have.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    result: u32,
    types: &'a [u8],
    values: Reader<'a>,
}

const REPLY: Malformed = Malformed {
    what: "reply of tcsd",
};

impl<'a> Reply<'a> {
    /// Takes a packet apart. Types and values are where the header says, which may leave gaps.
    pub(super) fn parse(packet: &'a [u8]) -> Result<Self, Malformed> {
        let mut header = Reader::new(packet, REPLY.what);
        let size = header.u32()?;
        let result = header.u32()?;
        let mut word = || usize::try_from(header.u32()?).map_err(|_| REPLY);
        let [count, types_size, types_at, values_size, values_at] =
            [word()?, word()?, word()?, word()?, word()?];
        if usize::try_from(size) != Ok(packet.len()) {
            return Err(REPLY);
        }
        if result != 0 || count == 0 {
            // Without values the other words say nothing.
            return Ok(Self {
                result,
                types: &[],
                values: Reader::new(&[], REPLY.what),
            });
        }
        let part = |at: usize, size: usize| {
            let end = at.checked_add(size).ok_or(REPLY)?;
            if at < HEADER {
                return Err(REPLY);
            }
            packet.get(at..end).ok_or(REPLY)
        };
        if types_size != count
            || types_at
                .checked_add(count)
                .is_none_or(|end| end > values_at)
        {
            return Err(REPLY);
        }
        if values_at.checked_add(values_size) != Some(packet.len()) {
            return Err(REPLY);
        }
        Ok(Self {
            result,
            types: part(types_at, count)?,
            values: Reader::new(part(values_at, values_size)?, REPLY.what),
        })
    }

    /// tcsd's or the TPM's result.
    pub(super) fn result(&self) -> u32 {
        self.result
    }

    /// The next value, which must be of this type and has this many bytes.
    pub(super) fn value(&mut self, kind: Type, size: usize) -> Result<&'a [u8], Malformed> {
        let (&first, rest) = self.types.split_first().ok_or(REPLY)?;
        if first != kind as u8 {
            return Err(REPLY);
        }
        self.types = rest;
        self.values.bytes(size)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        let bytes = self.value(Type::U32, 4)?;
        bytes.try_into().map(u32::from_be_bytes).map_err(|_| REPLY)
    }

    /// Ends the reading; values that are left over are an error.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        if !self.types.is_empty() {
            return Err(REPLY);
        }
        self.values.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPENED: &str =
        "000000260000000000000002000000020000001c000000080000001e0303a0895d0100000002";

    #[test]
    fn the_captured_packets_are_read_and_written() {
        let packet = hex::decode(OPENED).unwrap();
        let mut reply = Reply::parse(&packet).unwrap();
        assert_eq!(reply.result(), 0);
        assert_eq!((reply.u32(), reply.u32()), (Ok(0xa089_5d01), Ok(2)));
        reply.finish().unwrap();
        assert_eq!(
            hex::encode(&*Request::default().finish(1).unwrap()),
            "0000001c0000000100000000000000000000001c000000000000001c"
        );
        let mut oiap = Request::default();
        oiap.u32(0xa089_5d01);
        assert_eq!(
            hex::encode(&*oiap.finish(23).unwrap()),
            "000000210000001700000001000000010000001c000000040000001d03a0895d01"
        );
    }

    #[test]
    fn values_are_found_by_their_offset_also_behind_a_gap() {
        let mut packet = hex::decode(OPENED).unwrap();
        packet.splice(30..30, [0xee; 3]);
        packet[3] += 3;
        packet[27] += 3;
        let mut reply = Reply::parse(&packet).unwrap();
        assert_eq!(reply.u32(), Ok(0xa089_5d01));
    }

    #[test]
    fn what_disagrees_with_itself_is_refused() {
        let good = hex::decode(OPENED).unwrap();
        for (byte, what) in [
            (3, "packet size"),
            (11, "number"),
            (15, "size of types"),
            (19, "offset of types"),
            (23, "size of values"),
            (27, "offset of values"),
            (16, "offset of types, far away"),
            (24, "offset of values, far away"),
        ] {
            for change in [0x01, 0x40, 0x80] {
                let mut packet = good.clone();
                packet[byte] ^= change;
                assert!(Reply::parse(&packet).is_err(), "{what} {change:#x}");
            }
        }
        for end in 0..good.len() {
            assert!(Reply::parse(&good[..end]).is_err());
        }
        assert!(Reply::parse(&[&good[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_value_of_another_type_or_too_many_values_are_refused() {
        let packet = hex::decode(OPENED).unwrap();
        let reply = || Reply::parse(&packet).unwrap();
        assert!(reply().value(Type::Nonce, 4).is_err());
        assert!(reply().value(Type::U32, 9).is_err());
        let mut half = reply();
        half.u32().unwrap();
        assert!(half.finish().is_err());
        let mut all = reply();
        all.u32().unwrap();
        all.u32().unwrap();
        assert!(all.u32().is_err());
    }

    proptest! {
        #[test]
        fn no_packet_does_harm(bytes in proptest::collection::vec(any::<u8>(), 0..80), small in any::<bool>()) {
            // Words below 256 reach deeper than random ones.
            let bytes: Vec<u8> = bytes
                .iter()
                .enumerate()
                .map(|(index, &byte)| match index {
                    0..28 if small && index % 4 != 3 => 0,
                    0..28 if small => byte % 64,
                    _ => byte,
                })
                .collect();
            if let Ok(mut reply) = Reply::parse(&bytes) {
                for size in [4, 20, 41] {
                    let _ = reply.value(Type::U32, size);
                    let _ = reply.value(Type::Auth, size);
                }
                let _ = reply.finish();
            }
        }
    }
}
