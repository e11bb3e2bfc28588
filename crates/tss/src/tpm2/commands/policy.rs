//! Policies (Part 3, clause 23): what is asserted in a policy session. Restarting one is in [`super::session`], reading
//! registers (clause 22) here.
#![forbid(unsafe_code)]

use std::fmt;

use super::Request;
use super::hash::Ticket;
use super::signing::Signature;
use crate::tpm2::constants::{AlgId, CommandCode};
use crate::tpm2::name::{Entity, Name};
use crate::tpm2::wire::{Malformed, Reader, Writer};

/// Registers of one bank (`TPMS_PCR_SELECTION`, Part 2, 10.6.2): the first 24, which every TPM has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrSelection {
    bank: AlgId,
    registers: [u8; 3],
}

impl PcrSelection {
    /// These registers of the bank with this hash algorithm; `None` if there is one above 23.
    pub fn new(bank: AlgId, registers: &[u8]) -> Option<Self> {
        let mut selected = [0; 3];
        for register in registers {
            *selected.get_mut(usize::from(register / 8))? |= 1 << (register % 8);
        }
        Some(Self {
            bank,
            registers: selected,
        })
    }

    /// The bank's hash algorithm.
    pub fn bank(&self) -> AlgId {
        self.bank
    }

    /// The registers, in their order.
    pub fn registers(&self) -> impl Iterator<Item = u8> + '_ {
        (0..24).filter(|register| self.has(*register))
    }

    /// Selects what another selection of the same bank does, too.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.registers.iter_mut().zip(other.registers) {
            *own |= other;
        }
    }

    fn has(&self, register: u8) -> bool {
        self.registers[usize::from(register / 8)] & 1 << (register % 8) != 0
    }

    /// Writes a list of them (`TPML_PCR_SELECTION`).
    pub fn write_list(list: &[Self], writer: &mut Writer) {
        writer.u32(list.len() as u32);
        for Self { bank, registers } in list {
            writer.u16(bank.0).u8(3).bytes(registers);
        }
    }

    /// Reads a list of them.
    ///
    /// # Errors
    ///
    /// Fewer bytes than announced; a selection of another size than three octets.
    pub fn read_list(reader: &mut Reader<'_>) -> Result<Vec<Self>, Malformed> {
        let count = reader.u32()?;
        (0..count)
            .map(|_| {
                let bank = AlgId(reader.u16()?);
                let size = reader.u8()?;
                let registers = reader.bytes(usize::from(size))?;
                let registers = registers.try_into().map_err(|_| reader.malformed())?;
                Ok(Self { bank, registers })
            })
            .collect()
    }

    /// A list of them as people write it: `sha256:0,7+sha1:4`.
    pub fn list(list: &[Self]) -> String {
        let shown: Vec<String> = list.iter().map(Self::to_string).collect();
        shown.join("+")
    }
}

impl fmt::Display for PcrSelection {
    /// As `sha256:0,7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bank = self.bank.to_string().to_ascii_lowercase();
        let registers: Vec<String> = self
            .registers()
            .map(|register| register.to_string())
            .collect();
        write!(f, "{bank}:{}", registers.join(","))
    }
}

/// `TPM_EO` (Part 2, 6.11.3): how TPM2_PolicyNV and TPM2_PolicyCounterTimer compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison(u16);

/// The names of [`Comparison`]s in the order of their numbers: those with `s` take both sides as signed numbers.
const COMPARISONS: [&str; 12] = [
    "eq", "neq", "sgt", "ugt", "slt", "ult", "sge", "uge", "sle", "ule", "bitset", "bitclear",
];

impl Comparison {
    /// The comparison with this number, if there is one.
    pub fn new(number: u16) -> Option<Self> {
        (usize::from(number) < COMPARISONS.len()).then_some(Self(number))
    }

    /// The comparison with this name, as `uge`.
    pub fn from_name(name: &str) -> Option<Self> {
        let number = COMPARISONS.iter().position(|known| *known == name)?;
        u16::try_from(number).ok().map(Self)
    }

