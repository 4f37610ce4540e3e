//! What a program says: data on stdout, the log on stderr. Neither ever ends a program: a line that cannot be written is lost.

use std::{
    env,
    fmt::{self, Display},
    io::{self, IsTerminal, Write as _},
    path::PathBuf,
    str::FromStr as _,
    sync::OnceLock,
};

use clap::{
    Args, ValueEnum,
    builder::{PathBufValueParser, TypedValueParser},
};
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::LevelFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::{self, Format, Writer},
        layer,
        time::{FormatTime as _, SystemTime},
    },
    layer::{Identity, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

#[cfg(feature = "opentelemetry")]
use crate::opentelemetry::Exporter;
use crate::{recent_log::RecentLines, text_lines::TextLines};

/// The flags about the log, alike in every program: `#[command(flatten)]` them.
#[derive(Args)]
pub struct LogArguments {
    /// The format of the log on stderr.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// How much is logged: off, error, warn, info, debug or trace. Also by module: info,protocol=debug.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info", value_parser = log_filter)]
    log_level: EnvFilter,
}

impl LogArguments {
    /// Sends the log to stderr from now on. To be called once. What it gives is to be kept until the end of the program.
    ///
    /// # Panics
    /// If the process has a log already.
    pub fn start(&self) -> Log {
        self.start_beside(nothing())
    }

    /// The same, with a layer beside the log that sees what its own filter lets through, whatever the level of the log.
    ///
    /// # Panics
    /// If the process has a log already.
    pub fn start_beside(&self, beside: impl Layer<Registry> + Send + Sync) -> Log {
        // By default a line that cannot be written is told with `eprintln!`, which panics when stderr is what cannot be written.
        let lines = layer().log_internal_errors(false).with_writer(io::stderr);
        let lines = match self.log_format {
            LogFormat::Text => lines
                .with_ansi(wants_colours(&io::stderr()))
                .event_format(TextLines)
                .boxed(),
            LogFormat::Json => lines
                .json()
                .map_event_format(|inner| JsonLines { inner })
                .boxed(),
        };
        let log = tracing_subscriber::registry()
            .with(beside)
            .with(lines.with_filter(self.log_level.clone()))
            .with(RecentLines.with_filter(self.log_level.clone()));
        let _ = FORMAT.set(self.log_format);
        #[cfg(feature = "opentelemetry")]
        {
            let exporter = Exporter::of_environment();
            let layer = exporter.as_ref().ok().and_then(Option::as_ref);
            let spans = layer.map(|exporter| exporter.layer().with_filter(self.log_level.clone()));
            log.with(spans).init();
            let exporter = exporter.unwrap_or_else(|error| {
                tracing::warn!("no spans are exported: {:#}", anyhow::Error::from(error));
                None
            });
            Log {
                _exporter: exporter,
            }
        }
        #[cfg(not(feature = "opentelemetry"))]
        {
            log.init();
            Log {}
        }
    }
}

/// Beside the log. It has a filter that lets nothing through: a layer without one has every span and line of every library made, whatever
/// the level of the log.
fn nothing() -> impl Layer<Registry> + Send + Sync {
    Identity::new().with_filter(LevelFilter::OFF)
}

/// What is logged. To the library a word that is no level is a module of which all is logged, so that a level with a slip of the
/// pen would be taken and silence the rest.
fn log_filter(text: &str) -> Result<EnvFilter, String> {
    for word in text.split(',') {
        let names_a_module = word.contains(['=', ':', '[']);
        // The library takes an empty word for "error".
        let is_level = !word.is_empty() && LevelFilter::from_str(word).is_ok();
        if !names_a_module && !is_level {
            return Err(format!(
                "{word:?} is no level: off, error, warn, info, debug or trace; of a module, MODULE=LEVEL, such as info,protocol=debug"
            ));
        }
    }
    EnvFilter::from_str(text).map_err(|error| error.to_string())
}

/// The log of a program, until its end.
#[must_use = "what is on its way to a collector is lost with it"]
pub struct Log {
    #[cfg(feature = "opentelemetry")]
    _exporter: Option<Exporter>,
}

/// Whether somebody looks at the stream and has not asked for no colours (no-color.org).
pub fn wants_colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a line to stdout. A reader that has gone is no reason to fail.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// A file or folder that a flag names to be written, as `value_parser`. What is meant for a pipe would be a file called "-".
pub fn place_to_write() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.to_str() {
        Some("-") => {
            Err("this is not written to stdout: name a file or a folder (./- is one called so)")
        }
        _ => Ok(path),
    })
}

/// A text of another party as it can be shown on a terminal: without control characters, and not without end.
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(MAX_SHOWN) {
        match character {
            '\n' | '\t' => shown.push(character),
            other if other.is_control() => shown.extend(other.escape_default()),
            other => shown.push(other),
        }
    }
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push_str(" ...");
    }
    shown
}

const MAX_SHOWN: usize = 4_000;

/// Logs something at the level "info" that has a form of its own for programs: `text` in a log for people; in a log of JSON lines
/// an object that begins with a time and a level and has `fields`, nested as they are, and `text` as its `message`.
pub fn log_structured(text: impl Display, fields: Map<String, Value>) {
    if FORMAT.get() == Some(&LogFormat::Json) {
        let mut line = fields;
        line.insert("message".to_owned(), text.to_string().into());
        let line = Value::Object(line);
        tracing::info!(whole_line = %line);
    } else {
        tracing::info!("{text}");
    }
}

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Text, for people.
    Text,
    /// One JSON object per line, for programs.
    Json,
}

