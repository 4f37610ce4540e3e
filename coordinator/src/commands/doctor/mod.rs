//! `coordinator doctor`.

mod identity;
mod listening;
mod records;
mod weakened;

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::Args;
use coordinator::{
    needs::{coordinator_disk, coordinator_memory},
    settings::Settings,
};
use host::{
    doctor::{Check, Report, Room, clock, memory, state_folder},
    failure::Failure,
    settings::{environment, key_and_value},
    shown::Format,
};

/// Looks whether all is there that a coordinator needs, and says what to do about what is not.
///
/// Clock, certificates, keys, disk, memory, the UDP port, the name under which hospitals reach it, the records, and settings that protect
/// less than they could. Nothing is changed; the coordinator may be running.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Doctor {
    /// The settings file of the coordinator.
    #[arg(long, value_name = "FILE", default_value = "coordinator.toml")]
    config: PathBuf,

    /// Set any key of the settings file, as for coordinator serve.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Doctor {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let now = SystemTime::now();
        let mut report = Report::new("coordinator");
        match Settings::load(&self.config, environment(), &self.set) {
            Ok(settings) => self.look(&settings, now, &mut report),
            Err(error) => {
                let mend = "mend the settings and look again: all else depends on them";
                report.add(Check::failed("settings", host::doctor::told(error), mend));
                report.add(clock(now, [self.config.as_path()]));
            }
        }
        report.finish(self.format == Format::Json)
    }

    fn look(&self, settings: &Settings, now: SystemTime, report: &mut Report) {
        report.add(Check::good("settings", self.config.display().to_string()));
        let written = written(settings, &self.config);
        report.add(clock(now, written.iter().map(PathBuf::as_path)));
        let (checks, hospitals) = identity::look(settings, now);
        report.extend(checks);
        report.extend(listening::look(settings));
        report.add(state_folder(&settings.state));
        report.add(room(hospitals).check(&settings.state));
        report.add(memory(
            coordinator_memory(hospitals) >> 20,
            "for so many hospitals at the most; a coordinator that runs has its part already",
        ));
        report.extend(records::look(settings, now));
        report.extend(weakened::look(settings));
    }
}

/// Files that were written before now, if the clock is right.
fn written(settings: &Settings, file: &Path) -> Vec<PathBuf> {
    let keys = &settings.keys;
    let files = [
        file,
        &settings.roster,
        &keys.tls_certificate,
        &keys.ca_certificate,
    ];
    let state = ["coordinator.sqlite", "transcript.jsonl", "members.sqlite"]
        .map(|name| settings.state.join(name));
    files.into_iter().map(Path::to_owned).chain(state).collect()
}

/// The uploads of one round, its outcome, and that of the round before.
fn room(hospitals: usize) -> Room {
    let bytes = coordinator_disk(hospitals, UPLOAD_BYTES);
    Room {
        least: bytes,
        wanted: bytes,
        what: format!(
            "for one round of {hospitals} hospitals, and 17 MB more for each round that one of them has not fetched yet"
        ),
    }
}

const UPLOAD_BYTES: u64 = 17_000_000;

const HELP: &str = "\
Examples:
  coordinator doctor --config federation/coordinator/coordinator.toml
  coordinator doctor --format json > doctor.json

Each check has a result: ok, warning (it goes on like this), or failed; and what to do, after an arrow.

Exit codes:
  0  nothing has failed; there may be warnings
  1  a check has failed
  2  a flag is wrong";
