//! The time zone of this machine.

use std::{env, fs};

use jiff::tz::TimeZone;

/// The zone by which `policy.hours` count, and what people should know of it.
///
/// # Errors
/// [`ZoneError`] where a zone is named that cannot be found: hours in another zone would not be those that people mean.
pub fn zone_of_this_machine() -> Result<TimeZone, ZoneError> {
    match TimeZone::try_system() {
        Ok(zone) => Ok(zone),
        Err(_) if names_none() => {
            tracing::warn!(
                "this machine names no time zone, neither by TZ nor by {LOCALTIME}: policy.hours are hours of UTC"
            );
            Ok(TimeZone::UTC)
        }
        Err(source) => Err(ZoneError(source)),
    }
}

/// As everywhere on Unix, UTC is meant then.
fn names_none() -> bool {
    env::var_os("TZ").is_none() && fs::symlink_metadata(LOCALTIME).is_err()
}

/// The zone that is named cannot be found.
#[derive(Debug, thiserror::Error)]
#[error(
    "policy.hours need the time zone of this machine, and it cannot be found: install the system's time zone data (tzdata), or set TZ to a \
     zone that is there, such as TZ=Europe/Berlin or TZ=UTC"
)]
pub struct ZoneError(#[source] jiff::Error);

const LOCALTIME: &str = "/etc/localtime";
