//! The scans a trainer is given: files, scores to cut labels from, and how they are read and split. No clinical feature is among it. No
//! patient is named either, except where a path does: the folders of a data set are often called after the patients' IDs.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    codec::{
        BorrowDecode, BorrowDecoder, Bytes, Decode, DecodeError, Decoder, Encode, EncodeError,
        Encoder, List, Text, one_byte,
    },
    labels::Edss,
};

/// One hospital's scans, and what the trainer does with them.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct DataSet {
    /// In the order of the clinical table, which is that of filters.
    pub patients: List<PatientScans>,
    /// Which slices of a scan.
    pub slices: SliceChoice,
    /// Most memory for scans on their way and for the slices that stay.
    pub memory_limit_mib: u64,
    /// Where prepared slices are kept, if anywhere.
    pub cache: Option<SliceCacheFolder>,
    /// How patients are cut into training, validation and test; without a meaning where they have no scores.
    pub split: SplitPlan,
    /// Where the network computes.
    pub device: DeviceChoice,
    /// Whether the trainer asks the kernel to keep it from everything else.
    pub confine: bool,
    /// Settings, keys, state: absolute paths that the confinement must not open. A folder that holds one of them is not opened either.
    pub kept_out: List<FilePath>,
}

/// The scans of one patient.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct PatientScans {
    /// From which the class is cut once the run is known. Scans that a kept model is applied to have none.
    pub edss: Option<Edss>,
    /// At least one.
    pub scans: List<ScanPaths>,
}

/// The files that together are one scan.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ScanPaths {
    /// One NIfTI-1 file.
    Nifti(FilePath),
    /// The files of one DICOM series.
    Dicom(List<FilePath>),
}

/// The folder of prepared slices.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SliceCacheFolder {
    /// Made unless it is there.
    pub folder: FilePath,
    /// Whether a reading removes from it what is not in the data any more.
    pub forget_others: bool,
}

/// How a hospital cuts its patients into training, validation and test.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub struct SplitPlan {
    /// By patient or by slice.
    pub kind: SplitKind,
    /// The same seed gives the same split.
    pub seed: u64,
}

/// What stays together.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum SplitKind {
    /// All slices of a patient fall on one side.
    #[default]
    Patient,
    /// Slices are dealt one by one, as in the study: this leaks.
    // Those of one patient can fall on several sides. A report that uses it says so beside every number.
    Slice,
}

one_byte!(SplitKind { Patient = 0, Slice = 1 });

impl SplitKind {
    /// Name for people and for machines: `patient`, `slice`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Slice => "slice",
        }
    }
}

impl fmt::Display for SplitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which axial planes of a volume become slices.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub enum SliceChoice {
    /// Every plane, from the feet up.
    All {
        /// Leave out planes that show (nearly) no tissue.
        drop_empty: bool,
    },
    /// `count` planes at equal distances in a part of the range of planes that show tissue.
    /// A part of fewer planes gives all of them, none twice.
    Evenly {
        /// Planes wanted.
        count: usize,
        /// Start of the part, as a share of the range: 0 is the lowest plane with tissue.
        from: f64,
        /// End of the part: 1 is the highest plane with tissue.
        to: f64,
    },
}

impl SliceChoice {
    /// `count` planes over the whole range that shows tissue.
    pub fn evenly(count: usize) -> Self {
        Self::Evenly {
            count,
            from: 0.0,
            to: 1.0,
        }
    }
}

impl fmt::Display for SliceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All { drop_empty: true } => f.write_str("every plane that shows tissue"),
            Self::All { drop_empty: false } => f.write_str("every plane"),
            Self::Evenly { count, from, to } => {
                write!(f, "{count} planes at equal distances over ")?;
                if (*from, *to) == (0.0, 1.0) {
                    f.write_str("the planes that show tissue")
                } else {
                    let (from, to) = (from * 100.0, to * 100.0);
                    write!(
                        f,
                        "{from:.0}% to {to:.0}% of the planes that show tissue, from the feet up"
                    )
                }
            }
        }
    }
}

