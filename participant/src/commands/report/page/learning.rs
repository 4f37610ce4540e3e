//! What the run has taught, round by round: all hospitals, and this one.

use std::fmt::Write as _;

use participant::learning_history::LearntRound;
use report::{
    page::side_by_side,
    pictures::{Curve, LearningChart, Picture, PictureError, Scale, Spread, escape},
};

use super::Page;

impl Page<'_> {
    pub(super) fn learning(&self) -> Result<String, PictureError> {
        let mut section = "<h2>Learning</h2>".to_owned();
        let Some(history) = self.history else {
            section +=
                "<p class=\"warning\">rounds.jsonl of this run is there and cannot be read.</p>";
            return Ok(section);
        };
        if history.damaged > 0 {
            let _ = write!(
                section,
                "<p class=\"warning\">rounds.jsonl of this run is damaged: lines that cannot be read: {}.</p>",
                history.damaged
            );
        }
        let rounds = &history.rounds;
        let Some(last) = rounds.last() else {
            if history.damaged == 0 {
                section += "<p>Nothing was kept of the rounds of this run: it was run by an earlier release, or the disk was full.</p>";
            }
            return Ok(section);
        };
        let of_round = |number: u32| {
            let place = rounds.binary_search_by_key(&number, |round| round.learning_round);
            place.ok().map(|place| &rounds[place])
        };
        let curve = |name, value: &dyn Fn(u32) -> Option<f64>| Curve {
            name,
            points: (1..=last.learning_round)
                .map(|number| Spread::of(&[value(number)?]))
                .collect(),
        };
        let common = |number| of_round(number)?.common;
        let own = |number| of_round(number)?.own;
        let share = |right: u64, slices: u64| (slices > 0).then(|| right as f64 / slices as f64);
        let loss = vec![
            curve("all: training", &|number| common(number)?.training_loss),
            curve("all: validation", &|number| common(number)?.loss),
            curve("here: training", &|number| {
                of_round(number)?.own_training_loss
            }),
            curve("here: validation", &|number| Some(own(number)?.loss)),
        ];
        let accuracy = vec![
            curve("all", &|number| {
                let common = common(number)?;
                share(common.right, common.slices)
            }),
            curve("here", &|number| Some(own(number)?.accuracy)),
        ];
        let charts = [
            ("learning-loss", "Loss (cross-entropy)", Scale::Data, loss),
            (
                "learning-accuracy",
                "Validation slices that are right",
                Scale::Share,
                accuracy,
            ),
        ];
        let pictures: Result<Vec<Picture>, _> = charts
            .into_iter()
            .map(|(name, title, scale, curves)| {
                LearningChart {
                    name,
                    title,
                    step: "round",
                    note: "All: the sum over the hospitals, which is all that anybody learns of the others. Here: this hospital.",
                    scale,
                    curves,
                }
                .picture()
            })
            .collect();
        section += &side_by_side(&pictures?)?;
        section += &table_of(rounds);
        Ok(section)
    }
}

fn table_of(rounds: &[LearntRound]) -> String {
    let mut table = "<table><caption>Rounds</caption><tr><th>round</th><th>hospitals</th><th>validation loss, all</th><th>right, all</th>\
                         <th>validation loss, here</th><th>right, here</th></tr>"
            .to_owned();
    let number = |value: Option<f64>| match value.filter(|value| value.is_finite()) {
        Some(value) if value.abs() >= 1e4 => format!("{value:.2e}"),
        Some(value) => format!("{value:.3}"),
        None => "none".to_owned(),
    };
    let none = || "none".to_owned();
    let mut cautions: Vec<String> = vec![];
    for round in rounds {
        let (common, own) = (round.common, round.own);
        if let Some(common) = common
            && common.classes == 1
        {
            cautions.push(
                    "the validation slices of all hospitals are of one class: a model that always says this class is right each time"
                        .to_owned(),
                );
        }
        cautions.extend(own.and_then(|own| Some(format!("here: {}", own.caution()?))));
        let right = own.map(|own| (own.accuracy * own.slices as f64).round() as u64);
        let _ = write!(
            table,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            round.learning_round,
            common.map_or_else(none, |common| common.hospitals.to_string()),
            number(common.and_then(|common| common.loss)),
            common.map_or_else(none, |common| format!(
                "{} of {}",
                common.right, common.slices
            )),
            number(own.map(|own| own.loss)),
            own.zip(right)
                .map_or_else(none, |(own, right)| format!("{right} of {}", own.slices)),
        );
    }
    table += "</table>";
    cautions.sort_unstable();
    cautions.dedup();
    for caution in cautions {
        let _ = write!(table, "<p class=\"warning\">{}.</p>", escape(&caution));
    }
    table
}
