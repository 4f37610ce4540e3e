//! Inputs that the scripts of tests/oracle make by the same formula, so that none has to be stored.

use tch::Tensor;

use protocol::network::TensorSpec;

/// The patient of each sample.
pub(crate) const PATIENTS: [i64; 4] = [0, 2, 2, 1];

/// Values in [-0.5, 0.5): an integer hash of the label's bytes and the index.
pub(crate) fn noise(label: &str, count: usize) -> Vec<f64> {
    let salt = label.bytes().fold(2_166_136_261_u32, |salt, byte| {
        (salt ^ u32::from(byte)).wrapping_mul(16_777_619)
    });
    let value = |index: usize| {
        let mut x = (index as u32)
            .wrapping_mul(2_654_435_761)
            .wrapping_add(salt);
        for (shift, factor) in [(16, 0x7FEB_352D_u32), (15, 0x846C_A68B)] {
            x = (x ^ (x >> shift)).wrapping_mul(factor);
        }
        f64::from(x ^ (x >> 16)) / 4_294_967_296.0 - 0.5
    };
    (0..count).map(value).collect()
}

/// [`noise`] times `scale` plus `offset`.
pub(crate) fn scaled(label: &str, count: usize, scale: f64, offset: f64) -> Vec<f32> {
    let values = noise(label, count).into_iter();
    values
        .map(|value| (value * scale + offset) as f32)
        .collect()
}

/// One image a sample, [4, 1, 128, 128]: `IMAGES` of make_reference.py.
pub(crate) fn images() -> Tensor {
    Tensor::from_slice(&scaled("images 18", 4 * 128 * 128, 3.4, 0.0)).view([4, 1, 128, 128])
}

/// Initial tensors of the twin, flat, in the order of the layout.
pub(crate) fn initial(layout: &[TensorSpec]) -> Vec<f32> {
    let tensors = layout.iter().map(|spec| {
        let fan_in: u32 = spec.shape[1..].iter().product();
        let (scale, offset) = match spec.name.0.rsplit_once("norm.").map(|(_, last)| last) {
            _ if spec.name.0 == "conditioned.weight" => (6.0, 0.0),
            Some("weight") => (0.6, 1.0),
            Some("bias") => (0.4, 0.0),
            Some("running_mean") => (0.5, 0.0),
            Some("running_var") => (0.8, 1.0),
            _ if spec.shape.len() > 1 => (2.0 / f64::from(fan_in).sqrt(), 0.0),
            _ => (0.2, 0.0),
        };
        scaled(&spec.name.0, spec.values(), scale, offset)
    });
    tensors.flatten().collect()
}

fn base_weight() -> Vec<f32> {
    scaled("conditioned.weight", 9, 6.0, 0.0)
}

/// Three patients' features, [3, 9].
pub(crate) fn features() -> Vec<f32> {
    scaled("features", 27, 2.0, 0.0)
}

/// clip(W * f) of the three patients, [3, 9].
pub(crate) fn filters() -> Tensor {
    let products = features()
        .into_iter()
        .zip(base_weight().into_iter().cycle());
    let clipped: Vec<f32> = products.map(|(f, w)| (w * f).clamp(-1.0, 1.0)).collect();
    Tensor::from_slice(&clipped).view([3, 9])
}
