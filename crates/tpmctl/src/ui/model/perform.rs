//! What is done by a key, and what is asked before.

use keys::printable;
use tss::tpm2::constants::handle;

use super::actions::{LOCKED, Verb, hierarchy};
use super::dialog::{Dialog, Plan, Question, Questions};
use super::facts::{Mark, Place, TpmFacts};
use super::job::Job;
use super::table::Detail;
use super::{Effect, Model};

impl Model {
    /// Does it, or asks first.
    pub(super) fn perform(&mut self, verb: Verb) -> Vec<Effect> {
        match verb {
            Verb::Details => {
                self.full = Some(0);
                Vec::new()
            }
            Verb::Choose => self.choose(),
            Verb::SelfTest => self.begin(Job::SelfTest),
            Verb::Cure => self.cure(),
            Verb::TestKey => {
                let Some(key) = self.chosen_fact().cloned() else {
                    return Vec::new();
                };
                let Place::File(path) = key.place else {
                    return Vec::new();
                };
                if !key.has_pin {
                    return self.begin(Job::TestKey { path, secret: None });
                }
                let meaning = vec![Detail::Text(
                    "The key has an authorization value. A wrong one counts towards the TPM's lockout.".to_owned(),
                )];
                let title = format!("Try {}", printable::path(&path));
                self.ask(
                    title,
                    meaning,
                    Plan::TestKey { path },
                    vec![Question::Secret(OF_KEY)],
                )
            }
            Verb::Persist => {
                let Some(Place::File(path)) = self.chosen_fact().map(|key| key.place.clone())
                else {
                    return Vec::new();
                };
                let meaning = vec![Detail::Text(
                    "The key gets the next free handle from 0x81020000 on. Its file stays as it is.".to_owned(),
                )];
                let title = format!("Make {} persistent", printable::path(&path));
                let questions = self.owners(vec![Question::Agree]);
                self.ask(title, meaning, Plan::Persist { path }, questions)
            }
            Verb::Evict => {
                let Some(key) = self.chosen_fact().cloned() else {
                    return Vec::new();
                };
                let Place::Handle(at) = key.place else {
                    return Vec::new();
                };
                let lost = match at {
                    handle::SRK => {
                        "This is the storage root key. Key files below the owner hierarchy go on working; those with \
                         the parent 0x81000001 do not until it is made again."
                    }
                    _ => "Unless there is a key file of it, it is lost for ever.",
                };
                let meaning = vec![
                    Detail::Fact(
                        "key".to_owned(),
                        format!("{}, {}", key.algorithm, key.purpose),
                    ),
                    Detail::Fact("name".to_owned(), key.name),
                    Detail::Text(lost.to_owned()),
                ];
                let title = format!("Remove {}", crate::display::hex(at));
                let questions = self.owners(vec![Question::Word("remove")]);
                self.ask(title, meaning, Plan::Evict { handle: at }, questions)
            }
            Verb::CreateSrk => {
                let meaning = vec![Detail::Text(
                    "The storage root key at 0x81000001 is the parent of key files: with it they are loaded in one \
                     command."
                        .to_owned(),
                )];
                let questions = self.owners(vec![Question::Agree]);
                self.ask(
                    "Make the storage root key".to_owned(),
                    meaning,
                    Plan::CreateSrk,
                    questions,
                )
            }
            Verb::SetAuth => self.set_auth(),
            Verb::ResetLockout => self.reset_lockout(),
            // Asked when it is known what is lost.
            Verb::Clear => self.begin(Job::Loss),
            Verb::Flush => {
                let meaning = vec![Detail::Text(
                    "All objects and sessions that are in the TPM go. Programs that use one of them now fail, unless \
                     they load it again."
                        .to_owned(),
                )];
                self.ask(
                    "Remove what is loaded".to_owned(),
                    meaning,
                    Plan::Flush,
                    vec![Question::Word("flush")],
                )
            }
        }
    }

    /// The owner's value besides, unless the TPM says that there is none.
    fn owners(&self, mut rest: Vec<Question>) -> Vec<Question> {
        if self.tpm().and_then(|tpm| tpm.owner_set) != Some(false) {
            rest.push(Question::Secret(OF_OWNER));
        }
        rest
    }

    pub(super) fn ask(
        &mut self,
        title: String,
        meaning: Vec<Detail>,
        plan: Plan,
        left: Vec<Question>,
    ) -> Vec<Effect> {
        self.dialog = Some(Dialog::Questions(Box::new(Questions::new(
            title, meaning, plan, left,
        ))));
        Vec::new()
    }

    fn reset_lockout(&mut self) -> Vec<Effect> {
        let facts = self
            .facts
            .owner
            .value
            .as_ref()
            .and_then(|owner| owner.lockout.as_ref());
        // The doctor's panel knows the overview's alone.
        let lockout = facts.or(self.lockout.as_ref());
        let asks = lockout.is_none_or(|lockout| lockout.auth_set != Some(false));
        let mut meaning = Vec::new();
        if let Some(lockout) = lockout {
            let text = crate::ui::panels::overview::sentence(lockout);
            meaning.push(Detail::Fact("lockout".to_owned(), text));
        }
        let question = match asks {
            true => {
                let until = match self.is_tpm12() {
                    true => "for a day, or until it is restarted",
                    false => "until the recovery time has passed",
                };
                meaning.push(Detail::Text(format!(
                    "There is one try: after a wrong value the TPM takes none for this {until}."
                )));
                Question::Secret(match self.is_tpm12() {
                    true => OWNERS_SECRET,
                    false => "The lockout authorization",
                })
            }
            false => Question::Agree,
        };
        self.ask(
            "Reset the lockout".to_owned(),
            meaning,
            Plan::ResetLockout,
            vec![question],
        )
    }

