//! What keys do through the standard's functions, judged by OpenSSL.

use std::ptr;

use cryptoki_sys::*;
use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;
use openssl::encrypt::Encrypter;
use openssl::hash::{MessageDigest, hash};
use openssl::md::Md;
use openssl::pkey::{PKey, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Verifier};
use testkit::p11;
use testkit::pkcs11::{Keys, Module, plain, template, with};

use super::{OPEN, labelled};

const MESSAGE: &[u8] = b"a message that is signed";

fn public_of(keys: &Keys, name: &str) -> PKey<Public> {
    let pem = keys.tpmctl(&format!("key public keys/{name}.tpm")).ok();
    PKey::public_key_from_pem(&pem.stdout).unwrap()
}

fn ecdsa_der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let number = |half: &[u8]| BigNum::from_slice(half).unwrap();
    let signature = EcdsaSig::from_private_components(number(r), number(s)).unwrap();
    signature.to_der().unwrap()
}

struct Pair {
    private: CK_OBJECT_HANDLE,
    public: CK_OBJECT_HANDLE,
}

fn pair(module: &Module, session: CK_SESSION_HANDLE, label: &str) -> Pair {
    Pair {
        private: labelled(module, session, CKO_PRIVATE_KEY, label),
        public: labelled(module, session, CKO_PUBLIC_KEY, label),
    }
}

/// Signs with a mechanism, in one call and in parts, and has the module verify it; the signature.
#[track_caller]
fn signed(
    module: &Module,
    session: CK_SESSION_HANDLE,
    key: &Pair,
    mechanism: &mut CK_MECHANISM,
    data: &[u8],
) -> Vec<u8> {
    let signature = module.sign(session, key.private, mechanism, data).unwrap();
    let check = |mechanism: &mut CK_MECHANISM, signature: &[u8]| {
        module.verify(session, key.public, mechanism, data, signature)
    };
    assert_eq!(check(mechanism, &signature), CKR_OK);
    let mut wrong = signature.clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(check(mechanism, &wrong), CKR_SIGNATURE_INVALID);
    assert_eq!(check(mechanism, &signature[1..]), CKR_SIGNATURE_LEN_RANGE);
    // In parts, with the length asked for and too little room before.
    assert_eq!(
        p11!(module, C_SignInit, session, mechanism, key.private),
        CKR_OK
    );
    for part in data.chunks(5) {
        let mut part = part.to_vec();
        let length = part.len() as CK_ULONG;
        assert_eq!(
            p11!(module, C_SignUpdate, session, part.as_mut_ptr(), length),
            CKR_OK
        );
    }
    let (mut length, mut room) = (0, vec![0; 1024]);
    let end =
        |room: *mut u8, length: &mut CK_ULONG| p11!(module, C_SignFinal, session, room, length);
    assert_eq!(end(ptr::null_mut(), &mut length), CKR_OK);
    assert_eq!(length as usize, signature.len());
    length -= 1;
    assert_eq!(end(room.as_mut_ptr(), &mut length), CKR_BUFFER_TOO_SMALL);
    assert_eq!(length as usize, signature.len());
    assert_eq!(end(room.as_mut_ptr(), &mut length), CKR_OK);
    assert_eq!(check(mechanism, &room[..length as usize]), CKR_OK);
    assert_eq!(
        end(room.as_mut_ptr(), &mut length),
        CKR_OPERATION_NOT_INITIALIZED
    );
    signature
}

