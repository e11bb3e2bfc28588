//! OpenSSH's server, for this user to log in to.

use crate::ports::free_port;
use crate::process::Run;
use crate::scratch::Scratch;
use crate::service::Service;
use crate::tools::{is_root, need};
use std::fs;

/// A server that lets in whoever has one of some keys, as the user whom the test runs as. Fields are dropped in order.
pub struct Sshd {
    service: Service,
    port: u16,
    dir: Scratch,
}

impl Sshd {
    /// With an ordinary host key; `authorized` is its file of keys.
    pub fn start(authorized: &str) -> Self {
        let dir = Scratch::new();
        let keygen = Run::new(need("ssh-keygen", "openssh-client"));
        let host_key = dir.join("host_key");
        keygen
            .words("-q -t ed25519 -N")
            .arg("")
            .arg("-f")
            .arg(&host_key)
            .ok();
        let line = format!("HostKey {}", host_key.display());
        Self::start_in(dir, authorized, &line)
    }

    /// With host keys of the caller's: `more` lines of sshd_config name them.
    pub fn with_host_keys(authorized: &str, more: &str) -> Self {
        Self::start_in(Scratch::new(), authorized, more)
    }

    fn start_in(dir: Scratch, authorized: &str, more: &str) -> Self {
        let program = need("sshd", "openssh-server");
        if is_root() {
            // sshd's own, where the package's unit would have made it.
            fs::create_dir_all("/run/sshd").expect("/run/sshd");
        }
        let port = free_port();
        let keys = dir.write("authorized", authorized);
        let authorities = dir.write("authorities", "");
        let text = format!(
            "ListenAddress 127.0.0.1:{port}\n{more}\nAuthorizedKeysFile {}\nTrustedUserCAKeys {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             MaxStartups 100\nMaxAuthTries 30\n",
            keys.display(),
            authorities.display()
        );
        let config = dir.write("sshd_config", text);
        // It starts itself anew by its whole path.
        let run = Run::new(program).words("-D -e -f").arg(config);
        Self {
            service: Service::start("sshd", run, Scratch::new(), &[port]),
            port,
            dir,
        }
    }

    /// Lets in who has one of these keys, and nobody else.
    pub fn authorize(&self, lines: &str) {
        self.dir.write("authorized", lines);
    }

    /// Lets in who has a certificate of this authority.
    pub fn trust(&self, line: &str) {
        self.dir.write("authorities", line);
    }

    /// `ssh`, with what it needs to come here and without a file of this user's own; what shall be run there comes behind.
    pub fn ssh(&self, ssh: Run, options: &str) -> Run {
        ssh.words(
            "-F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
        )
        .words("-o IdentityFile=none -o PreferredAuthentications=publickey")
        .words(options)
        .arg("-p")
        .arg(self.port.to_string())
        .arg("127.0.0.1")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has said.
    pub fn output(&self) -> String {
        self.service.output()
    }
}
