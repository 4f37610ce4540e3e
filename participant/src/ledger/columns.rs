//! The ledger as a table for spreadsheets: a line for each entry.

use protocol::digests::RunId;

use super::{Content, Entry, Part};

/// The columns of an exported file, and the keys of `list --format json`.
pub const COLUMNS: [&str; 18] = [
    "number",
    "first_at",
    "last_at",
    "address",
    "key",
    "run",
    "sum",
    "round",
    "kind",
    "purpose",
    "protection",
    "objects",
    "bytes",
    "first_byte",
    "object_bytes",
    "again",
    "sha256",
    "hash",
];

/// One entry in the order of [`COLUMNS`]; what an entry does not have is empty.
pub fn record(entry: Option<&Entry>, content: &Content) -> Vec<String> {
    let part = |number: fn(&Part) -> u64| {
        content
            .part
            .as_ref()
            .map(number)
            .map_or_else(String::new, |number| number.to_string())
    };
    vec![
        entry.map_or_else(String::new, |entry| entry.number.to_string()),
        content.first_at.clone(),
        content.last_at.clone(),
        content.to.address.clone(),
        hex::encode(content.to.key),
        content.run.map(run).unwrap_or_default(),
        content.sum.clone().unwrap_or_default(),
        content
            .round
            .map_or_else(String::new, |round| round.to_string()),
        content.kind.clone(),
        content.purpose.clone(),
        content.protection.clone(),
        content.objects.to_string(),
        content.bytes.to_string(),
        part(|part| part.first),
        part(|part| part.of),
        part(|part| part.again),
        hex::encode(content.sha256),
        entry.map_or_else(String::new, |entry| hex::encode(entry.hash)),
    ]
}

fn run(run: RunId) -> String {
    hex::encode(run)
}
