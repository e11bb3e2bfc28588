//! `tpmctl ssh-agent` and its clients.

use std::thread;
use std::time::Duration;

use testkit::process::{Run, wait_for};
use testkit::proxy::{Action, Fault};
use testkit::scratch::Scratch;
use testkit::service::Service;
use testkit::sshd::Sshd;
use testkit::terminal::Typist;
use testkit::tools::need;
use testkit::tpm::cc;

use super::Home;

/// Signs with the key of a public half, as git does, and has OpenSSH verify it.
pub(super) fn signs(home: &Home, public: &str) {
    let signed = sign(home, public);
    let signature = signed.ok().stdout;
    let key = home.text(public);
    home.write("allowed", &format!("alice {key}"));
    home.bench.openssl.dir().write("signature", signature);
    home.tool(
        "ssh-keygen",
        "-Y verify -n git -I alice -f allowed -s signature",
    )
    .stdin("a commit")
    .ok();
}

fn sign(home: &Home, public: &str) -> Run {
    home.tool("ssh-keygen", &format!("-Y sign -n git -f {public}"))
        .stdin("a commit")
}

/// Five keys, of which two have PINs.
#[test]
fn five_keys_log_in() {
    let home = Home::new();
    let keys: Vec<String> = [
        "a",
        "b --type rsa",
        "c --pin=4711",
        "d --type rsa --pin=4711",
        "e",
    ]
    .map(|line| home.key(line))
    .into();
    let _agent = home.agent_that_asks("");
    home.write("answer", "4711\n");
    let (listed, cost) = home
        .bench
        .tap
        .cost(|| home.tool("ssh-add", "-L").ok().out());
    assert_eq!(cost.total(), 0);
    assert_eq!(listed, keys.concat());
    for (key, pins) in keys.iter().zip([0, 0, 1, 2, 2]) {
        let server = Sshd::start(key);
        // Each key by its own: ssh tries one after the other.
        home.write("this.pub", key);
        let this = home.file("this.pub");
        let options = format!("-o IdentityFile={} -o IdentitiesOnly=yes", this.display());
        let log_in = || {
            let done = home.logs_in(&server, &options).arg("echo here").ok();
            assert_eq!(done.out(), "here\n", "{done}");
        };
        log_in();
        let (_, cost) = home.bench.tap.cost(log_in);
        // Where a PIN crosses the wire: a session, and before it a look at whose the handle is.
        let session = cost.of("StartAuthSession") + cost.of("ReadPublic");
        let signed = cost.of("Sign") + cost.of("RSA_Decrypt");
        assert_eq!((signed, cost.total() - session), (1, 1), "{cost:?}");
        assert_eq!(home.asked().len(), pins, "{:?}", home.asked());
    }
    let asked = home.asked().concat();
    assert!(
        asked.contains("PIN of the key") && asked.contains("SHA256:"),
        "{asked}"
    );
}

