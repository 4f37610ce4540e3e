use super::SealError;
use super::order::Order;
use super::parameters::{ParmsId, parms_ids};
use crate::ckks::Context;

/// A [`Context`] with what SEAL's files need beside it: the order of evaluations under each prime, and the names of the
/// levels. All that has polynomials is read and written with it.
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
