//! Finding tcsd, the daemon of TrouSerS, on this machine.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::Path;

use super::sockets::{self, Holder};
use super::users::User;
use crate::transport::address::{Address, TCSD_PORT};
use crate::transport::endpoint::Family;
use crate::transport::error::{ErrorKind, Fault};

/// The user as whom tcsd runs.
pub const USER: &str = "tss";

/// tcsd at its port, if it can be trusted to be it. Files are looked at below `root`.
pub(crate) fn detect(root: &Path) -> Option<Address> {
    if super::family(root) != Some(Family::Tpm12) {
        return None;
    }
    let owner = listener(root)?;
    (owner == 0 || user(root) == Some(owner)).then(Address::local_tcsd)
}

/// Whose socket listens at tcsd's port. If several users' do, nobody's.
fn listener(root: &Path) -> Option<u32> {
    let mut owners = sockets::listeners(root, TCSD_PORT).into_iter();
    let first = owners.next()?;
    owners.all(|owner| owner == first).then_some(first)
}

/// Refuses what answers on this machine in tcsd's place, however its address was written: the socket at the other
/// end must be root's, or that of `user`, which is tcsd's. Who answers on another machine is not known here.
pub(crate) fn vouch(local: SocketAddr, peer: SocketAddr, user: Option<u32>) -> Result<(), Fault> {
    let untrusted = |what: String| Fault::new(ErrorKind::Untrusted, what);
    match sockets::holder(local, peer) {
        Ok(Holder::Elsewhere) => Ok(()),
        Ok(Holder::User(uid)) if uid == 0 || user == Some(uid) => Ok(()),
        Ok(Holder::User(uid)) => {
            let who = match user {
                Some(user) => format!("neither root nor {USER} (user {user})"),
                None => format!("not root, and there is no user {USER} in /etc/passwd"),
            };
            let fault = untrusted(format!(
                "the user with number {uid} answers at {peer} on this machine, who is {who}: that is not tcsd, and \
                 could answer in the TPM's place"
            ));
            let port = peer.port();
            Err(fault.hint(format!(
                "see who it is with `ss -ltnp 'sport = :{port}'`, end it, and start tcsd with `systemctl start tcsd`"
            )))
        }
        Ok(Holder::Unseen) => Err(untrusted(format!(
            "nobody is seen to listen at {peer} on this machine, so that it cannot be told who answers there"
        ))
        .hint("is tcsd running? `tpmctl doctor` looks for it")),
        Err(error) => Err(untrusted(format!(
            "it cannot be told who answers at {peer} on this machine: {error}"
        ))
        .hint(
            "let the process open netlink sockets (RestrictAddressFamilies=AF_NETLINK besides the others under \
             systemd), or see /proc/net/tcp",
        )),
    }
}

/// The number of tcsd's user.
pub(crate) fn user(root: &Path) -> Option<u32> {
    User::named(root, USER).map(|user| user.uid)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn machine(version: Option<&str>, uid: Option<u32>) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        match version {
            Some(version) => write("sys/class/tpm/tpm0/tpm_version_major", version),
            None => write("sys/class/tpm/tpm0/caps", ""),
        }
        write(
            "etc/passwd",
            "root:x:0:0::/:\ntss:x:108:115:TPM:/:/bin/false\n",
        );
        if let Some(uid) = uid {
            write(
                "proc/net/tcp",
                &format!(
                    "  sl  local_address rem_address   st\n   0: 0100007F:7533 00000000:0000 0A \
                     00000000:00000000 00:00000000 00000000 {uid} 0 4711 1\n   1: 0100007F:7533 \
                     0100007F:A001 01 00000000:00000000 00:00000000 00000000 1000 0 4712 1\n"
                ),
            );
        }
        root
    }

    #[test]
    fn only_a_trustworthy_tcsd_of_a_tpm_12_is_found() {
        let found =
            |version, uid| detect(machine(version, uid).path()).map(|address| address.to_string());
        let tcsd = Some("tcsd:host=127.0.0.1,port=30003".to_owned());
        assert_eq!(found(Some("1\n"), Some(108)), tcsd);
        assert_eq!(found(Some("1\n"), Some(0)), tcsd);
        assert_eq!(found(None, Some(108)), tcsd);
        // Somebody else's, a TPM 2.0, and nobody there.
        assert_eq!(found(Some("1\n"), Some(1000)), None);
        assert_eq!(found(Some("2\n"), Some(108)), None);
        assert_eq!(found(Some("1\n"), None), None);
    }

    #[test]
    fn a_port_that_two_users_share_is_nobodys() {
        let root = machine(Some("1"), Some(108));
        fs::write(
            root.path().join("proc/net/tcp6"),
            "0: 00000000000000000000000000000000:7533 00000000000000000000000000000000:0000 0A 0:0 0:0 0 1000 0 1\n",
        )
        .unwrap();
        assert_eq!(detect(root.path()), None);
    }
}
