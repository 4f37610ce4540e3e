//! Hospitals that say what the protocol wants to hear without knowing a secret: the coordinator, which cannot look into boxes,
//! masks or shares, sees no difference. Every word that hospital i contributes is i, so sums are known.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use coordinator::trial::Trial;
use crypto::sealed_sum::{DealerAnswer, UNLOCK_BYTES};
use protocol::{
    HospitalId,
    codec::{self, Bytes, Id, List},
    digests::{
        ClipCommit, ContributionDigest, GroupKeyId, JoinedSet, OutcomeName, RoundNumber, SessionId,
        Transcript,
    },
    identity::{Signed, SigningKey},
    manifest::{Manifest, Purpose},
    message::{ALREADY_CONNECTED, Hello, Resume, ToCoordinator, ToVault},
    roster::Roster,
    round::{
        contribution::{
            BOX_BYTES, BoxAck, Contribution, ContributionManifest, ShareBox, boxes_root,
            chunks_root,
        },
        header::RoundOpen,
        next_transcript,
        outcome::{Outcome, RoundClosed, RoundFailed},
        unlock::UnlockShare,
    },
    session::{
        Encapsulation, GroupKey, Join, KEM_CIPHERTEXT_BYTES, KEM_KEY_BYTES, Ready, joined_set_hash,
    },
};
use tokio::sync::watch;
use transport::{
    CloseCode, CoordinatorLink, Dialer, Disconnect, LEAF_BYTES, Limits, TransportError,
    certificates::KeyFingerprint, tls::ParticipantTls,
};

/// What a hospital does beside following the protocol.
#[derive(Clone, Copy, Default)]
pub struct Script {
    /// Loses its connection once so many bytes of its update are on their way, comes back and goes on.
    pub cut_at: Option<u64>,
    /// Does not upload its update before this many hospitals have.
    pub waits_for_uploads: usize,
    /// Says that no sum opens.
    pub fails: bool,
}

/// What a hospital has seen when its run is over.
#[derive(Debug, Default)]
pub struct Seen {
    /// The last message that ends a run.
    pub ending: Option<ToVault>,
    /// Purpose, contributors and the word of the sum of each outcome.
    pub outcomes: Vec<(Purpose, BTreeSet<u8>, u64)>,
    /// Blob bytes sent on the connection after the cut.
    pub resumed_blob_bytes: Option<u64>,
}

/// A hospital without secrets.
pub struct ScriptedHospital {
    id: HospitalId,
    key: SigningKey,
    roster: Arc<Roster>,
    dialer: Dialer,
    script: Script,
    uploads: Arc<watch::Sender<usize>>,
    seen: Seen,
    manifest: Option<Manifest>,
    session: SessionId,
    joined_set: JoinedSet,
    transcript: Transcript,
    header: Option<(Signed<RoundOpen>, RoundOpen)>,
    opened: BTreeSet<HospitalId>,
    cut: bool,
}

impl ScriptedHospital {
    /// Hospital `id` of `trial`. All hospitals of a run share `uploads`, the number of updates uploaded.
    pub fn new(
        trial: &Trial,
        id: u8,
        address: &str,
        script: Script,
        uploads: Arc<watch::Sender<usize>>,
    ) -> Self {
        let id = hospital(id);
        Self {
            id,
            key: trial.hospitals[&id].copy_signing_key(),
            roster: Arc::clone(&trial.roster),
            dialer: dialer(trial, id, address),
            script,
            uploads,
            seen: Seen::default(),
            manifest: None,
            session: SessionId::from_bytes([0; 16]),
            joined_set: JoinedSet::from_bytes([0; 32]),
            transcript: Transcript::BEFORE_JOINS,
            header: None,
            opened: BTreeSet::new(),
            cut: false,
        }
    }

