//! Where the log goes: for daemons whose standard error nobody reads, and whose clients show a reason at most.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use testkit::bench::Bench;
use testkit::cc;
use testkit::key::{self, SIGN};
use testkit::openssl::{Config, Openssl};
use testkit::process::Run;
use testkit::scratch::{Scratch, set_mode};
use testkit::tools::need;

use super::chroot::{Host, NO_MOUNTS, NOBODY, number};

/// A key with a PIN, and an openssl whose log goes to `target`.
fn bench(target: &str) -> Bench {
    let bench = Bench::with(Config::new().setting("log-to", target));
    key::generate(
        &bench.openssl,
        "key",
        "EC -pkeyopt group:P-256 -pkeyopt user-auth:4711",
    );
    key::digest(&bench.openssl, "sha256");
    bench
}

#[test]
fn errors_go_to_a_file_and_nowhere_else() {
    let logs = Scratch::new();
    let log = logs.join("tpm.log");
    let bench = bench(&format!("file:{}", log.display()));
    let openssl = &bench.openssl;
    for _ in 0..2 {
        let done = openssl.fails(&format!("{SIGN} -passin pass:"));
        assert!(!done.err().contains("tpm-provider["), "{done}");
    }
    let text = fs::read_to_string(&log).expect("made");
    assert!(text.lines().count() >= 2, "{text}");
    for line in text.lines() {
        // 2026-11-28T17:00:00Z tpm-provider[1]
        let (time, rest) = line.split_once(' ').expect("a time");
        assert!(
            time.starts_with("20") && time.ends_with('Z') && time.len() == 20,
            "{line}"
        );
        assert!(
            rest.starts_with("tpm-provider[") && rest.contains("] error: "),
            "{line}"
        );
    }
    assert!(
        text.contains("needs an authorization value") && !text.contains("4711"),
        "{text}"
    );
    assert_eq!(fs::metadata(&log).expect("made").mode() & 0o777, 0o600);
    // What works is no error, and a log that cannot be written is no obstacle.
    fs::remove_file(&log).expect("made");
    openssl.ok(&format!("{SIGN} -passin pass:4711"));
    assert!(!log.exists());
    std::os::unix::fs::symlink(logs.join("elsewhere"), &log).expect("a link");
    openssl.fails(&format!("{SIGN} -passin pass:"));
    assert!(!logs.join("elsewhere").exists(), "through a link");
}

/// Both sockets, in a mount namespace in which they are ours.
#[test]
fn errors_go_to_syslog_and_to_the_journal() {
    for (target, wanted) in [
        ("syslog", "<27>tpm-provider["),
        (
            "journal",
            "PRIORITY=3\nSYSLOG_IDENTIFIER=tpm-provider\nMESSAGE=",
        ),
    ] {
        let bench = bench(target);
        let dir = bench.openssl.dir();
        let socket = dir.join("socket");
        let reader = UnixDatagram::bind(&socket).expect("a socket");
        reader
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a limit");
        let script = dir.write(
            "inside",
            format!(
                "set -e\n\
                 mkdir dev; for node in null zero urandom random; do cp -a /dev/$node dev/; done\n\
                 ln -s {0} dev/log; mount --bind dev /dev\n\
                 mount -t tmpfs none /run; mkdir -p /run/systemd/journal; ln -s {0} /run/systemd/journal/socket\n\
                 exec openssl {SIGN} -passin pass:\n",
                socket.display()
            ),
        );
        let done = in_namespace(&bench.openssl, &script).fails();
        assert!(!done.err().contains("] error: "), "{done}");
        let mut buffer = [0; 4096];
        let size = reader.recv(&mut buffer).expect("a line");
        let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
        assert!(text.starts_with(wanted), "{text}");
        assert!(text.contains("needs an authorization value"), "{text}");
        // Nobody listens: nobody waits.
        drop(reader);
        in_namespace(&bench.openssl, &script).fails();
    }
}

fn in_namespace(openssl: &Openssl, script: &std::path::Path) -> Run {
    let _ = fs::remove_dir_all(openssl.dir().join("dev"));
    openssl
        .client(need("unshare", "util-linux"))
        .words("--mount --propagation private sh")
        .arg(script)
}

#[test]
fn a_target_that_is_none_is_a_fault_of_its_setting() {
    let bench = Bench::new();
    key::generate(&bench.openssl, "key", "EC -pkeyopt group:P-256");
    for wrong in ["file:tpm.log", "stdout", "/var/log/tpm.log"] {
        let conf = Config::new().setting("log-to", wrong).text();
        bench.openssl.dir().write("wrong.cnf", conf);
        bench
            .openssl
            .run("pkey -in key.pem -noout")
            .env("OPENSSL_CONF", bench.openssl.dir().join("wrong.cnf"))
            .fails()
            .says("bad setting")
            .says("expected stderr, syslog, journal or file:");
    }
}

