//! The report of a run that is over. Whatever happens to it, the run stays complete and its model kept.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, anyhow};
use host::{
    failure::Failure,
    signals::{BetweenWrites, StopSignals},
};
use participant::{
    approvals::shown::short_id,
    hours::{MachineClock, Moment, Shifts, zone_of_this_machine},
    settings::Settings,
    state_folder::StateFolder,
};
use tokio::{runtime, sync::oneshot};

use super::outcome::Outcome;
use crate::commands::report;

/// Makes it, unless it is there already. `state` keeps others out of the state folder meanwhile.
pub fn report_at_end(
    settings: &Settings,
    file: &Path,
    outcome: &Outcome,
    state: StateFolder,
) -> Option<PathBuf> {
    if outcome.ended_before && report::is_written(settings, &outcome.run) {
        return Some(report::path(settings, &outcome.run));
    }
    let made = if is_outside_hours(settings) {
        Err(anyhow!(
            "it is outside the hours of this hospital (policy.hours)"
        ))
    } else {
        tracing::info!("the run is over; now its report for this hospital is made");
        make(settings, file, outcome, state)
    };
    match made {
        Ok(path) => {
            let shown = path.display();
            tracing::info!("the report of the run, for this hospital alone: {shown}");
            Some(path)
        }
        Err(error) => {
            let (config, run) = (file.display(), short_id(&outcome.run));
            tracing::warn!(
                "the report of the run is not made; the model is kept all the same. To make it later: participant report {run} --config \
                 {config}, with the same --set as here, if any. The reason: {error:#}"
            );
            None
        }
    }
}

/// Ends with the report, or with the first signal: what was asked for, the run, is done.
fn make(
    settings: &Settings,
    file: &Path,
    outcome: &Outcome,
    state: StateFolder,
) -> anyhow::Result<PathBuf> {
    let signals = StopSignals::listen().context("cannot listen for signals")?;
    let (tell, told) = oneshot::channel();
    let writes = BetweenWrites::default();
    let work = {
        let (settings, file, run) = (settings.clone(), file.to_owned(), outcome.run);
        let writes = writes.clone();
        move || {
            let written = catch_unwind(AssertUnwindSafe(|| {
                report::write_of_run(&settings, &file, &run, &state, &writes)
            }));
            let _ = tell.send(written);
        }
    };
    let named = thread::Builder::new().name("report".to_owned());
    named.spawn(work).context("cannot start a thread")?;
    let runtime = runtime::Builder::new_current_thread().build()?;
    let done = runtime.block_on(async {
        tokio::select! {
            written = told => Ok(written),
            signal = signals.first() => Err(signal),
        }
    });
    match done {
        Ok(Ok(Ok(Ok(path)))) => Ok(path),
        Ok(Ok(Ok(Err(
            Failure::Run(error) | Failure::Settings(error) | Failure::Stopped(error),
        )))) => Err(error),
        Ok(Ok(Err(_)) | Err(_)) => Err(anyhow!(
            "the program has a fault, which the log above tells of"
        )),
        // A page that is half written is whole or gone first.
        Err(signal) => {
            writes.settle();
            Err(anyhow!("the program was stopped by {signal}"))
        }
    }
}

fn is_outside_hours(settings: &Settings) -> bool {
    let hours = &settings.allowance.hours;
    if hours.are_always() {
        return false;
    }
    let shifts = zone_of_this_machine().map(|zone| Shifts::new(hours.clone(), zone, MachineClock));
    shifts.is_ok_and(|shifts| matches!(shifts.moment(), Moment::Outside { .. }))
}
