//! tpm2-openssl, the other provider for TPM 2.0, as an oracle and a neighbour.

use crate::openssl::Openssl;
use crate::process::Run;
use crate::swtpm::Swtpm;
use crate::tools::need_file;

/// `openssl` with its provider instead of ours. It frees what it loads only when all goes well:
/// [`Swtpm::flush`] makes room before somebody else's turn.
pub fn peer(openssl: &Openssl, tpm: &Swtpm, command: &str, line: &str) -> Run {
    let modules = openssl.plain().ok("version -m").out();
    let modules = modules.trim().trim_start_matches("MODULESDIR: ");
    need_file(
        &format!("{}/tpm2.so", modules.trim_matches('"')),
        "tpm2-openssl",
    );
    openssl
        .plain()
        .run(command)
        .words("-provider tpm2 -provider default -propquery ?provider=tpm2")
        .words(line)
        .env("TPM2OPENSSL_TCTI", tpm.address())
}
