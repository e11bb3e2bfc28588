//! Keys as other tools keep them, in pieces and without a form of their own: what a TPM gave, as it gave it.
//!
//! tpm2-tools write the two halves of a key to two files, a `TPM2B_PUBLIC` and a `TPM2B_PRIVATE` (`tpm2_create -u -r`);
//! `tpm2_readpublic -f tpmt` leaves the first one's size out, and SPIRE has both without. What is loaded they save as a
//! context (`tpm2_load -c`). Nothing in these files says what they are but their structure.
#![forbid(unsafe_code)]

use std::fmt;

use tss::tpm2::wire::{Malformed, Reader, Writer};
use tss::tpm2::{Name, Parms, Public};

use super::serialized;

/// One of these files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A public half.
    Public(Public),
    /// A private half, a whole `TPM2B_PRIVATE`.
    Private(Private),
    /// A saved context.
    Context(Context),
}

/// A `TPM2B_PRIVATE`.
#[derive(Clone, PartialEq, Eq)]
pub struct Private(pub Vec<u8>);

impl fmt::Debug for Private {
    /// It is wrapped, but has no business in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Private({} bytes)", self.0.len())
    }
}

impl Piece {
    /// What a file is, if it is one of these.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if Context::is_one(bytes) {
            return Context::read(bytes).ok().map(Self::Context);
        }
        // Neither size can be the other's beginning: types of objects are no sizes of digests.
        whole_private(bytes)
            .map(Self::Private)
            .or_else(|| public(bytes).map(Self::Public))
            .or_else(|| private(bytes).map(Self::Private))
    }

    /// What a file of this kind is called.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Public(_) => "a public half (TPM2B_PUBLIC)",
            Self::Private(_) => "a private half (TPM2B_PRIVATE)",
            Self::Context(_) => "a saved context",
        }
    }
}

/// A public area of a type that is known, with its size or without. The beginning of a private half would be one of a type
/// that is not.
fn public(bytes: &[u8]) -> Option<Public> {
    Public::from_tpm2b(bytes)
        .or_else(|_| Public::from_tpmt(bytes))
        .ok()
        .filter(|public| !matches!(public.parms(), Parms::Unknown(_)))
}

/// Sizes of the digests by which private halves are authenticated: the parent's name algorithm.
const DIGESTS: [usize; 4] = [20, 32, 48, 64];

/// A private half with its size.
fn whole_private(bytes: &[u8]) -> Option<Private> {
    let mut reader = Reader::new(bytes, "private half");
    let content = reader.tpm2b().ok().filter(|_| reader.left() == 0)?;
    private(content)
}

/// A private half without its size: `TPM2B` integrity, and the encrypted rest (Part 2, 12.3.7).
fn private(content: &[u8]) -> Option<Private> {
    let mut inner = Reader::new(content, "private half");
    let digest = inner.tpm2b().ok()?;
    if !DIGESTS.contains(&digest.len()) || inner.left() == 0 {
        return None;
    }
    let mut writer = Writer::new();
    writer.tpm2b(content);
    let whole = writer.finish("private half").ok()?;
    Some(Private(whole.to_vec()))
}

/// A context as tpm2-tools save it: what TPM2_ContextSave gave, and beside it what the object is. It holds the object for the
/// TPM that saved it, until that is reset, and nothing of its private half that could be taken out.
#[derive(Clone, PartialEq, Eq)]
pub struct Context {
    /// What TPM2_ContextLoad takes: a whole `TPMS_CONTEXT`.
    pub saved: Vec<u8>,
    /// The object's public area.
    pub public: Public,
    /// The name that stands beside it.
    pub name: Name,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({})", self.name)
    }
}

impl Context {
    /// What the file begins with.
    const MAGIC: [u8; 4] = [0xba, 0xdc, 0xc0, 0xde];

