//! How the command speaks: one width of lines, examples, values that shells offer, hints that can be pasted, a signal that is
//! acknowledged; and TPM 1.2 as well as 2.0.

use serde_json::Value;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;
use testkit::openssl::{Openssl, clean};
use testkit::process::{Daemon, Run, unbroken, wait_for};
use testkit::proxy::{Action, Fault, Proxy};
use testkit::scratch::Scratch;
use testkit::swtpm::Swtpm;
use testkit::swtpm12::Swtpm12;
use testkit::tools::{self, need, root};
use testkit::tpm::cc;

fn tpmctl(address: &str, line: &str) -> Run {
    clean(Run::new(tools::tpmctl()))
        .env("OPENSSL_CONF", "/dev/null")
        .env("TPM_TCTI", address)
        .words(line)
}

/// Commands with subcommands below them, as the man page has them.
fn commands() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/tpmctl.1.md")).expect("the man page");
    page.lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(|heading| *heading != "help")
        .map(str::to_owned)
        .collect()
}

/// Lines of a text that are too long, but for those that are to be copied and words that cannot be broken.
fn too_long(text: &str, width: usize) -> Vec<&str> {
    text.lines()
        .filter(|line| line.chars().count() > width)
        .filter(|line| {
            !line.starts_with("  openssl ")
                && !line.starts_with("  tpmctl ")
                && !line.starts_with("  sudo ")
        })
        .filter(|line| {
            let (head, word) = line.rsplit_once(' ').unwrap_or(("", line));
            !(word.chars().count() > 40 && head.split_whitespace().count() <= 2)
        })
        .collect()
}

#[test]
fn text_is_as_wide_as_the_terminal_and_80_columns_without_one() {
    let tpm = Swtpm::start();
    let dir = Scratch::new();
    let old = Swtpm12::owned();
    for (address, line) in [
        (tpm.address(), "info -a"),
        (tpm.address(), "doctor"),
        (tpm.address(), "key new -f -o key.pem"),
        (tpm.address(), "key show key.pem"),
        (tpm.address(), "key test key.pem"),
        (tpm.address(), "key show missing.pem"),
        (tpm.address(), "srk create"),
        (tpm.address(), "key new -f -o key.pem --parent 0x81000009"),
        (old.address(), "info -a"),
        (old.address(), "key new -f -o old.pem"),
        (old.address(), "key show old.pem"),
        (old.address(), "srk create"),
    ] {
        let done = tpmctl(&address, line).dir(dir.path()).done();
        for text in [done.out(), done.err()] {
            // Doctor's commands are not broken either.
            let text: Vec<&str> = text
                .lines()
                .filter(|l| !l.trim_start().starts_with("$ "))
                .collect();
            let text = text.join("\n");
            assert_eq!(too_long(&text, 80), Vec::<&str>::new(), "{line}\n{text}");
        }
    }
    for command in commands() {
        let help = tpmctl("", &format!("{command} --help")).ok().out();
        assert_eq!(too_long(&help, 80), Vec::<&str>::new(), "{command}\n{help}");
    }
    // On a terminal of another width: script(1) has one.
    for columns in [60, 120] {
        for line in ["info", "key show missing.pem", "key new --help"] {
            let shell = format!("stty rows 24 columns {columns}; {} {line}", tools::tpmctl());
            let done = clean(Run::new(need("script", "bsdutils")))
                .args(["-qec", &shell, "/dev/null"])
                .env("TPM_TCTI", tpm.address())
                .env("OPENSSL_CONF", "/dev/null")
                .dir(dir.path())
                .done();
            let out = done
                .out()
                .replace('\r', "")
                .replace("\u{1b}[0m", "")
                .replace("\u{1b}[1m", "");
            let out = out.replace("\u{1b}[4m", "");
            assert_eq!(
                too_long(&out, columns),
                Vec::<&str>::new(),
                "{columns} {line}\n{out}"
            );
            if columns > 80 && line == "key new --help" {
                assert!(
                    out.lines().any(|l| l.chars().count() > 80),
                    "{columns} {line}\n{out}"
                );
            }
        }
    }
}

#[test]
fn every_help_has_an_example_and_help_is_a_command() {
    for command in commands() {
        let help = tpmctl("", &format!("{command} --help")).ok().out();
        assert!(help.contains("Example"), "{command}\n{help}");
        assert!(
            help.contains(&format!("tpmctl {command}")) || help.contains("tpmctl --tcti"),
            "{command}\n{help}"
        );
        let same = tpmctl("", &format!("help {command}")).ok().out();
        assert!(same.contains("Example"), "{command}\n{same}");
    }
    for line in ["help", "--help", "key --help", "srk --help", "owner --help"] {
        let help = tpmctl("", line).ok().out();
        assert!(help.contains("Example"), "{line}\n{help}");
    }
    assert_eq!(tpmctl("", "help frobnicate").done().status.code(), Some(2));
}

