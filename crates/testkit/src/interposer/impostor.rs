//! A TPM 2.0 in software that answers with the interposer's own keys: all that somebody can do who knows every
//! public thing about a TPM and no private one.

use super::area::{Area, attributes, qualified};
use super::crypto::{cfb_decrypt, kdfa, random, sha256};
use super::keys::{self, Own};
use super::loot::{Known, Learned, Loot, is_storage, qualified_primary};
use super::session::{Forgery, Session};
use super::wire::{self, Answer, Bytes, Command, NULL, PASSWORD, sized};
use crate::tpm::cc;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which parents it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parents {
    /// The true ones, whose public areas it knows. Salts to them it cannot read.
    True,
    /// One of its own in the place of each.
    Own,
    /// One of its own as the storage root key at 0x81000001; primaries are made by the TPM.
    OwnSrk,
}

/// What an impostor is like.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub parents: Parents,
    /// Whether it calls its keys by the names of those that they stand for, and not by their own.
    pub true_names: bool,
    /// Whether it has its keys loaded in the TPM too, so that the TPM vouches for their public halves.
    pub loads: bool,
    pub forgery: Forgery,
    /// Whether there is no TPM behind it to pass commands on to.
    pub alone: bool,
    /// Whether a raw private operation is meant to decrypt; else it signs.
    pub decrypting: bool,
}

struct Object {
    area: Area,
    name: Vec<u8>,
    qualified: Vec<u8>,
    /// `None` for a true parent.
    own: Option<Own>,
}

pub struct Impostor {
    manner: Manner,
    known: Arc<Known>,
    objects: BTreeMap<u32, Object>,
    sessions: BTreeMap<u32, Session>,
    /// Hash sequences.
    sequences: BTreeMap<u32, (u16, Vec<u8>)>,
    /// What saved contexts are of.
    contexts: Vec<(Vec<u8>, u32)>,
    next: u32,
    /// The PIN of the true key that stands behind an exchanged one, once it has been guessed.
    guessed: Option<Vec<u8>>,
}

const SRK: u32 = 0x8100_0001;
const OWNER: u32 = 0x4000_0001;
/// Handles that a TPM reaches late.
const FIRST: u32 = 0x0000_0030;
const TRANSIENT: u32 = 0x8000_0000;
const SESSION: u32 = 0x0200_0000;
const FAILURE: u32 = 0x101;
const COMMAND_CODE: u32 = 0x143;
const VALUE: u32 = 0x084;
const BAD_HANDLE: u32 = 0x18B;

type Result<T> = std::result::Result<T, u32>;

impl Impostor {
    pub fn new(manner: Manner, known: Arc<Known>) -> Self {
        Self {
            manner,
            known,
            objects: BTreeMap::new(),
            sessions: BTreeMap::new(),
            sequences: BTreeMap::new(),
            contexts: Vec::new(),
            next: FIRST,
            guessed: None,
        }
    }

    /// The value that it has guessed for a true key behind an exchanged one.
    pub fn guessed(&self) -> Option<&[u8]> {
        self.guessed.as_deref()
    }

    /// The key that it has the TPM vouch for where the module reads the one at `handle`.
    pub fn key_to_load(&mut self, handle: u32) -> Option<(Own, Area)> {
        if !self.manner.loads || !self.known.is_key(handle) {
            return None;
        }
        let object = self.object(handle)?;
        Some((object.own?, object.area.clone()))
    }

    /// Whether it answers a command itself.
    pub fn wants(&self, command: &Command) -> bool {
        if self.manner.alone {
            return true;
        }
        let first = command.handles.first().copied().unwrap_or_default();
        match command.code {
            cc::CREATE | cc::LOAD | cc::IMPORT => match self.manner.parents {
                Parents::OwnSrk => first == SRK,
                _ => true,
            },
            cc::CREATE_PRIMARY => self.manner.parents == Parents::Own,
            cc::FLUSH_CONTEXT => {
                let handle = Bytes(&command.parameters).u32().unwrap_or_default();
                self.objects.contains_key(&handle) || self.sessions.contains_key(&handle)
            }
            cc::CONTEXT_LOAD => self.contexts.iter().any(|(c, _)| *c == command.parameters),
            // It names nothing but the session.
            cc::PCR_READ => {
                let mut sessions = command.auths.iter().map(|auth| auth.session);
                sessions.any(|session| self.sessions.contains_key(&session))
            }
            cc::START_AUTH_SESSION => self.poses_as(first),
            cc::EVICT_CONTROL => command.handles.iter().any(|&handle| self.poses_as(handle)),
            _ => self.poses_as(first),
        }
    }

