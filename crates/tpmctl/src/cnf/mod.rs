//! The provider's section of openssl.cnf, in the file that OpenSSL itself would read, as OpenSSL reads it.

#[allow(unsafe_code, reason = "libcrypto's parser is called")]
mod nconf;

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use nconf::Conf;

use crate::settings;

/// What a section has, in the order of the file; secrets among it, wiped when it goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Section(Vec<(String, Zeroizing<String>)>);

impl Section {
    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Section {
    fn from(lines: [(&str, &str); N]) -> Self {
        let own = |(name, value): (&str, &str)| (name.to_owned(), Zeroizing::new(value.to_owned()));
        Self(lines.map(own).into())
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
    /// The section that the file begins with (`openssl_conf`), if it names one.
    pub(crate) start: Option<String>,
    /// The section that lists providers, if it names one.
    pub(crate) list: Option<String>,
    /// Why there is nothing, although there is a file or one was named.
    pub(crate) problem: Option<Problem>,
}

/// A file that OpenSSL does not read.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// The file.
    pub(crate) file: PathBuf,
    /// Why not.
    pub(crate) reason: String,
    /// Whether `OPENSSL_CONF` names it.
    pub(crate) is_named: bool,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, reason, .. } = self;
        write!(
            f,
            "the configuration file {} cannot be read: {reason}",
            file.display()
        )
    }
}

/// A provider that a file names.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// As OpenSSL lists it: `identity`, or the name, of which nothing before a dot counts.
    pub(crate) name: String,
    /// What its section is called.
    pub(crate) at: Option<String>,
    /// Its section; absent if the name leads nowhere.
    pub(crate) section: Option<Section>,
    /// Whether it is this provider.
    pub(crate) ours: bool,
}

/// The provider's section in the file that OpenSSL itself would read: `OPENSSL_CONF`, or openssl.cnf in
/// OPENSSLDIR.
pub(crate) fn provider_section() -> Found {
    let Some((file, is_named)) = path() else {
        return Found::default();
    };
    // The system's own may be missing: then there are no settings.
    if !is_named && matches!(file.try_exists(), Ok(false)) {
        return Found::default();
    }
    match read(&file) {
        Ok(found) => {
            log::debug!("settings from {}", file.display());
            Found {
                file: Some(file),
                ..found
            }
        }
        Err(reason) => Found {
            problem: Some(Problem {
                file,
                reason,
                is_named,
            }),
            ..Found::default()
        },
    }
}

/// The file that OpenSSL reads, and whether `OPENSSL_CONF` names it.
pub(crate) fn path() -> Option<(PathBuf, bool)> {
    match settings::environment("OPENSSL_CONF") {
        Some(path) => Some((PathBuf::from(path), true)),
        None => default_file().map(|path| (path, false)),
    }
}

/// `OPENSSLDIR: "/usr/lib/ssl"`, as libcrypto says.
pub(crate) fn default_file() -> Option<PathBuf> {
    let text = openssl::version::dir();
    let directory = text.split('"').nth(1)?;
    Some(Path::new(directory).join("openssl.cnf"))
}

/// The providers in a file, and the section of the first that is ours.
pub(crate) fn read(file: &Path) -> Result<Found, String> {
    let mut conf = Conf::load(file)?;
    let section = |conf: &Conf, name: &str| conf.section(name).map(Section);
    let value = |section: &Option<Section>, name: &str| {
        section
            .as_ref()
            .and_then(|it| it.get(name).map(str::to_owned))
    };
    let start = value(&section(&conf, "default"), "openssl_conf");
    let init = start.as_deref().and_then(|name| section(&conf, name));
    let listed = value(&init, "providers");
    let list = listed.as_deref().and_then(|name| section(&conf, name));
    let list = list.unwrap_or_default();
    let providers: Vec<Listed> = list
        .0
        .iter()
        .map(|(name, at)| Listed::new(name, at, section(&conf, at)))
        .collect();
    let ours = providers.iter().find(|listed| listed.ours);
    let found = Found {
        section: ours.and_then(|listed| listed.section.clone()),
        providers,
        start,
        list: listed,
        ..Found::default()
    };
    for (_, at) in &list.0 {
        conf.wipe(at);
    }
    Ok(found)
}

impl Listed {
    fn new(name: &str, at: &str, section: Option<Section>) -> Self {
        let bare = name.split_once('.').map_or(name, |(_, name)| name);
        let identity = section.as_ref().and_then(|section| section.get("identity"));
        Self {
            name: identity.unwrap_or(bare).to_owned(),
            at: Some(at.to_owned()),
            ours: section
                .as_ref()
                .is_some_and(|section| is_ours(name, section)),
            section,
        }
    }
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
    use std::fs;

    fn file(text: &str) -> Result<Found, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("openssl.cnf");
        fs::write(&path, text).unwrap();
        read(&path)
    }

    fn section(text: &str) -> Option<Section> {
        file(text).unwrap().section
    }

    #[test]
    fn finds_the_section_of_the_sample() {
        let section = section(include_str!("../../../../conf/openssl.cnf")).unwrap();
        assert_eq!(section.get("activate"), Some("1"));
        assert_eq!(section.get("tcti"), None);
    }

    #[test]
    fn reads_what_config_5_allows() {
        let section = section(
            "init=start\n\
             openssl_conf = ${init} # the start\n\
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
        )
        .unwrap();
        assert_eq!(section.get("tcti"), Some("swtpm:path=/a#b"));
        assert_eq!(section.get("log"), Some("warn"));
        assert_eq!(section.get("parent-auth"), Some("file:/run/x/pin"));
        assert_eq!(section.get("other"), Some("start #1"));
    }

    #[test]
    fn what_openssl_refuses_is_refused_with_its_reason() {
        let refused = |text| file(text).err().expect("refused");
        let reason = refused("openssl_conf = i\n[i]\nproviders = ${nosuch}\n");
        assert!(reason.contains("variable has no value"), "{reason}");
        assert!(reason.contains("line 3"), "{reason}");
        assert!(refused("[open\nx = 1\n").contains("close square bracket"));
        assert!(refused("no equals\n").contains("equal sign"));
    }

    #[test]
    fn knows_the_provider_under_other_names() {
        let with = |lines: &str| {
            section(&format!(
                "openssl_conf=i\n[i]\nproviders=p\n[p]\nhw=s\n[s]\n{lines}"
            ))
        };
        assert!(with("module=/opt/tpm.so\n").is_some());
        assert!(with("identity = tpm\n").is_some());
        assert!(with("module=/opt/tpm2.so\n").is_none());
        assert!(with("identity=x\nmodule=/opt/tpm.so\n").is_none());
    }

    #[test]
    fn providers_come_in_the_order_of_the_file() {
        let found = file(
            "openssl_conf=i\n[i]\nproviders=p\n[p]\ntpm=t\n2.default=d\nlegacy=nosuch\ntpm=t\n[t]\nactivate=1\n[d]\n",
        )
        .unwrap();
        let names: Vec<&str> = found.providers.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["default", "legacy", "tpm"]);
        assert!(found.providers[1].section.is_none());
        assert!(found.providers[2].ours);
    }
}
