//! Authorization values: where they come from, how often they are tried, and where they are never seen.

use std::fs;
use std::time::Duration;
use testkit::bench::Bench;
use testkit::cc;
use testkit::client::Client;
use testkit::key::{self, SIGN};
use testkit::nginx::{self, Nginx};
use testkit::openssl::{Config, Openssl};
use testkit::process::wait_for;
use testkit::proxy::{Action, Fault, Proxy};
use testkit::scratch::set_mode;
use testkit::swtpm::Swtpm;
use testkit::tls::Load;
use testkit::tools::{is_root, modules_dir, need, tpmctl};
use testkit::tpm::{cc as code, rc};

/// Long enough to be found on the wire by accident never, and unlike anything in a path.
const PIN: &str = "correct-horse-4711";

/// `key.pem` with the value [`PIN`], made through the tap.
fn bench_with(config: Config) -> Bench {
    let bench = Bench::with(config);
    let openssl = &bench.openssl;
    openssl.dir().write("pin", format!("{PIN}\n"));
    openssl.dir().write("wrong", "wrong\n");
    key::digest(openssl, "sha256");
    openssl.ok(
        "genpkey -propquery provider=tpm -algorithm RSA -pkeyopt bits:2048 -pkeyopt user-auth:file:pin \
         -out key.pem",
    );
    bench
}

fn bench() -> Bench {
    bench_with(Config::new())
}

/// What the TPM itself says about wrong tries.
fn counter(tpm: &Swtpm) -> u32 {
    let out = tpm.tool("tpm2_getcap properties-variable").ok().out();
    let line = out
        .lines()
        .find(|l| l.starts_with("TPM2_PT_LOCKOUT_COUNTER:"))
        .unwrap_or_else(|| panic!("{out}"));
    let value = line.split_whitespace().last().expect("a value");
    u32::from_str_radix(value.trim_start_matches("0x"), 16).expect("a number")
}

#[test]
fn a_value_comes_from_everywhere_it_can() {
    let Bench { openssl, tap, tpm } = bench();
    openssl.ok(&format!("{SIGN} -passin pass:{PIN}"));
    openssl.ok(&format!("{SIGN} -passin file:pin"));
    openssl
        .run(&format!("{SIGN} -passin env:KEY_PIN"))
        .env("KEY_PIN", PIN)
        .ok();
    openssl
        .run(&format!("{SIGN} -passin stdin"))
        .stdin(format!("{PIN}\n"))
        .ok();
    // A key whose value stood on the command line.
    openssl.ok(
        "genpkey -propquery provider=tpm -algorithm RSA -pkeyopt bits:2048 -pkeyopt user-auth:abc -out key.pem",
    );
    openssl.ok(&format!("{SIGN} -passin pass:abc"));
    // What needs the public half only asks nobody.
    let mut client = Client::start(&openssl);
    client.ok("pin abc");
    assert_eq!(client.ok("load 1 key.pem"), "prompts=1", "asked once");
    client.ok("sign 1");
    client.ok("decrypt 1");
    client.end();
    assert!(
        !tap.saw(PIN.as_bytes()) && !tap.saw(b"abc"),
        "in clear on the wire"
    );
    assert_eq!(counter(&tpm), 0);
    tpm.assert_clean();
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let Bench {
        openssl,
        tap: _tap,
        tpm,
    } = bench();
    openssl
        .fails(
            "genpkey -propquery provider=tpm -algorithm RSA -pkeyopt user-auth:file:/nonexistent/pin -out k",
        )
        .says("/nonexistent/pin");
    assert!(!openssl.dir().join("k").exists() || openssl.dir().read("k").is_empty());
    tpm.assert_clean();
}

/// Nobody answers the prompt, or with nothing: said when the key is loaded, with the ways to answer, and the TPM is not
/// asked.
#[test]
fn a_value_that_nobody_gave() {
    for load in ["lazy", "eager"] {
        let Bench { openssl, tap, tpm } = bench_with(Config::new().setting("load", load));
        openssl.ok("pkey -in key.pem -passin file:pin -outform DER -out key.der");
        let mut client = Client::start(&openssl);
        tap.reset();
        for answer in ["pin", "empty"] {
            client.ok(answer);
            client.fails(
                "load 1 key.pem",
                &[
                    "authorization value",
                    "-passin",
                    "ssl_password_file",
                    "pin-source",
                ],
            );
        }
        client.end();
        openssl
            .fails(&format!("{SIGN} -passin pass:"))
            .says("needs an authorization value")
            .says("pin-source");
        // OpenSSL's store drops what is said of a file in DER.
        let der = SIGN.replace("-inkey key.pem", "-inkey key.der -keyform DER");
        openssl.fails(&format!("{der} -passin pass:"));
        assert_eq!(tap.counts().total(), 0, "{:?}", tap.counts());
        assert_eq!(counter(&tpm), 0);
        tpm.assert_clean();
    }
}

