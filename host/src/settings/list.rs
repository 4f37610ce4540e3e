//! A setting that is a list.

use protocol::features::FeatureSchema;
use serde::Deserialize;

use super::SettingsError;

/// A list, or from the environment and flags a text: with commas; of features, whose names may hold commas, with semicolons; of a command,
/// with spaces.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum ListSetting {
    /// In a file.
    List(Vec<String>),
    /// Elsewhere.
    Text(String),
}

impl ListSetting {
    /// Of names without commas. What is empty is none.
    pub fn by_commas(self) -> Vec<String> {
        let names = match self {
            Self::List(names) => names,
            Self::Text(text) => text.split(',').map(str::to_owned).collect(),
        };
        let names = names.iter().map(|name| name.trim());
        let named = names.filter(|name| !name.is_empty());
        named.map(str::to_owned).collect()
    }

    /// A run's features; none means the study's.
    ///
    /// # Errors
    /// [`SettingsError::Features`] names `key` and what is wrong.
    pub fn features(self, key: &'static str) -> Result<FeatureSchema, SettingsError> {
        let texts = match self {
            Self::List(texts) => texts,
            Self::Text(text) => FeatureSchema::split(&text),
        };
        FeatureSchema::parse(&texts).map_err(|source| SettingsError::Features { key, source })
    }
}
