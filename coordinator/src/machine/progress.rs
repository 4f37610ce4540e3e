//! One transition after another: what the machine does next, as far as the present state and the time allow.

use std::collections::BTreeSet;

use crypto::sealed_sum::HospitalId;
use rand_core::CryptoRng;

use super::{
    Coordinator, Event, Output, PlannedSum, Timestamp, delivery::Peer, ongoing::OngoingRound,
};
use protocol::{
    digests::{LearningRound, ModelHash, Transcript},
    identity::Signed,
    manifest::Purpose,
    round::{header::RoundContext, unlock::evaluation_allowed},
    session::first_transcript,
};

impl<R: CryptoRng> Coordinator<R> {
    /// Moves as far as the present state allows, then hands every connected hospital what it is owed.
    pub(super) fn advance(&mut self, now: Timestamp) {
        self.advanced_at = self.advanced_at.max(now);
        for peer in self.peers.values_mut() {
            peer.note_silence(now, self.manifest.silence_secs);
        }
        while !self.over && self.setup.is_complete() && self.step(now) {}
        self.deliver();
    }

    /// One transition; false when there is none.
    fn step(&mut self, now: Timestamp) -> bool {
        match &self.round {
            None if self.consensus().is_none() => false,
            None => match self.plan.front().copied() {
                Some(planned) => self.open_round(planned, now),
                None => self.finish(now),
            },
            Some(round) if round.is_collecting() => self.fix_contributors(now),
            Some(_) => self.publish_outcome(now),
        }
    }

