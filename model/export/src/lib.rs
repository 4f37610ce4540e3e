//! A kept model for the tools of others: what this project keeps (`model.safetensors` and its card, `model.json`) goes in; ONNX, a
//! MONAI bundle and a model card of Hugging Face come out. No libtorch.
//!
//! ```text
//!  model.safetensors ─┐                ┌─ onnx           model.onnx
//!                     ├─ KeptModel ────┼─ monai          monai/configs, docs, models, scripts, LICENSE
//!  model.json ────────┘   (checked)    └─ huggingface    huggingface/README.md, model.safetensors, model.json
//! ```
//!
//! Nothing is trained or changed: all of them give the logits of `docs/load_model.py` to 1e-5. What the card does not say is left out,
//! or said to be unknown.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use model_export::{Format, ModelFiles, export};
//!
//! let source = ModelFiles::last_in(Path::new("runs/phantom"));
//! let formats = Format::parse_list("onnx,huggingface")?;
//! for path in export(Path::new("exported"), &source, &formats)? {
//!     eprintln!("written: {}", path.display());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod folder;
mod format;
mod hugging_face;
mod kept_model;
mod licence;
mod monai;
mod onnx;
mod prose;

use std::path::{Path, PathBuf};

pub use folder::WriteError;
pub use format::{Format, UnknownFormat};
pub use kept_model::{FilterSource, KeptModelError, ModelFiles};
pub use licence::{Licence, NoLicence};

use folder::OutputFolder;
use kept_model::KeptModel;

/// Writes the model of `source` into `folder` in each of `formats`, and gives the paths of the files that were written.
///
/// The folder is made where it is missing. Files of the same names are replaced; others are left as they are. Each file is whole or not
/// there.
///
/// # Errors
/// The model or its card cannot be read, does not fit the other, or leaves open how the network makes its filters; a file cannot be
/// written.
pub fn export(
    folder: &Path,
    source: &ModelFiles,
    formats: &[Format],
) -> Result<Vec<PathBuf>, ExportError> {
    let model = KeptModel::read(source)?;
    let mut output = OutputFolder::new(folder);
    for format in formats {
        match format {
            Format::Onnx => output.write("model.onnx", &onnx::encode(&model))?,
            Format::Monai => monai::write(&model, &mut output)?,
            Format::HuggingFace => hugging_face::write(&model, &mut output)?,
        }
    }
    Ok(output.into_written())
}

/// Why a model is not there for another tool.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Of what was kept.
    #[error("the model cannot be exported")]
    Source(#[from] KeptModelError),
    /// Of what was to be written.
    #[error("the exported model cannot be written")]
    Write(#[from] WriteError),
}
