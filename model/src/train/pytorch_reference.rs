//! The network, its gradients and the optimiser against values that PyTorch recorded
//! (tests/oracle/make_reference.py). libtorch is the same library, so a difference beyond
//! rounding is a layer wired wrongly.

use std::collections::BTreeMap;

use protocol::vocabulary::ConditioningForm;
use serde::Deserialize;
use tch::{Kind, Tensor};

use super::{TrainingSettings, training::weighted_loss};
use crate::{
    device::Device,
    network::{Architecture, Conditioning, Mode, Network},
    script_inputs::{PATIENTS, features, filters, images, initial, noise},
};

/// Of the script.
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
        form: ConditioningForm::Study,
        conditioning,
    };
    let mut network = Network::new(architecture, Device::CPU);
    network
        .load(&initial(network.layout()))
        .expect("length of the layout");
    let images = images();
    let labels = Tensor::from_slice(&[0, 1, variant.classes as i64 - 1, 1]);
    let class_weights = Tensor::from_slice(&[0.7_f32, 1.9, 1.2][..variant.classes]);
    let table = (conditioning == Conditioning::Supplied).then(|| filters().set_requires_grad(true));
    let logits = |network: &Network, mode: &Mode<'_>| {
        let of_samples = |table: &Tensor| table.index_select(0, &Tensor::from_slice(&PATIENTS));
        let forward = network.forward(&images, table.as_ref().map(of_samples).as_ref(), mode);
        forward.expect("shapes fit")
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
    let mut optimiser = settings.optimiser(&network).expect("small moments");
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
        let loss = weighted_loss(&logits, &labels, &class_weights).expect("shapes fit");
        assert_close("loss", &sampled(&loss), &[step.loss]);
        let mut gradients = optimiser.backward(&loss, table.as_ref()).expect("a graph");
        optimiser.step(&gradients).expect("one gradient a weight");
        for (name, gradient) in &step.gradients {
            match network.weights().position(|(spec, _)| spec.name.0 == *name) {
                Some(place) => assert_close(name, &sampled(&gradients.weights[place]), gradient),
                None => assert!(["filters", "conditioned.weight"].contains(&name.as_str())),
            }
        }
        filter_gradients.extend(gradients.inputs.take());
        let flat = network.flatten();
        let mut start = 0;
        let mut left_out = vec![];
        for spec in network.layout() {
            let tensor = Tensor::from_slice(&flat[start..start + spec.values()]);
            start += spec.values();
            match step.trained.get(&spec.name.0) {
                Some(trained) => assert_close(&spec.name.0, &sampled(&tensor), trained),
                None => left_out.push(spec.name.0.as_str()),
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
    let gradients = follow(&variant, Conditioning::Supplied);
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
    let gradients = follow(&variant, Conditioning::Supplied).remove(0);
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
