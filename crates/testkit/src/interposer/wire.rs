//! Commands taken apart and answers put together (TPM 2.0 Part 1, 18): the interposer's own, small and strict.

use crate::tpm::cc;

/// TPM_ST_NO_SESSIONS and TPM_ST_SESSIONS.
pub const NO_SESSIONS: u16 = 0x8001;
pub const SESSIONS: u16 = 0x8002;
/// TPM_RS_PW: the "session" of a password.
pub const PASSWORD: u32 = 0x4000_0009;
/// TPM_RH_NULL.
pub const NULL: u32 = 0x4000_0007;

/// Bits of a session's attributes.
pub mod attribute {
    pub const CONTINUE: u8 = 1;
    pub const DECRYPT: u8 = 1 << 5;
    pub const ENCRYPT: u8 = 1 << 6;
}

/// Bytes read from the front; panics never, says `None` at the end.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(head)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.take(2)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    /// A `TPM2B`: a size of two bytes, and so many.
    pub fn sized(&mut self) -> Option<&'a [u8]> {
        let size = self.u16()?;
        self.take(size.into())
    }
}

/// A `TPM2B` around bytes.
pub fn sized(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).expect("a short structure");
    [&size.to_be_bytes()[..], bytes].concat()
}

/// How a command is authorized.
#[derive(Clone, Debug)]
pub struct Auth {
    pub session: u32,
    pub nonce: Vec<u8>,
    pub attributes: u8,
    /// The password itself where `session` is [`PASSWORD`].
    pub hmac: Vec<u8>,
}

/// A command of the module's.
#[derive(Clone, Debug)]
pub struct Command {
    pub code: u32,
    pub handles: Vec<u32>,
    pub auths: Vec<Auth>,
    pub parameters: Vec<u8>,
}

impl Command {
    /// `None` for what is no command of TPM 2.0.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(frame);
        let tag = bytes.u16()?;
        bytes.u32()?;
        let code = bytes.u32()?;
        let mut handles = Vec::new();
        for _ in 0..handles_of(code) {
            handles.push(bytes.u32()?);
        }
        let mut auths = Vec::new();
        match tag {
            NO_SESSIONS => {}
            SESSIONS => {
                let size = bytes.u32()?;
                let mut area = Bytes(bytes.take(size as usize)?);
                while !area.0.is_empty() {
                    auths.push(Auth {
                        session: area.u32()?,
                        nonce: area.sized()?.to_vec(),
                        attributes: area.u8()?,
                        hmac: area.sized()?.to_vec(),
                    });
                }
            }
            _ => return None,
        }
        Some(Self {
            code,
            handles,
            auths,
            parameters: bytes.0.to_vec(),
        })
    }

    /// The bytes for the TPM.
    pub fn frame(&self) -> Vec<u8> {
        let mut body: Vec<u8> = self.handles.iter().flat_map(|h| h.to_be_bytes()).collect();
        if !self.auths.is_empty() {
            let area: Vec<u8> = self.auths.iter().flat_map(Auth::bytes).collect();
            body.extend(u32::try_from(area.len()).expect("short").to_be_bytes());
            body.extend(area);
        }
        body.extend(&self.parameters);
        let tag = if self.auths.is_empty() {
            NO_SESSIONS
        } else {
            SESSIONS
        };
        crate::tpm::command(tag, self.code, &body)
    }
}

