//! The study's tables beside ours: the document behind tables.md and report.html.

use protocol::{labels::Task, training_job::SplitKind};

use super::{
    configuration::{Configuration, balance_of},
    document::{Block, Document},
    findings::{
        ACCURACY, AUROC, F1, LEAK, PRECISION, RECALL, conditions, differences, leak_mark, notice,
        of_conditioning, of_leak, of_reachable, of_reference, over_features_alone, with_interval,
    },
    results::Results,
    row::Row,
    scored::{Estimate, Scored},
    study::{self, StudyFigures},
    tables::INTERVALS,
};

/// The document.
pub fn document(
    configuration: &Configuration,
    results: &Results,
    cohort: &[(Task, Vec<u64>)],
) -> Document {
    let mut blocks = vec![
        Block::Warning(notice(configuration)),
        Block::Paragraph(conditions(configuration)),
        Block::Paragraph(format!(
            "Ours are means over the repetitions, by slice unless it says by patient, each with its interval ({INTERVALS})."
        )),
    ];
    if configuration.split.contains(&SplitKind::Slice) {
        blocks.push(Block::Warning(format!(
            "Numbers marked {LEAK} are of a split by slice: slices of one patient are on both sides of the cut, so they are better \
             than they would be for new patients."
        )));
    }
    blocks.extend(first_table(configuration, results, cohort));
    for &task in &configuration.task {
        blocks.extend(score_tables(configuration, results, task));
    }
    blocks.push(Block::Heading("Where ours and the study's differ".into()));
    blocks.push(Block::List(differences(results)));
    if !results.leaks.is_empty() {
        blocks.push(Block::Heading(
            "What the leak of the split by slice is worth".into(),
        ));
        blocks.push(Block::List(results.leaks.iter().map(of_leak).collect()));
    }
    if !results.conditioning.is_empty() {
        blocks.push(Block::Heading(
            "What the clinical features are worth".into(),
        ));
        let worth = results.conditioning.iter().map(of_conditioning);
        blocks.push(Block::List(worth.collect()));
    }
    if !results.over_features_alone.is_empty() {
        blocks.push(Block::Heading(
            "What the networks are worth beside the clinical features alone".into(),
        ));
        let over = results.over_features_alone.iter().map(over_features_alone);
        blocks.push(Block::List(over.collect()));
    }
    if let Some(reference) = &results.reference {
        blocks.push(Block::Heading("Encrypted and plaintext".into()));
        blocks.push(Block::Paragraph(of_reference(reference)));
    }
    blocks.push(Block::Heading("Where the study contradicts itself".into()));
    blocks.push(Block::List(
        study::CONTRADICTIONS.map(str::to_owned).to_vec(),
    ));
    Document {
        title: "The study, repeated".into(),
        blocks,
    }
}

/// Table 1: whole sets as the study counts them, and what was in fact trained on.
fn first_table(
    configuration: &Configuration,
    results: &Results,
    cohort: &[(Task, Vec<u64>)],
) -> Vec<Block> {
    let mut rows = Vec::new();
    for (task, counts) in cohort {
        for &balance in &configuration.balance {
            let of = |row: &&Row| row.key.task == *task && row.key.balance == balance;
            let mut row = vec![
                format!("{task}, {balance}"),
                by_class(
                    study::counts(*task, balance)
                        .iter()
                        .map(|&count| count as f64),
                ),
                by_class(
                    balance_of(balance)
                        .class_counts(counts)
                        .into_iter()
                        .map(|count| count as f64),
                ),
            ];
            for &split in &configuration.split {
                let mut same = results.rows.iter().filter(of);
                let trained = same.find(|row| row.key.split == split);
                row.push(trained.map_or_else(
                    || "-".to_owned(),
                    |row| by_class(row.train_counts.iter().copied()),
                ));
            }
            rows.push(row);
        }
    }
    let mut header = vec![
        "task, training set".to_owned(),
        "study".to_owned(),
        "ours, whole".to_owned(),
    ];
    for split in &configuration.split {
        header.push(format!("ours, trained on (split by {split})"));
    }
    let names = |task: &Task| format!("{task}: {}", task.class_names().join(", "));
    let classes: Vec<String> = configuration.task.iter().map(names).collect();
    vec![
        Block::Heading("Table 1: slices of each class".into()),
        Block::Table {
            caption: format!(
                "Classes in order: {}. The study and \"whole\" count everything as if it were balanced before the split; \"trained \
                 on\" is the 70% that was, the mean over repetitions.",
                classes.join("; ")
            ),
            header,
            rows,
        },
    ]
}

