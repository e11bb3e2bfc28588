//! In the place of the standard library's.

use std::ops::{Add, Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::AtomicBool as Flag;
pub use std::sync::{LockResult, PoisonError};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
pub use shuttle::sync::atomic::{AtomicBool, Ordering};

use crate::environment;
use crate::invariants;

/// The invariants are looked at whenever one is locked.
#[derive(Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

pub struct MutexGuard<'a, T> {
    guard: shuttle::sync::MutexGuard<'a, T>,
    mutex: &'a Mutex<T>,
}

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    /// # Errors
    ///
    /// As the standard library's.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let mutex = self;
        let locked = match self.0.lock() {
            Ok(guard) => Ok(MutexGuard { guard, mutex }),
            Err(poisoned) => {
                let guard = poisoned.into_inner();
                Err(PoisonError::new(MutexGuard { guard, mutex }))
            }
        };
        invariants::look();
        locked
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// A condition variable whose waits end when their time has come: shuttle's own never do. Nobody is woken
/// without a reason, and whoever is notified is any of those who wait.
#[derive(Default)]
pub struct Condvar {
    /// Those that wait and have not been notified. Never locked across a switch.
    waiting: std::sync::Mutex<Vec<Arc<Flag>>>,
}

pub struct WaitTimeoutResult;

impl Condvar {
    /// # Errors
    ///
    /// As the standard library's.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(guard, None)
    }

    /// # Errors
    ///
    /// As the standard library's.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        left: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let moment = environment::now() + left;
        let stays = !environment::will_come(moment);
        if stays {
            invariants::sits_down();
        }
        let guard = self.wait_until(guard, Some(moment));
        if stays {
            invariants::gets_up();
        }
        match guard {
            Ok(guard) => Ok((guard, WaitTimeoutResult)),
            Err(poisoned) => {
                let guard = poisoned.into_inner();
                Err(PoisonError::new((guard, WaitTimeoutResult)))
            }
        }
    }

    fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        moment: Option<Duration>,
    ) -> LockResult<MutexGuard<'a, T>> {
        let notified = Arc::new(Flag::new(false));
        self.waiting.lock().unwrap().push(Arc::clone(&notified));
        let mutex = guard.mutex;
        drop(guard);
        let flag = Arc::clone(&notified);
        environment::wait_until(moment, move |_| flag.load(Ordering::Relaxed));
        let guard = mutex.lock();
        let mut waiting = self.waiting.lock().unwrap();
        waiting.retain(|other| !Arc::ptr_eq(other, &notified));
        drop(waiting);
        guard
    }

    pub fn notify_one(&self) {
        environment::meanwhile();
        let mut waiting = self.waiting.lock().unwrap();
        if waiting.is_empty() {
            return;
        }
        let chosen = thread_rng().gen_range(0..waiting.len());
        let notified = waiting.swap_remove(chosen);
        drop(waiting);
        notified.store(true, Ordering::Relaxed);
        environment::wake();
    }

    pub fn notify_all(&self) {
        environment::meanwhile();
        for notified in std::mem::take(&mut *self.waiting.lock().unwrap()) {
            notified.store(true, Ordering::Relaxed);
        }
        environment::wake();
    }
}

/// A moment of the model's time, since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    pub fn now() -> Self {
        Self(environment::now())
    }

    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub fn elapsed(&self) -> Duration {
        Self::now().saturating_duration_since(*self)
    }

    pub(crate) fn since_beginning(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}
