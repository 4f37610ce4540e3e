//! A model of a simulation applied to the scans that it was tested on, and to others: the same probabilities, the same pictures, and no
//! model that nobody vouches for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;
use system_tests::{Running, program, run, stderr};

const PATIENCE: Duration = Duration::from_secs(120);

/// A cohort on disk, and a run on it.
struct Trained {
    root: tempfile::TempDir,
}

impl Trained {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let mut phantom = program("experiments");
        phantom.args([
            "phantom",
            "--hospitals",
            "1",
            "--patients",
            "36",
            "--slices",
            "4",
        ]);
        succeeds(run(phantom.arg(root.path())));
        let trained = Self { root };
        let mut simulate = program("experiments");
        simulate
            .args([
                "simulate",
                "--hospitals",
                "2",
                "--rounds",
                "2",
                "--local-epochs",
                "1",
            ])
            .args(["--profile", "study", "--slices", "4", "--data"])
            .arg(trained.data())
            .arg("--out")
            .arg(trained.run());
        succeeds(run(&mut simulate));
        trained
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("hospital-1/data")
    }

    fn run(&self) -> PathBuf {
        self.path("run")
    }

    fn model(&self) -> PathBuf {
        self.run().join("model.safetensors")
    }

    /// `participant predict MODEL SCANS` into a folder, whose path comes with what was said.
    fn predict(&self, name: &str, scans: &Path, more: &[&str]) -> (Output, PathBuf) {
        let out = self.path(name);
        let mut predict = program("participant");
        predict.arg("predict").arg(self.model()).arg(scans);
        predict.arg("--roster").arg(self.run().join("roster.json"));
        let said = run(predict.arg("-o").arg(&out).args(more));
        (said, out)
    }
}

fn succeeds(output: Output) -> Output {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    output
}

/// The rows of a CSV file without quotes, by the names of its columns.
fn table(path: &Path) -> Vec<Vec<(String, String)>> {
    let text = fs::read_to_string(path).expect("written");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a head").split(',').collect();
    lines
        .map(|line| {
            let cells = line.split(',').map(str::to_owned);
            names
                .iter()
                .map(|name| (*name).to_owned())
                .zip(cells)
                .collect()
        })
        .collect()
}

fn cell<'a>(row: &'a [(String, String)], name: &str) -> &'a str {
    let found = row.iter().find(|(column, _)| column == name);
    &found
        .unwrap_or_else(|| panic!("no column {name} in {row:?}"))
        .1
}

fn share(row: &[(String, String)], name: &str) -> f64 {
    cell(row, name).parse().expect("a number")
}

/// SIGTERM while the scans are read ends the program with code 3 and these last words.
fn assert_stops_with(command: &mut Command, leaves: &str) {
    let mut running = Running::start("stopped", command);
    running.wait_for("reading scans", PATIENCE);
    running.signal("TERM");
    assert_eq!(running.exit_status(PATIENCE).code(), Some(3));
    // Its last words are read after its end.
    running.wait_for(&format!("stopped by SIGTERM: {leaves}"), PATIENCE);
}

