use serde::Deserialize;
use tempfile::TempDir;

use super::*;

const TEMPLATE: Template = Template {
    text: "number = 1\nplace = \"here\"\n[run]\nrounds = 8\nepochs = 2\nbatch = 32\nseed = 1\n",
    required: &["number"],
    paths: &["place"],
};

#[derive(Debug, PartialEq, Deserialize)]
struct Raw {
    number: i64,
    place: String,
    run: RawRun,
}

#[derive(Debug, PartialEq, Deserialize)]
struct RawRun {
    rounds: i64,
    epochs: i64,
    batch: i64,
    seed: i64,
}

struct Case {
    _folder: TempDir,
    path: PathBuf,
}

fn file(text: &str) -> Case {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("program.toml");
    fs::write(&path, text).expect("a file");
    Case {
        _folder: folder,
        path,
    }
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
) -> Result<Raw, SettingsError> {
    TEMPLATE.load(&file(text).path, pairs(environment), &pairs(flags))
}

/// The message as a person sees it, causes included.
fn message(error: SettingsError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

#[test]
fn flags_go_before_environment_before_file_before_defaults() {
    let text = "number = 2\n[run]\nrounds = 3\nepochs = 3\nbatch = 3\n";
    let environment = [
        ("MYELIN__RUN__ROUNDS", "4"),
        ("MYELIN__RUN__EPOCHS", "4"),
        ("PATH", "x"),
    ];
    let raw = load(text, &environment, &[("run.rounds", "5")]).expect("sound");
    let expected = RawRun {
        rounds: 5,
        epochs: 4,
        batch: 3,
        seed: 1,
    };
    assert_eq!(raw.run, expected);
    let raw = load("", &[("MYELIN__NUMBER", "7")], &[]).expect("a key without a section");
    assert_eq!((raw.number, raw.place.as_str()), (7, "here"));
}

#[test]
fn an_unknown_key_is_named_with_its_source_and_those_that_exist() {
    let case = file("number = 1\n[run]\nround = 3\n");
    let error = TEMPLATE
        .load::<Raw>(&case.path, [], &[])
        .expect_err("misspelt");
    let text = message(error);
    assert!(
        text.contains("`run.round`") && text.contains("run.rounds, run.seed"),
        "{text}"
    );
    assert!(text.contains(&case.path.display().to_string()), "{text}");
    let error = load("", &[("MYELIN__RUM__ROUNDS", "3")], &[]).expect_err("misspelt");
    let text = message(error);
    assert!(
        text.contains("MYELIN__RUM__ROUNDS") && text.contains("run.batch"),
        "{text}"
    );
    let error = load("", &[], &[("rounds", "3")]).expect_err("without its section");
    let text = message(error);
    assert!(
        text.contains("`rounds` in --set rounds;") && text.ends_with("number, place"),
        "{text}"
    );
    for text in ["run = 3", "[run.rounds]\nx = 3"] {
        assert!(matches!(
            load(text, &[], &[]),
            Err(SettingsError::UnknownKey { .. })
        ));
    }
}

#[test]
fn a_path_that_a_flag_gives_starts_at_the_current_folder() {
    let place = |environment: &[(&str, &str)], flags: &[(&str, &str)]| {
        let raw = load("number = 1", environment, flags);
        raw.expect("sound").place
    };
    let here = env::current_dir().expect("a folder").join("data/mri");
    assert_eq!(
        place(&[], &[("place", "data/mri")]),
        here.display().to_string()
    );
    assert_eq!(place(&[("MYELIN__PLACE", "data")], &[]), "data");
    let hash = "0f".repeat(32);
    for kept in ["", "/srv/mri", &hash] {
        assert_eq!(place(&[], &[("place", kept)]), kept);
    }
}

#[test]
fn an_example_value_is_no_default() {
    let error = load("place = \"there\"", &[], &[]).expect_err("no number");
    let text = message(error);
    assert!(
        text.contains("`number`") && text.contains("program.toml"),
        "{text}"
    );
    assert!(load("", &[], &[("number", "1")]).is_ok());
}

#[test]
fn a_value_of_another_type_is_named_with_its_source() {
    let text = message(load("number = \"many\"", &[], &[]).expect_err("no number"));
    assert!(
        text.contains("number") && text.contains("program.toml"),
        "{text}"
    );
    let environment = [("MYELIN__RUN__SEED", "soon")];
    let text = message(load("number = 1", &environment, &[]).expect_err("no number"));
    assert!(
        text.contains("run.seed") && text.contains("MYELIN__RUN__SEED"),
        "{text}"
    );
}

#[test]
fn a_missing_file_and_one_that_is_not_toml_are_named() {
    let nowhere = Path::new("nowhere/program.toml");
    let error = TEMPLATE.load::<Raw>(nowhere, [], &[]).expect_err("no file");
    assert!(message(error).contains("nowhere/program.toml"));
    assert!(matches!(
        load("number = ", &[], &[]),
        Err(SettingsError::Syntax { .. })
    ));
}

#[test]
fn a_pair_is_split_at_the_first_equals_sign() {
    let pair = ("run.name".to_owned(), "a=b".to_owned());
    assert_eq!(key_and_value("run.name=a=b"), Ok(pair));
    assert!(key_and_value("run.name").is_err() && key_and_value("=3").is_err());
}
