//! A TPM 1.2 by itself: a device, swtpm, or libtpms in this process (part 3, 2: the form of commands).
#![forbid(unsafe_code)]

use std::time::Duration;

use zeroize::Zeroizing;

use super::constants::{Ordinal, tag};
use super::rc::Code;
use super::session::{RequestAuth, ResponseAuth};
use super::transaction::exchange::{Answer, Command, Connect, Exchange};
use crate::error::Result;
use crate::tpm2::constants::tag as tag2;
use crate::tpm2::wire::{Malformed, Reader, Writer};
use crate::transport::{Sharing, Transaction, Transport};

/// nonceEven, continueAuthSession, HMAC: the end of an authorized answer.
const AUTH: usize = 20 + 1 + 20;

impl Connect for Transport {
    fn begin(&mut self, wait: Option<Duration>) -> Result<Box<dyn Exchange + '_>> {
        let transaction = match wait {
            Some(wait) => self.transaction_within(wait)?,
            None => self.transaction()?,
        };
        Ok(Box::new(RawExchange { transaction }))
    }
}

struct RawExchange<'a> {
    transaction: Transaction<'a>,
}

impl Exchange for RawExchange<'_> {
    fn exchange(&mut self, command: &Command) -> Result<Answer> {
        // tcsd wants an swtpm that hangs up after every answer (`--server ...,disconnect`), and it
        // cannot be seen from here whether this one does.
        self.transaction.renew()?;
        let response = self.transaction.transact(&assemble(command)?)?;
        Ok(read(command.ordinal, &response)?)
    }

    fn sharing(&self) -> Sharing {
        self.transaction.sharing()
    }

    fn record(&mut self) -> Option<Vec<u8>> {
        self.transaction
            .record()
            .map(|record| record.bytes().to_vec())
    }

    fn set_record(&mut self, bytes: &[u8]) {
        self.transaction.set_record(bytes);
    }
}

fn assemble(command: &Command) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let what = command.ordinal.name();
    let size = 10
        + if command.key.is_some() { 4 } else { 0 }
        + command.parameters.len()
        + 45 * command.auths.len();
    let mut writer = Writer::new();
    writer
        .u16(match command.auths.len() {
            0 => tag::COMMAND,
            1 => tag::AUTH1_COMMAND,
            _ => tag::AUTH2_COMMAND,
        })
        .u32(u32::try_from(size).map_err(|_| Malformed { what })?)
        .u32(command.ordinal.0);
    if let Some(key) = command.key {
        writer.u32(key);
    }
    writer.bytes(&command.parameters);
    for auth in &command.auths {
        writer
            .u32(auth.handle)
            .bytes(&auth.odd)
            .u8(RequestAuth::CONTINUE)
            .bytes(&auth.hmac);
    }
    writer.finish(what)
}

pub(super) fn read(ordinal: Ordinal, response: &[u8]) -> Result<Answer, Malformed> {
    let mut reader = Reader::new(response, ordinal.name());
    let response_tag = reader.u16()?;
    let size = reader.u32()?;
    let code = Code(reader.u32()?);
    if usize::try_from(size) != Ok(response.len()) {
        return Err(reader.malformed());
    }
    if response_tag == tag2::NO_SESSIONS && reader.left() == 0 {
        // Only a TPM 2.0 has this tag. Others of them answer TPM_BADTAG as a TPM 1.2 would.
        return Ok(Answer::refusal(Code::BADTAG));
    }
    if code != Code::SUCCESS {
        return match (response_tag, reader.left()) {
            (tag::RESPONSE, 0) => Ok(Answer::refusal(code)),
            _ => Err(reader.malformed()),
        };
    }
    let auths = match response_tag {
        tag::RESPONSE => 0,
        tag::AUTH1_RESPONSE => 1,
        tag::AUTH2_RESPONSE => 2,
        _ => return Err(reader.malformed()),
    };
    let handle = match ordinal {
        Ordinal::LOAD_KEY2 => reader.u32()?,
        // Covered by the authorization, so it stays with the parameters.
        Ordinal::LOAD_KEY => reader.clone().u32()?,
        _ => 0,
    };
    let parameters = reader
        .left()
        .checked_sub(auths * AUTH)
        .ok_or(reader.malformed())?;
    let parameters = Zeroizing::new(reader.bytes(parameters)?.to_vec());
    let auths = (0..auths)
        .map(|_| read_auth(&mut reader))
        .collect::<Result<Vec<_>, _>>()?;
    reader.finish()?;
    Ok(Answer {
        code,
        handle,
        parameters,
        auths,
    })
}

