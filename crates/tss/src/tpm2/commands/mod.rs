//! The commands, by chapter of Part 3: what goes out and how the answer is read.
//!
//! A request knows its handles, its parameters and its response, and nothing about sessions, retries
//! or transports.
#![forbid(unsafe_code)]

pub mod asymmetric;
pub mod capability;
pub mod context;
pub mod credential;
pub mod duplication;
pub mod hash;
pub mod hierarchy;
pub mod lockout;
pub mod nv;
pub mod nv_change;
pub mod object;
pub mod pcr;
pub mod policy;
pub mod random;
pub mod session;
pub mod signing;
pub mod startup;
pub mod testing;

use crypto::Secret;

use super::constants::CommandCode;
use super::name::Entity;
use super::wire::{Malformed, Reader, Writer};

/// A command of Part 3.
pub trait Request {
    /// What a successful answer holds.
    type Response;

    /// The command code.
    const CODE: CommandCode;

    /// Whether the answer has a handle before its parameters.
    const ANSWERS_HANDLE: bool = false;

    /// The handle area, entities that need authorization first.
    fn handles(&self) -> Vec<Entity> {
        Vec::new()
    }

    /// The authorization value that the answer is authenticated with, where the command changes it.
    fn changed_auth(&self) -> Option<&Secret> {
        None
    }

    /// Writes the parameters.
    fn parameters(&self, writer: &mut Writer);

    /// Reads the answer's parameters; `handle` is 0 unless [`Request::ANSWERS_HANDLE`].
    fn parse(&self, handle: u32, reader: &mut Reader<'_>) -> Result<Self::Response, Malformed>;
}

#[cfg(test)]
mod tests {
    use super::super::name::Name;
    use super::*;

    /// Handles and parameters of a request in hexadecimal, as other implementations are known to send them.
    fn sent<R: Request>(request: &R) -> String {
        let mut writer = Writer::new();
        for entity in request.handles() {
            writer.u32(entity.handle);
        }
        request.parameters(&mut writer);
        hex::encode(&*writer.finish("test").unwrap())
    }

    #[test]
    fn parameters_have_the_known_bytes() {
        let key = Entity::object(0x8000_0001, Name::default());
        let sign = signing::Sign {
            key: key.clone(),
            digest: &[0xaa; 4],
            scheme: super::super::public::Scheme::Null,
            ticket: hash::Ticket::null(),
        };
        assert_eq!(
            sent(&sign),
            "800000010004aaaaaaaa0010802440000007".to_owned() + "0000"
        );
        let flush = context::FlushContext {
            handle: 0x8000_0000,
        };
        assert_eq!(sent(&flush), "80000000");
        let zgen = asymmetric::EcdhZGen {
            key,
            x: &[1],
            y: &[2, 3],
        };
        assert_eq!(sent(&zgen), "8000000100070001010002".to_owned() + "0203");
    }

    #[test]
    fn answers_with_missing_bytes_are_errors() {
        let read = object::ReadPublic::of(0x8100_0001);
        assert!(read.parse(0, &mut Reader::new(&[0, 1], "test")).is_err());
        let random = random::GetRandom { count: 4 };
        assert_eq!(
            *random
                .parse(0, &mut Reader::new(&[0, 1, 7], "test"))
                .unwrap(),
            vec![7]
        );
    }
}
