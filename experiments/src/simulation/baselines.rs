//! `--baselines`: what else could have been done with the same patients, each tested as the federation's model is.
//!
//! | | trained on |
//! |---|---|
//! | features | the clinical features of all hospitals' training patients: a logistic regression, no image |
//! | images | every hospital's images, federated, without clinical features |
//! | pooled | everything in one place, as a single hospital |
//! | local | each hospital's own data alone |
//!
//! They are computed in plaintext, as by `--updates plain`: what is compared is what they learn.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::Context;
use crypto::sealed_sum::HospitalId;
use model::metrics::{Metrics, Prediction, per_patient};
use model_data::{FeatureScaling, impute_and_scale, whole_file::write_whole};
use participant::vault::statistics::{ClinicalRecords, Statistics, own_counters};
use protocol::{
    counters::StatsCounters,
    manifest::{Conditioning, ConditioningForm, Manifest},
    network::ModelLayout,
    vocabulary::Task,
};
use serde::{Deserialize, Serialize};
use trainer::ImageSet;

use super::{
    expected_sums::add_counters,
    fault_plan::FaultPlan,
    hospital::HospitalData,
    plain_updates::{self, PlainRun},
    plan::Plan,
    progress::Progress,
    test_metrics,
};
use crate::logistic_regression::{Example, LogisticRegression};

/// How good each is on the pooled test patients.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Baselines {
    /// Features alone.
    pub features: BaselineScores,
    /// Images alone.
    pub images: BaselineScores,
    /// All data pooled.
    pub pooled: BaselineScores,
    /// Each hospital alone, in their order.
    pub local: Vec<BaselineScores>,
}

/// By patient.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct BaselineScores {
    /// Null where the test patients are of one class.
    pub auroc: Option<f64>,
    /// Share of the patients seen right.
    pub accuracy: f64,
}

/// In the folder of an unfinished simulation.
pub const FILE: &str = "baselines.json";

/// As they were kept there before the simulation was stopped; else they are trained, and kept.
///
/// # Errors
/// A hospital that cannot train; a file that is not one of these, or cannot be written.
pub fn kept_or_made(
    file: &Path,
    plan: &Plan,
    manifest: &Arc<Manifest>,
    data: &[HospitalData],
    progress: &Progress,
) -> anyhow::Result<Baselines> {
    if file.exists() {
        let text =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        return serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} holds no baselines: remove it to train them again",
                file.display()
            )
        });
    }
    let made = baselines(plan, manifest, data, progress)?;
    let text = serde_json::to_vec(&made).context("numbers are JSON")?;
    write_whole(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(made)
}

/// Trains and tests them all.
///
/// # Errors
/// A hospital that cannot train.
pub fn baselines(
    plan: &Plan,
    manifest: &Arc<Manifest>,
    data: &[HospitalData],
    progress: &Progress,
) -> anyhow::Result<Baselines> {
    let plan = Plan {
        faults: FaultPlan::default(),
        ..plan.clone()
    };
    let own = Sites {
        plan: &plan,
        data,
        progress,
    };
    let images_alone = Arc::new(Manifest {
        conditioning: Conditioning::None,
        conditioning_form: ConditioningForm::Study,
        layout: ModelLayout::hybrid_cnn(u32::try_from(manifest.task.classes())?),
        ..manifest.as_ref().clone()
    });
    let each = || data.iter().map(|data| (data.id, data.images.clone()));
    progress.line("baseline: features alone");
    let features = features_alone(&plan, manifest.task, data)?;
    progress.line("baseline: images alone, federated");
    let images = own.trained(&images_alone, each().collect(), own.records()?)?;
    progress.line("baseline: all data pooled");
    let pooled = own.pooled(manifest)?;
    let mut local = Vec::with_capacity(data.len());
    for (id, images) in each() {
        progress.line(format!("baseline: hospital {id} alone"));
        let mut records = own.records()?;
        records.retain(|&other, _| other == id);
        local.push(own.trained(manifest, vec![(id, images)], records)?);
    }
    progress.clear();
    Ok(Baselines {
        features,
        images,
        pooled,
        local,
    })
}

struct Sites<'a> {
    plan: &'a Plan,
    data: &'a [HospitalData],
    progress: &'a Progress,
}

