//! `participant export`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use host::{
    failure::Failure,
    output::{place_to_write, say},
    signals::BetweenWrites,
};
use model_export::{Format, Licence, ModelFiles, export};

use super::applied_model::ModelArguments;

/// Writes a kept model for the researcher's tools: ONNX, a MONAI bundle, a model repository as Hugging Face has them.
///
/// FOR RESEARCH. The card goes along and says so. Weights are made of patients' data: who may have them is for the federation to say, and
/// so is their licence.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Export {
    #[command(flatten)]
    model: ModelArguments,

    /// What to write: onnx, monai, huggingface, separated by commas.
    #[arg(long, value_name = "LIST", default_value = "onnx,monai,huggingface")]
    format: String,

    /// The licence of the weights, for the card and all that is made of it: an SPDX expression such as CC-BY-4.0, or words of your own.
    /// By default what the card says; a card that says none stays so, as nobody but those whose data are in the weights can choose one.
    #[arg(long, value_name = "NAME")]
    licence: Option<Licence>,

    /// The folder to write into. Files of the same names are replaced.
    #[arg(short, long = "out", value_name = "DIR", default_value = "export", value_parser = place_to_write())]
    out: PathBuf,
}

impl Export {
    /// Reads the model and writes the files: their paths, a line each, on stdout.
    pub fn execute(self) -> Result<(), Failure> {
        let signals = BetweenWrites::listen("nothing is written").map_err(Failure::run)?;
        let formats = Format::parse_list(&self.format)
            .map_err(|error| Failure::settings(anyhow!("--format {}: {error}", self.format)))?;
        let settings = self.model.settings()?;
        let settings = settings.as_ref().map(|(settings, _)| settings);
        let place = self.model.place(settings)?;
        self.model.open(settings)?;
        let files = ModelFiles {
            weights: place.weights,
            card: place.card,
            filters: None,
            licence: self.licence,
        };
        let written = signals
            .write(
                format!("the files are written into {}", self.out.display()),
                || export(&self.out, &files, &formats),
            )
            .map_err(Failure::run)?;
        for path in written {
            say(path.display());
        }
        Ok(())
    }
}

const HELP: &str = "\
Examples:
  participant export 1f2e3d --config hospital/participant.toml -o for-the-paper
  participant export runs/simulated --format onnx
  participant export 1f2e3d --format huggingface --licence CC-BY-4.0

The graph in model.onnx takes `slices` [n, 1, 128, 128] and, of a model that clinical features condition, `features` [n, features] scaled as
the card says, and gives `logits` and `probabilities`.

Exit codes:
  0  written
  1  the files cannot be written
  2  a flag, model, card, transcript or roster is wrong
  3  a signal stopped the program";
