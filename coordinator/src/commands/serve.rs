//! `coordinator serve`.

use std::{
    env, io,
    net::SocketAddr,
    path::{self, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use coordinator::{
    service::{RunReport, Service, ServiceError},
    settings::Settings,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::{Failure, say};

/// Runs one training. Stop it with ctrl-c or SIGTERM: the hospitals are told, and keep the model of the last round.
#[derive(Args)]
pub struct Serve {
    /// The settings file.
    #[arg(long, value_name = "FILE", default_value = "coordinator.toml")]
    config: PathBuf,

    /// Listen at this UDP address instead.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// Train for so many rounds instead.
    #[arg(long)]
    rounds: Option<u32>,

    /// Call the run so instead.
    #[arg(long)]
    name: Option<String>,

    /// Keep the records in this folder instead.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Set any key of the settings file, with its section: --set run.batch_size=16. May be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

impl Serve {
    /// Runs to the end; the last line on stdout is a JSON object.
    pub fn execute(self) -> Result<(), Failure> {
        let flags = self.flags().map_err(Failure::settings)?;
        let environment = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let settings =
            Settings::load(&self.config, environment, &flags).map_err(Failure::settings)?;
        let config = settings.service_config().map_err(Failure::settings)?;
        let runtime = tokio::runtime::Runtime::new()
            .context("cannot start the asynchronous runtime")
            .map_err(Failure::Run)?;
        let hospitals = config.roster.size();
        let report = runtime.block_on(async {
            let shutdown = StopSignals::listen().map_err(|error| Failure::Run(error.into()))?;
            let service = Service::bind(config).map_err(Failure::settings)?;
            let address = service.local_address();
            tracing::info!(%address, hospitals, run = settings.run.name, "waiting for all hospitals to join");
            // Events are logged by the service; here nobody else wants them.
            let (events, _) = mpsc::unbounded_channel();
            service.run(events, shutdown.first()).await.map_err(|error| match error {
                ServiceError::Stopped => Failure::Stopped(error.into()),
                _ => Failure::Run(error.into()),
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

/// The first of ctrl-c and SIGTERM.
struct StopSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    #[cfg_attr(
        not(unix),
        expect(unused_mut, reason = "only the Unix signal is received by reference")
    )]
    async fn first(mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
        tracing::warn!("stopping: telling the hospitals");
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
    json!({
        "result": "complete",
        "model_hash": hex::encode(report.model_hash),
        "missing": report.missing.iter().map(|id| id.get()).collect::<Vec<_>>(),
        "seconds": {
            "adding": report.spent.adding.as_secs_f64(),
            "conditioning": report.spent.conditioning.as_secs_f64(),
        },
        "bytes": traffic,
    })
    .to_string()
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected KEY=VALUE, such as run.rounds=4".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_split_at_the_first_equals_sign() {
        assert_eq!(
            key_and_value("run.name=a=b"),
            Ok(("run.name".to_owned(), "a=b".to_owned()))
        );
        assert!(key_and_value("run.name").is_err() && key_and_value("=3").is_err());
    }
}
