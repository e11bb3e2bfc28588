//! Templates: what a caller looks for, or wants a new object to be like.
#![forbid(unsafe_code)]

use zeroize::Zeroizing;

use crate::pkcs11::abi::*;

/// Attributes with their values.
#[derive(Clone, Default)]
pub(in crate::pkcs11) struct Template(
    pub(in crate::pkcs11) Vec<(CK_ATTRIBUTE_TYPE, Zeroizing<Vec<u8>>)>,
);

impl Template {
    pub(in crate::pkcs11) fn get(&self, kind: CK_ATTRIBUTE_TYPE) -> Option<&[u8]> {
        let found = self.0.iter().find(|(one, _)| *one == kind);
        found.map(|(_, value)| value.as_slice())
    }

    /// A number.
    pub(in crate::pkcs11) fn number(&self, kind: CK_ATTRIBUTE_TYPE) -> Result<Option<CK_ULONG>> {
        let Some(value) = self.get(kind) else {
            return Ok(None);
        };
        let bytes = value
            .try_into()
            .map_err(|_| Fault(CKR_ATTRIBUTE_VALUE_INVALID))?;
        Ok(Some(CK_ULONG::from_ne_bytes(bytes)))
    }

    /// A flag.
    pub(in crate::pkcs11) fn flag(&self, kind: CK_ATTRIBUTE_TYPE) -> Result<Option<bool>> {
        match self.get(kind) {
            None => Ok(None),
            Some([value]) => Ok(Some(*value != CK_FALSE)),
            Some(_) => Err(Fault(CKR_ATTRIBUTE_VALUE_INVALID)),
        }
    }

    /// Bytes, none where nothing is said.
    pub(in crate::pkcs11) fn bytes(&self, kind: CK_ATTRIBUTE_TYPE) -> Vec<u8> {
        self.get(kind).unwrap_or_default().to_vec()
    }
}
