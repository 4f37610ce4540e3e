//! A model's file, opened by docs/load_model.py, gives the logits that this crate computes.
//!
//! The file has 17 MB, so a seed makes it; what PyTorch says of it is recorded in oracle/loaded_logits.json. Where `python3` can
//! import torch and safetensors, PyTorch is asked again. `cargo test -p model --test load_model -- --ignored` records anew.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use aws_lc_rs::digest;
use model::{
    device::Device,
    network::{Architecture, Conditioning, Mode, Network},
};
use model_data::weights::{read_safetensors, write_safetensors};
use protocol::{
    codec::List,
    network::{TensorKind, TensorSpec},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use serde::{Deserialize, Serialize};
use tch::Tensor;

const CLASSES: usize = 3;
const BATCH: usize = 4;
const PIXELS: usize = 128 * 128;
/// Absolute.
const TOLERANCE: f64 = 1e-5;

#[derive(Serialize, Deserialize)]
struct Recorded {
    /// Of the model's file and of the inputs', in hexadecimal.
    sha256: [String; 2],
    torch: String,
    /// `[sample][class]`, with the patients' features.
    conditioned: Vec<Vec<f64>>,
    /// Without.
    free: Vec<Vec<f64>>,
}

/// The files, in a folder that goes with it.
struct Fixture {
    _folder: tempfile::TempDir,
    model: PathBuf,
    conditioned: PathBuf,
    free: PathBuf,
    slices: Vec<f32>,
    features: Vec<f32>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let mut rng = ChaCha20Rng::seed_from_u64(20_260_101);
        let layout = architecture(Conditioning::Free).layout();
        let tensors = layout.iter().map(|spec| {
            let mut values = draw(spec, &mut rng);
            if spec.name.0 == "conditioned.weight" {
                // Between two multiples, where the feature is 1: it shows to which of them the script rounds.
                values[0] = 1_321.5 / 4096.0;
            }
            values
        });
        let values: Vec<f32> = tensors.flatten().collect();
        let notes = BTreeMap::from([("notice".to_owned(), "drawn at random".to_owned())]);
        write_safetensors(&path("model"), &layout, &values, &notes).expect("written");

        let slices = uniform(&mut rng, BATCH * PIXELS, -1.7, 1.7);
        let mut features = uniform(&mut rng, BATCH * 9, 0.0, 1.0);
        features[0] = 1.0;
        let input = |name: &str, shape: &[u32]| TensorSpec {
            name: name.into(),
            shape: List(shape.to_vec()),
            kind: TensorKind::Weight,
        };
        let inputs = [
            input("features", &[BATCH as u32, 9]),
            input("slices", &[BATCH as u32, 1, 128, 128]),
        ];
        let none = BTreeMap::new();
        let both = [features.as_slice(), slices.as_slice()].concat();
        write_safetensors(&path("conditioned"), &inputs, &both, &none).expect("written");
        write_safetensors(&path("free"), &inputs[1..], &slices, &none).expect("written");
        Self {
            model: path("model"),
            conditioned: path("conditioned"),
            free: path("free"),
            _folder: folder,
            slices,
            features,
        }
    }

    fn sha256(&self) -> [String; 2] {
        [&self.model, &self.conditioned].map(|path| {
            let bytes = std::fs::read(path).expect("there");
            let hash = digest::digest(&digest::SHA256, &bytes);
            hash.as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        })
    }

    /// As this crate computes them.
    fn logits(&self, conditioning: Conditioning) -> Vec<Vec<f64>> {
        let architecture = architecture(conditioning);
        let read = |layout: &[TensorSpec]| read_safetensors(&self.model, layout).expect("readable");
        let mut network = Network::new(architecture, Device::CPU);
        network
            .load(&read(&architecture.layout()))
            .expect("the layout's length");
        let images = Tensor::from_slice(&self.slices).view([BATCH as i64, 1, 128, 128]);
        let layout = self::architecture(Conditioning::Free).layout();
        let base: Vec<TensorSpec> = layout
            .into_iter()
            .filter(|spec| spec.name.0 == "conditioned.weight")
            .collect();
        let base = read(&base);
        let release = |(place, feature): (usize, &f32)| {
            let product = f64::from(base[place % 9]) * f64::from(*feature);
            ((product * 4096.0 - 43.0 / (127.0 * 256.0)).round_ties_even() / 4096.0)
                .clamp(-1.0, 1.0) as f32
        };
        let filters: Vec<f32> = self.features.iter().enumerate().map(release).collect();
        let clipped = filters.iter().filter(|value| value.abs() == 1.0).count();
        assert!(
            clipped > 0 && clipped < filters.len(),
            "the clip is not tried"
        );
        let filters = Tensor::from_slice(&filters).view([BATCH as i64, 9]);
        let filters = (conditioning == Conditioning::Filters).then_some(&filters);
        let logits = tch::no_grad(|| network.forward(&images, filters, &Mode::Evaluation))
            .expect("a few slices fit into memory");
        let mut flat = vec![0.0_f32; BATCH * CLASSES];
        logits.copy_data(&mut flat, BATCH * CLASSES);
        flat.chunks(CLASSES)
            .map(|row| row.iter().map(|logit| f64::from(*logit)).collect())
            .collect()
    }
}