#[test]
fn rsa_signatures() {
    let keys = Keys::new();
    keys.add("rsa", "--type rsa");
    let software = public_of(&keys, "rsa");
    let module = keys.module();
    let session = module.open(OPEN);
    let key = pair(&module, session, "rsa");
    let judged = |digest: MessageDigest, pss: bool, signature: &[u8]| {
        let mut verifier = Verifier::new(digest, &software).unwrap();
        if pss {
            verifier.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
            verifier
                .set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)
                .unwrap();
        }
        assert!(verifier.verify_oneshot(signature, MESSAGE).unwrap());
    };
    for (mechanism, digest) in [
        (CKM_SHA1_RSA_PKCS, MessageDigest::sha1()),
        (CKM_SHA224_RSA_PKCS, MessageDigest::sha224()),
        (CKM_SHA256_RSA_PKCS, MessageDigest::sha256()),
        (CKM_SHA384_RSA_PKCS, MessageDigest::sha384()),
        (CKM_SHA512_RSA_PKCS, MessageDigest::sha512()),
    ] {
        let signature = signed(&module, session, &key, &mut plain(mechanism), MESSAGE);
        judged(digest, false, &signature);
    }
    for (mechanism, raw, hash_kind, mgf, digest) in [
        (
            CKM_SHA256_RSA_PKCS_PSS,
            false,
            CKM_SHA256,
            CKG_MGF1_SHA256,
            MessageDigest::sha256(),
        ),
        (
            CKM_SHA512_RSA_PKCS_PSS,
            false,
            CKM_SHA512,
            CKG_MGF1_SHA512,
            MessageDigest::sha512(),
        ),
        (
            CKM_RSA_PKCS_PSS,
            true,
            CKM_SHA256,
            CKG_MGF1_SHA256,
            MessageDigest::sha256(),
        ),
    ] {
        let mut parameter = CK_RSA_PKCS_PSS_PARAMS {
            hashAlg: hash_kind,
            mgf,
            sLen: digest.size() as CK_ULONG,
        };
        let hashed = hash(digest, MESSAGE).unwrap();
        let data = if raw { &hashed[..] } else { MESSAGE };
        let signature = signed(
            &module,
            session,
            &key,
            &mut with(mechanism, &mut parameter),
            data,
        );
        judged(digest, true, &signature);
    }
    // DigestInfo made by the caller, as OpenSSH does; and a whole block.
    let digest = hash(MessageDigest::sha256(), MESSAGE).unwrap();
    let prefix = hex::decode("3031300d060960864801650304020105000420").unwrap();
    let info = [&prefix[..], &digest[..]].concat();
    let signature = signed(&module, session, &key, &mut plain(CKM_RSA_PKCS), &info);
    judged(MessageDigest::sha256(), false, &signature);
    let mut block = vec![0xff; 256 - info.len()];
    block[0] = 0;
    block[1] = 1;
    block[255 - info.len()] = 0;
    block.extend_from_slice(&info);
    let raw = module.sign(session, key.private, &mut plain(CKM_RSA_X_509), &block);
    assert_eq!(raw.unwrap(), signature);
    // Leading zeros need not be there.
    let raw = module.sign(session, key.private, &mut plain(CKM_RSA_X_509), &block[1..]);
    assert_eq!(raw.unwrap(), signature);
}

#[test]
fn ecdsa_signatures_and_what_they_cost() {
    let keys = Keys::new();
    for (name, curve) in [("p256", "P-256"), ("p384", "P-384")] {
        keys.add(name, &format!("--curve {curve}"));
    }
    let module = keys.module();
    let session = module.open(OPEN);
    for (name, size) in [("p256", 32), ("p384", 48)] {
        let software = public_of(&keys, name);
        let key = pair(&module, session, name);
        for (mechanism, digest) in [
            (CKM_ECDSA_SHA256, MessageDigest::sha256()),
            (CKM_ECDSA_SHA384, MessageDigest::sha384()),
        ] {
            let signature = signed(&module, session, &key, &mut plain(mechanism), MESSAGE);
            assert_eq!(signature.len(), 2 * size);
            let mut verifier = Verifier::new(digest, &software).unwrap();
            let der = ecdsa_der(&signature);
            assert!(verifier.verify_oneshot(&der, MESSAGE).unwrap());
        }
        let digest = hash(MessageDigest::sha256(), MESSAGE).unwrap();
        let signature = signed(&module, session, &key, &mut plain(CKM_ECDSA), &digest);
        let mut verifier = Verifier::new(MessageDigest::sha256(), &software).unwrap();
        let der = ecdsa_der(&signature);
        assert!(verifier.verify_oneshot(&der, MESSAGE).unwrap());
    }
    drop(module);
    // One signature from the start, and one more.
    let (module, counts) = keys.tap.cost(|| {
        let module = keys.module();
        let session = module.open(OPEN);
        let key = labelled(&module, session, CKO_PRIVATE_KEY, "p256");
        let mut mechanism = plain(CKM_ECDSA);
        module.sign(session, key, &mut mechanism, &[7; 32]).unwrap();
        module
    });
    assert!(counts.total() <= 4, "{counts:?}");
    let session = module.open(OPEN);
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "p256");
    let (_, counts) = keys.tap.cost(|| {
        let mut mechanism = plain(CKM_ECDSA);
        module.sign(session, key, &mut mechanism, &[8; 32]).unwrap();
    });
    counts.are(&[("Sign", 1)]);
    drop(module);
    // Nothing stays in a TPM that nobody manages.
    keys.tpm.assert_clean();
}

