//! The findings of a reproduction as sentences.

use model::metrics::{Interval, Scores};
use protocol::{counted::counted, labels::LabelScheme, training_job::SplitKind};

use crate::made::last_name;

use super::{
    baselines::Reachable,
    configuration::Configuration,
    reference_comparison::ReferenceComparison,
    results::Results,
    scored::{Difference, Estimate},
};

/// What the numbers may be compared with.
pub fn notice(configuration: &Configuration) -> String {
    if configuration.is_phantom() {
        "Phantom numbers are not MRI results: the patients are made from a seed, and what is reached on them says nothing about \
         patients, nor whether the study's figures are right. They may be compared with each other: networks, training sets, \
         splits."
            .to_owned()
    } else {
        format!(
            "The patients are those of {}. The study's figures stand beside ours as it printed them; they are comparable only if \
             these are its patients, its three kinds of scans, its labels and its split by slice.",
            last_name(&configuration.data)
        )
    }
}

/// What was run.
pub fn conditions(configuration: &Configuration) -> String {
    let data = match (configuration.patients, configuration.slices) {
        (Some(patients), Some(slices)) => {
            let patients = counted(patients, ["patient", "patients"]);
            let slices = counted(slices, ["slice", "slices"]);
            let kind = configuration.phantom.unwrap_or_default();
            format!("a phantom ({kind}) of {patients}, {slices} a scan")
        }
        _ => last_name(&configuration.data),
    };
    let labels = match configuration.labels {
        LabelScheme::AsWritten => "as-written (binary above 2.0; up to 2.0, up to 4.0, above)",
        LabelScheme::AsCounted => "as-counted (binary above 4.0; below 2.0, up to 3.5, from 4.0)",
    };
    let scans = (configuration.contrasts.iter())
        .map(|contrast| contrast.name())
        .collect::<Vec<_>>()
        .join(", ");
    format!(
        "Data: {data}. Scans: {scans}. Labels: {labels}. Repetitions: {}. Up to {}, ended after {} without a lower validation \
         loss. CKKS profile: {}. Networks on: {}.",
        configuration.seeds,
        counted(configuration.epochs, ["epoch", "epochs"]),
        configuration.early_stop,
        configuration.profile,
        configuration.device
    )
}

/// How many of the study's figures lie where, then a sentence for each row that the study has.
pub fn differences(results: &Results) -> Vec<String> {
    let mut sentences = Vec::new();
    let (mut below, mut within, mut above, mut unclear) = (0, 0, 0, 0);
    for row in &results.rows {
        let Some(study) = row.study else { continue };
        let figures = [
            ("accuracy", ACCURACY, study.accuracy),
            ("precision", PRECISION, study.precision),
            ("recall", RECALL, study.recall),
            ("F1", F1, study.f1),
        ];
        let mut differing = Vec::new();
        let mut wide = Vec::new();
        let mut in_it = 0;
        for (name, place, theirs) in figures {
            let ours = Scores::ALL[place](&row.scored.slice.scores);
            let (Some(ours), Some([low, high])) = (ours, row.scored.slice.intervals[place]) else {
                continue;
            };
            // The study's figures have two places.
            if theirs > high + HALF_A_PLACE {
                below += 1;
                differing.push(format!("{name} {ours:.2} is below {theirs:.2}"));
            } else if theirs < low - HALF_A_PLACE {
                above += 1;
                differing.push(format!("{name} {ours:.2} is above {theirs:.2}"));
            } else if high - low > WIDEST {
                unclear += 1;
                wide.push(name);
            } else {
                (within, in_it) = (within + 1, in_it + 1);
            }
        }
        let key = &row.key;
        let name = format!(
            "{}, {}, {}, split by {}{}",
            key.task,
            key.balance,
            key.network(),
            key.split,
            leak_mark(key.split)
        );
        let mut parts = vec![];
        if !differing.is_empty() {
            parts.push(format!("of ours, {}", differing.join(", ")));
        }
        if !wide.is_empty() {
            parts.push(format!(
                "{} cannot be compared, as our intervals are too wide",
                wide.join(", ")
            ));
        }
        if in_it > 0 {
            let others = if parts.is_empty() {
                "figures"
            } else {
                "others"
            };
            parts.push(format!("the study's {others} lie within our intervals"));
        }
        sentences.push(format!("{name}: {}.", parts.join("; ")));
    }
    let unclear_ones = if unclear > 0 {
        format!("; of {unclear} nothing can be told, as our intervals are wider than {WIDEST}")
    } else {
        String::new()
    };
    sentences.insert(
        0,
        format!(
            "Of {} figures of the study, {within} lie within our intervals; {below} of ours lie below the study's and {above} above{unclear_ones}.",
            below + within + above + unclear
        ),
    );
    sentences
}