    /// Takes part until the coordinator has said the last word.
    pub async fn play(mut self) -> Seen {
        loop {
            let mut link = connect(&self.dialer).await;
            let resume = self.cut.then_some(Resume {
                session: self.session,
                transcript: self.transcript,
            });
            say(&link, ToCoordinator::Hello(Hello { resume })).await;
            loop {
                match hear(&mut link).await {
                    Ok(message) => self.answer(&link, message).await,
                    Err(Disconnect::ByUs) => break,
                    Err(Disconnect::ByPeer {
                        code: CloseCode::Application(ALREADY_CONNECTED),
                        ..
                    }) => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        break;
                    }
                    Err(disconnect) => panic!("hospital {}: {disconnect}", self.id),
                }
                if self.seen.ending.is_some() {
                    if self.cut {
                        self.seen.resumed_blob_bytes =
                            Some(link.traffic().counts().blob_bytes_sent);
                    }
                    link.close(CloseCode::Done, "").await;
                    return self.seen;
                }
            }
        }
    }

    async fn answer(&mut self, link: &CoordinatorLink, message: ToVault) {
        match message {
            ToVault::Welcome(welcome) => {
                assert_eq!(welcome.roster_hash, self.roster.hash());
                let manifest = welcome
                    .manifest
                    .verify(self.roster.operator_key(), "the operator");
                self.manifest = Some(manifest.expect("the operator's"));
                self.session = welcome.session;
                if !self.cut {
                    say(link, ToCoordinator::Join(self.sign(&self.join()))).await;
                }
            }
            ToVault::Joins(joins) => {
                self.joined_set = joined_set_hash(&joins.0);
                for to in self.members().filter(|&to| to > self.id) {
                    say(
                        link,
                        ToCoordinator::Encapsulation(self.sign(&self.encapsulation(to))),
                    )
                    .await;
                }
                if self.members().next() == Some(self.id) {
                    say(link, ToCoordinator::GroupKey(self.sign(&self.group_key()))).await;
                }
            }
            ToVault::GroupKey(key) if !self.cut => {
                let gid = key.read_unverified().expect("a group key").gid;
                say(link, ToCoordinator::Ready(self.sign(&self.ready(gid)))).await;
            }
            ToVault::RoundOpen(signed) => {
                let header = signed
                    .verify(self.roster.coordinator_key(), "the coordinator")
                    .expect("signed");
                self.opened = BTreeSet::from([self.id]);
                self.header = Some((signed, header));
                self.contribute(link).await;
            }
            ToVault::BoxForward(forward) => {
                self.opened
                    .insert(forward.manifest.read_unverified().expect("a manifest").id.0);
                self.acknowledge(link).await;
            }
            ToVault::UnlockRequest(request) => {
                let request = request
                    .verify(self.roster.coordinator_key(), "the coordinator")
                    .expect("signed");
                let share = UnlockShare {
                    header: request.header,
                    contributors: request.hash(),
                    id: Id(self.id),
                    sealed: Bytes(vec![0; UNLOCK_BYTES + 16]),
                };
                say(link, ToCoordinator::UnlockShare(self.sign(&share))).await;
            }
            ToVault::OutcomeReady { name } => self.close_round(link, name).await,
            ToVault::Finished | ToVault::Refused { .. } => self.seen.ending = Some(message),
            _ => {}
        }
    }

    async fn contribute(&mut self, link: &CoordinatorLink) {
        let (purpose, name, bytes) = self.contribution();
        let is_update = purpose == Purpose::Update;
        if is_update {
            let mut uploads = self.uploads.subscribe();
            let needed = self.script.waits_for_uploads;
            uploads
                .wait_for(|uploaded| *uploaded >= needed)
                .await
                .expect("the sender is ours");
        }
        let cut_at = self.script.cut_at.filter(|_| is_update && !self.cut);
        let sender = link.sender();
        let blobs = link.blobs();
        let result = blobs.upload(name.into(), &bytes, |sent| {
            if cut_at.is_some_and(|cut_at| sent >= cut_at) {
                sender.abort(CloseCode::Dropped, "cut");
            }
        });
        match result.await {
            Ok(()) => {
                if is_update {
                    self.uploads.send_modify(|uploaded| *uploaded += 1);
                }
                // The verdict was lost, as far as this hospital is concerned: the second time nothing moves.
                let before = link.traffic().counts().blob_bytes_sent;
                link.blobs()
                    .upload(name.into(), &bytes, |_| {})
                    .await
                    .expect("the same upload again");
                assert_eq!(link.traffic().counts().blob_bytes_sent, before);
                self.acknowledge(link).await;
            }
            Err(TransportError::Closed(_)) if cut_at.is_some() => self.cut = true,
            Err(error) => panic!("hospital {}: {error}", self.id),
        }
    }

    async fn acknowledge(&self, link: &CoordinatorLink) {
        let (signed, _) = self.header.as_ref().expect("a round is open");
        // Of shares that are all zero: they belong to one polynomial, whatever the threshold.
        let zero = DealerAnswer::from_bytes(&[0; DealerAnswer::BYTES]).expect("below p");
        let answers = self.opened.iter().map(|&id| (id, zero)).collect();
        let ack = BoxAck::new(signed.digest(), self.id, &answers);
        say(link, ToCoordinator::BoxAck(self.sign(&ack))).await;
    }

    async fn close_round(&mut self, link: &CoordinatorLink, name: OutcomeName) {
        let mut bytes = Vec::new();
        match link.blobs().download(name.into(), &mut bytes).await {
            Ok(()) => {}
            // Enough others have said so meanwhile that the run is over; the last word follows.
            Err(TransportError::Closed(_)) if self.script.fails => return,
            Err(error) => panic!("hospital {}: {error}", self.id),
        }
        let outcome: Outcome = codec::decode(&bytes).expect("an outcome");
        let header = outcome.header.read_unverified().expect("a header");
        let request = outcome.request.read_unverified().expect("a request");
        let contributors: BTreeSet<u8> = request.members().iter().map(|id| id.get()).collect();
        let words: BTreeSet<u64> = outcome
            .sum
            .0
            .as_chunks()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .collect();
        assert_eq!(words.len(), 1, "all words are alike in every contribution");
        self.seen
            .outcomes
            .push((header.purpose, contributors, words.into_iter().sum()));
        let (hh, uh) = (outcome.header.digest(), request.hash());
        if self.script.fails {
            let failed = RoundFailed {
                id: Id(self.id),
                header: hh,
                contributors: uh,
            };
            return say(link, ToCoordinator::RoundFailed(self.sign(&failed))).await;
        }
        let sum_root = chunks_root(&outcome.sum.0);
        self.transcript =
            next_transcript(&header.transcript, &hh, &uh, &sum_root, &header.model_hash);
        let closed = RoundClosed {
            id: Id(self.id),
            header: hh,
            contributors: uh,
            transcript: self.transcript,
            model_hash: header.model_hash,
            result_commit: [0; 32].into(),
        };
        say(link, ToCoordinator::RoundClosed(self.sign(&closed))).await;
    }

    fn contribution(&self) -> (Purpose, ContributionDigest, Vec<u8>) {
        let (signed, header) = self.header.as_ref().expect("a round is open");
        let manifest = self.manifest.as_ref().expect("welcomed");
        let shape = manifest
            .shape(header.purpose, self.roster.size())
            .expect("fits");
        let chunks = u64::from(self.id.get())
            .to_le_bytes()
            .repeat(shape.chunks() * LEAF_BYTES / 8);
        let sealed = |to| ShareBox {
            to: Id(to),
            sealed: Bytes(vec![0; BOX_BYTES]),
        };
        let boxes: List<_> = self
            .members()
            .filter(|&to| to != self.id)
            .map(sealed)
            .collect();
        let body = ContributionManifest {
            header: signed.digest(),
            id: Id(self.id),
            attempt: 0,
            chunks_root: chunks_root(&chunks),
            boxes_root: boxes_root(&boxes),
            commit: ClipCommit::NONE,
        };
        let manifest = self.sign(&body);
        let name = manifest.digest();
        (
            header.purpose,
            name,
            codec::encode(&Contribution {
                manifest,
                boxes,
                chunks: Bytes(chunks),
            }),
        )
    }

    fn join(&self) -> Join {
        Join {
            roster_hash: self.roster.hash(),
            session: self.session,
            id: Id(self.id),
            x25519: [self.id.get(); 32],
            kem_key: [self.id.get(); KEM_KEY_BYTES],
            nonce: [0; 32],
        }
    }

    fn encapsulation(&self, to: HospitalId) -> Encapsulation {
        Encapsulation {
            session: self.session,
            from: Id(self.id),
            to: Id(to),
            from_join: [0; 32].into(),
            to_join: [0; 32].into(),
            roster_hash: self.roster.hash(),
            ciphertext: [0; KEM_CIPHERTEXT_BYTES],
        }
    }

    fn group_key(&self) -> GroupKey {
        GroupKey {
            session: self.session,
            origin: Id(self.id),
            generation: 1,
            first_round: RoundNumber::new(1),
            gid: [9; 32].into(),
            sealed: List::default(),
        }
    }

    fn ready(&self, gid: GroupKeyId) -> Ready {
        Ready {
            session: self.session,
            id: Id(self.id),
            joined_set: self.joined_set,
            gid,
            encapsulations: List::default(),
        }
    }

    fn members(&self) -> impl Iterator<Item = HospitalId> + '_ {
        self.roster.members().map(|member| member.id)
    }

    fn sign<T: protocol::identity::Message>(&self, body: &T) -> Signed<T> {
        Signed::sign(body, &self.key)
    }
}

