//! OpenSSL's ASYNC jobs: operations that give their thread back while the TPM works.

use std::path::PathBuf;
use std::time::Duration;
use testkit::cc;
use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::process::Done;
use testkit::proxy::{Action, Fault, Proxy};
use testkit::scratch::Scratch;
use testkit::swtpm::Swtpm;
use testkit::tls::Load;
use testkit::tools::need;
use testkit::tpm::cc as code;

struct Bench {
    openssl: Openssl,
    tap: Proxy,
    tpm: Swtpm,
}

/// `rsa.pem` and `ec.pem`, on a TPM whose answers take so long that a job has to wait for each.
fn bench() -> Bench {
    bench_with(Config::new(), "")
}

/// `options` are more of genpkey's arguments.
fn bench_with(config: Config, options: &str) -> Bench {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let tap = Proxy::start(&tpm);
    let openssl = Openssl::with(config, &tap.address());
    let parent = format!("-pkeyopt parent:0x81000001 {options}");
    key::rsa(&openssl, "rsa", 2048, &parent);
    key::generate(&openssl, "ec", &format!("EC -pkeyopt group:P-256 {parent}"));
    tap.reset();
    tap.slow(Duration::from_millis(20));
    Bench { openssl, tap, tpm }
}

impl Bench {
    fn program(&self) -> PathBuf {
        cc::compile(self.openssl.dir(), "jobs", "-lcrypto")
    }

    fn jobs(&self, mode: &str) -> Done {
        let program = self.program();
        let run = self.openssl.client(program);
        let done = run.arg(mode).words("rsa.pem ec.pem");
        let done = done.patience(Duration::from_secs(320)).ok();
        self.tpm.assert_clean();
        done
    }
}

/// Each job's descriptor is its own and tells when to go on; every operation costs what it costs outside.
#[test]
fn many_jobs_share_a_thread() {
    let bench = bench();
    bench.jobs("together");
    // Jobs 0 to 7: four signatures, two of each key; two decryptions, two agreements.
    let counts = bench.tap.counts();
    assert_eq!(
        (
            counts.of("Sign"),
            counts.of("RSA_Decrypt"),
            counts.of("ECDH_ZGen"),
            counts.of("Load"),
        ),
        (4, 2, 2, 2),
        "{counts:?}"
    );
}

/// A call that does not wait for an event loop takes paused jobs along, and is not stuck behind them.
#[test]
fn ordinary_calls_go_on_while_jobs_are_paused() {
    let bench = bench();
    bench.jobs("between");
    let counts = bench.tap.counts();
    assert_eq!(
        (counts.of("Sign"), counts.of("RSA_Decrypt")),
        (5, 1),
        "{counts:?}"
    );
}

/// A policy makes one use of a key several commands, between any two of which a job may pause, or be given up.
#[test]
fn keys_with_policies() {
    let policy = "-pkeyopt policy:sha256:0,16";
    for mode in ["together", "between", "abandon", "again", "fork", "exit"] {
        bench_with(Config::new(), policy).jobs(mode);
    }
    // What a cut takes with it is made anew.
    for command in [code::START_AUTH_SESSION, code::POLICY_PCR, code::SIGN] {
        let bench = bench_with(Config::new(), policy);
        bench.tap.inject(Fault::on(command, Action::CutAfter));
        bench.jobs("together");
    }
    let bench = bench_with(Config::new(), policy);
    bench.jobs("together");
    let counts = bench.tap.counts();
    let private = counts.of("Sign") + counts.of("RSA_Decrypt") + counts.of("ECDH_ZGen");
    assert_eq!((private, counts.of("PolicyPCR")), (8, 8), "{counts:?}");
}

/// What nobody wants any more is finished or never begun; nothing stays loaded or locked.
#[test]
fn jobs_that_are_given_up() {
    let bench = bench();
    bench.jobs("abandon");
}

#[test]
fn one_wait_context_for_many_jobs() {
    bench().jobs("again");
}

#[test]
fn a_child_inherits_paused_jobs() {
    let bench = bench();
    bench.jobs("fork");
}

#[test]
fn a_program_that_ends_with_jobs_paused() {
    let bench = bench();
    bench.jobs("exit");
}

#[test]
fn an_error_inside_a_job_is_an_error_outside() {
    let bench = bench();
    bench
        .tap
        .inject(Fault::on(code::SIGN, Action::Answer(0x101)));
    bench.jobs("error").says("0x101");
}

/// A connection that is cut while a job waits for the answer is made anew, as for any other operation.
#[test]
fn a_cut_while_a_job_waits() {
    let bench = bench();
    bench.tap.inject(Fault::on(code::SIGN, Action::CutAfter));
    bench.jobs("together");
}

