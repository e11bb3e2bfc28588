//! `tpmctl doctor` on broken machines: what it says of each is in tests/data/doctor, and what matters of
//! that in the man page. `TPM_PROVIDER_GOLDENS=write` writes what it says now.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use testkit::openssl::{Config, Order, clean};
use testkit::process::{Done, Run};
use testkit::proxy::{Action, Fault, Proxy};
use testkit::scratch::Scratch;
use testkit::swtpm::Swtpm;
use testkit::swtpm12::Swtpm12;
use testkit::tcsd::Tcsd;
use testkit::terminal::Terminal;
use testkit::tools::{self, modules_dir, need, root};
use testkit::tpm::{OWNER, STANDARD_PRIMARY, command};

/// TPM2_GetTestResult.
const GET_TEST_RESULT: u32 = 0x17C;
/// TPM2_SelfTest.
const SELF_TEST: u32 = 0x143;

/// The files of a machine, and a configuration of OpenSSL beside them. Commands run in its directory, so that
/// their output has no paths of the test's own.
struct Machine {
    dir: Scratch,
}

impl Machine {
    /// A PC without a TPM, and alice at its keyboard.
    fn new() -> Self {
        let this = Self {
            dir: Scratch::new(),
        };
        this.configure(&Config::new());
        symlink(modules_dir(), this.dir.join("modules")).unwrap();
        this.file("sys/firmware/acpi/tables/FACP", b"FACP");
        this.file(
            "etc/passwd",
            b"root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n\
              www-data:x:33:33::/:/bin/false\ntss:x:108:109::/:/bin/false\n",
        );
        this.file(
            "etc/group",
            b"root:x:0:\ntss:x:109:www-data\nalice:x:1000:\n",
        );
        this.alice("1000");
        this
    }

    /// A PC with a TPM 2.0 as it should be, except that nobody can ask it.
    fn with_tpm2() -> Self {
        Self::new().table("TPM2", 7).chip("tpm_crb", 2)
    }

    /// A PC with a TPM 1.2.
    fn with_tpm12() -> Self {
        Self::new().table("TCPA", 0).chip("tpm_tis", 1)
    }

    fn configure(&self, config: &Config) {
        self.dir.write("openssl.cnf", config.text());
    }

    fn file(&self, path: &str, content: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.join("machine").join(path)
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// The groups of alice's session.
    fn alice(&self, groups: &str) {
        let ids = "1000\t1000\t1000\t1000";
        let status = format!("Name:\ttpmctl\nUid:\t{ids}\nGid:\t{ids}\nGroups:\t{groups} \n");
        self.file("proc/self/status", status.as_bytes());
    }

    /// An ACPI table with this start method.
    fn table(self, name: &str, method: u8) -> Self {
        let mut table = vec![0; 52];
        table[..4].copy_from_slice(name.as_bytes());
        table[48] = method;
        self.file(&format!("sys/firmware/acpi/tables/{name}"), &table);
        self
    }

    fn chip(self, driver: &str, major: u8) -> Self {
        let chip = "sys/class/tpm/tpm0";
        self.file(
            &format!("{chip}/tpm_version_major"),
            format!("{major}\n").as_bytes(),
        );
        self.link(
            &format!("{chip}/device/driver"),
            format!("../../bus/platform/drivers/{driver}"),
        );
        self
    }

    /// What stat(1) says of the devices.
    fn nodes(self, lines: &str) -> Self {
        self.file("nodes", lines.as_bytes());
        self
    }

    /// The devices of a TPM 2.0, as udev's usual rules make them.
    fn usual_nodes(self) -> Self {
        self.nodes("/dev/tpm0 21b0 108 0\n/dev/tpmrm0 21b0 108 109\n")
    }

    /// A process that has these files open.
    fn process(self, pid: u32, name: &str, open: &[&str]) -> Self {
        self.file(&format!("proc/{pid}/comm"), format!("{name}\n").as_bytes());
        fs::create_dir_all(self.path(&format!("proc/{pid}/fd"))).unwrap();
        for (fd, target) in (3..).zip(open) {
            self.link(&format!("proc/{pid}/fd/{fd}"), target);
        }
        self
    }

    /// A socket that listens at tcsd's port.
    fn listener(self, uid: u32) -> Self {
        self.listener_at(30003, uid)
    }

    fn listener_at(self, port: u16, uid: u32) -> Self {
        let table = format!(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n   \
             0: 0100007F:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 {uid:5} 0 4711\n"
        );
        self.file("proc/net/tcp", table.as_bytes());
        self
    }

    /// The TPM behind this socket, for commands that find it as `swtpm:path=tpm`.
    fn tpm(&self, address: &str) {
        let path = address.strip_prefix("swtpm:path=").expect("a socket");
        let _ = fs::remove_file(self.dir.join("tpm"));
        symlink(path, self.dir.join("tpm")).unwrap();
    }

    fn run(&self, line: &str) -> Run {
        clean(Run::new(tools::tpmctl()))
            .env_remove("TSS_TCSD_PORT")
            .env("OPENSSL_CONF", "openssl.cnf")
            .env("OPENSSL_MODULES", "modules")
            .dir(self.dir.path())
            .words(line)
    }

    fn doctor(&self) -> Run {
        self.run("doctor --root machine")
    }
}

/// The authorization value of the lockout hierarchy, as a TPM should have one.
const LOCKOUT: &str = "of-the-lockout";

/// A machine on which nothing of the hardware matters, and a TPM behind the socket `tpm`.
struct Soft {
    machine: Machine,
    tpm: Swtpm,
}

impl Soft {
    fn new() -> Self {
        let machine = Machine::new();
        let tpm = Swtpm::start();
        tpm.provision_srk();
        tpm.tool("tpm2_changeauth -c lockout").arg(LOCKOUT).ok();
        machine.tpm(&tpm.address());
        Self { machine, tpm }
    }

