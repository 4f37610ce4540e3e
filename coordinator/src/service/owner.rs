//! The one place that drives the machine: inputs and time in, messages, outcomes and records out.
//!
//! What cannot be written down has not happened. Then the run stands still: nothing more is done or heard, and the machine's clock
//! stands still too, until the writing succeeds or somebody stops this process.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    control::{Answer, HospitalStatus, Request, Status},
    machine::{Coordinator, Event, Output, Timestamp},
};
use crypto::sealed_sum::HospitalId;
use getrandom::{SysRng, rand_core::UnwrapErr};
use host::spans;
use protocol::{
    codec::{self, Text},
    digests::{LearningRound, OutcomeName, RoundNumber},
    message::{DECLINES_THE_RUN, ToCoordinator, ToVault},
    roster::Member,
};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep_until, timeout_at},
};
use tracing::{Span, debug_span};
use transport::{CloseCode, Disconnect};

use super::{
    ending::Ending,
    event_log,
    inbox::Inbox,
    inputs::{Input, Outbox, QueueFull},
    outcomes::{Outcome, Outcomes},
    records::Records,
    records_error::RecordsError,
    registry::Registry,
    spent::Spent,
    start::Started,
    uploads::UploadShelf,
};

/// The coordinator's state machine with the operating system's randomness.
pub type Machine = Coordinator<UnwrapErr<SysRng>>;

/// Owns the machine for the length of a run.
pub(super) struct Owner {
    machine: Machine,
    /// Taken out of the machine and not carried out yet.
    outputs: VecDeque<Output>,
    /// The first of `outputs` could not be written down.
    standstill: Option<Standstill>,
    links: BTreeMap<HospitalId, Link>,
    registry: Arc<Registry>,
    outcomes: Arc<Outcomes>,
    uploads: Arc<UploadShelf>,
    records: Option<Records>,
    events: mpsc::UnboundedSender<Event>,
    /// When the machine's clock was at zero; later by the time of every standstill.
    started: Instant,
    next_report: Instant,
    spent: Spent,
    /// In how many sums the dealer check spoke against a hospital.
    suspected: BTreeMap<HospitalId, usize>,
    ending: Option<Ending>,
    span: Span,
    /// Of the round at hand.
    round_span: Span,
    names: BTreeMap<HospitalId, String>,
}

/// The way to a hospital that is connected.
struct Link {
    outbox: Outbox,
    /// So many of its messages were not accepted.
    rejected: u32,
}

/// Nothing goes on, because something cannot be written.
struct Standstill {
    since: Instant,
    told: Instant,
}

impl Owner {
    pub(super) fn new(
        started: Started,
        outcomes: Arc<Outcomes>,
        uploads: Arc<UploadShelf>,
        registry: Arc<Registry>,
        records: Option<Records>,
        events: mpsc::UnboundedSender<Event>,
        span: Span,
    ) -> Self {
        let now = Instant::now();
        let members = started.machine.roster().members();
        let names = members.map(|member| (member.id, member.name.clone()));
        Self {
            names: names.collect(),
            round_span: Span::none(),
            span,
            machine: started.machine,
            outputs: started.outputs.into(),
            standstill: None,
            links: BTreeMap::new(),
            registry,
            outcomes,
            uploads,
            records,
            events,
            started: now,
            next_report: now + REPORT_EVERY,
            spent: Spent::default(),
            suspected: BTreeMap::new(),
            ending: None,
        }
    }

    /// Drives the run to its end, or until it is told to stop, then closes the connections to the hospitals.
    pub(super) async fn drive(
        mut self,
        mut inbox: Inbox,
        mut stop: watch::Receiver<bool>,
    ) -> (Ending, Spent) {
        // A run that is taken up again may have to go on by itself.
        self.carry_out();
        let now = self.now();
        self.timed(adding, |machine| machine.handle_timeout(now));
        self.carry_out();
        while self.ending.is_none() {
            if self.standstill.is_some() {
                self.try_again(&mut inbox, &mut stop).await;
                continue;
            }
            // What has arrived counts before the time does: a sign of life that waited in the queue is one.
            for _ in 0..inbox.len() {
                if self.goes_on()
                    && let Some(input) = inbox.try_next()
                {
                    self.handle(input);
                }
            }
            if self.goes_on() {
                self.let_time_pass();
                self.report_waiting();
            }
            // Also time alone can end a run: nothing more may come then.
            if self.goes_on() {
                self.next_input(&mut inbox, &mut stop).await;
            }
        }
        // A hospital that was told of a failure does not come back: if the run went on after a restart, it would lack that one.
        if matches!(self.ending, Some(Ending::Failed { .. })) {
            self.record_ending(&mut inbox, &mut stop).await;
            self.part(&mut inbox, &mut stop).await;
        } else {
            self.part(&mut inbox, &mut stop).await;
            self.record_ending(&mut inbox, &mut stop).await;
        }
        let ending = self.ending.expect("the run is driven to one");
        (ending, self.spent)
    }

