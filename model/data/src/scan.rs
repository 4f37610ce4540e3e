//! One NIfTI-1 file, plain or gzipped, as a volume.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use nifti::{DataElement, InMemNiftiVolume, NiftiHeader, NiftiType, volume::NiftiVolume};

use super::{
    Absent, SeriesError, SliceError, Volume, VolumeError, gzip::GzMembers, nifti_frame,
    orientation::Orientation,
};

/// Length of a NIfTI-1 header.
const HEADER_BYTES: usize = 348;
/// What may follow the voxels in a gzipped file; more is not read, whatever its checksum.
const MAX_TRAILING_BYTES: u64 = 1 << 30;
/// 512 cubed; a larger volume is taken for a corrupt header.
pub(super) const MAX_VOXELS: u64 = 1 << 27;

/// A scan as read from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// The voxels, in the patient's frame.
    pub volume: Volume,
    /// How the file's axes lay in the patient.
    pub placement: Placement,
}

/// How the axes of a file lay in the patient, before they were put in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// False when the file does not say; right, front, head is then assumed.
    pub stated: bool,
    /// Whether the axes came in another order than right to left, front to back, feet to head.
    pub permuted: bool,
    /// Whether the file says it twice, and differently (the sform and the qform of NIfTI): which side is left is then not known.
    pub disputed: bool,
    /// Largest angle between an axis of the file and the patient's nearest. The scan is taken
    /// along its own axes: a tilted one is not resampled.
    pub tilt_degrees: f64,
}

/// Reads a three-dimensional NIfTI-1 file (`.nii`, or gzipped: told by its content).
///
/// Both byte orders, integer and floating types of 8 to 64 bits; `scl_slope` and `scl_inter` are
/// applied (a slope of 0 or NaN means none). Axes come out as [`Volume`] documents, whatever the file's.
/// No more is allocated than the file delivers.
///
/// # Errors
/// Anything that keeps the file from being such a volume; see [`ScanError`].
pub fn read_nifti(path: &Path) -> Result<Scan, ScanError> {
    if let Some(absent) = Absent::of(path) {
        return Err(ScanError::Absent(absent));
    }
    let (source, length) = open(path)?;
    read(source, length)
}

/// How large a scan is, from its header alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Voxels in all.
    pub voxels: u64,
    /// Bytes of each as the file stores it.
    pub bytes_per_voxel: u64,
    /// No fewer than it has axial planes.
    pub planes: u64,
}

/// Reads only the header of what [`read_nifti`] would read.
pub(super) fn nifti_extent(path: &Path) -> Result<Extent, ScanError> {
    let (mut source, length) = open(path)?;
    let promise = Promise::read(&mut source, length)?;
    Ok(Extent {
        voxels: promise.voxels(),
        bytes_per_voxel: promise.kind.size_of() as u64,
        planes: promise.dims.into_iter().max().unwrap_or(0).into(),
    })
}

/// How the axes of a NIfTI file lie, its dimensions, and where its first voxel is, from its header alone.
pub(super) fn nifti_frame(path: &Path) -> Result<(Orientation, [usize; 3], [f64; 3]), ScanError> {
    let (mut source, length) = open(path)?;
    let Promise { header, dims, .. } = Promise::read(&mut source, length)?;
    let frame = nifti_frame::Frame::of(&header).ok_or(ScanError::Orientation)?;
    if frame.origin_mm.iter().all(|mm| mm.is_finite()) {
        Ok((frame.orientation, dims.map(usize::from), frame.origin_mm))
    } else {
        Err(ScanError::Orientation)
    }
}

/// The bytes of a file, unzipped if need be, and how many there are where that is known.
fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>), ScanError> {
    let mut file = BufReader::new(File::open(path)?);
    let length = file.get_ref().metadata()?.len();
    let zipped = io::BufRead::fill_buf(&mut file)?.starts_with(&[0x1f, 0x8b]);
    Ok(if zipped {
        (Box::new(GzMembers::new(file)), None)
    } else {
        (Box::new(file), Some(length))
    })
}

