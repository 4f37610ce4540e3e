//! The parties, the clock and what is on its way between them; how a test makes them and what it can ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crypto::sealed_sum::{HospitalId, SumRing};
use participant::vault::{OpenedRound, ResumedRun, policy::Policy};
use protocol::{
    digests::{LearningRound, ModelHash, OutcomeName, RoundNumber},
    identity::Signed,
    manifest::{Manifest, Purpose},
    message::{ToCoordinator, ToVault},
    roster::testing::{TestFederation, federation},
    round::{dealer_check::Finding, outcome::Outcome},
    training_job::{EvaluatedCounts, TrainedUpdate},
};

use crate::{
    agenda::Agenda,
    faults::FaultCounts,
    invariants::{Checker, Violation},
    journal::CohortJournal,
    kept_upload::UploadsDisk,
    network::{End, LinkId, Network},
    observation::Observation,
    parties::{CohortVault, CoordinatorParty, Event, Lie, Timestamp, VaultParty, frame_to_vault},
    timing::Timing,
    training::Training,
    transfers::{Transfers, UploadName},
};

/// What the network does with a message to a vault: pass it on, change it, or lose it.
pub type Interference<'a> = dyn FnMut(HospitalId, ToVault) -> Option<ToVault> + 'a;

/// What a hospital makes of its update before its vault gets it.
pub type SpoiltUpdate<'a> = dyn FnMut(HospitalId, &mut TrainedUpdate) + 'a;

/// Whether the connection loses a message to the coordinator, though it stands.
pub type Loss<'a> = dyn FnMut(HospitalId, &ToCoordinator) -> bool + 'a;

/// Hospitals and their coordinator, in memory, on one clock.
pub struct Cohort<'a> {
    /// The coordinator.
    pub coordinator: CoordinatorParty,
    /// Sees, and may change or lose, every message to a vault.
    pub interference: Box<Interference<'a>>,
    /// What a hospital makes of what its vault has to say.
    pub lie: Box<Lie<'a>>,
    /// What the coordinator makes of an outcome before it serves it.
    pub spoil_outcome: Box<dyn Fn(&mut Outcome) + 'a>,
    /// What a hospital makes of its update before its vault gets it.
    pub spoil_update: Box<SpoiltUpdate<'a>>,
    /// Messages that the connection loses, though it stands.
    pub lose: Box<Loss<'a>>,
    /// Participants upload a contribution while an earlier one is on its way. The coordinator's service refuses that.
    pub uploads_side_by_side: bool,
    /// Hospitals that vanish when they are to upload their update of this learning round, or, of round 0, their statistics.
    pub drop_before_upload: Vec<(HospitalId, LearningRound)>,
    /// What the coordinator has told of.
    pub events: Vec<Event>,
    /// What each vault has opened.
    pub opened: BTreeMap<HospitalId, Vec<OpenedRound>>,
    /// What the vaults have refused, and why.
    pub refusals: Vec<(HospitalId, String)>,
    /// Who was found to have answered wrongly, by whom.
    pub wrong_answers: BTreeMap<HospitalId, Vec<HospitalId>>,
    /// Null steps that each vault has taken, by the round that did not open.
    pub null_steps: BTreeMap<HospitalId, Vec<(RoundNumber, ResumedRun)>>,
    /// Vaults that were told that the run has ended well.
    pub finished: Vec<HospitalId>,
    /// How often a trainer was asked to train.
    pub trained: usize,
    /// How often a vault has made what a trainer gets of each patient.
    pub conditioned: usize,
    pub(crate) hospitals: BTreeMap<HospitalId, Hospital>,
    pub(crate) agenda: Agenda<Happening>,
    pub(crate) network: Network,
    pub(crate) transfers: Transfers,
    pub(crate) uploads_disk: UploadsDisk,
    pub(crate) timing: Timing,
    pub(crate) training: Training,
    /// Outcomes that the coordinator serves.
    pub(crate) published: BTreeMap<OutcomeName, Arc<[u8]>>,
    /// Outcomes on its disk.
    pub(crate) outcomes_on_disk: BTreeMap<OutcomeName, Arc<[u8]>>,
    pub(crate) coordinator_life: Life,
    /// Its process has ended, and starts again when its suspension is over.
    pub(crate) coordinator_restarts: bool,
    pub(crate) coordinator_effects: u32,
    pub(crate) stops: Vec<PlannedStop>,
    pub(crate) cuts_of_transfers: Vec<CutOfTransfer>,
    pub(crate) faults: FaultCounts,
    pub(crate) disturbed_until: Timestamp,
    pub(crate) checker: Option<Checker>,
    pub(crate) notes: Option<Vec<Observation>>,
    pub(crate) happenings: u64,
    /// Of them, those that are no heartbeat, no dialling and no passing of time.
    pub(crate) moves: u64,
    /// When something last happened that was no heartbeat and no passing of time.
    pub(crate) moved_at: Timestamp,
}

