//! `model.json`, the card of a model: what it is, what it was trained on, how good it is and what it must not be used for.
//!
//! One schema for all writers. A participant writes what a hospital knows of the common model; a simulation, which sees the whole
//! federation, writes the sections `data`, `training` and `test` too. Every key is in every card: what its writer does not know is
//! null. A key may be added without another number.

use protocol::{
    digests::{LearningRound, ModelHash, RunId, Transcript, WeightsHash},
    features::{FeatureKind, FeatureSpec, STUDY},
    labels::{LabelScheme, Labels, Task},
    manifest::{Conditioning, ConditioningForm},
    network::ModelLayout,
    training_job::SplitKind,
};
use serde::{Deserialize, Serialize};

use crate::Contrast;

/// The content of `model.json`.
///
/// ```
/// use model_data::card::ModelCard;
/// use protocol::{digests::ModelHash, network::ModelLayout};
///
/// let card = ModelCard::new(&ModelLayout::hybrid_cnn(3), ModelHash::from_bytes([1; 32]));
/// assert_eq!((card.classes, card.parameters), (Some(3), 4_202_446));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Of this layout.
    pub schema: CardSchema,
    /// The kind of network, for people.
    pub name: String,
    /// Name of the file with the weights, in the folder of the card.
    pub model: String,
    /// The same as `model`.
    pub weights: String,
    /// SHA-256 of that file, 64 hexadecimal digits.
    pub weights_sha256: Option<String>,
    /// Hash of the common model: tensors, clips and null steps (PROTOCOL.md 3.3). 64 hexadecimal digits.
    pub model_hash: ModelHash,
    /// Hash of the values alone, by which another run can start from them (`run.initial_model`, PROTOCOL.md 3.2). 64 hexadecimal digits.
    #[serde(default)]
    pub weights_hash: Option<WeightsHash>,
    /// Hash of the manifest of the run that it comes from. 64 hexadecimal digits.
    #[serde(default)]
    pub run: Option<RunId>,
    /// Number of trainable values.
    pub parameters: usize,
    /// Number of outputs: 2 or 3.
    pub classes: Option<u32>,
    /// The learning round that the model comes from, from 1; 0 is the initial model.
    pub learning_round: LearningRound,
    /// Whether the run went to its end. If not, this is the model of the last sum that was opened.
    pub run_complete: bool,
    /// T: the hash chain over the opened sums (PROTOCOL.md 3.7). 64 hexadecimal digits.
    pub transcript: Option<Transcript>,
    /// Numbers of the hospitals in the last sum that was opened, 1 to 127.
    pub contributors: Option<Vec<u8>>,
    /// The clips of the tensors, in the order of the network's layout: with the values and `null_steps`, what `model_hash` covers of a
    /// strategy without moments. Null in a card of an earlier release.
    #[serde(default)]
    pub clips: Option<Vec<f64>>,
    /// Rounds that were settled without a step.
    #[serde(default)]
    pub null_steps: Option<u32>,
    /// What goes in.
    pub input: CardInput,
    /// What comes out. Null in a card of an earlier release.
    #[serde(default)]
    pub output: Option<CardOutput>,
    /// What it was trained on.
    pub data: Option<CardData>,
    /// How the updates became the common model: `fedavg`, `fedavgm`, `fedadam`, `fedyogi` or `fedprox:MU`. Null in a card of an earlier
    /// release, which knew `fedavg` alone.
    #[serde(default)]
    pub strategy: Option<String>,
    /// How it was trained.
    pub training: Option<CardTraining>,
    /// The last evaluation of this very model on all hospitals' validation slices.
    pub validation: Option<CardValidation>,
    /// What it reaches on the pooled test sets, which only a simulation can pool.
    pub test: Option<TestSummary>,
    /// What it is meant for.
    pub intended_use: String,
    /// What it must not be used for.
    pub not_for: String,
    /// The same as a sentence, with what the model is not.
    pub notice: String,
    /// What the numbers do not say; of the validation, its `note` says it.
    pub caveats: Vec<String>,
    /// Name and version of the program that wrote the card.
    pub made_by: String,
    /// The version alone.
    pub code_version: String,
    /// The commit that the program was built from, where the build knew it.
    #[serde(default)]
    pub commit: Option<String>,
    /// When the card was written, UTC, as `2026-12-01T13:45:00Z`.
    #[serde(default)]
    pub date: Option<String>,
    /// The command that wrote it, without paths; null where a hospital wrote it.
    #[serde(default)]
    pub command_line: Option<String>,
    /// The licence under which the weights may be used: for those who own them to say. The code's licence is another matter.
    #[serde(default)]
    pub licence: Option<String>,
}

