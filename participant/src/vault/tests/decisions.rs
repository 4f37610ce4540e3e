//! What a vault decides about every input in every phase.
//!
//! A real vault, hospital 2 of three, is brought into each phase by real messages of hospitals 1 and 3; the test is the coordinator
//! between them. Then each input is offered, and what happens is written down. A new phase or a new input does not compile without a
//! way into it, or something to offer.

use std::fmt::Write;

use crypto::{ckks::Profile, sealed_sum::RunningSum};
use protocol::{
    codec::{Id, List},
    digests::{LearningRound, ModelHash, RoundNumber, SessionId, Transcript},
    message::{Products, Welcome},
    round::{
        contribution::{BoxForward, Contribution, ContributionManifest, forwards},
        header::RoundContext,
        null_step::NullStep,
        outcome::{Outcome, RoundFailed, outcome_name},
        unlock::{Contributor, UnlockRequest, UnlockShare},
    },
    session::{Encapsulation, GroupKey, Joins, KEM_CIPHERTEXT_BYTES, Ready, state_name},
};

use super::*;
use crate::vault::{
    PhaseName, VaultError, conditioning::tests::Server, input::InputKind, phase::Phase,
    session::InSession, session_state::Session,
};

const OURS: u8 = 2;
const SESSION: SessionId = SessionId::from_bytes([7; 16]);

/// The one that follows it.
const FOLLOWING: SessionId = SessionId::from_bytes([6; 16]);

/// Something that can happen to our vault.
enum Offer {
    Connected,
    /// Somebody has decided, or has not.
    Reconsider(Decision),
    Message(ToVault),
    Outcome(Vec<u8>),
    Trained(ModelHash, TrainedUpdate),
    Evaluated(RoundNumber, EvaluatedCounts),
}

/// An offer, in words, and what our vault is given before it.
struct Case {
    words: &'static str,
    before: Vec<ToVault>,
    offer: Offer,
}

/// A round that hospitals 1 and 3 are in, and ours perhaps.
struct PeersRound {
    header: Signed<RoundOpen>,
    contributions: BTreeMap<HospitalId, Contribution>,
}

/// Our vault, the other hospitals, and the test as the coordinator.
struct World {
    federation: TestFederation,
    manifest: Signed<Manifest>,
    ours: Vault<MemoryJournal>,
    /// What was decided at our hospital.
    decided: Decided,
    /// What outlives our vault's process.
    disk: MemoryJournal,
    ring: Arc<SumRing>,
    peers: BTreeMap<HospitalId, Vault<MemoryJournal>>,
    joins: Vec<Signed<protocol::session::Join>>,
    /// Messages of the set-up from the others to us, in the order they were sent.
    set_up: Vec<ToVault>,
    round: Option<PeersRound>,
    /// Filter requests of ours, with the key and the features they refer to.
    asked: Vec<ToCoordinator>,
    /// What our trainer was asked for last.
    training: Option<(ModelHash, TrainRequest)>,
    /// T that the session goes on after, if it follows another.
    after: Option<Transcript>,
}

/// Records that no sum can take: counts of one class too many.
struct UnusableCounts;

impl RecordSource for UnusableCounts {
    fn records(&self, labels: Labels) -> Result<ClinicalRecords, UnusableRecords> {
        let mut records = Records(id(OURS)).records(labels)?;
        records.class_counts.push(1);
        Ok(records)
    }
}

fn new_vault(
    number: u8,
    federation: &TestFederation,
    source: Box<dyn RecordSource>,
    decided: &Decided,
    journal: MemoryJournal,
    ring: &Arc<SumRing>,
) -> Vault<MemoryJournal> {
    let secret = federation.hospital_keys[usize::from(number) - 1].to_secret_bytes();
    let identity = VaultIdentity {
        id: id(number),
        key: SigningKey::from_secret_bytes(&secret),
        roster: Arc::new(super::federation(3).roster),
    };
    let rng = ChaCha20Rng::from_seed([number; 32]);
    Vault::with_randomness(
        identity,
        decided.consent(),
        source,
        journal,
        ring.clone(),
        Box::new(rng),
    )
}

fn outputs(vault: &mut Vault<MemoryJournal>) -> Vec<VaultOutput> {
    std::iter::from_fn(|| vault.poll_output()).collect()
}

fn sent(outputs: &[VaultOutput]) -> impl Iterator<Item = &ToCoordinator> {
    outputs.iter().filter_map(|output| match output {
        VaultOutput::Send(message) => Some(message.as_ref()),
        _ => None,
    })
}

fn evaluated() -> EvaluatedCounts {
    EvaluatedCounts {
        confusion: vec![vec![4, 1], vec![2, 3]],
        loss_sum: 1.5,
    }
}

fn session(vault: &Vault<MemoryJournal>) -> &InSession {
    match &vault.phase {
        Phase::InSession(session) => session,
        _ => panic!("no session: {}", vault.phase()),
    }
}

