use std::fmt;

use thiserror::Error;

use super::Profile;
use crate::primality::is_prime;

/// The public parameters of the scheme: the ring `Z[X]/(X^N + 1)`, the chain of primes, and the scale of what is
/// freshly encoded. What exists was checked: the transforms exist, and the ring learning-with-errors problem behind
/// it is as hard as 128 bits ask for.
///
/// ```
/// use crypto::ckks::{Parameters, Profile};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // SEAL's `CoeffModulus::Create(8192, {60, 40, 40, 60})`, the special prime last.
/// let parameters = Parameters::from_bit_sizes(8192, &[60, 40, 40], 60, 2_f64.powi(40))?;
/// assert_eq!(parameters, Profile::Study.parameters());
/// assert_eq!(parameters.slots(), 4096);
///
/// // Half the degree does not hide as large a modulus.
/// let refused = Parameters::from_bit_sizes(4096, &[60, 40, 40], 60, 2_f64.powi(40));
/// assert!(refused.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    degree: usize,
    /// The data primes, then the special prime.
    primes: Vec<u64>,
    scale: f64,
}

impl Parameters {
    /// Checks parameters.
    ///
    /// * `degree` is N, a power of two from 1024 to 16384;
    /// * `data_primes` carry data: a ciphertext of level l is modulo the first l + 1 of them, a rescale drops the
    ///   last;
    /// * `special_prime` is the P of key switching: only keys are modulo P too;
    /// * `scale` is what values are multiplied by before they are rounded to whole coefficients, unless
    ///   [`Context::encode_at`](super::Context::encode_at) is told another.
    ///
    /// # Errors
    /// What of the above does not hold; a prime that is not prime, not 1 mod 2N, repeated or outside 33 to 60 bits;
    /// a special prime below a quarter of a data prime; a scale below 2^20 or not below half the product of the data
    /// primes; and a product of all primes above what N hides with 128 bits of security.
    pub fn new(
        degree: usize,
        data_primes: &[u64],
        special_prime: u64,
        scale: f64,
    ) -> Result<Self, ParameterError> {
        check_degree(degree)?;
        check_count(data_primes.len())?;
        let mut primes = data_primes.to_vec();
        primes.push(special_prime);
        for (place, &prime) in primes.iter().enumerate() {
            check_prime(prime, degree)?;
            if primes[..place].contains(&prime) {
                return Err(ParameterError::Repeated { prime });
            }
        }
        let largest = data_primes.iter().copied().fold(0, u64::max);
        if special_prime < largest / 4 {
            return Err(ParameterError::SpecialPrime {
                special: special_prime,
                largest,
            });
        }
        let parameters = Self {
            degree,
            primes,
            scale,
        };
        let (log2_modulus, most) = (parameters.log2_modulus(), most_log2_modulus(degree));
        if log2_modulus > most {
            return Err(ParameterError::Insecure {
                degree,
                log2_modulus,
                most,
            });
        }
        if parameters.holds_scale(scale, parameters.top_level()) {
            Ok(parameters)
        } else {
            Err(ParameterError::Scale { scale })
        }
    }

