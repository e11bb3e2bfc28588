//! docs/faq.md: every command, one after the other, on one machine; and what it says of FIPS.

use testkit::bench::Bench;
use testkit::key;
use testkit::machine::{Machine, commands};

const PAGE: &str = "docs/faq.md";

#[test]
fn as_it_is_written() {
    let machine = Machine::new();
    let mut script = "mkdir /run/faq; cd /run/faq; export TPM_TCTI=$TPM \
                      OPENSSL_CONF=/usr/local/share/doc/tpm-provider/conf/openssl.cnf\n"
        .to_owned();
    let lines = commands(PAGE, "# Questions", "# none");
    assert!(lines.len() > 20, "{lines:?}");
    for line in &lines {
        script.push_str(line);
        script.push('\n');
    }
    script.push_str(
        "for key in www tpm rsa today; do tpmctl key test $key.key; done\n\
         head -n 1 www.key\nstat -c %a www.pin\necho end\n",
    );
    let done = machine.run(&script);
    let out = done.out();
    assert!(done.status.success() && out.ends_with("end\n"), "{done:#}");
    for text in [
        "tpm.key works",
        "pin.key works",
        "RSA 2048",
        "sha256:7",
        "not locked",
        "0x81020007",
        "BEGIN TSS2 PRIVATE KEY",
        "\n600\n",
        "SW TPM",
    ] {
        assert!(out.contains(text), "{text}: {done:#}");
    }
    machine.tpm.assert_clean();
}

#[test]
fn fips_properties() {
    let bench = Bench::new();
    key::generate(&bench.openssl, "key", "EC -pkeyopt group:P-256");
    let dir = bench.openssl.dir();
    dir.write("data", "some text");
    let text = dir.read_text("openssl.cnf");
    let with = |properties: &str| {
        let (first, rest) = text.split_once("[openssl_init]\n").expect("the section");
        dir.write(
            "fips.cnf",
            format!(
                "{first}[openssl_init]\nalg_section = algorithms\n{rest}\n[algorithms]\ndefault_properties = {properties}\n"
            ),
        );
        bench
            .openssl
            .run("dgst -sha256 -sign key.pem -out sig data")
            .env("OPENSSL_CONF", dir.join("fips.cnf"))
    };
    with("fips=yes")
        .fails()
        .says("operation not supported for this keytype");
    bench.tap.reset();
    with("?fips=yes").ok();
    assert_eq!(bench.tap.counts().of("Sign"), 1);
    bench
        .openssl
        .plain()
        .ok("dgst -sha256 -verify key.pub -signature sig data");
    bench.tpm.assert_clean();
}
