//! The companion command against real TPMs: what it says, what it makes, what it leaves behind.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;
use std::time::Duration;
use testkit::key;
use testkit::openssl::{Config, Openssl, clean};
use testkit::process::{Daemon, Done, Run, unbroken, wait_for};
use testkit::proxy::{Action, Fault, Proxy};
use testkit::scratch::Scratch;
use testkit::swtpm::{SRK, Swtpm};
use testkit::swtpm12::Swtpm12;
use testkit::tools::{self, need, root};
use testkit::tpm::{OWNER, Raw, STANDARD_PRIMARY, cc};

use crate::tpm::costs;

/// `tpmctl` with the words of `line`, on the TPM at `address`; the system's openssl.cnf does not matter.
fn tpmctl(address: &str, line: &str) -> Run {
    without_tpm(line).env("TPM_TCTI", address)
}

fn without_tpm(line: &str) -> Run {
    clean(Run::new(tools::tpmctl()))
        .env("OPENSSL_CONF", "/dev/null")
        .words(line)
}

#[track_caller]
fn json(run: Run) -> Value {
    let done = run.arg("--json").ok();
    serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{e}\n{done}"))
}

/// Asserts an orderly failure: a sentence, and status 1.
#[track_caller]
fn refuses(run: Run, text: &str) -> Done {
    let done = run
        .done()
        .says("tpmctl: ")
        .says(text)
        .never_says("panicked");
    assert_eq!(done.status.code(), Some(1), "{done}");
    done
}

/// Asserts that the arguments are refused.
#[track_caller]
fn usage(run: Run) {
    let done = run.done();
    assert_eq!(done.status.code(), Some(2), "{done}");
}

/// The same, and why.
#[track_caller]
fn usage_says(run: Run, text: &str) {
    let done = run.done().says(text);
    assert_eq!(done.status.code(), Some(2), "{done}");
}

#[test]
fn info_says_what_the_tpm_is() {
    let tpm = Swtpm::start();
    let text = tpmctl(&tpm.address(), "info -a").ok().out();
    for part in [
        &tpm.address(),
        "from TPM_TCTI in the environment",
        "bare",
        "2.0, specification revision 1.",
        "IBM (SW TPM)",
        "RSA key sizes",
        " 2048",
        "P-256",
        "SHA256",
        "at least 3",
        "not locked",
        "0x81000001           absent",
    ] {
        assert!(unbroken(&text).contains(part), "{part:?} in\n{text}");
    }
    // Colours are for terminals.
    assert!(!text.contains('\u{1b}'), "{text}");
    tpm.assert_clean();

    let info = json(tpmctl(&tpm.address(), "info"));
    assert_eq!(info["address"]["tcti"], tpm.address());
    assert_eq!(info["address"]["sharing"], "bare");
    assert_eq!(info["tpm"]["family"], "2.0");
    assert_eq!(info["tpm"]["manufacturer"], "IBM");
    assert!(info["rsa_bits"].as_array().unwrap().contains(&2048.into()));
    assert!(info["limits"]["nv_buffer_bytes"].as_u64().unwrap() >= 512);
    assert_eq!(info["limits"]["transient_objects_min"], 3);
    assert_eq!(info["lockout"]["in_lockout"], false);
    assert_eq!(info["lockout"]["counter"], 0);
    assert_eq!(info["hierarchies"]["owner"]["auth_set"], false);
    assert_eq!(info["srk"]["present"], false);
    assert!(info["srk"]["name"].is_null());
    let rsa = info["algorithms"].as_array().unwrap();
    assert!(
        rsa.iter()
            .any(|a| a["name"] == "RSA" && a["class"] == "asymmetric")
    );
}

