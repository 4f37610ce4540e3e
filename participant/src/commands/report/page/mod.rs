//! The page of a run for one hospital. It asks nothing of any network, and tells no path of this machine.

mod learning;
mod test_patients;

use std::fmt::Write as _;

use host::moment;
use participant::{learning_history::LearningHistory, predict::KeptModel};
use protocol::HospitalId;
use report::{
    page::{page, program_rows},
    pictures::{PictureError, escape},
};

use super::{Shown, own::OwnPart};
use crate::commands::{applied_model::vouched, page_file::PageKind};

/// What it is made of.
pub struct Page<'a> {
    /// The hospital that the page is for.
    pub hospital: HospitalId,
    /// The one that is reported on.
    pub model: &'a KeptModel,
    /// Whether it is that of the best round, and not of the last.
    pub is_best: bool,
    /// Whether the run went to its end.
    pub is_over: bool,
    /// What was learnt in each round; none where its file cannot be read.
    pub history: Option<&'a LearningHistory>,
    /// None where the data are split by slice.
    pub own: &'a Option<OwnPart>,
    /// What the reader may see.
    pub shown: Shown,
}

impl Page<'_> {
    /// The page.
    ///
    /// # Errors
    /// A picture that cannot be drawn.
    pub fn html(&self) -> Result<String, PictureError> {
        let sections = [
            self.headline(),
            self.test()?,
            self.learning()?,
            self.where_it_looks()?,
            self.data(),
            PROTECTION.to_owned(),
            self.how_it_was_made(),
        ];
        Ok(page(PageKind::Report.title(), &sections.concat()))
    }

    fn classes(&self) -> Vec<&str> {
        let classes = self.model.output.classes.iter();
        classes.map(String::as_str).collect()
    }

    fn run(&self) -> String {
        let run = self.model.card.run.map(hex::encode).unwrap_or_default();
        run.chars().take(16).collect()
    }

    fn headline(&self) -> String {
        let card = &self.model.card;
        let images = self
            .own
            .as_ref()
            .is_some_and(|own| !own.pictures.is_empty());
        let what = if images {
            "images of patients, and "
        } else {
            ""
        };
        let names = if self.shown.ids {
            "It names patients."
        } else {
            "It names no patient."
        };
        let unfinished = if self.is_over {
            ""
        } else {
            "<p class=\"warning\">The run was not over when this page was made.</p>"
        };
        let which = if self.is_best {
            "the best round of the run"
        } else {
            "the last one that this hospital has of the run"
        };
        format!(
            "<h1>Hospital {}: the run {}</h1><p class=\"warning\"><strong>For this hospital alone:</strong> this page shows {what}what a \
             model says of patients. Give it to nobody who may not see that. {names}</p><p class=\"warning\">For research. Not a medical \
             device, not for diagnosis.</p>{unfinished}<p>These results are of the common model of round {}, {which}.</p>",
            self.hospital,
            escape(&self.run()),
            card.learning_round
        )
    }

    fn data(&self) -> String {
        let card = &self.model.card;
        let mut section = "<h2>Data and training</h2><table class=\"words\">".to_owned();
        let mut row = |name: &str, value: String| {
            let _ = write!(
                section,
                "<tr><th>{name}</th><td>{}</td></tr>",
                escape(&value)
            );
        };
        if let Some(own) = self.own {
            let all: u64 = own.patients.iter().sum();
            let by_class: Vec<String> = { own.patients.iter().zip(self.classes()) }
                .map(|(count, class)| format!("{count} {class}"))
                .collect();
            row(
                "patients here",
                format!("{all} with usable scans: {}", by_class.join(", ")),
            );
            row("test patients here", own.test.len().to_string());
            row("scans", own.contrasts.join(", "));
            row("slices of each scan", own.slice_choice.clone());
        }
        if let Some(data) = self
            .history
            .and_then(|history| history.data.as_ref())
            .filter(|data| !data.scanners.is_empty())
        {
            row("scanners here", data.scanners.join("; "));
        }
        let output = &self.model.output;
        let cuts: Vec<String> = output.edss_cuts.iter().map(f64::to_string).collect();
        row(
            "classes",
            format!(
                "{}, by EDSS above {}",
                output.classes.join(", "),
                cuts.join(" and ")
            ),
        );
        row("conditioning", self.model.conditioning.to_string());
        if let Some(strategy) = &card.strategy {
            row("strategy", strategy.clone());
        }
        if let Some(contributors) = &card.contributors {
            row(
                "hospitals in this round's update",
                contributors.len().to_string(),
            );
        }
        section + "</table>"
    }

    fn how_it_was_made(&self) -> String {
        let card = &self.model.card;
        format!(
            "<h2>How this was made</h2><table class=\"words\"><tr><th>when</th><td>{}</td></tr><tr><th>model saved on</th><td>{}</td></tr>\
             <tr><th>origin of the model</th><td>{}</td></tr>{}</table><footer><p>Run \
             <code>{}</code>. Model hash <code>{}</code>. The model and its card are in the folder of the run in the state folder of this \
             hospital; <code>participant predict</code> applies it to other scans, <code>participant ledger</code> shows what has left the \
             hospital.</p></footer>",
            moment::now(),
            escape(card.date.as_deref().unwrap_or("unknown")),
            vouched(self.model.provenance),
            program_rows(version::VERSION),
            card.run.map(hex::encode).unwrap_or_default(),
            hex::encode(card.model_hash)
        )
    }
}

const PROTECTION: &str = "<h2>What others know</h2>\
<p>Other hospitals know only the sums over all hospitals (the curves called \u{201c}all\u{201d}) and the common model. The coordinator \
knows neither an update nor the sum of them. What can be guessed from several models in a row is in docs/THREATS.md.</p>";
