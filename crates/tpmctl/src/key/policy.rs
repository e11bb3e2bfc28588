//! Policy commands of a key file in words.

use keys::tss2::PolicyCommand;
use serde::Serialize;
use tss::tpm2::AlgId;
use tss::tpm2::wire::{Malformed, Reader};

use crate::display::hex_bytes;

/// A policy command.
#[derive(Serialize)]
pub(super) struct Step {
    /// Its code in hexadecimal.
    code: String,
    /// Its name.
    pub(super) name: &'static str,
    /// The registers it asks for: `sha256:0,7`.
    pcrs: Option<String>,
    /// Its parameters in hexadecimal.
    body: String,
}

impl Step {
    /// The command as facts.
    pub(super) fn new(command: &PolicyCommand) -> Self {
        let pcrs = match command.name() {
            "PolicyPCR" => registers(&command.body).ok(),
            _ => None,
        };
        Self {
            code: format!("0x{:03x}", command.code),
            name: command.name(),
            pcrs,
            body: hex_bytes(&command.body),
        }
    }

    /// The command in a line.
    pub(super) fn text(&self) -> String {
        match &self.pcrs {
            Some(pcrs) => format!("{} {pcrs}", self.name),
            None if self.body.is_empty() => self.name.to_owned(),
            None => format!("{} {}", self.name, self.body),
        }
    }
}

/// The TPML_PCR_SELECTION (Part 2, 10.9.7) that a PolicyPCR's body begins with, or ends with after a
/// digest.
fn registers(body: &[u8]) -> Result<String, Malformed> {
    selection(&mut Reader::new(body, "PCR selection")).or_else(|_| {
        let mut reader = Reader::new(body, "PCR selection");
        reader.tpm2b()?;
        selection(&mut reader)
    })
}

fn selection(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let count = reader.u32()?;
    if count == 0 || count > 16 {
        return Err(reader.malformed());
    }
    let mut banks = Vec::new();
    for _ in 0..count {
        let bank = AlgId(reader.u16()?);
        let size = reader.u8()?;
        let bits = reader.bytes(size.into())?;
        let chosen: Vec<String> = (0..bits.len() * 8)
            .filter(|number| bits[number / 8] >> (number % 8) & 1 == 1)
            .map(|number| number.to_string())
            .collect();
        banks.push(format!(
            "{}:{}",
            bank.to_string().to_ascii_lowercase(),
            chosen.join(",")
        ));
    }
    Ok(banks.join("+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &[u8]) -> String {
        Step::new(&PolicyCommand {
            code: 0x17f,
            body: body.to_vec(),
        })
        .text()
    }

    #[test]
    fn registers_are_read_in_both_orders() {
        let selection = [0, 0, 0, 1, 0, 0x0b, 3, 0x81, 0, 1];
        assert_eq!(
            text(&[&selection[..], &[7; 32]].concat()),
            "PolicyPCR sha256:0,7,16"
        );
        let digest = [&[0, 2, 9, 9][..], &selection].concat();
        assert_eq!(text(&digest), "PolicyPCR sha256:0,7,16");
        assert_eq!(text(&[1, 2]), "PolicyPCR 0102");
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_printed(mut body in proptest::collection::vec(0u8.., 0..200), banks in 0u8..20) {
            assert!(text(&body).starts_with("PolicyPCR"));
            // Hardly any body begins with a count that is small enough.
            body.splice(..0, [0, 0, 0, banks]);
            assert!(text(&body).starts_with("PolicyPCR "));
        }
    }
}
