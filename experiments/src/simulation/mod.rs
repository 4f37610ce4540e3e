//! A whole federation on one machine, and the checks that only such a one allows.
//!
//! ```text
//! options -> plan -> cohorts -> each hospital's data -+-> federation (sealed) -> observer, sum check -+-> test -> files, table
//!                                                     '-> plain updates (INSECURE, to compare) -------'
//! ```

mod as_given;
mod baselines;
mod cohorts;
mod costs;
mod expected_sums;
mod fault_plan;
mod federation;
mod history;
mod hospital;
mod interruptions;
mod kept_model;
mod kept_options;
mod notes;
mod observer;
mod options;
mod output;
mod partition;
mod plain_updates;
mod plan;
mod progress;
mod recorder;
mod remarks;
mod run;
mod run_folder;
mod sealed_run;
mod seconds;
mod seeds;
mod slurm_script;
mod steps;
mod sum_check;
mod summary;
mod sweep;
mod swept_option;
mod table;
mod test_metrics;
mod trace;
mod unfinished;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, anyhow, bail};
use host::{failure::Failure, output::say, shown::Format};
use model::end_process;
use model_data::card::{BEST_CARD_FILE, BEST_MODEL_FILE, CARD_FILE, MODEL_FILE};
use protocol::manifest::Manifest;

pub use self::{
    as_given::{AsGiven, as_given},
    cohorts::{account, read_folder},
    fault_plan::{FaultPlan, FaultPlanError, PlannedDrop},
    history::{HospitalRecord, RoundRecord, Validation},
    options::{ConditioningName, SimulateOptions, UpdatesName},
    partition::{Partition, PartitionError, deal_equally},
    plain_updates::RoundAsGiven,
    plan::{DataSource, Plan, PlanError},
    progress::{Progress, Stage},
    seconds::Seconds,
    seeds::phantom_seed,
    steps::{Party, RoundName, Step, Steps},
    summary::{Agreement, Bytes, ConditioningSummary, Sum, Summary},
    table::{leak_warning, sums_in_words},
    test_metrics::{BOOTSTRAP_DRAWS, BOOTSTRAP_SEED, ShownSlice, TestPatient, TestResult},
    trace::Lane,
};
use self::{
    cohorts::Cohorts,
    federation::{Failed, HospitalParts},
    hospital::HospitalData,
    kept_options::KeptOptions,
    output::Output,
    run::RunResult,
    sealed_run::SealedRun,
    trace::TraceFile,
    unfinished::Unfinished,
};
use crate::{
    logged::{LogTargets, Logged, LoggedStep},
    report,
    shell_words::path_in_command,
    stopping::Stopping,
    typed_options::Typed,
};

/// `simulate` as it was typed.
pub type SimulateCommand = Typed<SimulateOptions>;

/// Runs a simulation, or goes on with one: the files into its folder, the table to stdout. `steps` are those of this process.
///
/// # Errors
/// [`Failure`]: options that do not fit together, data that cannot be used, a run that does not reach its end or whose check fails.
pub fn simulate(command: &SimulateCommand, steps: &Steps) -> Result<(), Failure> {
    if let Some(file) = &command.options.slurm_script {
        return slurm_script::write(command, file).map_err(Failure::settings);
    }
    let began = Instant::now();
    let stopping = Stopping::listen()
        .context("cannot listen for signals")
        .map_err(Failure::run)?;
    let begun = match &command.options.resume {
        None => begin(command),
        Some(destination) => go_on(command, destination),
    };
    let (plan, mut unfinished) = begun.map_err(Failure::settings)?;
    let trace = command.options.trace.as_deref().map(TraceFile::create);
    let trace = trace.transpose().map_err(Failure::settings)?;
    if plan.updates == UpdatesName::Sealed {
        stopping.can_go_on(how_to_go_on(&plan.out));
    }
    let progress = Arc::new(Progress::new());
    progress.line(format!("the results go to {}", plan.out.display()));
    let result = run(began, plan, steps, &mut unfinished, &stopping, &progress);
    // Also of a run that did not come to its end.
    let traced = trace.map_or(Ok(()), |trace| trace.write(&steps.so_far()));
    if let Err(error) = &traced {
        progress.line(format!("{error:#}"));
    }
    let result = match result {
        Ok(finished) => {
            let handed_over = finished.hand_over(unfinished, command.options.format);
            return handed_over.and(traced).map_err(Failure::run);
        }
        Err(Failed::ForGood(failure)) => {
            unfinished.go();
            return Err(failure);
        }
        Err(result) => result,
    };
    let can_go_on = unfinished.stays();
    let destination = unfinished.destination().to_owned();
    let still_computes = matches!(result, Failed::StillComputing(_));
    let (Failed::CanGoOn(failure) | Failed::ForGood(failure) | Failed::StillComputing(failure)) =
        result;
    let failure = match can_go_on {
        true => failure.map(|error| anyhow!("{error:#}\nto go on: {}", how_to_go_on(&destination))),
        false => failure,
    };
    if still_computes {
        failure.report();
        end_process(failure.code());
    }
    Err(failure)
}

