//! What has left by run and purpose: objects, bytes, protection.

use std::collections::BTreeMap;

use protocol::digests::RunId;

use super::{Content, Kind};

/// Of all that has left, or of one run.
#[derive(Default)]
pub struct Summary {
    rows: Vec<Row>,
    /// Where the row of a run, a kind and a sum is.
    places: BTreeMap<(Option<RunId>, String, Option<String>), usize>,
}

/// Everything of one kind, about sums of one kind, in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The run; none before one is known.
    pub run: Option<RunId>,
    /// [`Kind::name`].
    pub kind: String,
    /// What is summed, of objects about sums.
    pub sum: Option<String>,
    /// What it is for, in words, as the first of them says it.
    pub purpose: String,
    /// How it is protected, as the first of them says it.
    pub protection: String,
    /// When the first left.
    pub first_at: String,
    /// When the last left.
    pub last_at: String,
    /// How many.
    pub objects: u64,
    /// Bytes, without those that were taken back.
    pub bytes: i64,
    /// Of these, bytes that an earlier attempt had handed to the transport already.
    pub again: u64,
}

impl Summary {
    /// Counts what an entry tells.
    pub fn add(&mut self, content: &Content) {
        let key = (content.run, content.kind.clone(), content.sum.clone());
        let rows = &mut self.rows;
        let place = *self.places.entry(key).or_insert_with(|| {
            rows.push(Row::of(content));
            rows.len() - 1
        });
        let row = &mut rows[place];
        row.objects += content.objects;
        row.bytes += content.bytes;
        row.again += content.part.map_or(0, |part| part.again);
        // Counted objects are entered behind others that left meanwhile.
        if content.first_at < row.first_at {
            row.first_at.clone_from(&content.first_at);
        }
        if content.last_at > row.last_at {
            row.last_at.clone_from(&content.last_at);
        }
    }

    /// The rows, by run in the order in which the runs began; within a run, in the order in which a run sends such objects.
    pub fn rows(&self) -> Vec<&Row> {
        let mut began = BTreeMap::new();
        for row in &self.rows {
            let first = began.entry(row.run).or_insert(&row.first_at);
            *first = (*first).min(&row.first_at);
        }
        let order = |row: &Row| {
            let name = |kind: &Kind| kind.name() == row.kind;
            Kind::ALL.iter().position(name).unwrap_or(Kind::ALL.len())
        };
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|row| (began[&row.run], row.run, order(row), row.first_at.clone()));
        rows
    }

    /// Objects and bytes of all rows.
    pub fn total(&self) -> (u64, i64) {
        let rows = self.rows.iter();
        rows.fold((0, 0), |(objects, bytes), row| {
            (objects + row.objects, bytes + row.bytes)
        })
    }
}

impl Row {
    fn of(content: &Content) -> Self {
        Self {
            run: content.run,
            kind: content.kind.clone(),
            sum: content.sum.clone(),
            purpose: in_all_rounds(content),
            protection: content.protection.clone(),
            first_at: content.first_at.clone(),
            last_at: content.last_at.clone(),
            objects: 0,
            bytes: 0,
            again: 0,
        }
    }
}

/// The purpose without the number of a round.
fn in_all_rounds(content: &Content) -> String {
    let Some(round) = content.round.filter(|_| content.sum.is_some()) else {
        return content.purpose.clone();
    };
    let of_a_round = |words: &str| {
        content
            .purpose
            .strip_suffix(&format!("{words} {round}"))
            .map(str::to_owned)
    };
    if let Some(start) = of_a_round("the evaluation of round") {
        return start + "evaluations";
    }
    match of_a_round("learning round") {
        Some(start) => start + "learning rounds",
        None => content.purpose.clone(),
    }
}