    /// Chooses the primes from their sizes in bits by the rule of SEAL's `CoeffModulus::Create`: as many primes of a
    /// size as are needed, 1 mod 2N, downward from the power of two, handed out smallest first in the order of the
    /// list, the special prime last. Files of SEAL and TenSEAL with the same list have the same primes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_bit_sizes(
        degree: usize,
        data_bits: &[u32],
        special_bits: u32,
        scale: f64,
    ) -> Result<Self, ParameterError> {
        check_degree(degree)?;
        check_count(data_bits.len())?;
        let mut sizes = data_bits.to_vec();
        sizes.push(special_bits);
        let mut primes = vec![0; sizes.len()];
        for (place, &bits) in sizes.iter().enumerate() {
            if sizes[..place].contains(&bits) {
                continue;
            }
            let places: Vec<usize> = (place..sizes.len()).filter(|&i| sizes[i] == bits).collect();
            let largest = largest_primes(bits, degree)?.take(places.len());
            let largest: Vec<u64> = largest.collect();
            for (&place, &prime) in places.iter().zip(largest.iter().rev()) {
                primes[place] = prime;
            }
        }
        let (&special_prime, data_primes) = primes.split_last().expect("the special prime");
        Self::new(degree, data_primes, special_prime, scale)
    }

    /// N, the degree of `X^N + 1`.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// N/2, how many real numbers a plaintext holds.
    pub fn slots(&self) -> usize {
        self.degree / 2
    }

    /// The primes that carry data. A rescale drops the last.
    pub fn data_primes(&self) -> &[u64] {
        &self.primes[..self.primes.len() - 1]
    }

    /// The prime P that only keys have.
    pub fn special_prime(&self) -> u64 {
        self.primes[self.primes.len() - 1]
    }

    /// The data primes, then the special prime.
    pub fn primes(&self) -> &[u64] {
        &self.primes
    }

    /// The scale of what is freshly encoded.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The level of what is freshly encrypted: the number of rescales it allows.
    pub fn top_level(&self) -> usize {
        self.primes.len() - 2
    }

    /// log2 of the product of all primes, which with N decides how hard the problem is.
    pub fn log2_modulus(&self) -> f64 {
        self.primes.iter().map(|&prime| (prime as f64).log2()).sum()
    }

    /// The profile that has these parameters, if one has.
    pub fn profile(&self) -> Option<Profile> {
        [Profile::Hardened, Profile::Study]
            .into_iter()
            .find(|profile| profile.is(self))
    }

    /// Whether a scale leaves precision above the noise and room below half the modulus of a level.
    pub(super) fn holds_scale(&self, scale: f64, level: usize) -> bool {
        (LEAST_SCALE..self.half_modulus(level)).contains(&scale)
    }

    /// Half the product of the data primes of a level.
    pub(super) fn half_modulus(&self, level: usize) -> f64 {
        let primes = &self.primes[..=level];
        primes.iter().map(|&prime| prime as f64).product::<f64>() / 2.0
    }

    /// For the profiles, whose parameters are checked by a test.
    pub(super) fn compiled_in(degree: usize, primes: &[u64], scale: f64) -> Self {
        Self {
            degree,
            primes: primes.to_vec(),
            scale,
        }
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(profile) = self.profile() {
            return write!(formatter, "profile {profile}");
        }
        let bits = |prime: &u64| u64::BITS - prime.leading_zeros();
        let data: Vec<_> = self.data_primes().iter().map(bits).collect();
        write!(
            formatter,
            "degree {} with primes of {data:?} and {} bits and scale 2^{}",
            self.degree,
            bits(&self.special_prime()),
            self.scale.log2()
        )
    }
}

/// Why parameters are refused.
///
/// ```
/// use crypto::ckks::{ParameterError, Parameters};
///
/// // 60 bits more than 128 bits of security allow.
/// let refused = Parameters::from_bit_sizes(8192, &[60, 60, 60, 34], 60, 2_f64.powi(40)).err();
/// assert!(matches!(refused, Some(ParameterError::Insecure { most: 214.0, .. })));
///
/// // No root of unity of order 2 N.
/// let refused = Parameters::new(8192, &[(1 << 60) - 93], 1_152_921_504_606_748_673, 2_f64.powi(40));
/// assert!(matches!(refused, Err(ParameterError::NotFriendly { .. })));
/// ```
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// Not a degree that is offered.
    #[error("degree {degree} is not a power of two from 1024 to 16384")]
    Degree {
        /// The degree given.
        degree: usize,
    },
    /// No data prime, or more than any secure chain has.
    #[error("{count} data primes, where 1 to {MOST_DATA_PRIMES} are possible")]
    PrimeCount {
        /// The number given.
        count: usize,
    },
    /// A prime of the wrong size.
    #[error("a prime of {bits} bits, where 33 to 60 are possible")]
    PrimeSize {
        /// Its size.
        bits: u32,
    },
    /// A number that is not prime.
    #[error("{number} is not prime")]
    NotPrime {
        /// The number.
        number: u64,
    },
    /// A prime without the roots of unity that the transform needs.
    #[error("the prime {prime} is not 1 mod {}", 2 * degree)]
    NotFriendly {
        /// The prime.
        prime: u64,
        /// The degree N.
        degree: usize,
    },
    /// A prime that is there twice.
    #[error("the prime {prime} is there twice")]
    Repeated {
        /// The prime.
        prime: u64,
    },
    /// A special prime that is much smaller than a data prime: the noise of key switching grows by their ratio.
    #[error("the special prime {special} is below a quarter of the data prime {largest}")]
    SpecialPrime {
        /// The special prime.
        special: u64,
        /// The largest data prime.
        largest: u64,
    },
    /// A scale that leaves no precision, or no room below the modulus.
    #[error("scale {scale:e} is below 2^20 or not below half the product of the data primes")]
    Scale {
        /// The scale given.
        scale: f64,
    },
    /// A modulus that is too large for the degree.
    #[error(
        "primes of {log2_modulus:.1} bits together are not secure at degree {degree}: at most {most} bits keep 128 bits of security"
    )]
    Insecure {
        /// The degree N.
        degree: usize,
        /// log2 of the product of all primes.
        log2_modulus: f64,
        /// What the degree hides.
        most: f64,
    },
}

