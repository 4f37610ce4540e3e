//! What runs this hospital takes part in, decided by itself.

use crypto::ckks::Profile;
use protocol::{
    features::FeatureSchema,
    manifest::{Conditioning, Manifest},
    network::TensorKind,
    roster::{Member, Roster},
    round::null_step::USUAL_NULL_STEPS,
};

use super::conditioning::release::ReleaseLevels;

/// The bounds of a run that this hospital accepts. What a default does not allow is refused until somebody here allows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The coordinator's signing key or the fingerprint of its TLS key, in hexadecimal as on the roster; none: whichever the roster
    /// names.
    pub coordinator: Option<String>,
    /// Who may be a member beside this hospital, by name on the roster or as for the coordinator; empty: whoever the roster lists.
    pub members: Vec<String>,
    /// Members of the federation at least: with two, each reads the other's update by subtraction.
    pub min_members: u32,
    /// Contributors that each sum needs at least, by the roster's `m_min`.
    pub min_contributors: u32,
    /// With which CKKS parameters this hospital encrypts its clinical features.
    pub profiles: Vec<Profile>,
    /// Whether a run may have its filters computed inside the vault, without encryption.
    pub allow_plain_conditioning: bool,
    /// Learning rounds at most.
    pub max_rounds: u32,
    /// Passes over the local training set in a round at most.
    pub max_local_epochs: u32,
    /// Slices of a training step at most.
    pub max_batch_size: u32,
    /// Learning rate at most.
    pub max_learning_rate: f64,
    /// The largest weight of one hospital in the mean, where the least is 1: a much larger one would drown out the others until the
    /// sum shows its update alone.
    pub max_weight: u32,
    /// The largest first clip of a weight: bounds what one hospital can move in the first round.
    pub max_first_clip: f64,
    /// Whether this hospital helps to open a sum that, subtracted from one of another run, would show what a few hospitals gave.
    pub repeated_sums: RepeatedSums,
    /// Whether a run may start from a model of an earlier one (THREATS.md 6).
    pub allow_initial_model: bool,
    /// After how many updates that did not open this hospital goes on in a run: each lets whoever spoilt one compare two sums on the same
    /// weights (THREATS.md 6).
    pub max_null_steps: u32,
    /// Of how many versions of the weights that meet clinical features at most a run has its trainer given something of every patient.
    pub release_versions: u32,
    /// How finely shifts of logits are given to it.
    pub release_levels: ReleaseLevels,
    /// The features that this hospital reads of its table (`reading.feature_columns`): a run is of some of these.
    pub features: FeatureSchema,
}

/// What to do about a sum that is about the same as one of another run, over almost the same hospitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepeatedSums {
    /// It is not answered for.
    Refuse,
    /// It is answered for: somebody has decided that the hospitals concerned agree.
    Allow,
}

impl RepeatedSums {
    /// As in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Allow => "allow",
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            coordinator: None,
            members: Vec::new(),
            min_members: 3,
            min_contributors: 2,
            profiles: vec![Profile::Hardened],
            allow_plain_conditioning: false,
            max_rounds: 1000,
            max_local_epochs: 100,
            max_batch_size: 256,
            max_learning_rate: 0.1,
            max_weight: 16,
            max_first_clip: 100.0,
            repeated_sums: RepeatedSums::Refuse,
            allow_initial_model: true,
            max_null_steps: USUAL_NULL_STEPS,
            release_versions: 1001,
            release_levels: ReleaseLevels::FINEST,
            features: FeatureSchema::study(),
        }
    }
}

impl Policy {
    /// For runs whose operator and hospitals are one person: no bound on who takes part, nor on how filters are made.
    pub fn of_own_federation() -> Self {
        Self {
            min_members: 2,
            profiles: vec![Profile::Hardened, Profile::Study],
            allow_plain_conditioning: true,
            ..Self::default()
        }
    }

    /// Accepts the run, or says what about it this hospital does not allow.
    ///
    /// # Errors
    /// [`PolicyViolation`] names the first.
    pub fn check(&self, manifest: &Manifest, roster: &Roster) -> Result<(), PolicyViolation> {
        self.check_parties(roster)?;
        self.check_protection(manifest)?;
        self.check_bounds(manifest)
    }

