//! The files of a series as one volume.

use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;

use super::{
    FileError, SeriesError,
    dataset::{Dataset, Depth, PixelData},
    geometry::Stack,
    image::Image,
    pixels,
};
use crate::{
    Scan, ScanError, Volume,
    orientation::Orientation,
    scan::{Extent, MAX_VOXELS},
};

/// What tells the series of a patient apart.
#[derive(Clone, PartialEq)]
pub(super) struct Identity {
    pub series_uid: String,
    /// To see whether files are of one patient; never shown.
    pub patient_id: Option<String>,
    /// SeriesDescription, ProtocolName and SequenceName, as far as they are there.
    pub names: Vec<String>,
    /// Whether the image was computed from others.
    pub derived: bool,
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
            return Err(FileError::NoImage);
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
            derived: kind.to_ascii_uppercase().contains("DERIVED"),
            images: data.frames().max(1),
            instance_uid: data.text(tags::SOP_INSTANCE_UID),
        })
    }
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
            if size(&file.image) != size(&first.image) {
                return Err(SeriesError::Differs {
                    path: file.path.to_owned(),
                    first: first.path.to_owned(),
                    what: "image size",
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

struct OpenFile<'a> {
    path: &'a Path,
    image: Image,
}

fn headers(paths: &[PathBuf]) -> Result<Vec<OpenFile<'_>>, SeriesError> {
    let header = |path: &'_ PathBuf| {
        let data = Dataset::read(path, Depth::Header)?;
        Image::of(&data)
    };
    paths
        .iter()
        .map(|path| match header(path) {
            Ok(image) => Ok(OpenFile { path, image }),
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
