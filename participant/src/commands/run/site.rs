//! A hospital that takes part: within its hours a participant is made of what the settings name, and outside of them there is none.
//!
//! Each beginning is a start anew, as of the program: certificate, roster, data and journal are read again, and a run goes on from what
//! the journal has. The state folder stays locked in between.

use std::{path::Path, pin::pin, sync::Arc, time::Duration};

use anyhow::anyhow;
use crypto::sealed_sum::SumRing;
use getrandom::SysRng;
use host::{failure::Failure, web::WebListener};
use participant::{
    approvals::store::ApprovalStore,
    compute::ComputeSlots,
    enrolment::Upkeep,
    erasure::Erased,
    hours::{EndOfShift, Shift, Worker},
    interruption::NoInterruptions,
    journal::{
        patient::{Patience, PatientJournal},
        sqlite::SqliteJournal,
    },
    settings::Settings,
    shell::{Participant, ParticipantEvent, RunCost, RunError},
    state_folder::StateFolder,
    vault::{Vault, VaultError, consent::Consent, self_test::self_test},
    way_out::{CoordinatorsCertificate, WayOut},
};
use protocol::roster::Roster;
use rand_core::UnwrapErr;
use tokio::sync::mpsc;
use training_log::Ending;
use transport::TransportError;

use super::{curves::LogTargets, outcome::Outcome, post::Post};
use crate::commands::data_set::{self, ReadDataSet};

/// What takes part, or rests.
pub struct Site<'a> {
    settings: &'a Settings,
    /// Where the settings are from.
    file: &'a Path,
    /// Until the page is served.
    listener: Option<WebListener>,
    /// What the numbers of each round are written for.
    log: LogTargets,
    /// Once there is a roster, and something to show.
    post: Option<Post>,
    /// Whether there was a participant before.
    has_begun: bool,
}

/// A run that is over here.
pub struct Ended {
    /// Its last model and what it has cost.
    pub outcome: Outcome,
    /// Locked still.
    pub state: StateFolder,
}

/// A participant that is about to run, and what looks after its certificates meanwhile.
type Ready = (Participant<PatientJournal<SqliteJournal>>, Upkeep);

impl Worker for Site<'_> {
    type Done = RunCost;
    type Error = Failure;

    fn rest(&mut self, until: &str) -> Result<(), Failure> {
        // One that waits for its first roster asks for it when the hours begin.
        if let Some(post) = &self.post {
            post.standing.rest(until);
        } else if self.settings.roster.exists() {
            let credentials = self.settings.credentials().map_err(Failure::settings)?;
            let post = self.post(&credentials.identity.roster)?;
            post.standing.rest(until);
        }
        Ok(())
    }

    async fn work(&mut self, mut end: EndOfShift<'_>) -> Result<Shift<RunCost>, Failure> {
        tokio::select! {
            followed = self.settings.follow_roster(self.file) => followed.map_err(Failure::settings)?,
            () = &mut end => return Ok(Shift::Stopped),
        }
        let (events, mut noted) = mpsc::unbounded_channel();
        let (participant, upkeep) = loop {
            match self.participant(events.clone()) {
                Ok(ready) => break ready,
                // Nobody watches the second beginning, as somebody did the first: a drive may be there again later.
                Err(Failure::Run(error) | Failure::Settings(error) | Failure::Stopped(error))
                    if self.has_begun =>
                {
                    tracing::error!(
                        "this hospital cannot take part now, and tries again in {} min: {error:#}",
                        BEFORE_ANOTHER_TRY.as_secs() / 60
                    );
                    tokio::select! {
                        () = tokio::time::sleep(BEFORE_ANOTHER_TRY) => {}
                        () = &mut end => return Ok(Shift::Stopped),
                    }
                }
                Err(failure) => return Err(failure),
            }
        };
        drop(events);
        self.has_begun = true;
        let Some(post) = &mut self.post else {
            unreachable!("a participant is made at its post")
        };
        let mut run = pin!(participant.run(end));
        let mut upkeep = pin!(upkeep.run());
        let result = loop {
            tokio::select! {
                biased;
                Some(event) = noted.recv() => {
                    post.standing.note(&event);
                    post.diary.note(event);
                }
                result = &mut run => break result,
                never = &mut upkeep => match never {},
            }
        };
        while let Ok(event) = noted.try_recv() {
            post.diary.note(event);
        }
        post.close_ledger();
        match result {
            Ok(cost) => Ok(Shift::Done(cost)),
            Err(RunError::Stopped) => Ok(Shift::Stopped),
            Err(error) => Err(failure(error)),
        }
    }
}

impl<'a> Site<'a> {
    /// Nothing is read or locked yet.
    pub fn new(
        settings: &'a Settings,
        file: &'a Path,
        listener: Option<WebListener>,
        log: LogTargets,
    ) -> Self {
        Self {
            settings,
            file,
            listener,
            log,
            post: None,
            has_begun: false,
        }
    }

    fn post(&mut self, roster: &Roster) -> Result<&mut Post, Failure> {
        match &mut self.post {
            Some(post) => Ok(post),
            post => {
                let listener = self.listener.take();
                Ok(post.insert(Post::open(
                    self.settings,
                    self.file,
                    roster,
                    listener,
                    self.log.clone(),
                )?))
            }
        }
    }

