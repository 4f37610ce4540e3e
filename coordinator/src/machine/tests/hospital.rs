//! A hospital that says what the protocol wants to hear without knowing a secret: the coordinator, which cannot look into boxes,
//! masks or shares, sees no difference. Every word that hospital i contributes is i, so sums are known.
//!
//! It opens no socket: messages go in, what it does comes out. The tests of the service include this file too and give it a link.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crypto::sealed_sum::{CHUNK_BYTES, DealerAnswer, HospitalId, UNLOCK_BYTES};
use protocol::{
    codec::{self, Bytes, Id, List},
    digests::{
        ChunksRoot, ClipCommit, ContributorsHash, EncapsulationDigest, GroupKeyId, HeaderHash,
        JoinDigest, OutcomeName, SessionId, Transcript,
    },
    identity::{Message, Signed, SigningKey},
    keeping::Verdict,
    manifest::{Manifest, Purpose},
    message::{Hello, RefusedPart, Resume, ToCoordinator, ToVault, Welcome},
    roster::Roster,
    round::{
        contribution::{
            BOX_BYTES, BoxAck, Contribution, ContributionManifest, ShareBox, boxes_root,
            chunks_root,
        },
        header::RoundOpen,
        next_transcript,
        null_step::NullStep,
        outcome::{Outcome, RoundClosed, RoundFailed},
        unlock::{UnlockRequest, UnlockShare},
    },
    session::{
        Encapsulation, GroupKey, Join, Joins, KEM_CIPHERTEXT_BYTES, KEM_KEY_BYTES, Ready,
        SealedGroupKey, SealedState, SeenEncapsulation, first_transcript, joined_set_hash,
        state_name,
    },
};

/// What a hospital wants done.
#[derive(Clone, Debug)]
pub enum Act {
    /// Send this.
    Say(ToCoordinator),
    /// Upload this contribution.
    Upload { name: [u8; 32], bytes: Arc<[u8]> },
    /// Fetch this outcome and hand its bytes to [`FakeHospital::open`].
    Fetch { name: OutcomeName },
}

/// An outcome as a hospital has seen it: purpose, contributors, and the word that the sum consists of.
pub type Seen = (Purpose, BTreeSet<u8>, u64);

/// A hospital without secrets.
#[derive(Clone)]
pub struct FakeHospital {
    id: HospitalId,
    key: Arc<SigningKey>,
    roster: Arc<Roster>,
    /// It says of every outcome that it does not open.
    pub fails: bool,
    /// Sums of this purpose that this hospital contributes to do not open.
    pub spoilt: Option<(Purpose, HospitalId)>,
    /// So many updates do not open.
    pub spoilt_updates: u32,
    /// It does not follow null steps.
    pub refuses_null_steps: bool,
    /// It contributes nothing to updates.
    pub declines_updates: bool,
    /// It has other clips than the others: their sums do without it.
    pub clips_differently: bool,
    /// Its answers of the dealer check are not on the polynomials of the others'.
    pub deviates: bool,
    /// An update leads it to a model of its own.
    pub sees_another_model: Option<u8>,
    /// The evaluation, from 1, after which it says that the run has to stop.
    pub stops_after: Option<usize>,
    /// What it has seen of each outcome, in order.
    pub seen: Vec<Seen>,
    /// Its last message from the coordinator that ends a run.
    pub ending: Option<ToVault>,
    /// It was told that it takes part later.
    pub waits_outside: bool,
    /// How often its process was started before: each has other keys.
    lives: u8,
    membership: Option<Membership>,
}

#[derive(Clone)]
struct Membership {
    welcome: Welcome,
    manifest: Manifest,
    joins: Vec<Signed<Join>>,
    /// The Encapsulations of hospitals with smaller numbers.
    encapsulations: BTreeMap<HospitalId, EncapsulationDigest>,
    has_group_key: bool,
    /// Who has confirmed the keys.
    readies: BTreeSet<HospitalId>,
    /// What it has said in the set-up, to be repeated on a new connection.
    set_up: Vec<ToCoordinator>,
    transcript: Transcript,
    /// What it brings of the run: the T that it had reached in another session.
    brings: Option<Transcript>,
    /// The T that another hospital's state has led it to in this one.
    given: Option<Transcript>,
    round: Option<FakeRound>,
    /// The last round that it has closed.
    past: Option<FakeRound>,
    closed: Option<Signed<RoundClosed>>,
}

