//! How long the agent has a PIN.

use std::time::Duration;

use testkit::process::wait_for;
use testkit::service::Service;

use super::Home;
use super::agent::signs;

/// One that is found in memory, if it is there.
const PIN: &str = "q7Zr-xW2k-88Lm-TtYp";

fn agent_that_was_told(home: &Home, line: &str) -> Service {
    home.key(&format!("--pin={PIN}"));
    home.write("answer", &format!("{PIN}\n"));
    let agent = home.agent_that_asks(line);
    for _ in 0..2 {
        signs(home, ".ssh/id_tpm.pub");
    }
    agent
}

#[test]
fn a_locked_agent_has_no_pin() {
    let home = Home::new();
    let agent = agent_that_was_told(&home, "--pin-lifetime 1h");
    assert_eq!(home.asked().len(), 1);
    assert!(agent.has_in_memory(PIN.as_bytes()));
    let add = |line: &str| {
        home.tool("ssh-add", line)
            .env("SSH_ASKPASS", home.file("askpass"))
            .env("SSH_ASKPASS_REQUIRE", "force")
            .ok()
    };
    home.write("answer", "open sesame\n");
    add("-x");
    assert!(!agent.has_in_memory(PIN.as_bytes()));
    add("-X");
    let asked = home.asked().len();
    home.write("answer", &format!("{PIN}\n"));
    signs(&home, ".ssh/id_tpm.pub");
    assert_eq!(home.asked().len(), asked + 1);
}

/// When it is over, it goes by itself; the next signature asks again.
#[test]
fn a_pin_has_its_time() {
    let home = Home::new();
    let agent = agent_that_was_told(&home, "--pin-lifetime 2s");
    let asked = home.asked().len();
    wait_for("the PIN's end", Duration::from_secs(60), || {
        !agent.has_in_memory(PIN.as_bytes())
    });
    signs(&home, ".ssh/id_tpm.pub");
    assert_eq!(home.asked().len(), asked + 1);
    // Keys without a PIN, and what is no time.
    home.key("open");
    signs(&home, ".ssh/open.pub");
    for wrong in ["0", "soon", "1y"] {
        home.tpmctl(&format!("ssh-agent --pin-lifetime {wrong}"))
            .fails()
            .says("expected a time such as");
    }
}

/// The unit of systemd's starts the agent as it was asked for.
#[test]
fn a_unit_has_the_time_too() {
    let home = Home::new();
    home.tpmctl("ssh-agent --install -t 1h30m --confirm").ok();
    let unit = home.text(".config/systemd/user/tpm-ssh-agent.service");
    assert!(
        unit.contains(" ssh-agent --confirm --pin-lifetime 5400s\n"),
        "{unit}"
    );
}
