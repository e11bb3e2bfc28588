//! The file a lock is taken on: where it lies, who may share it, and what is refused as one.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::os::dir_handle::DirHandle;
use rustix::fs::OFlags;

use crate::backoff::Backoff;
use crate::os::effective_user;
use crate::os::file::{self, Status};
use crate::os::poll::deadline_in;
use crate::transport::error::{ErrorKind, Fault};

use super::record::Record;

/// Owner and mode a lock file is created with, so that all who may use the TPM share it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) mode: u32,
    pub(crate) owner: Option<(u32, u32)>,
}

impl Access {
    /// Whoever can reach the TPM's port can use it.
    pub(crate) const EVERYONE: Self = Self {
        mode: 0o666,
        owner: None,
    };
    /// This user only.
    pub(crate) const PRIVATE: Self = Self {
        mode: 0o600,
        owner: None,
    };

    /// Whether an existing file can have been made by somebody who may use the TPM. In a directory
    /// where all may write, anybody else could keep its users out by holding the lock.
    fn admits(&self, file: &Status) -> bool {
        match self.owner {
            Some((uid, gid)) if self.is_guarded() => {
                // Only root and members of a group can give a file to it.
                [0, uid, effective_user()].contains(&file.uid) || file.gid == gid
            }
            _ => true,
        }
    }

    /// Whether the TPM is for some users only, so that others must not come between them.
    pub(crate) fn is_guarded(&self) -> bool {
        self.owner.is_some() && self.mode & 0o002 == 0
    }

    /// The same people who may open this device or socket.
    pub(crate) fn like(device: &Status) -> Self {
        Self {
            mode: device.mode & 0o666,
            owner: Some((device.uid, device.gid)),
        }
    }
}

/// Why there is no lock file.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) fault: Fault,
    /// Whether it will be so the next time, and whoever else wants this file is no better off: it is a
    /// stranger's, or the directory takes no more.
    pub(crate) lasting: bool,
}

impl Unusable {
    pub(crate) fn passing(fault: Fault) -> Self {
        Self {
            fault,
            lasting: false,
        }
    }

    fn of(shown: &Path, error: &io::Error) -> Self {
        let lasting = matches!(
            error.raw_os_error(),
            Some(
                libc::EACCES
                    | libc::EPERM
                    | libc::EROFS
                    | libc::ENOSPC
                    | libc::EDQUOT
                    | libc::ENOENT
                    | libc::ENOTDIR
            )
        );
        let fault = Fault::os(format!("opening {}", shown.display()), error);
        Self { fault, lasting }
    }
}

/// How long a lock file that we may not use is taken for one whose maker is about to change its
/// owner and mode.
const SETTLING: Duration = Duration::from_millis(100);

/// The file that was found to be a stranger's last: it is not waited for again.
static STRANGERS: AtomicU64 = AtomicU64::new(0);

const FLAGS: OFlags = OFlags::RDWR
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// Opens the lock file `name` in a `directory` that all may write to, or makes it. What is there in its place and
/// is not one is replaced, if this process may.
pub(crate) fn open(
    directory: &DirHandle,
    name: &OsStr,
    access: Access,
    deadline: Instant,
) -> Result<File, Unusable> {
    let shown = directory.path().join(name);
    let failed = |error: &io::Error| Unusable::of(&shown, error);
    let mut backoff = Backoff::until(deadline.min(deadline_in(SETTLING)));
    let mut removed = false;
    loop {
        // Without O_CREAT first: in a sticky directory fs.protected_regular makes it fail even for
        // root when the file belongs to somebody else.
        let refused = match directory.open(name, FLAGS, 0) {
            Ok(fd) => {
                let file = File::from(fd);
                let status = file::status(&file).map_err(|error| failed(&error))?;
                match objection(&status, access) {
                    None => {
                        // A stranger may have it open. It stays his, so that it is replaced once the TPM is not for
                        // everybody any more.
                        let is_known = |(uid, _): &(u32, u32)| [0, *uid].contains(&status.uid);
                        let owner = access.owner.filter(is_known);
                        bring_up_to_date(&file, &status, Access { owner, ..access });
                        return Ok(file);
                    }
                    Some(why) => refusal(&shown, why),
                }
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT) => match create(directory, name, FLAGS, access) {
                    Ok(file) => return Ok(file),
                    Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                        Unusable::passing(failed(&error).fault)
                    }
                    Err(error) => return Err(failed(&error)),
                },
                Some(libc::ELOOP) => refusal(&shown, "is a symbolic link"),
                Some(libc::EISDIR) => refusal(&shown, "is a directory"),
                Some(libc::ENXIO) => refusal(&shown, "is not a plain file of one name"),
                Some(libc::EACCES) => {
                    let mut refused = failed(&error);
                    // A user of the TPM may have made it, when that had another mode.
                    let found = directory.status(name, false);
                    let stale = found.is_ok_and(|found| objection(&found, access).is_none());
                    refused.fault = refused.fault.hint(match stale {
                        true => "the TPM had another owner or mode when it was made: root's next use of the TPM brings \
                                 it up to date, such as sudo tpmctl info"
                            .to_owned(),
                        false => format!(
                            "another user made it: sudo rm {}, if nobody uses the TPM",
                            shown.display()
                        ),
                    });
                    refused
                }
                _ => return Err(failed(&error)),
            },
        };
        // Its maker may be about to give it to those who may use the TPM.
        let ino = directory.status(name, false).map_or(0, |found| found.ino);
        let waits = !refused.lasting || STRANGERS.load(Ordering::Relaxed) != ino;
        if waits && backoff.again() {
            continue;
        }
        if refused.lasting && !removed && replaceable(directory, name, access, ino) {
            removed = true;
            log::warn!("{}; it is replaced", refused.fault.what);
            if directory.unlink(name).is_ok() {
                continue;
            }
        }
        STRANGERS.store(ino, Ordering::Relaxed);
        return Err(refused);
    }
}

