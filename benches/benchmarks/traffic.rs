//! Requests to a TLS server: as many as it can take, or at a steady pace.

use crate::turns::quantile;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};
use testkit::tls::{Load, Version};

/// What became of the requests.
#[derive(Default)]
pub struct Traffic {
    /// Of each, in milliseconds, sorted.
    pub times: Vec<f64>,
    pub failures: Vec<String>,
    elapsed: Duration,
}

impl Traffic {
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// More of the same.
    pub fn add(&mut self, more: Self) {
        self.times.extend(more.times);
        self.times.sort_by(f64::total_cmp);
        self.failures.extend(more.failures);
        self.elapsed += more.elapsed;
    }

    /// In milliseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        quantile(&self.times, share)
    }

    /// How many of them took no longer, 0 to 1.
    pub fn within(&self, limit: f64) -> f64 {
        let good = self.times.iter().filter(|&&time| time <= limit).count();
        good as f64 / self.times.len().max(1) as f64
    }

    /// Median, 95 %, 99 %, and the slowest.
    pub fn columns(&self) -> Vec<String> {
        [0.5, 0.95, 0.99, 1.0]
            .map(|share| format!("{:.1}", self.quantile(share)))
            .to_vec()
    }

    fn of(done: Vec<Result<f64, String>>, elapsed: Duration) -> Self {
        let (good, bad): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
        let mut times: Vec<f64> = good.into_iter().flatten().collect();
        times.sort_by(f64::total_cmp);
        Self {
            times,
            failures: bad.into_iter().filter_map(Result::err).collect(),
            elapsed,
        }
    }
}

/// A request: connection, full handshake of TLS 1.3, GET, the whole answer.
fn load(port: u16) -> Load {
    Load::new(port, 1).version(Version::TLS1_3)
}

/// So many clients, each of which begins a request when its last one is answered.
pub fn busy(port: u16, clients: usize, time: Duration) -> Traffic {
    let load = load(port);
    let connector = load.connector();
    let done = Mutex::new(Vec::new());
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while start.elapsed() < time {
                    let begin = Instant::now();
                    let result = load.once(&connector);
                    let result = result.map(|_| begin.elapsed().as_secs_f64() * 1e3);
                    let failed = result.is_err();
                    done.lock().expect("no panic").push(result);
                    if failed {
                        thread::sleep(Duration::from_millis(10));
                    }
                }
            });
        }
    });
    Traffic::of(done.into_inner().expect("no panic"), start.elapsed())
}

/// Requests that come at a steady pace, however long those before them take: a server that hesitates makes
/// all of them wait, and each counts. The time of each begins when it is due.
pub fn paced(port: u16, per_second: u32, time: Duration) -> Traffic {
    let load = load(port);
    let connector = load.connector();
    let done = Mutex::new(Vec::new());
    let start = Instant::now();
    thread::scope(|scope| {
        for n in 0.. {
            let due = Duration::from_secs(1) * n / per_second;
            if due >= time {
                break;
            }
            thread::sleep(due.saturating_sub(start.elapsed()));
            let (load, connector, done) = (&load, &connector, &done);
            scope.spawn(move || {
                let result = load.once(connector);
                let took = start.elapsed() - due;
                let result = result.map(|_| took.as_secs_f64() * 1e3);
                done.lock().expect("no panic").push(result);
            });
        }
    });
    Traffic::of(done.into_inner().expect("no panic"), start.elapsed())
}

/// A sentence about requests that failed.
pub fn failures<'a>(all: impl IntoIterator<Item = &'a Traffic>) -> String {
    let (mut requests, mut failures) = (0, Vec::new());
    for traffic in all {
        requests += traffic.times.len() + traffic.failures.len();
        failures.extend(&traffic.failures);
    }
    match failures.first() {
        None => format!("None of the {requests} requests failed."),
        Some(first) => format!(
            "{} of the {requests} requests failed; the first: {first}",
            failures.len()
        ),
    }
}
