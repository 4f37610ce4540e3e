use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{HospitalId, RING_DEGREE, SHARE_BYTES, SHARE_MODULUS, SumError};
use crate::hash::SecretKey32;
use crate::ring::Prg;

/// One hospital's share of another's ring secret: the value of `F` at its id. Secret; erased when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Share(FieldVector);

/// One hospital's shares of all contributors, added: a share of the sum of their secrets. For vaults only.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct UnlockVector(FieldVector);

/// Adds the shares that one hospital holds, one of each contributor.
pub fn add_shares<'a>(shares: impl Iterator<Item = &'a Share>) -> UnlockVector {
    let mut sum = Zeroizing::new(vec![0_u32; RING_DEGREE]);
    for share in shares {
        for (sum, &element) in sum.iter_mut().zip(&share.0.0) {
            *sum = (*sum + u32::from(element)) % SHARE_MODULUS;
        }
    }
    UnlockVector(FieldVector::from_residues(
        sum.iter().map(|&sum| u64::from(sum)),
    ))
}

impl Share {
    /// The wire form: [`SHARE_BYTES`], little-endian `u16`. Secret.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.0.to_bytes()
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// If the length is not [`SHARE_BYTES`], or an element is not below [`SHARE_MODULUS`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SumError> {
        FieldVector::from_bytes("share", bytes).map(Self)
    }
}

impl UnlockVector {
    /// The wire form: [`SHARE_BYTES`], little-endian `u16`. For vaults only.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.0.to_bytes()
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// If the length is not [`SHARE_BYTES`], or an element is not below [`SHARE_MODULUS`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SumError> {
        FieldVector::from_bytes("unlock vector", bytes).map(Self)
    }
}

/// Shares a vector of small numbers among `recipients`, any `threshold` of whom can rebuild it (PROTOCOL 3.5):
/// `F(x) = secret + sum over c of x^c R_c` with `R_c` uniform from stream c of the key.
pub(super) fn share_out(
    secret: &[i64],
    threshold: usize,
    recipients: &[HospitalId],
    key: &SecretKey32,
) -> Vec<(HospitalId, Share)> {
    let coefficients: Vec<FieldVector> = (1..threshold as u64)
        .map(|power| FieldVector::uniform(&mut Prg::new(key, power)))
        .collect();
    recipients
        .par_iter()
        .map(|&recipient| {
            let start = secret
                .iter()
                .map(|&s| (s + i64::from(SHARE_MODULUS)) as u64);
            // At most 127 products of two residues: far below 2^64, so one reduction at the end does.
            let mut value = Zeroizing::new(start.collect::<Vec<u64>>());
            let mut power = 1;
            for coefficient in &coefficients {
                power = power * u64::from(recipient.get()) % u64::from(SHARE_MODULUS);
                add_multiple(&mut value, coefficient, power);
            }
            (
                recipient,
                Share(FieldVector::from_residues(value.iter().copied())),
            )
        })
        .collect()
}

/// Rebuilds the coefficients `range` of the shared vector from shares at distinct points, each centred to
/// magnitude at most `SHARE_MODULUS / 2`.
pub(super) fn rebuild(
    shares: &[(HospitalId, &UnlockVector)],
    range: std::ops::Range<usize>,
) -> Zeroizing<Vec<i64>> {
    let mut value = Zeroizing::new(vec![0_u64; range.len()]);
    for (&(_, vector), factor) in shares.iter().zip(lagrange_at_zero(shares)) {
        for (value, &element) in value.iter_mut().zip(&vector.0.0[range.clone()]) {
            *value += factor * u64::from(element);
        }
    }
    let modulus = i64::from(SHARE_MODULUS);
    let centred = value.iter().map(|value| {
        let residue = (value % u64::from(SHARE_MODULUS)) as i64;
        residue - (modulus & ((modulus / 2 - residue) >> 63))
    });
    Zeroizing::new(centred.collect())
}

