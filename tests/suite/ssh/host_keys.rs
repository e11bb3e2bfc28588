//! Host keys of sshd in a TPM.

use std::fs;

use testkit::process::Run;
use testkit::sshd::Sshd;
use testkit::tools::need;

use super::Home;

/// A machine's files below a directory, and sshd with what was written there.
#[test]
fn sshd_with_host_keys_in_the_tpm() {
    let home = Home::new();
    home.tpmctl("ssh host-keys --root machine")
        .fails()
        .says("openssh-server");
    fs::create_dir_all(home.file("machine/etc/ssh/sshd_config.d")).expect("directories");
    let done = home.tpmctl("ssh host-keys --root machine").ok();
    assert_eq!(done.out().matches("ssh_tpm_host_").count(), 2, "{done}");
    // What is there is kept.
    let (again, cost) = home
        .bench
        .tap
        .cost(|| home.tpmctl("ssh host-keys --root machine").ok());
    assert_eq!(
        (again.out().matches(": is there").count(), cost.total()),
        (2, 0),
        "{again}"
    );
    let at = home.file("machine");
    let units = at.join("etc/systemd/system/tpm-ssh-host-agent.service");
    let verify = Run::new(need("systemd-analyze", "systemd")).words("--man=no verify");
    verify.arg(&units).ok();
    let service = fs::read_to_string(&units).expect("a unit");
    let command = service
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let keys = at.join("etc/ssh");
    let socket = home.file("run/tpm-ssh-agent.sock");
    assert!(
        command.is_some_and(|line| line.ends_with(" ssh-agent --key-dir /etc/ssh")),
        "{service}"
    );
    let _agent = home.agent(&format!("--key-dir {}", keys.display()));
    // The drop-in as it is written, in this directory.
    let drop_in =
        fs::read_to_string(at.join("etc/ssh/sshd_config.d/tpm-host-keys.conf")).expect("it");
    let drop_in = drop_in
        .replace(
            "/run/tpm-ssh-host-agent/socket",
            &socket.display().to_string(),
        )
        .replace("/etc/ssh", &keys.display().to_string());
    home.tool("ssh-keygen", "-q -t ed25519 -f soft -N")
        .arg("")
        .ok();
    let server = Sshd::with_host_keys(&home.text("soft.pub"), &drop_in);
    let identity = format!("IdentityFile={}", home.file("soft").display());
    for (algorithm, key) in [("ecdsa-sha2-nistp256", "ecdsa"), ("rsa-sha2-512", "rsa")] {
        let known = home.file(&format!("known-{key}"));
        let public =
            fs::read_to_string(keys.join(format!("ssh_tpm_host_{key}_key.pub"))).expect("a key");
        let line = format!("[127.0.0.1]:{} {public}", server.port());
        fs::write(&known, line).expect("written");
        let known = format!("UserKnownHostsFile={}", known.display());
        let algorithms = format!("HostKeyAlgorithms={algorithm}");
        let options = [
            "-o",
            &identity,
            "-o",
            &algorithms,
            "-o",
            &known,
            "-o",
            "StrictHostKeyChecking=yes",
        ];
        // The first value of an option counts: these stand before ours.
        let ssh = Run::new(need("ssh", "openssh-client"))
            .words("-F none -o BatchMode=yes")
            .args(options)
            .arg("-p")
            .arg(server.port().to_string())
            .words("127.0.0.1 echo here");
        let (done, cost) = home.bench.tap.cost(|| ssh.ok());
        assert_eq!(done.out(), "here\n");
        assert_eq!(cost.of("Sign") + cost.of("RSA_Decrypt"), 1, "{cost:?}");
    }
    assert!(
        !server.output().contains("Unable to load host key"),
        "{}",
        server.output()
    );
    home.tpmctl("ssh host-keys --root machine --remove").ok();
    assert!(!at.join("etc/ssh/sshd_config.d/tpm-host-keys.conf").exists() && !units.exists());
    assert!(keys.join("ssh_tpm_host_rsa_key.tpm").exists());
}
