//! Full TLS handshakes per second of servers with a TPM key, and what software keys beside it feel of that.

use crate::Plan;
use crate::evp::Operation;
use crate::raw::{Blob, Command};
use crate::report::Report;
use crate::servers::{self, Kind, Server};
use crate::svg::{self, Bar, Colour, Group};
use crate::traffic::{Traffic, busy, failures, paced};
use crate::turns::Spread;
use std::thread;
use std::time::Duration;
use testkit::openssl::{Config, Openssl};
use testkit::swtpm::Swtpm;

const CLIENTS: usize = 8;
/// Requests per second to the software key: a load, but not one that fills the machine.
const PACE: u32 = 40;

pub fn section(plan: &Plan, report: &mut Report) {
    report.text(&format!(
        "Full handshakes of TLS 1.3, no resumption, with a request and its answer; {CLIENTS} clients that begin \
         anew as soon as they are served. Client, server and swtpm share the machine. \"Beside\" is with {PACE} \
         requests per second to a frontend with a software key of the same type in the same process, at a steady \
         pace; their times run from the moment each is due to the end of the answer, in milliseconds, first \
         without traffic for the TPM key (\"undisturbed\"), then with it. \"Software key\" is the same load on that \
         frontend: what servers and clients do at most on this machine. Raw is the command behind each handshake on \
         one connection. All of them take turns.",
    ));
    let groups = [Kind::Rsa, Kind::Ec].map(|kind| self::kind(plan, report, kind));
    report.plot(
        "handshakes",
        "TLS handshakes per second with a key in the TPM, alone and with software-key traffic beside",
        svg::bars(
            "TLS 1.3 handshakes per second with a TPM key",
            "handshakes per second",
            &groups,
        ),
    );
}

/// What was seen of one server.
struct Seen {
    name: String,
    alone: Traffic,
    /// The software key, as busy as the TPM's is otherwise.
    software: Traffic,
    undisturbed: Traffic,
    beside: Traffic,
    disturbed: Traffic,
}

fn kind(plan: &Plan, report: &mut Report, kind: Kind) -> Group {
    let tpm = Swtpm::start();
    tpm.provision_srk();
    let openssl = Openssl::with(Config::new().absolute(), &tpm.address());
    servers::keys(&openssl, kind);
    let command = Command::of(match kind {
        Kind::Rsa => Operation::Pss,
        Kind::Ec => Operation::Ecdsa,
    });
    let blob = Blob::read(&openssl.dir().read("tpm.pem"));
    let servers = [
        servers::nginx(&openssl, 2),
        servers::haproxy(&openssl, 2, false),
        servers::haproxy(&openssl, 2, true),
    ];
    let mut seen: Vec<Seen> = servers.iter().map(Seen::new).collect();
    let time = Duration::from_millis(plan.choose(400, 700));
    let mut raw = Vec::new();
    for _ in 0..plan.choose(2, 5) {
        for (server, seen) in servers.iter().zip(&mut seen) {
            raw.push(
                blob.on_one_connection(tpm.endpoint(), command, time / 4)
                    .rate(),
            );
            seen.look(server, time);
        }
    }
    let raw = Spread::of(raw).median;

    report.heading(
        3,
        &format!("{}: handshakes with the TPM's key", kind.name()),
    );
    let row = |seen: &Seen| {
        let (alone, beside) = (seen.alone.rate(), seen.beside.rate());
        vec![
            seen.name.clone(),
            format!("{alone:.0}"),
            format!("{beside:.0}"),
            format!("{raw:.0}"),
            format!("{:.2}", alone / raw),
            format!("{:.0}", seen.software.rate()),
            format!("{:.1}", seen.alone.quantile(0.5)),
            format!("{:.1}", seen.alone.quantile(0.99)),
        ]
    };
    let columns = [
        "<",
        "alone, per second",
        "with traffic beside",
        &format!("raw {}, per second", command.name()),
        "alone, of raw",
        "software key, per second",
        "median, ms",
        "99 %, ms",
    ];
    report.table(&columns, &seen.iter().map(row).collect::<Vec<_>>());
    report.heading(
        3,
        &format!(
            "{}: requests to the software key, milliseconds",
            kind.name()
        ),
    );
    let rows: Vec<Vec<String>> = seen
        .iter()
        .flat_map(|seen| {
            [
                (&seen.undisturbed, "undisturbed"),
                (&seen.disturbed, "beside the TPM's key"),
            ]
            .map(|(traffic, what)| {
                let mut row = vec![format!("{}: {what}", seen.name)];
                row.extend(traffic.columns());
                row
            })
        })
        .collect();
    report.table(&["<", "median", "95 %", "99 %", "slowest"], &rows);
    report.text(&failures(seen.iter().flat_map(|s| {
        [
            &s.alone,
            &s.software,
            &s.undisturbed,
            &s.beside,
            &s.disturbed,
        ]
    })));
    group(kind, raw, &seen)
}

impl Seen {
    fn new(server: &Server) -> Self {
        // The first handshake of each worker loads the key.
        busy(server.tpm, CLIENTS, Duration::from_millis(200));
        Self {
            name: server.name.clone(),
            alone: Traffic::default(),
            software: Traffic::default(),
            undisturbed: Traffic::default(),
            beside: Traffic::default(),
            disturbed: Traffic::default(),
        }
    }

    fn look(&mut self, server: &Server, time: Duration) {
        self.alone.add(busy(server.tpm, CLIENTS, time));
        self.software.add(busy(server.software, CLIENTS, time));
        self.undisturbed.add(paced(server.software, PACE, time));
        let (beside, disturbed) = thread::scope(|scope| {
            let beside = scope.spawn(|| busy(server.tpm, CLIENTS, time));
            let disturbed = paced(server.software, PACE, time);
            (beside.join().expect("no panic"), disturbed)
        });
        self.beside.add(beside);
        self.disturbed.add(disturbed);
    }
}

fn group(kind: Kind, raw: f64, seen: &[Seen]) -> Group {
    let bar = |name: &str, value: f64, colour| Bar {
        name: name.to_owned(),
        value,
        spread: None,
        text: format!("{value:.0}, {:.2} of raw", value / raw),
        colour,
    };
    let mut bars = vec![Bar {
        text: format!("{raw:.0}"),
        ..bar("the raw command", raw, Colour::Raw)
    }];
    for seen in seen {
        bars.push(bar(&seen.name, seen.alone.rate(), Colour::Ours));
        bars.push(bar(
            "software traffic beside",
            seen.beside.rate(),
            Colour::Other,
        ));
        bars.push(bar(
            "the software key instead",
            seen.software.rate(),
            Colour::Software,
        ));
    }
    Group {
        name: kind.name().to_owned(),
        bars,
    }
}
