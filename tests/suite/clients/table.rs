//! The table of clients, and docs/MATRIX.md, which is made from it.
//!
//! Each row's test goes through the row's cells and asserts each of them; see `testkit::table`.

use super::{
    apache, curl, eap, haproxy, lighttpd, mosquitto, nginx, node, openssl, openvpn, pin_clients,
    pins, postgres, python, scripts, stunnel,
};
use testkit::table::Cell::{self, Cannot, Works};
use testkit::table::Role::{Client, Server};
use testkit::table::{Role, Row, document, markdown};

const ALL: [[Cell; 2]; 2] = [[Works; 2]; 2];

/// A client, Debian's package, and whether it takes keys and certificates by URI.
type Program = (&'static str, &'static str, Cell);

const fn row(
    (client, package, uri): Program,
    role: Role,
    sample: Option<&'static str>,
    test: fn(),
) -> Row {
    Row {
        client,
        package,
        role,
        sample,
        cells: ALL,
        beside: Works,
        uri,
        test,
    }
}

const APACHE_URI: Cell =
    Cannot("Apache httpd 2.4 opens `pkcs11:` URIs, and takes any other for a file's name.");
const HAPROXY_URI: Cell = Cannot("HAProxy 2.6 takes files only.");
const NGINX_URI: Cell =
    Cannot("nginx takes keys by URI from 1.29 on (`store:`); Debian 12 has 1.22.");
const STUNNEL_URI: Cell =
    Cannot("stunnel 5.68 takes files, and names of keys of an OpenSSL engine.");
const CURL_URI: Cell =
    Cannot("curl takes keys of a provider by URI from 8.12 on; Debian 12 has 7.88.");
const PYTHON_URI: Cell = Cannot("Python's `load_cert_chain` takes files only.");
const NODE_URI: Cell =
    Cannot("Node.js takes a key's text or a key object made from one, never a name.");
const PHP_URI: Cell = Cannot("PHP's streams take files only.");
const PERL_URI: Cell = Cannot(
    "IO::Socket::SSL takes files only, and keys that a program has loaded with Net::SSLeay.",
);
const RUBY_URI: Cell = Cannot("Ruby's gem `openssl` reads a key's text, never a name.");
const OPENVPN_URI: Cell = Cannot("OpenVPN 2.6 takes files only.");

const LIGHTTPD_URI: Cell = Cannot("lighttpd 1.4.69 takes files only.");
const POSTGRES_URI: Cell = Cannot("PostgreSQL's server takes files only.");
const LIBPQ_URI: Cell =
    Cannot("libpq takes files, and `ENGINE:ID` for a key of an OpenSSL engine.");
const MOSQUITTO_URI: Cell = Cannot("mosquitto 2.0 takes files, and keys of an OpenSSL engine.");
const FREERADIUS_URI: Cell = Cannot("FreeRADIUS 3.2 takes files only.");
const WPA_URI: Cell =
    Cannot("wpa_supplicant 2.10 takes files, `pkcs11:` URIs, and keys of an OpenSSL engine.");

const OPENVPN_ALONE: &str = "OpenVPN has one key in a process; the software key is another process's, with the provider active.";
const S_CLIENT_ALONE: &str = "s_client makes one connection; the software key is another process's, with the provider active.";

const POSTGRES_ALONE: &str = "PostgreSQL's server has one key; the software key is another process's, with the provider active.";
const MOSQUITTO_ALONE: &str = "mosquitto_pub makes one connection; the software key is another process's, with the provider active.";
const WPA_ALONE: &str = "eapol_test makes one connection; the software key is another process's, with the provider active.";

const APACHE_PREFORK: Program = ("Apache httpd, prefork", "apache2-bin", APACHE_URI);
const APACHE_EVENT: Program = ("Apache httpd, event", "apache2-bin", APACHE_URI);
const HAPROXY: Program = ("HAProxy", "haproxy", HAPROXY_URI);
const HAPROXY_MASTER: Program = ("HAProxy, master-worker", "haproxy", HAPROXY_URI);
const NGINX: Program = ("nginx", "nginx-light", NGINX_URI);
const STUNNEL: Program = ("stunnel", "stunnel4", STUNNEL_URI);
const CURL: Program = ("curl", "curl", CURL_URI);
const PYTHON: Program = ("Python's ssl", "python3", PYTHON_URI);
const NODE: Program = ("Node.js", "nodejs", NODE_URI);
const PHP: Program = ("PHP's streams", "php-cli", PHP_URI);
const PHP_CURL: Program = ("PHP's curl", "php-curl", CURL_URI);
const PERL: Program = ("Perl's IO::Socket::SSL", "libio-socket-ssl-perl", PERL_URI);
const RUBY: Program = ("Ruby's openssl", "ruby", RUBY_URI);
const OPENVPN: Program = ("OpenVPN", "openvpn", OPENVPN_URI);
const LIGHTTPD: Program = ("lighttpd", "lighttpd, lighttpd-mod-openssl", LIGHTTPD_URI);
const POSTGRES: Program = ("PostgreSQL", "postgresql", POSTGRES_URI);
const PSQL: Program = ("psql", "postgresql-client", LIBPQ_URI);
const MOSQUITTO: Program = ("mosquitto", "mosquitto", MOSQUITTO_URI);
const MOSQUITTO_PUB: Program = ("mosquitto_pub", "mosquitto-clients", MOSQUITTO_URI);
const FREERADIUS: Program = ("FreeRADIUS", "freeradius", FREERADIUS_URI);
const WPA: Program = ("wpa_supplicant", "wpasupplicant, eapoltest", WPA_URI);
const S_SERVER: Program = ("openssl s_server", "openssl", Works);
const S_CLIENT: Program = ("openssl s_client", "openssl", Works);

