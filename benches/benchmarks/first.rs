//! The first signature of a process: from its start to the signature, and what it asks of the TPM.

use crate::evp::{self, Operation};
use crate::raw::{self, Blob};
use crate::report::Report;
use crate::svg::{self, Bar, Colour, Group};
use crate::turns::Spread;
use crate::worker::{self, PLAIN, plain};
use crate::{Plan, configuration};
use std::time::Instant;
use testkit::client::Client;
use testkit::key;
use testkit::openssl::Openssl;
use testkit::proxy::Proxy;
use testkit::swtpm::Swtpm;

/// Where the persistent key is.
const HANDLE: u32 = 0x8101_0001;

/// What signs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Software,
    /// Load and Sign, sent as they are.
    Raw,
    /// A key of ours: a file, or a URI.
    Ours(&'static str),
}

/// A way to come by a signature, and the TPM on which it is tried.
struct Case {
    name: &'static str,
    who: Who,
    /// The file with the public key, which tells whether the signature is one.
    public: &'static str,
    tpm: usize,
}

const CASES: [Case; 6] = [
    Case {
        name: "a software key",
        who: Who::Software,
        public: "software.pub",
        tpm: WITH_SRK,
    },
    Case {
        name: "raw: Load, Sign",
        who: Who::Raw,
        public: "under.pub",
        tpm: WITH_SRK,
    },
    Case {
        name: "PEM, parent 0x81000001",
        who: Who::Ours("under.pem"),
        public: "under.pub",
        tpm: WITH_SRK,
    },
    Case {
        name: "PEM, parent a hierarchy, SRK",
        who: Who::Ours("key.pem"),
        public: "key.pub",
        tpm: WITH_SRK,
    },
    Case {
        name: "PEM, parent a hierarchy, no SRK",
        who: Who::Ours("key.pem"),
        public: "key.pub",
        tpm: WITHOUT,
    },
    Case {
        name: "handle:, a persistent key",
        who: Who::Ours("handle:0x81010001"),
        public: "under.pub",
        tpm: WITH_SRK,
    },
];

/// Two TPMs with the same seeds.
const WITH_SRK: usize = 0;
const WITHOUT: usize = 1;

pub fn section(plan: &Plan, report: &mut Report) {
    report.text(
        "From the start of a process (fork, exec, libraries, configuration) to its first signature; loading \
         the key is part of it. The raw row is a process that connects and sends TPM2_Load and TPM2_Sign, and \
         nothing else. The TPM has done its self-tests before. The commands are those of the whole process, as a \
         proxy counts them in a run of its own: on a TPM without resource manager each loaded object is flushed at \
         the exit, after the signature.",
    );
    let groups = [
        kind(
            plan,
            report,
            "RSA-2048",
            "RSA -pkeyopt bits:2048",
            Operation::Pkcs1,
        ),
        kind(
            plan,
            report,
            "P-256",
            "EC -pkeyopt group:P-256",
            Operation::Ecdsa,
        ),
    ];
    report.plot(
        "first",
        "Milliseconds from the start of a process to its first signature",
        svg::bars(
            "From a process' start to its first signature",
            "milliseconds",
            &groups,
        ),
    );
}

/// TPMs, and the files of the keys.
struct Site {
    openssl: Openssl,
    tpms: [Swtpm; 2],
    operation: Operation,
}