/// Beside every number of a split that leaks.
pub fn leak_mark(split: SplitKind) -> String {
    match split {
        SplitKind::Slice => format!(" {LEAK}"),
        SplitKind::Patient => String::new(),
    }
}

/// What splitting by slice changes.
pub fn of_leak(leak: &Difference) -> String {
    let difference = &leak.estimate;
    format!(
        "{}: split by slice instead of by patient, accuracy changes by {}, macro F1 by {}, AUROC by {}, over all training sets{}.",
        leak.of,
        signed(difference, ACCURACY),
        signed(difference, F1),
        signed(difference, AUROC),
        verdict(difference, ACCURACY, "accuracy")
    )
}

/// What the clinical features change.
pub fn of_conditioning(worth: &Difference) -> String {
    let difference = &worth.estimate;
    format!(
        "{}: with the clinical features instead of without (plain), accuracy changes by {}, macro F1 by {}, AUROC by {}, \
         over all training sets; by patient, accuracy by {}, AUROC by {}{}.",
        worth.of,
        signed(difference, ACCURACY),
        signed(difference, F1),
        signed(difference, AUROC),
        signed(&worth.patient, ACCURACY),
        signed(&worth.patient, AUROC),
        verdict(&worth.patient, AUROC, "AUROC by patient")
    )
}

/// What a network has over a regression of the clinical features.
pub fn over_features_alone(worth: &Difference) -> String {
    let by_patient = &worth.patient;
    format!(
        "{}: instead of the clinical features alone, accuracy by patient changes by {}, macro F1 by {}, AUROC by {}, over all training \
         sets{}.",
        worth.of,
        signed(by_patient, ACCURACY),
        signed(by_patient, F1),
        signed(by_patient, AUROC),
        verdict(by_patient, AUROC, "AUROC by patient")
    )
}

/// What no classifier can better on a phantom.
pub fn of_reachable(reachable: &Reachable) -> String {
    let best = |auroc: Option<f64>| {
        auroc.map_or_else(|| "undefined".to_owned(), |auroc| format!("{auroc:.2}"))
    };
    format!(
        "On patients such as this phantom's the best AUROC by patient that any classifier can reach is {} by images and clinical \
         features, {} by images alone, {} by clinical features alone, where lesion volume and age are all that images tell, and exactly. \
         Of a few patients a number can lie above it by chance.",
        best(reachable.both),
        best(reachable.images),
        best(reachable.features)
    )
}

/// Whether the encryption changes anything.
pub fn of_reference(reference: &ReferenceComparison) -> String {
    let ReferenceComparison {
        pairs,
        identical,
        same_classes,
        largest_accuracy_difference,
        largest_mean_accuracy_difference,
        values,
        values_that_differ,
        max_abs_error,
    } = reference;
    format!(
        "Of {pairs} pairs of a hybrid network and its plaintext reference, with the same seed, {identical} give every test slice \
         the same probabilities and {same_classes} the same classes; accuracies differ by at most {largest_mean_accuracy_difference:.3} in the tables, {largest_accuracy_difference:.3} \
         in a single repetition. \
         The largest error of a decrypted product against plaintext was {max_abs_error:.1e} before they were rounded to multiples of 2^-12 and \
         clipped; {values_that_differ} of {values} values of filters were rounded to the other side."
    )
}

/// What the interval of a difference allows to say.
fn verdict(difference: &Estimate, place: usize, name: &str) -> String {
    match difference.intervals[place] {
        Some([low, _]) if low > 0.0 => format!(": for {name}, a gain"),
        Some([_, high]) if high < 0.0 => format!(": for {name}, a loss"),
        _ => format!(": for {name}, no difference can be shown"),
    }
}

/// `0.82 [0.75, 0.88]`
pub fn with_interval(estimate: &Estimate, place: usize) -> String {
    let Some(score) = Scores::ALL[place](&estimate.scores) else {
        return "undefined".to_owned();
    };
    format!("{score:.2}{}", interval(estimate.intervals[place], ""))
}

/// `+0.12 [+0.02, +0.20]`
fn signed(estimate: &Estimate, place: usize) -> String {
    let Some(score) = Scores::ALL[place](&estimate.scores) else {
        return "undefined".to_owned();
    };
    format!("{score:+.2}{}", interval(estimate.intervals[place], "+"))
}

