//! Streams, as far as they need no TPM: what is refused, and what OpenSSL makes of the public half.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crypto::ecdsa::EcPublic;
use crypto::{Curve, Hash};
use openssl::encrypt::Decrypter;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Padding as Theirs;
use openssl::sign::{RsaPssSaltlen, Signer as TheirSigner};

use super::*;
use crate::testing::{
    BOTH, DECRYPT, ECDSA_SHA384, FREE, RESTRICTED, RSAPSS_SHA256, RSASSA_SHA256, SIGN, ec, rsa,
};
use crate::{Error, Key, PublicKey};

/// A stream set up for `purpose`.
fn stream(algorithm: Algorithm, signer: Signer, purpose: Purpose) -> SignatureStream {
    let mut stream = SignatureStream::new(algorithm);
    stream.reset(Some(signer)).unwrap();
    stream.start(purpose, None).unwrap();
    stream
}

fn rsa_stream(key: &Arc<Key>, purpose: Purpose) -> SignatureStream {
    stream(Algorithm::Rsa, Signer::Key(Arc::clone(key)), purpose)
}

fn says<T>(result: Result<T, Error>, part: &str) {
    let error = result.err().expect(part).to_string();
    assert!(error.contains(part), "{part} in {error}");
}

/// OpenSSL's signature of a message, with PSS and that salt if one is given.
fn signed(key: &PKey<Private>, message: &[u8], salt: Option<i32>) -> Vec<u8> {
    let mut signer = TheirSigner::new(MessageDigest::sha256(), key).unwrap();
    if let Some(length) = salt {
        signer.set_rsa_padding(Theirs::PKCS1_PSS).unwrap();
        signer
            .set_rsa_pss_saltlen(RsaPssSaltlen::custom(length))
            .unwrap();
    }
    signer.sign_oneshot_to_vec(message).unwrap()
}

#[test]
fn a_message_in_pieces_is_verified() {
    let (key, software) = rsa(BOTH, FREE);
    let key = Arc::new(key);
    let signature = signed(&software, b"a message", None);
    let mut verifying = rsa_stream(&key, Purpose::DigestVerify);
    assert_eq!(verifying.parts().hash, Some(Hash::Sha256));
    verifying.update(b"a mes").unwrap();
    let mut copy = verifying.clone();
    verifying.update(b"sage").unwrap();
    assert!(verifying.finish_verify(&signature).unwrap());
    // The copy has gone on from where it was made, and a stream that has ended takes nothing more.
    copy.update(b"SAGE").unwrap();
    assert!(!copy.finish_verify(&signature).unwrap());
    says(copy.update(b"more"), "not initialised to hash a message");

    let digest = crypto::hash(Hash::Sha256, &[b"a message"]);
    let mut verifying = rsa_stream(&key, Purpose::Verify);
    let parts = SchemeParts {
        hash: Some(Hash::Sha256),
        ..*verifying.parts()
    };
    verifying.set_parts(parts).unwrap();
    assert!(verifying.verify(&signature, &digest).unwrap());
    says(verifying.sign(&digest), "not initialised to sign");
    says(verifying.recover(&signature), "recover signed data");
    let mut recovering = rsa_stream(&key, Purpose::VerifyRecover);
    recovering.set_parts(parts).unwrap();
    assert_eq!(recovering.recover(&signature).unwrap(), digest);
}

#[test]
fn a_salt_of_any_length_is_verified_unless_one_is_named() {
    let (key, software) = rsa(BOTH, FREE);
    let key = Arc::new(key);
    for (made, salt, is_right) in [
        (20, Salt::Auto, true),
        (32, Salt::Auto, true),
        (32, Salt::Fixed(SaltChoice::Digest), true),
        (20, Salt::Fixed(SaltChoice::Digest), false),
        (20, Salt::Fixed(SaltChoice::Bytes(20)), true),
        (222, Salt::Fixed(SaltChoice::Max), true),
    ] {
        let signature = signed(&software, b"salted", Some(made));
        let mut verifying = rsa_stream(&key, Purpose::DigestVerify);
        let parts = SchemeParts {
            padding: Padding::Pss,
            salt,
            ..*verifying.parts()
        };
        verifying.set_parts(parts).unwrap();
        verifying.update(b"salted").unwrap();
        let result = verifying.finish_verify(&signature).unwrap();
        assert_eq!(result, is_right, "{made} {salt:?}");
    }
}