#[test]
fn info_shows_what_the_tpm_holds() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let srk = tpm.raw().create_primary(OWNER, &STANDARD_PRIMARY);
    let session = start_session(&mut tpm.raw(), 0);
    let info = json(tpmctl(&tpm.address(), "info"));
    let name = tpm.tool("tpm2_readpublic -c 0x81000001").ok().out();
    let name = name.lines().find_map(|l| l.strip_prefix("name: ")).unwrap();
    assert_eq!(info["srk"]["name"], name);
    assert_eq!(info["srk"]["template"], "ecc");
    assert_eq!(info["srk"]["of_owner"], true);
    assert_eq!(info["persistent"][0]["handle"], "0x81000001");
    assert_eq!(info["persistent"][0]["type"], "EC P-256");
    let loaded = &info["loaded"];
    assert_eq!(loaded["objects"][0]["handle"], format!("0x{srk:08x}"));
    assert_eq!(loaded["objects"][0]["name"], name);
    assert_eq!(loaded["sessions"][0], format!("0x{session:08x}"));
    let text = tpmctl(&tpm.address(), "info").ok().out();
    assert!(
        text.contains(&format!("parent-name =        {name}")),
        "{text}"
    );
    // Looking changes nothing.
    assert_eq!(tpm.objects().transient, [srk]);
    assert_eq!(tpm.raw().handles(0x8100_0000), [SRK]);
}

/// It is the standard primary, and what was made before is loaded by it.
#[test]
fn a_storage_root_key_is_made() {
    let tpm = Swtpm::start();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    let run = |line: &str| tpmctl(&tap.address(), line).dir(openssl.dir().path());
    run("key new -o key.pem").ok();
    // It is offered where it is missed.
    for line in ["info", "doctor --root /"] {
        let done = run(line).done();
        assert!(done.out().contains("tpmctl srk create"), "{done}");
    }
    let made = json(run("srk create"));
    assert_eq!(made["created"], true);
    let info = json(run("info"));
    assert_eq!(info["srk"]["template"], "ecc");
    assert_eq!(info["srk"]["of_owner"], true);
    assert_eq!(info["srk"]["name"], made["srk"]["name"]);
    let again = run("srk create").ok().out();
    assert!(again.contains("already"), "{again}");
    let (_, counts) = tap.cost(|| signs(&openssl, ""));
    assert_eq!(counts.of("CreatePrimary"), 0, "{counts:?}");
    tpm.assert_clean();
}

/// With an owner's value, and where something else has taken the place.
#[test]
fn a_storage_root_key_is_made_with_the_owner_s_value_and_replaces_nothing() {
    let tpm = Swtpm::start();
    tpm.tool("tpm2_changeauth -c owner ownerpin").ok();
    let tap = Proxy::start(&tpm);
    refuses(
        tpmctl(&tap.address(), "srk create"),
        "--parent-auth file:PATH",
    );
    tpmctl(&tap.address(), "srk create --parent-auth ownerpin").ok();
    assert!(!tap.saw(b"ownerpin"));
    assert_eq!(tpm.raw().handles(0x8100_0000), [SRK]);
    tpm.assert_clean();
    let tpm = Swtpm::start();
    let dir = Scratch::new();
    let tool = |tpm: &Swtpm, line: &str| tpm.tool(line).dir(dir.path()).ok();
    tool(&tpm, "tpm2_createprimary -C o -G rsa -c other.ctx");
    tool(&tpm, "tpm2_evictcontrol -C o -c other.ctx 0x81000001");
    let before = tpm.tool("tpm2_readpublic -c 0x81000001").ok().out();
    let done = tpmctl(&tpm.address(), "srk create").done();
    let after = tpm.tool("tpm2_readpublic -c 0x81000001").ok().out();
    assert_eq!(before, after, "{done}");
    // A primary of another hierarchy is none.
    let tpm = Swtpm::start();
    tool(&tpm, "tpm2_createprimary -C e -G ecc -c other.ctx");
    tool(&tpm, "tpm2_evictcontrol -C o -c other.ctx 0x81000001");
    refuses(
        tpmctl(&tpm.address(), "srk create"),
        "another key is at 0x81000001",
    );
}

