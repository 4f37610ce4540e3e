//! What an operator can do on the page: the requests of the control socket, and the check of the record.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use host::{failure::Failure, transcript, web::told};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{
    control::{Answer, Request, ask},
    settings::Settings,
};

/// Paths of the page.
pub(super) fn actions(settings: Arc<Settings>) -> Router {
    Router::new()
        .route("/api/run/start", post(start))
        .route("/api/run/pause", post(pause))
        .route("/api/run/resume", post(resume))
        .route("/api/run/stop", post(stop))
        .route("/api/run/without", post(without))
        .route("/api/transcript", get(check_transcript))
        .with_state(settings)
}

#[derive(Deserialize)]
struct Start {
    /// The text of a signed run.
    file: String,
}

#[derive(Deserialize)]
struct OfRun {
    run: String,
}

#[derive(Deserialize)]
struct Stop {
    run: String,
    /// Well, after the round at hand.
    #[serde(default)]
    keep_best: bool,
}

#[derive(Deserialize)]
struct Without {
    hospital: u8,
}

type Settled = State<Arc<Settings>>;

async fn start(settings: Settled, Json(Start { file }): Json<Start>) -> Json<Value> {
    order(settings, Request::Start { file }).await
}

async fn pause(settings: Settled, Json(OfRun { run }): Json<OfRun>) -> Json<Value> {
    order(settings, Request::Pause { run }).await
}

async fn resume(settings: Settled, Json(OfRun { run }): Json<OfRun>) -> Json<Value> {
    order(settings, Request::Resume { run }).await
}

async fn stop(settings: Settled, Json(Stop { run, keep_best }): Json<Stop>) -> Json<Value> {
    order(settings, Request::Stop { run, keep_best }).await
}

async fn without(settings: Settled, Json(Without { hospital }): Json<Without>) -> Json<Value> {
    order(settings, Request::Without { hospital }).await
}

async fn order(State(settings): Settled, request: Request) -> Json<Value> {
    let asked = spawn_blocking(move || match ask(&settings.state, request) {
        Ok(Answer::Done) => Ok(()),
        Ok(Answer::Refused { reason }) => Err(reason),
        Ok(_) => Err("the coordinator gave another answer".to_owned()),
        Err(error) => Err(error.to_string()),
    });
    told(asked.await.unwrap_or_else(|error| Err(error.to_string())))
}

/// Reads the whole record: seconds, for one of thousands of rounds.
async fn check_transcript(State(settings): Settled) -> Json<Value> {
    let file = settings.state.join("transcript.jsonl");
    let checked = spawn_blocking(move || match transcript::check(&file, &settings.roster) {
        Ok(text) => json!({"ok": true, "text": text}),
        Err(Failure::Run(error) | Failure::Settings(error) | Failure::Stopped(error)) => {
            json!({"ok": false, "error": format!("{error:#}")})
        }
    });
    let failed = |error: tokio::task::JoinError| json!({"ok": false, "error": error.to_string()});
    Json(checked.await.unwrap_or_else(failed))
}
