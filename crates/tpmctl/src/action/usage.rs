//! Which processes use a key, as far as /proc shows it: those that have its file open or name it in their arguments. A
//! server that has read the file shows nothing of it any more, but that it has the module.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use keys::printable;

/// The module, by the name that programs load it by.
const MODULE: &str = "/tpm.so";

/// Processes, and what could not be seen of them.
#[derive(Default)]
pub(crate) struct Processes {
    seen: Vec<Process>,
    /// Processes of others, whose files only root sees.
    hidden: usize,
}

struct Process {
    pid: u32,
    name: String,
    arguments: Vec<PathBuf>,
    open: Vec<PathBuf>,
    has_module: bool,
}

impl Processes {
    /// What is below /proc now.
    pub(crate) fn look(proc: &Path) -> Self {
        let mut found = Self::default();
        let own = std::process::id();
        let entries = fs::read_dir(proc).into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        for pid in pids.filter(|pid| *pid != own) {
            let place = proc.join(u32::to_string(&pid));
            let open = match fs::read_dir(place.join("fd")) {
                Ok(entries) => entries
                    .flatten()
                    .filter_map(|entry| fs::read_link(entry.path()).ok())
                    .collect(),
                Err(error) => {
                    found.hidden += usize::from(error.kind() == io::ErrorKind::PermissionDenied);
                    Vec::new()
                }
            };
            let text = |name| fs::read(place.join(name)).unwrap_or_default();
            let maps = text("maps");
            let mut lines = maps.split(|octet| *octet == b'\n');
            let name = text("comm");
            found.seen.push(Process {
                pid,
                name: printable::name(String::from_utf8_lossy(&name).trim()),
                arguments: arguments(&text("cmdline")),
                open,
                has_module: lines.any(|line| line.ends_with(MODULE.as_bytes())),
            });
        }
        found.seen.sort_by_key(|process| process.pid);
        found
    }

    /// Those that have this file open, or name it: `nginx (12)`.
    pub(crate) fn using(&self, file: &Path) -> Vec<String> {
        let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let is_it = |path: &PathBuf| *path == real || path == file;
        let using = self.seen.iter().filter(|process| {
            process.open.iter().any(is_it) || process.arguments.iter().any(is_it)
        });
        using.map(Process::text).collect()
    }

    /// Those that have the module loaded.
    pub(crate) fn with_module(&self) -> Vec<String> {
        let with = self.seen.iter().filter(|process| process.has_module);
        with.map(Process::text).collect()
    }

    /// What can be said besides.
    pub(crate) fn note(&self) -> String {
        let loaded = self.with_module();
        let loaded = match loaded.is_empty() {
            true => "none is seen with the module loaded".to_owned(),
            false => format!("with the module loaded: {}", loaded.join(", ")),
        };
        let hidden = match self.hidden {
            0 => String::new(),
            hidden => format!("; {hidden} of others are seen by root alone"),
        };
        format!("{loaded}{hidden}. A server closes a key file when it has read it.")
    }
}

impl Process {
    fn text(&self) -> String {
        format!("{} ({})", self.name, self.pid)
    }
}

/// The arguments that may be paths, also behind `=` and a scheme.
fn arguments(line: &[u8]) -> Vec<PathBuf> {
    let words = line.split(|octet| *octet == 0).skip(1);
    let path = |word: &[u8]| {
        let at = word.iter().position(|octet| *octet == b'/')?;
        let is_behind = at == 0 || matches!(word[at - 1], b'=' | b':');
        is_behind.then(|| PathBuf::from(OsStr::from_bytes(&word[at..])))
    };
    words.filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn users_are_found_by_files_and_arguments() {
        let proc = tempfile::tempdir().unwrap();
        let key = proc.path().join("www.tpm");
        fs::write(&key, "").unwrap();
        let add = |pid: &str, name: &str, line: &str, maps: &str| {
            let place = proc.path().join(pid);
            fs::create_dir_all(place.join("fd")).unwrap();
            fs::write(place.join("comm"), format!("{name}\n")).unwrap();
            fs::write(place.join("cmdline"), line).unwrap();
            fs::write(place.join("maps"), maps).unwrap();
            place
        };
        let shown = key.display();
        add(
            "7",
            "openssl",
            &format!("openssl\0req\0-key\0{shown}\0"),
            "",
        );
        add("8", "stunnel", &format!("stunnel\0--key={shown}\0"), "");
        let nginx = add(
            "9",
            "nginx",
            "nginx: master\0",
            "7f00 r-xp 0 00:00 1   /usr/lib/ossl-modules/tpm.so\n",
        );
        symlink(&key, nginx.join("fd/5")).unwrap();
        add(
            "10",
            "cat",
            &format!("cat\0{shown}.bak\0x/tpm.so\0"),
            "7f00 r-xp 0 00:00 1  /usr/lib/xtpm.so\n",
        );
        let found = Processes::look(proc.path());
        assert_eq!(
            found.using(&key),
            ["openssl (7)", "stunnel (8)", "nginx (9)"]
        );
        assert_eq!(found.with_module(), ["nginx (9)"]);
        assert!(
            found
                .note()
                .starts_with("with the module loaded: nginx (9).")
        );
    }
}
