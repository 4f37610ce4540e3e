use model_data::{FEATURES, Feature};
use protocol::manifest::testing::manifest;
use serde_json::{Value, json};

use super::*;

const RUN: [u8; 32] = [7; 32];

/// A model that is the best one so far.
fn latest(round: u32, loss: f64) -> LatestModel {
    let model = CommonModel::initial(&manifest());
    let loss = (loss * 65_536.0) as u64;
    LatestModel {
        run: RUN.into(),
        hash: [round as u8; 32].into(),
        model,
        transcript: [9; 32].into(),
        learning_round: LearningRound::new(round),
        contributors: [1, 3].into_iter().filter_map(HospitalId::new).collect(),
        validation: EvaluationCounters::read(&[2, 30, 10, 5, 55, loss, 0, 0]).ok(),
        kept_round: Some(LearningRound::new(round)),
        labels: Labels::of(&manifest()),
        conditioning: Conditioning::EncryptedHardened,
        form: ConditioningForm::Study,
        features: FeatureSchema::study(),
        statistics: Some(Statistics {
            class_counts: vec![5, 3],
            means: vec![0.5; FEATURES],
            deviations: vec![0.25; FEATURES],
        }),
    }
}

fn reading() -> OwnReading {
    OwnReading {
        split: SplitKind::Slice,
        contrasts: vec![Contrast::T2],
        slices: SliceChoice::evenly(16),
        now: || OffsetDateTime::UNIX_EPOCH,
    }
}

fn write_as_the_journal(keeper: &ModelKeeper, latest: &LatestModel) {
    let path = keeper.model_of(&latest.run);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let notes = BTreeMap::from([(MODEL_HASH.to_owned(), hex::encode(latest.hash))]);
    let layout = &latest.model.layout().tensors;
    write_safetensors(&path, layout, latest.model.values(), &notes).expect("written");
}

#[test]
fn the_model_that_the_journal_has_written_meanwhile_is_not_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = ModelKeeper::new(folder.path(), reading());
    let (told, ahead) = (latest(1, 50.0), latest(2, 30.0));
    write_as_the_journal(&keeper, &told);
    keeper.keep(&told, false).expect("written");
    write_as_the_journal(&keeper, &ahead);
    let path = keeper.keep(&told, false).expect("nothing to do");
    let notes = read_notes(&path).expect("a model");
    assert_eq!(notes[MODEL_HASH], hex::encode(ahead.hash));
}

fn card(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("a card");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn every_tensor_can_be_read_back_and_the_card_names_the_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = ModelKeeper::new(folder.path(), reading());
    let latest = latest(2, 50.0);
    let path = keeper.keep(&latest, false).expect("written");
    keeper.keep(&latest, true).expect("written over");
    assert_eq!(path, keeper.model_of(&RUN.into()));
    let layout = &latest.model.layout().tensors;
    for path in [path, folder.path().join(MODEL_FILE)] {
        let values = model_data::weights::read_safetensors(&path, layout).expect("readable");
        assert!(values == **latest.model.values());
    }
    let card = card(&folder.path().join(CARD_FILE));
    assert_eq!(card["model_hash"], hex::encode(latest.hash));
    assert_eq!(card["run"], hex::encode(RUN));
    assert_eq!(card["classes"], 2);
    assert_eq!(card["contributors"], json!([1, 3]));
    assert_eq!(card["strategy"], "fedavg");
    assert_eq!(card["validation"]["accuracy"], 0.85);
    let read: ModelCard = serde_json::from_value(card).expect("a card");
    assert_eq!(read, latest.card(&reading(), true));
    assert!(read.run_complete && read.transcript == Some(latest.transcript));
    assert_eq!((read.data, read.training, read.test), (None, None, None));
    let (input, output) = (read.input, read.output.expect("told"));
    assert_eq!(output.classes.len(), 2);
    assert_eq!(input.contrasts, Some(vec![Contrast::T2]));
    assert_eq!(input.slices_per_scan, Some(16));
    let features = input.feature_statistics.expect("told");
    assert_eq!(features.len(), FEATURES);
    let age = &features[Feature::Age.index()];
    assert_eq!((age.name.as_str(), age.to, age.mean), ("age", 100.0, 0.5));
    assert_eq!(read.date.as_deref(), Some("1970-01-01T00:00:00Z"));
    // Model, best model, and their cards, each once in each of the two folders; and `runs`.
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 5);
}