#[test]
fn a_refused_part_changes_nothing() {
    let (key, _) = rsa(SIGN, FREE);
    let mut signing = rsa_stream(&Arc::new(key), Purpose::DigestSign);
    let before = *signing.parts();
    let pss = SchemeParts {
        padding: Padding::Pss,
        ..before
    };
    let salt = |salt| SchemeParts { salt, ..pss };
    for (parts, part) in [
        // The TPM chooses salt and MGF1's digest where the key only signs.
        (
            salt(Salt::Fixed(SaltChoice::Max)),
            "the TPM chooses the salt",
        ),
        (salt(Salt::Fixed(SaltChoice::Bytes(300))), "does not fit"),
        (
            SchemeParts {
                mgf_hash: Some(Hash::Sha1),
                ..pss
            },
            "one digest for PSS",
        ),
        (
            SchemeParts {
                salt: Salt::Fixed(SaltChoice::Digest),
                ..before
            },
            "PSS only",
        ),
        (
            SchemeParts {
                padding: Padding::None,
                ..before
            },
            "raw RSA needs",
        ),
        (
            SchemeParts {
                hash: Some(Hash::Sha1),
                ..before
            },
            "digest was chosen",
        ),
    ] {
        says(signing.set_parts(parts), part);
        assert_eq!(*signing.parts(), before, "{part}");
    }
    signing.set_parts(pss).unwrap();
    assert_eq!(signing.parts().padding, Padding::Pss);
    assert!(signing.has_message());
}

#[test]
fn an_rsa_pss_key_has_its_parameters() {
    let (key, software) = rsa(SIGN, RSAPSS_SHA256);
    let key = Arc::new(key);
    let mut signing = rsa_stream(&key, Purpose::DigestSign);
    let parts = *signing.parts();
    assert_eq!(parts.padding, Padding::Pss);
    assert_eq!(parts.salt, Salt::Fixed(SaltChoice::Bytes(32)));
    let wrong = SchemeParts {
        padding: Padding::Pkcs1,
        salt: Salt::Auto,
        ..parts
    };
    says(signing.set_parts(wrong), "signs with PSS only");
    let wrong = SchemeParts {
        salt: Salt::Fixed(SaltChoice::Bytes(20)),
        ..parts
    };
    says(signing.set_parts(wrong), "at least 32 bytes");
    let mut other = SignatureStream::new(Algorithm::Rsa);
    other.reset(Some(Signer::Key(Arc::clone(&key)))).unwrap();
    other
        .start(Purpose::DigestSign, Some(Hash::Sha384))
        .unwrap();
    says(other.check(), "digest is SHA2-256");
    let mut verifying = rsa_stream(&key, Purpose::DigestVerify);
    verifying.update(b"m").unwrap();
    let signature = signed(&software, b"m", Some(32));
    assert!(verifying.finish_verify(&signature).unwrap());
    let mut cipher = Cipher::new(true);
    cipher.start(Direction::Encrypt, Some(&key)).unwrap();
    says(cipher.set_parts(cipher.parts().clone()), "signs only");
}

#[test]
fn a_restricted_key_signs_messages_only() {
    let (key, _) = rsa(RESTRICTED, RSASSA_SHA256);
    let key = Arc::new(key);
    let mut signing = rsa_stream(&key, Purpose::DigestSign);
    signing.check().unwrap();
    signing.update(b"kept whole").unwrap();
    // The TPM is asked, so the message went its way; there is none.
    says(signing.finish_sign().unwrap().run(), "/nonexistent/fuzz");
    let mut signing = rsa_stream(&key, Purpose::Sign);
    let parts = SchemeParts {
        hash: Some(Hash::Sha256),
        ..*signing.parts()
    };
    signing.set_parts(parts).unwrap();
    says(signing.sign(&[7; 32]).unwrap().run(), "hashes itself");
    says(signing.sign(&[7; 31]).unwrap().run(), "expected 32");
    let (key, _) = rsa(DECRYPT.with(RESTRICTED), FREE);
    let key = Arc::new(key);
    let mut cipher = Cipher::new(true);
    cipher.start(Direction::Decrypt, Some(&key)).unwrap();
    says(
        cipher.set_parts(cipher.parts().clone()),
        "parent for other keys",
    );
}

#[test]
fn ecdsa_has_a_digest_and_nothing_else() {
    let (key, software) = ec(SIGN, ECDSA_SHA384);
    let key = Arc::new(key);
    let ours = || Signer::Key(Arc::clone(&key));
    let signing = stream(Algorithm::Ecdsa, ours(), Purpose::DigestSign);
    assert_eq!(signing.parts().hash, Some(Hash::Sha384));
    signing.check().unwrap();
    let mut other = SignatureStream::new(Algorithm::Ecdsa);
    other.reset(Some(ours())).unwrap();
    other.start(Purpose::Sign, Some(Hash::Sha256)).unwrap();
    says(other.check(), "ECDSA with SHA2-256 is not what");
    says(
        SignatureStream::new(Algorithm::Rsa).reset(Some(ours())),
        "EC key",
    );
    says(
        SignatureStream::new(Algorithm::Ecdsa).check(),
        "not initialised",
    );
    let recovering = stream(Algorithm::Ecdsa, ours(), Purpose::VerifyRecover);
    says(recovering.recover(&[]), "ECDSA");

    // Somebody else's signature, of whom there is only the public half.
    let own = key.public().ec().unwrap().clone();
    let peer = Signer::Peer(Arc::new(PublicKey::Ec(own)));
    let mut verifying = stream(Algorithm::Ecdsa, peer.clone(), Purpose::DigestVerify);
    verifying.update(b"theirs").unwrap();
    let signature = signed(&software, b"theirs", None);
    assert!(verifying.finish_verify(&signature).unwrap());
    let signing = stream(Algorithm::Ecdsa, peer, Purpose::DigestSign);
    says(signing.check(), "no private key");
}

