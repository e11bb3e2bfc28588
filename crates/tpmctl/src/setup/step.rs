//! The single changes: what becomes of a file, shown first and then done.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use keys::printable;
use serde::Serialize;

use super::mark::{self, Whose};
use super::place::{Place, Root, failed};
use crate::error::Error;

/// Behind the name of a file as it was before.
const BEFORE: &str = ".before-tpmctl";
/// Behind the name of a file of ours that somebody has changed, where it is taken away.
const EDITED: &str = ".edited";

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub(super) enum Act {
    /// The file is written.
    Write {
        #[serde(skip)]
        text: String,
        #[serde(skip)]
        mode: u32,
    },
    /// The file goes.
    Delete,
    /// The file is what it was before.
    Restore,
    /// A directory is made.
    Directory,
    /// A directory goes if there is nothing in it.
    RemoveDirectory,
    /// A user is put into a group.
    Join { user: String, group: String },
    /// A user is taken out of a group.
    Leave { user: String, group: String },
}

/// A change, and where.
#[derive(Serialize)]
pub(super) struct Step {
    /// The file's name on the machine.
    pub(super) path: String,
    #[serde(skip)]
    place: PathBuf,
    #[serde(skip)]
    before: Option<String>,
    #[serde(flatten)]
    pub(super) act: Act,
    /// Where what was there before is kept, or comes back from.
    pub(super) backup: Option<PathBuf>,
}

impl Step {
    fn new(place: Place, act: Act, backup: Option<PathBuf>) -> Self {
        Self {
            path: place.name,
            place: place.path,
            before: place.text,
            act,
            backup,
        }
    }

    /// A file of ours that shall have this text.
    pub(super) fn whole(place: Place, text: &str, mode: u32) -> Option<Self> {
        let text = mark::whole(text);
        let backup = match place.text.as_deref() {
            Some(before) if before == text => return None,
            None => None,
            Some(before) => {
                (mark::of_whole(before) != Whose::Ours).then(|| free(&place.path, BEFORE))
            }
        };
        Some(Self::new(place, Act::Write { text, mode }, backup))
    }

    /// A file of ours that goes; one that somebody has changed is kept under another name.
    pub(super) fn without_whole(place: Place) -> Option<Self> {
        match mark::of_whole(place.text.as_deref()?) {
            Whose::Theirs => None,
            Whose::Edited => {
                let backup = free(&place.path, EDITED);
                Some(Self::new(place, Act::Delete, Some(backup)))
            }
            Whose::Ours => Some(Self::gone(place)),
        }
    }

    /// Takes a file away, for the one that was there before, if there was one.
    fn gone(place: Place) -> Self {
        let before = named(&place.path, BEFORE);
        match before.is_file() {
            true => Self::new(place, Act::Restore, Some(before)),
            false => Self::new(place, Act::Delete, None),
        }
    }

    /// Somebody's file, with our parts where `with` puts them into the rest.
    ///
    /// # Errors
    ///
    /// A part of ours has no end.
    pub(super) fn parts(
        place: Place,
        with: impl FnOnce(&str) -> Result<String, Error>,
    ) -> Result<Option<Self>, Error> {
        let before = place.text.clone();
        let (rest, whose) = rest_of(&place)?;
        let text = with(&rest)?;
        if before.as_deref() == Some(text.as_str()) || (before.is_none() && text.is_empty()) {
            return Ok(None);
        }
        let backup = (before.is_some() && whose != Whose::Ours).then(|| free(&place.path, BEFORE));
        Ok(Some(Self::new(
            place,
            Act::Write { text, mode: 0o644 },
            backup,
        )))
    }

    /// Somebody's file without our parts.
    pub(super) fn without_parts(place: Place) -> Result<Option<Self>, Error> {
        let (rest, whose) = rest_of(&place)?;
        if whose == Whose::Theirs {
            return Ok(None);
        }
        let before = named(&place.path, BEFORE);
        let as_before = fs::read_to_string(&before)
            .is_ok_and(|text| text.trim_end_matches('\n') == rest.trim_end_matches('\n'));
        if whose == Whose::Ours && (as_before || rest.is_empty()) {
            return Ok(Some(Self::gone(place)));
        }
        let backup = (whose == Whose::Edited).then(|| free(&place.path, EDITED));
        Ok(Some(Self::new(
            place,
            Act::Write {
                text: rest,
                mode: 0o644,
            },
            backup,
        )))
    }

    /// A directory that is there, or goes.
    pub(super) fn directory(name: &str, root: &Root, act: Act) -> Result<Option<Self>, Error> {
        let path = root.walk(name)?;
        if path.is_dir() == (act == Act::Directory) {
            return Ok(None);
        }
        let place = Place {
            name: name.to_owned(),
            path,
            text: None,
        };
        Ok(Some(Self::new(place, act, None)))
    }

    /// A membership.
    pub(super) fn member(act: Act) -> Self {
        let place = Place {
            name: "/etc/group".to_owned(),
            path: PathBuf::new(),
            text: None,
        };
        Self::new(place, act, None)
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let kept = |what: &str| match &self.backup {
            Some(path) => format!("; {what} {}", printable::path(path)),
            None => String::new(),
        };
        match &self.act {
            Act::Write { text, .. } => {
                let verb = if self.before.is_some() {
                    "changed"
                } else {
                    "new"
                };
                let head = format!("{}: {verb}{}\n", self.path, kept("as it was:"));
                head + &difference(self.before.as_deref().unwrap_or_default(), text)
            }
            Act::Delete => format!("{}: removed{}\n", self.path, kept("as it was:")),
            Act::Restore => format!("{}: as it was before{}\n", self.path, kept("from")),
            Act::Directory => format!("{}: a new directory\n", self.path),
            Act::RemoveDirectory => format!("{}: removed, if it is empty\n", self.path),
            Act::Join { user, group } => {
                format!("{}: {user} is put into group {group}\n", self.path)
            }
            Act::Leave { user, group } => {
                format!("{}: {user} is taken out of group {group}\n", self.path)
            }
        }
    }

