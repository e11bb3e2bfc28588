//! `parent-name = first-use`: the parent that was there first is the one, whoever answers later.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::PathBuf;
use std::process::Stdio;
use testkit::bench::Bench;
use testkit::client::Client;
use testkit::key::{self, SIGN};
use testkit::openssl::{Config, Openssl, clean};
use testkit::process::{Done, Run};
use testkit::proxy::Proxy;
use testkit::scratch::{Scratch, set_mode};
use testkit::swtpm::Swtpm;
use testkit::tools::{self, is_root, need};

use super::costs;

const NOBODY: u32 = 65534;

/// A machine: its TPM behind a tap on a TCP port, which every user reaches, and a directory of pins of its own.
struct Machine {
    openssl: Openssl,
    tap: Proxy,
    tpm: Swtpm,
    pins: Scratch,
}

impl Machine {
    /// Nothing is pinned; there is a key, made before anybody thought of that.
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(prepare: impl Fn(&Swtpm)) -> Self {
        let (tpm, pins) = (Swtpm::start(), Scratch::new());
        prepare(&tpm);
        let tap = Proxy::start_tcp(&tpm);
        let config = Config::new()
            .setting("parent-name", "first-use")
            .setting("trust-dir", pins.join("trust").to_str().expect("plain"));
        let openssl = Openssl::with(config, &tap.address());
        let plain = Openssl::new(&tap.address());
        key::rsa(&plain, "key", 2048, "");
        openssl.dir().write("key.pem", plain.dir().read("key.pem"));
        key::digest(&openssl, "sha256");
        Self {
            openssl,
            tap,
            tpm,
            pins,
        }
    }

    fn sign(&self) -> Run {
        self.openssl.run(SIGN)
    }

    /// The same as another user, who cannot write anywhere.
    fn sign_as_nobody(&self) -> Run {
        assert!(is_root(), "to be another user takes root");
        clean(Run::new("openssl"))
            .words(&SIGN.replace("-out sig", "-out /dev/null"))
            .dir(self.openssl.dir().path())
            .envs(&self.openssl)
            .as_nobody()
    }

    fn generate(&self) -> Run {
        self.openssl
            .run("genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -out new.pem")
    }

    fn tpmctl(&self, line: &str) -> Run {
        self.openssl.client(tools::tpmctl()).words(line)
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let done = self.tpmctl(line).arg("--json").ok();
        serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{e}\n{done}"))
    }

    /// The file of this TPM's pins.
    fn file(&self) -> PathBuf {
        let name = self.tap.address();
        self.pins.join("trust").join(name)
    }

    fn pinned(&self) -> String {
        fs::read_to_string(self.file()).expect("pinned")
    }

    /// Another TPM takes this one's place, at the same address.
    fn exchange_the_tpm(&mut self) {
        self.tpm.stop();
        let state = self.tpm.state();
        fs::remove_dir_all(&state).expect("swtpm has ended");
        fs::create_dir(&state).expect("gone");
        self.tpm.start_again();
    }

    /// The name of the owner's standard primary now, from another tool.
    fn primary(&self) -> String {
        let tool = |line: &str| {
            let run = self.tpm.tool(line).dir(self.openssl.dir().path());
            run.ok().out()
        };
        tool(
            "tpm2_createprimary -Q -C o -G ecc -c p.ctx -a \
             fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
        );
        let out = tool("tpm2_readpublic -c p.ctx");
        self.tpm.flush();
        let name = out.lines().find_map(|line| line.strip_prefix("name: "));
        name.unwrap_or_else(|| panic!("{out}")).to_owned()
    }
}

/// The environment of an [`Openssl`], for a program that starts another.
trait Envs {
    fn envs(self, openssl: &Openssl) -> Self;
}

impl Envs for Run {
    fn envs(mut self, openssl: &Openssl) -> Self {
        self.command.envs(openssl.environment());
        self
    }
}

