//! The files of a series as one volume.

use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;

use super::{
    FileError, SeriesError,
    dataset::{Dataset, Depth, PixelData},
    geometry::Stack,
    image::{Image, is_mosaic},
    pixels,
};
use crate::{
    Scan, ScanError, Volume,
    orientation::{Orientation, cross},
    scan::{Extent, MAX_VOXELS},
};

/// What tells the series of a patient apart.
#[derive(Clone, PartialEq)]
pub(super) struct Identity {
    pub series_uid: String,
    /// SeriesNumber, SeriesDescription and StudyDate, as far as they are there: some anonymisers give several series one UID.
    pub marks: [Option<String>; 3],
    /// To see whether files are of one patient; never shown.
    pub patient_id: Option<String>,
    /// SeriesDescription, ProtocolName and SequenceName, as far as they are there.
    pub names: Vec<String>,
    /// StudyDate, "20230417".
    pub date: Option<String>,
    /// Whether the image was computed from others.
    pub derived: bool,
    /// Whether it is a mosaic, which is not read.
    pub mosaic: bool,
    /// Whether the images are thick and not axial, so that axial slices of them are coarse.
    pub coarse: bool,
    /// Whether a part of the body is named that is not the head.
    pub elsewhere: bool,
    /// Whether only gradient echoes were taken: what is then called T2 is T2*.
    pub gradient_echo: bool,
    /// InversionTime.
    pub inversion_ms: Option<f64>,
    /// Number of images in the file.
    pub images: usize,
    /// SOPInstanceUID: what a copy of the file has, too.
    pub instance_uid: Option<String>,
}

impl Identity {
    /// Reads the header of a file.
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let data = Dataset::read(path, Depth::Header)?;
        if data.pixels == PixelData::Absent {
            let floats = [tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA];
            if floats.into_iter().any(|tag| data.has(tag)) {
                let what = "pixels in floating point";
                return Err(FileError::Unsupported { what });
            }
            return Err(without_pixels(&data, path));
        }
        let attribute = "SeriesInstanceUID";
        let names = [
            tags::SERIES_DESCRIPTION,
            tags::PROTOCOL_NAME,
            tags::SEQUENCE_NAME,
        ];
        let kind = data.text(tags::IMAGE_TYPE).unwrap_or_default();
        Ok(Self {
            series_uid: data
                .text(tags::SERIES_INSTANCE_UID)
                .ok_or(FileError::Missing { attribute })?,
            patient_id: data.text(tags::PATIENT_ID),
            names: names.into_iter().filter_map(|tag| data.text(tag)).collect(),
            marks: [
                tags::SERIES_NUMBER,
                tags::SERIES_DESCRIPTION,
                tags::STUDY_DATE,
            ]
            .map(|tag| data.text(tag)),
            date: data.text(tags::STUDY_DATE),
            derived: kind.to_ascii_uppercase().contains("DERIVED"),
            mosaic: is_mosaic(&data),
            coarse: is_coarse(&data),
            elsewhere: data.text(tags::BODY_PART_EXAMINED).is_some_and(|part| {
                let part = part.to_uppercase();
                let names = |words: &[&str]| words.iter().any(|word| part.contains(word));
                names(&ELSEWHERE) && !names(&HEAD)
            }),
            gradient_echo: data.text(tags::SCANNING_SEQUENCE).as_deref() == Some("GR"),
            inversion_ms: (data.decimals(0, tags::INVERSION_TIME).flatten()).map(|[ms]| ms),
            images: data.frames().max(1),
            instance_uid: data.text(tags::SOP_INSTANCE_UID),
        })
    }
}

/// Whether a file without pixels is of a kind that has none, such as a report, or an image that was cut off before them.
fn without_pixels(data: &Dataset, path: &Path) -> FileError {
    let is_directory =
        { path.file_name() }.is_some_and(|name| name.eq_ignore_ascii_case("DICOMDIR"));
    let class = data.text(tags::SOP_CLASS_UID);
    let is_other = class.is_some_and(|class| !IMAGE_CLASSES.contains(&class.as_str()));
    if is_directory || (is_other && !data.has(tags::ROWS)) {
        FileError::NoImage
    } else {
        FileError::Truncated
    }
}

