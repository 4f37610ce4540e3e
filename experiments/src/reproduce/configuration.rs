//! What a reproduction is, apart from where and how fast it runs: what a run must have in common with the one it continues.

use anyhow::{Context, bail};
use model::{balance::Balance, device::Device};
use model_data::{Contrast, Cuts};
use protocol::{
    labels::{LabelScheme, Task},
    training_job::{DeviceChoice, SplitKind},
    vocabulary::ConditioningForm,
};
use serde::{Deserialize, Serialize};

use super::{
    cell::CellKey,
    options::{BalanceName, ModelName, ReproduceOptions, TaskChoice},
};
use crate::{phantom_name::PhantomName, profile_name::ProfileName};

/// `configuration.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Of the program: another one may train otherwise.
    pub code_version: String,
    /// `phantom`, or the folder.
    pub data: String,
    /// Which scans of each patient.
    pub contrasts: Vec<Contrast>,
    /// Patients of the phantom.
    pub patients: Option<usize>,
    /// Slices of each scan of the phantom.
    pub slices: Option<usize>,
    /// What the phantom shows.
    #[serde(default)]
    pub phantom: Option<PhantomName>,
    /// What is told apart.
    pub task: Vec<Task>,
    /// Training sets.
    pub balance: Vec<BalanceName>,
    /// Networks.
    pub model: Vec<ModelName>,
    /// What clinical features do to those that they condition.
    #[serde(default = "study_alone")]
    pub conditioning_form: Vec<ConditioningForm>,
    /// Splits.
    pub split: Vec<SplitKind>,
    /// Of the hybrid network's encryption.
    pub profile: ProfileName,
    /// Where EDSS is cut.
    pub labels: LabelScheme,
    /// Seeds 1 to this.
    pub seeds: u32,
    /// Most epochs of a training.
    pub epochs: u32,
    /// Epochs without a lower validation loss that end it.
    pub early_stop: u32,
    /// Where the networks compute: another device rounds otherwise.
    pub device: String,
}

fn study_alone() -> Vec<ConditioningForm> {
    vec![ConditioningForm::Study]
}