/// The end of an authorized answer, which tcsd sends in the same form.
pub(super) fn read_auth(reader: &mut Reader<'_>) -> Result<ResponseAuth, Malformed> {
    let what = reader.malformed();
    let nonce = |reader: &mut Reader<'_>| reader.bytes(20)?.try_into().map_err(|_| what);
    Ok(ResponseAuth {
        even: nonce(reader)?,
        continues: reader.u8()?,
        hmac: nonce(reader)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(tag: u16, code: u32, rest: &[u8]) -> Vec<u8> {
        let mut bytes = tag.to_be_bytes().to_vec();
        bytes.extend(u32::try_from(10 + rest.len()).unwrap().to_be_bytes());
        bytes.extend(code.to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn a_command_has_its_parts_in_order() {
        let command = Command {
            ordinal: Ordinal::SIGN,
            key: Some(0x0102_0304),
            parameters: Zeroizing::new(vec![0xaa; 3]),
            auths: vec![RequestAuth {
                handle: 7,
                odd: [1; 20],
                hmac: [2; 20],
            }],
        };
        let expected = format!(
            "00c20000003e0000003c01020304aaaaaa00000007{}00{}",
            "01".repeat(20),
            "02".repeat(20)
        );
        assert_eq!(hex::encode(&*assemble(&command).unwrap()), expected);
        let command = Command {
            auths: [command.auths.clone(), command.auths].concat(),
            ..command
        };
        let twice = assemble(&command).unwrap();
        assert_eq!(hex::encode(&twice[..6]), "00c30000006b");
        assert_eq!(twice[17..62], twice[62..]);
    }

    #[test]
    fn an_answer_is_taken_apart_and_its_sizes_are_checked() {
        let auth = [&[1; 20][..], &[0], &[2; 20]].concat();
        let body = [&[0, 0, 0, 9, 0xaa, 0xbb][..], &auth].concat();
        let good = response(tag::AUTH1_RESPONSE, 0, &body);
        let answer = read(Ordinal::LOAD_KEY2, &good).unwrap();
        assert_eq!(
            (answer.handle, &answer.parameters[..]),
            (9, &[0xaa, 0xbb][..])
        );
        assert_eq!(answer.auths[0].hmac, [2; 20]);
        let answer = read(Ordinal::LOAD_KEY, &good).unwrap();
        assert_eq!((answer.handle, answer.parameters.len()), (9, 6));
        let two = response(tag::AUTH2_RESPONSE, 0, &[&body[..6], &auth, &auth].concat());
        let answer = read(Ordinal::LOAD_KEY2, &two).unwrap();
        assert_eq!((answer.parameters.len(), answer.auths.len()), (2, 2));
        assert!(read(Ordinal::LOAD_KEY2, &response(tag::AUTH2_RESPONSE, 0, &body)).is_err());
        // Too short for its authorization, sizes that disagree, other tags, an error with a body.
        for bad in [
            response(tag::AUTH1_RESPONSE, 0, &body[..44]),
            good[..good.len() - 1].to_vec(),
            [&good[..], &[0]].concat(),
            response(0x8001, 0, &body),
            response(tag::RESPONSE, 1, &[0]),
            response(tag::AUTH1_RESPONSE, 1, &[]),
        ] {
            assert!(read(Ordinal::LOAD_KEY2, &bad).is_err());
        }
        assert_eq!(
            read(Ordinal::SIGN, &response(tag::RESPONSE, 0x803, &[]))
                .unwrap()
                .code,
            Code::DEFEND_LOCK_RUNNING
        );
    }
}
