//! The state of the manager. It does no input and output: [`Model::update`] takes what has happened and gives what is to
//! be done, so that every screen can be had in a test.

pub(crate) mod actions;
pub(crate) mod dialog;
pub(crate) mod facts;
pub(crate) mod job;
mod perform;
mod report;
pub(crate) mod table;
mod update;

use std::collections::VecDeque;

use super::input::Key;
use super::panels;
use crate::cli::UiPanel;
use dialog::Dialog;
use facts::{
    FindingFacts, KeysFacts, LockoutFacts, LogFacts, Mark, NvMemory, OwnerFacts, RegisterFacts,
    TpmFacts,
};
use job::{Job, Report};
use table::Table;

/// The panels, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Panel {
    Overview,
    Keys,
    Registers,
    Sealed,
    Nv,
    Owner,
    Doctor,
    Log,
}

impl From<UiPanel> for Panel {
    fn from(panel: UiPanel) -> Self {
        match panel {
            UiPanel::Overview => Self::Overview,
            UiPanel::Keys => Self::Keys,
            UiPanel::Registers => Self::Registers,
            UiPanel::Sealed => Self::Sealed,
            UiPanel::Nv => Self::Nv,
            UiPanel::Owner => Self::Owner,
            UiPanel::Doctor => Self::Doctor,
            UiPanel::Log => Self::Log,
        }
    }
}

impl Panel {
    pub(crate) const ALL: [Self; 8] = [
        Self::Overview,
        Self::Keys,
        Self::Registers,
        Self::Sealed,
        Self::Nv,
        Self::Owner,
        Self::Doctor,
        Self::Log,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Keys => "Keys",
            Self::Registers => "Registers",
            Self::Sealed => "Sealed",
            Self::Nv => "NV",
            Self::Owner => "Owner",
            Self::Doctor => "Doctor",
            Self::Log => "Log",
        }
    }

    /// What it is about, in a sentence.
    pub(crate) fn purpose(self) -> &'static str {
        match self {
            Self::Overview => "The TPMs of this machine, and who has them",
            Self::Keys => "Key files and persistent keys, and whether they would work now",
            Self::Registers => "Registers (PCRs), what depends on them, and what has changed",
            Self::Sealed => "Sealed files, and whether they would open now",
            Self::Nv => "NV indices and the certificates in them",
            Self::Owner => "Who may change the TPM, and its protection against guessing",
            Self::Doctor => "All layers between TPM and OpenSSL, and what mends them",
            Self::Log => "What was done here, and the command that does the same",
        }
    }

    pub(crate) fn index(self) -> usize {
        Self::ALL
            .iter()
            .position(|panel| *panel == self)
            .unwrap_or(0)
    }
}

/// What has happened.
pub(crate) enum Event {
    Key(Key),
    /// The terminal has another size.
    Resize {
        height: u16,
    },
    /// Time has passed while the TPM works.
    Tick,
    Report(Box<Report>),
}

/// What is to be done.
pub(crate) enum Effect {
    /// For the worker, of the TPM at the address if it is not the one of the settings.
    Run {
        job: Job,
        address: Option<String>,
    },
    /// What runs shall come to an end.
    Cancel,
    /// The terminal is to be drawn from nothing.
    Redraw,
    /// As Ctrl-Z does.
    Suspend,
    Quit,
}

/// What was read, and when.
pub(crate) struct Read<T> {
    pub(crate) value: Option<T>,
    /// Why it could not be read the last time.
    pub(crate) problem: Option<String>,
    /// When it was read.
    pub(crate) at: Option<String>,
    /// Whether it was asked for.
    pub(crate) wanted: bool,
}

impl<T> Default for Read<T> {
    fn default() -> Self {
        Self {
            value: None,
            problem: None,
            at: None,
            wanted: false,
        }
    }
}

/// What panels are about.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) overview: Read<Vec<TpmFacts>>,
    pub(crate) keys: Read<KeysFacts>,
    pub(crate) registers: Read<Vec<RegisterFacts>>,
    /// What registers had when they were read before.
    pub(crate) registers_before: Vec<RegisterFacts>,
    pub(crate) nv: Read<NvMemory>,
    pub(crate) owner: Read<OwnerFacts>,
    pub(crate) doctor: Read<Vec<FindingFacts>>,
    pub(crate) log: Vec<LogFacts>,
}

/// A job that runs.
pub(crate) struct Busy {
    pub(crate) title: String,
    pub(crate) ticks: usize,
    pub(crate) is_cancelled: bool,
}

/// A line for the person at the terminal.
pub(crate) struct Message {
    pub(crate) mark: Mark,
    pub(crate) text: String,
}

/// The manager.
pub(crate) struct Model {
    pub(crate) panel: Panel,
    pub(crate) facts: Facts,
    /// The TPM that was chosen here, if another than the settings' was.
    pub(crate) address: Option<String>,
    /// Whether the TPM may be changed.
    pub(crate) unlocked: bool,
    pub(crate) lockout: Option<LockoutFacts>,
    /// The row that is chosen in each panel, by its key.
    pub(crate) chosen: [Option<String>; Panel::ALL.len()],
    pub(crate) filter: String,
    /// Whether the filter is being typed.
    pub(crate) is_filtering: bool,
    /// Whether the details fill the screen, and how far they are scrolled.
    pub(crate) full: Option<usize>,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) busy: Option<Busy>,
    pub(crate) message: Option<Message>,
    /// Whether the manager ends with the job.
    pub(crate) is_ending: bool,
    /// Lines of the terminal.
    height: u16,
    waiting: VecDeque<Job>,
}

