//! The order of the steps of a transform, whatever its numbers are.
//!
//! The butterflies are those of Cooley and Tukey forward and of Gentleman and Sande back, on evaluations in bit-reversed order, so
//! that nothing is ever put in another order (Longa and Naehrig, "Speeding up the Number Theoretic Transform for Faster Ideal
//! Lattice-Based Cryptography", CANS 2016, algorithms 1 and 2). Two of their levels are done at once on four vectors, which halves
//! the reads and writes of a row, and a part of a row that fits the nearest cache is finished before the next is begun.

use super::vectors::{LANES, Memory, Vectors, Words};

/// Numbers modulo a prime in vectors, not fully reduced: what a transform calculates with.
///
/// The bounds that each kind of number keeps are said where it is defined. `enter` comes before all else, `leave` after it.
pub(super) trait Kernel: Copy {
    /// A factor, prepared.
    type Factor: Copy;

    fn vectors(self) -> Vectors;
    /// From words below the prime.
    fn enter(self, words: Words) -> Words;
    /// To words below the prime.
    fn leave(self, vector: Words) -> Words;
    fn add(self, a: Words, b: Words) -> Words;
    fn subtract(self, a: Words, b: Words) -> Words;
    fn multiply(self, a: Words, factor: Self::Factor) -> Words;
    /// Reduces what two levels forward only add to.
    fn shrink_forward(self, a: Words) -> Words;
    /// Reduces a sum of two numbers within two levels back.
    fn shrink_pair(self, a: Words) -> Words;
    /// Reduces a sum of four numbers after two levels back.
    fn shrink_four(self, a: Words) -> Words;
    /// One factor for all lanes.
    fn broadcast(self, factors: Factors<'_>, place: usize) -> Self::Factor;
    /// A factor for each lane.
    fn gather(self, factors: Factors<'_>, place: usize) -> Self::Factor;
}

/// Prepared factors: one or two words for each, by place, the words of all factors in one slice.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    pub(super) first: &'a [u64],
    /// Empty where one word is enough.
    pub(super) second: &'a [u64],
}

/// Vectors of the part of a row that is finished before the next: 8 KiB.
const PART: usize = 256;

/// Coefficients to evaluations. At place k of `factors` is the root to the power of the bit-reversed k; those of the last level
/// are in the order that [`Kernel::gather`] needs.
#[inline(always)]
pub(super) fn forward<K: Kernel>(kernel: K, row: &mut [u64], factors: Factors<'_>) {
    let (row, rest) = row.as_chunks_mut::<LANES>();
    assert!(rest.is_empty() && row.len() >= 8 && row.len().is_power_of_two());
    kernel.vectors().vectorize(
        #[inline(always)]
        || {
            let mut groups = if row.len().trailing_zeros() % 2 == 1 {
                forward_one(kernel, row, factors);
                2
            } else {
                forward_two::<K, true>(kernel, row, 1, 1, factors);
                4
            };
            while row.len() / groups > PART {
                forward_two::<K, false>(kernel, row, groups, groups, factors);
                groups *= 4;
            }
            let length = row.len() / groups;
            for (place, part) in row.chunks_exact_mut(length).enumerate() {
                let (mut root, mut inner) = (groups + place, 1);
                while inner < length {
                    forward_two::<K, false>(kernel, part, inner, root, factors);
                    inner *= 4;
                    root *= 4;
                }
                forward_last(kernel, part, root, factors);
            }
        },
    );
}

/// The first level.
#[inline(always)]
fn forward_one<K: Kernel>(kernel: K, row: &mut [Memory], factors: Factors<'_>) {
    let factor = kernel.broadcast(factors, 1);
    let (low, high) = row.split_at_mut(row.len() / 2);
    for (low, high) in low.iter_mut().zip(high) {
        let a = kernel.enter(kernel.vectors().load(*low));
        let b = kernel.enter(kernel.vectors().load(*high));
        let product = kernel.multiply(b, factor);
        *low = kernel.vectors().store(kernel.add(a, product));
        *high = kernel.vectors().store(kernel.subtract(a, product));
    }
}

/// Two levels of groups that have at least four vectors. The factor of the first group is at `root`.
#[inline(always)]
fn forward_two<K: Kernel, const FIRST: bool>(
    kernel: K,
    row: &mut [Memory],
    groups: usize,
    root: usize,
    factors: Factors<'_>,
) {
    let length = row.len() / groups;
    for (group, row) in row.chunks_exact_mut(length).enumerate() {
        let place = root + group;
        let factors = broadcast(kernel, factors, place);
        for_quarters(
            row,
            #[inline(always)]
            |words| {
                let mut vectors = load(kernel, words);
                if FIRST {
                    vectors = enter(kernel, vectors);
                }
                store(kernel, forward_butterflies(kernel, vectors, factors))
            },
        );
    }
}

/// The last two levels, whose groups are fours of words.
#[inline(always)]
fn forward_last<K: Kernel>(kernel: K, part: &mut [Memory], root: usize, factors: Factors<'_>) {
    for (count, rows) in part.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let place = root + LANES * count;
        let factors = gather(kernel, factors, place);
        let columns = kernel.vectors().transpose(load(kernel, *rows));
        let columns = leave(kernel, forward_butterflies(kernel, columns, factors));
        *rows = store(kernel, kernel.vectors().transpose(columns));
    }
}