impl Configuration {
    /// The options; what is not given is as recorded, or the default.
    ///
    /// # Errors
    /// A number out of range, sizes of a phantom for other data, scans or a device that there are not.
    pub fn new(options: &ReproduceOptions, recorded: Option<&Self>) -> anyhow::Result<Self> {
        macro_rules! choose {
            ($field:ident, $default:expr) => {
                options
                    .$field
                    .clone()
                    .or_else(|| recorded.map(|recorded| recorded.$field.clone()))
                    .unwrap_or_else(|| $default)
            };
        }
        let tasks = options.task.map(|choice| match choice {
            TaskChoice::Binary => vec![Task::Binary],
            TaskChoice::Multiclass => vec![Task::Multiclass],
            TaskChoice::Both => Task::ALL.to_vec(),
        });
        let mut configuration = Self {
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            data: choose!(data, PHANTOM.to_owned()),
            contrasts: match (&options.contrasts, recorded) {
                (Some(list), _) => Contrast::list(list).context("--contrasts")?,
                (None, Some(recorded)) => recorded.contrasts.clone(),
                (None, None) => vec![Contrast::Flair],
            },
            patients: None,
            slices: None,
            phantom: None,
            task: tasks
                .or_else(|| recorded.map(|recorded| recorded.task.clone()))
                .unwrap_or_else(|| Task::ALL.to_vec()),
            balance: distinct("--balance", choose!(balance, ALL_BALANCES.to_vec()))?,
            model: distinct("--model", choose!(model, ALL_MODELS.to_vec()))?,
            conditioning_form: distinct(
                "--conditioning-form",
                choose!(conditioning_form, study_alone()),
            )?,
            split: distinct("--split", choose!(split, BOTH_SPLITS.to_vec()))?,
            profile: choose!(profile, ProfileName::Study),
            labels: choose!(labels, LabelScheme::AsWritten),
            seeds: choose!(seeds, 5),
            epochs: choose!(epochs, 12),
            early_stop: choose!(early_stop, 6),
            device: match (options.device, recorded) {
                // Who only looks at the run may do so where the device is not.
                (None, Some(recorded)) => recorded.device.clone(),
                (choice, _) => {
                    let device = Device::find(choice.unwrap_or(DeviceChoice::Cpu));
                    device.context("--device")?.to_string()
                }
            },
        };
        if let Some(forms) = &options.conditioning_form {
            check_forms(forms, &configuration.model)?;
        }
        let given = [
            ("--patients", options.patients.is_some()),
            ("--slices", options.slices.is_some()),
            ("--phantom", options.phantom.is_some()),
        ];
        if configuration.data == PHANTOM {
            let of = |given: Option<usize>, field: fn(&Self) -> Option<usize>, default| {
                given
                    .or_else(|| recorded.and_then(field))
                    .unwrap_or(default)
            };
            let sizes = [
                (
                    "--patients",
                    of(options.patients, |own| own.patients, 120),
                    4,
                    100_000,
                ),
                ("--slices", of(options.slices, |own| own.slices, 4), 1, 512),
            ];
            for (option, found, least, most) in sizes {
                if !(least..=most).contains(&found) {
                    bail!("{option} is {found}; choose a number from {least} to {most}");
                }
            }
            [configuration.patients, configuration.slices] = sizes.map(|size| Some(size.1));
            let before = recorded.and_then(|recorded| recorded.phantom);
            configuration.phantom = Some(options.phantom.or(before).unwrap_or_default());
        } else if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
            bail!(
                "{option} is only for the phantom; of {}, every patient and slice is used. Leave {option} out",
                configuration.data
            );
        }
        Ok(configuration)
    }

    /// Whether the patients are made up.
    pub fn is_phantom(&self) -> bool {
        self.data == PHANTOM
    }

    /// Where EDSS is cut.
    pub fn cuts(&self) -> Cuts {
        self.labels.cuts()
    }

    /// Where the networks compute.
    ///
    /// # Errors
    /// A GPU that was there when the run began.
    pub fn device(&self) -> anyhow::Result<Device> {
        let find = || anyhow::Ok(Device::find(self.device.parse()?)?);
        find().with_context(|| {
            format!(
                "the run uses the device {}, which this machine does not have: continue on a machine that has it, or start a new run with another --out and --device cpu",
                self.device
            )
        })
    }

    /// Every training, seed after seed, so that what is done after an interruption is whole tables.
    pub fn cells(&self) -> Vec<CellKey> {
        let mut cells = Vec::new();
        for seed in 1..=self.seeds {
            for &split in &self.split {
                for row in self.rows().filter(|row| row.split == split) {
                    cells.push(CellKey { seed, ..row });
                }
            }
        }
        cells
    }

    /// What is said of a network is said of this form first; that of the study where it has none.
    pub fn first_form(&self, model: ModelName) -> ConditioningForm {
        match model {
            ModelName::Plain => ConditioningForm::Study,
            ModelName::Hybrid | ModelName::PlainConditioned => {
                self.conditioning_form.first().copied().unwrap_or_default()
            }
        }
    }

    /// Every row of the tables, as the cell of its first seed.
    pub fn rows(&self) -> impl Iterator<Item = CellKey> {
        let Self {
            task,
            balance,
            model,
            conditioning_form,
            split,
            ..
        } = self;
        task.iter().flat_map(move |&task| {
            balance.iter().flat_map(move |&balance| {
                model.iter().flat_map(move |&model| {
                    let forms = match model {
                        ModelName::Plain => &[ConditioningForm::Study],
                        _ => conditioning_form.as_slice(),
                    };
                    forms.iter().flat_map(move |&form| {
                        split.iter().map(move |&split| CellKey {
                            task,
                            balance,
                            model,
                            form,
                            split,
                            seed: 1,
                        })
                    })
                })
            })
        })
    }

    /// That this run may go on where `recorded` ended.
    ///
    /// # Errors
    /// Names every difference.
    pub fn check_same(&self, recorded: &Self) -> anyhow::Result<()> {
        let fields = |configuration: &Self| {
            serde_json::to_value(configuration).context("a configuration is JSON")
        };
        let mut recorded = recorded.clone();
        if recorded.is_phantom() {
            // A run of before there were kinds.
            recorded.phantom.get_or_insert_default();
        }
        let (asked, recorded) = (fields(self)?, fields(&recorded)?);
        let keys = asked.as_object().into_iter().flatten().map(|(key, _)| key);
        let differences: Vec<String> = keys
            .filter(|&key| asked[key] != recorded[key])
            .map(|key| format!("{key} was {}, now {}", recorded[key], asked[key]))
            .collect();
        if differences.is_empty() {
            return Ok(());
        }
        bail!(
            "the run in the output folder has other options: {}. Leave these options out to continue it, or choose another --out",
            differences.join("; ")
        )
    }
}

