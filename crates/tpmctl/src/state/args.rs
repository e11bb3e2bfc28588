//! The command line of `tpmctl state`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::{Consent, in_file};

#[derive(Subcommand)]
pub(crate) enum StateCommand {
    /// Show which parts of the TPM are switched on
    #[command(after_help = "Examples:\n  \
        tpmctl state show\n  \
        tpmctl state show --json | jq .")]
    Show,
    /// Switch a part of the TPM on or off
    Set(Set),
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl state set endorsement off --dry-run\n  \
    tpmctl state set owner off --auth file:/root/tpm-owner")]
pub(crate) struct Set {
    /// TPM 2.0: the hierarchy owner, endorsement or platform, or platform-nv; TPM 1.2: enabled, active, ownable, presence
    /// or operator
    #[arg(value_enum, value_name = "PART")]
    pub(crate) part: Part,

    /// on or off; active: also until-restart, which is off till then; presence: also lock, command-on, command-off, hardware-on, hardware-off and lifetime-lock
    #[arg(value_enum, value_name = "STATE")]
    pub(crate) state: Switch,

    /// On whose word: the hierarchy itself or platform; TPM 1.2: owner, presence or operator [default: the one that can]
    #[arg(long, value_enum, value_name = "WHO")]
    pub(crate) by: Option<Switcher>,

    /// The authorization value of who that is, where one is set: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    /// The operator's new value for `operator on`: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) new: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Parts that can be switched.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// TPM 2.0: keys and NV memory of the owner
    Owner,
    /// TPM 2.0: the endorsement hierarchy
    Endorsement,
    /// TPM 2.0: the platform hierarchy
    Platform,
    /// TPM 2.0: NV memory that the platform has defined
    PlatformNv,
    /// TPM 1.2: the TPM as a whole, for ever
    Enabled,
    /// TPM 1.2: the TPM as a whole, until it is switched again or restarted
    Active,
    /// TPM 1.2: whether ownership can be taken
    Ownable,
    /// TPM 1.2: what counts as somebody who stands before the machine
    Presence,
    /// TPM 1.2: the operator's value
    Operator,
}

/// What becomes of a part.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// It works
    On,
    /// It does not
    Off,
    /// It does not until the machine is restarted
    UntilRestart,
    /// Physical presence cannot be changed until the machine is restarted
    Lock,
    /// Presence can be said by a command
    CommandOn,
    /// Presence cannot be said by a command
    CommandOff,
    /// Presence can be shown by a switch of the machine
    HardwareOn,
    /// Presence cannot be shown by a switch of the machine
    HardwareOff,
    /// How presence is shown stays so for ever
    LifetimeLock,
}

/// On whose word.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switcher {
    /// The owner, or the owner hierarchy
    Owner,
    /// The endorsement hierarchy
    Endorsement,
    /// The platform hierarchy, which the firmware usually keeps for itself
    Platform,
    /// Somebody who stands before the machine
    Presence,
    /// The operator
    Operator,
}
