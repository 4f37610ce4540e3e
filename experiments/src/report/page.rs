//! `report.html`: one page with everything inside it, that asks nothing of any network.

use std::fmt::Write as _;

use super::{
    chart::{Curve, chart},
    picture::data_address,
};
use crate::simulation::{
    Plan, RoundRecord, Scores, ShownSlice, Summary, TestResult, leak_warning, sums_in_words,
};

/// The page.
///
/// # Errors
/// A slice that cannot be drawn.
pub fn html(
    summary: &Summary,
    plan: &Plan,
    test: &TestResult,
    warnings: &[String],
) -> anyhow::Result<String> {
    let task = participant::hospital_data::model_task(plan.run.task);
    let names = task.class_names();
    let sections = [
        headline(summary),
        results(summary, names),
        curves(&summary.history, summary),
        slices(&test.shown, names)?,
        costs(summary),
        data(summary, warnings),
        PROTECTION.to_owned(),
        footer(summary),
    ];
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Federated training: seed {}</title><style>{STYLE}</style></head><body><main>\n{}\n</main></body></html>\n",
        summary.seed,
        sections.join("\n")
    ))
}

fn headline(summary: &Summary) -> String {
    let insecure = if summary.updates == "plain" {
        "<p class=\"warning\"><strong>INSECURE:</strong> updates were averaged in the clear, for comparison only.</p>"
    } else {
        ""
    };
    let leak = if summary.split == "slice" {
        "<p class=\"warning\"><strong>Split by slice:</strong> slices of one patient are on both sides of the cut into training and \
         test, so every number below is better than it would be for new patients.</p>"
    } else {
        ""
    };
    format!(
        "<h1>Federated training of the hybrid CNN</h1><p>{} hospitals, {} rounds, task {}, data {}, seed {}.</p>{insecure}{leak}\
         <p class=\"warning\">For research. Not a medical device, not for diagnosis.</p>",
        summary.hospitals,
        summary.rounds,
        summary.task,
        escape(&summary.data),
        summary.seed
    )
}

fn results(summary: &Summary, names: &[&str]) -> String {
    let mut section = "<h2>On the pooled test sets</h2>".to_owned();
    let leak = leak_warning(summary);
    let _ = write!(
        section,
        "<table><tr><th></th><th>accuracy</th><th>largest class</th><th>macro F1</th><th>AUROC</th><th>number</th></tr>"
    );
    for (name, scores) in [
        ("by patient", &summary.test.patient),
        ("by slice", &summary.test.slice),
    ] {
        let auroc = scores.auroc.map_or_else(
            || "undefined".to_owned(),
            |auroc| format!("{auroc:.3}{leak}"),
        );
        let _ = write!(
            section,
            "<tr><th>{name}</th><td>{:.3}{leak}</td><td>{:.3}</td><td>{:.3}{leak}</td><td>{auroc}</td><td>{}</td></tr>",
            scores.accuracy, scores.majority, scores.f1_macro, scores.count
        );
    }
    section += "</table><p class=\"note\">\u{201c}Largest class\u{201d} is what guessing it for everybody would reach.</p><div class=\"side-by-side\">";
    for (name, scores) in [
        ("Patients", &summary.test.patient),
        ("Slices", &summary.test.slice),
    ] {
        section += &confusion(name, scores, names, leak);
    }
    section + "</div>"
}

/// Rows are what is true, columns what the model says. The shade is the share of the row; the number says the same.
fn confusion(title: &str, scores: &Scores, names: &[&str], leak: &str) -> String {
    let mut table = format!(
        "<table class=\"confusion\"><caption>{title}{leak}: true class by row, predicted by column</caption><tr><th></th>"
    );
    for name in names {
        let _ = write!(table, "<th>{name}</th>");
    }
    table += "</tr>";
    for (name, row) in names.iter().zip(&scores.confusion) {
        let _ = write!(table, "<tr><th>{name}</th>");
        let total = row.iter().sum::<u64>().max(1);
        for count in row {
            let share = *count as f64 / total as f64;
            let _ = write!(
                table,
                "<td style=\"background:rgba(0,0,0,{:.2})\">{count}</td>",
                0.35 * share
            );
        }
        table += "</tr>";
    }
    table + "</table>"
}

fn curves(history: &[RoundRecord], summary: &Summary) -> String {
    let of = |value: fn(&RoundRecord) -> Option<f64>| history.iter().map(value).collect::<Vec<_>>();
    let loss = [
        Curve {
            name: "training loss",
            values: of(|round| round.train_loss),
        },
        Curve {
            name: "validation loss",
            values: of(|round| round.validation.as_ref().map(|validation| validation.loss)),
        },
    ];
    let accuracy = [Curve {
        name: "validation accuracy, by slice",
        values: of(|round| {
            round
                .validation
                .as_ref()
                .map(|validation| validation.accuracy)
        }),
    }];
    let mut section = format!(
        "<h2>Learning{}</h2><div class=\"side-by-side\">",
        leak_warning(summary)
    );
    section += &chart("Loss by round", &loss);
    section += &chart("Accuracy by round", &accuracy);
    section += "</div><table><tr><th>round</th><th>contributors</th><th>training loss</th><th>validation loss</th><th>validation accuracy</th></tr>";
    let number =
        |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:.3}"));
    for round in history {
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
            number(validation.map(|validation| validation.accuracy)),
            leak_warning(summary)
        );
    }
    section + "</table>"
}

