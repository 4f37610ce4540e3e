//! The options of a simulation, checked, as typed values.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use coordinator::settings::RunSettings;
use crypto::sealed_sum::HospitalId;
use model::device::{Device, DeviceError};
use model_data::{Contrast, ContrastError, LoadOptions};
use phantom::PhantomSettings;
use protocol::{
    labels::Labels,
    manifest::{Conditioning, ConditioningForm, Keep},
    training_job::SplitKind,
};

use super::{
    fault_plan::{FaultPlan, FaultPlanError},
    options::{ConditioningName, SimulateOptions, UpdatesName},
    partition::{Partition, PartitionError},
    remarks,
};
use crate::{
    cache_folder::slice_cache, logged::LogTargets, phantom_name::PhantomName,
    profile_name::ProfileName,
};

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As the operator would write it. The local steps follow once the data is known.
    pub run: RunSettings,
    /// Number of hospitals.
    pub hospitals: u8,
    /// Where patients come from.
    pub source: DataSource,
    /// What is read of a folder, and which contrasts of the phantom are made.
    pub loading: LoadOptions,
    /// Which hospital has which patients.
    pub partition: Partition,
    /// How each hospital cuts its patients.
    pub split: SplitKind,
    /// The conditioning as it was asked for, for the summary.
    pub conditioning: ConditioningName,
    /// The parameters as they were asked for, for the summary.
    pub profile: ProfileName,
    /// Sealed, or in plaintext.
    pub updates: UpdatesName,
    /// Who vanishes when.
    pub faults: FaultPlan,
    /// Of everything.
    pub seed: u64,
    /// Threads that compute.
    pub threads: usize,
    /// Where the network computes.
    pub device: Device,
    /// The program that trains, if not this one.
    pub trainer_program: Option<PathBuf>,
    /// Where the files go.
    pub out: PathBuf,
    /// What a person should know before it starts.
    pub remarks: Vec<String>,
    /// Whether the baselines are trained, too.
    pub baselines: bool,
    /// `--log`.
    pub log: LogTargets,
    /// The options that were typed when it was begun, without paths.
    pub command_line: String,
}

/// Where patients come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataSource {
    /// Made up.
    Phantom {
        /// Over all hospitals.
        patients: usize,
        /// Of each patient.
        slices: usize,
        /// What its images and features show.
        kind: PhantomName,
    },
    /// A folder of patients.
    Folder(PathBuf),
}

