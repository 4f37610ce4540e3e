//! What a run would take out of this hospital, how it is protected, and what somebody should know before they agree to it: in words, from
//! what the operator has signed, the roster and the policy. The sections are those of THREATS.md.

use crypto::ckks::Profile;
use protocol::{
    counted::counted,
    manifest::{Conditioning, ConditioningForm, Manifest},
    roster::Roster,
};

use crate::vault::policy::{Policy, RepeatedSums};

/// What would leave this hospital, one thing a line, and what would not.
pub fn what_leaves(run: &Manifest, roster: &Roster) -> Vec<String> {
    let (members, least, answers) = (roster.size(), roster.min_contributors(), roster.threshold());
    let names: Vec<&str> = run.features.names().collect();
    let sums = match run.conditioning {
        Conditioning::None => String::new(),
        _ => format!(" and sums of the clinical features ({})", names.join(", ")),
    };
    let sealed = format!(
        "sealed: counts of the classes{sums}, once; the change of the network's weights, and counts of right and \
         wrong answers with the losses, once a round for at most {}. Nobody can open what this hospital gives. Of each, only the sum \
         over at least {least} of the {members} hospitals is opened, by {answers} of them, and all of them see it; the coordinator does not",
        counted(run.rounds, ["round", "rounds"])
    );
    let features = match run.conditioning {
        Conditioning::None => {
            "no clinical feature, nor a sum of them: the run does not use them".to_owned()
        }
        Conditioning::Plain => {
            format!(
                "no clinical feature, encrypted or not: {} are computed in this hospital",
                of_a_patient(run.conditioning_form)
            )
        }
        Conditioning::EncryptedHardened | Conditioning::EncryptedStudy => format!(
            "encrypted (CKKS, {}): these clinical features of every patient, and the network's weights that meet them. The coordinator \
             multiplies them and cannot read them; the key stays here, and so do the {} that are made of the products",
            run.conditioning.profile().map_or("", strength_of),
            of_a_patient(run.conditioning_form)
        ),
    };
    vec![
        sealed,
        features,
        "readable to the coordinator: who takes part and when, sizes, hashes, signatures".into(),
        "not at all: scans, the clinical table, labels of patients, keys".into(),
    ]
}

/// What this hospital's trainer is given of each patient.
fn of_a_patient(form: ConditioningForm) -> &'static str {
    match form {
        ConditioningForm::Study | ConditioningForm::Additive => "filters",
        ConditioningForm::Late => "shifts of the classes' logits",
    }
}

/// Quantum core-SVP bits, the least over the attacks of `docs/security/estimate.py`.
fn strength_of(profile: Profile) -> &'static str {
    match profile {
        Profile::Hardened => "hardened: 129 bits against a quantum computer",
        Profile::Study => "study: 95 bits against a quantum computer",
    }
}

/// What is weaker in this run than it could be, or cannot be checked; at least what is true of every run.
pub fn warnings(run: &Manifest, roster: &Roster, policy: &Policy) -> Vec<String> {
    let mut warnings = vec![of_numbers(roster)];
    let mut warn = |is_so: bool, text: String| {
        if is_so {
            warnings.push(text);
        }
    };
    warn(
        run.conditioning.profile() == Some(Profile::Study),
        "the clinical features are encrypted with the study's parameters, weaker than those of `hardened`".into(),
    );
    if let Some(hash) = &run.initial_model {
        warn(
            true,
            format!(
                "the run starts from a model of an earlier one ({hash}..). Nobody can check how that was trained; and two runs from one model \
                 over almost the same hospitals show what the others gave (THREATS.md 6)"
            ),
        );
    }
    for entry in run.weights.iter().filter(|entry| entry.weight > 1) {
        let name = roster
            .member(entry.id.0)
            .map_or("", |member| member.name.as_str());
        warn(
            true,
            format!(
                "hospital {} ({name}) counts {} times in the mean: its update shows more in the sum, and the others' less",
                entry.id.0, entry.weight
            ),
        );
    }
    let start = run.start_with.map_or(0, |number| number.get());
    warn(
        start > 0 && (start as usize) < roster.size(),
        format!(
            "the run may begin with {start} of the {} hospitals: what a hospital gives that comes later shows in the difference",
            roster.size()
        ),
    );
    let versions = run.conditioning_versions().saturating_sub(1);
    let tells_much = versions > 1 || policy.release_levels.count() > FEW_LEVELS;
    warn(
        run.conditioning_form == ConditioningForm::Late && versions > 0 && tells_much,
        format!(
            "this hospital's trainer is told numbers of each patient {}, of {} levels, that the clinical features make: whoever has the model's \
             conditioning weights finds most features from several versions, or from one of more than {FEW_LEVELS} levels \
             (policy.release.versions, policy.release.levels; THREATS.md 7)",
            counted(versions, ["time", "times"]),
            policy.release_levels.count(),
        ),
    );
    for feature in run.features.iter() {
        warn(
            run.conditioning.uses_features() && feature.gives_edss_away(),
            format!(
                "the feature \"{}\" is named as a sign that EDSS is computed from: the model may learn the score from it, and be of no use",
                feature.name.0
            ),
        );
    }
    warn(
        run.early_stop.is_some(),
        "the run may end early: the coordinator learns whether the last evaluations have brought a gain".into(),
    );
    warn(
        policy.max_null_steps > 0,
        format!(
            "an update that does not open is tried again, up to {} in a run (policy.max_null_steps): whoever spoils one on purpose can \
             compare the two (THREATS.md 6)",
            counted(policy.max_null_steps, ["time", "times"])
        ),
    );
    warn(
        policy.repeated_sums == RepeatedSums::Allow,
        "policy.repeated_sums is \"allow\": sums of two runs may be opened whose difference shows what a few hospitals gave".into(),
    );
    warn(
        true,
        "what the sums and the model themselves tell of single patients is not hidden: there is no differential privacy".into(),
    );
    warnings
}

