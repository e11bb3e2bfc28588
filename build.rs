//! Version information and link arguments of the module.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
}
