//! How results are shown: actions are values and print nothing.

pub(crate) mod key_test;
pub(crate) mod loss;
pub(crate) mod progress;
pub(crate) mod root_key;
pub(crate) mod wrap;