/// The library's word for a training set.
pub fn balance_of(name: BalanceName) -> Balance {
    match name {
        BalanceName::Original => Balance::Original,
        BalanceName::Undersample => Balance::Undersample,
        BalanceName::Oversample => Balance::Oversample,
        BalanceName::Smote => Balance::Smote,
    }
}

/// A form other than the study's has no meaning where nothing is conditioned.
fn check_forms(forms: &[ConditioningForm], models: &[ModelName]) -> anyhow::Result<()> {
    let other = forms.iter().find(|form| **form != ConditioningForm::Study);
    match other {
        Some(form) if models.iter().all(|model| *model == ModelName::Plain) => bail!(
            "--conditioning-form {form} has no meaning for --model plain, which has no clinical features; leave it out, or add hybrid to \
             --model"
        ),
        _ => Ok(()),
    }
}

fn distinct<T: PartialEq>(option: &str, list: Vec<T>) -> anyhow::Result<Vec<T>> {
    let repeated = (1..list.len()).any(|place| list[..place].contains(&list[place]));
    if repeated {
        bail!("{option} names a value twice; name it once");
    }
    Ok(list)
}

/// `--data` that is made, not read.
const PHANTOM: &str = "phantom";
const BOTH_SPLITS: [SplitKind; 2] = [SplitKind::Patient, SplitKind::Slice];
const ALL_BALANCES: [BalanceName; 4] = [
    BalanceName::Original,
    BalanceName::Undersample,
    BalanceName::Oversample,
    BalanceName::Smote,
];
const ALL_MODELS: [ModelName; 3] = [
    ModelName::Hybrid,
    ModelName::PlainConditioned,
    ModelName::Plain,
];

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: ReproduceOptions,
    }

    fn options(arguments: &[&str]) -> ReproduceOptions {
        let line = ["reproduce"].iter().chain(arguments);
        Line::try_parse_from(line)
            .map(|line| line.options)
            .expect("options that parse")
    }

    fn configuration(arguments: &[&str]) -> Configuration {
        Configuration::new(&options(arguments), None).expect("fine")
    }

    #[test]
    fn the_defaults_are_the_whole_study_on_both_splits_with_its_parameters() {
        let whole = configuration(&[]);
        assert!(whole.is_phantom());
        assert_eq!(whole.rows().count(), 2 * 4 * 3 * 2);
        assert_eq!(whole.cells().len(), 48 * 5);
        assert_eq!(
            (whole.profile, whole.labels),
            (ProfileName::Study, LabelScheme::AsWritten)
        );
        let mut stems: Vec<String> = whole.cells().iter().map(CellKey::stem).collect();
        assert!(whole.cells()[..48].iter().all(|cell| cell.seed == 1));
        stems.sort();
        stems.dedup();
        assert_eq!(stems.len(), 240);
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let some = configuration(&[
            "--task",
            "multiclass",
            "--balance",
            "smote,original",
            "--model",
            "plain,hybrid",
            "--split",
            "patient,slice",
            "--labels",
            "as-counted",
            "--seeds",
            "2",
        ]);
        assert_eq!(some.task, [Task::Multiclass]);
        assert_eq!(some.balance, [BalanceName::Smote, BalanceName::Original]);
        assert_eq!(some.model, [ModelName::Plain, ModelName::Hybrid]);
        assert_eq!(some.cuts(), Cuts::AS_COUNTED);
        assert_eq!(some.cells().len(), 2 * 2 * 2 * 2);
    }

    #[test]
    fn what_is_not_given_is_as_it_was_and_what_is_given_must_be() {
        let arguments = &[
            "--patients",
            "30",
            "--balance",
            "smote",
            "--epochs",
            "3",
            "--contrasts",
            "t1,flair",
        ];
        let recorded = configuration(arguments);
        let again = Configuration::new(&options(&["--jobs", "1"]), Some(&recorded)).expect("fine");
        assert_eq!(again, recorded);
        assert!(again.check_same(&recorded).is_ok());
        assert_eq!(again.contrasts, [Contrast::T1, Contrast::Flair]);
        let other = options(&[
            "--epochs",
            "4",
            "--patients",
            "30",
            "--profile",
            "hardened",
            "--contrasts",
            "flair",
        ]);
        let other = Configuration::new(&other, Some(&recorded)).expect("fine");
        let refusal = other
            .check_same(&recorded)
            .expect_err("another")
            .to_string();
        for part in [
            "epochs was 3, now 4",
            "profile was \"study\"",
            "contrasts was [\"t1\",\"flair\"], now [\"flair\"]",
            "--out",
        ] {
            assert!(refusal.contains(part), "{refusal}");
        }
        assert!(!refusal.contains("patients"), "{refusal}");
    }

    #[test]
    fn a_run_of_before_there_were_kinds_and_forms_goes_on() {
        let now = configuration(&["--seeds", "2"]);
        let mut before = serde_json::to_value(&now).expect("JSON");
        let fields = before.as_object_mut().expect("an object");
        for new in ["phantom", "conditioning_form"] {
            fields.remove(new).expect("it is there now");
        }
        let before: Configuration = serde_json::from_value(before).expect("read");
        let again = Configuration::new(&options(&[]), Some(&before)).expect("fine");
        assert!(again.check_same(&before).is_ok());
        assert_eq!(again, now);
        let other = options(&["--phantom", "realistic"]);
        let other = Configuration::new(&other, Some(&before)).expect("fine");
        let refusal = other.check_same(&before).expect_err("another").to_string();
        assert!(refusal.contains("phantom was \"teaching\""), "{refusal}");
    }

    #[test]
    fn a_run_goes_on_where_it_computed() {
        let recorded = Configuration {
            device: "cuda:4096".to_owned(),
            ..configuration(&[])
        };
        let same = Configuration::new(&options(&[]), Some(&recorded)).expect("as it was");
        assert_eq!(same, recorded);
        let gone = same.device().expect_err("not there");
        let gone = format!("{gone:#}");
        for part in ["the device cuda:4096", "another --out"] {
            assert!(gone.contains(part), "{gone}");
        }
        let other = Configuration::new(&options(&["--device", "cpu"]), Some(&recorded));
        let refusal = other.expect("there").check_same(&recorded);
        let refusal = refusal.expect_err("another").to_string();
        assert!(
            refusal.contains("device was \"cuda:4096\", now \"cpu\""),
            "{refusal}"
        );
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (arguments, parts) in [
            (&["--patients", "3"][..], &["--patients is 3", "from 4"][..]),
            (&["--slices", "0"], &["--slices is 0"]),
            (&["--model", "plain,plain"], &["--model", "twice"]),
            (&["--contrasts", "flair,pd"], &["--contrasts", "'pd'"]),
            (
                &["--device", "cuda:4096"],
                &["--device", "cuda:4096", "cpu"],
            ),
            (
                &["--model", "plain", "--conditioning-form", "study,late"],
                &["--conditioning-form late", "--model plain", "hybrid"],
            ),
            (
                &["--data", "MS60", "--slices", "3"],
                &["--slices", "phantom"],
            ),
        ] {
            let refusal = Configuration::new(&options(arguments), None).expect_err("refused");
            let refusal = format!("{refusal:#}");
            assert!(parts.iter().all(|part| refusal.contains(part)), "{refusal}");
        }
    }
}
