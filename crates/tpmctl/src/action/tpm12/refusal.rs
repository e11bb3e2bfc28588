//! What it means that a TPM 1.2 refuses, and what to do.

use tss::tpm12::constants::Ordinal;
use tss::tpm12::{Client, Code, Failure};

use crate::error::Error;

/// The error with what to do; after a wrong secret with how many the TPM has counted.
pub(crate) fn explained(client: &Client, error: tss::Error) -> Error {
    let more = match error.kind() {
        tss::ErrorKind::Tpm12(Failure::WrongSecret { again: false, .. }) => counted(client),
        tss::ErrorKind::Tpm12(Failure::Refused { command, code }) => {
            advice(command, *code).map(str::to_owned)
        }
        _ => None,
    };
    match more {
        Some(more) => Error::new(format!("{error}; {more}")),
        None => error.into(),
    }
}

/// How near the TPM is to its lock.
fn counted(client: &Client) -> Option<String> {
    let state = client.lockout().ok()??;
    let (count, most) = (state.count?, state.threshold?);
    Some(match state.active {
        true => "the TPM is locked now: `tpmctl lockout` shows it".to_owned(),
        false => format!("wrong secrets counted: {count}, and at {most} the TPM locks"),
    })
}

/// What to do; each names a command of ours, or what is in its way.
fn advice(command: &str, code: Code) -> Option<&'static str> {
    let is = |ordinal: Ordinal| ordinal.name() == command;
    let nv = command.starts_with("TPM_NV_");
    Some(match code {
        Code::BAD_PRESENCE => {
            "the TPM knows of nobody at the machine: `tpmctl state set presence on` says so where the firmware lets a \
             command say it, or do this in the firmware setup"
        }
        Code::BAD_PARAMETER if is(Ordinal::PHYSICAL_PRESENCE) => {
            "no command may say this here (any more): the firmware has locked it, or lets no command say who is present; \
             do it in the firmware setup"
        }
        Code::TCS_NOTIMPL if is(Ordinal::PHYSICAL_PRESENCE) => {
            "tcsd passes this on in single-user mode only: stop tcsd, and name the device with --tcti device:/dev/tpm0"
        }
        Code::TCS_NOTIMPL => {
            "tcsd does not pass this on: stop it, and name the device with --tcti device:/dev/tpm0"
        }
        Code::OWNER_SET => {
            "the TPM has an owner already: `tpmctl owner passwd` changes the secret, `tpmctl owner clear` removes the owner"
        }
        Code::INSTALL_DISABLED => {
            "nobody may take ownership: `tpmctl state set ownable on`, by somebody at the machine, allows it"
        }
        Code::NO_ENDORSEMENT => "it has no endorsement key: `tpmctl ek create` makes one",
        Code::CLEAR_DISABLED if is(Ordinal::OWNER_CLEAR) => {
            "its owner has given that up (`tpmctl owner clear-lock show`): somebody at the machine clears it, with --by \
             presence or in the firmware setup"
        }
        Code::CLEAR_DISABLED => {
            "that is locked until the machine is restarted (`tpmctl owner clear-lock show`)"
        }
        Code::DISABLED_CMD if is(Ordinal::CREATE_ENDORSEMENT_KEY_PAIR) => {
            "there is an endorsement key already, and a TPM has one"
        }
        Code::DISABLED_CMD if is(Ordinal::CREATE_REVOCABLE_EK) => {
            "there is an endorsement key already, and a TPM has one"
        }
        Code::DISABLED_CMD if is(Ordinal::READ_PUBEK) => {
            "its owner alone may read it: name the owner's secret with --endorsement-auth file:PATH"
        }
        Code::DISABLED_CMD if is(Ordinal::REVOKE_TRUST) => {
            "the endorsement key was not made to be revoked"
        }
        Code::NOOPERATOR => "there is no operator: `tpmctl state set operator on` sets the secret",
        Code::BADINDEX if nv => "there is no such index: `tpmctl nv list` shows what there is",
        Code::BADINDEX | Code::TCS_BAD_PARAMETER if is(Ordinal::EXTEND) => {
            "the TPM has no such register: `tpmctl pcr read` shows what there is"
        }
        Code::BADINDEX => "the TPM has no such register: `tpmctl pcr read` shows what there is",
        Code::NOSPACE if is(Ordinal::NV_DEFINE_SPACE) => {
            "the NV memory is full: `tpmctl nv list` shows what is in it, `tpmctl nv release` makes room"
        }
        Code::NOSPACE if nv => {
            "that is beyond the end of the index: `tpmctl nv show` says its size"
        }
        Code::AUTH_CONFLICT if nv => {
            "the index is not used so: `tpmctl nv show` says by whom it is read and written; nobody, owner and the \
             index's own value exclude each other"
        }
        Code::AREA_LOCKED => "it is locked: `tpmctl nv show` says for how long",
        Code::NOT_FULLWRITE => "this index is written whole or not at all",
        Code::MAXNVWRITES => {
            "without an owner a TPM is written so often and no more: take ownership (`tpmctl owner take`)"
        }
        Code::PER_NOWRITE => "somebody must be able to write it: say --write owner or value",
        Code::RESOURCES if is(Ordinal::CREATE_COUNTER) => {
            "it has no room for another counter: `tpmctl counter list` shows them, `tpmctl counter release` makes room"
        }
        Code::BAD_COUNTER if is(Ordinal::INCREMENT_COUNTER) => {
            "there is none of this handle (`tpmctl counter list`), or another one was incremented since the last start: \
             then it is that one alone until the next"
        }
        Code::BAD_COUNTER => "there is none of this handle: `tpmctl counter list` shows them",
        Code::NOTRESETABLE => "this register is not reset but by a restart: 16 and 23 are",
        Code::NOTLOCAL => {
            "this register is not reset from here (from this locality): 16 and 23 are"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_means_what_the_command_makes_of_it() {
        let says = |ordinal: Ordinal, code, part: &str| {
            let text = advice(ordinal.name(), code).unwrap();
            assert!(text.contains(part), "{part} in {text}");
        };
        says(Ordinal::OWNER_CLEAR, Code::CLEAR_DISABLED, "--by presence");
        says(Ordinal::FORCE_CLEAR, Code::CLEAR_DISABLED, "restarted");
        says(Ordinal::NV_DEFINE_SPACE, Code::NOSPACE, "tpmctl nv release");
        says(Ordinal::NV_READ_VALUE, Code::NOSPACE, "beyond the end");
        says(
            Ordinal::READ_PUBEK,
            Code::DISABLED_CMD,
            "--endorsement-auth",
        );
        says(Ordinal::PHYSICAL_PRESENCE, Code::TCS_NOTIMPL, "single-user");
        says(Ordinal::EXTEND, Code::TCS_BAD_PARAMETER, "tpmctl pcr read");
        assert_eq!(advice(Ordinal::SIGN.name(), Code::BAD_PARAMETER), None);
    }
}
