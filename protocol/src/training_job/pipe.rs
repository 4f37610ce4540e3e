//! Frames between a participant and its trainer: a length of four bytes, little-endian, then [`PIPE_VERSION`], then a message of fixed
//! width and little-endian: a [`List`] behind a count of four bytes, a vector of numbers behind one of eight.
//!
//! ```text
//! participant                         trainer
//!                    <- Hello
//! Patients .. ->                      where one frame does not hold all of them
//! Open ->
//!                    <- Reading ..    a scan after another
//!                    <- Opened        or Unusable, which ends the trainer
//! Train ->
//!                    <- Step ..
//!                    <- Trained       or Failed
//! Evaluate ->
//!                    <- Step ..
//!                    <- Evaluated     or Failed
//! Heat ->
//!                    <- Heated        or Failed
//! Predict ->                          of scans that were listed without scores, and of nothing else
//!                    <- Step ..
//!                    <- Predicted     or Failed
//! (the pipe closes: the trainer ends)
//! ```
//!
//! Every job has a number, which its steps and its answer repeat: an answer that comes twice is none to the next job.
//!
//! Frames hold what is released of each patient, as confidential as the clinical features, and slices of patients. Their buffers are erased when dropped; what the operating
//! system holds of a pipe is not ours to erase.

use std::{
    fmt,
    io::{self, Read, Write},
};

use zeroize::Zeroizing;

use super::{
    DataSet, EvaluateRequest, EvaluatedCounts, HeatRequest, HeatedSlices, PatientScans,
    PredictRequest, PredictedSlices, ReadingAccount, ScanPaths, TrainRequest, TrainedUpdate,
};
use crate::codec::{self, CodecError, Decode, Encode, List, MAX_MESSAGE_BYTES, Text};

/// Both ends of the pipe are of one release; another version says that they are not.
pub const PIPE_VERSION: u8 = 5;

/// Tells the jobs of one participant apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct JobNumber(u64);

impl JobNumber {
    /// The number of the job after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for JobNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// From the participant.
#[derive(Encode, Decode)]
pub enum ToTrainer {
    /// The next patients of the list. Before [`ToTrainer::Open`], as often as it takes.
    Patients(List<PatientScans>),
    /// The last patients of the list, and what to do with all of them: read their scans. Once, before any job.
    Open(DataSet),
    /// Train a round.
    Train(JobNumber, TrainRequest),
    /// Evaluate the common model.
    Evaluate(JobNumber, EvaluateRequest),
    /// Look where the common model looks.
    Heat(JobNumber, HeatRequest),
    /// Apply a kept model to one patient's slices.
    Predict(JobNumber, PredictRequest),
}

/// From the trainer.
#[derive(Clone, Encode, Decode)]
pub enum FromTrainer {
    /// The trainer has started.
    Hello {
        /// Its release.
        release: Text,
    },
    /// A scan has been read, or found to be unusable.
    Reading {
        /// Scans done.
        done: u64,
        /// Scans in all.
        scans: u64,
    },
    /// The data set has been read.
    Opened(ReadingAccount),
    /// The data set cannot be used.
    Unusable(Unusable),
    /// A step of a job was done.
    Step {
        /// Of which job.
        job: JobNumber,
        /// Steps done.
        done: u64,
        /// Steps in all.
        total: u64,
    },
    /// The answer to [`ToTrainer::Train`].
    Trained(JobNumber, TrainedUpdate),
    /// The answer to [`ToTrainer::Evaluate`].
    Evaluated(JobNumber, EvaluatedCounts),
    /// The answer to [`ToTrainer::Heat`].
    Heated(JobNumber, HeatedSlices),
    /// The answer to [`ToTrainer::Predict`].
    Predicted(JobNumber, PredictedSlices),
    /// The job cannot be done, and could not be done a second time.
    Failed(JobNumber, Text),
}

impl FromTrainer {
    /// What it is, for errors about one that was not expected.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "Hello",
            Self::Reading { .. } => "Reading",
            Self::Opened(_) => "Opened",
            Self::Unusable(_) => "Unusable",
            Self::Step { .. } => "Step",
            Self::Trained(..) => "Trained",
            Self::Evaluated(..) => "Evaluated",
            Self::Heated(..) => "Heated",
            Self::Predicted(..) => "Predicted",
            Self::Failed(..) => "Failed",
        }
    }

    /// The job that it is about, if it is about one.
    pub fn job(&self) -> Option<JobNumber> {
        match self {
            Self::Step { job, .. }
            | Self::Trained(job, _)
            | Self::Evaluated(job, _)
            | Self::Heated(job, _)
            | Self::Predicted(job, _)
            | Self::Failed(job, _) => Some(*job),
            Self::Hello { .. } | Self::Reading { .. } | Self::Opened(_) | Self::Unusable(_) => None,
        }
    }
}