#[inline(always)]
fn forward_butterflies<K: Kernel>(
    kernel: K,
    [a, b, c, d]: [Words; 4],
    [outer, left, right]: [K::Factor; 3],
) -> [Words; 4] {
    let (a, b) = (kernel.shrink_forward(a), kernel.shrink_forward(b));
    let (c, d) = (kernel.multiply(c, outer), kernel.multiply(d, outer));
    let (a, c) = (kernel.add(a, c), kernel.subtract(a, c));
    let (b, d) = (kernel.add(b, d), kernel.subtract(b, d));
    let (b, d) = (kernel.multiply(b, left), kernel.multiply(d, right));
    [
        kernel.add(a, b),
        kernel.subtract(a, b),
        kernel.add(c, d),
        kernel.subtract(c, d),
    ]
}

/// Evaluations to coefficients. At place k of `factors` is the inverse of what is there forward, but at place 1 that times the
/// inverse of the degree, and at place 0 that inverse alone.
#[inline(always)]
pub(super) fn inverse<K: Kernel>(kernel: K, row: &mut [u64], factors: Factors<'_>) {
    let (row, rest) = row.as_chunks_mut::<LANES>();
    assert!(rest.is_empty() && row.len() >= 8 && row.len().is_power_of_two());
    kernel.vectors().vectorize(
        #[inline(always)]
        || {
            let odd = row.len().trailing_zeros() % 2 == 1;
            let first = if odd { 2 } else { 4 };
            let mut groups = first;
            while row.len() / groups > PART {
                groups *= 4;
            }
            let length = row.len() / groups;
            for (place, part) in row.chunks_exact_mut(length).enumerate() {
                let (mut root, mut inner) = ((groups + place) * length, length);
                inverse_last(kernel, part, root, factors);
                while inner > 1 {
                    inner /= 4;
                    root /= 4;
                    inverse_two::<K, false>(kernel, part, inner, root, factors);
                }
            }
            while groups > first {
                groups /= 4;
                inverse_two::<K, false>(kernel, row, groups, groups, factors);
            }
            if odd {
                inverse_one(kernel, row, factors);
            } else {
                inverse_two::<K, true>(kernel, row, 1, 1, factors);
            }
        },
    );
}

/// The level that comes last, with the division by the degree.
#[inline(always)]
fn inverse_one<K: Kernel>(kernel: K, row: &mut [Memory], factors: Factors<'_>) {
    let scale = kernel.broadcast(factors, 0);
    let factor = kernel.broadcast(factors, 1);
    let (low, high) = row.split_at_mut(row.len() / 2);
    for (low, high) in low.iter_mut().zip(high) {
        let (a, b) = (kernel.vectors().load(*low), kernel.vectors().load(*high));
        let sum = kernel.multiply(kernel.add(a, b), scale);
        let difference = kernel.multiply(kernel.subtract(a, b), factor);
        *low = kernel.vectors().store(kernel.leave(sum));
        *high = kernel.vectors().store(kernel.leave(difference));
    }
}

/// Two levels of groups that have at least four vectors.
#[inline(always)]
fn inverse_two<K: Kernel, const LAST: bool>(
    kernel: K,
    row: &mut [Memory],
    groups: usize,
    root: usize,
    factors: Factors<'_>,
) {
    let length = row.len() / groups;
    let scale = kernel.broadcast(factors, 0);
    for (group, row) in row.chunks_exact_mut(length).enumerate() {
        let place = root + group;
        let factors = broadcast(kernel, factors, place);
        for_quarters(
            row,
            #[inline(always)]
            |words| {
                let mut vectors = inverse_butterflies(kernel, load(kernel, words), factors);
                if LAST {
                    let [a, b, c, d] = vectors;
                    let (a, b) = (kernel.multiply(a, scale), kernel.multiply(b, scale));
                    vectors = leave(kernel, [a, b, c, d]);
                }
                store(kernel, vectors)
            },
        );
    }
}