    /// Asks for the word and for the value, before what clearing loses.
    pub(super) fn ask_to_clear(&mut self, loss: Vec<Detail>) {
        let lockout = self.lockout.as_ref();
        let mut questions = vec![Question::Word("clear")];
        if self.is_tpm12() {
            questions.push(Question::Secret(OWNERS_SECRET));
        } else if lockout.is_none_or(|lockout| lockout.auth_set != Some(false)) {
            questions.push(Question::Secret("The lockout authorization"));
        }
        self.ask("Clear the TPM".to_owned(), loss, Plan::Clear, questions);
    }

    fn set_auth(&mut self) -> Vec<Effect> {
        let Some(hierarchy) = self.chosen_key().as_deref().and_then(hierarchy) else {
            return Vec::new();
        };
        let hierarchies = self
            .facts
            .owner
            .value
            .as_ref()
            .map(|owner| owner.hierarchies.as_slice());
        let mut known = hierarchies.unwrap_or_default().iter();
        let is_set = known
            .find(|it| it.name == hierarchy.name())
            .and_then(|it| it.is_set);
        let (made_up, has) = match self.is_tpm12() {
            true => (
                "tpmctl owner passwd --old file:OLD --random FILE",
                OWNERS_SECRET,
            ),
            false => ("tpmctl owner passwd --random FILE", "The value that it has"),
        };
        let meaning = vec![Detail::Text(format!(
            "Who loses the value can no longer change it, nor clear the TPM but in the firmware setup. One that is made \
             up and written to a file: {made_up}."
        ))];
        let mut questions = Vec::new();
        if is_set != Some(false) {
            questions.push(Question::Secret(has));
        }
        questions.push(Question::Word("change"));
        questions.push(Question::NewSecret("The new value"));
        let title = format!("Set the authorization value of {}", hierarchy.name());
        self.ask(title, meaning, Plan::SetAuth { hierarchy }, questions)
    }

    /// The other panels are about the TPM of the row.
    fn choose(&mut self) -> Vec<Effect> {
        let Some(address) = self.chosen_key() else {
            return Vec::new();
        };
        let is_default = |tpm: &TpmFacts| tpm.is_chosen && tpm.address == address;
        let all = self.facts.overview.value.as_deref().unwrap_or_default();
        let wanted = match all.iter().any(is_default) {
            true => None,
            false => Some(address.clone()),
        };
        if wanted != self.address {
            self.address = wanted;
            // What was read is of another TPM.
            self.facts.keys = super::Read::default();
            self.facts.registers = super::Read::default();
            self.facts.registers_before.clear();
            self.facts.nv = super::Read::default();
            self.facts.owner = super::Read::default();
            self.facts.doctor = super::Read::default();
            self.lockout = self.tpm().and_then(|tpm| tpm.lockout.clone());
        }
        self.say(Mark::Plain, format!("the panels are about {address}"));
        Vec::new()
    }

    /// Shows what mends a finding; what can be done here is begun.
    fn cure(&mut self) -> Vec<Effect> {
        let Some(chosen) = self.chosen_key() else {
            return Vec::new();
        };
        let findings = self.facts.doctor.value.as_deref().unwrap_or_default();
        let Some(finding) = findings
            .iter()
            .find(|finding| finding.layer == chosen)
            .cloned()
        else {
            return Vec::new();
        };
        if finding.commands.is_empty() {
            let text = match finding.mark {
                Mark::Warning | Mark::Bad => "no command mends this; d shows what was found",
                _ => "there is nothing to mend",
            };
            self.say(Mark::Plain, text);
            return Vec::new();
        }
        let verb = finding.commands.iter().find_map(|command| cure_of(command));
        if let Some(verb) = verb {
            if !verb.changes() || self.unlocked {
                return self.perform(verb);
            }
            self.say(
                Mark::Warning,
                format!("{} does it: {LOCKED}", finding.commands[0]),
            );
        }
        let mut details = vec![Detail::Text(finding.what), Detail::Text(finding.why)];
        details.push(Detail::Text(
            match verb {
                Some(_) => "Unlocked (u), Enter does it. Or type, at a shell:",
                None => "Type, at a shell:",
            }
            .to_owned(),
        ));
        details.extend(finding.commands.into_iter().map(Detail::Command));
        self.dialog = Some(Dialog::Text {
            mark: finding.mark,
            title: format!("What mends layer {}, {}", finding.number, finding.layer),
            details,
            scroll: 0,
        });
        Vec::new()
    }
}

const OWNERS_SECRET: &str = "The owner's secret (40 zeros: the well-known one)";
const OF_KEY: &str = "The key's authorization value";
const OF_OWNER: &str =
    "The owner's authorization value (Enter alone: none, or that of the settings)";

/// What does the same here as a command that the doctor names.
fn cure_of(command: &str) -> Option<Verb> {
    let command = command.strip_prefix("sudo ").unwrap_or(command);
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["tpmctl", "srk", "create"] => Some(Verb::CreateSrk),
        ["tpmctl", "flush", ..] => Some(Verb::Flush),
        ["tpmctl", "selftest"] => Some(Verb::SelfTest),
        ["tpmctl", "lockout", "reset", ..] => Some(Verb::ResetLockout),
        _ => None,
    }
}
