//! Text that others wrote - key files, settings, names of files and processes - cannot steer a terminal, pass for ours
//! or hide what is said, wherever it is shown or asked with.

use keys::tss2::{AuthPolicy, KeyFile, PolicyCommand};
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use testkit::key;
use testkit::openssl::{Config, Openssl, clean};
use testkit::process::{Done, Run};
use testkit::swtpm::Swtpm;
use testkit::tools::{self, need};

/// Clears the screen, sets the window's title, begins a line of its own, turns the reading direction, switches colours
/// by one C1 character, and says the rest at length.
fn evil() -> String {
    format!(
        "\u{1b}[2J\u{1b}]0;owned\u{7}\nFORGED LINE\r\u{202e}gnp.exe\u{2066}\u{9b}31m\u{2028}FORGED\u{7f}\u{200b}\u{feff}\
         {}",
        "A".repeat(10_000)
    )
}

/// Asserts that what a command said is text for people: nothing that steers, no line that another has begun, nothing
/// that fills the screen.
#[track_caller]
fn harmless(done: &Done) {
    harmless_text(&done.stdout);
    harmless_text(&done.stderr);
}

#[track_caller]
fn harmless_text(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|e| panic!("{e}: {bytes:x?}"));
    for char in text.chars() {
        let steers = char.is_control() && char != '\n' && char != '\t';
        let hides = matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{61c}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
        assert!(!steers && !hides, "{char:?} in {text:?}");
    }
    for line in text.lines() {
        assert!(!line.trim_start().starts_with("FORGED"), "{text:?}");
        assert!(
            line.len() < 2000,
            "a line of {} bytes: {line:.200}",
            line.len()
        );
    }
}

/// Asserts that this much of it can be read all the same.
#[track_caller]
fn names_it(done: &Done) {
    let text = done.out() + &done.err();
    assert!(text.contains("gnp.exe"), "{done}");
}

fn tpmctl(openssl: &Openssl, line: &str) -> Run {
    openssl.client(tools::tpmctl()).words(line)
}

/// `key.pem`, whose author has taken trouble with every text in it.
fn evil_key(openssl: &Openssl) -> KeyFile {
    openssl.ok(
        "genpkey -propquery provider=tpm -algorithm RSA -pkeyopt bits:2048 -pkeyopt user-auth:pin -out key.pem",
    );
    let mut file = KeyFile::from_pem(&openssl.dir().read("key.pem")).expect("a key file");
    file.description = Some(evil());
    openssl.dir().write("key.pem", file.to_pem());
    file
}

#[test]
fn a_key_file_s_description_and_names() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    let mut file = evil_key(&openssl);
    let done = tpmctl(&openssl, "key show key.pem").ok();
    harmless(&done);
    names_it(&done);
    let done = tpmctl(&openssl, "key show key.pem --json").ok();
    harmless_json(&done);
    let value: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(value["description"], evil(), "nothing is lost in JSON");
    harmless(
        &openssl
            .run("pkey -in key.pem -passin pass:pin -noout -text")
            .ok(),
    );

    file.auth_policies = vec![AuthPolicy {
        name: Some(evil()),
        policy: vec![PolicyCommand {
            code: 0x16a,
            body: evil().into_bytes(),
        }],
    }];
    openssl.dir().write("policy.pem", file.to_pem());
    let done = tpmctl(&openssl, "key show policy.pem").ok();
    harmless(&done);
    names_it(&done);
    harmless_json(&tpmctl(&openssl, "key show policy.pem --json").ok());
    harmless(&openssl.fails("pkey -in policy.pem -passin pass:pin -noout -text"));
    tpm.assert_clean();
}

/// JSON has long lines.
#[track_caller]
fn harmless_json(done: &Done) {
    let text = std::str::from_utf8(&done.stdout).expect("UTF-8");
    let steers = |char: &char| {
        char.is_control() && *char != '\n' || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}')
    };
    assert_eq!(text.chars().find(steers), None, "{done}");
}

/// The prompt is where a lie is worth most: it is the question after which a PIN is typed.
#[test]
fn a_prompt() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    evil_key(&openssl);
    key::digest(&openssl, "sha256");
    // Without a terminal openssl asks on standard error.
    let done = openssl
        .client(need("setsid", "util-linux"))
        .arg(testkit::openssl::program())
        .words(key::SIGN)
        .stdin("pin\n")
        .ok();
    harmless(&done);
    names_it(&done);
    let prompt = done.err();
    assert!(
        prompt.contains("TPM key (\"") && prompt.len() < 300,
        "{prompt}"
    );
    tpm.assert_clean();
}

