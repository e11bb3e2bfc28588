//! OpenVPN, by pkcs11-helper. It has one key in a process.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use testkit::ports::free_port;
use testkit::process::{Run, wait_for};
use testkit::scratch::{Scratch, give_to, set_mode};
use testkit::service::Service;
use testkit::site::inner_files;
use testkit::table::{Role, Tls, VERSIONS};
use testkit::tools::{is_root, module, need, substitute};

use super::table::find;
use super::{Case, Seen, configuration, each_cell};

const PACKAGE: &str = "openvpn";
const UP: &str = "Initialization Sequence Completed";

/// The id of the case's certificate, as OpenVPN shows it.
fn id(case: &Case) -> Option<String> {
    let shown = case
        .keys
        .program("openvpn", PACKAGE)
        .arg("--show-pkcs11-ids")
        .arg(module())
        .ok()
        .out();
    assert!(shown.contains("DN:             CN=tpm\n"), "{shown}");
    let id = shown.split_once("Serialized id:")?.1.lines().next()?;
    Some(id.trim().to_owned())
}

#[test]
pub fn openvpn_lists() {
    each_cell(find(openvpn_lists), |case| {
        let id = id(case).expect("an id");
        // The serial number of the token with the keys that have no PIN, and the token's name.
        let token = match case.pin {
            None => r"/0000000000000000/TPM\x20keys/",
            Some(_) => "/tpm/",
        };
        assert!(id.contains(token), "{id}");
        Seen::Listing
    });
}

/// One end: without a tunnel, as in `clients/openvpn.rs`.
fn start(run: Run, text: String, role: Role, version: Tls, port: u16) -> Service {
    let dir = Scratch::new();
    set_mode(dir.path(), 0o755);
    let only = match version {
        Tls::V12 => "tls-version-min 1.2\ntls-version-max 1.2",
        Tls::V13 => "tls-version-min 1.3",
    };
    let text = substitute(&text, "tls-version-min 1.2", only);
    let text = match role {
        Role::Server => {
            format!("{text}\ndev null\ntls-server\nlocal 127.0.0.1\nport {port}\ndh none\n")
        }
        Role::Client => format!("{text}\ndev null\ntls-client\nremote 127.0.0.1 {port}\nnobind\n"),
    };
    let conf = dir.write("openvpn.conf", text);
    Service::start(
        "openvpn",
        run.arg("--config").arg(conf).words("--verb 3"),
        dir,
        &[],
    )
}

/// Answers what OpenVPN asks at its management socket, as those do who run it. It reads nothing of a terminal's.
fn answer(socket: &Path, pin: &'static str) {
    // The file is there a moment before somebody listens.
    let mut connected = None;
    wait_for("the management socket", Duration::from_secs(30), || {
        connected = UnixStream::connect(socket).ok();
        connected.is_some()
    });
    let stream = connected.expect("connected");
    thread::spawn(move || {
        let mut to = stream.try_clone().expect("a second descriptor");
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if line.starts_with(">PASSWORD:Need 'tpm token' password") {
                let _ = writeln!(to, "password \"tpm token\" \"{pin}\"");
            }
        }
    });
}

/// Connects an OpenVPN with the TPM's key in a role, by the sample, with one without us; whether both were up.
fn connect(case: &Case, role: Role, version: Tls) -> bool {
    let dir = case.keys.openssl.dir();
    let at = dir.path().display().to_string();
    inner_files(&case.keys.openssl, &["keys/tpm.crt"]);
    dir.write(
        "ca.crt",
        [dir.read("inner.crt"), dir.read("keys/tpm.crt")].concat(),
    );
    let mut ours = configuration("openvpn-client.conf");
    let (_, example) = ours.split_once("pkcs11-id '").expect("an id");
    let example = example.split('\'').next().expect("its end").to_owned();
    let id = id(case).expect("an id");
    for (from, to) in [
        (
            "client\ndev tun\nproto udp\nremote vpn.example.com 1194\nnobind\n",
            "proto udp\n",
        ),
        ("verify-x509-name vpn.example.com name\n", ""),
        ("/etc/openvpn/tls", at.as_str()),
        (example.as_str(), id.as_str()),
        // Machines without a TPM may have no group of that name.
        ("group tss", "group nogroup"),
    ] {
        ours = substitute(&ours, from, to);
    }
    match is_root() {
        true => give_to("nobody", &case.keys.dir()),
        false => ours = substitute(&ours, "user nobody\ngroup nogroup\n", ""),
    }
    if case.pin.is_some() {
        ours = format!("{ours}\nmanagement {at}/manage unix\nmanagement-query-passwords\n");
    }
    let theirs = format!(
        "proto udp\nca {at}/ca.crt\ncert {at}/inner.crt\nkey {at}/inner.key\ntls-version-min 1.2\n"
    );
    let run = case.keys.program("openvpn", PACKAGE);
    let other = Run::new(need("openvpn", PACKAGE)).env("OPENSSL_CONF", "/dev/null");
    let port = free_port();
    let (other_role, bound) = match role {
        Role::Client => (Role::Server, "link local (bound)"),
        Role::Server => (Role::Client, "link remote"),
    };
    let other = start(other, theirs, other_role, version, port);
    wait_for(bound, Duration::from_secs(30), || {
        other.output().contains(bound)
    });
    let mut own = start(run, ours, role, version, port);
    if let Some(pin) = case.pin {
        answer(&case.path("manage"), pin);
    }
    let mut failed = false;
    wait_for(UP, Duration::from_secs(60), || {
        let said = own.output();
        failed =
            said.contains("TLS Error") || said.contains("Cannot load certificate") || own.ended();
        failed || [&own, &other].iter().all(|end| end.output().contains(UP))
    });
    let (said, seen) = (own.output(), other.output());
    if failed {
        println!("{said}");
        return false;
    }
    let protocol = match version {
        Tls::V12 => "Control Channel: TLSv1.2,",
        Tls::V13 => "Control Channel: TLSv1.3,",
    };
    assert!(said.contains(protocol), "{said}");
    assert!(seen.contains("VERIFY OK: depth=0, CN=tpm\n"), "{seen}");
    for end in [own, other] {
        let status = end.end(libc::SIGTERM);
        assert!(status.success(), "{status}: {said}");
    }
    true
}

fn in_both_versions(case: &Case, role: Role) -> Seen {
    // With a PIN in one: what it costs is the login.
    let versions = match case.pin {
        None => &VERSIONS[..],
        Some(_) => &VERSIONS[1..],
    };
    for version in versions {
        let _ = std::fs::remove_file(case.path("manage"));
        if !connect(case, role, *version) {
            return Seen::Failure;
        }
    }
    Seen::Operations(versions.len())
}

#[test]
pub fn openvpn_connects() {
    each_cell(find(openvpn_connects), |case| {
        in_both_versions(case, Role::Client)
    });
}

#[test]
pub fn openvpn_serves() {
    each_cell(find(openvpn_serves), |case| {
        in_both_versions(case, Role::Server)
    });
}
