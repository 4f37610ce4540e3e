//! What an outgoing message is, and which run and sum it is about.
//!
//! Runs and headers are known from what the coordinator says, before the vault has looked at it: one that lies can have an object entered
//! under another run, or leave the words about its round out. Kind, length, hash and time of what leaves are not its to say.

use std::collections::VecDeque;

use crypto::ckks::Profile;
use protocol::{
    digests::{HeaderHash, LearningRound, RunId},
    identity::{Message, Signed},
    manifest::Purpose,
    message::{ToCoordinator, ToVault},
};

use crate::{
    ledger::{Kind, Object, Protection, Sum},
    vault::VaultEvent,
};

/// What is known of the run at hand.
pub(crate) struct About {
    /// t, of the roster.
    threshold: usize,
    run: Option<RunId>,
    /// Of the run's conditioning.
    profile: Option<Profile>,
    /// The learning round that the common model comes from.
    reached: LearningRound,
    /// The last headers, with the learning round of those that something was said about.
    rounds: VecDeque<(HeaderHash, Purpose, Option<LearningRound>)>,
}

impl About {
    pub(super) fn new(threshold: usize) -> Self {
        Self {
            threshold,
            run: None,
            profile: None,
            reached: LearningRound::default(),
            rounds: VecDeque::new(),
        }
    }

    /// In a run that is known.
    pub(crate) fn of_run(threshold: usize, run: RunId, profile: Option<Profile>) -> Self {
        Self {
            run: Some(run),
            profile,
            ..Self::new(threshold)
        }
    }

    pub(super) fn run(&self) -> Option<RunId> {
        self.run
    }

    /// The coordinator has said something.
    pub(super) fn hear(&mut self, message: &ToVault) {
        match message {
            ToVault::Welcome(welcome) => {
                self.run = Some(welcome.manifest.digest());
                let manifest = welcome.manifest.read_unverified().ok();
                self.profile = manifest.and_then(|manifest| manifest.conditioning.profile());
            }
            ToVault::RoundOpen(signed) => {
                let hash = signed.digest();
                let is_known = self.rounds.iter().any(|(header, ..)| *header == hash);
                if let (Ok(header), false) = (signed.read_unverified(), is_known) {
                    if self.rounds.len() == REMEMBERED_ROUNDS {
                        self.rounds.pop_front();
                    }
                    self.rounds.push_back((hash, header.purpose, None));
                }
            }
            _ => {}
        }
    }

    /// Something has happened in the vault.
    pub(super) fn see(&mut self, event: &VaultEvent) {
        match event {
            VaultEvent::Opened(opened) => self.reached = opened.learning_round,
            VaultEvent::Resumed(run) | VaultEvent::StateTaken(run) => {
                self.reached = run.learning_round;
            }
            _ => {}
        }
    }

    /// What a message is. A new kind of message needs a decision here before anything can send it.
    pub(crate) fn message(&mut self, message: &ToCoordinator) -> Object {
        let (kind, header) = match message {
            ToCoordinator::Hello(_) => (Kind::Hello, None),
            ToCoordinator::Join(_) => (Kind::Join, None),
            ToCoordinator::Encapsulation(_) => (Kind::Encapsulation, None),
            ToCoordinator::GroupKey(_) => (Kind::GroupKey, None),
            ToCoordinator::Ready(_) => (Kind::Ready, None),
            ToCoordinator::EvaluationKey(_) => (Kind::EvaluationKey, None),
            ToCoordinator::EncryptedFeatures(_) => (Kind::Features, None),
            ToCoordinator::FilterRequest(_) => (Kind::FilterRequest, None),
            ToCoordinator::Heartbeat => (Kind::Heartbeat, None),
            ToCoordinator::HeaderRefused { header, .. } => (Kind::Refusal, Some(*header)),
            ToCoordinator::BoxAck(signed) => (Kind::BoxAck, header_of(signed, |body| body.header)),
            ToCoordinator::UnlockShare(signed) => {
                (Kind::Answer, header_of(signed, |body| body.header))
            }
            ToCoordinator::RoundClosed(signed) => {
                (Kind::Closed, header_of(signed, |body| body.header))
            }
            ToCoordinator::RoundFailed(signed) => {
                (Kind::Failed, header_of(signed, |body| body.header))
            }
            ToCoordinator::StateTaken { .. } | ToCoordinator::StateRefused { .. } => {
                (Kind::StateAnswer, None)
            }
        };
        Object {
            kind,
            sum: header.and_then(|header| self.sum(&header)),
            protection: self.protection(kind),
        }
    }

    /// A contribution to a sum.
    pub(crate) fn contribution(&self, purpose: Purpose, learning_round: LearningRound) -> Object {
        Object {
            kind: Kind::Contribution,
            sum: Some(Sum {
                purpose,
                learning_round: Some(learning_round),
            }),
            protection: self.protection(Kind::Contribution),
        }
    }

    /// The state of the run.
    pub(super) fn state(&self) -> Object {
        Object {
            kind: Kind::State,
            sum: None,
            protection: self.protection(Kind::State),
        }
    }

    fn sum(&mut self, header: &HeaderHash) -> Option<Sum> {
        let reached = self.reached;
        let known = self.rounds.iter_mut().find(|(hash, ..)| hash == header)?;
        let (_, purpose, learning_round) = known;
        // What is said of a header for the first time is said before its sum is opened: the model is the one that it is about.
        let learning_round = *learning_round.get_or_insert(match purpose {
            Purpose::Stats => LearningRound::default(),
            Purpose::Update => reached.next(),
            Purpose::Evaluation => reached,
        });
        Some(Sum {
            purpose: *purpose,
            learning_round: Some(learning_round),
        })
    }

    fn protection(&self, kind: Kind) -> Protection {
        match (kind, self.profile) {
            (Kind::Features | Kind::FilterRequest, Some(profile)) => Protection::Ckks(profile),
            // No vault sends these without a profile.
            (Kind::Features | Kind::FilterRequest, None) => Protection::Unknown,
            (Kind::Contribution, _) => Protection::Sealed {
                opened_by: self.threshold,
            },
            (Kind::GroupKey | Kind::Answer | Kind::State, _) => Protection::ForHospitals,
            (
                Kind::Join
                | Kind::Encapsulation
                | Kind::Ready
                | Kind::BoxAck
                | Kind::Closed
                | Kind::Failed,
                _,
            ) => Protection::SignedPublic,
            (
                Kind::Hello
                | Kind::EvaluationKey
                | Kind::Refusal
                | Kind::StateAnswer
                | Kind::Heartbeat
                | Kind::LastWord
                | Kind::NotSent,
                _,
            ) => Protection::NoPatients,
        }
    }
}

fn header_of<T: Message>(
    signed: &Signed<T>,
    header: impl FnOnce(T) -> HeaderHash,
) -> Option<HeaderHash> {
    signed.read_unverified().ok().map(header)
}

/// Messages are about the round at hand, or the one before.
const REMEMBERED_ROUNDS: usize = 16;