#[test]
fn the_patients_of_a_test_are_predicted_as_the_run_has_tested_them() {
    let trained = Trained::new();
    let (said, out) = trained.predict("all", &trained.data(), &["--no-heat"]);
    let said = succeeds(said);
    let told = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(told.contains("2 hospitals or more have signed"), "{told}");
    // A simulation has read no scan of a scanner that is told.
    let unknown = "The scanners of the training are not known here";
    assert_eq!(told.matches(unknown).count(), 1, "{told}");
    let predicted = table(&out.join("predictions.csv"));
    assert_eq!(predicted.len(), 36);
    let tested = table(&trained.run().join("test-predictions.csv"));
    assert!(tested.len() >= 4, "{tested:?}");
    // A test names nobody: each of its patients must be among all.
    for row in &tested {
        let nearest = predicted.iter().map(|other| {
            let of = |class| (share(row, class) - share(other, class)).abs();
            of("p_lower").max(of("p_higher"))
        });
        let nearest = nearest.fold(f64::INFINITY, f64::min);
        assert!(nearest < 1e-6, "{nearest} for {row:?}");
    }
    let document = fs::read_to_string(out.join("predictions.json")).expect("written");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let summary = fs::read_to_string(trained.run().join("summary.json")).expect("written");
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    let hash = summary["agreement"]["model_hash"].as_str().expect("a hash");
    assert!(document.to_string().contains(hash));

    // One patient alone, from one file with the features from the table: the same as among all, with pictures.
    let patient = cell(&predicted[0], "patient").to_owned();
    let scan = trained
        .data()
        .join(format!("Patient-{patient}/{patient}-Flair.nii"));
    let table_of_all = fs::read_dir(trained.data()).expect("there");
    let workbook = table_of_all
        .map(|entry| entry.expect("readable").path())
        .find(|path| path.extension().is_some_and(|end| end == "xlsx"))
        .expect("a table");
    let workbook = workbook.to_str().expect("Unicode");
    let more = ["--patient", &patient, "--clinical", workbook, "--bids"];
    let (said, one) = trained.predict("one", &scan, &more);
    succeeds(said);
    let alone = table(&one.join("predictions.csv"));
    assert_eq!(alone.len(), 1);
    for class in ["p_lower", "p_higher"] {
        assert!((share(&alone[0], class) - share(&predicted[0], class)).abs() < 1e-6);
    }
    let heat = one.join("heat").join(&patient);
    let pictures = fs::read_dir(&heat).expect("pictures").count();
    assert_eq!(pictures, 4 + 1, "four slices and their volume");
    assert!(one.join("bids/dataset_description.json").exists());

    // Stopped while it reads, it says what it leaves; so does what scores.
    let stopped = trained.path("stopped");
    let mut predict = program("participant");
    predict
        .arg("predict")
        .arg(trained.model())
        .arg(trained.data());
    predict
        .arg("--roster")
        .arg(trained.run().join("roster.json"));
    predict.arg("-o").arg(&stopped);
    let leaves = format!("no prediction is written into {}", stopped.display());
    assert_stops_with(&mut predict, &leaves);
    assert!(!stopped.exists());
    let mut evaluate = program("participant");
    evaluate
        .arg("evaluate")
        .arg(trained.model())
        .arg(trained.data());
    evaluate
        .arg("--roster")
        .arg(trained.run().join("roster.json"));
    assert_stops_with(&mut evaluate, "no score is told");

    // Without the table all features are those of an average patient, which is said.
    let (said, bare) = trained.predict("bare", &scan, &["--no-heat", "--format", "json"]);
    let said = succeeds(said);
    let said: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    let flags = said["patients"][0]["flags"].to_string();
    assert!(flags.contains("average patient"), "{flags}");
    let bare = table(&bare.join("predictions.csv"));
    assert!((share(&bare[0], "p_lower") - share(&alone[0], "p_lower")).abs() > 1e-9);
}

#[test]
fn a_model_that_nobody_vouches_for_or_that_was_altered_is_refused() {
    let trained = Trained::new();
    let refused = |name: &str, words: &[&str]| {
        let (said, out) = trained.predict(name, &trained.data(), &["--no-heat"]);
        let error = stderr(&said);
        assert_eq!(said.status.code(), Some(2), "{error}");
        for word in words {
            assert!(error.contains(word), "{word} in: {error}");
        }
        assert!(!out.exists(), "{name}");
    };
    let file = |name: &str| trained.run().join(name);
    // A round less in the transcript: the last model is not in it.
    let whole = fs::read_to_string(file("transcript.jsonl")).expect("written");
    let fewer: Vec<&str> = whole.lines().take(2).collect();
    fs::write(file("transcript.jsonl"), fewer.join("\n") + "\n").expect("written");
    refused(
        "shorter",
        &["nothing shows", "--transcript", "--unverified"],
    );
    let (said, _) = trained.predict("told", &trained.data(), &["--no-heat", "--unverified"]);
    let said = succeeds(said);
    assert!(String::from_utf8_lossy(&said.stdout).contains("NOT VERIFIED"));
    // A line that was altered.
    let altered = whole.replacen("\"round\":1", "\"round\":7", 1);
    assert_ne!(altered, whole);
    fs::write(file("transcript.jsonl"), altered).expect("written");
    refused("altered", &["transcript.jsonl does not hold"]);
    fs::write(file("transcript.jsonl"), &whole).expect("written");
    // A roster that came with the model vouches for nothing.
    let mut strange = program("participant");
    strange
        .arg("predict")
        .arg(trained.model())
        .arg(trained.data());
    let said = run(strange.arg("-o").arg(trained.path("strange")));
    assert_eq!(said.status.code(), Some(2));
    assert!(
        stderr(&said).contains("a known roster"),
        "{}",
        stderr(&said)
    );
    // One bit of the weights.
    let mut weights = fs::read(file("model.safetensors")).expect("written");
    let last = weights.len() - 2;
    weights[last] ^= 1;
    fs::write(file("model.safetensors"), &weights).expect("written");
    refused("other-weights", &["is not the model of", "model.json"]);
    weights[last] ^= 1;
    fs::write(file("model.safetensors"), &weights).expect("written");
    // A card that says another hash.
    let card = fs::read_to_string(file("model.json")).expect("written");
    let mut other: Value = serde_json::from_str(&card).expect("JSON");
    other["null_steps"] = 5.into();
    fs::write(file("model.json"), other.to_string()).expect("written");
    refused("other-card", &["the model hash in"]);
    fs::remove_file(file("model.json")).expect("removed");
    refused("no-card", &["model.json", "beside the weights"]);
    fs::write(file("model.json"), &card).expect("written");
    let (said, _) = trained.predict("again", &trained.data(), &["--no-heat"]);
    succeeds(said);
}

