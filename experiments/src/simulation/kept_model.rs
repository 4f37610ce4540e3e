//! A common model of an unfinished simulation on disk: the best so far, and the last.

use std::{fs, io, path::Path};

use model_data::whole_file::write_whole;
use protocol::{codec, common_model::CommonModel, digests::LearningRound, manifest::Manifest};

/// What the hash of a model covers beside what follows from the manifest.
type Parts = (LearningRound, Vec<f32>, Vec<Vec<f32>>, Vec<f64>, u32);

/// Keeps the model of a learning round, synced, in the place of one of another round.
///
/// # Errors
/// What the system says.
pub fn keep_model(path: &Path, round: LearningRound, model: &CommonModel) -> io::Result<()> {
    let moments = model.moments().into_iter().map(<[f32]>::to_vec).collect();
    let parts: Parts = (
        round,
        model.values().to_vec(),
        moments,
        model.clips().to_vec(),
        model.null_steps(),
    );
    write_whole(path, &codec::encode(&parts))
}

/// The model that was kept, with its learning round; none where there is none.
///
/// # Errors
/// What the system says; a file that holds no model of this run.
pub fn kept_model(
    path: &Path,
    manifest: &Manifest,
) -> io::Result<Option<(LearningRound, CommonModel)>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let parts: Result<Parts, _> = codec::decode(&bytes);
    let (round, values, moments, clips, null_steps) = parts.map_err(io::Error::other)?;
    let model = CommonModel::restored(manifest, values, moments, clips, null_steps);
    let model = model.ok_or_else(|| io::Error::other("it is of another network"))?;
    Ok(Some((round, model)))
}