fn check_degree(degree: usize) -> Result<(), ParameterError> {
    if degree.is_power_of_two() && (1024..=16384).contains(&degree) {
        Ok(())
    } else {
        Err(ParameterError::Degree { degree })
    }
}

/// Before any work is done for each of them.
fn check_count(count: usize) -> Result<(), ParameterError> {
    if (1..=MOST_DATA_PRIMES).contains(&count) {
        Ok(())
    } else {
        Err(ParameterError::PrimeCount { count })
    }
}

fn check_prime(prime: u64, degree: usize) -> Result<(), ParameterError> {
    let bits = u64::BITS - prime.leading_zeros();
    if !PRIME_BITS.contains(&bits) {
        Err(ParameterError::PrimeSize { bits })
    } else if !is_prime(prime) {
        Err(ParameterError::NotPrime { number: prime })
    } else if prime % (2 * degree as u64) != 1 {
        Err(ParameterError::NotFriendly { prime, degree })
    } else {
        Ok(())
    }
}

/// The primes of a size that are 1 mod 2N, largest first. Even of the least size there are thousands.
fn largest_primes(bits: u32, degree: usize) -> Result<impl Iterator<Item = u64>, ParameterError> {
    if !PRIME_BITS.contains(&bits) {
        return Err(ParameterError::PrimeSize { bits });
    }
    // 2N divides 2^bits.
    let candidates = (1..).map(move |k| (1 << bits) + 1 - k * 2 * degree as u64);
    Ok(candidates
        .take_while(move |&candidate| candidate > 1 << (bits - 1))
        .filter(|&candidate| is_prime(candidate)))
}

/// The largest log2 of the product of all primes with 128 bits of security against classical computers, for ternary
/// secrets: Bossuat and others, "Security Guidelines for Implementing Homomorphic Encryption", IACR ePrint 2024/463,
/// section 5. (The tables of 2018 that SEAL uses allow 1 to 8 bits more.)
fn most_log2_modulus(degree: usize) -> f64 {
    match degree {
        1024 => 26.0,
        2048 => 53.0,
        4096 => 106.0,
        8192 => 214.0,
        _ => 430.0,
    }
}

/// 33 bits are the least that [`Modulus`](crate::ring::Modulus) takes, 60 the most that SEAL takes.
const PRIME_BITS: std::ops::RangeInclusive<u32> = 33..=60;

/// What fits 430 bits: twelve of 33 bits, and a special prime.
const MOST_DATA_PRIMES: usize = 12;