/// A persistent key is asked for before the TPM is asked about it.
#[test]
fn a_value_that_nobody_gave_for_a_handle() {
    let Bench { openssl, tap, tpm } = bench();
    let tool = |line: &str| tpm.tool(line).dir(openssl.dir().path()).ok();
    tool(&format!(
        "tpm2_createprimary -Q -C o -G ecc -p {PIN} -c p.ctx \
         -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"
    ));
    tool("tpm2_evictcontrol -Q -C o -c p.ctx 0x81000010");
    tool("tpm2_flushcontext -t");
    let sign = SIGN.replace("key.pem", "handle:0x81000010?pass");
    tap.reset();
    openssl.fails(&format!("{sign} -passin pass:"));
    assert_eq!(tap.counts().total(), 0, "{:?}", tap.counts());
    openssl.ok(&format!("{sign} -passin file:pin"));
    // One try for a wrong one, and then not for the same load.
    openssl
        .fails(&format!("{sign} -passin file:wrong"))
        .says("authorization value is wrong");
    assert_eq!(counter(&tpm), 1);
    tpm.assert_clean();
}

/// The value of a key that this process has loaded serves the same key again, and is gone with it.
#[test]
fn a_value_is_found_while_the_key_is_loaded() {
    let Bench { openssl, tap, tpm } = bench();
    let mut client = Client::start(&openssl);
    client.ok(&format!("pin {PIN}"));
    client.ok("load 1 key.pem");
    client.ok("pin");
    client.ok("load 2 key.pem");
    client.ok("sign 2");
    client.ok("free 1");
    client.ok("empty");
    client.ok("load 3 key.pem");
    client.ok("sign 3");
    client.ok("free 2");
    client.ok("free 3");
    tap.reset();
    client.fails("load 4 key.pem", &["needs an authorization value"]);
    assert_eq!(tap.counts().total(), 0, "{:?}", tap.counts());
    client.end();
    assert_eq!(counter(&tpm), 0);
    tpm.assert_clean();
}

/// Where the program gives nothing, the setting does; a wrong one costs one try.
#[test]
fn pin_source_gives_what_the_program_does_not() {
    let Bench { openssl, tap, tpm } = bench();
    let at = openssl.dir().join("source").display().to_string();
    let with = |value: &str| {
        let config = Config::new().setting("pin-source", value).text();
        let name = format!("{}.cnf", value.len());
        openssl.dir().write(&name, config)
    };
    let source = with(&format!("file:{at}"));
    let sign = |conf: &std::path::Path| {
        openssl
            .run(&format!("{SIGN} -passin pass:"))
            .env("OPENSSL_CONF", conf)
    };
    openssl.dir().write("source", format!("\u{feff}{PIN}\r\n"));
    sign(&source).ok();
    let (_, counts) = tap.cost(|| {
        openssl.dir().write("source", "\n");
        sign(&source).fails();
        fs::remove_file(&at).expect("removed");
        sign(&source).fails();
        sign(&with(PIN))
            .fails()
            .says("expected file:PATH, credential:NAME or none:")
            .never_says(PIN);
    });
    assert_eq!(counts.total(), 0, "{counts:?}");
    openssl.dir().write("source", "wrong\n");
    sign(&source).fails().says("authorization value is wrong");
    assert_eq!(counter(&tpm), 1);
    // What the program gives goes before it.
    openssl
        .run(&format!("{SIGN} -passin file:pin"))
        .env("OPENSSL_CONF", &source)
        .ok();
    assert_eq!(counter(&tpm), 1);
    tpm.assert_clean();
}