#[test]
fn the_address_comes_from_where_it_is_said() {
    let tpm = Swtpm::start();
    let elsewhere = "swtpm:path=/nonexistent/tpm";
    let origin = |run: Run| json(run)["address"]["origin"].as_str().unwrap().to_owned();
    let run = tpmctl(elsewhere, "info --tcti").arg(tpm.address());
    assert_eq!(origin(run), "from the command line");
    assert_eq!(
        origin(tpmctl(&tpm.address(), "info")),
        "from TPM_TCTI in the environment"
    );
    let dir = Scratch::new();
    let setting = |tcti: &str| Config::new().setting("tcti", tcti).text();
    let conf = dir.write("openssl.cnf", setting(&tpm.address()));
    let info = json(without_tpm("info").env("OPENSSL_CONF", &conf));
    assert_eq!(
        info["address"]["origin"],
        "from tcti in the provider's openssl.cnf section"
    );
    assert_eq!(info["address"]["file"], conf.display().to_string());
    let late = Config::new().setting("lock-timeout", "soon").text();
    let run = tpmctl(&tpm.address(), "info").env("OPENSSL_CONF", dir.write("late.cnf", late));
    refuses(run, "lock-timeout = \"soon\"");
    // The environment comes before the section.
    let conf = dir.write("openssl.cnf", setting(elsewhere));
    tpmctl(&tpm.address(), "info")
        .env("OPENSSL_CONF", conf)
        .ok();
}

#[test]
fn a_tpm_that_is_not_there_is_named_with_its_setting() {
    let gone = "swtpm:path=/nonexistent/tpm";
    for line in ["info", "flush --yes", "key new -o /nonexistent-file"] {
        refuses(tpmctl(gone, line), "TPM swtpm:path=/nonexistent/tpm")
            .says("from TPM_TCTI in the environment")
            .says("is swtpm running?");
    }
    refuses(tpmctl("nonsense:x", "info"), "nonsense").says("from TPM_TCTI in the environment");
    usage(without_tpm("info --tcti nonsense:x"));
    usage(without_tpm("info --tcti"));
    // A configuration that was named and is not there might have named a TPM.
    let run = without_tpm("info").env("OPENSSL_CONF", "/nonexistent/openssl.cnf");
    refuses(run, "/nonexistent/openssl.cnf");
}

#[test]
fn a_tpm_1_2_is_known_as_one() {
    let tpm = Swtpm12::unowned();
    let (address, dir) = (tpm.address(), Scratch::new());
    let file = dir.join("key.pem");
    refuses(
        tpmctl(&address, "key new --tpm 2.0 -o").arg(&file),
        "this is a TPM 1.2",
    );
    refuses(
        tpmctl(&address, "key new -o").arg(&file),
        "the TPM has no owner",
    );
    assert!(!file.exists());
}

