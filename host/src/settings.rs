//! Settings in layers: defaults, file, environment, flags. Each may only name keys that exist.
//!
//! A program's teaching file is also the list of its keys and their defaults, so that the three cannot drift apart.

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{Path, PathBuf},
};

use config::{Config, File, FileFormat, Map, Source, Value, ValueKind};
use serde::de::DeserializeOwned;

/// A program's teaching settings file.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// TOML that holds every key with its default value.
    pub text: &'static str,
    /// Keys whose value in `text` is an example and not a default, with their sections.
    pub required: &'static [&'static str],
}

impl Template {
    /// Reads `file`, lays `environment` (of all variables only `MYELIN__SECTION__KEY` are looked at) and then `flags` (pairs
    /// such as `("run.rounds", "4")`) over it, and it over the defaults.
    ///
    /// # Errors
    /// [`SettingsError`] names the key, where it comes from, and what would be right.
    ///
    /// # Panics
    /// If `text` is not TOML.
    pub fn load<T: DeserializeOwned>(
        &self,
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(String, String)],
    ) -> Result<T, SettingsError> {
        let file = FileLayer::read(file)?;
        let environment = ValueLayer::from_environment(environment);
        let flags = ValueLayer::from_flags(flags);
        self.check_keys(&file, &environment, &flags)?;
        let merged = Config::builder()
            .add_source(File::from_str(self.text, FileFormat::Toml))
            .add_source(file)
            .add_source(environment)
            .add_source(flags)
            .build()
            .and_then(Config::try_deserialize);
        merged.map_err(|source| SettingsError::Type(Box::new(source)))
    }

    fn check_keys(
        &self,
        file: &FileLayer,
        environment: &ValueLayer,
        flags: &ValueLayer,
    ) -> Result<(), SettingsError> {
        let known = dotted_keys(&self.text.parse().expect("the defaults are TOML"));
        let in_file: Vec<_> = file
            .keys
            .iter()
            .map(|key| (key, file.origin.as_str()))
            .collect();
        let values = environment.0.iter().chain(&flags.0);
        let others = values.map(|entry| (&entry.key, entry.origin.as_str()));
        let set: Vec<_> = in_file.into_iter().chain(others).collect();
        if let Some(&(key, origin)) = set.iter().find(|(key, _)| !known.contains(*key)) {
            return Err(unknown_key(key, origin, &known));
        }
        let is_set = |required: &str| set.iter().any(|(key, _)| *key == required);
        match self.required.iter().find(|key| !is_set(key)) {
            Some(key) => Err(SettingsError::Missing {
                key,
                file: file.origin.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// The variables of this process that are Unicode, as [`Template::load`] takes them.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Reads the `KEY=VALUE` of a flag; for clap's `value_parser`.
///
/// # Errors
/// What was expected, for clap to show.
pub fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected KEY=VALUE, such as keys.tls_key=tls.key".to_owned()),
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No file, or not readable.
    #[error(
        "cannot read the settings file {}; give its path with --config, or make a demo federation with `coordinator init --demo 3 DIR`",
        path.display()
    )]
    File {
        /// The path.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is not valid TOML.
    #[error("the settings file {} is not valid TOML", path.display())]
    Syntax {
        /// The path.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in {origin}; the possible keys are: {known}")]
    UnknownKey {
        /// The key, with its section.
        key: String,
        /// The file, variable or flag that names it.
        origin: String,
        /// The keys of that section.
        known: String,
    },
    /// A key without a default is nowhere set.
    #[error("`{key}` has no value; set it in {file}")]
    Missing {
        /// The key, with its section.
        key: &'static str,
        /// The settings file.
        file: String,
    },
    /// A value of another type.
    #[error("a setting has the wrong type")]
    Type(#[source] Box<config::ConfigError>),
    /// A file that a key names does not do.
    #[error("the file that `{key}` names cannot be used; it must be {expected}")]
    NamedFile {
        /// The key, with its section.
        key: &'static str,
        /// What would be right.
        expected: &'static str,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A value that is not allowed.
    #[error("`{key}` is {found:?}, but must be {expected}")]
    Value {
        /// The key, with its section.
        key: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// The file as it was read and checked, so that values in it are blamed on its path.
#[derive(Clone, Debug)]
struct FileLayer {
    text: String,
    origin: String,
    keys: BTreeSet<String>,
}

impl FileLayer {
    fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = fs::read_to_string(path).map_err(|source| SettingsError::File {
            path: path.to_owned(),
            source,
        })?;
        let table = text.parse().map_err(|source| SettingsError::Syntax {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self {
            keys: dotted_keys(&table),
            text,
            origin: path.display().to_string(),
        })
    }

    fn blame(&self, value: Value) -> Value {
        let kind = match value.kind {
            ValueKind::Table(table) => ValueKind::Table(
                table
                    .into_iter()
                    .map(|(key, value)| (key, self.blame(value)))
                    .collect(),
            ),
            other => other,
        };
        Value::new(Some(&self.origin), kind)
    }
}

impl Source for FileLayer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let parsed = File::from_str(&self.text, FileFormat::Toml).collect()?;
        Ok(parsed
            .into_iter()
            .map(|(key, value)| (key, self.blame(value)))
            .collect())
    }
}

/// A source of single values: the environment, or flags.
#[derive(Clone, Debug)]
struct ValueLayer(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    value: String,
    origin: String,
}

impl ValueLayer {
    fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let entries = variables.into_iter().filter_map(|(name, value)| {
            let key = name.strip_prefix(ENVIRONMENT_PREFIX)?;
            Some(Entry {
                key: key.to_lowercase().replace("__", "."),
                value,
                origin: format!("the environment variable {name}"),
            })
        });
        Self(entries.collect())
    }

    fn from_flags(flags: &[(String, String)]) -> Self {
        let entries = flags.iter().map(|(key, value)| Entry {
            key: key.clone(),
            value: value.clone(),
            origin: format!("the flag for {key}"),
        });
        Self(entries.collect())
    }
}

impl Source for ValueLayer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let value =
            |entry: &Entry| Value::new(Some(&entry.origin), ValueKind::String(entry.value.clone()));
        Ok(self
            .0
            .iter()
            .map(|entry| (entry.key.clone(), value(entry)))
            .collect())
    }
}

fn unknown_key(key: &str, origin: &str, known: &BTreeSet<String>) -> SettingsError {
    // The keys of the same section, or all if it is the section that does not exist.
    let of_section = |key: &str| section(key).to_owned();
    let siblings: Vec<&str> = known
        .iter()
        .filter(|other| of_section(other) == of_section(key))
        .map(String::as_str)
        .collect();
    let candidates = if siblings.is_empty() {
        known.iter().map(String::as_str).collect()
    } else {
        siblings
    };
    SettingsError::UnknownKey {
        key: key.to_owned(),
        origin: origin.to_owned(),
        known: candidates.join(", "),
    }
}

fn section(key: &str) -> &str {
    key.rsplit_once('.').map_or("", |(section, _)| section)
}

/// The keys of all values, with their sections.
fn dotted_keys(table: &toml::Table) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(section) => {
                let inner = dotted_keys(section);
                keys.extend(inner.into_iter().map(|inner| format!("{key}.{inner}")));
            }
            _ => {
                keys.insert(key.clone());
            }
        }
    }
    keys
}

const ENVIRONMENT_PREFIX: &str = "MYELIN__";

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use tempfile::TempDir;

    use super::*;

    const TEMPLATE: Template = Template {
        text: "number = 1\nplace = \"here\"\n[run]\nrounds = 8\nepochs = 2\nbatch = 32\nseed = 1\n",
        required: &["number"],
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
        assert!(message(error).ends_with("number, place"));
        for text in ["run = 3", "[run.rounds]\nx = 3"] {
            assert!(matches!(
                load(text, &[], &[]),
                Err(SettingsError::UnknownKey { .. })
            ));
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
}
