//! What happens when something has happened.

use super::actions::Offer;
use super::dialog::{Answered, Dialog, Question};
use super::facts::Mark;
use super::job::Job;
use super::{Effect, Event, Model, Panel};
use crate::ui::input::Key;

impl Model {
    /// Takes note of an event, and says what is to be done.
    pub(crate) fn update(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Resize { height } => {
                self.height = height;
                Vec::new()
            }
            Event::Tick => {
                if let Some(busy) = &mut self.busy {
                    busy.ticks += 1;
                }
                Vec::new()
            }
            Event::Report(report) => self.report(*report),
            Event::Key(key) => self.key(key),
        }
    }

    fn key(&mut self, key: Key) -> Vec<Effect> {
        match key {
            Key::Ctrl('c') => return self.interrupt(),
            Key::Ctrl('z') => return vec![Effect::Suspend],
            Key::Ctrl('l') => return vec![Effect::Redraw],
            _ => {}
        }
        if let Some(dialog) = self.dialog.take() {
            return self.dialog_key(dialog, key);
        }
        if self.is_filtering {
            return self.filter_key(key);
        }
        self.message = None;
        if self.full.is_some() {
            return self.full_key(key);
        }
        self.panel_key(key)
    }

    /// Ctrl-C ends what is before the panel, what runs, or the manager.
    fn interrupt(&mut self) -> Vec<Effect> {
        if self.dialog.take().is_some() {
            self.say(Mark::Plain, "given up; nothing was done");
            return Vec::new();
        }
        match self.busy.is_some() {
            true => self.cancel(),
            false => vec![Effect::Quit],
        }
    }

    /// A job is told to end; a second time the manager does not wait for it.
    fn cancel(&mut self) -> Vec<Effect> {
        let Some(busy) = &mut self.busy else {
            return Vec::new();
        };
        self.waiting.clear();
        if busy.is_cancelled {
            return vec![Effect::Quit];
        }
        busy.is_cancelled = true;
        self.say(
            Mark::Warning,
            "cancelled: this ends when the TPM is done with its command; Ctrl-C once more leaves at once",
        );
        vec![Effect::Cancel]
    }

    fn quit(&mut self) -> Vec<Effect> {
        if self.busy.is_none() {
            return vec![Effect::Quit];
        }
        self.is_ending = true;
        self.cancel()
    }

    fn panel_key(&mut self, key: Key) -> Vec<Effect> {
        match key {
            Key::Esc => self.back(),
            Key::Char('q') => return self.quit(),
            Key::Char('?') => self.dialog = Some(Dialog::Help { scroll: 0 }),
            Key::Char('/') => self.is_filtering = true,
            Key::Char('u') => self.unlock(),
            Key::Char('r') => return self.refresh(),
            Key::Char('c') if self.busy.is_some() => return self.cancel(),
            Key::Tab | Key::Right => return self.show(self.neighbour(1)),
            Key::BackTab | Key::Left => return self.show(self.neighbour(Panel::ALL.len() - 1)),
            Key::Char(digit @ '1'..='9') => {
                let number = usize::from(digit as u8 - b'1');
                if let Some(panel) = Panel::ALL.get(number) {
                    return self.show(*panel);
                }
            }
            Key::Up | Key::Char('k') => self.walk(-1),
            Key::Down | Key::Char('j') => self.walk(1),
            Key::PageUp => self.walk(-self.page()),
            Key::PageDown => self.walk(self.page()),
            Key::Home | Key::Char('g') => self.walk(isize::MIN),
            Key::End | Key::Char('G') => self.walk(isize::MAX),
            key => return self.offered(key),
        }
        Vec::new()
    }

    fn offered(&mut self, key: Key) -> Vec<Effect> {
        let offer = self.offers().into_iter().find(|offer| offer.key == key);
        match offer {
            Some(Offer {
                refused: Some(refused),
                label,
                ..
            }) => {
                self.say(Mark::Warning, format!("{label}: {refused}"));
                Vec::new()
            }
            Some(offer) => self.perform(offer.verb),
            None => Vec::new(),
        }
    }

    fn back(&mut self) {
        if !self.filter.is_empty() {
            self.filter.clear();
        } else if self.panel != Panel::Overview {
            self.panel = Panel::Overview;
        } else {
            self.say(Mark::Plain, "q ends the manager");
        }
    }

    fn unlock(&mut self) {
        self.unlocked = !self.unlocked;
        match self.unlocked {
            true => self.say(
                Mark::Warning,
                "unlocked: keys may change the TPM now; u locks it again",
            ),
            false => self.say(Mark::Plain, "read-only again"),
        }
    }

    fn refresh(&mut self) -> Vec<Effect> {
        if self.panel == Panel::Log {
            self.say(Mark::Plain, "the log is always current");
            return Vec::new();
        }
        self.want(self.panel);
        self.next()
    }

    fn neighbour(&self, step: usize) -> Panel {
        Panel::ALL[(self.panel.index() + step) % Panel::ALL.len()]
    }

    /// Goes to a panel, which is read when it is shown for the first time.
    fn show(&mut self, panel: Panel) -> Vec<Effect> {
        if panel != self.panel {
            self.panel = panel;
            self.filter.clear();
        }
        if !self.is_read(panel) {
            self.want(panel);
        }
        self.next()
    }

    fn page(&self) -> isize {
        isize::try_from(self.height / 2).unwrap_or(10).max(1)
    }

    fn walk(&mut self, by: isize) {
        let table = self.table();
        let Some(last) = table.rows.len().checked_sub(1) else {
            return;
        };
        let at = self.position(&table).saturating_add_signed(by).min(last);
        self.chosen[self.panel.index()] = Some(table.rows[at].key.clone());
    }

    fn full_key(&mut self, key: Key) -> Vec<Effect> {
        let scroll = self.full.unwrap_or(0);
        let page = usize::from(self.height / 2).max(1);
        match key {
            Key::Esc | Key::Char('d') => self.full = None,
            Key::Char('q') => return self.quit(),
            Key::Char('?') => self.dialog = Some(Dialog::Help { scroll: 0 }),
            key => self.full = Some(scrolled(scroll, key, page)),
        }
        Vec::new()
    }

    fn filter_key(&mut self, key: Key) -> Vec<Effect> {
        match key {
            Key::Esc => {
                self.filter.clear();
                self.is_filtering = false;
            }
            Key::Enter => self.is_filtering = false,
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Ctrl('u') => self.filter.clear(),
            Key::Char(character) if self.filter.len() < 100 => self.filter.push(character),
            Key::Up => self.walk(-1),
            Key::Down => self.walk(1),
            _ => {}
        }
        Vec::new()
    }

    fn dialog_key(&mut self, dialog: Dialog, key: Key) -> Vec<Effect> {
        let page = usize::from(self.height / 2).max(1);
        match dialog {
            Dialog::Help { scroll } => match key {
                Key::Esc | Key::Char('?' | 'q') | Key::Enter => {}
                key => {
                    self.dialog = Some(Dialog::Help {
                        scroll: scrolled(scroll, key, page),
                    })
                }
            },
            Dialog::Text {
                mark,
                title,
                details,
                scroll,
            } => match key {
                Key::Esc | Key::Enter | Key::Char('q') => {}
                key => {
                    let scroll = scrolled(scroll, key, page);
                    self.dialog = Some(Dialog::Text {
                        mark,
                        title,
                        details,
                        scroll,
                    });
                }
            },
            Dialog::Questions(mut asked) => {
                match key {
                    Key::Esc => {
                        self.say(Mark::Plain, "given up; nothing was done");
                        return Vec::new();
                    }
                    Key::Enter => {
                        let (left, answered) = asked.answer();
                        self.dialog = left.map(Dialog::Questions);
                        return match answered {
                            Answered::More => Vec::new(),
                            Answered::Job(job) => self.begin(job),
                            Answered::Nothing(text) => {
                                self.say(Mark::Warning, text);
                                Vec::new()
                            }
                        };
                    }
                    Key::Backspace => asked.typed.erase(),
                    Key::Ctrl('u') => asked.typed.clear(),
                    Key::Char(character) if asked.left.first() != Some(&Question::Agree) => {
                        asked.complaint = None;
                        if !asked.typed.push(character) {
                            asked.complaint = Some("no value is so long".to_owned());
                        }
                    }
                    _ => {}
                }
                self.dialog = Some(Dialog::Questions(asked));
            }
        }
        Vec::new()
    }

    /// Begins a job of somebody's who is told if it cannot be.
    pub(super) fn begin(&mut self, job: Job) -> Vec<Effect> {
        if let Some(busy) = &self.busy {
            let text = format!("wait: {}; c cancels it", busy.title);
            self.say(Mark::Warning, text);
            return Vec::new();
        }
        self.waiting.push_front(job);
        self.next()
    }
}

/// Where a text is scrolled to; the view does not go behind its end.
fn scrolled(scroll: usize, key: Key, page: usize) -> usize {
    match key {
        Key::Up | Key::Char('k') => scroll.saturating_sub(1),
        Key::Down | Key::Char('j') => scroll.saturating_add(1),
        Key::PageUp => scroll.saturating_sub(page),
        Key::PageDown | Key::Char(' ') => scroll.saturating_add(page),
        Key::Home | Key::Char('g') => 0,
        _ => scroll,
    }
}
