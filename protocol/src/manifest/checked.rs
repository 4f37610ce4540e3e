//! A manifest that was checked: what both sides ask of it before they follow it, once and in one place.

use std::ops::Deref;

use crypto::sealed_sum::{HospitalId, SumError};

use super::{ADAPTIVE_CLIPS, FIXED_CLIPS, Keep, Manifest};
use crate::{
    culprit::Culprit,
    digests::RunId,
    features::FeatureError,
    identity::{Signed, SignedError},
    network::ModelLayout,
    roster::Roster,
    strategy::StrategyOutOfRange,
    vocabulary::{Conditioning, ConditioningForm, Purpose},
};

/// A manifest that the federation's operator signed, that is sound, and whose sums fit the federation. It reads as the [`Manifest`]
/// that it holds.
#[derive(Clone, Debug)]
pub struct CheckedManifest {
    manifest: Manifest,
    run: RunId,
    signed: Signed<Manifest>,
}

impl CheckedManifest {
    /// Checks signature, fields, weights and the shape of every sum.
    ///
    /// # Errors
    /// [`ManifestError`] for the first thing that is wrong.
    pub fn check(signed: Signed<Manifest>, roster: &Roster) -> Result<Self, ManifestError> {
        Self::check_with(Manifest::check, signed, roster)
    }

    /// As [`Self::check`], but for the layout, which may be any: the 4.2 million values of the network only make the tests of other
    /// crates slow.
    ///
    /// # Errors
    /// As [`Self::check`].
    #[cfg(any(test, feature = "testing"))]
    pub fn check_all_but_layout(
        signed: Signed<Manifest>,
        roster: &Roster,
    ) -> Result<Self, ManifestError> {
        Self::check_with(Manifest::check_fields, signed, roster)
    }

    fn check_with(
        check: impl FnOnce(&Manifest) -> Result<(), ManifestError>,
        signed: Signed<Manifest>,
        roster: &Roster,
    ) -> Result<Self, ManifestError> {
        let manifest = signed.verify(roster.operator_key(), "the operator")?;
        check(&manifest)?;
        let unlisted = manifest
            .weights
            .iter()
            .find(|entry| roster.member(entry.id.0).is_none());
        if let Some(entry) = unlisted {
            // The largest weight must be one that contributes.
            return Err(ManifestError::WeightOfNonMember { id: entry.id.0 });
        }
        if let Some(start_with) = manifest.start_with {
            let fewest = roster.threshold().max(roster.min_contributors());
            let (found, members) = (start_with.get(), roster.size());
            if !(fewest..=members).contains(&(found as usize)) {
                return Err(ManifestError::StartWith {
                    found,
                    fewest,
                    members,
                });
            }
        }
        for &purpose in Purpose::ALL {
            manifest
                .shape(purpose, roster.size())
                .map_err(|source| ManifestError::Shape { purpose, source })?;
        }
        Ok(Self {
            run: signed.digest(),
            manifest,
            signed,
        })
    }

    /// Of any layout, and unchecked: the 4.2 million values of the network only make the tests of other crates slow.
    ///
    /// # Panics
    /// If the bytes are no manifest.
    #[cfg(any(test, feature = "testing"))]
    pub fn of_any_layout(signed: Signed<Manifest>) -> Self {
        Self {
            run: signed.digest(),
            manifest: signed.read_unverified().expect("a manifest"),
            signed,
        }
    }

    /// What it says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// H of it, which names the run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// As the operator signed it.
    pub fn signed(&self) -> &Signed<Manifest> {
        &self.signed
    }
}

impl Deref for CheckedManifest {
    type Target = Manifest;

    fn deref(&self) -> &Manifest {
        &self.manifest
    }
}

/// How a party checks the manifest of a run. Every program checks with [`CheckedManifest::check`]; a test may give its parties another
/// check in their constructors, which no setting reaches.
pub type ManifestCheck = fn(Signed<Manifest>, &Roster) -> Result<CheckedManifest, ManifestError>;

