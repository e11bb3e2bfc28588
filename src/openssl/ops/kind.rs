//! Key types of OpenSSL as Rust types.
#![forbid(unsafe_code)]

use keys::KeyType;

/// A key type of OpenSSL, for what is written once for all of them.
pub(super) trait Kind: 'static {
    /// Which one.
    const TYPE: KeyType;
}