    /// Does it.
    pub(super) fn run(&self, root: &Root) -> Result<(), Error> {
        let done = match &self.act {
            Act::Write { text, mode } => self.write(text, *mode),
            Act::Delete => match &self.backup {
                Some(backup) => fs::rename(&self.place, backup),
                None => fs::remove_file(&self.place),
            },
            Act::Restore => fs::rename(self.backup.as_deref().unwrap_or(&self.place), &self.place),
            Act::Directory => directories(self.place.parent().unwrap_or(&self.place))
                .and_then(|()| fs::create_dir(&self.place))
                .and_then(|()| fs::set_permissions(&self.place, Permissions::from_mode(0o750))),
            Act::RemoveDirectory => match fs::remove_dir(&self.place) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
                done => done,
            },
            Act::Join { user, group } => return run_usermod(root, &["-aG", group, user]),
            Act::Leave { user, group } => {
                return match root.is_this() {
                    true => run_program("gpasswd", &["-d", user, group]),
                    false => run_usermod(root, &["-rG", group, user]),
                };
            }
        };
        done.map_err(|error| failed(&self.place, &error))
    }

    fn write(&self, text: &str, mode: u32) -> io::Result<()> {
        directories(self.place.parent().unwrap_or(&self.place))?;
        let found = fs::metadata(&self.place).ok();
        if let Some(backup) = &self.backup {
            // A second name until the first is given to the new file.
            fs::hard_link(&self.place, backup)
                .or_else(|_| fs::copy(&self.place, backup).map(drop))?;
        }
        let new = named(&self.place, &format!(".new-{}", std::process::id()));
        let written = put(&new, text, mode, found.as_ref());
        written
            .and_then(|()| fs::rename(&new, &self.place))
            .inspect_err(|_| {
                let _ = fs::remove_file(&new);
            })
    }
}

/// What is not ours of a file.
fn rest_of(place: &Place) -> Result<(String, Whose), Error> {
    mark::without(place.text.as_deref().unwrap_or_default()).ok_or_else(|| {
        Error::new(format!(
            "{}: what `tpmctl setup` has written there has lost its last line; take the rest of it out by hand",
            printable::path(&place.path)
        ))
    })
}

/// A new file for everybody, whatever the umask; or like the one whose place it takes.
fn put(path: &Path, text: &str, mode: u32, like: Option<&fs::Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    let mode = match like {
        Some(like) => {
            chown(path, Some(like.uid()), Some(like.gid()))?;
            like.mode() & 0o7777
        }
        None => mode,
    };
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Makes directories for everybody, whatever the umask.
fn directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        directories(above)?;
    }
    fs::create_dir(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn run_usermod(root: &Root, args: &[&str]) -> Result<(), Error> {
    let prefix = root.path().to_string_lossy();
    let mut all = vec!["--prefix", &*prefix];
    if root.is_this() {
        all.clear();
    }
    all.extend(args);
    run_program("usermod", &all)
}

fn run_program(name: &str, args: &[&str]) -> Result<(), Error> {
    let sbin = format!("/usr/sbin/{name}");
    let path = if Path::new(&sbin).exists() {
        sbin.as_str()
    } else {
        name
    };
    let done = Command::new(path).args(args).output();
    let done = done.map_err(|error| Error::new(format!("{name} cannot be run: {error}")))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(Error::new(format!(
            "{name} {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&done.stderr).trim()
        ))),
    }
}

fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// A name that nothing has.
fn free(path: &Path, ending: &str) -> PathBuf {
    let first = named(path, ending);
    let more = (2..).map(|number| named(path, &format!("{ending}.{number}")));
    let mut all = std::iter::once(first.clone()).chain(more);
    all.find(|path| fs::symlink_metadata(path).is_err())
        .unwrap_or(first)
}

/// Lines that go and lines that come; of a new file without its comments.
fn difference(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    // How long what both have in common is, from each pair of lines on.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for at in (0..old.len()).rev() {
        for to in (0..new.len()).rev() {
            common[at][to] = match old[at] == new[to] {
                true => common[at + 1][to + 1] + 1,
                false => common[at + 1][to].max(common[at][to + 1]),
            };
        }
    }
    let mut text = String::new();
    let (mut at, mut to) = (0, 0);
    while at < old.len() || to < new.len() {
        if at < old.len() && to < new.len() && old[at] == new[to] {
            (at, to) = (at + 1, to + 1);
        } else if to == new.len() || (at < old.len() && common[at + 1][to] >= common[at][to + 1]) {
            text += &format!("  - {}\n", old[at]);
            at += 1;
        } else {
            let line = new[to];
            if !before.is_empty() || !(line.is_empty() || line.starts_with('#')) {
                text += &format!("  + {line}\n");
            }
            to += 1;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn only_what_differs_is_shown() {
        assert_eq!(difference("", "# why\n\nx = 1\n"), "  + x = 1\n");
        assert_eq!(difference("a\nb\nc\n", "a\n#\nc\n"), "  - b\n  + #\n");
        assert_eq!(difference("a\n", "a\na\n"), "  + a\n");
        assert_eq!(difference("a\nb\n", "a\n"), "  - b\n");
        assert_eq!(
            difference("a\nb\nc\n", "b\nx\nc\ny\n"),
            "  - a\n  + x\n  + y\n"
        );
    }
}