impl Plan {
    /// Checks the options as far as they can be checked before any data is read.
    ///
    /// # Errors
    /// [`PlanError`] names the option and what to do.
    pub fn new(options: &SimulateOptions) -> Result<Self, PlanError> {
        if !(2..=100).contains(&options.hospitals) {
            return Err(PlanError::OutOfRange {
                option: "--hospitals",
                found: options.hospitals.into(),
                least: 2,
                most: 100,
            });
        }
        let counts = [
            ("--rounds", options.rounds, MAX_ROUNDS),
            ("--local-epochs", options.local_epochs, MAX_LOCAL_EPOCHS),
            ("--round-timeout-secs", options.round_timeout_secs, 86_400),
            (
                "--conditioning-every",
                options.conditioning_every,
                MAX_ROUNDS,
            ),
        ];
        for (option, found, most) in counts {
            if !(1..=most).contains(&found) {
                return Err(PlanError::OutOfRange {
                    option,
                    found: found.into(),
                    least: 1,
                    most: most.into(),
                });
            }
        }
        if options.trace.is_some() && options.updates == UpdatesName::Plain {
            return Err(PlanError::TraceWithoutProtocol);
        }
        let faults = FaultPlan::new(options.drop.clone(), options.hospitals, options.rounds)?;
        let threads = threads(options)?;
        let (source, mut remarks) = source(options)?;
        remarks.extend(remarks::of_conditioning(options));
        if let Some(program) = &options.trainer_program {
            if !matches!(source, DataSource::Folder(_)) {
                return Err(PlanError::TrainerWithoutFiles);
            }
            if !program.is_file() {
                return Err(PlanError::NoTrainer {
                    program: program.clone(),
                });
            }
        }
        if options.partition == Partition::Scanner && matches!(source, DataSource::Folder(_)) {
            return Err(PartitionError::NoScanners.into());
        }
        let form = conditioning_form(options)?;
        let out = options
            .out
            .clone()
            .unwrap_or_else(|| default_folder(options, SystemTime::now()));
        check_out(&out)?;
        Ok(Self {
            run: RunSettings {
                name: format!("simulation, seed {}", options.seed),
                task: options.task,
                label_scheme: options.labels,
                conditioning: conditioning(options.conditioning, options.profile),
                conditioning_form: form,
                conditioning_every: options.conditioning_every,
                conditioning_rate: conditioning_rate(options, form)?,
                rounds: options.rounds,
                local_epochs: options.local_epochs,
                strategy: options.strategy,
                seed: options.seed,
                round_timeout_secs: options.round_timeout_secs,
                keep: options.keep,
                early_stop: early_stop(options)?,
                ..RunSettings::default()
            },
            hospitals: options.hospitals,
            source,
            loading: loading(options)?,
            partition: options.partition,
            split: options.split,
            conditioning: options.conditioning,
            profile: options.profile,
            updates: options.updates,
            faults,
            seed: options.seed,
            threads,
            device: Device::find(options.device)?,
            trainer_program: options.trainer_program.clone(),
            out,
            log: options.log.clone().unwrap_or_default(),
            baselines: options.baselines,
            command_line: String::new(),
            remarks,
        })
    }

    /// The classes.
    pub fn labels(&self) -> Labels {
        Labels {
            task: self.run.task,
            scheme: self.run.label_scheme,
        }
    }

    /// `binary` or `multiclass`.
    pub fn task_name(&self) -> &'static str {
        self.run.task.as_str()
    }

    /// `patient` or `slice`.
    pub fn split_name(&self) -> &'static str {
        self.split.name()
    }

    /// The hospitals' numbers.
    pub fn hospital_ids(&self) -> impl ExactSizeIterator<Item = HospitalId> + use<> {
        (1..=self.hospitals).map(|number| HospitalId::new(number).expect("at most 100"))
    }
}

fn conditioning(name: ConditioningName, profile: ProfileName) -> Conditioning {
    match (name, profile) {
        (ConditioningName::Encrypted, ProfileName::Hardened) => Conditioning::EncryptedHardened,
        (ConditioningName::Encrypted, ProfileName::Study) => Conditioning::EncryptedStudy,
        (ConditioningName::Plain, _) => Conditioning::Plain,
        (ConditioningName::None, _) => Conditioning::None,
    }
}

/// That of the study where nothing is conditioned: it has no meaning there.
fn conditioning_form(options: &SimulateOptions) -> Result<ConditioningForm, PlanError> {
    match options.conditioning_form {
        Some(form)
            if options.conditioning == ConditioningName::None
                && form != ConditioningForm::Study =>
        {
            Err(PlanError::FormWithoutConditioning { form })
        }
        form => Ok(form.unwrap_or_default()),
    }
}

fn conditioning_rate(options: &SimulateOptions, form: ConditioningForm) -> Result<f64, PlanError> {
    match options.conditioning_rate {
        Some(rate) if !(0.0..=100.0).contains(&rate) => Err(PlanError::ConditioningRate { rate }),
        rate => Ok(rate.unwrap_or(form.usual_rate())),
    }
}

fn threads(options: &SimulateOptions) -> Result<usize, PlanError> {
    match options.threads {
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        Some(threads @ 1..=1024) => Ok(threads),
        Some(found) => Err(PlanError::OutOfRange {
            option: "--threads",
            found: found as u64,
            least: 1,
            most: 1024,
        }),
    }
}

