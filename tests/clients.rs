//! The table of clients, and docs/MATRIX.md, which is made from it.
//!
//! Each row's test goes through the row's cells and asserts each of them; see `common/table.rs`.

use crate::common::table::Cell::{self, Works};
use crate::common::table::Role::{Client, Server};
use crate::common::table::{Role, Row, markdown};
use crate::common::tools::root;
use crate::{
    clients_apache, clients_curl, clients_haproxy, clients_nginx, clients_node, clients_python,
    clients_stunnel,
};
use std::fs;

const ALL: [[Cell; 2]; 2] = [[Works; 2]; 2];

const fn row(
    (client, package): (&'static str, &'static str),
    role: Role,
    sample: &'static str,
    cells: [[Cell; 2]; 2],
    test: fn(),
) -> Row {
    Row {
        client,
        package,
        role,
        sample: Some(sample),
        cells,
        test,
    }
}

const APACHE_PREFORK: (&str, &str) = ("Apache httpd, prefork", "apache2-bin");
const APACHE_EVENT: (&str, &str) = ("Apache httpd, event", "apache2-bin");
const HAPROXY: (&str, &str) = ("HAProxy", "haproxy");
const HAPROXY_MASTER: (&str, &str) = ("HAProxy, master-worker", "haproxy");
const NGINX: (&str, &str) = ("nginx", "nginx-light");
const STUNNEL: (&str, &str) = ("stunnel", "stunnel4");
const CURL: (&str, &str) = ("curl", "curl");
const PYTHON: (&str, &str) = ("Python's ssl", "python3");
const NODE: (&str, &str) = ("Node.js", "nodejs");

/// What works.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row(NGINX, Server, "nginx.conf", ALL, clients_nginx::nginx_serves),
    row(NGINX, Client, "nginx-upstream.conf", ALL, clients_nginx::nginx_connects),
    row(APACHE_PREFORK, Server, "apache.conf", ALL, clients_apache::prefork_serves),
    row(APACHE_EVENT, Server, "apache.conf", ALL, clients_apache::event_serves),
    row(HAPROXY, Server, "haproxy.cfg", ALL, clients_haproxy::haproxy_serves),
    row(HAPROXY, Client, "haproxy.cfg", ALL, clients_haproxy::haproxy_connects),
    row(HAPROXY_MASTER, Server, "haproxy.cfg", ALL, clients_haproxy::a_master_and_its_worker_serve),
    row(STUNNEL, Server, "stunnel.conf", ALL, clients_stunnel::stunnel_serves),
    row(STUNNEL, Client, "stunnel.conf", ALL, clients_stunnel::stunnel_connects),
    row(CURL, Client, "curlrc", ALL, clients_curl::curl_connects),
    row(PYTHON, Server, "python/server.py", ALL, clients_python::python_serves),
    row(PYTHON, Client, "python/client.py", ALL, clients_python::python_connects),
    row(NODE, Server, "node/server.js", ALL, clients_node::node_serves),
    row(NODE, Client, "node/client.js", ALL, clients_node::node_connects),
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
        for cell in row.cells.iter().flatten() {
            if let Cell::Cannot(why) = cell {
                assert!(why.ends_with('.') && why.len() > 20, "a sentence: {why}");
            }
        }
    }
}

/// `TPM_MATRIX=write` in the environment writes the table instead of comparing it.
#[test]
fn the_matrix_is_the_table() {
    const BEGIN: &str = "<!-- clients: begin -->\n";
    const END: &str = "<!-- clients: end -->";
    let path = root().join("docs/MATRIX.md");
    let text = fs::read_to_string(&path).expect("docs/MATRIX.md");
    let (before, rest) = text.split_once(BEGIN).expect("a begin mark");
    let (_, after) = rest.split_once(END).expect("an end mark");
    let wanted = format!("{before}{BEGIN}\n{}\n{END}{after}", markdown(ROWS));
    if std::env::var_os("TPM_MATRIX").is_some_and(|what| what == "write") {
        fs::write(&path, wanted).expect("written");
    } else {
        assert!(
            text == wanted,
            "docs/MATRIX.md is not what the tests say (TPM_MATRIX=write cargo test matrix). Expected:\n{wanted}"
        );
    }
}
