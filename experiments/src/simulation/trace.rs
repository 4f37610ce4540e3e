//! `--trace FILE`: the steps of every party in the Trace Event Format (JSON), which chrome://tracing and ui.perfetto.dev show.
//!
//! A process of the trace is a party, a thread one of the things that it does at the same time as others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::steps::{Party, Step};

/// A file that will be a trace. It is there before anything is computed: a place that cannot be written is told at once.
pub struct TraceFile {
    path: PathBuf,
    file: File,
}

impl TraceFile {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path);
        Ok(Self {
            file: file.with_context(|| format!("--trace: cannot write {}", path.display()))?,
            path: path.to_owned(),
        })
    }

    /// Writes the steps, which are in the order in which they began.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(self, steps: &[Step]) -> anyhow::Result<()> {
        let trace = Trace {
            events: Events(steps),
            unit: "ms",
        };
        let write = |file: File| -> io::Result<()> {
            let mut file = BufWriter::new(file);
            serde_json::to_writer(&mut file, &trace)?;
            file.flush()
        };
        write(self.file).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[derive(Serialize)]
struct Trace<'a> {
    #[serde(rename = "traceEvents")]
    events: Events<'a>,
    #[serde(rename = "displayTimeUnit")]
    unit: &'static str,
}

/// One after another: a long run has hundreds of thousands.
struct Events<'a>(&'a [Step]);

impl Serialize for Events<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let lanes: BTreeSet<(Party, Lane)> = { self.0.iter() }
            .map(|step| (step.party, Lane::of(step)))
            .collect();
        let names = { lanes.iter() }.flat_map(|&(party, lane)| {
            let named = |what: &str, name: &str| json!({ "ph": "M", "name": what, "pid": process(party), "tid": lane as u8, "args": { "name": name } });
            [named("process_name", &party.to_string()), named("thread_name", lane.name())]
        });
        let steps = self.0.iter().zip(ends(self.0));
        serializer.collect_seq(names.chain(steps.map(|(step, end)| event(step, end))))
    }
}

fn event(step: &Step, end: Duration) -> Value {
    let round = step.round.as_deref();
    let about = round.map(|round| json!({ "round": round.number, "purpose": round.purpose }));
    json!({
        "ph": "X",
        "name": step.name,
        "cat": round.map_or("", |round| &round.purpose),
        "pid": process(step.party),
        "tid": Lane::of(step) as u8,
        "ts": microseconds(step.begin),
        "dur": microseconds(end.saturating_sub(step.begin)),
        "args": about.unwrap_or_else(|| json!({})),
    })
}

/// When each ends, as the viewers take it, in whose threads nothing may overlap by half: a transfer that was cut off may be let go of
/// after the next one has begun.
fn ends(steps: &[Step]) -> Vec<Duration> {
    let mut next: BTreeMap<(Party, Lane), Duration> = BTreeMap::new();
    let mut ends: Vec<Duration> = { steps.iter().rev() }
        .map(|step| match Lane::of(step) {
            lane @ (Lane::Upload | Lane::Download) => {
                let following = next.insert((step.party, lane), step.begin);
                following.map_or(step.end, |begin| step.end.min(begin))
            }
            Lane::Trainer | Lane::Protocol => step.end,
        })
        .collect();
    ends.reverse();
    ends
}

fn process(party: Party) -> u8 {
    match party {
        Party::Coordinator => 0,
        Party::Hospital(number) => number,
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// What a party does at the same time as others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Training and evaluation.
    Trainer,
    /// What a vault or the coordinator computes.
    Protocol,
    /// To the coordinator.
    Upload,
    /// From the coordinator.
    Download,
}

impl Lane {
    /// That in which this step is done.
    pub fn of(step: &Step) -> Self {
        match step.name {
            "training" | "evaluating" => Self::Trainer,
            "upload" => Self::Upload,
            "download" => Self::Download,
            _ => Self::Protocol,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Trainer => "trainer",
            Self::Protocol => "protocol",
            Self::Upload => "upload",
            Self::Download => "download",
        }
    }
}

impl std::fmt::Display for Party {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Coordinator => formatter.write_str("coordinator"),
            Self::Hospital(number) => write!(formatter, "hospital {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_ends_where_the_next_of_its_kind_begins_and_parts_stay_whole() {
        let step = |number, name, begin, end| Step {
            party: Party::Hospital(number),
            round: None,
            name,
            is_part: false,
            begin: Duration::from_secs(begin),
            end: Duration::from_secs(end),
        };
        let steps = [
            step(1, "opening", 0, 9),
            step(1, "upload", 1, 5),
            step(1, "unmasking", 2, 3),
            step(2, "upload", 2, 8),
            step(1, "download", 3, 4),
            step(1, "upload", 4, 7),
        ];
        let seconds: Vec<u64> = ends(&steps).iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [9, 4, 3, 8, 4, 7]);
    }
}
