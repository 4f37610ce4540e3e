//! A folder for a hub of models: the weights and their card as they were kept, and a README with front matter that the hub reads.
//!
//! The fields are those of the model card metadata of Hugging Face (`license`, `library_name`, `tags`, `pipeline_tag`, `model-index`). The
//! results of a test become a model index; a model without one has none.

use model_data::card::{CARD_FILE, MODEL_FILE, Scores, TestSummary};
use serde_json::{Value, json};

use crate::{
    folder::{OutputFolder, WriteError},
    kept_model::KeptModel,
    onnx, prose,
};

/// Writes `huggingface/`.
///
/// # Errors
/// A file that cannot be written.
pub fn write(model: &KeptModel, output: &mut OutputFolder) -> Result<(), WriteError> {
    for (name, bytes) in [
        ("README.md", read_me(model).as_bytes()),
        (MODEL_FILE, &model.file),
        (CARD_FILE, &model.card_file),
        ("model.onnx", &onnx::encode(model)),
    ] {
        output.write(&format!("huggingface/{name}"), bytes)?;
    }
    Ok(())
}

fn read_me(model: &KeptModel) -> String {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let front = serde_saphyr::to_string_with_options(&front_matter(model), options);
    let front = front.expect("text, numbers, lists and keys of text are YAML");
    format!(
        "---\n{}\n---\n\n# {}\n\n{}\n{}\n{HOW_TO_RUN}\n{}",
        front.trim_end(),
        prose::plain(&model.card.name),
        prose::warning(&model.card),
        prose::licence(&model.card),
        prose::description(model)
    )
}

fn front_matter(model: &KeptModel) -> Value {
    let mut fields = json!({
        "license": "unknown",
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": TAGS,
    });
    if let Some(licence) = &model.card.licence {
        let word = licence.trim().to_lowercase();
        if LICENCES.contains(&word.as_str()) {
            fields["license"] = json!(word);
        } else {
            fields["license"] = json!("other");
            fields["license_name"] = json!(licence);
        }
    }
    // Numbers of a test that is too small are no headline.
    if let Some(test) = &model.card.test
        && prose::too_few(&test.patient, &prose::class_names(model)).is_none()
    {
        fields["model-index"] = json!([model_index(model, test)]);
        fields["metrics"] = json!(["accuracy", "f1", "roc_auc"]);
    }
    fields
}

fn model_index(model: &KeptModel, test: &TestSummary) -> Value {
    let data = model.card.data.as_ref();
    let source = data.map_or("unknown", |data| data.source.as_str());
    let of = |by: &str, unit: &str, scores: &Scores| {
        let metrics = [
            ("accuracy", "Accuracy", Some(scores.accuracy)),
            ("f1", "F1, macro", Some(scores.f1_macro)),
            ("roc_auc", "AUROC", scores.auroc),
        ];
        let defined = metrics.into_iter().filter_map(|(kind, name, value)| {
            let name = format!("{name}, by {by}, of {} {unit}", scores.count);
            let value = value.filter(|value| value.is_finite())?;
            Some(json!({"type": kind, "name": name, "value": value}))
        });
        defined.collect::<Vec<_>>()
    };
    let mut metrics = of("slice", "slices", &test.slice);
    metrics.extend(of("patient", "patients", &test.patient));
    json!({
        "name": model.card.name,
        "results": [{
            "task": {"type": "image-classification", "name": "Class of disability (EDSS) in multiple sclerosis"},
            "dataset": {"type": source, "name": source, "split": "test"},
            "metrics": metrics,
        }],
    })
}

const TAGS: [&str; 6] = [
    "medical",
    "mri",
    "multiple-sclerosis",
    "federated-learning",
    "onnx",
    "not-for-diagnosis",
];

/// Words of the hub for licences that models have; another one is `other`, with its name.
const LICENCES: [&str; 8] = [
    "apache-2.0",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-sa-4.0",
    "cc0-1.0",
    "mit",
];

const HOW_TO_RUN: &str = "
`model.onnx` runs in ONNX Runtime; `model.safetensors` has the same weights, and `model.json` is the card in JSON.

```python
import onnxruntime
session = onnxruntime.InferenceSession(\"model.onnx\")
logits, probabilities = session.run([\"logits\", \"probabilities\"], {\"slices\": slices})  # and \"features\", where it takes them
```
";