#[derive(Clone)]
struct FakeRound {
    signed: Signed<RoundOpen>,
    header: RoundOpen,
    /// Whose boxes it has, its own included.
    holds: BTreeSet<HospitalId>,
    /// Whose boxes have come since the header: each connection carries both once.
    since_header: BTreeSet<HospitalId>,
    upload: Option<([u8; 32], Arc<[u8]>)>,
    share: Option<Signed<UnlockShare>>,
}

impl FakeHospital {
    /// Hospital `id` of a federation.
    pub fn new(id: HospitalId, key: SigningKey, roster: Arc<Roster>) -> Self {
        Self {
            id,
            key: Arc::new(key),
            roster,
            fails: false,
            spoilt: None,
            spoilt_updates: 0,
            refuses_null_steps: false,
            declines_updates: false,
            clips_differently: false,
            deviates: false,
            sees_another_model: None,
            stops_after: None,
            seen: Vec::new(),
            ending: None,
            waits_outside: false,
            lives: 0,
            membership: None,
        }
    }

    /// Its process is killed and started again: it has lost the keys of its session.
    pub fn restart(&mut self) {
        self.lives += 1;
        self.membership = None;
        self.seen.clear();
        self.ending = None;
    }

    /// The first words on a new connection.
    pub fn hello(&self) -> ToCoordinator {
        let resume = self.membership.as_ref().map(|member| Resume {
            session: member.welcome.session,
            transcript: member.transcript,
        });
        ToCoordinator::Hello(Hello { resume })
    }

    /// Takes a message.
    pub fn hear(&mut self, message: ToVault) -> Vec<Act> {
        match message {
            ToVault::Welcome(welcome) => self.on_welcome(welcome),
            ToVault::Joins(joins) => self.on_joins(&joins),
            ToVault::GroupKey(key) => {
                assert_eq!(key.read_unverified().expect("a group key").gid, GID);
                self.member_mut().has_group_key = true;
                self.say_ready()
            }
            ToVault::Encapsulation(message) => {
                let from = message.read_unverified().expect("its own form").from.0;
                let known = &mut self.member_mut().encapsulations;
                known.insert(from, message.digest());
                self.say_ready()
            }
            ToVault::RoundOpen(signed) => self.on_header(signed),
            ToVault::BoxForward(forward) => {
                let from = forward.manifest.read_unverified().expect("a manifest").id.0;
                let round = self.round_mut();
                assert!(round.since_header.insert(from), "a box of {from} again");
                round.holds.insert(from);
                vec![Act::Say(self.ack())]
            }
            ToVault::UnlockRequest(request) => self.on_request(&request),
            ToVault::OutcomeReady { name } => vec![Act::Fetch { name }],
            ToVault::NotYet { .. } => {
                self.waits_outside = true;
                Vec::new()
            }
            ToVault::StateWanted { session } => {
                assert_eq!(session, self.session());
                let reached = self.brings().expect("it has one");
                let state = SealedState {
                    session,
                    sealer: Id(self.id),
                    digest: [0; 32],
                    sealed: Bytes(reached.as_bytes().to_vec()),
                };
                let name = state_name(&session, self.id).into();
                vec![upload((name, codec::encode(&state).into()))]
            }
            // A vault that has it takes it from nobody.
            ToVault::StateReady { name } => match self.member().transcript {
                Transcript::BEFORE_JOINS => vec![Act::Fetch { name }],
                _ => Vec::new(),
            },
            ToVault::Finished | ToVault::EndedByOperator { .. } | ToVault::Refused { .. } => {
                self.ending = Some(message);
                Vec::new()
            }
            ToVault::Ready(ready) => {
                let from = ready.read_unverified().expect("its own form").id.0;
                match self.member_mut().readies.insert(from) {
                    true => self.say_state_taken(),
                    false => Vec::new(),
                }
            }
            ToVault::NullStep(step) => self.on_null_step(&step),
            ToVault::Products(_) | ToVault::Rejected { .. } => Vec::new(),
        }
    }