    /// Its number.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(COMPARISONS.get(usize::from(self.0)).unwrap_or(&"?"))
    }
}

/// TPM2_PCR_Read (Part 3, 22.4).
pub struct PcrRead<'a> {
    /// The registers.
    pub registers: &'a [PcrSelection],
}

/// Values of registers, as many as fit in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrValues {
    /// Which registers these are.
    pub registers: Vec<PcrSelection>,
    /// Their values, in the order of [`PcrValues::registers`].
    pub values: Vec<Vec<u8>>,
}

impl Request for PcrRead<'_> {
    type Response = PcrValues;
    const CODE: CommandCode = CommandCode::PCR_READ;

    fn parameters(&self, writer: &mut Writer) {
        PcrSelection::write_list(self.registers, writer);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<PcrValues, Malformed> {
        // pcrUpdateCounter: every change of any register counts.
        reader.u32()?;
        let registers = PcrSelection::read_list(reader)?;
        let count = reader.u32()?;
        let values = (0..count)
            .map(|_| reader.tpm2b().map(<[u8]>::to_vec))
            .collect::<Result<_, _>>()?;
        Ok(PcrValues { registers, values })
    }
}

/// Declares a command that asserts something in a policy session and answers nothing: what it is given, and how that
/// is written.
macro_rules! asserts {
    ($(#[$meta:meta])* $name:ident $(<$life:lifetime>)? { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }
     $code:ident, |$self:ident, $writer:ident| $write:expr) => {
        $(#[$meta])*
        pub struct $name $(<$life>)? {
            /// The policy session.
            pub session: u32,
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $(<$life>)? Request for $name $(<$life>)? {
            type Response = ();
            const CODE: CommandCode = CommandCode::$code;

            fn handles(&self) -> Vec<Entity> {
                vec![Entity::permanent(self.session)]
            }

            fn parameters(&self, writer: &mut Writer) {
                let ($self, $writer) = (self, writer);
                $write
            }

            fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
                Ok(())
            }
        }
    };
}

asserts! {
    /// TPM2_PolicyPCR (Part 3, 23.7).
    PolicyPcr<'a> {
        /// The digest of the registers' values, by the session's hash algorithm; empty for those of the moment.
        digest: &'a [u8],
        /// The registers.
        registers: &'a [PcrSelection],
    }
    POLICY_PCR, |this, writer| {
        writer.tpm2b(this.digest);
        PcrSelection::write_list(this.registers, writer);
    }
}

asserts! {
    /// TPM2_PolicyAuthValue (Part 3, 23.17): the object's authorization value becomes part of the session's HMAC key.
    PolicyAuthValue {}
    POLICY_AUTH_VALUE, |_this, _writer| {}
}

asserts! {
    /// TPM2_PolicyPassword (Part 3, 23.18): the object's authorization value comes in clear, in the HMAC's place.
    PolicyPassword {}
    POLICY_PASSWORD, |_this, _writer| {}
}

asserts! {
    /// TPM2_PolicyLocality (Part 3, 23.8).
    PolicyLocality {
        /// `TPMA_LOCALITY`.
        locality: u8,
    }
    POLICY_LOCALITY, |this, writer| { writer.u8(this.locality); }
}

asserts! {
    /// TPM2_PolicyCommandCode (Part 3, 23.11).
    PolicyCommandCode {
        /// The command that the object is used by.
        code: CommandCode,
    }
    POLICY_COMMAND_CODE, |this, writer| { writer.u32(this.code.0); }
}

asserts! {
    /// TPM2_PolicyCounterTimer (Part 3, 23.10).
    PolicyCounterTimer<'a> {
        /// The other side of the comparison.
        operand: &'a [u8],
        /// Where in `TPMS_TIME_INFO` the part begins that is compared.
        offset: u16,
        /// How.
        comparison: Comparison,
    }
    POLICY_COUNTER_TIMER, |this, writer| {
        writer.tpm2b(this.operand).u16(this.offset).u16(this.comparison.0);
    }
}

