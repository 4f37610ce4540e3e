//! Which scanner another hospital has, from the sum of batch-norm buffers.

use anyhow::ensure;
use crypto::sealed_sum::HospitalId;
use model::metrics::Share;
use phantom::ScannerProfile;
use protocol::network::{ModelLayout, TensorKind};
use rand::seq::index;

use super::super::{super::effort::Effort, randomness};
use crate::{
    logistic_regression::solved,
    simulation::{ConditioningName, Partition, Progress, SimulateOptions, as_given},
    typed_options::TypedOptions,
};

/// Hospitals that have trained a round from the same model, each with patients of one scanner.
pub struct Federation {
    /// What the attacker has of each scanner.
    references: Vec<Buffers>,
    /// The hospitals whose sums are attacked.
    hospitals: Vec<Buffers>,
}

/// How a round has moved the batch-norm buffers.
struct Buffers {
    scanner: usize,
    change: Vec<f64>,
}

impl Federation {
    /// Trains it.
    ///
    /// # Errors
    /// Whatever keeps a federation from training.
    pub fn train(effort: Effort, seed: u64, progress: &Progress) -> anyhow::Result<Self> {
        let references = SCANNERS * effort.of(4, 6);
        let hospitals = references + effort.of(10, 24);
        let mut options: SimulateOptions = TypedOptions::default().meant()?;
        options.hospitals = hospitals as u8;
        options.rounds = 1;
        options.local_epochs = 1;
        options.patients = Some(PATIENTS * hospitals);
        options.slices = Some(4);
        options.partition = Partition::Scanner;
        options.conditioning = ConditioningName::Plain;
        options.seed = seed;
        let mut all = Vec::new();
        as_given(&options, progress, &mut |round| {
            all = round
                .changes
                .iter()
                .map(|(id, change)| Buffers {
                    scanner: scanner_of(*id),
                    change: buffers(round.layout, change),
                })
                .collect();
        })?;
        ensure!(all.len() == hospitals, "the federation has not trained");
        let hospitals = all.split_off(references);
        Ok(Self {
            references: all,
            hospitals,
        })
    }

    /// Of whoever has nothing.
    pub fn chance(&self) -> f64 {
        1.0 / SCANNERS as f64
    }

    /// Hospitals whose scanner is named rightly by one that is alone with them: what is left of the sum is their own, whoever attacks,
    /// so each hospital is one case.
    pub fn named_of_two(&self) -> Share {
        let known = References::of(&self.references);
        let right = self
            .hospitals
            .iter()
            .filter(|one| known.nearest(&one.change) == one.scanner);
        Share {
            part: right.count() as u64,
            whole: self.hospitals.len() as u64,
        }
    }

    /// How often the scanner of one of the others is named rightly, in sums of so many hospitals. The trials draw from the same few
    /// hospitals: as a count of independent cases it would be far too sure.
    pub fn named(&self, contributors: usize, trials: usize, seed: u64) -> f64 {
        let mut rng = randomness(seed, &format!("scanners, {contributors}"));
        let known = References::of(&self.references);
        let right = (0..trials).filter(|_| {
            let chosen = index::sample(&mut rng, self.hospitals.len(), contributors);
            let chosen: Vec<&Buffers> = chosen.iter().map(|place| &self.hospitals[place]).collect();
            // The sum less the attacker's own: that of the others.
            let others = &chosen[1..];
            let mean: Vec<f64> = (0..others[0].change.len())
                .map(|place| {
                    let sum: f64 = chosen.iter().map(|one| one.change[place]).sum();
                    (sum - chosen[0].change[place]) / others.len() as f64
                })
                .collect();
            known.nearest(&mean) == others[0].scanner
        });
        right.count() as f64 / trials as f64
    }
}

/// A linear discriminant (Fisher 1936): what tells scanners apart is looked for beside how hospitals of one scanner differ, which patients
/// and not scanners make.
struct References {
    /// Of each value, over hospitals of one scanner; infinite where they do not differ.
    deviations: Vec<f64>,
    /// Of each scanner: the weight of each value over its deviation, and what is added.
    scanners: Vec<(Vec<f64>, f64)>,
}