    /// Opens an outcome: all words of its sum are alike.
    pub fn open(&mut self, bytes: &[u8]) -> Vec<Act> {
        if let Ok(state) = codec::decode::<SealedState>(bytes) {
            let after = self.member().welcome.after;
            if after.is_none_or(|after| state.sealed.0 != after.as_bytes()) {
                let session = self.session();
                return vec![Act::Say(ToCoordinator::StateRefused { session })];
            }
            let origin = self.origin();
            let member = self.member_mut();
            (member.transcript, member.given) = (origin, after);
            return vec![self.state_taken()];
        }
        let outcome: Outcome = codec::decode(bytes).expect("an outcome");
        let header = outcome.header.read_unverified().expect("a header");
        let request = outcome.request.read_unverified().expect("a request");
        let (hh, uh) = (outcome.header.digest(), request.hash());
        let member = self.member();
        if header.transcript != member.transcript {
            // Opened before: the coordinator has not heard.
            return member
                .closed
                .iter()
                .cloned()
                .map(ToCoordinator::RoundClosed)
                .map(Act::Say)
                .collect();
        }
        let sum = outcome.sum.0.as_chunks::<8>().0;
        let words: BTreeSet<u64> = sum.iter().map(|word| u64::from_le_bytes(*word)).collect();
        assert_eq!(words.len(), 1, "all words are alike in every contribution");
        let members = request.members();
        let is_spoilt = self
            .spoilt
            .is_some_and(|(purpose, by)| purpose == header.purpose && members.contains(&by));
        let is_due = header.purpose == Purpose::Update && self.spoilt_updates > 0;
        if self.fails || is_spoilt || is_due {
            let failed = self.failed();
            if header.purpose == Purpose::Evaluation {
                // It may be left out, and another round follow.
                let member = self.member_mut();
                member.past = member.round.take();
            }
            return vec![Act::Say(failed)];
        }
        let contributors = members.iter().map(|id| id.get()).collect();
        self.seen
            .push((header.purpose, contributors, words.into_iter().sum()));
        let sum_root = chunks_root(&outcome.sum.0);
        let model_hash = match self.sees_another_model {
            Some(model) if header.purpose == Purpose::Update => [model; 32].into(),
            _ => header.model_hash,
        };
        let transcript = next_transcript(&header.transcript, &hh, &uh, &sum_root, &model_hash);
        let verdict = self.verdict(header.purpose);
        self.close(RoundClosed {
            id: Id(self.id),
            header: hh,
            contributors: uh,
            transcript,
            model_hash,
            result_commit: [0; 32].into(),
            verdict,
        })
    }

    /// A model that did not move is another one after a null step.
    fn on_null_step(&mut self, step: &NullStep) -> Vec<Act> {
        let header = step.header.read_unverified().expect("a header");
        let request = step.request.read_unverified().expect("a request");
        let (hh, uh) = (step.header.digest(), request.hash());
        if header.transcript != self.member().transcript {
            let known = self.member().closed.iter().cloned();
            return known
                .map(ToCoordinator::RoundClosed)
                .map(Act::Say)
                .collect();
        }
        if self.refuses_null_steps {
            return vec![Act::Say(ToCoordinator::HeaderRefused {
                header: hh,
                part: RefusedPart::NullStep,
                reason: "no null step any more".into(),
            })];
        }
        self.spoilt_updates = self.spoilt_updates.saturating_sub(1);
        let mut model = *header.model_hash.as_bytes();
        model[0] = model[0].wrapping_add(1);
        let (root, model_hash) = (ChunksRoot::NONE, model.into());
        self.close(RoundClosed {
            id: Id(self.id),
            header: hh,
            contributors: uh,
            transcript: next_transcript(&header.transcript, &hh, &uh, &root, &model_hash),
            model_hash,
            result_commit: [0; 32].into(),
            verdict: Verdict::GoOn,
        })
    }

    fn close(&mut self, body: RoundClosed) -> Vec<Act> {
        let closed = self.sign(&body);
        let member = self.member_mut();
        member.transcript = body.transcript;
        member.closed = Some(closed.clone());
        member.past = member.round.take();
        vec![Act::Say(ToCoordinator::RoundClosed(closed))]
    }

