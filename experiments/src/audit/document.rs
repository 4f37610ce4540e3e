//! `audit.json` and `audit.md`.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    effort::Effort,
    finding::{Finding, Measured, by_setting, number},
};
use crate::made::Made;

/// All of an audit: the file of JSON.
#[derive(Serialize)]
pub struct Audit {
    schema: u32,
    /// When, how and where.
    pub made: Made,
    code_version: &'static str,
    /// How much of it was done.
    pub effort: Effort,
    /// What everything was made up from.
    pub seed: u64,
    /// In the order of their numbers.
    pub findings: Vec<Finding>,
}

impl Audit {
    /// Of what was found.
    pub fn new(made: Made, effort: Effort, seed: u64, findings: Vec<Finding>) -> Self {
        Self {
            schema: SCHEMA,
            made,
            code_version: version::VERSION,
            effort,
            seed,
            findings,
        }
    }

    /// Why it fails; nothing if it does not.
    pub fn faults(&self) -> Vec<String> {
        self.findings.iter().filter_map(Finding::fault).collect()
    }

    /// The table alone, as it is in [`markdown`](Self::markdown): a row for each setting.
    pub fn table(&self) -> String {
        let mut text =
            String::from("| # | attack | verdict | setting | measured |\n|---|---|---|---|---|\n");
        for finding in &self.findings {
            let mut attack = format!(
                "| {} | {} | {} |",
                finding.number,
                finding.attack,
                finding.outcome()
            );
            for (part, measured) in finding.parts() {
                for of_setting in by_setting(measured) {
                    let Some(numbers) = cell(of_setting) else {
                        continue;
                    };
                    let setting = &of_setting[0].setting;
                    // To a String nothing fails.
                    let _ = writeln!(text, "{attack} {part}: {setting} | {numbers} |");
                    attack = "| | | |".to_owned();
                }
            }
        }
        text
    }

    /// The file for people.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "# Audit\n\nWhat attacks with this project's own code learn, with its protections taken away (control) and in place.\n\
             `{}`, {}, on {}.\n\n{}",
            self.made.command_line,
            self.made.date,
            self.made.machine,
            self.table(),
        );
        for finding in &self.findings {
            let _ = write!(
                text,
                "\n## {}. {}\n\nThe attacker holds {}. Claimed: {}.\n\n{}\n\n\
                 | setting | metric | value | 95% interval | chance |\n|---|---|---|---|---|\n",
                finding.number,
                finding.attack,
                finding.attacker_holds,
                finding.claimed,
                finding.explanation,
            );
            for (part, measured) in finding.parts() {
                for of_setting in by_setting(measured) {
                    let mut setting = format!("{part}: {}", of_setting[0].setting);
                    for one in of_setting {
                        let _ = writeln!(
                            text,
                            "| {setting} | {} | {} | {} | {} |",
                            one.metric,
                            number(one.value),
                            one.interval_words(),
                            one.chance_words(),
                        );
                        setting.clear();
                    }
                }
            }
            if !finding.literature.is_empty() {
                let _ = writeln!(text, "\nLiterature: {}.", finding.literature);
            }
        }
        text
    }
}

/// What is no detail of one setting; none if all of it is.
fn cell(of_setting: &[Measured]) -> Option<String> {
    let told = of_setting.iter().filter(|one| !one.is_detail).map(|one| {
        let value = format!("{} {}", one.metric, number(one.value));
        match one.chance {
            Some(chance) => format!("{value} (chance {})", number(chance)),
            None => value,
        }
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// Raised when a key changes its meaning.
const SCHEMA: u32 = 1;

#[cfg(test)]
pub(super) mod tests {
    use super::{super::finding::Verdict, *};
    use crate::audit::finding::tests::finding;

    #[test]
    fn a_cell_tells_all_of_a_setting_but_details() {
        let of = |metric| Measured::value("one", metric, 0.5);
        assert_eq!(
            cell(&[of("a"), of("b").against(0.25), of("c").detail()]),
            Some("a 0.500, b 0.500 (chance 0.250)".to_owned())
        );
        assert_eq!(cell(&[of("c").detail()]), None);
    }

    /// One that found this.
    pub fn audit(findings: Vec<Finding>) -> Audit {
        let made = Made {
            date: "2026-12-01T13:45:00Z".to_owned(),
            command_line: "experiments audit --quick --seed 1".to_owned(),
            commit: None,
            machine: "a machine".to_owned(),
        };
        Audit::new(made, Effort::Quick, 1, findings)
    }

    #[test]
    fn the_table_tells_value_and_chance_and_says_where_a_control_did_not_win() {
        let audit = audit(vec![
            finding(true, Verdict::NotByThisAttack),
            finding(false, Verdict::Holds),
        ]);
        let table = audit.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[2..],
            [
                "| 2 | guess | not by this attack, with this effort | control: all of it given | right 1 |",
                "| | | | protected: nothing given | right 0.350 (chance 0.250) |",
                "| 2 | guess | NOTHING: the control did not win | control: all of it given | right 1 |",
                "| | | | protected: nothing given | right 0.350 (chance 0.250) |",
            ]
        );
        assert_eq!(audit.faults().len(), 1);
        let text = audit.markdown();
        assert!(
            text.contains("| protected: nothing given | right | 0.350 | 0.154 to 0.592 | 0.250 |")
        );
        assert!(!text.contains("Literature"));
    }

    #[test]
    fn json_has_the_same_numbers() {
        let json = serde_json::to_value(audit(vec![finding(true, Verdict::LeaksAsStated)]));
        let json = json.expect("it is JSON");
        let claim = &json["findings"][0]["claim"][0];
        assert_eq!(claim["value"], 0.35);
        assert_eq!(claim["chance"], 0.25);
        assert_eq!(json["findings"][0]["verdict"], "leaks-as-stated");
        assert_eq!(json["effort"], "quick");
    }
}
