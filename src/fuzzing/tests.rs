//! Every target over its corpus and over changed copies of it: what a few seconds can show without a
//! fuzzer. `make fuzz` is the real thing.

use std::fs;
use std::path::Path;

use super::TARGETS;

/// Changed inputs for each target.
const CHANGES: usize = 2000;

#[test]
fn every_target_has_a_corpus_and_a_binary() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        let main = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(main.contains(&format!("run(\"{name}\"")), "{name}");
        assert!(!corpus(name).is_empty(), "{name}");
    }
    let binaries = fs::read_dir(fuzz.join("fuzz_targets")).unwrap().count();
    assert_eq!(binaries, TARGETS.len());
}

/// One test for each target, so that they run in parallel and fail by name.
macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn no_target_is_left_out() {
            assert_eq!([$(stringify!($name)),*].len(), TARGETS.len());
        }
    };
}

replays! {
    tss2_pem tss2_der sealed uri policies trust attested foreign der padding signatures public responses sessions scripted_tpm
    record
    tss_key_blob tpm12_structures tpm12_replies tcsd_packets scripted_tpm12 address state_file settings decoders dispatch
    key_dirs pkcs11 event_log
}

fn replay(name: &str) {
    let corpus = corpus(name);
    for input in &corpus {
        super::run(name, input);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..CHANGES {
        let mut input = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(4) {
            change(&mut input, &corpus, &mut random);
        }
        super::run(name, &input);
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    // The same order everywhere, so that a failure can be repeated.
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(6) {
        0 => input.truncate(at),
        1 => input.insert(at, random.next() as u8),
        2 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        kind => {
            if let Some(byte) = input.get_mut(at) {
                match kind {
                    3 => *byte ^= 1 << random.below(8),
                    4 => *byte = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                    _ => *byte = byte.wrapping_add(1),
                }
            }
        }
    }
}

/// Marsaglia's xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
