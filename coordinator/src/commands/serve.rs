//! `coordinator serve`.

use std::{
    io,
    net::SocketAddr,
    path::{self, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use coordinator::{
    service::{RunReport, Service, ServiceError},
    settings::Settings,
};
use host::{
    failure::Failure,
    output::say,
    settings::{environment, key_and_value},
    signals::StopSignals,
};
use protocol::identity::Signed;
use serde_json::json;
use tokio::sync::mpsc;

/// Runs one training: waits until all hospitals have joined, then runs the rounds. A run that was stopped goes on.
///
/// Flags override the settings file for a run that begins. If the state folder keeps a run without a result, because the program was
/// stopped or killed or the machine failed, that run goes on as it was signed, whatever the settings say; --new-run gives it up.
///
/// Stop the program with Ctrl-C or SIGTERM: it tells the hospitals, and they keep the model of the last complete round. A second
/// signal ends it at once. If the disk is full while it runs, the run stands still until there is
/// room.
#[derive(Args)]
pub struct Serve {
    /// The settings file.
    #[arg(long, value_name = "FILE", default_value = "coordinator.toml")]
    config: PathBuf,

    /// The UDP address at which to listen.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// The number of learning rounds.
    #[arg(long)]
    rounds: Option<u32>,

    /// The name of the run.
    #[arg(long)]
    name: Option<String>,

    /// The folder for the records of the run.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// The run to begin, as `coordinator run sign` has made it. Without it the settings say what is run, and the operator's key
    /// (keys.operator_key) has to be here.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rounds", "name"])]
    run: Option<PathBuf>,

    /// Give up the unfinished run that the state folder keeps, if there is one, and begin another one.
    #[arg(long)]
    new_run: bool,

    /// Set any key of the settings file, with its section, for example --set run.batch_size=16. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

impl Serve {
    /// Runs to the end; the last line on stdout is a JSON object.
    pub fn execute(self) -> Result<(), Failure> {
        let flags = self.flags().map_err(Failure::settings)?;
        let settings =
            Settings::load(&self.config, environment(), &flags).map_err(Failure::settings)?;
        let run = self.run.as_deref();
        let mut config = settings.service_config(run).map_err(Failure::settings)?;
        config.new_run = self.new_run;
        let signed = config.manifest.as_ref().map(Signed::digest);
        let asked_for = signed.filter(|_| self.run.is_some());
        let runtime = tokio::runtime::Runtime::new()
            .context("cannot start the asynchronous runtime")
            .map_err(Failure::Run)?;
        let hospitals = config.roster.size();
        let report = runtime.block_on(async {
            let signals = StopSignals::listen().map_err(Failure::run)?;
            let shutdown = async {
                signals.first().await;
                tracing::warn!("stopping: telling the hospitals");
            };
            let service = Service::bind(config).map_err(Failure::settings)?;
            let address = service.local_address();
            let run = service.run_name();
            if asked_for.is_some_and(|run| run != service.run_id()) {
                tracing::warn!(
                    "an unfinished run goes on first: that of --run is not begun. Give the unfinished one up with --new-run, or start this \
                     program again when it has ended"
                );
            }
            if service.is_taken_up() {
                tracing::info!(%address, hospitals, run, "waiting for the hospitals to come back");
            } else {
                tracing::info!(%address, hospitals, run, "waiting for all hospitals to join");
            }
            // Events are logged by the service; here nobody else wants them.
            let (events, _) = mpsc::unbounded_channel();
            service
                .run(events, shutdown)
                .await
                .map_err(|error| match error {
                    ServiceError::Stopped => Failure::stopped(error),
                    _ => Failure::run(error),
                })
        })?;
        say(summary(&report));
        Ok(())
    }

    fn flags(&self) -> io::Result<Vec<(String, String)>> {
        let mut flags = self.set.clone();
        let mut put = |key: &str, value: Option<String>| {
            flags.extend(value.map(|value| (key.to_owned(), value)));
        };
        put("listen", self.listen.map(|address| address.to_string()));
        put("run.rounds", self.rounds.map(|rounds| rounds.to_string()));
        put("run.name", self.name.clone());
        // Unlike the paths in the file, one given here starts where the user is.
        let state = self.state.as_ref().map(path::absolute).transpose()?;
        put("state", state.map(|path| path.display().to_string()));
        Ok(flags)
    }
}

fn summary(report: &RunReport) -> String {
    let traffic: serde_json::Map<_, _> = report
        .traffic
        .iter()
        .map(|(hospital, counts)| {
            (
                hospital.to_string(),
                json!({"up": counts.received_bytes(), "down": counts.sent_bytes()}),
            )
        })
        .collect();
    let suspected: serde_json::Map<_, _> = report
        .suspected
        .iter()
        .map(|(hospital, sums)| (hospital.to_string(), json!(sums)))
        .collect();
    json!({
        "result": "complete",
        "model_hash": hex::encode(report.model_hash),
        "missing": report.missing.iter().map(|id| id.get()).collect::<Vec<_>>(),
        // The key is a contract: scripts read it.
        "doubted": suspected,
        "seconds": {
            "adding": report.spent.adding.as_secs_f64(),
            "conditioning": report.spent.conditioning.as_secs_f64(),
        },
        "bytes": traffic,
    })
    .to_string()
}
