//! A run with faults: what it is about, what goes wrong in it, and how it is played to its end.

use std::{collections::VecDeque, num::NonZeroU32};

use crypto::sealed_sum::{HospitalId, min_contributors, threshold};
use protocol::{
    codec::{Id, List},
    features::FeatureSchema,
    manifest::{
        ADAPTIVE_CLIPS, Conditioning, ConditioningForm, FIXED_CLIPS, Manifest, MemberWeight,
        Purpose, Task,
    },
    message::{Hello, ToCoordinator},
    network::testing::miniature_of,
    strategy::testing::EACH,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::{
    agenda::later,
    cohort::{Cohort, CutOfTransfer, Happening, Life, Party, PlannedStop, Stop, id},
    faults::{Fault, FaultCounts},
    invariants::Violation,
    network::End,
    operation::{Draw, Extent, Operation},
    parties::{Event, frame_to_coordinator},
    timing::Timing,
    training::Training,
};

/// A run and what goes wrong in it. The same seed makes the same scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where it comes from.
    pub seed: u64,
    /// How many hospitals.
    pub size: u8,
    /// The run.
    pub manifest: Manifest,
    /// What goes wrong.
    pub operations: Vec<Operation>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All planned sums were opened, or the evaluations have ended the run.
    Complete,
    /// The coordinator gave up, as it must after so many rounds with too few contributions.
    GaveUp,
    /// It waits for hospitals that are gone before all had joined.
    WaitsForJoins,
    /// It waits because fewer hospitals are left than a sum needs.
    WaitsForHospitals,
    /// A violation ended it.
    Violated,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// What happened that must not.
    pub violations: Vec<Violation>,
    /// What went wrong.
    pub faults: FaultCounts,
    /// Everything that happened, heartbeats among it.
    pub happenings: u64,
    /// How many of its outputs the coordinator has carried out.
    pub coordinator_effects: u32,
    /// The virtual time at the end, in milliseconds.
    pub ended_at_ms: u64,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn of_seed(seed: u64) -> Self {
        let mut bytes = [0x5E; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut draw = Draw(ChaCha20Rng::from_seed(bytes));
        let size = if draw.below(50) == 0 {
            draw.from(9, 12) as u8
        } else {
            draw.one_of(&[2, 3, 3, 4, 4, 4, 5, 5, 6, 7, 8])
        };
        let manifest = Manifest {
            strategy: EACH[(seed % EACH.len() as u64) as usize],
            start_with: start_with(&mut draw, size),
            ..manifest(&mut draw, size)
        };
        let extent = Extent {
            size,
            sums: 1 + 2 * u64::from(manifest.rounds),
            silence_ms: 1000 * u64::from(manifest.silence_secs),
        };
        let count = draw.from(2, 3 + 3 * extent.sums);
        let mut operations: Vec<_> = (0..count)
            .map(|_| Operation::draw(&mut draw, extent))
            .collect();
        if let Some(number) = manifest
            .start_with
            .filter(|number| number.get() < size.into())
        {
            operations.push(Operation::draw_late(&mut draw, extent, number.get()));
        }
        if draw.below(5) == 0 {
            operations.push(Operation::draw_loss(&mut draw, extent));
        }
        if draw.below(4) == 0 {
            let crashes = draw.from(1, u64::from(size / 3).max(1));
            operations.extend((0..crashes).map(|_| Operation::draw_crash(&mut draw, extent)));
        }
        if manifest.start_with.is_none() && draw.below(2) == 0 {
            operations.push(Operation::draw_damage(&mut draw, extent));
        }
        Self {
            seed,
            size,
            manifest,
            operations,
        }
    }

    /// A cohort in which nothing has happened yet.
    pub fn cohort(&self) -> Cohort<'static> {
        let timing = Timing::drawn(self.seed);
        let mut cohort = Cohort::new(self.size, &self.manifest, timing, Training::Drawn);
        cohort.check_invariants(&self.manifest);
        cohort
    }

    /// Plays it to its end.
    pub fn play(&self) -> Report {
        self.play_with(&mut self.cohort())
    }

    /// Plays it with a cohort of [`Self::cohort`] in which a test has changed something.
    pub fn play_with(&self, cohort: &mut Cohort<'_>) -> Report {
        cohort.plan_stops(&self.operations);
        cohort.plan_first_dials();
        let mut operations: Vec<_> = self
            .operations
            .iter()
            .filter(|operation| operation.at().is_some())
            .collect();
        operations.sort_by_key(|operation| operation.at());
        let ending = self.play_to_end(cohort, operations.into());
        Report {
            ending,
            violations: cohort.violations().to_vec(),
            faults: cohort.faults.clone(),
            happenings: cohort.happenings,
            coordinator_effects: cohort.coordinator_effects,
            ended_at_ms: cohort.agenda.now().0,
        }
    }

    fn play_to_end(&self, cohort: &mut Cohort<'_>, mut operations: VecDeque<&Operation>) -> Ending {
        let mut over_since = None;
        loop {
            if !cohort.violations().is_empty() {
                return Ending::Violated;
            }
            if cohort.happenings > MAX_HAPPENINGS {
                let happenings = cohort.happenings;
                return cohort.violated(Violation::Livelock { happenings });
            }
            let now = cohort.agenda.now();
            if cohort.is_over() {
                // Whoever is on its way to the last outcome gets there, or not.
                let since = *over_since.get_or_insert(now);
                if now > later(since, GOODBYE_MS) || cohort.agenda.next_at().is_none() {
                    return self.ended(cohort);
                }
            } else {
                // One that is started again may have something to do still.
                over_since = None;
                let moves = cohort.moves;
                let is_due = |operation: &&Operation| operation.at() <= Some(moves);
                let is_quiet = now > cohort.quiet_after(self.manifest.silence_secs);
                if operations.front().is_some_and(is_due) || is_quiet {
                    match operations.pop_front() {
                        Some(operation) => cohort.perform(operation),
                        None => return self.waits(cohort),
                    }
                    continue;
                }
            }
            if !cohort.step() {
                return self.waits(cohort);
            }
        }
    }

    fn ended(&self, cohort: &mut Cohort<'_>) -> Ending {
        if let Some(reason) = cohort.failure() {
            let abandoned = |event: &&Event| matches!(event, Event::Abandoned { purpose, .. } if *purpose != Purpose::Evaluation);
            // A coordinator that ended before it told of a round has told of one less.
            let untold = cohort.faults.of(Fault::RestartedCoordinator) as usize;
            let told = cohort.events.iter().filter(abandoned).count();
            if told + untold + 1 >= ROUNDS_BEFORE_GIVING_UP {
                return Ending::GaveUp;
            }
            let reason = reason.to_owned();
            // As it must where so few are left that hold the keys, or know where the run is.
            let without_keys = [
                "without their keys",
                "have reached the same point of the run",
                "given the model",
            ];
            let is_explained = without_keys.iter().any(|words| reason.contains(words));
            if is_explained && cohort.faults.of(Fault::LostState) > 0 {
                return Ending::GaveUp;
            }
            return cohort.violated(Violation::Failed { reason });
        }
        let updates = cohort.opened_sums(Purpose::Update);
        let checker = cohort.checker.as_ref().expect("a scenario is checked");
        if updates != self.manifest.rounds as usize && !checker.has_to_stop() {
            let what = format!("complete after {updates} updates");
            return cohort.violated(Violation::Unexplained { what });
        }
        Ending::Complete
    }

    /// Nothing happens any more, and the run has not ended: only hospitals that are gone may be the reason.
    fn waits(&self, cohort: &mut Cohort<'_>) -> Ending {
        // Whoever is outside the session does not help it on.
        let live = match cohort.coordinator.members() {
            Some(members) => cohort.live(&members),
            None => cohort.live(&cohort.ids()),
        };
        let roster = protocol::roster::testing::federation(self.size).roster;
        let needed = roster.threshold().max(roster.min_contributors());
        let start_with = self
            .manifest
            .start_with
            .map_or(usize::from(self.size), |number| number.get() as usize);
        let has_begun = cohort.opened_sums(Purpose::Stats) > 0;
        if !has_begun && cohort.coordinator.is_before_first_sum() && live < start_with {
            return Ending::WaitsForJoins;
        }
        // Whoever was given the model does not help to open the sum at hand, and only who has reached it can hand it on.
        let helpers = match cohort.coordinator.bring_the_state() {
            Some(bring_it) => cohort.live(&bring_it) - cohort.lost_state_among(&bring_it),
            None => live.saturating_sub(cohort.coordinator.do_not_answer().len()),
        };
        if live < needed || helpers < roster.threshold() {
            return Ending::WaitsForHospitals;
        }
        let last: Vec<_> = cohort.events.iter().rev().take(3).collect();
        let what = format!(
            "{live} of {} hospitals are there, {needed} are needed; last: {last:?}",
            self.size
        );
        cohort.violated(Violation::Unexplained { what })
    }
}