/// Why a trainer cannot work with what it was given; trying again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Unusable {
    /// There is no such device.
    #[error("{}", .0.0)]
    Device(Text),
    /// The scans cannot be read within the limits.
    #[error("{}", .0.0)]
    Scans(Text),
}

/// Why no message came or went.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// The pipe is broken.
    #[error("the pipe between participant and trainer is broken")]
    Io(#[from] io::Error),
    /// A length that no message has.
    #[error(
        "a frame of {length} bytes, where at most {MAX_FRAME_BYTES} are allowed and 1 is needed"
    )]
    Length {
        /// What the frame announces, or would have.
        length: u64,
    },
    /// The paths of one patient's files are too long together.
    #[error(
        "the paths of the files of patient {number} of the list take {bytes} bytes, where at most {MAX_PATIENT_BYTES} can be sent \
         to the trainer: move the data to a folder with a shorter path, or take files out that are not scans"
    )]
    Patient {
        /// From 1, in the order of the list.
        number: usize,
        /// What they take.
        bytes: usize,
    },
    /// The pipe ended within a frame.
    #[error("the pipe ended within a frame: {found} of {expected} bytes")]
    CutShort {
        /// Bytes that came.
        found: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// The other end is of another release.
    #[error(
        "participant and trainer are of different releases (version {found} of the pipe, where {PIPE_VERSION} is expected): \
         install both from one build"
    )]
    Version {
        /// The version byte.
        found: u8,
    },
    /// Not a message.
    #[error(transparent)]
    Message(#[from] CodecError),
}

/// The frame of a message, as [`write_frame`] takes it.
///
/// # Errors
/// [`PipeError::Length`].
pub fn frame<T: Encode>(message: &T) -> Result<Zeroizing<Vec<u8>>, PipeError> {
    let frame = codec::encode_secret(&(PIPE_VERSION, message));
    checked_length(&frame)?;
    Ok(frame)
}

/// The frames that open a data set: as many as its patients take, [`ToTrainer::Open`] last.
///
/// # Errors
/// [`PipeError::Patient`] for one whose files alone are more than a frame holds; [`PipeError::Length`].
pub fn opening(data_set: DataSet) -> Result<Vec<Zeroizing<Vec<u8>>>, PipeError> {
    opening_in(data_set, PATIENTS_BYTES)
}

fn opening_in(
    mut data_set: DataSet,
    frame_bytes: usize,
) -> Result<Vec<Zeroizing<Vec<u8>>>, PipeError> {
    let mut frames = Vec::new();
    let (mut gathered, mut bytes) = (Vec::new(), 0);
    for (place, patient) in std::mem::take(&mut data_set.patients.0)
        .into_iter()
        .enumerate()
    {
        let more = bytes_of_patient(&patient);
        if more > MAX_PATIENT_BYTES {
            return Err(PipeError::Patient {
                number: place + 1,
                bytes: more,
            });
        }
        if bytes + more > frame_bytes && !gathered.is_empty() {
            let patients = List(std::mem::take(&mut gathered));
            frames.push(frame(&ToTrainer::Patients(patients))?);
            bytes = 0;
        }
        bytes += more;
        gathered.push(patient);
    }
    data_set.patients = List(gathered);
    frames.push(frame(&ToTrainer::Open(data_set))?);
    Ok(frames)
}

/// No less than a patient takes in a frame.
fn bytes_of_patient(patient: &PatientScans) -> usize {
    let files = patient.scans.iter().flat_map(|scan| match scan {
        ScanPaths::Nifti(path) => std::slice::from_ref(path),
        ScanPaths::Dicom(paths) => paths.as_slice(),
    });
    let files: usize = files.map(|path| path.0.as_os_str().len() + 4).sum();
    files + 16 * patient.scans.len() + 17
}

fn checked_length(frame: &[u8]) -> Result<u32, PipeError> {
    let length = u32::try_from(frame.len()).ok();
    length
        .filter(|_| (1..=MAX_FRAME_BYTES).contains(&frame.len()))
        .ok_or(PipeError::Length {
            length: frame.len() as u64,
        })
}

/// Writes a frame and flushes.
///
/// # Errors
/// [`PipeError::Length`] before anything is written; [`PipeError::Io`].
pub fn write_frame(writer: &mut impl Write, frame: &[u8]) -> Result<(), PipeError> {
    let length = checked_length(frame)?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(frame)?;
    Ok(writer.flush()?)
}