    /// What it says of a sum that it has just seen.
    fn verdict(&self, purpose: Purpose) -> Verdict {
        let seen = self.seen.iter();
        let evaluations = seen.filter(|(purpose, ..)| *purpose == Purpose::Evaluation);
        match self.stops_after {
            Some(last) if purpose == Purpose::Evaluation && evaluations.count() >= last => {
                Verdict::Stop
            }
            _ => Verdict::GoOn,
        }
    }

    /// The header of the round at hand.
    pub fn header(&self) -> Option<&RoundOpen> {
        let round = self.membership.as_ref()?.round.as_ref()?;
        Some(&round.header)
    }

    /// A new session, or the same on a new connection: then everything that may not have arrived is said again.
    fn on_welcome(&mut self, welcome: Welcome) -> Vec<Act> {
        assert_eq!(welcome.roster_hash, self.roster.hash());
        if let Some(member) = &self.membership
            && member.welcome.session == welcome.session
        {
            let mut acts: Vec<_> = member.set_up.iter().cloned().map(Act::Say).collect();
            let closed = member.closed.iter().cloned();
            acts.extend(closed.map(ToCoordinator::RoundClosed).map(Act::Say));
            if let Some(round) = &member.round {
                let shares = round.share.iter().cloned();
                acts.extend(shares.map(ToCoordinator::UnlockShare).map(Act::Say));
                acts.extend(round.upload.iter().cloned().map(upload));
            }
            if !member.joins.is_empty() {
                acts.extend(self.say_state_taken());
            }
            return acts;
        }
        let before = self.membership.as_ref();
        let same_run = before.filter(|before| before.welcome.manifest == welcome.manifest);
        let brings = same_run.and_then(Membership::reached);
        assert!(
            self.seen.is_empty() || welcome.after.is_some(),
            "a session is not given up once it has sums, unless another follows it"
        );
        let manifest = welcome
            .manifest
            .verify(self.roster.operator_key(), "the operator");
        self.membership = Some(Membership {
            manifest: manifest.expect("the operator's"),
            welcome,
            joins: Vec::new(),
            encapsulations: BTreeMap::new(),
            has_group_key: false,
            readies: BTreeSet::new(),
            set_up: Vec::new(),
            transcript: Transcript::BEFORE_JOINS,
            brings,
            given: None,
            round: None,
            past: None,
            closed: None,
        });
        let join = self.join();
        self.say_in_set_up(vec![join])
    }

    fn on_joins(&mut self, joins: &Joins) -> Vec<Act> {
        if !self.member().joins.is_empty() {
            return Vec::new();
        }
        self.member_mut().joins.clone_from(&joins.0);
        let origin = self.origin();
        if self.has_state() {
            self.member_mut().transcript = origin;
        }
        let larger = self.members().filter(|&to| to > self.id);
        let mut messages: Vec<_> = larger.map(|to| self.encapsulation(to)).collect();
        if self.members().next() == Some(self.id) {
            messages.push(self.group_key());
        }
        self.say_in_set_up(messages)
    }

    /// Its Ready, once it has the keys of all.
    fn say_ready(&mut self) -> Vec<Act> {
        let member = self.member();
        let smaller = self.members().filter(|&id| id < self.id);
        if !member.has_group_key || !smaller.eq(member.encapsulations.keys().copied()) {
            return Vec::new();
        }
        let ready = self.ready();
        self.say_in_set_up(vec![ready])
    }

    /// In a session that follows, once its keys stand and nothing is opened in it.
    fn say_state_taken(&self) -> Vec<Act> {
        let member = self.member();
        let all_are_ready = self.members().all(|id| member.readies.contains(&id));
        let is_at_origin = member.transcript == self.origin();
        let says_it = member.welcome.after.is_some() && all_are_ready && is_at_origin;
        says_it.then(|| self.state_taken()).into_iter().collect()
    }

    fn state_taken(&self) -> Act {
        let session = self.session();
        Act::Say(ToCoordinator::StateTaken { session })
    }

    fn brings(&self) -> Option<Transcript> {
        self.member().brings
    }

    /// Whether it has what the session goes on from.
    fn has_state(&self) -> bool {
        self.brings() == self.member().welcome.after
    }

    /// `T_0`.
    fn origin(&self) -> Transcript {
        let member = self.member();
        let joined_set = joined_set_hash(&member.joins);
        let (session, after) = (&member.welcome.session, member.welcome.after.as_ref());
        first_transcript(&self.roster, session, &joined_set, after)
    }

