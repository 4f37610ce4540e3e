//! The filters that a common model means for patients whose features are known: what only the plaintext reference and the test at the end do
//! outside a vault.

use crypto::sealed_sum::HospitalId;
use getrandom::SysRng;
use participant::vault::conditioning::{ConditionedWeights, Conditioner, Filter};
use protocol::common_model::CommonModel;
use rand_core::UnwrapErr;

/// One filter a patient, by the vault's own product in the clear, with the rounding and clipping of every release.
pub fn filters(
    id: HospitalId,
    model: &CommonModel,
    features: &[ConditionedWeights],
) -> Vec<Filter> {
    let weights: ConditionedWeights = model.conditioned_weights();
    let rng = &mut UnwrapErr(SysRng);
    let released =
        Conditioner::new(id, [0; 16].into(), features.to_vec(), None, rng).request(weights, rng);
    released
        .map(|released| released.filters)
        .unwrap_or_else(|_| unreachable!("without a profile nothing is encrypted"))
}
