//! Tests of unpadding.
