//! Policies of persistent keys, which have no file that could hold one: in the URI, or in a file that it names.

use testkit::bench::Bench;

use super::{extend, refuses, signs};

const HANDLE: &str = "0x81000020";

/// Makes a persistent key with the policy of these registers, and perhaps a PIN, with tpm2-tools.
fn persistent(bench: &Bench, pin: Option<&str>) {
    bench.tool("tpm2_startauthsession -S session");
    bench.tool("tpm2_policypcr -Q -S session -l sha256:0,16 -L policy");
    if pin.is_some() {
        bench.tool("tpm2_policyauthvalue -Q -S session -L policy");
    }
    bench.tool("tpm2_flushcontext session");
    let pin = pin.map(|pin| format!("-p {pin}")).unwrap_or_default();
    bench.tool(&format!(
        "tpm2_create -Q -C 0x81000001 -G ecc -u p.u -r p.r -L policy {pin} \
         -a fixedtpm|fixedparent|sensitivedataorigin|sign|decrypt"
    ));
    bench.tool("tpm2_load -Q -C 0x81000001 -u p.u -r p.r -c p.ctx");
    bench.tool(&format!("tpm2_evictcontrol -Q -C o -c p.ctx {HANDLE}"));
    bench.tpm.flush();
    bench.tool(&format!("tpm2_readpublic -Q -c {HANDLE} -f pem -o key.pub"));
}

#[test]
fn in_the_uri() {
    let bench = Bench::new();
    persistent(&bench, None);
    let uri = format!("handle:{HANDLE}?policy=sha256:0,16");
    let ((), counts) = bench.tap.cost(|| signs(&bench, &uri, "key.pub", ""));
    counts.are(&[
        ("ReadPublic", 1),
        ("PCR_Read", 1),
        ("StartAuthSession", 1),
        ("PolicyPCR", 1),
        ("Sign", 1),
    ]);
    refuses(
        &bench,
        &format!("handle:{HANDLE}"),
        "",
        &["?policy=sha256:0,7"],
    );
    refuses(
        &bench,
        &format!("handle:{HANDLE}?policy=sha256:0,7"),
        "",
        &["sha256:0,7"],
    );
    refuses(
        &bench,
        &format!("handle:{HANDLE}?policy=locality:0"),
        "",
        &["not the one"],
    );
    refuses(
        &bench,
        &format!("handle:{HANDLE}?policy=nonsense"),
        "",
        &["nonsense"],
    );
    bench.openssl.ok(&format!(
        "req -x509 -key {uri} -subj /CN=uri -days 2 -out x.crt"
    ));
    extend(&bench, 16);
    refuses(&bench, &uri, "", &["sha256:0,16"]);
    bench.tpm.assert_clean();
}

#[test]
fn with_a_pin() {
    let bench = Bench::new();
    persistent(&bench, Some("4711"));
    let dir = bench.openssl.dir();
    dir.write("pin", "4711\n");
    let pin = format!("pin-source=file:{}", dir.join("pin").display());
    for uri in [
        format!("handle:{HANDLE}?policy=sha256:0,16&pass"),
        format!("handle:{HANDLE}?pass&policy=sha256:0,16+pin"),
    ] {
        bench.tap.reset();
        signs(&bench, &uri, "key.pub", "-passin pass:4711");
        assert!(!bench.tap.saw(b"4711"));
    }
    let uri = format!("handle:{HANDLE}?policy=sha256:0,16&{pin}");
    signs(&bench, &uri, "key.pub", "");
    bench.tpm.assert_clean();
}

/// systemd gives a service a directory of credentials; a file that everybody reads is told in the log.
#[test]
fn a_pin_from_systemd_or_from_a_file_that_everybody_reads() {
    let bench = Bench::new();
    persistent(&bench, Some("4711"));
    let dir = bench.openssl.dir();
    let input = testkit::key::digest(&bench.openssl, "sha256");
    let sign = |source: &str| {
        let uri = format!("handle:{HANDLE}?policy=sha256:0,16&pin-source={source}");
        bench.openssl.run(&format!(
            "pkeyutl -sign -inkey {uri} -in {input} -out sig -pkeyopt digest:sha256"
        ))
    };
    dir.write("tls-pin", "4711\n");
    let there = dir.path().to_str().expect("plain").to_owned();
    sign("credential:tls-pin")
        .env("CREDENTIALS_DIRECTORY", &there)
        .ok();
    sign("credential:tls-pin")
        .fails()
        .says("CREDENTIALS_DIRECTORY is not set");
    sign("credential:other")
        .env("CREDENTIALS_DIRECTORY", &there)
        .fails()
        .says("other cannot be read");
    sign("credential:../tls-pin").fails().says("pin-source=");
    sign("4711").fails().says("pin-source=");
    let file = dir.join("tls-pin");
    let path = file.display();
    for (mode, warned) in [(0o644, true), (0o640, false)] {
        testkit::scratch::set_mode(&file, mode);
        let done = sign(&format!("file:{path}")).env("TPM_LOG", "warn").ok();
        assert_eq!(done.err().contains("chmod o-r"), warned, "{done}");
    }
    bench.tpm.assert_clean();
}
