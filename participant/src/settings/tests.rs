//! Each layer, each bad value, each unknown key, as far as they are the participant's own.

use std::fs;

use crypto::ckks::Profile;
use host::participant_file::participant_file;
use tempfile::TempDir;

use super::*;
use crate::{
    trainer_program::GpuMemoryShare,
    vault::{conditioning::release::ReleaseLevels, policy::RepeatedSums},
};

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("participant.toml");
    fs::write(&path, text).expect("a file");
    (folder, path)
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn load(text: &str, flags: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let (_folder, path) = file(text);
    Settings::load(&path, [], &pairs(flags))
}

#[test]
fn a_number_alone_means_the_defaults_of_the_code() {
    let settings = load("hospital = 7", &[]).expect("defaults");
    assert_eq!(settings.hospital.get(), 7);
    assert_eq!(settings.policy, Policy::default());
    assert_eq!(settings.approval, Approval::Ask);
    assert_eq!(settings.allowance, Allowance::default());
    let training = TrainingSettings {
        device: DeviceChoice::default(),
        split: SplitKind::default(),
        seed: 1,
        slices: SliceChoice::All { drop_empty: true },
    };
    assert_eq!(settings.training, training);
    let trainer = TrainerSettings {
        command: vec![],
        restarts: 3,
        confine: true,
    };
    assert_eq!(settings.trainer, trainer);
    let options = settings.load_options();
    let cache = options.cache.as_ref().expect("on");
    assert!(cache.folder.ends_with("state/slices") && cache.forget_others);
    let defaults = LoadOptions {
        cache: options.cache.clone(),
        ..LoadOptions::default()
    };
    assert_eq!(options, defaults);
}

#[test]
fn contrasts_are_a_list_in_the_file_and_a_text_with_commas_elsewhere() {
    let contrasts = |text: &str, flags: &[(&str, &str)]| {
        let settings = load(text, flags).expect("sound");
        settings.reading.contrasts
    };
    let in_file = "hospital = 1\n[reading]\ncontrasts = [\"t1\", \"flair\"]\n";
    assert_eq!(contrasts(in_file, &[]), [Contrast::T1, Contrast::Flair]);
    let flags = [
        ("reading.contrasts", "flair, t2"),
        ("reading.cache", "false"),
    ];
    assert_eq!(contrasts(in_file, &flags), [Contrast::Flair, Contrast::T2]);
    let settings = load(in_file, &flags).expect("sound");
    assert_eq!(settings.load_options().cache, None);
}

