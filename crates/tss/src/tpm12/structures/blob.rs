//! Keys as structures: `TPM_KEY`, `TPM_KEY12` and `TPM_PUBKEY` (part 2, 10).
#![forbid(unsafe_code)]

use crate::tpm2::wire::{Malformed, Reader, Writer};

const RSA: u32 = 1;
const KEY12_TAG: u16 = 0x0028;
/// Far more than any key has: 16384 bits.
const MOST: usize = 2048;

/// Which of the two structures a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `TPM_KEY`: begins with version 1.1.
    Key,
    /// `TPM_KEY12`: begins with its tag.
    Key12,
}

/// What a key is for (part 2, 5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage(pub u16);

impl Usage {
    /// Signatures only.
    pub const SIGNING: Self = Self(0x10);
    /// Parents.
    pub const STORAGE: Self = Self(0x11);
    /// Attestation.
    pub const IDENTITY: Self = Self(0x12);
    /// Changing authorizations.
    pub const AUTHCHANGE: Self = Self(0x13);
    /// Decryption only.
    pub const BIND: Self = Self(0x14);
    /// Signatures and decryption.
    pub const LEGACY: Self = Self(0x15);
    /// Migration.
    pub const MIGRATE: Self = Self(0x16);

    /// Whether TPM_Sign takes such a key.
    pub fn signs(self) -> bool {
        self == Self::SIGNING || self == Self::LEGACY
    }

    /// Whether TPM_UnBind takes such a key.
    pub fn decrypts(self) -> bool {
        self == Self::BIND || self == Self::LEGACY
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SIGNING => "signing",
            Self::STORAGE => "storage",
            Self::IDENTITY => "identity",
            Self::AUTHCHANGE => "authchange",
            Self::BIND => "binding",
            Self::LEGACY => "legacy",
            Self::MIGRATE => "migration",
            _ => "unknown",
        }
    }
}

/// An encryption scheme (part 2, 5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncScheme(pub u16);

impl EncScheme {
    /// `TPM_ES_NONE`
    pub const NONE: Self = Self(1);
    /// `TPM_ES_RSAESPKCSv15`
    pub const PKCS1: Self = Self(2);
    /// `TPM_ES_RSAESOAEP_SHA1_MGF1`, with label "TCPA" and a `TPM_BOUND_DATA` inside
    pub const OAEP: Self = Self(3);
}

/// A signature scheme (part 2, 5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigScheme(pub u16);

impl SigScheme {
    /// `TPM_SS_NONE`
    pub const NONE: Self = Self(1);
    /// `TPM_SS_RSASSAPKCS1v15_SHA1`: the TPM takes 20 bytes and adds SHA-1's DigestInfo.
    pub const SHA1: Self = Self(2);
    /// `TPM_SS_RSASSAPKCS1v15_DER`: the TPM takes what is to be padded, a DigestInfo usually.
    pub const DER: Self = Self(3);
    /// `TPM_SS_RSASSAPKCS1v15_INFO`: the TPM signs a structure of its own.
    pub const INFO: Self = Self(4);
}

/// Algorithm parameters: `TPM_KEY_PARMS` of RSA.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parms {
    enc_scheme: EncScheme,
    sig_scheme: SigScheme,
    bits: u32,
    /// Big-endian; empty stands for 65537.
    exponent: Vec<u8>,
}

impl Parms {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let algorithm = reader.u32()?;
        let enc_scheme = EncScheme(reader.u16()?);
        let sig_scheme = SigScheme(reader.u16()?);
        let size = length(reader)?;
        let what = reader.malformed();
        let mut inner = Reader::new(reader.bytes(size)?, what.what);
        let bits = inner.u32()?;
        let primes = inner.u32()?;
        let exponent_size = length(&mut inner)?;
        let exponent = inner.bytes(exponent_size)?.to_vec();
        inner.finish()?;
        // TPM 1.2 has other algorithms in its tables, and no asymmetric one but RSA with two primes.
        if algorithm != RSA || primes != 2 || bits == 0 || bits % 8 != 0 {
            return Err(what);
        }
        Ok(Self {
            enc_scheme,
            sig_scheme,
            bits,
            exponent,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .u32(RSA)
            .u16(self.enc_scheme.0)
            .u16(self.sig_scheme.0)
            .u32(12 + count(&self.exponent))
            .u32(self.bits)
            .u32(2);
        sized(writer, &self.exponent);
    }

    fn exponent(&self) -> u32 {
        let digits = self.exponent.iter().skip_while(|&&byte| byte == 0);
        let value = digits
            .take(5)
            .try_fold(0u32, |value, &byte| match value >> 24 {
                0 => Some(value << 8 | u32::from(byte)),
                _ => None,
            });
        match value {
            Some(0) => 65537,
            Some(value) => value,
            // Wider than the TPM's own parameters of any known chip; 0 is refused by every user.
            None => 0,
        }
    }
}

/// A public key as the TPM gives it out: `TPM_PUBKEY` (part 2, 10.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    parms: Parms,
    modulus: Vec<u8>,
}

