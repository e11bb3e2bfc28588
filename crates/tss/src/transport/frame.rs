//! The ten bytes every TPM command and response begins with: tag, size, code.
#![forbid(unsafe_code)]

use super::error::{ErrorKind, Fault};

/// Tag (2 bytes), size (4), command or response code (4).
pub(crate) const HEADER: usize = 10;
/// The most a command may have: the kernel driver's buffer, and every TPM's.
pub(crate) const MAX_COMMAND: usize = 4096;
/// The most a response may have. TPMs stay below 4096; what claims more is out of step.
pub(crate) const MAX_RESPONSE: usize = 8192;

/// Refuses a command that would put a stream out of step.
pub(crate) fn check_command(command: &[u8]) -> Result<(), Fault> {
    if command.len() > MAX_COMMAND {
        return Err(Fault::new(
            ErrorKind::Limit,
            format!(
                "a command of {} bytes exceeds the limit of {MAX_COMMAND}",
                command.len()
            ),
        ));
    }
    match declared(command) {
        Some(size) if size == command.len() => Ok(()),
        _ => Err(Fault::new(
            ErrorKind::Protocol,
            format!(
                "a command of {} bytes does not match its own size field",
                command.len()
            ),
        )),
    }
}

/// The size a response's header claims, once the header is there.
pub(crate) fn response_size(start: &[u8]) -> Result<Option<usize>, Fault> {
    match declared(start) {
        None => Ok(None),
        Some(size @ HEADER..=MAX_RESPONSE) => Ok(Some(size)),
        Some(size) => Err(Fault::new(
            ErrorKind::Protocol,
            format!("the answer claims a size of {size} bytes, which no TPM response has"),
        )
        .hint("is there a TPM at this address?")),
    }
}

/// Checks a response that was read whole.
pub(crate) fn check_response(response: &[u8]) -> Result<(), Fault> {
    match response_size(response)? {
        Some(size) if size == response.len() => Ok(()),
        Some(size) => Err(Fault::new(
            ErrorKind::Protocol,
            format!(
                "the answer has {} bytes, its header says {size}",
                response.len()
            ),
        )),
        None => Err(Fault::new(
            ErrorKind::Protocol,
            format!(
                "the answer has {} bytes, less than a header",
                response.len()
            ),
        )),
    }
}

fn declared(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER>()?;
    let size = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
    usize::try_from(size).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(size: u32, length: usize) -> Vec<u8> {
        let mut bytes = vec![0x80, 1];
        bytes.extend(size.to_be_bytes());
        bytes.resize(length, 0);
        bytes
    }

    #[test]
    fn sizes_must_agree() {
        assert!(check_command(&framed(12, 12)).is_ok());
        assert!(check_response(&framed(12, 12)).is_ok());
        for bytes in [
            framed(12, 11),
            framed(12, 13),
            framed(9, 9),
            framed(0, 10),
            vec![],
            vec![0; 6],
        ] {
            assert_eq!(check_command(&bytes).unwrap_err().kind, ErrorKind::Protocol);
            assert_eq!(
                check_response(&bytes).unwrap_err().kind,
                ErrorKind::Protocol
            );
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert!(check_command(&framed(4096, 4096)).is_ok());
        assert_eq!(
            check_command(&framed(4097, 4097)).unwrap_err().kind,
            ErrorKind::Limit
        );
        assert!(response_size(&framed(8192, 10)).is_ok());
        for size in [8193, u32::MAX, 9, 0] {
            assert_eq!(
                response_size(&framed(size, 10)).unwrap_err().kind,
                ErrorKind::Protocol
            );
        }
        assert_eq!(response_size(&[0x80, 1, 0, 0]).unwrap(), None);
    }
}
