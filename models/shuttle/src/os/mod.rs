#[allow(dead_code, reason = "only what is modelled is used")]
#[path = "../../../../crates/tss/src/os/fork_safe.rs"]
pub(crate) mod fork_safe;
#[allow(dead_code, reason = "only what is modelled is used")]
#[path = "../../../../crates/tss/src/os/monitor.rs"]
pub(crate) mod monitor;
pub(crate) mod notify;
pub(crate) mod poll;
pub mod sync;
pub(crate) mod task;

pub use poll::deadline_in;
pub use task::sleep;
