//! The pages docs/coming-from-*.md: every command as it is written.

use testkit::bench::Bench;
use testkit::openssl::{Config, Openssl};
use testkit::process::Run;
use testkit::swtpm12::Swtpm12;
use testkit::tcsd::Tcsd;
use testkit::tools::{need, root};

use super::{forms, ok, path, shell, signs, ssh_tpm_agent};

/// Runs the commands of a page, in their order; gives how many there are.
#[track_caller]
fn as_written(page: &str, run: impl Fn(&str) -> Run) -> usize {
    let page = root().join(format!("docs/coming-from-{page}.md"));
    let text = std::fs::read_to_string(&page).expect("the page");
    let commands: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    for command in &commands {
        run(command).ok();
    }
    commands.len()
}

#[test]
fn tpm2_tools() {
    let bench = Bench::without_srk();
    let dir = bench.openssl.dir();
    dir.write("data", "some text");
    dir.write("secret", "the secret");
    let count = as_written("tpm2-tools", |line| shell(&bench, line));
    assert_eq!(count, 17);
    signs(&bench, "www.key", "");
    for signature in ["ours.sig", "object.sig"] {
        bench.openssl.plain().ok(&format!(
            "dgst -sha256 -verify ours.pem -signature {signature} data"
        ));
    }
    signs(&bench, "handle:0x81020001", "");
    assert_eq!(dir.read_text("secret.out"), "the secret");
    bench.tpm.assert_clean();
}

#[test]
fn tpm2_pkcs11() {
    need("tpm2_ptool", "libtpm2-pkcs11-tools");
    let bench = Bench::without_srk();
    let dir = bench.openssl.dir();
    std::fs::create_dir(dir.join("store")).expect("a directory");
    dir.write("user.pin", "1234\n");
    dir.write("key.pin", "5678\n");
    let count = as_written("tpm2-pkcs11", |line| shell(&bench, line));
    assert_eq!(count, 8);
    signs(&bench, "www.key", "-passin file:user.pin");
    bench.tpm.assert_clean();
}

/// With files that ssh-tpm-keygen has made.
#[test]
fn ssh_tpm_agent() {
    let bench = ssh_tpm_agent::bench();
    let dir = bench.openssl.dir();
    for (sample, name) in [("ec.tpm", "id_ecdsa.tpm"), ("wrapped.tpm", "wrapped.tpm")] {
        dir.write(name, ssh_tpm_agent::sample(sample));
    }
    let count = as_written("ssh-tpm-agent", |line| shell(&bench, line));
    assert_eq!(count, 7);
    for key in ["plain.key", "wrapped.tpm", "id_ours.tpm"] {
        signs(&bench, key, "");
    }
    let told = shell(&bench, "ssh-keygen -l -f id_ours.pub").ok().out();
    assert!(told.contains("ECDSA"), "{told}");
    bench.tpm.assert_clean();
}

#[test]
fn engines() {
    let bench = Bench::new();
    ok(&bench, "key new -o key.tss");
    bench.openssl.dir().write("old.tss", forms::old(&bench));
    let count = as_written("engines", |line| shell(&bench, line));
    assert_eq!(count, 4);
    for key in ["key.tss", "new.tss", "mended.tss"] {
        signs(&bench, key, "");
    }
    bench.tpm.assert_clean();
}

#[test]
fn spire() {
    let bench = Bench::without_srk();
    let count = as_written("spire", |line| shell(&bench, line));
    assert_eq!(count, 5);
    let dir = bench.openssl.dir();
    ok(&bench, "key convert devid.key --to pair -o whole");
    for end in ["pub", "priv"] {
        let whole = dir.read(&format!("whole.{end}"));
        assert_eq!(dir.read(&format!("spire/devid.{end}")), whole[2..]);
    }
    signs(&bench, "devid.again", "");
    bench.tpm.assert_clean();
}

#[test]
fn simple_tpm_pk11() {
    let tpm = Swtpm12::owned_tcp();
    let tcsd = Tcsd::start(&tpm);
    let openssl = Openssl::without_tpm(Config::new()).env("TPM12_TCTI", &tcsd.address());
    let dir = openssl.dir();
    dir.write("data", "some text");
    need("stpm-keygen", "simple-tpm-pk11");
    let bench = Bench::new();
    let search = path(&bench);
    let run = |line: &str| {
        openssl
            .client("sh")
            .args(["-e", "-c", line])
            .env("PATH", &search)
            .env("TPM_TCTI", tcsd.address())
            .env("TPM12_TCTI", tcsd.address())
            .env("TSS_TCSD_HOSTNAME", "127.0.0.1")
            .env("TSS_TCSD_PORT", tcsd.port().to_string())
    };
    assert_eq!(as_written("simple-tpm-pk11", run), 7);
    dir.write("digest", [7; 32]);
    for (key, public) in [("my.pem", "my.pub"), ("ours.key", "ours.pub")] {
        openssl.ok(&format!("pkey -in {key} -pubout -out {public}"));
        openssl.ok(&format!(
            "pkeyutl -sign -inkey {key} -in digest -out sig -pkeyopt digest:sha256"
        ));
        openssl.plain().ok(&format!(
            "pkeyutl -verify -pubin -inkey {public} -in digest -sigfile sig -pkeyopt digest:sha256"
        ));
    }
}
