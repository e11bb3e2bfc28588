//! What becomes of the worker's reports.

use super::dialog::Dialog;
use super::facts::{LogFacts, Mark};
use super::job::{Report, Value};
use super::{Effect, Model, Panel};

/// The longest log; the oldest go.
const MOST_LOGGED: usize = 500;

impl Model {
    pub(super) fn report(&mut self, report: Report) -> Vec<Effect> {
        let was_cancelled = self.busy.take().is_some_and(|busy| busy.is_cancelled);
        let Report {
            of,
            result,
            lockout,
            at,
            took_ms,
            notes,
        } = report;
        if lockout.is_some() {
            self.lockout = lockout;
        }
        let (mark, outcome) = match &result {
            Err(text) => (Mark::Bad, text.clone()),
            Ok(Value::Done(text)) => (Mark::Good, text.clone()),
            Ok(Value::Said { mark, title, .. }) => (*mark, title.clone()),
            Ok(_) => (Mark::Good, "read".to_owned()),
        };
        self.facts.log.push(LogFacts {
            at: at.clone(),
            lines: vec![of.line],
            mark,
            outcome: outcome.clone(),
            took_ms,
            notes: notes.clone(),
        });
        if self.facts.log.len() > MOST_LOGGED {
            self.facts.log.remove(0);
        }
        match (of.panel, result) {
            (Some(panel), Err(text)) => {
                if was_cancelled {
                    // Shown again, it is read again.
                    self.set_wanted(panel, false);
                }
                self.failed(panel, text);
            }
            (None, Err(text)) => {
                let mut details = vec![super::table::Detail::Text(text)];
                details.extend(notes.into_iter().map(super::table::Detail::Text));
                let tries = self
                    .lockout
                    .as_ref()
                    .filter(|lockout| lockout.counter > Some(0));
                if let Some(lockout) = tries {
                    details.push(super::table::Detail::Fact(
                        "wrong tries".to_owned(),
                        lockout.tries(),
                    ));
                }
                self.dialog = Some(Dialog::Text {
                    mark: Mark::Bad,
                    title: "It failed".to_owned(),
                    details,
                    scroll: 0,
                });
            }
            (_, Ok(value)) => self.take(value, at),
        }
        if of.changes {
            // What was read may be so no more.
            for panel in Panel::ALL {
                if panel != self.panel && panel != Panel::Overview {
                    self.set_wanted(panel, false);
                }
            }
            self.want(Panel::Overview);
            self.want(self.panel);
        }
        self.next()
    }

    fn failed(&mut self, panel: Panel, text: String) {
        self.say(Mark::Bad, text.clone());
        match panel {
            Panel::Overview => self.facts.overview.problem = Some(text),
            Panel::Keys | Panel::Sealed => self.facts.keys.problem = Some(text),
            Panel::Registers => self.facts.registers.problem = Some(text),
            Panel::Nv => self.facts.nv.problem = Some(text),
            Panel::Owner => self.facts.owner.problem = Some(text),
            Panel::Doctor => self.facts.doctor.problem = Some(text),
            Panel::Log => {}
        }
    }

    fn take(&mut self, value: Value, at: String) {
        fn put<T>(place: &mut super::Read<T>, value: T, at: String) {
            place.value = Some(value);
            place.problem = None;
            place.at = Some(at);
            place.wanted = true;
        }
        match value {
            Value::Overview(all) => {
                put(&mut self.facts.overview, all, at);
                self.lockout = self.tpm().and_then(|tpm| tpm.lockout.clone());
            }
            Value::Keys(keys) => put(&mut self.facts.keys, keys, at),
            Value::Registers(registers) => {
                let read = &mut self.facts.registers;
                self.facts.registers_before = read.value.take().unwrap_or_default();
                put(read, registers, at);
            }
            Value::Nv(indices) => put(&mut self.facts.nv, indices, at),
            Value::Owner(owner) => {
                self.lockout.clone_from(&owner.lockout);
                put(&mut self.facts.owner, owner, at);
            }
            Value::Doctor(findings) => put(&mut self.facts.doctor, findings, at),
            Value::Said {
                mark,
                title,
                details,
            } => {
                self.dialog = Some(Dialog::Text {
                    mark,
                    title,
                    details,
                    scroll: 0,
                });
            }
            Value::Loss(loss) => self.ask_to_clear(loss),
            Value::Done(text) => self.say(Mark::Good, text),
        }
    }
}
