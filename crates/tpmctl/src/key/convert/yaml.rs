//! Flat documents in YAML, as tpm2-pkcs11 keeps attributes: a mapping of scalars, some of which are lists.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};

/// The longest document: real ones have a few thousand bytes.
const LONGEST: usize = 1 << 18;

/// The scalars of a document by their names, each as it is written, whatever its tag; lists are left out.
///
/// # Errors
///
/// What is no such document: deeper ones, and those with aliases, among them.
pub(super) fn scalars(text: &str) -> Result<BTreeMap<String, String>, String> {
    if text.len() > LONGEST {
        return Err(format!("{} bytes of YAML", text.len()));
    }
    let mut scalars = BTreeMap::new();
    let mut parser = Parser::new_from_str(text);
    let mut next = || match parser.next_event() {
        Some(Ok((event, _))) => Ok(event),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("the end of the YAML".to_owned()),
    };
    loop {
        match next()? {
            Event::StreamStart | Event::DocumentStart(_) => {}
            Event::MappingStart(..) => break,
            other => return Err(format!("no mapping: {other:?}")),
        }
    }
    loop {
        let name = match next()? {
            Event::Scalar(name, ..) => name.into_owned(),
            Event::MappingEnd => break,
            other => return Err(format!("no name: {other:?}")),
        };
        match next()? {
            Event::Scalar(value, ..) => {
                if scalars.insert(name.clone(), value.into_owned()).is_some() {
                    return Err(format!("two values for {name}"));
                }
            }
            Event::SequenceStart(..) => loop {
                match next()? {
                    Event::Scalar(..) => {}
                    Event::SequenceEnd => break,
                    other => return Err(format!("in the list {name}: {other:?}")),
                }
            },
            other => return Err(format!("for {name}: {other:?}")),
        }
    }
    Ok(scalars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_are_read() {
        let by_the_tool = "---\n!!map {\n  ? !!int \"0\"\n  : !!int \"3\",\n  ? !!str \"transient\"\n  : !!bool \"false\",\n  \
                           ? !!int \"9\"\n  : !!seq [ !!int \"1\", ],\n}\n";
        let by_the_library = "---\n0: 3\ntransient: false\n9:\n- 1\n- 2\n";
        for text in [by_the_tool, by_the_library] {
            let read = scalars(text).unwrap();
            assert_eq!((&*read["0"], &*read["transient"]), ("3", "false"));
            assert_eq!(read.len(), 2);
        }
        assert!(scalars("{}").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_flat_is_refused() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "7",
            "- 1",
            "a: {b: c}",
            "a: [[1]]",
            "a: &x 1\nb: *x",
            "a: 1\na: 2",
            "{a: 1",
            &deep,
            &format!("a: {deep}"),
            &"x".repeat(LONGEST + 1),
        ] {
            assert!(scalars(text).is_err(), "{:.40}", text);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = scalars(&text);
        }
    }
}
