//! `coordinator invite`, `requests`, `approve`, `members`, `remove`: who may become a hospital of this federation.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use coordinator::{
    enrolment::{Desk, MEMBERS, Member, Members, MembersError},
    settings::Settings,
};
use getrandom::{SysRng, rand_core::TryRng as _};
use host::{
    failure::Failure, key_files::NamedFile, output::say, settings::environment, shown::Format,
};
use protocol::{
    counted::counted,
    enrolment::{Code, Invitation, keys_hash},
    spoken::{Length, is_spoken},
};
use serde_json::{Value, json};
use transport::{
    certificate_requests::valid_until,
    certificates::{Authority, CertificateError, KeyFingerprint},
};

/// The coordinator whose members are meant. It may be running.
#[derive(Args)]
pub struct OfCoordinator {
    /// The settings file of the coordinator.
    #[arg(long, value_name = "FILE", default_value = "coordinator.toml")]
    config: PathBuf,
}

impl OfCoordinator {
    /// Its settings and its list of members.
    pub fn open(&self) -> Result<(Settings, Members), Failure> {
        let settings = Settings::load(&self.config, environment(), &[]);
        let settings = settings.map_err(Failure::settings)?;
        if !settings.keys.authority_key.is_file() {
            return Err(Failure::Settings(anyhow!(
                "there is no {} (setting `keys.authority_key`), so this coordinator admits nobody: a demonstration has a fixed roster, \
                 and `coordinator init --name` makes a coordinator that hospitals can join",
                settings.keys.authority_key.display()
            )));
        }
        let members = Members::open(&settings.state.join(MEMBERS)).map_err(Failure::settings)?;
        Ok((settings, members))
    }

    /// The settings file as it was given, for hints.
    pub fn config(&self) -> &Path {
        &self.config
    }
}

fn authority(settings: &Settings) -> Result<Authority, Failure> {
    let keys = &settings.keys;
    let authority = NamedFile::new("keys.ca_certificate", &keys.ca_certificate)
        .signing_authority(NamedFile::new("keys.authority_key", &keys.authority_key));
    authority.map_err(Failure::settings)
}

/// Invites a hospital: prints one line of text for it, with which it can ask to join, once.
///
/// Send it as you like: whoever reads it can ask to join in that hospital's name, and no more. That it is that hospital you find out by
/// comparing fingerprints over the phone before you approve.
#[derive(Args)]
pub struct Invite {
    /// The hospital's name, as all members will read it.
    name: String,

    /// How long it is valid: a number of hours or days, such as 36h or 14d.
    #[arg(long, value_name = "TIME", default_value = "14d", value_parser = duration)]
    expires: Duration,

    #[command(flatten)]
    of: OfCoordinator,
}

impl Invite {
    /// Runs the command; the token is the last line on stdout.
    pub fn execute(self) -> Result<(), Failure> {
        let (settings, mut members) = self.of.open()?;
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control)
        {
            return Err(Failure::Settings(anyhow!(
                "a hospital's name has 1 to {MAX_NAME} characters, none of them a control character"
            )));
        }
        let authority = authority(&settings)?;
        let fingerprint = KeyFingerprint::of_certificate_pem(authority.certificate_pem());
        let mut code = [0; 16];
        SysRng
            .try_fill_bytes(&mut code)
            .context("the operating system gives no randomness")
            .map_err(Failure::Run)?;
        let code = Code::from_bytes(code);
        let expires = SystemTime::now() + self.expires;
        members
            .invite(name, &code.hash(), expires)
            .map_err(Failure::settings)?;
        let since_1970 = expires.duration_since(SystemTime::UNIX_EPOCH);
        let invitation = Invitation {
            address: settings.public.clone(),
            authority: *fingerprint.map_err(Failure::settings)?.as_bytes(),
            name: name.to_owned(),
            expires: since_1970.unwrap_or_default().as_secs(),
            code,
        };
        say(format_args!(
            "Send this line to {name}; it is good for {}, for one hospital. There: participant join LINE --data SCANS FOLDER",
            in_words(self.expires)
        ));
        say(invitation.to_token().as_str());
        Ok(())
    }
}

/// Shows who has asked to join and waits for an approval, and who was invited and has not asked yet.
#[derive(Args)]
pub struct Requests {
    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    of: OfCoordinator,
}

impl Requests {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let (_, members) = self.of.open()?;
        let all = members.all().map_err(Failure::settings)?;
        let asking: Vec<_> = all.iter().filter(|one| one.number.is_none()).collect();
        let invited = members.invitations().map_err(Failure::settings)?;
        let now = SystemTime::now();
        let left = |until: SystemTime| until.duration_since(now).unwrap_or_default();
        if self.format == Format::Json {
            let asking = asking.iter().map(|one| {
                let secs = now
                    .duration_since(one.requested)
                    .unwrap_or_default()
                    .as_secs();
                json!({"name": one.name, "fingerprint": one.fingerprint(), "asked_secs_ago": secs})
            });
            let invited = invited.iter().map(
                |(name, until)| json!({"name": name, "valid_for_secs": left(*until).as_secs()}),
            );
            say(json!({
                "schema": 1,
                "requests": asking.collect::<Vec<Value>>(),
                "invitations": invited.collect::<Vec<Value>>(),
            }));
            return Ok(());
        }
        if asking.is_empty() && invited.is_empty() {
            say("nobody has asked to join, and nobody is invited");
        }
        for one in &asking {
            say(format_args!(
                "{} asks to join. Have it read out its fingerprint; compare:",
                one.name
            ));
            say(format_args!("  {}", one.fingerprint()));
            say(format_args!(
                "  coordinator approve {:?} --fingerprint \"THE WORDS THAT IT READS OUT\" --config {}",
                one.name,
                self.of.config().display()
            ));
        }
        for (name, until) in &invited {
            match left(*until) {
                Duration::ZERO => say(format_args!("{name} was invited; that is no longer valid")),
                left => say(format_args!(
                    "{name} is invited, for {} more",
                    in_words(left)
                )),
            }
        }
        Ok(())
    }
}

