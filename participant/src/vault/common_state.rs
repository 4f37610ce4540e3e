//! What the vaults of a run have in common between two rounds, apart from the keys of a session: a session that follows another goes
//! on from it, and a vault that does not have it gets it from one that does (PROTOCOL.md 3.2, 3.7).

use crypto::{
    hash::{SecretKey32, constant_time_eq, derive_key, hmac},
    sealed_sum::HospitalId,
};
use protocol::{
    codec::{self, Bytes, Id, List},
    common_model::CommonModel,
    digests::{LearningRound, ModelHash, RoundNumber, SessionId, StateCommit, Transcript},
    keeping::{Standing, Verdict},
    kept_model::{starting_from, weights_hash},
    manifest::CheckedManifest,
    session::SealedState,
};
use zeroize::Zeroizing;

use super::{
    aead,
    error::{StateError, VaultError},
    input::RunEnd,
    kept::{self, LearningRecord, ProgressRecord, StatisticsForm},
    keys::SessionKeys,
    session_state::{Chain, hash_before_updates},
    statistics::Statistics,
};
use crate::journal::Journal;

/// What a vault brings of its run into another session.
pub(super) struct Carried {
    pub(super) chain: Chain,
    pub(super) statistics: Statistics,
    /// Loss and steps of its own last training.
    pub(super) last_training: (f64, u32),
}

/// What [`commit`] covers: all that is common but T, which the session's `T_0` covers, and the values behind the model's hash.
type CommonForm = (
    LearningRound,
    ModelHash,
    List<f64>,
    u32,
    List<Id>,
    Option<List<u64>>,
    Standing,
    List<List<Id>>,
    StatisticsForm,
);

impl Carried {
    /// What is kept of it.
    pub(super) fn record(&self) -> ProgressRecord {
        ProgressRecord {
            chain: self.chain.record(),
            learning: Some(LearningRecord {
                statistics: self.statistics.clone(),
                last_training: self.last_training,
                closed: None,
            }),
            open: None,
        }
    }

    /// As it was kept, with the model that it names.
    pub(super) fn restored(
        record: ProgressRecord,
        manifest: &CheckedManifest,
        journal: &impl Journal,
    ) -> Result<Self, VaultError> {
        let learning = record.learning.ok_or_else(|| {
            VaultError::damaged("what was reached in the session before has no statistics")
        })?;
        if !learning.statistics.are_of(manifest) {
            return Err(VaultError::damaged(
                "the kept statistics are not those of this run",
            ));
        }
        Ok(Self {
            chain: Chain::restored(record.chain, manifest, journal)?,
            statistics: learning.statistics,
            last_training: learning.last_training,
        })
    }

    /// As [`Chain::missing_updates`].
    pub(super) fn missing_updates(&self, manifest: &CheckedManifest, end: RunEnd) -> Option<u32> {
        self.chain.missing_updates(manifest, end)
    }

    /// Whether this vault cannot go on from what t others bring: it would leave behind what it knows.
    pub(super) fn is_contradicted_by(&self, theirs: &Self, manifest: &CheckedManifest) -> bool {
        let (ours, theirs) = (&self.chain, &theirs.chain);
        let verdict = |chain: &Chain| chain.standing.verdict(manifest.early_stop);
        let forgets = ours
            .evaluated
            .iter()
            .any(|members| !theirs.evaluated.contains(members));
        let place = |chain: &Chain| (chain.updates, chain.model.null_steps());
        let splits = place(ours) == place(theirs) && ours.model_hash != theirs.model_hash;
        let revives = verdict(ours) == Verdict::Stop && verdict(theirs) == Verdict::GoOn;
        forgets || splits || revives
    }

    /// See [`commit`].
    pub(super) fn commit(&self, group: &SecretKey32) -> StateCommit {
        commit(group, &common_bytes(&self.chain, &self.statistics))
    }
}

/// A vault's word on the common state, which only vaults of the session can compare with theirs: `HMAC(HKDF(G, 'state-commit'), state)`.
fn commit(group: &SecretKey32, common: &[u8]) -> StateCommit {
    let key = derive_key(group.as_bytes(), "state-commit", &[]);
    hmac(&key, &[common]).into()
}

fn common_bytes(chain: &Chain, statistics: &Statistics) -> Zeroizing<Vec<u8>> {
    let record = chain.record();
    let form: CommonForm = (
        record.updates,
        record.model_hash,
        List(record.clips),
        record.null_steps,
        record.contributors.into_iter().map(Id).collect(),
        record.validation.map(List),
        record.standing,
        kept::listed_sets(&record.evaluated),
        kept::statistics_form(statistics.clone()),
    );
    codec::encode_secret(&form)
}

