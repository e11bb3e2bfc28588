//! Version information of the command.

#[path = "../../build/version.rs"]
mod version;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../../build/version.rs");
    version::version("../..");
}
