//! Digests and random numbers: behind every other provider that has them, in its place where there is none.

use std::path::PathBuf;

use testkit::bench::Bench;
use testkit::cc;
use testkit::key;
use testkit::openssl::{Config, ORDERS, Openssl, Order};
use testkit::process::{Done, Run};
use testkit::proxy::{Action, Fault};
use testkit::scratch::Scratch;
use testkit::swtpm::Swtpm;
use testkit::swtpm12::Swtpm12;
use testkit::tools::need;
use testkit::tpm::cc as command;

use crate::tpm::costs;

/// A TPM address behind which nothing is: whoever opens it fails.
const NOWHERE: &str = "swtpm:path=/nowhere";

/// tests/c/stand_ins.c, and a directory to keep it in.
fn client() -> (Scratch, PathBuf) {
    let dir = Scratch::new();
    let program = cc::compile(&dir, "stand_ins", "-lcrypto -lpthread");
    (dir, program)
}

/// Has openssl.cnf name the provider `base` in the place of `default`.
fn without_default(openssl: &Openssl) {
    let text = openssl.dir().read_text("openssl.cnf");
    let text = text.replace("default = default_sect\n", "base = default_sect\n");
    assert!(text.contains("base = default_sect\n"));
    openssl.dir().write("openssl.cnf", text);
}

/// Has openssl.cnf name a generator, or a source of seeds, in its `[random]` section.
fn random(openssl: &Openssl, line: &str) {
    let text = openssl.dir().read_text("openssl.cnf").replacen(
        "[openssl_init]\n",
        "[openssl_init]\nrandom = random_sect\n",
        1,
    );
    let text = format!("{text}\n[random_sect]\n{line}\n");
    openssl.dir().write("openssl.cnf", text);
}

/// Nothing is ours that anybody else has, unless it is asked for by name; the TPM, which is not there, is asked by
/// TPM-RNG alone.
#[test]
fn they_stay_behind_every_other_provider() {
    let (_dir, program) = client();
    for order in ORDERS {
        let openssl = Openssl::with(Config::new().order(order), NOWHERE);
        for first in [
            "digest::default",
            "bytes:default",
            "threads:default:default",
        ] {
            let done = openssl
                .client(&program)
                .words(first)
                .words("digest::default random:CTR-DRBG::default bytes:default fork:default:default")
                .words("digest:provider=tpm:tpm digest:?provider=tpm:tpm digest:?provider!=tpm:default")
                .words("random:CTR-DRBG:provider=tpm:tpm random:CTR-DRBG:?provider=tpm:tpm")
                .words("digest::default random:CTR-DRBG::default bytes:default no-random:TPM-RNG:")
                .ok();
            assert!(done.out().contains("TPM not available"), "{}", done.out());
        }
        // With a demand that ours do not meet, and theirs do.
        let demanding = Openssl::with(Config::new().order(order), NOWHERE);
        let text = demanding.dir().read_text("openssl.cnf").replacen(
            "[openssl_init]\n",
            "[openssl_init]\nalg_section = algorithms\n",
            1,
        );
        let text = format!("{text}\n[algorithms]\ndefault_properties = ?fips=yes\n");
        demanding.dir().write("openssl.cnf", text);
        demanding
            .client(&program)
            .words("digest::default digest:-fips:default bytes:default digest:provider=tpm:tpm")
            .ok();
    }
}