    /// Whether a handle is one of its own, or one that it answers for.
    fn poses_as(&self, handle: u32) -> bool {
        if self.objects.contains_key(&handle) {
            return true;
        }
        match self.manner.parents {
            Parents::True => self.known.is_key(handle),
            Parents::OwnSrk => handle == SRK,
            Parents::Own => self.known.persistent.contains_key(&handle),
        }
    }

    /// Answers a command.
    pub fn answer(&mut self, mut command: Command, loot: &mut Loot) -> Answer {
        let auths = command.auths.clone();
        // Its own names, and those of the true keys: whichever the module believes.
        let names: Vec<_> = command.handles.iter().map(|&h| self.names(h)).collect();
        let mut values = Vec::new();
        for auth in &auths {
            let value = if auth.session == PASSWORD {
                auth.hmac.clone()
            } else {
                let session = self
                    .sessions
                    .entry(auth.session)
                    .or_insert_with(Session::unknown);
                let guess = session.guess(&command, auth, &names, &self.known.dictionary);
                guess.value.unwrap_or_default()
            };
            if self.known.dictionary.contains(&value) {
                loot.learned.insert(Learned::Pin);
                self.guessed = Some(value.clone());
            }
            values.push(value);
        }
        for (auth, value) in auths.iter().zip(&values) {
            if let Some(session) = self.sessions.get(&auth.session) {
                session.open(&mut command, auth, value);
            }
        }
        self.known.notice(&command.parameters, loot);
        if let Some(private) = self.duplicate(&command) {
            self.known.notice(&private, loot);
        }
        let mut answer = match self.execute(&command) {
            Ok(answer) => answer,
            Err(rc) => return Answer::error(rc),
        };
        for (auth, value) in auths.iter().zip(&values) {
            answer.auths.push(if auth.session == PASSWORD {
                (Vec::new(), auth.attributes, Vec::new())
            } else {
                let session = self.sessions.get_mut(&auth.session).expect("found above");
                let parameters = &mut answer.parameters;
                session.close(command.code, auth, value, parameters, self.manner.forgery)
            });
        }
        answer
    }

