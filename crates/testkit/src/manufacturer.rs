//! TPMs with an endorsement key's certificate, and the authority that signs these: swtpm's own (`swtpm_setup`,
//! `swtpm_localca`).

use crate::process::Run;
use crate::scratch::Scratch;
use crate::swtpm::Swtpm;
use crate::tools::need;
use std::fs;
use std::path::PathBuf;

/// A manufacturer of TPMs, with an authority of its own.
pub struct Manufacturer {
    dir: Scratch,
}

impl Manufacturer {
    pub fn new() -> Self {
        let dir = Scratch::new();
        let authority = dir.join("ca");
        fs::create_dir(&authority).expect("a new directory");
        let authority = authority.display();
        let tool = need("swtpm_localca", "swtpm-tools");
        dir.write(
            "setup.conf",
            format!(
                "create_certs_tool={}\ncreate_certs_tool_config={}\ncreate_certs_tool_options={}\n",
                tool.display(),
                dir.join("localca.conf").display(),
                dir.join("options.conf").display()
            ),
        );
        dir.write(
            "localca.conf",
            format!(
                "statedir = {authority}\nsigningkey = {authority}/signkey.pem\nissuercert = {authority}/issuercert.pem\n\
                 certserial = {authority}/certserial\n"
            ),
        );
        dir.write(
            "options.conf",
            "--platform-manufacturer tests\n--platform-version 1\n--platform-model tests\n",
        );
        Self { dir }
    }

    /// A TPM as it leaves this manufacturer: an endorsement key on RSA-2048 at 0x81010001, its certificate at 0x01c00002.
    pub fn tpm(&self) -> Swtpm {
        let state = Scratch::new();
        let user = Run::new("id").arg("-un").ok().out();
        Run::new(need("swtpm_setup", "swtpm-tools"))
            .words("--tpm2 --create-ek-cert --overwrite --runas")
            .arg(user.trim())
            .arg("--tpmstate")
            .arg(state.path())
            .arg("--config")
            .arg(self.dir.join("setup.conf"))
            .ok();
        Swtpm::with_state(state.path())
    }

    /// The certificate that signs those of the endorsement keys, and the root above it.
    pub fn authority(&self) -> Authority {
        let at = |name: &str| self.dir.join("ca").join(name);
        Authority {
            issuer: at("issuercert.pem"),
            root: at("swtpm-localca-rootca-cert.pem"),
            key: at("signkey.pem"),
        }
    }
}

/// Files of an authority.
pub struct Authority {
    pub issuer: PathBuf,
    pub root: PathBuf,
    pub key: PathBuf,
}
