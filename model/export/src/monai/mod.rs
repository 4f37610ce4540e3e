//! A bundle of MONAI: a folder that `python -m monai.bundle run` runs, with metadata by MONAI's schema.
//!
//! ```text
//!  monai/configs/metadata.json    what it is, what goes in and out
//!        configs/inference.json   how it is run
//!        docs/README.md           for people
//!        models/                  model.safetensors, model.onnx
//!        scripts/                 the network in PyTorch, and what reads inputs and writes predictions
//!        LICENSE
//! ```
//!
//! There is no `models/model.pt`: that is a pickle, which runs whatever its writer put into it. The weights are read from safetensors.

mod metadata;

use model_data::card::MODEL_FILE;
use serde_json::{Value, json};

use crate::{
    folder::{OutputFolder, WriteError},
    kept_model::{FilterSource, KeptModel},
    onnx, prose,
};

/// Writes `monai/`.
///
/// # Errors
/// A file that cannot be written.
pub fn write(model: &KeptModel, output: &mut OutputFolder) -> Result<(), WriteError> {
    for (name, bytes) in [
        (
            "configs/metadata.json",
            pretty(&metadata::metadata(model)).as_bytes(),
        ),
        (
            "configs/inference.json",
            pretty(&inference(model)).as_bytes(),
        ),
        ("docs/README.md", read_me(model).as_bytes()),
        (&format!("models/{MODEL_FILE}"), &model.file),
        ("models/model.onnx", &onnx::encode(model)),
        ("scripts/__init__.py", b"from . import inference, network\n"),
        ("scripts/network.py", include_bytes!("bundle/network.py")),
        (
            "scripts/inference.py",
            include_bytes!("bundle/inference.py"),
        ),
        ("LICENSE", licence(model).as_bytes()),
    ] {
        output.write(&format!("monai/{name}"), bytes)?;
    }
    Ok(())
}

/// By MONAI's names for the parts of an inference: `dataset`, `network_def`, `inferer`, `evaluator`.
fn inference(model: &KeptModel) -> Value {
    let conditioned = model.filters == FilterSource::Features;
    json!({
        "imports": ["$import torch", "$import scripts"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/input'",
        "output_file": "$@bundle_root + '/predictions.csv'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "scripts.network.HybridCnn",
            "classes": model.classes,
            "conditioned": conditioned,
            "form": model.form.as_str(),
            "features": model.card.input.feature_count(),
        },
        "network": format!("$@network_def.load(@bundle_root + '/models/{MODEL_FILE}').to(@device)"),
        "dataset": {
            "_target_": "Dataset",
            "data": "$scripts.inference.samples(@dataset_dir)",
        },
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 16,
            "shuffle": false,
            "num_workers": 0,
        },
        "inferer": {"_target_": "SimpleInferer"},
        "evaluator": {
            "_target_": "scripts.inference.Evaluator",
            "dataloader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "device": "@device",
            "output_file": "@output_file",
        },
        "run": ["$@evaluator.run()"],
    })
}

fn read_me(model: &KeptModel) -> String {
    format!(
        "# {}\n\n{}\n{HOW_TO_RUN}\n{}",
        prose::plain(&model.card.name),
        prose::warning(&model.card),
        prose::description(model)
    )
}

fn licence(model: &KeptModel) -> String {
    format!(
        "{LICENCE_OF_CODE}\nmodels/: {}\n",
        prose::licence(&model.card)
    )
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

const LICENCE_OF_CODE: &str = "\
configs/ and scripts/: under MIT or Apache-2.0, at your choice. They are part of myelin.
";

const HOW_TO_RUN: &str = "\
A bundle of MONAI. Put `.safetensors` files with `slices` and, for a model that takes them, `features` into `input/`. Then, in this
folder:

```sh
pip install monai safetensors
python -m monai.bundle run --config_file configs/inference.json --meta_file configs/metadata.json
```

`predictions.csv` has a line for each slice, with the logit and the probability of each class. `models/model.onnx` is the same network
for ONNX Runtime.
";