#[test]
fn a_model_is_scored_on_test_patients_beside_one_of_own_data_alone_and_exported() {
    let root = tempfile::tempdir().expect("a folder");
    let path = |name: &str| root.path().join(name);
    let federation = path("federation");
    let mut init = program("coordinator");
    succeeds(run(init.args(["init", "--demo", "2"]).arg(&federation)));
    let mut phantom = program("experiments");
    phantom.args([
        "phantom",
        "--hospitals",
        "2",
        "--patients",
        "72",
        "--slices",
        "4",
    ]);
    succeeds(run(phantom.arg(&federation)));
    let data = federation.join("hospital-1/data");
    let mut simulate = program("experiments");
    simulate
        .args([
            "simulate",
            "--hospitals",
            "2",
            "--rounds",
            "1",
            "--local-epochs",
            "1",
        ])
        .args([
            "--profile",
            "study",
            "--log",
            "tensorboard,mlflow",
            "--data",
        ])
        .arg(&data)
        .arg("--out")
        .arg(path("run"));
    succeeds(run(&mut simulate));
    assert!(path("run/logs/tensorboard").is_dir() && path("run/logs/mlruns").is_dir());
    let with_model = |command: &str| {
        let mut with_model = program("participant");
        with_model.arg(command).arg(path("run")).arg("--roster");
        with_model.arg(path("run/roster.json"));
        with_model
    };
    let scored = |more: &[&str], folder: Option<&Path>| {
        let mut evaluate = with_model("evaluate");
        evaluate.args(["--format", "json"]).args(more).args(folder);
        evaluate
            .arg("--config")
            .arg(federation.join("hospital-1/participant.toml"));
        run(&mut evaluate)
    };
    let json =
        |said: Output| -> Value { serde_json::from_slice(&succeeds(said).stdout).expect("JSON") };
    let all = json(scored(&[], Some(&data)));
    let unknown = "The scanners of the training are not known here";
    assert_eq!(
        (&all["common"]["patients"], &all["unseen"]),
        (&36.into(), &false.into())
    );
    assert_eq!(all["scanners_known"], false);
    // Who is far from the training is named, as by `predict`.
    let folder = path("strange");
    fs::create_dir(&folder).expect("made");
    let scans = fs::read_dir(&data)
        .expect("there")
        .map(|entry| entry.expect("readable").path());
    let mut scans: Vec<PathBuf> = scans.filter(|path| path.is_dir()).collect();
    scans.sort();
    let mut rows = "patient,edss,sex,age,age at onset,flair\n".to_owned();
    for (place, scan) in scans.iter().take(6).enumerate() {
        let name = scan
            .file_name()
            .and_then(|name| name.to_str())
            .expect("text");
        let id = name.strip_prefix("Patient-").expect("a patient");
        let age = if place == 0 { 99 } else { 40 };
        let (edss, file) = (1 + 5 * (place % 2), scan.join(format!("{id}-Flair.nii")));
        rows += &format!("P{place},{edss},F,{age},30,{}\n", file.display());
    }
    fs::write(folder.join("manifest.csv"), rows).expect("written");
    let strange = json(scored(&[], Some(&folder)));
    let unusual = strange["unusual"].as_array().expect("a list");
    let first = unusual.iter().find(|one| one["patient"] == "P0");
    let flags = first.expect("named")["flags"].to_string();
    assert!(flags.contains("age is more than 3"), "{strange}");
    let mut in_words = with_model("evaluate");
    let in_words = succeeds(run(in_words.arg(&folder)));
    let in_words = String::from_utf8_lossy(&in_words.stdout).into_owned();
    for words in [
        "unlike the training",
        "1 of 6 patients: age is more than 3",
        "(P0)",
        unknown,
    ] {
        assert!(in_words.contains(words), "{words} in {in_words}");
    }
    let own = json(scored(&["--own", "--rounds", "1"], None));
    let (common, alone) = (&own["common"], &own["own"]);
    assert_eq!(common["patients"], alone["patients"]);
    let patients = common["patients"].as_u64().expect("a number");
    assert!((4..=8).contains(&patients), "15% of 36: {patients}");
    assert!(
        common["warning"]
            .as_str()
            .is_some_and(|words| words.contains("TOO FEW"))
    );
    assert!(alone["brier"].as_f64().is_some_and(f64::is_finite), "{own}");
    // What is trained on is not scored.
    let said = scored(&["--own", "--rounds", "1"], Some(&data));
    assert_eq!(said.status.code(), Some(2), "{}", stderr(&said));
    let mut export = with_model("export");
    let said = succeeds(run(export
        .args(["--format", "onnx", "-o"])
        .arg(path("export"))));
    assert!(path("export/model.onnx").is_file(), "{}", stderr(&said));
}