/// MR images, classic and enhanced, and what was derived of them: SOPClassUID.
const IMAGE_CLASSES: [&str; 4] = [
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.4",
    "1.2.840.10008.5.1.4.1.1.7",
];

/// Whether images lie more than [`COARSE_MM`] behind one another in a plane that is not nearest to the axial.
fn is_coarse(data: &Dataset) -> bool {
    let distance = [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS]
        .into_iter()
        .find_map(|tag| data.decimals(0, tag).flatten());
    let cosines = data.decimals(0, tags::IMAGE_ORIENTATION_PATIENT).flatten();
    let (Some([mm]), Some([a, b, c, d, e, f])) = (distance, cosines) else {
        return false;
    };
    let [x, y, z] = cross([a, b, c], [d, e, f]).map(f64::abs);
    mm > COARSE_MM && z < x.max(y)
}

const COARSE_MM: f64 = 2.5;
/// Of BodyPartExamined.
const HEAD: [&str; 3] = ["HEAD", "BRAIN", "SKULL"];
const ELSEWHERE: [&str; 15] = [
    "SPINE", "NECK", "CHEST", "THORAX", "ABDOMEN", "PELVIS", "SHOULDER", "ELBOW", "WRIST", "HAND",
    "HIP", "KNEE", "ANKLE", "FOOT", "HEART",
];

/// Whether two files hold the same pixels at the same place.
pub(super) fn same_image(first: &Path, second: &Path) -> bool {
    let [first, second] = [first, second].map(|path| {
        let data = Dataset::read(path, Depth::Pixels).ok()?;
        let position = data.decimals::<3>(0, tags::IMAGE_POSITION_PATIENT);
        Some((position, data.frames(), data.pixels))
    });
    first.is_some() && first == second
}

/// How large a series is, from the header of its first file: the others are as large, or none of its volume.
pub(crate) fn series_extent(paths: &[PathBuf]) -> Result<Extent, ScanError> {
    let first = headers(paths.get(..1).unwrap_or_default())?;
    let image = &first.first().ok_or(SeriesError::Empty)?.image;
    let planes = image.planes.len() as u64 * paths.len() as u64;
    let (rows, columns) = (image.rows as u64, image.columns as u64);
    Ok(Extent {
        voxels: rows * columns * planes,
        bytes_per_voxel: u64::from(image.cells.allocated / 8),
        planes: planes.max(rows).max(columns),
    })
}

/// Reads the files of a DICOM series, in whatever order, as one volume.
///
/// Classic images and enhanced objects; uncompressed, deflated, RLE, JPEG baseline, JPEG lossless and JPEG 2000; cells
/// of 8, 16 or 32 bits; slope, intercept and MONOCHROME1 are applied. The axes come out as [`Volume`] documents.
///
/// # Errors
/// [`ScanError::Series`] names the file that cannot be used, or the two between which slices are missing or
/// that lie at one place; besides whatever keeps numbers from being a volume.
pub fn read_dicom(paths: &[PathBuf]) -> Result<Scan, ScanError> {
    let files = headers(paths)?;
    let SeriesStack {
        stack,
        places,
        columns,
        rows,
    } = SeriesStack::of(&files)?;
    // Where each frame goes: a file is opened once, whatever its frames' order.
    let mut heights = vec![0; places.len()];
    for (height, &plane) in stack.order.iter().enumerate() {
        heights[plane] = height;
    }
    let plane_voxels = rows * columns;
    let mut values = vec![0.0; places.len() * plane_voxels];
    let mut opened: Option<(usize, Dataset)> = None;
    for (&(index, frame), height) in places.iter().zip(heights) {
        let file = &files[index];
        if opened.as_ref().is_none_or(|(open, _)| *open != index) {
            let data = Dataset::read(file.path, Depth::Pixels);
            opened = Some((index, data.map_err(|source| at(file.path, source))?));
        }
        if let Some((_, data)) = &opened {
            let pixels = pixels::frame(data, &file.image, frame);
            let pixels = pixels.map_err(|source| at(file.path, source))?;
            values[height * plane_voxels..][..plane_voxels].copy_from_slice(&pixels);
        }
    }
    let orientation = orientation(&stack)?;
    let (dims, values) = orientation.apply([columns, rows, places.len()], &values);
    Ok(Scan {
        volume: Volume::new(dims, orientation.spacing_mm, values)?,
        placement: orientation.placement(),
    })
}