/// A manifest that no run can follow.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum ManifestError {
    /// Not signed by the operator of the roster, or not a manifest.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// Another network than the task's.
    #[error("the run manifest's layout is not the tensors of the hybrid network for this task")]
    Layout,
    /// A count of nothing.
    #[error("the run manifest's {field} is 0: each count is at least 1")]
    Zero {
        /// Which.
        field: &'static str,
    },
    /// A number beyond its bounds, or none.
    #[error("the run manifest's {field} is {found}, not a number from 0 to {max}")]
    OutOfRange {
        /// Which.
        field: &'static str,
        /// What it is.
        found: f64,
        /// The largest that is allowed.
        max: f64,
    },
    /// Steps of no length.
    #[error("the run manifest's learning_rate is 0, which learns nothing")]
    LearnsNothing,
    /// Nothing is conditioned that could have a form.
    #[error(
        "the run manifest has the conditioning_form {form}, and conditioning \"none\": nothing is conditioned"
    )]
    FormWithoutConditioning {
        /// Its form.
        form: ConditioningForm,
    },
    /// No features of a run.
    #[error("the run manifest's features: {0}")]
    Features(#[from] FeatureError),
    /// Features that the filters have no place for, or leave a place of them empty.
    #[error(
        "the run manifest has {found} features, and the conditioning_form {form} takes nine, one for each value of a filter: only the form \
         late takes any number"
    )]
    FeatureCount {
        /// Its form.
        form: ConditioningForm,
        /// How many it has.
        found: usize,
    },
    /// A number of the strategy beyond its bounds, or none.
    #[error("the run manifest's strategy: {0}")]
    Strategy(#[from] StrategyOutOfRange),
    /// A rule for clips that this release does not know.
    #[error("the run manifest's clip_rule is {found}: only rules 1 and 2 exist")]
    ClipRule {
        /// Its number.
        found: u8,
    },
    /// A deadline before half of the hospitals that were in time, or none at all.
    #[error(
        "the run manifest's straggler_factor is {found}, not a number from 1 to {MAX_STRAGGLER_FACTOR}"
    )]
    StragglerFactor {
        /// What it is.
        found: f64,
    },
    /// The last model is always a gain on the one before: such a run never ends early.
    #[error(
        "the run manifest has early_stop with keep \"last\", which has no best round to wait for: choose best-loss or best-accuracy, or \
         leave early_stop out"
    )]
    EarlyStopWithoutBest,
    /// Fewer hospitals than a sum needs, or more than there are.
    #[error(
        "the run manifest's start_with is {found}: this federation of {members} hospitals can start with {fewest} to {members}"
    )]
    StartWith {
        /// What it is.
        found: u32,
        /// The larger of t and `m_min`.
        fewest: usize,
        /// Members of the roster.
        members: usize,
    },
    /// A weight that sums cannot take.
    #[error(
        "the run manifest gives hospital {id} the weight {weight}: each is a whole number of at most two significant bits: \
         1, 2, 3, 4, 6, 8, 12, ..."
    )]
    Weight {
        /// The hospital concerned.
        id: HospitalId,
        /// What it is.
        weight: u32,
    },
    /// Weights in another order than by hospital, or two of one.
    #[error("the run manifest's weights are not each hospital once, sorted by number")]
    WeightsUnsorted {
        /// The first that does not follow the one before.
        id: HospitalId,
    },
    /// A weight of a hospital that the roster does not list.
    #[error("the run manifest gives a weight to hospital {id}, which is not on the roster")]
    WeightOfNonMember {
        /// The hospital concerned.
        id: HospitalId,
    },
    /// A sum that so many hospitals cannot make.
    #[error("the run manifest's sums of purpose {purpose} do not fit this federation: {source}")]
    Shape {
        /// Which sum.
        purpose: Purpose,
        /// Why not.
        source: SumError,
    },
}

impl ManifestError {
    /// Whom to ask: what the operator signed is the operator's, what it did not sign comes from who sent it.
    pub fn culprit(&self) -> Culprit {
        match self {
            Self::Signed(SignedError::Signature(_)) => Culprit::Coordinator,
            Self::Signed(SignedError::Codec(_))
            | Self::Layout
            | Self::Zero { .. }
            | Self::OutOfRange { .. }
            | Self::LearnsNothing
            | Self::StragglerFactor { .. }
            | Self::FormWithoutConditioning { .. }
            | Self::Features(_)
            | Self::FeatureCount { .. }
            | Self::Strategy(_)
            | Self::ClipRule { .. }
            | Self::EarlyStopWithoutBest
            | Self::StartWith { .. }
            | Self::Weight { .. }
            | Self::WeightsUnsorted { .. }
            | Self::WeightOfNonMember { .. }
            | Self::Shape { .. } => Culprit::Operator,
        }
    }
}

