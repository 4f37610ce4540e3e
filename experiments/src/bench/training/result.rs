use std::{collections::BTreeMap, fmt::Write as _};

use bench_crypto::{
    peer::PeerState,
    series::{Series, Times, median},
};
use protocol::counted::counted;
use serde_json::{Map, Value, json};

use super::{Conditions, Variant};

/// Everything that was measured, round by round.
#[derive(Default)]
pub struct TrainingResult {
    /// Every step of ours and theirs and every conditioning, by column and stem.
    samples: BTreeMap<(Column, &'static str), Vec<f64>>,
    /// Medians of the rounds.
    ours: Series,
    theirs: Series,
    described: Option<(Conditions, PeerState)>,
}

/// The seconds of one round.
#[derive(Default)]
pub struct Round {
    samples: Vec<(Column, &'static str, Vec<f64>)>,
}

/// The hospital concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Ours,
    Theirs,
}

impl Round {
    /// Adds our steps.
    pub fn ours(&mut self, variant: Variant, seconds: Vec<f64>) {
        self.samples.push((Column::Ours, variant.stem(), seconds));
    }

    /// Adds PyTorch's steps.
    pub fn theirs(&mut self, variant: Variant, seconds: Vec<f64>) {
        self.samples.push((Column::Theirs, variant.stem(), seconds));
    }

    /// Adds what the `study` pipeline does before a batch.
    pub fn conditioning(&mut self, seconds: Vec<f64>) {
        self.samples.push((Column::Ours, CONDITIONING, seconds));
    }
}

impl TrainingResult {
    /// Adds a round.
    pub fn push(&mut self, round: Round) {
        let (mut ours, mut theirs) = (Times::new(), Times::new());
        for (column, stem, seconds) in round.samples {
            let medians = match column {
                Column::Ours => &mut ours,
                Column::Theirs => &mut theirs,
            };
            medians.insert(stem.to_owned(), median(seconds.clone()));
            self.samples
                .entry((column, stem))
                .or_default()
                .extend(seconds);
        }
        self.ours.push(ours);
        self.theirs.push(theirs);
    }

    /// Says how it was measured.
    pub(super) fn describe(&mut self, conditions: Conditions, peer: PeerState) {
        self.described = Some((conditions, peer));
    }

    /// The contents of the file. What was not measured is absent.
    pub fn to_json(&self) -> Value {
        let mut entries = Map::new();
        let mut number = |key: String, value: Option<f64>| {
            if let Some(value) = value {
                entries.insert(key, json!(value));
            }
        };
        for variant in Variant::ALL {
            let stem = variant.stem();
            number(
                format!("step_ms_{stem}"),
                self.milliseconds(Column::Ours, stem),
            );
            number(
                format!("pytorch_step_ms_{stem}"),
                self.milliseconds(Column::Theirs, stem),
            );
            number(format!("ratio_{stem}"), self.ratio(stem));
            number(
                format!("recorded_pytorch_step_ms_{stem}"),
                self.recorded(stem),
            );
        }
        number(
            "samples_per_second_hybrid".into(),
            self.samples_per_second(),
        );
        number("ratio_hybrid_to_plain".into(), self.hybrid_to_plain());
        number(
            "study_conditioning_ms".into(),
            self.milliseconds(Column::Ours, CONDITIONING),
        );
        number("study_conditioning_share".into(), self.conditioning_share());
        if self.shows_recorded() {
            entries.insert(
                "recorded_conditions".into(),
                json!(recorded()["conditions"]),
            );
        }
        if let Some((conditions, peer)) = &self.described {
            entries.insert("conditions".into(), json!(conditions));
            entries.insert("pytorch".into(), json!(peer.words()));
        }
        entries.into()
    }

