//! Keys and certificates in the directory of an [`Openssl`].

use crate::openssl::Openssl;

/// Signs [`digest`]'s SHA-256 with `key.pem`.
pub const SIGN: &str =
    "pkeyutl -sign -inkey key.pem -in sha256.bin -out sig -pkeyopt digest:sha256";

/// The digests that keys in a TPM sign: the TPM's own, and what is prepared in software.
pub const DIGESTS: [&str; 9] = [
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sha512-256",
    "sha3-256",
    "sha3-384",
    "sha3-512",
];

/// Makes an RSA key in the TPM: `NAME.pem`, `NAME.pub`. `options` are more of genpkey's arguments.
pub fn rsa(openssl: &Openssl, name: &str, bits: u32, options: &str) {
    generate(
        openssl,
        name,
        &format!("RSA -pkeyopt bits:{bits} {options}"),
    );
}

/// Makes a key in the TPM with genpkey's arguments after `-algorithm`.
pub fn generate(openssl: &Openssl, name: &str, arguments: &str) {
    openssl.ok(&format!(
        "genpkey -propquery provider=tpm -out {name}.pem -algorithm {arguments}"
    ));
    let pem = openssl.dir().read_text(&format!("{name}.pem"));
    assert!(
        pem.starts_with("-----BEGIN TSS2 PRIVATE KEY-----\n"),
        "{pem}"
    );
    openssl.ok(&format!(
        "pkey -in {name}.pem -pubout -out {name}.pub{}",
        passin(arguments)
    ));
}

/// The option that gives openssl's commands what `arguments` of genpkey have as `user-auth`.
fn passin(arguments: &str) -> String {
    let value = arguments
        .split_whitespace()
        .find_map(|word| word.strip_prefix("user-auth:"));
    match value {
        None | Some("none:") => String::new(),
        Some(file) if file.starts_with("file:") => format!(" -passin {file}"),
        Some(value) => format!(" -passin pass:{value}"),
    }
}

/// Makes a software RSA key without us: `NAME.pem`, `NAME.pub`.
pub fn software_rsa(openssl: &Openssl, name: &str, bits: u32) {
    software(
        openssl,
        name,
        &format!("RSA -pkeyopt rsa_keygen_bits:{bits}"),
    );
}

/// Makes a software EC key without us: `NAME.pem`, `NAME.pub`.
pub fn software_ec(openssl: &Openssl, name: &str, curve: &str) {
    software(
        openssl,
        name,
        &format!("EC -pkeyopt ec_paramgen_curve:{curve}"),
    );
}

fn software(openssl: &Openssl, name: &str, arguments: &str) {
    let plain = openssl.plain();
    plain.ok(&format!("genpkey -algorithm {arguments} -out {name}.pem"));
    plain.ok(&format!("pkey -in {name}.pem -pubout -out {name}.pub"));
}

/// A self-signed certificate for `NAME.pem`: `NAME.crt`.
pub fn certificate(openssl: &Openssl, name: &str) {
    openssl.ok(&format!(
        "req -x509 -key {name}.pem -out {name}.crt -subj /CN={name} -days 2 \
         -addext basicConstraints=CA:TRUE"
    ));
}

/// The digest of some bytes, as a file: `HASH.bin`, made by OpenSSL without us.
pub fn digest(openssl: &Openssl, hash: &str) -> String {
    let file = format!("{hash}.bin");
    openssl
        .plain()
        .run(&format!("dgst -{hash} -binary -out {file}"))
        .stdin("some bytes")
        .ok();
    file
}
