use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    sync::Arc,
    time::Duration,
};

use axum::{Router, routing::post};
use tempfile::TempDir;
use tokio::{sync::watch, task::spawn_blocking};

use super::*;

/// A site that is served, with what has to outlive it.
struct Served {
    address: SocketAddr,
    token: String,
    state: watch::Sender<Arc<str>>,
    _folder: TempDir,
}

async fn served() -> Served {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = WebListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .expect("a port");
    let address = listener.address();
    let door = Door::open(folder.path()).expect("a token");
    let token = fs::read_to_string(door.token_file()).expect("a token");
    let (sender, state) = watch::channel::<Arc<str>>("{\"n\":1}".into());
    let site = Site {
        page: Page {
            title: "page",
            program: "test",
            header: "<h1>A program</h1>",
            content: "{shared}",
            script: "",
        },
        door,
        state,
        health: Box::new(|| Health::Bad("the disk is full".to_owned())),
        metrics: Box::new(|| {
            let mut metrics = Metrics::default();
            let label = ("hospital".to_owned(), "1".to_owned());
            metrics.counter("myelin_received_bytes", "Bytes", [(vec![label], 7)]);
            metrics.gauge("myelin_rounds", "Rounds", [(Labels::new(), 0.5)]);
            metrics
        }),
        actions: Router::new().route("/api/act", post(|| async { told(Err("no".into())) })),
    };
    tokio::spawn(listener.serve(site.router()));
    Served {
        address,
        token: token.trim().to_owned(),
        state: sender,
        _folder: folder,
    }
}

impl Served {
    /// One request over a connection of its own; the whole answer.
    async fn ask(&self, line: &str, headers: &[&str], body: &str) -> String {
        let mut request = format!("{line} HTTP/1.1\r\nhost: 127.0.0.1:1\r\nconnection: close\r\n");
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        let address = self.address;
        spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).expect("it listens");
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            stream.write_all(request.as_bytes()).expect("written");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            answer
        })
        .await
        .expect("no panic")
    }

    fn bearer(&self) -> String {
        format!("authorization: Bearer {}", self.token)
    }
}

#[track_caller]
fn assert_status(answer: &str, status: u16) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_seen_or_done_without_the_token() {
    let site = served().await;
    let page = site.ask("GET /", &[], "").await;
    assert_status(&page, 200);
    assert!(page.contains("<title>page - myelin</title>") && page.contains("<h1>A program</h1>"));
    assert!(page.contains("log-section") && !page.contains("{shared}"));
    assert!(page.contains("content-security-policy: default-src 'none'"));
    for line in [
        "GET /api/state",
        "GET /api/events",
        "GET /metrics",
        "POST /api/act",
    ] {
        for headers in [
            &[][..],
            &["x-myelin: 1"],
            &["authorization: Bearer ", "x-myelin: 1"],
            &["cookie: myelin_0=; myelin=x", "x-myelin: 1"],
        ] {
            assert_status(&site.ask(line, headers, "").await, 401);
        }
    }
    let session = site.ask("GET /api/session", &[], "").await;
    assert!(session.contains("web.token"), "{session}");
    // Not even that there is no such path.
    assert_status(&site.ask("GET /api/nothing", &[], "").await, 401);
    let elsewhere = site
        .ask("GET / HTTP/1.1\r\nhost: evil.example\r\nx:", &[], "")
        .await;
    assert_status(&elsewhere, 403);
    let health = site.ask("GET /healthz", &[], "").await;
    assert_status(&health, 503);
    assert!(health.contains("the disk is full"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_opens_and_its_cookie_too_until_it_is_given_back() {
    let site = served().await;
    let json = "content-type: application/json";
    let wrong = site
        .ask("POST /api/login", &[json], "{\"token\":\"00\"}")
        .await;
    assert!(wrong.contains("\"ok\":false") && !wrong.contains("set-cookie"));
    let body = format!("{{\"token\":\" {}\\n\"}}", site.token);
    let right = site.ask("POST /api/login", &[json], &body).await;
    let cookie = right
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    let cookie = format!("cookie: a=b; {}", cookie.split(';').next().expect("a pair"));
    let state = site.ask("GET /api/state", &[&cookie], "").await;
    assert!(state.ends_with("{\"n\":1}"), "{state}");
    // A form of another site sends the cookie, and cannot set the header.
    assert_status(&site.ask("POST /api/act", &[&cookie], "").await, 403);
    let acted = site
        .ask("POST /api/act", &[&cookie, "x-myelin: 1"], "")
        .await;
    assert!(acted.contains("\"error\":\"no\""), "{acted}");
    let metrics = site.ask("GET /metrics", &[&site.bearer()], "").await;
    assert!(
        metrics.contains("myelin_received_bytes_total{hospital=\"1\"} 7"),
        "{metrics}"
    );
    assert!(metrics.contains("myelin_rounds 0.5"), "{metrics}");
    site.ask("POST /api/logout", &[&cookie, "x-myelin: 1"], "")
        .await;
    assert_status(&site.ask("GET /api/state", &[&cookie], "").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_the_state_and_each_change_of_it() {
    let site = served().await;
    let request = format!(
        "GET /api/events HTTP/1.1\r\nhost: 127.0.0.1:1\r\n{}\r\n\r\n",
        site.bearer()
    );
    let address = site.address;
    let (seen, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let reader = spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
        stream.write_all(request.as_bytes()).expect("written");
        let mut all = String::new();
        let mut some = [0; 4096];
        while !all.contains("data: {\"n\":2}") {
            let read = stream.read(&mut some).expect("more");
            all.push_str(&String::from_utf8_lossy(&some[..read]));
            if all.contains("data: {\"n\":1}") {
                let _ = seen.send(());
            }
        }
        all
    });
    heard.recv().await.expect("the first state");
    site.state.send("{\"n\":2}".into()).expect("it is watched");
    let all = reader.await.expect("no panic");
    assert!(all.contains("content-type: text/event-stream"));
}

#[test]
fn a_token_is_kept_and_private_and_damage_makes_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let read = |door: &Door| fs::read_to_string(door.token_file()).expect("a token");
    let first = read(&Door::open(&state).expect("made"));
    let file = state.join(TOKEN_FILE);
    let mode = fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(read(&Door::open(&state).expect("kept")), first);
    fs::write(&file, "").expect("written");
    assert_ne!(read(&Door::open(&state).expect("made anew")), first);
}

#[test]
fn a_page_is_for_this_machine_alone() {
    assert_eq!(checked_address(""), Ok(None));
    for good in ["127.0.0.1:8080", "[::1]:0", "127.8.0.1:1"] {
        assert!(checked_address(good).expect("loopback").is_some(), "{good}");
    }
    for wrong in [
        "0.0.0.0:8080",
        "10.0.0.1:80",
        "[::]:80",
        "localhost:80",
        "8080",
    ] {
        assert!(checked_address(wrong).is_err(), "{wrong}");
    }
}
