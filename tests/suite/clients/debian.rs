//! The recipes on Debian as it is installed: its nginx.conf, its apache2 with ports.conf, its init scripts, with what our
//! documents add; started, reloaded, upgraded, and looked after from a shell that knows nothing of OPENSSL_CONF.

use testkit::machine::{Machine, script};
use testkit::tools::{need_file, root, sample, substitute};

const GUIDE: &str = "docs/nginx.md";

/// What the guide has done up to step 6, typed word for word; then a shell as another login has it.
fn guide() -> String {
    [
        script(GUIDE, "**3. Tell OpenSSL**", "**5. Get a certificate.**"),
        script(
            GUIDE,
            "or make a self-signed one",
            "**6. Configure nginx.**",
        ),
        script(GUIDE, "**6. Configure nginx.**", "The essential lines:"),
        script(GUIDE, "**7. Start it.**", "Restart this once"),
        "unset OPENSSL_CONF; cd /\n".to_owned(),
    ]
    .concat()
}

/// Waits until `condition` holds.
const WAIT: &str = r#"
wait_until() { for i in $(seq 100); do if eval "$1"; then return 0; fi; sleep 0.1; done; echo "never: $1"; return 1; }
served() {
  openssl s_client -connect 127.0.0.1:443 -servername www.example.com -CAfile /etc/nginx/tls/tpm.crt \
    -verify_return_error </dev/null 2>&1 | grep -q 'Peer signature type:'
}
"#;

fn need_nginx() {
    need_file("/etc/init.d/nginx", "nginx-light");
    need_file("/etc/nginx/nginx.conf", "nginx-light");
}

/// The five minutes of docs/nginx.md, and the administrator's commands after them.
#[test]
fn nginx_by_the_guide_is_looked_after_from_a_bare_shell() {
    need_nginx();
    let machine = Machine::new();
    let test = script(GUIDE, "**8. Test it**", "(`--cacert`");
    let done = machine.run(&format!(
        r#"{WAIT}{guide}
head -n 1 /etc/nginx/tls/tpm.key
{test}
wait_until served
nginx -t 2>&1
old=$(pgrep -P "$(cat /run/nginx.pid)" | sort | head -n 1)
nginx -s reload
wait_until '! kill -0 '$old' 2>/dev/null'
wait_until served
/etc/init.d/nginx configtest && /etc/init.d/nginx reload
nginx -s reopen
master=$(cat /run/nginx.pid)
/etc/init.d/nginx upgrade
wait_until '! kill -0 '$master' 2>/dev/null'
test "$(cat /run/nginx.pid)" != "$master"
wait_until served
# The upgraded one reloads, and is upgraded, like the first.
nginx -s reload
master=$(cat /run/nginx.pid)
/etc/init.d/nginx upgrade
wait_until '! kill -0 '$master' 2>/dev/null'
wait_until served
/etc/init.d/nginx restart
wait_until served
nginx -s quit
wait_until '! pgrep -x nginx >/dev/null'
cat /var/log/nginx/error.log
"#,
        guide = guide()
    ));
    assert!(done.status.success(), "{done}");
    assert!(done.out().contains("BEGIN TSS2 PRIVATE KEY"), "{done}");
    assert!(done.out().contains("test is successful"), "{done}");
    done.never_says("[warn]").never_says("[emerg]");
    machine.tpm.assert_clean();
}

