//! Frames between a participant and its trainer: a length of four bytes, little-endian, then [`PIPE_VERSION`], then a message in
//! canonical form.
//!
//! ```text
//! participant                         trainer
//!                    <- Hello
//! Open ->
//!                    <- Reading ..    a scan after another
//!                    <- Opened        or Unusable, which ends the trainer
//! Train ->
//!                    <- Step ..
//!                    <- Trained       or Failed
//! Evaluate ->
//!                    <- Evaluated     or Failed
//! (the pipe closes: the trainer ends)
//! ```

use std::io::{self, Read, Write};

use super::{
    DataSet, EvaluateRequest, EvaluatedCounts, ReadingAccount, TrainRequest, TrainedUpdate,
};
use crate::codec::{self, CodecError, Decode, Encode, MAX_MESSAGE_BYTES, Text};

/// Both ends of the pipe are of one release; another version says that they are not.
pub const PIPE_VERSION: u8 = 1;

/// From the participant.
#[derive(Clone, Encode, Decode)]
pub enum ToTrainer {
    /// Read these scans. Once, before anything else.
    Open(DataSet),
    /// Train a round.
    Train(TrainRequest),
    /// Evaluate the common model.
    Evaluate(EvaluateRequest),
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
    /// A step of training was done.
    Step {
        /// Steps done.
        done: u64,
        /// Steps in all.
        total: u64,
    },
    /// The answer to [`ToTrainer::Train`].
    Trained(TrainedUpdate),
    /// The answer to [`ToTrainer::Evaluate`].
    Evaluated(EvaluatedCounts),
    /// The job cannot be done, and could not be done a second time.
    Failed(Text),
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
            Self::Trained(_) => "Trained",
            Self::Evaluated(_) => "Evaluated",
            Self::Failed(_) => "Failed",
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
pub fn frame<T: Encode>(message: &T) -> Result<Vec<u8>, PipeError> {
    let mut frame = vec![PIPE_VERSION];
    frame.extend(codec::encode(message));
    checked_length(&frame)?;
    Ok(frame)
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
    let mut frame = Vec::new();
    let found = reader.take(length).read_to_end(&mut frame)? as u64;
    if found != length {
        return Err(PipeError::CutShort {
            found,
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

/// A message and its version byte.
const MAX_FRAME_BYTES: usize = MAX_MESSAGE_BYTES + 1;

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
                edss: Edss::new(3.5).expect("on the scale"),
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
        }
    }

    #[test]
    fn messages_arrive_as_they_were_sent_one_after_another() {
        let request = TrainRequest {
            round: 3.into(),
            model_hash: [1; 32].into(),
            model: vec![0.5, f32::NEG_INFINITY],
            filters: Some(vec![[0.25; 9]]),
            class_weights: vec![1.0, 2.0],
            seed: [2; 32],
            plan: TrainingPlan::of(&manifest()),
        };
        let mut bytes = bytes_of(&ToTrainer::Open(data_set()));
        bytes.extend(bytes_of(&ToTrainer::Train(request.clone())));
        let mut reader = bytes.as_slice();
        let first = read_message(&mut reader).expect("a message");
        assert!(matches!(first, Some(ToTrainer::Open(found)) if found == data_set()));
        let second = read_message(&mut reader).expect("a message");
        assert!(matches!(second, Some(ToTrainer::Train(found)) if found == request));
        let end = read_message::<ToTrainer>(&mut reader).expect("the end");
        assert!(end.is_none());
    }

    #[test]
    fn lengths_versions_and_endings_that_are_wrong_are_told_apart() {
        let whole = bytes_of(&FromTrainer::Failed("no".into()));
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
    fn a_model_of_the_largest_task_fits_into_a_frame_with_the_filters_of_a_million_patients() {
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