#[test]
fn rsa_decryption() {
    let keys = Keys::new();
    keys.add("rsa", "--type rsa");
    let software = public_of(&keys, "rsa");
    let module = keys.module();
    let session = module.open(OPEN);
    let key = pair(&module, session, "rsa");
    let decrypt = |mechanism: &mut CK_MECHANISM, ciphertext: &[u8], room: usize| {
        let started = p11!(module, C_DecryptInit, session, mechanism, key.private);
        assert_eq!(started, CKR_OK);
        let mut ciphertext = ciphertext.to_vec();
        let (mut plaintext, mut length) = (vec![0u8; room], room as CK_ULONG);
        let mut once = |plaintext: &mut [u8], length: &mut CK_ULONG| {
            p11!(
                module,
                C_Decrypt,
                session,
                ciphertext.as_mut_ptr(),
                ciphertext.len() as CK_ULONG,
                plaintext.as_mut_ptr(),
                length
            )
        };
        match once(&mut plaintext, &mut length) {
            CKR_OK => Ok(plaintext[..length as usize].to_vec()),
            CKR_BUFFER_TOO_SMALL => {
                // Again, with the room that was said: it is what was decrypted before.
                plaintext = vec![0; length as usize];
                keys.tap.reset();
                assert_eq!(once(&mut plaintext, &mut length), CKR_OK);
                assert_eq!(keys.tap.counts().total(), 0);
                Ok(plaintext)
            }
            why => Err(why),
        }
    };
    let encrypted = |padding: Padding| {
        let mut encrypter = Encrypter::new(&software).unwrap();
        encrypter.set_rsa_padding(padding).unwrap();
        let mut out = vec![0; 256];
        let length = encrypter.encrypt(b"a secret", &mut out).unwrap();
        out.truncate(length);
        out
    };
    let pkcs1 = encrypted(Padding::PKCS1);
    for room in [256, 8, 3, 0] {
        let found = decrypt(&mut plain(CKM_RSA_PKCS), &pkcs1, room).unwrap();
        assert_eq!(found, b"a secret", "{room}");
    }
    let mut wrong = pkcs1.clone();
    wrong[100] ^= 1;
    assert_eq!(
        decrypt(&mut plain(CKM_RSA_PKCS), &wrong, 256),
        Err(CKR_ENCRYPTED_DATA_INVALID)
    );
    assert_eq!(
        decrypt(&mut plain(CKM_RSA_PKCS), &wrong[1..], 256),
        Err(CKR_ENCRYPTED_DATA_LEN_RANGE)
    );
    let block = decrypt(&mut plain(CKM_RSA_X_509), &pkcs1, 256).unwrap();
    assert!(block.starts_with(&[0, 2]) && block.ends_with(b"\0a secret"));
    let mut oaep = CK_RSA_PKCS_OAEP_PARAMS {
        hashAlg: CKM_SHA256,
        mgf: CKG_MGF1_SHA256,
        source: CKZ_DATA_SPECIFIED,
        pSourceData: ptr::null_mut(),
        ulSourceDataLen: 0,
    };
    let mut context = PkeyCtx::new(&software).unwrap();
    context.encrypt_init().unwrap();
    context.set_rsa_padding(Padding::PKCS1_OAEP).unwrap();
    context.set_rsa_oaep_md(Md::sha256()).unwrap();
    let mut ciphertext = Vec::new();
    context
        .encrypt_to_vec(b"a secret", &mut ciphertext)
        .unwrap();
    let mut mechanism = with(CKM_RSA_PKCS_OAEP, &mut oaep);
    assert_eq!(
        decrypt(&mut mechanism, &ciphertext, 256).unwrap(),
        b"a secret"
    );

    // Encrypted here.
    let started = p11!(module, C_EncryptInit, session, &mut mechanism, key.public);
    assert_eq!(started, CKR_OK);
    let (mut ours, mut length, mut text) = (vec![0u8; 256], 256, *b"ours");
    assert_eq!(
        p11!(
            module,
            C_Encrypt,
            session,
            text.as_mut_ptr(),
            4,
            ours.as_mut_ptr(),
            &mut length
        ),
        CKR_OK
    );
    assert_eq!(decrypt(&mut mechanism, &ours, 256).unwrap(), b"ours");
}

