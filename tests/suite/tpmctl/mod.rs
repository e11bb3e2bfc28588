//! The companion command: what it says, what it makes, what it leaves behind.

mod commands;
mod doctor;
mod import;
mod keys;
mod lockout;
mod manners;
mod owner;
mod passwd;
mod policy;
mod seal;
mod sealed_file;
mod typed;
