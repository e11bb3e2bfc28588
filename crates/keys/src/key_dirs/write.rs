//! What is written into a directory of key files: whole, or not at all.
#![forbid(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tss::os::takes_files;

/// What the names of files begin with that were given up. Nobody reads them; a person may take them back.
pub const TRASH: &str = ".trash-";

/// Where the file of a new key goes: the first of the directories that is there and takes files, else the first that can be
/// made.
///
/// # Errors
///
/// Where there is none, with what each of them is.
pub fn place_for_new(dirs: &[PathBuf]) -> io::Result<&Path> {
    let can_be_made = |dir: &&PathBuf| {
        let mut above = dir.ancestors().skip(1);
        !dir.exists() && above.find(|path| path.exists()).is_some_and(takes_files)
    };
    let found = dirs.iter().find(|dir| takes_files(dir));
    let found = found.or_else(|| dirs.iter().find(can_be_made));
    found.map(PathBuf::as_path).ok_or_else(|| {
        let named: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        let which = match named.is_empty() {
            true => "key-dirs names none".to_owned(),
            false => format!("of {} (key-dirs)", named.join(", ")),
        };
        io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "no directory takes the file of a new key, {which}: make one that you may write to, or name the file with \
                 `tpmctl key new -o FILE`"
            ),
        )
    })
}

/// Writes a new file for its owner alone; one of this name that is there already is an error. A reader finds it whole.
///
/// # Errors
///
/// Those of the file system.
pub fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = Temporary::write(path, content, 0o600)?;
    fs::hard_link(&temporary.0, path)?;
    temporary.sync_directory();
    Ok(())
}

/// Gives the SSH public key in `path` another comment; writes the file, for everybody to read, if it is not there.
///
/// # Errors
///
/// Those of the file system, and where the file holds something else.
pub fn set_comment(path: &Path, key: &str, comment: &str) -> io::Result<()> {
    if let Ok(data) = fs::symlink_metadata(path) {
        let is_the_key = || {
            let text = super::read(path).ok().flatten()?;
            let text = std::str::from_utf8(&text).ok()?;
            let rest = text.strip_prefix(key)?;
            Some(rest.lines().skip(1).all(str::is_empty))
        };
        if !data.is_file() || is_the_key() != Some(true) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} holds something else than the key", path.display()),
            ));
        }
    }
    let temporary = Temporary::write(path, format!("{key} {comment}\n").as_bytes(), 0o644)?;
    fs::rename(&temporary.0, path)?;
    temporary.sync_directory();
    Ok(())
}

/// Gives a file a name under which nobody looks for it, and returns that.
///
/// # Errors
///
/// Those of the file system.
pub fn to_trash(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    for number in 0..1000u32 {
        let trash = path.with_file_name(format!("{TRASH}{seconds}-{number}-{name}"));
        match fs::hard_link(path, &trash) {
            Ok(()) => {
                fs::remove_file(path)?;
                return Ok(trash);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A file that is removed again unless it gets its name.
struct Temporary(PathBuf);

impl Temporary {
    fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<Self> {
        let mut random = [0; 8];
        crypto::random(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let name = format!(".new-{}", hex::encode(random));
        let temporary = Self(path.with_file_name(name));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary.0)?;
        file.write_all(content)?;
        file.sync_all()?;
        Ok(temporary)
    }

    /// Not every file system can.
    fn sync_directory(&self) {
        let directory = self.0.parent().map(File::open);
        if let Some(Ok(directory)) = directory {
            let _ = directory.sync_all();
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It is gone where it was renamed.
        let _ = fs::remove_file(&self.0);
    }
}