/// Without another provider that has them they are ours, also where one was loaded and is gone; one that comes later is
/// before us.
#[test]
fn they_stand_in_where_there_is_nobody_else() {
    let (_dir, program) = client();
    for order in ORDERS {
        let openssl = Openssl::with(Config::new().order(order), NOWHERE);
        without_default(&openssl);
        let done = openssl
            .client(&program)
            .words("digest::tpm bytes:tpm random:CTR-DRBG::tpm fork:tpm:tpm threads:tpm:tpm")
            .words("load:null digest::tpm random:CTR-DRBG::tpm")
            .ok();
        // What they compute is what OpenSSL does.
        openssl.dir().write("abc", "abc");
        let mut seen = 0;
        for line in done.out().lines().filter(|line| line.starts_with("SHA")) {
            let (name, value) = line.split_once(' ').expect("a digest");
            let own = format!(
                "dgst -r -{} abc",
                name.replace("SHA2-", "SHA").replace('/', "-")
            );
            let theirs = openssl.plain().ok(&own.to_lowercase()).out();
            assert!(theirs.starts_with(value), "{line}: {theirs}");
            seen += 1;
        }
        assert_eq!(seen, 2 * 9);
        openssl
            .client(&program)
            .words("digest::tpm random:CTR-DRBG::tpm load:default digest::default")
            .words("random:CTR-DRBG::default digest:provider=tpm:tpm bytes:default")
            .ok();
        openssl
            .client(&program)
            .words("load:default digest::default unload:default digest::tpm bytes:tpm")
            .ok();
    }
}

/// What the documentation of another provider has people type: no `default`, no openssl.cnf.
#[test]
fn commands_without_the_default_provider() {
    for providers in [
        "-provider tpm -provider base",
        "-provider base -provider tpm",
    ] {
        let bench = Bench::new();
        let Bench { openssl, tpm, .. } = &bench;
        let bare = openssl
            .dir()
            .write("bare.cnf", "[req]\ndistinguished_name = dn\n[dn]\n");
        let run = |line: &str| -> Run {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            openssl
                .run(&format!("{name} {providers} {rest}"))
                .env("OPENSSL_CONF", &bare)
        };
        let ok = |line: &str| -> Done { run(line).ok() };
        openssl.dir().write("data", "what is signed");
        ok("genpkey -algorithm RSA -pkeyopt bits:2048 -out rsa.pem");
        ok("genpkey -algorithm RSA-PSS -pkeyopt bits:2048 -out pss.pem");
        ok("genpkey -algorithm EC -pkeyopt group:P-256 -out ec.pem");
        for key in ["rsa", "pss", "ec"] {
            ok(&format!("pkey -in {key}.pem -pubout -out {key}.pub"));
            let plain = |line: &str| {
                let done = openssl.plain().run(line).ok();
                assert!(
                    done.out().contains("Verified OK")
                        || done.out().contains("Signature Verified Successfully"),
                    "{line}"
                );
            };
            let verify = format!("-verify {key}.pub -signature sig data");
            for hash in ["sha256", "sha384"] {
                if (key, hash) == ("pss", "sha384") {
                    continue; // Made for SHA-256.
                }
                ok(&format!("dgst -{hash} -sign {key}.pem -out sig data"));
                plain(&format!("dgst -{hash} {verify}"));
                ok(&format!(
                    "pkeyutl -sign -inkey {key}.pem -rawin -digest {hash} -in data -out sig"
                ));
                plain(&format!("dgst -{hash} {verify}"));
                ok(&format!(
                    "pkeyutl -verify -inkey {key}.pem -rawin -digest {hash} -in data -sigfile sig"
                ));
            }
        }
        let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";
        ok(&format!("dgst -sha256 -sign rsa.pem {pss} -out sig data"));
        openssl.plain().ok(&format!(
            "dgst -sha256 -verify rsa.pub {pss} -signature sig data"
        ));
        let out = ok("dgst -sha256 data").out();
        assert!(out.contains("(data)= "), "{out}");
        for key in ["rsa", "ec"] {
            ok(&format!(
                "req -new -key {key}.pem -subj /CN=own -out own.csr"
            ));
            openssl.plain().ok("req -in own.csr -verify -noout");
            // Serial number and key identifiers: random numbers and SHA-1.
            ok(&format!(
                "req -x509 -key {key}.pem -subj /CN=own -days 2 -out {key}.crt"
            ));
            openssl
                .plain()
                .ok(&format!("verify -CAfile {key}.crt {key}.crt"));
        }
        let numbers = ok("rand -hex 32").out();
        assert_eq!(numbers.trim().len(), 64);
        assert_ne!(numbers, ok("rand -hex 32").out());
        tpm.assert_clean();
    }
}

