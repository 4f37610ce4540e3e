//! Finds the model that a run starts from among those that the state folder keeps: of earlier runs, or put there by hand.
//!
//! A file is known by its values alone. What its name, its card or its header say is not believed.

use std::path::{Path, PathBuf};

use model_data::weights::{WeightsError, read_safetensors};
use protocol::{
    digests::WeightsHash, kept_model::weights_hash, manifest::Manifest, network::ModelLayout,
};

/// No file of the state folder holds these values.
#[derive(Debug, thiserror::Error)]
#[error(
    "the run starts from the kept model whose weights_hash is {}; {} in {} (initial, runs and the folder itself){}. Copy its .safetensors file into {}",
    hex::encode(weights),
    NoneOf(*models),
    folder.display(),
    Unusable(unusable),
    folder.join(INITIAL).display()
)]
pub struct InitialModelMissing {
    /// H of the values that are wanted.
    pub weights: WeightsHash,
    /// The state folder.
    pub folder: PathBuf,
    /// How many models of the network there are.
    pub models: usize,
    /// Files that are damaged, or of another network.
    pub unusable: Vec<WeightsError>,
}

/// How many models are not the one.
struct NoneOf(usize);

impl std::fmt::Display for NoneOf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => write!(formatter, "there is no model of this network"),
            1 => write!(formatter, "it is not the one model of this network"),
            models => write!(
                formatter,
                "it is none of the {models} models of this network"
            ),
        }
    }
}

/// The files that were no help, for people.
struct Unusable<'a>(&'a [WeightsError]);

impl std::fmt::Display for Unusable<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0
            .iter()
            .try_for_each(|error| write!(formatter, "; {error}"))
    }
}

/// What a hospital lacks to join a run at its beginning: the model that the run starts from; none where it has it or the run starts from
/// none.
pub fn missing_initial_model(manifest: &Manifest, state: &Path) -> Option<InitialModelMissing> {
    let weights = manifest.initial_model.as_ref()?;
    find(state, &manifest.layout, weights).err()
}

/// The values of this hash, in the order of the layout: looked for in `initial`, then among the runs, then in the folder itself.
pub(super) fn find(
    state: &Path,
    layout: &ModelLayout,
    weights: &WeightsHash,
) -> Result<Vec<f32>, InitialModelMissing> {
    let mut missing = InitialModelMissing {
        weights: *weights,
        folder: state.to_owned(),
        models: 0,
        unusable: Vec::new(),
    };
    let runs = entries(&state.join(super::model_files::RUNS));
    let folders = [state.join(INITIAL)].into_iter().chain(runs);
    for file in folders
        .chain([state.to_owned()])
        .flat_map(|folder| entries(&folder))
    {
        if file
            .extension()
            .is_none_or(|ending| ending != "safetensors")
        {
            continue;
        }
        match read_safetensors(&file, &layout.tensors) {
            Ok(values) if weights_hash(layout, &values) == *weights => return Ok(values),
            Ok(_) => missing.models += 1,
            Err(error) => missing.unusable.push(error),
        }
    }
    Err(missing)
}

/// What is in a folder, sorted; nothing where there is none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Where people put models of other places.
const INITIAL: &str = "initial";

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use model_data::weights::write_safetensors;

    use super::*;

    fn layout(classes: u32) -> ModelLayout {
        ModelLayout::hybrid_cnn(classes)
    }

    fn write(path: &Path, layout: &ModelLayout, seed: u8) -> Vec<f32> {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let values = layout.initial_values(&[seed; 32]);
        write_safetensors(path, &layout.tensors, &values, &BTreeMap::new()).expect("written");
        values
    }

    #[test]
    fn a_model_is_found_by_its_values_wherever_it_lies_and_whatever_its_name() {
        for place in [
            "initial/from elsewhere.safetensors",
            "runs/0011223344556677/model-best.safetensors",
            "model.safetensors",
        ] {
            let state = tempfile::tempdir().expect("a folder");
            let layout = layout(2);
            write(&state.path().join("runs/ff/model.safetensors"), &layout, 1);
            let values = write(&state.path().join(place), &layout, 2);
            let weights = weights_hash(&layout, &values);
            let found = find(state.path(), &layout, &weights);
            assert!(found.is_ok_and(|found| found == values), "{place}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_folder_and_the_remedy_and_files_that_were_no_help() {
        let state = tempfile::tempdir().expect("a folder");
        let two = layout(2);
        let values = write(&state.path().join("model.safetensors"), &two, 1);
        let weights = WeightsHash::from_bytes([7; 32]);
        let damaged = state.path().join("initial/damaged.safetensors");
        write(&damaged, &two, 2);
        let bytes = fs::read(&damaged).expect("there");
        fs::write(&damaged, &bytes[..bytes.len() / 2]).expect("cut off");
        let other = state.path().join("runs/ff/model.safetensors");
        write(&other, &layout(3), 1);
        let missing = find(state.path(), &two, &weights).expect_err("not there");
        assert_eq!((missing.models, missing.unusable.len()), (1, 2));
        let text = missing.to_string();
        let remedy = format!(
            "Copy its .safetensors file into {}",
            state.path().join("initial").display()
        );
        for part in [
            &"07".repeat(32),
            &damaged.display().to_string(),
            &other.display().to_string(),
            &remedy,
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        // One flipped bit is another model.
        let path = state.path().join("model.safetensors");
        let mut bytes = fs::read(&path).expect("there");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).expect("written");
        assert!(find(state.path(), &two, &weights_hash(&two, &values)).is_err());
    }

    #[test]
    fn a_folder_that_does_not_exist_has_no_models() {
        let nowhere = Path::new("/nonexistent");
        let missing = find(nowhere, &layout(2), &[1; 32].into()).expect_err("nothing there");
        assert_eq!((missing.models, missing.unusable.len()), (0, 0));
    }
}
