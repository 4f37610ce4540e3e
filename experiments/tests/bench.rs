//! `experiments bench`, with a program in the place of TenSEAL or PyTorch that has every job done in no time and says how long it took.
#![cfg(unix)]

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use serde_json::Value;

/// What readers of the file lean on; all are numbers.
const PROMISED: [&str; 20] = [
    "context_us",
    "keygen_us",
    "relin_keygen_us",
    "encode_encrypt_public_us",
    "encode_encrypt_secret_us",
    "multiply_relinearise_rescale_us",
    "decrypt_decode_product_us",
    "conditioning_job_us",
    "product_max_abs_error",
    "fresh_ciphertext_bytes",
    "seeded_ciphertext_bytes",
    "serialise_us",
    "deserialise_us",
    "seal_seconds_n10",
    "seal_seconds_n100",
    "add_ms",
    "open_seconds_n10",
    "open_seconds_n100",
    "upload_bytes_n10",
    "upload_bytes_n100",
];

const STAND_IN: &str = r#"#!/bin/sh
echo '{"version": "0"}'
while read line; do
    case "$line" in
    *conditioning*) echo '{"vector": {"conditioning_job": 1.0}, "tensor": {"conditioning_job": 1.0}}' ;;
    *update*) echo '{"vector": {"seal_seconds_n10": 1.0}, "tensor": {}}' ;;
    *facts*) echo '{"tenseal_vector_upload_bytes": 1}' ;;
    esac
done
"#;

#[test]
fn every_promised_number_is_there_and_ratios_are_times_over_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    let (python, file) = (folder.path().join("python"), folder.path().join("numbers"));
    fs::write(&python, STAND_IN).expect("the folder is ours");
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let output = Command::new(env!("CARGO_BIN_EXE_experiments"))
        .args(["bench", "crypto", "--profile", "hardened"])
        .args(["--rounds", "1", "--sums", "1", "--json"])
        .args([&file, &"--tenseal".into(), &python])
        .output()
        .expect("the binary was just built");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");

    let table = String::from_utf8_lossy(&output.stdout);
    for row in ["conditioning job", "seal, 100 hospitals", "TenSEAL 0"] {
        assert!(table.contains(row), "{row} is not in:\n{table}");
    }

    let text = fs::read_to_string(&file).expect("it was written");
    let numbers: Value = serde_json::from_str(&text).expect("JSON");
    for key in PROMISED {
        let number = numbers[key].as_f64();
        assert!(number.is_some_and(|number| number > 0.0), "{key} in {text}");
    }
    let number = |key: &str| numbers[key].as_f64().expect("a number");
    for (ratio, ours) in [
        ("ratio_vector_conditioning_job", "conditioning_job_us"),
        ("ratio_tensor_conditioning_job", "conditioning_job_us"),
    ] {
        assert!((number(ratio) * number(ours) / 1e6 - 1.0).abs() < 1e-9);
    }
    assert!(
        (number("ratio_vector_seal_seconds_n10") * number("seal_seconds_n10") - 1.0).abs() < 1e-9
    );
    assert_eq!(numbers["conditions"]["profile"], "hardened");
    assert_eq!(numbers["conditions"]["threads"], 1);
}

/// What readers of the training numbers lean on.
const PROMISED_OF_TRAINING: [&str; 7] = [
    "step_ms_hybrid",
    "step_ms_plain_conditioned",
    "step_ms_plain",
    "samples_per_second_hybrid",
    "ratio_hybrid_to_plain",
    "study_conditioning_ms",
    "study_conditioning_share",
];

const PYTORCH_STAND_IN: &str = r#"#!/bin/sh
echo '{"version": "0"}'
while read line; do echo '[10.0, 10.0, 10.0, 10.0, 10.0]'; done
"#;

/// The numbers of a short run with this program in Python's place, and its table.
fn bench_training(python: &str, format: &str) -> (Value, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (program, file) = (folder.path().join("python"), folder.path().join("numbers"));
    fs::write(&program, python).expect("the folder is ours");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let output = Command::new(env!("CARGO_BIN_EXE_experiments"))
        .args(["bench", "training", "--device", "cpu", "--threads", "1"])
        .args(["--format", format])
        .args(["--batch", "32", "--rounds", "1", "--json"])
        .args([&file, &"--python".into(), &program])
        .output()
        .expect("the binary was just built");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");
    let text = fs::read_to_string(&file).expect("it was written");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    (serde_json::from_str(&text).expect("JSON"), table)
}

#[test]
fn a_training_step_is_set_against_pytorch_where_there_is_one() {
    let (numbers, table) = bench_training(PYTORCH_STAND_IN, "text");
    let number = |key: &str| {
        let number = numbers[key].as_f64().filter(|&number| number > 0.0);
        number.unwrap_or_else(|| panic!("{key} in {numbers}"))
    };
    for key in PROMISED_OF_TRAINING {
        number(key);
    }
    for variant in ["hybrid", "plain_conditioned", "plain"] {
        assert_eq!(number(&format!("pytorch_step_ms_{variant}")), 10_000.0);
        let ours = number(&format!("step_ms_{variant}"));
        assert!((number(&format!("ratio_{variant}")) * 10_000.0 / ours - 1.0).abs() < 1e-9);
    }
    let rate = number("samples_per_second_hybrid") * number("step_ms_hybrid") / 1e3;
    assert!((rate - 32.0).abs() < 1e-9);
    assert_eq!(numbers["conditions"]["batch"], 32);
    assert_eq!(numbers["conditions"]["threads"], 1);
    assert!(table.contains("PyTorch 0"), "{table}");
}

#[test]
fn without_pytorch_recorded_times_are_shown_as_such_and_no_ratio_is() {
    let (numbers, table) = bench_training("#!/bin/sh\nexit 3\n", "text");
    for variant in ["hybrid", "plain_conditioned", "plain"] {
        assert!(numbers[format!("recorded_pytorch_step_ms_{variant}")].is_number());
        assert!(numbers.get(format!("pytorch_step_ms_{variant}")).is_none());
        assert!(numbers.get(format!("ratio_{variant}")).is_none());
    }
    assert!(numbers["recorded_conditions"]["processor"].is_string());
    for part in [
        "-m pip install torch==2.11.0",
        "recorded: PyTorch 2.11",
        "hence no ratio",
    ] {
        assert!(table.contains(part), "{part} is not in:\n{table}");
    }
}

#[test]
fn a_program_that_asks_for_json_gets_the_numbers_and_nothing_else() {
    let (numbers, printed) = bench_training("#!/bin/sh\nexit 3\n", "json");
    let printed: Value = serde_json::from_str(&printed).expect("nothing but JSON");
    assert_eq!(printed, numbers);
}
