//! More than one session in a command: whose value is where, which nonces an HMAC covers, who encrypts.
#![forbid(unsafe_code)]

use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::symm::{Cipher, decrypt, encrypt};

use super::commands::signing::Sign;
use super::session::cache::SessionId;
use super::session::{AuthSession, Opening, Purpose, attribute};
use super::transaction::exchange::Exchange;
use super::transaction::exec::{Authorization, execute};
use super::wire::{Malformed, Reader, Writer};
use super::*;
use crate::ErrorKind;
use crate::tpm2::transaction::keys::Use;

const DECRYPT: u8 = attribute::DECRYPT;
const ENCRYPT: u8 = attribute::ENCRYPT;
const CONTINUE: u8 = attribute::CONTINUE;

pub(super) const CERTIFY: CommandCode = CommandCode(0x148);

/// TPM2_Certify (Part 3, 18.2): both of its handles are authorized.
struct Certify {
    object: Entity,
    key: Entity,
    data: Vec<u8>,
}

impl commands::Request for Certify {
    type Response = (Vec<u8>, Signature);
    const CODE: CommandCode = CERTIFY;

    fn handles(&self) -> Vec<Entity> {
        vec![self.object.clone(), self.key.clone()]
    }

    fn parameters(&self, writer: &mut Writer) {
        writer.tpm2b(&self.data);
        Scheme::Hashed(AlgId::ECDSA, AlgId::SHA256).write(writer);
    }

    fn parse(&self, _: u32, reader: &mut Reader<'_>) -> Result<Self::Response, Malformed> {
        let attested = reader.tpm2b()?.to_vec();
        let sign = Sign {
            key: self.key.clone(),
            digest: &[],
            scheme: Scheme::Null,
            ticket: commands::hash::Ticket::null(),
        };
        Ok((attested, sign.parse(0, reader)?))
    }
}

/// HMAC-SHA256 (FIPS 198-1) as it is written there.
fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let sha256 = openssl::sha::sha256;
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |byte: u8| block.map(|key| key ^ byte);
    let inner = sha256(&[&pad(0x36)[..], data].concat());
    sha256(&[&pad(0x5c)[..], &inner].concat()).to_vec()
}

/// KDFa (Part 1, 11.4.10.2), for no more than one block.
fn kdfa(key: &[u8], label: &str, u: &[u8], v: &[u8], bits: u32) -> Vec<u8> {
    let numbers = [1u32.to_be_bytes(), bits.to_be_bytes()];
    let data = [&numbers[0], label.as_bytes(), &[0], u, v, &numbers[1]].concat();
    hmac(key, &data)[..bits as usize / 8].to_vec()
}

/// What the TPM knows of a session: its key, and the value of the entity that it authorizes.
struct Known {
    handle: u32,
    key: Vec<u8>,
    value: &'static [u8],
    nonce: [u8; 32],
}

impl Known {
    fn cipher(&self, newer: &[u8], older: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let key = [&self.key, self.value].concat();
        let mut key = kdfa(&key, "CFB", newer, older, 256);
        let iv = key.split_off(16);
        (key, iv)
    }

    fn hmac(&self, parts: &[&[u8]]) -> Vec<u8> {
        hmac(&[&self.key, self.value].concat(), &parts.concat())
    }
}

/// A TPM that computes everything for itself, as Part 1 has it (17 and 19.6.5).
struct Independent {
    names: Vec<u8>,
    /// By the command's order; `None` for a password.
    sessions: Vec<Option<Known>>,
    received: Vec<u8>,
}

