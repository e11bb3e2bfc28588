//! Somebody who answers in the TPM's place: what each operation of the product lets them do.
//!
//! `the_table` goes through every operation, every attack and every setting, and compares with docs/interposer.md.

#[path = "interposer/judge.rs"]
mod judge;
#[path = "interposer/operations.rs"]
mod operations;
#[path = "interposer/table.rs"]
mod table;
#[path = "interposer/world.rs"]
mod world;

use crate::common::tools::root;
use operations::operations;
use std::fs;
use table::{Open, faults, fill, markdown};
use world::World;

/// What is open, in the words of SECURITY.md.
const OPEN: [Open; 0] = [];

#[test]
fn the_table() {
    let world = World::make();
    let operations = operations();
    let workers = std::thread::available_parallelism().map_or(2, usize::from) * 2;
    let table = fill(&world, &operations, workers);
    let text = markdown(&table, &operations, &OPEN);
    println!("{text}");
    let faults = faults(&table, &operations, &OPEN);
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
    let path = root().join("docs/interposer.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &text).expect("written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "docs/interposer.md is not what was seen: UPDATE=1 writes it anew"
    );
}
