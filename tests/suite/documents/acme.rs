//! docs/acme.md: each client gets a certificate for the key in the TPM, renews it, and nginx serves it.

use testkit::machine::{Machine, commands};
use testkit::tools::need;

const PAGE: &str = "docs/acme.md";

/// nginx with a key in the TPM and a certificate of its own, as the guide leaves it; an authority at this machine, which its
/// programs trust, and to which the name leads back.
const BEGIN: &str = r#"
for each in /var/www /var/lib/dehydrated /var/lib/letsencrypt; do
  [ ! -d $each ] || mount -t tmpfs -o mode=755 tmpfs $each
done
cd /usr/local/share/doc/tpm-provider/conf
install -m 644 openssl.cnf /etc/nginx/openssl-tpm.cnf
install -m 644 nginx-env.conf /etc/nginx/modules-enabled/90-tpm.conf
echo OPENSSL_CONF=/etc/nginx/openssl-tpm.cnf >>/etc/default/nginx
install -m 755 as-service /usr/local/sbin/nginx
install -d -m 750 /etc/nginx/tls
tpmctl srk create --tcti $TPM
tpmctl key new --tcti $TPM -o /etc/nginx/tls/tpm.key
OPENSSL_CONF=/etc/nginx/openssl-tpm.cnf openssl req -x509 -key /etc/nginx/tls/tpm.key -subj /CN=www.example.com \
  -out /etc/nginx/tls/tpm.crt
install -m 644 nginx-site.conf /etc/nginx/sites-available/tpm
ln -s ../sites-available/tpm /etc/nginx/sites-enabled/tpm
nginx

echo 127.0.0.1 www.example.com >>/etc/hosts
mkdir /run/pebble
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 2 \
  -keyout /run/pebble/key.pem -out /run/pebble/cert.pem
cat >/run/pebble/config.json <<END
{"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
  "certificate": "/run/pebble/cert.pem", "privateKey": "/run/pebble/key.pem", "httpPort": 80, "tlsPort": 443}}
END
cat /run/pebble/cert.pem >>/etc/ssl/certs/ca-certificates.crt
PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 PEBBLE_AUTHZREUSE=100 pebble -config /run/pebble/config.json >/run/pebble/log 2>&1 &

wait_until() { for i in $(seq 100); do if eval "$1"; then return 0; fi; sleep 0.1; done; echo "never: $1"; cat /run/pebble/log; return 1; }
wait_until 'curl -s https://localhost:14000/dir >/dev/null'
curl -s https://localhost:15000/roots/0 >/run/pebble/root.pem
# The serial number of what nginx serves: of a certificate of the authority's, and signed for by the TPM's key.
served() {
  openssl s_client -connect 127.0.0.1:443 -servername www.example.com -verify_hostname www.example.com \
    -CAfile /run/pebble/root.pem -verify_return_error </dev/null 2>/dev/null | openssl x509 -noout -serial 2>/dev/null
}
changed() { now=$(served) && [ -n "$now" ] && [ "$now" != "${last:-}" ]; }
# A new certificate is there; and a little later still the same.
new() { wait_until changed; last=$now; echo "new: $last"; }
same() { [ "$(served)" = "$last" ]; echo "same"; }
"#;

/// What the page says below a heading, up to the next that begins with `to`.
fn part(from: &str, to: &str) -> String {
    let lines = commands(PAGE, from, to);
    assert!(!lines.is_empty(), "{from}");
    lines.join("\n") + "\n"
}

/// Runs a client's part of the page, and what comes after.
fn run(program: &str, parts: &str, after: &str) {
    need("pebble", "pebble");
    need(program, program);
    let machine = Machine::new();
    let before = part("## Before", "## dehydrated");
    let done = machine.run(&format!("{BEGIN}\n{before}\n{parts}\n{after}\necho end\n"));
    assert!(
        done.status.success() && done.out().ends_with("end\n"),
        "{done:#}"
    );
    machine.tpm.assert_clean();
}

const STOP: &str = "nginx -s quit; wait_until '! pgrep -x nginx >/dev/null'\n";

#[test]
fn dehydrated() {
    // The account's key, too, is quicker made.
    let server = "printf '%s\\n' CA=https://localhost:14000/dir KEYSIZE=2048 >/etc/dehydrated/conf.d/authority.sh\n";
    run(
        "dehydrated",
        &format!("{server}{}", part("## dehydrated", "## A request")),
        &format!(
            r#"
new
key=/var/lib/dehydrated/certs/www.example.com/privkey.pem
/etc/cron.daily/dehydrated
same
# The day has come.
echo RENEW_DAYS=4000 >>/etc/dehydrated/conf.d/authority.sh
unset OPENSSL_CONF; cd /
/etc/cron.daily/dehydrated
new
cmp $key /etc/nginx/tls/tpm.key
grep 'BEGIN TSS2 PRIVATE KEY' $key
{STOP}"#
        ),
    );
}

#[test]
fn lego() {
    // Let's Encrypt's address is built in.
    let server = "printf '%s\\n' '#!/bin/sh' 'exec /usr/bin/lego --server https://localhost:14000/dir \"$@\"' >/usr/local/bin/lego\n\
                  chmod 755 /usr/local/bin/lego\n";
    let request = part("## A request", "## lego");
    let lines = commands(PAGE, "## lego", "## certbot");
    let [first, renew] = &lines[..] else {
        panic!("{lines:?}");
    };
    let early = renew.replace("--days 30", "--days 4000");
    run(
        "lego",
        &format!("{server}{request}{first}"),
        &format!("new\n{renew}\nsame\n{early}\nnew\n{STOP}"),
    );
}

#[test]
fn certbot() {
    let server = "echo server = https://localhost:14000/dir >>/etc/letsencrypt/cli.ini\n";
    let request = part("## A request", "## lego");
    let certbot = part("## certbot", "## acme.sh");
    run(
        "certbot",
        &format!("{server}{request}{certbot}"),
        &format!(
            r#"
new
/etc/cron.daily/certbot-csr
same
# What the page says of certbot alone.
certbot renew 2>&1 | grep 'No renewals were attempted'
# The day has come.
sed -i s/2592000/200000000/ /etc/cron.daily/certbot-csr
/etc/cron.daily/certbot-csr
new
# A certificate of another key stays where it is.
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=www.example.com -keyout /run/other.key -out /run/other.crt
if tpm-deploy /run/other.crt; then exit 1; fi
same
{STOP}"#
        ),
    );
}
