//! docs/programs.md: what it says of tests is made from the tables that those go through, and its commands are run.

use std::fmt::Write as _;

use testkit::generated;
use testkit::machine::{Machine, commands};
use testkit::table::Cell::{self, Cannot, Works};
use testkit::table::{KINDS, Kind, Role, Row, Tls, VERSIONS};
use testkit::tools::{need, root};

use crate::clients::table::ROWS;

const PAGE: &str = "docs/programs.md";

/// Why something is known of a program.
enum Known {
    /// By the rows of the table of clients.
    Rows(&'static [&'static str]),
    /// By this page's own test, which runs its command; how.
    Command(&'static str, &'static str),
    /// Not by a generated line: what the section says itself.
    Said(&'static str),
}

/// The headings, with the name of the line that is generated below them.
#[rustfmt::skip]
const SECTIONS: &[(&str, &str, Known)] = &[
    ("openssl", "openssl", Known::Rows(&["openssl s_server", "openssl s_client"])),
    ("nginx, Apache, HAProxy, lighttpd, stunnel", "servers", Known::Rows(&[
        "nginx", "Apache httpd, prefork", "Apache httpd, event", "HAProxy", "HAProxy, master-worker", "lighttpd", "stunnel",
    ])),
    ("PostgreSQL, mosquitto, FreeRADIUS, OpenVPN, wpa_supplicant", "services", Known::Rows(&[
        "PostgreSQL", "psql", "mosquitto", "mosquitto_pub", "FreeRADIUS", "OpenVPN", "wpa_supplicant",
    ])),
    ("curl", "curl", Known::Rows(&["curl"])),
    ("wget", "wget", Known::Command("works by PKCS#11", "wget")),
    ("git", "git", Known::Command("works by PKCS#11", "git")),
    ("ssh", "", Known::Said("works by PKCS#11, or our agent")),
    ("PHP", "php", Known::Rows(&["PHP's streams", "PHP's curl"])),
    ("Perl", "perl", Known::Rows(&["Perl's IO::Socket::SSL"])),
    ("Python", "python", Known::Rows(&["Python's ssl"])),
    ("Ruby", "ruby", Known::Rows(&["Ruby's openssl"])),
    ("Node.js", "node", Known::Rows(&["Node.js"])),
    ("Rust", "", Known::Said("the crate `openssl` works, `rustls` does not")),
    ("Go", "", Known::Said("not directly")),
    ("Java", "", Known::Said("by PKCS#11")),
    (".NET", "", Known::Said("not tested")),
];

#[test]
fn the_matrix_is_in_the_sections() {
    let page = std::fs::read_to_string(root().join(PAGE)).expect(PAGE);
    let headings: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(|heading| !["Before", "Others"].contains(heading))
        .collect();
    let known: Vec<&str> = SECTIONS.iter().map(|(heading, ..)| *heading).collect();
    assert_eq!(headings, known);
    // Every program of the table has a section.
    for row in ROWS {
        let in_a_section = SECTIONS.iter().any(
            |(_, _, known)| matches!(known, Known::Rows(names) if names.contains(&row.client)),
        );
        assert!(in_a_section, "{}", row.client);
    }
    let mut parts = vec![("overview".to_owned(), overview())];
    for (_, name, known) in SECTIONS {
        let text = match known {
            Known::Rows(names) => names.iter().map(|name| program(name)).collect(),
            Known::Command(how, package) => format!(
                "- *{}*: the command below is run by a test, with Debian's package `{package}`\n",
                capital(how)
            ),
            Known::Said(_) => continue,
        };
        parts.push(((*name).to_owned(), format!("\n{text}")));
    }
    generated::compare(PAGE, &parts);
}

fn overview() -> String {
    let mut text = "\n| program | with a key in the TPM |\n|---|---|\n".to_owned();
    for (heading, _, known) in SECTIONS {
        let says = match known {
            Known::Rows(names) if names.iter().all(|name| rows(name).all(complete)) => "works",
            Known::Rows(_) => "works, with exceptions",
            Known::Command(how, _) => how,
            Known::Said(says) => says,
        };
        let anchor: String = heading
            .to_lowercase()
            .replace(' ', "-")
            .chars()
            .filter(|c| c.is_alphanumeric() || "-_".contains(*c))
            .collect();
        let _ = writeln!(text, "| [{heading}](#{anchor}) | {says} |");
    }
    text
}

fn rows(client: &str) -> impl Iterator<Item = &'static Row> {
    let found: Vec<&Row> = ROWS.iter().filter(|row| row.client == client).collect();
    assert!(!found.is_empty(), "no row for {client}");
    found.into_iter()
}

/// Works in every version of TLS, with every type of key.
fn complete(row: &'static Row) -> bool {
    row.cells.iter().flatten().all(|cell| *cell == Works)
}

