//! URIs of files that name an object of a TPM: `object:FILE`.
//!
//! Such a file is what `tpm2_evictcontrol -o` and `tpm2_readpublic -t` write, and other users of the TSS' Enhanced
//! System API: a serialized `ESYS_TR`. It holds the object's handle, its name, and its public area, all in the TPM's own
//! encoding, and nothing secret.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Read;

use tss::tpm2::wire::{Malformed, Reader, Writer};
use tss::tpm2::{Name, Public};

use super::foreign::Context;
use super::uri::{Handle, HandleKind};
use crate::Error;

/// The largest file that is considered, in bytes: real ones have a few hundred.
const LARGEST: u64 = 16 << 10;

/// What follows the name: nothing, a `TPM2B_PUBLIC`, or a `TPM2B_NV_PUBLIC`.
const NOTHING: u32 = 0;
const KEY: u32 = 1;
const NV_INDEX: u32 = 2;

impl Handle {
    /// Reads `object:FILE`, with `?pass` behind it for a key that has an authorization value, and the file.
    pub fn of_object(uri: &str) -> Result<Self, Error> {
        let rest = uri
            .strip_prefix("object:")
            .ok_or_else(|| Error::Uri(format!("{uri}: not an object: URI")))?;
        // A file's name may have a question mark of its own.
        let (path, pass) = match rest.strip_suffix("?pass") {
            Some(path) => (path, true),
            None => (rest, false),
        };
        let wrong = |what: &str| Error::Uri(format!("{uri}: {what}"));
        let mut content = Vec::new();
        File::open(path)
            .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut content))
            .map_err(|error| wrong(&format!("the file cannot be read: {error}")))?;
        let object = Self::from_serialized(&content).map_err(|what| wrong(&what))?;
        if pass && object.kind == HandleKind::NvIndex {
            return Err(wrong("an NV index takes no parameters"));
        }
        Ok(Self { pass, ..object })
    }

    /// Reads a serialized object.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn from_serialized(content: &[u8]) -> Result<Self, String> {
        const EXPECTED: &str = "expected is what `tpmctl key convert handle:HANDLE --to object` and tpm2_evictcontrol -o \
                                write; a key file (TSS2 PRIVATE KEY) is loaded by its name alone, without object:";
        if content.is_empty() {
            return Err(format!("the file is empty; {EXPECTED}"));
        }
        if content.starts_with(b"-----BEGIN ") {
            return Err(format!("the file is PEM; {EXPECTED}"));
        }
        if Context::is_one(content) {
            return Err(format!(
                "the file is a context that tpm2-tools saved (tpm2_load -c), which a restart of the TPM ends; \
                 `tpmctl key persist` makes its key persistent; {EXPECTED}"
            ));
        }
        let (handle, name, public) = parts(content)
            .map_err(|_| format!("the file is no serialized object of a TPM; {EXPECTED}"))?;
        let kind = HandleKind::of(handle).ok_or_else(|| {
            format!("0x{handle:08x}, which the file names, is no key and no NV index")
        })?;
        match (kind, &public) {
            (HandleKind::NvIndex, None) | (_, Some(_)) => {}
            (_, None) => return Err(format!("the file has no public area; {EXPECTED}")),
        }
        if let Some(public) = public
            && Public::from_tpm2b(public)
                .and_then(|public| public.name())
                .ok()
                != Some(name.clone())
        {
            return Err(format!(
                "the file is damaged: its public area is not that of the object it calls {name}"
            ));
        }
        Ok(Self {
            handle,
            kind,
            pass: false,
            name: Some(name),
            policy: None,
            pin_source: None,
        })
    }
}

/// Writes what [`Handle::from_serialized`] reads, of a persistent key.
///
/// # Errors
///
/// A public area whose name cannot be computed.
pub fn write(handle: u32, public: &Public) -> Result<Vec<u8>, Malformed> {
    let mut writer = Writer::new();
    writer
        .u32(handle)
        .tpm2b(public.name()?.as_bytes())
        .u32(KEY)
        .bytes(&public.to_tpm2b());
    Ok(writer.finish("serialized object")?.to_vec())
}

/// Handle, name, and the whole `TPM2B_PUBLIC` of a key.
pub(super) fn parts(content: &[u8]) -> Result<(u32, Name, Option<&[u8]>), Malformed> {
    let mut reader = Reader::new(content, "serialized object");
    let handle = reader.u32()?;
    let name = Name::from_bytes(reader.tpm2b()?);
    let public = match reader.u32()? {
        NOTHING => None,
        KEY => Some(reader.rest()),
        NV_INDEX => {
            reader.tpm2b()?;
            None
        }
        _ => return Err(reader.malformed()),
    };
    reader.finish()?;
    Ok((handle, name, public))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A P-256 signing key, as tpm2-tools 5.4 wrote it for 0x81000010.
    const WRITTEN: &str = "810000100022000b9f1e7cd596a1a2da25ab5af51d7b9d3c8477a65c789289dbdd39f66ff23c8f45\
        000000010056002300\
        0b00060072000000100010000300100020f9466d38da0873a8b632497bc05206ee7b96756532101a56ecd5525248b43cf6\
        0020fd750314dd8a747ec13a09fd6795165b58e09eacd82031ef949970684ed2eb70";

    fn written() -> Vec<u8> {
        let digits = WRITTEN.as_bytes().as_chunks::<2>().0.iter();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.map(byte).collect()
    }

    #[test]
    fn what_tpm2_tools_write_is_read() {
        let object = Handle::from_serialized(&written()).unwrap();
        assert_eq!(
            (object.handle, object.kind),
            (0x8100_0010, HandleKind::Persistent)
        );
        assert_eq!(object.name, Some(Name::from_bytes(&written()[6..40])));
        let public = Public::from_tpm2b(&written()[44..]).unwrap();
        assert_eq!(write(object.handle, &public).unwrap(), written());
        let mut transient = written();
        transient[0] = 0x80;
        assert_eq!(
            Handle::from_serialized(&transient).unwrap().kind,
            HandleKind::Transient
        );
        let mut index = vec![0x01, 0x50, 0, 0x10, 0, 34];
        index.extend([7; 34]);
        index.extend([0, 0, 0, 2, 0, 3, 1, 2, 3]);
        let object = Handle::from_serialized(&index).unwrap();
        assert_eq!(
            (object.handle, object.kind),
            (0x0150_0010, HandleKind::NvIndex)
        );
    }

    #[test]
    fn cut_and_changed_files_are_refused() {
        let whole = written();
        for length in 0..whole.len() {
            assert!(
                Handle::from_serialized(&whole[..length]).is_err(),
                "{length}"
            );
        }
        assert!(Handle::from_serialized(&[&whole[..], &[0]].concat()).is_err());
        // In the name, in the public area, and in the kind.
        for at in [10, 60, 43, 2 + 4 + 34 + 3] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(Handle::from_serialized(&changed).is_err(), "{at}");
        }
    }

    #[test]
    fn other_files_are_called_by_their_names() {
        for (content, says) in [
            (&b""[..], "empty"),
            (b"-----BEGIN TSS2 PRIVATE KEY-----\n", "is PEM"),
            (&[0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1], "tpm2_load -c"),
            (b"anything else that is there", "no serialized object"),
        ] {
            let error = Handle::from_serialized(content).unwrap_err();
            assert!(
                error.contains(says) && error.contains("tpm2_evictcontrol"),
                "{error}"
            );
        }
        let error = Handle::of_object("object:/nowhere?pass")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("cannot be read") && error.contains("/nowhere"),
            "{error}"
        );
    }
}
