//! The openssl command with a configuration of the test's own, with and without the provider.

use crate::process::{Daemon, Done, Run, wait_for};
use crate::scratch::Scratch;
use crate::tools::{module, modules_dir, need, sample, substitute, tpmctl};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// The openssl under test, which also judges the results: the system's, or the one of another version that
/// `TPM_PROVIDER_OPENSSL` names (`make matrix`). C clients keep the system's libcrypto.
pub fn program() -> PathBuf {
    env::var_os("TPM_PROVIDER_OPENSSL").map_or_else(|| need("openssl", "openssl"), PathBuf::from)
}

/// A directory with an openssl.cnf; commands run in it, so file names can be relative.
pub struct Openssl {
    dir: Scratch,
    program: PathBuf,
    env: Vec<(String, String)>,
    with_provider: bool,
}

/// Which provider openssl.cnf activates first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// What we document.
    #[default]
    DefaultFirst,
    /// What some will write all the same.
    TpmFirst,
}

/// Both orders, for tests that must hold in either.
pub const ORDERS: [Order; 2] = [Order::DefaultFirst, Order::TpmFirst];

/// The orders in which software keys must work as if we were not there. A program with a static libcrypto of
/// hidden symbols lets nobody step aside (src/openssl/fetch_order.rs): there the documented order alone.
pub fn software_orders() -> &'static [Order] {
    if shares_its_functions() {
        &ORDERS
    } else {
        &ORDERS[..1]
    }
}

/// Whether a module can find the functions of the libcrypto that the openssl under test runs on: those of a shared
/// library, or those that a program with a libcrypto of its own exports.
pub fn shares_its_functions() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        Run::new(need("readelf", "binutils"))
            .args(["-W", "--dyn-syms"])
            .arg(program())
            .ok()
            .out()
            .contains(" EVP_")
    })
}

/// What `conf/openssl.cnf` becomes for a test.
#[derive(Clone, Debug, Default)]
pub struct Config {
    order: Order,
    settings: Vec<(String, String)>,
    extra: String,
    absolute: bool,
}

impl Config {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// A line of the provider's section.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sections at the end: for `ca`, `req` and the like.
    pub fn extra(mut self, text: &str) -> Self {
        self.extra.push_str(text);
        self
    }

    /// Names the module by its absolute path, for hosts whose OpenSSL has another module directory.
    pub fn absolute(mut self) -> Self {
        self.absolute = true;
        self
    }

    /// The text, made from conf/openssl.cnf, so that every test tests the sample too.
    pub fn text(&self) -> String {
        let mut text = sample("openssl.cnf");
        if self.order == Order::TpmFirst {
            let lines = "default = default_sect\ntpm = tpm_sect\n";
            text = substitute(&text, lines, "tpm = tpm_sect\ndefault = default_sect\n");
        }
        let mut section = "[tpm_sect]\n".to_owned();
        if self.absolute {
            section.push_str(&format!("module = {}\n", module().display()));
        }
        for (name, value) in &self.settings {
            section.push_str(&format!("{name} = {value}\n"));
        }
        text = substitute(&text, "[tpm_sect]\n", &section);
        // `req` insists on a section of its own, whatever its arguments.
        format!(
            "{text}\n[req]\ndistinguished_name = dn\n[dn]\n\n{}",
            self.extra
        )
    }
}

impl Openssl {
    /// With the provider, as documented, on the TPM at `tcti`.
    pub fn new(tcti: &str) -> Self {
        Self::with(Config::new(), tcti)
    }

    pub fn with(config: Config, tcti: &str) -> Self {
        let mut this = Self::without_tpm(config);
        this.env.push(("TPM_TCTI".to_owned(), tcti.to_owned()));
        this
    }

    /// With the provider and no `TPM_TCTI` in the environment.
    pub fn without_tpm(config: Config) -> Self {
        let dir = Scratch::new();
        dir.write("openssl.cnf", config.text());
        Self {
            dir,
            program: program(),
            env: Vec::new(),
            with_provider: true,
        }
    }

    /// An empty configuration, without the provider: what a client is like without us.
    pub fn without_provider() -> Self {
        let dir = Scratch::new();
        dir.write("openssl.cnf", "");
        Self {
            dir,
            program: program(),
            env: Vec::new(),
            with_provider: false,
        }
    }