    fn execute(&mut self, command: &Command) -> Result<Answer> {
        let mut bytes = Bytes(&command.parameters);
        match command.code {
            cc::START_AUTH_SESSION => self.start_session(command),
            cc::CREATE_PRIMARY => self.create_primary(command),
            cc::CREATE => self.create(command),
            cc::LOAD | wire::LOAD_EXTERNAL => self.load(command),
            cc::READ_PUBLIC => self.read_public(command.handles[0]),
            cc::SIGN => self.sign(command),
            cc::RSA_DECRYPT => self.rsa_decrypt(command),
            cc::ECDH_ZGEN => self.ecdh(command),
            wire::UNSEAL => Ok(Answer::parameters(sized(b"chosen by somebody"))),
            cc::IMPORT => Ok(Answer::parameters(sized(&random(140)))),
            cc::EVICT_CONTROL => Ok(Answer::default()),
            cc::FLUSH_CONTEXT => {
                let handle = bytes.u32().ok_or(VALUE)?;
                self.objects.remove(&handle);
                self.sessions.remove(&handle);
                Ok(Answer::default())
            }
            cc::CONTEXT_SAVE => self.save_context(command.handles[0]),
            cc::CONTEXT_LOAD => {
                let saved = self.contexts.iter().find(|c| c.0 == command.parameters);
                let handle = saved.ok_or(BAD_HANDLE)?.1;
                Ok(Answer::handle(handle, Vec::new()))
            }
            cc::HASH => {
                let message = bytes.sized().ok_or(VALUE)?;
                let algorithm = bytes.u16().ok_or(VALUE)?;
                hashed(algorithm, message)
            }
            wire::HASH_SEQUENCE_START => {
                bytes.sized().ok_or(VALUE)?;
                let handle = self.handle(TRANSIENT);
                let algorithm = bytes.u16().ok_or(VALUE)?;
                self.sequences.insert(handle, (algorithm, Vec::new()));
                Ok(Answer::handle(handle, Vec::new()))
            }
            wire::SEQUENCE_UPDATE => {
                let piece = bytes.sized().ok_or(VALUE)?;
                let sequence = self.sequences.get_mut(&command.handles[0]);
                sequence.ok_or(BAD_HANDLE)?.1.extend(piece);
                Ok(Answer::default())
            }
            wire::SEQUENCE_COMPLETE => {
                let piece = bytes.sized().ok_or(VALUE)?;
                let sequence = self.sequences.remove(&command.handles[0]);
                let (algorithm, mut message) = sequence.ok_or(BAD_HANDLE)?;
                message.extend(piece);
                hashed(algorithm, &message)
            }
            cc::GET_CAPABILITY => {
                let capability = bytes.take(4).ok_or(VALUE)?;
                Ok(Answer::parameters(
                    [&[0], capability, &0u32.to_be_bytes()].concat(),
                ))
            }
            cc::PCR_READ => {
                let one = [&1u32.to_be_bytes()[..], &sized(&[0x5A; 32])].concat();
                let values = [&1u32.to_be_bytes()[..], &command.parameters, &one].concat();
                Ok(Answer::parameters(values))
            }
            cc::GET_RANDOM => {
                let size = bytes.u16().ok_or(VALUE)?.min(32);
                Ok(Answer::parameters(sized(&random(size.into()))))
            }
            _ => Err(COMMAND_CODE),
        }
    }

    fn start_session(&mut self, command: &Command) -> Result<Answer> {
        let mut bytes = Bytes(&command.parameters);
        let nonce = bytes.sized().ok_or(VALUE)?;
        let encrypted = bytes.sized().ok_or(VALUE)?;
        let salt = match command.handles[0] {
            NULL => Some(Vec::new()),
            handle => {
                let object = self.object(handle).ok_or(BAD_HANDLE)?;
                let own = object.own;
                own.and_then(|own| own.decrypt_salt(&object.area, encrypted))
            }
        };
        let session = Session::start(salt, nonce);
        let answer = sized(session.nonce());
        let handle = self.handle(SESSION);
        self.sessions.insert(handle, session);
        Ok(Answer::handle(handle, answer))
    }

    fn create_primary(&mut self, command: &Command) -> Result<Answer> {
        let (template, creation) = self.creation(command).ok_or(VALUE)?;
        let (area, own) = match self.manner.parents {
            Parents::True => (self.known.parent().clone(), None),
            _ => (Own::Parent.in_place_of(&template), Some(Own::Parent)),
        };
        let object = Object {
            name: area.name(),
            qualified: qualified_primary(&area),
            area,
            own,
        };
        let answer = [
            sized(&object.area.bytes()),
            creation,
            sized(&object.name.clone()),
        ]
        .concat();
        let handle = self.handle(TRANSIENT);
        self.objects.insert(handle, object);
        Ok(Answer::handle(handle, answer))
    }

    fn create(&mut self, command: &Command) -> Result<Answer> {
        let (template, creation) = self.creation(command).ok_or(VALUE)?;
        if !keys::can_pose_as(&template) {
            return Err(VALUE);
        }
        let area = Own::like(&template).in_place_of(&template);
        let private = sized(&random(190));
        Ok(Answer::parameters(
            [private, sized(&area.bytes()), creation].concat(),
        ))
    }

