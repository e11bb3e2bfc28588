//! What people meet who come with the other provider's habits: its variables, its files, its configuration beside ours, and
//! programs that no provider can help.

use testkit::bench::Bench;
use testkit::jail::Jail;
use testkit::key;
use testkit::openssl::{Config, ORDERS, Openssl};
use testkit::peer::peer;
use testkit::process::Run;
use testkit::swtpm::Swtpm;
use testkit::tools::{find, module, modules_dir, need, need_file};

const GENPKEY: &str =
    "genpkey -propquery provider=tpm -algorithm EC -pkeyopt group:P-256 -out new.pem";

/// Their documented query sends the handshake's own keys to the TPM's provider; under OpenSSL 3.0 and TLS 1.2 there is then
/// no cipher left for an EC certificate. Without it all is well.
#[test]
fn no_shared_cipher_with_their_query() {
    for order in ORDERS {
        let bench = Bench::with(Config::new().order(order));
        let Bench { openssl, .. } = &bench;
        key::generate(openssl, "key", "EC -pkeyopt group:P-256");
        key::certificate(openssl, "key");
        let shake = |query: &str, version: &str| {
            let mut server = openssl.s_server(&format!("-key key.pem -cert key.crt {query}"));
            let client = format!("-CAfile key.crt -verify_return_error {version}");
            let done = openssl.plain().s_client(server.port, &client).done();
            server.daemon().kill();
            (done.status.success(), server.output())
        };
        for query in ["", "-propquery ?provider=tpm"] {
            let (well, log) = shake(query, "-tls1_3");
            assert!(well, "{log}");
            let (well, log) = shake(query, "-tls1_2");
            if query.is_empty() {
                assert!(well, "{log}");
            } else if openssl.version() == (3, 0) {
                assert!(!well && log.contains("no shared cipher"), "{log}");
            }
        }
    }
}

/// Their variable alone leads to no TPM; with ours beside it, it does not matter.
#[test]
fn their_address_variable() {
    let jail = Jail::new(&Config::new());
    let lines = [format!("openssl {GENPKEY}"), "tpmctl info".to_owned()];
    for line in &lines {
        jail.run(line)
            .fails()
            .says("no TPM found")
            .never_says("TPM2OPENSSL_TCTI");
        for address in [
            "device:/dev/tpmrm0",
            "tabrmd:bus_name=com.intel.tss2.Tabrmd",
        ] {
            jail.run(line)
                .env("TPM2OPENSSL_TCTI", address)
                .fails()
                .says("no TPM found")
                .says("TPM2OPENSSL_TCTI is set")
                .says("say TPM_TCTI");
        }
    }
    let bench = Bench::new();
    bench
        .openssl
        .run(GENPKEY)
        .env("TPM2OPENSSL_TCTI", "device:/nowhere")
        .ok();
}

/// Addresses as theirs are written.
#[test]
fn their_addresses() {
    let tpm = Swtpm::start();
    for (address, says) in [
        (
            "tabrmd:bus_name=com.intel.tss2.Tabrmd",
            "use device:/dev/tpmrm0",
        ),
        ("tabrmd", "use device:/dev/tpmrm0"),
        ("cmd:tpm2_send", "accepted are device:PATH"),
        (
            "libtss2-tcti-device.so.0:/dev/tpm0",
            "accepted are device:PATH",
        ),
        ("/dev/tpmrm0", "write device:/dev/tpmrm0"),
    ] {
        let variable = Openssl::new(address);
        variable.fails(GENPKEY).says("TPM_TCTI").says(says);
        let setting = Openssl::without_tpm(Config::new().setting("tcti", address));
        setting.fails(GENPKEY).says("tcti").says(says);
    }
    // Those that mean the same here.
    let openssl = Openssl::without_tpm(Config::new().setting("tcti", &tpm.address()));
    openssl.ok(GENPKEY);
}

/// The parent's secret by their variable is none; the error names ours.
#[test]
fn their_variable_for_the_parent() {
    let bench = Bench::without_srk();
    let Bench { openssl, .. } = &bench;
    bench.tool("tpm2_changeauth -Q -c o owner-secret");
    let run = |name: &str| openssl.run(GENPKEY).env(name, "owner-secret");
    run("TPM2OPENSSL_PARENT_AUTH")
        .fails()
        .says("TPM_PARENT_AUTH");
    run("TPM_PARENT_AUTH").ok();
    openssl.ok(&format!("{GENPKEY} -pkeyopt parent-auth:owner-secret"));
}

