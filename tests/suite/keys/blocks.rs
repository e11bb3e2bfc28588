//! What stands before, around and inside a key's PEM block: certificates, parameters, public halves, a byte order mark, PKCS#8;
//! and what the host has in its error queue meanwhile.

use testkit::cc;
use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::orders::{each_order_with, each_software_order_with};
use testkit::tools::tpmctl;

/// Keys of every kind, certificates and the program that loads them in every way.
fn prepare(openssl: &Openssl) -> std::path::PathBuf {
    key::generate(openssl, "ec", "EC -pkeyopt group:P-256");
    key::generate(openssl, "rsa", "RSA -pkeyopt bits:2048");
    key::certificate(openssl, "ec");
    key::certificate(openssl, "rsa");
    for name in ["ec", "rsa"] {
        openssl.ok(&format!("pkey -in {name}.pem -outform DER -out {name}.der"));
    }
    cc::compile(openssl.dir(), "queue", "-lssl -lcrypto")
}

/// Loads `name`.pem and `der`: whatever way does not end with a key, or not with the queue as it was, is returned.
fn odd(openssl: &Openssl, program: &std::path::Path, name: &str, der: &str) -> Vec<String> {
    let done = openssl
        .client(program)
        .arg(format!("{name}.pem"))
        .arg(der)
        .ok();
    let out = done.out();
    assert_eq!(out.lines().count(), 14, "{out}");
    let odd = out
        .lines()
        .filter(|line| !line.ends_with(": a key, as before"));
    odd.map(str::to_owned).collect()
}

/// The key is found behind any other block, whatever lies in the error queue, and nothing is added to it.
#[test]
fn a_key_behind_other_blocks() {
    each_order_with(&Config::new(), |openssl| {
        let program = prepare(openssl);
        let dir = openssl.dir();
        let text = |name: &str| dir.read_text(name);
        openssl
            .plain()
            .ok("ecparam -name prime256v1 -out group.pem");
        openssl.plain().ok("dhparam -dsaparam -out dh.pem 512");
        let (ec, rsa) = (text("ec.pem"), text("rsa.pem"));
        for (name, content) in [
            ("certificate", text("ec.crt") + &ec),
            ("chain", format!("{0}{0}{0}words\n{ec}{0}", text("ec.crt"))),
            ("group", text("group.pem") + &ec),
            ("dh", text("dh.pem") + &rsa),
            ("public", text("rsa.pub") + &rsa),
            (
                "unknown",
                format!("-----BEGIN X-----\nAAAA\n-----END X-----\n{rsa}"),
            ),
            ("mark", format!("\u{feff}{ec}")),
            (
                "marked-certificate",
                format!("\u{feff}{}{ec}", text("ec.crt")),
            ),
            (
                "lines",
                format!("{}{ec}", text("ec.crt")).replace('\n', "\r\n"),
            ),
        ] {
            dir.write(&format!("{name}.pem"), content);
            assert_eq!(odd(openssl, &program, name, "ec.der"), [""; 0], "{name}");
        }
    });
}

/// An editor's mark before openssl.cnf, which OpenSSL passes over.
#[test]
fn a_byte_order_mark_before_the_configuration() {
    each_order_with(&Config::new().setting("log", "warn"), |openssl| {
        key::generate(openssl, "ec", "EC -pkeyopt group:P-256");
        let text = openssl.dir().read_text("openssl.cnf");
        openssl
            .dir()
            .write("openssl.cnf", format!("\u{feff}{text}"));
        openssl.ok("pkeyutl -sign -rawin -inkey ec.pem -in ec.pub -out sig");
        openssl.client(tpmctl()).words("info").ok();
        // The section is read: what is wrong in it is said.
        let bad = text.replace("log = warn", "log = loud");
        openssl.dir().write("openssl.cnf", format!("\u{feff}{bad}"));
        openssl
            .client(tpmctl())
            .words("info")
            .fails()
            .says("log = \"loud\"");
    });
}

