//! Memory that a process shares with those it forks, and nobody else.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU32;

/// How much is mapped: the kernel gives whole pages.
const SIZE: usize = 4096;

/// A number, 0 at first, that this process and all that are forked from it see and change together: an anonymous
/// mapping, which has no name and no descriptor, and is gone when the last of them has dropped it or ended.
pub struct SharedWord(NonNull<AtomicU32>);

// SAFETY: the mapping belongs to this value and may be unmapped by any thread.
unsafe impl Send for SharedWord {}
// SAFETY: through a shared reference there is nothing but the atomic number.
unsafe impl Sync for SharedWord {}

impl SharedWord {
    /// Maps one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: a new anonymous mapping at an address that the kernel chooses: no memory of others is touched.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(address.cast())
            .map(Self)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
    }

    /// The number.
    pub fn number(&self) -> &AtomicU32 {
        // SAFETY: the mapping is a page, so aligned and large enough, zeroed by the kernel, which is a valid number,
        // and stays until `drop`, which needs `self` alone. Other processes reach it by atomic operations only.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for SharedWord {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this, in this process or in one that it was forked from, and nobody borrows
        // from what is being dropped. Mappings of other processes stay.
        unsafe { libc::munmap(self.0.as_ptr().cast(), SIZE) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use super::super::process::is_gone;
    use super::*;

    /// Forks; the child's exit code is what `child` returns.
    fn forked(child: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the child uses memory of its own and the word, and leaves with `_exit`.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let code = child();
            // SAFETY: ends the process, without handlers.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: the status is writable, and the child is ours.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        assert!(libc::WIFEXITED(status));
        assert!(is_gone(u32::try_from(pid).unwrap()));
        libc::WEXITSTATUS(status)
    }

    #[test]
    fn parent_and_child_see_one_number() {
        let word = SharedWord::new().unwrap();
        assert_eq!(word.number().load(SeqCst), 0);
        word.number().store(7, SeqCst);
        let seen = forked(|| {
            let seen = word.number().swap(8, SeqCst);
            i32::try_from(seen).unwrap_or(-1)
        });
        assert_eq!(seen, 7);
        assert_eq!(word.number().load(SeqCst), 8);
    }

    #[test]
    fn a_child_that_gives_it_up_leaves_the_parents() {
        let word = SharedWord::new().unwrap();
        let mut slot = Some(word);
        assert_eq!(
            forked(|| {
                drop(slot.take());
                0
            }),
            0
        );
        let word = slot.unwrap();
        word.number().store(1, SeqCst);
        assert_eq!(word.number().load(SeqCst), 1);
    }
}
