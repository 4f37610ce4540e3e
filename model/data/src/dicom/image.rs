//! What one file says of its images: their size, their cells, and where they lie.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::{FileError, dataset::Dataset, geometry::Plane};

/// The images of one file, without their pixels.
#[derive(Debug)]
pub(super) struct Image {
    pub rows: usize,
    pub columns: usize,
    pub cells: Cells,
    /// One for each frame: where it lies.
    pub planes: Vec<Plane>,
    /// One for each frame: slope and intercept.
    pub scales: Vec<[f64; 2]>,
}

/// How a pixel is stored (PS3.5, section 8.1.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cells {
    /// Bits from pixel to pixel: 8, 16 or 32.
    pub allocated: u16,
    /// Bits of the value.
    pub stored: u16,
    /// Place of its highest bit.
    pub high: u16,
    /// Whether it is two's complement.
    pub signed: bool,
    /// MONOCHROME1: low values are bright.
    pub inverted: bool,
}

impl Image {
    pub(super) fn of(data: &Dataset) -> Result<Self, FileError> {
        if data.number(tags::ROWS).is_none() && data.number(tags::COLUMNS).is_none() {
            return Err(FileError::NoImage);
        }
        if is_mosaic(data) {
            return Err(FileError::Mosaic);
        }
        let size = |tag, attribute| match data.number(tag) {
            None => Err(FileError::Missing { attribute }),
            Some(0) => Err(FileError::Value { attribute }),
            Some(size) => Ok(usize::from(size)),
        };
        let rows = size(tags::ROWS, "Rows")?;
        let columns = size(tags::COLUMNS, "Columns")?;
        let frames = frames(data)?;
        let planes = (0..frames).map(|frame| plane(data, frame));
        let scales = (0..frames).map(|frame| {
            let number = |tag, attribute, default| match data.decimals(frame, tag) {
                None => Ok(default),
                Some(Some([number])) => Ok(number),
                Some(None) => Err(FileError::Value { attribute }),
            };
            let slope = number(tags::RESCALE_SLOPE, "RescaleSlope", 1.0)?;
            if slope == 0.0 {
                let attribute = "RescaleSlope";
                return Err(FileError::Value { attribute });
            }
            let intercept = number(tags::RESCALE_INTERCEPT, "RescaleIntercept", 0.0)?;
            Ok([slope, intercept])
        });
        Ok(Self {
            rows,
            columns,
            cells: Cells::of(data)?,
            planes: planes.collect::<Result<_, _>>()?,
            scales: scales.collect::<Result<_, _>>()?,
        })
    }
}

/// Whether an image is many slices side by side.
pub(super) fn is_mosaic(data: &Dataset) -> bool {
    let kind = data.text(tags::IMAGE_TYPE).unwrap_or_default();
    kind.split('\\')
        .any(|word| word.trim().eq_ignore_ascii_case("MOSAIC"))
}

/// Number of frames; those of an enhanced object must each say where they lie.
fn frames(data: &Dataset) -> Result<usize, FileError> {
    let attribute = "NumberOfFrames";
    let frames: usize = match data.text(tags::NUMBER_OF_FRAMES) {
        None => 1,
        Some(text) => text.parse().map_err(|_| FileError::Value { attribute })?,
    };
    match (frames, data.frames()) {
        (0, _) => Err(FileError::Value { attribute }),
        (1, 0) => Ok(1),
        (_, 0) => Err(FileError::Unsupported {
            what: "several frames and does not say where they lie",
        }),
        (_, placed) if placed == frames => Ok(frames),
        _ => Err(FileError::Value { attribute }),
    }
}

fn plane(data: &Dataset, frame: usize) -> Result<Plane, FileError> {
    let [x, y, z] = required(
        data,
        frame,
        tags::IMAGE_POSITION_PATIENT,
        "ImagePositionPatient",
    )?;
    let cosines: [f64; 6] = required(
        data,
        frame,
        tags::IMAGE_ORIENTATION_PATIENT,
        "ImageOrientationPatient",
    )?;
    let [a, b, c, d, e, f] = cosines;
    let (along_row, down_column) = ([a, b, c], [d, e, f]);
    let length = |[x, y, z]: [f64; 3]| (x * x + y * y + z * z).sqrt();
    let product = a * d + b * e + c * f;
    if [length(along_row), length(down_column)]
        .iter()
        .any(|length| (length - 1.0).abs() > COSINE_TOLERANCE)
        || product.abs() > COSINE_TOLERANCE
    {
        let attribute = "ImageOrientationPatient";
        return Err(FileError::Value { attribute });
    }
    // The standard gives the distance between rows first.
    let [between_rows, between_columns] =
        required(data, frame, tags::PIXEL_SPACING, "PixelSpacing")?;
    if between_rows <= 0.0 || between_columns <= 0.0 {
        let attribute = "PixelSpacing";
        return Err(FileError::Value { attribute });
    }
    let thickness = [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS]
        .into_iter()
        .filter_map(|tag| data.decimals(frame, tag).flatten())
        .map(|[mm]| mm)
        .find(|&mm| mm > 0.0);
    Ok(Plane {
        position_mm: [x, y, z],
        along_row,
        down_column,
        pixel_mm: [between_columns, between_rows],
        thickness_mm: thickness,
    })
}

