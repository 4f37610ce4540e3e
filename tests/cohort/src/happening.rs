//! One happening after another: who is not there to react reacts later, what is on a lost connection is lost.

use std::sync::Arc;

use crypto::sealed_sum::HospitalId;
use protocol::{digests::OutcomeName, message::ToCoordinator};

use crate::{
    agenda::{Place, later},
    cohort::{Cohort, Happening, Life, Party},
    faults::Fault,
    network::{End, LinkId},
    observation::Observation,
    parties::{Timestamp, frame_to_coordinator},
    transfers::UploadName,
};

impl Cohort<'_> {
    /// The next happening, or the coordinator's next deadline if that comes first; false when nothing is planned.
    pub(crate) fn step(&mut self) -> bool {
        let deadline = self
            .coordinator
            .poll_timeout()
            .filter(|_| self.coordinator_life == Life::Running);
        match (self.agenda.next_at(), deadline) {
            (None, None) => return false,
            (Some(next), Some(deadline)) if next <= deadline => self.next_happening(),
            (Some(_), None) => self.next_happening(),
            (_, Some(deadline)) => {
                self.agenda.advance_to(deadline);
                self.tell_the_time();
            }
        }
        true
    }

    pub(crate) fn tell_the_time(&mut self) {
        self.happenings += 1;
        let now = self.agenda.now();
        self.coordinator.time(now);
        let again = self.coordinator.poll_timeout();
        if again.is_some_and(|again| again <= now) {
            self.note(Observation::TimerSpins);
        }
        self.coordinator_has_spoken();
    }

    pub(crate) fn next_happening(&mut self) {
        let Some((place, happening)) = self.agenda.pop() else {
            return;
        };
        self.happenings += 1;
        let Some(happening) = self.put_off(place, happening) else {
            return;
        };
        let is_routine = matches!(
            happening,
            Happening::HeartbeatDue { .. }
                | Happening::HeartbeatArrives { .. }
                | Happening::Dials { .. }
        );
        if !is_routine {
            self.moved_at = self.agenda.now();
            self.moves += 1;
        }
        self.happen(happening);
    }

    /// Who is suspended, and a connection that is stalled, come to it later.
    fn put_off(&mut self, place: Place, happening: Happening) -> Option<Happening> {
        let now = self.agenda.now();
        let mut until = now;
        if let Some(link) = happening.arrives_on() {
            until = until.max(self.network.stalled_until(link));
        }
        for party in self.parties_of(&happening) {
            if let Life::Suspended { until: resumes } = self.life(party) {
                // After the resumption itself, which was planned earlier.
                until = until.max(resumes);
            }
        }
        if until > now {
            self.agenda.put_off(place, until, happening);
            return None;
        }
        Some(happening)
    }

    fn parties_of(&self, happening: &Happening) -> Vec<Party> {
        let hospital_of = |link: &LinkId| Party::Hospital(self.network.hospital(*link));
        match happening {
            Happening::Frame {
                link,
                to: End::Hospital,
                ..
            }
            | Happening::LossNoticed {
                link,
                by: End::Hospital,
            }
            | Happening::UploadAnswered { link, .. }
            | Happening::HeartbeatDue { link } => vec![hospital_of(link)],
            Happening::Frame { .. }
            | Happening::LossNoticed { .. }
            | Happening::HeartbeatArrives { .. }
            | Happening::UploadOffered { .. }
            | Happening::UploadMoves { .. }
            | Happening::OutcomeAsked { .. } => vec![Party::Coordinator],
            Happening::UploadArrives { link, .. } | Happening::OutcomeArrives { link, .. } => {
                vec![hospital_of(link), Party::Coordinator]
            }
            Happening::Dials { hospital } => vec![Party::Hospital(*hospital), Party::Coordinator],
            Happening::Trained { hospital, .. } | Happening::Evaluated { hospital, .. } => {
                vec![Party::Hospital(*hospital)]
            }
            Happening::ConnectionBreaks { .. } | Happening::Resumes { .. } => Vec::new(),
        }
    }

    pub(crate) fn life(&self, party: Party) -> Life {
        match party {
            Party::Hospital(id) => self.hospitals[&id].life,
            Party::Coordinator => self.coordinator_life,
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Frame { link, to, bytes } => self.frame_arrives(link, to, &bytes),
            Happening::HeartbeatDue { link } => self.heartbeat_due(link),
            Happening::HeartbeatArrives { link, bytes } => {
                if self.network.passes(link) && self.network.holds(link, End::Coordinator) {
                    let hospital = self.network.hospital(link);
                    self.coordinator.frame(hospital, &bytes, self.agenda.now());
                    self.coordinator_has_spoken();
                }
            }
            Happening::UploadOffered {
                link,
                name,
                bytes,
                sent_before,
            } => self.upload_offered(link, name, bytes, sent_before),
            Happening::UploadMoves { link } => self.sign_of_life(link),
            Happening::UploadArrives {
                link,
                number,
                sent_before,
            } => self.upload_arrives(link, number, sent_before),
            Happening::UploadAnswered { link, name } => self.upload_answered(link, name),
            Happening::OutcomeAsked { link, name } => self.outcome_asked(link, name),
            Happening::OutcomeArrives { link, name, number } => {
                self.outcome_arrives(link, name, number);
            }
            Happening::Trained {
                hospital,
                process,
                model,
                update,
            } => {
                if self.hospitals[&hospital].process == process {
                    self.training_ends(hospital, model, update);
                }
            }
            Happening::Evaluated {
                hospital,
                process,
                round,
                counts,
            } => {
                if self.is_running(hospital) && self.hospitals[&hospital].process == process {
                    self.vault_does(hospital, |party, lie| party.evaluated(round, &counts, lie));
                }
            }
            Happening::Dials { hospital } => self.dials(hospital),
            Happening::ConnectionBreaks { link } => self.connection_breaks(link),
            Happening::LossNoticed { link, by } => self.loss_noticed(link, by),
            Happening::Resumes { party } => self.resumes(party),
        }
    }

    pub(crate) fn is_running(&self, hospital: HospitalId) -> bool {
        self.hospitals[&hospital].life == Life::Running
    }

    fn frame_arrives(&mut self, link: LinkId, to: End, bytes: &[u8]) {
        if !self.network.passes(link) || !self.network.holds(link, to) {
            self.faults.count(Fault::LostFrame, 1);
            return;
        }
        let hospital = self.network.hospital(link);
        match to {
            End::Hospital => self.frame_for_vault(hospital, bytes),
            End::Coordinator => {
                self.network.count_delivered(link);
                self.coordinator.frame(hospital, bytes, self.agenda.now());
                self.coordinator_has_spoken();
            }
        }
    }

    /// A participant says every two seconds that it is there; one that gets on with nothing does not.
    fn heartbeat_due(&mut self, link: LinkId) {
        let now = self.agenda.now();
        let hospital = self.network.hospital(link);
        if !self.is_running(hospital) || !self.network.holds(link, End::Hospital) {
            return;
        }
        if let Some(millis) = self.timing.heartbeat() {
            self.agenda
                .plan(later(now, millis), Happening::HeartbeatDue { link });
        }
        if now >= self.hospitals[&hospital].silent_until {
            let bytes = frame_to_coordinator(&ToCoordinator::Heartbeat);
            let latency = self.timing.latency();
            let at = self.network.arrival(link, End::Coordinator, now, latency);
            self.agenda
                .plan(at, Happening::HeartbeatArrives { link, bytes });
        }
    }

    fn dials(&mut self, hospital: HospitalId) {
        let now = self.agenda.now();
        if !self.is_running(hospital) || self.network.held(hospital, End::Hospital).is_some() {
            return;
        }
        let Some(link) = self.network.dial(hospital, now) else {
            let again = later(now, self.timing.before_dialling_again());
            self.agenda.plan(again, Happening::Dials { hospital });
            return;
        };
        self.moved_at = now;
        self.coordinator.connected(hospital, now);
        self.coordinator_has_spoken();
        self.vault_does(hospital, |party, lie| {
            party.connected(lie);
            Ok(())
        });
        if self.timing.heartbeat().is_some() {
            self.agenda.plan(now, Happening::HeartbeatDue { link });
        }
    }

    /// The connection is lost here and now; its ends notice later.
    pub(crate) fn connection_breaks(&mut self, link: LinkId) {
        if !self.break_connection(link) {
            return;
        }
        let now = self.agenda.now();
        for by in [End::Hospital, End::Coordinator] {
            let noticed = later(now, 5 * self.timing.latency());
            self.agenda
                .plan(noticed, Happening::LossNoticed { link, by });
        }
    }

    /// Nothing passes any more, and what has arrived of a transfer stays; false if that was so before.
    pub(crate) fn break_connection(&mut self, link: LinkId) -> bool {
        if !self.network.lose(link) {
            return false;
        }
        let broken = self.transfers.break_off(link, self.agenda.now());
        self.faults.count(Fault::LostConnection, 1);
        self.faults.count(Fault::BrokenUpload, broken.uploads);
        self.faults.count(Fault::BrokenDownload, broken.downloads);
        true
    }

    pub(crate) fn loss_noticed(&mut self, link: LinkId, by: End) {
        if !self.network.let_go(link, by) {
            return;
        }
        let (now, hospital) = (self.agenda.now(), self.network.hospital(link));
        match by {
            End::Hospital => {
                let again = later(now, self.timing.before_dialling_again());
                self.agenda.plan(again, Happening::Dials { hospital });
            }
            End::Coordinator => {
                self.coordinator.disconnected(hospital, now);
                self.coordinator_has_spoken();
            }
        }
    }

    fn resumes(&mut self, party: Party) {
        let now = self.agenda.now();
        match party {
            Party::Hospital(id) => {
                let hospital = self.hospitals.get_mut(&id).expect("a member");
                if hospital.life == (Life::Suspended { until: now }) {
                    hospital.life = Life::Running;
                    if std::mem::take(&mut hospital.restarts) {
                        hospital.party.restart(&mut *self.lie);
                        self.note(Observation::Restarted { by: id });
                        self.agenda.plan(now, Happening::Dials { hospital: id });
                    }
                    self.carry_out_for_hospital(id);
                }
            }
            Party::Coordinator => {
                if self.coordinator_life == (Life::Suspended { until: now }) {
                    self.coordinator_life = Life::Running;
                    if std::mem::take(&mut self.coordinator_restarts) {
                        self.coordinator.restart(now);
                    }
                    self.coordinator_has_spoken();
                }
            }
        }
    }

    fn sign_of_life(&mut self, link: LinkId) {
        if self.network.passes(link) && self.network.holds(link, End::Coordinator) {
            let hospital = self.network.hospital(link);
            self.coordinator.progress(hospital, self.agenda.now());
            self.coordinator_has_spoken();
        }
    }

    /// As the coordinator's service does: known, refused, another one under way, or from where an earlier connection broke off.
    fn upload_offered(
        &mut self,
        link: LinkId,
        name: UploadName,
        bytes: Arc<[u8]>,
        sent_before: u64,
    ) {
        if !self.network.passes(link) || !self.network.holds(link, End::Coordinator) {
            return;
        }
        let (now, hospital) = (self.agenda.now(), self.network.hospital(link));
        if self.transfers.was_taken(hospital, &name)
            || self.transfers.is_uploading(hospital)
            || self
                .coordinator
                .check_upload(hospital, bytes.len() as u64)
                .is_err()
        {
            self.answer_upload(link, name);
            return;
        }
        let held = self.transfers.take_partial_upload(hospital, &name);
        if !held.is_empty() {
            self.faults.count(Fault::ResumedUpload, 1);
        }
        let ends = later(now, self.timing.transfer(bytes.len() - held.len()));
        let upload = (name, held, bytes);
        let number = self
            .transfers
            .begin_upload(hospital, link, upload, (now, ends));
        self.cut_transfer(hospital, true, link, (now, ends));
        let half = Timestamp(now.0.midpoint(ends.0));
        self.agenda.plan(half, Happening::UploadMoves { link });
        self.agenda.plan(
            ends,
            Happening::UploadArrives {
                link,
                number,
                sent_before,
            },
        );
    }

    fn upload_arrives(&mut self, link: LinkId, number: u64, sent_before: u64) {
        let (now, hospital) = (self.agenda.now(), self.network.hospital(link));
        let Some((name, bytes)) = self.transfers.end_upload(hospital, number) else {
            return;
        };
        if self.network.has_delivered_more_than(link, sent_before) {
            self.faults.count(Fault::Reordered, 1);
        }
        // The verdict goes to the participant's log, not to its vault.
        let kept = self.uploads_disk.keep(hospital, bytes);
        if self.coordinator.upload(hospital, kept, now).is_ok() {
            self.transfers.mark_taken(hospital, name);
        }
        self.answer_upload(link, name);
        self.coordinator_has_spoken();
    }

    fn answer_upload(&mut self, link: LinkId, name: UploadName) {
        if self.uploads_side_by_side {
            return;
        }
        let at = later(self.agenda.now(), self.timing.latency());
        self.agenda
            .plan(at, Happening::UploadAnswered { link, name });
    }

    /// An upload has its answer. A newer one was waiting for that: a participant uploads one contribution at a time.
    fn upload_answered(&mut self, link: LinkId, name: UploadName) {
        if !self.network.passes(link) || !self.network.holds(link, End::Hospital) {
            return;
        }
        let id = self.network.hospital(link);
        let hospital = self.hospitals.get_mut(&id).expect("a member");
        if hospital.uploading != Some((link, name)) || hospital.life != Life::Running {
            return;
        }
        hospital.uploading = None;
        if hospital
            .upload
            .as_ref()
            .is_some_and(|(newest, _)| *newest != name)
        {
            self.offer_upload(id);
        }
    }

    fn outcome_asked(&mut self, link: LinkId, name: OutcomeName) {
        if !self.network.passes(link) || !self.network.holds(link, End::Coordinator) {
            return;
        }
        let (now, hospital) = (self.agenda.now(), self.network.hospital(link));
        let Some(bytes) = self.published.get(&name).cloned() else {
            let reason = "the coordinator has no such outcome".to_owned();
            self.refusals.push((hospital, reason));
            return;
        };
        self.sign_of_life(link);
        let remaining = self.transfers.remaining(hospital, &name, &bytes);
        let ends = later(now, self.timing.transfer(remaining));
        let number = self
            .transfers
            .begin_download(hospital, link, (name, bytes), (now, ends));
        self.cut_transfer(hospital, false, link, (now, ends));
        self.agenda
            .plan(ends, Happening::OutcomeArrives { link, name, number });
    }

    fn outcome_arrives(&mut self, link: LinkId, name: OutcomeName, number: u64) {
        let hospital = self.network.hospital(link);
        let Some(bytes) = self.transfers.end_download(hospital, name, number) else {
            return;
        };
        self.sign_of_life(link);
        if self.is_running(hospital) {
            self.vault_does(hospital, |party, lie| party.outcome(&bytes, lie));
        }
    }

    /// Plans the break that a test wants in the midst of this transfer, if it wants one.
    fn cut_transfer(
        &mut self,
        hospital: HospitalId,
        is_upload: bool,
        link: LinkId,
        (begins, ends): (Timestamp, Timestamp),
    ) {
        let wanted = self
            .cuts_of_transfers
            .iter()
            .position(|cut| cut.hospital == hospital && cut.is_upload == is_upload);
        if let Some(index) = wanted {
            let permille = self.cuts_of_transfers.swap_remove(index).permille;
            let at = later(begins, (ends.0 - begins.0) * permille / 1000);
            self.agenda.plan(at, Happening::ConnectionBreaks { link });
        }
    }
}

impl Happening {
    /// The connection whose stall holds it up.
    fn arrives_on(&self) -> Option<LinkId> {
        match self {
            Self::Frame { link, .. }
            | Self::HeartbeatArrives { link, .. }
            | Self::UploadOffered { link, .. }
            | Self::UploadMoves { link }
            | Self::UploadArrives { link, .. }
            | Self::UploadAnswered { link, .. }
            | Self::OutcomeAsked { link, .. }
            | Self::OutcomeArrives { link, .. } => Some(*link),
            _ => None,
        }
    }
}
