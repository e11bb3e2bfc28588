//! EAP-TLS with keys in the TPM: FreeRADIUS, and wpa_supplicant by its `eapol_test`, which is both the supplicant and the
//! access point.

use super::pin_clients;
use super::pin_servers::as_it_is;
use super::pins::{self, Given, PIN, Place};
use super::table::find;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::openssl::{Openssl, clean};
use testkit::ports::free_port;
use testkit::process::{Done, Run, wait_for};
use testkit::scratch::{Scratch, give_to};
use testkit::service::Service;
use testkit::site::{Site, inner_files};
use testkit::table::{
    HANDSHAKES, Handshakes, Role, Seen, Served, Tls, VERSIONS, connects_by, serves_by,
};
use testkit::tools::{is_root, need, need_file, sample, substitute, tpmctl};

const USER: &str = "freerad";
const READY: &str = "Ready to process requests";

/// Debian's FreeRADIUS, with each of `ours` in the place of its `eap`, for one virtual server more: its directory, the
/// ports of the virtual servers, and the arguments.
fn debians(ours: &[&str]) -> (Scratch, Vec<u16>) {
    assert!(
        is_root(),
        "Debian's configuration of FreeRADIUS is for root and its user alone"
    );
    let dir = Scratch::new();
    let home = dir.join("3.0");
    let debians = need_file("/etc/freeradius/3.0", "freeradius");
    Run::new("cp").arg("-a").arg(debians).arg(&home).ok();
    let at = dir.path().display().to_string();
    change(
        &home.join("radiusd.conf"),
        &[
            (
                "raddbdir = /etc/freeradius/3.0",
                &format!("raddbdir = {at}/3.0"),
            ),
            ("logdir = /var/log/freeradius", &format!("logdir = {at}")),
            (
                "run_dir = ${localstatedir}/run/${name}",
                &format!("run_dir = {at}"),
            ),
        ],
    );
    let tunnel = format!("port = {}", free_port());
    change(
        &home.join("sites-available/inner-tunnel"),
        &[("port = 18120", &tunnel)],
    );
    let site = fs::read_to_string(home.join("sites-available/default")).expect("readable");
    let ports = ours.iter().enumerate().map(|(n, eap)| {
        let port = free_port();
        let name = if n == 0 {
            "eap".to_owned()
        } else {
            format!("eap_{n}")
        };
        let eap = substitute(eap, "\neap {\n", &format!("\neap {name} {{\n"));
        fs::write(home.join(format!("mods-enabled/{name}")), eap).expect("written");
        let site = virtual_server(&site, n, &name, port);
        fs::write(home.join(format!("sites-enabled/{n}")), site).expect("written");
        port
    });
    let ports = ports.collect();
    fs::remove_file(home.join("sites-enabled/default")).expect("removed");
    give_to(USER, dir.path());
    (dir, ports)
}

fn change(file: &Path, changes: &[(&str, &str)]) {
    let text = fs::read_to_string(file).expect("readable");
    let text = changes
        .iter()
        .fold(text, |text, (from, to)| substitute(&text, from, to));
    fs::write(file, text).expect("written");
}

/// Debian's virtual server with another name, its first port at `port`, and another `eap`.
fn virtual_server(debians: &str, n: usize, eap: &str, port: u16) -> String {
    let mut next = Some(port);
    let lines = debians.lines().map(|line| {
        let indent = &line[..line.len() - line.trim_start().len()];
        match line.trim() {
            "server default {" => format!("server default{n} {{"),
            "ipaddr = *" => format!("{indent}ipaddr = 127.0.0.1"),
            "port = 0" => format!("{indent}port = {}", next.take().unwrap_or_else(free_port)),
            "eap {" => format!("{indent}{eap} {{"),
            "eap" => format!("{indent}{eap}"),
            // Not on every machine.
            line if line.starts_with("ipv6addr = ::") => format!("{indent}ipaddr = 127.0.0.1"),
            _ => line.to_owned(),
        }
    });
    lines.map(|line| line + "\n").collect()
}

/// With us. FreeRADIUS does not start without OpenSSL's legacy provider, which OPENSSL_MODULES would hide.
fn ours(openssl: &Openssl, program: PathBuf) -> Run {
    openssl.client(program).env_remove("OPENSSL_MODULES")
}

/// Starts it; what it said if it ended by itself.
fn radius(run: impl Fn(PathBuf) -> Run, dir: Scratch) -> Result<Service, String> {
    let run = run(need("freeradius", "freeradius"))
        .arg("-d")
        .arg(dir.join("3.0"))
        .words("-f -xx -l stdout");
    let mut service = Service::try_start("freeradius", run, dir, &[])?;
    let mut ended = false;
    wait_for("freeradius", Duration::from_secs(60), || {
        ended = service.ended();
        ended || service.output().contains(READY)
    });
    match ended {
        true => Err(service.output()),
        false => Ok(service),
    }
}

