//! What the scenarios share: TPMs, a wire tap, clients and servers, each of them a test's own.
//!
//! Nothing here has a fixed port or a fixed path, and everything that is started is stopped on drop,
//! so that tests run side by side and a failing one leaves nothing behind.
//! It depends on nothing of the product: what judges the module is not made from it. Where a test needs the module, the
//! command or a file of the repository, [`tools`] finds them.

#![allow(
    missing_docs,
    reason = "a toolbox for tests: most names say what there is to say"
)]
#![allow(
    clippy::new_without_default,
    reason = "to make a directory or to start a TPM is no default"
)]

pub mod backend;
pub mod bench;
pub mod cc;
pub mod client;
pub mod generated;
pub mod interposer;
pub mod jail;
pub mod key;
pub mod locks;
pub mod machine;
pub mod manufacturer;
pub mod net;
pub mod nginx;
pub mod node;
pub mod openssl;
pub mod orders;
pub mod peer;
pub mod pkcs11;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod scratch;
pub mod service;
pub mod simulator;
pub mod site;
pub mod sshd;
pub mod swtpm;
pub mod swtpm12;
pub mod table;
pub mod tcsd;
pub mod terminal;
pub mod tls;
pub mod tmux;
pub mod tools;
pub mod tpm;
