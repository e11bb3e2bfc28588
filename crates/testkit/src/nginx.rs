//! An nginx of the test's own.

use crate::net::Endpoint;
use crate::openssl::{Openssl, clean};
use crate::ports::free_port;
use crate::process::{Daemon, Run, wait_for};
use crate::scratch::Scratch;
use crate::tools::{is_root, need, sample, substitute};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// One `server` block.
#[derive(Clone, Debug)]
pub struct Block {
    pub port: u16,
    certificate: PathBuf,
    key: PathBuf,
    extra: String,
}

impl Block {
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            port: free_port(),
            certificate: certificate.into(),
            key: key.into(),
            extra: String::new(),
        }
    }

    /// Further directives of the block.
    pub fn extra(mut self, directives: &str) -> Self {
        let _ = writeln!(self.extra, "    {directives}");
        self
    }
}

/// What nginx is started with.
pub struct Config {
    workers: usize,
    user: Option<String>,
    blocks: Vec<Block>,
    main: String,
}

impl Config {
    pub fn new(blocks: Vec<Block>) -> Self {
        Self {
            workers: 1,
            user: None,
            blocks,
            main: String::new(),
        }
    }

    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// The workers' user, when the test runs as root; otherwise they stay who the master is.
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// Directives of the main context: `env TPM_TCTI;` and the like.
    pub fn main(mut self, directives: &str) -> Self {
        let _ = writeln!(self.main, "{directives}");
        self
    }

    fn text(&self, dir: &Scratch) -> String {
        let at = dir.path().display();
        let mut text = String::new();
        if is_root() {
            let _ = writeln!(text, "user {};", self.user.as_deref().unwrap_or("root"));
        }
        let _ = write!(
            text,
            "daemon off;\nworker_processes {};\npid {at}/nginx.pid;\nerror_log {at}/error.log info;\n{}\
             events {{ worker_connections 512; }}\n\
             http {{\n  access_log off;\n  ssl_session_cache off;\n  ssl_session_tickets off;\n  \
             ssl_protocols TLSv1.2 TLSv1.3;\n",
            self.workers, self.main
        );
        text.push_str(&temp_paths(dir));
        for block in &self.blocks {
            let _ = write!(
                text,
                "  server {{\n    listen 127.0.0.1:{} ssl;\n    ssl_certificate {};\n    \
                 ssl_certificate_key {};\n{}    location / {{ return 200 \"served\\n\"; }}\n  }}\n",
                block.port,
                block.certificate.display(),
                block.key.display(),
                block.extra
            );
        }
        text.push_str("}\n");
        text
    }
}

/// A running nginx; ends on drop, with its workers.
pub struct Nginx {
    daemon: Daemon,
    dir: Scratch,
    blocks: Vec<Block>,
    seen: usize,
}

impl Nginx {
    /// Starts nginx with the configuration and environment of `openssl`.
    pub fn start(openssl: &Openssl, config: &Config) -> Self {
        let dir = Scratch::new();
        dir.write("nginx.conf", config.text(&dir));
        Self::launch(openssl, dir, config.blocks.clone())
    }

    /// Starts nginx with a whole configuration file; `blocks` tells where it listens. The directory
    /// is the prefix; the file names `nginx.pid` and `error.log` in it.
    pub fn start_with(openssl: &Openssl, dir: Scratch, text: &str, blocks: Vec<Block>) -> Self {
        dir.write("nginx.conf", text);
        Self::launch(openssl, dir, blocks)
    }

    fn launch(openssl: &Openssl, dir: Scratch, blocks: Vec<Block>) -> Self {
        let mut run = command(openssl, &dir);
        let output = fs::File::create(dir.join("output")).expect("a log file");
        run.command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second descriptor"))
            .stderr(output);
        let daemon = Daemon::spawn(&mut run.command);
        let mut this = Self {
            daemon,
            dir,
            blocks,
            seen: 0,
        };
        wait_for("nginx's start", Duration::from_secs(60), || {
            if let Some(status) = this.daemon.ended() {
                panic!(
                    "nginx ended, {status}: {}\n{}",
                    this.dir.read_text("output"),
                    this.log()
                );
            }
            this.blocks
                .iter()
                .all(|b| Endpoint::Tcp(b.port).connect().is_ok())
        });
        // The sockets are open before the first worker is there.
        wait_for("nginx's workers", Duration::from_secs(60), || {
            !this.workers().is_empty()
        });
        this
    }

