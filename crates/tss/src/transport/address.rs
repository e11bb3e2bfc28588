//! TPM addresses: tpm2-tss's grammar, so that existing configurations carry over.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::{ErrorKind, Fault, TransportError};

const KNOWN: &str = "device:PATH, swtpm:host=HOST,port=PORT, swtpm:path=SOCKET, \
                     mssim:host=HOST,port=PORT, libtpms:DIRECTORY, tcsd:host=HOST,port=PORT";
const DEFAULT_HOST: &str = "localhost";
const SIMULATOR_PORT: u16 = 2321;
/// Where tcsd listens unless told otherwise.
pub const TCSD_PORT: u16 = 30003;

/// What an [`Address`] leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// A character device of the kernel's TPM driver.
    Device(PathBuf),
    /// swtpm's data socket over TCP.
    SwtpmTcp {
        /// Host name or IP address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// swtpm's data socket in the file system.
    SwtpmUnix(PathBuf),
    /// The reference simulator: commands on `port`, power and NV on `port + 1`.
    Mssim {
        /// Host name or IP address.
        host: String,
        /// TCP port of the command socket.
        port: u16,
    },
    /// A TPM inside this process; the directory holds its state, as swtpm writes it.
    Libtpms(PathBuf),
    /// TrouSerS' daemon, for TPM 1.2.
    Tcsd {
        /// Host name or IP address.
        host: String,
        /// TCP port.
        port: u16,
    },
}

/// The address of a TPM. Parsed with [`FromStr`]; `Display` gives the canonical text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    kind: AddressKind,
}

impl Address {
    /// What the address leads to.
    pub fn kind(&self) -> &AddressKind {
        &self.kind
    }

    /// Parses an address, taking what one of tcsd leaves out from the variables that TrouSerS' own clients
    /// read: `hostname` is the value of `TSS_TCSD_HOSTNAME`, `tcsd_port` that of `TSS_TCSD_PORT`.
    ///
    /// # Errors
    ///
    /// As [`FromStr`], and for a `tcsd_port` that is needed and is not a port.
    pub fn with_tcsd_variables(
        text: &str,
        hostname: Option<&str>,
        tcsd_port: Option<&str>,
    ) -> Result<Self, TransportError> {
        let mut address: Self = text.parse()?;
        if let AddressKind::Tcsd { host, port: number } = &mut address.kind {
            let options = text.split_once(':').map_or("", |(_, options)| options);
            let lacks = |name| !options.split(',').any(|option| option.starts_with(name));
            if let Some(hostname) = hostname.filter(|_| lacks("host=")) {
                hostname.clone_into(host);
            }
            if let Some(value) = tcsd_port.filter(|_| lacks("port=")) {
                *number = port(value).map_err(|problem| {
                    let what = format!("TSS_TCSD_PORT in the environment: {}", problem.what);
                    let mut fault = Fault::new(ErrorKind::Address, what);
                    fault.hint = Some(problem.accepted);
                    TransportError::unplaced(fault)
                })?;
            }
        }
        Ok(address)
    }

    /// tcsd on this machine, at its port.
    pub(crate) fn local_tcsd() -> Self {
        Self {
            kind: AddressKind::Tcsd {
                host: "127.0.0.1".into(),
                port: TCSD_PORT,
            },
        }
    }

    pub(crate) fn device(path: impl Into<PathBuf>) -> Self {
        Self {
            kind: AddressKind::Device(path.into()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            AddressKind::Device(path) => write!(f, "device:{}", path.display()),
            AddressKind::SwtpmTcp { host, port } => write!(f, "swtpm:host={host},port={port}"),
            AddressKind::SwtpmUnix(path) => write!(f, "swtpm:path={}", path.display()),
            AddressKind::Mssim { host, port } => write!(f, "mssim:host={host},port={port}"),
            AddressKind::Libtpms(path) => write!(f, "libtpms:{}", path.display()),
            AddressKind::Tcsd { host, port } => write!(f, "tcsd:host={host},port={port}"),
        }
    }
}

impl FromStr for Address {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, TransportError> {
        parse(text).map(|kind| Self { kind }).map_err(|problem| {
            let quoted = Quoted(text);
            let mut fault = Fault::new(ErrorKind::Address, format!("{quoted}: {}", problem.what));
            fault.hint = Some(problem.accepted);
            TransportError::unplaced(fault)
        })
    }
}

/// Where an address was found; an error must let its reader find it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The environment variable of this name.
    Environment(&'static str),
    /// The setting of this name in the provider's section of openssl.cnf.
    Setting(&'static str),
    /// The setting of this name in this place, in words: a file of the PKCS#11 front end's, or its initialisation.
    At(&'static str, String),
    /// An argument of `tpmctl`.
    CommandLine,
    /// Nobody named one; [`Endpoint::detect`](super::Endpoint::detect) chose it.
    Detected,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "from {name} in the environment"),
            Self::Setting(name) => {
                write!(f, "from {name} in the provider's openssl.cnf section")
            }
            Self::At(name, place) => write!(f, "from {name} in {place}"),
            Self::CommandLine => f.write_str("from the command line"),
            Self::Detected => f.write_str("found by detection"),
        }
    }
}

