//! `tpmctl ssh new`, `import`, `list` and `setup`.

use std::os::unix::fs::PermissionsExt;

use testkit::bench::Bench;
use testkit::openssl::Config;
use testkit::process::Run;
use testkit::swtpm::Swtpm;
use testkit::swtpm12::{Swtpm12, data};
use testkit::terminal::Typist;
use testkit::tools::{need, root};

use super::Home;

#[test]
fn a_key_is_two_files_and_a_line() {
    let home = Home::new();
    let (line, cost) = home.bench.tap.cost(|| home.key(""));
    // The storage root key's name is read in a session; then the key is made.
    assert_eq!(cost.of("Create"), 1, "{cost:?}");
    assert_eq!(line, home.text(".ssh/id_tpm.pub"));
    assert!(
        line.starts_with("ecdsa-sha2-nistp256 ") && line.contains(" alice@"),
        "{line}"
    );
    let mode = |name: &str| {
        let metadata = std::fs::metadata(home.file(name)).expect(name);
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode(".ssh"), mode(".ssh/id_tpm.tpm")), (0o700, 0o600));
    assert!(
        home.text(".ssh/id_tpm.tpm")
            .starts_with("-----BEGIN TSS2 PRIVATE KEY-----")
    );
    let fingerprint = home.tool("ssh-keygen", "-l -f .ssh/id_tpm.pub").ok().out();
    let (listed, cost) = home.bench.tap.cost(|| home.tpmctl("ssh list").ok().out());
    assert_eq!(cost.total(), 0);
    let words: Vec<&str> = fingerprint.split(' ').collect();
    assert!(
        listed.contains(words[1]) && listed.contains(".ssh/id_tpm.tpm"),
        "{listed}"
    );
    // Nothing is lost by typing it again.
    home.tpmctl("ssh new")
        .fails()
        .says("exists")
        .says("--force");
    home.bench.tpm.assert_clean();
}

#[test]
fn a_pin_is_asked_for() {
    let home = Home::new();
    let mut at = Typist::start(home.tpmctl("ssh new work.tpm --type rsa --pin -C at-work"));
    at.sees("Authorization value of the new key: ");
    at.types("4711\r");
    at.sees("Once more: ");
    at.types("4711\r");
    let (status, shown) = at.end();
    assert!(status.success(), "{shown}");
    assert!(!shown.contains("4711"), "{shown}");
    assert!(home.text(".ssh/work.pub").ends_with(" at-work\n"));
    let listed: serde_json::Value =
        serde_json::from_str(&home.tpmctl("ssh list --json").ok().out()).expect("JSON");
    assert_eq!(listed[0]["type"], "ssh-rsa");
    assert_eq!(listed[0]["pin"], true);
    assert_eq!(listed[0]["comment"], "at-work");
}

#[test]
fn places_that_are_none() {
    let home = Home::new();
    home.tpmctl("ssh new nowhere/id")
        .fails()
        .says("there is no directory");
    home.tpmctl("ssh new")
        .env_remove("HOME")
        .fails()
        .says("HOME is not set");
    home.tpmctl("ssh new --json")
        .fails()
        .says("leave --json out");
    assert!(
        home.tpmctl("ssh list")
            .ok()
            .err()
            .contains("`tpmctl ssh new` makes one")
    );
    assert_eq!(home.bench.tap.counts().total(), 0);
}

#[test]
fn keys_of_openssh_are_imported() {
    let home = Home::new();
    for (kind, size, pin) in [
        ("ecdsa", "256", ""),
        ("ecdsa", "384", " --pin=4711"),
        ("rsa", "2048", ""),
    ] {
        let name = format!("{kind}{size}");
        home.tool(
            "ssh-keygen",
            &format!("-q -t {kind} -b {size} -f {name} -C old -N"),
        )
        .arg("")
        .ok();
        let done = home
            .tpmctl(&format!("ssh import {name} {name}{pin} -C old"))
            .ok();
        assert!(done.err().contains("It was outside"), "{done}");
        assert_eq!(done.out(), home.text(&format!("{name}.pub")));
        assert_eq!(done.out(), home.text(&format!(".ssh/{name}.pub")));
    }
    home.tool("ssh-keygen", "-q -t ed25519 -f ed -N")
        .arg("")
        .ok();
    home.tpmctl("ssh import ed ed").fails().says("ed: ");
    home.bench.tpm.assert_clean();
}

#[test]
fn key_files_of_others_are_taken_as_they_are() {
    let home = Home::new();
    home.tpmctl("key new -o www.key --auth 4711").ok();
    let (done, cost) = home
        .bench
        .tap
        .cost(|| home.tpmctl("ssh import www.key www").ok());
    assert_eq!(cost.total(), 0);
    let key = home.tpmctl("key public --form ssh www.key").ok().out();
    assert!(done.out().starts_with(key.trim_end()), "{done}");
    home.tpmctl("ssh import www.key again --pin=1")
        .fails()
        .says("key passwd");
    let damaged = home.text("www.key").replacen("MI", "MJ", 1);
    home.write("damaged.key", &damaged);
    home.tpmctl("ssh import damaged.key damaged")
        .fails()
        .says("damaged.key");
}