    /// What is new of these, and remembers it.
    fn say_in_set_up(&mut self, messages: Vec<ToCoordinator>) -> Vec<Act> {
        let said = &mut self.member_mut().set_up;
        let mut acts = Vec::new();
        for message in messages {
            if !said.contains(&message) {
                said.push(message.clone());
                acts.push(Act::Say(message));
            }
        }
        acts
    }

    fn on_header(&mut self, signed: Signed<RoundOpen>) -> Vec<Act> {
        let header = signed.verify(self.roster.coordinator_key(), "the coordinator");
        let header = header.expect("signed");
        let known = self.member_mut().round.as_mut();
        if let Some(round) = known.filter(|round| round.signed == signed) {
            round.since_header.clear();
            return vec![Act::Say(self.ack())];
        }
        let known = self.member().round.as_ref();
        assert!(
            known.is_none_or(|round| round.share.is_none()),
            "a round that was answered for is not replaced"
        );
        assert_eq!(header.transcript, self.member().transcript);
        let (purpose, hash) = (header.purpose, signed.digest());
        self.member_mut().round = Some(FakeRound {
            signed,
            header,
            holds: BTreeSet::new(),
            since_header: BTreeSet::new(),
            upload: None,
            share: None,
        });
        if purpose == Purpose::Update && self.declines_updates {
            return vec![Act::Say(ToCoordinator::HeaderRefused {
                header: hash,
                part: RefusedPart::Contribution,
                reason: "nothing to contribute".into(),
            })];
        }
        let contribution = self.contribution();
        let own = self.id;
        let round = self.round_mut();
        round.upload = Some(contribution.clone());
        round.holds.insert(own);
        vec![upload(contribution), Act::Say(self.ack())]
    }

    /// One U for each header, whatever is asked: a second one is what an attack looks like.
    fn on_request(&mut self, request: &Signed<UnlockRequest>) -> Vec<Act> {
        let request = request.verify(self.roster.coordinator_key(), "the coordinator");
        let request = request.expect("signed");
        let share = self.share(request.hash());
        let round = self.round_mut();
        assert_eq!(request.header, round.signed.digest());
        let first = round.share.get_or_insert_with(|| share.clone());
        assert!(*first == share, "asked to open a second sum of one header");
        vec![Act::Say(ToCoordinator::UnlockShare(share))]
    }

    /// What it says of the boxes that it holds of the last round that it knows.
    pub fn ack(&self) -> ToCoordinator {
        // Of shares that are all zero: they belong to one polynomial, whatever the threshold.
        let bytes = [u8::from(self.deviates); DealerAnswer::BYTES];
        let answer = DealerAnswer::from_bytes(&bytes).expect("below p");
        let holds = self.last_round().map(|round| round.holds.iter());
        let answers: BTreeMap<_, _> = holds
            .into_iter()
            .flatten()
            .map(|&id| (id, answer))
            .collect();
        let ack = BoxAck::new(self.last_header(), self.id, &answers);
        ToCoordinator::BoxAck(self.sign(&ack))
    }

    /// That it does not contribute to the last round that it knows.
    pub fn refusal(&self) -> ToCoordinator {
        ToCoordinator::HeaderRefused {
            header: self.last_header(),
            part: RefusedPart::Contribution,
            reason: "nothing to contribute".into(),
        }
    }

    /// Its last answer, or one to nothing.
    pub fn last_share(&self) -> ToCoordinator {
        let known = self.last_round().and_then(|round| round.share.clone());
        ToCoordinator::UnlockShare(known.unwrap_or_else(|| self.share([0; 32].into())))
    }

    /// Its last word on an outcome that it has opened, or one on nothing.
    pub fn last_closed(&self) -> ToCoordinator {
        let known = self
            .membership
            .as_ref()
            .and_then(|member| member.closed.clone());
        let of_nothing = RoundClosed {
            id: Id(self.id),
            header: [0; 32].into(),
            contributors: [0; 32].into(),
            transcript: [0; 32].into(),
            model_hash: [0; 32].into(),
            result_commit: [0; 32].into(),
            verdict: Verdict::GoOn,
        };
        ToCoordinator::RoundClosed(known.unwrap_or_else(|| self.sign(&of_nothing)))
    }

