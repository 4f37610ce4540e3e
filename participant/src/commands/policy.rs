//! `participant policy`.

use clap::{Args, Subcommand};
use host::{failure::Failure, output::say, shown::Format};
use participant::{allowance::Allowance, approvals::Approval, vault::policy::Policy};
use serde_json::{Map, Value, json};
use transport::RateCap;

use super::consent::Which;

/// Looks at what runs this hospital takes part in, and what they may take of its machine.
#[derive(Args)]
pub struct PolicyArguments {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Subcommand)]
enum PolicyCommand {
    Show(Show),
}

/// Shows every key of [policy] as it counts, after the settings file, the environment and flags; with the default where it differs.
#[derive(Args)]
struct Show {
    #[command(flatten)]
    which: Which,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl PolicyArguments {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let PolicyCommand::Show(show) = self.command;
        let settings = show.which.settings()?;
        let ours = keys(&settings.policy, settings.approval, &settings.allowance);
        match show.format {
            Format::Json => {
                let keys: Map<_, _> = ours
                    .into_iter()
                    .map(|(key, value)| (key.into(), value))
                    .collect();
                say(json!({"schema": 1, "policy": keys}));
            }
            Format::Text => {
                let defaults = keys(&Policy::default(), Approval::Ask, &Allowance::default());
                for ((key, value), (_, default)) in ours.iter().zip(&defaults) {
                    let differs = if value == default {
                        String::new()
                    } else {
                        format!("   (default: {default})")
                    };
                    say(format_args!("policy.{key:<25} {value}{differs}"));
                }
            }
        }
        Ok(())
    }
}

/// All of them, in the order of the settings file.
fn keys(policy: &Policy, approval: Approval, allowance: &Allowance) -> Vec<(&'static str, Value)> {
    let hours: Vec<_> = allowance
        .hours
        .spans()
        .iter()
        .map(ToString::to_string)
        .collect();
    let megabits = allowance.rate.map_or(0, RateCap::megabits_per_second);
    let profiles: Vec<_> = policy.profiles.iter().map(ToString::to_string).collect();
    let approval = match approval {
        Approval::Ask => "ask",
        Approval::Automatic => "automatic",
    };
    vec![
        ("approval", approval.into()),
        (
            "coordinator",
            policy.coordinator.as_deref().unwrap_or("").into(),
        ),
        ("members", policy.members.clone().into()),
        ("min_members", policy.min_members.into()),
        ("min_contributors", policy.min_contributors.into()),
        ("profiles", profiles.into()),
        (
            "allow_plain_conditioning",
            policy.allow_plain_conditioning.into(),
        ),
        ("max_rounds", policy.max_rounds.into()),
        ("max_local_epochs", policy.max_local_epochs.into()),
        ("max_batch_size", policy.max_batch_size.into()),
        ("max_learning_rate", policy.max_learning_rate.into()),
        ("max_weight", policy.max_weight.into()),
        ("max_first_clip", policy.max_first_clip.into()),
        ("repeated_sums", policy.repeated_sums.as_str().into()),
        ("max_null_steps", policy.max_null_steps.into()),
        ("allow_initial_model", policy.allow_initial_model.into()),
        ("hours", hours.into()),
        ("max_megabits_per_second", megabits.into()),
        (
            "max_gpu_memory_percent",
            allowance.gpu_memory.percent().into(),
        ),
        ("release.versions", policy.release_versions.into()),
        ("release.levels", policy.release_levels.count().into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The teaching file is the list of all keys.
    #[test]
    fn every_key_of_the_settings_file_is_shown_with_its_default() {
        let hospital = protocol::HospitalId::new(1).expect("in range");
        let text = host::participant_file::participant_file(hospital, "host:1", "host");
        let file: toml::Table = text.parse().expect("TOML");
        let section = serde_json::to_value(&file["policy"]).expect("plain values");
        let mut listed = Map::new();
        for (key, value) in section.as_object().expect("a section") {
            match value.as_object() {
                None => drop(listed.insert(key.clone(), value.clone())),
                Some(part) => listed.extend(
                    part.iter()
                        .map(|(own, value)| (format!("{key}.{own}"), value.clone())),
                ),
            }
        }
        let shown: Map<_, _> = keys(&Policy::default(), Approval::Ask, &Allowance::default())
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        assert_eq!(shown, listed);
    }
}
