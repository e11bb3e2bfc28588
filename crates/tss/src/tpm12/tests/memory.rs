//! Non-volatile memory, counters and registers, on a bare TPM and through tcsd.
#![forbid(unsafe_code)]

use super::area::{Area, Permissions};
use super::*;

const INDEX: u32 = 0x0001_1000;

fn both() -> [Simulator; 2] {
    [
        Simulator::of_the_key_files(Server::Unix),
        Simulator::with_tcsd(),
    ]
}

#[track_caller]
fn code(error: &Error) -> u32 {
    failure(error).code().0
}

#[test]
fn areas_are_made_read_written_and_released() {
    for simulator in both() {
        let (client, log) = simulator.client();
        let secret = AuthValue::from_password(b"area");
        let of_owner = Area::new(
            INDEX,
            1300,
            Permissions(Permissions::OWNER_WRITE | Permissions::OWNER_READ),
        );
        let of_area = Area::new(
            INDEX + 1,
            16,
            Permissions(Permissions::AUTH_WRITE | Permissions::AUTH_READ),
        );
        let before = client.nv_indices().unwrap();
        log.clear();
        client
            .nv_define(&of_owner, Some(&zeros()), &zeros())
            .unwrap();
        log.expect("OSAP NV_DefineSpace");
        client.nv_define(&of_area, Some(&zeros()), &secret).unwrap();
        let mut expected = [before.clone(), vec![INDEX, INDEX + 1]].concat();
        expected.sort_unstable();
        assert_eq!(client.nv_indices().unwrap(), expected);
        let found = client.nv_area(INDEX).unwrap().unwrap();
        assert_eq!(
            (found.size, found.permissions),
            (1300, of_owner.permissions)
        );
        assert_eq!(client.nv_area(INDEX + 9).unwrap(), None);
        // More than one command takes.
        let data: Vec<u8> = (0..1300u32).map(|n| n as u8).collect();
        let well_known = zeros();
        let owner = NvAuth::Owner(&well_known);
        client.nv_write(INDEX, 0, &data, false, owner).unwrap();
        assert_eq!(*client.nv_read(INDEX, 0, 1300, owner).unwrap(), data);
        assert_eq!(
            *client.nv_read(INDEX, 510, 5, owner).unwrap(),
            data[510..515]
        );
        let own = NvAuth::Area(&secret);
        client
            .nv_write(INDEX + 1, 4, b"twelve bytes", true, own)
            .unwrap();
        let read = client.nv_read(INDEX + 1, 4, 12, own).unwrap();
        assert_eq!(*read, b"twelve bytes");
        // A wrong secret of one area is no wrong secret of another.
        let of_nobody = AuthValue::from_password(b"nobody's");
        let wrong = NvAuth::Area(&of_nobody);
        for again in [false, true] {
            let error = client.nv_read(INDEX + 1, 0, 1, wrong).unwrap_err();
            assert!(matches!(
                failure(&error),
                Failure::WrongSecret { whose: Whose::Area, again: said, .. } if *said == again
            ));
        }
        // Past its end, in use, without a secret.
        assert_eq!(
            code(&client.nv_read(INDEX, 1299, 2, owner).unwrap_err()),
            0x11
        );
        log.inject("NV_ReadValue", Fault::FlipParameter(1));
        let error = client.nv_read(INDEX, 0, 20, owner).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::SessionIntegrity { .. }),
            "{error}"
        );
        for area in [&of_owner, &of_area] {
            client.nv_release(area, Some(&zeros())).unwrap();
        }
        assert_eq!(client.nv_indices().unwrap(), before);
        simulator.assert_empty();
    }
}

#[test]
fn counters_count() {
    let simulator = Simulator::of_the_key_files(Server::Unix);
    let (client, log) = simulator.client();
    let secret = AuthValue::from_password(b"counter");
    assert_eq!(client.counters().unwrap(), []);
    log.clear();
    let (handle, made) = client.create_counter(*b"test", &zeros(), &secret).unwrap();
    log.expect("OSAP CreateCounter");
    assert_eq!(&made.label, b"test");
    let next = client.increment_counter(handle, &secret).unwrap();
    log.expect("OIAP IncrementCounter");
    assert_eq!(next.value, made.value + 1);
    assert_eq!(client.read_counter(handle).unwrap(), next);
    let all = client.counters().unwrap();
    assert_eq!((all.len(), all[0].handle, all[0].count), (1, handle, next));
    assert!(all[0].active);
    let error = client.increment_counter(handle, &zeros()).unwrap_err();
    assert!(matches!(
        failure(&error),
        Failure::WrongSecret {
            whose: Whose::Counter,
            ..
        }
    ));
    client.release_counter(handle, &secret).unwrap();
    let (handle, _) = client.create_counter(*b"more", &zeros(), &secret).unwrap();
    client.release_counter_for_owner(handle, &zeros()).unwrap();
    assert_eq!(client.counters().unwrap(), []);
    simulator.assert_empty();
}

/// Its calls for counters are broken, and one of them ends it.
#[test]
fn nothing_of_counters_goes_to_tcsd() {
    let simulator = Simulator::with_tcsd();
    let (client, log) = simulator.client();
    let secret = zeros();
    for refused in [
        client.counters().map(drop),
        client.create_counter(*b"test", &secret, &secret).map(drop),
        client.read_counter(0).map(drop),
        client.increment_counter(0, &secret).map(drop),
        client.release_counter(0, &secret),
        client.release_counter_for_owner(0, &secret),
    ] {
        let error = refused.unwrap_err();
        assert!(
            matches!(failure(&error), Failure::BrokenInTcsd { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("stop tcsd"), "{error}");
    }
    log.expect("");
    client.structure_version().unwrap();
}

#[test]
fn registers_are_extended_once_and_reset() {
    for simulator in both() {
        let (client, log) = simulator.client();
        assert_eq!(client.register_count().unwrap(), 24);
        let zero = [0; 20];
        assert_eq!(client.registers(&[16, 0]).unwrap(), [zero, zero]);
        let digest = [7; 20];
        let expected = crypto::hash(Hash::Sha1, &[&zero, &digest]);
        log.clear();
        let value = client.extend_register(16, digest).unwrap();
        log.expect("Extend");
        assert_eq!(value[..], expected[..]);
        assert_eq!(client.registers(&[16]).unwrap(), [value]);
        client
            .reset_registers(&Registers::new(&[16]).unwrap())
            .unwrap();
        assert_eq!(client.registers(&[16]).unwrap(), [zero]);
        let fixed = client.reset_registers(&Registers::new(&[0]).unwrap());
        assert_eq!(code(&fixed.unwrap_err()), 0x32);
        // tcsd looks at the number itself.
        let none = code(&client.extend_register(24, digest).unwrap_err());
        assert!(none == 2 || none == 0x2003, "{none:#x}");
        // tcsd's failure is not a reason to extend again.
        log.clear();
        log.inject("Extend", Fault::Code(0x2002));
        client.extend_register(16, digest).unwrap_err();
        log.expect("Extend!2002");
    }
}