#[test]
fn the_round_that_the_vault_names_is_kept_as_the_best_and_stays_when_others_follow() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = ModelKeeper::new(folder.path(), reading());
    for (round, kept_round) in [(1, 1), (2, 2), (3, 2), (4, 2)] {
        let latest = LatestModel {
            kept_round: Some(LearningRound::new(kept_round)),
            ..latest(round, 50.0)
        };
        write_as_the_journal(&keeper, &latest);
        // Before its evaluation nobody knows; then the vault says which.
        let before = LatestModel {
            kept_round: (round > 1).then(|| LearningRound::new(kept_round.min(round - 1))),
            validation: None,
            ..latest.clone()
        };
        keeper.keep(&before, false).expect("written");
        keeper.keep(&latest, false).expect("written");
    }
    let (last, best) = (
        card(&folder.path().join(CARD_FILE)),
        card(&folder.path().join(BEST_CARD_FILE)),
    );
    assert_eq!(
        (&last["learning_round"], &best["learning_round"]),
        (&json!(4), &json!(2))
    );
    assert_eq!(best["model"], BEST_MODEL_FILE);
    let notes = read_notes(&folder.path().join(BEST_MODEL_FILE)).expect("a model");
    assert_eq!(notes[MODEL_HASH], hex::encode([2; 32]));
}

#[test]
fn a_run_without_an_update_leaves_the_model_of_another_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = ModelKeeper::new(folder.path(), reading());
    keeper.keep(&latest(3, 30.0), true).expect("written");
    let second = LatestModel {
        run: [8; 32].into(),
        ..latest(0, 30.0)
    };
    keeper.keep(&second, false).expect("nothing to write");
    let card = card(&folder.path().join(CARD_FILE));
    assert_eq!(card["run_complete"], true);
    let third = LatestModel {
        run: [9; 32].into(),
        ..latest(1, 60.0)
    };
    keeper.keep(&third, false).expect("written");
    let first = read_notes(&keeper.model_of(&RUN.into())).expect("still there");
    assert_eq!(first[MODEL_HASH], hex::encode([3; 32]));
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

const KEPT: [&str; 4] = [
    "model-best.json",
    "model-best.safetensors",
    "model.json",
    "model.safetensors",
];

#[test]
fn no_candidate_is_left_however_often_a_model_is_kept_and_after_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = ModelKeeper::new(folder.path(), reading());
    let latest = latest(2, 50.0);
    let run = run_folder(folder.path(), &RUN.into());
    // The second time both names are of one file.
    for complete in [false, true] {
        keeper.keep(&latest, complete).expect("written");
        assert_eq!(names(&run), KEPT, "{complete}");
    }
    for left in [
        "model-candidate.safetensors",
        "model-best.unfinished",
        "model.json.unfinished",
    ] {
        fs::write(run.join(left), "half").expect("written");
        fs::write(folder.path().join(left), "half").expect("written");
    }
    let _tidied = keeper.tidied();
    assert_eq!(names(&run), KEPT);
    assert_eq!(names(folder.path()), [&KEPT[..], &["runs"]].concat());
}

#[test]
fn a_best_model_that_is_lost_is_no_error_and_not_replaced_by_a_worse_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = ModelKeeper::new(folder.path(), reading());
    keeper.keep(&latest(1, 50.0), false).expect("written");
    let run = run_folder(folder.path(), &RUN.into());
    let best = run.join(BEST_MODEL_FILE);
    fs::remove_file(&best).expect("it was there");
    let worse = LatestModel {
        kept_round: Some(LearningRound::new(1)),
        ..latest(2, 70.0)
    };
    write_as_the_journal(&keeper, &worse);
    for _ in 0..2 {
        keeper.keep(&worse, false).expect("written");
        assert!(!best.exists() && keeper.told_of_loss.is_completed());
    }
    let better = latest(3, 30.0);
    write_as_the_journal(&keeper, &better);
    keeper.keep(&better, true).expect("written");
    let notes = read_notes(&best).expect("a model");
    assert_eq!(notes[MODEL_HASH], hex::encode(better.hash));
}