asserts! {
    /// TPM2_PolicyOR (Part 3, 23.6).
    PolicyOr<'a> {
        /// The digests of the alternatives, two to eight.
        digests: &'a [Vec<u8>],
    }
    POLICY_OR, |this, writer| {
        writer.u32(this.digests.len() as u32);
        for digest in this.digests {
            writer.tpm2b(digest);
        }
    }
}

asserts! {
    /// TPM2_PolicyAuthorize (Part 3, 23.16).
    PolicyAuthorize<'a> {
        /// The policy digest that was signed.
        approved: &'a [u8],
        /// The policy's own reference.
        policy_ref: &'a [u8],
        /// The name of the key that signed.
        key: &'a Name,
        /// The TPM's word that it did.
        ticket: &'a Ticket,
    }
    POLICY_AUTHORIZE, |this, writer| {
        writer.tpm2b(this.approved).tpm2b(this.policy_ref).tpm2b(this.key.as_bytes());
        this.ticket.write(writer);
    }
}

/// TPM2_PolicySecret (Part 3, 23.4), for every use of the session: without a nonce, a limit or a ticket.
pub struct PolicySecret<'a> {
    /// Whose authorization value.
    pub entity: Entity,
    /// The policy session.
    pub session: u32,
    /// The policy's own reference.
    pub policy_ref: &'a [u8],
}

impl Request for PolicySecret<'_> {
    type Response = ();
    const CODE: CommandCode = CommandCode::POLICY_SECRET;

    fn handles(&self) -> Vec<Entity> {
        vec![self.entity.clone(), Entity::permanent(self.session)]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(&[]).tpm2b(&[]).tpm2b(self.policy_ref).u32(0);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        // The timeout and the ticket, both empty.
        reader.rest();
        Ok(())
    }
}

/// TPM2_PolicySigned (Part 3, 23.3), by a signature that knows no nonce of the TPM's.
pub struct PolicySigned<'a> {
    /// The key of the signature.
    pub key: Entity,
    /// The policy session.
    pub session: u32,
    /// The digest of the one command that is allowed; empty for any.
    pub cp_hash: &'a [u8],
    /// The policy's own reference.
    pub policy_ref: &'a [u8],
    /// Seconds for which it holds; 0 for ever.
    pub expiration: i32,
    /// The signature.
    pub signature: &'a Signature,
}

impl Request for PolicySigned<'_> {
    type Response = ();
    const CODE: CommandCode = CommandCode::POLICY_SIGNED;

    fn handles(&self) -> Vec<Entity> {
        vec![self.key.clone(), Entity::permanent(self.session)]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer
            .tpm2b(&[])
            .tpm2b(self.cp_hash)
            .tpm2b(self.policy_ref)
            .bytes(&self.expiration.to_be_bytes());
        self.signature.write(writer);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        // The timeout and the ticket, which a later session could be given in the signature's place.
        reader.rest();
        Ok(())
    }
}

/// TPM2_PolicyNV (Part 3, 23.9).
pub struct PolicyNv<'a> {
    /// Who reads the index: the index itself, or a hierarchy.
    pub authority: Entity,
    /// The index.
    pub index: Entity,
    /// The policy session.
    pub session: u32,
    /// The other side of the comparison.
    pub operand: &'a [u8],
    /// Where in the index the part begins that is compared.
    pub offset: u16,
    /// How.
    pub comparison: Comparison,
}

impl Request for PolicyNv<'_> {
    type Response = ();
    const CODE: CommandCode = CommandCode::POLICY_NV;

    fn handles(&self) -> Vec<Entity> {
        let session = Entity::permanent(self.session);
        vec![self.authority.clone(), self.index.clone(), session]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer
            .tpm2b(self.operand)
            .u16(self.offset)
            .u16(self.comparison.0);
    }

    fn parse(&self, _: u32, _: &mut Reader<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