/// Nothing is no secret: a key made with it would have no protection, and nobody would notice.
#[test]
fn an_empty_secret_makes_no_key() {
    let Bench { openssl, tap, tpm } = bench();
    let dir = openssl.dir();
    dir.write("empty", "");
    dir.write("blank", "\n1234\n");
    dir.write("bom", "\u{feff}");
    dir.write("nul", "12\x0034\n");
    dir.write("long", "1".repeat(33));
    dir.write("huge", "1".repeat(5000));
    fs::create_dir(dir.join("folder")).expect("made");
    tap.reset();
    for (value, part) in [
        ("file:empty", "is empty"),
        ("file:blank", "is empty"),
        ("file:bom", "is empty"),
        ("", "is empty"),
        ("file:nul", "NUL"),
        ("file:long", "32 bytes"),
        ("file:huge", "4096 bytes"),
        ("file:folder", "directory"),
        ("file:none", "cannot be read"),
    ] {
        let genpkey = "genpkey -propquery provider=tpm -out new.pem -algorithm";
        for algorithm in ["RSA -pkeyopt bits:2048", "EC -pkeyopt group:P-256"] {
            let line = format!("{genpkey} {algorithm}");
            openssl
                .run(&line)
                .arg("-pkeyopt")
                .arg(format!("user-auth:{value}"))
                .fails()
                .says(part);
        }
        let key = dir.join("ctl.pem");
        openssl
            .client(tpmctl())
            .words("key new --auth")
            .arg(value)
            .arg("-o")
            .arg(&key)
            .fails()
            .says(part);
        assert!(!key.exists());
        if !part.contains("32") {
            openssl
                .run(SIGN)
                .args(["-passin", "file:pin"])
                .env(
                    "TPM_PARENT_AUTH",
                    if value.is_empty() {
                        "file:empty"
                    } else {
                        value
                    },
                )
                .fails()
                .says(part);
        }
    }
    openssl
        .run(SIGN)
        .args(["-passin", "file:pin"])
        .env("TPM_PARENT_AUTH", "1".repeat(65))
        .fails()
        .says("64 bytes");
    assert_eq!(tap.counts().total(), 0, "{:?}", tap.counts());
    // Said in so many words, it is a key without one.
    key::rsa(&openssl, "open", 2048, "-pkeyopt user-auth:none:");
    openssl.ok(&SIGN.replace("key.pem", "open.pem"));
    assert_eq!(counter(&tpm), 0);
    tpm.assert_clean();
}

/// What editors put around a value is not part of it, wherever it comes from; blanks are.
#[test]
fn one_file_is_one_secret_everywhere() {
    let Bench {
        openssl,
        tap: _tap,
        tpm,
    } = bench();
    let dir = openssl.dir();
    dir.write("dos", "\u{feff}1234 \r\n");
    dir.write("unix", "1234 \n");
    dir.write("bare", "1234");
    key::digest(&openssl, "sha256");
    openssl.ok(
        "genpkey -propquery provider=tpm -algorithm EC -pkeyopt user-auth:file:dos -out key.pem",
    );
    for file in ["dos", "unix"] {
        openssl.ok(&format!("{SIGN} -passin file:{file}"));
    }
    openssl.run(SIGN).args(["-passin", "pass:1234 "]).ok();
    assert_eq!(counter(&tpm), 0);
    openssl
        .fails(&format!("{SIGN} -passin file:bare"))
        .says("authorization value is wrong");
    // What no TPM takes is not tried.
    openssl
        .run(SIGN)
        .args(["-passin", &format!("pass:{}", "1".repeat(33))])
        .fails()
        .says("32 bytes");
    assert_eq!(counter(&tpm), 1);
    tpm.assert_clean();
}

#[test]
fn a_wrong_value_costs_one_try_and_shuts_the_key() {
    let Bench { openssl, tap, tpm } = bench();
    let mut client = Client::start(&openssl);
    client.ok("pin wrong");
    client.ok("load 1 key.pem");
    client.ok("dup 1 2");
    client.fails(
        "sign 1",
        &[
            "authorization value is wrong",
            "tries left before the TPM locks",
        ],
    );
    assert_eq!(counter(&tpm), 1);
    tap.reset();
    for step in ["sign 1", "decrypt 1", "raw 1", "sign 2"] {
        client.fails(step, &["not tried again", "loaded anew", "lockout"]);
    }
    assert_eq!(tap.counts().total(), 0, "a shut key: {:?}", tap.counts());
    assert_eq!(counter(&tpm), 1);
    // The same one for the same key is the same, however often it is loaded.
    client.fails("load 4 key.pem", &["not tried again", "loaded anew"]);
    // Loaded again, with the right value.
    client.ok(&format!("pin {PIN}"));
    client.ok("load 3 key.pem");
    client.ok("sign 3");
    client.fails("sign 1", &["not tried again"]);
    client.end();
    assert_eq!(counter(&tpm), 1);
    // Each way to use a key counts a wrong value once.
    openssl
        .fails(&format!("{SIGN} -passin file:wrong"))
        .says("left before the TPM locks");
    assert_eq!(counter(&tpm), 2);
    tpm.assert_clean();
}