impl PublicKey {
    /// Reads a whole structure.
    ///
    /// # Errors
    /// For a wrong length anywhere, trailing bytes, and keys that are not RSA.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "TPM_PUBKEY");
        let parms = Parms::read(&mut reader)?;
        let modulus = modulus(&mut reader, &parms)?;
        reader.finish()?;
        Ok(Self { parms, modulus })
    }

    /// The public part of a `TPM_KEY`, which may have no private part, as the storage root key's.
    pub(crate) fn of_key(bytes: &[u8]) -> Result<Self, Malformed> {
        let key = KeyBlob::read(bytes)?;
        Ok(Self {
            parms: key.parms,
            modulus: key.modulus,
        })
    }

    /// The `TPM_KEY_PARMS` that an endorsement key is made with (part 3, 14.1).
    pub(crate) fn endorsement_parameters() -> Vec<u8> {
        let mut writer = Writer::new();
        Self::from_modulus(&[0; 256]).parms.write(&mut writer);
        finished(writer)
    }

    /// A public key from its modulus, as import by wrapping needs it; the exponent is 65537.
    pub fn from_modulus(modulus: &[u8]) -> Self {
        Self {
            parms: Parms {
                enc_scheme: EncScheme::OAEP,
                sig_scheme: SigScheme::NONE,
                bits: count(modulus).saturating_mul(8),
                exponent: Vec::new(),
            },
            modulus: modulus.to_vec(),
        }
    }

    /// The structure.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.parms.write(&mut writer);
        sized(&mut writer, &self.modulus);
        finished(writer)
    }

    /// The modulus, big-endian.
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The public exponent; 0 for one beyond 32 bits, which no TPM has.
    pub fn exponent(&self) -> u32 {
        self.parms.exponent()
    }

    /// What decryption the key does.
    pub fn enc_scheme(&self) -> EncScheme {
        self.parms.enc_scheme
    }

    /// What signatures the key makes.
    pub fn sig_scheme(&self) -> SigScheme {
        self.parms.sig_scheme
    }
}

/// What a key shall be: the input of TPM_CreateWrapKey and of [`wrap`](crate::tpm12::wrap::wrap).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What for.
    pub usage: Usage,
    /// Bits of [`KeyBlob::flags`].
    pub flags: u32,
    /// Whether the key has a password.
    pub needs_auth: bool,
    /// Its padding for decryption.
    pub enc_scheme: EncScheme,
    /// Its padding for signatures.
    pub sig_scheme: SigScheme,
    /// Its modulus's size in bits; 2048 is what every TPM 1.2 can do, and the most.
    pub bits: u32,
}

impl Template {
    /// A key for signatures and PKCS#1 v1.5 decryption, as openssl_tpm_engine makes it.
    pub fn legacy(bits: u32, needs_auth: bool) -> Self {
        Self {
            usage: Usage::LEGACY,
            flags: KeyBlob::VOLATILE,
            needs_auth,
            enc_scheme: EncScheme::PKCS1,
            sig_scheme: SigScheme::DER,
            bits,
        }
    }

    /// A key for signatures only, as simple-tpm-pk11 makes it.
    pub fn signing(bits: u32, needs_auth: bool) -> Self {
        Self {
            usage: Usage::SIGNING,
            enc_scheme: EncScheme::NONE,
            ..Self::legacy(bits, needs_auth)
        }
    }

    /// The storage root key, as TPM_TakeOwnership makes it (part 3, 6.1): used with its secret, and never moved.
    pub(crate) fn storage_root_key() -> Self {
        Self {
            usage: Usage::STORAGE,
            flags: 0,
            needs_auth: true,
            enc_scheme: EncScheme::OAEP,
            sig_scheme: SigScheme::NONE,
            bits: 2048,
        }
    }