#[test]
fn a_new_key_signs_and_decrypts() {
    let tpm = Swtpm::start();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    let new = |line: &str| tpmctl(&tap.address(), line).dir(openssl.dir().path());
    let (done, counts) = tap.cost(|| new("key new --type rsa -o key.pem").ok());
    counts.are(costs::GENERATION.commands);
    assert_eq!(done.out(), "");
    let mode = fs::metadata(openssl.dir().join("key.pem")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The next command is told, and works as it is told.
    let written = done.err();
    let request = written
        .lines()
        .find_map(|l| l.strip_prefix("  openssl "))
        .expect("a command");
    openssl.ok(request);
    openssl.plain().ok("req -in key.csr -verify -noout");
    signs(&openssl, "");

    // Standard output, with a digest of its own; standard error has no key.
    let done = new("key new --type rsa --digest sha384")
        .ok()
        .says("openssl req");
    assert!(done.out().starts_with("-----BEGIN TSS2 PRIVATE KEY-----\n"));
    openssl.dir().write("key.pem", &done.stdout);
    let input = key::digest(&openssl, "sha384");
    openssl.ok(&format!(
        "pkeyutl -sign -inkey key.pem -in {input} -out sig -pkeyopt digest:sha384"
    ));
    tpm.assert_clean();
}

/// A signature with key.pem that OpenSSL without us accepts.
#[track_caller]
fn signs(openssl: &Openssl, options: &str) {
    let input = key::digest(openssl, "sha256");
    let options = format!("-in {input} -pkeyopt digest:sha256 {options}");
    openssl.ok(&format!("pkeyutl -sign -inkey key.pem -out sig {options}"));
    openssl.ok("pkey -in key.pem -pubout -out key.pub");
    openssl.plain().ok(&format!(
        "pkeyutl -verify -pubin -inkey key.pub -sigfile sig {options}"
    ));
}

#[test]
fn keys_of_every_kind() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    for (options, key_type, bits, parent) in [
        ("", "EC", 256, "0x40000001"),
        ("--curve P-384", "EC", 384, "0x40000001"),
        ("--bits 3072", "RSA", 3072, "0x40000001"),
        ("--type rsa", "RSA", 2048, "0x40000001"),
        ("--type rsa-pss", "RSA-PSS", 2048, "0x40000001"),
        ("--type rsa --bits 3072", "RSA", 3072, "0x40000001"),
        ("--type rsa --parent 0x81000001", "RSA", 2048, "0x81000001"),
        ("--type rsa --parent null", "RSA", 2048, "0x40000007"),
        ("--type rsa --parent endorsement", "RSA", 2048, "0x4000000b"),
        ("--type ec", "EC", 256, "0x40000001"),
        ("--type ec --curve P-256", "EC", 256, "0x40000001"),
        ("--type ec --curve P-384", "EC", 384, "0x40000001"),
        (
            "--type ec --curve P-521 --parent 0x81000001",
            "EC",
            521,
            "0x81000001",
        ),
        ("--type ec --digest sha256", "EC", 256, "0x40000001"),
    ] {
        let line = format!("key new --force -o key.pem {options}");
        let made = json(tpmctl(&tpm.address(), &line).dir(openssl.dir().path()));
        let kind = match key_type {
            "EC" => format!("EC P-{bits}"),
            _ => format!("{key_type} {bits}"),
        };
        assert_eq!(made["type"], kind, "{options}");
        assert_eq!(made["bits"], bits, "{options}");
        assert_eq!(made["parent"], parent, "{options}");
        assert_eq!(made["tpm"], tpm.address(), "{options}");
        let shown = json(without_tpm("key show key.pem").dir(openssl.dir().path()));
        assert_eq!(shown["name"], made["name"], "{options}");
        assert_eq!(shown["type"], made["type"], "{options}");
        let public = json(without_tpm("key public key.pem").dir(openssl.dir().path()));
        assert_eq!(public["type"], made["type"], "{options}");
        assert_eq!(shown["bits"], bits, "{options}");
        assert_eq!(shown["usable"], true, "{options}");
        let curve = (key_type == "EC").then(|| format!("P-{bits}"));
        assert_eq!(made["curve"].as_str(), curve.as_deref(), "{options}");
        assert_eq!(shown["curve"].as_str(), curve.as_deref(), "{options}");
        let usage = match options {
            "--type rsa-pss" | "--type ec --digest sha256" => "signs",
            _ if key_type == "EC" => "signs and does key agreement",
            _ => "signs and decrypts",
        };
        assert_eq!(shown["purpose"], usage, "{options}");
        let padding = match key_type {
            "RSA-PSS" => "-pkeyopt rsa_padding_mode:pss",
            _ => "",
        };
        signs(&openssl, padding);
        tpm.assert_clean();
    }
}

#[test]
fn a_key_s_secret_comes_from_a_file_or_standard_input() {
    let tpm = Swtpm::start();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    let dir = openssl.dir();
    dir.write("pin", "correct horse\nsecond line\n");
    let input = key::digest(&openssl, "sha256");
    let new = |line: &str| tpmctl(&tap.address(), line).dir(dir.path());
    for run in [
        new("key new -f -o key.pem --auth file:pin"),
        new("key new -f -o key.pem --auth -").stdin("correct horse\r\n"),
    ] {
        run.ok()
            .says("with an authorization value")
            .never_says("horse");
        let shown = json(without_tpm("key show key.pem").dir(dir.path()));
        assert_eq!(shown["authorization"], true);
        let sign = format!("pkeyutl -sign -inkey key.pem -in {input} -out sig -passin");
        openssl.run(&sign).arg("file:pin").ok();
        openssl.run(&sign).arg("pass:wrong").fails();
    }
    // It goes to the TPM encrypted.
    assert!(!tap.saw(b"correct horse"));
    for run in [
        new("key new -o other.pem --auth file:missing"),
        new("key new -o other.pem --auth -"),
        new("key new -o other.pem --auth").arg(""),
    ] {
        assert_eq!(run.done().status.code(), Some(1));
    }
    assert!(!dir.join("other.pem").exists());
    tpm.assert_clean();
}