/// The sample with the certificate and the key of `name` in a directory, for both versions of TLS.
fn eap(at: &str, name: &str) -> String {
    let text = substitute(
        &sample("freeradius/eap"),
        "/etc/freeradius/tls/tpm",
        &format!("{at}/{name}"),
    );
    let text = substitute(&text, "/etc/freeradius/tls", at);
    substitute(
        &text,
        "tls_max_version = \"1.2\"",
        "tls_max_version = \"1.3\"",
    )
}

#[test]
pub fn freeradius_serves() {
    serves_by(
        find("FreeRADIUS", Role::Server),
        |site| {
            inner_files(&site.openssl, &["tpm.crt", "software.crt"]);
            for name in ["tpm.key", "software.key"] {
                give_to(USER, &site.file(name));
            }
            let both = ["tpm", "software"].map(|name| eap(&site.at(), name));
            let (dir, ports) = debians(&both.each_ref().map(String::as_str));
            let service = radius(|program| ours(&site.openssl, program), dir);
            Served {
                service: service.unwrap_or_else(|said| panic!("{said}")),
                ports: ports.try_into().expect("two virtual servers"),
                signal: libc::SIGTERM,
                code: Some(0),
                with: (),
            }
        },
        |them: &Handshakes| {
            let site = them.site;
            let network = network(
                &site.at(),
                them.name,
                "software",
                "software.key",
                them.version,
            );
            let all = (0..HANDSHAKES).map(|_| {
                let plain =
                    |program: &Path| clean(Run::new(program)).env("OPENSSL_CONF", "/dev/null");
                eapol_test(plain, &network, them.port)
            });
            let certificate = format!(
                "CTRL-EVENT-EAP-PEER-CERT depth=0 subject='/CN={}'",
                them.name
            );
            let protocol = match them.version {
                Tls::V12 => "SSL: Using TLS version TLSv1.2\n",
                Tls::V13 => "SSL: Using TLS version TLSv1.3\n",
            };
            let good = |done: &Done| {
                let out = done.out();
                done.status.success() && out.contains(&certificate) && out.contains(protocol)
            };
            let failed = all.filter(|done| !good(done));
            failed.map(|done| format!("{done:#}")).collect()
        },
    );
}

#[test]
pub fn freeradius_with_a_pin() {
    pins::goes_through(
        pins::find("FreeRADIUS", "`private_key_password`"),
        |place, given| {
            place.software();
            give_to(USER, &place.file("key.pem"));
            let at = place.bare.dir().path().display().to_string();
            place
                .bare
                .dir()
                .write("clients.crt", place.bare.dir().read("soft.crt"));
            let mut text = substitute(&eap(&at, "key"), "/key.key", "/key.pem");
            if given != Given::Nothing {
                let password = place.given();
                text = substitute(
                    &text,
                    "#private_key_password = \"4711\"",
                    &format!("private_key_password = \"{password}\""),
                );
            }
            let (dir, ports) = debians(&[&text]);
            let service = radius(|program| ours(&place.bare, program), dir)?;
            Ok(pins::Running {
                service,
                port: ports[0],
                log: None,
                reload: libc::SIGHUP,
                done: &[],
                failed: &[],
                handshakes: 6,
                handshake: by_eap,
                end: libc::SIGTERM,
            })
        },
        as_it_is,
    );
}

fn by_eap(place: &Place, port: u16) -> bool {
    let at = place.bare.dir().path().display().to_string();
    let network = network(&at, "key", "soft", "soft.key", Tls::V12);
    let plain = |program: &Path| clean(Run::new(program)).env("OPENSSL_CONF", "/dev/null");
    eapol_test(plain, &network, port).status.success()
}

/// The sample with files of a directory, in one version of TLS.
fn network(at: &str, ca: &str, certificate: &str, key: &str, version: Tls) -> String {
    let text = sample("wpa_supplicant.conf");
    let text = substitute(
        &text,
        "/etc/wpa_supplicant/tls/ca.crt\"",
        &format!("{at}/{ca}.crt\""),
    );
    let text = substitute(
        &text,
        "/etc/wpa_supplicant/tls/tpm.crt\"",
        &format!("{at}/{certificate}.crt\""),
    );
    let text = substitute(
        &text,
        "/etc/wpa_supplicant/tls/tpm.key\"",
        &format!("{at}/{key}\""),
    );
    // It is off unless somebody asks for it.
    let phase1 = match version {
        Tls::V12 => "tls_disable_tlsv1_3=1",
        Tls::V13 => {
            "tls_disable_tlsv1_0=1 tls_disable_tlsv1_1=1 tls_disable_tlsv1_2=1 tls_disable_tlsv1_3=0"
        }
    };
    substitute(
        &text,
        "\teap=TLS\n",
        &format!("\teap=TLS\n\tphase1=\"{phase1}\"\n"),
    )
}