    fn doctor(&self) -> Run {
        self.machine.doctor().env("TPM_TCTI", "swtpm:path=tpm")
    }
}

fn golden(name: &str) -> PathBuf {
    root().join(format!("tests/data/doctor/{name}.txt"))
}

/// Which TPM swtpm is depends on libtpms' version.
fn without_identity(text: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in text.lines() {
        if !line.starts_with("      ") {
            inside = line.starts_with(" 7 identity  ok");
            if inside {
                kept.push_str(" 7 identity  ok          [which TPM it is]\n");
            }
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// A text in one line, however it was wrapped.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Asserts status and text, and that the JSON says the same.
#[track_caller]
fn says(name: &str, status: i32, run: impl Fn() -> Run) -> Done {
    let done = run().done().never_says("panicked");
    assert_eq!(done.status.code(), Some(status), "{name}: {done}");
    assert_eq!(done.err(), "", "{name}");
    let text = without_identity(&done.out());
    let path = golden(name);
    if std::env::var_os("TPM_PROVIDER_GOLDENS").is_some_and(|value| value == "write") {
        fs::write(&path, &text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(
        text == expected,
        "{name}: not as in {}\n{text}",
        path.display()
    );
    let json = run().arg("--json").done();
    assert_eq!(json.status.code(), Some(status), "{name}: {json}");
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["first_problem"], status);
    let layers = json["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 13);
    let problem = layers.iter().find(|layer| layer["verdict"] == "problem");
    assert_eq!(
        problem.map_or(0, |layer| layer["number"].as_i64().unwrap()),
        i64::from(status)
    );
    if let Some(layer) = problem {
        let first = layer["what"].as_str().unwrap().split_once(' ').unwrap().0;
        assert!(text.contains(first), "{layer}");
        // A problem has a way out.
        assert!(
            !layer["commands"].as_array().unwrap().is_empty()
                || !layer["why"].as_str().unwrap().is_empty(),
            "{layer}"
        );
    }
    done
}

#[test]
fn no_tpm_at_all() {
    let machine = Machine::new();
    says("no-tpm", 1, || machine.doctor());
    machine.file("run/.containerenv", b"");
    says("container", 1, || machine.doctor());
    let bare = Machine::new();
    fs::remove_dir_all(bare.path("sys")).unwrap();
    says("no-tables", 1, || bare.doctor());
}

#[test]
fn a_tpm_without_a_driver() {
    let machine = Machine::new().table("TPM2", 7);
    says("no-driver", 2, || machine.doctor());
    // A table that only root may read leaves both.
    let machine = Machine::new();
    machine.file("sys/firmware/acpi/tables/TPM2", b"");
    let text = machine.doctor().fails().out();
    for module in ["modprobe tpm_crb", "modprobe tpm_tis"] {
        assert!(text.contains(module), "{module} in\n{text}");
    }
    let machine = Machine::new().table("TPM2", 6);
    machine.file("sys/module/tpm_tis/initstate", b"live\n");
    says("driver-without-chip", 2, || machine.doctor());
    let machine = Machine::new();
    machine.file(
        "sys/firmware/devicetree/base/soc/spi@0/tpm@1/compatible",
        b"infineon,slb9670\0",
    );
    let text = machine.doctor().fails().out();
    assert!(text.contains("modprobe tpm_tis_spi"), "{text}");
}

#[test]
fn a_driver_without_a_device() {
    let machine = Machine::with_tpm2().nodes("");
    says("no-device", 3, || machine.doctor());
    let machine = Machine::with_tpm2();
    machine.file("dev/tpm0", b"TPM\n");
    let run = || machine.doctor().env("TPM_TCTI", "device:/dev/tpm0");
    says("not-a-device", 3, run);
    // A TPM 1.2 has no resource manager in the kernel.
    let machine = Machine::with_tpm12().nodes("/dev/tpm0 2180 108 0\n");
    let run = machine.doctor().env("TPM_TCTI", "device:/dev/tpmrm0");
    let done = run.done();
    assert_eq!(done.status.code(), Some(3), "{done}");
    assert!(
        flat(&done.out()).contains("tpmctl --tcti device:/dev/tpm0 doctor"),
        "{done}"
    );
}

#[test]
fn a_device_without_permission() {
    let machine = Machine::with_tpm2().usual_nodes();
    says("no-permission", 3, || machine.doctor());
    machine.file(
        "etc/group",
        b"root:x:0:\ntss:x:109:www-data,alice\nalice:x:1000:\n",
    );
    says("not-yet-in-group", 3, || machine.doctor());
    machine.alice("109 1000");
    let text = flat(&machine.doctor().ok().out());
    assert!(text.contains("alice may use it"), "{text}");
    // Others than oneself: a service's user, and one that does not exist.
    machine.alice("1000");
    let text = flat(&machine.doctor().words("--user www-data").ok().out());
    assert!(text.contains("www-data may use it"), "{text}");
    let done = machine.doctor().words("--user bob").fails();
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(done.out(), "");
    done.says("no user bob");
    let machine = Machine::with_tpm2().nodes("/dev/tpm0 2180 0 0\n/dev/tpmrm0 2180 0 0\n");
    says("root-only", 3, || machine.doctor());
}

#[test]
fn a_device_that_is_held() {
    let machine = Machine::with_tpm2()
        .nodes("/dev/tpm0 21b0 108 109\n")
        .process(77, "cat", &["/dev/null"])
        .process(812, "tpm2-abrmd", &["/dev/tpm0"]);
    machine.alice("109");
    says("busy", 4, || machine.doctor());
    // With a resource manager there is a way round.
    let machine = machine.nodes("/dev/tpm0 21b0 108 109\n/dev/tpmrm0 21b0 108 109\n");
    says("busy-beside", 0, || machine.doctor());
    let run = machine.doctor().env("TPM_TCTI", "device:/dev/tpm0");
    let done = run.done();
    assert_eq!(done.status.code(), Some(4), "{done}");
    assert!(
        flat(&done.out()).contains("export TPM_TCTI=device:/dev/tpmrm0"),
        "{done}"
    );
}

#[test]
fn an_address_that_leads_nowhere() {
    let machine = Machine::new();
    let config = Config::new().setting("tcti", "swtpm:path=/nonexistent/tpm.sock");
    machine.configure(&config);
    says("dead-socket", 6, || machine.doctor());
    machine.configure(&Config::new().setting("tcti", "/dev/tpm0"));
    let machine = Machine::with_tpm2().usual_nodes();
    machine.alice("109");
    machine.configure(&Config::new().setting("tcti", "/dev/tpmrm0"));
    says("bad-address", 6, || machine.doctor());
    // A configuration that was named and is not there might have named a TPM.
    let run = machine
        .doctor()
        .env("OPENSSL_CONF", "/nonexistent/openssl.cnf");
    let done = run.done();
    assert_eq!(done.status.code(), Some(6), "{done}");
    assert!(flat(&done.out()).contains("unset OPENSSL_CONF"), "{done}");
}

#[test]
fn a_tpm_in_failure_mode() {
    let soft = Soft::new();
    let proxy = Proxy::start(&soft.tpm);
    soft.machine.tpm(&proxy.address());
    // Vendor data of two octets, TPM_RC_FAILURE.
    let failure = command(0x8001, 0, &[0, 2, 0xab, 0xcd, 0, 0, 1, 1]);
    proxy.inject(Fault::on(GET_TEST_RESULT, Action::Garbage(failure)).always());
    says("failure-mode", 8, || soft.doctor());

    // The same by tpmctl selftest: data, a sentence, status 1.
    let selftest = |line: &str| {
        soft.machine
            .run(&format!("selftest {line}"))
            .env("TPM_TCTI", "swtpm:path=tpm")
            .done()
    };
    let done = selftest("").says("failure mode");
    assert_eq!(done.status.code(), Some(1), "{done}");
    assert!(
        done.out().starts_with("  TPM Test Results: abcd\n"),
        "{done}"
    );
    let done = selftest("-r -l none");
    assert_eq!((done.status.code(), done.err().as_str()), (Some(1), ""));
    // A test that fails without a reason in its results is a failure all the same.
    proxy.heal();
    proxy.inject(Fault::on(SELF_TEST, Action::Answer(0x101)));
    let done = selftest("").says("TPM2_SelfTest").says("TPM_RC_FAILURE");
    assert_eq!(done.status.code(), Some(1), "{done}");
    // None: not even that; a TPM that is not there likewise.
    proxy.inject(Fault::on(SELF_TEST, Action::Answer(0x101)));
    let done = selftest("--log none");
    assert_eq!((done.status.code(), done.err().as_str()), (Some(1), ""));
    soft.tpm.assert_clean();
}

#[test]
fn a_locked_tpm() {
    let soft = Soft::new();
    soft.tpm
        .tool("tpm2_dictionarylockout -s -n 3 -t 1000 -l 1000 -p")
        .arg(LOCKOUT)
        .ok();
    let new = soft.machine.run("key new -o key.pem --auth right");
    new.env("TPM_TCTI", "swtpm:path=tpm").ok();
    soft.machine.dir.write("digest", [7; 32]);
    let wrong = || {
        clean(Run::new(need("openssl", "openssl")))
            .env("OPENSSL_CONF", "openssl.cnf")
            .env("OPENSSL_MODULES", "modules")
            .env("TPM_TCTI", "swtpm:path=tpm")
            .dir(soft.machine.dir.path())
            .words("pkeyutl -sign -inkey key.pem -in digest -out sig -passin pass:wrong")
            .fails()
    };
    wrong();
    wrong();
    says("nearly-locked", 0, || soft.doctor());
    wrong();
    says("locked", 9, || soft.doctor());
    soft.tpm.assert_clean();
}

/// What is typed next mends it.
#[test]
fn a_tpm_that_everybody_may_clear() {
    let soft = Soft::new();
    soft.tpm
        .tool("tpm2_changeauth -c lockout -p")
        .arg(LOCKOUT)
        .ok();
    let done = says("clearable", 0, || soft.doctor());
    let advice = done.out();
    let command = advice
        .lines()
        .find_map(|line| line.trim().strip_prefix("$ sudo tpmctl "))
        .expect("a command")
        .replace("/root/", "");
    let run = soft.machine.run(&command).env("TPM_TCTI", "swtpm:path=tpm");
    run.arg("--yes").ok();
    says("healthy", 0, || soft.doctor());
    soft.tpm.assert_clean();
}

#[test]
fn a_tpm_that_is_full_or_has_no_root_key() {
    let soft = Soft::new();
    says("healthy", 0, || soft.doctor());
    let key = soft.tpm.raw().create_primary(OWNER, &STANDARD_PRIMARY);
    says("leftovers", 0, || soft.doctor());
    for _ in 0..2 {
        soft.tpm.raw().create_primary(OWNER, &STANDARD_PRIMARY);
    }
    says("full", 10, || soft.doctor());
    assert_eq!(
        soft.tpm.objects().transient[0],
        key,
        "looking changes nothing"
    );
    soft.machine
        .run("flush --yes")
        .env("TPM_TCTI", "swtpm:path=tpm")
        .ok();
    soft.tpm.tool("tpm2_evictcontrol -C o -c 0x81000001").ok();
    says("no-root-key", 0, || soft.doctor());
    // What is typed next mends it.
    let text = soft.doctor().ok().out();
    for line in text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("$ tpmctl srk "))
    {
        soft.machine
            .run(&format!("srk {line}"))
            .env("TPM_TCTI", "swtpm:path=tpm")
            .ok();
    }
    says("healthy", 0, || soft.doctor());
    soft.tpm.assert_clean();
}

/// A kernel that encrypts its own sessions keeps a name by which a reset behind its back shows.
#[test]
fn a_tpm_that_was_reset_behind_the_kernels_back() {
    let machine = Machine::with_tpm2();
    let mut tpm = Swtpm::start();
    tpm.provision_srk();
    tpm.tool("tpm2_changeauth -c lockout").arg(LOCKOUT).ok();
    let device = Terminal::start(&tpm);
    machine.link("dev/tpmrm0", device.path());
    machine.link("dev/tpm0", device.path());
    let machine = machine.usual_nodes();
    machine.alice("109 1000");
    // Most kernels do not tell, which is no fault.
    let untold = flat(&machine.doctor().ok().out());
    assert!(
        untold
            .contains("11 root key ok The storage root key at 0x81000001 is the standard EC P-256"),
        "{untold}"
    );
    assert!(!untold.contains("null_name"), "{untold}");
    let name = null_name(&tpm);
    machine.file(
        "sys/class/tpm/tpm0/null_name",
        format!("{name}\n").as_bytes(),
    );
    let told = machine.doctor().ok().out();
    assert!(
        flat(&told).contains("The TPM was not reset since the kernel started (null_name)."),
        "{told}"
    );
    // A session stays, which the kernel would flush with the device.
    assert_eq!(tpm.objects().transient, [0u32; 0]);
    tpm.restart();
    assert_ne!(null_name(&tpm), name);
    says("reset", 11, || machine.doctor());
    assert_eq!(tpm.objects().transient, [0u32; 0]);
    tpm.flush();
    // Half a file, or a kernel that found no name.
    for nothing in ["", "000B12\n", "0000"] {
        machine.file("sys/class/tpm/tpm0/null_name", nothing.as_bytes());
        assert_eq!(flat(&machine.doctor().ok().out()), untold);
    }
}

/// What the kernel writes at its start, by tpm2-tools: the name of the null hierarchy's primary of the standard template.
fn null_name(tpm: &Swtpm) -> String {
    let dir = Scratch::new();
    let tool = |line: &str| drop(tpm.tool(line).dir(dir.path()).ok());
    tool(
        "tpm2_createprimary -Q -C n -G ecc -c null.ctx \
         -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
    );
    tool("tpm2_readpublic -Q -c null.ctx -n null.name");
    tpm.flush();
    hex::encode_upper(dir.read("null.name"))
}

#[test]
fn an_openssl_that_does_not_see_us() {
    let soft = Soft::new();
    let machine = &soft.machine;
    let conf = Config::new().text();
    let configure = |text: String| machine.dir.write("openssl.cnf", text);
    let replaced = |from: &str, to: &str| tools::substitute(&conf, from, to);
    configure(replaced("default = default_sect\n", ""));
    says("without-default", 12, || soft.doctor());
    configure(replaced(
        "[tpm_sect]\nactivate",
        "[tpm_sect]\nmodule = gone.so\nactivate",
    ));
    says("module-missing", 12, || soft.doctor());
    configure(replaced("[tpm_sect]\nactivate = 1", "[tpm_sect]\n"));
    says("not-activated", 12, || soft.doctor());
    configure(replaced("tpm = tpm_sect\n", ""));
    says("not-named", 12, || soft.doctor());
    let empty = machine.dir.write("empty.so", "");
    configure(replaced(
        "[tpm_sect]\nactivate",
        &format!("[tpm_sect]\nmodule = {}\nactivate", empty.display()),
    ));
    let done = soft.doctor().done();
    assert_eq!(done.status.code(), Some(12), "{done}");
    assert!(flat(&done.out()).contains("file too short"), "{done}");
    machine.configure(&Config::new().order(Order::TpmFirst));
    says("tpm-first", 0, || soft.doctor());
    // Without the openssl command nobody can tell.
    let run = soft.doctor().env("PATH", machine.dir.path());
    let text = run.ok().out();
    assert!(text.contains("12 openssl   not checked"), "{text}");
}

/// The provider, `tpmctl info` and doctor say the same of a setting that cannot be used: all read one table.
#[test]
fn a_setting_that_cannot_be_used() {
    let soft = Soft::new();
    let machine = &soft.machine;
    let with_tpm = |run: Run| run.env("TPM_TCTI", "swtpm:path=tpm");
    with_tpm(machine.run("key new -o key.pem")).ok();
    let load = || {
        let openssl = clean(Run::new(need("openssl", "openssl")))
            .env("OPENSSL_CONF", "openssl.cnf")
            .env("OPENSSL_MODULES", "modules")
            .dir(machine.dir.path());
        with_tpm(openssl.words("pkey -in key.pem -noout"))
    };
    let at = "in the provider's openssl.cnf section";
    let has = |name: &str, meant: &str| {
        format!(
            "the provider's openssl.cnf section has {name:?}, which is not a setting: say {meant}"
        )
    };
    let bad = [
        (
            "verify",
            "maybe",
            format!("verify = \"maybe\" {at}: expected on or off"),
        ),
        (
            "load",
            "now",
            format!("load = \"now\" {at}: expected lazy or eager"),
        ),
        ("tpm_tcti", "x", has("tpm_tcti", "tcti")),
        ("session", "never", has("session", "sessions")),
        (
            "sessions",
            "Auto",
            format!("sessions = \"Auto\" {at}: expected auto, always or never"),
        ),
        (
            "log",
            "loud",
            format!("log = \"loud\" {at}: expected off, error, warn, info, debug or trace"),
        ),
        (
            "parent-name",
            "000b",
            format!("parent-name = \"000b\" {at}: expected first-use, or"),
        ),
        (
            "timeout",
            "90s",
            format!("timeout = \"90s\" {at}: expected a number of seconds from 1 to 3600"),
        ),
        (
            "trust-dir",
            "trust",
            format!("trust-dir = \"trust\" {at}: expected the absolute path"),
        ),
        (
            "pin-source",
            "4711",
            format!("pin-source {at}: expected file:PATH, credential:NAME or none:"),
        ),
        (
            "chroot",
            "",
            format!("chroot = \"\" {at}: expected private, directory or nothing"),
        ),
    ];
    for (name, value, sentence) in &bad {
        machine.configure(&Config::new().setting(name, value));
        load().fails().says(sentence).never_says("4711");
        let info = with_tpm(machine.run("info")).fails();
        info.says(sentence);
        let done = soft.doctor().done().never_says("4711");
        assert_eq!(done.status.code(), Some(13), "{name} = {value}: {done}");
        let said = flat(&done.out()).to_lowercase();
        assert!(said.contains(&sentence.to_lowercase()), "{done}");
    }
    // All of them at once: each is named.
    let all = bad.iter().fold(Config::new(), |config, (name, value, _)| {
        config.setting(name, value)
    });
    machine.configure(&all);
    let done = soft.doctor().done();
    let said = flat(&done.out()).to_lowercase();
    for (_, _, sentence) in &bad {
        assert!(
            said.contains(&sentence.to_lowercase()),
            "{sentence}: {done}"
        );
    }
    // OpenSSL shows a provider no names that it does not ask for, so the provider cannot know this one.
    machine.configure(&Config::new().setting("time-out", "90"));
    load().ok();
    says("resembling", 13, || soft.doctor());
    machine.configure(&Config::new().setting("colour", "blue"));
    says("unknown-setting", 0, || soft.doctor());
    machine.configure(&Config::new().setting("chroot", "directory"));
    says("setting-with-a-price", 0, || soft.doctor());
    let loud = soft.doctor().env("TPM_LOG", "loud").done();
    assert_eq!(loud.status.code(), Some(1), "{loud}");
    loud.says("TPM_LOG = \"loud\" in the environment: expected off, error");
    soft.tpm.assert_clean();
}

/// OpenSSL drops a file that it cannot read as a whole: what is written in it does not count for us either.
#[test]
fn a_file_that_openssl_cannot_read() {
    let soft = Soft::new();
    let machine = &soft.machine;
    let sample = Config::new()
        .setting("tcti", "swtpm:path=tpm")
        .setting("parent-auth", "${nosuch}");
    machine.configure(&sample);
    let info = machine.run("info").fails();
    assert!(info.err().contains("variable has no value"), "{info}");
    assert!(info.err().contains("--tcti"), "{info}");
    machine.run("info --tcti swtpm:path=tpm").ok();
    says("unreadable-conf", 12, || soft.doctor());
    machine.dir.write("openssl.cnf", "[open\n");
    let done = soft.doctor().done();
    assert_eq!(done.status.code(), Some(12), "{done}");
    assert!(flat(&done.out()).contains("close square bracket"), "{done}");
    soft.tpm.assert_clean();
}

/// The kernel's devices, as far as a terminal's two ends are one.
#[test]
fn a_machine_as_it_should_be() {
    let machine = Machine::with_tpm2();
    let tpm = Swtpm::start();
    let device = Terminal::start(&tpm);
    machine.link("dev/tpmrm0", device.path());
    machine.link("dev/tpm0", device.path());
    let machine = machine.usual_nodes();
    machine.alice("109 1000");
    let done = says("no-root-key-device", 0, || machine.doctor());
    assert!(
        flat(&done.out()).contains("resource manager makes room"),
        "{done}"
    );
    // Detected or named, it is the same device.
    let named = machine.doctor().env("TPM_TCTI", "device:/dev/tpmrm0");
    let text = flat(&named.ok().out());
    assert!(text.contains("from TPM_TCTI in the environment"), "{text}");
}

#[test]
fn a_tpm_1_2_and_tcsd() {
    let machine = Machine::with_tpm12().nodes("/dev/tpm0 2180 108 0\n");
    // Nobody listens at port 1 here; in the copy tcsd does, without a device of the kernel's.
    let copy = Machine::new().process(612, "tcsd", &[]);
    let table =
        "0: 0100007F:0001 00000000:0000 0A 00000000:00000000 00:00000000 00000000 108 0 1\n";
    copy.file("proc/net/tcp", table.as_bytes());
    let run = copy.doctor().env("TPM_TCTI", "tcsd:host=127.0.0.1,port=1");
    let done = run.done();
    assert_eq!(done.status.code(), Some(6), "{done}");
    let text = flat(&done.out());
    for part in [
        "4 holder not needed",
        "tcsd (process 612) listens at port 1 as tss",
        "is tcsd running",
    ] {
        assert!(text.contains(part), "{part} in\n{done}");
    }
    says("tpm12-no-tcsd", 5, || {
        machine.doctor().env("TPM_TCTI", "tcsd").words("--user tss")
    });
    let machine = machine.listener(1000);
    let tcsd = || machine.doctor().env("TPM_TCTI", "tcsd").words("--user tss");
    let run = || {
        machine
            .doctor()
            .env("TPM_TCTI", "device:/dev/tpm0")
            .words("--user tss")
    };
    says("tpm12-impostor", 0, run);
    // Where its address is said, nobody is asked at it.
    let done = tcsd().done();
    assert_eq!(done.status.code(), Some(5), "{done}");
    let text = flat(&done.out());
    assert!(
        text.contains("5 tcsd problem Somebody listens at port 30003 as alice"),
        "{done}"
    );
    assert!(text.contains("It is refused"), "{done}");
    let machine = machine.listener(108).process(612, "tcsd", &["/dev/tpm0"]);
    says("tpm12-busy", 4, || {
        machine
            .doctor()
            .env("TPM_TCTI", "device:/dev/tpm0")
            .words("--user tss")
    });
}

/// The one setting that such a machine needs: nobody looks at the device, which tcsd has.
#[test]
fn a_tpm_1_2_that_is_named_for_its_keys_alone() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let machine = Machine::with_tpm12()
        .nodes("/dev/tpm0 2180 108 0\n")
        .process(612, "tcsd", &["/dev/tpm0"])
        .listener_at(tcsd.port(), 108);
    // What detection would find.
    machine.file("dev/tpm0", b"");
    machine.configure(&Config::new().setting("tcti12", &tcsd.address()));
    let doctor = || machine.doctor().words("--user tss");
    let done = doctor().ok();
    let text = flat(&done.out());
    let address = tcsd.address();
    for part in [
        "everybody else asks tcsd",
        "tcsd (process 612) listens",
        &format!(
            "The TPM is {address}, from tcti12 in the provider's openssl.cnf section (openssl.cnf)."
        ),
        "A TPM 1.2",
    ] {
        assert!(text.contains(part), "{part} in\n{done}");
    }
    // Another one that is named for all keys comes first, as does a TPM 2.0 that is there.
    let named = doctor().env("TPM_TCTI", "device:/dev/tpm0").done();
    let text = flat(&named.out());
    let used = format!(
        "The TPM is device:/dev/tpm0, from TPM_TCTI in the environment; keys of a TPM 1.2 use {address}"
    );
    assert!(text.contains(&used), "{named}");
    machine.file("dev/tpmrm0", b"");
    let done = doctor().done();
    let used = format!(
        "The TPM is device:/dev/tpmrm0, which was detected: nothing names another; keys of a TPM 1.2 use {address}"
    );
    assert!(flat(&done.out()).contains(&used), "{done}");
}

/// Without any setting it is tcsd, too, if it is who it should be; that of a copy is not asked.
#[test]
fn a_tcsd_that_is_detected() {
    let machine = Machine::with_tpm12()
        .nodes("/dev/tpm0 2180 108 0\n")
        .process(612, "tcsd", &["/dev/tpm0"])
        .listener(108);
    machine.file("dev/tpm0", b"");
    let done = machine.doctor().words("--user tss").ok();
    let text = flat(&done.out());
    let part = "6 address not checked The TPM is tcsd:host=127.0.0.1,port=30003, which was detected: \
                nothing names another. The device is on another machine";
    assert!(text.contains(part), "{done}");
    let machine = machine.listener(1000);
    let done = machine.doctor().words("--user tss").done();
    let part = "The TPM is device:/dev/tpm0, which was detected";
    assert!(flat(&done.out()).contains(part), "{done}");
}

#[test]
fn a_tpm_1_2_itself() {
    let machine = Machine::new();
    let run = || machine.doctor().env("TPM_TCTI", "swtpm:path=tpm");
    let unowned = Swtpm12::unowned();
    machine.tpm(&unowned.address());
    says("tpm12-unowned", 11, run);
    let owned = Swtpm12::owned();
    machine.tpm(&owned.address());
    says("tpm12-healthy", 0, run);
    // An address for TPM 1.2 alone is used where there is no other.
    let run = machine.doctor().env("TPM12_TCTI", "swtpm:path=tpm");
    let text = flat(&run.ok().out());
    assert!(
        text.contains("swtpm:path=tpm, from TPM12_TCTI in the environment"),
        "{text}"
    );

    let run = |line: &str| machine.run(line).env("TPM_TCTI", "swtpm:path=tpm");
    let text = run("version").ok().out();
    for line in [
        "  TPM 1.2 Version Info:",
        "  Chip Version:        1.2.",
        "  Spec Level:          2",
        "  Errata Revision:     3",
        "  TPM Vendor ID:       IBM",
        "  TPM Version:         01010000",
        "  Manufacturer Info:   49424d00",
    ] {
        assert!(
            text.lines().any(|shown| shown.starts_with(line)),
            "{line} in\n{text}"
        );
    }
    let json: Value = serde_json::from_slice(&run("version --json").ok().stdout).unwrap();
    assert_eq!(json["tpm_version"], "01010000");
    // libtpms' results are a text of its own, as tpm_selftest shows them.
    let done = run("selftest -l info").ok().says("The self-test succeeded");
    assert!(
        done.out()
            .starts_with("  TPM Test Results: 53687574 646f776e "),
        "{done}"
    );
    let done = run("selftest -r -l info").ok().says("manufacturer's");
    assert!(done.out().starts_with("  TPM Test Results: "), "{done}");
}

#[test]
fn version_and_selftest_of_a_tpm_2() {
    let soft = Soft::new();
    let run = |line: &str| soft.machine.run(line).env("TPM_TCTI", "swtpm:path=tpm");
    let text = run("version").ok().out();
    assert!(text.contains("\n  TPM 2.0 Version Info:\n"), "{text}");
    let json: Value = serde_json::from_slice(&run("version --json").ok().stdout).unwrap();
    assert_eq!(json["vendor_id"], "IBM");
    assert_eq!(json["vendor_string"], "SW TPM");
    assert_eq!(json["manufacturer_info"], "49424d00");
    // What tpm2-tools read from the same properties.
    let fixed = soft.tpm.tool("tpm2_getcap properties-fixed").ok().out();
    let property = |name: &str| {
        let (_, rest) = fixed
            .split_once(&format!("{name}:\n  raw: 0x"))
            .expect(name);
        let digits = rest.split_whitespace().next().unwrap();
        u32::from_str_radix(digits, 16).unwrap()
    };
    let (high, low) = (
        property("TPM2_PT_FIRMWARE_VERSION_1"),
        property("TPM2_PT_FIRMWARE_VERSION_2"),
    );
    let firmware = format!(
        "{}.{}.{}.{}",
        high >> 16,
        high & 0xffff,
        low >> 16,
        low & 0xffff
    );
    assert_eq!(json["firmware_version"], firmware);
    assert!(
        json["spec_date"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{}-", property("TPM2_PT_YEAR")))
    );
    for field in [
        "Firmware Version",
        "Spec Revision",
        "TPM Vendor ID",
        "Manufacturer Info",
    ] {
        assert!(text.contains(&format!("  {field}: ")), "{field} in\n{text}");
    }
    assert!(text.contains(&firmware), "{text}");

    // Levels as tpm_selftest has them: what is told beside the result grows.
    let proxy = Proxy::start(&soft.tpm);
    let selftest = |line: &str| {
        let run = soft.machine.run(&format!("selftest {line}"));
        run.env("TPM_TCTI", proxy.address()).ok()
    };
    let (done, counts) = proxy.cost(|| selftest(""));
    counts.are(&[("GetCapability", 1), ("GetTestResult", 1), ("SelfTest", 1)]);
    assert!(done.out().starts_with("  TPM Test Results:"), "{done}");
    assert_eq!(done.err(), "");
    let (done, counts) = proxy.cost(|| selftest("-r -l info"));
    counts.are(&[("GetCapability", 1), ("GetTestResult", 1)]);
    done.says("The self-test succeeded");
    selftest("-l debug").says("TPM2_SelfTest [");
    let json: Value = serde_json::from_slice(&selftest("--json").stdout).unwrap();
    assert_eq!(json["outcome"], "passed");
    assert_eq!(json["tested"], true);
    assert_eq!(
        soft.machine.run("selftest -l loud").done().status.code(),
        Some(2)
    );
    soft.tpm.assert_clean();
}

/// The man page's verdicts are what is said, and none is left out.
#[test]
fn the_manual_shows_every_machine() {
    let page = fs::read_to_string(root().join("docs/tpmctl-doctor.7.md")).unwrap();
    let (_, section) = page.split_once("\n# VERDICTS\n").expect("the section");
    let section = section.split("\n# ").next().unwrap();
    let mut shown = BTreeSet::new();
    let mut name = String::new();
    let mut block = String::new();
    for line in section.lines().chain(["*end*:"]) {
        if let Some(line) = line.strip_prefix("    ") {
            block.push_str(&format!("{line}\n"));
        } else if let Some((next, _)) = line.strip_prefix('*').and_then(|rest| rest.split_once('*'))
        {
            if !name.is_empty() {
                let whole =
                    fs::read_to_string(golden(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(!block.is_empty(), "{name} has no text");
                assert!(
                    whole.contains(&block),
                    "{name}: the man page says\n{block}and not\n{whole}"
                );
                // What it is about is shown: the first problem, or a warning.
                let bad =
                    |line: &&str| line.contains(" problem     ") || line.contains(" warning     ");
                if let Some(first) = whole.lines().find(bad) {
                    assert!(block.contains(first), "{name} lacks\n{first}");
                }
                shown.insert(name);
            }
            name = next.to_owned();
            block.clear();
        }
    }
    let files = fs::read_dir(root().join("tests/data/doctor")).unwrap();
    let files: BTreeSet<String> = files
        .map(|file| {
            file.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(shown, files);
}
