//! `participant predict`.

mod scans;
mod told;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use host::{
    failure::Failure,
    moment,
    output::{place_to_write, say},
    shown::Format,
    signals::BetweenWrites,
};
use participant::{
    predict::{Asked, Conditions, KeptModel, Provenance, predict},
    trainer_program::TrainerProgram,
};
use protocol::training_job::Unwatched;
use results::{
    AeTitle, Archive, Outputs, PatientPrediction, PredictedBy, Predictions, write_results,
};

pub use self::scans::{Scans, tell};
use self::told::Told;
use super::{
    applied_model::{ModelArguments, ScanArguments},
    progress::Counted,
};

/// Applies a kept model to scans: the probability of each class for each patient and each slice, and where the model looks.
///
/// FOR RESEARCH. Not a medical device, not for diagnosis, prognosis or treatment of anybody: every file that is written says so.
///
/// The patients need no EDSS. Clinical features come from the table in the folder, or from --clinical; missing ones are filled as in
/// training, with means that the model's card tells. Nothing leaves this machine, and no coordinator is asked: this hospital has both the
/// weight and the features whose product is encrypted in a run, and computes the same filters itself.
///
/// A model is only applied if this hospital has opened it in a run of its own, or if a transcript shows that hospitals of a known roster
/// have signed it.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Predict {
    #[command(flatten)]
    model: ModelArguments,

    /// What to look at: a NIfTI or DICOM file, a folder of one patient's DICOM files, or a data folder of any layout that `participant
    /// data check` reads, with or without a table.
    #[arg(value_name = "SCANS", required = true)]
    scans: Vec<PathBuf>,

    /// The folder for the results. It must be empty, or not there yet.
    #[arg(short, long = "out", value_name = "DIR", default_value = "predictions", value_parser = place_to_write())]
    out: PathBuf,

    /// A clinical table (.csv, .tsv, .xlsx) with the patients' features, where the folder has none.
    #[arg(long, value_name = "FILE")]
    clinical: Option<PathBuf>,

    /// The name of the patient, where SCANS is one file or one patient's folder: the one that the table has. Else it is the name of the
    /// file or folder.
    #[arg(long, value_name = "NAME")]
    patient: Option<String>,

    /// Compute the filters here, without a coordinator. Predictions are always made so; the flag is there for scripts.
    #[arg(long)]
    local: bool,

    /// Make no pictures of where the model looks (Grad-CAM). They are images of patients, and take most of the time.
    #[arg(long)]
    no_heat: bool,

    /// Also write a DICOM structured report (TID 1500) and secondary captures, of patients whose scans are DICOM.
    #[arg(long)]
    dicom: bool,

    /// Also write a derived data set in BIDS.
    #[arg(long)]
    bids: bool,

    /// With --dicom: send the objects to this archive by C-STORE, such as ARCHIVE@10.0.0.7:104. The connection is not encrypted.
    #[arg(long, value_name = "AE@HOST:PORT", requires = "dicom")]
    send: Option<Archive>,

    /// With --send: the name of this program in DICOM, which the archive must know.
    #[arg(long = "as", value_name = "AE", requires = "send", default_value = Archive::CALLING)]
    calling: AeTitle,

    #[command(flatten)]
    reading: ScanArguments,

    /// For people, or a JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Predict {
    /// Reads, predicts, writes, and sends if that is asked for.
    pub fn execute(self) -> Result<(), Failure> {
        let shown = self.out.display();
        let leaves = format!("no prediction is written into {shown}");
        let signals = BetweenWrites::listen(leaves).map_err(Failure::run)?;
        let settings = self.model.settings()?;
        let of_hospital = settings.as_ref().map(|(settings, _)| settings);
        let place = self.model.place(of_hospital)?;
        let (model, conditions) = self.model.open(of_hospital)?;
        let options = self.reading.options(&model, &conditions)?;
        self.check_folder()?;
        let scans = Scans::find(
            &self.scans,
            self.clinical.as_deref(),
            self.patient.as_deref(),
            &options,
        )?;
        let unread: Vec<&Path> = {
            [
                Some(place.weights.as_path()),
                Some(&place.card),
                self.clinical.as_deref(),
            ]
        }
        .into_iter()
        .flatten()
        .collect();
        let mut trainer = scans.open(&options, self.reading.device, settings.as_ref(), &unread)?;
        let predictions = self.predictions(&model, &conditions, &scans, &mut trainer)?;
        let outputs = Outputs {
            heat: !self.no_heat,
            dicom: self.dicom,
            bids: self.bids,
        };
        let written = signals
            .write(self.kept(), || {
                write_results(&self.out, &predictions, outputs)
            })
            .map_err(Failure::run)?;
        let sent = match self.archive() {
            Some(archive) => Some(results::store(&written.dicom, &archive).map_err(Failure::run)?),
            None => None,
        };
        let told = Told {
            predictions: &predictions,
            provenance: model.provenance,
            knows_scanners: conditions.knows_scanners(),
            written: &written,
            sent: sent.as_deref(),
        };
        say(match self.format {
            Format::Text => told.text(),
            Format::Json => told.json(),
        });
        Ok(())
    }

    /// Before the scans are read, which takes long.
    fn check_folder(&self) -> Result<(), Failure> {
        let shown = self.out.display();
        let is_empty = std::fs::read_dir(&self.out).map(|mut entries| entries.next().is_none());
        if !is_empty.unwrap_or(true) {
            return Err(Failure::settings(anyhow!(
                "--out {shown}: the folder is not empty; name another one"
            )));
        }
        let above = self
            .out
            .parent()
            .filter(|above| !above.as_os_str().is_empty());
        if above.is_some_and(|above| !above.is_dir()) {
            return Err(Failure::settings(anyhow!(
                "--out {shown}: the folder above it does not exist"
            )));
        }
        Ok(())
    }

    /// What a signal leaves after the results are written.
    fn kept(&self) -> String {
        let shown = self.out.display();
        let sent = if self.send.is_some() {
            "; not all DICOM objects may have reached the archive"
        } else {
            ""
        };
        format!("all predictions are kept in {shown}{sent}")
    }

    fn archive(&self) -> Option<Archive> {
        let calling = self.calling.clone();
        self.send
            .clone()
            .map(|archive| Archive { calling, ..archive })
    }

    fn predictions(
        &self,
        model: &KeptModel,
        conditions: &Conditions,
        scans: &Scans,
        trainer: &mut TrainerProgram,
    ) -> Result<Predictions, Failure> {
        let wanted = |_| {
            Some(Wanted {
                heat: !self.no_heat,
            })
        };
        let said = predict_all(model, conditions, scans, wanted, trainer)?;
        let patients: Vec<PatientPrediction> = said.into_iter().flatten().collect();
        if patients.is_empty() {
            return Err(Failure::settings(anyhow!(
                "no scan could be used; the log says why"
            )));
        }
        let card = &model.card;
        Ok(Predictions {
            model: PredictedBy {
                model_hash: hex::encode(card.model_hash),
                run: card.run.map(hex::encode),
                learning_round: card.learning_round.get(),
                in_transcript: model.provenance != Provenance::Unknown,
                conditioning: model.conditioning.to_string(),
            },
            classes: model.output.classes.clone(),
            patients,
            made_by: concat!("myelin ", env!("CARGO_PKG_VERSION")).to_owned(),
            date: moment::now(),
        })
    }
}