/// A refusal that says what is seen, and leads out.
#[track_caller]
fn refused(done: Done, machine: &Machine, says: &[&str]) {
    for text in says {
        assert!(done.err().contains(text), "should say {text:?}\n{done:#}");
    }
    let command = format!("sudo tpmctl srk trust --tcti {}", machine.tap.address());
    done.says("refused").says(&command).never_says("panicked");
}

#[test]
fn the_first_use_pins_and_costs_nothing() {
    let machine = Machine::new();
    let plain = Openssl::new(&machine.tap.address());
    plain
        .dir()
        .write("key.pem", machine.openssl.dir().read("key.pem"));
    key::digest(&plain, "sha256");
    let (_, without) = machine.tap.cost(|| plain.ok(SIGN));
    // Looking at a key is no use of the TPM.
    machine.openssl.ok("pkey -in key.pem -noout -text");
    assert!(!machine.pins.join("trust").exists());
    for _ in 0..2 {
        let (_, with) = machine.tap.cost(|| machine.sign().ok());
        assert_eq!(with, without);
    }
    let (pinned, name) = (machine.pinned(), machine.primary());
    let line = format!("{} owner {name} 20", machine.tap.address());
    assert_eq!(pinned.matches(&line).count(), 1, "{line} in {pinned}");
    for (path, mode) in [(machine.pins.join("trust"), 0o755), (machine.file(), 0o644)] {
        let status = fs::metadata(&path).unwrap();
        assert_eq!(status.mode() & 0o7777, mode, "{}", path.display());
    }
    // The storage root key is the same key.
    machine.tpm.provision_srk();
    let (_, without) = machine.tap.cost(|| plain.ok(SIGN));
    let (_, with) = machine.tap.cost(|| machine.sign().ok());
    assert_eq!(with, without);
    machine.generate().ok();
    assert_eq!(machine.pinned(), pinned);
    machine.tpm.assert_clean();
}

/// Nor does it with a parent that its handle names.
#[test]
fn a_persistent_parent_costs_nothing_more() {
    let machine = Machine::with(Swtpm::provision_srk);
    machine.generate().words("-pkeyopt parent:0x81000001").ok();
    let pem = machine.openssl.dir().read("new.pem");
    let plain = Openssl::new(&machine.tap.address());
    let costs = [&plain, &machine.openssl].map(|openssl| {
        openssl.dir().write("key.pem", &pem);
        let mut client = Client::start(openssl);
        client.ok("load 1 key.pem");
        let (_, first) = machine.tap.cost(|| client.ok("sign 1"));
        let (_, second) = machine.tap.cost(|| client.ok("sign 1"));
        client.end();
        second.are(costs::FURTHER.commands);
        first
    });
    assert_eq!(costs[0], costs[1]);
    assert!(machine.pinned().contains(" 0x81000001 "));
    machine.tpm.assert_clean();
}

#[test]
fn another_tpm_at_the_same_address_is_refused() {
    let mut machine = Machine::new();
    machine.sign().ok();
    let (before, first) = (machine.pinned(), machine.primary());
    for with_srk in [false, true] {
        machine.exchange_the_tpm();
        if with_srk {
            machine.tpm.provision_srk();
        }
        let now = machine.primary();
        assert_ne!(now, first);
        machine.tap.reset();
        let file = machine.file();
        let says = [&*first, &now, file.to_str().unwrap(), "was cleared"];
        refused(machine.sign().fails(), &machine, &says);
        // A key of its own would be as bad: it would be the other's.
        refused(machine.generate().fails(), &machine, &says);
        let done = machine.tpmctl("key new --type ec -o made.pem").done();
        assert_eq!(done.status.code(), Some(1), "{done}");
        refused(done, &machine, &says);
        let counts = machine.tap.counts();
        for command in ["Load", "Create", "Sign"] {
            assert_eq!(counts.of(command), 0, "{counts:?}");
        }
        assert!(!machine.openssl.dir().join("made.pem").exists());
        machine.tpm.assert_clean();
    }
    assert_eq!(machine.pinned(), before);
}

