//! Moments as files tell them.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// This moment, as [`rfc3339`] tells it.
pub fn now() -> String {
    rfc3339(OffsetDateTime::now_utc())
}

/// As `2026-12-01T13:45:00Z`, to the second.
pub fn rfc3339(at: OffsetDateTime) -> String {
    let whole = at.replace_nanosecond(0).unwrap_or(at);
    whole.format(&Rfc3339).unwrap_or_default()
}
