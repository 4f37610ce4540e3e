//! Small whole simulations, run as a person runs them: options in, files and an exit code out.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Output},
};

use model_data::card::ModelCard;
use report::links;
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

/// Of a test that is too small for curves.
const PICTURES: [&str; 6] = [
    "confusion-patients",
    "confusion-slices",
    "grad-cam",
    "learning-accuracy",
    "learning-loss",
    "round-timeline",
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
    let trace = folder.path().join("trace.json");
    let told = trace.to_str().expect("text");
    let (summary, printed) = simulate(&one, &["--threads", "1", "--trace", told]);
    every_step_is_in(&trace);
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
    the_sum_is_that_of_the_hospitals(&summary["history"][1]);
    assert_eq!(summary["best"]["by"], "best-loss");
    assert_eq!(summary["best"]["round"], summary["kept_round"]);
    assert_eq!(summary["partition"], "equal");
    assert_eq!(
        summary["patients_by_hospital"].as_array().map(Vec::len),
        Some(3)
    );
    let interval = &summary["test"]["slice"]["accuracy_ci95"];
    let accuracy = summary["test"]["slice"]["accuracy"].as_f64();
    assert!(interval[0].as_f64() <= accuracy && accuracy <= interval[1].as_f64());
    assert!(printed.contains("every integer is exact") && printed.contains("all the same"));
    files_are_whole(&one, hash(&summary));

    let (plain, _) = simulate(
        &folder.path().join("plain"),
        &["--threads", "2", "--conditioning", "plain"],
    );
    assert_eq!(
        hash(&plain),
        hash(&summary),
        "the encrypted products and plaintext ones give one model, at any thread count"
    );
    let (none, _) = simulate(
        &folder.path().join("none"),
        &["--threads", "2", "--conditioning", "none"],
    );
    assert_ne!(hash(&none), hash(&summary));
    assert!(none["conditioning"]["max_abs_error"].is_null());
}

#[test]
fn every_strategy_leads_all_hospitals_to_one_model_and_fedprox_without_mu_to_that_of_fedavg() {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |strategy: &str| {
        let out = folder.path().join(strategy.replace(':', "-"));
        // Two steps a round: in the first one no weight has left the common model yet.
        let mut arguments = vec!["--conditioning", "none", "--local-epochs", "2"];
        arguments.extend(["--strategy", strategy]);
        let (summary, printed) = simulate(&out, &arguments);
        assert_eq!(summary["strategy"], strategy);
        assert_eq!(summary["agreement"]["model_hashes_equal"], true);
        assert_eq!(summary["sum"]["integers_exact"], true);
        assert!(printed.contains(strategy), "{printed}");
        let card = std::fs::read_to_string(out.join("model.json")).expect("a card");
        let card: ModelCard = serde_json::from_str(&card).expect("a card");
        assert_eq!(card.strategy.as_deref(), Some(strategy));
        hash(&summary).to_owned()
    };
    let average = of("fedavg");
    assert_eq!(of("fedprox:0"), average);
    let others = ["fedprox:1", "fedavgm", "fedadam", "fedyogi"].map(of);
    let different: BTreeSet<_> = others.iter().chain([&average]).collect();
    assert_eq!(different.len(), 5);
}

#[test]
fn classes_are_cut_where_the_labels_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |labels: &str| {
        let out = folder.path().join(labels);
        let (summary, printed) = simulate(&out, &["--labels", labels, "--rounds", "1"]);
        assert_eq!(summary["labels"], labels);
        assert_eq!(
            printed.contains("binary as-counted"),
            labels == "as-counted"
        );
        let card = std::fs::read_to_string(out.join("model.json")).expect("a card");
        let card: Value = serde_json::from_str(&card).expect("JSON");
        assert_eq!(card["data"]["labels"], labels);
        let higher: u64 = summary["patients_by_hospital"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|counts| counts[1].as_u64().expect("a count"))
            .sum();
        (card["data"]["edss_cuts"][0].clone(), higher)
    };
    let (written, counted) = (run("as-written"), run("as-counted"));
    assert_eq!((&written.0, &counted.0), (&2.0.into(), &4.0.into()));
    assert!(counted.1 >= 1 && counted.1 < written.1, "{counted:?}");
}

