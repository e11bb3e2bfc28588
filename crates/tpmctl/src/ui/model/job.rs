//! What is asked of the worker, and the `tpmctl` line that does the same.

use std::path::PathBuf;

use crypto::Secret;
use keys::printable;

use super::Panel;
use super::facts::{
    FindingFacts, KeysFacts, LockoutFacts, Mark, NvMemory, OwnerFacts, RegisterFacts, TpmFacts,
};
use super::table::Detail;
use crate::display::{hex, shell_word};
use crate::owner::args::Hierarchy;

/// Something to do. Secrets are in it and nowhere else.
pub(crate) enum Job {
    /// Read what a panel shows.
    Read(Panel),
    SelfTest,
    TestKey {
        path: PathBuf,
        secret: Option<Secret>,
    },
    Persist {
        path: PathBuf,
        owner: Option<Secret>,
    },
    Evict {
        handle: u32,
        owner: Option<Secret>,
    },
    CreateSrk {
        owner: Option<Secret>,
    },
    ResetLockout {
        auth: Option<Secret>,
    },
    SetAuth {
        hierarchy: Hierarchy,
        old: Option<Secret>,
        new: Secret,
    },
    Flush,
    /// What clearing would lose, before it is asked whether that shall be.
    Loss,
    Clear {
        auth: Option<Secret>,
    },
}

impl Job {
    /// What it is called while it runs.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Read(panel) => format!("reading {}", panel.name().to_lowercase()),
            Self::SelfTest => "the TPM tests itself".to_owned(),
            Self::TestKey { path, .. } => format!("trying {}", printable::path(path)),
            Self::Persist { path, .. } => format!("making {} persistent", printable::path(path)),
            Self::Evict { handle, .. } => format!("removing {}", hex(*handle)),
            Self::CreateSrk { .. } => "making the storage root key".to_owned(),
            Self::ResetLockout { .. } => "resetting the lockout".to_owned(),
            Self::SetAuth { hierarchy, .. } => {
                format!("setting the authorization value of {}", hierarchy.name())
            }
            Self::Flush => "flushing".to_owned(),
            Self::Loss => "looking at what clearing loses".to_owned(),
            Self::Clear { .. } => "clearing the TPM".to_owned(),
        }
    }

    /// Whether it may have changed what panels show.
    pub(crate) fn changes(&self) -> bool {
        !matches!(
            self,
            Self::Read(_) | Self::SelfTest | Self::TestKey { .. } | Self::Loss
        )
    }

    /// The command that does the same, for the TPM at `address` if it is not the one of the settings. Where a value is
    /// typed here, it names a file, or asks.
    pub(crate) fn line(&self, address: Option<&str>) -> String {
        let owner = |owner: &Option<Secret>| match owner {
            Some(_) => " --parent-auth file:OWNER",
            None => "",
        };
        let words = match self {
            Self::Read(Panel::Overview) => "info".to_owned(),
            Self::Read(Panel::Keys | Panel::Sealed) => "key list".to_owned(),
            Self::Read(Panel::Registers) => "pcr read".to_owned(),
            Self::Read(Panel::Nv) => "nv list".to_owned(),
            Self::Read(Panel::Owner) => "owner show".to_owned(),
            Self::Read(Panel::Doctor) => "doctor".to_owned(),
            Self::Read(Panel::Log) => "version".to_owned(),
            Self::SelfTest => "selftest".to_owned(),
            Self::TestKey { path, secret } => {
                let auth = if secret.is_some() { " --auth -" } else { "" };
                format!("key test {}{auth}", shell_word(&path.to_string_lossy()))
            }
            Self::Persist { path, owner: value } => {
                format!(
                    "key persist {}{}",
                    shell_word(&path.to_string_lossy()),
                    owner(value)
                )
            }
            Self::Evict {
                handle,
                owner: value,
            } => {
                format!("key evict {} --yes{}", hex(*handle), owner(value))
            }
            Self::CreateSrk { owner: value } => format!("srk create{}", owner(value)),
            Self::ResetLockout { auth } => {
                let auth = if auth.is_some() {
                    " --auth file:VALUE"
                } else {
                    ""
                };
                format!("lockout reset --yes{auth}")
            }
            Self::SetAuth { hierarchy, old, .. } => {
                let old = if old.is_some() { " --old file:OLD" } else { "" };
                format!(
                    "owner passwd --hierarchy {}{old} --new file:NEW --yes",
                    hierarchy.name()
                )
            }
            Self::Flush => "flush --yes".to_owned(),
            Self::Loss => "owner clear --dry-run".to_owned(),
            Self::Clear { auth } => {
                let auth = if auth.is_some() {
                    " --auth file:VALUE"
                } else {
                    ""
                };
                format!("owner clear --yes{auth}")
            }
        };
        match address {
            Some(address) => format!("tpmctl --tcti {} {words}", shell_word(address)),
            None => format!("tpmctl {words}"),
        }
    }
}

/// What came of it.
pub(crate) enum Value {
    Overview(Vec<TpmFacts>),
    Keys(KeysFacts),
    Registers(Vec<RegisterFacts>),
    Nv(NvMemory),
    Owner(OwnerFacts),
    Doctor(Vec<FindingFacts>),
    /// Something to be read, under a title.
    Said {
        mark: Mark,
        title: String,
        details: Vec<Detail>,
    },
    /// What clearing would lose.
    Loss(Vec<Detail>),
    /// Done, in a sentence.
    Done(String),
}

/// The end of a job.
pub(crate) struct Report {
    /// What was asked for.
    pub(crate) of: Of,
    pub(crate) result: Result<Value, String>,
    /// Read again where a value was tried.
    pub(crate) lockout: Option<LockoutFacts>,
    /// When it began.
    pub(crate) at: String,
    pub(crate) took_ms: u64,
    /// What the action said besides.
    pub(crate) notes: Vec<String>,
}

/// A job without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Of {
    pub(crate) panel: Option<Panel>,
    pub(crate) changes: bool,
    pub(crate) line: String,
}

impl Of {
    pub(crate) fn new(job: &Job, address: Option<&str>) -> Self {
        Self {
            panel: match job {
                Job::Read(panel) => Some(*panel),
                _ => None,
            },
            changes: job.changes(),
            line: job.line(address),
        }
    }
}
