//! Slices as PNG images inside the page.

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use model::data::{IMAGE_SIDE, Slice};

/// A slice as a `data:` address of an 8-bit grey PNG: the range from the 1st to the 99.5th percentile, front up, the patient's
/// right on the left.
///
/// # Errors
/// A slice of another size.
pub fn data_address(slice: &Slice) -> anyhow::Result<String> {
    let mut sorted = slice.pixels.to_vec();
    sorted.sort_by(f32::total_cmp);
    let quantile = |share: f64| {
        sorted
            .get((share * sorted.len().saturating_sub(1) as f64) as usize)
            .copied()
            .unwrap_or(0.0)
    };
    let (low, high) = (quantile(0.01), quantile(0.995));
    let grey = |pixel: &f32| {
        ((pixel - low) / (high - low).max(f32::MIN_POSITIVE) * 255.0).clamp(0.0, 255.0) as u8
    };
    let pixels: Vec<u8> = slice.pixels.iter().map(grey).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, IMAGE_SIDE as u32, IMAGE_SIDE as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().context("cannot draw a slice")?;
    writer
        .write_image_data(&pixels)
        .context("cannot draw a slice")?;
    writer.finish().context("cannot draw a slice")?;
    Ok(format!(
        "data:image/png;base64,{}",
        BASE64_STANDARD.encode(bytes)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_comes_back_from_its_address_the_right_way_up() {
        let pixels = (0..IMAGE_SIDE * IMAGE_SIDE)
            .map(|index| if index < IMAGE_SIDE * 8 { 2.0 } else { -1.0 })
            .collect();
        let address = data_address(&Slice {
            axial_index: 0,
            pixels,
        })
        .expect("drawn");
        let encoded = address
            .strip_prefix("data:image/png;base64,")
            .expect("an address");
        let bytes = BASE64_STANDARD.decode(encoded).expect("base64");
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .expect("a PNG");
        let mut image = vec![0; reader.output_buffer_size().expect("small")];
        let info = reader.next_frame(&mut image).expect("a frame");
        assert_eq!((info.width, info.height), (128, 128));
        assert_eq!(
            (image[0], image[IMAGE_SIDE * 7], image[IMAGE_SIDE * 9]),
            (255, 255, 0)
        );
    }

    #[test]
    fn a_slice_of_another_size_is_an_error() {
        assert!(
            data_address(&Slice {
                axial_index: 0,
                pixels: vec![0.0; 5].into()
            })
            .is_err()
        );
    }
}
