//! Where the model looks in slices of this hospital's patients: what is said of each, and its pixels, for the page to draw.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use protocol::{labels::Task, training_job::HeatedSlice};
use serde_json::{Value, json};

use crate::{own_results::OwnHeat, standing::LastPictures};

/// Paths of the pictures. Whoever has got past the door of the page sees them.
pub(super) fn pictures(pictures: LastPictures) -> Router {
    Router::new()
        .route("/api/heat", get(list))
        .route("/api/heat/{learning_round}/{patient}", get(pixels))
        .with_state(pictures)
}

async fn list(State(pictures): State<LastPictures>) -> Json<Value> {
    Json(match pictures.seen() {
        Some(heat) => about(&heat),
        None => json!({"ok": true, "learning_round": null, "slices": []}),
    })
}

fn about(heat: &OwnHeat) -> Value {
    let slices = heat.slices.0.iter().zip(1..);
    let slices = slices.map(|(slice, patient): (_, u32)| {
        json!({
            "patient": patient,
            "truth": class_name(heat.task, slice.truth),
            "prediction": class_name(heat.task, slice.prediction),
            "probability": f64::from(slice.per_mille) / 1000.0,
        })
    });
    json!({
        "ok": true,
        "learning_round": heat.learning_round.get(),
        "slices": slices.collect::<Value>(),
    })
}

fn class_name(task: Task, class: u32) -> &'static str {
    let class = usize::try_from(class).ok();
    let name = class.and_then(|class| task.class_names().get(class));
    name.copied().unwrap_or("unknown")
}

/// The pixels of a slice, then those of its heat; nothing where the page asks for a round that is over.
async fn pixels(
    State(pictures): State<LastPictures>,
    Path((learning_round, patient)): Path<(u32, usize)>,
) -> Response {
    let seen = pictures.seen();
    let bytes = seen.and_then(|heat| bytes_of(&heat, learning_round, patient));
    match bytes {
        Some(bytes) => {
            ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn bytes_of(heat: &OwnHeat, learning_round: u32, patient: usize) -> Option<Vec<u8>> {
    let place = patient.checked_sub(1)?;
    let is_this_round = heat.learning_round.get() == learning_round;
    let slice = is_this_round.then(|| heat.slices.0.get(place))?;
    slice.map(|HeatedSlice { pixels, heat, .. }| [pixels.as_slice(), heat.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use protocol::{
        codec::List,
        digests::LearningRound,
        training_job::{HEAT_SIDE, HeatedSlices},
    };

    use super::*;

    fn heat() -> OwnHeat {
        let slice = |truth, level| HeatedSlice {
            truth,
            prediction: 1,
            per_mille: 625,
            pixels: vec![level; HEAT_SIDE * HEAT_SIDE],
            heat: vec![level + 1; HEAT_SIDE * HEAT_SIDE],
        };
        OwnHeat {
            learning_round: LearningRound::new(4),
            task: Task::Binary,
            slices: HeatedSlices(List(vec![slice(0, 10), slice(1, 20)])),
        }
    }

    #[test]
    fn each_slice_is_told_with_its_classes_and_without_a_pixel() {
        let told = about(&heat());
        assert_eq!(told["learning_round"], 4);
        let first =
            json!({"patient": 1, "truth": "lower", "prediction": "higher", "probability": 0.625});
        assert_eq!(told["slices"][0], first);
        assert_eq!(told["slices"][1]["patient"], 2);
        assert!(told.to_string().len() < 500);
    }

    #[test]
    fn pixels_are_those_of_the_round_and_patient_asked_for_or_none() {
        let heat = heat();
        let bytes = bytes_of(&heat, 4, 2).expect("shown");
        assert_eq!(bytes.len(), 2 * HEAT_SIDE * HEAT_SIDE);
        assert_eq!((bytes[0], bytes[HEAT_SIDE * HEAT_SIDE]), (20, 21));
        for (round, patient) in [(3, 1), (5, 1), (4, 0), (4, 3), (4, usize::MAX)] {
            assert!(bytes_of(&heat, round, patient).is_none());
        }
    }
}