/// A hospital's participant as its operating system sees it.
pub(crate) struct Hospital {
    pub(crate) party: VaultParty,
    pub(crate) life: Life,
    pub(crate) effects: u32,
    pub(crate) has_lost_state: bool,
    pub(crate) trainer_is_free_at: Timestamp,
    pub(crate) silent_until: Timestamp,
    /// So many of the next trainings come to no number.
    pub(crate) diverging: u32,
    /// The next training takes so many milliseconds more.
    pub(crate) slower_by: u64,
    /// Frames that it has sent, for one that repeats itself.
    pub(crate) sent: Vec<Vec<u8>>,
    /// Frames that it was sent.
    pub(crate) received: Vec<Vec<u8>>,
    /// Its last contribution.
    pub(crate) upload: Option<(UploadName, Arc<[u8]>)>,
    /// The one that is on its way, and on which connection.
    pub(crate) uploading: Option<(LinkId, UploadName)>,
    /// Counts its processes: what a trainer of an earlier one comes to is lost with it.
    pub(crate) process: u32,
    /// Its process has ended, and another starts when its suspension is over.
    pub(crate) restarts: bool,
    /// How long it is gone when a write was stopped.
    pub(crate) back_after_stopped_write: u64,
}

/// Whether a party is there to react.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    /// Stands still, with its memory.
    Suspended {
        until: Timestamp,
    },
    /// Ended without a word.
    Gone,
    /// Ended because the run has.
    Finished,
}

/// One of the two kinds of party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// A hospital's participant.
    Hospital(HospitalId),
    /// The coordinator.
    Coordinator,
}

/// A party stops when it has done so many things.
pub(crate) struct PlannedStop {
    pub(crate) party: Party,
    pub(crate) after_effect: u32,
    pub(crate) stop: Stop,
}

/// How a party stops.
#[derive(Clone, Copy)]
pub(crate) enum Stop {
    /// For good.
    Crash,
    /// For a while; what it had not done yet is done after it.
    Suspend { for_ms: u64, loses_connection: bool },
    /// The process ends, and after a while another goes on from what is on disk.
    Restart { for_ms: u64 },
    /// The same from an empty disk.
    LoseState { for_ms: u64 },
}

/// The connection breaks in the midst of this hospital's next upload or download.
pub(crate) struct CutOfTransfer {
    pub(crate) hospital: HospitalId,
    pub(crate) is_upload: bool,
    pub(crate) permille: u64,
}

/// What is on its way, or due.
pub(crate) enum Happening {
    Frame {
        link: LinkId,
        to: End,
        bytes: Vec<u8>,
    },
    HeartbeatDue {
        link: LinkId,
    },
    HeartbeatArrives {
        link: LinkId,
        bytes: Vec<u8>,
    },
    UploadOffered {
        link: LinkId,
        name: UploadName,
        bytes: Arc<[u8]>,
        sent_before: u64,
    },
    UploadMoves {
        link: LinkId,
    },
    UploadArrives {
        link: LinkId,
        number: u64,
        sent_before: u64,
    },
    UploadAnswered {
        link: LinkId,
        name: UploadName,
    },
    OutcomeAsked {
        link: LinkId,
        name: OutcomeName,
    },
    OutcomeArrives {
        link: LinkId,
        name: OutcomeName,
        number: u64,
    },
    Trained {
        hospital: HospitalId,
        process: u32,
        model: ModelHash,
        update: TrainedUpdate,
    },
    Evaluated {
        hospital: HospitalId,
        process: u32,
        round: RoundNumber,
        counts: EvaluatedCounts,
    },
    Dials {
        hospital: HospitalId,
    },
    ConnectionBreaks {
        link: LinkId,
    },
    LossNoticed {
        link: LinkId,
        by: End,
    },
    Resumes {
        party: Party,
    },
}

