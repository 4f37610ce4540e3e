//! The samples a hospital trains or evaluates on, as tensors.

use tch::{Kind, TchError, Tensor};

use crate::device::Device;
use model_data::{IMAGE_SIDE, Patient, Sample, Slice};
use protocol::training_job::PatientValues;

/// Pixels of an image.
const PIXELS: usize = IMAGE_SIDE * IMAGE_SIDE;

/// Images, labels and the patient of each sample of one hospital.
pub struct Dataset {
    /// [n, 1, 128, 128] on the CPU; batches are moved.
    images: Tensor,
    labels: Vec<i64>,
    patients: Vec<usize>,
}

impl Dataset {
    /// Gathers `samples` of `patients`; `label` gives the class of a patient.
    ///
    /// A sample's patient keeps its index in `patients`: what is given of each is supplied in that order.
    ///
    /// # Errors
    /// No sample, a sample that names a patient or slice that is not there, or a slice of another
    /// size than 128 x 128.
    pub fn new(
        patients: &[Patient],
        samples: &[Sample],
        label: impl Fn(&Patient) -> usize,
    ) -> Result<Self, DatasetError> {
        let mut gathered = DatasetBuilder::with_capacity(samples.len());
        for &sample in samples {
            let (patient, pixels) = pixels_of(patients, sample)?;
            gathered.push(pixels, label(patient), sample.patient);
        }
        gathered.finish()
    }

    /// All slices of one patient, whose class is not known: it is patient 0, and its label 0 says nothing.
    ///
    /// # Errors
    /// No slice, or one of another size than 128 x 128.
    pub fn unlabelled(slices: &[Slice]) -> Result<Self, DatasetError> {
        let mut gathered = DatasetBuilder::with_capacity(slices.len());
        for (place, slice) in slices.iter().enumerate() {
            let pixels = slice.pixels.len();
            if pixels != PIXELS {
                let sample = Sample {
                    patient: 0,
                    slice: place,
                };
                return Err(DatasetError::Size { sample, pixels });
            }
            gathered.push(&slice.pixels, 0, 0);
        }
        gathered.finish()
    }

    /// Number of samples, at least one.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a data set without samples cannot be made"
    )]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Class of each sample.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = usize> {
        self.labels.iter().map(|&label| label as usize)
    }

    /// Index of each sample's patient.
    pub fn patients(&self) -> &[usize] {
        &self.patients
    }

    /// The image of one sample: [128 * 128], row by row.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn pixels(&self, index: usize) -> Box<[f32]> {
        let mut pixels = vec![0.0; PIXELS];
        let row = self.images.select(0, index as i64);
        row.copy_data(&mut pixels, PIXELS);
        pixels.into_boxed_slice()
    }

    /// Class of one sample.
    pub(super) fn label(&self, index: usize) -> usize {
        self.labels[index] as usize
    }

    /// Largest class that occurs.
    pub(super) fn highest_label(&self) -> usize {
        self.labels().max().expect("never empty")
    }

    /// Largest patient index that occurs.
    pub(super) fn highest_patient(&self) -> usize {
        *self.patients.iter().max().expect("never empty")
    }

    /// The samples of these indices, on `device`.
    ///
    /// # Errors
    /// No memory there.
    pub(super) fn batch(&self, indices: &[usize], device: Device) -> Result<Batch, TchError> {
        let rows: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
        let labels: Vec<i64> = indices.iter().map(|&index| self.labels[index]).collect();
        let patients: Vec<i64> = indices
            .iter()
            .map(|&index| self.patients[index] as i64)
            .collect();
        let images = self.images.f_index_select(0, &Tensor::from_slice(&rows))?;
        Ok(Batch {
            images: images.f_to(device.0)?,
            labels: Tensor::from_slice(&labels).f_to(device.0)?,
            patients: Tensor::from_slice(&patients).f_to(device.0)?,
        })
    }
}

/// Gathers a [`Dataset`] image by image, in memory that is taken once: 64 KiB a sample.
pub(crate) struct DatasetBuilder {
    images: Tensor,
    labels: Vec<i64>,
    patients: Vec<usize>,
}

impl DatasetBuilder {
    /// For `samples` images.
    pub fn with_capacity(samples: usize) -> Self {
        let side = IMAGE_SIDE as i64;
        let options = (Kind::Float, tch::Device::Cpu);
        Self {
            images: Tensor::empty([samples as i64, 1, side, side], options),
            labels: Vec::with_capacity(samples),
            patients: Vec::with_capacity(samples),
        }
    }

    /// Adds an image of 128 x 128 pixels.
    ///
    /// # Panics
    /// If the image has another size, or there are more than were announced.
    pub fn push(&mut self, pixels: &[f32], label: usize, patient: usize) {
        let mut image = self.images.select(0, self.labels.len() as i64);
        image.copy_(&Tensor::from_slice(pixels).view_as(&image));
        self.labels
            .push(i64::try_from(label).expect("a handful of classes"));
        self.patients.push(patient);
    }

    /// The data set of what was added.
    ///
    /// # Errors
    /// Nothing was.
    pub fn finish(self) -> Result<Dataset, DatasetError> {
        if self.labels.is_empty() {
            return Err(DatasetError::Empty);
        }
        Ok(Dataset {
            images: self.images.narrow(0, 0, self.labels.len() as i64),
            labels: self.labels,
            patients: self.patients,
        })
    }
}

/// The patient and the pixels of a sample, 128 x 128 for certain.
pub(crate) fn pixels_of(
    patients: &[Patient],
    sample: Sample,
) -> Result<(&Patient, &[f32]), DatasetError> {
    let patient = patients.get(sample.patient);
    let slice = patient.and_then(|patient| patient.slices.get(sample.slice));
    let (Some(patient), Some(slice)) = (patient, slice) else {
        return Err(DatasetError::Absent { sample });
    };
    if slice.pixels.len() != PIXELS {
        return Err(DatasetError::Size {
            sample,
            pixels: slice.pixels.len(),
        });
    }
    Ok((patient, &slice.pixels))
}

/// Some samples of a [`Dataset`].
pub(super) struct Batch {
    /// [B, 1, 128, 128], float.
    pub images: Tensor,
    /// `[B]`, 64-bit integers.
    pub labels: Tensor,
    /// `[B]`, 64-bit integers: rows of the table of patients.
    pub patients: Tensor,
}

/// [P, V] from the V values of each patient.
pub(super) fn patient_table(values: &PatientValues, device: Device) -> Result<Tensor, TchError> {
    let width = i64::try_from(values.per_patient()).expect("a handful of values");
    Tensor::from_slice(values.flat())
        .f_view([-1, width])?
        .f_to(device.0)
}

/// Why samples do not make a data set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatasetError {
    /// No samples.
    #[error("no samples to train or evaluate on")]
    Empty,
    /// The patient or the slice does not exist.
    #[error("no slice {} of patient {}", sample.slice, sample.patient)]
    Absent {
        /// What was asked for.
        sample: Sample,
    },
    /// The slice is not 128 x 128.
    #[error("slice {} of patient {} has {pixels} pixels, not 128 x 128", sample.slice, sample.patient)]
    Size {
        /// Which slice.
        sample: Sample,
        /// Pixels it has.
        pixels: usize,
    },
}