/// The commands in the examples are taken, as far as the arguments go.
#[test]
fn both_versions_begin_with_our_own() {
    let own = tpmctl("", "--version").ok().out();
    let tpm = Swtpm::start();
    let old = Swtpm12::owned();
    for address in [tpm.address(), old.address()] {
        let text = tpmctl(&address, "version").ok().out();
        assert!(text.starts_with(&own), "{own}\n{text}");
        assert!(
            text.lines()
                .nth(1)
                .is_some_and(|line| line.contains("Version Info")),
            "{text}"
        );
        let done = tpmctl(&address, "version --json").ok();
        let json: Value = serde_json::from_slice(&done.stdout).expect("JSON");
        assert_eq!(
            format!("tpmctl {}\n", json["tpmctl"].as_str().unwrap()),
            own
        );
        assert!(json["family"].is_string());
    }
    // Without a TPM to ask, too.
    let done = tpmctl("swtpm:path=/nonexistent/tpm", "version").fails();
    assert_eq!(done.out(), own);
}

#[test]
fn shells_offer_values() {
    let script = tpmctl("", "completions bash").ok().out();
    let dir = Scratch::new();
    dir.write("completions", script);
    let offered = |words: &[&str]| {
        let line: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let text = format!(
            "source ./completions; COMP_WORDS=({}); COMP_CWORD={}; _tpmctl tpmctl '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            line.join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        Run::new("bash")
            .arg("-c")
            .arg(text)
            .dir(dir.path())
            .ok()
            .out()
    };
    for (words, values) in [
        (
            &["tpmctl", "key", "new", "--curve", ""][..],
            &["P-256", "P-384", "brainpoolP256r1"][..],
        ),
        (
            &["tpmctl", "key", "new", "--digest", ""],
            &["sha256", "sha384"],
        ),
        (&["tpmctl", "key", "new", "--tpm", ""], &["1.2", "2.0"]),
        (
            &["tpmctl", "key", "new", "--parent", ""],
            &["owner", "0x81000001"],
        ),
        (&["tpmctl", "key", "new", "--type", ""], &["ec", "rsa"]),
        (
            &["tpmctl", "srk", "trust", "--parent", ""],
            &["endorsement"],
        ),
        (&["tpmctl", "key", "public", "--form", ""], &["pem", "ssh"]),
        (&["tpmctl", "completions", ""], &["bash", "zsh", "fish"]),
    ] {
        let reply = offered(words);
        for value in values {
            assert!(
                reply.split_whitespace().any(|it| it == *value),
                "{words:?}: {value} in {reply}"
            );
        }
    }
    for (shell, value) in [("zsh", "brainpoolP256r1"), ("fish", "sha384")] {
        let script = tpmctl("", &format!("completions {shell}")).ok().out();
        assert!(script.contains(value), "{shell}");
    }
}

/// A real chip takes half a minute for an RSA key: the first Ctrl-C is answered at once.
#[test]
fn the_first_signal_is_acknowledged() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let tpm = Swtpm::start();
        let tap = Proxy::start(&tpm);
        tap.inject(Fault::on(cc::CREATE, Action::Hold));
        let dir = Scratch::new();
        let said = File::create(dir.join("said")).expect("a file");
        let mut run = tpmctl(&tap.address(), "key new -o key.pem").dir(dir.path());
        run.command.stdin(Stdio::null()).stderr(said);
        let mut daemon = Daemon::spawn(&mut run.command);
        wait_for("the command", Duration::from_secs(30), || {
            tap.holding() == 1
        });
        daemon.signal(signal);
        wait_for("an answer", Duration::from_secs(10), || {
            unbroken(&dir.read_text("said")).contains("this ends when it is done")
        });
        assert!(daemon.ended().is_none());
        tap.heal();
        let status = daemon.wait(Duration::from_secs(30)).expect("it ends");
        assert_eq!(status.code(), Some(128 + signal));
        tpm.assert_clean();
    }
}

/// The next command works as it is told, for keys with a PIN, too.
#[test]
fn what_is_told_to_be_next_works() {
    let tpm = Swtpm::start();
    let openssl = Openssl::new(&tpm.address());
    let dir = openssl.dir();
    dir.write("my pin", "1234\n");
    for auth in ["file:my pin", "1234"] {
        let done = tpmctl(&tpm.address(), "key new -f -o key.pem --auth")
            .arg(auth)
            .dir(dir.path())
            .ok();
        let written = done.err();
        let request = written
            .lines()
            .find_map(|l| l.strip_prefix("  openssl "))
            .expect("a command");
        assert_eq!(
            request.contains("-passin 'file:my pin'"),
            auth.starts_with("file:"),
            "{written}"
        );
        assert!(!written.contains("1234"), "{written}");
        if auth.starts_with("file:") {
            let shell = format!("exec openssl {request}");
            openssl.client("sh").args(["-c", &shell]).ok();
            openssl.plain().ok("req -in key.csr -verify -noout");
        } else {
            done.says("the authorization value is asked");
        }
    }
    tpm.assert_clean();
}

