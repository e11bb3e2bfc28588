//! A TPM 1.2 for one test.

use crate::net::Endpoint;
use crate::simulator::{Family, Simulator, Socket};
use crate::tools::root;
use crate::tpm::{code, command, read_frame};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What comes from `tests/data/tpm12`.
pub fn data(name: &str) -> PathBuf {
    root().join("tests/data/tpm12").join(name)
}

/// A swtpm process in TPM 1.2 mode.
pub struct Swtpm12 {
    simulator: Simulator,
}

/// What a TPM 1.2 holds that somebody should have flushed: handles.
#[derive(Debug, PartialEq, Eq)]
pub struct Objects12 {
    pub keys: Vec<u32>,
    pub sessions: Vec<u32>,
}

impl Swtpm12 {
    /// The TPM that the key files in `tests/data/tpm12` belong to, behind a unix socket. The secrets of its
    /// owner and its SRK are the well-known one.
    pub fn owned() -> Self {
        Self::launch(true, Socket::Unix)
    }

    /// The same behind a TCP port, each command in a connection of its own, so that tcsd can use it.
    pub fn owned_tcp() -> Self {
        Self::launch(true, Socket::Tcp)
    }

    /// Fresh from the factory, without an owner, behind a unix socket.
    pub fn unowned() -> Self {
        Self::launch(false, Socket::Unix)
    }

    /// The same behind a TCP port, for tcsd.
    pub fn unowned_tcp() -> Self {
        Self::launch(false, Socket::Tcp)
    }

    fn launch(owned: bool, socket: Socket) -> Self {
        let state = root().join("tests/data/tpm12");
        Self {
            simulator: Simulator::start(Family::Tpm12, owned.then_some(&state), socket),
        }
    }

    /// For `TPM12_TCTI`.
    pub fn address(&self) -> String {
        self.simulator.address()
    }

    pub fn endpoint(&self) -> &Endpoint {
        self.simulator.endpoint()
    }

    /// Ends the process, as a power failure would.
    pub fn kill(&mut self) {
        self.simulator.kill();
    }

    /// A TPM reset: loaded keys and sessions are gone.
    pub fn restart(&mut self) {
        self.kill();
        self.simulator.start_again();
    }

    /// Sends a command without authorization, in a connection of its own; what follows the return code 0.
    pub fn ask(&self, ordinal: u32, body: &[u8]) -> Vec<u8> {
        let mut stream = self.endpoint().connect().expect("swtpm accepts");
        stream.timeout(Duration::from_secs(60));
        stream
            .write_all(&command(0x00C1, ordinal, body))
            .expect("swtpm reads");
        let reply = read_frame(&mut stream)
            .expect("swtpm answers")
            .expect("swtpm does not hang up");
        assert_eq!(code(&reply), 0, "ordinal {ordinal:#x}: {reply:02x?}");
        reply[10..].to_vec()
    }

    /// Keys and sessions that exist now.
    pub fn objects(&self) -> Objects12 {
        Objects12 {
            keys: self.handles(1),
            sessions: self.handles(2),
        }
    }

    /// TPM_GetCapability of TPM_CAP_HANDLE for a resource type: TPM_RT_KEY 1, TPM_RT_AUTH 2.
    fn handles(&self, resource: u32) -> Vec<u32> {
        let words = [0x14, 4, resource].map(u32::to_be_bytes).concat();
        let reply = self.ask(0x65, &words);
        // A size of four bytes, a count of two, the handles.
        let handles = reply[6..]
            .chunks_exact(4)
            .map(|handle| u32::from_be_bytes(handle.try_into().expect("four bytes")))
            .collect::<Vec<_>>();
        assert_eq!(
            handles.len(),
            usize::from(u16::from_be_bytes([reply[4], reply[5]]))
        );
        handles
    }

    /// Asserts that nobody has left anything in the TPM.
    #[track_caller]
    pub fn assert_clean(&self) {
        let objects = self.objects();
        assert!(
            objects.keys.is_empty() && objects.sessions.is_empty(),
            "left in the TPM: {objects:x?}"
        );
    }
}
