//! What was looked at, for people and for programs.

use std::{fmt::Write as _, io};

use anyhow::anyhow;
use protocol::counted::counted;
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    output::{printable, say, wants_colours},
};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it was: `clock`, or the setting that it is about.
    pub name: &'static str,
    /// How it is.
    pub finding: Finding,
    /// What was found, in words.
    pub found: String,
    /// What to do, unless all is well.
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Good,
    /// It goes on like this, perhaps not for long.
    Warning,
    /// A setting protects less than it could. Also a warning, in red.
    Weakened,
    /// The program cannot do its work like this.
    Failed,
}

impl Check {
    /// All is well.
    pub fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            finding: Finding::Good,
            found: found.into(),
            remedy: None,
        }
    }

    /// Something to look after.
    pub fn warning(
        name: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::not_well(name, Finding::Warning, found.into(), remedy.into())
    }

    /// A setting that gives something away.
    pub fn weakened(
        name: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::not_well(name, Finding::Weakened, found.into(), remedy.into())
    }

    /// Something that has to be set right.
    pub fn failed(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::not_well(name, Finding::Failed, found.into(), remedy.into())
    }

    fn not_well(name: &'static str, finding: Finding, found: String, remedy: String) -> Self {
        Self {
            name,
            finding,
            found,
            remedy: Some(remedy),
        }
    }

    /// Whether nothing stands in the way.
    pub fn is_good(&self) -> bool {
        self.finding == Finding::Good
    }
}

impl Finding {
    /// For programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning | Self::Weakened => "warning",
            Self::Failed => "failed",
        }
    }

    /// For people: seen without colours, too.
    fn word(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            other => other.name(),
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Good => GREEN,
            Self::Warning => YELLOW,
            Self::Weakened | Self::Failed => RED,
        }
    }
}

/// All that was looked at.
#[derive(Debug)]
pub struct Report {
    program: &'static str,
    checks: Vec<Check>,
}

impl Report {
    /// Of this program, with nothing in it yet.
    pub fn new(program: &'static str) -> Self {
        Self {
            program,
            checks: Vec::new(),
        }
    }

    /// Adds what was found.
    pub fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Prints it to stdout, as one JSON object or as lines.
    ///
    /// # Errors
    /// [`Failure::Run`] if something has failed.
    pub fn finish(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            say(self.json());
        } else {
            say(self.text(wants_colours(&io::stdout())));
        }
        match self.count(Finding::Failed) {
            0 => Ok(()),
            1 => Err(Failure::Run(anyhow!("1 check has failed; see above"))),
            failed => Err(Failure::Run(anyhow!(
                "{failed} checks have failed; see above"
            ))),
        }
    }

    fn text(&self, colours: bool) -> String {
        let width = self.checks.iter().map(|check| check.name.len()).max();
        let width = width.unwrap_or(0);
        let indent = " ".repeat(WORD + 1 + width + 2);
        let mut text = String::new();
        for check in &self.checks {
            let head = format!("{:<WORD$} {:<width$}", check.finding.word(), check.name);
            let (on, off) = match colours {
                true => (check.finding.colour(), PLAIN),
                false => ("", ""),
            };
            let found = indented(&check.found, &indent);
            let _ = writeln!(text, "{on}{head}{off}  {found}");
            if let Some(remedy) = &check.remedy {
                let _ = writeln!(text, "{indent}-> {}", indented(remedy, &indent));
            }
        }
        let warnings = self.count(Finding::Warning) + self.count(Finding::Weakened);
        let _ = write!(
            text,
            "{}, {}, {} failed",
            counted(self.checks.len(), ["check", "checks"]),
            counted(warnings, ["warning", "warnings"]),
            self.count(Finding::Failed)
        );
        text
    }

    fn json(&self) -> Value {
        let checks = self.checks.iter().map(|check| {
            json!({
                "check": check.name,
                "result": check.finding.name(),
                "found": check.found,
                "remedy": check.remedy,
            })
        });
        json!({
            "schema": SCHEMA,
            "program": self.program,
            "checks": checks.collect::<Vec<_>>(),
            "failed": self.count(Finding::Failed),
        })
    }

    fn count(&self, finding: Finding) -> usize {
        let of_this = |check: &&Check| check.finding == finding;
        self.checks.iter().filter(of_this).count()
    }
}

impl Extend<Check> for Report {
    fn extend<T: IntoIterator<Item = Check>>(&mut self, checks: T) {
        self.checks.extend(checks);
    }
}

/// Texts of other parties, names among them, stand in it.
fn indented(text: &str, indent: &str) -> String {
    printable(text).replace('\n', &format!("\n{indent}"))
}

const SCHEMA: u32 = 1;
/// The width of the longest word of a finding.
const WORD: usize = 7;
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const PLAIN: &str = "\u{1b}[0m";

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("participant");
        report.add(Check::good("clock", "now"));
        report.add(Check::warning("disk", "little", "make room"));
        report.add(Check::weakened("policy.approval", "automatic", "ask"));
        report.add(Check::failed("udp", "no\u{1b}[2J answer", "ask\nthem"));
        report
    }

    #[test]
    fn each_line_says_how_it_is_in_a_word_and_what_to_do() {
        let lines = [
            "ok      clock            now",
            "warning disk             little",
            "                         -> make room",
            "warning policy.approval  automatic",
            "                         -> ask",
            "FAILED  udp              no\\u{1b}[2J answer",
            "                         -> ask",
            "                         them",
            "4 checks, 2 warnings, 1 failed",
        ];
        assert_eq!(report().text(false), lines.join("\n"));
    }

    #[test]
    fn what_is_weakened_and_what_has_failed_is_red() {
        let text = report().text(true);
        let is_red = |name: &str| {
            let mut lines = text.lines();
            lines.any(|line| line.starts_with(RED) && line.contains(name))
        };
        assert!(is_red("policy.approval") && is_red("udp"), "{text}");
        assert!(!is_red("clock") && !is_red("disk"), "{text}");
    }

    #[test]
    fn programs_get_the_same() {
        let value = report().json();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["program"], "participant");
        assert_eq!(value["failed"], 1);
        assert_eq!(value["checks"][0]["remedy"], Value::Null);
        assert_eq!(value["checks"][2]["result"], "warning");
        assert_eq!(value["checks"][3]["check"], "udp");
        assert_eq!(value["checks"][3]["result"], "failed");
        assert_eq!(value["checks"][3]["remedy"], "ask\nthem");
    }

    #[test]
    fn only_what_has_failed_is_a_failure() {
        assert!(matches!(report().finish(true), Err(Failure::Run(_))));
        let mut well = Report::new("coordinator");
        well.extend([Check::weakened("run.profile", "study", "hardened")]);
        assert!(well.finish(false).is_ok());
    }
}
