//! Pixels and shares as bytes, for pictures.

/// A byte for each pixel: from the 1st percentile, black, to the 99.5th, white. A few bright pixels do not darken the rest.
pub(crate) fn of_pixels(pixels: &[f32]) -> Vec<u8> {
    let mut sorted = pixels.to_vec();
    sorted.sort_by(f32::total_cmp);
    let quantile = |thousandths: usize| {
        let place = thousandths * sorted.len().saturating_sub(1) / 1000;
        sorted.get(place).copied().unwrap_or(0.0)
    };
    let (low, high) = (quantile(10), quantile(995));
    let span = (high - low).max(f32::MIN_POSITIVE);
    let levels = pixels.iter().map(|pixel| byte((pixel - low) / span));
    levels.collect()
}

/// A byte for each share of 0 to 1.
pub(crate) fn of_shares(shares: &[f32]) -> Vec<u8> {
    shares.iter().map(|&share| byte(share)).collect()
}

fn byte(share: f32) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_bright_pixels_do_not_darken_the_rest_of_a_slice() {
        let mut pixels: Vec<f32> = (0..1000).map(|value| value as f32).collect();
        pixels[999] = 1e6;
        let grey = of_pixels(&pixels);
        assert_eq!((grey[0], grey[999]), (0, 255));
        assert!((127..=129).contains(&grey[500]), "{}", grey[500]);
        assert!(of_pixels(&[0.5; 9]).iter().all(|&level| level == 0));
    }
}
