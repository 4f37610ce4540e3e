//! `--slurm-script` of `reproduce`: a job array with a task for each shard, and the tables when all have ended.

use std::path::Path;

use anyhow::{Context, bail};

use super::{
    ReproduceCommand,
    configuration::Configuration,
    folder::{Folder, OUTPUTS_OF_SLURM},
};
use crate::{
    shell_words::{quoted, quoted_path},
    slurm::{self, Job, SeenByNodes, Submission, needs_gpu},
};

/// Writes the script.
///
/// # Errors
/// Options that do not fit together or the run in the folder; a device that is not the same one for every task; more shards than
/// trainings; a path that cannot be put into a script; a file that cannot be written.
pub fn write(command: &ReproduceCommand, file: &Path) -> anyhow::Result<()> {
    let options = &command.options;
    let out = options.out_folder();
    let folder = Folder::look(&out)?;
    let elsewhere = Configuration::new(&options.on_no_device(), folder.recorded())?;
    let device = match options.device {
        Some(device) => device,
        None => (elsewhere.device.parse()).context("the device of the run in the output folder")?,
    };
    let gpu = needs_gpu(device)?;
    let configuration = Configuration {
        device: device.to_string(),
        ..elsewhere
    };
    if let Some(recorded) = folder.recorded() {
        configuration.check_same(recorded)?;
    }
    let trainings = configuration.cells().len();
    let shards = options
        .shards
        .map_or(trainings.min(DEFAULT_SHARDS), usize::from);
    if shards > trainings {
        bail!(
            "--shards {shards}: there are {trainings} trainings, and a shard has at least one; choose a number up to {trainings}"
        );
    }
    let nodes = SeenByNodes::by_this_process()?;
    let mut typed = command.typed.clone();
    typed.take("--jobs");
    let log = typed.take("--log");
    let mut start = format!(
        "exec {} reproduce --out={}",
        quoted_path(&nodes.program)?,
        quoted_path(&out)?
    );
    for word in typed.words() {
        start += " ";
        start += &quoted(&word)?;
    }
    let log = log
        .map(|values| quoted(&format!("--log={}", values.join(","))))
        .transpose()?;
    let log = log.map(|word| format!(" {word}")).unwrap_or_default();
    let submission = Submission {
        title: format!(
            "Repeats the study under Slurm: {trainings} trainings in {shards} shards, and then the tables."
        ),
        nodes,
        outputs: out.join(OUTPUTS_OF_SLURM),
        array: Job {
            name: "reproduce".to_owned(),
            cpus: options.jobs.map_or(1, usize::from),
            gpu,
            body: format!(
                "{start} --shard=\"$SLURM_ARRAY_TASK_ID/{shards}\" --jobs=\"$SLURM_CPUS_PER_TASK\"\n"
            ),
        },
        tasks: shards,
        after: Some(Job {
            name: "tables".to_owned(),
            cpus: 1,
            gpu,
            body: format!("{start} --tables-only{log}\n"),
        }),
    };
    slurm::write(&submission.text()?, file)
}

/// Few enough for any cluster, if nobody says otherwise.
const DEFAULT_SHARDS: usize = 10;
