//! `participant data check` and `participant data template`.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use host::{
    failure::Failure,
    moment,
    output::{place_to_write, say},
    shown::Format,
    signals::BetweenWrites,
};
use model_data::{
    Contrast, ContrastError, Cuts, DataCheck, FeatureError, FeatureSchema, LoadOptions,
    SliceChoice, SplitKind,
};
use protocol::counted::counted;

use super::{
    data_kinds::plain,
    data_overview::Names,
    data_page::{MAX_SHOWN, Page},
    data_report,
    page_file::{PageFile, PageKind},
    progress::Counted,
};

/// Commands about the data set. They need no federation.
#[derive(Args)]
pub struct Data {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Subcommand)]
enum DataCommand {
    Check(Check),
    Template(Template),
}

impl Data {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            DataCommand::Check(check) => check.execute(),
            DataCommand::Template(Template {}) => {
                say(MANIFEST);
                Ok(())
            }
        }
    }
}

/// Reads every scan in a folder and reports patients, slices and classes, and what is missing, in doubt, left out or duplicated.
///
/// Nothing is trained or sent, and nothing is stored but the page of --html. Only counts, patients' IDs, titles of columns, names and
/// dates of series, and file names are printed, no clinical value.
#[derive(Args)]
#[command(after_help = CHECK_HELP)]
struct Check {
    /// The folder (or the manifest), as in the setting `data`: MS60 layout, BIDS, folders of DICOM series, or a folder with a
    /// manifest.csv.
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// For people, or a JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Name every scan, patient and row of a kind of trouble, not only the first.
    #[arg(long, conflicts_with = "json")]
    all: bool,

    /// Also write a page for a browser: the counts, what is left out and why, and prepared slices of up to 24 patients. It holds images of
    /// patients, is for this hospital alone, and has mode 0600. A page of an earlier check is replaced.
    #[arg(long, value_name = "FILE", value_parser = place_to_write())]
    html: Option<PathBuf>,

    /// With --html: name patients, files and series on the page, too.
    #[arg(long, requires = "html")]
    with_ids: bool,

    /// Which scans of each patient are read: flair, t1, t2, separated by commas.
    #[arg(long, value_name = "LIST", default_value = "flair", value_parser = contrasts)]
    contrasts: Contrasts,

    /// The features that a run may use, in the place of the study's nine, separated by semicolons: "age; T2 lesions: 0..100; smoker:
    /// flag". As the setting reading.feature_columns.
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true, value_parser = feature_columns)]
    feature_columns: FeatureSchema,

    /// The number of slices of each scan; 0 means every slice that shows tissue. As the setting training.slices_per_patient.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1000))]
    slices_per_patient: u16,

    /// How a run would split the patients: patient or slice. As the setting training.split.
    #[arg(long, value_name = "SPLIT", default_value = "patient", value_parser = split_kind)]
    split: SplitKind,

    /// The memory limit for scans while they are read.
    #[arg(long, value_name = "MIB", default_value_t = LoadOptions::MEMORY_LIMIT_MIB, value_parser = clap::value_parser!(u64).range(1..))]
    memory_limit_mib: u64,
}

/// Prints a list of patients and images to fill in: manifest.csv, which says what is read whatever else is in the folder.
#[derive(Args)]
#[command(after_help = TEMPLATE_HELP)]
struct Template {}

/// A type of its own: to clap, a `Vec` is an option given several times.
#[derive(Clone)]
struct Contrasts(Vec<Contrast>);

fn contrasts(text: &str) -> Result<Contrasts, ContrastError> {
    Contrast::list(text).map(Contrasts)
}

fn split_kind(text: &str) -> Result<SplitKind, &'static str> {
    match text {
        "patient" => Ok(SplitKind::Patient),
        "slice" => Ok(SplitKind::Slice),
        _ => Err("expected patient or slice"),
    }
}

fn feature_columns(text: &str) -> Result<FeatureSchema, FeatureError> {
    FeatureSchema::parse(&FeatureSchema::split(text))
}

impl Check {
    fn is_json(&self) -> bool {
        self.json || matches!(self.format, Format::Json)
    }

