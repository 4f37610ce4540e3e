//! What of a session is kept on disk, so that the vault goes on after its process was ended at any moment, and the way back from it.
//! When each part is written stands in [`crate::journal`].
//!
//! A trained update is not kept: the same stream trains it again. Nor is a CKKS key: a new one is announced with the features under it.
//! Before all keys are here nothing is kept: such a vault joins anew. From its Ready on, the others may open rounds with it.

use crypto::sealed_sum::{HospitalId, Share};
use protocol::{
    codec::{self, CodecError, Decode, Id, List, Secret},
    common_model::CommonModel,
    counters::EvaluationCounters,
    digests::{HeaderHash, LearningRound, ModelHash, RoundNumber, Transcript},
    identity::Signed,
    labels::Labels,
    manifest::{Manifest, Purpose},
    round::{
        contribution::Contribution, header::RoundOpen, outcome::RoundClosed, unlock::UnlockShare,
    },
};
use zeroize::Zeroizing;

use super::{
    error::VaultError,
    hospital::Hospital,
    joining::accepted_manifest,
    key_exchange::ExchangingKeys,
    keys::{KeyExchange, KeyRecord, Progress, SessionKeys, SetUpRecord},
    learning::Learning,
    output::{ResumedRun, VaultEvent},
    phase::Phase,
    round::{HeldShare, OpenRound, OwnContribution, Round},
    session::{BeforeStatistics, InSession, Stage},
    session_state::{Chain, Run, Session},
    statistics::Statistics,
};
use crate::journal::{Journal, KeptBox, KeptContribution, KeptSession};

/// Where in the chain of opened rounds, and what the statistics stage has led to.
struct ChainRecord {
    transcript: Transcript,
    last_round: RoundNumber,
    updates: LearningRound,
    model_hash: ModelHash,
    clips: Vec<f64>,
    null_steps: u32,
    contributors: Vec<HospitalId>,
    validation: Option<Vec<u64>>,
}

/// What the vault knows once the statistics are opened.
pub(super) struct LearningRecord {
    pub(super) statistics: Statistics,
    /// Loss and steps of the last training.
    pub(super) last_training: (f64, u32),
    pub(super) closed: Signed<RoundClosed>,
}

type KeyForm = (RoundNumber, List<(Id, Secret)>, Secret);
type ChainForm = (
    Transcript,
    RoundNumber,
    LearningRound,
    ModelHash,
    List<f64>,
    u32,
    List<Id>,
    Option<List<u64>>,
);
type LearningForm = (
    List<u64>,
    List<f64>,
    List<f64>,
    f64,
    u32,
    Signed<RoundClosed>,
);
type HeaderForm = (RoundOpen, HeaderHash);
type ProgressForm = (ChainForm, Option<LearningForm>, Option<HeaderForm>);

/// The session while Readies are awaited, once all keys are here.
pub(super) fn kept_exchange(
    manifest: &Signed<Manifest>,
    set_up: &SetUpRecord,
    keys: KeyRecord,
) -> KeptSession {
    let position: (KeyForm, Option<ProgressForm>) = (key_form(keys), None);
    KeptSession {
        set_up: set_up_bytes(manifest, set_up),
        position: codec::encode_secret(&position),
    }
}

/// The phase of a vault that goes on in the session that was kept, in the round that was open.
pub(super) fn phase_of_kept<J: Journal>(
    kept: &KeptSession,
    hospital: &mut Hospital<J>,
) -> Result<Phase, VaultError> {
    let (manifest, set_up) = set_up_of(&kept.set_up).map_err(damaged)?;
    let (keys, progress): (KeyForm, Option<ProgressForm>) = decode(&kept.position)?;
    let manifest = accepted_manifest(manifest, hospital)?;
    let records = hospital.source.records(Labels::of(&manifest))?;
    let run = Run { manifest, records };
    let (round, pairs, group) = keys;
    let keys = KeyRecord {
        round,
        pairs,
        group,
    };
    let keys = KeyExchange::restored(set_up, keys, hospital.id(), hospital.roster())
        .map_err(|error| VaultError::KeptSession(error.to_string()))?;
    let keys = match keys.progress(&hospital.identity.key) {
        Progress::Incomplete(keys) => return Ok(ExchangingKeys::restored(run, keys).into()),
        Progress::Complete(keys) => keys,
    };
    let session = match progress {
        None => InSession::begin(run, keys, hospital.roster()),
        Some(progress) => InSession::restored(run, keys, progress, hospital)?,
    };
    hospital.event(VaultEvent::Resumed(Box::new(session.resumed_run())));
    Ok(session.into())
}

