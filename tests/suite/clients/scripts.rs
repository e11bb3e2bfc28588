//! PHP, Perl and Ruby with a key in the TPM beside an ordinary one: each runs its samples, as Debian has it, whatever else is
//! on the PATH.

use super::table::find;
use std::path::PathBuf;
use testkit::ports::free_port;
use testkit::process::Run;
use testkit::scratch::Scratch;
use testkit::service::Service;
use testkit::site::Site;
use testkit::table::{Role, Served, connects, serves, two_answers};
use testkit::tools::{need_file, root};

fn php() -> PathBuf {
    need_file("/usr/bin/php", "php-cli")
}

/// With a module of its own in Debian.
fn php_curl() -> PathBuf {
    let modules = Run::new(php()).arg("-m").ok().out();
    assert!(
        modules.lines().any(|name| name == "curl"),
        "PHP has no curl: apt-get install php-curl (or: tools/setup check)"
    );
    php()
}

fn perl() -> PathBuf {
    need_file("/usr/share/perl5/IO/Socket/SSL.pm", "libio-socket-ssl-perl");
    need_file("/usr/bin/perl", "perl")
}

fn ruby() -> PathBuf {
    need_file("/usr/bin/ruby", "ruby")
}

/// A sample that serves, on two ports.
fn start(site: &Site, name: &'static str, program: PathBuf, script: &str) -> Served {
    let ports = [free_port(), free_port()];
    let run = site
        .openssl
        .client(program)
        .arg(root().join("conf").join(script))
        .arg(site.at())
        .args(ports.map(|port| port.to_string()));
    Served {
        service: Service::start(name, run, Scratch::new(), &ports),
        ports,
        signal: libc::SIGTERM,
        code: Some(0),
        with: (),
    }
}

/// A sample that asks a server twice.
fn ask(site: &Site, program: PathBuf, script: &str, port: u16) -> Option<[String; 2]> {
    let done = site
        .openssl
        .client(program)
        .arg(root().join("conf").join(script))
        .arg(site.at())
        .args(["localhost", &port.to_string()])
        .done();
    two_answers(&done)
}

#[test]
pub fn php_serves() {
    serves(find("PHP's streams", Role::Server), |site| {
        start(site, "php", php(), "php/server.php")
    });
}

#[test]
pub fn php_connects() {
    connects(find("PHP's streams", Role::Client), |site, _, port| {
        ask(site, php(), "php/client.php", port)
    });
}

#[test]
pub fn php_curl_connects() {
    connects(find("PHP's curl", Role::Client), |site, _, port| {
        ask(site, php_curl(), "php/curl.php", port)
    });
}

#[test]
pub fn perl_serves() {
    serves(find("Perl's IO::Socket::SSL", Role::Server), |site| {
        start(site, "perl", perl(), "perl/server.pl")
    });
}

#[test]
pub fn perl_connects() {
    connects(
        find("Perl's IO::Socket::SSL", Role::Client),
        |site, _, port| ask(site, perl(), "perl/client.pl", port),
    );
}

#[test]
pub fn ruby_serves() {
    serves(find("Ruby's openssl", Role::Server), |site| {
        start(site, "ruby", ruby(), "ruby/server.rb")
    });
}

#[test]
pub fn ruby_connects() {
    connects(find("Ruby's openssl", Role::Client), |site, _, port| {
        ask(site, ruby(), "ruby/client.rb", port)
    });
}
