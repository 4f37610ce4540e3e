//! A model's file, opened by docs/load_model.py, gives the logits that this crate computes.
//!
//! The file has 17 MB, so a seed makes it; what PyTorch says of it is recorded in oracle/loaded_logits.json. Where `python3` can
//! import torch and safetensors, PyTorch is asked again. `cargo test -p model --test load_model -- --ignored` records anew.

#[path = "oracle/drawn_model.rs"]
mod drawn_model;

use drawn_model::{BATCH, DrawnModel, Recorded};
use model::{
    device::Device,
    network::{Architecture, Conditioning, Mode, Network},
};
use model_data::weights::read_safetensors;
use protocol::{network::TensorSpec, vocabulary::ConditioningForm};
use tch::Tensor;

const CLASSES: usize = 3;
/// Absolute.
const TOLERANCE: f64 = 1e-5;

fn record_of(form: ConditioningForm) -> &'static str {
    match form {
        ConditioningForm::Study => "model/tests/oracle/loaded_logits.json",
        ConditioningForm::Additive => "model/tests/oracle/loaded_logits_additive.json",
        ConditioningForm::Late => "model/tests/oracle/loaded_logits_late.json",
    }
}

fn fixture(form: ConditioningForm) -> DrawnModel {
    DrawnModel::new(&architecture(form, Conditioning::Free).layout())
}

/// As this crate computes them.
fn logits(
    fixture: &DrawnModel,
    form: ConditioningForm,
    conditioning: Conditioning,
) -> Vec<Vec<f64>> {
    let architecture = architecture(form, conditioning);
    let read = |layout: &[TensorSpec]| read_safetensors(&fixture.model, layout).expect("readable");
    let mut network = Network::new(architecture, Device::CPU);
    network
        .load(&read(&architecture.layout()))
        .expect("the layout's length");
    let images = Tensor::from_slice(&fixture.slices).view([BATCH as i64, 1, 128, 128]);
    let tensor = |name: &str| {
        let layout = self::architecture(form, Conditioning::Free).layout();
        let specs: Vec<TensorSpec> = layout
            .into_iter()
            .filter(|spec| spec.name.0 == name)
            .collect();
        read(&specs)
    };
    let rounded = |value: f64, limit: f64| {
        let multiple = (value * 4096.0 - 43.0 / (127.0 * 256.0)).round_ties_even();
        (multiple / 4096.0).clamp(-limit, limit) as f32
    };
    let product = |weights: &[f32], (place, feature): (usize, &f32)| {
        f64::from(weights[place]) * f64::from(*feature)
    };
    let (base, factors) = (tensor("conditioned.weight"), tensor(form.factors()));
    let inputs: Vec<f32> = fixture
        .features
        .chunks_exact(9)
        .flat_map(|patient| match form {
            ConditioningForm::Study | ConditioningForm::Additive => {
                let offset = match form {
                    ConditioningForm::Additive => base.clone(),
                    _ => vec![0.0; 9],
                };
                let taps = patient
                    .iter()
                    .enumerate()
                    .map(|tap| rounded(f64::from(offset[tap.0]) + product(&factors, tap), 1.0));
                taps.collect::<Vec<f32>>()
            }
            ConditioningForm::Late => {
                let class = |own: &[f32]| {
                    patient
                        .iter()
                        .enumerate()
                        .map(|one| product(own, one))
                        .sum()
                };
                let shifts = factors.chunks_exact(9).map(|own| rounded(class(own), 8.0));
                shifts.collect()
            }
        })
        .collect();
    if form != ConditioningForm::Late {
        let clipped = inputs.iter().filter(|value| value.abs() == 1.0).count();
        assert!(
            clipped > 0 && clipped < inputs.len(),
            "the clip is not tried"
        );
    }
    let inputs = Tensor::from_slice(&inputs).view([BATCH as i64, -1]);
    let inputs = (conditioning == Conditioning::Supplied).then_some(&inputs);
    let logits = tch::no_grad(|| network.forward(&images, inputs, &Mode::Evaluation))
        .expect("a few slices fit into memory");
    let mut flat = vec![0.0_f32; BATCH * CLASSES];
    logits.copy_data(&mut flat, BATCH * CLASSES);
    flat.chunks(CLASSES)
        .map(|row| row.iter().map(|logit| f64::from(*logit)).collect())
        .collect()
}

fn architecture(form: ConditioningForm, conditioning: Conditioning) -> Architecture {
    Architecture {
        classes: CLASSES,
        form,
        conditioning,
    }
}

fn assert_close(ours: &[Vec<f64>], theirs: &[Vec<f64>], what: &str) {
    assert_eq!((ours.len(), theirs.len()), (BATCH, BATCH));
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(theirs.len(), CLASSES);
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!(
                (ours - theirs).abs() < TOLERANCE,
                "{what}: {ours}, PyTorch has {theirs}"
            );
        }
    }
}

#[test]
fn a_model_opened_in_pytorch_gives_the_same_logits() {
    for &form in ConditioningForm::ALL {
        compare(form);
    }
}

fn compare(form: ConditioningForm) {
    let fixture = fixture(form);
    let recorded = Recorded::read(record_of(form));
    assert_eq!(
        fixture.sha256(),
        recorded.sha256,
        "the files are not those of the record"
    );
    let conditioned = logits(&fixture, form, Conditioning::Supplied);
    let free = logits(&fixture, form, Conditioning::Free);
    assert_close(&conditioned, &recorded.conditioned, "with features");
    assert_close(&free, &recorded.free, "without features");
    match fixture.asked_of_pytorch() {
        Some(now) => {
            assert_close(&conditioned, &now.conditioned, "with features, now");
            assert_close(&free, &now.free, "without features, now");
        }
        None => eprintln!("not asked again: python3 cannot import torch and safetensors"),
    }
    // Samples and the two ways are told apart far beyond the tolerance.
    for (sample, other) in [
        (&conditioned[0], &conditioned[1]),
        (&conditioned[0], &free[0]),
    ] {
        assert!(
            sample
                .iter()
                .zip(other)
                .any(|(a, b)| (a - b).abs() > 1000.0 * TOLERANCE)
        );
    }
}

#[test]
#[ignore = "records anew what PyTorch says"]
fn record() {
    for &form in ConditioningForm::ALL {
        let now = fixture(form).asked_of_pytorch();
        now.expect("python3 with torch and safetensors")
            .write(record_of(form));
    }
}
