//! The process that we are a guest in, and the machine around it: forks, chroots, sandboxes, event loops, locks between
//! processes, what stays in memory, and a host that has an OpenSSL of its own.

mod async_jobs;
pub mod chroot;
mod forks;
mod guards;
mod guest;
mod late;
mod lifetime;
mod logs;
mod memory;
mod node;
mod systemd;
mod wiped;