#[test]
fn agreement() {
    use openssl::derive::Deriver;
    use openssl::ec::{EcGroup, EcKey, PointConversionForm};
    use openssl::nid::Nid;
    let keys = Keys::new();
    keys.add("ec", "");
    let software = public_of(&keys, "ec");
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let peer = EcKey::generate(&group).unwrap();
    let mut context = openssl::bn::BigNumContext::new().unwrap();
    let form = PointConversionForm::UNCOMPRESSED;
    let mut point = peer
        .public_key()
        .to_bytes(&group, form, &mut context)
        .unwrap();
    let peer = PKey::from_ec_key(peer).unwrap();
    let mut deriver = Deriver::new(&peer).unwrap();
    deriver.set_peer(&software).unwrap();
    let expected = deriver.derive_to_vec().unwrap();

    let module = keys.module();
    let session = module.open(OPEN);
    let key = pair(&module, session, "ec");
    let mut wrapped = [&[4, 65][..], &point].concat();
    let derive = |point: &mut [u8], values: &[(CK_ATTRIBUTE_TYPE, &[u8])]| {
        let mut parameter = CK_ECDH1_DERIVE_PARAMS {
            kdf: CKD_NULL,
            ulSharedDataLen: 0,
            pSharedData: ptr::null_mut(),
            ulPublicDataLen: point.len() as CK_ULONG,
            pPublicData: point.as_mut_ptr(),
        };
        let mut mechanism = with(CKM_ECDH1_DERIVE, &mut parameter);
        let (mut template, mut derived) = (template(values), 0);
        let count = template.len() as CK_ULONG;
        match p11!(
            module,
            C_DeriveKey,
            session,
            &mut mechanism,
            key.private,
            template.as_mut_ptr(),
            count,
            &mut derived
        ) {
            CKR_OK => Ok(derived),
            why => Err(why),
        }
    };
    for point in [&mut point[..], &mut wrapped[..]] {
        let secret = derive(point, &[(CKA_LABEL, b"agreed")]).unwrap();
        assert_eq!(
            module.attribute(session, secret, CKA_VALUE).unwrap(),
            expected
        );
        assert_eq!(module.number(session, secret, CKA_VALUE_LEN), 32);
        assert_eq!(labelled(&module, session, CKO_SECRET_KEY, "agreed"), secret);
        assert_eq!(p11!(module, C_DestroyObject, session, secret), CKR_OK);
    }
    let short = derive(
        &mut point,
        &[
            (CKA_VALUE_LEN, &(16 as CK_ULONG).to_ne_bytes()),
            (CKA_KEY_TYPE, &CKK_AES.to_ne_bytes()),
        ],
    );
    let value = module
        .attribute(session, short.unwrap(), CKA_VALUE)
        .unwrap();
    assert_eq!(value, expected[16..]);
    // Off the curve, another length, no point at all.
    for mut wrong in [vec![4; 65], point[..64].to_vec(), Vec::new()] {
        assert_eq!(
            derive(&mut wrong, &[]),
            Err(CKR_MECHANISM_PARAM_INVALID),
            "{wrong:?}"
        );
    }
    let token = derive(&mut point, &[(CKA_TOKEN, &[CK_TRUE])]);
    assert_eq!(token, Err(CKR_TEMPLATE_INCONSISTENT));
    // It goes with its session.
    let secret = short.unwrap();
    let other = module.open(OPEN);
    assert!(module.attribute(other, secret, CKA_VALUE).is_ok());
    assert_eq!(p11!(module, C_CloseSession, session), CKR_OK);
    assert_eq!(
        module.attribute(other, secret, CKA_VALUE),
        Err(CKR_OBJECT_HANDLE_INVALID)
    );
}

