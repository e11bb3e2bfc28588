//! `tpmctl setup`: Debian's own nginx and openssl.cnf, told of the provider and as they were again.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

use serde_json::Value;
use testkit::machine::Machine;
use testkit::openssl::clean;
use testkit::process::{Done, Run};
use testkit::scratch::Scratch;
use testkit::terminal::Typist;
use testkit::tools::{self, need, need_file, root};

/// A copy of a machine: Debian's files of nginx, two users, the group of the TPM and a device of it.
struct Copy(Scratch);

impl Copy {
    fn new() -> Self {
        let this = Self(Scratch::new());
        for (path, package) in [
            ("/etc/nginx/nginx.conf", "nginx-light"),
            ("/etc/default/nginx", "nginx-light"),
            ("/lib/systemd/system/nginx.service", "nginx-light"),
            ("/etc/ssl/openssl.cnf", "openssl"),
            ("/etc/default/openvpn", "openvpn"),
        ] {
            this.file(path, fs::read(need_file(path, package)).expect("read"));
        }
        fs::create_dir(this.path("/etc/nginx/modules-enabled")).expect("made");
        this.file(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/false\n",
        );
        this.file("/etc/group", "root:x:0:\nwww-data:x:33:\ntss:x:109:\n");
        let device = this.file("/dev/tpmrm0", "");
        fs::set_permissions(&device, fs::Permissions::from_mode(0o660)).expect("chmod");
        chown(&device, Some(108), Some(109)).expect("chown: the tests run as root");
        fs::create_dir_all(this.path("/usr/lib/ssl")).expect("made");
        symlink(
            "/etc/ssl/openssl.cnf",
            this.path("/usr/lib/ssl/openssl.cnf"),
        )
        .expect("a link");
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name.trim_start_matches('/'))
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(&path, content).expect("written");
        path
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn setup(&self, line: &str) -> Run {
        clean(Run::new(tools::tpmctl()))
            .env("OPENSSL_CONF", "/dev/null")
            .words(&format!("setup {line} --root"))
            .arg(self.0.path())
    }

    /// Every file with its mode and content.
    fn all(&self) -> Vec<String> {
        let script =
            "find . -printf '%p %m %u %l ' \\( -type f -exec sha256sum {} \\; -o -print \\) | sort";
        let done = Run::new("sh").arg("-c").arg(script).dir(self.0.path()).ok();
        done.out().lines().map(str::to_owned).collect()
    }
}

fn json(done: &Done) -> Value {
    serde_json::from_slice(&done.stdout).expect("JSON")
}

const WAIT: &str = r#"
wait_until() { for i in $(seq 100); do if eval "$1"; then return 0; fi; sleep 0.1; done; echo "never: $1"; return 1; }
served() {
  openssl s_client -connect 127.0.0.1:443 -servername www.example.com -CAfile /etc/nginx/tls/tpm.crt \
    -verify_return_error </dev/null 2>&1 | grep -q 'Peer signature type:'
}
same() { diff -r --no-dereference /run/before "$1" && diff -r --no-dereference /run/before-local /usr/local; }
"#;

