//! What a TPM says, and what other processes have left in the lock file.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "not a public interface")]

mod policies;
mod responses;
mod scripted;

use crypto::fuzzing::input::Input;

use super::Name;
use super::object::Parent;
use super::public::Public;
use super::transaction::loaded::{Fingerprint, LoadedObjects};
use crate::os::process::{Process, parse_start_time};

pub use responses::{responses, sessions};
pub use scripted::{ADDRESS, deceive, scripted_tpm};
pub use scripted::{POINT, deceive_one, tell};

pub fn public(data: &[u8]) {
    if let Ok(public) = Public::from_tpm2b(data) {
        assert_eq!(public.to_tpm2b(), data);
        look_at(&public);
    }
    if let Ok(public) = Public::from_tpmt(data) {
        assert_eq!(public.to_tpmt(), data);
        look_at(&public);
    }
}

fn look_at(public: &Public) {
    assert!(public.matches_template(public) || public.name().is_err() || is_unknown(public));
    let _ = (format!("{public:?}"), public.attributes().to_string());
    let _ = super::session::Salt::fits(public);
    let again = Public::assemble(
        public.name_alg(),
        public.attributes(),
        public.auth_policy(),
        public.parms().clone(),
        public.unique().clone(),
    );
    if let Ok(again) = again {
        assert_eq!(again.to_tpmt(), public.to_tpmt());
    }
}

fn is_unknown(public: &Public) -> bool {
    matches!(public.parms(), super::Parms::Unknown(_))
}

/// The table of loaded objects, read from a record and then used; and what the kernel says of the
/// processes in it.
pub fn record(data: &[u8]) {
    if let Some(started) = parse_start_time(data) {
        let text = String::from_utf8_lossy(data);
        let number = |word: &str| word.parse() == Ok(started);
        assert!(text.split_ascii_whitespace().any(number));
    }
    let mut input = Input::new(data);
    let steps = input.bytes();
    let mut table = LoadedObjects::from_record(input.rest());
    let again = LoadedObjects::from_record(&table.to_record());
    assert_eq!(again, table);
    for &step in steps {
        let handle = 0x8000_0000 + u32::from(step >> 4);
        let entry = table.entries().get(usize::from(step >> 4)).cloned();
        let object = entry.map_or_else(
            || {
                let name = Name::from_bytes(&[0, 11, step, 1, 2]);
                Fingerprint::new(&name, &Parent::new(0x8100_0001), &[step])
            },
            |entry| entry.identity,
        );
        match step & 7 {
            0 => table.add(handle, object, Process { pid: 1, started: 1 }),
            1 => table.touch(handle),
            2 => table.confirm(handle),
            3 => table.remove(handle),
            4 => table.forget(&object),
            5 => table.doubt(),
            6 => drop(table.oldest(&[handle]).cloned()),
            _ => drop(table.find(&object).cloned()),
        }
        assert!(table.entries().len() <= LoadedObjects::MOST);
        assert!(table.to_record().len() <= crate::transport::Record::CAPACITY);
    }
}
