//! Integration tests against real parts: one binary, one file for each scenario, all in parallel.
//! Each test has its own TPM, servers and directories; `common` starts and removes them.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]

#[path = "common/mod.rs"]
mod common;

#[path = "abi.rs"]
mod abi;
#[path = "async_jobs.rs"]
mod async_jobs;
#[path = "bad_input.rs"]
mod bad_input;
#[path = "certificates.rs"]
mod certificates;
#[path = "chroot.rs"]
mod chroot;
#[path = "claims.rs"]
mod claims;
#[path = "clients.rs"]
mod clients;
#[path = "clients_apache.rs"]
mod clients_apache;
#[path = "clients_curl.rs"]
mod clients_curl;
#[path = "clients_haproxy.rs"]
mod clients_haproxy;
#[path = "clients_nginx.rs"]
mod clients_nginx;
#[path = "clients_node.rs"]
mod clients_node;
#[path = "clients_openssl.rs"]
mod clients_openssl;
#[path = "clients_openvpn.rs"]
mod clients_openvpn;
#[path = "clients_python.rs"]
mod clients_python;
#[path = "clients_stunnel.rs"]
mod clients_stunnel;
#[path = "costs.rs"]
mod costs;
#[path = "doctor.rs"]
mod doctor;
#[path = "ec.rs"]
mod ec;
#[path = "ec_curves.rs"]
mod ec_curves;
#[path = "ec_keys.rs"]
mod ec_keys;
#[path = "ec_tls.rs"]
mod ec_tls;
#[path = "encoders.rs"]
mod encoders;
#[path = "faults.rs"]
mod faults;
#[path = "first_use.rs"]
mod first_use;
#[path = "fixed_digest.rs"]
mod fixed_digest;
#[path = "foreign_text.rs"]
mod foreign_text;
#[path = "forks.rs"]
mod forks;
#[path = "guards.rs"]
mod guards;
#[path = "guest.rs"]
mod guest;
#[path = "handles.rs"]
mod handles;
#[path = "harness.rs"]
mod harness;
#[path = "interop.rs"]
mod interop;
#[path = "interposer.rs"]
mod interposer;
#[path = "lifetime.rs"]
mod lifetime;
#[path = "many_keys.rs"]
mod many_keys;
#[path = "memory.rs"]
mod memory;
#[path = "messages.rs"]
mod messages;
#[path = "module.rs"]
mod module;
#[path = "newer.rs"]
mod newer;
#[path = "nginx.rs"]
mod nginx;
#[path = "node.rs"]
mod node;
#[path = "openconnect.rs"]
mod openconnect;
#[path = "order.rs"]
mod order;
#[path = "other_keys.rs"]
mod other_keys;
#[path = "owner.rs"]
mod owner;
#[path = "pin_servers.rs"]
mod pin_servers;
#[path = "pins.rs"]
mod pins;
#[path = "pkeyutl.rs"]
mod pkeyutl;
#[path = "random_faults.rs"]
mod random_faults;
#[path = "rejection.rs"]
mod rejection;
#[path = "rsa_pss.rs"]
mod rsa_pss;
#[path = "secrets.rs"]
mod secrets;
#[path = "strays.rs"]
mod strays;
#[path = "strays12.rs"]
mod strays12;
#[path = "systemd.rs"]
mod systemd;
#[path = "tls12.rs"]
mod tls12;
#[path = "tls_keys.rs"]
mod tls_keys;
#[path = "tls_servers.rs"]
mod tls_servers;
#[path = "tpm12.rs"]
mod tpm12;
#[path = "tpmctl.rs"]
mod tpmctl;
#[path = "wiped.rs"]
mod wiped;
