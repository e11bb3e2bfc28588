//! Ten thousand operations, and trouble of every kind in between: not one wrong result.

use std::collections::BTreeMap;
use testkit::bench::Bench;
use testkit::client::Client;
use testkit::key;
use testkit::openssl::{Config, Openssl};
use testkit::proxy::{Action, Fault};
use testkit::tpm::{cc, rc};

const OPERATIONS: u32 = 10_000;

/// xorshift64*: the same trouble in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

/// Trouble with the next command, or with one soon after.
fn trouble(dice: &mut Dice) -> (&'static str, Fault) {
    let codes = [
        rc::RETRY,
        rc::TESTING,
        rc::YIELDED,
        rc::NV_RATE,
        rc::LOCKOUT,
        rc::OBJECT_MEMORY,
        rc::SESSION_HANDLES,
        rc::CONTEXT_GAP,
        rc::FAILURE,
    ];
    let code = codes[dice.below(codes.len())];
    // What the TPM has made of a command must not be hidden by more than a lost connection: nobody could
    // clear that away. So lies strike only where nothing is made.
    let operation = [cc::SIGN, cc::RSA_DECRYPT, cc::READ_PUBLIC][dice.below(3)];
    let (name, action) = match dice.below(8) {
        0 => ("code instead of the command", Action::Answer(code)),
        1 => ("cut before", Action::CutBefore),
        2 => ("cut after", Action::CutAfter),
        3 => ("short answer", Action::Truncate(dice.below(120))),
        4 => {
            // A size that is too large is waited for in vain, which takes a second.
            let by = if dice.below(12) == 0 { 70 } else { -1 };
            ("wrong size", Action::WrongSize(by))
        }
        5 => {
            let gone = [rc::REFERENCE_H0, rc::REFERENCE_S0][dice.below(2)];
            let private = [cc::SIGN, cc::RSA_DECRYPT][dice.below(2)];
            let fault = Fault::on(private, Action::Answer(gone));
            return ("a handle said to be bad", fault);
        }
        6 => {
            let fault = Fault::on(operation, Action::Replace(code));
            return ("code instead of the answer", fault);
        }
        _ => {
            let bit = Action::FlipBit(dice.below(8 * 400));
            return ("flipped bit", Fault::on(operation, bit));
        }
    };
    (name, Fault::any(action).after(dice.below(2)))
}

#[test]
fn ten_thousand_operations_with_faults() {
    let bench = Bench::with(Config::new().setting("timeout", "1"));
    let Bench { openssl, tap, tpm } = &bench;
    let maker = Openssl::new(&tap.address());
    for n in 0..5 {
        key::generate(&maker, &format!("ec{n}"), "EC -pkeyopt group:P-256");
        let pem = maker.dir().read(&format!("ec{n}.pem"));
        openssl.dir().write(&format!("ec{n}.pem"), pem);
    }
    key::rsa(&maker, "rsa", 2048, "");
    openssl.dir().write("rsa.pem", maker.dir().read("rsa.pem"));

    key::digest(openssl, "sha256");
    let mut client = Client::start(openssl);
    for n in 0..5 {
        client.ok(&format!("load {n} ec{n}.pem"));
    }
    client.ok("load 5 rsa.pem");
    let mut dice = Dice(0x5eed);
    let mut outcomes: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for n in 0..OPERATIONS {
        // Mostly the fast keys, and mostly the same two.
        let step = match dice.below(20) {
            0 => "sign 5".to_owned(),
            1 => "decrypt 5".to_owned(),
            2..8 => format!("sign {}", dice.below(5)),
            other => format!("sign {}", other % 2),
        };
        if dice.below(3) > 0 {
            client.ok(&step);
            continue;
        }
        let (name, fault) = trouble(&mut dice);
        tap.inject(fault.clone());
        let answer = client.ask(&step);
        tap.heal();
        let outcome = match answer.strip_prefix("error ") {
            None => "went well",
            Some(error) => {
                // What steps.c says when a signature or a plaintext is not the right one.
                assert!(
                    !error.contains("WRONG"),
                    "operation {n}, {step}, {fault:?}: {error}"
                );
                assert!(
                    error.contains("tpm"),
                    "operation {n}, {step}, {fault:?}: {error}"
                );
                // The next one works.
                client.ok(&step);
                "failed"
            }
        };
        *outcomes.entry((name, outcome)).or_default() += 1;
        // What the wire has seen is of no interest here, and much.
        tap.reset();
    }
    for ((name, outcome), count) in &outcomes {
        println!("{name}: {count} {outcome}");
    }
    client.end();
    // A cut may have come so late that only another process could notice.
    openssl.ok("pkeyutl -sign -inkey ec0.pem -in sha256.bin -out sig -pkeyopt digest:sha256");
    tpm.assert_clean();
}