impl ModelCard {
    /// The card of a model of which nothing but this is known yet: the initial one of a run that is not complete.
    pub fn new(layout: &ModelLayout, model_hash: ModelHash) -> Self {
        let classifier = layout
            .tensors
            .iter()
            .find(|tensor| tensor.name.0 == "classifier.bias");
        Self {
            schema: CardSchema,
            name: "hybrid CNN, federated".into(),
            model: MODEL_FILE.into(),
            weights: MODEL_FILE.into(),
            weights_sha256: None,
            model_hash,
            weights_hash: None,
            run: None,
            parameters: layout.parameters(),
            classes: classifier.and_then(|bias| bias.shape.first().copied()),
            learning_round: LearningRound::default(),
            run_complete: false,
            transcript: None,
            contributors: None,
            clips: None,
            null_steps: None,
            output: None,
            input: CardInput {
                slices: SLICES.into(),
                contrasts: None,
                slices_per_scan: None,
                conditioning: None,
                conditioning_form: None,
                features: None,
                feature_scaling: None,
                feature_statistics: None,
                example: "docs/load_model.py".into(),
            },
            data: None,
            strategy: None,
            training: None,
            validation: None,
            test: None,
            intended_use: INTENDED_USE.into(),
            not_for: "diagnosis, prognosis or any decision about a patient".into(),
            notice: NOTICE.into(),
            caveats: Vec::new(),
            made_by: concat!("myelin ", env!("CARGO_PKG_VERSION")).into(),
            code_version: env!("CARGO_PKG_VERSION").into(),
            commit: None,
            date: None,
            command_line: None,
            licence: None,
        }
    }

    /// What the card says of a run that the model comes from: its labels, how filters are made and, where they are, by which features.
    #[must_use]
    pub fn of_run(
        self,
        labels: Labels,
        conditioning: Conditioning,
        form: ConditioningForm,
        features: Option<Vec<CardFeature>>,
    ) -> Self {
        let used = conditioning.uses_features();
        let names = |features: &Vec<CardFeature>| {
            let names = features.iter().map(|feature| feature.name.clone());
            names.collect::<Vec<_>>()
        };
        let features = features.filter(|_| used);
        Self {
            output: Some(CardOutput::of(labels)),
            input: CardInput {
                conditioning: Some(conditioning),
                conditioning_form: used.then_some(form),
                features: features.as_ref().map(names).or(self.input.features),
                feature_scaling: used.then(|| feature_scaling(form).to_owned()),
                feature_statistics: features,
                ..self.input
            },
            ..self
        }
    }
}

/// What comes out of the network: a logit for each class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardOutput {
    /// `binary` or `multiclass`.
    pub task: Task,
    /// The scheme by which EDSS becomes a class: `as-written` or `as-counted`.
    pub labels: LabelScheme,
    /// Names of the classes in the order of the outputs.
    pub classes: Vec<String>,
    /// Scores of the EDSS, 0 to 10, between one class and the next: a score that is higher than a cut belongs to the class behind it.
    pub edss_cuts: Vec<f64>,
}

