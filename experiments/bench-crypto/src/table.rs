use std::fmt::Write as _;

use serde_json::Value;

use super::{
    comparison::Comparison,
    operations::{Goal, OPERATIONS, Operation, Unit},
};

/// What a person reads: a line for each operation, then sizes, errors and conditions.
pub fn table(comparison: &Comparison) -> String {
    let mut text = String::new();
    let mut line = |cells: [&str; 7]| {
        let [name, ours, vector, vector_ratio, tensor, tensor_ratio, goal] = cells;
        let row = format!(
            "{name:<35}{ours:>12}{vector:>12}{vector_ratio:>8}{tensor:>12}{tensor_ratio:>8}  {goal}"
        );
        let _ = writeln!(text, "{}", row.trim_end());
    };
    line(["", "ours", "ckks_vector", "", "ckks_tensor", "", "goal"]);
    for operation in &OPERATIONS {
        let time = |seconds: Option<f64>| seconds.map_or_else(String::new, in_words);
        let ratio =
            |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.1}x"));
        line([
            operation.name,
            &time(comparison.our_median(operation)),
            &time(comparison.vector_median(operation)),
            &ratio(comparison.vector_ratio(operation)),
            &time(comparison.tensor_median(operation)),
            &ratio(comparison.tensor_ratio(operation)),
            &goals(comparison, operation),
        ]);
    }
    for (name, ours, theirs) in FACTS {
        let fact = |key: &str| comparison.fact(key).map_or_else(String::new, fact_in_words);
        line([name, &fact(ours), &fact(theirs), "", "", "", ""]);
    }
    if let Some((conditions, peer)) = comparison.description() {
        let _ = writeln!(text, "{}", conditions.line());
        let _ = writeln!(text, "{}", peer.words());
    }
    text
}

/// Each goal and whether it is reached, where it could be measured.
fn goals(comparison: &Comparison, operation: &Operation) -> String {
    let verdicts = operation.goals.iter().map(|goal| {
        let (words, reached) = match *goal {
            Goal::TimesVector(least) => (
                format!("{least}x"),
                comparison
                    .vector_ratio(operation)
                    .map(|ratio| ratio >= least),
            ),
            Goal::TimesTensor(least) => (
                format!("{least}x"),
                comparison
                    .tensor_ratio(operation)
                    .map(|ratio| ratio >= least),
            ),
            Goal::AtMost(most) => (
                format!("{most} {}", operation.unit.symbol()),
                comparison
                    .our_median(operation)
                    .map(|seconds| operation.unit.of_seconds(seconds) <= most),
            ),
        };
        match reached {
            Some(true) => format!("{words} reached"),
            Some(false) => format!("{words} MISSED"),
            None => words,
        }
    });
    verdicts.collect::<Vec<_>>().join(", ")
}

/// Three digits that count, in the unit that suits.
fn in_words(seconds: f64) -> String {
    let unit = match seconds {
        ..1e-3 => Unit::Microseconds,
        ..1.0 => Unit::Milliseconds,
        _ => Unit::Seconds,
    };
    let number = unit.of_seconds(seconds);
    let digits = match number {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{number:.digits$} {}", unit.symbol())
}

fn fact_in_words(fact: &Value) -> String {
    match fact.as_u64() {
        Some(bytes) => format!("{bytes} B"),
        None => fact
            .as_f64()
            .map_or_else(String::new, |error| format!("{error:.1e}")),
    }
}

/// Name, our key, TenSEAL's key.
const FACTS: [(&str, &str, &str); 6] = [
    (
        "largest product error, public key",
        "product_max_abs_error",
        "tenseal_vector_product_max_abs_error",
    ),
    (
        "  encrypted with the secret key",
        "product_max_abs_error_secret_key",
        "",
    ),
    (
        "fresh ciphertext",
        "fresh_ciphertext_bytes",
        "tenseal_vector_fresh_ciphertext_bytes",
    ),
    ("  seeded", "seeded_ciphertext_bytes", ""),
    (
        "upload, 10 hospitals",
        "upload_bytes_n10",
        "tenseal_vector_upload_bytes",
    ),
    ("upload, 100 hospitals", "upload_bytes_n100", ""),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{comparison::PeerTimes, series::Times};

    #[test]
    fn a_goal_is_judged_by_what_was_measured() {
        let [job, ..] = &OPERATIONS;
        let times = |seconds: f64| -> Times { [(job.stem.to_owned(), seconds)].into() };
        let mut comparison = Comparison::default();
        comparison.ours(times(1.0));
        assert_eq!(goals(&comparison, job), "6x, 50x");
        comparison.theirs(PeerTimes {
            vector: times(6.0),
            tensor: times(49.0),
        });
        assert_eq!(goals(&comparison, job), "6x reached, 50x MISSED");
        let seal = OPERATIONS
            .iter()
            .find(|operation| operation.stem == "seal_seconds_n10")
            .expect("it is measured");
        comparison.ours([(seal.stem.to_owned(), 0.149)].into());
        assert_eq!(goals(&comparison, seal), "0.15 s reached");
    }

    #[test]
    fn times_are_told_in_the_unit_that_suits() {
        let told = [3.7e-4, 1.25e-3, 0.0123, 0.106, 2.97, 31.2].map(in_words);
        let expected = ["370 us", "1.25 ms", "12.3 ms", "106 ms", "2.97 s", "31.2 s"];
        assert_eq!(told, expected);
    }
}