/// A user of ssh-tpm-agent: the files stay where they are, and our agent serves them.
#[test]
fn what_ssh_tpm_agent_has_left() {
    let all = root().join("tests/data");
    let tpm = Swtpm::with_state(&all.join("tpm2"));
    let home = Home::of(Bench::of(tpm, Config::new()));
    std::fs::create_dir(home.file(".ssh")).expect("a directory");
    let samples = std::fs::read_dir(all.join("ssh-tpm-agent")).expect("samples");
    let mut publics = Vec::new();
    for sample in samples {
        let sample = sample.expect("a sample");
        let name = sample.file_name().into_string().expect("a name");
        // One has no public half beside it: its comment is the description in the file.
        let to = if name == "ec.pub" {
            name
        } else {
            format!(".ssh/{name}")
        };
        std::fs::copy(sample.path(), home.file(&to)).expect("copied");
        if to.ends_with(".pub") {
            publics.push(to);
        }
    }
    let _agent = home.agent_that_asks("");
    home.write("answer", "4711\n");
    let listed = home.tool("ssh-add", "-L").ok().out();
    assert_eq!((publics.len(), listed.lines().count()), (8, 8), "{listed}");
    for public in &publics {
        assert!(listed.contains(&home.text(public)), "{public}: {listed}");
        super::agent::signs(&home, public);
    }
    let asked = home.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.concat().contains("\"alice@example\""), "{asked:?}");
}

/// Its directory: a configuration, and the key that it names.
#[test]
fn what_simple_tpm_pk11_has_left() {
    let home = Home::new();
    let tpm = Swtpm12::owned();
    std::fs::create_dir(home.file(".simple-tpm-pk11")).expect("a directory");
    std::fs::copy(data("my.key"), home.file(".simple-tpm-pk11/my.key")).expect("copied");
    home.write(".simple-tpm-pk11/config", "key my.key\nlog my.log\n");
    let done = home
        .tpmctl("ssh import .simple-tpm-pk11/config old")
        .env("TPM_TCTI", tpm.address())
        .ok();
    assert!(done.out().starts_with("ssh-rsa "), "{done}");
    assert!(
        home.text(".ssh/old.tpm")
            .starts_with("-----BEGIN TSS KEY BLOB-----")
    );
    // It logs in by the agent like any other.
    let run = home.tpmctl("ssh-agent").env("TPM_TCTI", tpm.address());
    let _agent = home.agent_of(run);
    super::agent::signs(&home, ".ssh/old.pub");
    home.write(".simple-tpm-pk11/config", "log my.log\n");
    home.tpmctl("ssh import .simple-tpm-pk11/config other")
        .fails()
        .says("names no key");
}

#[test]
fn ssh_is_told_once() {
    let home = Home::new();
    home.key("");
    let module = testkit::tools::module();
    home.write(".ssh/config", "Host example\n    Port 22\n");
    let setup = |line: &str| home.tpmctl(&format!("ssh setup {line}"));
    let line = format!(
        "PKCS11Provider {}",
        module.canonicalize().expect("the module").display()
    );
    let done = setup("").arg("--module").arg(&module).ok();
    assert!(done.out().contains(&line), "{done}");
    let text = home.text(".ssh/config");
    assert!(text.starts_with("Host example\n    Port 22\n"), "{text}");
    setup("").arg("--module").arg(&module).ok();
    assert_eq!(home.text(".ssh/config"), text);
    // What ssh makes of it.
    let ssh = |host: &str| {
        let ssh = Run::new(need("ssh", "openssh-client")).arg("-G").arg("-F");
        ssh.arg(home.file(".ssh/config")).arg(host).ok().out()
    };
    let provider = format!(
        "pkcs11provider {}",
        module.canonicalize().expect("it").display()
    );
    assert!(ssh("example").contains(&provider) && ssh("example").contains("port 22\n"));
    // The agent in its place.
    setup("--agent").ok();
    assert!(!ssh("other").contains(&provider));
    assert!(ssh("other").contains("identityagent ") && ssh("other").contains("tpm-ssh-agent.sock"));
    setup("--remove").ok();
    assert_eq!(home.text(".ssh/config"), "Host example\n    Port 22\n");
    setup("--remove").ok();
    setup("")
        .fails()
        .says("is not installed beside this command");
    setup("--module /nowhere.so").fails().says("/nowhere.so");
    home.write(
        ".ssh/config",
        text.lines().take(3).collect::<Vec<_>>().join("\n").as_str(),
    );
    setup("--agent").fails().says("behind it");
}
