use std::fmt;
use std::num::NonZeroU8;

use super::combination::COMBINATIONS;

/// The degree N of the ring `Z[X]/(X^N + 1)`; also the coefficients of a chunk and of a share.
pub const RING_DEGREE: usize = 4096;

/// The modulus q of the masks, the prime `2^62 - 2^16 + 1`.
pub const MODULUS: u64 = 4_611_686_018_427_322_369;

/// The field of the shares, the largest prime below 2^16.
pub const SHARE_MODULUS: u32 = 65_521;

/// The most hospitals that one sum can hold: 127 noises of 32 stay below half of the step 2^13.
pub const MAX_HOSPITALS: usize = 127;

/// The length of a chunk: a little-endian `u64` for each coefficient.
pub const CHUNK_BYTES: usize = 8 * RING_DEGREE;

/// The length of an unlock vector: a little-endian `u16` for each coefficient.
pub const UNLOCK_BYTES: usize = 2 * RING_DEGREE;

/// The length of a share: an unlock vector's, and a little-endian `u16` for each of the eight mask scalars of the
/// dealer check.
pub const SHARE_BYTES: usize = UNLOCK_BYTES + 2 * COMBINATIONS;

/// log2 of DELTA, the step between two neighbouring messages.
pub(super) const STEP_BITS: u32 = 13;

/// Bits of the message in each coefficient.
pub(super) const PAYLOAD_BITS: u32 = 48;

/// Secrets and noises are centred binomials of 64 coins: no coefficient is larger than this.
pub(super) const NOISE_BOUND: u32 = 32;

/// A hospital's number on the roster, which is also the point at which it holds its shares: 1 to 127.
///
/// 0 is not a hospital: the share at 0 is the secret itself.
///
/// ```
/// use crypto::sealed_sum::HospitalId;
///
/// assert_eq!(HospitalId::new(127).map(HospitalId::get), Some(127));
/// assert!(HospitalId::new(0).is_none() && HospitalId::new(128).is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HospitalId(NonZeroU8);

impl HospitalId {
    /// The hospital of this number, or none if it is 0 or above 127.
    pub const fn new(number: u8) -> Option<Self> {
        match NonZeroU8::new(number) {
            Some(id) if number as usize <= MAX_HOSPITALS => Some(Self(id)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for HospitalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How the 48 payload bits of a coefficient are divided.
///
/// ```
/// use crypto::sealed_sum::{FieldFormat, value_bits};
///
/// // Ten hospitals need 4 bits of a field for their sum.
/// assert_eq!(value_bits(FieldFormat::TwoBy24, 10), 20);
/// assert_eq!(value_bits(FieldFormat::ThreeBy16, 10), 12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldFormat {
    /// Two fields of 24 bits: the default.
    TwoBy24,
    /// Three fields of 16 bits: a third less to upload, 8 bits less in each value.
    ThreeBy16,
}

impl FieldFormat {
    /// Fields in one coefficient.
    pub const fn fields(self) -> usize {
        match self {
            Self::TwoBy24 => 2,
            Self::ThreeBy16 => 3,
        }
    }

    /// Bits of one field.
    pub const fn field_bits(self) -> u32 {
        PAYLOAD_BITS / self.fields() as u32
    }

    /// The lowest field of a coefficient.
    pub(super) const fn field_mask(self) -> u64 {
        (1 << self.field_bits()) - 1
    }
}

/// t: how many hospitals of a roster of `members` must answer to open a sum (PROTOCOL 3.2).
///
/// ```
/// use crypto::sealed_sum::{min_contributors, threshold};
///
/// assert_eq!((threshold(10), min_contributors(10)), (7, 8));
/// ```
pub const fn threshold(members: usize) -> usize {
    if members <= 3 { 2 } else { 2 * members / 3 + 1 }
}

/// The least number of contributors to a sum, for a roster of `members` (PROTOCOL 3.2).
pub const fn min_contributors(members: usize) -> usize {
    if members >= 7 {
        threshold(members) + 1
    } else {
        threshold(members)
    }
}

/// B: bits of one hospital's value, so that the values of `joined` hospitals add up inside one field.
///
/// # Panics
/// If `joined` is above [`MAX_HOSPITALS`].
pub const fn value_bits(format: FieldFormat, joined: usize) -> u32 {
    assert!(joined <= MAX_HOSPITALS);
    format.field_bits() - joined.next_power_of_two().ilog2()
}

/// Decryption cannot fail: all the noise there can be is less than half a step, and all the message and noise
/// less than the modulus. The sum of all secrets is determined by its residue in the share field.
const _: () = {
    let largest_noise = NOISE_BOUND * MAX_HOSPITALS as u32;
    assert!(largest_noise < 1 << (STEP_BITS - 1));
    assert!((1_u64 << (STEP_BITS + PAYLOAD_BITS)) < MODULUS);
    assert!(2 * largest_noise < SHARE_MODULUS);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_1_to_127() {
        let valid = (0..=u8::MAX)
            .filter_map(HospitalId::new)
            .map(HospitalId::get);
        assert!(valid.eq(1..=127));
    }

    /// The table of PROTOCOL 3.2, as the fraction it means.
    #[test]
    fn threshold_and_least_contributors_for_every_roster() {
        for members in 2..=MAX_HOSPITALS {
            let t = threshold(members);
            let m_min = min_contributors(members);
            match members {
                2 | 3 => assert_eq!((t, m_min), (2, 2)),
                4..7 => assert_eq!(m_min, t),
                _ => assert_eq!(m_min, t + 1),
            }
            assert!(m_min <= members);
            if members >= 4 {
                // The least whole number above two thirds.
                assert!(3 * t > 2 * members && 3 * (t - 1) <= 2 * members);
            }
        }
        assert_eq!([5, 10, 32, 100, 127].map(threshold), [4, 7, 22, 67, 85]);
    }

    /// The list of PROTOCOL 3.1, and what it is for: no field overflows.
    #[test]
    fn value_bits_for_every_number_of_hospitals() {
        for joined in 2..=MAX_HOSPITALS {
            let bits = match joined {
                2 => 23,
                3..=4 => 22,
                5..=8 => 21,
                9..=16 => 20,
                17..=32 => 19,
                33..=64 => 18,
                _ => 17,
            };
            assert_eq!(value_bits(FieldFormat::TwoBy24, joined), bits);
            assert_eq!(value_bits(FieldFormat::ThreeBy16, joined), bits - 8);
            for format in [FieldFormat::TwoBy24, FieldFormat::ThreeBy16] {
                let largest_value = (1_usize << value_bits(format, joined)) - 1;
                assert!(joined * largest_value.max(255) < 1 << format.field_bits());
            }
        }
    }

    #[test]
    #[should_panic(expected = "joined <= MAX_HOSPITALS")]
    fn value_bits_of_too_many_hospitals() {
        value_bits(FieldFormat::TwoBy24, MAX_HOSPITALS + 1);
    }

    #[test]
    fn moduli_are_prime() {
        assert_eq!(MODULUS, (1 << 62) - (1 << 16) + 1);
        assert_eq!(MODULUS % (2 * RING_DEGREE as u64), 1);
        assert!(crate::primality::is_prime(MODULUS));
        let larger = (SHARE_MODULUS + 1)..(1 << 16);
        assert!(crate::primality::is_prime(SHARE_MODULUS.into()));
        assert!(
            larger
                .into_iter()
                .all(|x| !crate::primality::is_prime(x.into()))
        );
    }
}