/// Why a file is not a volume that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Not there, not readable, or a broken gzip stream.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Nothing is there but a name.
    #[error("{0}")]
    Absent(Absent),
    /// Bytes that are not those that were packed.
    #[error("damaged on its way, as 'gzip -t' says, too ({0}): copy it again")]
    Gzip(io::Error),
    /// DICOM files that are no volume.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// Something else than NIfTI-1.
    #[error("not a NIfTI-1 file: convert it to .nii or .nii.gz")]
    NotNifti,
    /// Only the header half of a pair of files.
    #[error("the header of a .hdr and .img pair; convert it to a single .nii file")]
    Pair,
    /// Not three-dimensional.
    #[error("{found} dimensions {dims:?} where a single 3D volume is needed")]
    NotThreeDimensional {
        /// Number of dimensions longer than 1, or as declared when fewer than 3.
        found: usize,
        /// As declared.
        dims: Vec<u16>,
    },
    /// More voxels than any scan has.
    #[error("{voxels} voxels declared, more than any scan has: a corrupt header")]
    TooLarge {
        /// Voxels declared.
        voxels: u64,
    },
    /// Shorter than its header says.
    #[error("truncated: {expected} bytes declared, {found} there")]
    Truncated {
        /// Bytes from the start to the last voxel (of voxels, in a gzipped file).
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// Colours, complex numbers, or no known type.
    #[error("data type {code} is not a real number of 8 to 64 bits")]
    DataType {
        /// `datatype` of the header.
        code: i16,
    },
    /// A header field that is not a usable number.
    #[error("header field {field} is out of range")]
    Header {
        /// Name in nifti1.h.
        field: &'static str,
    },
    /// The axes do not span the room.
    #[error(
        "neither its sform nor its qform says how it lies in the patient (singular or not finite): set one of them, for example with nibabel"
    )]
    Orientation,
    /// The voxels are not a volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The volume gives no slices.
    #[error(transparent)]
    Slices(#[from] SliceError),
}

/// `length` is that of the file, when bytes come from it directly.
fn read(mut source: impl Read, length: Option<u64>) -> Result<Scan, ScanError> {
    let promise = Promise::read(&mut source, length)?;
    let skipped = promise.start - HEADER_BYTES as u64;
    io::copy(&mut source.by_ref().take(skipped), &mut io::sink())?;
    let expected = promise.data_bytes();
    let mut data = vec![];
    source.by_ref().take(expected).read_to_end(&mut data)?;
    if (data.len() as u64) < expected {
        return Err(ScanError::Truncated {
            expected,
            found: data.len() as u64,
        });
    }
    if length.is_none() {
        // The checksum stands behind the last byte, and is compared only there.
        let rest = io::copy(&mut source.take(MAX_TRAILING_BYTES), &mut io::sink());
        rest.map_err(ScanError::Gzip)?;
    }
    let Promise {
        header, dims, kind, ..
    } = promise;
    let frame = nifti_frame::Frame::of(&header).ok_or(ScanError::Orientation)?;
    let orientation = frame.orientation;
    let values = rescaled(&header, kind, dims, data)?;
    let (dims, values) = orientation.apply(dims.map(usize::from), &values);
    Ok(Scan {
        volume: Volume::new(dims, orientation.spacing_mm, values)?,
        placement: Placement {
            disputed: frame.disputed,
            ..orientation.placement()
        },
    })
}

/// A header whose sizes have been checked.
struct Promise {
    header: NiftiHeader,
    dims: [u16; 3],
    kind: NiftiType,
    /// Where the voxels start.
    start: u64,
}

impl Promise {
    fn read(source: &mut impl Read, length: Option<u64>) -> Result<Self, ScanError> {
        let mut bytes = vec![];
        source.take(HEADER_BYTES as u64).read_to_end(&mut bytes)?;
        let header = parse_header(&bytes)?;
        let promise = Self {
            dims: three_dimensions(&header)?,
            kind: real_type(&header)?,
            start: voxel_offset(&header)?,
            header,
        };
        let voxels = promise.voxels();
        if voxels > MAX_VOXELS {
            return Err(ScanError::TooLarge { voxels });
        }
        let expected = promise.start + promise.data_bytes();
        match length {
            Some(found) if found < expected => Err(ScanError::Truncated { expected, found }),
            _ => Ok(promise),
        }
    }

