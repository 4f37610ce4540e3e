//! The load generator at its smallest: a coordinator's process with hospitals without secrets, one of which dies.

#[path = "../examples/load/generator.rs"]
#[expect(dead_code, reason = "the program does it with more kinds of trouble")]
mod generator;

use std::time::Duration;

use self::generator::{Last, Load, bear};

#[test]
fn four_of_five_hospitals_finish_and_the_memory_of_the_coordinator_is_bounded() {
    let report = bear(&Load {
        hospitals: 5,
        rounds: 3,
        last: Last::Dies,
        processors: None,
        silence_secs: 5,
        patience: Duration::from_secs(240),
    });
    let figures = &report.figures;
    assert_eq!(figures["finished"], 4, "{}", report.log);
    let rounds = figures["by_round"].as_array().expect("a list");
    assert_eq!(rounds.len(), 3, "{figures}");
    // Five uploads of 17 MB, a second copy of one, the sum, and the program itself.
    let peak = figures["peak_mib"].as_u64().expect("a number");
    assert!((80..400).contains(&peak), "{figures}");
}