/// Makes a hospital that has asked to join a member: it gets a number and a certificate. It takes part once it is on a roster.
#[derive(Args)]
pub struct Approve {
    /// The hospital's name.
    name: String,

    /// The words that the hospital has read out over the phone, in quotation marks. They must be those of its request.
    #[arg(long, value_name = "WORDS")]
    fingerprint: String,

    #[command(flatten)]
    of: OfCoordinator,
}

impl Approve {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let (settings, mut members) = self.of.open()?;
        let authority = authority(&settings)?;
        let approved = members.approve(&self.name, SystemTime::now(), |member| {
            let keys = keys_hash(&member.signing_key, &member.tls_fingerprint);
            if !is_spoken(&self.fingerprint, &keys, Length::Short) {
                return Err(NotApproved::Fingerprint(member.name.clone()));
            }
            Ok(Desk::certify(&authority, member)?)
        });
        let member = approved.map_err(Failure::settings)?;
        let number = member.number.map_or(0, |number| number.get());
        say(format_args!("{} is hospital {number}", member.name));
        say(format_args!(
            "Once all have joined: coordinator roster draft --config {}",
            self.of.config().display()
        ));
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum NotApproved {
    #[error(transparent)]
    Members(#[from] MembersError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(
        "these are not the words of what was sent here in the name of {0:?}. Compare them again with `coordinator requests`; if the \
         hospital reads out others, somebody else has used its invitation: `coordinator remove`, and invite it again"
    )]
    Fingerprint(String),
}

/// Shows the members, with how long their certificates are valid.
#[derive(Args)]
pub struct MembersList {
    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    of: OfCoordinator,
}

impl MembersList {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let (_, members) = self.of.open()?;
        let published = members.published_roster().map_err(Failure::settings)?;
        let is_on_roster = |member: &Member| {
            let mut entries = published.iter().flat_map(|roster| &roster.hospitals);
            entries.any(|entry| entry.signing_key == member.signing_key.0)
        };
        let all = members.all().map_err(Failure::settings)?;
        let lines: Vec<_> = all
            .iter()
            .filter_map(|member| {
                let (number, certificate) = (member.number?, member.certificate.as_ref()?);
                let until = valid_until(certificate).ok()?;
                let left = until.duration_since(SystemTime::now()).unwrap_or_default();
                Some((number, member, left, is_on_roster(member)))
            })
            .collect();
        if self.format == Format::Json {
            let members = lines.iter().map(|(number, member, left, is_on_roster)| {
                json!({
                    "number": number.get(),
                    "name": member.name,
                    "fingerprint": member.fingerprint(),
                    "certificate_secs": left.as_secs(),
                    "on_roster": is_on_roster,
                })
            });
            say(json!({"schema": 1, "members": members.collect::<Vec<Value>>()}));
            return Ok(());
        }
        if lines.is_empty() {
            say("there are no members yet; `coordinator requests` shows who has asked to join");
        }
        for (number, member, left, is_on_roster) in lines {
            say(format_args!(
                "{number:<4} {:<24} {:<32} {}",
                member.name,
                if left.is_zero() {
                    "its certificate has expired".to_owned()
                } else {
                    format!("certificate for {} more", in_words(left))
                },
                if is_on_roster {
                    "on the roster"
                } else {
                    "not on the roster yet"
                },
            ));
        }
        Ok(())
    }
}

/// Takes a member, a request or an invitation off the list. Who is on the roster takes part until the next roster is published.
#[derive(Args)]
pub struct Remove {
    /// The hospital's name.
    name: String,

    #[command(flatten)]
    of: OfCoordinator,
}

impl Remove {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let (_, mut members) = self.of.open()?;
        members
            .remove(&self.name, SystemTime::now())
            .map_err(Failure::settings)?;
        say(format_args!(
            "removed {}. If it is on the roster: coordinator roster draft --config {}",
            self.name,
            self.of.config().display()
        ));
        Ok(())
    }
}

/// For clap.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text
        .split_at_checked(text.len().saturating_sub(1))
        .and_then(|(number, unit)| {
            let number: u64 = number
                .parse()
                .ok()
                .filter(|number| (1..=8760).contains(number))?;
            match unit {
                "h" => Some(number * HOUR_SECS),
                "d" => Some(number * DAY_SECS),
                _ => None,
            }
        });
    let seconds = parsed.ok_or("expected a number of hours or days, such as 36h or 14d")?;
    Ok(Duration::from_secs(seconds))
}

fn in_words(duration: Duration) -> String {
    // To the nearest: what is issued now for a year is not valid for 364 days.
    match (duration.as_secs() + HOUR_SECS / 2) / HOUR_SECS {
        hours @ 0..48 => counted(hours, ["hour", "hours"]),
        hours => counted((hours + 12) / 24, ["day", "days"]),
    }
}

const MAX_NAME: usize = 64;
const HOUR_SECS: u64 = 3600;
const DAY_SECS: u64 = 24 * HOUR_SECS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_said() {
        assert_eq!(duration("14d"), Ok(Duration::from_secs(14 * 86_400)));
        assert_eq!(duration("36h"), Ok(Duration::from_secs(36 * 3600)));
        for wrong in ["", "d", "14", "0d", "-1d", "1w", "9999d", "1é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(in_words(Duration::from_secs(14 * 86_400 - 1)), "14 days");
        assert_eq!(in_words(Duration::from_secs(3600)), "1 hour");
    }
}