/// Nothing but the clock tells that an answer does not come. The next operation works.
#[test]
fn a_tpm_that_hangs_while_a_job_waits() {
    // The answer comes well after its time, and well before that of the next operation, which waits for it.
    let bench = bench_with(Config::new().setting("timeout", "3"), "");
    let late = Action::Delay(Duration::from_millis(4500));
    bench.tap.inject(Fault::on(code::SIGN, late));
    bench.jobs("error").says("no answer within 3 s");
}

/// A TPM that asks for a repetition is asked again when the time has come, and the thread is free meanwhile.
#[test]
fn a_busy_tpm_in_jobs() {
    let bench = bench();
    let busy = |code| Fault::on(code, Action::Answer(0x922)).times(5);
    bench.tap.inject(busy(code::SIGN));
    bench.tap.inject(busy(code::RSA_DECRYPT));
    bench.jobs("together");
}

/// A TPM inside the process answers before the call returns: an operation in a job never pauses the job.
/// Only another process that has the TPM lets it wait.
#[test]
fn a_tpm_inside_the_process() {
    let state = Scratch::new();
    let openssl = Openssl::new(&format!("libtpms:{}", state.path().display()));
    key::rsa(&openssl, "rsa", 2048, "");
    key::generate(&openssl, "ec", "EC -pkeyopt group:P-256");
    let program = cc::compile(openssl.dir(), "jobs", "-lcrypto");
    let jobs = |mode: &str| openssl.client(&program).arg(mode).words("rsa.pem ec.pem");
    assert_eq!(jobs("inside").ok().out(), "0 pauses\n");
    jobs("locked").arg(state.join(".lock")).ok();
}

/// Neither invalid accesses nor, in the jobs that are not given up, anything lost.
#[test]
fn valgrind_has_nothing_to_say_about_jobs() {
    let bench = bench();
    // Slower than a job is begun under valgrind.
    bench.tap.slow(Duration::from_millis(200));
    let program = bench.program();
    for (mode, leaks) in [("together", "full"), ("between", "full"), ("abandon", "no")] {
        let valgrind = need("valgrind", "valgrind");
        bench
            .openssl
            .client(valgrind)
            // Three kinds of stacks, and two may lie close together: what jumps farther than a frame of ours is a
            // change of stacks.
            .words("--quiet --error-exitcode=99 --num-callers=40 --max-stackframe=20000")
            .arg(format!("--leak-check={leaks}"))
            .words("--show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect")
            .arg(&program)
            .arg(mode)
            .words("rsa.pem ec.pem")
            .patience(Duration::from_secs(320))
            .ok();
        bench.tpm.assert_clean();
    }
}

/// OpenSSL's own server in asynchronous mode, with every kind of private operation that TLS has.
#[test]
fn s_server_async() {
    let Bench {
        openssl,
        tap,
        tpm: _tpm,
    } = bench();
    key::certificate(&openssl, "rsa");
    key::certificate(&openssl, "ec");
    for (name, client) in [
        ("rsa", "-tls1_3"),
        ("ec", "-tls1_3"),
        ("rsa", "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256"),
        ("rsa", "-tls1_2 -cipher AES128-GCM-SHA256"),
    ] {
        let server = openssl.s_server(&format!("-async -cert {name}.crt -key {name}.pem -www"));
        let verify = format!("-CAfile {name}.crt -verify_return_error {client}");
        tap.reset();
        openssl.plain().s_client(server.port, &verify).ok();
        let counts = tap.counts();
        let private = counts.of("Sign") + counts.of("RSA_Decrypt");
        assert_eq!(private, 1, "{client}: {counts:?}");
        Load::new(server.port, 4).without_request().run().all(4);
    }
}

/// `openssl speed` makes its EC keys in the TPM where a default property says so. (It signs with RSA keys that are
/// built into it.)
#[test]
fn openssl_speed() {
    let algorithms =
        "[openssl_init]\nalg_section = algs\n[algs]\ndefault_properties = ?provider=tpm\n";
    let Bench { openssl, tap, tpm } = bench_with(Config::new().extra(algorithms), "");
    let speed = |what: &str| {
        tap.reset();
        let arguments = "speed -mr -elapsed -seconds 1 -async_jobs 8";
        openssl.ok(&format!("{arguments} {what}")).err()
    };
    for (what, command) in [("ecdsap256", "Sign"), ("ecdhp256", "ECDH_ZGen")] {
        let output = speed(what);
        // "+R5:738:...": a number that is another in each version, and how many operations there were. Signatures
        // come before verifications.
        let first = output.lines().find(|line| line.starts_with("+R"));
        let operations = first.and_then(|line| line.split(':').nth(1)?.parse().ok());
        let counts = tap.counts();
        // Some more are made to try the keys.
        let done = operations.is_some_and(|n: usize| n > 0 && counts.of(command) >= n);
        assert!(done, "{what}: {output}\n{counts:?}");
        tpm.assert_clean();
    }
}
