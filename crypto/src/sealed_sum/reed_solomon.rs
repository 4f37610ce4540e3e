//! Shares of one secret are a Reed-Solomon word: the values of a polynomial of degree below t at the share points.
//!
//! Of a word with errors the syndromes depend on the errors alone, not on the polynomial: what decoding branches on
//! says nothing of the shared secret.

use super::HospitalId;
use super::combination::{COMBINATIONS, CombinedRows};
use super::field::{P, inverse};

/// What is wrong with a word of shares.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Errors {
    /// Nothing: all lie on one polynomial.
    None,
    /// These places do not lie on the polynomial that all the others lie on, and no other such set is as small.
    At(Vec<usize>),
    /// There are errors, more than half of the redundancy: nothing can be said of where.
    TooMany,
}

/// Finds the places where rows deviate from polynomials of degree below `dimension`, with distinct points.
///
/// All combinations must be right, and a row is in error where any of its combinations is: up to half of the
/// redundancy `rows.len() - dimension` is found.
pub(super) fn locate_errors(rows: &CombinedRows, dimension: usize) -> Errors {
    let points: Vec<u64> = rows.iter().map(|(id, _)| point(*id)).collect();
    let Some(redundancy) = points.len().checked_sub(dimension) else {
        return Errors::TooMany;
    };
    let multipliers = column_multipliers(&points);
    let mut in_error = vec![false; points.len()];
    for row in 0..COMBINATIONS {
        let word = rows.iter().map(|(_, combined)| u64::from(combined[row]));
        let syndromes = syndromes(&points, &multipliers, word, redundancy);
        let Some(places) = locate(&points, &syndromes) else {
            return Errors::TooMany;
        };
        for place in places {
            in_error[place] = true;
        }
    }
    let places: Vec<usize> = (0..points.len()).filter(|&place| in_error[place]).collect();
    match places.len() {
        0 => Errors::None,
        found if 2 * found <= redundancy => Errors::At(places),
        _ => Errors::TooMany,
    }
}

/// Whether a further row lies on the polynomials through `basis`, of as many rows as the polynomials have
/// coefficients.
pub(super) fn agrees(basis: &CombinedRows, row: &(HospitalId, [u16; COMBINATIONS])) -> bool {
    let mut rows = basis.clone();
    rows.push(*row);
    locate_errors(&rows, basis.len()) == Errors::None
}

/// `v_j = prod over m != j of 1 / (x_j - x_m)`, which make the dual of the code a code of the same kind
/// (MacWilliams and Sloane, The Theory of Error-Correcting Codes, 10.8, theorem 4).
fn column_multipliers(points: &[u64]) -> Vec<u64> {
    let multiplier = |&own: &u64| {
        let others = points.iter().filter(|&&other| other != own);
        let product = others.fold(1, |product, &other| product * (own + P - other) % P);
        inverse(product)
    };
    points.iter().map(multiplier).collect()
}

/// `S_l = sum over j of v_j x_j^l y_j`, for l below the redundancy: all 0 if and only if the word is in the code.
fn syndromes(
    points: &[u64],
    multipliers: &[u64],
    word: impl Iterator<Item = u64>,
    redundancy: usize,
) -> Vec<u64> {
    let mut syndromes = vec![0; redundancy];
    for ((&point, &multiplier), element) in points.iter().zip(multipliers).zip(word) {
        let mut term = multiplier * element % P;
        for syndrome in &mut syndromes {
            *syndrome = (*syndrome + term) % P;
            term = term * point % P;
        }
    }
    syndromes
}

/// The places of at most half as many errors as there are syndromes, if so few explain them.
fn locate(points: &[u64], syndromes: &[u64]) -> Option<Vec<usize>> {
    let (locator, errors) = shortest_recurrence(syndromes);
    if 2 * errors > syndromes.len() {
        return None;
    }
    // The locator is prod over the errors of (1 - x_j z); its reciprocal has its roots at the x_j.
    let vanishes = |point: u64| {
        let coefficients = locator[..=errors].iter();
        coefficients.fold(0, |value, coefficient| (value * point + coefficient) % P) == 0
    };
    let places: Vec<usize> = (0..points.len())
        .filter(|&place| vanishes(points[place]))
        .collect();
    // With as many roots as its degree it has no other and no double one, and then it explains every syndrome.
    (places.len() == errors).then_some(places)
}

/// The shortest linear recurrence of a sequence (Massey 1969, algorithm 2): its connection polynomial, padded to one
/// coefficient more than the sequence has terms, and its length.
fn shortest_recurrence(sequence: &[u64]) -> (Vec<u64>, usize) {
    let size = sequence.len() + 1;
    let mut connection = vec![0; size];
    let mut before = vec![0; size];
    connection[0] = 1;
    before[0] = 1;
    let (mut length, mut gap, mut discrepancy_before) = (0, 1, 1);
    for (n, &term) in sequence.iter().enumerate() {
        let terms = (1..=length).map(|i| connection[i] * sequence[n - i] % P);
        let discrepancy = (term + terms.sum::<u64>()) % P;
        if discrepancy == 0 {
            gap += 1;
            continue;
        }
        let factor = P - discrepancy * inverse(discrepancy_before) % P;
        let unchanged = connection.clone();
        for i in gap..size {
            connection[i] = (connection[i] + factor * before[i - gap]) % P;
        }
        if 2 * length <= n {
            length = n + 1 - length;
            before = unchanged;
            discrepancy_before = discrepancy;
            gap = 1;
        } else {
            gap += 1;
        }
    }
    (connection, length)
}