fn set_up_bytes(manifest: &Signed<Manifest>, record: &SetUpRecord) -> Vec<u8> {
    codec::encode(&(
        manifest,
        record.session,
        List(record.joins.clone()),
        numbered(&record.encapsulations),
        record.gid,
        numbered(&record.readies),
        List(record.sent.clone()),
    ))
}

fn set_up_of(bytes: &[u8]) -> Result<(Signed<Manifest>, SetUpRecord), CodecError> {
    let (manifest, session, List(joins), encapsulations, gid, readies, List(sent)) =
        codec::decode(bytes)?;
    let record = SetUpRecord {
        session,
        joins,
        encapsulations: hospitals(encapsulations),
        gid,
        readies: hospitals(readies),
        sent,
    };
    Ok((manifest, record))
}

fn key_form(keys: KeyRecord) -> KeyForm {
    (keys.round, keys.pairs, keys.group)
}

impl InSession {
    /// The whole session, before its first round.
    pub(super) fn to_kept(&self) -> KeptSession {
        let manifest = self.session.run.manifest.signed();
        KeptSession {
            set_up: set_up_bytes(manifest, &self.session.keys.set_up_record()),
            position: self.position(),
        }
    }

    /// What changes from round to round.
    pub(super) fn position(&self) -> Zeroizing<Vec<u8>> {
        self.position_with(self.open_round())
    }

    /// The same with a header that was just accepted.
    pub(super) fn position_in(&self, open: &OpenRound) -> Zeroizing<Vec<u8>> {
        self.position_with(Some(open))
    }

    fn position_with(&self, open: Option<&OpenRound>) -> Zeroizing<Vec<u8>> {
        let chain = &self.session.chain;
        let chain: ChainForm = (
            chain.transcript,
            chain.last_round,
            chain.updates,
            chain.model_hash,
            List(chain.model.clips().to_vec()),
            chain.model.null_steps(),
            chain.contributors.iter().copied().map(Id).collect(),
            chain.validation.clone().map(List),
        );
        let learning = match &self.stage {
            Stage::BeforeStatistics(_) => None,
            Stage::Learning(learning) => Some(learning_form(learning.record())),
        };
        let open = open.map(|open| (open.header.clone(), open.hash));
        let progress: ProgressForm = (chain, learning, open);
        codec::encode_secret(&(key_form(self.session.keys.key_record()), Some(progress)))
    }

    /// The session as it was kept.
    fn restored<J: Journal>(
        run: Run,
        keys: SessionKeys,
        (chain, learning, open): ProgressForm,
        hospital: &Hospital<J>,
    ) -> Result<Self, VaultError> {
        let chain = ChainRecord::read(chain).restored(&run, &hospital.journal)?;
        let session = Session { run, keys, chain };
        let open = match open {
            Some((header, hash)) => Some(restored_round(header, hash, &session, hospital)?),
            None => None,
        };
        let contribution = match &open {
            Some(open) => hospital.journal.contribution(&open.hash)?,
            None => None,
        };
        let stage = match learning {
            None => Stage::BeforeStatistics(Box::new(BeforeStatistics {
                round: round_in_phase(open, contribution, hospital)?,
            })),
            Some(form) => {
                let mut record = learning_record(form)?;
                if let (Some(open), Some(contribution)) = (&open, &contribution)
                    && open.header.purpose == Purpose::Update
                {
                    record.last_training = contribution.training;
                }
                let mut learning = Learning::restored(record, &session.run.manifest);
                learning.round = round_in_phase(open, contribution, hospital)?;
                Stage::Learning(Box::new(learning))
            }
        };
        Ok(Self { session, stage })
    }

    fn resumed_run(&self) -> ResumedRun {
        let chain = &self.session.chain;
        ResumedRun {
            run: self.session.run.manifest.run(),
            session: self.session.keys.session(),
            phase: self.name(),
            learning_round: chain.updates,
            contributors: chain.contributors.clone(),
            validation: chain
                .validation
                .as_ref()
                .and_then(|counters| EvaluationCounters::read(counters).ok()),
            model: chain.model.clone(),
            model_hash: chain.model_hash,
            transcript: chain.transcript,
        }
    }
}

impl ChainRecord {
    fn read(form: ChainForm) -> Self {
        let (transcript, last_round, updates, model_hash, clips, null_steps, ids, validation) =
            form;
        Self {
            transcript,
            last_round,
            updates,
            model_hash,
            clips: clips.0,
            null_steps,
            contributors: ids.iter().map(|id| id.0).collect(),
            validation: validation.map(|counters| counters.0),
        }
    }

