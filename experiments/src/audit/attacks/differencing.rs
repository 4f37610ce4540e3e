//! Attack 5: one hospital's update from the models of successive rounds, as every hospital has them.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use crypto::sealed_sum::HospitalId;
use participant::interruption::Moment;
use protocol::network::TensorKind;

use super::super::{
    effort::Effort,
    finding::{Finding, Measured, Verdict},
    likeness::cosine_of,
};
use crate::{
    logistic_regression::solved,
    simulation::{
        ConditioningName, PlannedDrop, Progress, RoundAsGiven, SimulateOptions, as_given,
    },
    typed_options::TypedOptions,
};

/// Runs it.
///
/// # Errors
/// A federation that cannot be trained.
pub fn run(effort: Effort, seed: u64, progress: &Progress) -> anyhow::Result<Finding> {
    let rounds = trained(effort, seed, progress)?;
    let frozen = frozen(&rounds);
    let (mut control, mut claim) = (Vec::new(), Vec::new());
    let mut control_won = true;
    for method in [Method::Pair, Method::AllRounds] {
        let against_frozen = attack(&frozen, method)?;
        let against_trained = attack(&rounds, method)?;
        control_won &= against_frozen.least() >= MIN_COSINE;
        control.extend(against_frozen.measured(&format!("updates that never change, {method}")));
        claim.extend(against_trained.measured(&format!("training, {method}")));
    }
    claim.push(Measured::value(
        "training",
        "mean cosine of two hospitals' updates of one round",
        of_two(&rounds),
    ));
    Ok(Finding {
        number: 5,
        attack: "one update from the models of successive rounds",
        attacker_holds: "a hospital's view: every common model, who is in which sum, its own updates",
        claimed: "none: from successive models hospitals may infer roughly what one contributed when the set of contributors changes by one (sections 1, 4.5 and 10)",
        control,
        control_won,
        claim,
        verdict: Verdict::LeaksAsStated,
        explanation: format!(
            "A federation of {HOSPITALS} hospitals is trained, the last one attacks, and in every second round one other hospital is left \
             out. Two rounds: the sum with the victim less the next one without it. All rounds: least squares over the participation \
             matrix, as if each hospital's updates were the same in every round (gradient disaggregation). The victim is named if, of \
             the true updates of all other hospitals, its own is the most similar to what was found. In the control the \
             updates are those of the first round in every round: there both methods find them exactly."
        ),
        literature: "gradient disaggregation: Lam, Wei, Brooks, Reddi and Mitzenmacher 2021",
    })
}

/// A round, as it was given: the attacker has the sum, and its own.
struct Round {
    /// Of each hospital, whether or not it is in the sum; the attacker's last.
    changes: Vec<Vec<f32>>,
    is_in: Vec<bool>,
}

impl Round {
    /// Of the others that are in it: the sum less the attacker's own.
    fn sum(&self) -> Vec<f64> {
        let mut sum = vec![0.0; self.changes[0].len()];
        for (change, is_in) in self.of_others() {
            if is_in {
                for (sum, change) in sum.iter_mut().zip(change) {
                    *sum += f64::from(*change);
                }
            }
        }
        sum
    }

    fn of_others(&self) -> impl Iterator<Item = (&[f32], bool)> {
        let others = self.changes.iter().zip(&self.is_in).take(HOSPITALS - 1);
        others.map(|(change, is_in)| (&change[..], *is_in))
    }
}

fn trained(effort: Effort, seed: u64, progress: &Progress) -> anyhow::Result<Vec<Round>> {
    let victims = victims(effort);
    let mut options: SimulateOptions = TypedOptions::default().meant()?;
    options.hospitals = HOSPITALS as u8;
    options.rounds = 2 * victims as u32;
    options.local_epochs = effort.of(1, 2);
    options.patients = Some(HOSPITALS * effort.of(6, 16));
    options.slices = Some(effort.of(2, 8));
    options.conditioning = ConditioningName::Plain;
    options.seed = seed;
    options.drop = (1..=victims as u8)
        .filter_map(|victim| {
            Some(PlannedDrop {
                hospital: HospitalId::new(victim)?,
                moment: Moment::BeforeUpload,
                round: 2 * u32::from(victim),
            })
        })
        .collect();
    let mut rounds = Vec::new();
    as_given(&options, progress, &mut |round| {
        rounds.push(Round::of(round))
    })?;
    ensure!(
        rounds.len() == 2 * victims,
        "the federation has ended early"
    );
    Ok(rounds)
}

