//! The summed secret from the answers of the hospitals, some of which may be wrong (PROTOCOL 3.7, 3.10).

use zeroize::Zeroizing;

use super::combination::{Combination, CombinedRows};
use super::mask::{ChunkBuffers, RingSecret};
use super::opening::Opening;
use super::reed_solomon::{Errors, agrees, locate_errors};
use super::{HospitalId, OpenError, OpenFault, UnlockVector, shamir};
use crate::hash::{Digest, derive_key, labelled_hash};

/// The secret that fits the sum.
pub(super) struct FoundSecret {
    pub secret: RingSecret,
    /// The hospitals whose answers do not belong to it.
    pub wrong_answers: Vec<HospitalId>,
}

/// Finds the secret that fits the first chunk of the sum.
///
/// A wrong secret passes a coefficient with probability at most 1/2, so whoever passes a chunk is right, and what fails
/// in a later chunk is not for the answers to mend. Whatever is said here of who answered wrongly, it is this check
/// that convicts.
pub(super) fn find_secret(
    opening: &Opening<'_>,
    first_chunk: &[u8],
    answers: &[(HospitalId, UnlockVector)],
) -> Result<FoundSecret, OpenError> {
    let threshold = opening.round.threshold;
    // Without an answer to spare there is nothing to compare.
    let spare = answers.len() > threshold;
    let compared = if spare { answers } else { &[] };
    let rows = combined(opening.round.header_hash, compared);
    let errors = if spare {
        locate_errors(&rows, threshold)
    } else {
        Errors::None
    };
    let (preferred, choices) = match &errors {
        // All choices give the same secret.
        Errors::None => (None, 1),
        Errors::At(places) => {
            let right = (0..answers.len()).filter(|place| !places.contains(place));
            (Some(right.take(threshold).collect()), MAX_CHOICES)
        }
        Errors::TooMany => (None, MAX_CHOICES),
    };

    let mut buffers = ChunkBuffers::new();
    // If it is the sum that is wrong, right answers give the same secret again with every choice.
    let mut rejected: Vec<Zeroizing<Vec<i64>>> = vec![];
    let mut tried = 0;
    let all = Choices::new(threshold, answers.len());
    for choice in preferred.into_iter().chain(all).take(choices) {
        tried += 1;
        let chosen: Vec<_> = choice
            .iter()
            .map(|&place| (answers[place].0, &answers[place].1))
            .collect();
        let Some(small) = small_secret(&chosen, opening.noise_limit) else {
            continue;
        };
        if rejected.contains(&small) {
            continue;
        }
        let secret = RingSecret::new(opening.round.ring, &small);
        let fits = opening.unmask(&secret, 0, first_chunk, &mut buffers);
        if fits.is_some() {
            return Ok(FoundSecret {
                secret,
                wrong_answers: deviating(&rows, &choice),
            });
        }
        rejected.push(small);
    }
    let fault = OpenFault::SecretDoesNotFit {
        threshold,
        found: answers.len(),
        tried,
    };
    let wrong_answers = match errors {
        Errors::At(places) => places.into_iter().map(|place| answers[place].0).collect(),
        Errors::None | Errors::TooMany => vec![],
    };
    Err(OpenError {
        fault,
        wrong_answers,
    })
}

/// Eight random combinations of each answer.
///
/// Their coefficients come from a hash of all answers (Fiat and Shamir): nobody can choose an answer knowing them, and
/// every vault that opens the same outcome names the same hospitals. Trying answers until the hash suits takes 2^128
/// of them, and gains a liar nothing but not being named at once.
fn combined(header_hash: &Digest, answers: &[(HospitalId, UnlockVector)]) -> CombinedRows {
    let encoded: Vec<_> = answers
        .iter()
        .map(|(hospital, vector)| ([hospital.get()], vector.to_bytes()))
        .collect();
    let mut parts: Vec<&[u8]> = vec![header_hash];
    for (hospital, vector) in &encoded {
        parts.extend([&hospital[..], vector]);
    }
    let hash = Zeroizing::new(labelled_hash("answers", &parts));
    let combination = Combination::new(&derive_key(&*hash, "combine", &[]));
    answers
        .iter()
        .map(|(hospital, vector)| (*hospital, combination.apply(vector.vector(), None)))
        .collect()
}

/// The hospitals whose rows do not belong to the polynomials through the chosen ones.
fn deviating(rows: &CombinedRows, chosen: &[usize]) -> Vec<HospitalId> {
    if rows.len() <= chosen.len() {
        return vec![];
    }
    let basis: CombinedRows = chosen.iter().map(|&place| rows[place]).collect();
    rows.iter()
        .enumerate()
        .filter(|(place, row)| !chosen.contains(place) && !agrees(&basis, row))
        .map(|(_, (hospital, _))| *hospital)
        .collect()
}

/// The rebuilt secret, if every coefficient is small. A few coefficients already tell most wrong ones.
fn small_secret(
    answers: &[(HospitalId, &UnlockVector)],
    limit: u32,
) -> Option<Zeroizing<Vec<i64>>> {
    let small = |secret: &[i64]| secret.iter().all(|s| s.unsigned_abs() <= u64::from(limit));
    if !small(&shamir::rebuild(answers, 0..64)) {
        return None;
    }
    let secret = shamir::rebuild(answers, 0..super::RING_DEGREE);
    small(&secret).then_some(secret)
}

/// All ways to choose `threshold` of the answers, the first ones preferred: one wrong answer is left out before any
/// choice leaves out two of the first.
struct Choices {
    total: usize,
    left_out: Option<Vec<usize>>,
}

impl Choices {
    fn new(threshold: usize, total: usize) -> Self {
        let left_out = Some((threshold..total).collect());
        Self { total, left_out }
    }
}

impl Iterator for Choices {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        let mut left_out = self.left_out.take()?;
        let chosen = (0..self.total).filter(|place| !left_out.contains(place));
        let chosen = chosen.collect();
        if step_down(&mut left_out) {
            self.left_out = Some(left_out);
        }
        Some(chosen)
    }
}

/// Goes to the next choice of places in falling lexicographic order: from the last places, which are left out
/// first, to the first. One wrong share is found before any choice moves two.
fn step_down(places: &mut [usize]) -> bool {
    let movable = (0..places.len()).find(|&index| {
        let floor = if index == 0 { 0 } else { places[index - 1] + 1 };
        places[index] > floor
    });
    let Some(index) = movable else {
        return false;
    };
    places[index] -= 1;
    // Those below restart directly under it.
    for lower in (0..index).rev() {
        places[lower] = places[lower + 1] - 1;
    }
    true
}

/// Enough to leave out any one answer of t + 1, any two of t + 2 and, for rosters of up to 14, every choice.
///
/// Most wrong choices cost the Lagrange factors, of order t^2 operations, and 64 coefficients. One that gives a new
/// small secret costs all 4096 coefficients, of t products each, and two transforms.
const MAX_CHOICES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::Choices;

    #[test]
    fn choices_are_all_visited_once_and_single_exchanges_come_first() {
        let choices: Vec<Vec<usize>> = Choices::new(3, 5).collect();
        let expected = [
            [0, 1, 2],
            [0, 1, 3],
            [0, 2, 3],
            [1, 2, 3],
            [0, 1, 4],
            [0, 2, 4],
            [1, 2, 4],
            [0, 3, 4],
            [1, 3, 4],
            [2, 3, 4],
        ];
        assert_eq!(choices, expected);
        assert_eq!(Choices::new(2, 2).count(), 1);
    }
}
