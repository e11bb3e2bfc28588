//! What holds for any input.
#![forbid(unsafe_code)]

use proptest::prelude::*;

use super::*;

#[test]
fn every_truncation_and_every_changed_byte() {
    for (name, text, _) in FILES {
        let der = der_of(name);
        for length in 0..der.len() {
            assert!(
                KeyFile::from_der(&der[..length]).is_err(),
                "{name} {length}"
            );
        }
        // Without the last line's end the file is still whole.
        for length in 0..text.len() - 1 {
            assert!(
                KeyFile::from_pem(&text[..length]).is_err(),
                "{name} {length}"
            );
        }
        for index in 0..der.len() {
            for value in [0, 1, 0x7f, 0x80, 0x84, 0xa0, 0xff, der[index] ^ 1] {
                let mut changed = der.clone();
                changed[index] = value;
                // What is read at all is read the same again.
                if let Ok(file) = KeyFile::from_der(&changed) {
                    assert_eq!(KeyFile::from_der(&file.to_der()).as_ref(), Ok(&file));
                }
            }
        }
    }
}

fn any_policy() -> impl Strategy<Value = Vec<PolicyCommand>> {
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    let command = (any::<u32>(), body).prop_map(|(code, body)| PolicyCommand { code, body });
    proptest::collection::vec(command, 0..3)
}

fn any_tpm2b() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 1..400)
        .prop_map(|rest| [&(rest.len() as u16).to_be_bytes()[..], &rest].concat())
}

fn any_file() -> impl Strategy<Value = KeyFile> {
    let auth_policy = (proptest::option::of(".*"), any_policy())
        .prop_map(|(name, policy)| AuthPolicy { name, policy });
    let parent = prop_oneof![0x8100_0000u32..=0x81ff_ffff, Just(OWNER), Just(PLATFORM)];
    (
        (
            any_policy(),
            any_tpm2b(),
            proptest::collection::vec(auth_policy, 0..3),
        ),
        (
            proptest::option::of(".*"),
            any::<[bool; 2]>(),
            0..3,
            parent,
            any_tpm2b(),
            any_tpm2b(),
        ),
    )
        .prop_map(
            |((policy, secret, auth_policies), (description, flags, kind, parent, a, b))| {
                let kind = [Kind::Loadable, Kind::Importable, Kind::Sealed][kind as usize];
                KeyFile {
                    kind,
                    empty_auth: flags[0],
                    policy,
                    secret: (kind == Kind::Importable).then_some(secret),
                    auth_policies,
                    description,
                    rsa_parent: flags[1],
                    ..KeyFile::loadable(parent, a, b)
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_file_round_trips(file in any_file()) {
        let der = file.to_der();
        prop_assert!(KeyFile::is_ours(&der));
        prop_assert_eq!(KeyFile::from_bytes(&der), Ok(file.clone()));
        prop_assert_eq!(KeyFile::from_bytes(file.to_pem().as_bytes()), Ok(file));
    }

    #[test]
    fn mutated_files_never_panic(
        index in 0usize..8,
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6),
        cut in any::<u16>(),
        pem in any::<bool>(),
    ) {
        let (name, text, _) = FILES[index];
        let mut bytes = if pem { text.to_vec() } else { der_of(name) };
        for (at, value) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        let _ = KeyFile::from_bytes(&bytes);
        bytes.truncate(usize::from(cut) % bytes.len());
        let _ = KeyFile::from_bytes(&bytes);
        let _ = KeyFile::is_ours(&bytes);
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = KeyFile::from_bytes(&bytes);
        prop_assert!(!KeyFile::is_ours(&bytes));
    }
}
