//! The objects of a run, made as a run makes them, to be measured.

use crypto::{
    hash::{Digest, SecretKey32},
    sealed_sum::{CHUNK_BYTES, DealerAnswer, HospitalId, UNLOCK_BYTES},
};
use getrandom::SysRng;
use protocol::{
    codec::{self, Bytes, Id},
    common_model::CommonModel,
    digests::{
        BoxesRoot, ChunksRoot, ClipCommit, ContributorsHash, EncapsulationDigest, GroupKeyId,
        HeaderHash, JoinDigest, JoinedSet, LearningRound, ModelHash, ResultCommit, RosterHash,
        RoundNumber, SessionId, Transcript,
    },
    identity::{Message, Signed, SigningKey},
    keeping::Verdict,
    manifest::{Manifest, Purpose},
    message::{Hello, ToCoordinator},
    round::{
        contribution::{
            BOX_BYTES, BoxAck, Contribution, ContributionManifest, ShareAnswer, ShareBox,
        },
        outcome::RoundClosed,
        unlock::UnlockShare,
    },
    session::{
        Encapsulation, GroupKey, Join, KEM_CIPHERTEXT_BYTES, KEM_KEY_BYTES, Ready, SealedGroupKey,
        SeenEncapsulation,
    },
};
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use super::{ForecastError, Line, Outlook};
use crate::{
    ledger::{Object, Sum},
    vault::{
        aead::seal_once,
        conditioning::{
            Conditioner, EncryptedProducts, MAX_RELEASES, release::ReleaseLevels,
            weights::ConditioningWeights,
        },
        statistics::{ClinicalRecords, Statistics, own_counters},
    },
    way_out::About,
};

/// Makes objects of a hospital in a run.
pub(super) struct Encoder<'a> {
    outlook: &'a Outlook<'a>,
    about: About,
    /// Signs what nobody will see; as long a signature as that of any key.
    key: SigningKey,
    /// The key's announcement, the features and one filter, if anything is encrypted.
    encrypted: Vec<ToCoordinator>,
    joined: Vec<HospitalId>,
}

impl<'a> Encoder<'a> {
    /// Encrypts the features of all patients under a key that is made for it.
    pub(super) fn new(
        outlook: &'a Outlook<'a>,
        records: &ClinicalRecords,
    ) -> Result<Self, ForecastError> {
        let manifest = outlook.manifest;
        let profile = manifest.conditioning.profile();
        Ok(Self {
            about: About::of_run(outlook.roster.threshold(), outlook.run(), profile),
            key: SigningKey::generate(&mut UnwrapErr(SysRng)),
            encrypted: EncryptedProducts::of(manifest).map_or_else(Vec::new, |products| {
                encrypt(outlook.id, records, manifest, products)
            }),
            joined: outlook.roster.members().map(|member| member.id).collect(),
            outlook,
        })
    }