impl Model {
    /// With nothing read yet.
    pub(crate) fn new(panel: Panel) -> Self {
        Self {
            panel,
            facts: Facts::default(),
            address: None,
            unlocked: false,
            lockout: None,
            chosen: Default::default(),
            filter: String::new(),
            is_filtering: false,
            full: None,
            dialog: None,
            busy: None,
            message: None,
            is_ending: false,
            height: 24,
            waiting: VecDeque::new(),
        }
    }

    /// What is to be done first.
    pub(crate) fn start(&mut self) -> Vec<Effect> {
        self.want(Panel::Overview);
        self.want(self.panel);
        self.next()
    }

    /// The present panel as its filter leaves it.
    pub(crate) fn table(&self) -> Table {
        let mut table = panels::table(self, self.panel);
        table.filter(&self.filter);
        table
    }

    /// Where the chosen row is.
    pub(crate) fn position(&self, table: &Table) -> usize {
        let key = self.chosen[self.panel.index()].as_ref();
        key.and_then(|key| table.rows.iter().position(|row| row.key == *key))
            .unwrap_or(0)
    }

    /// The key of the row that actions are about.
    pub(crate) fn chosen_key(&self) -> Option<String> {
        let table = self.table();
        let at = self.position(&table);
        table.rows.get(at).map(|row| row.key.clone())
    }

    /// The TPM that the panels are about, as far as it is known.
    pub(crate) fn tpm(&self) -> Option<&TpmFacts> {
        let all = self.facts.overview.value.as_ref()?;
        all.iter().find(|tpm| match &self.address {
            Some(address) => tpm.address == *address,
            None => tpm.is_chosen,
        })
    }

    /// Whether it is a TPM 1.2, as far as that is known.
    pub(crate) fn is_tpm12(&self) -> bool {
        self.tpm().is_some_and(|tpm| tpm.family.starts_with("1."))
    }

    /// Whether something was read of a panel, or could not be.
    pub(crate) fn is_read(&self, panel: Panel) -> bool {
        match panel {
            Panel::Overview => self.facts.overview.wanted,
            Panel::Keys | Panel::Sealed => self.facts.keys.wanted,
            Panel::Registers => self.facts.registers.wanted,
            Panel::Nv => self.facts.nv.wanted,
            Panel::Owner => self.facts.owner.wanted,
            Panel::Doctor => self.facts.doctor.wanted,
            Panel::Log => true,
        }
    }

    /// When a panel was read.
    pub(crate) fn read_at(&self, panel: Panel) -> Option<&str> {
        match panel {
            Panel::Overview => self.facts.overview.at.as_deref(),
            Panel::Keys | Panel::Sealed => self.facts.keys.at.as_deref(),
            Panel::Registers => self.facts.registers.at.as_deref(),
            Panel::Nv => self.facts.nv.at.as_deref(),
            Panel::Owner => self.facts.owner.at.as_deref(),
            Panel::Doctor => self.facts.doctor.at.as_deref(),
            Panel::Log => None,
        }
    }

    fn set_wanted(&mut self, panel: Panel, wanted: bool) {
        match panel {
            Panel::Overview => self.facts.overview.wanted = wanted,
            Panel::Keys | Panel::Sealed => self.facts.keys.wanted = wanted,
            Panel::Registers => self.facts.registers.wanted = wanted,
            Panel::Nv => self.facts.nv.wanted = wanted,
            Panel::Owner => self.facts.owner.wanted = wanted,
            Panel::Doctor => self.facts.doctor.wanted = wanted,
            Panel::Log => {}
        }
    }

    /// Reads a panel when its turn comes.
    fn want(&mut self, panel: Panel) {
        // One reading is for both.
        let panel = match panel {
            Panel::Sealed => Panel::Keys,
            panel => panel,
        };
        let is_there = |job: &Job| matches!(job, Job::Read(other) if *other == panel);
        if panel != Panel::Log && !self.waiting.iter().any(is_there) {
            self.set_wanted(panel, true);
            self.waiting.push_back(Job::Read(panel));
        }
    }

    /// Begins what waits, unless something runs.
    fn next(&mut self) -> Vec<Effect> {
        if self.busy.is_some() {
            return Vec::new();
        }
        let Some(job) = self.waiting.pop_front() else {
            return match self.is_ending {
                true => vec![Effect::Quit],
                false => Vec::new(),
            };
        };
        self.busy = Some(Busy {
            title: job.title(),
            ticks: 0,
            is_cancelled: false,
        });
        let address = self.address.clone();
        vec![Effect::Run { job, address }]
    }

    fn say(&mut self, mark: Mark, text: impl Into<String>) {
        self.message = Some(Message {
            mark,
            text: text.into(),
        });
    }
}