    /// The structure TPM_CreateWrapKey takes: a key without its public and private parts.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.blob(Vec::new(), Vec::new()).bytes
    }

    /// The key of this kind with these parts; its bytes are made here.
    pub(crate) fn blob(&self, modulus: Vec<u8>, enc_data: Vec<u8>) -> KeyBlob {
        let mut blob = KeyBlob {
            bytes: Vec::new(),
            format: Format::Key,
            usage: self.usage,
            flags: self.flags,
            auth_data_usage: self.needs_auth.into(),
            parms: Parms {
                enc_scheme: self.enc_scheme,
                sig_scheme: self.sig_scheme,
                bits: self.bits,
                exponent: Vec::new(),
            },
            pcr_info: Vec::new(),
            modulus,
            enc_data,
        };
        let mut writer = Writer::new();
        blob.write_public(&mut writer);
        sized(&mut writer, &blob.enc_data);
        blob.bytes = finished(writer);
        blob
    }
}

/// A wrapped key, public: `TPM_KEY` or `TPM_KEY12` (part 2, 10.2 and 10.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBlob {
    bytes: Vec<u8>,
    format: Format,
    usage: Usage,
    flags: u32,
    auth_data_usage: u8,
    parms: Parms,
    pcr_info: Vec<u8>,
    modulus: Vec<u8>,
    enc_data: Vec<u8>,
}

impl KeyBlob {
    /// Flag: the key may be wrapped for another parent; all keys made in software are so.
    pub const MIGRATABLE: u32 = 2;
    /// Flag: the TPM forgets the loaded key when it is started anew.
    pub const VOLATILE: u32 = 4;

    /// Reads a whole structure.
    ///
    /// # Errors
    /// For a wrong length anywhere, trailing bytes, keys that are not RSA, and keys without a private
    /// part.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let key = Self::read(bytes)?;
        match key.enc_data.is_empty() {
            true => Err(Malformed { what: "TPM_KEY" }),
            false => Ok(key),
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, "TPM_KEY");
        let format = match (reader.u16()?, reader.u16()?) {
            // The version of the structure: 1.1; chips of 1.1 put their revision after it.
            (0x0101, _) => Format::Key,
            (KEY12_TAG, 0) => Format::Key12,
            _ => return Err(reader.malformed()),
        };
        let usage = Usage(reader.u16()?);
        let flags = reader.u32()?;
        let auth_data_usage = reader.u8()?;
        let parms = Parms::read(&mut reader)?;
        let pcr_info_size = length(&mut reader)?;
        let pcr_info = reader.bytes(pcr_info_size)?.to_vec();
        let modulus = modulus(&mut reader, &parms)?;
        let enc_size = length(&mut reader)?;
        let enc_data = reader.bytes(enc_size)?.to_vec();
        reader.finish()?;
        Ok(Self {
            bytes: bytes.to_vec(),
            format,
            usage,
            flags,
            auth_data_usage,
            parms,
            pcr_info,
            modulus,
            enc_data,
        })
    }

    /// The structure, byte for byte as it was read or made.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Which structure it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What the key is for.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// `TPM_KEY_FLAGS`: [`MIGRATABLE`](Self::MIGRATABLE), [`VOLATILE`](Self::VOLATILE) and others.
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether its use needs its authorization value. (`TPM_AUTH_PRIV_USE_ONLY` means for use of the
    /// private key, which is all that is done here.)
    pub fn needs_auth(&self) -> bool {
        self.auth_data_usage != 0
    }

    /// What decryption the key does.
    pub fn enc_scheme(&self) -> EncScheme {
        self.parms.enc_scheme
    }

    /// What signatures the key makes.
    pub fn sig_scheme(&self) -> SigScheme {
        self.parms.sig_scheme
    }

    /// The modulus's size in bits.
    pub fn bits(&self) -> u32 {
        self.parms.bits
    }

    /// The modulus, big-endian.
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The public exponent; 0 for one beyond 32 bits, which no TPM has.
    pub fn exponent(&self) -> u32 {
        self.parms.exponent()
    }

    /// Whether the key is bound to platform registers.
    pub fn is_bound_to_pcrs(&self) -> bool {
        !self.pcr_info.is_empty()
    }

    /// The part that the private part's digest covers: all before `encDataSize`.
    pub(crate) fn public_bytes(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(4 + self.enc_data.len());
        self.bytes.get(..end).unwrap_or_default()
    }

    fn write_public(&self, writer: &mut Writer) {
        match self.format {
            Format::Key => writer.u16(0x0101).u16(0),
            Format::Key12 => writer.u16(KEY12_TAG).u16(0),
        };
        writer
            .u16(self.usage.0)
            .u32(self.flags)
            .u8(self.auth_data_usage);
        self.parms.write(writer);
        sized(writer, &self.pcr_info);
        sized(writer, &self.modulus);
    }
}