/// A TPM 1.2 that nobody owns, and tcsd as Debian configures it: the page's section word for word. What the kernel would say
/// of the machine's TPM is said in the environment.
#[test]
fn a_fresh_machine_with_a_tpm_1_2_serves_a_website() {
    const PAGE: &str = "docs/tpm-provider-tpm12.7.md";
    need_nginx();
    need_file("/etc/tcsd.conf", "trousers");
    let machine = Machine::new();
    let mut typed = script(PAGE, "# FROM A FRESH MACHINE", "# NGINX");
    for (line, here) in [
        ("apt-get install trousers", "start_tpm\n"),
        // swtpm's has none.
        (
            "tpmctl owner take",
            "tpmctl ek create --yes\ntpmctl owner take --yes",
        ),
        // The page names the TPM itself.
        ("--yes --tcti \"$TPM\" --tcti", "--yes --tcti"),
    ] {
        typed = substitute(&typed, line, here);
    }
    let done = machine.run(&format!(
        r#"{WAIT}
mount -t tmpfs tmpfs /root
start_tpm() {{
  install -d -o tss -g tss /run/tpm12 /run/ps
  swtpm socket --flags not-need-init,startup-clear --tpmstate dir=/run/tpm12 \
    --server type=tcp,port=6545,disconnect --daemon
  sed -i 's|^#* *system_ps_file *=.*|system_ps_file = /run/ps/system.data|' /etc/tcsd.conf
  # In the foreground, as a job: its own way of becoming a daemon fails without /dev/tpm0.
  TCSD_TCP_DEVICE_HOSTNAME=127.0.0.1 TCSD_TCP_DEVICE_PORT=6545 \
    setpriv --reuid tss --regid tss --clear-groups tcsd -e -f >/run/tcsd.log 2>&1 &
  wait_until 'ss -ltn | grep -q :30003'
}}
export TPM12_TCTI=tcsd
{typed}
unset TPM12_TCTI OPENSSL_CONF
head -n 1 /etc/nginx/tls/tpm.key
stat -c '%a %U' /root/tpm-owner
nginx -s reload
curl -s --cacert /etc/nginx/tls/tpm.crt --resolve www.example.com:443:127.0.0.1 https://www.example.com/ >/dev/null
nginx -s quit
wait_until '! pgrep -x nginx >/dev/null'
cat /var/log/nginx/error.log
"#
    ));
    assert!(done.status.success(), "{done}");
    for text in ["BEGIN TSS KEY BLOB", "600 root", "</html>"] {
        assert!(done.out().contains(text), "{text} in {done}");
    }
    done.never_says("[warn]").never_says("[emerg]");
}

/// Whoever has another TPM, or settings in the environment, upgrades as well: nothing that the service was given is lost.
#[test]
fn an_upgrade_hands_on_what_the_service_was_given() {
    need_nginx();
    let machine = Machine::new();
    let done = machine.run(&format!(
        r#"{WAIT}{guide}
# The address in the environment alone.
sed -i '/^tcti = /d' /etc/nginx/openssl-tpm.cnf
printf '%s\n' "TPM_TCTI=$TPM" TPM_LOG=warn 'export TPM_TCTI TPM_LOG' >>/etc/default/nginx
/etc/init.d/nginx restart
wait_until served
master=$(cat /run/nginx.pid)
/etc/init.d/nginx upgrade
wait_until '! kill -0 '$master' 2>/dev/null'
wait_until served
# What it got it hands on.
master=$(cat /run/nginx.pid)
/etc/init.d/nginx upgrade
wait_until '! kill -0 '$master' 2>/dev/null'
wait_until served
nginx -t
"#,
        guide = guide()
    ));
    assert!(done.status.success(), "{done}");
}

