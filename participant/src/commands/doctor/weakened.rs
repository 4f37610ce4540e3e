//! The policy, and settings that protect this hospital less than the defaults do.

use crypto::ckks::Profile;
use host::doctor::Check;
use participant::{
    approvals::Approval,
    forecast::usual_manifest,
    settings::Settings,
    vault::policy::{Policy, RepeatedSums},
};
use protocol::roster::Roster;

/// Whether a run with the usual settings is taken part in.
pub fn policy(settings: &Settings, roster: Option<&Roster>) -> Check {
    let who = match settings.approval {
        Approval::Ask => "and asks somebody here first (participant runs list)",
        Approval::Automatic => "and asks nobody",
    };
    let Some(roster) = roster else {
        return Check::good(POLICY, format!("accepts runs within its bounds {who}"));
    };
    match settings
        .policy
        .check(&usual_manifest(settings.policy.features.clone()), roster)
    {
        Ok(()) => Check::good(
            POLICY,
            format!("accepts a run with the usual settings {who}"),
        ),
        Err(violation) => Check::warning(
            POLICY,
            format!("refuses a run with the usual settings: {violation}"),
            "if that is meant, nothing; else change the key that it names",
        ),
    }
}

/// One check for each.
pub fn look(settings: &Settings) -> Vec<Check> {
    let ours = &settings.policy;
    let usual = Policy::default();
    let mut weakened = Vec::new();
    let mut weak = |is_weak: bool, key: &'static str, gives_away: String, set: &str| {
        if is_weak {
            let remedy = format!("unless that is meant: {set} in participant.toml");
            weakened.push(Check::weakened(key, gives_away, remedy));
        }
    };
    weak(
        settings.approval == Approval::Automatic,
        "policy.approval",
        "automatic: nobody here is asked before a run begins".to_owned(),
        "approval = \"ask\"",
    );
    weak(
        ours.min_members < usual.min_members,
        "policy.min_members",
        format!(
            "{}: in a federation of two each hospital reads the other's update",
            ours.min_members
        ),
        &format!("min_members = {}", usual.min_members),
    );
    weak(
        ours.min_contributors < usual.min_contributors,
        "policy.min_contributors",
        format!(
            "{}: a sum of one contribution is that hospital's update",
            ours.min_contributors
        ),
        &format!("min_contributors = {}", usual.min_contributors),
    );
    weak(
        ours.profiles.contains(&Profile::Study),
        "policy.profiles",
        format!(
            "{}: the study's parameters protect clinical features less (THREATS.md 1)",
            ours.profile_names()
        ),
        "profiles = [\"hardened\"]",
    );
    weak(
        ours.allow_plain_conditioning,
        "policy.allow_plain_conditioning",
        "true: a run may leave the encryption of features out; none is sent then".to_owned(),
        "allow_plain_conditioning = false",
    );
    weak(
        ours.repeated_sums == RepeatedSums::Allow,
        "policy.repeated_sums",
        "allow: the difference of two runs may show what a few hospitals gave".to_owned(),
        "repeated_sums = \"refuse\"",
    );
    weak(
        !settings.trainer.confine,
        "trainer.confine",
        "false: the trainer can open whatever its user can, keys and tables too".to_owned(),
        "confine = true",
    );
    for (key, found, usual, gives_away) in bounds(ours, &usual) {
        let name = key.trim_start_matches("policy.");
        weak(
            found > usual,
            key,
            format!("{found}, usually {usual}: {gives_away}"),
            &format!("{name} = {usual}"),
        );
    }
    weakened
}

/// Of which more is weaker.
fn bounds(ours: &Policy, usual: &Policy) -> [(&'static str, f64, f64, &'static str); 8] {
    [
        (
            "policy.release.versions",
            ours.release_versions.into(),
            usual.release_versions.into(),
            "the more versions, the more the trainer's program is told of each patient's features",
        ),
        (
            "policy.max_weight",
            ours.max_weight.into(),
            usual.max_weight.into(),
            "a hospital of so much weight drowns out the others, and the sum shows its update",
        ),
        (
            "policy.max_first_clip",
            ours.max_first_clip,
            usual.max_first_clip,
            "one hospital can move the model so far in the first round",
        ),
        (
            "policy.max_null_steps",
            ours.max_null_steps.into(),
            usual.max_null_steps.into(),
            "after each update that did not open, two sums on the same weights can be compared",
        ),
        (
            "policy.max_rounds",
            ours.max_rounds.into(),
            usual.max_rounds.into(),
            "the more rounds, the more successive models tell of this hospital",
        ),
        (
            "policy.max_local_epochs",
            ours.max_local_epochs.into(),
            usual.max_local_epochs.into(),
            "a run may have this machine train for so long, and learn patients by heart",
        ),
        (
            "policy.max_batch_size",
            ours.max_batch_size.into(),
            usual.max_batch_size.into(),
            "a run may fill the memory of this machine",
        ),
        (
            "policy.max_learning_rate",
            ours.max_learning_rate,
            usual.max_learning_rate,
            "a run may have the update follow single patients",
        ),
    ]
}

const POLICY: &str = "policy";

#[cfg(test)]
mod tests {
    use std::fs;

    use host::doctor::Finding;
    use protocol::roster::testing::federation;

    use super::*;

    fn load(text: &str) -> Settings {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("participant.toml");
        fs::write(&file, format!("hospital = 1\n{text}")).expect("written");
        Settings::load(&file, [], &[]).expect("sound")
    }

    #[test]
    fn the_defaults_are_not_weak() {
        let settings = load("");
        assert_eq!(look(&settings), []);
        let roster = federation(3).roster;
        assert!(policy(&settings, Some(&roster)).is_good());
        assert!(policy(&settings, None).is_good());
    }

    #[test]
    fn every_weaker_key_is_named_with_the_way_back() {
        for (key, value) in [
            ("approval", "\"automatic\""),
            ("min_members", "2"),
            ("min_contributors", "1"),
            ("profiles", "[\"hardened\", \"study\"]"),
            ("allow_plain_conditioning", "true"),
            ("repeated_sums", "\"allow\""),
            ("max_weight", "17"),
            ("max_first_clip", "100.5"),
            ("max_null_steps", "5"),
            ("release.versions", "1002"),
            ("max_rounds", "1001"),
            ("max_local_epochs", "101"),
            ("max_batch_size", "257"),
            ("max_learning_rate", "0.2"),
        ] {
            let checks = look(&load(&format!("[policy]\n{key} = {value}\n")));
            let [check] = checks.as_slice() else {
                panic!("{key}: {checks:?}");
            };
            assert_eq!(check.name, format!("policy.{key}"));
            assert_eq!(check.finding, Finding::Weakened);
            let remedy = check.remedy.as_deref().expect("one");
            assert!(remedy.contains(&format!("{key} = ")), "{remedy}");
        }
        let checks = look(&load("[trainer]\nconfine = false\n"));
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].name, "trainer.confine");
    }

    #[test]
    fn a_stricter_key_is_not_weak_and_may_refuse_a_usual_run() {
        let settings = load("[policy]\nmin_members = 5\nprofiles = []\nmax_rounds = 3\n");
        assert_eq!(look(&settings), []);
        let check = policy(&settings, Some(&federation(3).roster));
        assert_eq!(check.finding, Finding::Warning);
        assert!(check.found.contains("min_members"), "{check:?}");
    }
}
