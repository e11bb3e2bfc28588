//! The provider's section of openssl.cnf, read as config(5) has it, as far as a provider's settings
//! need it: sections, quotes, escapes, continued lines, variables, `.include`. Whatever else a file
//! may hold is passed over.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use zeroize::{Zeroize, Zeroizing};

/// The settings of one section, secrets among them: wiped when it goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Section(HashMap<String, String>);

impl Deref for Section {
    type Target = HashMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

#[cfg(test)]
impl<const N: usize> From<[(String, String); N]> for Section {
    fn from(settings: [(String, String); N]) -> Self {
        Self(settings.into())
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

/// What was found.
#[derive(Default)]
pub(crate) struct Found {
    /// The file that was looked at, if it could be read.
    pub(crate) file: Option<PathBuf>,
    /// The provider's section.
    pub(crate) section: Option<Section>,
    /// The providers that the file names, in its order.
    pub(crate) providers: Vec<Listed>,
    /// Why the file that was named could not be read.
    pub(crate) problem: Option<String>,
}

/// A provider that a file names.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// As OpenSSL lists it: `identity`, or the name, of which nothing before a dot counts.
    pub(crate) name: String,
    /// Its section; absent if the name leads nowhere.
    pub(crate) section: Option<Section>,
    /// Whether it is this provider.
    pub(crate) ours: bool,
}

/// How deep files include each other: deeper ones include themselves.
const DEEPEST: u8 = 8;
/// The longest value, in bytes, as in OpenSSL: one that names itself twice doubles with every line.
const LONGEST: usize = 65536;

/// The provider's section in the file that OpenSSL itself would read: `OPENSSL_CONF`, or openssl.cnf in
/// OPENSSLDIR.
pub(crate) fn provider_section() -> Found {
    let Some((path, named)) = path() else {
        return Found::default();
    };
    match fs::read(&path) {
        Ok(bytes) => {
            let bytes = Zeroizing::new(bytes);
            let mut file = File::default();
            file.read(&bytes, path.parent(), 0);
            log::debug!("settings from {}", path.display());
            Found {
                section: file.provider().cloned(),
                providers: file.providers(),
                file: Some(path),
                problem: None,
            }
        }
        // The system's own may be missing: then there are no settings.
        Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => Found::default(),
        Err(error) => Found {
            problem: Some(format!(
                "the configuration file {} cannot be read: {error}",
                path.display()
            )),
            ..Found::default()
        },
    }
}

/// The file that OpenSSL reads, and whether `OPENSSL_CONF` names it.
pub(crate) fn path() -> Option<(PathBuf, bool)> {
    match env::var_os("OPENSSL_CONF").filter(|path| !path.is_empty()) {
        Some(path) => Some((PathBuf::from(path), true)),
        None => default_file().map(|path| (path, false)),
    }
}

/// The provider's section in `bytes`, a file that includes nothing: for the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse(bytes: &[u8]) -> Option<Section> {
    let mut file = File::default();
    file.read(bytes, None, DEEPEST);
    file.provider().cloned()
}

/// `OPENSSLDIR: "/usr/lib/ssl"`, as libcrypto says.
fn default_file() -> Option<PathBuf> {
    let text = openssl::version::dir();
    let directory = text.split('"').nth(1)?;
    Some(Path::new(directory).join("openssl.cnf"))
}

#[derive(Default)]
struct File {
    sections: HashMap<String, Section>,
    /// The names in a section, in order: that of `providers` decides who is asked first.
    order: HashMap<String, Vec<String>>,
    /// The section that lines belong to now; included files begin in it, too.
    current: Option<String>,
}

impl File {
    /// The section of the first provider that is ours.
    fn provider(&self) -> Option<&Section> {
        let init = self.value("default", "openssl_conf")?;
        let providers = self.sections.get(self.value(init, "providers")?)?;
        let mut ours: Vec<(&String, &Section)> = providers
            .iter()
            .filter_map(|(name, section)| Some((name, self.sections.get(section)?)))
            .filter(|(name, section)| is_ours(name, section))
            .collect();
        ours.sort_by_key(|(name, _)| name.as_str());
        ours.first().map(|(_, section)| *section)
    }

    /// Every provider that is named.
    fn providers(&self) -> Vec<Listed> {
        let list = self
            .value("default", "openssl_conf")
            .and_then(|init| self.value(init, "providers"));
        let names = list.and_then(|list| Some((list, self.order.get(list)?)));
        let (list, names) = names.unwrap_or(("", const { &Vec::new() }));
        let listed = names.iter().map(|name| {
            let section = self.value(list, name).and_then(|at| self.sections.get(at));
            let bare = name.split_once('.').map_or(name.as_str(), |(_, name)| name);
            let identity = section.and_then(|section| section.get("identity"));
            Listed {
                name: identity.map_or(bare, String::as_str).to_owned(),
                section: section.cloned(),
                ours: section.is_some_and(|section| is_ours(name, section)),
            }
        });
        listed.collect()
    }

