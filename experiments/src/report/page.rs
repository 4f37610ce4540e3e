//! `report.html`: one page with everything inside it, that asks nothing of any network.

use std::fmt::Write as _;

use ::report::{
    clinical,
    page::{page, side_by_side},
    pictures::{Picture, PictureError, escape},
};

use model::metrics::PAST_THE_HEAD;
use protocol::counted::counted;

use super::RunPictures;
use crate::simulation::{Summary, TestResult, Validation, leak_warning, sums_in_words};

/// The page.
///
/// # Errors
/// An image that cannot be encoded.
pub fn html(
    summary: &Summary,
    classes: &[&str],
    pictures: &RunPictures,
    test: &TestResult,
    warnings: &[String],
) -> Result<String, PictureError> {
    let sections = [
        headline(summary),
        results(summary, pictures)?,
        who_is_found(summary, classes, pictures, test)?,
        curves(summary, &pictures.learning)?,
        slices(pictures)?,
        costs(summary, pictures.round.as_ref())?,
        data(summary, classes, warnings),
        PROTECTION.to_owned(),
        footer(summary),
    ];
    let title = format!("Federated training: seed {}", summary.seed);
    Ok(page(&title, &sections.join("\n")))
}

fn headline(summary: &Summary) -> String {
    let insecure = if summary.updates == "plain" {
        "<p class=\"warning\"><strong>INSECURE:</strong> updates were averaged without encryption, for comparison only.</p>"
    } else {
        ""
    };
    let leak = if summary.split == "slice" {
        "<p class=\"warning\"><strong>Split by slice:</strong> slices of one patient are on both sides of the cut into training and \
         test, so every number below is better than it would be for new patients.</p>"
    } else {
        ""
    };
    let images = if summary.data == "phantom" {
        ""
    } else {
        "<p class=\"warning\"><strong>This page holds images of patients:</strong> give it to nobody who may not see them. It names no \
         patient.</p>"
    };
    format!(
        "<h1>Federated training of the hybrid CNN</h1>{images}<p>{} hospitals, {}, task {}, labels {}, data {}, partition {}, strategy {}, seed {}.</p>{insecure}{leak}\
         <p class=\"warning\">For research. Not a medical device, not for diagnosis.</p>",
        summary.hospitals,
        counted(summary.rounds, ["round", "rounds"]),
        summary.task,
        summary.labels,
        escape(&summary.data),
        summary.partition,
        summary.strategy,
        summary.seed
    )
}

fn results(summary: &Summary, pictures: &RunPictures) -> Result<String, PictureError> {
    let mut section = "<h2>On the pooled test sets</h2>".to_owned();
    let leak = leak_warning(summary);
    if let Some(warning) = &summary.small_test {
        let _ = write!(
            section,
            "<p class=\"warning\"><strong>{}.</strong></p>",
            escape(warning)
        );
        section += &side_by_side(&pictures.confusion)?;
        return Ok(section);
    }
    section += "<table><tr><th></th><th>accuracy</th><th>largest class</th><th>macro F1</th><th>AUROC</th><th>number</th></tr>";
    let with_interval = |value: f64, interval: Option<[f64; 2]>| {
        interval.map_or_else(
            || format!("{value:.3}{leak}"),
            |[low, high]| format!("{value:.3} ({low:.2} to {high:.2}){leak}"),
        )
    };
    for (name, scores) in [
        ("by patient", &summary.test.patient),
        ("by slice", &summary.test.slice),
    ] {
        let auroc = scores.auroc.map_or_else(
            || "undefined".to_owned(),
            |auroc| with_interval(auroc, scores.auroc_ci95),
        );
        let _ = write!(
            section,
            "<tr><th>{name}</th><td>{}</td><td>{:.3}</td><td>{}</td><td>{auroc}</td><td>{}</td></tr>",
            with_interval(scores.accuracy, scores.accuracy_ci95),
            scores.majority,
            with_interval(scores.f1_macro, scores.f1_macro_ci95),
            scores.count
        );
    }
    section += "</table><p class=\"note\">In brackets and as bands: 95% of bootstrap draws of patients. \u{201c}Largest class\u{201d} is what \
         guessing it for everybody would reach.</p>";
    section += &side_by_side(&pictures.confusion)?;
    Ok(section + &side_by_side(&pictures.roc)?)
}

