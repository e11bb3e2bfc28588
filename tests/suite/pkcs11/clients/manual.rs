//! The chapter PROGRAMS of tpm-pkcs11(7), as it is written, on a machine where the product is installed.

use testkit::machine::{Machine, commands};
use testkit::tools::need;

/// Settings, and a key with a PIN. Root's home is a new one. What serves or asks at a terminal is left to a few lines here: a server
/// goes to the background until it listens, and `pki` is given its PIN.
const BEGIN: &str = r#"
mount -t tmpfs tmpfs /root
mkdir -p /etc/tpm-provider/keys
echo "tcti = $TPM" >/etc/tpm-provider/pkcs11.conf
export TPM_TCTI=$TPM
printf 1234 >/etc/tpm-provider/vpn.pin
cat /usr/local/share/doc/tpm-provider/conf/openssl.cnf - >/etc/ssl/openssl.cnf <<END
[req]
distinguished_name = dn
[dn]
END
tpmctl key new --type rsa --auth file:/etc/tpm-provider/vpn.pin -o /etc/tpm-provider/keys/vpn.tpm
serve() { "$@" >/run/served 2>&1 & while ! ss -ltn | grep -q ':84'; do sleep 0.1; kill -0 $!; done; }
selfserv() { serve /usr/bin/selfserv "$@"; }
gnutls-serv() { serve /usr/bin/gnutls-serv --echo "$@"; }
pki() { echo 0000 | setsid --wait /usr/bin/pki "$@"; }
"#;

/// The commands below a heading, behind those that make the key.
fn part(heading: &str, next: &str) -> String {
    let page = "docs/tpm-pkcs11.7.md";
    let key = commands(page, "# PROGRAMS", "## NSS");
    let own = commands(page, heading, next);
    assert!(!key.is_empty() && !own.is_empty(), "{heading}");
    format!("{BEGIN}{}\n{}\n", key.join("\n"), own.join("\n"))
}

#[track_caller]
fn run(script: &str) -> String {
    let done = Machine::new().run(script);
    assert!(done.status.success(), "{done:#}");
    done.out()
}

#[test]
fn nss() {
    need("certutil", "libnss3-tools");
    let out = run(&part("## NSS", "## GnuTLS"));
    assert!(out.contains("TPM keys:web"), "{out}");
    assert!(out.contains("vpn"), "{out}");
    assert!(out.contains("0> ec"), "{out}");
}

#[test]
fn gnutls() {
    need("gnutls-serv", "gnutls-bin");
    let out = run(&part("## GnuTLS", "## Java"));
    for text in [
        "token: TPM keys",
        "token: vpn",
        "object=web;type=cert",
        "Handshake was completed",
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
}

/// The server that Java's client is for demands the certificate.
#[test]
fn java() {
    need("keytool", "default-jdk-headless");
    let server = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /run/server.key -out /run/server.crt \
                  -subj /CN=localhost -addext subjectAltName=DNS:localhost\n\
                  keytool -importcert -noprompt -file /run/server.crt -keystore /etc/tpm-provider/trust.p12 -storepass changeit\n\
                  serve openssl s_server -port 8445 -cert /run/server.crt -key /run/server.key -www \
                  -Verify 1 -CAfile /etc/tpm-provider/keys/web.crt -verify_return_error\n";
    let text =
        part("## Java", "## OpenVPN").replace("keytool -list", &format!("{server}keytool -list"));
    let out = run(&text);
    assert!(out.contains("web, PrivateKeyEntry"), "{out}");
    assert!(
        out.replace(' ', "").contains("Subject:CN=localhost"),
        "{out}"
    );
}

#[test]
fn openvpn() {
    need("openvpn", "openvpn");
    let out = run(&part("## OpenVPN", "## OpenSSL"));
    assert!(out.contains("DN:             CN=localhost"), "{out}");
}

#[test]
fn engine_and_python() {
    let out = run(&format!(
        "{}unset OPENSSL_CONF\nopenssl req -in ~/web.csr -noout -verify 2>&1\n",
        part("## OpenSSL", "## Python")
    ));
    assert!(out.contains("verify OK"), "{out}");
    let signature = run(&part("## Python", "## strongSwan"));
    let signature = signature.lines().last().unwrap_or_default();
    assert!(
        signature.len() == 128 && signature.bytes().all(|b| b.is_ascii_hexdigit()),
        "{signature}"
    );
}

#[test]
fn gnupg() {
    need("gnupg-pkcs11-scd", "gnupg-pkcs11-scd");
    // With a certificate for the RSA key.
    let script = part("## GnuPG", "## Persistent").replacen(
        "mkdir -p -m 700",
        "openssl req -x509 -key /etc/tpm-provider/keys/vpn.tpm -passin file:/etc/tpm-provider/vpn.pin \
         -subj /CN=vpn -out /etc/tpm-provider/keys/vpn.crt\nmkdir -p -m 700",
        1,
    );
    let out = run(&script);
    assert!(
        out.contains("Subject: /CN=vpn") && !out.contains("/CN=localhost"),
        "{out}"
    );
}

#[test]
fn strongswan_and_persistent_keys() {
    need("pki", "strongswan-pki");
    let out = run(&format!(
        "{}openssl req -in ~/pki.csr -noout -verify 2>&1\n",
        part("## strongSwan", "## GnuPG")
    ));
    assert!(out.contains("verify OK"), "{out}");
    // By p11-kit, as the chapter has it by then.
    let installed = commands("docs/tpm-pkcs11.7.md", "## GnuTLS", "    p11-kit");
    run(&part("## Persistent", "# PROCESSES").replacen(
        "tpmctl key persist",
        &format!("{}\ntpmctl key persist", installed.join("\n")),
        1,
    ));
}