fn begin(command: &SimulateCommand) -> anyhow::Result<(Plan, Unfinished)> {
    let mut plan = Plan::new(&command.options)?;
    plan.command_line = command.typed.command_line();
    let unfinished = Unfinished::begin(&plan.out, &KeptOptions::new(&command.typed))?;
    Ok((plan, unfinished))
}

fn go_on(command: &SimulateCommand, destination: &Path) -> anyhow::Result<(Plan, Unfinished)> {
    let (unfinished, kept) = Unfinished::resume(destination)?;
    let mut options = kept.to_go_on(&command.typed)?;
    options.out = Some(destination.to_owned());
    let mut plan = Plan::new(&options)?;
    plan.command_line = kept.command_line();
    Ok((plan, unfinished))
}

/// A simulation whose files are written, but for their folder's name.
struct Finished {
    output: Output,
    /// Written once the folder has its name, which is in the files.
    logged: Logged<'static>,
    log: LogTargets,
    folder: PathBuf,
    summary: Summary,
    verdict: anyhow::Result<()>,
}

impl Finished {
    fn hand_over(self, unfinished: Unfinished, format: Format) -> anyhow::Result<()> {
        self.output.finish(unfinished)?;
        self.logged.write(&self.folder.join("logs"), &self.log)?;
        match format {
            Format::Text => say(table::table(&self.summary, &self.folder).trim_end()),
            Format::Json => say(serde_json::to_string(&self.summary)?),
        }
        self.verdict
    }
}

fn run(
    began: Instant,
    mut plan: Plan,
    steps: &Steps,
    unfinished: &mut Unfinished,
    stopping: &Stopping,
    progress: &Arc<Progress>,
) -> Result<Finished, Failed> {
    // A second simulation of one process keeps the first one's threads: results do not depend on them.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(plan.threads)
        .build_global();
    for remark in &plan.remarks {
        progress.line(remark);
    }
    if plan.updates == UpdatesName::Plain {
        progress.line(
            "INSECURE: --updates plain averages updates without encryption, for comparison only",
        );
    }
    let (cohorts, data) =
        data(&mut plan, progress).map_err(|error| Failed::CanGoOn(Failure::Settings(error)))?;
    let manifest = Arc::new(plan.run.manifest());
    let before_baselines = Instant::now();
    let baselines = match plan.baselines {
        true => {
            let kept = unfinished.path(baselines::FILE);
            let made = baselines::kept_or_made(&kept, &plan, &manifest, &data, progress);
            Some(made.map_err(Failed::can_go_on)?)
        }
        false => None,
    };
    // Not the federation's.
    let began = began + before_baselines.elapsed();
    let sealed = SealedRun {
        plan: &plan,
        manifest: &manifest,
        fingerprint: &cohorts.fingerprint,
        stopping,
        progress,
    };
    let (mut run, tests) = train(&sealed, data, unfinished)?;
    run.steps = steps.so_far();
    progress.line("testing the common model");
    let finish = || {
        let test = test_metrics::test(&manifest, &run.model, plan.device, tests, &run.features)?;
        let total = run.seconds_before + began.elapsed().as_secs_f64();
        let summary = Summary::new(&plan, &manifest, &run, &test, total, &cohorts, baselines);
        let output = Output::new(unfinished)?;
        let warnings = &cohorts.left_out;
        write_files(&output, &plan, &manifest, &run, &summary, &test, warnings)?;
        anyhow::Ok(Finished {
            output,
            logged: logged(&plan, &manifest, &summary),
            log: plan.log.clone(),
            folder: plan.out.clone(),
            summary,
            verdict: verdict(&run),
        })
    };
    finish().map_err(Failed::can_go_on)
}

/// The command that goes on with a simulation.
fn how_to_go_on(destination: &Path) -> String {
    format!(
        "experiments simulate --resume {}",
        path_in_command(destination)
    )
}

/// Makes or reads the patients, deals them, and parts each hospital's.
fn data(plan: &mut Plan, progress: &Progress) -> anyhow::Result<(Cohorts, Vec<HospitalData>)> {
    let mut cohorts = cohorts::cohorts(plan, progress)?;
    let patients = std::mem::take(&mut cohorts.by_hospital);
    let data: Vec<HospitalData> = plan
        .hospital_ids()
        .zip(patients)
        .map(|(id, patients)| HospitalData::new(id, patients, plan))
        .collect::<anyhow::Result<_>>()?;
    let steps = data
        .iter()
        .map(|data| data.local_steps(plan.run.batch_size, plan.run.local_epochs))
        .max();
    plan.run.local_steps = steps.unwrap_or(1);
    Ok((cohorts, data))
}

type Tests = Vec<(crypto::sealed_sum::HospitalId, hospital::TestSet)>;

