//! TLS with a key in the TPM: what is negotiated, read from the other side, and what it costs.

mod ec_tls;
mod nginx;
mod tls12;
mod tls_keys;
mod tls_servers;
mod updates;