    fn value(&self, section: &str, name: &str) -> Option<&str> {
        self.sections.get(section)?.get(name).map(String::as_str)
    }

    fn read(&mut self, bytes: &[u8], directory: Option<&Path>, depth: u8) {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let mut line = Zeroizing::new(line.to_owned());
            while continues(&line) {
                line.pop();
                line.push_str(lines.next().unwrap_or_default());
            }
            self.line(&line, directory, depth);
        }
    }

    fn line(&mut self, line: &str, directory: Option<&Path>, depth: u8) {
        let line = line.trim_start();
        if let Some(rest) = line.strip_prefix('[') {
            if let Some((name, _)) = rest.split_once(']') {
                self.current = Some(name.trim().to_owned());
                self.sections.entry(name.trim().to_owned()).or_default();
            }
            return;
        }
        if let Some(rest) = line.strip_prefix(".include") {
            let rest = rest.trim_start();
            let path = self.expand(rest.strip_prefix('=').unwrap_or(rest));
            if depth < DEEPEST {
                self.include(&path, directory, depth);
            }
            return;
        }
        // A comment's line has no name before its first '='.
        let Some((name, value)) = line.split_once('=') else {
            return;
        };
        if name.contains('#') || name.starts_with('.') {
            return;
        }
        let value = self.expand(value);
        let current = self.current.as_deref().unwrap_or("default");
        let (section, name) = name
            .trim()
            .split_once("::")
            .unwrap_or((current, name.trim()));
        let (section, name) = (section.to_owned(), name.to_owned());
        // A name that comes again takes the place of the last.
        let order = self.order.entry(section.clone()).or_default();
        order.retain(|other| *other != name);
        order.push(name.clone());
        let section = self.sections.entry(section).or_default();
        // Wiped, if there was one.
        drop(section.0.insert(name, value).map(Zeroizing::new));
    }

