//! The companion command: what it says, what it makes, what it leaves behind.

mod commands;
mod doctor;
mod keys;
mod manners;
mod owner;
