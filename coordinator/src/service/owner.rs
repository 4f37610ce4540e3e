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
    digests::OutcomeName,
    message::{ToCoordinator, ToVault},
};
use tokio::{sync::mpsc, time::timeout_at};
use transport::CloseCode;

use super::{
    ending::Ending,
    event_log,
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
    suspected: BTreeMap<HospitalId, usize>,
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
            suspected: BTreeMap::new(),
            ending: None,
        }
    }

    /// Drives the run to its end, then closes the connections to the hospitals.
    pub(super) async fn drive(mut self, mut queue: mpsc::Receiver<Input>) -> (Ending, Spent) {
        loop {
            // What has arrived counts before the time does: a sign of life that waited in the queue is one.
            for _ in 0..queue.len() {
                if let Ok(input) = queue.try_recv() {
                    self.handle_or_stop(input);
                }
            }
            self.let_time_pass();
            if self.ending.is_some() {
                // Also time alone can end a run: nothing more may come then.
                break;
            }
            if let Some(input) = self.next_input(&mut queue).await {
                self.handle_or_stop(input);
            }
        }
        self.part(&mut queue).await;
        let ending = self.ending.take().expect("the loop above ends with one");
        let recorded = match (self.records.take(), ending.result()) {
            (Some(records), Some(result)) => records.close(&result),
            _ => Ok(()),
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
                timeout_at(moment.max(Instant::now() + MIN_SLEEP).into(), queue.recv())
                    .await
                    .ok()?
            }
            None => queue.recv().await,
        };
        Some(input.unwrap_or(Input::Stop))
    }

    fn handle_or_stop(&mut self, input: Input) {
        match input {
            Input::Stop => self.end(Ending::Stopped),
            input => self.handle(input),
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

    fn handle(&mut self, input: Input) {
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

    /// Does what the machine wants done, in order. What cannot be written down has not happened: nothing that follows it is done.
    fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            if matches!(self.ending, Some(Ending::RecordsLost(_))) {
                return;
            }
            match output {
                Output::Persist(fact) => self.record(|records| records.fact(&fact)),
                Output::Keep { name, bytes } => {
                    self.record(|records| records.keep(name.as_bytes(), &bytes))
                }
                Output::Discard { name } => self.record(|records| records.discard(name.as_bytes())),
                Output::Publish { name, bytes } => {
                    self.record(|records| records.keep(name.as_bytes(), &bytes));
                    self.outcomes.publish(name, bytes);
                }
                Output::Republish { name } => self.republish(name),
                Output::Retract { name } => {
                    self.outcomes.retract(&name);
                    self.record(|records| records.discard(name.as_bytes()));
                }
                Output::Send { to, message } => self.send(to, &message),
                Output::Event(event) => self.on_event(event),
            }
        }
    }

    fn republish(&mut self, name: OutcomeName) {
        let mut kept = None;
        self.record(|records| {
            kept = Some(records.load(name.as_bytes())?);
            Ok(())
        });
        if let Some(bytes) = kept {
            self.outcomes.publish(name, bytes.into());
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

    fn on_event(&mut self, event: Event) {
        event_log::log(&event);
        self.record(|records| records.event(&event));
        match &event {
            Event::Complete {
                model_hash,
                missing,
            } => {
                self.end(Ending::Complete {
                    model_hash: *model_hash,
                    missing: missing.clone(),
                    suspected: self.suspected.clone(),
                });
            }
            Event::Suspected { finding, .. } => {
                *self.suspected.entry(finding.hospital()).or_default() += 1;
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
            tracing::error!(%error, "cannot write the records of the run");
            self.end(Ending::RecordsLost(error));
        }
    }

    /// Tells the hospitals how the run ended, and waits a bounded time until the links are closed.
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
                Ok(Some(input)) => self.handle(input),
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

/// How long participants may take to fetch the last outcome and close by themselves.
const GOODBYE: Duration = Duration::from_secs(10);
/// Whatever the machine says, never spin.
const MIN_SLEEP: Duration = Duration::from_millis(5);