/// The answer to a wrong value is lost with the connection: the command is not sent a second time.
#[test]
fn a_wrong_value_is_tried_once_even_if_the_connection_ends() {
    let Bench { openssl, tap, tpm } = bench();
    // The TPM's first use of such a key after a start is repeated; that is over then.
    openssl.ok(&format!("{SIGN} -passin file:pin"));
    let mut client = Client::start(&openssl);
    client.ok("pin wrong");
    client.ok("load 1 key.pem");
    tap.inject(Fault::on(code::SIGN, Action::CutAfter));
    client.fails("sign 1", &[]);
    client.end();
    assert_eq!(counter(&tpm), 1);
}

#[test]
fn a_locked_tpm_says_so_and_how_to_go_on() {
    let Bench {
        openssl,
        tap: _tap,
        tpm,
    } = bench();
    tpm.tool("tpm2_dictionarylockout --setup-parameters --max-tries=2 --recovery-time=1000 --lockout-recovery-time=1000")
        .ok();
    openssl
        .fails(&format!("{SIGN} -passin file:wrong"))
        .says("1 try left before the TPM locks");
    openssl
        .fails(&format!("{SIGN} -passin file:wrong"))
        .says("the TPM is locked now");
    // Now the right one does not help either.
    openssl
        .fails(&format!("{SIGN} -passin file:pin"))
        .says("locked after too many wrong authorization values")
        .says("2 of 2 counted, no tries left")
        .says("within 1000 seconds")
        .says("tpmctl lockout reset");
    // A key without a value is not concerned.
    key::rsa(&openssl, "open", 2048, "");
    openssl.ok(&SIGN.replace("key.pem", "open.pem"));
    tpm.tool("tpm2_dictionarylockout --clear-lockout").ok();
    openssl.ok(&format!("{SIGN} -passin file:pin"));
    tpm.assert_clean();
}

#[test]
fn a_parent_with_a_value() {
    let tpm = Swtpm::start();
    tpm.tool("tpm2_createprimary -Q -C o -G ecc -p parent-secret -c p.ctx")
        .dir(tpm.state())
        .ok();
    tpm.tool("tpm2_evictcontrol -Q -C o -c p.ctx 0x81000002")
        .dir(tpm.state())
        .ok();
    tpm.tool("tpm2_flushcontext -t").ok();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::with(
        Config::new().setting("parent-auth", "parent-secret"),
        &tap.address(),
    );
    key::digest(&openssl, "sha256");
    key::rsa(&openssl, "key", 2048, "-pkeyopt parent:0x81000002");
    openssl.ok(SIGN);
    // An option, a variable and a file, in place of the setting.
    let bare = Openssl::new(&tap.address());
    bare.dir().write("key.pem", openssl.dir().read("key.pem"));
    bare.dir().write("secret", "parent-secret\n");
    key::digest(&bare, "sha256");
    key::rsa(
        &bare,
        "k2",
        2048,
        "-pkeyopt parent:0x81000002 -pkeyopt parent-auth:file:secret",
    );
    bare.run(SIGN).env("TPM_PARENT_AUTH", "parent-secret").ok();
    bare.run(SIGN).env("TPM_PARENT_AUTH", "file:secret").ok();
    assert!(!tap.saw(b"parent-secret"));
    // Without it: whose value is wrong, and the way out.
    bare.fails(SIGN)
        .says("the parent's authorization value (parent-auth, or TPM_PARENT_AUTH) is wrong");
    bare.run(SIGN)
        .env("TPM_PARENT_AUTH", "wrong")
        .fails()
        .says("the parent's authorization value");
    tpm.assert_clean();
}