/// Nothing where the test is too small for it.
fn who_is_found(
    summary: &Summary,
    classes: &[&str],
    pictures: &RunPictures,
    test: &TestResult,
) -> Result<String, PictureError> {
    if summary.small_test.is_some() {
        return Ok(String::new());
    }
    let mut section = format!("<h2>Who is found{}</h2>", leak_warning(summary));
    section += &clinical::tables(&test.scored(), classes);
    Ok(section + &side_by_side(&pictures.clinical)?)
}

fn curves(summary: &Summary, pictures: &[Picture]) -> Result<String, PictureError> {
    let mut section = format!("<h2>Learning{}</h2>", leak_warning(summary));
    section += &side_by_side(pictures)?;
    section += "<table><tr><th>round</th><th>contributors</th><th>training loss</th><th>validation loss</th><th>validation slices that are right</th></tr>";
    let number =
        |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:.3}"));
    for round in &summary.history {
        let contributors = round
            .contributors
            .iter()
            .map(u8::to_string)
            .collect::<Vec<_>>()
            .join(" ");
        let validation = round.validation.as_ref();
        let _ = write!(
            section,
            "<tr><th>{}</th><td>{contributors}</td><td>{}</td><td>{}</td><td>{}{}</td></tr>",
            round.round,
            number(round.train_loss),
            number(validation.map(|validation| validation.loss)),
            validation.map_or_else(
                || "none".to_owned(),
                |validation| right(validation, summary.small_test.is_some())
            ),
            leak_warning(summary)
        );
    }
    section += "</table>";
    let mut validations = summary
        .history
        .iter()
        .filter_map(|round| round.validation.as_ref());
    if validations.any(Validation::is_of_one_class) {
        section += "<p class=\"warning\">Validation slices of one class alone: a model that always says this class is right each time.</p>";
    } else if summary.small_test.is_some() {
        section += "<p class=\"note\">The validation patients are about as few as the test patients: how many of their slices are right \
                    says as little.</p>";
    }
    if let Some(best) = &summary.best {
        let _ = write!(
            section,
            "<p>Each hospital keeps as the best model that of {}; in this folder {}. The results of the test are of the last round's.</p>",
            best.in_words(),
            summary.where_best_is()
        );
    }
    if summary.ended_early() {
        let _ = write!(
            section,
            "<p>The run ended after round {} of {}: its evaluations brought no gain any more.</p>",
            summary.history.len(),
            summary.rounds
        );
    }
    Ok(section)
}

/// The share only where there are patients enough for one.
fn right(validation: &Validation, are_few: bool) -> String {
    let (right, all) = validation.right_of_all();
    if are_few || validation.is_of_one_class() {
        format!("{right} of {all}")
    } else {
        format!("{:.3} ({right} of {all})", validation.accuracy)
    }
}

fn slices(pictures: &RunPictures) -> Result<String, PictureError> {
    let past_the_head = { pictures.past_the_head.as_ref() }.map(|told| {
        format!("<p class=\"warning\">Of the slices shown here, {told}. {PAST_THE_HEAD}</p>")
    });
    Ok(format!(
        "<h2>Where the model looks</h2>{}{}<p class=\"note\">Beside each slice, where in it the evidence for the predicted class lies. \
         Every map has a scale of its own: heat cannot be compared between slices. The front of the head is up, the patient's \
         right side is on the left.</p>",
        past_the_head.unwrap_or_default(),
        pictures.slices.inline()?
    ))
}

