//! Spans of a run, sent to a collector of OpenTelemetry: OTLP as protocol buffers over HTTP, without TLS.
//!
//! A collector belongs on this machine, or on a network that may read logs: what is sent is what the log says. Only what the log's level
//! lets through goes out, and lines only within a span. Nothing is sent unless one of the standard variables names where to.

use std::{
    env,
    fmt::{self, Display},
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::body::{Body, to_bytes};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider},
};
use tokio::{
    net::TcpStream,
    runtime::{Builder, Runtime},
    time::timeout,
};
use tracing::{Subscriber, subscriber::NoSubscriber};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// What goes on being sent until it is dropped; what is waiting then is sent first.
pub(crate) struct Exporter {
    provider: SdkTracerProvider,
}

/// Why nothing is sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error(
        "{0} is not an address beginning with http://: this program sends spans without TLS, to a collector on its own machine that may \
         pass them on with it"
    )]
    NotHttp(String),
    #[error(
        "the address of the collector has a user and a password in it, which would be sent without TLS: leave them out"
    )]
    Password,
    #[error("{0}")]
    Exporter(#[from] ExporterBuildError),
    #[error("cannot start what sends")]
    Runtime(#[from] std::io::Error),
}

impl Exporter {
    /// Sends to where the standard variables say, if they say it.
    pub(crate) fn of_environment() -> Result<Option<Self>, ExportError> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        // The first wins in the library as well, which puts the path of traces behind the second.
        let named = variable(OF_TRACES).map(|whole| (whole.clone(), Some(whole)));
        let Some((endpoint, whole)) = named.or_else(|| Some((variable(OF_ALL)?, None))) else {
            return Ok(None);
        };
        let address = endpoint.strip_prefix("http://");
        let address = address.ok_or_else(|| ExportError::NotHttp(without_password(&endpoint)))?;
        if address
            .split('/')
            .next()
            .is_some_and(|host| host.contains('@'))
        {
            return Err(ExportError::Password);
        }
        let name = variable("OTEL_SERVICE_NAME").unwrap_or_else(service_name);
        Self::to(whole.as_deref(), name).map(Some)
    }

    /// Without an endpoint it is that of the environment.
    fn to(endpoint: Option<&str>, name: String) -> Result<Self, ExportError> {
        let builder = SpanExporter::builder()
            .with_http()
            .with_http_client(PlainHttp::new()?);
        let exporter = match endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint).build()?,
            None => builder.build()?,
        };
        let resource = Resource::builder().with_service_name(name).build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .with_max_events_per_span(MAX_LINES_OF_A_SPAN)
            .build();
        Ok(Self { provider })
    }

    /// Hands over what the log has.
    pub(crate) fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            // Paths of source files and numbers of threads say nothing to an operator.
            .with_location(false)
            .with_threads(false)
            .with_tracer(self.provider.tracer("myelin"))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // What has failed was told. A collector that does not answer holds no program up for long.
        let _ = self.provider.shutdown_with_timeout(FOR_THE_LAST);
    }
}

/// As far as it may stand in a log.
fn without_password(endpoint: &str) -> String {
    match endpoint.rsplit_once('@') {
        Some((_, host)) => format!("..@{host}"),
        None => endpoint.to_owned(),
    }
}

fn service_name() -> String {
    let program = env::current_exe().ok();
    let name = program.as_deref().and_then(|path| path.file_stem());
    let name = name.map_or("program".into(), |name| name.to_string_lossy());
    format!("myelin-{name}")
}

/// Sends one request over a connection of its own: there is one every few seconds. Used by the thread that sends, which waits for it.
struct PlainHttp {
    runtime: Runtime,
    failed: AtomicU64,
}

#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the address has no host")]
    NoHost,
    #[error("cannot connect to {to}")]
    Connect { to: String, source: std::io::Error },
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the collector breaks off")]
    Http(#[from] hyper::Error),
    #[error("the collector's answer cannot be read")]
    Answer(#[source] axum::Error),
    #[error("the collector answers {0}")]
    Refused(hyper::StatusCode),
}

impl PlainHttp {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            failed: AtomicU64::new(0),
        })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, SendError> {
        let (parts, body) = request.into_parts();
        let to = parts.uri.authority().ok_or(SendError::NoHost)?.clone();
        let host = to.host().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, to.port_u16().unwrap_or(80))).await;
        let stream = stream.map_err(|source| SendError::Connect {
            to: to.to_string(),
            source,
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = hyper::Request::from_parts(parts, Body::from(body));
        // To a server itself a request names the path; whom it is for is in a header.
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Default::default, Into::into);
        if let Ok(host) = to.as_str().parse() {
            request.headers_mut().insert(hyper::header::HOST, host);
        }
        let answer = async {
            let answer = sender.send_request(request).await?;
            let (parts, body) = answer.into_parts();
            let body = to_bytes(Body::new(body), MAX_ANSWER_BYTES).await;
            Ok(Response::from_parts(
                parts,
                body.map_err(SendError::Answer)?,
            ))
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            Err(error) = connection => Err(error.into()),
        }
    }

    /// At 1, 2, 4, ...: a collector that is away for long does not fill the log.
    fn tell(&self, error: &SendError) {
        let before = self.failed.fetch_add(1, Ordering::Relaxed);
        if (before + 1).is_power_of_two() {
            let (times, error) = (before + 1, WithCauses(error));
            tracing::warn!(times, "spans are not exported: {error}; look at {OF_ALL}");
        }
    }
}

