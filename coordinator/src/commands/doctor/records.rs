//! What the state folder keeps: the last run, and members whose certificates end soon.

use std::time::{Duration, SystemTime};

use coordinator::{
    enrolment::{MEMBERS, Members, RENEWAL_OF_MEMBER},
    settings::Settings,
    store::last_run_seen,
};
use host::doctor::{Check, told};
use protocol::counted::counted;
use transport::certificate_requests::valid_until;

/// Reads alone.
pub fn look(settings: &Settings, now: SystemTime) -> Vec<Check> {
    let mut checks = vec![run(settings)];
    if settings.keys.authority_key.exists() {
        checks.push(members(settings, now));
    }
    checks
}

fn run(settings: &Settings) -> Check {
    let database = settings.state.join("coordinator.sqlite");
    if !database.exists() {
        return Check::good(RECORDS, "no run was begun here yet");
    }
    match last_run_seen(&database) {
        Ok(None) => Check::good(RECORDS, "no run was begun here yet"),
        Ok(Some(run)) => match run.result {
            Some(result) => Check::good(
                RECORDS,
                format!("the last run, {:?}, has ended: {result}", run.name),
            ),
            None => Check::good(
                RECORDS,
                format!(
                    "the run {:?} is unfinished: it is under way, or goes on when coordinator serve is started (--new-run gives it up)",
                    run.name
                ),
            ),
        },
        Err(error) => Check::failed(
            RECORDS,
            told(error),
            "see docs/OPERATIONS.md, \"Backup and restore\"",
        ),
    }
}

fn members(settings: &Settings, now: SystemTime) -> Check {
    let path = settings.state.join(MEMBERS);
    if !path.exists() {
        return Check::good(OF_MEMBERS, "nobody was invited yet");
    }
    let all = match Members::look(&path).and_then(|members| members.all()) {
        Ok(all) => all,
        Err(error) => {
            let remedy = "see docs/OPERATIONS.md, \"Backup and restore\"";
            return Check::failed(OF_MEMBERS, told(error), remedy);
        }
    };
    let ends = all.iter().filter_map(|member| {
        let until = valid_until(member.certificate.as_deref()?).ok()?;
        Some((member.name.as_str(), until))
    });
    let asking = all.iter().filter(|one| one.number.is_none()).count();
    ending(ends, asking, now)
}

/// `asking` have yet to be approved.
fn ending<'a>(
    ends: impl Iterator<Item = (&'a str, SystemTime)>,
    asking: usize,
    now: SystemTime,
) -> Check {
    let ends: Vec<_> = ends.collect();
    let soon = ends.iter().filter(|(_, until)| *until <= now + SOON);
    let soon = soon.map(|(name, until)| match until.duration_since(now) {
        Ok(left) => {
            let days = counted(left.as_secs() / DAY.as_secs(), ["day", "days"]);
            format!("{name} in {days}")
        }
        Err(_) => format!("{name} has ended"),
    });
    let soon: Vec<_> = soon.collect();
    let waiting = match asking {
        0 => String::new(),
        asking => format!("; {asking} to be approved (coordinator requests)"),
    };
    if soon.is_empty() {
        let members = match ends.len() {
            0 => "no members yet".to_owned(),
            members => {
                let members = counted(members, ["member", "members"]);
                format!("{members}, with certificates for 30 days or more")
            }
        };
        Check::good(OF_MEMBERS, format!("{members}{waiting}"))
    } else {
        Check::warning(
            OF_MEMBERS,
            format!("certificates that end soon: {}{waiting}", soon.join(", ")),
            RENEWAL_OF_MEMBER,
        )
    }
}

const RECORDS: &str = "records";
const OF_MEMBERS: &str = "members";
const DAY: Duration = Duration::from_secs(24 * 3600);
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

#[cfg(test)]
mod tests {
    use host::doctor::Finding;

    use super::*;

    #[test]
    fn members_whose_certificates_end_soon_are_named() {
        let now = SystemTime::now();
        let later = ("St. Mary's", now + 31 * DAY);
        let check = ending([later].into_iter(), 2, now);
        assert!(check.is_good() && check.found.contains("2 to be approved"));
        let soon = [later, ("Charite", now + 7 * DAY), ("Karolinska", now - DAY)];
        let check = ending(soon.into_iter(), 0, now);
        assert_eq!(check.finding, Finding::Warning);
        assert!(check.found.contains("Charite in 7 days"), "{check:?}");
        assert!(check.found.contains("Karolinska has ended"), "{check:?}");
        assert!(!check.found.contains("Mary"), "{check:?}");
    }
}