/// Table 3 or 4: a table a split.
fn score_tables(configuration: &Configuration, results: &Results, task: Task) -> Vec<Block> {
    let number = match task {
        Task::Binary => "Table 3",
        Task::Multiclass => "Table 4",
    };
    let mut blocks = vec![Block::Heading(format!("{number}: {task}"))];
    let reachable = results.reachable.iter().filter(|best| best.task == task);
    blocks.extend(reachable.map(|best| Block::Paragraph(of_reachable(best))));
    for &split in &configuration.split {
        let mut rows = Vec::new();
        for &balance in &configuration.balance {
            let of_table = |row: &&Row| {
                (row.key.task, row.key.split, row.key.balance) == (task, split, balance)
            };
            let networks = results.rows.iter().filter(of_table);
            rows.extend(networks.map(|row| {
                let name = format!("{balance}, {}", row.key.network());
                score_row(name, split, &row.scored, row.study)
            }));
            let alone = (results.features_alone.iter())
                .filter(|row| (row.task, row.split, row.balance) == (task, split, balance));
            rows.extend(alone.map(|row| {
                let name = format!("{balance}, {FEATURES_ALONE}");
                score_row(name, split, &row.scored, None)
            }));
        }
        let leak = if split == SplitKind::Slice {
            format!(" {LEAK}, as the study's split does")
        } else {
            "; the study's figures are of a split by slice".to_owned()
        };
        blocks.push(Block::Table {
            caption: format!(
                "Split by {split}{leak}. Precision, recall and F1 are macro averages; \"largest class\" is what always saying the most \
                 frequent one would reach; \"{FEATURES_ALONE}\" is a logistic regression of the clinical features, without any image, on \
                 the same patients."
            ),
            header: [
                "training set, network",
                "accuracy",
                "precision",
                "recall",
                "F1",
                "AUROC",
                "accuracy by patient",
                "AUROC by patient",
                "largest class",
                "study: accuracy, precision, recall, F1",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows,
        });
    }
    blocks
}

fn score_row(
    name: String,
    split: SplitKind,
    scored: &Scored,
    study: Option<StudyFigures>,
) -> Vec<String> {
    let leak = leak_mark(split);
    let own =
        |estimate: &Estimate, place: usize| format!("{}{leak}", with_interval(estimate, place));
    let mut cells = vec![name];
    cells.extend([ACCURACY, PRECISION, RECALL, F1, AUROC].map(|place| own(&scored.slice, place)));
    cells.extend([ACCURACY, AUROC].map(|place| own(&scored.patient, place)));
    cells.push(format!("{:.2}", scored.majority));
    cells.push(study.map_or_else(
        || "-".to_owned(),
        |study| {
            let StudyFigures {
                accuracy,
                precision,
                recall,
                f1,
            } = study;
            format!("{accuracy:.2} {precision:.2} {recall:.2} {f1:.2}")
        },
    ));
    cells
}

fn by_class(counts: impl Iterator<Item = f64>) -> String {
    let shown: Vec<String> = counts
        .map(|count| {
            if count.fract() == 0.0 {
                format!("{count:.0}")
            } else {
                format!("{count:.1}")
            }
        })
        .collect();
    shown.join(" / ")
}

/// In the place of a network's name.
const FEATURES_ALONE: &str = "features alone";
