//! Secrets that have served are in no memory of ours any more.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use testkit::cc;
use testkit::openssl::{Config, Openssl};
use testkit::process::Done;
use testkit::swtpm::Swtpm;
use testkit::swtpm12::Swtpm12;
use testkit::tcsd::Tcsd;
use testkit::terminal::Terminal;

/// 32 random printable characters, as `tests/c/wiped.c` wants them: masked, in hexadecimal.
struct Masked {
    clear: String,
    hex: String,
}

impl Masked {
    fn new() -> Self {
        let mut random = [0; 32];
        File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut random))
            .expect("random bytes");
        let mut this = Self {
            clear: String::new(),
            hex: String::new(),
        };
        for byte in random {
            let char = b'A' + byte % 26;
            this.clear.push(char::from(char));
            write!(this.hex, "{:02x}", char ^ 0x5a).expect("a String takes it");
        }
        this
    }
}

/// Runs the host, which must find nothing.
#[track_caller]
fn finds_nothing(openssl: &Openssl, parent: &str, options: &str) -> Done {
    let program = cc::compile(openssl.dir(), "wiped", "-lcrypto");
    let [pin, wrong, text] = [(); 3].map(|()| Masked::new());
    let done = openssl
        .client(program)
        // The default library context, which nobody frees, stays without us.
        .env("OPENSSL_CONF", "/dev/null")
        .arg("openssl.cnf")
        .args([&pin.hex, &wrong.hex, &text.hex])
        .words(parent)
        .words(options)
        .ok();
    assert_eq!(done.out(), "", "{done}");
    done
}

/// A PIN on its way into a new key, into a loaded one, and a wrong one, and texts that were decrypted; with and without
/// sessions, and in ASYNC jobs, which have stacks of their own.
#[test]
fn a_pin_is_wiped_with_its_key() {
    for sessions in ["auto", "always", "never"] {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        let config = Config::new().absolute().setting("sessions", sessions);
        let openssl = Openssl::with(config, &tpm.address());
        finds_nothing(&openssl, "-", "parent=0x81000001");
        finds_nothing(&openssl, "-", "async parent=0x81000001");
        tpm.assert_clean();
    }
}

/// A managed device has a transport of its own, and sessions that are kept for further commands.
#[test]
fn a_pin_is_wiped_behind_a_managed_device() {
    for sessions in ["auto", "never"] {
        let tpm = Swtpm::start();
        tpm.provision_srk();
        let device = Terminal::start(&tpm);
        let config = Config::new().absolute().setting("sessions", sessions);
        let openssl = Openssl::with(config, &device.address());
        finds_nothing(&openssl, "-", "parent=0x81000001");
    }
}

/// The value of a parent is kept while the provider is loaded, and not longer. It comes from the environment, whose
/// copy the host wipes; as a file's content; and as an option.
#[test]
fn a_parent_s_value_is_wiped_with_the_provider() {
    let tpm = Swtpm::start();
    let parent = Masked::new();
    let dir = tpm.state();
    tpm.tool(&format!(
        "tpm2_createprimary -Q -C o -G ecc -p {} -c p.ctx",
        parent.clear
    ))
    .dir(&dir)
    .ok();
    tpm.tool("tpm2_evictcontrol -Q -C o -c p.ctx 0x81000002")
        .dir(&dir)
        .ok();
    tpm.flush();
    for level in ["off", "trace"] {
        let config = Config::new().absolute().setting("log", level);
        let openssl = Openssl::with(config, &tpm.address());
        let done = finds_nothing(&openssl, &parent.hex, "parent=0x81000002");
        assert!(!done.err().contains(&parent.clear), "{done}");
    }
    let config = Config::new()
        .absolute()
        .setting("parent-auth", "file:secret");
    let openssl = Openssl::with(config, &tpm.address());
    openssl.dir().write("secret", &parent.clear);
    for options in ["", " parent-auth=file:secret"] {
        // Each run has cost a try.
        tpm.tool("tpm2_dictionarylockout -Q --clear-lockout").ok();
        finds_nothing(
            &openssl,
            &format!("@{}", parent.hex),
            &format!("parent=0x81000002{options}"),
        );
    }
    tpm.assert_clean();
}

#[test]
fn a_password_of_a_tpm_1_2_key_is_wiped_with_its_key() {
    let openssl =
        |address: &str| Openssl::without_tpm(Config::new().absolute()).env("TPM12_TCTI", address);
    let tpm = Swtpm12::owned();
    finds_nothing(&openssl(&tpm.address()), "-", "tpm=1.2");
    tpm.assert_clean();
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    finds_nothing(&openssl(&tcsd.address()), "-", "tpm=1.2");
}