    /// Another openssl binary (a newer version, say).
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// A variable for every command.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn dir(&self) -> &Scratch {
        &self.dir
    }

    pub fn conf(&self) -> PathBuf {
        self.dir.join("openssl.cnf")
    }

    /// The environment by which any client finds our configuration.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut env = self.env.clone();
        env.push(("OPENSSL_CONF".into(), self.conf().display().to_string()));
        if self.with_provider {
            env.push((
                "OPENSSL_MODULES".into(),
                modules_dir().display().to_string(),
            ));
        }
        env
    }

    /// `openssl` with the words of `line`; more arguments and input can be added.
    pub fn run(&self, line: &str) -> Run {
        self.client(&self.program).words(line)
    }

    /// Any other program, in this directory and environment.
    pub fn client(&self, program: impl AsRef<Path>) -> Run {
        let mut run = clean(Run::new(program.as_ref())).dir(self.dir.path());
        run.command.envs(self.environment());
        run
    }

    /// `tpmctl` in this directory, with the TPM at `address` and none of this openssl's settings.
    pub fn tpmctl(&self, address: &str, line: &str) -> Run {
        clean(Run::new(tpmctl()))
            .env("OPENSSL_CONF", "/dev/null")
            .env("TPM_TCTI", address)
            .dir(self.dir.path())
            .words(line)
    }

    /// Runs `openssl` and asserts success.
    #[track_caller]
    pub fn ok(&self, line: &str) -> Done {
        self.run(line).ok()
    }

    /// Runs `openssl` and asserts that it reports a failure.
    #[track_caller]
    pub fn fails(&self, line: &str) -> Done {
        self.run(line).fails()
    }

    /// Major and minor number of the openssl under test.
    pub fn version(&self) -> (u32, u32) {
        let text = self.plain().ok("version").out();
        let mut numbers = text.split([' ', '.']).skip(1).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            _ => panic!("no version: {text}"),
        }
    }

    /// The same directory with an openssl that knows nothing of us: the judge of our results.
    pub fn plain(&self) -> Plain<'_> {
        Plain(self)
    }

    /// `openssl s_server` with `line` added, on a port of its choice, ready when this returns.
    pub fn s_server(&self, line: &str) -> Server {
        Server::start(
            self.run("s_server -accept 127.0.0.1:0").words(line),
            &self.dir,
        )
    }

    /// `openssl s_client` to `port`, with `line` added; sends `Q` and ends.
    pub fn s_client(&self, port: u16, line: &str) -> Run {
        self.run("s_client -connect")
            .arg(format!("127.0.0.1:{port}"))
            .words(line)
            .stdin("Q\n")
    }

    /// Another server of openssl's that picks its port: `ocsp -port 0 ...`.
    pub fn server(&self, line: &str) -> Server {
        Server::start(self.run(line), &self.dir)
    }
}

/// See [`Openssl::plain`].
pub struct Plain<'a>(&'a Openssl);

impl Plain<'_> {
    pub fn run(&self, line: &str) -> Run {
        let conf = self
            .0
            .dir
            .write("plain.cnf", "[req]\ndistinguished_name = dn\n[dn]\n");
        clean(Run::new(&self.0.program))
            .dir(self.0.dir.path())
            .env("OPENSSL_CONF", conf)
            .words(line)
    }

    #[track_caller]
    pub fn ok(&self, line: &str) -> Done {
        self.run(line).ok()
    }

    #[track_caller]
    pub fn fails(&self, line: &str) -> Done {
        self.run(line).fails()
    }

    pub fn s_server(&self, line: &str) -> Server {
        Server::start(
            self.run("s_server -accept 127.0.0.1:0").words(line),
            &self.0.dir,
        )
    }

    pub fn s_client(&self, port: u16, line: &str) -> Run {
        self.run("s_client -connect")
            .arg(format!("127.0.0.1:{port}"))
            .words(line)
            .stdin("Q\n")
    }
}

/// Whether s_client says that the server signed with `sigalg`, which it calls `kind` before 3.5.
pub fn peer_signed_with(output: &str, sigalg: &str, kind: &str) -> bool {
    [sigalg, kind]
        .iter()
        .any(|name| output.contains(&format!("Peer signature type: {name}\n")))
}

/// Removes from the environment what the person who runs the tests may have there.
pub fn clean(mut run: Run) -> Run {
    for name in [
        "OPENSSL_CONF",
        "OPENSSL_MODULES",
        "TPM_TCTI",
        "TPM12_TCTI",
        "TSS_TCSD_HOSTNAME",
        "TSS_TCSD_PORT",
        "TPM_PARENT_AUTH",
        "TPM_LOG",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ] {
        run = run.env_remove(name);
    }
    run
}

/// A TLS server; ends on drop.
pub struct Server {
    daemon: Daemon,
    pub port: u16,
    log: PathBuf,
}

impl Server {
    fn log(dir: &Scratch) -> PathBuf {
        let mut n = 0;
        loop {
            let path = dir.join(&format!("server{n}.log"));
            if !path.exists() {
                return path;
            }
            n += 1;
        }
    }

    fn spawn(mut run: Run, dir: &Scratch) -> (Daemon, PathBuf) {
        let log = Self::log(dir);
        let file = File::create(&log).expect("a log file");
        // s_server ends when its input does, so it gets one that stays open with the process.
        run.command
            .stdin(Stdio::piped())
            .stdout(file.try_clone().expect("a second descriptor"))
            .stderr(file);
        (Daemon::spawn(&mut run.command), log)
    }

    /// Starts one that says `ACCEPT` and its port; its log is in `dir`.
    pub fn start(run: Run, dir: &Scratch) -> Self {
        let (mut daemon, log) = Self::spawn(run, dir);
        let mut port = None;
        wait_for("the server's port", Duration::from_secs(30), || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            assert!(daemon.ended().is_none(), "the server ended: {text}");
            // The last line may not be whole yet.
            port = text
                .rsplit_once('\n')
                .and_then(|(lines, _)| lines.lines().find_map(accepting));
            port.is_some()
        });
        Self {
            daemon,
            port: port.expect("found"),
            log,
        }
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asserts that it writes `text`: perhaps only after the client, whom it has told first, is gone.
    #[track_caller]
    pub fn says(&self, text: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.output().contains(text) {
            let output = self.output();
            assert!(Instant::now() < end, "{text:?} is not in\n{output}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

/// The port in `ACCEPT 127.0.0.1:40123` (s_server) or `ACCEPT [::]:40123 PID=17` (ocsp).
fn accepting(line: &str) -> Option<u16> {
    let address = line.strip_prefix("ACCEPT ")?.split(' ').next()?;
    address.rsplit(':').next()?.parse().ok()
}
