#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tpm_provider::fuzzing::run("event_log", data));
