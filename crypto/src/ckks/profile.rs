use std::fmt;
use std::str::FromStr;

use super::{CkksError, Parameters};

/// A named parameter set of PROTOCOL 5.3. Both have degree 8192, that is 4,096 slots.
///
/// ```
/// use crypto::ckks::Profile;
///
/// let profile: Profile = "hardened".parse()?;
/// assert_eq!(profile, Profile::Hardened);
/// assert_eq!(profile.parameters().primes().len(), 3);
/// assert!(profile.parameters().log2_modulus() < 161.0);
/// # Ok::<(), crypto::ckks::CkksError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Data primes of 60 and 40 bits, a special prime of 60: 128 bits against a quantum computer. The default.
    Hardened,
    /// The parameters of the study, 60, 40, 40 and 60 bits in SEAL's order: 128 bits classically only.
    Study,
}

impl Profile {
    /// Real numbers in one plaintext.
    pub const SLOTS: usize = DEGREE / 2;

    /// The parameters.
    pub fn parameters(self) -> Parameters {
        Parameters::compiled_in(DEGREE, self.primes(), self.scale())
    }

    /// Whether the parameters are those of the profile.
    pub(super) fn is(self, parameters: &Parameters) -> bool {
        parameters.degree() == DEGREE
            && parameters.primes() == self.primes()
            && parameters.scale() == self.scale()
    }

    /// The data primes, then the special prime.
    const fn primes(self) -> &'static [u64] {
        match self {
            Self::Hardened => &[
                1_152_921_504_606_830_593,
                1_099_511_480_321,
                1_152_921_504_606_748_673,
            ],
            Self::Study => &[
                1_152_921_504_606_748_673,
                1_099_510_890_497,
                1_099_511_480_321,
                1_152_921_504_606_830_593,
            ],
        }
    }

    const fn scale(self) -> f64 {
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

const DEGREE: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    /// The security of PROTOCOL 5.3 is stated for these sizes of Q P.
    #[test]
    fn profiles_pass_the_checks_of_parameters() {
        for (profile, log2_all) in [(Profile::Hardened, 160.0), (Profile::Study, 200.0)] {
            let parameters = profile.parameters();
            let checked = Parameters::new(
                parameters.degree(),
                parameters.data_primes(),
                parameters.special_prime(),
                parameters.scale(),
            );
            assert_eq!(checked.as_ref(), Ok(&parameters));
            assert_eq!(parameters.profile(), Some(profile));
            assert_eq!(parameters.slots(), Profile::SLOTS);
            let log2 = parameters.log2_modulus();
            assert!(
                log2 <= log2_all && log2 > log2_all - 0.001,
                "{profile}: {log2}"
            );
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
