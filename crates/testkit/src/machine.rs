//! A machine of a test's own: Debian's files of this one in copies, its fixed ports and pids, the product installed by
//! `make install`, and root's shell as after a login. What an administrator types can be typed there as it is written.

use crate::process::{Done, Run};
use crate::scratch::{Scratch, set_mode};
use crate::swtpm::Swtpm;
use crate::tools::{is_root, modules_dir, need, root, substitute, tpmctl};
use std::time::Duration;

/// The files are copies in a memory file system; processes end with the script.
const ENTER: &str = r#"
ip link set lo up
mount -t tmpfs tmpfs "$COPIES"
chmod 755 "$COPIES"
copy() {
  mkdir -p "$COPIES/$1"
  cp -a "$1/." "$COPIES/$1/"
  mount --bind "$COPIES/$1" "$1"
}
modules=$(pkg-config --variable=modulesdir libcrypto)
copy /etc
copy "$modules"
for each in /usr/local /run /var/log /var/lib/nginx /var/lib/apache2; do
  [ ! -d "$each" ] || { mount -t tmpfs tmpfs "$each"; chmod 755 "$each"; }
done
mkdir -m 1777 /run/lock /run/tmp
mkdir /var/log/nginx /var/log/apache2 /run/apache2 /run/haproxy /usr/local/bin /usr/local/sbin
rm -f /etc/nginx/sites-enabled/* /etc/nginx/modules-enabled/* /etc/apache2/sites-enabled/*
install -D -m 644 "$MODULE" /usr/local/built/tpm.so
make -s -C "$REPOSITORY" install MODULE=/usr/local/built/tpm.so TPMCTL="$TPMCTL" >/usr/local/installed 2>&1 \
  || { cat /usr/local/installed; exit 1; }
sed -i "s|^#tcti = .*|tcti = $ADDRESS|" /usr/local/share/doc/tpm-provider/conf/openssl.cnf
# /tmp is everybody's: what programs leave behind goes with the machine.
exec env -i HOME=/root TMPDIR=/run/tmp PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TPM="$ADDRESS" bash -eu "$SCRIPT"
"#;

/// The machine's TPM and directory.
pub struct Machine {
    dir: Scratch,
    pub tpm: Swtpm,
}

impl Machine {
    pub fn new() -> Self {
        assert!(
            is_root(),
            "namespaces and mounts need root: run the tests as root"
        );
        for (program, package) in [
            ("unshare", "util-linux"),
            ("ip", "iproute2"),
            ("make", "make"),
        ] {
            need(program, package);
        }
        let tpm = Swtpm::start();
        if let crate::net::Endpoint::Unix(path) = tpm.endpoint() {
            set_mode(path, 0o666);
        }
        Self {
            dir: Scratch::new(),
            tpm,
        }
    }

    /// Runs a script of root's, which ends with the first command that fails. `$TPM` is the TPM's address; the installed
    /// sample of openssl.cnf names it already.
    pub fn run(&self, script: &str) -> Done {
        self.dir.write("script", script);
        self.dir.write("enter", ENTER);
        let copies = self.dir.join("copies");
        std::fs::create_dir_all(&copies).expect("a directory");
        // SIGKILL for what a script leaves running: the first process of the namespace ends.
        Run::new(need("unshare", "util-linux"))
            .words("--mount --pid --net --fork --kill-child --mount-proc bash -eu")
            .arg(self.dir.join("enter"))
            .env("COPIES", copies)
            .env("MODULE", modules_dir().join("tpm.so"))
            .env("TPMCTL", tpmctl())
            .env("REPOSITORY", root())
            .env("ADDRESS", self.tpm.address())
            .env("SCRIPT", self.dir.join("script"))
            .patience(Duration::from_secs(180))
            .done()
    }
}

/// The commands of a part of a document, one a line: what is indented by four, from the line that begins with `from` to the
/// one that begins with `to`. A command that goes on in the next line is one.
pub fn commands(document: &str, from: &str, to: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(document)).expect(document);
    let mut part = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        inside = (inside || line.starts_with(from)) && !line.starts_with(to);
        if inside {
            part.push(line);
        }
    }
    assert!(!part.is_empty(), "{document} has no {from:?} any more");
    let indented: Vec<&str> = part
        .iter()
        .filter_map(|line| line.strip_prefix("    "))
        .collect();
    let joined = indented.join("\n").replace("\\\n", " ");
    joined.lines().map(str::to_owned).collect()
}

/// The same as a script, with what only systemd can do left to the init script, and answered where it asks.
pub fn script(document: &str, from: &str, to: &str) -> String {
    let mut lines = commands(document, from, to).join("\n");
    for (typed, here) in [
        ("systemctl daemon-reload", ":"),
        ("systemctl restart nginx", "/etc/init.d/nginx restart"),
        (
            "tpmctl setup --service nginx",
            "tpmctl setup --service nginx --yes --tcti \"$TPM\"",
        ),
    ] {
        if lines.contains(typed) {
            lines = substitute(&lines, typed, here);
        }
    }
    format!("{lines}\n")
}