#[test]
fn a_tpm_1_2_is_served() {
    for tpm in [Swtpm12::owned(), Swtpm12::unowned()] {
        let text = unbroken(&tpmctl(&tpm.address(), "info").ok().out());
        for part in [
            "State",
            &tpm.address(),
            "not locked",
            "Storage root key",
            "key slots",
            "1.2",
            "tpmctl info -a",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let done = tpmctl(&tpm.address(), "info --json").ok();
        let info: Value = serde_json::from_slice(&done.stdout).expect("JSON");
        assert_eq!(info["tpm"]["family"], "1.2");
        assert_eq!(info["lockout"]["in_lockout"], false);
        assert_eq!(info["address"]["sharing"], "bare");
        assert_eq!(info["owned"], text.contains("the TPM has an owner"));
        let nothing = tpmctl(&tpm.address(), "flush").ok().out();
        assert!(nothing.contains("Nothing to flush"), "{nothing}");
        tpm.assert_clean();
    }
    // TPM_OIAP, by a program that left its session behind.
    let tpm = Swtpm12::owned();
    let session = |tpm: &Swtpm12| {
        let answer = tpm.ask(0x0A, &[]);
        u32::from_be_bytes(answer[..4].try_into().expect("a handle"))
    };
    let (one, two) = (session(&tpm), session(&tpm));
    tpmctl(&tpm.address(), "flush").fails().says("--yes");
    let done = tpmctl(&tpm.address(), "flush --json --sessions --yes").ok();
    let outcome: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    for handle in [one, two] {
        let handle = Value::from(format!("0x{handle:08x}"));
        assert!(
            outcome["flushed"]
                .as_array()
                .expect("a list")
                .contains(&handle),
            "{outcome}"
        );
    }
    tpm.assert_clean();
    // What is for TPM 2.0 alone says what else there is.
    tpmctl(&tpm.address(), "srk create")
        .fails()
        .says("this is a TPM 1.2");
}

/// `umask 077`, and a directory whose name has blanks and quotes.
#[test]
fn what_is_installed_is_everybody_s_wherever_it_goes() {
    let dir = Scratch::new();
    for (umask, name) in [("077", "plain"), ("077", "a b"), ("027", "it's $HOME")] {
        let to = dir.join(name);
        let make = |target: &str| {
            let script = format!("umask {umask}; exec make -s \"$@\" {target}");
            let module = dir.write("tpm.so", "a module");
            Run::new("sh")
                .args(["-c", &script, "sh"])
                .arg(format!(
                    "DESTDIR={}",
                    to.display().to_string().replace('$', "$$")
                ))
                .arg("MODULESDIR=/usr/lib/ossl-modules")
                .arg(format!("MODULE={}", module.display()))
                .arg(format!("TPMCTL={}", tools::tpmctl()))
                .dir(root())
                .ok()
        };
        make("install");
        let mut files = 0;
        let mut second_name = None;
        let mut directories = vec![to.join("usr")];
        while let Some(directory) = directories.pop() {
            let mode = fs::metadata(&directory)
                .expect("a directory")
                .permissions()
                .mode();
            assert_eq!(mode & 0o755, 0o755, "{}", directory.display());
            for entry in fs::read_dir(&directory).expect("readable").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let mode = fs::metadata(&path).expect("a file").permissions().mode();
                assert_eq!(mode & 0o444, 0o444, "{}", path.display());
                if path.ends_with("pkcs11/tpm.so") {
                    second_name = Some(path);
                }
                files += 1;
            }
        }
        assert!(files > 20, "{files}");
        for file in [
            "usr/lib/ossl-modules/tpm.so",
            "usr/local/bin/tpmctl",
            "usr/local/share/zsh/site-functions/_tpmctl",
        ] {
            let mut content = Vec::new();
            File::open(to.join(file))
                .expect(file)
                .read_to_end(&mut content)
                .expect(file);
            assert!(!content.is_empty(), "{file}");
        }
        let second_name = second_name.expect("the PKCS#11 module");
        assert!(second_name.is_symlink());
        let one = fs::canonicalize(to.join("usr/lib/ossl-modules/tpm.so")).expect("the module");
        assert_eq!(fs::canonicalize(&second_name).expect("the module"), one);
        let p11_kit = to.join("usr/local/share/p11-kit/modules/tpm-provider.module");
        let p11_kit = fs::read_to_string(p11_kit).expect("p11-kit's file");
        assert!(p11_kit.contains("\nmodule: /usr/local/lib"), "{p11_kit}");
        make("uninstall");
        assert!(!second_name.is_symlink());
        assert!(!to.join("usr/lib/ossl-modules/tpm.so").exists());
        assert!(!to.join("usr/local/share/doc/tpm-provider").exists());
    }
}