fn required<const N: usize>(
    data: &Dataset,
    frame: usize,
    tag: Tag,
    attribute: &'static str,
) -> Result<[f64; N], FileError> {
    match data.decimals(frame, tag) {
        None => Err(FileError::Missing { attribute }),
        Some(None) => Err(FileError::Value { attribute }),
        Some(Some(numbers)) => Ok(numbers),
    }
}

impl Cells {
    fn of(data: &Dataset) -> Result<Self, FileError> {
        if data.number(tags::SAMPLES_PER_PIXEL).unwrap_or(1) != 1 {
            let what = "colours";
            return Err(FileError::Unsupported { what });
        }
        let inverted = match data.text(tags::PHOTOMETRIC_INTERPRETATION).as_deref() {
            None | Some("MONOCHROME2") => false,
            Some("MONOCHROME1") => true,
            Some(_) => {
                let what = "colours";
                return Err(FileError::Unsupported { what });
            }
        };
        let number = |tag, attribute| data.number(tag).ok_or(FileError::Missing { attribute });
        let allocated = number(tags::BITS_ALLOCATED, "BitsAllocated")?;
        if ![8, 16, 32].contains(&allocated) {
            let attribute = "BitsAllocated";
            return Err(FileError::Value { attribute });
        }
        let stored = data.number(tags::BITS_STORED).unwrap_or(allocated);
        if !(1..=allocated).contains(&stored) {
            let attribute = "BitsStored";
            return Err(FileError::Value { attribute });
        }
        let high = data.number(tags::HIGH_BIT).unwrap_or(stored - 1);
        if !(stored - 1..allocated).contains(&high) {
            let attribute = "HighBit";
            return Err(FileError::Value { attribute });
        }
        let signed = match data.number(tags::PIXEL_REPRESENTATION) {
            None | Some(0) => false,
            Some(1) => true,
            Some(_) => {
                let attribute = "PixelRepresentation";
                return Err(FileError::Value { attribute });
            }
        };
        Ok(Self {
            allocated,
            stored,
            high,
            signed,
            inverted,
        })
    }

    /// The number that a cell holds: sign and all, MONOCHROME1 turned over within its range.
    pub(super) fn value(self, cell: u32) -> f64 {
        let shifted = i64::from(cell >> (self.high + 1 - self.stored));
        let range = 1_i64 << self.stored;
        let bits = shifted & (range - 1);
        let value = if self.signed && bits >= range / 2 {
            bits - range
        } else {
            bits
        };
        let highest_and_lowest = if self.signed { -1 } else { range - 1 };
        if self.inverted {
            (highest_and_lowest - value) as f64
        } else {
            value as f64
        }
    }
}

/// How far direction cosines may be from unit length and from square.
const COSINE_TOLERANCE: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_signs_and_inversion_are_honoured() {
        let twelve = Cells {
            allocated: 16,
            stored: 12,
            high: 11,
            signed: false,
            inverted: false,
        };
        assert_eq!(
            twelve.value(0xF123),
            291.0,
            "bits above are not the value's"
        );
        let left = Cells { high: 15, ..twelve };
        assert_eq!(left.value(0x1230), 291.0);
        let signed = Cells {
            signed: true,
            ..twelve
        };
        assert_eq!(
            [0x7FF, 0x800, 0xFFF].map(|cell| signed.value(cell)),
            [2047.0, -2048.0, -1.0]
        );
        let inverted = Cells {
            inverted: true,
            ..twelve
        };
        assert_eq!(
            [0, 1, 4095].map(|cell| inverted.value(cell)),
            [4095.0, 4094.0, 0.0]
        );
        let both = Cells {
            inverted: true,
            ..signed
        };
        assert_eq!(
            [0x7FF, 0x800, 0].map(|cell| both.value(cell)),
            [-2048.0, 2047.0, -1.0]
        );
        let wide = Cells {
            allocated: 32,
            stored: 32,
            high: 31,
            signed: true,
            inverted: false,
        };
        assert_eq!(wide.value(u32::MAX), -1.0);
    }
}
