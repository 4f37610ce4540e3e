//! What SEAL 4.3 wrote and computed: `vectors`, made by the `record.py` beside it with TenSEAL 0.3.18.

use serde::Deserialize;

use super::order::Order;
use super::parameters::parms_ids;
use super::seed::{Seed, Stream};
use super::{SealContext, StatedScale, read_parameters};
use crypto::ckks::{Context, KeyId, Parameters};
use crypto::hash::sha256;

#[derive(Deserialize)]
struct Facts {
    refusing_primes: Vec<u64>,
    degree: usize,
    scale: f64,
    #[serde(with = "hex")]
    seed: Vec<u8>,
    primes: Vec<u64>,
    #[serde(with = "hex")]
    parameters: Vec<u8>,
    #[serde(with = "hex")]
    key_parms_id: Vec<u8>,
    #[serde(with = "hex")]
    data_parms_id: Vec<u8>,
    blake2xb: OfGenerator,
    shake256: OfGenerator,
}

#[derive(Deserialize)]
struct OfGenerator {
    #[serde(with = "hex")]
    first_bytes: Vec<u8>,
    #[serde(with = "hex")]
    across_blocks: Vec<u8>,
    #[serde(with = "hex")]
    sha256_of_3_blocks: Vec<u8>,
    refused: usize,
    #[serde(with = "hex")]
    sha256_of_refusing: Vec<u8>,
    constant_first_words: Vec<u64>,
    #[serde(with = "hex")]
    sha256_of_constant: Vec<u8>,
    linear_first_words: Vec<u64>,
    #[serde(with = "hex")]
    sha256_of_linear: Vec<u8>,
}

impl Facts {
    fn read() -> Self {
        let facts = include_str!("../vectors/facts.json");
        serde_json::from_str(facts).expect("the format of record.py")
    }

    /// Each generator's facts with a seed for it and the file.
    fn generators(&self) -> [(&OfGenerator, Seed, &'static [u8]); 2] {
        let seed = |number| {
            let seed = self.seed.first_chunk().expect("64 bytes");
            Seed::new(number, *seed).expect("a known generator")
        };
        [
            (
                &self.blake2xb,
                seed(1),
                include_bytes!("../vectors/blake2xb.ciphertext"),
            ),
            (
                &self.shake256,
                seed(2),
                include_bytes!("../vectors/shake256.ciphertext"),
            ),
        ]
    }
}

#[test]
fn parameters_and_names_of_levels() {
    let facts = Facts::read();
    let parameters = read_parameters(&facts.parameters, facts.scale).expect("secure");
    assert_eq!(parameters.degree(), facts.degree);
    assert_eq!(parameters.primes(), facts.primes);
    let [data, keys] = parms_ids(&parameters)[..] else {
        panic!("two primes");
    };
    assert_eq!(data[..], facts.data_parms_id);
    assert_eq!(keys[..], facts.key_parms_id);
}

#[test]
fn streams_of_seeds() {
    for (facts, seed, _) in Facts::read().generators() {
        let mut stream = Stream::new(&seed);
        let words = (0..3 * 512).map(|_| stream.word());
        let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        assert_eq!(bytes[..16], facts.first_bytes);
        assert_eq!(bytes[4088..4104], facts.across_blocks);
        assert_eq!(sha256(&bytes)[..], facts.sha256_of_3_blocks);
    }
}

#[test]
fn polynomials_of_seeds_where_words_are_refused() {
    let facts = Facts::read();
    let primes = &facts.refusing_primes;
    let special = 1_152_921_504_606_830_593;
    let parameters = Parameters::new(8192, primes, special, f64::powi(2.0, 40)).expect("secure");
    let context = Context::with_parameters(parameters);
    let orders = Order::of_primes(&context);
    for (facts, seed, _) in facts.generators() {
        assert!(facts.refused > 100);
        let polynomial = seed.expand(&context.key_plans()[..2], &orders);
        let rows = polynomial.chunks_exact(8192).zip(&orders);
        let words = rows.flat_map(|(row, order)| order.places().map(|place| row[place]));
        let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        assert_eq!(sha256(&bytes)[..], facts.sha256_of_refusing);
    }
}

#[test]
fn a_compressed_ciphertext_with_a_seed() {
    let facts = Facts::read();
    let parameters = read_parameters(&facts.parameters, facts.scale).expect("secure");
    let seal = SealContext::new(&Context::with_parameters(parameters));
    let key = KeyId::from_bytes([1; 16]);
    for (of_generator, _, file) in facts.generators() {
        let ciphertext = seal.read_ciphertext(file, key, StatedScale::Exact);
        let ciphertext = ciphertext.expect("a file of SEAL");
        assert_eq!(ciphertext.scale(), facts.scale);
        assert_eq!((ciphertext.level(), ciphertext.key_id()), (0, key));
        let whole = seal.write_ciphertext(&ciphertext).expect("of this context");
        let (_, words) = whole.split_at(whole.len() - 2 * 8 * facts.degree);
        let (constant, linear) = words.split_at(8 * facts.degree);
        for (bytes, first, hash) in [
            (
                constant,
                &of_generator.constant_first_words,
                &of_generator.sha256_of_constant,
            ),
            (
                linear,
                &of_generator.linear_first_words,
                &of_generator.sha256_of_linear,
            ),
        ] {
            let words = bytes
                .as_chunks()
                .0
                .iter()
                .map(|&word| u64::from_le_bytes(word));
            assert!(words.take(3).eq(first.iter().copied()));
            assert_eq!(sha256(bytes)[..], hash[..]);
        }
    }
}
