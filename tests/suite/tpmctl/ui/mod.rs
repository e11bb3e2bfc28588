//! The manager at a real terminal, with a TPM.

mod hostile;
mod idle;
mod lasting;
mod page;
mod panels;
mod tpm12;

use testkit::bench::Bench;
use testkit::process::Run;
use testkit::scratch::Scratch;
use testkit::tmux::Tmux;

/// Where the manager looks for keys, from the directory of the test on.
const KEYS: &str = "home/.local/share/tpm-provider/keys";

/// `tpmctl` with key files in the directory of the test alone.
fn command(bench: &Bench, line: &str) -> Run {
    at_home(bench.tpmctl(line), bench.openssl.dir())
}

fn at_home(run: Run, dir: &Scratch) -> Run {
    let home = dir.join("home");
    std::fs::create_dir_all(dir.join(KEYS)).expect("a directory");
    run.env("HOME", &home)
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
    command(bench, &format!("key new {options} -o {KEYS}/{name}")).ok();
}

/// Waits until nothing is done any more: what is begun meanwhile is refused. The key that cancels is shown as long as
/// there is something to cancel, also where a message stands in the place of what goes on.
fn quiet(at: &Tmux) {
    let is_busy = |screen: &str| screen.contains("c cancels") || screen.contains(" c cancel ");
    at.until(|screen| !is_busy(screen), "quiet");
}

/// Unlocks what changes something, once all is read that says whether it can be done, and goes on with `keys`.
fn unlock(at: &Tmux, keys: &[&str]) {
    quiet(at);
    at.keys(&["u"]);
    at.keys(keys);
}

/// Escape by itself: what comes right behind it would be taken for the rest of a sequence.
fn back(at: &Tmux) {
    at.keys(&["Escape"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
}