/// With so many, one version leaves about a guess (THREATS.md 7).
const FEW_LEVELS: u32 = 33;

/// How many may work together before one hospital's update can be read (THREATS.md 6).
fn of_numbers(roster: &Roster) -> String {
    let (n, t, least) = (roster.size(), roster.threshold(), roster.min_contributors());
    let looks = (t - 1).min(least.saturating_sub(2));
    let lies = (2 * t).saturating_sub(n + 1).min(least.saturating_sub(2));
    match n {
        0..=2 => "there are two hospitals: each reads the other's update by subtraction".into(),
        3 => "there are three hospitals: when one is missing in a sum, the other two read each other's update".into(),
        _ => format!(
            "there are {n} hospitals: single updates can be read if more than {looks} of them help a coordinator that follows the protocol, \
             or more than {lies} one that does not"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use protocol::{
        codec::Id,
        manifest::{MemberWeight, testing::manifest},
        roster::testing::federation,
    };

    use super::*;

    fn with(conditioning: Conditioning) -> Manifest {
        Manifest {
            conditioning,
            ..manifest()
        }
    }

    #[test]
    fn what_becomes_of_the_clinical_features_is_said_for_each_conditioning() {
        let roster = federation(7).roster;
        for (conditioning, words) in [
            (Conditioning::None, "does not use them"),
            (Conditioning::Plain, "computed in this hospital"),
            (Conditioning::EncryptedHardened, "hardened: 129 bits"),
            (Conditioning::EncryptedStudy, "study: 95 bits"),
        ] {
            let lines = what_leaves(&with(conditioning), &roster);
            assert!(lines[1].contains(words), "{}", lines[1]);
            assert!(lines[0].contains("at least 6 of the 7"), "{}", lines[0]);
        }
    }

    #[test]
    fn each_weakness_is_warned_of_and_only_where_it_is_one() {
        let roster = federation(4).roster;
        let usual = with(Conditioning::EncryptedHardened);
        let policy = Policy {
            max_null_steps: 0,
            ..Policy::default()
        };
        let quiet = warnings(&usual, &roster, &policy);
        assert_eq!(quiet.len(), 2, "{quiet:?}");
        assert!(quiet[0].contains("more than 1 of them help"), "{quiet:?}");
        let mut weak = Manifest {
            conditioning: Conditioning::EncryptedStudy,
            initial_model: Some([1; 32].into()),
            start_with: NonZeroU32::new(3),
            early_stop: NonZeroU32::new(2),
            ..usual
        };
        let id = Id(roster.members().next().expect("four").id);
        weak.weights.0.push(MemberWeight { id, weight: 3 });
        let allowing = Policy {
            repeated_sums: RepeatedSums::Allow,
            ..Policy::default()
        };
        let all = warnings(&weak, &roster, &allowing).join("\n");
        for words in [
            "study's parameters",
            "starts from a model",
            "(hospital 1) counts 3 times",
            "begin with 3 of the 4",
            "end early",
            "up to 4 times",
            "repeated_sums",
        ] {
            assert!(all.contains(words), "{words:?} is not in {all}");
        }
    }

    /// The table of THREATS.md 6.
    #[test]
    fn how_many_may_collude_is_as_in_the_table() {
        for (n, looks, lies) in [
            (4, 1, 1),
            (5, 2, 2),
            (6, 3, 3),
            (7, 4, 2),
            (10, 6, 3),
            (100, 66, 33),
        ] {
            let said = of_numbers(&federation(n).roster);
            assert!(said.contains(&format!("more than {looks} of")), "{said}");
            assert!(said.contains(&format!("more than {lies} one")), "{said}");
        }
        assert!(of_numbers(&federation(2).roster).contains("subtraction"));
        assert!(of_numbers(&federation(3).roster).contains("one is missing"));
    }
}
