//! Models in the formats of others, read by the programs that read them: ONNX Runtime, huggingface_hub, MONAI.
//!
//! What is compared with is PyTorch's word on the same weights, through docs/load_model.py: of three classes it is the record of `model`,
//! of two that of this crate. `cargo test -p model-export --test export -- --ignored` records that
//! anew with the PyTorch of `python3`.

#[path = "../../tests/oracle/drawn_model.rs"]
mod drawn_model;
mod fixture;
#[path = "../../tests/oracle/python.rs"]
mod python;

use std::{fs, path::Path};

use drawn_model::{BATCH, DrawnModel, PIXELS, Recorded};
use fixture::{Variant, bare_card, full_card, keep};
use model_data::card::{ModelCard, NOTICE};
use model_export::{FilterSource, Format, ModelFiles, export};
use protocol::{
    network::{CONDITIONED_SLOPE, CONDITIONED_WEIGHT, LATE_WEIGHT, ModelLayout},
    vocabulary::ConditioningForm,
};
use python::Environment;
use serde_json::json;
use tempfile::TempDir;

const MONAI: Environment = Environment {
    python: "MYELIN_MONAI_PYTHON",
    folder: "target/monai",
    install: "what is at the head of model/export/tests/oracle/requirements-monai.txt",
    required: "MYELIN_REQUIRE_MONAI",
};

const CASES: [(u32, Variant); 6] = [
    (2, Variant::STUDY),
    (2, Variant::Plain),
    (3, Variant::STUDY),
    (3, Variant::Plain),
    (3, Variant::Conditioned(ConditioningForm::Additive)),
    (3, Variant::Conditioned(ConditioningForm::Late)),
];

fn drawn(classes: u32, form: ConditioningForm) -> DrawnModel {
    DrawnModel::new(&ModelLayout::of(classes, form, 9).tensors)
}

fn record_of(classes: u32, form: ConditioningForm) -> &'static str {
    match (classes, form) {
        (2, _) => "model/export/tests/oracle/two_classes.json",
        (_, ConditioningForm::Study) => "model/tests/oracle/loaded_logits.json",
        (_, ConditioningForm::Additive) => "model/tests/oracle/loaded_logits_additive.json",
        (_, ConditioningForm::Late) => "model/tests/oracle/loaded_logits_late.json",
    }
}

/// PyTorch's logits, `[sample][class]`, of the four slices that were drawn.
fn recorded(classes: u32, variant: Variant, drawn: &DrawnModel) -> Vec<Vec<f64>> {
    let recorded = Recorded::read(record_of(classes, variant.form()));
    assert_eq!(drawn.sha256(), recorded.sha256, "another record");
    match variant {
        Variant::Conditioned(_) => recorded.conditioned,
        Variant::Plain => recorded.free,
    }
}

fn write_floats(path: &Path, values: &[f32]) {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    fs::write(path, bytes).expect("written");
}

#[test]
fn onnx_runtime_computes_what_pytorch_computes() {
    for (classes, variant) in CASES {
        let folder = tempfile::tempdir().expect("a folder");
        let drawn = drawn(classes, variant.form());
        let path = folder.path();
        let files = keep(path, &drawn, &full_card(classes, variant, &drawn));
        let written = export(&path.join("out"), &files, &[Format::Onnx]).expect("exported");
        assert_eq!(written, [path.join("out/model.onnx")]);

        // A fifth sample: the second once more, so that the batch is not the one that was recorded.
        let mut logits = recorded(classes, variant, &drawn);
        logits.push(logits[1].clone());
        let with_second = |values: &[f32]| {
            let length = values.len() / BATCH;
            [values, &values[length..2 * length]].concat()
        };
        let slices = with_second(&drawn.slices);
        assert_eq!(slices.len(), 5 * PIXELS);
        write_floats(&path.join("slices.f32"), &slices);
        if variant != Variant::Plain {
            write_floats(&path.join("features.f32"), &with_second(&drawn.features));
        }
        let layout = ModelLayout::of(classes, variant.form(), 9);
        let values = model_data::weights::read_safetensors(&files.weights, &layout.tensors);
        let values = values.expect("readable");
        let tensor = |name: &str| layout.range(name).map(|range| values[range].to_vec());
        let expected = json!({
            "logits": logits,
            "classes": classes,
            "base": tensor(CONDITIONED_WEIGHT),
            "slope": tensor(CONDITIONED_SLOPE),
            "late": tensor(LATE_WEIGHT),
            "notes": {"model_hash": "ab".repeat(32), "notice": format!("Not for diagnosis. {NOTICE}"), "learning_round": "8"},
        });
        fs::write(path.join("expected.json"), expected.to_string()).expect("written");
        python::ask("check_onnx.py", &[path]);
    }
}