/// Why this is not a lock file of the TPM's users.
fn objection(file: &Status, access: Access) -> Option<&'static str> {
    // The record would be written into whatever else it is.
    if !file.is_regular() || file.links > 1 {
        return Some("is not a plain file of one name");
    }
    (!access.admits(file)).then_some("was made by somebody who may not use the TPM")
}

fn refusal(shown: &Path, why: &str) -> Unusable {
    let what = format!("the lock file {} {why}", shown.display());
    Unusable {
        fault: Fault::new(ErrorKind::PermissionDenied, what).hint(format!(
            "it may have been put there to harm: sudo rm {}, if nobody uses the TPM",
            shown.display()
        )),
        lasting: true,
    }
}

/// Whether what is at the name, still the same thing, is nobody's lock: of no user of the TPM, who would not
/// take it for one either.
fn replaceable(directory: &DirHandle, name: &OsStr, access: Access, ino: u64) -> bool {
    let found = directory.status(name, false);
    found.is_ok_and(|found| found.ino == ino && objection(&found, access).is_some())
}

/// Opens the lock file `name` in a `directory` where only root makes files; root makes both. `None` where there
/// is none, and where it is not for this user.
pub(crate) fn open_guarded(directory: &DirHandle, name: &OsStr, access: Access) -> Option<File> {
    let is_root = effective_user() == 0;
    if is_root && directory.own_status().is_err() {
        // Whatever the umask of the host is.
        let made = std::fs::create_dir(directory.path()).and_then(|()| {
            std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755))
        });
        if let Err(error) = made {
            log::debug!("{}: {error}", directory.path().display());
        }
    }
    if !is_guarding(&directory.own_status().ok()?) {
        log::warn!(
            "{} is not root's alone: lock files in it are not used",
            directory.path().display()
        );
        return None;
    }
    let file = match directory.open(name, FLAGS, 0) {
        Ok(fd) => File::from(fd),
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_root => {
            match create(directory, name, FLAGS, access) {
                Ok(file) => return Some(file),
                // Another process was faster.
                Err(_) => File::from(directory.open(name, FLAGS, 0).ok()?),
            }
        }
        Err(_) => return None,
    };
    let status = file::status(&file).ok()?;
    if !status.is_regular() || status.links > 1 {
        return None;
    }
    // The device's owner may be another one than at the last use.
    if is_root {
        bring_up_to_date(&file, &status, access);
    }
    Some(file)
}

/// Whether nobody but root can put files into the directory.
pub(crate) fn is_guarding(directory: &Status) -> bool {
    directory.is_directory() && directory.uid == 0 && directory.mode & 0o022 == 0
}

/// Gives a lock file of an earlier day the owner and mode that the TPM has now, if this process may: as those of a new one
/// are. What does not look like a lock file is left alone: whoever can put a file of root's there must not have it opened
/// to others.
fn bring_up_to_date(file: &File, found: &Status, access: Access) {
    let own = effective_user();
    let (uid, gid) = access.owner.unwrap_or((found.uid, found.gid));
    // Who is not root can give his files to a group of his, and to nobody else.
    let belongs = (found.uid == uid || own != 0) && found.gid == gid;
    if belongs && found.mode & 0o777 == access.mode {
        return;
    }
    if [0, found.uid].contains(&own) && Record::fits(file) {
        settle(file, access);
    }
}

