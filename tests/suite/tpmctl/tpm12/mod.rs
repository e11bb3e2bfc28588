//! What tpm-tools do for a TPM 1.2, by `tpmctl`: on the TPM alone and through tcsd, and tpm-tools beside it.

mod ek;
mod memory;
mod owner;
mod state;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use openssl::hash::{MessageDigest, hash};
use serde_json::Value;
use testkit::openssl::{Config, Openssl};
use testkit::process::{Done, Run, unbroken};
use testkit::swtpm12::Swtpm12;
use testkit::tcsd::Tcsd;

/// The secret that tpm-tools have with `-y` and `-z`.
const WELL_KNOWN: &str = "0000000000000000000000000000000000000000\n";

/// A machine with a TPM 1.2 and perhaps tcsd.
pub(super) struct Machine {
    pub(super) openssl: Openssl,
    // Before the TPM: fields are dropped in order.
    tcsd: Option<Tcsd>,
    pub(super) tpm: Swtpm12,
}

impl Machine {
    fn new(tpm: Swtpm12, tcsd: Option<Tcsd>) -> Self {
        let openssl = Openssl::without_tpm(Config::new());
        openssl.dir().write("well-known", WELL_KNOWN);
        Self { openssl, tcsd, tpm }
    }

    /// Without an owner, the TPM alone.
    pub(super) fn unowned() -> Self {
        Self::new(Swtpm12::unowned(), None)
    }

    /// Without an owner, behind a tcsd that knows of none.
    fn unowned_behind_tcsd() -> Self {
        let tpm = Swtpm12::unowned_tcp();
        let tcsd = Tcsd::without_storage(&tpm);
        Self::new(tpm, Some(tcsd))
    }

    /// With an owner whose secret is the well-known one, the TPM alone and behind tcsd.
    pub(super) fn both() -> [Self; 2] {
        let tpm = Swtpm12::owned_tcp();
        let tcsd = Tcsd::start(&tpm);
        [
            Self::new(Swtpm12::owned(), None),
            Self::new(tpm, Some(tcsd)),
        ]
    }

    pub(super) fn both_unowned() -> [Self; 2] {
        [Self::unowned(), Self::unowned_behind_tcsd()]
    }

    pub(super) fn address(&self) -> String {
        match &self.tcsd {
            Some(tcsd) => tcsd.address(),
            None => self.tpm.address(),
        }
    }

    pub(super) fn tpmctl(&self, line: &str) -> Run {
        self.openssl.tpmctl(&self.address(), line)
    }

    /// The same past tcsd, as who has stopped it does.
    fn past_tcsd(&self, line: &str) -> Run {
        self.openssl.tpmctl(&self.tpm.address(), line)
    }

    #[track_caller]
    pub(super) fn ok(&self, line: &str) -> String {
        unbroken(&self.tpmctl(line).ok().out())
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let done = self.tpmctl(&format!("{line} --json")).ok();
        serde_json::from_slice(&done.stdout).expect("JSON")
    }

    #[track_caller]
    fn fails(&self, line: &str, reasons: &[&str]) -> Done {
        let mut failure = self.tpmctl(line).fails().never_says("panicked");
        for reason in reasons {
            failure = failure.says(reason);
        }
        failure
    }

    /// A program of tpm-tools, through tcsd.
    fn tpm_tool(&self, line: &str) -> Run {
        let mut words = line.split(' ');
        let program = words.next().expect("a program");
        let tcsd = self.tcsd.as_ref().expect("tpm-tools need tcsd");
        tcsd.client(program, "tpm-tools")
            .dir(self.openssl.dir().path())
            .args(words)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        self.openssl.dir().write(name, content);
    }

    fn read(&self, name: &str) -> String {
        self.openssl.dir().read_text(name)
    }

    /// Who may use a file.
    fn mode(&self, name: &str) -> u32 {
        let about = fs::metadata(self.openssl.dir().join(name)).expect("the file is there");
        about.permissions().mode() & 0o777
    }

    /// Switches a TPM on again that was cleared, with `tpmctl`, as somebody at the machine.
    pub(super) fn switch_on(&mut self) {
        for line in [
            "state set presence command-on --yes",
            "state set presence on --yes",
            "state set enabled on --by presence --yes",
            "state set active on --yes",
        ] {
            self.past_tcsd(line).ok();
        }
        self.restart();
    }

    /// What a restart of the machine does.
    fn restart(&mut self) {
        self.tpm.restart();
        if let Some(tcsd) = &mut self.tcsd {
            tcsd.restart();
        }
    }
}

/// What a password stands for.
fn sha1(bytes: &[u8]) -> Vec<u8> {
    hash(MessageDigest::sha1(), bytes)
        .expect("OpenSSL has SHA-1")
        .to_vec()
}
