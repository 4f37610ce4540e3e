//! An offered run as people and programs are shown it.

use host::output::printable;
use protocol::{
    digests::RunId,
    manifest::{CheckedManifest, Manifest},
    roster::Roster,
};
use serde_json::{Value, json};

use super::{Decision, store::OfferedRun};
use crate::{
    disclosure::{warnings, what_leaves},
    journal::missing_initial_model,
    settings::Settings,
};

/// Enough digits of a run's ID to tell it from others.
pub fn short_id(run: &RunId) -> String {
    hex::encode(&run.as_bytes()[..SHORT_ID_BYTES])
}

/// The operator's name of a run, on one line.
pub fn name_of(run: &OfferedRun) -> String {
    let manifest = run.manifest.read_unverified();
    let name = manifest.map_or_else(|_| "?".to_owned(), |Manifest { name, .. }| name.0);
    printable(&name).replace(['\n', '\t'], " ")
}

/// The run, and what was decided about it.
pub fn as_json(run: &OfferedRun) -> Value {
    let state = match (&run.refusal, run.decision()) {
        (Some(_), _) => "refused",
        (None, Decision::Awaited) => "waiting",
        (None, Decision::Approved) => "approved",
        (None, Decision::Rejected { .. }) => "rejected",
    };
    let decisions = run.decisions.iter().map(|decision| {
        json!({
            "verdict": decision.verdict.as_str(),
            "at": decision.at,
            "by": decision.by,
            "reason": decision.reason,
        })
    });
    json!({
        "run": hex::encode(run.run),
        "name": name_of(run),
        "offered": run.offered_at,
        "state": state,
        "refusal": run.refusal,
        "decisions": decisions.collect::<Vec<_>>(),
    })
}

/// What somebody has to know who decides about a run.
pub struct Terms {
    /// What its operator has signed: keys and values in words.
    pub settings: Vec<(&'static str, String)>,
    /// Who takes part, a line each.
    pub members: Vec<String>,
    /// What would leave this hospital.
    pub leaves: Vec<String>,
    /// What to mind.
    pub warnings: Vec<String>,
}

impl Terms {
    /// Of a run for the hospitals of this roster, as the hospital of these settings looks at it.
    pub fn of(manifest: &CheckedManifest, roster: &Roster, settings: &Settings) -> Self {
        let own = settings.hospital;
        let members = roster.members().map(|member| {
            let this = if member.id == own {
                ", this hospital"
            } else {
                ""
            };
            let (id, name) = (member.id, printable(&member.name));
            let key = hex::encode(&member.signing_key.0[..8]);
            format!("{id}  {name} (key {key}..{this})")
        });
        Self {
            settings: manifest.in_words(),
            members: members.collect(),
            leaves: what_leaves(manifest, roster),
            warnings: { missing_initial_model(manifest, &settings.state).into_iter() }
                .map(|missing| format!("it cannot be joined yet: {missing}"))
                .chain(warnings(manifest, roster, &settings.policy))
                .collect(),
        }
    }

    /// With the keys that an object about them has.
    pub fn into_json(self) -> Value {
        let settings = self.settings.into_iter();
        let settings = settings.map(|(key, value)| (key.to_owned(), value.into()));
        json!({
            "settings": Value::Object(settings.collect()),
            "members": self.members,
            "leaves": self.leaves,
            "warnings": self.warnings,
        })
    }
}

/// Whether this hospital can join a run, so that somebody may agree to it: its policy accepts the run, and the model that the run starts
/// from is here.
///
/// # Errors
/// Why not, with the remedy.
pub fn can_be_approved(
    manifest: &CheckedManifest,
    roster: &Roster,
    settings: &Settings,
) -> Result<(), String> {
    settings
        .policy
        .check(manifest, roster)
        .map_err(|violation| {
            format!("a run that the policy refuses cannot be approved: {violation}")
        })?;
    match missing_initial_model(manifest, &settings.state) {
        None => Ok(()),
        Some(missing) => Err(format!("the run cannot be approved yet: {missing}")),
    }
}

/// Whether a text can be the reason of a decision: one line that fits what is sent.
///
/// # Errors
/// What was expected.
pub fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = (1..=MAX_REASON_CHARS).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "expected 1 to {MAX_REASON_CHARS} characters on one line"
        ))
    }
}

const SHORT_ID_BYTES: usize = 6;
const MAX_REASON_CHARS: usize = 300;

#[cfg(test)]
mod tests {
    use protocol::{identity::Signed, manifest::testing::manifest, roster::testing::federation};

    use super::*;

    #[test]
    fn a_name_cannot_write_over_the_terminal() {
        let manifest = Manifest {
            name: "a\u{1b}[2J\nb".into(),
            ..manifest()
        };
        let manifest = Signed::sign(&manifest, &federation(3).operator_key);
        let offered = OfferedRun {
            run: manifest.digest(),
            manifest,
            offered_at: String::new(),
            refusal: None,
            decisions: Vec::new(),
        };
        assert_eq!(name_of(&offered), "a\\u{1b}[2J b");
    }

    #[test]
    fn a_reason_is_one_line_that_the_operator_can_read() {
        assert_eq!(reason(" not in May "), Ok("not in May".into()));
        let long = "é".repeat(MAX_REASON_CHARS);
        assert_eq!(reason(&long).as_deref(), Ok(long.as_str()));
        for wrong in ["", "  ", "two\nlines", "\u{1b}[2J", &"é".repeat(301)] {
            assert!(reason(wrong).is_err(), "{wrong:?}");
        }
    }
}