impl Manifest {
    /// Checks what no field's type expresses, without a look at signature or roster.
    ///
    /// # Errors
    /// [`ManifestError`] for the first field that is wrong.
    pub fn check(&self) -> Result<(), ManifestError> {
        let classes = self.task.classes() as u32;
        let features = self.features.count();
        if self.layout != ModelLayout::of(classes, self.conditioning_form, features) {
            return Err(ManifestError::Layout);
        }
        self.check_fields()
    }

    /// All fields but the layout.
    fn check_fields(&self) -> Result<(), ManifestError> {
        let counts = [
            ("rounds", self.rounds),
            ("local_epochs", self.local_epochs),
            ("batch_size", self.batch_size),
            ("local_steps", self.local_steps),
            ("silence_secs", self.silence_secs),
            ("straggler_floor_secs", self.straggler_floor_secs),
            ("conditioning_every", self.conditioning_every),
        ];
        if let Some((field, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(ManifestError::Zero { field });
        }
        let numbers = [
            ("learning_rate", self.learning_rate, 1.0),
            ("weight_decay", self.weight_decay, 1.0),
            ("conditioning_rate", self.conditioning_rate, 100.0),
        ];
        for (field, found, max) in numbers {
            if !(0.0..=max).contains(&found) {
                return Err(ManifestError::OutOfRange { field, found, max });
            }
        }
        if !(1.0..=MAX_STRAGGLER_FACTOR).contains(&self.straggler_factor) {
            let found = self.straggler_factor;
            return Err(ManifestError::StragglerFactor { found });
        }
        if self.learning_rate == 0.0 {
            return Err(ManifestError::LearnsNothing);
        }
        let unconditioned = self.conditioning == Conditioning::None;
        if unconditioned && self.conditioning_form != ConditioningForm::Study {
            let form = self.conditioning_form;
            return Err(ManifestError::FormWithoutConditioning { form });
        }
        self.features.check()?;
        let (form, found) = (self.conditioning_form, self.features.count());
        if self.conditioning.uses_features() && !form.takes(found) {
            return Err(ManifestError::FeatureCount { form, found });
        }
        self.strategy.check()?;
        if ![ADAPTIVE_CLIPS, FIXED_CLIPS].contains(&self.clip_rule) {
            let found = self.clip_rule;
            return Err(ManifestError::ClipRule { found });
        }
        if self.early_stop.is_some() && self.keep == Keep::Last {
            return Err(ManifestError::EarlyStopWithoutBest);
        }
        let significant_bits = |weight: u32| 32 - weight.leading_zeros() - weight.trailing_zeros();
        for entry in self.weights.iter() {
            if entry.weight == 0 || significant_bits(entry.weight) > 2 {
                let (id, weight) = (entry.id.0, entry.weight);
                return Err(ManifestError::Weight { id, weight });
            }
        }
        let mut pairs = self.weights.windows(2);
        if let Some(pair) = pairs.find(|pair| pair[0].id >= pair[1].id) {
            return Err(ManifestError::WeightsUnsorted { id: pair[1].id.0 });
        }
        Ok(())
    }
}

/// A hospital that takes so many times longer than the others is of no use to a round.
pub const MAX_STRAGGLER_FACTOR: f64 = 1000.0;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::{
        codec::Id,
        manifest::{MemberWeight, testing::manifest},
        network::testing::miniature,
        roster::testing::federation,
        strategy::{Momentum, Strategy},
    };

    fn weight(id: u8, weight: u32) -> MemberWeight {
        let id = Id(HospitalId::new(id).expect("in range"));
        MemberWeight { id, weight }
    }

