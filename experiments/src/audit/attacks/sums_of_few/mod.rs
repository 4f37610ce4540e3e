//! Attack 6: what one hospital of few gives to a sum that all of them learn: batch-norm buffers, statistics, evaluation.

mod counters;
mod scanners;

use self::{
    counters::{CounterErrors, counter_errors},
    scanners::Federation,
};
use super::super::{
    effort::Effort,
    finding::{Finding, Measured, Verdict},
};
use crate::simulation::Progress;

/// Runs it.
///
/// # Errors
/// A federation that cannot be trained, a sum that cannot be sealed.
pub fn run(effort: Effort, seed: u64, progress: &Progress) -> anyhow::Result<Finding> {
    let federation = Federation::train(effort, seed, progress)?;
    // Subtraction is exact. How well buffers name a scanner is up to the classifier: it has to be better than a guess, by the 95%
    // interval over hospitals.
    let pair = "n = 2";
    let scanner = Measured::share(pair, NAMED, federation.named_of_two());
    let scanner = scanner.against(federation.chance());
    let is_no_guess = (scanner.interval).is_some_and(|[low, _]| low > federation.chance());
    let errors = counter_errors(2, effort, seed, progress)?;
    let control_won = is_no_guess && errors.are_none();
    let mut control = vec![scanner];
    control.extend(errors.measured(pair));
    let mut claim = Vec::new();
    for contributors in [3, 10] {
        let setting = format!("n = {contributors}");
        let named = federation.named(contributors, effort.of(300, 3_000), seed);
        claim.push(Measured::value(&setting, NAMED, named).against(federation.chance()));
        let errors = counter_errors(contributors, effort, seed, progress)?;
        claim.extend(errors.measured(&setting));
    }
    Ok(Finding {
        number: 6,
        attack: "one hospital's part of a sum of few: scanner, class counts, accuracy",
        attacker_holds: "a hospital's view: the opened sums, its own part of each, and batch-norm buffers of each kind of scanner",
        claimed: "with two hospitals, or three of which one is missing, each reads the other's part by subtracting its own; with more, only the sum of the others (section 3)",
        control,
        control_won,
        claim,
        verdict: Verdict::LeaksAsStated,
        explanation: "Counters go through real sealed sums, which are opened; the attacker takes its own part away, and an equal share of \
                what is left for another hospital's. Batch-norm buffers are those of a round of training, in which every hospital has \
                one of the phantom's three scanners; a linear discriminant of known hospitals names it, and a better classifier may name \
                more. Chance for counters is the error \
                of whoever takes every hospital for the mean of all. With two hospitals everything is exact: that is subtraction, and no \
                system that gives the members a sum can avoid it."
            .to_owned(),
        literature: "batch-norm statistics tell domains apart: Li, Jiang, Zhang, Kamp and Dou 2021 (FedBN); Andreux, du Terrail, Beguier and Tramel 2020",
    })
}

impl CounterErrors {
    fn measured(&self, setting: &str) -> Vec<Measured> {
        let rows = [
            ("class counts off by (mean, slices)", self.class_counts),
            (
                "patients with motor symptoms off by (mean)",
                self.with_symptom,
            ),
            ("validation accuracy off by (mean)", self.accuracy),
        ];
        let measured = rows.map(|(metric, error)| {
            Measured::value(setting, metric, error.found).against(error.guessed)
        });
        measured.into()
    }
}

const NAMED: &str = "scanner of another hospital named";
