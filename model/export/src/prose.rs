//! What a card says, in Markdown for people: the same text in the model card of Hugging Face and in the MONAI bundle.
//!
//! A card comes from a file that anybody may have written: its texts are shown as text, whatever signs are in them.

use model_data::{
    card::{CardData, CardTraining, ModelCard, Scores},
    small_numbers,
};
use protocol::counted::counted;

use crate::kept_model::{FilterSource, KeptModel, hex_of};

/// The first lines of every text: what the model is not.
pub fn warning(card: &ModelCard) -> String {
    format!("**Not for diagnosis.** {}\n", plain(&card.notice))
}

/// Everything that the card says, by sections of the second level.
pub fn description(model: &KeptModel) -> String {
    let card = &model.card;
    let sections = [
        ("Use", usage(card)),
        ("Input and output", inputs(model)),
        (
            "Data",
            card.data.as_ref().map_or_else(|| UNKNOWN.into(), data),
        ),
        ("Training", training(card)),
        ("Results", results(card, &class_names(model))),
        ("Caveats", caveats(card)),
        ("Which model it is", identity(card)),
    ];
    let section = |(title, text): (&str, String)| format!("## {title}\n\n{}\n", text.trim_end());
    sections.map(section).join("\n")
}

/// Names of the classes in the order of the outputs; numbers where the card has no names.
pub fn class_names(model: &KeptModel) -> Vec<String> {
    let card = &model.card;
    let of_output = card.output.as_ref().map(|output| &output.classes);
    let of_data = card.data.as_ref().map(|data| &data.classes);
    let fits = |names: &&Vec<String>| names.len() == model.classes as usize;
    let named = [of_output, of_data].into_iter().flatten().find(fits);
    let numbers = || (0..model.classes).map(|class| class.to_string()).collect();
    named.cloned().unwrap_or_else(numbers)
}

/// Under what the weights may be used, in a sentence.
pub fn licence(card: &ModelCard) -> String {
    card.licence.as_ref().map_or_else(
        || "The licence of the weights is unknown: the card does not say. Ask whoever trained the model.".into(),
        |licence| format!("The weights are under this licence: {}.", plain(licence)),
    )
}

/// A text as one line, in which no sign means anything to Markdown or HTML.
pub fn plain(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut escaped = String::with_capacity(line.len());
    for sign in line.chars().filter(|sign| !sign.is_control()) {
        match sign {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!' => {
                escaped.push('\\');
                escaped.push(sign);
            }
            _ => escaped.push(sign),
        }
    }
    escaped
}

fn usage(card: &ModelCard) -> String {
    list(&[
        format!("Meant for: {}.", plain(&card.intended_use)),
        format!("Not for: {}.", plain(&card.not_for)),
    ])
}

fn inputs(model: &KeptModel) -> String {
    let card = &model.card;
    let mut lines = vec![format!("`slices`: {}", plain(&card.input.slices))];
    if model.filters == FilterSource::Features {
        let features = card.input.features.as_ref();
        let names = features.map_or_else(|| UNKNOWN.into(), |names| plain(&names.join(", ")));
        let scaling = card.input.feature_scaling.as_deref();
        let scaling = scaling.map_or_else(|| UNKNOWN.into(), plain);
        let count = card.input.feature_count();
        lines.push(format!("`features`: float32 \\[batch, {count}\\], one row a slice, of its patient, in this order: {names}. Scaling: {scaling}."));
        lines.extend(statistics(card));
    }
    let classes = plain(&class_names(model).join(", "));
    lines.push(format!(
        "`logits` and `probabilities`: float32 \\[batch, {}\\], in this order: {classes}.",
        model.classes
    ));
    if let Some(output) = &card.output {
        lines.push(format!(
            "Classes by EDSS: a score above {} belongs to the class behind it ({} labels).",
            numbers(&output.edss_cuts),
            output.labels
        ));
    }
    list(&lines)
}

/// What a feature's value becomes, and what stands for one that is missing.
fn statistics(card: &ModelCard) -> Option<String> {
    let features = card.input.feature_statistics.as_ref()?;
    let told = features.iter().map(|feature| {
        let name = plain(&feature.name);
        let (from, to, mean) = (feature.from, feature.to, feature.mean);
        format!("{name} from {from} to {to}, mean {mean}")
    });
    let told: Vec<String> = told.collect();
    Some(format!(
        "Range of each feature, and the mean that stands for a missing value: {}.",
        told.join("; ")
    ))
}

fn data(data: &CardData) -> String {
    let contrasts: Vec<_> = data.contrasts.iter().map(ToString::to_string).collect();
    list(&[
        format!(
            "Source: {}; {} over all hospitals.",
            plain(&data.source),
            counted(data.patients, ["patient", "patients"])
        ),
        format!("Scans: {}.", contrasts.join(", ")),
        format!(
            "Dealt to the hospitals: {}. Split by {}.",
            plain(&data.partition),
            data.split
        ),
        format!("Classes by EDSS, cut at {}.", numbers(&data.edss_cuts)),
    ])
}

fn training(card: &ModelCard) -> String {
    let mut lines = Vec::new();
    if let Some(strategy) = &card.strategy {
        lines.push(format!("Strategy: {}.", plain(strategy)));
    }
    let ended = if card.run_complete {
        "the run went to its end"
    } else {
        "the run had not ended"
    };
    lines.push(format!(
        "From learning round {}; {ended}.",
        card.learning_round
    ));
    if let Some(contributors) = &card.contributors {
        lines.push(format!(
            "Hospitals in the last sum: {}.",
            contributors.len()
        ));
    }
    match &card.training {
        Some(training) => lines.extend(settings(training)),
        None => lines.push("Other settings: unknown, the card does not say.".into()),
    }
    list(&lines)
}

