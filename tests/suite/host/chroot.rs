//! Hosts that change their root between loading a key and using it: what they keep of ours leads to the TPM, and
//! not out of there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use testkit::cc;
use testkit::key;
use testkit::net::Endpoint;
use testkit::openssl::{Config, Openssl};
use testkit::process::Done;
use testkit::proxy::Proxy;
use testkit::scratch::{Scratch, set_mode};
use testkit::swtpm::Swtpm;
use testkit::tools::is_root;

/// The user that hosts become.
pub const NOBODY: &str = "65534";
pub const NO_MOUNTS: &str = "65534,nomount";

/// A host with an empty root to go to and a file outside of it.
pub struct Host {
    pub openssl: Openssl,
    program: PathBuf,
    pub jail: Scratch,
    secret: PathBuf,
    // After what uses it.
    tap: Proxy,
    tpm: Swtpm,
}

impl Host {
    pub fn new(config: Config) -> Self {
        assert!(is_root(), "chroot needs root: run the tests as root");
        let tpm = Swtpm::start();
        tpm.provision_srk();
        let tap = Proxy::start(&tpm);
        if let Endpoint::Unix(path) = tap.endpoint() {
            set_mode(path, 0o666);
        }
        let openssl = Openssl::with(config, &tap.address());
        key::generate(
            &openssl,
            "ec",
            "EC -pkeyopt group:P-256 -pkeyopt parent:0x81000001",
        );
        let program = cc::compile(openssl.dir(), "chroot", "-lcrypto");
        let secret = openssl.dir().write("secret", "secret");
        let jail = Scratch::new();
        // Where nobody may link to.
        set_mode(jail.path(), 0o777);
        Self {
            openssl,
            program,
            jail,
            secret,
            tap,
            tpm,
        }
    }

    /// What it prints, with a TPM at `address`.
    fn at(&self, address: &str, key: &str, user: &str, more: &str) -> Done {
        self.openssl
            .client(&self.program)
            .env("TPM_TCTI", address)
            .arg(key)
            .arg(self.jail.path())
            .arg(&self.secret)
            .arg(user)
            .words(more)
            .done()
    }

    /// Of the TPM, through the tap.
    pub fn address(&self) -> String {
        self.tap.address()
    }

    #[track_caller]
    pub fn assert_clean(&self) {
        self.tpm.assert_clean();
    }

    pub fn run(&self, key: &str, user: &str, more: &str) -> Done {
        self.at(&self.tap.address(), key, user, more)
    }
}

/// The number behind a word of the output.
pub fn number(output: &str, word: &str) -> usize {
    let line = output.lines().find_map(|line| line.strip_prefix(word));
    let number = line.and_then(|rest| rest.trim().parse().ok());
    number.unwrap_or_else(|| panic!("no {word} in {output}"))
}

#[test]
fn without_a_tpm_key_nothing_is_kept() {
    let host = Host::new(Config::new());
    for user in [NOBODY, NO_MOUNTS, "0"] {
        let done = host.run("-", user, "");
        assert!(done.status.success(), "{}{}", done.out(), done.err());
        assert_eq!(number(&done.out(), "descriptors"), 0, "{}", done.out());
    }
}

#[test]
fn no_descriptor_leads_out_and_the_key_works() {
    let host = Host::new(Config::new());
    let done = host.run("ec.pem", NOBODY, "sign");
    assert!(done.status.success(), "{}{}", done.out(), done.err());
    assert!(number(&done.out(), "directories") > 0, "{}", done.out());
    host.tpm.assert_clean();
}

/// In a container there are no mounts to be made: then no directory is kept, and the error says what can be done.
#[test]
fn without_mounts_no_directory_is_kept_and_the_error_says_why() {
    let host = Host::new(Config::new());
    let done = host.run("ec.pem", NO_MOUNTS, "sign");
    assert_eq!(number(&done.out(), "directories"), 0, "{}", done.out());
    assert!(!done.out().contains("escape"), "{}", done.out());
    assert!(!done.status.success());
    for text in ["changed its root directory", "chroot = directory"] {
        assert!(done.err().contains(text), "{}", done.err());
    }
}

/// A TPM behind a port needs no directory, and its lock file was opened before.
#[test]
fn without_mounts_a_tpm_behind_a_port_is_reached() {
    let host = Host::new(Config::new());
    let tap = Proxy::start_tcp(&host.tpm);
    for user in [NOBODY, NO_MOUNTS] {
        let done = host.at(&tap.address(), "ec.pem", user, "sign");
        assert!(done.status.success(), "{}{}", done.out(), done.err());
    }
    let done = host.at(&tap.address(), "ec.pem", NO_MOUNTS, "sign");
    assert_eq!(number(&done.out(), "directories"), 0, "{}", done.out());
    assert_eq!(number(&done.out(), "descriptors"), 1, "{}", done.out());
}

/// What the setting gives up is what it says; without it this test program would show nothing.
#[test]
fn the_setting_keeps_directories_that_lead_out() {
    let host = Host::new(Config::new().setting("chroot", "directory"));
    let done = host.run("ec.pem", NO_MOUNTS, "sign");
    assert!(done.out().contains("escape: openat by"), "{}", done.out());
    assert!(done.out().contains("escape: fchdir"), "{}", done.out());
    assert!(!done.err().contains("signing"), "{}", done.err());
    // Where mounts can be made, they are.
    let done = host.run("ec.pem", NOBODY, "sign");
    assert!(done.status.success(), "{}{}", done.out(), done.err());
    let host = Host::new(Config::new().setting("chroot", "nothing"));
    let done = host.run("ec.pem", NOBODY, "");
    assert!(done.status.success(), "{}{}", done.out(), done.err());
    assert_eq!(number(&done.out(), "descriptors"), 0, "{}", done.out());
}

/// A kernel device is held alone: not the rest of /dev, nor a directory that could be written to.
#[test]
fn a_device_is_held_without_its_neighbours() {
    let host = Host::new(Config::new());
    let devices = Scratch::new();
    for name in ["tpmrm0", "sda"] {
        let path = devices.join(name);
        let text = std::ffi::CString::new(path.to_str().expect("text")).expect("no zero");
        let null = fs::metadata("/dev/null").expect("a device").rdev();
        // SAFETY: a NUL-terminated path and integers.
        let made = unsafe { libc::mknod(text.as_ptr(), libc::S_IFCHR | 0o666, null) };
        assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
    }
    let address = format!("device:{}/tpmrm0", devices.path().display());
    let done = host.at(&address, "ec.pem", NOBODY, "");
    assert!(done.status.success(), "{}{}", done.out(), done.err());
    assert_eq!(number(&done.out(), "directories"), 1, "{}", done.out());
    let seen: Vec<_> = done
        .out()
        .lines()
        .filter_map(|line| line.strip_prefix("sees ").map(str::to_owned))
        .collect();
    assert_eq!(seen, ["tpmrm0"]);
}
