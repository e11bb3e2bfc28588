//! The module as foreign code meets it: the numbers and types of OpenSSL's provider ABI, what the dynamic linker sees,
//! what newer versions of OpenSSL ask for, and calls with arguments that nobody should pass.

mod bad_input;
mod headers;
mod module;
mod newer;
