//! Small whole simulations, run as a person runs them: options in, files and an exit code out.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// Three hospitals of four patients, four slices each, two rounds: seconds.
const SMALL: [&str; 12] = [
    "--hospitals",
    "3",
    "--patients",
    "12",
    "--slices",
    "4",
    "--rounds",
    "2",
    "--local-epochs",
    "1",
    "--split",
    "slice",
];

/// Arguments take the place of those of the small run.
fn run(out: &Path, arguments: &[&str]) -> Output {
    let kept = SMALL
        .chunks(2)
        .filter(|pair| !arguments.contains(&pair[0]))
        .flatten();
    let mut command = Command::new(env!("CARGO_BIN_EXE_experiments"));
    command
        .arg("simulate")
        .args(kept)
        .args(arguments)
        .arg("--out")
        .arg(out);
    command.output().expect("the program starts")
}

/// The summary of a simulation that went well, and what it printed.
fn simulate(out: &Path, arguments: &[&str]) -> (Value, String) {
    let output = run(out, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let summary = std::fs::read_to_string(out.join("summary.json")).expect("a summary");
    let printed = String::from_utf8(output.stdout).expect("text");
    (serde_json::from_str(&summary).expect("JSON"), printed)
}

fn hash(summary: &Value) -> &str {
    summary["agreement"]["model_hash"].as_str().expect("a hash")
}

#[test]
fn the_protection_changes_nothing_and_neither_do_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = folder.path().join("one");
    let (summary, printed) = simulate(&one, &["--threads", "1"]);
    assert_eq!(summary["schema"], 1);
    assert_eq!(summary["parameters"], 4_201_933);
    assert_eq!(summary["sum"]["integers_exact"], true);
    let steps = summary["sum"]["max_error_inside_clip_over_step"]
        .as_f64()
        .expect("a number");
    assert!(steps > 0.0 && steps <= 0.5001, "{steps} quantisation steps");
    assert_eq!(summary["agreement"]["model_hashes_equal"], true);
    assert!(
        summary["conditioning"]["max_abs_error"]
            .as_f64()
            .is_some_and(|error| error > 0.0 && error <= 1e-9)
    );
    assert!(
        summary["upload"]["ratio_to_f32"]
            .as_f64()
            .is_some_and(|ratio| ratio > 1.0 && ratio < 1.1)
    );
    assert_eq!(
        summary["history"][1]["contributors"],
        serde_json::json!([1, 2, 3])
    );
    assert!(summary["history"][1]["validation"]["loss"].is_f64());
    assert!(printed.contains("every integer exact") && printed.contains("all the same"));
    files_are_whole(&one, hash(&summary));

    let (plain, _) = simulate(
        &folder.path().join("plain"),
        &["--threads", "2", "--conditioning", "plain"],
    );
    assert_eq!(
        hash(&plain),
        hash(&summary),
        "the encrypted products and those in the clear give one model, at any thread count"
    );
    let (none, _) = simulate(
        &folder.path().join("none"),
        &["--threads", "2", "--conditioning", "none"],
    );
    assert_ne!(hash(&none), hash(&summary));
    assert!(none["conditioning"]["max_abs_error"].is_null());
}

fn files_are_whole(folder: &Path, hash: &str) {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("there");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("there")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("text")
        })
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "metrics.jsonl",
            "model.json",
            "model.safetensors",
            "report.html",
            "summary.json",
            "transcript.jsonl"
        ]
    );

    let report = read("report.html");
    for part in [
        "<svg",
        "data:image/png;base64,",
        "class=\"confusion\"",
        "Split by slice",
        hash,
        "every integer exact",
        "not for diagnosis",
    ] {
        assert!(report.contains(part), "the report lacks {part}");
    }
    for request in ["http:", "https:", "<script", "<link", "url("] {
        assert!(
            !report.contains(request),
            "the report asks for something: {request}"
        );
    }

    let card: Value = serde_json::from_str(&read("model.json")).expect("JSON");
    assert_eq!(card["model_hash"], hash);
    assert!(
        card["notice"]
            .as_str()
            .is_some_and(|notice| notice.contains("Not for diagnosis"))
    );
    assert_eq!(read("metrics.jsonl").lines().count(), 2);

    // Statistics, two updates, two evaluations: each line follows from the one before.
    let transcript: Vec<Value> = read("transcript.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(transcript.len(), 5);
    assert!(
        transcript
            .windows(2)
            .all(|pair| pair[0]["transcript"] == pair[1]["transcript_before"])
    );
    assert_eq!(transcript[4]["model_hash"], hash);
}

#[test]
fn hospitals_that_vanish_come_back_to_the_same_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let drops = [
        "--hospitals",
        "4",
        "--patients",
        "16",
        "--drop",
        "2@mid-upload:1",
        "--drop",
        "4@before-unlock:2",
    ];
    let (summary, _) = simulate(&folder.path().join("run"), &drops);
    assert_eq!(
        summary["history"][0]["contributors"],
        serde_json::json!([1, 3, 4])
    );
    assert_eq!(
        summary["history"][1]["contributors"],
        serde_json::json!([1, 2, 3, 4])
    );
    assert_eq!(summary["sum"]["integers_exact"], true);
    assert_eq!(summary["agreement"]["model_hashes_equal"], true);
}

#[test]
fn averaging_in_the_clear_is_named_insecure_and_comes_close() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plain, printed) = simulate(&folder.path().join("plain"), &["--updates", "plain"]);
    assert!(printed.contains("INSECURE"));
    let report =
        std::fs::read_to_string(folder.path().join("plain").join("report.html")).expect("there");
    assert!(report.contains("INSECURE"));
    assert_eq!(plain["updates"], "plain");
    for undefined in [
        &plain["sum"]["integers_exact"],
        &plain["upload"]["ratio_to_f32"],
        &plain["agreement"]["model_hashes_equal"],
    ] {
        assert!(undefined.is_null());
    }
    let (sealed, _) = simulate(&folder.path().join("sealed"), &["--conditioning", "plain"]);
    let loss = |summary: &Value| {
        summary["history"][0]["validation"]["loss"]
            .as_f64()
            .expect("evaluated")
    };
    assert!(
        (loss(&plain) - loss(&sealed)).abs() < 1e-3,
        "{} and {}",
        loss(&plain),
        loss(&sealed)
    );
}

#[test]
fn what_cannot_be_simulated_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).expect("made");
    let empty = empty.to_str().expect("text");
    for (arguments, parts) in [
        (
            &["--hospitals", "4", "--split", "patient"][..],
            &["--split slice", "fewer hospitals"][..],
        ),
        (
            &["--drop", "1@before-upload:1", "--drop", "2@after-upload:1"],
            &["t = 2", "m_min = 2"],
        ),
        (&["--data", "nowhere"], &["--data nowhere"]),
        (&["--data", empty], &["--data", "clinical table"]),
    ] {
        let out = folder.path().join("run");
        let output = run(&out, arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(parts.iter().all(|part| errors.contains(part)), "{errors}");
        assert!(output.stdout.is_empty());
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("there").count(),
            1,
            "something was left behind"
        );
    }
}
