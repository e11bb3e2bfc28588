//! Shadow stacks: the processor's second copy of return addresses (Intel's and AMD's CET, Arm's GCS, RISC-V's
//! Zicfiss).
//!
//! A task has a stack of its own and no shadow of it: where shadow stacks are on, the first return after a switch
//! would end the process. So tasks are not used there, and operations inside a program's job block.

use libc::c_long;

/// Whether this thread runs with a shadow stack. One system call; the kernel switches shadow stacks on per
/// thread, so it is asked each time.
pub fn is_active() -> bool {
    let mut features: u64 = 0;
    let result = ask(&mut features);
    says_active(result, features)
}

#[cfg(target_arch = "x86_64")]
fn ask(features: &mut u64) -> c_long {
    const ARCH_SHSTK_STATUS: c_long = 0x5005;
    let features: *mut u64 = features;
    // SAFETY: the call writes one u64 to where the pointer leads, which is alive and writable.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SHSTK_STATUS, features) }
}

#[cfg(not(target_arch = "x86_64"))]
fn ask(features: &mut u64) -> c_long {
    const PR_GET_SHADOW_STACK_STATUS: libc::c_int = 74;
    let features: *mut u64 = features;
    // SAFETY: the call writes one unsigned long, which is no longer than a u64, to where the pointer leads.
    c_long::from(unsafe { libc::prctl(PR_GET_SHADOW_STACK_STATUS, features, 0, 0, 0) })
}

/// The answer's first bit, `ARCH_SHSTK_SHSTK` or `PR_SHADOW_STACK_ENABLE`. Kernels without shadow stacks refuse.
fn says_active(result: c_long, features: u64) -> bool {
    result == 0 && features & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_with_the_bit_counts() {
        assert!(says_active(0, 1));
        assert!(says_active(0, 3));
        assert!(!says_active(0, 0));
        assert!(!says_active(0, 2), "writing to it is no shadow stack");
        assert!(!says_active(-1, 1));
    }

    #[test]
    fn it_is_what_the_kernel_shows() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix("x86_Thread_features:"));
        if let Some(features) = line {
            let shown = features.split_whitespace().any(|word| word == "shstk");
            assert_eq!(is_active(), shown);
        }
    }
}