/// Hospitals that are left out once.
fn victims(effort: Effort) -> usize {
    effort.of(2, HOSPITALS - 2)
}

impl Round {
    fn of(given: &RoundAsGiven<'_>) -> Self {
        let kept = |change: &Vec<f64>| -> Vec<f32> {
            let mut kept = Vec::new();
            let mut rest = &change[..];
            for tensor in given.layout.tensors.iter() {
                let (own, after) = rest.split_at(tensor.values());
                rest = after;
                if tensor.kind == TensorKind::Weight {
                    kept.extend(own.iter().step_by(STRIDE).map(|&value| value as f32));
                }
            }
            kept
        };
        Self {
            changes: given
                .changes
                .iter()
                .map(|(_, change)| kept(change))
                .collect(),
            is_in: given
                .changes
                .iter()
                .map(|(id, _)| given.contributors.contains(id))
                .collect(),
        }
    }
}

/// The same rounds, in each of which everybody gives what it gave in the first.
fn frozen(rounds: &[Round]) -> Vec<Round> {
    let of_first = rounds
        .first()
        .map(|round| round.changes.clone())
        .unwrap_or_default();
    let rounds = rounds.iter().map(|round| Round {
        changes: of_first.clone(),
        is_in: round.is_in.clone(),
    });
    rounds.collect()
}

/// How the attacker goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// The sum with the victim less the next one without.
    Pair,
    /// Least squares over all rounds.
    AllRounds,
}

impl std::fmt::Display for Method {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Pair => "two rounds",
            Self::AllRounds => "all rounds",
        })
    }
}

/// What an attack has found of its victims.
struct Found {
    /// Cosines with the victim's own update.
    own: Vec<f64>,
    /// Of each victim, with the most similar update of another hospital.
    others: Vec<f64>,
}

fn attack(rounds: &[Round], method: Method) -> anyhow::Result<Found> {
    let sums: Vec<Vec<f64>> = rounds.iter().map(Round::sum).collect();
    let mut found = Found {
        own: Vec::new(),
        others: Vec::new(),
    };
    for victim in 0..HOSPITALS - 1 {
        let Some(without) = rounds.iter().position(|round| !round.is_in[victim]) else {
            continue;
        };
        let before = without
            .checked_sub(1)
            .context("the first round is of all")?;
        let weights: BTreeMap<usize, f64> = match method {
            Method::Pair => BTreeMap::from([(before, 1.0), (without, -1.0)]),
            Method::AllRounds => least_squares(rounds, victim)
                .into_iter()
                .enumerate()
                .collect(),
        };
        let mut estimate = vec![0.0; sums[0].len()];
        for (round, weight) in weights {
            for (estimate, sum) in estimate.iter_mut().zip(&sums[round]) {
                *estimate += weight * sum;
            }
        }
        let truths = (0..HOSPITALS - 1).map(|hospital| match method {
            Method::Pair => rounds[before].changes[hospital]
                .iter()
                .map(|&value| value.into())
                .collect(),
            Method::AllRounds => sum_of(rounds, hospital),
        });
        let cosines: Vec<f64> = truths
            .map(|truth: Vec<f64>| cosine(&estimate, &truth))
            .collect();
        found.own.push(cosines[victim]);
        let of_others = cosines
            .iter()
            .enumerate()
            .filter(|(hospital, _)| *hospital != victim);
        let most = of_others
            .map(|(_, &cosine)| cosine)
            .fold(f64::NEG_INFINITY, f64::max);
        found.others.push(most);
    }
    ensure!(!found.own.is_empty(), "nobody is left out of any round");
    Ok(found)
}