fn interval(interval: Option<Interval>, sign: &str) -> String {
    match interval {
        Some([low, high]) if sign == "+" => format!(" [{low:+.2}, {high:+.2}]"),
        Some([low, high]) => format!(" [{low:.2}, {high:.2}]"),
        None => String::new(),
    }
}

/// Beside every number of a split that leaks.
pub const LEAK: &str = "(leaks)";
const HALF_A_PLACE: f64 = 0.005;
/// An interval that is wider holds nearly any figure: that a figure lies in it says nothing.
const WIDEST: f64 = 0.2;
/// Place in [`Scores::ALL`].
pub const ACCURACY: usize = 0;
/// Place in [`Scores::ALL`].
pub const PRECISION: usize = 2;
/// Place in [`Scores::ALL`].
pub const RECALL: usize = 3;
/// Place in [`Scores::ALL`].
pub const F1: usize = 4;
/// Place in [`Scores::ALL`].
pub const AUROC: usize = 5;

#[cfg(test)]
mod tests {
    use model_data::Contrast;

    use super::*;
    use crate::reproduce::results::tests::{cells, configuration, results};

    #[test]
    fn every_figure_of_the_study_lies_below_within_or_above() {
        let configuration = configuration();
        let results = results(&configuration, &cells(&configuration));
        let sentences = differences(&results);
        // Hybrid and plain, two training sets, two splits.
        assert_eq!(sentences.len(), 1 + 8);
        let numbers: Vec<usize> = sentences[0]
            .split(|letter: char| !letter.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        let [all, within, below, above, unclear, ..] = numbers[..] else {
            panic!("{}", sentences[0]);
        };
        assert_eq!((all, within + below + above + unclear), (32, 32));
        assert!(unclear > 0 && above > 0, "{}", sentences[0]);
        assert_eq!(
            sentences[1],
            "binary, original, hybrid, split by patient: of ours, precision 0.92 is above 0.32, recall 0.90 is above 0.33, F1 0.90 is \
             above 0.31; accuracy cannot be compared, as our intervals are too wide."
        );
        let by_slice = sentences
            .iter()
            .find(|line| line.contains("split by slice"));
        assert!(by_slice.expect("one").contains("slice (leaks):"));
    }

    #[test]
    fn a_network_is_set_beside_the_features_alone_and_beside_what_can_be_reached() {
        let configuration = configuration();
        let results = results(&configuration, &cells(&configuration));
        assert_eq!(
            over_features_alone(&results.over_features_alone[2]),
            "binary, plain, split by patient: instead of the clinical features alone, accuracy by patient changes by +0.00 [+0.00, +0.00], \
             macro F1 by +0.00 [+0.00, +0.00], AUROC by +0.00 [+0.00, +0.00], over all training sets: for AUROC by patient, no difference \
             can be shown."
        );
        let best = of_reachable(&results.reachable[0]);
        for part in ["0.95 by images and", "0.88 by images alone", "undefined by"] {
            assert!(best.contains(part), "{best}");
        }
    }

    #[test]
    fn the_conditions_name_what_was_read_and_where_it_was_computed() {
        let configuration = Configuration {
            contrasts: vec![Contrast::T1, Contrast::Flair],
            device: "cuda:1".to_owned(),
            ..configuration()
        };
        let conditions = conditions(&configuration);
        for part in ["Scans: t1, flair.", "Networks on: cuda:1."] {
            assert!(conditions.contains(part), "{conditions}");
        }
    }

    #[test]
    fn an_interval_on_one_side_of_zero_is_a_gain_or_a_loss() {
        let estimate = |interval| Estimate {
            scores: Scores {
                accuracy: Some(0.1),
                ..Scores::default()
            },
            intervals: [interval, None, None, None, None, None],
        };
        let said = |interval| verdict(&estimate(interval), ACCURACY, "accuracy");
        assert_eq!(said(Some([0.01, 0.2])), ": for accuracy, a gain");
        assert_eq!(said(Some([-0.2, -0.1])), ": for accuracy, a loss");
        for open in [Some([0.0, 0.2]), Some([-0.1, 0.2]), None] {
            assert!(said(open).contains("no difference can be shown"));
        }
        let shown = signed(&estimate(Some([-0.1, 0.2])), ACCURACY);
        assert_eq!(shown, "+0.10 [-0.10, +0.20]");
        assert_eq!(with_interval(&estimate(None), ACCURACY), "0.10");
        assert_eq!(with_interval(&estimate(None), AUROC), "undefined");
    }
}