struct Problem {
    what: String,
    accepted: String,
}

impl Problem {
    fn new(what: impl Into<String>, accepted: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            accepted: accepted.into(),
        }
    }
}

fn parse(text: &str) -> Result<AddressKind, Problem> {
    if text.contains('\0') {
        return Err(Problem::new(
            "it contains a zero byte",
            format!("accepted are {KNOWN}"),
        ));
    }
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) => (scheme, rest),
        None => (text, ""),
    };
    match scheme {
        "device" if rest.is_empty() => Ok(AddressKind::Device(PathBuf::from("/dev/tpm0"))),
        "device" => Ok(AddressKind::Device(PathBuf::from(rest))),
        "swtpm" => {
            let options = Options::parse(rest, &["host", "port", "path"])?;
            if let Some(path) = options.path {
                if options.host.is_some() || options.port.is_some() {
                    return Err(Problem::new(
                        "path excludes host and port",
                        "give either path=SOCKET or host=HOST,port=PORT",
                    ));
                }
                return Ok(AddressKind::SwtpmUnix(PathBuf::from(path)));
            }
            let (host, port) = options.place(SIMULATOR_PORT);
            Ok(AddressKind::SwtpmTcp { host, port })
        }
        "mssim" => {
            let (host, port) = Options::parse(rest, &["host", "port"])?.place(SIMULATOR_PORT);
            if port == u16::MAX {
                return Err(Problem::new(
                    "the platform port would be 65536",
                    "the simulator's platform port is port + 1, so port is at most 65534",
                ));
            }
            Ok(AddressKind::Mssim { host, port })
        }
        "libtpms" if rest.is_empty() => Err(Problem::new(
            "the state directory is missing",
            "write libtpms:DIRECTORY; a directory that does not exist becomes a new TPM",
        )),
        "libtpms" => Ok(AddressKind::Libtpms(PathBuf::from(rest))),
        "tcsd" => {
            let (host, port) = Options::parse(rest, &["host", "port"])?.place(TCSD_PORT);
            Ok(AddressKind::Tcsd { host, port })
        }
        "tabrmd" => Err(Problem::new(
            "tpm2-abrmd is not offered, since its client library starts threads in the host",
            "use device:/dev/tpmrm0: the kernel's resource manager does the same work",
        )),
        "" => Err(Problem::new(
            "it names no transport",
            format!("accepted are {KNOWN}"),
        )),
        _ if text.starts_with('/') => Err(Problem::new(
            "a path alone does not say what it leads to",
            format!(
                "write device:{text} for a device, swtpm:path={text} for a socket, libtpms:{text} \
                 for a state directory",
                text = Shown(text)
            ),
        )),
        other => Err(Problem::new(
            format!("unknown transport {}", Quoted(other)),
            format!("accepted are {KNOWN}"),
        )),
    }
}

