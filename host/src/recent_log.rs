//! The last lines of the log, as plain text, for a page that shows them.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogLine {
    /// Seconds since 1970, UTC.
    pub at: f64,
    /// In lower case.
    pub level: &'static str,
    /// What it says, and then its fields.
    pub text: String,
}

/// The last lines of this process's log, the oldest first.
pub fn recent_lines() -> Vec<LogLine> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().cloned().collect()
}

static LINES: Mutex<VecDeque<LogLine>> = Mutex::new(VecDeque::new());

/// Keeps what goes through it.
pub(crate) struct RecentLines;

impl<S: Subscriber> Layer<S> for RecentLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            // Whoever asks for these reads them elsewhere.
            _ => return,
        };
        let mut words = Words::default();
        event.record(&mut words);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let line = LogLine {
            at: since.unwrap_or_default().as_secs_f64(),
            level,
            text: words.text(),
        };
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_back(line);
        while lines.len() > MAX_LINES {
            lines.pop_front();
        }
    }
}

#[derive(Default)]
struct Words {
    message: String,
    fields: String,
    /// What a log for programs has instead, as JSON.
    whole: Option<String>,
}

impl Words {
    fn text(self) -> String {
        let whole = self.whole.and_then(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            Some(line["message"].as_str()?.to_owned())
        });
        let text = whole.unwrap_or(self.message + &self.fields);
        text.chars().take(MAX_CHARS).collect()
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "whole_line" => {
                self.whole = Some(format!("{value:?}"));
                Ok(())
            }
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

const MAX_LINES: usize = 100;
const MAX_CHARS: usize = 1000;

#[cfg(test)]
mod tests {
    use tracing_subscriber::{Registry, layer::SubscriberExt as _};

    use super::*;

    #[test]
    fn the_last_lines_are_kept_with_their_fields_and_no_more() {
        tracing::subscriber::with_default(Registry::default().with(RecentLines), || {
            for number in 0..MAX_LINES {
                tracing::info!(number, "a line");
            }
            tracing::debug!("not this one");
            tracing::info!(whole_line = %serde_json::json!({"message": "in words", "round": 3}));
            tracing::warn!(reason = "é".repeat(2 * MAX_CHARS), "long");
        });
        let lines = recent_lines();
        assert_eq!(lines.len(), MAX_LINES);
        assert_eq!(lines[0].text, "a line number=2");
        let last = &lines[MAX_LINES - 2..];
        assert_eq!((last[0].level, last[0].text.as_str()), ("info", "in words"));
        assert_eq!(last[1].text.chars().count(), MAX_CHARS);
        assert_eq!(last[1].level, "warn");
    }
}