fn create(directory: &DirHandle, name: &OsStr, flags: OFlags, access: Access) -> io::Result<File> {
    let exclusive = flags | OFlags::CREATE | OFlags::EXCL;
    let file = File::from(directory.open(name, exclusive, access.mode)?);
    settle(&file, access);
    Ok(file)
}

/// Gives a lock file to those who may use the TPM.
fn settle(file: &File, access: Access) {
    // Best effort: a user without the right to give files away can still give it to a group of his.
    if let Some((uid, gid)) = access.owner
        && fchown(file, Some(uid), Some(gid)).is_err()
    {
        let _ = fchown(file, None, Some(gid));
    }
    let _ = file.set_permissions(Permissions::from_mode(access.mode));
}

/// The directory lock files go to: the first in which every user can make files, since a choice by
/// what this user may do would differ between a master and its workers.
pub(crate) fn shared_directory(candidates: &[&str]) -> DirHandle {
    let shared = candidates.iter().find(|path| is_shared(Path::new(path)));
    DirHandle::new(
        shared
            .or(candidates.last())
            .copied()
            .unwrap_or("/tmp")
            .into(),
    )
}

/// What keeps lock files from doing what they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockTrouble {
    /// What it is.
    pub what: String,
    /// What follows from it.
    pub why: String,
    /// What to type, if something helps.
    pub command: Option<String>,
}

impl LockTrouble {
    /// Says it in the log, once in a process.
    pub(crate) fn warn_once(&self) {
        static SAID: AtomicBool = AtomicBool::new(false);
        if !SAID.swap(true, Ordering::Relaxed) {
            log::warn!("{} {}", self.what, self.why);
        }
    }
}

/// What is in the place of a lock file and is none.
pub(crate) fn trouble(directory: &DirHandle, name: &OsStr, access: Access) -> Option<LockTrouble> {
    let found = directory.status(name, false).ok()?;
    let why = objection(&found, access)?;
    let shown = directory.path().join(name);
    Some(LockTrouble {
        what: format!(
            "The lock file {} {why}: user {}.",
            shown.display(),
            found.uid
        ),
        why: "Whoever may not replace it and has no lock file in /run/tpm-provider cannot use the TPM, and older \
              versions of the module cannot at all."
            .into(),
        command: Some(format!("rm {}", shown.display())),
    })
}

/// A directory that other processes may have another one of, so that the locks in it exclude nobody.
pub(crate) fn is_private(directory: &DirHandle, is_guarded: bool) -> Option<LockTrouble> {
    (!is_guarded && directory.path() == Path::new("/tmp")).then(|| LockTrouble {
        what: "Lock files are in /tmp, since /run/lock is not open to all.".into(),
        why: "Services with PrivateTmp= and containers have a /tmp of their own: they and others do not wait for \
              each other."
            .into(),
        command: Some("mkdir -m 1777 /run/lock".into()),
    })
}

