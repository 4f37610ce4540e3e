use std::sync::LazyLock;

use crypto::ckks::{
    Context, Evaluator, KeyId, Parameters, PublicKey, RelinearisationKey, SecretKey, encrypt,
};
use rand::{SeedableRng, rngs::StdRng};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use seal_format::{
    CkksTensor, CkksVector, SealContext, StatedScale, TensealContext, read_parameters,
    write_parameters,
};

use super::decoder::{Decoder, Forms};

/// [`read_parameters`].
pub const SEAL_PARAMETERS: Decoder = Decoder {
    name: "parameters of SEAL",
    forms: Forms::Several,
    accepted: || forms(&SAMPLES.parameters),
    decode_and_encode: |bytes| Some(write_parameters(&read_parameters(bytes, SCALE).ok()?)),
};

/// [`SealContext::read_ciphertext`].
pub const SEAL_CIPHERTEXT: Decoder = Decoder {
    name: "ciphertext of SEAL",
    forms: Forms::Several,
    accepted: || {
        let fresh = &SAMPLES.ciphertext;
        let mut accepted = forms(fresh);
        accepted.extend([1, 2].map(|generator| seeded(fresh, generator)));
        accepted.push(of_release_4(fresh));
        accepted
    },
    decode_and_encode: |bytes| {
        let Samples { seal, name, .. } = &*SAMPLES;
        let ciphertext = seal
            .read_ciphertext(bytes, *name, StatedScale::Exact)
            .ok()?;
        Some(seal.write_ciphertext(&ciphertext).expect("of one context"))
    },
};

/// [`SealContext::read_public_key`].
pub const SEAL_PUBLIC_KEY: Decoder = Decoder {
    name: "public key of SEAL",
    forms: Forms::Several,
    accepted: || {
        let mut accepted = forms(&SAMPLES.public_key);
        accepted.push(seeded(&SAMPLES.public_key, 1));
        accepted
    },
    decode_and_encode: |bytes| {
        let Samples { seal, name, .. } = &*SAMPLES;
        let key = seal.read_public_key(bytes, *name).ok()?;
        Some(seal.write_public_key(&key).expect("of one context"))
    },
};

/// [`SealContext::read_secret_key`].
pub const SEAL_SECRET_KEY: Decoder = Decoder {
    name: "secret key of SEAL",
    forms: Forms::Several,
    accepted: || forms(&SAMPLES.secret_key),
    decode_and_encode: |bytes| {
        let Samples { seal, name, .. } = &*SAMPLES;
        let key = seal.read_secret_key(bytes, *name).ok()?;
        Some(
            seal.write_secret_key(&key)
                .expect("of one context")
                .to_vec(),
        )
    },
};

/// [`SealContext::read_relinearisation_key`].
pub const SEAL_RELINEARISATION_KEY: Decoder = Decoder {
    name: "relinearisation key of SEAL",
    forms: Forms::Several,
    accepted: || forms(&SAMPLES.relinearisation_key),
    decode_and_encode: |bytes| {
        let Samples { seal, name, .. } = &*SAMPLES;
        let key = seal.read_relinearisation_key(bytes, *name).ok()?;
        Some(
            seal.write_relinearisation_key(&key)
                .expect("of one context"),
        )
    },
};

/// [`SealContext::read_quadratic_ciphertext`].
pub const SEAL_QUADRATIC_CIPHERTEXT: Decoder = Decoder {
    name: "quadratic ciphertext of SEAL",
    forms: Forms::Several,
    accepted: || forms(&SAMPLES.quadratic),
    decode_and_encode: |bytes| {
        let Samples { seal, name, .. } = &*SAMPLES;
        let product = seal.read_quadratic_ciphertext(bytes, *name).ok()?;
        Some(
            seal.write_quadratic_ciphertext(&product)
                .expect("of one context"),
        )
    },
};

/// [`TensealContext::from_bytes_named`], which [`TensealContext::from_bytes`] differs from by the name alone.
pub const TENSEAL_CONTEXT: Decoder = Decoder {
    name: "context of TenSEAL",
    forms: Forms::Several,
    accepted: || SAMPLES.contexts.to_vec(),
    decode_and_encode: |bytes| {
        let context = TensealContext::from_bytes_named(bytes, SAMPLES.name).ok()?;
        // Without public and secret key it can be read, but not used or written.
        Some(context.to_bytes().ok()?.to_vec())
    },
};

/// [`CkksVector::from_bytes`].
pub const TENSEAL_VECTOR: Decoder = Decoder {
    name: "vector of TenSEAL",
    forms: Forms::Several,
    accepted: || vec![SAMPLES.vector.clone()],
    decode_and_encode: |bytes| {
        let Samples { seal, name, .. } = &*SAMPLES;
        let vector = CkksVector::from_bytes(seal, bytes, *name, StatedScale::Exact).ok()?;
        Some(vector.to_bytes(seal).expect("of one context"))
    },
};

/// [`CkksTensor::from_bytes`].
pub const TENSEAL_TENSOR: Decoder = Decoder {
    name: "tensor of TenSEAL",
    forms: Forms::Several,
    accepted: || SAMPLES.tensors.to_vec(),
    decode_and_encode: |bytes| {
        let Samples { seal, name, .. } = &*SAMPLES;
        let tensor = CkksTensor::from_bytes(seal, bytes, *name, StatedScale::Exact).ok()?;
        Some(tensor.to_bytes(seal).expect("of one context"))
    },
};

