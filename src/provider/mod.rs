//! The OpenSSL door.
