//! What shifts of the logits tell of the clinical features, in the form of conditioning `late`, to an attacker who has the help of a
//! vault of some hospital: it knows u, the means, the deviations, and how often each value occurs. It lists every set of features, and
//! takes the most frequent one that fits all it was given. `docs/security/shifts.py` is the model of this.

use std::collections::{BTreeMap, HashMap};

use model_data::FEATURES;
use participant::vault::{
    conditioning::{
        release::ReleaseLevels,
        weights::{ConditioningWeights, ScaledFeatures},
    },
    statistics::Statistics,
};
use protocol::vocabulary::ConditioningForm;
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use super::super::patients::{AGES, FLAGS, RawFeatures, scaled, statistics};

/// Every set of features that the attacker thinks of.
pub struct Candidates {
    /// Of all patients.
    statistics: Statistics,
    raw: Vec<RawFeatures>,
    scaled: Vec<ScaledFeatures>,
    /// How often, with flags and ages independent.
    share: Vec<f64>,
    /// What somebody would guess who is given nothing.
    guess: RawFeatures,
}

/// What was found of how many patients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Flags, and those of them that are right.
    pub flags: [u64; 2],
    /// Patients, and those whose age is right to within a year.
    pub ages: [u64; 2],
    /// How many sets of features fit each patient.
    pub fitting: Vec<usize>,
}

impl Candidates {
    /// Of a population.
    pub fn of(population: &[RawFeatures]) -> Self {
        let statistics = statistics(population);
        let mut ages: BTreeMap<[i64; 3], f64> = BTreeMap::new();
        for raw in population {
            *ages.entry(AGES.map(|place| raw[place] as i64)).or_default() += 1.0;
        }
        let count = population.len() as f64;
        let shares = FLAGS.map(|place| statistics.means[place]);
        let (mut raw, mut share) = (Vec::new(), Vec::new());
        for (years, often) in &ages {
            for flags in 0..1_u32 << FLAGS.len() {
                let mut features = [0.0; FEATURES];
                for (place, &years) in AGES.iter().zip(years) {
                    features[*place] = years as f64;
                }
                let mut own = often / count;
                for (bit, (&place, share)) in FLAGS.iter().zip(shares).enumerate() {
                    let is_set = flags >> bit & 1 == 1;
                    features[place] = f64::from(u8::from(is_set));
                    own *= if is_set { share } else { 1.0 - share };
                }
                raw.push(features);
                share.push(own);
            }
        }
        let usual = ages.iter().max_by(|one, other| one.1.total_cmp(other.1));
        let mut guess = [0.0; FEATURES];
        for (place, &years) in AGES.iter().zip(usual.map_or(&[0; 3], |(years, _)| years)) {
            guess[*place] = years as f64;
        }
        for (&place, share) in FLAGS.iter().zip(shares) {
            guess[place] = f64::from(u8::from(share > 0.5));
        }
        Self {
            scaled: scaled(&raw, &statistics, ConditioningForm::Late),
            statistics,
            raw,
            share,
            guess,
        }
    }

    /// As the vault scales them.
    pub fn scaled(&self, patients: &[RawFeatures]) -> Vec<ScaledFeatures> {
        scaled(patients, &self.statistics, ConditioningForm::Late)
    }

    /// Of patients of whom nothing is given.
    pub fn guessed(&self, patients: &[RawFeatures], found: &mut Found) {
        for raw in patients {
            found.count(raw, &self.guess, self.raw.len());
        }
    }

    /// Of patients, from the shifts of so many versions of u.
    pub fn attack(
        &self,
        patients: &[RawFeatures],
        versions: usize,
        levels: ReleaseLevels,
        rng: &mut impl Rng,
        found: &mut Found,
    ) {
        let versions: Vec<ConditioningWeights> = (0..versions).map(|_| weights(rng)).collect();
        let given = |features: &[ScaledFeatures]| -> Vec<Vec<u32>> {
            let mut rows = vec![Vec::new(); features.len()];
            for weights in &versions {
                let inputs = weights.local_inputs(features, levels);
                for (row, values) in rows.iter_mut().zip(inputs.rows()) {
                    row.extend(values.iter().map(|value| value.to_bits()));
                }
            }
            rows
        };
        let mut fitting: HashMap<Vec<u32>, (usize, usize)> = HashMap::new();
        for (place, row) in given(&self.scaled).into_iter().enumerate() {
            let (number, best) = fitting.entry(row).or_insert((0, place));
            *number += 1;
            if self.share[place] > self.share[*best] {
                *best = place;
            }
        }
        let shown = given(&self.scaled(patients));
        for (raw, row) in patients.iter().zip(&shown) {
            match fitting.get(row) {
                Some(&(number, best)) => found.count(raw, &self.raw[best], number),
                None => found.count(raw, &self.guess, 0),
            }
        }
    }
}

/// u of two classes, the one the negative of the other, as wide as training makes it.
fn weights(rng: &mut impl Rng) -> ConditioningWeights {
    let u: [f32; FEATURES] = std::array::from_fn(|_| {
        let value: f64 = rng.sample(StandardNormal);
        (DEVIATION_OF_U * value) as f32
    });
    let kept = [u, u.map(|value| -value)].concat();
    ConditioningWeights::from_kept(ConditioningForm::Late, FEATURES, &kept)
}

/// Of each entry, as in `docs/security/shifts.py`.
const DEVIATION_OF_U: f64 = 0.5;

impl Found {
    fn count(&mut self, truth: &RawFeatures, answer: &RawFeatures, fitting: usize) {
        for place in FLAGS {
            self.flags[0] += 1;
            self.flags[1] += u64::from(truth[place] == answer[place]);
        }
        self.ages[0] += 1;
        self.ages[1] += u64::from((truth[AGES[0]] - answer[AGES[0]]).abs() <= 1.0);
        self.fitting.push(fitting);
    }

    /// How many sets of features fit half of the patients.
    pub fn median_fitting(&self) -> f64 {
        let mut sorted = self.fitting.clone();
        sorted.sort_unstable();
        sorted
            .get(sorted.len() / 2)
            .map_or(f64::NAN, |&median| median as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{patients::complete_patients, randomness},
        *,
    };

    #[test]
    fn nine_versions_tell_all_and_none_tells_no_more_than_a_guess() {
        let population = complete_patients(2000, 5);
        let candidates = Candidates::of(&population);
        let tested = &population[..40];
        let (mut guessed, mut all, mut coarse) =
            (Found::default(), Found::default(), Found::default());
        candidates.guessed(tested, &mut guessed);
        let mut rng = randomness(1, "shifts, a test");
        candidates.attack(tested, 9, ReleaseLevels::FINEST, &mut rng, &mut all);
        assert_eq!((all.flags[0], all.ages[0]), (240, 40));
        assert_eq!((all.flags[1], all.ages[1]), (240, 40), "all of it");
        assert_eq!(all.median_fitting(), 1.0);
        let levels = ReleaseLevels::new(3).expect("2^k + 1");
        candidates.attack(tested, 1, levels, &mut rng, &mut coarse);
        assert!(coarse.median_fitting() > 1000.0);
        assert!(coarse.flags[1] < guessed.flags[1] + 24, "{coarse:?}");
    }
}
