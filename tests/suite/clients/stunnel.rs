//! stunnel with a key in the TPM beside an ordinary one.

use super::haproxy::get;
use super::table::find;
use testkit::backend::Backend;
use testkit::ports::free_port;
use testkit::scratch::Scratch;
use testkit::service::Service;
use testkit::site::Site;
use testkit::table::{Role, Served, connects, serves};
use testkit::tools::{is_root, need, sample, substitute};

/// stunnel with `conf/stunnel.conf`; also returns the ports of its client sides.
fn start(site: &Site, inner: u16) -> (Served<Backend>, [u16; 2]) {
    start_with(site, inner, "")
}

/// The same with `more` in the general part of its file.
fn start_with(site: &Site, inner: u16, more: &str) -> (Served<Backend>, [u16; 2]) {
    let program = need("stunnel4", "stunnel4");
    let backend = Backend::start();
    let [tpm, software, to_inner, to_other] = [(); 4].map(|()| free_port());
    let local = |port: u16| format!("127.0.0.1:{port}");
    let dir = Scratch::new();
    let mut text = sample("stunnel.conf");
    let inner_file = site.file("inner.crt");
    if !inner_file.exists() {
        std::fs::copy(site.file("software.crt"), inner_file).expect("copied");
    }
    for (from, to) in [
        (
            "pid = /run/stunnel4/stunnel.pid\n",
            format!("foreground = yes\npid =\n{more}"),
        ),
        ("accept = 443\n", format!("accept = {}\n", local(tpm))),
        ("accept = 8443\n", format!("accept = {}\n", local(software))),
        ("127.0.0.1:80\n", format!("{}\n", local(backend.port))),
        ("127.0.0.1:8001", local(to_inner)),
        ("127.0.0.1:8002", local(to_other)),
        ("127.0.0.1:8444", local(inner)),
        ("/etc/stunnel/tls", site.at()),
    ] {
        text = substitute(&text, from, &to);
    }
    if !is_root() {
        for line in ["setuid = stunnel4\n", "setgid = stunnel4\n"] {
            text = substitute(&text, line, "");
        }
    }
    let conf = dir.write("stunnel.conf", text);
    let run = site.openssl.client(program).arg(conf);
    let ports = [tpm, software];
    // stunnel binds all its ports before it serves any. The client sides are not tried: each connection
    // to them is a handshake with the server behind.
    let served = Served {
        service: Service::start("stunnel", run, dir, &ports),
        ports,
        signal: libc::SIGTERM,
        code: Some(0),
        with: backend,
    };
    (served, [to_inner, to_other])
}

#[test]
pub fn stunnel_serves() {
    serves(find("stunnel", Role::Server), |site| {
        start(site, free_port()).0
    });
}

/// It changes root and user before the first signature.
#[test]
fn stunnel_serves_in_a_chroot() {
    assert!(is_root(), "only root changes its root directory");
    let jail = Scratch::new();
    let chroot = format!("chroot = {}\n", jail.path().display());
    serves(find("stunnel", Role::Server), |site| {
        start_with(site, free_port(), &chroot).0
    });
}

#[test]
pub fn stunnel_connects() {
    connects(find("stunnel", Role::Client), |site, _, inner| {
        let (server, ports) = start(site, inner);
        let answers = ports.map(get);
        let output = server.service.output();
        let status = server.service.end(libc::SIGTERM);
        assert!(status.success(), "{status}: {output}");
        let [tpm, software] = answers;
        Some([tpm?, software.expect("the software key works")])
    });
}
