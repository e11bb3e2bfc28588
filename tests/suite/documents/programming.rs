//! docs/programming.md and the examples it is about.

use std::path::Path;

use testkit::bench::Bench;
use testkit::key;
use testkit::machine::commands;
use testkit::process::Run;
use testkit::tools::{need, root, tpmctl};

#[path = "../../../docs/examples/sign.rs"]
#[allow(dead_code, reason = "its `main` is for readers")]
mod sign;

/// A shell that finds tpmctl.
fn shell(bench: &Bench, line: &str) -> Run {
    let directory = Path::new(tpmctl()).parent().expect("a directory");
    let path = std::env::var("PATH").expect("PATH");
    bench
        .openssl
        .client("sh")
        .args(["-ec", line])
        .env("PATH", format!("{}:{path}", directory.display()))
}

/// The C example, compiled as the page says, in the directory of a bench.
fn compiled() -> Bench {
    need("cc", "gcc");
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    let text = std::fs::read(root().join("docs/examples/sign.c")).expect("the example");
    dir.write("sign.c", text);
    dir.write("message", "a message");
    let page = commands("docs/programming.md", "## C", "## Rust");
    shell(&bench, &page[0]).ok();
    bench
}

fn verified(bench: &Bench, public: &str) {
    bench.openssl.plain().ok(&format!(
        "dgst -sha256 -verify {public} -signature message.sig message"
    ));
}

#[test]
fn the_c_example_as_the_page_has_it() {
    let bench = compiled();
    let dir = bench.openssl.dir();
    let lines = commands("docs/programming.md", "## C", "## Rust");
    assert_eq!(lines.len(), 8, "{lines:?}");
    let mut signed = 0;
    for line in &lines[1..] {
        bench.tap.reset();
        shell(&bench, line).ok();
        if line.contains("message.sig") && line.starts_with("./sign") {
            signed += 1;
            assert_eq!(bench.tap.counts().of("Sign"), 1, "{line}");
            shell(&bench, "tpmctl key public tpm.key >judge.pub").ok();
            verified(&bench, "judge.pub");
            std::fs::rename(dir.join("message.sig"), dir.join("last.sig")).expect("renamed");
            std::fs::copy(dir.join("last.sig"), dir.join("message.sig")).expect("copied");
        }
    }
    assert_eq!(signed, 3);
    bench.tpm.assert_clean();
}

/// RSA too, a software key, and what goes wrong: said, with nothing lost.
#[test]
fn the_c_example_frees_what_it_makes() {
    let bench = compiled();
    let dir = bench.openssl.dir();
    key::rsa(&bench.openssl, "rsa", 2048, "");
    key::software_ec(&bench.openssl, "software", "P-256");
    dir.write("empty.cnf", "");
    let run = |config: &str, key: &str| {
        bench
            .openssl
            .client(need("valgrind", "valgrind"))
            .words(
                "--quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect",
            )
            .words("--errors-for-leak-kinds=definite,indirect --num-callers=40 ./sign")
            .args([config, key, "message", "message.sig"])
    };
    for key in ["rsa", "software"] {
        run("openssl.cnf", &format!("{key}.pem")).ok();
        verified(&bench, &format!("{key}.pub"));
    }
    for (config, key, says) in [
        ("openssl.cnf", "nothing.pem", "sign: no private key there"),
        ("openssl.cnf", "rsa.pub", "sign: no private key there"),
        (
            "empty.cnf",
            "rsa.pem",
            "sign: the provider tpm is not there",
        ),
    ] {
        let done = run(config, key).done();
        assert_eq!(done.status.code(), Some(1), "{done:#}");
        done.says(says);
    }
    let done = run("openssl.cnf", "rsa.pem")
        .env("TPM_TCTI", "swtpm:path=nowhere")
        .done();
    assert_eq!(done.status.code(), Some(1), "{done:#}");
    done.says("sign: no signature")
        .says("TPM not available: TPM swtpm:path=nowhere (from TPM_TCTI in the environment)");
    bench.tpm.assert_clean();
}

/// In a process of its own, which is this test once more: OPENSSL_CONF counts when a process begins.
#[test]
fn the_rust_example() {
    const KEY: &str = "RUST_EXAMPLE_KEY";
    const NAME: &str = "documents::programming::the_rust_example";
    if let Ok(key) = std::env::var(KEY) {
        let done = sign::sign(&key, "message", "message.sig");
        done.unwrap_or_else(|error| panic!("sign: {error}"));
        return;
    }
    let bench = Bench::new();
    bench.openssl.dir().write("message", "a message");
    key::rsa(&bench.openssl, "rsa", 2048, "");
    key::generate(&bench.openssl, "ec", "EC -pkeyopt group:P-256");
    let this = std::env::current_exe().expect("the test knows its path");
    let run = |key: &str| {
        let run = bench.openssl.client(&this).args([NAME, "--exact"]);
        run.args(["--nocapture", "--test-threads=1"]).env(KEY, key)
    };
    for key in ["rsa", "ec"] {
        let (_, counts) = bench.tap.cost(|| run(&format!("{key}.pem")).ok());
        assert_eq!(counts.of("Sign"), 1, "{counts:?}");
        verified(&bench, &format!("{key}.pub"));
    }
    let done = run("ec.pem").env("TPM_TCTI", "swtpm:path=nowhere").done();
    assert!(!done.status.success(), "{done:#}");
    done.says("TPM swtpm:path=nowhere (from TPM_TCTI in the environment)");
    bench.tpm.assert_clean();
}