#[test]
fn errors_of_the_provider_and_its_log() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::new(&tpm.address());
    let genpkey = |options: &[String]| {
        openssl
            .run("genpkey -propquery provider=tpm -algorithm RSA -out key.pem")
            .args(options)
            .env("TPM_LOG", "trace")
    };
    let option = |name: &str| ["-pkeyopt".to_owned(), format!("{name}:{}", evil())];
    for name in ["parent", "digest", "tpm", "bits"] {
        harmless_of_ours(&genpkey(&option(name)).fails());
    }
    let secret = ["-pkeyopt".to_owned(), format!("user-auth:file:{}", evil())];
    harmless_of_ours(&genpkey(&secret).fails());
    let wrong = format!("handle:0x81000001?{}", evil());
    harmless_of_ours(&openssl.run("storeutl -keys").arg(wrong).fails());
    for setting in ["TPM_TCTI", "TPM_LOG", "TPM_PARENT_AUTH"] {
        let done = openssl
            .run("genpkey -propquery provider=tpm -algorithm RSA -out key.pem")
            .env(setting, format!("file:{}", evil()))
            .fails();
        harmless(&done);
    }
    tpm.assert_clean();
}

/// OpenSSL's own lines repeat its arguments as they are; those with our name do not.
#[track_caller]
fn harmless_of_ours(done: &Done) {
    let ours: Vec<&[u8]> = done
        .stderr
        .split(|&byte| byte == b'\n')
        .filter(|line| {
            let text = String::from_utf8_lossy(line);
            text.contains("tpm-provider")
        })
        .collect();
    assert!(!ours.is_empty(), "{done}");
    harmless_text(&ours.join(&b'\n'));
}

#[test]
fn labels_words_and_names_of_files() {
    let openssl = Openssl::without_tpm(Config::new());
    let dir = openssl.dir();
    let label = evil().replace(['\n', '\r'], "");
    dir.write(
        "label.pem",
        format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"),
    );
    let done = tpmctl(&openssl, "key show label.pem").fails();
    harmless(&done);
    names_it(&done);
    dir.write(
        "invalid.pem",
        [b"-----BEGIN \xff\xfe\x9b31m gnp.exe", &b"-----\n"[..]].concat(),
    );
    let done = tpmctl(&openssl, "key show invalid.pem").fails();
    harmless(&done);
    names_it(&done);
    let word = label.replace(char::is_whitespace, "");
    dir.write(
        "words.key",
        format!("exp 010001\nmod 00\nblob 00\n{word} 00\n"),
    );
    let done = tpmctl(&openssl, "key show words.key").fails();
    harmless(&done);
    names_it(&done);

    // Names are chosen by whoever made the file, in every form that a file system takes.
    let short: String = evil().chars().take(60).collect();
    let mut name = short.into_bytes();
    name.extend_from_slice(b"\xff\xfe.pem");
    let name = OsString::from_vec(name);
    let missing = tpmctl(&openssl, "key show").arg(&name).fails();
    harmless(&missing);
    names_it(&missing);
    fs::write(dir.path().join(&name), "nothing").expect("a file of that name");
    for line in ["key show", "key import", "key new -o"] {
        let done = tpmctl(&openssl, line).arg(&name).fails();
        harmless(&done);
        names_it(&done);
    }
}

#[test]
fn what_info_and_doctor_have_read() {
    let tpm = Swtpm::start();
    let text = evil().replace('\n', " ");
    let evil_setting = |name: &str| {
        let mut config = Config::new().text();
        config = config.replace("[tpm_sect]\n", &format!("[tpm_sect]\n{name} = {text}\n"));
        let openssl = Openssl::without_tpm(Config::new());
        openssl.dir().write("openssl.cnf", config);
        openssl
    };
    for name in ["tcti", "sessions", "parent-name", "timeout", "parent-auth"] {
        let openssl = evil_setting(name);
        for command in ["info", "doctor", "version", "key new"] {
            let done = tpmctl(&openssl, command)
                .args((name != "tcti").then(|| format!("--tcti={}", tpm.address())))
                .done();
            harmless(&done);
        }
        let done = tpmctl(&openssl, "doctor --json").done();
        harmless_json(&done);
    }
    // Another machine's files, and the name of the process that has its TPM.
    let openssl = Openssl::without_tpm(Config::new());
    let root = openssl.dir().join("root");
    let file = |path: &str, content: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, content).expect("written");
    };
    file("nodes", "/dev/tpm0 21b0 108 0\n/dev/tpmrm0 21b0 108 109\n");
    file("proc/4711/comm", &evil());
    file("proc/4711/cmdline", &evil());
    file(
        "proc/4711/status",
        &format!("Name:\t{text}\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n"),
    );
    fs::create_dir_all(root.join("proc/4711/fd")).expect("made");
    std::os::unix::fs::symlink("/dev/tpm0", root.join("proc/4711/fd/3")).expect("a link");
    file("sys/class/tpm/tpm0/tpm_version_major", &evil());
    file("sys/class/tpm/tpm0/device/description", &evil());
    file(
        "sys/class/tpm/tpm0/device/uevent",
        &format!("DRIVER={text}\n"),
    );
    file("etc/passwd", &format!("{text}:x:0:0:{text}:/:/bin/sh\n"));
    file("etc/group", &format!("{text}:x:0:{text}\n"));
    let doctor = || {
        clean(Run::new(tools::tpmctl()))
            .env("OPENSSL_CONF", "/dev/null")
            .words("doctor --root")
            .arg(&root)
    };
    harmless(&doctor().done());
    harmless_json(&doctor().arg("--json").done());
    harmless(&doctor().args(["--user", &evil()]).done());
    tpm.assert_clean();
}
