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
const RECORD: &str = "model/tests/oracle/loaded_logits.json";

fn fixture() -> DrawnModel {
    DrawnModel::new(&architecture(Conditioning::Free).layout())
}

/// As this crate computes them.
fn logits(fixture: &DrawnModel, conditioning: Conditioning) -> Vec<Vec<f64>> {
    let architecture = architecture(conditioning);
    let read = |layout: &[TensorSpec]| read_safetensors(&fixture.model, layout).expect("readable");
    let mut network = Network::new(architecture, Device::CPU);
    network
        .load(&read(&architecture.layout()))
        .expect("the layout's length");
    let images = Tensor::from_slice(&fixture.slices).view([BATCH as i64, 1, 128, 128]);
    let layout = self::architecture(Conditioning::Free).layout();
    let base: Vec<TensorSpec> = layout
        .into_iter()
        .filter(|spec| spec.name.0 == "conditioned.weight")
        .collect();
    let base = read(&base);
    let release = |(place, feature): (usize, &f32)| {
        let product = f64::from(base[place % 9]) * f64::from(*feature);
        ((product * 4096.0 - 43.0 / (127.0 * 256.0)).round_ties_even() / 4096.0).clamp(-1.0, 1.0)
            as f32
    };
    let filters: Vec<f32> = fixture.features.iter().enumerate().map(release).collect();
    let clipped = filters.iter().filter(|value| value.abs() == 1.0).count();
    assert!(
        clipped > 0 && clipped < filters.len(),
        "the clip is not tried"
    );
    let filters = Tensor::from_slice(&filters).view([BATCH as i64, 9]);
    let filters = (conditioning == Conditioning::Supplied).then_some(&filters);
    let logits = tch::no_grad(|| network.forward(&images, filters, &Mode::Evaluation))
        .expect("a few slices fit into memory");
    let mut flat = vec![0.0_f32; BATCH * CLASSES];
    logits.copy_data(&mut flat, BATCH * CLASSES);
    flat.chunks(CLASSES)
        .map(|row| row.iter().map(|logit| f64::from(*logit)).collect())
        .collect()
}

fn architecture(conditioning: Conditioning) -> Architecture {
    Architecture {
        classes: CLASSES,
        form: ConditioningForm::Study,
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
    let fixture = fixture();
    let recorded = Recorded::read(RECORD);
    assert_eq!(
        fixture.sha256(),
        recorded.sha256,
        "the files are not those of the record"
    );
    let conditioned = logits(&fixture, Conditioning::Supplied);
    let free = logits(&fixture, Conditioning::Free);
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
    let now = fixture().asked_of_pytorch();
    now.expect("python3 with torch and safetensors")
        .write(RECORD);
}
