//! The pictures of a reproduction: how trainings went, what is taken for what, and where the model looks.
//!
//! For each task and split, of the first network of the run; made from the files of the cells and of the kept models alone.

use std::collections::BTreeMap;

use ::report::pictures::{
    Curve, LearningChart, Picture, PictureError, RocCurve, Scale, SliceView, Spread, confusion,
    roc, slices, verdict,
};
use anyhow::Context;
use model::{
    metrics::{Confusion, Level, Metrics, Prediction, roc_band},
    train::{Dataset, Trainer},
};
use model_data::{IMAGE_SIDE, Patient, Sample};
use protocol::{labels::Task, training_job::SplitKind};

use super::{
    cell::{Cell, CellEpoch, CellKey},
    configuration::Configuration,
    document::Block,
    findings::leak_mark,
    folder::Folder,
    models::{is_kept, read_model},
    options::{BalanceName, ModelName},
    split_cohort::SplitCohort,
    training::{Source, architecture},
};
use crate::simulation::{BOOTSTRAP_DRAWS, BOOTSTRAP_SEED};

/// Headings and pictures.
///
/// # Errors
/// A kept model that cannot be read or used, a picture that cannot be drawn.
pub fn illustrations(
    patients: &[Patient],
    configuration: &Configuration,
    cells: &[Cell],
    folder: &Folder,
) -> anyhow::Result<Vec<Block>> {
    let Some(&model) = configuration.model.first() else {
        return Ok(Vec::new());
    };
    let mut blocks = Vec::new();
    for &task in &configuration.task {
        for &split in &configuration.split {
            let group = Group::new(task, split, model, configuration, cells);
            let leak = leak_mark(split);
            blocks.push(Block::Heading(format!(
                "Pictures: {task}, split by {split}{leak}"
            )));
            blocks.push(Block::Paragraph(format!(
                "Of the network {model}, over {} repetitions. Confusion and ROC are of the slices of all repetitions' test sets together.",
                configuration.seeds
            )));
            blocks.push(Block::Pictures(group.learning()?));
            blocks.push(Block::Pictures(group.confusion()?));
            blocks.push(Block::Pictures(group.roc()?));
            if let Some(kept) = group.kept(configuration) {
                let looks = where_it_looks(patients, configuration, kept, folder)
                    .with_context(|| format!("{}: cannot make the Grad-CAM pictures", kept.key))?;
                blocks.push(Block::Pictures(vec![looks]));
            }
        }
    }
    blocks.push(Block::Paragraph(WHERE_IT_LOOKS.to_owned()));
    Ok(blocks)
}

/// The cells of one task, split and network, by training set.
struct Group<'a> {
    stem: String,
    leak: String,
    classes: &'static [&'static str],
    by_balance: Vec<(BalanceName, Vec<&'a Cell>)>,
}

impl<'a> Group<'a> {
    fn new(
        task: Task,
        split: SplitKind,
        model: ModelName,
        configuration: &Configuration,
        cells: &'a [Cell],
    ) -> Self {
        let of = |balance| -> Vec<&Cell> {
            let wanted = |seed| CellKey {
                task,
                balance,
                model,
                form: configuration.first_form(model),
                split,
                seed,
            };
            cells
                .iter()
                .filter(|cell| cell.key == wanted(cell.key.seed))
                .collect()
        };
        Self {
            stem: format!("{task}-{split}"),
            leak: leak_mark(split),
            classes: task.class_names(),
            by_balance: configuration
                .balance
                .iter()
                .map(|&balance| (balance, of(balance)))
                .collect(),
        }
    }

    /// Loss and accuracy on the validation set by epoch, a curve for each training set.
    fn learning(&self) -> Result<Vec<Picture>, PictureError> {
        let names: Vec<String> = self
            .by_balance
            .iter()
            .map(|(balance, _)| balance.to_string())
            .collect();
        let chart = |what: &str, title: &str, scale, value: fn(&CellEpoch) -> f64| {
            let curves = names.iter().zip(&self.by_balance);
            LearningChart {
                name: &format!("{}-{what}", self.stem),
                title: &format!("{title}{}", self.leak),
                step: "epoch",
                note: "Line: mean over the repetitions that reached the epoch. Band: from the lowest to the highest.",
                scale,
                curves: curves
                    .map(|(name, (_, cells))| Curve {
                        name,
                        points: by_epoch(cells, value),
                    })
                    .collect(),
            }
            .picture()
        };
        Ok(vec![
            chart("loss", "Validation loss", Scale::Data, |epoch| {
                epoch.validation_loss
            })?,
            chart(
                "accuracy",
                "Validation accuracy, by slice",
                Scale::Share,
                validation_accuracy,
            )?,
        ])
    }

    /// A matrix for each training set.
    fn confusion(&self) -> Result<Vec<Picture>, PictureError> {
        let of_one = |(balance, cells): &(BalanceName, Vec<&Cell>)| {
            let scores = Metrics::of(&pooled(cells), self.classes.len());
            confusion(
                &format!("{}-confusion-{balance}", self.stem),
                &format!("Slices, {balance}{}", self.leak),
                self.classes,
                scores.confusion.counts(),
            )
        };
        self.by_balance.iter().map(of_one).collect()
    }