#[test]
fn what_is_encrypted_here_is_decrypted_there() {
    let (key, software) = rsa(BOTH, FREE);
    let key = Arc::new(key);
    let mut cipher = Cipher::new(true);
    says(cipher.encrypt(b"m"), "not initialised to encrypt");
    cipher.start(Direction::Encrypt, Some(&key)).unwrap();
    let plain = cipher.parts().clone();
    assert_eq!(plain.hash, Hash::Sha1);
    for (padding, theirs) in [
        (CipherPadding::Pkcs1, Theirs::PKCS1),
        (CipherPadding::Oaep, Theirs::PKCS1_OAEP),
    ] {
        let parts = CipherParts {
            padding,
            ..plain.clone()
        };
        cipher.set_parts(parts).unwrap();
        let ciphertext = cipher.encrypt(b"secret").unwrap();
        let mut decrypter = Decrypter::new(&software).unwrap();
        decrypter.set_rsa_padding(theirs).unwrap();
        let mut message = vec![0; 256];
        let length = decrypter.decrypt(&ciphertext, &mut message).unwrap();
        assert_eq!(&message[..length], b"secret");
    }
    says(
        cipher.decrypt(&[0; 256]).map(drop),
        "not initialised to decrypt",
    );
}

#[test]
fn room_is_required_where_its_lack_would_tell_something() {
    let (key, _) = rsa(BOTH, FREE);
    let key = Arc::new(key);
    let mut cipher = Cipher::new(true);
    cipher.start(Direction::Decrypt, Some(&key)).unwrap();
    for (padding, implicit_rejection, required) in [
        (CipherPadding::Pkcs1, true, 256),
        (CipherPadding::Pkcs1, false, 0),
        (CipherPadding::Oaep, true, 0),
        (CipherPadding::None, true, 256),
        (CipherPadding::Tls, true, 48),
    ] {
        let parts = CipherParts {
            padding,
            implicit_rejection,
            ..cipher.parts().clone()
        };
        cipher.set_parts(parts).unwrap();
        assert_eq!(cipher.required(Direction::Decrypt).unwrap(), required);
    }
    assert_eq!(cipher.required(Direction::Encrypt).unwrap(), 48);
    // Looked at before the TPM is asked.
    says(cipher.decrypt(&[0; 255]).unwrap().run(), "255 bytes");
    says(cipher.decrypt(&[0xff; 256]).unwrap().run(), "modulus");
}

#[test]
fn an_agreement_needs_a_peer_on_its_curve() {
    let (key, _) = ec(DECRYPT, FREE);
    let key = Arc::new(key);
    let mut agreement = Agreement::start(&key).unwrap();
    says(agreement.derive().map(drop), "there is no peer");
    assert_eq!(agreement.size().unwrap(), 32);
    agreement.derivation.is_on = true;
    agreement.derivation.length = 20;
    assert_eq!(agreement.size().unwrap(), 20);
    let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::SECP384R1).unwrap();
    let mut context = openssl::bn::BigNumContext::new().unwrap();
    let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
    let point = group
        .generator_opt()
        .unwrap()
        .to_bytes(&group, form, &mut context)
        .unwrap();
    let other = EcPublic::from_point(Curve::P384, &point).unwrap();
    says(agreement.set_peer(&other), "on P-384, this key on P-256");
    let own = key.public().ec().unwrap().clone();
    agreement.set_peer(&own).unwrap();
    says(agreement.derive().unwrap().run(), "/nonexistent/fuzz");
    let (signs, _) = ec(SIGN, FREE);
    says(
        Agreement::start(&Arc::new(signs)).map(drop),
        "attribute decrypt",
    );
    says(Agreement::default().size(), "not initialised");
}

#[test]
fn implicit_rejection_of_a_key_that_is_not_there_is_an_error() {
    let (key, _) = rsa(BOTH, FREE);
    let decryption = Decryption::Pkcs1 {
        implicit_rejection: true,
    };
    says(key.decrypt(&decryption, &[1; 256]), "/nonexistent/fuzz");
}
