//! `participant data check`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use host::{failure::Failure, output::say};
use model_data::{
    Contrast, ContrastError, Cuts, DataCheck, FeatureColumnError, FeatureColumns, LoadOptions,
    SliceChoice,
};

use super::{data_report, progress::Counted};

/// Commands about the data set. They need no federation.
#[derive(Args)]
pub struct Data {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Subcommand)]
enum DataCommand {
    Check(Check),
}

impl Data {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            DataCommand::Check(check) => check.execute(),
        }
    }
}

/// Reads every scan in a folder and reports patients, slices and classes, and what is missing, unusual, left out or duplicated.
///
/// Nothing is trained, stored or sent. Only counts, patients' IDs and file names are printed, no clinical value.
#[derive(Args)]
#[command(after_help = CHECK_HELP)]
struct Check {
    /// The folder (or the manifest), as in the setting `data`: MS60 layout, BIDS, folders of DICOM series, or a folder with a
    /// manifest.csv.
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Print a JSON object, for scripts.
    #[arg(long)]
    json: bool,

    /// Which scans of each patient are read: flair, t1, t2, separated by commas.
    #[arg(long, value_name = "LIST", default_value = "flair", value_parser = contrasts)]
    contrasts: Contrasts,

    /// Nine columns of the table that replace the standard features, separated by semicolons: "T2 lesions: 0..100; ...". As the
    /// setting reading.feature_columns.
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true, value_parser = feature_columns)]
    feature_columns: FeatureColumns,

    /// The number of slices of each scan; 0 means every slice that shows tissue. As the setting training.slices_per_patient.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1000))]
    slices_per_patient: u16,

    /// The memory limit for scans while they are read.
    #[arg(long, value_name = "MIB", default_value_t = LoadOptions::MEMORY_LIMIT_MIB, value_parser = clap::value_parser!(u64).range(1..))]
    memory_limit_mib: u64,
}

/// A type of its own: to clap, a `Vec` is an option given several times.
#[derive(Clone)]
struct Contrasts(Vec<Contrast>);

fn contrasts(text: &str) -> Result<Contrasts, ContrastError> {
    Contrast::list(text).map(Contrasts)
}

fn feature_columns(text: &str) -> Result<FeatureColumns, FeatureColumnError> {
    FeatureColumns::parse(&FeatureColumns::list(text))
}

impl Check {
    fn execute(self) -> Result<(), Failure> {
        let options = LoadOptions {
            contrasts: self.contrasts.0,
            slices: match self.slices_per_patient {
                0 => SliceChoice::All { drop_empty: true },
                count => SliceChoice::evenly(count.into()),
            },
            features: self.feature_columns,
            memory_limit_mib: self.memory_limit_mib,
            ..LoadOptions::default()
        };
        let cuts = Cuts::AS_WRITTEN;
        let progress = Counted::new("reading", "scans");
        let check = DataCheck::of(&self.folder, &options, cuts, |at| {
            progress.show(at.done, at.scans)
        });
        drop(progress);
        let check = check.map_err(Failure::settings)?;
        if self.json {
            say(data_report::json(&self.folder, &check, cuts));
        } else {
            say(data_report::text(&check));
        }
        if check.patients == 0 {
            let error = anyhow!("no patient has both a usable row in the table and a usable image");
            return Err(Failure::Settings(error));
        }
        match data_report::problems(&check) {
            0 => Ok(()),
            1 => Err(Failure::Run(anyhow!("1 problem found; see above"))),
            count => Err(Failure::Run(anyhow!("{count} problems found; see above"))),
        }
    }
}

const CHECK_HELP: &str = "\
Examples:
  participant data check /srv/mri
  participant data check /srv/mri --contrasts flair,t1,t2 --json > check.json

Exit codes:
  0  clean: everything can be used, and no scan is there twice
  1  problems: something is left out, or the same scan has several names
  2  the folder cannot be used at all, or a flag is wrong

Remarks that leave nothing out do not change the exit code: missing or constant features,
tilted or unstated orientations, mixed sizes, a class without a patient.";
