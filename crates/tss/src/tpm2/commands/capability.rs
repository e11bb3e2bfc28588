//! Capabilities (Part 3, clause 30).
#![forbid(unsafe_code)]

use super::Request;
use super::policy::PcrSelection;
use crate::tpm2::constants::{AlgId, CommandCode, Curve, capability, hash_of};
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// TPM2_GetCapability (Part 3, 30.2).
pub struct GetCapability {
    /// One of [`capability`].
    pub capability: u32,
    /// The first property wanted.
    pub property: u32,
    /// How many at most.
    pub count: u32,
}

/// A hierarchy's handle, and the hash algorithm and the digest of its policy (`TPMS_TAGGED_POLICY`, Part 2, 10.8.4).
pub type HierarchyPolicy = (u32, AlgId, Vec<u8>);

/// `TPMU_CAPABILITIES` (Part 2, 10.10.1), as far as this client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capabilities {
    /// Algorithms with their attributes (`TPMA_ALGORITHM`).
    Algorithms(Vec<(AlgId, u32)>),
    /// Handles.
    Handles(Vec<u32>),
    /// Command attributes (`TPMA_CC`); the low 16 bits are the command's number.
    Commands(Vec<u32>),
    /// Properties and their values.
    Properties(Vec<(u32, u32)>),
    /// Curves.
    Curves(Vec<Curve>),
    /// Banks of registers.
    Registers(Vec<PcrSelection>),
    /// Policies of hierarchies.
    Policies(Vec<HierarchyPolicy>),
}

/// A page of capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapabilityPage {
    /// Whether the TPM has more.
    pub more: bool,
    /// What it has.
    pub data: Capabilities,
}

impl Request for GetCapability {
    type Response = CapabilityPage;
    const CODE: CommandCode = CommandCode::GET_CAPABILITY;

    fn parameters(&self, writer: &mut Writer) {
        writer
            .u32(self.capability)
            .u32(self.property)
            .u32(self.count);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<CapabilityPage, Malformed> {
        let more = reader.u8()? != 0;
        let kind = reader.u32()?;
        if kind != self.capability {
            return Err(reader.malformed());
        }
        let data = match kind {
            capability::ALGS => {
                Capabilities::Algorithms(list(reader, |r| Ok((AlgId(r.u16()?), r.u32()?)))?)
            }
            capability::HANDLES => Capabilities::Handles(list(reader, Reader::u32)?),
            capability::COMMANDS => Capabilities::Commands(list(reader, Reader::u32)?),
            capability::TPM_PROPERTIES => {
                Capabilities::Properties(list(reader, |r| Ok((r.u32()?, r.u32()?)))?)
            }
            capability::PCRS => Capabilities::Registers(PcrSelection::read_list(reader)?),
            capability::AUTH_POLICIES => Capabilities::Policies(list(reader, policy)?),
            capability::ECC_CURVES => Capabilities::Curves(list(reader, |r| r.u16().map(Curve))?),
            _ => {
                return Err(Malformed {
                    what: "capability of an unknown kind",
                });
            }
        };
        Ok(CapabilityPage { more, data })
    }
}

/// A `TPMS_TAGGED_POLICY` (Part 2, 10.8.4). The size of a digest is that of its algorithm: where that is not known nothing
/// behind it can be read.
fn policy(reader: &mut Reader<'_>) -> Result<HierarchyPolicy, Malformed> {
    let (hierarchy, algorithm) = (reader.u32()?, AlgId(reader.u16()?));
    let size = match algorithm {
        AlgId::NULL => 0,
        AlgId::SM3_256 => 32,
        other => hash_of(other).ok_or(reader.malformed())?.size(),
    };
    Ok((hierarchy, algorithm, reader.bytes(size)?.to_vec()))
}

/// Reads a `TPML`. The count is not trusted for an allocation: reading stops where the bytes do.
fn list<'a, T>(
    reader: &mut Reader<'a>,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.u32()?;
    (0..count).map(|_| item(reader)).collect()
}

/// TPM2_TestParms (Part 3, 30.3): whether the TPM could make an RSA key of this size.
pub struct TestRsaParms {
    /// The modulus' size in bits.
    pub bits: u16,
}

impl Request for TestRsaParms {
    type Response = ();
    const CODE: CommandCode = CommandCode::TEST_PARMS;

    fn parameters(&self, writer: &mut Writer) {
        // TPMT_PUBLIC_PARMS (Part 2, 12.2.3.8): no cipher, no scheme, the default exponent.
        writer
            .u16(AlgId::RSA.0)
            .u16(AlgId::NULL.0)
            .u16(AlgId::NULL.0)
            .u16(self.bits)
            .u32(0);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_longer_than_its_bytes_is_an_error() {
        let request = GetCapability {
            capability: capability::HANDLES,
            property: 0,
            count: 1,
        };
        let bytes = hex::decode("0000000001ffffffff80000000").unwrap();
        assert!(request.parse(0, &mut Reader::new(&bytes, "test")).is_err());
        let bytes = hex::decode("01000000010000000180000000").unwrap();
        let page = request.parse(0, &mut Reader::new(&bytes, "test")).unwrap();
        assert_eq!(
            page,
            CapabilityPage {
                more: true,
                data: Capabilities::Handles(vec![0x8000_0000])
            }
        );
    }
}
