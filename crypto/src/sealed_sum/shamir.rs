use pulp::Arch;
use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::combination::COMBINATIONS;
use super::error::check_length;
use super::field::{FieldVector, P, inverse};
use super::{HospitalId, RING_DEGREE, SHARE_BYTES, SHARE_MODULUS, SumError, UNLOCK_BYTES};
use crate::hash::SecretKey32;

/// One hospital's share of another's ring secret: the value of `F` at its id, and that of the eight mask scalars of
/// the dealer check. Secret; erased when dropped.
///
/// ```
/// use crypto::sealed_sum::{SHARE_BYTES, Share, UNLOCK_BYTES, add_shares};
///
/// // As it comes out of a box.
/// let share = Share::from_bytes(&[3; SHARE_BYTES])?;
/// // What the vault says of it to the dealer check, and what it gives when the set of contributors is fixed.
/// let answer = share.answer(&[5; 32]);
/// let unlock = add_shares([&share].into_iter());
/// assert_eq!(*unlock.to_bytes(), [3; UNLOCK_BYTES]);
/// assert_eq!(answer.to_bytes().len(), 16);
/// # Ok::<(), crypto::sealed_sum::SumError>(())
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Share {
    pub(super) secret: FieldVector,
    pub(super) mask: FieldVector,
}

/// One hospital's shares of all contributors, added: a share of the sum of their secrets. For vaults only.
///
/// ```
/// use crypto::sealed_sum::{SHARE_BYTES, Share, UNLOCK_BYTES, UnlockVector, add_shares};
///
/// // The shares of three contributors, as one hospital holds them.
/// let held = [1, 2, 3].map(|byte| Share::from_bytes(&[byte; SHARE_BYTES]));
/// let held: Vec<Share> = held.into_iter().collect::<Result<_, _>>()?;
/// let vector = add_shares(held.iter());
/// let bytes = vector.to_bytes();
/// assert_eq!(*bytes, [6; UNLOCK_BYTES]);
///
/// // Among vaults it travels under a key of theirs.
/// let received = UnlockVector::from_bytes(&bytes)?;
/// assert_eq!(received.to_bytes(), bytes);
/// # Ok::<(), crypto::sealed_sum::SumError>(())
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct UnlockVector(FieldVector);

/// Adds the shares that one hospital holds, one of each contributor.
pub fn add_shares<'a>(shares: impl Iterator<Item = &'a Share>) -> UnlockVector {
    let mut sum = Zeroizing::new(vec![0_u32; RING_DEGREE]);
    for share in shares {
        for (sum, &element) in sum.iter_mut().zip(share.secret.elements()) {
            *sum = (*sum + u32::from(element)) % SHARE_MODULUS;
        }
    }
    UnlockVector(FieldVector::from_residues(
        sum.iter().map(|&sum| u64::from(sum)),
    ))
}

impl Share {
    /// The wire form: [`SHARE_BYTES`], little-endian `u16`, the mask scalars last. Secret.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SHARE_BYTES));
        self.secret.write_to(&mut bytes);
        self.mask.write_to(&mut bytes);
        bytes
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// If the length is not [`SHARE_BYTES`], or an element is not below [`SHARE_MODULUS`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SumError> {
        const WHAT: &str = "share";
        check_length(WHAT, SHARE_BYTES, bytes)?;
        let (secret, mask) = bytes.split_at(UNLOCK_BYTES);
        let secret = FieldVector::from_bytes(WHAT, secret)?;
        let mask = FieldVector::from_bytes(WHAT, mask).map_err(|error| match error {
            SumError::Word { what, index } => SumError::Word {
                what,
                index: RING_DEGREE + index,
            },
            other => other,
        })?;
        Ok(Self { secret, mask })
    }
}

impl UnlockVector {
    /// The wire form: [`UNLOCK_BYTES`], little-endian `u16`. For vaults only.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(UNLOCK_BYTES));
        self.0.write_to(&mut bytes);
        bytes
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// If the length is not [`UNLOCK_BYTES`], or an element is not below [`SHARE_MODULUS`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SumError> {
        const WHAT: &str = "unlock vector";
        check_length(WHAT, UNLOCK_BYTES, bytes)?;
        FieldVector::from_bytes(WHAT, bytes).map(Self)
    }

    pub(super) fn vector(&self) -> &FieldVector {
        &self.0
    }
}