    /// `nginx -t` with a configuration.
    pub fn test(openssl: &Openssl, config: &Config) -> Run {
        let dir = Scratch::new();
        let text = config.text(&dir);
        // The directory must outlive the run: it becomes part of the openssl directory.
        let inner = openssl.dir().join("nginx-t");
        fs::create_dir_all(&inner).expect("a directory");
        let text = text.replace(
            &dir.path().display().to_string(),
            &inner.display().to_string(),
        );
        fs::write(inner.join("nginx.conf"), text).expect("written");
        let conf = inner.join("nginx.conf");
        with_environment(openssl)
            .args(["-t", "-p"])
            .arg(&inner)
            .arg("-c")
            .arg(conf)
    }

    /// The port of the nth server block.
    pub fn port(&self, n: usize) -> u16 {
        self.blocks[n].port
    }

    /// The workers' pids.
    pub fn workers(&self) -> Vec<i32> {
        children(self.daemon.pid())
    }

    /// HUP, as `nginx -s reload` does; returns when the new workers are there and the old ones have
    /// stopped listening.
    pub fn reload(&self) {
        let before = self.workers();
        self.daemon.signal(libc::SIGHUP);
        wait_for("nginx's reload", Duration::from_secs(60), || {
            let log = self.log();
            assert!(!log.contains("[emerg]"), "nginx refuses to reload: {log}");
            let now = self.workers();
            now.iter().any(|pid| !before.contains(pid)) && before.iter().all(|p| !now.contains(p))
        });
    }

    /// QUIT: a graceful end, awaited.
    pub fn quit(&mut self) {
        self.daemon.signal(libc::SIGQUIT);
        let status = self
            .daemon
            .wait(Duration::from_secs(30))
            .expect("nginx quits");
        assert!(
            status.success(),
            "nginx ended with {status}: {}",
            self.log()
        );
    }

    /// Kills a worker as the kernel's OOM killer would; the master starts another.
    pub fn kill_worker(&self, pid: i32) {
        assert!(
            self.workers().contains(&pid),
            "{pid} is none of our workers"
        );
        // SAFETY: kill has no memory effects, and the pid is a child's of our nginx.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }

    /// The whole error log, with nginx's notices.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("error.log")).unwrap_or_default()
    }

    /// The log's complaints since the last call: lines of level warn and above, and notices of
    /// workers that ended by a signal.
    pub fn complaints(&mut self) -> Vec<String> {
        let log = self.log();
        let new = log[self.seen..].lines();
        let levels = ["[warn]", "[error]", "[crit]", "[alert]", "[emerg]"];
        let found = new
            .filter(|line| {
                levels.iter().any(|l| line.contains(l)) || line.contains("exited on signal")
            })
            .map(str::to_owned)
            .collect();
        self.seen = log.len();
        found
    }

