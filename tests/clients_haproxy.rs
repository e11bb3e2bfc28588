//! HAProxy with a key in the TPM beside an ordinary one, in a chroot and as a user without rights.

use crate::clients::find;
use crate::common::net::free_port;
use crate::common::scratch::Scratch;
use crate::common::service::Service;
use crate::common::site::Site;
use crate::common::table::{Kind, Role, Served, connects, serves, serves_on};
use crate::common::tools::{is_root, need, sample, substitute};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

#[derive(Clone, Copy)]
enum Mode {
    Plain,
    MasterWorker,
}

/// haproxy with `conf/haproxy.cfg`; `inner` is the port of the server behind it. Also returns the ports of
/// its client sides.
fn start(site: &Site, mode: Mode, inner: u16) -> (Served, [u16; 2]) {
    let program = need("haproxy", "haproxy");
    let [tpm, software, to_inner, to_other] = [(); 4].map(|()| free_port());
    let local = |port: u16| format!("127.0.0.1:{port}");
    let dir = Scratch::new();
    let mut text = sample("haproxy.cfg");
    let inner_file = site.file("inner.crt");
    if !inner_file.exists() {
        std::fs::copy(site.file("software.crt"), inner_file).expect("copied");
    }
    for (from, to) in [
        ("bind :443 ", format!("bind {} ", local(tpm))),
        ("bind :8443 ", format!("bind {} ", local(software))),
        ("127.0.0.1:8001", local(to_inner)),
        ("127.0.0.1:8002", local(to_other)),
        ("127.0.0.1:8444", local(inner)),
        ("/etc/haproxy/tls", site.at()),
    ] {
        text = substitute(&text, from, &to);
    }
    if !is_root() {
        // Only root can change its root and its user.
        for line in [
            "    chroot /var/lib/haproxy\n",
            "    user haproxy\n",
            "    group haproxy\n",
        ] {
            text = substitute(&text, line, "");
        }
    }
    let conf = dir.write("haproxy.cfg", text);
    let run = site.openssl.client(program);
    let run = match mode {
        Mode::Plain => run.arg("-db"),
        Mode::MasterWorker => run.arg("-W"),
    };
    let ports = [tpm, software];
    let all = [tpm, software, to_inner, to_other];
    let served = Served {
        service: Service::start("haproxy", run.arg("-f").arg(conf), dir, &all),
        ports,
        signal: libc::SIGUSR1,
        code: Some(0),
        with: (),
    };
    (served, [to_inner, to_other])
}

fn serve(mode: Mode) -> impl Fn(&Site) -> Served {
    move |site| start(site, mode, free_port()).0
}

/// A request over plain HTTP; `None` unless the answer is a 200.
pub fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream
        .write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    // A proxy without the server behind it may well reset the connection.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1)?;
    (status == "200").then_some(answer)
}

fn connect(client: &str, mode: Mode) {
    connects(find(client, Role::Client), |site, _, inner| {
        let (server, ports) = start(site, mode, inner);
        let answers = ports.map(get);
        let output = server.service.output();
        let status = server.service.end(libc::SIGUSR1);
        assert!(status.success(), "{status}: {output}");
        let [tpm, software] = answers;
        Some([tpm?, software.expect("the software key works")])
    });
}

#[test]
pub fn haproxy_serves() {
    serves(find("HAProxy", Role::Server), serve(Mode::Plain));
}

#[test]
pub fn a_master_and_its_worker_serve() {
    let row = find("HAProxy, master-worker", Role::Server);
    serves(row, serve(Mode::MasterWorker));
}

#[test]
pub fn haproxy_connects() {
    connect("HAProxy", Mode::Plain);
}

#[test]
pub fn a_master_and_its_worker_connect() {
    connect("HAProxy, master-worker", Mode::MasterWorker);
}

/// The TPM's name was resolved before the chroot.
#[test]
fn a_chroot_reaches_a_tpm_behind_a_tcp_port() {
    let row = find("HAProxy", Role::Server);
    serves_on(row, Kind::Ec, Site::tcp(Kind::Ec), serve(Mode::Plain));
}
