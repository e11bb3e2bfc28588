//! Dispatch and algorithm tables as statics.

use std::ffi::CStr;
use std::ptr;

use crate::openssl::abi::{OSSL_ALGORITHM, OSSL_DISPATCH};

/// A table that OpenSSL reads from any thread: a static array of plain pointers to statics.
#[repr(transparent)]
pub(crate) struct Table<T, const N: usize>(pub(crate) [T; N]);

// SAFETY: the tables are immutable, and every pointer in them is to a `'static` string, table or
// function, so that reading them from several threads at once is reading constants.
unsafe impl<T, const N: usize> Sync for Table<T, N> {}

impl<T, const N: usize> Table<T, N> {
    /// What C wants: the address of the first element.
    pub(crate) const fn as_ptr(&self) -> *const T {
        self.0.as_ptr()
    }

    /// The first element, by which C reaches the rest.
    pub(crate) const fn first(&self) -> &T {
        &self.0[0]
    }
}

impl<const N: usize> Table<OSSL_DISPATCH, N> {
    /// These entries and then those of `more`, with one end. The length of the whole is the caller's to say;
    /// a wrong one does not compile, since the tables are statics.
    pub(super) const fn followed_by<const M: usize, const WHOLE: usize>(
        self,
        more: Table<OSSL_DISPATCH, M>,
    ) -> Table<OSSL_DISPATCH, WHOLE> {
        assert!(
            N - 1 + M == WHOLE,
            "the table's length is that of its parts"
        );
        let mut whole = [self.0[N - 1]; WHOLE];
        let mut at = 0;
        while at < WHOLE {
            whole[at] = if at < N - 1 {
                self.0[at]
            } else {
                more.0[at + 1 - N]
            };
            at += 1;
        }
        Table(whole)
    }
}

/// One algorithm of an operation.
pub(crate) const fn algorithm(
    names: &'static CStr,
    properties: &'static CStr,
    implementation: *const OSSL_DISPATCH,
    description: &'static CStr,
) -> OSSL_ALGORITHM {
    OSSL_ALGORITHM {
        algorithm_names: names.as_ptr(),
        property_definition: properties.as_ptr(),
        implementation,
        algorithm_description: description.as_ptr(),
    }
}

/// The entry that ends an algorithm table.
pub(crate) const END: OSSL_ALGORITHM = OSSL_ALGORITHM {
    algorithm_names: ptr::null(),
    property_definition: ptr::null(),
    implementation: ptr::null(),
    algorithm_description: ptr::null(),
};

/// The algorithms of one operation, ended by [`END`].
pub(crate) type Algorithms<const N: usize> = Table<OSSL_ALGORITHM, N>;

/// Builds a dispatch table: `dispatch![ID: function as type, ...]`.
///
/// The declared type makes the compiler compare the function with the signature that OpenSSL
/// documents for the identifier, before it is stored without one.
macro_rules! dispatch {
    ($($id:ident: $function:expr => fn($($arg:ty),* $(,)?) $(-> $ret:ty)?),* $(,)?) => {
        $crate::openssl::entry::Table([
            $($crate::openssl::abi::OSSL_DISPATCH {
                function_id: $crate::openssl::abi::$id,
                function: {
                    let typed: unsafe extern "C" fn($($arg),*) $(-> $ret)? = $function;
                    // SAFETY: function pointers have one size; OpenSSL casts it back to the type
                    // that the identifier stands for, which is the one checked just above.
                    Some(unsafe {
                        core::mem::transmute::<
                            unsafe extern "C" fn($($arg),*) $(-> $ret)?,
                            $crate::openssl::abi::Function,
                        >(typed)
                    })
                },
            },)*
            $crate::openssl::abi::OSSL_DISPATCH { function_id: 0, function: None },
        ])
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_joined_with_one_end() {
        const fn table<const N: usize>(ids: [i32; N]) -> Table<OSSL_DISPATCH, N> {
            let none = OSSL_DISPATCH {
                function_id: 0,
                function: None,
            };
            let mut table = [none; N];
            let mut at = 0;
            while at < N {
                table[at].function_id = ids[at];
                at += 1;
            }
            Table(table)
        }
        static WHOLE: Table<OSSL_DISPATCH, 6> = table([1, 2, 3, 0]).followed_by(table([7, 5, 0]));
        static ENDS: Table<OSSL_DISPATCH, 1> = table([0]).followed_by(table([0]));
        assert_eq!(WHOLE.0.map(|entry| entry.function_id), [1, 2, 3, 7, 5, 0]);
        assert_eq!(ENDS.0.map(|entry| entry.function_id), [0]);
    }
}