    fn open_round(&mut self, planned: PlannedSum, now: Timestamp) -> bool {
        let least = self.roster.threshold().max(self.roster.min_contributors());
        let present: BTreeSet<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.is_present() && peer.position == self.chain.len())
            .map(|(&id, _)| id)
            .collect();
        if planned.purpose == Purpose::Evaluation && self.evaluation_is_out_of_reach() {
            self.plan.pop_front();
            let reason = "hospitals of the first evaluation are missing, and another set would single them out".to_owned();
            self.event(Event::Abandoned {
                round: self.last_round,
                purpose: planned.purpose,
                reason,
            });
            return true;
        }
        if now < self.reopen.0 {
            return false;
        }
        if present.len() < least {
            if self.waiting_for != Some(present.len()) {
                self.waiting_for = Some(present.len());
                self.event(Event::Waiting {
                    present: present.len(),
                    needed: least,
                });
            }
            return false;
        }
        self.waiting_for = None;
        self.last_round = self.last_round.next();
        let mut nonce = [0; 32];
        self.rng.fill_bytes(&mut nonce);
        let (transcript, model_hash) = self.consensus().expect("checked before a round is opened");
        let joins = self.setup.joins();
        let joined_set = self.setup.joined_set();
        let context = RoundContext {
            roster: &self.roster,
            manifest: &self.manifest,
            run: self.manifest.run(),
            session: self.session,
            joined_set,
            joined: joins,
            gid: self.setup.gid(),
            transcript,
            model_hash,
        };
        let header = context.open(planned.purpose, self.last_round, nonce);
        let shape = self
            .manifest
            .shape(planned.purpose, joins)
            .expect("checked when the run was made");
        self.round = Some(OngoingRound::new(
            Signed::sign(&header, &self.key),
            header,
            shape.chunks(),
            now,
        ));
        for peer in self.peers.values_mut() {
            peer.start_round(now);
        }
        self.event(Event::Opened {
            round: self.last_round,
            purpose: planned.purpose,
            learning_round: planned.learning_round,
        });
        true
    }

    /// Fixes U once nobody is waited for, or gives the round up.
    fn fix_contributors(&mut self, now: Timestamp) -> bool {
        let (silence, threshold, least) = (
            self.manifest.silence_secs,
            self.roster.threshold(),
            self.roster.min_contributors(),
        );
        let Some(round) = &mut self.round else {
            return false;
        };
        let patient = round.purpose() != Purpose::Update;
        let waited_for = |id: &HospitalId| {
            !round.has_upload(*id)
                && !round.is_excused(*id)
                && self.peers.get(id).is_some_and(|peer| {
                    let cannot_follow = self.chain.get(peer.position);
                    peer.is_waited_for(patient, now, silence)
                        && !cannot_follow.is_some_and(|settled| settled.failed_by(*id))
                })
        };
        let joined = self.setup.joined();
        if joined.iter().any(waited_for) {
            return false;
        }
        let present: Vec<_> = joined
            .iter()
            .copied()
            .filter(|id| self.peers.get(id).is_some_and(|peer| peer.is_present()))
            .collect();
        let more_may_come =
            !round.is_acknowledged_by(&present) || round.is_in_doubt(&joined, threshold);
        if more_may_come && now < round.acknowledgement_deadline(silence) {
            return false;
        }
        let assessment = round.assess(threshold, least);
        let mut contributors = round.choose(&joined, threshold, &assessment);
        if round.purpose() == Purpose::Evaluation
            && !evaluation_allowed(&contributors, &self.evaluations, least)
        {
            // The set of the earlier evaluation, if all of it is here, is always allowed.
            contributors = self
                .evaluations
                .iter()
                .find(|earlier| earlier.is_subset(&contributors))
                .cloned()
                .unwrap_or_default();
        }
        let number = round.number();
        for finding in assessment.findings() {
            self.outputs.push_back(Output::Event(Event::Doubted {
                round: number,
                finding: finding.clone(),
            }));
        }
        if contributors.len() < least {
            let purpose = round.purpose();
            let reason = format!(
                "{} usable contributions where {least} are needed",
                contributors.len()
            );
            self.round = None;
            if purpose == Purpose::Evaluation {
                self.plan.pop_front();
            } else {
                // Tried again, less and less eagerly: contributions that cannot be summed must not make the hospitals spin.
                let failures = self.reopen.1 + 1;
                self.reopen = (now.after_secs(silence.min(1 << failures.min(16))), failures);
                if failures >= MOST_FAILED_ATTEMPTS {
                    let reason = format!(
                        "round {number} has come to nothing, like {} before it: {reason}. Ask the hospitals that do not contribute for their logs",
                        failures - 1
                    );
                    self.event(Event::Failed { reason });
                    self.over = true;
                    return false;
                }
            }
            self.event(Event::Abandoned {
                round: number,
                purpose,
                reason,
            });
            return true;
        }
        round.fix(&contributors, &joined, &assessment, &self.key);
        if round.purpose() == Purpose::Evaluation {
            self.evaluations.push(contributors.clone());
        }
        self.event(Event::Unlocking {
            round: number,
            contributors: contributors.into_iter().collect(),
        });
        true
    }

    fn publish_outcome(&mut self, now: Timestamp) -> bool {
        let Some(round) = &self.round else {
            return false;
        };
        let present: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.is_present())
            .map(|(&id, _)| id)
            .collect();
        let Some((name, bytes, settled)) = round.outcome(self.roster.threshold(), &present, now)
        else {
            return false;
        };
        let (number, purpose) = (round.number(), round.purpose());
        let learning_round = self
            .plan
            .pop_front()
            .map_or(LearningRound::default(), |planned| planned.learning_round);
        let contributors = settled.contributors();
        self.outputs.push_back(Output::Publish { name, bytes });
        self.chain.push(settled);
        self.round = None;
        self.reopen = (now, 0);
        self.event(Event::OutcomeOut {
            round: number,
            purpose,
            learning_round,
            contributors,
        });
        true
    }

    fn finish(&mut self, now: Timestamp) -> bool {
        let since = *self.finishing_since.get_or_insert(now);
        let missing: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.position < self.chain.len())
            .map(|(&id, _)| id)
            .collect();
        if !missing.is_empty() && now < since.after_secs(self.manifest.silence_secs) {
            return false;
        }
        let (_, model_hash) = self.consensus().expect("checked before a run is finished");
        self.event(Event::Complete {
            model_hash,
            missing,
        });
        self.over = true;
        false
    }

    /// T and model hash that t vaults have signed alike for the last round; at the start, where everybody begins.
    pub(super) fn consensus(&self) -> Option<(Transcript, ModelHash)> {
        match self.chain.last() {
            Some(settled) => settled.consensus(self.roster.threshold()),
            None => Some((
                first_transcript(&self.roster, &self.session, &self.setup.joined_set()),
                self.initial_model,
            )),
        }
    }

    /// Whether a member of the first evaluation is gone for longer than anybody is waited for.
    fn evaluation_is_out_of_reach(&self) -> bool {
        let gone = |id: &HospitalId| self.peers.get(id).is_none_or(Peer::is_given_up);
        self.evaluations
            .first()
            .is_some_and(|members| members.iter().any(gone))
    }
}

/// A sum that has been abandoned so often in a row will not succeed.
const MOST_FAILED_ATTEMPTS: u32 = 8;