impl HttpClient for PlainHttp {
    fn send_bytes<'client, 'call>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'call>>
    where
        'client: 'call,
        Self: 'call,
    {
        Box::pin(async move {
            let sending = async { timeout(PATIENCE, self.send(request)).await };
            // What sends spans must not make any.
            let answer = tracing::subscriber::with_default(NoSubscriber::default(), || {
                self.runtime.block_on(sending)
            });
            let answer = answer.unwrap_or(Err(SendError::Late));
            match &answer {
                Ok(answer) if answer.status().is_success() => {}
                Ok(answer) => self.tell(&SendError::Refused(answer.status())),
                Err(error) => self.tell(error),
            }
            Ok(answer?)
        })
    }
}

impl fmt::Debug for PlainHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainHttp")
    }
}

struct WithCauses<'a>(&'a SendError);

impl Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Of all signals: the collector's address, without a path.
const OF_ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Of spans alone: the whole address.
const OF_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PATIENCE: Duration = Duration::from_secs(10);
/// A run of thousands of rounds has more lines: the first ones are sent.
const MAX_LINES_OF_A_SPAN: u32 = 4096;
const FOR_THE_LAST: Duration = Duration::from_secs(3);
/// A collector answers with a few bytes.
const MAX_ANSWER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use axum::{Router, routing::post};
    use protocol::{
        HospitalId,
        digests::{RoundNumber, RunId},
        manifest::Purpose,
    };
    use tokio::net::TcpListener;
    use tracing_subscriber::{EnvFilter, Layer as _, Registry, layer::SubscriberExt as _};

    use super::*;
    use crate::{recent_log::RecentLines, spans};

    /// A collector that hands on what it is sent; gives its address.
    fn collector(status: hyper::StatusCode) -> (String, mpsc::Receiver<Bytes>) {
        let (told, sent) = mpsc::channel();
        let (bound, address) = mpsc::channel();
        thread::spawn(move || {
            let runtime = Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
                let address = listener.local_addr().expect("an address");
                bound.send(address).expect("the test waits");
                let take = move |body: Bytes| async move {
                    let _ = told.send(body);
                    status
                };
                let site = Router::new().route("/v1/traces", post(take));
                axum::serve(listener, site).await
            })
        });
        let address = address.recv().expect("it listens");
        (format!("http://{address}/v1/traces"), sent)
    }

    fn has(body: &[u8], word: &str) -> bool {
        body.windows(word.len()).any(|part| part == word.as_bytes())
    }

    #[test]
    fn a_collector_is_sent_the_spans_of_a_run_and_the_lines_within_them_and_no_more() {
        let (address, sent) = collector(hyper::StatusCode::OK);
        let exporter = Exporter::to(Some(&address), "myelin-test".to_owned()).expect("it is sound");
        // As a program has it, beside what sees all.
        let log = Registry::default()
            .with(RecentLines)
            .with(exporter.layer().with_filter(EnvFilter::new("info")));
        let id = RunId::from([0x5f; 32]);
        tracing::subscriber::with_default(log, || {
            let run = spans::run_at(HospitalId::new(7).expect("in range"), &id);
            let round = spans::round(&run, RoundNumber::new(3), Purpose::Update);
            round.in_scope(|| {
                tracing::info!(bytes = 17, "a contribution is complete");
                tracing::debug!("left out of the log");
                tracing::debug_span!("sealing").in_scope(|| {});
            });
            tracing::info!("of no run");
        });
        drop(exporter);
        let body = sent.recv_timeout(PATIENCE).expect("it was sent");
        for word in [
            "myelin-test",
            "run",
            &"5f".repeat(8),
            "round",
            "update",
            "a contribution is complete",
        ] {
            assert!(has(&body, word), "{word}: {body:?}");
        }
        for word in [
            "left out of the log",
            "sealing",
            "of no run",
            &"5f".repeat(9),
        ] {
            assert!(!has(&body, word), "{word}: {body:?}");
        }
    }

    #[test]
    fn a_collector_that_refuses_or_is_away_is_told_of_and_holds_nothing_up() {
        let client = PlainHttp::new().expect("a runtime");
        let ask = |address: &str| {
            let request = Request::post(address).body(Bytes::from_static(b"spans"));
            let sending = client.send(request.expect("a request"));
            client.runtime.block_on(sending)
        };
        let (address, sent) = collector(hyper::StatusCode::FORBIDDEN);
        let answer = ask(&address).expect("an answer");
        assert_eq!(answer.status(), hyper::StatusCode::FORBIDDEN);
        assert_eq!(sent.recv_timeout(PATIENCE).expect("it came"), "spans");
        // Port 9 of this machine: nobody is there.
        let error = ask("http://127.0.0.1:9/v1/traces").expect_err("nobody answers");
        let words = WithCauses(&error).to_string();
        assert!(
            words.starts_with("cannot connect to 127.0.0.1:9: "),
            "{words}"
        );
    }
}
