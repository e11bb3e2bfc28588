//! Messages on the wire: a length, a type and what belongs to it (draft-ietf-sshm-ssh-agent, 3).

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use zeroize::Zeroizing;

/// No message is longer (OpenSSH's AGENT_MAX_LEN).
pub(super) const LONGEST: usize = 256 * 1024;
/// How long somebody may stop in the middle of one.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const FAILURE: u8 = 5;
pub(super) const SUCCESS: u8 = 6;
pub(super) const REQUEST_IDENTITIES: u8 = 11;
pub(super) const IDENTITIES_ANSWER: u8 = 12;
pub(super) const SIGN_REQUEST: u8 = 13;
pub(super) const SIGN_RESPONSE: u8 = 14;
pub(super) const LOCK: u8 = 22;
pub(super) const UNLOCK: u8 = 23;
pub(super) const EXTENSION: u8 = 27;
pub(super) const EXTENSION_FAILURE: u8 = 28;
/// Adding and removing keys: what an agent behind this one may do.
pub(super) const CHANGES: [u8; 8] = [17, 18, 19, 20, 21, 24, 25, 26];

/// The next message: its type and what is behind that; nothing when the client has gone. It may hold the passphrase of a
/// lock.
///
/// # Errors
///
/// A length that no message has, or one that stops in the middle.
pub(super) fn receive(stream: &mut UnixStream) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut length = [0; 4];
    // A client may say nothing for days.
    stream.set_read_timeout(None)?;
    if stream.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.read_exact(&mut length[1..])?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if !(1..=LONGEST).contains(&length) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {length} bytes"),
        ));
    }
    // As it comes, not as it is announced.
    let mut message = Zeroizing::new(Vec::with_capacity(length.min(4096)));
    let mut piece = Zeroizing::new([0; 4096]);
    while message.len() < length {
        let most = (length - message.len()).min(piece.len());
        match stream.read(&mut piece[..most])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => grow(&mut message, &piece[..count], length),
        }
    }
    Ok(Some(message))
}

/// Adds to a message without leaving a copy of it behind.
fn grow(message: &mut Zeroizing<Vec<u8>>, piece: &[u8], length: usize) {
    if message.capacity() < message.len() + piece.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity(
            length.min(message.len() * 2 + piece.len()),
        ));
        larger.extend_from_slice(message);
        *message = larger;
    }
    message.extend_from_slice(piece);
}

/// Sends a message.
pub(super) fn send(stream: &mut UnixStream, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&[&length.to_be_bytes(), message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(bytes: &[u8]) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let bytes = bytes.to_vec();
        let writer = std::thread::spawn(move || {
            let _ = theirs.write_all(&bytes);
        });
        let message = receive(&mut ours);
        drop(ours);
        writer.join().unwrap();
        message
    }

    #[test]
    fn a_message_is_whole_or_none() {
        for length in [1, 2, 4095, 4096, 4097, LONGEST] {
            let body = vec![7; length];
            let announced = u32::try_from(length).unwrap().to_be_bytes();
            let whole = [&announced[..], &body].concat();
            assert_eq!(*received(&whole).unwrap().unwrap(), body);
            assert!(received(&whole[..whole.len() - 1]).is_err());
        }
        assert!(received(&[]).unwrap().is_none());
        for length in [0, LONGEST + 1, usize::try_from(u32::MAX).unwrap()] {
            let announced = u32::try_from(length).unwrap().to_be_bytes();
            assert!(received(&[&announced[..], &[0; 16]].concat()).is_err());
        }
    }
}