/// Two rounds of three hospitals, each with its evaluation.
fn every_step_is_in(trace: &Path) {
    let text = std::fs::read(trace).expect("a trace");
    let trace: Value = serde_json::from_slice(&text).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    let named = |what: &str, kind: &str| {
        let of_kind = events.iter().filter(|event| event["ph"] == *kind);
        let named: Vec<&Value> = of_kind.filter(|event| event["name"] == *what).collect();
        named
    };
    let named_processes = named("process_name", "M");
    let processes: BTreeSet<(u64, &str)> = { named_processes.iter() }
        .filter_map(|event| Some((event["pid"].as_u64()?, event["args"]["name"].as_str()?)))
        .collect();
    let parties = ["coordinator", "hospital 1", "hospital 2", "hospital 3"];
    assert_eq!(processes, (0..).zip(parties).collect());
    for hospital in 1..=3 {
        for (step, purpose, most) in [
            ("training", "update", 2),
            ("evaluating", "evaluation", 2),
            ("upload", "update", 2),
            ("download", "update", 2),
            ("opening", "update", 2),
            ("sealing", "update", 2),
        ] {
            let all = named(step, "X");
            let own = all.iter().filter(|event| event["pid"] == hospital);
            let of_purpose: BTreeSet<u64> = own
                .filter(|event| event["args"]["purpose"] == purpose)
                .filter_map(|event| event["args"]["round"].as_u64())
                .collect();
            assert_eq!(of_purpose.len(), most, "{step} at hospital {hospital}");
        }
    }
    let added: Vec<&Value> = named("adding", "X");
    assert!(added.len() >= 6 && added.iter().all(|event| event["pid"] == 0));
    for event in events.iter().filter(|event| event["ph"] == "X") {
        let time = |name: &str| event[name].as_f64().expect("a number");
        assert!(time("ts") >= 0.0 && time("dur") >= 0.0, "{event}");
    }
}