/// What is asked of a patient.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// Also where the model looks in each slice, which takes most of the time.
    pub heat: bool,
}

/// What a model says of each patient, in the order of the list; none of one whose scans could not be used, or of whom nothing is
/// `wanted`.
///
/// # Errors
/// The trainer cannot do it.
pub fn predict_all(
    model: &KeptModel,
    conditions: &Conditions,
    scans: &Scans,
    wanted: impl Fn(usize) -> Option<Wanted>,
    trainer: &mut TrainerProgram,
) -> Result<Vec<Option<PatientPrediction>>, Failure> {
    let slices = trainer.account().slices.to_vec();
    let progress = Counted::new("predicting", "patients");
    let patients = scans.patients();
    let total = (0..patients.len())
        .filter(|&patient| wanted(patient).is_some())
        .count();
    let mut said = Vec::with_capacity(patients.len());
    let mut first = 0;
    let mut done = 0;
    for (patient, entry) in patients.iter().enumerate() {
        let end = first + entry.scans.len();
        let asked = Asked {
            entry,
            first: u32::try_from(first).unwrap_or(u32::MAX),
            slices: slices.get(first..end).unwrap_or_default(),
            origins: scans::origins(entry),
        };
        first = end;
        let Some(Wanted { heat }) = wanted(patient) else {
            said.push(None);
            continue;
        };
        progress.show(done, total);
        let of_patient = predict(asked, model, conditions, heat, trainer, &mut Unwatched);
        said.push(of_patient.map_err(Failure::run)?);
        done += 1;
    }
    Ok(said)
}

const HELP: &str = "\
Examples:
  the model of the best round of a run of this hospital, on new patients
    participant predict 1f2e3d /srv/new-patients --config hospital/participant.toml -o results
  one patient's DICOM folder, with the features from a table, and DICOM results that are sent to an archive
    participant predict 1f2e3d /srv/dicom/A17 --patient A17 --clinical clinic.csv --dicom --send PACS@10.0.0.7:104
  a model from elsewhere, whose transcript shows who has signed it
    participant predict model.safetensors scan.nii.gz --transcript transcript.jsonl --roster roster.json

Results in DIR, for the owner of the files alone:
  predictions.csv   a line for each patient: class, probability of each class, spread over the slices, what is unusual
  slices.csv        a line for each slice
  predictions.json  all of it, with the model's hash
  heat/             a picture of each slice with its heat map, and the heat of each scan as a NIfTI volume
  dicom/, bids/     with --dicom and --bids

The spread (p_low, p_high) is where 95% of a patient's slices lie. It says nothing of how often the model is right.

Exit codes:
  0  predicted and written, and sent if asked for
  1  the trainer, the results or the sending failed
  2  a flag, model, card, transcript, roster or scan is wrong
  3  a signal stopped the program";