impl CardOutput {
    /// Of a run with these labels.
    pub fn of(labels: Labels) -> Self {
        let cuts = labels.scheme.cuts();
        let classes = labels.task.class_names().iter();
        Self {
            task: labels.task,
            labels: labels.scheme,
            classes: classes.map(|&name| name.to_owned()).collect(),
            edss_cuts: match labels.task {
                Task::Binary => vec![cuts.binary],
                Task::Multiclass => cuts.multiclass.to_vec(),
            },
        }
    }
}

/// A clinical feature as the model knows it. A value becomes `(value - from) / (to - from)`, cut to [0, 1]; a missing one is the mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardFeature {
    /// For people: "age at onset".
    pub name: String,
    /// What its numbers are; null in a card of an earlier release.
    #[serde(default)]
    pub kind: Option<FeatureKind>,
    /// Lowest value of its public range, in the units of the clinical table.
    pub from: f64,
    /// Highest value.
    pub to: f64,
    /// Mean over the training patients of all hospitals that have it, in the same units; 0 where nobody has.
    pub mean: f64,
    /// Standard deviation, likewise.
    pub deviation: f64,
}

impl CardInput {
    /// Whether what is told of the features is of those that are named.
    pub fn features_agree(&self) -> bool {
        let pairs = self.features.as_ref().zip(self.feature_statistics.as_ref());
        pairs.is_none_or(|(names, told)| names.iter().eq(told.iter().map(|feature| &feature.name)))
    }

    /// How many clinical features there are, or would be.
    pub fn feature_count(&self) -> usize {
        let names = self.features.as_ref().map(Vec::len);
        let told = self.feature_statistics.as_ref().map(Vec::len);
        names.or(told).unwrap_or(STUDY.len())
    }
}

impl CardFeature {
    /// What it is in a run's manifest. A card of an earlier release tells no kind: there, what has name and range of one of the study's is
    /// that.
    pub fn spec(&self) -> FeatureSpec {
        let of_study = || {
            let spec = FeatureSpec::of_study(&self.name);
            let spec = spec.filter(|spec| spec.range() == [self.from, self.to]);
            spec.map(|spec| spec.kind)
        };
        FeatureSpec {
            name: self.name.as_str().into(),
            kind: self.kind.or_else(of_study).unwrap_or(FeatureKind::Number),
            from: self.from,
            to: self.to,
        }
    }
}

/// The number of the schema, [`CardSchema::NUMBER`] in JSON. A card of another number is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct CardSchema;

impl CardSchema {
    /// 1 was a participant's card, whose `input` was a text. A simulation's card had no number.
    pub const NUMBER: u32 = 2;
}

impl From<CardSchema> for u32 {
    fn from(_: CardSchema) -> Self {
        CardSchema::NUMBER
    }
}

impl TryFrom<u32> for CardSchema {
    type Error = UnknownSchema;

    fn try_from(found: u32) -> Result<Self, UnknownSchema> {
        match found {
            Self::NUMBER => Ok(Self),
            _ => Err(UnknownSchema { found }),
        }
    }
}

/// A card of another schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a model card of schema {found}, not {}", CardSchema::NUMBER)]
pub struct UnknownSchema {
    /// Its number.
    pub found: u32,
}

/// What the network takes, and where to read how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardInput {
    /// Type, shape and scale of the images.
    pub slices: String,
    /// The scans of each patient that the writer has trained on: `flair`, `t1`, `t2`. Another hospital may have others.
    #[serde(default)]
    pub contrasts: Option<Vec<Contrast>>,
    /// How many slices of a scan the writer has trained on; 0 for every one that shows tissue.
    #[serde(default)]
    pub slices_per_scan: Option<u32>,
    /// How filters were made: `none` where the network has no conditioned convolution.
    #[serde(default)]
    pub conditioning: Option<Conditioning>,
    /// What the features do to the network: `study`, `additive` or `late`. Null where they condition nothing, and in a card of an earlier
    /// release, which knew `study` alone.
    #[serde(default)]
    pub conditioning_form: Option<ConditioningForm>,
    /// Clinical features in their order. Null where none condition the network, or where `training` is null too and the writer does
    /// not know.
    pub features: Option<Vec<String>>,
    /// How the features become numbers; null as `features` is.
    pub feature_scaling: Option<String>,
    /// Ranges, means and deviations of the features, in their order; null as `features` is.
    #[serde(default)]
    pub feature_statistics: Option<Vec<CardFeature>>,
    /// How to load the file outside this project: a path in the repository.
    pub example: String,
}

