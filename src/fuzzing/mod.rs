//! What the fuzzer feeds: one function for each parser of bytes that others have made.
//!
//! Not part of the module: compiled for the unit tests, which run every target over its committed
//! corpus and changed copies of it, and for the fuzzer itself (`cfg(fuzzing)`, which cargo-fuzz sets). The
//! crates have theirs for their own unit tests, and by the feature `fuzzing` for those here.
//! A target must return normally whatever it is given; it asserts what holds for every input.
//!
//! A new target is a function in `fuzzing` of the crate whose parser it feeds, a line in [`TARGETS`], three
//! lines in `fuzz/fuzz_targets`, an entry in `fuzz/Cargo.toml`, and a few files in `fuzz/corpus`.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "not a public interface")]

#[cfg(test)]
mod tests;

use crate::{openssl, pkcs11};

/// A target: its name, which is that of its corpus, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("tss2_pem", keys::fuzzing::tss2_pem),
    ("tss2_der", keys::fuzzing::tss2_der),
    ("sealed", keys::fuzzing::sealed),
    ("uri", keys::fuzzing::uri),
    ("policies", keys::fuzzing::policies),
    ("trust", keys::fuzzing::trust),
    ("attested", keys::fuzzing::attested),
    ("foreign", keys::fuzzing::foreign),
    ("der", crypto::fuzzing::der),
    ("padding", crypto::fuzzing::padding),
    ("signatures", crypto::fuzzing::signatures),
    ("public", keys::fuzzing::public),
    ("responses", tss::tpm2::fuzzing::responses),
    ("sessions", tss::tpm2::fuzzing::sessions),
    ("scripted_tpm", tss::tpm2::fuzzing::scripted_tpm),
    ("record", tss::tpm2::fuzzing::record),
    ("tss_key_blob", keys::fuzzing::tss_key_blob),
    ("tpm12_structures", tss::tpm12::fuzzing::tpm12_structures),
    ("tpm12_replies", tss::tpm12::fuzzing::tpm12_replies),
    ("tcsd_packets", tss::tpm12::fuzzing::tcsd_packets),
    ("scripted_tpm12", tss::tpm12::fuzzing::scripted_tpm12),
    ("address", tss::transport::fuzzing::address),
    ("event_log", tss::event_log::fuzz),
    ("state_file", tss::transport::fuzzing::state_file),
    ("settings", openssl::fuzzing::settings),
    ("decoders", openssl::fuzzing::decoders),
    ("dispatch", openssl::fuzzing::dispatch),
    ("key_dirs", keys::fuzzing::key_dirs),
    ("pkcs11", pkcs11::fuzzing::pkcs11),
];

/// Runs the target called `name`.
///
/// # Panics
///
/// When there is no such target, and when the target has found something.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.expect("a target of this name").1(data);
}
