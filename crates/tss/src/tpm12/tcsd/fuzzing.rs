//! The codec of tcsd's packets, for the fuzzer.
#![forbid(unsafe_code)]

use super::packet::{self, Reply};
use super::rpc;
use crate::error::Result;
use crate::tpm12::transaction::exchange::{Answer, Command};

/// An answer, as a connection takes it apart.
pub(in crate::tpm12) fn answer(command: &Command, packet: &[u8]) -> Result<Answer> {
    Ok(rpc::answer(command, packet)?)
}

/// The packet for a command, and `reply` as the answer to it.
pub(in crate::tpm12) fn packets(command: &Command, reply: &[u8]) {
    if let Ok(request) = rpc::request(0x0102_0304, command) {
        let start = request[..4].try_into().unwrap();
        assert_eq!(packet::claimed_size(start), Some(request.len()));
        // A request has the form of a reply whose result is the call's number.
        let number = Reply::parse(&request).unwrap().result();
        assert_ne!(number, 0);
        let mut as_reply = request.to_vec();
        as_reply[4..8].fill(0);
        let mut read = Reply::parse(&as_reply).unwrap();
        assert_eq!(read.u32(), Ok(0x0102_0304));
    }
    if let Ok(answer) = rpc::answer(command, reply) {
        assert!(answer.parameters.len() <= reply.len());
        assert!(answer.auths.len() <= command.auths.len());
    }
    if let Ok(mut read) = Reply::parse(reply) {
        while read.u32().is_ok() {}
        let _ = read.finish();
    }
}