/// A few slices of every hospital: right and wrong ones as they come.
fn slices(shown: &[ShownSlice], names: &[&str]) -> anyhow::Result<String> {
    let mut section = "<h2>Some test slices</h2><div class=\"slices\">".to_owned();
    let step = shown.len().div_ceil(MOST_SLICES).max(1);
    for slice in shown.iter().step_by(step) {
        let verdict = if slice.prediction == slice.label {
            "right"
        } else {
            "WRONG"
        };
        let probability = slice
            .probabilities
            .get(slice.prediction)
            .copied()
            .unwrap_or(0.0);
        let _ = write!(
            section,
            "<figure><img width=\"160\" height=\"160\" alt=\"axial slice\" src=\"{}\"><figcaption>hospital {}, patient {}<br>true: {}<br>\
             predicted: {} ({probability:.2}), {verdict}</figcaption></figure>",
            data_address(&slice.slice)?,
            slice.hospital,
            escape(&slice.patient),
            names.get(slice.label).copied().unwrap_or("?"),
            names.get(slice.prediction).copied().unwrap_or("?")
        );
    }
    Ok(section
        + "</div><p class=\"note\">The front of the head is up, the patient's right side is on the left.</p>")
}

fn costs(summary: &Summary) -> String {
    let mut section = "<h2>Bytes and seconds</h2><table>".to_owned();
    for (name, bytes) in [("sent", &summary.upload), ("received", &summary.download)] {
        if let (Some(bytes), Some(ratio)) = (bytes.bytes_per_hospital_round, bytes.ratio_to_f32) {
            let _ = write!(
                section,
                "<tr><th>{name}, a hospital and round</th><td>{:.2} MB</td><td>{ratio:.3} of the model in f32</td></tr>",
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
    if let Some(words) = sums_in_words(summary) {
        let _ = write!(
            section,
            "<p>Sums opened by the hospitals, against sums computed beside the protocol: {words}.</p>"
        );
    }
    if let Some(error) = summary.conditioning.max_abs_error {
        let _ = write!(
            section,
            "<p>Encrypted products are within {error:.1e} of those in the clear.</p>"
        );
    }
    if let Some(equal) = summary.agreement.model_hashes_equal {
        let _ = write!(
            section,
            "<p>All hospitals end with the same model: {}.</p>",
            if equal { "yes" } else { "<strong>no</strong>" }
        );
    }
    section
}

fn data(summary: &Summary, warnings: &[String]) -> String {
    let mut section = "<h2>Data</h2>".to_owned();
    if summary.data == "phantom" {
        section += "<p>A phantom: heads and lesions made up from a seed. What is reached on it says nothing about patients.</p>";
    }
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
    format!(
        "<footer><p>Model hash <code>{}</code>. Version {}. The model is in model.safetensors, its card in model.json, all numbers in \
         summary.json and metrics.jsonl, the signed chain of rounds in transcript.jsonl.</p></footer>",
        summary.agreement.model_hash, summary.code_version
    )
}

/// Names of files and patients are anybody's text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const MOST_SLICES: usize = 12;

const PROTECTION: &str = "<h2>What is protected from whom</h2>\
<p>With sealed updates, the coordinator sees no update, not even their sum, and no hospital sees another's; every hospital sees the \
sums and the common model, and successive models tell approximately what a hospital that was left out in one of them would have \
added. With encrypted conditioning, clinical features stay hidden from the coordinator and the other hospitals; a hospital's own \
trainer sees filters that are as confidential as the features they were made from. In a simulation one process plays everybody, \
so nothing is hidden from whoever runs it.</p>";

/// Of every page.
pub const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;color:#111;background:#fff;margin:0}\
main{max-width:62rem;margin:0 auto;padding:1rem 1.5rem}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem;border-bottom:1px solid #888}\
table{border-collapse:collapse;margin:.6rem 1.5rem .6rem 0}th,td{border:1px solid #888;padding:.2rem .6rem;text-align:right}\
th:first-child{text-align:left}caption{text-align:left;font-weight:600;padding:.2rem 0}\
.side-by-side{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}svg{width:29rem;max-width:100%}\
svg text{font:12px system-ui,sans-serif;fill:#111}svg .title{font-weight:600}svg .grid{stroke:#bbb;stroke-width:1}\
.slices{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;width:160px}figcaption{font-size:.8rem;line-height:1.35}\
.warning{border-left:5px solid #111;padding-left:.7rem}.note{font-size:.85rem}code{word-break:break-all}\
@media print{main{max-width:none}}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_stays_text() {
        assert_eq!(escape("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
