//! The network, its gradients and the optimiser against values that PyTorch recorded
//! (tests/oracle/make_reference.py). libtorch is the same library, so a difference beyond
//! rounding is a layer wired wrongly.

use std::collections::BTreeMap;

use serde::Deserialize;
use tch::{Kind, Tensor};

use super::{TrainingSettings, trainer::weighted_loss};
use crate::{
    device::Device,
    network::{Architecture, Conditioning, Mode, Network},
};

/// Of the script.
const PATIENTS: [i64; 4] = [0, 2, 2, 1];
const LEARNING_RATE: f64 = 1e-4;
const WEIGHT_DECAY: f64 = 1e-2;
/// Absolute and relative.
const TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Reference {
    hybrid: Variant,
    #[serde(rename = "plain-conditioned")]
    plain_conditioned: Variant,
    plain: Variant,
}

#[derive(Deserialize)]
struct Variant {
    classes: usize,
    evaluation_logits: Vec<f64>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    logits: Vec<f64>,
    loss: f64,
    gradients: BTreeMap<String, Vec<f64>>,
    trained: BTreeMap<String, Vec<f64>>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../tests/oracle/reference.json"))
        .expect("written by the script")
}

/// Values in [-0.5, 0.5), by the script's integer hash.
fn noise(label: &str, count: usize) -> Vec<f64> {
    let salt = label.bytes().fold(2_166_136_261_u32, |salt, byte| {
        (salt ^ u32::from(byte)).wrapping_mul(16_777_619)
    });
    let value = |index: usize| {
        let mut x = (index as u32)
            .wrapping_mul(2_654_435_761)
            .wrapping_add(salt);
        for (shift, factor) in [(16, 0x7FEB_352D_u32), (15, 0x846C_A68B)] {
            x = (x ^ (x >> shift)).wrapping_mul(factor);
        }
        f64::from(x ^ (x >> 16)) / 4_294_967_296.0 - 0.5
    };
    (0..count).map(value).collect()
}

fn scaled(label: &str, count: usize, scale: f64, offset: f64) -> Vec<f32> {
    let values = noise(label, count).into_iter();
    values
        .map(|value| (value * scale + offset) as f32)
        .collect()
}

/// The script's initial tensors.
fn initial(network: &Network) -> Vec<f32> {
    let tensors = network.layout().iter().map(|spec| {
        let fan_in: i64 = spec.shape[1..].iter().product();
        let (scale, offset) = match spec.name.rsplit_once("norm.").map(|(_, last)| last) {
            _ if spec.name == "conditioned.weight" => (6.0, 0.0),
            Some("weight") => (0.6, 1.0),
            Some("bias") => (0.4, 0.0),
            Some("running_mean") => (0.5, 0.0),
            Some("running_var") => (0.8, 1.0),
            _ if spec.shape.len() > 1 => (2.0 / (fan_in as f64).sqrt(), 0.0),
            _ => (0.2, 0.0),
        };
        scaled(&spec.name, spec.values(), scale, offset)
    });
    tensors.flatten().collect()
}

fn base_weight() -> Vec<f32> {
    scaled("conditioned.weight", 9, 6.0, 0.0)
}

fn features() -> Vec<f32> {
    scaled("features", 27, 2.0, 0.0)
}

/// clip(W * f) of the three patients, [3, 9].
fn filters() -> Tensor {
    let products = features()
        .into_iter()
        .zip(base_weight().into_iter().cycle());
    let clipped: Vec<f32> = products.map(|(f, w)| (w * f).clamp(-1.0, 1.0)).collect();
    Tensor::from_slice(&clipped).view([3, 9])
}

/// As the script samples: all of a small tensor, some 48 values of a large one.
fn sampled(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor
        .detach()
        .flatten(0, -1)
        .to_kind(Kind::Double)
        .contiguous();
    let flat = Vec::<f64>::try_from(&flat).expect("a vector of doubles");
    let stride = if flat.len() <= 160 {
        1
    } else {
        (flat.len() / 48) | 1
    };
    flat.into_iter().step_by(stride).collect()
}

