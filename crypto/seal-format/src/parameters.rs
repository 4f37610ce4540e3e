//! Encryption parameters, and the names that SEAL gives to the levels of a chain of primes.

use blake2b_simd::Params;

use super::SealError;
use super::bytes::{Reader, Writer};
use super::header::{self, HEADER_BYTES, Object};
use crypto::ckks::Parameters;

/// Reads encryption parameters. SEAL has no scale among them: `scale` is what is encrypted with, in TenSEAL the context's
/// `global_scale`.
///
/// # Errors
/// If the bytes are no parameters of CKKS with at least two primes, or [`Parameters::new`] refuses them: SEAL takes
/// smaller and larger degrees, smaller primes, and 2 to 8 bits more of them at a degree.
pub fn read_parameters(bytes: &[u8], scale: f64) -> Result<Parameters, SealError> {
    let object = Object::open(WHAT, bytes, MOST_BYTES)?;
    let mut members = object.members();
    let scheme = members.byte()?;
    if scheme != CKKS {
        return Err(SealError::Scheme { found: scheme });
    }
    // A degree that no word of this machine holds is refused as one that is too large.
    let degree = usize::try_from(members.word()?).unwrap_or(usize::MAX);
    let count = members.word()?;
    let mut primes = vec![];
    for _ in 0..count {
        primes.push(modulus(&mut members)?);
    }
    if modulus(&mut members)? != NO_PLAIN_MODULUS {
        return Err(SealError::PlainModulus);
    }
    members.finish()?;
    match primes.split_last() {
        Some((&special, data)) if !data.is_empty() => {
            Ok(Parameters::new(degree, data, special, scale)?)
        }
        _ => Err(SealError::PrimeCount { count }),
    }
}

/// Writes encryption parameters, without the scale.
pub fn write_parameters(parameters: &Parameters) -> Vec<u8> {
    let primes = parameters.primes();
    let mut writer = Writer::new(HEADER_BYTES + 17 + (primes.len() + 1) * MODULUS_BYTES);
    header::write(&mut writer, |writer| {
        writer
            .byte(CKKS)
            .word(parameters.degree() as u64)
            .word(primes.len() as u64);
        for &modulus in primes.iter().chain(&[NO_PLAIN_MODULUS]) {
            header::write(writer, |writer| {
                writer.word(modulus);
            });
        }
    });
    writer.finish_public()
}

fn modulus(outer: &mut Reader<'_>) -> Result<u64, SealError> {
    let (_, mut modulus) = header::inner(outer)?;
    let value = modulus.word()?;
    modulus.finish()?;
    Ok(value)
}

/// SEAL's name of a level: a hash of what the level has of the parameters.
pub(super) type ParmsId = [u8; 32];

/// The names of the levels that have the first prime, the first two, and so on to all: the last is that of keys, the
/// last but one that of fresh ciphertexts.
pub(super) fn parms_ids(parameters: &Parameters) -> Vec<ParmsId> {
    let primes = parameters.primes();
    let level = |rows| parms_id(parameters.degree(), &primes[..rows]);
    (1..=primes.len()).map(level).collect()
}

/// BLAKE2b with 32 bytes of output over words of 64 bits.
fn parms_id(degree: usize, primes: &[u64]) -> ParmsId {
    let mut hash = Params::new().hash_length(32).to_state();
    let before = [CKKS.into(), degree as u64];
    for word in before.iter().chain(primes).chain(&[NO_PLAIN_MODULUS]) {
        hash.update(&word.to_le_bytes());
    }
    *hash
        .finalize()
        .as_bytes()
        .first_chunk()
        .expect("32 bytes were asked for")
}

const WHAT: &str = "parameter file";

/// SEAL's number of the scheme.
const CKKS: u8 = 2;

/// The place is there in every scheme.
const NO_PLAIN_MODULUS: u64 = 0;

const MODULUS_BYTES: usize = HEADER_BYTES + 8;

/// SEAL takes at most 64 primes.
const MOST_BYTES: usize = 17 + 65 * MODULUS_BYTES;

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::ckks::{ParameterError, Profile};

    fn study() -> Vec<u8> {
        write_parameters(&Profile::Study.parameters())
    }

    #[test]
    fn literal_bytes() {
        let bytes = study();
        assert_eq!(bytes.len(), 153);
        let start = "5ea110030700000099000000000000000200200000000000000400000000000000";
        assert_eq!(hex::encode(&bytes[..33]), start);
        // The first prime, 2^60 - 98303 - 2^14 ..., with its header.
        let prime = "5ea11003070000001800000000000000";
        assert_eq!(hex::encode(&bytes[33..49]), prime);
        assert_eq!(bytes[49..57], 1_152_921_504_606_748_673_u64.to_le_bytes());
        assert_eq!(bytes[145..], [0; 8]);
    }

    #[test]
    fn what_was_written_is_read() {
        for profile in [Profile::Study, Profile::Hardened] {
            let parameters = profile.parameters();
            let bytes = write_parameters(&parameters);
            assert_eq!(
                read_parameters(&bytes, parameters.scale()),
                Ok(parameters.clone())
            );
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        let scale = Profile::Study.parameters().scale();
        let altered = |place: usize, with: &[u8]| {
            let mut bytes = study();
            bytes[place..][..with.len()].copy_from_slice(with);
            read_parameters(&bytes, scale).expect_err("altered")
        };
        assert_eq!(altered(16, &[1]), SealError::Scheme { found: 1 });
        let too_large = SealError::Parameters(ParameterError::Degree { degree: 32768 });
        assert_eq!(altered(17, &32768_u64.to_le_bytes()), too_large);
        assert!(matches!(
            altered(17, &4096_u64.to_le_bytes()),
            SealError::Parameters(ParameterError::Insecure { .. })
        ));
        assert!(matches!(
            altered(25, &u64::MAX.to_le_bytes()),
            SealError::Short { .. }
        ));
        assert!(matches!(
            altered(25, &3_u64.to_le_bytes()),
            SealError::PlainModulus
        ));
        assert_eq!(altered(145, &[17]), SealError::PlainModulus);
        let no_scale = SealError::Parameters(ParameterError::Scale { scale: -1.0 });
        assert_eq!(read_parameters(&study(), -1.0), Err(no_scale));
    }
}
