//! `make install` and what goes with it: everything in its place, nothing left out in silence, and away again.

use std::fs;
use std::path::Path;

use testkit::process::Run;
use testkit::scratch::Scratch;
use testkit::tools::{module, need, root, tpmctl};

fn make(dir: &Scratch, line: &str) -> Run {
    Run::new(need("make", "make"))
        .words(&format!(
            "-s {line} MODULESDIR=/usr/lib/ossl-modules MULTIARCH="
        ))
        .arg(format!("DESTDIR={}", dir.join("a root").display()))
        .arg(format!("MODULE={}", module().display()))
        .arg(format!("TPMCTL={}", tpmctl()))
        .arg(format!("STRIPPED={}", dir.join("stripped").display()))
        .dir(root())
}

fn files(dir: &Path) -> Vec<String> {
    let done = Run::new("find")
        .args([".", "!", "-type", "d"])
        .dir(dir)
        .ok();
    let mut files: Vec<String> = done.out().lines().map(str::to_owned).collect();
    files.sort();
    files
}

#[test]
fn everything_is_installed_and_uninstalled() {
    let dir = Scratch::new();
    make(&dir, "install").ok();
    let all = files(&dir.join("a root"));
    for file in [
        "usr/lib/ossl-modules/tpm.so",
        "usr/local/bin/tpmctl",
        "usr/local/lib/pkcs11/tpm.so",
        "usr/local/share/man/man1/tpmctl.1",
        "usr/local/share/man/man7/tpm-pkcs11.7",
        "usr/local/share/doc/tpm-provider/docs/nginx.md",
        "usr/local/share/bash-completion/completions/tpmctl",
        "usr/local/share/zsh/site-functions/_tpmctl",
        "usr/local/share/fish/vendor_completions.d/tpmctl.fish",
        "usr/local/share/doc/tpm-provider/THIRD-PARTY",
        "usr/local/share/doc/tpm-provider/conf/openssl.cnf",
    ] {
        assert!(all.contains(&format!("./{file}")), "{file} in {all:#?}");
    }
    make(&dir, "uninstall").ok();
    assert_eq!(files(&dir.join("a root")), Vec::<String>::new());
}

/// A cross build, or a machine without pandoc: what is missing is named, with what helps, and nothing is installed.
#[test]
fn what_is_missing_is_said() {
    for (setting, helps, without) in [
        ("MANPAGES=/nonexistent", "make man", "MAN=no"),
        ("SCRIPTS=/nonexistent", "make completions", "COMPLETIONS=no"),
    ] {
        let dir = Scratch::new();
        make(&dir, &format!("install {setting}"))
            .fails()
            .says(helps)
            .says(without);
        assert!(!dir.join("a root").exists(), "{setting}");
        make(&dir, &format!("install {setting} {without}")).ok();
        assert!(dir.join("a root/usr/local/bin/tpmctl").exists());
    }
    let dir = Scratch::new();
    make(&dir, "completions RUNS=/nonexistent")
        .fails()
        .says("RUNS=");
}

/// The stripped ones are smaller, and work; what debuggers read is where they look for it.
#[test]
fn what_debuggers_read_is_parted() {
    let dir = Scratch::new();
    make(&dir, "install-strip").ok();
    let at = dir.join("a root");
    let size = |path: &Path| fs::metadata(path).expect("installed").len();
    for (installed, built) in [
        ("usr/lib/ossl-modules/tpm.so", module()),
        ("usr/local/bin/tpmctl", tpmctl().into()),
    ] {
        let installed = at.join(installed);
        assert!(
            size(&installed) < size(&built) * 4 / 5,
            "{}",
            installed.display()
        );
        let notes = Run::new(need("readelf", "binutils"))
            .arg("-n")
            .arg(&installed)
            .ok()
            .out();
        let id = notes
            .lines()
            .find_map(|line| line.trim().strip_prefix("Build ID: "))
            .expect("a build ID")
            .to_owned();
        let debug = at.join(format!(
            "usr/local/lib/debug/.build-id/{}/{}.debug",
            &id[..2],
            &id[2..]
        ));
        let sections = Run::new(need("readelf", "binutils"))
            .arg("-SW")
            .arg(&debug)
            .ok()
            .out();
        assert!(sections.contains(".debug_line"), "{sections}");
    }
    let version = Run::new(at.join("usr/local/bin/tpmctl"))
        .arg("--version")
        .ok()
        .out();
    assert!(version.starts_with("tpmctl "), "{version}");
    let providers = Run::new(need("openssl", "openssl"))
        .words("list -providers -provider tpm")
        .env("OPENSSL_CONF", "/dev/null")
        .env("OPENSSL_MODULES", at.join("usr/lib/ossl-modules"))
        .ok()
        .out();
    assert!(providers.contains("keys in TPMs"), "{providers}");
    let sizes = make(&dir, "sizes").ok().out();
    assert_eq!(
        sizes
            .lines()
            .filter(|line| line.contains("KB, stripped"))
            .count(),
        2,
        "{sizes}"
    );
    make(&dir, "uninstall").ok();
    assert_eq!(files(&at), Vec::<String>::new());
}
