//! Policies of every kind, for a TPM that says what the input makes it say.
#![forbid(unsafe_code)]

use crypto::Secret;

use crate::tpm2::client::{Client, KeyAuth};
use crate::tpm2::constants::{AlgId, CommandCode, Curve, handle};
use crate::tpm2::policy::{
    AuthorizedPolicy, Comparison, Operand, PcrSelection, PolicyCommand, Signer, digest_of,
};
use crate::tpm2::public::{Parms, Scheme, Symmetric, Unique};
use crate::tpm2::{
    Attributes, DecryptScheme, Entity, Name, Object, Policy, Public, SignScheme, Signature,
};

/// Uses a key by a policy of the kind that is chosen.
pub(super) fn operate(client: &Client, kind: u8, key: &Object, value: &Secret) {
    let policy = policy(kind);
    // What depends on registers may be anything.
    let digest = policy.digest(AlgId::SHA256).unwrap();
    let digest = digest.unwrap_or_else(|| vec![7; 32]);
    let public = Public::assemble(
        AlgId::SHA256,
        key.public.attributes(),
        &digest,
        key.public.parms().clone(),
        key.public.unique().clone(),
    )
    .unwrap();
    let key = Object {
        name: public.name().unwrap(),
        public,
        source: key.source.clone(),
    };
    let auth = KeyAuth {
        value: Some(value),
        policy: Some(&policy),
        shown_right: None,
    };
    let result = match kind & 0x80 {
        0 => client
            .sign(&key, auth, SignScheme::Ecdsa(AlgId::SHA256), &[1; 32])
            .map(drop),
        _ => client
            .rsa_decrypt(&key, auth, DecryptScheme::Rsaes, &[1; 256], &[])
            .map(drop),
    };
    if let Err(error) = result {
        let _ = (error.to_string(), error.is_policy_refusal());
    }
    let _ = client.believed_registers(&policy.registers(), value);
    let _ = client.believed_entity(handle::NV_FIRST, value);
}

fn policy(kind: u8) -> Policy {
    let registers = vec![PcrSelection::new(AlgId::SHA256, &[0, 7, 23]).unwrap()];
    let pcr = |digest| PolicyCommand::Pcr {
        registers: registers.clone(),
        digest,
    };
    let operand = Operand {
        value: vec![5],
        offset: 0,
        comparison: Comparison::from_name("uge").unwrap(),
    };
    let nv_index = Entity::object(handle::NV_FIRST, Name::from_bytes(&[7; 34]));
    // On a curve that software does not know, so that the TPM is asked.
    let signer = Public::assemble(
        AlgId::SHA256,
        Attributes::SIGN,
        &[],
        Parms::Ecc {
            symmetric: Symmetric::NULL,
            scheme: Scheme::Null,
            curve: Curve::BN_P256,
            kdf: Scheme::Null,
        },
        Unique::Ecc {
            x: vec![1; 32],
            y: vec![2; 32],
        },
    )
    .unwrap();
    let signature = Signature::Ecc {
        scheme: AlgId::ECDSA,
        hash: AlgId::SHA256,
        r: vec![1; 32],
        s: vec![2; 32],
    };
    let authorize = |signature| PolicyCommand::Authorize {
        key: signer.clone(),
        policy_ref: vec![1],
        signature,
    };
    Policy::new(vec![match kind % 9 {
        0 => pcr(Some(vec![1; 32])),
        1 => pcr(None),
        2 => PolicyCommand::AuthValue,
        3 => PolicyCommand::Secret {
            entity: nv_index,
            policy_ref: Vec::new(),
        },
        4 => PolicyCommand::Nv {
            authority: None,
            index: nv_index,
            operand,
        },
        5 => PolicyCommand::CounterTimer(operand),
        6 => PolicyCommand::Signed {
            key: Signer::Public(Box::new(signer)),
            cp_hash: Vec::new(),
            policy_ref: Vec::new(),
            expiration: 0,
            signature,
        },
        7 => {
            let branches = vec![
                vec![
                    pcr(Some(vec![1; 32])),
                    PolicyCommand::CommandCode(CommandCode::SIGN),
                ],
                vec![PolicyCommand::Locality(1), PolicyCommand::AuthValue],
            ];
            let digest = |branch: &Vec<_>| digest_of(branch, AlgId::SHA256).unwrap().unwrap();
            PolicyCommand::Or {
                digests: branches.iter().map(digest).collect(),
                branches,
            }
        }
        _ => {
            let entry = |command| AuthorizedPolicy {
                name: None,
                commands: vec![command, authorize(Some(signature.clone()))],
            };
            return Policy {
                commands: vec![authorize(None)],
                authorized: vec![entry(pcr(Some(vec![2; 32]))), entry(pcr(None))],
            };
        }
    }])
}
