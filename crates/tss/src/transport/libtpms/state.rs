//! The state of a TPM on disk, in swtpm's format, so that a directory can move between the two.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroizing;

use crate::os::dir_handle::DirHandle;
use rustix::fs::OFlags;

use crate::os::file;
use crate::transport::endpoint::Family;
use crate::transport::error::{ErrorKind, Fault};

/// What libtpms calls the state that outlives a power cycle.
pub(crate) const PERMANENT: &str = "permall";
/// libtpms' states have a few kilobytes; this bounds a read of something else.
const LARGEST: u64 = 4 << 20;

const HEADER: usize = 10;
const VERSION: u8 = 2;
const ENTRY_HEADER: usize = 6;
const ENTRY_DATA: u16 = 1;

/// The files of one TPM in its directory.
#[derive(Debug)]
pub(crate) struct Store {
    directory: Arc<DirHandle>,
    family: Family,
    /// Set while the remains of another process' TPM are cleared away: they must not be saved.
    discard: bool,
    /// Set while the TPM starts and shuts down. What it then saves is its clock and its count of
    /// starts; losing that to a power failure is as if this transaction had not been.
    bookkeeping: AtomicBool,
}

impl Store {
    pub(crate) fn new(directory: Arc<DirHandle>, family: Family) -> Self {
        Self {
            directory,
            family,
            discard: false,
            bookkeeping: AtomicBool::new(false),
        }
    }

    /// The same files, but what is stored is thrown away.
    pub(crate) fn discarding(directory: Arc<DirHandle>, family: Family) -> Self {
        Self {
            directory,
            family,
            discard: true,
            bookkeeping: AtomicBool::new(false),
        }
    }

    /// Says whether what is stored from now on need not survive a power failure at once.
    pub(crate) fn set_bookkeeping(&self, on: bool) {
        self.bookkeeping.store(on, Ordering::Relaxed);
    }

    /// The state of this name, or `None` if there is none.
    pub(crate) fn load(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        let file = file_name(self.family, name)?;
        let fd = match self
            .directory
            .open(&file, OFlags::RDONLY | OFlags::NONBLOCK, 0)
        {
            Ok(fd) => fd,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.fault("opening", &file, &error)),
        };
        let file_handle = File::from(fd);
        let length = file_handle
            .metadata()
            .map_or(0, |metadata| metadata.len())
            .min(LARGEST);
        let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
        file_handle
            .take(LARGEST)
            .read_to_end(&mut bytes)
            .map_err(|error| self.fault("reading", &file, &error))?;
        // What swtpm makes for a TPM that has never been started.
        if bytes.is_empty() {
            return Ok(None);
        }
        let blob = blob_in(&bytes).map_err(|problem| {
            let shown = self.directory.path().join(&file);
            Fault::new(
                ErrorKind::Library,
                format!("{}: {problem}", shown.display()),
            )
            .hint("the directory must hold the state of swtpm, or be empty for a new TPM")
        })?;
        Ok(Some(Zeroizing::new(blob.to_vec())))
    }

    /// Replaces the state of this name. The file is whole at every moment, whatever fails.
    pub(crate) fn store(&self, name: &str, blob: &[u8]) -> Result<(), Fault> {
        let target = file_name(self.family, name)?;
        if self.discard {
            return Ok(());
        }
        let mut temporary = OsString::from(".");
        temporary.push(&target);
        temporary.push(".new");
        self.replace(&target, &temporary, blob).map_err(|error| {
            let _ = self.remove(&temporary);
            self.fault("writing", &target, &error)
        })
    }

    /// Removes the state of this name; says whether there was one.
    pub(crate) fn delete(&self, name: &str) -> Result<bool, Fault> {
        let file = file_name(self.family, name)?;
        if self.discard {
            return Ok(true);
        }
        match self.remove(&file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.fault("removing", &file, &error)),
        }
    }

    fn replace(&self, target: &OsStr, temporary: &OsStr, blob: &[u8]) -> io::Result<()> {
        // A process that died while writing leaves its temporary file; the lock makes it ours.
        if let Err(error) = self.remove(temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mut file = File::from(self.directory.open(temporary, flags, 0o600)?);
        file.write_all(&header(blob.len())?)?;
        file.write_all(blob)?;
        file.sync_all()?;
        self.directory.rename(temporary, target)?;
        // The new name must survive a power failure too. Not every file system can do this, and it
        // takes as long as everything before it.
        if !self.bookkeeping.load(Ordering::Relaxed)
            && let Ok(directory) =
                self.directory
                    .open(OsStr::new("."), OFlags::RDONLY | OFlags::DIRECTORY, 0)
        {
            let _ = File::from(directory).sync_all();
        }
        Ok(())
    }

    fn remove(&self, file: &OsStr) -> io::Result<()> {
        self.directory.unlink(file)
    }

    fn fault(&self, doing: &str, file: &OsStr, error: &io::Error) -> Fault {
        Fault::os(
            format!("{doing} {}", self.directory.path().join(file).display()),
            error,
        )
    }
}