impl Found {
    fn least(&self) -> f64 {
        self.own.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn measured(&self, setting: &str) -> Vec<Measured> {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let named = self
            .own
            .iter()
            .zip(&self.others)
            .filter(|(own, other)| own > other)
            .count();
        vec![
            Measured::value(
                setting,
                "cosine with the victim's update (mean)",
                mean(&self.own),
            ),
            Measured::value(
                setting,
                "cosine with the most similar other (mean)",
                mean(&self.others),
            ),
            Measured::share(
                setting,
                "victim named",
                model::metrics::Share {
                    part: named as u64,
                    whole: self.own.len() as u64,
                },
            )
            .against(1.0 / (HOSPITALS - 1) as f64),
        ]
    }
}

/// What each round's sum counts in the least squares solution for one hospital, if every hospital's updates are the same in all
/// rounds. Hospitals that are in the same rounds cannot be told apart: they are one.
fn least_squares(rounds: &[Round], victim: usize) -> Vec<f64> {
    let column = |hospital: usize| -> Vec<bool> {
        rounds.iter().map(|round| round.is_in[hospital]).collect()
    };
    let mut columns: Vec<Vec<bool>> = Vec::new();
    for hospital in 0..HOSPITALS - 1 {
        if !columns.contains(&column(hospital)) {
            columns.push(column(hospital));
        }
    }
    let number = |is_in: bool| f64::from(u8::from(is_in));
    let product = |one: &[bool], other: &[bool]| -> f64 {
        one.iter()
            .zip(other)
            .map(|(&one, &other)| number(one && other))
            .sum()
    };
    let gram: Vec<Vec<f64>> = columns
        .iter()
        .map(|one| columns.iter().map(|other| product(one, other)).collect())
        .collect();
    let unit: Vec<f64> = columns
        .iter()
        .map(|one| number(*one == column(victim)))
        .collect();
    let row = solved(gram, &unit);
    (0..rounds.len())
        .map(|round| {
            columns
                .iter()
                .zip(&row)
                .map(|(column, weight)| number(column[round]) * weight)
                .sum()
        })
        .collect()
}

/// Over the rounds that it is in.
fn sum_of(rounds: &[Round], hospital: usize) -> Vec<f64> {
    let mut sum = vec![0.0; rounds[0].changes[hospital].len()];
    for round in rounds.iter().filter(|round| round.is_in[hospital]) {
        for (sum, change) in sum.iter_mut().zip(&round.changes[hospital]) {
            *sum += f64::from(*change);
        }
    }
    sum
}

fn of_two(rounds: &[Round]) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for round in rounds {
        let of_others: Vec<Vec<f64>> = round
            .of_others()
            .map(|(change, _)| change.iter().map(|&value| value.into()).collect())
            .collect();
        for (place, one) in of_others.iter().enumerate() {
            for other in &of_others[..place] {
                sum += cosine(one, other);
                count += 1.0;
            }
        }
    }
    sum / count
}

fn cosine(one: &[f64], other: &[f64]) -> f64 {
    cosine_of(one.iter().copied().zip(other.iter().copied()))
}

/// Attacker and all.
const HOSPITALS: usize = 5;
/// So many values are enough to tell directions apart, and fit memory.
const STRIDE: usize = 16;
/// Frozen updates are found up to the rounding of floats.
const MIN_COSINE: f64 = 0.999;

#[cfg(test)]
mod tests {
    use rand::{Rng, RngExt};

    use super::{super::randomness, *};

    /// Updates of which so much is the hospital's own, the same in every round.
    fn rounds(own: f32, rng: &mut impl Rng) -> Vec<Round> {
        let mut drawn = |scale: f32| -> Vec<f32> {
            (0..500).map(|_| rng.random_range(-scale..scale)).collect()
        };
        let of_hospitals: Vec<Vec<f32>> = (0..HOSPITALS).map(|_| drawn(own)).collect();
        let plus =
            |one: &[f32], other: Vec<f32>| one.iter().zip(other).map(|(a, b)| a + b).collect();
        (0..6)
            .map(|round| Round {
                changes: of_hospitals
                    .iter()
                    .map(|of_hospital| plus(of_hospital, drawn(1.0 - own)))
                    .collect(),
                is_in: (0..HOSPITALS)
                    .map(|hospital| round != 2 * hospital + 1)
                    .collect(),
            })
            .collect()
    }

    #[test]
    fn frozen_updates_are_found_exactly_and_noise_is_not() {
        let mut rng = randomness(1, "differencing, a test");
        let (half, noise) = (rounds(0.5, &mut rng), rounds(1e-6, &mut rng));
        for method in [Method::Pair, Method::AllRounds] {
            let found = attack(&frozen(&half), method).expect("somebody is left out");
            assert_eq!(found.own.len(), 3);
            assert!(found.least() > MIN_COSINE, "{method}: {:?}", found.own);
            let found = attack(&half, method).expect("somebody is left out");
            assert!(
                found
                    .own
                    .iter()
                    .zip(&found.others)
                    .all(|(own, other)| own > other)
            );
            assert!(found.least() < 0.9, "{method}");
        }
        let found = attack(&noise, Method::AllRounds).expect("somebody is left out");
        assert!(found.least() < 0.6, "{:?}", found.own);
    }
}
