//! The table: every operation under every attack with every setting, what may happen there, and its text.

use super::judge::{Case, Harm, Made, Outcome, judge, made};
use super::operations::{Operation, Place, Wanted};
use super::world::{PERSISTED, ROUNDS, World, endpoint};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use testkit::interposer::strategy::Strategy;
use testkit::interposer::{ATTACKS, Attack, Interposer, Loot};
use testkit::openssl::{Config, Openssl};
use testkit::process::Done;
use testkit::scratch::Scratch;
use testkit::swtpm::Swtpm;
use testkit::tpm::{OWNER, cc};

/// The settings that decide what is authenticated, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// No setting at all.
    Default,
    /// `parent-name`, with the name.
    Anchored,
    /// `parent-name = first-use`, after a first use with nobody in between.
    FirstUse,
    /// `sessions = always`.
    Always,
    /// Both.
    AnchoredAlways,
    /// `sessions = never`.
    Never,
}

pub const SETTINGS: [Setting; 6] = [
    Setting::Default,
    Setting::Anchored,
    Setting::FirstUse,
    Setting::Always,
    Setting::AnchoredAlways,
    Setting::Never,
];

impl Setting {
    pub fn title(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Anchored => "parent-name",
            Self::FirstUse => "first-use",
            Self::Always => "always",
            Self::AnchoredAlways => "always, parent-name",
            Self::Never => "never",
        }
    }

    pub fn is_anchored(self) -> bool {
        matches!(self, Self::Anchored | Self::FirstUse | Self::AnchoredAlways)
    }

    fn config(
        self,
        operation: &Operation,
        impatient: bool,
        world: &World,
        trust: &Scratch,
    ) -> Config {
        let mut config = Config::new();
        match self {
            Self::Anchored | Self::AnchoredAlways => {
                config = config.setting("parent-name", &world.parent_name);
            }
            Self::FirstUse => {
                let pins = trust.join("trust").display().to_string();
                config = config
                    .setting("parent-name", "first-use")
                    .setting("trust-dir", &pins);
            }
            _ => {}
        }
        match self {
            Self::Always | Self::AnchoredAlways => config = config.setting("sessions", "always"),
            Self::Never => config = config.setting("sessions", "never"),
            Self::Default | Self::Anchored | Self::FirstUse => {}
        }
        if impatient {
            config = config.setting("timeout", "1");
        }
        if let Some((name, value)) = operation.setting {
            config = config.setting(name, value);
        }
        config
    }
}

/// A harm that is known and said, with the sentence of SECURITY.md.
pub struct Open {
    pub sentence: &'static str,
    pub applies: fn(&Operation, Attack, Setting, Harm) -> bool,
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub attack: Attack,
    pub operation: usize,
    pub setting: Setting,
}

/// Fills the table: `workers` threads, each with TPMs and interposers of its own.
pub fn fill(world: &World, operations: &[Operation], workers: usize) -> BTreeMap<Cell, Outcome> {
    let rows: Vec<(usize, Setting)> = (0..operations.len())
        .flat_map(|operation| SETTINGS.map(|setting| (operation, setting)))
        .collect();
    let next = AtomicUsize::new(0);
    let filled = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let bench = Bench::new(world);
                while let Some(&(operation, setting)) =
                    rows.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let row = bench.row(&operations[operation], setting);
                    filled
                        .lock()
                        .expect("no cell panicked")
                        .extend(row.into_iter().map(|(attack, outcome)| {
                            (
                                Cell {
                                    attack,
                                    operation,
                                    setting,
                                },
                                outcome,
                            )
                        }));
                }
            });
        }
    });
    filled.into_inner().expect("no cell panicked")
}

/// A worker's TPMs.
pub struct Bench<'a> {
    world: &'a World,
    with_srk: Swtpm,
    without_srk: Swtpm,
}

impl<'a> Bench<'a> {
    pub fn new(world: &'a World) -> Self {
        Self {
            world,
            with_srk: world.tpm(true),
            without_srk: world.tpm(false),
        }
    }

    /// Somebody new for each cell: the module remembers between processes what it has left at an address.
    fn interposer(&self, operation: &Operation, attack: Attack) -> Interposer {
        if attack == Attack::FalseTpm {
            return Interposer::alone(&self.world.known);
        }
        Interposer::start(endpoint(self.tpm(operation)), &self.world.known)
    }

    fn tpm(&self, operation: &Operation) -> &Swtpm {
        match operation.srk {
            true => &self.with_srk,
            false => &self.without_srk,
        }
    }

    /// All attacks on an operation with a setting. First nobody attacks: it works, and what it sends says which
    /// attacks have something to strike.
    fn row(&self, operation: &Operation, setting: Setting) -> Vec<(Attack, Outcome)> {
        let control = self.control(operation, setting);
        ATTACKS
            .iter()
            .map(|&attack| {
                // Patience does not hang on the other settings, and pins matter where parents do.
                let skipped = match setting {
                    Setting::Default => false,
                    Setting::FirstUse => !attack.is_of_keys(),
                    _ => attack == Attack::Delayed,
                };
                let outcome = match attack.concerns(&control.codes, operation.aim()) && !skipped {
                    true => self.cell(operation, setting, attack, &control),
                    false => Outcome::Untouched,
                };
                (attack, outcome)
            })
            .collect()
    }