impl Auth {
    /// An empty password, or another one.
    pub fn password(value: &[u8]) -> Self {
        Self {
            session: PASSWORD,
            nonce: Vec::new(),
            attributes: attribute::CONTINUE,
            hmac: value.to_vec(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        [
            &self.session.to_be_bytes()[..],
            &sized(&self.nonce),
            &[self.attributes],
            &sized(&self.hmac),
        ]
        .concat()
    }
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub rc: u32,
    pub handle: Option<u32>,
    pub parameters: Vec<u8>,
    /// Nonce, attributes and HMAC for each authorization of the command.
    pub auths: Vec<(Vec<u8>, u8, Vec<u8>)>,
}

impl Answer {
    pub fn parameters(parameters: Vec<u8>) -> Self {
        Self {
            parameters,
            ..Self::default()
        }
    }

    pub fn handle(handle: u32, parameters: Vec<u8>) -> Self {
        Self {
            handle: Some(handle),
            parameters,
            ..Self::default()
        }
    }

    pub fn error(rc: u32) -> Self {
        Self {
            rc,
            ..Self::default()
        }
    }

    /// Takes the TPM's answer to a command with code `code` apart.
    pub fn read(code: u32, frame: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(frame);
        let tag = bytes.u16()?;
        bytes.u32()?;
        let rc = bytes.u32()?;
        if rc != 0 {
            return Some(Self::error(rc));
        }
        let handle = if answers_handle(code) {
            Some(bytes.u32()?)
        } else {
            None
        };
        let mut auths = Vec::new();
        let parameters = if tag == SESSIONS {
            let size = bytes.u32()?;
            let parameters = bytes.take(size as usize)?;
            while !bytes.0.is_empty() {
                let nonce = bytes.sized()?.to_vec();
                auths.push((nonce, bytes.u8()?, bytes.sized()?.to_vec()));
            }
            parameters
        } else {
            bytes.0
        };
        Some(Self {
            rc,
            handle,
            parameters: parameters.to_vec(),
            auths,
        })
    }

    /// The bytes for the client.
    pub fn frame(&self) -> Vec<u8> {
        if self.rc != 0 {
            return crate::tpm::response(self.rc);
        }
        let mut body: Vec<u8> = self.handle.iter().flat_map(|h| h.to_be_bytes()).collect();
        if self.auths.is_empty() {
            body.extend(&self.parameters);
            return crate::tpm::command(NO_SESSIONS, 0, &body);
        }
        let size = u32::try_from(self.parameters.len()).expect("short");
        body.extend(size.to_be_bytes());
        body.extend(&self.parameters);
        for (nonce, attributes, hmac) in &self.auths {
            body.extend(sized(nonce));
            body.push(*attributes);
            body.extend(sized(hmac));
        }
        crate::tpm::command(SESSIONS, 0, &body)
    }
}

/// How many handles stand before a command's authorizations (Part 3).
pub fn handles_of(code: u32) -> usize {
    match code {
        cc::CREATE_PRIMARY
        | cc::CREATE
        | cc::ECDH_ZGEN
        | cc::IMPORT
        | cc::LOAD
        | cc::RSA_DECRYPT
        | cc::SIGN
        | UNSEAL
        | cc::CONTEXT_SAVE
        | cc::READ_PUBLIC
        | NV_READ_PUBLIC
        | SEQUENCE_UPDATE
        | SEQUENCE_COMPLETE => 1,
        cc::EVICT_CONTROL
        | cc::NV_READ
        | cc::START_AUTH_SESSION
        | CERTIFY
        | CERTIFY_CREATION
        | OBJECT_CHANGE_AUTH => 2,
        _ => 0,
    }
}

pub const UNSEAL: u32 = 0x15E;
pub const SEQUENCE_COMPLETE: u32 = 0x13E;
pub const CERTIFY: u32 = 0x148;
pub const CERTIFY_CREATION: u32 = 0x14A;
pub const OBJECT_CHANGE_AUTH: u32 = 0x150;
pub const SEQUENCE_UPDATE: u32 = 0x15C;
pub const LOAD_EXTERNAL: u32 = 0x167;
pub const NV_READ_PUBLIC: u32 = 0x169;
pub const HASH_SEQUENCE_START: u32 = 0x186;

/// Whether an answer begins with a handle.
pub fn answers_handle(code: u32) -> bool {
    matches!(
        code,
        cc::CREATE_PRIMARY
            | cc::LOAD
            | LOAD_EXTERNAL
            | cc::CONTEXT_LOAD
            | cc::START_AUTH_SESSION
            | HASH_SEQUENCE_START
    )
}
