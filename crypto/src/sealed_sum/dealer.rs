use super::combination::{COMBINATIONS, Combination};
use super::error::check_length;
use super::field::FieldVector;
use super::reed_solomon::{Errors, locate_errors};
use super::{HospitalId, MAX_HOSPITALS, Share, SumError};
use crate::hash::{Digest, derive_key};

/// What a recipient says of one contributor's share, so that everyone can see whether all shares belong together
/// (PROTOCOL 3.10, the dealer check). Public: the dealer's mask scalars hide what they are computed from.
///
/// ```
/// use crypto::sealed_sum::{DealerAnswer, SHARE_BYTES, Share};
///
/// let share = Share::from_bytes(&[3; SHARE_BYTES])?;
/// let answer = share.answer(&[5; 32]);
/// let received = DealerAnswer::from_bytes(&answer.to_bytes())?;
/// assert_eq!(received, answer);
/// assert_eq!(answer.to_bytes().len(), DealerAnswer::BYTES);
/// # Ok::<(), crypto::sealed_sum::SumError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DealerAnswer([u16; COMBINATIONS]);

/// What the answers of the recipients say of a contributor's shares: see [`judge_dealer`].
///
/// ```
/// use crypto::sealed_sum::{DealerAnswer, DealerVerdict, HospitalId, judge_dealer};
///
/// // Equal answers lie on a constant; the fourth hospital's does not.
/// let of = |id: u8, byte| -> Result<_, Box<dyn std::error::Error>> {
///     let hospital = HospitalId::new(id).ok_or("1 to 127")?;
///     Ok((hospital, DealerAnswer::from_bytes(&[byte; 16])?))
/// };
/// let answers = [of(1, 8)?, of(2, 8)?, of(3, 8)?, of(4, 9)?];
/// assert_eq!(judge_dealer(2, &answers[..2]), DealerVerdict::TooFew);
/// assert_eq!(judge_dealer(2, &answers[..3]), DealerVerdict::Consistent);
/// assert_eq!(judge_dealer(3, &answers), DealerVerdict::Inconsistent);
/// assert_eq!(judge_dealer(2, &answers), DealerVerdict::Deviating(vec![answers[3].0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DealerVerdict {
    /// No more answers than the threshold: any shares agree with so few.
    TooFew,
    /// All shares that were answered for belong to one polynomial: any threshold of them opens the same secret.
    Consistent,
    /// A share or an answer is wrong, and with one answer above the threshold nobody can be named.
    Inconsistent,
    /// The shares or answers of these recipients do not belong to the polynomial of all the others. Whether the
    /// dealer sent a wrong share or the recipient answered wrongly, the answers do not tell.
    Deviating(Vec<HospitalId>),
    /// More shares or answers are wrong than the answers above the threshold can place.
    Undecodable,
}

impl DealerAnswer {
    /// The length of the wire form.
    pub const BYTES: usize = 2 * COMBINATIONS;

    /// The wire form: little-endian `u16`.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (bytes, element) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *bytes = element.to_le_bytes();
        }
        bytes
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// If the length is not [`BYTES`](Self::BYTES), or an element is not below
    /// [`SHARE_MODULUS`](super::SHARE_MODULUS).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SumError> {
        const WHAT: &str = "dealer answer";
        check_length(WHAT, Self::BYTES, bytes)?;
        let elements = FieldVector::from_bytes(WHAT, bytes)?;
        let mut answer = Self([0; COMBINATIONS]);
        answer.0.copy_from_slice(elements.elements());
        Ok(answer)
    }
}

impl Share {
    /// The answer to the dealer check: `z_row = sum over k of rho[k][row] share[k] + g_row`, with rho from the digest
    /// `D_i` of the contribution's manifest, which fixes all of the dealer's boxes.
    ///
    /// # Security
    /// One answer for each contributor, header and attempt: two answers with different digests, subtracted, are free
    /// of the mask g.
    pub fn answer(&self, manifest_digest: &Digest) -> DealerAnswer {
        let combination = Combination::new(&derive_key(manifest_digest, "rho", &[]));
        DealerAnswer(combination.apply(&self.secret, Some(&self.mask)))
    }
}

/// Judges one contributor by the answers of its recipients: row i of a dealer that shared one secret lies on a
/// polynomial of degree below `threshold`, for each of the eight scalars.
///
/// Wrong shares pass with probability p^-8, about 2^-128. Up to half as many as there are answers above the
/// threshold are named. Of several answers of one hospital the first counts. All of it is public.
///
/// ```
/// use crypto::{hash::SecretKey32, sealed_sum::*};
///
/// let joined: Vec<HospitalId> = (1..=5).filter_map(HospitalId::new).collect();
/// let shape = SumShape::new(0, &[1], FieldFormat::TwoBy24, joined.len())?;
/// let tag_key = TagKey::derive(&SecretKey32::from_bytes([1; 32]), &[7; 32]);
/// let (ring, shape, tag_key) = (&SumRing::new(), &shape, &tag_key);
/// let round = Round { ring, header_hash: &[7; 32], shape, threshold: 3, tag_key };
/// let (message, _) = pack(shape, &[], &[], Weight { own: 1, largest: 1 }, &[1])?;
/// let contribution = seal(&round, &joined, joined[0], 0, &Seed::generate(), &message)?;
///
/// // Each recipient answers for its share, with the digest of the contribution's manifest.
/// let manifest_digest = [9; 32];
/// let shares = contribution.shares.iter();
/// let mut answers: Vec<_> = shares.map(|(id, share)| (*id, share.answer(&manifest_digest))).collect();
/// assert_eq!(judge_dealer(3, &answers), DealerVerdict::Consistent);
///
/// // One got another share than it should have, or says so.
/// answers[4].1 = DealerAnswer::from_bytes(&[0; 16])?;
/// assert_eq!(judge_dealer(3, &answers), DealerVerdict::Deviating(vec![joined[4]]));
/// assert_eq!(judge_dealer(3, &answers[1..]), DealerVerdict::Inconsistent);
/// # Ok::<(), SumError>(())
/// ```
pub fn judge_dealer(threshold: usize, answers: &[(HospitalId, DealerAnswer)]) -> DealerVerdict {
    let mut seen = [false; MAX_HOSPITALS + 1];
    let mut first = |id: HospitalId| !std::mem::replace(&mut seen[usize::from(id.get())], true);
    let distinct = answers.iter().filter(|(id, _)| first(*id));
    let rows: Vec<_> = distinct.map(|(id, answer)| (*id, answer.0)).collect();
    if rows.len() <= threshold {
        return DealerVerdict::TooFew;
    }
    match locate_errors(&rows, threshold) {
        Errors::None => DealerVerdict::Consistent,
        Errors::At(places) => {
            DealerVerdict::Deviating(places.into_iter().map(|place| rows[place].0).collect())
        }
        Errors::TooMany if rows.len() == threshold + 1 => DealerVerdict::Inconsistent,
        Errors::TooMany => DealerVerdict::Undecodable,
    }
}