#[test]
fn git_signs_commits() {
    let home = Home::new();
    let key = home.key("");
    let _agent = home.agent("");
    home.write("allowed", &format!("alice {key}"));
    let git = |line: &str| {
        Run::new(need("git", "git"))
            .dir(home.file("tree"))
            .env("HOME", home.file(""))
            .env("SSH_AUTH_SOCK", home.file("run/tpm-ssh-agent.sock"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .words(line)
    };
    std::fs::create_dir(home.file("tree")).expect("a directory");
    git("init -q").ok();
    for (name, value) in [
        ("user.name", "alice"),
        ("user.email", "alice@example.org"),
        ("gpg.format", "ssh"),
        (
            "user.signingkey",
            &home.file(".ssh/id_tpm.pub").display().to_string(),
        ),
        (
            "gpg.ssh.allowedSignersFile",
            &home.file("allowed").display().to_string(),
        ),
    ] {
        git("config").arg(name).arg(value).ok();
    }
    let (_, cost) = home
        .bench
        .tap
        .cost(|| git("commit -q -S --allow-empty -m one").ok());
    assert_eq!(cost.of("Sign"), 1);
    let shown = git("log --show-signature").ok();
    let said = format!("{}{}", shown.out(), shown.err());
    assert!(said.contains("Good \"git\" signature for alice"), "{said}");
}

/// A wrong PIN is asked for again, with the reason; none is sent twice, and a refusal ends it.
#[test]
fn wrong_pins() {
    let home = Home::new();
    home.key("--pin=4711");
    let _agent = home.agent_that_asks("");
    home.write("answer", "0815\n");
    let (_, cost) = home
        .bench
        .tap
        .cost(|| sign(&home, ".ssh/id_tpm.pub").fails());
    // Three questions, one value, one try.
    assert_eq!(home.asked().len(), 3 + 2, "{:?}", home.asked());
    assert_eq!(cost.of("Sign"), 1, "{cost:?}");
    assert!(
        home.asked().concat().contains("tpmctl lockout"),
        "{:?}",
        home.asked()
    );
    std::fs::remove_file(home.file("answer")).expect("removed");
    sign(&home, ".ssh/id_tpm.pub").fails();
    home.write("answer", "4711\n");
    signs(&home, ".ssh/id_tpm.pub");
    let asked = home.asked().len();
    signs(&home, ".ssh/id_tpm.pub");
    assert_eq!(home.asked().len(), asked);
}

#[test]
fn a_pin_at_the_agent_s_terminal() {
    let home = Home::new();
    home.key("--pin=4711");
    let mut at = Typist::start(home.tpmctl("ssh-agent"));
    at.sees("Serving the keys at SSH_AUTH_SOCK=");
    let signing = sign(&home, ".ssh/id_tpm.pub");
    let client = thread::spawn(move || signing.done());
    at.sees("PIN of the key");
    at.types("4711\r");
    let done = client.join().expect("a client");
    assert!(done.status.success(), "{done}");
    // The terminal is as it was, and Ctrl-C ends the agent.
    wait_for("the terminal", Duration::from_secs(10), || at.is_as_usual());
    at.types("\u{3}");
    let (status, shown) = at.end();
    assert!(status.success() && !shown.contains("4711"), "{shown}");
    assert!(!home.file("run/tpm-ssh-agent.sock").exists());
    home.bench.tpm.assert_clean();
}

#[test]
fn nobody_to_ask() {
    let home = Home::new();
    home.key("--pin=4711");
    let agent = home.agent("");
    sign(&home, ".ssh/id_tpm.pub").fails();
    assert!(
        agent.output().contains("there is nobody to ask"),
        "{}",
        agent.output()
    );
}

#[test]
fn each_use_is_confirmed() {
    let home = Home::new();
    let key = home.key("");
    home.write("answer", "");
    let agent = home.agent_that_asks("--confirm");
    // The program agrees by its status.
    signs(&home, ".ssh/id_tpm.pub");
    let server = Sshd::start(&key);
    home.logs_in(&server, "").arg("true").ok();
    let asked = home.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(
        asked[0].starts_with("confirm|Allow a signature that is no login"),
        "{asked:?}"
    );
    assert!(asked[0].contains("ssh-keygen -Y sign"), "{asked:?}");
    assert!(
        asked[1].contains("Allow a login as ") && asked[1].contains("host key SHA256:"),
        "{asked:?}"
    );
    home.write("askpass", "#!/bin/sh\nexit 1\n");
    let (_, cost) = home
        .bench
        .tap
        .cost(|| sign(&home, ".ssh/id_tpm.pub").fails());
    assert_eq!(cost.total(), 0);
    assert!(agent.output().contains("was refused"), "{}", agent.output());
}

/// Through the first host to the second, which is the same here: the agent knows both.
#[test]
fn a_forwarded_agent() {
    let home = Home::new();
    let key = home.key("");
    home.write("answer", "");
    let _agent = home.agent_that_asks("--confirm");
    let server = Sshd::start(&key);
    let inner = format!(
        "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p {} 127.0.0.1 echo there",
        server.port()
    );
    let done = home.logs_in(&server, "-o ForwardAgent=yes").arg(inner).ok();
    assert_eq!(done.out(), "there\n", "{done}");
    let asked = home.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[1].contains("forwarded through SHA256:"), "{asked:?}");
}

#[test]
fn certificates_of_users() {
    let home = Home::new();
    home.key("");
    home.tool("ssh-keygen", "-q -t ed25519 -f ca -N")
        .arg("")
        .ok();
    let user = Run::new("id").arg("-un").ok().out();
    home.tool(
        "ssh-keygen",
        &format!("-q -s ca -I alice -n {} .ssh/id_tpm.pub", user.trim()),
    )
    .ok();
    let _agent = home.agent("");
    let listed = home.tool("ssh-add", "-L").ok().out();
    assert!(
        listed.contains("ecdsa-sha2-nistp256-cert-v01@openssh.com "),
        "{listed}"
    );
    let server = Sshd::start("");
    server.trust(&home.text("ca.pub"));
    home.logs_in(&server, "").arg("true").ok();
    // One for another key is not offered.
    home.key("other");
    std::fs::copy(
        home.file(".ssh/id_tpm-cert.pub"),
        home.file(".ssh/other-cert.pub"),
    )
    .expect("copied");
    let listed = home.tool("ssh-add", "-L").ok().out();
    assert_eq!(listed.matches("cert-v01").count(), 1, "{listed}");
}

#[test]
fn locked_it_offers_nothing() {
    let home = Home::new();
    let key = home.key("");
    let _agent = home.agent("");
    let askpass = home.askpass();
    home.write("answer", "open sesame\n");
    let add = |line: &str| {
        home.tool("ssh-add", line)
            .env("SSH_ASKPASS", &askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
    };
    add("-x").ok();
    add("-L").fails();
    sign(&home, ".ssh/id_tpm.pub").fails();
    home.write("answer", "open barley\n");
    add("-X").fails();
    home.write("answer", "open sesame\n");
    add("-X").ok();
    assert_eq!(add("-L").ok().out(), key);
    assert_eq!(home.bench.tap.counts().of("Sign"), 0);
}

/// OpenSSH's agent behind ours: its keys are offered, used, added and removed through it.
#[test]
fn another_agent_behind() {
    let home = Home::new();
    let key = home.key("");
    home.tool("ssh-keygen", "-q -t ed25519 -f soft -C soft -N")
        .arg("")
        .ok();
    let theirs = home.file("run/theirs.sock");
    let run = Run::new(need("ssh-agent", "openssh-client"))
        .arg("-D")
        .arg("-a")
        .arg(&theirs);
    let _other = Service::start("OpenSSH's agent", run, Scratch::new(), &[]);
    wait_for("OpenSSH's agent", Duration::from_secs(30), || {
        theirs.exists()
    });
    let _agent = home.agent(&format!(
        "--proxy {} --proxy {}",
        home.file("gone").display(),
        theirs.display()
    ));
    home.tool("ssh-add", "-q soft").ok();
    let soft = home.text("soft.pub");
    assert_eq!(
        home.tool("ssh-add", "-L").ok().out(),
        format!("{key}{soft}")
    );
    signs(&home, ".ssh/id_tpm.pub");
    signs(&home, "soft.pub");
    let server = Sshd::start(&soft);
    home.logs_in(&server, "").arg("true").ok();
    home.tool("ssh-add", "-q -d soft").ok();
    assert_eq!(home.tool("ssh-add", "-L").ok().out(), key);
    // Ours are files.
    home.tool("ssh-add", "-d .ssh/id_tpm.pub").fails();
}

#[test]
fn keys_come_and_go() {
    let home = Home::new();
    let _agent = home.agent("");
    let listed = || home.tool("ssh-add", "-L").done().out();
    assert!(listed().contains("no identities"), "{}", listed());
    let one = home.key("one");
    assert_eq!(listed(), one);
    signs(&home, ".ssh/one.pub");
    let another = home.key("one --force");
    assert_eq!(listed(), another);
    signs(&home, ".ssh/one.pub");
    home.write(".ssh/one.tpm", "damaged");
    assert!(listed().contains("no identities"));
    std::fs::remove_file(home.file(".ssh/one.tpm")).expect("removed");
    assert!(listed().contains("no identities"));
}

/// All at once, on a TPM with three slots and no resource manager.
#[test]
fn sixteen_clients_at_once() {
    let home = Home::new();
    for name in ["a", "b", "c", "d"] {
        home.key(name);
    }
    let agent = home.agent("");
    thread::scope(|scope| {
        for number in 0..16 {
            let home = &home;
            scope.spawn(move || {
                let key = ["a", "b", "c", "d"][number % 4];
                for _ in 0..4 {
                    sign(home, &format!(".ssh/{key}.pub")).ok();
                }
            });
        }
    });
    assert!(agent.end(libc::SIGTERM).success());
    home.bench.tpm.assert_clean();
}

/// Whoever uses the TPM next removes what is left of it.
#[test]
fn killed_in_the_middle_of_a_signature() {
    let home = Home::new();
    home.key("");
    let mut agent = home.agent("");
    home.bench.tap.inject(Fault::on(cc::SIGN, Action::Hold));
    let signing = sign(&home, ".ssh/id_tpm.pub");
    let client = thread::spawn(move || signing.done());
    wait_for("the signature", Duration::from_secs(30), || {
        home.bench.tap.holding() == 1
    });
    agent.signal(libc::SIGKILL);
    wait_for("its end", Duration::from_secs(30), || agent.ended());
    assert!(!client.join().expect("a client").status.success());
    home.bench.tap.heal();
    home.bench.tap.release();
    // The socket is left, and no obstacle.
    let _agent = home.agent("");
    signs(&home, ".ssh/id_tpm.pub");
    drop(_agent);
    home.bench.tpm.assert_clean();
}

#[test]
fn one_agent_at_a_socket() {
    let home = Home::new();
    let _agent = home.agent("");
    home.tpmctl("ssh-agent").fails().says("an agent listens at");
    let file = home.write("run/file", "not a socket");
    home.tpmctl(&format!("ssh-agent -l {}", file.display()))
        .fails()
        .says("is no socket");
    assert_eq!(home.text("run/file"), "not a socket");
    home.tpmctl("ssh-agent -l /nowhere/socket")
        .fails()
        .says("cannot be listened on");
    home.tpmctl("ssh-agent")
        .env_remove("XDG_RUNTIME_DIR")
        .fails()
        .says("--socket");
    let socket = home.tpmctl("ssh-agent --print-socket").ok().out();
    assert!(socket.ends_with("/run/tpm-ssh-agent.sock\n"), "{socket}");
}

/// systemd-socket-activate is what systemd does.
#[test]
fn a_socket_of_systemd_s() {
    let home = Home::new();
    home.tpmctl("ssh-agent --install")
        .env_remove("XDG_CONFIG_HOME")
        .ok();
    let unit = home.text(".config/systemd/user/tpm-ssh-agent.socket");
    assert!(
        unit.contains("ListenStream=%t/tpm-ssh-agent.sock\n") && unit.contains("SocketMode=0600\n")
    );
    let service = home.text(".config/systemd/user/tpm-ssh-agent.service");
    let command = service
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .expect("a command");
    let verify = Run::new(need("systemd-analyze", "systemd")).words("--user --man=no verify");
    let units = home.file(".config/systemd/user/tpm-ssh-agent.service");
    verify
        .env("XDG_RUNTIME_DIR", home.file("run"))
        .arg(units)
        .ok();
    home.key("");
    let socket = home.file("run/tpm-ssh-agent.sock");
    // It hands on what it is told to.
    let usual = home.tpmctl("").command;
    let mut run = Run::new(need("systemd-socket-activate", "systemd"));
    for (name, value) in usual.get_envs() {
        if let (Some(name), Some(value)) = (name.to_str(), value.and_then(|value| value.to_str())) {
            run = run.arg("-E").arg(format!("{name}={value}"));
        }
    }
    let agent = home.agent_of(run.arg("-l").arg(&socket).words(command));
    signs(&home, ".ssh/id_tpm.pub");
    drop(agent);
}
