//! Integration tests against real parts: one binary, a folder for each subject, all in parallel.
//! Each test has its own TPM, servers and directories; the crate `testkit` starts and removes them.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]

mod abi;
mod clients;
mod documents;
mod host;
mod keys;
mod pkcs11;
mod repository;
mod ssh;
mod tls;
mod tpm;
mod tpmctl;
