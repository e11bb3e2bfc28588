//! This program as a child of its own: another process that uses the keys, or one that has just started.

use crate::evp::{Context, Key, Operation};
use crate::raw::{Blob, Command};
use crate::turns::{Took, repeat};
use std::fs;
use std::io::{BufRead, stdin};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::net::Endpoint;
use testkit::openssl::clean;
use testkit::process::Run;

/// The first argument of a worker.
pub const WORKER: &str = "worker";

/// In place of a configuration: the default provider alone.
pub const PLAIN: &str = "-";

/// Starts this program with these arguments.
pub fn spawn(arguments: &[&str]) -> Client {
    Client::run(run(arguments))
}

fn run(arguments: &[&str]) -> Run {
    let program = std::env::current_exe().expect("a program knows its path");
    clean(Run::new(program)).arg(WORKER).args(arguments)
}

/// What a worker does.
pub fn main(arguments: &[&str]) {
    match arguments {
        ["rate", configuration, key, operation, sealed] => {
            rate(
                &open(configuration, key),
                Operation::named(operation),
                sealed,
            );
        }
        ["first", configuration, key, operation] => {
            let signature = open(configuration, key).sign(Operation::named(operation));
            println!("ok {}", hex::encode(signature));
        }
        ["raw", socket, key, operation] => {
            let blob = Blob::read(&fs::read(key).expect("a key file"));
            let command = Command::of(Operation::named(operation));
            blob.once(&Endpoint::Unix(socket.into()), command, || println!("ok"));
        }
        ["memory", configuration, key, count] => {
            let count = count.parse().expect("a number");
            let [heap, resident] = crate::memory::of_keys(configuration, key, count);
            println!("ok {heap} {resident}");
        }
        _ => panic!("arguments of a worker: {arguments:?}"),
    }
}

/// The context that a worker's argument means.
pub fn context(configuration: &str) -> Context {
    if configuration == PLAIN {
        Context::default()
    } else {
        Context::new(Path::new(configuration))
    }
}

fn open(configuration: &str, key: &str) -> Key {
    let context = context(configuration);
    if key.starts_with("handle:") {
        context.store(key)
    } else {
        context.load(&fs::read(key).expect("a key file"))
    }
}

/// Each line of input is a number of milliseconds to be busy for.
fn rate(key: &Key, operation: Operation, sealed: &str) {
    let sealed = fs::read(sealed).unwrap_or_default();
    println!("ok");
    for line in stdin().lock().lines() {
        let time = line.expect("input").parse().expect("milliseconds");
        let took = repeat(Duration::from_millis(time), || key.run(operation, &sealed));
        println!("ok {}", took.operations);
    }
}

/// Several processes that are busy at the same time.
pub struct Crew(Vec<Client>);

impl Crew {
    /// `sealed` is the file with the ciphertext to be decrypted, if any.
    pub fn new(
        count: usize,
        configuration: &Path,
        key: &Path,
        operation: Operation,
        sealed: &Path,
    ) -> Self {
        let [configuration, key, sealed] = [configuration, key, sealed].map(plain);
        let mut clients: Vec<Client> = (0..count)
            .map(|_| spawn(&["rate", configuration, key, operation.name(), sealed]))
            .collect();
        for client in &mut clients {
            assert_eq!(client.answer(), "ok");
        }
        let mut this = Self(clients);
        // What the first operation of a process costs is measured elsewhere.
        this.work(Duration::from_millis(1));
        this
    }

    /// All of them for so long.
    pub fn work(&mut self, time: Duration) -> Took {
        let start = Instant::now();
        for client in &mut self.0 {
            client.tell(&time.as_millis().to_string());
        }
        let operations = self
            .0
            .iter_mut()
            .map(|client| said(client).parse::<usize>().expect("a number"))
            .sum();
        Took {
            operations,
            elapsed: start.elapsed(),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // At their ends they flush what they have loaded.
        for client in &mut self.0 {
            client.end();
        }
    }
}

/// What a worker says behind `ok`.
pub fn said(client: &mut Client) -> String {
    let answer = client.answer();
    let text = answer.strip_prefix("ok");
    text.unwrap_or_else(|| panic!("a worker's answer: {answer}"))
        .trim()
        .to_owned()
}

/// A path of ours, as text.
pub fn plain(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