/// `prod over l != j of x_l / (x_l - x_j)` modulo p, for every j. The points are public.
fn lagrange_at_zero(shares: &[(HospitalId, &UnlockVector)]) -> Vec<u64> {
    let p = u64::from(SHARE_MODULUS);
    let points = || {
        shares
            .iter()
            .map(|&(hospital, _)| u64::from(hospital.get()))
    };
    points()
        .map(|own| {
            let (mut numerator, mut denominator) = (1, 1);
            for other in points().filter(|&other| other != own) {
                numerator = numerator * other % p;
                denominator = denominator * (other + p - own) % p;
            }
            numerator * power(denominator, p - 2) % p
        })
        .collect()
}

fn add_multiple(sum: &mut [u64], vector: &FieldVector, factor: u64) {
    for (sum, &element) in sum.iter_mut().zip(&vector.0) {
        *sum += factor * u64::from(element);
    }
}

fn power(base: u64, exponent: u64) -> u64 {
    (0..u64::BITS - exponent.leading_zeros())
        .rev()
        .fold(1, |power, bit| {
            let factor = if exponent >> bit & 1 == 1 { base } else { 1 };
            power * power % u64::from(SHARE_MODULUS) * factor % u64::from(SHARE_MODULUS)
        })
}

/// [`RING_DEGREE`] elements of the share field.
#[derive(Zeroize, ZeroizeOnDrop)]
struct FieldVector(Vec<u16>);

impl FieldVector {
    fn from_residues(values: impl Iterator<Item = u64>) -> Self {
        let mut elements = Vec::with_capacity(RING_DEGREE);
        elements.extend(values.map(|value| (value % u64::from(SHARE_MODULUS)) as u16));
        Self(elements)
    }

