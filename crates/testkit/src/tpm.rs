//! A few raw TPM 2.0 commands and the names of all: the harness looks at a TPM without the code under test.

use crate::net::{Endpoint, Stream};
use std::io::{self, Read, Write};
use std::time::Duration;

/// Command codes.
pub mod cc {
    pub const EVICT_CONTROL: u32 = 0x120;
    pub const NV_READ: u32 = 0x14E;
    pub const SELF_TEST: u32 = 0x143;
    pub const SHUTDOWN: u32 = 0x145;
    pub const CREATE_PRIMARY: u32 = 0x131;
    pub const CREATE: u32 = 0x153;
    pub const ECDH_ZGEN: u32 = 0x154;
    pub const IMPORT: u32 = 0x156;
    pub const LOAD: u32 = 0x157;
    pub const RSA_DECRYPT: u32 = 0x159;
    pub const SIGN: u32 = 0x15D;
    pub const CONTEXT_LOAD: u32 = 0x161;
    pub const CONTEXT_SAVE: u32 = 0x162;
    pub const FLUSH_CONTEXT: u32 = 0x165;
    pub const READ_PUBLIC: u32 = 0x173;
    pub const START_AUTH_SESSION: u32 = 0x176;
    pub const POLICY_PCR: u32 = 0x17F;
    pub const GET_CAPABILITY: u32 = 0x17A;
    pub const GET_RANDOM: u32 = 0x17B;
    pub const HASH: u32 = 0x17D;
    pub const PCR_READ: u32 = 0x17E;
}

/// Ordinals of TPM 1.2 that tests inject faults into.
pub mod ordinal {
    pub const OIAP: u32 = 0x0A;
    pub const SIGN: u32 = 0x3C;
    pub const LOAD_KEY2: u32 = 0x41;
    pub const FLUSH_SPECIFIC: u32 = 0xBA;
}

/// Response codes that tests inject.
pub mod rc {
    pub const RETRY: u32 = 0x922;
    pub const TESTING: u32 = 0x90A;
    pub const YIELDED: u32 = 0x908;
    pub const NV_RATE: u32 = 0x920;
    pub const LOCKOUT: u32 = 0x921;
    pub const OBJECT_MEMORY: u32 = 0x902;
    pub const SESSION_HANDLES: u32 = 0x905;
    pub const CONTEXT_GAP: u32 = 0x901;
    pub const FAILURE: u32 = 0x101;
    pub const INITIALIZE: u32 = 0x100;
    pub const REFERENCE_H0: u32 = 0x910;
    pub const REFERENCE_S0: u32 = 0x918;
}

/// The command's name as the specification spells it, without `TPM2_`.
pub fn name(code: u32) -> String {
    let name = match code {
        // Ordinals of TPM 1.2, all of them below the codes of TPM 2.0.
        0x0A => "OIAP",
        0x0B => "OSAP",
        0x15 => "PCRRead",
        0x17 => "Seal",
        0x18 => "Unseal",
        0x1E => "UnBind",
        0x1F => "CreateWrapKey",
        0x21 => "GetPubKey",
        0x3C => "Sign",
        0x41 => "LoadKey2",
        0x65 => "GetCapability",
        0xBA => "FlushSpecific",
        0x11F => "NV_UndefineSpaceSpecial",
        0x120 => "EvictControl",
        0x121 => "HierarchyControl",
        0x122 => "NV_UndefineSpace",
        0x126 => "Clear",
        0x127 => "ClearControl",
        0x129 => "HierarchyChangeAuth",
        0x12A => "NV_DefineSpace",
        0x131 => "CreatePrimary",
        0x134 => "NV_Increment",
        0x137 => "NV_Write",
        0x139 => "DictionaryAttackLockReset",
        0x13A => "DictionaryAttackParameters",
        0x13C => "PCR_Event",
        0x13D => "PCR_Reset",
        0x13E => "SequenceComplete",
        0x142 => "IncrementalSelfTest",
        0x143 => "SelfTest",
        0x144 => "Startup",
        0x145 => "Shutdown",
        0x146 => "StirRandom",
        0x147 => "ActivateCredential",
        0x148 => "Certify",
        0x149 => "PolicyNV",
        0x14A => "CertifyCreation",
        0x14B => "Duplicate",
        0x14E => "NV_Read",
        0x150 => "ObjectChangeAuth",
        0x151 => "PolicySecret",
        0x153 => "Create",
        0x154 => "ECDH_ZGen",
        0x155 => "HMAC",
        0x156 => "Import",
        0x157 => "Load",
        0x158 => "Quote",
        0x159 => "RSA_Decrypt",
        0x15B => "HMAC_Start",
        0x15C => "SequenceUpdate",
        0x15D => "Sign",
        0x15E => "Unseal",
        0x160 => "PolicySigned",
        0x161 => "ContextLoad",
        0x162 => "ContextSave",
        0x163 => "ECDH_KeyGen",
        0x164 => "EncryptDecrypt",
        0x165 => "FlushContext",
        0x167 => "LoadExternal",
        0x168 => "MakeCredential",
        0x169 => "NV_ReadPublic",
        0x16A => "PolicyAuthorize",
        0x16B => "PolicyAuthValue",
        0x16C => "PolicyCommandCode",
        0x16D => "PolicyCounterTimer",
        0x16E => "PolicyCpHash",
        0x16F => "PolicyLocality",
        0x170 => "PolicyNameHash",
        0x171 => "PolicyOR",
        0x172 => "PolicyTicket",
        0x173 => "ReadPublic",
        0x174 => "RSA_Encrypt",
        0x176 => "StartAuthSession",
        0x177 => "VerifySignature",
        0x178 => "ECC_Parameters",
        0x17A => "GetCapability",
        0x17B => "GetRandom",
        0x17C => "GetTestResult",
        0x17D => "Hash",
        0x17E => "PCR_Read",
        0x17F => "PolicyPCR",
        0x180 => "PolicyRestart",
        0x181 => "ReadClock",
        0x182 => "PCR_Extend",
        0x186 => "HashSequenceStart",
        0x187 => "PolicyPhysicalPresence",
        0x189 => "PolicyGetDigest",
        0x18A => "TestParms",
        0x18C => "PolicyPassword",
        0x18D => "ZGen_2Phase",
        0x18E => "EC_Ephemeral",
        0x193 => "EncryptDecrypt2",
        _ => return format!("0x{code:03x}"),
    };
    name.to_owned()
}

