//! The PKCS#11 front end: its functions called directly, and the programs that load it.

mod bad_input;
mod clients;
mod files;
mod first_key;
mod ids;
mod listing;
mod login;
mod operations;
mod processes;
mod reported;
mod sequences;
mod ssh;
mod suites;
mod tools;

use cryptoki_sys::*;
use testkit::pkcs11::Module;

/// The slot of the keys without PIN.
const OPEN: CK_SLOT_ID = 1;

/// Whether there is a key without PIN. The slot is there in any case.
#[track_caller]
fn has_open_keys(module: &Module) -> bool {
    assert!(module.slots().contains(&OPEN));
    module.token(OPEN).flags & CKF_TOKEN_INITIALIZED != 0
}

/// The one object of a class that has this label.
#[track_caller]
fn labelled(
    module: &Module,
    session: CK_SESSION_HANDLE,
    class: CK_OBJECT_CLASS,
    label: &str,
) -> CK_OBJECT_HANDLE {
    let found = module.find(
        session,
        &[
            (CKA_CLASS, &class.to_ne_bytes()),
            (CKA_LABEL, label.as_bytes()),
        ],
    );
    assert_eq!(found.len(), 1, "{label}");
    found[0]
}