    /// Who takes part.
    fn check_parties(&self, roster: &Roster) -> Result<(), PolicyViolation> {
        if let Some(allowed) = &self.coordinator {
            let key = hex::encode(roster.coordinator_key().0);
            let fingerprint = hex::encode(roster.coordinator_tls_fingerprint());
            if !is_one_of(allowed, &[&key, &fingerprint]) {
                let allowed = allowed.clone();
                return Err(PolicyViolation::Coordinator { allowed, key });
            }
        }
        let is_allowed = |member: &Member| {
            self.members.is_empty() || self.members.iter().any(|name| is_called(name, member))
        };
        if let Some(stranger) = roster.members().find(|member| !is_allowed(member)) {
            return Err(PolicyViolation::Member {
                name: stranger.name.clone(),
                key: hex::encode(stranger.signing_key.0),
            });
        }
        let counts = [
            ("min_members", self.min_members, roster.size()),
            (
                "min_contributors",
                self.min_contributors,
                roster.min_contributors(),
            ),
        ];
        match counts
            .into_iter()
            .find(|(_, least, found)| *found < *least as usize)
        {
            Some((setting, least, found)) => Err(PolicyViolation::TooFew {
                setting,
                least,
                found,
            }),
            None => Ok(()),
        }
    }

    /// What leaves this hospital, and how.
    fn check_protection(&self, manifest: &Manifest) -> Result<(), PolicyViolation> {
        if manifest.conditioning == Conditioning::Plain && !self.allow_plain_conditioning {
            return Err(PolicyViolation::PlainConditioning);
        }
        let features = manifest.used_features();
        if let Err(asked) = self.features.places_of(&features) {
            return Err(PolicyViolation::Feature {
                allowed: self.features.to_string(),
                asked: asked.to_string(),
            });
        }
        if let Some(asked) = manifest.conditioning.profile()
            && !self.profiles.contains(&asked)
        {
            let allowed = self.profile_names();
            return Err(PolicyViolation::Profile { allowed, asked });
        }
        if manifest.initial_model.is_some() && !self.allow_initial_model {
            return Err(PolicyViolation::InitialModel);
        }
        Ok(())
    }

    fn check_bounds(&self, manifest: &Manifest) -> Result<(), PolicyViolation> {
        let asked = [
            (
                "max_rounds",
                f64::from(self.max_rounds),
                f64::from(manifest.rounds),
            ),
            (
                "max_local_epochs",
                f64::from(self.max_local_epochs),
                f64::from(manifest.local_epochs),
            ),
            (
                "max_batch_size",
                f64::from(self.max_batch_size),
                f64::from(manifest.batch_size),
            ),
            (
                "max_learning_rate",
                self.max_learning_rate,
                manifest.learning_rate,
            ),
            (
                "max_weight",
                f64::from(self.max_weight),
                f64::from(manifest.largest_weight()),
            ),
            (
                "max_first_clip",
                self.max_first_clip,
                manifest.first_clip(TensorKind::Weight),
            ),
            (
                "release.versions",
                f64::from(self.release_versions),
                f64::from(manifest.conditioning_versions()),
            ),
        ];
        match asked.into_iter().find(|(_, bound, asked)| asked > bound) {
            Some((setting, bound, asked)) => Err(PolicyViolation::Bound {
                setting,
                bound,
                asked,
            }),
            None => Ok(()),
        }
    }

    /// The profiles as the settings list them.
    pub fn profile_names(&self) -> String {
        let names: Vec<_> = self.profiles.iter().map(Profile::to_string).collect();
        names.join(", ")
    }
}

/// Whether the settings mean this member.
fn is_called(name: &str, member: &Member) -> bool {
    let key = hex::encode(member.signing_key.0);
    let fingerprint = hex::encode(member.tls_fingerprint);
    name == member.name || is_one_of(name, &[&key, &fingerprint])
}

fn is_one_of(name: &str, keys: &[&str]) -> bool {
    keys.iter().any(|key| key.eq_ignore_ascii_case(name))
}

