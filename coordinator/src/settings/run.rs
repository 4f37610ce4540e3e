//! The settings of one training, and the manifest they make.

use std::{fmt::Display, num::NonZeroU32, ops::RangeInclusive};

use crypto::hash::labelled_hash;
use host::settings::ListSetting;
use protocol::{
    codec::{List, Text},
    digests::WeightsHash,
    features::FeatureSchema,
    identity::{Signed, SigningKey},
    manifest::{
        Conditioning, ConditioningForm, FIXED_CLIPS, Keep, LabelScheme, MAX_STRAGGLER_FACTOR,
        Manifest, Task,
    },
    network::ModelLayout,
    strategy::Strategy,
};
use serde::Deserialize;

use super::SettingsError;

/// One training, as an operator describes it. The field's meanings are those of the manifest's.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSettings {
    /// For people to read.
    pub name: String,
    /// What the labels are cut into.
    pub task: Task,
    /// Where they are cut.
    pub label_scheme: LabelScheme,
    /// Who multiplies clinical features with the network's weights, and with which parameters they are encrypted.
    pub conditioning: Conditioning,
    /// What the products do to the network.
    pub conditioning_form: ConditioningForm,
    /// What the vaults keep of it moves in every so many learning rounds.
    pub conditioning_every: u32,
    /// What is known of each patient beside the scans.
    pub features: FeatureSchema,
    /// Learning rounds.
    pub rounds: u32,
    /// Passes over the local training set in a round.
    pub local_epochs: u32,
    /// Slices in a training step.
    pub batch_size: u32,
    /// Learning rate of AdamW.
    pub learning_rate: f64,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// How far W follows its gradient in a round.
    pub conditioning_rate: f64,
    /// How the mean of the updates moves the common model.
    pub strategy: Strategy,
    /// Training steps of a round at the largest hospital: bounds the first update.
    pub local_steps: u32,
    /// Of the initial model.
    pub seed: u64,
    /// A hospital silent for so long is no longer waited for.
    pub round_timeout_secs: u32,
    /// The slowest hospital is given so long in any case, once enough others have contributed.
    pub straggler_floor_secs: u32,
    /// It is given at least so many times the median time of those that have.
    pub straggler_factor: f64,
    /// Which model every hospital keeps as the best.
    pub keep: Keep,
    /// The run ends after so many evaluations without gain; none: not before its last round.
    pub early_stop: Option<NonZeroU32>,
    /// The kept model that the run starts from, in the place of one of `seed`.
    pub initial_model: Option<WeightsHash>,
    /// The run begins once so many hospitals have joined; none: once all have.
    pub start_with: Option<NonZeroU32>,
}

impl RunSettings {
    /// The manifest of a new run with these settings. Every call draws another `nonce` from the operating system, so that the keys
    /// of two runs never meet; nothing else differs, and the model does not depend on it.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    pub fn manifest(&self) -> Manifest {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).expect("the operating system gives randomness");
        Manifest {
            name: Text(self.name.clone()),
            task: self.task,
            label_scheme: self.label_scheme,
            conditioning: self.conditioning,
            conditioning_form: self.conditioning_form,
            conditioning_every: self.conditioning_every,
            features: self.features.clone(),
            layout: ModelLayout::of(
                u32::try_from(self.task.classes()).expect("2 or 3 classes"),
                self.conditioning_form,
                self.features.count(),
            ),
            nonce,
            init_seed: labelled_hash("init-seed", &[&self.seed.to_le_bytes()]),
            rounds: self.rounds,
            local_epochs: self.local_epochs,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            conditioning_rate: self.conditioning_rate,
            strategy: self.strategy,
            local_steps: self.local_steps,
            silence_secs: self.round_timeout_secs,
            straggler_floor_secs: self.straggler_floor_secs,
            straggler_factor: self.straggler_factor,
            weights: List::default(),
            clip_rule: FIXED_CLIPS,
            keep: self.keep,
            early_stop: self.early_stop,
            initial_model: self.initial_model,
            start_with: self.start_with,
        }
    }

    /// As [`manifest`](Self::manifest), signed with the operator's key.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    pub fn signed_manifest(&self, operator_key: &SigningKey) -> Signed<Manifest> {
        Signed::sign(&self.manifest(), operator_key)
    }
}