    /// That the last round that it knows does not open.
    pub fn failed(&self) -> ToCoordinator {
        let round = self.last_round();
        let share = round.and_then(|round| round.share.as_ref());
        let contributors = share.map(|share| share.read_unverified().expect("ours").contributors);
        ToCoordinator::RoundFailed(self.sign(&RoundFailed {
            id: Id(self.id),
            header: self.last_header(),
            contributors: contributors.unwrap_or([0; 32].into()),
        }))
    }

    /// Its last contribution, or no bytes.
    pub fn last_upload(&self) -> Arc<[u8]> {
        let upload = self.last_round().and_then(|round| round.upload.clone());
        upload.map(|(_, bytes)| bytes).unwrap_or_default()
    }

    /// Whether it knows the session.
    pub fn is_welcomed(&self) -> bool {
        self.membership.is_some()
    }

    /// Whether it knows who has joined.
    pub fn knows_joins(&self) -> bool {
        let member = self.membership.as_ref();
        member.is_some_and(|member| !member.joins.is_empty())
    }

    /// Whether this hospital's confirmation of the keys has reached it.
    pub fn has_heard_ready_of(&self, id: HospitalId) -> bool {
        let mut memberships = self.membership.iter();
        memberships.any(|member| member.readies.contains(&id))
    }

    /// Whether it has confirmed the group key.
    pub fn knows_group_key(&self) -> bool {
        let member = self.membership.as_ref();
        let said = member.into_iter().flat_map(|member| &member.set_up);
        said.into_iter()
            .any(|message| matches!(message, ToCoordinator::Ready(_)))
    }

    /// Of how many contributors it has a box in the round at hand.
    pub fn boxes(&self) -> usize {
        let member = self.membership.as_ref();
        let round = member.and_then(|member| member.round.as_ref());
        round.map_or(0, |round| round.holds.len())
    }

    /// Whether it has answered for the round at hand.
    pub fn has_answered(&self) -> bool {
        let member = self.membership.as_ref();
        let round = member.and_then(|member| member.round.as_ref());
        round.is_some_and(|round| round.share.is_some())
    }

    fn last_round(&self) -> Option<&FakeRound> {
        let member = self.membership.as_ref()?;
        member.round.as_ref().or(member.past.as_ref())
    }

    fn last_header(&self) -> HeaderHash {
        let round = self.last_round();
        round.map_or(HeaderHash::from_bytes([0; 32]), |round| {
            round.signed.digest()
        })
    }

    fn share(&self, contributors: ContributorsHash) -> Signed<UnlockShare> {
        self.sign(&UnlockShare {
            header: self.last_header(),
            contributors,
            id: Id(self.id),
            sealed: Bytes(vec![0; UNLOCK_BYTES + 16]),
        })
    }

    fn contribution(&self) -> ([u8; 32], Arc<[u8]>) {
        let member = self.member();
        let round = member.round.as_ref().expect("a round is open");
        let shape = member
            .manifest
            .shape(round.header.purpose, self.roster.size())
            .expect("fits");
        let word = u64::from(self.id.get()).to_le_bytes();
        let chunks = word.repeat(shape.chunks() * CHUNK_BYTES / 8);
        let sealed = |to| ShareBox {
            to: Id(to),
            sealed: Bytes(vec![0; BOX_BYTES]),
        };
        let others = self.members().filter(|&to| to != self.id);
        let boxes: List<_> = others.map(sealed).collect();
        let manifest = self.sign(&ContributionManifest {
            header: round.signed.digest(),
            id: Id(self.id),
            attempt: 0,
            chunks_root: chunks_root(&chunks),
            boxes_root: boxes_root(&boxes),
            commit: match self.clips_differently {
                true => ClipCommit::from_bytes([1; 32]),
                false => ClipCommit::NONE,
            },
        });
        let name = manifest.digest().into();
        let contribution = Contribution {
            manifest,
            boxes,
            chunks: Bytes(chunks),
        };
        (name, codec::encode(&contribution).into())
    }

