//! curl with a client certificate whose key is in the TPM.

use super::table::find;
use testkit::table::{Role, connects};
use testkit::tools::{need, sample, substitute};

#[test]
pub fn curl_connects() {
    connects(find("curl", Role::Client), |site, _, port| {
        let text = substitute(&sample("curlrc"), "/etc/ssl/tpm", &site.at());
        let conf = site.openssl.dir().write("curlrc", text);
        // The first transfer is as the sample has it, the second with an ordinary key.
        let url = format!("https://localhost:{port}/");
        let done = site
            .openssl
            .client(need("curl", "curl"))
            .args(["-sS", "--fail-early", "--ipv4", "-K"])
            .arg(conf)
            .args([&url, "-o", "first"])
            .args(["--next", "-sS", "--ipv4", "--cacert", "inner.crt", &url])
            .args([
                "--cert",
                "software.crt",
                "--key",
                "software.key",
                "-o",
                "second",
            ])
            .done();
        let read = |name: &str| site.openssl.dir().read_text(name);
        done.status
            .success()
            .then(|| [read("first"), read("second")])
    });
}