    /// Introduction and keys of the session.
    pub(super) fn set_up(&mut self) -> Vec<Line> {
        let id = self.outlook.id;
        let others: Vec<_> = self
            .joined
            .iter()
            .copied()
            .filter(|other| *other != id)
            .collect();
        let mut messages = vec![
            ToCoordinator::Hello(Hello { resume: None }),
            ToCoordinator::Join(self.signed(&Join {
                roster_hash: ROSTER,
                session: SESSION,
                id: Id(id),
                x25519: ZEROS,
                kem_key: [0; KEM_KEY_BYTES],
                nonce: ZEROS,
            })),
        ];
        for &to in others.iter().filter(|other| **other > id) {
            let encapsulation = self.signed(&Encapsulation {
                session: SESSION,
                from: Id(id),
                to: Id(to),
                from_join: JoinDigest::from_bytes(ZEROS),
                to_join: JoinDigest::from_bytes(ZEROS),
                roster_hash: ROSTER,
                ciphertext: [0; KEM_CIPHERTEXT_BYTES],
            });
            messages.push(ToCoordinator::Encapsulation(encapsulation));
        }
        if others.iter().all(|other| *other > id) {
            let sealed = others.iter().map(|&to| SealedGroupKey {
                to: Id(to),
                sealed: [0; 48],
            });
            messages.push(ToCoordinator::GroupKey(self.signed(&GroupKey {
                session: SESSION,
                origin: Id(id),
                generation: 1,
                first_round: RoundNumber::new(1),
                gid: GroupKeyId::from_bytes(ZEROS),
                sealed: sealed.collect(),
            })));
        }
        let encapsulations = others.iter().map(|&peer| SeenEncapsulation {
            peer: Id(peer),
            digest: EncapsulationDigest::from_bytes(ZEROS),
        });
        messages.push(ToCoordinator::Ready(self.signed(&Ready {
            session: SESSION,
            id: Id(id),
            joined_set: JoinedSet::from_bytes(ZEROS),
            gid: GroupKeyId::from_bytes(ZEROS),
            encapsulations: encapsulations.collect(),
            state: None,
        })));
        self.lines(&messages, None)
    }

    /// The CKKS key's public part, and the features of all patients.
    pub(super) fn key_and_features(&mut self) -> Vec<Line> {
        let is_filter =
            |message: &&ToCoordinator| !matches!(message, ToCoordinator::FilterRequest(_));
        let messages: Vec<_> = self.encrypted.iter().filter(is_filter).cloned().collect();
        self.lines(&messages, None)
    }

    /// So many filters.
    pub(super) fn filter_requests(&mut self, count: usize) -> Vec<Line> {
        let is_filter =
            |message: &&ToCoordinator| matches!(message, ToCoordinator::FilterRequest(_));
        let request = self.encrypted.iter().find(is_filter).cloned();
        let messages: Vec<_> = request.iter().cycle().take(count).cloned().collect();
        self.lines(&messages, None)
    }

    /// How many keys are worn out by a request for each version of the weights.
    pub(super) fn worn_out_keys(&self) -> u32 {
        let is_block =
            |message: &&ToCoordinator| matches!(message, ToCoordinator::EncryptedFeatures(_));
        let blocks = self.encrypted.iter().filter(is_block).count();
        match MAX_RELEASES.checked_div(blocks) {
            Some(filters_of_a_key) => {
                let versions = self.outlook.manifest.conditioning_versions();
                versions.saturating_sub(1) / filters_of_a_key.max(1) as u32
            }
            None => 0,
        }
    }

    /// A contribution, an acknowledgement for every contributor, which is the most that there can be, an answer, and what was opened.
    pub(super) fn sum(
        &mut self,
        purpose: Purpose,
        learning_round: u32,
    ) -> Result<Vec<Line>, ForecastError> {
        let learning_round = LearningRound::new(learning_round);
        let chunks = self
            .outlook
            .manifest
            .shape(purpose, self.joined.len())?
            .chunks();
        let contribution = self.contribution(chunks);
        let object = self.about.contribution(purpose, learning_round);
        let mut lines = vec![Line::of(object, contribution)];

        let id = Id(self.outlook.id);
        let mut messages = Vec::new();
        for opened in 1..=self.joined.len() {
            let answers = self.joined[..opened]
                .iter()
                .map(|&contributor| ShareAnswer {
                    contributor: Id(contributor),
                    answer: [0; DealerAnswer::BYTES],
                });
            messages.push(ToCoordinator::BoxAck(self.signed(&BoxAck {
                header: HEADER,
                id,
                answers: answers.collect(),
            })));
        }
        messages.push(ToCoordinator::UnlockShare(self.signed(&UnlockShare {
            header: HEADER,
            contributors: ContributorsHash::from_bytes(ZEROS),
            id,
            sealed: Bytes(seal_once(
                SecretKey32::from_bytes(ZEROS),
                Zeroizing::new(vec![0; UNLOCK_BYTES]),
            )),
        })));
        messages.push(ToCoordinator::RoundClosed(self.signed(&RoundClosed {
            id,
            header: HEADER,
            contributors: ContributorsHash::from_bytes(ZEROS),
            transcript: Transcript::from_bytes(ZEROS),
            model_hash: ModelHash::from_bytes(ZEROS),
            result_commit: ResultCommit::from_bytes(ZEROS),
            verdict: Verdict::GoOn,
        })));
        let sum = Sum {
            purpose,
            learning_round: Some(learning_round),
        };
        lines.extend(self.lines(&messages, Some(sum)));
        Ok(lines)
    }

