//! Tells the linker where a program finds libtorch when it runs, and hands the same on to the crates above.
//!
//! torch-sys alone decides which libtorch is bound (`LIBTORCH`, `LIBTORCH_LIB`, `LIBTORCH_USE_PYTORCH` or the system's)
//! and names its folder to us; a link argument, however, reaches only the programs of the package that prints it.
//! So each package whose programs or tests contain this crate has a build script that repeats ours: `DEP_MODEL_RPATH`.

use std::env;

fn main() {
    let folder =
        env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys names the folder it links against");
    let rpath = match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        // The older DT_RPATH also serves what libtorch itself needs and what is loaded later by name.
        Ok("linux") => format!("-Wl,--disable-new-dtags,-rpath,{folder}"),
        _ => format!("-Wl,-rpath,{folder}"),
    };
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::metadata=RPATH={rpath}");
    println!("cargo::rustc-link-arg={rpath}");
}
