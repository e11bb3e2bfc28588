//! What a connection is bound to: the extension session-bind@openssh.com (OpenSSH's PROTOCOL.agent, 1). An ssh that uses or
//! forwards an agent names the host's key and the session first, and proves it with the host's signature.

use crate::error::Error;
use crate::ssh::public::fingerprint;
use crate::ssh::verify;
use crate::ssh::wire::Reader;

/// Hosts behind each other, as OpenSSH has it.
const MOST: usize = 16;
/// SSH_MSG_USERAUTH_REQUEST (RFC 4252).
const USERAUTH_REQUEST: u8 = 50;

struct Binding {
    host: Vec<u8>,
    session: Vec<u8>,
    is_forwarding: bool,
}

/// The sessions of one connection, the outermost first.
#[derive(Default)]
pub(super) struct Bindings(Vec<Binding>);

impl Bindings {
    /// Takes one more; false if it is not proved, or none can follow.
    pub(super) fn bind(&mut self, reader: &mut Reader<'_>) -> bool {
        let mut parts = || {
            let parts = (
                reader.string()?,
                reader.string()?,
                reader.string()?,
                reader.boolean()?,
            );
            reader.is_at_end().then_some(parts)
        };
        let Some((host, session, signature, is_forwarding)) = parts() else {
            return false;
        };
        if !verify::is_right(host, session, signature) {
            return false;
        }
        if let Some(same) = self.0.iter().find(|it| it.session == session) {
            return same.host == host;
        }
        // Who has said that it is used here does not go on from here.
        let is_final = self.0.last().is_some_and(|last| !last.is_forwarding);
        if is_final || self.0.len() >= MOST {
            return false;
        }
        self.0.push(Binding {
            host: host.to_vec(),
            session: session.to_vec(),
            is_forwarding,
        });
        true
    }

    /// Refuses a login in another session than the one that the connection is bound to.
    pub(super) fn check(&self, login: Option<&Login<'_>>) -> Result<(), Error> {
        match (self.0.last(), login) {
            (Some(last), Some(login)) if last.session != login.session => Err(Error::new(format!(
                "a login as {:?} was asked for in another session than the one that the connection is bound to, of the host \
                 {}",
                login.user,
                fingerprint(&last.host)
            ))),
            _ => Ok(()),
        }
    }

    /// The way, in words.
    pub(super) fn describe(&self) -> Option<String> {
        let hosts: Vec<String> = self.0.iter().map(|it| fingerprint(&it.host)).collect();
        let (last, before) = hosts.split_last()?;
        let forwarded = self.0.last().is_some_and(|last| last.is_forwarding);
        Some(match (before, forwarded) {
            ([], false) => format!("host key {last}"),
            ([], true) => format!("forwarded to the host with the key {last}"),
            (before, _) => format!("host key {last}, forwarded through {}", before.join(", ")),
        })
    }
}

/// What is signed to log in.
pub(super) struct Login<'a> {
    session: &'a [u8],
    /// Who wants to be logged in.
    pub(super) user: &'a str,
}

impl<'a> Login<'a> {
    /// From what is to be signed (RFC 4252, 7); nothing if it is something else.
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(data);
        let session = reader.string()?;
        let is_request = reader.octet()? == USERAUTH_REQUEST;
        let user = reader.text()?;
        let service = reader.text()?;
        let method = reader.text()?;
        let is_login = is_request
            && service == "ssh-connection"
            && matches!(method, "publickey" | "publickey-hostbound-v00@openssh.com");
        is_login.then_some(Self { session, user })
    }
}

#[cfg(test)]
mod tests {
    use openssl::pkey::PKey;
    use openssl::sign::Signer;

    use super::*;
    use crate::ssh::wire::string;

    /// What a client says of a session at a new host.
    fn said(session: &[u8], is_forwarding: bool) -> Vec<u8> {
        let key = PKey::generate_ed25519().unwrap();
        let name = string(b"ssh-ed25519");
        let mut signer = Signer::new_without_digest(&key).unwrap();
        let signature = signer.sign_oneshot_to_vec(session).unwrap();
        let host = [name.clone(), string(&key.raw_public_key().unwrap())].concat();
        let signature = [name, string(&signature)].concat();
        [
            string(&host),
            string(session),
            string(&signature),
            vec![u8::from(is_forwarding)],
        ]
        .concat()
    }

    fn login(session: &[u8]) -> Vec<u8> {
        [
            string(session),
            vec![USERAUTH_REQUEST],
            string(b"root"),
            string(b"ssh-connection"),
            string(b"publickey"),
        ]
        .concat()
    }

    #[test]
    fn a_bound_connection_logs_in_there_and_nowhere_else() {
        let mut bindings = Bindings::default();
        let allowed = |bindings: &Bindings, session: &[u8]| {
            let data = login(session);
            bindings.check(Login::parse(&data).as_ref()).is_ok()
        };
        assert!(allowed(&bindings, b"one"));
        assert!(bindings.bind(&mut Reader::new(&said(b"one", true))));
        assert!(allowed(&bindings, b"one") && !allowed(&bindings, b"two"));
        assert!(bindings.bind(&mut Reader::new(&said(b"two", false))));
        assert!(allowed(&bindings, b"two") && !allowed(&bindings, b"one"));
        // Bound for a login: nothing follows, and no host takes another's session.
        assert!(!bindings.bind(&mut Reader::new(&said(b"three", false))));
        assert!(!bindings.bind(&mut Reader::new(&said(b"two", false))));
        // What is no login is not bound.
        assert!(bindings.check(Login::parse(b"a commit").as_ref()).is_ok());
        assert!(bindings.describe().unwrap().contains("forwarded through"));
    }

    #[test]
    fn nothing_is_believed_without_proof() {
        let whole = said(b"one", true);
        for at in 0..whole.len() {
            let mut bindings = Bindings::default();
            assert!(!bindings.bind(&mut Reader::new(&whole[..at])), "{at}");
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let flag = at == whole.len() - 1;
            assert_eq!(bindings.bind(&mut Reader::new(&changed)), flag, "{at}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(!Bindings::default().bind(&mut Reader::new(&longer)));
    }

    #[test]
    fn sixteen_hosts_and_no_more() {
        let mut bindings = Bindings::default();
        for number in 0..MOST {
            assert!(bindings.bind(&mut Reader::new(&said(
                &[u8::try_from(number).unwrap()],
                true
            ))));
        }
        assert!(!bindings.bind(&mut Reader::new(&said(b"more", true))));
    }
}