/// Nor does a parent that was not used before get a first use of its own.
#[test]
fn another_parent_is_not_pinned_beside_the_first() {
    let machine = Machine::new();
    machine.sign().ok();
    let primary = "tpm2_createprimary -Q -C o -G rsa -c other.ctx";
    for line in [primary, "tpm2_evictcontrol -Q -C o -c other.ctx 0x81000002"] {
        machine
            .tpm
            .tool(line)
            .dir(machine.openssl.dir().path())
            .ok();
    }
    machine.tpm.flush();
    let beside = || {
        machine.openssl.run(
            "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -pkeyopt parent:0x81000002 -out new.pem",
        )
    };
    refused(beside().fails(), &machine, &["0x81000002"]);
    machine.tpmctl("srk trust --yes --parent 0x81000002").ok();
    beside().ok();
    machine.sign().ok();
    // A hierarchy that begins anew with every restart cannot be pinned.
    machine
        .openssl
        .fails(
            "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -pkeyopt parent:null -out new.pem",
        )
        .says("null hierarchy");
    machine.tpm.assert_clean();
}

#[test]
fn after_a_clear_the_new_parents_are_trusted_by_command() {
    let machine = Machine::with(Swtpm::provision_srk);
    machine.sign().ok();
    let old = machine.primary();
    machine.tpm.tool("tpm2_clear").ok();
    let new = machine.primary();
    assert_ne!(old, new);
    refused(machine.generate().fails(), &machine, &[&old, &new]);

    // Without a terminal nobody is asked, and nothing changes; neither does it when it is only looked at.
    let done = machine.tpmctl("srk trust").fails().says("--yes");
    assert!(
        done.out().contains(&old) && done.out().contains(&new),
        "{done}"
    );
    let looked = machine.json("srk trust --dry-run");
    assert_eq!(looked["changed"], false);
    assert_eq!(looked["pinned"][0]["name"], old);
    assert_eq!(looked["found"][0]["name"], new);
    assert!(machine.pinned().contains(&old));

    let changed = machine.json("srk trust --yes");
    assert_eq!(changed["changed"], true);
    let text = machine.pinned();
    assert!(text.contains(&format!("owner/ecc {new} ")), "{text}");
    assert!(
        text.contains(" owner/rsa ") && !text.contains(&old),
        "{text}"
    );
    machine.generate().ok();
    let again = machine.json("srk trust --yes");
    assert_eq!(again["changed"], false, "{again}");

    // What is pinned is shown without a word to the TPM, and so it is removed.
    let (shown, counts) = machine.tap.cost(|| {
        assert_eq!(machine.json("srk show")["pinned"][0]["name"], new);
        let text = machine.tpmctl("srk show").ok().out();
        assert!(text.contains("owner/ecc") && text.contains(&new), "{text}");
        machine.tpmctl("srk trust --remove --yes").ok();
        machine.tpmctl("srk show").ok()
    });
    assert_eq!(
        shown.out().matches("Nothing is pinned").count(),
        1,
        "{shown}"
    );
    counts.are(&[]);
    assert!(!machine.file().exists());
    machine.tpm.assert_clean();
}

