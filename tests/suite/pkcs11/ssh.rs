//! OpenSSH: the most particular caller. Its programs are Debian's, its server a real one on a port of this test's own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::pkcs11::{Keys, module_path};
use testkit::process::{Daemon, Run, wait_for};
use testkit::scratch::set_mode;
use testkit::sshd::Sshd;
use testkit::tools::{module, need};

/// Runs a command on the host, if it lets us in.
fn logs_in(sshd: &Sshd, keys: &Keys, options: &str) -> Run {
    let ssh = keys.program("ssh", "openssh-client");
    sshd.ssh(ssh, options).arg("echo logged-in")
}

fn listed(keys: &Keys) -> String {
    keys.program("ssh-keygen", "openssh-client")
        .arg("-D")
        .arg(module())
        .ok()
        .out()
}

fn provider() -> String {
    format!(
        "-o PKCS11Provider={} -o IdentityAgent=none",
        module().display()
    )
}

#[test]
fn ssh_keygen_lists_without_a_command() {
    let keys = Keys::new();
    keys.add("ec", "");
    keys.add("rsa", "--type rsa");
    keys.add_with_pin("pin-ec", "1234", "");
    keys.add_with_pin("pin-rsa", "1234", "--type rsa");
    keys.add("p384", "--curve P-384");
    let (out, counts) = keys.tap.cost(|| listed(&keys));
    assert_eq!(counts.total(), 0);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 5, "{out}");
    for (name, kind) in [
        ("ec", "ecdsa-sha2-nistp256"),
        ("rsa", "ssh-rsa"),
        ("pin-ec", "ecdsa-sha2-nistp256"),
        ("pin-rsa", "ssh-rsa"),
        ("p384", "ecdsa-sha2-nistp384"),
    ] {
        let ours = keys
            .tpmctl(&format!(
                "key public --form ssh --comment {name} keys/{name}.tpm"
            ))
            .ok();
        assert!(ours.out().starts_with(kind));
        assert!(lines.contains(&ours.out().trim_end()), "{name}: {out}");
    }
    // No keys: no prompt for a PIN, which would wait for ever here.
    let empty = Keys::new();
    empty
        .program("ssh-keygen", "openssh-client")
        .arg("-D")
        .arg(module())
        .fails();
}

#[test]
fn logins() {
    let keys = Keys::new();
    keys.add("ec", "");
    keys.add("rsa", "--type rsa");
    keys.add("p384", "--curve P-384");
    let sshd = Sshd::start("");
    for line in listed(&keys).lines() {
        sshd.authorize(line);
        let (done, counts) = keys.tap.cost(|| logs_in(&sshd, &keys, &provider()).ok());
        assert_eq!(done.out(), "logged-in\n", "{line}");
        // Four, and what nobody manages is given up by name at the end.
        let operation = match line.starts_with("ssh-rsa") {
            true => "RSA_Decrypt",
            false => "Sign",
        };
        assert_eq!(counts.of(operation), 1, "{line}: {counts:?}");
        assert_eq!(counts.of("FlushContext"), 1, "{line}: {counts:?}");
        assert!(counts.total() <= 4 + 2, "{line}: {counts:?}");
    }
    sshd.authorize("");
    logs_in(&sshd, &keys, &provider()).fails();
    keys.tpm.assert_clean();
}

/// An agent of the test's own, which takes modules from where ours is.
struct Agent {
    _daemon: Daemon,
    socket: PathBuf,
}

impl Agent {
    fn start(keys: &Keys) -> Self {
        let socket = keys.openssl.dir().join("agent");
        let allowed = format!("{}/*", module_path().parent().unwrap().display());
        let mut command = Command::new(need("ssh-agent", "openssh-client"));
        command
            .args(["-D", "-P", &allowed, "-a"])
            .arg(&socket)
            .env("TPM_TCTI", keys.tap.address())
            .env("TPM_KEY_DIRS", keys.dir())
            .env("HOME", keys.openssl.dir().path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let daemon = Daemon::spawn(&mut command);
        wait_for("ssh-agent", Duration::from_secs(20), || socket.exists());
        Self {
            _daemon: daemon,
            socket,
        }
    }

    /// `ssh-add` with this PIN for whoever asks.
    fn add(&self, keys: &Keys, pin: &str, words: &[&str]) -> Run {
        let askpass = keys
            .openssl
            .dir()
            .write("askpass", format!("#!/bin/sh\necho '{pin}'\n"));
        set_mode(&askpass, 0o755);
        keys.program("ssh-add", "openssh-client")
            .args(words)
            .env("SSH_AUTH_SOCK", &self.socket)
            .env("SSH_ASKPASS", askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("DISPLAY", "none")
    }
}

#[test]
fn an_agent_takes_keys_with_and_without_pin() {
    let keys = Keys::new();
    keys.add("open", "");
    keys.add_with_pin("pin", "1234", "");
    let sshd = Sshd::start("");
    let agent = Agent::start(&keys);
    let path = module_path();
    let path = path.to_str().unwrap();
    agent.add(&keys, "1234", &["-s", path]).ok();
    let list = agent.add(&keys, "", &["-L"]).ok();
    assert_eq!(list.out().lines().count(), 2, "{list}");
    let with_agent = format!("-o IdentityAgent={}", agent.socket.display());
    for line in list.out().lines() {
        sshd.authorize(line);
        let done = logs_in(&sshd, &keys, &with_agent).ok();
        assert_eq!(done.out(), "logged-in\n", "{line}");
    }
    assert_eq!(keys.wrong_tries(), 0);
    agent.add(&keys, "", &["-e", path]).ok();
    // Nobody is asked where no key wants a PIN: an empty one is as good.
    agent.add(&keys, "", &["-s", path]).ok();
}

/// One PIN goes to every token. A wrong one costs one try.
#[test]
fn a_wrong_pin_for_eight_tokens_in_an_agent() {
    let keys = Keys::new();
    for number in 1..=8 {
        keys.add_with_pin(&format!("k{number}"), &format!("pin{number}"), "");
    }
    let agent = Agent::start(&keys);
    let path = module_path();
    agent
        .add(&keys, "wrong", &["-s", path.to_str().unwrap()])
        .done();
    assert_eq!(keys.wrong_tries(), 1);
}

/// A certificate of an SSH authority beside the key: `CertificateFile` names it.
#[test]
fn certificates_of_an_authority() {
    let keys = Keys::new();
    keys.add("ec", "");
    let sshd = Sshd::start("");
    let dir = keys.openssl.dir();
    dir.write("ec.pub", listed(&keys));
    let user = Run::new("id").arg("-un").ok().out();
    let keygen = |words: &str| keys.program("ssh-keygen", "openssh-client").words(words);
    keygen("-q -t ed25519 -f ca -N").arg("").ok();
    keygen("-q -s ca -I me -n")
        .arg(user.trim())
        .arg("ec.pub")
        .ok();
    sshd.trust(&dir.read_text("ca.pub"));
    let options = format!(
        "{} -o CertificateFile={}",
        provider(),
        dir.join("ec-cert.pub").display()
    );
    assert_eq!(logs_in(&sshd, &keys, &options).ok().out(), "logged-in\n");
    logs_in(&sshd, &keys, &provider()).fails();
}