/// The usual JSON lines, but what comes from [`log_structured`] as it is.
struct JsonLines {
    inner: Format<format::Json>,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    Format<format::Json>: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = WholeLine(None);
        event.record(&mut line);
        let Some(rest) = line.0.as_deref().and_then(|line| line.strip_prefix('{')) else {
            return self.inner.format_event(context, writer, event);
        };
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        let level = event.metadata().level();
        write!(writer, "\",\"level\":\"{level}\",")?;
        let spans = spans_of(context);
        if !spans.is_empty() {
            write!(writer, "\"spans\":{},", Value::Array(spans))?;
        }
        writeln!(writer, "{rest}")
    }
}

/// What a line is within, the outermost first, as it stands in the usual lines.
fn spans_of<S, N>(context: &FmtContext<'_, S, N>) -> Vec<Value>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let scope = context.event_scope().into_iter();
    let spans = scope.flat_map(|scope| scope.from_root()).map(|span| {
        let extensions = span.extensions();
        let fields = extensions.get::<FormattedFields<N>>();
        let fields = fields.and_then(|fields| serde_json::from_str(fields).ok());
        let mut fields: Map<String, Value> = fields.unwrap_or_default();
        fields.insert("name".to_owned(), span.name().into());
        Value::Object(fields)
    });
    spans.collect()
}

/// The field `whole_line` of an event, if it has one.
struct WholeLine(Option<String>);

impl Visit for WholeLine {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "whole_line" {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

/// A log that a test reads.
#[cfg(test)]
pub(crate) mod kept_lines {
    use std::{
        io,
        sync::{Arc, Mutex, PoisonError},
    };

    #[derive(Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(crate) fn writer(&self) -> impl Fn() -> Self + Send + Sync + 'static {
            let lines = self.clone();
            move || lines.clone()
        }

        pub(crate) fn text(&self) -> String {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8(kept.clone()).expect("UTF-8")
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{kept_lines::Lines, *};

    #[test]
    fn a_line_for_programs_keeps_its_form_and_others_are_as_ever() {
        let lines = Lines::default();
        let log = tracing_subscriber::fmt()
            .with_writer(lines.writer())
            .json()
            .map_event_format(|inner| JsonLines { inner })
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::info!(whole_line = %json!({"event": "waiting", "for": [{"hospital": 3}]}));
            let _run = tracing::error_span!("run", id = %"5f1d03b2c4a79e68").entered();
            let _round = tracing::error_span!("round", number = 3).entered();
            tracing::info!(whole_line = %json!({"event": "waiting", "message": "in words"}));
            tracing::warn!(hospital = 5, "an ordinary line");
        });
        let lines: Vec<Value> = lines
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines[0]["event"], "waiting");
        assert_eq!(lines[0]["for"][0]["hospital"], 3);
        assert_eq!(lines[0]["level"], "INFO");
        assert!(lines[0]["timestamp"].is_string());
        assert_eq!(lines[0]["spans"], Value::Null);
        assert_eq!(lines[2]["fields"]["hospital"], 5);
        assert_eq!(lines[2]["fields"]["message"], "an ordinary line");
        let within = json!([
            {"id": "5f1d03b2c4a79e68", "name": "run"},
            {"number": 3, "name": "round"},
        ]);
        for line in &lines[1..] {
            assert_eq!(line["spans"], within, "{line}");
        }
    }

    /// What is above the level costs nothing: libraries do not even make it.
    #[test]
    fn nothing_beside_a_log_leaves_its_level_as_it_is() {
        let filter = || EnvFilter::new("warn");
        let log = tracing_subscriber::registry()
            .with(nothing())
            .with(layer().with_writer(io::sink).with_filter(filter()))
            .with(RecentLines.with_filter(filter()));
        assert_eq!(Subscriber::max_level_hint(&log), Some(LevelFilter::WARN));
        tracing::subscriber::with_default(log, || {
            assert!(tracing::enabled!(tracing::Level::WARN));
            assert!(!tracing::enabled!(tracing::Level::INFO));
            assert!(tracing::debug_span!("a step").is_disabled());
        });
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_and_filters_are_taken() {
        for taken in [
            "info",
            "WARN",
            "off",
            "3",
            "info,quinn=warn",
            "error,model=warn",
            "myelin_participant=debug",
            "participant::shell=trace",
            "warn,[run]=debug",
            "[round{number=3}]=debug,info",
        ] {
            let filter = log_filter(taken).map(|filter| filter.to_string());
            assert!(filter.is_ok(), "{taken}: {filter:?}");
        }
        for refused in [
            "x",
            "inof",
            "",
            "info,",
            "info,loud",
            "participant",
            "debug info",
        ] {
            let said = log_filter(refused).expect_err(refused);
            assert!(said.contains("warn, info, debug or trace"), "{said}");
        }
        assert!(log_filter("host=loud").is_err());
    }

    #[test]
    fn what_another_party_says_cannot_write_over_the_terminal() {
        assert_eq!(
            printable("gone\u{1b}[2J\r\nbut\tread"),
            "gone\\u{1b}[2J\\r\nbut\tread"
        );
        let long = printable(&"é".repeat(5_000));
        assert_eq!(long.chars().count(), MAX_SHOWN + 4);
    }
}
