//! A model and inputs that a seed makes, for tests that ask PyTorch what it says of them: the file has 17 MB, so it is not kept.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use aws_lc_rs::digest;
use model_data::weights::write_safetensors;
use protocol::{
    codec::List,
    network::{TensorKind, TensorSpec},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use serde::{Deserialize, Serialize};

pub const BATCH: usize = 4;
pub const PIXELS: usize = 128 * 128;

/// What PyTorch said of a drawn model.
#[derive(Serialize, Deserialize)]
pub struct Recorded {
    /// Of the model's file and of the inputs', in hexadecimal.
    pub sha256: [String; 2],
    pub torch: String,
    /// `[sample][class]`, with the patients' features.
    pub conditioned: Vec<Vec<f64>>,
    /// Without.
    pub free: Vec<Vec<f64>>,
}

/// The files, in a folder that goes with it.
pub struct DrawnModel {
    _folder: tempfile::TempDir,
    pub model: PathBuf,
    /// Inputs with features.
    pub conditioned: PathBuf,
    /// Inputs without.
    pub free: PathBuf,
    pub slices: Vec<f32>,
    pub features: Vec<f32>,
}

impl DrawnModel {
    /// A model of this layout, W among its tensors.
    pub fn new(layout: &[TensorSpec]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let mut rng = ChaCha20Rng::seed_from_u64(20_260_101);
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
        write_safetensors(&path("model"), layout, &values, &notes).expect("written");

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

    pub fn sha256(&self) -> [String; 2] {
        [&self.model, &self.conditioned].map(|path| {
            let bytes = std::fs::read(path).expect("there");
            let hash = digest::digest(&digest::SHA256, &bytes);
            hash.as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        })
    }

    /// What PyTorch says; none where `python3` cannot import torch and safetensors.
    pub fn asked_of_pytorch(&self) -> Option<Recorded> {
        let check = "import torch, safetensors.torch; print(torch.__version__)";
        let torch = Command::new("python3").args(["-c", check]).output().ok()?;
        if !torch.status.success() {
            return None;
        }
        let ask = |input: &Path| -> Vec<Vec<f64>> {
            let mut command = Command::new("python3");
            command
                .arg(workspace().join("docs/load_model.py"))
                .arg(&self.model)
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
            sha256: self.sha256(),
            torch: String::from_utf8_lossy(&torch.stdout).trim().to_owned(),
            conditioned: ask(&self.conditioned),
            free: ask(&self.free),
        })
    }
}

impl Recorded {
    /// `path` starts at the workspace's folder.
    pub fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(workspace().join(path)).expect("there");
        serde_json::from_str(&text).expect("written by such a test")
    }

    pub fn write(&self, path: &str) {
        let text = serde_json::to_string(self).expect("numbers and text");
        std::fs::write(workspace().join(path), text + "\n").expect("written");
    }
}

fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").exists());
    root.expect("a workspace has a lock file").to_owned()
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
