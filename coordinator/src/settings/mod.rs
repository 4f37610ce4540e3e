//! What an operator sets: defaults, then `coordinator.toml`, then the environment, then flags, checked once into typed values.
//!
//! The teaching file that `init` writes is also the list of keys and their defaults, so the three cannot drift apart.

mod credentials;
mod initial_model;
mod run;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

pub use host::settings::SettingsError;
use host::settings::Template;
use protocol::manifest::Conditioning;
use serde::Deserialize;

pub use self::{credentials::CredentialsError, run::RunSettings};
use self::{
    initial_model::StartsFrom,
    run::{RawRun, whole},
};

/// A coordinator's settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The UDP address to bind.
    pub listen: SocketAddr,
    /// Where hospitals reach it: `host:port`.
    pub public: String,
    /// The roster file.
    pub roster: PathBuf,
    /// The folder of records.
    pub state: PathBuf,
    /// How long the last outcomes are served when all rounds are done.
    pub serve_outcomes_secs: u32,
    /// Where the web page is served, if it is.
    pub web: Option<SocketAddr>,
    /// Where the keys are.
    pub keys: KeyPaths,
    /// Without the model of `initial_model`, which [`Settings::run`] adds.
    run: RunSettings,
    /// The file of the model that the run starts from, which only a run that begins needs.
    initial_model: Option<PathBuf>,
}

/// Files of keys and certificates.
#[derive(Clone, Debug)]
pub struct KeyPaths {
    /// Ed25519, signs what the coordinator sends.
    pub signing_key: PathBuf,
    /// Ed25519, signs manifests.
    pub operator_key: PathBuf,
    /// The coordinator's certificate.
    pub tls_certificate: PathBuf,
    /// Its private key.
    pub tls_key: PathBuf,
    /// The federation's authority.
    pub ca_certificate: PathBuf,
    /// Its private key, which a coordinator that admits nobody does not have.
    pub authority_key: PathBuf,
}

impl Settings {
    /// Reads `file`, lays `environment` (all variables; only `MYELIN__SECTION__KEY` are looked at) and then `flags` (pairs such as
    /// `("run.rounds", "4")`) over it, and checks the whole. Relative paths start at the file's folder.
    ///
    /// # Errors
    /// [`SettingsError`] names the key, where it comes from, and what would be right.
    pub fn load(
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(String, String)],
    ) -> Result<Self, SettingsError> {
        let raw: Raw = TEMPLATE.load(file, environment, flags)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let initial_model = StartsFrom::of(&raw.run.initial_model, folder);
        let (hash, initial_model) = match initial_model {
            StartsFrom::Seed => (None, None),
            StartsFrom::Hash(hash) => (Some(hash), None),
            StartsFrom::File(file) => (None, Some(file)),
        };
        Ok(Self {
            listen: raw.listen.parse().map_err(|_| SettingsError::Value {
                key: "listen",
                found: raw.listen.clone(),
                expected: "an IP address and a port, such as 127.0.0.1:7443 or [::]:7443",
            })?,
            public: match raw.public.as_str() {
                "" => raw.listen.clone(),
                public => checked_public(public)?,
            },
            roster: folder.join(raw.roster),
            state: folder.join(raw.state),
            serve_outcomes_secs: whole("serve_outcomes_secs", raw.serve_outcomes_secs)?,
            web: host::web::checked_address(&raw.web.listen).map_err(|expected| {
                SettingsError::Value {
                    key: "web.listen",
                    found: raw.web.listen.clone(),
                    expected,
                }
            })?,
            keys: KeyPaths {
                signing_key: folder.join(raw.keys.signing_key),
                operator_key: folder.join(raw.keys.operator_key),
                tls_certificate: folder.join(raw.keys.tls_certificate),
                tls_key: folder.join(raw.keys.tls_key),
                ca_certificate: folder.join(raw.keys.ca_certificate),
                authority_key: folder.join(raw.keys.authority_key),
            },
            run: RunSettings {
                initial_model: hash,
                ..raw.run.check()?
            },
            initial_model,
        })
    }

    /// What is to be trained. A model to start from that a file holds is read here: a run that was begun goes on without the file.
    ///
    /// # Errors
    /// [`SettingsError::NamedFile`].
    pub fn run(&self) -> Result<RunSettings, SettingsError> {
        let mut run = self.run.clone();
        if let Some(file) = &self.initial_model {
            run.initial_model = Some(initial_model::read(file, &run.manifest())?);
        }
        Ok(run)
    }

    /// What is done with clinical features in the run.
    pub fn conditioning(&self) -> Conditioning {
        self.run.conditioning
    }
}

/// The text of a `coordinator.toml` that listens at `listen`, is reached under `public`, if that differs, and has defaults otherwise,
/// with comments that teach.
pub fn template(listen: SocketAddr, public: Option<&str>) -> String {
    let public = toml::Value::from(public.unwrap_or_default());
    TEMPLATE
        .text
        .replacen(DEFAULT_LISTEN, &listen.to_string(), 1)
        .replacen(DEFAULT_PUBLIC, &format!("public = {public}"), 1)
}

/// As the layers give it, unchecked.
#[derive(Deserialize)]
struct Raw {
    listen: String,
    public: String,
    roster: PathBuf,
    state: PathBuf,
    serve_outcomes_secs: i64,
    web: RawWeb,
    keys: RawKeys,
    run: RawRun,
}

#[derive(Deserialize)]
struct RawWeb {
    listen: String,
}

#[derive(Deserialize)]
struct RawKeys {
    signing_key: PathBuf,
    operator_key: PathBuf,
    tls_certificate: PathBuf,
    tls_key: PathBuf,
    ca_certificate: PathBuf,
    authority_key: PathBuf,
}

/// The host of a `host:port`, as it stands in a certificate.
pub fn host_of(public: &str) -> &str {
    let host = public.rsplit_once(':').map_or(public, |(host, _)| host);
    host.trim_matches(['[', ']'])
}

/// A `host:port`, as people give it.
///
/// # Errors
/// [`SettingsError::Value`].
pub fn checked_public(public: &str) -> Result<String, SettingsError> {
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    match public.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && is_port(port) => Ok(public.to_owned()),
        _ => Err(SettingsError::Value {
            key: "public",
            found: public.to_owned(),
            expected: "host:port, such as coordinator.example.org:7443, or nothing",
        }),
    }
}

const TEMPLATE: Template = Template {
    text: include_str!("coordinator.toml"),
    required: &[],
    paths: &[
        "roster",
        "state",
        "keys.signing_key",
        "keys.operator_key",
        "keys.tls_certificate",
        "keys.tls_key",
        "keys.ca_certificate",
        "keys.authority_key",
        "run.initial_model",
    ],
};
const DEFAULT_LISTEN: &str = "127.0.0.1:7443";
const DEFAULT_PUBLIC: &str = "public = \"\"";

#[cfg(test)]
mod tests;
