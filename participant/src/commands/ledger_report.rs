//! The ledger as a table, as lines, as JSON and as CSV.

use std::fmt::Write as _;

use participant::ledger::{COLUMNS, Content, Entry, Head, Row, Summary, record};
use protocol::{counted::counted, digests::RunId};
use serde_json::{Value, json};

/// By run and purpose, with totals.
pub fn text(summary: &Summary, head: &Head) -> String {
    let mut text = String::new();
    let mut last_run = None;
    for row in summary.rows() {
        if last_run != Some(row.run) {
            last_run = Some(row.run);
            let _ = writeln!(text, "{}", of_run(row, summary));
            let _ = writeln!(
                text,
                "  {:>7}  {:>13}  {:<70}  protection",
                "objects", "bytes", "purpose"
            );
        }
        let _ = writeln!(
            text,
            "  {:>7}  {:>13}  {:<70}  {}",
            row.objects,
            row.bytes,
            purpose(row),
            row.protection
        );
    }
    let (objects, bytes) = summary.total();
    let _ = write!(
        text,
        "in all: {}, {bytes} bytes; {}, the last hash is {}",
        counted(objects, ["object", "objects"]),
        counted(head.entries, ["entry", "entries"]),
        hex::encode(head.hash)
    );
    text
}

fn of_run(row: &Row, summary: &Summary) -> String {
    let rows = summary
        .rows()
        .into_iter()
        .filter(|other| other.run == row.run);
    let (mut from, mut to) = (&row.first_at, &row.last_at);
    for other in rows {
        from = from.min(&other.first_at);
        to = to.max(&other.last_at);
    }
    match row.run {
        Some(run) => format!("run {}, from {from} to {to}", hex::encode(run)),
        None => format!("before a run was known, from {from} to {to}"),
    }
}

fn purpose(row: &Row) -> String {
    match row.again {
        0 => row.purpose.clone(),
        again => format!("{} ({again} bytes of it once more)", row.purpose),
    }
}

/// The same for scripts.
pub fn json(summary: &Summary, head: &Head) -> String {
    let rows: Vec<_> = summary
        .rows()
        .into_iter()
        .map(|row| {
            json!({
                "run": run(row.run),
                "kind": row.kind,
                "sum": row.sum,
                "purpose": row.purpose,
                "protection": row.protection,
                "first_at": row.first_at,
                "last_at": row.last_at,
                "objects": row.objects,
                "bytes": row.bytes,
                "again": row.again,
            })
        })
        .collect();
    let (objects, bytes) = summary.total();
    json!({
        "schema": 1,
        "rows": rows,
        "objects": objects,
        "bytes": bytes,
        "entries": head.entries,
        "head": hex::encode(head.hash),
    })
    .to_string()
}

/// One entry, on a line for people; one without a number is being counted.
pub fn line(entry: Option<&Entry>, content: &Content) -> String {
    let number = entry.map_or_else(|| "...".to_owned(), |entry| entry.number.to_string());
    let run = content
        .run
        .map_or_else(|| "-".repeat(8), |run| hex::encode(&run.as_bytes()[..4]));
    let times = match content.objects {
        0 | 1 => String::new(),
        objects => format!("{objects} times "),
    };
    let part = match content.part {
        Some(part) if content.objects == 0 => {
            format!(" (from byte {} of {} on)", part.first, part.of)
        }
        Some(part) if part.first > 0 || part.again > 0 => {
            format!(
                " (from byte {} of {} on; {} bytes of it once more)",
                part.first, part.of, part.again
            )
        }
        _ => String::new(),
    };
    format!(
        "{number:>6}  {}  {run}  {:>10}  {}  {times}{}{part}; {}",
        content.first_at,
        content.bytes,
        hex::encode(&content.sha256[..4]),
        content.purpose,
        content.protection
    )
}

/// One entry, whole, as a JSON object.
pub fn json_line(entry: Option<&Entry>, content: &Content) -> String {
    let values = record(entry, content);
    let numbers = [
        "number",
        "round",
        "objects",
        "bytes",
        "first_byte",
        "object_bytes",
        "again",
    ];
    let value = |(name, text): (&&str, String)| {
        let value = match text.parse::<i64>() {
            _ if text.is_empty() => Value::Null,
            Ok(number) if numbers.contains(name) => number.into(),
            _ => text.into(),
        };
        ((*name).to_owned(), value)
    };
    let object: serde_json::Map<_, _> = COLUMNS.iter().zip(values).map(value).collect();
    Value::Object(object).to_string()
}

fn run(run: Option<RunId>) -> Option<String> {
    run.map(hex::encode)
}
