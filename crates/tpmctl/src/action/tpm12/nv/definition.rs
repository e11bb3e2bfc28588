//! What is asked for when an index of a TPM 1.2 is defined.

use tss::tpm12::{Area, Permissions};

use crate::error::Error;
use crate::nv::args::{Define, Kind, Lockable, Who};

/// The area that is asked for; an error for what a TPM 1.2 has not.
pub(crate) fn definition(args: &Define) -> Result<Area, Error> {
    if args.kind != Kind::Ordinary {
        return Err(Error::usage(
            "an index of a TPM 1.2 holds bytes (--type ordinary); its counters are apart: `tpmctl counter create`",
        ));
    }
    if args.no_lockout {
        return Err(Error::usage(
            "a TPM 1.2 counts every wrong secret: --no-lockout is for a TPM 2.0",
        ));
    }
    let size = args.size.ok_or_else(|| Error::usage("say --size"))?;
    let usual = match args.auth {
        Some(_) => Who::Value,
        None => Who::Owner,
    };
    let one = |named: &[Who], what: &str| match named {
        [] => Ok(usual),
        [who] => Ok(*who),
        _ => Err(Error::usage(format!(
            "an index of a TPM 1.2 has one who {what}s it: owner, value, presence or anyone"
        ))),
    };
    let read = match one(&args.read, "read")? {
        Who::Owner => Permissions::OWNER_READ,
        Who::Value => Permissions::AUTH_READ,
        Who::Presence => Permissions::PP_READ,
        Who::Anyone => 0,
    };
    let write = match one(&args.write, "write")? {
        Who::Owner => Permissions::OWNER_WRITE,
        Who::Value => Permissions::AUTH_WRITE,
        Who::Presence => Permissions::PP_WRITE,
        Who::Anyone if args.lockable.contains(&Lockable::Forever) => 0,
        Who::Anyone => {
            return Err(Error::usage(
                "what anyone may write a TPM 1.2 has only until it is locked: say --lockable forever, too",
            ));
        }
    };
    let locks = args.lockable.iter().fold(0, |bits, lock| {
        bits | match lock {
            Lockable::Read => Permissions::READ_ST_CLEAR,
            Lockable::Write => Permissions::WRITE_ST_CLEAR,
            Lockable::Forever => Permissions::WRITE_DEFINE,
        }
    });
    Ok(Area::new(
        args.index,
        size.into(),
        Permissions(read | write | locks),
    ))
}
