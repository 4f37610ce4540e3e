//! The one place that drives the machine: inputs and time in, messages, outcomes and records out.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::machine::{Coordinator, Event, Output, Timestamp};
use crypto::sealed_sum::HospitalId;
use getrandom::{SysRng, rand_core::UnwrapErr};
use protocol::{
    codec::{self, Text},
    digests::ModelHash,
    message::{ToCoordinator, ToVault},
};
use tokio::{sync::mpsc, time::timeout_at};
use transport::CloseCode;

use super::{
    inputs::{Input, Outbound},
    outcomes::Outcomes,
    records::{Records, RecordsError},
};

/// The coordinator's state machine with the operating system's randomness.
pub type Machine = Coordinator<UnwrapErr<SysRng>>;

/// Time the machine took, by kind of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Checking contributions, adding them, making outcomes.
    pub adding: Duration,
    /// Reading CKKS keys and features, multiplying.
    pub conditioning: Duration,
}

/// How a run ended.
pub(super) enum Ending {
    Complete {
        model_hash: ModelHash,
        missing: Vec<HospitalId>,
        doubted: BTreeMap<HospitalId, usize>,
    },
    Failed {
        reason: String,
    },
    Stopped,
    RecordsLost(RecordsError),
}

/// Owns the machine for the length of a run.
pub(super) struct Owner {
    machine: Machine,
    links: BTreeMap<HospitalId, mpsc::Sender<Outbound>>,
    outcomes: Arc<Outcomes>,
    records: Option<Records>,
    events: mpsc::UnboundedSender<Event>,
    started: Instant,
    spent: Spent,
    /// In how many sums the dealer check spoke against a hospital.
    doubted: BTreeMap<HospitalId, usize>,
    ending: Option<Ending>,
}

impl Owner {
    pub(super) fn new(
        machine: Machine,
        outcomes: Arc<Outcomes>,
        records: Option<Records>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        Self {
            machine,
            links: BTreeMap::new(),
            outcomes,
            records,
            events,
            started: Instant::now(),
            spent: Spent::default(),
            doubted: BTreeMap::new(),
            ending: None,
        }
    }

    /// Drives the run to its end, then parts with the hospitals.
    pub(super) async fn drive(mut self, mut queue: mpsc::Receiver<Input>) -> (Ending, Spent) {
        loop {
            // What has arrived counts before the time does: a sign of life that waited in the queue is one.
            for _ in 0..queue.len() {
                if let Ok(input) = queue.try_recv() {
                    self.take_or_stop(input);
                }
            }
            self.let_time_pass();
            if self.ending.is_some() {
                // Also time alone can end a run: nothing more may come then.
                break;
            }
            if let Some(input) = self.next_input(&mut queue).await {
                self.take_or_stop(input);
            }
        }
        self.part(&mut queue).await;
        let ending = self.ending.take().expect("the loop above ends with one");
        let recorded = match self.records.take() {
            Some(records) => records.close(&ending),
            None => Ok(()),
        };
        match (ending, recorded) {
            (Ending::Complete { .. }, Err(error)) => (Ending::RecordsLost(error), self.spent),
            (ending, _) => (ending, self.spent),
        }
    }

    /// The next input, or none when the machine wants to know the time first.
    async fn next_input(&mut self, queue: &mut mpsc::Receiver<Input>) -> Option<Input> {
        // Every sender gone means that the future of the run was dropped.
        let input = match self.machine.poll_timeout() {
            Some(moment) => {
                let moment = self.started + Duration::from_millis(moment.0);
                timeout_at(
                    moment.max(Instant::now() + SHORTEST_SLEEP).into(),
                    queue.recv(),
                )
                .await
                .ok()?
            }
            None => queue.recv().await,
        };
        Some(input.unwrap_or(Input::Stop))
    }

    fn take_or_stop(&mut self, input: Input) {
        match input {
            Input::Stop => self.end(Ending::Stopped),
            input => self.take(input),
        }
    }