impl<'a> Cohort<'a> {
    /// A cohort in which nothing takes time, with the keys of [`federation`]. Time passes only in [`Self::wait`].
    pub fn immediate(size: u8, manifest: &Manifest) -> Self {
        Self::new(size, manifest, Timing::Immediate, Training::Small)
    }

    pub(crate) fn new(size: u8, manifest: &Manifest, timing: Timing, training: Training) -> Self {
        let TestFederation {
            roster,
            hospital_keys,
            coordinator_key,
            operator_key,
        } = federation(size);
        let roster = Arc::new(roster);
        let ring = Arc::new(SumRing::new());
        let signed = Signed::sign(manifest, &operator_key);
        let now = Timestamp(1_000);
        let hospital = |(number, key)| {
            let party = VaultParty::new(id(number), key, roster.clone(), ring.clone());
            (id(number), Hospital::new(party, now))
        };
        Self {
            hospitals: (1..=size).zip(hospital_keys).map(hospital).collect(),
            coordinator: CoordinatorParty::new(
                roster.clone(),
                coordinator_key,
                signed,
                manifest.nonce,
            ),
            interference: Box::new(|_, message| Some(message)),
            lie: Box::new(|_, _, output| output),
            spoil_outcome: Box::new(|_| {}),
            spoil_update: Box::new(|_, _| {}),
            lose: Box::new(|_, _| false),
            uploads_side_by_side: false,
            drop_before_upload: Vec::new(),
            events: Vec::new(),
            opened: BTreeMap::new(),
            refusals: Vec::new(),
            wrong_answers: BTreeMap::new(),
            null_steps: BTreeMap::new(),
            finished: Vec::new(),
            trained: 0,
            conditioned: 0,
            agenda: Agenda::new(now),
            network: Network::default(),
            transfers: Transfers::default(),
            uploads_disk: UploadsDisk::default(),
            timing,
            training,
            published: BTreeMap::new(),
            outcomes_on_disk: BTreeMap::new(),
            coordinator_life: Life::Running,
            coordinator_restarts: false,
            coordinator_effects: 0,
            stops: Vec::new(),
            cuts_of_transfers: Vec::new(),
            faults: FaultCounts::default(),
            disturbed_until: now,
            checker: None,
            notes: None,
            happenings: 0,
            moves: 0,
            moved_at: now,
        }
    }

    /// The next run of the same hospitals: each goes on with the journal that it has, by this policy.
    #[must_use]
    pub fn after(mut self, earlier: &Self, policy: &Policy) -> Self {
        for (id, hospital) in &mut self.hospitals {
            let before = &earlier.hospitals[id].party;
            hospital.party.begin_on(before, policy);
        }
        self
    }

    /// Checks from now on what must hold whatever goes wrong.
    pub fn check_invariants(&mut self, manifest: &Manifest) {
        let members: BTreeSet<_> = self.hospitals.keys().copied().collect();
        self.checker = Some(Checker::new(
            Arc::new(manifest.clone()),
            self.training,
            members,
        ));
    }

    /// Keeps what an onlooker sees, for [`Self::take_notes`].
    pub fn keep_notes(&mut self) {
        self.notes = Some(Vec::new());
    }

    /// What an onlooker has seen.
    pub fn take_notes(&mut self) -> Vec<Observation> {
        self.notes.take().unwrap_or_default()
    }

    /// What has happened that must not.
    pub fn violations(&self) -> &[Violation] {
        self.checker.as_ref().map_or(&[], Checker::violations)
    }

    /// All hospitals.
    pub fn ids(&self) -> Vec<HospitalId> {
        self.hospitals.keys().copied().collect()
    }

    /// A hospital's vault. What a test makes it say is carried out with the next event.
    pub fn vault(&mut self, id: HospitalId) -> &mut CohortVault {
        &mut self.hospitals.get_mut(&id).expect("a member").party.vault
    }

    /// How much a hospital has done, and how often it has written to its journal.
    pub fn effects_and_writes(&self, hospital: u8) -> (u32, u64) {
        let hospital = &self.hospitals[&id(hospital)];
        (hospital.effects, hospital.party.disk().writes())
    }

    /// Puts a model of another run into a hospital's state folder.
    pub fn give_model(&self, id: HospitalId, values: Vec<f32>) {
        self.hospitals[&id].party.disk().give_model(values);
    }