/// None for 0.
fn early_stop(options: &SimulateOptions) -> Result<Option<NonZeroU32>, PlanError> {
    if options.early_stop > MAX_ROUNDS {
        return Err(PlanError::OutOfRange {
            option: "--early-stop",
            found: options.early_stop.into(),
            least: 0,
            most: MAX_ROUNDS.into(),
        });
    }
    let limit = NonZeroU32::new(options.early_stop);
    match (options.keep, limit) {
        (Keep::Last, Some(_)) => Err(PlanError::EarlyStopWithoutBest),
        _ => Ok(limit),
    }
}

fn source(options: &SimulateOptions) -> Result<(DataSource, Vec<String>), PlanError> {
    if options.data != "phantom" {
        let folder = PathBuf::from(&options.data);
        if !folder.is_dir() {
            return Err(PlanError::NoData { folder });
        }
        let given = [
            ("--patients", options.patients.is_some()),
            ("--slices", options.slices.is_some()),
            ("--phantom", options.phantom.is_some()),
        ];
        let ignored = given.into_iter().filter(|(_, given)| *given);
        let remark = |(option, _)| {
            format!(
                "{option} is for the phantom; every patient and slice of {} is taken",
                folder.display()
            )
        };
        return Ok((
            DataSource::Folder(folder.clone()),
            ignored.map(remark).collect(),
        ));
    }
    let defaults = PhantomSettings::default();
    let patients = options.patients.unwrap_or(defaults.patients);
    let slices = options.slices.unwrap_or(defaults.slices_per_patient);
    for (option, found, least, most) in [
        (
            "--patients",
            patients,
            usize::from(options.hospitals),
            100_000,
        ),
        ("--slices", slices, 1, 512),
    ] {
        if !(least..=most).contains(&found) {
            return Err(PlanError::OutOfRange {
                option,
                found: found as u64,
                least: least as u64,
                most: most as u64,
            });
        }
    }
    let kind = options.phantom.unwrap_or_default();
    let source = DataSource::Phantom {
        patients,
        slices,
        kind,
    };
    Ok((source, Vec::new()))
}

fn loading(options: &SimulateOptions) -> Result<LoadOptions, PlanError> {
    if options.memory_limit_mib == 0 {
        return Err(PlanError::OutOfRange {
            option: "--memory-limit-mib",
            found: 0,
            least: 1,
            most: u64::MAX,
        });
    }
    Ok(LoadOptions {
        contrasts: Contrast::list(&options.contrasts)?,
        strict: options.strict,
        memory_limit_mib: options.memory_limit_mib,
        cache: if options.no_cache {
            None
        } else {
            slice_cache()
        },
        ..LoadOptions::default()
    })
}