impl World {
    fn new(source: Box<dyn RecordSource>, ring: &Arc<SumRing>) -> Self {
        let federation = super::federation(3);
        let manifest = manifest(2, Conditioning::EncryptedHardened);
        let manifest = Signed::sign(&manifest, &federation.operator_key);
        let disk = MemoryJournal::default();
        let decided = Decided::of(Decision::Approved);
        let ours = new_vault(OURS, &federation, source, &decided, disk.clone(), ring);
        let mut world = Self {
            ours,
            decided,
            disk,
            ring: ring.clone(),
            peers: BTreeMap::new(),
            federation,
            manifest,
            joins: Vec::new(),
            set_up: Vec::new(),
            round: None,
            asked: Vec::new(),
            training: None,
            after: None,
        };
        for number in [1, 3] {
            let mut peer = new_vault(
                number,
                &world.federation,
                Box::new(Records(id(number))),
                &Decided::of(Decision::Approved),
                MemoryJournal::default(),
                ring,
            );
            peer.handle_message(ToVault::Welcome(world.welcome(SESSION)))
                .expect("welcome");
            world.keep_joins(&outputs(&mut peer));
            world.peers.insert(id(number), peer);
        }
        world
    }

    /// A world in which our vault is in this phase.
    fn in_phase(phase: PhaseName, ring: &Arc<SumRing>) -> Self {
        let mut world = match phase {
            PhaseName::StatisticsNotContributing => Self::new(Box::new(UnusableCounts), ring),
            _ => Self::new(Box::new(Records(id(OURS))), ring),
        };
        world.go_to(phase);
        assert_eq!(world.ours.phase(), phase);
        outputs(&mut world.ours);
        world
    }

    fn go_to(&mut self, phase: PhaseName) {
        match phase {
            PhaseName::Unjoined => {}
            PhaseName::AwaitingApproval => {
                self.decided.change(Decision::Awaited);
                self.tell_us(ToVault::Welcome(self.welcome(SESSION)));
            }
            PhaseName::Joining => {
                self.tell_us(ToVault::Welcome(self.welcome(SESSION)));
            }
            PhaseName::KeyExchange => {
                self.go_to(PhaseName::Joining);
                self.exchange_with_peers();
            }
            PhaseName::AwaitingState => {
                self.go_to(PhaseName::Idle);
                self.lose_us_and_follow();
                for message in std::mem::take(&mut self.set_up) {
                    self.tell_us(message);
                }
            }
            PhaseName::StatisticsIdle => {
                self.go_to(PhaseName::KeyExchange);
                for message in std::mem::take(&mut self.set_up) {
                    self.tell_us(message);
                }
                self.open_at_peers(Purpose::Stats);
            }
            PhaseName::StatisticsContributed | PhaseName::StatisticsNotContributing => {
                self.go_to(PhaseName::StatisticsIdle);
                self.tell_us(self.header());
            }
            PhaseName::StatisticsAnswered => {
                self.go_to(PhaseName::StatisticsContributed);
                self.answer_ourselves();
            }
            PhaseName::Idle => {
                self.go_to(PhaseName::StatisticsContributed);
                let outcome = self.outcome();
                self.ours.handle_outcome(&outcome).expect("nothing fatal");
                for peer in self.peers.values_mut() {
                    peer.handle_outcome(&outcome).expect("nothing fatal");
                }
                self.open_at_peers(Purpose::Evaluation);
            }
            PhaseName::AwaitingFilters => {
                self.go_to(PhaseName::Idle);
                self.tell_us(self.header());
            }
            PhaseName::Evaluating => {
                self.go_to(PhaseName::AwaitingFilters);
                self.tell_us(ToVault::Products(self.products()));
            }
            PhaseName::Training => {
                self.go_to(PhaseName::Idle);
                self.open_at_peers(Purpose::Update);
                self.tell_us(self.header());
                self.tell_us(ToVault::Products(self.products()));
            }
            PhaseName::NotContributing => {
                self.go_to(PhaseName::Training);
                let hash = self.training.as_ref().expect("asked for").0;
                let empty = TrainedUpdate {
                    model: Vec::new(),
                    input_gradients: protocol::training_job::PatientValues::default(),
                    batches: 1,
                    loss: 0.5,
                };
                self.ours.handle_trained(hash, empty).expect("not fatal");
            }
            PhaseName::Contributed => {
                self.go_to(PhaseName::Evaluating);
                let number = self.header_body().round;
                self.ours
                    .handle_evaluated(number, &evaluated())
                    .expect("nothing fatal");
                let made = outputs(&mut self.ours);
                self.keep_contribution(id(OURS), &made);
            }
            PhaseName::Answered => {
                self.go_to(PhaseName::Contributed);
                self.answer_ourselves();
            }
            PhaseName::StatisticsInterrupted => {
                self.go_to(PhaseName::StatisticsIdle);
                self.stop_us_after_the_header();
            }
            PhaseName::Interrupted => {
                self.go_to(PhaseName::Idle);
                self.stop_us_after_the_header();
            }
            // As one that was away when the run ended.
            PhaseName::Finished => self.tell_us(ToVault::Finished),
            PhaseName::Stopped => {
                self.go_to(PhaseName::Joining);
                let reason = "expelled".into();
                let stopped = self.ours.handle_message(ToVault::Refused { reason });
                stopped.expect_err("fatal");
            }
        }
    }

    /// Our vault accepts the header; another process goes on from what it has kept by then.
    fn stop_us_after_the_header(&mut self) {
        self.disk.stop_after(1);
        // Either it stops at its next write, or it waits for something.
        let _ = self.ours.handle_message(self.header());
        self.disk.go_on();
        let source = Box::new(Records(id(OURS)));
        self.ours = new_vault(
            OURS,
            &self.federation,
            source,
            &self.decided,
            self.disk.clone(),
            &self.ring,
        );
        assert!(self.ours.resume().expect("its own words"));
    }