/// Which family of TPM lives in a directory; `None` if it holds no TPM yet.
pub(crate) fn family_in(directory: &DirHandle) -> Result<Option<Family>, Fault> {
    let exists = |family| {
        let Ok(file) = file_name(family, PERMANENT) else {
            return false;
        };
        directory.status(&file, true).is_ok()
    };
    match (exists(Family::Tpm2), exists(Family::Tpm12)) {
        (true, true) => Err(Fault::new(
            ErrorKind::Library,
            format!(
                "{} holds a TPM 2.0 and a TPM 1.2",
                directory.path().display()
            ),
        )
        .hint("give each its own directory")),
        (true, false) => Ok(Some(Family::Tpm2)),
        (false, true) => Ok(Some(Family::Tpm12)),
        (false, false) => Ok(None),
    }
}

fn file_name(family: Family, name: &str) -> Result<OsString, Fault> {
    // The name comes from the library and becomes part of a path.
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Err(Fault::new(
            ErrorKind::Library,
            "libtpms asked for a state of an odd name",
        ));
    }
    Ok(match family {
        Family::Tpm2 => format!("tpm2-00.{name}").into(),
        Family::Tpm12 => format!("tpm-00.{name}").into(),
    })
}

/// swtpm's header: version, the least version a reader must know, the header's own length, flags,
/// the length of everything; then one entry: what it is, and its length.
pub(crate) fn header(length: usize) -> io::Result<[u8; HEADER + ENTRY_HEADER]> {
    let too_long = || io::Error::from_raw_os_error(libc::EFBIG);
    let entry = u32::try_from(length).map_err(|_| too_long())?;
    let total = entry
        .checked_add((HEADER + ENTRY_HEADER) as u32)
        .ok_or_else(too_long)?;
    let mut bytes = [0; HEADER + ENTRY_HEADER];
    bytes[0] = VERSION;
    bytes[1] = 1;
    bytes[2..4].copy_from_slice(&(HEADER as u16).to_be_bytes());
    bytes[6..10].copy_from_slice(&total.to_be_bytes());
    bytes[10..12].copy_from_slice(&ENTRY_DATA.to_be_bytes());
    bytes[12..16].copy_from_slice(&entry.to_be_bytes());
    Ok(bytes)
}

/// libtpms' own bytes inside a file that swtpm or we have written.
pub(crate) fn blob_in(file: &[u8]) -> Result<&[u8], &'static str> {
    const FOREIGN: &str = "this is not a state file of swtpm";
    let header = file.first_chunk::<HEADER>().ok_or(FOREIGN)?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let total = u32::from_be_bytes([header[6], header[7], header[8], header[9]]);
    if total as usize != file.len() || usize::from(word(2)) < HEADER || header[1] > header[0] {
        return Err(FOREIGN);
    }
    if header[1] > VERSION {
        return Err("a later version of swtpm has written this state file");
    }
    if word(4) != 0 {
        return Err("this state is encrypted, and only swtpm with its key can use it");
    }
    let mut rest = file.get(usize::from(word(2))..).ok_or(FOREIGN)?;
    if header[0] < 2 {
        return Ok(rest);
    }
    loop {
        let (entry, after) = rest.split_first_chunk::<ENTRY_HEADER>().ok_or(FOREIGN)?;
        let tag = u16::from_be_bytes([entry[0], entry[1]]);
        let length = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]) as usize;
        let (value, next) = after.split_at_checked(length).ok_or(FOREIGN)?;
        if tag == ENTRY_DATA {
            return Ok(value);
        }
        rest = next;
    }
}