/// The polynomials that one dealer shares out: of its ring secret, and of the mask scalars of the dealer check.
pub(super) struct Dealing {
    secret: Vec<FieldVector>,
    mask: Vec<FieldVector>,
}

impl Dealing {
    /// `F(x) = secret + sum over c of x^c R_c`, with `R_c` uniform from stream c of `secret_key`, and the same of g:
    /// its coefficient c, `g` itself with it, is uniform from stream c of `mask_key` (PROTOCOL 3.5, 3.10). Any
    /// `threshold` values determine them.
    pub fn new(
        secret: &[i64],
        threshold: usize,
        secret_key: &SecretKey32,
        mask_key: &SecretKey32,
    ) -> Self {
        let start = secret
            .iter()
            .map(|&s| (s + i64::from(SHARE_MODULUS)) as u64);
        let mut polynomial = vec![FieldVector::from_residues(start)];
        polynomial.extend(
            (1..threshold as u64).map(|power| FieldVector::uniform(secret_key, power, RING_DEGREE)),
        );
        let mask = (0..threshold as u64)
            .map(|power| FieldVector::uniform(mask_key, power, COMBINATIONS))
            .collect();
        Self {
            secret: polynomial,
            mask,
        }
    }

    /// The share of each recipient.
    pub fn share_out(&self, recipients: &[HospitalId]) -> Vec<(HospitalId, Share)> {
        recipients
            .par_iter()
            .map(|&recipient| {
                let share = Share {
                    secret: value_at(recipient, &self.secret),
                    mask: value_at(recipient, &self.mask),
                };
                (recipient, share)
            })
            .collect()
    }
}

/// Rebuilds the coefficients `range` of the shared vector from shares at distinct points, each centred to
/// magnitude at most `SHARE_MODULUS / 2`.
pub(super) fn rebuild(
    shares: &[(HospitalId, &UnlockVector)],
    range: std::ops::Range<usize>,
) -> Zeroizing<Vec<i64>> {
    let mut value = Zeroizing::new(vec![0_u64; range.len()]);
    for (&(_, vector), factor) in shares.iter().zip(lagrange_at_zero(shares)) {
        add_multiple(&mut value, &vector.0.elements()[range.clone()], factor);
    }
    let modulus = i64::from(SHARE_MODULUS);
    let centred = value.iter().map(|value| {
        let residue = (value % P) as i64;
        residue - (modulus & ((modulus / 2 - residue) >> 63))
    });
    Zeroizing::new(centred.collect())
}

/// `prod over l != j of x_l / (x_l - x_j)` modulo p, for every j. The points are public.
pub(super) fn lagrange_at_zero(shares: &[(HospitalId, &UnlockVector)]) -> Vec<u64> {
    let points = || {
        shares
            .iter()
            .map(|&(hospital, _)| u64::from(hospital.get()))
    };
    points()
        .map(|own| {
            let (mut numerator, mut denominator) = (1, 1);
            for other in points().filter(|&other| other != own) {
                numerator = numerator * other % P;
                denominator = denominator * (other + P - own) % P;
            }
            numerator * inverse(denominator) % P
        })
        .collect()
}

/// The value of a polynomial, given by its coefficient vectors, at a hospital's point. Only the point decides what is done.
fn value_at(hospital: HospitalId, polynomial: &[FieldVector]) -> FieldVector {
    let length = polynomial[0].elements().len();
    // At most 127 products of two residues: far below 2^64, so one reduction at the end does.
    let mut value = Zeroizing::new(vec![0_u64; length]);
    let mut power = 1;
    for coefficient in polynomial {
        add_multiple(&mut value, coefficient.elements(), power);
        power = power * u64::from(hospital.get()) % P;
    }
    FieldVector::from_residues(value.iter().copied())
}

