//! The routes that every page has, and who may use them.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::{self, Next},
    response::{
        Html, IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

use super::{Door, Metrics};

/// What a browser loads first: the frame that both programs have, with this in it.
#[derive(Clone, Copy)]
pub struct Page {
    /// Of the window.
    pub title: &'static str,
    /// Its name.
    pub program: &'static str,
    /// What stays in sight.
    pub header: &'static str,
    /// The sections; `{shared}` stands for those that both programs have.
    pub content: &'static str,
    /// `/page.js`.
    pub script: &'static str,
}

impl Page {
    fn html(&self) -> String {
        FRAME
            .replace("{header}", self.header)
            .replace("{content}", self.content)
            .replace("{shared}", SHARED)
            .replace("{title}", self.title)
            .replace("{program}", self.program)
    }
}

/// Whether a program does its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Good,
    /// It does not; this is what somebody has to look at.
    Bad(String),
}

/// What a program shows, and what can be done there.
pub struct Site {
    /// The program's own page.
    pub page: Page,
    /// Who may come in.
    pub door: Door,
    /// The state as JSON, each time it changes.
    pub state: watch::Receiver<Arc<str>>,
    /// For `/healthz`, which needs no token and says no more than this.
    pub health: Box<dyn Fn() -> Health + Send + Sync>,
    /// For `/metrics`.
    pub metrics: Box<dyn Fn() -> Metrics + Send + Sync>,
    /// Paths under `/api/`, behind the door.
    pub actions: Router,
}

impl Site {
    /// All paths.
    pub fn router(self) -> Router {
        let actions = self.actions.clone();
        let page = self.page;
        let site = Arc::new(self);
        let inside = Router::new()
            .route("/api/state", get(state))
            .route("/api/events", get(events))
            .route("/api/logout", post(log_out))
            .route("/metrics", get(metrics))
            .with_state(Arc::clone(&site))
            .merge(actions)
            .layer(middleware::from_fn_with_state(Arc::clone(&site), inside));
        let asset = |kind: &'static str, text: &'static str| {
            get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
        };
        let html: Arc<str> = page.html().into();
        let first = get(move || async move { Html(html.to_string()) });
        Router::new()
            .route("/", first)
            .route("/page.js", asset(SCRIPT, page.script))
            .route("/common.js", asset(SCRIPT, COMMON_SCRIPT))
            .route("/style.css", asset("text/css; charset=utf-8", STYLE))
            .route("/healthz", get(healthz))
            .route("/api/session", get(session))
            .route("/api/login", post(log_in))
            .with_state(site)
            .merge(inside)
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .layer(middleware::from_fn(outermost))
    }
}

/// The answer to an action: done, or why not.
pub fn told(result: Result<(), String>) -> Json<Value> {
    Json(match result {
        Ok(()) => json!({"ok": true}),
        Err(error) => json!({"ok": false, "error": error}),
    })
}

/// Behind the door. What changes something has to be asked for by the page itself: a form of another site cannot set this header.
async fn inside(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    if !site.door.lets_in(request.headers()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if request.method() != Method::GET && !request.headers().contains_key(OWN_HEADER) {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

async fn outermost(request: Request, next: Next) -> Response {
    let answer = async {
        if is_asked_here(request.headers()) {
            next.run(request).await
        } else {
            StatusCode::FORBIDDEN.into_response()
        }
    };
    let mut response = match timeout(FOR_AN_ANSWER, answer).await {
        Ok(response) => response,
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the browser believes that it speaks to this machine: another name that leads here is a page of somebody else.
fn is_asked_here(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.and_then(|host| host.parse::<Authority>().ok())
        .is_some_and(|authority| {
            let host = authority.host().trim_matches(['[', ']']);
            let is_loopback = |address: IpAddr| address.is_loopback();
            host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
        })
}

async fn session(State(site): State<Arc<Site>>, headers: HeaderMap) -> Json<Value> {
    let file = site.door.token_file();
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    Json(match site.door.lets_in(&headers) {
        true => json!({"logged_in": true}),
        false => json!({
            "logged_in": false,
            "hint": format!("The token is in the file {} on this machine.", file.display()),
        }),
    })
}

#[derive(Deserialize)]
struct LogIn {
    token: String,
}

async fn log_in(State(site): State<Arc<Site>>, Json(shown): Json<LogIn>) -> Response {
    match site.door.log_in(&shown.token) {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], told(Ok(()))).into_response(),
        None => {
            let before = WRONG_TOKENS.fetch_add(1, Ordering::Relaxed);
            // At 1, 2, 4, ...: whoever tries again and again does not fill the log.
            if (before + 1).is_power_of_two() {
                let times = before + 1;
                tracing::warn!(times, "a wrong token was shown to the web page");
            }
            tokio::time::sleep(AFTER_A_WRONG_TOKEN).await;
            told(Err("This is not the token.".to_owned())).into_response()
        }
    }
}

async fn log_out(State(site): State<Arc<Site>>, headers: HeaderMap) -> Json<Value> {
    site.door.log_out(&headers);
    told(Ok(()))
}

async fn state(State(site): State<Arc<Site>>) -> Response {
    let state = site.state.borrow().to_string();
    ([(header::CONTENT_TYPE, "application/json")], state).into_response()
}

/// The state, and again each time it changes, for as long as the browser may see it.
async fn events(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let mut changes = site.state.clone();
    changes.mark_changed();
    let states = futures_util::stream::unfold((site, headers, changes), |mut seen| async {
        let (site, headers, changes) = &mut seen;
        changes.changed().await.ok()?;
        if !site.door.lets_in(headers) {
            return None;
        }
        let state = sse::Event::default().data(&**changes.borrow_and_update());
        Some((Ok::<_, Infallible>(state), seen))
    });
    let alive = KeepAlive::new().interval(SIGN_OF_LIFE);
    Sse::new(states).keep_alive(alive).into_response()
}

async fn healthz(State(site): State<Arc<Site>>) -> Response {
    match (site.health)() {
        Health::Good => Json(json!({"status": "ok"})).into_response(),
        Health::Bad(why) => {
            let said = Json(json!({"status": "failing", "reason": why}));
            (StatusCode::SERVICE_UNAVAILABLE, said).into_response()
        }
    }
}

async fn metrics(State(site): State<Arc<Site>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], (site.metrics)().text()).into_response()
}

/// Since this process was started.
static WRONG_TOKENS: AtomicU64 = AtomicU64::new(0);
const STYLE: &str = include_str!("assets/style.css");
const FRAME: &str = include_str!("assets/frame.html");
const SHARED: &str = include_str!("assets/shared.html");
const COMMON_SCRIPT: &str = include_str!("assets/common.js");
const SCRIPT: &str = "text/javascript; charset=utf-8";
const OWN_HEADER: &str = "x-myelin";

const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];
/// A signed run has a few kilobytes.
const MAX_BODY_BYTES: usize = 256 << 10;
/// Until it begins; the events go on after that.
const FOR_AN_ANSWER: Duration = Duration::from_secs(60);
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
const AFTER_A_WRONG_TOKEN: Duration = Duration::from_secs(1);