    /// Our vault has lost everything, and all join a session that follows.
    fn lose_us_and_follow(&mut self) {
        let reached = session(&self.peers[&id(1)]).session.chain.transcript;
        self.after = Some(reached);
        self.disk = MemoryJournal::default();
        let source = Box::new(Records(id(OURS)));
        let (federation, ring, decided) = (&self.federation, &self.ring, &self.decided);
        self.ours = new_vault(OURS, federation, source, decided, self.disk.clone(), ring);
        self.joins.clear();
        self.set_up.clear();
        let welcome = self.welcome(FOLLOWING);
        let mut said = Vec::new();
        for peer in self.peers.values_mut() {
            peer.handle_message(ToVault::Welcome(welcome.clone()))
                .expect("welcome");
            said.extend(outputs(peer));
        }
        self.keep_joins(&said);
        self.tell_us(ToVault::Welcome(welcome));
        self.exchange_with_peers();
    }

    /// The state that the following session goes on from, sealed by hospital 1.
    fn sealed_state(&mut self) -> Option<Vec<u8>> {
        let peer = self.peers.get_mut(&id(1))?;
        let wanted = ToVault::StateWanted { session: FOLLOWING };
        peer.handle_message(wanted).expect("nothing fatal");
        outputs(peer).into_iter().find_map(|output| match output {
            VaultOutput::UploadState { bytes, .. } => Some(bytes.to_vec()),
            _ => None,
        })
    }

    fn welcome(&self, session: SessionId) -> Welcome {
        Welcome {
            session,
            roster_hash: self.federation.roster.hash(),
            manifest: self.manifest.clone(),
            after: self.after,
        }
    }

    /// The session that the coordinator goes by.
    fn session(&self) -> SessionId {
        match self.after {
            None => SESSION,
            Some(_) => FOLLOWING,
        }
    }

    fn keep_joins(&mut self, outputs: &[VaultOutput]) {
        for message in sent(outputs) {
            if let ToCoordinator::Join(join) = message
                && !self.joins.contains(join)
            {
                self.joins.push(join.clone());
            }
        }
        let sender = |join: &Signed<protocol::session::Join>| {
            join.read_unverified().expect("from a vault").id
        };
        self.joins.sort_by_key(sender);
    }

    fn joins(&self) -> Joins {
        List(self.joins.clone())
    }

    /// Gives our vault a message and keeps what later messages need of its outputs.
    fn tell_us(&mut self, message: ToVault) {
        self.ours.handle_message(message).expect("nothing fatal");
        let outputs = outputs(&mut self.ours);
        self.keep_joins(&outputs);
        self.keep_contribution(id(OURS), &outputs);
        for output in outputs {
            match output {
                VaultOutput::Send(message) => match *message {
                    message @ (ToCoordinator::EvaluationKey(_)
                    | ToCoordinator::EncryptedFeatures(_)
                    | ToCoordinator::FilterRequest(_)) => self.asked.push(message),
                    ToCoordinator::Ready(ready) => {
                        for peer in self.peers.values_mut() {
                            peer.handle_message(ToVault::Ready(ready.clone()))
                                .expect("nothing fatal");
                        }
                    }
                    _ => {}
                },
                VaultOutput::Train {
                    model_hash,
                    request,
                    ..
                } => self.training = Some((model_hash, request)),
                _ => {}
            }
        }
    }

    /// All know all Joins; what 1 and 3 send each other arrives, what they send us is kept.
    fn exchange_with_peers(&mut self) {
        let joins = self.joins();
        self.ours
            .handle_message(ToVault::Joins(joins.clone()))
            .expect("nothing fatal");
        let mut under_way: VecDeque<(HospitalId, VaultOutput)> = VecDeque::new();
        under_way.extend(
            outputs(&mut self.ours)
                .into_iter()
                .map(|output| (id(OURS), output)),
        );
        for (&number, peer) in &mut self.peers {
            peer.handle_message(ToVault::Joins(joins.clone()))
                .expect("nothing fatal");
            under_way.extend(outputs(peer).into_iter().map(|output| (number, output)));
        }
        // The group key's holder encapsulates first, so that everything arrives in order.
        under_way
            .make_contiguous()
            .sort_by_key(|(from, output)| (is_ready(output), *from));
        while let Some((from, output)) = under_way.pop_front() {
            let VaultOutput::Send(message) = output else {
                continue;
            };
            let (to, message) = match *message {
                ToCoordinator::Encapsulation(message) => {
                    let to = message.read_unverified().expect("from a vault").to.0;
                    (vec![to], ToVault::Encapsulation(message))
                }
                ToCoordinator::GroupKey(message) => (self.all(), ToVault::GroupKey(message)),
                ToCoordinator::Ready(message) => (self.all(), ToVault::Ready(message)),
                _ => continue,
            };
            for to in to.into_iter().filter(|to| *to != from) {
                match self.peers.get_mut(&to) {
                    None => self.set_up.push(message.clone()),
                    Some(peer) => {
                        peer.handle_message(message.clone()).expect("in order");
                        under_way.extend(outputs(peer).into_iter().map(|output| (to, output)));
                    }
                }
            }
        }
    }

    fn all(&self) -> Vec<HospitalId> {
        [1, 2, 3].map(id).to_vec()
    }