impl References {
    fn of(known: &[Buffers]) -> Self {
        let length = known.first().map_or(0, |one| one.change.len());
        let count = known.len().max(1) as f64;
        let means: Vec<Vec<f64>> = (0..SCANNERS)
            .map(|scanner| {
                let own: Vec<&[f64]> = known
                    .iter()
                    .filter(|one| one.scanner == scanner)
                    .map(|one| &one.change[..])
                    .collect();
                let mean = |place: usize| {
                    own.iter().map(|change| change[place]).sum::<f64>() / own.len().max(1) as f64
                };
                (0..length).map(mean).collect()
            })
            .collect();
        let mut within: Vec<Vec<f64>> = known
            .iter()
            .map(|one| {
                let pairs = one.change.iter().zip(&means[one.scanner]);
                pairs.map(|(value, mean)| value - mean).collect()
            })
            .collect();
        let deviations: Vec<f64> = (0..length)
            .map(|place| {
                let squares = within.iter().map(|row| row[place].powi(2)).sum::<f64>();
                let deviation = (squares / count).sqrt();
                if deviation > 0.0 {
                    deviation
                } else {
                    f64::INFINITY
                }
            })
            .collect();
        for row in &mut within {
            for (value, deviation) in row.iter_mut().zip(&deviations) {
                *value /= deviation;
            }
        }
        // Fewer hospitals than values: without the diagonal it has no inverse.
        let covariance: Vec<Vec<f64>> = (0..length)
            .map(|row| {
                let cell = |column: usize| {
                    let products = within.iter().map(|values| values[row] * values[column]);
                    let diagonal = if row == column { DIAGONAL } else { 0.0 };
                    (1.0 - DIAGONAL) * products.sum::<f64>() / count + diagonal
                };
                (0..length).map(cell).collect()
            })
            .collect();
        let scanners = means.iter().map(|mean| {
            let scaled: Vec<f64> = mean
                .iter()
                .zip(&deviations)
                .map(|(mean, deviation)| mean / deviation)
                .collect();
            let weights = solved(covariance.clone(), &scaled);
            let added = -product(&weights, &scaled) / 2.0;
            (weights, added)
        });
        Self {
            scanners: scanners.collect(),
            deviations,
        }
    }

    fn nearest(&self, change: &[f64]) -> usize {
        let values = change.iter().zip(&self.deviations);
        let scaled: Vec<f64> = values.map(|(value, deviation)| value / deviation).collect();
        let scores = self
            .scanners
            .iter()
            .map(|(weights, added)| product(weights, &scaled) + added);
        scores
            .enumerate()
            .max_by(|one, other| one.1.total_cmp(&other.1))
            .map_or(0, |(scanner, _)| scanner)
    }
}

fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// Scanners are dealt to hospitals in turn.
fn scanner_of(hospital: HospitalId) -> usize {
    usize::from(hospital.get() - 1) % SCANNERS
}

fn buffers(layout: &ModelLayout, change: &[f64]) -> Vec<f64> {
    let mut buffers = Vec::new();
    let mut rest = change;
    for tensor in layout.tensors.iter() {
        let (own, after) = rest.split_at(tensor.values());
        rest = after;
        if matches!(
            tensor.kind,
            TensorKind::RunningMean | TensorKind::RunningVariance
        ) {
            buffers.extend_from_slice(own);
        }
    }
    buffers
}

const SCANNERS: usize = ScannerProfile::ALL.len();
/// Of each hospital.
const PATIENTS: usize = 6;
/// How much of the covariance is its diagonal. Tuned on seeds 101 to 108, of which no number is reported.
const DIAGONAL: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn federation(apart: f64) -> Federation {
        let mut hospitals: Vec<Buffers> = (0..24)
            .map(|number| {
                let scanner = number % SCANNERS;
                let noise = |place: usize| ((number * 31 + place * 17) % 13) as f64 / 13.0;
                Buffers {
                    scanner,
                    change: (0..6)
                        .map(|place| {
                            noise(place)
                                + if place % SCANNERS == scanner {
                                    apart
                                } else {
                                    0.0
                                }
                        })
                        .collect(),
                }
            })
            .collect();
        let references = hospitals.drain(..12).collect();
        Federation {
            references,
            hospitals,
        }
    }

    #[test]
    fn of_two_the_scanner_is_named_where_scanners_differ_and_of_many_it_is_not() {
        let apart = federation(5.0);
        let of_two = apart.named_of_two();
        assert_eq!((of_two.part, of_two.whole), (12, 12));
        assert_eq!(apart.named(2, 200, 1), 1.0, "the same by subtraction");
        let of_ten = apart.named(10, 200, 1);
        assert!(of_ten < 0.7, "{of_ten}");
    }
}