    /// What is to be imported, in clear, if it was wrapped for a key of its own (Part 1, 23.3.2).
    fn duplicate(&mut self, command: &Command) -> Option<Vec<u8>> {
        if command.code != cc::IMPORT {
            return None;
        }
        let mut bytes = Bytes(&command.parameters);
        bytes.sized()?;
        let name = Area::read(bytes.sized()?)?.name();
        let mut outer = Bytes(bytes.sized()?);
        outer.sized()?;
        let encrypted = outer.0;
        let seed = bytes.sized()?;
        let parent = self.object(*command.handles.first()?)?;
        let seed = parent
            .own?
            .decrypt_secret(&parent.area, seed, "DUPLICATE")?;
        let keys = [kdfa(&seed, "STORAGE", &name, &[], 16), vec![0; 16]].concat();
        Some(cfb_decrypt(&keys, encrypted))
    }

    /// The template, and creation data, hash and ticket as a TPM would make them. Nobody can check the ticket but the
    /// TPM itself.
    fn creation(&mut self, command: &Command) -> Option<(Area, Vec<u8>)> {
        let mut bytes = Bytes(&command.parameters);
        bytes.sized()?;
        let template = Area::read(bytes.sized()?)?;
        let outside = bytes.sized()?;
        let selection = bytes.0.to_vec();
        let parent = command.handles[0];
        let (name, qualified_name) = match self.object(parent) {
            Some(parent) => (parent.name.clone(), parent.qualified.clone()),
            None if parent >> 24 == 0x40 => {
                (parent.to_be_bytes().to_vec(), parent.to_be_bytes().to_vec())
            }
            // A true primary, which the TPM has made.
            None => {
                let true_parent = self.known.parent();
                (true_parent.name(), qualified_primary(true_parent))
            }
        };
        let name_alg = if name.len() == 4 { NULL_ALG } else { SHA256 };
        let data = [
            &selection[..],
            &sized(&sha256(&[])),
            &[1],
            &name_alg,
            &sized(&name),
            &sized(&qualified_name),
            &sized(outside),
        ]
        .concat();
        let ticket = ticket(0x8021, &random(32));
        let creation = [sized(&data), sized(&sha256(&[&data])), ticket].concat();
        Some((template, creation))
    }

    fn load(&mut self, command: &Command) -> Result<Answer> {
        let mut bytes = Bytes(&command.parameters);
        bytes.sized().ok_or(VALUE)?;
        let area = bytes.sized().and_then(Area::read).ok_or(VALUE)?;
        // The name that is awaited, whatever key will answer.
        let name = area.name();
        let above = match command.handles.first() {
            Some(&parent) => self.object(parent).map(|parent| parent.qualified.clone()),
            None => None,
        };
        let above = above.unwrap_or_else(|| qualified_primary(self.known.parent()));
        let own = Own::like(&area);
        let object = Object {
            qualified: qualified(&above, &name),
            name: name.clone(),
            area,
            own: Some(own),
        };
        let handle = self.handle(TRANSIENT);
        self.objects.insert(handle, object);
        Ok(Answer::handle(handle, sized(&name)))
    }

    fn read_public(&mut self, handle: u32) -> Result<Answer> {
        let object = self.object(handle).ok_or(BAD_HANDLE)?;
        Ok(Answer::parameters(
            [
                sized(&object.area.bytes()),
                sized(&object.name),
                sized(&object.qualified),
            ]
            .concat(),
        ))
    }

    fn sign(&mut self, command: &Command) -> Result<Answer> {
        let mut bytes = Bytes(&command.parameters);
        let digest = bytes.sized().ok_or(VALUE)?;
        let object = self.object(command.handles[0]).ok_or(BAD_HANDLE)?;
        let scheme = if bytes.0.starts_with(&NULL_ALG) {
            &object.area.scheme[..]
        } else {
            bytes.0
        };
        let own = object.own.ok_or(BAD_HANDLE)?;
        let signature = own.sign(scheme, digest).ok_or(FAILURE)?;
        Ok(Answer::parameters(signature))
    }