/// Trains as the plan says.
fn train(
    sealed: &SealedRun<'_>,
    data: Vec<HospitalData>,
    unfinished: &mut Unfinished,
) -> Result<(RunResult, Tests), Failed> {
    let SealedRun {
        plan,
        manifest,
        progress,
        ..
    } = *sealed;
    let (mut parts, mut tests, mut records) = (Vec::new(), Vec::new(), BTreeMap::new());
    let (training, validation) = data.iter().fold((0, 0), |(training, validation), data| {
        (
            training + data.training_slices,
            validation + data.validation_slices,
        )
    });
    progress.line(format!(
        "{training} slices to train on, {validation} to validate, over {} hospitals",
        data.len()
    ));
    for data in data {
        parts.push(HospitalParts {
            id: data.id,
            table: data.table,
            images: data.images,
            scans: data.scans,
        });
        tests.push((data.id, data.test));
        records.insert(data.id, data.records);
    }
    let run = match plan.updates {
        UpdatesName::Sealed => sealed.run(parts, records, unfinished)?,
        UpdatesName::Plain => {
            let images = parts
                .into_iter()
                .map(|parts| (parts.id, parts.images))
                .collect();
            let finished = plain_updates::run(plan, manifest, images, &records, progress);
            progress.clear();
            RunResult::of_plain(finished.map_err(Failed::can_go_on)?, manifest.keep)
        }
    };
    Ok((run, tests))
}

fn write_files(
    output: &Output,
    plan: &Plan,
    manifest: &Manifest,
    run: &RunResult,
    summary: &Summary,
    test: &TestResult,
    warnings: &[String],
) -> anyhow::Result<()> {
    output.write_json("summary.json", summary)?;
    output.write_json_lines("metrics.jsonl", &summary::metrics_lines(run))?;
    output.write_json_lines("transcript.jsonl", &run.transcript)?;
    if let Some(roster) = &run.roster {
        output.write("roster.json", roster.as_bytes())?;
    }
    let predictions = test.predictions(manifest.task.class_names());
    output.write("test-predictions.csv", predictions.as_bytes())?;
    let hash = report::write_model(&output.path(MODEL_FILE), manifest, &run.model, summary)?;
    let statistics = run.statistics.as_ref();
    let card = report::model_card(plan, manifest, &run.model, summary, statistics, hash);
    output.write_json(CARD_FILE, &card)?;
    if let Some(best) = &run.best_model {
        let hash = report::write_model(&output.path(BEST_MODEL_FILE), manifest, best, summary)?;
        let card = report::best_model_card(plan, manifest, best, summary, statistics, hash);
        output.write_json(BEST_CARD_FILE, &card)?;
    }
    let classes = plan.run.task.class_names();
    let pictures = report::RunPictures::new(summary, classes, test, &run.steps)?;
    for picture in pictures.all() {
        output.write(&format!("pictures/{}.png", picture.name), &picture.png()?)?;
    }
    let page = report::html(summary, classes, &pictures, test, warnings)?;
    output.write("report.html", page.as_bytes())
}

/// For TensorBoard and MLflow: what every hospital learns of each round, no hospital's own.
fn logged(plan: &Plan, manifest: &Manifest, summary: &Summary) -> Logged<'static> {
    let total = Duration::try_from_secs_f64(summary.seconds.total).unwrap_or_default();
    let steps = summary.history.iter().map(|round| {
        let validation = round.validation.as_ref();
        let values = [
            ("training/loss", round.train_loss),
            ("validation/loss", validation.map(|all| all.loss)),
            ("validation/accuracy", validation.map(|all| all.accuracy)),
        ];
        let known = values
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        LoggedStep {
            seconds: round.seconds,
            number: round.round,
            values: known.collect(),
        }
    });
    Logged {
        experiment: "simulate",
        run: format!("seed-{}-{}", plan.seed, &summary.agreement.model_hash[..8]),
        settings: vec![
            ("hospitals", summary.hospitals.to_string()),
            ("rounds", summary.rounds.to_string()),
            ("data", summary.data.clone()),
            ("task", summary.task.to_owned()),
            ("labels", summary.labels.to_owned()),
            ("split", summary.split.to_owned()),
            ("partition", summary.partition.clone()),
            ("strategy", summary.strategy.clone()),
            ("conditioning", manifest.conditioning.to_string()),
            ("conditioning_form", manifest.conditioning_form.to_string()),
            ("updates", summary.updates.clone()),
            ("learning_rate", manifest.learning_rate.to_string()),
            ("batch_size", manifest.batch_size.to_string()),
            ("local_epochs", manifest.local_epochs.to_string()),
            ("seed", plan.seed.to_string()),
            ("version", summary.code_version.to_owned()),
        ],
        start: SystemTime::now()
            .checked_sub(total)
            .unwrap_or(SystemTime::UNIX_EPOCH),
        steps: steps.collect(),
    }
}

/// A run that ended, but not as it must: its files are there to look at.
fn verdict(run: &RunResult) -> anyhow::Result<()> {
    for fault in &run.faults {
        eprintln!("the check of the sums: {fault}");
    }
    if run.integers_exact == Some(false) {
        bail!("a hospital has opened a sum that is not the sum of the contributions");
    }
    if run.models_equal == Some(false) {
        bail!("the hospitals do not hold the same model");
    }
    Ok(())
}
