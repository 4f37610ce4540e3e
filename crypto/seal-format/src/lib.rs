//! Files of SEAL and TenSEAL: what a hospital that has TenSEAL encrypts in Python is read here, and the reverse.
//!
//! [SEAL](https://github.com/microsoft/SEAL) is the C++ library behind most work with CKKS, TenSEAL its Python dress. Their
//! scheme is that of [`crypto::ckks`], and so is their order of slots; what differs is how things lie in a file.
//!
//! ```text
//! TenSEAL   protocol buffer: keys and scale, or shape and ciphertexts      tenseal, protobuf
//! SEAL      header of 16 bytes | members, perhaps compressed               header, compression
//!           parameters | ciphertext | public, secret, relinearisation key  parameters, ciphertext, keys, secret_key
//!           a seed in the place of a uniform polynomial                    seed
//! words     evaluations, prime by prime, in SEAL's order                   polynomials, order
//! ```
//!
//! # From the outside to the inside
//! 1. **Header.** Every object begins with a magic number, the release that wrote it, a compression and its length; also an
//!    object within another. A release before 4.4 reads of 4.x its own files only, but every release reads
//!    those of 3.7, which lack one field of a ciphertext. So 3.7 is what is written.
//! 2. **Compression.** Members stand as they are, or as a frame of zstd, which is TenSEAL's way. Written is without: every
//!    release reads that. The memory that reading takes is bounded by the parameters and by a few times the file.
//! 3. **Levels.** An object names the level it belongs to by `parms_id`, a BLAKE2b hash of degree and primes. Keys have
//!    all primes, fresh ciphertexts all but the special one, and each rescale drops the last. Who has other
//!    parameters finds the name unknown.
//! 4. **Polynomials.** A word of 64 bits for each value at an odd power of psi, the smallest primitive 2N-th root of unity
//!    modulo the prime: value j is at `psi^(2 bitrev(j) + 1)`. The ring's transform has the same values in an order
//!    of its own, so that one permutation a prime leads from one to the other.
//! 5. **Seeds.** A uniform polynomial may be replaced by the 64 bytes that it was expanded from, by BLAKE2Xb or SHAKE256.
//! 6. **Protocol buffers.** TenSEAL packs SEAL's objects into messages. They are read without copying, as one of them is
//!    the secret key; that, and that they are four, is why no library does it.
//!
//! # What is read and written
//! | | read | written | written files are read by |
//! |---|---|---|---|
//! | header | 3.6, 3.7, 4.x | 3.7 | SEAL 3.7, 4.x; TenSEAL 0.3.18 |
//! | compression | none, zstd (zlib is refused) | none | all |
//! | parameters | CKKS, two primes or more, as far as [`Parameters::new`](crypto::ckks::Parameters::new) takes them | the same | all |
//! | ciphertext | two polynomials, of any level, also with a seed; three polynomials | in full | all |
//! | public key | also with a seed | in full | all |
//! | secret key | yes | yes | all |
//! | relinearisation key | for products of two, also with seeds | in full | all |
//! | Galois keys | passed over in a TenSEAL context | no | |
//! | TenSEAL context | with and without secret key; public or symmetric | the same | TenSEAL 0.3.18 |
//! | `ckks_vector`, `ckks_tensor` | yes | yes | TenSEAL 0.3.18 |
//!
//! The files of 3.6 and 3.7, and that 4.1 and 4.4 read ours, was found from SEAL's source; TenSEAL 0.3.18, which is SEAL
//! 4.3, is tried both ways in every run of the tests.
//!
//! # What files do not say
//! * **The key.** SEAL's keys and ciphertexts have no names. The keys of a TenSEAL context get one that is made of the
//!   public key, so that hospital and coordinator arrive at the same; whoever reads a ciphertext says which key it is
//!   under. A wrong answer is not noticed: it decrypts to noise.
//! * **The scale after a rescale.** TenSEAL writes the scale that a computation began with over the true one:
//!   [`StatedScale`].
//! * **How many slots are used.** TenSEAL's vectors repeat their values over all slots.
//!
//! # Example
//! The hospital has encrypted in Python and handed over `context.serialize()` and the vectors. Here the Python side is
//! played by the functions that write.
//! ```
//! use crypto::ckks::{Context, Evaluator, Profile, PublicKey, RelinearisationKey, SecretKey};
//! use seal_format::{CkksVector, StatedScale, TensealContext};
//! # use rand::{SeedableRng, rngs::StdRng};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut rng = StdRng::seed_from_u64(0);
//! # let context = Context::new(Profile::Study);
//! let secret = SecretKey::generate(&context, &mut rng);
//! let mut hospital = TensealContext::new(&context);
//! hospital.public_key = Some(PublicKey::generate(&secret, &mut rng));
//! hospital.relinearisation_key = Some(RelinearisationKey::generate(&secret, &mut rng));
//! let context_file = hospital.to_bytes()?;
//! let public = hospital.public_key.as_ref().expect("just made");
//! let features = CkksVector::encrypt(public, &[0.5, -1.25, 2.0], &mut rng)?;
//! let features_file = features.to_bytes(hospital.seal())?;
//!
//! // Who multiplies has these two files.
//! let server = TensealContext::from_bytes(&context_file)?;
//! let key = server.relinearisation_key.as_ref().expect("saved without the secret key");
//! let features =
//!     CkksVector::from_bytes(server.seal(), &features_file, key.key_id(), StatedScale::Exact)?;
//! let mut evaluator = Evaluator::new(server.context());
//! let squares = (features.ciphertexts().iter())
//!     .map(|ciphertext| evaluator.multiply_relinearise_rescale(ciphertext, ciphertext, key))
//!     .collect::<Result<_, _>>()?;
//! let squares_file = features.with_ciphertexts(squares)?.to_bytes(server.seal())?;
//!
//! // The hospital decrypts: here, or in Python with `tenseal.ckks_vector_from(context, squares_file).decrypt()`.
//! let squares =
//!     CkksVector::from_bytes(hospital.seal(), &squares_file, secret.id(), StatedScale::Exact)?;
//! let values = squares.decrypt(&secret)?;
//! assert!((values[1] - 1.5625).abs() < 1e-7);
//! # Ok(())
//! # }
//! ```
//!
//! # Security
//! Any bytes are a value or an error. A secret key is read and written in constant time, but for its decompression, and
//! what held it is erased. Who reads a ciphertext of a stranger knows as little of its origin as with any other format.

#![forbid(unsafe_code)]

mod bytes;
mod ciphertext;
mod compression;
mod context;
mod error;
mod header;
mod keys;
mod order;
mod parameters;
mod polynomials;
mod protobuf;
mod secret_key;
mod seed;
mod tenseal;

pub use ciphertext::StatedScale;
pub use context::SealContext;
pub use error::SealError;
pub use parameters::{read_parameters, write_parameters};
pub use tenseal::{CkksTensor, CkksVector, TensealContext};

/// Compiles the Rust of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/SEAL.md")]
struct Guide;

#[cfg(test)]
mod constant_time;
#[cfg(all(test, target_os = "linux"))]
mod erasure;
#[cfg(test)]
mod known_answers;
#[cfg(test)]
mod tests;

#[cfg(test)]
side_channels::assert_secrets!(TensealContext);