/// Where the network computes, as a person asks for it: `auto`, `cpu`, `cuda` or `cuda:N`. Whether there is such a device only the
/// trainer can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum DeviceChoice {
    /// The first CUDA device if libtorch sees one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this index.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| UnknownDevice(text.to_owned())),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Not the name of a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown device {0:?}: use auto, cpu, cuda or cuda:N")]
pub struct UnknownDevice(pub String);

/// What reading a [`DataSet`] has given: counts, and the names of files that are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ReadingAccount {
    /// Slices of each listed patient, over all its scans. A patient with none is not trained on.
    pub slices: List<u32>,
    /// Scans that could not be used.
    pub unreadable: List<UnreadableScan>,
    /// Scans whose slices came from the cache.
    pub cached: u32,
    /// Entries of the cache that were damaged and have been made again.
    pub damaged_cache_entries: u32,
    /// Oddities that left nothing out, for people.
    pub warnings: List<Text>,
}

/// A scan that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UnreadableScan {
    /// Its file, or the folder of its series.
    pub path: FilePath,
    /// Why, in words.
    pub reason: Text,
}

/// A path: on Unix its bytes as they are, elsewhere as UTF-8. It must be [one that can be sent](FilePath::can_be_sent) before it is
/// encoded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePath(pub PathBuf);

impl FilePath {
    /// Whether the pipe can carry this path: every path on Unix, elsewhere those that are Unicode.
    pub fn can_be_sent(path: &Path) -> bool {
        cfg!(unix) || path.to_str().is_some()
    }
}

impl Encode for FilePath {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        #[cfg(unix)]
        let bytes = std::os::unix::ffi::OsStrExt::as_bytes(self.0.as_os_str()).to_vec();
        #[cfg(not(unix))]
        let bytes = self
            .0
            .to_str()
            .ok_or(EncodeError::Other("a path that is not Unicode"))?
            .as_bytes()
            .to_vec();
        Bytes(bytes).encode(encoder)
    }
}

impl<Context> Decode<Context> for FilePath {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let Bytes(bytes) = Bytes::decode(decoder)?;
        #[cfg(unix)]
        let path =
            PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes));
        #[cfg(not(unix))]
        let path = String::from_utf8(bytes)
            .map(PathBuf::from)
            .map_err(|_| DecodeError::Other("a path that is not Unicode"))?;
        Ok(Self(path))
    }
}

impl<'de, Context> BorrowDecode<'de, Context> for FilePath {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_slices_is_told_in_words() {
        let part = SliceChoice::Evenly {
            count: 8,
            from: 0.2,
            to: 0.75,
        };
        for (choice, words) in [
            (
                SliceChoice::All { drop_empty: true },
                "every plane that shows tissue",
            ),
            (SliceChoice::All { drop_empty: false }, "every plane"),
            (
                SliceChoice::evenly(16),
                "16 planes at equal distances over the planes that show tissue",
            ),
            (
                part,
                "8 planes at equal distances over 20% to 75% of the planes that show tissue, from the feet up",
            ),
        ] {
            assert_eq!(choice.to_string(), words);
        }
    }

    #[test]
    fn names_of_devices_are_read_and_written_alike() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(
                name.parse().as_ref().map(DeviceChoice::to_string),
                Ok(name.to_owned())
            );
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            assert!(wrong.parse::<DeviceChoice>().is_err());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_not_unicode_arrives_as_it_was() {
        use std::os::unix::ffi::OsStringExt as _;
        let path = PathBuf::from(std::ffi::OsString::from_vec(vec![b'/', 0xff, b'a']));
        assert!(FilePath::can_be_sent(&path));
        let bytes = crate::codec::encode(&FilePath(path.clone()));
        assert_eq!(crate::codec::decode(&bytes), Ok(FilePath(path)));
    }
}
