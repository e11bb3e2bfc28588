//! Devices in /dev: from the file system, or from a list where they could not be copied.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The list's name in the directory of a copy.
const LIST: &str = "nodes";
/// `S_IFMT` and `S_IFCHR` of stat(2).
const KIND: u32 = 0o170_000;
const CHARACTER: u32 = 0o020_000;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeviceFile {
    mode: u32,
    /// Owner.
    pub(super) uid: u32,
    /// Group.
    pub(super) gid: u32,
}

impl DeviceFile {
    /// Whether it is a character device, as TPMs are.
    pub(super) fn is_device(self) -> bool {
        self.mode & KIND == CHARACTER
    }

    /// Nine letters, as ls(1) writes them.
    pub(super) fn letters(self) -> String {
        (0..9)
            .map(|bit| match self.mode >> (8 - bit) & 1 {
                0 => '-',
                _ => ['r', 'w', 'x'][bit % 3],
            })
            .collect()
    }

    /// Whether this user may read and write it (path_resolution(7): the first class that matches decides).
    pub(super) fn lets(self, uid: u32, groups: &[u32]) -> bool {
        let bits = if uid == 0 {
            return true;
        } else if uid == self.uid {
            self.mode >> 6
        } else if groups.contains(&self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        bits & 0o6 == 0o6
    }

    /// Whether its group may read and write it: only then it helps to be in there.
    pub(super) fn lets_group(self) -> bool {
        self.mode >> 3 & 0o6 == 0o6
    }
}

/// Where devices are looked up, by their absolute paths.
pub(super) trait DevicePaths {
    /// What is at `path`; nothing if there is nothing.
    fn file(&self, path: &str) -> io::Result<Option<DeviceFile>>;
}

/// The devices of the machine below `root`: those of a list in there, or else its files.
pub(super) fn below(root: &Path) -> io::Result<Box<dyn DevicePaths>> {
    if root == Path::new("/") {
        return Ok(Box::new(Files(root.to_owned())));
    }
    match fs::read_to_string(root.join(LIST)) {
        Ok(text) => Ok(Box::new(List::parse(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Box::new(Files(root.to_owned())))
        }
        Err(error) => Err(error),
    }
}

/// The file system.
struct Files(PathBuf);

impl DevicePaths for Files {
    fn file(&self, path: &str) -> io::Result<Option<DeviceFile>> {
        match fs::metadata(self.0.join(path.trim_start_matches('/'))) {
            Ok(found) => Ok(Some(DeviceFile {
                mode: found.mode(),
                uid: found.uid(),
                gid: found.gid(),
            })),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// What `stat -c '%n %f %u %g' /dev/tpm*` printed: name, mode in hexadecimal, owner, group.
struct List(HashMap<String, DeviceFile>);

impl List {
    fn parse(text: &str) -> io::Result<Self> {
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let name = words.next()?.to_owned();
            let file = DeviceFile {
                mode: u32::from_str_radix(words.next()?, 16).ok()?,
                uid: words.next()?.parse().ok()?,
                gid: words.next()?.parse().ok()?,
            };
            words.next().is_none().then_some((name, file))
        };
        let lines = text.lines().filter(|text| !text.trim().is_empty());
        lines
            .map(|text| {
                line(text).ok_or_else(|| {
                    io::Error::other(format!(
                        "the line {text:?} of its file `{LIST}` is not one of \
                         stat -c '%n %f %u %g' /dev/tpm*"
                    ))
                })
            })
            .collect::<io::Result<_>>()
            .map(Self)
    }
}

impl DevicePaths for List {
    fn file(&self, path: &str) -> io::Result<Option<DeviceFile>> {
        Ok(self.0.get(path).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_what_stat_prints() {
        let list = List::parse("/dev/tpm0 2180 108 0\n\n/dev/tpmrm0 21b0 108 109\n").unwrap();
        let file = list.file("/dev/tpm0").unwrap().unwrap();
        assert!(file.is_device());
        assert_eq!(file.letters(), "rw-------");
        let managed = list.file("/dev/tpmrm0").unwrap().unwrap();
        assert_eq!(managed.letters(), "rw-rw----");
        assert_eq!((managed.uid, managed.gid), (108, 109));
        assert_eq!(list.file("/dev/tpm1").unwrap(), None);
        for bad in [
            "/dev/tpm0",
            "/dev/tpm0 x 0 0",
            "/dev/tpm0 2180 0 0 0",
            "/dev/tpm0 1 -1 0",
        ] {
            assert!(List::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_class_that_matches_decides() {
        let file = |mode| DeviceFile {
            mode,
            uid: 108,
            gid: 109,
        };
        assert!(file(0o20_600).lets(0, &[]));
        assert!(file(0o20_600).lets(108, &[]));
        assert!(!file(0o20_600).lets(1000, &[109]));
        assert!(file(0o20_660).lets(1000, &[4, 109]));
        assert!(!file(0o20_640).lets(1000, &[109]));
        assert!(file(0o20_666).lets(1000, &[]));
        // The group's lack of rights counts although others have them.
        assert!(!file(0o20_606).lets(1000, &[109]));
        assert!(file(0o20_660).lets_group() && !file(0o20_640).lets_group());
    }

    #[test]
    fn files_are_no_devices() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("dev")).unwrap();
        fs::write(root.path().join("dev/tpm0"), b"").unwrap();
        let paths = below(root.path()).unwrap();
        assert!(!paths.file("/dev/tpm0").unwrap().unwrap().is_device());
        assert_eq!(paths.file("/dev/tpm0/x").unwrap(), None);
        fs::write(root.path().join(LIST), "nonsense\n").unwrap();
        assert!(below(root.path()).is_err());
    }
}
