//! OpenSSH's server, for this user to log in to.

use crate::ports::free_port;
use crate::process::Run;
use crate::scratch::Scratch;
use crate::service::Service;
use crate::tools::{is_root, need};
use std::fs;

/// A server that lets in whoever has one of some keys. Fields are dropped in order.
pub struct Sshd {
    service: Service,
    port: u16,
    client: Scratch,
}

impl Sshd {
    /// With an ordinary host key; `authorized` is its file of keys.
    pub fn start(authorized: &str) -> Self {
        Self::with(authorized, "")
    }

    /// The same with `more` lines of sshd_config; there is no host key then.
    pub fn with(authorized: &str, more: &str) -> Self {
        let program = need("sshd", "openssh-server");
        if is_root() {
            // sshd's own, where the package's unit would have made it.
            fs::create_dir_all("/run/sshd").expect("/run/sshd");
        }
        let dir = Scratch::new();
        let port = free_port();
        let keys = dir.write("authorized", authorized);
        let host_key = match more.contains("HostKey ") {
            true => String::new(),
            false => {
                let path = dir.join("host_key");
                let keygen = Run::new(need("ssh-keygen", "openssh-client"));
                keygen
                    .words("-q -t ed25519 -N")
                    .arg("")
                    .arg("-f")
                    .arg(&path)
                    .ok();
                format!("HostKey {}\n", path.display())
            }
        };
        let text = format!(
            "ListenAddress 127.0.0.1:{port}\n{host_key}AuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\n\
             MaxAuthTries 30\n{more}\n",
            keys.display()
        );
        let config = dir.write("sshd_config", text);
        // It starts itself anew by its whole path.
        let run = Run::new(program).words("-D -e -f").arg(config);
        Self {
            service: Service::start("sshd", run, dir, &[port]),
            port,
            client: Scratch::new(),
        }
    }

    /// What `ssh` needs to come here, without a file of this user's own; what else it is told comes behind.
    pub fn ssh(&self, options: &[&str]) -> Run {
        let known = self.client.join("known_hosts");
        Run::new(need("ssh", "openssh-client"))
            .words("-F none -o BatchMode=yes -o StrictHostKeyChecking=no -o IdentityFile=none -o IdentitiesOnly=no")
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known.display()))
            .args(options)
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
