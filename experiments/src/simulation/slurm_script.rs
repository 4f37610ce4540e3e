//! `--slurm-script` of `simulate`: a sweep as a job array, one simulation a task.

use std::{fmt::Write as _, path::Path};

use anyhow::Context;
use protocol::training_job::DeviceChoice;

use super::{
    SimulateCommand,
    options::{SimulateOptions, UpdatesName},
    plan::Plan,
    sweep::{Combination, combinations},
};
use crate::{
    shell_words::{quoted, quoted_path},
    slurm::{self, Job, SeenByNodes, Submission, needs_gpu},
};

/// Writes the script.
///
/// # Errors
/// Options that do not fit together in some combination; a device that is not the same one for every task; a path that cannot be put into a script; a file that cannot be written.
pub fn write(command: &SimulateCommand, file: &Path) -> anyhow::Result<()> {
    let options = &command.options;
    let out = options
        .out
        .as_ref()
        .context("--slurm-script needs --out, the folder of the sweep")?;
    let mut common = command.typed.clone();
    common.take("--threads");
    let varies_device = options.sweep.iter().any(|option| option.name == "device");
    if !varies_device && !common.has("--device") {
        // No GPU is asked for, so none may be found by chance.
        common.put("--device", "cpu");
    }
    let combinations = combinations(&options.sweep, &common)?;
    let mut cases = String::new();
    let mut gpu = false;
    for (number, combination) in (1..).zip(&combinations) {
        let options = checked(combination, command.options.threads)?;
        gpu |= needs_gpu(options.device)?;
        // Without the protocol nothing is kept to go on from.
        let anew = if options.updates == UpdatesName::Plain {
            " anew=yes;"
        } else {
            ""
        };
        let words = in_script(combination.words.iter().cloned())?;
        let _ = writeln!(
            cases,
            "    {number}) run={};{anew} set --{words} ;;",
            combination.name
        );
    }
    let nodes = SeenByNodes::by_this_process()?;
    let body = format!(
        r#"anew=
case $SLURM_ARRAY_TASK_ID in
{cases}esac
sweep={sweep}
out=$sweep/$run
if [[ -e $out/summary.json ]]; then
    echo "$out is finished"
elif [[ -z $anew && -e $sweep/.$run.unfinished/options.json ]]; then
    exec {program} simulate --resume="$out"
else
    exec {program} simulate{words} --threads="$SLURM_CPUS_PER_TASK" "$@" --out="$out"
fi
"#,
        sweep = quoted_path(out)?,
        program = quoted_path(&nodes.program)?,
        words = in_script(common.words())?,
    );
    let submission = Submission {
        title: format!(
            "Simulates {} federations under Slurm, each a task of a job array.",
            combinations.len()
        ),
        nodes,
        outputs: out.join("slurm"),
        array: Job {
            name: "simulate".to_owned(),
            cpus: options.threads.unwrap_or(1),
            gpu,
            body,
        },
        tasks: combinations.len(),
        after: None,
    };
    slurm::write(&submission.text()?, file)
}

/// What a combination means, checked as far as it can be where the nodes' GPUs are not.
fn checked(combination: &Combination, threads: Option<usize>) -> anyhow::Result<SimulateOptions> {
    let options: SimulateOptions = combination.typed.meant()?;
    let here = SimulateOptions {
        threads,
        device: DeviceChoice::Cpu,
        out: None,
        ..options.clone()
    };
    Plan::new(&here).with_context(|| format!("--sweep: {}", combination.words.join(" ")))?;
    Ok(options)
}

/// Each with a blank before it.
fn in_script(words: impl Iterator<Item = String>) -> anyhow::Result<String> {
    let words = words.map(|word| Ok(format!(" {}", quoted(&word)?)));
    words.collect()
}
