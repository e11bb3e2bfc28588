//! Integration tests against real parts: one binary, one file for each scenario, all in parallel.
//! Each test has its own TPM, servers and directories; `common` starts and removes them.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]

#[path = "common/mod.rs"]
mod common;

#[path = "abi.rs"]
mod abi;
#[path = "bad_input.rs"]
mod bad_input;
#[path = "certificates.rs"]
mod certificates;
#[path = "costs.rs"]
mod costs;
#[path = "faults.rs"]
mod faults;
#[path = "harness.rs"]
mod harness;
#[path = "lifetime.rs"]
mod lifetime;
#[path = "memory.rs"]
mod memory;
#[path = "module.rs"]
mod module;
#[path = "pkeyutl.rs"]
mod pkeyutl;
#[path = "secrets.rs"]
mod secrets;
#[path = "tls_servers.rs"]
mod tls_servers;