/// What a host says once it has changed its root, that its TPM is out of reach, is written below the new root and nowhere
/// else: for a log nothing is held that would lead out.
#[test]
fn a_host_in_a_new_root_has_its_log_there() {
    let outside = Scratch::new();
    set_mode(outside.path(), 0o777);
    let file = outside.join("tpm.log");
    for target in ["syslog", "journal", &format!("file:{}", file.display())] {
        let host = Host::new(Config::new().setting("log-to", target));
        let with_log = host.run("ec.pem", NOBODY, "");
        let bare = Host::new(Config::new()).run("ec.pem", NOBODY, "");
        assert_eq!(
            number(&with_log.out(), "descriptors"),
            number(&bare.out(), "descriptors"),
            "{target}"
        );
        let inside = |path: &str| host.jail.join(path.trim_start_matches('/'));
        let (text, reason) = match target {
            "syslog" | "journal" => {
                let path = match target {
                    "syslog" => inside("/dev/log"),
                    _ => inside("/run/systemd/journal/socket"),
                };
                fs::create_dir_all(path.parent().expect("a directory")).expect("made");
                let socket = UnixDatagram::bind(&path).expect("a socket");
                set_mode(&path, 0o666);
                let limit = Some(Duration::from_secs(20));
                socket.set_read_timeout(limit).expect("a limit");
                let done = host.run("ec.pem", NO_MOUNTS, "sign");
                let mut buffer = [0; 4096];
                let size = socket.recv(&mut buffer).expect("a line");
                (
                    String::from_utf8_lossy(&buffer[..size]).into_owned(),
                    done.err(),
                )
            }
            _ => {
                let log = inside(&file.display().to_string());
                let directory = log.parent().expect("a directory");
                fs::create_dir_all(directory).expect("made");
                set_mode(directory, 0o777);
                let done = host.run("ec.pem", NO_MOUNTS, "sign");
                let made = fs::metadata(&log).expect("made");
                assert_eq!((made.uid(), made.mode() & 0o777), (65534, 0o600));
                (fs::read_to_string(&log).expect("readable"), done.err())
            }
        };
        for text in [text, reason] {
            assert!(
                text.contains("changed its root directory"),
                "{target}: {text}"
            );
        }
        assert!(!file.exists(), "{target}");
        // Where there is none, all is as without: the operation fails for its own reason and does not wait.
        let host = Host::new(Config::new().setting("log-to", target));
        let done = host.run("ec.pem", NO_MOUNTS, "sign");
        assert!(
            done.err().contains("changed its root directory"),
            "{done:#}"
        );
        // Another TPM: the host has tried to link to the lock file of that one.
        let host = Host::new(Config::new().setting("log-to", target));
        let done = host.run("ec.pem", NOBODY, "sign");
        assert!(done.status.success(), "{done:#}");
    }
}

const FORKS: &str = r#"
/* forks KEY.pem: a parent and its children, each with four signatures that are refused, children of a thread that signs
   meanwhile among them. Prints their process ids. */
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

static EVP_PKEY *key;

static void *refused(void *unused)
{
    unsigned char out[8], digest[8] = {0};
    size_t len;
    int n;

    for (n = 0; n < 4; n++) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
        len = sizeof(out);
        if (EVP_PKEY_sign_init(ctx) != 1 || EVP_PKEY_sign(ctx, out, &len, digest, sizeof(digest)) == 1)
            _exit(1);
        EVP_PKEY_CTX_free(ctx);
    }
    return unused;
}

int main(int argc, char **argv)
{
    FILE *file = fopen(argv[argc - 1], "r");
    pthread_t thread;
    int n, status;

    key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    if (key == NULL)
        return 1;
    /* OpenSSL's own locks are taken where something is fetched for the first time, and no child would get them. */
    refused(NULL);
    pthread_create(&thread, NULL, refused, NULL);
    for (n = 0; n < 8; n++) {
        pid_t pid = fork();
        if (pid == 0) {
            refused(NULL);
            _exit(0);
        }
        printf("%d\n", (int)pid);
    }
    pthread_join(thread, NULL);
    for (n = 0; n < 8; n++)
        if (wait(&status) < 0 || status != 0)
            return 1;
    printf("%d\n", (int)getpid());
    return 0;
}
"#;

/// Every process writes whole lines under its own number, also one that was forked while a thread of its parent wrote.
#[test]
fn forked_processes_write_whole_lines_of_their_own() {
    let logs = Scratch::new();
    let log = logs.join("tpm.log");
    for target in [format!("file:{}", log.display()), "stderr".to_owned()] {
        let bench = Bench::with(Config::new().setting("log-to", &target));
        let openssl = &bench.openssl;
        key::generate(openssl, "key", "EC -pkeyopt group:P-256");
        let program = cc::compile_text(openssl.dir(), "forks", FORKS, "-lcrypto -lpthread");
        let done = openssl.client(program).arg("key.pem").ok();
        let text = match target.as_str() {
            "stderr" => done.err(),
            _ => fs::read_to_string(&log).expect("made"),
        };
        let out = done.out();
        let (children, parent) = out
            .trim_end()
            .rsplit_once('\n')
            .expect("children and a parent");
        let lines = |pid: &str| {
            let named = format!("tpm-provider[{pid}] error: ");
            text.matches(&named).count()
        };
        for pid in children.lines() {
            assert_eq!(lines(pid), 4, "{pid}: {text}");
        }
        assert_eq!(lines(parent), 8, "{text}");
        assert_eq!(text.lines().count(), 8 * 4 + 8, "{text}");
        bench.tpm.assert_clean();
    }
}
