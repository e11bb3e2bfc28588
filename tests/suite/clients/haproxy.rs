//! HAProxy with a key in the TPM beside an ordinary one, in a chroot and as a user without rights.

use super::table::find;
use openssl::ssl::{HandshakeError, SslConnector, SslMethod, SslVerifyMode};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;
use testkit::ports::free_port;
use testkit::process::wait_for;
use testkit::proxy::{Action, Fault};
use testkit::scratch::Scratch;
use testkit::service::Service;
use testkit::site::Site;
use testkit::table::{Kind, Role, Served, connects, serves, serves_on};
use testkit::tls::{Load, Version};
use testkit::tools::{is_root, need, sample, substitute};
use testkit::tpm::cc;

#[derive(Clone, Copy)]
enum Mode {
    Plain,
    MasterWorker,
    /// One thread, with or without `ssl-mode-async`.
    OneThread {
        asynchronous: bool,
    },
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
    if let Mode::OneThread { asynchronous } = mode {
        text = substitute(&text, "global\n", "global\n    nbthread 1\n");
        if !asynchronous {
            text = substitute(&text, "    ssl-mode-async\n", "");
        }
    }
    let conf = dir.write("haproxy.cfg", text);
    let run = site.openssl.client(program);
    let run = match mode {
        Mode::Plain | Mode::OneThread { .. } => run.arg("-db"),
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

/// While the TPM thinks about one handshake and others queue, the only thread serves whoever does not need
/// it; the TPM's answer is held back until that is shown. Without the mode, the same thread is stuck.
#[test]
fn one_thread_serves_others_while_the_tpm_works() {
    const WAITING: usize = 4;
    for asynchronous in [true, false] {
        let site = Site::new(Kind::Ec);
        let (server, _) = start(&site, Mode::OneThread { asynchronous }, free_port());
        let [tpm, software] = server.ports;
        let load = |port, count: usize| Load::new(port, count).clients(count);
        load(tpm, 1).run().all(1);
        load(software, 1).run().all(1);
        site.tap.reset();
        site.tap.inject(Fault::on(cc::SIGN, Action::Hold));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| load(tpm, WAITING).run());
            wait_for("the TPM's command", Duration::from_secs(20), || {
                site.tap.holding() == 1
            });
            let others = scope.spawn(|| load(software, 3).run());
            if asynchronous {
                others.join().expect("no panic").all(3);
                load(software, 1).run().all(1);
                assert_eq!(site.tap.holding(), 1, "the TPM has answered meanwhile");
                assert_eq!(site.tap.names(), ["Sign"], "the first one's, and no other");
                assert!(!waiting.is_finished());
                site.tap.heal();
            } else {
                thread::sleep(Duration::from_millis(300));
                assert!(!others.is_finished(), "this test shows nothing");
                site.tap.heal();
                others.join().expect("no panic").all(3);
            }
            waiting.join().expect("no panic").all(WAITING);
        });
        assert_eq!(site.operations(), WAITING);
        let output = server.service.output();
        let status = server.service.end(libc::SIGUSR1);
        assert!(status.success(), "{status}: {output}");
        site.tpm.assert_clean();
    }
}

/// A key that is bound to a register is served as any other, in the chroot and as a user without rights, and while the
/// TPM is at its policy the only thread serves others. In another state of the machine it is refused, and the key beside
/// it is not.
#[test]
fn a_key_with_a_policy() {
    for mode in [
        Mode::Plain,
        Mode::MasterWorker,
        Mode::OneThread { asynchronous: true },
    ] {
        let site = Site::new(Kind::Ec);
        site.tpm_key("tpm", Kind::Ec, "-pkeyopt policy:sha256:16");
        let (server, _) = start(&site, mode, free_port());
        let [tpm, software] = server.ports;
        let both = |count: usize| {
            for version in [Version::TLS1_2, Version::TLS1_3] {
                let load = |port| Load::new(port, count).clients(2).version(version);
                load(tpm).run().all(count);
                load(software).run().all(count);
            }
        };
        site.tap.reset();
        both(8);
        let counts = site.tap.counts();
        assert_eq!(
            (counts.of("PolicyPCR"), site.operations()),
            (16, 16),
            "{counts:?}"
        );
        let tool = |line: &str| drop(site.tpm.tool(line).ok());
        tool(&format!("tpm2_pcrextend 16:sha256={}", "ab".repeat(32)));
        assert_eq!(Load::new(tpm, 4).run().failures.len(), 4);
        Load::new(software, 4).run().all(4);
        tool("tpm2_pcrreset 16");
        both(4);
        let output = server.service.output();
        let status = server.service.end(libc::SIGUSR1);
        assert!(status.success(), "{status}: {output}");
        site.tpm.assert_clean();
    }
}

/// Clients that go away while their handshakes queue, or while the TPM works for them: the others are served,
/// and nothing stays in the TPM.
#[test]
fn clients_that_leave_while_the_tpm_works() {
    leaving(&Site::new(Kind::Ec), cc::SIGN);
    for command in [cc::START_AUTH_SESSION, cc::POLICY_PCR, cc::SIGN] {
        let site = Site::new(Kind::Ec);
        site.tpm_key("tpm", Kind::Ec, "-pkeyopt policy:sha256:16");
        leaving(&site, command);
    }
}

/// They leave when the TPM is at `command`.
fn leaving(site: &Site, command: u32) {
    let mode = Mode::OneThread { asynchronous: true };
    let (server, _) = start(site, mode, free_port());
    let [tpm, software] = server.ports;
    Load::new(tpm, 1).run().all(1);
    site.tap.inject(Fault::on(command, Action::Hold));
    let leaving: Vec<_> = (0..4).map(|_| hello(tpm)).collect();
    wait_for("the TPM's command", Duration::from_secs(20), || {
        site.tap.holding() == 1
    });
    drop(leaving);
    thread::scope(|scope| {
        let staying = scope.spawn(|| Load::new(tpm, 2).clients(2).run());
        Load::new(software, 2).run().all(2);
        site.tap.heal();
        staying.join().expect("no panic").all(2);
    });
    Load::new(tpm, 2).run().all(2);
    let output = server.service.output();
    let status = server.service.end(libc::SIGUSR1);
    assert!(status.success(), "{status}: {output}");
    site.tpm.assert_clean();
}

/// A connection that has sent a ClientHello, so that the server signs.
fn hello(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connects");
    let copy = stream.try_clone().expect("a second descriptor");
    stream.set_nonblocking(true).expect("non-blocking");
    let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("libssl");
    builder.set_verify(SslVerifyMode::NONE);
    match builder.build().connect("localhost", stream) {
        Err(HandshakeError::WouldBlock(middle)) => drop(middle),
        other => panic!("{:?}", other.map(drop)),
    }
    copy
}