#[test]
fn the_number_has_no_default() {
    let error = load("data = \"data\"", &[]).expect_err("no number");
    assert!(
        matches!(
            error,
            SettingsError::Missing {
                key: "hospital",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn what_a_demo_writes_is_read() {
    let hospital = HospitalId::new(3).expect("in range");
    let (folder, path) = file(&participant_file(
        hospital,
        "[::1]:9000",
        "coordinator.example",
    ));
    let settings = Settings::load(&path, [], &[]).expect("sound");
    assert_eq!(settings.hospital, hospital);
    assert_eq!(settings.coordinator.address, "[::1]:9000");
    assert_eq!(settings.coordinator.server_name, "coordinator.example");
    assert_eq!(settings.roster, folder.path().join("roster.json"));
    assert_eq!(settings.keys.tls_key, folder.path().join("keys/tls.key"));
}

#[test]
fn flags_environment_and_file_reach_their_settings() {
    let (folder, path) = file("hospital = 2\ndata = \"/srv/mri\"\n[policy]\nmax_rounds = 5\n");
    let environment = [
        ("MYELIN__TRAINING__SPLIT", "slice"),
        ("MYELIN__STATE", "elsewhere"),
    ];
    let flags = [
        ("training.device", "cuda:1"),
        ("training.slices_per_patient", "12"),
        ("policy.max_weight", "4"),
        ("policy.max_first_clip", "2.5"),
        ("policy.allow_initial_model", "false"),
        ("policy.profiles", "study, hardened"),
        ("policy.members", "North, South ,"),
        ("policy.coordinator", " ab12 "),
        ("policy.min_members", "7"),
        ("policy.min_contributors", "6"),
        ("policy.max_batch_size", "16"),
        ("policy.allow_plain_conditioning", "true"),
        ("policy.repeated_sums", "allow"),
        ("policy.max_null_steps", "0"),
        ("policy.release.versions", "9"),
        ("policy.release.levels", "33"),
        ("policy.approval", "automatic"),
        ("policy.hours", "19:00-07:00, 12:15-13:00"),
        ("policy.max_megabits_per_second", "20"),
        ("policy.max_gpu_memory_percent", "40"),
    ];
    let settings = Settings::load(&path, pairs(&environment), &pairs(&flags)).expect("sound");
    assert_eq!(settings.data, PathBuf::from("/srv/mri"));
    assert_eq!(settings.state, folder.path().join("elsewhere"));
    assert_eq!(settings.training.split, SplitKind::Slice);
    assert_eq!(settings.training.device, DeviceChoice::Cuda(1));
    assert_eq!(settings.training.slices, SliceChoice::evenly(12));
    let policy = Policy {
        max_rounds: 5,
        max_weight: 4,
        max_first_clip: 2.5,
        allow_initial_model: false,
        profiles: vec![Profile::Study, Profile::Hardened],
        members: vec!["North".into(), "South".into()],
        coordinator: Some("ab12".into()),
        min_members: 7,
        min_contributors: 6,
        max_batch_size: 16,
        allow_plain_conditioning: true,
        repeated_sums: RepeatedSums::Allow,
        max_null_steps: 0,
        release_versions: 9,
        release_levels: ReleaseLevels::new(33).expect("2^5 + 1"),
        ..Policy::default()
    };
    assert_eq!(settings.policy, policy);
    assert_eq!(settings.approval, Approval::Automatic);
    let allowance = &settings.allowance;
    let hours: Vec<_> = allowance
        .hours
        .spans()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(hours, ["19:00-07:00", "12:15-13:00"]);
    let rate = allowance.rate.expect("a bound");
    assert_eq!(rate.megabits_per_second(), 20);
    assert_eq!(
        allowance.gpu_memory,
        GpuMemoryShare::new(40).expect("in range")
    );
    let lists = "hospital = 1\n[policy]\nprofiles = []\nmembers = [\"North, upper\"]\n";
    let settings = load(lists, &[]).expect("sound");
    assert_eq!(settings.policy.profiles, []);
    assert_eq!(settings.policy.members, ["North, upper"]);
}

#[test]
fn features_are_a_list_in_the_file_and_a_text_in_a_flag() {
    let columns: Vec<String> = (1..=9)
        .map(|place| format!("score {place}: 0..{place}"))
        .collect();
    let list = format!("hospital = 1\n[reading]\nfeature_columns = {columns:?}\n");
    let settings = load(&list, &[]).expect("sound");
    assert_eq!(
        settings.reading.feature_columns.names().nth(8),
        Some("score 9")
    );
    assert_eq!(
        settings.reading.feature_columns.features[8].range(),
        [0.0, 9.0]
    );
    let flag = load(
        "hospital = 1",
        &[("reading.feature_columns", &columns.join("; "))],
    )
    .expect("sound");
    assert_eq!(
        flag.reading.feature_columns,
        settings.reading.feature_columns
    );
    let standard = load("hospital = 1", &[]).expect("defaults");
    assert!(standard.reading.feature_columns.is_study());
    assert_eq!(settings.policy.features, settings.reading.feature_columns);
    for (wrong, said) in [
        ("a; age", "'a' is no feature"),
        ("age; edss: 0..10", "cannot be a feature"),
    ] {
        let refused = load("hospital = 1", &[("reading.feature_columns", wrong)]);
        match refused.expect_err("refused") {
            SettingsError::Features { key, source } => {
                assert_eq!(key, "reading.feature_columns");
                assert!(source.to_string().contains(said), "{source}");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_launcher_is_a_list_in_the_file_and_words_in_a_flag() {
    let command = ["srun", "--gres=gpu:1"];
    let file = format!("hospital = 1\n[trainer]\ncommand = {command:?}\n");
    let trainer = load(&file, &[]).expect("sound").trainer;
    assert_eq!(trainer.command, command);
    let flag = [
        ("trainer.command", "srun  --gres=gpu:1"),
        ("trainer.confine", "false"),
    ];
    let trainer = load("hospital = 1", &flag).expect("sound").trainer;
    assert_eq!(trainer.command, command);
    assert!(!trainer.confine);
    let empty = load("hospital = 1\n[trainer]\ncommand = [\"\"]\n", &[]);
    assert!(matches!(
        empty,
        Err(SettingsError::Value {
            key: "trainer.command",
            ..
        })
    ));
}

#[test]
fn unknown_keys_are_refused_with_those_that_exist() {
    let error = load("hospital = 1\n[policy]\nrounds = 3\n", &[]).expect_err("misspelt");
    let text = error.to_string();
    assert!(
        text.contains("`policy.rounds`") && text.contains("policy.max_rounds"),
        "{text}"
    );
}

#[test]
fn every_bad_value_is_named_with_what_belongs_there() {
    for (key, value) in [
        ("hospital", "0"),
        ("hospital", "128"),
        ("hospital", "-1"),
        ("coordinator.address", "localhost"),
        ("coordinator.address", ":7443"),
        ("coordinator.address", "localhost:0"),
        ("coordinator.address", "localhost:70000"),
        ("reading.contrasts", ""),
        ("reading.contrasts", "flair,flair"),
        ("reading.contrasts", "pd"),
        ("reading.memory_limit_mib", "0"),
        ("reading.memory_limit_mib", "-1"),
        ("training.device", "gpu"),
        ("training.split", "random"),
        ("training.seed", "-1"),
        ("trainer.restarts", "-1"),
        ("trainer.restarts", "1001"),
        ("training.slices_per_patient", "-1"),
        ("training.slices_per_patient", "1001"),
        ("policy.max_learning_rate", "NaN"),
        ("policy.max_first_clip", "-1"),
        ("policy.max_rounds", "-1"),
        ("policy.min_members", "-1"),
        ("policy.min_contributors", "-1"),
        ("policy.max_batch_size", "5000000000"),
        ("policy.profiles", "hardened, soft"),
        ("policy.approval", "later"),
        ("policy.repeated_sums", "perhaps"),
        ("policy.hours", "19:00-07:00, always"),
        ("policy.hours", "07:00-07:00"),
        ("policy.max_megabits_per_second", "2"),
        ("policy.max_megabits_per_second", "-1"),
        ("policy.max_megabits_per_second", "5000000000"),
        ("policy.max_gpu_memory_percent", "0"),
        ("policy.max_gpu_memory_percent", "101"),
        ("policy.release.levels", "64"),
    ] {
        match load("hospital = 1", &[(key, value)]) {
            Err(SettingsError::Value { key: named, .. }) => assert_eq!(named, key, "{value}"),
            other => panic!("{key} = {value}: {other:?}"),
        }
    }
    assert!(matches!(
        load("hospital = 1", &[("policy.max_rounds", "many")]),
        Err(SettingsError::Type(_))
    ));
}
