//! More keys than the TPM has slots, used in turn.

use crate::evp::{self, Context, Key, Operation};
use crate::raw::{Blob, Command, RoundRobin};
use crate::report::{Promise, Report, Wanted};
use crate::svg::{self, Bar, Colour, Group};
use crate::turns::{Outcome, Row, repeat, take};
use crate::{Plan, configuration, rates};
use std::time::Duration;
use testkit::openssl::Openssl;
use testkit::proxy::Proxy;
use testkit::swtpm::Swtpm;

const COUNTS: [usize; 4] = [1, 3, 4, 32];
/// What a signature with a key that was displaced may cost: as much as the context swap of a resource manager. The
/// name of what goes is read, it is flushed, the key is loaded, and it signs.
const MOST: f64 = 4.0;
/// swtpm's.
const SLOTS: usize = 3;

pub fn section(plan: &Plan, report: &mut Report) {
    report.text(&format!(
        "1, 3, 4 and 32 keys of one process, used round robin, on a TPM with {SLOTS} slots for objects and no \
         resource manager. Raw is somebody who knows that nobody else is there: with up to {SLOTS} keys one \
         TPM2_Sign each on a connection that stays, with more of them ContextLoad, Sign and FlushContext. Each has \
         a TPM of its own with the same state. Commands per signature are counted by a proxy, in a run of its \
         own, after two rounds through all keys.",
    ));
    let kinds = [
        ("P-256", "EC -pkeyopt group:P-256", Operation::Ecdsa),
        ("RSA-2048", "RSA -pkeyopt bits:2048", Operation::Pkcs1),
    ];
    let groups: Vec<Group> = kinds
        .iter()
        .flat_map(|(name, arguments, operation)| kind(plan, report, name, arguments, *operation))
        .collect();
    report.plot(
        "keys",
        "Signatures per second with 1, 3, 4 and 32 keys used in turn",
        svg::bars(
            "Keys used in turn on three slots: signatures per second",
            "signatures per second",
            &groups,
        ),
    );
}

/// Three TPMs in the same state, so that nobody is in another's way: for the raw commands, for ours, and for
/// ours behind a proxy that counts.
struct Site {
    openssl: Openssl,
    tpms: [Swtpm; 3],
    pems: Vec<Vec<u8>>,
    operation: Operation,
}

fn kind(
    plan: &Plan,
    report: &mut Report,
    name: &str,
    arguments: &str,
    operation: Operation,
) -> Vec<Group> {
    let site = Site::new(arguments, operation);
    let mut table = Vec::new();
    let mut groups = Vec::new();
    for count in COUNTS {
        let [raw, ours] = site.rates(plan, count);
        let commands = site.commands(count);
        let keys = if count == 1 {
            "1 key".to_owned()
        } else {
            format!("{count} keys")
        };
        if count == 1 || count > SLOTS {
            report.promise(Promise {
                what: format!("{name}, {keys} in turn on {SLOTS} slots: commands for a signature"),
                wanted: Wanted::AtMost(if count == 1 { 1.0 } else { MOST }),
                seen: commands,
            });
        }
        let share = ours.ratio.expect("compared");
        let raw_commands = if count > SLOTS { 3 } else { 1 };
        table.push(vec![
            count.to_string(),
            format!("{:.0}", ours.rate.median),
            format!("{commands:.2}"),
            format!("{:.0}", raw.rate.median),
            raw_commands.to_string(),
            rates::ratio(share),
        ]);
        let bar = |name: &str, colour, outcome: &Outcome, commands: f64| Bar {
            name: name.to_owned(),
            value: outcome.rate.median,
            spread: Some([outcome.rate.low, outcome.rate.high]),
            text: format!("{:.0}, commands: {commands:.1}", outcome.rate.median),
            colour,
        };
        groups.push(Group {
            name: format!("{name}, {keys}"),
            bars: vec![
                bar("raw", Colour::Raw, &raw, f64::from(raw_commands)),
                bar("ours", Colour::Ours, &ours, commands),
            ],
        });
    }
    report.heading(3, name);
    let columns = [
        "keys",
        "signatures per second",
        "commands each",
        "raw, per second",
        "raw, commands",
        "of raw",
    ];
    report.table(&columns, &table);
    groups
}

impl Site {
    fn new(arguments: &str, operation: Operation) -> Self {
        let original = Swtpm::start();
        original.provision_srk();
        let openssl = Openssl::new(&original.address());
        let most = COUNTS.into_iter().max().expect("some");
        let pems: Vec<Vec<u8>> = (0..most)
            .map(|n| {
                let line = format!(
                    "genpkey -propquery provider=tpm -out key{n}.pem -algorithm {arguments}"
                );
                openssl.ok(&line);
                openssl.dir().read(&format!("key{n}.pem"))
            })
            .collect();
        let tpms = [
            Swtpm::with_state(&original.state()),
            Swtpm::with_state(&original.state()),
            original,
        ];
        Self {
            openssl,
            tpms,
            pems,
            operation,
        }
    }

    fn load(&self, tcti: &str, count: usize) -> Vec<Key> {
        let context = Context::new(&configuration(self.openssl.dir(), tcti, &[]));
        self.pems[..count]
            .iter()
            .map(|pem| context.load(pem))
            .collect()
    }

    /// Raw, then ours.
    fn rates(&self, plan: &Plan, count: usize) -> [Outcome; 2] {
        let [raw, tpm, _] = &self.tpms;
        let keys = self.load(&tpm.address(), count);
        for (n, key) in keys.iter().enumerate() {
            self.openssl
                .ok(&format!("pkey -in key{n}.pem -pubout -out key{n}.pub"));
            let public = self.openssl.dir().read(&format!("key{n}.pub"));
            evp::verify(&public, self.operation, &key.sign(self.operation));
        }
        let blobs: Vec<Blob> = self.pems[..count]
            .iter()
            .map(|pem| Blob::read(pem))
            .collect();
        let command = Command::of(self.operation);
        let mut signer = RoundRobin::new(raw.endpoint(), &blobs, SLOTS, command);
        let mut next = (0..count).cycle();
        let mut rows = [
            Row::new("raw", |t| repeat(t, || signer.sign())),
            Row::new("ours", |t| {
                repeat(t, || {
                    keys[next.next().expect("no end")].run(self.operation, &[])
                })
            })
            .against(0),
        ];
        // Long enough for all the keys to have their turns.
        let time = Duration::from_millis(100);
        let outcomes = take(tpm, plan.choose(4, 16), time, &mut rows);
        outcomes.try_into().ok().expect("two rows")
    }

    /// TPM commands for a signature.
    fn commands(&self, count: usize) -> f64 {
        const ROUNDS: usize = 3;
        let tap = Proxy::start(&self.tpms[2]);
        let keys = self.load(&tap.address(), count);
        let round = || keys.iter().for_each(|key| key.run(self.operation, &[]));
        round();
        round();
        let (_, counts) = tap.cost(|| (0..ROUNDS).for_each(|_| round()));
        // What stays in the TPM would be in the way of the next, who comes through another proxy.
        drop(keys);
        self.tpms[2].flush();
        counts.total() as f64 / (ROUNDS * count) as f64
    }
}
