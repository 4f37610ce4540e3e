//! `participant run --dry`: what a run would send, before anything is sent.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use host::{failure::Failure, output::say, run_file, shown::Format, signals::BetweenWrites};
use participant::{
    forecast::{Forecast, HEARTBEAT_SECS, Line, Outlook, Stage, When, usual_manifest},
    settings::Settings,
};
use protocol::{
    counted::counted, features::FeatureSchema, labels::Labels, manifest::Manifest, roster::Roster,
};
use serde_json::{Value, json};

use super::data_set;

/// The flags of a run that is only told.
#[derive(Args)]
pub struct DryRun {
    /// Send nothing: read settings, keys and data as a run does, and show every object that would leave, with its bytes and how it is
    /// protected. Connects to nobody, and leaves the state folder as it is.
    #[arg(long)]
    dry: bool,

    /// With --dry: the run that is meant, as `coordinator run sign` has written it. Else it is one with the usual settings.
    #[arg(long, value_name = "run.signed.json", requires = "dry")]
    manifest: Option<PathBuf>,

    /// With --dry: for people, or a JSON object.
    #[arg(long, value_enum, requires = "dry", default_value_t = Format::Text)]
    format: Format,
}

impl DryRun {
    /// Whether nothing is to be sent.
    pub fn is_asked_for(&self) -> bool {
        self.dry
    }

    /// Shows what would be sent.
    pub fn execute(&self, mut settings: Settings, file: &Path) -> Result<(), Failure> {
        let leaves = "nothing was sent, and nothing was to be written";
        let _ends_with_code_3 = BetweenWrites::listen(leaves).map_err(Failure::run)?;
        let credentials = settings.credentials().map_err(Failure::settings)?;
        let roster = &*credentials.identity.roster;
        let manifest = self.manifest(roster, &settings.reading.feature_columns)?;
        // Slices that are kept for the next start would be a trace.
        settings.reading.cache = false;
        let read = data_set::read(&settings, file).map_err(data_set::unusable)?;
        for gap in read
            .gaps
            .in_run(Labels::of(&manifest), &manifest.used_features())
        {
            tracing::warn!("{gap}");
        }
        let outlook = Outlook {
            roster,
            id: settings.hospital,
            manifest: &manifest,
            records: &read.table,
        };
        let forecast = outlook.forecast().map_err(Failure::settings)?;
        let told = Told {
            forecast: &forecast,
            manifest: &manifest,
            is_usual: self.manifest.is_none(),
            hospitals: roster.size(),
            patients: read.table.patients(),
            to: &credentials.coordinator.address,
            key: hex::encode(credentials.coordinator.key),
        };
        say(match self.format {
            Format::Text => told.text(),
            Format::Json => told.json(),
        });
        Ok(())
    }

    fn manifest(&self, roster: &Roster, features: &FeatureSchema) -> Result<Manifest, Failure> {
        let Some(path) = &self.manifest else {
            return Ok(usual_manifest(features.clone()));
        };
        let signed = run_file::read(path, roster).map_err(Failure::settings)?;
        signed.read_unverified().map_err(Failure::settings)
    }
}

struct Told<'a> {
    forecast: &'a Forecast,
    manifest: &'a Manifest,
    is_usual: bool,
    hospitals: usize,
    patients: usize,
    to: &'a str,
    key: String,
}

impl Told<'_> {
    fn text(&self) -> String {
        let run = if self.is_usual {
            "a run with the usual settings (--manifest FILE for another)".to_owned()
        } else {
            format!("the run {:?}", self.manifest.name.0)
        };
        let mut text = format!(
            "Nothing was sent. This is what {run} would send: {}, conditioning {}, {}, {} here.\nAll of it to {}, whose key is {}.\n",
            counted(self.manifest.rounds, ["round", "rounds"]),
            self.manifest.conditioning,
            counted(self.hospitals, ["hospital", "hospitals"]),
            counted(self.patients, ["patient", "patients"]),
            self.to,
            self.key
        );
        for stage in &self.forecast.stages {
            let (objects, bytes) = stage.total();
            let objects = counted(objects, ["object", "objects"]);
            let _ = writeln!(text, "\n{}: {objects}, {bytes} bytes", when(stage));
            for line in &stage.lines {
                let _ = writeln!(text, "{}", of_line(line));
            }
        }
        let (objects, bytes) = self.forecast.total();
        let heartbeat = &self.forecast.heartbeat;
        let _ = write!(
            text,
            "\nthe whole run: {}, {bytes} bytes; beside that a {} of {} bytes every {HEARTBEAT_SECS} s.\n\
             If every hospital takes part and no connection is lost: what is sent again after a cut comes on top, and acknowledgements can be fewer.",
            counted(objects, ["object", "objects"]),
            heartbeat.object.purpose(),
            heartbeat.bytes,
        );
        text
    }

    fn json(&self) -> String {
        let stages: Vec<_> = self.forecast.stages.iter().map(stage_as_json).collect();
        let (objects, bytes) = self.forecast.total();
        json!({
            "schema": 1,
            "run": self.manifest.name.0,
            "rounds": self.manifest.rounds,
            "conditioning": self.manifest.conditioning.as_str(),
            "hospitals": self.hospitals,
            "patients": self.patients,
            "address": self.to,
            "key": self.key,
            "stages": stages,
            "objects": objects,
            "bytes": bytes,
            "heartbeat": {"bytes": self.forecast.heartbeat.bytes, "seconds": HEARTBEAT_SECS},
        })
        .to_string()
    }
}

fn when(stage: &Stage) -> String {
    match stage.when {
        When::BeforeTheFirstRound => "before the first round".to_owned(),
        When::FirstRound => "in the first round".to_owned(),
        When::FurtherRounds(rounds) if rounds.get() == 1 => "in one further round".to_owned(),
        When::FurtherRounds(rounds) => format!("in each of {rounds} further rounds"),
        When::NewWeights(times) => {
            format!(
                "each time the weights that meet the features have moved, {} more",
                counted(times.get(), ["time", "times"])
            )
        }
        When::AnotherKey(times) if times.get() == 1 => "once, when a key is worn out".to_owned(),
        When::AnotherKey(times) => format!("each of {times} times that a key is worn out"),
    }
}

fn of_line(line: &Line) -> String {
    let each = match line.bytes_each {
        (least, most) if least == most => format!("{most} bytes each"),
        (least, most) => format!("{least} to {most} bytes each"),
    };
    format!(
        "  {:>4}  {:>11}  {}, {each}; {}",
        line.objects,
        line.bytes,
        line.object.purpose(),
        line.object.protection.words()
    )
}

fn stage_as_json(stage: &Stage) -> Value {
    let lines: Vec<_> = stage
        .lines
        .iter()
        .map(|line| {
            json!({
                "kind": line.object.kind.name(),
                "sum": line.object.sum.map(|sum| sum.purpose.name()),
                "purpose": line.object.purpose(),
                "protection": line.object.protection.words(),
                "objects": line.objects,
                "bytes": line.bytes,
                "bytes_each": [line.bytes_each.0, line.bytes_each.1],
            })
        })
        .collect();
    let (objects, bytes) = stage.total();
    json!({"when": when(stage), "times": stage.times(), "lines": lines, "objects": objects, "bytes": bytes})
}