fn kind(
    plan: &Plan,
    report: &mut Report,
    name: &str,
    arguments: &str,
    operation: Operation,
) -> Group {
    let site = Site::new(arguments, operation);
    let counts: Vec<String> = CASES.iter().map(|case| site.commands(case)).collect();
    let rounds = plan.choose(4, 20);
    let mut times = vec![Vec::new(); CASES.len()];
    for _ in 0..rounds {
        for (case, times) in CASES.iter().zip(&mut times) {
            let start = Instant::now();
            let mut client = site.start(case.who, &site.tpms[case.tpm].address());
            client.answer();
            times.push(start.elapsed().as_secs_f64() * 1e3);
            client.end();
        }
    }
    let times: Vec<Spread> = times.into_iter().map(Spread::of).collect();
    report.heading(3, name);
    let row = |(n, case): (usize, &Case)| {
        let Spread { low, median, high } = times[n];
        let more = median - times[0].median;
        vec![
            case.name.to_owned(),
            format!("{median:.1} ({low:.1}–{high:.1})"),
            if n == 0 {
                "–".to_owned()
            } else {
                format!("{more:+.1}")
            },
            counts[n].clone(),
        ]
    };
    let rows: Vec<Vec<String>> = CASES.iter().enumerate().map(row).collect();
    let columns = [
        "<",
        "first signature, ms",
        "against software, ms",
        "<TPM commands",
    ];
    report.table(&columns, &rows);
    let bar = |(case, time): (&Case, &Spread)| Bar {
        name: case.name.to_owned(),
        value: time.median,
        spread: Some([time.low, time.high]),
        text: format!("{:.1}", time.median),
        colour: match case.who {
            Who::Software => Colour::Software,
            Who::Raw => Colour::Raw,
            Who::Ours(_) => Colour::Ours,
        },
    };
    Group {
        name: name.to_owned(),
        bars: CASES.iter().zip(&times).map(bar).collect(),
    }
}

impl Site {
    fn new(arguments: &str, operation: Operation) -> Self {
        let factory = Swtpm::start();
        let openssl = Openssl::new(&factory.address());
        key::generate(&openssl, "key", arguments);
        let with_srk = Swtpm::with_state(&factory.state());
        with_srk.provision_srk();
        let dir = openssl.dir();
        openssl
            .run("genpkey -propquery provider=tpm -out under.pem -pkeyopt parent:0x81000001 -algorithm")
            .words(arguments)
            .env("TPM_TCTI", with_srk.address())
            .ok();
        openssl.ok("pkey -in under.pem -pubout -out under.pub");
        Blob::read(&dir.read("under.pem")).persist(with_srk.endpoint(), HANDLE);
        let software = if operation == Operation::Ecdsa {
            "EC -pkeyopt ec_paramgen_curve:P-256"
        } else {
            "RSA -pkeyopt rsa_keygen_bits:2048"
        };
        let plain = openssl.plain();
        plain.ok(&format!("genpkey -out software.pem -algorithm {software}"));
        plain.ok("pkey -in software.pem -pubout -out software.pub");
        let this = Self {
            openssl,
            tpms: [with_srk, factory],
            operation,
        };
        for tpm in &this.tpms {
            raw::self_test(tpm.endpoint());
        }
        this
    }

    /// A process that signs once; its answer is the signature, in hexadecimal where OpenSSL made it.
    fn start(&self, who: Who, tcti: &str) -> Client {
        let dir = self.openssl.dir();
        let operation = self.operation.name();
        let path = |name: &str| plain(&dir.join(name)).to_owned();
        match who {
            Who::Software => worker::spawn(&["first", PLAIN, &path("software.pem"), operation]),
            Who::Raw => {
                let socket = tcti.strip_prefix("swtpm:path=").expect("a unix socket");
                worker::spawn(&["raw", socket, &path("under.pem"), operation])
            }
            Who::Ours(name) => {
                let file = configuration(dir, tcti, &[]);
                let key = if name.starts_with("handle:") {
                    name.to_owned()
                } else {
                    path(name)
                };
                worker::spawn(&["first", plain(&file), &key, operation])
            }
        }
    }

    /// What a process asks of the TPM, in order; its signature is checked.
    fn commands(&self, case: &Case) -> String {
        let tap = Proxy::start(&self.tpms[case.tpm]);
        let mut client = self.start(case.who, &tap.address());
        let answer = worker::said(&mut client);
        client.end();
        if case.who != Who::Raw {
            let signature = hex::decode(answer).expect("hexadecimal");
            let public = self.openssl.dir().read(case.public);
            evp::verify(&public, self.operation, &signature);
        }
        let names = tap.names();
        if names.is_empty() {
            return "none".to_owned();
        }
        names.join(", ")
    }
}
