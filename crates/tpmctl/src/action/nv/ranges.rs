//! Numbers of NV indices of a TPM 2.0, and whose they are.

use tss::tpm2::constants::handle;

use crate::display::hex;
use crate::error::Error;

/// Ranges (TCG Registry of Reserved TPM 2.0 Handles and Localities, 2.2; TCG EK Credential Profile, 2.2.1.4 and 2.2.1.5;
/// the Linux TPM 2.0 NV Index Registry), the narrower ones first.
const RANGES: [(u32, u32, &str); 21] = [
    (
        0x01c0_0002,
        0x01c0_0002,
        "certificate of the endorsement key on RSA-2048",
    ),
    (
        0x01c0_0003,
        0x01c0_0003,
        "nonce of the endorsement key on RSA-2048",
    ),
    (
        0x01c0_0004,
        0x01c0_0004,
        "template of the endorsement key on RSA-2048",
    ),
    (
        0x01c0_000a,
        0x01c0_000a,
        "certificate of the endorsement key on P-256",
    ),
    (
        0x01c0_000b,
        0x01c0_000b,
        "nonce of the endorsement key on P-256",
    ),
    (
        0x01c0_000c,
        0x01c0_000c,
        "template of the endorsement key on P-256",
    ),
    (
        0x01c0_0012,
        0x01c0_0012,
        "certificate of the endorsement key on RSA-2048 (high range)",
    ),
    (
        0x01c0_0014,
        0x01c0_0014,
        "certificate of the endorsement key on P-256 (high range)",
    ),
    (
        0x01c0_0016,
        0x01c0_0016,
        "certificate of the endorsement key on P-384 (high range)",
    ),
    (
        0x01c0_0018,
        0x01c0_0018,
        "certificate of the endorsement key on P-521 (high range)",
    ),
    (
        0x01c0_001a,
        0x01c0_001a,
        "certificate of the endorsement key on SM2 (high range)",
    ),
    (
        0x01c0_001c,
        0x01c0_001c,
        "certificate of the endorsement key on RSA-3072 (high range)",
    ),
    (
        0x01c0_001e,
        0x01c0_001e,
        "certificate of the endorsement key on RSA-4096 (high range)",
    ),
    (
        0x01c0_0100,
        0x01c0_01ff,
        "chain of the endorsement keys' certificates",
    ),
    (
        0x01c0_0000,
        0x01c0_7fff,
        "endorsement keys, of the TPM's manufacturer",
    ),
    (0x01c0_8000, 0x01c0_ffff, "platform certificate"),
    (0x0180_0400, 0x0180_05ff, "systemd's"),
    (0x01d1_0200, 0x01d1_0224, "systemd's"),
    (0x0100_0000, 0x013f_ffff, "of the TPM's manufacturer"),
    (0x0140_0000, 0x017f_ffff, "of the machine's manufacturer"),
    (0x0180_0000, 0x01bf_ffff, "of the owner"),
];

/// Whose range an index is in, and what it is for there.
pub(crate) fn purpose(index: u32) -> &'static str {
    let mut ranges = RANGES.iter();
    ranges
        .find(|(first, last, _)| (*first..=*last).contains(&index))
        .map_or("assigned by the TCG", |(_, _, purpose)| purpose)
}

/// Whether a TPM 2.0 can have an index of this number.
pub(crate) fn is_index(index: u32) -> Result<(), Error> {
    match handle::kind(index) {
        0x01 => Ok(()),
        _ => Err(Error::usage(format!(
            "{} is no NV index of a TPM 2.0: they begin with 0x01, such as 0x01800001",
            hex(index)
        ))),
    }
}

/// Reads an index; those of a TPM 1.2 begin with anything.
pub(crate) fn parse_index(text: &str) -> Result<u32, String> {
    keys::uri::parse_handle(text.strip_prefix("handle:").unwrap_or(text))
        .ok_or_else(|| "expected an NV index, such as 0x01800001".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_somebody_s() {
        for (index, text) in [
            (
                0x01c0_0002,
                "certificate of the endorsement key on RSA-2048",
            ),
            (0x01c0_0101, "chain"),
            (0x01c0_0200, "of the TPM's manufacturer"),
            (0x01c0_8000, "platform certificate"),
            (0x0140_0001, "machine's manufacturer"),
            (0x0180_0001, "of the owner"),
            (0x0180_0420, "systemd's"),
            (0x01c3_0000, "TCG"),
        ] {
            assert!(purpose(index).contains(text), "{index:08x}");
        }
        assert_eq!(parse_index("0x01800001"), Ok(0x0180_0001));
        parse_index("0x0180000g").unwrap_err();
        is_index(0x0180_0001).expect("one of the owner's");
        is_index(0x8100_0001).unwrap_err();
    }
}