fn assert_close(what: &str, ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (place, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let close = (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
        assert!(close, "{what}[{place}]: {a}, PyTorch has {b}");
    }
}

/// Runs the script's steps; returns the filter gradients of each.
fn follow(variant: &Variant, conditioning: Conditioning) -> Vec<Tensor> {
    let architecture = Architecture {
        classes: variant.classes,
        conditioning,
    };
    let mut network = Network::new(architecture, Device::CPU);
    network
        .load(&initial(&network))
        .expect("length of the layout");
    let images =
        Tensor::from_slice(&scaled("images", 4 * 128 * 128, 3.4, 0.0)).view([4, 1, 128, 128]);
    let labels = Tensor::from_slice(&[0, 1, variant.classes as i64 - 1, 1]);
    let class_weights = Tensor::from_slice(&[0.7_f32, 1.9, 1.2][..variant.classes]);
    let table = (conditioning == Conditioning::Filters).then(|| filters().set_requires_grad(true));
    let logits = |network: &Network, mode: &Mode<'_>| {
        let of_samples = |table: &Tensor| table.index_select(0, &Tensor::from_slice(&PATIENTS));
        network.forward(&images, table.as_ref().map(of_samples).as_ref(), mode)
    };
    assert_close(
        "evaluation logits",
        &sampled(&logits(&network, &Mode::Evaluation)),
        &variant.evaluation_logits,
    );
    let settings = TrainingSettings {
        learning_rate: LEARNING_RATE,
        weight_decay: WEIGHT_DECAY,
        ..TrainingSettings::new(vec![], [0; 32])
    };
    let mut optimiser = settings.optimiser(network.variables());
    let mut filter_gradients = vec![];
    for (number, step) in variant.steps.iter().enumerate() {
        let keep = |value: f64| if value >= -0.1 { 1.0 / 0.6_f32 } else { 0.0 };
        let mask: Vec<f32> = noise(&format!("mask{number}"), 4 * 512)
            .into_iter()
            .map(keep)
            .collect();
        let mask = Tensor::from_slice(&mask).view([4, 512]);
        let logits = logits(
            &network,
            &Mode::Training {
                dropout_mask: &mask,
            },
        );
        assert_close("training logits", &sampled(&logits), &step.logits);
        let loss = weighted_loss(&logits, &labels, &class_weights);
        assert_close("loss", &sampled(&loss), &[step.loss]);
        optimiser.backward_step(&loss);
        if let Some(table) = &table {
            filter_gradients.push(table.grad().copy());
            let _ = table.grad().zero_();
        }
        let variables = network.variables().variables();
        for (name, gradient) in &step.gradients {
            match variables.get(name) {
                Some(variable) => assert_close(name, &sampled(&variable.grad()), gradient),
                None => assert!(["filters", "conditioned.weight"].contains(&name.as_str())),
            }
        }
        let flat = network.flatten();
        let mut start = 0;
        let mut left_out = vec![];
        for spec in network.layout() {
            let tensor = Tensor::from_slice(&flat[start..start + spec.values()]);
            start += spec.values();
            match step.trained.get(&spec.name) {
                Some(trained) => assert_close(&spec.name, &sampled(&tensor), trained),
                None => left_out.push(spec.name.as_str()),
            }
        }
        let expected = 3 * (number + 1);
        assert_eq!(
            left_out.len(),
            expected,
            "only rounding noise: {left_out:?}"
        );
    }
    filter_gradients
}

#[test]
fn the_hybrid_network_is_the_twin_down_to_the_gradients_of_the_filters() {
    let variant = reference().hybrid;
    let gradients = follow(&variant, Conditioning::Filters);
    for (gradient, step) in gradients.iter().zip(&variant.steps) {
        assert_close("filters", &sampled(gradient), &step.gradients["filters"]);
    }
}

#[test]
fn the_plain_network_is_the_twin() {
    follow(&reference().plain, Conditioning::Free);
}

/// dL/dW = sum over patients of f * G * [|W f| < 1] is what autograd finds when it goes through
/// the product and the clip itself. W moves within the twin's round, so only its first step is ours.
#[test]
fn masked_filter_gradients_add_up_to_the_gradient_of_the_base_weight() {
    let mut variant = reference().plain_conditioned;
    variant.steps.truncate(1);
    let gradients = follow(&variant, Conditioning::Filters).remove(0);
    let inside = filters().abs().lt(1.0);
    let clipped = 27 - inside.sum(Kind::Int64).int64_value(&[]);
    assert!(
        (3..24).contains(&clipped),
        "the clip takes part in the test"
    );
    let parts = gradients * inside * Tensor::from_slice(&features()).view([3, 9]);
    let base = parts.sum_dim_intlist(0, false, Kind::Float);
    let expected = &variant.steps[0].gradients["conditioned.weight"];
    assert_close("conditioned.weight", &sampled(&base), expected);
}
