//! Taking turns: what is compared runs in many short rounds, so that whatever else the machine does meets all
//! of it alike.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};
use testkit::swtpm::Swtpm;

/// What a row has done in its turn.
#[derive(Clone, Copy)]
pub struct Took {
    pub operations: usize,
    pub elapsed: Duration,
}

impl Took {
    pub fn rate(self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }
}

/// The operation as often as it can be done in so long, once at least.
pub fn repeat(time: Duration, mut operation: impl FnMut()) -> Took {
    let start = Instant::now();
    let mut operations = 0;
    while operations == 0 || start.elapsed() < time {
        operation();
        operations += 1;
    }
    Took {
        operations,
        elapsed: start.elapsed(),
    }
}

/// The same in several threads.
pub fn threads(count: usize, time: Duration, operation: impl Fn() + Sync) -> Took {
    let start = Instant::now();
    let operations = thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|_| scope.spawn(|| repeat(time, &operation).operations))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .sum()
    });
    Took {
        operations,
        elapsed: start.elapsed(),
    }
}

/// One line of a comparison.
pub struct Row<'a> {
    pub name: String,
    /// The row that this one is compared with.
    pub base: Option<usize>,
    run: Box<dyn FnMut(Duration) -> Took + 'a>,
}

impl<'a> Row<'a> {
    pub fn new(name: impl Into<String>, run: impl FnMut(Duration) -> Took + 'a) -> Self {
        Self {
            name: name.into(),
            base: None,
            run: Box::new(run),
        }
    }

    pub fn against(mut self, base: usize) -> Self {
        self.base = Some(base);
        self
    }
}

/// What came of a row.
pub struct Outcome {
    pub name: String,
    /// Operations per second.
    pub rate: Spread,
    /// The rate over that of the row it is compared with, round by round.
    pub ratio: Option<Spread>,
    /// Seconds of processor time for one operation, of this process and of swtpm. They stay the same when other
    /// programs compete for the machine. Workers' are not in it.
    pub here: f64,
    pub tpm: f64,
}

/// So many rounds, in each of which every row has its turn for `time`; another begins each time.
pub fn take(tpm: &Swtpm, rounds: usize, time: Duration, rows: &mut [Row<'_>]) -> Vec<Outcome> {
    let mut rates = vec![vec![0.0; rounds]; rows.len()];
    let mut times = vec![vec![(0.0, 0.0); rounds]; rows.len()];
    for round in 0..rounds {
        for turn in 0..rows.len() {
            let n = (round + turn) % rows.len();
            let before = (own_time(), time_of(tpm));
            let took = (rows[n].run)(time);
            let each = |time: f64| time / took.operations as f64;
            rates[n][round] = took.rate();
            times[n][round] = (each(own_time() - before.0), each(time_of(tpm) - before.1));
        }
    }
    let outcome = |(n, row): (usize, &Row<'_>)| {
        let ratio = |base: usize| {
            let pairs = rates[n].iter().zip(&rates[base]);
            Spread::of(pairs.map(|(ours, base)| ours / base).collect())
        };
        Outcome {
            name: row.name.clone(),
            rate: Spread::of(rates[n].clone()),
            ratio: row.base.map(ratio),
            here: Spread::of(times[n].iter().map(|t| t.0).collect()).median,
            tpm: Spread::of(times[n].iter().map(|t| t.1).collect()).median,
        }
    };
    rows.iter().enumerate().map(outcome).collect()
}

/// A median, and the quartiles around it.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            low: quantile(&values, 0.25),
            median: quantile(&values, 0.5),
            high: quantile(&values, 0.75),
        }
    }
}

/// The value that `share` (0 to 1) of the sorted values do not exceed; NaN when there is none.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (share * last as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Seconds of processor time that this process has used.
fn own_time() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "clock_gettime");
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds of processor time that swtpm has used; 0 on kernels that do not tell.
fn time_of(tpm: &Swtpm) -> f64 {
    let pid = tpm.pid().expect("it runs");
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}