#[test]
fn a_model_card_is_read_by_the_library_of_the_hub() {
    let drawn = drawn(2, ConditioningForm::Study);
    let full = full_card(2, Variant::STUDY, &drawn);
    let results = [("slice", "288 slices"), ("patient", "18 patients")].map(|(by, count)| {
        [
            ("Accuracy", "accuracy", 0.837),
            ("F1, macro", "f1", 0.836),
            ("AUROC", "roc_auc", 0.906),
        ]
        .into_iter()
        .filter(|(name, ..)| by == "slice" || *name != "AUROC")
        .map(|(name, kind, value)| json!([format!("{name}, by {by}, of {count}"), kind, value]))
        .collect::<Vec<_>>()
    });
    let told = [
        "Few patients: the test has 18.",
        "phantom's \"numbers\" \\| &lt;b&gt; no",
        "120 patients over all hospitals",
        "age at onset from 0 to 100, mean 43.25",
        "commit 0123abc",
    ];
    // A test of too few patients is told in words, and is no headline of the hub.
    let mut small = full.clone();
    let test = small.test.as_mut().expect("tested");
    test.patient.confusion = vec![vec![5, 0], vec![2, 1]];
    let few = ["TOO FEW PATIENTS TO TELL", "6 of 8 were classified rightly"];
    let untold = ["There is no test result", "unknown, the card does not say"];
    let named = ModelCard {
        licence: Some("Research only: ask us".into()),
        ..bare_card(2)
    };
    for (card, filters, metrics, text, licence) in [
        (full, None, results.concat(), told.as_slice(), "cc-by-4.0"),
        (small, None, Vec::new(), &few, "cc-by-4.0"),
        (
            bare_card(2),
            Some(FilterSource::Common),
            Vec::new(),
            &untold,
            "unknown",
        ),
        (
            named,
            Some(FilterSource::Features),
            Vec::new(),
            &untold,
            "other",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let files = ModelFiles {
            filters,
            ..keep(path, &drawn, &card)
        };
        let written = export(&path.join("out"), &files, &[Format::HuggingFace]).expect("exported");
        assert!(written.iter().all(|path| path.is_file()), "{written:?}");
        let expected = json!({"metrics": metrics, "dataset": "phantom", "name": card.name, "text": text, "licence": licence, "licence_name": card.licence});
        fs::write(path.join("expected.json"), expected.to_string()).expect("written");
        python::ask("check_hugging_face.py", &[path]);
    }
}

#[test]
fn a_licence_that_is_told_stands_in_all_that_is_written_and_nothing_else_changes() {
    let (folder, drawn) = (
        tempfile::tempdir().expect("a folder"),
        drawn(2, ConditioningForm::Study),
    );
    let path = folder.path();
    let kept = keep(path, &drawn, &full_card(2, Variant::Plain, &drawn));
    let files = ModelFiles {
        licence: Some("CC-BY-NC-4.0".parse().expect("a name")),
        ..kept
    };
    export(&path.join("out"), &files, &Format::ALL).expect("exported");
    let read = |name: &str| fs::read_to_string(path.join(name)).expect("written");
    let json = |name: &str| serde_json::from_str::<serde_json::Value>(&read(name)).expect("JSON");
    let (mut before, after) = (json("model.json"), json("out/huggingface/model.json"));
    assert_eq!(before["licence"], "CC-BY-4.0");
    before["licence"] = "CC-BY-NC-4.0".into();
    assert_eq!(after, before);
    assert!(read("out/huggingface/README.md").contains("license: cc-by-nc-4.0"));
    assert!(read("out/monai/LICENSE").contains("CC-BY-NC-4.0"));
    let graph = fs::read(path.join("out/model.onnx")).expect("written");
    let name = b"CC-BY-NC-4.0";
    assert!(graph.windows(name.len()).any(|part| part == name));
}

fn exported_bundle(classes: u32, variant: Variant) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let drawn = drawn(classes, variant.form());
    let path = folder.path();
    let files = keep(path, &drawn, &full_card(classes, variant, &drawn));
    export(&path.join("out"), &files, &[Format::Monai]).expect("exported");
    let inputs = match variant {
        Variant::Conditioned(_) => &drawn.conditioned,
        Variant::Plain => &drawn.free,
    };
    fs::copy(inputs, path.join("input.safetensors")).expect("copied");
    let expected = json!({
        "logits": recorded(classes, variant, &drawn),
        "classes": classes,
        "conditioned": variant != Variant::Plain,
        "features": 9,
    });
    fs::write(path.join("expected.json"), expected.to_string()).expect("written");
    folder
}

#[test]
fn monai_runs_a_bundle_and_gets_what_pytorch_gets() {
    let bundles = CASES.map(|(classes, variant)| exported_bundle(classes, variant));
    MONAI.ask("check_monai.py", &bundles.each_ref().map(TempDir::path));
}

#[test]
#[ignore = "records anew what PyTorch says"]
fn record() {
    let form = ConditioningForm::Study;
    let now = drawn(2, form).asked_of_pytorch();
    now.expect("python3 with torch and safetensors")
        .write(record_of(2, form));
}