/// The command pins what every key may have as its parent, before anything is used.
#[test]
fn a_machine_is_set_up_with_the_command() {
    let machine = Machine::with(Swtpm::provision_srk);
    let made = machine.json("srk trust --yes");
    let parents: Vec<&str> = made["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["parent"].as_str().unwrap())
        .collect();
    assert_eq!(parents, ["0x81000001", "owner/ecc", "owner/rsa"]);
    machine.sign().ok();
    machine.generate().ok();
    machine.tpm.assert_clean();
}

#[test]
fn who_cannot_pin_is_refused_until_somebody_has() {
    let mut machine = Machine::new();
    set_mode(&machine.openssl.dir().join("key.pem"), 0o644);
    // Never taken for "any parent will do".
    let file = machine.pins.join("trust");
    let says = [
        "nothing is pinned",
        "Permission denied",
        file.to_str().unwrap(),
    ];
    refused(machine.sign_as_nobody().fails(), &machine, &says);
    let done = {
        let run = clean(Run::new(tools::tpmctl())).words("srk trust --yes");
        run.envs(&machine.openssl).as_nobody().done()
    };
    assert_eq!(done.status.code(), Some(1), "{done}");
    assert!(!file.exists());

    // A mask that gives nobody anything does not keep what is pinned from those who must see it.
    let pin = clean(Run::new("sh"))
        .args(["-c", "umask 077; exec \"$0\" srk trust --yes"])
        .arg(tools::tpmctl())
        .envs(&machine.openssl);
    pin.ok();
    machine.sign_as_nobody().ok();
    machine.exchange_the_tpm();
    refused(machine.sign_as_nobody().fails(), &machine, &["was cleared"]);
    machine.tpm.assert_clean();
}

/// What would be refused is told before.
#[test]
fn doctor_looks_at_what_is_pinned() {
    let mut machine = Machine::with(Swtpm::provision_srk);
    let root_key = |machine: &Machine| -> Value {
        let done = machine.tpmctl("doctor --json").done();
        let all: Value =
            serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{e}\n{done}"));
        all["layers"][10].clone()
    };
    let is = |layer: &Value, verdict: &str, says: &str| {
        assert_eq!(layer["verdict"], verdict, "{layer}");
        assert!(layer["what"].as_str().unwrap().contains(says), "{layer}");
        let commands = layer["commands"].as_array().unwrap();
        let trust = commands.iter().any(|line| line == "sudo tpmctl srk trust");
        assert_eq!(trust, verdict != "ok", "{layer}");
    };
    is(&root_key(&machine), "warning", "nothing is pinned");
    machine.sign().ok();
    is(&root_key(&machine), "ok", "0x81000001");
    set_mode(&machine.file(), 0o666);
    is(&root_key(&machine), "problem", "not to be believed");
    set_mode(&machine.file(), 0o644);
    machine.exchange_the_tpm();
    machine.tpm.provision_srk();
    is(
        &root_key(&machine),
        "problem",
        "none of those that are pinned",
    );
    machine.tpmctl("srk trust --yes").ok();
    is(&root_key(&machine), "ok", "0x81000001");
    machine.tpm.assert_clean();
}

/// A user who has no root's directory can have one of his own.
#[test]
fn a_user_pins_in_a_directory_of_his_own() {
    let machine = Machine::new();
    set_mode(&machine.openssl.dir().join("key.pem"), 0o644);
    let trust = machine.pins.join("trust");
    fs::create_dir(&trust).unwrap();
    chown(&trust, Some(NOBODY), Some(NOBODY)).unwrap();
    machine.sign_as_nobody().ok();
    assert_eq!(fs::metadata(machine.file()).unwrap().uid(), NOBODY);
    // For another user that is no authority, root least of all.
    let says = ["belongs to user 65534", trust.to_str().unwrap()];
    refused(machine.sign().fails(), &machine, &says);
}

#[test]
fn a_read_only_file_system() {
    let machine = Machine::new();
    let trust = machine.pins.join("trust");
    let inside = |mount: &str| {
        assert!(is_root(), "mount takes root");
        let script = format!("{mount} && exec openssl {SIGN}");
        clean(Run::new(need("unshare", "util-linux")))
            .args(["-m", "sh", "-c", &script])
            .dir(machine.openssl.dir().path())
            .envs(&machine.openssl)
    };
    let read_only = format!(
        "mount -t tmpfs -o ro,mode=755 none {}",
        machine.pins.path().display()
    );
    let says = ["nothing is pinned", "Read-only file system", "trust-dir"];
    refused(inside(&read_only).fails(), &machine, &says);
    machine.sign().ok();
    let read_only = format!(
        "mount --bind {0} {0} && mount -o remount,bind,ro {0}",
        trust.display()
    );
    inside(&read_only).ok();
    machine.tpm.assert_clean();
}

/// What a stranger can have put there is no pin, and no "nothing pinned" either.
#[test]
fn what_others_could_have_written_is_not_believed() {
    let machine = Machine::new();
    machine.sign().ok();
    let (file, trust) = (machine.file(), machine.pins.join("trust"));
    let good = machine.pinned();
    let name = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let check = |says: &[&str]| {
        let before = fs::read(&file).ok();
        let done = machine.sign().fails();
        refused(done, &machine, says);
        assert_eq!(fs::read(&file).ok(), before, "{says:?}");
        machine.tpmctl("srk show").fails().says(says[0]);
    };
    set_mode(&file, 0o666);
    check(&["can be written by others", &name(&file)]);
    set_mode(&file, 0o644);
    set_mode(&trust, 0o1777);
    check(&["can be written by others", &name(&trust)]);
    set_mode(&trust, 0o755);
    for path in [&file, &trust] {
        chown(path, Some(NOBODY), None).unwrap();
        check(&["belongs to user 65534", &name(path)]);
        chown(path, Some(0), None).unwrap();
    }
    // Truncated, of another TPM, and not such a file at all.
    for (text, says) in [
        ("", "cut off"),
        (&good[..good.len() - 1], "cut off"),
        ("# nothing\n", "names no parent"),
        (
            &good.replace(&machine.tap.address(), "device:/dev/tpm0"),
            "another TPM",
        ),
        ("\u{1b}[2J\n", "four words"),
    ] {
        fs::write(&file, text).unwrap();
        check(&["is damaged", says]);
    }
    // A link to root's own good file is no pin: somebody else has made it.
    let elsewhere = machine.pins.write("elsewhere", &good);
    fs::remove_file(&file).unwrap();
    symlink(&elsewhere, &file).unwrap();
    check(&["symbolic link", &name(&file)]);
    // The way out that the message names works, and leaves the link's target alone.
    machine.tpmctl("srk trust --yes").ok();
    machine.sign().ok();
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), good);
    machine.tpm.assert_clean();
}

