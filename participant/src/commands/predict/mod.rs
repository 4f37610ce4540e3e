//! `participant predict`.

mod scans;
mod told;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use host::{
    failure::Failure, key_files::NamedFile, moment, output::say, settings::environment,
    shown::Format,
};
use model_data::{Contrast, LoadOptions, SliceChoice};
use participant::{
    predict::{Asked, Conditions, KeptModel, ModelPlace, Provenance, Witnesses, predict},
    settings::Settings,
    trainer_program::TrainerProgram,
};
use protocol::training_job::{DeviceChoice, Unwatched};
use results::{AeTitle, Archive, Outputs, PredictedBy, Predictions, write_results};

use self::{scans::Scans, told::Told};
use super::progress::Counted;

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
    /// The model: a file such as model-best.safetensors, whose card lies beside it; a folder with such a file; or the first digits of a
    /// run of this hospital (`participant runs list`).
    #[arg(value_name = "MODEL_OR_RUN")]
    model: PathBuf,

    /// What to look at: a NIfTI or DICOM file, a folder of one patient's DICOM files, or a data folder of any layout that `participant
    /// data check` reads, with or without a table.
    #[arg(value_name = "SCANS", required = true)]
    scans: Vec<PathBuf>,

    /// The folder for the results. It must be empty, or not there yet.
    #[arg(short, long = "out", value_name = "DIR", default_value = "predictions")]
    out: PathBuf,

    /// A clinical table (.csv, .tsv, .xlsx) with the patients' features, where the folder has none.
    #[arg(long, value_name = "FILE")]
    clinical: Option<PathBuf>,

    /// The name of the patient, where SCANS is one file or one patient's folder: the one that the table has. Else it is the name of the
    /// file or folder.
    #[arg(long, value_name = "NAME")]
    patient: Option<String>,

    /// In a folder: the model of the last round, not that of the best.
    #[arg(long)]
    last: bool,

    /// Compute the filters here, without a coordinator. Predictions are always made so; the flag is there for scripts.
    #[arg(long)]
    local: bool,

    /// Which scans of each patient are used: flair, t1, t2, separated by commas. By default those that the model's card names.
    #[arg(long, value_name = "LIST")]
    contrasts: Option<String>,

    /// The number of slices of each scan; 0 means every slice that shows tissue. By default as the model's card says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=1000))]
    slices_per_patient: Option<u16>,

    /// Where the network computes: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,

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

    /// The transcript that the model must be in. By default transcript.jsonl beside the model.
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,

    /// The roster whose hospitals have signed it. By default that of the settings.
    #[arg(long, value_name = "FILE")]
    roster: Option<PathBuf>,

    /// Apply the model although nothing shows where it comes from.
    #[arg(long)]
    unverified: bool,

    /// The settings file, for the state folder, the roster and the trainer. Without it, and with none in this folder, defaults are taken.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The memory limit for scans while they are read.
    #[arg(long, value_name = "MIB", default_value_t = LoadOptions::MEMORY_LIMIT_MIB, value_parser = clap::value_parser!(u64).range(1..))]
    memory_limit_mib: u64,

    /// For people, or a JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Predict {
    /// Reads, predicts, writes, and sends if that is asked for.
    pub fn execute(self) -> Result<(), Failure> {
        let settings = self.settings()?;
        let model = self.model(settings.as_ref().map(|(settings, _)| settings))?;
        let conditions =
            Conditions::of(&model).map_err(|reason| Failure::settings(anyhow!(reason)))?;
        let options = self.options(&model, &conditions)?;
        let scans = Scans::find(
            &self.scans,
            self.clinical.as_deref(),
            self.patient.as_deref(),
            &options,
        )?;
        let mut trainer = scans.open(
            &options,
            self.device,
            settings.as_ref(),
            self.clinical.as_deref(),
        )?;
        let predictions = self.predictions(&model, &conditions, &scans, &mut trainer)?;
        let outputs = Outputs {
            heat: !self.no_heat,
            dicom: self.dicom,
            bids: self.bids,
        };
        let written = write_results(&self.out, &predictions, outputs).map_err(Failure::run)?;
        let sent = match self.archive() {
            Some(archive) => Some(results::store(&written.dicom, &archive).map_err(Failure::run)?),
            None => None,
        };
        let told = Told {
            predictions: &predictions,
            provenance: model.provenance,
            written: &written,
            sent: sent.as_deref(),
        };
        say(match self.format {
            Format::Text => told.text(),
            Format::Json => told.json(),
        });
        Ok(())
    }

    fn archive(&self) -> Option<Archive> {
        let calling = self.calling.clone();
        self.send
            .clone()
            .map(|archive| Archive { calling, ..archive })
    }

    /// With the file that they are from; none where there is none.
    fn settings(&self) -> Result<Option<(Settings, PathBuf)>, Failure> {
        let usual = PathBuf::from("participant.toml");
        let file = match &self.config {
            Some(file) => file.clone(),
            None if usual.is_file() => usual,
            None => return Ok(None),
        };
        let settings = Settings::load(&file, environment(), &[]).map_err(Failure::settings)?;
        Ok(Some((settings, file)))
    }

    fn model(&self, settings: Option<&Settings>) -> Result<KeptModel, Failure> {
        let state = settings.map(|settings| settings.state.as_path());
        let place = ModelPlace::find(&self.model, state, self.last).map_err(Failure::settings)?;
        let beside = place.weights.with_file_name("roster.json");
        let roster = match (&self.roster, settings) {
            (Some(file), _) => Some(("--roster", file)),
            (None, Some(settings)) if settings.roster.is_file() => {
                Some(("roster", &settings.roster))
            }
            // What lies beside the model vouches for nothing if the model is a stranger's; it is named in the answer.
            (None, _) if beside.is_file() => Some(("the roster beside the model", &beside)),
            (None, _) => None,
        };
        let rosters = match roster {
            Some((name, file)) => NamedFile::new(name, file)
                .rosters()
                .map_err(Failure::settings)?,
            None => vec![],
        };
        let witnesses = Witnesses {
            transcript: self.transcript.clone(),
            rosters,
        };
        let model = KeptModel::open(&place, &witnesses).map_err(Failure::settings)?;
        if model.provenance == Provenance::Unknown && !self.unverified {
            return Err(Failure::settings(anyhow!(
                "nothing shows where the model {} comes from: it is in no run of this hospital, and in no transcript that was found. Give the \
                 transcript of its run and the roster of its federation (--transcript FILE --roster FILE), or --unverified if you know it",
                place.weights.display()
            )));
        }
        Ok(model)
    }

    fn options(&self, model: &KeptModel, conditions: &Conditions) -> Result<LoadOptions, Failure> {
        let input = &model.card.input;
        let contrasts = match &self.contrasts {
            Some(list) => Contrast::list(list)
                .map_err(|error| Failure::settings(anyhow!("--contrasts {list}: {error}")))?,
            None => match &input.contrasts {
                Some(contrasts) if !contrasts.is_empty() => contrasts.clone(),
                _ => LoadOptions::default().contrasts,
            },
        };
        let slices = self.slices_per_patient.map(usize::from);
        let slices = slices.or(input.slices_per_scan.map(|count| count as usize));
        Ok(LoadOptions {
            contrasts,
            slices: match slices {
                None | Some(0) => SliceChoice::All { drop_empty: true },
                Some(count) => SliceChoice::evenly(count),
            },
            features: conditions.columns().clone(),
            memory_limit_mib: self.memory_limit_mib,
            ..LoadOptions::default()
        })
    }

    fn predictions(
        &self,
        model: &KeptModel,
        conditions: &Conditions,
        scans: &Scans,
        trainer: &mut TrainerProgram,
    ) -> Result<Predictions, Failure> {
        let slices = trainer.account().slices.to_vec();
        let progress = Counted::new("predicting", "patients");
        let total = scans.patients().len();
        let mut patients = vec![];
        let mut first = 0;
        for (done, entry) in scans.patients().iter().enumerate() {
            progress.show(done, total);
            let end = first + entry.scans.len();
            let of_patient = slices.get(first..end).unwrap_or_default();
            let asked = Asked {
                entry,
                first: u32::try_from(first).unwrap_or(u32::MAX),
                slices: of_patient,
                origins: scans::origins(entry).map_err(Failure::run)?,
            };
            first = end;
            let with_heat = !self.no_heat;
            let said = predict(asked, model, conditions, with_heat, trainer, &mut Unwatched);
            patients.extend(said.map_err(Failure::run)?);
        }
        drop(progress);
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