/// Whether every user can make files in the directory, and only its maker removes one.
fn is_shared(path: &Path) -> bool {
    const SHARED: u32 = 0o1777;
    file::status_at(None, path.as_os_str(), true).is_ok_and(|status| status.mode & SHARED == SHARED)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, chown, symlink};

    use super::*;

    fn take(directory: &Path, name: &str, access: Access) -> Result<File, Fault> {
        let handle = DirHandle::new(directory.into());
        open(
            &handle,
            OsStr::new(name),
            access,
            deadline_in(Duration::from_millis(30)),
        )
        .map_err(|unusable| unusable.fault)
    }

    /// A TPM of the user 4000 and his group.
    const GUARDED: Status = Status {
        dev: 0,
        ino: 0,
        mode: libc::S_IFCHR | 0o660,
        uid: 4000,
        gid: 4000,
        links: 1,
        rdev: 0,
    };

    #[test]
    fn the_file_is_made_with_the_mode_asked_for_whatever_the_umask() {
        let directory = tempfile::tempdir().unwrap();
        drop(take(directory.path(), "l", Access::EVERYONE).unwrap());
        assert_eq!(
            fs::metadata(directory.path().join("l")).unwrap().mode() & 0o7777,
            0o666
        );
    }

    #[test]
    fn links_directories_and_pipes_are_replaced_or_refused_and_untouched() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("victim"), b"precious").unwrap();
        symlink(at("victim"), at("soft")).unwrap();
        fs::hard_link(at("victim"), at("hard")).unwrap();
        fs::create_dir(at("dir")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        for name in ["soft", "hard", "dangling"] {
            let file = take(directory.path(), name, Access::EVERYONE).unwrap();
            assert_eq!(
                file.metadata().unwrap().len(),
                0,
                "{name} is a file of its own"
            );
        }
        let error = take(directory.path(), "dir", Access::EVERYONE).unwrap_err();
        assert!(error.what.contains("is a directory"), "{}", error.what);
        assert_eq!(fs::read(at("victim")).unwrap(), b"precious");
        assert!(!at("nothing").exists());
    }

    #[test]
    fn a_strangers_lock_of_a_guarded_tpm_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("l");
        fs::write(&file, b"").unwrap();
        // Making files for other users takes root.
        if chown(&file, Some(4001), Some(4001)).is_err() {
            return;
        }
        let strangers = fs::metadata(&file).unwrap().ino();
        let open_to_all = Status {
            mode: libc::S_IFCHR | 0o666,
            ..GUARDED
        };
        let ino = |access| {
            let file = take(directory.path(), "l", access).unwrap();
            file.metadata().unwrap().ino()
        };
        assert_eq!(ino(Access::like(&open_to_all)), strangers);
        let held_open = File::open(&file).unwrap();
        let ours = ino(Access::like(&GUARDED));
        assert_ne!(ours, strangers);
        drop(held_open);
        let made = fs::metadata(&file).unwrap();
        assert_eq!((made.uid(), made.mode() & 0o777), (4000, 0o660));
        // A member of the device's group has made it, and only members can give it that group.
        chown(&file, Some(4001), Some(4000)).unwrap();
        assert_eq!(ino(Access::like(&GUARDED)), ours);
    }

    #[test]
    fn root_alone_makes_guarded_files() {
        let root = tempfile::tempdir().unwrap();
        let directory = DirHandle::new(root.path().join("guarded"));
        let name = OsStr::new("l");
        let access = Access::like(&GUARDED);
        let opened = || open_guarded(&directory, name, access);
        if effective_user() != 0 {
            assert!(opened().is_none());
            return;
        }
        let shape = || {
            let made = fs::metadata(directory.path().join(name)).unwrap();
            (made.uid(), made.gid(), made.mode() & 0o777)
        };
        opened().unwrap();
        let made = fs::metadata(directory.path()).unwrap();
        assert_eq!((made.uid(), made.mode() & 0o777), (0, 0o755));
        assert_eq!(shape(), (4000, 4000, 0o660));
        // One that was made for other owners of the device.
        chown(directory.path().join(name), Some(0), Some(0)).unwrap();
        fs::set_permissions(directory.path().join(name), Permissions::from_mode(0o600)).unwrap();
        opened().unwrap();
        assert_eq!(shape().2, 0o660);
        // A directory that others write to guards nothing.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o1777)).unwrap();
        assert!(opened().is_none());
    }

    #[test]
    fn a_new_file_belongs_to_those_the_device_belongs_to() {
        let directory = tempfile::tempdir().unwrap();
        let own = fs::metadata(directory.path()).unwrap();
        let gid = if own.uid() == 0 { 4000 } else { own.gid() };
        let device = Status {
            dev: 0,
            ino: 0,
            mode: 0o20660,
            uid: own.uid(),
            gid,
            links: 1,
            rdev: 0,
        };
        take(directory.path(), "l", Access::like(&device)).unwrap();
        let made = fs::metadata(directory.path().join("l")).unwrap();
        assert_eq!(
            (made.uid(), made.gid(), made.mode() & 0o7777),
            (own.uid(), gid, 0o660)
        );
    }

    #[test]
    fn the_shared_directory_is_one_where_everybody_may_write() {
        let directory = tempfile::tempdir().unwrap();
        let private = directory.path().join("private");
        let shared = directory.path().join("shared");
        fs::create_dir(&private).unwrap();
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
        let (private, shared) = (private.to_str().unwrap(), shared.to_str().unwrap());
        assert_eq!(
            shared_directory(&[private, shared]).path(),
            Path::new(shared)
        );
        assert_eq!(
            shared_directory(&["/nonexistent", shared]).path(),
            Path::new(shared)
        );
    }
}
