//! A chip that takes 200 ms for each command, behind an event loop of one thread.

use crate::Plan;
use crate::evp::Operation;
use crate::raw::{Blob, Command};
use crate::report::{Promise, Report, Wanted};
use crate::servers::{self, Kind, Server};
use crate::svg::{self, Colour, Series};
use crate::traffic::{Traffic, busy, failures, paced};
use std::thread;
use std::time::Duration;
use testkit::bench::Bench;
use testkit::openssl::Config;

const DELAY: Duration = Duration::from_millis(200);
const CLIENTS: usize = 4;
/// Requests per second to the software key.
const PACE: u32 = 25;
/// What is promised of requests to software keys: this many times their undisturbed median.
const LIMIT: f64 = 1.5;

struct Seen {
    asynchronous: bool,
    server: Server,
    undisturbed: Traffic,
    disturbed: Traffic,
    handshakes: Traffic,
}

pub fn section(plan: &Plan, report: &mut Report) {
    report.text(&format!(
        "A proxy adds {} ms to each TPM command. HAProxy with one thread has a frontend with a P-256 key in the \
         TPM, at which {CLIENTS} clients queue without pause, and one with a software key of the same type, which \
         gets {PACE} requests per second at a steady pace, each a full handshake of TLS 1.3 with its answer. Their \
         times run from the moment each is due, so that waiting behind others counts. \"Undisturbed\" is the same \
         server without traffic for the TPM's key, just before; all of it takes turns. What is promised with `ssl-mode-async`: requests to the \
         software key stay within {LIMIT} times their undisturbed median.",
        DELAY.as_millis()
    ));
    let bench = Bench::with(Config::new().absolute());
    servers::keys(&bench.openssl, Kind::Ec);
    bench.tap.slow(DELAY);
    let blob = Blob::read(&bench.openssl.dir().read("tpm.pem"));
    let command = Command::of(Operation::Ecdsa);
    let raw = blob.on_one_connection(bench.tap.endpoint(), command, Duration::from_secs(2));
    let mut seen = [true, false].map(|asynchronous| Seen::new(&bench, asynchronous));
    for _ in 0..plan.choose(1, 4) {
        for seen in &mut seen {
            seen.look(Duration::from_secs(4));
        }
    }

    let name = |seen: &Seen| {
        if seen.asynchronous {
            "with ssl-mode-async"
        } else {
            "without"
        }
    };
    let rows: Vec<Vec<String>> = seen
        .iter()
        .flat_map(|seen| {
            let median = seen.undisturbed.quantile(0.5);
            [
                (&seen.undisturbed, "undisturbed"),
                (&seen.disturbed, "while handshakes queue"),
            ]
            .map(|(traffic, what)| {
                let mut row = vec![format!("{}: {what}", name(seen))];
                row.extend(traffic.columns());
                row.push(format!("{:.2}", traffic.quantile(0.5) / median));
                row.push(format!("{:.1} %", 100.0 * traffic.within(LIMIT * median)));
                row
            })
        })
        .collect();
    report.heading(3, "Requests to the software key, milliseconds");
    let columns = [
        "<",
        "median",
        "95 %",
        "99 %",
        "slowest",
        "median, of undisturbed",
        &format!("within {LIMIT} × that median"),
    ];
    report.table(&columns, &rows);
    let handshakes = |seen: &Seen| {
        let rate = seen.handshakes.rate();
        vec![
            name(seen).to_owned(),
            format!("{rate:.2}"),
            format!("{:.2}", rate / raw.rate()),
            format!("{:.0}", seen.handshakes.quantile(0.5)),
            format!("{:.0}", seen.handshakes.quantile(0.99)),
        ]
    };
    report.heading(3, "Handshakes with the TPM's key meanwhile");
    report.table(
        &["<", "per second", "of raw", "median, ms", "99 %, ms"],
        &seen.iter().map(handshakes).collect::<Vec<_>>(),
    );
    report.text(&format!(
        "The raw command takes {:.1} ms through the same proxy, {:.2} per second. {}",
        1e3 / raw.rate(),
        raw.rate(),
        failures(
            seen.iter()
                .flat_map(|s| [&s.undisturbed, &s.disturbed, &s.handshakes])
        )
    ));
    let [with, _] = &seen;
    let ratio = with.disturbed.quantile(0.5) / with.undisturbed.quantile(0.5);
    report.promise(Promise {
        what: "slow chip, ssl-mode-async: software key's requests, median over the undisturbed"
            .to_owned(),
        wanted: Wanted::AtMost(LIMIT),
        seen: ratio,
    });
    plot(report, seen);
}

impl Seen {
    fn new(bench: &Bench, asynchronous: bool) -> Self {
        let server = servers::haproxy(&bench.openssl, 1, asynchronous);
        // The key is loaded with the first handshake.
        busy(server.tpm, 1, Duration::from_millis(1));
        paced(server.software, PACE, Duration::from_secs(1));
        Self {
            asynchronous,
            server,
            undisturbed: Traffic::default(),
            disturbed: Traffic::default(),
            handshakes: Traffic::default(),
        }
    }

    fn look(&mut self, time: Duration) {
        let Server { tpm, software, .. } = self.server;
        self.undisturbed.add(paced(software, PACE, time / 2));
        let (handshakes, disturbed) = thread::scope(|scope| {
            let handshakes = scope.spawn(|| busy(tpm, CLIENTS, time));
            // From when they queue to when they still do.
            thread::sleep(DELAY);
            let disturbed = paced(software, PACE, time.saturating_sub(DELAY * 2));
            (handshakes.join().expect("no panic"), disturbed)
        });
        self.handshakes.add(handshakes);
        self.disturbed.add(disturbed);
    }
}

fn plot(report: &mut Report, [with, without]: [Seen; 2]) {
    let limit = LIMIT * with.undisturbed.quantile(0.5);
    let series = [
        ("undisturbed", with.undisturbed, Colour::Software),
        (
            "while TPM handshakes queue, with ssl-mode-async",
            with.disturbed,
            Colour::Ours,
        ),
        (
            "while TPM handshakes queue, without",
            without.disturbed,
            Colour::Other,
        ),
    ]
    .map(|(name, traffic, colour)| Series {
        name: name.to_owned(),
        times: traffic.times,
        colour,
    });
    report.plot(
        "slow",
        "How many requests to the software key were answered within which time, on a chip that takes 200 ms",
        svg::distribution(
            "Requests to a software key beside a TPM that takes 200 ms, one thread",
            (&format!("{LIMIT} × the undisturbed median"), limit),
            &series,
        ),
    );
}
