//! mosquitto, the broker and its client, with keys in the TPM.

use super::pin_servers::{as_it_is, launch, source};
use super::pins;
use super::table::find;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use testkit::openssl::{Openssl, clean};
use testkit::ports::free_port;
use testkit::process::{Done, Run, wait_for};
use testkit::scratch::{Scratch, give_to};
use testkit::service::Service;
use testkit::table::{Role, Seen, Served, Tls, VERSIONS, connects_by, serves_by};
use testkit::tools::{need, need_file, sample, substitute};

const USER: &str = "mosquitto";
const LOG: &str = "mosquitto.log";

/// A directory with Debian's mosquitto.conf, which includes `ours`.
fn debians(ours: &str) -> Scratch {
    let dir = Scratch::new();
    let at = dir.path().display().to_string();
    let conf = need_file("/etc/mosquitto/mosquitto.conf", "mosquitto");
    let mut text = fs::read_to_string(conf).expect("readable");
    for (from, to) in [
        ("/run/mosquitto/", format!("{at}/")),
        ("/var/lib/mosquitto/", format!("{at}/")),
        ("/var/log/mosquitto/", format!("{at}/")),
        ("/etc/mosquitto/conf.d\n", format!("{at}/conf.d\n")),
    ] {
        text = substitute(&text, from, &to);
    }
    dir.write("mosquitto.conf", text);
    fs::create_dir(dir.join("conf.d")).expect("made");
    dir.write("conf.d/tls.conf", ours);
    give_to(USER, dir.path());
    dir
}

fn broker(run: impl Fn(PathBuf) -> Run, dir: &Scratch) -> Run {
    run(need("mosquitto", "mosquitto"))
        .arg("-c")
        .arg(dir.join("mosquitto.conf"))
}

#[test]
pub fn mosquitto_serves() {
    serves_by(
        find("mosquitto", Role::Server),
        |site| {
            let ports = [free_port(), free_port()];
            let mut text = sample("mosquitto.conf");
            for (from, to) in [
                (
                    "listener 8883\n",
                    format!("listener {} 127.0.0.1\n", ports[0]),
                ),
                (
                    "listener 8884\n",
                    format!("listener {} 127.0.0.1\n", ports[1]),
                ),
                ("/etc/mosquitto/certs", site.at()),
            ] {
                text = substitute(&text, from, &to);
            }
            for name in ["tpm.key", "software.key"] {
                give_to(USER, &site.file(name));
            }
            let dir = debians(&text);
            let run = broker(|program| site.openssl.client(program), &dir);
            Served {
                service: Service::start("mosquitto", run, dir, &ports),
                ports,
                signal: libc::SIGTERM,
                code: Some(0),
                with: (),
            }
        },
        |them| them.tls(|load| load.without_request()),
    );
}

pub fn with_a_pin(place: &pins::Place, given: pins::Given) -> Result<pins::Running, String> {
    let port = free_port();
    let (crt, key) = (place.file("key.crt"), place.file("key.pem"));
    give_to(USER, &key);
    let dir = debians(&format!(
        "listener {port} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
        crt.display(),
        key.display()
    ));
    let log = dir.join(LOG);
    let run = broker(|program| source(place, given).client(program), &dir);
    let mut running = pins::Running {
        log: Some(log),
        done: &["Reloading config."],
        failed: &["Unable to load server key file"],
        ..launch("mosquitto", run, dir, port)?
    };
    // It listens before it looks at its keys.
    let mut ended = false;
    wait_for("mosquitto", Duration::from_secs(60), || {
        ended = running.service.ended();
        ended || running.text().contains(" running\n")
    });
    match ended {
        true => Err(running.text()),
        false => Ok(running),
    }
}

#[test]
pub fn a_pin() {
    pins::goes_through(
        pins::find("mosquitto", "`pin-source`"),
        with_a_pin,
        as_it_is,
    );
}

/// A broker without us that demands a client certificate of `clients` and knows the client by it.
pub struct Inner {
    service: Service,
    pub port: u16,
}

impl Inner {
    /// With `inner.crt` and `clients.crt` of a directory, in one version of TLS where it is named.
    pub fn start(openssl: &Openssl, version: Option<Tls>) -> Self {
        let port = free_port();
        let at = openssl.dir().path().display().to_string();
        give_to(USER, &openssl.dir().join("inner.key"));
        let dir = debians(&format!(
            "log_type all\nallow_anonymous true\nlistener {port} 127.0.0.1\ncertfile {at}/inner.crt\nkeyfile {at}/inner.key\n\
             cafile {at}/clients.crt\nrequire_certificate true\nuse_identity_as_username true\n"
        ));
        // mosquitto has a setting for the least version alone.
        let only = version.map_or(String::new(), |version| {
            let name = match version {
                Tls::V12 => "TLSv1.2",
                Tls::V13 => "TLSv1.3",
            };
            format!("MinProtocol = {name}\nMaxProtocol = {name}\n")
        });
        let conf = dir.write(
            "openssl.cnf",
            format!(
                "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = default\n[default]\n{only}"
            ),
        );
        let run = broker(
            |program| clean(Run::new(program)).env("OPENSSL_CONF", &conf),
            &dir,
        );
        Self {
            service: Service::start("mosquitto", run, dir, &[port]),
            port,
        }
    }

    /// The name of the client that has published.
    fn name(&self) -> String {
        let log = self.service.dir().read_text(LOG);
        let (_, rest) = log.split_once(", u'").unwrap_or_else(|| panic!("{log}"));
        assert!(log.contains("Received PUBLISH"), "{log}");
        rest.split('\'').next().expect("a name").to_owned()
    }
}

/// Publishes with the options of `file`, acknowledged.
pub fn publish(openssl: &Openssl, file: &str, port: u16) -> Done {
    let dir = openssl.dir();
    let home = dir.join("config");
    let _ = fs::create_dir(&home);
    dir.write("config/mosquitto_pub", file);
    openssl
        .client(need("mosquitto_pub", "mosquitto-clients"))
        .env("XDG_CONFIG_HOME", home)
        .words(&format!("-h localhost -p {port} -t topic -m message -q 1"))
        .done()
}

#[test]
pub fn mosquitto_pub_connects() {
    connects_by(
        find("mosquitto_pub", Role::Client),
        |site, _| site.inner_files(),
        |site, version| {
            let [tpm, software] = ["tpm", "software"].map(|name| {
                let broker = Inner::start(&site.openssl, Some(version));
                // It takes no other, and says nothing of the one that it takes.
                for other in VERSIONS.into_iter().filter(|it| *it != version) {
                    let plain = site.openssl.plain();
                    plain.s_client(broker.port, other.option()).fails();
                }
                let at = site.at();
                let text = substitute(&sample("mosquitto_pub"), "/etc/mosquitto/tls", &at);
                let text = substitute(&text, &format!("{at}/tpm"), &format!("{at}/{name}"));
                let done = publish(&site.openssl, &text, broker.port);
                if !done.status.success() {
                    println!("{done:#}");
                    return None;
                }
                let seen: Seen = (version, broker.name());
                broker.service.end(libc::SIGTERM);
                Some(seen)
            });
            Some([tpm?, software.expect("the software key works")])
        },
    );
}
