//! A model as a safetensors file, which opens in Python without this project.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};

use protocol::{codec::little_endian, network::TensorSpec};

use crate::whole_file::write_whole;

/// Larger files hold no model of this network, which has 17 MB.
const MAX_BYTES: u64 = 256 << 20;

/// Writes the values of `flat`, in the order of `layout`, with notes for the header.
///
/// The file is whole or not there, and on disk when this returns.
///
/// # Errors
/// `flat` has another length than `layout`, or the file cannot be written.
pub fn write_safetensors(
    path: &Path,
    layout: &[TensorSpec],
    flat: &[f32],
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let expected: usize = layout.iter().map(TensorSpec::values).sum();
    if flat.len() != expected {
        let found = flat.len();
        return Err(WeightsError::Length { expected, found });
    }
    let bytes = little_endian(flat);
    let mut rest = bytes.as_slice();
    let mut views = Vec::with_capacity(layout.len());
    for spec in layout {
        let (values, after) = rest.split_at(spec.values() * size_of::<f32>());
        rest = after;
        let shape = spec.shape.iter().map(|&side| side as usize).collect();
        let view = TensorView::new(Dtype::F32, shape, values);
        views.push((
            spec.name.0.as_str(),
            view.map_err(|source| broken(path, source))?,
        ));
    }
    let notes = (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect());
    let file = safetensors::serialize(views, notes).map_err(|source| broken(path, source))?;
    write_whole(path, &file).map_err(|source| unusable(path, source))
}

/// The notes in the header of a safetensors file; none if it has none.
///
/// # Errors
/// The file cannot be read, or is not safetensors.
pub fn read_notes(path: &Path) -> Result<BTreeMap<String, String>, WeightsError> {
    WeightsFile::read(path)?.notes()
}

/// Reads what [`write_safetensors`] wrote, flat, in the order of `layout`.
///
/// # Errors
/// The file cannot be read, is not safetensors, or lacks a tensor of the layout in its shape.
pub fn read_safetensors(path: &Path, layout: &[TensorSpec]) -> Result<Vec<f32>, WeightsError> {
    WeightsFile::read(path)?.values(layout)
}

/// The bytes of a safetensors file, read once: what is hashed, copied and taken apart is then the same.
pub struct WeightsFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl WeightsFile {
    /// Reads the file; what is in it is looked at later.
    ///
    /// # Errors
    /// The file cannot be read, or is larger than any model.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let bytes = read_bounded(path)?;
        let path = path.to_owned();
        Ok(Self { path, bytes })
    }

    /// As they are on disk.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The notes in its header; none if it has none.
    ///
    /// # Errors
    /// It is not safetensors.
    pub fn notes(&self) -> Result<BTreeMap<String, String>, WeightsError> {
        let (_, header) =
            SafeTensors::read_metadata(&self.bytes).map_err(|source| broken(&self.path, source))?;
        let notes = header.metadata().clone().unwrap_or_default();
        Ok(notes.into_iter().collect())
    }

    /// Its values, flat, in the order of `layout`.
    ///
    /// # Errors
    /// It is not safetensors, or lacks a tensor of the layout in its shape.
    pub fn values(&self, layout: &[TensorSpec]) -> Result<Vec<f32>, WeightsError> {
        let file =
            SafeTensors::deserialize(&self.bytes).map_err(|source| broken(&self.path, source))?;
        let mut flat = Vec::with_capacity(layout.iter().map(TensorSpec::values).sum());
        for spec in layout {
            let fits = |tensor: &TensorView<'_>| {
                let sides = spec.shape.iter().map(|&side| side as usize);
                tensor.dtype() == Dtype::F32 && sides.eq(tensor.shape().iter().copied())
            };
            let tensor = file.tensor(&spec.name.0).ok().filter(fits);
            let tensor = tensor.ok_or_else(|| WeightsError::Tensor {
                path: self.path.clone(),
                name: spec.name.0.clone(),
            })?;
            let (values, _) = tensor.data().as_chunks();
            flat.extend(values.iter().map(|&value| f32::from_le_bytes(value)));
        }
        Ok(flat)
    }
}

/// Why a model is not on disk, or not one of this network.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The vector has another length than the layout.
    #[error("{found} values for a layout of {expected}")]
    Length {
        /// Values of the layout.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// The file cannot be read or written.
    #[error("cannot read or write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is larger than any model of this network.
    #[error("{} has {length} bytes, more than any model of this network", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        length: u64,
    },
    /// Not a safetensors file.
    #[error("{} is not a usable safetensors file: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SafeTensorError,
    },
    /// A tensor is missing, or has another shape or type.
    #[error("{} has no float32 tensor {name} of the network's shape", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, WeightsError> {
    let length = fs::metadata(path)
        .map_err(|source| unusable(path, source))?
        .len();
    if length > MAX_BYTES {
        let path = path.to_owned();
        return Err(WeightsError::TooLarge { path, length });
    }
    fs::read(path).map_err(|source| unusable(path, source))
}

fn unusable(path: &Path, source: io::Error) -> WeightsError {
    let path = path.to_owned();
    WeightsError::Io { path, source }
}

fn broken(path: &Path, source: SafeTensorError) -> WeightsError {
    let path = path.to_owned();
    WeightsError::Format { path, source }
}

#[cfg(test)]
mod tests {
    use protocol::network::ModelLayout;

    use super::*;

    fn layout(classes: u32) -> Vec<TensorSpec> {
        ModelLayout::hybrid_cnn(classes).tensors.0
    }

    #[test]
    fn a_model_comes_back_as_it_was_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.safetensors");
        let layout = layout(2);
        let values: usize = layout.iter().map(TensorSpec::values).sum();
        let flat: Vec<f32> = (0..values).map(|value| (value as f32).sin()).collect();
        let notes = BTreeMap::from([("task".to_owned(), "binary".to_owned())]);
        write_safetensors(&path, &layout, &flat, &notes).expect("writes");
        assert!(read_safetensors(&path, &layout).expect("reads") == flat);
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 1);

        let bytes = fs::read(&path).expect("reads");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("safetensors");
        assert_eq!(
            header
                .metadata()
                .as_ref()
                .and_then(|notes| notes.get("task")),
            Some(&"binary".to_owned())
        );
        let dense = header.info("dense.weight").expect("named");
        assert_eq!(dense.shape, [512, 8192]);
    }

    #[test]
    fn what_is_not_such_a_model_is_told_apart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.safetensors");
        let two = layout(2);
        let short = write_safetensors(&path, &two, &[0.0; 3], &BTreeMap::new());
        assert!(matches!(short, Err(WeightsError::Length { found: 3, .. })));
        assert!(matches!(
            read_safetensors(&path, &two),
            Err(WeightsError::Io { .. })
        ));
        fs::write(&path, [7; 100]).expect("writes");
        assert!(matches!(
            read_safetensors(&path, &two),
            Err(WeightsError::Format { .. })
        ));
        let flat = vec![0.0; two.iter().map(TensorSpec::values).sum()];
        write_safetensors(&path, &two, &flat, &BTreeMap::new()).expect("writes");
        let three = read_safetensors(&path, &layout(3)).expect_err("another classifier");
        assert!(three.to_string().contains("classifier.bias"));
        let nowhere = folder.path().join("absent").join("model.safetensors");
        let error = write_safetensors(&nowhere, &two, &flat, &BTreeMap::new());
        assert!(matches!(error, Err(WeightsError::Io { .. })));
    }
}