/// The part after the scheme: `name=value` separated by commas.
#[derive(Default)]
struct Options<'a> {
    host: Option<&'a str>,
    port: Option<u16>,
    path: Option<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(text: &'a str, accepted: &[&str]) -> Result<Self, Problem> {
        let mut options = Self::default();
        if text.is_empty() {
            return Ok(options);
        }
        let names = accepted.join("=, ") + "=";
        for part in text.split(',') {
            let Some((name, value)) = part.split_once('=') else {
                return Err(Problem::new(
                    format!("{} is not of the form name=value", Quoted(part)),
                    format!("accepted here are {names}, separated by commas"),
                ));
            };
            if !accepted.contains(&name) {
                return Err(Problem::new(
                    format!("unknown option {}", Quoted(name)),
                    format!("accepted here are {names}"),
                ));
            }
            if value.is_empty() {
                return Err(Problem::new(
                    format!("{name}= has no value"),
                    "give it one or drop it",
                ));
            }
            let again = match name {
                "host" => {
                    let bare = value
                        .strip_prefix('[')
                        .and_then(|rest| rest.strip_suffix(']'))
                        .filter(|inner| inner.contains(':') && !inner.contains(['[', ']']));
                    options.host.replace(bare.unwrap_or(value)).is_some()
                }
                "port" => options.port.replace(port(value)?).is_some(),
                _ => options.path.replace(value).is_some(),
            };
            if again {
                return Err(Problem::new(
                    format!("{name}= is given twice"),
                    "give it once",
                ));
            }
        }
        Ok(options)
    }

    fn place(&self, default_port: u16) -> (String, u16) {
        (
            self.host.unwrap_or(DEFAULT_HOST).to_owned(),
            self.port.unwrap_or(default_port),
        )
    }
}

fn port(value: &str) -> Result<u16, Problem> {
    // `u16::from_str` also takes "+80"; nothing else that reads such addresses does.
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse::<u16>() {
        Ok(number) if digits && number != 0 => Ok(number),
        _ => Err(Problem::new(
            format!("port {} is not a port", Quoted(value)),
            "a port is a number from 1 to 65535",
        )),
    }
}

/// Text of a stranger in an error message: quoted, and as [`Shown`].
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Shown(self.0))
    }
}

/// Text of a stranger in an error message: control characters escaped, length bounded.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 120;
        if self.0.chars().count() <= SHOWN {
            return write!(f, "{}", self.0.escape_debug());
        }
        let start: String = self.0.chars().take(SHOWN).collect();
        write!(f, "{}...", start.escape_debug())
    }
}

