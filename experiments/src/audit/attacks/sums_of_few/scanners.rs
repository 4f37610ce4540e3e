//! Which scanner another hospital has, from the sum of batch-norm buffers.

use anyhow::ensure;
use crypto::sealed_sum::HospitalId;
use model::metrics::Share;
use phantom::ScannerProfile;
use protocol::network::{ModelLayout, TensorKind};
use rand::seq::index;

use super::super::{super::effort::Effort, randomness};
use crate::{
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

    /// How often the scanner of one of the others is named rightly, in sums of so many hospitals.
    pub fn named(&self, contributors: usize, trials: usize, seed: u64) -> Share {
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
        Share {
            part: right.count() as u64,
            whole: trials as u64,
        }
    }
}

/// The mean of each scanner, and how far hospitals of one scanner are apart in each value.
struct References {
    means: Vec<Vec<f64>>,
    deviations: Vec<f64>,
}

impl References {
    fn of(known: &[Buffers]) -> Self {
        let length = known.first().map_or(0, |one| one.change.len());
        let of_scanner = |scanner: usize| known.iter().filter(move |one| one.scanner == scanner);
        let means: Vec<Vec<f64>> = (0..SCANNERS)
            .map(|scanner| {
                let count = of_scanner(scanner).count().max(1) as f64;
                (0..length)
                    .map(|place| {
                        of_scanner(scanner)
                            .map(|one| one.change[place])
                            .sum::<f64>()
                            / count
                    })
                    .collect()
            })
            .collect();
        let deviations = (0..length)
            .map(|place| {
                let squares = known
                    .iter()
                    .map(|one| (one.change[place] - means[one.scanner][place]).powi(2));
                (squares.sum::<f64>() / known.len().max(1) as f64).sqrt()
            })
            .collect();
        Self { means, deviations }
    }

    fn nearest(&self, change: &[f64]) -> usize {
        let distance = |mean: &[f64]| -> f64 {
            let values = change.iter().zip(mean).zip(&self.deviations);
            values
                .filter(|(_, deviation)| **deviation > 0.0)
                .map(|((value, mean), deviation)| ((value - mean) / deviation).powi(2))
                .sum()
        };
        let distances = self.means.iter().map(|mean| distance(mean)).enumerate();
        distances
            .min_by(|one, other| one.1.total_cmp(&other.1))
            .map_or(0, |(scanner, _)| scanner)
    }
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
        let of_two = apart.named(2, 200, 1).value().expect("trials");
        let of_ten = apart.named(10, 200, 1).value().expect("trials");
        assert_eq!(of_two, 1.0);
        assert!(of_ten < 0.7, "{of_ten}");
    }
}
