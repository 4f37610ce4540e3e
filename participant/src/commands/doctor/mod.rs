//! `participant doctor`.

mod allowance;
mod data;
mod identity;
mod network;
mod trainer;
mod weakened;

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::Args;
use host::{
    doctor::{Check, Report, Room, clock, memory, state_folder},
    failure::Failure,
    shown::Format,
};
use model_data::SliceChoice;
use participant::settings::Settings;

use super::consent::Which;

/// Looks whether all is there that a run needs, and says what to do about what is not.
///
/// Clock, name and UDP to the coordinator, how long datagrams may be, certificates, keys, disk, memory, the trainer with libtorch and GPU,
/// the data folder, the policy, and settings that protect less than they could. Nothing is changed, and a participant that is running is
/// not disturbed. To the coordinator goes only what opens a connection, and nothing of this hospital's data.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Doctor {
    #[command(flatten)]
    which: Which,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Doctor {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let now = SystemTime::now();
        let file = self.which.config();
        let mut report = Report::new("participant");
        match self.which.settings() {
            Ok(settings) => look(&settings, file, now, &mut report),
            Err(Failure::Settings(error) | Failure::Run(error) | Failure::Stopped(error)) => {
                let mend = "mend the settings and look again: all else depends on them";
                report.add(Check::failed("settings", format!("{error:#}"), mend));
                report.add(clock(now, [file]));
            }
        }
        report.finish(self.format == Format::Json)
    }
}

fn look(settings: &Settings, file: &Path, now: SystemTime, report: &mut Report) {
    let found = format!("{}: hospital {}", file.display(), settings.hospital);
    report.add(Check::good("settings", found));
    report.add(clock(
        now,
        written(settings, file).iter().map(PathBuf::as_path),
    ));
    let (checks, credentials) = identity::look(settings, file, now);
    report.extend(checks);
    report.extend(network::look(settings, credentials.as_ref()));
    report.add(state_folder(&settings.state));
    let data = data::look(settings);
    report.add(room(settings, data.scans).check(&settings.state));
    report.add(memory(
        settings.reading.memory_limit_mib + TRAINING_MIB,
        "for the scans (reading.memory_limit_mib) and the training; a participant that runs has its part already",
    ));
    report.extend(trainer::look(settings, file));
    report.add(data.check);
    let roster = credentials.as_ref().map(|known| &*known.identity.roster);
    report.add(weakened::policy(settings, roster));
    report.extend(weakened::look(settings));
    report.extend(allowance::look(settings));
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
    let state = ["journal.sqlite", "ledger.sqlite", "model.safetensors"]
        .map(|name| settings.state.join(name));
    files.into_iter().map(Path::to_owned).chain(state).collect()
}

/// Models, journal and prepared slices; of so many scans, where they are known.
fn room(settings: &Settings, scans: Option<usize>) -> Room {
    let slices = match settings.training.slices {
        SliceChoice::Evenly { count, .. } => count as u64,
        SliceChoice::All { .. } => SLICES_OF_A_SCAN,
    };
    let prepared = match scans {
        Some(scans) if settings.reading.cache => scans as u64 * slices * SLICE_BYTES,
        _ => 0,
    };
    let of_slices = match prepared {
        0 => String::new(),
        _ => format!(
            ", and about {} MB for prepared slices",
            prepared / 1_000_000
        ),
    };
    Room {
        least: MODELS_BYTES,
        wanted: MODELS_BYTES + prepared,
        what: format!(
            "{} MB for models of 17 MB and the journal{of_slices}",
            MODELS_BYTES / 1_000_000
        ),
    }
}

/// The last model, the best one, both again for the run, and as much for the journal of a run.
const MODELS_BYTES: u64 = 8 * 17_000_000;
const SLICE_BYTES: u64 = 64 << 10;
/// That show tissue, in a scan of the whole head at a millimetre.
const SLICES_OF_A_SCAN: u64 = 180;
/// Network, optimiser and libtorch.
const TRAINING_MIB: u64 = 2048;

const HELP: &str = "\
Examples:
  participant doctor --config federation/hospital-1/participant.toml
  participant doctor --format json > doctor.json

Each check has a result: ok, warning (it goes on like this), or failed; and what to do, after an arrow.
The report names files, keys by their paths, and addresses: look at it before you send it to somebody.

Exit codes:
  0  nothing has failed; there may be warnings
  1  a check has failed
  2  a flag is wrong";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn room_grows_with_the_scans_whose_slices_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("participant.toml");
        fs::write(&file, "hospital = 1\n").expect("written");
        let load = |flags: &[(String, String)]| Settings::load(&file, [], flags).expect("sound");
        let kept = room(&load(&[]), Some(100));
        assert_eq!(kept.wanted - kept.least, 100 * 180 * 65_536);
        assert!(kept.what.contains("1179 MB"), "{kept:?}");
        let none = [("reading.cache".to_owned(), "false".to_owned())];
        let none = room(&load(&none), Some(100));
        assert_eq!((none.least, none.wanted), (MODELS_BYTES, MODELS_BYTES));
    }
}
