//! The manager at a real terminal, with a TPM.

mod idle;
mod lasting;
mod page;
mod panels;

use testkit::bench::Bench;
use testkit::process::Run;
use testkit::tmux::Tmux;

/// `tpmctl` with key files in the directory of the test alone.
fn command(bench: &Bench, line: &str) -> Run {
    let home = bench.openssl.dir().join("home");
    std::fs::create_dir_all(home.join(".local/share/tpm-provider/keys")).expect("a directory");
    bench
        .tpmctl(line)
        .env("HOME", &home)
        .env("TERM", "screen-256color")
        .env("LANG", "C.UTF-8")
        .env_remove("LC_ALL")
        .env_remove("LC_CTYPE")
        .env_remove("XDG_DATA_HOME")
        .env_remove("NO_COLOR")
}

fn manager(bench: &Bench, line: &str) -> Tmux {
    Tmux::start(&command(bench, line), 100, 30)
}

/// Makes a key where the manager looks for it.
fn key(bench: &Bench, name: &str, options: &str) {
    let keys = "home/.local/share/tpm-provider/keys";
    command(bench, &format!("key new {options} -o {keys}/{name}")).ok();
}

/// Escape by itself: what comes right behind it would be taken for the rest of a sequence.
fn back(at: &Tmux) {
    at.keys(&["Escape"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
}