    /// Of the first training set: of class 1 of two, of each of more against the rest.
    fn roc(&self) -> Result<Vec<Picture>, PictureError> {
        let Some((balance, cells)) = self.by_balance.first() else {
            return Ok(Vec::new());
        };
        let pooled = pooled(cells);
        let classes = match self.classes.len() {
            2 => 1..2,
            more => 0..more,
        };
        let draw = |class: usize| {
            let band = roc_band(
                &pooled,
                class,
                Level::Slice,
                BOOTSTRAP_DRAWS,
                BOOTSTRAP_SEED,
            )?;
            let name = self.classes[class];
            Some(roc(
                &format!("{}-roc-{name}", self.stem),
                &format!("{balance}: {name} against the rest{}", self.leak),
                &RocCurve::from(&band),
            ))
        };
        classes.filter_map(draw).collect()
    }

    fn kept(&self, configuration: &Configuration) -> Option<&'a Cell> {
        let mut cells = self.by_balance.iter().flat_map(|(_, cells)| cells);
        cells
            .find(|cell| is_kept(configuration, &cell.key))
            .copied()
    }
}

/// Over the cells that reached each epoch.
fn by_epoch(cells: &[&Cell], value: fn(&CellEpoch) -> f64) -> Vec<Option<Spread>> {
    let longest = cells.iter().map(|cell| cell.epochs.len()).max();
    let at = |epoch| {
        let values: Vec<f64> = cells
            .iter()
            .filter_map(|cell| cell.epochs.get(epoch))
            .map(value)
            .collect();
        Spread::of(&values)
    };
    (0..longest.unwrap_or(0)).map(at).collect()
}

fn validation_accuracy(epoch: &CellEpoch) -> f64 {
    let confusion = Confusion::new(epoch.validation_confusion.clone());
    confusion.map_or(f64::NAN, |confusion| confusion.accuracy())
}

/// The test slices of all repetitions. A patient of several is one patient to the bootstrap.
fn pooled(cells: &[&Cell]) -> Vec<Prediction> {
    cells.iter().flat_map(|cell| cell.predictions()).collect()
}

/// Some test slices of a kept model, right and wrong ones of every class.
fn where_it_looks(
    patients: &[Patient],
    configuration: &Configuration,
    cell: &Cell,
    folder: &Folder,
) -> anyhow::Result<Picture> {
    let (key, architecture) = (&cell.key, architecture(&cell.key));
    let model = read_model(folder, key)?;
    let parts = SplitCohort::new(patients, key, configuration.cuts())?;
    let task = key.task;
    let chosen = some_of_each_kind(cell);
    let samples: Vec<Sample> = chosen
        .iter()
        .map(|&place| Sample {
            patient: cell.test[place].patient,
            slice: cell.test[place].slice,
        })
        .collect();
    let dataset = Dataset::new(patients, &samples, |patient| {
        task.class_of(patient.edss, configuration.cuts())
    })?;
    let predictions = cell.predictions();
    let predicted = |place: usize| predictions[place].class();
    let asked: Vec<(usize, usize)> = chosen
        .iter()
        .map(|&place| predicted(place))
        .enumerate()
        .collect();
    // In plaintext: the filters and shifts are those of the encrypted products, to the last rounding.
    let plaintext = CellKey {
        model: match key.model {
            ModelName::Hybrid => ModelName::PlainConditioned,
            other => other,
        },
        ..*key
    };
    let mut source = Source::new(&plaintext, configuration.profile, &parts);
    let mut trainer = Trainer::new(architecture, configuration.device()?);
    let maps = trainer.grad_cam_of_fit(&dataset, &asked, &model, source.as_inputs())?;
    let views = chosen.iter().zip(&samples).zip(&maps);
    let views: Vec<SliceView<'_>> = views
        .map(|((&place, sample), map)| SliceView {
            pixels: &patients[sample.patient].slices[sample.slice].pixels,
            side: IMAGE_SIDE,
            attention: &map.pixels,
            caption: verdict(
                format!("patient {}, slice {}", sample.patient + 1, sample.slice),
                task.class_names(),
                cell.test[place].label,
                predicted(place),
                &cell.test[place].probabilities,
            ),
        })
        .collect();
    let stem = format!("{}-{}-grad-cam", key.task, key.split);
    let title = format!(
        "Some test slices: {}, seed {}{}",
        key.balance,
        key.seed,
        leak_mark(key.split)
    );
    Ok(slices(&stem, &title, &views)?)
}