    fn execute(self) -> Result<(), Failure> {
        let leaves = match &self.html {
            Some(path) => format!("nothing is told; {}", PageFile::unwritten(path)),
            None => "nothing is told, and nothing was to be written".to_owned(),
        };
        let signals = BetweenWrites::listen(leaves).map_err(Failure::run)?;
        let page_file = self.html.as_deref();
        let page_file = page_file.map(|path| PageFile::at(path, PageKind::DataCheck));
        let page_file = page_file.transpose()?;
        let options = LoadOptions {
            contrasts: self.contrasts.0.clone(),
            slices: match self.slices_per_patient {
                0 => SliceChoice::All { drop_empty: true },
                count => SliceChoice::evenly(count.into()),
            },
            features: self.feature_columns.clone(),
            memory_limit_mib: self.memory_limit_mib,
            ..LoadOptions::default()
        };
        let cuts = Cuts::AS_WRITTEN;
        let progress = Counted::new("reading", "scans");
        // Somebody who looks at the report alone has no use for lines of a log.
        let on_terminal = io::stderr().is_terminal();
        let most = page_file.as_ref().map_or(0, |_| MAX_SHOWN);
        let read = DataCheck::with_patients(&self.folder, &options, cuts, most, |at| {
            if on_terminal {
                progress.show(at.done, at.scans);
            }
        });
        drop(progress);
        let (check, shown) =
            read.map_err(|error| Failure::Settings(anyhow!(plain(&error.to_string()))))?;
        let check = match check.patients {
            // Of nobody at all there is more to say.
            0 => check,
            _ => check.split_as(self.split),
        };
        if self.is_json() {
            say(data_report::json(&self.folder, &check, cuts));
        } else {
            say(data_report::text(&self.folder, &check, self.all));
        }
        if let Some(file) = page_file {
            let page = Page {
                folder: &self.folder,
                options: &options,
                check: &check,
                split: self.split,
                shown: &shown,
                names: if self.with_ids {
                    Names::Told
                } else {
                    Names::Withheld
                },
            };
            let html = page.html(&moment::now()).map_err(Failure::run)?;
            file.write(&html, &signals)?;
            if !self.is_json() {
                let path = plain(&file.path().display().to_string());
                say(format_args!("{:<22} {path}", "page"));
            }
        }
        judge(&check)
    }
}

/// The end of the command, by what was found.
fn judge(check: &DataCheck) -> Result<(), Failure> {
    if check.patients == 0 {
        let error = anyhow!("no patient has both a usable row in the table and a usable image");
        return Err(Failure::Settings(error));
    }
    match data_report::problems(check) {
        0 => Ok(()),
        count => Err(Failure::Run(anyhow!(
            "{} found; see above",
            counted(count, ["problem", "problems"])
        ))),
    }
}

/// The header of a manifest with every column that is looked for.
const MANIFEST: &str =
    "patient,edss,sex,age,age at onset,co-morbidity,presenting symptom,flair,t1,t2";

const TEMPLATE_HELP: &str = "\
Example:
  participant data template > /srv/mri/manifest.csv
  participant data check /srv/mri

Write a row for each patient, in a spreadsheet program or an editor:
  patient             a name of your choice, once
  edss                0 to 10 in half points, at the time of the images
  sex                 F or M
  age, age at onset   years
  co-morbidity        yes or no
  presenting symptom  motor, sensory, visual, balance, or several of them
  flair, t1, t2       a NIfTI file, a DICOM file or a folder of DICOM files, from the folder of the
                      manifest on; only the contrasts that you use

What is not known is left empty. Columns that you do not have can be taken away, but for patient,
edss and one of the images.";

const CHECK_HELP: &str = "\
Examples:
  participant data check /srv/mri
  participant data check /srv/mri --contrasts flair,t1,t2 --format json > check.json
  participant data check /srv/mri --contrasts flair,t1,t2 --html check.html

Exit codes:
  0  clean: everything can be used, nothing was guessed, and no scan is there twice
  1  problems: something is left out, was guessed or is not understood, the same scan has
     several names, or the patients are too few for a run
  2  the folder cannot be used at all, the page cannot be written, or a flag is wrong
  3  a signal stopped the program

Remarks that leave nothing out do not change the exit code: missing or constant features,
tilted orientations, mixed sizes, a class without a patient.";

#[cfg(test)]
mod tests {
    use model_data::Layout;

    use super::*;

    #[test]
    fn a_template_that_is_filled_in_lacks_no_column() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let row = "A1,2.5,F,34,28,no,visual,a1.nii,,";
        let path = folder.path().join("manifest.csv");
        std::fs::write(path, format!("{MANIFEST}\n{row}\n")).expect("writes");
        std::fs::write(folder.path().join("a1.nii"), "not read here").expect("writes");
        let inventory = Layout::Manifest.inventory(folder.path(), &LoadOptions::default());
        let inventory = inventory.expect("a manifest");
        assert_eq!(inventory.report.warnings, [""; 0]);
        assert_eq!(inventory.report.doubts, []);
        assert!(inventory.entries[0].features.iter().all(Option::is_some));
    }
}
