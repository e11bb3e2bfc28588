//! Where the log goes: for daemons whose standard error nobody reads, and whose clients show a reason at most.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use testkit::bench::Bench;
use testkit::key::{self, SIGN};
use testkit::openssl::{Config, Openssl};
use testkit::process::Run;
use testkit::scratch::Scratch;
use testkit::tools::need;

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
