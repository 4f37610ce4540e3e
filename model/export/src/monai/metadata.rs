//! `configs/metadata.json`, by MONAI's schema for the metadata of a bundle.

use model_data::{Feature, IMAGE_SIDE};
use protocol::vocabulary::ConditioningForm;
use serde_json::{Map, Value, json};

use crate::{
    kept_model::{FilterSource, KeptModel},
    prose::{class_names, licence, too_few},
};

/// The whole file. What the card does not say is left out where the schema lets it, and said to be unknown where it does not.
pub fn metadata(model: &KeptModel) -> Value {
    let card = &model.card;
    let unknown = "unknown: the model's card does not say";
    let mut metadata = json!({
        "schema": SCHEMA,
        "name": card.name,
        "version": BUNDLE_VERSION,
        "changelog": {BUNDLE_VERSION: "exported from a kept model"},
        "monai_version": MONAI_VERSION,
        "pytorch_version": PYTORCH_VERSION,
        "numpy_version": NUMPY_VERSION,
        "required_packages_version": {"safetensors": SAFETENSORS_VERSION},
        // What releases before 1.4 called it; a schema of theirs asks for both.
        "optional_packages_version": {"safetensors": SAFETENSORS_VERSION},
        "task": "Class of disability (EDSS) in multiple sclerosis from a slice of brain MRI; not for diagnosis",
        "description": format!("{}. {}", card.name, card.notice),
        "authors": unknown,
        "copyright": licence(card),
        "intended_use": format!("{}. Not for {}.", card.intended_use, card.not_for),
        "pred_classes": class_names(model).join(", "),
        "model_hash": hex::encode(card.model_hash),
        "network_data_format": {
            "inputs": inputs(model),
            "outputs": {"pred": tensor("logits", "classes", &[], &[], class_names(model))},
        },
    });
    if let Some(data) = &card.data {
        metadata["data_source"] = json!(data.source);
    }
    let classes = class_names(model);
    if let Some(test) = &card.test
        && too_few(&test.patient, &classes).is_none()
    {
        metadata["eval_metrics"] = json!({
            "slices": test.slice.count,
            "accuracy_by_slice": test.slice.accuracy,
            "f1_macro_by_slice": test.slice.f1_macro,
            "auroc_by_slice": test.slice.auroc,
            "patients": test.patient.count,
            "accuracy_by_patient": test.patient.accuracy,
            "f1_macro_by_patient": test.patient.f1_macro,
            "auroc_by_patient": test.patient.auroc,
        });
    }
    make_inert(&mut metadata);
    metadata
}

/// MONAI runs what a text of a configuration says where it begins with `$`, and looks elsewhere where it begins with `@` or `%`; the
/// metadata are part of its configuration. No text of a card does that.
fn make_inert(value: &mut Value) {
    match value {
        Value::String(text) => {
            if text.trim_start().starts_with(['$', '@', '%']) {
                text.insert_str(0, "text: ");
            }
            for (sign, apart) in [("@:", "@ :"), ("@#", "@ #"), ("%:", "% :"), ("%#", "% #")] {
                *text = text.replace(sign, apart);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(make_inert),
        Value::Object(values) => values.values_mut().for_each(make_inert),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn inputs(model: &KeptModel) -> Value {
    let side = IMAGE_SIDE as u32;
    let slice = vec!["axial slice".to_owned()];
    let mut inputs = Map::new();
    let mut image = tensor("image", "magnitude", &[side, side], &SLICE_RANGE, slice);
    image["modality"] = json!("MR");
    inputs.insert("image".into(), image);
    if model.filters == FilterSource::Features {
        let of_card = model.card.input.features.clone();
        let usual = || {
            Feature::ALL
                .map(|feature| feature.name().to_owned())
                .to_vec()
        };
        let names = of_card.unwrap_or_else(usual);
        let range = match model.form {
            ConditioningForm::Study => [0.0, 1.0],
            ConditioningForm::Additive | ConditioningForm::Late => [-8.0, 8.0],
        };
        let features = tensor("clinical features", "features", &[], &range, names);
        // In the order of their names, as the network takes them.
        inputs.insert("patient_features".into(), features);
    }
    inputs.into()
}

/// A float32 tensor with a channel for each name.
fn tensor(kind: &str, format: &str, shape: &[u32], range: &[f64], channels: Vec<String>) -> Value {
    let count = channels.len();
    let numbered = channels.into_iter().enumerate();
    let channels: Map<String, Value> = numbered
        .map(|(number, name)| (number.to_string(), name.into()))
        .collect();
    json!({
        "type": kind,
        "format": format,
        "num_channels": count,
        "spatial_shape": shape,
        "dtype": "float32",
        "value_range": range,
        "is_patch_data": false,
        "channel_def": channels,
    })
}

const SCHEMA: &str = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json";

/// Of what lies in the bundle and how it is run.
const BUNDLE_VERSION: &str = "0.1.0";

/// No value of a slice of zero mean and unit variance is outside: the bound is the square root of its number of pixels.
const SLICE_RANGE: [f64; 2] = [-(IMAGE_SIDE as f64), IMAGE_SIDE as f64];

/// The releases that the tests run a bundle with.
const MONAI_VERSION: &str = "1.3.2";
const PYTORCH_VERSION: &str = "1.13.1";
const NUMPY_VERSION: &str = "1.24.2";
const SAFETENSORS_VERSION: &str = "0.8.0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_those_that_the_tests_install() {
        // PyTorch and numpy are Debian's: check_monai.py looks at those.
        let pinned = include_str!("../../tests/oracle/requirements-monai.txt");
        for (name, version) in [
            ("monai", MONAI_VERSION),
            ("safetensors", SAFETENSORS_VERSION),
        ] {
            let pin = format!("{name}=={version}");
            assert!(pinned.lines().any(|line| line == pin), "{pin}");
        }
    }
}