/// Reads a message; `None` when the pipe has ended between two.
///
/// # Errors
/// [`PipeError`]. The length is checked before memory is taken, and memory grows with what arrives.
pub fn read_message<T: Decode<()>>(reader: &mut impl Read) -> Result<Option<T>, PipeError> {
    let mut length = [0; 4];
    match fill(reader, &mut length)? {
        0 => return Ok(None),
        4 => {}
        found => {
            return Err(PipeError::CutShort {
                found: found as u64,
                expected: 4,
            });
        }
    }
    let length = u64::from(u32::from_le_bytes(length));
    if !(1..=MAX_FRAME_BYTES as u64).contains(&length) {
        return Err(PipeError::Length { length });
    }
    let expected = usize::try_from(length).map_err(|_| PipeError::Length { length })?;
    let frame = fill_erased(reader, expected)?;
    if frame.len() != expected {
        return Err(PipeError::CutShort {
            found: frame.len() as u64,
            expected: length,
        });
    }
    match frame.split_first() {
        Some((&PIPE_VERSION, message)) => Ok(Some(codec::decode(message)?)),
        Some((&found, _)) => Err(PipeError::Version { found }),
        None => Err(PipeError::Length { length: 0 }),
    }
}

/// As [`Read::read_exact`], but tells how much there was.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Up to `length` bytes, fewer where the pipe ends. Memory grows with what arrives, and a buffer that has become too small is erased.
fn fill_erased(reader: &mut impl Read, length: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    while bytes.len() < length {
        let filled = bytes.len();
        let room = (2 * filled).max(FIRST_READ_BYTES).min(length);
        let mut larger = Zeroizing::new(vec![0; room]);
        larger[..filled].copy_from_slice(&bytes);
        let read = fill(reader, &mut larger[filled..])?;
        larger.truncate(filled + read);
        bytes = larger;
        if filled + read < room {
            break;
        }
    }
    Ok(bytes)
}

