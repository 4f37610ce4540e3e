//! `participant data check`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use host::{failure::Failure, output::say};
use model_data::{
    Contrast, ContrastError, Cuts, DataCheck, FeatureColumnError, FeatureColumns, LoadOptions,
    SliceChoice,
};

use super::{data_report, progress::ReadingProgress};

/// About the data set, without a federation.
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
    /// Does it.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            DataCommand::Check(check) => check.execute(),
        }
    }
}

/// Read every scan in a folder and say what is found: patients, slices, classes, what is missing, odd, left out or twice.
///
/// Nothing is trained, kept or sent, and no clinical value of anybody is printed: counts, patients' IDs, and names of files.
#[derive(Args)]
#[command(after_help = CHECK_HELP)]
struct Check {
    /// The folder (or manifest), as in the setting `data`: MS60 layout, BIDS, folders of DICOM series, or with a manifest.csv.
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Print a JSON object instead of text.
    #[arg(long)]
    json: bool,

    /// Which scans of each patient: flair, t1, t2, with commas between.
    #[arg(long, value_name = "LIST", default_value = "flair", value_parser = contrasts)]
    contrasts: Contrasts,

    /// Nine columns of the table in place of the standard features, as the setting reading.feature_columns, with semicolons between:
    /// "T2 lesions: 0..100; ..".
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true, value_parser = feature_columns)]
    feature_columns: FeatureColumns,

    /// Count this many slices of a scan, as the setting training.slices_per_patient; 0: every one that shows tissue.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1000))]
    slices_per_patient: u16,

    /// Most memory for scans on their way.
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
        let progress = ReadingProgress::default();
        let check = DataCheck::of(&self.folder, &options, cuts, |at| progress.show(at));
        drop(progress);
        let check = check.map_err(Failure::settings)?;
        if self.json {
            say(data_report::json(&self.folder, &check, cuts));
        } else {
            say(data_report::text(&check));
        }
        if check.patients == 0 {
            let error = anyhow!("there is no patient with both a usable row and a usable image");
            return Err(Failure::Settings(error));
        }
        match data_report::problems(&check) {
            0 => Ok(()),
            1 => Err(Failure::Run(anyhow!("1 problem; see above"))),
            count => Err(Failure::Run(anyhow!("{count} problems; see above"))),
        }
    }
}

const CHECK_HELP: &str = "\
Examples:
  participant data check /srv/mri
  participant data check /srv/mri --contrasts flair,t1,t2 --json > check.json

Exit codes:
  0  clean: everything can be used, and no scan is there twice
  1  problems: something is left out, or the same scan goes by several names
  2  the folder cannot be used at all, or a wrong flag

Oddities that leave nothing out do not change the exit code: missing or constant features,
tilted or unstated orientations, mixed sizes, a class without a patient.";