    /// With the model that it names, which must be the one that was kept.
    fn restored(self, run: &Run, journal: &impl Journal) -> Result<Chain, VaultError> {
        let manifest = &run.manifest;
        let initial = CommonModel::initial(manifest);
        let model = if initial.hash() == self.model_hash {
            initial
        } else {
            let values = journal.model(&manifest.run(), &manifest.layout, &self.model_hash)?;
            let values = values.ok_or(VaultError::KeptModelMissing {
                model: self.model_hash,
            })?;
            let restored = CommonModel::restored(manifest, values, self.clips, self.null_steps);
            restored
                .filter(|model| model.hash() == self.model_hash)
                .ok_or(VaultError::KeptModelMissing {
                    model: self.model_hash,
                })?
        };
        Ok(Chain {
            model,
            model_hash: self.model_hash,
            transcript: self.transcript,
            last_round: self.last_round,
            updates: self.updates,
            contributors: self.contributors,
            validation: self.validation,
        })
    }
}

/// The round that was open, with the shares that were acknowledged.
fn restored_round<J: Journal>(
    header: RoundOpen,
    hash: HeaderHash,
    session: &Session,
    hospital: &Hospital<J>,
) -> Result<OpenRound, VaultError> {
    let learning_round = session.chain.learning_round(header.purpose);
    let mut open = OpenRound::new(header, hash, learning_round);
    for kept in hospital.journal.boxes(&hash)? {
        open.answers.insert(kept.from, kept.answer);
        if let Some(share) = &kept.share {
            let share = Share::from_bytes(share).map_err(damaged)?;
            let held = HeldShare::new(kept.digest, kept.commit, share);
            open.shares.insert(kept.from, held);
        }
    }
    Ok(open)
}

/// In the phase that the journal shows: answered, contributed, or with its work still to do.
fn round_in_phase<J: Journal, W>(
    open: Option<OpenRound>,
    contribution: Option<KeptContribution>,
    hospital: &Hospital<J>,
) -> Result<Round<W>, VaultError> {
    let Some(open) = open else {
        return Ok(Round::Idle);
    };
    let own = match contribution {
        Some(KeptContribution { blob, .. }) => {
            let contribution: Contribution = decode(&blob)?;
            Some(OwnContribution {
                digest: contribution.manifest.digest(),
                blob: blob.into(),
            })
        }
        None => None,
    };
    let answer = hospital.journal.answer(&open.header.key())?;
    let answer = answer.filter(|answer| answer.header == open.hash);
    Ok(match (answer, own) {
        (Some(answer), own) => {
            let share: Signed<UnlockShare> = decode(&answer.share)?;
            Round::answered_before(open, own, share)
        }
        (None, Some(own)) => Round::Contributed(open, own),
        (None, None) => Round::Interrupted(open),
    })
}

impl OpenRound {
    /// As it is kept.
    pub(super) fn kept_box(&self, from: HospitalId) -> Option<KeptBox> {
        let held = self.shares.get(&from)?;
        Some(KeptBox {
            from,
            digest: held.digest,
            commit: held.commit,
            answer: *self.answers.get(&from)?,
            share: Some(held.share.to_bytes()),
        })
    }
}

fn learning_form(record: LearningRecord) -> LearningForm {
    let Statistics {
        class_counts,
        means,
        deviations,
    } = record.statistics;
    let (loss, steps) = record.last_training;
    (
        List(class_counts),
        List(means.to_vec()),
        List(deviations.to_vec()),
        loss,
        steps,
        record.closed,
    )
}

fn learning_record(form: LearningForm) -> Result<LearningRecord, VaultError> {
    let (class_counts, means, deviations, loss, steps, closed) = form;
    let features = |values: List<f64>| {
        let number = values.len();
        values
            .0
            .try_into()
            .map_err(|_| damaged(format!("{number} features")))
    };
    Ok(LearningRecord {
        statistics: Statistics {
            class_counts: class_counts.0,
            means: features(means)?,
            deviations: features(deviations)?,
        },
        last_training: (loss, steps),
        closed,
    })
}

fn numbered<T: Clone>(pairs: &[(HospitalId, T)]) -> List<(Id, T)> {
    pairs
        .iter()
        .map(|(id, value)| (Id(*id), value.clone()))
        .collect()
}

fn hospitals<T>(list: List<(Id, T)>) -> Vec<(HospitalId, T)> {
    let pairs = list.0.into_iter();
    pairs.map(|(id, value)| (id.0, value)).collect()
}

fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, VaultError> {
    codec::decode(bytes).map_err(damaged)
}

fn damaged(reason: impl ToString) -> VaultError {
    VaultError::KeptSession(reason.to_string())
}