/// Data and labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardData {
    /// `phantom`, or the folder's name.
    pub source: String,
    /// Scans of each patient: `flair`, `t1`, `t2`.
    pub contrasts: Vec<Contrast>,
    /// Over all hospitals, those for validation and test included.
    pub patients: usize,
    /// Which hospital had which: `equal`, `zipf`, `dirichlet:ALPHA` or `scanner`.
    pub partition: String,
    /// What stayed on one side of the split into training, validation and test: `patient` or `slice`.
    pub split: SplitKind,
    /// The scheme by which EDSS becomes a class: `as-written` or `as-counted`.
    pub labels: LabelScheme,
    /// Names of the classes in the order of the outputs.
    pub classes: Vec<String>,
    /// Scores of the EDSS, 0 to 10, between one class and the next.
    pub edss_cuts: Vec<f64>,
}

/// The settings of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardTraining {
    /// Number of hospitals.
    pub hospitals: u8,
    /// Learning rounds.
    pub rounds: u32,
    /// Passes over the local training set in a round.
    pub local_epochs: u32,
    /// Samples of a step.
    pub batch_size: u32,
    /// Learning rate of AdamW.
    pub learning_rate: f64,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// How far what the vaults keep of the network follows its gradient in a round.
    pub conditioning_rate: f64,
    /// How filters were made: `encrypted`, `plain` or `none`.
    pub conditioning: String,
    /// `sealed`, or `plain`, which is insecure.
    pub updates: String,
    /// The seed of all randomness in the run.
    pub seed: u64,
}

/// The model on the validation slices of all contributors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardValidation {
    /// How many.
    pub slices: u64,
    /// Share that was classified rightly, 0 to 1; null without slices.
    pub accuracy: Option<f64>,
    /// Mean cross-entropy of a slice, in nats, classes unweighted; null without slices.
    pub loss: Option<f64>,
    /// `confusion[truth][prediction]`, in slices.
    pub confusion: Vec<Vec<u64>>,
    /// Whose slices these are, and what that means for the numbers.
    pub note: String,
}

impl CardValidation {
    /// Accuracy and loss may be NaN where there are no slices. `split` is how the writer's own validation slices were chosen.
    pub fn new(accuracy: f64, loss: f64, confusion: Vec<Vec<u64>>, split: SplitKind) -> Self {
        let defined = |score: f64| score.is_finite().then_some(score);
        let note = match split {
            SplitKind::Patient => "slices of patients that were not trained on",
            SplitKind::Slice => {
                "slices of patients of whom other slices were trained on: too good to be true for a new patient"
            }
        };
        Self {
            slices: confusion.iter().flatten().sum(),
            accuracy: defined(accuracy),
            loss: defined(loss),
            confusion,
            note: note.into(),
        }
    }
}

/// The test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestSummary {
    /// Of slices.
    pub slice: Scores,
    /// Of patients, by the mean of their slices.
    pub patient: Scores,
}

/// Scores of one set of predictions, each 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share that was classified rightly.
    pub accuracy: f64,
    /// Mean over the classes.
    pub f1_macro: f64,
    /// Null with a class that does not occur.
    pub auroc: Option<f64>,
    /// 95% interval of the accuracy, lower end first, from bootstrap draws of patients.
    pub accuracy_ci95: Option<[f64; 2]>,
    /// The same of the macro F1.
    pub f1_macro_ci95: Option<[f64; 2]>,
    /// The same of the AUROC.
    pub auroc_ci95: Option<[f64; 2]>,
    /// Share of the largest class.
    pub majority: f64,
    /// How many.
    pub count: u64,
    /// `confusion[truth][prediction]`.
    pub confusion: Vec<Vec<u64>>,
}

