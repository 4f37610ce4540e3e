use super::SealError;
use super::order::Order;
use super::parameters::{ParmsId, parms_ids};
use crypto::ckks::Context;

/// A [`Context`] with what SEAL's files need beside it: the order of evaluations under each prime, and the names of the
/// levels. All that has polynomials is read and written with it.
///
/// ```
/// use crypto::ckks::{Context, Profile, PublicKey, SecretKey};
/// use seal_format::SealContext;
/// # use rand::{SeedableRng, rngs::StdRng};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = StdRng::seed_from_u64(0);
/// let context = Context::new(Profile::Study);
/// let seal = SealContext::new(&context);
/// let secret = SecretKey::generate(&context, &mut rng);
/// let file = seal.write_public_key(&PublicKey::generate(&secret, &mut rng))?;
/// assert_eq!(file[..4], [0x5e, 0xa1, 16, 3]); // SEAL's magic number, a header of 16 bytes, release 3
/// assert_eq!(seal.read_public_key(&file, secret.id())?.key_id(), secret.id());
/// # Ok(())
/// # }
/// ```
pub struct SealContext {
    pub(super) context: Context,
    /// One for each data prime, then the special prime's.
    pub(super) orders: Vec<Order>,
    /// The name of the level with k + 1 primes, at k.
    parms_ids: Vec<ParmsId>,
}

impl SealContext {
    /// Prepares it: some milliseconds.
    pub fn new(context: &Context) -> Self {
        Self {
            orders: Order::of_primes(context),
            parms_ids: parms_ids(context.parameters()),
            context: context.clone(),
        }
    }

    /// The context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// How many primes keys have.
    pub(super) fn key_rows(&self) -> usize {
        self.parms_ids.len()
    }

    /// How many primes fresh ciphertexts have: all but the special one.
    pub(super) fn data_rows(&self) -> usize {
        self.key_rows() - 1
    }

    /// How many primes the level of that name has.
    pub(super) fn rows(&self, what: &'static str, name: &ParmsId) -> Result<usize, SealError> {
        let place = self.parms_ids.iter().position(|known| known == name);
        place
            .map(|place| place + 1)
            .ok_or(SealError::ParmsId { what })
    }

    pub(super) fn parms_id(&self, rows: usize) -> &ParmsId {
        &self.parms_ids[rows - 1]
    }
}