/// A run that asks for what this hospital's policy does not allow.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PolicyViolation {
    /// More than a bound.
    #[error(
        "policy.{setting} is {bound}, the run asks for {asked}: raise it, or ask the operator for a run within it"
    )]
    Bound {
        /// The setting in `[policy]`.
        setting: &'static str,
        /// What it allows at most.
        bound: f64,
        /// What the manifest asks for.
        asked: f64,
    },
    /// Fewer hospitals than this one wants to be among.
    #[error(
        "policy.{setting} is {least}, the federation has {found} by its roster: wait for more members, or lower it, knowing that fewer \
         hospitals hide each other's updates less"
    )]
    TooFew {
        /// The setting in `[policy]`.
        setting: &'static str,
        /// The least number.
        least: u32,
        /// By the roster.
        found: usize,
    },
    /// CKKS parameters that are too weak for this hospital.
    #[error(
        "policy.profiles allows {allowed}, the run asks for `{asked}`: ask the operator for a run with one of those (run.profile), or add \
         it"
    )]
    Profile {
        /// Those in the settings.
        allowed: String,
        /// The manifest's.
        asked: Profile,
    },
    /// A feature that this hospital does not read.
    #[error(
        "the run asks for the feature \"{asked}\", which reading.feature_columns does not have with this kind and range. To allow it, write it \
         there as it is here and start again; else ask the operator for a run without it (run.features). Allowed are: {allowed}"
    )]
    Feature {
        /// Those in the settings.
        allowed: String,
        /// The first of the manifest that is not among them.
        asked: String,
    },
    /// Filters that are computed without encryption.
    #[error(
        "policy.allow_plain_conditioning is false, the run asks for conditioning \"plain\", which encrypts nothing: ask the operator for \
         \"encrypted\" or \"none\", or set it to true"
    )]
    PlainConditioning,
    /// It starts from a kept model.
    #[error(
        "policy.allow_initial_model is false, the run starts from a model of an earlier one: ask the operator for a run without, or set it \
         to true"
    )]
    InitialModel,
    /// Another coordinator than the one named here.
    #[error(
        "policy.coordinator is {allowed}, the roster's coordinator has the key {key}: compare the roster with the other hospitals, then \
         correct the one that is wrong"
    )]
    Coordinator {
        /// The key in the settings.
        allowed: String,
        /// The signing key on the roster.
        key: String,
    },
    /// A member that is not among those named here.
    #[error(
        "policy.members does not name {name:?} (key {key}), whom the roster lists: add the name or the key, or ask for a roster without"
    )]
    Member {
        /// On the roster.
        name: String,
        /// Its signing key.
        key: String,
    },
}

#[cfg(test)]
mod tests {
    use protocol::{
        codec::Id,
        manifest::{MemberWeight, testing::manifest},
        roster::testing::federation,
    };

    use super::*;

    /// A run that the defaults accept.
    fn usual() -> Manifest {
        Manifest {
            conditioning: Conditioning::EncryptedHardened,
            ..manifest()
        }
    }

    /// What a policy says of a run among three.
    fn verdict(policy: &Policy, run: &Manifest) -> Result<(), String> {
        let checked = policy.check(run, &federation(3).roster);
        checked.map_err(|violation| violation.to_string())
    }

    #[track_caller]
    fn refuses(policy: &Policy, run: &Manifest, words: &[&str]) {
        let said = verdict(policy, run).expect_err("must be refused");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
    }

    #[test]
    fn every_bound_is_kept_and_named_with_what_it_allows_and_what_is_asked() {
        assert_eq!(verdict(&Policy::default(), &usual()), Ok(()));
        type Strict = fn(&mut Policy);
        let heavy = MemberWeight {
            id: Id(federation(3).roster.members().next().expect("three").id),
            weight: 24,
        };
        let mut run = usual();
        run.weights.0.push(heavy);
        refuses(&Policy::default(), &run, &["policy.max_weight is 16", "24"]);
        let bounds: [(Strict, &str, &str); 6] = [
            (
                |policy| policy.release_versions = 2,
                "policy.release.versions is 2",
                "for 3",
            ),
            (|policy| policy.max_rounds = 1, "max_rounds is 1", "for 2"),
            (
                |policy| policy.max_local_epochs = 0,
                "max_local_epochs is 0",
                "for 1",
            ),
            (
                |policy| policy.max_batch_size = 31,
                "max_batch_size is 31",
                "for 32",
            ),
            (
                |policy| policy.max_learning_rate = 1e-4,
                "max_learning_rate is 0.0001",
                "for 0.001",
            ),
            (
                |policy| policy.max_first_clip = 0.03,
                "max_first_clip is 0.03",
                "for 0.04",
            ),
        ];
        for (tighten, allowed, asked) in bounds {
            let mut policy = Policy::default();
            tighten(&mut policy);
            refuses(&policy, &usual(), &[allowed, asked, "operator"]);
        }
    }

