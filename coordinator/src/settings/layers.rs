//! Defaults, file, environment, flags: each may only name keys that exist.

use std::{collections::BTreeSet, fs, path::Path};

use config::{Config, File, FileFormat, Map, Source, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::SettingsError;

/// One source of single values: the environment, or flags.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    value: String,
    origin: String,
}

impl Layer {
    /// Variables `MYELIN__SECTION__KEY`; others are not ours.
    pub(super) fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let entries = variables.into_iter().filter_map(|(name, value)| {
            let key = name
                .strip_prefix(ENVIRONMENT_PREFIX)?
                .to_lowercase()
                .replace("__", ".");
            let origin = format!("the environment variable {name}");
            Some(Entry { key, value, origin })
        });
        Self(entries.collect())
    }

    /// Pairs of key and value.
    pub(super) fn from_flags(flags: &[(String, String)]) -> Self {
        let entries = flags.iter().map(|(key, value)| Entry {
            key: key.clone(),
            value: value.clone(),
            origin: format!("the flag for {key}"),
        });
        Self(entries.collect())
    }
}

impl Source for Layer {
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

/// Lays the layers over the defaults, which also say which keys there are.
pub(super) fn merge<T: DeserializeOwned>(
    defaults: &str,
    file: &Path,
    environment: &Layer,
    flags: &Layer,
) -> Result<T, SettingsError> {
    let known = known_keys(defaults);
    let text = fs::read_to_string(file).map_err(|source| SettingsError::File {
        path: file.to_owned(),
        source,
    })?;
    let origin = file.display().to_string();
    let table = text.parse().map_err(|source| SettingsError::Syntax {
        path: file.to_owned(),
        source: Box::new(source),
    })?;
    for key in dotted_keys(&table) {
        check_key(&key, &origin, &known)?;
    }
    for entry in environment.0.iter().chain(&flags.0) {
        check_key(&entry.key, &entry.origin, &known)?;
    }
    let named = FileInMemory { text, origin };
    let merged = Config::builder()
        .add_source(File::from_str(defaults, FileFormat::Toml))
        .add_source(named)
        .add_source(environment.clone())
        .add_source(flags.clone())
        .build()
        .and_then(Config::try_deserialize);
    merged.map_err(|source| SettingsError::Type(Box::new(source)))
}

/// The file as it was read and checked, so that values in it are blamed on its path.
#[derive(Clone, Debug)]
struct FileInMemory {
    text: String,
    origin: String,
}

impl Source for FileInMemory {
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

impl FileInMemory {
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

fn known_keys(defaults: &str) -> BTreeSet<String> {
    let table = defaults.parse().expect("the defaults are TOML");
    dotted_keys(&table).into_iter().collect()
}

fn check_key(key: &str, origin: &str, known: &BTreeSet<String>) -> Result<(), SettingsError> {
    if known.contains(key) {
        return Ok(());
    }
    // The keys of the same section, or all if it is the section that does not exist.
    let section = key.rsplit_once('.').map_or("", |(section, _)| section);
    let in_section =
        |known: &&String| known.rsplit_once('.').map_or("", |(other, _)| other) == section;
    let siblings: Vec<&str> = known
        .iter()
        .filter(in_section)
        .map(String::as_str)
        .collect();
    let candidates = if siblings.is_empty() {
        known.iter().map(String::as_str).collect()
    } else {
        siblings
    };
    Err(SettingsError::UnknownKey {
        key: key.to_owned(),
        origin: origin.to_owned(),
        known: candidates.join(", "),
    })
}

/// The keys of all values.
fn dotted_keys(table: &toml::Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(section) if !section.is_empty() => {
                keys.extend(
                    dotted_keys(section)
                        .into_iter()
                        .map(|inner| format!("{key}.{inner}")),
                );
            }
            toml::Value::Table(_) => {}
            _ => keys.push(key.clone()),
        }
    }
    keys
}

const ENVIRONMENT_PREFIX: &str = "MYELIN__";
