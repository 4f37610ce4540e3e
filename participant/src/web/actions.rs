//! What can be done on the page: decide about a run, and take the ledger along.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use host::web::told;
use protocol::{manifest::CheckedManifest, roster::Roster};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
};

use crate::{
    approvals::{
        shown::{Terms, can_be_approved, reason},
        store::{ApprovalStore, OfferedRun, Verdict},
    },
    ledger,
    settings::Settings,
    standing::offered_runs,
};

/// Whose page it is.
pub(super) struct Place {
    settings: Settings,
    roster: watch::Receiver<Arc<Roster>>,
    /// For what takes long and much memory: one at a time.
    heavy: Semaphore,
}

impl Place {
    pub(super) fn new(settings: Settings, roster: watch::Receiver<Arc<Roster>>) -> Self {
        Self {
            settings,
            roster,
            heavy: Semaphore::new(1),
        }
    }
}

/// Paths of the page.
pub(super) fn actions(place: Arc<Place>) -> Router {
    Router::new()
        .route("/api/run", get(show))
        .route("/api/approve", post(approve))
        .route("/api/reject", post(reject))
        .route("/api/ledger.csv", get(export))
        .with_state(place)
}

#[derive(Deserialize)]
struct Shown {
    id: String,
}

#[derive(Deserialize)]
struct Approved {
    run: String,
}

#[derive(Deserialize)]
struct Rejected {
    run: String,
    reason: String,
}

type Here = State<Arc<Place>>;

async fn show(State(place): Here, Query(Shown { id }): Query<Shown>) -> Json<Value> {
    let shown = blocking(move || {
        let (_, manifest) = place.find(&id)?;
        let terms = Terms::of(&manifest, &place.roster(), &place.settings);
        Ok(terms.into_json())
    });
    Json(match shown.await {
        Ok(mut terms) => {
            terms["ok"] = true.into();
            terms
        }
        Err(error) => json!({"ok": false, "error": error}),
    })
}

async fn approve(State(place): Here, Json(Approved { run }): Json<Approved>) -> Json<Value> {
    told(blocking(move || place.decide(&run, Verdict::Approved, "")).await)
}

async fn reject(State(place): Here, Json(no): Json<Rejected>) -> Json<Value> {
    let Rejected { run, reason: said } = no;
    let decided = blocking(move || {
        let said = reason(&said)?;
        place.decide(&run, Verdict::Rejected, &said)
    });
    told(decided.await)
}

async fn export(State(place): Here) -> Response {
    let Ok(_place) = place.heavy.try_acquire() else {
        let told = "another export is under way";
        return (StatusCode::SERVICE_UNAVAILABLE, told).into_response();
    };
    let place = Arc::clone(&place);
    match blocking(move || place.ledger()).await {
        Ok(text) => {
            let headers = [
                (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
                (
                    header::CONTENT_DISPOSITION,
                    "attachment; filename=\"ledger.csv\"",
                ),
            ];
            (headers, text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(error.to_string()))
}

impl Place {
    fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow())
    }

    /// A run that was offered, checked as when it was.
    fn find(&self, id: &str) -> Result<(OfferedRun, CheckedManifest), String> {
        let roster = self.roster();
        let mut runs = offered_runs(&self.settings, &roster)?.into_iter();
        let run = runs.find(|run| hex::encode(run.run) == id);
        let run = run.ok_or("no such run was offered to this hospital")?;
        let manifest = CheckedManifest::check(run.manifest.clone(), &roster);
        Ok((run, manifest.map_err(|error| error.to_string())?))
    }

    fn decide(&self, id: &str, verdict: Verdict, reason: &str) -> Result<(), String> {
        let (run, manifest) = self.find(id)?;
        let settings = &self.settings;
        if verdict == Verdict::Approved {
            can_be_approved(&manifest, &self.roster(), settings)?;
        }
        let store = ApprovalStore::open(&settings.state, settings.approval, self.roster().hash());
        let decided = store.and_then(|mut store| store.decide(&run.run, verdict, BY, reason));
        decided.map_err(|error| error.to_string())
    }

    /// All of it, as `participant ledger export` writes it.
    fn ledger(&self) -> Result<String, String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let mut written = csv.write_record(ledger::COLUMNS);
        let path = self.settings.state.join(ledger::FILE);
        let verified = ledger::verify(&path, None, |entry| {
            if written.is_ok() {
                written = csv.write_record(ledger::record(Some(entry), &entry.content));
            }
        });
        let verified = verified.map_err(|fault| fault.to_string())?;
        for counted in &verified.counting {
            if written.is_ok() {
                written = csv.write_record(ledger::record(None, counted));
            }
        }
        written.map_err(|error| error.to_string())?;
        let bytes = csv.into_inner().map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    }
}

/// In the record of decisions: the page knows nobody's name.
const BY: &str = "the web page";
