//! What is no model to export: damaged files, a card of another model, a card that leaves open which network it is.

#[path = "../../tests/oracle/drawn_model.rs"]
#[expect(dead_code, reason = "nobody is asked here, and no slice is looked at")]
mod drawn_model;
mod fixture;

use std::{collections::BTreeMap, fs, path::Path};

use drawn_model::DrawnModel;
use fixture::{Variant, bare_card, full_card, keep};
use model_data::{card::ModelCard, weights::write_safetensors};
use model_export::{ExportError, FilterSource, Format, KeptModelError, ModelFiles, export};
use protocol::network::ModelLayout;

fn drawn() -> DrawnModel {
    DrawnModel::new(&ModelLayout::hybrid_cnn(2).tensors)
}

fn refused(folder: &Path, files: &ModelFiles) -> KeptModelError {
    let out = folder.join("out");
    let error = export(&out, files, &Format::ALL).expect_err("no model to export");
    assert!(!out.exists(), "something was written");
    match error {
        ExportError::Source(error) => error,
        ExportError::Write(error) => panic!("{error}"),
    }
}

#[test]
fn a_card_that_does_not_say_how_filters_are_made_needs_somebody_who_does() {
    let (folder, drawn) = (tempfile::tempdir().expect("a folder"), drawn());
    let path = folder.path();
    let files = keep(path, &drawn, &bare_card(2));
    assert!(matches!(
        refused(path, &files),
        KeptModelError::FiltersUnknown
    ));
    for filters in [FilterSource::Features, FilterSource::Common] {
        let files = ModelFiles {
            filters: Some(filters),
            ..files.clone()
        };
        let written = export(&path.join("told"), &files, &Format::ALL).expect("exported");
        assert_eq!(written.len(), 14);
        for path in written {
            let text = fs::read(&path).expect("there");
            assert!(!text.is_empty(), "{}", path.display());
        }
    }
    for (variant, told) in [
        (Variant::STUDY, FilterSource::Common),
        (Variant::Plain, FilterSource::Features),
    ] {
        let files = ModelFiles {
            filters: Some(told),
            ..keep(path, &drawn, &full_card(2, variant, &drawn))
        };
        let error = refused(path, &files);
        assert!(
            matches!(error, KeptModelError::OtherFilters { .. }),
            "{error}"
        );
    }
}

#[test]
fn a_card_of_an_earlier_release_is_understood() {
    let (folder, drawn) = (tempfile::tempdir().expect("a folder"), drawn());
    let path = folder.path();
    for variant in [Variant::STUDY, Variant::Plain] {
        let mut card = full_card(2, variant, &drawn);
        card.input.conditioning = None;
        card.input.feature_statistics = None;
        card.output = None;
        // More patients than there are: nothing is added up that is not a number then.
        let test = card.test.as_mut().expect("a test");
        test.patient.confusion = vec![vec![u64::MAX; 2]; 2];
        let files = keep(path, &drawn, &card);
        export(&path.join("out"), &files, &Format::ALL).expect("exported");
        let told = fs::read_to_string(path.join("out/monai/configs/inference.json"));
        let conditioned = format!("\"conditioned\": {}", variant == Variant::STUDY);
        assert!(told.expect("there").contains(&conditioned));
    }
}

#[test]
fn a_card_of_another_network_or_model_is_refused() {
    let (folder, drawn) = (tempfile::tempdir().expect("a folder"), drawn());
    let path = folder.path();
    let full = || full_card(2, Variant::STUDY, &drawn);
    let error_of = |card: ModelCard| refused(path, &keep(path, &drawn, &card)).to_string();
    for classes in [None, Some(0), Some(1), Some(4), Some(u32::MAX)] {
        let error = error_of(ModelCard { classes, ..full() });
        assert!(error.contains("`classes`"), "{error}");
    }
    let three = error_of(ModelCard {
        classes: Some(3),
        ..full()
    });
    assert!(three.contains("classifier.bias"), "{three}");
    let mut eight = full();
    eight.input.features.as_mut().map(Vec::pop);
    let error = error_of(eight.clone());
    assert!(error.contains("`feature_statistics`"), "{error}");
    eight.input.feature_statistics.as_mut().map(Vec::pop);
    let error = error_of(eight);
    assert!(error.contains("8 features"), "{error}");
    for (card, kind) in [
        (
            ModelCard {
                weights_sha256: Some("00".repeat(32)),
                ..full()
            },
            "SHA-256",
        ),
        (
            ModelCard {
                weights_hash: Some([7; 32].into()),
                ..full()
            },
            "weights_hash",
        ),
    ] {
        let error = error_of(card);
        assert!(error.contains(kind), "{error}");
    }

    let layout = ModelLayout::hybrid_cnn(2);
    let mut values = vec![0.5; layout.values()];
    let notes = BTreeMap::from([("model_hash".to_owned(), "cd".repeat(32))]);
    let card = ModelCard {
        weights_sha256: None,
        ..full()
    };
    let files = keep(path, &drawn, &card);
    write_safetensors(&files.weights, &layout.tensors, &values, &notes).expect("written");
    let error = refused(path, &files);
    assert!(
        matches!(
            &error,
            KeptModelError::OtherModel {
                kind: "model_hash",
                ..
            }
        ),
        "{error}"
    );
    for value in [f32::NAN, f32::INFINITY] {
        values[layout.range("dense.bias").expect("named").start] = value;
        let none = BTreeMap::new();
        write_safetensors(&files.weights, &layout.tensors, &values, &none).expect("written");
        let error = refused(path, &files);
        assert!(
            matches!(&error, KeptModelError::NotFinite { name } if name == "dense.bias"),
            "{error}"
        );
    }
}

#[test]
fn damaged_files_are_an_error_and_no_panic() {
    let (folder, drawn) = (tempfile::tempdir().expect("a folder"), drawn());
    let path = folder.path();
    let files = keep(path, &drawn, &full_card(2, Variant::STUDY, &drawn));
    let (weights, card) = (fs::read(&files.weights), fs::read(&files.card));
    let (weights, card) = (weights.expect("there"), card.expect("there"));
    for length in [0, 7, 8, 9, 100, weights.len() - 1] {
        fs::write(&files.weights, &weights[..length]).expect("written");
        let error = refused(path, &files);
        assert!(
            matches!(error, KeptModelError::Weights(_)),
            "{length}: {error}"
        );
    }
    // A header that promises more than there is.
    let mut promises = weights.clone();
    promises[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(&files.weights, &promises).expect("written");
    assert!(matches!(refused(path, &files), KeptModelError::Weights(_)));
    fs::write(&files.weights, &weights).expect("written");

    for length in (0..card.len() - 1).step_by(97) {
        fs::write(&files.card, &card[..length]).expect("written");
        let error = refused(path, &files);
        assert!(
            matches!(error, KeptModelError::Card { .. }),
            "{length}: {error}"
        );
    }
    let deep = "[".repeat(100_000);
    fs::write(&files.card, deep).expect("written");
    assert!(matches!(refused(path, &files), KeptModelError::Card { .. }));
    fs::write(&files.card, vec![b' '; 2 << 20]).expect("written");
    assert!(matches!(
        refused(path, &files),
        KeptModelError::CardTooLarge { .. }
    ));
    fs::remove_file(&files.card).expect("there");
    assert!(matches!(
        refused(path, &files),
        KeptModelError::CardFile { .. }
    ));
}