    /// Reads a file, or the *.cnf and *.conf files of a directory. A relative name is OPENSSL_CONF_INCLUDE's,
    /// or the including file's neighbour.
    fn include(&mut self, path: &str, directory: Option<&Path>, depth: u8) {
        let base = env::var_os("OPENSSL_CONF_INCLUDE").map(PathBuf::from);
        let base = base.as_deref().or(directory).unwrap_or(Path::new(""));
        let path = base.join(path);
        let mut files = vec![path.clone()];
        if path.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            files = entries.map(|entry| entry.path()).collect();
            files.retain(|file| {
                let extension = file.extension().and_then(|extension| extension.to_str());
                matches!(extension, Some("cnf" | "conf"))
            });
            files.sort();
        }
        for file in files {
            match fs::read(&file) {
                Ok(bytes) => self.read(&Zeroizing::new(bytes), file.parent(), depth + 1),
                Err(error) => log::warn!("{} is not included: {error}", file.display()),
            }
        }
    }

    /// A value: quotes and escapes resolved, variables filled in, comment and blanks at the ends cut.
    fn expand(&self, raw: &str) -> String {
        // Large enough for what has no variables: what outgrows it leaves a copy.
        let mut value = String::with_capacity(raw.len());
        // Blanks after this length are not quoted, and cut at the end.
        let mut kept = 0;
        let mut chars = raw.trim_start().chars().peekable();
        while let Some(char) = chars.next() {
            if value.len() > LONGEST {
                break;
            }
            match char {
                '#' => break,
                '\\' => {
                    match chars.next() {
                        Some('n') => value.push('\n'),
                        Some('r') => value.push('\r'),
                        Some('t') => value.push('\t'),
                        Some('b') => value.push('\u{8}'),
                        Some(other) => value.push(other),
                        None => {}
                    }
                    kept = value.len();
                }
                '"' | '\'' | '`' => {
                    while let Some(inner) = chars.next() {
                        match inner {
                            '\\' => value.extend(chars.next()),
                            inner if inner == char => break,
                            inner => value.push(inner),
                        }
                    }
                    kept = value.len();
                }
                '$' => {
                    let close = match chars.peek() {
                        Some('{') => Some('}'),
                        Some('(') => Some(')'),
                        _ => None,
                    };
                    if close.is_some() {
                        chars.next();
                    }
                    let mut name = String::new();
                    while let Some(next) =
                        chars.next_if(|next| next.is_alphanumeric() || "_:".contains(*next))
                    {
                        name.push(next);
                    }
                    if let Some(close) = close {
                        chars.next_if_eq(&close);
                    }
                    value.push_str(&self.variable(&name));
                    kept = value.len();
                }
                other => value.push(other),
            }
        }
        let end = value.trim_end().len().max(kept);
        value.truncate(end);
        value
    }

    /// A variable's value; nothing for one that is not known, where OpenSSL would refuse the file.
    fn variable(&self, name: &str) -> String {
        let current = self.current.as_deref().unwrap_or("default");
        match name.split_once("::") {
            Some(("ENV", name)) => env::var(name).unwrap_or_default(),
            Some((section, name)) => self.value(section, name).unwrap_or_default().to_owned(),
            None => self
                .value(current, name)
                .or_else(|| self.value("default", name))
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

/// Whether a line ends with an odd number of backslashes.
fn continues(line: &str) -> bool {
    let backslashes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
    backslashes % 2 == 1
}

/// A provider is called by its name in the list (what stands before a dot does not count), by its
/// `identity`, or by its module's file.
fn is_ours(name: &str, section: &Section) -> bool {
    let name = name.split_once('.').map_or(name, |(_, name)| name);
    let module = section.get("module").map(Path::new);
    match section.get("identity") {
        Some(identity) => identity == "tpm",
        None => name == "tpm" || module.and_then(Path::file_stem).is_some_and(|s| s == "tpm"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        let mut file = File::default();
        file.read(text.as_bytes(), None, 0);
        file
    }

    #[test]
    fn finds_the_section_of_the_sample() {
        let file = file(include_str!("../../../conf/openssl.cnf"));
        assert_eq!(file.provider().unwrap().get("activate").unwrap(), "1");
        assert_eq!(file.provider().unwrap().get("tcti"), None);
    }

    #[test]
    fn reads_what_config_5_allows() {
        let file = file(
            "openssl_conf = $init # the start\n\
             init=start\n\
             openssl_conf = ${init}\n\
             [ start ]\n\
             providers=list\n\
             [list]\n\
             default = d\n\
             1.tpm = ours\n\
             ours::tcti = \"swtpm:path=/a#b\" # not a comment inside\n\
             [ours]\n\
             dir = /run/x\n\
             log = w\\\n\
             arn\n\
             #tcti = device:/wrong\n\
             parent-auth = file:$dir/pin  \n\
             other = $(default::init) \\#1\n",
        );
        let section = file.provider().unwrap();
        let get = |name: &str| section.get(name).map(String::as_str);
        assert_eq!(get("tcti"), Some("swtpm:path=/a#b"));
        assert_eq!(get("log"), Some("warn"));
        assert_eq!(get("parent-auth"), Some("file:/run/x/pin"));
        assert_eq!(get("other"), Some("start #1"));
    }

    #[test]
    fn knows_the_provider_under_other_names() {
        let with = |lines: &str| {
            file(&format!(
                "openssl_conf=i\n[i]\nproviders=p\n[p]\nhw=s\n[s]\n{lines}"
            ))
        };
        assert!(with("module=/opt/tpm.so\n").provider().is_some());
        assert!(with("identity = tpm\n").provider().is_some());
        assert!(with("module=/opt/tpm2.so\n").provider().is_none());
        assert!(
            with("identity=x\nmodule=/opt/tpm.so\n")
                .provider()
                .is_none()
        );
    }

    #[test]
    fn providers_keep_their_order() {
        let read = file(
            "openssl_conf=i\n[i]\nproviders=p\n[p]\n2.tpm=t\ndefault=d\nlegacy=l\n2.tpm = t\nx=gone\n\
             [d]\nactivate=1\n[t]\n[l]\nidentity=old\n",
        );
        let listed = read.providers();
        let names: Vec<&str> = listed.iter().map(|listed| listed.name.as_str()).collect();
        assert_eq!(names, ["default", "old", "tpm", "x"]);
        assert!(listed[2].ours && !listed[0].ours);
        assert_eq!(listed[0].section.as_ref().unwrap()["activate"], "1");
        assert!(listed[3].section.is_none());
        assert!(file("providers = p\n").providers().is_empty());
    }

    #[test]
    fn follows_includes_and_not_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("main.cnf"), ".include sub\n.include main.cnf\n").unwrap();
        fs::create_dir(at("sub")).unwrap();
        fs::write(
            at("sub/a.conf"),
            "openssl_conf=i\n[i]\nproviders=p\n[p]\ntpm=t\n",
        )
        .unwrap();
        fs::write(at("sub/b.cnf"), "[t]\ntcti=device\n").unwrap();
        fs::write(at("sub/c.txt"), "[t]\ntcti=wrong\n").unwrap();
        let mut file = File::default();
        file.read(
            &fs::read(at("main.cnf")).unwrap(),
            Some(directory.path()),
            0,
        );
        assert_eq!(file.provider().unwrap().get("tcti").unwrap(), "device");
    }

    #[test]
    fn a_value_made_of_itself_does_not_grow_without_end() {
        let found = file(&format!("a = 0123456789\n{}", "a = $a$a$a$a\n".repeat(40)));
        let length = found.value("default", "a").unwrap().len();
        assert!((LONGEST..=2 * LONGEST + 1).contains(&length), "{length}");
    }

    #[test]
    fn garbage_is_passed_over() {
        for text in [
            "[", "=", "[]\n=\n", "\\", "a = \"", "a = $", "a = ${", ".include", "\u{0}",
        ] {
            assert!(parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }
}