/// The folder must be absent or empty: an earlier run is never overwritten.
fn check_out(folder: &Path) -> Result<(), PlanError> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(PlanError::OutNotEmpty {
                folder: folder.to_owned(),
            }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(PlanError::OutUnusable {
            folder: folder.to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// `runs/20261122T161400Z-phantom-binary-seed-1`.
fn default_folder(options: &SimulateOptions, now: SystemTime) -> PathBuf {
    let data = Path::new(&options.data)
        .file_name()
        .map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned());
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    PathBuf::from("runs").join(format!(
        "{}-{data}-{}-seed-{}",
        utc_stamp(seconds),
        options.task,
        options.seed
    ))
}

/// Basic ISO 8601 in UTC; days to a date by Hinnant's `civil_from_days`.
fn utc_stamp(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Options that cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A number outside its range.
    #[error("{option} is {found}; choose a number from {least} to {most}")]
    OutOfRange {
        /// Which option.
        option: &'static str,
        /// What was given.
        found: u64,
        /// The smallest allowed.
        least: u64,
        /// The largest allowed.
        most: u64,
    },
    /// The last model is always a gain on the one before.
    #[error(
        "--early-stop waits for a better round, and --keep last knows none: choose best-loss or best-accuracy"
    )]
    EarlyStopWithoutBest,
    /// Nothing is conditioned that could have a form.
    #[error(
        "--conditioning-form {form} has no meaning with --conditioning none: leave one of them out"
    )]
    FormWithoutConditioning {
        /// What was given.
        form: ConditioningForm,
    },
    /// Without a protocol nobody takes its steps.
    #[error(
        "--trace shows the steps of the protocol, and --updates plain takes none: leave one of them out"
    )]
    TraceWithoutProtocol,
    /// A rate that no manifest can have.
    #[error("--conditioning-rate is {rate}; choose a number from 0 to 100")]
    ConditioningRate {
        /// What was given.
        rate: f64,
    },
    /// Drops that leave too few hospitals, or do not exist.
    #[error(transparent)]
    Faults(#[from] FaultPlanError),
    /// A partition that the data does not allow.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// No device of that name.
    #[error("--device: {0}")]
    Device(#[from] DeviceError),
    /// A program reads files.
    #[error("--trainer-program needs a folder of data: the phantom is in this program's memory")]
    TrainerWithoutFiles,
    /// No such program.
    #[error("--trainer-program {}: there is no such file", program.display())]
    NoTrainer {
        /// What was given.
        program: PathBuf,
    },
    /// No such scans.
    #[error("--contrasts: {0}")]
    Contrasts(#[from] ContrastError),
    /// No such data.
    #[error("--data {}: there is no such folder; give one of patients (MS60 layout, BIDS, DICOM series, or with a manifest.csv), or leave --data out for the phantom", folder.display())]
    NoData {
        /// What was given.
        folder: PathBuf,
    },
    /// The output folder has something in it.
    #[error("--out {}: the folder is not empty; choose another one, or empty it", folder.display())]
    OutNotEmpty {
        /// Which folder.
        folder: PathBuf,
    },
    /// The output folder cannot be looked into.
    #[error("--out {}: {reason}; choose another folder", folder.display())]
    OutUnusable {
        /// Which folder.
        folder: PathBuf,
        /// What the system says.
        reason: String,
    },
}

/// What a vault's default policy accepts.
const MAX_ROUNDS: u32 = 1000;
const MAX_LOCAL_EPOCHS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use protocol::strategy::Strategy;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: SimulateOptions,
    }

    fn options(arguments: &[&str]) -> SimulateOptions {
        let line = ["simulate"].iter().chain(arguments);
        Line::try_parse_from(line)
            .map(|line| line.options)
            .expect("options that parse")
    }

    fn refusal(arguments: &[&str]) -> String {
        Plan::new(&options(arguments))
            .map(|_| ())
            .expect_err("refused")
            .to_string()
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let plan = Plan::new(&options(&[])).expect("playable");
        assert_eq!(plan.remarks, [""; 0]);
        assert_eq!(
            (plan.hospitals, plan.run.rounds, plan.run.local_epochs),
            (3, 8, 2)
        );
        assert_eq!(
            plan.source,
            DataSource::Phantom {
                patients: 120,
                slices: 16,
                kind: PhantomName::Teaching,
            }
        );
        let rare = Plan::new(&options(&["--conditioning-every", "9"]));
        assert_eq!(rare.expect("playable").remarks.len(), 1, "of 8 rounds");
        assert_eq!(plan.run.task, protocol::labels::Task::Binary);
        assert_eq!(plan.split, SplitKind::Patient);
        assert_eq!(plan.run.conditioning, Conditioning::EncryptedHardened);
        assert_eq!(
            (plan.updates, plan.run.round_timeout_secs, plan.seed),
            (UpdatesName::Sealed, 30, 1)
        );
        assert!(plan.out.starts_with("runs"));
    }

    #[test]
    fn the_profile_is_that_of_the_encryption() {
        let study = Plan::new(&options(&["--profile", "study"])).expect("playable");
        assert_eq!(study.run.conditioning, Conditioning::EncryptedStudy);
        let plain = Plan::new(&options(&["--profile", "study", "--conditioning", "plain"]))
            .expect("playable");
        assert_eq!(plain.run.conditioning, Conditioning::Plain);
    }

    #[test]
    fn refusals_name_the_option_and_the_way_out() {
        for (arguments, parts) in [
            (&["--hospitals", "1"][..], &["--hospitals", "2 to 100"][..]),
            (&["--hospitals", "101"], &["--hospitals", "2 to 100"]),
            (&["--rounds", "0"], &["--rounds", "from 1"]),
            (&["--early-stop", "1001"], &["--early-stop", "from 0"]),
            (
                &["--keep", "last", "--early-stop", "2"],
                &["--early-stop", "best-loss"],
            ),
            (&["--patients", "2"], &["--patients", "from 3"]),
            (&["--slices", "0"], &["--slices"]),
            (&["--threads", "0"], &["--threads"]),
            (&["--round-timeout-secs", "0"], &["--round-timeout-secs"]),
            (
                &["--data", "no-such-folder"],
                &["--data no-such-folder", "MS60"],
            ),
            (
                &["--drop", "2@before-upload:1", "--drop", "3@mid-upload:1"],
                &["t = 2", "m_min = 2"],
            ),
            (&["--device", "cuda:4096"], &["--device", "cpu"]),
            (&["--contrasts", "flair,pd"], &["--contrasts", "'pd'", "t2"]),
            (&["--memory-limit-mib", "0"], &["--memory-limit-mib"]),
        ] {
            let refusal = refusal(arguments);
            assert!(parts.iter().all(|part| refusal.contains(part)), "{refusal}");
        }
    }

    #[test]
    fn an_output_folder_with_something_in_it_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("text").to_owned();
        assert!(Plan::new(&options(&["--out", &path])).is_ok());
        std::fs::write(folder.path().join("summary.json"), "{}").expect("written");
        assert!(refusal(&["--out", &path]).contains("not empty"));
    }

    #[test]
    fn strategies_are_read_and_others_refused() {
        assert_eq!(options(&[]).strategy, Strategy::FedAvg);
        for (name, strategy) in [
            ("fedadam", Strategy::FEDADAM),
            ("fedprox:0.5", Strategy::FedProx { mu: 0.5 }),
        ] {
            let plan = Plan::new(&options(&["--strategy", name])).expect("playable");
            assert_eq!(plan.run.manifest().strategy, strategy);
        }
        for name in ["fedsgd", "fedprox", "fedprox:-1", "fedprox:1e3"] {
            let error = Line::try_parse_from(["simulate", "--strategy", name]);
            let error = error.err().expect("refused").to_string();
            assert!(
                error.contains("--strategy") && error.contains("fedprox:0.01"),
                "{error}"
            );
        }
    }

    #[test]
    fn partitions_are_read_and_refused_where_the_data_does_not_tell() {
        let plan = Plan::new(&options(&["--partition", "dirichlet:0.5"])).expect("playable");
        assert_eq!(plan.partition, Partition::Dirichlet { alpha: 0.5 });
        assert_eq!(options(&[]).partition, Partition::Equal);
        let error = Line::try_parse_from(["simulate", "--partition", "dirichlet"]);
        let error = error.err().expect("refused").to_string();
        assert!(
            error.contains("--partition") && error.contains("dirichlet:0.5"),
            "{error}"
        );
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("text");
        let refusal = refusal(&["--data", path, "--partition", "scanner"]);
        assert!(
            refusal.contains("--partition scanner") && refusal.contains("zipf"),
            "{refusal}"
        );
    }

    #[test]
    fn stamps_are_dates() {
        assert_eq!(utc_stamp(0), "19700101T000000Z");
        assert_eq!(utc_stamp(951_782_400 + 3_661), "20000229T010101Z");
        assert_eq!(utc_stamp(1_767_225_599), "20251231T235959Z");
    }
}
