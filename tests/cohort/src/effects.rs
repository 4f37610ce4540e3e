//! What the machines want done, done one after the other; a party can be stopped between any two.

use std::sync::Arc;

use crypto::sealed_sum::HospitalId;
use participant::vault::{VaultEvent, VaultOutput};
use protocol::{
    codec,
    digests::{HeaderHash, ModelHash},
    manifest::Purpose,
    message::{RefusedPart, ToCoordinator, ToVault},
    round::{contribution::Contribution, outcome::Outcome},
    training_job::{EvaluateRequest, TrainRequest, TrainedUpdate},
};

use crate::{
    agenda::later,
    cohort::{Cohort, Happening, Life, Party, Stop},
    faults::Fault,
    network::End,
    observation::Observation,
    parties::{
        Event, Lie, Output, Stopped, Timestamp, VaultParty, frame_to_coordinator, frame_to_vault,
    },
};

impl Cohort<'_> {
    /// Lets a vault react to something, notes what an onlooker sees of it, and carries it out.
    pub(crate) fn vault_does(
        &mut self,
        id: HospitalId,
        react: impl FnOnce(&mut VaultParty, &mut Lie<'_>) -> Result<(), Stopped>,
    ) {
        self.vault_gets(id, None, react);
    }

    /// As [`Self::vault_does`], when it reacts to the header with this hash.
    fn vault_gets(
        &mut self,
        id: HospitalId,
        header: Option<HeaderHash>,
        react: impl FnOnce(&mut VaultParty, &mut Lie<'_>) -> Result<(), Stopped>,
    ) {
        let hospital = self.hospitals.get_mut(&id).expect("a member");
        let undone = hospital.party.undone().count();
        let result = react(&mut hospital.party, &mut *self.lie);
        if hospital.party.disk().has_stopped() {
            // Its process has ended in the midst of this reaction, before anything of it left.
            hospital.party.forget_beyond(undone);
            let for_ms = hospital.back_after_stopped_write;
            self.faults.count(Fault::StoppedWrite, 1);
            return self.stop_party(Party::Hospital(id), Stop::Restart { for_ms });
        }
        let fresh = || hospital.party.undone().skip(undone);
        let accepted = header.filter(|header| !fresh().any(|output| refuses(header, output)));
        let accepted = accepted.map(|header| Observation::HeaderAccepted { by: id, header });
        let seen = fresh().filter_map(|output| seen_of(id, output));
        let notes: Vec<_> = accepted.into_iter().chain(seen).collect();
        for note in notes {
            self.note(note);
        }
        self.carry_out_for_hospital(id);
        if let Err(reason) = result {
            self.stop_party(Party::Hospital(id), Stop::Crash);
            self.note(Observation::Stopped {
                by: id,
                reason: reason.clone(),
            });
            assert!(self.checker.is_some(), "hospital {id} stopped: {reason}");
        }
    }

    /// A frame of the coordinator has arrived.
    pub(crate) fn frame_for_vault(&mut self, id: HospitalId, bytes: &[u8]) {
        let message: ToVault = codec::decode_frame(bytes).expect("a frame of the coordinator");
        let hospital = self.hospitals.get_mut(&id).expect("a member");
        if hospital.life != Life::Running {
            return;
        }
        if !matches!(message, ToVault::Welcome(_)) {
            hospital.received.push(bytes.to_vec());
        }
        let Some(message) = (self.interference)(id, message) else {
            return;
        };
        let header = match &message {
            ToVault::RoundOpen(header) => Some(header.digest()),
            _ => None,
        };
        self.vault_gets(id, header, |party, lie| party.message(message, lie));
    }

    /// Does what the vault wants done, as long as its participant runs.
    pub(crate) fn carry_out_for_hospital(&mut self, id: HospitalId) {
        loop {
            let hospital = self.hospitals.get_mut(&id).expect("a member");
            if hospital.life != Life::Running {
                return;
            }
            let Some(output) = hospital.party.next_output() else {
                return;
            };
            hospital.effects += 1;
            let effects = hospital.effects;
            self.do_for_vault(id, output);
            self.stop_if_planned(Party::Hospital(id), effects);
        }
    }

    fn do_for_vault(&mut self, id: HospitalId, output: VaultOutput) {
        match output {
            VaultOutput::Send(message) => self.send_to_coordinator(id, &message),
            VaultOutput::Upload {
                purpose,
                learning_round,
                ..
            } if purpose != Purpose::Evaluation
                && self.drop_before_upload.contains(&(id, learning_round)) =>
            {
                self.drop_before_upload
                    .retain(|drop| *drop != (id, learning_round));
                self.disconnect(id);
            }
            VaultOutput::Upload { name, bytes, .. } => {
                let hospital = self.hospitals.get_mut(&id).expect("a member");
                hospital.upload = Some((name.into(), bytes));
                self.offer_upload(id);
            }
            VaultOutput::UploadState { name, bytes } => {
                let hospital = self.hospitals.get_mut(&id).expect("a member");
                hospital.upload = Some((name.into(), bytes));
                self.offer_upload(id);
            }
            VaultOutput::FetchOutcome { name } => {
                if let Some(link) = self.network.held(id, End::Hospital) {
                    let at = later(self.agenda.now(), self.timing.latency());
                    self.agenda.plan(at, Happening::OutcomeAsked { link, name });
                }
            }
            VaultOutput::Train {
                model_hash,
                request,
                ..
            } => self.train(id, model_hash, &request),
            VaultOutput::Evaluate { request, .. } => self.evaluate(id, &request),
            // This trainer goes on to its end: the vault has to know that the result is of no use.
            VaultOutput::LeaveJobs => {}
            VaultOutput::Event(event) => self.hear_of(id, event),
            VaultOutput::Finished => self.finish(id),
        }
    }

    fn send_to_coordinator(&mut self, id: HospitalId, message: &ToCoordinator) {
        if (self.lose)(id, message) {
            return;
        }
        let bytes = frame_to_coordinator(message);
        if !matches!(message, ToCoordinator::Hello(_)) {
            let hospital = self.hospitals.get_mut(&id).expect("a member");
            hospital.sent.push(bytes.clone());
        }
        self.send_frame(id, End::Coordinator, bytes);
    }

    /// Sends a frame on the connection that the sender takes for the present one, if it has one.
    pub(crate) fn send_frame(&mut self, hospital: HospitalId, to: End, bytes: Vec<u8>) {
        let from = match to {
            End::Hospital => End::Coordinator,
            End::Coordinator => End::Hospital,
        };
        let Some(link) = self.network.held(hospital, from) else {
            return;
        };
        let latency = self.timing.latency();
        let at = self.network.arrival(link, to, self.agenda.now(), latency);
        self.agenda.plan(at, Happening::Frame { link, to, bytes });
    }

    /// Offers the last contribution of a hospital, if it has one and a connection; when another is on its way, after that.
    pub(crate) fn offer_upload(&mut self, id: HospitalId) -> bool {
        let hospital = self.hospitals.get_mut(&id).expect("a member");
        let (Some((name, bytes)), Some(link)) = (
            hospital.upload.clone(),
            self.network.held(id, End::Hospital),
        ) else {
            return false;
        };
        let is_busy = hospital.uploading.is_some_and(|(on, _)| on == link);
        if is_busy && !self.uploads_side_by_side {
            return false;
        }
        hospital.uploading = Some((link, name));
        let offered = Happening::UploadOffered {
            link,
            name,
            bytes,
            sent_before: self.network.sent(link),
        };
        let at = later(self.agenda.now(), self.timing.latency());
        self.agenda.plan(at, offered);
        true
    }

    fn train(&mut self, id: HospitalId, model: ModelHash, request: &TrainRequest) {
        self.trained += 1;
        let mut update = self.training.train(id, &model, request);
        (self.spoil_update)(id, &mut update);
        let millis = self.timing.training();
        let hospital = self.hospitals.get_mut(&id).expect("a member");
        if hospital.diverging > 0 {
            hospital.diverging -= 1;
            update.model[7] = f32::NAN;
            self.faults.count(Fault::Divergence, 1);
        }
        let slower_by = std::mem::take(&mut hospital.slower_by);
        self.faults
            .count(Fault::SlowTraining, u64::from(slower_by > 0));
        let process = hospital.process;
        let at = self.trainer_is_done(id, millis + slower_by);
        self.agenda.plan(
            at,
            Happening::Trained {
                hospital: id,
                process,
                model,
                update,
            },
        );
    }

    fn evaluate(&mut self, id: HospitalId, request: &EvaluateRequest) {
        let counts = self.training.evaluate(id, request);
        let millis = self.timing.evaluation();
        let process = self.hospitals[&id].process;
        let at = self.trainer_is_done(id, millis);
        self.agenda.plan(
            at,
            Happening::Evaluated {
                hospital: id,
                process,
                round: request.round,
                counts,
            },
        );
    }

    /// One job after the other.
    fn trainer_is_done(&mut self, id: HospitalId, millis: u64) -> Timestamp {
        let now = self.agenda.now();
        let hospital = self.hospitals.get_mut(&id).expect("a member");
        let at = later(hospital.trainer_is_free_at.max(now), millis);
        hospital.trainer_is_free_at = at;
        at
    }

    /// The trainer hands its result to the vault.
    pub(crate) fn training_ends(
        &mut self,
        id: HospitalId,
        model: ModelHash,
        update: TrainedUpdate,
    ) {
        if !self.is_running(id) {
            return;
        }
        self.note(Observation::Trained {
            by: id,
            model,
            loss: update.loss,
            batches: update.batches,
        });
        self.vault_does(id, |party, lie| party.trained(model, update, lie));
    }

    fn hear_of(&mut self, id: HospitalId, event: VaultEvent) {
        match event {
            VaultEvent::Opened(opened) => self.opened.entry(id).or_default().push(*opened),
            VaultEvent::Refused { reason } | VaultEvent::ProductsRefused { reason } => {
                self.refusals.push((id, reason));
            }
            VaultEvent::WrongAnswers { hospitals, .. } => {
                for (hospital, name) in hospitals {
                    assert_eq!(name, format!("hospital {hospital}"));
                    self.wrong_answers.entry(hospital).or_default().push(id);
                }
            }
            VaultEvent::Conditioned { .. } => self.conditioned += 1,
            VaultEvent::NullStep { round, run } => {
                self.null_steps.entry(id).or_default().push((round, *run));
            }
            VaultEvent::NotYet { .. }
            | VaultEvent::AwaitingApproval { .. }
            | VaultEvent::Approved
            | VaultEvent::Rejected { .. }
            | VaultEvent::SessionReady
            | VaultEvent::StateTaken(_)
            | VaultEvent::Resumed(_)
            | VaultEvent::LeftSession { .. }
            | VaultEvent::EndedByOperator { .. }
            | VaultEvent::EndedBefore(_)
            | VaultEvent::LeftEarlierRoster
            | VaultEvent::Overtaken { .. }
            | VaultEvent::Sealed { .. }
            | VaultEvent::Ignored { .. } => {}
        }
    }

    /// The participant closes its connection behind its last message, and ends.
    fn finish(&mut self, id: HospitalId) {
        self.finished.push(id);
        self.hospitals.get_mut(&id).expect("a member").life = Life::Finished;
        let Some(link) = self.network.held(id, End::Hospital) else {
            return;
        };
        self.network.let_go(link, End::Hospital);
        let latency = self.timing.latency();
        let (now, by) = (self.agenda.now(), End::Coordinator);
        let at = self.network.arrival(link, by, now, latency);
        self.agenda.plan(at, Happening::LossNoticed { link, by });
    }

    /// Notes what an onlooker sees of the coordinator's new outputs, and carries them out.
    pub(crate) fn coordinator_has_spoken(&mut self) {
        let readings = self.uploads_disk.take_readings();
        self.faults.count(Fault::Subtracted, readings.again);
        self.faults.count(Fault::DamagedUpload, readings.in_vain);
        let seen: Vec<_> = self
            .coordinator
            .fresh()
            .flat_map(|output| self.seen_of_coordinator(output))
            .collect();
        self.coordinator.have_been_seen();
        for note in seen {
            self.note(note);
        }
        self.carry_out_for_coordinator();
    }

    fn seen_of_coordinator(&self, output: &Output) -> Vec<Observation> {
        match output {
            Output::Send { to, message } => {
                let meant_for = match message.as_ref() {
                    ToVault::Encapsulation(message) => {
                        Some(message.read_unverified().expect("its own form").to.0)
                    }
                    _ => None,
                };
                let said = Observation::Said {
                    to: *to,
                    connected: self.network.held(*to, End::Coordinator).is_some(),
                    meant_for,
                };
                let content = match message.as_ref() {
                    ToVault::RoundOpen(signed) => Some(Observation::HeaderOpened {
                        hash: signed.digest(),
                        header: Box::new(signed.read_unverified().expect("its own form")),
                    }),
                    ToVault::UnlockRequest(signed) => {
                        let request = signed.read_unverified().expect("its own form");
                        let contributors = request.contributors.iter();
                        Some(Observation::Requested {
                            header: request.header,
                            contributors: contributors.map(|one| (one.id.0, one.digest)).collect(),
                        })
                    }
                    _ => None,
                };
                std::iter::once(said).chain(content).collect()
            }
            Output::Event(Event::Suspected { round, finding }) => vec![Observation::Blamed {
                what: format!("the dealer check of round {round}: {finding}"),
            }],
            Output::Event(Event::Complete {
                model_hash,
                missing,
            }) => vec![Observation::Completed {
                model: *model_hash,
                missing: missing.iter().copied().collect(),
            }],
            Output::Persist(_)
            | Output::Keep { .. }
            | Output::Discard { .. }
            | Output::Publish { .. }
            | Output::Republish { .. }
            | Output::Retract { .. }
            | Output::Event(_) => Vec::new(),
        }
    }

    /// Does what the coordinator's machine wants done, as long as its process runs.
    pub(crate) fn carry_out_for_coordinator(&mut self) {
        while self.coordinator_life == Life::Running {
            let Some(output) = self.coordinator.next_output() else {
                return;
            };
            self.coordinator_effects += 1;
            match output {
                Output::Send { to, message } => self.send_to_vault(to, &message),
                // The state of a session.
                Output::Publish {
                    name,
                    sum: None,
                    bytes,
                } => {
                    self.outcomes_on_disk.insert(name, bytes.clone());
                    self.published.insert(name, bytes);
                }
                Output::Publish { name, bytes, .. } => {
                    let mut outcome: Outcome = codec::decode(&bytes).expect("its own form");
                    (self.spoil_outcome)(&mut outcome);
                    let bytes: Arc<[u8]> = codec::encode(&outcome).into();
                    self.outcomes_on_disk.insert(name, bytes.clone());
                    self.published.insert(name, bytes);
                }
                Output::Republish { name } => {
                    let bytes = self.outcomes_on_disk.get(&name).expect("it was published");
                    self.published.insert(name, bytes.clone());
                }
                Output::Retract { name } => {
                    self.published.remove(&name);
                    self.outcomes_on_disk.remove(&name);
                }
                Output::Persist(fact) => self.coordinator.persist(&fact),
                Output::Keep { name, bytes } => self.coordinator.keep(name, bytes),
                Output::Discard { name } => self.coordinator.discard(&name),
                Output::Event(event) => {
                    if matches!(event, Event::Opened { .. }) {
                        self.faults.open_round(self.is_disturbed());
                    }
                    self.events.push(event);
                }
            }
            self.stop_if_planned(Party::Coordinator, self.coordinator_effects);
        }
    }

    fn send_to_vault(&mut self, to: HospitalId, message: &ToVault) {
        let bytes = frame_to_vault(message);
        self.send_frame(to, End::Hospital, bytes);
    }

    /// Whether a fault is in force: somebody is cut off, stands still, or is not yet back.
    fn is_disturbed(&self) -> bool {
        let is_away = |(&id, hospital): (&HospitalId, &crate::cohort::Hospital)| {
            hospital.life == Life::Running && self.network.held(id, End::Coordinator).is_none()
        };
        self.agenda.now() < self.disturbed_until || self.hospitals.iter().any(is_away)
    }

    fn stop_if_planned(&mut self, party: Party, effects: u32) {
        let due = self
            .stops
            .iter()
            .position(|planned| planned.party == party && planned.after_effect <= effects);
        if let Some(index) = due {
            let stop = self.stops.swap_remove(index).stop;
            self.stop_party(party, stop);
        }
    }

    /// The party stops here, before its next effect.
    pub(crate) fn stop_party(&mut self, party: Party, stop: Stop) {
        let now = self.agenda.now();
        let life = match stop {
            Stop::Crash => Life::Gone,
            Stop::Suspend { for_ms, .. }
            | Stop::Restart { for_ms }
            | Stop::LoseState { for_ms } => Life::Suspended {
                until: later(now, for_ms),
            },
        };
        let fault = match (stop, party) {
            (Stop::Crash, _) => Fault::Crash,
            (Stop::Suspend { .. }, Party::Hospital(_)) => Fault::SuspendedVault,
            (Stop::Suspend { .. }, Party::Coordinator) => Fault::SuspendedCoordinator,
            (Stop::Restart { .. }, Party::Hospital(_)) => Fault::RestartedVault,
            (Stop::Restart { .. }, Party::Coordinator) => Fault::RestartedCoordinator,
            (Stop::LoseState { .. }, _) => Fault::LostState,
        };
        self.faults.count(fault, 1);
        if let Stop::Suspend { for_ms, .. }
        | Stop::Restart { for_ms }
        | Stop::LoseState { for_ms } = stop
        {
            let until = later(now, for_ms);
            self.disturbed_until = self.disturbed_until.max(until);
            self.agenda
                .plan_before_others(until, Happening::Resumes { party });
        }
        let loses_connection = !matches!(
            stop,
            Stop::Suspend {
                loses_connection: false,
                ..
            }
        );
        let concerned = match party {
            Party::Hospital(id) => {
                self.hospitals.get_mut(&id).expect("a member").life = life;
                vec![id]
            }
            Party::Coordinator => {
                self.coordinator_life = life;
                self.ids()
            }
        };
        if loses_connection {
            for id in concerned {
                if let Some(link) = self.network.held(id, End::Coordinator) {
                    self.connection_breaks(link);
                }
            }
        }
        match (stop, party) {
            (Stop::Restart { .. }, Party::Coordinator) => self.coordinator_forgets(),
            (Stop::Restart { .. }, Party::Hospital(id)) => self.hospital_forgets(id),
            (Stop::LoseState { .. }, Party::Hospital(id)) => {
                self.hospital_forgets(id);
                let hospital = self.hospitals.get_mut(&id).expect("a member");
                hospital.party.lose_disk();
                hospital.has_lost_state = true;
            }
            (Stop::LoseState { .. }, Party::Coordinator) => unreachable!("of hospitals only"),
            (Stop::Crash | Stop::Suspend { .. }, _) => {}
        }
    }

    /// What is not on the hospital's disk is gone: its vault and what that wanted done, its connection, its trainer's work.
    fn hospital_forgets(&mut self, id: HospitalId) {
        if let Some(link) = self.network.held(id, End::Hospital) {
            self.network.let_go(link, End::Hospital);
        }
        let now = self.agenda.now();
        let hospital = self.hospitals.get_mut(&id).expect("a member");
        hospital.party.forget();
        hospital.process += 1;
        hospital.restarts = true;
        hospital.trainer_is_free_at = now;
        (hospital.upload, hospital.uploading) = (None, None);
    }

    /// What is not on the coordinator's disk is gone: its machine and what that wanted done, its connections, beginnings of uploads,
    /// and which outcomes it serves.
    fn coordinator_forgets(&mut self) {
        self.coordinator_restarts = true;
        self.coordinator.forget();
        for id in self.ids() {
            if let Some(link) = self.network.held(id, End::Coordinator) {
                self.network.let_go(link, End::Coordinator);
            }
        }
        self.transfers.forget_uploads();
        self.published.clear();
    }
}

/// Whether the vault does not accept this header.
fn refuses(refused: &HeaderHash, output: &VaultOutput) -> bool {
    match output {
        VaultOutput::Send(message) => matches!(
            message.as_ref(),
            ToCoordinator::HeaderRefused { header, part: RefusedPart::Header, .. }
                if header == refused
        ),
        _ => false,
    }
}

/// What an onlooker sees of a vault's output.
fn seen_of(by: HospitalId, output: &VaultOutput) -> Option<Observation> {
    match output {
        VaultOutput::Send(message) => match message.as_ref() {
            ToCoordinator::BoxAck(signed) => Some(Observation::Acknowledged {
                by,
                header: signed.read_unverified().ok()?.header,
            }),
            ToCoordinator::UnlockShare(signed) => {
                let share = signed.read_unverified().ok()?;
                Some(Observation::Answered {
                    by,
                    header: share.header,
                    contributors: share.contributors,
                })
            }
            ToCoordinator::RoundFailed(_) => Some(Observation::Blamed {
                what: format!("hospital {by} cannot open a sum"),
            }),
            _ => None,
        },
        VaultOutput::Upload { bytes, .. } => {
            let contribution: Contribution = codec::decode(bytes).ok()?;
            let manifest = contribution.manifest.read_unverified().ok()?;
            Some(Observation::Contributed {
                by,
                header: manifest.header,
                digest: contribution.manifest.digest(),
            })
        }
        VaultOutput::Event(VaultEvent::SessionReady) => Some(Observation::InSession { by }),
        VaultOutput::Event(VaultEvent::StateTaken(run)) => Some(Observation::StateTaken {
            by,
            model: run.model_hash,
            transcript: run.transcript,
        }),
        VaultOutput::Event(VaultEvent::Opened(opened)) => Some(Observation::Opened {
            by,
            opened: opened.clone(),
        }),
        VaultOutput::Event(VaultEvent::WrongAnswers { hospitals, .. }) => {
            let numbers: Vec<_> = hospitals.iter().map(|(id, _)| id.get()).collect();
            Some(Observation::Blamed {
                what: format!("hospital {by} finds the answers of {numbers:?} wrong"),
            })
        }
        _ => None,
    }
}
