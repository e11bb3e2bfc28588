//! Sealed data, and somebody who answers in the TPM's place.
#![forbid(unsafe_code)]

use super::*;

const DATA: &[u8] = b"forty-eight bytes, as a key of contents has them";

fn forged(long: bool, registers: &[u8]) -> Vec<u8> {
    let mut info = Vec::new();
    if !registers.is_empty() {
        let mut bits = [0u8; 3];
        for number in registers {
            bits[usize::from(number / 8)] |= 1 << (number % 8);
        }
        let selection = [&[0, 3][..], &bits].concat();
        info = [
            &[0, 6, 1, 0x1f][..],
            &selection,
            &selection,
            &[0; 20],
            &[9; 20],
        ]
        .concat();
    }
    let start: &[u8] = if long {
        &[0, 0x16, 0, 0]
    } else {
        &[1, 1, 0, 0]
    };
    let size = u32::try_from(info.len()).unwrap().to_be_bytes();
    [start, &size, &info, &[0, 0, 1, 0], &[7; 256]].concat()
}

#[test]
fn what_is_sealed_is_bound_to_what_was_asked_for() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let registers = Registers::new(&[0, 16]);
    for (asked, answer) in [
        (None, forged(true, &[16])),
        (registers.clone(), forged(false, &[])),
        (registers.clone(), forged(true, &[0])),
        // The same registers with other values.
        (registers.clone(), forged(true, &[0, 16])),
    ] {
        log.inject("Seal", Fault::Forge(answer));
        let sealed = client.seal(&zeros(), DATA, &zeros(), asked.as_ref());
        let error = sealed.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::NotAsAsked { command, .. } if *command == "TPM_Seal"),
            "{error}"
        );
    }
    let sealed = client
        .seal(&zeros(), DATA, &zeros(), registers.as_ref())
        .unwrap();
    let found = sealed.binding().unwrap().registers.numbers().to_vec();
    assert_eq!(found, [0, 16]);
    assert_eq!(*client.unseal(&zeros(), &sealed, &zeros()).unwrap(), DATA);
    simulator.assert_empty();
}

#[test]
fn an_answer_that_is_not_the_tpms_gives_nothing() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let pin = AuthValue::from_password(b"4711");
    let sealed = client.seal(&zeros(), DATA, &pin, None).unwrap();
    for fault in [Fault::FlipParameter(1), Fault::FlipHmac, Fault::NoAuth] {
        log.inject("Unseal", fault);
        let error = client.unseal(&zeros(), &sealed, &pin).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::SessionIntegrity { .. }),
            "{error}"
        );
    }
    for fault in [Fault::FlipParameter(1), Fault::FlipHmac, Fault::NoAuth] {
        log.inject("Seal", fault);
        let error = client.seal(&zeros(), DATA, &pin, None).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::SessionIntegrity { .. }),
            "{error}"
        );
    }
    assert_eq!(*client.unseal(&zeros(), &sealed, &pin).unwrap(), DATA);
    simulator.assert_empty();
}

/// Which of the two secrets is wrong, is said; neither goes to the TPM again.
#[test]
fn two_secrets_of_which_one_is_wrong() {
    for simulator in [
        Simulator::of_the_key_files(Server::Unix),
        Simulator::with_tcsd(),
    ] {
        let (client, log) = simulator.client();
        let pin = AuthValue::from_password(b"4711");
        let sealed = client.seal(&zeros(), DATA, &pin, None).unwrap();
        let wrong = AuthValue::from_password(b"4712");
        for (srk, own, whose) in [
            (zeros(), wrong.clone(), Whose::Data),
            (wrong.clone(), pin.clone(), Whose::Srk),
        ] {
            for again in [false, true] {
                log.take();
                let error = client.unseal(&srk, &sealed, &own).unwrap_err();
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::Tpm12(Failure::WrongSecret { whose: found, again: said, .. })
                            if *found == whose && *said == again
                    ),
                    "{error}"
                );
                let asked = log.take().iter().any(|name| name.starts_with("Unseal"));
                assert_eq!(asked, !again);
            }
        }
        assert_eq!(*client.unseal(&zeros(), &sealed, &pin).unwrap(), DATA);
    }
}

/// A connection that is cut in the middle of two sessions leaves neither behind.
#[test]
fn sessions_are_ended_when_something_else_fails() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let sealed = client.seal(&zeros(), DATA, &zeros(), None).unwrap();
    for code in [0x18, 0x13, 0x21, 0x803, 0x09] {
        log.inject("Unseal", Fault::Code(code));
        client.unseal(&zeros(), &sealed, &zeros()).unwrap_err();
        simulator.assert_empty();
    }
    log.inject("Unseal", Fault::Code(0x13));
    let error = client.unseal(&zeros(), &sealed, &zeros()).unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::Tpm12(Failure::ForeignData { .. })
    ));
    assert_eq!(*client.unseal(&zeros(), &sealed, &zeros()).unwrap(), DATA);
    simulator.assert_empty();
}