impl Default for RunSettings {
    /// What `coordinator.toml` shows.
    fn default() -> Self {
        Self {
            name: "demo".to_owned(),
            task: Task::Binary,
            label_scheme: LabelScheme::AsWritten,
            conditioning: Conditioning::EncryptedHardened,
            conditioning_form: ConditioningForm::Study,
            conditioning_every: 1,
            features: FeatureSchema::study(),
            rounds: 8,
            local_epochs: 2,
            batch_size: 32,
            learning_rate: 1e-3,
            weight_decay: 1e-2,
            conditioning_rate: ConditioningForm::Study.usual_rate(),
            strategy: Strategy::FedAvg,
            local_steps: 200,
            seed: 1,
            round_timeout_secs: 30,
            straggler_floor_secs: 600,
            straggler_factor: 10.0,
            keep: Keep::BestLoss,
            early_stop: None,
            initial_model: None,
            start_with: None,
        }
    }
}

/// Whether a run of this form can be of so many features; where nothing is conditioned, they are not used.
fn features_of_form(
    conditioning: Conditioning,
    form: ConditioningForm,
    features: FeatureSchema,
) -> Result<FeatureSchema, SettingsError> {
    if !conditioning.uses_features() || form.takes(features.count()) {
        return Ok(features);
    }
    let expected = "nine features, one for each value of a filter, in the forms study and additive of run.conditioning_form; any number \
                    takes the form late";
    Err(wrong("run.features", features, expected))
}

/// As the layers give it. Numbers are wide, so that one out of range is reported and not cut to size.
#[derive(Deserialize)]
pub(super) struct RawRun {
    name: String,
    task: String,
    labels: String,
    conditioning: String,
    conditioning_form: String,
    conditioning_every: i64,
    features: ListSetting,
    profile: String,
    rounds: i64,
    local_epochs: i64,
    batch_size: i64,
    learning_rate: f64,
    weight_decay: f64,
    conditioning_rate: RateSetting,
    strategy: String,
    local_steps: i64,
    seed: i64,
    round_timeout_secs: i64,
    straggler_floor_secs: i64,
    straggler_factor: f64,
    keep: String,
    early_stop: i64,
    pub(super) initial_model: String,
    start_with: i64,
}

impl RawRun {
    /// Of the model that the run starts from nothing is said.
    pub(super) fn check(self) -> Result<RunSettings, SettingsError> {
        if self.name.trim().is_empty() || self.name.chars().count() > MAX_NAME_CHARS {
            return Err(wrong(
                "run.name",
                self.name,
                "a name of 1 to 200 characters",
            ));
        }
        let keep = self
            .keep
            .parse()
            .map_err(|_| wrong("run.keep", &self.keep, "best-loss, best-accuracy or last"))?;
        let (conditioning, form) = (self.conditioning()?, self.form()?);
        Ok(RunSettings {
            task: self
                .task
                .parse()
                .map_err(|_| wrong("run.task", &self.task, "binary or multiclass"))?,
            label_scheme: self
                .labels
                .parse()
                .map_err(|_| wrong("run.labels", &self.labels, "as-written or as-counted"))?,
            conditioning,
            conditioning_form: form,
            conditioning_every: whole("run.conditioning_every", self.conditioning_every)?,
            features: features_of_form(
                conditioning,
                form,
                self.features.features("run.features")?,
            )?,
            rounds: whole("run.rounds", self.rounds)?,
            local_epochs: whole("run.local_epochs", self.local_epochs)?,
            batch_size: whole("run.batch_size", self.batch_size)?,
            learning_rate: match self.learning_rate {
                rate if rate > 0.0 && rate <= 1.0 => rate,
                rate => {
                    return Err(wrong(
                        "run.learning_rate",
                        rate,
                        "a number above 0 and at most 1",
                    ));
                }
            },
            weight_decay: real(
                "run.weight_decay",
                self.weight_decay,
                0.0..=1.0,
                "a number from 0 to 1",
            )?,
            conditioning_rate: self.conditioning_rate.of(form)?,
            strategy: self.strategy.parse().map_err(|_| {
                let expected =
                    "fedavg, fedavgm, fedadam, fedyogi or fedprox:MU with a MU from 0 to 100";
                wrong("run.strategy", &self.strategy, expected)
            })?,
            local_steps: whole("run.local_steps", self.local_steps)?,
            seed: u64::try_from(self.seed)
                .map_err(|_| wrong("run.seed", self.seed, "a whole number of at least 0"))?,
            round_timeout_secs: whole("run.round_timeout_secs", self.round_timeout_secs)?,
            straggler_floor_secs: whole("run.straggler_floor_secs", self.straggler_floor_secs)?,
            straggler_factor: real(
                "run.straggler_factor",
                self.straggler_factor,
                1.0..=MAX_STRAGGLER_FACTOR,
                "a number from 1 to 1000",
            )?,
            keep,
            early_stop: early_stop(self.early_stop, keep)?,
            initial_model: None,
            start_with: match self.start_with {
                0 => None,
                number => NonZeroU32::new(whole("run.start_with", number)?),
            },
            name: self.name,
        })
    }