/// The two levels that come first, whose groups are fours of words.
#[inline(always)]
fn inverse_last<K: Kernel>(kernel: K, part: &mut [Memory], root: usize, factors: Factors<'_>) {
    for (count, rows) in part.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let place = root + LANES * count;
        let factors = gather(kernel, factors, place);
        let columns = kernel
            .vectors()
            .transpose(enter(kernel, load(kernel, *rows)));
        let columns = inverse_butterflies(kernel, columns, factors);
        *rows = store(kernel, kernel.vectors().transpose(columns));
    }
}

#[inline(always)]
fn inverse_butterflies<K: Kernel>(
    kernel: K,
    [a, b, c, d]: [Words; 4],
    [outer, left, right]: [K::Factor; 3],
) -> [Words; 4] {
    let sum_ab = kernel.shrink_pair(kernel.add(a, b));
    let sum_cd = kernel.shrink_pair(kernel.add(c, d));
    let b = kernel.multiply(kernel.subtract(a, b), left);
    let d = kernel.multiply(kernel.subtract(c, d), right);
    [
        kernel.shrink_four(kernel.add(sum_ab, sum_cd)),
        kernel.shrink_pair(kernel.add(b, d)),
        kernel.multiply(kernel.subtract(sum_ab, sum_cd), outer),
        kernel.multiply(kernel.subtract(b, d), outer),
    ]
}

/// Four vectors, a quarter of the group apart from one another, after the next.
#[inline(always)]
fn for_quarters(group: &mut [Memory], mut work: impl FnMut([Memory; 4]) -> [Memory; 4]) {
    let quarter = group.len() / 4;
    let (low, high) = group.split_at_mut(2 * quarter);
    let (a, b) = low.split_at_mut(quarter);
    let (c, d) = high.split_at_mut(quarter);
    for ((a, b), (c, d)) in a.iter_mut().zip(b).zip(c.iter_mut().zip(d)) {
        [*a, *b, *c, *d] = work([*a, *b, *c, *d]);
    }
}

// For each of an array, one by one: what a closure of `map` makes is not always compiled for the vectors at hand.

#[inline(always)]
fn load<K: Kernel>(kernel: K, [a, b, c, d]: [Memory; 4]) -> [Words; 4] {
    [
        kernel.vectors().load(a),
        kernel.vectors().load(b),
        kernel.vectors().load(c),
        kernel.vectors().load(d),
    ]
}

#[inline(always)]
fn store<K: Kernel>(kernel: K, [a, b, c, d]: [Words; 4]) -> [Memory; 4] {
    [
        kernel.vectors().store(a),
        kernel.vectors().store(b),
        kernel.vectors().store(c),
        kernel.vectors().store(d),
    ]
}

#[inline(always)]
fn enter<K: Kernel>(kernel: K, [a, b, c, d]: [Words; 4]) -> [Words; 4] {
    [
        kernel.enter(a),
        kernel.enter(b),
        kernel.enter(c),
        kernel.enter(d),
    ]
}

#[inline(always)]
fn leave<K: Kernel>(kernel: K, [a, b, c, d]: [Words; 4]) -> [Words; 4] {
    [
        kernel.leave(a),
        kernel.leave(b),
        kernel.leave(c),
        kernel.leave(d),
    ]
}

/// Those of a group and of its two halves.
#[inline(always)]
fn broadcast<K: Kernel>(kernel: K, factors: Factors<'_>, place: usize) -> [K::Factor; 3] {
    [
        kernel.broadcast(factors, place),
        kernel.broadcast(factors, 2 * place),
        kernel.broadcast(factors, 2 * place + 1),
    ]
}

/// Those of as many groups as there are lanes, and of their two halves.
#[inline(always)]
fn gather<K: Kernel>(kernel: K, factors: Factors<'_>, place: usize) -> [K::Factor; 3] {
    [
        kernel.gather(factors, place),
        kernel.gather(factors, 2 * place),
        kernel.gather(factors, 2 * place + LANES),
    ]
}
