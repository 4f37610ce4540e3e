//! `participant evaluate`.

mod scored;
mod unusual;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use host::{failure::Failure, output::say, shown::Format, signals::BetweenWrites};
use model_data::{LoadOptions, Scores};
use participant::{
    predict::{AloneSettings, Conditions, KeptModel, train_alone},
    settings::Settings,
};
use protocol::labels::Labels;

use self::{
    scored::{Compared, Scored},
    unusual::Unusual,
};
use super::{
    applied_model::{ModelArguments, ScanArguments},
    data_set,
    own_test::{OwnTest, listed, own_options, own_patients, predictions},
    predict::{Scans, Wanted, predict_all},
    progress::Counted,
};

/// Scores a kept model on patients whose EDSS is known, and beside it, if asked for, a model that is trained on this hospital's data
/// alone.
///
/// FOR RESEARCH. Not a medical device, not for diagnosis.
///
/// Without FOLDER, the patients are the test patients of this hospital's own data, by the split that the settings name. If patients were
/// added, removed or erased since the run, or the seed was changed, it is another split, and some of them were trained on: the log says so.
/// Nothing leaves this machine.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Evaluate {
    #[command(flatten)]
    model: ModelArguments,

    /// A data folder with a table that has EDSS, of any layout that `participant data check` reads. Patients that a hospital has trained
    /// on would make the result too good.
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,

    /// Train a model on the training patients of this hospital alone, and score it on the same patients.
    #[arg(long)]
    own: bool,

    /// With --own: for how many rounds. By default as many as the card tells: those of the run or, of a hospital's card, up to the round
    /// that the model comes from.
    #[arg(long, value_name = "R", requires = "own", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_ROUNDS)))]
    rounds: Option<u32>,

    #[command(flatten)]
    reading: ScanArguments,

    /// For people, or a JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Evaluate {
    /// Reads, predicts and scores.
    pub fn execute(self) -> Result<(), Failure> {
        let leaves = "no score is told, and nothing was to be written";
        let _ends_with_code_3 = BetweenWrites::listen(leaves).map_err(Failure::run)?;
        let settings = self.model.settings()?;
        let of_hospital = settings.as_ref().map(|(settings, _)| settings);
        let (model, conditions) = self.model.open(of_hospital)?;
        let options = self.options(of_hospital, &model, &conditions)?;
        let labels = Labels {
            task: model.output.task,
            scheme: model.output.labels,
        };
        let settings = settings.as_ref();
        let entries = match (&self.folder, settings) {
            (Some(folder), _) => listed(folder, &options)?,
            (None, Some((settings, _))) => own_patients(settings, &options)?,
            (None, None) => {
                return Err(Failure::settings(anyhow!(
                    "name a FOLDER of patients whose EDSS is known, or the settings of this hospital (--config participant.toml)"
                )));
            }
        };
        // Before the scans are read, which takes long.
        let alone = match settings {
            Some((settings, file)) if self.own => {
                Some(self.train_alone(settings, file, (&model, &conditions), labels)?)
            }
            None if self.own => {
                return Err(Failure::settings(anyhow!(
                    "--own trains on this hospital's data: name its settings (--config participant.toml)"
                )));
            }
            _ => None,
        };
        let scans = Scans::of(entries);
        let place = self.model.place(of_hospital)?;
        let unread = [place.weights.as_path(), &place.card];
        let mut trainer = scans.open(&options, self.reading.device, settings, &unread)?;
        let unseen = match (&self.folder, settings) {
            (None, Some((settings, _))) => {
                let test = OwnTest::of(&scans, &trainer.account().slices, settings, labels)?;
                if let Some(doubt) = test.doubt(&place) {
                    tracing::warn!("{doubt}");
                }
                Some(test.places)
            }
            _ => None,
        };
        let asked = |patient: usize| { unseen.as_ref() }.is_none_or(|test| test.contains(&patient));
        let mut scored = |model: &KeptModel, conditions: &Conditions| {
            let wanted = |patient| asked(patient).then_some(Wanted { heat: false });
            let said = predict_all(model, conditions, &scans, wanted, &mut trainer)?;
            let slices = predictions(&scans, &said, labels)?;
            let scores = Scored::of(slices, &model.output).map_err(Failure::settings)?;
            Ok((scores, Unusual::of(&said)))
        };
        let (common, unusual) = scored(&model, &conditions)?;
        let alone = match alone {
            Some(alone) => {
                let conditions = Conditions::of(&alone, conditions.levels());
                let conditions = conditions.map_err(|reason| Failure::run(anyhow!(reason)))?;
                let (scores, _) = scored(&alone, &conditions)?;
                Some(scores)
            }
            None => None,
        };
        let compared = Compared {
            model: &model,
            common,
            alone,
            is_unseen: unseen.is_some(),
            unusual,
            knows_scanners: conditions.knows_scanners(),
        };
        say(match self.format {
            Format::Text => compared.text(),
            Format::Json => compared.json(),
        });
        Ok(())
    }

    /// Of a folder as the model's card says. Of this hospital's own data as a run reads them: the split depends on it.
    fn options(
        &self,
        settings: Option<&Settings>,
        model: &KeptModel,
        conditions: &Conditions,
    ) -> Result<LoadOptions, Failure> {
        let by_card = self.reading.options(model, conditions)?;
        let (true, Some(settings)) = (self.folder.is_none() || self.own, settings) else {
            return Ok(LoadOptions {
                scores: Scores::Needed,
                ..by_card
            });
        };
        own_options(settings, &by_card).map_err(|failure| match failure {
            Failure::Settings(error) => Failure::Settings(error.context(
                "this hospital's own test patients cannot be scored: name a FOLDER of other patients, without --own",
            )),
            other => other,
        })
    }

    fn train_alone(
        &self,
        settings: &Settings,
        file: &Path,
        (model, conditions): (&KeptModel, &Conditions),
        labels: Labels,
    ) -> Result<KeptModel, Failure> {
        if let Some(folder) = &self.folder
            && lies_in(folder, &settings.data)
        {
            return Err(Failure::settings(anyhow!(
                "--own trains on patients of {}: leave FOLDER out, and the test patients are those that are not trained on",
                folder.display()
            )));
        }
        let mut settings = settings.clone();
        settings.reading.cache = false;
        settings.training.device = self.reading.device;
        settings.reading.feature_columns = conditions.schema();
        let mut read = data_set::read(&settings, file).map_err(data_set::unusable)?;
        let records = read.table.records(labels).map_err(Failure::settings)?;
        let trained = model.card.training.as_ref().map(|training| training.rounds);
        let rounds = self.rounds.or(trained);
        let rounds = rounds.unwrap_or(model.card.learning_round.get());
        let rounds = rounds.clamp(1, MAX_ROUNDS);
        let seed = settings.training.seed;
        let alone = AloneSettings {
            levels: settings.policy.release_levels,
            ..AloneSettings::usual(rounds, labels, model, seed)
        };
        let progress = Counted::new("training on own data", "rounds");
        progress.show(0, rounds as usize);
        let trained = train_alone(model, &records, &alone, &mut read.trainer, |round, _| {
            progress.show(round as usize, rounds as usize);
        });
        drop(progress);
        trained.map_err(Failure::run)
    }
}

fn lies_in(path: &Path, folder: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    let pair = whole(path).zip(whole(folder));
    pair.is_some_and(|(path, folder)| path.starts_with(folder))
}

const MAX_ROUNDS: u32 = 1000;

const HELP: &str = "\
Examples:
  the model of a run on this hospital's own test patients, beside a model of this hospital's data alone
    participant evaluate 1f2e3d --own --config hospital/participant.toml
  a model on another data set
    participant evaluate runs/simulated /srv/other-cohort

Exit codes:
  0  scored
  1  the trainer failed
  2  a flag, setting, model or data set is wrong
  3  a signal stopped the program";