fn point(hospital: HospitalId) -> u64 {
    hospital.get().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    /// Rows of eight polynomials of degree below `dimension` with the given coefficients.
    fn rows(ids: &[u8], coefficients: &[[u16; COMBINATIONS]]) -> CombinedRows {
        let value = |id: u8, row: usize| {
            let powers = coefficients.iter().rev();
            powers.fold(0_u64, |value, c| {
                (value * u64::from(id) + u64::from(c[row])) % P
            })
        };
        let row = |&id: &u8| {
            let hospital = HospitalId::new(id).expect("1 to 127");
            (hospital, std::array::from_fn(|row| value(id, row) as u16))
        };
        ids.iter().map(row).collect()
    }

    fn polynomials(dimension: usize) -> impl Strategy<Value = Vec<[u16; COMBINATIONS]>> {
        prop::collection::vec(prop::array::uniform8(0..65_521_u16), dimension)
    }

    /// A dimension, distinct ids in any order, polynomials, and up to half the redundancy of errors: a place, and what is
    /// added to each combination there, not all of it 0.
    fn words_with_errors()
    -> impl Strategy<Value = (CombinedRows, usize, Vec<(usize, [u16; COMBINATIONS])>)> {
        let ids = subsequence((1..=127).collect::<Vec<u8>>(), 2..=127).prop_shuffle();
        ids.prop_flat_map(|ids| (1..=ids.len(), Just(ids)))
            .prop_flat_map(|(dimension, ids)| {
                let correctable = (ids.len() - dimension) / 2;
                let places = subsequence((0..ids.len()).collect::<Vec<usize>>(), 0..=correctable);
                (Just(dimension), Just(ids), polynomials(dimension), places)
            })
            .prop_flat_map(|(dimension, ids, coefficients, places)| {
                // Small alphabets make errors that are alike, or that leave most combinations as they were.
                let change = prop_oneof![
                    prop::array::uniform8(0..65_521_u16),
                    prop::array::uniform8(0..2_u16),
                ]
                .prop_filter("an error", |change| change.iter().any(|&c| c != 0));
                let changes = prop::collection::vec(change, places.len());
                (
                    Just((dimension, rows(&ids, &coefficients), places)),
                    changes,
                )
            })
            .prop_map(|((dimension, rows, places), changes)| {
                let errors = places.into_iter().zip(changes).collect();
                (rows, dimension, errors)
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn errors_up_to_half_of_the_redundancy_are_found((mut rows, dimension, errors) in words_with_errors()) {
            prop_assert_eq!(locate_errors(&rows, dimension), Errors::None);
            for (place, change) in &errors {
                for (element, &change) in rows[*place].1.iter_mut().zip(change) {
                    *element = ((u32::from(*element) + u32::from(change)) % 65_521) as u16;
                }
            }
            let places: Vec<usize> = errors.iter().map(|(place, _)| *place).collect();
            let expected = if places.is_empty() { Errors::None } else { Errors::At(places) };
            prop_assert_eq!(locate_errors(&rows, dimension), expected);
        }
    }

    #[test]
    fn one_error_with_one_row_to_spare_is_seen_but_not_placed() {
        let mut rows = rows(&[4, 1, 9], &[[7; 8], [65_520; 8]]);
        assert_eq!(locate_errors(&rows, 2), Errors::None);
        rows[1].1[7] ^= 1;
        assert_eq!(locate_errors(&rows, 2), Errors::TooMany);
        // Without a row to spare every word is right.
        assert_eq!(locate_errors(&rows, 3), Errors::None);
        assert_eq!(locate_errors(&rows, 4), Errors::TooMany);
    }

    #[test]
    fn a_further_row_agrees_or_does_not() {
        let all = rows(&[4, 1, 9], &[[7; 8], [65_520; 8]]);
        let (basis, mut further) = (all[..2].to_vec(), all[2]);
        assert!(agrees(&basis, &further));
        further.1[3] ^= 1;
        assert!(!agrees(&basis, &further));
    }

    /// Errors in different rows of one combination each add up: three rows deviate, though each combination has one error.
    #[test]
    fn errors_are_counted_over_all_combinations() {
        let mut rows = rows(&[1, 2, 3, 4, 5], &[[5; 8]]);
        rows[0].1[0] ^= 1;
        rows[1].1[1] ^= 1;
        assert_eq!(locate_errors(&rows, 1), Errors::At(vec![0, 1]));
        rows[2].1[2] ^= 1;
        assert_eq!(locate_errors(&rows, 1), Errors::TooMany);
    }
}