    /// What a person reads: a line for each variant, then what encryption adds, then the conditions.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |cells: [&str; 5]| {
            let [name, ours, theirs, ratio, goal] = cells;
            let row = format!("{name:<35}{ours:>12}{theirs:>12}{ratio:>8}  {goal}");
            let _ = writeln!(text, "{}", row.trim_end());
        };
        let theirs = if self.shows_recorded() {
            "recorded"
        } else {
            "PyTorch"
        };
        line(["one step", "ours", theirs, "", "goal"]);
        for variant in Variant::ALL {
            let stem = variant.stem();
            let pytorch = self.milliseconds(Column::Theirs, stem);
            line([
                &stem.replace('_', "-"),
                &in_milliseconds(self.milliseconds(Column::Ours, stem)),
                &in_milliseconds(pytorch.or_else(|| self.recorded(stem))),
                &self
                    .ratio(stem)
                    .map_or_else(String::new, |ratio| format!("{ratio:.2}x")),
                &goal(
                    PYTORCH_GOAL,
                    self.ratio(stem).filter(|_| variant == Variant::Hybrid),
                ),
            ]);
        }
        let times =
            |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}x"));
        let hybrid_to_plain = self.hybrid_to_plain();
        line([
            "hybrid over plain",
            &times(hybrid_to_plain),
            "",
            "",
            &goal(PLAIN_GOAL, hybrid_to_plain),
        ]);
        let share = self.conditioning_share();
        let conditioning = self.milliseconds(Column::Ours, CONDITIONING);
        line([
            "study: encrypted conditioning",
            &in_milliseconds(conditioning),
            "",
            "",
            "",
        ]);
        line([
            "  over the hybrid step",
            &times(share),
            "",
            "",
            &goal(SHARE_GOAL, share),
        ]);
        let rate = self.samples_per_second();
        let rate = rate.map_or_else(String::new, |rate| format!("{rate:.0}"));
        line(["samples a second, hybrid", &rate, "", "", ""]);
        if let Some((conditions, peer)) = &self.described {
            let Conditions {
                machine,
                device,
                batch,
                clock,
                rounds,
                repetitions_per_round,
                ..
            } = conditions;
            let _ = writeln!(
                text,
                "{}, {device}, one thread, batch {batch}, {clock} clock, {} of {repetitions_per_round}, {}",
                machine.kind(),
                counted(*rounds, ["round", "rounds"]),
                machine.load(),
            );
            let _ = writeln!(text, "PyTorch: {}", peer.words());
            if self.shows_recorded() {
                let _ = writeln!(text, "recorded: {}", recorded_in_words());
            }
        }
        text
    }

    fn milliseconds(&self, column: Column, stem: &'static str) -> Option<f64> {
        let samples = self.samples.get(&(column, stem))?;
        Some(median(samples.clone()) * 1e3)
    }

    /// Ours over PyTorch's.
    fn ratio(&self, stem: &str) -> Option<f64> {
        self.ours.ratio(&self.theirs, stem)
    }

    fn hybrid_to_plain(&self) -> Option<f64> {
        let [hybrid, _, plain] = Variant::ALL.map(Variant::stem);
        self.ours.ratio_of(hybrid, &self.ours, plain)
    }

    fn conditioning_share(&self) -> Option<f64> {
        let hybrid = Variant::Hybrid.stem();
        self.ours.ratio_of(CONDITIONING, &self.ours, hybrid)
    }

    fn samples_per_second(&self) -> Option<f64> {
        let (conditions, _) = self.described.as_ref()?;
        let step = self.milliseconds(Column::Ours, Variant::Hybrid.stem())?;
        Some(conditions.batch as f64 / step * 1e3)
    }

    /// Whether PyTorch was not there and what is on record was measured with the same device and batch.
    fn shows_recorded(&self) -> bool {
        let alike = |(conditions, peer): &(Conditions, PeerState)| {
            let then = &recorded()["conditions"];
            !matches!(peer, PeerState::Measured { .. })
                && then["device"] == json!(conditions.device)
                && then["batch"] == json!(conditions.batch)
        };
        self.described.as_ref().is_some_and(alike)
    }

    /// PyTorch's milliseconds on another machine, where they say something.
    fn recorded(&self, stem: &str) -> Option<f64> {
        let value = &recorded()[format!("pytorch_step_ms_{stem}")];
        value.as_f64().filter(|_| self.shows_recorded())
    }
}

fn goal(most: f64, ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) if ratio <= most => format!("{most}x reached"),
        Some(_) => format!("{most}x MISSED"),
        None => String::new(),
    }
}

fn in_milliseconds(number: Option<f64>) -> String {
    number.map_or_else(String::new, |number| {
        let digits = if number < 10.0 { 2 } else { 1 };
        format!("{number:.digits$} ms")
    })
}

/// The file of a run with PyTorch, in the form of [`TrainingResult::to_json`].
fn recorded() -> Value {
    serde_json::from_str(include_str!("recorded.json")).expect("this program wrote it")
}

fn recorded_in_words() -> String {
    let run = recorded();
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let conditions = &run["conditions"];
    format!(
        "{} on {}, {}, {} clock: another machine at another time, hence no ratio",
        word(&run["pytorch"]),
        word(&conditions["processor"]),
        word(&conditions["vector_instructions"]),
        word(&conditions["clock"]),
    )
}

const CONDITIONING: &str = "study_conditioning";
/// The hybrid step over PyTorch's.
const PYTORCH_GOAL: f64 = 0.7;
/// The hybrid step over the plain one.
const PLAIN_GOAL: f64 = 1.05;
/// The conditioning over the hybrid step.
const SHARE_GOAL: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    /// The machine was twice slower in the last round, which ratios do not see.
    #[test]
    fn ratios_are_taken_within_a_round_and_times_over_all_steps() {
        let mut result = TrainingResult::default();
        for slowness in [1.0, 1.0, 2.0] {
            let mut round = Round::default();
            for (variant, ours, theirs) in [
                (Variant::Hybrid, 0.1, 0.25),
                (Variant::PlainConditioned, 0.11, 0.25),
                (Variant::Plain, 0.1, 0.2),
            ] {
                let three = |seconds: f64| vec![seconds * slowness, 9.0, 0.0];
                round.ours(variant, three(ours));
                round.theirs(variant, three(theirs));
            }
            round.conditioning(vec![0.002 * slowness]);
            result.push(round);
        }
        let json = result.to_json();
        let number = |key: &str| json[key].as_f64().expect("a number");
        let near = |key: &str, expected: f64| {
            assert!((number(key) - expected).abs() < 1e-9, "{key}: {json}");
        };
        near("step_ms_hybrid", 100.0);
        near("pytorch_step_ms_plain", 200.0);
        near("ratio_hybrid", 0.4);
        near("ratio_plain", 0.5);
        near("ratio_hybrid_to_plain", 1.0);
        near("study_conditioning_ms", 2.0);
        near("study_conditioning_share", 0.02);
        let table = result.table();
        for part in ["0.40x  0.7x reached", "1.05x reached", "0.05x reached"] {
            assert!(table.contains(part), "{part} is not in:\n{table}");
        }
    }

    #[test]
    fn what_was_recorded_is_a_run_with_pytorch() {
        let run = recorded();
        for variant in Variant::ALL {
            let key = format!("pytorch_step_ms_{}", variant.stem());
            assert!(
                run[&key].as_f64().is_some_and(|number| number > 0.0),
                "{key}"
            );
        }
        let words = recorded_in_words();
        assert!(
            words.starts_with("PyTorch 2.11") && !words.contains('?'),
            "{words}"
        );
    }
}