#[test]
fn digests_and_random_numbers() {
    let keys = Keys::new();
    keys.add("ec", "");
    let module = keys.module();
    let session = module.open(OPEN);
    for (kind, digest) in [
        (CKM_SHA_1, MessageDigest::sha1()),
        (CKM_SHA224, MessageDigest::sha224()),
        (CKM_SHA256, MessageDigest::sha256()),
        (CKM_SHA384, MessageDigest::sha384()),
        (CKM_SHA512, MessageDigest::sha512()),
        (CKM_SHA3_256, MessageDigest::sha3_256()),
    ] {
        let (mut mechanism, mut room, mut length) = (plain(kind), [0u8; 64], 64);
        let mut data = MESSAGE.to_vec();
        assert_eq!(p11!(module, C_DigestInit, session, &mut mechanism), CKR_OK);
        assert_eq!(
            p11!(
                module,
                C_Digest,
                session,
                data.as_mut_ptr(),
                data.len() as CK_ULONG,
                room.as_mut_ptr(),
                &mut length
            ),
            CKR_OK
        );
        assert_eq!(room[..length as usize], *hash(digest, MESSAGE).unwrap());
    }
    let mut random = [[0u8; 300]; 2];
    for random in &mut random {
        assert_eq!(
            p11!(module, C_GenerateRandom, session, random.as_mut_ptr(), 300),
            CKR_OK
        );
    }
    assert_ne!(random[0], random[1]);
    assert_ne!(random[0][..32], [0; 32]);
    assert_eq!(
        p11!(module, C_SeedRandom, session, random[0].as_mut_ptr(), 300),
        CKR_RANDOM_SEED_NOT_SUPPORTED
    );
}

/// What a key cannot do is said when it is begun.
#[test]
fn keys_that_only_sign() {
    let keys = Keys::new();
    keys.add("pss", "--type rsa-pss");
    keys.add("sha384", "--type rsa --digest sha384");
    keys.add("ec", "--digest sha256");
    let module = keys.module();
    let session = module.open(OPEN);
    let pss = pair(&module, session, "pss");
    let fixed = pair(&module, session, "sha384");
    let ec = pair(&module, session, "ec");
    let start = |mechanism: &mut CK_MECHANISM, key: &Pair| {
        let result = p11!(module, C_SignInit, session, mechanism, key.private);
        if result == CKR_OK {
            // Without a mechanism it is given up.
            assert_eq!(
                p11!(module, C_SignInit, session, ptr::null_mut(), 0),
                CKR_OK
            );
        }
        result
    };
    assert_eq!(start(&mut plain(CKM_SHA384_RSA_PKCS), &fixed), CKR_OK);
    for (mechanism, key) in [
        (CKM_SHA256_RSA_PKCS, &fixed),
        (CKM_SHA256_RSA_PKCS, &pss),
        (CKM_RSA_X_509, &fixed),
        (CKM_ECDSA_SHA384, &ec),
    ] {
        let result = start(&mut plain(mechanism), key);
        assert!(
            [CKR_MECHANISM_PARAM_INVALID, CKR_KEY_FUNCTION_NOT_PERMITTED].contains(&result),
            "{mechanism:x}: {result:x}"
        );
    }
    assert_eq!(
        start(&mut plain(CKM_ECDSA), &pss),
        CKR_KEY_TYPE_INCONSISTENT
    );
    let decrypt = |mechanism: &mut CK_MECHANISM, key: &Pair| {
        p11!(module, C_DecryptInit, session, mechanism, key.private)
    };
    assert_eq!(
        decrypt(&mut plain(CKM_RSA_PKCS), &fixed),
        CKR_KEY_FUNCTION_NOT_PERMITTED
    );
    let mut parameter = CK_RSA_PKCS_PSS_PARAMS {
        hashAlg: CKM_SHA256,
        mgf: CKG_MGF1_SHA256,
        sLen: 32,
    };
    let mut mechanism = with(CKM_SHA256_RSA_PKCS_PSS, &mut parameter);
    signed(&module, session, &pss, &mut mechanism, MESSAGE);
    signed(&module, session, &ec, &mut plain(CKM_ECDSA_SHA256), MESSAGE);
}