/// The directory, made if it is missing; as seen through what was kept of it if that is possible.
pub(crate) fn prepared(directory: &Arc<DirHandle>) -> Result<Arc<DirHandle>, Fault> {
    use std::os::unix::fs::DirBuilderExt;
    if directory.descriptor().is_some() {
        return Ok(Arc::clone(directory));
    }
    let path = directory.path();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| {
            Fault::os(
                format!("making the state directory {}", path.display()),
                &error,
            )
        })?;
    // For one turn.
    let handle = DirHandle::opened(path.to_owned());
    if handle.descriptor().is_none() {
        let error = file::status_at(None, path.as_os_str(), true)
            .err()
            .unwrap_or_else(|| io::Error::from_raw_os_error(libc::ENOTDIR));
        return Err(Fault::os(
            format!("opening the state directory {}", path.display()),
            &error,
        ));
    }
    Ok(Arc::new(handle))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn store(path: &Path) -> Store {
        Store::new(Arc::new(DirHandle::new(path.into())), Family::Tpm2)
    }

    /// The first bytes of a state file that swtpm 0.7.1 wrote, 1689 bytes in all.
    const BY_SWTPM: [u8; 20] = [
        0x02, 0x01, 0x00, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x06, 0x99, 0x00, 0x01, 0x00, 0x00, 0x06,
        0x89, 0x00, 0x03, 0xab, 0x36,
    ];

    #[test]
    fn the_header_is_swtpms() {
        assert_eq!(header(1673).unwrap(), BY_SWTPM[..16]);
        let mut file = BY_SWTPM.to_vec();
        file.resize(1689, 5);
        let blob = blob_in(&file).unwrap();
        assert_eq!((blob.len(), &blob[..4]), (1673, &BY_SWTPM[16..]));
    }

    #[test]
    fn what_swtpm_did_not_write_is_refused() {
        let mut file = BY_SWTPM.to_vec();
        file.resize(1689, 0);
        // A blob without a header, as libtpms gives it out.
        assert!(blob_in(&file[16..]).is_err());
        for length in 0..file.len() {
            assert!(blob_in(&file[..length]).is_err(), "{length}");
        }
        let changed = |at: usize, to: u8| {
            let mut file = file.clone();
            file[at] = to;
            blob_in(&file).unwrap_err()
        };
        assert!(changed(5, 1).contains("encrypted"));
        changed(1, 3);
        changed(3, 9);
        changed(3, 0xff);
        changed(11, 2);
        changed(12, 1);
    }

    #[test]
    fn a_state_is_stored_whole_privately_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path());
        assert!(store.load(PERMANENT).unwrap().is_none());
        store.store(PERMANENT, b"first").unwrap();
        // Left by a process that died.
        fs::write(directory.path().join(".tpm2-00.permall.new"), b"torn").unwrap();
        store.store(PERMANENT, b"second").unwrap();
        assert_eq!(
            store.load(PERMANENT).unwrap().unwrap().as_slice(),
            b"second"
        );
        let names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["tpm2-00.permall"]);
        let mode = fs::metadata(directory.path().join("tpm2-00.permall"))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o7777, 0o600);
        assert!(store.delete(PERMANENT).unwrap());
        assert!(!store.delete(PERMANENT).unwrap());
    }

    #[test]
    fn names_from_the_library_cannot_leave_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path());
        for name in ["", "../x", "a/b", "A", "x.y", "p\0"] {
            assert!(
                store.load(name).is_err() && store.store(name, b"").is_err(),
                "{name:?}"
            );
        }
    }

    #[test]
    fn the_files_decide_the_family() {
        let directory = tempfile::tempdir().unwrap();
        let handle = DirHandle::new(directory.path().into());
        assert_eq!(family_in(&handle).unwrap(), None);
        fs::write(directory.path().join("tpm-00.permall"), b"").unwrap();
        assert_eq!(family_in(&handle).unwrap(), Some(Family::Tpm12));
        fs::write(directory.path().join("tpm2-00.permall"), b"").unwrap();
        assert!(family_in(&handle).is_err());
        fs::remove_file(directory.path().join("tpm-00.permall")).unwrap();
        assert_eq!(family_in(&handle).unwrap(), Some(Family::Tpm2));
    }

    #[test]
    fn a_missing_directory_is_made_for_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("new").join("state");
        let handle = prepared(&Arc::new(DirHandle::new(path.clone()))).unwrap();
        assert!(handle.descriptor().is_some());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o700
        );
        let file = root.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(prepared(&Arc::new(DirHandle::new(file))).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = blob_in(&bytes);
        }

        #[test]
        fn what_is_wrapped_unwraps(blob in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut file = header(blob.len()).unwrap().to_vec();
            file.extend(&blob);
            prop_assert_eq!(blob_in(&file).unwrap(), &blob[..]);
        }
    }
}
