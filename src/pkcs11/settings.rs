//! Where this front end's settings come from: what the program says when it starts us, the environment, the user's
//! file, the machine's. There is nobody to hand us a section of openssl.cnf.
#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};

use keys::config::{Fault, SETTINGS, Setting, Settings, Source};
use keys::{key_dirs, log_setup};
use zeroize::Zeroizing;

use crate::ffi::{self, Variable};

/// The machine's file.
const MACHINE: &str = "/etc/tpm-provider/pkcs11.conf";
/// The largest file of settings, in bytes.
const LARGEST: u64 = 64 << 10;

/// Everything that is said.
struct Here {
    /// What the program says, by name.
    arguments: Vec<(String, Zeroizing<String>)>,
    /// The files, the first one first.
    files: Vec<(PathBuf, Lines)>,
    home: Option<PathBuf>,
    /// Where the user's data is, if not in its usual place.
    data: Option<PathBuf>,
}

type Lines = Vec<(String, Zeroizing<String>)>;

/// The settings, and what is wrong with them.
pub(super) fn read(arguments: &str) -> (Settings, Vec<String>) {
    let mut faults = Vec::new();
    let here = Here::now(arguments, &mut faults);
    let mut settings = Settings::default();
    faults.extend(settings.read_all(&here).iter().map(Fault::to_string));
    settings.config.on_open = ffi::release_at_exit;
    if let Some(level) = settings.level() {
        log_setup::enable(level, settings.log_to.as_ref());
    }
    let usual = || key_dirs::usual(here.home.as_deref(), here.data.as_deref());
    settings.key_dirs = Some(settings.key_dirs.take().unwrap_or_else(usual));
    for fault in &faults {
        log::warn!("the settings are not usable: {fault}");
    }
    (settings, faults)
}

impl Here {
    fn now(arguments: &str, faults: &mut Vec<String>) -> Self {
        let directory = |name| match ffi::variable(name) {
            Variable::Is(value) => Some(PathBuf::from(&*value)).filter(|path| path.is_absolute()),
            Variable::Absent | Variable::Untrusted => None,
        };
        let home = directory(c"HOME");
        let config = directory(c"XDG_CONFIG_HOME");
        let config = config.or_else(|| home.as_ref().map(|home| home.join(".config")));
        let own = config.map(|config| config.join("tpm-provider/pkcs11.conf"));
        let files = own
            .into_iter()
            .chain([PathBuf::from(MACHINE)])
            .filter_map(|path| {
                let text = text_of(&path)?;
                let (lines, wrong) = lines_of(&text);
                let place = path.display();
                faults.extend(wrong.iter().map(|wrong| format!("{place}: {wrong}")));
                Some((path, lines))
            })
            .collect();
        Self {
            arguments: arguments_in(arguments),
            files,
            home,
            data: directory(c"XDG_DATA_HOME"),
        }
    }

    fn in_files(&self, key: &CStr) -> Option<(&Path, &Zeroizing<String>)> {
        self.files.iter().find_map(|(path, lines)| {
            let value = find(lines, key)?;
            Some((path.as_path(), value))
        })
    }
}

fn find<'a>(lines: &'a Lines, key: &CStr) -> Option<&'a Zeroizing<String>> {
    let found = lines
        .iter()
        .find(|(name, _)| name.as_bytes() == key.to_bytes());
    found.map(|(_, value)| value)
}

impl Source for Here {
    fn argument(&self, key: &CStr) -> Option<(Zeroizing<String>, String)> {
        let value = find(&self.arguments, key)?;
        Some((
            value.clone(),
            "what the program says in C_Initialize".into(),
        ))
    }

    fn setting(&self, key: &CStr) -> Option<Zeroizing<String>> {
        self.in_files(key).map(|(_, value)| value.clone())
    }

    fn place(&self, key: &CStr) -> Option<String> {
        self.in_files(key)
            .map(|(path, _)| path.display().to_string())
    }

    fn variable(&self, name: &CStr) -> Result<Option<Zeroizing<String>>, String> {
        // That of a privileged program's caller does not count, nor does the caller's home directory.
        match ffi::variable(name) {
            Variable::Is(value) => Ok(Some(value)),
            Variable::Absent | Variable::Untrusted => Ok(None),
        }
    }

    fn home(&self) -> Option<PathBuf> {
        self.home.clone()
    }

    fn wants(&self, _: &Setting) -> bool {
        true
    }
}

/// The content of a file of settings, if it is there.
fn text_of(path: &Path) -> Option<Zeroizing<String>> {
    let data = fs::metadata(path).ok()?;
    if !data.is_file() || data.len() > LARGEST {
        log::warn!("{} is no file of settings", path.display());
        return None;
    }
    match fs::read_to_string(path) {
        Ok(text) => Some(Zeroizing::new(text)),
        Err(error) => {
            log::warn!("{}: {error}", path.display());
            None
        }
    }
}

/// The lines `name = value`, the first one of a name first; and what is wrong with others.
fn lines_of(text: &str) -> (Lines, Vec<String>) {
    let (mut lines, mut wrong) = (Lines::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            wrong.push(format!("line {number}: expected NAME = VALUE"));
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        match is_setting(name) {
            true => lines.push((name.to_owned(), Zeroizing::new(value.to_owned()))),
            false => wrong.push(format!(
                "line {number}: {name:?} is not a setting; they are in tpm-pkcs11(7)"
            )),
        }
    }
    (lines, wrong)
}

fn is_setting(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.name() == name)
}

/// What a program says: `name=value` with blanks between, a value with blanks in quotation marks, as NSS and p11-kit
/// have it. Names that are not ours are other modules'.
fn arguments_in(text: &str) -> Lines {
    let mut found = Lines::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, behind) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let inside = &after[1..];
                inside.split_once(quote).unwrap_or((inside, ""))
            }
            _ => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        // A word without a value before it is nothing.
        let name = name.rsplit(char::is_whitespace).next().unwrap_or(name);
        if is_setting(name) {
            found.push((name.to_owned(), Zeroizing::new(value.to_owned())));
        } else {
            log::debug!("what the program says of {name:?} is no setting of ours");
        }
        rest = behind.trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &Lines) -> Vec<(&str, &str)> {
        lines
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    #[test]
    fn arguments_are_those_of_nss() {
        for (text, expected) in [
            ("", &[][..]),
            ("tcti=device:/dev/tpm0", &[("tcti", "device:/dev/tpm0")]),
            (
                " configdir='sql:/a b' key-dirs=\"/a b:/c\" flags=readOnly log=debug",
                &[("key-dirs", "/a b:/c"), ("log", "debug")],
            ),
            ("nothing log=off", &[("log", "off")]),
            ("key-dirs='/open", &[("key-dirs", "/open")]),
            ("log=", &[("log", "")]),
            ("=x log", &[]),
        ] {
            assert_eq!(texts(&arguments_in(text)), expected, "{text}");
        }
    }

    #[test]
    fn files_have_lines_and_comments() {
        let (lines, wrong) =
            lines_of("# keys\n\nkey-dirs = /a:/b \r\n tcti=swtpm:path=/x\nwhat\nkeydirs = /c\n");
        assert_eq!(
            texts(&lines),
            [("key-dirs", "/a:/b"), ("tcti", "swtpm:path=/x")]
        );
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("line 5: expected"));
        assert!(wrong[1].contains("line 6: \"keydirs\" is not"));
    }
}
