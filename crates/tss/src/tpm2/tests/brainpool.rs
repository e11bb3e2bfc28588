//! Curves that no simulator has: a scripted TPM with a Brainpool key, whose answers are OpenSSL's.
#![forbid(unsafe_code)]

use crypto::ecdsa::EcPublic;
use openssl::bn::{BigNum, BigNumContext};
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};

use super::*;

const KEY: u32 = 0x8100_0042;

/// A TPM with one persistent key that signs and agrees, and asks for an empty password.
struct Scripted(EcKey<Private>);

impl Connect for Scripted {
    fn begin(&mut self, _: Option<Duration>) -> Result<Box<dyn Exchange + '_>, TransportError> {
        Ok(Box::new(ScriptedExchange(&self.0)))
    }

    fn release(&mut self) {}
}

struct ScriptedExchange<'a>(&'a EcKey<Private>);

/// A `TPM2B` at the beginning of `bytes`, and what is behind it.
fn tpm2b(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (size, rest) = bytes.split_at(2);
    rest.split_at(u16::from_be_bytes(size.try_into().unwrap()).into())
}

fn to_tpm2b(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).unwrap();
    [&size.to_be_bytes()[..], bytes].concat()
}

impl Exchange for ScriptedExchange<'_> {
    fn transact(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        assert_eq!(command[10..14], KEY.to_be_bytes());
        let authorizations = u32::from_be_bytes(command[14..18].try_into().unwrap());
        let parameters = &command[18 + authorizations as usize..];
        let code = CommandCode(u32::from_be_bytes(command[6..10].try_into().unwrap()));
        let answer = match code {
            CommandCode::SIGN => {
                let (digest, rest) = tpm2b(parameters);
                // ECDSA with SHA-512.
                assert_eq!(rest[..4], [0, 0x18, 0, 0x0d]);
                let signature = EcdsaSig::sign(digest, self.0).unwrap();
                let [r, s] = [signature.r(), signature.s()].map(|part| to_tpm2b(&part.to_vec()));
                [&rest[..4], &r, &s].concat()
            }
            CommandCode::ECDH_ZGEN => {
                let (point, _) = tpm2b(parameters);
                let (x, rest) = tpm2b(point);
                let (y, _) = tpm2b(rest);
                let [x, y] = [x, y].map(|part| BigNum::from_slice(part).unwrap());
                let peer = EcKey::from_public_key_affine_coordinates(self.0.group(), &x, &y);
                let peer = PKey::from_ec_key(peer.unwrap()).unwrap();
                let own = PKey::from_ec_key(self.0.clone()).unwrap();
                let mut deriver = Deriver::new(&own).unwrap();
                deriver.set_peer(&peer).unwrap();
                let z = to_tpm2b(&deriver.derive_to_vec().unwrap());
                to_tpm2b(&[&z[..], &to_tpm2b(&[0])].concat())
            }
            other => panic!("{other} is not in the script"),
        };
        // An empty nonce, continueSession, an empty HMAC: what a password is answered with.
        let tail = [0, 0, 1, 0, 0];
        let parameters = u32::try_from(answer.len()).unwrap().to_be_bytes();
        let size = u32::try_from(14 + answer.len() + tail.len()).unwrap();
        let head = [&[0x80, 2][..], &size.to_be_bytes(), &[0; 4], &parameters].concat();
        Ok(Zeroizing::new([&head[..], &answer, &tail].concat()))
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

/// The coordinates, as long as the curve has them.
fn coordinates(key: &EcKey<Private>, size: i32) -> (Vec<u8>, Vec<u8>) {
    let mut context = BigNumContext::new().unwrap();
    let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
    key.public_key()
        .affine_coordinates(key.group(), &mut x, &mut y, &mut context)
        .unwrap();
    (
        x.to_vec_padded(size).unwrap(),
        y.to_vec_padded(size).unwrap(),
    )
}

#[test]
fn a_brainpool_key_signs_and_agrees() {
    for (nid, curve, software) in [
        (
            Nid::BRAINPOOL_P256R1,
            Curve::BP_P256_R1,
            crypto::Curve::BrainpoolP256,
        ),
        (
            Nid::BRAINPOOL_P384R1,
            Curve::BP_P384_R1,
            crypto::Curve::BrainpoolP384,
        ),
        (
            Nid::BRAINPOOL_P512R1,
            Curve::BP_P512_R1,
            crypto::Curve::BrainpoolP512,
        ),
    ] {
        let group = EcGroup::from_curve_name(nid).unwrap();
        let key = EcKey::generate(&group).unwrap();
        let size = i32::try_from(software.size()).unwrap();
        let (x, y) = coordinates(&key, size);
        let usage = Attributes::SIGN.with(Attributes::DECRYPT);
        // A public area as such a TPM would hand it out, through our own reader.
        let template =
            Public::ecc_template(curve, Public::key_attributes(usage), Scheme::Null).unwrap();
        let bare = template.to_tpmt();
        let (head, unique) = bare.split_at(bare.len() - 4);
        assert_eq!(unique, [0; 4]);
        let area = [head, &to_tpm2b(&x), &to_tpm2b(&y)].concat();
        let public = Public::from_tpmt(&area).unwrap();
        let object = Object {
            name: public.name().unwrap(),
            public,
            source: Source::Persistent(KEY),
        };

        let directory = tempfile::tempdir().unwrap();
        let address = format!("swtpm:path={}/none", directory.path().display());
        let endpoint =
            Endpoint::new(address.parse().unwrap(), Origin::Environment("TPM_TCTI")).unwrap();
        let scripted = key.clone();
        let connect = move || Box::new(Scripted(scripted.clone())) as Box<dyn Connect>;
        let client = Client::with_connector(endpoint, options(Sessions::Never), connect);

        let half = EcPublic::new(software, &x, &y).unwrap();
        let digest = crypto::hash(Hash::Sha512, &[b"message"]);
        let scheme = SignScheme::Ecdsa(AlgId::SHA512);
        let Signature::Ecc { r, s, .. } = client
            .sign(&object, &Secret::empty(), scheme, &digest)
            .unwrap()
        else {
            panic!("not a signature on a curve");
        };
        assert!(half.verify(&digest, &r, &s), "{software}");
        assert!(!half.verify(&digest, &s, &r));

        let peer = EcKey::generate(&group).unwrap();
        let (peer_x, peer_y) = coordinates(&peer, size);
        let (z, _) = client
            .ecdh_z(&object, &Secret::empty(), &peer_x, &peer_y)
            .unwrap();
        let (own, peer) = (
            PKey::from_ec_key(key).unwrap(),
            PKey::from_ec_key(peer).unwrap(),
        );
        let mut deriver = Deriver::new(&peer).unwrap();
        deriver.set_peer(&own).unwrap();
        assert_eq!(**z, deriver.derive_to_vec().unwrap());
    }
}