/// Places in the test set: in turn one of each true and predicted class, spread over those of its kind.
fn some_of_each_kind(cell: &Cell) -> Vec<usize> {
    let mut kinds: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (place, prediction) in cell.predictions().iter().enumerate() {
        let kind = (prediction.label, prediction.class());
        kinds.entry(kind).or_default().push(place);
    }
    let turns = MAX_SLICES.div_ceil(kinds.len().max(1));
    let spread = |kind: &Vec<usize>, turn: usize| {
        let shown = turns.min(kind.len());
        (turn < shown).then(|| kind[turn * kind.len() / shown])
    };
    let in_turn =
        (0..turns).flat_map(|turn| kinds.values().filter_map(move |kind| spread(kind, turn)));
    in_turn.take(MAX_SLICES).collect()
}

const MAX_SLICES: usize = 12;
const WHERE_IT_LOOKS: &str = "Beside each slice, where in it the evidence for the predicted class lies (Grad-CAM). Every map has a \
     scale of its own: heat cannot be compared between slices. The front of the head is up, the patient's right side is on the left. \
     Right and wrong slices are shown in turn, so their numbers say nothing of the accuracy.";

#[cfg(test)]
mod tests {
    use protocol::vocabulary::ConditioningForm;

    use super::*;
    use crate::reproduce::cell::TestSlice;

    fn cell(seed: u32, losses: &[f64]) -> Cell {
        Cell {
            key: CellKey {
                task: Task::Binary,
                balance: BalanceName::Original,
                model: ModelName::Plain,
                form: ConditioningForm::Study,
                split: SplitKind::Patient,
                seed,
            },
            train_counts: vec![4, 4],
            epochs: losses
                .iter()
                .map(|&validation_loss| CellEpoch {
                    learning_rate: 0.1,
                    train_loss: 1.0,
                    validation_loss,
                    validation_confusion: vec![vec![3, 1], vec![2, 2]],
                })
                .collect(),
            best_epoch: 1,
            stopped_early: false,
            test: (0..8)
                .map(|place| TestSlice {
                    patient: place / 2,
                    slice: place % 2,
                    label: place / 4,
                    // Right but for every fourth.
                    probabilities: if (place / 4 == 0) == (place % 4 != 3) {
                        vec![0.9, 0.1]
                    } else {
                        vec![0.2, 0.8]
                    },
                })
                .collect(),
            conditioning: None,
            seconds: 1.0,
        }
    }

    #[test]
    fn an_epoch_is_the_mean_of_those_who_reached_it() {
        let (long, short) = (cell(1, &[4.0, 2.0]), cell(2, &[1.0]));
        let spreads = by_epoch(&[&long, &short], |epoch| epoch.validation_loss);
        let spread = |mean, low, high| Some(Spread { mean, low, high });
        assert_eq!(spreads, [spread(2.5, 1.0, 4.0), spread(2.0, 2.0, 2.0)]);
        assert_eq!(validation_accuracy(&long.epochs[0]), 5.0 / 8.0);
        assert_eq!(by_epoch(&[], validation_accuracy), []);
    }

    #[test]
    fn every_kind_of_right_and_wrong_is_shown() {
        assert_eq!(some_of_each_kind(&cell(1, &[])), [0, 3, 7, 4, 1, 5, 2, 6]);
        // Of twenty that are alike, every second or third.
        let mut alike = cell(1, &[]);
        alike.test = (0..20)
            .map(|patient| TestSlice {
                patient,
                ..alike.test[0].clone()
            })
            .collect();
        let shown = some_of_each_kind(&alike);
        assert_eq!(shown, [0, 1, 3, 5, 6, 8, 10, 11, 13, 15, 16, 18]);
    }

    #[test]
    fn a_group_has_its_curves_matrices_and_roc() {
        let options = crate::reproduce::options::ReproduceOptions {
            model: Some(vec![ModelName::Plain]),
            balance: Some(vec![BalanceName::Original, BalanceName::Smote]),
            ..Default::default()
        };
        let configuration = Configuration::new(&options, None).expect("fine");
        let cells = [cell(1, &[1.0, 0.5]), cell(2, &[1.0])];
        let (task, split) = (Task::Binary, SplitKind::Patient);
        let group = Group::new(task, split, ModelName::Plain, &configuration, &cells);
        assert_eq!(group.by_balance[0].1.len(), 2);
        assert_eq!(
            group.kept(&configuration).map(|cell| cell.key.seed),
            Some(1)
        );
        let matrices = group.confusion().expect("drawn");
        // Of two repetitions with four slices of the class each.
        assert!(matrices[0].alt.contains("6 predicted") && matrices[0].alt.contains("2 predicted"));
        let names: Vec<String> = [group.learning(), Ok(matrices), group.roc()]
            .into_iter()
            .flat_map(|pictures| pictures.expect("drawn"))
            .map(|picture| picture.name)
            .collect();
        assert_eq!(
            names,
            [
                "binary-patient-loss",
                "binary-patient-accuracy",
                "binary-patient-confusion-original",
                "binary-patient-confusion-smote",
                "binary-patient-roc-higher",
            ]
        );
        // There is nothing of another split to draw a curve from.
        let other = Group::new(
            task,
            SplitKind::Slice,
            ModelName::Plain,
            &configuration,
            &cells,
        );
        assert!(other.roc().expect("nothing").is_empty() && other.kept(&configuration).is_none());
    }
}