impl Exchange for Independent {
    fn transact(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        assert_eq!(command[..2], [0x80, 2]);
        let mut reader = Reader::new(&command[10 + 8..], "command");
        let size = reader.u32().unwrap() as usize;
        let mut area = Reader::new(reader.bytes(size).unwrap(), "area");
        let parameters = reader.rest();
        let cp_hash =
            openssl::sha::sha256(&[&command[6..10], &self.names[..], parameters].concat());
        let mut entries = Vec::new();
        while area.left() > 0 {
            let handle = area.u32().unwrap();
            let nonce = area.tpm2b().unwrap();
            entries.push((handle, nonce, area.u8().unwrap(), area.tpm2b().unwrap()));
        }
        assert_eq!(entries.len(), self.sessions.len());
        let with = |bit| {
            let found = |(_, _, attributes, _): &(u32, &[u8], u8, &[u8])| attributes & bit != 0;
            // The attributes of a password say that it continues, and no more.
            entries.iter().position(found)
        };
        let (decrypts, encrypts) = (with(DECRYPT), with(ENCRYPT));
        for (index, (handle, nonce, attributes, proof)) in entries.iter().enumerate() {
            let Some(session) = &self.sessions[index] else {
                assert_eq!(
                    (*handle, *nonce, *proof),
                    (0x4000_0009, &[][..], &b"pw"[..])
                );
                continue;
            };
            assert_eq!(*handle, session.handle);
            let mut others = Vec::new();
            if index == 0 {
                if let Some(place) = decrypts.filter(|&place| place != 0) {
                    others.extend(self.sessions[place].as_ref().unwrap().nonce);
                }
                if let Some(place) = encrypts.filter(|&place| place != 0 && encrypts != decrypts) {
                    others.extend(self.sessions[place].as_ref().unwrap().nonce);
                }
            }
            let covered = [&cp_hash[..], nonce, &session.nonce, &others, &[*attributes]];
            assert_eq!(session.hmac(&covered), *proof, "session {index}");
        }
        let (size, data) = parameters.split_at(2);
        let (data, _) = data.split_at(usize::from(u16::from_be_bytes([size[0], size[1]])));
        self.received = match decrypts {
            Some(place) => {
                let session = self.sessions[place].as_ref().unwrap();
                let (key, iv) = session.cipher(entries[place].1, &session.nonce);
                decrypt(Cipher::aes_128_cfb128(), &key, Some(&iv), data).unwrap()
            }
            None => data.to_vec(),
        };

        // The answer: every session gets a new nonce.
        for session in self.sessions.iter_mut().flatten() {
            session.nonce = session.nonce.map(|byte| byte ^ 0xff);
        }
        let mut attested = b"attested".to_vec();
        if let Some(place) = encrypts {
            let session = self.sessions[place].as_ref().unwrap();
            let (key, iv) = session.cipher(&session.nonce, entries[place].1);
            attested = encrypt(Cipher::aes_128_cfb128(), &key, Some(&iv), &attested).unwrap();
        }
        let mut parameters = [&[0, 8], &attested[..]].concat();
        parameters.extend([0, 0x14, 0, 0x0b, 0, 1, 0xaa]);
        let rp_hash = openssl::sha::sha256(&[&[0; 4], &command[6..10], &parameters[..]].concat());
        let mut body = (parameters.len() as u32).to_be_bytes().to_vec();
        body.extend(&parameters);
        for (session, (_, nonce, attributes, _)) in self.sessions.iter().zip(&entries) {
            match session {
                None => body.extend([0, 0, 1, 0, 0]),
                Some(session) => {
                    let covered = [&rp_hash[..], &session.nonce, nonce, &[*attributes]];
                    let proof = session.hmac(&covered);
                    body.extend([0, 32]);
                    body.extend(session.nonce);
                    body.extend([*attributes, 0, 32]);
                    body.extend(proof);
                }
            }
        }
        let size = (10 + body.len() as u32).to_be_bytes();
        Ok(Zeroizing::new(
            [&[0x80, 2], &size[..], &[0; 4], &body].concat(),
        ))
    }

    fn continuity(&self) -> Continuity {
        Continuity::Kept
    }

    fn sharing(&self) -> Sharing {
        Sharing::Managed
    }