    #[test]
    fn a_sound_manifest_passes_and_each_fault_is_named() {
        let federation = federation(3);
        let check = |manifest: &Manifest| {
            let signed = Signed::sign(manifest, &federation.operator_key);
            CheckedManifest::check(signed, &federation.roster)
        };
        let checked = check(&manifest()).expect("sound");
        assert_eq!(*checked.manifest(), manifest());
        assert_eq!(checked.run(), checked.signed().digest());
        type Fault = (&'static str, fn(&mut Manifest));
        let faults: [Fault; 24] = [
            ("layout", |manifest| {
                manifest.layout = ModelLayout::hybrid_cnn(3)
            }),
            ("batch_size", |manifest| manifest.batch_size = 0),
            ("conditioning_every", |manifest| {
                manifest.conditioning_every = 0
            }),
            ("conditioning_form late", |manifest| {
                manifest.conditioning = Conditioning::None;
                manifest.conditioning_form = ConditioningForm::Late;
                manifest.layout = ModelLayout::of(2, ConditioningForm::Late, 9);
            }),
            ("8 features", |manifest| {
                manifest.features.features.0.pop();
            }),
            ("features: 0 features", |manifest| {
                manifest.features.features.0.clear();
            }),
            ("silence_secs", |manifest| manifest.silence_secs = 0),
            ("straggler_floor_secs", |manifest| {
                manifest.straggler_floor_secs = 0
            }),
            ("straggler_factor", |manifest| {
                manifest.straggler_factor = 0.9
            }),
            ("straggler_factor", |manifest| {
                manifest.straggler_factor = f64::NAN
            }),
            ("learning_rate", |manifest| {
                manifest.learning_rate = f64::NAN
            }),
            ("learning_rate", |manifest| manifest.learning_rate = 0.0),
            ("weight_decay", |manifest| manifest.weight_decay = 1.5),
            ("conditioning_rate", |manifest| {
                manifest.conditioning_rate = -1.0
            }),
            ("strategy: mu is -1", |manifest| {
                manifest.strategy = Strategy::FedProx { mu: -1.0 }
            }),
            ("strategy: beta is NaN", |manifest| {
                let (rate, beta) = (1.0, f64::NAN);
                manifest.strategy = Strategy::FedAvgM(Momentum { rate, beta })
            }),
            ("weight 5", |manifest| manifest.weights.0.push(weight(1, 5))),
            ("weight 0", |manifest| manifest.weights.0.push(weight(1, 0))),
            ("sorted", |manifest| {
                manifest.weights.0 = vec![weight(2, 1), weight(2, 1)]
            }),
            ("hospital 4", |manifest| {
                manifest.weights.0.push(weight(4, 2))
            }),
            ("clip_rule", |manifest| manifest.clip_rule = 3),
            ("start_with is 1", |manifest| {
                manifest.start_with = NonZeroU32::new(1)
            }),
            ("start_with is 4", |manifest| {
                manifest.start_with = NonZeroU32::new(4)
            }),
            ("early_stop", |manifest| {
                (manifest.keep, manifest.early_stop) = (Keep::Last, NonZeroU32::new(1))
            }),
        ];
        for (named, spoil) in faults {
            let mut manifest = manifest();
            spoil(&mut manifest);
            let error = check(&manifest).expect_err(named);
            assert!(error.to_string().contains(named), "{named}: {error}");
            assert_eq!(error.culprit(), Culprit::Operator);
        }
    }

    #[test]
    fn a_manifest_that_the_operator_did_not_sign_is_refused() {
        let federation = federation(3);
        let checks: [ManifestCheck; 2] = [
            CheckedManifest::check,
            CheckedManifest::check_all_but_layout,
        ];
        for check in checks {
            let signed = Signed::sign(&manifest(), &federation.coordinator_key);
            let error = check(signed, &federation.roster).expect_err("another's");
            assert!(matches!(
                error,
                ManifestError::Signed(SignedError::Signature(_))
            ));
            assert_eq!(error.culprit(), Culprit::Coordinator);
        }
    }

    #[test]
    fn a_network_that_is_not_trained_passes_only_the_check_that_does_not_look_at_it() {
        let federation = federation(3);
        let sign = |manifest: &Manifest| Signed::sign(manifest, &federation.operator_key);
        let other = Manifest {
            layout: miniature(2, 16),
            ..manifest()
        };
        let error = CheckedManifest::check(sign(&other), &federation.roster);
        assert_eq!(error.err(), Some(ManifestError::Layout));
        let checked = CheckedManifest::check_all_but_layout(sign(&other), &federation.roster);
        assert!(checked.is_ok());
        let unsound = Manifest { rounds: 0, ..other };
        let error = CheckedManifest::check_all_but_layout(sign(&unsound), &federation.roster);
        assert_eq!(error.err(), Some(ManifestError::Zero { field: "rounds" }));
    }
}
