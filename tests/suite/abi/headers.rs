//! The checked-in ABI against the installed headers.
//!
//! `OPENSSL_INCLUDE_DIR` selects the headers of another version.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::mem::{offset_of, size_of};
use testkit::cc;
use testkit::scratch::Scratch;
use testkit::tools::root;
use tpm_provider::openssl::abi::{OSSL_ALGORITHM, OSSL_DISPATCH, OSSL_ITEM, OSSL_PARAM};

/// One `pub const NAME: TYPE = VALUE;` line.
#[derive(Debug, PartialEq, Eq)]
struct Id {
    name: String,
    value: i64,
    /// The version that brought it, when 3.0 does not have it: a comment `// since 3.2`.
    since: Option<(u32, u32)>,
}

#[test]
fn identifiers_are_the_headers() {
    let path = root().join("src/openssl/abi/ids.rs");
    let ids = parse(&fs::read_to_string(&path).expect("src/openssl/abi/ids.rs"));
    assert!(ids.len() > 100, "only {} identifiers in ids.rs", ids.len());
    let header = header(&ids);
    let version = header.version;
    let mut wrong = String::new();
    for Id { name, value, since } in &ids {
        match (header.values.get(name), since) {
            (Some(theirs), _) if theirs == value => {}
            (Some(theirs), _) => {
                let _ = writeln!(wrong, "{name} is {theirs}, not {value}");
            }
            (None, Some(since)) if *since > version => {}
            (None, Some(since)) => {
                let _ = writeln!(wrong, "{name} is not there, though marked since {since:?}");
            }
            (None, None) => {
                let _ = writeln!(wrong, "{name} is not there; is it newer (// since 3.x)?");
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "against OpenSSL {}.{}:\n{wrong}",
        version.0,
        version.1
    );
}

/// An identifier without its function type would be a misspelt or misread one; newer ones are looked for in headers
/// that are new enough.
#[test]
fn every_function_identifier_has_its_type() {
    let text = fs::read_to_string(root().join("src/openssl/abi/ids.rs")).expect("ids.rs");
    let core = fs::read_to_string(cc::include().join("openssl/core_dispatch.h")).expect("header");
    // OSSL_CORE_MAKE_FUNC(int, core_get_params, (...)): the second argument, over line breaks.
    let words: Vec<&str> = core
        .split("OSSL_CORE_MAKE_FUNC(")
        .skip(2)
        .filter_map(|call| Some(call.split(',').nth(1)?.trim()))
        .collect();
    assert!(words.len() > 200, "{words:?}");
    let functions: Vec<String> = words.iter().map(|w| w.to_uppercase()).collect();
    let version = header(&[]).version;
    let missing: Vec<_> = parse(&text)
        .into_iter()
        .filter(|id| id.since.is_none_or(|since| since <= version))
        .filter_map(|id| Some(id.name.strip_prefix("OSSL_FUNC_")?.to_uppercase()))
        .filter(|name| !functions.contains(name))
        .collect();
    assert!(
        missing.is_empty(),
        "no OSSL_FUNC_..._fn in the header for {missing:?}"
    );
}

#[test]
fn structures_have_c_s_layout() {
    let mut rust = String::new();
    macro_rules! layout {
        ($($type:ident { $($field:ident),* })*) => {$(
            let _ = writeln!(rust, "{} {}", stringify!($type), size_of::<$type>());
            $(let _ = writeln!(
                rust,
                "{}.{} {}, {} bytes",
                stringify!($type),
                stringify!($field),
                offset_of!($type, $field),
                field_size(|s: &$type| &s.$field)
            );)*
        )*};
    }
    layout! {
        OSSL_DISPATCH { function_id, function }
        OSSL_ALGORITHM {
            algorithm_names, property_definition, implementation, algorithm_description
        }
        OSSL_ITEM { id, ptr }
        OSSL_PARAM { key, data_type, data, data_size, return_size }
    }
    let dir = Scratch::new();
    let program = cc::compile(&dir, "layout", "");
    let c = testkit::process::Run::new(program).ok().out();
    assert_eq!(rust, c);
}

/// The size of what a field accessor returns; it is never called.
fn field_size<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

#[test]
fn lines_of_ids_are_understood() {
    let ids = parse(
        "use std::ffi::c_int;\n\
         pub const OSSL_OP_STORE: c_int = 22;\n\
         // since 3.4\n\
         pub const OSSL_FUNC_A: c_int = 0x1A;\n\
         pub const OSSL_FUNC_B: c_int = 27;\n\
         \n\
         pub const OSSL_FUNC_C: c_int = 1_024; // since 3.2\n",
    );
    let id = |name: &str, value, since| Id {
        name: name.to_owned(),
        value,
        since,
    };
    let wanted = [
        id("OSSL_OP_STORE", 22, None),
        id("OSSL_FUNC_A", 26, Some((3, 4))),
        id("OSSL_FUNC_B", 27, Some((3, 4))),
        id("OSSL_FUNC_C", 1024, Some((3, 2))),
    ];
    assert_eq!(ids, wanted);
}

/// Reads the constants. A comment line `// since 3.4` holds up to the next empty line, one at a line's end
/// for that line.
fn parse(text: &str) -> Vec<Id> {
    let mut section = None;
    let mut ids = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() {
            section = None;
        } else if line.starts_with("//") {
            section = since(line).or(section);
        } else if let Some((name, rest)) = line
            .strip_prefix("pub const ")
            .and_then(|l| l.split_once(':'))
        {
            let (value, comment) = rest
                .split_once('=')
                .and_then(|(_, v)| v.split_once(';'))
                .unwrap_or_else(|| panic!("not one constant on a line: {line}"));
            ids.push(Id {
                name: name.trim().to_owned(),
                value: number(value.trim()),
                since: since(comment).or(section),
            });
        }
    }
    ids
}

fn number(text: &str) -> i64 {
    let text = text.replace('_', "");
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn since(comment: &str) -> Option<(u32, u32)> {
    let version = comment.split_once("since ")?.1;
    let (major, rest) = version.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

struct Header {
    version: (u32, u32),
    values: BTreeMap<String, i64>,
}

/// The headers' values of these identifiers, as the C compiler sees them.
fn header(ids: &[Id]) -> Header {
    let mut text = String::from(
        "#include <stdio.h>\n#include <openssl/opensslv.h>\n#include <openssl/core_dispatch.h>\n\
         #include <openssl/core_names.h>\n#include <openssl/core_object.h>\n\
         #include <openssl/params.h>\n#include <openssl/evp.h>\nint main(void) {\n\
         printf(\"%d %d\\n\", OPENSSL_VERSION_MAJOR, OPENSSL_VERSION_MINOR);\n",
    );
    for Id { name, .. } in ids {
        let print = format!("printf(\"{name} %lld\\n\", (long long)({name}));");
        let _ = writeln!(text, "#ifdef {name}\n{print}\n#endif");
    }
    text.push_str("return 0; }\n");
    let dir = Scratch::new();
    let program = cc::compile_text(&dir, "ids", &text, "");
    let out = testkit::process::Run::new(program).ok().out();
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ').expect("two words");
        (name.to_owned(), value.parse::<i64>().expect("a number"))
    };
    let mut pairs = out.lines().map(pair);
    let (major, minor) = pairs.next().expect("the version");
    Header {
        version: (
            major.parse().expect("a number"),
            u32::try_from(minor).expect("a number"),
        ),
        values: pairs.collect(),
    }
}
