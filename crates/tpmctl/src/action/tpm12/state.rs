//! Whether a TPM 1.2 works, and who says so.

use serde::Serialize;
use tss::tpm12::{AuthValue, Client, Presence};

use super::explained;
use crate::error::Error;

/// Its flags, in words. What a TPM does not tell is taken as it comes from the factory.
#[derive(Clone, Serialize)]
pub(crate) struct State {
    pub(crate) address: String,
    pub(crate) family: &'static str,
    pub(crate) owned: bool,
    pub(crate) enabled: bool,
    /// Whether it is active now.
    pub(crate) active: bool,
    /// Whether it will be from its next start on.
    pub(crate) active_after_start: bool,
    pub(crate) ownable: bool,
    /// Whether somebody is at the machine, as far as the TPM was told.
    pub(crate) present: bool,
    /// Whether that cannot be said any more until the next start.
    pub(crate) presence_locked: bool,
    /// Whether a command may say so.
    pub(crate) presence_by_command: bool,
    /// Whether a switch of the machine may.
    pub(crate) presence_by_hardware: bool,
    /// Whether the last two stay so for ever.
    pub(crate) presence_lifetime_locked: bool,
    pub(crate) operator: bool,
    pub(crate) clear_by_owner: bool,
    pub(crate) clear_by_presence: bool,
    pub(crate) ek_readable: bool,
    pub(crate) ek_revocable: bool,
    pub(crate) srk_readable: bool,
    /// Whether the rules of NV memory are enforced.
    pub(crate) nv_locked: bool,
}

impl State {
    /// Asks; the commands change nothing.
    pub(crate) fn read(client: &Client) -> Result<Self, Error> {
        let properties = client.properties()?;
        let (Some(permanent), volatile) = (properties.permanent, properties.volatile) else {
            return Err(Error::new("this TPM does not tell its flags"));
        };
        Ok(Self {
            address: client.endpoint().address().to_string(),
            family: "1.2",
            owned: properties.owned,
            enabled: !permanent.disable,
            active: !permanent.deactivated && !volatile.is_some_and(|flags| flags.deactivated),
            active_after_start: !permanent.deactivated,
            ownable: permanent.ownership,
            present: volatile.is_some_and(|flags| flags.physical_presence),
            presence_locked: volatile.is_some_and(|flags| flags.presence_locked),
            presence_by_command: permanent.presence_command,
            presence_by_hardware: permanent.presence_hardware,
            presence_lifetime_locked: permanent.presence_lifetime_lock,
            operator: permanent.operator,
            clear_by_owner: !permanent.disable_owner_clear,
            clear_by_presence: !volatile.is_some_and(|flags| flags.disable_force_clear),
            ek_readable: permanent.read_pubek,
            // TPMs from the factory have that flag without such a key.
            ek_revocable: permanent.revocable_endorsement && permanent.endorsement_by_command,
            srk_readable: permanent.read_srk_pub,
            nv_locked: permanent.nv_locked,
        })
    }
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Enabled(bool),
    /// From the next start on.
    Active(bool),
    /// Until the next start.
    InactiveNow,
    Ownable(bool),
    Presence(Presence),
    /// The operator's secret.
    Operator,
}

/// On whose word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word<'a> {
    /// The owner's.
    Owner(&'a AuthValue),
    /// The operator's.
    Operator(&'a AuthValue),
    /// That of somebody at the machine.
    Presence,
}

/// Makes a change. `new` is the operator's new secret.
pub(crate) fn set(
    client: &Client,
    change: Change,
    word: Word<'_>,
    new: Option<&AuthValue>,
) -> Result<(), Error> {
    let done = match (change, word) {
        (Change::Enabled(on), Word::Owner(owner)) => client.owner_set_disable(owner, !on),
        (Change::Enabled(on), Word::Presence) => client.physical_set_disable(!on),
        (Change::Active(on), Word::Presence) => client.physical_set_deactivated(!on),
        (Change::InactiveNow, Word::Operator(operator)) => {
            client.deactivate_until_start(Some(operator))
        }
        (Change::InactiveNow, Word::Presence) => client.deactivate_until_start(None),
        (Change::Ownable(on), Word::Presence) => client.set_ownable(on),
        (Change::Presence(what), Word::Presence) => client.presence(what),
        (Change::Operator, Word::Presence) => match new {
            Some(new) => client.set_operator(new),
            None => {
                return Err(Error::usage(
                    "name the file with the operator's new secret: --new file:PATH",
                ));
            }
        },
        (Change::Enabled(_), Word::Operator(_)) => {
            return Err(Error::usage(
                "a TPM 1.2 is enabled and disabled on the word of its owner (--by owner) or of somebody at the machine (--by \
                 presence)",
            ));
        }
        (Change::InactiveNow, Word::Owner(_)) => {
            return Err(Error::usage(
                "a TPM 1.2 is deactivated until its next start on the word of the operator (--by operator) or of somebody at \
                 the machine (--by presence)",
            ));
        }
        _ => {
            return Err(Error::usage(
                "that is switched on the word of somebody at the machine alone: --by presence",
            ));
        }
    };
    done.map_err(|error| explained(client, error))
}
