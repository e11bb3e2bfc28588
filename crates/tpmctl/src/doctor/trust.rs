//! Layer 11, where the settings say `parent-name = first-use`: whether the root key is the one that is pinned.

use keys::trust::{Pin, Store};
use keys::{Config, ParentRule};
use tss::tpm2::Client;
use tss::tpm2::constants::handle;

use super::address::{Answer, sentence};
use super::verdict::{Finding, Verdict};
use crate::family::AnyTpm;

const PIN: &str = "sudo tpmctl srk trust";

/// Finding 11; `root_key` is what the TPM alone makes of it.
pub(super) fn finding(root_key: Finding, answer: &Answer, config: &Config) -> Finding {
    if config.parent_name != ParentRule::FirstUse {
        return root_key;
    }
    match answer {
        Answer::Of(AnyTpm::Tpm2(client, _))
            if [Verdict::Ok, Verdict::Warning].contains(&root_key.verdict) =>
        {
            let store = Store::new(&config.trust_dir, client.endpoint().address());
            let other = |pins: &[Pin]| is_another(client, pins);
            judge(root_key, &store, store.read(), other)
        }
        _ => root_key,
    }
}

fn judge(
    root_key: Finding,
    store: &Store,
    pins: Result<Vec<Pin>, String>,
    is_another: impl Fn(&[Pin]) -> bool,
) -> Finding {
    match pins {
        Err(problem) => Finding::problem(
            "parent-name = first-use, and what is pinned is not to be believed: keys are refused.",
        )
        .why(sentence(&problem))
        .command(PIN),
        Ok(pins) if pins.is_empty() => {
            Finding::warning("parent-name = first-use, and nothing is pinned for this TPM.")
                .why(
                    "All users but root are refused until something is. If you know that this is your TPM, pin what \
                     it has.",
                )
                .command(PIN)
        }
        Ok(pins) if is_another(&pins) => {
            Finding::problem("The storage root key at 0x81000001 is none of those that are pinned.")
                .why(format!(
                    "Keys are refused: it is another TPM, or it was cleared, or somebody answers in its place. What is \
                     pinned is in {}. If you know that it was cleared:",
                    store.path().display()
                ))
                .command(PIN)
        }
        Ok(_) => root_key,
    }
}

/// Whether the TPM has a storage root key of another name.
fn is_another(client: &Client, pins: &[Pin]) -> bool {
    client
        .read_public(handle::SRK)
        .is_ok_and(|srk| !pins.iter().any(|pin| pin.name == srk.name))
}
