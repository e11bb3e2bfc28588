//! Stepping aside: other providers' algorithms are registered before ours, in whatever order
//! openssl.cnf lists the providers.
//!
//! OpenSSL gives an algorithm that nobody narrows down by a property query to the provider that
//! registered it first. Listed first, we would be handed software key generation, imports of public
//! keys and verification for everybody, and refusing import would break them. So at the first query
//! of an operation the host is made to fetch it once more; that nested query gets nothing from us,
//! the others register, and only then does our table go out. Our keys are not affected: OpenSSL
//! looks for their operations in their own provider.
#![allow(clippy::disallowed_types, reason = "in a PerProcess")]
#![forbid(unsafe_code)]

use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use tss::os::{AppendOnly, PerProcess};

use super::abi::OSSL_ALGORITHM;

/// What OpenSSL gets to hear.
pub(crate) enum Answer {
    /// The algorithms of the operation.
    Table(&'static OSSL_ALGORITHM),
    /// The algorithms for this query alone: ask again next time.
    TableOnce(&'static OSSL_ALGORITHM),
    /// There are none, now or later.
    Nothing,
    /// None for now: ask again.
    NothingYet,
}

/// Which operations the others have registered, and who is having them registered.
#[derive(Default)]
pub(crate) struct FetchOrder {
    settled: AppendOnly<c_int>,
    /// Queries under way. Per thread, so that a second thread's first query is not taken for a nested one;
    /// per process, since a child has not the threads that began them.
    aside: PerProcess<Mutex<Vec<(c_int, ThreadId)>>>,
}

impl FetchOrder {
    /// Answers a query of an operation of which others may have the very same algorithms, which then come before
    /// `table`'s in whatever order the providers were loaded. `others` tells whether they have, as far as the host
    /// lets itself be asked. Where they have not, nothing is registered: one may be loaded yet.
    pub(crate) fn stand_in(
        &self,
        operation: c_int,
        others: impl FnOnce() -> Option<bool>,
        table: &'static OSSL_ALGORITHM,
    ) -> Answer {
        match self.aside_during(operation, others) {
            Ok(None) => Answer::NothingYet,
            Ok(Some(true)) => {
                self.settle(operation);
                Answer::Table(table)
            }
            // The very name that is asked for may be ours alone.
            Ok(Some(false)) => Answer::TableOnce(table),
            Err(Known::Settled) => Answer::Table(table),
            Err(Known::Nested) => Answer::NothingYet,
        }
    }

    /// Answers a query of `operation` with `table`, after `fetch` has had the others register.
    /// `fetch` returns whether it could; if not, the order in openssl.cnf stands.
    pub(crate) fn yield_first(
        &self,
        operation: c_int,
        fetch: impl FnOnce() -> bool,
        table: &'static OSSL_ALGORITHM,
    ) -> Answer {
        match self.aside_during(operation, fetch) {
            Ok(yielded) => {
                self.settle(operation);
                if !yielded {
                    log::debug!(
                        "operation {operation}: the host lets nobody fetch; its order stands"
                    );
                }
                Answer::Table(table)
            }
            Err(Known::Settled) => Answer::Table(table),
            Err(Known::Nested) => Answer::NothingYet,
        }
    }

    /// Does `work`, during which queries of `operation` by this thread are nested ones, unless it is settled or this
    /// is one itself.
    fn aside_during<T>(&self, operation: c_int, work: impl FnOnce() -> T) -> Result<T, Known> {
        let me = (operation, thread::current().id());
        if self.settled.iter().any(|settled| *settled == operation) {
            return Err(Known::Settled);
        }
        {
            let mut aside = self.aside();
            if aside.contains(&me) {
                return Err(Known::Nested);
            }
            aside.push(me);
        }
        // Without the lock: the nested query comes back to this very function.
        let result = work();
        self.aside().retain(|entry| *entry != me);
        Ok(result)
    }

    fn settle(&self, operation: c_int) {
        self.settled
            .find_or_add(|settled| *settled == operation, || operation);
    }

    fn aside(&self) -> MutexGuard<'_, Vec<(c_int, ThreadId)>> {
        let aside = self.aside.get(Mutex::default);
        aside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What there is to know of a query without doing anything.
enum Known {
    /// The others have registered.
    Settled,
    /// It is a nested one.
    Nested,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openssl::ops;

    const OPERATION: c_int = crate::openssl::abi::OSSL_OP_KEYMGMT;

    #[test]
    fn the_nested_query_gets_nothing_and_every_other_one_the_table() {
        let precedence = FetchOrder::default();
        let table = ops::algorithms(OPERATION, None).unwrap();
        let mut nested = false;
        let answer = precedence.yield_first(
            OPERATION,
            || {
                let inner = precedence.yield_first(OPERATION, || panic!("nested twice"), table);
                nested = matches!(inner, Answer::NothingYet);
                // Another thread's query at this moment is no nested one.
                let other = thread::scope(|scope| {
                    let query = || {
                        let table = ops::algorithms(OPERATION, None).unwrap();
                        let answer = precedence.yield_first(OPERATION, || true, table);
                        matches!(answer, Answer::Table(_))
                    };
                    scope.spawn(query).join().unwrap()
                });
                nested && other
            },
            table,
        );
        assert!(nested);
        assert!(matches!(answer, Answer::Table(_)));
        let later = precedence.yield_first(OPERATION, || panic!("fetched twice"), table);
        assert!(matches!(later, Answer::Table(_)));
    }

    #[test]
    fn a_stand_in_is_registered_behind_others_only() {
        const DIGEST: c_int = crate::openssl::abi::OSSL_OP_DIGEST;
        let order = FetchOrder::default();
        let table = ops::algorithms(DIGEST, None).unwrap();
        let unknown = order.stand_in(DIGEST, || None, table);
        assert!(matches!(unknown, Answer::NothingYet));
        // Nobody else has any, again and again.
        for _ in 0..2 {
            let mut nested = false;
            let alone = order.stand_in(
                DIGEST,
                || {
                    let inner = order.stand_in(DIGEST, || panic!("nested twice"), table);
                    nested = matches!(inner, Answer::NothingYet);
                    Some(false)
                },
                table,
            );
            assert!(nested && matches!(alone, Answer::TableOnce(_)));
        }
        // One that was loaded since.
        let behind = order.stand_in(DIGEST, || Some(true), table);
        assert!(matches!(behind, Answer::Table(_)));
        let later = order.stand_in(DIGEST, || panic!("asked for again"), table);
        assert!(matches!(later, Answer::Table(_)));
    }
}