    /// Its Join.
    pub fn join(&self) -> ToCoordinator {
        ToCoordinator::Join(self.sign(&Join {
            roster_hash: self.roster.hash(),
            session: self.session(),
            id: Id(self.id),
            x25519: [self.id.get(); 32],
            // Twelve bits of it are a number below 3329: no byte from 13 on, repeated, is a key.
            kem_key: [self.id.get() % 13; KEM_KEY_BYTES],
            nonce: [self.lives; 32],
        }))
    }

    /// Its half of a pair's key.
    pub fn encapsulation(&self, to: HospitalId) -> ToCoordinator {
        ToCoordinator::Encapsulation(self.sign(&Encapsulation {
            session: self.session(),
            from: Id(self.id),
            to: Id(to),
            from_join: self.join_of(self.id),
            to_join: self.join_of(to),
            roster_hash: self.roster.hash(),
            ciphertext: [0; KEM_CIPHERTEXT_BYTES],
        }))
    }

    /// H of a hospital's Join, or of nothing.
    fn join_of(&self, id: HospitalId) -> JoinDigest {
        let mut joins = self.member().joins.iter();
        let of = |join: &&Signed<Join>| join.read_unverified().is_ok_and(|body| body.id.0 == id);
        joins.find(of).map_or([0; 32].into(), Signed::digest)
    }

    /// The group key, as if it had drawn it.
    pub fn group_key(&self) -> ToCoordinator {
        let others = self.members().filter(|&id| id != self.id);
        let sealed = others.map(|to| SealedGroupKey {
            to: Id(to),
            sealed: [0; 48],
        });
        ToCoordinator::GroupKey(self.sign(&GroupKey {
            session: self.session(),
            origin: Id(self.id),
            generation: 1,
            first_round: 1.into(),
            gid: GID,
            sealed: List(sealed.collect()),
        }))
    }

    /// Its word on the keys of all.
    pub fn ready(&self) -> ToCoordinator {
        let others = self.members().filter(|&id| id != self.id);
        let seen = others.map(|peer| SeenEncapsulation {
            peer: Id(peer),
            digest: self.encapsulation_with(peer),
        });
        ToCoordinator::Ready(self.sign(&Ready {
            session: self.session(),
            id: Id(self.id),
            joined_set: joined_set_hash(&self.member().joins),
            gid: GID,
            encapsulations: List(seen.collect()),
            state: self.brings().map(|reached| (*reached.as_bytes()).into()),
        }))
    }

    fn encapsulation_with(&self, peer: HospitalId) -> EncapsulationDigest {
        match self.encapsulation(peer) {
            ToCoordinator::Encapsulation(own) if peer > self.id => own.digest(),
            _ => {
                let known = self.member().encapsulations.get(&peer);
                known.copied().unwrap_or([0; 32].into())
            }
        }
    }

    /// Signs anything as this hospital.
    pub fn sign<T: Message>(&self, body: &T) -> Signed<T> {
        Signed::sign(body, &self.key)
    }

    /// The session that it has joined.
    pub fn session(&self) -> SessionId {
        self.member().welcome.session
    }

    /// Those that have joined; before they are known, the roster.
    fn members(&self) -> impl Iterator<Item = HospitalId> + '_ {
        let joins = self.membership.iter().flat_map(|member| &member.joins);
        let joined: BTreeSet<_> = joins
            .map(|join| join.read_unverified().expect("a Join").id.0)
            .collect();
        let roster = self.roster.members().map(|member| member.id);
        roster.filter(move |id| joined.is_empty() || joined.contains(id))
    }

    fn member(&self) -> &Membership {
        self.membership.as_ref().expect("welcomed")
    }

    fn member_mut(&mut self) -> &mut Membership {
        self.membership.as_mut().expect("welcomed")
    }

    fn round_mut(&mut self) -> &mut FakeRound {
        let round = self.member_mut().round.as_mut();
        round.expect("a round is open")
    }
}

impl Membership {
    /// T of the last round that it has closed or was given, in whichever session.
    fn reached(&self) -> Option<Transcript> {
        let closed = self.closed.as_ref();
        let here = closed.map(|closed| closed.read_unverified().expect("its own").transcript);
        here.or(self.given).or(self.brings)
    }
}

const GID: GroupKeyId = GroupKeyId::from_bytes([7; 32]);

fn upload((name, bytes): ([u8; 32], Arc<[u8]>)) -> Act {
    Act::Upload { name, bytes }
}