/// A file that says of a key with a value that it has none: one try for all server blocks and workers.
#[test]
fn a_file_that_is_wrong_about_its_value() {
    let Bench { openssl, tap, tpm } = bench();
    openssl.ok("req -x509 -key key.pem -out key.crt -subj /CN=key -days 2 -passin file:pin");
    let dir = openssl.dir();
    let pem = dir.read("key.pem");
    let (label, mut der) = pem_rfc7468::decode_vec(&pem).expect("a PEM file");
    let at = der.windows(4).position(|w| w == [0xa0, 3, 1, 1]);
    let at = at.expect("emptyAuth") + 4;
    assert_eq!(der[at], 0);
    der[at] = 0xff;
    let lie = pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, &der);
    let lie = dir.write("lie.pem", lie.expect("a PEM file"));
    let blocks = [(); 3].map(|()| nginx::Block::new(dir.join("key.crt"), &lie));
    let mut server = Nginx::start(&openssl, &nginx::Config::new(blocks.to_vec()).workers(2));
    for n in [0, 1, 2, 0] {
        let report = Load::new(server.port(n), 4).clients(2).run();
        assert_eq!(report.handshakes, 0);
    }
    assert_eq!(counter(&tpm), 1, "{:?}\n{}", tap.counts(), server.log());
    server.quit();
    tpm.assert_clean();
}

/// A wrong value of the parent counts as well: one try, not one for each worker.
#[test]
fn a_wrong_value_of_the_parent_is_tried_once() {
    let tpm = Swtpm::start();
    let tool = |line: &str| tpm.tool(line).dir(tpm.state()).ok();
    tool(
        "tpm2_dictionarylockout --setup-parameters --max-tries=100 --recovery-time=1000 --lockout-recovery-time=1",
    );
    tool("tpm2_createprimary -Q -C o -G ecc -p parent-secret -c p.ctx");
    tool("tpm2_evictcontrol -Q -C o -c p.ctx 0x81000002");
    tool("tpm2_flushcontext -t");
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::new(&tap.address());
    openssl.dir().write("right", "parent-secret\n");
    key::rsa(
        &openssl,
        "key",
        2048,
        "-pkeyopt parent:0x81000002 -pkeyopt parent-auth:file:right",
    );
    let config = Config::new().setting("parent-auth", "file:right");
    let right = openssl.dir().write("right.cnf", config.text());
    openssl
        .run("req -x509 -key key.pem -out key.crt -subj /CN=key -days 2")
        .env("OPENSSL_CONF", right)
        .ok();
    let config = Config::new().setting("parent-auth", "wrong").absolute();
    let wrong = Openssl::with(config, &tap.address());
    let block = nginx::Block::new(openssl.dir().join("key.crt"), openssl.dir().join("key.pem"));
    let mut server = Nginx::start(&wrong, &nginx::Config::new(vec![block]).workers(3));
    let before = counter(&tpm);
    assert_eq!(Load::new(server.port(0), 9).clients(3).run().handshakes, 0);
    assert_eq!(counter(&tpm), before + 1, "{}", server.log());
    server.quit();
    tpm.assert_clean();
}

#[test]
fn nothing_secret_in_the_log() {
    let Bench { openssl, tap, tpm } = bench();
    openssl.plain().ok("dgst -sha256 -out /dev/null key.pem");
    openssl.ok("pkey -in key.pem -pubout -out key.pub -passin file:pin");
    openssl.dir().write("secret", "plaintext-of-a-kind");
    openssl
        .plain()
        .ok("pkeyutl -encrypt -pubin -inkey key.pub -in secret -out sealed");
    let decrypt = "pkeyutl -decrypt -inkey key.pem -in sealed -out clear -passin";
    for line in [
        format!("{SIGN} -passin file:pin"),
        format!("{decrypt} file:pin"),
        format!("{SIGN} -passin file:wrong"),
    ] {
        let done = openssl.run(&line).env("TPM_LOG", "trace").done();
        // The log is on, and speaks of commands.
        assert!(done.err().contains("TPM2_Load"), "{done}");
        let hex: String = PIN.bytes().map(|b| format!("{b:02x}")).collect();
        done.never_says(PIN)
            .never_says(&hex)
            .never_says("plaintext-of-a-kind");
    }
    assert_eq!(openssl.dir().read_text("clear"), "plaintext-of-a-kind");
    assert!(
        !tap.saw(b"plaintext-of-a-kind"),
        "the plaintext is on the wire"
    );
    assert!(!tap.saw(PIN.as_bytes()));
    tpm.assert_clean();
}