/// Both in one openssl.cnf, in each order; each uses the keys that the other has made, in the other's place.
#[test]
fn beside_theirs_in_one_configuration() {
    let theirs = {
        let modules = Openssl::without_provider().plain().ok("version -m").out();
        let modules = modules.trim().trim_start_matches("MODULESDIR: ").to_owned();
        let path = format!("{}/tpm2.so", modules.trim_matches('"'));
        need_file(&path, "tpm2-openssl");
        path
    };
    for names in [["default", "tpm", "tpm2"], ["tpm", "default", "tpm2"]] {
        let bench = Bench::new();
        let Bench { openssl, tpm, .. } = &bench;
        let sections: String = names.iter().map(|n| format!("{n} = {n}_sect\n")).collect();
        openssl.dir().write(
            "beside.cnf",
            format!(
                "openssl_conf = init\n[init]\nproviders = providers\n[providers]\n{sections}\
                 [default_sect]\nactivate = 1\n\
                 [tpm_sect]\nmodule = {}\nactivate = 1\n\
                 [tpm2_sect]\nmodule = {theirs}\nactivate = 1\n[req]\ndistinguished_name = dn\n[dn]\n",
                module().display()
            ),
        );
        let run = |line: &str| -> Run {
            openssl
                .run(line)
                .env("OPENSSL_CONF", openssl.dir().join("beside.cnf"))
                .env_remove("OPENSSL_MODULES")
                .env("TPM2OPENSSL_TCTI", tpm.address())
        };
        for (name, provider) in [("ours", "tpm"), ("theirs", "tpm2")] {
            run(&format!(
                "genpkey -propquery provider={provider} -algorithm RSA -pkeyopt bits:2048 -out {name}.pem"
            ))
            .ok();
            tpm.flush();
            run(&format!("pkey -in {name}.pem -pubout -out {name}.pub")).ok();
            tpm.flush();
        }
        let input = key::digest(openssl, "sha256");
        for name in ["ours", "theirs"] {
            for query in ["", "-propquery ?provider=tpm", "-propquery ?provider=tpm2"] {
                run(&format!(
                    "pkeyutl -sign {query} -inkey {name}.pem -in {input} -out sig -pkeyopt digest:sha256"
                ))
                .ok();
                tpm.flush();
                openssl.plain().ok(&format!(
                    "pkeyutl -verify -pubin -inkey {name}.pub -in {input} -sigfile sig -pkeyopt digest:sha256"
                ));
            }
        }
        // A key of ours in theirs alone, and the other way round.
        peer(
            openssl,
            tpm,
            "pkeyutl",
            &format!("-sign -inkey ours.pem -in {input} -out sig -pkeyopt digest:sha256"),
        )
        .ok();
        tpm.flush();
        openssl.ok(&format!(
            "pkeyutl -sign -inkey theirs.pem -in {input} -out sig -pkeyopt digest:sha256"
        ));
    }
}

/// A directory of modules of our own hides the system's; the module's path in openssl.cnf hides none.
#[test]
fn a_directory_of_modules_hides_the_others() {
    let openssl = Openssl::without_tpm(Config::new());
    let text = openssl.dir().read_text("openssl.cnf").replace(
        "default = default_sect\n",
        "default = default_sect\nlegacy = default_sect\n",
    );
    openssl.dir().write("openssl.cnf", &text);
    assert!(!modules_dir().join("legacy.so").exists());
    let list = "list -providers";
    let hidden = openssl.run(list).done();
    assert!(!hidden.out().contains("legacy"), "{hidden:#}");
    let named = Config::new().absolute().text().replace(
        "default = default_sect\n",
        "default = default_sect\nlegacy = default_sect\n",
    );
    openssl.dir().write("openssl.cnf", named);
    let seen = openssl.run(list).env_remove("OPENSSL_MODULES").ok().out();
    assert!(seen.contains("legacy") && seen.contains("tpm"), "{seen}");
}

/// Debian's git speaks HTTPS with GnuTLS. Where git is another one there is nothing to say.
#[test]
fn git_of_debian_has_no_openssl_for_https() {
    let Some(git) = find("git") else { return };
    let path = Run::new(&git).arg("--exec-path").ok().out();
    let helper = format!("{}/git-remote-https", path.trim());
    let libraries = Run::new(need("ldd", "libc-bin")).arg(helper).done().out();
    if libraries.contains("libcurl-gnutls") {
        assert!(libraries.contains("libgnutls"), "{libraries}");
        assert!(!libraries.contains("libssl"), "{libraries}");
    }
}