#[test]
fn the_parent_s_secret_comes_from_option_environment_or_section() {
    let tpm = Swtpm::start();
    tpm.tool("tpm2_changeauth -c owner ownerpin").ok();
    let dir = Scratch::new();
    dir.write("pin", "ownerpin\n");
    let new = |name: &str| tpmctl(&tpm.address(), "key new -o").arg(dir.join(name));
    let info = json(tpmctl(&tpm.address(), "info"));
    assert_eq!(info["hierarchies"]["owner"]["auth_set"], true);
    refuses(
        new("none"),
        "the parent's authorization value (parent-auth, or TPM_PARENT_AUTH) is wrong",
    );
    assert!(!dir.join("none").exists());
    let file = format!("file:{}", dir.join("pin").display());
    new("a").args(["--parent-auth", &file]).ok();
    new("b").env("TPM_PARENT_AUTH", "ownerpin").ok();
    let conf = Config::new().setting("parent-auth", &file).text();
    let conf = dir.write("openssl.cnf", conf);
    new("c").env("OPENSSL_CONF", &conf).ok();
    // A command without a parent does not look at a file that only the service can read.
    fs::remove_file(dir.join("pin")).unwrap();
    tpmctl(&tpm.address(), "info")
        .env("OPENSSL_CONF", &conf)
        .ok();
    refuses(new("d").env("OPENSSL_CONF", &conf), "pin");
    tpm.assert_clean();
}

#[test]
fn nothing_is_overwritten_and_a_failure_leaves_no_file() {
    let tpm = Swtpm::start();
    let tap = Proxy::start(&tpm);
    let dir = Scratch::new();
    let new = |line: &str| tpmctl(&tap.address(), line).dir(dir.path());
    dir.write("key.pem", "precious");
    fs::set_permissions(dir.join("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    // It is noticed before the TPM is asked.
    let (_, counts) = tap.cost(|| refuses(new("key new -o key.pem"), "--force"));
    counts.are(&[]);
    assert_eq!(dir.read_text("key.pem"), "precious");
    // A failure with --force leaves the old one.
    refuses(
        new("key new -f -o key.pem --bits 4104"),
        "makes no RSA keys of 4104 bits",
    )
    .says("2048");
    refuses(
        new("key new -f -o key.pem --parent 0x81000005"),
        "0x81000005",
    )
    .says("tpmctl info");
    refuses(new("key new -f -o key.pem --bits 2047"), "2047 bits");
    tap.inject(Fault::on(cc::CREATE, Action::Answer(0x2e6)));
    refuses(
        new("key new -f -o key.pem --type ec --curve P-521"),
        "can it make EC keys on P-521",
    )
    .says("TPM_RC_CURVE")
    .never_says("RSA");
    for (line, text) in [
        (
            "-f -o key.pem --type ec --bits 256",
            "--bits is for RSA keys",
        ),
        ("-f -o key.pem --type rsa --curve P-256", "add --type ec"),
        ("-f -o key.pem --tpm 1.2 --type ec", "of type rsa"),
        ("-f -o key.pem --tpm 1.2 --curve P-256", "of type rsa"),
        (
            "-f -o key.pem --sign-only --digest sha256",
            "--digest is for keys of a TPM 2.0",
        ),
        (
            "-f -o key.pem --tpm 1.2 --parent 0x81000001",
            "--parent is for keys of a TPM 2.0",
        ),
        (
            "-f -o key.pem --tpm 2.0 --sign-only",
            "--sign-only is for keys of a TPM 1.2",
        ),
        ("--json", "--output"),
    ] {
        usage_says(new(&format!("key new {line}")), text);
    }
    assert_eq!(dir.read_text("key.pem"), "precious");
    refuses(new("key new -o new.pem --bits 4104"), "4104");
    refuses(new("key new -o missing/new.pem"), "no directory");
    refuses(new("key new -f -o ."), "not a regular file");
    usage(new("key new -o new.pem --parent 0x80000000"));
    usage(new("key new -o new.pem --type dsa"));
    usage(new("key new -o new.pem --type ec --curve secp256k1"));
    usage(new("key new -o new.pem --type ec --curve P-256 --bits 256"));
    usage(new("key new -o new.pem --digest md4711"));
    let names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["key.pem"]);
    new("key new -f -o key.pem").ok();
    assert!(dir.read_text("key.pem").starts_with("-----BEGIN TSS2"));
    assert_eq!(
        fs::metadata(dir.join("key.pem")).unwrap().mode() & 0o777,
        0o600
    );
    tpm.assert_clean();
}

/// A TPM cannot be stopped in the middle; what was loaded goes nevertheless.
#[test]
fn a_signal_leaves_neither_objects_nor_files() {
    let tpm = Swtpm::start();
    let tap = Proxy::start(&tpm);
    tap.inject(Fault::on(cc::CREATE, Action::Hold));
    let dir = Scratch::new();
    let mut run = tpmctl(&tap.address(), "key new -o key.pem").dir(dir.path());
    run.command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut daemon = Daemon::spawn(&mut run.command);
    wait_for("the command", Duration::from_secs(30), || {
        tap.holding() == 1
    });
    daemon.signal(libc::SIGTERM);
    tap.heal();
    let status = daemon.wait(Duration::from_secs(30)).expect("it ends");
    assert_eq!(status.code(), Some(128 + libc::SIGTERM));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    tpm.assert_clean();
}

/// A locked TPM is told as one, with the tries that led there.
#[test]
fn info_tells_a_lockout() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    let dir = openssl.dir();
    tpmctl(&tpm.address(), "key new -o key.pem --auth right")
        .dir(dir.path())
        .ok();
    let input = key::digest(&openssl, "sha256");
    let info = || json(tpmctl(&tpm.address(), "info"))["lockout"].clone();
    let tries = info()["max_tries"].as_u64().unwrap();
    for _ in 0..tries {
        openssl.fails(&format!(
            "pkeyutl -sign -inkey key.pem -in {input} -out sig -passin pass:wrong"
        ));
    }
    let lockout = info();
    assert_eq!(lockout["in_lockout"], true, "{lockout}");
    assert_eq!(lockout["tries_left"], 0, "{lockout}");
    let text = tpmctl(&tpm.address(), "info").ok().out();
    assert!(text.contains("LOCKED"), "{text}");
    tpm.assert_clean();
}