#[test]
fn many_processes_that_pin_at_once_pin_one_name() {
    let machine = Machine::new();
    let mut running: Vec<_> = (0..6)
        .map(|number| {
            let mut run = machine
                .openssl
                .run(&SIGN.replace("-out sig", &format!("-out sig{number}")));
            let command = run.command.stdin(Stdio::null()).stdout(Stdio::null());
            testkit::process::Daemon::spawn(command)
        })
        .collect();
    for process in &mut running {
        let status = process.wait(std::time::Duration::from_secs(120));
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }
    let pinned = machine.pinned();
    assert_eq!(
        pinned.lines().filter(|line| !line.starts_with('#')).count(),
        1,
        "{pinned}"
    );
    assert_eq!(fs::read_dir(machine.pins.join("trust")).unwrap().count(), 1);
    machine.tpm.assert_clean();
}

/// A worker in a jail has what was pinned when its server started; what lies in the jail counts for nothing, and no
/// descriptor of the pins is open.
#[test]
fn workers_that_change_their_root_directory() {
    let mut machine = Machine::new();
    let jail = Scratch::new();
    let trust = machine.pins.join("trust");
    let inside = jail.join(trust.to_str().unwrap().trim_start_matches('/'));
    fs::create_dir_all(&inside).unwrap();
    for shared in ["run/lock", "tmp"] {
        fs::create_dir_all(jail.join(shared)).unwrap();
        set_mode(&jail.join(shared), 0o1777);
    }
    let in_jail = |client: &mut Client| {
        client.tell(&format!("child jail {};sign 1", jail.path().display()));
        assert_eq!(client.answer(), "[child] ok");
        let signed = client.answer();
        let end = client.answer();
        assert!(end.ends_with("child=0"), "{signed}, {end}");
        signed
    };
    // Nothing was pinned at the start: what the jail says, root's or not, is not believed.
    let mut early = Client::start(&machine.openssl);
    early.ok("load 1 key.pem");
    machine.sign().ok();
    fs::copy(machine.file(), inside.join(machine.tap.address())).unwrap();
    let answer = in_jail(&mut early);
    assert!(
        answer.contains("another root directory") && answer.contains("sudo tpmctl srk trust"),
        "{answer}"
    );
    early.end();

    let mut late = Client::start(&machine.openssl);
    late.ok("load 1 key.pem");
    assert_eq!(in_jail(&mut late), "[child] ok");
    let open = fs::read_dir(format!("/proc/{}/fd", late.pid())).unwrap();
    for link in open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()) {
        assert!(!link.starts_with(machine.pins.path()), "{}", link.display());
    }
    // And it is another TPM's for the jail as well.
    machine.exchange_the_tpm();
    let jailed = machine.pins.join("trust").join(machine.tap.address());
    assert!(jailed.exists());
    let answer = in_jail(&mut late);
    assert!(answer.starts_with("[child] error"), "{answer}");
    assert!(answer.contains("was cleared"), "{answer}");
    late.end();
    machine.tpm.assert_clean();
}

