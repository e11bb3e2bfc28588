//! What stands before the panels: a text to be read, or questions before an action.

use std::path::PathBuf;

use crypto::Secret;
use zeroize::Zeroizing;

use super::facts::Mark;
use super::job::Job;
use super::table::Detail;
use crate::owner::args::Hierarchy;

/// The longest value that is typed, in bytes: its buffer never grows, which would leave a copy behind.
const MOST: usize = 256;

/// What is before the panels.
pub(crate) enum Dialog {
    /// All keys.
    Help { scroll: usize },
    /// A text.
    Text {
        mark: Mark,
        title: String,
        details: Vec<Detail>,
        scroll: usize,
    },
    /// Questions, then the action.
    Questions(Box<Questions>),
}

/// What an action needs to know first.
pub(crate) struct Questions {
    pub(crate) title: String,
    /// What it means.
    pub(crate) meaning: Vec<Detail>,
    pub(crate) plan: Plan,
    /// Those that are left, the present one first.
    pub(crate) left: Vec<Question>,
    /// What is typed.
    pub(crate) typed: Typed,
    /// What was wrong with the last answer.
    pub(crate) complaint: Option<String>,
    /// The answer before, of a value that is typed twice.
    pub(super) first: Option<Secret>,
    pub(super) answers: Vec<Option<Secret>>,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// A value that is there already. With nothing typed there is none.
    Secret(&'static str),
    /// A new value, typed twice.
    NewSecret(&'static str),
    /// A word, without which nothing is done.
    Word(&'static str),
    /// Enter goes on.
    Agree,
}

/// The action behind the questions.
pub(crate) enum Plan {
    TestKey { path: PathBuf },
    Persist { path: PathBuf },
    Evict { handle: u32 },
    CreateSrk,
    ResetLockout,
    SetAuth { hierarchy: Hierarchy },
    Flush,
    Clear,
}

impl Plan {
    /// With the answers in the order of the questions; `None` for those that are missing.
    fn job(self, mut answers: Vec<Option<Secret>>) -> Option<Job> {
        let mut next = || {
            if answers.is_empty() {
                None
            } else {
                answers.remove(0)
            }
        };
        Some(match self {
            Self::TestKey { path } => Job::TestKey {
                path,
                secret: next(),
            },
            Self::Persist { path } => Job::Persist {
                path,
                owner: next(),
            },
            Self::Evict { handle } => Job::Evict {
                handle,
                owner: next(),
            },
            Self::CreateSrk => Job::CreateSrk { owner: next() },
            Self::ResetLockout => Job::ResetLockout { auth: next() },
            Self::SetAuth { hierarchy } => {
                let new = answers.pop()??;
                let old = answers.pop().flatten();
                Job::SetAuth {
                    hierarchy,
                    old,
                    new,
                }
            }
            Self::Flush => Job::Flush,
            Self::Clear => Job::Clear { auth: next() },
        })
    }
}

/// What became of an answer.
pub(crate) enum Answered {
    /// There is more to answer.
    More,
    /// The action may begin.
    Job(Job),
    /// Nothing is done.
    Nothing(&'static str),
}

impl Questions {
    pub(crate) fn new(
        title: impl Into<String>,
        meaning: Vec<Detail>,
        plan: Plan,
        left: Vec<Question>,
    ) -> Self {
        Self {
            title: title.into(),
            meaning,
            plan,
            left,
            typed: Typed::new(),
            complaint: None,
            first: None,
            answers: Vec::new(),
        }
    }

    /// What is asked now.
    pub(crate) fn prompt(&self) -> String {
        match self.left.first() {
            Some(Question::NewSecret(what)) if self.first.is_some() => format!("{what}, once more"),
            Some(Question::Secret(what) | Question::NewSecret(what)) => (*what).to_owned(),
            Some(Question::Word(word)) => format!("Type the word {word}"),
            Some(Question::Agree) | None => "Enter goes on, Esc gives up".to_owned(),
        }
    }

    /// Takes what is typed as the answer.
    pub(crate) fn answer(mut self: Box<Self>) -> (Option<Box<Self>>, Answered) {
        self.complaint = None;
        let typed = std::mem::replace(&mut self.typed, Typed::new());
        match self.left.first() {
            None | Some(Question::Agree) => {}
            Some(Question::Word(word)) if typed.text() == *word => {}
            Some(Question::Word(_)) => {
                return (
                    None,
                    Answered::Nothing("another word was typed; nothing was done"),
                );
            }
            Some(Question::Secret(_)) => {
                let secret = typed.secret();
                self.answers
                    .push(Some(secret).filter(|secret| !secret.is_empty()));
            }
            Some(Question::NewSecret(_)) => {
                let secret = typed.secret();
                match self.first.take() {
                    None if secret.is_empty() => {
                        self.complaint = Some("an empty value is none".to_owned());
                        return (Some(self), Answered::More);
                    }
                    None => {
                        self.first = Some(secret);
                        return (Some(self), Answered::More);
                    }
                    Some(first) if first != secret => {
                        self.complaint = Some("the two values differ: type it again".to_owned());
                        return (Some(self), Answered::More);
                    }
                    Some(_) => self.answers.push(Some(secret)),
                }
            }
        }
        if !self.left.is_empty() {
            self.left.remove(0);
        }
        if !self.left.is_empty() {
            return (Some(self), Answered::More);
        }
        match self.plan.job(self.answers) {
            Some(job) => (None, Answered::Job(job)),
            None => (
                None,
                Answered::Nothing("an answer is missing; nothing was done"),
            ),
        }
    }
}

/// What is typed: wiped when it goes, and never longer than its buffer.
pub(crate) struct Typed(Zeroizing<Vec<u8>>);

impl Typed {
    pub(crate) fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(MOST)))
    }

    /// Adds a character; false if there is no room.
    pub(crate) fn push(&mut self, character: char) -> bool {
        let mut octets = Zeroizing::new([0u8; 4]);
        let encoded = character.encode_utf8(&mut *octets);
        let fits = self.0.len() + encoded.len() <= MOST;
        if fits {
            self.0.extend_from_slice(encoded.as_bytes());
        }
        fits
    }

    pub(crate) fn erase(&mut self) {
        while let Some(octet) = self.0.pop() {
            if octet & 0xc0 != 0x80 {
                return;
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// For what is no secret.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn secret(&self) -> Secret {
        Secret::from(&self.0[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions(left: Vec<Question>) -> Box<Questions> {
        let plan = Plan::SetAuth {
            hierarchy: Hierarchy::Owner,
        };
        Box::new(Questions::new("title", Vec::new(), plan, left))
    }

    fn type_in(mut asked: Box<Questions>, text: &str) -> (Option<Box<Questions>>, Answered) {
        for character in text.chars() {
            assert!(asked.typed.push(character));
        }
        asked.answer()
    }

    #[test]
    fn a_new_value_is_typed_twice() {
        let asked = questions(vec![Question::Secret("old"), Question::NewSecret("new")]);
        let (asked, _) = type_in(asked, "old");
        let (asked, _) = type_in(asked.unwrap(), "né");
        assert_eq!(asked.as_ref().unwrap().prompt(), "new, once more");
        let (asked, _) = type_in(asked.unwrap(), "other");
        assert!(asked.as_ref().unwrap().complaint.is_some());
        let (asked, _) = type_in(asked.unwrap(), "né");
        let (asked, answered) = type_in(asked.unwrap(), "né");
        assert!(asked.is_none());
        let Answered::Job(Job::SetAuth { old, new, .. }) = answered else {
            panic!("no job")
        };
        assert_eq!(
            (&old.unwrap()[..], &new[..]),
            (&b"old"[..], "né".as_bytes())
        );
    }

    #[test]
    fn without_the_word_nothing_is_done() {
        for (typed, is_done) in [("clear", true), ("Clear", false), ("", false)] {
            let plan = Plan::Flush;
            let left = vec![Question::Word("clear")];
            let asked = Box::new(Questions::new("title", Vec::new(), plan, left));
            let (_, answered) = type_in(asked, typed);
            assert_eq!(matches!(answered, Answered::Job(_)), is_done, "{typed}");
        }
    }

    #[test]
    fn what_is_typed_has_an_end() {
        let mut typed = Typed::new();
        let room = typed.0.capacity();
        while typed.push('é') {}
        assert_eq!(typed.0.len(), MOST);
        assert_eq!(typed.0.capacity(), room);
        typed.erase();
        assert_eq!(typed.0.len(), MOST - 2);
        typed.clear();
        typed.erase();
        assert_eq!(typed.text(), "");
    }
}