/// What the rows of a program say, in one line.
fn program(client: &str) -> String {
    let mut text = String::new();
    for row in rows(client) {
        let role = match row.role {
            Role::Server => "as a server",
            Role::Client => "as a client",
        };
        let verb = if complete(row) {
            "Works"
        } else {
            "Works in part"
        };
        let _ = write!(
            text,
            "- {client}, {role}: *{verb}*, tested with Debian's `{}`: ",
            row.package.replace(", ", "`, `")
        );
        let mut cells = Vec::new();
        for kind in KINDS {
            for version in VERSIONS {
                cells.push(cell(row, kind, version));
            }
        }
        let _ = match complete(row) {
            true => write!(text, "RSA and P-256, TLS 1.2 and 1.3"),
            false => write!(text, "{}", cells.join("; ")),
        };
        if row.beside == Works {
            text.push_str(", a software key beside it");
        }
        let _ = match row.uri {
            Works => write!(text, "; files and URIs."),
            Cannot(why) => write!(text, "; files. {why}"),
        };
        match row.sample {
            Some(name) => {
                let _ = writeln!(text, " Sample: [conf/{name}](../conf/{name})");
            }
            None => text.push('\n'),
        }
    }
    text
}

fn cell(row: &Row, kind: Kind, version: Tls) -> String {
    let what = match (kind, version) {
        (Kind::Rsa, Tls::V12) => "RSA, TLS 1.2",
        (Kind::Rsa, Tls::V13) => "RSA, TLS 1.3",
        (Kind::Ec, Tls::V12) => "P-256, TLS 1.2",
        (Kind::Ec, Tls::V13) => "P-256, TLS 1.3",
    };
    match row.cell(kind, version) {
        Cell::Works => format!("{what}: yes"),
        Cell::Cannot(why) => format!("{what}: no ({why})"),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// A server that demands a certificate and says whose it was, with a repository.
const BEGIN: &str = r#"
export TPM_TCTI=$TPM
echo 127.0.0.1 inner.example.com >>/etc/hosts
"#;

/// Once the certificates are there.
const SERVER: &str = r#"
mkdir /run/inner
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=inner.example.com -addext subjectAltName=DNS:inner.example.com \
  -keyout /run/inner/key -out inner.crt
cat tpm.crt software.crt >/run/inner/clients
cat >/run/inner/nginx.conf <<'END'
user root;
pid /run/inner/pid;
error_log /run/inner/log;
events { }
http {
  access_log off;
  server {
    listen 127.0.0.1:443 ssl;
    ssl_certificate /etc/ssl/tpm/inner.crt;
    ssl_certificate_key /run/inner/key;
    ssl_verify_client on;
    ssl_client_certificate /run/inner/clients;
    location / { return 200 "seen $ssl_client_s_dn\n"; }
    location /repository.git { root /run/inner; }
  }
}
END
env -u OPENSSL_CONF nginx -c /run/inner/nginx.conf
git init -q --bare /run/inner/repository.git
git() { command git -c user.name=root -c user.email=root@example.org "$@"; }
cd /run/inner/repository.git
git update-ref refs/heads/main "$(git commit-tree -m one "$(git hash-object -w -t tree /dev/null)")"
git update-server-info
unset -f git
cd /etc/ssl/tpm
"#;

#[test]
fn every_command_as_it_is_written() {
    for (program, package) in [
        ("nginx", "nginx-light"),
        ("curl", "curl"),
        ("wget", "wget"),
        ("git", "git"),
        ("php", "php-cli"),
        ("perl", "perl"),
        ("python3", "python3"),
        ("ruby", "ruby"),
        ("node", "nodejs"),
    ] {
        need(program, package);
    }
    let machine = Machine::new();
    let mut script = BEGIN.to_owned();
    for line in commands(PAGE, "## Before", "## openssl") {
        let _ = writeln!(script, "{line}");
    }
    script.push_str(SERVER);
    let mut asked = 0;
    for (n, (heading, _, known)) in SECTIONS.iter().enumerate() {
        let next = SECTIONS.get(n + 1).map_or("Others", |(next, ..)| *next);
        let lines = commands(PAGE, &format!("## {heading}"), &format!("## {next}"));
        let has_none =
            matches!(known, Known::Said(_)) || ["servers", "services"].contains(&SECTIONS[n].1);
        assert_eq!(lines.is_empty(), has_none, "{heading}: {lines:?}");
        asked += lines.len();
        for line in lines {
            let _ = writeln!(script, "{line}");
        }
    }
    script.push_str("nginx -c /run/inner/nginx.conf -s quit\necho end\n");
    assert!(asked > 10, "{script}");
    let done = machine.run(&script);
    let out = done.out();
    assert!(done.status.success() && out.ends_with("end\n"), "{done:#}");
    // curl, wget, PHP twice, Perl twice, Python, Ruby, Node; six of them with the software key as well.
    assert_eq!(out.matches("seen CN=tpm").count(), 9, "{done:#}");
    assert_eq!(out.matches("seen CN=software").count(), 6, "{done:#}");
    assert!(out.contains("\trefs/heads/main\n"), "{done:#}");
    machine.tpm.assert_clean();
}