/// Who makes a key whose parent nobody vouches for is told so, once, and not where he has said what he wants to hear.
#[test]
fn a_key_without_an_anchor_is_made_with_a_word() {
    const NOTE: &str = "nothing vouches for the parent";
    let Bench { openssl, tap, tpm } = Bench::new();
    let line = "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -out k.pem";
    let notes = |done: Done, times: usize| {
        assert_eq!(done.err().matches(NOTE).count(), times, "{done}");
    };
    notes(openssl.ok(line), 1);
    let done = openssl.ok(line);
    let note = done.err();
    let note = note.lines().find(|line| line.contains(NOTE)).unwrap();
    for part in [
        "tpm-provider: note: ",
        "parent-name = first-use",
        "tpmctl srk trust",
    ] {
        assert!(note.contains(part), "{note}");
    }
    // With a log it is in the log, or not, as the log's level says.
    let done = openssl.run(line).env("TPM_LOG", "warn").ok();
    assert!(done.err().contains(" warn: nothing vouches"), "{done}");
    notes(done, 1);
    for level in ["off", "error"] {
        notes(openssl.run(line).env("TPM_LOG", level).ok(), 0);
    }
    // Nor into a connection that has descriptor 2.
    let quiet = "import os, socket, subprocess, sys\n\
                 near, far = socket.socketpair()\n\
                 subprocess.run(sys.argv[1:], stderr=near, check=True)\n\
                 near.close()\n\
                 print(far.recv(65536))\n";
    let done = openssl
        .client(need("python3", "python3"))
        .args(["-c", quiet])
        .arg(openssl_program())
        .words(line)
        .ok();
    assert!(!done.out().contains(NOTE), "{done}");

    let srk = tpm.tool("tpm2_readpublic -c 0x81000001").ok().out();
    let srk = srk.lines().find_map(|l| l.strip_prefix("name: ")).unwrap();
    let anchored = [
        Config::new().setting("parent-name", srk),
        Config::new()
            .setting("parent-name", "first-use")
            .setting("trust-dir", openssl.dir().join("trust").to_str().unwrap()),
        Config::new().setting("log", "off"),
    ];
    for config in anchored {
        let openssl = Openssl::with(config, &tap.address());
        notes(openssl.ok(line), 0);
    }
    // What looks at keys says nothing.
    notes(openssl.ok("pkey -in k.pem -noout -text"), 0);
    // The command says it as well, and not of a TPM that is in the process itself.
    let new = "key new --type ec --force -o k.pem";
    notes(openssl.client(tools::tpmctl()).words(new).ok(), 1);
    let inside = format!("libtpms:{}", openssl.dir().join("state").display());
    let inside = |run: Run| run.env("TPM_TCTI", &inside).ok();
    notes(inside(openssl.client(tools::tpmctl()).words(new)), 0);
    notes(inside(openssl.run(line)), 0);
    tpm.assert_clean();
}

fn openssl_program() -> PathBuf {
    testkit::openssl::program()
}

#[test]
fn settings_that_lead_nowhere_are_refused() {
    for (name, value, says) in [
        ("trust-dir", "trust", "absolute path"),
        ("trust_dir", "/x", "say trust-dir"),
        ("parent-name", "first use", "first-use"),
    ] {
        let tpm = Swtpm::start();
        let openssl = Openssl::with(Config::new().setting(name, value), &tpm.address());
        openssl
            .fails("genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -out k.pem")
            .says(says);
    }
}
