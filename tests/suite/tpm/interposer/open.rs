//! What is open: the harms that are known, with the sentences of SECURITY.md.

use super::judge::Harm;
use super::operations::{Operation, Told, Wanted};
use super::table::{Open, Setting};
use testkit::interposer::Attack;

/// The first that fits explains a cell. One that explains none is a fault: what it says is no longer true.
pub const OPEN: [Open; 12] = [
    Open {
        sentence: "With `sessions = never` values and plaintexts cross the bus in clear, and whoever is between this \
                   process and the TPM can answer in its place.",
        applies: |operation, _, setting, harm| {
            setting == Setting::Never
                && (harm != Harm::FalseReport || operation.wanted == Wanted::Told(Told::Register))
        },
    },
    Open {
        sentence: "A key without an authorization value can be used by whoever can send commands to the TPM: they \
                   decrypt what they have seen on its way to it.",
        applies: |_, attack, _, _| attack == Attack::OwnUse,
    },
    Open {
        sentence: "Without `parent-name` a parent is what the TPM says it is. Who answers for the parent too, with a \
                   key of their own, makes the keys that are made, and can test guesses of PINs of new keys and of \
                   keys that only sign.",
        applies: |operation, attack, setting, harm| {
            !setting.is_anchored()
                && !is_handle(operation)
                && !is_of_sealed_data(operation)
                && matches!(attack, Attack::ExchangedParent | Attack::ForeignSrk)
                && matches!(harm, Harm::KeyIsTheirs | Harm::PinLearned)
        },
    },
    Open {
        sentence: "Without `parent-name` who answers for the parent too, with a key of their own, knows data when they are \
                   sealed, gives other data when they are unsealed, and can test guesses of their PIN.",
        applies: |operation, attack, setting, harm| {
            !setting.is_anchored()
                && is_of_sealed_data(operation)
                && matches!(attack, Attack::ExchangedParent | Attack::ForeignSrk)
                && matches!(
                    harm,
                    Harm::ContentLearned | Harm::FalsePlaintext | Harm::NoData | Harm::PinLearned
                )
        },
    },
    Open {
        sentence: "Without `parent-name` who answers for the parent too, with a key of their own, says that a key was imported \
                   which was not.",
        applies: |operation, attack, setting, harm| {
            !setting.is_anchored()
                && operation.wanted == Wanted::Imported
                && matches!(attack, Attack::ExchangedParent | Attack::ForeignSrk)
                && harm == Harm::NoKey
        },
    },
    Open {
        sentence: "Without `parent-name` who answers for the parent too, with a key of their own, says what values registers have, \
                   also those that a new key's policy is made of.",
        applies: |operation, attack, setting, harm| {
            let is_said = match operation.wanted {
                Wanted::Told(Told::Register) => harm == Harm::FalseReport,
                Wanted::Key => operation.name.contains("registers") && harm == Harm::OtherKind,
                _ => false,
            };
            is_said
                && !setting.is_anchored()
                && matches!(attack, Attack::ExchangedParent | Attack::ForeignSrk)
        },
    },
    Open {
        sentence: "`tpmctl srk export` without `parent-name` writes the storage key that the TPM says it has, or who poses as \
                   it: where nobody vouches for the machine, wrap with `--require-attested`.",
        applies: |operation, _, setting, harm| {
            !setting.is_anchored()
                && operation.name.starts_with("tpmctl srk export")
                && harm == Harm::OtherPublicHalf
        },
    },
    Open {
        sentence: "Without `parent-name` and without the option `tpm:2.0`, who answers as a TPM 1.2 when a key is made \
                   is believed to be one; whoever knows its storage root key's secret, which is well known as a rule, can pose as it.",
        applies: |operation, attack, setting, harm| {
            !setting.is_anchored()
                && operation.wanted == Wanted::Key
                && attack == Attack::OtherFamily
                && harm == Harm::KeyIsTheirs
        },
    },
    Open {
        sentence: "With neither `?name=` nor `parent-name` a `handle:` key is what the TPM says, or who poses as it: \
                   its public half, its signatures, what it decrypts, and the PIN that is used for it.",
        applies: |operation, _, setting, _| {
            !setting.is_anchored() && is_handle(operation) && !is_named(operation)
        },
    },
    Open {
        sentence: "`parent-name` without `?name=` says that a `handle:` key is one of this TPM's own, not which.",
        applies: |operation, attack, setting, harm| {
            setting.is_anchored()
                && is_handle(operation)
                && !is_named(operation)
                && attack == Attack::OtherHandle
                && matches!(harm, Harm::OtherPublicHalf | Harm::WrongSignature)
        },
    },
    Open {
        sentence: "What is read from an NV index is authenticated with `parent-name` and with `sessions = always` only: \
                   believe a certificate for its issuer's signature, not for where it was.",
        applies: |operation, attack, _, harm| {
            operation.wanted == Wanted::Content
                && attack == Attack::ExchangedContent
                && harm == Harm::FalseContent
        },
    },
    Open {
        sentence: "`tpmctl info` and `tpmctl selftest` say what the TPM says, or who poses as it: take the parent's \
                   name down while the machine is trusted.",
        applies: |operation, _, _, harm| {
            matches!(
                operation.wanted,
                Wanted::Told(Told::SrkName | Told::SelfTest)
            ) && harm == Harm::FalseReport
        },
    },
];

fn is_of_sealed_data(operation: &Operation) -> bool {
    operation.name.contains("seal")
}

fn is_handle(operation: &Operation) -> bool {
    operation.name.starts_with("handle:")
}

fn is_named(operation: &Operation) -> bool {
    operation.name.contains("?name")
}
