//! What the commands about offered runs share: the hospital's settings and its record of runs, and which run is meant.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use clap::Args;
use host::{
    failure::Failure,
    key_files::NamedFile,
    settings::{environment, key_and_value},
};
use participant::{
    approvals::{
        shown::Terms,
        store::{ApprovalStore, OfferedRun, Verdict},
    },
    settings::Settings,
};
use protocol::{digests::RunId, manifest::CheckedManifest, roster::Roster};

/// Which hospital is meant, where several are on one machine.
#[derive(Args)]
pub struct Which {
    /// The settings file.
    #[arg(long, value_name = "FILE", default_value = "participant.toml")]
    config: PathBuf,

    /// Set any key of the settings file, as for participant run.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

/// What was offered to one hospital, and how it looks at it.
pub struct Hospital {
    pub settings: Settings,
    pub roster: Roster,
    /// None before anything was offered.
    store: Option<ApprovalStore>,
}

impl Which {
    pub fn settings(&self) -> Result<Settings, Failure> {
        Settings::load(&self.config, environment(), &self.set).map_err(Failure::settings)
    }

    /// The settings file as it was given.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Reads the settings, the roster and what was offered. The participant may be running or not.
    pub fn open(&self) -> Result<Hospital, Failure> {
        let settings = self.settings()?;
        let roster = NamedFile::new("roster", &settings.roster).roster();
        let roster = roster.map_err(Failure::settings)?;
        let is_there = settings.state.join(ApprovalStore::FILE).exists();
        let store = is_there
            .then(|| ApprovalStore::open(&settings.state, settings.approval, roster.hash()));
        let store = store.transpose().map_err(Failure::settings)?;
        Ok(Hospital {
            settings,
            roster,
            store,
        })
    }
}

impl Hospital {
    /// Every run that was offered, the newest last.
    pub fn runs(&self) -> Result<Vec<OfferedRun>, Failure> {
        let runs = self.store.as_ref().map(ApprovalStore::runs).transpose();
        Ok(runs.map_err(Failure::settings)?.unwrap_or_default())
    }

    /// The one run whose ID begins so.
    pub fn run(&self, prefix: &str) -> Result<OfferedRun, Failure> {
        let runs = self.runs()?;
        find(runs, prefix).map_err(|said| Failure::Settings(anyhow!(said)))
    }

    /// The run, checked as when it was offered: against the roster as it is now.
    pub fn check(&self, run: &OfferedRun) -> Result<CheckedManifest, Failure> {
        CheckedManifest::check(run.manifest.clone(), &self.roster).map_err(Failure::settings)
    }

    /// What somebody has to know who decides about it.
    pub fn terms(&self, run: &OfferedRun) -> Result<Terms, Failure> {
        Ok(Terms::of(&self.check(run)?, &self.roster, &self.settings))
    }

    /// Keeps what whoever runs this command has decided.
    pub fn decide(&mut self, run: &RunId, verdict: Verdict, reason: &str) -> Result<(), Failure> {
        let nothing = || Failure::Settings(anyhow!("no run was offered to this hospital yet"));
        let store = self.store.as_mut().ok_or_else(nothing)?;
        store
            .decide(run, verdict, &who(), reason)
            .map_err(Failure::settings)
    }
}

fn find(runs: Vec<OfferedRun>, prefix: &str) -> Result<OfferedRun, String> {
    let prefix = prefix.trim().to_ascii_lowercase();
    if prefix.is_empty() || !prefix.chars().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(format!(
            "{prefix:?} is not the beginning of a run's ID, which has hexadecimal digits: see participant runs list"
        ));
    }
    let mut meant: Vec<_> = runs
        .into_iter()
        .filter(|run| hex::encode(run.run).starts_with(&prefix))
        .collect();
    match (meant.pop(), meant.pop()) {
        (Some(run), None) => Ok(run),
        (None, _) => Err(format!(
            "no run that was offered to this hospital has an ID that begins with {prefix}: see participant runs list"
        )),
        (Some(one), Some(other)) => Err(format!(
            "{prefix} is the beginning of more than one ID, {} and {} among them: give more digits",
            hex::encode(one.run),
            hex::encode(other.run)
        )),
    }
}

/// Who runs the command, as far as the environment tells: for the record, and no proof.
fn who() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"];
    let known = names.iter().filter_map(|name| env::var(name).ok());
    let mut known = known.filter(|name| !name.trim().is_empty());
    known.next().unwrap_or_else(number_of_user)
}

#[cfg(unix)]
fn number_of_user() -> String {
    format!("user {}", rustix::process::getuid().as_raw())
}

#[cfg(not(unix))]
fn number_of_user() -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use participant::approvals::shown::short_id;
    use protocol::{
        identity::Signed,
        manifest::{Manifest, testing::manifest},
        roster::testing::federation,
    };

    use super::*;

    fn offered(number: u8) -> OfferedRun {
        let manifest = Manifest {
            nonce: [number; 32],
            ..manifest()
        };
        let manifest = Signed::sign(&manifest, &federation(3).operator_key);
        OfferedRun {
            run: manifest.digest(),
            manifest,
            offered_at: String::new(),
            refusal: None,
            decisions: Vec::new(),
        }
    }

    #[test]
    fn a_run_is_meant_by_the_beginning_of_its_id_if_that_is_of_one_alone() {
        let runs: Vec<_> = (0..40).map(offered).collect();
        let third = &runs[3];
        let meant = |prefix: &str| find(runs.clone(), prefix);
        let id = short_id(&third.run);
        assert_eq!(meant(&id).expect("one").run, third.run);
        assert_eq!(meant(&id.to_uppercase()).expect("one").run, third.run);
        // Forty runs, sixteen digits.
        let digits = "0123456789abcdef".chars();
        let ambiguous = digits.filter_map(|digit| meant(&digit.to_string()).err());
        let said: Vec<_> = ambiguous.collect();
        assert!(
            said.iter().any(|said| said.contains("more digits")),
            "{said:?}"
        );
        for (wrong, words) in [
            ("", "hexadecimal"),
            ("run", "hexadecimal"),
            ("0123456789abcdef0123", "runs list"),
        ] {
            let said = meant(wrong).expect_err("none");
            assert!(said.contains(words), "{said}");
        }
    }
}