/// A 32-bit length, bounded.
pub(crate) fn length(reader: &mut Reader<'_>) -> Result<usize, Malformed> {
    usize::try_from(reader.u32()?)
        .ok()
        .filter(|&size| size <= MOST)
        .ok_or(reader.malformed())
}

/// A 32-bit length and as many bytes.
pub(crate) fn sized(writer: &mut Writer, bytes: &[u8]) {
    writer.u32(count(bytes)).bytes(bytes);
}

fn count(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn modulus(reader: &mut Reader<'_>, parms: &Parms) -> Result<Vec<u8>, Malformed> {
    let size = length(reader)?;
    let modulus = reader.bytes(size)?;
    if modulus.len() * 8 != parms.bits as usize {
        return Err(reader.malformed());
    }
    Ok(modulus.to_vec())
}

fn finished(writer: Writer) -> Vec<u8> {
    // Only 16-bit sizes can be too long for their field, and none was written.
    writer
        .finish("TPM_KEY")
        .map(|bytes| bytes.to_vec())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        Template::legacy(1024, true)
            .blob(vec![0xc3; 128], vec![9; 256])
            .as_bytes()
            .to_vec()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = sample();
        let blob = KeyBlob::parse(&bytes).unwrap();
        assert_eq!(bytes.len(), 431);
        assert_eq!(blob.as_bytes(), bytes);
        assert_eq!(blob.format(), Format::Key);
        assert_eq!(blob.usage(), Usage::LEGACY);
        assert!(blob.needs_auth() && !blob.is_bound_to_pcrs());
        assert_eq!((blob.bits(), blob.exponent()), (1024, 65537));
        assert_eq!(blob.public_bytes().len(), 431 - 260);
        assert_eq!(
            (blob.enc_scheme(), blob.sig_scheme()),
            (EncScheme::PKCS1, SigScheme::DER)
        );
    }

    #[test]
    fn the_template_is_the_one_other_tools_send() {
        assert_eq!(
            hex::encode(Template::signing(2048, false).to_bytes()),
            "010100000010000000040000000001000100030000000c0000080000000002000000000000000000000000\
             00000000"
        );
    }

    #[test]
    fn a_key12_is_told_by_its_tag() {
        let mut bytes = sample();
        bytes[..4].copy_from_slice(&[0, 0x28, 0, 0]);
        assert_eq!(KeyBlob::parse(&bytes).unwrap().format(), Format::Key12);
        bytes[3] = 1;
        assert!(KeyBlob::parse(&bytes).is_err());
    }

    #[test]
    fn every_truncation_and_every_trailing_byte_is_refused() {
        let bytes = sample();
        for end in 0..bytes.len() {
            assert!(KeyBlob::parse(&bytes[..end]).is_err(), "{end}");
        }
        assert!(KeyBlob::parse(&[&bytes[..], &[0]].concat()).is_err());
        let public = PublicKey::from_modulus(&[0xc3; 256]).to_bytes();
        assert!(PublicKey::parse(&public).is_ok());
        for end in 0..public.len() {
            assert!(PublicKey::parse(&public[..end]).is_err(), "{end}");
        }
        assert!(PublicKey::parse(&[&public[..], &[0]].concat()).is_err());
    }

    #[test]
    fn wrong_lengths_and_other_algorithms_are_refused() {
        // Version, algorithm, parmSize, bits, primes, exponentSize, PCRInfoSize, both lengths.
        for offset in [0, 14, 22, 26, 30, 34, 38, 42, 43 + 128 + 3] {
            let mut bytes = sample();
            bytes[offset] ^= 0x10;
            assert!(KeyBlob::parse(&bytes).is_err(), "{offset}");
        }
    }

    #[test]
    fn exponents_of_any_width_are_read() {
        let with = |exponent: &[u8]| Parms {
            enc_scheme: EncScheme::NONE,
            sig_scheme: SigScheme::DER,
            bits: 1024,
            exponent: exponent.to_vec(),
        };
        assert_eq!(with(&[]).exponent(), 65537);
        assert_eq!(with(&[1, 0, 1]).exponent(), 65537);
        assert_eq!(with(&[0, 0, 0, 0, 0, 3]).exponent(), 3);
        assert_eq!(with(&[1, 0, 0, 0, 1]).exponent(), 0);
    }
}