#[test]
fn show_explains_other_tools_keys_without_a_tpm() {
    for (name, key_type, purpose, kind) in [
        ("e_ec", "EC P-256", "signs", "loadable"),
        (
            "j_ec",
            "EC P-256",
            "signs and does key agreement",
            "loadable",
        ),
        (
            "j_ec_pcr",
            "EC P-256",
            "signs and does key agreement",
            "loadable",
        ),
        (
            "j_imp_ec",
            "EC P-256",
            "signs and does key agreement",
            "importable",
        ),
        ("j_rsa", "RSA 2048", "decrypts", "loadable"),
        ("j_seal", "sealed data", "holds data", "sealed"),
        (
            "o_ec",
            "EC P-256",
            "signs and does key agreement",
            "loadable",
        ),
        ("py_ec", "EC P-256", "signs", "loadable"),
    ] {
        let file = root().join(format!("tests/data/tpm2/{name}.pem"));
        // An address that would be an error if it were looked at.
        let show = |options: &str| tpmctl("nonsense", &format!("key show {options}")).arg(&file);
        let shown = json(show(""));
        assert_eq!(shown["type"], key_type, "{name}");
        assert_eq!(shown["purpose"], purpose, "{name}");
        assert_eq!(shown["kind"], kind, "{name}");
        assert_eq!(shown["parent"], "0x40000001", "{name}");
        assert_eq!(shown["name"].as_str().unwrap().len(), 68, "{name}");
        let problem = shown["problem"].as_str();
        assert_eq!(shown["usable"], problem.is_none(), "{name}");
        let text = show("").ok().out();
        for part in [
            key_type,
            purpose,
            "owner hierarchy",
            problem.unwrap_or("can use it"),
        ] {
            assert!(unbroken(&text).contains(part), "{part} in\n{text}");
        }
    }
    let every = fs::read_dir(root().join("tests/data/tpm2")).unwrap();
    let keys = every.filter(|e| e.as_ref().unwrap().path().extension() == Some("pem".as_ref()));
    assert_eq!(keys.count(), 8, "a key that is not in the list above");
}

