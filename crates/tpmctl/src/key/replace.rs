//! A key file that takes another one's place: at every moment one of the two is there, whole.

use std::path::Path;

use keys::{key_dirs, printable};

use crate::error::Error;
use crate::interrupt;

/// A file that shall be written anew, with the owner, group and mode that it has.
pub(crate) struct Replacement(key_dirs::Replacement);

impl Replacement {
    /// Looks whether that will be possible, as far as can be seen before.
    pub(crate) fn of(path: &Path) -> Result<Self, Error> {
        key_dirs::Replacement::of(path)
            .map(Self)
            .map_err(|error| refused(path, &error.to_string()))
    }

    /// Puts `content` in the file's place.
    pub(crate) fn write(&self, content: &[u8]) -> Result<(), Error> {
        interrupt::check()?;
        self.0
            .write(content)
            .map_err(|error| refused(self.0.path(), &error.to_string()))
    }
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(format!(
        "{} cannot be replaced by a file of the same owner and mode: {why}; -o NEWFILE writes elsewhere",
        printable::path(path)
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn mode_and_link_stay_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("key"), "old").unwrap();
        fs::set_permissions(at("key"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("key", at("link")).unwrap();
        let replacement = Replacement::of(&at("link")).unwrap();
        assert_eq!(fs::read(at("key")).unwrap(), b"old");
        replacement.write(b"new").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(fs::read(at("key")).unwrap(), b"new");
        let mode = fs::metadata(at("key")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_cannot_be_replaced_is_told_before() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("one"), "old").unwrap();
        fs::hard_link(at("one"), at("two")).unwrap();
        for path in [at("one"), at("none"), at(""), "/dev/null".into()] {
            let told = Replacement::of(&path).err().map(|error| error.to_string());
            assert!(
                told.as_ref().is_some_and(|it| it.contains("-o NEWFILE")),
                "{told:?}"
            );
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
