//! docs/ssh.md as it is written, on a machine where the product is installed.

use testkit::machine::{Machine, commands};

/// What the page says below a heading, with what needs a session of systemd's, or a host to log in to, left to the test.
fn part(from: &str, to: &str) -> String {
    let lines = commands("docs/ssh.md", from, to);
    assert!(!lines.is_empty(), "{from}");
    lines.join("\n") + "\n"
}

/// Before everything: systemd's command notes what it was told, and root's home is a new one.
const BEGIN: &str = "mount -t tmpfs tmpfs /root\nexport TPM_TCTI=$TPM XDG_RUNTIME_DIR=/run/user USER=root\nmkdir -p /run/user /run/sshd\n\
                     systemctl() { echo \"systemctl $*\" >>/run/told; }\nsudo() { \"$@\"; }\n";

#[test]
fn two_commands_to_a_login() {
    let machine = Machine::new();
    let login = "cp ~/.ssh/id_tpm.pub /run/authorized\nssh-keygen -q -t ed25519 -f /run/host -N ''\n\
                 /usr/sbin/sshd -p 2222 -h /run/host -o AuthorizedKeysFile=/run/authorized -o UsePAM=no -o StrictModes=no \\\n  \
                 -o PermitRootLogin=yes\n\
                 ssh -F ~/.ssh/config -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p 2222 \\\n  \
                 127.0.0.1 echo here\n";
    let done = machine.run(&format!("{BEGIN}{}{login}", part("# SSH", "## The module")));
    assert!(
        done.status.success() && done.out().ends_with("here\n"),
        "{done:#}"
    );
}

#[test]
fn the_agent_and_git() {
    let machine = Machine::new();
    let script = format!(
        "{BEGIN}tpmctl ssh new\n{}\
         tpmctl ssh-agent & while ! ssh-add -L >/dev/null 2>&1; do sleep 0.1; done\n\
         mkdir /run/tree && cd /run/tree && git init -q\n\
         git config --global user.name root && git config --global user.email root@example.org\n\
         {}git log --format=%GK%G? >/dev/null\n\
         git cat-file commit HEAD\ngrep IdentityAgent ~/.ssh/config\ncat /run/told\n",
        part("## The agent", "## Signing"),
        part("## Signing", "## Host keys")
            .replace("git commit -S", "git commit -S --allow-empty -q -m one"),
    );
    let done = machine.run(&script);
    assert!(done.status.success(), "{done:#}");
    let out = done.out();
    assert!(out.contains("-----BEGIN SSH SIGNATURE-----"), "{out}");
    assert!(
        out.contains("systemctl --user enable --now tpm-ssh-agent.socket"),
        "{out}"
    );
    assert!(
        out.contains("IdentityAgent /run/user/tpm-ssh-agent.sock"),
        "{out}"
    );
}

/// What sshd says of them with Debian's own configuration.
#[test]
fn host_keys() {
    let machine = Machine::new();
    let script = format!(
        "{BEGIN}{}ls /etc/ssh\ncat /etc/ssh/sshd_config.d/tpm-host-keys.conf /run/told\n\
         tpmctl ssh-agent --key-dir /etc/ssh --socket /run/agent & while [ ! -S /run/agent ]; do sleep 0.1; done\n\
         sed -i s,/run/tpm-ssh-host-agent/socket,/run/agent, /etc/ssh/sshd_config.d/tpm-host-keys.conf\n\
         /usr/sbin/sshd -p 2222\nssh-keyscan -p 2222 127.0.0.1\ncat /etc/ssh/ssh_tpm_host_ecdsa_key.pub\n",
        part("## Host keys", "## Coming"),
    );
    let done = machine.run(&script);
    assert!(done.status.success(), "{done:#}");
    let out = done.out();
    let (scanned, own) = out.rsplit_once("ecdsa-sha2-nistp256 ").expect("the key");
    let own = own.split(' ').next().expect("a key");
    assert!(scanned.contains(own), "{out}");
    assert!(
        out.contains("systemctl enable --now tpm-ssh-host-agent.socket"),
        "{out}"
    );
    assert!(!done.err().contains("load host key"), "{done:#}");
}