/// What each setting costs, and that "never" does what it says.
#[test]
fn sessions_are_made_as_the_setting_says() {
    for (setting, open_sign, open_decrypt, secret_sign) in
        [("auto", 1, 2, 2), ("always", 2, 2, 2), ("never", 0, 0, 0)]
    {
        let Bench { openssl, tap, tpm } = bench_with(Config::new().setting("sessions", setting));
        key::rsa(&openssl, "open", 2048, "-pkeyopt parent:0x81000001");
        openssl.dir().write("secret", "plaintext-of-a-kind");
        openssl
            .plain()
            .ok("pkeyutl -encrypt -pubin -inkey open.pub -in secret -out sealed");
        let sessions = |line: &str| {
            let (_, counts) = tap.cost(|| openssl.ok(line));
            counts.of("StartAuthSession")
        };
        // One decryption, one command: the first takes another where implicit rejection is the default.
        let errors = match openssl.version() {
            (0..=3, 0..=1) => "",
            _ => "-pkeyopt rsa_pkcs1_implicit_rejection:0",
        };
        assert_eq!(
            sessions(&SIGN.replace("key.pem", "open.pem")),
            open_sign,
            "{setting}"
        );
        assert_eq!(
            sessions(&format!(
                "pkeyutl -decrypt -inkey open.pem -in sealed -out clear {errors}"
            )),
            open_decrypt,
            "{setting}"
        );
        assert_eq!(
            tap.saw(b"plaintext-of-a-kind"),
            setting == "never",
            "{setting}"
        );
        assert_eq!(
            sessions(&format!("{SIGN} -passin file:pin")),
            secret_sign,
            "{setting}"
        );
        assert_eq!(tap.saw(PIN.as_bytes()), setting == "never", "{setting}");
        tpm.assert_clean();
    }
}

/// A session that the TPM has lost is started again, once, and a right value is not a wrong try for that.
#[test]
fn a_lost_session_is_started_again() {
    let Bench { openssl, tap, tpm } = bench();
    let mut client = Client::start(&openssl);
    client.ok(&format!("pin {PIN}"));
    client.ok("load 1 key.pem");
    client.ok("sign 1");
    tap.inject(Fault::on(code::SIGN, Action::Answer(rc::REFERENCE_S0)));
    client.ok("sign 1");
    tap.inject(Fault::on(
        code::START_AUTH_SESSION,
        Action::Answer(rc::CONTEXT_GAP),
    ));
    let _ = client.ask("sign 1");
    client.ok("sign 1");
    client.end();
    assert_eq!(counter(&tpm), 0);
    tpm.assert_clean();
}

/// An answer that was changed on its way through an encrypted session is not believed.
#[test]
fn a_changed_answer_in_a_session_is_noticed() {
    let Bench { openssl, tap, tpm } = bench();
    let mut client = Client::start(&openssl);
    client.ok(&format!("pin {PIN}"));
    client.ok("load 1 key.pem");
    client.ok("decrypt 1");
    // A bit inside the encrypted plaintext: header 10, parameter size 4, length 2.
    tap.inject(Fault::on(code::RSA_DECRYPT, Action::FlipBit(8 * 20)));
    client.fails(
        "decrypt 1",
        &["integrity", "between this process and the TPM"],
    );
    client.ok("decrypt 1");
    client.end();
    assert_eq!(counter(&tpm), 0);
    tpm.assert_clean();
}

/// A program with more rights than its caller must not be led to another TPM by a variable.
#[test]
fn a_privileged_program_distrusts_the_environment() {
    if !is_root() {
        eprintln!("needs root, to make a program privileged");
        return;
    }
    let Bench {
        openssl,
        tap: _tap,
        tpm,
    } = bench();
    let plain = Openssl::new(&tpm.address());
    key::rsa(&plain, "key", 2048, "");
    let program = cc::compile(openssl.dir(), "steps", "-lcrypto");
    // Set-group-ID, run by somebody else: the loader says AT_SECURE. OpenSSL then ignores its own
    // variables, so the configuration is given to it by hand; it names the module by its path.
    set_mode(&program, 0o755);
    let (path, conf) = (program.clone(), plain.dir().join("secure.cnf"));
    fs::write(&conf, Config::new().absolute().text()).expect("written");
    std::os::unix::fs::chown(&path, None, Some(1)).expect("root may");
    set_mode(&path, 0o2755);
    let run = |tcti: Option<&str>| {
        let mut run = plain
            .client(need("setpriv", "util-linux"))
            .words("--reuid 65534 --regid 65534 --clear-groups --")
            .arg(&path);
        run.command.env("LD_LIBRARY_PATH", modules_dir());
        match tcti {
            Some(tcti) => run.command.env("TPM_TCTI", tcti),
            None => run.command.env_remove("TPM_TCTI"),
        };
        Client::run(run)
    };
    let pem = plain.dir().join("key.pem");
    set_mode(&pem, 0o644);
    let mut client = run(Some(&tpm.address()));
    client.ok(&format!("ctx 1 {}", conf.display()));
    client.fails(
        &format!("load 1 {} 1", pem.display()),
        &["TPM_TCTI", "privileged program", "openssl.cnf"],
    );
    client.end();
    // Without the variable nothing is wrong.
    let mut client = run(None);
    client.ok(&format!("ctx 1 {}", conf.display()));
    client.ok(&format!("load 1 {} 1", pem.display()));
    client.end();
}

