//! Files of the machine: where they are, links followed, and that nobody else could put something in their place.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use keys::printable;
use tss::discovery::{group_name, user_name};

use crate::error::Error;

/// More links than that are a circle.
const MOST_LINKS: usize = 40;

/// The machine's root directory, or that of a copy.
pub(super) struct Root(PathBuf);

/// A file that may be there or not; what leads to it belongs to root, or to whoever runs the command.
pub(super) struct Place {
    /// As it is called on the machine.
    pub(super) name: String,
    /// Where it is, with no link on the way.
    pub(super) path: PathBuf,
    /// What is in it; nothing if it is not there.
    pub(super) text: Option<String>,
}

impl Root {
    pub(super) fn new(dir: &Path) -> Result<Self, Error> {
        let real = fs::canonicalize(dir).map_err(|error| failed(dir, &error))?;
        match real.is_dir() {
            true => Ok(Self(real)),
            false => Err(Error::new(format!(
                "--root: {} is no directory",
                printable::path(dir)
            ))),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it is the machine that the command runs on.
    pub(super) fn is_this(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Whether there is such a directory.
    pub(super) fn has_dir(&self, name: &str) -> bool {
        self.walk(name).is_ok_and(|path| path.is_dir())
    }

    /// What is in a file, for deciding only.
    pub(super) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.walk(name).ok()?).ok()
    }

    /// Looks for a file that is to be written.
    pub(super) fn place(&self, name: &str) -> Result<Place, Error> {
        let path = self.walk(name)?;
        let text = match fs::symlink_metadata(&path) {
            Ok(found) if !found.is_file() => {
                return Err(Error::new(format!(
                    "{} is not a regular file and is not changed",
                    printable::path(&path)
                )));
            }
            Ok(_) => Some(fs::read_to_string(&path).map_err(|error| failed(&path, &error))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&path, &error)),
        };
        Ok(Place {
            name: name.to_owned(),
            path,
            text,
        })
    }

    /// The real path of a name, if nobody else could put something in its place.
    pub(super) fn walk(&self, name: &str) -> Result<PathBuf, Error> {
        let found = fs::symlink_metadata(&self.0).map_err(|error| failed(&self.0, &error))?;
        self.check(&self.0, &found)?;
        self.follow(name, &|path, found| self.check(path, found))
    }

    /// What is there, whoever it belongs to.
    pub(super) fn look(&self, name: &str) -> Option<Metadata> {
        fs::metadata(self.follow(name, &|_, _| Ok(())).ok()?).ok()
    }

    /// Links stay below the root, as they would on the machine itself.
    fn follow(
        &self,
        name: &str,
        check: &dyn Fn(&Path, &Metadata) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        let mut rest: VecDeque<OsString> = parts(Path::new(name));
        let mut inside: Vec<OsString> = Vec::new();
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if part == OsStr::new("..") {
                inside.pop();
                continue;
            }
            let mut path: PathBuf = self.0.join(inside.iter().collect::<PathBuf>());
            path.push(&part);
            let found = match fs::symlink_metadata(&path) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // From a directory that does not exist nothing leads back.
                    if rest.iter().any(|part| part == OsStr::new("..")) {
                        return Err(failed(&path, &error));
                    }
                    path.extend(rest);
                    return Ok(path);
                }
                Err(error) => return Err(failed(&path, &error)),
            };
            check(&path, &found)?;
            if !found.is_symlink() {
                inside.push(part);
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(Error::new(format!(
                    "{}: too many symbolic links",
                    printable::path(&path)
                )));
            }
            let target = fs::read_link(&path).map_err(|error| failed(&path, &error))?;
            if target.is_absolute() {
                inside.clear();
            }
            for part in parts(&target).into_iter().rev() {
                rest.push_front(part);
            }
        }
        Ok(self.0.join(inside.iter().collect::<PathBuf>()))
    }

    /// Whoever else may write there could have the services of this machine read something else.
    fn check(&self, path: &Path, found: &Metadata) -> Result<(), Error> {
        let own = rustix::process::geteuid().as_raw();
        let (uid, gid) = (found.uid(), found.gid());
        if uid != 0 && uid != own {
            return Err(Error::new(format!(
                "{} belongs to {}, who could replace what is written there: nothing is written. If it shall be so no \
                 longer: chown root {}",
                printable::path(path),
                user_name(&self.0, uid),
                printable::path(path)
            )));
        }
        let mode = found.mode();
        // Debian's staff has /usr/local to itself, and by it what root runs.
        let group = mode & 0o020 != 0 && gid != 0 && group_name(&self.0, gid) != "staff";
        if !found.is_symlink() && (group || mode & 0o002 != 0) {
            return Err(Error::new(format!(
                "{} can be written by others than its owner: nothing is written there. If that was no intention: chmod go-w {}",
                printable::path(path),
                printable::path(path)
            )));
        }
        Ok(())
    }
}

/// The names in a path, and `..`.
fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    };
    path.components().filter_map(part).collect()
}

pub(super) fn failed(path: &Path, error: &io::Error) -> Error {
    Error::new(format!("{}: {error}", printable::path(path)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["etc/ssl", "usr/lib/ssl"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let root = Root::new(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn links_stay_below_the_root() {
        let (_dir, root) = root();
        let at = |name: &str| root.path().join(name);
        symlink("/etc/ssl/openssl.cnf", at("usr/lib/ssl/openssl.cnf")).unwrap();
        symlink("../../../../../../etc", at("etc/up")).unwrap();
        assert_eq!(
            root.walk("/usr/lib/ssl/openssl.cnf").unwrap(),
            at("etc/ssl/openssl.cnf")
        );
        assert_eq!(root.walk("/etc/up/ssl/x/y").unwrap(), at("etc/ssl/x/y"));
        symlink("circle", at("etc/circle")).unwrap();
        assert!(root.walk("/etc/circle").is_err());
        assert!(root.place("/etc/ssl").is_err());
        assert_eq!(root.place("/etc/ssl/openssl.cnf").unwrap().text, None);
    }

    #[test]
    fn what_others_may_write_is_refused() {
        let (_dir, root) = root();
        for mode in [0o777, 0o757, 0o1777] {
            let path = root.path().join("etc/ssl");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let error = root.walk("/etc/ssl/openssl.cnf").unwrap_err().to_string();
            assert!(error.contains("chmod go-w"), "{error}");
        }
    }
}