/// The module alone, and a TPM that is gone: random numbers and digests are there, and cost it nothing.
#[test]
fn random_numbers_with_this_provider_alone() {
    let bench = Bench::new();
    let bare = bench.openssl.dir().write("bare.cnf", "");
    let numbers = |openssl: &Openssl| {
        let run = openssl.run("rand -provider tpm -hex 20");
        run.env("OPENSSL_CONF", &bare).ok().out()
    };
    let ((), counts) = bench.tap.cost(|| {
        assert_ne!(numbers(&bench.openssl), numbers(&bench.openssl));
    });
    assert_eq!(counts.total(), 0, "{counts:?}");
    assert_eq!(numbers(&Openssl::new(NOWHERE)).trim().len(), 40);
}

/// The command with a configuration that names the TPM's generator.
#[test]
fn the_tpm_s_generator_by_name() {
    for order in ORDERS {
        for with_default in [true, false] {
            let bench = Bench::with(Config::new().order(order));
            let Bench { openssl, tap, tpm } = &bench;
            if !with_default {
                without_default(openssl);
            }
            let digests = if with_default { "default" } else { "tpm" };
            random(openssl, "random = TPM-RNG");
            let (done, counts) = tap.cost(|| openssl.ok("rand -hex 32"));
            counts.are(costs::RANDOM.commands);
            let own = done.out();
            assert_ne!(own, openssl.ok("rand -hex 32").out());
            // What the TPM gave is not what comes out, nor did it cross the bus in clear.
            let bytes: Vec<u8> = (0..32)
                .map(|at| u8::from_str_radix(&own[2 * at..2 * at + 2], 16).expect("hex"))
                .collect();
            assert!(!tap.saw(&bytes));
            let (_dir, program) = client();
            openssl
                .client(&program)
                .words("bytes:tpm random:TPM-RNG::tpm random:TPM-RNG:provider=tpm:tpm")
                .words(format!("fork:tpm:{digests} threads:tpm:{digests}").as_str())
                .ok();
            tpm.assert_clean();
        }
    }
}

/// Without sessions one command for each 32 or 64 bytes, and nothing else.
#[test]
fn without_sessions_the_tpm_s_generator_costs_its_commands_alone() {
    let bench = Bench::with(Config::new().setting("sessions", "never"));
    random(&bench.openssl, "random = TPM-RNG");
    let (_, counts) = bench.tap.cost(|| bench.openssl.ok("rand -hex 32"));
    counts.are(costs::RANDOM_WITHOUT_SESSIONS.commands);
}

/// It seeds OpenSSL's own generator as well, which then asks the TPM once for a process.
#[test]
fn the_tpm_seeds_openssl_s_generator() {
    for order in ORDERS {
        let bench = Bench::with(Config::new().order(order));
        random(&bench.openssl, "seed = TPM-RNG");
        let (_, counts) = bench.tap.cost(|| bench.openssl.ok("rand -hex 1000"));
        assert!(
            counts.of("GetRandom") > 0 && counts.total() < 8,
            "{counts:?}"
        );
        let (_dir, program) = client();
        bench
            .openssl
            .client(&program)
            .words("bytes:default threads:default:default")
            .ok();
        bench.tpm.assert_clean();
    }
}

/// Who names it gets an error where the TPM gives nothing, and never the system's bytes alone.
#[test]
fn without_its_tpm_the_tpm_s_generator_fails() {
    let (_dir, program) = client();
    for line in ["random = TPM-RNG", "seed = TPM-RNG"] {
        let openssl = Openssl::new(NOWHERE);
        random(&openssl, line);
        openssl
            .fails("rand -hex 32")
            .says("TPM not available")
            .says("/nowhere");
        openssl.client(&program).words("no-bytes").ok();
        // Digests and keys' public halves are another matter.
        openssl.dir().write("data", "x");
        openssl.ok("dgst -sha256 data");
    }
    let bench = Bench::new();
    random(&bench.openssl, "random = TPM-RNG");
    bench
        .tap
        .inject(Fault::on(command::GET_RANDOM, Action::Answer(0x101)).always());
    bench
        .openssl
        .fails("rand -hex 32")
        .says("TPM2_GetRandom")
        .says("failure mode");
    bench.tap.heal();
    bench.openssl.ok("rand -hex 32");
}