    fn form(&self) -> Result<ConditioningForm, SettingsError> {
        let key = "run.conditioning_form";
        let form = self.conditioning_form.parse();
        let form =
            form.map_err(|_| wrong(key, &self.conditioning_form, "study, additive or late"))?;
        if self.conditioning == "none" && form != ConditioningForm::Study {
            let expected = "study with run.conditioning = \"none\", which conditions nothing";
            return Err(wrong(key, form, expected));
        }
        Ok(form)
    }

    fn conditioning(&self) -> Result<Conditioning, SettingsError> {
        let encrypted = match self.profile.as_str() {
            "hardened" => Conditioning::EncryptedHardened,
            "study" => Conditioning::EncryptedStudy,
            other => return Err(wrong("run.profile", other, "hardened or study")),
        };
        match self.conditioning.as_str() {
            "encrypted" => Ok(encrypted),
            "plain" => Ok(Conditioning::Plain),
            "none" => Ok(Conditioning::None),
            other => Err(wrong("run.conditioning", other, "encrypted, plain or none")),
        }
    }
}

/// A number, or "auto": what is usual for the form of conditioning.
#[derive(Deserialize)]
#[serde(untagged)]
enum RateSetting {
    Number(f64),
    Word(String),
}

impl RateSetting {
    fn of(&self, form: ConditioningForm) -> Result<f64, SettingsError> {
        const KEY: &str = "run.conditioning_rate";
        const EXPECTED: &str = "a number from 0 to 100, or \"auto\"";
        match self {
            Self::Number(rate) => real(KEY, *rate, 0.0..=100.0, EXPECTED),
            Self::Word(word) if word == "auto" => Ok(form.usual_rate()),
            // A flag gives a number as text.
            Self::Word(word) => {
                let rate = word.trim().parse();
                let rate = rate.map_err(|_| wrong(KEY, word, EXPECTED))?;
                real(KEY, rate, 0.0..=100.0, EXPECTED)
            }
        }
    }
}

/// None for 0.
fn early_stop(value: i64, keep: Keep) -> Result<Option<NonZeroU32>, SettingsError> {
    const KEY: &str = "run.early_stop";
    if value == 0 {
        return Ok(None);
    }
    if keep == Keep::Last {
        let expected = "0 with run.keep = \"last\", which has no best round to wait for";
        return Err(wrong(KEY, value, expected));
    }
    match whole(KEY, value) {
        Ok(rounds) => Ok(NonZeroU32::new(rounds)),
        Err(_) => Err(wrong(KEY, value, "0 or a whole number up to 1000000")),
    }
}

pub(super) fn whole(key: &'static str, value: i64) -> Result<u32, SettingsError> {
    match u32::try_from(value) {
        Ok(number @ 1..=MAX_COUNT) => Ok(number),
        _ => Err(wrong(key, value, "a whole number from 1 to 1000000")),
    }
}

fn real(
    key: &'static str,
    value: f64,
    range: RangeInclusive<f64>,
    expected: &'static str,
) -> Result<f64, SettingsError> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(wrong(key, value, expected))
    }
}

fn wrong(key: &'static str, found: impl Display, expected: &'static str) -> SettingsError {
    SettingsError::Value {
        key,
        found: found.to_string(),
        expected,
    }
}

const MAX_NAME_CHARS: usize = 200;
const MAX_COUNT: u32 = 1_000_000;
