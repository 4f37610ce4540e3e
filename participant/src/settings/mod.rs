//! What a hospital sets: defaults, then `participant.toml`, then the environment, then flags, checked once into typed values.

mod credentials;
mod policy;

use std::{
    fmt::Display,
    net::SocketAddr,
    path::{Path, PathBuf},
};

pub use host::settings::SettingsError;
use host::{participant_file::TEMPLATE, settings::ListSetting, web::checked_address};
use model_data::{
    CacheChoice, Contrast, FeatureSchema, LoadOptions, Scores, SliceChoice, SplitKind,
};
use protocol::{HospitalId, training_job::DeviceChoice};
use serde::Deserialize;

pub use self::credentials::{Credentials, CredentialsError};
use self::policy::RawPolicy;
use crate::{allowance::Allowance, approvals::Approval, vault::policy::Policy};

/// A participant's settings, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// This hospital's number.
    pub hospital: HospitalId,
    /// The roster file.
    pub roster: PathBuf,
    /// The folder of scans and of the clinical table.
    pub data: PathBuf,
    /// Whether anything left out of the data is an error.
    pub strict_data: bool,
    /// How data are read.
    pub reading: ReadingSettings,
    /// The folder of what must survive a restart.
    pub state: PathBuf,
    /// Where the web page is served, if it is.
    pub web: Option<SocketAddr>,
    /// Where the coordinator is.
    pub coordinator: CoordinatorPlace,
    /// Where the keys are.
    pub keys: KeyPaths,
    /// How the hospital trains.
    pub training: TrainingSettings,
    /// The program that does it.
    pub trainer: TrainerSettings,
    /// Which runs it takes part in.
    pub policy: Policy,
    /// Whether somebody here has to agree to each of them.
    pub approval: Approval,
    /// What a run may take of this machine and its network.
    pub allowance: Allowance,
}

/// How a hospital reads its data.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadingSettings {
    /// Which scans of a patient.
    pub contrasts: Vec<Contrast>,
    /// What is read of each row of the clinical table, and may be used in a run.
    pub feature_columns: FeatureSchema,
    /// Most memory for scans on their way and for the slices that stay.
    pub memory_limit_mib: u64,
    /// Whether prepared slices are kept in the state folder.
    pub cache: bool,
}

/// Where a participant finds its coordinator.
#[derive(Clone, Debug, PartialEq)]
pub struct CoordinatorPlace {
    /// `host:port`, over UDP.
    pub address: String,
    /// The name in its certificate.
    pub server_name: String,
}

/// Files of keys and certificates.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyPaths {
    /// Ed25519, signs what the hospital sends.
    pub signing_key: PathBuf,
    /// The hospital's certificate.
    pub tls_certificate: PathBuf,
    /// Its private key.
    pub tls_key: PathBuf,
    /// The federation's authority.
    pub ca_certificate: PathBuf,
}

/// What a hospital decides about its own training; the rest is in the run's manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSettings {
    /// Where the network computes.
    pub device: DeviceChoice,
    /// What stays together when patients are split into training, validation and test.
    pub split: SplitKind,
    /// Of the split.
    pub seed: u64,
    /// Which slices of a scan are used.
    pub slices: SliceChoice,
}

/// How the trainer's program is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainerSettings {
    /// What stands in front of the program: a launcher with its arguments, or nothing.
    pub command: Vec<String>,
    /// How often it is started again over one job before the run is given up.
    pub restarts: u32,
    /// Whether the kernel is asked to keep it from everything but its scans.
    pub confine: bool,
}

impl Settings {
    /// Reads `file`, lays `environment` (all variables; only `MYELIN__SECTION__KEY` are looked at) and then `flags` (pairs such
    /// as `("training.device", "cpu")`) over it, and checks the whole. Relative paths start at the file's folder.
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
        let hospital = u8::try_from(raw.hospital)
            .ok()
            .and_then(HospitalId::new)
            .ok_or_else(|| wrong("hospital", raw.hospital, "a number from 1 to 127"))?;
        let reading = raw.reading.check()?;
        let (policy, approval, allowance) = raw.policy.check(reading.feature_columns.clone())?;
        Ok(Self {
            hospital,
            roster: folder.join(raw.roster),
            data: folder.join(raw.data),
            strict_data: raw.strict_data,
            reading,
            state: folder.join(raw.state),
            web: checked_address(&raw.web.listen)
                .map_err(|expected| wrong("web.listen", &raw.web.listen, expected))?,
            coordinator: raw.coordinator.check()?,
            keys: KeyPaths {
                signing_key: folder.join(raw.keys.signing_key),
                tls_certificate: folder.join(raw.keys.tls_certificate),
                tls_key: folder.join(raw.keys.tls_key),
                ca_certificate: folder.join(raw.keys.ca_certificate),
            },
            training: raw.training.check()?,
            trainer: raw.trainer.check()?,
            policy,
            approval,
            allowance,
        })
    }

    /// What the loader is asked for.
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            contrasts: self.reading.contrasts.clone(),
            slices: self.training.slices,
            features: self.reading.feature_columns.clone(),
            scores: Scores::Needed,
            strict: self.strict_data,
            memory_limit_mib: self.reading.memory_limit_mib,
            cache: self.reading.cache.then(|| CacheChoice {
                folder: self.state.join("slices"),
                // It is this hospital's alone: images that are gone from the data are to be gone from here.
                forget_others: true,
            }),
        }
    }
}