    fn record(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn set_record(&mut self, _: &[u8]) {}
}

/// A session salted to an RSA key whose private half is here, and what its holder makes of that.
fn salted(number: u8, value: &'static [u8]) -> (AuthSession, Known) {
    let rsa = openssl::rsa::Rsa::generate(2048).unwrap();
    let template = rsa_decrypt();
    let public = Public::assemble(
        AlgId::SHA256,
        template.attributes(),
        &[],
        template.parms().clone(),
        Unique::Rsa(rsa.n().to_vec()),
    )
    .unwrap();
    let key = Entity::object(0x8000_0000, public.name().unwrap());
    let opening = Opening::new(Purpose::Hmac, Some((key, &public))).unwrap();
    let private = openssl::pkey::PKey::from_rsa(rsa).unwrap();
    let mut context = PkeyCtx::new(&private).unwrap();
    context.decrypt_init().unwrap();
    context.set_rsa_padding(Padding::PKCS1_OAEP).unwrap();
    context.set_rsa_oaep_md(openssl::md::Md::sha256()).unwrap();
    context.set_rsa_mgf1_md(openssl::md::Md::sha256()).unwrap();
    context.set_rsa_oaep_label(b"SECRET\0").unwrap();
    let mut salt = Vec::new();
    let request = opening.request();
    context
        .decrypt_to_vec(request.encrypted_salt, &mut salt)
        .unwrap();
    let nonce = [number; 32];
    let known = Known {
        handle: 0x0200_0000 + u32::from(number),
        key: kdfa(&salt, "ATH", &nonce, request.nonce, 256),
        value,
        nonce,
    };
    let session = opening.complete(commands::session::StartedSession {
        handle: known.handle,
        nonce: nonce.to_vec(),
    });
    (session, known)
}

/// Every place for the two sessions that encrypt, beside a password as well: the command and its answer are what
/// code that was written from the specification expects, twice, so that the nonces go on as they should.
#[test]
fn what_sessions_cover_is_what_the_specification_says() {
    let lists: &[&[Option<u8>]] = &[
        &[Some(CONTINUE | DECRYPT | ENCRYPT)],
        &[Some(CONTINUE), Some(CONTINUE)],
        &[Some(CONTINUE | DECRYPT | ENCRYPT), Some(CONTINUE)],
        &[Some(CONTINUE), Some(CONTINUE | DECRYPT | ENCRYPT)],
        &[Some(CONTINUE | DECRYPT), Some(CONTINUE | ENCRYPT)],
        &[Some(CONTINUE | ENCRYPT), Some(CONTINUE | DECRYPT)],
        &[
            Some(CONTINUE),
            Some(CONTINUE | DECRYPT),
            Some(CONTINUE | ENCRYPT),
        ],
        &[
            Some(CONTINUE),
            Some(CONTINUE | ENCRYPT),
            Some(CONTINUE | DECRYPT),
        ],
        &[None, Some(CONTINUE | DECRYPT | ENCRYPT)],
        &[None, Some(CONTINUE), Some(CONTINUE | DECRYPT | ENCRYPT)],
    ];
    let entity =
        |byte| Entity::object(0x8000_0000 + u32::from(byte), Name::from_bytes(&[byte; 34]));
    // A zero at the end does not count.
    let values: [&[u8]; 3] = [b"first", b"second\0", b""];
    let counting: [&[u8]; 3] = [b"first", b"second", b""];
    for list in lists {
        let mut sessions = Vec::new();
        let mut known = Vec::new();
        for (index, attributes) in list.iter().enumerate() {
            let made = attributes.map(|_| salted(index as u8 + 1, counting[index]));
            let (session, knows) = made.unzip();
            sessions.push(session);
            known.push(knows);
        }
        let request = Certify {
            object: entity(1),
            key: entity(2),
            data: b"qualifying data".to_vec(),
        };
        let mut tpm = Independent {
            names: [[1; 34], [2; 34]].concat(),
            sessions: known,
            received: Vec::new(),
        };
        for _ in 0..2 {
            let secrets = [Secret::from(values[0]), values[1].into(), values[2].into()];
            let password = Secret::from(&b"pw"[..]);
            let mut authorizations: Vec<_> = sessions
                .iter_mut()
                .zip(*list)
                .zip(&secrets)
                .map(|((session, attributes), auth)| match session {
                    Some(session) => Authorization::Session {
                        session,
                        auth,
                        attributes: attributes.unwrap(),
                    },
                    None => Authorization::Password(&password),
                })
                .collect();
            let (attested, _) = execute(&mut tpm, &request, &mut authorizations).unwrap();
            assert_eq!(attested, b"attested");
            assert_eq!(tpm.received, b"qualifying data");
        }
    }
}

/// Two keys with values of their own in one command of a TPM, which checks every HMAC; whoever encrypts what.
#[test]
fn two_handles_are_authorized_by_a_session_each() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Never);
    let object = make(&client, &owner(), &sign_only(), PIN);
    let key = make(&client, &owner(), &sign_only(), b"another value");
    let certify = |first: (&[u8], u8), second: (&[u8], u8)| {
        client.with(|tpm| {
            let none = Secret::empty();
            tpm.with_key(
                &object,
                (&none).into(),
                Use::open(CommandCode::SIGN),
                |tpm, object, _| {
                    tpm.with_key(
                        &key,
                        (&none).into(),
                        Use::open(CommandCode::SIGN),
                        |tpm, key, _| {
                            let values = [Secret::from(first.0), second.0.into()];
                            let authorities = [
                                Authority::Session {
                                    id: tpm.salted_to(&owner(), Purpose::Hmac)?,
                                    auth: &values[0],
                                    attributes: first.1,
                                },
                                Authority::Session {
                                    id: tpm.session(Purpose::Hmac, None)?,
                                    auth: &values[1],
                                    attributes: second.1,
                                },
                            ];
                            let request = Certify {
                                object: object.clone(),
                                key: key.clone(),
                                data: b"qualifying data".to_vec(),
                            };
                            tpm.run(&request, &authorities)
                        },
                    )
                },
            )
        })
    };
    log.take();
    for (one, other) in [
        (0, 0),
        (DECRYPT | ENCRYPT, 0),
        (0, DECRYPT | ENCRYPT),
        (DECRYPT, ENCRYPT),
        (ENCRYPT, DECRYPT),
    ] {
        log.carried(PIN);
        let (attested, signature) = certify((PIN, one), (b"another value", other)).unwrap();
        let in_clear = (one | other) & DECRYPT == 0;
        assert_eq!(log.carried(b"qualifying data"), in_clear);
        let name = object.name.as_bytes();
        assert!(attested.windows(name.len()).any(|window| window == name));
        let digest = crypto::hash(Hash::Sha256, &[&attested]);
        assert!(is_good(&key, &digest, &signature));
    }
    // Whose value is wrong shows in the answer, and neither is tried for the other.
    let wrong: [(&[u8], &[u8], u8); 2] = [(b"no", b"another value", 1), (PIN, PIN, 2)];
    for (first, second, place) in wrong {
        let error = certify((first, 0), (second, 0)).unwrap_err();
        let ErrorKind::WrongAuth { code, .. } = error.kind() else {
            panic!("{error}")
        };
        assert_eq!(code.subject(), Subject::Session(place));
    }
    client.release();
    simulator.assert_empty();
}