fn architecture(conditioning: Conditioning) -> Architecture {
    Architecture {
        classes: CLASSES,
        conditioning,
    }
}

/// Wider than PyTorch's initial values, and nowhere constant: a tensor in another's place shows.
fn draw(spec: &TensorSpec, rng: &mut ChaCha20Rng) -> Vec<f32> {
    let fan_in: u32 = spec.shape[1..].iter().product();
    let bound = 2.0 / (fan_in as f32).sqrt();
    let (low, high) = match spec.name.0.rsplit_once('.') {
        Some(("conditioned", _)) => (-2.0, 2.0),
        Some((_, "running_var")) => (0.5, 1.5),
        Some((norm, "weight")) if norm.ends_with("norm") => (0.5, 1.5),
        Some((_, "bias" | "running_mean")) => (-0.5, 0.5),
        _ => (-bound, bound),
    };
    uniform(rng, spec.values(), low, high)
}

fn uniform(rng: &mut ChaCha20Rng, count: usize, low: f32, high: f32) -> Vec<f32> {
    let draw = |_| low + (high - low) * ((rng.next_u32() >> 8) as f32 / 16_777_216.0);
    (0..count).map(draw).collect()
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn recorded() -> Recorded {
    let text = std::fs::read_to_string(in_repository("tests/oracle/loaded_logits.json"));
    serde_json::from_str(&text.expect("there")).expect("written by this test")
}

/// What PyTorch says; none without PyTorch.
fn asked_of_pytorch(fixture: &Fixture) -> Option<Recorded> {
    let check = "import torch, safetensors.torch; print(torch.__version__)";
    let torch = Command::new("python3").args(["-c", check]).output().ok()?;
    if !torch.status.success() {
        return None;
    }
    let ask = |input: &Path| -> Vec<Vec<f64>> {
        let mut command = Command::new("python3");
        command
            .arg(in_repository("../docs/load_model.py"))
            .arg(&fixture.model)
            .arg(input);
        let output = command.output().expect("it has just started");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    Some(Recorded {
        sha256: fixture.sha256(),
        torch: String::from_utf8_lossy(&torch.stdout).trim().to_owned(),
        conditioned: ask(&fixture.conditioned),
        free: ask(&fixture.free),
    })
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
    let fixture = Fixture::new();
    let recorded = recorded();
    assert_eq!(
        fixture.sha256(),
        recorded.sha256,
        "the files are not those of the record"
    );
    let conditioned = fixture.logits(Conditioning::Filters);
    let free = fixture.logits(Conditioning::Free);
    assert_close(&conditioned, &recorded.conditioned, "with features");
    assert_close(&free, &recorded.free, "without features");
    match asked_of_pytorch(&fixture) {
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
    let now = asked_of_pytorch(&Fixture::new()).expect("python3 with torch and safetensors");
    let text = serde_json::to_string(&now).expect("numbers and text");
    std::fs::write(
        in_repository("tests/oracle/loaded_logits.json"),
        text + "\n",
    )
    .expect("written");
}
