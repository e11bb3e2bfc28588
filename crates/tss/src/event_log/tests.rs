//! Logs as firmware writes them, and as it does not.

use super::*;

fn spec(banks: &[(u16, u16)]) -> Vec<u8> {
    let mut data = SPEC_ID.to_vec();
    data.extend([0, 0, 0, 0, 0, 2, 0, 2]);
    data.extend((banks.len() as u32).to_le_bytes());
    for (bank, size) in banks {
        data.extend(bank.to_le_bytes());
        data.extend(size.to_le_bytes());
    }
    data.push(0);
    sha1(0, NO_ACTION, &[0; 20], &data)
}

fn sha1(register: u32, kind: u32, digest: &[u8; 20], data: &[u8]) -> Vec<u8> {
    let mut event = register.to_le_bytes().to_vec();
    event.extend(kind.to_le_bytes());
    event.extend(digest);
    event.extend((data.len() as u32).to_le_bytes());
    event.extend(data);
    event
}

fn agile(register: u32, kind: u32, digests: &[(u16, &[u8])], data: &[u8]) -> Vec<u8> {
    let mut event = register.to_le_bytes().to_vec();
    event.extend(kind.to_le_bytes());
    event.extend((digests.len() as u32).to_le_bytes());
    for (bank, digest) in digests {
        event.extend(bank.to_le_bytes());
        event.extend(*digest);
    }
    event.extend((data.len() as u32).to_le_bytes());
    event.extend(data);
    event
}

#[test]
fn both_forms_are_read_and_replayed() {
    let log = [
        sha1(4, 5, &[1; 20], b"action"),
        sha1(4, 4, &[2; 20], &[0; 4]),
    ]
    .concat();
    let read = EventLog::read(&log).unwrap();
    assert_eq!((read.form, read.events.len()), (Form::Sha1, 2));
    let first = crypto::hash(crypto::Hash::Sha1, &[&[0; 20], &[1; 20]]);
    let second = crypto::hash(crypto::Hash::Sha1, &[&first, &[2; 20]]);
    assert_eq!(read.replay()[&(AlgId::SHA1, 4)], second);

    let log = [
        spec(&[(4, 20), (0xb, 32)]),
        agile(
            0,
            NO_ACTION,
            &[(4, &[0; 20]), (0xb, &[0; 32])],
            b"StartupLocality\0\x03",
        ),
        agile(0, 8, &[(4, &[1; 20]), (0xb, &[2; 32])], b"x"),
        agile(17, 8, &[(4, &[1; 20]), (0xb, &[2; 32])], b"x"),
        // A buffer's rest.
        vec![0; 100],
    ]
    .concat();
    let read = EventLog::read(&log).unwrap();
    assert_eq!(read.banks, [AlgId::SHA1, AlgId::SHA256]);
    assert_eq!((read.form, read.events.len()), (Form::CryptoAgile, 4));
    let mut start = [0; 32];
    start[31] = 3;
    let wanted = crypto::hash(crypto::Hash::Sha256, &[&start, &[2; 32]]);
    assert_eq!(read.replay()[&(AlgId::SHA256, 0)], wanted);
    let wanted = crypto::hash(crypto::Hash::Sha256, &[&[0xff; 32], &[2; 32]]);
    assert_eq!(read.replay()[&(AlgId::SHA256, 17)], wanted);
    fuzz(&log);
}

#[test]
fn hostile_logs_are_refused_where_they_go_wrong() {
    let good = [
        spec(&[(0xb, 32)]),
        agile(7, 0x8000_0001, &[(0xb, &[2; 32])], b"data"),
    ]
    .concat();
    EventLog::read(&good).unwrap();
    for length in 1..good.len() {
        // The first event alone is a log.
        if length != spec(&[(0xb, 32)]).len() {
            let damaged = EventLog::read(&good[..length]).unwrap_err();
            assert!(damaged.offset <= length, "{damaged}");
        }
    }
    let huge = [&good[..], &[1; 4], &[1; 4], &0xffff_ffffu32.to_le_bytes()].concat();
    let what = |log: &[u8]| EventLog::read(log).unwrap_err().what;
    assert!(what(&huge).contains("more digests"));
    assert!(what(&sha1(0, 1, &[0; 20], b"")[..28]).contains("ends"));
    for banks in [
        &[(0xb, 20)][..],
        &[(0xb, 32), (0xb, 32)],
        &[(0x99, 65)],
        &[],
    ] {
        EventLog::read(&spec(banks)).unwrap_err();
    }
    let other = [spec(&[(0xb, 32)]), agile(0, 8, &[(4, &[0; 20])], b"")].concat();
    assert!(what(&other).contains("not about"));
    let twice: &[(u16, &[u8])] = &[(0xb, &[0; 32]), (0xb, &[0; 32])];
    let twice = [spec(&[(0xb, 32)]), agile(0, 8, twice, b"")].concat();
    assert!(what(&twice).contains("two digests"));
    let many = sha1(0, 8, &[1; 20], b"").repeat(MOST_EVENTS + 1);
    assert!(what(&many).contains("more events"));
    assert!(what(&vec![1; LONGEST + 1]).contains("longer"));
    // A register that there is not is told, and not replayed.
    let far = sha1(0x1_0000, 8, &[1; 20], b"");
    assert!(EventLog::read(&far).unwrap().replay().is_empty());
}
