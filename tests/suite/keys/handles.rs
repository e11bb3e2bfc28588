//! Keys by URI: what vouches for a public half that has no file.

use testkit::bench::Bench;
use testkit::client::Client;
use testkit::key;
use testkit::openssl::Config;

use crate::tpm::costs;

const HANDLE: &str = "handle:0x81000010";

/// A key at [`HANDLE`], its name, and that of the storage root key.
fn persistent(config: Config, options: &str) -> (Bench, String, String) {
    let bench = Bench::with(config);
    bench.tool(&format!(
        "tpm2_create -Q -C 0x81000001 -G rsa2048 {options} -u p.pub -r p.priv"
    ));
    bench.tool("tpm2_load -Q -C 0x81000001 -u p.pub -r p.priv -c p.ctx");
    bench.tool("tpm2_evictcontrol -Q -C o -c p.ctx 0x81000010");
    bench.tool("tpm2_flushcontext -t");
    key::digest(&bench.openssl, "sha256");
    let name = |handle: &str| {
        bench.tool(&format!("tpm2_readpublic -Q -c {handle} -n name"));
        let bytes = bench.openssl.dir().read("name");
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let (own, parent) = (name("0x81000010"), name("0x81000001"));
    (bench, own, parent)
}

fn sign(uri: &str) -> String {
    format!("pkeyutl -sign -inkey {uri} -in sha256.bin -out sig -pkeyopt digest:sha256")
}

#[test]
fn a_name_in_the_uri_costs_nothing_more() {
    let (bench, name, other) = persistent(Config::new(), "");
    let Bench { openssl, tap, tpm } = &bench;
    let (_, counts) = tap.cost(|| openssl.ok(&sign(&format!("{HANDLE}?name={name}"))));
    counts.are(costs::HANDLE.commands);
    let ((), counts) = tap.cost(|| {
        openssl
            .fails(&sign(&format!("{HANDLE}?name={other}")))
            .says("0x81000010")
            .says(&name)
            .says(&format!("the URI demands {other}"));
    });
    counts.are(&[("ReadPublic", 1)]);
    openssl
        .fails(&format!("pkey -in {HANDLE}?name=000b -pubout"))
        .says("no TPM name in hexadecimal")
        .says("tpmctl info");
    tpm.assert_clean();
}

#[test]
fn a_name_and_a_value() {
    let (bench, name, _) = persistent(Config::new(), "-p handle-secret");
    let Bench { openssl, tap, tpm } = &bench;
    let mut client = Client::start(openssl);
    client.ok("pin handle-secret");
    let uri = format!("{HANDLE}?name={name}&pass");
    assert_eq!(client.ok(&format!("store 1 {uri}")), "prompts=1");
    client.ok("sign 1");
    client.end();
    assert!(!tap.saw(b"handle-secret"));
    tpm.assert_clean();
}

#[test]
fn the_parent_s_name_vouches_for_a_key() {
    let (bench, name, parent) = persistent(Config::new(), "");
    let Bench { openssl, tap, tpm } = &bench;
    let plain = openssl.dir().read_text("openssl.cnf");
    let demand = |parent: &str| {
        let section = format!("[tpm_sect]\nparent-name = {parent}\n");
        let text = plain.replace("[tpm_sect]\n", &section);
        openssl.dir().write("openssl.cnf", text);
    };
    demand(&parent);
    let (_, counts) = tap.cost(|| openssl.ok(&sign(HANDLE)));
    counts.are(costs::HANDLE_OF_PARENT.commands);
    // A name of its own comes first.
    let (_, counts) = tap.cost(|| openssl.ok(&sign(&format!("{HANDLE}?name={name}"))));
    counts.are(costs::HANDLE.commands);
    demand(&name);
    let ((), counts) = tap.cost(|| {
        openssl
            .fails(&sign(HANDLE))
            .says("parent-name demands")
            .says(&parent);
    });
    assert_eq!(counts.of("Sign"), 0, "{counts:?}");
    tpm.assert_clean();
}
