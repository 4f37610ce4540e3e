use std::fmt;
use std::str::FromStr;

use super::CkksError;

/// The degree N of the ring `Z[X]/(X^N + 1)`.
pub const DEGREE: usize = 8192;

/// Real numbers in one plaintext.
pub const SLOTS: usize = DEGREE / 2;

/// A parameter set of PROTOCOL 5.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Data primes of 60 and 40 bits, a special prime of 60: 128 bits against a quantum computer. The default.
    Hardened,
    /// The parameters of the study, 60, 40, 40 and 60 bits in SEAL's order: 128 bits classically only.
    Study,
}

impl Profile {
    /// The primes that carry data. A rescale drops the last.
    pub const fn data_primes(self) -> &'static [u64] {
        match self {
            Self::Hardened => &[1_152_921_504_606_830_593, 1_099_511_480_321],
            Self::Study => &[
                1_152_921_504_606_748_673,
                1_099_510_890_497,
                1_099_511_480_321,
            ],
        }
    }

    /// The prime P that only relinearisation keys have.
    pub const fn special_prime(self) -> u64 {
        match self {
            Self::Hardened => 1_152_921_504_606_748_673,
            Self::Study => 1_152_921_504_606_830_593,
        }
    }

    /// The scale of what is freshly encrypted.
    pub const fn scale(self) -> f64 {
        match self {
            Self::Hardened => (1_u64 << 45) as f64,
            Self::Study => (1_u64 << 40) as f64,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hardened => "hardened",
            Self::Study => "study",
        })
    }
}

impl FromStr for Profile {
    type Err = CkksError;

    fn from_str(name: &str) -> Result<Self, CkksError> {
        match name {
            "hardened" => Ok(Self::Hardened),
            "study" => Ok(Self::Study),
            _ => Err(CkksError::UnknownProfile {
                name: name.chars().take(40).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primality::is_prime;

    #[test]
    fn primes_are_distinct_primes_with_the_roots_the_transform_needs() {
        for (profile, log2_all) in [(Profile::Hardened, 160.0), (Profile::Study, 200.0)] {
            let mut primes = profile.data_primes().to_vec();
            primes.push(profile.special_prime());
            for &prime in &primes {
                assert!(is_prime(prime), "{prime}");
                assert_eq!(prime % (2 * DEGREE as u64), 1, "{prime}");
            }
            // The security of PROTOCOL 5.3 is stated for this size of Q P.
            let log2: f64 = primes.iter().map(|&prime| (prime as f64).log2()).sum();
            assert!(
                log2 <= log2_all && log2 > log2_all - 0.001,
                "{profile}: {log2}"
            );
            primes.sort_unstable();
            primes.dedup();
            assert_eq!(primes.len(), profile.data_primes().len() + 1);
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for profile in [Profile::Hardened, Profile::Study] {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert!("Hardened".parse::<Profile>().is_err());
    }
}
