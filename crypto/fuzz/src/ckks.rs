use std::sync::LazyLock;

use crypto::ckks::{
    Ciphertext, Context, Evaluator, Parameters, PublicKey, RelinearisationKey, SecretKey,
    SeededCiphertext, encrypt, encrypt_symmetric,
};
use rand::{SeedableRng, rngs::StdRng};

use super::decoder::{Decoder, Forms};

/// [`Ciphertext::from_bytes`].
pub const CIPHERTEXT: Decoder = Decoder {
    name: "ciphertext",
    forms: Forms::One,
    accepted: || vec![SAMPLES.fresh.clone(), SAMPLES.product.clone()],
    decode_and_encode: |bytes| {
        let ciphertext = Ciphertext::from_bytes(&SAMPLES.context, bytes).ok()?;
        Some(ciphertext.to_bytes())
    },
};

/// [`SeededCiphertext::from_bytes`].
pub const SEEDED_CIPHERTEXT: Decoder = Decoder {
    name: "seeded ciphertext",
    forms: Forms::One,
    accepted: || vec![SAMPLES.seeded.clone()],
    decode_and_encode: |bytes| {
        let ciphertext = SeededCiphertext::from_bytes(&SAMPLES.context, bytes).ok()?;
        Some(ciphertext.to_bytes())
    },
};

/// [`PublicKey::from_bytes`].
pub const PUBLIC_KEY: Decoder = Decoder {
    name: "public key",
    forms: Forms::One,
    accepted: || {
        let seeded = &SAMPLES.public_key;
        vec![seeded.clone(), without_seeds(seeded, 3, 1)]
    },
    decode_and_encode: |bytes| {
        let key = PublicKey::from_bytes(&SAMPLES.context, bytes).ok()?;
        Some(key.to_bytes())
    },
};

/// [`RelinearisationKey::from_bytes`].
pub const RELINEARISATION_KEY: Decoder = Decoder {
    name: "relinearisation key",
    forms: Forms::One,
    accepted: || {
        let seeded = &SAMPLES.relinearisation_key;
        vec![seeded.clone(), without_seeds(seeded, 5, 2)]
    },
    decode_and_encode: |bytes| {
        let key = RelinearisationKey::from_bytes(&SAMPLES.context, bytes).ok()?;
        Some(key.to_bytes())
    },
};

/// All decoders of this module.
pub const ALL: [&Decoder; 4] = [
    &CIPHERTEXT,
    &SEEDED_CIPHERTEXT,
    &PUBLIC_KEY,
    &RELINEARISATION_KEY,
];

struct Samples {
    context: Context,
    fresh: Vec<u8>,
    product: Vec<u8>,
    seeded: Vec<u8>,
    public_key: Vec<u8>,
    relinearisation_key: Vec<u8>,
}

/// Made once, from the same coins in every run; of the smallest degree at which a product can be rescaled.
static SAMPLES: LazyLock<Samples> = LazyLock::new(|| {
    let mut rng = StdRng::seed_from_u64(0);
    let scale = f64::from(1 << 30);
    let parameters =
        Parameters::from_bit_sizes(4096, &[34, 34], 36, scale).expect("secure parameters");
    let context = Context::with_parameters(parameters);
    let secret = SecretKey::generate(&context, &mut rng);
    let public = PublicKey::generate(&secret, &mut rng);
    let key = RelinearisationKey::generate(&secret, &mut rng);
    let plaintext = context.encode(&[0.5, -1.0]).expect("two small values");
    let fresh = encrypt(&public, &plaintext, &mut rng).expect("a plaintext of the context");
    let product = Evaluator::new(&context)
        .multiply_relinearise_rescale(&fresh, &fresh, &key)
        .expect("fresh ciphertexts of one key");
    let seeded =
        encrypt_symmetric(&secret, &plaintext, &mut rng).expect("a plaintext of the context");
    Samples {
        fresh: fresh.to_bytes(),
        product: product.to_bytes(),
        seeded: seeded.to_bytes(),
        public_key: public.to_bytes(),
        relinearisation_key: key.to_bytes(),
        context,
    }
});

/// The form of a key that came from elsewhere, where each of `parts` seeds is a polynomial: here a copy of the masked one.
fn without_seeds(seeded: &[u8], kind: u8, parts: usize) -> Vec<u8> {
    let (header, rest) = seeded.split_at(18);
    let mut bytes = header.to_vec();
    bytes[1] = kind;
    for part in rest.chunks(rest.len() / parts) {
        let masked = &part[32..];
        bytes.extend_from_slice(masked);
        bytes.extend_from_slice(masked);
    }
    bytes
}
