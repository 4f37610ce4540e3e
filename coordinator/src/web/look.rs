//! What the page shows of a coordinator at a moment.

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use host::{key_files::NamedFile, recent_log::recent_lines};
use protocol::roster::Roster;
use serde_json::{Value, json};
use transport::certificate_requests::valid_until;

use super::timeline::Timeline;
use crate::{
    control::{Answer, HospitalStatus, Request, Status, ask},
    enrolment::{MEMBERS, Members},
    settings::Settings,
    store::{ListedRun, Store},
};

/// A coordinator as it answers a question, and what its files say.
#[derive(Default)]
pub(super) struct Look {
    /// Of the run under way.
    pub(super) status: Option<Status>,
    /// Hospitals that wait for a run.
    waiting: Vec<u8>,
    /// Whether it has answered.
    pub(super) has_answered: bool,
    pub(super) members: Vec<MemberView>,
    federation: Option<(u64, String)>,
    runs: Vec<ListedRun>,
}

/// A hospital, whether it is on the roster or only admitted.
pub(super) struct MemberView {
    pub(super) hospital: u8,
    pub(super) name: String,
    /// How much longer its certificate is valid, if the coordinator knows.
    pub(super) certificate_secs: Option<u64>,
}

impl Look {
    /// Asks and reads. Takes a moment; to be called where blocking is allowed.
    pub(super) fn take(settings: &Settings) -> Self {
        let answer = ask(&settings.state, Request::Status);
        let has_answered = matches!(answer, Ok(Answer::Status(_) | Answer::Idle { .. }));
        let (status, waiting) = match answer {
            Ok(Answer::Status(status)) => (Some(*status), Vec::new()),
            Ok(Answer::Idle { waiting }) => (None, waiting),
            _ => (None, Vec::new()),
        };
        let roster = NamedFile::new("roster", &settings.roster).roster().ok();
        Self {
            status,
            waiting,
            has_answered,
            members: members(&settings.state, roster.as_ref()),
            federation: roster.map(|roster| (roster.epoch().into(), roster.fingerprint())),
            runs: runs(&settings.state),
        }
    }

    /// Where a hospital is connected from, and what it is waited for.
    fn of(&self, hospital: u8) -> Option<&HospitalStatus> {
        let hospitals = self.status.iter().flat_map(|status| &status.hospitals);
        let mut hospitals = hospitals.filter(|one| one.hospital == hospital);
        hospitals.next()
    }

    pub(super) fn is_connected(&self, hospital: u8) -> bool {
        let in_run = self.of(hospital).is_some_and(|one| one.address.is_some());
        in_run || self.waiting.contains(&hospital)
    }

    pub(super) fn as_json(&self, timeline: &Timeline) -> Value {
        let federation = self.federation.as_ref();
        let federation = federation
            .map(|(epoch, fingerprint)| json!({"epoch": epoch, "fingerprint": fingerprint}));
        let members = self.members.iter().map(|member| self.member_json(member));
        json!({
            "schema": SCHEMA,
            "program": "coordinator",
            "release": env!("CARGO_PKG_VERSION"),
            "federation": federation,
            "members": members.collect::<Vec<_>>(),
            "run": self.status.as_ref().map(run_json),
            "rounds": timeline.sums(),
            "log": recent_lines(),
            "runs": self.runs,
        })
    }

    fn member_json(&self, member: &MemberView) -> Value {
        let status = self.of(member.hospital);
        json!({
            "hospital": member.hospital,
            "name": member.name,
            "certificate_secs": member.certificate_secs,
            "connected": self.is_connected(member.hospital),
            "address": status.and_then(|status| status.address.as_ref()),
            "waited_for": status.and_then(|status| status.waited_for.as_ref()),
            "last_seen_secs": status.and_then(|status| status.last_heard_secs),
            "bytes_up": status.map_or(0, |status| status.bytes_up),
            "bytes_down": status.map_or(0, |status| status.bytes_down),
        })
    }
}

fn run_json(status: &Status) -> Value {
    json!({
        "name": status.name,
        "run": status.run,
        "rounds": status.rounds,
        "learning_round": status.learning_round,
        "phase": status.phase,
        "phase_secs": status.phase_secs,
        "ends_in_secs": status.ends_in_secs,
        "stands_still": status.stands_still,
        "paused": status.paused,
        "sum": status.sum,
    })
}

/// By number: those of the roster, and those that were admitted since.
fn members(state: &Path, roster: Option<&Roster>) -> Vec<MemberView> {
    let on_roster = roster.into_iter().flat_map(Roster::members);
    let mut all: BTreeMap<u8, MemberView> = on_roster
        .map(|member| {
            let view = MemberView {
                hospital: member.id.get(),
                name: member.name.clone(),
                certificate_secs: None,
            };
            (view.hospital, view)
        })
        .collect();
    let database = state.join(MEMBERS);
    let admitted = database.exists().then(|| {
        Members::look(&database)
            .and_then(|members| members.all())
            .ok()
    });
    for member in admitted.flatten().unwrap_or_default() {
        let (Some(number), Some(certificate)) = (member.number, &member.certificate) else {
            continue;
        };
        let until = valid_until(certificate).ok();
        let left = until.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default());
        let hospital = number.get();
        all.insert(
            hospital,
            MemberView {
                hospital,
                name: member.name,
                certificate_secs: left.map(|left| left.as_secs()),
            },
        );
    }
    all.into_values().collect()
}

fn runs(state: &Path) -> Vec<ListedRun> {
    let database = state.join("coordinator.sqlite");
    let runs = database
        .exists()
        .then(|| Store::look(&database).and_then(|store| store.runs()).ok());
    let mut runs = runs.flatten().unwrap_or_default();
    runs.truncate(MAX_RUNS);
    runs
}

/// Rises when a key changes its meaning or goes.
const SCHEMA: u32 = 1;
const MAX_RUNS: usize = 50;
