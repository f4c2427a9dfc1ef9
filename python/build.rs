//! What the linker of macOS needs to leave Python's symbols open.

fn main() {
    // Not whenever a test in Python changes.
    println!("cargo:rerun-if-changed=build.rs");
    pyo3_build_config::add_extension_module_link_args();
}