    fn goes_on(&self) -> bool {
        self.ending.is_none() && self.standstill.is_none()
    }

    /// Waits for the next input and handles it, until the machine wants to know the time.
    async fn next_input(&mut self, inbox: &mut Inbox, stop: &mut watch::Receiver<bool>) {
        let moment = self
            .machine
            .poll_timeout()
            .map(|moment| self.started + Duration::from_millis(moment.0));
        let moment = moment.map_or(self.next_report, |moment| moment.min(self.next_report));
        let moment = moment.max(Instant::now() + MIN_SLEEP);
        let input = tokio::select! {
            biased;
            () = told_to_stop(stop) => None,
            input = inbox.next() => input,
            () = sleep_until(moment.into()) => return,
        };
        match input {
            Some(input) => self.handle(input),
            // Also when every sender is gone: the future of the run was dropped.
            None => self.end(Ending::Stopped),
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

    /// While the run waits, a line says so from time to time.
    fn report_waiting(&mut self) {
        if Instant::now() < self.next_report {
            return;
        }
        self.next_report = Instant::now() + REPORT_EVERY;
        let report = self.machine.waiting(self.now());
        if let Some(report) = report.filter(|report| report.waited_secs >= WORTH_A_LINE_SECS) {
            self.round_span.in_scope(|| event_log::log_waiting(&report));
        }
    }

    fn handle(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Connected {
                hospital,
                address,
                outbox,
                ..
            } => {
                let rejected = 0;
                self.links.insert(hospital, Link { outbox, rejected });
                self.machine.handle_connected(hospital, now);
                self.note(|records| records.connected(hospital, address));
            }
            Input::Message {
                hospital,
                message,
                room: _room,
                ..
            } => {
                let is_shut_out = self.registry.is_shut_out(hospital, Instant::now());
                if is_shut_out || !self.links.contains_key(&hospital) {
                    // Said before it heard that its connection is closed. Each may cost a line of the log.
                    return;
                }
                let kind: fn(&mut Spent) -> &mut Duration = match *message {
                    ToCoordinator::EvaluationKey(_)
                    | ToCoordinator::EncryptedFeatures(_)
                    | ToCoordinator::FilterRequest(_) => conditioning,
                    _ => adding,
                };
                let _round = self.round_span.clone().entered();
                let _step = step_of(&message).entered();
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
                let _round = self.round_span.clone().entered();
                let _step = debug_span!("adding").entered();
                let verdict = self.timed(adding, |machine| {
                    machine.handle_upload(hospital, bytes, now)
                });
                let _ = answer.send(verdict);
            }
            Input::Disconnected {
                hospital,
                disconnect,
                traffic,
                ..
            } => {
                self.links.remove(&hospital);
                self.machine.handle_disconnected(hospital, now);
                self.note_if_it_declines(hospital, &disconnect);
                self.note(|records| records.disconnected(hospital, &disconnect, traffic));
            }
            Input::Operator { request, answer } => {
                let said = self.on_operator(request);
                let _ = answer.send(said);
            }
            Input::TurnedAway { hospital, reason } => {
                self.note(|records| records.refused(hospital, &reason));
            }
        }
        self.carry_out();
    }

    /// A hospital that stays out of the run by a decision has said why.
    fn note_if_it_declines(&mut self, hospital: HospitalId, disconnect: &Disconnect) {
        if let Disconnect::ByPeer {
            code: CloseCode::Application(DECLINES_THE_RUN),
            reason,
        } = disconnect
        {
            let _within = event_log::span_of(hospital, &self.names).entered();
            tracing::warn!(
                %hospital,
                reason,
                "this hospital does not take part in the run. To go on without it: coordinator run without {hospital}"
            );
            self.note(|records| records.refused(Some(hospital), reason));
        }
    }

    fn on_operator(&mut self, request: Request) -> Answer {
        let now = self.now();
        match request {
            Request::Status => Answer::Status(Box::new(self.status(now))),
            Request::Start { .. } => Answer::Refused {
                reason: format!(
                    "the run {:?} is under way; another one can begin when it has ended",
                    self.machine.manifest().name.0
                ),
            },
            Request::Pause { run } => self.of_this_run(&run, |machine| machine.pause(true, now)),
            Request::Resume { run } => self.of_this_run(&run, |machine| machine.pause(false, now)),
            Request::Stop { run, keep_best } => {
                let said = self.of_this_run(&run, |machine| match keep_best {
                    true => machine.end_after_this_round(now),
                    false => machine.stop(now),
                });
                self.once_written(said)
            }
            Request::Without { hospital } => {
                let known = HospitalId::new(hospital);
                let known = known.ok_or_else(|| format!("{hospital} is no hospital's number"));
                known
                    .and_then(|hospital| self.machine.go_on_without(hospital, now))
                    .into()
            }
        }
    }

    /// What is said to be done is on disk.
    fn once_written(&mut self, said: Answer) -> Answer {
        self.carry_out();
        match said {
            Answer::Done if self.standstill.is_some() => Answer::Refused {
                reason: "this cannot be written down: the run stands still, as its log tells. It holds once the disk can be written to; \
                         if this coordinator is started again before, say it again"
                    .to_owned(),
            },
            other => other,
        }
    }

    /// What the operator says of a run, if it is the one under way.
    fn of_this_run(
        &mut self,
        run: &str,
        order: impl FnOnce(&mut Machine) -> Result<(), String>,
    ) -> Answer {
        let id = hex::encode(self.machine.run());
        if !id.starts_with(run) || run.len() < MIN_RUN_DIGITS {
            let reason = format!(
                "the run under way is {id}: give that, or its first digits, {MIN_RUN_DIGITS} at least"
            );
            return Answer::Refused { reason };
        }
        let was_paused = self.machine.is_paused();
        let said = order(&mut self.machine).into();
        match (was_paused, self.machine.is_paused()) {
            (false, true) => tracing::warn!(
                "the operator has paused the run: no further sum is opened until `coordinator run resume`, or until this coordinator is \
                 started again"
            ),
            (true, false) => tracing::info!("the operator has the run go on"),
            _ => {}
        }
        said
    }

    /// Where the run stands.
    fn status(&self, now: Timestamp) -> Status {
        let (manifest, report) = (self.machine.manifest(), self.machine.waiting(now));
        let (traffic, live) = (self.registry.traffic(), self.registry.live());
        let waited_for = report.iter().flat_map(|report| &report.hospitals);
        let waited_for: BTreeMap<_, _> = waited_for.map(|one| (one.hospital, one)).collect();
        let hospital = |member: &Member| {
            let counts = traffic.get(&member.id).copied().unwrap_or_default();
            let waited_for = waited_for.get(&member.id);
            let mut live = live.iter();
            HospitalStatus {
                hospital: member.id.get(),
                name: member.name.clone(),
                address: live
                    .find(|live| live.hospital == member.id)
                    .map(|live| live.address.to_string()),
                waited_for: waited_for.map(|one| one.state.name().to_owned()),
                last_heard_secs: waited_for.and_then(|one| one.last_heard_secs),
                bytes_up: counts.received_bytes(),
                bytes_down: counts.sent_bytes(),
            }
        };
        Status {
            schema: Status::SCHEMA,
            name: manifest.name.0.clone(),
            run: hex::encode(self.machine.run()),
            rounds: self.machine.learning_rounds(),
            phase: self.machine.phase().to_string(),
            sum: self.machine.last_round().map(RoundNumber::get),
            learning_round: self.machine.learning_round().map(LearningRound::get),
            phase_secs: report.as_ref().map_or(0, |report| report.waited_secs),
            ends_in_secs: report.as_ref().and_then(|report| report.ends_in_secs),
            stands_still: self.standstill.is_some(),
            paused: self.machine.is_paused(),
            hospitals: self.machine.roster().members().map(hospital).collect(),
        }
    }

    /// Does what the machine wants done, in order, up to what cannot be written down.
    fn carry_out(&mut self) {
        loop {
            self.outputs
                .extend(std::iter::from_fn(|| self.machine.poll_output()));
            let Some(output) = self.outputs.pop_front() else {
                return;
            };
            match self.write_down(&output) {
                Ok(()) => {
                    self.go_on();
                    self.act(output);
                }
                Err(error) => {
                    self.outputs.push_front(output);
                    return self.stand_still(error);
                }
            }
        }
    }

    /// What has to be on disk before the output has its effect. To be repeated until it succeeds.
    fn write_down(&mut self, output: &Output) -> Result<(), RecordsError> {
        let Some(records) = &mut self.records else {
            return Ok(());
        };
        match output {
            Output::Persist(fact) => records.fact(fact),
            Output::Keep { name, bytes } => records.keep(name.as_bytes(), bytes),
            Output::Publish {
                name,
                sum: Some(sum),
                bytes,
            } => records.keep_outcome(name.as_bytes(), bytes, sum.as_bytes()),
            Output::Publish {
                name,
                sum: None,
                bytes,
            } => records.keep(name.as_bytes(), bytes),
            Output::Event(event) => records.event(event),
            Output::Discard { .. }
            | Output::Republish { .. }
            | Output::Retract { .. }
            | Output::Send { .. } => Ok(()),
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Persist(_) | Output::Keep { .. } => {}
            Output::Discard { name } => self.note(|records| records.discard(name.as_bytes())),
            Output::Publish { name, bytes, .. } => {
                let in_memory = Outcome::InMemory(bytes);
                let outcome = self.outcome_in_files(name).unwrap_or(in_memory);
                self.outcomes.publish(name, outcome);
            }
            Output::Republish { name } => {
                // That it is there was seen when the run was taken up.
                if let Some(outcome) = self.outcome_in_files(name) {
                    self.outcomes.publish(name, outcome);
                }
            }
            Output::Retract { name } => {
                self.outcomes.retract(&name);
                self.note(|records| records.discard(name.as_bytes()));
            }
            Output::Send { to, message } => self.send(to, &message),
            Output::Event(event) => self.on_event(event),
        }
    }

    fn outcome_in_files(&self, name: OutcomeName) -> Option<Outcome> {
        let files = self.records.as_ref()?.files_of(name.as_bytes())?;
        Some(Outcome::InFiles(files))
    }

    fn stand_still(&mut self, error: RecordsError) {
        let _within = self.round_span.clone().entered();
        let now = Instant::now();
        match &mut self.standstill {
            None => {
                let error = anyhow::Error::from(error);
                tracing::error!(
                    "the run stands still until this can be written: {error:#}. Nothing is lost; it is tried again every {} s",
                    RETRY_EVERY.as_secs()
                );
                self.standstill = Some(Standstill {
                    since: now,
                    told: now,
                });
            }
            Some(standstill) if now.duration_since(standstill.told) >= REPORT_EVERY => {
                standstill.told = now;
                let secs = now.duration_since(standstill.since).as_secs();
                let error = anyhow::Error::from(error);
                tracing::error!(
                    "the run has stood still for {secs} s and waits until this can be written: {error:#}"
                );
            }
            Some(_) => {}
        }
    }

    /// The time of a standstill counts against nobody.
    fn go_on(&mut self) {
        if let Some(standstill) = self.standstill.take() {
            let _within = self.round_span.clone().entered();
            let pause = standstill.since.elapsed();
            self.started += pause;
            tracing::warn!(
                "what could not be written is written: the run goes on after a standstill of {} s",
                pause.as_secs()
            );
        }
    }

    async fn try_again(&mut self, inbox: &mut Inbox, stop: &mut watch::Receiver<bool>) {
        match pause(inbox, stop, |request| self.on_operator_meanwhile(&request)).await {
            Pause::Over => self.carry_out(),
            Pause::Stopped => self.end(Ending::Stopped),
        }
    }

    /// While nothing can be written.
    fn on_operator_meanwhile(&self, request: &Request) -> Answer {
        match request {
            Request::Status => {
                // The machine's clock stands still too.
                let since = self.standstill.as_ref().map(|standstill| standstill.since);
                let now = since.map_or_else(|| self.now(), |since| self.at(since));
                Answer::Status(Box::new(Status {
                    stands_still: true,
                    ..self.status(now)
                }))
            }
            _ => Answer::Refused {
                reason: STANDS_STILL.to_owned(),
            },
        }
    }

    fn send(&mut self, to: HospitalId, message: &ToVault) {
        let Some(link) = self.links.get(&to) else {
            return;
        };
        let mut sent = link.outbox.send(codec::encode_frame(message));
        if let (Ok(()), ToVault::Refused { reason }) = (&sent, message) {
            sent = link.outbox.close(CloseCode::Done, reason.0.clone());
        }
        if let Err(QueueFull) = sent {
            // It does not read. Without this handle its writer closes the link.
            self.links.remove(&to);
        }
    }

    fn on_event(&mut self, event: Event) {
        if let Event::Opened { round, purpose, .. } = &event {
            self.round_span = spans::round(&self.span, *round, *purpose);
        }
        self.round_span
            .in_scope(|| event_log::log(&event, &self.names));
        if let Event::Settled(_) | Event::DidNotOpen { .. } | Event::Abandoned { .. } = &event {
            self.round_span = Span::none();
        }
        match &event {
            Event::Complete {
                model_hash,
                missing,
            } => {
                self.end(Ending::Complete {
                    model_hash: *model_hash,
                    early: self.machine.early_end(),
                    missing: missing.clone(),
                    suspected: self.suspected.clone(),
                });
            }
            Event::Unlocking { .. } | Event::Abandoned { .. } => self.uploads.forget_cut(),
            Event::Suspected { finding, .. } => {
                *self.suspected.entry(finding.hospital()).or_default() += 1;
            }
            Event::Rejected { hospital, .. } => self.note_rejected(*hospital),
            Event::Failed { reason } => self.end(Ending::Failed {
                reason: reason.clone(),
            }),
            _ => {}
        }
        // Whoever started the run may not want to hear.
        let _ = self.events.send(event);
    }

    /// One whose messages are not accepted again and again costs work and fills the log: it is shut out for a while.
    fn note_rejected(&mut self, hospital: HospitalId) {
        let Some(link) = self.links.get_mut(&hospital) else {
            return;
        };
        link.rejected += 1;
        if link.rejected < MAX_REJECTED {
            return;
        }
        let secs = SHUT_OUT_FOR.as_secs();
        let _within = event_log::span_of(hospital, &self.names).entered();
        tracing::warn!(
            %hospital,
            "{MAX_REJECTED} messages of this hospital were not accepted over one connection: it is shut out for {secs} s"
        );
        let reason = format!(
            "the coordinator has not accepted {MAX_REJECTED} messages of this hospital, and lets it in again in {secs} s; its log says why"
        );
        let _ = link.outbox.close(CloseCode::Violation, reason);
        self.registry
            .shut_out(hospital, Instant::now() + SHUT_OUT_FOR);
        self.links.remove(&hospital);
    }

    /// The first ending is the one that counts.
    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    /// For records without which the run goes on.
    fn note(&mut self, write: impl FnOnce(&mut Records)) {
        if let Some(records) = &mut self.records {
            write(records);
        }
    }

    /// Whether the run still takes in what comes. One that is stopped goes on another time: that its hospitals leave now must not look
    /// as if they were gone, or it would go on without them.
    fn machine_hears(&self) -> bool {
        self.standstill.is_none() && !matches!(self.ending, Some(Ending::Stopped))
    }

    /// Tells the hospitals how the run ended, and waits a bounded time until the links are closed.
    async fn part(&mut self, inbox: &mut Inbox, stop: &mut watch::Receiver<bool>) {
        let (code, reason) = match &self.ending {
            Some(Ending::Complete { .. }) => {
                // Participants that have their last message close by themselves; one that comes late is still served.
                tokio::select! {
                    () = self.wait_for_links(inbox, GOODBYE) => {}
                    () = told_to_stop(stop) => {}
                }
                (CloseCode::Done, "the run is complete".to_owned())
            }
            Some(Ending::Failed { reason }) => {
                let refused = codec::encode_frame(&ToVault::Refused {
                    reason: Text(reason.clone()),
                });
                for link in self.links.values() {
                    let _ = link.outbox.send(refused.clone());
                }
                (CloseCode::Done, "the run has failed".to_owned())
            }
            _ => (CloseCode::ShuttingDown, super::STOPPED.to_owned()),
        };
        for link in self.links.values() {
            let _ = link.outbox.close(code, reason.clone());
        }
        self.wait_for_links(inbox, super::CLOSING).await;
    }

    async fn wait_for_links(&mut self, inbox: &mut Inbox, patience: Duration) {
        let end = Instant::now() + patience;
        while !self.links.is_empty() && Instant::now() < end {
            match timeout_at(end.into(), inbox.next()).await {
                Ok(None) | Err(_) => return,
                Ok(Some(Input::Connected {
                    hospital, outbox, ..
                })) if matches!(self.ending, Some(Ending::Stopped)) => {
                    // It came in at the last moment, and knows nothing yet.
                    let _ = outbox.close(CloseCode::ShuttingDown, super::STOPPED.to_owned());
                    let rejected = 0;
                    self.links.insert(hospital, Link { outbox, rejected });
                }
                Ok(Some(Input::Disconnected {
                    hospital,
                    disconnect,
                    traffic,
                    ..
                })) if !self.machine_hears() => {
                    self.links.remove(&hospital);
                    self.note(|records| records.disconnected(hospital, &disconnect, traffic));
                }
                // Who asks something hears that nobody answers any more.
                Ok(Some(_)) if !self.machine_hears() => {}
                Ok(Some(input)) => self.handle(input),
            }
        }
    }

    /// The last thing that is written. Until it is, the run can be taken up again, and ends at once. If that is not possible before
    /// this process is stopped, the run has no ending but that.
    async fn record_ending(&mut self, inbox: &mut Inbox, stop: &mut watch::Receiver<bool>) {
        let ending = self.ending.as_ref().and_then(Ending::result);
        let (Some(records), Some(result)) = (&self.records, ending) else {
            return;
        };
        let mut told = false;
        while let Err(error) = records.end_run(&result) {
            if !told {
                told = true;
                let error = anyhow::Error::from(error);
                tracing::error!(
                    "the run is over, but that cannot be written yet: {error:#}. It is tried again every {} s",
                    RETRY_EVERY.as_secs()
                );
            }
            let paused = pause(inbox, stop, |request| self.on_operator_meanwhile(&request));
            if matches!(paused.await, Pause::Stopped) {
                self.ending = Some(Ending::Stopped);
                return;
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
        self.registry.note_spent(self.spent);
        result
    }

    fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    fn at(&self, moment: Instant) -> Timestamp {
        let since = moment.saturating_duration_since(self.started);
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What a pause has ended with.
enum Pause {
    /// It is time to try again.
    Over,
    /// This process has to end.
    Stopped,
}

/// Waits for the time of the next try. What comes meanwhile is held.
async fn pause(
    inbox: &mut Inbox,
    stop: &mut watch::Receiver<bool>,
    mut on_operator: impl FnMut(Request) -> Answer,
) -> Pause {
    let until = Instant::now() + RETRY_EVERY;
    loop {
        let (request, answer) = tokio::select! {
            biased;
            () = told_to_stop(stop) => return Pause::Stopped,
            () = sleep_until(until.into()) => return Pause::Over,
            asked = inbox.hold() => match asked {
                Some(asked) => asked,
                // Nobody is left: the future of the run was dropped.
                None => return Pause::Stopped,
            },
        };
        let _ = answer.send(on_operator(request));
    }
}

/// Also when nobody is left who could say so.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What the machine is about to do, for whoever wants to know how long it takes; most messages are handled in a moment.
fn step_of(message: &ToCoordinator) -> Span {
    match message {
        ToCoordinator::FilterRequest(_) => debug_span!("multiplying"),
        ToCoordinator::UnlockShare(_) => debug_span!("collecting"),
        _ => Span::none(),
    }
}

fn adding(spent: &mut Spent) -> &mut Duration {
    &mut spent.adding
}

fn conditioning(spent: &mut Spent) -> &mut Duration {
    &mut spent.conditioning
}

const STANDS_STILL: &str =
    "something cannot be written, and nothing else is done until it can: the log says what";
/// How long participants may take to fetch the last outcome and close by themselves.
const GOODBYE: Duration = Duration::from_secs(10);
/// Whatever the machine says, never spin.
const MIN_SLEEP: Duration = Duration::from_millis(5);
/// What cannot be written is tried again this often.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// While a run waits or stands still, it says so this often.
const REPORT_EVERY: Duration = Duration::from_secs(30);
/// A hospital that follows the protocol is never told this often over one connection that it does not.
const MAX_REJECTED: u32 = 100;
const SHUT_OUT_FOR: Duration = Duration::from_secs(60);
/// A phase that has just begun waits for nothing out of the ordinary.
const WORTH_A_LINE_SECS: u64 = 10;
/// A run that is to be stopped is named, so that no other one is stopped by mistake.
const MIN_RUN_DIGITS: usize = 8;