/// 2^20: below it the noise of a fresh ciphertext alone is larger than 2^-10.
const LEAST_SCALE: f64 = 1_048_576.0;

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: f64 = (1_u64 << 40) as f64;

    #[test]
    fn seals_rule_hands_out_the_smallest_first() {
        let parameters = Parameters::from_bit_sizes(8192, &[60, 40, 40], 60, SCALE);
        // As SEAL 4.1 gives for {60, 40, 40, 60} (SEAL_FORMAT 3).
        assert_eq!(
            parameters.expect("secure").primes(),
            [
                1_152_921_504_606_748_673,
                1_099_510_890_497,
                1_099_511_480_321,
                1_152_921_504_606_830_593
            ]
        );
    }

    #[test]
    fn what_is_not_possible_is_refused_with_the_reason() {
        let sizes = |degree, data: &[u32], special| {
            Parameters::from_bit_sizes(degree, data, special, SCALE).err()
        };
        for degree in [0, 1, 512, 8191, 12_288, 32_768, 1 << 40] {
            assert_eq!(
                sizes(degree, &[50], 50),
                Some(ParameterError::Degree { degree })
            );
        }
        for (data, special, bits) in [([32], 50, 32), ([50], 61, 61), ([0], 50, 0), ([99], 50, 99)]
        {
            assert_eq!(
                sizes(8192, &data, special),
                Some(ParameterError::PrimeSize { bits })
            );
        }
        assert_eq!(
            sizes(8192, &[], 60),
            Some(ParameterError::PrimeCount { count: 0 })
        );
        assert_eq!(
            sizes(8192, &[60; 1_000_000], 60),
            Some(ParameterError::PrimeCount { count: 1_000_000 })
        );
        assert!(matches!(
            sizes(16384, &[33; 12], 60),
            Some(ParameterError::Insecure { .. })
        ));

        let [q, p] = [1_099_511_480_321, 1_152_921_504_606_748_673];
        let primes = |data: &[u64], special| Parameters::new(8192, data, special, SCALE).err();
        assert_eq!(primes(&[p, q], 1_152_921_504_606_830_593), None);
        assert_eq!(
            primes(&[q, q], p),
            Some(ParameterError::Repeated { prime: q })
        );
        assert_eq!(primes(&[q], q), Some(ParameterError::Repeated { prime: q }));
        assert_eq!(
            primes(&[p, q - 1], p),
            Some(ParameterError::NotPrime { number: q - 1 })
        );
        // The largest prime below 2^60.
        let unfriendly = (1 << 60) - 93;
        assert_eq!(
            primes(&[unfriendly], p),
            Some(ParameterError::NotFriendly {
                prime: unfriendly,
                degree: 8192
            })
        );
        assert_eq!(
            primes(&[p], q),
            Some(ParameterError::SpecialPrime {
                special: q,
                largest: p
            })
        );
        for scale in [0.0, -1.0, 1.0, f64::NAN, f64::INFINITY, 2_f64.powi(99)] {
            assert!(matches!(
                Parameters::new(8192, &[p, q], 1_152_921_504_606_830_593, scale),
                Err(ParameterError::Scale { .. })
            ));
        }
    }

    #[test]
    fn modulus_is_bounded_by_what_the_degree_hides() {
        for (degree, fits, too_large) in [
            (4096, [36, 35, 35].as_slice(), [36, 36, 36].as_slice()),
            (8192, &[60, 47, 47, 60], &[60, 48, 47, 60]),
            (
                16384,
                &[60, 60, 60, 60, 60, 35, 35, 60],
                &[60, 60, 60, 60, 60, 36, 35, 60],
            ),
        ] {
            let sizes = |bits: &[u32]| {
                let (&special, data) = bits.split_last().expect("not empty");
                Parameters::from_bit_sizes(degree, data, special, 2_f64.powi(30))
            };
            let parameters = sizes(fits).expect("secure");
            assert!(parameters.log2_modulus() <= fits.iter().sum::<u32>().into());
            assert!(matches!(
                sizes(too_large),
                Err(ParameterError::Insecure { .. })
            ));
        }
        for degree in [1024, 2048] {
            assert!(matches!(
                Parameters::from_bit_sizes(degree, &[33], 33, 2_f64.powi(25)),
                Err(ParameterError::Insecure { .. })
            ));
        }
    }

    #[test]
    fn every_size_has_enough_primes() {
        for bits in PRIME_BITS {
            let primes = largest_primes(bits, 16384).expect("a size in the range");
            let primes: Vec<u64> = primes.take(MOST_DATA_PRIMES + 1).collect();
            assert_eq!(primes.len(), MOST_DATA_PRIMES + 1);
            assert!(primes.is_sorted_by(|a, b| a > b));
            let fits = |prime: &u64| prime % 32768 == 1 && prime >> (bits - 1) == 1;
            assert!(primes.iter().all(fits));
        }
    }
}