#[test]
fn show_reads_policies_der_and_standard_input() {
    let data = root().join("tests/data/tpm2");
    let shown = json(without_tpm("key show").arg(data.join("j_ec_pcr.pem")));
    assert_eq!(shown["policy"][0]["name"], "PolicyPCR");
    assert_eq!(shown["policy"][0]["pcrs"], "sha256:16");
    assert_eq!(shown["policy_digest"].as_str().unwrap().len(), 64);
    let pem = fs::read(data.join("j_rsa.pem")).unwrap();
    let whole = json(without_tpm("key show").arg(data.join("j_rsa.pem")));
    assert_eq!(json(without_tpm("key show -").stdin(pem.clone())), whole);
    let dir = Scratch::new();
    let text = String::from_utf8(pem.clone()).unwrap();
    let body: String = text.lines().filter(|l| !l.starts_with("--")).collect();
    dir.write("body", body);
    Run::new(need("openssl", "openssl"))
        .words("base64 -d -A -in body -out key.der")
        .dir(dir.path())
        .ok();
    assert_eq!(
        json(without_tpm("key show").arg(dir.join("key.der"))),
        whole
    );

    dir.write("cut.pem", &pem[..pem.len() / 2]);
    dir.write("empty", "");
    dir.write(
        "soft.pem",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    dir.write(
        "old.pem",
        "-----BEGIN TSS KEY BLOB-----\nAAAA\n-----END TSS KEY BLOB-----\n",
    );
    for (name, part) in [
        ("cut.pem", "damaged or incomplete"),
        ("empty", "no TSS2 PRIVATE KEY block"),
        ("soft.pem", "there is \"PRIVATE KEY\""),
        ("old.pem", "TPM 1.2"),
        ("missing", "cannot be read"),
    ] {
        refuses(without_tpm("key show").arg(dir.join(name)), part).says(name);
    }
    refuses(without_tpm("key show /dev/zero"), "/dev/zero");
    usage(without_tpm("key show"));
}

/// TPM2_StartAuthSession without key, binding or cipher; its handle.
fn start_session(raw: &mut Raw, kind: u8) -> u32 {
    let null = 0x4000_0007u32.to_be_bytes();
    let mut body = [null, null].concat();
    body.extend([0, 16]);
    body.extend([7; 16]);
    body.extend([0, 0, kind, 0, 0x10, 0, 0x0b]);
    let (rc, answer) = raw.plain(0x176, &body);
    assert_eq!(rc, 0, "StartAuthSession");
    u32::from_be_bytes(answer[..4].try_into().unwrap())
}

#[test]
fn flush_shows_and_then_empties_the_tpm() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let address = tpm.address();
    let nothing = tpmctl(&address, "flush").ok().out();
    assert!(nothing.contains("Nothing to flush"), "{nothing}");

    let key = tpm.raw().create_primary(OWNER, &STANDARD_PRIMARY);
    // A hash sequence has a handle and no public area.
    let (rc, _) = tpm.raw().plain(0x186, &[0, 0, 0, 0x0b]);
    assert_eq!(rc, 0);
    let hmac = start_session(&mut tpm.raw(), 0);
    start_session(&mut tpm.raw(), 1);
    tpm.tool("tpm2_startauthsession -S /dev/null").done();
    let before = tpm.objects();
    assert_eq!(before.transient.len(), 2);

    // Without a terminal and --yes, and with --dry-run, it only looks.
    refuses(tpmctl(&address, "flush").stdin("y\n"), "--yes");
    let list = tpmctl(&address, "flush --dry-run").ok().out();
    for part in [
        "EC P-256, storage key, name",
        "not readable",
        "HMAC session, loaded",
    ] {
        assert!(list.contains(part), "{part} in\n{list}");
    }
    usage(tpmctl(&address, "flush --yes --dry-run"));
    assert_eq!(tpm.objects(), before);

    let done = json(tpmctl(&address, "flush --objects --yes"));
    assert_eq!(done["objects"][0]["handle"], format!("0x{key:08x}"));
    assert_eq!(done["flushed"].as_array().unwrap().len(), 2);
    assert!(tpm.objects().transient.is_empty());
    assert_eq!(tpm.objects().loaded_sessions, before.loaded_sessions);
    let done = json(tpmctl(&address, "flush --sessions --dry-run"));
    assert_eq!(done["sessions"][0]["handle"], format!("0x{hmac:08x}"));
    assert_eq!(done["flushed"].as_array().unwrap().len(), 0);
    let text = tpmctl(&address, "flush --yes").ok().out();
    assert!(text.contains("Flushed"), "{text}");
    tpm.assert_clean();
    // What is persistent stays.
    assert_eq!(tpm.raw().handles(0x8100_0000), [SRK]);
}

