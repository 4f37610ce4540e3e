//! A session that goes on from a state of the run which some of its hospitals do not have: one that has it seals it for them. No round
//! is opened before it is here, as the state is that of the session's beginning (PROTOCOL.md 3.7).

use std::collections::BTreeSet;

use crypto::sealed_sum::HospitalId;
use protocol::{
    codec,
    digests::{OutcomeName, SessionId},
    message::ToVault,
    session::{SealedState, state_name},
};

use super::{Finishing, Phase, Retry, Step, Waiting};
use crate::machine::{
    Event, Fact, MachineError, Output, Timestamp,
    context::Context,
    head::Head,
    input::Envelope,
    peer::Peer,
    reaction::Reaction,
    session::Session,
    upload::UploadedBytes,
    waiting_report::{Part, Wait},
};

pub(in crate::machine) struct HandingOver {
    pub(super) session: Box<Session>,
    id: SessionId,
    head: Head,
    /// Who is asked for the state, and until when.
    asked: Option<(HospitalId, Timestamp)>,
    /// How often somebody was.
    requests: u32,
    /// Those that were, and did not give it.
    tried: BTreeSet<HospitalId>,
}

impl HandingOver {
    pub(super) fn new<R>(context: &Context<R>, session: Box<Session>, head: Head) -> Self {
        Self {
            session,
            id: context.session,
            head,
            asked: None,
            requests: 0,
            tried: BTreeSet::new(),
        }
    }

    fn is_asked(&self, id: HospitalId) -> bool {
        self.asked.is_some_and(|(asked, _)| asked == id)
    }

    pub(super) fn asked_until(&self) -> Option<Timestamp> {
        self.asked.map(|(_, until)| until)
    }

    pub(super) fn check_upload<R>(
        &self,
        context: &Context<R>,
        envelope: Envelope,
        bytes: u64,
    ) -> Result<(), MachineError> {
        // It may come when another is asked already.
        if !self.is_asked(envelope.from) && !self.tried.contains(&envelope.from) {
            return Err(envelope.wrong_phase());
        }
        let most = max_state_bytes(context);
        if bytes > most {
            return Err(MachineError::StateTooLong {
                from: envelope.from,
                found: bytes,
                most,
            });
        }
        Ok(())
    }

    /// What is in it only vaults can read; they know it by what t of them have signed.
    pub(super) fn on_upload<R>(
        &mut self,
        context: &mut Context<R>,
        envelope: Envelope,
        upload: &dyn UploadedBytes,
    ) -> Result<Reaction, MachineError> {
        self.check_upload(context, envelope, upload.length())?;
        let from = envelope.from;
        let mut buffer = Vec::new();
        let bytes = upload
            .read(&mut buffer)
            .map_err(MachineError::unreadable(from))?;
        let state: Result<SealedState, _> = codec::decode(bytes);
        let is_right = |state: &SealedState| state.session == self.id && state.sealer.0 == from;
        if !state.is_ok_and(|state| is_right(&state)) {
            // A contribution that was still under way, for instance.
            return Err(envelope.wrong_phase());
        }
        let name = state_name(&self.id, from);
        context.outputs.push_back(Output::Publish {
            name,
            sum: None,
            bytes: bytes.into(),
        });
        context.persist(Fact::StateKept { name });
        context.event(Event::StateHandedOver { hospital: from });
        self.session.state = Some(name);
        Ok(Reaction::Handled)
    }

    /// As it was kept.
    pub(in crate::machine) fn with_state<R>(
        mut self,
        context: &Context<R>,
        name: OutcomeName,
        now: Timestamp,
    ) -> Waiting {
        self.session.state = Some(name);
        let mut waiting = Waiting::new(context, self.session, self.head, Retry::at_once(now));
        waiting.let_in_until = now.after_secs(context.run.manifest.silence_secs);
        waiting
    }

    /// Over once the state is here. Whoever is asked for it and falls silent, or does not give it in time, is replaced.
    pub(super) fn advance<R>(mut self, context: &mut Context<R>, now: Timestamp) -> Step {
        if let Some(name) = self.session.state {
            return Step::Go(Phase::Waiting(self.with_state(context, name, now)));
        }
        if context.ends_without_session().is_some_and(|end| now >= end) {
            // The run is over. Those that have its model are told so; nobody waits for the state of the others any more.
            let finishing = Finishing::new(self.session, self.head, now);
            return Step::Go(Phase::Finishing(finishing));
        }
        let is_there = |id: &HospitalId| context.peers.is_present_and_heard(*id);
        if self
            .asked
            .is_none_or(|(asked, until)| now >= until || !is_there(&asked))
        {
            self.tried.extend(self.asked.map(|(asked, _)| asked));
            let candidates = context.peers.present().into_iter();
            let newcomers = &self.session.newcomers;
            let mut candidates: Vec<_> = candidates
                .filter(|id| is_there(id) && !newcomers.contains(id))
                .collect();
            // Those first that have not been asked, and have given nothing that was refused: others may be about to say that they have it.
            let others = self
                .session
                .joined()
                .into_iter()
                .filter(|id| !newcomers.contains(id) && !context.distrusted.contains(id));
            let mut others = others.filter(|id| !self.tried.contains(id));
            if others.any(|id| context.peers.may_come_yet(id)) {
                candidates.retain(|id| !context.distrusted.contains(id));
            }
            candidates.sort_by_key(|id| {
                (
                    self.tried.contains(id),
                    context.distrusted.contains(id),
                    *id,
                )
            });
            let manifest = &context.run.manifest;
            let secs = manifest.silence_secs.max(manifest.straggler_floor_secs);
            self.asked = candidates.first().map(|id| (*id, now.after_secs(secs)));
            self.requests += u32::from(self.asked.is_some());
        }
        Step::Stay(Phase::HandingOver(self))
    }

    pub(super) fn wait(&self) -> Wait {
        let asked = self.asked.map(|(id, _)| (id, Part::HandOver));
        Wait {
            parts: asked.into_iter().collect(),
            ..Wait::default()
        }
    }

    pub(super) fn owed(&self, to: HospitalId, peer: &mut Peer) -> Vec<ToVault> {
        self.session.owed(to, peer, |peer| {
            let is_news = self.is_asked(to) && peer.sent.state_wanted(self.requests);
            let wanted = ToVault::StateWanted { session: self.id };
            is_news.then_some(wanted).into_iter().collect()
        })
    }
}

/// Values and moments of the model, and room for what else is common.
fn max_state_bytes<R>(context: &Context<R>) -> u64 {
    let manifest = &context.run.manifest;
    let floats = manifest.layout.values() * (1 + manifest.strategy.moments().len());
    4 * floats as u64 + MAX_COMMON_BYTES
}

/// Clips, statistics and the contributors of evaluations have a few hundred bytes to a few kilobytes.
const MAX_COMMON_BYTES: u64 = 1 << 20;
