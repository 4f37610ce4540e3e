//! A whole federation on one machine, and the checks that only such a one allows.
//!
//! ```text
//! options -> plan -> cohorts -> each hospital's data -+-> federation (sealed) -> observer, sum check -+-> test -> files, table
//!                                                     '-> plain updates (INSECURE, to compare) -------'
//! ```

mod cohorts;
mod expected_sums;
mod fault_plan;
mod federation;
mod filters;
mod history;
mod hospital;
mod interruptions;
mod observer;
mod output;
mod partition;
mod plain_updates;
mod plan;
mod progress;
mod recorder;
mod run;
mod seconds;
mod seeds;
mod sum_check;
mod summary;
mod table;
mod test_metrics;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use anyhow::{Context, bail};
use model_data::card::{CARD_FILE, MODEL_FILE};
use protocol::manifest::Manifest;

pub use self::{
    cohorts::{account, read_folder},
    fault_plan::{FaultPlan, FaultPlanError, PlannedDrop},
    history::{HospitalRecord, RoundRecord, Validation},
    partition::{Partition, PartitionError, deal_equally},
    plan::{DataSource, Plan, PlanError},
    progress::{Progress, Stage},
    seconds::Seconds,
    seeds::phantom_seed,
    summary::{Agreement, Bytes, ConditioningSummary, Sum, Summary},
    table::{leak_warning, sums_in_words},
    test_metrics::{BOOTSTRAP_DRAWS, BOOTSTRAP_SEED, ShownSlice, TestResult},
};
use self::{
    federation::HospitalParts, hospital::HospitalData, observer::Observer, output::Output,
    recorder::Recordings, run::RunResult, sum_check::SumCheck,
};
use crate::{
    commands::{SimulateOptions, UpdatesName},
    report,
};

/// Runs a simulation: the files into its folder, the table to stdout.
///
/// # Errors
/// Options that do not fit together, data that cannot be used, a run that does not reach its end or whose check fails.
#[expect(
    clippy::print_stdout,
    reason = "the table is what the command is asked for"
)]
pub fn simulate(options: &SimulateOptions) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut plan = Plan::new(options)?;
    // A second simulation of one process keeps the first one's threads: results do not depend on them.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(plan.threads)
        .build_global();
    let progress = Arc::new(Progress::new());
    for remark in &plan.remarks {
        progress.line(remark);
    }
    if plan.updates == UpdatesName::Plain {
        progress.line(
            "INSECURE: --updates plain averages updates without encryption, for comparison only",
        );
    }
    let output = Output::new(&plan.out)?;
    let mut cohorts = cohorts::cohorts(&plan, &progress)?;
    let patients = std::mem::take(&mut cohorts.by_hospital);
    let data: Vec<HospitalData> = plan
        .hospital_ids()
        .zip(patients)
        .map(|(id, patients)| HospitalData::new(id, patients, &plan))
        .collect::<anyhow::Result<_>>()?;
    let steps = data
        .iter()
        .map(|data| data.local_steps(plan.run.batch_size, plan.run.local_epochs))
        .max();
    plan.run.local_steps = steps.unwrap_or(1);
    let manifest = Arc::new(plan.run.manifest());

    let (run, tests) = train(&plan, &manifest, data, &output, &progress)?;
    progress.line("testing the common model");
    let test = test_metrics::test(&manifest, &run.model, plan.device, tests, &run.features)?;
    let summary = Summary::new(
        &plan,
        &manifest,
        &run,
        &test,
        began.elapsed().as_secs_f64(),
        &cohorts,
    );
    write_files(
        &output,
        &plan,
        &manifest,
        &run,
        &summary,
        &test,
        &cohorts.warnings,
    )?;
    output.finish()?;
    print!("{}", table::table(&summary, &plan.out));
    verdict(&run)
}

type Tests = Vec<(crypto::sealed_sum::HospitalId, hospital::TestSet)>;

fn train(
    plan: &Plan,
    manifest: &Arc<Manifest>,
    data: Vec<HospitalData>,
    output: &Output,
    progress: &Arc<Progress>,
) -> anyhow::Result<(RunResult, Tests)> {
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
        UpdatesName::Sealed => {
            let recordings = Recordings::default();
            let sums = SumCheck::new(Arc::clone(manifest), recordings.clone(), records);
            let observer = Observer::new(Arc::clone(manifest), Arc::clone(progress), sums);
            let finished = federation::run(plan, parts, &recordings, observer, &output.vaults());
            progress.clear();
            RunResult::of_sealed(finished?, usize::from(plan.hospitals))
                .context("no hospital opened a sum")?
        }
        UpdatesName::Plain => {
            let images = parts
                .into_iter()
                .map(|parts| (parts.id, parts.images))
                .collect();
            let finished = plain_updates::run(plan, manifest, images, &records, progress);
            progress.clear();
            RunResult::of_plain(finished?, manifest.keep)
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
    let hash = report::write_model(
        &output.path(MODEL_FILE),
        manifest,
        run.model.values(),
        summary,
    )?;
    let card = report::model_card(plan, manifest, &run.model, summary, hash);
    output.write_json(CARD_FILE, &card)?;
    let classes = plan.run.task.class_names();
    let pictures = report::RunPictures::new(summary, classes, test)?;
    for picture in pictures.all() {
        output.write(&format!("pictures/{}.png", picture.name), &picture.png()?)?;
    }
    let page = report::html(summary, classes, &pictures, warnings)?;
    output.write("report.html", page.as_bytes())
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
