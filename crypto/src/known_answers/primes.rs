use std::collections::BTreeMap;

use serde::Deserialize;

use super::read;
use crate::ckks::{Parameters, Profile};
use crate::primality::is_prime;
use crate::ring::Modulus;
use crate::sealed_sum::{MODULUS, RING_DEGREE, SHARE_MODULUS};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Primes {
    rings: Vec<Ring>,
    profiles: BTreeMap<String, Chain>,
    share_modulus: u32,
    seal_chains: Vec<SealChain>,
    composites: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ring {
    ring: String,
    degree: usize,
    prime: u64,
    smallest_root: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chain {
    data_primes: Vec<u64>,
    special_prime: u64,
    log2_scale: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SealChain {
    degree: usize,
    bit_sizes: Vec<u32>,
    primes: Vec<u64>,
}

fn primes() -> Primes {
    read(include_str!("../../vectors/primes.json"))
}

#[test]
fn moduli_are_those_of_the_specification() {
    let primes = primes();
    let profiles = [Profile::Hardened, Profile::Study].map(Profile::parameters);
    let mut expected = vec![("sealed_sum".to_owned(), RING_DEGREE, MODULUS)];
    let mut of_ckks: Vec<u64> = profiles
        .iter()
        .flat_map(|set| set.primes().to_vec())
        .collect();
    of_ckks.sort_unstable();
    of_ckks.dedup();
    let degree = profiles[0].degree();
    expected.extend(
        of_ckks
            .into_iter()
            .map(|prime| ("ckks".to_owned(), degree, prime)),
    );
    let rings = primes
        .rings
        .iter()
        .map(|ring| (ring.ring.clone(), ring.degree, ring.prime));
    assert!(rings.eq(expected));
    for ring in &primes.rings {
        assert!(is_prime(ring.prime));
        let (modulus, root) = (Modulus::new(ring.prime), ring.smallest_root);
        let half_turn = modulus.power(root, ring.degree as u64);
        assert_eq!(half_turn, ring.prime - 1, "a primitive 2N-th root");
        // The others are its odd powers.
        let square = modulus.multiply(root, root);
        let next = |&power: &u64| Some(modulus.multiply(power, square));
        let roots = std::iter::successors(Some(root), next).take(ring.degree);
        assert_eq!(roots.min(), Some(root));
    }
    assert_eq!(primes.share_modulus, SHARE_MODULUS);
    assert_eq!(primes.composites.len(), 6);
    assert!(!primes.composites.into_iter().any(is_prime));

    assert_eq!(primes.profiles.len(), 2);
    for (name, chain) in &primes.profiles {
        let parameters = name.parse().map(Profile::parameters).expect("a profile");
        assert_eq!(parameters.data_primes(), chain.data_primes);
        assert_eq!(parameters.special_prime(), chain.special_prime);
        assert_eq!(parameters.scale(), 2_f64.powi(chain.log2_scale));
    }
}

/// Also those that SEAL's `CoeffModulus::Create` gives for the study.
#[test]
fn chains_of_primes_follow_the_rule_of_seal() {
    let chains = primes().seal_chains;
    assert_eq!(chains.len(), 5);
    for chain in chains {
        let (&special, data) = chain.bit_sizes.split_last().expect("sizes");
        let parameters = Parameters::from_bit_sizes(chain.degree, data, special, 2_f64.powi(30))
            .expect("secure parameters");
        assert_eq!(parameters.primes(), chain.primes);
    }
}
