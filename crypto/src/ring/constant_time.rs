//! What the ring does with secrets, for [`crate::constant_time`].

use std::hint::black_box;
use std::sync::LazyLock;

use super::{Coefficients, Modulus, NttPlan, Prg, centred_binomial, ternary};
use crate::hash::SecretKey32;
use crate::sealed_sum::MODULUS;
use side_channels::constant_time::{Operation, Secret, Work};

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "modular addition",
        prepare: |secret| in_pairs(secret, Modulus::add),
    },
    Operation {
        name: "modular subtraction",
        prepare: |secret| in_pairs(secret, Modulus::subtract),
    },
    Operation {
        name: "modular negation",
        prepare: |secret| in_pairs(secret, |modulus, a, _| modulus.negate(a)),
    },
    Operation {
        name: "modular product",
        prepare: |secret| in_pairs(secret, Modulus::multiply),
    },
    Operation {
        name: "modular product with a prepared factor",
        prepare: |secret| {
            let words = secret.residues(Q.value(), WORDS);
            let multiplier = Q.multiplier(MODULUS / 3);
            one_by_one(words, move |word| multiplier.multiply(word))
        },
    },
    Operation {
        name: "residue of a word",
        prepare: |secret| one_by_one(secret.words(WORDS), |word| Q.reduce(word)),
    },
    Operation {
        name: "residue of a signed word",
        prepare: |secret| {
            let signed = |word| Q.reduce_signed((word as i64) >> 2);
            one_by_one(secret.words(WORDS), signed)
        },
    },
    Operation {
        name: "residue of a small number",
        prepare: |secret| one_by_one(secret.small(32, WORDS), |small| Q.from_small(small)),
    },
    Operation {
        name: "centred representative",
        prepare: |secret| one_by_one(secret.residues(Q.value(), WORDS), |word| Q.centred(word)),
    },
    Operation {
        name: "binomial samples of 64 coins",
        prepare: |secret| {
            let key = SecretKey32::from_bytes(secret.bytes());
            Box::new(move || {
                black_box(centred_binomial(&mut Prg::new(&key, 1), 32, WORDS));
            })
        },
    },
    Operation {
        name: "binomial samples of 42 coins",
        prepare: |secret| {
            let key = SecretKey32::from_bytes(secret.bytes());
            Box::new(move || {
                black_box(centred_binomial(&mut Prg::new(&key, 1), 21, WORDS));
            })
        },
    },
    Operation {
        name: "ternary samples",
        prepare: |secret| {
            let key = SecretKey32::from_bytes(secret.bytes());
            Box::new(move || {
                black_box(ternary(&mut Prg::new(&key, 1), WORDS));
            })
        },
    },
    Operation {
        name: "transform there and back, 62 bits",
        prepare: |secret| there_and_back(secret, &PLANS[0]),
    },
    Operation {
        name: "transform there and back, 60 bits",
        prepare: |secret| there_and_back(secret, &PLANS[1]),
    },
    Operation {
        name: "transform there and back, 40 bits",
        prepare: |secret| there_and_back(secret, &PLANS[2]),
    },
    Operation {
        name: "our transform there and back, 60 bits, an odd number of levels",
        prepare: |secret| there_and_back(secret, &OURS[0]),
    },
    Operation {
        name: "our transform there and back, 60 bits, an even number of levels",
        prepare: |secret| there_and_back(secret, &OURS[1]),
    },
    Operation {
        name: "our transform there and back, 40 bits, an odd number of levels",
        prepare: |secret| there_and_back(secret, &OURS[2]),
    },
    Operation {
        name: "our transform there and back, 40 bits, an even number of levels",
        prepare: |secret| there_and_back(secret, &OURS[3]),
    },
];

const WORDS: usize = 4096;
const Q: Modulus = Modulus::new(MODULUS);

/// One for each kind of butterfly that the primes in use lead to on this processor.
static PLANS: LazyLock<[NttPlan; 3]> = LazyLock::new(|| {
    [(4096, MODULUS), (8192, OF_60_BITS), (8192, OF_40_BITS)]
        .map(|(degree, modulus)| NttPlan::new(degree, Modulus::new(modulus)))
});

/// Ours also where the library is faster, as long as the processor has AVX2; else the library's.
static OURS: LazyLock<[NttPlan; 4]> = LazyLock::new(|| {
    [
        (8192, OF_60_BITS),
        (4096, OF_60_BITS),
        (8192, OF_40_BITS),
        (4096, OF_40_BITS),
    ]
    .map(|(degree, modulus)| {
        let modulus = Modulus::new(modulus);
        #[cfg(target_arch = "x86_64")]
        if let Some(ours) = NttPlan::of_ours(degree, modulus) {
            return ours;
        }
        NttPlan::new(degree, modulus)
    })
});

const OF_60_BITS: u64 = 1_152_921_504_606_830_593;
const OF_40_BITS: u64 = 1_099_511_480_321;

fn one_by_one<In: Copy + 'static, Out: 'static>(
    inputs: Vec<In>,
    operation: impl Fn(In) -> Out + 'static,
) -> Work {
    Box::new(move || {
        // One at a time: what the compiler makes of a whole loop is looked at where the loop is in use.
        for &input in &inputs {
            black_box(operation(black_box(input)));
        }
    })
}

fn in_pairs(secret: Secret, operation: fn(Modulus, u64, u64) -> u64) -> Work {
    let left = secret.residues(Q.value(), WORDS);
    let pairs: Vec<_> = left
        .iter()
        .copied()
        .zip(left.iter().rev().copied())
        .collect();
    one_by_one(pairs, move |(a, b)| operation(Q, a, b))
}

/// The inverse starts from what the forward transform made of the extremes, so it has them as evaluations too.
fn there_and_back(secret: Secret, plan: &'static NttPlan) -> Work {
    let words = secret.residues(plan.modulus().value(), plan.degree());
    Box::new(move || {
        let evaluations = plan.forward(Coefficients::from_words(words.clone()));
        black_box(plan.inverse(evaluations));
    })
}
