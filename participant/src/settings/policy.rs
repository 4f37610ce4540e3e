//! The section `[policy]`: which runs this hospital takes part in, and who says so.

use crypto::ckks::Profile;
use serde::Deserialize;

use super::{RawList, SettingsError, wrong};
use crate::{
    approvals::Approval,
    vault::policy::{Policy, RepeatedSums},
};

/// As the layers give it. Numbers are wide, so that one out of range is reported and not cut to size.
#[derive(Deserialize)]
pub(super) struct RawPolicy {
    approval: String,
    coordinator: String,
    members: RawList,
    min_members: i64,
    min_contributors: i64,
    profiles: RawList,
    allow_plain_conditioning: bool,
    max_rounds: i64,
    max_local_epochs: i64,
    max_batch_size: i64,
    max_learning_rate: f64,
    max_weight: i64,
    max_first_clip: f64,
    repeated_sums: String,
    max_null_steps: i64,
    allow_initial_model: bool,
}

impl RawPolicy {
    pub(super) fn check(self) -> Result<(Policy, Approval), SettingsError> {
        let approval = match self.approval.as_str() {
            "ask" => Approval::Ask,
            "automatic" => Approval::Automatic,
            other => return Err(wrong("policy.approval", other, "ask or automatic")),
        };
        let repeated_sums = match self.repeated_sums.as_str() {
            "refuse" => RepeatedSums::Refuse,
            "allow" => RepeatedSums::Allow,
            other => return Err(wrong("policy.repeated_sums", other, "refuse or allow")),
        };
        let policy = Policy {
            coordinator: Some(self.coordinator.trim().to_owned()).filter(|key| !key.is_empty()),
            members: self.members.by_commas(),
            min_members: count("policy.min_members", self.min_members)?,
            min_contributors: count("policy.min_contributors", self.min_contributors)?,
            profiles: profiles(self.profiles)?,
            allow_plain_conditioning: self.allow_plain_conditioning,
            max_rounds: count("policy.max_rounds", self.max_rounds)?,
            max_local_epochs: count("policy.max_local_epochs", self.max_local_epochs)?,
            max_batch_size: count("policy.max_batch_size", self.max_batch_size)?,
            max_learning_rate: bound("policy.max_learning_rate", self.max_learning_rate)?,
            max_weight: count("policy.max_weight", self.max_weight)?,
            max_first_clip: bound("policy.max_first_clip", self.max_first_clip)?,
            repeated_sums,
            allow_initial_model: self.allow_initial_model,
            max_null_steps: count("policy.max_null_steps", self.max_null_steps)?,
        };
        Ok((policy, approval))
    }
}

/// None of them means that no run may encrypt clinical features: such a hospital takes part in runs without them.
fn profiles(names: RawList) -> Result<Vec<Profile>, SettingsError> {
    let parse = |name: &String| {
        let expected = "a list of hardened and study, or an empty one";
        name.parse::<Profile>()
            .map_err(|_| wrong("policy.profiles", name, expected))
    };
    names.by_commas().iter().map(parse).collect()
}

fn count(key: &'static str, value: i64) -> Result<u32, SettingsError> {
    let expected = "a whole number of at least 0";
    u32::try_from(value).map_err(|_| wrong(key, value, expected))
}

/// A bound that is not a number would refuse nothing.
fn bound(key: &'static str, value: f64) -> Result<f64, SettingsError> {
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(wrong(key, value, "a number of at least 0"))
    }
}