    /// Hospitals 1 and 3 get the next header and contribute, unless it is an update.
    fn open_at_peers(&mut self, purpose: Purpose) {
        let header = self.next_header(purpose);
        let mut contributions = Vec::new();
        for (&number, peer) in &mut self.peers {
            peer.handle_message(ToVault::RoundOpen(header.clone()))
                .expect("nothing fatal");
            let mut made = outputs(peer);
            if purpose == Purpose::Evaluation {
                let mut server = Server::new(Profile::Hardened);
                let asked: Vec<_> = sent(&made).cloned().collect();
                if !asked.is_empty() {
                    let products = server.answer(&asked);
                    peer.handle_message(ToVault::Products(products))
                        .expect("nothing fatal");
                }
                let round = header.read_unverified().expect("ours").round;
                peer.handle_evaluated(round, &evaluated())
                    .expect("nothing fatal");
                made = outputs(peer);
            }
            contributions.push((number, made));
        }
        self.round = Some(PeersRound {
            header,
            contributions: BTreeMap::new(),
        });
        for (number, made) in contributions {
            self.keep_contribution(number, &made);
        }
    }

    /// The header that hospital 1 would accept next.
    fn next_header(&self, purpose: Purpose) -> Signed<RoundOpen> {
        let peer = &session(&self.peers[&id(1)]).session;
        let number = peer.chain.last_round.next();
        let header =
            context(peer, &self.federation).open(purpose, number, [number.get() as u8; 32]);
        Signed::sign(&header, &self.federation.coordinator_key)
    }

    fn keep_contribution(&mut self, from: HospitalId, outputs: &[VaultOutput]) {
        for output in outputs {
            if let (VaultOutput::Upload { bytes, .. }, Some(round)) = (output, &mut self.round) {
                let contribution = codec::decode(bytes).expect("from a vault");
                round.contributions.insert(from, contribution);
            }
        }
    }

    fn round(&self) -> &PeersRound {
        self.round.as_ref().expect("hospitals 1 and 3 are in one")
    }

    fn header(&self) -> ToVault {
        ToVault::RoundOpen(self.round().header.clone())
    }

    fn header_body(&self) -> RoundOpen {
        self.round().header.read_unverified().expect("our own")
    }

    /// The boxes of these contributors for one vault.
    fn boxes(&self, to: HospitalId) -> Vec<BoxForward> {
        let contributions = self.round().contributions.values();
        contributions
            .flat_map(|contribution| forwards(&contribution.manifest, &contribution.boxes))
            .filter(|(recipient, _)| *recipient == to)
            .map(|(_, forward)| forward)
            .collect()
    }

    /// U: everybody who has contributed.
    fn unlock_request(&self) -> Signed<UnlockRequest> {
        let contributors = self.round().contributions.iter();
        let request = UnlockRequest {
            header: self.round().header.digest(),
            contributors: contributors
                .map(|(&number, contribution)| Contributor {
                    id: Id(number),
                    digest: contribution.manifest.digest(),
                    signature: *contribution.manifest.signature(),
                })
                .collect(),
        };
        Signed::sign(&request, &self.federation.coordinator_key)
    }

    /// Our vault gets the others' boxes and answers for U.
    fn answer_ourselves(&mut self) {
        for forward in self.boxes(id(OURS)) {
            self.tell_us(ToVault::BoxForward(forward));
        }
        self.tell_us(ToVault::UnlockRequest(self.unlock_request()));
    }

    /// The outcome of the round at hand, opened by the answers of hospitals 1 and 3.
    fn outcome(&mut self) -> Vec<u8> {
        let request = self.unlock_request();
        let mut shares: Vec<Signed<UnlockShare>> = Vec::new();
        for number in [1, 3].map(id) {
            let boxes = self.boxes(number);
            let peer = self.peers.get_mut(&number).expect("a peer");
            for forward in boxes {
                peer.handle_message(ToVault::BoxForward(forward))
                    .expect("nothing fatal");
            }
            peer.handle_message(ToVault::UnlockRequest(request.clone()))
                .expect("nothing fatal");
            shares.extend(sent(&outputs(peer)).filter_map(|message| match message {
                ToCoordinator::UnlockShare(share) => Some(share.clone()),
                _ => None,
            }));
        }
        let mut contributions = self.round().contributions.values();
        let first = contributions.next().expect("somebody has contributed");
        let chunks = first.chunks.0.len() / crypto::sealed_sum::CHUNK_BYTES;
        let mut sum = RunningSum::new(chunks);
        for contribution in std::iter::once(first).chain(contributions) {
            sum.add(&contribution.chunks.0).expect("of one shape");
        }
        codec::encode(&Outcome {
            header: self.round().header.clone(),
            request,
            shares: List(shares),
            sum: Bytes(sum.into_bytes()),
        })
    }

    /// The right answer to our filter request.
    fn products(&self) -> Products {
        Server::new(Profile::Hardened).answer(&self.asked)
    }

