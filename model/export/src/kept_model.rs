//! A model as it was kept, read and checked: the file of the weights against its card, and both against the network.
//!
//! The card says which network it is; the values must be those of that network, and where card or header name a hash, the one that the
//! values have. The common model's own hash covers clips too, which no file has, so that one can only be compared between card and header.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crypto::hash::sha256;
use model_data::{
    card::{BEST_CARD_FILE, BEST_MODEL_FILE, CARD_FILE, MODEL_FILE, ModelCard},
    weights::{WeightsError, WeightsFile},
};
use protocol::{
    digests::ModelHash, kept_model::weights_hash, network::ModelLayout,
    vocabulary::ConditioningForm,
};
use serde_json::{Map, Value};

use super::Licence;

/// Where a model and its card are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// The weights, safetensors.
    pub weights: PathBuf,
    /// The card, JSON.
    pub card: PathBuf,
    /// Where the network's filters come from, if somebody knows it. Needed where the card does not say it, as a hospital's card of an
    /// earlier release; where the card says it, it must be the same.
    pub filters: Option<FilterSource>,
    /// What the weights may be used under, in the place of what the card says.
    pub licence: Option<Licence>,
}

impl ModelFiles {
    /// The last model in a folder: `model.safetensors` and `model.json`.
    pub fn last_in(folder: &Path) -> Self {
        Self {
            weights: folder.join(MODEL_FILE),
            card: folder.join(CARD_FILE),
            filters: None,
            licence: None,
        }
    }

    /// The model of the best round: `model-best.safetensors` and `model-best.json`.
    pub fn best_in(folder: &Path) -> Self {
        Self {
            weights: folder.join(BEST_MODEL_FILE),
            card: folder.join(BEST_CARD_FILE),
            filters: None,
            licence: None,
        }
    }
}

/// Where what the network takes of each patient comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterSource {
    /// The clinical features of each sample's patient: as the form of conditioning says.
    Features,
    /// W itself, for all: the plain variant.
    Common,
}

/// A model whose values are those of its network, with its card.
pub struct KeptModel {
    /// What is said of it.
    pub card: ModelCard,
    /// Outputs: 2 or 3.
    pub classes: u32,
    /// Where its filters come from.
    pub filters: FilterSource,
    /// What clinical features do to the network, where they condition it.
    pub form: ConditioningForm,
    /// The tensors, sorted by name.
    pub layout: ModelLayout,
    /// Every value, in the order of the layout; all are finite.
    pub values: Vec<f32>,
    /// The bytes of the weights' file.
    pub file: Vec<u8>,
    /// The bytes of the card.
    pub card_file: Vec<u8>,
}

impl KeptModel {
    /// Reads both files and compares them.
    ///
    /// # Errors
    /// [`KeptModelError`].
    pub fn read(files: &ModelFiles) -> Result<Self, KeptModelError> {
        let no_card = |source| KeptModelError::Card {
            path: files.card.clone(),
            source,
        };
        let mut card_file = read_card(&files.card)?;
        if let Some(licence) = &files.licence {
            card_file = under(licence, &card_file).map_err(no_card)?;
        }
        let card: ModelCard = serde_json::from_slice(&card_file).map_err(no_card)?;
        let classes = card
            .classes
            .filter(|classes| CLASSES.contains(classes))
            .ok_or(KeptModelError::Classes {
                found: card.classes,
            })?;
        let filters = filters_of(&card, files.filters)?;
        // A card of an earlier release knows the form of the study alone.
        let form = card.input.conditioning_form.unwrap_or_default();
        let features = card.input.feature_count();
        if !card.input.features_agree() {
            return Err(KeptModelError::OtherFeatures);
        }
        if !form.takes(features) {
            let found = features;
            return Err(KeptModelError::Features { form, found });
        }
        let layout = ModelLayout::of(classes, form, features);
        let file = WeightsFile::read(&files.weights)?;
        let values = file.values(&layout.tensors)?;
        let model = Self {
            classes,
            filters,
            form,
            layout,
            values,
            file: file.bytes().to_vec(),
            card_file,
            card,
        };
        model.check_finite()?;
        model.check_hashes(file.notes()?.get("model_hash"))?;
        Ok(model)
    }

    /// Values of a tensor, row-major.
    ///
    /// # Panics
    /// If the network has no such tensor.
    pub fn tensor(&self, name: &str) -> &[f32] {
        let range = self.layout.range(name);
        &self.values[range.expect("a name of the network's layout")]
    }

    fn check_finite(&self) -> Result<(), KeptModelError> {
        for spec in self.layout.tensors.iter() {
            if !self
                .tensor(&spec.name.0)
                .iter()
                .all(|value| value.is_finite())
            {
                let name = spec.name.0.clone();
                return Err(KeptModelError::NotFinite { name });
            }
        }
        Ok(())
    }