    /// Little-endian `u16` pieces of the stream, those not below p skipped (PROTOCOL 3.1). That the time taken
    /// shows how many were skipped says nothing of those kept.
    fn uniform(prg: &mut Prg) -> Self {
        let mut elements = Self(Vec::with_capacity(RING_DEGREE));
        let mut block = Zeroizing::new([0_u8; 512]);
        while elements.0.len() < RING_DEGREE {
            prg.fill(&mut *block);
            let pieces = block
                .as_chunks::<2>()
                .0
                .iter()
                .copied()
                .map(u16::from_le_bytes);
            let missing = RING_DEGREE - elements.0.len();
            let below = pieces.filter(|&piece| u32::from(piece) < SHARE_MODULUS);
            elements.0.extend(below.take(missing));
        }
        elements
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SHARE_BYTES));
        bytes.extend(self.0.iter().flat_map(|element| element.to_le_bytes()));
        bytes
    }

    fn from_bytes(what: &'static str, bytes: &[u8]) -> Result<Self, SumError> {
        if bytes.len() != SHARE_BYTES {
            return Err(SumError::Length {
                what,
                expected: SHARE_BYTES,
                found: bytes.len(),
            });
        }
        let mut vector = Self(Vec::with_capacity(RING_DEGREE));
        let pieces = bytes.as_chunks::<2>().0;
        vector
            .0
            .extend(pieces.iter().copied().map(u16::from_le_bytes));
        match vector
            .0
            .iter()
            .position(|&element| u32::from(element) >= SHARE_MODULUS)
        {
            Some(index) => Err(SumError::Word { what, index }),
            None => Ok(vector),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::centred_binomial;
    use proptest::prelude::*;

    fn hospital(number: usize) -> HospitalId {
        HospitalId::new(number as u8).expect("a valid id")
    }

    fn key(byte: u8) -> SecretKey32 {
        SecretKey32::from_bytes([byte; 32])
    }

    fn secret(byte: u8) -> Zeroizing<Vec<i64>> {
        centred_binomial(&mut Prg::new(&key(byte), 0), 32, RING_DEGREE)
    }

    /// The unlock vectors of hospitals `1..=joined` for the given contributors' secrets.
    fn unlock(
        secrets: &[Zeroizing<Vec<i64>>],
        t: usize,
        joined: usize,
    ) -> Vec<(HospitalId, UnlockVector)> {
        let recipients: Vec<_> = (1..=joined).map(hospital).collect();
        let shared: Vec<_> = (100..)
            .zip(secrets)
            .map(|(byte, secret)| share_out(secret, t, &recipients, &key(byte)))
            .collect();
        let held = |place: usize| shared.iter().map(move |shares| &shares[place].1);
        (0..joined)
            .map(|place| (recipients[place], add_shares(held(place))))
            .collect()
    }

    #[test]
    fn any_threshold_of_answers_gives_the_sum_of_the_secrets() {
        for (t, joined) in [(2, 2), (2, 3), (7, 10), (67, 100), (85, 127)] {
            let secrets = [secret(1), secret(2), secret(3)];
            let sum: Vec<i64> = (0..RING_DEGREE)
                .map(|k| secrets.iter().map(|secret| secret[k]).sum())
                .collect();
            let answers = unlock(&secrets, t, joined);
            // The first t, the last t, and t spread out from the middle.
            for start in [0, joined - t, (joined - t) / 2] {
                let mut chosen: Vec<_> = answers.iter().skip(start).take(t).collect();
                chosen.reverse();
                let chosen: Vec<_> = chosen
                    .into_iter()
                    .map(|(id, vector)| (*id, vector))
                    .collect();
                assert_eq!(*rebuild(&chosen, 0..RING_DEGREE), sum, "({t}, {joined})");
                assert_eq!(*rebuild(&chosen, 100..200), sum[100..200]);
            }
        }
    }

    /// Property 3: t-1 shares are as many equations for the t-1 uniform coefficients, with a Vandermonde matrix, so every
    /// candidate for the secret has exactly one solution. It stands on the coefficients being there: the differences of F
    /// uncover them, each from its own stream, and nothing beyond the power t-1.
    #[test]
    fn a_polynomial_has_a_uniform_coefficient_for_each_power_below_the_threshold() {
        let recipients = [1, 2, 3, 4].map(hospital);
        let shares = share_out(&secret(1), 3, &recipients, &key(9));
        let [linear, quadratic] =
            [1, 2].map(|stream| FieldVector::uniform(&mut Prg::new(&key(9), stream)));
        let p = i64::from(SHARE_MODULUS);
        for k in 0..RING_DEGREE {
            let f = |point: usize| i64::from(shares[point - 1].1.0.0[k]);
            let (r1, r2) = (i64::from(linear.0[k]), i64::from(quadratic.0[k]));
            let first = f(2) - f(1) - (r1 + 3 * r2);
            let second = f(3) - 2 * f(2) + f(1) - 2 * r2;
            let third = f(4) - 3 * f(3) + 3 * f(2) - f(1);
            assert_eq!([first % p, second % p, third % p], [0; 3], "element {k}");
        }
    }

    #[test]
    fn a_share_by_hand() {
        let recipients = [hospital(1), hospital(127)];
        let shares = share_out(&vec![-32; RING_DEGREE], 2, &recipients, &key(9));
        let slope = FieldVector::uniform(&mut Prg::new(&key(9), 1));
        for (hospital, share) in shares {
            for (value, slope) in share.0.0.iter().zip(&slope.0) {
                let expected =
                    (65_521 - 32 + u64::from(hospital.get()) * u64::from(*slope)) % 65_521;
                assert_eq!(u64::from(*value), expected);
            }
        }
    }

    #[test]
    fn elements_at_the_field_size_are_refused() {
        let mut bytes = vec![0; SHARE_BYTES];
        bytes[SHARE_BYTES - 2..].copy_from_slice(&65_520_u16.to_le_bytes());
        assert_eq!(
            *Share::from_bytes(&bytes)
                .expect("the largest element")
                .to_bytes(),
            bytes
        );
        bytes[SHARE_BYTES - 2..].copy_from_slice(&65_521_u16.to_le_bytes());
        assert_eq!(
            UnlockVector::from_bytes(&bytes).err(),
            Some(SumError::Word {
                what: "unlock vector",
                index: 4095
            })
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_share_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            whole: bool,
        ) {
            let bytes = if whole { bytes.iter().copied().cycle().take(SHARE_BYTES).collect() } else { bytes };
            match Share::from_bytes(&bytes) {
                Ok(share) => prop_assert_eq!(&*share.to_bytes(), &bytes),
                Err(_) => prop_assert!(
                    bytes.len() != SHARE_BYTES
                        || bytes.as_chunks::<2>().0.iter().any(|&x| u16::from_le_bytes(x) >= 65_521)
                ),
            }
        }
    }
}