/// conf/nginx.conf in the place of Debian's.
#[test]
fn the_whole_sample_is_upgraded() {
    need_nginx();
    let machine = Machine::new();
    let done = machine.run(&format!(
        r#"{WAIT}{guide}
rm /etc/nginx/modules-enabled/* /etc/nginx/sites-enabled/*
cp /usr/local/share/doc/tpm-provider/conf/nginx.conf /etc/nginx/nginx.conf
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=www.example.com -keyout /etc/nginx/tls/software.key \
  -out /etc/nginx/tls/software.crt
/etc/init.d/nginx restart
wait_until served
master=$(cat /run/nginx.pid)
/etc/init.d/nginx upgrade
wait_until '! kill -0 '$master' 2>/dev/null'
wait_until served
nginx -s reload && nginx -s quit
"#,
        guide = guide()
    ));
    assert!(done.status.success(), "{done}");
}

/// What nginx hands on is everything that the provider reads, in each sample.
#[test]
fn every_variable_is_handed_on() {
    let page = std::fs::read_to_string(root().join("docs/tpm-provider.7.md")).expect("the manual");
    let (_, part) = page.split_once("\n# ENVIRONMENT\n").expect("the section");
    let part = part.split("\n# ").next().expect("its text");
    let own: Vec<&str> = part
        .lines()
        .flat_map(|line| line.split(", "))
        .filter(|word| (word.starts_with("TPM") || word.starts_with("TSS")) && !word.contains(' '))
        .collect();
    assert!(own.len() >= 6, "{own:?}");
    for name in ["nginx-env.conf", "nginx.conf", "nginx-tpm12.conf"] {
        for variable in own.iter().chain(&["OPENSSL_CONF", "OPENSSL_MODULES"]) {
            assert!(
                sample(name).contains(&format!("\nenv {variable};\n")),
                "{name}: {variable}"
            );
        }
    }
}

/// The sample as a site of Debian's apache2: with its ports.conf, its mod_ssl and its envvars.
#[test]
fn apache_beside_debian_s_own_files() {
    need_file("/etc/apache2/ports.conf", "apache2");
    let machine = Machine::new();
    let done = machine.run(
        r#"
conf=/usr/local/share/doc/tpm-provider/conf
cp $conf/openssl.cnf /etc/apache2/openssl-tpm.cnf
install -d -m 750 /etc/apache2/tls
cd /etc/apache2/tls
OPENSSL_CONF=/etc/apache2/openssl-tpm.cnf tpmctl key new -o tpm.key
OPENSSL_CONF=/etc/apache2/openssl-tpm.cnf openssl req -x509 -key tpm.key -subj /CN=tpm.example.com -out tpm.crt
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=www.example.com -keyout software.key -out software.crt
cd /
echo 'export OPENSSL_CONF=/etc/apache2/openssl-tpm.cnf' >>/etc/apache2/envvars
cp $conf/apache.conf /etc/apache2/sites-available/tpm.conf
a2enmod ssl
a2ensite tpm
wait_until() { for i in $(seq 100); do if eval "$1"; then return 0; fi; sleep 0.1; done; echo "never: $1"; return 1; }
served() {
  openssl s_client -connect 127.0.0.1:443 -servername tpm.example.com -CAfile /etc/apache2/tls/tpm.crt \
    -verify_return_error </dev/null 2>&1 | grep -q 'Peer signature type:'
}
apache2ctl configtest 2>&1
apache2ctl start
wait_until served
apache2ctl graceful
wait_until served
apache2ctl restart
wait_until served
apache2ctl graceful-stop
"#,
    );
    assert!(done.status.success(), "{done}");
    assert!(done.out().contains("Syntax OK"), "{done}");
    done.never_says("could not bind");
}

/// HAProxy's sample needs nothing in the environment, for the service and for `haproxy -c`; a file of settings comes in by
/// /etc/default/haproxy.
#[test]
fn haproxy_is_checked_and_reloaded_from_a_bare_shell() {
    need_file("/etc/init.d/haproxy", "haproxy");
    let machine = Machine::new();
    let done = machine.run(
        r#"
conf=/usr/local/share/doc/tpm-provider/conf
install -d -m 750 /etc/haproxy/tls
cd /etc/haproxy/tls
cp $conf/openssl.cnf /etc/haproxy/openssl-tpm.cnf
OPENSSL_CONF=/etc/haproxy/openssl-tpm.cnf tpmctl key new -o tpm.key
OPENSSL_CONF=/etc/haproxy/openssl-tpm.cnf openssl req -x509 -key tpm.key -subj /CN=tpm.example.com -out tpm.crt
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=www.example.com -keyout software.key -out software.crt
cat tpm.crt tpm.key >tpm.pem
cat software.crt software.key >software.pem
cp software.crt inner.crt
cd /
sed "s|#setenv TPM_TCTI .*|setenv TPM_TCTI $TPM|" $conf/haproxy.cfg >/etc/haproxy/haproxy.cfg
wait_until() { for i in $(seq 100); do if eval "$1"; then return 0; fi; sleep 0.1; done; echo "never: $1"; return 1; }
served() {
  openssl s_client -connect 127.0.0.1:443 -CAfile /etc/haproxy/tls/tpm.crt \
    -verify_return_error </dev/null 2>&1 | grep -q 'Peer signature type:'
}
haproxy -c -f /etc/haproxy/haproxy.cfg
/etc/init.d/haproxy start
wait_until served
/etc/init.d/haproxy reload
wait_until served
/etc/init.d/haproxy stop
# Settings in a file of their own.
sed -i '/setenv TPM_TCTI/d' /etc/haproxy/haproxy.cfg
printf '%s\n' OPENSSL_CONF=/etc/haproxy/openssl-tpm.cnf 'export OPENSSL_CONF' >>/etc/default/haproxy
install -m 755 $conf/as-service /usr/local/sbin/haproxy
hash -r
haproxy -c -f /etc/haproxy/haproxy.cfg
/etc/init.d/haproxy start
wait_until served
"#,
    );
    assert!(done.status.success(), "{done}");
}