/// What each hospital says by itself adds up to what the sealed sum said.
fn the_sum_is_that_of_the_hospitals(round: &Value) {
    let own = round["by_hospital"].as_array().expect("a list");
    assert_eq!(own.len(), 3);
    for (truth, prediction) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let cell = |of: &Value| of["validation"]["confusion"][truth][prediction].as_u64();
        let sum: u64 = own.iter().map(|own| cell(own).expect("a count")).sum();
        assert_eq!(Some(sum), cell(round));
    }
    let losses = own
        .iter()
        .map(|own| own["validation"]["loss"].as_f64().expect("a number"));
    let loss = round["validation"]["loss"].as_f64().expect("a number");
    assert!(losses.clone().any(|own| own <= loss) && losses.clone().any(|own| own >= loss));
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
    let best_is_another = the_best_model_is_there_if_it_is_another_one(folder);
    let best = ["model-best.json", "model-best.safetensors"];
    let expected = [
        "metrics.jsonl",
        "model-best.json",
        "model-best.safetensors",
        "model.json",
        "model.safetensors",
        "pictures",
        "report.html",
        "roster.json",
        "summary.json",
        "test-predictions.csv",
        "transcript.jsonl",
    ];
    let expected = expected.into_iter();
    let expected = expected.filter(|name| best_is_another || !best.contains(name));
    assert!(expected.eq(names.iter().map(String::as_str)), "{names:?}");

    let report = read("report.html");
    for part in [
        "<svg",
        "data:image/png;base64,",
        "Confusion matrix",
        "TOO FEW PATIENTS TO TELL",
        "Grad-CAM",
        "range",
        "partition equal",
        "Split by slice",
        hash,
        "every integer is exact",
        "not for diagnosis",
    ] {
        assert!(report.contains(part), "the report lacks {part}");
    }
    assert_eq!(links::leads_outside(&report), [""; 0]);
    assert!(!report.contains("ROC curve") && !report.contains("1.000"));
    // The one that sorts tables.
    assert_eq!(report.matches("<script").count(), 1);
    assert!(!report.contains("<link"));

    let mut pictures: Vec<_> = std::fs::read_dir(folder.join("pictures"))
        .expect("there")
        .map(|entry| {
            let path = entry.expect("readable").path();
            let bytes = std::fs::read(&path).expect("readable");
            assert!(bytes.starts_with(b"\x89PNG"), "{}", path.display());
            path.file_stem()
                .expect("named")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    pictures.sort();
    assert_eq!(pictures, PICTURES);

    let card: Value = serde_json::from_str(&read("model.json")).expect("JSON");
    assert_eq!(card["model_hash"], hash);
    let typed: ModelCard = serde_json::from_value(card.clone()).expect("a card");
    assert_eq!(serde_json::to_value(&typed).expect("JSON"), card);
    assert!(typed.run_complete && typed.validation.is_some());
    assert_eq!((typed.learning_round.get(), typed.classes), (2, Some(2)));
    let weights = std::fs::read(folder.join("model.safetensors")).expect("there");
    assert_eq!(
        card["weights_sha256"],
        hex::encode(crypto::hash::sha256(&weights))
    );
    for (key, value) in [
        ("/data/source", "phantom"),
        ("/data/partition", "equal"),
        ("/data/split", "slice"),
        ("/data/labels", "as-written"),
        ("/input/features/0", "sex"),
        ("/code_version", env!("CARGO_PKG_VERSION")),
    ] {
        assert_eq!(
            card.pointer(key).and_then(Value::as_str),
            Some(value),
            "{key}"
        );
    }
    assert_eq!(card["data"]["patients"], 12);
    assert!(card["test"]["patient"]["accuracy"].is_f64() && card["intended_use"].is_string());
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

/// The model of the round that the summary names, with its card; nothing if that is the last one.
fn the_best_model_is_there_if_it_is_another_one(folder: &Path) -> bool {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("there");
    let summary: Value = serde_json::from_str(&read("summary.json")).expect("JSON");
    let history = summary["history"].as_array().expect("rounds");
    let kept = &summary["kept_round"];
    if history.last().expect("a round")["round"] == *kept {
        assert!(!folder.join("model-best.safetensors").exists());
        return false;
    }
    let card: ModelCard = serde_json::from_str(&read("model-best.json")).expect("a card");
    assert_eq!(kept.as_u64(), Some(card.learning_round.get().into()));
    assert_eq!(card.weights, "model-best.safetensors");
    assert!(card.test.is_none(), "it was not tested");
    let validation = card.validation.expect("evaluated");
    let value = match summary["best"]["by"].as_str() {
        Some("best-loss") => validation.loss,
        _ => validation.accuracy,
    };
    assert_eq!(summary["best"]["value"].as_f64(), value);
    let weights = std::fs::read(folder.join(&card.weights)).expect("there");
    let digest = hex::encode(crypto::hash::sha256(&weights));
    assert_eq!(card.weights_sha256, Some(digest));
    true
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
fn a_run_ends_after_the_first_round_that_is_no_better_and_names_the_kept_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = [
        "--rounds",
        "6",
        "--conditioning",
        "none",
        "--keep",
        "best-accuracy",
        "--early-stop",
        "1",
    ];
    for updates in ["sealed", "plain"] {
        let out = folder.path().join(updates);
        let (summary, printed) = simulate(&out, &[&options[..], &["--updates", updates]].concat());
        let history = summary["history"].as_array().expect("rounds");
        let accuracies: Vec<_> = history
            .iter()
            .map(|round| round["validation"]["accuracy"].as_f64().expect("evaluated"))
            .collect();
        let mut best = 0;
        for round in 1..accuracies.len() {
            assert_eq!(
                best,
                round - 1,
                "it goes on after a gain only: {accuracies:?}"
            );
            if accuracies[round] > accuracies[best] {
                best = round;
            }
        }
        let ended_early = history.len() < 6;
        assert!(ended_early || best >= 4, "{accuracies:?}");
        assert_eq!(summary["rounds"], 6);
        assert_eq!(summary["kept_round"], best + 1);
        assert_eq!(
            summary["best"],
            serde_json::json!({"round": best + 1, "by": "best-accuracy", "value": accuracies[best]})
        );
        assert!(printed.contains("kept as the best"));
        assert_eq!(printed.contains("ended early"), ended_early);
        let report = std::fs::read_to_string(out.join("report.html")).expect("there");
        assert!(report.contains("keeps as the best model that of round"));
        let is_another = the_best_model_is_there_if_it_is_another_one(&out);
        assert_eq!(is_another, best + 1 < history.len());
    }
}

#[test]
fn averaging_in_plaintext_is_named_insecure_and_comes_close() {
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
fn every_form_is_the_same_encrypted_and_in_plaintext() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hashes = BTreeSet::new();
    for form in ["study", "additive", "late"] {
        let of = |conditioning: &str| {
            let out = folder.path().join(format!("{form}-{conditioning}"));
            let options = ["--conditioning-form", form, "--conditioning", conditioning];
            let (summary, _) = simulate(
                &out,
                &[&options[..], &["--phantom", "informative"]].concat(),
            );
            assert_eq!(summary["conditioning"]["form"], form);
            assert_eq!(summary["phantom"], "informative");
            assert_eq!(summary["sum"]["integers_exact"], true, "{form}");
            hash(&summary).to_owned()
        };
        let encrypted = of("encrypted");
        assert_eq!(encrypted, of("plain"), "{form}");
        assert!(hashes.insert(encrypted), "{form} is another's");
    }
    let refused = run(
        &folder.path().join("none"),
        &["--conditioning", "none", "--conditioning-form", "late"],
    );
    assert_eq!(refused.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(errors.contains("--conditioning-form late"), "{errors}");
}

#[test]
fn baselines_and_what_could_be_reached_stand_beside_the_result() {
    let folder = tempfile::tempdir().expect("a folder");
    // A slice each: what is looked at is the number of patients.
    let options = [
        "--patients",
        "180",
        "--slices",
        "1",
        "--phantom",
        "informative",
    ];
    let late = [
        "--conditioning-form",
        "late",
        "--baselines",
        "--split",
        "patient",
    ];
    let out = folder.path().join("one");
    let (summary, printed) = simulate(&out, &[&options[..], &late].concat());
    let reachable = summary["reachable_auroc"].as_f64().expect("a phantom's");
    assert!((0.85..1.0).contains(&reachable), "{reachable}");
    let baselines = &summary["baselines"];
    let local = baselines["local"].as_array().expect("a list");
    assert_eq!(local.len(), 3);
    let named = ["features", "images", "pooled"].map(|name| &baselines[name]);
    for scores in named.into_iter().chain(local) {
        let auroc = scores["auroc"].as_f64().expect("both classes are tested");
        assert!((0.0..=1.0).contains(&auroc), "{auroc}");
    }
    // Nine features of some 120 patients tell more than chance; two rounds on images do not yet.
    let features = baselines["features"]["auroc"].as_f64();
    assert!(features > Some(0.65), "{features:?}");
    assert!(printed.contains("features alone"), "{printed}");
    let (plain, _) = simulate(&folder.path().join("two"), &options);
    assert!(plain["baselines"].is_null());
}

#[test]
fn partitions_reach_the_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let arguments = [
        "--partition",
        "zipf",
        "--patients",
        "24",
        "--rounds",
        "1",
        "--conditioning",
        "none",
        "--updates",
        "plain",
        "--format",
        "json",
    ];
    let (summary, printed) = simulate(&out, &arguments);
    assert_eq!(summary["partition"], "zipf");
    let printed: Value = serde_json::from_str(&printed).expect("nothing but JSON");
    assert_eq!(printed, summary);
    assert_eq!(printed["made"]["commit"].as_str(), version::COMMIT);
    let sizes: Vec<u64> = summary["patients_by_hospital"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|counts| {
            counts
                .as_array()
                .expect("counts")
                .iter()
                .filter_map(Value::as_u64)
                .sum()
        })
        .collect();
    // 24 over 1 + 1/2 + 1/3 is 13.09, 6.55 and 4.36.
    assert_eq!(sizes, [13, 7, 4]);
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect("there");
    assert!(read("report.html").contains("partition zipf"));
    let card: Value = serde_json::from_str(&read("model.json")).expect("JSON");
    assert_eq!(card["data"]["partition"], "zipf");
    assert!(card["input"]["features"].is_null());
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
        (
            &["--trace", "nowhere/trace.json"],
            &["--trace", "nowhere/trace.json"],
        ),
        (
            &["--trace", "trace.json", "--updates", "plain"],
            &["--trace", "leave one of them out"],
        ),
        (&["--data", empty], &["--data", "Looked for"]),
        (
            &["--data", empty, "--partition", "scanner"],
            &["--partition scanner", "zipf"],
        ),
    ] {
        let out = folder.path().join("run");
        let output = run(&out, arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(parts.iter().all(|part| errors.contains(part)), "{errors}");
        assert!(output.stdout.is_empty());
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("there").count(),
            1,
            "something was left behind"
        );
    }
}
