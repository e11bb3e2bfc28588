//! A TPM 1.2 in software: what an interposer says who would rather be asked in the older language, where whoever
//! knows the storage root key's secret, which is well known, can authorize every answer.

use super::crypto::{digest, hmac, random};
use super::keys::Own;
use super::loot::{Known, Learned, Loot};
use super::wire::Bytes;
use openssl::hash::MessageDigest;
use std::collections::BTreeMap;
use std::sync::Arc;

const OSAP: u32 = 0x0B;
const CREATE_WRAP_KEY: u32 = 0x1F;
/// The secret that `tpm_takeownership -z` gives the storage root key.
const WELL_KNOWN: [u8; 20] = [0; 20];
const BAD_TAG: u32 = 0x1E;
const FAIL: u32 = 0x09;

pub struct Impostor12 {
    known: Arc<Known>,
    /// Shared secret and even nonce of each OSAP session.
    sessions: BTreeMap<u32, (Vec<u8>, Vec<u8>)>,
}

impl Impostor12 {
    pub fn new(known: Arc<Known>) -> Self {
        Self {
            known,
            sessions: BTreeMap::new(),
        }
    }

    /// Answers any command, of either family.
    pub fn answer(&mut self, frame: &[u8], loot: &mut Loot) -> Vec<u8> {
        if frame.first() != Some(&0x00) {
            // What a TPM 1.2 says to a command of TPM 2.0.
            return error(BAD_TAG);
        }
        loot.strike();
        let ordinal = u32::from_be_bytes(frame[6..10].try_into().expect("four bytes"));
        let body = &frame[10..];
        let answer = match ordinal {
            OSAP => self.osap(body),
            CREATE_WRAP_KEY => self.create(body, loot),
            _ => None,
        };
        answer.unwrap_or_else(|| error(FAIL))
    }

    fn osap(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = Bytes(body);
        bytes.take(6)?;
        let odd = bytes.take(20)?;
        let (even, even_osap) = (random(20), random(20));
        let shared = hmac(MessageDigest::sha1(), &WELL_KNOWN, &[&even_osap, odd]);
        let handle = 7 + u32::try_from(self.sessions.len()).ok()?;
        let out = [&handle.to_be_bytes()[..], &even, &even_osap].concat();
        self.sessions.insert(handle, (shared, even));
        Some(answer(0xC4, &out))
    }

    fn create(&mut self, body: &[u8], loot: &mut Loot) -> Option<Vec<u8>> {
        let (inner, auth) = body.split_at_checked(body.len().checked_sub(45)?)?;
        let mut auth = Bytes(auth);
        let (handle, odd) = (auth.u32()?, auth.take(20)?);
        let (shared, even) = self.sessions.get(&handle)?;
        let mut inner = Bytes(inner);
        inner.u32()?;
        self.read_value(inner.take(20)?, shared, even, loot);
        inner.take(20)?;
        let key = wrapped(inner.0)?;
        let even = random(20);
        let hash = digest(
            MessageDigest::sha1(),
            &[&[0; 4], &CREATE_WRAP_KEY.to_be_bytes(), &key],
        );
        let mac = hmac(MessageDigest::sha1(), shared, &[&hash, &even, odd, &[0]]);
        Some(answer(0xC5, &[&key[..], &even, &[0], &mac].concat()))
    }

    /// The new key's value was XORed with a digest of what both sides share.
    fn read_value(&self, sealed: &[u8], shared: &[u8], even: &[u8], loot: &mut Loot) {
        let mask = digest(MessageDigest::sha1(), &[shared, even]);
        let value: Vec<u8> = sealed.iter().zip(&mask).map(|(s, m)| s ^ m).collect();
        let fits = |guess: &Vec<u8>| digest(MessageDigest::sha1(), &[guess]) == value;
        if self.known.dictionary.iter().any(fits) {
            loot.learned.insert(Learned::Pin);
        }
    }
}

/// A `TPM_KEY` as the template has it, with the interposer's modulus.
fn wrapped(template: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Bytes(template);
    // Version, usage, flags, whether a value is needed; algorithm and schemes.
    bytes.take(11)?;
    bytes.take(8)?;
    let parameters = bytes.u32()?;
    bytes.take(parameters as usize)?;
    let pcrs = bytes.u32()?;
    bytes.take(pcrs as usize)?;
    let head = &template[..template.len() - bytes.0.len()];
    let sized = |part: &[u8]| {
        let size = u32::try_from(part.len()).expect("short").to_be_bytes();
        [&size[..], part].concat()
    };
    Some([head, &sized(&Own::Rsa.unique()[0]), &sized(&random(256))].concat())
}

fn answer(tag: u16, body: &[u8]) -> Vec<u8> {
    crate::tpm::command(tag, 0, body)
}

fn error(code: u32) -> Vec<u8> {
    crate::tpm::command(0xC4, code, &[])
}
