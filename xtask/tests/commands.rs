//! The commands as a user meets them: messages, exit codes, and what they do on a machine that lacks something.

use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const STAND_INS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand-ins");

type Outcome = Result<(), Box<dyn Error>>;

/// xtask on a machine with a home of its own and only those programs, given as name and stand-in.
fn xtask(
    home: &Path,
    programs: &[(&str, &str)],
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> Output {
    let path = home.join("bin");
    fs::create_dir_all(&path).expect("the folder is ours");
    for (name, stand_in) in programs {
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/stand-ins")
            .join(stand_in);
        symlink(stand_in, path.join(name)).expect("the folder is empty");
    }
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("PATH", &path)
        .envs(variables.iter().copied())
        .output()
        .expect("the binary was just built")
}

fn messages(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_unknown_command_gets_the_help_and_exit_code_2() -> Outcome {
    let home = TempDir::new()?;
    for arguments in [&["simulat"] as &[&str], &[]] {
        let output = xtask(home.path(), &[], &[], arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let text = messages(&output);
        assert!(
            text.starts_with("error: ") && text.contains("simulate [-- ARGS]"),
            "{text}"
        );
    }
    let output = xtask(home.path(), &[], &[], &["help"]);
    assert!(output.status.success() && output.stdout.starts_with(b"usage: "));
    Ok(())
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn every_missing_tool_is_named_before_anything_is_fetched() -> Outcome {
    let home = TempDir::new()?;
    let output = xtask(home.path(), &[], &[], &["simulate"]);
    assert_eq!(output.status.code(), Some(1));
    let text = messages(&output);
    assert!(
        text.contains("sudo apt install python3 python3-pip")
            && text.contains("sudo apt install g++"),
        "{text}"
    );
    assert!(!home.path().join(".cache").exists());
    Ok(())
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn a_python_without_pip_is_told_from_no_python() -> Outcome {
    let home = TempDir::new()?;
    let output = xtask(
        home.path(),
        &[("python3", "python-without-pip")],
        &[],
        &["libtorch"],
    );
    assert_eq!(output.status.code(), Some(1));
    let text = messages(&output);
    assert!(
        text.contains("sudo apt install python3-pip") && !text.contains("install python3 "),
        "{text}"
    );
    assert!(
        !text.contains("g++"),
        "the fetch alone needs no compiler: {text}"
    );
    Ok(())
}

#[test]
fn a_libtorch_of_the_environment_is_taken_as_it_is() -> Outcome {
    let home = TempDir::new()?;
    let folder = home.path().join("mine");
    let name = folder
        .to_str()
        .ok_or("the temporary folder has a plain name")?;
    let output = xtask(home.path(), &[], &[("LIBTORCH", name)], &["libtorch"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        messages(&output).contains("which has no lib folder"),
        "{}",
        messages(&output)
    );

    fs::create_dir_all(folder.join("lib"))?;
    let output = xtask(home.path(), &[], &[("LIBTORCH", name)], &["libtorch"]);
    assert!(output.status.success(), "{}", messages(&output));
    assert_eq!(String::from_utf8(output.stdout)?, format!("{name}\n"));
    assert!(!home.path().join(".cache").exists());
    Ok(())
}

#[test]
fn a_libtorch_without_cuda_is_not_given_as_one_with_it() -> Outcome {
    let home = TempDir::new()?;
    let folder = home.path().join("mine");
    let name = folder
        .to_str()
        .ok_or("the temporary folder has a plain name")?;
    fs::create_dir_all(folder.join("lib"))?;
    let ask = || {
        xtask(
            home.path(),
            &[],
            &[("LIBTORCH", name)],
            &["libtorch", "--cuda"],
        )
    };
    let output = ask();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(
        messages(&output).contains("is without CUDA: unset LIBTORCH"),
        "{}",
        messages(&output)
    );
    fs::write(folder.join("lib/libtorch_cuda.so"), "a library")?;
    assert_eq!(String::from_utf8(ask().stdout)?, format!("{name}\n"));
    Ok(())
}

#[test]
fn a_pytorch_that_is_not_there_is_an_error_not_a_fetch() -> Outcome {
    let home = TempDir::new()?;
    let programs = [("python3", "python-without-pip")];
    let output = xtask(
        home.path(),
        &programs,
        &[("LIBTORCH_USE_PYTORCH", "1")],
        &["libtorch"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        messages(&output).contains("python3 finds no torch"),
        "{}",
        messages(&output)
    );
    assert!(!home.path().join(".cache").exists());
    Ok(())
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn cargo_gets_the_cached_libtorch_and_its_exit_code_is_ours() -> Outcome {
    let folder = TempDir::new()?;
    let (home, libtorch) = home_with_libtorch(folder.path())?;

    let cargo = format!("{STAND_INS}/cargo-that-tells");
    let calls = [
        (
            &["simulate", "--", "--seed", "2"] as &[&str],
            "run --release --package experiments --bin experiments -- simulate --seed 2",
        ),
        (
            &["reproduce", "--", "--seeds", "2"],
            "run --release --package experiments --bin experiments -- reproduce --seeds 2",
        ),
        (
            &["audit", "--", "--quick"],
            "run --release --package experiments --bin experiments -- audit --quick",
        ),
        (
            &["test", "--", "--lib"],
            "test --workspace --no-fail-fast --lib",
        ),
        (
            &["bench", "training", "--", "--batch", "8"],
            "run --release --package experiments --bin experiments -- bench training --json TARGET/bench-training.json --batch 8",
        ),
    ];
    for (index, (arguments, expected)) in calls.into_iter().enumerate() {
        let path = folder.path().join(index.to_string());
        let variables = [
            ("XDG_CACHE_HOME", home.join(".cache")),
            ("CARGO", cargo.clone().into()),
            ("CARGO_TARGET_DIR", path.join("target")),
        ];
        let variables = variables
            .each_ref()
            .map(|(name, value)| (*name, value.to_str().expect("a plain name")));
        let output = xtask(&path, &[("c++", "compiler")], &variables, arguments);
        let told = String::from_utf8(output.stdout.clone())?;
        assert_eq!(
            told,
            format!(
                "LIBTORCH={} {}\n",
                libtorch.display(),
                expected.replace("TARGET", &format!("{}/target", path.display()))
            ),
            "{}",
            messages(&output)
        );
        assert_eq!(output.status.code(), Some(7));
    }
    Ok(())
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn the_benchmark_gets_tenseal_if_python_can_have_it() -> Outcome {
    let folder = TempDir::new()?;
    let (home, libtorch) = home_with_libtorch(folder.path())?;
    let run = "run --release --package experiments --bin experiments -- bench crypto";
    for (stand_in, has_tenseal) in [("python-with-venv", true), ("python-without-pip", false)] {
        let path = folder.path().join(stand_in);
        let target = path.join("target");
        let variables = [
            ("XDG_CACHE_HOME", home.join(".cache")),
            ("CARGO", format!("{STAND_INS}/cargo-that-tells").into()),
            ("CARGO_TARGET_DIR", target.clone()),
        ];
        let variables = variables
            .each_ref()
            .map(|(name, value)| (*name, value.to_str().expect("a plain name")));
        let output = xtask(
            &path,
            &[("c++", "compiler"), ("python3", stand_in)],
            &variables,
            &["bench", "crypto", "--", "--rounds", "3"],
        );
        let environment = target.join("tenseal-0.3.18");
        let tenseal = format!(" --tenseal {}/bin/python", environment.display());
        assert_eq!(
            String::from_utf8(output.stdout.clone())?,
            format!(
                "LIBTORCH={} {run} --json {}/bench-crypto.json{} --rounds 3\n",
                libtorch.display(),
                target.display(),
                if has_tenseal { &tenseal } else { "" },
            ),
            "{}",
            messages(&output)
        );
        assert_eq!(output.status.code(), Some(7));
        if has_tenseal {
            let installed = fs::read_to_string(environment.join("installed"))?;
            assert!(installed.ends_with(" tenseal==0.3.18\n"), "{installed}");
        } else {
            assert!(messages(&output).contains("nothing to compare with"));
        }
    }
    Ok(())
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn the_tests_get_tenseal_if_python_can_have_it() -> Outcome {
    let folder = TempDir::new()?;
    let (home, libtorch) = home_with_libtorch(folder.path())?;
    for (stand_in, has_tenseal) in [("python-with-venv", true), ("python-without-pip", false)] {
        let path = folder.path().join(stand_in);
        let target = path.join("target");
        let variables = [
            ("XDG_CACHE_HOME", home.join(".cache")),
            ("CARGO", format!("{STAND_INS}/cargo-that-tells").into()),
            ("CARGO_TARGET_DIR", target.clone()),
        ];
        let variables = variables
            .each_ref()
            .map(|(name, value)| (*name, value.to_str().expect("a plain name")));
        let programs = [("c++", "compiler"), ("python3", stand_in)];
        let output = xtask(&path, &programs, &variables, &["test"]);
        let python = target.join("tenseal-0.3.18/bin/python");
        let python = format!("MYELIN_TENSEAL_PYTHON={} ", python.display());
        assert_eq!(
            String::from_utf8(output.stdout.clone())?,
            format!(
                "LIBTORCH={0} build --workspace --bins --tests\n\
                 LIBTORCH={0} MYELIN_PROGRAMS={1}/debug {2}test --workspace --no-fail-fast\n",
                libtorch.display(),
                target.display(),
                if has_tenseal { &python } else { "" },
            ),
            "{}",
            messages(&output)
        );
        if !has_tenseal {
            assert!(messages(&output).contains("not be exchanged with TenSEAL"));
        }
    }
    Ok(())
}

/// A home whose cache holds libtorch, and that libtorch.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn home_with_libtorch(folder: &Path) -> std::io::Result<(PathBuf, PathBuf)> {
    let home = folder.join("home");
    let libtorch = home.join(".cache/myelin/libtorch-2.11.0-cpu");
    for library in [
        "c10.so",
        "cudart.so.13",
        "cupti.so.13",
        "gomp.so.1",
        "torch.so",
        "torch_cpu.so",
    ] {
        write(&libtorch.join(format!("lib/lib{library}")), "a library")?;
    }
    write(
        &libtorch.join("include/torch/csrc/api/include/torch/torch.h"),
        "a header",
    )?;
    write(&libtorch.join("build-version"), "2.11.0\n")?;
    Ok((home, libtorch))
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(file.parent().expect("the file lies in a folder"))?;
    fs::write(file, text)
}
