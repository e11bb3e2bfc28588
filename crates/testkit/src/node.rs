//! Node.js: a host with a statically linked, exported OpenSSL.

use crate::openssl::{Config, Openssl};
use crate::process::Run;
use crate::tools::need;

/// Runs `script` in node with the provider active on the TPM at `tcti`, in a directory of its own
/// that the caller gets back to put files in beforehand: `run(&openssl, script)`.
pub fn openssl_for_node(tcti: &str) -> Openssl {
    // node's OpenSSL was built with its own idea of where modules are.
    Openssl::with(Config::new().absolute(), tcti)
}

/// node with `script`; the configuration must name the module by its absolute path.
pub fn run(openssl: &Openssl, script: &str) -> Run {
    openssl
        .client(need("node", "nodejs"))
        .args(["--openssl-shared-config", "-e", script])
}
