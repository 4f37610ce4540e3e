//! What `/metrics` says of a hospital. Nothing of its data, and no result.

use host::web::{Labels, Metrics};

use crate::standing::Board;

pub(super) fn numbers(board: &Board) -> Metrics {
    let mut metrics = Metrics::default();
    let one = |value: f64| [(Labels::new(), value)];
    metrics.gauge(
        "myelin_participant_connected",
        "1 when the coordinator is connected, 0 when it is not",
        one(f64::from(u8::from(board.is_connected()))),
    );
    metrics.gauge(
        "myelin_participant_learning_round",
        "The learning round whose update was opened last, 0 before the first",
        one(board.learning_round().into()),
    );
    let cost = board.cost();
    metrics.gauge(
        "myelin_participant_spent_seconds",
        "Wall seconds of the run so far, by what they were spent on",
        [
            ("training", cost.training_secs),
            ("sealing", cost.sealing_secs),
            ("opening", cost.opening_secs),
            ("conditioning", cost.conditioning_secs),
            ("transport", cost.transport_secs),
        ]
        .map(|(part, seconds)| (vec![("part".to_owned(), part.to_owned())], seconds)),
    );
    let bytes = |value: u64| [(Labels::new(), value)];
    metrics.counter(
        "myelin_participant_sent_bytes",
        "Message bytes to the coordinator in the run",
        bytes(cost.sent_bytes),
    );
    metrics.counter(
        "myelin_participant_received_bytes",
        "Message bytes from the coordinator in the run",
        bytes(cost.received_bytes),
    );
    metrics
}