    /// Everything of one kind that is worth offering in the phase at hand.
    fn cases(&mut self, kind: InputKind) -> Vec<Case> {
        let message = |words, message| Case {
            words,
            before: Vec::new(),
            offer: Offer::Message(message),
        };
        let is_in_session = matches!(self.ours.phase, Phase::InSession(_));
        match kind {
            InputKind::Connected => vec![Case {
                words: "",
                before: Vec::new(),
                offer: Offer::Connected,
            }],
            InputKind::Reconsider => self.reconsider_cases(),
            InputKind::Welcome => vec![
                message("", ToVault::Welcome(self.welcome(self.session()))),
                message(
                    ", of another session",
                    ToVault::Welcome(self.welcome([8; 16].into())),
                ),
            ],
            InputKind::Refused => vec![message(
                "",
                ToVault::Refused {
                    reason: "expelled".into(),
                },
            )],
            InputKind::NotYet => vec![message(
                "",
                ToVault::NotYet {
                    reason: "a round is open".into(),
                },
            )],
            InputKind::StateWanted => vec![message(
                "",
                ToVault::StateWanted {
                    session: self.session(),
                },
            )],
            InputKind::StateReady => [self.session(), [8; 16].into()]
                .into_iter()
                .zip(["", ", of another session"])
                .map(|(session, words)| {
                    let name = state_name(&session, id(1));
                    message(words, ToVault::StateReady { name })
                })
                .collect(),
            InputKind::Joins => vec![message("", ToVault::Joins(self.joins()))],
            InputKind::Encapsulation | InputKind::GroupKey | InputKind::Ready => {
                self.set_up_cases(kind)
            }
            InputKind::Products => self.product_cases(),
            InputKind::RoundOpen if is_in_session => self.header_cases(),
            InputKind::RoundOpen => vec![message("", ToVault::RoundOpen(self.foreign_header()))],
            InputKind::BoxForward if is_in_session => {
                let boxes = self.boxes(id(OURS));
                let mut cases: Vec<_> = boxes
                    .into_iter()
                    .take(1)
                    .map(|forward| message("", ToVault::BoxForward(forward)))
                    .collect();
                cases.push(message(
                    ", of another round",
                    ToVault::BoxForward(self.foreign_box()),
                ));
                cases
            }
            InputKind::BoxForward => {
                vec![message("", ToVault::BoxForward(self.foreign_box()))]
            }
            InputKind::UnlockRequest => self.unlock_cases(is_in_session),
            InputKind::OutcomeReady => vec![message(
                "",
                ToVault::OutcomeReady {
                    name: outcome_name(&[1; 32].into(), &[2; 32].into()),
                },
            )],
            InputKind::NullStep => self.null_step_cases(is_in_session),
            InputKind::Rejected => vec![message(
                "",
                ToVault::Rejected {
                    reason: "of another round".into(),
                },
            )],
            InputKind::Finished => vec![
                message("", ToVault::Finished),
                message(
                    ", by the operator after round 1",
                    ToVault::EndedByOperator {
                        after: LearningRound::new(1),
                    },
                ),
            ],
            InputKind::Outcome => self.outcome_cases(is_in_session),
            InputKind::Trained => self.trained_cases(is_in_session),
            InputKind::Evaluated => self.evaluated_cases(),
        }
    }

    fn reconsider_cases(&self) -> Vec<Case> {
        let case = |words, decision| Case {
            words,
            before: Vec::new(),
            offer: Offer::Reconsider(decision),
        };
        if self.ours.phase() != PhaseName::AwaitingApproval {
            return vec![case("", Decision::Approved)];
        }
        let reason = "not now".into();
        vec![
            case(", nothing yet", Decision::Awaited),
            case(", a yes", Decision::Approved),
            case(", a no", Decision::Rejected { reason }),
        ]
    }

    fn set_up_cases(&self, kind: InputKind) -> Vec<Case> {
        let key = &self.federation.hospital_keys[0];
        let other = match kind {
            InputKind::Encapsulation => ToVault::Encapsulation(Signed::sign(
                &Encapsulation {
                    session: SESSION,
                    from: Id(id(1)),
                    to: Id(id(OURS)),
                    from_join: [0; 32].into(),
                    to_join: [0; 32].into(),
                    roster_hash: self.federation.roster.hash(),
                    ciphertext: [0; KEM_CIPHERTEXT_BYTES],
                },
                key,
            )),
            InputKind::GroupKey => ToVault::GroupKey(Signed::sign(
                &GroupKey {
                    session: SESSION,
                    origin: Id(id(1)),
                    generation: 1,
                    first_round: RoundNumber::new(1),
                    gid: [0; 32].into(),
                    sealed: List(Vec::new()),
                },
                key,
            )),
            _ => ToVault::Ready(Signed::sign(
                &Ready {
                    session: SESSION,
                    id: Id(id(1)),
                    joined_set: [0; 32].into(),
                    gid: [0; 32].into(),
                    encapsulations: List(Vec::new()),
                    state: None,
                },
                key,
            )),
        };
        let is_of_kind = |message: &ToVault| match (kind, message) {
            (InputKind::Encapsulation, ToVault::Encapsulation(_))
            | (InputKind::GroupKey, ToVault::GroupKey(_)) => true,
            // The last one: all others have come before.
            (InputKind::Ready, ToVault::Ready(_)) => true,
            _ => false,
        };
        let mut cases = Vec::new();
        if let Some(place) = self.set_up.iter().rposition(is_of_kind) {
            cases.push(Case {
                words: ", in its turn",
                before: self.set_up[..place].to_vec(),
                offer: Offer::Message(self.set_up[place].clone()),
            });
        }
        cases.push(Case {
            words: ", that disagrees",
            before: Vec::new(),
            offer: Offer::Message(other),
        });
        cases
    }

