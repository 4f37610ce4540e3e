//! Loops over rows: words modulo one prime, each below it.
//!
//! They are compiled for the widest vectors of the processor that they run on, and give the same words on every processor. The rows
//! of one call have the same length. None of them has a branch or an index that depends on a word.

use std::iter::zip;

use pulp::Arch;

use super::modulus::Wide;
use super::{Modulus, Multiplier};

/// `row + other`.
pub(crate) fn add_assign(row: &mut [u64], other: &[u64], modulus: Modulus) {
    update(row, other, move |a, b| modulus.add(a, b));
}

/// `row - other`.
pub(crate) fn subtract_assign(row: &mut [u64], other: &[u64], modulus: Modulus) {
    update(row, other, move |a, b| modulus.subtract(a, b));
}

/// `(row - other) * factor`.
pub(crate) fn subtract_and_scale(row: &mut [u64], other: &[u64], factor: Multiplier) {
    let modulus = factor.modulus();
    update(row, other, move |a, b| {
        factor.multiply(modulus.subtract(a, b))
    });
}

/// `row * other`.
pub(crate) fn multiply_assign(row: &mut [u64], other: &[u64], modulus: Modulus) {
    update(row, other, move |a, b| modulus.multiply(a, b));
}

/// `row + factor * other`.
pub(crate) fn add_scaled(row: &mut [u64], other: &[u64], factor: Multiplier) {
    let modulus = factor.modulus();
    update(row, other, move |a, b| modulus.add(a, factor.multiply(b)));
}

/// `row * factor + other`.
pub(crate) fn scale_and_add(row: &mut [u64], other: &[u64], factor: Multiplier) {
    let modulus = factor.modulus();
    update(row, other, move |a, b| modulus.add(factor.multiply(a), b));
}

/// `row * factor`.
pub(crate) fn scale(row: &mut [u64], factor: Multiplier) {
    Arch::new().dispatch(
        #[inline(always)]
        move || {
            for word in row {
                *word = factor.multiply(*word);
            }
        },
    );
}

/// `left * right`.
pub(crate) fn product(product: &mut [u64], left: &[u64], right: &[u64], modulus: Modulus) {
    combine(product, left, right, move |_, a, b| modulus.multiply(a, b));
}

/// `sum + left * right`.
pub(crate) fn add_product(sum: &mut [u64], left: &[u64], right: &[u64], modulus: Modulus) {
    combine(sum, left, right, move |sum, a, b| {
        modulus.add(sum, modulus.multiply(a, b))
    });
}

/// The sum of the products of pairs of rows, reduced once for as many as two words have room for.
pub(crate) fn sum_of_products<'a>(
    sum: &mut [u64],
    pairs: impl Iterator<Item = (&'a [u64], &'a [u64])> + Clone,
    modulus: Modulus,
) {
    let length = sum.len();
    for (block, sum) in sum.chunks_mut(BLOCK).enumerate() {
        let (high, low) = (&mut [0; BLOCK][..sum.len()], &mut [0; BLOCK][..sum.len()]);
        let mut waiting = 0;
        sum.fill(0);
        for (left, right) in pairs.clone() {
            assert!(left.len() == length && right.len() == length);
            let [left, right] = [left, right].map(|row| &row[block * BLOCK..][..high.len()]);
            if waiting == modulus.products_at_once() {
                add_reduced(sum, high, low, modulus);
                high.fill(0);
                low.fill(0);
                waiting = 0;
            }
            accumulate(high, low, left, right);
            waiting += 1;
        }
        add_reduced(sum, high, low, modulus);
    }
}

/// The residues of signed numbers, each smaller in magnitude than the modulus.
pub(crate) fn from_small(residues: &mut [u64], numbers: &[i64], modulus: Modulus) {
    convert(residues, numbers, move |number| modulus.from_small(number));
}

/// The residues of signed numbers below 2^62 in magnitude.
pub(crate) fn from_signed(residues: &mut [u64], numbers: &[i64], modulus: Modulus) {
    convert(residues, numbers, move |number| {
        modulus.reduce_signed(number)
    });
}

/// The representatives of smallest magnitude.
pub(crate) fn centred(numbers: &mut [i64], residues: &[u64], modulus: Modulus) {
    convert(numbers, residues, move |residue| modulus.centred(residue));
}

/// The residues modulo another prime of the representatives of smallest magnitude.
pub(crate) fn lift(lifted: &mut [u64], residues: &[u64], from: Modulus, to: Modulus) {
    // The primes are public.
    if from.value() / 2 < to.value() {
        convert(lifted, residues, move |residue| {
            to.from_small(from.centred(residue))
        });
    } else {
        convert(lifted, residues, move |residue| {
            to.reduce_signed(from.centred(residue))
        });
    }
}

// The closures below take their rows and operations by value: only then does the compiler put them into the code for wide vectors.

#[inline(always)]
fn update(row: &mut [u64], other: &[u64], operation: impl Fn(u64, u64) -> u64) {
    assert_eq!(row.len(), other.len());
    Arch::new().dispatch(
        #[inline(always)]
        move || {
            for (a, &b) in zip(row, other) {
                *a = operation(*a, b);
            }
        },
    );
}

#[inline(always)]
fn combine(row: &mut [u64], left: &[u64], right: &[u64], operation: impl Fn(u64, u64, u64) -> u64) {
    assert!(row.len() == left.len() && row.len() == right.len());
    Arch::new().dispatch(
        #[inline(always)]
        move || {
            for (word, (&a, &b)) in zip(row, zip(left, right)) {
                *word = operation(*word, a, b);
            }
        },
    );
}

