//! The network as a graph of ONNX, with its weights.
//!
//! | name | type | |
//! |---|---|---|
//! | `slices` | float [N, 1, 128, 128] | input: slices of zero mean and unit variance |
//! | `features` | float [N, 9] | input, of a network that clinical features condition: scaled as the card says |
//! | `logits` | float [N, classes] | output |
//! | `probabilities` | float [N, classes] | output: softmax of the logits |

mod graph;
mod messages;
mod network;

use prost::Message as _;

use crate::{
    kept_model::{FilterSource, KeptModel, hex_of},
    prose::class_names,
};
use graph::note;
use messages::{IR_VERSION, Model, Note, OPERATOR_SET, OperatorSet};

/// The bytes of `model.onnx`.
pub fn encode(model: &KeptModel) -> Vec<u8> {
    let card = &model.card;
    let file = Model {
        ir_version: Some(IR_VERSION),
        producer_name: Some("myelin".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        doc_string: Some(format!("{}. {}", card.name, card.notice)),
        graph: Some(network::graph(model)),
        opset_import: vec![OperatorSet {
            domain: Some(String::new()),
            version: Some(OPERATOR_SET),
        }],
        metadata_props: notes(model),
    };
    file.encode_to_vec()
}

/// What the file says of itself; what the card does not know is left out.
fn notes(model: &KeptModel) -> Vec<Note> {
    let card = &model.card;
    let mut notes = vec![
        note("notice", &format!("Not for diagnosis. {}", card.notice)),
        note("not_for", &card.not_for),
        note("intended_use", &card.intended_use),
        note("model_hash", &hex_of(&card.model_hash)),
        note("learning_round", &card.learning_round.get().to_string()),
        note("run_complete", &card.run_complete.to_string()),
        note("made_by", &card.made_by),
        note("slices", &card.input.slices),
        note("classes", &class_names(model).join(", ")),
    ];
    let known = [
        ("weights_hash", card.weights_hash.map(hex::encode)),
        ("run", card.run.map(hex::encode)),
        ("strategy", card.strategy.clone()),
        ("licence", card.licence.clone()),
        ("date", card.date.clone()),
        ("commit", card.commit.clone()),
        (
            "caveats",
            (!card.caveats.is_empty()).then(|| card.caveats.join("; ")),
        ),
    ];
    let known = known.into_iter();
    notes.extend(known.filter_map(|(key, value)| Some(note(key, &value?))));
    if model.filters == FilterSource::Features {
        let unknown = || "unknown".to_owned();
        let names = card.input.features.as_ref().map(|names| names.join(", "));
        let scaling = card.input.feature_scaling.clone();
        notes.push(note("features", &names.unwrap_or_else(unknown)));
        notes.push(note("feature_scaling", &scaling.unwrap_or_else(unknown)));
    }
    notes
}