/// All decoders of this module.
pub const ALL: [&Decoder; 9] = [
    &SEAL_PARAMETERS,
    &SEAL_CIPHERTEXT,
    &SEAL_QUADRATIC_CIPHERTEXT,
    &SEAL_PUBLIC_KEY,
    &SEAL_SECRET_KEY,
    &SEAL_RELINEARISATION_KEY,
    &TENSEAL_CONTEXT,
    &TENSEAL_VECTOR,
    &TENSEAL_TENSOR,
];

struct Samples {
    seal: SealContext,
    name: KeyId,
    parameters: Vec<u8>,
    ciphertext: Vec<u8>,
    quadratic: Vec<u8>,
    public_key: Vec<u8>,
    secret_key: Vec<u8>,
    relinearisation_key: Vec<u8>,
    contexts: [Vec<u8>; 2],
    vector: Vec<u8>,
    tensors: [Vec<u8>; 2],
}

/// As those of `ckks`: made once, from the same coins in every run.
static SAMPLES: LazyLock<Samples> = LazyLock::new(|| {
    let mut rng = StdRng::seed_from_u64(0);
    let parameters =
        Parameters::from_bit_sizes(4096, &[34, 34], 36, SCALE).expect("secure parameters");
    let context = Context::with_parameters(parameters);
    let seal = SealContext::new(&context);
    let secret = SecretKey::generate(&context, &mut rng);
    let public = PublicKey::generate(&secret, &mut rng);
    let key = RelinearisationKey::generate(&secret, &mut rng);
    let plaintext = context.encode(&[0.5, -1.0]).expect("two small values");
    let fresh = encrypt(&public, &plaintext, &mut rng).expect("a plaintext of the context");
    let quadratic = Evaluator::new(&context)
        .multiply(&fresh, &fresh)
        .expect("of one context");
    let vector = CkksVector::encrypt(&public, &[0.5, -1.0], &mut rng).expect("small values");
    let mut tensor = |shape: &[usize], batch| {
        let values = [0.5, -1.0];
        let tensor = CkksTensor::encrypt(&public, shape, batch, &values, &mut rng);
        let bytes = tensor.and_then(|tensor| tensor.to_bytes(&seal));
        bytes.expect("small values")
    };
    Samples {
        name: secret.id(),
        parameters: write_parameters(context.parameters()),
        ciphertext: seal.write_ciphertext(&fresh).expect("of one context"),
        quadratic: seal
            .write_quadratic_ciphertext(&quadratic)
            .expect("of one context"),
        public_key: seal.write_public_key(&public).expect("of one context"),
        secret_key: seal
            .write_secret_key(&secret)
            .expect("of one context")
            .to_vec(),
        relinearisation_key: seal
            .write_relinearisation_key(&key)
            .expect("of one context"),
        vector: vector.to_bytes(&seal).expect("of one context"),
        tensors: [tensor(&[2], None), tensor(&[1], Some(2))],
        contexts: {
            let mut file = TensealContext::new(&context);
            file.public_key = Some(public);
            file.relinearisation_key = Some(key);
            let public = file.to_bytes().expect("of one key").to_vec();
            file.secret_key = Some(secret);
            [public, file.to_bytes().expect("of one key").to_vec()]
        },
        seal,
    }
});

const SCALE: f64 = (1_u64 << 30) as f64;

/// As it is written, and compressed.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (header, members) = bytes.split_at(16);
    let frame = compress_to_vec(members, CompressionLevel::Fastest);
    let mut compressed = [header, &frame].concat();
    compressed[5] = 2;
    vec![bytes.to_vec(), with_length(compressed, 0)]
}

/// With a seed in the place of the second polynomial.
fn seeded(bytes: &[u8], generator: u8) -> Vec<u8> {
    // 16 of the header and 65 of fields, 16 of the array's header and 8 of its count.
    const ARRAY: usize = 16 + 65;
    let words = (bytes.len() - ARRAY - 24) / 16;
    let mut shorter = bytes[..ARRAY + 24 + 8 * words].to_vec();
    shorter[ARRAY + 16..][..8].copy_from_slice(&(words as u64).to_le_bytes());
    shorter = with_length(shorter, ARRAY);
    let header = shorter[..16].to_vec();
    let record = [&header[..], &[generator], &[7; 64]].concat();
    shorter.extend(with_length(record, 0));
    with_length(shorter, 0)
}

/// As 4.1 writes it: with a correction factor behind the scale.
fn of_release_4(bytes: &[u8]) -> Vec<u8> {
    let (before, behind) = bytes.split_at(16 + 65);
    let mut later = [before, &1_u64.to_le_bytes(), behind].concat();
    (later[3], later[4]) = (4, 1);
    with_length(later, 0)
}

/// With the length from `start` to the end in the header that stands there.
fn with_length(mut bytes: Vec<u8>, start: usize) -> Vec<u8> {
    let length = (bytes.len() - start) as u64;
    bytes[start + 8..start + 16].copy_from_slice(&length.to_le_bytes());
    bytes
}
