//! The command line of `tpmctl owner`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::cli::{Consent, in_file};

#[derive(Subcommand)]
pub(crate) enum OwnerCommand {
    /// Show which hierarchies have values and policies
    #[command(after_help = "Examples:\n  \
        tpmctl owner show\n  \
        tpmctl owner show --json | jq .owned")]
    Show,
    /// Set the values of all hierarchies, make the storage root key
    Take(Take),
    /// Set the authorization value of hierarchies
    Passwd(Passwd),
    /// Set the policy of a hierarchy, or remove it
    Policy(HierarchyPolicy),
    /// Clear the TPM: all keys of its owner are lost for ever
    Clear(Clear),
    /// Show and set whether the TPM can be cleared
    ClearLock(ClearLock),
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    sudo tpmctl owner take --random /root/tpm-owner\n  \
    sudo tpmctl owner take --new file:/root/tpm-owner --dry-run")]
pub(crate) struct Take {
    /// The value: file:PATH, whose first line it is
    #[arg(long, value_name = "file:PATH", value_parser = in_file, required_unless_present = "random")]
    pub(crate) new: Option<PathBuf>,

    /// Make up a value and write it to FILE, which must not exist, for its owner alone to read
    #[arg(long, value_name = "FILE", conflicts_with = "new", value_hint = ValueHint::FilePath)]
    pub(crate) random: Option<PathBuf>,

    /// TPM 1.2: the endorsement key that it must have, a public key in PEM (tpmctl ek show -o)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ek: Option<PathBuf>,

    /// The value of a TPM 1.2's storage root key: file:PATH [default: the well-known one of 20 zeros]
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) srk_auth: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl owner passwd --hierarchy lockout --random /root/tpm-lockout\n  \
    tpmctl owner passwd --hierarchy owner --old file:old --new file:new")]
pub(crate) struct Passwd {
    /// Whose value: lockout (who may clear the TPM), owner (who may make primaries) or endorsement; may be repeated
    #[arg(long, value_enum, value_name = "HIERARCHY", required = true)]
    pub(crate) hierarchy: Vec<Hierarchy>,

    /// The new value: file:PATH, whose first line it is
    #[arg(long, value_name = "file:PATH", value_parser = in_file, required_unless_present = "random")]
    pub(crate) new: Option<PathBuf>,

    /// Make up a new value and write it to FILE, which must not exist, for its owner alone to read
    #[arg(long, value_name = "FILE", conflicts_with = "new")]
    pub(crate) random: Option<PathBuf>,

    /// The value that hierarchies have now, where one is set: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) old: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl policy new signed:admin.pub -o admin.policy\n  \
    tpmctl owner policy owner admin.policy\n  \
    tpmctl owner policy owner --none --auth file:/root/tpm-owner")]
pub(crate) struct HierarchyPolicy {
    /// Whose: owner, endorsement or lockout
    #[arg(value_enum, value_name = "HIERARCHY")]
    pub(crate) hierarchy: Hierarchy,

    /// The policy file, as tpmctl policy new writes it
    #[arg(value_name = "FILE", required_unless_present = "none", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Option<PathBuf>,

    /// It shall have none
    #[arg(long, conflicts_with = "policy")]
    pub(crate) none: bool,

    /// The hierarchy's authorization value, where one is set: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl owner clear --dry-run\n  \
    tpmctl owner clear --auth file:/root/tpm-lockout\n  \
    tpmctl owner clear --auth file:/root/tpm-lockout /etc/nginx/keys")]
pub(crate) struct Clear {
    /// Key files and sealed files, and directories of them, to be looked at besides the usual ones
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,

    /// On whose word: lockout or platform; TPM 1.2: owner or presence [default: lockout, owner]
    #[arg(long, value_enum, value_name = "WHO")]
    pub(crate) by: Option<ClearedBy>,

    /// The authorization value of lockout, platform or owner, where one is set: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    /// Do not ask for the word `clear`
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show what would be lost only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

/// On whose word a TPM is cleared, or can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClearedBy {
    /// The lockout authorization
    Lockout,
    /// The platform hierarchy, which the firmware usually keeps for itself
    Platform,
    /// The owner of a TPM 1.2
    Owner,
    /// Somebody who stands before the machine of a TPM 1.2
    Presence,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl owner clear-lock show\n  \
    tpmctl owner clear-lock on --auth file:/root/tpm-lockout")]
pub(crate) struct ClearLock {
    /// on: the TPM cannot be cleared; off: it can; show: which it is
    #[arg(value_enum, value_name = "STATE")]
    pub(crate) state: LockState,

    /// On whose word: lockout or platform; TPM 1.2: whose clearing, owner or presence [default: lockout, owner]
    #[arg(long, value_enum, value_name = "WHO")]
    pub(crate) by: Option<ClearedBy>,

    /// The authorization value of lockout, platform or owner, where one is set: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// What becomes of a lock.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LockState {
    /// The TPM cannot be cleared
    On,
    /// It can
    Off,
    /// Which it is
    Show,
}

/// Hierarchies whose authorization value the administrator sets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Hierarchy {
    /// Clears the TPM, and resets its lockout
    Lockout,
    /// Attestation and credentials
    Endorsement,
    /// Primaries, persistent keys and NV memory
    // Last: where there is no storage root key, sessions for the others need the value of before.
    Owner,
}
