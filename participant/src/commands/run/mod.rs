//! `participant run`.

pub mod curves;
pub mod noted;
mod outcome;
mod post;
mod report_at_end;
mod site;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use host::{
    failure::Failure,
    output::say,
    settings::{environment, key_and_value},
    signals::Stopping,
    web::WebListener,
};
use jiff::tz::TimeZone;
use participant::{
    hours::{MachineClock, Shifts, zone_of_this_machine},
    settings::Settings,
    shell::RunError,
};

use self::{
    curves::LogTargets,
    report_at_end::report_at_end,
    site::{Ended, Site},
};
use super::dry_run::DryRun;

/// Takes part in one training: waits for the coordinator, then runs the rounds.
///
/// It starts the program `trainer`, which lies beside this one, and starts it again if it is lost. It may itself be started before
/// the coordinator: it waits, and the log says so. Stop it with Ctrl-C or SIGTERM; the other hospitals
/// continue without it. Started again, also after a crash or a power cut, it goes on in the run that it was in. At the end it writes
/// report.html beside the model: how the run went, and how its model does on this hospital's own test patients. Flags override the settings file for this run. Relative paths given as flags start at the current
/// folder, those in the settings file at the folder of that file.
#[derive(Args)]
pub struct Run {
    /// The settings file.
    #[arg(long, value_name = "FILE", default_value = "participant.toml")]
    config: PathBuf,

    /// The folder of the data set.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The state folder, for the journal and the model.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Which scans of each patient are used: flair, t1, t2, separated by commas.
    #[arg(long, value_name = "LIST")]
    contrasts: Option<String>,

    /// Prepare all slices again, and keep none in the state folder.
    #[arg(long)]
    no_cache: bool,

    /// Where the network is trained: auto, cpu, cuda or cuda:N.
    #[arg(long)]
    device: Option<String>,

    /// How the data are split into training, validation and test: patient or slice.
    #[arg(long)]
    split: Option<String>,

    /// Serve a web page at this address of this machine, such as 127.0.0.1:8081, to watch the run and decide about runs.
    #[arg(long, value_name = "ADDRESS")]
    web: Option<SocketAddr>,

    /// Also write the numbers of each round for these tools, into STATE/logs: tensorboard, mlflow, separated by commas.
    #[arg(long, value_name = "LIST")]
    log: Option<LogTargets>,

    /// Make no report at the end. `participant report` makes it later.
    #[arg(long)]
    no_report: bool,

    /// Set any key of the settings file, with its section, for example --set training.seed=7. May be given several times. A relative path
    /// starts at the current folder.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,

    #[command(flatten)]
    dry: DryRun,
}

impl Run {
    /// Runs to the end; the last line on stdout is a JSON object.
    pub fn execute(self) -> Result<(), Failure> {
        let settings = Settings::load(&self.config, environment(), &self.flags());
        let settings = settings.map_err(Failure::settings)?;
        if self.dry.is_asked_for() {
            return self.dry.execute(settings, &self.config);
        }
        let zone = if settings.allowance.hours.are_always() {
            TimeZone::UTC
        } else {
            zone_of_this_machine().map_err(Failure::settings)?
        };
        let runtime = tokio::runtime::Runtime::new()
            .context("cannot start the asynchronous runtime")
            .map_err(Failure::Run)?;
        let ended = runtime.block_on(self.take_part(&settings, zone))?;
        drop(runtime);
        let Some(Ended { outcome, state }) = ended else {
            return Ok(());
        };
        let report = if self.no_report {
            None
        } else {
            report_at_end(&settings, &self.config, &outcome, state)
        };
        say(outcome.summary(&settings, report.as_deref()));
        Ok(())
    }

    async fn take_part(
        &self,
        settings: &Settings,
        zone: TimeZone,
    ) -> Result<Option<Ended>, Failure> {
        let stopping = Stopping::listen().map_err(Failure::run)?;
        // Before the data are read, which takes long.
        let listener = match settings.web {
            Some(address) => Some(
                WebListener::bind(address)
                    .await
                    .map_err(Failure::settings)?,
            ),
            None => None,
        };
        let hours = settings.allowance.hours.clone();
        let shifts = Shifts::new(hours, zone, MachineClock);
        let log = self.log.clone().unwrap_or_default();
        let mut site = Site::new(settings, &self.config, listener, log);
        let stop = async || {
            stopping.asked().await;
            tracing::warn!("stopping");
        };
        let done = shifts.run(&mut site, stop).await;
        site.finish(done.and_then(|done| done.ok_or_else(|| Failure::stopped(RunError::Stopped))))
    }

    fn flags(&self) -> Vec<(String, String)> {
        let mut flags = self.set.clone();
        let text = |path: &PathBuf| path.display().to_string();
        let given = [
            ("data", self.data.as_ref().map(text)),
            ("state", self.state.as_ref().map(text)),
            ("reading.contrasts", self.contrasts.clone()),
            ("reading.cache", self.no_cache.then(|| "false".to_owned())),
            ("training.device", self.device.clone()),
            ("training.split", self.split.clone()),
            ("web.listen", self.web.map(|address| address.to_string())),
        ];
        flags.extend(
            given
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?))),
        );
        flags
    }
}
