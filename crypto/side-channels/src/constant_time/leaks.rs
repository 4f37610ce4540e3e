use std::hint::black_box;

use super::{Operation, Secret};

/// What must be seen, or the check is worth nothing.
pub(super) const LEAKS: &[Operation] = &[
    Operation {
        name: "a comparison that ends at the first difference",
        prepare: |secret| {
            let (left, right) = (secret.words(4096), Secret::Zeros.words(4096));
            Box::new(move || {
                let pairs = left.iter().zip(&right);
                black_box(pairs.take_while(|(left, right)| left == right).count());
            })
        },
    },
    Operation {
        name: "a branch",
        prepare: |secret| {
            let words = secret.words(4096);
            Box::new(move || {
                let (mut odd, mut even) = (0_u64, 0_u64);
                for word in &words {
                    if word & 1 == 1 {
                        odd += black_box(1);
                    } else {
                        even += black_box(1);
                    }
                }
                black_box((odd, even));
            })
        },
    },
    Operation {
        // As many instructions for every secret: only the cache tells.
        name: "a table indexed by the secret",
        prepare: |secret| {
            let words = secret.words(4096);
            let table = vec![1_u64; 1 << 17];
            Box::new(move || {
                let entry = |word: &u64| table[(word >> 47) as usize];
                black_box(words.iter().map(entry).sum::<u64>());
            })
        },
    },
];