/// A hospital's number.
pub fn hospital(id: u8) -> HospitalId {
    HospitalId::new(id).expect("in range")
}

/// Dials the coordinator of `trial` as hospital `id`.
pub fn dialer(trial: &Trial, id: HospitalId, address: &str) -> Dialer {
    let coordinator = KeyFingerprint::from(trial.roster.coordinator_tls_fingerprint());
    let identity = trial.hospitals[&id].tls_identity().expect("a pair");
    let authority = trial.trusted_authority().expect("a trust root");
    let tls = ParticipantTls::new(&identity, &authority, coordinator).expect("a configuration");
    Dialer::new(address, "localhost", &tls, &Limits::default()).expect("a dialer")
}

/// Connects, on a machine that may be busy.
pub async fn connect(dialer: &Dialer) -> CoordinatorLink {
    dialer
        .connect(|_| {})
        .await
        .expect("the coordinator lets us in")
}

/// Sends a message.
pub async fn say(link: &CoordinatorLink, message: ToCoordinator) {
    // A link that has just been lost shows on the reading side.
    let _ = link.sender().send(codec::encode_frame(&message)).await;
}

/// The coordinator's next message.
pub async fn hear(link: &mut CoordinatorLink) -> Result<ToVault, Disconnect> {
    link.receive()
        .await
        .map(|frame| codec::decode_frame(&frame).expect("a message"))
}
