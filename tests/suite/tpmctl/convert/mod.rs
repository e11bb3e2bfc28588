//! Keys of other tools, taken over, and ours in their hands. Each is made by its own tool, signs after `convert`, and an
//! OpenSSL without the provider verifies.

mod documents;
mod forms;
mod pairs;
mod refusals;
mod ssh_tpm_agent;
mod store;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use testkit::bench::Bench;
use testkit::process::Run;
use testkit::tools::{need, tpmctl};

use super::{fails, ok};

/// tpm2-tools leave what they load in a TPM without a resource manager, and tpm2_ptool runs them by the dozen: each of these
/// runs one, and flushes then.
const TOOLS: [&str; 12] = [
    "changeauth",
    "create",
    "createprimary",
    "evictcontrol",
    "getcap",
    "import",
    "load",
    "loadexternal",
    "readpublic",
    "sign",
    "testparms",
    "unseal",
];

/// A PATH on which tpm2-tools flush behind them, and `tpmctl` is the one under test.
fn path(bench: &Bench) -> String {
    let dir = bench.openssl.dir().join("flushing");
    if !dir.exists() {
        std::fs::create_dir(&dir).expect("a directory");
        let flush = need("tpm2_flushcontext", "tpm2-tools");
        for tool in TOOLS {
            let real = need(&format!("tpm2_{tool}"), "tpm2-tools");
            let script = format!(
                "#!/bin/sh\n{} \"$@\"\nstatus=$?\n{} -t\nexit $status\n",
                real.display(),
                flush.display()
            );
            let file = bench
                .openssl
                .dir()
                .write(&format!("flushing/tpm2_{tool}"), script);
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(file, mode).expect("its mode");
        }
    }
    let ours = PathBuf::from(tpmctl());
    let ours = ours.parent().expect("a directory").display().to_string();
    let others = std::env::var("PATH").expect("a PATH");
    format!("{}:{ours}:{others}", dir.display())
}

/// A line of a shell, in the directory of the bench and with its TPM.
fn shell(bench: &Bench, line: &str) -> Run {
    let run = bench
        .openssl
        .client("sh")
        .args(["-e", "-c", line])
        .env("PATH", path(bench))
        .env("TPM_TCTI", bench.tap.address())
        .env("TPM2TOOLS_TCTI", bench.tpm.address());
    match line.starts_with("tpm2_") {
        // Python's cryptography wants the legacy provider, which OPENSSL_MODULES hides.
        true => run
            .env_remove("OPENSSL_MODULES")
            .env("OPENSSL_CONF", "/dev/null"),
        false => run,
    }
}

/// Lines of another tool.
#[track_caller]
fn theirs(bench: &Bench, lines: &str) {
    for line in lines.lines() {
        shell(bench, line.trim()).ok();
    }
}

/// A signature with a key file or URI that OpenSSL alone verifies with the public half.
#[track_caller]
fn signs(bench: &Bench, key: &str, options: &str) {
    bench.openssl.dir().write("digest", [7; 32]);
    bench
        .openssl
        .ok(&format!("pkey -in {key} -pubout -out its.pub {options}"));
    bench.openssl.ok(&format!(
        "pkeyutl -sign -inkey {key} -in digest -out sig -pkeyopt digest:sha256 {options}"
    ));
    bench
        .openssl
        .plain()
        .ok("pkeyutl -verify -pubin -inkey its.pub -in digest -sigfile sig -pkeyopt digest:sha256");
}

/// What `key show` says of a file's parent.
fn parent_of(bench: &Bench, key: &str) -> String {
    super::json(bench, &format!("key show {key}"))["parent"]
        .as_str()
        .expect("a parent")
        .to_owned()
}