    /// Takes the journal out of a hospital's reach: before it joins.
    pub fn make_forgetful(&mut self, id: HospitalId) {
        let size = u8::try_from(self.hospitals.len()).expect("at most 127");
        let mut federation = federation(size);
        let key = federation
            .hospital_keys
            .swap_remove(usize::from(id.get()) - 1);
        let party = VaultParty::with_journal(
            id,
            key,
            Arc::new(federation.roster),
            Arc::new(SumRing::new()),
            CohortJournal::forgetful(),
        );
        self.hospitals
            .insert(id, Hospital::new(party, self.agenda.now()));
    }

    /// All hospitals connect, one after the other.
    pub fn connect_all(&mut self) {
        for id in self.ids() {
            self.connect(id);
        }
    }

    /// The hospital connects, and all happens that takes no time.
    pub fn connect(&mut self, hospital: HospitalId) {
        let now = self.agenda.now();
        self.agenda.plan(now, Happening::Dials { hospital });
        self.settle();
    }

    /// The hospital's connection is lost, and both ends notice.
    pub fn disconnect(&mut self, hospital: HospitalId) {
        if let Some(link) = self.network.held(hospital, End::Coordinator) {
            self.break_connection(link);
            self.network.let_go(link, End::Hospital);
            self.loss_noticed(link, End::Coordinator);
        }
    }

    /// A message that the coordinator has not sent reaches a vault, as if it had.
    pub fn deliver(&mut self, to: HospitalId, message: &ToVault) {
        self.frame_for_vault(to, &frame_to_vault(message));
        self.settle();
    }

    /// Lets everything happen that can happen without time passing.
    pub fn settle(&mut self) {
        while self
            .agenda
            .next_at()
            .is_some_and(|at| at <= self.agenda.now())
        {
            self.next_happening();
        }
    }

    /// Time passes until the coordinator's next deadline.
    pub fn wait(&mut self) {
        if let Some(next) = self.coordinator.poll_timeout() {
            self.agenda.advance_to(next);
        }
        self.tell_the_time();
        self.settle();
    }

    /// U of each opened sum of a purpose.
    pub fn contributors(&self, purpose: Purpose) -> Vec<Vec<u8>> {
        let outcomes = self.events.iter().filter_map(|event| match event {
            Event::OutcomeOut {
                purpose: found,
                contributors,
                ..
            } if *found == purpose => Some(contributors),
            _ => None,
        });
        outcomes
            .map(|contributors| contributors.iter().map(|id| id.get()).collect())
            .collect()
    }

    /// The model's hash, once the run has ended well and no hospital is missing.
    pub fn completed(&self) -> Option<ModelHash> {
        self.events.iter().find_map(|event| match event {
            Event::Complete {
                model_hash,
                missing,
            } if missing.is_empty() => Some(*model_hash),
            _ => None,
        })
    }

    /// What the dealer check has found.
    pub fn findings(&self) -> Vec<Finding> {
        let findings = self.events.iter().filter_map(|event| match event {
            Event::Suspected { finding, .. } => Some(finding.clone()),
            _ => None,
        });
        findings.collect()
    }

    /// Whether the run has failed, for a reason with these words.
    pub fn failed_with(&self, words: &str) -> bool {
        self.failure().is_some_and(|reason| reason.contains(words))
    }

    /// Why the run has failed, if it has.
    pub fn failure(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match event {
            Event::Failed { reason } => Some(reason.as_str()),
            _ => None,
        })
    }

    /// Whether a vault has refused something, for a reason with these words.
    pub fn refused_with(&self, words: &str) -> bool {
        self.refusals
            .iter()
            .any(|(_, reason)| reason.contains(words))
    }

    pub(crate) fn note(&mut self, observation: Observation) {
        if let Some(checker) = &mut self.checker {
            checker.observe(&observation);
        }
        if let Some(notes) = &mut self.notes {
            notes.push(observation);
        }
    }
}

impl Hospital {
    fn new(party: VaultParty, now: Timestamp) -> Self {
        Self {
            party,
            life: Life::Running,
            effects: 0,
            has_lost_state: false,
            trainer_is_free_at: now,
            silent_until: now,
            diverging: 0,
            slower_by: 0,
            sent: Vec::new(),
            received: Vec::new(),
            upload: None,
            uploading: None,
            process: 0,
            restarts: false,
            back_after_stopped_write: 0,
        }
    }
}

/// Hospital `number`.
///
/// # Panics
/// If no hospital can have this number.
pub fn id(number: u8) -> HospitalId {
    HospitalId::new(number).expect("a number from 1 to 127")
}
