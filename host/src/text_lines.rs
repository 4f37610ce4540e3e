//! The text form of the log: when, how urgent, of which run and round, what it says, and its fields.
//!
//! As the library writes it, but for one thing: most lines about a round have its number in a field, and then the round in front of
//! the line would only say it again.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

pub(crate) struct TextLines;

impl<S, N> FormatEvent<S, N> for TextLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        let has_colours = writer.has_ansi_escapes();
        let style = |code| if has_colours { code } else { "" };
        let plain = style("\u{1b}[0m");
        write!(writer, "{}", style("\u{1b}[2m"))?;
        SystemTime.format_time(&mut writer)?;
        let colour = style(colour(about.level()));
        write!(writer, "{plain} {colour}{:>5}{plain} ", about.level())?;
        let scope = context.event_scope().into_iter();
        let mut is_within = false;
        for span in scope.flat_map(|scope| scope.from_root()) {
            let name = span.name();
            if SAID_BY_A_FIELD.contains(&name) && about.fields().field(name).is_some() {
                continue;
            }
            is_within = true;
            write!(writer, "{}{name}{plain}", style("\u{1b}[1m"))?;
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(writer, "{{{fields}}}")?;
            }
            writer.write_char(':')?;
        }
        if is_within {
            writer.write_char(' ')?;
        }
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

fn colour(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG => "\u{1b}[34m",
        Level::TRACE => "\u{1b}[35m",
    }
}

/// A round's number is all that there is to say of it; of a hospital its span has the name, too.
const SAID_BY_A_FIELD: [&str; 1] = ["round"];

#[cfg(test)]
mod tests {
    use tracing::{error_span, info, warn};

    use super::*;
    use crate::output::kept_lines::Lines;

    #[test]
    fn a_line_says_of_which_run_and_round_it_is_and_not_twice() {
        let lines = Lines::default();
        let log = tracing_subscriber::fmt()
            .with_writer(lines.writer())
            .with_ansi(false)
            .event_format(TextLines)
            .finish();
        tracing::subscriber::with_default(log, || {
            info!(epoch = 1, "the roster");
            let run = error_span!("run", id = %"5f1d03b2c4a79e68").entered();
            let round = error_span!("round", number = 3, purpose = %"update").entered();
            warn!("stands still");
            info!(round = 3, bytes = 17, "a contribution is complete");
            drop(round);
            info!("over");
            drop(run);
        });
        let lines = lines.text();
        // Without the time.
        let lines: Vec<_> = lines
            .lines()
            .filter_map(|line| Some(line.split_once(' ')?.1))
            .collect();
        let run = "run{id=5f1d03b2c4a79e68}:";
        assert_eq!(
            lines,
            [
                " INFO the roster epoch=1".to_owned(),
                format!(" WARN {run}round{{number=3 purpose=update}}: stands still"),
                format!(" INFO {run} a contribution is complete round=3 bytes=17"),
                format!(" INFO {run} over"),
            ]
        );
    }

    #[test]
    fn colours_are_for_terminals_alone() {
        for has_colours in [false, true] {
            let lines = Lines::default();
            let log = tracing_subscriber::fmt()
                .with_writer(lines.writer())
                .with_ansi(has_colours)
                .event_format(TextLines)
                .finish();
            tracing::subscriber::with_default(log, || warn!("look"));
            assert_eq!(lines.text().contains('\u{1b}'), has_colours);
            assert!(lines.text().contains("look"));
        }
    }
}