/// A message and its version byte.
const MAX_FRAME_BYTES: usize = MAX_MESSAGE_BYTES + 1;
/// A frame of patients ends when it has about as much; the paths of a hundred thousand files.
const PATIENTS_BYTES: usize = 8 << 20;
/// Leaves room for what else [`ToTrainer::Open`] holds.
const MAX_PATIENT_BYTES: usize = MAX_MESSAGE_BYTES - (1 << 20);
const FIRST_READ_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        codec::List,
        labels::Edss,
        manifest::testing::manifest,
        training_job::{
            DeviceChoice, FilePath, PatientScans, ScanPaths, SliceCacheFolder, SliceChoice,
            SplitKind, SplitPlan, TrainingPlan,
        },
    };

    fn bytes_of<T: Encode>(message: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &frame(message).expect("short")).expect("memory");
        bytes
    }

    fn data_set() -> DataSet {
        DataSet {
            patients: List(vec![PatientScans {
                edss: Edss::new(3.5),
                scans: List(vec![
                    ScanPaths::Nifti(FilePath("/data/a.nii.gz".into())),
                    ScanPaths::Dicom(List(vec![FilePath("/data/b".into())])),
                ]),
            }]),
            slices: SliceChoice::evenly(3),
            memory_limit_mib: 5,
            cache: Some(SliceCacheFolder {
                folder: FilePath("/cache".into()),
                forget_others: true,
            }),
            split: SplitPlan {
                kind: SplitKind::Slice,
                seed: 9,
            },
            device: DeviceChoice::Cuda(1),
            confine: true,
            kept_out: List(vec![FilePath("/state".into())]),
        }
    }

    #[test]
    fn messages_arrive_as_they_were_sent_one_after_another() {
        let request = || TrainRequest {
            round: 3.into(),
            model: vec![0.5, f32::NEG_INFINITY],
            inputs: Some(crate::training_job::PatientValues::from(vec![[0.25; 9]]).into()),
            class_weights: vec![1.0, 2.0],
            seed: [2; 32],
            plan: TrainingPlan::of(&manifest()),
        };
        let mut bytes = bytes_of(&ToTrainer::Open(data_set()));
        bytes.extend(bytes_of(&ToTrainer::Train(JobNumber(7), request())));
        let mut reader = bytes.as_slice();
        let first = read_message(&mut reader).expect("a message");
        assert!(matches!(first, Some(ToTrainer::Open(found)) if found == data_set()));
        let second = read_message(&mut reader).expect("a message");
        assert!(
            matches!(second, Some(ToTrainer::Train(JobNumber(7), found)) if found == request())
        );
        let end = read_message::<ToTrainer>(&mut reader).expect("the end");
        assert!(end.is_none());
    }

    #[test]
    fn lengths_versions_and_endings_that_are_wrong_are_told_apart() {
        let whole = bytes_of(&FromTrainer::Failed(JobNumber(1), "no".into()));
        for cut in 1..whole.len() {
            let error = read_message::<FromTrainer>(&mut &whole[..cut]).err();
            assert!(matches!(error, Some(PipeError::CutShort { .. })), "{cut}");
        }
        for length in [0, u32::MAX, MAX_FRAME_BYTES as u32 + 1] {
            let error = read_message::<FromTrainer>(&mut length.to_le_bytes().as_slice()).err();
            assert!(matches!(error, Some(PipeError::Length { .. })), "{length}");
        }
        let mut other = whole.clone();
        other[4] = PIPE_VERSION + 1;
        let error = read_message::<FromTrainer>(&mut other.as_slice());
        let error = error.err().expect("refused");
        assert!(error.to_string().contains("different releases"), "{error}");
        let long = vec![0; MAX_FRAME_BYTES + 1];
        let error = write_frame(&mut Vec::new(), &long).err();
        assert!(matches!(error, Some(PipeError::Length { .. })));
    }

    #[test]
    fn a_list_that_is_too_long_for_one_frame_arrives_in_several() {
        let mut listed = data_set();
        let patient = listed.patients[0].clone();
        let patients: List<PatientScans> = std::iter::repeat_n(patient, 5).collect();
        listed.patients = patients.clone();
        assert_eq!(opening(listed.clone()).expect("short").len(), 1);
        let frames = opening_in(listed, 2 * bytes_of_patient(&patients[0])).expect("short");
        assert_eq!(frames.len(), 3);
        let mut arrived = Vec::new();
        for frame in frames {
            let mut bytes = Vec::new();
            write_frame(&mut bytes, &frame).expect("memory");
            match read_message(&mut bytes.as_slice()).expect("a message") {
                Some(ToTrainer::Patients(some)) => arrived.extend(some.0),
                Some(ToTrainer::Open(last)) => arrived.extend(last.patients.0),
                _ => panic!("nothing else is sent"),
            }
        }
        assert_eq!(arrived, patients.0);
    }

    #[test]
    fn a_patient_of_too_many_files_is_refused_by_number_and_with_the_remedy() {
        let mut listed = data_set();
        let path = FilePath("/a/rather/long/path/".repeat(200).into());
        let files = std::iter::repeat_n(path, MAX_PATIENT_BYTES / 4000).collect();
        listed.patients.0[0].scans.0[1] = ScanPaths::Dicom(files);
        let error = opening(listed).expect_err("refused").to_string();
        assert!(
            error.contains("patient 1") && error.contains("shorter path"),
            "{error}"
        );
    }

    #[test]
    fn no_patient_takes_more_than_is_reckoned() {
        let patient = &data_set().patients[0];
        assert!(codec::encode(patient).len() <= bytes_of_patient(patient));
    }

    #[test]
    fn a_long_frame_that_arrives_in_pieces_is_read_whole() {
        let text = "x".repeat(5 * FIRST_READ_BYTES);
        let bytes = bytes_of(&FromTrainer::Failed(JobNumber(1), text.as_str().into()));
        let mut reader = bytes
            .chunks(1000)
            .fold(Box::new(io::empty()) as Box<dyn Read>, |before, piece| {
                Box::new(before.chain(piece))
            });
        let message = read_message::<FromTrainer>(&mut reader).expect("a message");
        assert!(matches!(message, Some(FromTrainer::Failed(_, Text(found))) if found == text));
    }

    #[test]
    fn a_model_of_the_largest_task_fits_into_a_frame_with_the_inputs_of_a_million_patients() {
        let layout = crate::network::ModelLayout::hybrid_cnn(3);
        let bytes = 4 * layout.values() + 36 * 1_000_000 + 1000;
        assert!(bytes < MAX_FRAME_BYTES);
    }

    proptest! {
        #[test]
        fn any_bytes_give_messages_or_an_error(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), framed: bool) {
            if framed && bytes.len() > 6 {
                let length = (bytes.len() - 4) as u32;
                bytes[..4].copy_from_slice(&length.to_le_bytes());
                bytes[4] = PIPE_VERSION;
                let end = bytes.len().min(9);
                bytes[6..end].fill(0);
            }
            let mut reader = bytes.as_slice();
            while let Ok(Some(_)) = read_message::<ToTrainer>(&mut reader) {}
            let mut reader = bytes.as_slice();
            while let Ok(Some(_)) = read_message::<FromTrainer>(&mut reader) {}
        }
    }
}