/// How the voxels of a series lie in the patient, from headers alone.
pub(crate) struct SeriesFrame {
    pub orientation: Orientation,
    /// Columns, rows, images.
    pub dims: [usize; 3],
    /// The first voxel: millimetres towards right, front and head of the world's origin.
    pub origin_mm: [f64; 3],
    /// For each image of the stack, in its order, the file and the frame in it.
    pub images: Vec<(usize, usize)>,
}

/// Of what [`read_dicom`] would read.
pub(crate) fn series_frame(paths: &[PathBuf]) -> Result<SeriesFrame, ScanError> {
    let files = headers(paths)?;
    let series = SeriesStack::of(&files)?;
    let [x, y, z] = series.stack.origin_mm;
    let order = series.stack.order.iter();
    Ok(SeriesFrame {
        orientation: orientation(&series.stack)?,
        dims: [series.columns, series.rows, series.places.len()],
        origin_mm: [-x, -y, z],
        images: order.map(|&plane| series.places[plane]).collect(),
    })
}

fn orientation(stack: &Stack) -> Result<Orientation, ScanError> {
    // The patient's axes of NIfTI are right, front, head; those of DICOM left, back, head.
    let steps = stack.steps_mm.map(|[x, y, z]| [-x, -y, z]);
    Orientation::from_steps(steps, true).ok_or(ScanError::Orientation)
}

/// The images of files of one size, put in order.
struct SeriesStack {
    stack: Stack,
    /// Of each image, as the files have them: the file and the frame in it.
    places: Vec<(usize, usize)>,
    columns: usize,
    rows: usize,
}

impl SeriesStack {
    fn of(files: &[OpenFile<'_>]) -> Result<Self, ScanError> {
        let first = files.first().ok_or(SeriesError::Empty)?;
        let mut planes = vec![];
        let mut owners = vec![];
        let mut places = vec![];
        for (index, file) in files.iter().enumerate() {
            let size = |image: &Image| [image.rows, image.columns];
            let echoes = file.echo_ms.zip(first.echo_ms);
            let what = if size(&file.image) != size(&first.image) {
                Some("image size")
            } else if echoes.is_some_and(|(one, other)| (one - other).abs() > ECHO_TOLERANCE_MS) {
                Some("echo time")
            } else {
                None
            };
            if let Some(what) = what {
                return Err(SeriesError::Differs {
                    path: file.path.to_owned(),
                    first: first.path.to_owned(),
                    what,
                }
                .into());
            }
            for (frame, plane) in file.image.planes.iter().enumerate() {
                planes.push(plane.clone());
                owners.push(file.path);
                places.push((index, frame));
            }
        }
        let (columns, rows) = (first.image.columns, first.image.rows);
        let voxels = (rows * columns) as u64 * planes.len() as u64;
        if voxels > MAX_VOXELS {
            return Err(SeriesError::TooLarge { voxels }.into());
        }
        Ok(Self {
            stack: Stack::of(&planes, &owners)?,
            places,
            columns,
            rows,
        })
    }
}

/// Scanners round.
const ECHO_TOLERANCE_MS: f64 = 0.5;

struct OpenFile<'a> {
    path: &'a Path,
    image: Image,
    echo_ms: Option<f64>,
}

fn headers(paths: &[PathBuf]) -> Result<Vec<OpenFile<'_>>, SeriesError> {
    let header = |path: &'_ PathBuf| {
        let data = Dataset::read(path, Depth::Header)?;
        let echo_ms = data.decimals(0, tags::ECHO_TIME).flatten().map(|[ms]| ms);
        Ok((Image::of(&data)?, echo_ms))
    };
    paths
        .iter()
        .map(|path| match header(path) {
            Ok((image, echo_ms)) => Ok(OpenFile {
                path,
                image,
                echo_ms,
            }),
            Err(source) => Err(at(path, source)),
        })
        .collect()
}

fn at(path: &Path, source: FileError) -> SeriesError {
    SeriesError::File {
        path: path.to_owned(),
        source,
    }
}
