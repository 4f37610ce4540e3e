//! The section `[policy]`: which runs this hospital takes part in, who says so, and what they may take of its machine.

use crypto::ckks::Profile;
use model_data::FeatureSchema;
use serde::Deserialize;
use transport::{Limits, RateCap};

use host::settings::ListSetting;

use super::{SettingsError, wrong};
use crate::{
    allowance::Allowance,
    approvals::Approval,
    hours::Hours,
    trainer_program::GpuMemoryShare,
    vault::{
        conditioning::release::ReleaseLevels,
        policy::{Policy, RepeatedSums},
    },
};

/// As the layers give it. Numbers are wide, so that one out of range is reported and not cut to size.
#[derive(Deserialize)]
pub(super) struct RawPolicy {
    approval: String,
    coordinator: String,
    members: ListSetting,
    min_members: i64,
    min_contributors: i64,
    profiles: ListSetting,
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
    hours: ListSetting,
    max_megabits_per_second: i64,
    max_gpu_memory_percent: i64,
    release: RawRelease,
}

/// What a trainer gets of each patient.
#[derive(Deserialize)]
struct RawRelease {
    versions: i64,
    levels: i64,
}

impl RawRelease {
    fn levels(&self) -> Result<ReleaseLevels, SettingsError> {
        let levels = u32::try_from(self.levels).ok();
        levels.and_then(ReleaseLevels::new).ok_or_else(|| {
            let expected = "3, 5, 9, 17, 33 and so on up to 65537: a power of two, and one";
            wrong("policy.release.levels", self.levels, expected)
        })
    }
}

impl RawPolicy {
    pub(super) fn check(
        self,
        features: FeatureSchema,
    ) -> Result<(Policy, Approval, Allowance), SettingsError> {
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
            features,
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
            release_versions: count("policy.release.versions", self.release.versions)?,
            release_levels: self.release.levels()?,
        };
        let allowance = Allowance {
            hours: hours(self.hours)?,
            rate: rate(self.max_megabits_per_second)?,
            gpu_memory: gpu_memory(self.max_gpu_memory_percent)?,
        };
        Ok((policy, approval, allowance))
    }
}

/// None of them means that no run may encrypt clinical features: such a hospital takes part in runs without them.
fn profiles(names: ListSetting) -> Result<Vec<Profile>, SettingsError> {
    let parse = |name: &String| {
        let expected = "a list of hardened and study, or an empty one";
        name.parse::<Profile>()
            .map_err(|_| wrong("policy.profiles", name, expected))
    };
    names.by_commas().iter().map(parse).collect()
}

/// None of them means always.
fn hours(spans: ListSetting) -> Result<Hours, SettingsError> {
    let parse = |span: &String| {
        let expected = "a list of spans of the day, each such as 19:00-07:00 (the whole day is 00:00-24:00), or an empty one";
        span.parse()
            .map_err(|_| wrong("policy.hours", span, expected))
    };
    let spans: Result<_, _> = spans.by_commas().iter().map(parse).collect();
    spans.map(Hours::new)
}

/// 0 is no bound.
fn rate(megabits: i64) -> Result<Option<RateCap>, SettingsError> {
    let key = "policy.max_megabits_per_second";
    if megabits == 0 {
        return Ok(None);
    }
    let cap = u32::try_from(megabits).ok();
    match cap.and_then(|cap| RateCap::new(cap, &Limits::default())) {
        Some(cap) => Ok(Some(cap)),
        None => Err(wrong(key, megabits, RATE)),
    }
}

const RATE: &str = "0, which is no bound, or a whole number of at least 3: at less, the 4 MiB that may be under way at once would take longer \
                    than half of the 30 s after which the coordinator gives up a hospital that does not read or write";

fn gpu_memory(percent: i64) -> Result<GpuMemoryShare, SettingsError> {
    let share = u8::try_from(percent).ok().and_then(GpuMemoryShare::new);
    share.ok_or_else(|| {
        let expected = "a whole number from 1 to 100";
        wrong("policy.max_gpu_memory_percent", percent, expected)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the message says is what the transport's limits say.
    #[test]
    fn the_least_rate_is_told_with_its_reason() {
        let limits = Limits::default();
        let least = format!("at least {}:", RateCap::least(&limits));
        let mebibytes = format!("{} MiB", limits.max_frame_bytes >> 20);
        let patience = format!("{} s", limits.stall_timeout.as_secs());
        for words in [least, mebibytes, patience] {
            assert!(RATE.contains(&words), "{words}");
        }
    }
}
