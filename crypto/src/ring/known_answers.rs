use std::collections::HashMap;

use serde::Deserialize;

use super::sampling::coins_of;
use super::{Coefficients, Modulus, NttPlan, Prg, centred_binomial, ternary, uniform};
use crate::hash::SecretKey32;
use crate::known_answers::{Bytes, Digested, SplitMix, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Samplers {
    key: Bytes<32>,
    streams: Vec<Stream>,
    uniform: Vec<Uniform>,
    binomial_of_words: Vec<Coins>,
    binomial_64: Digested<i64>,
    binomial_42: Digested<i64>,
    ternary: Digested<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    stream: u64,
    words: Digested<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Uniform {
    modulus: u64,
    words: Digested<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Coins {
    word: u64,
    of_64_coins: i64,
    of_42_coins: i64,
}

#[test]
fn samplers_are_those_of_the_specification() {
    let samplers: Samplers = read(include_str!("../../vectors/samplers.json"));
    let prg = |stream| Prg::new(&SecretKey32::from_bytes(samplers.key.0), stream);

    assert_eq!(samplers.streams.len(), 4);
    for Stream { stream, words } in &samplers.streams {
        let mut bytes = vec![0; 8 * words.count];
        prg(*stream).fill(&mut bytes);
        words.check_bytes("stream", &bytes);
    }
    assert_eq!(samplers.uniform.len(), 6);
    for Uniform { modulus, words } in &samplers.uniform {
        let drawn = uniform(&mut prg(3), Modulus::new(*modulus), words.count);
        words.check("uniform", drawn.words());
    }
    assert_eq!(samplers.binomial_of_words.len(), 8);
    for coins in &samplers.binomial_of_words {
        assert_eq!(
            coins_of(coins.word, 32),
            coins.of_64_coins,
            "{:x}",
            coins.word
        );
        assert_eq!(
            coins_of(coins.word, 21),
            coins.of_42_coins,
            "{:x}",
            coins.word
        );
    }
    let expected = &samplers.binomial_64;
    expected.check(
        "64 coins",
        &centred_binomial(&mut prg(4), 32, expected.count),
    );
    let expected = &samplers.binomial_42;
    expected.check(
        "42 coins",
        &centred_binomial(&mut prg(5), 21, expected.count),
    );
    let expected = &samplers.ternary;
    expected.check("ternary", &ternary(&mut prg(6), expected.count));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Products {
    cases: Vec<Product>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    seed: u64,
    degree: usize,
    prime: u64,
    smallest_root: u64,
    product: Digested<u64>,
    /// Of the small degree: factors and product in full.
    #[serde(default)]
    left: Vec<u64>,
    #[serde(default)]
    right: Vec<u64>,
    #[serde(default)]
    every_word: Vec<u64>,
    square_of_largest: Digested<u64>,
    seal_evaluations_of_left: Digested<u64>,
}

#[test]
fn products_are_those_of_the_definition() {
    let Products { cases } = read(include_str!("../../vectors/products.json"));
    assert_eq!(cases.len(), 10);
    for case in cases {
        let (degree, prime) = (case.degree, case.prime);
        let mut source = SplitMix::new(case.seed);
        let left: Vec<u64> = (0..degree).map(|_| source.below(prime)).collect();
        let right: Vec<u64> = (0..degree).map(|_| source.below(prime)).collect();
        let plan = NttPlan::new(degree, Modulus::new(prime));
        let product = |left: &[u64], right: &[u64]| {
            let transform = |words: &[u64]| plan.forward(Coefficients::from_words(words.to_vec()));
            let mut product = transform(left);
            product.multiply_assign(&transform(right), plan.modulus());
            plan.inverse(product).words().to_vec()
        };
        let found = product(&left, &right);
        case.product.check("product", &found);
        let largest = vec![prime - 1; degree];
        case.square_of_largest
            .check("square", &product(&largest, &largest));
        case.seal_evaluations_of_left.check(
            "evaluations",
            &in_order_of_seal(&plan, case.smallest_root, &left),
        );
        if degree == 16 {
            assert_eq!((case.left, case.right), (left, right));
            assert_eq!(case.every_word, found);
        }
    }
}

/// The values of a polynomial at the odd powers of `root`, entry j at `root^(2 bitrev(j) + 1)`. Where the plan has the
/// value at a power, its transform of X tells.
fn in_order_of_seal(plan: &NttPlan, root: u64, words: &[u64]) -> Vec<u64> {
    let evaluate = |words: Vec<u64>| plan.forward(Coefficients::from_words(words)).into_words();
    let mut x = vec![0; plan.degree()];
    x[1] = 1;
    let (powers, values) = (evaluate(x), evaluate(words.to_vec()));
    let place: HashMap<u64, usize> = (powers.into_iter()).zip(0..).collect();
    let reversed = |j: u64| j.reverse_bits() >> (u64::BITS - plan.degree().ilog2());
    let power = |j: u64| plan.modulus().power(root, 2 * reversed(j) + 1);
    (0..plan.degree() as u64)
        .map(|j| values[place[&power(j)]])
        .collect()
}
