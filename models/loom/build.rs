//! The sources that are included choose the checker's types by this.
fn main() {
    println!("cargo:rustc-cfg=loom");
}
