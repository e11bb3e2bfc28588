//! Agents behind this one. Each client has connections of its own, so that what a client binds its connection to counts
//! there too.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::message::{FAILURE, IDENTITIES_ANSWER, REQUEST_IDENTITIES, receive, send};
use crate::ssh::wire::Reader;

/// A key or certificate, and its comment.
type Identity = (Vec<u8>, Vec<u8>);

pub(super) struct Upstreams(Vec<Upstream>);

struct Upstream {
    path: PathBuf,
    /// Opened when it is first needed.
    stream: Option<UnixStream>,
    /// What this client has bound its connection to, for an agent that is first asked later.
    told: Vec<Vec<u8>>,
}

impl Upstreams {
    pub(super) fn new(paths: &[PathBuf]) -> Self {
        let new = |path: &PathBuf| Upstream {
            path: path.clone(),
            stream: None,
            told: Vec::new(),
        };
        Self(paths.iter().map(new).collect())
    }

    /// The keys of all of them. One that does not answer has none.
    pub(super) fn identities(&mut self) -> Vec<Identity> {
        let lists = self.0.iter_mut().map(Upstream::identities);
        lists.flatten().flatten().collect()
    }

    /// The signature of the one that has the key.
    pub(super) fn sign(&mut self, blob: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        let has = |upstream: &mut Upstream| {
            let keys = upstream.identities().unwrap_or_default();
            keys.iter().any(|(key, _)| key == blob)
        };
        let upstream = self.0.iter_mut().find_map(|it| has(it).then_some(it))?;
        upstream.ask(message)
    }

    /// What the first of them answers that does not refuse.
    pub(super) fn first(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let mut answers = self.0.iter_mut().filter_map(|it| it.ask(message));
        answers.find(|answer| answer.first() != Some(&FAILURE))
    }

    /// What every one of them has to know before it is asked for anything.
    pub(super) fn tell(&mut self, message: &[u8]) {
        for upstream in &mut self.0 {
            upstream.told.push(message.to_vec());
            if upstream.stream.is_some() {
                upstream.ask(message);
            }
        }
    }
}

impl Upstream {
    fn ask(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        if self.stream.is_none() {
            self.stream = UnixStream::connect(&self.path).ok();
            for earlier in self.told.clone() {
                self.exchange(&earlier);
            }
        }
        self.exchange(message)
    }

    fn exchange(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let stream = self.stream.as_mut()?;
        let answer = send(stream, message).and_then(|()| receive(stream));
        match answer {
            Ok(Some(answer)) => Some(answer.to_vec()),
            other => {
                log::warn!(
                    "the agent at {} does not answer: {other:?}",
                    self.path.display()
                );
                self.stream = None;
                None
            }
        }
    }

    fn identities(&mut self) -> Option<Vec<Identity>> {
        let answer = self.ask(&[REQUEST_IDENTITIES])?;
        parsed(&answer)
    }
}

fn parsed(answer: &[u8]) -> Option<Vec<Identity>> {
    let mut reader = Reader::new(answer);
    if reader.octet()? != IDENTITIES_ANSWER {
        return None;
    }
    let count = reader.u32()?;
    // Each takes its place in the answer: a count that lies ends where that ends.
    (0..count)
        .map(|_| Some((reader.string()?.to_vec(), reader.string()?.to_vec())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::wire::string;

    #[test]
    fn a_list_is_whole_or_none() {
        let one = [string(b"key"), string(b"comment")].concat();
        let list = [&[IDENTITIES_ANSWER, 0, 0, 0, 2][..], &one, &one].concat();
        assert_eq!(parsed(&list).unwrap().len(), 2);
        for length in 0..list.len() {
            assert!(parsed(&list[..length]).is_none(), "{length}");
        }
        let lying = [&[IDENTITIES_ANSWER, 0xff, 0xff, 0xff, 0xff][..], &one].concat();
        assert!(parsed(&lying).is_none());
    }
}
