//! What a run may take of this machine and its network, where the settings bound it.

use host::doctor::{Check, told};
use participant::{
    hours::{MachineClock, Moment, Shifts, zone_of_this_machine},
    settings::Settings,
};

/// One check for each bound that is set.
pub fn look(settings: &Settings) -> Vec<Check> {
    let allowance = &settings.allowance;
    let mut checks = Vec::new();
    if !allowance.hours.are_always() {
        checks.push(hours(settings));
    }
    if let Some(cap) = allowance.rate {
        let megabits = cap.megabits_per_second();
        let secs = UPDATE_BYTES * 8 / 1_000_000 / u64::from(megabits);
        checks.push(Check::good(
            "policy.max_megabits_per_second",
            format!("{megabits} Mbit/s each way: an update of 17 MB takes {secs} s or more"),
        ));
    }
    let percent = allowance.gpu_memory.percent();
    if percent < 100 {
        checks.push(Check::good(
            "policy.max_gpu_memory_percent",
            format!("the trainer may take {percent} % of a GPU's memory"),
        ));
    }
    checks
}

fn hours(settings: &Settings) -> Check {
    let hours = &settings.allowance.hours;
    let spans: Vec<_> = hours.spans().iter().map(ToString::to_string).collect();
    let spans = spans.join(", ");
    let zone = match zone_of_this_machine() {
        Ok(zone) => zone,
        Err(error) => {
            let mend =
                "without it `participant run` does not start: do as it says, or set hours = []";
            return Check::failed(HOURS, told(error), mend);
        }
    };
    let shifts = Shifts::new(hours.clone(), zone, MachineClock);
    let now = match shifts.moment() {
        Moment::Within { until: Some(until) } => {
            format!("it is within them until {}", shifts.in_words(until))
        }
        Moment::Within { until: None } => "which is always".to_owned(),
        Moment::Outside { until } => {
            format!("it is outside of them until {}", shifts.in_words(until))
        }
    };
    Check::good(
        HOURS,
        format!("{spans} on the clock of this machine: {now}"),
    )
}

const HOURS: &str = "policy.hours";
/// Of the usual network.
const UPDATE_BYTES: u64 = 17_000_000;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn checks(policy: &str) -> Vec<Check> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("participant.toml");
        fs::write(&file, format!("hospital = 1\n[policy]\n{policy}")).expect("written");
        look(&Settings::load(&file, [], &[]).expect("sound"))
    }

    #[test]
    fn bounds_that_are_set_are_told_and_others_are_not() {
        assert_eq!(checks(""), []);
        let set =
            "hours = [\"00:00-24:00\"]\nmax_megabits_per_second = 8\nmax_gpu_memory_percent = 30\n";
        let checks = checks(set);
        let told: Vec<_> = checks
            .iter()
            .map(|check| (check.name, check.found.as_str()))
            .collect();
        let [hours, rate, memory] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(hours.0, HOURS);
        assert!(
            hours.1.contains("00:00-24:00") && hours.1.contains("always"),
            "{hours:?}"
        );
        assert!(
            rate.1.contains("8 Mbit/s") && rate.1.contains("17 s"),
            "{rate:?}"
        );
        assert!(memory.1.contains("30 %"), "{memory:?}");
    }
}
