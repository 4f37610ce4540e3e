//! Lets the tests of this package find libtorch when they run, and hands the same on to the packages above; `torch-ffi/build.rs`
//! says why and how.

use std::env;

fn main() {
    let rpath = env::var("DEP_TORCH_FFI_RPATH")
        .expect("this package depends on `torch-ffi`, which names the run-time path");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::metadata=RPATH={rpath}");
    println!("cargo::rustc-link-arg={rpath}");
}
