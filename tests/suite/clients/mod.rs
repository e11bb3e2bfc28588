//! The programs that use us: a table of servers and clients with a test for each row, what they make of a key with a PIN,
//! and programs that read our keys with code of their own.

mod apache;
mod curl;
mod debian;
mod eap;
mod haproxy;
mod lighttpd;
mod mosquitto;
mod nginx;
mod node;
mod openconnect;
mod openssl;
mod openvpn;
mod pin_clients;
mod pin_servers;
mod pins;
mod postgres;
mod python;
mod reasons;
mod ruby;
mod scripts;
mod stunnel;
pub(crate) mod table;
