//! Small whole reproductions, run as a person runs them: options in, files and an exit code out.

mod small_reproduction;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use report::links;
use serde_json::Value;

use small_reproduction::{
    cells_done, command, refusal, run, tables, wait_for_cells, wait_until, with,
};

fn reproduce(out: &Path, arguments: &[&str]) {
    let output = run(out, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert!(printed.contains("not MRI results"), "{printed}");
}

#[test]
fn the_tables_are_whole_and_the_hybrid_network_is_its_plaintext_reference() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    reproduce(&out, &with(&["--split", "patient,slice"]));
    let text = fs::read_to_string(out.join("tables.json")).expect("there");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(file["schema"], 1);
    let rows = file["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 3 * 2);
    for row in rows {
        assert_eq!(row["task"], "binary");
        assert_eq!(row["balance"], "original");
        assert_eq!(row["labels"], "as-written");
        assert_eq!(row["seeds"], 2);
        assert_eq!(row["train_counts"].as_array().expect("by class").len(), 2);
        for score in [
            "accuracy",
            "precision_macro",
            "recall_macro",
            "f1_macro",
            "precision_micro",
            "recall_micro",
            "f1_micro",
        ] {
            let value = row[score].as_f64().expect("a number");
            assert!((0.0..=1.0).contains(&value), "{score}: {value}");
            let interval = row[format!("{score}_ci95")].as_array().expect("a pair");
            let [low, high] = [0, 1].map(|end| interval[end].as_f64().expect("a number"));
            assert!(low <= high && low >= 0.0 && high <= 1.0);
        }
        assert!(row.get("auroc").is_some() && row.get("auroc_ci95").is_some());
        assert_eq!(row["leaks"], row["split"] == "slice");
        assert_eq!(row["study"].is_null(), row["model"] == "plain-conditioned");
    }
    let of = |model: &str, split: &str| {
        let mut found = rows
            .iter()
            .filter(|row| row["model"] == model && row["split"] == split);
        found.next().expect("a row").clone()
    };
    for split in ["patient", "slice"] {
        let (mut hybrid, mut reference) = (of("hybrid", split), of("plain-conditioned", split));
        for row in [&mut hybrid, &mut reference] {
            let row = row.as_object_mut().expect("an object");
            row.remove("model");
            row.remove("study");
        }
        assert_eq!(hybrid, reference);
    }
    assert_eq!(of("plain", "slice")["study"]["accuracy"], 0.99);
    assert_eq!(file["oracle"]["pairs"], 4);
    assert_eq!(file["oracle"]["identical"], 4);
    assert_eq!(file["oracle"]["values_that_differ"], 0);
    assert_eq!(file["leak"].as_array().expect("one a network").len(), 3);
    the_baselines_stand_beside(&file);

    let words = fs::read_to_string(out.join("tables.md")).expect("there");
    for part in [
        "not MRI results",
        "3765 / 424",
        "0.90 0.32 0.33 0.31",
        "(leaks)",
        "the text has 0.58, 0.60, 0.58, 0.57",
        "What the leak of the split by slice is worth",
        "| original, features alone | ",
        "the best AUROC by patient that any classifier can reach",
        "binary, plain, split by patient: instead of the clinical features alone",
    ] {
        assert!(words.contains(part), "{part} is not in\n{words}");
    }
    let page = fs::read_to_string(out.join("report.html")).expect("there");
    assert!(page.contains("</html>"));
    assert!(page.contains("<th>original, features alone</th>"));
    assert_eq!(links::leads_outside(&page), [""; 0]);
    the_pictures_are_there(&out, &words, &page);
    let cells = fs::read_dir(out.join("cells")).expect("there").count();
    assert_eq!(cells, 3 * 2 * 2);
    let models = fs::read_dir(out.join("models")).expect("there").count();
    assert_eq!(models, 2, "one for each split");

    let again = run(&out, &["--resume", "--format", "json"]);
    let printed: Value = serde_json::from_slice(&again.stdout).expect("nothing but JSON");
    assert_eq!(printed, file);
}

/// Clinical features alone, tested where the networks are, and the best that a phantom allows.
fn the_baselines_stand_beside(file: &Value) {
    let alone = file["features_alone"].as_array().expect("a list");
    let splits: Vec<&Value> = alone.iter().map(|row| &row["split"]).collect();
    assert_eq!(splits, ["patient", "slice"]);
    for row in alone {
        assert_eq!(row["leaks"], row["split"] == "slice");
        for level in [row, &row["patient"]] {
            let accuracy = level["accuracy"].as_f64().expect("a number");
            assert!((0.0..=1.0).contains(&accuracy), "{accuracy}");
            assert!(level["accuracy_ci95"].is_array() && level.get("auroc").is_some());
        }
        let beside = file["rows"].as_array().into_iter().flatten();
        for network in beside.filter(|network| network["split"] == row["split"]) {
            assert_eq!(network["majority"], row["majority"], "the same are tested");
        }
    }
    let over = file["over_features_alone"].as_array().expect("a list");
    let of = over.iter().map(|over| over["of"].as_str().expect("text"));
    let expected = ["hybrid", "plain"].map(|network| {
        ["patient", "slice"].map(|split| format!("binary, {network}, split by {split}"))
    });
    assert_eq!(of.collect::<Vec<_>>(), expected.concat());
    let [best] = &file["reachable_auroc"].as_array().expect("a list")[..] else {
        panic!("one task");
    };
    let [both, images] =
        ["images_and_features", "images"].map(|of| best[of].as_f64().expect("a number"));
    assert!(both > 0.9 && images > 0.9, "{both}, {images}");
}

/// Those that the tables name, inside the page and as files.
fn the_pictures_are_there(out: &Path, words: &str, page: &str) {
    let mut named: Vec<&str> = words
        .split("(pictures/")
        .skip(1)
        .filter_map(|rest| rest.split_once(".png)").map(|(name, _)| name))
        .collect();
    named.sort_unstable();
    let expected = ["patient", "slice"].map(|split| {
        [
            "accuracy",
            "confusion-original",
            "grad-cam",
            "loss",
            "roc-higher",
        ]
        .map(|what| format!("binary-{split}-{what}"))
    });
    assert_eq!(named, expected.concat());
    for name in named {
        let png = fs::read(out.join(format!("pictures/{name}.png"))).expect("there");
        assert!(png.starts_with(b"\x89PNG") && png.len() > 1000, "{name}");
    }
    assert_eq!(page.matches("<svg").count(), expected.concat().len());
}

#[test]
fn a_killed_run_ends_with_the_tables_of_one_that_was_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    let arguments = with(&["--model", "hybrid,plain", "--split", "slice"]);
    reproduce(&whole, &[&arguments[..], &["--jobs", "2"]].concat());

    let mut child = command(&killed, &[&arguments[..], &["--jobs", "1"]].concat())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    wait_for_cells(&killed, 1);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(
        cells_done(&killed) < 4 && !killed.join("tables.json").exists(),
        "it was too fast to be killed"
    );

    // Without --resume nothing is touched; another run is not continued.
    assert!(refusal(&killed, &arguments).contains("--resume"));
    let other = refusal(&killed, &["--resume", "--epochs", "3"]);
    assert!(
        other.contains("epochs was 2, now 3") && other.contains("--out"),
        "{other}"
    );
    // A damaged file is done again.
    let cells = fs::read_dir(killed.join("cells")).expect("there");
    let cell = cells.flatten().next().expect("one").path();
    let text = fs::read(&cell).expect("there");
    fs::write(&cell, &text[..text.len() / 2]).expect("written");

    reproduce(&killed, &["--resume"]);
    assert!(tables(&whole) == tables(&killed), "the same bytes");
    // So is a training whose model is gone.
    let models = || fs::read_dir(killed.join("models")).expect("there");
    let model = models().flatten().next().expect("one").path();
    // Behind the header, whose notes come in any order.
    let numbers = || {
        let file = fs::read(&model).expect("there");
        let header = u64::from_le_bytes(file[..8].try_into().expect("eight bytes"));
        file[8 + header as usize..].to_vec()
    };
    let before = numbers();
    fs::remove_file(&model).expect("removed");
    reproduce(&killed, &["--resume"]);
    assert!(numbers() == before);
    reproduce(&killed, &["--resume"]);
    assert!(
        tables(&whole) == tables(&killed),
        "a finished run stays as it is"
    );
}

#[test]
fn what_cannot_be_done_is_said_with_the_way_out_before_anything_is_trained() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let few = ["--patients", "4", "--slices", "1", "--task", "multiclass"];
    let refused = refusal(&out, &few);
    for part in [
        "multiclass, split by patient, seed 1",
        "class '",
        "--patients",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(!out.join("cells").exists());
    let refused = refusal(&out, &["--data", "no-such-folder"]);
    assert!(refused.contains("--data no-such-folder"), "{refused}");
    fs::write(out.join("notes.txt"), "mine").expect("written");
    assert!(refusal(&out, &[]).contains("not empty"));
    assert!(refusal(&out, &["--resume"]).contains("there is no run in"));
}

#[cfg(unix)]
#[test]
fn a_run_that_is_stopped_before_it_began_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let many = ["--patients", "2000", "--slices", "8"];
    let child = command(&out, &many)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    wait_until("no run in time", || out.join(".lock").exists());
    let asked = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(asked.expect("asked").success());
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(errors.contains("what was begun is removed"), "{errors}");
    assert!(!errors.contains("to go on"), "{errors}");
    assert!(!out.exists(), "something is left");
}