#[test]
fn flush_has_nothing_to_do_behind_a_resource_manager() {
    // It is known by its name and not opened.
    let address = "device:/nonexistent/tpmrm0";
    tpmctl(address, "flush")
        .ok()
        .says("resource manager")
        .says("device:/dev/tpm0");
    let done = json(tpmctl(address, "flush --yes"));
    assert_eq!(done["flushed"].as_array().unwrap().len(), 0);
}

/// A provider that runs meanwhile loads its key again.
#[test]
fn a_full_tpm_is_what_flush_is_for() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    key::rsa(&openssl, "key", 2048, "");
    for _ in 0..3 {
        tpm.raw().create_primary(OWNER, &STANDARD_PRIMARY);
    }
    let input = key::digest(&openssl, "sha256");
    let sign = format!("pkeyutl -sign -inkey key.pem -in {input} -out sig");
    openssl.fails(&sign).says("tpmctl flush");
    tpmctl(&tpm.address(), "flush --yes").ok();
    openssl.ok(&sign);
    tpm.assert_clean();
}

#[test]
fn completions_are_what_shells_read() {
    for shell in ["bash", "zsh", "fish"] {
        let script = without_tpm(&format!("completions {shell}")).ok().out();
        assert!(
            script.contains("tpmctl") && script.contains("parent-auth"),
            "{shell}"
        );
        if let Some(program) = tools::find(shell) {
            Run::new(program).arg("-n").stdin(script).ok();
        }
    }
    usage(without_tpm("completions tcsh"));
    usage(without_tpm("completions"));
}

#[test]
fn arguments_and_readers_that_go_away() {
    usage(without_tpm(""));
    usage(without_tpm("frobnicate"));
    usage(without_tpm("info --frobnicate"));
    let version = without_tpm("--version").ok().out();
    assert!(
        version.starts_with(concat!("tpmctl ", env!("CARGO_PKG_VERSION"))),
        "{version}"
    );
    refuses(
        without_tpm("key show /nonexistent").env("TPM_LOG", "loud"),
        "TPM_LOG",
    );
    for line in ["completions bash", "--help"] {
        let script = format!("set -o pipefail; {} {line} | true", tools::tpmctl());
        clean(Run::new("bash").arg("-c").arg(script))
            .ok()
            .never_says("panicked");
    }
}

fn manual() -> String {
    fs::read_to_string(root().join("docs/tpmctl.1.md")).expect("the man page")
}

/// The words after `Commands:` in a help text.
fn subcommands(help: &str) -> Vec<String> {
    let list = help.split_once("Commands:\n").map_or("", |(_, list)| list);
    list.lines()
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// The options in a text, `--` and all.
fn options(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.len() > 2 && word.starts_with("--"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn manual_and_help_agree() {
    let help = |line: &str| without_tpm(&format!("{line} --help")).ok().out();
    let mut commands = Vec::new();
    for command in subcommands(&help("")) {
        let inner = subcommands(&help(&command));
        if inner.is_empty() {
            commands.push(command);
        } else {
            commands.extend(inner.iter().map(|inner| format!("{command} {inner}")));
        }
    }
    let page = manual().replace("\\-", "-");
    let headings: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("## ")).collect();
    assert_eq!(headings, commands);
    // Definitions begin their lines; examples are of other programs, too.
    let described: String = page
        .lines()
        .filter(|line| line.starts_with("**-"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut offered = BTreeSet::new();
    for command in &commands {
        offered.extend(options(&help(command)));
    }
    offered.insert("--version".to_owned());
    assert_eq!(options(&described), offered);
}