/// In every third run fewer than all.
fn start_with(draw: &mut Draw, size: u8) -> Option<NonZeroU32> {
    let members = usize::from(size);
    let fewest = threshold(members).max(min_contributors(members)) as u64;
    let number = draw.from(fewest, size.into()) as u32;
    NonZeroU32::new(number).filter(|_| draw.below(3) == 0)
}

fn manifest(draw: &mut Draw, size: u8) -> Manifest {
    let task = draw.one_of(&[Task::Binary, Task::Binary, Task::Multiclass]);
    let mut rounds = draw.from(1, 3) as u32;
    let mut conditioning = draw.one_of(&[
        Conditioning::None,
        Conditioning::None,
        Conditioning::None,
        Conditioning::Plain,
    ]);
    if draw.below(60) == 0 && size <= 5 {
        conditioning = draw.one_of(&[
            Conditioning::EncryptedHardened,
            Conditioning::EncryptedStudy,
        ]);
        rounds = 1;
    }
    let width = MINIATURE_WIDTHS[usize::from(draw.below(8) == 0)];
    let weights = if draw.below(3) == 0 {
        let weight = |number| MemberWeight {
            id: Id(id(number)),
            weight: draw.one_of(&[1, 2, 3, 4, 6]),
        };
        List((1..=size).map(weight).collect())
    } else {
        List::default()
    };
    let nonce: [u8; 32] = draw.bytes();
    // Of what is drawn anyway: another draw would make another run of every seed.
    let form = match conditioning {
        Conditioning::None => ConditioningForm::Study,
        _ => ConditioningForm::ALL[usize::from(nonce[0]) % ConditioningForm::ALL.len()],
    };
    let features = match form {
        ConditioningForm::Late if nonce[2].is_multiple_of(3) => {
            FeatureSchema::parse(&["disease duration", "age", "sex"]).expect("of the study")
        }
        _ => FeatureSchema::study(),
    };
    Manifest {
        task,
        conditioning,
        conditioning_form: form,
        conditioning_every: 1 + u32::from(nonce[1].is_multiple_of(3)),
        rounds,
        weights,
        layout: miniature_of(task.classes() as u32, width, form, features.count()),
        features,
        nonce,
        init_seed: draw.bytes(),
        silence_secs: draw.one_of(&[6, 10, 30]),
        clip_rule: draw.one_of(&[ADAPTIVE_CLIPS, FIXED_CLIPS]),
        ..protocol::manifest::testing::manifest()
    }
}