/// A whole command: tag, size, code, body.
pub fn command(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 10).expect("a short command");
    [
        &tag.to_be_bytes()[..],
        &size.to_be_bytes(),
        &code.to_be_bytes(),
        body,
    ]
    .concat()
}

/// A response that consists of a code.
pub fn response(code: u32) -> Vec<u8> {
    command(0x8001, code, &[])
}

/// The code of a command or response.
pub fn code(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[6..10].try_into().expect("four bytes"))
}

/// Reads one command or response; `None` when the peer has closed before its first byte.
pub fn read_frame(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut frame = vec![0; 10];
    loop {
        match stream.read(&mut frame[..1]) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    stream.read_exact(&mut frame[1..])?;
    let size = u32::from_be_bytes(frame[2..6].try_into().expect("four bytes")) as usize;
    if !(10..=65_536).contains(&size) {
        return Err(io::Error::other(format!("a frame of {size} bytes")));
    }
    frame.resize(size, 0);
    stream.read_exact(&mut frame[10..])?;
    Ok(Some(frame))
}

/// A connection that sends raw commands.
pub struct Raw(Stream);

impl Raw {
    pub fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        let stream = endpoint.connect()?;
        stream.timeout(Duration::from_secs(60));
        Ok(Self(stream))
    }

    /// Sends a whole command and returns the whole response.
    pub fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        read_frame(&mut self.0)?.ok_or_else(|| io::Error::other("the TPM closed the connection"))
    }

    /// A command without sessions; the response's code and body.
    pub fn plain(&mut self, cc: u32, body: &[u8]) -> (u32, Vec<u8>) {
        self.run(&command(0x8001, cc, body))
    }

    /// A command with handles, one empty password authorization, and parameters.
    pub fn authorized(&mut self, cc: u32, handles: &[u32], parameters: &[u8]) -> (u32, Vec<u8>) {
        let mut body: Vec<u8> = handles.iter().flat_map(|h| h.to_be_bytes()).collect();
        body.extend(9u32.to_be_bytes());
        body.extend(0x4000_0009u32.to_be_bytes());
        body.extend([0; 5]);
        body.extend(parameters);
        self.run(&command(0x8002, cc, &body))
    }

    fn run(&mut self, command: &[u8]) -> (u32, Vec<u8>) {
        for _ in 0..500 {
            let answer = self.transmit(command).expect("the TPM answers");
            match code(&answer) {
                rc::RETRY | rc::TESTING | rc::YIELDED => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                rc => return (rc, answer[10..].to_vec()),
            }
        }
        panic!("{} is never done with its tests", name(code(command)));
    }

    /// The handles that exist in the range that begins with `first` (0x80000000, 0x81000000 ...).
    pub fn handles(&mut self, first: u32) -> Vec<u32> {
        let body = [1u32, first, 254].map(u32::to_be_bytes).concat();
        let (rc, answer) = self.plain(cc::GET_CAPABILITY, &body);
        assert_eq!(rc, 0, "GetCapability of handles from {first:#x}");
        // moreData (1), capability (4), count (4), handles
        answer[9..]
            .chunks_exact(4)
            .map(|h| u32::from_be_bytes(h.try_into().expect("four bytes")))
            .collect()
    }

    pub fn flush(&mut self, handle: u32) {
        let (rc, _) = self.plain(cc::FLUSH_CONTEXT, &handle.to_be_bytes());
        assert_eq!(rc, 0, "FlushContext of {handle:#x}");
    }

    /// Makes a primary of `hierarchy` from a whole TPMT_PUBLIC and returns its transient handle.
    pub fn create_primary(&mut self, hierarchy: u32, public: &[u8]) -> u32 {
        let mut parameters = vec![0, 4, 0, 0, 0, 0];
        parameters.extend(u16::try_from(public.len()).expect("short").to_be_bytes());
        parameters.extend(public);
        parameters.extend([0; 6]); // outsideInfo, creationPCR
        let (rc, answer) = self.authorized(cc::CREATE_PRIMARY, &[hierarchy], &parameters);
        assert_eq!(rc, 0, "CreatePrimary");
        u32::from_be_bytes(answer[..4].try_into().expect("four bytes"))
    }

    /// Makes the transient object `object` persistent at `at`.
    pub fn persist(&mut self, object: u32, at: u32) {
        let (rc, _) = self.authorized(cc::EVICT_CONTROL, &[OWNER, object], &at.to_be_bytes());
        assert_eq!(rc, 0, "EvictControl to {at:#x}");
    }
}

/// TPM_RH_OWNER.
pub const OWNER: u32 = 0x4000_0001;

/// The standard EC primary's TPMT_PUBLIC.
pub const STANDARD_PRIMARY: [u8; 26] = [
    0x00, 0x23, 0x00, 0x0B, 0x00, 0x03, 0x04, 0x72, 0x00, 0x00, 0x00, 0x06, 0x00, 0x80, 0x00, 0x43,
    0x00, 0x10, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00,
];