impl Sites<'_> {
    /// Each hospital's, as its vault reads them.
    fn records(&self) -> anyhow::Result<BTreeMap<HospitalId, ClinicalRecords>> {
        let labels = self.plan.labels();
        let own = |data: &HospitalData| {
            let records = data.table.records(labels);
            let records = records.with_context(|| format!("the data of hospital {}", data.id))?;
            anyhow::Ok((data.id, records))
        };
        self.data.iter().map(own).collect()
    }

    fn pooled(&self, manifest: &Arc<Manifest>) -> anyhow::Result<BaselineScores> {
        let first = self.data.first().context("there is no hospital")?.id;
        let sets = self.data.iter().map(|data| &data.images);
        let images = ImageSet::pooled(sets, self.plan.labels())?;
        let all = self.records()?.into_values().reduce(|mut all, own| {
            all.features.extend(own.features);
            all.in_training.extend(own.in_training);
            for (sum, count) in all.class_counts.iter_mut().zip(own.class_counts) {
                *sum += count;
            }
            all.validation_patients += own.validation_patients;
            all
        });
        let records = BTreeMap::from([(first, all.context("there is no hospital")?)]);
        self.trained(manifest, vec![(first, images)], records)
    }

    /// Trains some sites together, and tests on all hospitals' test patients.
    fn trained(
        &self,
        manifest: &Arc<Manifest>,
        images: Vec<(HospitalId, ImageSet)>,
        records: BTreeMap<HospitalId, ClinicalRecords>,
    ) -> anyhow::Result<BaselineScores> {
        let run = plain_updates::run(self.plan, manifest, images, &records, self.progress)?;
        let PlainRun {
            model, statistics, ..
        } = run;
        let form = manifest.conditioning_form;
        let scaled = self.records()?.into_iter();
        let features = scaled
            .map(|(id, records)| (id, records.scaled(&statistics, form)))
            .collect();
        let tests = self.data.iter().map(|data| (data.id, &data.test));
        let slices =
            test_metrics::predictions(manifest, &model, self.plan.device, tests, &features)?;
        Ok(scores(&slices, manifest.task))
    }
}

/// A logistic regression on z-scored features, missing ones at the mean.
fn features_alone(
    plan: &Plan,
    task: Task,
    data: &[HospitalData],
) -> anyhow::Result<BaselineScores> {
    let labels = plan.labels();
    let records: Vec<ClinicalRecords> = data
        .iter()
        .map(|data| data.table.records(labels))
        .collect::<Result<_, _>>()?;
    let counters = records
        .iter()
        .map(|records| Some(own_counters(records).write()));
    let features = records.first().map_or(0, |records| records.schema.count());
    let sums = add_counters(counters).context("there is no hospital")?;
    let statistics = Statistics::from(&StatsCounters::read(task, features, &sums)?);
    let scaling = FeatureScaling::ZScore {
        deviations: statistics.deviations,
    };
    let example = |records: &ClinicalRecords, data: &HospitalData, patient: usize| Example {
        features: impute_and_scale(&records.features[patient], &statistics.means, &scaling),
        class: labels.class_of(data.images.patients()[patient].edss),
        weight: 1.0,
    };
    let mut training = Vec::new();
    let mut tested = Vec::new();
    for (records, data) in records.iter().zip(data) {
        let in_training = records.in_training.iter().enumerate();
        let in_training = in_training.filter(|(_, trained_on)| **trained_on);
        training.extend(in_training.map(|(patient, _)| example(records, data, patient)));
        tested.extend(
            data.test
                .scores
                .keys()
                .map(|&patient| example(records, data, patient)),
        );
    }
    let model = LogisticRegression::fit(&training, task.classes());
    let predictions: Vec<Prediction> = tested
        .iter()
        .enumerate()
        .map(|(patient, example)| Prediction {
            patient,
            label: example.class,
            probabilities: model
                .probabilities(&example.features)
                .into_iter()
                .map(|share| share as f32)
                .collect(),
        })
        .collect();
    Ok(scores(&predictions, task))
}

fn scores(slices: &[Prediction], task: Task) -> BaselineScores {
    let metrics = Metrics::of(&per_patient(slices), task.classes());
    BaselineScores {
        auroc: metrics.auroc,
        accuracy: metrics.confusion.accuracy(),
    }
}
