//! Grad-CAM (Selvaraju et al. 2017): where in a slice the evidence for a class lies.
//!
//! With A_k the 32 feature maps [16, 16] of the last convolution block and y the logit of the
//! class: alpha_k = mean over the map of dy/dA_k, heat = ReLU(sum over k of alpha_k A_k), enlarged
//! to the slice bilinearly, then divided by its largest value.
//! [`Trainer::grad_cam`](crate::train::Trainer::grad_cam) asks a model for them.

use tch::{Kind, TchError, Tensor};

use crate::network::{Mode, Network};
use model_data::IMAGE_SIDE;

/// Heat of each pixel of a slice for one class.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// [128 * 128], row by row as the slice's pixels, in [0, 1]: 1 at the hottest pixel, 0
    /// throughout where nothing speaks for the class.
    ///
    /// Each map has a scale of its own, so heat cannot be compared between slices or classes.
    pub pixels: Box<[f32]>,
}

impl HeatMap {
    /// The maps of [B, 128, 128].
    pub(crate) fn each_of(heat: &Tensor) -> Vec<Self> {
        let mut flat = vec![0.0; heat.numel()];
        heat.to_device(tch::Device::Cpu)
            .copy_data(&mut flat, heat.numel());
        flat.chunks(IMAGE_SIDE * IMAGE_SIDE)
            .map(|pixels| Self {
                pixels: pixels.into(),
            })
            .collect()
    }
}

/// Heat `[B, 128, 128]` of images `[B, 1, 128, 128]` for one class each, `classes` of shape `[B]`; `inputs`
/// as in [`Network::forward`]. A shift of the logits is the same at every pixel, and has no heat.
///
/// # Errors
/// What libtorch refuses.
pub(crate) fn heat(
    network: &Network,
    images: &Tensor,
    inputs: Option<&Tensor>,
    classes: &Tensor,
) -> Result<Tensor, TchError> {
    let maps = tch::no_grad(|| network.feature_maps(images, inputs, &Mode::Evaluation))?;
    let maps = maps.set_requires_grad(true);
    let logits = network.classify(&maps, &Mode::Evaluation)?;
    let asked = logits.f_gather(1, &classes.unsqueeze(1), false)?;
    // The samples are independent, so the gradient of the sum holds that of each.
    let gradients = Tensor::f_run_backward(&[asked.sum(Kind::Float)], &[&maps], false, false)?;
    let side = IMAGE_SIDE as i64;
    tch::no_grad(|| {
        let alpha = gradients[0].mean_dim([2, 3].as_slice(), true, Kind::Float);
        let heat = (alpha * &maps)
            .sum_dim_intlist([1].as_slice(), true, Kind::Float)
            .relu()
            .upsample_bilinear2d([side, side], false, None, None);
        let hottest = heat.amax([2, 3].as_slice(), true);
        let relative = heat / hottest.clamp_min(f64::from(f32::MIN_POSITIVE));
        relative.f_squeeze_dim(1)
    })
}

#[cfg(test)]
mod tests {
    use protocol::vocabulary::ConditioningForm;
    use serde::Deserialize;

    use super::*;
    use crate::{
        device::Device,
        network::{Architecture, Conditioning},
        script_inputs::{PATIENTS, filters, images, initial},
    };

    #[derive(Deserialize)]
    struct Recorded {
        stride: usize,
        classes: Vec<i64>,
        heat: Vec<f32>,
    }

    fn network() -> Network {
        let architecture = Architecture {
            classes: 3,
            form: ConditioningForm::Study,
            conditioning: Conditioning::Supplied,
        };
        Network::new(architecture, Device::CPU)
    }

    fn maps(network: &Network, classes: &[i64]) -> Vec<HeatMap> {
        let filters = filters().index_select(0, &Tensor::from_slice(&PATIENTS));
        let classes = Tensor::from_slice(classes);
        let heat = heat(network, &images(), Some(&filters), &classes);
        HeatMap::each_of(&heat.expect("shapes fit"))
    }

    #[test]
    fn heat_is_that_of_the_twin() {
        let recorded: Recorded =
            serde_json::from_str(include_str!("../tests/oracle/grad_cam.json"))
                .expect("written by the script");
        let mut network = network();
        network
            .load(&initial(network.layout()))
            .expect("length of the layout");
        let maps = maps(&network, &recorded.classes);
        let ours: Vec<f32> = maps.iter().flat_map(|map| map.pixels.to_vec()).collect();
        let ours: Vec<f32> = ours.into_iter().step_by(recorded.stride).collect();
        assert_eq!(ours.len(), recorded.heat.len());
        for (place, (a, b)) in ours.iter().zip(&recorded.heat).enumerate() {
            assert!((a - b).abs() < 1e-5, "[{place}]: {a}, PyTorch has {b}");
        }
        for (map, class) in maps.iter().zip(recorded.classes) {
            assert!(map.pixels.iter().all(|heat| (0.0..=1.0).contains(heat)));
            assert_eq!(map.pixels.contains(&1.0), class == 1, "cold for class 0");
        }
    }

    #[test]
    fn a_network_that_knows_nothing_shows_no_heat() {
        for map in maps(&network(), &[0, 1, 2, 0]) {
            assert!(map.pixels.iter().all(|heat| *heat == 0.0));
        }
    }
}
