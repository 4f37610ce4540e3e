//! The program that trains: there, of this release, with its libraries, its device and its confinement.

use std::{
    path::{self, Path, PathBuf},
    time::Duration,
};

use host::doctor::{Check, told};
use participant::{
    settings::Settings,
    trainer_program::{TrainerCommand, TrainerError, TriedOut, try_out},
};
use protocol::{
    codec::List,
    training_job::{DataSet, DeviceChoice, FilePath, SplitPlan, pipe::Unusable},
};

use crate::commands::data_set::trainer_command;

/// Starts it without a scan, and ends it.
pub fn look(settings: &Settings, file: &Path) -> Vec<Check> {
    let command = trainer_command(settings);
    let command = match command {
        Ok(command) => command,
        Err(error) => return vec![Check::failed(TRAINER, told(error), INSTALL)],
    };
    tracing::info!("trying the trainer out");
    let wanted = match settings.training.device {
        // Whether there is a GPU, only the trainer knows.
        DeviceChoice::Auto => vec![DeviceChoice::Cuda(0), DeviceChoice::Cpu],
        other => vec![other],
    };
    let mut refusal = None;
    for device in wanted {
        match try_out(&command, empty(settings, file, device), TO_START) {
            Ok(tried) => return found(settings, &command, device, &tried),
            Err(error @ TrainerError::Unusable(Unusable::Device(_))) => refusal = Some(error),
            Err(error) => return vec![Check::failed(TRAINER, told(error), remedy(settings))],
        }
    }
    let refusal = refusal.map(told).unwrap_or_default();
    vec![Check::failed(
        TRAINER,
        format!("it starts, without the device of training.device: {refusal}"),
        "see whether nvidia-smi shows the GPU to the user of this program; else set training.device = \"auto\" or \"cpu\"",
    )]
}

fn found(
    settings: &Settings,
    command: &TrainerCommand,
    device: DeviceChoice,
    tried: &TriedOut,
) -> Vec<Check> {
    let program = command.program().display();
    let release = &tried.release;
    let device = match (settings.training.device, device) {
        (DeviceChoice::Auto, DeviceChoice::Cpu) => "no GPU is found, it trains on the CPU".into(),
        (_, device) => format!("it trains on {device}"),
    };
    let about = format!("{program}, release {release}, starts with libtorch; {device}");
    let mut checks = vec![if release == OWN_RELEASE {
        Check::good(TRAINER, about)
    } else {
        let remedy =
            format!("install participant and trainer from one build; this one is {OWN_RELEASE}");
        Check::failed(TRAINER, about, remedy)
    }];
    // Of its log the level comes first.
    let warns = |line: &&String| line.starts_with("WARN ") || line.starts_with("ERROR ");
    let warnings = tried.said.iter().filter(warns);
    checks.extend(warnings.map(|line| {
        let remedy =
            "what its log warns of in a run, too: docs/OPERATIONS.md, \"What the log says\"";
        Check::warning("trainer.log", line.as_str(), remedy)
    }));
    checks
}

/// No patient, and otherwise as for a run.
fn empty(settings: &Settings, file: &Path, device: DeviceChoice) -> DataSet {
    let keys = &settings.keys;
    let kept_out = [
        &settings.state,
        &keys.signing_key,
        &keys.tls_key,
        &keys.tls_certificate,
    ];
    let kept_out = kept_out.into_iter().map(PathBuf::as_path).chain([file]);
    DataSet {
        patients: List::default(),
        slices: settings.training.slices,
        memory_limit_mib: settings.reading.memory_limit_mib,
        cache: None,
        split: SplitPlan {
            kind: settings.training.split,
            seed: settings.training.seed,
        },
        device,
        confine: settings.trainer.confine,
        kept_out: kept_out
            .filter_map(|path| path::absolute(path).ok().map(FilePath))
            .collect(),
    }
}

fn remedy(settings: &Settings) -> String {
    match settings.trainer.command.as_slice() {
        [] => INSTALL.to_owned(),
        [launcher, ..] => format!(
            "give the command by hand that trainer.command names, with {launcher}: it must start a program within {} s and hand on its \
             streams",
            TO_START.as_secs()
        ),
    }
}

const TRAINER: &str = "trainer";
const OWN_RELEASE: &str = env!("CARGO_PKG_VERSION");
const INSTALL: &str = "install `trainer` beside `participant`, from one build, with libtorch where the user of this program can read it: \
                       docs/OPERATIONS.md, Install";
/// Of a program that loads libtorch, perhaps from a slow disk.
const TO_START: Duration = Duration::from_secs(60);
