//! What most scenarios begin with: a TPM, a tap on its wire, and an openssl that is configured for it.

use crate::openssl::{Config, Openssl};
use crate::process::Run;
use crate::proxy::Proxy;
use crate::swtpm::Swtpm;

/// Fields are dropped in order: clients first, the TPM last.
pub struct Bench {
    /// Reaches the TPM through the tap.
    pub openssl: Openssl,
    pub tap: Proxy,
    pub tpm: Swtpm,
}

impl Bench {
    /// A TPM with a storage root key at 0x81000001, and the usual settings.
    pub fn new() -> Self {
        Self::with(Config::new())
    }

    /// A TPM with a storage root key at 0x81000001.
    pub fn with(config: Config) -> Self {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        Self::of(tpm, config)
    }

    /// A TPM as it leaves the factory.
    pub fn without_srk() -> Self {
        Self::without_srk_with(Config::new())
    }

    /// A TPM as it leaves the factory.
    pub fn without_srk_with(config: Config) -> Self {
        Self::of(Swtpm::start(), config)
    }

    /// A certain TPM.
    pub fn of(tpm: Swtpm, config: Config) -> Self {
        let tap = Proxy::start(&tpm);
        let openssl = Openssl::with(config, &tap.address());
        Self { openssl, tap, tpm }
    }

    /// One of tpm2-tools in the directory of `openssl`.
    #[track_caller]
    pub fn tool(&self, line: &str) {
        self.tpm.tool(line).dir(self.openssl.dir().path()).ok();
    }

    /// `tpmctl` in the directory of `openssl`, without its settings, through the tap.
    pub fn tpmctl(&self, line: &str) -> Run {
        self.openssl.tpmctl(&self.tap.address(), line)
    }
}
