//! `participant keys`.

use std::time::SystemTime;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use host::{doctor::utc, failure::Failure, key_files::NamedFile, output::say, shown::Format};
use protocol::{
    counted::counted,
    enrolment::keys_hash,
    spoken::{Length, spoken},
};
use serde_json::json;

use super::consent::Which;

/// This hospital's keys.
#[derive(Args)]
pub struct Keys {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand)]
enum KeysCommand {
    Show(Show),
    Renew(Renew),
}

/// Shows the fingerprint of this hospital's keys, as the roster lists them, and until when its certificate is valid.
#[derive(Args)]
struct Show {
    #[command(flatten)]
    which: Which,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Has the coordinator renew this hospital's certificate, for the same key. `participant run` does so by itself in its last 30 days.
#[derive(Args)]
struct Renew {
    #[command(flatten)]
    which: Which,
}

impl Keys {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            KeysCommand::Show(show) => show.execute(),
            KeysCommand::Renew(renew) => renew.execute(),
        }
    }
}

impl Show {
    fn execute(self) -> Result<(), Failure> {
        let settings = self.which.settings()?;
        let keys = &settings.keys;
        let key = NamedFile::new("keys.signing_key", &keys.signing_key).signing_key();
        let certificate = NamedFile::new("keys.tls_certificate", &keys.tls_certificate);
        let identity = certificate.tls_identity(NamedFile::new("keys.tls_key", &keys.tls_key));
        let identity = identity.map_err(Failure::settings)?;
        let hash = keys_hash(
            &key.map_err(Failure::settings)?.public(),
            identity.fingerprint().as_bytes(),
        );
        let until = certificate.valid_until().map_err(Failure::settings)?;
        let fingerprint = spoken(&hash, Length::Short);
        if self.format == Format::Json {
            say(json!({
                "schema": 1,
                "hospital": settings.hospital.get(),
                "fingerprint": fingerprint,
                "certificate_valid_until": utc(until),
            }));
            return Ok(());
        }
        say(format_args!(
            "hospital {}: {fingerprint}",
            settings.hospital
        ));
        say(match until.duration_since(SystemTime::now()) {
            Ok(left) => format!(
                "its certificate is valid for {} more",
                counted(left.as_secs() / DAY_SECS, ["day", "days"])
            ),
            Err(_) => "its certificate has expired: participant keys renew".to_owned(),
        });
        Ok(())
    }
}

impl Renew {
    fn execute(self) -> Result<(), Failure> {
        let settings = self.which.settings()?;
        let keys = &settings.keys;
        let certificate = || NamedFile::new("keys.tls_certificate", &keys.tls_certificate);
        let before = certificate().valid_until().ok();
        let runtime = tokio::runtime::Runtime::new()
            .context("cannot start the asynchronous runtime")
            .map_err(Failure::Run)?;
        let renewed = runtime.block_on(settings.renew_certificate());
        let until = renewed.map_err(Failure::settings)?;
        let left = until.duration_since(SystemTime::now()).unwrap_or_default();
        let days = counted(left.as_secs() / DAY_SECS, ["day", "days"]);
        if before == certificate().valid_until().ok() {
            say(format_args!(
                "the certificate was issued only lately: it stays, and is valid for {days}"
            ));
        } else {
            say(format_args!(
                "the certificate is renewed, for {days}; a participant that runs uses it from its next connection on"
            ));
        }
        Ok(())
    }
}

const DAY_SECS: u64 = 24 * 3600;