    /// `noted`: the model's hash in the header of the file.
    fn check_hashes(&self, noted: Option<&String>) -> Result<(), KeptModelError> {
        let agree =
            |kind, of_card: Option<String>, of_file: Option<String>| match (of_card, of_file) {
                (Some(card), Some(file)) if card != file => {
                    Err(KeptModelError::OtherModel { kind, card, file })
                }
                _ => Ok(()),
            };
        let sha256 = hex::encode(sha256(&self.file));
        let values = hex::encode(weights_hash(&self.layout, &self.values));
        agree("SHA-256", self.card.weights_sha256.clone(), Some(sha256))?;
        agree(
            "weights_hash",
            self.card.weights_hash.map(hex::encode),
            Some(values),
        )?;
        agree(
            "model_hash",
            Some(hex_of(&self.card.model_hash)),
            noted.cloned(),
        )
    }
}

/// 64 hexadecimal digits.
pub(crate) fn hex_of(hash: &ModelHash) -> String {
    hex::encode(hash)
}

/// What the card says of the filters, or whoever asks.
fn filters_of(
    card: &ModelCard,
    told: Option<FilterSource>,
) -> Result<FilterSource, KeptModelError> {
    let training = card.training.as_ref();
    let by_training = training.map(|training| training.conditioning.as_str());
    let of_card = match (card.input.conditioning, &card.input.features, by_training) {
        (Some(conditioning), ..) if conditioning.uses_features() => Some(FilterSource::Features),
        (Some(_), ..) => Some(FilterSource::Common),
        // A card of an earlier release has no `conditioning`.
        (None, Some(_), _) => Some(FilterSource::Features),
        (None, None, Some("none")) => Some(FilterSource::Common),
        (None, None, _) => None,
    };
    match (of_card, told) {
        (Some(card), Some(told)) if card != told => Err(KeptModelError::OtherFilters { card }),
        (Some(known), _) | (None, Some(known)) => Ok(known),
        (None, None) => Err(KeptModelError::FiltersUnknown),
    }
}

/// The same card with this licence; what a later release may have put on it stays.
fn under(licence: &Licence, card: &[u8]) -> serde_json::Result<Vec<u8>> {
    let mut card: Map<String, Value> = serde_json::from_slice(card)?;
    card.insert("licence".to_owned(), licence.as_str().into());
    Ok((serde_json::to_string_pretty(&card)? + "\n").into_bytes())
}

fn read_card(path: &Path) -> Result<Vec<u8>, KeptModelError> {
    let unreadable = |source| KeptModelError::CardFile {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let read = file.take(MAX_CARD_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(unreadable)?;
    if bytes.len() as u64 > MAX_CARD_BYTES {
        let path = path.to_owned();
        return Err(KeptModelError::CardTooLarge { path });
    }
    Ok(bytes)
}

/// A card has a few kilobytes.
const MAX_CARD_BYTES: u64 = 1 << 20;

/// Outputs that a network of this project can have.
const CLASSES: std::ops::RangeInclusive<u32> = 2..=3;

/// Why what was kept is no model to export.
#[derive(Debug, thiserror::Error)]
pub enum KeptModelError {
    /// The card cannot be read.
    #[error("cannot read the card {}: {source}", path.display())]
    CardFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of more than a mebibyte.
    #[error("{} has more than {MAX_CARD_BYTES} bytes, and is no card of a model", path.display())]
    CardTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The card is none, or one of another schema.
    #[error("{} is no card of a model: {source}", path.display())]
    Card {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The weights cannot be read, or are not those of the network that the card tells of.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// No network of this project.
    #[error("the card's `classes` is {found:?}, and a network of this project has 2 or 3")]
    Classes {
        /// As the card has it.
        found: Option<u32>,
    },
    /// Means and ranges that are of no use.
    #[error("the card's `feature_statistics` are of other features than its `features`")]
    OtherFeatures,
    /// More or fewer than the network has places for.
    #[error("the card names {found} features, which no network of the form {form} takes")]
    Features {
        /// The form.
        form: ConditioningForm,
        /// How many it names.
        found: usize,
    },
    /// Neither the card nor the caller says it.
    #[error(
        "the card does not say whether clinical features condition the network; say so yourself"
    )]
    FiltersUnknown,
    /// The card says another source of filters than the caller.
    #[error("the card says that the filters come from {}", match card {
        FilterSource::Features => "clinical features",
        FilterSource::Common => "the model alone, the same for all patients",
    })]
    OtherFilters {
        /// By the card.
        card: FilterSource,
    },
    /// Card and file are of two models.
    #[error("card and weights are of two models: the card has the {kind} {card}, the file {file}")]
    OtherModel {
        /// Which hash.
        kind: &'static str,
        /// The one on the card.
        card: String,
        /// That of the file.
        file: String,
    },
    /// The training diverged, or the file is damaged.
    #[error("the tensor {name} has a value that is not finite: there is no model to export")]
    NotFinite {
        /// The tensor.
        name: String,
    },
}