    /// Asserts that nothing has gone wrong since the last look.
    #[track_caller]
    pub fn assert_content(&mut self) {
        let complaints = self.complaints();
        assert!(
            complaints.is_empty(),
            "nginx complains:\n{}",
            complaints.join("\n")
        );
    }

    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM lets the master end its workers; they would outlive a killed one.
        let workers = self.workers();
        self.daemon.signal(libc::SIGTERM);
        if self.daemon.wait(Duration::from_secs(5)).is_none() {
            self.daemon.kill();
            for pid in workers {
                // SAFETY: kill has no memory effects. The master is gone only just now.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
    }
}

fn with_environment(openssl: &Openssl) -> Run {
    let mut run = clean(Run::new(need("nginx", "nginx-light")));
    run.command.envs(openssl.environment());
    run
}

fn command(openssl: &Openssl, dir: &Scratch) -> Run {
    with_environment(openssl)
        .arg("-p")
        .arg(dir.path())
        .arg("-c")
        .arg(dir.join("nginx.conf"))
        .arg("-e")
        .arg(dir.join("error.log"))
        .args(["-g", "master_process on;"])
}

/// Processes whose parent is `pid`.
fn children(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    if let Ok(list) = fs::read_to_string(path) {
        return list
            .split_whitespace()
            .filter_map(|p| p.parse().ok())
            .collect();
    }
    // Kernels without CONFIG_PROC_CHILDREN.
    let out = Command::new("ps")
        .args(["-o", "pid=", "--ppid", &pid.to_string()])
        .output();
    let out = out.expect("ps runs (apt-get install procps)");
    String::from_utf8_lossy(&out.stdout)
        .split_whitespace()
        .filter_map(|p| p.parse().ok())
        .collect()
}

/// nginx with `conf/nginx.conf`, its paths and ports replaced: `tpm.crt`, `tpm.key`, `software.crt` and
/// `software.key` come from `openssl`'s directory. Returns the ports of the two blocks.
pub fn from_sample(openssl: &Openssl) -> (Nginx, [u16; 2]) {
    from_text(openssl, sample("nginx.conf"))
}

/// The same with a sample that somebody has edited.
pub fn from_text(openssl: &Openssl, mut text: String) -> (Nginx, [u16; 2]) {
    let dir = Scratch::new();
    let at = dir.path().display().to_string();
    let file = |name: &str| openssl.dir().join(name);
    let blocks = ["tpm", "software"]
        .map(|name| Block::new(file(&format!("{name}.crt")), file(&format!("{name}.key"))));
    let ports = [blocks[0].port, blocks[1].port];
    let user = if is_root() { "user root;" } else { "" };
    for (from, to) in [
        ("user www-data;", user),
        (
            "listen 443 ssl;",
            &format!("listen 127.0.0.1:{} ssl;", ports[0]),
        ),
        (
            "listen 8443 ssl;",
            &format!("listen 127.0.0.1:{} ssl;", ports[1]),
        ),
        (
            "/etc/nginx/tls",
            &openssl.dir().path().display().to_string(),
        ),
        ("/run/nginx.pid", &format!("{at}/nginx.pid")),
        ("/var/log/nginx", &at),
        (
            "http {",
            &format!("daemon off;\nhttp {{\n{}", temp_paths(&dir)),
        ),
    ] {
        text = substitute(&text, from, to);
    }
    (
        Nginx::start_with(openssl, dir, &text, blocks.to_vec()),
        ports,
    )
}

fn temp_paths(dir: &Scratch) -> String {
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {}/{kind};\n", dir.path().display()))
        .concat()
}

/// nginx with `conf/nginx-upstream.conf`, its files in `openssl`'s directory, before the server on port
/// `inner`. Returns the ports of the two proxies.
pub fn proxying(openssl: &Openssl, inner: u16) -> (Nginx, [u16; 2]) {
    let dir = Scratch::new();
    let at = dir.path().display().to_string();
    let blocks = ["tpm", "software"].map(|name| Block::new(name, name));
    let ports = [blocks[0].port, blocks[1].port];
    let mut text = sample("nginx-upstream.conf");
    for (from, to) in [
        ("127.0.0.1:8001", format!("127.0.0.1:{}", ports[0])),
        ("127.0.0.1:8002", format!("127.0.0.1:{}", ports[1])),
        ("127.0.0.1:8444", format!("127.0.0.1:{inner}")),
        ("/etc/nginx/tls", openssl.dir().path().display().to_string()),
    ] {
        text = substitute(&text, from, &to);
    }
    let user = if is_root() { "user root;\n" } else { "" };
    let text = format!(
        "{user}daemon off;\npid {at}/nginx.pid;\nerror_log {at}/error.log info;\n\
         events {{ worker_connections 64; }}\nhttp {{\naccess_log off;\n{}{text}}}\n",
        temp_paths(&dir)
    );
    let server = Nginx::start_with(openssl, dir, &text, blocks.to_vec());
    (server, ports)
}
