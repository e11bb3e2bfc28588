//! Keys as values: key files, URIs, authorization.
