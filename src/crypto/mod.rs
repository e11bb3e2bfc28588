//! Software cryptography on public data.