    fn rsa_decrypt(&mut self, command: &Command) -> Result<Answer> {
        let mut bytes = Bytes(&command.parameters);
        let block = bytes.sized().ok_or(VALUE)?;
        let result = match self.manner.decrypting {
            true => Own::chosen_block(),
            false => Own::Rsa.raw(block),
        };
        Ok(Answer::parameters(sized(&result.ok_or(FAILURE)?)))
    }

    fn ecdh(&mut self, command: &Command) -> Result<Answer> {
        let mut bytes = Bytes(&command.parameters);
        let mut point = Bytes(bytes.sized().ok_or(VALUE)?);
        let (x, y) = (point.sized().ok_or(VALUE)?, point.sized().ok_or(VALUE)?);
        let [x, y] = Own::Ec.multiply(x, y).ok_or(VALUE)?;
        Ok(Answer::parameters(sized(&[sized(&x), sized(&y)].concat())))
    }

    fn save_context(&mut self, handle: u32) -> Result<Answer> {
        let context = [
            &random(8)[..],
            &handle.to_be_bytes(),
            &OWNER.to_be_bytes(),
            &sized(&random(200)),
        ]
        .concat();
        self.contexts.push((context.clone(), handle));
        Ok(Answer::parameters(context))
    }

    /// An object of its own; persistent ones come into being when they are first looked at.
    fn object(&mut self, handle: u32) -> Option<&Object> {
        if !self.objects.contains_key(&handle) {
            let area = match self.known.persistent.get(&handle) {
                Some(area) => area.clone(),
                // It claims to have a storage root key where the TPM has none.
                None if handle == SRK && self.manner.parents == Parents::OwnSrk => {
                    self.known.parent().clone()
                }
                None => return None,
            };
            let object = self.exchanged(&area);
            self.objects.insert(handle, object);
        }
        self.objects.get(&handle)
    }

    fn exchanged(&self, area: &Area) -> Object {
        let storage = is_storage(area);
        let own = match (storage, self.manner.parents) {
            (true, Parents::True) => None,
            (true, _) => Some(Own::Parent),
            (false, _) => Some(Own::like(area)),
        };
        let mut shown = own.map_or_else(|| area.clone(), |own| own.in_place_of(area));
        if self.manner.loads && !storage {
            // What the TPM demands of keys that come from outside.
            const ORIGIN: u32 = 1 << 5;
            shown.attributes &= !(attributes::FIXED_TPM | attributes::FIXED_PARENT | ORIGIN);
        }
        let named = if self.manner.true_names { area } else { &shown };
        let name = named.name();
        let qualified = match storage {
            true => qualified_primary(named),
            false => qualified(&qualified_primary(self.known.parent()), &name),
        };
        Object {
            area: shown,
            name,
            qualified,
            own,
        }
    }

    /// The names by which the module may know a handle.
    fn names(&mut self, handle: u32) -> Vec<Vec<u8>> {
        let mut names = vec![handle.to_be_bytes().to_vec()];
        if let Some(object) = self.object(handle) {
            names.push(object.name.clone());
            names.push(object.area.name());
        }
        if let Some(area) = self.known.persistent.get(&handle) {
            names.push(area.name());
        }
        names.push(self.known.parent().name());
        names
    }

    fn handle(&mut self, range: u32) -> u32 {
        self.next += 1;
        range | self.next
    }
}

/// TPM_ALG_NULL and TPM_ALG_SHA256.
const NULL_ALG: [u8; 2] = [0x00, 0x10];
const SHA256: [u8; 2] = [0x00, 0x0B];

fn ticket(tag: u16, digest: &[u8]) -> Vec<u8> {
    [&tag.to_be_bytes()[..], &OWNER.to_be_bytes(), &sized(digest)].concat()
}

/// A digest and the ticket that says that the TPM made it.
fn hashed(algorithm: u16, message: &[u8]) -> Result<Answer> {
    let digest = keys::hash(algorithm, message).ok_or(VALUE)?;
    Ok(Answer::parameters(
        [sized(&digest), ticket(0x8024, &random(32))].concat(),
    ))
}