    fn let_time_pass(&mut self) {
        let now = self.now();
        if self
            .machine
            .poll_timeout()
            .is_some_and(|moment| moment <= now)
        {
            self.timed(adding, |machine| machine.handle_timeout(now));
            self.carry_out();
        }
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Connected {
                hospital,
                address,
                outbound,
            } => {
                self.links.insert(hospital, outbound);
                self.machine.handle_connected(hospital, now);
                self.record(|records| records.connected(hospital, address));
            }
            Input::Message { hospital, message } => {
                let kind: fn(&mut Spent) -> &mut Duration = match *message {
                    ToCoordinator::EvaluationKey(_)
                    | ToCoordinator::EncryptedFeatures(_)
                    | ToCoordinator::FilterRequest(_) => conditioning,
                    _ => adding,
                };
                self.timed(kind, |machine| {
                    machine.handle_message(hospital, *message, now)
                });
            }
            Input::OfferUpload {
                hospital,
                bytes,
                answer,
            } => {
                // Whoever asked may have gone meanwhile.
                let _ = answer.send(self.machine.check_upload(hospital, bytes));
            }
            Input::Progress { hospital } => self.machine.handle_progress(hospital, now),
            Input::Upload {
                hospital,
                bytes,
                answer,
            } => {
                let verdict = self.timed(adding, |machine| {
                    machine.handle_upload(hospital, &bytes, now)
                });
                let _ = answer.send(verdict);
            }
            Input::Disconnected {
                hospital,
                disconnect,
                traffic,
            } => {
                self.links.remove(&hospital);
                self.machine.handle_disconnected(hospital, now);
                self.record(|records| records.disconnected(hospital, &disconnect, traffic));
            }
            Input::TurnedAway { hospital, reason } => {
                self.record(|records| records.refused(hospital, &reason));
            }
            Input::Stop => {}
        }
        self.carry_out();
    }

    /// Does what the machine wants done.
    fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { to, message } => self.send(to, &message),
                Output::Publish { name, bytes } => self.outcomes.publish(name, bytes),
                Output::Retract { name } => self.outcomes.retract(&name),
                Output::Event(event) => self.take_event(event),
            }
        }
    }

    fn send(&mut self, to: HospitalId, message: &ToVault) {
        let Some(link) = self.links.get(&to) else {
            return;
        };
        let mut outbound = vec![Outbound::Frame(codec::encode_frame(message))];
        if let ToVault::Refused { reason } = message {
            outbound.push(Outbound::Close {
                code: CloseCode::Done,
                reason: reason.0.clone(),
            });
        }
        if outbound
            .into_iter()
            .any(|item| link.try_send(item).is_err())
        {
            // It does not read. Without this handle its writer closes the link.
            self.links.remove(&to);
        }
    }

    fn take_event(&mut self, event: Event) {
        log(&event);
        self.record(|records| records.event(&event));
        match &event {
            Event::Complete {
                model_hash,
                missing,
            } => {
                self.end(Ending::Complete {
                    model_hash: *model_hash,
                    missing: missing.clone(),
                    doubted: self.doubted.clone(),
                });
            }
            Event::Doubted { finding, .. } => {
                *self.doubted.entry(finding.hospital()).or_default() += 1;
            }
            Event::Failed { reason } => self.end(Ending::Failed {
                reason: reason.clone(),
            }),
            _ => {}
        }
        // Whoever started the run may not want to hear.
        let _ = self.events.send(event);
    }

    /// The first ending is the one that counts.
    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    fn record(&mut self, write: impl FnOnce(&mut Records) -> Result<(), RecordsError>) {
        if let Some(records) = &mut self.records
            && let Err(error) = write(records)
        {
            tracing::error!(%error, "the records cannot be kept");
            self.end(Ending::RecordsLost(error));
        }
    }

    /// Says goodbye, and waits a bounded time until the links are closed.
    async fn part(&mut self, queue: &mut mpsc::Receiver<Input>) {
        let (code, reason) = match &self.ending {
            Some(Ending::Complete { .. }) => {
                // Participants that have their last message close by themselves; one that comes late is still served.
                self.wait_for_links(queue, GOODBYE).await;
                (CloseCode::Done, "the run is complete".to_owned())
            }
            Some(Ending::Failed { reason }) => {
                let refused = codec::encode_frame(&ToVault::Refused {
                    reason: Text(reason.clone()),
                });
                for link in self.links.values() {
                    let _ = link.try_send(Outbound::Frame(refused.clone()));
                }
                (CloseCode::Done, "the run has failed".to_owned())
            }
            _ => (
                CloseCode::ShuttingDown,
                "the coordinator was stopped".to_owned(),
            ),
        };
        for link in self.links.values() {
            let _ = link.try_send(Outbound::Close {
                code,
                reason: reason.clone(),
            });
        }
        self.wait_for_links(queue, super::CLOSING).await;
    }

    async fn wait_for_links(&mut self, queue: &mut mpsc::Receiver<Input>, patience: Duration) {
        let end = tokio::time::Instant::now() + patience;
        while !self.links.is_empty() {
            match timeout_at(end, queue.recv()).await {
                Ok(Some(Input::Stop) | None) | Err(_) => return,
                Ok(Some(input)) => self.take(input),
            }
        }
    }

    fn timed<T>(
        &mut self,
        kind: fn(&mut Spent) -> &mut Duration,
        work: impl FnOnce(&mut Machine) -> T,
    ) -> T {
        let begun = Instant::now();
        let result = work(&mut self.machine);
        *kind(&mut self.spent) += begun.elapsed();
        result
    }

    fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