    /// A participant made of what the settings name. The state folder comes last: it is not made for one that cannot start.
    fn participant(
        &mut self,
        events: mpsc::UnboundedSender<ParticipantEvent>,
    ) -> Result<Ready, Failure> {
        let settings = self.settings;
        let credentials = settings.credentials().map_err(Failure::settings)?;
        let coordinators = CoordinatorsCertificate::default();
        let upkeep = Upkeep::new(
            settings.clone(),
            self.file.to_owned(),
            credentials.dialer.shown_certificate(),
            coordinators.clone(),
        );
        let ring = Arc::new(SumRing::new());
        let (mut first, mut second) = (UnwrapErr(SysRng), UnwrapErr(SysRng));
        self_test(&settings.policy.profiles, &ring, &mut first, &mut second)
            .map_err(Failure::run)?;
        let roster = Arc::clone(&credentials.identity.roster);
        let (epoch, fingerprint) = (roster.epoch(), roster.fingerprint());
        tracing::info!(epoch, fingerprint, "the roster");
        let erased = || Erased::read(&settings.state).map_err(Failure::settings);
        let erased_before = erased()?.len();
        if let Some(post) = &self.post {
            post.standing.start(&roster);
        }
        let ReadDataSet {
            table,
            trainer,
            gaps,
            data,
        } = data_set::read(settings, self.file).map_err(data_set::unusable)?;
        let post = self.post(&roster)?;
        post.diary.begin_with(gaps, data);
        if erased()?.len() != erased_before {
            return Err(Failure::Settings(anyhow!(
                "a patient was erased while the data were read: start again"
            )));
        }
        let journal = post.state.journal().map_err(Failure::settings)?;
        let approvals = ApprovalStore::open(post.state.path(), settings.approval, roster.hash());
        let approvals = approvals.map_err(Failure::settings)?;
        let consent = Consent::new(settings.policy.clone(), Box::new(approvals));
        let patience = Arc::new(Patience::default());
        let journal = PatientJournal::new(journal, patience.clone());
        let way_out = WayOut::new(
            credentials.dialer,
            credentials.coordinator,
            roster.threshold(),
            Arc::clone(&post.ledger),
        )
        .noting_certificates_in(coordinators);
        let mut vault = Vault::new(
            credentials.identity,
            consent,
            Box::new(table),
            journal,
            ring,
        );
        vault.resume().map_err(Failure::settings)?;
        let participant = Participant {
            vault,
            trainer: Box::new(trainer),
            way_out,
            slots: ComputeSlots::new(1),
            events,
            interruptions: Arc::new(NoInterruptions),
            patience,
            spans: post.spans.clone(),
            shows_heat: settings.web.is_some(),
        };
        // Whoever reads this may ask `participant status`.
        tracing::info!(hospital = %settings.hospital, device = %settings.training.device, "ready");
        Ok((participant, upkeep))
    }

    /// Keeps the last model. Gives how the run ended here; nothing where there was no run to speak of.
    ///
    /// # Errors
    /// That of `result`, or why there is no model.
    pub fn finish(self, result: Result<RunCost, Failure>) -> Result<Option<Ended>, Failure> {
        let Some(post) = self.post else {
            return result.map(|_| None);
        };
        let Post {
            mut diary, state, ..
        } = post;
        diary.end_curves(match &result {
            Ok(_) => Ending::Complete,
            Err(Failure::Stopped(_)) => Ending::Stopped,
            Err(_) => Ending::Failed,
        });
        let wrong_answers = diary.wrong_answers().clone();
        let ended_before = diary.ended_before().cloned();
        let (models, latest) = diary.into_latest_model();
        if let (Ok(cost), Some(ended)) = (&result, ended_before) {
            let outcome = Outcome {
                run: ended.run,
                model_hash: ended.model_hash,
                learning_round: ended.learning_round,
                cost: *cost,
                model: models.model_of(&ended.run),
                ended_before: true,
                wrong_answers,
            };
            return Ok(Some(Ended { outcome, state }));
        }
        // Also of a run that ended early: its last model is the common one of that round.
        let written = latest
            .as_ref()
            .map(|latest| models.keep(latest, result.is_ok()));
        let cost = match (result, &written) {
            (Ok(cost), _) => cost,
            (Err(failure), Some(Err(error))) => {
                tracing::error!("the common model could not be written either: {error}");
                return Err(failure);
            }
            (Err(failure), _) => return Err(failure),
        };
        let (Some(latest), Some(written)) = (latest, written) else {
            let text = "the run has ended and no sum was opened here; the first refusal in the log above tells why";
            return Err(Failure::Run(anyhow!(text)));
        };
        let outcome = Outcome {
            run: *latest.run(),
            model_hash: *latest.hash(),
            learning_round: latest.learning_round(),
            cost,
            model: written.map_err(Failure::run)?,
            ended_before: false,
            wrong_answers,
        };
        Ok(Some(Ended { outcome, state }))
    }
}

/// Between two tries to begin again.
const BEFORE_ANOTHER_TRY: Duration = Duration::from_secs(600);

/// What the user can set right has the exit code of settings.
fn failure(error: RunError) -> Failure {
    match &error {
        RunError::Stopped => Failure::stopped(error),
        RunError::Vault(
            VaultError::OtherRoster
            | VaultError::Policy(_)
            | VaultError::Rejected { .. }
            | VaultError::Approvals(_)
            | VaultError::Data(_)
            | VaultError::InitialModelMissing(_)
            | VaultError::InitialModelUnusable(_),
        )
        | RunError::Transport(
            TransportError::UntrustedCoordinator { .. }
            | TransportError::RefusedByCoordinator { .. }
            | TransportError::Handshake { .. },
        ) => Failure::settings(error),
        _ => Failure::run(error),
    }
}
