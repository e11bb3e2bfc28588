//! Whatever ends the manager, the terminal is as it was, and nothing of it stays in a TPM without a resource manager.

use std::time::Duration;

use testkit::bench::Bench;
use testkit::process::wait_for;
use testkit::proxy::{Action, Fault};
use testkit::scratch::set_mode;
use testkit::tmux::Tmux;
use testkit::tools::is_root;
use testkit::tpm::cc;

use super::{command, key, manager, quiet};

/// A manager that has a key loaded and waits for the signature.
fn in_mid_action() -> (Bench, Tmux) {
    let bench = Bench::new();
    key(&bench, "www.tpm", "");
    let at = manager(&bench, "ui keys");
    at.sees(&["www.tpm"]);
    quiet(&at);
    bench.tap.inject(Fault::on(cc::SIGN, Action::Hold));
    at.keys(&["Enter"]);
    wait_for("the signature", Duration::from_secs(30), || {
        bench.tap.holding() == 1
    });
    (bench, at)
}

/// Whether a process has ended; it may be that nobody waits for it any more.
fn is_gone(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn the_terminal_is_closed() {
    let (bench, at) = in_mid_action();
    let pid = at.pid();
    at.close();
    bench.tap.heal();
    wait_for("the manager's end", Duration::from_secs(30), || {
        is_gone(pid)
    });
    bench.tpm.assert_clean();
}

#[test]
fn signals_end_it() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let (bench, at) = in_mid_action();
        at.signal(signal);
        // Given back at once, not when the TPM is done.
        at.until(|screen| !screen.contains("www.tpm"), "usual screen");
        bench.tap.heal();
        assert_eq!(at.end(), 128 + signal);
        assert!(at.is_as_usual());
        bench.tpm.assert_clean();
    }
}

/// What a killed one leaves, the next user of the TPM removes.
#[test]
fn it_is_killed() {
    let (bench, at) = in_mid_action();
    at.signal(libc::SIGKILL);
    assert_eq!(at.end(), 128 + libc::SIGKILL);
    bench.tap.heal();
    bench.tpmctl("info").ok();
    bench.tpm.assert_clean();
}

#[test]
fn it_is_stopped_and_goes_on() {
    let bench = Bench::new();
    let at = manager(&bench, "ui");
    at.sees(&["works"]);
    at.signal(libc::SIGSTOP);
    at.keys(&["2"]);
    at.resize(90, 20);
    at.signal(libc::SIGCONT);
    at.sees(&["0x81000001"]);
    // As Ctrl-Z does it: the terminal is a shell's meanwhile.
    at.keys(&["C-z"]);
    at.until(|screen| !screen.contains("0x81000001"), "usual screen");
    wait_for("the usual terminal", Duration::from_secs(30), || {
        at.is_as_usual()
    });
    at.signal(libc::SIGCONT);
    at.sees(&["0x81000001"]);
    at.keys(&["q"]);
    assert_eq!(at.end(), 0);
    assert!(at.is_as_usual());
}

/// A TPM that this user may not use is told, and what is known without it is shown.
#[test]
fn no_permission() {
    let bench = Bench::new();
    let dir = bench.openssl.dir();
    let device = dir.write("tpmrm0", "");
    set_mode(&device, 0);
    set_mode(dir.path(), 0o755);
    let own = command(&bench, &format!("ui --tcti device:{}", device.display()));
    let run = match is_root() {
        false => own,
        true => own.dir(dir.path()).as_nobody(),
    };
    let at = Tmux::start(&run, 100, 30);
    at.sees(&["no answer", "ermission denied"]);
    at.keys(&["2"]);
    at.sees(&["Persistent keys cannot be seen"]);
    at.keys(&["7"]);
    at.sees(&["problem"]);
}