/// Name of the file with the weights.
pub const MODEL_FILE: &str = "model.safetensors";

/// Name of the card, in the same folder.
pub const CARD_FILE: &str = "model.json";

/// Name of the file with the weights of the best round, beside those of the last.
pub const BEST_MODEL_FILE: &str = "model-best.safetensors";

/// Name of its card.
pub const BEST_CARD_FILE: &str = "model-best.json";

/// What the model is not, for its card and for the header of its file.
pub const NOTICE: &str =
    "Not a medical device. Not for diagnosis, prognosis or treatment of anybody.";

const fn feature_scaling(form: ConditioningForm) -> &'static str {
    match form {
        ConditioningForm::Study => {
            "to [0, 1] by the range of each; a missing value is the mean of the federation"
        }
        ConditioningForm::Additive | ConditioningForm::Late => {
            "less the mean of the federation, over its standard deviation, and clipped to [-8, 8]; a missing value is 0"
        }
    }
}

const INTENDED_USE: &str =
    "research on federated learning with protected updates and protected clinical features";

const SLICES: &str = "float32 [batch, 1, 128, 128]: axial slices of brain MRI, the front of the head first, the patient's right on \
                      the left, each with zero mean and unit variance";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn bare() -> ModelCard {
        ModelCard::new(
            &ModelLayout::hybrid_cnn(2),
            ModelHash::from_bytes([0xab; 32]),
        )
    }

    fn full() -> ModelCard {
        let scores = |auroc| Scores {
            accuracy: 0.75,
            f1_macro: 0.5,
            auroc,
            accuracy_ci95: Some([0.25, 1.0]),
            f1_macro_ci95: None,
            auroc_ci95: None,
            majority: 0.625,
            count: 8,
            confusion: vec![vec![5, 0], vec![2, 1]],
        };
        let labels = Labels {
            task: Task::Binary,
            scheme: LabelScheme::AsCounted,
        };
        let sex = CardFeature {
            name: "sex".into(),
            kind: Some(FeatureKind::Flag),
            from: 0.0,
            to: 1.0,
            mean: 0.25,
            deviation: 0.5,
        };
        let bare = || {
            bare().of_run(
                labels,
                Conditioning::EncryptedStudy,
                ConditioningForm::Study,
                Some(vec![sex.clone()]),
            )
        };
        ModelCard {
            weights_sha256: Some("cd".repeat(32)),
            weights_hash: Some([0xef; 32].into()),
            learning_round: LearningRound::new(2),
            run_complete: true,
            transcript: Some([9; 32].into()),
            contributors: Some(vec![1, 127]),
            clips: Some(vec![0.5]),
            null_steps: Some(1),
            commit: Some("0123abc".into()),
            date: Some("2026-12-01T13:45:00Z".into()),
            command_line: Some("experiments simulate --seed 1".into()),
            licence: Some("CC-BY-4.0".into()),
            data: Some(CardData {
                source: "phantom".into(),
                contrasts: vec![Contrast::Flair, Contrast::T2],
                patients: 12,
                partition: "dirichlet:0.5".into(),
                split: SplitKind::Slice,
                labels: LabelScheme::AsCounted,
                classes: vec!["lower".into(), "higher".into()],
                edss_cuts: vec![4.0],
            }),
            strategy: Some("fedprox:0.01".into()),
            training: Some(CardTraining {
                hospitals: 3,
                rounds: 2,
                local_epochs: 1,
                batch_size: 32,
                learning_rate: 0.001,
                weight_decay: 0.0625,
                conditioning_rate: 0.5,
                conditioning: "encrypted".into(),
                updates: "sealed".into(),
                seed: u64::MAX,
            }),
            validation: Some(CardValidation::new(
                0.85,
                0.5,
                vec![vec![30, 10], vec![5, 55]],
                SplitKind::Patient,
            )),
            test: Some(TestSummary {
                slice: scores(Some(0.875)),
                patient: scores(None),
            }),
            caveats: vec!["few patients".into()],
            ..bare()
        }
    }

    #[test]
    fn a_card_is_read_as_it_was_written() {
        let unseen = CardValidation::new(f64::NAN, f64::NAN, vec![vec![0; 2]; 2], SplitKind::Slice);
        assert_eq!(
            (unseen.slices, unseen.accuracy, unseen.loss),
            (0, None, None)
        );
        let unseen = ModelCard {
            validation: Some(unseen),
            ..bare()
        };
        for card in [bare(), full(), unseen] {
            let text = serde_json::to_string_pretty(&card).expect("text");
            assert_eq!(
                serde_json::from_str::<ModelCard>(&text).expect("a card"),
                card
            );
        }
    }

    #[test]
    fn a_card_of_another_schema_is_refused() {
        for number in [0, 1, 3, u32::MAX] {
            let mut card = serde_json::to_value(full()).expect("JSON");
            assert_eq!(card["schema"], 2);
            card["schema"] = number.into();
            let error = serde_json::from_value::<ModelCard>(card).expect_err("another schema");
            let text = format!("a model card of schema {number}, not 2");
            assert!(error.to_string().contains(&text), "{error}");
        }
        let mut card = serde_json::to_value(full()).expect("JSON");
        card.as_object_mut().expect("keys").remove("schema");
        let error = serde_json::from_value::<ModelCard>(card).expect_err("no schema");
        assert!(error.to_string().contains("`schema`"), "{error}");
    }

    /// Scripts read them: none is renamed or dropped without another schema number.
    #[test]
    fn every_card_has_every_key() {
        fn keys(value: &Value) -> Vec<&str> {
            let keys = value.as_object().expect("keys").keys();
            keys.map(String::as_str).collect()
        }
        let card = serde_json::to_value(full()).expect("JSON");
        for (section, expected) in [
            (
                "",
                "caveats classes clips code_version command_line commit contributors data date input intended_use learning_round licence made_by model model_hash name \
                 not_for notice null_steps output parameters run run_complete schema strategy test training transcript validation weights weights_hash weights_sha256",
            ),
            (
                "/input",
                "conditioning conditioning_form contrasts example feature_scaling feature_statistics features slices slices_per_scan",
            ),
            ("/output", "classes edss_cuts labels task"),
            (
                "/input/feature_statistics/0",
                "deviation from kind mean name to",
            ),
            (
                "/data",
                "classes contrasts edss_cuts labels partition patients source split",
            ),
            (
                "/training",
                "batch_size conditioning conditioning_rate hospitals learning_rate local_epochs rounds seed updates weight_decay",
            ),
            ("/validation", "accuracy confusion loss note slices"),
            ("/test", "patient slice"),
            (
                "/test/slice",
                "accuracy accuracy_ci95 auroc auroc_ci95 confusion count f1_macro f1_macro_ci95 majority",
            ),
        ] {
            let mut found = keys(card.pointer(section).expect("there"));
            found.sort_unstable();
            assert_eq!(found.join(" "), expected, "{section}");
        }
        let bare = serde_json::to_value(bare()).expect("JSON");
        assert_eq!(keys(&bare), keys(&card));
        assert_eq!(bare["validation"], Value::Null);
        assert_eq!(card["data"]["contrasts"], json!(["flair", "t2"]));
        assert_eq!(card["data"]["labels"], "as-counted");
        assert_eq!(card["data"]["split"], "slice");
        assert_eq!(card["model_hash"], "ab".repeat(32));
    }
}
