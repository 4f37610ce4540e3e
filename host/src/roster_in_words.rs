//! A roster as people read it before they sign it, alike in every program.

use protocol::{
    counted::counted,
    enrolment::{keys_hash, operator_hash},
    roster::{Member, Roster},
    spoken::{Length, spoken},
};

use crate::output::printable;

/// The words of a member's keys, which its own program shows as well (`participant keys show`).
pub fn member_fingerprint(member: &Member) -> String {
    spoken(
        &keys_hash(&member.signing_key, &member.tls_fingerprint),
        Length::Short,
    )
}

/// The words of the coordinator's keys.
pub fn coordinator_fingerprint(roster: &Roster) -> String {
    let tls_fingerprint = roster.coordinator_tls_fingerprint();
    let hash = keys_hash(roster.coordinator_key(), &tls_fingerprint);
    spoken(&hash, Length::Short)
}

/// The words of the key that signs runs.
pub fn operator_fingerprint(roster: &Roster) -> String {
    spoken(&operator_hash(roster.operator_key()), Length::Short)
}

/// The lines: who is in it, under which keys, what differs from `previous`, and the fingerprint of the whole.
pub fn in_words(roster: &Roster, previous: Option<&Roster>) -> Vec<String> {
    let mut lines = vec![format!(
        "roster, epoch {}: {}; {} of them open a sum, and a sum is over {} or more",
        roster.epoch(),
        counted(roster.size(), ["hospital", "hospitals"]),
        roster.threshold(),
        roster.min_contributors()
    )];
    let mut line = |what: &str, name: &str, words: &str| {
        lines.push(format!("  {what:<21} {:<24} {words}", shown(name)));
    };
    for member in roster.members() {
        let what = match previous.map(|previous| previous.member(member.id)) {
            Some(None) => format!("{} (new)", member.id),
            Some(Some(before)) if before != member => format!("{} (changed)", member.id),
            _ => member.id.to_string(),
        };
        line(&what, &member.name, &member_fingerprint(member));
    }
    let left = previous.into_iter().flat_map(Roster::members);
    for member in left.filter(|member| roster.member(member.id).is_none()) {
        line(&format!("{} (leaves)", member.id), &member.name, "-");
    }
    let changed = |what: &str, key: fn(&Roster) -> String| {
        let before = previous.map(key);
        match before.is_some_and(|before| before != key(roster)) {
            true => format!("{what} (CHANGED)"),
            false => what.to_owned(),
        }
    };
    let coordinator = changed("coordinator", coordinator_fingerprint);
    line(&coordinator, "", &coordinator_fingerprint(roster));
    let operator = changed("operator", operator_fingerprint);
    line(&operator, "", &operator_fingerprint(roster));
    lines.push(format!(
        "fingerprint of the roster: {}",
        roster.fingerprint()
    ));
    lines
}

/// Names come from other parties.
fn shown(name: &str) -> String {
    let shown: String = name.chars().take(MAX_NAME).collect();
    printable(&shown).replace(['\n', '\t'], " ")
}

const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use protocol::roster::testing;

    use super::*;

    #[test]
    fn who_is_new_and_who_leaves_is_said_and_names_do_no_harm() {
        let first = testing::federation(3).roster;
        let mut file = testing::file_of(&first);
        file.hospitals[2] = testing::member_entry(4);
        file.hospitals[2].name = "evil\u{1b}[2J".into();
        let next = file.check_draft().expect("a draft");
        let lines = in_words(&next, Some(&first)).join("\n");
        assert!(lines.contains("4 (new)"), "{lines}");
        assert!(lines.contains("3 (leaves)"), "{lines}");
        assert!(lines.contains("evil\\u{1b}[2J"), "{lines}");
        assert!(lines.contains(&next.fingerprint()), "{lines}");
        assert!(!lines.contains("CHANGED"), "{lines}");
        file.operator_key = testing::member_entry(9).signing_key;
        let next = file.check_draft().expect("a draft");
        let lines = in_words(&next, Some(&first)).join("\n");
        assert!(lines.contains("operator (CHANGED)"), "{lines}");
        assert!(!in_words(&first, None).join("\n").contains('('));
    }
}
