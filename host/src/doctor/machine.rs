//! The machine: its clock and its memory.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::Check;

/// Whether the clock can be right: it is not before one of these files was written. No time server is asked; certificates are compared
/// with it by those who look at them.
pub fn clock<'a>(now: SystemTime, written: impl IntoIterator<Item = &'a Path>) -> Check {
    let times = written.into_iter().filter_map(|path| {
        let time = fs::metadata(path).and_then(|about| about.modified());
        Some((time.ok()?, path))
    });
    let here = utc(now);
    match times.max_by_key(|(time, _)| *time) {
        Some((time, path)) if time > now + TOLERATED => Check::warning(
            CLOCK,
            format!(
                "it is {here} here, but {} was written at {}: the clock is behind, or was ahead",
                path.display(),
                utc(time)
            ),
            SET_IT,
        ),
        _ => Check::good(
            CLOCK,
            format!("{here}; certificates hold by it: compare it with another one"),
        ),
    }
}

/// Compares the memory that is available with what is needed.
pub fn memory(needed_mib: u64, what: &str) -> Check {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    memory_of(&text, needed_mib, what)
}

fn memory_of(meminfo: &str, needed_mib: u64, what: &str) -> Check {
    let mib = |name: &str| {
        let mut lines = meminfo.lines();
        let line = lines.find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib / 1024)
    };
    let (Some(available), Some(total)) = (mib("MemAvailable:"), mib("MemTotal:")) else {
        return Check::warning(
            MEMORY,
            "how much there is, is not known: /proc/meminfo does not say",
            format!("see that {needed_mib} MiB are free: {what}"),
        );
    };
    let found = format!("{available} of {total} MiB are available; needs {needed_mib} MiB: {what}");
    if available < needed_mib {
        Check::warning(
            MEMORY,
            found,
            "end other programs, give the machine more memory, or set a lower limit where there is one",
        )
    } else {
        Check::good(MEMORY, found)
    }
}

/// A time as people write it, to the second.
pub fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let shown = i64::try_from(since.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok());
    shown.unwrap_or_else(|| format!("{} s after 1970", since.as_secs()))
}

const CLOCK: &str = "clock";
const MEMORY: &str = "memory";
const TOLERATED: Duration = Duration::from_secs(120);
const SET_IT: &str = "set it, and keep it right by a time server: timedatectl set-ntp true, with the hospital's server in \
                      /etc/systemd/timesyncd.conf";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Finding;

    #[test]
    fn a_clock_before_what_was_written_is_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("roster.json");
        fs::write(&path, "").expect("written");
        let now = SystemTime::now();
        let nowhere = folder.path().join("nowhere");
        let look = |now| clock(now, [path.as_path(), nowhere.as_path()]);
        assert_eq!(look(now).finding, Finding::Good);
        let check = look(now - Duration::from_secs(3600));
        assert_eq!(check.finding, Finding::Warning);
        assert!(check.found.contains("roster.json"), "{check:?}");
    }

    #[test]
    fn memory_is_compared_with_what_is_needed() {
        let text = "MemTotal:        8000000 kB\nMemFree: 1 kB\nMemAvailable:    4194304 kB\n";
        let found = |needed| memory_of(text, needed, "for the training").finding;
        assert_eq!(found(4096), Finding::Good);
        assert_eq!(found(4097), Finding::Warning);
        for text in ["", "MemAvailable: many kB\nMemTotal: 1 kB", "MemAvailable:"] {
            assert_eq!(memory_of(text, 1, "").finding, Finding::Warning);
        }
    }

    #[test]
    fn a_time_is_written_as_people_do() {
        let time = UNIX_EPOCH + Duration::from_millis(1_800_000_000_900);
        assert_eq!(utc(time), "2027-01-15T08:00:00Z");
        let far = UNIX_EPOCH + Duration::from_secs(1 << 60);
        assert!(utc(far).ends_with("after 1970"));
    }
}
