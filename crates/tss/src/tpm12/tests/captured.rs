//! The arithmetic of authorizations against packets of other clients: `tests/data/tpm12/tcsd-packets.txt`.
#![forbid(unsafe_code)]

use super::constants::Ordinal;
use super::session::{RequestAuth, ResponseAuth, Session};
use super::*;

/// The packets of one direction with one name, in order.
fn packets(direction: &str, name: &str) -> Vec<Vec<u8>> {
    let text = String::from_utf8(data("tcsd-packets.txt")).unwrap();
    text.lines()
        .filter_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
            [_, way, call, packet] if way == direction && call == name => {
                Some(hex::decode(packet).unwrap())
            }
            _ => None,
        })
        .collect()
}

/// What a packet carries after its header and types.
fn values(packet: &[u8]) -> &[u8] {
    let offset = u32::from_be_bytes(packet[24..28].try_into().unwrap());
    &packet[offset as usize..]
}

fn nonce(bytes: &[u8]) -> [u8; 20] {
    bytes[..20].try_into().unwrap()
}

/// The nonce that tcsd gave with this session.
fn even_of(handle: &[u8]) -> [u8; 20] {
    packets("S>C", "OIAP")
        .iter()
        .find(|packet| values(packet)[..4] == *handle)
        .map(|packet| nonce(&values(packet)[4..]))
        .unwrap()
}

struct Captured {
    request: RequestAuth,
    even: [u8; 20],
    /// The parameters of the TPM's command.
    parameters: Vec<u8>,
}

/// A call whose authorization comes last, and whose parameters begin at `from`.
fn captured(packet: &[u8], from: usize) -> Captured {
    let values = values(packet);
    let (parameters, auth) = values.split_at(values.len() - 45);
    assert_eq!(auth[24], RequestAuth::CONTINUE);
    Captured {
        request: RequestAuth {
            handle: u32::from_be_bytes(auth[..4].try_into().unwrap()),
            odd: nonce(&auth[4..]),
            hmac: nonce(&auth[25..]),
        },
        even: even_of(&auth[..4]),
        parameters: parameters[from..].to_vec(),
    }
}

fn response(auth: &[u8]) -> ResponseAuth {
    ResponseAuth {
        even: nonce(auth),
        continues: auth[20],
        hmac: nonce(&auth[21..]),
    }
}

#[test]
fn both_directions_of_a_captured_load_key() {
    let requests = packets("C>S", "LoadKeyByBlob");
    let replies = packets("S>C", "LoadKeyByBlob");
    assert_eq!((requests.len(), replies.len()), (2, 2));
    for (request, reply) in requests.iter().zip(&replies) {
        // Context, parent and size, then the blob.
        let captured = captured(request, 12);
        let session = Session::oiap(
            captured.request.handle,
            captured.even,
            captured.request.odd,
            &zeros(),
        );
        assert_eq!(
            session.authorize(Ordinal::LOAD_KEY2, &captured.parameters),
            captured.request
        );
        // tcsd sends TPM_LoadKey2 to a TPM 1.2: with TPM_LoadKey the authorization is another.
        assert_ne!(
            session.authorize(Ordinal::LOAD_KEY, &captured.parameters),
            captured.request
        );
        let good = response(values(reply));
        assert!(session.verify(Ordinal::LOAD_KEY2, &[], &good));
        let wrong = ResponseAuth {
            hmac: good.hmac.map(|byte| byte ^ 1),
            ..good
        };
        assert!(!session.verify(Ordinal::LOAD_KEY2, &[], &wrong));
        assert!(!session.verify(Ordinal::LOAD_KEY2, &[0], &good));
    }
}

#[test]
fn both_directions_of_a_captured_signature() {
    let request = &packets("C>S", "Sign")[0];
    let reply = &packets("S>C", "Sign")[0];
    let captured = captured(request, 8);
    let secret = AuthValue::from_password(b"1234");
    let session = Session::oiap(
        captured.request.handle,
        captured.even,
        captured.request.odd,
        &secret,
    );
    assert_eq!(
        session.authorize(Ordinal::SIGN, &captured.parameters),
        captured.request
    );
    let values = values(reply);
    let (auth, signature) = values.split_at(41);
    assert!(session.verify(Ordinal::SIGN, signature, &response(auth)));
    let mut changed = signature.to_vec();
    changed[100] ^= 1;
    assert!(!session.verify(Ordinal::SIGN, &changed, &response(auth)));
}

#[test]
fn a_captured_creation_with_its_encrypted_secrets() {
    let osap_request = values(&packets("C>S", "OSAP")[0]).to_vec();
    let osap_reply = values(&packets("S>C", "OSAP")[0]).to_vec();
    let request = packets("C>S", "CreateWrapKey").remove(0);
    let reply = packets("S>C", "CreateWrapKey").remove(0);
    let odd_osap = nonce(&osap_request[10..]);
    let (even, even_osap) = (nonce(&osap_reply[4..]), nonce(&osap_reply[24..]));
    let values_of = values(&request);
    let (parameters, auth) = values_of.split_at(values_of.len() - 45);
    let odd = nonce(&auth[4..]);
    let session = Session::osap(
        u32::from_be_bytes(auth[..4].try_into().unwrap()),
        even,
        odd,
        (&even_osap, &odd_osap),
        &zeros(),
    );
    // The client gave the password 1234 and no migration secret.
    let [usage, _] = session.encrypt(&AuthValue::from_password(b"1234"), &zeros());
    assert_eq!(usage, parameters[8..28]);
    // The TPM's parameters: both secrets and the template, without the length tcsd has before it.
    let sent = [&parameters[8..48], &parameters[52..]].concat();
    assert_eq!(sent[40..], Template::signing(2048, true).to_bytes());
    let expected = session.authorize(Ordinal::CREATE_WRAP_KEY, &sent);
    assert_eq!(expected.hmac, nonce(&auth[25..]));
    let values_of = values(&reply);
    let (key, auth) = values_of.split_at(values_of.len() - 41);
    assert!(session.verify(Ordinal::CREATE_WRAP_KEY, &key[4..], &response(auth)));
    assert_eq!(KeyBlob::parse(&key[4..]).unwrap().usage(), Usage::SIGNING);
}

#[test]
fn key_files_of_other_tools_are_read() {
    for (name, usage, needs_auth, enc) in [
        ("tss.pem", Usage::LEGACY, false, EncScheme::PKCS1),
        ("tss-auth.pem", Usage::LEGACY, true, EncScheme::PKCS1),
        ("my.key", Usage::SIGNING, false, EncScheme::NONE),
    ] {
        let bytes = blob_of(name);
        let blob = KeyBlob::parse(&bytes).unwrap();
        assert_eq!((bytes.len(), blob.as_bytes()), (559, &bytes[..]), "{name}");
        assert_eq!(blob.format(), Format::Key);
        assert_eq!((blob.usage(), blob.needs_auth()), (usage, needs_auth));
        assert_eq!(
            (blob.enc_scheme(), blob.sig_scheme()),
            (enc, SigScheme::DER)
        );
        assert_eq!((blob.bits(), blob.exponent()), (2048, 65537));
    }
}
