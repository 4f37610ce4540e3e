use thiserror::Error;

use crypto::ckks::{CkksError, ParameterError};

/// Why bytes are no SEAL or TenSEAL file that can be used, or something cannot be written as one.
///
/// ```
/// use seal_format::{SealError, read_parameters};
///
/// let error = read_parameters(b"PK\x03\x04: a zip", 2_f64.powi(40)).unwrap_err();
/// assert!(matches!(error, SealError::NotSeal { found: [b'P', b'K', 3], .. }));
/// ```
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// Bytes without SEAL's header.
    #[error("a {what} of SEAL begins with 5e a1 10, not with {}", hex(.found))]
    NotSeal {
        /// What the bytes were to stand for.
        what: &'static str,
        /// The first bytes.
        found: [u8; 3],
    },
    /// A release of SEAL whose files are not read.
    #[error("a {what} written by SEAL {major}.{minor}, where 3.6 to 4.x are read")]
    Version {
        /// What it is.
        what: &'static str,
        /// The release's first number.
        major: u8,
        /// The second.
        minor: u8,
    },
    /// A compression that is not read.
    #[error("a {what} with compression {mode} ({}): save it with compr_mode_type::none or zstd", compression_name(*.mode))]
    Compression {
        /// What it is.
        what: &'static str,
        /// SEAL's number of the compression.
        mode: u8,
    },
    /// Compressed bytes that cannot be decompressed.
    #[error("the compressed bytes of a {what} are damaged")]
    Damaged {
        /// What they were to stand for.
        what: &'static str,
    },
    /// Compressed bytes that stand for more than such an object has, or shrank as no encryption does.
    #[error("the compressed bytes of a {what} stand for more than the {most} that it may have")]
    TooLarge {
        /// What they were to stand for.
        what: &'static str,
        /// The most that is possible.
        most: usize,
    },
    /// The bytes end within a field.
    #[error("a {what} ends too early: {needed} more bytes are needed")]
    Short {
        /// What it is.
        what: &'static str,
        /// How many bytes are missing.
        needed: u64,
    },
    /// A field states another length than the one that its place asks for.
    #[error("a {what} with a length of {found}, where {expected} is right")]
    Length {
        /// What it is.
        what: &'static str,
        /// The right length.
        expected: u64,
        /// The length found.
        found: u64,
    },
    /// Parameters of BFV or BGV.
    #[error("parameters of scheme {found}, where 2 (CKKS) is read")]
    Scheme {
        /// SEAL's number of the scheme.
        found: u8,
    },
    /// A plain modulus, which CKKS does not have.
    #[error("the parameters have a plain modulus, which CKKS does not")]
    PlainModulus,
    /// No special prime: SEAL then has no key switching.
    #[error("{count} primes, where at least two are needed: one for data and the special prime")]
    PrimeCount {
        /// The number of primes.
        count: u64,
    },
    /// Parameters that are refused here.
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    /// Something of other parameters, or of a level where it has no place.
    #[error("a {what} of other parameters or of an unfit level: its parms_id is not known here")]
    ParmsId {
        /// What it is.
        what: &'static str,
    },
    /// Coefficients, where CKKS has evaluations.
    #[error("a {what} that is not in NTT form")]
    NotNtt {
        /// What it is.
        what: &'static str,
    },
    /// Another number of polynomials.
    #[error("a {what} of {found} polynomials, where {expected} are read")]
    Polynomials {
        /// What it is.
        what: &'static str,
        /// The right number.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// A correction factor, which only BGV has.
    #[error("a {what} with correction factor {found}, where CKKS has 1")]
    CorrectionFactor {
        /// What it is.
        what: &'static str,
        /// The factor.
        found: u64,
    },
    /// A key with a scale.
    #[error("a {what} with scale {found:e}, where keys have 1")]
    KeyScale {
        /// What it is.
        what: &'static str,
        /// The scale.
        found: f64,
    },
    /// A word is not below its prime.
    #[error("word {index} of a {what} is not below its prime")]
    Word {
        /// What the word belongs to.
        what: &'static str,
        /// The position of the word.
        index: usize,
    },
    /// A seed for an unknown generator.
    #[error("a seed for generator {found}, where 1 (BLAKE2Xb) and 2 (SHAKE256) are known")]
    Generator {
        /// SEAL's number of the generator.
        found: u8,
    },
    /// A secret key whose coefficients are not all -1, 0 or 1 under every prime.
    #[error("the secret key is not a ternary polynomial of these parameters")]
    NotTernary,
    /// A scale, stated or exact, that the level cannot hold, or another error of the scheme.
    #[error(transparent)]
    Ckks(#[from] CkksError),
    /// The scale of a product was asked for where no prime was dropped.
    #[error(
        "a ciphertext of the top level, which no rescale leads to: its scale is the stated one"
    )]
    NothingDropped,
    /// Bytes that are no protocol buffer of the expected kind.
    #[error("a {what} of TenSEAL that is no valid protocol buffer")]
    ProtocolBuffer {
        /// What the bytes were to stand for.
        what: &'static str,
    },
    /// A part that is needed is not there.
    #[error("a {what} without {part}")]
    Missing {
        /// What it is.
        what: &'static str,
        /// What it lacks, and perhaps what to do.
        part: &'static str,
    },
    /// Parts whose numbers do not fit each other.
    #[error("a {what} with {found} ciphertexts, where {expected} are announced")]
    Count {
        /// What it is.
        what: &'static str,
        /// How many its other fields ask for.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// More values than a ciphertext has slots.
    #[error("a {what} with {values} values in a ciphertext of {slots} slots")]
    Slots {
        /// What it is.
        what: &'static str,
        /// The number of values.
        values: u64,
        /// The number of slots.
        slots: usize,
    },
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

fn compression_name(mode: u8) -> &'static str {
    match mode {
        1 => "zlib",
        _ => "unknown",
    }
}
