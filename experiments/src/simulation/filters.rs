//! The filters that a common model means for patients whose features are known: what only the oracle and the test at the end do
//! outside a vault.

use crypto::sealed_sum::HospitalId;
use getrandom::SysRng;
use participant::vault::conditioning::{ConditionedWeights, Conditioner, Filter};
use protocol::{common_model::CommonModel, manifest::Manifest, network::CONDITIONED_WEIGHT};
use rand_core::UnwrapErr;

/// One filter a patient, by the vault's own product in the clear, with the rounding and clipping of every release.
pub fn filters(
    id: HospitalId,
    model: &CommonModel,
    features: &[ConditionedWeights],
) -> Vec<Filter> {
    let range = model
        .layout()
        .range(CONDITIONED_WEIGHT)
        .expect("the network has it");
    let weights: ConditionedWeights =
        std::array::from_fn(|entry| f64::from(model.values()[range.start + entry]));
    let rng = &mut UnwrapErr(SysRng);
    let released =
        Conditioner::new(id, [0; 16].into(), features.to_vec(), None, rng).request(weights, rng);
    released
        .map(|released| released.filters)
        .unwrap_or_else(|_| unreachable!("without a profile nothing is encrypted"))
}

/// What a trainer gets of the common model: all of it, or, when filters are used, all but W.
pub fn model_for_trainer(manifest: &Manifest, model: &CommonModel) -> Vec<f32> {
    let mut values = model.values().to_vec();
    if manifest.conditioning.uses_filters() {
        values.drain(
            model
                .layout()
                .range(CONDITIONED_WEIGHT)
                .expect("the network has it"),
        );
    }
    values
}