    pub(super) fn heartbeat(&mut self) -> Line {
        let heartbeat = ToCoordinator::Heartbeat;
        let object = self.about.message(&heartbeat);
        Line::of(object, codec::encode_frame(&heartbeat).len())
    }

    /// The length of a contribution of so many chunks.
    fn contribution(&self, chunks: usize) -> usize {
        let others = self
            .joined
            .iter()
            .filter(|other| **other != self.outlook.id);
        let manifest = self.signed(&ContributionManifest {
            header: HEADER,
            id: Id(self.outlook.id),
            attempt: 0,
            chunks_root: ChunksRoot::NONE,
            boxes_root: BoxesRoot::from_bytes(ZEROS),
            commit: ClipCommit::NONE,
        });
        let boxes = others.map(|&to| ShareBox {
            to: Id(to),
            sealed: Bytes(vec![0; BOX_BYTES]),
        });
        let contribution = Contribution {
            manifest,
            boxes: boxes.collect(),
            chunks: Bytes(vec![0; chunks * CHUNK_BYTES]),
        };
        codec::encode(&contribution).len()
    }

    /// One line for each kind, in the order of the messages.
    fn lines(&mut self, messages: &[ToCoordinator], sum: Option<Sum>) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for message in messages {
            let object = Object {
                sum,
                ..self.about.message(message)
            };
            let line = Line::of(object, codec::encode_frame(message).len());
            match lines.iter_mut().find(|same| same.object == line.object) {
                Some(same) => same.add(&line),
                None => lines.push(line),
            }
        }
        lines
    }

    fn signed<T: Message>(&self, message: &T) -> Signed<T> {
        Signed::sign(message, &self.key)
    }
}

/// What a vault sends for its features and one filter. The features are scaled by this hospital's own means: how long a ciphertext is
/// does not depend on what is in it.
fn encrypt(
    id: HospitalId,
    records: &ClinicalRecords,
    manifest: &Manifest,
    products: EncryptedProducts,
) -> Vec<ToCoordinator> {
    let form = manifest.conditioning_form;
    let features = records.scaled(&Statistics::from(&own_counters(records)), form);
    let rng = &mut UnwrapErr(SysRng);
    let levels = ReleaseLevels::FINEST;
    let mut conditioner = Conditioner::new(id, SESSION, features, Some(products), levels, rng);
    let model = CommonModel::initial(manifest);
    let weights = ConditioningWeights::of(form, model.layout(), model.values());
    match conditioner.request(weights, rng) {
        Ok(_) => Vec::new(),
        Err(messages) => messages,
    }
}

impl Line {
    fn of(object: Object, bytes: usize) -> Self {
        let bytes = bytes as u64;
        Self {
            object,
            objects: 1,
            bytes_each: (bytes, bytes),
            bytes,
        }
    }

    fn add(&mut self, other: &Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        let ((least, most), (one, _)) = (self.bytes_each, other.bytes_each);
        self.bytes_each = (least.min(one), most.max(one));
    }
}

const ZEROS: Digest = [0; 32];
const HEADER: HeaderHash = HeaderHash::from_bytes(ZEROS);
const ROSTER: RosterHash = RosterHash::from_bytes(ZEROS);
const SESSION: SessionId = SessionId::from_bytes([0; 16]);
