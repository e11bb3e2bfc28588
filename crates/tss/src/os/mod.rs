//! What a library in somebody else's process must do itself: state that survives a fork, descriptors that the host may
//! close, waits that a job can be paused in, and the system calls for it.
//!
//! All unsafe code of this crate is in here, and all locks: a fork in another thread may leave a lock taken for ever in
//! the child, so that each is of one process ([`PerProcess`]).

pub(crate) mod atfork;
pub(crate) mod dir_handle;
pub(crate) mod file;
pub(crate) mod fork_safe;
pub(crate) mod guarded_fd;
pub(crate) mod inherited;
pub mod keyring;
pub(crate) mod libtpms;
pub(crate) mod living;
pub(crate) mod monitor;
pub(crate) mod mounts;
pub(crate) mod notify;
pub(crate) mod poll;
pub(crate) mod process;
pub(crate) mod record_lock;
pub(crate) mod shadow_stack;
pub(crate) mod shared_word;
pub(crate) mod socket;
pub(crate) mod sync;
pub(crate) mod task;

pub use atfork::watch_forks;
pub use dir_handle::Hold;
pub use file::takes_files;
pub use fork_safe::{AppendOnly, PerProcess};
pub use inherited::Inherited;
pub use living::Living;
pub use monitor::Slot;
pub use process::{effective_user, is_gone};
pub use shadow_stack::is_active as has_shadow_stack;
pub use shared_word::SharedWord;
pub use task::sleep;