/// A TPM that gives zeros, or what somebody in its place likes, is mixed with the system's.
#[test]
fn a_tpm_that_gives_no_randomness_does_no_harm() {
    let bench = Bench::with(Config::new().setting("sessions", "never"));
    random(&bench.openssl, "random = TPM-RNG");
    let mut zeros = vec![0x80, 0x01, 0, 0, 0, 44, 0, 0, 0, 0, 0, 32];
    zeros.extend([0; 32]);
    bench
        .tap
        .inject(Fault::on(command::GET_RANDOM, Action::Garbage(zeros)).always());
    let own = bench.openssl.ok("rand -hex 32").out();
    assert_ne!(own, bench.openssl.ok("rand -hex 32").out());
    assert!(
        own.trim().bytes().filter(|digit| *digit != b'0').count() > 32,
        "{own}"
    );
}

/// libtpms runs on the process's libcrypto: its digests and random numbers are ours then, in the middle of a command.
#[test]
fn a_tpm_inside_the_process_that_draws_from_us() {
    for order in ORDERS {
        for (with_default, line) in [
            (true, "random = TPM-RNG"),
            (true, "seed = TPM-RNG"),
            (false, "random = TPM-RNG"),
            (false, ""),
        ] {
            let state = Scratch::new();
            let address = format!("libtpms:{}", state.path().display());
            let openssl = Openssl::with(Config::new().order(order), &address);
            random(&openssl, line);
            // libtpms itself needs ciphers of the host; where they are missing it has keys of its own to work with.
            if !with_default {
                without_default(&openssl);
                openssl.ok("rand -hex 32");
                let (_dir, program) = client();
                openssl
                    .client(&program)
                    .words("digest::tpm bytes:tpm threads:tpm:tpm")
                    .ok();
                continue;
            }
            key::rsa(&openssl, "key", 2048, "");
            let input = key::digest(&openssl, "sha256");
            openssl.ok(&format!(
                "pkeyutl -sign -inkey key.pem -in {input} -out sig -pkeyopt digest:sha256"
            ));
            openssl.plain().ok(&format!(
                "pkeyutl -verify -pubin -inkey key.pub -in {input} -sigfile sig -pkeyopt digest:sha256"
            ));
            openssl.ok("rand -hex 32");
        }
    }
}

#[test]
fn the_generator_of_a_tpm_1_2() {
    let tpm = Swtpm12::owned();
    let openssl = Openssl::with(Config::new().order(Order::TpmFirst), &tpm.address());
    random(&openssl, "random = TPM-RNG");
    let own = openssl.ok("rand -hex 32").out();
    assert_eq!(own.trim().len(), 64);
    assert_ne!(own, openssl.ok("rand -hex 32").out());
    tpm.assert_clean();
}

#[test]
fn valgrind_has_nothing_to_say() {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let (_dir, program) = client();
    let valgrind = |openssl: &Openssl, steps: &str| {
        openssl
            .client(need("valgrind", "valgrind"))
            .words(
                "--quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect",
            )
            .words("--errors-for-leak-kinds=definite,indirect --num-callers=40")
            .arg(&program)
            .words(steps)
            .ok();
    };
    let openssl = Openssl::new(&tpm.address());
    valgrind(
        &openssl,
        "digest::default digest:provider=tpm:tpm random:TPM-RNG::tpm random:CTR-DRBG:provider=tpm:tpm",
    );
    random(&openssl, "seed = TPM-RNG");
    valgrind(&openssl, "bytes:default");
    without_default(&openssl);
    valgrind(
        &openssl,
        "digest::tpm bytes:tpm fork:tpm:tpm threads:tpm:tpm",
    );
    let gone = Openssl::new(NOWHERE);
    random(&gone, "random = TPM-RNG");
    valgrind(&gone, "no-bytes no-random:TPM-RNG:");
    tpm.assert_clean();
}
