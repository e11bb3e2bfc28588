//! What the panels show: plain values without a TPM behind them, so that a screen can be drawn of any of them.

use std::path::PathBuf;

/// How something is, at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing to say.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Works, and could be better.
    Warning,
    /// Does not work.
    Bad,
    /// Other than it was when it was read before.
    Changed,
}

/// The protection against guessing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockoutFacts {
    pub(crate) locked: bool,
    pub(crate) counter: Option<u32>,
    pub(crate) max_tries: Option<u32>,
    /// Until one try is forgotten.
    pub(crate) interval: Option<u32>,
    /// Until the lockout authorization may be tried again.
    pub(crate) recovery: Option<u32>,
    /// Whether there is a lockout authorization.
    pub(crate) auth_set: Option<bool>,
}

impl LockoutFacts {
    /// `3/32`.
    pub(crate) fn tries(&self) -> String {
        match (self.counter, self.max_tries) {
            (Some(counter), Some(most)) => format!("{counter}/{most}"),
            _ => "not told".to_owned(),
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        match (self.locked, self.counter) {
            (true, _) => Mark::Bad,
            (false, Some(1..)) => Mark::Warning,
            _ => Mark::Good,
        }
    }
}

/// A TPM of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TpmFacts {
    pub(crate) address: String,
    /// What named it.
    pub(crate) origin: String,
    /// Whether it is the one that the other panels are about.
    pub(crate) is_chosen: bool,
    /// `2.0` or `1.2`; empty where it did not answer.
    pub(crate) family: String,
    pub(crate) vendor: String,
    pub(crate) firmware: String,
    pub(crate) sharing: String,
    pub(crate) mark: Mark,
    pub(crate) state: String,
    pub(crate) lockout: Option<LockoutFacts>,
    /// Whether the owner hierarchy has an authorization value.
    pub(crate) owner_set: Option<bool>,
    /// Processes that have it open, or the module loaded.
    pub(crate) holders: Vec<String>,
    /// What cannot be said of holders.
    pub(crate) holders_note: String,
    pub(crate) problem: Option<String>,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    Handle(u32),
}

/// A key, in a file or persistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyFacts {
    pub(crate) place: Place,
    pub(crate) algorithm: String,
    pub(crate) purpose: String,
    /// loadable, importable, sealed, tpm-1.2 ...
    pub(crate) kind: String,
    pub(crate) has_pin: bool,
    /// In words; empty for none.
    pub(crate) policy: String,
    /// Registers that the policy asks for, as `sha256:7`.
    pub(crate) registers: Vec<String>,
    /// Whether the policy would hold now, and why not; absent where there is nothing to judge.
    pub(crate) holds: Option<(Mark, String)>,
    /// The certificate beside it, and how that is.
    pub(crate) certificate: Option<(Mark, String)>,
    pub(crate) used_by: Vec<String>,
    pub(crate) name: String,
    pub(crate) parent: String,
    pub(crate) problem: Option<String>,
}

/// All keys, and what stood in the way of seeing more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeysFacts {
    pub(crate) keys: Vec<KeyFacts>,
    /// Why there are no persistent keys to be seen.
    pub(crate) problem: Option<String>,
    /// Whether the TPM is one that has no persistent keys.
    pub(crate) only_files: bool,
    /// What is known of processes besides.
    pub(crate) usage_note: String,
}

/// A register of a bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegisterFacts {
    pub(crate) bank: String,
    pub(crate) number: u8,
    /// In hexadecimal.
    pub(crate) value: String,
    /// What is measured into it, by convention.
    pub(crate) purpose: String,
}

/// NV memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NvMemory {
    pub(crate) indices: Vec<NvFacts>,
    /// What is to be known of all of them.
    pub(crate) warning: Option<String>,
}

/// An NV index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NvFacts {
    pub(crate) index: String,
    /// Whose range it is in, and what it is for there.
    pub(crate) purpose: String,
    pub(crate) kind: String,
    pub(crate) bytes: u32,
    /// Who reads and writes it, and what else its attributes say, by name.
    pub(crate) more: Vec<(String, String)>,
    /// Whether something was written to it, where the TPM tells.
    pub(crate) is_written: Option<bool>,
    pub(crate) certificate: Option<CertificateFacts>,
}

/// A certificate in the TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFacts {
    pub(crate) mark: Mark,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// `until 2035-01-01`, or why it cannot be read.
    pub(crate) validity: String,
}

/// Who owns the TPM, and what protects it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnerFacts {
    pub(crate) hierarchies: Vec<HierarchyFacts>,
    pub(crate) lockout: Option<LockoutFacts>,
    /// What is at 0x81000001, and how that is.
    pub(crate) root_key: (Mark, String),
    pub(crate) has_root_key: bool,
    /// Why it cannot be cleared from here: on the word of who has the lockout authorization, or of a TPM 1.2's owner.
    pub(crate) no_clear: Option<String>,
}

/// A hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HierarchyFacts {
    pub(crate) name: String,
    pub(crate) mark: Mark,
    /// Whether it has an authorization value, as far as the TPM tells.
    pub(crate) is_set: Option<bool>,
    /// In words.
    pub(crate) state: String,
    /// What it is for.
    pub(crate) meaning: String,
    /// What changes it, where that is not done here.
    pub(crate) commands: Vec<String>,
}

/// A layer of the doctor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FindingFacts {
    pub(crate) number: u8,
    pub(crate) layer: String,
    pub(crate) mark: Mark,
    pub(crate) verdict: String,
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) commands: Vec<String>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFacts {
    pub(crate) at: String,
    pub(crate) lines: Vec<String>,
    pub(crate) mark: Mark,
    pub(crate) outcome: String,
    pub(crate) took_ms: u64,
    pub(crate) notes: Vec<String>,
}
