//! Transforms and products of polynomials, for each kind of prime that the sealed sum and CKKS have.

use crypto::hash::SecretKey32;
use crypto::ring::{Coefficients, Evaluations, Modulus, NttPlan, Prg, uniform};
use crypto::sealed_sum;
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

#[divan::bench(args = KINDS)]
fn forward(bencher: Bencher<'_, '_>, kind: Kind) {
    let plan = kind.plan();
    bencher
        .counter(ItemsCount::new(kind.degree))
        .with_inputs(|| kind.polynomial())
        .bench_values(|polynomial| plan.forward(polynomial));
}

#[divan::bench(args = KINDS)]
fn inverse(bencher: Bencher<'_, '_>, kind: Kind) {
    let plan = kind.plan();
    bencher
        .counter(ItemsCount::new(kind.degree))
        .with_inputs(|| kind.values(&plan))
        .bench_values(|values| plan.inverse(values));
}

#[divan::bench(args = KINDS)]
fn product_of_values(bencher: Bencher<'_, '_>, kind: Kind) {
    let plan = kind.plan();
    let factor = kind.values(&plan);
    bencher
        .counter(ItemsCount::new(kind.degree))
        .with_inputs(|| kind.values(&plan))
        .bench_refs(|values| values.multiply_assign(&factor, plan.modulus()));
}

/// As public polynomials are drawn.
#[divan::bench(args = KINDS)]
fn uniform_from_a_seed(bencher: Bencher<'_, '_>, kind: Kind) {
    bencher
        .counter(ItemsCount::new(kind.degree))
        .bench(|| kind.polynomial());
}

/// A ring of the protocol.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    degree: usize,
    prime: u64,
}

impl Kind {
    fn plan(self) -> NttPlan {
        NttPlan::new(self.degree, Modulus::new(self.prime))
    }

    fn polynomial(self) -> Coefficients {
        let mut stream = Prg::new(&SecretKey32::from_bytes([7; 32]), 0);
        uniform(&mut stream, Modulus::new(self.prime), self.degree)
    }

    fn values(self, plan: &NttPlan) -> Evaluations {
        plan.forward(self.polynomial())
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "sealed sum, 4096, 62 bits",
        degree: 4096,
        prime: sealed_sum::MODULUS,
    },
    Kind {
        name: "CKKS, 8192, 60 bits",
        degree: 8192,
        prime: 1_152_921_504_606_830_593,
    },
    Kind {
        name: "CKKS, 8192, 40 bits",
        degree: 8192,
        prime: 1_099_511_480_321,
    },
];