    /// The operation with nobody in between: it works.
    pub fn control(&self, operation: &Operation, setting: Setting) -> Control {
        let between = self.interposer(operation, Attack::None);
        let trust = Scratch::new();
        let openssl = Openssl::with(setting.config(operation, false, self.world, &trust), "");
        let place = self.place(&openssl, &between);
        self.evict(operation);
        let done = (operation.run)(&place, ROUNDS[0]);
        let mut loot = between.loot();
        // What passes in clear is a matter of the attacks' cells.
        loot.learned.clear();
        let control = Control {
            codes: loot.codes.clone(),
            made: None,
        };
        let outcome = judge(
            &self.case(operation, &place, ROUNDS[0], &control),
            &done,
            &loot,
        );
        assert_eq!(
            outcome,
            Outcome::Harmless,
            "{}, {}, with nobody in between\n{done}",
            operation.name,
            setting.title()
        );
        Control {
            made: made(&place),
            ..control
        }
    }

    fn cell(
        &self,
        operation: &Operation,
        setting: Setting,
        attack: Attack,
        control: &Control,
    ) -> Outcome {
        let interposer = self.interposer(operation, attack);
        let impatient = attack == Attack::Delayed;
        let trust = Scratch::new();
        let openssl = Openssl::with(setting.config(operation, impatient, self.world, &trust), "");
        let place = self.place(&openssl, &interposer);
        if setting == Setting::FirstUse {
            // While the machine was trusted. A false TPM is elsewhere, and was never seen before.
            interposer.begin(Attack::None, operation.aim());
            self.evict(operation);
            (operation.run)(&place, ROUNDS[0]);
        }
        interposer.begin(attack, operation.aim());
        let mut case = self.case(operation, &place, ROUNDS[1], control);
        if attack == Attack::Replayed {
            self.evict(operation);
            (operation.run)(&place, ROUNDS[0]);
            case.earlier = made(&place);
            interposer.strike_now();
        }
        let (outcome, done, loot) = self.judged(&case, &interposer);
        show(
            &format!(
                "{} | {} | {}",
                attack.title(),
                operation.name,
                setting.title()
            ),
            outcome,
            &done,
        );
        match outcome {
            Outcome::Wrong(_) => outcome,
            _ if loot.struck == 0 => Outcome::Untouched,
            _ => outcome,
        }
    }

    /// An operation under an attack that is none of the table's.
    pub fn strike(
        &self,
        operation: &Operation,
        setting: Setting,
        strategy: Box<dyn Strategy>,
    ) -> (Outcome, Done) {
        let interposer = self.interposer(operation, Attack::None);
        interposer.use_strategy(strategy);
        let trust = Scratch::new();
        let openssl = Openssl::with(setting.config(operation, false, self.world, &trust), "");
        let place = self.place(&openssl, &interposer);
        let control = Control::default();
        let case = self.case(operation, &place, ROUNDS[1], &control);
        let (outcome, done, loot) = self.judged(&case, &interposer);
        assert!(loot.struck > 0, "nothing was struck\n{done}");
        (outcome, done)
    }

    fn judged(&self, case: &Case<'_>, interposer: &Interposer) -> (Outcome, Done, Loot) {
        self.evict(case.operation);
        let done = (case.operation.run)(case.place, case.round);
        let loot = interposer.loot();
        // Many an attack has the module lose what it loaded.
        sweep(self.tpm(case.operation));
        (judge(case, &done, &loot), done, loot)
    }

    /// Takes away what an earlier run has made persistent.
    fn evict(&self, operation: &Operation) {
        if !matches!(operation.wanted, Wanted::Persistent(_)) {
            return;
        }
        let mut raw = self.tpm(operation).raw();
        if raw.handles(PERSISTED).contains(&PERSISTED) {
            let (rc, _) = raw.authorized(
                cc::EVICT_CONTROL,
                &[OWNER, PERSISTED],
                &PERSISTED.to_be_bytes(),
            );
            assert_eq!(rc, 0, "EvictControl");
        }
    }

    fn place<'b>(&'b self, openssl: &'b Openssl, interposer: &Interposer) -> Place<'b> {
        Place {
            world: self.world,
            openssl,
            address: interposer.address(),
        }
    }

    fn case<'b>(
        &'b self,
        operation: &'b Operation,
        place: &'b Place<'b>,
        round: u8,
        control: &'b Control,
    ) -> Case<'b> {
        Case {
            operation,
            place,
            round,
            control: control.made.as_ref(),
            earlier: None,
            tpm: &self.with_srk,
            own_tpm: self.tpm(operation),
        }
    }
}

/// What an operation does with nobody in between.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// The codes of its commands.
    pub codes: Vec<u32>,
    /// The key that it made.
    made: Option<Made>,
}

/// Shows the cells that `INTERPOSER_SHOW` names a part of.
fn show(cell: &str, outcome: Outcome, done: &Done) {
    if let Some(wanted) = std::env::var_os("INTERPOSER_SHOW")
        && cell.contains(&*wanted.to_string_lossy())
    {
        println!("{cell}: {outcome:?}\n{done}");
    }
}