fn add_multiple(sum: &mut [u64], vector: &[u16], factor: u64) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (sum, &element) in sum.iter_mut().zip(vector) {
                // Both below 2^16.
                *sum += u64::from(factor as u32) * u64::from(element);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Prg, centred_binomial};
    use crate::sealed_sum::field::power;
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
            .map(|(byte, secret)| {
                Dealing::new(secret, t, &key(byte), &key(200)).share_out(&recipients)
            })
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
        let shares = Dealing::new(&secret(1), 3, &key(9), &key(10)).share_out(&recipients);
        let [linear, quadratic] =
            [1, 2].map(|stream| FieldVector::uniform(&key(9), stream, RING_DEGREE));
        let p = i64::from(SHARE_MODULUS);
        for k in 0..RING_DEGREE {
            let f = |point: usize| i64::from(shares[point - 1].1.secret.elements()[k]);
            let (r1, r2) = (
                i64::from(linear.elements()[k]),
                i64::from(quadratic.elements()[k]),
            );
            let first = f(2) - f(1) - (r1 + 3 * r2);
            let second = f(3) - 2 * f(2) + f(1) - 2 * r2;
            let third = f(4) - 3 * f(3) + 3 * f(2) - f(1);
            assert_eq!([first % p, second % p, third % p], [0; 3], "element {k}");
        }
    }

    /// Property 3, solved: whatever the secret may be, the equations of t-1 shares have a polynomial that goes with it, and
    /// only one.
    #[test]
    fn every_candidate_fits_fewer_shares_than_the_threshold_in_exactly_one_way() {
        for t in [2, 3, 7] {
            let colluders: Vec<_> = (1..t).map(|place| hospital(17 * place)).collect();
            let shares = Dealing::new(&secret(1), t, &key(9), &key(10)).share_out(&colluders);
            for (element, candidate) in [0, 4095]
                .into_iter()
                .flat_map(|k| (0..65).map(move |c| (k, c)))
            {
                // Those of -32..=32, modulo p.
                let candidate = (candidate + P - 32) % P;
                let equations = shares.iter().map(|(id, share)| {
                    let powers = (1..t as u64).map(|exponent| power(id.get().into(), exponent));
                    let value = u64::from(share.secret.elements()[element]);
                    powers.chain([(value + P - candidate) % P]).collect()
                });
                let polynomial = only_solution(equations.collect()).expect("one and no more");
                for (id, share) in &shares {
                    let terms = (1..).zip(&polynomial);
                    let sum: u64 = terms.map(|(e, c)| power(id.get().into(), e) * c % P).sum();
                    let value = u64::from(share.secret.elements()[element]);
                    assert_eq!((candidate + sum) % P, value, "t = {t}");
                }
            }
        }
    }

    /// Gauss and Jordan's elimination modulo p, of rows whose last number is the right side. Nothing, if there is not exactly
    /// one solution.
    fn only_solution(mut rows: Vec<Vec<u64>>) -> Option<Vec<u64>> {
        for column in 0..rows.len() {
            let pivot = (column..rows.len()).find(|&row| rows[row][column] != 0)?;
            rows.swap(column, pivot);
            let scale = inverse(rows[column][column]);
            let normed: Vec<u64> = rows[column].iter().map(|x| x * scale % P).collect();
            for row in &mut rows {
                let multiple = row[column];
                for (x, pivot) in row.iter_mut().zip(&normed) {
                    *x = (*x + (P - multiple) * pivot) % P;
                }
            }
            rows[column] = normed;
        }
        rows.iter().map(|row| row.last().copied()).collect()
    }

    #[test]
    fn a_share_by_hand() {
        let recipients = [hospital(1), hospital(127)];
        let shares =
            Dealing::new(&vec![-32; RING_DEGREE], 2, &key(9), &key(10)).share_out(&recipients);
        let slope = FieldVector::uniform(&key(9), 1, RING_DEGREE);
        for (hospital, share) in shares {
            for (value, slope) in share.secret.elements().iter().zip(slope.elements()) {
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
        let word = |what, index| Some(SumError::Word { what, index });
        assert_eq!(Share::from_bytes(&bytes).err(), word("share", 4103));
        let unlock = &bytes[SHARE_BYTES - UNLOCK_BYTES..];
        let refused = UnlockVector::from_bytes(unlock).err();
        assert_eq!(refused, word("unlock vector", 4095));
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