/// Whether the device at this path is one of the kernel's resource-managed devices.
pub(crate) fn is_managed_name(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with("tpmrm"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tcsds_own_variables_fill_in_what_its_address_leaves_out() {
        for (text, full) in [
            ("tcsd", "tcsd:host=h,port=9"),
            ("tcsd:", "tcsd:host=h,port=9"),
            ("tcsd:port=1", "tcsd:host=h,port=1"),
            ("tcsd:host=x", "tcsd:host=x,port=9"),
            ("tcsd:host=x,port=1", "tcsd:host=x,port=1"),
            ("swtpm", "swtpm:host=localhost,port=2321"),
        ] {
            let address = Address::with_tcsd_variables(text, Some("h"), Some("9")).unwrap();
            assert_eq!(address.to_string(), full, "{text}");
        }
        let plain = Address::with_tcsd_variables("tcsd", None, None).unwrap();
        assert_eq!(plain.to_string(), "tcsd:host=localhost,port=30003");
        let error = Address::with_tcsd_variables("tcsd", None, Some("x")).unwrap_err();
        assert!(error.to_string().contains("TSS_TCSD_PORT"), "{error}");
        assert!(Address::with_tcsd_variables("tcsd:port=1", None, Some("x")).is_ok());
    }

    #[test]
    fn no_control_character_and_no_endless_text_gets_into_an_error() {
        let long = format!("/{}", "x".repeat(100_000));
        for text in ["/dev/\u{1b}[2J", "/\u{7f}", "swtpm:\n=1", "a\tb:", &long] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(!error.chars().any(char::is_control), "{error:?}");
            assert!(error.len() < 1000, "{} bytes", error.len());
        }
    }

    #[test]
    fn every_form_parses_and_prints_canonically() {
        for (text, canonical) in [
            ("device:/dev/tpmrm0", "device:/dev/tpmrm0"),
            ("device:/dev/odd:name,x=y", "device:/dev/odd:name,x=y"),
            ("device", "device:/dev/tpm0"),
            ("device:", "device:/dev/tpm0"),
            ("swtpm", "swtpm:host=localhost,port=2321"),
            ("swtpm:", "swtpm:host=localhost,port=2321"),
            ("swtpm:port=99", "swtpm:host=localhost,port=99"),
            ("swtpm:port=99,host=h", "swtpm:host=h,port=99"),
            ("swtpm:host=[::1],port=1", "swtpm:host=::1,port=1"),
            ("swtpm:host=::1", "swtpm:host=::1,port=2321"),
            ("swtpm:path=/run/swtpm.sock", "swtpm:path=/run/swtpm.sock"),
            ("mssim", "mssim:host=localhost,port=2321"),
            (
                "mssim:host=10.0.0.1,port=65534",
                "mssim:host=10.0.0.1,port=65534",
            ),
            ("libtpms:/var/lib/tpm", "libtpms:/var/lib/tpm"),
            ("libtpms:relative/dir", "libtpms:relative/dir"),
            ("tcsd", "tcsd:host=localhost,port=30003"),
            ("tcsd:host=h,port=1", "tcsd:host=h,port=1"),
        ] {
            let address: Address = text
                .parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.to_string(), canonical);
            assert_eq!(
                canonical.parse::<Address>().unwrap(),
                address,
                "{canonical}"
            );
        }
    }

    #[test]
    fn errors_name_the_part_and_what_is_accepted() {
        for (text, part, accepted) in [
            ("", "names no transport", "device:PATH"),
            (":x", "names no transport", "device:PATH"),
            ("usb:1", "unknown transport \"usb\"", "swtpm:path=SOCKET"),
            (
                "DEVICE:/dev/tpm0",
                "unknown transport \"DEVICE\"",
                "device:PATH",
            ),
            ("/dev/tpmrm0", "a path alone", "device:/dev/tpmrm0"),
            (
                "swtpm:localhost",
                "\"localhost\" is not of the form",
                "host=, port=, path=",
            ),
            ("swtpm:host=a,", "\"\" is not of the form", "host="),
            ("swtpm:hots=a", "unknown option \"hots\"", "host="),
            ("mssim:path=/x", "unknown option \"path\"", "host=, port="),
            ("swtpm:host=", "host= has no value", "give it one"),
            ("swtpm:path=", "path= has no value", "give it one"),
            ("swtpm:port=0", "port \"0\"", "1 to 65535"),
            ("swtpm:port=65536", "port \"65536\"", "1 to 65535"),
            ("swtpm:port=+80", "port \"+80\"", "1 to 65535"),
            ("swtpm:port=2321 ", "port \"2321 \"", "1 to 65535"),
            ("swtpm:port=1,port=2", "port= is given twice", "once"),
            (
                "swtpm:path=/a,port=1",
                "path excludes host and port",
                "either",
            ),
            ("mssim:port=65535", "platform port", "65534"),
            ("libtpms", "state directory is missing", "libtpms:DIRECTORY"),
            (
                "libtpms:",
                "state directory is missing",
                "libtpms:DIRECTORY",
            ),
            ("tabrmd", "tpm2-abrmd is not offered", "device:/dev/tpmrm0"),
            (
                "tabrmd:bus_type=session",
                "tpm2-abrmd is not offered",
                "device:/dev/tpmrm0",
            ),
            ("device:/dev/\0", "zero byte", "device:PATH"),
            (
                "x\n\u{1b}[31m",
                "unknown transport \"x\\n\\u{1b}[31m\"",
                "device:PATH",
            ),
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Address, "{text}");
            let shown = error.to_string();
            assert!(
                shown.contains(part) && shown.contains(accepted),
                "{text:?}: {shown}"
            );
            assert!(
                !shown.contains('\u{1b}') && !shown.contains('\n'),
                "{shown:?}"
            );
        }
    }

    #[test]
    fn a_very_long_address_is_not_echoed_whole() {
        let error = "x".repeat(100_000).parse::<Address>().unwrap_err();
        assert!(error.to_string().len() < 1000);
    }

    #[test]
    fn origins_say_where_to_look() {
        assert_eq!(
            Origin::Environment("TPM_TCTI").to_string(),
            "from TPM_TCTI in the environment"
        );
        assert_eq!(
            Origin::Setting("tcti").to_string(),
            "from tcti in the provider's openssl.cnf section"
        );
    }

    #[test]
    fn managed_devices_are_known_by_name() {
        assert!(is_managed_name(Path::new("/dev/tpmrm0")));
        assert!(is_managed_name(Path::new("/dev/tpmrm12")));
        assert!(!is_managed_name(Path::new("/dev/tpm0")));
        assert!(!is_managed_name(Path::new("/tpmrm0/tpm0")));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_printing_round_trips(text in "\\PC{0,40}") {
            for candidate in [text.clone(), format!("swtpm:{text}"), format!("device:{text}")] {
                if let Ok(address) = candidate.parse::<Address>() {
                    prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
                }
            }
        }
    }
}