/// Empties a TPM of what somebody has left in it.
fn sweep(tpm: &Swtpm) {
    let mut raw = tpm.raw();
    for range in [0x8000_0000, 0x0200_0000, 0x0300_0000] {
        for handle in raw.handles(range) {
            // A saved session is flushed by the handle that it had.
            raw.flush(match range {
                0x0300_0000 => handle & 0x00FF_FFFF | 0x0200_0000,
                _ => handle,
            });
        }
    }
}

/// Cells where something wrong was accepted or learned without being known, and sentences that no cell needs.
pub fn faults(
    table: &BTreeMap<Cell, Outcome>,
    operations: &[Operation],
    open: &[Open],
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut used = vec![false; open.len()];
    for (cell, outcome) in table {
        let Outcome::Wrong(harm) = outcome else {
            continue;
        };
        let operation = &operations[cell.operation];
        match sentence(operation, cell, *harm, open) {
            Some(n) => used[n] = true,
            None => faults.push(format!(
                "{}: {}, {}: {}",
                cell.attack.title(),
                operation.name,
                cell.setting.title(),
                outcome.word()
            )),
        }
    }
    for (open, used) in open.iter().zip(used) {
        if !used {
            faults.push(format!("nothing needs the sentence {:?}", open.sentence));
        }
    }
    faults
}

fn sentence(operation: &Operation, cell: &Cell, harm: Harm, open: &[Open]) -> Option<usize> {
    open.iter()
        .position(|open| (open.applies)(operation, cell.attack, cell.setting, harm))
}

/// The table as it stands in docs/interposer.md.
pub fn markdown(
    table: &BTreeMap<Cell, Outcome>,
    operations: &[Operation],
    open: &[Open],
) -> String {
    let mut text = HEAD.to_owned();
    for attack in ATTACKS {
        let _ = writeln!(
            text,
            "\n## {}\n\n{}\n",
            capitalized(attack.title()),
            attack.description()
        );
        // Operations with the same row share one.
        let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            let outcomes = SETTINGS.map(|setting| {
                table[&Cell {
                    attack,
                    operation: index,
                    setting,
                }]
            });
            if outcomes == [Outcome::Untouched; SETTINGS.len()] {
                continue;
            }
            let row = SETTINGS
                .iter()
                .zip(outcomes)
                .map(|(&setting, outcome)| {
                    let cell = Cell {
                        attack,
                        operation: index,
                        setting,
                    };
                    word(operation, &cell, outcome, open)
                })
                .collect::<Vec<_>>()
                .join(" | ");
            match rows.iter_mut().find(|(known, _)| *known == row) {
                Some((_, names)) => names.push(operation.name),
                None => rows.push((row, vec![operation.name])),
            }
        }
        let titles = SETTINGS.map(Setting::title).join(" | ");
        let _ = writeln!(
            text,
            "| operation | {titles} |\n|---|{}",
            "---|".repeat(SETTINGS.len())
        );
        for (row, names) in rows {
            let _ = writeln!(text, "| {} | {row} |", names.join("; "));
        }
    }
    text.push_str("\n## What is open\n\n");
    for (n, open) in open.iter().enumerate() {
        let _ = writeln!(text, "{}. {}", n + 1, open.sentence);
    }
    text
}

fn word(operation: &Operation, cell: &Cell, outcome: Outcome, open: &[Open]) -> String {
    let Outcome::Wrong(harm) = outcome else {
        return outcome.word().to_owned();
    };
    match sentence(operation, cell, harm, open) {
        Some(n) => format!("{} ({})", outcome.word(), n + 1),
        None => format!("{} (NOT KNOWN)", outcome.word()),
    }
}

fn capitalized(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_uppercase() + rest
}

const HEAD: &str = "\
# What an interposer can do

Every operation of the product against somebody who sits between the module and its TPM and answers any command in the
TPM's place: the table that `tests/suite/tpm/interposer/` goes through with a real TPM, a real interposer and software
keys of theirs (`crates/testkit/src/interposer/`). `UPDATE=1 cargo test --release --test suite
tpm::interposer::the_table` writes it.

The columns are settings: none; the right `parent-name`; `parent-name = first-use` after a first use with nobody in between;
`sessions = always`; that and `parent-name`; `sessions = never`. First-use is tried where keys are exchanged, elsewhere it
is as the name itself; the delayed reply is tried with no setting only.

- **refused**: an error, which says what was wrong with the answer
- **denied**: an error, and no harm but that: who sits on the wire can always cut it
- **harmless**: the result is right all the same
- **-**: nothing was sent that this attack changes (operations where that is so with every setting are left out)
- anything in capitals was accepted, or learned, and the number says where it is explained, at the end

A result counts as right only if it is: a new key has the template that was asked for, loads into the TPM, and is none of
the interposer's; a signature verifies under the true public key; a plaintext and an agreed secret are the true ones. The
interposer has a dictionary with the PIN in it and tries it on every HMAC whose session key it has.
";