fn adding(spent: &mut Spent) -> &mut Duration {
    &mut spent.adding
}

fn conditioning(spent: &mut Spent) -> &mut Duration {
    &mut spent.conditioning
}

/// What an operator follows a run by. Nothing here is secret: the coordinator knows no secret.
fn log(event: &Event) {
    let numbers = |ids: &[HospitalId]| ids.iter().map(|id| id.get()).collect::<Vec<_>>();
    match event {
        Event::Joined { hospital, missing } => {
            tracing::info!(%hospital, missing, "a hospital has joined")
        }
        Event::SessionReady => tracing::info!("all hospitals hold each other's keys"),
        Event::Waiting { present, needed } => {
            tracing::info!(present, needed, "waiting for hospitals")
        }
        Event::Opened {
            round,
            purpose,
            learning_round,
        } => {
            tracing::info!(
                %round,
                purpose = purpose.name(),
                %learning_round,
                "opened a round"
            );
        }
        Event::Contributed {
            hospital,
            round,
            bytes,
        } => {
            tracing::info!(%hospital, %round, bytes, "a contribution is complete");
        }
        Event::Unlocking {
            round,
            contributors,
        } => {
            tracing::info!(%round, contributors = ?numbers(contributors), "added; waiting for the answers that open the sum");
        }
        Event::OutcomeOut {
            round,
            purpose,
            learning_round,
            contributors,
        } => {
            let contributors = numbers(contributors);
            tracing::info!(
                %round,
                purpose = purpose.name(),
                %learning_round,
                ?contributors,
                "the outcome is out"
            );
        }
        Event::Settled(entry) => tracing::info!(
            round = %entry.round,
            model_hash = entry.model_hash,
            "settled"
        ),
        Event::Abandoned {
            round,
            purpose,
            reason,
        } => {
            tracing::warn!(%round, purpose = purpose.name(), reason, "gave a round up");
        }
        Event::Doubted { round, finding } => {
            tracing::warn!(%round, hospital = %finding.hospital(), "{finding}");
        }
        Event::Rejected { hospital, reason } => {
            tracing::warn!(%hospital, reason, "did not accept a message")
        }
        Event::Complete {
            model_hash,
            missing,
        } => {
            let (model_hash, missing) = (hex::encode(model_hash), numbers(missing));
            tracing::info!(model_hash, ?missing, "the run is complete");
        }
        Event::Failed { reason } => tracing::error!(reason, "the run has failed"),
    }
}

/// How long participants may take to fetch the last outcome and close by themselves.
const GOODBYE: Duration = Duration::from_secs(10);
/// Whatever the machine says, never spin.
const SHORTEST_SLEEP: Duration = Duration::from_millis(5);
