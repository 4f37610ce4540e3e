//! `coordinator serve`.

use std::{
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use coordinator::{
    enrolment::watch_certificates,
    service::{
        Idle, IdleEnd, RunReport, Service, ServiceConfig, ServiceError, give_up_unfinished_run,
        has_unfinished_run,
    },
    settings::Settings,
    web::Web,
};
use host::{
    failure::Failure,
    output::say,
    settings::{environment, key_and_value},
    signals::Stopping,
    web::WebListener,
};
use protocol::{identity::Signed, manifest::Manifest};
use serde_json::json;
use tokio::{sync::mpsc, time::sleep};

/// Serves the hospitals: waits until they have joined a run, then runs its rounds. A run that was stopped goes on.
///
/// Where the operator's key is not on this machine, it stays, and runs one training after the other as `coordinator run start` gives
/// them; meanwhile hospitals can join the federation (`coordinator invite`). With the key (keys.operator_key), as in a demonstration, or
/// with --run, it runs one training and ends.
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

    /// Serve a web page at this address of this machine, such as 127.0.0.1:8080, to watch and steer runs on.
    #[arg(long, value_name = "ADDRESS")]
    web: Option<SocketAddr>,

    /// Begin this run, as `coordinator run sign` has made it, and end with it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rounds", "name"])]
    run: Option<PathBuf>,

    /// Give up the unfinished run that the state folder keeps, if there is one, and begin another one.
    #[arg(long)]
    new_run: bool,

    /// Set any key of the settings file, with its section, for example --set run.batch_size=16. May be given several times. A
    /// relative path starts at the current folder.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

impl Serve {
    /// Runs to the end; after each run a JSON object on one line of stdout.
    pub fn execute(self) -> Result<(), Failure> {
        let settings = Settings::load(&self.config, environment(), &self.flags());
        let settings = settings.map_err(Failure::settings)?;
        let runtime = tokio::runtime::Runtime::new()
            .context("cannot start the asynchronous runtime")
            .map_err(Failure::Run)?;
        runtime.block_on(async {
            tokio::select! {
                biased;
                served = self.serve(&settings) => served,
                never = watch_certificates(&settings) => match never {},
            }
        })
    }

    async fn serve(&self, settings: &Settings) -> Result<(), Failure> {
        let stop = Stopping::listen().map_err(Failure::run)?;
        let web = page(settings).await?;
        if self.run.is_none() && !settings.keys.operator_key.exists() {
            return self.serve_on(settings, &stop, web.as_ref()).await;
        }
        if self.new_run && self.run.is_none() {
            settings.run().map_err(Failure::settings)?;
        }
        let mut config = settings
            .service_config(self.run.as_deref())
            .map_err(Failure::settings)?;
        config.new_run = self.new_run;
        let signed = config.manifest.as_ref().map(Signed::digest);
        let asked_for = signed.filter(|_| self.run.is_some());
        let service = Service::bind(config).map_err(Failure::settings)?;
        if asked_for.is_some_and(|run| run != service.run_id()) {
            tracing::warn!(
                "an unfinished run goes on first: that of --run is not begun. Give the unfinished one up with --new-run, or start this \
                 program again when it has ended"
            );
        }
        run_to_its_end(service, &stop, web.as_ref()).await
    }

    /// One run after the other, as the operator gives them.
    async fn serve_on(
        &self,
        settings: &Settings,
        stop: &Stopping,
        web: Option<&Web>,
    ) -> Result<(), Failure> {
        let state = &settings.state;
        if self.new_run {
            give_up_unfinished_run(state).map_err(Failure::settings)?;
        }
        let mut begun = None;
        let mut port = Port {
            stop,
            was_ours: false,
        };
        loop {
            let goes_on = match has_unfinished_run(state) {
                Ok(goes_on) => goes_on,
                Err(error) => {
                    port.pause(Failure::settings(error)).await?;
                    continue;
                }
            };
            if goes_on || begun.is_some() {
                let manifest: Option<Signed<Manifest>> = begun.take();
                let bound = port.bind(|| {
                    let config = settings.service_config(None).map_err(Failure::settings)?;
                    let manifest = manifest.clone();
                    Service::bind(ServiceConfig { manifest, ..config }).map_err(Failure::settings)
                });
                let ended = match bound.await {
                    Ok(service) => run_to_its_end(service, stop, web).await,
                    // One that was just given is no reason to end: the next may be better.
                    Err(Failure::Settings(error)) if manifest.is_some() => {
                        Err(Failure::Run(error.context("the run cannot begin")))
                    }
                    Err(error) => Err(error),
                };
                match ended {
                    Err(Failure::Run(error)) => tracing::error!("the run has failed: {error:#}"),
                    ended => ended?,
                }
                continue;
            }
            begun = match wait_for_a_run(settings, &mut port).await {
                Ok(IdleEnd::Begin(manifest)) => Some(*manifest),
                Ok(IdleEnd::StartAnew) => None,
                Ok(IdleEnd::Stopped) => {
                    return Err(Failure::Stopped(anyhow!("stopped; no run was under way")));
                }
                Err(failure) => {
                    port.pause(failure).await?;
                    None
                }
            };
        }
    }

    fn flags(&self) -> Vec<(String, String)> {
        let mut flags = self.set.clone();
        let mut put = |key: &str, value: Option<String>| {
            flags.extend(value.map(|value| (key.to_owned(), value)));
        };
        put("listen", self.listen.map(|address| address.to_string()));
        put("run.rounds", self.rounds.map(|rounds| rounds.to_string()));
        put("run.name", self.name.clone());
        put("web.listen", self.web.map(|address| address.to_string()));
        let state = self.state.as_ref();
        put("state", state.map(|path| path.display().to_string()));
        flags
    }
}

/// The web page, if the settings name an address for it.
async fn page(settings: &Settings) -> Result<Option<Web>, Failure> {
    let Some(address) = settings.web else {
        return Ok(None);
    };
    let listener = WebListener::bind(address).await;
    let web = listener.and_then(|listener| Web::start(listener, settings.clone()));
    let web = web.map_err(Failure::settings)?;
    let (address, token) = (web.address(), web.token_file().display());
    tracing::info!("the web page is at http://{address}/; its token is in {token}");
    Ok(Some(web))
}

fn introduce(service: &Service) {
    let (address, run) = (service.local_address(), service.run_name());
    let (epoch, fingerprint) = (service.roster().epoch(), service.roster().fingerprint());
    tracing::info!(epoch, fingerprint, "the roster");
    let hospitals = service.roster().size();
    if service.is_taken_up() {
        tracing::info!(%address, hospitals, run, "waiting for the hospitals to come back");
    } else {
        tracing::info!(%address, hospitals, run, "waiting for all hospitals to join");
    }
}

async fn run_to_its_end(
    service: Service,
    stop: &Stopping,
    web: Option<&Web>,
) -> Result<(), Failure> {
    service.span().in_scope(|| introduce(&service));
    let shutdown = async {
        stop.asked().await;
        tracing::warn!("stopping: telling the hospitals");
    };
    // Events are logged by the service; without a page nobody else wants them.
    let nobody = || mpsc::unbounded_channel().0;
    let events = web.map_or_else(nobody, Web::events_of_run);
    let report = service.run(events, shutdown).await;
    let report = report.map_err(|error| match error {
        ServiceError::Stopped => Failure::stopped(error),
        _ => Failure::run(error),
    })?;
    say(summary(&report));
    Ok(())
}

async fn wait_for_a_run(settings: &Settings, port: &mut Port<'_>) -> Result<IdleEnd, Failure> {
    let roster_file = || {
        let about = fs::metadata(&settings.roster).ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    let (before, began) = (roster_file(), Instant::now());
    let (mut admits, mut epoch) = (false, None);
    let idle = port.bind(|| {
        let config = settings.idle_config().map_err(Failure::settings)?;
        admits = config.desk.is_some();
        let roster = config.roster.as_ref();
        epoch = roster.map(|roster| (roster.epoch(), roster.fingerprint()));
        Idle::bind(config).map_err(Failure::settings)
    });
    let idle = idle.await?;
    match &epoch {
        Some((epoch, fingerprint)) => tracing::info!(epoch, fingerprint, "the roster"),
        None => tracing::info!("there is no roster yet"),
    }
    tracing::info!(
        address = %settings.listen,
        admits_hospitals = admits,
        "no run is under way; `coordinator run start FILE` begins one"
    );
    // Once a day also for a certificate of its own that ends soon.
    let starts_anew = || roster_file() != before || began.elapsed() > LONGEST_IDLE;
    Ok(idle.wait(starts_anew, port.stop.asked()).await)
}

/// The address, which one end-point after the other uses.
struct Port<'a> {
    stop: &'a Stopping,
    was_ours: bool,
}

impl Port<'_> {
    /// What stands against serving at the first start ends the program. Later it may pass, as a file that is being replaced: it is told,
    /// and tried again.
    async fn pause(&self, failure: Failure) -> Result<(), Failure> {
        let Failure::Settings(error) = failure else {
            return Err(failure);
        };
        if !self.was_ours {
            return Err(Failure::Settings(error));
        }
        tracing::error!("cannot serve at present, trying again: {error:#}");
        tokio::select! {
            () = sleep(BETWEEN_STARTS) => Ok(()),
            () = self.stop.asked() => Err(Failure::Stopped(error)),
        }
    }

    /// The end-point that this process had before may take a moment to close; its peers decide how long.
    async fn bind<T>(
        &mut self,
        mut bind: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        loop {
            match bind() {
                Err(Failure::Settings(error)) if self.was_ours && is_in_use(&error) => {
                    tokio::select! {
                        () = sleep(BETWEEN_TRIES) => {}
                        () = self.stop.asked() => return Err(Failure::Stopped(error)),
                    }
                }
                bound => {
                    self.was_ours |= bound.is_ok();
                    return bound;
                }
            }
        }
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::AddrInUse)
    })
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

const BETWEEN_STARTS: Duration = Duration::from_secs(5);
const LONGEST_IDLE: Duration = Duration::from_secs(24 * 3600);
const BETWEEN_TRIES: Duration = Duration::from_millis(100);
