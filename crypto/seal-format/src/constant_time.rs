//! Whether the work on secret keys of SEAL depends on them (PROTOCOL 7).

use std::hint::black_box;
use std::sync::LazyLock;

use crypto::ckks::{Context, KeyId, Profile, SecretKey};
use crypto::ring::Coefficients;
use side_channels::constant_time::{Operation, Secret};
use zeroize::Zeroizing;

use super::SealContext;

side_channels::constant_time_tests!(&[OPERATIONS]);

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "write a secret key of SEAL",
        prepare: |secret| {
            let key = secret_key(secret);
            Box::new(move || {
                black_box(SEAL.write_secret_key(&key).is_ok());
            })
        },
    },
    Operation {
        name: "read a secret key of SEAL",
        prepare: |secret| {
            let bytes = SEAL.write_secret_key(&secret_key(secret));
            let bytes = bytes.expect("a key of the context");
            Box::new(move || {
                let key = SEAL.read_secret_key(&bytes, KeyId::from_bytes([1; 16]));
                black_box(key.is_ok());
            })
        },
    },
];

static SEAL: LazyLock<SealContext> =
    LazyLock::new(|| SealContext::new(&Context::new(Profile::Study)));

/// All coefficients -1, all 1, or ternary without a pattern.
fn secret_key(secret: Secret) -> SecretKey {
    let context = SEAL.context();
    let coefficients = secret.small(1, context.degree());
    let mut words = Zeroizing::new(vec![]);
    for plan in context.key_plans() {
        let row = plan.forward(Coefficients::from_small(&coefficients, plan.modulus()));
        words.extend_from_slice(row.words());
    }
    let key = SecretKey::from_evaluations(context, KeyId::from_bytes([1; 16]), words);
    key.expect("ternary")
}