/// A password authorizes, and a session beside it keeps the new key's value off the bus.
#[test]
fn a_session_encrypts_beside_a_password() {
    let simulator = Simulator::new();
    simulator.provision();
    let (client, log) = simulator.client(Sessions::Auto);
    let (none, pin) = (Secret::empty(), Secret::from(PIN));
    let created = client.with(|tpm| {
        let parent_handle = tpm.parent(&owner(), true)?;
        let authorities = [
            Authority::Password(&none),
            Authority::Session {
                id: tpm.parent_session(&parent_handle, Purpose::Hmac)?,
                auth: &none,
                attributes: DECRYPT | ENCRYPT,
            },
        ];
        let request = commands::object::Create {
            parent: parent_handle.entity.clone(),
            auth: &pin,
            data: &none,
            template: &sign_only(),
        };
        tpm.run(&request, &authorities)
    });
    let created = created.unwrap();
    log.expect("ReadPublic StartAuthSession Create");
    assert!(!log.carried(PIN) && !log.carried(&created.private));
    let key = Object::from_blob(created.public, created.private, owner()).unwrap();
    sign(&client, &key, PIN);
    client.release();
    simulator.assert_empty();
}

#[test]
fn no_session_is_twice_in_a_command() {
    let simulator = Simulator::new();
    let (client, log) = simulator.client(Sessions::Auto);
    let none = Secret::empty();
    let twice = || Authority::Session {
        id: SessionId::Unsalted(Purpose::Hmac),
        auth: &none,
        attributes: 0,
    };
    let run = client.with(|tpm| {
        tpm.session(Purpose::Hmac, None)?;
        tpm.run(
            &commands::random::GetRandom { count: 8 },
            &[twice(), twice()],
        )
    });
    assert!(run.unwrap_err().to_string().contains("session ended"));
    log.expect("StartAuthSession FlushContext");
}
