//! Node.js: a host that has an OpenSSL of its own inside and exports its symbols.

use testkit::key;
use testkit::node;
use testkit::openssl::Openssl;
use testkit::proxy::Proxy;
use testkit::swtpm::Swtpm;

/// An openssl whose configuration node takes, `key.pem` in the TPM and `key.crt`.
fn site(tpm: &Swtpm) -> (Openssl, Proxy) {
    tpm.provision_srk();
    let tap = Proxy::start(tpm);
    let openssl = node::openssl_for_node(&tap.address());
    key::rsa(&openssl, "key", 2048, "");
    key::certificate(&openssl, "key");
    (openssl, tap)
}

/// Tells which OpenSSL the tests met: Debian's node uses the system's, others bring their own.
fn describe(openssl: &Openssl) {
    let script = "console.log(process.version, 'OpenSSL', process.versions.openssl, \
                  process.config.variables.node_shared_openssl ? 'shared' : 'static')";
    println!("node {}", node::run(openssl, script).ok().out().trim());
}

#[test]
fn node_signs_and_decrypts() {
    let tpm = Swtpm::start();
    let (openssl, tap) = site(&tpm);
    describe(&openssl);
    openssl.dir().write("message", "some bytes");
    openssl.dir().write("secret", "fourteen bytes");
    openssl.plain().ok(
        "pkeyutl -encrypt -pubin -inkey key.pub -in secret -out sealed \
         -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256",
    );
    let script = r#"
        const crypto = require("crypto"), fs = require("fs");
        const key = crypto.createPrivateKey(fs.readFileSync("key.pem"));
        const message = fs.readFileSync("message");
        fs.writeFileSync("pkcs1", crypto.sign("sha256", message, key));
        const padding = crypto.constants.RSA_PKCS1_PSS_PADDING;
        fs.writeFileSync("pss", crypto.sign("sha384", message, { key, padding, saltLength: 48 }));
        const stream = crypto.createSign("sha512");
        stream.update("some "); stream.update("bytes");
        fs.writeFileSync("stream", stream.sign(key));
        if (!crypto.verify("sha256", message, crypto.createPublicKey(fs.readFileSync("key.pub")),
                           fs.readFileSync("pkcs1"))) throw new Error("no valid signature");
        const oaepHash = "sha256";
        for (let i = 0; i < 2; i++)
            console.log(crypto.privateDecrypt({ key, oaepHash }, fs.readFileSync("sealed")).toString());
        const soft = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
        const own = crypto.sign("sha256", message, soft.privateKey);
        if (!crypto.verify("sha256", message, soft.publicKey, own)) throw new Error("software keys");
        const twin = crypto.createPublicKey(key).export({ type: "spki", format: "pem" });
        fs.writeFileSync("twin.pub", twin);
    "#;
    let out = node::run(&openssl, script).ok().out();
    assert_eq!(out, "fourteen bytes\nfourteen bytes\n");
    let counts = tap.counts();
    let operations = counts.of("Sign") + counts.of("RSA_Decrypt");
    assert!(operations >= 5, "the TPM has done it: {counts:?}");
    for (hash, file, options) in [
        ("sha256", "pkcs1", ""),
        (
            "sha384",
            "pss",
            "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48",
        ),
        ("sha512", "stream", ""),
    ] {
        openssl.plain().ok(&format!(
            "dgst -{hash} -verify key.pub -signature {file} {options} message"
        ));
    }
    assert_eq!(
        openssl.dir().read("twin.pub"),
        openssl.dir().read("key.pub")
    );
    tpm.assert_clean();
}

/// An https server of node's with the key in the TPM; its client is node as well, and verifies.
#[test]
fn node_serves_https() {
    let tpm = Swtpm::start();
    let (openssl, tap) = site(&tpm);
    let script = r#"
        const https = require("https"), fs = require("fs");
        const cert = fs.readFileSync("key.crt"), key = fs.readFileSync("key.pem");
        const server = https.createServer({ cert, key }, (request, response) => response.end("served\n"));
        const get = (port, version) => new Promise((resolve, reject) => {
            const options = { host: "127.0.0.1", port, ca: cert, servername: "key", agent: false,
                              minVersion: version, maxVersion: version,
                              checkServerIdentity: () => undefined };
            https.get(options, (response) => {
                let text = "";
                response.on("data", (part) => text += part);
                response.on("end", () => resolve(response.socket.getProtocol?.() + " " + text));
            }).on("error", reject);
        });
        server.listen(0, "127.0.0.1", async () => {
            const { port } = server.address();
            for (let i = 0; i < 5; i++)
                for (const version of ["TLSv1.2", "TLSv1.3"]) {
                    const text = await get(port, version);
                    if (!text.endsWith("served\n")) throw new Error(text);
                }
            console.log("ten handshakes");
            server.close();
        });
    "#;
    tap.reset();
    let done = node::run(&openssl, script).ok();
    assert_eq!(done.out(), "ten handshakes\n");
    let counts = tap.counts();
    assert_eq!(
        counts.of("Sign") + counts.of("RSA_Decrypt"),
        10,
        "one signature for each handshake: {counts:?}"
    );
    tpm.assert_clean();
}

/// A client certificate whose key is in the TPM, from node to openssl's server.
#[test]
fn node_is_a_client_with_a_certificate() {
    let tpm = Swtpm::start();
    let (openssl, _tap) = site(&tpm);
    key::software_rsa(&openssl, "soft", 2048);
    key::certificate(&openssl, "soft");
    let server = openssl.plain().s_server(
        "-cert soft.crt -key soft.pem -Verify 1 -CAfile key.crt -verify_return_error -www",
    );
    let script = format!(
        r#"
        const https = require("https"), fs = require("fs");
        const options = {{ host: "127.0.0.1", port: {}, ca: fs.readFileSync("soft.crt"), path: "/",
                           cert: fs.readFileSync("key.crt"), key: fs.readFileSync("key.pem"),
                           checkServerIdentity: () => undefined }};
        https.get(options, (response) => {{ console.log(response.statusCode); response.resume(); }});
        "#,
        server.port
    );
    assert_eq!(node::run(&openssl, &script).ok().out(), "200\n");
    tpm.assert_clean();
}