fn costs(summary: &Summary, round: Option<&Picture>) -> Result<String, PictureError> {
    let mut section = "<h2>Bytes and seconds</h2><table>".to_owned();
    for (name, bytes) in [("sent", &summary.upload), ("received", &summary.download)] {
        if let (Some(bytes), Some(ratio)) = (bytes.bytes_per_hospital_round, bytes.ratio_to_f32) {
            let _ = write!(
                section,
                "<tr><th>{name}, per hospital and round</th><td>{:.2} MB</td><td>{ratio:.3} of the model in f32</td></tr>",
                bytes / 1e6
            );
        }
    }
    section += "</table><table><tr><th>phase</th><th>seconds, over all hospitals</th></tr>";
    let seconds = &summary.seconds;
    for (phase, seconds) in [
        ("training", seconds.training),
        ("sealing", seconds.sealing),
        ("adding (coordinator)", seconds.adding),
        ("opening", seconds.opening),
        ("conditioning", seconds.conditioning),
        ("transport", seconds.transport),
        ("from start to end", seconds.total),
    ] {
        let _ = write!(section, "<tr><th>{phase}</th><td>{seconds:.1}</td></tr>");
    }
    section += "</table>";
    if let Some(round) = round {
        section += "<h3>A round</h3>";
        section += &round.inline()?;
        section += "<p class=\"note\">The round of an update that took the median time, up to the beginning of the next one; training includes \
                    evaluation. All parties share the processors of one machine. <code>--trace FILE</code> writes every step of \
                    every round.</p>";
    }
    if let Some(words) = sums_in_words(summary) {
        let _ = write!(
            section,
            "<p>The sums that the hospitals opened, compared with sums computed outside the protocol: {words}.</p>"
        );
    }
    if let Some(error) = summary.conditioning.max_abs_error {
        let _ = write!(
            section,
            "<p>The largest error of an encrypted product against plaintext is {error:.1e}.</p>"
        );
    }
    if let Some(equal) = summary.agreement.model_hashes_equal {
        let _ = write!(
            section,
            "<p>All hospitals end with the same model: {}.</p>",
            if equal { "yes" } else { "<strong>no</strong>" }
        );
    }
    Ok(section)
}

fn data(summary: &Summary, classes: &[&str], warnings: &[String]) -> String {
    let mut section = "<h2>Data</h2>".to_owned();
    if summary.data == "phantom" {
        section += "<p>A phantom: heads and lesions are generated from a seed. Results on it say nothing about real patients.</p>";
    }
    let _ = write!(
        section,
        "<table><caption>Patients by hospital (partition {})</caption><tr><th>hospital</th>",
        summary.partition
    );
    for class in classes {
        let _ = write!(section, "<th>{class}</th>");
    }
    section += "<th>all</th></tr>";
    for (hospital, counts) in (1..).zip(&summary.patients_by_hospital) {
        let _ = write!(section, "<tr><th>{hospital}</th>");
        for count in counts {
            let _ = write!(section, "<td>{count}</td>");
        }
        let _ = write!(section, "<td>{}</td></tr>", counts.iter().sum::<usize>());
    }
    section += "</table>";
    let _ = write!(
        section,
        "<p>Slices of each scan: {}. Scans: {}.</p>",
        summary.slice_choice,
        summary.contrasts.join(", ")
    );
    if !warnings.is_empty() {
        section += "<ul>";
        for warning in warnings {
            let _ = write!(section, "<li>{}</li>", escape(warning));
        }
        section += "</ul>";
    }
    section
}

fn footer(summary: &Summary) -> String {
    summary.made.section()
        + &format!(
            "<footer><p>Model hash <code>{}</code>. The model is in model.safetensors, its card in model.json, the pictures in the folder \
             pictures, all numbers in summary.json and metrics.jsonl, what was said of each test patient in test-predictions.csv, the \
             signed chain of rounds in transcript.jsonl.</p></footer>",
            summary.agreement.model_hash
        )
}

const PROTECTION: &str = "<h2>What is protected from whom</h2>\
<p>With sealed updates, the coordinator sees no update, not even their sum, and no hospital sees another's; every hospital sees the \
sums and the common model, and successive models tell approximately what a hospital that was left out in one of them would have \
added. With encrypted conditioning, clinical features stay hidden from the coordinator and the other hospitals; a hospital's own \
trainer sees filters that are as confidential as the features they were made from. In a simulation one process plays everybody, \
so nothing is hidden from whoever runs it. <code>experiments audit</code> attacks these \
claims, and measures what each part gives away.</p>";