/// As the layers give it, unchecked. Numbers are wide, so that one out of range is reported and not cut to size.
#[derive(Deserialize)]
struct Raw {
    hospital: i64,
    roster: PathBuf,
    data: PathBuf,
    strict_data: bool,
    reading: RawReading,
    state: PathBuf,
    web: RawWeb,
    coordinator: RawCoordinator,
    keys: RawKeys,
    training: RawTraining,
    trainer: RawTrainer,
    policy: RawPolicy,
}

#[derive(Deserialize)]
struct RawWeb {
    listen: String,
}

#[derive(Deserialize)]
struct RawReading {
    contrasts: ListSetting,
    feature_columns: ListSetting,
    memory_limit_mib: i64,
    cache: bool,
}

#[derive(Deserialize)]
struct RawCoordinator {
    address: String,
    server_name: String,
}

#[derive(Deserialize)]
struct RawKeys {
    signing_key: PathBuf,
    tls_certificate: PathBuf,
    tls_key: PathBuf,
    ca_certificate: PathBuf,
}

#[derive(Deserialize)]
struct RawTraining {
    device: String,
    split: String,
    seed: i64,
    slices_per_patient: i64,
}

#[derive(Deserialize)]
struct RawTrainer {
    command: ListSetting,
    restarts: i64,
    confine: bool,
}

impl RawTrainer {
    fn check(self) -> Result<TrainerSettings, SettingsError> {
        let command = match self.command {
            ListSetting::List(words) => words,
            ListSetting::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        };
        if command.iter().any(String::is_empty) {
            let expected =
                "a launcher and its arguments, such as [\"srun\", \"--gres=gpu:1\"], or nothing";
            return Err(wrong("trainer.command", command.join(" "), expected));
        }
        let restarts = u32::try_from(self.restarts).ok();
        Ok(TrainerSettings {
            command,
            restarts: restarts
                .filter(|count| *count <= MAX_RESTARTS)
                .ok_or_else(|| {
                    wrong(
                        "trainer.restarts",
                        self.restarts,
                        "a whole number from 0 to 1000",
                    )
                })?,
            confine: self.confine,
        })
    }
}

impl RawReading {
    fn check(self) -> Result<ReadingSettings, SettingsError> {
        let contrasts = match self.contrasts {
            ListSetting::List(names) => names.join(","),
            ListSetting::Text(text) => text,
        };
        let memory_limit_mib = u64::try_from(self.memory_limit_mib).ok();
        Ok(ReadingSettings {
            feature_columns: self.feature_columns.features("reading.feature_columns")?,
            contrasts: Contrast::list(&contrasts).map_err(|_| {
                let expected = "one or more of flair, t1 and t2, none twice";
                wrong("reading.contrasts", &contrasts, expected)
            })?,
            memory_limit_mib: memory_limit_mib.filter(|mib| *mib > 0).ok_or_else(|| {
                let expected = "a whole number of at least 1";
                wrong("reading.memory_limit_mib", self.memory_limit_mib, expected)
            })?,
            cache: self.cache,
        })
    }
}

impl RawCoordinator {
    fn check(self) -> Result<CoordinatorPlace, SettingsError> {
        let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
        let parts = self.address.rsplit_once(':');
        if !parts.is_some_and(|(host, port)| !host.is_empty() && is_port(port)) {
            return Err(wrong(
                "coordinator.address",
                self.address,
                "host:port, such as coordinator.example:7443",
            ));
        }
        Ok(CoordinatorPlace {
            address: self.address,
            server_name: self.server_name,
        })
    }
}

impl RawTraining {
    fn check(self) -> Result<TrainingSettings, SettingsError> {
        Ok(TrainingSettings {
            device: self
                .device
                .parse()
                .map_err(|_| wrong("training.device", &self.device, "auto, cpu, cuda or cuda:N"))?,
            split: match self.split.as_str() {
                "patient" => SplitKind::Patient,
                "slice" => SplitKind::Slice,
                other => return Err(wrong("training.split", other, "patient or slice")),
            },
            seed: u64::try_from(self.seed)
                .map_err(|_| wrong("training.seed", self.seed, "a whole number of at least 0"))?,
            slices: match usize::try_from(self.slices_per_patient) {
                Ok(0) => SliceChoice::All { drop_empty: true },
                Ok(count @ 1..=MAX_SLICES) => SliceChoice::evenly(count),
                _ => {
                    return Err(wrong(
                        "training.slices_per_patient",
                        self.slices_per_patient,
                        "a whole number from 0 (every slice that shows tissue) to 1000",
                    ));
                }
            },
        })
    }
}

fn wrong(key: &'static str, found: impl Display, expected: &'static str) -> SettingsError {
    SettingsError::Value {
        key,
        found: found.to_string(),
        expected,
    }
}

const MAX_SLICES: usize = 1000;
const MAX_RESTARTS: u32 = 1000;

#[cfg(test)]
mod tests;