    fn product_cases(&self) -> Vec<Case> {
        let case = |words, products| Case {
            words,
            before: Vec::new(),
            offer: Offer::Message(ToVault::Products(products)),
        };
        let mut cases = vec![case(
            ", for another request",
            Products {
                request: [0; 32].into(),
                blocks: List(Vec::new()),
            },
        )];
        if self.ours.phase() == PhaseName::AwaitingFilters {
            cases.push(case(", right", self.products()));
            let mut spoilt = self.products();
            // Bit 48 of coefficient 100, of 60 bits each: a quarter at the scale of a product.
            spoilt.blocks.0[0].0[27 + (60 * 100 + 48) / 8] ^= 1;
            cases.push(case(", wrong", spoilt));
        }
        cases
    }

    fn header_cases(&self) -> Vec<Case> {
        let case = |words, header: &RoundOpen| Case {
            words,
            before: Vec::new(),
            offer: Offer::Message(ToVault::RoundOpen(Signed::sign(
                header,
                &self.federation.coordinator_key,
            ))),
        };
        let ours = session(&self.ours);
        let at_hand = self.header_body();
        let mut next = at_hand.clone();
        next.round = next.round.next();
        next.nonce = [99; 32];
        let mut other_model = next.clone();
        other_model.model_hash = [9; 32].into();
        let mut cases = vec![
            case(", of the next round", &next),
            case(", of another model", &other_model),
        ];
        if ours.is_in_round(&self.round().header.digest()) {
            cases.push(case(", again", &at_hand));
        }
        cases
    }

    fn unlock_cases(&self, is_in_session: bool) -> Vec<Case> {
        let case = |words, before, request| Case {
            words,
            before,
            offer: Offer::Message(ToVault::UnlockRequest(request)),
        };
        let empty = UnlockRequest {
            header: [0; 32].into(),
            contributors: List(Vec::new()),
        };
        let mut cases = vec![case(
            ", of another round",
            Vec::new(),
            Signed::sign(&empty, &self.federation.coordinator_key),
        )];
        if is_in_session && self.round().contributions.len() >= 2 {
            let boxes = self.boxes(id(OURS)).into_iter().map(ToVault::BoxForward);
            cases.push(case(
                ", without the boxes",
                Vec::new(),
                self.unlock_request(),
            ));
            cases.push(case(
                ", with every box held",
                boxes.collect(),
                self.unlock_request(),
            ));
        }
        cases
    }

    fn outcome_cases(&mut self, is_in_session: bool) -> Vec<Case> {
        let case = |words, bytes| Case {
            words,
            before: Vec::new(),
            offer: Offer::Outcome(bytes),
        };
        let mut cases = vec![case(", malformed", vec![1, 2, 3])];
        if is_in_session && self.round().contributions.len() >= 2 {
            let outcome = self.outcome();
            let mut spoilt: Outcome = codec::decode(&outcome).expect("ours");
            spoilt.sum.0[1] ^= 0x10;
            cases.push(case(", that does not open", codec::encode(&spoilt)));
            cases.push(case("", outcome));
        }
        if self.ours.phase() == PhaseName::AwaitingState {
            let state = self.sealed_state().expect("hospital 1 has it");
            let mut spoilt = state.clone();
            *spoilt.last_mut().expect("not empty") ^= 1;
            cases.push(case(", the state with a bit changed", spoilt));
            cases.push(case(", the state", state));
        }
        cases
    }

    /// Of the round at hand, by the words of two of three hospitals, and of one.
    fn null_step_cases(&mut self, is_in_session: bool) -> Vec<Case> {
        let case = |words, step| Case {
            words,
            before: Vec::new(),
            offer: Offer::Message(ToVault::NullStep(step)),
        };
        let header = self.foreign_header();
        let request = UnlockRequest {
            header: header.digest(),
            contributors: List(Vec::new()),
        };
        let foreign = NullStep {
            header,
            request: Signed::sign(&request, &self.federation.coordinator_key),
            failed: List(Vec::new()),
        };
        let mut cases = vec![case(", of another session", foreign)];
        if is_in_session && self.round().contributions.len() >= 2 {
            let (header, request) = (self.round().header.clone(), self.unlock_request());
            let contributors = request.read_unverified().expect("our own").hash();
            let failed = [1, 3].map(|number| {
                let word = RoundFailed {
                    id: Id(id(number)),
                    header: header.digest(),
                    contributors,
                };
                Signed::sign(
                    &word,
                    &self.federation.hospital_keys[usize::from(number) - 1],
                )
            });
            let step = |failed: &[Signed<RoundFailed>]| NullStep {
                header: header.clone(),
                request: request.clone(),
                failed: List(failed.to_vec()),
            };
            cases.push(case(", by too few words", step(&failed[..1])));
            cases.push(case("", step(&failed)));
        }
        cases
    }

    fn trained_cases(&self, is_in_session: bool) -> Vec<Case> {
        let case = |words, hash, update| Case {
            words,
            before: Vec::new(),
            offer: Offer::Trained(hash, update),
        };
        let empty = TrainedUpdate {
            model: Vec::new(),
            input_gradients: protocol::training_job::PatientValues::default(),
            batches: 1,
            loss: 0.5,
        };
        let mut cases = vec![case(", of another model", [0; 32].into(), empty.clone())];
        if is_in_session {
            let hash = session(&self.ours).session.chain.model_hash;
            if self.ours.phase() == PhaseName::Training {
                let (_, request) = self.training.as_ref().expect("asked for");
                let update = train(id(OURS), request);
                cases.push(case(", usable", hash, update));
            }
            cases.push(case(", of the common model", hash, empty));
        }
        cases
    }

