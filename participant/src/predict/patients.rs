//! One patient after another: the trainer is asked about each scan, and its answers become what is said of the patient.

use std::collections::BTreeSet;

use model_data::{Entry, scanner_of};
use model_metrics::{heat_outside_head, looks_past_the_head};
use protocol::training_job::{
    HEAT_SIDE, JobWatcher, LocalTrainer, PredictRequest, PredictedSlice, TrainerFailure,
};
use results::{PatientPrediction, ScanOrigin, SlicePicture, SlicePrediction};

use super::{Conditions, KeptModel};

/// The scans of one patient, and where they stand in the trainer's list, which has a place for each scan.
pub struct Asked<'a> {
    /// Who, and what is known.
    pub entry: &'a Entry,
    /// The place of the first scan; the others follow it.
    pub first: u32,
    /// How many slices each scan has given; 0 of one that could not be used.
    pub slices: &'a [u32],
    /// Of the scans, in the same order.
    pub origins: Vec<ScanOrigin>,
}

/// What the model says of a patient; none where no scan could be used.
///
/// # Errors
/// The trainer cannot do it.
pub fn predict(
    asked: Asked<'_>,
    model: &KeptModel,
    conditions: &Conditions,
    with_heat: bool,
    trainer: &mut dyn LocalTrainer,
    watcher: &mut dyn JobWatcher,
) -> Result<Option<PatientPrediction>, TrainerFailure> {
    let Asked {
        entry,
        first,
        slices,
        origins,
    } = asked;
    let inputs = conditions.inputs(&entry.features);
    let mut said = vec![];
    for (scan, (place, _)) in (first..)
        .zip(slices)
        .enumerate()
        .filter(|(_, (_, of_scan))| **of_scan > 0)
    {
        let request = PredictRequest {
            patient: place,
            model: model.for_trainer(),
            inputs: inputs.clone().map(Into::into),
            task: model.output.task,
            conditioning: model.conditioning,
            form: model.form,
            with_heat,
        };
        let predicted = trainer.predict(request, watcher)?;
        said.extend(predicted.0.0.into_iter().map(|slice| of_slice(scan, slice)));
    }
    if said.is_empty() {
        return Ok(None);
    }
    let used = origins
        .iter()
        .zip(slices)
        .filter(|(_, of_scan)| **of_scan > 0);
    let used = used.map(|(origin, _)| origin);
    let scanners = used
        .clone()
        .filter_map(|origin| scanner_of(&origin.files))
        .collect();
    let contrasts: BTreeSet<_> = used.map(|origin| origin.contrast).collect();
    let contrasts: Vec<_> = contrasts.into_iter().collect();
    let probabilities = mean(&said);
    let class = highest(&probabilities);
    let (low, high) = spread(said.iter().map(|slice| slice.probabilities[class]));
    let mut flags = conditions.flags(&entry.features, &contrasts, &scanners);
    flags.extend(looks_past_the_head(said.iter().map(|slice| {
        let picture = slice.picture.as_ref()?;
        let pixels: Vec<f32> = picture.pixels.iter().copied().map(f32::from).collect();
        heat_outside_head(&pixels, &picture.heat, HEAT_SIDE)
    })));
    Ok(Some(PatientPrediction {
        patient: entry.id.clone(),
        class,
        probabilities,
        low,
        high,
        flags,
        slices: said,
        scans: origins,
    }))
}

fn of_slice(scan: usize, slice: PredictedSlice) -> SlicePrediction {
    SlicePrediction {
        scan,
        index: slice.axial_index,
        probabilities: slice.probabilities,
        picture: slice.picture.map(|picture| SlicePicture {
            pixels: picture.pixels,
            heat: picture
                .heat
                .into_iter()
                .map(|heat| f32::from(heat) / 255.0)
                .collect(),
        }),
    }
}

/// As every report takes it: the mean of the slices' probabilities.
fn mean(slices: &[SlicePrediction]) -> Vec<f32> {
    let classes = slices.first().map_or(0, |slice| slice.probabilities.len());
    let of_class = |class: usize| {
        let values = slices
            .iter()
            .map(|slice| f64::from(slice.probabilities[class]));
        (values.sum::<f64>() / slices.len() as f64) as f32
    };
    (0..classes).map(of_class).collect()
}

/// Of equal ones the lowest class, as an evaluation counts.
fn highest(probabilities: &[f32]) -> usize {
    let best = probabilities.iter().copied().fold(f32::MIN, f32::max);
    let place = probabilities.iter().position(|&share| share == best);
    place.unwrap_or(0)
}

/// The 2.5% and the 97.5% percentile, between the two nearest values.
fn spread(values: impl Iterator<Item = f32>) -> (f32, f32) {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = |share: f64| {
        let place = share * last as f64;
        let below = place.floor() as usize;
        let above = (below + 1).min(last);
        let rest = (place - below as f64) as f32;
        match (values.get(below), values.get(above)) {
            (Some(below), Some(above)) => below + (above - below) * rest,
            _ => 0.0,
        }
    };
    (at(0.025), at(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_numpys_percentile_of_the_slices() {
        // numpy.percentile([0.1, 0.9, 0.4, 0.35, 0.7], [2.5, 97.5])
        let (low, high) = spread([0.1, 0.9, 0.4, 0.35, 0.7].into_iter());
        assert!(
            (low - 0.125).abs() < 1e-6 && (high - 0.88).abs() < 1e-6,
            "{low} {high}"
        );
        assert_eq!(spread([0.5].into_iter()), (0.5, 0.5));
    }

    #[test]
    fn a_patient_is_the_mean_of_the_slices_and_of_equals_the_lowest_class() {
        let slice = |probabilities: [f32; 2]| SlicePrediction {
            scan: 0,
            index: 0,
            probabilities: probabilities.to_vec(),
            picture: None,
        };
        let mean = mean(&[slice([0.2, 0.8]), slice([0.8, 0.2])]);
        assert_eq!(mean, [0.5, 0.5]);
        assert_eq!(highest(&mean), 0);
        assert_eq!(highest(&[0.1, 0.3, 0.3]), 1);
    }
}
