//! Lets the program and the tests of this package find libtorch when they run; `torch-ffi/build.rs` says why and how.

use std::env;

fn main() {
    let rpath = env::var("DEP_MODEL_RPATH")
        .expect("this package depends on `model`, which names the run-time path");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg={rpath}");
}