/// What works.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row(NGINX, Server, Some("nginx.conf"), nginx::nginx_serves),
    row(NGINX, Client, Some("nginx-upstream.conf"), nginx::nginx_connects),
    row(APACHE_PREFORK, Server, Some("apache.conf"), apache::prefork_serves),
    row(APACHE_PREFORK, Client, Some("apache-proxy.conf"), apache::prefork_connects),
    row(APACHE_EVENT, Server, Some("apache.conf"), apache::event_serves),
    row(APACHE_EVENT, Client, Some("apache-proxy.conf"), apache::event_connects),
    row(HAPROXY, Server, Some("haproxy.cfg"), haproxy::haproxy_serves),
    row(HAPROXY, Client, Some("haproxy.cfg"), haproxy::haproxy_connects),
    row(HAPROXY_MASTER, Server, Some("haproxy.cfg"), haproxy::a_master_and_its_worker_serve),
    row(HAPROXY_MASTER, Client, Some("haproxy.cfg"), haproxy::a_master_and_its_worker_connect),
    row(STUNNEL, Server, Some("stunnel.conf"), stunnel::stunnel_serves),
    row(STUNNEL, Client, Some("stunnel.conf"), stunnel::stunnel_connects),
    row(CURL, Client, Some("curlrc"), curl::curl_connects),
    row(PYTHON, Server, Some("python/server.py"), python::python_serves),
    row(PYTHON, Client, Some("python/client.py"), python::python_connects),
    row(NODE, Server, Some("node/server.js"), node::node_serves),
    row(NODE, Client, Some("node/client.js"), node::node_connects),
    row(PHP, Server, Some("php/server.php"), scripts::php_serves),
    row(PHP, Client, Some("php/client.php"), scripts::php_connects),
    row(PHP_CURL, Client, Some("php/curl.php"), scripts::php_curl_connects),
    row(PERL, Server, Some("perl/server.pl"), scripts::perl_serves),
    row(PERL, Client, Some("perl/client.pl"), scripts::perl_connects),
    row(RUBY, Server, Some("ruby/server.rb"), scripts::ruby_serves),
    row(RUBY, Client, Some("ruby/client.rb"), scripts::ruby_connects),
    row(OPENVPN, Server, Some("openvpn/server.conf"), openvpn::openvpn_serves).alone(OPENVPN_ALONE),
    row(OPENVPN, Client, Some("openvpn/client.conf"), openvpn::openvpn_connects).alone(OPENVPN_ALONE),
    row(LIGHTTPD, Server, Some("lighttpd.conf"), lighttpd::lighttpd_serves),
    row(POSTGRES, Server, Some("postgresql.conf"), postgres::postgres_serves).alone(POSTGRES_ALONE),
    row(PSQL, Client, Some("pg_service.conf"), postgres::psql_connects),
    row(MOSQUITTO, Server, Some("mosquitto.conf"), mosquitto::mosquitto_serves),
    row(MOSQUITTO_PUB, Client, Some("mosquitto_pub"), mosquitto::mosquitto_pub_connects).alone(MOSQUITTO_ALONE),
    row(FREERADIUS, Server, Some("freeradius/eap"), eap::freeradius_serves),
    row(WPA, Client, Some("wpa_supplicant.conf"), eap::wpa_supplicant_connects).alone(WPA_ALONE),
    row(S_SERVER, Server, None, openssl::s_server_serves),
    row(S_CLIENT, Client, None, openssl::s_client_connects).alone(S_CLIENT_ALONE),
];

/// The row of a client in a role.
pub fn find(client: &str, role: Role) -> &'static Row {
    let found = ROWS.iter().find(|r| r.client == client && r.role == role);
    found.unwrap_or_else(|| panic!("no row for {client} as {role:?}"))
}

#[test]
fn each_row_has_a_test_of_its_own() {
    for (n, row) in ROWS.iter().enumerate() {
        for other in &ROWS[..n] {
            assert!((row.client, row.role) != (other.client, other.role));
            assert!(row.test as usize != other.test as usize, "{}", row.client);
        }
        for cell in row.all_cells() {
            if let Cannot(why) = cell {
                assert!(why.ends_with('.') && why.len() > 20, "a sentence: {why}");
            }
        }
    }
}

/// `TPM_MATRIX=write` in the environment writes the table instead of comparing it.
#[test]
fn the_matrix_is_the_table() {
    document("clients", &markdown(ROWS));
    document("pins", &pins::markdown());
    document("pin-clients", &pin_clients::markdown());
}
