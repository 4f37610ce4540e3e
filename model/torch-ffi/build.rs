//! Compiles the bridge against the libtorch that torch-sys bound, and tells the linker where a program finds that libtorch when
//! it runs.
//!
//! torch-sys alone decides which libtorch is bound (`LIBTORCH`, `LIBTORCH_LIB`, `LIBTORCH_USE_PYTORCH` or the system's)
//! and names its folder to us; a link argument, however, reaches only the programs of the package that prints it.
//! So each package whose programs or tests contain this crate has a build script that repeats ours: `DEP_TORCH_FFI_RPATH`.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let libraries: PathBuf = env::var_os("DEP_TCH_LIBTORCH_LIB")
        .expect("torch-sys names the folder it links against")
        .into();
    compile(&libraries);
    let folder = libraries.display();
    let rpath = match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        // The older DT_RPATH also serves what libtorch itself needs and what is loaded later by name.
        Ok("linux") => format!("-Wl,--disable-new-dtags,-rpath,{folder}"),
        _ => format!("-Wl,-rpath,{folder}"),
    };
    println!("cargo::metadata=RPATH={rpath}");
    println!("cargo::rustc-link-arg={rpath}");
}

fn compile(libraries: &Path) {
    let bridge = "src/bridge.cpp";
    println!("cargo::rerun-if-changed={bridge}");
    let with_pytorch = variable("LIBTORCH_USE_PYTORCH").is_some();
    let headers = headers(libraries, with_pytorch);
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .std("c++17")
        .includes([
            headers.join("include"),
            headers.join("include/torch/csrc/api/include"),
        ])
        // The headers are not ours to mend.
        .warnings(false)
        .define("_GLIBCXX_USE_CXX11_ABI", &*string_abi(with_pytorch))
        .define("GLOG_USE_GLOG_EXPORT", None)
        .file(bridge)
        .compile("torch_ffi");
}

/// The folder whose `include` holds the headers, found as torch-sys finds it. PyTorch keeps them beside its libraries.
fn headers(libraries: &Path, with_pytorch: bool) -> PathBuf {
    let named = ["LIBTORCH_INCLUDE", "LIBTORCH"]
        .into_iter()
        .filter(|_| !with_pytorch)
        .find_map(variable);
    let beside = || libraries.parent().map(Path::to_owned).unwrap_or_default();
    named.map_or_else(beside, PathBuf::from)
}

/// Which of the two forms of `std::string` libtorch was compiled with.
fn string_abi(with_pytorch: bool) -> String {
    if !with_pytorch {
        return variable("LIBTORCH_CXX11_ABI").unwrap_or_else(|| "1".to_owned());
    }
    let python = match env::var_os("VIRTUAL_ENV") {
        Some(_) => "python",
        None => "python3",
    };
    let script = "import torch; print(int(torch._C._GLIBCXX_USE_CXX11_ABI))";
    let output = Command::new(python)
        .args(["-c", script])
        .output()
        .expect("torch-sys has just asked the same Python");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn variable(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok()
}