    fn evaluated_cases(&self) -> Vec<Case> {
        let case = |words, round| Case {
            words,
            before: Vec::new(),
            offer: Offer::Evaluated(round, evaluated()),
        };
        let mut cases = vec![case(", for another round", RoundNumber::new(1000))];
        if let Some(round) = &self.round {
            let round = round.header.read_unverified().expect("our own").round;
            cases.push(case(", for the round at hand", round));
        }
        cases
    }

    /// A header of no session of ours.
    fn foreign_header(&self) -> Signed<RoundOpen> {
        let manifest = self.manifest.read_unverified().expect("our own");
        let context = RoundContext {
            roster: &self.federation.roster,
            manifest: &manifest,
            run: [0; 32].into(),
            session: SESSION,
            joined_set: [0; 32].into(),
            joined: 3,
            gid: [0; 32].into(),
            transcript: [0; 32].into(),
            model_hash: [0; 32].into(),
        };
        let header = context.open(Purpose::Stats, RoundNumber::new(1), [0; 32]);
        Signed::sign(&header, &self.federation.coordinator_key)
    }

    fn foreign_box(&self) -> BoxForward {
        let manifest = ContributionManifest {
            header: [0; 32].into(),
            id: Id(id(1)),
            attempt: 0,
            chunks_root: [0; 32].into(),
            boxes_root: [0; 32].into(),
            commit: [0; 32].into(),
        };
        BoxForward {
            manifest: Signed::sign(&manifest, &self.federation.hospital_keys[0]),
            sealed: Bytes(Vec::new()),
            path: List(Vec::new()),
        }
    }

    /// Makes the offer; in words what came of it.
    fn try_out(&mut self, case: Case) -> String {
        for message in case.before {
            self.ours.handle_message(message).expect("nothing fatal");
        }
        outputs(&mut self.ours);
        let before = self.ours.phase();
        let result = match case.offer {
            Offer::Connected => {
                self.ours.handle_connected();
                Ok(())
            }
            Offer::Reconsider(decision) => {
                self.decided.change(decision);
                self.ours.handle_reconsider()
            }
            Offer::Message(message) => self.ours.handle_message(message),
            Offer::Outcome(bytes) => self.ours.handle_outcome(&bytes),
            Offer::Trained(hash, update) => self.ours.handle_trained(hash, update),
            Offer::Evaluated(round, counts) => self.ours.handle_evaluated(round, &counts),
        };
        let outputs = outputs(&mut self.ours);
        described(before, self.ours.phase(), result, &outputs)
    }
}

fn context<'a>(session: &'a Session, federation: &'a TestFederation) -> RoundContext<'a> {
    session.context(&federation.roster)
}

fn is_ready(output: &VaultOutput) -> bool {
    matches!(output, VaultOutput::Send(message) if matches!(**message, ToCoordinator::Ready(_)))
}

/// The outputs by kind, the phase if it is another, and what was refused or ignored and why.
fn described(
    before: PhaseName,
    after: PhaseName,
    result: Result<(), VaultError>,
    outputs: &[VaultOutput],
) -> String {
    if let Err(error) = result {
        assert_eq!(after, PhaseName::Stopped);
        return format!("STOPS: {error}");
    }
    let mut words: Vec<String> = Vec::new();
    for output in outputs {
        words.push(match output {
            VaultOutput::Send(message) => format!("{} out", message_name(message)),
            VaultOutput::Upload { .. } => "upload".into(),
            VaultOutput::UploadState { .. } => "upload the state".into(),
            VaultOutput::FetchOutcome { .. } => "fetch it".into(),
            VaultOutput::Train { .. } => "train".into(),
            VaultOutput::Evaluate { .. } => "evaluate".into(),
            VaultOutput::LeaveJobs => "leave jobs".into(),
            VaultOutput::Finished => "finished".into(),
            VaultOutput::Event(event) => match event {
                VaultEvent::LeftEarlierRoster => "leaves a session of an earlier roster".to_owned(),
                VaultEvent::Refused { reason } => format!("refused: {reason}"),
                VaultEvent::Ignored { reason, phase, .. } => {
                    assert_eq!(*phase, before);
                    format!("ignored: {reason}")
                }
                VaultEvent::ProductsRefused { reason } => format!("products refused: {reason}"),
                VaultEvent::NotYet { .. } => "(takes part later)".into(),
                VaultEvent::AwaitingApproval { .. } => "(awaits approval)".into(),
                VaultEvent::Approved => "(approved)".into(),
                VaultEvent::StateTaken(_) => "(state taken)".into(),
                VaultEvent::SessionReady => "(session ready)".into(),
                VaultEvent::Resumed(_) => "(resumed)".into(),
                VaultEvent::LeftSession { .. } => "(left the session)".into(),
                VaultEvent::EndedByOperator { .. } => "(ended by the operator)".into(),
                VaultEvent::EndedBefore(_) => "(ended before)".into(),
                VaultEvent::Overtaken { .. } => "(overtaken)".into(),
                VaultEvent::Conditioned { .. } => "(filters known)".into(),
                VaultEvent::Sealed { .. } => "(sealed)".into(),
                VaultEvent::WrongAnswers { .. } => "(wrong answers)".into(),
                VaultEvent::Opened(_) => "(opened)".into(),
                VaultEvent::NullStep { .. } => "(null step)".into(),
                VaultEvent::Rejected { .. } => "(told that a message was rejected)".into(),
            },
        });
    }
    if words.is_empty() {
        words.push("kept".into());
    }
    let mut line = words.join(", ");
    if after != before {
        write!(line, " => {after}").expect("writing to memory");
    }
    line
}

