//! Small C programs: what Rust cannot ask of OpenSSL's headers, and hosts that are not Rust.

use crate::openssl::program;
use crate::process::Run;
use crate::scratch::Scratch;
use crate::tools::{need, need_file, root};
use std::env;
use std::path::{Path, PathBuf};

/// Compiles `tests/c/NAME.c` against the installed OpenSSL; returns the program's path.
pub fn compile(dir: &Scratch, name: &str, arguments: &str) -> PathBuf {
    compile_file(
        dir,
        &root().join("tests/c").join(format!("{name}.c")),
        name,
        arguments,
    )
}

/// Compiles `tests/c/NAME.c` with the headers and the libcrypto of the openssl under test: those that lie beside it
/// where `make matrix` has built it, else the system's.
pub fn compile_with_program(dir: &Scratch, name: &str) -> PathBuf {
    let arguments = of_program(&["libcrypto.a"]).unwrap_or_else(|| "-lcrypto".to_owned());
    compile(dir, name, &arguments)
}

/// Compiles `tests/c/NAME.cpp`, with libraries as [`compile_with_program`].
pub fn compile_cpp(dir: &Scratch, name: &str) -> PathBuf {
    let program = dir.join(name);
    let arguments = of_program(&["libssl.a", "libcrypto.a"]);
    Run::new(need("c++", "g++"))
        .args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-O1", "-g"])
        .arg("-o")
        .arg(&program)
        .arg(root().join("tests/c").join(format!("{name}.cpp")))
        .words(&arguments.unwrap_or_else(|| format!("-I{} -lssl -lcrypto", include().display())))
        .ok();
    program
}

/// What links a client with the libraries of the openssl under test, and exports them where that does; none where they do
/// not lie beside it.
fn of_program(libraries: &[&str]) -> Option<String> {
    let program = program();
    let home = program.parent().and_then(Path::parent)?;
    if !home.join("libcrypto.a").is_file() {
        return None;
    }
    let paths = libraries.iter().map(|name| home.join(name));
    let paths: Vec<_> = paths.map(|path| path.display().to_string()).collect();
    let exported = program.ends_with("openssl-exported");
    let (before, after) = match exported {
        true => ("-rdynamic -Wl,--whole-archive", "-Wl,--no-whole-archive"),
        false => ("", ""),
    };
    Some(format!(
        "-I{}/include {before} {} {after} -ldl -lpthread",
        home.display(),
        paths.join(" ")
    ))
}

/// Compiles C text.
pub fn compile_text(dir: &Scratch, name: &str, text: &str, arguments: &str) -> PathBuf {
    let source = dir.write(&format!("{name}.c"), text);
    compile_file(dir, &source, name, arguments)
}

fn compile_file(dir: &Scratch, source: &Path, name: &str, arguments: &str) -> PathBuf {
    let program = dir.join(name);
    Run::new(need("cc", "gcc"))
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-g"])
        .arg(format!("-I{}", include().display()))
        .arg("-o")
        .arg(&program)
        .arg(source)
        .words(arguments)
        .ok();
    program
}

/// The directory with `openssl/core.h`: `OPENSSL_INCLUDE_DIR`, so that the headers of another version can be
/// compared, or the system's.
pub fn include() -> PathBuf {
    env::var_os("OPENSSL_INCLUDE_DIR").map_or_else(
        || {
            need_file("/usr/include/openssl/core.h", "libssl-dev");
            PathBuf::from("/usr/include")
        },
        PathBuf::from,
    )
}
