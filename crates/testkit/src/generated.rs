//! Parts of documents that are made from what the tests say.

use crate::tools::root;
use std::fs;
use std::sync::{Mutex, PoisonError};

/// Compares parts of a page, each between its marks `<!-- NAME: begin -->` and `<!-- NAME: end -->`, with what the tests say;
/// `TPM_MATRIX=write` in the environment writes them.
pub fn compare(page: &str, parts: &[(String, String)]) {
    // Several tests write to one page.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let path = root().join(page);
    let text = fs::read_to_string(&path).expect(page);
    let mut wanted = text.clone();
    for (name, part) in parts {
        let (begin, end) = (
            format!("<!-- {name}: begin -->\n"),
            format!("<!-- {name}: end -->"),
        );
        let (before, rest) = wanted
            .split_once(&begin)
            .unwrap_or_else(|| panic!("{page} has no {begin}"));
        let (_, after) = rest
            .split_once(&end)
            .unwrap_or_else(|| panic!("{page} has no {end}"));
        wanted = format!("{before}{begin}{part}\n{end}{after}");
    }
    if std::env::var_os("TPM_MATRIX").is_some_and(|what| what == "write") {
        fs::write(&path, wanted).expect("written");
    } else {
        assert!(
            text == wanted,
            "{page} is not what the tests say (TPM_MATRIX=write cargo test matrix). Expected:\n{wanted}"
        );
    }
}
