//! Keys and what is done with them: every kind of key, padding, file and URI, our own and other tools', with secrets and
//! without. An OpenSSL without us judges the results.

mod blocks;
mod certificates;
mod coming;
mod curves_by_name;
mod ec;
mod ec_curves;
mod ec_keys;
mod encoders;
mod field_files;
mod fixed_digest;
mod flags;
mod foreign_text;
mod handles;
mod interop;
mod messages;
mod objects;
mod order;
mod other_keys;
mod pkeyutl;
mod policies;
mod rejection;
mod rsa_pss;
mod secrets;
mod stand_ins;
