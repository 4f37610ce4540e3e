//! The table on stdout.

use model_data::card::Scores;

use super::{seconds::Seconds, summary::Summary};

/// What a person reads at the end. `out` is the folder with the files.
pub fn table(summary: &Summary, out: &std::path::Path) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        text += &row_in_words(name, &value);
    };
    if summary.updates == "plain" {
        row(
            "INSECURE",
            "updates were averaged without encryption, for comparison only".to_owned(),
        );
    }
    row(
        "hospitals, rounds",
        format!("{}, {}", summary.hospitals, summary.rounds),
    );
    if summary.ended_early() {
        row(
            "ended early",
            format!(
                "after round {}: no better evaluation any more",
                summary.history.len()
            ),
        );
    }
    if let Some(best) = &summary.best {
        row(
            "kept as the best",
            format!("{}; {}", best.in_words(), summary.where_best_is()),
        );
    }
    row("data, task, split", data_in_words(summary));
    row("strategy", summary.strategy.clone());
    row("parameters", summary.parameters.to_string());
    match &summary.small_test {
        Some(warning) => row("test", warning.clone()),
        None => {
            for (name, scores) in [
                ("test, by patient", &summary.test.patient),
                ("test, by slice", &summary.test.slice),
            ] {
                row(name, scores_in_words(scores) + leak_warning(summary));
            }
        }
    }
    if let Some(auroc) = summary.reachable_auroc {
        row(
            "reachable AUROC",
            format!("{auroc:.3} by patient, at best, on patients such as these"),
        );
    }
    if let Some(baselines) = &summary.baselines {
        let local = baselines.local.iter().map(|scores| auroc(scores.auroc));
        row(
            "baselines",
            format!(
                "AUROC by patient: features alone {}, images alone {}, all data pooled {}, each hospital alone {}",
                auroc(baselines.features.auroc),
                auroc(baselines.images.auroc),
                auroc(baselines.pooled.auroc),
                local.collect::<Vec<_>>().join(" ")
            ),
        );
    }
    for (name, bytes) in [("sent", &summary.upload), ("received", &summary.download)] {
        if let (Some(bytes), Some(ratio)) = (bytes.bytes_per_hospital_round, bytes.ratio_to_f32) {
            row(
                name,
                format!(
                    "{:.2} MB per hospital and round, {ratio:.3} of the model in f32",
                    bytes / 1e6
                ),
            );
        }
    }
    if let Some(words) = sums_in_words(summary) {
        row("sums", words);
    }
    if let Some(error) = summary.conditioning.max_abs_error {
        row(
            "encrypted products",
            format!(
                "largest error against plaintext {error:.1e} ({})",
                summary.conditioning.profile
            ),
        );
    }
    if let Some(equal) = summary.agreement.model_hashes_equal {
        row(
            "models at the hospitals",
            if equal { "all the same" } else { "DIFFERENT" }.to_owned(),
        );
    }
    row("model hash", summary.agreement.model_hash.clone());
    row("seconds", seconds_in_words(&summary.seconds));
    if let Some(bytes) = summary.peak_rss_bytes {
        row(
            "peak memory",
            format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30)),
        );
    }
    row(
        "files",
        format!("{} (start with report.html)", out.display()),
    );
    text
}

/// A name and a value, in lines that a terminal of 80 columns shows whole. A word that does not fit beside the name has a line of its own.
fn row_in_words(name: &str, value: &str) -> String {
    let mut line = format!("{name:<NAME_COLUMNS$}");
    let mut text = String::new();
    for word in value.split(' ') {
        let length = word.chars().count();
        if line.chars().count() + 1 + length > COLUMNS {
            let indent = match length {
                0..=VALUE_COLUMNS => NAME_COLUMNS,
                _ => 1,
            };
            text += line.trim_end();
            text.push('\n');
            line = " ".repeat(indent);
        }
        line.push(' ');
        line += word;
    }
    text + line.trim_end() + "\n"
}

const COLUMNS: usize = 80;
/// The longest name.
const NAME_COLUMNS: usize = "models at the hospitals".len();
const VALUE_COLUMNS: usize = COLUMNS - NAME_COLUMNS - 1;

fn data_in_words(summary: &Summary) -> String {
    let labels = match summary.labels {
        "as-written" => String::new(),
        other => format!(" {other}"),
    };
    format!(
        "{}, {}{labels}, by {}{}",
        summary.data,
        summary.task,
        summary.split,
        leak_warning(summary)
    )
}

/// Said beside every number of a split that leaks.
pub fn leak_warning(summary: &Summary) -> &'static str {
    if summary.split == "slice" {
        " [leaks: by slice]"
    } else {
        ""
    }
}

/// How right the opened sums were; none where nothing was sealed.
pub fn sums_in_words(summary: &Summary) -> Option<String> {
    let sum = &summary.sum;
    let exact = if sum.integers_exact? {
        "every integer is exact"
    } else {
        "NOT EXACT"
    };
    let (quantising, cut_off) = (sum.max_error_inside_clip_over_step?, sum.saturated_values?);
    let mut words = format!(
        "{exact}; the mean differs from that of the floats by at most {quantising:.2} quantisation steps"
    );
    if cut_off > 0 {
        words += &format!(" where no clip cut off a value ({cut_off} values over the run)");
    }
    Some(words)
}

fn seconds_in_words(seconds: &Seconds) -> String {
    format!(
        "{:.1}; summed over hospitals: training {:.1}, sealing {:.1}, adding {:.1}, opening {:.1}, conditioning {:.1}, transport {:.1}",
        seconds.total,
        seconds.training,
        seconds.sealing,
        seconds.adding,
        seconds.opening,
        seconds.conditioning,
        seconds.transport
    )
}

fn scores_in_words(scores: &Scores) -> String {
    let auroc = scores
        .auroc
        .map_or_else(|| "undefined".to_owned(), |auroc| format!("{auroc:.3}"));
    format!(
        "accuracy {:.3} (largest class {:.3}), macro F1 {:.3}, AUROC {auroc}, of {}",
        scores.accuracy, scores.majority, scores.f1_macro, scores.count
    )
}

fn auroc(auroc: Option<f64>) -> String {
    auroc.map_or_else(|| "undefined".to_owned(), |auroc| format!("{auroc:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_fits_80_columns_and_loses_no_word() {
        assert_eq!(
            row_in_words("parameters", "4201933"),
            "parameters              4201933\n"
        );
        let seconds = "71.6; summed over hospitals: training 88.5, sealing 5.9, adding 0.9, opening 16.0, conditioning 1.4, transport 4.9";
        assert_eq!(
            row_in_words("seconds", seconds),
            "seconds                 71.6; summed over hospitals: training 88.5, sealing 5.9,\n\
             \u{20}                       adding 0.9, opening 16.0, conditioning 1.4, transport\n\
             \u{20}                       4.9\n"
        );
        let hash = "89b0ea327c0b6d8d80140d62ce6e02dd2d02093f38431b8fbcf938ae1b2b0669";
        assert_eq!(
            row_in_words("model hash", hash),
            format!("model hash\n  {hash}\n")
        );
        let path = "/srv/".repeat(20);
        let files = row_in_words("files", &format!("{path} (start with report.html)"));
        let lines: Vec<&str> = files.lines().collect();
        assert_eq!(lines[1].trim_start(), path);
        assert_eq!(lines[2].trim_start(), "(start with report.html)");
    }
}