fn message_name(message: &ToCoordinator) -> &'static str {
    match message {
        ToCoordinator::Hello(_) => "Hello",
        ToCoordinator::Join(_) => "Join",
        ToCoordinator::Encapsulation(_) => "Encapsulation",
        ToCoordinator::GroupKey(_) => "GroupKey",
        ToCoordinator::Ready(_) => "Ready",
        ToCoordinator::EvaluationKey(_) => "EvaluationKey",
        ToCoordinator::EncryptedFeatures(_) => "EncryptedFeatures",
        ToCoordinator::FilterRequest(_) => "FilterRequest",
        ToCoordinator::Heartbeat => "Heartbeat",
        ToCoordinator::HeaderRefused { .. } => "HeaderRefused",
        ToCoordinator::BoxAck(_) => "BoxAck",
        ToCoordinator::UnlockShare(_) => "UnlockShare",
        ToCoordinator::RoundClosed(_) => "RoundClosed",
        ToCoordinator::RoundFailed(_) => "RoundFailed",
        ToCoordinator::StateTaken { .. } => "StateTaken",
        ToCoordinator::StateRefused { .. } => "StateRefused",
    }
}

/// What one phase makes of everything that is offered to it.
struct Decisions {
    phase: PhaseName,
    /// Offers and what came of each, in words.
    lines: Vec<(String, String)>,
}

impl Decisions {
    fn of(phase: PhaseName, ring: &Arc<SumRing>) -> Self {
        let mut lines = Vec::new();
        let mut world = World::in_phase(phase, ring);
        for &kind in InputKind::ALL {
            let count = world.cases(kind).len();
            for index in 0..count {
                let case = world.cases(kind).swap_remove(index);
                let name = format!("{}{}", kind.name(), case.words);
                let mut result = world.try_out(case);
                if result == format!("refused: {} is refused {phase}", kind.name()) {
                    result = "refused as out of phase".into();
                }
                if !leaves_all_as_it_was(kind, &result) || world.ours.phase() != phase {
                    world = World::in_phase(phase, ring);
                }
                lines.push((name, result));
            }
        }
        Self { phase, lines }
    }

    /// A line for each result, with all that came to it.
    fn write(&self, text: &mut String, skip: &[(String, String)]) {
        writeln!(text, "{}", self.phase).expect("writing to memory");
        let mut lines: Vec<_> = self
            .lines
            .iter()
            .filter(|line| !skip.contains(line))
            .collect();
        while let Some((_, result)) = lines.first().copied() {
            let (same, others): (Vec<_>, Vec<_>) =
                lines.into_iter().partition(|(_, other)| other == result);
            let names: Vec<_> = same.iter().map(|(name, _)| name.as_str()).collect();
            writeln!(text, "  {}: {result}", names.join("; ")).expect("writing to memory");
            lines = others;
        }
    }
}

/// Whether the same world can be used for the next offer.
fn leaves_all_as_it_was(kind: InputKind, result: &str) -> bool {
    result.starts_with("refused") || result.starts_with("ignored") || {
        matches!(
            kind,
            InputKind::Connected
                | InputKind::Reconsider
                | InputKind::Welcome
                | InputKind::OutcomeReady
                | InputKind::NotYet
                | InputKind::Rejected
                | InputKind::StateReady
        )
    }
}

/// Whether keys are complete and no round has been left behind for good.
fn is_in_session(phase: PhaseName) -> bool {
    match phase {
        PhaseName::Unjoined
        | PhaseName::AwaitingApproval
        | PhaseName::Joining
        | PhaseName::KeyExchange
        | PhaseName::AwaitingState
        | PhaseName::Finished
        | PhaseName::Stopped => false,
        PhaseName::StatisticsIdle
        | PhaseName::StatisticsInterrupted
        | PhaseName::Interrupted
        | PhaseName::StatisticsContributed
        | PhaseName::StatisticsNotContributing
        | PhaseName::StatisticsAnswered
        | PhaseName::Idle
        | PhaseName::AwaitingFilters
        | PhaseName::Training
        | PhaseName::Evaluating
        | PhaseName::Contributed
        | PhaseName::NotContributing
        | PhaseName::Answered => true,
    }
}

#[test]
fn every_input_is_decided_in_every_phase() {
    let ring = Arc::new(SumRing::new());
    let (first, second) = PhaseName::ALL.split_at(PhaseName::ALL.len() / 2);
    let table = std::thread::scope(|scope| {
        let halves = [first, second].map(|phases| {
            let decide = |&phase: &PhaseName| Decisions::of(phase, &ring);
            scope.spawn(move || phases.iter().map(decide).collect::<Vec<_>>())
        });
        let halves = halves.map(|half| half.join().expect("no phase panics"));
        halves.into_iter().flatten().collect::<Vec<_>>()
    });
    let mut in_session = table.iter().filter(|row| is_in_session(row.phase));
    let mut common = in_session.next().expect("there is one").lines.clone();
    for row in in_session {
        common.retain(|line| row.lines.contains(line));
    }

    let mut text = String::from("in every phase of a session\n");
    for (name, result) in &common {
        writeln!(text, "  {name}: {result}").expect("writing to memory");
    }
    for row in &table {
        text.push('\n');
        let skip = if is_in_session(row.phase) {
            &common[..]
        } else {
            &[]
        };
        row.write(&mut text, skip);
    }
    insta::assert_snapshot!("decisions", text);
}
