//! `--trace FILE`: the steps of every party in the Trace Event Format (JSON), which chrome://tracing and ui.perfetto.dev show.
//!
//! A process of the trace is a party, a thread one of the things that it does at the same time as others.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
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

    /// Writes the steps.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(self, steps: &[Step]) -> anyhow::Result<()> {
        let text = json!({ "traceEvents": events(steps), "displayTimeUnit": "ms" });
        let write = |file: File| -> io::Result<()> {
            let mut file = BufWriter::new(file);
            serde_json::to_writer(&mut file, &text)?;
            file.flush()
        };
        write(self.file).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn events(steps: &[Step]) -> Vec<Value> {
    let mut threads: Vec<(Party, Lane)> = { steps.iter() }
        .map(|step| (step.party, Lane::of(step)))
        .collect();
    threads.sort_unstable();
    threads.dedup();
    let names = threads.iter().flat_map(|&(party, lane)| {
        let named = |what: &str, name: String| json!({ "ph": "M", "name": what, "pid": process(party), "tid": lane as u8, "args": { "name": name } });
        [named("process_name", party.to_string()), named("thread_name", lane.name().to_owned())]
    });
    let steps = steps.iter().map(|step| {
        let round = step.round.as_deref();
        let about = round.map(|round| json!({ "round": round.number, "purpose": round.purpose }));
        json!({
            "ph": "X",
            "name": step.name,
            "cat": round.map_or("", |round| &round.purpose),
            "pid": process(step.party),
            "tid": Lane::of(step) as u8,
            "ts": microseconds(step.begin),
            "dur": microseconds(step.end - step.begin),
            "args": about.unwrap_or_else(|| json!({})),
        })
    });
    names.chain(steps).collect()
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

/// What a party does at the same time as others. In a lane one thing follows another, but where a transfer is cut off and begun anew.
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