/// Others' keys are found as before: the block that may hold one is left to those who know it.
#[test]
fn software_keys_behind_other_blocks() {
    each_software_order_with(&Config::new(), |openssl| {
        let program = prepare(openssl);
        let dir = openssl.dir();
        key::software_ec(openssl, "soft", "P-256");
        openssl
            .plain()
            .ok("pkey -in soft.pem -outform DER -out soft.der");
        openssl
            .plain()
            .ok("ecparam -name prime256v1 -out group.pem");
        openssl.plain().ok("ec -in soft.pem -out sec1.pem");
        let text = |name: &str| dir.read_text(name);
        for (name, content) in [
            ("certificate", text("ec.crt") + &text("soft.pem")),
            ("sec1", text("group.pem") + &text("sec1.pem")),
            // The first private key counts, whose ever it is.
            ("both", text("ec.crt") + &text("soft.pem") + &text("ec.pem")),
        ] {
            dir.write(&format!("{name}.pem"), content);
            assert_eq!(odd(openssl, &program, name, "soft.der"), [""; 0], "{name}");
            let public = openssl.ok(&format!("pkey -in {name}.pem -pubout")).out();
            assert_eq!(
                public,
                openssl.plain().ok("pkey -in soft.pem -pubout").out()
            );
        }
    });
}

/// 256 KiB is as far as a key is looked for; behind that it is found as OpenSSL goes on from block to block.
#[test]
fn a_key_behind_a_whole_store_of_certificates() {
    each_order_with(&Config::new(), |openssl| {
        let program = prepare(openssl);
        let dir = openssl.dir();
        let bundle = dir.read_text("ec.crt").repeat(800);
        assert!(bundle.len() > 256 << 10);
        dir.write("bundle.pem", bundle + &dir.read_text("ec.pem"));
        let odd = odd(openssl, &program, "bundle", "ec.der");
        // An old error in the queue ends OpenSSL's walk, and it goes back in no filter.
        let ends = |line: &String| line.contains(" stale: none") || line.starts_with("filter ");
        assert!(odd.iter().all(ends), "{odd:?}");
    });
}

/// A key file in PKCS#8 is the same key, and becomes the plain form again.
#[test]
fn a_key_in_pkcs8() {
    each_order_with(&Config::new(), |openssl| {
        let program = prepare(openssl);
        for name in ["ec", "rsa"] {
            let pem = openssl.dir().read_text(&format!("{name}.pem"));
            let convert = |line: &str| {
                openssl
                    .client(tpmctl())
                    .words("key convert")
                    .words(line)
                    .ok()
            };
            convert(&format!("{name}.pem --form pkcs8 -o {name}8.pem"));
            let text = openssl.dir().read_text(&format!("{name}8.pem"));
            assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{text}");
            openssl.ok(&format!(
                "asn1parse -in {name}8.pem -noout -out {name}8.der"
            ));
            // What reads PEM is as it was. DER is asked for by an algorithm that OpenSSL does not know: that stays in the
            // queue, or ends it.
            let odd = odd(
                openssl,
                &program,
                &format!("{name}8"),
                &format!("{name}8.der"),
            );
            let reads_der = |line: &String| {
                ["info ", "d2i ", "decoder "]
                    .iter()
                    .any(|way| line.starts_with(way) && line.ends_with("unsupported"))
            };
            assert!(odd.iter().all(reads_der), "{odd:?}");
            assert!(
                !odd.iter().any(|line| line.starts_with("d2i empty: none")),
                "{odd:?}"
            );
            openssl.ok(&format!("pkey -in {name}8.pem -out again.pem"));
            assert_eq!(openssl.dir().read_text("again.pem"), pem);
            let back = convert(&format!("{name}8.der")).out();
            assert_eq!(back, pem);
            let text = openssl.dir().read_text(&format!("{name}.crt")) + &text;
            openssl.dir().write("both.pem", text);
            openssl.ok("pkeyutl -sign -rawin -inkey both.pem -in rsa.pub -out sig");
            openssl.plain().ok(&format!(
                "pkeyutl -verify -rawin -pubin -inkey {name}.pub -in rsa.pub -sigfile sig"
            ));
        }
        let made = openssl
            .client(tpmctl())
            .words("key new --type ec --parent 0x81000001 --form pkcs8")
            .ok()
            .out();
        openssl.dir().write("made.pem", &made);
        assert!(made.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{made}");
        openssl.ok("pkeyutl -sign -rawin -inkey made.pem -in rsa.pub -out sig");
        // Software keys are nobody's business here.
        key::software_ec(openssl, "soft", "P-256");
        openssl
            .client(tpmctl())
            .words("key convert soft.pem")
            .fails()
            .says("PRIVATE KEY");
        for (line, text) in [
            ("key convert ec.pem --form pkcs12", "pkcs8"),
            ("key convert ec.pem --json", "--json"),
            ("key convert ec.pem -o ec.pem", "--force"),
        ] {
            openssl.client(tpmctl()).words(line).fails().says(text);
        }
    });
}
