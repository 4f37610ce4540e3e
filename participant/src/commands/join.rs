//! `participant join`.

use std::{
    path::{self, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use host::{
    failure::Failure,
    output::{place_to_write, say},
    signals::StopSignals,
};
use participant::enrolment::{JoinError, Joining, Progress};
use protocol::enrolment::Invitation;
use tokio::time::sleep;

/// Joins a federation that has invited this hospital.
///
/// Makes this hospital's keys, in FOLDER, which they never leave, sends the public halves to the coordinator, and shows the fingerprint
/// of the keys: read it out over the phone to the coordinator's operator, whose number you know from elsewhere. Then waits for the
/// approval. It can be stopped with Ctrl-C and started again in the same way.
#[derive(Args)]
pub struct Join {
    /// The line that the coordinator's operator has sent.
    #[arg(value_name = "TOKEN")]
    token: String,

    /// The folder of this hospital, for keys, certificates and settings. It is made if it does not exist.
    #[arg(value_name = "FOLDER", value_parser = place_to_write())]
    folder: PathBuf,

    /// The folder of the data set, for the settings [default: FOLDER/data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Ask once, and do not wait for the approval: give the same command again after it.
    #[arg(long)]
    no_wait: bool,
}

impl Join {
    /// Waits until the hospital is a member.
    pub fn execute(self) -> Result<(), Failure> {
        let invitation = Invitation::from_token(&self.token).map_err(Failure::settings)?;
        let expires = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(invitation.expires));
        if expires.is_none_or(|expires| expires < SystemTime::now()) {
            // Who has used it in time may still fetch the certificate.
            tracing::warn!(
                "this invitation has expired: ask the coordinator's operator for another one if it is refused"
            );
        }
        let data = self.data.as_ref().map(path::absolute).transpose();
        let data = data.map_err(Failure::settings)?;
        let joining = Joining::begin(invitation, &self.folder).map_err(Failure::settings)?;
        say(format_args!(
            "{}: the keys of this hospital are in {}. Read their fingerprint out to the coordinator's operator, over the phone:",
            joining.name(),
            self.folder.join("keys").display()
        ));
        say(format_args!("  {}", joining.fingerprint()));
        let runtime = tokio::runtime::Runtime::new()
            .context("cannot start the asynchronous runtime")
            .map_err(Failure::Run)?;
        runtime.block_on(async {
            let stopped = StopSignals::listen().map_err(Failure::run)?;
            tokio::select! {
                joined = self.until_joined(&joining, data) => joined,
                signal = stopped.first() => Err(Failure::Stopped(anyhow!(
                    "stopped by {signal} before the approval: the keys are kept, and the same command goes on"
                ))),
            }
        })
    }

    async fn until_joined(&self, joining: &Joining, data: Option<PathBuf>) -> Result<(), Failure> {
        let mut has_told = false;
        loop {
            match joining.ask(data.as_deref()).await {
                Ok(Progress::Joined(hospital)) => {
                    let config = self.folder.join("participant.toml");
                    let config = config.display();
                    say(format_args!("joined, as hospital {hospital}. Next:"));
                    say(format_args!("  participant roster show --config {config}"));
                    say(format_args!("  participant run --config {config}"));
                    return Ok(());
                }
                Ok(Progress::Waiting) if self.no_wait => {
                    say(
                        "the coordinator's operator has yet to approve it: then give the same command again",
                    );
                    return Ok(());
                }
                Ok(Progress::Waiting) => {
                    if !has_told {
                        tracing::info!("waiting for the approval of the coordinator's operator");
                    }
                    has_told = true;
                }
                Err(JoinError::Desk(error)) if error.is_passing() && !self.no_wait => {
                    tracing::warn!("{error}; trying again");
                }
                Err(error) => return Err(Failure::settings(error)),
            }
            sleep(BETWEEN_QUESTIONS).await;
        }
    }
}

const BETWEEN_QUESTIONS: Duration = Duration::from_secs(3);