fn eapol_test(run: impl Fn(&Path) -> Run, network: &str, port: u16) -> Done {
    let dir = Scratch::new();
    run(&need("eapol_test", "eapoltest"))
        .arg("-c")
        .arg(dir.write("wpa_supplicant.conf", network))
        .words(&format!("-a 127.0.0.1 -p {port} -s testing123 -t 30"))
        .done()
}

/// FreeRADIUS without us, with `inner.crt`, for clients of `clients.crt`, all in a directory.
fn inner(openssl: &Openssl) -> (Service, u16) {
    give_to(USER, &openssl.dir().join("inner.key"));
    let at = openssl.dir().path().display().to_string();
    let (dir, ports) = debians(&[&eap(&at, "inner")]);
    let plain = |program| clean(Run::new(program)).env("OPENSSL_CONF", "/dev/null");
    (
        radius(plain, dir).unwrap_or_else(|said| panic!("{said}")),
        ports[0],
    )
}

#[test]
pub fn wpa_supplicant_connects() {
    connects_by(
        find("wpa_supplicant", Role::Client),
        |site, _| {
            site.inner_files();
            convert(&site.openssl, "tpm.key", "tpm8.key");
        },
        |site, version| {
            let (server, port) = inner(&site.openssl);
            let connect = |name: &str, key: &str| {
                let network = network(&site.at(), "inner", name, key, version);
                let done = eapol_test(|program| site.openssl.client(program), &network, port);
                if !done.status.success() {
                    println!("{done:#}\n{}", server.output());
                    return None;
                }
                Some(last_seen(&server.output()))
            };
            let tpm = connect("tpm", "tpm8.key");
            let software = connect("software", "software.key");
            server.end(libc::SIGTERM);
            Some([tpm?, software.expect("the software key works")])
        },
    );
}

/// The file for programs that look at its label.
fn convert(openssl: &Openssl, from: &str, to: &str) {
    let line = format!("key convert --form pkcs8 {from} -o {to}");
    openssl.client(tpmctl()).words(&line).ok();
    let text = openssl.dir().read_text(to);
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{text}");
}

/// What FreeRADIUS says of its last client.
fn last_seen(log: &str) -> Seen {
    let last = |before: &str| {
        let (_, rest) = log.rsplit_once(before).unwrap_or_else(|| panic!("{log}"));
        rest.split('"').next().expect("a value").to_owned()
    };
    let version = last("eap_tls:   TLS-Session-Version = \"TLS ");
    let version = VERSIONS.into_iter().find(|it| {
        version
            == match it {
                Tls::V12 => "1.2",
                Tls::V13 => "1.3",
            }
    });
    (
        version.expect("a version"),
        last("TLS-Client-Cert-Common-Name := \""),
    )
}

/// Why the form PKCS#8: the label of any other file sends wpa_supplicant to an engine.
#[test]
fn wpa_supplicant_looks_for_an_engine() {
    let site = Site::new(testkit::table::Kind::Ec);
    site.inner_files();
    let (server, port) = inner(&site.openssl);
    site.tap.reset();
    let network = network(&site.at(), "inner", "tpm", "tpm.key", Tls::V12);
    let done = eapol_test(|program| site.openssl.client(program), &network, port);
    let out = done.out();
    assert!(!done.status.success(), "{done:#}");
    assert!(out.contains("ENGINE: engine tpm2 not available"), "{out}");
    assert_eq!(site.tap.counts().total(), 0);
    server.end(libc::SIGTERM);
}

/// With a key that `tpmctl key new` has written in that form.
#[test]
pub fn wpa_supplicant_with_a_pin() {
    pin_clients::goes_through(
        pin_clients::find("wpa_supplicant"),
        |place| {
            let right = place.file("right.pin");
            fs::write(&right, format!("{PIN}\n")).expect("written");
            place
                .bare
                .client(tpmctl())
                .words("key new --type ec --form pkcs8 -o wpa.key --auth")
                .arg(format!("file:{}", right.display()))
                .ok();
            place
                .bare
                .run("req -x509 -key wpa.key -out wpa.crt -subj /CN=tpm -days 2 -passin")
                .arg(format!("file:{}", right.display()))
                .ok();
            inner_files(&place.bare, &["wpa.crt"]);
            inner(&place.bare)
        },
        |place, (_, port), given| {
            let at = place.bare.dir().path().display().to_string();
            let mut text = network(&at, "inner", "wpa", "wpa.key", Tls::V12);
            if given != Given::Nothing {
                let line = format!("private_key_passwd=\"{}\"", place.given());
                text = substitute(&text, "#private_key_passwd=\"4711\"", &line);
            }
            eapol_test(|program| place.bare.client(program), &text, *port)
        },
    );
}
