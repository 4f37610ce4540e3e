//! What CKKS does with secrets, for [`crate::constant_time`].

use std::hint::black_box;
use std::sync::LazyLock;

use rand::{SeedableRng, rngs::StdRng};

use super::rns::RnsPolynomial;
use super::{
    Ciphertext, Context, KeyId, Profile, PublicKey, RelinearisationKey, SecretKey, decrypt,
    encrypt, encrypt_symmetric,
};
use side_channels::constant_time::{Operation, Secret};

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "generate a secret key",
        prepare: |secret| {
            let seed = secret.bytes();
            Box::new(move || {
                black_box(SecretKey::generate(&CONTEXT, &mut StdRng::from_seed(seed)));
            })
        },
    },
    Operation {
        name: "generate a relinearisation key",
        prepare: |secret| {
            let key = secret_key(secret);
            Box::new(move || {
                black_box(RelinearisationKey::generate(&key, &mut coins()));
            })
        },
    },
    Operation {
        name: "encode",
        prepare: |secret| {
            let values = secret.reals(1.0, CONTEXT.slots());
            Box::new(move || {
                black_box(CONTEXT.encode(&values).is_ok());
            })
        },
    },
    Operation {
        name: "encrypt under the secret key",
        prepare: |secret| {
            let key = secret_key(secret);
            let plaintext = CONTEXT
                .encode(&secret.reals(1.0, CONTEXT.slots()))
                .expect("small values");
            Box::new(move || {
                black_box(encrypt_symmetric(&key, &plaintext, &mut coins()).is_ok());
            })
        },
    },
    Operation {
        name: "encrypt under a public key",
        prepare: |secret| {
            let plaintext = CONTEXT
                .encode(&secret.reals(1.0, CONTEXT.slots()))
                .expect("small values");
            Box::new(move || {
                black_box(encrypt(&PUBLIC_KEY, &plaintext, &mut coins()).is_ok());
            })
        },
    },
    Operation {
        name: "decrypt and decode",
        prepare: |secret| {
            let key = secret_key(secret);
            let ciphertext = &CIPHERTEXT;
            Box::new(move || {
                let plaintext = decrypt(&key, ciphertext).expect("a ciphertext of the key");
                black_box(CONTEXT.decode(&plaintext).is_ok());
            })
        },
    },
];

static CONTEXT: LazyLock<Context> = LazyLock::new(|| Context::new(Profile::Study));
static PUBLIC_KEY: LazyLock<PublicKey> =
    LazyLock::new(|| PublicKey::generate(&secret_key(Secret::Mixed), &mut coins()));
static CIPHERTEXT: LazyLock<Ciphertext> = LazyLock::new(|| {
    let plaintext = CONTEXT
        .encode(&Secret::Mixed.reals(1.0, CONTEXT.slots()))
        .expect("small values");
    encrypt(&PUBLIC_KEY, &plaintext, &mut coins()).expect("a plaintext of the context")
});

/// The same for every secret: rejection in public polynomials depends on them.
fn coins() -> StdRng {
    StdRng::seed_from_u64(0)
}

/// All coefficients -1, all 1, or ternary without a pattern.
fn secret_key(secret: Secret) -> SecretKey {
    let plans = CONTEXT.key_plans();
    let coefficients = secret.small(1, CONTEXT.degree());
    let polynomial = RnsPolynomial::from_small(&coefficients, plans).into_evaluations(plans);
    SecretKey::from_parts(&CONTEXT, KeyId::from_bytes([1; 16]), polynomial)
}