impl Cohort<'_> {
    fn violated(&mut self, violation: Violation) -> Ending {
        let checker = self.checker.as_mut().expect("a scenario is checked");
        checker.violate(violation);
        Ending::Violated
    }

    /// Whether the run has ended, and no process of the coordinator is to go on with it.
    fn is_over(&self) -> bool {
        self.coordinator.is_over() && !self.coordinator_restarts
    }

    /// Sums of a purpose that vaults have opened.
    fn opened_sums(&self, purpose: Purpose) -> usize {
        let checker = self.checker.as_ref().expect("a scenario is checked");
        checker.opened_sums(purpose)
    }

    /// Those of these hospitals that have lost their state.
    fn lost_state_among(&self, ids: &[HospitalId]) -> usize {
        let lost = |id: &&HospitalId| self.hospitals[id].has_lost_state;
        ids.iter().filter(lost).count()
    }

    /// Those of these hospitals that have not ended without a word.
    fn live(&self, ids: &[HospitalId]) -> usize {
        let is_there = |id: &&HospitalId| self.hospitals[id].life != Life::Gone;
        ids.iter().filter(is_there).count()
    }

    /// When a run in which nothing more happens must have ended: everybody's patience is over several times.
    fn quiet_after(&self, silence_secs: u32) -> crate::parties::Timestamp {
        let patience = 4_000 * u64::from(silence_secs) + 10_000;
        later(self.moved_at.max(self.disturbed_until), patience)
    }

    fn plan_stops(&mut self, operations: &[Operation]) {
        let stops = operations.iter().filter_map(|operation| match *operation {
            Operation::SuspendHospital {
                hospital,
                after_effect,
                for_ms,
                loses_connection,
            } => Some(PlannedStop {
                party: Party::Hospital(id(hospital)),
                after_effect,
                stop: Stop::Suspend {
                    for_ms,
                    loses_connection,
                },
            }),
            Operation::SuspendCoordinator {
                after_effect,
                for_ms,
                loses_connections,
            } => Some(PlannedStop {
                party: Party::Coordinator,
                after_effect,
                stop: Stop::Suspend {
                    for_ms,
                    loses_connection: loses_connections,
                },
            }),
            Operation::RestartHospital {
                hospital,
                after_effect,
                for_ms,
            } => Some(PlannedStop {
                party: Party::Hospital(id(hospital)),
                after_effect,
                stop: Stop::Restart { for_ms },
            }),
            Operation::RestartCoordinator {
                after_effect,
                for_ms,
            } => Some(PlannedStop {
                party: Party::Coordinator,
                after_effect,
                stop: Stop::Restart { for_ms },
            }),
            Operation::LoseState {
                hospital,
                after_effect,
                for_ms,
            } => Some(PlannedStop {
                party: Party::Hospital(id(hospital)),
                after_effect,
                stop: Stop::LoseState { for_ms },
            }),
            Operation::Crash {
                hospital,
                after_effect,
            } => Some(PlannedStop {
                party: Party::Hospital(id(hospital)),
                after_effect,
                stop: Stop::Crash,
            }),
            _ => None,
        });
        self.stops.extend(stops);
        for operation in operations {
            if let Operation::RestartAtWrite {
                hospital,
                after_write,
                for_ms,
            } = *operation
            {
                let hospital = self.hospitals.get_mut(&id(hospital)).expect("a member");
                hospital.party.disk().stop_after(after_write);
                hospital.back_after_stopped_write = for_ms;
            }
        }
    }

    fn plan_first_dials(&mut self) {
        for hospital in self.ids() {
            let at = later(self.agenda.now(), self.timing.before_dialling_again());
            self.agenda.plan(at, Happening::Dials { hospital });
        }
    }

    /// Lets something go wrong now.
    fn perform(&mut self, operation: &Operation) {
        let now = self.agenda.now();
        match *operation {
            Operation::Cut { hospital, .. } => self.cut(id(hospital)),
            Operation::Partition {
                ref hospitals,
                for_ms,
                ..
            } => {
                self.faults
                    .count(Fault::Partition, u64::from(!hospitals.is_empty()));
                for &hospital in hospitals {
                    self.network.cut_off(id(hospital), later(now, for_ms));
                    self.cut(id(hospital));
                }
                self.disturb_for(for_ms);
            }
            Operation::Stall {
                hospital, for_ms, ..
            } => {
                if let Some(link) = self.network.held(id(hospital), End::Hospital) {
                    self.network.stall(link, later(now, for_ms));
                    self.faults.count(Fault::Stall, 1);
                    self.disturb_for(for_ms);
                }
            }
            Operation::Silence {
                hospital, for_ms, ..
            } => {
                let hospital = self.hospitals.get_mut(&id(hospital)).expect("a member");
                hospital.silent_until = later(now, for_ms);
                self.faults.count(Fault::Silence, 1);
                self.disturb_for(for_ms);
            }
            Operation::CutUpload {
                hospital, permille, ..
            } => self.plan_cut(id(hospital), true, permille),
            Operation::CutDownload {
                hospital, permille, ..
            } => self.plan_cut(id(hospital), false, permille),
            Operation::RepeatToCoordinator { hospital, back, .. } => {
                self.repeat(id(hospital), End::Coordinator, back);
            }
            Operation::RepeatToVault { hospital, back, .. } => {
                self.repeat(id(hospital), End::Hospital, back);
            }
            Operation::RepeatUpload { hospital, .. } => {
                let is_running = self.is_running(id(hospital));
                if is_running && self.offer_upload(id(hospital)) {
                    self.faults.count(Fault::RepeatedUpload, 1);
                }
            }
            Operation::Diverge { hospital, .. } => {
                let hospital = self.hospitals.get_mut(&id(hospital)).expect("a member");
                hospital.diverging += 1;
            }
            Operation::SlowTraining {
                hospital, for_ms, ..
            } => {
                let hospital = self.hospitals.get_mut(&id(hospital)).expect("a member");
                hospital.slower_by += for_ms;
                self.disturb_for(for_ms);
            }
            Operation::Stranger { number, .. } => self.stranger_speaks(id(number)),
            Operation::DamageUploads {
                hospital, damage, ..
            } => self.uploads_disk.damage(id(hospital), damage),
            Operation::SuspendHospital { .. }
            | Operation::SuspendCoordinator { .. }
            | Operation::RestartHospital { .. }
            | Operation::RestartAtWrite { .. }
            | Operation::RestartCoordinator { .. }
            | Operation::LoseState { .. }
            | Operation::Crash { .. } => {}
        }
    }

    fn disturb_for(&mut self, millis: u64) {
        let until = later(self.agenda.now(), millis);
        self.disturbed_until = self.disturbed_until.max(until);
    }

    fn cut(&mut self, hospital: HospitalId) {
        if let Some(link) = self.network.held(hospital, End::Coordinator) {
            self.connection_breaks(link);
        }
    }

    fn plan_cut(&mut self, hospital: HospitalId, is_upload: bool, permille: u64) {
        self.cuts_of_transfers.push(CutOfTransfer {
            hospital,
            is_upload,
            permille,
        });
    }

    /// Sends a frame again that was sent before, on whichever connection. Hello and Welcome are not among them: they are the first words of
    /// their own connection, or session.
    fn repeat(&mut self, hospital: HospitalId, to: End, back: u64) {
        let from_is_running = match to {
            End::Coordinator => self.is_running(hospital),
            End::Hospital => self.coordinator_life == Life::Running,
        };
        let known = match to {
            End::Coordinator => &self.hospitals[&hospital].sent,
            End::Hospital => &self.hospitals[&hospital].received,
        };
        let Some(frame) = known.iter().rev().nth(back as usize).cloned() else {
            return;
        };
        let from = match to {
            End::Coordinator => End::Hospital,
            End::Hospital => End::Coordinator,
        };
        if from_is_running && self.network.held(hospital, from).is_some() {
            let fault = match to {
                End::Coordinator => Fault::RepeatedToCoordinator,
                End::Hospital => Fault::RepeatedToVault,
            };
            self.faults.count(fault, 1);
            self.send_frame(hospital, to, frame);
        }
    }

    /// Somebody who is not on the roster, with a member's words.
    fn stranger_speaks(&mut self, stranger: HospitalId) {
        if self.coordinator_life != Life::Running {
            return;
        }
        self.faults.count(Fault::Stranger, 1);
        let now = self.agenda.now();
        let member = self.hospitals.values().next().expect("a member");
        let words: Vec<_> = member.sent.iter().rev().take(12).cloned().collect();
        let upload = member.upload.clone();
        let hello = frame_to_coordinator(&ToCoordinator::Hello(Hello { resume: None }));
        self.coordinator.connected(stranger, now);
        self.coordinator_has_spoken();
        for frame in std::iter::once(&hello).chain(&words) {
            if self.coordinator_life != Life::Running {
                return;
            }
            self.coordinator.frame(stranger, frame, now);
            self.coordinator_has_spoken();
        }
        if self.coordinator_life != Life::Running {
            return;
        }
        if let Some((_, bytes)) = upload {
            let verdict = self.coordinator.upload(stranger, bytes, now);
            assert!(verdict.is_err(), "a contribution of a stranger was taken");
            self.coordinator_has_spoken();
        }
        if self.coordinator_life == Life::Running {
            self.coordinator.disconnected(stranger, now);
            self.coordinator_has_spoken();
        }
    }
}

/// The widths of the miniature networks: an update takes one chunk, or two.
const MINIATURE_WIDTHS: [u32; 2] = [16, 3000];
/// The longest run of the seeds tried needs less than a tenth of it.
const MAX_HAPPENINGS: u64 = 200_000;
const GOODBYE_MS: u64 = 10_000;
/// The coordinator gives up after so many rounds in a row that came to too few contributions.
const ROUNDS_BEFORE_GIVING_UP: usize = 8;