#[inline(always)]
fn convert<In: Copy, Out>(to: &mut [Out], from: &[In], operation: impl Fn(In) -> Out) {
    assert_eq!(to.len(), from.len());
    Arch::new().dispatch(
        #[inline(always)]
        move || {
            for (to, &from) in zip(to, from) {
                *to = operation(from);
            }
        },
    );
}

fn accumulate(high: &mut [u64], low: &mut [u64], left: &[u64], right: &[u64]) {
    assert!(high.len() == low.len() && high.len() == left.len() && high.len() == right.len());
    Arch::new().dispatch(
        #[inline(always)]
        move || {
            for ((high, low), (&a, &b)) in zip(zip(high, low), zip(left, right)) {
                let sum = Wide {
                    high: *high,
                    low: *low,
                }
                .plus(Wide::product(a, b));
                (*high, *low) = (sum.high, sum.low);
            }
        },
    );
}

fn add_reduced(sum: &mut [u64], high: &[u64], low: &[u64], modulus: Modulus) {
    combine(sum, high, low, move |sum, high, low| {
        modulus.add(sum, modulus.reduce_wide(Wide { high, low }))
    });
}

/// Words whose sums of two words stay in the nearest cache.
const BLOCK: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Residues that are random or at the ends, of every size of modulus in use, with a length that fills no vector.
    fn rows(modulus: Modulus, count: usize) -> impl Strategy<Value = Vec<Vec<u64>>> {
        let value = modulus.value();
        let word = prop_oneof![4 => 0..value, 1 => Just(value - 1), 1 => Just(0)];
        prop::collection::vec(prop::collection::vec(word, BLOCK + 13), count)
    }

    fn case() -> impl Strategy<Value = (Modulus, Vec<Vec<u64>>)> {
        let moduli = [
            4_611_686_018_427_322_369,
            1_152_921_504_606_830_593,
            1_099_511_480_321,
        ];
        prop::sample::select(moduli.map(Modulus::new).to_vec())
            .prop_flat_map(|modulus| (Just(modulus), rows(modulus, 24)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Against one word after another in wide integers.
        #[test]
        fn rows_agree_with_words((modulus, rows) in case()) {
            let q = u128::from(modulus.value());
            let [a, b, c] = [0, 1, 2].map(|row| rows[row].clone());
            let factor = modulus.multiplier(c[0]);
            type Operation<'a> = (&'a dyn Fn(&mut [u64]), &'a dyn Fn(u128, u128, u128) -> u128);
            let wide_factor = u128::from(c[0]);
            let operations: [Operation<'_>; 10] = [
                (&|a| add_assign(a, &b, modulus), &|a, b, _| a + b),
                (&|a| subtract_assign(a, &b, modulus), &|a, b, _| a + q - b),
                (&|a| multiply_assign(a, &b, modulus), &|a, b, _| a * b),
                (&|a| scale(a, factor), &|a, _, _| a * wide_factor),
                (&|a| add_scaled(a, &b, factor), &|a, b, _| a + b * wide_factor),
                (&|a| scale_and_add(a, &b, factor), &|a, b, _| a * wide_factor + b),
                (&|a| subtract_and_scale(a, &b, factor), &|a, b, _| (a + q - b) % q * wide_factor),
                (&|a| product(a, &b, &c, modulus), &|_, b, c| b * c),
                (&|a| add_product(a, &b, &c, modulus), &|a, b, c| a + b * c),
                (&|a| lift(a, &b, modulus, modulus), &|_, b, _| b),
            ];
            for (place, (operation, expected)) in operations.into_iter().enumerate() {
                let mut row = a.clone();
                operation(&mut row);
                for (word, ((&a, &b), &c)) in row.iter().zip(a.iter().zip(&b).zip(&c)) {
                    prop_assert_eq!(u128::from(*word), expected(a.into(), b.into(), c.into()) % q, "operation {}", place);
                }
            }
        }

        /// With more products than two words hold.
        #[test]
        fn sum_of_products_is_that_of_wide_integers((modulus, rows) in case(), count in 0..=12_usize) {
            let q = u128::from(modulus.value());
            let (left, right) = rows.split_at(12);
            let pairs = || left.iter().zip(right).take(count);
            let mut sum = vec![7; left[0].len()];
            sum_of_products(&mut sum, pairs().map(|(left, right)| (&left[..], &right[..])), modulus);
            for (place, word) in sum.into_iter().enumerate() {
                let products = pairs().map(|(left, right)| u128::from(left[place]) * u128::from(right[place]) % q);
                prop_assert_eq!(u128::from(word), products.sum::<u128>() % q);
            }
        }

        #[test]
        fn lifting_keeps_the_signed_number((from, rows) in case(), (to, _) in case()) {
            let (row, to_value) = (&rows[0], i128::from(to.value()));
            let (mut lifted, mut numbers) = (vec![0; row.len()], vec![0; row.len()]);
            lift(&mut lifted, row, from, to);
            centred(&mut numbers, row, from);
            let mut back = vec![0; row.len()];
            from_small(&mut back, &numbers, from);
            prop_assert_eq!(&back, row);
            for (word, number) in lifted.into_iter().zip(&numbers) {
                prop_assert_eq!(i128::from(word), i128::from(*number).rem_euclid(to_value));
            }
            let mut signed = vec![0; row.len()];
            from_signed(&mut signed, &numbers, to);
            for (word, number) in signed.into_iter().zip(numbers) {
                prop_assert_eq!(i128::from(word), i128::from(number).rem_euclid(to_value));
            }
        }
    }
}