    /// Whether a file says that it is one.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(&Self::MAGIC)
    }

    /// Reads the file: magic number, version, hierarchy, handle, sequence, and a `TPM2B` in which the TPM's own blob is, and
    /// behind it the object as the Enhanced System API knows it.
    ///
    /// # Errors
    ///
    /// A file that is damaged, of another version, or of a session.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        const WHAT: &str = "context of tpm2-tools";
        let mut reader = Reader::new(bytes, WHAT);
        let damaged = reader.malformed();
        if reader.bytes(4)? != Self::MAGIC || reader.u32()? != 1 {
            return Err(damaged);
        }
        let (hierarchy, handle, sequence) = (reader.u32()?, reader.u32()?, reader.u64()?);
        let blob = reader.tpm2b()?;
        reader.finish()?;
        let mut inner = Reader::new(blob, WHAT);
        inner.u32()?;
        let tpm = inner.tpm2b()?;
        // Another size, which tpm2-tss leaves at 0.
        inner.u16()?;
        let (_, name, public) = serialized::parts(inner.rest())?;
        let public = Public::from_tpm2b(public.ok_or(damaged)?)?;
        if public.name()? != name {
            return Err(damaged);
        }
        let mut writer = Writer::new();
        writer.u64(sequence).u32(handle).u32(hierarchy).tpm2b(tpm);
        Ok(Self {
            saved: writer.finish(WHAT)?.to_vec(),
            public,
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tss2::KeyFile;

    const KEY: &[u8] = include_bytes!("../../../../tests/data/tpm2/e_ec.pem");

    fn halves() -> (Vec<u8>, Vec<u8>) {
        let file = KeyFile::from_pem(KEY).unwrap();
        (file.public, file.private)
    }

    #[test]
    fn the_two_halves_are_told_apart_with_their_sizes_and_without() {
        let (public, private) = halves();
        for bytes in [&public[..], &public[2..]] {
            let Some(Piece::Public(read)) = Piece::of(bytes) else {
                panic!("{bytes:02x?}");
            };
            assert_eq!(read.to_tpm2b(), public);
        }
        for bytes in [&private[..], &private[2..]] {
            assert_eq!(
                Piece::of(bytes),
                Some(Piece::Private(Private(private.clone())))
            );
        }
        assert!(!format!("{:?}", Piece::of(&private)).contains("32"));
    }

    #[test]
    fn what_is_cut_or_longer_is_none() {
        let (public, private) = halves();
        for length in 0..public.len() {
            assert!(
                !matches!(Piece::of(&public[..length]), Some(Piece::Public(_))),
                "{length}"
            );
        }
        assert_eq!(Piece::of(&[&public[..], &[0]].concat()), None);
        assert_eq!(Piece::of(&private[..34]), None);
        for other in [
            &b""[..],
            b"\0",
            b"-----BEGIN PUBLIC KEY-----\n",
            &[0; 200],
            KEY,
        ] {
            assert_eq!(Piece::of(other), None, "{other:02x?}");
        }
    }

    fn context(public: &[u8]) -> Vec<u8> {
        let name = Public::from_tpm2b(public).unwrap().name().unwrap();
        let mut writer = Writer::new();
        writer
            .bytes(&Context::MAGIC)
            .u32(1)
            .u32(0x4000_0001)
            .u32(0x8000_0000)
            .u64(7)
            .sized(|blob| {
                blob.u32(0)
                    .tpm2b(&[9; 40])
                    .u16(0)
                    .u32(0x8000_0001)
                    .tpm2b(name.as_bytes())
                    .u32(1)
                    .bytes(public);
            });
        writer.finish("test").unwrap().to_vec()
    }

    #[test]
    fn a_context_says_what_it_is_of() {
        let (public, _) = halves();
        let whole = context(&public);
        let Some(Piece::Context(read)) = Piece::of(&whole) else {
            panic!("no context");
        };
        assert_eq!(read.public.to_tpm2b(), public);
        assert_eq!(read.saved.len(), 8 + 4 + 4 + 2 + 40);
        for length in 0..whole.len() {
            assert!(Context::read(&whole[..length]).is_err(), "{length}");
        }
        assert!(Context::read(&[&whole[..], &[0]].concat()).is_err());
        // In the version, and in the public area.
        for at in [7, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert_eq!(Piece::of(&changed), None, "{at}");
        }
    }
}