    #[test]
    fn weak_parameters_and_plain_conditioning_are_refused_unless_they_are_allowed() {
        let with = |conditioning| Manifest {
            conditioning,
            ..manifest()
        };
        let default = Policy::default();
        assert_eq!(verdict(&default, &with(Conditioning::None)), Ok(()));
        let study = with(Conditioning::EncryptedStudy);
        let words = ["policy.profiles allows hardened", "`study`", "run.profile"];
        refuses(&default, &study, &words);
        let plain = with(Conditioning::Plain);
        refuses(&default, &plain, &["policy.allow_plain_conditioning"]);
        let own = Policy::of_own_federation();
        for run in [&study, &plain, &usual()] {
            assert_eq!(verdict(&own, run), Ok(()));
        }
        let nothing = Policy {
            profiles: vec![Profile::Study],
            ..default
        };
        refuses(&nothing, &usual(), &["allows study", "`hardened`"]);
    }

    #[test]
    fn a_run_of_other_features_than_this_hospital_reads_is_refused() {
        let mut run = usual();
        run.features.features.0[4] = "T2 lesions: 0..100".parse().expect("a column");
        let words = [
            "reading.feature_columns",
            "asks for the feature \"T2 lesions: 0..100\"",
        ];
        refuses(&Policy::default(), &run, &words);
        let mut reads_more = FeatureSchema::study();
        let lesions = "t2-lesions: 0..100".parse().expect("a column");
        reads_more.features.0.insert(0, lesions);
        let reads_more = Policy {
            features: reads_more,
            ..Policy::default()
        };
        assert_eq!(verdict(&reads_more, &run), Ok(()));
        assert_eq!(verdict(&reads_more, &usual()), Ok(()));
    }

    #[test]
    fn a_federation_that_is_too_small_is_refused() {
        let pair = federation(2).roster;
        let violation = Policy::default().check(&usual(), &pair);
        let said = violation.expect_err("two of three").to_string();
        assert!(said.contains("policy.min_members is 3"), "{said}");
        assert!(said.contains("has 2"), "{said}");
        let own = Policy::of_own_federation();
        assert_eq!(own.check(&usual(), &pair), Ok(()));
        let strict = Policy {
            min_contributors: 3,
            ..Policy::default()
        };
        refuses(
            &strict,
            &usual(),
            &["policy.min_contributors is 3", "has 2"],
        );
        assert_eq!(strict.check(&usual(), &federation(4).roster), Ok(()));
    }

    #[test]
    fn parties_are_those_that_are_named_by_name_or_key() {
        let roster = federation(3).roster;
        let members: Vec<_> = roster.members().cloned().collect();
        let named = |names: &[String]| Policy {
            members: names.to_vec(),
            ..Policy::default()
        };
        let mut names = vec![
            members[0].name.clone(),
            hex::encode(members[1].signing_key.0).to_uppercase(),
        ];
        let missing = [members[2].name.as_str(), "policy.members"];
        refuses(&named(&names), &usual(), &missing);
        names.push(hex::encode(members[2].tls_fingerprint));
        assert_eq!(verdict(&named(&names), &usual()), Ok(()));

        let by = |key: String| Policy {
            coordinator: Some(key),
            ..Policy::default()
        };
        let key = hex::encode(roster.coordinator_key().0);
        let fingerprint = hex::encode(roster.coordinator_tls_fingerprint());
        assert_eq!(verdict(&by(key.clone()), &usual()), Ok(()));
        assert_eq!(verdict(&by(fingerprint), &usual()), Ok(()));
        let another = "00".repeat(32);
        refuses(
            &by(another.clone()),
            &usual(),
            &["policy.coordinator", &key, &another],
        );
    }

    #[test]
    fn a_run_from_a_kept_model_is_accepted_unless_the_hospital_forbids_it() {
        let from_kept = Manifest {
            initial_model: Some([1; 32].into()),
            ..usual()
        };
        assert_eq!(verdict(&Policy::default(), &from_kept), Ok(()));
        let strict = Policy {
            allow_initial_model: false,
            ..Policy::default()
        };
        assert_eq!(verdict(&strict, &usual()), Ok(()));
        refuses(&strict, &from_kept, &["policy.allow_initial_model"]);
    }
}
