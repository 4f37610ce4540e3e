//! Settings in layers: defaults, file, environment, flags. Each may only name keys that exist.
//!
//! A program's teaching file is also the list of its keys and their defaults, so that the three cannot drift apart.

mod list;

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{self, Path, PathBuf},
};

use config::{Config, File, FileFormat, Map, Source, Value, ValueKind};
use protocol::features::FeatureError;
use serde::de::DeserializeOwned;

pub use self::list::ListSetting;

/// A program's teaching settings file.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// TOML that holds every key with its default value.
    pub text: &'static str,
    /// Keys whose value in `text` is an example and not a default, with their sections.
    pub required: &'static [&'static str],
    /// Keys of files and folders. A path that a flag gives starts at the current folder; those in the file are for the program to place.
    pub paths: &'static [&'static str],
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
        let flags = ValueLayer::from_flags(flags, self.paths)?;
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
    /// A list that is no features of a run.
    #[error("`{key}` is no list of features")]
    Features {
        /// The key, with its section.
        key: &'static str,
        /// What is wrong with it.
        source: FeatureError,
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

    fn from_flags(
        flags: &[(String, String)],
        paths: &[&'static str],
    ) -> Result<Self, SettingsError> {
        let entries = flags.iter().map(|(key, value)| {
            let path = paths.iter().find(|path| *path == key);
            Ok(Entry {
                key: key.clone(),
                value: match path {
                    Some(key) => from_current_folder(key, value)?,
                    None => value.clone(),
                },
                origin: format!("--set {key}"),
            })
        });
        entries.collect::<Result<_, _>>().map(Self)
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

/// What names no path stays as it is: an empty value, and the digits of a hash, which some keys take in a path's place.
fn from_current_folder(key: &'static str, value: &str) -> Result<String, SettingsError> {
    let is_hash =
        value.len() == HASH_DIGITS && value.chars().all(|digit| digit.is_ascii_hexdigit());
    if value.is_empty() || is_hash {
        return Ok(value.to_owned());
    }
    let path = path::absolute(value).map_err(|source| SettingsError::NamedFile {
        key,
        expected: "a path, from the current folder on",
        source: Box::new(source),
    })?;
    Ok(path.display().to_string())
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

const HASH_DIGITS: usize = 64;
const ENVIRONMENT_PREFIX: &str = "MYELIN__";

#[cfg(test)]
mod tests;