fn settings(training: &CardTraining) -> [String; 3] {
    [
        format!(
            "{}, {}, {}, batches of {}.",
            counted(training.hospitals, ["hospital", "hospitals"]),
            counted(training.rounds, ["round", "rounds"]),
            counted(training.local_epochs, ["local epoch", "local epochs"]),
            training.batch_size
        ),
        format!(
            "AdamW, learning rate {}, weight decay {}; seed {}.",
            training.learning_rate, training.weight_decay, training.seed
        ),
        format!(
            "Filters: {}. Updates: {}.",
            plain(&training.conditioning),
            plain(&training.updates)
        ),
    ]
}

fn results(card: &ModelCard, classes: &[String]) -> String {
    let mut text = String::new();
    if let Some(validation) = &card.validation {
        let shown = |score: Option<f64>| score.map_or_else(|| "none".into(), decimals);
        text += &format!(
            "Validation, {} ({}): accuracy {}, loss {}.\n\n",
            counted(validation.slices, ["slice", "slices"]),
            plain(&validation.note),
            shown(validation.accuracy),
            shown(validation.loss)
        );
    }
    let Some(test) = &card.test else {
        return text
            + "There is no test result: nobody has tested this model on data that no part of its training has seen.";
    };
    if let Some(warning) = too_few(&test.patient, classes) {
        return text + &format!("**{}.**", plain(&warning));
    }
    text += "| test | count | accuracy | macro F1 | AUROC | largest class |\n|---|---|---|---|---|---|\n";
    for (name, scores) in [("by slice", &test.slice), ("by patient", &test.patient)] {
        text += &format!(
            "| {name} | {} | {} | {} | {} | {} |\n",
            scores.count,
            with_interval(scores.accuracy, scores.accuracy_ci95),
            with_interval(scores.f1_macro, scores.f1_macro_ci95),
            scores.auroc.map_or_else(
                || "undefined".into(),
                |auroc| with_interval(auroc, scores.auroc_ci95)
            ),
            decimals(scores.majority),
        );
    }
    text + "\nIn brackets: 95% intervals from bootstrap draws of patients."
}

/// Of the card, and what its numbers are too few to say.
fn caveats(card: &ModelCard) -> String {
    let mut lines: Vec<String> = card.caveats.iter().map(|caveat| plain(caveat)).collect();
    if let Some(test) = &card.test {
        lines.extend(few(&test.patient, "patients"));
    }
    if let Some(validation) = &card.validation {
        let note = "The validation chose among the rounds of this very training: it is no test.";
        let slices = counted(validation.slices, ["slice", "slices"]);
        lines.push(format!("{note} It has {slices}."));
    }
    lines.push("The model has seen the scanners and patients of its hospitals alone.".into());
    list(&lines)
}

/// In the words of this project's own reports.
pub fn too_few(scores: &Scores, classes: &[String]) -> Option<String> {
    // A card that says more has not counted patients; their sum might not be a number.
    let counted = |count: &u64| *count <= u32::MAX.into();
    let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
    let all = scores.confusion.iter().flatten().all(counted);
    all.then(|| small_numbers::warning(&scores.confusion, &classes))
        .flatten()
}

fn few(scores: &Scores, of: &str) -> Option<String> {
    (scores.count < FEW).then(|| {
        format!(
            "Few {of}: the test has {}. One more that is classified rightly moves the accuracy by {}.",
            scores.count,
            decimals(1.0 / scores.count.max(1) as f64)
        )
    })
}

fn identity(card: &ModelCard) -> String {
    let known = [
        ("Model", Some(hex_of(&card.model_hash))),
        ("Values", card.weights_hash.map(hex::encode)),
        ("Weights' file, SHA-256", card.weights_sha256.clone()),
        ("Run", card.run.map(hex::encode)),
        ("Transcript", card.transcript.map(hex::encode)),
    ];
    let line = |(name, hash): (&str, Option<String>)| Some(format!("{name}: {}", plain(&hash?)));
    let mut lines: Vec<String> = known.into_iter().filter_map(line).collect();
    lines.push(format!("{} trainable values.", card.parameters));
    let mut made = format!("Made by {}", plain(&card.made_by));
    for (what, known) in [
        ("commit ", &card.commit),
        ("", &card.date),
        ("by the command ", &card.command_line),
    ] {
        if let Some(known) = known {
            made += &format!(", {what}{}", plain(known));
        }
    }
    lines.push(made + ".");
    list(&lines)
}

fn numbers(numbers: &[f64]) -> String {
    let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(", ")
}

fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("* {line}\n")).collect()
}

fn with_interval(score: f64, interval: Option<[f64; 2]>) -> String {
    let interval =
        interval.map(|[low, high]| format!(" ({} to {})", decimals(low), decimals(high)));
    decimals(score) + &interval.unwrap_or_default()
}

fn decimals(score: f64) -> String {
    format!("{score:.3}")
}

/// Below this many, the text says what one more would do.
const FEW: u64 = 100;

const UNKNOWN: &str = "unknown, the card does not say";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_a_card_stays_text() {
        for (text, shown) in [
            ("few patients", "few patients"),
            ("<script>", "&lt;script&gt;"),
            ("a\n\n# Title\r\n| b", "a \\# Title \\| b"),
            ("![x](y) `z` \u{1b}[0m", "\\!\\[x\\](y) \\`z\\` \\[0m"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }
}