/// Debian's nginx as it is installed, served with a key of the TPM and looked after from a bare shell; then nothing is left.
#[test]
fn nginx_in_three_commands_and_back() {
    need_file("/etc/init.d/nginx", "nginx-light");
    let machine = Machine::new();
    let done = machine.run(&format!(
        r#"{WAIT}
conf=/usr/local/share/doc/tpm-provider/conf
cp -a /etc /run/before; cp -a /usr/local /run/before-local
tpmctl --tcti "$TPM" setup --service nginx --dry-run
same /etc
tpmctl --tcti "$TPM" setup --service nginx --yes
tpmctl --tcti "$TPM" setup --service nginx --yes 2>&1
hash -r
tpmctl --tcti "$TPM" key new -o /etc/nginx/tls/tpm.key
OPENSSL_CONF=/etc/nginx/openssl-tpm.cnf openssl req -x509 -key /etc/nginx/tls/tpm.key -subj /CN=www.example.com \
  -addext subjectAltName=DNS:www.example.com -out /etc/nginx/tls/tpm.crt
cp $conf/nginx-site.conf /etc/nginx/sites-enabled/tpm
nginx -t 2>&1
# As systemd starts it: with the environment of the drop-in, and not by the command in /usr/local.
environment=$(sed -n 's/^Environment=//p' /etc/systemd/system/nginx.service.d/tpm.conf)
env "$environment" /usr/sbin/nginx
wait_until served
nginx -s reload
wait_until served
/etc/init.d/nginx restart
wait_until served
nginx -s quit
wait_until '! pgrep -x nginx >/dev/null'
rm -r /etc/nginx/sites-enabled/tpm /etc/nginx/tls/*
tpmctl setup --service nginx --remove --yes
hash -r
same /etc
tpmctl setup --service nginx --remove --yes 2>&1
"#
    ));
    assert!(done.status.success(), "{done}");
    let out = done.out();
    assert_eq!(
        out.matches("Everything is as it shall be.").count(),
        2,
        "{done}"
    );
    assert!(out.contains("/etc/nginx/openssl-tpm.cnf: new\n"), "{done}");
    assert!(
        out.contains("  + OPENSSL_CONF=/etc/nginx/openssl-tpm.cnf\n"),
        "{done}"
    );
    assert!(out.contains("test is successful"), "{done}");
    machine.tpm.assert_clean();
}

/// Debian's openssl.cnf gets the provider for every program, and is itself again.
#[test]
fn the_whole_machine_and_back() {
    let machine = Machine::new();
    let done = machine.run(
        r#"
cp -a /etc /run/before
tpmctl --tcti "$TPM" setup --yes
openssl list -providers
tpmctl key new -o /run/tpm.key
openssl pkey -in /run/tpm.key -pubout -out /run/tpm.pub
echo text >/run/text
openssl dgst -sha256 -sign /run/tpm.key -out /run/sig /run/text
OPENSSL_CONF=/dev/null openssl dgst -sha256 -verify /run/tpm.pub -signature /run/sig /run/text
openssl req -x509 -newkey rsa:2048 -nodes -keyout /run/soft.key -out /run/soft.crt -subj /CN=soft
before=$(stat -c '%i %Y' /etc/ssl/openssl.cnf)
tpmctl --tcti "$TPM" setup --yes
test "$before" = "$(stat -c '%i %Y' /etc/ssl/openssl.cnf)"
cmp /etc/ssl/openssl.cnf.before-tpmctl /run/before/ssl/openssl.cnf
tpmctl setup --remove --yes
diff -r --no-dereference /run/before /etc
openssl list -providers | grep -c tpm || true
"#,
    );
    assert!(done.status.success(), "{done}");
    let out = done.out();
    assert!(out.contains("Verified OK"), "{done}");
    let (default, tpm) = (out.find("\n  default\n"), out.find("\n  tpm\n"));
    assert!(default.is_some() && default < tpm, "{done}");
    machine.tpm.assert_clean();
}

/// A copy of a machine: what the README's chapter and the samples say, in one command.
#[test]
fn what_it_writes_is_what_the_samples_say() {
    let copy = Copy::new();
    let before = copy.all();
    let done = copy.setup("--service nginx --yes --json").ok();
    let outcome = json(&done);
    assert_eq!(outcome["done"], true, "{done}");
    assert_eq!(outcome["openssl_conf"], "/etc/nginx/openssl-tpm.cnf");
    let changes = outcome["changes"].as_array().expect("a list");
    let join = changes
        .iter()
        .find(|it| it["change"] == "join")
        .expect("a member");
    assert_eq!(
        (&join["user"], &join["group"]),
        (&"www-data".into(), &"tss".into())
    );
    assert!(copy.text("/etc/group").contains("tss:x:109:www-data\n"));
    // The settings of the sample's drop-in, each.
    let drop_in = copy.text("/etc/systemd/system/nginx.service.d/tpm.conf");
    let sample =
        fs::read_to_string(root().join("conf/systemd/nginx.service.d-tpm.conf")).expect("it");
    for line in sample
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        assert!(
            drop_in.lines().any(|own| own == line),
            "{line} in\n{drop_in}"
        );
    }
    assert!(drop_in.contains("\nEnvironment=OPENSSL_CONF=/etc/nginx/openssl-tpm.cnf\n"));
    for (name, sample) in [
        ("/etc/nginx/openssl-tpm.cnf", "openssl.cnf"),
        ("/etc/nginx/modules-enabled/90-tpm.conf", "nginx-env.conf"),
        ("/usr/local/sbin/nginx", "as-service"),
    ] {
        let sample = tools::sample(sample);
        assert!(copy.text(name).starts_with(&sample), "{name}");
    }
    let mode = fs::metadata(copy.path("/usr/local/sbin/nginx"))
        .expect("it")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    let unit = copy.path("/lib/systemd/system/nginx.service");
    let verify = Run::new(need("systemd-analyze", "systemd"))
        .words("--man=no verify")
        .arg(&unit)
        .done();
    assert!(!verify.err().contains("tpm.conf"), "{verify}");
    let after = copy.all();
    let again = json(&copy.setup("--service nginx --yes --json").ok());
    assert_eq!(again["changes"], Value::Array(vec![]));
    assert_eq!(copy.all(), after);
    copy.setup("--service nginx --remove --yes").ok();
    let left: Vec<String> = copy
        .all()
        .into_iter()
        .filter(|line| !before.contains(line))
        .collect();
    // Directories that the machine lacked, and usermod's own copies.
    let known = [
        "./etc/systemd",
        "./usr/local",
        "./etc/group-",
        "./etc/gshadow",
        "./etc/passwd-",
    ];
    let left: Vec<&String> = left
        .iter()
        .filter(|line| !known.iter().any(|known| line.starts_with(known)))
        .collect();
    assert_eq!(left, Vec::<&String>::new());
    assert!(copy.text("/etc/group").contains("tss:x:109:\n"));
}

/// Nobody's file is lost, whoever has made it or changed it.
#[test]
fn what_was_there_is_kept() {
    let copy = Copy::new();
    copy.file("/usr/local/sbin/nginx", "#!/bin/sh\n# somebody's\n");
    let cnf = copy.path("/etc/nginx/openssl-tpm.cnf");
    copy.setup("--service nginx --yes").ok();
    let kept = "/usr/local/sbin/nginx.before-tpmctl";
    assert_eq!(copy.text(kept), "#!/bin/sh\n# somebody's\n");
    // A setting of the administrator's stays, and an address that is said anew keeps the file that was.
    let edited = copy
        .text("/etc/nginx/openssl-tpm.cnf")
        .replace("#log = warn", "log = warn");
    fs::write(&cnf, &edited).expect("written");
    copy.setup("--service nginx --yes").ok();
    assert_eq!(fs::read_to_string(&cnf).expect("it"), edited);
    copy.setup("--service nginx --yes --tcti device:/dev/tpmrm0")
        .ok();
    assert_eq!(
        copy.text("/etc/nginx/openssl-tpm.cnf.before-tpmctl"),
        edited
    );
    assert!(
        fs::read_to_string(&cnf)
            .expect("it")
            .contains("\ntcti = device:/dev/tpmrm0\n")
    );
    fs::write(&cnf, "# by hand\n").expect("written");
    let edited = copy
        .text("/etc/default/nginx")
        .replace("export OPENSSL_CONF", "export OPENSSL_CONF # mine");
    copy.file("/etc/default/nginx", &edited);
    copy.setup("--service nginx --remove --yes").ok();
    assert_eq!(
        copy.text("/usr/local/sbin/nginx"),
        "#!/bin/sh\n# somebody's\n"
    );
    assert_eq!(fs::read_to_string(&cnf).expect("it"), "# by hand\n");
    assert_eq!(copy.text("/etc/default/nginx.edited"), edited);
    assert!(!copy.text("/etc/default/nginx").contains("OPENSSL_CONF"));
}

#[test]
fn nothing_is_done_unasked() {
    let copy = Copy::new();
    let before = copy.all();
    for line in ["--service nginx", "", "--service nginx --json"] {
        copy.setup(line).stdin("y\n").fails().says("--yes");
        copy.setup(&format!("{line} --dry-run")).ok();
        assert_eq!(copy.all(), before, "{line}");
    }
    let mut at = Typist::start(copy.setup("--service nginx"));
    at.sees("Make these changes? [y/N]");
    at.types("n\r");
    assert!(at.end().0.success());
    assert_eq!(copy.all(), before);
    let mut at = Typist::start(copy.setup("--service nginx"));
    at.sees("Make these changes? [y/N]");
    at.types("y\r");
    let (status, shown) = at.end();
    assert!(
        status.success() && shown.contains("systemctl restart nginx"),
        "{shown}"
    );
    assert!(copy.path("/etc/nginx/openssl-tpm.cnf").exists());
}

/// Where others may write, or lead root elsewhere, nothing is written; the message says what to do.
#[test]
fn other_users_directories_and_links() {
    const NOBODY: u32 = 65534;
    let refused = |prepare: &dyn Fn(&Copy), why: &str| {
        let copy = Copy::new();
        prepare(&copy);
        let before = copy.all();
        copy.setup("--service nginx --yes").fails().says(why);
        assert_eq!(copy.all(), before, "{why}");
    };
    refused(
        &|copy: &Copy| chown(copy.path("/etc/nginx"), Some(NOBODY), None).expect("chown"),
        "who could replace what is written there",
    );
    refused(
        &|copy: &Copy| chown(copy.path("/etc/default/nginx"), Some(NOBODY), None).expect("chown"),
        "chown root",
    );
    refused(
        &|copy: &Copy| {
            let open = fs::Permissions::from_mode(0o777);
            fs::set_permissions(copy.path("/etc/default"), open).expect("chmod");
        },
        "chmod go-w",
    );
    refused(
        &|copy: &Copy| {
            let link = copy.path("/etc/nginx/openssl-tpm.cnf");
            symlink("/etc/passwd", &link).expect("a link");
            std::os::unix::fs::lchown(&link, Some(NOBODY), None).expect("lchown");
        },
        "who could replace",
    );
    refused(
        &|copy: &Copy| fs::create_dir(copy.path("/etc/nginx/openssl-tpm.cnf")).expect("made"),
        "not a regular file",
    );
    refused(
        &|copy: &Copy| drop(copy.file("/etc/group", "root:x:0:\n")),
        "there is no group 109",
    );
    refused(
        &|copy: &Copy| {
            copy.file("/etc/group", "root:x:0:\n");
            fs::remove_file(copy.path("/dev/tpmrm0")).expect("gone");
        },
        "apt-get install tpm-udev",
    );
    refused(
        &|copy: &Copy| drop(copy.file("/etc/default/nginx", "OPENSSL_CONF=/etc/fips.cnf\n")),
        "sets OPENSSL_CONF=/etc/fips.cnf already",
    );
    let copy = Copy::new();
    copy.setup("--service ngnix --yes")
        .fails()
        .says("there is no service ngnix");
    copy.setup("--service nginx --yes --user nobody-there")
        .fails()
        .says("no user");
    let done = copy.setup("--service ../etc --yes").done();
    assert_eq!(done.status.code(), Some(2), "{done}");
    let done = copy.setup("--user www-data --yes").done();
    assert_eq!(done.status.code(), Some(2), "{done}");
    // Root's own link is followed, below the root.
    let copy = Copy::new();
    fs::create_dir_all(copy.path("/srv")).expect("made");
    fs::rename(copy.path("/etc/default/nginx"), copy.path("/srv/nginx")).expect("moved");
    symlink("/srv/nginx", copy.path("/etc/default/nginx")).expect("a link");
    copy.setup("--service nginx --yes").ok();
    assert!(
        copy.text("/srv/nginx")
            .contains("OPENSSL_CONF=/etc/nginx/openssl-tpm.cnf\n")
    );
    assert!(copy.path("/etc/default/nginx").is_symlink());
}

/// Services that are not known by name: what their units forbid is opened for the TPM, and nothing is forbidden that was not.
#[test]
fn other_services() {
    let copy = Copy::new();
    let drop_in = |unit: &str| {
        copy.file(
            "/usr/lib/systemd/system/other.service",
            format!("[Service]\nExecStart=/bin/true\n{unit}"),
        );
        copy.setup("--service other.service --yes").ok();
        copy.text("/etc/systemd/system/other.service.d/tpm.conf")
    };
    let plain = drop_in("");
    assert!(
        plain.contains("SupplementaryGroups=tss\n") && !plain.contains("Device"),
        "{plain}"
    );
    assert!(
        plain.contains("Environment=OPENSSL_CONF=/etc/tpm-provider/other.cnf\n"),
        "{plain}"
    );
    let listed = drop_in("DeviceAllow=/dev/net/tun rw\n");
    assert!(
        listed.contains("DeviceAllow=/dev/tpmrm0 rw\n") && !listed.contains("DevicePolicy"),
        "{listed}"
    );
    let private = drop_in("PrivateDevices=yes\n");
    assert!(
        private.contains("PrivateDevices=no\nDevicePolicy=closed\nDeviceAllow=/dev/tpmrm0 rw\n"),
        "{private}"
    );
    copy.setup("--service other --remove --yes").ok();
    for gone in [
        "/etc/tpm-provider",
        "/etc/systemd/system/other.service.d",
        "/etc/default/other",
    ] {
        assert!(!copy.path(gone).exists(), "{gone}");
    }
}