/// A configuration that cannot work is not called successful.
#[test]
fn nginx_is_told_that_a_value_is_missing() {
    let Bench { openssl, tap, tpm } = bench();
    openssl.ok("req -x509 -key key.pem -out key.crt -subj /CN=key -days 2 -passin file:pin");
    let dir = openssl.dir();
    let block = nginx::Block::new(dir.join("key.crt"), dir.join("key.pem"));
    let with = |file: &str| {
        let path = dir.join(file);
        block
            .clone()
            .extra(&format!("ssl_password_file {};", path.display()))
    };
    dir.write("empty", "\n");
    tap.reset();
    let test = |block| Nginx::test(&openssl, &nginx::Config::new(vec![block]));
    test(block.clone())
        .fails()
        .says("needs an authorization value");
    test(with("empty")).fails();
    test(with("pin")).ok();
    assert_eq!(tap.counts().total(), 0, "{:?}", tap.counts());
    assert_eq!(counter(&tpm), 0);
}

/// A worker that is killed while it tries a value for the first time shuts nothing: the next one tries it.
#[test]
fn a_worker_that_dies_in_its_first_try() {
    let Bench { openssl, tap, tpm } = bench();
    openssl.ok("req -x509 -key key.pem -out key.crt -subj /CN=key -days 2 -passin file:pin");
    let dir = openssl.dir();
    for (file, good, tries) in [("pin", 5, 0), ("wrong", 0, 2)] {
        let block = nginx::Block::new(dir.join("key.crt"), dir.join("key.pem"))
            .extra(&format!("ssl_password_file {};", dir.join(file).display()));
        let server = Nginx::start(&openssl, &nginx::Config::new(vec![block]).workers(1));
        // PSS is one, PKCS#1 v1.5 the other.
        for command in [code::SIGN, code::RSA_DECRYPT] {
            tap.inject(Fault::on(command, Action::Hold));
        }
        std::thread::scope(|scope| {
            scope.spawn(|| Load::new(server.port(0), 1).run());
            wait_for("the first try", Duration::from_secs(60), || {
                tap.holding() == 1
            });
            server.kill_worker(server.workers()[0]);
            tap.heal();
        });
        let report = Load::new(server.port(0), 5).run();
        assert_eq!(
            report.handshakes,
            good,
            "{:?}\n{}",
            report.failures,
            server.log()
        );
        assert_eq!(counter(&tpm), tries);
    }
}

/// nginx asks its password file; a wrong value there costs one try and not one for each handshake.
#[test]
fn nginx_reads_the_value_from_its_password_file() {
    let Bench { openssl, tap, tpm } = bench();
    openssl.ok("req -x509 -key key.pem -out key.crt -subj /CN=key -days 2 -passin file:pin");
    let dir = openssl.dir();
    for (file, good) in [("pin", true), ("wrong", false)] {
        let block = nginx::Block::new(dir.join("key.crt"), dir.join("key.pem"))
            .extra(&format!("ssl_password_file {};", dir.join(file).display()));
        let config = nginx::Config::new(vec![block]).workers(1);
        let mut server = Nginx::start(&openssl, &config);
        if good {
            Load::new(server.port(0), 5).run().all(5);
        } else {
            for _ in 0..4 {
                openssl.plain().s_client(server.port(0), "-brief").fails();
            }
        }
        server.quit();
        assert_eq!(counter(&tpm), u32::from(!good));
        tpm.assert_clean();
    }
    assert!(!tap.saw(PIN.as_bytes()));
}
