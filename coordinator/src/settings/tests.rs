//! Each layer, each bad value, as far as they are the coordinator's own.

use std::{collections::BTreeMap, fs, num::NonZeroU32};

use model_data::{
    card::{CardFeature, ModelCard},
    weights::write_safetensors,
};
use protocol::{
    features::{FeatureSchema, STUDY},
    kept_model::weights_hash,
    labels::Labels,
    manifest::{Conditioning, Keep, LabelScheme, Task},
    network::ModelLayout,
    strategy::Strategy,
};
use tempfile::TempDir;

use super::*;

struct File {
    folder: TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("coordinator.toml");
    fs::write(&path, text).expect("a file");
    File { folder, path }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn load(
    text: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Settings, SettingsError> {
    Settings::load(&file(text).path, pairs(environment), &pairs(flags))
}

#[test]
fn an_empty_file_means_the_defaults_shown_in_the_template() {
    let settings = load("", &[], &[]).expect("defaults");
    assert_eq!(settings.run, RunSettings::default());
    assert_eq!(settings.run().expect("sound").manifest().check(), Ok(()));
    let listen = SocketAddr::from(([10, 0, 0, 7], 9));
    let written = load(&template(listen, None), &[], &[]).expect("the template is a settings file");
    assert_eq!((written.listen, &written.run), (listen, &settings.run));
}

#[test]
fn flags_go_before_environment_before_file_before_defaults() {
    let text = "[run]\nrounds = 3\nlocal_epochs = 3\nbatch_size = 3\n";
    let environment = [
        ("MYELIN__RUN__ROUNDS", "4"),
        ("MYELIN__RUN__LOCAL_EPOCHS", "4"),
        ("PATH", "x"),
    ];
    let settings = load(text, &environment, &[("run.rounds", "5")]).expect("sound");
    let run = settings.run;
    assert_eq!(
        (
            run.rounds,
            run.local_epochs,
            run.batch_size,
            run.local_steps
        ),
        (5, 4, 3, 200)
    );
    let settings = load("", &[("MYELIN__LISTEN", "[::]:1")], &[]).expect("a key without a section");
    assert_eq!(settings.listen.port(), 1);
}

#[test]
fn paths_start_at_the_files_folder() {
    let file = file("state = \"/var/lib/myelin\"");
    let settings = Settings::load(&file.path, [], &[]).expect("sound");
    assert_eq!(settings.roster, file.folder.path().join("roster.json"));
    assert_eq!(
        settings.keys.tls_key,
        file.folder.path().join("keys/tls.key")
    );
    assert_eq!(settings.state, PathBuf::from("/var/lib/myelin"));
}

#[test]
fn an_unknown_key_is_named_with_those_that_exist() {
    let error = load("[run]\nround = 3\n", &[], &[]).expect_err("misspelt");
    let text = error.to_string();
    assert!(
        text.contains("`run.round`") && text.contains("run.rounds, run.seed"),
        "{text}"
    );
}

/// Of three features only the form `late` can be: it is said before hospitals are asked.
#[test]
fn a_run_is_of_the_features_that_its_form_takes() {
    let features = ("run.features", "age; sex; T2 lesions: 0..100");
    match load("", &[], &[features]).expect_err("no filter has three values") {
        SettingsError::Value { key, found, .. } => {
            assert_eq!((key, found.as_str()), ("run.features", features.1));
        }
        other => panic!("{other}"),
    }
    let settings = load("", &[], &[features, ("run.conditioning_form", "late")]).expect("sound");
    let manifest = settings.run().expect("sound").manifest();
    assert_eq!(manifest.features.to_string(), features.1);
    manifest
        .check()
        .expect("its layout has a place for each feature and class");
    assert!(
        load("", &[], &[])
            .expect("defaults")
            .run
            .features
            .is_study()
    );
    let refused = load("", &[], &[("run.features", "lesions")]);
    assert!(matches!(
        refused,
        Err(SettingsError::Features {
            key: "run.features",
            ..
        })
    ));
}

#[test]
fn every_bad_value_is_named_with_what_belongs_there() {
    for (key, value) in [
        ("listen", "localhost"),
        ("serve_outcomes_secs", "0"),
        ("run.name", ""),
        ("run.task", "ternary"),
        ("run.labels", "as-said"),
        ("run.conditioning", "yes"),
        ("run.profile", "soft"),
        ("run.rounds", "0"),
        ("run.rounds", "4294967297"),
        ("run.local_epochs", "-1"),
        ("run.batch_size", "0"),
        ("run.learning_rate", "0"),
        ("run.learning_rate", "NaN"),
        ("run.weight_decay", "1.5"),
        ("run.conditioning_rate", "-0.1"),
        ("run.strategy", "fedsgd"),
        ("run.strategy", "fedprox"),
        ("run.strategy", "fedprox:-1"),
        ("run.local_steps", "0"),
        ("run.seed", "-1"),
        ("run.round_timeout_secs", "0"),
        ("run.straggler_floor_secs", "0"),
        ("run.straggler_factor", "0.5"),
        ("run.straggler_factor", "1e9"),
        ("run.keep", "best"),
        ("run.early_stop", "-1"),
        ("run.early_stop", "1000001"),
        ("run.start_with", "-1"),
    ] {
        match load("", &[], &[(key, value)]) {
            Err(SettingsError::Value { key: named, .. }) => assert_eq!(named, key),
            other => panic!("{key} = {value}: {other:?}"),
        }
    }
}

#[test]
fn words_choose_the_manifests_variants() {
    let run = |flags: &[(&str, &str)]| load("", &[], flags).expect("sound").run;
    assert_eq!(
        run(&[("run.task", "multiclass")]).manifest().task,
        Task::Multiclass
    );
    let scheme = |flags| run(flags).manifest().label_scheme;
    assert_eq!(scheme(&[]), LabelScheme::AsWritten);
    assert_eq!(
        scheme(&[("run.labels", "as-counted")]),
        LabelScheme::AsCounted
    );
    assert_eq!(
        run(&[("run.profile", "study")]).conditioning,
        Conditioning::EncryptedStudy
    );
    assert_eq!(
        run(&[("run.conditioning", "plain")]).conditioning,
        Conditioning::Plain
    );
    assert_eq!(
        run(&[("run.conditioning", "none")]).conditioning,
        Conditioning::None
    );
    let strategy = |name| run(&[("run.strategy", name)]).manifest().strategy;
    assert_eq!(run(&[]).strategy, Strategy::FedAvg);
    assert_eq!(strategy("fedadam"), Strategy::FEDADAM);
    assert_eq!(strategy("fedprox:0.5"), Strategy::FedProx { mu: 0.5 });
    assert_eq!(
        run(&[("run.task", "multiclass")]).manifest().check(),
        Ok(())
    );
}

#[test]
fn other_seeds_begin_with_other_models() {
    let seeded = |seed| {
        RunSettings {
            seed,
            ..RunSettings::default()
        }
        .manifest()
        .init_seed
    };
    assert_ne!(seeded(1), seeded(2));
}

#[test]
fn two_runs_with_the_same_settings_are_two_runs() {
    let key = protocol::identity::SigningKey::from_secret_bytes(&[3; 32]);
    let manifest = || RunSettings::default().signed_manifest(&key);
    assert_ne!(manifest().digest(), manifest().digest());
}

#[test]
fn what_is_kept_and_when_a_run_ends_reach_the_manifest() {
    let manifest = |flags: &[(&str, &str)]| load("", &[], flags).expect("sound").run.manifest();
    let defaults = manifest(&[]);
    assert_eq!((defaults.keep, defaults.early_stop), (Keep::BestLoss, None));
    let set = manifest(&[("run.keep", "best-accuracy"), ("run.early_stop", "3")]);
    assert_eq!(
        (set.keep, set.early_stop.map(NonZeroU32::get)),
        (Keep::BestAccuracy, Some(3))
    );
    assert_eq!(manifest(&[("run.keep", "last")]).keep, Keep::Last);
    assert_eq!(manifest(&[("run.start_with", "0")]).start_with, None);
    let quorum = manifest(&[("run.start_with", "4")]).start_with;
    assert_eq!(quorum.map(NonZeroU32::get), Some(4));
    let both = load("", &[], &[("run.keep", "last"), ("run.early_stop", "3")]);
    let error = both.expect_err("never early").to_string();
    assert!(
        error.contains("`run.early_stop`") && error.contains("last"),
        "{error}"
    );
}

#[test]
fn the_model_that_a_run_starts_from_is_named_by_its_hash_or_its_file() {
    let hash = |value: &str| {
        let settings = load("", &[], &[("run.initial_model", value)]);
        settings.and_then(|settings| Ok(settings.run()?.manifest().initial_model))
    };
    assert_eq!(hash("").expect("none"), None);
    let digits = "0f".repeat(32);
    assert_eq!(hash(&digits).expect("a hash"), Some([0x0f; 32].into()));

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kept.safetensors");
    let write = |classes: u32, spoil: fn(&mut Vec<f32>)| {
        let layout = ModelLayout::hybrid_cnn(classes);
        let mut values = layout.initial_values(&[7; 32]);
        spoil(&mut values);
        let notes = BTreeMap::new();
        write_safetensors(&path, &layout.tensors, &values, &notes).expect("written");
        weights_hash(&layout, &values)
    };
    let name = path.display().to_string();
    let weights = write(2, |_| ());
    assert_eq!(hash(&name).expect("a model"), Some(weights));
    let refused = |why: &str| {
        let error = hash(&name).expect_err(why);
        assert!(
            matches!(&error, SettingsError::NamedFile { key: "run.initial_model", source, .. } if source.to_string().contains(why)),
            "{why}: {error:?}"
        );
    };
    // Its card says of which features it is.
    let card = |texts: &[&str]| {
        let schema = FeatureSchema::parse(texts).expect("features");
        let features = schema.iter().map(|feature| CardFeature {
            name: feature.name.0.clone(),
            kind: Some(feature.kind),
            from: feature.from,
            to: feature.to,
            mean: feature.from,
            deviation: 0.0,
        });
        let run = load("", &[], &[]).expect("sound").run.manifest();
        let card = ModelCard::new(&run.layout, [0; 32].into());
        let card = card.of_run(
            Labels::of(&run),
            run.conditioning,
            run.conditioning_form,
            Some(features.collect()),
        );
        let text = serde_json::to_string(&card).expect("JSON");
        fs::write(path.with_extension("json"), text).expect("written");
    };
    card(&[]);
    assert_eq!(hash(&name).expect("of the study"), Some(weights));
    let mut other: Vec<&str> = STUDY.iter().map(|(name, _)| *name).collect();
    other.swap(0, 4);
    card(&other);
    refused("of the features \"co-morbidity; age;");
    fs::remove_file(path.with_extension("json")).expect("removed");

    write(3, |_| ());
    refused("classifier.bias");
    write(2, |values| values[0] = f32::NAN);
    refused("not finite");
    fs::write(&path, "no model").expect("written");
    refused("not a usable safetensors file");
    fs::remove_file(&path).expect("removed");
    refused("cannot read");
}