    fn voxels(&self) -> u64 {
        self.dims.iter().map(|&dim| u64::from(dim)).product()
    }

    fn data_bytes(&self) -> u64 {
        self.voxels() * self.kind.size_of() as u64
    }
}

fn parse_header(bytes: &[u8]) -> Result<NiftiHeader, ScanError> {
    let header = NiftiHeader::from_reader(bytes).map_err(|_| ScanError::NotNifti)?;
    match (&header.magic, header.sizeof_hdr) {
        (b"n+1\0", 348) => Ok(header),
        (b"ni1\0", 348) => Err(ScanError::Pair),
        _ => Err(ScanError::NotNifti),
    }
}

/// nx, ny, nz; further dimensions may be there as long as they are 1.
fn three_dimensions(header: &NiftiHeader) -> Result<[u16; 3], ScanError> {
    let rank = usize::from(header.dim[0]).min(7);
    let dims = &header.dim[1..=rank];
    let (&[nx, ny, nz], more) = dims.split_first_chunk().unwrap_or((&[0; 3], &[]));
    let longer = more.iter().filter(|&&dim| dim > 1).count();
    if longer > 0 || nx.min(ny).min(nz) == 0 {
        return Err(ScanError::NotThreeDimensional {
            found: if rank < 3 { rank } else { 3 + longer },
            dims: dims.to_vec(),
        });
    }
    Ok([nx, ny, nz])
}

fn real_type(header: &NiftiHeader) -> Result<NiftiType, ScanError> {
    use NiftiType::{Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
    let real = [
        Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64, Float32, Float64,
    ];
    let kind = header.data_type().ok().filter(|kind| real.contains(kind));
    kind.ok_or(ScanError::DataType {
        code: header.datatype,
    })
}

/// Where voxels start. Some writers leave it at 0 and mean the end of the header, 352.
fn voxel_offset(header: &NiftiHeader) -> Result<u64, ScanError> {
    let offset = header.vox_offset;
    match offset {
        0.0 => Ok(352),
        _ if offset.fract() == 0.0 && (348.0..=1e9).contains(&offset) => Ok(offset as u64),
        _ => Err(ScanError::Header {
            field: "vox_offset",
        }),
    }
}

/// Voxels as numbers, slope and intercept applied.
fn rescaled(
    header: &NiftiHeader,
    kind: NiftiType,
    [nx, ny, nz]: [u16; 3],
    data: Vec<u8>,
) -> Result<Vec<f32>, ScanError> {
    // A slope that is no number says that there is none, as 0 does; so nibabel writes and reads it.
    let (slope, intercept) = match header.scl_slope {
        slope if slope == 0.0 || !slope.is_finite() => (1.0, 0.0),
        slope => (f64::from(slope), f64::from(header.scl_inter)),
    };
    if !intercept.is_finite() {
        let field = "scl_inter";
        return Err(ScanError::Header { field });
    }
    let dims = [3, nx, ny, nz, 1, 1, 1, 1];
    let volume = InMemNiftiVolume::from_raw_fields(dims, kind, 0.0, 0.0, data, header.endianness)
        .map_err(|_| ScanError::Header { field: "dim" })?;
    let scale = |value: f64| (value * slope + intercept) as f32;
    macro_rules! scaled {
        ($($kind:ident => $number:ty),*) => {
            match volume.data_type() {
                $(NiftiType::$kind => typed::<$number>(volume)?
                    .into_iter()
                    .map(|value| scale(value as f64))
                    .collect(),)*
                _ => return Err(ScanError::DataType { code: header.datatype }),
            }
        };
    }
    Ok(scaled!(
        Int8 => i8, Int16 => i16, Int32 => i32, Int64 => i64,
        Uint8 => u8, Uint16 => u16, Uint32 => u32, Uint64 => u64,
        Float32 => f32, Float64 => f64
    ))
}

fn typed<T: DataElement>(volume: InMemNiftiVolume) -> Result<Vec<T>, ScanError> {
    volume
        .into_nifti_typed_data()
        .map_err(|_| ScanError::Header { field: "datatype" })
}