/// The state as it is at the beginning of a session, for its vaults: `AEAD(HKDF(G, 'state' || session || sealer || digest), state)`, the
/// digest being a keyed hash of the state. The same state of the same vault gives the same bytes, so that an upload that was cut goes on.
pub(super) fn seal(keys: &SessionKeys, chain: &Chain, statistics: &Statistics) -> Vec<u8> {
    let model = &chain.model;
    let moments = model.moments();
    let parts = std::iter::once(model.values().as_slice()).chain(moments.iter().copied());
    let mut values = Zeroizing::new(Vec::with_capacity(
        4 * model.values().len() * (1 + moments.len()),
    ));
    for value in parts.flatten() {
        values.extend_from_slice(&value.to_le_bytes());
    }
    let common = common_bytes(chain, statistics);
    let plain = concatenated(&common, &values);
    drop(values);
    let (session, sealer) = (keys.session(), keys.own_id());
    let digest = hmac(&digest_key(keys.group_key()), &[&plain]);
    let key = state_key(keys.group_key(), &session, sealer, &digest);
    codec::encode(&SealedState {
        session,
        sealer: Id(sealer),
        digest,
        sealed: Bytes(aead::seal_once(key, plain)),
    })
}

/// The length of the common part, that part, and the values.
fn concatenated(common: &[u8], values: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = u32::try_from(common.len()).expect("a few kilobytes");
    let mut plain = Zeroizing::new(Vec::with_capacity(4 + common.len() + values.len()));
    plain.extend_from_slice(&length.to_le_bytes());
    plain.extend_from_slice(common);
    plain.extend_from_slice(values);
    plain
}

fn parted(plain: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = plain.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

fn digest_key(group: &SecretKey32) -> SecretKey32 {
    derive_key(group.as_bytes(), "state-digest", &[])
}

/// Opens what [`seal`] has made, if it is the state that t vaults have signed. The chain goes on `after` that T.
pub(super) fn open(
    bytes: &[u8],
    keys: &SessionKeys,
    agreed: &StateCommit,
    after: Transcript,
    manifest: &CheckedManifest,
) -> Result<Carried, StateError> {
    let state: SealedState = codec::decode(bytes).map_err(|_| StateError::Malformed)?;
    let sealer = state.sealer.0;
    if state.session != keys.session() {
        return Err(StateError::DoesNotOpen);
    }
    let key = state_key(keys.group_key(), &state.session, sealer, &state.digest);
    let plain = aead::open(&key, &state.sealed.0).map_err(|_| StateError::DoesNotOpen)?;
    let (common, values) = parted(&plain).ok_or(StateError::Malformed)?;
    let other = StateError::OtherState { sealer };
    let found = commit(keys.group_key(), common);
    if !constant_time_eq(found.as_bytes(), agreed.as_bytes()) {
        return Err(other);
    }
    let form: CommonForm = codec::decode(common).map_err(|_| StateError::Malformed)?;
    let (
        updates,
        model_hash,
        clips,
        null_steps,
        contributors,
        validation,
        standing,
        evaluated,
        statistics,
    ) = form;
    let statistics = kept::statistics(statistics);
    if !statistics.are_of(manifest) {
        return Err(StateError::Malformed);
    }
    let mut parts = parts_of(values, manifest.layout.values()).into_iter();
    let model = parts.next().and_then(|values| {
        CommonModel::restored(manifest, values, parts.collect(), clips.0, null_steps)
    });
    let is_right = |model: &CommonModel| is_common_model(model, &model_hash, updates, manifest);
    let model = model.filter(is_right).ok_or(other)?;
    Ok(Carried {
        chain: Chain {
            model,
            model_hash,
            transcript: after,
            last_round: RoundNumber::default(),
            updates,
            contributors: contributors.iter().map(|id| id.0).collect(),
            validation: validation.map(|counters| counters.0),
            standing,
            evaluated: kept::sets_of(&evaluated),
            given: None,
        },
        statistics,
        last_training: (0.0, 0),
    })
}

/// Whether a model has this hash, which before the first update is that of the run's beginning.
fn is_common_model(
    model: &CommonModel,
    hash: &ModelHash,
    updates: LearningRound,
    manifest: &CheckedManifest,
) -> bool {
    if updates > LearningRound::default() {
        return model.hash() == *hash;
    }
    let begins = match &manifest.initial_model {
        None => Some(CommonModel::initial(manifest)),
        Some(weights) => {
            let values = model.values().to_vec();
            let is_kept_one = weights_hash(&manifest.layout, &values) == *weights;
            starting_from(manifest, values).ok().filter(|_| is_kept_one)
        }
    };
    let is_beginning = begins
        .is_some_and(|begins| begins.with_null_steps(model.null_steps()).hash() == model.hash());
    is_beginning && *hash == hash_before_updates(model, manifest)
}

/// Values, then moments, each of so many numbers. What is left over stays a part, which fits nothing.
fn parts_of(bytes: &[u8], length: usize) -> Vec<Vec<f32>> {
    let (words, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Vec::new();
    }
    let numbers = |part: &[[u8; 4]]| part.iter().map(|word| f32::from_le_bytes(*word)).collect();
    words.chunks(length.max(1)).map(numbers).collect()
}

fn state_key(
    group: &SecretKey32,
    session: &SessionId,
    sealer: HospitalId,
    digest: &[u8; 32],
) -> SecretKey32 {
    let parts: [&[u8]; 3] = [session.as_bytes(), &[sealer.get()], digest];
    derive_key(group.as_bytes(), "state", &parts)
}
