//! Signs a file with a key in a TPM, and verifies the signature with the public half alone.
//!
//!     OPENSSL_CONF=/path/to/openssl.cnf sign KEY FILE SIGNATURE
//!
//! With the crate `openssl`, linked with OpenSSL 3 (the system's; one that the crate builds works too where openssl.cnf names the
//! module by its path). A key in a TPM is a key like any other: nothing here knows of it.

use std::fs;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::{Signer, Verifier};

fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let [key, file, signature] = &names[..] else {
        eprintln!("usage: sign KEY FILE SIGNATURE");
        std::process::exit(2);
    };
    if let Err(error) = sign(key, file, signature) {
        // An `ErrorStack` has what the provider says: the reason, the TPM, and what to do.
        eprintln!("sign: {error}");
        std::process::exit(1);
    }
}

/// Signs `file` with the key in the file `key`.
pub fn sign(key: &str, file: &str, signature: &str) -> Result<(), Box<dyn std::error::Error>> {
    let data = fs::read(file)?;
    // Asks for a PIN at the terminal where there is one; `private_key_from_pem_callback` lets the program give it.
    let key = PKey::private_key_from_pem(&fs::read(key)?)?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
    let made = signer.sign_oneshot_to_vec(&data)?;

    let public = PKey::public_key_from_pem(&key.public_key_to_pem()?)?;
    let mut verifier = Verifier::new(MessageDigest::sha256(), &public)?;
    if !verifier.verify_oneshot(&made, &data)? {
        return Err("the signature is not verified".into());
    }
    Ok(fs::write(signature, made)?)
}
